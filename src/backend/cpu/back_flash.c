/* Attention for training by products of tiles (arXiv 2307.08691): scores of BLOCK queries against a
 * run of keys are one product (kernels/gemm.h), weights and their gradients rows of it, results and
 * gradients products again. Nothing of the size of rows times rows is kept: the way back makes the
 * scores anew and weighs them by the logarithm of their sum.
 *
 * A piece of work forth is a kv head with its query heads over PIECE rows; back it is a kv head of
 * a sequence, whose keys sum over all queries that see them. So one thread adds up every number, in
 * one order. In bf16, products round what they are given: q, k, v, weights, gradients. */
#include <math.h>
#include <string.h>

#include "backend/cpu/back_attend.h"

enum {
    BLOCK = 64,               /* queries of one head */
    PIECE = 256,              /* queries of a piece */
    HEADS = 16,               /* query heads that go together */
    MOST_RUN = 512,           /* keys of a run */
    RUN_FLOATS = 32 << 10,    /* keys of a run times the width of a head */
    BLOCK_FLOATS = BLOCK << 9 /* BLOCK times the width of a head, at most */
};

typedef struct Flash {
    Cpu *c;
    const Kernels *k;
    const RowsAttention *a;
    const AttendGrads *d;
    int64_t group, run; /* query heads of a kv head; keys of a run */
    size_t e, e_v;
} Flash;

/* Of one member. */
typedef struct Desk {
    unsigned char *k_across, *v_across; /* keys as columns: k across e, v across e_v */
    unsigned char *along;               /* keys as rows: v forth, k back */
    unsigned char *left, *right;        /* of a product */
    float *s, *d;                       /* (BLOCK, run) */
    float *top, *sum;                   /* (HEADS, PIECE) */
} Desk;

/* Queries [row, row + m) of a head against keys [first, first + n) of a run, of which they see none
 * outside [first, first + wide). */
typedef struct Block {
    int64_t row, head, key;
    size_t m, n, wide;
} Block;

static size_t desk_bytes(void)
{
    size_t panel = RUN_FLOATS * sizeof(float), rows = BLOCK * MOST_RUN * sizeof(float);
    size_t left = gemm_a_bytes(MOST_RUN, BLOCK), other = gemm_a_bytes(BLOCK, MOST_RUN);
    return 3 * panel + (left > other ? left : other) + BLOCK_FLOATS * sizeof(float) + 2 * rows +
           2 * HEADS * PIECE * sizeof(float);
}

static Desk cut_desk(const Flash *f, int member)
{
    size_t panel = RUN_FLOATS * sizeof(float);
    size_t left = gemm_a_bytes(MOST_RUN, BLOCK), other = gemm_a_bytes(BLOCK, MOST_RUN);
    unsigned char *at = cpu_own_memory(f->c, member);
    Desk desk = {.k_across = at, .v_across = at + panel, .along = at + 2 * panel};
    desk.left = at + 3 * panel;
    desk.right = desk.left + (left > other ? left : other);
    desk.s = (float *)(void *)(desk.right + BLOCK_FLOATS * sizeof(float));
    desk.d = desk.s + BLOCK * MOST_RUN;
    desk.top = desk.d + BLOCK * MOST_RUN;
    desk.sum = desk.top + HEADS * PIECE;
    return desk;
}

/* Whether heads of this width fit the desk: MOST_RUN covers what packs of a block take too. */
static bool open_flash(Cpu *c, const RowsAttention *a, Flash *f)
{
    *f = (Flash){.c = c, .k = c->k, .a = a, .group = a->q.heads / a->k.heads};
    f->e = (size_t)a->k.width, f->e_v = (size_t)a->v.width;
    size_t widest = gemm_up(f->e > f->e_v ? f->e : f->e_v, GEMM_STEP);
    if (widest > MOST_RUN || desk_bytes() > CPU_OWN_BYTES) return false;
    f->run = RUN_FLOATS / (int64_t)widest / GEMM_STEP * GEMM_STEP;
    if (f->run > MOST_RUN) f->run = MOST_RUN;
    return cpu_training_memory(c);
}

