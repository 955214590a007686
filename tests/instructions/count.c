/* The work that is counted: one call of each main kernel at fixed sizes, and one step of decode and
 * of prefill of a small model. Every case runs inside count_this, which the tool that counts
 * (tests/instructions/run.py) is told to watch; the name of each is printed in turn.
 *
 * The machine that counts knows AVX2 and no more, so that set is what is held; the loops written
 * for registers of any width (src/kernels/wide) are the same ones that AVX-512 and NEON run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bantam/bantam.h"
#include "base/cpu.h"
#include "kernels/kernels.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "tensor/dtype.h"

enum { K = 512, M = 16, KEYS = 128, HEAD = 64 };

typedef struct Bed { /* what the cases work on */
    const Kernels *k;
    uint32_t type;
    PanelLayout layout;
    unsigned char *panel, *rows;
    float *x, *out, *scale, *min, *work;
    PanelAct act;
    int8_t *q; /* what act reads */
    int16_t *sums;
    bt_session *session;
    bt_row row[M];
    size_t n_rows;
} Bed;

typedef void Case(Bed *bed);

__attribute__((noinline, noipa)) void count_this(Case *run, Bed *bed);
void count_this(Case *run, Bed *bed)
{
    run(bed);
    __asm__ volatile("" ::: "memory"); /* no tail call: the case ends inside */
}

static void counted(const char *name, const char *what, Case *run, Bed *bed)
{
    run(bed); /* lazily bound symbols and first touches are not the kernel's */
    count_this(run, bed);
    printf("%s%s%s\n", name, *what ? " " : "", what);
}

static void *must(void *p)
{
    if (p) return p;
    fprintf(stderr, "count: not enough memory\n");
    exit(1);
}

static float *floats(size_t n)
{
    float *x = must(aligned_alloc(64, (n * sizeof *x + 63) / 64 * 64));
    for (size_t i = 0; i < n; i++) x[i] = (float)(int)(i * 7919 % 1009) / 504.5f - 1;
    return x;
}

/* ---- products ---- */

static void few(Bed *b)
{
    b->k->panel_few(b->type, b->panel, K, 1, &b->act, 1, b->out, PANEL_ROWS);
}

static void many(Bed *b)
{
    b->k->panel_scales(b->type, b->panel + b->layout.codes_bytes, K, b->scale, b->min);
    b->k->panel_matmul(b->layout.code, b->layout.group, b->panel, b->scale,
                       b->layout.centred ? NULL : b->min, b->layout.offset, b->layout.table, K,
                       &b->act, M, b->out, PANEL_ROWS);
}

static void rows_of(Bed *b)
{
    b->k->matmul_rows(b->type, b->rows, dtype_row_bytes(b->type, K), PANEL_ROWS, K, b->x, K, M,
                      b->out, PANEL_ROWS);
}

static void quantise(Bed *b)
{
    b->k->quantize_act(b->x, K, b->q, b->scale, b->min, b->work, b->sums);
}

static void products(Bed *b)
{
    static const uint32_t types[] = {DT_Q4_0,  DT_Q8_0, DT_Q4_K, DT_Q6_K, DT_IQ4_XS,
                                     DT_MXFP4, DT_Q5_K, DT_Q3_K, DT_Q2_K, DT_IQ2_XXS};
    int8_t *q = b->q = must(aligned_alloc(64, M * K));
    float *scale = floats(M * K / 32), *sum32 = floats(M * K / 32), *sum16 = floats(M * K / 16);
    int16_t *sums = b->sums = must(calloc(M * K / 16, sizeof *sums));
    for (size_t m = 0; m < M; m++)
        b->k->quantize_act(b->x + m * K, K, q + m * K, scale + m * K / 32, sum32 + m * K / 32,
                           sum16 + m * K / 16, sums + m * K / 16);
    b->act = (PanelAct){q, scale, sum32, sum16, sums, K, K / 32};
    b->scale = floats((size_t)K / 16 * PANEL_ROWS);
    b->min = floats((size_t)K / 16 * PANEL_ROWS);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        b->type = types[t];
        if (!panel_layout(b->type, K, &b->layout)) exit(1);
        size_t bytes = PANEL_ROWS * dtype_row_bytes(b->type, K);
        unsigned char *blocks = must(calloc(bytes, 1)); /* what is in them costs nothing */
        b->panel = must(aligned_alloc(64, b->layout.bytes));
        panel_pack(b->type, blocks, dtype_row_bytes(b->type, K), PANEL_ROWS, K, b->panel);
        counted("panel_few", dtype_name(b->type), few, b);
        counted("panel_matmul", dtype_name(b->type), many, b);
        free(blocks);
        free(b->panel);
    }
    counted("quantize_act", "", quantise, b);
    static const uint32_t wide[] = {DT_F32, DT_BF16};
    for (size_t t = 0; t < 2; t++) {
        b->type = wide[t];
        b->rows = must(calloc(PANEL_ROWS, dtype_row_bytes(b->type, K)));
        counted("matmul_rows", dtype_name(b->type), rows_of, b);
        free(b->rows);
    }
    free(q);
    free(scale);
    free(sum32);
    free(sum16);
    free(b->scale);
    free(b->min);
}

