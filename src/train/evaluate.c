/* Tasks run through a model (see evaluate.h). */
#include "train/evaluate.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "engine/chat.h"
#include "engine/model.h"
#include "text/copied.h"
#include "train/labels.h"
#include "train/surprise.h"

#define SCORED_MOST 64 /* rows of a step whose logits are kept */

typedef struct Eval {
    bt_model *model;
    const EvalOptions *o;
    int32_t n_vocab;
    Chat chat;
    bool has_chat;
    bt_session *session;
    bt_sampler *sampler;
    bt_grammar *grammar;  /* of the tools held last */
    const void *held_for; /* whose tools these were */
    bt_row *rows;
    bt_token *held; /* what the session holds */
    size_t n_held;
    Buf text, said;
    ChatParts parts;
    Labels *labels;
    bt_error *err;
} Eval;

/* ---- prompts ---- */

static bt_status prompt_ids(Eval *e, const Task *t, Span more, bt_token **ids, size_t *n)
{
    const Tokenizer *tok = model_tokenizer(e->model);
    *ids = NULL;
    *n = 0;
    buf_clear(&e->text);
    if (!t->messages) {
        const TokPart parts[] = {{t->text, false}, {more, false}};
        return tok_encode(tok, parts, more.size ? 2 : 1, tok_adds_bos(tok), ids, n, e->err);
    }
    const ChatAsk ask = {.messages = t->messages,
                         .tools = t->tools,
                         .variables = t->variables,
                         .think = e->o->think,
                         .generation = true,
                         .now = t->now};
    bt_status status = chat_apply(&e->chat, &ask, &e->text, &e->parts, e->err);
    if (!status && more.size) {
        TokPart *items = mem_realloc(e->parts.items, (e->parts.n + 1) * sizeof *items);
        if (!items) return bt_fail_memory(e->err, "a task", sizeof *items);
        items[e->parts.n] = (TokPart){more, false};
        e->parts = (ChatParts){items, e->parts.n + 1, e->parts.n + 1};
    }
    return status ? status : chat_encode(&e->chat, &e->parts, ids, n, e->err);
}

/* ---- the session ---- */

/* Leaves of what is held what ids[0, n) begin with, less than n. */
static bt_status reuse(Eval *e, const bt_token *ids, size_t n, size_t most)
{
    size_t same = 0;
    if (n > (size_t)bt_session_context(e->session))
        return bt_fail(e->err, BT_E_CONTEXT, "it has %zu tokens, and the context holds %d", n,
                       (int)bt_session_context(e->session));
    while (same < e->n_held && same < most && e->held[same] == ids[same]) same++;
    if (bt_session_truncate(e->session, 0, (int32_t)same, e->err) != BT_OK) {
        same = 0; /* a state that cannot go back starts anew */
        bt_status status = bt_session_truncate(e->session, 0, 0, e->err);
        if (status) return status;
    }
    e->n_held = same;
    return BT_OK;
}

static bt_status feed(Eval *e, const bt_token *ids, size_t n)
{
    bt_status status = reuse(e, ids, n, n - 1);
    if (status) return status;
    status = bt_session_feed(e->session, 0, ids + e->n_held, n - e->n_held, e->err);
    if (status) {
        e->n_held = 0;
        bt_session_truncate(e->session, 0, 0, NULL);
        return status;
    }
    memcpy(e->held + e->n_held, ids + e->n_held, (n - e->n_held) * sizeof *ids);
    e->n_held = n;
    return BT_OK;
}

/* Adds up -log p of the ids i >= from for which counts[i] (NULL: all), each after those before. */
static bt_status score(Eval *e, const bt_token *ids, const unsigned char *counts, size_t from,
                       size_t n, double *sum, uint64_t *scored)
{
    size_t batch = (size_t)bt_session_batch(e->session);
    bt_status status = reuse(e, ids, n, from ? from - 1 : 0);
    if (batch > SCORED_MOST) batch = SCORED_MOST;
    for (size_t at = e->n_held, rows; at + 1 < n && !status; at += rows) {
        rows = n - 1 - at < batch ? n - 1 - at : batch;
        for (size_t i = 0; i < rows; i++) {
            size_t next = at + i + 1;
            e->rows[i] = (bt_row){.token = ids[at + i],
                                  .want_logits = next >= from && (!counts || counts[next])};
        }
        status = bt_session_step(e->session, e->rows, rows, e->err);
        memcpy(e->held + at, ids + at, rows * sizeof *ids);
        e->n_held = status ? 0 : at + rows;
        int32_t row = 0;
        for (size_t i = 0; i < rows && !status; i++) {
            if (!e->rows[i].want_logits) continue;
            const float *logits = bt_session_logits(e->session, row++);
            if (!logits) return bt_fail(e->err, BT_E_INTERNAL, "the engine gave no logits");
            *sum += surprise(logits, e->n_vocab, ids[at + i + 1]);
            ++*scored;
        }
    }
    if (status) bt_session_truncate(e->session, 0, 0, NULL);
    return status;
}

