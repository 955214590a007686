/* A quick look at whether the chosen kernels compute what plain C computes, on the machine where
 * they run: a CPU, hypervisor or build that gets an instruction wrong shows here. Made-up numbers,
 * a few milliseconds, no allocation. tests/check/ is the thorough check, of every kernel and
 * shape; this one takes a sample of each kind. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "tensor/dtype.h"

enum { K = 512, ROWS = 32, M = 5, HEAD = 64, KEYS = 37, BLOCK_MOST = ROWS * K * 4 };

typedef struct Scratch {
    uint64_t random;
    _Alignas(64) unsigned char blocks[BLOCK_MOST], panel[BLOCK_MOST];
    _Alignas(64) int8_t q[M * K];
    float x[M * K], act_scale[M * K / 32], sum32[M * K / 32], sum16[M * K / 16];
    int16_t q_sum16[M * K / 16];
    float scale[ROWS * K / 16], min[ROWS * K / 16];
    float want[M * K], got[M * K], m[M], l[M];
    _Alignas(64) float work[(1 << 16) + (1 << 12)]; /* see try_attend */
} Scratch;

/* Without bit 6: a half or bfloat16 made of such bytes is finite and below 2. */
static unsigned char random_byte(Scratch *s)
{
    s->random = s->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned char)(s->random >> 56) & 0xBF;
}

static void random_floats(Scratch *s, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)random_byte(s) / 64.0f - (float)random_byte(s) / 96.0f;
}

/* The largest difference as a share of the largest value; infinite if one is no number. */
static float difference(const Scratch *s, size_t n)
{
    float most = 0, apart = 0;
    for (size_t i = 0; i < n; i++) {
        float d = fabsf(s->want[i] - s->got[i]);
        if (!isfinite(d)) return INFINITY;
        if (d > apart) apart = d;
        if (fabsf(s->want[i]) > most) most = fabsf(s->want[i]);
    }
    return most > 0 ? apart / most : INFINITY;
}

static void quantize(Scratch *s, const Kernels *t)
{
    for (size_t i = 0; i < M; i++)
        t->quantize_act(s->x + i * K, K, s->q + i * K, s->act_scale + i * K / 32,
                        s->sum32 + i * K / 32, s->sum16 + i * K / 16, s->q_sum16 + i * K / 16);
}

static float try_quantize(Scratch *s, const Kernels *ref, const Kernels *t, uint32_t type)
{
    (void)type;
    for (int side = 0; side < 2; side++) {
        float *out = side ? s->got : s->want;
        quantize(s, side ? t : ref);
        for (size_t i = 0; i < M * K; i++) out[i] = (float)s->q[i] * s->act_scale[i / 32];
    }
    return difference(s, M * K);
}

static float try_panel(Scratch *s, const Kernels *ref, const Kernels *t, uint32_t type)
{
    PanelLayout p;
    size_t bytes = (size_t)dtype_row_bytes(type, K);
    if (!panel_layout(type, K, &p) || p.bytes > BLOCK_MOST || ROWS * bytes > BLOCK_MOST)
        return INFINITY;
    panel_pack(type, s->blocks, bytes, ROWS, K, s->panel);
    quantize(s, ref);
    PanelAct act = {s->q, s->act_scale, s->sum32, s->sum16, s->q_sum16, K, K / 32};
    const float *min = p.centred ? NULL : s->min;
    ref->panel_scales(type, s->panel + p.codes_bytes, K, s->scale, s->min);
    ref->panel_matmul(p.code, p.group, s->panel, s->scale, min, p.offset, p.table, K, &act, M,
                      s->want, ROWS);
    t->panel_few(type, s->panel, K, 1, &act, M, s->got, ROWS);
    float few = difference(s, M * ROWS);
    t->panel_scales(type, s->panel + p.codes_bytes, K, s->scale, s->min);
    t->panel_matmul(p.code, p.group, s->panel, s->scale, min, p.offset, p.table, K, &act, M, s->got,
                    ROWS);
    float many = difference(s, M * ROWS);
    return few > many ? few : many;
}

static float try_rows(Scratch *s, const Kernels *ref, const Kernels *t, uint32_t type)
{
    size_t bytes = (size_t)dtype_row_bytes(type, K);
    ref->matmul_rows(type, s->blocks, bytes, ROWS, K, s->x, K, M, s->want, ROWS);
    t->matmul_rows(type, s->blocks, bytes, ROWS, K, s->x, K, M, s->got, ROWS);
    return difference(s, M * ROWS);
}

