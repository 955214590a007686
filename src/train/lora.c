/* Adapters as parameters (see lora.h). */
#include "train/lora.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "convert/peft.h"
#include "engine/adapter.h"
#include "tensor/dtype.h"
#include "train/random.h"

#define RANK 16

typedef struct Target { /* a tensor of the model that is adapted */
    char name[LORA_NAME];
    int64_t k, n;
    int32_t rank;
    float scale;
    size_t a, b, m;          /* of the items; m 0: no magnitudes */
    float *factor, *inverse; /* (n) DoRA */
} Target;

typedef struct LoraParams {
    Adapters adapters;
    LowRank *of;
    Target *targets;
    size_t n;
    float *row; /* (members, k) of DoRA */
    int64_t most_k;
} LoraParams;

/* ---- which matrices ---- */

/* The makers' words for parts of a layer. */
static const char *const words[][2] = {
    {"q_proj", "attn_q"},      {"k_proj", "attn_k"},      {"v_proj", "attn_v"},
    {"o_proj", "attn_output"}, {"qkv_proj", "attn_qkv"},  {"gate_proj", "ffn_gate"},
    {"up_proj", "ffn_up"},     {"down_proj", "ffn_down"}, {"gate_up_proj", "ffn_up"},
    {"lm_head", "output"},
};

/* "attn_q" of "blk.3.attn_q.weight"; "output" of "output.weight". */
static Span part_of(const char *name)
{
    Span s = span_of(name);
    if (s.size > 4 && memcmp(s.data, "blk.", 4) == 0) {
        const char *dot = memchr(s.data + 4, '.', s.size - 4);
        if (dot) s = (Span){dot + 1, s.size - (size_t)(dot + 1 - s.data)};
    }
    if (s.size > 7 && memcmp(s.data + s.size - 7, ".weight", 7) == 0) s.size -= 7;
    return s;
}

/* The part that a word of the list means: makers' words for ours. */
static Span part_meant(Span word)
{
    for (size_t w = 0; w < sizeof words / sizeof *words; w++)
        if (span_is(word, words[w][0])) return span_of(words[w][1]);
    return word;
}

/* Whether the list names the part; *met: the word that did. */
static bool listed(const char *list, Span part, uint64_t *met)
{
    for (uint64_t i = 0; *list; i++) {
        size_t n = strcspn(list, ",");
        if (span_equal(part_meant((Span){list, n}), part)) {
            *met |= UINT64_C(1) << (i < 63 ? i : 63);
            return true;
        }
        list += n + (list[n] == ',');
    }
    return false;
}

static bool plain(const bt_model *m, const Weight *w)
{
    return w->n_mats == 1 && !w->turned && w != m->hyper.dense[0] && w != m->hyper.dense[1];
}

static bool wanted(const bt_model *m, const Weight *w, const char *list, uint64_t *met)
{
    Span part = part_of(w->name);
    bool head = w == m->embedding;
    if (head) part = SPAN("output");
    if (list) return listed(list, part, met);
    bool router = part.size >= 12 && memcmp(part.data, "ffn_gate_inp", 12) == 0;
    return strncmp(w->name, "blk.", 4) == 0 && !router && !head;
}

/* Why a matrix of the model cannot be adapted, and what to do. */
static const char *why_not(const bt_model *m, Span part)
{
    if (span_is(part, "token_embd") || span_is(part, "embed_tokens"))
        return "the embedding's rows are looked up, nothing is multiplied by them; leave it out, "
               "or "
               "train all weights (bantam train -m)";
    for (size_t i = 0; i < m->n_matrices; i++) {
        const Weight *w = m->matrices[i];
        Span its = part_of(w->name);
        if (w->n_mats > 1 && its.size > 5 && memcmp(its.data + its.size - 5, "_exps", 5) == 0 &&
            part.size + 5 == its.size)
            its.size -= 5; /* up_proj means the experts' where there are no others */
        if (!span_equal(its, part)) continue;
        if (w->n_mats > 1)
            return "experts are not adapted here (a pair for each would be as large as they are); "
                   "leave it out, or train all weights (bantam train -m)";
        if (w->turned) return "the model keeps it in another order than its file; leave it out";
    }
    return "the model multiplies no matrix of that name ('bantam info --verbose' lists tensors)";
}

