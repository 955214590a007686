/* Another vocabulary's teacher (see text_teacher.h). What it says of a row is kept in part: its
 * likeliest tokens that the student has too, and the sizes of the largest others. */
#include "train/text_teacher.h"

#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/model.h"
#include "train/token_texts.h"

enum { KEPT = 64, SORTED = 16, STEP = 64, PIECE = TOKEN_TEXT };

/* What is known of a row. */
typedef struct Said {
    int32_t n; /* -1: not compared */
    int32_t id[KEPT];
    float p[KEPT], rest, sorted[SORTED];
} Said;

struct TextTeacher {
    bt_model *model;
    const Tokenizer *own, *student;
    bt_session *session;
    SoftLoss loss;
    bool judges; /* the batch is the student's own: no example to follow */
    int32_t context, own_vocab, n_vocab;
    int32_t *to_student;    /* (own_vocab) token of the same text, or -1 */
    unsigned char *matched; /* (n_vocab) */
    uint64_t batch_hash;
    int32_t last;
    Said *said; /* (context) of the batch's rows */
    /* Of the document at hand: */
    Buf text;
    TokPart *parts;        /* (context + 1) */
    size_t *start;         /* (context + 2) of the student's tokens in the text */
    int32_t *row_of_token; /* what of the batch a token of the teacher's predicts, or -1 */
    size_t token_capacity;
    bt_row *rows;
    float *p, *room;
    int32_t n_room;
    uint64_t counted, compared;
};

/* ---- tokens of the same text ---- */

static bt_status match(TextTeacher *t, bt_error *err)
{
    int32_t n = tok_size(t->student), both = 0;
    char text[PIECE];
    TokenTexts *texts;
    bt_status status = token_texts_open(t->student, &texts, err);
    for (int32_t i = 0; i < t->own_vocab && !status; i++) {
        int64_t size = i < tok_size(t->own) ? tok_text(t->own, i, true, false, text, PIECE) : 0;
        int32_t id =
            size > 0 && size <= PIECE ? token_texts_find(texts, (Span){text, (size_t)size}) : -1;
        t->to_student[i] = id >= 0 && !t->matched[id] ? id : -1;
        if (t->to_student[i] < 0) continue;
        t->matched[id] = 1;
        both++;
    }
    token_texts_close(&texts);
    if (status || both * 10 >= n) return status;
    return bt_fail(err, BT_E_ARGUMENT,
                   "the teacher has only %d of the student's %d tokens: too few to learn from",
                   both, n);
}

/* ---- opening ---- */

bt_status text_teacher_open(bt_model *teacher, const bt_model *student, int32_t context,
                            const SoftLoss *loss, TextTeacher **out, bt_error *err)
{
    TextTeacher *t = *out = mem_zalloc(1, sizeof *t);
    if (!t) return bt_fail_memory(err, "a teacher", sizeof *t);
    size_t n = (size_t)context;
    t->model = teacher;
    t->own = model_tokenizer(teacher);
    t->student = model_tokenizer(student);
    t->loss = *loss;
    t->context = context;
    t->own_vocab = bt_model_describe(teacher).n_vocab;
    t->n_vocab = bt_model_describe(student).n_vocab;
    t->last = -1;
    t->n_room = student->n_threads;
    /* Its tokens of a document may be more than the student's. */
    int32_t most = bt_model_describe(teacher).n_ctx_train;
    const bt_session_options session = {.n_ctx = 4 * context < most ? 4 * context : most,
                                        .n_batch = STEP,
                                        .n_logits = STEP,
                                        .kv = BT_KV_F32};
    bt_status status = bt_session_open(teacher, &session, &t->session, err);
    t->to_student = mem_alloc((size_t)t->own_vocab * sizeof *t->to_student);
    t->matched = mem_zalloc((size_t)t->n_vocab, 1);
    t->said = mem_zalloc(n, sizeof *t->said);
    t->parts = mem_zalloc(n + 1, sizeof *t->parts);
    t->start = mem_zalloc(n + 2, sizeof *t->start);
    t->rows = mem_zalloc(STEP, sizeof *t->rows);
    t->p = mem_alloc((size_t)t->own_vocab * sizeof *t->p);
    t->room = mem_alloc((size_t)t->n_room * (size_t)t->n_vocab * sizeof *t->room);
    bool room = t->to_student && t->matched && t->said && t->parts && t->start && t->rows && t->p &&
                t->room;
    if (!status && !room) status = bt_fail_memory(err, "a teacher", n * sizeof *t->said);
    if (!status && room) status = match(t, err);
    if (status) text_teacher_close(out);
    return status;
}

