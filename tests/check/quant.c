/* Rows of the kernels over quantised weights. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "kernels/panel_type.h"
#include "tensor/dtype.h"
#include "tensor/half.h"

static const uint32_t types[] = {
    DT_Q4_0,    DT_Q4_1,  DT_Q5_0,    DT_Q5_1,   DT_Q8_0,  DT_IQ4_NL, DT_MXFP4, DT_NVFP4, DT_Q1_0,
    DT_Q2_0,    DT_TQ1_0, DT_TQ2_0,   DT_Q2_K,   DT_Q3_K,  DT_Q4_K,   DT_Q5_K,  DT_Q6_K,  DT_IQ4_XS,
    DT_IQ3_XXS, DT_IQ3_S, DT_IQ2_XXS, DT_IQ2_XS, DT_IQ2_S, DT_IQ1_S,  DT_IQ1_M};
enum { N_TYPES = sizeof types / sizeof types[0] };

/* ---- quantize_act ---- */

static void test_quantize_act(Check *c)
{
    for (int round = 0; round < c->rounds; round++) {
        size_t g = check_size(c, 40), k = g * 32;
        float *x = check_floats(c, k, round & 1 ? 1 : 1e4f);
        int8_t *q[2];
        int16_t *sums[2];
        float *out[2];
        for (int i = 0; i < 2; i++) {
            q[i] = check_out(c, k, 1);
            out[i] = check_out(c, g * 16, 4); /* scale, sum32, sum16 */
            sums[i] = check_out(c, g * 4, 2);
            const Kernels *t = i ? c->fast : c->ref;
            t->quantize_act(x, k, q[i], out[i], out[i] + g, out[i] + 2 * g, sums[i]);
        }
        check_bytes(c, q[0], q[1], k, "codes of k=%zu", k);
        check_bytes(c, sums[0], sums[1], g * 4, "plain sums of k=%zu", k);
        check_equal(c, out[0], out[1], g * 4, NULL, "scales and sums of k=%zu", k);
        check_done(c);
    }
}

/* ---- panels ---- */

typedef struct Case {
    uint32_t type;
    PanelLayout layout;
    size_t k, m, out_stride, panels;
    const uint8_t *panel;
    float *scale, *min, *out;
    PanelAct act;
} Case;

/* A panel of random codes and ordinary scales. */
static void fill_panel(Check *c, Case *p, uint8_t *panel)
{
    const PanelType *t = panel_type(p->type);
    for (size_t i = 0; i < p->layout.bytes; i += 8) {
        uint64_t bits = check_random(c);
        memcpy(panel + i, &bits, 8);
    }
    uint8_t *s = panel + p->layout.codes_bytes;
    size_t halves = t->scales == SCALE_E8M0 || t->scales == SCALE_UE4M3 ? 0 : 32;
    if (t->scales == SCALE_F16_MIN || t->scales == SCALE_K_MIN || t->scales == SCALE_K_NIBBLES)
        halves = 64;
    for (size_t i = 0; t->scales == SCALE_E8M0 && i < p->layout.scales_bytes; i++)
        s[i] = (uint8_t)(s[i] % 8 ? 115 + s[i] % 16 : s[i] / 8 % 4);
    size_t unit = panel_unit_bytes(t->scales, panel_groups(t));
    for (size_t u = 0; u < p->layout.scales_bytes; u += unit)
        for (size_t i = 0; i < halves; i++) {
            uint16_t h = f32_to_f16((float)((int)check_below(c, 2001) - 1000) * 1e-5f);
            memcpy(s + u + 2 * i, &h, 2);
        }
}

static size_t draw_k(Check *c, uint32_t type)
{
    size_t block = (size_t)dtype_info(type)->block;
    return block * (1 + check_below(c, 640 / block + 1));
}

