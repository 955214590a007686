/* Sessions: sequences of one model with their state, and the steps that advance them. All memory
 * is reserved at open; a step allocates nothing. */
#include "engine/session.h"

#include <string.h>

#include "base/mem.h"

static bt_status allocate(bt_session *s, const SessionShape *shape, bt_error *err)
{
    bt_model *m = s->model;
    size_t n = (size_t)s->n_sequences, width = (size_t)m->hyper.n_embd;
    CpuSizes sizes = model_cpu_sizes(m, s->n_batch);
    StateSpec spec = model_state_spec(m, shape);
    size_t step = model_step_bytes(m, shape, NULL, 0, err);
    s->shape = *shape;
    if (!step) return err ? err->status : BT_E_MEMORY;
    s->kv_type = spec.k_type | (spec.v_type != spec.k_type ? (spec.v_type + 1) << 8 : 0);
    bt_status status = cpu_open(&sizes, m->team, m->features, &s->backend, err);
    if (!status) status = state_open(&spec, &s->state, err);
    if (status) return status;
    s->rows = mem_zalloc((size_t)s->n_batch, sizeof *s->rows);
    s->feed = mem_zalloc((size_t)s->n_batch, sizeof *s->feed);
    s->added = mem_zalloc(n, sizeof *s->added);
    s->lost = mem_zalloc(n, sizeof *s->lost);
    s->of = mem_zalloc(n, sizeof *s->of);
    s->sets = mem_zalloc(n, sizeof *s->sets);
    s->tokens = mem_zalloc(n * (size_t)s->n_ctx, sizeof *s->tokens);
    bool rest = true;
    if (s->hidden) {
        s->pooled = mem_zalloc(n * width, sizeof *s->pooled);
        s->sum = mem_zalloc(width, sizeof *s->sum);
        rest = s->pooled && s->sum;
    }
    if (m->hyper.axes) {
        s->axes = mem_zalloc(n * (size_t)s->n_ctx, sizeof *s->axes);
        rest = rest && s->axes;
    }
    if (!s->rows || !s->feed || !s->added || !s->lost || !s->tokens || !rest || !s->of ||
        !s->sets || !arena_open(&s->arena, step))
        return bt_fail_memory(err, "a session", step);
    return BT_OK;
}

static bt_status prepare(bt_session *s, SessionShape shape, uint64_t limit, bt_error *err)
{
    bt_memory_plan plan;
    if (s->model->hyper.embeds && !shape.hidden)
        return bt_fail(err, BT_E_UNSUPPORTED,
                       "%s: this model turns text into vectors and does not continue it; "
                       "'bantam embed' gives them",
                       gguf_path(s->model->gguf));
    bt_status status = model_plan(s->model, &shape, limit, &plan, err);
    if (!status) status = model_prepare(s->model, err);
    if (status) return status;
    s->n_ctx = shape.n_ctx;
    s->n_sequences = shape.n_sequences;
    s->n_batch = shape.n_batch;
    s->n_logits = shape.n_wanted;
    s->hidden = shape.hidden;
    return allocate(s, &shape, err);
}

bt_status bt_session_open(bt_model *model, const bt_session_options *options, bt_session **out,
                          bt_error *err)
{
    static const bt_session_options defaults;
    const bt_session_options *o = options ? options : &defaults;
    SessionShape shape = {.n_ctx = o->n_ctx,
                          .n_sequences = o->n_sequences > 0 ? o->n_sequences : 1,
                          .n_batch = o->n_batch > 0 ? o->n_batch : 0,
                          .n_wanted = o->n_logits > 0 ? o->n_logits : 0,
                          .kv = o->kv,
                          .hidden = o->embeddings};
    if (!shape.n_wanted && !o->embeddings) shape.n_wanted = shape.n_sequences;
    return session_open_shape(model, &shape, o->memory_limit, out, err);
}

bt_status session_open_shape(bt_model *model, const SessionShape *shape, uint64_t limit,
                             bt_session **out, bt_error *err)
{
    *out = NULL;
    bt_error_clear(err);
    bt_session *s = mem_zalloc(1, sizeof *s);
    if (!s) return bt_fail_memory(err, "a session", sizeof *s);
    s->model = model;
    bt_status status = prepare(s, *shape, limit, err);
    if (status) {
        bt_session_close(&s);
        return status;
    }
    *out = s;
    return BT_OK;
}

