/* Patterns of calls as grammars (see answer_grammar.h). A pattern's first text is what sets a call
 * off; groups at its very start and end are the section around several calls; what else may be
 * missing is left out. White space between parts is at most two characters. */
#include "text/answer_grammar.h"

#include <jansson.h>

#include "base/mem.h"
#include "text/answer_tools.h"
#include "text/json_scan.h"
#include "text/schema.h"

#define MOST_MARK 256

typedef struct Maker {
    GrammarBuilder *b;
    const AnswerForm *form;
    AnswerTools *types;
    json_t *tools;
    bt_error *err;
    bt_status status;
} Maker;

typedef struct MakerTool {
    const char *name;
    const json_t *parameters; /* NULL: none were declared */
} MakerTool;

static MakerTool tool_at(const Maker *m, size_t i)
{
    const json_t *row = json_array_get(m->tools, i), *inner = json_object_get(row, "function");
    if (json_is_object(inner)) row = inner;
    const json_t *schema = json_object_get(row, "parameters");
    if (!schema) schema = json_object_get(row, "input_schema");
    return (MakerTool){json_string_value(json_object_get(row, "name")), schema};
}

/* ---- small pieces ---- */

static uint32_t text(Maker *m, uint32_t from, Span s)
{
    for (size_t i = 0; i < s.size; i++) {
        unsigned c = (unsigned char)s.data[i];
        uint32_t next = builder_state(m->b);
        builder_bytes(m->b, from, c, c, next);
        if (c == '<' || c == '[' || c == ']') { /* a control token may begin here */
            uint32_t control = builder_state(m->b);
            builder_bytes(m->b, from, GRAMMAR_CONTROL, GRAMMAR_CONTROL, control);
            builder_bytes(m->b, control, c, c, next);
        }
        from = next;
    }
    return from;
}

static uint32_t text_of(Maker *m, uint32_t from, const char *s)
{
    return text(m, from, span_of(s));
}

static uint32_t blank(Maker *m, uint32_t from)
{
    uint32_t to = builder_state(m->b);
    for (int i = 0; i < 2; i++) {
        uint32_t next = builder_state(m->b);
        builder_empty(m->b, from, to);
        builder_bytes(m->b, from, ' ', ' ', next);
        builder_bytes(m->b, from, '\n', '\n', next);
        from = next;
    }
    builder_empty(m->b, from, to);
    return to;
}

/* 1 to `most` characters of a range; exactly `most` with `all`. */
static uint32_t run(Maker *m, uint32_t from, const char *pairs, int most, bool all)
{
    uint32_t to = builder_state(m->b);
    for (int i = 0; i < most; i++) {
        uint32_t next = builder_state(m->b);
        for (const char *p = pairs; *p; p += 2)
            builder_bytes(m->b, from, (unsigned char)p[0], (unsigned char)p[1], next);
        if (!all || i == most - 1) builder_empty(m->b, next, to);
        from = next;
    }
    return to;
}

/* How many bytes of `stop` stand at the end of its first n bytes and c. */
static size_t matched(Span stop, size_t n, unsigned char c)
{
    for (size_t k = n + 1; k; k--) {
        if ((unsigned char)stop.data[k - 1] != c) continue;
        if (memcmp(stop.data, stop.data + n + 1 - k, k - 1) == 0) return k;
    }
    return 0;
}

/* Anything, control tokens too, up to and with `stop`; gives the state after it. `end` (0: none):
 * where a text goes on that ends before there is any. */
