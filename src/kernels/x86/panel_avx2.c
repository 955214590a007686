/* Panels with AVX2. vpmaddubsw adds two products of an unsigned and a signed byte in 16 bits and
 * saturates: nibbles never reach that, not even eight sums of them (8 * 2 * 15 * 128 < 2^15), six
 * bits allow two (2 * 2 * 63 * 128 < 2^15), five bits four, and whole bytes are taken as two
 * nibbles. Entries of CODE_OCTET reach 86: one.
 *
 * spills run_octet_16: a constant, read back once a strip; sixteen registers are too few. */
#define TILE_OF(code)                                                                              \
    ((code) == CODE_NIBBLE || (code) == CODE_ONE || (code) == CODE_TWO || (code) == CODE_THREE     \
         ? 4                                                                                       \
         : 2)

#include "kernels/parts.h"
#include "kernels/x86/panel_256.h"
#include "kernels/x86/quantize_avx2.h"

INLINE void dots(PanelCode code, int group, __m256i table, const uint8_t *strip, const Lines *lines,
                 int part, const int8_t *q, size_t q_stride, int m, Dots *out)
{
    const __m256i one = _mm256_set1_epi16(1), low = _mm256_set1_epi8(15);
    const bool halves_of = code == CODE_TABLE || code == CODE_BYTE; /* nibbles apart */
    const bool narrow = code == CODE_SIX || code == CODE_OCTET || code == CODE_FIVE; /* widen */
    const int step = step_of(code);
    __m256i sum[2][4], high[2][4];
    for (int i = 0; i < 2; i++)
        for (int c = 0; c < m; c++) sum[i][c] = high[i][c] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int k = 0; k < group; k += step) {
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            Codes w = unpack(code, table, strip + 32 * i, 16 * part + k);
            const size_t at = (size_t)(k / step * 2 + i), steps = (size_t)(group / step * 2);
            keep_order(&q);
            fetch(lines, at, steps, &sum[i][0]);
#pragma GCC unroll 4
            for (int c = 0; c < m; c++) {
                const int8_t *x = q + (size_t)c * q_stride + k;
                if (code == CODE_SIX) {
                    __m256i a = _mm256_add_epi16(_mm256_maddubs_epi16(w.v[0], four(x)),
                                                 _mm256_maddubs_epi16(w.v[1], four(x + 4)));
                    __m256i b = _mm256_add_epi16(_mm256_maddubs_epi16(w.v[2], four(x + 8)),
                                                 _mm256_maddubs_epi16(w.v[3], four(x + 12)));
                    sum[i][c] = _mm256_add_epi32(sum[i][c], _mm256_madd_epi16(a, one));
                    sum[i][c] = _mm256_add_epi32(sum[i][c], _mm256_madd_epi16(b, one));
                    keep_sum(&sum[i][c]);
                    continue;
                }
                if (code == CODE_FIVE) {
                    __m256i a = _mm256_add_epi16(_mm256_maddubs_epi16(w.v[0], four(x)),
                                                 _mm256_maddubs_epi16(w.v[1], four(x + 4)));
                    sum[i][c] = _mm256_add_epi32(sum[i][c], _mm256_madd_epi16(a, one));
                    keep_sum(&sum[i][c]);
                    continue;
                }
#pragma GCC unroll 2
                for (int j = 0; j < 2 && code == CODE_OCTET; j++) {
                    __m256i a = _mm256_maddubs_epi16(w.v[j], four(x + 4 * j));
                    sum[i][c] = _mm256_add_epi32(sum[i][c], _mm256_madd_epi16(a, one));
                    keep_sum(&sum[i][c]);
                }
                if (code == CODE_OCTET) continue;
#pragma GCC unroll 2
                for (int j = 0; j < step / 4; j++) {
                    __m256i v = w.v[j], y = four(x + 4 * j);
                    if (halves_of) {
                        __m256i h = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
                        high[i][c] = _mm256_add_epi16(high[i][c], _mm256_maddubs_epi16(h, y));
                        keep_sum(&high[i][c]);
                        v = _mm256_and_si256(v, low);
                    }
                    sum[i][c] = _mm256_add_epi16(sum[i][c], _mm256_maddubs_epi16(v, y));
                    keep_sum(&sum[i][c]);
                }
            }
        }
    }
    __m256i ones = _mm256_set1_epi16(1);
    keep_sum(&ones); /* takes no register in the loop above */
    for (int i = 0; i < 2; i++)
        for (int c = 0; c < m; c++) {
            __m256i v = sum[i][c];
            if (!narrow) v = _mm256_madd_epi16(v, ones);
            if (halves_of)
                v = _mm256_add_epi32(v, _mm256_slli_epi32(_mm256_madd_epi16(high[i][c], ones), 4));
            out->v[i][c] = v;
        }
}

void kernels_avx2_quant(Kernels *table)
{
    table->quantize_act = quantize_act_avx2;
    table->panel_scales = panel_scales;
    table->panel_matmul = panel_matmul;
    table->panel_few = panel_few;
}
