/* Expressions of Go's template language written in Jinja: fields of what the dot is, variables,
 * literals, functions. Tools, their definitions and the arguments of calls print as compact JSON,
 * as Ollama's types do, with their members in the request's order. */
#include <string.h>

#include "serve/go_parts.h"

/* ---- fields ---- */

typedef struct Field {
    GoScope of;
    const char *name, *jinja;
    bool json;     /* prints as JSON */
    GoScope range; /* a list of these; GO_ALL: none */
} Field;

static const Field fields[] = {
    {GO_ALL, "System", "v.system", false, GO_ALL},
    {GO_ALL, "Prompt", "v.prompt", false, GO_ALL},
    {GO_ALL, "Response", "v.response", false, GO_ALL},
    {GO_ALL, "Messages", "v.list", true, GO_MESSAGE},
    {GO_ALL, "Tools", "(tools or [])", true, GO_TOOL},
    {GO_ALL, "IsThinkSet", "(enable_thinking is defined)", false, GO_ALL},
    {GO_ALL, "Think", "(enable_thinking is defined and enable_thinking)", false, GO_ALL},
    {GO_MESSAGE, "Role", "m.role", false, GO_ALL},
    {GO_MESSAGE, "Content", "m.content", false, GO_ALL},
    {GO_MESSAGE, "Thinking", "m.thinking", false, GO_ALL},
    {GO_MESSAGE, "ToolCalls", "m.calls", true, GO_CALL},
    {GO_TOOL, "", "t", true, GO_ALL},
    {GO_TOOL, "Type", "t.type", false, GO_ALL},
    {GO_TOOL, "Function", "t.function", true, GO_ALL},
    {GO_TOOL, "Function.Name", "t.function.name", false, GO_ALL},
    {GO_TOOL, "Function.Description", "(t.function.description or '')", false, GO_ALL},
    {GO_TOOL, "Function.Parameters", "(t.function.parameters or {})", true, GO_ALL},
    {GO_CALL, "ID", "c.id", false, GO_ALL},
    {GO_CALL, "Function.Name", "c.function.name", false, GO_ALL},
    {GO_CALL, "Function.Arguments", "c.function.arguments", true, GO_ALL},
};

const char *go_element(GoScope of)
{
    return of == GO_MESSAGE ? "m" : of == GO_TOOL ? "t" : "c";
}

/* The field that the token names: ".X" of what the dot is, "$.X" of all, "$x.X" of a range's
 * element. NULL: none that is known. */
static const Field *find_field(const Go *g)
{
    Span t = g->token.text;
    size_t dot = 0;
    while (dot < t.size && t.data[dot] != '.') dot++;
    Span name = dot < t.size ? (Span){t.data + dot + 1, t.size - dot - 1} : (Span){"", 0};
    Span variable = {t.data + 1, dot ? dot - 1 : 0};
    GoScope of = *t.data != '$' && g->n_ranges ? g->range[g->n_ranges - 1].of : GO_ALL;
    if (variable.size) {
        int i = g->n_ranges - 1;
        while (i >= 0 && !span_is(variable, g->range[i].element)) i--;
        if (i < 0) return NULL;
        of = g->range[i].of;
    }
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].of == of && span_is(name, fields[i].name)) return &fields[i];
    return NULL;
}

/* "$x" that is no element: a range's number, or what was assigned. */
static bool put_variable(Go *g, Buf *out)
{
    Span t = g->token.text, name = {t.data + 1, t.size - 1};
    if (*t.data != '$' || t.size < 2 || memchr(t.data, '.', t.size)) return false;
    for (int i = g->n_ranges - 1; i >= 0; i--)
        if (span_is(name, g->range[i].index)) {
            buf_printf(out, "i_%s", go_element(g->range[i].of));
            return true;
        }
    for (int i = 0; i < g->n_ranges; i++)
        if (span_is(name, g->range[i].element)) return false;
    buf_printf(out, "v.u_%.*s", (int)name.size, name.data);
    return true;
}

static bool put_field(Go *g, Buf *out)
{
    const Field *f = find_field(g);
    g->json = f && f->json;
    if (f && g->turns && f->range) f = NULL; /* a turn has no list */
    if (!f && put_variable(g, out)) return true;
    if (!f) return go_unknown(g, g->token.text);
    buf_text(out, f->jinja);
    return true;
}

bool go_list(Go *g, GoScope *of, const char **jinja)
{
    const Field *f = g->token.kind == GO_FIELD ? find_field(g) : NULL;
    if (!f || !f->range || g->turns) return go_unknown(g, g->token.text);
    *of = f->range;
    *jinja = f->jinja;
    return true;
}

/* ---- operands ---- */

