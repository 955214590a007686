/* A local teacher (see teacher.h). */
#include "train/teacher.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "engine/model.h"
#include "train/pack_reader.h"

enum { SLOTS = 16 }; /* documents of one step */
#define UNLIKELY (-1e30f)

struct Teacher {
    bt_model *model;
    PackReader *reader; /* one of these two */
    bt_session *session;
    TeacherOptions options;
    int32_t n_vocab;     /* of the student's logits */
    int32_t own_vocab;   /* of its own */
    int32_t most;        /* rows of a chunk */
    uint64_t batch_hash; /* of the batch at work */
    int32_t done;        /* rows of it that were read; of a reader, looked through */
    int64_t counted;     /* of these, rows that count */
    int32_t last;        /* the last row that was asked for */
    bt_row *rows;
    float *logits; /* (most, n_vocab), where they are copied */
    float *room;   /* (members, n_vocab) */
    int32_t n_room;
};

/* ---- vocabularies ---- */

bt_status teacher_check(const bt_model *teacher, const bt_model *student, bt_error *err)
{
    const Tokenizer *a = model_tokenizer(teacher), *b = model_tokenizer(student);
    int32_t n = tok_size(a) < tok_size(b) ? tok_size(a) : tok_size(b);
    char x[256], y[256];
    for (int32_t i = 0; i < n; i++) {
        int64_t p = tok_text(a, i, true, false, x, sizeof x);
        int64_t q = tok_text(b, i, true, false, y, sizeof y);
        size_t size = (size_t)(p < (int64_t)sizeof x ? p : (int64_t)sizeof x);
        if (p == q && memcmp(x, y, size) == 0) continue;
        return bt_fail(err, BT_E_ARGUMENT,
                       "the teacher has another vocabulary: its token %d is '%.*s', the student's "
                       "'%.*s'; take a student with the teacher's vocabulary (bantam train -c "
                       "config.json --tokenizer TEACHER), or compare by text with --match text",
                       (int)i, (int)(p < 40 ? p : 40), x, (int)(q < 40 ? q : 40), y);
    }
    if (tok_size(a) == tok_size(b)) return BT_OK;
    return bt_fail(err, BT_E_ARGUMENT,
                   "the teacher's vocabulary has %d tokens, the student's %d; they must be the "
                   "same, or compared by text with --match text",
                   (int)tok_size(a), (int)tok_size(b));
}

/* ---- opening ---- */

static bt_status open_session(Teacher *t, bt_error *err)
{
    const bt_session_options session = {.n_ctx = t->options.context,
                                        .n_sequences = SLOTS,
                                        .n_batch =
                                            t->options.context < 512 ? t->options.context : 512,
                                        .n_logits = t->most < 512 ? t->most : 512,
                                        .kv = BT_KV_F32};
    bt_status status = bt_session_open(t->model, &session, &t->session, err);
    if (status) return status;
    t->rows = mem_zalloc((size_t)bt_session_batch(t->session), sizeof *t->rows);
    return t->rows ? BT_OK : bt_fail_memory(err, "a teacher", sizeof *t->rows);
}

static bt_status open_reader(Teacher *t, bt_error *err)
{
    const PackReaderOptions reader = {.context = t->options.context,
                                      .most = t->most,
                                      .team = t->options.team,
                                      .precision = t->options.bf16 ? GEMM_BF16 : GEMM_F32};
    bt_status status = t->options.by_session ? BT_E_UNSUPPORTED
                                             : pack_reader_open(t->model, &reader, &t->reader, err);
    if (status != BT_E_UNSUPPORTED) return status;
    bt_error_clear(err);
    return open_session(t, err);
}

