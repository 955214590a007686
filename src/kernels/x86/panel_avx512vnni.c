/* Panels times quantised activations with AVX-512 and VNNI (vpdpbusd: 64 int8 products an
 * instruction). Means what ref/panel.c says, with its last two products fused into their sums.
 *
 * From five rows on, a block of 512 k is unpacked once to one code a byte, with its scales, into a
 * scratch that stays in L1 (the other 5 to 20 % of the work otherwise), and tiles of 32 weight rows
 * by up to 6 activation rows run over it; sums wait side by side between blocks. Where up to 16
 * rows read codes from memory a block is half as long, so that L1 holds its scales too. The tile is
 * assembly: its 24 accumulators leave GCC no room. It turns integers to scaled floats in one
 * instruction: an accumulator starts at the bits of 1.5 * 2^23, so that it reads as the float
 * 1.5 * 2^23 + dot, and fma(that, scale, -1.5 * 2^23 * scale) is scale * dot rounded once, the same
 * as converting and multiplying, because a scale has at most 22 significant bits (panel_type.h).
 *
 * From L1 a tile runs at the rate of its products (60 cycles for 32 x 6 x 32 k, 66 with mins), so
 * what counts is that everything lies there in time: the tile fetches the rows of the next one as
 * it goes, a line of each every other group, and not all of them in a burst between two tiles.
 *
 * Up to four rows run straight over the packed codes (panel_few_avx512vnni.c). */
#include <immintrin.h>
#include <string.h>

#include "kernels/parts.h"
#include "kernels/x86/panel_avx512vnni.h"

enum { BLOCK_K = 512, FEW_K = 256 }; /* of a block; where few rows read codes from memory */
enum { TILE = 6, SLICE = 86 * TILE, CHUNK = 8 /* tiles */ };

/* What a tile reads for 32 k; two records of 16 when the group is 16. Rows 0..15, then 16..31. */
#define BIAS 12582912.0f      /* 1.5 * 2^23 */
enum { CONSTANTS = 3 * 128 }; /* scale, -BIAS * scale, min after the codes of a group */
enum { CENTRED = 2 * 128 };   /* the same without min */

static const float start_bias = BIAS;

typedef struct Tile {
    const uint8_t *work;
    const int8_t *q;
    const int8_t *next; /* rows to be fetched meanwhile, as many and as much of each */
    const float *scale;
    const void
        *sum; /* floats that mins multiply; of centred types where integers begin, plus BIAS */
    size_t q_stride, scale_stride, sum_stride; /* bytes */
    size_t n;                                  /* times 32 k */
} Tile;

/* ---- the tile ---- */
/* Columns 0..5 are activation rows; their addresses from two bases and a stride. zmm0..5 and 6..11:
 * integer sums of the two strips; zmm12..17 and 18..23: float sums; zmm31: BIAS. Registers are
 * short: where sums begin and how often to go round share one. */
/* clang-format off */
#define AT_0(base, stride) "(%[" base "0])"
#define AT_1(base, stride) "(%[" base "0],%[" stride "s])"
#define AT_2(base, stride) "(%[" base "0],%[" stride "s],2)"
#define AT_3(base, stride) "(%[" base "3])"
#define AT_4(base, stride) "(%[" base "3],%[" stride "s])"
#define AT_5(base, stride) "(%[" base "3],%[" stride "s],2)"

#define COLUMNS_1(X, a) X(0, 6, 12, 18, a)
#define COLUMNS_2(X, a) COLUMNS_1(X, a) X(1, 7, 13, 19, a)
#define COLUMNS_3(X, a) COLUMNS_2(X, a) X(2, 8, 14, 20, a)
#define COLUMNS_4(X, a) COLUMNS_3(X, a) X(3, 9, 15, 21, a)
#define COLUMNS_5(X, a) COLUMNS_4(X, a) X(4, 10, 16, 22, a)
#define COLUMNS_6(X, a) COLUMNS_5(X, a) X(5, 11, 17, 23, a)

#define LOAD(c, d, e, f, a)                                \
    "vmovaps " #c "*128(%[left]), %%zmm" #e "\n\t"         \
    "vmovaps " #c "*128+64(%[left]), %%zmm" #f "\n\t"
#define STORE(c, d, e, f, a)                               \
    "vmovaps %%zmm" #e ", " #c "*128(%[left])\n\t"         \
    "vmovaps %%zmm" #f ", " #c "*128+64(%[left])\n\t"
