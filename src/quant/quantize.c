/* A model written anew with other types of weights (bt_quantize in bantam.h). Tensors go through
 * one after another, in runs of rows: read, made float32 and written as blocks on all threads, put
 * into the new file. Nothing of a model is held but the run. */
#include "quant/quantize.h"

#include <stdatomic.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/team.h"
#include "engine/model.h"
#include "io/gguf_write.h"
#include "kernels/kernels.h"
#include "quant/fit_size.h"
#include "quant/quant.h"
#include "tensor/dtype.h"

#define RUN_FLOATS (UINT64_C(1) << 20) /* worked on between two looks at the caller's progress */

bool bt_quantize_type(size_t i, const char **name, const char **text)
{
    if (i >= MIX_COUNT) return false;
    *name = mixes[i].name;
    *text = mixes[i].text;
    return true;
}

/* ---- rows on all threads ---- */

typedef struct Run {
    const GgufTensor *t;
    const Choice *choice;
    float *floats; /* a row for each member */
    const unsigned char *from;
    unsigned char *to;
    uint64_t first; /* row of the tensor */
    TeamQueue queue;
    atomic_int_least64_t bad; /* a row that could not be written, or -1 */
} Run;

static void write_run(void *arg, int member, int n_members)
{
    Run *run = arg;
    const GgufTensor *t = run->t;
    uint64_t k = t->ne[0], each = 0;
    size_t from_bytes = dtype_row_bytes(t->type, k),
           to_bytes = dtype_row_bytes(run->choice->type, k);
    float *x = run->floats + (size_t)member * k;
    const float *weights = run->choice->importance ? imatrix_weights(run->choice->importance, k,
                                                                     t->ne[2] * t->ne[3], &each)
                                                   : NULL;
    int64_t begin, end;
    while (queue_take_tapering(&run->queue, n_members, &begin, &end)) {
        for (int64_t i = begin; i < end; i++) {
            uint64_t row = run->first + (uint64_t)i;
            const float *w = weights ? weights + row / t->ne[1] * each : NULL;
            if (!dequant_row(t->type, run->from + (size_t)i * from_bytes, x, k) ||
                !quant_row(run->choice->type, x, k, w, run->to + (size_t)i * to_bytes))
                atomic_store(&run->bad, (int_least64_t)row);
        }
    }
}

bt_status quantize_rows(Team *team, const GgufTensor *t, const Choice *choice, uint64_t first,
                        uint64_t n, const void *from, float *floats, void *to, bt_error *err)
{
    Run run = {.t = t, .choice = choice, .floats = floats, .from = from, .to = to, .first = first};
    atomic_init(&run.bad, -1);
    queue_start(&run.queue, (int64_t)n, 64);
    team_run(team, write_run, &run);
    int64_t bad = atomic_load(&run.bad);
    if (bad < 0) return BT_OK;
    return bt_fail(err, BT_E_FORMAT,
                   "tensor '%.*s', row %lld: a weight is NaN or infinite; the file is damaged, "
                   "fetch it again",
                   (int)t->name.size, t->name.data, (long long)bad);
}

uint64_t quantize_run_rows(const GgufTensor *t)
{
    uint64_t rows = RUN_FLOATS / t->ne[0], all = tensor_rows(t);
    return rows < 1 ? 1 : rows > all ? all : rows;
}

void quantize_put_keys(GgufWriter *w, const Gguf *g, int mix)
{
    for (size_t i = 0; i < gguf_n_keys(g); i++)
        if (mix < 0 || !span_is(gguf_key_name(g, i), "general.file_type")) gguf_put_copy(w, g, i);
    if (mix >= 0) gguf_put_u32(w, "general.file_type", mixes[mix].number);
}

/* ---- tensors into the file ---- */

typedef struct Quantize {
    const bt_quantize_options *options;
    Source source;
    Imatrix *imatrix;
    Choice *choices; /* one a tensor */
    Team *team;
    float *floats;       /* a row for each member */
    unsigned char *room; /* rows of a folder, as they are made */
    unsigned char *out;
    uint64_t done, all;
    struct Put *puts;
    FitSize fit;
    bt_error fault; /* found while writing, in what is read */
} Quantize;

