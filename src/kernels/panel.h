/* Panels: the one layout of quantised weights that decode, small batches and prefill share.
 *
 * A weight matrix of N rows (outputs) by K columns (inputs) is cut into panels of PANEL_ROWS = 32
 * rows; the last is padded with zero rows. A panel is two streams, one after the other:
 *
 *   codes   unsigned integers; within a panel, for each turn of k the two strips of 16 rows
 *     CODE_NIBBLE  8 k:  strip of 64 bytes; byte 4r+j = code(r, k+j) | code(r, k+4+j) << 4
 *     CODE_SIX    16 k:  strip of 192 bytes: two nibble strips (k..k+7, k+8..k+15) of the low four
 *                        bits, then 64 bytes; bits 2i,2i+1 of byte 4r+j = high bits of (r, k+4i+j)
 *     CODE_BYTE    4 k:  strip of 64 bytes; byte 4r+j = code(r, k+j)
 *     CODE_ONE    32 k:  strip of 64 bytes; bit i of byte 4r+j = half the code of (r, k+4i+j),
 *                        which is 0 or 2
 *     CODE_TWO    32 k:  strip of 128 bytes: bits 2i,2i+1 of byte 4r+j = code(r, k+4i+j), then the
 *                        same for k+16..k+31
 *     CODE_THREE  32 k:  strip of 192 bytes: low two bits as CODE_TWO, third bits as CODE_ONE
 *     CODE_FIVE   32 k:  strip of 320 bytes: four nibble strips of 8 k, fifth bits as CODE_ONE
 *   scales  what turns codes into weights, by `ScaleKind`, in groups of 32 or 16 k
 *
 * A weight is scale * code + min, or, where codes stand for numbers of both signs, scale * (code -
 * offset): then the type is *centred* (Q4_0: offset 8), has no mins, and the offset is taken away
 * while sums are integers. All kinds decode to float32 arrays of (groups, 32 rows) of scale and min
 * before a kernel runs over the panel. CODE_TABLE is CODE_NIBBLE with the code looked up in a table
 * of 16 (IQ4_NL, MXFP4), CODE_OCTET is CODE_THREE with a table of 8 (IQ2); entries of tables are
 * offset too. One layout serves 64-, 32- and 16-byte registers: lanes are rows, 4 consecutive k per
 * 32-bit lane, as int8 dot instructions want it.
 *
 * Kernels here see raw pointers and sizes only. */
#ifndef KERNELS_PANEL_H
#define KERNELS_PANEL_H

#include <stddef.h>
#include <stdint.h>

#define PANEL_ROWS 32
#define PANEL_FEW  16 /* rows up to which kernel panel_few is the faster */
#define ACT_GROUP  32 /* k that share one activation scale */

typedef enum PanelCode {
    CODE_NIBBLE,
    CODE_TABLE,
    CODE_SIX,
    CODE_BYTE,
    CODE_ONE,
    CODE_TWO,
    CODE_THREE,
    CODE_OCTET,
    CODE_FIVE,
} PanelCode;
enum { N_PANEL_CODES = CODE_FIVE + 1 };

/* ---- where codes lie; constants once a kernel is instantiated for one code ---- */

static inline size_t panel_bits(PanelCode code)
{
    switch (code) {
    case CODE_ONE: return 1;
    case CODE_TWO: return 2;
    case CODE_THREE:
    case CODE_OCTET: return 3;
    case CODE_FIVE: return 5;
    case CODE_SIX: return 6;
    case CODE_BYTE: return 8;
    default: return 4;
    }
}

/* k of a turn. */
static inline size_t panel_turn(PanelCode code)
{
    switch (code) {
    case CODE_BYTE: return 4;
    case CODE_NIBBLE:
    case CODE_TABLE: return 8;
    case CODE_SIX: return 16;
    default: return 32;
    }
}

/* Bytes of n k of both strips, n a multiple of the turn. */
static inline size_t panel_codes_bytes(PanelCode code, size_t n)
{
    return n * panel_bits(code) * 4;
}

/* Bytes of a strip's turn: how far the second strip lies behind the first. */
static inline size_t panel_strip(PanelCode code)
{
    return panel_codes_bytes(code, panel_turn(code)) / 2;
}

/* From the first to the second 16 of 32 k, where these are turns apart; else 0. */
static inline size_t panel_half(PanelCode code)
{
    return panel_turn(code) < 32 ? panel_codes_bytes(code, 16) : 0;
}

/* Activations of M rows (tokens), quantised by kernel quantize_act: signed int8, one float32
 * scale per 32 k (max|x| / 127). */
typedef struct PanelAct {
    const int8_t *q;        /* (M, q_stride): q_stride >= K, 64-byte aligned rows */
    const float *scale;     /* (M, g_stride): per 32 k */
    const float *sum32;     /* (M, g_stride): scale * sum of q, per 32 k */
    const float *sum16;     /* (M, 2 * g_stride): scale * sum of q, per 16 k */
    const int16_t *q_sum16; /* (M, 2 * g_stride): sum of q, per 16 k */
    size_t q_stride, g_stride;
} PanelAct;

/* The same from row `row` on, and group `g` of 32 k. */
static inline PanelAct panel_act_at(PanelAct a, size_t row, size_t g)
{
    size_t at = row * a.g_stride + g;
    a.q += row * a.q_stride + g * ACT_GROUP;
    a.scale += at;
    a.sum32 += at;
    a.sum16 += 2 * at;
    a.q_sum16 += 2 * at;
    return a;
}

#endif
