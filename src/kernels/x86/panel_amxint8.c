/* Panels times quantised activations with AMX (tdpbsud: 16 x 16 x 64 int8 products an instruction).
 * Means what ref/panel.c says, to the bit as panel_avx512vnni.c does: the integers are exact, and
 * what follows is the same.
 *
 * A tile of activations (16 rows by one group of k) meets the two strips of a panel, codes unpacked
 * to [k/4][32 rows][4] in L1. A group is half as wide as a tile: scales differ from group to group,
 * so each gives a tile of sums of its own. These wait in L1 until eight groups are done; then they
 * become floats, 8 activation rows by 32 weight rows in registers.
 *
 * The two halves of the work do not overlap, on purpose: while tiles are multiplied the core starts
 * one 512-bit operation a cycle instead of two (measured on Sapphire Rapids: 70 cycles a tile of
 * sums when they alternate, 60 in turns of eight groups). Groups of 16 bring twice the floats a
 * product and are left to VNNI, and so are less than 16 rows. */
#include <string.h>

#include "kernels/parts.h"
#include "kernels/x86/panel_avx512vnni.h"
#include "kernels/x86/tiles.h"

enum { ROWS = 16, HALF = 8, GROUP = 32, GROUPS = 8, BLOCK = GROUP * GROUPS, SLICE = 16 };

/* Integer sums of a block: [group][strip][activation row][weight row]. */
typedef int32_t Sums[GROUPS][2][ROWS][16];
/* Float sums of a tile. */
typedef float Result[ROWS][PANEL_ROWS];

/* Tiles: activations 0 and 1, codes 2 and 3, sums 4 to 7. A tile of sums is stored just before its
 * register is needed again: stored at once, it would wait for its product (32 cycles a tile against
 * 24). */
#define PRODUCT(sum, act, codes, from, to)                                                         \
    _tile_loadd(codes, from, 128);                                                                 \
    if (to) _tile_stored(sum, to, 64);                                                             \
    _tile_zero(sum);                                                                               \
    _tile_dpbsud(sum, act, codes);

