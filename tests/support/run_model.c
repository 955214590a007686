/* Feeding a model in several ways (see run_model.h). */
#include "support/run_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/scratch.h"

#define MOST_ROWS 512 /* of a step */

static bt_status feed_chunks(bt_session *s, const bt_token *tokens, int n, int chunk, float *out,
                             size_t vocab, bt_error *err)
{
    bt_row rows[MOST_ROWS];
    for (int i = 0; i < n; i += chunk) {
        int some = n - i < chunk ? n - i : chunk;
        for (int j = 0; j < some; j++) rows[j] = (bt_row){tokens[i + j], 0, true};
        bt_status status = bt_session_step(s, rows, (size_t)some, err);
        if (status) return status;
        for (int j = 0; j < some; j++)
            memcpy(out + (size_t)(i + j) * vocab, bt_session_logits(s, j), vocab * sizeof *out);
    }
    return BT_OK;
}

static bt_status feed_interleaved(bt_session *s, const bt_token *tokens, int n, float *out,
                                  size_t vocab, bt_error *err)
{
    for (int i = 0; i < n; i++) {
        const bt_row rows[] = {{tokens[n - 1 - i], 0, i % 3 == 0},
                               {tokens[i], 2, true},
                               {tokens[(i * 7) % n], 1, false},
                               {tokens[(i * 3 + 1) % n], 3, false}};
        bt_status status = bt_session_step(s, rows, 4, err);
        if (status) return status;
        memcpy(out + (size_t)i * vocab, bt_session_logits(s, -1), vocab * sizeof *out);
    }
    return BT_OK;
}

static bt_status feed_truncated(bt_session *s, const bt_token *tokens, int n, float *out,
                                size_t vocab, bt_error *err)
{
    int keep = n / 3, spare = n - keep < 64 ? n - keep : 64;
    bt_token wrong[64];
    for (int i = 0; i < spare; i++) wrong[i] = tokens[n - 1 - i];
    bt_status status = feed_chunks(s, tokens, keep, 7, out, vocab, err);
    if (!status) status = bt_session_feed(s, 0, wrong, (size_t)spare, err);
    if (!status) status = bt_session_truncate(s, 0, keep, err);
    if (status) return status;
    return feed_chunks(s, tokens + keep, n - keep, 7, out + (size_t)keep * vocab, vocab, err);
}

static bt_status feed_restored(bt_session *s, const bt_token *tokens, int n, float *out,
                               size_t vocab, bt_error *err)
{
    int keep = n / 2;
    char path[1024];
    snprintf(path, sizeof path, "%s", scratch_path("sequence.state"));
    bt_status status = feed_chunks(s, tokens, keep, 7, out, vocab, err);
    if (!status) status = bt_session_save(s, 0, path, err);
    if (!status) status = bt_session_feed(s, 0, tokens, (size_t)(n - keep), err);
    if (!status) status = bt_session_load(s, 0, path, err);
    if (status) return status;
    return feed_chunks(s, tokens + keep, n - keep, 7, out + (size_t)keep * vocab, vocab, err);
}

float *run_model(const char *path, const bt_token *tokens, int n, FeedMode mode, bt_kv_type kv,
                 uint64_t cpu_mask, int *n_vocab)
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
        size_t vocab = (size_t)*n_vocab;
        out = malloc((size_t)n * vocab * sizeof *out);
        int chunk = mode == FEED_AT_ONCE ? batch : mode == FEED_SEVENS ? 7 : 1;
        status = mode == FEED_INTERLEAVED ? feed_interleaved(s, tokens, n, out, vocab, &err)
                 : mode == FEED_TRUNCATED ? feed_truncated(s, tokens, n, out, vocab, &err)
                 : mode == FEED_RESTORED  ? feed_restored(s, tokens, n, out, vocab, &err)
                                          : feed_chunks(s, tokens, n, chunk, out, vocab, &err);
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
