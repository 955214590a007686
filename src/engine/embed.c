/* Texts to vectors: ragged steps over whole texts, their rows pooled, put through the matrices that
 * some models have for vectors, cut, and brought to length 1. A text's rows are computed the same
 * whatever stands beside them in a step, so its vector does not depend on its company. */
#include <math.h>
#include <string.h>

#include "engine/session.h"

typedef struct Embed {
    bt_session *s;
    bt_pooling pooling;
    int32_t dimensions;
    bool keep_length, score;
    const bt_ids *texts;
    float *out; /* the next vector goes there */
    bt_error *err;
} Embed;

size_t model_pool_bytes(const bt_model *m, int32_t n_sequences)
{
    size_t width = (size_t)m->hyper.n_embd;
    return (size_t)n_sequences * width * sizeof(float) + width * sizeof(double);
}

Tensor model_dense(Step *step, const bt_model *m, Tensor x)
{
    const Hyper *h = &m->hyper;
    for (size_t i = 0; i < sizeof h->dense / sizeof *h->dense && h->dense[i]; i++) {
        x = op_linear(step, x, h->dense[i]);
        if (i > 0 || !h->rank_activates) continue;
        x = op_activate(step, x, h->rank_activation);
        if (h->rank_norm) x = op_norm(step, x, h->rank_norm);
    }
    return x;
}

static int32_t n_dims(const bt_model *m)
{
    int32_t n = m->hyper.n_embd;
    for (size_t i = 0; i < sizeof m->hyper.dense / sizeof *m->hyper.dense; i++)
        if (m->hyper.dense[i]) n = (int32_t)m->hyper.dense[i]->n;
    return n;
}

static bt_pooling pooling_of(const bt_model *m)
{
    switch (m->hyper.pooling) {
    case POOLING_NONE: return BT_POOLING_NONE;
    case POOLING_MEAN: return BT_POOLING_MEAN;
    case POOLING_CLS: return BT_POOLING_CLS;
    case POOLING_LAST: return BT_POOLING_LAST;
    case POOLING_RANK:
        if (strcmp(m->architecture, "modern-bert") == 0) return BT_POOLING_MEAN;
        return m->hyper.causal ? BT_POOLING_LAST : BT_POOLING_CLS;
    case POOLING_UNSAID: break;
    }
    return m->hyper.causal ? BT_POOLING_LAST : BT_POOLING_MEAN;
}

bt_embedding_info bt_model_embedding(const bt_model *m)
{
    return (bt_embedding_info){.encoder = !m->hyper.causal,
                               .embeds = m->hyper.embeds,
                               .pooling = pooling_of(m),
                               .n_dims = n_dims(m),
                               .query_prefix = m->query_prefix,
                               .document_prefix = m->document_prefix};
}

/* ---- one vector ---- */

/* Cut, brought to length 1, and put out. */
static void put(Embed *e, const float *vector)
{
    size_t n = (size_t)e->dimensions;
    double square = 0;
    for (size_t i = 0; i < n; i++) square += (double)vector[i] * (double)vector[i];
    double by = e->keep_length || !(square > 0) ? 1 : 1 / sqrt(square);
    for (size_t i = 0; i < n; i++) e->out[i] = (float)((double)vector[i] * by);
    e->out += n;
}

/* The labels of a reranker as a probability. */
static void put_score(Embed *e, const float *labels)
{
    const Hyper *h = &e->s->model->hyper;
    double by = n_dims(e->s->model) == 1
                    ? (double)labels[0]
                    : (double)labels[h->rank_yes] - (double)labels[!h->rank_yes];
    *e->out++ = (float)(1 / (1 + exp(-by)));
}

static void sum_rows(const Embed *e, int32_t row, size_t n)
{
    const bt_session *s = e->s;
    size_t width = (size_t)s->model->hyper.n_embd;
    for (size_t r = 0; r < n; r++) {
        const float *x = s->answer + ((size_t)row + r) * width;
        for (size_t i = 0; i < width; i++) s->sum[i] += (double)x[i];
    }
}

static bool wanted(const Embed *e, size_t at, size_t n)
{
    switch (e->pooling) {
    case BT_POOLING_CLS: return at == 0;
    case BT_POOLING_LAST: return at + 1 == n;
    default: return true;
    }
}

/* ---- steps ---- */

/* Rows [from, from + n) of a text that is sequence q, put into the step at row `at`. */
static void feed(const Embed *e, const bt_ids *text, size_t from, size_t n, int32_t q, size_t at)
{
    for (size_t i = 0; i < n; i++)
        e->s->feed[at + i] = (bt_row){text->ids[from + i], q, wanted(e, from + i, text->n)};
}

/* The part [from, from + n) of a text has been computed; its wanted rows begin at `row`. Gives how
 * many there were. */
static int32_t pool(Embed *e, const bt_ids *text, size_t from, size_t n, int32_t q, int32_t row)
{
    bt_session *s = e->s;
    size_t width = (size_t)s->model->hyper.n_embd;
    float *vector = s->pooled + (size_t)q * width;
    bool here = from == 0, ends = from + n == text->n;
    switch (e->pooling) {
    case BT_POOLING_NONE:
        for (size_t i = 0; i < n; i++) put(e, s->answer + ((size_t)row + i) * width);
        return (int32_t)n;
    case BT_POOLING_MEAN:
        if (here) memset(s->sum, 0, width * sizeof *s->sum);
        sum_rows(e, row, n);
        for (size_t i = 0; ends && i < width; i++) vector[i] = (float)(s->sum[i] / (double)text->n);
        return (int32_t)n;
    case BT_POOLING_CLS: break;
    default: here = ends; break;
    }
    if (here) memcpy(vector, s->answer + (size_t)row * width, width * sizeof *vector);
    return here;
}

