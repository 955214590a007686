/* Masters and gradients (see params.h). */
#include "train/params.h"

#include <math.h>
#include <stdio.h>

#include "base/checked.h"
#include "base/hash.h"
#include "base/mem.h"
#include "convert/convert.h"
#include "engine/folder.h"
#include "io/gguf_write.h"
#include "kernels/kernels.h"
#include "tensor/dtype.h"
#include "train/random.h"

#define PAD     16         /* floats to which a tensor's place is rounded: a cache line */
#define MOST    (1u << 30) /* floats of one tensor */
#define SPREAD  0.02f
#define FACTORS "rope_f" /* rope_freqs, rope_factors_long ...: angles, not weights */

/* Memory of the params besides the two blocks. */
typedef struct Store {
    GgufWriter *writer; /* keys and tensors, which the index reads */
    size_t bytes;       /* of one block */
} Store;

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* ---- laying out ---- */

static bt_status lay_out(Params *p, const Gguf *index, bt_error *err)
{
    uint64_t all = 0;
    p->n = gguf_n_tensors(index);
    p->items = mem_zalloc(p->n + 1, sizeof *p->items);
    if (!p->items) return bt_fail_memory(err, "the list of parameters", p->n * sizeof *p->items);
    for (size_t i = 0; i < p->n; i++) {
        const GgufTensor *t = gguf_tensor(index, i);
        Param *at = &p->items[i];
        char *name = mem_strndup(t->name.data, t->name.size);
        if (!name) return bt_fail_memory(err, "a name", t->name.size);
        at->name = name;
        at->k = (int64_t)t->ne[0];
        at->rows = (int64_t)t->ne[1];
        at->mats = (int64_t)(t->ne[2] * t->ne[3]);
        uint64_t n = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]; /* checked by the reader */
        at->n = (size_t)n;
        if (!dequant_supported(t->type) || n > MOST)
            return bt_fail(err, BT_E_UNSUPPORTED, "%s: tensor '%s' of type %s cannot be trained",
                           gguf_path(index), at->name, dtype_name(t->type));
        all += align_up(at->n, PAD);
        at->kind = at->rows * at->mats > 1 ? PARAM_MATRIX : PARAM_VECTOR;
        if (strcmp(name, "token_embd.weight") == 0 || strcmp(name, "output.weight") == 0)
            at->kind = PARAM_EMBEDDING;
        if (strncmp(name, FACTORS, strlen(FACTORS)) == 0) at->kind = PARAM_FROZEN;
    }
    p->n_values = (size_t)all;
    return BT_OK;
}

static bt_status take_blocks(Params *p, bt_error *err)
{
    Store *store = p->store;
    store->bytes = align_up(p->n_values * sizeof(float), 4096);
    uint64_t need = 4 * (uint64_t)store->bytes, have = os_memory_available();
    if (have && need > have)
        return bt_fail(err, BT_E_MEMORY,
                       "training needs at least %llu MiB (16 bytes a parameter) and %llu MiB are "
                       "available; take a smaller model, or train an adapter ('bantam adapt')",
                       (unsigned long long)(need >> 20), (unsigned long long)(have >> 20));
    p->values = os_pages_alloc(store->bytes);
    p->grads = os_pages_alloc(store->bytes);
    if (!p->values || !p->grads) return bt_fail_memory(err, "the parameters", 2 * store->bytes);
    size_t at = 0;
    for (size_t i = 0; i < p->n; i++) {
        p->items[i].value = p->values + at;
        p->items[i].grad = p->grads + at;
        at += align_up(p->items[i].n, PAD);
    }
    return BT_OK;
}

/* ---- numbers ---- */

static bt_status read_values(const Param *at, const GgufTensor *t, const char *path, bt_error *err)
{
    size_t row = dtype_row_bytes(t->type, t->ne[0]), k = (size_t)at->k;
    for (size_t r = 0; r < at->n / k; r++) {
        float *out = at->value + r * k;
        dequant_row(t->type, (const unsigned char *)t->data + r * row, out, k);
        for (size_t i = 0; i < k; i++)
            if (!isfinite(out[i]))
                return bt_fail(err, BT_E_FORMAT,
                               "%s: tensor '%s' holds NaN or infinity; the file is damaged, fetch "
                               "it again",
                               path, at->name);
    }
    return BT_OK;
}

/* Matrices whose result is added to the stream: their sum over the layers should not grow with
 * them (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", 2.3). */
static bool writes_stream(const char *name)
{
    return strstr(name, ".attn_output.weight") || strstr(name, ".ffn_down");
}

