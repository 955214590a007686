/* The mean of models that began alike (bt_average in bantam.h): one file of the first one's keys,
 * each weight the mean of theirs. Models trained further from the same weights lie in one valley,
 * and the mean of several answers what none has met better than each alone ("Model soups", arXiv
 * 2203.05482). Tensors stream through in runs of rows, on all threads.
 *
 * Refused: models of other tensors, shapes or tokens; a weight that is no number. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/gguf_write.h"
#include "kernels/kernels.h"
#include "quant/quant.h"
#include "quant/quantize.h"
#include "tensor/dtype.h"

#define MOST_AVERAGED 16

typedef struct Average {
    const bt_merge_options *options;
    Source sources[MOST_AVERAGED]; /* the first gives keys, order and types */
    const char *const *paths;
    size_t n;
    Team *team;
    Choice *choices; /* one a tensor */
    struct AveragePut *puts;
    float *floats;                      /* (members, 2, row) */
    unsigned char *out;                 /* a run of rows as they are written */
    unsigned char *room[MOST_AVERAGED]; /* likewise, as they are read from a folder */
    uint64_t done, all;
} Average;

typedef struct AveragePut {
    Average *a;
    size_t at[MOST_AVERAGED]; /* the tensor's place in each model */
    const GgufTensor *t;      /* in the first */
    uint32_t type;
} AveragePut;

typedef struct AverageRun {
    const AveragePut *put;
    const unsigned char *from[MOST_AVERAGED];
    TeamQueue queue;
    atomic_int_least64_t bad; /* a row that could not be made, or -1 */
} AverageRun;

static const GgufTensor *theirs(const AveragePut *p, size_t i)
{
    return gguf_tensor(p->a->sources[i].index, p->at[i]);
}

/* Row `row` of the run. */
static bool make_row(const AverageRun *run, uint64_t row, float *x, float *y)
{
    const AveragePut *p = run->put;
    uint64_t k = p->t->ne[0], bytes = dtype_row_bytes(p->type, k);
    size_t n = p->a->n;
    for (size_t i = 0; i < n; i++) {
        uint32_t type = theirs(p, i)->type;
        const unsigned char *from = run->from[i] + row * dtype_row_bytes(type, k);
        if (!dequant_row(type, from, i ? y : x, k)) return false;
        for (uint64_t j = 0; i && j < k; j++) x[j] += y[j];
    }
    for (uint64_t j = 0; j < k; j++) x[j] /= (float)n;
    return quant_row(p->type, x, k, NULL, p->a->out + row * bytes);
}

static void write_run(void *arg, int member, int n_members)
{
    AverageRun *run = arg;
    uint64_t k = run->put->t->ne[0];
    float *x = run->put->a->floats + 2 * (uint64_t)member * k;
    int64_t begin, end;
    while (queue_take_tapering(&run->queue, n_members, &begin, &end))
        for (int64_t i = begin; i < end; i++)
            if (!make_row(run, (uint64_t)i, x, x + k)) atomic_store(&run->bad, i);
}

static bt_status average_rows(AveragePut *p, uint64_t first, uint64_t n, bt_error *err)
{
    Average *a = p->a;
    AverageRun run = {.put = p};
    atomic_init(&run.bad, -1);
    for (size_t i = 0; i < a->n; i++) {
        run.from[i] = source_rows(&a->sources[i], p->at[i], first, n, a->room[i], err);
        if (!run.from[i]) return err->status;
    }
    queue_start(&run.queue, (int64_t)n, 64);
    team_run(a->team, write_run, &run);
    for (size_t i = 0; i < a->n; i++) {
        bt_status status = source_check(&a->sources[i], err);
        if (status) return status;
        source_let_go(&a->sources[i], p->at[i], first, n);
    }
    int64_t bad = atomic_load(&run.bad);
    if (bad < 0) return BT_OK;
    return bt_fail(err, BT_E_FORMAT,
                   "tensor '%.*s', row %lld: a weight is NaN or infinite in one of the models, or "
                   "of a type without a mean",
                   (int)p->t->name.size, p->t->name.data, (long long)(first + (uint64_t)bad));
}