static uint32_t until(Maker *m, uint32_t from, Span stop, bool control, uint32_t end)
{
    uint32_t states[MOST_MARK + 1];
    if (stop.size > MOST_MARK) m->b->too_large = true;
    if (m->b->too_large || m->b->no_memory || !stop.size) return from;
    for (size_t i = 0; i <= stop.size; i++) states[i] = builder_state(m->b);
    builder_empty(m->b, from, states[0]);
    for (size_t i = 0; i < stop.size; i++) {
        unsigned low = 0;
        for (unsigned c = 0; c <= GRAMMAR_CONTROL; c++) {
            size_t k = c < GRAMMAR_CONTROL ? matched(stop, i, (unsigned char)c) : 0;
            if (!k && c < GRAMMAR_CONTROL) continue;
            if (low < c) builder_bytes(m->b, states[i], low, c - 1, states[0]);
            if (k) builder_bytes(m->b, states[i], c, c, states[k]);
            low = c + 1;
        }
        if (control) builder_bytes(m->b, states[i], GRAMMAR_CONTROL, GRAMMAR_CONTROL, states[0]);
        if (end) builder_empty(m->b, states[i], end);
    }
    return states[stop.size];
}

/* ---- values ---- */

/* One JSON value by a schema; the definitions of `root` are its own too. */
static uint32_t value(Maker *m, uint32_t from, const json_t *schema, const json_t *root,
                      const char *tool)
{
    static const char *const shared[] = {"$defs", "definitions"};
    const size_t flags = JSON_ENCODE_ANY | JSON_COMPACT;
    uint32_t rule, to = builder_state(m->b);
    json_t *whole = json_copy((json_t *)(uintptr_t)schema);
    for (size_t i = 0; root && json_is_object(whole) && i < 2; i++) {
        json_t *defs = json_object_get(root, shared[i]);
        if (defs) json_object_set(whole, shared[i], defs);
    }
    size_t size = whole ? json_dumpb(whole, NULL, 0, flags) : 0;
    char *written = size ? mem_alloc(size) : NULL;
    if (written) json_dumpb(whole, written, size, flags);
    json_decref(whole);
    if (!written) {
        m->b->no_memory = true;
        return to;
    }
    bt_status status = schema_build(m->b, (Span){written, size}, NULL, &rule, m->err);
    mem_free(written);
    if (status) {
        char prefix[160];
        snprintf(prefix, sizeof prefix, "tool '%.100s'", tool);
        if (m->err) bt_error_prefix(m->err, prefix);
        m->status = status;
        return to;
    }
    builder_call(m->b, from, rule, to);
    return to;
}

static uint32_t object(Maker *m, uint32_t from, const MakerTool *tool)
{
    if (tool->parameters) return value(m, from, tool->parameters, NULL, tool->name);
    return text(m, from, SPAN("{}"));
}

/* Texts of an enum or const of strings; false: it is none. */
static bool choices(Maker *m, uint32_t from, const json_t *schema, uint32_t to)
{
    const json_t *list = json_object_get(schema, "enum"), *one = json_object_get(schema, "const");
    size_t n = one ? 1 : json_array_size(list);
    for (size_t i = 0; i < n; i++)
        if (!json_is_string(one ? one : json_array_get(list, i))) return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = one ? one : json_array_get(list, i);
        Span s = {json_string_value(item), json_string_length(item)};
        builder_text_to(m->b, from, s, to);
    }
    return n > 0;
}

/* The text of a value, and `stop` after it. */
static uint32_t text_value(Maker *m, uint32_t from, const MakerTool *tool, const char *key,
                           const json_t *schema, Span stop)
{
    unsigned types = answer_tools_type(m->types, span_of(tool->name), span_of(key));
    uint32_t after = builder_state(m->b);
    if (!(types & TYPE_STRING))
        return text(m, value(m, from, schema, tool->parameters, tool->name), stop);
    if (choices(m, from, schema, after)) return text(m, after, stop);
    return until(m, from, stop, false, 0);
}

static bool is_required(const MakerTool *tool, const char *key)
{
    const json_t *list = json_object_get(tool->parameters, "required");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name && strcmp(name, key) == 0) return true;
    }
    return false;
}

/* ---- parameters ---- */

static const char *type_word(unsigned types)
{
    return types & TYPE_STRING    ? "string"
           : types & TYPE_NUMBER  ? "number"
           : types & TYPE_BOOLEAN ? "boolean"
           : types & TYPE_ARRAY   ? "array"
                                  : "object";
}

