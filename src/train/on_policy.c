/* Batches of the student's own (see on_policy.h): the documents of a pack are answered side by
 * side, a step a token. */
#include "train/on_policy.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "train/random.h"

enum { SLOTS = 32, PROMPT_OF_TEXT = 8 };

typedef struct Answer {
    int32_t first, n; /* rows of the batch that is made */
    int32_t most;     /* rows it may have */
    bool ended;
    bt_token next; /* drawn, not yet fed */
} Answer;

struct OnPolicy {
    const Params *student;
    Packs *packs;
    OnPolicyOptions o;
    bt_session *session;
    bt_row *rows;
    Answer *answers; /* (context) */
    StepRow *own;    /* (context) */
    int32_t *target;
    float *weight;
    float *p; /* (vocabulary) */
    const Kernels *kernels;
    bool was_own;
    uint64_t key, drawn; /* of the batch at hand */
};

bt_status on_policy_open(const Params *student, Packs *packs, const OnPolicyOptions *options,
                         OnPolicy **out, bt_error *err)
{
    OnPolicy *p = *out = mem_zalloc(1, sizeof *p);
    if (!p) return bt_fail_memory(err, "the student's answers", sizeof *p);
    size_t n = (size_t)options->context;
    p->student = student;
    p->packs = packs;
    p->o = *options;
    if (!(p->o.temperature > 0)) p->o.temperature = 1;
    p->kernels = kernels_select(student->model->features);
    const bt_session_options session = {.n_ctx = options->context,
                                        .n_sequences = SLOTS,
                                        .n_batch = options->context < 512 ? options->context : 512,
                                        .n_logits = SLOTS,
                                        .kv = BT_KV_F32};
    bt_status status = bt_session_open(student->model, &session, &p->session, err);
    p->rows = mem_zalloc(n, sizeof *p->rows);
    p->answers = mem_zalloc(n, sizeof *p->answers);
    p->own = mem_zalloc(n, sizeof *p->own);
    p->target = mem_zalloc(n, sizeof *p->target);
    p->weight = mem_zalloc(n, sizeof *p->weight);
    p->p = mem_alloc((size_t)student->model->hyper.n_vocab * sizeof *p->p);
    if (!status && (!p->rows || !p->answers || !p->own || !p->target || !p->weight || !p->p))
        status = bt_fail_memory(err, "the student's answers", n * sizeof *p->own);
    if (status) on_policy_close(out);
    return status;
}

void on_policy_close(OnPolicy **policy)
{
    OnPolicy *p = *policy;
    if (!p) return;
    bt_session_close(&p->session);
    mem_free(p->rows);
    mem_free(p->answers);
    mem_free(p->own);
    mem_free(p->target);
    mem_free(p->weight);
    mem_free(p->p);
    mem_free(p);
    *policy = NULL;
}

bool on_policy_was_own(const OnPolicy *p)
{
    return p->was_own;
}

/* ---- drawing ---- */

static bt_token draw(OnPolicy *p, const float *logits)
{
    int32_t n = tok_size(model_tokenizer(p->student->model)), last = 0;
    double sum = 0;
    for (int32_t i = 0; i < n; i++) p->p[i] = logits[i] / p->o.temperature;
    p->kernels->softmax(p->p, (size_t)n);
    for (int32_t i = 0; i < n; i++) sum += (double)p->p[i];
    double u = (double)(random_bits(p->key, p->drawn++) >> 11) * 0x1p-53 * sum;
    for (int32_t i = 0; i < n; i++) {
        if (!(p->p[i] > 0)) continue;
        last = i;
        if ((u -= (double)p->p[i]) < 0) break;
    }
    return last;
}

/* ---- the documents of a pack ---- */

/* Rows of the batch that are prompt: those up to the one whose target counts first. */
static int32_t prompt_rows(const Batch *b, int32_t first, int32_t n)
{
    int32_t i = 0;
    while (i < n && b->weight[first + i] == 0) i++;
    if (i == n) return 0; /* nothing counts */
    i++;
    return i == 1 && n > PROMPT_OF_TEXT ? PROMPT_OF_TEXT : i;
}

/* Appends a row to what is made; its target follows with the next. */
static void put(OnPolicy *p, Answer *a, int32_t sequence, bt_token token, bool written)
{
    int32_t at = a->first + a->n;
    if (a->n > 0) {
        p->target[at - 1] = token;
        p->weight[at - 1] = written ? 1 : 0;
    }
    p->own[at] = (StepRow){.token = token, .sequence = sequence, .position = a->n};
    for (int i = 0; i < ROPE_AXES; i++) p->own[at].axis[i] = a->n;
    p->target[at] = -1;
    p->weight[at] = 0;
    a->n++;
}

