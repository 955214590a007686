/* Variants of a model and their answers (see probe.h). */
#include "quant/probe.h"

#include "base/mem.h"
#include "io/gguf_write.h"
#include "quant/quantize.h"
#include "quant/reader.h"
#include "tensor/dtype.h"

/* ---- answers ---- */

/* Goes through the windows; `see` gets each answer with its number and the token that came. */
typedef bt_status (*SeeFn)(void *user, size_t n, float *logits, bt_token next, bt_error *err);

static bt_status read_windows(bt_model *model, const Answers *a, const ProbeTurn *turn, SeeFn see,
                              void *user, bt_error *err)
{
    Reader r;
    size_t seen = 0;
    bt_status status = reader_open(model, a->n_ctx, BT_KV_DEFAULT, &r, err);
    for (size_t w = 0; w < a->windows && !status; w++) {
        bool more = true;
        status = reader_window(&r, a->ids + w * (size_t)a->n_ctx, err);
        while (!status && more) {
            size_t first = 0, n = 0;
            status = reader_step(&r, &first, &n, &more, err);
            for (size_t i = 0; i < n && !status; i++)
                status = see(user, seen++, reader_logits(&r, i), r.window[first + i], err);
        }
        if (!status && turn->done && !turn->done(turn->user))
            status = bt_fail(err, BT_E_CANCELLED, "cancelled while measuring");
    }
    reader_close(&r);
    return status;
}

static bt_status keep(void *user, size_t n, float *logits, bt_token next, bt_error *err)
{
    Answers *a = user;
    (void)next;
    if (!logits || n >= a->n) return bt_fail(err, BT_E_INTERNAL, "the engine gave no logits");
    memcpy(a->logits + n * (size_t)a->n_vocab, logits, (size_t)a->n_vocab * sizeof *logits);
    return BT_OK;
}

bt_status answers_open(bt_model *model, const bt_token *ids, int32_t n_ctx, size_t windows,
                       const ProbeTurn *turn, Answers *a, bt_error *err)
{
    *a = (Answers){.ids = ids, .n_ctx = n_ctx, .windows = windows};
    a->n_vocab = bt_model_describe(model).n_vocab;
    a->n = windows * (size_t)(n_ctx - n_ctx / 2 - 1);
    a->logits = mem_zalloc(a->n, (size_t)a->n_vocab * sizeof *a->logits);
    if (!a->logits)
        return bt_fail_memory(err, "answers", a->n * (size_t)a->n_vocab * sizeof *a->logits);
    bt_status status = read_windows(model, a, turn, keep, a, err);
    if (status) answers_close(a);
    return status;
}

void answers_close(Answers *a)
{
    mem_free(a->logits);
    *a = (Answers){0};
}

typedef struct Against {
    const Answers *a;
    Divergence *d;
} Against;

static bt_status hold(void *user, size_t n, float *logits, bt_token next, bt_error *err)
{
    const Against *h = user;
    if (!logits || n >= h->a->n) return bt_fail(err, BT_E_INTERNAL, "the engine gave no logits");
    const float *p = h->a->logits + n * (size_t)h->a->n_vocab;
    if (divergence_add(h->d, p, logits, h->a->n_vocab, next)) return BT_OK;
    return bt_fail_memory(err, "scores", n * sizeof(double));
}

bt_status answers_compare(const Answers *a, bt_model *other, const ProbeTurn *turn, Divergence *out,
                          bt_error *err)
{
    *out = (Divergence){0};
    bt_status status = read_windows(other, a, turn, hold, &(Against){a, out}, err);
    if (status) divergence_close(out);
    return status;
}

/* ---- variants ---- */

typedef struct Variant {
    GgufWriter *writer;
    GgufPlace *places;
    const OsMap **maps;
    void **made; /* (n) tensors of other types */
    size_t n;
} Variant;