void bt_session_close(bt_session **session)
{
    bt_session *s = *session;
    if (!s) return;
    if (s->backend) s->backend->ops->close(s->backend);
    state_close(&s->state);
    arena_close(&s->arena);
    session_drop_adapters(s);
    mem_free(s->of);
    mem_free(s->sets);
    mem_free(s->rows);
    mem_free(s->feed);
    mem_free(s->added);
    mem_free(s->lost);
    mem_free(s->tokens);
    mem_free(s->pooled);
    mem_free(s->sum);
    mem_free(s->axes);
    mem_free(s);
    *session = NULL;
}

int32_t bt_session_context(const bt_session *s)
{
    return s->n_ctx;
}

int32_t bt_session_batch(const bt_session *s)
{
    return s->n_batch;
}

int32_t bt_session_length(const bt_session *s, int32_t sequence)
{
    return sequence < 0 || sequence >= s->n_sequences ? 0 : state_length(s->state, sequence);
}

bt_token *session_tokens(const bt_session *s, int32_t sequence)
{
    return s->tokens + (size_t)sequence * (size_t)s->n_ctx;
}

bt_status session_check_sequence(const bt_session *s, int32_t sequence, bt_error *err)
{
    if (sequence >= 0 && sequence < s->n_sequences) return BT_OK;
    return bt_fail(err, BT_E_ARGUMENT, "sequence %d does not exist; the session has %d", sequence,
                   s->n_sequences);
}

/* Checks the rows and gives each its position; counts what each sequence gains. */
static bt_status place_rows(bt_session *s, const bt_row *rows, size_t n, bt_error *err)
{
    if (n < 1 || n > (size_t)s->n_batch)
        return bt_fail(err, BT_E_ARGUMENT, "a step takes 1 to %d rows, not %zu", s->n_batch, n);
    memset(s->added, 0, (size_t)s->n_sequences * sizeof *s->added);
    s->n_wanted = 0;
    for (size_t i = 0; i < n; i++) {
        bt_status status = session_check_sequence(s, rows[i].sequence, err);
        if (status) return status;
        if (rows[i].token < 0 || rows[i].token >= s->model->hyper.n_vocab)
            return bt_fail(err, BT_E_ARGUMENT, "token %d is outside the vocabulary of %d",
                           rows[i].token, s->model->hyper.n_vocab);
        int32_t at = state_length(s->state, rows[i].sequence) + s->added[rows[i].sequence]++;
        bool follows = i > 0 && rows[i - 1].sequence == rows[i].sequence;
        if (at > 0 && !follows && !s->model->hyper.causal)
            return bt_fail(err, BT_E_ARGUMENT,
                           "an encoder reads a sequence whole: all rows of sequence %d, one after "
                           "the other, in one step",
                           rows[i].sequence);
        s->rows[i] = (StepRow){.token = rows[i].token,
                               .sequence = rows[i].sequence,
                               .position = at,
                               .want = rows[i].want_logits};
        if (s->of[rows[i].sequence]) s->rows[i].adapters = &s->of[rows[i].sequence]->adapters;
        status = session_place(s, &rows[i], &s->rows[i], err);
        if (status) return status;
        s->n_wanted += rows[i].want_logits;
    }
    if (s->n_wanted > s->n_logits)
        return bt_fail(err, BT_E_LIMIT, "%d rows want logits; the session was opened for %d a step",
                       s->n_wanted, s->n_logits);
    for (int32_t q = 0; q < s->n_sequences; q++)
        if (s->added[q] > s->n_ctx - state_length(s->state, q))
            return bt_fail(err, BT_E_CONTEXT,
                           "%d tokens are held and %d come, but the context holds %d",
                           state_length(s->state, q), s->added[q], s->n_ctx);
    return BT_OK;
}

static bool any_adapted(const bt_session *s, size_t n)
{
    for (size_t i = 0; s->n_sets && i < n; i++)
        if (s->rows[i].adapters) return true;
    return false;
}