/* `%k` and `%t` of a parameter's pattern, then its value and the text after. */
static uint32_t parameter(Maker *m, uint32_t from, const MakerTool *tool, const char *key,
                          const json_t *schema)
{
    const char *at = m->form->parameter;
    unsigned types = answer_tools_type(m->types, span_of(tool->name), span_of(key));
    bool string = types & TYPE_STRING;
    while (*at) {
        size_t n = strcspn(at, "%");
        if (n) {
            from = text(m, from, (Span){at, n});
            at += n;
            continue;
        }
        char what = at[1];
        at += 2;
        if (what == '(') at = strstr(at, "%)") + 2;
        if (what == 'k') from = text_of(m, from, key);
        if (what == '_') from = blank(m, from);
        if (what == 't') {
            bool words = strstr(m->form->parameter, "type=") != NULL;
            from = text_of(m, from, words ? type_word(types) : string ? "true" : "false");
        }
        if (what != 'v' && what != 'w') continue;
        char stop[MOST_MARK];
        if (strncmp(at, "%(", 2) == 0) at = strstr(at, "%)") + 2;
        snprintf(stop, sizeof stop, "%s%s", what == 'w' ? "\n" : "", at);
        if (what == 'w') from = text(m, from, SPAN("\n"));
        return text_value(m, from, tool, key, schema, span_of(stop));
    }
    return from;
}

/* One argument of the notations that put them in a row: `name=`, or `name:` and Gemma's strings. */
static uint32_t argument(Maker *m, uint32_t from, const MakerTool *tool, const char *key,
                         const json_t *schema, char what)
{
    const char *mark = m->form->mark;
    from = text_of(m, from, key);
    from = text(m, from, what == 'g' ? SPAN(":") : SPAN("="));
    unsigned types = answer_tools_type(m->types, span_of(tool->name), span_of(key));
    if (what == 'g' && mark && types & TYPE_STRING)
        return text_value(m, text_of(m, from, mark), tool, key, schema, span_of(mark));
    return value(m, from, schema, tool->parameters, tool->name);
}

/* All arguments in the order declared, those not required or not. */
static uint32_t arguments(Maker *m, uint32_t from, const MakerTool *tool, char what)
{
    json_t *all = json_object_get(tool->parameters, "properties");
    uint32_t none = from, some = builder_state(m->b), end = builder_state(m->b);
    const char *key;
    json_t *schema;
    json_object_foreach(all, key, schema)
    {
        uint32_t next_none = builder_state(m->b), next_some = builder_state(m->b);
        if (!is_required(tool, key)) {
            builder_empty(m->b, none, next_none);
            builder_empty(m->b, some, next_some);
        }
        uint32_t first = builder_state(m->b);
        if (what == 'p') {
            builder_empty(m->b, none, first);
            builder_empty(m->b, some, first);
            from = parameter(m, blank(m, first), tool, key, schema);
        } else {
            builder_empty(m->b, none, first);
            builder_empty(m->b, text(m, some, what == 'g' ? SPAN(",") : SPAN(", ")), first);
            from = argument(m, first, tool, key, schema, what);
        }
        builder_empty(m->b, from, next_some);
        none = next_none;
        some = next_some;
    }
    builder_empty(m->b, none, end);
    builder_empty(m->b, some, end);
    return what == 'p' ? blank(m, end) : end;
}

/* ---- calls ---- */

static uint32_t pattern(Maker *m, uint32_t from, const char *at, const char *stop,
                        const MakerTool *tool);

/* One call of a body that holds the name: `how` is the letter of the body. */
static uint32_t inner_call(Maker *m, uint32_t from, const MakerTool *tool, char how)
{
    const char *form = m->form->object ? m->form->object : "{\"name\": \"%n\", \"arguments\": %j}";
    if (how == 'y') form = "%n(%y)";
    if (how == 'a') form = "{\"%n\": %j}";
    return pattern(m, from, form, NULL, tool);
}

