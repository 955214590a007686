/* Adapters written into the weights they were made for (bt_merge in bantam.h). Tensors stream
 * through in runs of rows, on all threads: read, changed in float32 by each adapter in turn, and
 * written in the type they had (or another); what no adapter touches is copied. Rounding to that
 * type is the only loss, and it is measured on the way. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/mem.h"
#include "engine/adapter.h"
#include "io/gguf_write.h"
#include "quant/quant.h"
#include "quant/quantize.h"
#include "tensor/dtype.h"

#define MOST_MERGED 16

typedef struct Merge {
    const bt_merge_options *options;
    bt_model *model;
    Source source; /* the model's own index */
    bool folder;
    Lora *lora[MOST_MERGED];
    float scale[MOST_MERGED];
    size_t n;
    Team *team;
    Choice *choices;       /* one a tensor */
    struct MergePut *puts; /* likewise, and one for a head that was tied */
    float *floats;         /* (members, 2, row) */
    double *sums; /* (members, 3): squares of what was, of the change, of what rounding cost */
    unsigned char *out;
    uint64_t done, all;
} Merge;

typedef struct MergePut {
    Merge *m;
    const GgufTensor *t;
    const LoraMatrix *of[MOST_MERGED]; /* NULL: leaves it alone */
    bool adapted;
    uint32_t type;
    const float *factor; /* ".scale" of each matrix; NULL: 1 */
} MergePut;

/* ---- rows ---- */

typedef struct MergeRun {
    const MergePut *put;
    uint64_t first;
    TeamQueue queue;
    atomic_int_least64_t bad;
} MergeRun;

