/* What an answer is held to: the schema, grammar or tools that a request came with, or the
 * assistant's own tools. What cannot be held for certain is refused, but for one case: a tool whose
 * schema has keywords that are not supported is held to its name and to any object, unless it says
 * "strict": programs send such schemas all day and mean them as advice. */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "serve/worker_inner.h"
#include "text/copied.h"
#ifdef BANTAM_AGENT
#include "agent/agent.h"
#endif

static const char any_object[] = "{\"type\": \"object\"}";

/* Calls that are held go out as they come, so that one that max_tokens cuts off is seen as far as
 * it came. Ollama's clients take whole calls alone: what is no whole one is text for them. */
bt_answer_options hold_answer(const Job *job)
{
    return (bt_answer_options){.jinja = job->w->jinja,
                               .tools = job->tools ? job->tools : job->call->tools,
                               .prompt = job->tail,
                               .whole_calls = !job->held_calls || job->flavour == API_OLLAMA};
}

/* ---- tools with schemas that are not supported ---- */

/* Those without "strict" lose their parameters. False: one is strict, or memory ran out. */
static bool loosen(json_t *tools)
{
    size_t i;
    json_t *tool;
    json_array_foreach(tools, i, tool)
    {
        json_t *function = json_object_get(tool, "function");
        json_t *object = json_is_object(function) ? function : tool;
        if (json_is_true(json_object_get(object, "strict"))) return false;
        if (json_object_get(object, "parameters") &&
            json_object_set_new(object, "parameters", json_pack("{s:s}", "type", "object")) != 0)
            return false;
    }
    return true;
}

static int write_piece(const char *text, size_t n, void *out)
{
    buf_add(out, text, n);
    return 0;
}

static char *loose_tools(const char *text)
{
    Buf out = {0};
    json_t *tools = json_loads(text, 0, NULL);
    bool good =
        tools && loosen(tools) && json_dump_callback(tools, write_piece, &out, JSON_COMPACT) == 0;
    char *written = good ? buf_take(&out) : NULL;
    json_decref(tools);
    buf_close(&out);
    return written;
}

static bool may_loosen(bt_status status)
{
    return status == BT_E_UNSUPPORTED || status == BT_E_ARGUMENT || status == BT_E_LIMIT;
}

/* ---- grammars ---- */

static bt_status get(Job *job, HoldKind kind, bt_grammar_kind language, const char *text,
                     bt_error *why)
{
    const bt_answer_options answer = hold_answer(job);
    const HoldWish wish = {.kind = kind,
                           .language = language,
                           .text = {text, text ? strlen(text) : 0},
                           .answer = &answer,
                           .principal = job->principal};
    return grammar_cache_get(job->w->grammars, &wish, &job->grammar, why);
}

/* With the tools as they are, else loosened. */
static bt_status get_with_tools(Job *job, HoldKind kind, bt_grammar_kind language, const char *text,
                                bt_error *why)
{
    bt_status status = get(job, kind, language, text, why);
    if (!may_loosen(status) || !job->call->tools || job->tools) return status;
    bt_error second = {0};
    if (!(job->tools = loose_tools(job->call->tools))) return status;
    if (get(job, kind, language, text, &second) == BT_OK) return BT_OK;
    mem_free(job->tools); /* it was not the tools: say what it was */
    job->tools = NULL;
    return status;
}

/* ---- the assistant's own tools ---- */

#ifdef BANTAM_AGENT
/* Texts of the user's messages. */
static size_t said_by_user(json_t *messages, Span *said, size_t most)
{
    size_t i, k, n = 0;
    json_t *message, *part;
    json_array_foreach(messages, i, message)
    {
        json_t *content = json_object_get(message, "content");
        const char *role = json_string_value(json_object_get(message, "role"));
        if (!role || strcmp(role, "user") != 0) continue;
        if (json_is_string(content) && n < most)
            said[n++] = (Span){json_string_value(content), json_string_length(content)};
        json_array_foreach(content, k, part)
        {
            json_t *text = json_object_get(part, "text");
            if (json_is_string(text) && n < most)
                said[n++] = (Span){json_string_value(text), json_string_length(text)};
        }
    }
    return n;
}

/* Calls come as calls: what carries them out is the client's affair. */
static bt_status assist(Job *job, ApiError *err)
{
    enum { MOST_SAID = 256 };
    bt_error why = {0};
    Buf bound = {0};
    bool any = false;
    json_t *messages = json_loads(job->call->messages, JSON_ALLOW_NUL, NULL);
    Span *said = messages ? mem_alloc(MOST_SAID * sizeof *said) : NULL;
    size_t n = said ? said_by_user(messages, said, MOST_SAID) : 0;
    bt_status status = said ? copied_bind(span_of(agent_tools()), said, n, &bound, &any, &why)
                            : bt_fail_memory(&why, "the tools", 0);
    if (!status && !any) buf_text(&bound, agent_tools());
    if (!status && !(job->tools = buf_take(&bound))) status = bt_fail_memory(&why, "the tools", 0);
    if (!status) {
        const bt_answer_options answer = hold_answer(job);
        status = bt_answer_grammar(job->w->model, &answer, false, &job->grammar, &why);
    }
    job->held_calls = status == BT_OK;
    if (status) api_error_from(err, &why);
    buf_close(&bound);
    mem_free(said);
    json_decref(messages);
    return status;
}
#else
static bt_status assist(Job *job, ApiError *err)
{
    (void)job;
    (void)err;
    return BT_OK;
}
#endif

/* ---- what was asked ---- */

static bt_status hold_tools(Job *job, bt_error *why)
{
    bool must =
        job->call->tool_choice == API_TOOLS_REQUIRED || job->call->tool_choice == API_TOOLS_NAMED;
    bt_status status =
        get_with_tools(job, must ? HOLD_MUST_CALL : HOLD_CALLS, BT_GRAMMAR_GBNF, NULL, why);
    job->held_calls = status == BT_OK;
    return !must && may_loosen(status) ? BT_OK : status; /* not held, and read all the same */
}

static bt_status hold_text(Job *job, bt_error *why)
{
    const ApiCall *call = job->call;
    bt_grammar_kind language = call->hold == API_HOLD_GBNF ? BT_GRAMMAR_GBNF : BT_GRAMMAR_SCHEMA;
    const char *text = call->hold == API_HOLD_JSON ? any_object : call->hold_text;
    if (call->kind != API_CHAT) return get(job, HOLD_TEXT, language, text, why);
    bt_status status = get_with_tools(job, HOLD_SAYS, language, text, why);
    job->held_calls = status == BT_OK && call->tools;
    return status;
}

bt_status hold_make(Job *job, ApiError *err)
{
    const ApiCall *call = job->call;
    bt_error why = {0};
    bt_status status = BT_OK;
    bool chat = call->kind == API_CHAT, tools = chat && call->tools;
    bool must = call->tool_choice == API_TOOLS_REQUIRED || call->tool_choice == API_TOOLS_NAMED;
    if (call->hold != API_HOLD_NONE && !(tools && must))
        status = hold_text(job, &why);
    else if (tools)
        status = hold_tools(job, &why);
    else if (chat && job->w->assistant && call->tool_choice != API_TOOLS_NONE)
        return assist(job, err);
    if (!status) return BT_OK;
    api_error_from(err, &why);
    return status;
}
