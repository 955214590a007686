/* The table of types that are kept in panels, and how each block gives one code a byte and its
 * scales (layouts: panel.h, panel_type.h, tensor/blocks.h). Runs once a model: plain C. */
#include "kernels/panel_type.h"

#include <string.h>

#include "tensor/blocks.h"
#include "tensor/dtype.h"
#include "tensor/grids.h"

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

/* Bit 4 of n codes from bits. */
static void add_fifth(const uint8_t *bits, int n, uint8_t *codes)
{
    for (int i = 0; i < n; i++) codes[i] |= (uint8_t)((bits[i / 8] >> i % 8 & 1) << 4);
}

static void codes_q5_0(const uint8_t *block, uint8_t *codes)
{
    nibbles_32(block + offsetof(BlockQ5_0, qs), codes);
    add_fifth(block + offsetof(BlockQ5_0, qh), 32, codes);
}

static void codes_q5_1(const uint8_t *block, uint8_t *codes)
{
    nibbles_32(block + offsetof(BlockQ5_1, qs), codes);
    add_fifth(block + offsetof(BlockQ5_1, qh), 32, codes);
}

static void codes_q5_k(const uint8_t *block, uint8_t *codes)
{
    const BlockQ5_K *b = (const void *)block;
    for (int g = 0; g < 8; g++)
        for (int i = 0; i < 32; i++) {
            int low = b->qs[32 * (g / 2) + i] >> 4 * (g % 2) & 15;
            codes[32 * g + i] = (uint8_t)(low | (b->qh[i] >> g & 1) << 4);
        }
}

/* Byte 32h + l holds k%128 = l, l+32, l+64, l+96. */
static void codes_q2_k(const uint8_t *qs, uint8_t *codes)
{
    for (int half = 0; half < 2; half++, qs += 32)
        for (int part = 0; part < 4; part++, codes += 32)
            for (int i = 0; i < 32; i++) codes[i] = qs[i] >> 2 * part & 3;
}

static void codes_q2_k_block(const uint8_t *block, uint8_t *codes)
{
    codes_q2_k(block + offsetof(BlockQ2_K, qs), codes);
}

static void codes_q3_k(const uint8_t *block, uint8_t *codes)
{
    const BlockQ3_K *b = (const void *)block;
    codes_q2_k(b->qs, codes);
    for (int k = 0; k < 256; k++) codes[k] |= (uint8_t)((b->hmask[k % 32] >> k / 32 & 1) << 2);
}

static void codes_tq1_0(const uint8_t *block, uint8_t *codes)
{
    const BlockTQ1_0 *b = (const void *)block;
    for (int i = 0; i < 5; i++) {
        for (int l = 0; l < 32; l++) codes[l + 32 * i] = (uint8_t)tq1_digit(b->qs[l], i);
        for (int l = 0; l < 16; l++) codes[160 + l + 16 * i] = (uint8_t)tq1_digit(b->qs[32 + l], i);
        for (int l = 0; l < 4 && i < 4; l++)
            codes[240 + l + 4 * i] = (uint8_t)tq1_digit(b->qh[l], i);
    }
}

static void codes_q2_0(const uint8_t *block, uint8_t *codes)
{
    for (int k = 0; k < 64; k++) codes[k] = block[2 + k / 4] >> 2 * (k % 4) & 3;
}

static void codes_q1_0(const uint8_t *block, uint8_t *codes)
{
    for (int k = 0; k < 128; k++) codes[k] = (uint8_t)((block[2 + k / 8] >> k % 8 & 1) << 1);
}

