/* Attention of rows over the rows of their own sequence, and its way back. Products of tiles do it
 * (back_flash.c); where they cannot, rows go one by one, in the same form: scores are made again
 * from q, k and the logarithm of their sum. A piece of work is some rows of one head: queries for
 * the result and their gradient, keys for those of k and v, so that every number is summed by one
 * thread in one order. */
#include <math.h>
#include <string.h>

#include "backend/cpu/back_attend.h"

#define PIECE_ROWS 16
#define RUN        256 /* keys whose scores are held at a time */

typedef struct AttendBack {
    const Kernels *k;
    const RowsAttention *a;
    int32_t group; /* query heads of a kv head */
    int64_t pieces;
    Tensor d_out, delta, d_q, d_k, d_v;
    float *d_sinks;
} AttendBack;

void attend_sequence(const RowsAttention *a, int64_t i, int64_t *first, int64_t *end)
{
    int32_t sequence = a->rows[i].sequence;
    *first = i;
    *end = i + 1;
    while (*first > 0 && a->rows[*first - 1].sequence == sequence) --*first;
    while (*end < a->q.rows && a->rows[*end].sequence == sequence) ++*end;
}

static int64_t within(int64_t x, int64_t least, int64_t most)
{
    return x < least ? least : x > most ? most : x;
}

void attend_seen(const RowsAttention *a, int64_t i, int64_t first, int64_t end, int64_t *from,
                 int64_t *to)
{
    int64_t span = a->options.span, position = a->rows[i].position, half = span / 2;
    *from = first;
    *to = i + 1;
    switch (a->options.see) {
    case ATTEND_PAST: break;
    case ATTEND_WINDOW: *from = i - span + 1; break;
    case ATTEND_CHUNK: *from = i - position % span; break;
    case ATTEND_BOTH: *to = end; break;
    case ATTEND_AROUND:
        *from = i - half;
        *to = i + half + 1;
        break;
    }
    *from = within(*from, first, end);
    *to = within(*to, first, end);
}

/* Rows [*from, *to) of queries that see row j. */
static void seers_of(const RowsAttention *a, int64_t j, int64_t first, int64_t end, int64_t *from,
                     int64_t *to)
{
    int64_t span = a->options.span, position = a->rows[j].position, half = span / 2;
    *from = j;
    *to = end;
    switch (a->options.see) {
    case ATTEND_PAST: break;
    case ATTEND_WINDOW: *to = j + span; break;
    case ATTEND_CHUNK: *to = j - position % span + span; break;
    case ATTEND_BOTH: *from = first; break;
    case ATTEND_AROUND:
        *from = j - half;
        *to = j + half + 1;
        break;
    }
    *from = within(*from, first, end);
    *to = within(*to, first, end);
}

static float score(const AttendBack *job, const float *q, const float *k)
{
    const AttendOptions *o = &job->a->options;
    float s = job->k->dot(q, k, (size_t)job->a->q.width) * o->scale;
    return o->soft_cap > 0 ? o->soft_cap * tanhf(s / o->soft_cap) : s;
}

/* d of the product q.k from d of the score s. */
static float score_back(const AttendOptions *o, float s, float d)
{
    float t = o->soft_cap > 0 ? s / o->soft_cap : 0;
    return d * (1 - t * t) * o->scale;
}

/* ---- forth ---- */

static void attend_row(const AttendBack *job, int64_t i, int64_t head)
{
    const RowsAttention *a = job->a;
    size_t width = (size_t)a->v.width;
    int64_t first, end, from, to, kv = head / job->group;
    float s[RUN], *out = attend_head(a->out, i, head), most = -INFINITY, total = 0;
    attend_sequence(a, i, &first, &end);
    attend_seen(a, i, first, end, &from, &to);
    memset(out, 0, width * sizeof *out);
    if (a->options.sinks) {
        most = a->options.sinks[head];
        total = 1;
    }
    for (int64_t at = from; at < to; at += RUN) {
        int64_t n = to - at < RUN ? to - at : RUN;
        float before = most;
        for (int64_t j = 0; j < n; j++) {
            s[j] = score(job, attend_head(a->q, i, head), attend_head(a->k, at + j, kv));
            if (s[j] > most) most = s[j];
        }
        float fade = before > -INFINITY ? expf(before - most) : 0;
        if (fade != 1) job->k->scale(fade, out, width, out);
        total *= fade;
        for (int64_t j = 0; j < n; j++) {
            float p = expf(s[j] - most);
            total += p;
            job->k->axpy(p, attend_head(a->v, at + j, kv), width, out);
        }
    }
    job->k->scale(total > 0 ? 1 / total : 0, out, width, out);
    tensor_at(a->lse, i)[head] = most + logf(total);
}

static void attend_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const AttendBack *job = arg;
    (void)member;
    for (int64_t p = begin; p < end; p++) {
        int64_t head = p / job->pieces, row = p % job->pieces * PIECE_ROWS;
        for (int64_t i = row; i < job->a->q.rows && i < row + PIECE_ROWS; i++)
            attend_row(job, i, head);
    }
}