static double squares(const float *x, uint64_t n)
{
    double sum = 0;
    for (uint64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}

/* Row `row` of the tensor, counted over all matrices, as it becomes, in x. */
static bool make_row(const MergePut *p, uint64_t row, float *x, float *was, double *sums)
{
    const Merge *m = p->m;
    const GgufTensor *t = p->t;
    uint64_t k = t->ne[0];
    const LoraMatrix *any = NULL;
    for (size_t i = 0; i < m->n && !any; i++) any = p->of[i];
    const unsigned char *from = (const unsigned char *)t->data + row * dtype_row_bytes(t->type, k);
    if (!dequant_row(t->type, from, x, k)) return false;
    if (!any) return true;
    int64_t mat = (int64_t)row / any->n;
    float factor = p->factor ? p->factor[mat] : 1;
    for (uint64_t i = 0; i < k; i++) was[i] = x[i] *= factor;
    adapter_row(p->of, m->scale, m->n, mat, (int64_t)row % any->n, x, NULL);
    sums[0] += squares(x, k);
    for (uint64_t i = 0; i < k; i++) was[i] = x[i] - was[i];
    sums[1] += squares(was, k);
    if (factor != 0 && factor != 1)
        for (uint64_t i = 0; i < k; i++) x[i] /= factor;
    return true;
}

static void write_run(void *arg, int member, int n_members)
{
    MergeRun *run = arg;
    const MergePut *p = run->put;
    uint64_t k = p->t->ne[0], bytes = dtype_row_bytes(p->type, k);
    float *x = p->m->floats + 2 * (uint64_t)member * k, *was = x + k;
    double *sums = p->m->sums + 3 * member;
    int64_t begin, end;
    while (queue_take_tapering(&run->queue, n_members, &begin, &end))
        for (int64_t i = begin; i < end; i++) {
            unsigned char *to = p->m->out + (uint64_t)i * bytes;
            if (!make_row(p, run->first + (uint64_t)i, x, was, sums) ||
                !quant_row(p->type, x, k, NULL, to)) {
                atomic_store(&run->bad, (int_least64_t)(run->first + (uint64_t)i));
                continue;
            }
            if (!p->adapted || !dequant_row(p->type, to, was, k)) continue;
            for (uint64_t j = 0; j < k; j++) was[j] -= x[j];
            sums[2] += squares(was, k);
        }
}

static bt_status change_rows(MergePut *p, uint64_t first, uint64_t n, bt_error *err)
{
    MergeRun run = {.put = p, .first = first};
    atomic_init(&run.bad, -1);
    queue_start(&run.queue, (int64_t)n, 64);
    team_run(p->m->team, write_run, &run);
    int64_t bad = atomic_load(&run.bad);
    if (bad < 0) return BT_OK;
    return bt_fail(
        err, BT_E_FORMAT,
        "tensor '%.*s', row %lld: a weight is NaN or infinite; the file is damaged, or an "
        "adapter's scale too large",
        (int)p->t->name.size, p->t->name.data, (long long)bad);
}

static bt_status write_tensor(void *user, int fd, bt_error *err)
{
    MergePut *p = user;
    Merge *m = p->m;
    const GgufTensor *t = p->t;
    uint64_t all = tensor_rows(t), most = quantize_run_rows(t),
             bytes = dtype_row_bytes(p->type, t->ne[0]);
    const unsigned char *data = t->data;
    bt_status status = BT_OK;
    for (uint64_t row = 0; row < all && !status; row += most) {
        uint64_t n = all - row < most ? all - row : most;
        bool same = !p->adapted && p->type == t->type;
        if (!same) status = change_rows(p, row, n, err);
        if (!status) status = os_write_all(fd, same ? data + row * bytes : m->out, n * bytes, err);
        if (!status) status = model_check_files(m->model, err);
        size_t i = (size_t)(t - gguf_tensor(m->source.index, 0));
        if (!m->folder) source_let_go(&m->source, i, row, n);
        m->done += n * t->ne[0];
        if (!status && m->options->progress &&
            !m->options->progress(m->options->progress_user, "merging", m->done, m->all))
            status = bt_fail(err, BT_E_CANCELLED, "cancelled while merging");
    }
    return status;
}

/* ---- what becomes of each tensor ---- */

/* Numbers of "NAME.scale" beside "NAME.weight", one a matrix. Beside a router such a vector belongs
 * to what the router reads. */
static bt_status read_factor(Merge *m, MergePut *p, bt_error *err)
{
    char name[GGUF_MAX_NAME_BYTES + 8];
    const GgufTensor *t = p->t;
    static const char end[] = ".weight";
    size_t n = t->name.size - (sizeof end - 1);
    if (t->name.size < sizeof end || memcmp(t->name.data + n, end, sizeof end - 1) != 0)
        return BT_OK;
    snprintf(name, sizeof name, "%.*s.scale", (int)n, t->name.data);
    const GgufTensor *s = gguf_find_tensor(m->source.index, name);
    if (!s || strstr(name, "ffn_gate_inp")) return BT_OK;
    if (s->type != DT_F32 || s->ne[0] * s->ne[1] != t->ne[2])
        return bt_fail(err, BT_E_FORMAT, "tensor '%s' has not one factor a matrix", name);
    p->factor = s->data;
    return BT_OK;
}

/* `name`: what adapters call it, which of a tied head is not what the file does. */
static bt_status plan_put(Merge *m, MergePut *p, const GgufTensor *t, const char *name,
                          uint32_t type, bt_error *err)
{
    *p = (MergePut){.m = m, .t = t, .type = type};
    for (size_t i = 0; i < m->n; i++) {
        p->of[i] = lora_find(m->lora[i], name);
        p->adapted = p->adapted || p->of[i];
    }
    m->all += t->ne[0] * tensor_rows(t);
    if (!p->adapted) return BT_OK;
    if (!quant_supported(type))
        return bt_fail(err, BT_E_UNSUPPORTED,
                       "'%s' is of type %s, which is read here and not written; name another with "
                       "--type",
                       name, dtype_name(type));
    return read_factor(m, p, err);
}

/* A tied head and an adapted embedding part; so do they where the head alone is adapted. */
static bool splits(const Merge *m)
{
    if (gguf_find_tensor(m->source.index, "output.weight")) return false;
    for (size_t i = 0; i < m->n; i++)
        if (lora_find(m->lora[i], LORA_EMBEDDING) || lora_find(m->lora[i], "output.weight"))
            return true;
    return false;
}

static bt_status choose(Merge *m, int *mix, bt_error *err)
{
    size_t n = gguf_n_tensors(m->source.index);
    m->choices = mem_zalloc(n + 1, sizeof *m->choices);
    m->puts = mem_zalloc(n + 2, sizeof *m->puts);
    *mix = -1;
    if (!m->choices || !m->puts) return bt_fail_memory(err, "a plan", n * sizeof *m->puts);
    return choose_again(m->source.index, m->options->type, mix, m->choices, err);
}

static bt_status reserve(Merge *m, bt_error *err)
{
    uint64_t row = 1, out = 1;
    size_t members = (size_t)team_size(m->team);
    for (size_t i = 0; i < gguf_n_tensors(m->source.index); i++) {
        const GgufTensor *t = m->puts[i].t;
        uint64_t bytes = quantize_run_rows(t) * dtype_row_bytes(m->puts[i].type, t->ne[0]);
        if (t->ne[0] > row) row = t->ne[0];
        if (bytes > out) out = bytes;
    }
    m->floats = row < SIZE_MAX / sizeof(float) / members / 2
                    ? mem_alloc(2 * row * members * sizeof(float))
                    : NULL;
    m->sums = mem_zalloc(3 * members, sizeof *m->sums);
    m->out = mem_alloc(out);
    return m->floats && m->sums && m->out
               ? BT_OK
               : bt_fail_memory(err, "merging", 2 * row * members * sizeof(float) + out);
}

/* ---- the file ---- */

static bt_status write_file(Merge *m, int mix, const char *to, bt_merge_result *r, bt_error *err)
{
    char name[GGUF_MAX_NAME_BYTES];
    const Gguf *g = m->source.index;
    size_t n = gguf_n_tensors(g);
    bt_status status = BT_OK;
    GgufWriter *w = gguf_writer_open();
    if (!w) return bt_fail_memory(err, to, sizeof(void *));
    quantize_put_keys(w, g, mix);
    for (size_t i = 0; i < n && !status; i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        snprintf(name, sizeof name, "%.*s", (int)t->name.size, t->name.data);
        status = plan_put(m, &m->puts[i], t, name, m->choices[i].type, err);
        gguf_put_tensor_made(w, name, m->puts[i].type, t->n_dims, t->ne, write_tensor, &m->puts[i]);
        r->n_matrices += m->puts[i].adapted;
    }
    const GgufTensor *table = gguf_find_tensor(g, LORA_EMBEDDING);
    if (!status && table && splits(m)) {
        MergePut *head = &m->puts[n];
        uint32_t type = m->choices[table - gguf_tensor(g, 0)].type;
        status = plan_put(m, head, table, "output.weight", type, err);
        gguf_put_tensor_made(w, "output.weight", type, table->n_dims, table->ne, write_tensor,
                             head);
        r->n_matrices += head->adapted;
    }
    if (!status) status = reserve(m, err);
    if (!status) status = gguf_writer_save(w, to, err);
    gguf_writer_close(&w);
    return status;
}

static void sum_up(const Merge *m, bt_merge_result *r)
{
    double sums[3] = {0};
    for (int i = 0; i < 3 * team_size(m->team); i++) sums[i % 3] += m->sums[i];
    if (sums[0] > 0) r->change = sqrt(sums[1] / sums[0]);
    if (sums[0] > 0) r->loss = sqrt(sums[2] / sums[0]);
}

static void merge_close(Merge *m)
{
    for (size_t i = 0; i < m->n; i++) lora_close(&m->lora[i]);
    if (m->team) team_close(m->team);
    bt_model_close(&m->model);
    mem_free(m->choices);
    mem_free(m->puts);
    mem_free(m->floats);
    mem_free(m->sums);
    mem_free(m->out);
}

static bt_status merge(Merge *m, const char *from, const bt_merge_adapter *adapters, size_t n,
                       const char *to, bt_merge_result *r, bt_error *err)
{
    int mix;
    const bt_model_options options = {.no_cache = true, .n_threads = 1};
    bt_status status = bt_model_open(from, &options, &m->model, err);
    if (status) return status;
    m->source.index = m->model->gguf;
    m->folder = convert_is_folder(from);
    status = quantize_check_target(&m->source, from, to, err);
    for (size_t i = 0; i < n && !status; i++) {
        m->scale[i] = adapters[i].scale;
        status = adapter_read(adapters[i].path, m->model, &m->lora[i], err);
        m->n += m->lora[i] != NULL;
        if (!status && !isfinite(m->scale[i]))
            status = bt_fail(err, BT_E_ARGUMENT, "%s: its scale is no number", adapters[i].path);
        if (!status)
            status = adapter_check(m->model, m->lora[i], adapters[i].path, m->options->any_base,
                                   true, err);
    }
    if (status) return status;
    m->team = team_open(m->options->n_threads > 0 ? m->options->n_threads : os_cores());
    if (!m->team) return bt_fail(err, BT_E_MEMORY, "the threads could not be started");
    status = choose(m, &mix, err);
    if (!status) status = write_file(m, mix, to, r, err);
    if (!status) sum_up(m, r);
    return status;
}

bt_status bt_merge(const char *model, const bt_merge_adapter *adapters, size_t n, const char *to,
                   const bt_merge_options *options, bt_merge_result *result, bt_error *err)
{
    static const bt_merge_options none;
    bt_error inner = {0};
    bt_merge_result unasked;
    Merge m = {.options = options ? options : &none};
    bt_error_clear(err);
    if (!result) result = &unasked;
    *result = (bt_merge_result){0};
    if (!model || !*model || !to || !*to)
        return bt_fail(err, BT_E_ARGUMENT, "a model and a file to write must be named");
    if (!n) return bt_fail(err, BT_E_ARGUMENT, "no adapter is named");
    if (n > MOST_MERGED)
        return bt_fail(err, BT_E_LIMIT, "%zu adapters at once; at most %d", n, MOST_MERGED);
    bt_status status = merge(&m, model, adapters, n, to, result, &inner);
    merge_close(&m);
    return status ? bt_fail(err, status, "%s", inner.text) : BT_OK;
}
