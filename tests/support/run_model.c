/* Feeding a model in several ways (see run_model.h). */
#include "support/run_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/compare.h"
#include "support/scratch.h"

#define MOST_ROWS 512 /* of a step */

typedef struct Feed {
    const bt_token *tokens;
    const int32_t *axes; /* (n, 4), or NULL */
    int n;
    float *out; /* (n, vocab) */
    size_t vocab;
} Feed;

static int32_t largest(const int32_t *at)
{
    int32_t most = at[0] > at[1] ? at[0] : at[1];
    return most > at[2] ? most : at[2];
}

/* Rows that go on as text does say nothing of their axes: the session knows. */
static bt_row row_of(const Feed *f, int i, int32_t sequence, bool want)
{
    const int32_t *at = f->axes ? f->axes + 4 * i : NULL;
    int32_t next = at && i ? largest(at - 4) + 1 : 0;
    if (at && at[0] == next && at[1] == next && at[2] == next) at = NULL;
    return (bt_row){f->tokens[i], sequence, want, at};
}

static bt_status feed_chunks(bt_session *s, const Feed *f, int from, int to, int chunk,
                             bt_error *err)
{
    bt_row rows[MOST_ROWS];
    for (int i = from; i < to; i += chunk) {
        int some = to - i < chunk ? to - i : chunk;
        for (int j = 0; j < some; j++) rows[j] = row_of(f, i + j, 0, true);
        bt_status status = bt_session_step(s, rows, (size_t)some, err);
        if (status) return status;
        for (int j = 0; j < some; j++)
            memcpy(f->out + (size_t)(i + j) * f->vocab, bt_session_logits(s, j),
                   f->vocab * sizeof *f->out);
    }
    return BT_OK;
}

static bt_status feed_interleaved(bt_session *s, const Feed *f, bt_error *err)
{
    int n = f->n;
    for (int i = 0; i < n; i++) {
        const bt_row rows[] = {{f->tokens[n - 1 - i], 0, i % 3 == 0, NULL},
                               row_of(f, i, 2, true),
                               {f->tokens[(i * 7) % n], 1, false, NULL},
                               {f->tokens[(i * 3 + 1) % n], 3, false, NULL}};
        bt_status status = bt_session_step(s, rows, 4, err);
        if (status) return status;
        memcpy(f->out + (size_t)i * f->vocab, bt_session_logits(s, -1), f->vocab * sizeof *f->out);
    }
    return BT_OK;
}

static bt_status feed_truncated(bt_session *s, const Feed *f, bt_error *err)
{
    int keep = f->n / 3, spare = f->n - keep < 64 ? f->n - keep : 64;
    bt_token wrong[64];
    for (int i = 0; i < spare; i++) wrong[i] = f->tokens[f->n - 1 - i];
    bt_status status = feed_chunks(s, f, 0, keep, 7, err);
    if (!status) status = bt_session_feed(s, 0, wrong, (size_t)spare, err);
    if (!status) status = bt_session_truncate(s, 0, keep, err);
    return status ? status : feed_chunks(s, f, keep, f->n, 7, err);
}

static bt_status feed_restored(bt_session *s, const Feed *f, bt_error *err)
{
    int keep = f->n / 2;
    char path[1024];
    snprintf(path, sizeof path, "%s", scratch_path("sequence.state"));
    bt_status status = feed_chunks(s, f, 0, keep, 7, err);
    if (!status) status = bt_session_save(s, 0, path, err);
    if (!status) status = bt_session_feed(s, 0, f->tokens, (size_t)(f->n - keep), err);
    if (!status) status = bt_session_load(s, 0, path, err);
    return status ? status : feed_chunks(s, f, keep, f->n, 7, err);
}

float *run_model(const char *path, const bt_token *tokens, int n, FeedMode mode, bt_kv_type kv,
                 uint64_t cpu_mask, int *n_vocab)
{
    return run_model_at(path, tokens, NULL, n, mode, kv, cpu_mask, n_vocab);
}

float *run_model_at(const char *path, const bt_token *tokens, const int32_t *axes, int n,
                    FeedMode mode, bt_kv_type kv, uint64_t cpu_mask, int *n_vocab)
{
    bt_error err = {0};
    bt_model *m = NULL;
    bt_session *s = NULL;
    float *out = NULL;
    bt_model_options mo = {.cpu_mask = cpu_mask};
    int batch = n < MOST_ROWS ? n : MOST_ROWS;
    bt_session_options so = {
        .n_ctx = n, .n_sequences = 4, .n_batch = batch, .n_logits = batch, .kv = kv};
    bt_status status = bt_model_open(path, &mo, &m, &err);
    if (!status) status = bt_session_open(m, &so, &s, &err);
    if (!status) {
        *n_vocab = bt_model_describe(m).n_vocab;
        Feed f = {tokens, axes, n, NULL, (size_t)*n_vocab};
        out = f.out = malloc((size_t)n * f.vocab * sizeof *out);
        int chunk = mode == FEED_AT_ONCE ? batch : mode == FEED_SEVENS ? 7 : 1;
        status = mode == FEED_INTERLEAVED ? feed_interleaved(s, &f, &err)
                 : mode == FEED_TRUNCATED ? feed_truncated(s, &f, &err)
                 : mode == FEED_RESTORED  ? feed_restored(s, &f, &err)
                                          : feed_chunks(s, &f, 0, n, chunk, &err);
    }
    if (status) {
        fprintf(stderr, "%s\n", err.text);
        free(out);
        out = NULL;
    }
    bt_session_close(&s);
    bt_model_close(&m);
    return out;
}

double run_model_apart(const char *path, const bt_token *tokens, const int32_t *axes, int n,
                       FeedMode mode, uint64_t cpu_mask, const char *answers)
{
    size_t count;
    int n_vocab;
    double apart = INFINITY;
    float *want = answers ? compare_read(answers, &count) : NULL;
    float *got = run_model_at(path, tokens, axes, n, mode, BT_KV_F32, cpu_mask, &n_vocab);
    if (got && want && count == (size_t)n * (size_t)n_vocab)
        apart = compare_nmse(got, want, count);
    else if (got)
        fprintf(stderr, "%s: %s are not the answers to %d tokens\n", path,
                answers ? answers : "nothing", n);
    free(got);
    free(want);
    return apart;
}