/* ---- answers ---- */

static int add_text(const char *data, size_t n, void *user)
{
    buf_add(user, data, n);
    return ((Buf *)user)->failed ? -1 : 0;
}

/* The tools of a task in JSON, or those that all are held to; in `out`, or NULL. */
static const char *tools_text(const Eval *e, const Task *t, Buf *out)
{
    if (!t->tools) return e->o->tools;
    buf_clear(out);
    if (json_dump_callback(t->tools, add_text, out, 0) || out->failed) return NULL;
    return out->data;
}

/* The options with tools that are bound to what the user says in the task (text/copied.h), if any
 * of them can be; these are in `out` then. */
static bt_status bind_tools(const Eval *e, const Task *t, bt_answer_options *options, Buf *out)
{
    size_t n = 0, most = json_array_size(t->messages);
    bool bound = false;
    if (e->o->free_calls || !options->tools || !strstr(options->tools, "\"x-copied\""))
        return BT_OK;
    Span *said = mem_alloc((most + 1) * sizeof *said);
    if (!said) return bt_fail_memory(e->err, "a task", most * sizeof *said);
    for (size_t i = 0; i < most; i++) {
        const json_t *m = json_array_get(t->messages, i), *content = json_object_get(m, "content");
        const char *role = json_string_value(json_object_get(m, "role"));
        if (role && strcmp(role, "user") == 0 && json_is_string(content))
            said[n++] = (Span){json_string_value(content), json_string_length(content)};
    }
    bt_status status = copied_bind(span_of(options->tools), said, n, out, &bound, e->err);
    mem_free(said);
    if (!status && bound) options->tools = out->data;
    return status;
}

static bt_status hold_calls(Eval *e, const Task *t, const bt_answer_options *answer, bool bound)
{
    const void *tools = t->tools ? (const void *)t->tools : (const void *)e->o->tools;
    if (e->o->free_calls || !tools) return bt_sampler_set_grammar(e->sampler, NULL, e->err);
    if (bound || tools != e->held_for) {
        bt_sampler_set_grammar(e->sampler, NULL, NULL);
        bt_grammar_close(&e->grammar);
        e->held_for = NULL;
        bt_status status = bt_answer_grammar(e->model, answer, false, &e->grammar, e->err);
        if (status) return status;
        e->held_for = bound ? NULL : tools;
    }
    return bt_sampler_set_grammar(e->sampler, e->grammar, e->err);
}

static bt_status write_answer(Eval *e, bt_answer *answer, double start, TaskResult *r)
{
    int32_t most = e->o->max_tokens ? e->o->max_tokens : 512;
    int32_t room = bt_session_context(e->session) - (int32_t)e->n_held;
    bt_status status = BT_OK;
    while (!status) {
        float *logits = bt_session_logits(e->session, -1);
        if (!logits) return bt_fail(e->err, BT_E_INTERNAL, "the engine gave no logits");
        bt_token token = bt_sampler_pick(e->sampler, logits);
        if (r->tokens == 0) r->first_token = os_seconds() - start;
        if (bt_model_token_ends(e->model, token)) break;
        status = bt_answer_token(answer, token);
        r->tokens++;
        if (status) return bt_fail_memory(e->err, "an answer", r->tokens);
        r->cut = r->tokens >= (uint64_t)most || r->tokens >= (uint64_t)room;
        if (r->cut) break;
        const bt_row row = {.token = token, .want_logits = true};
        status = bt_session_step(e->session, &row, 1, e->err);
        if (!status) e->held[e->n_held++] = token;
    }
    if (!status && bt_answer_end(answer)) status = bt_fail_memory(e->err, "an answer", r->tokens);
    return status;
}