static bt_status check_list(const bt_model *m, const char *list, uint64_t met, bt_error *err)
{
    for (uint64_t i = 0; list && *list; i++) {
        size_t n = strcspn(list, ",");
        if (!(met >> (i < 63 ? i : 63) & 1))
            return bt_fail(err, BT_E_ARGUMENT, "%s: target '%.*s': %s", gguf_path(m->gguf),
                           (int)(n < 60 ? n : 60), list, why_not(m, part_meant((Span){list, n})));
        list += n + (list[n] == ',');
    }
    return BT_OK;
}

static Target *find_target(const LoraParams *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->targets[i].name, name) == 0) return &l->targets[i];
    return NULL;
}

static bt_status choose_targets(const bt_model *m, const LoraOptions *o, LoraParams *l,
                                bt_error *err)
{
    uint64_t met = 0;
    int32_t rank = o->rank > 0 ? o->rank : RANK;
    float alpha = o->alpha > 0 ? o->alpha : 2 * (float)rank;
    for (size_t i = 0; i < m->n_matrices; i++) {
        const Weight *w = m->matrices[i];
        uint64_t named = 0;
        if (!wanted(m, w, o->targets, &named) || !plain(m, w)) continue;
        met |= named;
        const char *name = w == m->embedding ? "output.weight" : w->name;
        if (find_target(l, name) || strlen(name) >= LORA_NAME) continue;
        Target *t = &l->targets[l->n++];
        *t = (Target){.k = w->k, .n = w->total, .rank = rank, .scale = alpha / (float)rank};
        snprintf(t->name, sizeof t->name, "%s", name);
    }
    bt_status status = check_list(m, o->targets, met, err);
    if (!status && !l->n)
        status = bt_fail(err, BT_E_UNSUPPORTED, "%s: no matrix of it can be adapted",
                         gguf_path(m->gguf));
    return status;
}

static bt_status targets_of(const bt_model *m, const Lora *from, LoraParams *l, bt_error *err)
{
    for (size_t i = 0; i < from->n; i++) {
        const LoraMatrix *x = &from->items[i];
        const Weight *w = adapter_weight(m, x->name, 0);
        if (strcmp(x->name, LORA_EMBEDDING) == 0 || !w || !plain(m, w))
            return bt_fail(err, BT_E_UNSUPPORTED,
                           "the adapter's part for '%s' cannot go on learning; it runs and merges",
                           x->name);
        Target *t = &l->targets[l->n++];
        *t = (Target){.k = x->k, .n = x->n, .rank = x->rank, .scale = x->scale};
        memcpy(t->name, x->name, sizeof t->name);
    }
    return BT_OK;
}

/* ---- lengths of rows ---- */

typedef struct LengthJob {
    const bt_model *m;
    const LoraParams *l;
    const Params *p;
    const Target *t;
    const Weight *w;
    bool first; /* the magnitudes become the lengths */
    TeamQueue queue;
} LengthJob;

static void length_rows(void *arg, int member, int n_members)
{
    LengthJob *job = arg;
    const Target *t = job->t;
    const Weight *w = job->w;
    const Kernels *k = kernels_select(job->m->features);
    float *x = job->l->row + (int64_t)member * job->l->most_k;
    const float *a = job->p->items[t->a].value, *b = job->p->items[t->b].value;
    float *magnitude = job->p->items[t->m].value;
    int64_t begin, end;
    (void)n_members;
    while (queue_take(&job->queue, &begin, &end))
        for (int64_t i = begin; i < end; i++) {
            int64_t row = w->first + i;
            dequant_row(w->type, weight_rows(w, 0, i), x, (size_t)w->k);
            if (w->scale) k->scale(w->scale[0], x, (size_t)w->k, x);
            for (int32_t j = 0; j < t->rank; j++)
                k->axpy(t->scale * b[row * t->rank + j], a + j * t->k, (size_t)t->k, x);
            float length = sqrtf(k->dot(x, x, (size_t)t->k));
            if (job->first) magnitude[row] = length;
            t->inverse[row] = length > 0 ? 1 / length : 0;
            t->factor[row] = magnitude[row] * t->inverse[row];
        }
}

