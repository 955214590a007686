/* Opening adapters and binding them to a model (see adapter.h). */
#include "engine/adapter.h"

#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "convert/peft.h"

const Weight *adapter_weight(const bt_model *m, const char *tensor, size_t i)
{
    bool head = strcmp(tensor, "output.weight") == 0;
    for (size_t w = 0; w < m->n_matrices; w++) {
        const Weight *weight = m->matrices[w];
        /* a tied head is the embedding's table */
        bool same = head && weight == m->embedding ? true
                    : weight == m->embedding       ? false
                                                   : strcmp(weight->name, tensor) == 0;
        if (same && i-- == 0) return weight;
    }
    return NULL;
}

static bool is_embedding(const LoraMatrix *l)
{
    return strcmp(l->name, LORA_EMBEDDING) == 0;
}

static bt_status wrong_shape(const bt_model *m, const LoraMatrix *l, const char *path, int64_t k,
                             int64_t n, int64_t mats, bt_error *err)
{
    return bt_fail(err, BT_E_ARGUMENT,
                   "%s: made for another base: '%s' is %lld x %lld x %lld there and %lld x %lld x "
                   "%lld in %s; use the model it was trained on",
                   path, l->name, (long long)l->k, (long long)l->n, (long long)l->n_mats,
                   (long long)k, (long long)n, (long long)mats, gguf_path(m->gguf));
}

/* Matrices that pooled vectors go through, and those that were turned round when loaded. */
static bool out_of_reach(const bt_model *m, const Weight *w)
{
    return w->turned || w == m->hyper.dense[0] || w == m->hyper.dense[1];
}

static bt_status check_matrix(const bt_model *m, const LoraMatrix *l, const char *path,
                              bt_error *err)
{
    const Weight *table = m->embedding, *w;
    if (is_embedding(l)) {
        if (l->k != table->k || l->n != table->n || l->n_mats != 1)
            return wrong_shape(m, l, path, table->k, table->n, 1, err);
        if (!l->magnitude) return BT_OK;
        return bt_fail(err, BT_E_UNSUPPORTED,
                       "%s: magnitudes (DoRA) of the token embedding are not known", path);
    }
    size_t found = 0;
    for (; (w = adapter_weight(m, l->name, found)); found++) {
        if (l->k != w->k || l->n != w->total || l->n_mats != w->n_mats)
            return wrong_shape(m, l, path, w->k, w->total, w->n_mats, err);
        if (out_of_reach(m, w))
            return bt_fail(err, BT_E_UNSUPPORTED,
                           "%s: adapters of '%s' are not known here; 'bantam merge' writes a model "
                           "that has it",
                           path, l->name);
    }
    if (found) return BT_OK;
    return bt_fail(err, BT_E_ARGUMENT,
                   "%s: made for another base: it adapts '%s', which %s does not have or does not "
                   "multiply; use the model it was trained on",
                   path, l->name, gguf_path(m->gguf));
}

/* Matrices lie in a dimension of their own, or one below the other. */
static bt_status check_tensor(const bt_model *m, const LoraMatrix *l, const char *path,
                              bt_error *err)
{
    const GgufTensor *t = gguf_find_tensor(m->gguf, l->name);
    if (!t && strcmp(l->name, "output.weight") == 0)
        t = gguf_find_tensor(m->gguf, LORA_EMBEDDING); /* tied */
    if (!t || t->n_dims < 2)
        return bt_fail(err, BT_E_ARGUMENT,
                       "%s: made for another base: it adapts '%s', which %s does not have; use the "
                       "model it was trained on",
                       path, l->name, gguf_path(m->gguf));
    uint64_t k = (uint64_t)l->k, n = (uint64_t)l->n, mats = (uint64_t)l->n_mats;
    bool flat = t->ne[2] == 1 && t->ne[1] == n * mats;
    if (t->ne[0] != k || t->ne[3] != 1 || !(flat || (t->ne[1] == n && t->ne[2] == mats)))
        return wrong_shape(m, l, path, (int64_t)t->ne[0], (int64_t)t->ne[1], (int64_t)t->ne[2],
                           err);
    return BT_OK;
}

