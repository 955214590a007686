/* Numbers of a planned tensor, some rows at a time: taken from the mapped file in the order the
 * plan says, widened to float32, changed, and narrowed to the type that is written. F8 formats: OCP
 * "FP8 Formats for Deep Learning" (arXiv 2209.05433); MXFP4: OCP Microscaling Formats 1.0. */
#include <math.h>

#include "base/checked.h"
#include "base/cpu.h"
#include "convert/plan.h"
#include "convert/values.h"
#include "kernels/kernels.h"
#include "tensor/dtype.h"
#include "tensor/half.h"

enum { F8_BLOCK = 128, MX_BLOCK = 32, MX_BYTES = 17 };

uint64_t out_row_bytes(const ConvOut *o)
{
    return dtype_row_bytes(o->type, o->cols);
}

uint64_t out_bytes(const ConvOut *o)
{
    uint64_t pieces = o->made ? 1 : o->n_pieces;
    return dtype_row_bytes(o->type, o->cols * o->rows * o->mats * pieces);
}

/* ---- one number ---- */

static float f8_e4m3(uint8_t b)
{
    uint32_t e = (b >> 3) & 15, m = b & 7;
    float sign = b & 0x80 ? -1.0f : 1.0f;
    if (e == 15 && m == 7) return NAN;
    return sign * (e ? ldexpf(1 + (float)m / 8, (int)e - 7) : ldexpf((float)m / 8, -6));
}

static float f8_e5m2(uint8_t b)
{
    return f16_to_f32((uint16_t)(b << 8)); /* the upper half of a half */
}

static uint32_t float_type(StType type)
{
    return type == ST_F32    ? DT_F32
           : type == ST_F16  ? DT_F16
           : type == ST_BF16 ? DT_BF16
                             : UINT32_MAX;
}

void value_load(const StTensor *t, uint64_t at, uint64_t step, uint64_t n, float *out)
{
    unsigned width = st_type_bytes(t->type);
    const unsigned char *p = (const unsigned char *)t->data + at * width;
    uint32_t type = float_type(t->type);
    if (step == 1 && type != UINT32_MAX && (uintptr_t)p % width == 0) {
        kernels_select(cpu_features())->to_f32(type, p, out, n);
        return;
    }
    for (uint64_t i = 0; i < n; i++, p += step * width) {
        uint16_t h;
        double d;
        switch (t->type) {
        case ST_F32: memcpy(&out[i], p, 4); break;
        case ST_F16: memcpy(&h, p, 2), out[i] = f16_to_f32(h); break;
        case ST_BF16: memcpy(&h, p, 2), out[i] = bf16_to_f32(h); break;
        case ST_F64: memcpy(&d, p, 8), out[i] = (float)d; break;
        case ST_F8_E4M3: out[i] = f8_e4m3(*p); break;
        case ST_F8_E5M2: out[i] = f8_e5m2(*p); break;
        default: out[i] = NAN; break; /* refused when planned */
        }
    }
}

/* ---- F8 ---- */

/* Scales are one number, one a row, or one a block of 128 x 128, of t's own rows. */
static float scale_of(const StTensor *s, const StTensor *t, uint64_t row, uint64_t column)
{
    float scale;
    uint64_t n = s->n_dims ? s->shape[0] : 1, wide = s->n_dims == 2 ? s->shape[1] : 1;
    uint64_t at = n * wide == 1                   ? 0
                  : n == t->shape[0] && wide == 1 ? row
                                                  : row / F8_BLOCK * wide + column / F8_BLOCK;
    value_load(s, at, 1, 1, &scale);
    return scale;
}

/* Multiplies a row, or when `turned` the part of a column from row `row` on. */
static void apply_scale(const StTensor *s, const StTensor *t, uint64_t row, uint64_t column,
                        bool turned, uint64_t n, float *x)
{
    float scale = 1;
    for (uint64_t i = 0; i < n; i++) {
        if (turned || i % F8_BLOCK == 0)
            scale = turned ? scale_of(s, t, row + i, column) : scale_of(s, t, row, i);
        x[i] *= scale;
    }
}

/* ---- rows ---- */

/* Result row `row` (of one matrix) in float32. */
static void float_row(const ConvOut *o, const StTensor *t, const StTensor *scale, uint64_t mat,
                      uint64_t row, float *out, float *spare)
{
    uint64_t from = o->row_of ? o->row_of[row] : o->row0 + row;
    uint64_t base = mat * o->src_rows * o->src_cols;
    float *to = o->col_of ? spare : out;
    if (o->transposed) {
        value_load(t, base + from, o->src_cols, o->src_rows, to);
        if (scale) apply_scale(scale, t, mat * o->src_rows, from, true, o->src_rows, to);
    } else {
        value_load(t, base + from * o->src_cols, 1, o->src_cols, to);
        if (scale) apply_scale(scale, t, mat * o->src_rows + from, 0, false, o->src_cols, to);
    }
    if (o->col_of)
        for (uint64_t i = 0; i < o->cols; i++) out[i] = spare[o->col_of[i]];
    if (o->value)
        for (uint64_t i = 0; i < o->cols; i++) out[i] = o->value(out[i]);
    if (o->row_factor)
        for (uint64_t i = 0; i < o->cols; i++) out[i] *= o->row_factor[row];
}