typedef struct Put {
    Quantize *q;
    size_t i;
} Put;

static bt_status progress(Quantize *q, uint64_t bytes, bt_error *err)
{
    const bt_quantize_options *o = q->options;
    q->done += bytes;
    if (o->progress && !o->progress(o->progress_user, "quantising", q->done, q->all))
        return bt_fail(err, BT_E_CANCELLED, "cancelled while quantising");
    return BT_OK;
}

static bt_status write_tensor(void *user, int fd, bt_error *err)
{
    const Put *put = user;
    Quantize *q = put->q;
    const GgufTensor *t = gguf_tensor(q->source.index, put->i);
    const Choice *c = &q->choices[put->i];
    uint64_t all = tensor_rows(t), most = quantize_run_rows(t);
    uint64_t from_bytes = dtype_row_bytes(t->type, t->ne[0]);
    uint64_t to_bytes = dtype_row_bytes(c->type, t->ne[0]);
    bt_status status = BT_OK;
    for (uint64_t row = 0; row < all && !status; row += most) {
        uint64_t n = all - row < most ? all - row : most;
        const void *from = source_rows(&q->source, put->i, row, n, q->room, err), *out = from;
        if (!from) return err && err->status ? err->status : BT_E_MEMORY;
        if (c->type != t->type) {
            out = q->out;
            status = quantize_rows(q->team, t, c, row, n, from, q->floats, q->out, &q->fault);
            if (status) bt_fail(err, status, "%s", q->fault.text);
        }
        if (!status) status = source_check(&q->source, err);
        if (!status) status = os_write_all(fd, out, n * to_bytes, err);
        source_let_go(&q->source, put->i, row, n);
        if (!status) status = progress(q, n * from_bytes, err);
    }
    return status;
}

static void put_keys(GgufWriter *w, const Quantize *q, int mix)
{
    static const char *const ours[] = {"general.file_type",
                                       "general.quantization_version",
                                       "quantize.imatrix.file",
                                       "quantize.imatrix.dataset",
                                       "quantize.imatrix.entries_count",
                                       "quantize.imatrix.chunks_count"};
    const Gguf *g = q->source.index;
    for (size_t i = 0; i < gguf_n_keys(g); i++) {
        bool own = false;
        for (size_t j = 0; j < sizeof ours / sizeof *ours; j++)
            own = own || span_is(gguf_key_name(g, i), ours[j]);
        if (!own) gguf_put_copy(w, g, i);
    }
    gguf_put_u32(w, "general.quantization_version", 2);
    gguf_put_u32(w, "general.file_type", mixes[mix].number);
    if (!q->imatrix) return;
    const char *file = q->options->imatrix, *slash = file ? strrchr(file, '/') : NULL;
    if (file) gguf_put_string(w, "quantize.imatrix.file", slash ? slash + 1 : file);
    if (q->imatrix->dataset) gguf_put_string(w, "quantize.imatrix.dataset", q->imatrix->dataset);
    gguf_put_u32(w, "quantize.imatrix.entries_count", (uint32_t)q->imatrix->n);
    if (q->imatrix->chunks) gguf_put_u32(w, "quantize.imatrix.chunks_count", q->imatrix->chunks);
}

/* Sizes of the largest run, and memory for it. */
static bt_status reserve(Quantize *q, bt_error *err)
{
    const Gguf *g = q->source.index;
    uint64_t row = 1, room = 1, out = 1;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        uint64_t n = quantize_run_rows(t);
        uint64_t from = n * dtype_row_bytes(t->type, t->ne[0]);
        uint64_t to = n * dtype_row_bytes(q->choices[i].type, t->ne[0]);
        q->all += t->bytes;
        if (q->source.plan && from > room) room = from;
        if (q->choices[i].type == t->type) continue;
        if (t->ne[0] > row) row = t->ne[0];
        if (to > out) out = to;
    }
    size_t members = (size_t)team_size(q->team);
    q->floats =
        row < SIZE_MAX / sizeof(float) / members ? mem_alloc(row * members * sizeof(float)) : NULL;
    q->room = mem_alloc(room);
    q->out = mem_alloc(out);
    return q->floats && q->room && q->out
               ? BT_OK
               : bt_fail_memory(err, "quantising", row * members * sizeof(float) + room + out);
}

