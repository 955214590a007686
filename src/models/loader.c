/* Keys and tensors of a file, checked (see loader.h). */
#include "models/loader.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/dtype.h"
#include "tensor/half.h"

#define AGAIN "the file is damaged, fetch or convert it again"

void loader_fail(Loader *ld, bt_status status, const char *format, ...)
{
    va_list args;
    if (loader_failed(ld)) return;
    va_start(args, format);
    ld->status = bt_failv(ld->err, status, format, args);
    va_end(args);
    bt_error_prefix(ld->err, gguf_path(ld->gguf));
}

void *loader_memory(Loader *ld, size_t count, size_t size)
{
    ModelStore *s = ld->store;
    if (loader_failed(ld)) return NULL;
    if (s->n == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 64;
        void **items = mem_realloc(s->items, capacity * sizeof *items);
        if (!items) {
            loader_fail(ld, BT_E_MEMORY, "not enough memory for the model's tables");
            return NULL;
        }
        s->items = items;
        s->capacity = capacity;
    }
    void *memory = mem_zalloc(count, size);
    if (!memory)
        loader_fail(ld, BT_E_MEMORY, "not enough memory for the model's tables");
    else
        s->items[s->n++] = memory;
    return memory;
}

void store_close(ModelStore *s)
{
    for (size_t i = 0; i < s->n; i++) mem_free(s->items[i]);
    mem_free(s->items);
    *s = (ModelStore){0};
}

/* ---- keys ---- */

static const char *full_key(const Loader *ld, const char *key, char *out, size_t size)
{
    snprintf(out, size, "%s.%s", ld->arch, key);
    return out;
}

int32_t loader_int(Loader *ld, const char *key, int32_t least, int32_t most, int32_t fallback)
{
    char name[160];
    int32_t value = fallback;
    if (loader_failed(ld)) return least;
    full_key(ld, key, name, sizeof name);
    bool required = fallback == LOADER_REQUIRED;
    ld->status = gguf_get_i32(ld->gguf, name, required, &value, ld->err);
    if (loader_failed(ld)) return least;
    bool present = gguf_find_key(ld->gguf, name) >= 0;
    if (present && (value < least || value > most))
        loader_fail(ld, BT_E_FORMAT, "key '%s' is %d; it must lie between %d and %d; " AGAIN, name,
                    value, least, most);
    return loader_failed(ld) ? least : value;
}

float loader_float(Loader *ld, const char *key, float fallback)
{
    char name[160];
    float value = fallback;
    if (loader_failed(ld)) return fallback;
    full_key(ld, key, name, sizeof name);
    ld->status = gguf_get_f32(ld->gguf, name, false, &value, ld->err);
    if (!loader_failed(ld) && !isfinite(value))
        loader_fail(ld, BT_E_FORMAT, "key '%s' is not a finite number", name);
    return loader_failed(ld) ? fallback : value;
}

bool loader_bool(Loader *ld, const char *key, bool fallback)
{
    char name[160];
    bool value = fallback;
    if (loader_failed(ld)) return fallback;
    ld->status =
        gguf_get_bool(ld->gguf, full_key(ld, key, name, sizeof name), false, &value, ld->err);
    return loader_failed(ld) ? fallback : value;
}

Span loader_text(Loader *ld, const char *key)
{
    char name[160];
    Span value = {"", 0};
    if (loader_failed(ld)) return value;
    ld->status =
        gguf_get_span(ld->gguf, full_key(ld, key, name, sizeof name), false, &value, ld->err);
    return loader_failed(ld) ? SPAN("") : value;
}

int32_t loader_array(Loader *ld, const char *key, int32_t least, int32_t most, int32_t *out,
                     int32_t n)
{
    char name[160];
    uint64_t have = 0;
    if (loader_failed(ld)) return 0;
    int64_t at = gguf_find_key(ld->gguf, full_key(ld, key, name, sizeof name));
    if (at < 0) return 0;
    ld->status = gguf_get_i32s(ld->gguf, name, true, out, (size_t)n, &have, ld->err);
    for (uint64_t i = 0; i < have && !loader_failed(ld); i++)
        if (out[i] < least || out[i] > most)
            loader_fail(ld, BT_E_FORMAT, "key '%s' holds %d; it must lie between %d and %d; " AGAIN,
                        name, out[i], least, most);
    return loader_failed(ld) ? 0 : (int32_t)have;
}