#define START(c, d, e, f, a)                               \
    "vmovaps %%zmm31, %%zmm" #c "\n\t"                     \
    "vmovaps %%zmm31, %%zmm" #d "\n\t"
#define START_AT(c, d, e, f, a)                            \
    "vpbroadcastd " a AT_##c("m", "m") ", %%zmm" #c "\n\t" \
    "vmovdqa64 %%zmm" #c ", %%zmm" #d "\n\t"
#define FETCH(c, d, e, f, a)                               \
    "prefetcht0 " AT_##c("n", "q") "\n\t"
#define DOT(c, d, e, f, a)                                 \
    "vpbroadcastd " a AT_##c("q", "q") ", %%zmm26\n\t"     \
    "vpdpbusd %%zmm26, %%zmm24, %%zmm" #c "\n\t"           \
    "vpdpbusd %%zmm26, %%zmm25, %%zmm" #d "\n\t"
#define SCALE(c, d, e, f, a)                               \
    "vfmadd213ps %%zmm26, %%zmm24, %%zmm" #c "\n\t"        \
    "vfmadd213ps %%zmm27, %%zmm25, %%zmm" #d "\n\t"        \
    "vbroadcastss " AT_##c("a", "a") ", %%zmm30\n\t"       \
    "vfmadd231ps %%zmm30, %%zmm" #c ", %%zmm" #e "\n\t"    \
    "vfmadd231ps %%zmm30, %%zmm" #d ", %%zmm" #f "\n\t"
#define MIN(c, d, e, f, a)                                 \
    "vbroadcastss " a AT_##c("m", "m") ", %%zmm30\n\t"     \
    "vfmadd231ps %%zmm30, %%zmm28, %%zmm" #e "\n\t"        \
    "vfmadd231ps %%zmm30, %%zmm29, %%zmm" #f "\n\t"

/* Four k: codes at `from`, activations at offset `a`. */
#define STEP(n, from, a)                                   \
    "vmovdqa64 " from "(%[w]), %%zmm24\n\t"                \
    "vmovdqa64 " from "+64(%[w]), %%zmm25\n\t"             \
    COLUMNS_##n(DOT, a)
#define FOUR_STEPS(n, from, a)                             \
    STEP(n, from, a)                                       \
    STEP(n, from "+128", a "+4")                           \
    STEP(n, from "+256", a "+8")                           \
    STEP(n, from "+384", a "+12")
/* Constants of a group at `from`, activation sums at offset `a`. */
#define FINISH_CENTRED(n, from)                            \
    "vmovaps " from "(%[w]), %%zmm24\n\t"                  \
    "vmovaps " from "+64(%[w]), %%zmm25\n\t"               \
    "vmovaps " from "+128(%[w]), %%zmm26\n\t"              \
    "vmovaps " from "+192(%[w]), %%zmm27\n\t"              \
    COLUMNS_##n(SCALE, "")
#define FINISH(n, from, a)                                 \
    "vmovaps " from "+256(%[w]), %%zmm28\n\t"              \
    "vmovaps " from "+320(%[w]), %%zmm29\n\t"              \
    FINISH_CENTRED(n, from)                                \
    COLUMNS_##n(MIN, a)

#define GROUP_32(n)                                        \
    COLUMNS_##n(START, "")                                 \
    FOUR_STEPS(n, "0", "0")                                \
    FOUR_STEPS(n, "512", "16")                             \
    FINISH(n, "1024", "0")                                 \
    "add $1408, %[w]\n\t"                                  \
    "add $4, %[m0]\n\t"                                    \
    "add $4, %[m3]\n\t"
#define GROUP_16(n)                                        \
    COLUMNS_##n(START, "")                                 \
    FOUR_STEPS(n, "0", "0")                                \
    FINISH(n, "512", "0")                                  \
    COLUMNS_##n(START, "")                                 \
    FOUR_STEPS(n, "896", "16")                             \
    FINISH(n, "1408", "4")                                 \
    "add $1792, %[w]\n\t"                                  \
    "add $8, %[m0]\n\t"                                    \
    "add $8, %[m3]\n\t"

#define CENTRED_32(n)                                      \
    COLUMNS_##n(START_AT, "")                              \
    FOUR_STEPS(n, "0", "0")                                \
    FOUR_STEPS(n, "512", "16")                             \
    FINISH_CENTRED(n, "1024")                              \
    "add $1280, %[w]\n\t"                                  \
    "add $4, %[m0]\n\t"                                    \
    "add $4, %[m3]\n\t"