/* Rows of all weights that share the tensor. */
static void find_lengths(const Params *p, const LoraParams *l, bool first)
{
    bt_model *m = p->model;
    for (size_t i = 0; i < l->n; i++) {
        const Weight *w;
        for (size_t j = 0; l->targets[i].m && (w = adapter_weight(m, l->targets[i].name, j)); j++) {
            LengthJob job = {.m = m, .l = l, .p = p, .t = &l->targets[i], .w = w, .first = first};
            queue_start(&job.queue, w->n, 16);
            team_run(m->team, length_rows, &job);
        }
    }
}

static void refresh(Params *p)
{
    find_lengths(p, p->extra, false);
}

/* ---- parameters ---- */

static bt_status make_params(LoraParams *l, bool dora, const Lora *from, Params **out,
                             bt_error *err)
{
    size_t n = 0;
    Param *shapes = mem_zalloc(3 * l->n + 1, sizeof *shapes);
    char(*names)[LORA_NAME + 24] = mem_zalloc(3 * l->n + 1, sizeof *names);
    bt_status status =
        shapes && names ? BT_OK : bt_fail_memory(err, "an adapter", l->n * 3 * sizeof *shapes);
    for (size_t i = 0; i < l->n && shapes && names && !status; i++) {
        Target *t = &l->targets[i];
        const LoraMatrix *x = from ? lora_find(from, t->name) : NULL;
        bool lengths = x ? x->magnitude != NULL : dora;
        snprintf(names[n], sizeof names[n], "%s.lora_a", t->name);
        t->a = n;
        shapes[n] =
            (Param){.name = names[n], .kind = PARAM_MATRIX, .k = t->k, .rows = t->rank, .mats = 1};
        snprintf(names[++n], sizeof names[n], "%s.lora_b", t->name);
        t->b = n;
        shapes[n] =
            (Param){.name = names[n], .kind = PARAM_MATRIX, .k = t->rank, .rows = t->n, .mats = 1};
        n++;
        if (!lengths) continue;
        snprintf(names[n], sizeof names[n], "%s.lora_magnitude", t->name);
        t->m = n;
        shapes[n++] =
            (Param){.name = names[t->m], .kind = PARAM_VECTOR, .k = t->n, .rows = 1, .mats = 1};
        t->factor = mem_zalloc((size_t)t->n, sizeof *t->factor);
        t->inverse = mem_zalloc((size_t)t->n, sizeof *t->inverse);
        if (!t->factor || !t->inverse) status = bt_fail_memory(err, "an adapter", (uint64_t)t->n);
    }
    if (!status) status = params_make(shapes, n, out, err);
    mem_free(shapes);
    mem_free(names);
    return status;
}

/* A as Kaiming's uniform numbers of the usual recipe spread: variance 1 / (3 inputs). */
static void fill(Params *p, const LoraParams *l, const Lora *from, uint64_t seed)
{
    for (size_t i = 0; i < l->n; i++) {
        const Target *t = &l->targets[i];
        const LoraMatrix *x = from ? lora_find(from, t->name) : NULL;
        Param *a = &p->items[t->a], *b = &p->items[t->b];
        if (!x) {
            uint64_t key = hash_bytes(t->name, strlen(t->name), seed);
            random_normals(key, 1 / sqrtf(3 * (float)t->k), a->value, a->n);
            continue;
        }
        memcpy(a->value, x->a, a->n * sizeof *a->value);
        memcpy(b->value, x->b, b->n * sizeof *b->value);
        if (t->m) memcpy(p->items[t->m].value, x->magnitude, (size_t)t->n * sizeof(float));
    }
}