bt_status teacher_open(bt_model *model, int32_t n_vocab, const TeacherOptions *options,
                       Teacher **out, bt_error *err)
{
    Teacher *t = *out = mem_zalloc(1, sizeof *t);
    if (!t) return bt_fail_memory(err, "a teacher", sizeof *t);
    size_t bytes = options->logits_bytes ? options->logits_bytes : (size_t)32 << 20;
    size_t most = bytes / sizeof(float) / (size_t)n_vocab;
    t->model = model;
    t->options = *options;
    t->n_vocab = n_vocab;
    t->own_vocab = bt_model_describe(model).n_vocab;
    t->last = -1;
    most = most < 1 ? 1 : most > (size_t)options->context ? (size_t)options->context : most;
    t->most = (int32_t)most;
    bt_status status = open_reader(t, err);
    if (!status) {
        t->n_room = team_size(options->team ? options->team : model->team);
        t->room = mem_alloc((size_t)t->n_room * (size_t)n_vocab * sizeof(float));
        if (t->session || t->own_vocab < n_vocab)
            t->logits = mem_alloc(most * (size_t)n_vocab * sizeof(float));
        if (!t->room || (!t->logits && (t->session || t->own_vocab < n_vocab)))
            status = bt_fail_memory(err, "a teacher", most * (size_t)n_vocab * sizeof(float));
    }
    if (status) teacher_close(out);
    return status;
}

void teacher_close(Teacher **teacher)
{
    Teacher *t = *teacher;
    if (!t) return;
    pack_reader_close(&t->reader);
    bt_session_close(&t->session);
    mem_free(t->rows);
    mem_free(t->logits);
    mem_free(t->room);
    mem_free(t);
    *teacher = NULL;
}

void teacher_set_soft(Teacher *t, float soft)
{
    t->options.loss.soft = soft;
}

int32_t teacher_chunk(const Teacher *t)
{
    return t->most;
}

int32_t teacher_vocab(const Teacher *t)
{
    return t->n_vocab;
}

/* ---- reading a batch ---- */

static uint64_t hash_of(const Batch *b)
{
    return hash_bytes(b->target, (size_t)b->n_rows * sizeof *b->target, (uint64_t)b->rows->token);
}

/* Rows of the next step: at most SLOTS documents, and n_logits wanted rows. *wanted: of row[] from
 * `next` on, how many of them. */
static int32_t gather(Teacher *t, const Batch *b, const int32_t *row, int64_t n, int64_t next,
                      int32_t *wanted, bt_status *status, bt_error *err)
{
    int32_t count = 0, most = bt_session_batch(t->session), docs = 0;
    int32_t logits = t->most < 512 ? t->most : 512;
    *wanted = 0;
    for (int32_t i = t->done; i <= row[n - 1] && count < most; i++) {
        const StepRow *r = &b->rows[i];
        bool first = i == 0 || r->sequence != b->rows[i - 1].sequence;
        bool want = next + *wanted < n && row[next + *wanted] == i;
        if (first && docs == SLOTS - 1 && count) break;
        if (want && *wanted == logits) break;
        if (first) {
            *status = bt_session_truncate(t->session, r->sequence % SLOTS, 0, err);
            if (*status) return 0;
            docs++;
        }
        t->rows[count++] =
            (bt_row){.token = r->token, .sequence = r->sequence % SLOTS, .want_logits = want};
        *wanted += want;
    }
    return count;
}

static void copy_row(const Teacher *t, const float *from, float *to)
{
    int32_t n = t->own_vocab < t->n_vocab ? t->own_vocab : t->n_vocab;
    memcpy(to, from, (size_t)n * sizeof *to);
    for (int32_t i = n; i < t->n_vocab; i++) to[i] = UNLIKELY;
}

static bt_status step_logits(Teacher *t, const Batch *batch, const int32_t *row, int64_t n,
                             bt_error *err)
{
    bt_status status = BT_OK;
    for (int64_t next = 0; next < n && !status;) {
        int32_t wanted, count = gather(t, batch, row, n, next, &wanted, &status, err);
        if (!status) status = bt_session_step(t->session, t->rows, (size_t)count, err);
        if (status) break;
        t->done += count;
        for (int32_t i = 0; i < wanted; i++, next++) {
            const float *logits = bt_session_logits(t->session, i);
            if (!logits) return bt_fail(err, BT_E_INTERNAL, "the teacher gave no logits");
            copy_row(t, logits, t->logits + (size_t)next * (size_t)t->n_vocab);
        }
    }
    return status;
}