static void codes_nvfp4(const uint8_t *block, uint8_t *codes)
{
    const BlockNVFP4 *b = (const void *)block;
    for (int i = 0; i < 32; i++) {
        codes[16 * (i / 8) + i % 8] = b->qs[i] & 15;
        codes[16 * (i / 8) + i % 8 + 8] = b->qs[i] >> 4;
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

/* ---- entries of grids to places in tables of their numbers, of both signs ---- */

/* 8, 25, 43 are places 0, 1, 2; with a minus, 4 more. */
static void octets(uint64_t entry, unsigned signs, uint8_t *codes)
{
    for (int i = 0; i < 8; i++)
        codes[i] = (uint8_t)((entry >> (8 * i + 4) & 3) | (signs >> i & 1) << 2);
}

static void codes_iq2_xxs(const uint8_t *block, uint8_t *codes)
{
    const BlockIQ2_XXS *b = (const void *)block;
    for (int i = 0; i < 32; i++, codes += 8) {
        const uint8_t *q = b->qs + i / 4 * 8;
        octets(grid_iq2_xxs[q[i % 4]], grid_signs(u32_at(q + 4) >> 7 * (i % 4)), codes);
    }
}

static void codes_iq2_xs(const uint8_t *block, uint8_t *codes)
{
    const BlockIQ2_XS *b = (const void *)block;
    for (int i = 0; i < 32; i++, codes += 8) {
        unsigned q = u16_at(b->qs + 2 * i);
        octets(grid_iq2_xs[q & 511], grid_signs(q >> 9), codes);
    }
}

static void codes_iq2_s(const uint8_t *block, uint8_t *codes)
{
    const BlockIQ2_S *b = (const void *)block;
    for (int i = 0; i < 32; i++, codes += 8) {
        unsigned high = b->qh[i / 4] >> 2 * (i % 4) & 3;
        octets(grid_iq2_s[b->qs[i] | high << 8], b->signs[i], codes);
    }
}

/* `shift` turns a number into its place, 0..7; with a minus, 8 more. */
static void signed_places(uint32_t entry, unsigned signs, int shift, uint8_t *codes)
{
    for (int i = 0; i < 4; i++)
        codes[i] = (uint8_t)((entry >> (8 * i + shift) & 7) | (signs >> i & 1) << 3);
}

static void codes_iq3_xxs(const uint8_t *block, uint8_t *codes)
{
    const BlockIQ3_XXS *b = (const void *)block;
    for (int i = 0; i < 64; i++, codes += 4) {
        unsigned signs = grid_signs(u32_at(b->signs + i / 8 * 4) >> 7 * (i / 2 % 4));
        signed_places(grid_iq3_xxs[b->qs[i]], signs >> 4 * (i % 2), 3, codes);
    }
}

static void codes_iq3_s(const uint8_t *block, uint8_t *codes)
{
    const BlockIQ3_S *b = (const void *)block;
    for (int i = 0; i < 64; i++, codes += 4) {
        unsigned entry = b->qs[i] | (b->qh[i / 8] >> i % 8 & 1u) << 8;
        signed_places(grid_iq3_s[entry], b->signs[i / 2] >> 4 * (i % 2), 1, codes);
    }
}

static void codes_iq1_s(const uint8_t *block, uint8_t *codes)
{
    const BlockIQ1_S *b = (const void *)block;
    for (int i = 0; i < 32; i++, codes += 8) {
        unsigned high = u16_at(b->qh + i / 4 * 2) >> 3 * (i % 4) & 7;
        for (int j = 0; j < 8; j++) codes[j] = grid_iq1[b->qs[i] | high << 8] >> 8 * j & 3;
    }
}

/* 0, 1, 2 below +1/8; 3, 4, 5 below -1/8. */
static void codes_iq1_m(const uint8_t *block, uint8_t *codes)
{
    const BlockIQ1_M *b = (const void *)block;
    for (int i = 0; i < 32; i++, codes += 8) {
        unsigned high = b->qh[i / 2] >> 4 * (i % 2);
        uint64_t entry = grid_iq1[b->qs[i] | (high & 7) << 8];
        for (int j = 0; j < 8; j++)
            codes[j] = (uint8_t)((entry >> 8 * j & 3) + (high >> 3 & 1) * 3);
    }
}

/* ---- scales of groups ---- */

static void steps_q6_k(const uint8_t *block, uint8_t *steps)
{
    memcpy(steps, block + offsetof(BlockQ6_K, scales), 16);
}

static void steps_q2_k(const uint8_t *block, uint8_t *steps)
{
    memcpy(steps, block, 16);
}

static void steps_nvfp4(const uint8_t *block, uint8_t *steps)
{
    memcpy(steps, block, 4);
}

static void steps_iq4_xs(const uint8_t *block, uint8_t *steps)
{
    for (int g = 0; g < 8; g++) steps[g] = (uint8_t)(iq4_xs_scale((const void *)block, g) + 32);
}

static void steps_q3_k(const uint8_t *block, uint8_t *steps)
{
    const BlockQ3_K *b = (const void *)block;
    for (int g = 0; g < 16; g++) steps[g] = (uint8_t)(q3_k_scale(b->scales, g) + 32);
}

/* The top four bits of a word for each 32 k. */
static void steps_of_words(const uint8_t *words, int stride, uint8_t *steps)
{
    for (int g = 0; g < 8; g++) steps[g] = words[stride * g + 3] >> 4;
}

static void steps_iq2_xxs(const uint8_t *block, uint8_t *steps)
{
    steps_of_words(block + offsetof(BlockIQ2_XXS, qs) + 4, 8, steps);
}

static void steps_iq3_xxs(const uint8_t *block, uint8_t *steps)
{
    steps_of_words(block + offsetof(BlockIQ3_XXS, signs), 4, steps);
}

static void steps_of_nibbles(const uint8_t *nibbles, int n, uint8_t *steps)
{
    for (int g = 0; g < n; g++) steps[g] = nibbles[g / 2] >> 4 * (g % 2) & 15;
}

static void steps_iq2_xs(const uint8_t *block, uint8_t *steps)
{
    steps_of_nibbles(block + offsetof(BlockIQ2_XS, scales), 16, steps);
}

static void steps_iq2_s(const uint8_t *block, uint8_t *steps)
{
    steps_of_nibbles(block + offsetof(BlockIQ2_S, scales), 16, steps);
}

static void steps_iq3_s(const uint8_t *block, uint8_t *steps)
{
    steps_of_nibbles(block + offsetof(BlockIQ3_S, scales), 8, steps);
}

static void steps_iq1_s(const uint8_t *block, uint8_t *steps)
{
    for (int g = 0; g < 8; g++) steps[g] = block[offsetof(BlockIQ1_S, qh) + 2 * (size_t)g + 1] >> 4;
}

static void steps_iq1_m(const uint8_t *block, uint8_t *steps)
{
    for (int g = 0; g < 16; g++)
        steps[g] = u16_at(block + offsetof(BlockIQ1_M, scales) + g / 4 * 2) >> 3 * (g % 4) & 7;
}

/* ---- the table ---- */

static const uint8_t iq4_table[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                      129, 141, 153, 166, 181, 197, 217, 241};
static const uint8_t mxfp4_table[16] = {128, 129, 130, 131, 132, 134, 136, 140,
                                        128, 127, 126, 125, 124, 122, 120, 116};

/* Tables of both signs: what their codes stand for, plus the offset. */
static const uint8_t iq2_table[16] = {51, 68, 86, 43, 35, 18, 0, 43, 51, 68, 86, 43, 35, 18, 0, 43};
static const uint8_t iq3_xxs_table[16] = {132, 140, 148, 156, 164, 172, 180, 190,
                                          124, 116, 108, 100, 92,  84,  76,  66};
static const uint8_t iq3_s_table[16] = {129, 131, 133, 135, 137, 139, 141, 143,
                                        127, 125, 123, 121, 119, 117, 115, 113};
static const uint8_t iq1_m_table[16] = {2, 10, 18, 0, 8, 16, 9, 9, 2, 10, 18, 0, 8, 16, 9, 9};

/* A row a type: code, scales, group, offset, unit, bytes of a block, factor, table, codes, steps,
 * where d lies. */
#define TYPE(name, ...) [name] = {name, __VA_ARGS__}
static const PanelType types[DTYPE_LIMIT] = {
    TYPE(DT_Q4_0, CODE_NIBBLE, SCALE_F16, 32, 8, 32, 18, 1, NULL, codes_q4_0, NULL, 0),
    TYPE(DT_Q4_1, CODE_NIBBLE, SCALE_F16_MIN, 32, 0, 32, 20, 1, NULL, codes_q4_1, NULL, 0),
    TYPE(DT_Q5_0, CODE_FIVE, SCALE_F16, 32, 16, 32, 22, 1, NULL, codes_q5_0, NULL, 0),
    TYPE(DT_Q5_1, CODE_FIVE, SCALE_F16_MIN, 32, 0, 32, 24, 1, NULL, codes_q5_1, NULL, 0),
    TYPE(DT_Q8_0, CODE_BYTE, SCALE_F16, 32, 128, 32, 34, 1, NULL, codes_q8_0, NULL, 0),
    TYPE(DT_IQ4_NL, CODE_TABLE, SCALE_F16, 32, 128, 32, 18, 1, iq4_table, codes_q4_0, NULL, 0),
    TYPE(DT_MXFP4, CODE_TABLE, SCALE_E8M0, 32, 128, 32, 17, 1, mxfp4_table, codes_mxfp4, NULL,
         NO_D),
    TYPE(DT_NVFP4, CODE_TABLE, SCALE_UE4M3, 16, 128, 64, 36, 1, mxfp4_table, codes_nvfp4,
         steps_nvfp4, NO_D),
    TYPE(DT_Q1_0, CODE_ONE, SCALE_F16, 32, 1, 128, 18, 1, NULL, codes_q1_0, NULL, 0),
    TYPE(DT_Q2_0, CODE_TWO, SCALE_F16, 32, 1, 64, 18, 1, NULL, codes_q2_0, NULL, 0),
    TYPE(DT_TQ1_0, CODE_TWO, SCALE_F16, 32, 1, 256, 54, 1, NULL, codes_tq1_0, NULL, 52),
    TYPE(DT_TQ2_0, CODE_TWO, SCALE_F16, 32, 1, 256, 66, 1, NULL, codes_q2_k, NULL, 64),
    TYPE(DT_Q2_K, CODE_TWO, SCALE_K_NIBBLES, 16, 0, 256, 84, 1, NULL, codes_q2_k_block, steps_q2_k,
         80),
    TYPE(DT_Q3_K, CODE_THREE, SCALE_K_SIX, 16, 4, 256, 110, 1, NULL, codes_q3_k, steps_q3_k, 108),
    TYPE(DT_Q4_K, CODE_NIBBLE, SCALE_K_MIN, 32, 0, 256, 144, 1, NULL, codes_q4_k, NULL, 0),
    TYPE(DT_Q5_K, CODE_FIVE, SCALE_K_MIN, 32, 0, 256, 176, 1, NULL, codes_q5_k, NULL, 0),
    TYPE(DT_Q6_K, CODE_SIX, SCALE_K, 16, 32, 256, 210, 1, NULL, codes_q6_k, steps_q6_k, 208),
    TYPE(DT_IQ4_XS, CODE_TABLE, SCALE_K_SIX, 32, 128, 256, 136, 1, iq4_table, codes_iq4_xs,
         steps_iq4_xs, 0),
    TYPE(DT_IQ3_XXS, CODE_TABLE, SCALE_K_ODD, 32, 128, 256, 98, 0.25f, iq3_xxs_table, codes_iq3_xxs,
         steps_iq3_xxs, 0),
    TYPE(DT_IQ3_S, CODE_TABLE, SCALE_K_ODD, 32, 128, 256, 110, 1, iq3_s_table, codes_iq3_s,
         steps_iq3_s, 0),
    TYPE(DT_IQ2_XXS, CODE_OCTET, SCALE_K_ODD, 32, 43, 256, 66, 0.125f, iq2_table, codes_iq2_xxs,
         steps_iq2_xxs, 0),
    TYPE(DT_IQ2_XS, CODE_OCTET, SCALE_K_ODD, 16, 43, 256, 74, 0.125f, iq2_table, codes_iq2_xs,
         steps_iq2_xs, 0),
    TYPE(DT_IQ2_S, CODE_OCTET, SCALE_K_ODD, 16, 43, 256, 82, 0.125f, iq2_table, codes_iq2_s,
         steps_iq2_s, 0),
    TYPE(DT_IQ1_S, CODE_TWO, SCALE_K_DELTA, 32, 0, 256, 50, 1, NULL, codes_iq1_s, steps_iq1_s, 0),
    TYPE(DT_IQ1_M, CODE_OCTET, SCALE_K_ODD, 16, 9, 256, 56, 0.125f, iq1_m_table, codes_iq1_m,
         steps_iq1_m, D_IN_PIECES),
};
#undef TYPE

const PanelType *panel_type(uint32_t type)
{
    return type < DTYPE_LIMIT && types[type].codes ? &types[type] : NULL;
}