static bt_status put_pooled(Embed *e, int32_t n)
{
    Tensor x;
    if (e->pooling == BT_POOLING_NONE) return BT_OK;
    bt_status status = session_dense(e->s, n, &x, e->err);
    for (int32_t i = 0; i < n && !status; i++) {
        if (e->score)
            put_score(e, tensor_at(x, i));
        else
            put(e, tensor_at(x, i));
    }
    return status;
}

static void empty(bt_session *s)
{
    for (int32_t q = 0; q < s->n_sequences; q++)
        if (bt_session_length(s, q) > 0) bt_session_truncate(s, q, 0, NULL);
}

/* A text longer than a step, of a model that reads it part by part. */
static bt_status embed_long(Embed *e, const bt_ids *text)
{
    bt_session *s = e->s;
    for (size_t from = 0, n; from < text->n; from += n) {
        n = text->n - from < (size_t)s->n_batch ? text->n - from : (size_t)s->n_batch;
        feed(e, text, from, n, 0, 0);
        bt_status status = bt_session_step(s, s->feed, n, e->err);
        if (status) return status;
        pool(e, text, from, n, 0, 0);
    }
    return put_pooled(e, 1);
}

/* The first texts of n, as many as a step takes; *done says how many. */
static bt_status embed_some(Embed *e, size_t first, size_t n, size_t *done)
{
    bt_session *s = e->s;
    const bt_ids *text = e->texts + first;
    size_t count = 0, rows = 0;
    int32_t row = 0;
    *done = 1;
    if (text->n > (size_t)s->n_batch) return embed_long(e, text);
    while (count < n && count < (size_t)s->n_sequences &&
           text[count].n <= (size_t)s->n_batch - rows) {
        feed(e, &text[count], 0, text[count].n, (int32_t)count, rows);
        rows += text[count++].n;
    }
    bt_status status = bt_session_step(s, s->feed, rows, e->err);
    if (status) return status;
    for (size_t i = 0; i < count; i++) row += pool(e, &text[i], 0, text[i].n, (int32_t)i, row);
    *done = count;
    return put_pooled(e, (int32_t)count);
}

/* ---- all ---- */

static bt_status check_texts(const bt_session *s, const bt_ids *texts, size_t n, bt_error *err)
{
    int32_t n_vocab = s->model->hyper.n_vocab;
    for (size_t i = 0; i < n; i++) {
        if (!texts[i].n) return bt_fail(err, BT_E_ARGUMENT, "text %zu has no tokens", i + 1);
        if (texts[i].n > (size_t)s->n_ctx)
            return bt_fail(err, BT_E_CONTEXT, "text %zu has %zu tokens, and at most %d are read",
                           i + 1, texts[i].n, s->n_ctx);
        for (size_t j = 0; j < texts[i].n; j++)
            if (texts[i].ids[j] < 0 || texts[i].ids[j] >= n_vocab)
                return bt_fail(err, BT_E_ARGUMENT,
                               "text %zu: token %d is outside the vocabulary of %d", i + 1,
                               texts[i].ids[j], n_vocab);
    }
    return BT_OK;
}

static bt_status check_options(Embed *e, const bt_embed_options *o)
{
    const bt_model *m = e->s->model;
    e->pooling = o->pooling ? o->pooling : pooling_of(m);
    e->keep_length = o->keep_length;
    if (!e->s->hidden)
        return bt_fail(e->err, BT_E_ARGUMENT, "the session was not opened for embeddings");
    if (o->pooling < BT_POOLING_DEFAULT || o->pooling > BT_POOLING_LAST)
        return bt_fail(e->err, BT_E_ARGUMENT, "pooling %d is not known", (int)o->pooling);
    if (!o->pooling && !e->score && m->hyper.pooling == POOLING_RANK)
        return bt_fail(e->err, BT_E_UNSUPPORTED,
                       "%s: key '%s.pooling_type' says that the model scores pairs of texts (a "
                       "reranker); name another pooling to have vectors of it",
                       gguf_path(m->gguf), m->architecture);
    int32_t most = e->pooling == BT_POOLING_NONE ? m->hyper.n_embd : n_dims(m);
    e->dimensions = o->dimensions ? o->dimensions : most;
    if (e->dimensions < 1 || e->dimensions > most)
        return bt_fail(e->err, BT_E_ARGUMENT, "%d dimensions are asked; the model gives %d",
                       o->dimensions, most);
    return BT_OK;
}

static bt_status embed_all(Embed *e, size_t n, const bt_embed_options *options)
{
    static const bt_embed_options defaults;
    bt_session *s = e->s;
    bt_error_clear(e->err);
    bt_status status = check_options(e, options ? options : &defaults);
    if (!status) status = check_texts(s, e->texts, n, e->err);
    for (size_t i = 0, done = 0; i < n && !status; i += done) {
        empty(s);
        status = embed_some(e, i, n - i, &done);
    }
    if (s->hidden) empty(s);
    return status;
}

bt_status bt_session_embed(bt_session *s, const bt_ids *texts, size_t n,
                           const bt_embed_options *options, float *out, bt_error *err)
{
    Embed e = {.s = s, .texts = texts, .out = out, .err = err};
    return embed_all(&e, n, options);
}

bt_status session_score(bt_session *s, const bt_ids *texts, size_t n, float *out, bt_error *err)
{
    Embed e = {.s = s, .score = true, .texts = texts, .out = out, .err = err};
    if (s->model->hyper.ranks) return embed_all(&e, n, NULL);
    return bt_fail(err, BT_E_UNSUPPORTED, "%s has no head that scores pairs of texts",
                   gguf_path(s->model->gguf));
}
