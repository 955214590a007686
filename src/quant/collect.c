/* Gathering importance (see collect.h). The session's backend keeps computing as it does; its table
 * of calls is replaced by a copy in which the products with matrices are followed by a look at what
 * they read. So nothing is there to pay for when nobody gathers, and models know nothing of it.
 *
 * A weight is told by the tensor it lies in. One that was made anew in memory (matrices turned for
 * compressed attention) lies in none and is not counted; parts of one tensor that share an input
 * count once. */
#include "quant/collect.h"

#include <math.h>

#include "base/mem.h"
#include "engine/session.h"

#define OUTPUT_EVERY 16 /* rows of a window whose logits are computed */

typedef struct Watcher {
    BackendOps ops; /* first: the backend's table while it is watched */
    const BackendOps *real;
    const Gguf *gguf;
    Imatrix *matrix;
    bool no_memory;
} Watcher;

static Watcher *watcher_of(const Backend *b)
{
    return (Watcher *)(uintptr_t)b->ops;
}

/* The entry of a weight's tensor; NULL: not counted. *mats: how many of its matrices are apart. */
static ImatrixEntry *entry_of(Watcher *w, const Weight *weight, uint64_t *mats)
{
    const GgufTensor *t = gguf_find_tensor(w->gguf, weight->name);
    const unsigned char *rows = weight->rows;
    if (!t || !t->data || (uint64_t)weight->k != t->ne[0]) return NULL;
    if (rows < (const unsigned char *)t->data || rows >= (const unsigned char *)t->data + t->bytes)
        return NULL;
    *mats = t->ne[2] * t->ne[3];
    for (size_t i = 0; i < w->matrix->n; i++) {
        ImatrixEntry *e = &w->matrix->entries[i];
        if (span_equal(e->name, t->name)) return e;
    }
    ImatrixEntry *e = imatrix_add(w->matrix, t->name, t->ne[0] * *mats, *mats);
    w->no_memory = w->no_memory || !e;
    return e;
}

static void add_row(ImatrixEntry *e, uint64_t mats, uint64_t mat, const float *x)
{
    uint64_t k = e->n / mats, at = mat < mats ? mat : 0;
    float *sum = e->mean + at * k;
    for (uint64_t i = 0; i < k; i++) sum[i] += x[i] * x[i];
    e->counts[at]++;
}

static void add_rows(Watcher *w, const Weight *weight, Tensor x)
{
    uint64_t mats;
    ImatrixEntry *e = w->no_memory ? NULL : entry_of(w, weight, &mats);
    for (int64_t t = 0; e && t < x.rows; t++) add_row(e, mats, 0, tensor_at(x, t));
}

/* ---- the calls that are watched ---- */

/* What a next matrix reads as int8 only is to be there as floats too: they are looked at. */
static void keep_floats(Tensor t)
{
    if (t.twin) t.twin->alone = false;
}

static void watch_linear(Backend *b, Tensor x, const Weight *const *w, const Tensor *out, int count)
{
    Watcher *watcher = watcher_of(b);
    watcher->real->linear(b, x, w, out, count);
    for (int i = 0; i < count; i++) {
        bool again = false; /* another part of a tensor that was counted */
        for (int j = 0; j < i; j++) again = again || strcmp(w[i]->name, w[j]->name) == 0;
        if (!again) add_rows(watcher, w[i], x);
    }
}

static void watch_gated(Backend *b, Tensor x, const Weight *gate, const Weight *up,
                        Activation activation, Tensor out)
{
    Watcher *watcher = watcher_of(b);
    keep_floats(out);
    watcher->real->gated(b, x, gate, up, activation, out);
    add_rows(watcher, up, x);
    if (gate && strcmp(gate->name, up->name) != 0) add_rows(watcher, gate, x);
}

static void watch_heads(Backend *b, Tensor x, const Weight *w, Tensor out)
{
    Watcher *watcher = watcher_of(b);
    uint64_t mats;
    watcher->real->linear_heads(b, x, w, out);
    ImatrixEntry *e = watcher->no_memory ? NULL : entry_of(watcher, w, &mats);
    for (int64_t t = 0; e && t < x.rows; t++)
        for (int32_t h = 0; h < x.heads; h++)
            add_row(e, mats, (uint64_t)h, tensor_at(x, t) + (size_t)h * (size_t)x.width);
}

/* Rows of x as they reach each expert, in order of pairs. */
static void add_inputs(Watcher *watcher, const Weight *w, Tensor x, const MoeOptions *o,
                       const MoeWork *work)
{
    uint64_t mats;
    ImatrixEntry *e = watcher->no_memory ? NULL : entry_of(watcher, w, &mats);
    uint64_t k = e ? e->n / mats : 0;
    for (int32_t expert = 0; e && expert < o->n_experts; expert++)
        for (int32_t p = work->begin[expert]; p < work->begin[expert + 1]; p++) {
            int32_t choice = work->choice[p];
            const float *row = tensor_at(x, choice / o->n_used);
            float share = o->weigh_input ? work->share[choice] : 1;
            uint64_t at = (uint64_t)expert < mats ? (uint64_t)expert : 0;
            float *sum = e->mean + at * k;
            for (uint64_t i = 0; i < k; i++) sum[i] += share * row[i] * share * row[i];
            e->counts[at]++;
        }
}