int32_t loader_float_array(Loader *ld, const char *key, float *out, int32_t n)
{
    char name[160];
    uint64_t have = 0;
    if (loader_failed(ld)) return 0;
    if (gguf_find_key(ld->gguf, full_key(ld, key, name, sizeof name)) < 0) return 0;
    ld->status = gguf_get_f32s(ld->gguf, name, true, out, (size_t)n, &have, ld->err);
    return loader_failed(ld) ? 0 : (int32_t)have;
}

const int32_t *loader_per_layer(Loader *ld, const char *key, int32_t least, int32_t most,
                                int32_t fallback)
{
    char name[160];
    int32_t n = ld->hyper.n_layers;
    int32_t *out = loader_memory(ld, (size_t)(n > 0 ? n : 1), sizeof *out);
    int64_t at = gguf_find_key(ld->gguf, full_key(ld, key, name, sizeof name));
    if (loader_failed(ld)) return out;
    if (at < 0 || gguf_key_type(ld->gguf, (size_t)at) != GGUF_ARRAY) {
        int32_t all = loader_int(ld, key, least, most, fallback);
        for (int32_t l = 0; l < n; l++) out[l] = all;
        return out;
    }
    int32_t values[MODEL_MOST_LAYERS] = {0};
    int32_t have = loader_array(ld, key, least, most, values, MODEL_MOST_LAYERS);
    if (!loader_failed(ld) && have < n)
        loader_fail(ld, BT_E_FORMAT, "key '%s' has %d numbers for %d layers; " AGAIN, name, have,
                    n);
    for (int32_t l = 0; l < n && !loader_failed(ld); l++) out[l] = values[l];
    return out;
}

static int32_t most_of(const int32_t *x, int32_t n)
{
    int32_t most = 0;
    for (int32_t i = 0; i < n; i++)
        if (x[i] > most) most = x[i];
    return most;
}

/* Numbers that are fine one by one but not together. */
static void check_hyper(Loader *ld)
{
    const Hyper *h = &ld->hyper;
    const char *arch = ld->arch;
    if (loader_failed(ld)) return;
    if (h->n_heads > 0 && (h->e_k < 1 || h->e_v < 1))
        loader_fail(ld, BT_E_FORMAT,
                    "key '%s.attention.head_count': %d values cannot be cut into %d heads; " AGAIN,
                    arch, h->n_embd, h->n_heads);
    for (int32_t l = 0; l < h->n_layers; l++)
        if (h->kv_heads_of[l] > 0 && h->heads_of[l] % h->kv_heads_of[l])
            loader_fail(
                ld, BT_E_FORMAT,
                "key '%s.attention.head_count_kv': %d heads cannot share %d KV heads; " AGAIN, arch,
                h->heads_of[l], h->kv_heads_of[l]);
    if ((int64_t)h->n_heads * h->e_k > MODEL_MOST_WIDTH ||
        (int64_t)h->n_heads * h->e_v > MODEL_MOST_WIDTH)
        loader_fail(
            ld, BT_E_FORMAT,
            "key '%s.attention.head_count': %d heads of %d and %d values are too wide; " AGAIN,
            arch, h->n_heads, h->e_k, h->e_v);
    if (h->n_experts && (h->n_experts_used < 1 || h->n_experts_used > h->n_experts))
        loader_fail(ld, BT_E_FORMAT,
                    "key '%s.expert_used_count': %d of %d experts cannot be used; " AGAIN, arch,
                    h->n_experts_used, h->n_experts);
    if (!(h->eps > 0))
        loader_fail(ld, BT_E_FORMAT,
                    "key '%s.attention.layer_norm_rms_epsilon' must be positive; " AGAIN, arch);
}