static void test_panel_scales(Check *c)
{
    for (int round = 0; round < 3 * c->rounds; round++) {
        Case p = {.type = types[round % N_TYPES]};
        size_t k = draw_k(c, p.type);
        if (!panel_layout(p.type, k, &p.layout)) check_fail(c, "no layout");
        uint8_t *panel = check_in(c, p.layout.bytes, 64);
        fill_panel(c, &p, panel);
        size_t n = k / (size_t)p.layout.group * 32;
        float *out[2];
        for (int i = 0; i < 2; i++) {
            out[i] = check_out(c, n * 8, 4);
            const Kernels *t = i ? c->fast : c->ref;
            t->panel_scales(p.type, panel + p.layout.codes_bytes, k, out[i], out[i] + n);
        }
        if (p.layout.centred) /* mins are left alone */
            check_bytes(c, out[0] + n, out[1] + n, n * 4, "%s k=%zu", dtype_name(p.type), k);
        check_equal(c, out[0], out[1], p.layout.centred ? n : 2 * n, NULL, "%s k=%zu",
                    dtype_name(p.type), k);
        check_done(c);
    }
}

static void run_case(const Kernels *t, const Case *p, size_t first, size_t m, float *out)
{
    PanelAct a = panel_act_at(p->act, first, 0);
    t->panel_matmul(p->layout.code, p->layout.group, p->panel, p->scale,
                    p->layout.centred ? NULL : p->min, p->layout.offset, p->layout.table, p->k, &a,
                    m, out + first * p->out_stride, p->out_stride);
}

/* How large the terms of each output are: what rounding is relative to. */
static void term_sizes(const Case *p, float *size)
{
    size_t group = (size_t)p->layout.group;
    for (size_t i = 0; i < p->m; i++)
        for (size_t r = 0; r < 32; r++) {
            float sum = 0;
            for (size_t g = 0; g < p->k / group; g++) {
                float x = 0, a = p->act.scale[i * p->act.g_stride + g * group / 32];
                for (size_t j = 0; j < group; j++)
                    x += fabsf((float)p->act.q[i * p->act.q_stride + g * group + j]);
                float most = p->layout.table ? 255 : (float)((1 << panel_bits(p->layout.code)) - 1);
                if (p->layout.code == CODE_ONE) most = 2;
                float min = p->layout.centred ? 0 : fabsf(p->min[g * 32 + r]);
                sum += a * x * (fabsf(p->scale[g * 32 + r]) * most + min);
            }
            size[i * p->out_stride + r] = sum;
        }
}

static Case draw_case(Check *c, uint32_t type, size_t k, size_t m)
{
    Case p = {.type = type, .k = k, .m = m};
    if (!panel_layout(type, k, &p.layout)) check_fail(c, "no layout");
    uint8_t *panel = check_in(c, p.layout.bytes, 64);
    fill_panel(c, &p, panel);
    p.panel = panel;
    size_t n = k / (size_t)p.layout.group * 32, groups = k / 32;
    p.scale = check_in(c, n * 4, 4);
    p.min = check_in(c, n * 4, 4);
    c->ref->panel_scales(type, panel + p.layout.codes_bytes, k, p.scale, p.min);
    PanelAct *a = &p.act;
    a->q_stride = (k + 63) / 64 * 64;
    a->g_stride = groups + check_below(c, 3);
    int8_t *q = check_in(c, m * a->q_stride, 64);
    float *scale = check_in(c, m * a->g_stride * 16, 4);
    float *sum32 = scale + m * a->g_stride, *sum16 = sum32 + m * a->g_stride;
    int16_t *q_sum16 = check_in(c, m * a->g_stride * 4, 2);
    const float *x = check_floats(c, m * k, 1);
    for (size_t i = 0; i < m; i++)
        c->ref->quantize_act(x + i * k, k, q + i * a->q_stride, scale + i * a->g_stride,
                             sum32 + i * a->g_stride, sum16 + 2 * i * a->g_stride,
                             q_sum16 + 2 * i * a->g_stride);
    a->q = q, a->scale = scale, a->sum32 = sum32, a->sum16 = sum16, a->q_sum16 = q_sum16;
    p.out_stride = 32 + check_below(c, 5);
    return p;
}