void text_teacher_close(TextTeacher **teacher)
{
    TextTeacher *t = *teacher;
    if (!t) return;
    bt_session_close(&t->session);
    mem_free(t->to_student);
    mem_free(t->matched);
    mem_free(t->said);
    mem_free(t->parts);
    mem_free(t->start);
    mem_free(t->row_of_token);
    mem_free(t->rows);
    mem_free(t->p);
    mem_free(t->room);
    buf_close(&t->text);
    mem_free(t);
    *teacher = NULL;
}

void text_teacher_judge(TextTeacher *t, bool own)
{
    t->judges = own;
}

double text_teacher_share(const TextTeacher *t)
{
    return t->counted ? (double)t->compared / (double)t->counted : 0;
}

/* ---- a document ---- */

/* Bytes of a token in its text; BOS stands for nothing, the teacher has its own. */
static int64_t piece(const Tokenizer *tok, int32_t id, bool first, char out[PIECE])
{
    if (first && id == tok_bos(tok)) return 0;
    int64_t n = tok_text(tok, id, true, first, out, PIECE);
    return n > PIECE ? -1 : n;
}

/* The document's text, with where each of its n + 1 tokens begins. False: no memory, or a token
 * longer than any real one. */
static bool spell(TextTeacher *t, const Batch *b, int32_t first, int32_t n)
{
    char text[PIECE];
    buf_clear(&t->text);
    for (int32_t i = 0; i <= n; i++) {
        int32_t id = i < n ? b->rows[first + i].token : b->target[first + n - 1];
        int64_t size = piece(t->student, id, t->text.size == 0, text);
        if (size < 0) return false;
        t->start[i] = t->text.size;
        buf_add(&t->text, text, (size_t)size);
        t->parts[i].special = tok_is_special(t->student, id);
    }
    t->start[n + 1] = t->text.size;
    for (int32_t i = 0; i <= n && !t->text.failed; i++)
        t->parts[i].text = (Span){t->text.data + t->start[i], t->start[i + 1] - t->start[i]};
    return !t->text.failed;
}

/* Which row of the batch each of the teacher's tokens predicts: where the token after it is the
 * student's target, as a piece of the text. */
static bool align(TextTeacher *t, const Batch *b, int32_t first, int32_t n, const bt_token *ids,
                  size_t n_ids)
{
    char text[PIECE];
    size_t at = 0;
    int32_t next = 1; /* of the student's tokens */
    if (n_ids > t->token_capacity) {
        mem_free(t->row_of_token);
        t->token_capacity = 2 * n_ids;
        t->row_of_token = mem_alloc(t->token_capacity * sizeof *t->row_of_token);
        if (!t->row_of_token) t->token_capacity = 0;
    }
    if (!t->row_of_token) return false;
    for (size_t i = 0; i < n_ids; i++) t->row_of_token[i] = -1;
    for (size_t i = 0; i < n_ids; i++) {
        int64_t size = piece(t->own, ids[i], at == 0, text);
        if (size < 0 || at + (size_t)size > t->text.size ||
            memcmp(t->text.data + at, text, (size_t)size) != 0)
            return true; /* the teacher reads another text from here on */
        while (next <= n && t->start[next] < at) next++;
        if (i > 0 && size > 0 && next <= n && t->start[next] == at &&
            t->start[next + 1] == at + (size_t)size && b->weight[first + next - 1] != 0)
            t->row_of_token[i - 1] = first + next - 1;
        at += (size_t)size;
    }
    return true;
}

/* ---- what the teacher says ---- */

/* Puts p among the `room` largest of a list in falling order, `with` beside it. */
static void keep(float *list, int32_t *ids, int32_t *n, int32_t room, float p, int32_t id)
{
    if (*n == room && p <= list[room - 1]) return;
    int32_t i = *n < room ? (*n)++ : room - 1;
    for (; i > 0 && list[i - 1] < p; i--) {
        list[i] = list[i - 1];
        if (ids) ids[i] = ids[i - 1];
    }
    list[i] = p;
    if (ids) ids[i] = id;
}

static void take(TextTeacher *t, const Kernels *k, const float *logits, Said *said)
{
    int32_t others = 0;
    double sum = 0;
    *said = (Said){0};
    for (int32_t i = 0; i < t->own_vocab; i++) t->p[i] = logits[i] / t->loss.temperature;
    k->softmax(t->p, (size_t)t->own_vocab);
    for (int32_t i = 0; i < t->own_vocab; i++) {
        if (t->to_student[i] >= 0)
            keep(said->p, said->id, &said->n, KEPT, t->p[i], t->to_student[i]);
        else
            keep(said->sorted, NULL, &others, SORTED, t->p[i], 0);
    }
    for (int32_t i = 0; i < said->n; i++) sum += (double)said->p[i];
    said->rest = sum < 1 ? (float)(1 - sum) : 0;
}