static bt_status keep_answer(Eval *e, bt_answer *answer, TaskResult *r)
{
    bt_message m;
    if (bt_answer_message(answer, &m)) return bt_fail_memory(e->err, "an answer", r->tokens);
    r->answer = mem_strdup(m.content ? m.content : "");
    r->calls = json_array();
    bool good = r->answer && r->calls;
    for (size_t i = 0; i < m.n_tool_calls && good; i++) {
        json_t *arguments = json_loads(m.tool_calls[i].arguments, 0, NULL);
        if (!arguments) arguments = json_null();
        good = json_array_append_new(r->calls, json_pack("{s:s,s:o}", "name", m.tool_calls[i].name,
                                                         "arguments", arguments)) == 0;
    }
    return good ? BT_OK : bt_fail_memory(e->err, "an answer", r->tokens);
}

static bt_status answer_task(Eval *e, const Task *t, TaskResult *r)
{
    bt_token *ids;
    size_t n;
    Buf tools = {0}, bound = {0};
    bt_answer *answer = NULL;
    double start = os_seconds();
    bt_status status = prompt_ids(e, t, (Span){"", 0}, &ids, &n);
    bt_answer_options options = {.jinja = e->o->jinja,
                                 .tools = tools_text(e, t, &tools),
                                 .prompt = e->text.size ? e->text.data : NULL,
                                 .whole_calls = true,
                                 .id_seed = 1};
    if (!status && n == 0) status = bt_fail(e->err, BT_E_ARGUMENT, "its prompt is empty");
    if (!status) status = bind_tools(e, t, &options, &bound);
    if (!status) status = bt_answer_open(e->model, &options, &answer, e->err);
    if (!status) status = hold_calls(e, t, &options, bound.size > 0);
    if (!status) status = feed(e, ids, n);
    if (!status) status = write_answer(e, answer, start, r);
    if (!status) status = keep_answer(e, answer, r);
    bt_answer_close(&answer);
    buf_close(&tools);
    buf_close(&bound);
    mem_free(ids);
    return status;
}

static void judge_answer(const Eval *e, const Task *t, TaskResult *r)
{
    bool text = !t->expect || task_text_right(t->expect, span_of(r->answer));
    if (t->kind == TASK_EXACT) {
        r->right = text && !json_array_size(r->calls);
        return;
    }
    r->names = task_names_right(t->calls, r->calls);
    r->right = text && task_calls_right(t->calls, r->calls, e->o->by_name, e->o->n_by_name);
}

/* ---- scores ---- */

static bt_status choose(Eval *e, const Task *t, TaskResult *r)
{
    double least = INFINITY, least_by_byte = INFINITY;
    bt_token *prompt = NULL;
    size_t n_prompt = 0, n = json_array_size(t->choices);
    bt_status status = prompt_ids(e, t, (Span){"", 0}, &prompt, &n_prompt);
    for (size_t i = 0; i < n && !status; i++) {
        const json_t *choice = json_array_get(t->choices, i);
        Span text = {json_string_value(choice), json_string_length(choice)};
        bt_token *ids = NULL;
        size_t n_ids = 0, from = 0;
        double sum = 0;
        uint64_t scored = 0;
        status = text.size ? prompt_ids(e, t, text, &ids, &n_ids)
                           : bt_fail(e->err, BT_E_ARGUMENT, "choice %zu is empty", i);
        while (!status && from < n_prompt && from < n_ids && ids[from] == prompt[from]) from++;
        if (!status && !from)
            status = bt_fail(e->err, BT_E_ARGUMENT, "nothing stands before its choices");
        if (!status) status = score(e, ids, NULL, from, n_ids, &sum, &scored);
        mem_free(ids);
        if (status) break;
        r->tokens += scored;
        if (sum < least) {
            least = sum;
            r->chosen = (int32_t)i;
        }
        if (sum / (double)text.size < least_by_byte) {
            least_by_byte = sum / (double)text.size;
            r->chosen_by_byte = (int32_t)i;
        }
    }
    mem_free(prompt);
    r->right = r->chosen == t->answer;
    return status;
}

typedef struct Sum {
    Eval *e;
    TaskResult *r;
} Sum;

static bt_status sum_document(void *user, const DataDoc *doc, const bt_token *ids,
                              const unsigned char *counts, size_t n, bt_error *err)
{
    const Sum *s = user;
    (void)doc;
    (void)err;
    return n < 2 ? BT_OK : score(s->e, ids, counts, 1, n, &s->r->nll, &s->r->tokens);
}