static GemmMatrix head_rows(Tensor t, int64_t row, int64_t head, bool turned)
{
    return (GemmMatrix){attend_head(t, row, head), tensor_stride(t), turned};
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What queries [row, row + m) see of keys [key, key + n): false if nothing. Spans move on with
 * rows, so the first and the last query know. */
static bool open_block(const Flash *f, int64_t first, int64_t end, Block *b)
{
    int64_t from, to, other, last;
    attend_seen(f->a, b->row, first, end, &from, &other);
    attend_seen(f->a, b->row + (int64_t)b->m - 1, first, end, &other, &last);
    to = least(last, b->key + (int64_t)b->n);
    if (to <= b->key || from >= b->key + (int64_t)b->n) return false;
    b->wide = gemm_up((size_t)(to - b->key), GEMM_STEP);
    if (b->wide > b->n) b->wide = b->n;
    return true;
}

/* Which of the block's keys query i sees. */
static ScoreRow score_row(const Flash *f, const Block *b, int64_t first, int64_t end, size_t i)
{
    int64_t from, to, wide = (int64_t)b->wide;
    attend_seen(f->a, b->row + (int64_t)i, first, end, &from, &to);
    from = from < b->key ? 0 : least(from - b->key, wide);
    to = to < b->key + from ? from : least(to - b->key, wide);
    return (ScoreRow){b->wide, (size_t)from, (size_t)to, f->a->options.scale,
                      f->a->options.soft_cap > 0 ? f->a->options.soft_cap : 0};
}

/* s (m, wide) = rows of t times what was packed across. */
static void across(const Flash *f, const Desk *desk, const Block *b, Tensor t, size_t e,
                   const unsigned char *packed, float *s)
{
    f->k->gemm_pack_a(f->a->precision, head_rows(t, b->row, b->head, false), b->m, e, desk->left);
    f->k->gemm(f->a->precision, b->m, b->wide, e, e, desk->left, packed, s, MOST_RUN, false);
}

/* Rows of `to` += s (m, wide) times what was packed along. */
static void along(const Flash *f, const Desk *desk, const Block *b, const float *s, size_t e,
                  Tensor to)
{
    GemmMatrix left = {s, MOST_RUN, false};
    f->k->gemm_pack_a(f->a->precision, left, b->m, b->wide, desk->left);
    f->k->gemm(f->a->precision, b->m, e, b->wide, b->n, desk->left, desk->along,
               attend_head(to, b->row, b->head), tensor_stride(to), true);
}

/* ---- forth ---- */

static void forth_block(const Flash *f, const Desk *desk, const Block *b, int64_t first,
                        int64_t end, float *top, float *sum)
{
    across(f, desk, b, f->a->q, f->e, desk->k_across, desk->s);
    for (size_t i = 0; i < b->m; i++) {
        ScoreRow row = score_row(f, b, first, end, i);
        float fade = f->k->weigh(&row, desk->s + i * MOST_RUN, &top[i], &sum[i]);
        float *out = attend_head(f->a->out, b->row + (int64_t)i, b->head);
        if (fade != 1) f->k->scale(fade, out, f->e_v, out);
    }
    along(f, desk, b, desk->s, f->e_v, f->a->out);
}

/* Rows [row, end_row) of one sequence [first, end), query heads [head, end_head) of a kv head. */
static void forth_run(const Flash *f, const Desk *desk, int64_t first, int64_t end, int64_t row,
                      int64_t end_row, int64_t head, int64_t end_head, Block b)
{
    const RowsAttention *a = f->a;
    int64_t kv = head / f->group;
    f->k->gemm_pack_x(a->precision, head_rows(a->k, b.key, kv, true), b.n, 0, f->e, f->e,
                      desk->k_across);
    f->k->gemm_pack_x(a->precision, head_rows(a->v, b.key, kv, false), f->e_v, 0, b.n, b.n,
                      desk->along);
    for (b.row = row; b.row < end_row; b.row += BLOCK) {
        b.m = (size_t)least(end_row - b.row, BLOCK);
        if (!open_block(f, first, end, &b)) continue;
        for (b.head = head; b.head < end_head; b.head++) {
            size_t at = (size_t)((b.head - head) * PIECE + b.row - row);
            forth_block(f, desk, &b, first, end, desk->top + at, desk->sum + at);
        }
    }
}

static void forth_rows(const Flash *f, const Desk *desk, int64_t row, int64_t end_row, int64_t head,
                       int64_t end_head)
{
    const RowsAttention *a = f->a;
    int64_t first, end, from, to, unused;
    attend_sequence(a, row, &first, &end);
    attend_seen(a, row, first, end, &from, &unused);
    attend_seen(a, end_row - 1, first, end, &unused, &to);
    for (int64_t h = head; h < end_head; h++)
        for (int64_t i = row; i < end_row; i++) {
            size_t at = (size_t)((h - head) * PIECE + i - row);
            desk->top[at] = a->options.sinks ? a->options.sinks[h] : -INFINITY;
            desk->sum[at] = a->options.sinks ? 1 : 0;
            memset(attend_head(a->out, i, h), 0, f->e_v * sizeof(float));
        }
    for (int64_t key = from; key < to; key += f->run) {
        Block b = {.key = key, .n = (size_t)least(to - key, f->run)};
        forth_run(f, desk, first, end, row, end_row, head, end_head, b);
    }
    for (int64_t h = head; h < end_head; h++)
        for (int64_t i = row; i < end_row; i++) {
            size_t at = (size_t)((h - head) * PIECE + i - row);
            float *out = attend_head(a->out, i, h), sum = desk->sum[at];
            f->k->scale(sum > 0 ? 1 / sum : 0, out, f->e_v, out);
            tensor_at(a->lse, i)[h] = desk->top[at] + logf(sum);
        }
}

static void forth_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const Flash *f = arg;
    Desk desk = cut_desk(f, member);
    int64_t kv_heads = f->a->k.heads, rows = f->a->q.rows;
    for (int64_t p = begin; p < end; p++) {
        int64_t kv = p % kv_heads, row = p / kv_heads * PIECE, last = least(row + PIECE, rows);
        while (row < last) { /* of one sequence */
            int64_t first, after, end_head = (kv + 1) * f->group;
            attend_sequence(f->a, row, &first, &after);
            after = least(after, last);
            for (int64_t head = kv * f->group; head < end_head; head += HEADS)
                forth_rows(f, &desk, row, after, head, least(head + HEADS, end_head));
            row = after;
        }
    }
}

