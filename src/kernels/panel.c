/* Turns rows of GGUF blocks into panels and back (layout: panel.h, scale streams: panel_type.h).
 * Lossless: codes and scales keep the file's bits, only their places change. Runs once a model
 * (the result is cached), on all cores, so it is plain C written to be vectorised: unpack a block
 * to one code a byte, then scatter eight codes at a time. A type without a row in `types` has no
 * panel; its users dequantise. */
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/panel_type.h"
#include "tensor/blocks.h"
#include "tensor/dtype.h"

/* ---- blocks to one code a byte ---- */

static void nibbles_32(const uint8_t *qs, uint8_t *codes)
{
    for (int i = 0; i < 16; i++) {
        codes[i] = qs[i] & 15;
        codes[i + 16] = qs[i] >> 4;
    }
}

static void codes_q4_0(const uint8_t *block, uint8_t *codes)
{
    nibbles_32(block + offsetof(BlockQ4_0, qs), codes);
}

static void codes_q4_1(const uint8_t *block, uint8_t *codes)
{
    nibbles_32(block + offsetof(BlockQ4_1, qs), codes);
}

static void codes_mxfp4(const uint8_t *block, uint8_t *codes)
{
    nibbles_32(block + offsetof(BlockMXFP4, qs), codes);
}

static void codes_q8_0(const uint8_t *block, uint8_t *codes)
{
    for (int i = 0; i < 32; i++) codes[i] = block[2 + i] ^ 128; /* two's complement to offset */
}

static void codes_iq4_xs(const uint8_t *block, uint8_t *codes)
{
    for (int g = 0; g < 8; g++)
        nibbles_32(block + offsetof(BlockIQ4_XS, qs) + 16 * g, codes + 32 * g);
}

static void codes_q4_k(const uint8_t *block, uint8_t *codes)
{
    const uint8_t *qs = block + offsetof(BlockQ4_K, qs);
    for (int g = 0; g < 4; g++, qs += 32, codes += 64) {
        for (int i = 0; i < 32; i++) {
            codes[i] = qs[i] & 15;
            codes[i + 32] = qs[i] >> 4;
        }
    }
}

static void codes_q6_k(const uint8_t *block, uint8_t *codes)
{
    const uint8_t *ql = block, *qh = block + offsetof(BlockQ6_K, qh);
    for (int half = 0; half < 2; half++, ql += 64, qh += 32, codes += 128) {
        for (int i = 0; i < 32; i++) {
            codes[i] = (uint8_t)((ql[i] & 15) | (qh[i] & 3) << 4);
            codes[i + 32] = (uint8_t)((ql[i + 32] & 15) | (qh[i] & 12) << 2);
            codes[i + 64] = (uint8_t)(ql[i] >> 4 | (qh[i] & 48));
            codes[i + 96] = (uint8_t)(ql[i + 32] >> 4 | (qh[i] & 192) >> 2);
        }
    }
}

/* ---- the table ---- */

static const uint8_t iq4_table[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                      129, 141, 153, 166, 181, 197, 217, 241};
static const uint8_t mxfp4_table[16] = {128, 129, 130, 131, 132, 134, 136, 140,
                                        128, 127, 126, 125, 124, 122, 120, 116};

static const PanelType types[] = {
    {DT_Q4_0, CODE_NIBBLE, SCALE_F16, 32, 8, 32, 18, 64, NULL, codes_q4_0},
    {DT_Q4_1, CODE_NIBBLE, SCALE_F16_MIN, 32, 0, 32, 20, 128, NULL, codes_q4_1},
    {DT_Q8_0, CODE_BYTE, SCALE_F16, 32, 128, 32, 34, 64, NULL, codes_q8_0},
    {DT_IQ4_NL, CODE_TABLE, SCALE_F16, 32, 128, 32, 18, 64, iq4_table, codes_q4_0},
    {DT_MXFP4, CODE_TABLE, SCALE_E8M0, 32, 128, 32, 17, 32, mxfp4_table, codes_mxfp4},
    {DT_Q4_K, CODE_NIBBLE, SCALE_K_MIN, 32, 0, 256, 144, 640, NULL, codes_q4_k},
    {DT_Q6_K, CODE_SIX, SCALE_K, 16, 32, 256, 210, 576, NULL, codes_q6_k},
    {DT_IQ4_XS, CODE_TABLE, SCALE_K, 32, 128, 256, 136, 320, iq4_table, codes_iq4_xs},
};