void loader_hyper(Loader *ld)
{
    Hyper *h = &ld->hyper;
    const int32_t wide = MODEL_MOST_WIDTH, must = LOADER_REQUIRED;
    h->n_layers = loader_int(ld, "block_count", 1, MODEL_MOST_LAYERS, must);
    /* layers that guess further tokens lie behind the model's own */
    h->n_layers -= loader_int(ld, "nextn_predict_layers", 0, h->n_layers - 1, 0);
    h->n_embd = loader_int(ld, "embedding_length", 1, wide, must);
    h->heads_of = loader_per_layer(ld, "attention.head_count", 0, 4096, 0);
    if (loader_failed(ld)) return;
    h->n_heads = most_of(h->heads_of, h->n_layers);
    h->kv_heads_of = loader_per_layer(ld, "attention.head_count_kv", 0, 4096, h->n_heads);
    h->ff_of = loader_per_layer(ld, "feed_forward_length", 0, wide, 0);
    if (loader_failed(ld)) return;
    h->n_kv_heads = most_of(h->kv_heads_of, h->n_layers);
    h->n_ff = most_of(h->ff_of, h->n_layers);
    h->e_k =
        loader_int(ld, "attention.key_length", 1, 4096, h->n_embd / (h->n_heads ? h->n_heads : 1));
    h->e_v = loader_int(ld, "attention.value_length", 1, 4096, h->e_k);
    h->n_ctx_train = loader_int(ld, "context_length", 1, INT32_MAX, must);
    h->n_experts = loader_int(ld, "expert_count", 0, MODEL_MOST_EXPERTS, 0);
    h->n_experts_used = loader_int(ld, "expert_used_count", 0, MODEL_MOST_USED, 0);
    h->n_ff_expert = loader_int(ld, "expert_feed_forward_length", 0, wide, h->n_ff);
    if (h->n_ff_expert == 0) h->n_ff_expert = h->n_ff;
    h->eps = loader_float(ld, "attention.layer_norm_rms_epsilon",
                          loader_float(ld, "attention.layer_norm_epsilon", 1e-5f));
    h->causal = loader_bool(ld, "attention.causal", !ld->encoder);
    h->pooling =
        (Pooling)loader_int(ld, "pooling_type", POOLING_UNSAID, POOLING_RANK, POOLING_UNSAID);
    h->embeds = !h->causal || h->pooling > POOLING_NONE;
    check_hyper(ld);
    ld->layers = loader_memory(ld, (size_t)(h->n_layers > 0 ? h->n_layers : 1), sizeof *ld->layers);
    if (loader_failed(ld)) return;
    for (int32_t l = 0; l < h->n_layers; l++)
        ld->layers[l] = (LayerSpec){
            .kind = STATE_KV_FULL, .kv_heads = h->kv_heads_of[l], .e_k = h->e_k, .e_v = h->e_v};
}

/* ---- tensors ---- */

static const char *full_name(int32_t layer, const char *name, const char *suffix, char *out,
                             size_t size)
{
    const char *dot = suffix[0] ? "." : "";
    if (layer < 0)
        snprintf(out, size, "%s%s%s", name, dot, suffix);
    else
        snprintf(out, size, "blk.%d.%s%s%s", layer, name, dot, suffix);
    return out;
}

bool loader_has(const Loader *ld, int32_t layer, const char *name)
{
    char full[160];
    return gguf_find_tensor(ld->gguf, full_name(layer, name, "weight", full, sizeof full)) != NULL;
}

bool loader_shape(const Loader *ld, int32_t layer, const char *name, int64_t ne[3])
{
    char full[160];
    const GgufTensor *t =
        gguf_find_tensor(ld->gguf, full_name(layer, name, "weight", full, sizeof full));
    for (int i = 0; i < 3; i++) ne[i] = t ? (int64_t)t->ne[i] : 0;
    return t != NULL;
}

static const GgufTensor *find(Loader *ld, int32_t layer, const char *name, const char *suffix,
                              LoaderNeed need)
{
    char full[160];
    if (loader_failed(ld)) return NULL;
    full_name(layer, name, suffix, full, sizeof full);
    const GgufTensor *t = gguf_find_tensor(ld->gguf, full);
    if (!t && need == REQUIRED)
        loader_fail(ld, BT_E_FORMAT,
                    "tensor '%s' is missing; the file is incomplete or of another architecture",
                    full);
    if (t && ld->taken) ld->taken[t - gguf_tensor(ld->gguf, 0)] = true;
    return t;
}