/* %c, %a, %y, %b: calls of any tools. */
static uint32_t body(Maker *m, uint32_t from, char what)
{
    char how = what == 'b' ? 'y' : what;
    bool list = how != 'c' || m->form->list;
    uint32_t to = builder_state(m->b), begin = builder_state(m->b), end = builder_state(m->b);
    builder_empty(m->b, list ? text(m, from, SPAN("[")) : from, begin);
    for (size_t i = 0; i < json_array_size(m->tools) && !m->status; i++) {
        MakerTool tool = tool_at(m, i);
        builder_empty(m->b, inner_call(m, begin, &tool, how), end);
    }
    if (list) builder_empty(m->b, text(m, end, SPAN(", ")), begin);
    builder_empty(m->b, list ? text(m, end, SPAN("]")) : end, to);
    return to;
}

/* Reads a pattern up to `stop` (NULL: its end). */
static uint32_t pattern(Maker *m, uint32_t from, const char *at, const char *stop,
                        const MakerTool *tool)
{
    while (*at && at != stop && !m->status) {
        size_t n = strcspn(at, "%");
        if (n) {
            from = text(m, from, (Span){at, n});
            at += n;
            continue;
        }
        char what = at[1];
        at += 2;
        switch (what) {
        case '(': { /* or not */
            const char *close = strstr(at, "%)");
            uint32_t to = builder_state(m->b);
            builder_empty(m->b, from, to);
            builder_empty(m->b, pattern(m, from, at, close, tool), to);
            from = to;
            at = close + 2;
            break;
        }
        case '_': from = blank(m, from); break;
        case 'f':
            from = text_of(m, text(m, from, SPAN("functions.")), tool->name);
            from = run(m, text(m, from, SPAN(":")), "09", 3, false);
            break;
        case 'n': from = text_of(m, from, tool->name); break;
        case 'i': from = run(m, from, "09AZaz", 9, true); break;
        case 'd': from = run(m, from, "09", 3, false); break;
        case 'p': from = arguments(m, from, tool, 'p'); break;
        case 'g':
            from = text(m, arguments(m, text(m, from, SPAN("{")), tool, 'g'), SPAN("}"));
            break;
        case 'j': from = object(m, from, tool); break;
        default:
            if (tool && what == 'y')
                from = arguments(m, from, tool, 'y');
            else
                from = blank(m, body(m, blank(m, from), what));
        }
    }
    return from;
}

/* Where the groups at the start of a pattern end, and those at its end begin. */
static void section(const char *whole, const char **from, const char **to)
{
    const char *at = whole;
    while (strncmp(at, "%(", 2) == 0) at = strstr(at, "%)") + 2;
    *from = at;
    *to = whole + strlen(whole);
    for (const char *p = at; (p = strstr(p, "%(")); p += 2) {
        const char *q = p;
        while (strncmp(q, "%(", 2) == 0) q = strstr(q, "%)") + 2;
        if (!*q) {
            *to = p;
            return;
        }
    }
}

/* The texts of a row of groups. */
static uint32_t groups(Maker *m, uint32_t from, const char *at, const char *end)
{
    while (at < end) {
        size_t n = strcspn(at + 2, "%");
        from = blank(m, text(m, from, (Span){at + 2, n}));
        at += n + 4;
    }
    return from;
}

/* One pattern from a state where its first text (`said` bytes of it) has been read already. */
static uint32_t calls(Maker *m, uint32_t from, const char *whole, size_t said)
{
    const char *begin, *end;
    section(whole, &begin, &end);
    bool several = begin > whole;
    if (several) from = blank(m, groups(m, from, whole + said + 4, begin)); /* %( text %) */
    uint32_t each = builder_state(m->b), done = builder_state(m->b);
    builder_empty(m->b, from, each);
    bool any_tool = !strstr(begin, "%n") && !strstr(begin, "%f");
    size_t n = any_tool ? 1 : json_array_size(m->tools);
    for (size_t i = 0; i < n && !m->status; i++) {
        MakerTool tool = tool_at(m, i);
        const char *at = several ? begin : begin + said;
        builder_empty(m->b, pattern(m, each, at, end, any_tool ? NULL : &tool), done);
    }
    uint32_t after = blank(m, done);
    if (several) builder_empty(m->b, after, each);
    return groups(m, *end ? after : done, end, end + strlen(end));
}

