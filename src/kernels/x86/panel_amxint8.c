/* Panels times quantised activations with AMX (tdpbsud, of centred types tdpbssd: 16 x 16 x 64 int8
 * products an instruction). Means what ref/panel.c says, to the bit as panel_avx512vnni.c does: the
 * integers are exact, and what follows is the same.
 *
 * A tile of activations (16 rows by one group of k) meets the two strips of a panel, codes unpacked
 * to [k/4][32 rows][4] in L1, those of a centred type as signed numbers. A group is a half or a
 * quarter as wide as a tile: scales differ from group to group, so each gives a tile of sums of its
 * own. These wait in L1 until eight groups are done; then they become floats, 8 activation rows by
 * 32 weight rows in registers.
 *
 * The two halves of the work do not overlap, on purpose: while tiles are multiplied the core starts
 * one 512-bit operation a cycle instead of two (measured on Sapphire Rapids: 70 cycles a tile of
 * sums when they alternate, 60 in turns of eight groups). Groups of 16 with mins (Q2_K) bring more
 * floats than that pays for and are left to VNNI, and so are less than 16 rows. */
#include <string.h>

#include "kernels/parts.h"
#include "kernels/x86/panel_avx512vnni.h"
#include "kernels/x86/tiles.h"

enum { ROWS = 16, HALF = 8, GROUPS = 8, SLICE = 32 };
enum { MOST_K = GROUPS * ACT_GROUP }; /* of a block */

/* Integer sums of a block: [group][strip][activation row][weight row]. */
typedef int32_t Sums[GROUPS][2][ROWS][16];
/* Float sums of a tile. */
typedef float Result[ROWS][PANEL_ROWS];

/* What all blocks of a product have in common; min NULL: centred. */
typedef struct Panel {
    PanelCode code;
    int group, offset;
    __m512i table;
    const float *scale, *min; /* (groups, 32) */
} Panel;

/* Tiles: activations 0 and 1, codes 2 and 3, sums 4 to 7. A tile of sums is stored just before its
 * register is needed again: stored at once, it would wait for its product (32 cycles a tile against
 * 24). */
#define PRODUCT(sum, act, codes, from, to)                                                         \
    _tile_loadd(codes, from, 128);                                                                 \
    if (to) _tile_stored(sum, to, 64);                                                             \
    _tile_zero(sum);                                                                               \
    if (centred)                                                                                   \
        _tile_dpbssd(sum, act, codes);                                                             \
    else                                                                                           \
        _tile_dpbsud(sum, act, codes);

INLINE_512 void multiply(size_t group, bool centred, const uint8_t *w, size_t groups,
                         const int8_t *q, size_t q_stride, Sums sums)
{
    const size_t bytes = group * PANEL_ROWS;
    size_t g = 0;
    for (; g + 2 <= groups; g += 2, w += 2 * bytes, q += 2 * group) {
        _tile_loadd(0, q, q_stride);
        PRODUCT(4, 0, 2, w, g ? sums[g - 2][0] : NULL)
        PRODUCT(5, 0, 3, w + 64, g ? sums[g - 2][1] : NULL)
        _tile_loadd(1, q + group, q_stride);
        PRODUCT(6, 1, 2, w + bytes, g ? sums[g - 1][0] : NULL)
        PRODUCT(7, 1, 3, w + bytes + 64, g ? sums[g - 1][1] : NULL)
    }
    if (g) {
        _tile_stored(4, sums[g - 2][0], 64);
        _tile_stored(5, sums[g - 2][1], 64);
        _tile_stored(6, sums[g - 1][0], 64);
        _tile_stored(7, sums[g - 1][1], 64);
    }
    if (g < groups) {
        _tile_loadd(0, q, q_stride);
        PRODUCT(4, 0, 2, w, NULL)
        PRODUCT(5, 0, 3, w + 64, NULL)
        _tile_stored(4, sums[g][0], 64);
        _tile_stored(5, sums[g][1], 64);
    }
}

/* What add_up reads besides the sums, for each group of k from `scale` on. */
typedef struct Scales {
    const float *scale, *min; /* (groups, 32) of the panel; centred: no min */
    const float *act, *sum;   /* (8 rows, stride) of the activations; centred: no sum */
    size_t stride;            /* bytes */
    const char *next;         /* to be fetched: 256 bytes of a row every 32 k, of groups of 16 128
                               * bytes of two rows */
    size_t q_stride;
    size_t n; /* times 32 k */
} Scales;

