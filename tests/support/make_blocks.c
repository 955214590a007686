/* Random weights as GGUF blocks. F32, F16, BF16, Q8_0 and Q4_0 are rounded from the numbers by the
 * plainest rule; the other types get random bits with scales that give the wanted spread. */
#include "make_blocks.h"

#include <math.h>
#include <string.h>

#include "tensor/half.h"

uint64_t make_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

float make_normal(uint64_t *state)
{
    int sum = 0;
    for (int i = 0; i < 2; i++) {
        uint64_t r = make_random(state);
        for (int k = 0; k < 4; k++, r >>= 16) sum += (int)(r & 0xffff) - 32768;
    }
    return ((float)sum + 4.0f) / 53510.0f; /* 65536 sqrt(8 / 12) */
}

static void put_half(unsigned char *at, float value)
{
    uint16_t h = f32_to_f16(value);
    memcpy(at, &h, 2);
}

static void block_q8_0(const float x[32], unsigned char *out)
{
    float most = 0;
    for (int i = 0; i < 32; i++) most = fmaxf(most, fabsf(x[i]));
    float d = most / 127;
    put_half(out, d);
    for (int i = 0; i < 32; i++) out[2 + i] = (unsigned char)(int)(d > 0 ? roundf(x[i] / d) : 0);
}

/* The largest number becomes -8 or 7: byte i holds numbers i (low half) and i + 16. */
static void block_q4_0(const float x[32], unsigned char *out)
{
    float most = 0;
    for (int i = 0; i < 32; i++)
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    float d = most / -8;
    put_half(out, d);
    memset(out + 2, 0, 16);
    for (int i = 0; i < 32; i++) {
        int q = d != 0 ? (int)floorf(x[i] / d + 8.5f) : 8;
        q = q < 0 ? 0 : q > 15 ? 15 : q;
        out[2 + i % 16] |= (unsigned char)(i < 16 ? q : q << 4);
    }
}

static bool rounded(DType type, uint64_t n, float mean, float spread, uint64_t *state,
                    unsigned char *out)
{
    float x[32];
    const DTypeInfo *info = dtype_info(type);
    uint64_t step = info->block == 1 ? 1 : 32;
    for (uint64_t i = 0; i < n; i += step, out += info->bytes) {
        uint16_t h;
        for (uint64_t k = 0; k < step; k++) x[k] = mean + spread * make_normal(state);
        switch (type) {
        case DT_F32: memcpy(out, x, 4); break;
        case DT_F16: put_half(out, x[0]); break;
        case DT_BF16: h = f32_to_bf16(x[0]), memcpy(out, &h, 2); break;
        case DT_Q8_0: block_q8_0(x, out); break;
        default: block_q4_0(x, out); break;
        }
    }
    return true;
}

/* Where a block keeps its scale d (and its minimum m), and which of them give numbers of spread 1
 * when all other bits are random. */
static const struct {
    DType type;
    int d_at, m_at; /* -1: none */
    float d, m;     /* m as a multiple of d */
} layouts[] = {
    {DT_Q4_1, 0, 2, 1 / 4.6f, -7.5f},   {DT_Q5_0, 0, -1, 1 / 9.2f, 0},
    {DT_Q5_1, 0, 2, 1 / 9.2f, -15.5f},  {DT_Q2_K, 80, 82, 1 / 14.0f, 1.5f},
    {DT_Q3_K, 108, -1, 1 / 42.0f, 0},   {DT_Q4_K, 0, 2, 1 / 255.0f, 7.5f},
    {DT_Q5_K, 0, 2, 1 / 521.0f, 15.5f}, {DT_Q6_K, 208, -1, 1 / 1332.0f, 0},
    {DT_IQ4_NL, 0, -1, 1 / 70.0f, 0},   {DT_IQ4_XS, 0, -1, 1 / 1295.0f, 0},
    {DT_TQ1_0, 52, -1, 1.2f, 0},        {DT_TQ2_0, 64, -1, 1.4f, 0},
    {DT_IQ1_M, 48, -1, 1 / 7.5f, 0},    {DT_IQ1_S, 0, -1, 1 / 7.5f, 0},
    {DT_IQ2_XXS, 0, -1, 1 / 53.0f, 0},  {DT_IQ2_XS, 0, -1, 1 / 53.0f, 0},
    {DT_IQ2_S, 0, -1, 1 / 53.0f, 0},    {DT_IQ3_XXS, 0, -1, 1 / 140.0f, 0},
    {DT_IQ3_S, 0, -1, 1 / 160.0f, 0},   {DT_Q1_0, 0, -1, 1.0f, 0},
    {DT_Q2_0, 0, -1, 1.4f, 0},
};