static float try_attend(Scratch *s, const Kernels *ref, const Kernels *t, uint32_t type)
{
    static const int32_t first[M] = {0, 0, 3, 0, 11}, limit[M] = {KEYS, 1, 30, 12, KEYS};
    size_t bytes = (size_t)dtype_row_bytes(type, HEAD);
    for (int side = 0; side < 2; side++) {
        float *out = side ? s->got : s->want;
        AttendRun run = {.k_type = type,
                         .v_type = type,
                         .e = HEAD,
                         .e_v = HEAD,
                         .nq = M,
                         .q = s->x,
                         .k = {s->blocks},
                         .v = {s->blocks + ATTEND_BLOCK * bytes},
                         .k_stride = bytes,
                         .v_stride = bytes,
                         .n = KEYS,
                         .first = first,
                         .limit = limit,
                         .m = s->m,
                         .l = s->l,
                         .acc = out,
                         .work = s->work};
        assert(attend_work_floats(M, HEAD, HEAD) <= sizeof s->work / sizeof *s->work);
        (side ? t : ref)->attend(&run);
        for (size_t i = 0; i < M * HEAD; i++) out[i] /= s->l[i / HEAD];
    }
    return difference(s, M * HEAD);
}

static float try_norm(Scratch *s, const Kernels *ref, const Kernels *t, uint32_t type)
{
    (void)type;
    ref->rmsnorm(s->x, s->x + K, 1e-5f, K, s->want);
    t->rmsnorm(s->x, s->x + K, 1e-5f, K, s->got);
    return difference(s, K);
}

static float try_swiglu(Scratch *s, const Kernels *ref, const Kernels *t, uint32_t type)
{
    (void)type;
    ref->swiglu(s->x, s->x + K, K, s->want);
    t->swiglu(s->x, s->x + K, K, s->got);
    return difference(s, K);
}

/* A state of STATE rows, twice: outputs behind it. */
static float try_delta(Scratch *s, const Kernels *ref, const Kernels *t, uint32_t type)
{
    enum { STATE = 24 };
    (void)type;
    for (int side = 0; side < 2; side++) {
        float *state = side ? s->got : s->want, *out = state + STATE * HEAD;
        memcpy(state, s->x, STATE * HEAD * sizeof *state);
        const float decay[] = {0.9f, 0.8f}, beta[] = {0.1f, 0.2f};
        (side ? t : ref)
            ->delta_rows(s->x + K, s->x, HEAD, s->x + 2 * K, STATE, decay, beta, 2, STATE, HEAD,
                         state, out, STATE);
    }
    return difference(s, STATE * HEAD + 2 * STATE);
}

static float try_scan(Scratch *s, const Kernels *ref, const Kernels *t, uint32_t type)
{
    enum { STATE = 24 };
    (void)type;
    for (int side = 0; side < 2; side++) {
        float *state = side ? s->got : s->want;
        memcpy(state, s->x, STATE * HEAD * sizeof *state);
        (side ? t : ref)
            ->scan_rows(s->x, s->x + HEAD, STATE, s->x + K, s->x, s->x + 2 * HEAD, s->x + 3 * HEAD,
                        HEAD, 1, STATE, HEAD, state, state + STATE * HEAD);
    }
    return difference(s, STATE * HEAD + STATE);
}

/* bound: sums in another order; for bfloat16 keys, queries rounded to them too. */
static const struct {
    const char *name;
    float (*run)(Scratch *s, const Kernels *ref, const Kernels *t, uint32_t type);
    uint32_t type;
    float bound;
} trials[] = {
    {"activations to int8", try_quantize, 0, 1e-6f},
    {"matrix Q4_0", try_panel, DT_Q4_0, 1e-4f},
    {"matrix Q8_0", try_panel, DT_Q8_0, 1e-4f},
    {"matrix Q4_K", try_panel, DT_Q4_K, 1e-4f},
    {"matrix Q6_K", try_panel, DT_Q6_K, 1e-4f},
    {"matrix IQ4_NL", try_panel, DT_IQ4_NL, 1e-4f},
    {"matrix F32", try_rows, DT_F32, 1e-4f},
    {"matrix BF16", try_rows, DT_BF16, 1e-4f},
    {"attention F32", try_attend, DT_F32, 1e-4f},
    {"attention BF16", try_attend, DT_BF16, 1e-2f},
    {"norm", try_norm, 0, 1e-4f},
    {"swiglu", try_swiglu, 0, 1e-4f},
    {"delta rule", try_delta, 0, 1e-4f},
    {"selective scan", try_scan, 0, 1e-4f},
};

size_t kernels_try(const Kernels *chosen, KernelTrial *out, size_t capacity)
{
    Scratch s;
    size_t n = sizeof trials / sizeof trials[0];
    const Kernels *ref = kernels_select(CPU_NONE);
    for (size_t i = 0; i < n && i < capacity; i++) {
        s.random = i + 1;
        for (size_t b = 0; b < BLOCK_MOST; b++) s.blocks[b] = random_byte(&s);
        random_floats(&s, s.x, M * K);
        float apart = trials[i].run(&s, ref, chosen, trials[i].type);
        out[i] = (KernelTrial){trials[i].name, apart, apart <= trials[i].bound};
    }
    return n;
}