static void watch_moe(Backend *b, Tensor x, Tensor logits, const Weight *gate, const Weight *up,
                      const Weight *down, const MoeOptions *o, const MoeWork *work, Tensor out)
{
    Watcher *watcher = watcher_of(b);
    uint64_t mats;
    keep_floats(work->hidden);
    watcher->real->moe(b, x, logits, gate, up, down, o, work, out);
    add_inputs(watcher, up, x, o, work);
    if (gate && strcmp(gate->name, up->name) != 0) add_inputs(watcher, gate, x, o, work);
    ImatrixEntry *e = watcher->no_memory ? NULL : entry_of(watcher, down, &mats);
    for (int32_t expert = 0; e && expert < o->n_experts; expert++)
        for (int32_t p = work->begin[expert]; p < work->begin[expert + 1]; p++)
            add_row(e, mats, (uint64_t)expert, tensor_at(work->hidden, p));
}

/* ---- reading the text ---- */

static bt_status read_windows(bt_session *s, const bt_token *ids, size_t windows, bt_row *rows,
                              const CollectOptions *o, bt_error *err)
{
    bt_model_info info = bt_model_describe(s->model);
    size_t size = (size_t)o->n_ctx, batch = (size_t)bt_session_batch(s);
    bt_status status = BT_OK;
    for (size_t w = 0; w < windows && !status; w++) {
        status = bt_session_truncate(s, 0, 0, err);
        for (size_t at = 0, n; at < size && !status; at += n) {
            n = size - at < batch ? size - at : batch;
            for (size_t i = 0; i < n; i++) {
                bool bos = at + i == 0 && info.add_bos && info.bos >= 0;
                rows[i] = (bt_row){.token = bos ? info.bos : ids[w * size + at + i],
                                   .want_logits = (at + i) % OUTPUT_EVERY == OUTPUT_EVERY - 1};
            }
            status = bt_session_step(s, rows, n, err);
        }
        if (!status && o->progress && !o->progress(o->progress_user, "reading", w + 1, windows))
            status = bt_fail(err, BT_E_CANCELLED, "cancelled while reading");
    }
    return status;
}

static bt_status watch(bt_session *s, const bt_token *ids, size_t windows, const CollectOptions *o,
                       Imatrix *m, bt_error *err)
{
    Watcher w = {
        .ops = *s->backend->ops, .real = s->backend->ops, .gguf = s->model->gguf, .matrix = m};
    bt_row *rows = mem_alloc((size_t)bt_session_batch(s) * sizeof *rows);
    if (!rows) return bt_fail_memory(err, "a step", sizeof *rows);
    w.ops.linear = watch_linear;
    w.ops.linear_heads = watch_heads;
    w.ops.gated = watch_gated;
    w.ops.moe = watch_moe;
    s->backend->ops = &w.ops;
    bt_status status = read_windows(s, ids, windows, rows, o, err);
    s->backend->ops = w.real;
    mem_free(rows);
    if (!status && w.no_memory) status = bt_fail_memory(err, "an importance matrix", m->n);
    return status;
}

bt_status collect_importance(bt_model *model, const bt_token *ids, size_t n,
                             const CollectOptions *o, Imatrix **out, bt_error *err)
{
    size_t size = (size_t)o->n_ctx, windows = size ? n / size : 0;
    bt_session *s = NULL;
    *out = NULL;
    if (o->n_ctx < 8) return bt_fail(err, BT_E_ARGUMENT, "a window must hold 8 tokens or more");
    if (!windows)
        return bt_fail(err, BT_E_ARGUMENT, "the text has %zu tokens, a window needs %zu", n, size);
    if (o->most && windows > o->most) windows = o->most;
    Imatrix *m = imatrix_new();
    if (!m) return bt_fail_memory(err, "an importance matrix", sizeof *m);
    bt_embedding_info embedding = bt_model_embedding(model); /* encoders take a window whole */
    int32_t batch = embedding.encoder || o->n_ctx < MODEL_BATCH ? o->n_ctx : MODEL_BATCH;
    bt_session_options session = {.n_ctx = o->n_ctx,
                                  .n_batch = batch,
                                  .kv = BT_KV_F32,
                                  .n_logits = batch / OUTPUT_EVERY + 1,
                                  .embeddings = embedding.embeds};
    bt_status status = bt_session_open(model, &session, &s, err);
    if (!status) status = watch(s, ids, windows, o, m, err);
    bt_session_close(&s);
    for (size_t i = 0; i < m->n && !status; i++)
        status = imatrix_divide(&m->entries[i], "activations", err);
    if (!status) status = imatrix_index(m, "activations", err);
    m->chunks = (uint32_t)windows;
    m->chunk_size = (uint32_t)size;
    if (status) imatrix_close(&m);
    *out = m;
    return status;
}

bt_status bt_imatrix(bt_model *model, const bt_token *ids, size_t n, const char *path,
                     const bt_imatrix_options *options, bt_error *err)
{
    static const bt_imatrix_options none;
    const bt_imatrix_options *o = options ? options : &none;
    bt_error inner = {0};
    Imatrix *m = NULL;
    CollectOptions collect = {.n_ctx = o->n_ctx ? o->n_ctx : 512,
                              .most = o->most,
                              .progress = o->progress,
                              .progress_user = o->progress_user};
    bt_error_clear(err);
    if (!path || !*path) return bt_fail(err, BT_E_ARGUMENT, "a file to write must be named");
    bt_status status = collect_importance(model, ids, n, &collect, &m, &inner);
    if (!status && m && o->dataset && !(m->dataset = mem_strdup(o->dataset)))
        status = bt_fail_memory(&inner, "a name", strlen(o->dataset));
    if (!status) status = imatrix_save(m, path, &inner);
    imatrix_close(&m);
    return status ? bt_fail(err, status, "%s", inner.text) : BT_OK;
}