const PanelType *panel_type(uint32_t type)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].type == type) return &types[i];
    return NULL;
}

static size_t code_bytes(PanelCode code, size_t k)
{
    switch (code) {
    case CODE_SIX: return k / 16 * 2 * 192;
    case CODE_BYTE: return k / 4 * 2 * 64;
    default: return k / 8 * 2 * 64;
    }
}

bool panel_layout(uint32_t type, size_t k, PanelLayout *out)
{
    const PanelType *t = panel_type(type);
    if (!t || k % (size_t)t->unit) return false;
    size_t codes = code_bytes(t->code, k), scales = k / (size_t)t->unit * (size_t)t->unit_bytes;
    *out = (PanelLayout){.code = t->code,
                         .group = t->group,
                         .table = t->table,
                         .codes_bytes = codes,
                         .scales_bytes = scales,
                         .bytes = (codes + scales + 63) / 64 * 64};
    return true;
}

/* ---- packing ---- */

/* Codes of one row, n of them from column 0 of dst, into its lane (dst points there). */
static void scatter_nibbles(const uint8_t *codes, int n, uint8_t *dst)
{
    for (int k = 0; k < n; k += 8, dst += 128) {
        uint32_t low, high;
        memcpy(&low, codes + k, 4);
        memcpy(&high, codes + k + 4, 4);
        low |= high << 4;
        memcpy(dst, &low, 4);
    }
}

static void scatter_sixes(const uint8_t *codes, int n, uint8_t *dst)
{
    for (int k = 0; k < n; k += 16, dst += 384) {
        uint32_t c[4], top = 0;
        memcpy(c, codes + k, 16);
        for (int i = 0; i < 4; i++) {
            top |= (c[i] & 0x30303030u) >> 4 << 2 * i;
            c[i] &= 0x0f0f0f0fu;
        }
        c[0] |= c[1] << 4;
        c[2] |= c[3] << 4;
        memcpy(dst, &c[0], 4);
        memcpy(dst + 64, &c[2], 4);
        memcpy(dst + 128, &top, 4);
    }
}

static void scatter_bytes(const uint8_t *codes, int n, uint8_t *dst)
{
    for (int k = 0; k < n; k += 4, dst += 128) memcpy(dst, codes + k, 4);
}

/* Scales of one block of row r into its unit. */
static void pack_scales(const PanelType *t, const uint8_t *block, size_t r, uint8_t *unit)
{
    switch (t->scales) {
    case SCALE_F16: memcpy(unit + 2 * r, block, 2); break;
    case SCALE_F16_MIN:
        memcpy(unit + 2 * r, block, 2);
        memcpy(unit + 64 + 2 * r, block + 2, 2);
        break;
    case SCALE_E8M0: unit[r] = block[0]; break;
    case SCALE_K_MIN:
        memcpy(unit + 2 * r, block, 2);
        memcpy(unit + 64 + 2 * r, block + 2, 2);
        for (int g = 0; g < 8; g++)
            k_scale_min(block + 4, g, &unit[128 + 64 * g + (int)r], &unit[160 + 64 * g + (int)r]);
        break;
    case SCALE_K: {
        bool six = t->type == DT_Q6_K;
        memcpy(unit + 2 * r, six ? block + offsetof(BlockQ6_K, d) : block, 2);
        const BlockIQ4_XS *xs = (const void *)block;
        const uint8_t *bytes = block + offsetof(BlockQ6_K, scales);
        for (int g = 0; g < t->unit / t->group; g++)
            unit[64 + 32 * g + (int)r] = six ? bytes[g] : (uint8_t)iq4_xs_scale(xs, g);
        break;
    }
    }
}