static bt_status run_rows(bt_session *s, size_t n, bt_error *err)
{
    Step step = {.backend = s->backend,
                 .arena = &s->arena,
                 .state = s->state,
                 .layers = s->model->layers,
                 .rows = s->rows,
                 .n_rows = (int32_t)n,
                 .sets = s->sets,
                 .n_sets = any_adapted(s, n) ? s->n_sets : 0,
                 .n_wanted = s->n_wanted,
                 .n_ctx = s->n_ctx,
                 .hidden = s->hidden,
                 .cancel = &s->cancel,
                 .err = err};
    arena_reset(&s->arena, 0);
    pthread_mutex_lock(&s->model->lock);
    Tensor answer = s->model->arch->forward(&step, s->model->weights);
    pthread_mutex_unlock(&s->model->lock);
    s->answer = answer.data;
    if (!step_failed(&step)) step.status = model_check_files(s->model, err);
    return step.status;
}

static bt_status reserve(bt_session *s, bt_error *err)
{
    for (int32_t q = 0; q < s->n_sequences; q++)
        if (s->added[q] && !state_reserve(s->state, q, s->added[q]))
            return bt_fail(err, BT_E_CONTEXT,
                           "sequence %d: %d tokens more are too many; a session for embeddings "
                           "holds %d of all sequences together",
                           q, s->added[q], s->n_batch > s->n_ctx ? s->n_batch : s->n_ctx);
    return BT_OK;
}

/* Feeds the tokens [held, length) that the sequence had, after layers that forget could not go back
 * to `length` by themselves. */
static bt_status feed_again(bt_session *s, int32_t sequence, int32_t length, bt_error *err)
{
    int32_t held = state_length(s->state, sequence);
    if (held >= length) return BT_OK;
    Axes *axes = session_axes(s, sequence);
    return session_feed(s, sequence, session_tokens(s, sequence) + held, axes ? axes + held : NULL,
                        (size_t)(length - held), err);
}

/* A step failed: its sequences go back to what they held. Should that fail too, they hold less, and
 * bt_session_length says so. */
static void take_back(bt_session *s)
{
    bool again = !s->taking_back;
    s->taking_back = true;
    for (int32_t q = 0; q < s->n_sequences; q++) {
        if (!s->added[q]) continue;
        int32_t length = state_length(s->state, q);
        if (state_abandon(s->state, q) < length && again) s->lost[q] = length;
    }
    for (int32_t q = 0; q < s->n_sequences && again; q++)
        if (s->lost[q]) {
            int32_t length = s->lost[q];
            s->lost[q] = 0;
            feed_again(s, q, length, NULL);
        }
    if (again) s->taking_back = false;
}

bt_status bt_session_step(bt_session *s, const bt_row *rows, size_t n, bt_error *err)
{
    s->answer = NULL;
    bt_status status = place_rows(s, rows, n, err);
    if (status) {
        atomic_store(&s->cancel, false);
        return status;
    }
    status = reserve(s, err);
    if (!status) status = run_rows(s, n, err);
    atomic_store(&s->cancel, false);
    if (status) {
        s->answer = NULL;
        take_back(s);
        return status;
    }
    for (size_t i = 0; i < n; i++)
        session_tokens(s, rows[i].sequence)[s->rows[i].position] = rows[i].token;
    for (int32_t q = 0; q < s->n_sequences; q++) { /* others may be read by other threads */
        if (!s->added[q]) continue;
        state_commit(s->state, q, s->added[q]);
        if (s->added[q] > 1 && !s->checkpoints_asked)
            state_checkpoint(s->state, q); /* a prompt: what turns go back to */
    }
    return BT_OK;
}

bt_status session_feed(bt_session *s, int32_t sequence, const bt_token *tokens, const Axes *axes,
                       size_t n, bt_error *err)
{
    bt_status status = session_check_sequence(s, sequence, err);
    if (status) return status;
    size_t held = (size_t)state_length(s->state, sequence);
    if (n > (size_t)s->n_ctx - held)
        return bt_fail(err, BT_E_CONTEXT,
                       "%zu tokens are held and %zu come, but the context holds %d", held, n,
                       s->n_ctx);
    for (size_t done = 0; done < n && !status;) {
        size_t some = n - done < (size_t)s->n_batch ? n - done : (size_t)s->n_batch;
        for (size_t i = 0; i < some; i++)
            s->feed[i] = (bt_row){tokens[done + i], sequence, done + i + 1 == n,
                                  axes ? axes[done + i].of : NULL};
        status = bt_session_step(s, s->feed, some, err);
        done += some;
    }
    if (status) bt_session_truncate(s, sequence, (int32_t)held, NULL);
    return status;
}