static void random_values(const Param *at, float spread, int32_t layers, uint64_t seed)
{
    bool bias = ends_with(at->name, ".bias");
    if (at->kind == PARAM_VECTOR) {
        for (size_t i = 0; i < at->n; i++) at->value[i] = bias ? 0 : 1;
        return;
    }
    if (writes_stream(at->name)) spread /= sqrtf(2 * (float)layers);
    random_normals(hash_bytes(at->name, strlen(at->name), seed), spread, at->value, at->n);
}

static bt_status fill(Params *p, const Gguf *index, bool random, const ParamsOptions *o,
                      bt_error *err)
{
    int32_t layers = 0;
    for (size_t i = 0; i < p->n; i++)
        if (ends_with(p->items[i].name, ".attn_norm.weight")) layers++;
    for (size_t i = 0; i < p->n; i++) {
        const GgufTensor *t = gguf_tensor(index, i);
        if (random && !t->data) {
            random_values(&p->items[i], o->spread > 0 ? o->spread : SPREAD, layers ? layers : 1,
                          o->seed);
            continue;
        }
        bt_status status = read_values(&p->items[i], t, gguf_path(index), err);
        if (status) return status;
    }
    return BT_OK;
}

/* ---- the model over them ---- */

static bt_status open_live(Params *p, const Gguf *index, const ParamsOptions *o, bt_error *err)
{
    Store *store = p->store;
    Gguf *live = NULL;
    bt_model_options model = {
        .n_threads = o->model.n_threads, .cpu_mask = o->model.cpu_mask, .no_cache = true};
    GgufPlace *places = mem_zalloc(p->n + 1, sizeof *places);
    if (!(store->writer = gguf_writer_open()) || !places) {
        mem_free(places);
        return bt_fail_memory(err, "an index", p->n * sizeof *places);
    }
    for (size_t i = 0; i < gguf_n_keys(index); i++)
        if (!span_is(gguf_key_name(index, i), "general.file_type"))
            gguf_put_copy(store->writer, index, i);
    for (size_t i = 0; i < p->n; i++) {
        const GgufTensor *t = gguf_tensor(index, i);
        gguf_put_tensor(store->writer, p->items[i].name, DT_F32, t->n_dims, t->ne,
                        p->items[i].value);
        places[i] = (GgufPlace){p->items[i].value, -1, 0};
    }
    GgufIndexOf of = {.path = gguf_path(index), .places = places};
    bt_status status = gguf_writer_index(store->writer, &of, &live, err);
    if (!status) status = model_open_live(&live, &model, &p->model, err);
    mem_free(places);
    return status;
}

/* The gradient of what lies at `value`; NULL: it is none of the masters. */
static float *grad_of(const Params *p, const void *value)
{
    const float *v = value;
    return v >= p->values && v < p->values + p->n_values ? p->grads + (v - p->values) : NULL;
}

static Param *param_at(const Params *p, const void *value)
{
    const float *v = value;
    for (size_t i = 0; i < p->n; i++)
        if (v >= p->items[i].value && v < p->items[i].value + p->items[i].n) return &p->items[i];
    return NULL;
}

static void add_key(Params *p, const void *key, const void *value, size_t n)
{
    const Param *of = value ? param_at(p, value) : NULL;
    if (!of || of->kind == PARAM_FROZEN) return;
    for (size_t i = 0; i < p->n_keys; i++)
        if (p->keys[i].key == key) return;
    p->keys[p->n_keys++] = (TapeParam){key, grad_of(p, value), n};
}

static bt_status check_weight(const Params *p, const Weight *w, bt_error *err)
{
    bool apart = w->n_mats > 1 && w->mat_bytes != (size_t)w->n * w->row_bytes;
    if (!grad_of(p, w->rows) || apart || w->scale || (w->bias && !grad_of(p, w->bias)))
        return bt_fail(err, BT_E_UNSUPPORTED,
                       "%s: tensor '%s' is turned or cut when it is read, so that it cannot be "
                       "trained; an adapter can be ('bantam adapt')",
                       gguf_path(p->model->gguf), w->name);
    return BT_OK;
}

static bt_status find_keys(Params *p, bt_error *err)
{
    const bt_model *m = p->model;
    p->keys = mem_zalloc(p->n + 2 * m->n_matrices + 4, sizeof *p->keys);
    if (!p->keys) return bt_fail_memory(err, "the list of gradients", p->n * sizeof *p->keys);
    for (size_t i = 0; i <= m->n_matrices; i++) {
        const Weight *w = i < m->n_matrices ? m->matrices[i] : m->embedding;
        bt_status status = check_weight(p, w, err);
        if (status) return status;
        add_key(p, w, w->rows, (size_t)(w->n_mats * w->n * w->k));
        add_key(p, w->bias, w->bias, (size_t)(w->n_mats * w->n));
    }
    for (size_t i = 0; i < p->n; i++) {
        const Param *at = &p->items[i];
        if (at->kind == PARAM_VECTOR) add_key(p, at->value, at->value, at->n);
        if (at->kind != PARAM_FROZEN) p->n_trained += at->n;
        int64_t row[] = {at->kind, at->k, at->rows, at->mats};
        p->fingerprint = hash_bytes(at->name, strlen(at->name), p->fingerprint);
        p->fingerprint = hash_bytes(row, sizeof row, p->fingerprint);
    }
    tape_sort(p->keys, p->n_keys);
    return BT_OK;
}

