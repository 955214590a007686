/* What of a model is cut (see prune.h): its parts by name, and the units that matter least. */
#include "train/prune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/kernels.h"
#include "tensor/dtype.h"
#include "train/prune_parts.h"

/* ---- what a tensor is of its block ---- */

static const CutPart parts[] = {
    {"attn_q.weight", CUT_ROWS, CUT_QUERY},
    {"attn_q.bias", CUT_ROWS, CUT_QUERY},
    {"attn_k.weight", CUT_ROWS, CUT_KV},
    {"attn_k.bias", CUT_ROWS, CUT_KV},
    {"attn_v.weight", CUT_ROWS, CUT_KV},
    {"attn_v.bias", CUT_ROWS, CUT_KV},
    {"attn_output.weight", CUT_COLUMNS, CUT_QUERY},
    {"ffn_gate.weight", CUT_ROWS, CUT_CHANNEL},
    {"ffn_gate.bias", CUT_ROWS, CUT_CHANNEL},
    {"ffn_up.weight", CUT_ROWS, CUT_CHANNEL},
    {"ffn_up.bias", CUT_ROWS, CUT_CHANNEL},
    {"ffn_down.weight", CUT_COLUMNS, CUT_CHANNEL},
    {"attn_norm.weight", CUT_NONE, CUT_CHANNEL},
    {"ffn_norm.weight", CUT_NONE, CUT_CHANNEL},
    {"attn_q_norm.weight", CUT_NONE, CUT_KV},
    {"attn_k_norm.weight", CUT_NONE, CUT_KV},
    {"attn_output.bias", CUT_NONE, CUT_KV},
    {"ffn_down.bias", CUT_NONE, CUT_KV},
};
enum { N_PARTS = sizeof parts / sizeof *parts };

const CutPart *cut_part(Span name, size_t rest)
{
    for (int i = 0; i < N_PARTS; i++)
        if (strlen(parts[i].name) == name.size - rest &&
            memcmp(parts[i].name, name.data + rest, name.size - rest) == 0)
            return &parts[i];
    return NULL;
}

/* ---- planning ---- */

bt_status cut_key(const Gguf *g, const CutSizes *s, const char *name, bool needed, int32_t *out,
                  bt_error *err)
{
    char key[160];
    snprintf(key, sizeof key, "%s.%s", s->arch, name);
    int64_t i = gguf_find_key(g, key);
    if (i >= 0 && gguf_key_type(g, (size_t)i) == GGUF_ARRAY)
        return bt_fail(err, BT_E_UNSUPPORTED,
                       "%s: %s differs from layer to layer; such a model is "
                       "not cut",
                       gguf_path(g), key);
    return gguf_get_i32(g, key, needed, out, err);
}

bt_status cut_sizes(const Gguf *g, CutSizes *s, bt_error *err)
{
    static const char *const families[] = {"llama", "qwen2", "qwen3"};
    Span arch = SPAN("");
    int32_t window = 0;
    bool known = false;
    *s = (CutSizes){0};
    bt_status status = gguf_get_span(g, "general.architecture", true, &arch, err);
    for (size_t i = 0; i < 3; i++) known |= span_is(arch, families[i]);
    if (!status && !known)
        status = bt_fail(err, BT_E_UNSUPPORTED,
                         "%s: models of the family '%.*s' are not cut (llama, qwen2 and qwen3 are)",
                         gguf_path(g), (int)(arch.size < 40 ? arch.size : 40), arch.data);
    if (status) return status;
    memcpy(s->arch, arch.data, arch.size);
    status = cut_key(g, s, "block_count", true, &s->layers, err);
    if (!status) status = cut_key(g, s, "feed_forward_length", true, &s->ff, err);
    if (!status) status = cut_key(g, s, "embedding_length", true, &s->embd, err);
    if (!status) status = cut_key(g, s, "attention.head_count", true, &s->heads, err);
    s->kv_heads = s->heads;
    if (!status) status = cut_key(g, s, "attention.head_count_kv", false, &s->kv_heads, err);
    if (!status) status = cut_key(g, s, "attention.sliding_window", false, &window, err);
    if (status) return status;
    if (window)
        return bt_fail(err, BT_E_UNSUPPORTED, "%s: a model with windows is not cut", gguf_path(g));
    if (s->layers < 1 || s->layers > 4096 || s->ff < 1 || s->embd < 1 || s->heads < 1 ||
        s->kv_heads < 1 || s->heads % s->kv_heads || s->embd > 1 << 20 || s->ff > 1 << 24 ||
        s->heads > 4096)
        return bt_fail(err, BT_E_FORMAT, "%s: its sizes make no model", gguf_path(g));
    s->head_dim = s->embd / s->heads;
    return cut_key(g, s, "attention.key_length", false, &s->head_dim, err);
}