static bt_status write_tensor(void *user, int fd, bt_error *err)
{
    AveragePut *p = user;
    Average *a = p->a;
    uint64_t all = tensor_rows(p->t), most = quantize_run_rows(p->t);
    uint64_t bytes = dtype_row_bytes(p->type, p->t->ne[0]);
    bt_status status = BT_OK;
    for (uint64_t row = 0; row < all && !status; row += most) {
        uint64_t n = all - row < most ? all - row : most;
        status = average_rows(p, row, n, err);
        if (!status) status = os_write_all(fd, a->out, n * bytes, err);
        a->done += n * p->t->ne[0];
        if (!status && a->options->progress &&
            !a->options->progress(a->options->progress_user, "averaging", a->done, a->all))
            status = bt_fail(err, BT_E_CANCELLED, "cancelled while averaging");
    }
    return status;
}

/* ---- whether they are alike ---- */

static bt_status find_place(AveragePut *p, size_t i, bt_error *err)
{
    char name[GGUF_MAX_NAME_BYTES];
    const Gguf *g = p->a->sources[i].index;
    snprintf(name, sizeof name, "%.*s", (int)p->t->name.size, p->t->name.data);
    const GgufTensor *t = gguf_find_tensor(g, name);
    if (!t)
        return bt_fail(err, BT_E_ARGUMENT, "%s: has no tensor '%s': it is another kind of model",
                       p->a->paths[i], name);
    if (memcmp(t->ne, p->t->ne, sizeof t->ne) != 0)
        return bt_fail(err, BT_E_ARGUMENT, "%s: tensor '%s' is of another size than in %s",
                       p->a->paths[i], name, p->a->paths[0]);
    p->at[i] = (size_t)(t - gguf_tensor(g, 0));
    return BT_OK;
}

/* The tokens of both vocabularies, in order; a file without any is like any other. */
static bt_status same_tokens(const Average *a, size_t i, bt_error *err)
{
    static const char key[] = "tokenizer.ggml.tokens";
    const Gguf *g[2] = {a->sources[0].index, a->sources[i].index};
    int64_t at[2] = {gguf_find_key(g[0], key), gguf_find_key(g[1], key)};
    if (at[0] < 0 && at[1] < 0) return BT_OK;
    uint64_t n = at[0] < 0 ? 0 : gguf_array_count(g[0], (size_t)at[0]);
    bool same = at[0] >= 0 && at[1] >= 0 && gguf_array_count(g[1], (size_t)at[1]) == n;
    Span *tokens = mem_alloc(2 * (n + 1) * sizeof *tokens);
    if (!tokens) return bt_fail_memory(err, "two vocabularies", 2 * n * sizeof *tokens);
    bt_status status = BT_OK;
    for (int k = 0; same && !status && k < 2; k++)
        status = gguf_get_spans(g[k], key, tokens + (uint64_t)k * n, n, err);
    for (uint64_t t = 0; same && !status && t < n; t++)
        same = tokens[t].size == tokens[n + t].size &&
               !memcmp(tokens[t].data, tokens[n + t].data, tokens[t].size);
    mem_free(tokens);
    if (status || same) return status;
    return bt_fail(err, BT_E_ARGUMENT, "%s: its vocabulary is another than that of %s", a->paths[i],
                   a->paths[0]);
}

static bt_status plan(Average *a, int *mix, bt_error *err)
{
    const Gguf *g = a->sources[0].index;
    size_t n = gguf_n_tensors(g);
    bt_status status;
    a->choices = mem_zalloc(n + 1, sizeof *a->choices);
    a->puts = mem_zalloc(n + 1, sizeof *a->puts);
    if (!a->choices || !a->puts) return bt_fail_memory(err, "a plan", n * sizeof *a->puts);
    status = choose_again(g, a->options->type, mix, a->choices, err);
    for (size_t i = 1; i < a->n && !status; i++) {
        if (gguf_n_tensors(a->sources[i].index) != n)
            status = bt_fail(err, BT_E_ARGUMENT, "%s: has %zu tensors, %s has %zu", a->paths[i],
                             gguf_n_tensors(a->sources[i].index), a->paths[0], n);
        if (!status) status = same_tokens(a, i, err);
    }
    for (size_t t = 0; t < n && !status; t++) {
        a->puts[t] = (AveragePut){a, {t}, gguf_tensor(g, t), a->choices[t].type};
        a->all += a->puts[t].t->ne[0] * tensor_rows(a->puts[t].t);
        if (!quant_supported(a->puts[t].type))
            status = bt_fail(err, BT_E_UNSUPPORTED,
                             "'%.*s' is of type %s, which is read here and not written; name "
                             "another with --type",
                             (int)a->puts[t].t->name.size, a->puts[t].t->name.data,
                             dtype_name(a->puts[t].type));
        for (size_t i = 1; i < a->n && !status; i++) status = find_place(&a->puts[t], i, err);
    }
    return status;
}