/* The prompts of up to SLOTS documents are read, and the first token of each answer drawn. */
static bt_status read_prompts(OnPolicy *p, const Batch *b, Answer *answers, int32_t n_answers,
                              bt_error *err)
{
    int32_t batch = bt_session_batch(p->session);
    bt_status status = BT_OK;
    for (int32_t i = 0; i < n_answers && !status; i++) {
        Answer *a = &answers[i];
        int32_t n = a->n;
        status = bt_session_truncate(p->session, i, 0, err);
        for (int32_t at = 0; at < n && !status; at += batch) {
            int32_t some = n - at < batch ? n - at : batch;
            for (int32_t j = 0; j < some; j++)
                p->rows[j] = (bt_row){.token = p->own[a->first + at + j].token,
                                      .sequence = i,
                                      .want_logits = at + j + 1 == n};
            status = bt_session_step(p->session, p->rows, (size_t)some, err);
        }
        const float *logits = status ? NULL : bt_session_logits(p->session, -1);
        if (!status && !logits) return bt_fail(err, BT_E_INTERNAL, "the student gave no logits");
        if (!status) a->next = draw(p, logits);
    }
    (void)b;
    return status;
}

/* A token for each answer that goes on. */
static bt_status write_tokens(OnPolicy *p, Answer *answers, int32_t n_answers, int32_t sequence,
                              bool *more, bt_error *err)
{
    int32_t n = 0;
    for (int32_t i = 0; i < n_answers; i++) {
        Answer *a = &answers[i];
        if (a->ended) continue;
        /* The last token is only a target: a row after it would have none. */
        bool ends = bt_model_token_ends(p->student->model, a->next) || a->n >= a->most;
        if (ends) {
            p->target[a->first + a->n - 1] = a->next;
            p->weight[a->first + a->n - 1] = 1;
            a->ended = true;
            continue;
        }
        put(p, a, sequence + i, a->next, true);
        p->rows[n++] = (bt_row){.token = a->next, .sequence = i, .want_logits = true};
    }
    *more = n > 0;
    if (!n) return BT_OK;
    bt_status status = bt_session_step(p->session, p->rows, (size_t)n, err);
    for (int32_t i = 0, row = 0; i < n_answers && !status; i++) {
        if (answers[i].ended) continue;
        const float *logits = bt_session_logits(p->session, row++);
        if (!logits) return bt_fail(err, BT_E_INTERNAL, "the student gave no logits");
        answers[i].next = draw(p, logits);
    }
    return status;
}

/* Documents of the pack that have a prompt, each with the room that it had. */
static int32_t find_answers(OnPolicy *p, const Batch *b)
{
    int32_t n_answers = 0;
    for (int32_t first = 0, n; first < b->n_rows; first += n) {
        for (n = 1; first + n < b->n_rows; n++)
            if (b->rows[first + n].sequence != b->rows[first].sequence) break;
        int32_t prompt = prompt_rows(b, first, n);
        if (!prompt) continue;
        Answer *a = &p->answers[n_answers];
        *a = (Answer){.first = first, .most = n};
        for (int32_t i = 0; i < prompt; i++) put(p, a, n_answers, b->rows[first + i].token, false);
        n_answers++;
    }
    return n_answers;
}

/* Moves the answers together: they may be shorter than what stood there. */
static int32_t close_up(OnPolicy *p, int32_t n_answers)
{
    int32_t at = 0;
    for (int32_t i = 0; i < n_answers; i++) {
        const Answer *a = &p->answers[i];
        size_t n = (size_t)a->n;
        memmove(p->own + at, p->own + a->first, n * sizeof *p->own);
        memmove(p->target + at, p->target + a->first, n * sizeof *p->target);
        memmove(p->weight + at, p->weight + a->first, n * sizeof *p->weight);
        at += a->n;
    }
    return at;
}

bt_status on_policy_next(OnPolicy *p, Batch *out, bt_error *err)
{
    int64_t at[3];
    Batch b;
    packs_at(p->packs, at);
    p->key = random_bits(random_bits(p->o.seed, (uint64_t)at[0]), (uint64_t)at[1]);
    p->drawn = 1;
    p->was_own = (double)(random_bits(p->key, 0) >> 11) * 0x1p-53 < (double)p->o.share;
    bt_status status = packs_next(p->packs, &b, err);
    *out = b;
    int32_t n_answers = status || !p->was_own ? 0 : find_answers(p, &b);
    p->was_own = n_answers > 0;
    for (int32_t first = 0; first < n_answers && !status; first += SLOTS) {
        int32_t n = n_answers - first < SLOTS ? n_answers - first : SLOTS;
        bool more = true;
        status = read_prompts(p, &b, p->answers + first, n, err);
        while (more && !status) status = write_tokens(p, p->answers + first, n, first, &more, err);
    }
    if (status || !p->was_own) return status;
    *out = (Batch){close_up(p, n_answers), p->own, p->target, p->weight};
    return BT_OK;
}