static bool has_shape(Loader *ld, const GgufTensor *t, int64_t ne0, int64_t ne1, int64_t ne2)
{
    if (t->ne[0] == (uint64_t)ne0 && t->ne[1] == (uint64_t)ne1 && t->ne[2] == (uint64_t)ne2 &&
        t->ne[3] == 1)
        return true;
    loader_fail(
        ld, BT_E_FORMAT,
        "tensor '%.*s' at offset %llu is %llu x %llu x %llu; %lld x %lld x %lld is expected",
        (int)t->name.size, t->name.data, (unsigned long long)t->offset,
        (unsigned long long)t->ne[0], (unsigned long long)t->ne[1], (unsigned long long)t->ne[2],
        (long long)ne0, (long long)ne1, (long long)ne2);
    return false;
}

static const float *floats_of(Loader *ld, const GgufTensor *t, int64_t ne0, int64_t ne1)
{
    int64_t n = ne0 * ne1;
    if (!has_shape(ld, t, ne0, ne1, 1)) return NULL;
    if (t->type != DT_F32 && t->type != DT_F16 && t->type != DT_BF16) {
        loader_fail(ld, BT_E_FORMAT,
                    "tensor '%.*s' is of type %s; a vector must be F32, F16 or BF16",
                    (int)t->name.size, t->name.data, dtype_name(t->type));
        return NULL;
    }
    if (ld->borrow && t->type == DT_F32 && t->data) return t->data;
    float *out = loader_memory(ld, (size_t)n, sizeof *out);
    if (!out || !t->data) return out;
    dequant_row(t->type, t->data, out, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(out[i])) {
            loader_fail(ld, BT_E_FORMAT,
                        "tensor '%.*s' at offset %llu holds NaN or infinity; " AGAIN,
                        (int)t->name.size, t->name.data, (unsigned long long)t->offset);
            return NULL;
        }
    return out;
}

static Weight *new_weight(Loader *ld, const GgufTensor *t, int64_t n_mats)
{
    if (!dequant_supported(t->type)) {
        loader_fail(ld, BT_E_UNSUPPORTED,
                    "tensor '%.*s' is of type %s, which is not read yet; quantise to another type",
                    (int)t->name.size, t->name.data, dtype_name(t->type));
        return NULL;
    }
    Weight *w = loader_memory(ld, 1, sizeof *w);
    char *name = loader_memory(ld, t->name.size + 1, 1);
    if (!w || !name) return NULL;
    memcpy(name, t->name.data, t->name.size);
    w->name = name;
    w->type = t->type;
    w->k = (int64_t)t->ne[0];
    w->n = (int64_t)t->ne[1];
    w->n_mats = n_mats;
    w->rows = t->data;
    w->row_bytes = dtype_row_bytes(t->type, t->ne[0]);
    w->mat_bytes = (size_t)w->n * w->row_bytes;
    w->total = w->n;
    w->id = ++ld->n_ids;
    return w;
}

/* From here on products read it: it gets panels if its type has them. */
static void use_in_products(Loader *ld, Weight *w)
{
    if (loader_failed(ld)) return;
    if (ld->n_weights == ld->weights_capacity) {
        size_t capacity = ld->weights_capacity ? 2 * ld->weights_capacity : 256;
        Weight **bigger = loader_memory(ld, capacity, sizeof *bigger);
        if (!bigger) return;
        if (ld->n_weights) memcpy(bigger, ld->weights, ld->n_weights * sizeof *bigger);
        ld->weights = bigger;
        ld->weights_capacity = capacity;
    }
    w->paneled = panel_layout(w->type, (size_t)w->k, &w->layout);
    ld->weights[ld->n_weights++] = w;
}

/* ".bias" (n, n_mats) and ".scale" (n_mats) of a tensor, of which rows [first, first + w->n) of
 * `total` are this weight's. */