int64_t cut_unit(const Cut *c, CutUnit unit)
{
    if (unit == CUT_CHANNEL) return 1;
    return unit == CUT_KV ? c->head_dim : (int64_t)c->head_dim * (c->heads / c->kv_heads);
}

static int64_t n_units(const Cut *c, CutUnit unit)
{
    return unit == CUT_CHANNEL ? c->ff : c->kv_heads;
}

/* Each tensor of a layer is known and has the size that its cut needs. */
static bt_status check_tensors(const Gguf *g, const Cut *c, bt_error *err)
{
    bool narrow = c->keep.ff < c->ff || c->keep.kv_heads < c->kv_heads;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        size_t rest;
        int32_t layer = gguf_layer(t->name, &rest);
        const CutPart *part = layer < 0 ? NULL : cut_part(t->name, rest);
        if (layer < 0) continue;
        bool good = layer < c->layers && (part || !narrow);
        if (good && part && part->axis != CUT_NONE) {
            bool columns = part->axis == CUT_COLUMNS || t->n_dims == 1;
            good = t->n_dims <= 2 && (int64_t)t->ne[columns ? 0 : 1] ==
                                         cut_unit(c, part->unit) * n_units(c, part->unit);
        }
        if (!good)
            return bt_fail(err, BT_E_UNSUPPORTED,
                           "%s: tensor '%.*s' has no place in what is cut; only layers of plain "
                           "matrices are",
                           gguf_path(g), (int)t->name.size, t->name.data);
    }
    return BT_OK;
}

typedef struct Rank {
    double score;
    int32_t unit;
} Rank;

static int best_first(const void *a, const void *b)
{
    const Rank *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->unit - y->unit;
}

