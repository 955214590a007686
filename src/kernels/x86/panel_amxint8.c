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
 * floats than that pays for and are left to VNNI, and so are less than 16 rows.
 *
 * panel_few does 7 to 16 rows (13, where groups have 16 k) in tiles of so many. There the weights
 * come from memory: blocks are half as long, so that sums, codes and activations share L1, and the
 * block after the next is fetched between the floats of this one. Fetched in a burst it stopped
 * everything for a quarter of the time. */
#include <string.h>

#include "kernels/parts.h"
#include "kernels/x86/panel_avx512vnni.h"
#include "kernels/x86/tiles.h"

enum { ROWS = 16, HALF = 8, GROUPS = 8, SLICE = 32 };
enum { MOST_K = GROUPS * ACT_GROUP }; /* of a block */
/* Of few rows: groups of a block, k whose scales are decoded at a time, rows from which tiles are
 * faster than panel_few_avx512vnni, and with groups of 16. */
enum { FEW_GROUPS = 4, CHUNK = 256, LEAST_FEW = 7, LEAST_FEW_16 = 13 };

/* Integer sums of a block: [group][strip][activation row][weight row]. */
typedef int32_t Sums[GROUPS][2][ROWS][16];
/* Float sums of a tile. */
typedef float Result[ROWS][PANEL_ROWS];