/* clang-format off */
/* Activation row t of the array at base p, and at q = p + 5 strides. */
#define AT_0(p, q) "(%[" p "])"
#define AT_1(p, q) "(%[" p "],%[s])"
#define AT_2(p, q) "(%[" p "],%[s],2)"
#define AT_3(p, q) "(%[" p "],%[s3])"
#define AT_4(p, q) "(%[" p "],%[s],4)"
#define AT_5(p, q) "(%[" q "])"
#define AT_6(p, q) "(%[" p "],%[s3],2)"
#define AT_7(p, q) "(%[" q "],%[s],2)"
#define EIGHT(X) X(0, 8) X(1, 9) X(2, 10) X(3, 11) X(4, 12) X(5, 13) X(6, 14) X(7, 15)
#define LOAD(t, u)                                            \
    "vmovaps " #t "*128(%[acc]), %%zmm" #t "\n\t"             \
    "vmovaps " #t "*128+64(%[acc]), %%zmm" #u "\n\t"
#define STORE(t, u)                                           \
    "vmovaps %%zmm" #t ", " #t "*128(%[acc])\n\t"             \
    "vmovaps %%zmm" #u ", " #t "*128+64(%[acc])\n\t"
#define ADD(t, u)                                             \
    "vcvtdq2ps " #t "*64(%[sums]), %%zmm22\n\t"               \
    "vcvtdq2ps " #t "*64+1024(%[sums]), %%zmm23\n\t"          \
    "vbroadcastss " AT_##t("a0", "a5") ", %%zmm24\n\t"        \
    "vmulps %%zmm22, %%zmm16, %%zmm22\n\t"                    \
    "vmulps %%zmm23, %%zmm17, %%zmm23\n\t"                    \
    "vfmadd231ps %%zmm24, %%zmm22, %%zmm" #t "\n\t"           \
    "vfmadd231ps %%zmm24, %%zmm23, %%zmm" #u "\n\t"
#define ADD_MIN(t, u)                                         \
    ADD(t, u)                                                 \
    "vbroadcastss " AT_##t("m0", "m5") ", %%zmm25\n\t"        \
    "vfmadd231ps %%zmm25, %%zmm20, %%zmm" #t "\n\t"           \
    "vfmadd231ps %%zmm25, %%zmm21, %%zmm" #u "\n\t"
#define NEXT_GROUP                                            \
    "add $2048, %[sums]\n\t"                                  \
    "add $128, %[scale]\n\t"
#define SCALES                                                \
    "vmovups (%[scale]), %%zmm16\n\t"                         \
    "vmovups 64(%[scale]), %%zmm17\n\t"
#define FETCH_ROW                                             \
    "prefetcht0 (%[next])\n\t"                                \
    "prefetcht0 64(%[next])\n\t"                              \
    "prefetcht0 128(%[next])\n\t"                             \
    "prefetcht0 192(%[next])\n\t"                             \
    "add %[qs], %[next]\n\t"
#define FETCH_HALF                                            \
    "prefetcht0 (%[next])\n\t"                                \
    "prefetcht0 64(%[next])\n\t"                              \
    "add %[qs], %[next]\n\t"

#define GROUP_MIN                                             \
    SCALES                                                    \
    "vmovups (%[min]), %%zmm20\n\t"                           \
    "vmovups 64(%[min]), %%zmm21\n\t"                         \
    FETCH_ROW                                                 \
    EIGHT(ADD_MIN)                                            \
    NEXT_GROUP                                                \
    "add $128, %[min]\n\t"                                    \
    "add $4, %[m0]\n\t"                                       \
    "add $4, %[m5]\n\t"
#define GROUP_32 SCALES FETCH_ROW EIGHT(ADD) NEXT_GROUP
#define GROUP_16                                              \
    SCALES FETCH_HALF EIGHT(ADD) NEXT_GROUP                   \
    SCALES FETCH_HALF EIGHT(ADD) NEXT_GROUP

#define CLOBBER(i) "xmm" #i
/* Adds the sums of 8 rows. Assembly, so that every address is a base and an index: compilers keep
 * eight pointers, and each instruction less counts here. */
