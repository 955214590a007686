/* Reading a prompt and writing the answer (see talk.h). */
#include "cli/talk.h"

#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "cli/interrupt.h"
#include "cli/progress.h"

const char *talk_end_name(TalkEnd end)
{
    static const char *const names[] = {"stop", "length", "context", "stopped", "closed", "failed"};
    return names[end];
}

void talk_close(Talk *t)
{
    ids_close(&t->held);
}

static TalkEnd failed(const Talk *t, const bt_error *err)
{
    model_fail(t->m, err);
    return END_FAILED;
}

static TalkEnd no_memory(void)
{
    cli_fail("not enough memory for the conversation");
    return END_FAILED;
}

/* Forgets the older half of what lies after the first `keep` tokens. */
static bool make_room(Talk *t, bt_error *err)
{
    int32_t length = bt_session_length(t->session, 0);
    int32_t keep = t->keep < length ? t->keep : 0, n = (length - keep) / 2;
    if (n < 1) n = 1;
    if (bt_session_shift(t->session, 0, keep, n, err) != BT_OK) return false;
    memmove(t->held.ids + keep, t->held.ids + keep + n,
            (t->held.n - (size_t)(keep + n)) * sizeof *t->held.ids);
    t->held.n -= (size_t)n;
    return true;
}

/* Keeps what the session and the prompt begin with alike; at least one token is left to feed,
 * for its logits. */
static bool reuse_prefix(Talk *t, const bt_token *prompt, size_t n, bt_error *err)
{
    size_t same = 0;
    while (same < t->held.n && same + 1 < n && t->held.ids[same] == prompt[same]) same++;
    if (bt_session_truncate(t->session, 0, (int32_t)same, err) != BT_OK) {
        /* A state that cannot go back starts anew. */
        if (bt_session_truncate(t->session, 0, 0, err) != BT_OK) return false;
        same = 0;
    }
    t->held.n = same;
    t->n_cached = same;
    return true;
}

static TalkEnd feed(Talk *t, const bt_token *prompt, size_t n)
{
    bt_error err = {0};
    Progress progress;
    size_t batch = (size_t)bt_session_batch(t->session), at = t->held.n;
    size_t context = (size_t)bt_session_context(t->session);
    progress_start(&progress, t->cli);
    while (at < n) {
        size_t part = n - at < batch ? n - at : batch;
        if (t->held.n + part > context) {
            if (part > context - t->held.n && context > t->held.n) part = context - t->held.n;
            if (context == t->held.n) {
                if (!make_room(t, &err)) goto failed;
                continue;
            }
        }
        bt_status status = bt_session_feed(t->session, 0, prompt + at, part, &err);
        if (status == BT_E_CANCELLED && !interrupt_seen()) continue; /* of an earlier answer */
        if (status == BT_E_CANCELLED) {
            progress_end(&progress);
            t->held.n = (size_t)bt_session_length(t->session, 0);
            return END_STOPPED;
        }
        if (status != BT_OK) goto failed;
        if (!ids_add(&t->held, prompt + at, part)) {
            progress_end(&progress);
            return no_memory();
        }
        at += part;
        progress_update(&progress, "reading the prompt", at, n);
        if (interrupt_seen()) {
            progress_end(&progress);
            return END_STOPPED;
        }
    }
    progress_end(&progress);
    return END_STOP;
failed:
    progress_end(&progress);
    t->held.n = (size_t)bt_session_length(t->session, 0);
    return failed(t, &err);
}

typedef struct Writer {
    bt_sampler *sampler;
    bt_text *text; /* one of these two */
    bt_answer *answer;
} Writer;

/* Shows what a token has added, or (id -1) what waited at the end. */
static TalkEnd show(Talk *t, Writer *w, bt_token id)
{
    const char *piece = NULL;
    size_t n = 0;
    bt_status status;
    bt_answer_event event;
    if (w->answer) {
        status = id < 0 ? bt_answer_end(w->answer) : bt_answer_token(w->answer, id);
        while (status == BT_OK && bt_answer_next(w->answer, &event))
            if (!t->event(t->user, &event)) return END_CLOSED;
    } else {
        status = id < 0 ? bt_text_end(w->text, &piece, &n) : bt_text_next(w->text, id, &piece, &n);
        if (status == BT_OK && n && !t->show(t->user, piece, n)) return END_CLOSED;
    }
    return status == BT_OK ? END_STOP : no_memory();
}

