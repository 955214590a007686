/* Turns rows of GGUF blocks into panels and back (layout: panel.h, scale streams: panel_type.h).
 * Lossless: codes and scales keep the file's bits, only their places change. Runs once a model
 * (the result is cached), on all cores, so it is plain C written to be vectorised: unpack a block
 * to one code a byte, then scatter eight codes at a time. A type without a row in `types` has no
 * panel; its users dequantise. */
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/panel_type.h"
#include "tensor/blocks.h"

bool panel_layout(uint32_t type, size_t k, PanelLayout *out)
{
    const PanelType *t = panel_type(type);
    if (!t || k % (size_t)t->unit) return false;
    size_t codes = panel_codes_bytes(t->code, k);
    size_t scales = k / (size_t)t->unit * panel_unit_bytes(t->scales, panel_groups(t));
    *out = (PanelLayout){.code = t->code,
                         .group = t->group,
                         .table = t->table,
                         .centred = !scale_has_min(t->scales),
                         .offset = t->offset,
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

/* Bit `bit` of each of 32 codes. */
static uint32_t gather_ones(const uint32_t *c, int bit)
{
    uint32_t v = 0;
    for (int i = 0; i < 8; i++) v |= (c[i] >> bit & 0x01010101u) << i;
    return v;
}

/* The low two bits of 16 codes. */
static uint32_t gather_twos(const uint32_t *c)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) v |= (c[i] & 0x03030303u) << 2 * i;
    return v;
}

/* Codes of 1, 2, 3 and 5 bits: whatever planes these have. */
static void scatter_planes(PanelCode code, const uint8_t *codes, int n, uint8_t *dst)
{
    for (int k = 0; k < n; k += 32, dst += panel_codes_bytes(code, 32)) {
        uint32_t c[8], v[5];
        int words = 0;
        memcpy(c, codes + k, 32);
        if (code == CODE_FIVE)
            for (int i = 0; i < 4; i++)
                v[words++] = (c[2 * i] & 0x0f0f0f0fu) | (c[2 * i + 1] & 0x0f0f0f0fu) << 4;
        else if (code != CODE_ONE)
            for (int i = 0; i < 2; i++) v[words++] = gather_twos(c + 4 * i);
        if (code != CODE_TWO)
            v[words++] = gather_ones(c, code == CODE_ONE ? 1 : code == CODE_FIVE ? 4 : 2);
        for (int i = 0; i < words; i++) memcpy(dst + 64 * i, &v[i], 4);
    }
}

static void scatter(PanelCode code, const uint8_t *codes, int n, uint8_t *dst)
{
    switch (code) {
    case CODE_NIBBLE:
    case CODE_TABLE: scatter_nibbles(codes, n, dst); break;
    case CODE_SIX: scatter_sixes(codes, n, dst); break;
    case CODE_BYTE: scatter_bytes(codes, n, dst); break;
    default: scatter_planes(code, codes, n, dst);
    }
}

/* The float16 d of a block, and a min behind it, as arrays of a unit. */
static void pack_halves(const PanelType *t, const uint8_t *block, size_t r, bool min, uint8_t *unit)
{
    uint16_t pieces;
    const void *d = &pieces;
    if (t->d_at == D_IN_PIECES)
        pieces = iq1_m_bits((const void *)block);
    else
        d = block + t->d_at;
    memcpy(unit + 2 * r, d, 2);
    if (min) memcpy(unit + 64 + 2 * r, block + t->d_at + 2, 2);
}

/* Entry r of an array of n bits each, 6 or 12; rows come in order, so that what is not written yet
 * may be anything. */
static void put_bits(uint8_t *array, unsigned n, size_t r, unsigned value)
{
    const unsigned shift = (unsigned)(n * r % 8);
    uint8_t *at = array + n * r / 8;
    *at = (uint8_t)((shift ? *at : 0) | value << shift);
    if (shift + n > 8) at[1] = (uint8_t)(value >> (8 - shift));
}

static unsigned bits_at(const uint8_t *array, unsigned n, size_t r)
{
    const unsigned shift = (unsigned)(n * r % 8);
    const uint8_t *at = array + n * r / 8;
    unsigned value = *at;
    if (shift + n > 8) value |= (unsigned)at[1] << 8;
    return value >> shift & ((1u << n) - 1);
}