bool flash_forth(Cpu *c, const RowsAttention *a)
{
    Flash f;
    if (!open_flash(c, a, &f)) return false;
    int64_t blocks = (a->q.rows + PIECE - 1) / PIECE;
    cpu_share(c, blocks * a->k.heads, 1, a->q.rows * (int64_t)tensor_row(a->q) * 64, forth_pieces,
              &f);
    return true;
}

/* ---- back ---- */

/* Keys get the sum over the block's queries of weight times row: `to` += weights' (wide, m) t. */
static void down(const Flash *f, const Desk *desk, const Block *b, const float *weights, Tensor t,
                 size_t e, Tensor to, int64_t kv)
{
    GemmMatrix left = {weights, MOST_RUN, true};
    f->k->gemm_pack_a(f->a->precision, left, b->wide, b->m, desk->left);
    f->k->gemm_pack_x(f->a->precision, head_rows(t, b->row, b->head, false), e, 0, b->m, b->m,
                      desk->right);
    f->k->gemm(f->a->precision, b->wide, e, b->m, b->m, desk->left, desk->right,
               attend_head(to, b->key, kv), tensor_stride(to), true);
}

static void back_block(const Flash *f, const Desk *desk, const Block *b, int64_t first, int64_t end,
                       int64_t kv)
{
    const RowsAttention *a = f->a;
    across(f, desk, b, a->q, f->e, desk->k_across, desk->s);
    across(f, desk, b, f->d->d_out, f->e_v, desk->v_across, desk->d);
    for (size_t i = 0; i < b->m; i++) {
        int64_t row = b->row + (int64_t)i;
        ScoreRow of = score_row(f, b, first, end, i);
        f->k->weigh_back(&of, desk->s + i * MOST_RUN, desk->d + i * MOST_RUN,
                         tensor_at(a->lse, row)[b->head], tensor_at(f->d->delta, row)[b->head]);
    }
    along(f, desk, b, desk->d, f->e, f->d->d_q);
    down(f, desk, b, desk->s, f->d->d_out, f->e_v, f->d->d_v, kv);
    down(f, desk, b, desk->d, a->q, f->e, f->d->d_k, kv);
}