/* Rows are copied byte by byte. */
static bool same_bytes(const ConvOut *o)
{
    return !o->made && !o->mxfp4 && !o->transposed && !o->col_of && !o->value && !o->scales &&
           !o->row_factor && float_type(o->pieces[0]->type) == o->type;
}

const void *out_plain(const ConvOut *o)
{
    if (o->n_pieces != 1 || o->row_of || !same_bytes(o)) return NULL;
    const StTensor *t = o->pieces[0];
    unsigned width = st_type_bytes(t->type);
    const unsigned char *p = (const unsigned char *)t->data + o->row0 * o->src_cols * width;
    if (o->rows != o->src_rows && o->mats > 1) return NULL; /* gaps between the matrices */
    return (uintptr_t)p % width ? NULL : p;
}

/* Makers pack neighbours into a byte, GGUF the two halves of a block. */
static void mxfp4_row(const ConvOut *o, const StTensor *t, const StTensor *s, uint64_t mat,
                      uint64_t row, uint8_t *out)
{
    uint64_t from = o->row_of ? o->row_of[row] : o->row0 + row, blocks = o->cols / MX_BLOCK;
    uint64_t at = (mat * o->src_rows + from) * blocks;
    const uint8_t *q = (const uint8_t *)t->data + at * (MX_BLOCK / 2);
    const uint8_t *e = (const uint8_t *)s->data + at;
    for (uint64_t b = 0; b < blocks; b++, q += MX_BLOCK / 2, out += MX_BYTES) {
        out[0] = e[b];
        for (int i = 0; i < MX_BLOCK / 2; i++) {
            int low = i, high = i + MX_BLOCK / 2;
            uint8_t x = (uint8_t)(q[low / 2] >> (low % 2 * 4) & 15);
            uint8_t y = (uint8_t)(q[high / 2] >> (high % 2 * 4) & 15);
            out[1 + i] = (uint8_t)(x | y << 4);
        }
    }
}

static bt_status check_range(const ConvOut *o, const float *x, uint64_t n, bt_error *err)
{
    const float most = o->type == DT_F16 ? 65504.0f : 3.0e38f;
    for (uint64_t i = 0; i < n; i++) {
        if (fabsf(x[i]) <= most) continue;
        if (!isfinite(x[i]))
            return bt_fail(err, BT_E_FORMAT,
                           "tensor '%s' holds NaN or infinity; the files are damaged, fetch them "
                           "again",
                           o->name);
        if (o->type == DT_F16)
            return bt_fail(err, BT_E_ARGUMENT,
                           "tensor '%s' holds %g, more than F16 can say; use --type bf16", o->name,
                           (double)x[i]);
    }
    return BT_OK;
}

bt_status out_rows(const ConvOut *o, uint64_t row, uint64_t n, void *dst, float *work,
                   bt_error *err)
{
    uint64_t row_bytes = out_row_bytes(o);
    unsigned char *out = dst;
    bool same = same_bytes(o);
    const Kernels *kernels = kernels_select(cpu_features());
    for (uint64_t i = 0; i < n; i++, row++, out += row_bytes) {
        uint64_t r = row % o->rows, mat = row / o->rows, piece = mat / o->mats;
        if (o->made) {
            memcpy(out, o->made + row, sizeof(float));
            continue;
        }
        const StTensor *t = o->pieces[piece], *s = o->scales ? o->scales[piece] : NULL;
        mat %= o->mats;
        if (o->mxfp4 && s) {
            mxfp4_row(o, t, s, mat, r, out);
        } else if (same) {
            uint64_t from = o->row_of ? o->row_of[r] : o->row0 + r;
            memcpy(out, (const char *)t->data + (mat * o->src_rows + from) * row_bytes, row_bytes);
        } else {
            float *x = work + o->cols;
            float_row(o, t, s, mat, r, work, x);
            bt_status status = check_range(o, work, o->cols, err);
            if (status) return status;
            kernels->from_f32(o->type, work, out, o->cols);
        }
    }
    if (same && !panel_finite(o->type, dst, row_bytes, n, o->cols))
        return bt_fail(err, BT_E_FORMAT,
                       "tensor '%s' holds NaN or infinity; the files are damaged, fetch them again",
                       o->name);
    return BT_OK;
}