/* A writer of all keys and tensors; NULL: no memory. */
static GgufWriter *put_all(Quantize *q, int mix)
{
    char name[GGUF_MAX_NAME_BYTES];
    const Gguf *g = q->source.index;
    GgufWriter *w = gguf_writer_open();
    if (!w) return NULL;
    put_keys(w, q, mix);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        q->puts[i] = (Put){q, i};
        memcpy(name, t->name.data, t->name.size);
        name[t->name.size] = '\0';
        gguf_put_tensor_made(w, name, q->choices[i].type, t->n_dims, t->ne, write_tensor,
                             &q->puts[i]);
    }
    return w;
}

static bt_status write_file(Quantize *q, int mix, const char *to, bt_error *err)
{
    GgufWriter *w = put_all(q, mix);
    if (!w) return bt_fail_memory(err, to, sizeof(void *));
    bt_status status = gguf_writer_save(w, to, err);
    gguf_writer_close(&w);
    return status;
}

/* ---- before and after ---- */

bt_status quantize_check_target(const Source *source, const char *from, const char *to,
                                bt_error *err)
{
    struct stat at;
    OsMap map = {0};
    if (source_is(source, to))
        return bt_fail(err, BT_E_ARGUMENT, "%s: is what is read (%s); name another file to write",
                       to, from);
    if (stat(to, &at) != 0 || !S_ISREG(at.st_mode) || at.st_size == 0) return BT_OK;
    if (os_map_open(to, &map, err)) return err ? err->status : BT_E_IO;
    bool gguf = map.size >= 4 && memcmp(map.data, "GGUF", 4) == 0;
    os_map_close(&map);
    if (gguf) return BT_OK;
    return bt_fail(err, BT_E_ARGUMENT,
                   "%s: is there and no GGUF file; remove it, or name another file to write", to);
}

static void count_tensor(const GgufTensor *t, const Choice *c, bt_quantize_result *r)
{
    uint64_t weights = t->ne[0] * tensor_rows(t), bytes = weights /
                                                          (uint64_t)dtype_info(c->type)->block *
                                                          (uint64_t)dtype_info(c->type)->bytes;
    int32_t i = 0;
    r->bytes_before += t->bytes;
    r->bytes_after += bytes;
    r->n_weights += weights;
    r->n_odd += c->odd;
    while (i < r->n_used && r->used[i].type != dtype_name(c->type)) i++;
    if (i == BT_QUANTIZE_MOST_TYPES) return;
    if (i == r->n_used) r->used[r->n_used++].type = dtype_name(c->type);
    r->used[i].n_tensors++;
    r->used[i].n_weights += weights;
    r->used[i].bytes += bytes;
}

static void sum_up(const Quantize *q, bt_quantize_result *r)
{
    const Gguf *g = q->source.index;
    bool tied = !gguf_find_tensor(g, "output.weight");
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        count_tensor(t, &q->choices[i], r);
        r->n_unimportant += q->imatrix && !q->choices[i].importance && tensor_mutable(t) &&
                            q->choices[i].type != t->type &&
                            tensor_kind(t->name, tied) != KIND_EMBEDDING;
    }
    for (int32_t i = 1; i < r->n_used; i++) /* most bytes first */
        for (int32_t j = i; j > 0 && r->used[j].bytes > r->used[j - 1].bytes; j--) {
            __typeof__(r->used[0]) swap = r->used[j];
            r->used[j] = r->used[j - 1];
            r->used[j - 1] = swap;
        }
}

static void quantize_close(Quantize *q)
{
    if (q->team) team_close(q->team);
    source_close(&q->source);
    imatrix_close(&q->imatrix);
    mem_free(q->choices);
    mem_free(q->floats);
    mem_free(q->room);
    mem_free(q->out);
    mem_free(q->puts);
    fit_size_close(&q->fit);
}

static bt_status choose(Quantize *q, int mix, bt_error *err)
{
    const bt_quantize_options *o = q->options;
    ChooseOptions choose = {.mix = mix,
                            .tensor_types = o->tensor_types,
                            .n_tensor_types = o->n_tensor_types,
                            .pure = o->pure,
                            .keep_output = o->keep_output,
                            .requantize = o->requantize,
                            .imatrix = q->imatrix,
                            .imatrix_path = o->imatrix};
    return choose_types(q->source.index, &choose, q->choices, err);
}

