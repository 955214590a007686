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

/* Some files give one number a layer. Layers that differ belong to other architectures. */
static int32_t int_or_layers(Loader *ld, const char *key, int32_t least, int32_t most,
                             int32_t fallback)
{
    char name[160];
    int64_t at = gguf_find_key(ld->gguf, full_key(ld, key, name, sizeof name));
    if (loader_failed(ld) || at < 0 || gguf_key_type(ld->gguf, (size_t)at) != GGUF_ARRAY)
        return loader_int(ld, key, least, most, fallback);
    int32_t values[MODEL_MOST_LAYERS];
    uint64_t n = 0;
    ld->status = gguf_get_i32s(ld->gguf, name, true, values, MODEL_MOST_LAYERS, &n, ld->err);
    if (loader_failed(ld)) return least;
    if (n < 1) loader_fail(ld, BT_E_FORMAT, "key '%s' is an empty array", name);
    for (uint64_t i = 0; i < n && !loader_failed(ld); i++)
        if (values[i] != values[0])
            loader_fail(ld, BT_E_UNSUPPORTED, "key '%s' differs from layer to layer", name);
    if (!loader_failed(ld) && (values[0] < least || values[0] > most))
        loader_fail(ld, BT_E_FORMAT, "key '%s' is %d; it must lie between %d and %d; " AGAIN, name,
                    values[0], least, most);
    return loader_failed(ld) ? least : values[0];
}

/* Numbers that are fine one by one but not together. */
static void check_hyper(Loader *ld)
{
    const Hyper *h = &ld->hyper;
    const char *arch = ld->arch;
    if (loader_failed(ld)) return;
    if (h->e_k < 1 || h->e_v < 1)
        loader_fail(ld, BT_E_FORMAT,
                    "key '%s.attention.head_count': %d values cannot be cut into %d heads; " AGAIN,
                    arch, h->n_embd, h->n_heads);
    if (h->n_heads % h->n_kv_heads)
        loader_fail(ld, BT_E_FORMAT,
                    "key '%s.attention.head_count_kv': %d heads cannot share %d KV heads; " AGAIN,
                    arch, h->n_heads, h->n_kv_heads);
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
    h->n_embd = loader_int(ld, "embedding_length", 1, wide, must);
    h->n_heads = int_or_layers(ld, "attention.head_count", 1, 4096, must);
    h->n_kv_heads = int_or_layers(ld, "attention.head_count_kv", 1, 4096, h->n_heads);
    h->e_k =
        loader_int(ld, "attention.key_length", 1, 4096, h->n_embd / (h->n_heads ? h->n_heads : 1));
    h->e_v = loader_int(ld, "attention.value_length", 1, 4096, h->e_k);
    h->n_ff = int_or_layers(ld, "feed_forward_length", 1, wide, 0);
    h->n_ctx_train = loader_int(ld, "context_length", 1, INT32_MAX, must);
    h->n_experts = loader_int(ld, "expert_count", 0, MODEL_MOST_EXPERTS, 0);
    h->n_experts_used = loader_int(ld, "expert_used_count", 0, MODEL_MOST_USED, 0);
    h->n_ff_expert = loader_int(ld, "expert_feed_forward_length", 0, wide, h->n_ff);
    h->eps = loader_float(ld, "attention.layer_norm_rms_epsilon", 1e-5f);
    check_hyper(ld);
    ld->layers = loader_memory(ld, (size_t)(h->n_layers > 0 ? h->n_layers : 1), sizeof *ld->layers);
    if (loader_failed(ld)) return;
    for (int32_t l = 0; l < h->n_layers; l++)
        ld->layers[l] = (LayerSpec){STATE_KV_FULL, h->n_kv_heads, h->e_k, h->e_v};
}

/* ---- tensors ---- */

static const GgufTensor *find(Loader *ld, int32_t layer, const char *name, const char *suffix,
                              LoaderNeed need)
{
    char full[160];
    if (loader_failed(ld)) return NULL;
    if (layer < 0)
        snprintf(full, sizeof full, "%s.%s", name, suffix);
    else
        snprintf(full, sizeof full, "blk.%d.%s.%s", layer, name, suffix);
    const GgufTensor *t = gguf_find_tensor(ld->gguf, full);
    if (!t && need == REQUIRED)
        loader_fail(ld, BT_E_FORMAT,
                    "tensor '%s' is missing; the file is incomplete or of another architecture",
                    full);
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

static const float *floats_of(Loader *ld, const GgufTensor *t, int64_t n)
{
    if (!has_shape(ld, t, n, 1, 1)) return NULL;
    if (t->type != DT_F32 && t->type != DT_F16 && t->type != DT_BF16) {
        loader_fail(ld, BT_E_FORMAT,
                    "tensor '%.*s' is of type %s; a vector must be F32, F16 or BF16",
                    (int)t->name.size, t->name.data, dtype_name(t->type));
        return NULL;
    }
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

const Weight *loader_matrices(Loader *ld, int32_t layer, const char *name, int64_t k, int64_t n,
                              int64_t n_mats, LoaderNeed need)
{
    const GgufTensor *t = find(ld, layer, name, "weight", need);
    if (!t || !has_shape(ld, t, k, n, n_mats)) return NULL;
    Weight *w = new_weight(ld, t, n_mats);
    if (!w) return NULL;
    const GgufTensor *bias = n_mats == 1 ? find(ld, layer, name, "bias", OPTIONAL) : NULL;
    if (bias) w->bias = floats_of(ld, bias, n);
    use_in_products(ld, w);
    return w;
}

const Weight *loader_matrix(Loader *ld, int32_t layer, const char *name, int64_t k, int64_t n,
                            LoaderNeed need)
{
    return loader_matrices(ld, layer, name, k, n, 1, need);
}

const float *loader_vector(Loader *ld, int32_t layer, const char *name, int64_t n, LoaderNeed need)
{
    const GgufTensor *t = find(ld, layer, name, "weight", need);
    return t ? floats_of(ld, t, n) : NULL;
}

const Weight *loader_embedding(Loader *ld)
{
    const GgufTensor *t = find(ld, -1, "token_embd", "weight", REQUIRED);
    if (!t) return NULL;
    if (t->ne[1] < 1 || t->ne[1] > MODEL_MOST_VOCAB) {
        loader_fail(ld, BT_E_FORMAT,
                    "tensor 'token_embd.weight' has %llu rows; at most %d are read",
                    (unsigned long long)t->ne[1], MODEL_MOST_VOCAB);
        return NULL;
    }
    if (!has_shape(ld, t, ld->hyper.n_embd, (int64_t)t->ne[1], 1)) return NULL;
    ld->hyper.n_vocab = (int32_t)t->ne[1];
    ld->embedding = new_weight(ld, t, 1);
    return ld->embedding;
}

const Weight *loader_head(Loader *ld)
{
    const Hyper *h = &ld->hyper;
    if (loader_failed(ld)) return NULL;
    const Weight *head = loader_matrix(ld, -1, "output", h->n_embd, h->n_vocab, OPTIONAL);
    if (head || loader_failed(ld)) return head;
    use_in_products(ld, ld->embedding);
    return ld->embedding;
}