#define DEFINE_ADD_UP(name, body)                                                                  \
    static void name(const Scales *v, const int32_t *sums, float *acc)                             \
    {                                                                                              \
        const float *scale = v->scale, *min = v->min;                                              \
        const char *a0 = (const char *)v->act, *a5 = a0 + 5 * v->stride;                           \
        const char *m0 = (const char *)v->sum, *m5 = m0 ? m0 + 5 * v->stride : m0;                 \
        const char *next = v->next;                                                                \
        size_t left = v->n;                                                                        \
        __asm__ volatile(                                                                          \
            EIGHT(LOAD)                                                                            \
            ".p2align 5\n"                                                                         \
            "1:\n\t"                                                                               \
            body                                                                                   \
            "add $4, %[a0]\n\t"                                                                    \
            "add $4, %[a5]\n\t"                                                                    \
            "dec %[left]\n\t"                                                                      \
            "jnz 1b\n\t"                                                                           \
            EIGHT(STORE)                                                                           \
            : [sums] "+&r"(sums), [scale] "+&r"(scale), [min] "+&r"(min), [a0] "+&r"(a0),          \
              [a5] "+&r"(a5), [m0] "+&r"(m0), [m5] "+&r"(m5), [next] "+&r"(next),                  \
              [left] "+&r"(left)                                                                   \
            : [acc] "r"(acc), [s] "r"(v->stride), [s3] "r"(3 * v->stride), [qs] "r"(v->q_stride)   \
            : "memory", "cc", CLOBBER(0), CLOBBER(1), CLOBBER(2), CLOBBER(3), CLOBBER(4),          \
              CLOBBER(5), CLOBBER(6), CLOBBER(7), CLOBBER(8), CLOBBER(9), CLOBBER(10),             \
              CLOBBER(11), CLOBBER(12), CLOBBER(13), CLOBBER(14), CLOBBER(15), CLOBBER(16),        \
              CLOBBER(17), CLOBBER(20), CLOBBER(21), CLOBBER(22), CLOBBER(23), CLOBBER(24),        \
              CLOBBER(25));                                                                        \
    }
DEFINE_ADD_UP(add_up_min, GROUP_MIN)
DEFINE_ADD_UP(add_up_32, GROUP_32)
DEFINE_ADD_UP(add_up_16, GROUP_16)
/* clang-format on */

/* First row of tile i of m rows: the last one reaches back over rows that the one before has too.
 * Both give them the same bits. */
static size_t tile_row(size_t i, size_t m)
{
    return (i + 1) * ROWS <= m ? i * ROWS : m - ROWS;
}

/* The half of tile i where its new rows begin. */
static size_t first_new(size_t i, size_t m)
{
    return tile_row(i, m) + HALF <= i * ROWS ? HALF : 0;
}

/* One block of 32 n k; `act` begins there, at row 0. On the way `bytes` from `ahead` on come to L2,
 * the codes of the next block. */
INLINE_512 void run_block(size_t group, bool centred, const uint8_t *codes, Scales s,
                          const PanelAct *act, size_t m, Result *out, const uint8_t *ahead,
                          size_t bytes)
{
    _Alignas(64) Sums sums;
    const size_t tiles = (m + ROWS - 1) / ROWS, share = (bytes / tiles + 63) / 64 * 64;
    for (size_t i = 0; i < tiles; i++) {
        size_t row = tile_row(i, m);
        const int8_t *q = act->q + row * act->q_stride;
        for (size_t at = i * share; at < (i + 1) * share && at < bytes; at += 64)
            _mm_prefetch((const char *)ahead + at, _MM_HINT_T1);
        multiply(group, centred, codes, s.n * (ACT_GROUP / group), q, act->q_stride, sums);
        for (size_t r = first_new(i, m); r < ROWS; r += HALF) {
            s.act = act->scale + (row + r) * act->g_stride;
            s.sum = centred ? NULL : act->sum32 + (row + r) * act->g_stride;
            s.next = (const char *)q + (ROWS + r) * act->q_stride;
            if (!centred)
                add_up_min(&s, sums[0][0][r], out[i][r]);
            else if (group == ACT_GROUP)
                add_up_32(&s, sums[0][0][r], out[i][r]);
            else
                add_up_16(&s, sums[0][0][r], out[i][r]);
        }
    }
}

/* Entries of tables are lower already. */
INLINE_512 void unpack_block(PanelCode code, bool lower, const Panel *p, const uint8_t *src,
                             size_t n, uint8_t *to)
{
    const __m512i offset = _mm512_set1_epi8((char)p->offset);
    for (size_t i = 0; i < n; i++, to += ACT_GROUP * PANEL_ROWS)
        unpack_32(code, ACT_GROUP, p->table, src + i * panel_codes_bytes(code, ACT_GROUP), 0, lower,
                  offset, to);
}