/* About the numbers touched: rows see their sequence at most. */
static int64_t work_of(const RowsAttention *a)
{
    return a->q.rows * (int64_t)tensor_row(a->q) * 64;
}

static AttendBack job_of(Backend *b, const RowsAttention *a)
{
    return (AttendBack){.k = ((Cpu *)b)->k,
                        .a = a,
                        .group = a->q.heads / a->k.heads,
                        .pieces = (a->q.rows + PIECE_ROWS - 1) / PIECE_ROWS};
}

void cpu_attend_rows(Backend *b, const RowsAttention *a)
{
    AttendBack job = job_of(b, a);
    if (flash_forth((Cpu *)b, a)) return;
    cpu_share((Cpu *)b, job.pieces * a->q.heads, 1, work_of(a), attend_pieces, &job);
}

/* ---- back ---- */

/* delta = d_out . out, which is the sum over keys of p dp; and d_q. */
static void query_back(const AttendBack *job, int64_t i, int64_t head)
{
    const RowsAttention *a = job->a;
    size_t width = (size_t)a->v.width;
    int64_t first, end, from, to, kv = head / job->group;
    const float *q = attend_head(a->q, i, head), *d = attend_head(job->d_out, i, head);
    float delta = job->k->dot(d, attend_head(a->out, i, head), width);
    float lse = tensor_at(a->lse, i)[head];
    tensor_at(job->delta, i)[head] = delta;
    attend_sequence(a, i, &first, &end);
    attend_seen(a, i, first, end, &from, &to);
    for (int64_t j = from; j < to; j++) {
        float s = score(job, q, attend_head(a->k, j, kv));
        float dp = job->k->dot(d, attend_head(a->v, j, kv), width);
        job->k->axpy(score_back(&a->options, s, expf(s - lse) * (dp - delta)),
                     attend_head(a->k, j, kv), (size_t)a->q.width, attend_head(job->d_q, i, head));
    }
}

static void query_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const AttendBack *job = arg;
    (void)member;
    for (int64_t p = begin; p < end; p++) {
        int64_t head = p / job->pieces, row = p % job->pieces * PIECE_ROWS;
        for (int64_t i = row; i < job->a->q.rows && i < row + PIECE_ROWS; i++)
            query_back(job, i, head);
    }
}

/* d_k and d_v of one key, from all that see it. */
static void key_back(const AttendBack *job, int64_t j, int64_t kv)
{
    const RowsAttention *a = job->a;
    int64_t first, end, from, to;
    const float *k = attend_head(a->k, j, kv), *v = attend_head(a->v, j, kv);
    attend_sequence(a, j, &first, &end);
    seers_of(a, j, first, end, &from, &to);
    for (int64_t i = from; i < to; i++)
        for (int64_t head = kv * job->group; head < (kv + 1) * job->group; head++) {
            const float *q = attend_head(a->q, i, head), *d = attend_head(job->d_out, i, head);
            float s = score(job, q, k), p = expf(s - tensor_at(a->lse, i)[head]);
            float dp = job->k->dot(d, v, (size_t)a->v.width);
            float ds = score_back(&a->options, s, p * (dp - tensor_at(job->delta, i)[head]));
            job->k->axpy(p, d, (size_t)a->v.width, attend_head(job->d_v, j, kv));
            job->k->axpy(ds, q, (size_t)a->q.width, attend_head(job->d_k, j, kv));
        }
}

static void key_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const AttendBack *job = arg;
    (void)member;
    for (int64_t p = begin; p < end; p++) {
        int64_t kv = p / job->pieces, row = p % job->pieces * PIECE_ROWS;
        for (int64_t j = row; j < job->a->q.rows && j < row + PIECE_ROWS; j++) key_back(job, j, kv);
    }
}

/* A sink takes its share of every row and gives nothing: d = - the sum over rows of p delta. */
static void sinks_back(const AttendBack *job)
{
    const RowsAttention *a = job->a;
    for (int64_t h = 0; h < a->q.heads; h++) {
        double sum = 0;
        for (int64_t i = 0; i < a->q.rows; i++)
            sum -= exp((double)a->options.sinks[h] - (double)tensor_at(a->lse, i)[h]) *
                   (double)tensor_at(job->delta, i)[h];
        job->d_sinks[h] += (float)sum;
    }
}

void cpu_attend_back(Backend *b, const RowsAttention *a, Tensor d_out, Tensor delta, Tensor d_q,
                     Tensor d_k, Tensor d_v, float *d_sinks)
{
    AttendBack job = job_of(b, a);
    job.d_out = d_out;
    job.delta = delta;
    job.d_q = d_q;
    job.d_k = d_k;
    job.d_v = d_v;
    job.d_sinks = d_sinks;
    AttendGrads d = {d_out, delta, d_q, d_k, d_v};
    if (!flash_back((Cpu *)b, a, &d)) {
        cpu_share((Cpu *)b, job.pieces * a->q.heads, 1, work_of(a), query_pieces, &job);
        cpu_share((Cpu *)b, job.pieces * a->k.heads, 1, work_of(a), key_pieces, &job);
    }
    if (d_sinks && a->options.sinks) sinks_back(&job);
}