static bt_status plan_memory(Quantize *q, bt_error *err)
{
    size_t n = gguf_n_tensors(q->source.index);
    q->choices = mem_zalloc(n + 1, sizeof *q->choices);
    q->puts = mem_zalloc(n + 1, sizeof *q->puts);
    return q->choices && q->puts ? BT_OK : bt_fail_memory(err, "a plan", n * sizeof *q->choices);
}

/* The search in place of a mix. */
static bt_status fit(Quantize *q, const char *from, bt_quantize_result *result, bt_error *err)
{
    const Gguf *g = q->source.index;
    uint64_t header = 0;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) q->choices[i].type = gguf_tensor(g, i)->type;
    GgufWriter *w = put_all(q, MIX_F16);
    if (!w) return bt_fail_memory(err, "a plan", sizeof(void *));
    bt_status status = gguf_writer_header(w, &header, err);
    gguf_writer_close(&w);
    q->fit.options = q->options;
    if (status) return status;
    header += 512; /* keys of an importance matrix that is not there yet */
    return fit_size(&q->fit, from, &q->source, header, q->team, &q->imatrix, q->choices, result,
                    err);
}

static bt_status run_all(Quantize *q, int mix, const char *from, const char *to,
                         bt_quantize_result *result, bt_error *err)
{
    const bt_quantize_options *o = q->options;
    bt_status status = source_open(from, &q->source, err);
    if (!status) status = model_check_kind(q->source.index, err);
    if (!status) status = quantize_check_target(&q->source, from, to, err);
    if (!status && o->imatrix) status = imatrix_open(o->imatrix, &q->imatrix, err);
    if (!status) status = plan_memory(q, err);
    if (status) return status;
    q->team = team_open(o->n_threads > 0 ? o->n_threads : os_cores());
    if (!q->team) return bt_fail(err, BT_E_MEMORY, "the threads could not be started");
    status = mix < 0 ? fit(q, from, result, err) : choose(q, mix, err);
    if (!status) status = reserve(q, err);
    if (!status) status = write_file(q, mix < 0 ? q->fit.mix : mix, to, err);
    if (!status && mix < 0) status = fit_size_check(&q->fit, to, result, err);
    if (!status) sum_up(q, result);
    return status;
}

static bt_status check_type(const bt_quantize_options *o, int *mix, bt_error *err)
{
    *mix = -1;
    if (!o->type && !o->fit) return bt_fail(err, BT_E_ARGUMENT, "a type must be named, as Q4_K_M");
    if (o->type && o->fit)
        return bt_fail(err, BT_E_ARGUMENT, "a type and a size to fit exclude each other");
    if (o->fit && o->pure)
        return bt_fail(err, BT_E_ARGUMENT, "one type for all and a size to fit exclude each other");
    if (o->type) *mix = mix_find(o->type);
    if (!o->type || *mix >= 0) return BT_OK;
    return bt_fail(err, BT_E_ARGUMENT,
                   "'%s' is no type that is written; 'bantam quantize --types' lists them",
                   o->type);
}

bt_status bt_quantize(const char *from, const char *to, const bt_quantize_options *options,
                      bt_quantize_result *result, bt_error *err)
{
    static const bt_quantize_options none;
    bt_error inner = {0};
    bt_quantize_result unasked;
    Quantize q = {.options = options ? options : &none};
    int mix = -1;
    bt_error_clear(err);
    if (!result) result = &unasked;
    *result = (bt_quantize_result){0};
    if (!from || !*from || !to || !*to)
        return bt_fail(err, BT_E_ARGUMENT, "a model and a file to write must be named");
    bt_status status = check_type(q.options, &mix, err);
    if (status) return status;
    status = run_all(&q, mix, from, to, result, &inner);
    quantize_close(&q);
    if (q.fault.status) return bt_fail(err, status, "%s: %s", from, q.fault.text);
    return status ? bt_fail(err, status, "%s", inner.text) : BT_OK;
}