#define CENTRED_16(n)                                      \
    COLUMNS_##n(START_AT, "")                              \
    FOUR_STEPS(n, "0", "0")                                \
    FINISH_CENTRED(n, "512")                               \
    COLUMNS_##n(START_AT, "4")                             \
    FOUR_STEPS(n, "768", "16")                             \
    FINISH_CENTRED(n, "1280")                              \
    "add $1536, %[w]\n\t"                                  \
    "add $8, %[m0]\n\t"                                    \
    "add $8, %[m3]\n\t"

#define CLOBBER(i) "xmm" #i
#define DEFINE_TILE(name, cols, group)                                                             \
    static void name(const Tile *t, float *sums)                                                   \
    {                                                                                              \
        const uint8_t *w = t->work;                                                                \
        const int8_t *q0 = t->q, *q3 = q0 + 3 * t->q_stride;                                       \
        const char *a0 = (const char *)t->scale, *a3 = a0 + 3 * t->scale_stride;                   \
        const char *m0 = t->sum, *m3 = m0 + 3 * t->sum_stride;                                     \
        const int8_t *n0 = t->next, *n3 = n0 + 3 * t->q_stride;                                    \
        size_t left, n = t->n;                                                                     \
        __asm__ volatile(                                                                          \
            "vbroadcastss %[bias], %%zmm31\n\t"                                                    \
            "mov %[sums], %[left]\n\t"                                                             \
            COLUMNS_##cols(LOAD, "")                                                               \
            "mov %[n], %[left]\n\t"                                                                \
            ".p2align 5\n"                                                                         \
            "1:\n\t"                                                                               \
            COLUMNS_##cols(FETCH, "")                                                              \
            group(cols)                                                                            \
            "add $32, %[n0]\n\t"                                                                   \
            "add $32, %[n3]\n\t"                                                                   \
            "add $32, %[q0]\n\t"                                                                   \
            "add $32, %[q3]\n\t"                                                                   \
            "add $4, %[a0]\n\t"                                                                    \
            "add $4, %[a3]\n\t"                                                                    \
            "dec %[left]\n\t"                                                                      \
            "jnz 1b\n\t"                                                                           \
            "mov %[sums], %[left]\n\t"                                                             \
            COLUMNS_##cols(STORE, "")                                                              \
            : [w] "+&r"(w), [q0] "+&r"(q0), [q3] "+&r"(q3), [a0] "+&r"(a0), [a3] "+&r"(a3),        \
              [m0] "+&r"(m0), [m3] "+&r"(m3), [n0] "+&r"(n0), [n3] "+&r"(n3), [left] "=&r"(left)   \
            : [sums] "m"(sums), [n] "m"(n), [qs] "r"(t->q_stride), [as] "r"(t->scale_stride),      \
              [ms] "r"(t->sum_stride), [bias] "m"(start_bias)                                      \
            : "memory", "cc", CLOBBER(0), CLOBBER(1), CLOBBER(2), CLOBBER(3), CLOBBER(4),          \
              CLOBBER(5), CLOBBER(6), CLOBBER(7), CLOBBER(8), CLOBBER(9), CLOBBER(10),             \
              CLOBBER(11), CLOBBER(12), CLOBBER(13), CLOBBER(14), CLOBBER(15), CLOBBER(16),        \
              CLOBBER(17), CLOBBER(18), CLOBBER(19), CLOBBER(20), CLOBBER(21), CLOBBER(22),        \
              CLOBBER(23), CLOBBER(24), CLOBBER(25), CLOBBER(26), CLOBBER(27), CLOBBER(28),        \
              CLOBBER(29), CLOBBER(30), CLOBBER(31));                                              \
    }
/* clang-format on */