static void test_panel_matmul(Check *c)
{
    for (int round = 0; round < 3 * c->rounds; round++) {
        uint32_t type = types[round % N_TYPES];
        size_t m = 1 + check_below(c, round % 3 ? round % 5 ? 20 : 40 : 5), k = draw_k(c, type);
        Case p = draw_case(c, type, k, m);
        size_t n = (m - 1) * p.out_stride + 32;
        float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4);
        float *alone = check_out(c, n * 4, 4), *size = check_in(c, n * 4, 4);
        memset(size, 0, n * 4);
        run_case(c->ref, &p, 0, m, want);
        run_case(c->fast, &p, 0, m, got);
        /* The gaps between rows are not written: equal bytes there. */
        term_sizes(&p, size);
        check_equal(c, want, got, n, size, "%s k=%zu m=%zu", dtype_name(type), k, m);
        /* However many rows run together, each gives the same bits. */
        size_t step = 1 + check_below(c, m);
        for (size_t i = 0; i < m; i += step)
            run_case(c->fast, &p, i, m - i < step ? m - i : step, alone);
        check_bytes(c, got, alone, n * 4, "%s k=%zu m=%zu by %zu", dtype_name(type), k, m, step);
        check_done(c);
    }
}

/* panel_few gives, for a run of panels, what the same version's panel_matmul gives for each. */
static void test_panel_few(Check *c)
{
    for (int round = 0; round < 3 * c->rounds; round++) {
        uint32_t type = types[round % N_TYPES];
        size_t m = 1 + check_below(c, round % 3 ? 5 : 18), k = draw_k(c, type);
        size_t panels = 1 + check_below(c, 3);
        Case p = draw_case(c, type, k, m);
        uint8_t *run = check_in(c, panels * p.layout.bytes, 64);
        p.out_stride += (panels - 1) * PANEL_ROWS;
        size_t n = (m - 1) * p.out_stride + panels * PANEL_ROWS;
        float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4);
        for (size_t i = 0; i < panels; i++) {
            uint8_t *panel = run + i * p.layout.bytes;
            fill_panel(c, &p, panel);
            p.panel = panel;
            c->ref->panel_scales(type, panel + p.layout.codes_bytes, k, p.scale, p.min);
            run_case(c->fast, &p, 0, m, want + i * PANEL_ROWS);
        }
        c->fast->panel_few(type, run, k, panels, &p.act, m, got, p.out_stride);
        c->fast->panel_few(type, run, k, panels, &p.act, 0, got, p.out_stride); /* writes nothing */
        c->fast->panel_few(type, run, k, 0, &p.act, m, got, p.out_stride);
        check_bytes(c, want, got, n * 4, "%s k=%zu m=%zu panels=%zu", dtype_name(type), k, m,
                    panels);
        check_done(c);
    }
}

/* ---- timing ---- */

enum { BENCH_K = 2048, BENCH_M = 512, BENCH_RUN = 32, STREAM = 256 << 20 };

static void time_quantize(Check *c, void *arg)
{
    const Case *p = arg;
    c->fast->quantize_act(p->scale, p->k, (int8_t *)p->out, p->out + p->k, p->out + 2 * p->k,
                          p->out + 3 * p->k, (int16_t *)(void *)(p->out + 4 * p->k));
}

static void bench_quantize_act(Check *c)
{
    Case p = {.k = BENCH_K, .scale = check_memory(c, BENCH_K * 4)};
    p.out = check_memory(c, BENCH_K * 20);
    for (size_t i = 0; i < p.k; i++) p.scale[i] = (float)check_below(c, 1000) - 500;
    check_time(c, "k=2048", BENCH_K * 5, 0, LIMIT_MEMORY, time_quantize, &p);
}