static void multiply(const uint8_t *w, size_t groups, const int8_t *q, size_t q_stride, Sums sums)
{
    enum { BYTES = GROUP * PANEL_ROWS };
    size_t g = 0;
    for (; g + 2 <= groups; g += 2, w += 2 * BYTES, q += 2 * GROUP) {
        _tile_loadd(0, q, q_stride);
        PRODUCT(4, 0, 2, w, g ? sums[g - 2][0] : NULL)
        PRODUCT(5, 0, 3, w + 64, g ? sums[g - 2][1] : NULL)
        _tile_loadd(1, q + GROUP, q_stride);
        PRODUCT(6, 1, 2, w + BYTES, g ? sums[g - 1][0] : NULL)
        PRODUCT(7, 1, 3, w + BYTES + 64, g ? sums[g - 1][1] : NULL)
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
    const float *scale, *min; /* (groups, 32) of the panel */
    const float *act, *sum;   /* (8 rows, stride) of the activations */
    size_t stride;            /* bytes */
    const char *next;         /* to be fetched: a row a group, BLOCK bytes */
    size_t q_stride;
    size_t groups;
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
    "vcvtdq2ps " #t "*64(%[sums]), %%zmm22\n\t"                 \
    "vcvtdq2ps " #t "*64+1024(%[sums]), %%zmm23\n\t"            \
    "vbroadcastss " AT_##t("a0", "a5") ", %%zmm24\n\t"        \
    "vmulps %%zmm22, %%zmm16, %%zmm22\n\t"               \
    "vmulps %%zmm23, %%zmm17, %%zmm23\n\t"               \
    "vbroadcastss " AT_##t("m0", "m5") ", %%zmm25\n\t"        \
    "vfmadd231ps %%zmm24, %%zmm22, %%zmm" #t "\n\t"           \
    "vfmadd231ps %%zmm24, %%zmm23, %%zmm" #u "\n\t"           \
    "vfmadd231ps %%zmm25, %%zmm20, %%zmm" #t "\n\t"           \
    "vfmadd231ps %%zmm25, %%zmm21, %%zmm" #u "\n\t"

/* Adds the sums of 8 rows. Assembly, so that every address is a base and an index: compilers keep
 * eight pointers, and each instruction less counts here. */
static void add_up(const Scales *v, const int32_t *sums, float *acc)
{
    const float *scale = v->scale, *min = v->min;
    const char *a0 = (const char *)v->act, *a5 = a0 + 5 * v->stride;
    const char *m0 = (const char *)v->sum, *m5 = m0 + 5 * v->stride;
    const char *next = v->next;
    size_t left = v->groups;
    __asm__ volatile(
        EIGHT(LOAD)
        ".p2align 5\n"
        "1:\n\t"
        "vmovups (%[scale]), %%zmm16\n\t"
        "vmovups 64(%[scale]), %%zmm17\n\t"
        "vmovups (%[min]), %%zmm20\n\t"
        "vmovups 64(%[min]), %%zmm21\n\t"
        "prefetcht0 (%[next])\n\t"
        "prefetcht0 64(%[next])\n\t"
        "prefetcht0 128(%[next])\n\t"
        "prefetcht0 192(%[next])\n\t"
        EIGHT(ADD)
        "add $2048, %[sums]\n\t"
        "add $128, %[scale]\n\t"
        "add $128, %[min]\n\t"
        "add $4, %[a0]\n\t"
        "add $4, %[a5]\n\t"
        "add $4, %[m0]\n\t"
        "add $4, %[m5]\n\t"
        "add %[qs], %[next]\n\t"
        "dec %[left]\n\t"
        "jnz 1b\n\t"
        EIGHT(STORE)
        : [sums] "+&r"(sums), [scale] "+&r"(scale), [min] "+&r"(min), [a0] "+&r"(a0),
          [a5] "+&r"(a5), [m0] "+&r"(m0), [m5] "+&r"(m5), [next] "+&r"(next), [left] "+&r"(left)
        : [acc] "r"(acc), [s] "r"(v->stride), [s3] "r"(3 * v->stride), [qs] "r"(v->q_stride)
        : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
          "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18",
          "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25");
}
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

/* One block of k, from k on: `s` and `act` of row 0. On the way `bytes` from `ahead` on come to L2,
 * the codes of the next block. */
static void run_block(const uint8_t *codes, Scales s, const PanelAct *act, size_t k, size_t m,
                      Result *out, const uint8_t *ahead, size_t bytes)
{
    _Alignas(64) Sums sums;
    const float *scale = act->scale + k / GROUP, *sum = act->sum32 + k / GROUP;
    const size_t tiles = (m + ROWS - 1) / ROWS, share = (bytes / tiles + 63) / 64 * 64;
    for (size_t i = 0; i < tiles; i++) {
        size_t row = tile_row(i, m);
        const int8_t *q = act->q + row * act->q_stride + k;
        for (size_t at = i * share; at < (i + 1) * share && at < bytes; at += 64)
            _mm_prefetch((const char *)ahead + at, _MM_HINT_T1);
        multiply(codes, s.groups, q, act->q_stride, sums);
        for (size_t r = first_new(i, m); r < ROWS; r += HALF) {
            s.act = scale + (row + r) * act->g_stride;
            s.sum = sum + (row + r) * act->g_stride;
            s.next = (const char *)q + (ROWS + r) * act->q_stride;
            add_up(&s, sums[0][0][r], out[i][r]);
        }
    }
}

INLINE_512 void unpack_block(PanelCode code, __m512i table, const uint8_t *src, size_t groups,
                             uint8_t *to)
{
    for (size_t g = 0; g < groups; g++, to += GROUP * PANEL_ROWS)
        unpack_32(code, GROUP, table, src + g * panel_codes_bytes(code, GROUP), 0, to);
}

/* Those that a type with groups of 32 has. */
static void unpack(PanelCode code, __m512i table, const uint8_t *src, size_t groups, uint8_t *to)
{
    switch (code) {
    case CODE_NIBBLE: unpack_block(CODE_NIBBLE, table, src, groups, to); break;
    case CODE_TABLE: unpack_block(CODE_TABLE, table, src, groups, to); break;
    case CODE_ONE: unpack_block(CODE_ONE, table, src, groups, to); break;
    case CODE_TWO: unpack_block(CODE_TWO, table, src, groups, to); break;
    case CODE_OCTET: unpack_block(CODE_OCTET, table, src, groups, to); break;
    default: unpack_block(CODE_FIVE, table, src, groups, to);
    }
}

/* At most SLICE tiles of rows. */
static void run_slice(PanelCode code, const uint8_t *src, const float *scale, const float *min,
                      __m512i table, size_t k, const PanelAct *act, size_t m, float *out,
                      size_t out_stride)
{
    _Alignas(64) uint8_t work[BLOCK * PANEL_ROWS];
    _Alignas(64) Result result[SLICE];
    memset(result, 0, (m + ROWS - 1) / ROWS * sizeof *result);
    for (size_t at = 0; at < k; at += BLOCK) {
        Scales s = {.scale = scale + at,
                    .min = min + at,
                    .stride = act->g_stride * sizeof(float),
                    .q_stride = act->q_stride,
                    .groups = (k - at < BLOCK ? k - at : BLOCK) / GROUP};
        const uint8_t *codes = code == CODE_BYTE ? src : work; /* those lie as tiles want them */
        if (code != CODE_BYTE) unpack(code, table, src, s.groups, work);
        size_t bytes = panel_codes_bytes(code, s.groups * GROUP);
        src += bytes;
        run_block(codes, s, act, at, m, result, src, bytes);
    }
    for (size_t i = 0; i * ROWS < m; i++)
        for (size_t r = first_new(i, m); r < ROWS; r++) {
            float *to = out + (tile_row(i, m) + r) * out_stride;
            _mm512_storeu_ps(to, _mm512_load_ps(result[i][r]));
            _mm512_storeu_ps(to + 16, _mm512_load_ps(result[i][r] + 16));
        }
}

static void panel_matmul(PanelCode code, int group, const void *codes, const float *scale,
                         const float *min, const uint8_t *table, size_t k, const PanelAct *act,
                         size_t m, float *out, size_t out_stride)
{
    if (m < ROWS || group != GROUP) {
        panel_matmul_avx512vnni(code, group, codes, scale, min, table, k, act, m, out, out_stride);
        return;
    }
    TileShapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) tile_shape(&shapes, i, ROWS, 64);
    for (int i = 0; i < 2; i++) tile_shape(&shapes, i, ROWS, GROUP);
    for (int i = 2; i < 4; i++) tile_shape(&shapes, i, GROUP / 4, 64);
    _tile_loadconfig(&shapes);
    for (size_t done = 0, row, n; done < m; done = row + n) {
        row = done + ROWS <= m ? done : m - ROWS;
        n = m - row < SLICE * ROWS ? m - row : SLICE * ROWS;
        PanelAct a = *act;
        a.q += row * a.q_stride;
        a.scale += row * a.g_stride;
        a.sum32 += row * a.g_stride;
        run_slice(code, codes, scale, min, table_entries(table), k, &a, n, out + row * out_stride,
                  out_stride);
    }
    _tile_release();
}

void kernels_amxint8_quant(Kernels *table)
{
    table->panel_matmul = panel_matmul;
}