/* ---- opening ---- */

bt_status params_make(const Param *shapes, size_t n, Params **out, bt_error *err)
{
    *out = NULL;
    Params *p = mem_zalloc(1, sizeof *p);
    if (!p || !(p->store = mem_zalloc(1, sizeof(Store))) ||
        !(p->items = mem_zalloc(n + 1, sizeof *p->items))) {
        params_close(&p);
        return bt_fail_memory(err, "the parameters", n * sizeof *shapes);
    }
    bt_status status = BT_OK;
    for (size_t i = 0; i < n && !status; i++) {
        Param *at = &p->items[i];
        *at = shapes[i];
        p->n = i + 1;
        at->name = mem_strdup(shapes[i].name);
        at->n = (size_t)(at->k * at->rows * at->mats);
        p->n_values += align_up(at->n, PAD);
        if (!at->name) status = bt_fail_memory(err, "a name", strlen(shapes[i].name));
    }
    if (!status) status = take_blocks(p, err);
    if (status) params_close(&p);
    *out = p;
    return status;
}

bt_status params_open(const Gguf *index, bool random, const ParamsOptions *options, Params **out,
                      bt_error *err)
{
    static const ParamsOptions defaults;
    const ParamsOptions *o = options ? options : &defaults;
    *out = NULL;
    Params *p = mem_zalloc(1, sizeof *p);
    if (!p || !(p->store = mem_zalloc(1, sizeof(Store)))) {
        mem_free(p);
        return bt_fail_memory(err, "the parameters", sizeof *p);
    }
    bt_status status = lay_out(p, index, err);
    if (!status) status = take_blocks(p, err);
    if (!status) status = fill(p, index, random, o, err);
    if (!status) status = open_live(p, index, o, err);
    if (!status) status = find_keys(p, err);
    if (status) params_close(&p);
    *out = p;
    return status;
}

bt_status params_open_model(const char *path, const ParamsOptions *options, Params **out,
                            bt_error *err)
{
    Gguf *index = NULL;
    bt_model_options none = {0};
    *out = NULL;
    bt_status status = convert_is_folder(path) ? folder_open(path, &none, &index, err)
                                               : gguf_open(path, NULL, &index, err);
    if (!status) status = params_open(index, false, options, out, err);
    gguf_close(&index);
    return status;
}

bt_status params_open_config(const char *config, const char *tokenizer, const char *name,
                             const ParamsOptions *options, Params **out, bt_error *err)
{
    OsMap map = {0};
    Gguf *tok = NULL, *view = NULL;
    Convert *plan = NULL;
    GgufOptions no_tensors = {.no_tensors = true};
    *out = NULL;
    bt_status status = os_map_open(config, &map, err);
    if (!status) status = gguf_open(tokenizer, &no_tensors, &tok, err);
    ConvertScratch scratch = {config, name, {(const char *)map.data, map.size}, tok};
    if (!status) status = convert_open_scratch(&scratch, &plan, err);
    if (!status) status = convert_view(plan, &view, err);
    if (!status) status = params_open(view, true, options, out, err);
    gguf_close(&view);
    convert_close(&plan);
    gguf_close(&tok);
    os_map_close(&map);
    return status;
}

void params_close(Params **params)
{
    Params *p = *params;
    if (!p) return;
    Store *store = p->store;
    if (p->close_extra) p->close_extra(p->extra);
    bt_model_close(&p->model);
    if (store) gguf_writer_close(&store->writer);
    for (size_t i = 0; p->items && i < p->n; i++) mem_free((void *)(uintptr_t)p->items[i].name);
    mem_free(p->items);
    mem_free(p->keys);
    if (p->values) os_pages_free(p->values, store->bytes);
    if (p->grads) os_pages_free(p->grads, store->bytes);
    mem_free(store);
    mem_free(p);
    *params = NULL;
}

Param *params_find(const Params *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->items[i].name, name) == 0) return &p->items[i];
    return NULL;
}

void params_zero_grads(Params *p)
{
    memset(p->grads, 0, p->n_values * sizeof *p->grads);
}
