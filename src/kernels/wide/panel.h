/* The way over a panel, written once: tiles of activation rows, chunks of k, one instance a code.
 * A file of an instruction set defines first
 *
 *   INLINE         static, inlined whatever the compiler thinks of it
 *   TILE_OF(code)  activation rows at once, at most 4
 *   Entries        a table of 16 codes as the instruction set looks it up
 *   entries        that of `table`; of NULL: anything
 *   Lower          the offset of a centred type as the instruction set takes it away
 *   lower_by       that of groups of so many k
 *   decode_scales  panel_scales of kernels.h
 *   add_group      adds group g of 32 weight rows to the sums of m activation rows (see below)
 *   SPREAD(code, m)  how many bytes ahead add_group fetches codes itself, a line now and then; 0:
 * it does not (panel.h says where the codes of a group lie)
 *
 * and hands panel_matmul and panel_few to the table of kernels. Sums live in `out`. The order of a
 * row's sums is that of k alone, so its bits depend neither on m nor on which of the two ran. */
#ifndef KERNELS_WIDE_PANEL_H
#define KERNELS_WIDE_PANEL_H

#include <string.h>

#include "kernels/kernels.h"
#include "kernels/panel_type.h"

/* Bytes that codes are fetched ahead of their use, those of 32 k at a time. */
enum { AHEAD = 4096 };

/* A run over part of a panel. */
typedef struct Run {
    const uint8_t *codes;
    const float *scale, *min; /* (groups, 32); of centred codes no min */
    Lower lower;              /* centred codes by how much */
    Entries table;
    size_t groups;
    const uint8_t *end;  /* of the codes of the panel; from there ... */
    size_t jump;         /* ... to the codes of the next */
    const uint8_t *next; /* of one row, what else is fetched: a line with each 32 k, ... */
    size_t step;         /* ... so far from the one before */
} Run;

/* src: the codes of the 32 k that group g of the run lies in, both strips; ahead: those to fetch
 * meanwhile, where SPREAD; part: 1 for the second 16 of them. */
INLINE void add_group(PanelCode code, int group, bool centred, const Run *s, const uint8_t *src,
                      const uint8_t *ahead, int part, size_t g, const PanelAct *act, int m,
                      float *out, size_t out_stride);

INLINE void run(PanelCode code, int group, bool centred, const Run *s, const PanelAct *act, int m,
                float *out, size_t out_stride)
{
    const size_t bytes = panel_codes_bytes(code, 32);
    const int parts = 32 / group;
    const uint8_t *src = s->codes, *next = s->next;
    for (size_t g = 0; g < s->groups; src += bytes, next += s->step) {
        const uint8_t *ahead = src + (SPREAD(code, m) ? SPREAD(code, m) : AHEAD);
        if (ahead >= s->end) ahead += s->jump; /* over the other stream */
        for (size_t i = 0; i < bytes && !SPREAD(code, m); i += 64) __builtin_prefetch(ahead + i);
        if (m == 1) __builtin_prefetch(next);
#pragma GCC unroll 2
        for (int part = 0; part < parts; part++, g++)
            add_group(code, group, centred, s, src, ahead, part, g, act, m, out, out_stride);
    }
}

INLINE void run_all(PanelCode code, int group, bool centred, const Run *s, const PanelAct *act,
                    size_t m, float *out, size_t out_stride)
{
    PanelAct a = *act;
    while (m) {
        size_t n = m < TILE_OF(code) ? m : TILE_OF(code);
        if (PANEL_ANY_M)
            run(code, group, centred, s, &a, (int)n, out, out_stride);
        else
            switch (n) {
            case 1: run(code, group, centred, s, &a, 1, out, out_stride); break;
            case 2: run(code, group, centred, s, &a, 2, out, out_stride); break;
            case 3: run(code, group, centred, s, &a, 3, out, out_stride); break;
            default: run(code, group, centred, s, &a, TILE_OF(code), out, out_stride);
            }
        m -= n;
        a = panel_act_at(a, n, 0);
        out += n * out_stride;
    }
}

#define INSTANCE(name, code, group, centred)                                                       \
    static void name(const Run *s, const PanelAct *act, size_t m, float *out, size_t out_stride)   \
    {                                                                                              \
        run_all(code, group, centred, s, act, m, out, out_stride);                                 \
    }
INSTANCE(run_nibble, CODE_NIBBLE, 32, true)
INSTANCE(run_nibble_min, CODE_NIBBLE, 32, false)
INSTANCE(run_table, CODE_TABLE, 32, true)
INSTANCE(run_table_16, CODE_TABLE, 16, true)
INSTANCE(run_six, CODE_SIX, 16, true)
INSTANCE(run_byte, CODE_BYTE, 32, true)
INSTANCE(run_one, CODE_ONE, 32, true)
INSTANCE(run_two, CODE_TWO, 32, true)
INSTANCE(run_two_min, CODE_TWO, 32, false)
INSTANCE(run_two_16_min, CODE_TWO, 16, false)
INSTANCE(run_three_16, CODE_THREE, 16, true)
INSTANCE(run_octet, CODE_OCTET, 32, true)
INSTANCE(run_octet_16, CODE_OCTET, 16, true)
INSTANCE(run_five, CODE_FIVE, 32, true)
INSTANCE(run_five_min, CODE_FIVE, 32, false)
#undef INSTANCE