#define DEFINE_TILES(name, group)                                                                  \
    DEFINE_TILE(name##_1, 1, group)                                                                \
    DEFINE_TILE(name##_2, 2, group)                                                                \
    DEFINE_TILE(name##_3, 3, group)                                                                \
    DEFINE_TILE(name##_4, 4, group)                                                                \
    DEFINE_TILE(name##_5, 5, group)                                                                \
    DEFINE_TILE(name##_6, 6, group)
DEFINE_TILES(tile32, GROUP_32)
DEFINE_TILES(tile16, GROUP_16)
DEFINE_TILES(centred32, CENTRED_32)
DEFINE_TILES(centred16, CENTRED_16)

typedef void TileFn(const Tile *t, float *sums);
#define TILES(name)                                                                                \
    {                                                                                              \
        name##_1, name##_2, name##_3, name##_4, name##_5, name##_6                                 \
    }
static TileFn *const tiles[2][2][TILE] = {{TILES(tile32), TILES(tile16)},
                                          {TILES(centred32), TILES(centred16)}};

/* What all blocks of a product have in common; min NULL: centred. */
typedef struct Panel {
    PanelCode code;
    int group, offset;
    __m512i table;
    const float *scale, *min;
} Panel;

/* ---- unpacking ---- */

static inline __attribute__((always_inline)) const uint8_t *
unpack_block(PanelCode code, int group, bool centred, const Panel *p, const uint8_t *src, size_t g,
             size_t groups, uint8_t *to)
{
    const __m512 bias = _mm512_set1_ps(-BIAS);
    const __m512i none = _mm512_setzero_si512();
    const float *scale = p->scale + g * PANEL_ROWS, *min = p->min;
    if (!centred) min += g * PANEL_ROWS;
    for (size_t i = 0; i < groups; i++, scale += PANEL_ROWS) {
        const size_t gap = centred ? CENTRED : CONSTANTS;
        if (i * (size_t)group % 32 == 0) {
            unpack_32(code, group, p->table, src, gap, false, none, to);
            src += panel_codes_bytes(code, 32);
        }
        to += group * 32;
        for (int half = 0; half < 2; half++) {
            __m512 s = _mm512_loadu_ps(scale + 16 * half);
            float *at = (float *)(void *)to + 16 * half;
            _mm512_store_ps(at, s);
            _mm512_store_ps(at + 32, _mm512_mul_ps(s, bias));
            if (!centred) _mm512_store_ps(at + 64, _mm512_loadu_ps(min + 16 * half));
        }
        if (!centred) min += PANEL_ROWS;
        to += gap;
    }
    return src;
}

/* Groups from number g on. Every code has groups of 32 or 16 and mins or none, some have both. */
static const uint8_t *unpack(const Panel *p, const uint8_t *src, size_t g, size_t groups,
                             uint8_t *to)
{
    enum { NARROW = N_PANEL_CODES, WITH_MIN = 2 * N_PANEL_CODES };
#define UNPACK(code, group, min)                                                                   \
    case code + ((group) == 16 ? NARROW : 0) + ((min) ? WITH_MIN : 0):                             \
        return unpack_block(code, group, !(min), p, src, g, groups, to);
    switch ((int)p->code + (p->group == 16 ? NARROW : 0) + (p->min ? WITH_MIN : 0)) {
        UNPACK(CODE_NIBBLE, 32, false)
        UNPACK(CODE_NIBBLE, 32, true)
        UNPACK(CODE_TABLE, 32, false)
        UNPACK(CODE_TABLE, 16, false)
        UNPACK(CODE_SIX, 16, false)
        UNPACK(CODE_BYTE, 32, false)
        UNPACK(CODE_ONE, 32, false)
        UNPACK(CODE_TWO, 32, false)
        UNPACK(CODE_TWO, 32, true)
        UNPACK(CODE_TWO, 16, true)
        UNPACK(CODE_THREE, 16, false)
        UNPACK(CODE_OCTET, 32, false)
        UNPACK(CODE_OCTET, 16, false)
        UNPACK(CODE_FIVE, 32, false)
        UNPACK(CODE_FIVE, 32, true)
    }
#undef UNPACK
    return src;
}

/* Where the integers of a centred type begin: BIAS less the offset times the sums of the
 * activations of m rows, `groups` of them from the start of `act` on; (m, groups). */
static void begin_sums(const PanelAct *act, int group, int offset, size_t groups, size_t m,
                       int32_t *out)
{
    const __m512i zero = _mm512_castps_si512(_mm512_set1_ps(BIAS));
    const __m512i less =
        group == 16 ? _mm512_set1_epi32(-offset) : _mm512_set1_epi16((short)-offset);
    const size_t halves = (size_t)group / 16;
    for (size_t at = 0; at < groups; at += 16) {
        const size_t n = groups - at < 16 ? groups - at : 16;
        const __mmask32 some = (__mmask32)((UINT64_C(1) << n * halves) - 1);
        const __mmask16 keep = (__mmask16)((1u << n) - 1);
        for (size_t i = 0; i < m; i++) {
            const int16_t *sums = act->q_sum16 + 2 * i * act->g_stride + at * halves;
            __m512i v = _mm512_maskz_loadu_epi16(some, sums);
            if (group == 16)
                v = _mm512_mullo_epi32(_mm512_cvtepi16_epi32(_mm512_castsi512_si256(v)), less);
            else
                v = _mm512_madd_epi16(v, less);
            _mm512_mask_storeu_epi32(out + i * groups + at, keep, _mm512_add_epi32(v, zero));
        }
    }
}

/* ---- the product ---- */

static void put_rows(const float *sums, size_t m, float *out, size_t out_stride)
{
    for (size_t i = 0; i < m; i++) {
        _mm512_storeu_ps(out + i * out_stride, _mm512_load_ps(sums + i * PANEL_ROWS));
        _mm512_storeu_ps(out + i * out_stride + 16, _mm512_load_ps(sums + i * PANEL_ROWS + 16));
    }
}

/* The first line of n rows. */
static inline void fetch_rows(const void *from, size_t stride, size_t n)
{
    for (size_t i = 0; i < n; i++) _mm_prefetch((const char *)from + i * stride, _MM_HINT_T0);
}

/* All activation rows of a slice over one unpacked block of n times 32 k; `act` begins there, sums
 * (m, 32). On the way `bytes` from `next` on are fetched. Where these are the last k the sums go to
 * `out`, each tile's at once: a row of it is in no cache, and only so many stores can wait. */
static void run_block(const uint8_t *work, const Panel *p, const PanelAct *act, size_t n, size_t m,
                      float *sums, const uint8_t *next, size_t bytes, float *out, size_t out_stride)
{
    _Alignas(64) int32_t begin[CHUNK * TILE * BLOCK_K / 16];
    const bool wide = p->group == 32;
    const size_t n_tiles = (m + TILE - 1) / TILE, groups = wide ? n : 2 * n;
    const size_t small = m / n_tiles, large = m % n_tiles; /* columns; tiles of one more */
    const size_t share = (bytes / n_tiles + 63) / 64 * 64;
    const uint8_t *end = next + bytes;
    TileFn *const *const fn = tiles[!p->min][!wide];
    PanelAct a = *act;
    Tile t = {.work = work,
              .sum = wide ? (const void *)a.sum32 : (const void *)a.sum16,
              .q_stride = act->q_stride,
              .scale_stride = act->g_stride * 4,
              .sum_stride = p->min ? act->g_stride * (wide ? 4 : 8) : groups * 4,
              .n = n};
    for (size_t i = 0; i < n_tiles; i++) {
        const size_t cols = small + (i < large);
        t.q = a.q;
        t.scale = a.scale;
        if (!p->min && i % CHUNK == 0) {
            begin_sums(&a, p->group, p->offset, groups, m < CHUNK * TILE ? m : CHUNK * TILE, begin);
            t.sum = begin;
        }
        /* Fetched meanwhile: what the next tile reads, or the first of the next block, and a part
         * of the next block of codes. */
        m -= cols;
        a = m ? panel_act_at(a, cols, 0) : panel_act_at(*act, 0, n);
        t.next = a.q;
        const char *sum = (const char *)t.sum + cols * t.sum_stride;
        fetch_rows(a.scale, t.scale_stride, cols);
        if (p->min) fetch_rows(sum, t.sum_stride, cols);
        for (size_t at = 0; at < share && next < end; at += 64, next += 64)
            _mm_prefetch((const char *)next, _MM_HINT_T1);
        fn[cols - 1](&t, sums);
        if (out) {
            put_rows(sums, cols, out, out_stride);
            out += cols * out_stride;
        }
        t.sum = sum;
        sums += cols * PANEL_ROWS;
    }
}

/* At most SLICE rows. Their sums lie side by side until they are done: rows of `out` may be pages
 * apart, and twelve of them at a distance of a power of two fill a set of L1. */
static void run_slice(const Panel *p, const uint8_t *src, size_t k, const PanelAct *act, size_t m,
                      float *out, size_t out_stride)
{
    _Alignas(64) uint8_t work[BLOCK_K / 16 * (512 + CONSTANTS)];
    _Alignas(64) float sums[SLICE * PANEL_ROWS];
    memset(sums, 0, m * PANEL_ROWS * sizeof *sums);
    for (size_t at = 0; at < k; at += BLOCK_K) {
        size_t n = k - at < BLOCK_K ? k - at : BLOCK_K, group = (size_t)p->group;
        const uint8_t *next = unpack(p, src, at / group, n / group, work);
        size_t bytes = (size_t)(next - src);
        PanelAct a = panel_act_at(*act, 0, at / ACT_GROUP);
        src = next;
        run_block(work, p, &a, n / 32, m, sums, src, bytes, at + n == k ? out : NULL, out_stride);
    }
}

/* The same straight from a panel: scales are decoded a block at a time, and what is fetched at the
 * end is the next panel. */
static void run_panel(const PanelType *t, const PanelLayout *l, const uint8_t *codes, size_t k,
                      const PanelAct *act, size_t m, float *out, size_t out_stride)
{
    _Alignas(64) uint8_t work[FEW_K / 16 * (512 + CONSTANTS)];
    _Alignas(64) float sums[SLICE * PANEL_ROWS];
    _Alignas(64) float scale[FEW_K / 16 * PANEL_ROWS], min[FEW_K / 16 * PANEL_ROWS];
    const Panel p = {
        l->code, l->group, l->offset, table_entries(l->table), scale, l->centred ? NULL : min};
    const uint8_t *src = codes, *scales = codes + l->codes_bytes, *unit = scales;
    memset(sums, 0, m * PANEL_ROWS * sizeof *sums);
    for (size_t at = 0; at < k; at += FEW_K) {
        const size_t n = k - at < FEW_K ? k - at : FEW_K;
        panel_scales_avx512(t->type, unit, n, scale, min);
        unit += n / (size_t)t->unit * panel_unit_bytes(t->scales, panel_groups(t));
        for (const uint8_t *i = unit; i < unit + 640; i += 64) /* about a block of them */
            _mm_prefetch((const char *)(i < codes + l->bytes ? i : i + l->codes_bytes),
                         _MM_HINT_T0);
        const uint8_t *next = unpack(&p, src, 0, n / (size_t)l->group, work);
        const size_t bytes = (size_t)(next - src);
        const PanelAct a = panel_act_at(*act, 0, at / ACT_GROUP);
        src = next;
        run_block(work, &p, &a, n / 32, m, sums, src < scales ? src : codes + l->bytes, bytes,
                  at + n == k ? out : NULL, out_stride);
    }
}

void panel_any_avx512vnni(uint32_t type, const void *panels, size_t k, size_t n,
                          const PanelAct *act, size_t m, float *out, size_t out_stride)
{
    const PanelType *t = panel_type(type);
    PanelLayout layout;
    if (m <= PANEL_FOUR) {
        panel_few_avx512vnni(type, panels, k, n, act, m, out, out_stride);
        return;
    }
    if (!t || !panel_layout(type, k, &layout)) return;
    const uint8_t *panel = panels;
    for (size_t p = 0; p < n; p++, panel += layout.bytes, out += PANEL_ROWS) {
        for (size_t row = 0, some; row < m; row += some) {
            some = m - row < SLICE ? m - row : SLICE;
            const PanelAct a = panel_act_at(*act, row, 0);
            run_panel(t, &layout, panel, k, &a, some, out + row * out_stride, out_stride);
        }
    }
}

void panel_matmul_avx512vnni(PanelCode code, int group, const void *codes, const float *scale,
                             const float *min, int offset, const uint8_t *table, size_t k,
                             const PanelAct *act, size_t m, float *out, size_t out_stride)
{
    if (m <= PANEL_FOUR) {
        panel_few_decoded_avx512vnni(code, group, codes, scale, min, offset, table, k, act, m, out,
                                     out_stride);
        return;
    }
    Panel p = {code, group, offset, table_entries(table), scale, min};
    for (size_t row = 0, n; row < m; row += n) {
        n = m - row < SLICE ? m - row : SLICE;
        PanelAct a = panel_act_at(*act, row, 0);
        run_slice(&p, codes, k, &a, n, out + row * out_stride, out_stride);
    }
}

void kernels_avx512vnni_quant(Kernels *table)
{
    table->quantize_act = quantize_act_avx512;
    table->panel_scales = panel_scales_avx512;
    table->panel_matmul = panel_matmul_avx512vnni;
    table->panel_few = panel_any_avx512vnni;
}
