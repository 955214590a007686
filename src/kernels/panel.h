/* Panels: the one layout of quantised weights that decode, small batches and prefill share.
 *
 * A weight matrix of N rows (outputs) by K columns (inputs) is cut into panels of PANEL_ROWS = 32
 * rows; the last is padded with zero rows. A panel is two streams, one after the other:
 *
 *   codes   unsigned integers; within a panel, for each run of k the two strips of 16 rows in turn
 *     CODE_NIBBLE  8 k:  strip of 64 bytes; byte 4r+j = code(r, k+j) | code(r, k+4+j) << 4
 *     CODE_SIX    16 k:  strip of 192 bytes: two nibble strips (k..k+7, k+8..k+15) of the low four
 *                        bits, then 64 bytes; bits 2i,2i+1 of byte 4r+j = high bits of (r, k+4i+j)
 *     CODE_BYTE    4 k:  strip of 64 bytes; byte 4r+j = code(r, k+j)
 *   scales  what turns codes into weights, by `ScaleKind`, in groups of 32 or 16 k
 *
 * A weight is scale * code + min. All kinds decode to float32 arrays of (groups, 32 rows) of scale
 * and min before a kernel runs over the panel; signed codes are stored with an offset that goes
 * into the min (Q4_0: min = -8 scale). CODE_TABLE is CODE_NIBBLE with the code looked up in a table
 * of 16 (IQ4_NL, MXFP4), table entries offset by 128. One layout serves 64-, 32- and 16-byte
 * registers: lanes are rows, 4 consecutive k per 32-bit lane, as int8 dot instructions want it.
 *
 * Kernels here see raw pointers and sizes only. */
#ifndef KERNELS_PANEL_H
#define KERNELS_PANEL_H

#include <stddef.h>
#include <stdint.h>

#define PANEL_ROWS 32
#define PANEL_FEW  4
#define ACT_GROUP  32 /* k that share one activation scale */

typedef enum PanelCode { CODE_NIBBLE, CODE_TABLE, CODE_SIX, CODE_BYTE } PanelCode;

/* Activations of M rows (tokens), quantised by kernel quantize_act: signed int8, one float32
 * scale per 32 k (max|x| / 127). */
typedef struct PanelAct {
    const int8_t *q;    /* (M, q_stride): q_stride >= K, 64-byte aligned rows */
    const float *scale; /* (M, g_stride): per 32 k */
    const float *sum32; /* (M, g_stride): scale * sum of q, per 32 k */
    const float *sum16; /* (M, 2 * g_stride): scale * sum of q, per 16 k */
    size_t q_stride, g_stride;
} PanelAct;

#endif