static Span first_text(const char *whole)
{
    if (strncmp(whole, "%(", 2) == 0) whole += 2;
    return (Span){whole, strcspn(whole, "%")};
}

/* Thoughts first, if they come: `begin` is where the rest starts. */
static void thoughts(Maker *m, const AnswerSource *source, uint32_t start, uint32_t begin)
{
    const AnswerThink *t = &source->think;
    Span prompt = source->prompt;
    size_t n = strlen(t->open);
    while (prompt.size && json_is_space(prompt.data[prompt.size - 1])) prompt.size--;
    bool opened = prompt.size >= n && memcmp(prompt.data + prompt.size - n, t->open, n) == 0;
    if (opened) {
        builder_empty(m->b, blank(m, until(m, start, span_of(t->close), true, 0)), begin);
        return;
    }
    builder_empty(m->b, start, begin);
    uint32_t inside = text_of(m, blank(m, start), t->open);
    builder_empty(m->b, blank(m, until(m, inside, span_of(t->close), true, 0)), begin);
}

static uint32_t build(Maker *m, const AnswerSource *source, bool needed)
{
    const AnswerForm *form = m->form;
    const char *whole = form->writes ? form->writes : form->calls[0];
    bool bare = *whole == '^';
    Span first = first_text(whole + bare);
    uint32_t rule = builder_rule(m->b, (Span){0});
    if (m->b->no_memory || m->b->too_large) return 0;
    uint32_t start = m->b->rules[rule].start, end = m->b->rules[rule].end;
    uint32_t begin = builder_state(m->b), last = builder_state(m->b);
    builder_empty(m->b, last, end);
    if (form->header.close)
        builder_empty(m->b, start, begin); /* its thoughts are messages like others */
    else
        thoughts(m, source, start, begin);
    if (bare) { /* an answer that begins so is a call */
        builder_empty(m->b, calls(m, blank(m, begin), whole + 1, 0), last);
        if (!needed) {
            uint32_t other = builder_state(m->b), free_text = blank(m, begin);
            builder_empty(m->b, free_text, last);
            for (unsigned c = 0; c < GRAMMAR_CONTROL; c++)
                if (!strchr(" \n{[", (int)c) || !c) builder_bytes(m->b, free_text, c, c, other);
            builder_free(m->b, other, (Span){0}, last);
        }
        return rule;
    }
    uint32_t said = until(m, begin, first, true, needed ? 0 : last);
    uint32_t after = calls(m, said, whole, first.size);
    builder_empty(m->b, after, last);
    builder_empty(m->b, until(m, after, first, true, last), said);
    return rule;
}

bool answer_can_hold(const AnswerForm *form)
{
    const char *calls = form->writes ? form->writes : form->calls[0];
    return calls && !strstr(calls, "%x");
}

bt_status answer_grammar(GrammarBuilder *b, const AnswerSource *source, bool needed, uint32_t *rule,
                         bt_error *err)
{
    Maker m = {.b = b, .form = source->form, .err = err};
    if (!source->tools || !*source->tools)
        return bt_fail(err, BT_E_ARGUMENT, "no tools are declared: there is no call to hold");
    bt_status status = answer_tools_open(source->tools, &m.types, err);
    if (status) return status;
    m.tools = json_loads(source->tools, 0, NULL);
    if (!m.tools) status = bt_fail_memory(err, "the tools", strlen(source->tools));
    if (!status && !json_array_size(m.tools))
        status = bt_fail(err, BT_E_ARGUMENT, "no tools are declared: there is no call to hold");
    if (!status) *rule = build(&m, source, needed);
    json_decref(m.tools);
    answer_tools_close(&m.types);
    return status ? status : m.status;
}