static void variant_close(void *user)
{
    Variant *v = user;
    gguf_writer_close(&v->writer);
    for (size_t i = 0; v->made && i < v->n; i++) mem_free(v->made[i]);
    mem_free(v->made);
    mem_free(v->maps);
    mem_free(v->places);
    mem_free(v);
}

/* Tensor i in its chosen type. */
static bt_status make(Variant *v, const GgufTensor *t, size_t i, const Choice *c, Team *team,
                      bt_error *err)
{
    uint64_t rows = tensor_rows(t), most = quantize_run_rows(t);
    size_t from_bytes = dtype_row_bytes(t->type, t->ne[0]);
    size_t to_bytes = dtype_row_bytes(c->type, t->ne[0]);
    float *floats = mem_alloc((size_t)team_size(team) * t->ne[0] * sizeof *floats);
    unsigned char *out = v->made[i] = mem_aligned(rows * to_bytes, 64);
    bt_status status = floats && out ? BT_OK : bt_fail_memory(err, "a variant", rows * to_bytes);
    for (uint64_t row = 0; row < rows && !status; row += most) {
        uint64_t n = rows - row < most ? rows - row : most;
        status = quantize_rows(team, t, c, row, n, (const char *)t->data + row * from_bytes, floats,
                               out + row * to_bytes, err);
    }
    mem_free(floats);
    return status;
}

static bt_status put_tensor(Variant *v, const Gguf *g, size_t i, const Choice *c, Team *team,
                            bt_error *err)
{
    const GgufTensor *t = gguf_tensor(g, i);
    char name[GGUF_MAX_NAME_BYTES];
    bt_status status = BT_OK;
    memcpy(name, t->name.data, t->name.size);
    name[t->name.size] = '\0';
    v->places[i] = (GgufPlace){t->data, t->part, t->offset};
    if (c->type != t->type) {
        status = make(v, t, i, c, team, err);
        v->places[i] = (GgufPlace){v->made[i], -1, 0};
    }
    gguf_put_tensor(v->writer, name, c->type, t->n_dims, t->ne, v->places[i].data);
    return status;
}

static bt_status variant_make(Variant *v, const Gguf *g, const Choice *choices, Team *team,
                              bt_error *err)
{
    size_t parts = (size_t)gguf_n_parts(g);
    v->n = gguf_n_tensors(g);
    v->writer = gguf_writer_open();
    v->places = mem_zalloc(v->n + 1, sizeof *v->places);
    v->maps = mem_zalloc(parts + 1, sizeof *v->maps);
    v->made = mem_zalloc(v->n + 1, sizeof *v->made);
    if (!v->writer || !v->places || !v->maps || !v->made)
        return bt_fail_memory(err, "a variant", v->n * sizeof *v->places);
    for (size_t p = 0; p < parts; p++) v->maps[p] = gguf_part(g, (int)p);
    for (size_t k = 0; k < gguf_n_keys(g); k++) gguf_put_copy(v->writer, g, k);
    bt_status status = BT_OK;
    for (size_t i = 0; i < v->n && !status; i++)
        status = put_tensor(v, g, i, &choices[i], team, err);
    return status;
}

bt_status variant_open(const bt_model *base, const Choice *choices, Team *team, bt_model **out,
                       bt_error *err)
{
    Gguf *index = NULL;
    Variant *v = mem_zalloc(1, sizeof *v);
    *out = NULL;
    if (!v) return bt_fail_memory(err, "a variant", sizeof *v);
    bt_status status = variant_make(v, base->gguf, choices, team, err);
    if (status) {
        variant_close(v);
        return status;
    }
    GgufIndexOf of = {.path = gguf_path(base->gguf),
                      .places = v->places,
                      .maps = v->maps,
                      .n_maps = gguf_n_parts(base->gguf),
                      .release = variant_close,
                      .user = v};
    status = gguf_writer_index(v->writer, &of, &index, err);
    bt_model_options o = {.n_threads = base->n_threads, .no_cache = true};
    if (!status) status = model_open_gguf(&index, &o, out, err);
    return status;
}