static void run_code(PanelCode code, int group, const Run *s, const PanelAct *act, size_t m,
                     float *out, size_t out_stride)
{
    typedef void Fn(const Run *s, const PanelAct *act, size_t m, float *out, size_t out_stride);
    static Fn *const wide[N_PANEL_CODES] = {
        [CODE_NIBBLE] = run_nibble, [CODE_TABLE] = run_table, [CODE_BYTE] = run_byte,
        [CODE_ONE] = run_one,       [CODE_TWO] = run_two,     [CODE_OCTET] = run_octet,
        [CODE_FIVE] = run_five};
    static Fn *const narrow[N_PANEL_CODES] = {[CODE_TABLE] = run_table_16,
                                              [CODE_SIX] = run_six,
                                              [CODE_THREE] = run_three_16,
                                              [CODE_OCTET] = run_octet_16};
    static Fn *const with_min[N_PANEL_CODES] = {
        [CODE_NIBBLE] = run_nibble_min, [CODE_TWO] = run_two_min, [CODE_FIVE] = run_five_min};
    if (s->min && group == 16)
        run_two_16_min(s, act, m, out, out_stride);
    else
        (s->min ? with_min : group == 16 ? narrow : wide)[code](s, act, m, out, out_stride);
}

static void clear(float *out, size_t out_stride, size_t m)
{
    for (size_t i = 0; i < m; i++) memset(out + i * out_stride, 0, PANEL_ROWS * sizeof *out);
}

static void panel_matmul(PanelCode code, int group, const void *codes, const float *scale,
                         const float *min, int offset, const uint8_t *table, size_t k,
                         const PanelAct *act, size_t m, float *out, size_t out_stride)
{
    Run s = {.codes = codes,
             .scale = scale,
             .min = min,
             .lower = lower_by(offset, group),
             .table = entries(table),
             .groups = k / (size_t)group,
             .end = codes,
             .next = codes};
    clear(out, out_stride, m);
    run_code(code, group, &s, act, m, out, out_stride);
}

/* Scales of 256 k at a time wait in the first cache while their codes are read. The next are
 * fetched meanwhile, for one row most of them between the products: in a burst the same fetches
 * gave Q6_K 5 % less of memory. */
static void few_panel(const PanelType *t, const PanelLayout *layout, const uint8_t *codes, size_t k,
                      const PanelAct *act, size_t m, float *out, size_t out_stride)
{
    enum { CHUNK = 256 };
    _Alignas(64) float scale[CHUNK / 16 * PANEL_ROWS], min[CHUNK / 16 * PANEL_ROWS];
    const uint8_t *end = codes + layout->codes_bytes, *unit = end;
    Run s = {.codes = codes,
             .scale = scale,
             .min = layout->centred ? NULL : min,
             .lower = lower_by(layout->offset, layout->group),
             .table = entries(layout->table),
             .end = end,
             .jump = layout->bytes - layout->codes_bytes};
    PanelAct a = *act;
    clear(out, out_stride, m);
    for (size_t at = 0; at < k; at += CHUNK) {
        size_t n = k - at < CHUNK ? k - at : CHUNK;
        size_t bytes = n / (size_t)t->unit * panel_unit_bytes(t->scales, panel_groups(t));
        /* The next scales, or the first of the next panel. */
        s.next = unit + bytes < codes + layout->bytes ? unit + bytes
                                                      : unit + bytes + layout->codes_bytes;
        s.step = bytes / (n / ACT_GROUP);
        if (s.step > 64) s.step = 64;
        for (size_t i = m == 1 ? n / ACT_GROUP * 64 : 0; i < bytes; i += 64)
            __builtin_prefetch(s.next + i);
        decode_scales(t->type, unit, n, scale, min);
        s.groups = n / (size_t)t->group;
        run_code(t->code, t->group, &s, &a, m, out, out_stride);
        s.codes += panel_codes_bytes(t->code, n);
        unit += bytes;
        a = panel_act_at(a, 0, n / ACT_GROUP);
    }
}

static void panel_few(uint32_t type, const void *panels, size_t k, size_t n, const PanelAct *act,
                      size_t m, float *out, size_t out_stride)
{
    const PanelType *t = panel_type(type);
    PanelLayout layout;
    if (!t || !panel_layout(type, k, &layout)) return;
    for (size_t p = 0; p < n; p++)
        few_panel(t, &layout, (const uint8_t *)panels + p * layout.bytes, k, act, m,
                  out + p * PANEL_ROWS, out_stride);
}

#endif