/* Room for the longest row of each member, and for the largest run as it is read and written. */
static bt_status reserve(Average *a, bt_error *err)
{
    uint64_t row = 1, out = 1, in[MOST_AVERAGED] = {0};
    uint64_t members = (uint64_t)team_size(a->team);
    for (size_t t = 0; t < gguf_n_tensors(a->sources[0].index); t++) {
        const AveragePut *p = &a->puts[t];
        uint64_t k = p->t->ne[0], rows = quantize_run_rows(p->t);
        if (k > row) row = k;
        if (rows * dtype_row_bytes(p->type, k) > out) out = rows * dtype_row_bytes(p->type, k);
        for (size_t i = 0; i < a->n; i++) {
            uint64_t bytes = rows * dtype_row_bytes(theirs(p, i)->type, k);
            if (a->sources[i].plan && bytes > in[i]) in[i] = bytes;
        }
    }
    bool enough = row < SIZE_MAX / sizeof(float) / members / 2;
    a->floats = enough ? mem_alloc(2 * row * members * sizeof(float)) : NULL;
    a->out = mem_alloc(out);
    for (size_t i = 0; i < a->n && enough; i++)
        enough = !in[i] || (a->room[i] = mem_alloc(in[i])) != NULL;
    if (enough && a->floats && a->out) return BT_OK;
    return bt_fail_memory(err, "averaging", 2 * row * members * sizeof(float) + out);
}

static bt_status write_file(Average *a, int mix, const char *to, bt_error *err)
{
    char name[GGUF_MAX_NAME_BYTES];
    const Gguf *g = a->sources[0].index;
    GgufWriter *w = gguf_writer_open();
    if (!w) return bt_fail_memory(err, to, sizeof(void *));
    quantize_put_keys(w, g, mix);
    for (size_t t = 0; t < gguf_n_tensors(g); t++) {
        AveragePut *p = &a->puts[t];
        snprintf(name, sizeof name, "%.*s", (int)p->t->name.size, p->t->name.data);
        gguf_put_tensor_made(w, name, p->type, p->t->n_dims, p->t->ne, write_tensor, p);
    }
    bt_status status = gguf_writer_save(w, to, err);
    gguf_writer_close(&w);
    return status;
}

static bt_status average(Average *a, size_t n, const char *to, bt_error *err)
{
    int mix = -1;
    for (size_t i = 0; i < n; i++) {
        bt_status status = source_open(a->paths[i], &a->sources[i], err);
        if (!status) a->n++;
        if (!status) status = quantize_check_target(&a->sources[i], a->paths[i], to, err);
        if (status) return status;
    }
    a->team = team_open(a->options->n_threads > 0 ? a->options->n_threads : os_cores());
    if (!a->team) return bt_fail(err, BT_E_MEMORY, "the threads could not be started");
    bt_status status = plan(a, &mix, err);
    if (!status) status = reserve(a, err);
    return status ? status : write_file(a, mix, to, err);
}

static void average_close(Average *a)
{
    for (size_t i = 0; i < a->n; i++) {
        source_close(&a->sources[i]);
        mem_free(a->room[i]);
    }
    if (a->team) team_close(a->team);
    mem_free(a->choices);
    mem_free(a->puts);
    mem_free(a->floats);
    mem_free(a->out);
}

bt_status bt_average(const char *const *models, size_t n, const char *to,
                     const bt_merge_options *options, bt_error *err)
{
    static const bt_merge_options none;
    bt_error inner = {0};
    Average a = {.options = options ? options : &none, .paths = models};
    bt_error_clear(err);
    if (!models || !to || !*to)
        return bt_fail(err, BT_E_ARGUMENT, "models and a file to write must be named");
    if (n < 2 || n > MOST_AVERAGED)
        return bt_fail(err, BT_E_ARGUMENT, "%zu models to average; 2 to %d go together", n,
                       MOST_AVERAGED);
    bt_status status = average(&a, n, to, &inner);
    average_close(&a);
    return status ? bt_fail(err, status, "%s", inner.text) : BT_OK;
}