/* Blocks of 32 four-bit floats behind a power of two. */
static void mxfp4(uint64_t n_blocks, float spread, uint64_t *state, unsigned char *out)
{
    int exponent;
    frexpf(spread / 2.9f, &exponent);
    for (uint64_t i = 0; i < n_blocks; i++, out += 17) {
        out[0] = (unsigned char)(127 + exponent - (int)(make_random(state) & 1));
        for (int k = 1; k < 17; k++) out[k] = (unsigned char)make_random(state);
    }
}

/* Blocks of 64 four-bit floats, a UE4M3 scale for each 16. */
static void nvfp4(uint64_t n_blocks, float spread, uint64_t *state, unsigned char *out)
{
    int exponent;
    frexpf(spread / 2.3f, &exponent);
    for (uint64_t i = 0; i < n_blocks; i++, out += 36) {
        for (int k = 0; k < 36; k++) out[k] = (unsigned char)make_random(state);
        for (int g = 0; g < 4; g++) out[g] = (unsigned char)((6 + exponent) << 3 | (out[g] & 7));
    }
}

/* Four codes a byte, 3 (which no quantiser writes) turned into 1: zero. */
static void ternary(unsigned char *qs, int n)
{
    for (int i = 0; i < n; i++) qs[i] &= (unsigned char)~(qs[i] & qs[i] << 1 & 0xaa);
}

/* The float16 scale of an IQ1_M block: the top four bits of its last four words. */
static void put_spread_half(unsigned char *words, float value)
{
    uint16_t h = f32_to_f16(value);
    for (int i = 0; i < 4; i++)
        words[2 * i + 1] = (unsigned char)((words[2 * i + 1] & 15) | (h >> 4 * i & 15) << 4);
}

bool make_blocks(DType type, uint64_t n, float mean, float spread, uint64_t *state, void *memory)
{
    unsigned char *out = memory;
    const DTypeInfo *info = dtype_info(type);
    if (type == DT_F32 || type == DT_F16 || type == DT_BF16 || type == DT_Q8_0 || type == DT_Q4_0)
        return rounded(type, n, mean, spread, state, out);
    uint64_t n_blocks = n / (uint64_t)info->block;
    if (type == DT_MXFP4) {
        mxfp4(n_blocks, spread, state, out);
        return true;
    }
    if (type == DT_NVFP4) {
        nvfp4(n_blocks, spread, state, out);
        return true;
    }
    for (size_t row = 0; row < sizeof layouts / sizeof *layouts; row++) {
        if (layouts[row].type != type) continue;
        for (uint64_t i = 0; i < n_blocks; i++, out += info->bytes) {
            for (int k = 0; k < info->bytes; k++) out[k] = (unsigned char)make_random(state);
            float d = spread * layouts[row].d * (0.7f + (float)(make_random(state) & 255) / 425);
            if (type == DT_TQ2_0) ternary(out, 64);
            if (type == DT_Q2_0) ternary(out + 2, 16);
            if (type == DT_IQ1_M)
                put_spread_half(out + 48, d);
            else
                put_half(out + layouts[row].d_at, d);
            if (layouts[row].m_at >= 0) put_half(out + layouts[row].m_at, d * layouts[row].m);
        }
        return true;
    }
    return false;
}