static void read_sides(Loader *ld, Weight *w, int32_t layer, const char *name, int64_t total,
                       int64_t first)
{
    const GgufTensor *bias = find(ld, layer, name, "bias", OPTIONAL);
    const GgufTensor *scale = find(ld, layer, name, "scale", OPTIONAL);
    /* Beside a router a vector of this name belongs to what the router reads (Gemma 4). */
    if (strcmp(name, "ffn_gate_inp") == 0) scale = NULL;
    if (scale) w->scale = floats_of(ld, scale, w->n_mats, 1);
    const float *all = bias ? floats_of(ld, bias, total, w->n_mats) : NULL;
    w->bias = all;
    if (!all || total == w->n) return;
    if (w->n_mats == 1) {
        w->bias = all + first;
        return;
    }
    float *own = loader_memory(ld, (size_t)(w->n * w->n_mats), sizeof *own);
    for (int64_t m = 0; m < w->n_mats && own; m++)
        memcpy(own + m * w->n, all + m * total + first, (size_t)w->n * sizeof *own);
    w->bias = own;
}

/* n_mats matrices of `total` rows, in a dimension of their own or one below the other. */
static bool holds_matrices(Loader *ld, const GgufTensor *t, int64_t k, int64_t total,
                           int64_t n_mats)
{
    bool flat = n_mats > 1 && t->ne[2] == 1;
    return flat ? has_shape(ld, t, k, total * n_mats, 1) : has_shape(ld, t, k, total, n_mats);
}

static const Weight *matrices(Loader *ld, int32_t layer, const char *name, int64_t k, int64_t total,
                              int64_t first, int64_t n, int64_t n_mats, LoaderNeed need)
{
    const GgufTensor *t = find(ld, layer, name, "weight", need);
    if (!t || !holds_matrices(ld, t, k, total, n_mats)) return NULL;
    Weight *w = new_weight(ld, t, n_mats);
    if (!w) return NULL;
    w->n = n;
    w->first = first;
    w->total = total;
    w->mat_bytes = (size_t)total * w->row_bytes;
    if (w->rows) w->rows = (const unsigned char *)w->rows + (size_t)first * w->row_bytes;
    read_sides(ld, w, layer, name, total, first);
    use_in_products(ld, w);
    return loader_failed(ld) ? NULL : w;
}

const Weight *loader_matrices(Loader *ld, int32_t layer, const char *name, int64_t k, int64_t n,
                              int64_t n_mats, LoaderNeed need)
{
    return matrices(ld, layer, name, k, n, 0, n, n_mats, need);
}

const Weight *loader_part(Loader *ld, int32_t layer, const char *name, int64_t k, int64_t total,
                          int64_t first, int64_t n, int64_t n_mats)
{
    return matrices(ld, layer, name, k, total, first, n, n_mats, REQUIRED);
}

const Weight *loader_turned(Loader *ld, int32_t layer, const char *name, int64_t k, int64_t total,
                            int64_t first, int64_t n, int64_t n_mats)
{
    const GgufTensor *t = find(ld, layer, name, "weight", REQUIRED);
    if (!t || !holds_matrices(ld, t, k, total, n_mats)) return NULL;
    Weight *w = new_weight(ld, t, n_mats);
    float *row = loader_memory(ld, (size_t)k, sizeof *row);
    float *out = t->data ? loader_memory(ld, (size_t)(n_mats * k * n), sizeof *out) : NULL;
    if (loader_failed(ld)) return NULL;
    for (int64_t m = 0; m < n_mats && out; m++)
        for (int64_t r = 0; r < n; r++) {
            int64_t from = m * total + first + r;
            dequant_row(t->type, (const unsigned char *)t->data + (size_t)from * w->row_bytes, row,
                        (size_t)k);
            for (int64_t i = 0; i < k; i++) out[(m * k + i) * n + r] = row[i];
        }
    w->type = DT_F32;
    w->turned = true;
    w->k = n;
    w->n = k;
    w->rows = out;
    w->row_bytes = (size_t)n * sizeof *out;
    w->mat_bytes = (size_t)k * w->row_bytes;
    use_in_products(ld, w);
    return loader_failed(ld) ? NULL : w;
}

const Weight *loader_matrix(Loader *ld, int32_t layer, const char *name, int64_t k, int64_t n,
                            LoaderNeed need)
{
    return loader_matrices(ld, layer, name, k, n, 1, need);
}

const float *loader_vector(Loader *ld, int32_t layer, const char *name, int64_t n, LoaderNeed need)
{
    const GgufTensor *t = find(ld, layer, name, "weight", need);
    return t ? floats_of(ld, t, n, 1) : NULL;
}

