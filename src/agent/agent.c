/* From a call's text to the function that carries it out: the table of tools, the reading of
 * arguments, and what is put right on the way (see agent.h). */
#include "agent/agent.h"

#include <stdarg.h>
#include <string.h>

#include "agent/tools.h"
#include "base/mem.h"
#include "io/jdoc.h"

#define HAS(id) (1u << ARG_##id)

static const struct {
    const char *name;
    ToolFn run;
    unsigned takes, needs; /* bits of ArgumentId */
    bool keeps;            /* or looks for what is kept */
} tools[] = {
    {"remind", tool_remind, HAS(TEXT) | HAS(IN) | HAS(DAY) | HAS(TIME) | HAS(EVERY), HAS(TEXT),
     true},
    {"timer", tool_timer, HAS(IN) | HAS(TEXT), HAS(IN), true},
    {"event", tool_event, HAS(TEXT) | HAS(DAY) | HAS(TIME) | HAS(END) | HAS(FOR) | HAS(EVERY),
     HAS(TEXT), true},
    {"note", tool_note, HAS(TEXT), HAS(TEXT), true},
    {"list", tool_list, HAS(KIND) | HAS(DAY), HAS(KIND), true},
    {"find", tool_find, HAS(KIND) | HAS(TEXT), HAS(KIND) | HAS(TEXT), true},
    {"cancel", tool_cancel, HAS(KIND) | HAS(TEXT) | HAS(NUMBER) | HAS(DAY) | HAS(TIME), HAS(KIND),
     true},
    {"change", tool_change,
     HAS(KIND) | HAS(TEXT) | HAS(NUMBER) | HAS(FROM) | HAS(IN) | HAS(DAY) | HAS(TIME), HAS(KIND),
     true},
    {"undo", tool_undo, 0, 0, true},
    {"time", tool_time, 0, 0},
    {"date", tool_date, HAS(DAY) | HAS(TIME), 0},
    {"days", tool_days, HAS(FROM) | HAS(TO), HAS(FROM) | HAS(TO)},
    {"calculate", tool_calculate, HAS(EXPR), HAS(EXPR)},
    {"convert", tool_convert, HAS(VALUE) | HAS(FROM) | HAS(TO), HAS(VALUE) | HAS(FROM) | HAS(TO)},
    {"help", tool_help, HAS(TOPIC), HAS(TOPIC)},
    {"escalate", tool_escalate, HAS(REASON), HAS(REASON)},
};
enum { N_TOOLS = sizeof tools / sizeof tools[0], MOST_ARGUMENT_BYTES = 16384 };

static const char *const argument_names[ARGUMENTS] = {"text", "in",    "day",    "time",   "every",
                                                      "end",  "for",   "kind",   "from",   "to",
                                                      "expr", "topic", "reason", "number", "value"};

bt_status agent_open(const char *folder, const AgentOptions *options, Agent **out, bt_error *err)
{
    Agent *a = mem_zalloc(1, sizeof *a);
    *out = NULL;
    if (!a) return bt_fail_memory(err, "the assistant", sizeof *a);
    if (options) a->options = *options;
    bt_status status = BT_OK;
    if (folder && !(a->folder = mem_strdup(folder)))
        status = bt_fail_memory(err, "a path", strlen(folder));
    if (status == BT_OK) status = agent_store(a, err);
    if (status == BT_E_MEMORY)
        agent_close(&a);
    else
        bt_error_clear(err);
    *out = a;
    return status == BT_E_MEMORY ? status : BT_OK;
}

bt_status agent_store(Agent *a, bt_error *err)
{
    if (a->store) return BT_OK;
    if (!a->folder)
        return bt_fail(err, BT_E_IO,
                       "nothing can be kept: there is no home folder, or the folder "
                       "bantam/assistant in XDG_DATA_HOME (~/.local/share) cannot be made");
    return itemdb_open(a->folder, &a->store, err);
}

void agent_close(Agent **pointer)
{
    Agent *a = *pointer;
    *pointer = NULL;
    if (!a) return;
    itemdb_close(&a->store);
    mem_free(a->folder);
    mem_free(a);
}

void agent_hear(Agent *a, const char *text)
{
    a->heard = text;
}

const char *agent_outcome_text(AgentOutcome outcome)
{
    static const char *const texts[] = {"ok", "nothing found", "which", "failed"};
    return texts[outcome];
}

/* ---- answers ---- */

bt_status tool_wrong(ToolCall *call, const char *format, ...)
{
    bt_error text = {0};
    va_list args;
    va_start(args, format);
    bt_failv(&text, BT_E_ARGUMENT, format, args);
    va_end(args);
    call->outcome = AGENT_WRONG;
    buf_text(call->answer, text.text);
    return BT_OK;
}

bt_status tool_wrong_when(ToolCall *call, WhenResult result)
{
    static const struct {
        ArgumentId id;
        const char *what;
    } bad[] = {[WHEN_BAD_IN] = {ARG_IN, "length of time"},
               [WHEN_BAD_DAY] = {ARG_DAY, "day"},
               [WHEN_BAD_TIME] = {ARG_TIME, "time"},
               [WHEN_BAD_EVERY] = {ARG_EVERY, "repetition"}};
    if (result == WHEN_PAST) return tool_wrong(call, "That is over already; nothing was changed.");
    if (result == WHEN_NOT_SAID)
        return tool_wrong(call, "I did not understand when; please say a day or a time.");
    Span said = call->said[bad[result].id];
    Buf text = {0};
    clean_text(&text, said);
    tool_wrong(call, "'%.60s' is no %s that I understand; nothing was changed.",
               text.data ? text.data : "", bad[result].what);
    buf_close(&text);
    return BT_OK;
}