static bt_status read_document(TextTeacher *t, const Kernels *k, const bt_token *ids, size_t n_ids,
                               bt_error *err)
{
    size_t most = (size_t)bt_session_context(t->session);
    if (n_ids > most) n_ids = most; /* the student learns the rest from the data */
    bt_status status = bt_session_truncate(t->session, 0, 0, err);
    for (size_t at = 0, some; at < n_ids && !status; at += some) {
        int32_t row = 0;
        some = n_ids - at < STEP ? n_ids - at : STEP;
        for (size_t i = 0; i < some; i++)
            t->rows[i] =
                (bt_row){.token = ids[at + i], .want_logits = t->row_of_token[at + i] >= 0};
        status = bt_session_step(t->session, t->rows, some, err);
        for (size_t i = 0; i < some && !status; i++) {
            if (!t->rows[i].want_logits) continue;
            const float *logits = bt_session_logits(t->session, row++);
            if (!logits) return bt_fail(err, BT_E_INTERNAL, "the teacher gave no logits");
            take(t, k, logits, &t->said[t->row_of_token[at + i]]);
            t->compared++;
        }
    }
    return status;
}

static bt_status read_batch(TextTeacher *t, const Kernels *k, const Batch *b, bt_error *err)
{
    bt_status status = BT_OK;
    for (int32_t i = 0; i < b->n_rows; i++) {
        t->said[i].n = -1;
        t->counted += b->weight[i] != 0;
    }
    for (int32_t first = 0, n; first < b->n_rows && !status; first += n) {
        bt_token *ids = NULL;
        size_t n_ids = 0;
        for (n = 1; first + n < b->n_rows; n++)
            if (b->rows[first + n].sequence != b->rows[first].sequence) break;
        if (!spell(t, b, first, n)) return bt_fail_memory(err, "a document", t->text.size);
        status =
            tok_encode(t->own, t->parts, (size_t)n + 1, tok_adds_bos(t->own), &ids, &n_ids, err);
        if (!status && !align(t, b, first, n, ids, n_ids))
            status = bt_fail_memory(err, "a document", n_ids * sizeof(int32_t));
        if (!status && n_ids) status = read_document(t, k, ids, n_ids, err);
        mem_free(ids);
    }
    return status;
}

/* ---- the loss ---- */

typedef struct TextJob {
    TextTeacher *teacher;
    const LossRows *rows;
    TeamQueue queue;
} TextJob;

static void text_member(void *arg, int member, int n_members)
{
    TextJob *job = arg;
    const LossRows *r = job->rows;
    const TextTeacher *t = job->teacher;
    size_t n = (size_t)r->n_vocab;
    float *room = t->room + (size_t)member * n;
    const SoftLoss hard = {.soft = 0, .temperature = 1};
    SoftLoss soft = t->loss;
    if (t->judges) soft.soft = 1;
    int64_t begin, end;
    (void)n_members;
    while (queue_take(&job->queue, &begin, &end))
        for (int64_t i = begin; i < end; i++) {
            int32_t row = r->row[i];
            const Said *said = &t->said[row];
            const SoftPart part = {said->id, said->p, said->n > 0 ? (size_t)said->n : 0,
                                   said->rest};
            const SoftLoss *loss = said->n > 0 ? &soft : &hard;
            int32_t target = t->judges ? -1 : r->batch->target[row];
            float *d = r->d + (size_t)i * n, weight = r->batch->weight[row];
            const float *x = r->logits + (size_t)i * n;
            double sum = soft_loss_part(loss, r->kernels, x, &part, target, weight, n, room, d);
            if (said->n > 0)
                sum += soft_loss_sorted(&soft, r->kernels, x, t->matched, said->sorted, SORTED,
                                        weight, n, room, d);
            r->each[i] = (float)sum;
        }
}

bt_status text_teacher_loss(void *user, const LossRows *rows, double *loss, bt_error *err)
{
    TextTeacher *t = user;
    const Batch *b = rows->batch;
    TextJob job = {.teacher = t, .rows = rows};
    if (!rows->d) return loss_next_token(NULL, rows, loss, err);
    if (team_size(rows->team) > t->n_room)
        return bt_fail(err, BT_E_INTERNAL, "more threads than there is room for");
    uint64_t hash =
        hash_bytes(b->target, (size_t)b->n_rows * sizeof *b->target, (uint64_t)b->rows->token);
    if (hash != t->batch_hash || rows->row[0] <= t->last) {
        bt_status status = read_batch(t, rows->kernels, b, err);
        t->batch_hash = status ? 0 : hash;
        if (status) return status;
    }
    t->last = rows->row[rows->n - 1];
    queue_start(&job.queue, rows->n, 2);
    team_run(rows->team, text_member, &job);
    for (int64_t i = 0; i < rows->n; i++) *loss += (double)rows->each[i];
    return BT_OK;
}