/* What all blocks of a product have in common. */
typedef struct Panel {
    PanelCode code;
    int group, offset;
    bool centred;
    __m512i table;
    const float *scale, *min; /* (groups, 32); decoded before, of centred types without min */
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
#define FOUR(X) X(0, 8) X(1, 9) X(2, 10) X(3, 11)
#define EIGHT(X) FOUR(X) X(4, 12) X(5, 13) X(6, 14) X(7, 15)
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
/* t: into which cache. */
#define FETCH_ROW(t)                                          \
    "prefetcht" t " (%[next])\n\t"                            \
    "prefetcht" t " 64(%[next])\n\t"                          \
    "prefetcht" t " 128(%[next])\n\t"                         \
    "prefetcht" t " 192(%[next])\n\t"                         \
    "add %[qs], %[next]\n\t"
#define FETCH_HALF(t)                                         \
    "prefetcht" t " (%[next])\n\t"                            \
    "prefetcht" t " 64(%[next])\n\t"                          \
    "add %[qs], %[next]\n\t"

#define GROUP_MIN(ROWS, t)                                    \
    SCALES                                                    \
    "vmovups (%[min]), %%zmm20\n\t"                           \
    "vmovups 64(%[min]), %%zmm21\n\t"                         \
    FETCH_ROW(t)                                              \
    ROWS(ADD_MIN)                                             \
    NEXT_GROUP                                                \
    "add $128, %[min]\n\t"                                    \
    "add $4, %[m0]\n\t"                                       \
    "add $4, %[m5]\n\t"
#define GROUP_32(ROWS, t) SCALES FETCH_ROW(t) ROWS(ADD) NEXT_GROUP
#define GROUP_16(ROWS, t)                                     \
    SCALES FETCH_HALF(t) ROWS(ADD) NEXT_GROUP                 \
    SCALES FETCH_HALF(t) ROWS(ADD) NEXT_GROUP

#define CLOBBER(i) "xmm" #i
/* Adds the sums of 8 rows, or of 4. Assembly, so that every address is a base and an index:
 * compilers keep eight pointers, and each instruction less counts here. */
#define DEFINE_ADD_UP(name, ROWS, body)                                                            \
    static void name(const Scales *v, const int32_t *sums, float *acc)                             \
    {                                                                                              \
        const float *scale = v->scale, *min = v->min;                                              \
        const char *a0 = (const char *)v->act, *a5 = a0 + 5 * v->stride;                           \
        const char *m0 = (const char *)v->sum, *m5 = m0 ? m0 + 5 * v->stride : m0;                 \
        const char *next = v->next;                                                                \
        size_t left = v->n;                                                                        \
        __asm__ volatile(                                                                          \
            ROWS(LOAD)                                                                             \
            ".p2align 5\n"                                                                         \
            "1:\n\t"                                                                               \
            body                                                                                   \
            "add $4, %[a0]\n\t"                                                                    \
            "add $4, %[a5]\n\t"                                                                    \
            "dec %[left]\n\t"                                                                      \
            "jnz 1b\n\t"                                                                           \
            ROWS(STORE)                                                                            \
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
DEFINE_ADD_UP(add_up_min, EIGHT, GROUP_MIN(EIGHT, "0"))
DEFINE_ADD_UP(add_up_32, EIGHT, GROUP_32(EIGHT, "0"))
DEFINE_ADD_UP(add_up_16, EIGHT, GROUP_16(EIGHT, "0"))
DEFINE_ADD_UP(add_eight_min, EIGHT, GROUP_MIN(EIGHT, "1"))
DEFINE_ADD_UP(add_eight_32, EIGHT, GROUP_32(EIGHT, "1"))
DEFINE_ADD_UP(add_eight_16, EIGHT, GROUP_16(EIGHT, "1"))
DEFINE_ADD_UP(add_four_min, FOUR, GROUP_MIN(FOUR, "1"))
DEFINE_ADD_UP(add_four_32, FOUR, GROUP_32(FOUR, "1"))
DEFINE_ADD_UP(add_four_16, FOUR, GROUP_16(FOUR, "1"))
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
    const bool lower = p->centred && p->code != CODE_TABLE && p->code != CODE_OCTET;
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

static void set_tiles(size_t rows, int group)
{
    TileShapes shapes = {.palette = 1};
    for (int i = 0; i < 2; i++) tile_shape(&shapes, i, (int)rows, group);
    for (int i = 2; i < 4; i++) tile_shape(&shapes, i, group / 4, 64);
    for (int i = 4; i < 8; i++) tile_shape(&shapes, i, (int)rows, 64);
    _tile_loadconfig(&shapes);
}

/* Entries of tables are lowered here, codes where they are unpacked. */
static __m512i lowered(const uint8_t *table, bool centred, int offset)
{
    const __m512i v = table_entries(table);
    return table && centred ? _mm512_sub_epi8(v, _mm512_set1_epi8((char)offset)) : v;
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
    const Panel p = {code, group, offset, !min, lowered(table, !min, offset), scale, min};
    set_tiles(ROWS, group);
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

/* ---- few rows ---- */

/* Where a panel's streams lie: codes, then scales, then the next panel. */
typedef struct Stream {
    uint32_t type;
    size_t unit, unit_bytes; /* of scales: k, bytes */
    const uint8_t *codes, *scales, *end;
} Stream;

/* What follows `at`, which ran over the end of its stream, in the next panel. */
static const uint8_t *beyond(const Stream *s, const uint8_t *at, bool scales)
{
    if (scales) return at < s->end ? at : at + (s->scales - s->codes);
    return at < s->scales ? at : at + (s->end - s->scales);
}

/* Scales of CHUNK k from number `at` on, two chunks ahead fetched. */
static void few_scales(const Stream *s, size_t at, size_t k, float *scale, float *min)
{
    const size_t n = k - at < CHUNK ? k - at : CHUNK, bytes = n / s->unit * s->unit_bytes;
    const uint8_t *unit = s->scales + at / s->unit * s->unit_bytes;
    const uint8_t *next = beyond(s, unit + 2 * bytes, true);
    for (size_t i = 0; i < bytes; i += 64) _mm_prefetch((const char *)next + i, _MM_HINT_T0);
    panel_scales_avx512(s->type, unit, n, scale, min);
}

/* The sums of m rows, 8 or 4 at a time; the last ones reach back over rows that were added before,
 * to a result of their own. */
INLINE_512 void add_few(size_t group, bool centred, Scales s, const PanelAct *act, size_t m,
                        const Sums sums, Result out)
{
    for (size_t row = 0, part = 0; row < m; part += HALF) {
        const bool eight = m - row > HALF / 2 && m >= HALF;
        const size_t n = eight ? HALF : HALF / 2, first = row + n <= m ? row : m - n;
        const int32_t *from = sums[0][0][first];
        s.act = act->scale + first * act->g_stride;
        s.sum = centred ? NULL : act->sum32 + first * act->g_stride;
        if (!centred)
            (eight ? add_eight_min : add_four_min)(&s, from, out[part]);
        else if (group == ACT_GROUP)
            (eight ? add_eight_32 : add_four_32)(&s, from, out[part]);
        else
            (eight ? add_eight_16 : add_four_16)(&s, from, out[part]);
        s.next += s.n * 256;
        row += n;
    }
}

/* LEAST_FEW to ROWS rows. */
INLINE_512 void run_few(size_t group, bool centred, const Panel *p, const Stream *s, size_t k,
                        const PanelAct *act, size_t m, Result out)
{
    const size_t block = FEW_GROUPS * group;
    _Alignas(64) Sums sums;
    _Alignas(64) uint8_t work[FEW_GROUPS * ACT_GROUP * PANEL_ROWS];
    _Alignas(64) float scale[CHUNK / 16 * PANEL_ROWS], min[CHUNK / 16 * PANEL_ROWS];
    const uint8_t *src = s->codes;
    for (size_t at = 0; at < k; at += block) {
        const size_t n = (k - at < block ? k - at : block) / ACT_GROUP, in = at % CHUNK / group;
        const size_t bytes = panel_codes_bytes(p->code, n * ACT_GROUP);
        const PanelAct a = panel_act_at(*act, 0, at / ACT_GROUP);
        unpack(p, src, n, work);
        src += bytes;
        /* The block after the next is fetched by add_few; here what it leaves. */
        const uint8_t *next = beyond(s, src + bytes, false);
        for (size_t i = n * (m == HALF ? 256 : 512); i < bytes; i += 64)
            _mm_prefetch((const char *)next + i, _MM_HINT_T1);
        multiply(group, centred, work, n * (ACT_GROUP / group), a.q, a.q_stride, sums);
        if (at % CHUNK == 0) few_scales(s, at, k, scale, min);
        const Scales by = {.scale = scale + in * PANEL_ROWS,
                           .min = centred ? NULL : min + in * PANEL_ROWS,
                           .stride = act->g_stride * sizeof(float),
                           .next = (const char *)next,
                           .q_stride = 8 * group,
                           .n = n};
        add_few(group, centred, by, &a, m, sums, out);
    }
}

static void few_panel(const PanelType *t, const PanelLayout *l, const uint8_t *codes, size_t k,
                      const PanelAct *act, size_t m, float *out, size_t out_stride)
{
    const Panel p = {.code = l->code,
                     .group = l->group,
                     .offset = l->offset,
                     .centred = l->centred,
                     .table = lowered(l->table, l->centred, l->offset)};
    const Stream s = {t->type, (size_t)t->unit,        panel_unit_bytes(t->scales, panel_groups(t)),
                      codes,   codes + l->codes_bytes, codes + l->bytes};
    _Alignas(64) Result result = {0};
    if (!l->centred)
        run_few(ACT_GROUP, false, &p, &s, k, act, m, result);
    else if (l->group == ACT_GROUP)
        run_few(ACT_GROUP, true, &p, &s, k, act, m, result);
    else
        run_few(ACT_GROUP / 2, true, &p, &s, k, act, m, result);
    for (size_t row = 0, part = 0; row < m; part += HALF) {
        const size_t n = m - row > HALF / 2 && m >= HALF ? HALF : HALF / 2;
        const size_t first = row + n <= m ? row : m - n;
        for (size_t r = 0; r < n; r++) {
            float *to = out + (first + r) * out_stride;
            _mm512_storeu_ps(to, _mm512_load_ps(result[part + r]));
            _mm512_storeu_ps(to + 16, _mm512_load_ps(result[part + r] + 16));
        }
        row += n;
    }
}

static void panel_few(uint32_t type, const void *panels, size_t k, size_t n, const PanelAct *act,
                      size_t m, float *out, size_t out_stride)
{
    const PanelType *t = panel_type(type);
    PanelLayout l;
    if (!t || !panel_layout(type, k, &l)) return;
    if (m < (l.group == ACT_GROUP ? LEAST_FEW : LEAST_FEW_16) || m > ROWS ||
        (l.group != ACT_GROUP && !l.centred)) {
        panel_any_avx512vnni(type, panels, k, n, act, m, out, out_stride);
        return;
    }
    set_tiles(m, l.group);
    for (size_t p = 0; p < n; p++)
        few_panel(t, &l, (const uint8_t *)panels + p * l.bytes, k, act, m, out + p * PANEL_ROWS,
                  out_stride);
    _tile_release();
}

void kernels_amxint8_quant(Kernels *table)
{
    table->panel_matmul = panel_matmul;
    table->panel_few = panel_few;
}