bool tool_has(const ToolCall *call, ArgumentId id)
{
    return call->said[id].data != NULL;
}

/* Bytes of the character that begins here, 0 if it is none or one that a terminal obeys. */
static size_t good_character(Span s)
{
    const unsigned char *p = (const unsigned char *)s.data;
    size_t n = p[0] < 0x80   ? 1
               : p[0] < 0xc2 ? 0
               : p[0] < 0xe0 ? 2
               : p[0] < 0xf0 ? 3
               : p[0] < 0xf5 ? 4
                             : 0;
    if (n == 0 || n > s.size || (n == 1 && (p[0] < 0x20 || p[0] == 0x7f))) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (n == 2 && p[0] == 0xc2 && p[1] < 0xa0) return 0; /* C1 controls */
    return n;
}

void clean_text(Buf *out, Span s)
{
    size_t start = out->size;
    bool blank = false;
    for (size_t i = 0; i < s.size;) {
        size_t n = good_character((Span){s.data + i, s.size - i});
        if (n == 0 || s.data[i] == ' ') {
            blank = out->size > start;
            i += n ? n : 1;
            continue;
        }
        if (blank) buf_char(out, ' ');
        blank = false;
        buf_add(out, s.data + i, n);
        i += n;
    }
    buf_add(out, "", 0);
}

/* ---- arguments ---- */

static int argument_id(Span name)
{
    for (int i = 0; i < ARGUMENTS; i++)
        if (span_is(name, argument_names[i])) return i;
    return -1;
}

/* The digits of a number as they stand in the JSON text are not kept by the reader: %.17g gives the
 * shortest of its decimals that are surely right, and 15 digits what a person wrote. */
static bool take_value(ToolCall *call, const Jdoc *doc, JdocRef value, int id, Buf *digits)
{
    double number;
    if (id == ARG_NUMBER)
        return jdoc_integer(doc, value, &call->number) && (call->said[id] = SPAN("n"), true);
    if (id == ARG_VALUE) {
        if (!jdoc_number(doc, value, &number) || number != number || number > 1e30 ||
            number < -1e30)
            return false;
        buf_printf(digits, "%.15g", number);
        if (digits->failed) return false;
        call->said[id] = (Span){digits->data, digits->size};
        return true;
    }
    if (jdoc_type(doc, value) != JDOC_STRING) return false;
    call->said[id] = jdoc_text(doc, value);
    if (!call->said[id].data) call->said[id] = SPAN("");
    return true;
}

/* False after an answer: what does not fit the tool's schema. */
static bool read_arguments(ToolCall *call, const Jdoc *doc, size_t tool, Buf *digits)
{
    unsigned seen = 0;
    JdocRef key = jdoc_first(doc, 0);
    uint32_t n = jdoc_type(doc, 0) == JDOC_OBJECT ? jdoc_count(doc, 0) : 0;
    for (uint32_t i = 0; i < n; i++) {
        JdocRef value = jdoc_next(doc, key);
        int id = argument_id(jdoc_text(doc, key));
        if (id < 0 || !(tools[tool].takes >> id & 1) || !take_value(call, doc, value, id, digits)) {
            tool_wrong(call,
                       "That call of '%s' has arguments that it does not take; nothing was "
                       "done.",
                       tools[tool].name);
            return false;
        }
        seen |= 1u << id;
        key = jdoc_next(doc, value);
    }
    if ((seen & tools[tool].needs) == tools[tool].needs) return true;
    tool_wrong(call, "That call of '%s' lacks arguments; nothing was done.", tools[tool].name);
    return false;
}

bt_status agent_call(Agent *agent, const char *name, const char *arguments, int64_t now,
                     Buf *answer, AgentOutcome *outcome, bt_error *err)
{
    ToolCall call = {.agent = agent, .now = now, .answer = answer};
    Jdoc *doc = NULL;
    Buf digits = {0};
    size_t size = strlen(arguments), tool = 0;
    bt_status status = BT_OK;
    *outcome = AGENT_WRONG;
    while (tool < N_TOOLS && strcmp(tools[tool].name, name) != 0) tool++;
    if (tool == N_TOOLS) {
        tool_wrong(&call, "There is no tool of that name; nothing was done.");
    } else if (size > MOST_ARGUMENT_BYTES) {
        tool_wrong(&call, "That is too long: at most %d bytes.", MOST_ARGUMENT_BYTES);
    } else {
        status = jdoc_open(arguments, size, "the call's arguments", &doc, err);
        if (status == BT_E_FORMAT || status == BT_E_LIMIT) {
            bt_error_clear(err);
            status = tool_wrong(&call, "That call's arguments are no JSON; nothing was done.");
        } else if (status == BT_OK && read_arguments(&call, doc, tool, &digits)) {
            if (tools[tool].keeps) status = agent_store(agent, err);
            if (status == BT_OK) status = tools[tool].run(&call, err);
        }
    }
    jdoc_close(&doc);
    buf_close(&digits);
    *outcome = call.outcome;
    if (status == BT_OK && answer->failed) return bt_fail_memory(err, "the answer", 0);
    return status;
}