bt_status adapter_check(const bt_model *m, const Lora *l, const char *path, bool any_base,
                        bool merging, bt_error *err)
{
    if (!m->arch)
        return bt_fail(err, BT_E_ARGUMENT, "%s was opened for its vocabulary only",
                       gguf_path(m->gguf));
    if (l->arch && strcmp(l->arch, m->architecture) != 0)
        return bt_fail(err, BT_E_ARGUMENT,
                       "%s: made for a base of architecture %s; %s is %s: use the model it was "
                       "trained on",
                       path, l->arch, gguf_path(m->gguf), m->architecture);
    for (size_t i = 0; i < l->n; i++) {
        bt_status status = merging ? check_tensor(m, &l->items[i], path, err)
                                   : check_matrix(m, &l->items[i], path, err);
        if (status) return status;
    }
    uint64_t own = l->fingerprint ? lora_fingerprint(m->gguf) : 0;
    if (own == l->fingerprint || any_base) return BT_OK;
    return bt_fail(
        err, BT_E_ARGUMENT,
        "%s: trained on another base%s%.60s%s (fingerprint %016llx; %s has %016llx): use "
        "that model, or --any-base to try it on this one",
        path, l->base ? ", '" : "", l->base ? l->base : "", l->base ? "'" : "",
        (unsigned long long)l->fingerprint, gguf_path(m->gguf), (unsigned long long)own);
}

bt_status adapter_read(const char *path, const bt_model *m, Lora **out, bt_error *err)
{
    struct stat at;
    *out = NULL;
    if (!path || !*path) return bt_fail(err, BT_E_ARGUMENT, "no adapter is named");
    if (peft_is_folder(path)) return peft_read(path, m->gguf, out, err);
    if (stat(path, &at) == 0 && S_ISDIR(at.st_mode))
        return bt_fail(err, BT_E_ARGUMENT,
                       "%s: a folder without adapter_config.json; name a GGUF adapter, or a folder "
                       "that PEFT saved",
                       path);
    return lora_read(path, out, err);
}

static void sum_up(bt_adapter *a)
{
    for (size_t i = 0; i < a->lora->n; i++) {
        const LoraMatrix *l = &a->lora->items[i];
        a->n_params += (uint64_t)(l->n_mats * l->rank * (l->k + l->n));
        if (l->magnitude) a->n_params += (uint64_t)(l->n_mats * l->n);
        if (l->rank > a->rank) a->rank = l->rank;
        a->dora = a->dora || l->magnitude;
    }
    a->hash = lora_hash(a->lora);
}

bt_status bt_adapter_open(bt_model *model, const char *path, const bt_adapter_options *options,
                          bt_adapter **out, bt_error *err)
{
    bt_error inner = {0};
    *out = NULL;
    bt_error_clear(err);
    bt_adapter *a = mem_zalloc(1, sizeof *a);
    if (!a) return bt_fail_memory(err, "an adapter", sizeof *a);
    atomic_init(&a->holders, 1);
    a->model = model;
    bt_status status = adapter_read(path, model, &a->lora, &inner);
    if (!status)
        status = adapter_check(model, a->lora, path, options && options->any_base, false, &inner);
    if (!status) {
        a->path = mem_strdup(path);
        if (!a->path) status = bt_fail_memory(&inner, path, strlen(path));
    }
    if (status) {
        bt_adapter_close(&a);
        return bt_fail(err, status, "%s", inner.text);
    }
    sum_up(a);
    *out = a;
    return BT_OK;
}

void adapter_hold(bt_adapter *a)
{
    atomic_fetch_add(&a->holders, 1);
}

void bt_adapter_close(bt_adapter **adapter)
{
    bt_adapter *a = *adapter;
    *adapter = NULL;
    if (!a || atomic_fetch_sub(&a->holders, 1) > 1) return;
    lora_close(&a->lora);
    mem_free(a->path);
    mem_free(a);
}

bt_adapter_info bt_adapter_describe(const bt_adapter *a)
{
    return (bt_adapter_info){.path = a->path,
                             .name = a->lora->name ? a->lora->name : "",
                             .base = a->lora->base ? a->lora->base : "",
                             .n_matrices = (int32_t)a->lora->n,
                             .rank = a->rank,
                             .n_params = a->n_params,
                             .dora = a->dora};
}

/* ---- files ---- */

bt_status bt_adapter_save(const bt_adapter *a, const char *path, bt_error *err)
{
    bt_error inner = {0};
    size_t n = path ? strlen(path) : 0;
    bt_error_clear(err);
    if (!n) return bt_fail(err, BT_E_ARGUMENT, "a file to write must be named");
    Lora copy = *a->lora;
    copy.arch = a->model->architecture;
    if (!copy.fingerprint) copy.fingerprint = lora_fingerprint(a->model->gguf);
    bool gguf = n > 5 && strcmp(path + n - 5, ".gguf") == 0;
    bt_status status =
        gguf ? lora_write(&copy, path, 0, &inner) : peft_write(&copy, a->model->gguf, path, &inner);
    return status ? bt_fail(err, status, "%s", inner.text) : BT_OK;
}