/* Rows that follow each other among those that count, as a batch's chunks do, in one go. */
static bt_status read_logits(Teacher *t, const Batch *b, const int32_t *row, int64_t n,
                             TeacherLogits *out, bt_error *err)
{
    bt_status status = BT_OK;
    Tensor logits;
    int64_t first = 0;
    if (t->done == 0) status = pack_reader_batch(t->reader, b, err);
    for (int64_t i = 0; i < n; i++, t->done++, t->counted++) {
        for (; t->done < row[i]; t->done++)
            t->counted += b->weight[t->done] != 0 && b->target[t->done] >= 0;
        if (i == 0) first = t->counted;
        if (t->counted != first + i)
            return bt_fail(err, BT_E_INTERNAL, "rows of a chunk that are not neighbours");
    }
    if (!status) status = pack_reader_logits(t->reader, first, n, &logits, err);
    if (status) return status;
    if (!t->logits) {
        *out = (TeacherLogits){logits.data, tensor_stride(logits)};
        return BT_OK;
    }
    for (int64_t i = 0; i < n; i++)
        copy_row(t, tensor_at(logits, i), t->logits + (size_t)i * (size_t)t->n_vocab);
    return BT_OK;
}

bt_status teacher_logits(Teacher *t, const Batch *batch, const int32_t *row, int64_t n,
                         TeacherLogits *out, bt_error *err)
{
    uint64_t hash = hash_of(batch);
    if (n > t->most)
        return bt_fail(err, BT_E_INTERNAL, "a chunk of %lld rows, and the teacher has room for %d",
                       (long long)n, t->most);
    if (hash != t->batch_hash || row[0] <= t->last) {
        t->done = 0;
        t->counted = 0;
    }
    t->batch_hash = hash;
    *out = (TeacherLogits){t->logits, (size_t)t->n_vocab};
    bt_status status =
        t->reader ? read_logits(t, batch, row, n, out, err) : step_logits(t, batch, row, n, err);
    t->last = status ? INT32_MAX : row[n - 1];
    return status;
}

/* ---- the loss ---- */

typedef struct SoftJob {
    Teacher *teacher;
    const LossRows *rows;
    TeacherLogits logits;
    int64_t first; /* of the rows, that logits begin with */
    TeamQueue queue;
} SoftJob;

static void soft_member(void *arg, int member, int n_members)
{
    SoftJob *job = arg;
    const LossRows *r = job->rows;
    Teacher *t = job->teacher;
    size_t n = (size_t)r->n_vocab;
    float *room = t->room + (size_t)member * n;
    int64_t begin, end;
    (void)n_members;
    while (queue_take(&job->queue, &begin, &end))
        for (int64_t i = begin; i < end; i++) {
            size_t at = (size_t)(job->first + i);
            int32_t row = r->row[at];
            r->each[at] = (float)soft_loss_row(&t->options.loss, r->kernels, r->logits + at * n,
                                               job->logits.data + (size_t)i * job->logits.stride,
                                               r->batch->target[row], r->batch->weight[row], n,
                                               room, r->d + at * n);
        }
}

bt_status teacher_loss(void *user, const LossRows *rows, double *loss, bt_error *err)
{
    Teacher *t = user;
    if (!rows->d) return loss_next_token(NULL, rows, loss, err);
    if (team_size(rows->team) > t->n_room)
        return bt_fail(err, BT_E_INTERNAL, "the student has more threads than its teacher");
    for (int64_t first = 0; first < rows->n; first += t->most) {
        SoftJob job = {.teacher = t, .rows = rows, .first = first};
        int64_t n = rows->n - first < t->most ? rows->n - first : t->most;
        bt_status status = teacher_logits(t, rows->batch, rows->row + first, n, &job.logits, err);
        if (status) return status;
        queue_start(&job.queue, n, 2);
        team_run(rows->team, soft_member, &job);
    }
    for (int64_t i = 0; i < rows->n; i++) *loss += (double)rows->each[i];
    return BT_OK;
}