static void add_key(Params *p, const float *key, float *grad, size_t n)
{
    for (size_t i = 0; i < p->n_keys; i++)
        if (p->keys[i].key == key) return;
    p->keys[p->n_keys++] = (TapeParam){key, grad, n};
}

/* What rows of the step have, and where its gradients go. */
static bt_status bind(Params *p, LoraParams *l, bt_error *err)
{
    const bt_model *m = p->model;
    int32_t most = m->embedding->id;
    for (size_t i = 0; i < m->n_matrices; i++)
        if (m->matrices[i]->id > most) most = m->matrices[i]->id;
    l->of = mem_zalloc((size_t)most + 1, sizeof *l->of);
    p->keys = mem_zalloc(3 * (m->n_matrices + 1), sizeof *p->keys);
    if (!l->of || !p->keys) return bt_fail_memory(err, "an adapter", (uint64_t)most);
    for (size_t i = 0; i < l->n; i++) {
        const Target *t = &l->targets[i];
        const Param *a = &p->items[t->a], *b = &p->items[t->b], *g = &p->items[t->m];
        const Weight *w;
        for (size_t j = 0; (w = adapter_weight(m, t->name, j)); j++) {
            size_t at = (size_t)(w->first * t->rank);
            LowRank *d = &l->of[w->id];
            *d = (LowRank){.a = a->value, .b = b->value + at, .rank = t->rank, .scale = t->scale};
            add_key(p, d->a, a->grad, a->n);
            add_key(p, d->b, b->grad + at, (size_t)(w->n * t->rank));
            if (!t->m) continue;
            d->whole = true;
            d->factor = t->factor + w->first;
            d->inverse = t->inverse + w->first;
            d->magnitude = g->value + w->first;
            add_key(p, d->magnitude, g->grad + w->first, (size_t)w->n);
        }
        if (t->k > l->most_k) l->most_k = t->k;
    }
    tape_sort(p->keys, p->n_keys);
    l->adapters = (Adapters){.of = l->of, .n = most + 1};
    p->adapters = &l->adapters;
    return BT_OK;
}

/* So that a checkpoint goes on with the same adapter of the same base only. */
static void fingerprint(Params *p, const LoraParams *l)
{
    uint64_t h = lora_fingerprint(p->model->gguf);
    for (size_t i = 0; i < p->n; i++) {
        h = hash_bytes(p->items[i].name, strlen(p->items[i].name), h);
        h = hash_bytes(&p->items[i].n, sizeof p->items[i].n, h);
        p->n_trained += p->items[i].n;
    }
    for (size_t i = 0; i < l->n; i++)
        h = hash_bytes(&l->targets[i].scale, sizeof l->targets[i].scale, h);
    p->fingerprint = h;
}

static void close_extra(void *extra)
{
    LoraParams *l = extra;
    for (size_t i = 0; i < l->n; i++) {
        mem_free(l->targets[i].factor);
        mem_free(l->targets[i].inverse);
    }
    mem_free(l->targets);
    mem_free(l->of);
    mem_free(l->row);
    mem_free(l);
}

/* Weights are prepared first: lengths are read from them on the model's team. */
static bt_status prepare(Params *p, LoraParams *l, bool fresh, bt_error *err)
{
    bool any = false;
    bt_status status = model_prepare(p->model, err);
    for (size_t i = 0; i < l->n; i++) any = any || l->targets[i].m;
    if (status || !any) return status;
    size_t n = (size_t)team_size(p->model->team) * (size_t)l->most_k;
    l->row = mem_alloc(n * sizeof *l->row);
    if (!l->row) return bt_fail_memory(err, "an adapter", n * sizeof *l->row);
    find_lengths(p, l, fresh);
    p->refresh = refresh;
    return BT_OK;
}