/* ---- rows and attention ---- */

static void norm(Bed *b)
{
    b->k->rmsnorm(b->x, b->x, 1e-5f, K, b->out);
}
static void gate(Bed *b)
{
    b->k->swiglu(b->x, b->x, K, b->out);
}
static void soft(Bed *b)
{
    b->k->softmax(b->out, K);
}

static void attend(Bed *b)
{
    int32_t first[M] = {0}, limit[M];
    float m[M], l[M];
    AttendRun run = {.k_type = b->type,
                     .v_type = b->type,
                     .e = HEAD,
                     .e_v = HEAD,
                     .nq = b->n_rows,
                     .q = b->x,
                     .k_stride = HEAD * 2,
                     .v_stride = HEAD * 2,
                     .n = KEYS,
                     .first = first,
                     .limit = limit,
                     .m = m,
                     .l = l,
                     .acc = b->out,
                     .work = b->work};
    for (size_t i = 0; i < KEYS / ATTEND_BLOCK; i++)
        run.k[i] = run.v[i] = b->rows + i * ATTEND_BLOCK * HEAD * 2;
    for (size_t i = 0; i < M; i++) limit[i] = KEYS;
    b->k->attend(&run);
}

static void rows(Bed *b)
{
    counted("rmsnorm", "", norm, b);
    counted("swiglu", "", gate, b);
    counted("softmax", "", soft, b);
    b->type = DT_BF16;
    b->rows = must(calloc(KEYS, HEAD * 2));
    b->n_rows = 1;
    counted("attend", "1 query", attend, b);
    b->n_rows = M;
    counted("attend", "16 queries", attend, b);
    free(b->rows);
}

/* ---- a model ---- */

static void step(Bed *b)
{
    bt_error err = {0};
    if (bt_session_truncate(b->session, 0, 32, &err) != BT_OK ||
        bt_session_step(b->session, b->row, b->n_rows, &err) != BT_OK) {
        fprintf(stderr, "count: %s\n", err.text);
        exit(1);
    }
}

static void steps(Bed *b, const char *path, const char *name)
{
    bt_error err = {0};
    bt_model *model = NULL;
    bt_model_options options = {.n_threads = 1, .no_cache = true};
    bt_session_options wish = {.n_ctx = 128};
    bt_token ids[32];
    for (int i = 0; i < 32; i++) ids[i] = i + 1;
    if (bt_model_open(path, &options, &model, &err) != BT_OK ||
        bt_session_open(model, &wish, &b->session, &err) != BT_OK ||
        bt_session_feed(b->session, 0, ids, 32, &err) != BT_OK) {
        fprintf(stderr, "count: %s\n", err.text);
        exit(1);
    }
    for (int i = 0; i < M; i++) b->row[i] = (bt_row){.token = i + 40, .want_logits = i == M - 1};
    b->n_rows = M;
    counted(name, "prefill of 16", step, b);
    b->row[0].want_logits = true;
    b->n_rows = 1;
    counted(name, "decode", step, b);
    bt_session_close(&b->session);
    bt_model_close(&model);
}

static void models(Bed *b)
{
    static const struct {
        const char *name, *arch;
    } made[] = {{"llama", "llama"}, {"mixture", "llama-moe"}};
    bt_error err = {0};
    for (size_t i = 0; i < 2; i++) {
        MakeModel m = {.arch = made[i].arch,
                       .embd = 256,
                       .ff = 512,
                       .layers = 2,
                       .head_dim = 64,
                       .tokenizer = MAKE_NO_VOCAB,
                       .vocab = 512,
                       .type = DT_Q4_K,
                       .high = DT_Q6_K};
        const char *path = scratch_path("count.gguf");
        if (make_model(&m, path, &err) != BT_OK) {
            fprintf(stderr, "count: %s\n", err.text);
            exit(1);
        }
        steps(b, path, made[i].name);
    }
}

int main(void)
{
    Bed bed = {.k = kernels_select(cpu_features())};
    bed.x = floats((size_t)M * K);
    bed.out = floats((size_t)M * K);
    bed.work = floats(attend_work_floats(M, HEAD, HEAD) + K);
    products(&bed);
    rows(&bed);
    scratch_open();
    models(&bed);
    scratch_close();
    free(bed.x);
    free(bed.out);
    free(bed.work);
    return 0;
}