static int in_order(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

/* Scores of a layer's units: of the matrix that reads them, activation times norm of its columns.
 */
static bt_status score(const Gguf *g, const Cut *c, int32_t layer, CutUnit unit,
                       PruneImportance importance, void *user, Rank *ranks, bt_error *err)
{
    char name[64];
    uint64_t n = 0;
    /* Of a key and value head, what its query heads give. */
    int64_t size = cut_unit(c, unit == CUT_KV ? CUT_QUERY : unit), units = n_units(c, unit);
    int64_t k = size * units;
    snprintf(name, sizeof name, "blk.%d.%s", (int)layer,
             unit == CUT_CHANNEL ? "ffn_down.weight" : "attn_output.weight");
    const GgufTensor *t = gguf_find_tensor(g, name);
    const float *mean = importance ? importance(user, name, &n) : NULL;
    if (!t || !t->data || !mean || n != (uint64_t)k || t->ne[0] != (uint64_t)k)
        return bt_fail(err, BT_E_ARGUMENT, "%s: it is not known what meets '%s'", gguf_path(g),
                       name);
    float *row = mem_alloc((size_t)k * sizeof *row);
    double *norm = mem_zalloc((size_t)k, sizeof *norm);
    bool good = row && norm && dequant_supported(t->type);
    for (uint64_t r = 0; r < t->ne[1] && good; r++) {
        good = dequant_row(t->type,
                           (const unsigned char *)t->data + r * dtype_row_bytes(t->type, t->ne[0]),
                           row, (size_t)k);
        for (int64_t j = 0; j < k; j++) norm[j] += (double)row[j] * (double)row[j];
    }
    for (int64_t i = 0; i < units && good; i++) {
        ranks[i] = (Rank){0, (int32_t)i};
        for (int64_t j = i * size; j < (i + 1) * size; j++)
            ranks[i].score += (double)mean[j] * norm[j];
    }
    mem_free(row);
    mem_free(norm);
    return good ? BT_OK : bt_fail_memory(err, name, (size_t)k * sizeof(double));
}

/* The best units of every layer, ascending, in `out` (layers, keep). */
static bt_status choose(const Gguf *g, const Cut *c, CutUnit unit, int32_t keep,
                        PruneImportance importance, void *user, int32_t *out, bt_error *err)
{
    int64_t units = n_units(c, unit);
    Rank *ranks = mem_alloc((size_t)units * sizeof *ranks);
    bt_status status = ranks ? BT_OK : bt_fail_memory(err, "a model's cut", (size_t)units * 16);
    for (int32_t l = 0; l < c->layers && !status; l++, out += keep) {
        for (int32_t i = 0; i < units; i++) ranks[i] = (Rank){0, i};
        if (keep < units) {
            if (!c->keeps_layer[l]) continue;
            status = score(g, c, l, unit, importance, user, ranks, err);
            if (!status) qsort(ranks, (size_t)units, sizeof *ranks, best_first);
        }
        for (int32_t i = 0; i < keep && !status; i++) out[i] = ranks[i].unit;
        qsort(out, (size_t)keep, sizeof *out, in_order);
    }
    mem_free(ranks);
    return status;
}

static void choose_layers(Cut *c, const double *loss)
{
    for (int32_t l = 0; l < c->layers; l++) c->keeps_layer[l] = true;
    for (int32_t left = c->layers; left > c->keep.layers; left--) {
        int32_t best = -1; /* without it the loss is the least */
        for (int32_t l = 0; l < c->layers; l++)
            if (c->keeps_layer[l] && (best < 0 || loss[l] < loss[best])) best = l;
        c->keeps_layer[best] = false;
    }
}

static int32_t wish(int32_t asked, int32_t all)
{
    return asked ? asked : all;
}

bt_status prune_plan(const Gguf *g, const PruneWish *w, PruneImportance importance, void *user,
                     const double *layer_loss, Cut *out, bt_error *err)
{
    CutSizes s;
    *out = (Cut){0};
    bt_status status = cut_sizes(g, &s, err);
    if (status) return status;
    *out = (Cut){
        .layers = s.layers,
        .ff = s.ff,
        .heads = s.heads,
        .kv_heads = s.kv_heads,
        .head_dim = s.head_dim,
        .keep = {wish(w->layers, s.layers), wish(w->ff, s.ff), wish(w->kv_heads, s.kv_heads)}};
    const PruneWish *k = &out->keep;
    if (k->layers < 1 || k->layers > s.layers || k->ff < 1 || k->ff > s.ff || k->kv_heads < 1 ||
        k->kv_heads > s.kv_heads || (k->layers < s.layers && !layer_loss))
        return bt_fail(err, BT_E_ARGUMENT,
                       "%s has %d layers, %d channels in its FFN and %d key and value heads; of "
                       "each at least one and at most all can be kept",
                       gguf_path(g), s.layers, s.ff, s.kv_heads);
    status = check_tensors(g, out, err);
    if (status) return status;
    size_t layers = (size_t)s.layers;
    out->keeps_layer = mem_zalloc(layers, sizeof *out->keeps_layer);
    out->channels = mem_zalloc(layers * (size_t)k->ff, sizeof *out->channels);
    out->kv = mem_zalloc(layers * (size_t)k->kv_heads, sizeof *out->kv);
    if (!out->keeps_layer || !out->channels || !out->kv)
        status = bt_fail_memory(err, "a model's cut", layers * (size_t)k->ff * 4);
    if (!status) choose_layers(out, layer_loss);
    if (!status) status = choose(g, out, CUT_CHANNEL, k->ff, importance, user, out->channels, err);
    if (!status) status = choose(g, out, CUT_KV, k->kv_heads, importance, user, out->kv, err);
    if (status) prune_close(out);
    return status;
}

void prune_close(Cut *c)
{
    mem_free(c->keeps_layer);
    mem_free(c->channels);
    mem_free(c->kv);
    *c = (Cut){0};
}
