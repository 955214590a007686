/* Panels times quantised activations in plain C: what the faster versions mean.
 *
 * Integers are exact; of a centred type they are sums of (code - offset) q. Then, for each output,
 * over the groups in order of k:
 *     t = scale * dot             (rounded)
 *     acc += t * activation scale
 *     acc += min * activation sum (of a type with mins)
 * Faster versions keep this order for any number of rows m, so that a token's result does not
 * depend on its neighbours; they may fuse the last two products with their additions, which is
 * why they agree with this one within an epsilon and with each other to the bit. */
#include <math.h>
#include <string.h>

#include "kernels/panel_type.h"
#include "kernels/parts.h"
#include "tensor/blocks.h"

static void quantize_group(const float *x, int8_t *q, float *scale, float *sum32, float *sum16,
                           int16_t *q_sum16)
{
    float most = 0;
    for (int i = 0; i < ACT_GROUP; i++) {
        float a = fabsf(x[i]);
        most = a > most ? a : most;
    }
    /* Below this the reciprocal would overflow, and nothing of it would be seen in a sum. */
    float inverse = most < 0x1p-100f ? 0 : 127 / most;
    int sum[2] = {0, 0}, square = 0;
    float lane[16];
    for (int i = 0; i < ACT_GROUP; i++) {
        float v = x[i] * inverse, whole = rintf(v);
        int c = whole >= -127 && whole <= 127 ? (int)whole : 0;
        q[i] = (int8_t)c;
        sum[i / 16] += c;
        square += c * c;
        float p = v * (float)c;
        lane[i % 16] = i < 16 ? p : lane[i % 16] + p;
    }
    /* Not most / 127 but the scale that fits the rounded codes best, sum(x q) / sum(q q): it takes
     * away the part of the rounding error that lies along q, 1/32 of it. The sum is a tree, as
     * vector registers fold it. */
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    *scale = square ? lane[0] / (float)square * (most * (1 / 127.0f)) : 0;
    *sum32 = *scale * (float)(sum[0] + sum[1]);
    for (int i = 0; i < 2; i++) {
        sum16[i] = *scale * (float)sum[i];
        q_sum16[i] = (int16_t)sum[i];
    }
}

static void quantize_act(const float *x, size_t k, int8_t *q, float *scale, float *sum32,
                         float *sum16, int16_t *q_sum16)
{
    for (size_t g = 0; g < k / ACT_GROUP; g++)
        quantize_group(x + g * ACT_GROUP, q + g * ACT_GROUP, scale + g, sum32 + g, sum16 + 2 * g,
                       q_sum16 + 2 * g);
}

/* One group of 32 rows from its place in a unit. */
static void group_scales(const PanelType *t, const uint8_t *unit, size_t g, float *scale,
                         float *min)
{
    float unused;
    for (size_t r = 0; r < PANEL_ROWS; r++)
        scale[r] = panel_scale_at(t, unit, g, r, scale_has_min(t->scales) ? &min[r] : &unused);
}

static void panel_scales(uint32_t type, const void *scales, size_t k, float *scale, float *min)
{
    const PanelType *t = panel_type(type);
    if (!t) return;
    const uint8_t *unit = scales;
    size_t groups = panel_groups(t), bytes = panel_unit_bytes(t->scales, groups);
    for (size_t i = 0; i < k; i += (size_t)t->unit, unit += bytes)
        for (size_t g = 0; g < groups; g++, scale += PANEL_ROWS, min += PANEL_ROWS)
            group_scales(t, unit, g, scale, min);
}

/* Codes of n k (16 or 32) from column `first` of all rows, [row][k]. */
static void unpack(PanelCode code, const uint8_t *table, const uint8_t *codes, size_t first,
                   size_t n, uint8_t out[PANEL_ROWS][32])
{
    for (size_t r = 0; r < PANEL_ROWS; r++)
        for (size_t k = 0; k < n; k++) {
            int c = panel_code_at(code, codes, first + k, r);
            out[r][k] = (uint8_t)(table ? table[c] : c);
        }
}

/* Adds group g to all sums; min NULL: codes are `offset` too high. */
static void add_group(PanelCode code, int group, const uint8_t *codes, const float *scale,
                      const float *min, int offset, const uint8_t *table, size_t g,
                      const PanelAct *act, size_t m, float *out, size_t out_stride)
{
    uint8_t c[PANEL_ROWS][32];
    unpack(code, table, codes, g * (size_t)group, (size_t)group, c);
    for (size_t i = 0; i < m; i++) {
        const int8_t *q = act->q + i * act->q_stride + g * (size_t)group;
        float a = act->scale[i * act->g_stride + g * (size_t)group / ACT_GROUP];
        float sum =
            group == 16 ? act->sum16[i * 2 * act->g_stride + g] : act->sum32[i * act->g_stride + g];
        float *o = out + i * out_stride;
        for (int r = 0; r < PANEL_ROWS; r++) {
            int dot = 0;
            for (int j = 0; j < group; j++) dot += (c[r][j] - (min ? 0 : offset)) * q[j];
            float t = scale[r] * (float)dot;
            o[r] += t * a;
            if (min) o[r] += min[r] * sum;
        }
    }
}

static void panel_matmul(PanelCode code, int group, const void *codes, const float *scale,
                         const float *min, int offset, const uint8_t *table, size_t k,
                         const PanelAct *act, size_t m, float *out, size_t out_stride)
{
    for (size_t i = 0; i < m; i++) memset(out + i * out_stride, 0, PANEL_ROWS * sizeof *out);
    for (size_t g = 0; g < k / (size_t)group; g++)
        add_group(code, group, codes, scale + g * PANEL_ROWS, min ? min + g * PANEL_ROWS : NULL,
                  offset, table, g, act, m, out, out_stride);
}

static void panel_few(uint32_t type, const void *panels, size_t k, size_t n, const PanelAct *act,
                      size_t m, float *out, size_t out_stride)
{
    const PanelType *t = panel_type(type);
    PanelLayout layout;
    if (!t || !panel_layout(type, k, &layout)) return;
    for (size_t i = 0; i < m; i++) memset(out + i * out_stride, 0, n * PANEL_ROWS * sizeof *out);
    size_t groups = panel_groups(t), bytes = panel_unit_bytes(t->scales, groups);
    for (size_t p = 0; p < n; p++, out += PANEL_ROWS) {
        const uint8_t *src = (const uint8_t *)panels + p * layout.bytes;
        const uint8_t *unit = src + layout.codes_bytes;
        for (size_t g = 0; g < k / (size_t)t->group; g++) {
            float scale[PANEL_ROWS], min[PANEL_ROWS];
            group_scales(t, unit, g % groups, scale, min);
            if (g % groups == groups - 1) unit += bytes;
            add_group(t->code, t->group, src, scale, layout.centred ? NULL : min, t->offset,
                      t->table, g, act, m, out, out_stride);
        }
    }
}

void kernels_ref_quant(Kernels *table)
{
    table->quantize_act = quantize_act;
    table->panel_scales = panel_scales;
    table->panel_matmul = panel_matmul;
    table->panel_few = panel_few;
}