static void back_run(const Flash *f, const Desk *desk, int64_t first, int64_t end, int64_t kv,
                     Block b)
{
    const RowsAttention *a = f->a;
    GemmPrecision p = a->precision;
    f->k->gemm_pack_x(p, head_rows(a->k, b.key, kv, true), b.n, 0, f->e, f->e, desk->k_across);
    f->k->gemm_pack_x(p, head_rows(a->v, b.key, kv, true), b.n, 0, f->e_v, f->e_v, desk->v_across);
    f->k->gemm_pack_x(p, head_rows(a->k, b.key, kv, false), f->e, 0, b.n, b.n, desk->along);
    for (b.row = first; b.row < end; b.row += BLOCK) {
        b.m = (size_t)least(end - b.row, BLOCK);
        if (!open_block(f, first, end, &b)) continue;
        for (b.head = kv * f->group; b.head < (kv + 1) * f->group; b.head++)
            back_block(f, desk, &b, first, end, kv);
    }
}

static void back_sequence(const Flash *f, const Desk *desk, int64_t first, int64_t end, int64_t kv)
{
    const RowsAttention *a = f->a;
    for (int64_t i = first; i < end; i++)
        for (int64_t h = kv * f->group; h < (kv + 1) * f->group; h++)
            tensor_at(f->d->delta, i)[h] =
                f->k->dot(attend_head(f->d->d_out, i, h), attend_head(a->out, i, h), f->e_v);
    for (int64_t key = first; key < end; key += f->run) {
        Block b = {.key = key, .n = (size_t)least(end - key, f->run)};
        back_run(f, desk, first, end, kv, b);
    }
}

/* Piece p is kv head p % heads of sequence p / heads. */
static void back_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const Flash *f = arg;
    Desk desk = cut_desk(f, member);
    int64_t kv_heads = f->a->k.heads, row = 0, number = 0, first, after;
    for (int64_t p = begin; p < end; p++) {
        while (number < p / kv_heads) {
            attend_sequence(f->a, row, &first, &row);
            number++;
        }
        attend_sequence(f->a, row, &first, &after);
        back_sequence(f, &desk, first, after, p % kv_heads);
    }
}

static int64_t count_sequences(const RowsAttention *a)
{
    int64_t n = 0;
    for (int64_t i = 0; i < a->q.rows; i++)
        n += i == 0 || a->rows[i].sequence != a->rows[i - 1].sequence;
    return n;
}

bool flash_back(Cpu *c, const RowsAttention *a, const AttendGrads *d)
{
    Flash f;
    if (!d->d_q.data || !d->d_k.data || !d->d_v.data || !open_flash(c, a, &f)) return false;
    f.d = d;
    cpu_share(c, count_sequences(a) * a->k.heads, 1, a->q.rows * (int64_t)tensor_row(a->q) * 64,
              back_pieces, &f);
    return true;
}