const float *loader_floats(Loader *ld, int32_t layer, const char *name, int64_t ne0, int64_t ne1,
                           LoaderNeed need)
{
    const GgufTensor *t = find(ld, layer, name, "", need);
    return t ? floats_of(ld, t, ne0, ne1) : NULL;
}

static const Norm *norm_of(Loader *ld, int32_t layer, const char *name, int64_t n, int64_t heads,
                           bool centred, LoaderNeed need)
{
    const GgufTensor *t = find(ld, layer, name, "weight", OPTIONAL);
    if (!t) t = find(ld, layer, name, "", OPTIONAL); /* some files leave the suffix out */
    if (!t) t = find(ld, layer, name, "weight", need);
    const GgufTensor *bias = t ? find(ld, layer, name, "bias", OPTIONAL) : NULL;
    Norm *norm = t ? loader_memory(ld, 1, sizeof *norm) : NULL;
    if (!norm) return NULL;
    *norm = (Norm){.eps = ld->hyper.eps, .centred = centred, .each_head = heads > 1};
    norm->weight = floats_of(ld, t, n, heads);
    if (bias) norm->bias = floats_of(ld, bias, n, heads);
    return loader_failed(ld) ? NULL : norm;
}

const Norm *loader_norm(Loader *ld, int32_t layer, const char *name, int64_t n, bool centred,
                        LoaderNeed need)
{
    return norm_of(ld, layer, name, n, 1, centred, need);
}

const Norm *loader_norm_heads(Loader *ld, int32_t layer, const char *name, int64_t n, int64_t heads,
                              bool centred)
{
    return norm_of(ld, layer, name, n, heads, centred, REQUIRED);
}

static Weight *table_of(Loader *ld, const char *name, int64_t k, LoaderNeed need)
{
    const GgufTensor *t = find(ld, -1, name, "weight", need);
    if (!t) return NULL;
    if (t->ne[1] < 1 || t->ne[1] > MODEL_MOST_VOCAB) {
        loader_fail(ld, BT_E_FORMAT, "tensor '%s.weight' has %llu rows; at most %d are read", name,
                    (unsigned long long)t->ne[1], MODEL_MOST_VOCAB);
        return NULL;
    }
    if (!has_shape(ld, t, k, (int64_t)t->ne[1], 1)) return NULL;
    return new_weight(ld, t, 1);
}

const Weight *loader_table(Loader *ld, const char *name, int64_t k, LoaderNeed need)
{
    return table_of(ld, name, k, need);
}

const Weight *loader_embedding(Loader *ld)
{
    Weight *table = table_of(ld, "token_embd", ld->hyper.n_embd, REQUIRED);
    if (!table) return NULL;
    ld->hyper.n_vocab = (int32_t)table->n;
    ld->embedding = table;
    return table;
}

void loader_dense(Loader *ld)
{
    static const char *const names[] = {"dense_2", "dense_3"};
    int64_t ne[3], k = ld->hyper.n_embd;
    for (size_t i = 0, n = 0; i < sizeof names / sizeof *names && !loader_failed(ld); i++) {
        char key[32];
        snprintf(key, sizeof key, "%s_feat_out", names[i]);
        if (!loader_shape(ld, -1, names[i], ne)) {
            if (loader_int(ld, key, 0, MODEL_MOST_WIDTH, 0) > 0)
                loader_fail(ld, BT_E_FORMAT,
                            "tensor '%s.weight' is missing, but key '%s.%s' gives its size",
                            names[i], ld->arch, key);
            continue;
        }
        if (ne[1] < 1 || ne[1] > MODEL_MOST_WIDTH) {
            loader_fail(ld, BT_E_FORMAT, "tensor '%s.weight' has %lld rows", names[i],
                        (long long)ne[1]);
            return;
        }
        ld->hyper.dense[n++] = loader_matrix(ld, -1, names[i], k, ne[1], REQUIRED);
        k = ne[1];
    }
}

/* Where "yes" stands among the labels; -1: it does not. */
static int32_t find_yes(Loader *ld)
{
    char key[96];
    Span labels[2];
    snprintf(key, sizeof key, "%s.classifier.output_labels", ld->arch);
    int64_t at = gguf_find_key(ld->gguf, key);
    if (at < 0 || gguf_key_type(ld->gguf, (size_t)at) != GGUF_ARRAY ||
        gguf_array_count(ld->gguf, (size_t)at) != 2 ||
        gguf_get_spans(ld->gguf, key, labels, 2, NULL) != BT_OK)
        return -1;
    return span_is(labels[0], "yes") ? 0 : span_is(labels[1], "yes") ? 1 : -1;
}