/* Panels of a type, as many as fit in `bytes` (at least one), and BENCH_M activation rows. */
static Case bench_case(Check *c, uint32_t type, size_t bytes)
{
    Case p = {.type = type, .k = BENCH_K, .out_stride = 32};
    if (!panel_layout(type, p.k, &p.layout)) check_fail(c, "no layout");
    p.panels = bytes / p.layout.bytes ? bytes / p.layout.bytes : 1;
    uint8_t *panel = check_memory(c, p.panels * p.layout.bytes);
    fill_panel(c, &p, panel);
    if (type == DT_MXFP4) /* subnormal scales would time the CPU's slow path */
        memset(panel + p.layout.codes_bytes, 120, p.layout.scales_bytes);
    for (size_t i = 1; i < p.panels; i++) memcpy(panel + i * p.layout.bytes, panel, p.layout.bytes);
    p.panel = panel;
    size_t groups = p.k / 32, n = p.k / (size_t)p.layout.group * 32;
    p.scale = check_memory(c, n * 4);
    p.min = check_memory(c, n * 4);
    p.out = check_memory(c, BENCH_M * PANEL_ROWS * 4);
    int8_t *q = check_memory(c, BENCH_M * p.k);
    float *scale = check_memory(c, BENCH_M * groups * 16), *x = check_memory(c, p.k * 4);
    float *sum32 = scale + BENCH_M * groups, *sum16 = sum32 + BENCH_M * groups;
    int16_t *q_sum16 = check_memory(c, BENCH_M * groups * 4);
    for (size_t m = 0; m < BENCH_M; m++) {
        for (size_t i = 0; i < p.k; i++) x[i] = (float)check_below(c, 1000) - 500;
        c->fast->quantize_act(x, p.k, q + m * p.k, scale + m * groups, sum32 + m * groups,
                              sum16 + 2 * m * groups, q_sum16 + 2 * m * groups);
    }
    p.act = (PanelAct){q, scale, sum32, sum16, q_sum16, p.k, groups};
    return p;
}

static void time_scales(Check *c, void *arg)
{
    const Case *p = arg;
    c->fast->panel_scales(p->type, p->panel + p->layout.codes_bytes, p->k, p->scale, p->min);
}

static void time_matmul(Check *c, void *arg)
{
    const Case *p = arg;
    time_scales(c, arg);
    run_case(c->fast, p, 0, p->m, p->out);
}

static void time_few(Check *c, void *arg)
{
    const Case *p = arg;
    for (size_t i = 0, n; i < p->panels; i += n) {
        n = p->panels - i < BENCH_RUN ? p->panels - i : BENCH_RUN;
        c->fast->panel_few(p->type, p->panel + i * p->layout.bytes, p->k, n, &p->act, p->m, p->out,
                           BENCH_RUN * PANEL_ROWS);
    }
}

static void bench_types(Check *c, size_t bytes, const size_t *m, CheckLimit limit,
                        void (*fn)(Check *c, void *arg))
{
    for (int t = 0; t < N_TYPES; t++) {
        Case p = bench_case(c, types[t], bytes);
        for (int i = 0; m[i]; i++) {
            char label[32];
            p.m = m[i];
            snprintf(label, sizeof label, "%s k=2048 m=%zu", dtype_name(p.type), p.m);
            double weights = 32.0 * BENCH_K * (double)p.panels;
            check_time(c, label, (double)(p.panels * p.layout.bytes), weights * (double)p.m, limit,
                       fn, &p);
        }
        check_memory_free();
    }
}

static void bench_panel_scales(Check *c)
{
    static const size_t m[] = {1, 0};
    bench_types(c, 0, m, LIMIT_MEMORY, time_scales);
}

static void bench_panel_matmul(Check *c)
{
    static const size_t m[] = {1, 8, 64, 512, 0};
    bench_types(c, 0, m, LIMIT_INT8, time_matmul);
}

/* From memory: more than any cache holds. */
static void bench_panel_few(Check *c)
{
    static const size_t m[] = {1, 4, 8, 16, 0};
    bench_types(c, STREAM, m, LIMIT_MEMORY, time_few);
}

CHECK_ROW(quantize_act, CHECK_EXACT, 0, test_quantize_act, bench_quantize_act);
CHECK_ROW(panel_scales, CHECK_EXACT, 0, test_panel_scales, bench_panel_scales);
CHECK_ROW(panel_matmul, CHECK_EPSILON, 1e-6, test_panel_matmul, bench_panel_matmul);
CHECK_ROW(panel_few, CHECK_EXACT, 0, test_panel_few, bench_panel_few);