bt_status bt_session_feed(bt_session *s, int32_t sequence, const bt_token *tokens, size_t n,
                          bt_error *err)
{
    return session_feed(s, sequence, tokens, NULL, n, err);
}

static float *answer_row(bt_session *s, int32_t i, int32_t width)
{
    if (i == -1) i = s->n_wanted - 1;
    if (!s->answer || i < 0 || i >= s->n_wanted) return NULL;
    return s->answer + (size_t)i * (size_t)width;
}

float *bt_session_logits(bt_session *s, int32_t i)
{
    return s->hidden ? NULL : answer_row(s, i, s->model->hyper.n_vocab);
}

const float *bt_session_hidden(bt_session *s, int32_t i)
{
    return s->hidden ? answer_row(s, i, s->model->hyper.n_embd) : NULL;
}

bt_status session_dense(bt_session *s, int32_t n, Tensor *out, bt_error *err)
{
    Step step = {.backend = s->backend, .arena = &s->arena, .n_rows = n, .err = err};
    s->answer = NULL;
    arena_reset(&s->arena, 0);
    Tensor x = step_tensor(&step, n, 1, s->model->hyper.n_embd, false);
    if (x.data) memcpy(x.data, s->pooled, (size_t)n * tensor_row(x) * sizeof(float));
    pthread_mutex_lock(&s->model->lock);
    *out = model_dense(&step, s->model, x);
    pthread_mutex_unlock(&s->model->lock);
    return step.status;
}

bt_status bt_session_truncate(bt_session *s, int32_t sequence, int32_t length, bt_error *err)
{
    bt_status status = session_check_sequence(s, sequence, err);
    if (status) return status;
    if (length < 0 || length > state_length(s->state, sequence))
        return bt_fail(err, BT_E_ARGUMENT, "cannot cut %d tokens to %d",
                       state_length(s->state, sequence), length);
    state_truncate(s->state, sequence, length);
    return feed_again(s, sequence, length, err);
}

/* What stays is fed again rather than rotated: the state is then exactly what these tokens give,
 * for every kind of layer and every KV type, at the price of one prefill. */
bt_status bt_session_shift(bt_session *s, int32_t sequence, int32_t keep, int32_t n, bt_error *err)
{
    bt_status status = session_check_sequence(s, sequence, err);
    if (status) return status;
    int32_t length = state_length(s->state, sequence);
    if (keep < 0 || n < 0 || keep > length || n > length - keep)
        return bt_fail(err, BT_E_ARGUMENT, "cannot forget %d tokens after %d of %d", n, keep,
                       length);
    bt_token *tokens = session_tokens(s, sequence);
    status = bt_session_truncate(s, sequence, keep, err);
    if (status) return status;
    memmove(tokens + keep, tokens + keep + n, (size_t)(length - keep - n) * sizeof *tokens);
    session_axes_shift(s, sequence, keep, n, length);
    Axes *axes = session_axes(s, sequence);
    return session_feed(s, sequence, tokens + keep, axes ? axes + keep : NULL,
                        (size_t)(length - keep - n), err);
}

bt_status bt_session_share(bt_session *s, int32_t from, int32_t to, int32_t length, bt_error *err)
{
    bt_status status = session_check_sequence(s, from, err);
    if (!status) status = session_check_sequence(s, to, err);
    if (status) return status;
    if (length < 0 || length > state_length(s->state, from))
        return bt_fail(err, BT_E_ARGUMENT, "cannot share %d tokens of %d", length,
                       state_length(s->state, from));
    if (from == to) return bt_session_truncate(s, to, length, err);
    if (s->of[from] != s->of[to])
        return bt_fail(err, BT_E_ARGUMENT,
                       "sequences %d and %d have different adapters: what one holds is nothing to "
                       "the other",
                       from, to);
    memcpy(session_tokens(s, to), session_tokens(s, from), (size_t)length * sizeof(bt_token));
    if (s->axes) memcpy(session_axes(s, to), session_axes(s, from), (size_t)length * sizeof(Axes));
    state_share(s->state, from, to, length);
    return feed_again(s, to, length, err);
}

void session_checkpoint(bt_session *s, int32_t sequence)
{
    state_checkpoint(s->state, sequence);
}

void bt_session_cancel(bt_session *s)
{
    atomic_store(&s->cancel, true);
}