static bt_status open_parts(bt_model *m, const Lora *from, const LoraOptions *o, LoraParams *l,
                            Params **out, bt_error *err)
{
    size_t most = m->n_matrices + (from ? from->n : 0);
    l->targets = mem_zalloc(most + 1, sizeof *l->targets);
    if (!l->targets) return bt_fail_memory(err, "an adapter", most * sizeof *l->targets);
    bt_status status = from ? targets_of(m, from, l, err) : choose_targets(m, o, l, err);
    if (!status) status = make_params(l, o->dora, from, out, err);
    if (status) return status;
    fill(*out, l, from, o->seed);
    return BT_OK;
}

bt_status lora_params_open(const char *model, const LoraOptions *o, const ParamsOptions *options,
                           Params **out, bt_error *err)
{
    bt_model *m = NULL;
    Lora *from = NULL;
    Params *p = NULL;
    *out = NULL;
    if (o->rank < 0 || o->rank > LORA_MOST_RANK || !(o->alpha >= 0) || !isfinite(o->alpha))
        return bt_fail(err, BT_E_ARGUMENT, "rank %d or alpha %g is out of range (rank 1 to %d)",
                       o->rank, (double)o->alpha, LORA_MOST_RANK);
    bt_status status = bt_model_open(model, &options->model, &m, err);
    LoraParams *l = mem_zalloc(1, sizeof *l);
    if (!l && !status) status = bt_fail_memory(err, "an adapter", sizeof *l);
    if (!status && o->from) status = adapter_read(o->from, m, &from, err);
    if (!status && from) status = adapter_check(m, from, o->from, o->any_base, false, err);
    if (l && !status) status = open_parts(m, from, o, l, &p, err);
    if (p) { /* what was taken goes with it from here on */
        p->model = m;
        p->extra = l;
        p->close_extra = close_extra;
        if (!status) status = bind(p, l, err);
        if (!status) status = prepare(p, l, !from, err);
        if (!status) fingerprint(p, l);
    } else {
        bt_model_close(&m);
        if (l) close_extra(l);
    }
    lora_close(&from);
    if (status) params_close(&p);
    *out = p;
    return status;
}

/* ---- the file ---- */

bt_status lora_params_save(const Params *p, const char *path, bt_error *err)
{
    const LoraParams *l = p->extra;
    const char *name = p->model->name;
    size_t n = strlen(path);
    Lora *out = lora_new();
    bt_status status = out ? BT_OK : bt_fail_memory(err, path, sizeof *out);
    if (out) {
        out->arch = mem_strdup(p->model->architecture);
        out->base = name && *name ? mem_strdup(name) : NULL;
        out->fingerprint = lora_fingerprint(p->model->gguf);
        if (!out->arch) status = bt_fail_memory(err, path, n);
    }
    for (size_t i = 0; i < l->n && !status; i++) {
        const Target *t = &l->targets[i];
        const Param *a = &p->items[t->a], *b = &p->items[t->b], *g = &p->items[t->m];
        LoraMatrix *m = lora_add(out, t->name, t->k, t->n, 1, t->rank, t->m != 0);
        if (!m) {
            status = bt_fail_memory(err, path, a->n * sizeof(float));
            break;
        }
        m->scale = t->scale;
        memcpy(m->a, a->value, a->n * sizeof *m->a);
        memcpy(m->b, b->value, b->n * sizeof *m->b);
        if (t->m) memcpy(m->magnitude, g->value, g->n * sizeof *m->magnitude);
        status = lora_check(m, path, err);
    }
    bool gguf = n > 5 && strcmp(path + n - 5, ".gguf") == 0;
    if (!status)
        status =
            gguf ? lora_write(out, path, DT_F32, err) : peft_write(out, p->model->gguf, path, err);
    lora_close(&out);
    return status;
}