void loader_ranker(Loader *ld)
{
    Hyper *h = &ld->hyper;
    int64_t ne[3], k = h->n_embd;
    bool first = loader_shape(ld, -1, "cls", ne), modern = strcmp(ld->arch, "modern-bert") == 0;
    if (loader_failed(ld) || h->pooling != POOLING_RANK) return;
    if (first) {
        if (ne[1] < 1 || ne[1] > MODEL_MOST_WIDTH) {
            loader_fail(ld, BT_E_FORMAT, "tensor 'cls.weight' has %lld rows", (long long)ne[1]);
            return;
        }
        h->dense[0] = loader_matrix(ld, -1, "cls", k, ne[1], REQUIRED);
        k = ne[1];
        h->rank_norm = loader_norm(ld, -1, "cls.norm", k, true, modern ? REQUIRED : OPTIONAL);
        h->rank_activates = true;
        h->rank_activation = modern ? ACT_GELU : ACT_TANH;
    }
    if (loader_shape(ld, -1, "cls.output", ne)) {
        h->dense[first] = loader_matrix(ld, -1, "cls.output", k, ne[1], REQUIRED);
        k = ne[1];
        first = true;
    }
    h->ranks = first;
    h->rank_yes = find_yes(ld);
    if (first && !loader_failed(ld) && k != 1 && (k != 2 || h->rank_yes < 0 || h->rank_yes > 1))
        loader_fail(ld, BT_E_FORMAT,
                    "the file's head gives %lld labels; rerankers have one, or two of which one is "
                    "called yes (key '%s.classifier.output_labels')",
                    (long long)k, ld->arch);
}

const Weight *loader_head(Loader *ld)
{
    const Hyper *h = &ld->hyper;
    if (loader_failed(ld) || h->embeds) return NULL;
    const Weight *head = loader_matrix(ld, -1, "output", h->n_embd, h->n_vocab, OPTIONAL);
    if (head || loader_failed(ld)) return head;
    use_in_products(ld, ld->embedding);
    return ld->embedding;
}

/* ---- what is left ---- */

/* Tensors that say nothing new: rotations that are computed, matrices in another form beside the
 * one that is read, keys and values of layers that read those of others, scales of inputs. */
static bool says_nothing(Loader *ld, Span name, size_t at)
{
    static const char *const ends[] = {
        ".attn_rot_embd.weight", ".rope_freqs.weight", ".attn_kv_b.weight", ".attn_k_b.weight",
        ".attn_v_b.weight",      ".ssm_in.weight",     ".input_scale"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (span_ends(name, ends[i])) return true;
    if (name.size < at + 6 || loader_int(ld, "attention.shared_kv_layers", 0, INT32_MAX, 0) == 0)
        return false;
    return memcmp(name.data + at, "attn_k", 6) == 0 || memcmp(name.data + at, "attn_v", 6) == 0;
}

void loader_check_rest(Loader *ld)
{
    int32_t all = loader_int(ld, "block_count", 1, MODEL_MOST_LAYERS, LOADER_REQUIRED);
    for (size_t i = 0; i < gguf_n_tensors(ld->gguf) && !loader_failed(ld); i++) {
        Span name = gguf_tensor(ld->gguf, i)->name;
        size_t at = 0;
        int32_t layer = gguf_layer(name, &at);
        if (layer < 0 || (ld->taken && ld->taken[i])) continue;
        if (layer >= all)
            loader_fail(ld, BT_E_FORMAT,
                        "tensor '%.*s' is of a layer past the %d of key '%s.block_count'",
                        (int)name.size, name.data, all, ld->arch);
        else if (layer < ld->hyper.n_layers && ld->taken && !says_nothing(ld, name, at))
            loader_fail(ld, BT_E_FORMAT,
                        "tensor '%.*s' has no place in the architecture %s; the file is of another "
                        "kind of model",
                        (int)name.size, name.data, ld->arch);
    }
}