void panel_pack(uint32_t type, const void *rows, size_t row_bytes, size_t n_rows, size_t k,
                void *panel)
{
    const PanelType *t = panel_type(type);
    PanelLayout layout;
    if (!t || !panel_layout(type, k, &layout)) return;
    uint8_t *out = panel, *scales = out + layout.codes_bytes;
    if (n_rows < PANEL_ROWS)
        memset(out, 0, layout.bytes);
    else
        memset(scales + layout.scales_bytes, 0,
               layout.bytes - layout.codes_bytes - layout.scales_bytes);
    size_t strip = t->code == CODE_SIX ? 192 : 64;
    size_t unit_codes = code_bytes(t->code, (size_t)t->unit);
    const uint8_t *block = rows;
    for (size_t done = 0; done < k; done += (size_t)t->unit) {
        for (size_t r = 0; r < n_rows; r++) {
            const uint8_t *from = block + r * row_bytes;
            uint8_t codes[256], *lane = out + r / 16 * strip + r % 16 * 4;
            t->codes(from, codes);
            if (t->code == CODE_SIX)
                scatter_sixes(codes, t->unit, lane);
            else if (t->code == CODE_BYTE)
                scatter_bytes(codes, t->unit, lane);
            else
                scatter_nibbles(codes, t->unit, lane);
            pack_scales(t, from, r, scales);
        }
        block += t->block_bytes;
        out += unit_codes;
        scales += t->unit_bytes;
    }
}

/* ---- reading back ---- */

static int code_at(PanelCode code, const uint8_t *codes, size_t k, size_t r)
{
    size_t half = r / 16, lane = r % 16 * 4 + k % 4;
    if (code == CODE_BYTE) return codes[k / 4 * 128 + half * 64 + lane];
    if (code != CODE_SIX) return codes[k / 8 * 128 + half * 64 + lane] >> (k & 4) & 15;
    const uint8_t *strip = codes + k / 16 * 384 + half * 192;
    int low = strip[k % 16 / 8 * 64 + lane] >> (k & 4) & 15;
    return low | (strip[128 + lane] >> k % 16 / 4 * 2 & 3) << 4;
}

/* Scale and (types with one) min of row r in group g of a unit. */
static float scale_at(const PanelType *t, const uint8_t *unit, size_t g, size_t r, float *min)
{
    *min = 0;
    switch (t->scales) {
    case SCALE_F16: return f16_at(unit + 2 * r);
    case SCALE_F16_MIN: *min = f16_at(unit + 64 + 2 * r); return f16_at(unit + 2 * r);
    case SCALE_E8M0: return e8m0_half(unit[r]);
    case SCALE_K_MIN:
        *min = -(f16_at(unit + 64 + 2 * r) * (float)unit[160 + 64 * g + r]);
        return f16_at(unit + 2 * r) * (float)unit[128 + 64 * g + r];
    case SCALE_K: return f16_at(unit + 2 * r) * (float)(int8_t)unit[64 + 32 * g + r];
    }
    return 0;
}

void panel_row(uint32_t type, const void *panel, size_t k, size_t r, float *dst)
{
    const PanelType *t = panel_type(type);
    PanelLayout layout;
    if (!t || !panel_layout(type, k, &layout)) return;
    const uint8_t *codes = panel, *scales = codes + layout.codes_bytes;
    size_t unit = (size_t)t->unit, group = (size_t)t->group;
    bool has_min = t->scales == SCALE_F16_MIN || t->scales == SCALE_K_MIN;
    for (size_t i = 0; i < k; i += group) {
        float min, scale = scale_at(t, scales + i / unit * (size_t)t->unit_bytes, i % unit / group,
                                    r, &min);
        for (size_t j = i; j < i + group; j++) {
            int c = code_at(t->code, codes, j, r);
            if (t->table) c = t->table[c];
            dst[j] = (float)(c - t->offset) * scale;
            if (has_min) dst[j] += min;
        }
    }
}