static void put_string(const GoToken *t, Buf *out)
{
    buf_char(out, '"');
    for (size_t i = 0; i < t->text.size; i++) {
        char c = t->text.data[i];
        if (c == '\n')
            buf_text(out, "\\n");
        else if (t->raw && (c == '"' || c == '\\'))
            buf_printf(out, "\\%c", c);
        else
            buf_char(out, c);
    }
    buf_char(out, '"');
}

/* One operand; the token behind it is read. */
static bool operand(Go *g, Buf *out, int depth)
{
    const GoToken t = g->token;
    switch (t.kind) {
    case GO_STRING: put_string(&t, out); break;
    case GO_NUMBER: buf_add(out, t.text.data, t.text.size); break;
    case GO_FIELD:
        if (!put_field(g, out)) return false;
        break;
    case GO_OPEN:
        buf_char(out, '(');
        if (!go_next(g) || !go_expression(g, out, depth + 1)) return false;
        if (g->token.kind != GO_CLOSE) return go_fail(g, "a parenthesis is not closed");
        buf_char(out, ')');
        break;
    case GO_WORD:
        if (span_is(t.text, "true") || span_is(t.text, "false"))
            buf_add(out, t.text.data, t.text.size);
        else if (span_is(t.text, "nil"))
            buf_text(out, "none");
        else
            return go_unknown(g, t.text);
        break;
    default: return go_fail(g, "a value is missing");
    }
    return go_next(g);
}

static bool is_operand(const Go *g)
{
    return g->token.kind != GO_END && g->token.kind != GO_CLOSE && g->token.kind != GO_SIGN;
}

/* ---- functions ---- */

/* a OP b, and for eq with more: a == b or a == c ... */
static bool compare(Go *g, Buf *out, const char *sign, int depth)
{
    Buf first = {0};
    bool good = operand(g, &first, depth);
    for (int i = 0; good && (i == 0 || (is_operand(g) && *sign == '=')); i++) {
        buf_printf(out, "%s%s %s ", i ? " or " : "", first.data ? first.data : "", sign);
        good = operand(g, out, depth);
    }
    out->failed |= first.failed;
    buf_close(&first);
    return good;
}

static bool join(Go *g, Buf *out, const char *sign, int depth)
{
    bool good = operand(g, out, depth);
    while (good && is_operand(g)) {
        buf_text(out, sign);
        good = operand(g, out, depth);
    }
    return good;
}

/* x[from:to], x[i] */
static bool part_of(Go *g, Buf *out, bool slice, int depth)
{
    bool good = operand(g, out, depth);
    buf_char(out, '[');
    if (good) good = operand(g, out, depth);
    if (good && slice) buf_char(out, ':');
    if (good && slice && is_operand(g)) good = operand(g, out, depth);
    buf_char(out, ']');
    return good;
}

/* What has a form of its own for each kind of value in Go is said for JSON alone. */
static bool as_json(Go *g, Buf *out, int depth)
{
    buf_text(out, "j(");
    if (!operand(g, out, depth)) return false;
    buf_char(out, ')');
    if (!g->json) return go_fail(g, "json is translated for tools and arguments alone");
    g->json = false;
    return true;
}

static bool call(Go *g, Span name, Buf *out, int depth)
{
    static const struct {
        const char *name, *sign;
    } signs[] = {{"eq", "=="}, {"ne", "!="}, {"lt", "<"}, {"le", "<="}, {"gt", ">"}, {"ge", ">="}};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (span_is(name, signs[i].name)) return compare(g, out, signs[i].sign, depth);
    if (span_is(name, "and")) return join(g, out, " and ", depth);
    if (span_is(name, "or")) return join(g, out, " or ", depth);
    if (span_is(name, "json")) return as_json(g, out, depth);
    if (span_is(name, "slice")) return part_of(g, out, true, depth);
    if (span_is(name, "index")) return part_of(g, out, false, depth);
    if (span_is(name, "not")) {
        buf_text(out, "not ");
        return operand(g, out, depth);
    }
    if (span_is(name, "len")) {
        bool good = operand(g, out, depth);
        buf_text(out, "|length");
        return good;
    }
    if (!span_is(name, "currentDate")) return go_unknown(g, name);
    buf_text(out, "strftime_now('%Y-%m-%d')");
    return true;
}

/* In parentheses, so that signs around it do not matter. */
bool go_expression(Go *g, Buf *out, int depth)
{
    bool word = g->token.kind == GO_WORD && !go_is(g, GO_WORD, "true") &&
                !go_is(g, GO_WORD, "false") && !go_is(g, GO_WORD, "nil");
    Span name = g->token.text;
    if (depth > GO_MOST_DEPTH) return go_fail(g, "this nests too deeply");
    g->json = false;
    buf_char(out, '(');
    bool good = word ? go_next(g) && call(g, name, out, depth) : operand(g, out, depth);
    buf_char(out, ')');
    g->json &= !word;
    return good;
}
