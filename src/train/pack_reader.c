/* Reading batches (see pack_reader.h): a forward with a tape that records nothing and stops before
 * the head, which then runs on the rows that are asked for. */
#include "train/pack_reader.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/os.h"
#include "ops/tape.h"

struct PackReader {
    bt_model *model;
    PackReaderOptions o;
    Backend *backend;
    Arena arena;
    StepRow *rows; /* (context) */
    Step step;     /* of the last batch */
    Tape tape;
    TapeHeadFn head;
    const void *of; /* what the head is called with */
    Tensor x;       /* the rows that count */
    size_t mark;    /* of the arena, above x */
};

static Tensor some_rows(Tensor x, int64_t first, int64_t n)
{
    if (x.data) x.data = tensor_at(x, first);
    x.rows = n;
    x.twin = NULL;
    return x;
}

static void hold(void *context, Step *s, TapeHeadFn head, const void *model, Tensor x)
{
    PackReader *r = context;
    r->head = head;
    r->of = model;
    r->x = x;
    r->mark = arena_mark(s->arena);
    if (!s->backend->ops->computes)
        head(s, model, some_rows(x, 0, x.rows < r->o.most ? x.rows : r->o.most));
}

static bt_status run(PackReader *r, Backend *backend, Arena *arena, int32_t n_rows,
                     int32_t n_wanted, bt_error *err)
{
    r->head = NULL;
    r->tape =
        (Tape){.precision = r->o.precision, .forward_only = true, .hold = hold, .loss_context = r};
    r->step = (Step){.backend = backend,
                     .arena = arena,
                     .layers = r->model->layers,
                     .rows = r->rows,
                     .n_rows = n_rows,
                     .n_wanted = n_wanted,
                     .n_ctx = r->o.context,
                     .tape = &r->tape,
                     .err = err};
    arena_reset(arena, 0);
    tape_run(&r->step, r->model->arch->forward, r->model->weights);
    if (!r->step.status && !r->head)
        return bt_fail(err, BT_E_UNSUPPORTED, "%s: the head of this architecture stands alone",
                       r->model->architecture);
    return r->step.status;
}

static bt_status reserve(PackReader *r, bt_error *err)
{
    Arena arena;
    int32_t n = r->o.context;
    CpuSizes sizes = model_cpu_sizes(r->model, n);
    arena_open(&arena, 0);
    bt_status status = run(r, backend_plan(), &arena, n, n, err);
    if (!status && n > 1) status = run(r, backend_plan(), &arena, n, n - 1, err);
    if (!status && !arena_open(&r->arena, arena.peak))
        status = bt_fail_memory(err, "a teacher", arena.peak);
    if (!status) status = model_prepare(r->model, err);
    Team *team = r->o.team ? r->o.team : r->model->team;
    return status ? status : cpu_open(&sizes, team, r->model->features, &r->backend, err);
}

bt_status pack_reader_open(bt_model *model, const PackReaderOptions *options, PackReader **out,
                           bt_error *err)
{
    PackReader *r = *out = mem_zalloc(1, sizeof *r);
    if (!r) return bt_fail_memory(err, "a teacher", sizeof *r);
    r->model = model;
    r->o = *options;
    r->rows = mem_zalloc((size_t)options->context, sizeof *r->rows);
    bt_status status = r->rows ? reserve(r, err) : bt_fail_memory(err, "a teacher", sizeof *r);
    if (!status) {
        uint64_t have = os_memory_available();
        uint64_t need = cpu_gemm_ahead_bytes(r->backend, model->matrices, model->n_matrices,
                                             options->precision);
        if (!have || need <= have / 2) /* else it is slower */
            status = cpu_gemm_ahead(r->backend, model->matrices, model->n_matrices,
                                    options->precision, err);
    }
    if (status) pack_reader_close(out);
    return status;
}

void pack_reader_close(PackReader **reader)
{
    PackReader *r = *reader;
    if (!r) return;
    if (r->backend) r->backend->ops->close(r->backend);
    arena_close(&r->arena);
    mem_free(r->rows);
    mem_free(r);
    *reader = NULL;
}

bt_status pack_reader_batch(PackReader *r, const Batch *b, bt_error *err)
{
    int32_t n = 0;
    if (b->n_rows < 1 || b->n_rows > r->o.context)
        return bt_fail(err, BT_E_INTERNAL, "a batch of %d tokens; the teacher has room for %d",
                       b->n_rows, r->o.context);
    for (int32_t i = 0; i < b->n_rows; i++) {
        r->rows[i] = b->rows[i];
        r->rows[i].adapters = NULL;
        r->rows[i].want = b->weight[i] != 0 && b->target[i] >= 0;
        n += r->rows[i].want;
    }
    if (!n) return BT_OK;
    bt_status status = run(r, r->backend, &r->arena, b->n_rows, n, err);
    if (!status) status = model_check_files(r->model, err);
    if (status) r->head = NULL;
    return status;
}

bt_status pack_reader_logits(PackReader *r, int64_t first, int64_t n, Tensor *out, bt_error *err)
{
    if (!r->head || n > r->o.most || first < 0 || first + n > r->x.rows)
        return bt_fail(err, BT_E_INTERNAL, "the teacher was not asked for these rows");
    arena_reset(&r->arena, r->mark);
    r->step.err = err;
    *out = r->head(&r->step, r->of, some_rows(r->x, first, n));
    return r->step.status;
}