/* Of 32 n k. */
static void unpack(const Panel *p, const uint8_t *src, size_t n, uint8_t *to)
{
    enum { LOWER = N_PANEL_CODES };
    const bool lower = !p->min && p->code != CODE_TABLE && p->code != CODE_OCTET;
#define UNPACK(code, lower)                                                                        \
    case code + ((lower) ? LOWER : 0): unpack_block(code, lower, p, src, n, to);                   \
        break;
    switch ((int)p->code + (lower ? LOWER : 0)) {
        UNPACK(CODE_NIBBLE, true)
        UNPACK(CODE_NIBBLE, false)
        UNPACK(CODE_TABLE, false)
        UNPACK(CODE_SIX, true)
        UNPACK(CODE_BYTE, true)
        UNPACK(CODE_ONE, true)
        UNPACK(CODE_TWO, true)
        UNPACK(CODE_TWO, false)
        UNPACK(CODE_THREE, true)
        UNPACK(CODE_OCTET, false)
        UNPACK(CODE_FIVE, true)
        UNPACK(CODE_FIVE, false)
    }
#undef UNPACK
}

/* At most SLICE tiles of rows. */
INLINE_512 void run_slice(size_t group, bool centred, const Panel *p, const uint8_t *src, size_t k,
                          const PanelAct *act, size_t m, float *out, size_t out_stride)
{
    const size_t block = GROUPS * group;
    _Alignas(64) uint8_t work[MOST_K * PANEL_ROWS];
    _Alignas(64) Result result[SLICE];
    memset(result, 0, (m + ROWS - 1) / ROWS * sizeof *result);
    for (size_t at = 0; at < k; at += block) {
        Scales s = {.scale = p->scale + at / group * PANEL_ROWS,
                    .min = centred ? NULL : p->min + at / group * PANEL_ROWS,
                    .stride = act->g_stride * sizeof(float),
                    .q_stride = act->q_stride,
                    .n = (k - at < block ? k - at : block) / ACT_GROUP};
        unpack(p, src, s.n, work);
        size_t bytes = panel_codes_bytes(p->code, s.n * ACT_GROUP);
        PanelAct a = panel_act_at(*act, 0, at / ACT_GROUP);
        src += bytes;
        run_block(group, centred, work, s, &a, m, result, src, bytes);
    }
    for (size_t i = 0; i * ROWS < m; i++)
        for (size_t r = first_new(i, m); r < ROWS; r++) {
            float *to = out + (tile_row(i, m) + r) * out_stride;
            _mm512_storeu_ps(to, _mm512_load_ps(result[i][r]));
            _mm512_storeu_ps(to + 16, _mm512_load_ps(result[i][r] + 16));
        }
}

static void panel_matmul(PanelCode code, int group, const void *codes, const float *scale,
                         const float *min, int offset, const uint8_t *table, size_t k,
                         const PanelAct *act, size_t m, float *out, size_t out_stride)
{
    if (m < ROWS || (group != ACT_GROUP && min)) {
        panel_matmul_avx512vnni(code, group, codes, scale, min, offset, table, k, act, m, out,
                                out_stride);
        return;
    }
    Panel p = {code, group, offset, table_entries(table), scale, min};
    if (table && !min) p.table = _mm512_sub_epi8(p.table, _mm512_set1_epi8((char)offset));
    TileShapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) tile_shape(&shapes, i, ROWS, 64);
    for (int i = 0; i < 2; i++) tile_shape(&shapes, i, ROWS, group);
    for (int i = 2; i < 4; i++) tile_shape(&shapes, i, group / 4, 64);
    _tile_loadconfig(&shapes);
    for (size_t done = 0, row, n; done < m; done = row + n) {
        row = done + ROWS <= m ? done : m - ROWS;
        n = m - row < SLICE * ROWS ? m - row : SLICE * ROWS;
        PanelAct a = panel_act_at(*act, row, 0);
        float *to = out + row * out_stride;
        if (min)
            run_slice(ACT_GROUP, false, &p, codes, k, &a, n, to, out_stride);
        else if (group == ACT_GROUP)
            run_slice(ACT_GROUP, true, &p, codes, k, &a, n, to, out_stride);
        else
            run_slice(ACT_GROUP / 2, true, &p, codes, k, &a, n, to, out_stride);
    }
    _tile_release();
}

void kernels_amxint8_quant(Kernels *table)
{
    table->panel_matmul = panel_matmul;
}
