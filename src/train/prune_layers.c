/* How much each layer matters (see prune.h): the model predicts a text without it. The models share
 * the tensors of the whole one. */
#include <string.h>

#include "base/mem.h"
#include "train/prune_parts.h"
#include "train/surprise.h"

/* What an index borrows, until it is closed. */
typedef struct Less {
    GgufWriter *writer;
    GgufPlace *places;
    const OsMap **maps;
} Less;

static void less_close(void *user)
{
    Less *l = user;
    gguf_writer_close(&l->writer);
    mem_free(l->places);
    mem_free((void *)(uintptr_t)l->maps);
    mem_free(l);
}

/* An index of the same tensors, but for those of one layer. */
static bt_status without(const Gguf *g, const Cut *c, Gguf **out, bt_error *err)
{
    size_t n = gguf_n_tensors(g), used = 0, n_maps = (size_t)gguf_n_parts(g);
    char name[256];
    const CutPart *part;
    int32_t layer;
    *out = NULL;
    Less *l = mem_zalloc(1, sizeof *l);
    if (!l) return bt_fail_memory(err, "an index", sizeof *l);
    l->writer = gguf_writer_open();
    l->places = mem_zalloc(n + 1, sizeof *l->places);
    l->maps = mem_zalloc(n_maps + 1, sizeof *l->maps);
    if (!l->writer || !l->places || !l->maps) {
        less_close(l);
        return bt_fail_memory(err, "an index", n * sizeof *l->places);
    }
    for (size_t i = 0; i < n_maps; i++) l->maps[i] = gguf_part(g, (int)i);
    cut_put_keys(l->writer, g, c);
    for (size_t i = 0; i < n; i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        if (!cut_name(c, t, name, &part, &layer)) continue;
        gguf_put_tensor(l->writer, name, t->type, t->n_dims, t->ne, t->data);
        l->places[used++] = (GgufPlace){t->data, t->part, t->offset};
    }
    const GgufIndexOf of = {.path = gguf_path(g),
                            .places = l->places,
                            .maps = l->maps,
                            .n_maps = (int)n_maps,
                            .release = less_close,
                            .user = l};
    return gguf_writer_index(l->writer, &of, out, err);
}

enum { SCORED_MOST = 64 };

/* Mean of -log p of all tokens of each window but its first. */
static bt_status mean_loss(bt_model *m, const bt_token *ids, size_t n, int32_t n_ctx, double *out,
                           bt_error *err)
{
    bt_session *session;
    bt_row rows[SCORED_MOST];
    const bt_session_options o = {
        .n_ctx = n_ctx, .n_batch = SCORED_MOST, .n_logits = SCORED_MOST, .kv = BT_KV_F32};
    int32_t n_vocab = bt_model_describe(m).n_vocab;
    double sum = 0;
    uint64_t scored = 0;
    bt_status status = bt_session_open(m, &o, &session, err);
    for (size_t start = 0; start + 1 < n && !status; start += (size_t)n_ctx) {
        size_t end = n - start < (size_t)n_ctx ? n : start + (size_t)n_ctx;
        status = bt_session_truncate(session, 0, 0, err);
        for (size_t at = start, some; at + 1 < end && !status; at += some) {
            some = end - 1 - at < SCORED_MOST ? end - 1 - at : SCORED_MOST;
            for (size_t i = 0; i < some; i++)
                rows[i] = (bt_row){.token = ids[at + i], .want_logits = true};
            status = bt_session_step(session, rows, some, err);
            for (size_t i = 0; i < some && !status; i++, scored++)
                sum += surprise(bt_session_logits(session, (int32_t)i), n_vocab, ids[at + i + 1]);
        }
    }
    bt_session_close(&session);
    *out = scored ? sum / (double)scored : 0;
    return status;
}

bt_status prune_layer_losses(const bt_model *model, const bt_token *ids, size_t n, int32_t n_ctx,
                             double *loss, bt_progress_fn progress, void *user, bt_error *err)
{
    const bt_model_options options = {
        .n_threads = model->n_threads, .cpu_mask = model->features, .no_cache = true};
    const PruneWish all = {0};
    Cut c;
    bt_status status = prune_plan(model->gguf, &all, NULL, NULL, NULL, &c, err);
    if (!status && c.layers < 2)
        status = bt_fail(err, BT_E_ARGUMENT, "a model of one layer keeps it");
    c.keep.layers = c.layers - 1;
    for (int32_t l = 0; l < c.layers && !status; l++) {
        Gguf *g;
        bt_model *m = NULL;
        c.keeps_layer[l] = false;
        status = without(model->gguf, &c, &g, err);
        if (!status) status = model_open_gguf(&g, &options, &m, err);
        if (!status) status = mean_loss(m, ids, n, n_ctx, &loss[l], err);
        bt_model_close(&m);
        c.keeps_layer[l] = true;
        if (!status && progress && !progress(user, "layers", (uint64_t)l + 1, (uint64_t)c.layers))
            status = bt_fail(err, BT_E_CANCELLED, "cancelled");
    }
    prune_close(&c);
    return status;
}