static bt_status measure(Eval *e, const Task *t, TaskResult *r)
{
    Sum sum = {e, r};
    const DataDoc doc = {.kind = t->messages ? DATA_CHAT : DATA_TEXT,
                         .text = t->text,
                         .messages = (json_t *)(uintptr_t)t->messages,
                         .tools = (json_t *)(uintptr_t)t->tools,
                         .variables = (json_t *)(uintptr_t)t->variables};
    bt_status status = labels_document(e->labels, &doc, 0, sum_document, &sum, e->err);
    if (!status && !r->tokens)
        status = bt_fail(e->err, BT_E_ARGUMENT, "there is nothing in it to score");
    return status;
}

/* ---- all of it ---- */

static bt_status open_eval(Eval *e, const Tasks *tasks)
{
    const EvalOptions *o = e->o;
    bool chats = false;
    const char *jinja = o->jinja ? o->jinja : bt_model_describe(e->model).chat_template;
    const LabelsSource labels = {.tok = model_tokenizer(e->model), .jinja = jinja};
    const bt_session_options session = {.n_ctx = o->n_ctx, .kv = o->kv, .n_logits = SCORED_MOST};
    const bt_sampler_options greedy = {.greedy = true, .seed = 1};
    for (size_t i = 0; i < tasks->n; i++) chats |= tasks->items[i].messages != NULL;
    bt_status status = BT_OK;
    if (chats) {
        const ChatSource source = {labels.tok, jinja};
        status = chat_open(&source, NULL, &e->chat, e->err);
        e->has_chat = status == BT_OK;
    }
    if (!status) status = labels_open(&labels, &e->labels, e->err);
    if (!status) status = bt_session_open(e->model, &session, &e->session, e->err);
    if (!status && o->n_adapters)
        status = bt_session_adapt(e->session, -1, o->adapters, o->n_adapters, e->err);
    if (!status) status = bt_sampler_open(e->model, &greedy, &e->sampler, e->err);
    if (status) return status;
    e->n_vocab = bt_model_describe(e->model).n_vocab;
    e->held = mem_alloc((size_t)bt_session_context(e->session) * sizeof *e->held);
    e->rows = mem_alloc(SCORED_MOST * sizeof *e->rows);
    return e->held && e->rows ? BT_OK : bt_fail_memory(e->err, "the tasks", SCORED_MOST);
}

static void close_eval(Eval *e)
{
    bt_sampler_close(&e->sampler);
    bt_grammar_close(&e->grammar);
    bt_session_close(&e->session);
    labels_close(&e->labels);
    if (e->has_chat) chat_close(&e->chat);
    chat_parts_close(&e->parts);
    buf_close(&e->text);
    mem_free(e->held);
    mem_free(e->rows);
}

static bt_status run_task(Eval *e, const Task *t, TaskResult *r)
{
    double start = os_seconds();
    bt_status status;
    if (t->kind == TASK_CHOICE) {
        status = choose(e, t, r);
    } else if (t->kind == TASK_PERPLEXITY) {
        status = measure(e, t, r);
    } else {
        status = answer_task(e, t, r);
        if (!status) judge_answer(e, t, r);
    }
    r->seconds = os_seconds() - start;
    return status;
}

bt_status evaluate(bt_model *model, const Tasks *tasks, const EvalOptions *options,
                   TaskResult *results, bt_error *err)
{
    bt_error why = {0};
    Eval e = {.model = model, .o = options, .err = &why};
    for (size_t i = 0; i < tasks->n; i++) results[i] = (TaskResult){0};
    bt_status status = open_eval(&e, tasks);
    if (status) {
        if (err) *err = why;
    }
    for (size_t i = 0; i < tasks->n && !status; i++) {
        const Task *t = &tasks->items[i];
        status = run_task(&e, t, &results[i]);
        if (status)
            bt_fail(err, status, "task '%.60s' (line %llu): %s", t->id, (unsigned long long)t->line,
                    why.text);
        else if (options->progress &&
                 !options->progress(options->progress_user, "tasks", i + 1, tasks->n))
            status = bt_fail(err, BT_E_CANCELLED, "cancelled");
    }
    close_eval(&e);
    return status;
}

void results_close(TaskResult *results, size_t n)
{
    for (size_t i = 0; results && i < n; i++) {
        mem_free(results[i].answer);
        json_decref(results[i].calls);
    }
}