/* Scales of one block of row r into its unit. */
static void pack_scales(const PanelType *t, const uint8_t *block, size_t r, uint8_t *unit)
{
    ScaleKind kind = t->scales;
    bool min = kind == SCALE_F16_MIN || kind == SCALE_K_MIN || kind == SCALE_K_NIBBLES;
    uint8_t steps[16];
    if (kind == SCALE_E8M0) unit[r] = block[0];
    if (t->d_at != NO_D) {
        pack_halves(t, block, r, min, unit);
        unit += min ? 128 : 64;
    }
    if (kind == SCALE_K_MIN)
        for (int g = 0; g < 8; g++) {
            uint8_t scale, low;
            k_scale_min(block + 4, g, &scale, &low);
            put_bits(unit + 48 * g, 12, r, (unsigned)(scale | low << 6));
        }
    if (!t->steps) return;
    t->steps(block, steps);
    const bool pairs = scale_pairs((ScaleKind)kind);
    for (size_t g = 0; g < panel_groups(t); g++)
        if (kind == SCALE_K_SIX)
            put_bits(unit + 24 * g, 6, r, steps[g]);
        else if (!pairs)
            unit[32 * g + r] = steps[g];
        else if (g % 2)
            unit[16 * (g - 1) + r] |= (uint8_t)(steps[g] << 4);
        else
            unit[16 * g + r] = steps[g];
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
    size_t unit_codes = panel_codes_bytes(t->code, (size_t)t->unit);
    size_t unit_scales = panel_unit_bytes(t->scales, panel_groups(t));
    const uint8_t *block = rows;
    for (size_t done = 0; done < k; done += (size_t)t->unit) {
        for (size_t r = 0; r < n_rows; r++) {
            const uint8_t *from = block + r * row_bytes;
            uint8_t codes[256], *lane = out + r / 16 * panel_strip(t->code) + r % 16 * 4;
            t->codes(from, codes);
            scatter(t->code, codes, t->unit, lane);
            pack_scales(t, from, r, scales);
        }
        block += t->block_bytes;
        out += unit_codes;
        scales += unit_scales;
    }
}

/* ---- reading back ---- */

/* Four bits of a pair of groups. */
static uint8_t step_at(const uint8_t *unit, size_t g, size_t r)
{
    return unit[64 + g / 2 * 32 + r] >> 4 * (g % 2) & 15;
}

float panel_scale_at(const PanelType *t, const uint8_t *unit, size_t g, size_t r, float *min)
{
    uint8_t step = 0;
    unsigned both = 0;
    float d = 0, m = 0;
    if (t->d_at != NO_D) d = f16_at(unit + 2 * r);
    switch (t->scales) {
    case SCALE_F16: break;
    case SCALE_F16_MIN: *min = f16_at(unit + 64 + 2 * r); return d;
    case SCALE_E8M0: d = e8m0_half(unit[r]); break;
    case SCALE_UE4M3: d = ue4m3_half(unit[32 * g + r]); break;
    case SCALE_K_MIN:
        m = f16_at(unit + 64 + 2 * r);
        both = bits_at(unit + 128 + 48 * g, 12, r);
        *min = -(m * (float)(both >> 6));
        return d * (float)(both & 63);
    case SCALE_K_NIBBLES:
        m = f16_at(unit + 64 + 2 * r);
        step = unit[128 + 32 * g + r];
        *min = -(m * (float)(step >> 4));
        return d * (float)(step & 15);
    case SCALE_K: d *= (float)(int8_t)unit[64 + 32 * g + r]; break;
    case SCALE_K_SIX: d *= (float)((int)bits_at(unit + 64 + 24 * g, 6, r) - 32); break;
    case SCALE_K_ODD: d = d * t->factor * (float)(2 * step_at(unit, g, r) + 1); break;
    case SCALE_K_DELTA:
        step = step_at(unit, g, r);
        d *= (float)(2 * (step & 7) + 1);
        *min = d * (step & 8 ? -1.125f : -0.875f);
        return d;
    }
    return d;
}

void panel_row(uint32_t type, const void *panel, size_t k, size_t r, float *dst)
{
    const PanelType *t = panel_type(type);
    PanelLayout layout;
    if (!t || !panel_layout(type, k, &layout)) return;
    const uint8_t *codes = panel, *scales = codes + layout.codes_bytes;
    size_t unit = (size_t)t->unit, group = (size_t)t->group;
    size_t unit_bytes = panel_unit_bytes(t->scales, panel_groups(t));
    bool has_min =
        t->scales == SCALE_F16_MIN || t->scales == SCALE_K_MIN || t->scales == SCALE_K_NIBBLES;
    for (size_t i = 0; i < k; i += group) {
        const uint8_t *at = scales + i / unit * unit_bytes;
        size_t g = i % unit / group;
        float min = 0, scale = panel_scale_at(t, at, g, r, &min), offset = (float)t->offset;
        if (t->scales == SCALE_K_DELTA) offset = step_at(at, g, r) & 8 ? 1.125f : 0.875f;
        for (size_t j = i; j < i + group; j++) {
            int c = panel_code_at(t->code, codes, j, r);
            if (t->table) c = t->table[c];
            dst[j] = ((float)c - offset) * scale;
            if (has_min) dst[j] += min;
        }
    }
}