/* Feeds the token just shown and leaves its logits in the session. */
static TalkEnd advance(Talk *t, bt_token token)
{
    bt_error err = {0};
    if (bt_session_length(t->session, 0) >= bt_session_context(t->session)) {
        if (!t->context_shift) return END_CONTEXT;
        if (!make_room(t, &err)) return failed(t, &err);
    }
    const bt_row row = {.token = token, .want_logits = true};
    bt_status status = bt_session_step(t->session, &row, 1, &err);
    if (status == BT_E_CANCELLED && !interrupt_seen())
        status = bt_session_step(t->session, &row, 1, &err);
    if (status == BT_E_CANCELLED) return END_STOPPED;
    if (status != BT_OK) return failed(t, &err);
    if (!ids_add(&t->held, &token, 1)) return no_memory();
    return END_STOP;
}

static TalkEnd write_answer(Talk *t, Writer *w, double begun)
{
    TalkEnd end = END_LENGTH, shown;
    double start = os_seconds();
    while (t->max_tokens < 0 || (int64_t)t->n_answer < t->max_tokens) {
        if (interrupt_seen()) {
            end = END_STOPPED;
            break;
        }
        float *logits = bt_session_logits(t->session, -1);
        if (!logits) return cli_fail("the engine gave no logits"), END_FAILED;
        bt_token token = bt_sampler_pick(w->sampler, logits);
        if (t->n_answer == 0) {
            t->first_token_s = os_seconds() - begun;
            start = os_seconds();
        }
        if (bt_model_token_ends(t->m->model, token)) {
            end = END_STOP;
            break;
        }
        t->n_answer++;
        shown = show(t, w, token);
        if (shown != END_STOP) return shown;
        if (t->max_tokens >= 0 && (int64_t)t->n_answer >= t->max_tokens) break;
        TalkEnd step = advance(t, token);
        if (step != END_STOP) {
            end = step;
            break;
        }
    }
    t->decode_s = os_seconds() - start;
    shown = show(t, w, -1);
    return shown == END_STOP ? end : shown;
}

/* The prompt must leave room for one token at least. */
static bool fits(const Talk *t, size_t n)
{
    size_t context = (size_t)bt_session_context(t->session);
    if (n < context || t->context_shift) return true;
    char larger[80] = "";
    if ((int32_t)context < t->m->info.n_ctx_train)
        snprintf(larger, sizeof larger, "a larger --ctx (the model was trained for %d), ",
                 t->m->info.n_ctx_train);
    cli_fail("%s: the prompt has %zu tokens and the context holds %zu; give %sa shorter prompt, or "
             "--context-shift to forget its beginning",
             t->m->path, n, context, larger);
    return false;
}

TalkEnd talk_answer(Talk *t, const bt_token *prompt, size_t n)
{
    bt_error err = {0};
    Writer w = {0};
    double begun = os_seconds();
    t->n_prompt = n;
    t->n_answer = t->n_cached = 0;
    t->complete = true;
    t->prompt_s = t->decode_s = t->first_token_s = 0;
    if (n == 0) {
        cli_fail("the prompt has no tokens; type something");
        return END_FAILED;
    }
    if (!fits(t, n)) return END_FAILED;
    interrupt_watch(t->session);
    TalkEnd end = END_FAILED;
    if (!reuse_prefix(t, prompt, n, &err)) {
        failed(t, &err);
        goto done;
    }
    end = feed(t, prompt, n);
    t->prompt_s = os_seconds() - begun;
    if (end != END_STOP) goto done;
    end = END_FAILED;
    if (bt_sampler_open(t->m->model, &t->sampling, &w.sampler, &err) != BT_OK ||
        (t->answer ? bt_answer_open(t->m->model, t->answer, &w.answer, &err)
                   : bt_text_open(t->m->model, t->show_special, &w.text, &err)) != BT_OK) {
        failed(t, &err);
        goto done;
    }
    if (bt_sampler_set_grammar(w.sampler, t->grammar, &err) != BT_OK) {
        failed(t, &err);
        goto done;
    }
    t->seed = bt_sampler_seed(w.sampler);
    for (size_t i = 0; i < n; i++) bt_sampler_accept(w.sampler, prompt[i]);
    end = write_answer(t, &w, begun);
    t->complete = bt_sampler_complete(w.sampler);
done:
    interrupt_watch(NULL);
    bt_text_close(&w.text);
    bt_answer_close(&w.answer);
    bt_sampler_close(&w.sampler);
    return end;
}
