/* See go_template.h. All text becomes string literals, so that no rule of Jinja about white space
 * touches it. A template without .Messages describes one turn: as Ollama does, it is written for
 * each turn of the conversation, and for the last one up to .Response. Before either, messages of
 * one role that follow each other are joined, and all system messages make .System. */
#include "serve/go_template.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MOST_DEPTH = 24, MOST_NAME = 48 };

typedef enum Kind { T_END, T_WORD, T_FIELD, T_STRING, T_NUMBER, T_OPEN, T_CLOSE, T_SIGN } Kind;

typedef struct Token {
    Kind kind;
    Span text; /* of a string: what it says, its escapes as they stand */
    bool raw;  /* a string in backquotes */
} Token;

typedef struct Go {
    const char *begin, *p, *end;
    Buf *out;
    bool turns;  /* no .Messages: one turn */
    bool cut;    /* nothing comes behind .Response */
    bool silent; /* that was reached */
    bool in_range, trims;
    char index[MOST_NAME], element[MOST_NAME]; /* variables of the range */
    char open[MOST_DEPTH];                     /* i: if, r: range */
    int depth;
    Token token;
    char *why;
    size_t why_size;
    bool failed;
} Go;

static bool fail(Go *g, const char *format, ...) BT_PRINTF(2, 3);

static bool fail(Go *g, const char *format, ...)
{
    va_list args;
    size_t line = 1;
    if (g->failed) return false;
    g->failed = true;
    for (const char *p = g->begin; p < g->p; p++) line += *p == '\n';
    int n = snprintf(g->why, g->why_size, "template, line %zu: ", line);
    va_start(args, format);
    if (n > 0 && (size_t)n < g->why_size)
        vsnprintf(g->why + n, g->why_size - (size_t)n, format, args);
    va_end(args);
    return false;
}

static bool not_translated(Go *g, Span what)
{
    return fail(
        g,
        "%.*s is not translated; leave TEMPLATE out, and the model's own is used, or give one "
        "in Jinja",
        (int)(what.size < 60 ? what.size : 60), what.data);
}

/* ---- what goes out ---- */

static void put(Go *g, const char *text)
{
    if (!g->silent) buf_text(g->out, text);
}

static void put_literal(Go *g, Span text)
{
    if (!text.size || g->silent) return;
    buf_text(g->out, "{{ \"");
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '\n')
            buf_text(g->out, "\\n");
        else if (c == '"' || c == '\\')
            buf_printf(g->out, "\\%c", c);
        else
            buf_char(g->out, c);
    }
    buf_text(g->out, "\" }}");
}

/* ---- tokens of an action ---- */

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static bool quoted(Go *g)
{
    char mark = *g->p++;
    const char *from = g->p;
    while (g->p < g->end && *g->p != mark)
        g->p += *g->p == '\\' && mark == '"' && g->p + 1 < g->end ? 2 : 1;
    if (g->p >= g->end) return fail(g, "a string is not closed");
    g->token = (Token){T_STRING, {from, (size_t)(g->p - from)}, mark == '`'};
    g->p++;
    return true;
}

static bool next(Go *g)
{
    while (g->p < g->end && isspace((unsigned char)*g->p)) g->p++;
    const char *from = g->p;
    size_t left = (size_t)(g->end - g->p);
    g->token = (Token){.kind = T_END};
    if (!left) return fail(g, "an action is not closed");
    if (left >= 2 && memcmp(from, "}}", 2) == 0) return true;
    if (left >= 3 && memcmp(from, "-}}", 3) == 0) return true;
    Kind kind = T_SIGN;
    if (*from == '"' || *from == '`') return quoted(g);
    if (*from == '(' || *from == ')') {
        kind = *g->p++ == '(' ? T_OPEN : T_CLOSE;
    } else if (*from == '.' || *from == '$') {
        kind = T_FIELD;
        for (g->p++; g->p < g->end && (is_name(*g->p) || *g->p == '.'); g->p++) continue;
    } else if (isdigit((unsigned char)*from)) {
        kind = T_NUMBER;
        while (g->p < g->end && isdigit((unsigned char)*g->p)) g->p++;
    } else if (is_name(*from)) {
        kind = T_WORD;
        while (g->p < g->end && is_name(*g->p)) g->p++;
    } else {
        g->p += left >= 2 && memcmp(from, ":=", 2) == 0 ? 2 : 1;
    }
    g->token = (Token){kind, {from, (size_t)(g->p - from)}, false};
    return true;
}

static bool is(const Go *g, Kind kind, const char *text)
{
    return g->token.kind == kind && span_is(g->token.text, text);
}

/* Behind the last token of an action. */
static bool close_action(Go *g)
{
    if (g->token.kind != T_END) return not_translated(g, g->token.text);
    g->trims = *g->p == '-';
    g->p += g->trims ? 3 : 2;
    return true;
}

/* ---- expressions ---- */

static const struct {
    const char *name, *jinja;
} of_conversation[] = {{"System", "v.system"},
                       {"Prompt", "v.prompt"},
                       {"Response", "v.response"},
                       {"Messages", "v.list"},
                       {"IsThinkSet", "(enable_thinking is defined)"},
                       {"Think", "(enable_thinking is defined and enable_thinking)"}},
  of_message[] = {{"Role", "m.role"}, {"Content", "m.content"}, {"Thinking", "m.thinking"}};

static bool put_field(Go *g, Buf *out)
{
    Span t = g->token.text, name = t;
    bool dollar = *t.data == '$';
    size_t dot = 0;
    while (dot < t.size && t.data[dot] != '.') dot++;
    Span variable = {t.data + 1, dot ? dot - 1 : 0};
    name = (Span){t.data + dot + 1, dot < t.size ? t.size - dot - 1 : 0};
    bool element = dollar && variable.size && g->in_range && span_is(variable, g->element);
    if (dollar && variable.size && !element) {
        if (name.size) return not_translated(g, t);
        if (g->in_range && span_is(variable, g->index))
            buf_text(out, "loop.index0");
        else
            buf_printf(out, "v.u_%.*s", (int)variable.size, variable.data);
        return true;
    }
    if (!name.size) return not_translated(g, t);
    if (element || (!dollar && g->in_range)) {
        for (size_t i = 0; i < sizeof of_message / sizeof *of_message; i++)
            if (span_is(name, of_message[i].name)) return buf_text(out, of_message[i].jinja), true;
        return not_translated(g, t);
    }
    for (size_t i = 0; i < sizeof of_conversation / sizeof *of_conversation; i++)
        if (span_is(name, of_conversation[i].name))
            return buf_text(out, of_conversation[i].jinja), true;
    return not_translated(g, t);
}

static void put_string(const Token *t, Buf *out)
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

static bool expression(Go *g, Buf *out, int depth);

/* One operand; the token behind it is read. */
static bool operand(Go *g, Buf *out, int depth)
{
    const Token t = g->token;
    switch (t.kind) {
    case T_STRING: put_string(&t, out); break;
    case T_NUMBER: buf_add(out, t.text.data, t.text.size); break;
    case T_FIELD:
        if (!put_field(g, out)) return false;
        break;
    case T_OPEN:
        buf_char(out, '(');
        if (!next(g) || !expression(g, out, depth + 1)) return false;
        if (g->token.kind != T_CLOSE) return fail(g, "a parenthesis is not closed");
        buf_char(out, ')');
        break;
    case T_WORD:
        if (span_is(t.text, "true") || span_is(t.text, "false"))
            buf_add(out, t.text.data, t.text.size);
        else if (span_is(t.text, "nil"))
            buf_text(out, "none");
        else
            return not_translated(g, t.text);
        break;
    default: return fail(g, "a value is missing");
    }
    return next(g);
}

static bool is_operand(const Go *g)
{
    return g->token.kind != T_END && g->token.kind != T_CLOSE && g->token.kind != T_SIGN;
}

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

static bool call(Go *g, Span name, Buf *out, int depth)
{
    static const struct {
        const char *name, *sign;
    } signs[] = {{"eq", "=="}, {"ne", "!="}, {"lt", "<"}, {"le", "<="}, {"gt", ">"}, {"ge", ">="}};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (span_is(name, signs[i].name)) return compare(g, out, signs[i].sign, depth);
    if (span_is(name, "and")) return join(g, out, " and ", depth);
    if (span_is(name, "or")) return join(g, out, " or ", depth);
    if (span_is(name, "not")) {
        buf_text(out, "not ");
        return operand(g, out, depth);
    }
    if (span_is(name, "len")) {
        bool good = operand(g, out, depth);
        buf_text(out, "|length");
        return good;
    }
    if (!span_is(name, "slice") && !span_is(name, "index")) return not_translated(g, name);
    bool slice = *name.data == 's', good = operand(g, out, depth);
    buf_char(out, '[');
    if (good) good = operand(g, out, depth);
    if (good && slice) buf_char(out, ':');
    if (good && slice && is_operand(g)) good = operand(g, out, depth);
    buf_char(out, ']');
    return good;
}

/* In parentheses, so that signs around it do not matter. */
static bool expression(Go *g, Buf *out, int depth)
{
    bool word = g->token.kind == T_WORD && !is(g, T_WORD, "true") && !is(g, T_WORD, "false") &&
                !is(g, T_WORD, "nil");
    Span name = g->token.text;
    if (depth > MOST_DEPTH) return fail(g, "this nests too deeply");
    buf_char(out, '(');
    bool good = word ? next(g) && call(g, name, out, depth) : operand(g, out, depth);
    buf_char(out, ')');
    return good;
}

/* ---- actions ---- */

static bool push(Go *g, char kind)
{
    if (g->depth == MOST_DEPTH) return fail(g, "this nests too deeply");
    g->open[g->depth++] = kind;
    return true;
}

static bool with_expression(Go *g, const char *before, const char *after)
{
    Buf out = {0};
    bool good = expression(g, &out, 0);
    if (good) {
        put(g, before);
        put(g, out.data ? out.data : "");
        put(g, after);
    }
    g->out->failed |= out.failed;
    buf_close(&out);
    return good;
}

static bool variable(Go *g, char *name)
{
    Span t = g->token.text;
    if (g->token.kind != T_FIELD || t.size < 2 || t.size > MOST_NAME - 1 || *t.data != '$' ||
        memchr(t.data, '.', t.size))
        return not_translated(g, t);
    snprintf(name, MOST_NAME, "%.*s", (int)t.size - 1, t.data + 1);
    return next(g);
}

/* range .Messages, range $m := .Messages, range $i, $m := .Messages */
static bool begin_range(Go *g)
{
    g->index[0] = g->element[0] = '\0';
    if (g->in_range) return fail(g, "a range within a range is not translated");
    if (g->token.kind == T_FIELD && *g->token.text.data == '$' && !is(g, T_FIELD, "$.Messages")) {
        if (!variable(g, g->element)) return false;
        if (is(g, T_SIGN, ",")) {
            memcpy(g->index, g->element, sizeof g->index);
            if (!next(g) || !variable(g, g->element)) return false;
        }
        if (!is(g, T_SIGN, ":=")) return fail(g, ":= is expected");
        if (!next(g)) return false;
    }
    if (!is(g, T_FIELD, ".Messages") && !is(g, T_FIELD, "$.Messages"))
        return not_translated(g, g->token.text);
    put(g, "{% for m in v.list %}");
    g->in_range = true;
    return push(g, 'r') && next(g);
}

static bool end_block(Go *g)
{
    if (!g->depth) return fail(g, "an end stands here, and nothing is open");
    bool range = g->open[--g->depth] == 'r';
    bool silent = g->silent;
    g->silent = false; /* what was opened before the cut is closed */
    put(g, range ? "{% endfor %}" : "{% endif %}");
    g->silent = silent;
    if (range) g->in_range = false;
    return next(g);
}

static bool begin_else(Go *g)
{
    if (!g->depth || g->open[g->depth - 1] != 'i')
        return fail(g, "an else stands here, and no if is open");
    if (!next(g)) return false;
    if (!is(g, T_WORD, "if")) {
        put(g, "{% else %}");
        return true;
    }
    return next(g) && with_expression(g, "{% elif ", " %}");
}

static bool assign(Go *g)
{
    char name[MOST_NAME], before[MOST_NAME + 24];
    if (!variable(g, name)) return false;
    if (!is(g, T_SIGN, ":=") && !is(g, T_SIGN, "="))
        return fail(g, "the variable $%s alone says nothing that is translated", name);
    snprintf(before, sizeof before, "{%% set v.u_%s = ", name);
    return next(g) && with_expression(g, before, " %}");
}

static bool is_assignment(const Go *g)
{
    const char *p = g->p;
    if (g->token.kind != T_FIELD || *g->token.text.data != '$') return false;
    while (p < g->end && isspace((unsigned char)*p)) p++;
    return p < g->end && (*p == '=' || (g->end - p > 1 && p[0] == ':' && p[1] == '='));
}

static bool action(Go *g)
{
    bool silent = g->silent, good;
    if (!next(g)) return false;
    if (is(g, T_WORD, "if")) {
        if (silent) return fail(g, "an if behind .Response is not translated");
        good = push(g, 'i') && next(g) && with_expression(g, "{% if ", " %}");
    } else if (is(g, T_WORD, "else")) {
        good = begin_else(g);
    } else if (is(g, T_WORD, "range")) {
        good = next(g) && begin_range(g);
    } else if (is(g, T_WORD, "end")) {
        good = end_block(g);
    } else if (is_assignment(g)) {
        good = assign(g);
    } else {
        bool response = is(g, T_FIELD, ".Response") || is(g, T_FIELD, "$.Response");
        good = with_expression(g, "{{ ", " }}");
        if (response && g->cut) g->silent = true;
    }
    return good && close_action(g);
}

static bool comment(Go *g)
{
    const char *p = g->p;
    while (p < g->end && isspace((unsigned char)*p)) p++;
    if (g->end - p < 2 || memcmp(p, "/*", 2) != 0) return false;
    for (p += 2; g->end - p >= 2 && memcmp(p, "*/", 2) != 0; p++) continue;
    g->p = g->end - p >= 2 ? p + 2 : g->end;
    return true;
}

static Span trimmed(const char *from, const char *to, bool front, bool back)
{
    while (front && from < to && isspace((unsigned char)*from)) from++;
    while (back && from < to && isspace((unsigned char)to[-1])) to--;
    return (Span){from, (size_t)(to - from)};
}

static bool translate(Go *g)
{
    g->p = g->begin;
    g->depth = 0;
    g->silent = g->in_range = g->trims = false;
    while (g->p < g->end && !g->failed) {
        const char *from = g->p, *to = from;
        while (g->end - to >= 2 && memcmp(to, "{{", 2) != 0) to++;
        bool more = g->end - to >= 2;
        if (!more) to = g->end;
        bool back = more && g->end - to > 3 && to[2] == '-' && isspace((unsigned char)to[3]);
        put_literal(g, trimmed(from, to, g->trims, back));
        g->trims = false;
        g->p = more ? to + 2 + back : g->end;
        if (!more) break;
        if (comment(g)) {
            if (!next(g) || !close_action(g)) return false;
        } else if (!action(g)) {
            return false;
        }
    }
    return g->depth == 0 || fail(g, "an if or range is not ended");
}

/* ---- the whole ---- */

static bool has(Span text, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= text.size; i++)
        if (memcmp(text.data + i, what, n) == 0) return true;
    return false;
}

static const char conversation[] =
    "{% set v = namespace(list=[], system='', prompt='', response='') %}"
    "{% for m in messages %}{% set c = m.content or '' %}"
    "{% set t = m.reasoning_content or '' %}"
    "{% if m.role == 'system' %}{% set v.system = v.system ~ ('\\n\\n' if v.system else '') ~ c %}"
    "{% endif %}{% if v.list and v.list[-1].role == m.role %}"
    "{% set v.list = v.list[:-1] + [{'role': m.role, 'thinking': v.list[-1].thinking ~ t, "
    "'content': v.list[-1].content ~ '\\n\\n' ~ c}] %}{% else %}"
    "{% set v.list = v.list + [{'role': m.role, 'content': c, 'thinking': t}] %}{% endif %}"
    "{% endfor %}";

/* Each turn, when the next begins. */
static const char turn_by_turn[] =
    "{% set w = namespace(s='', p='', r='') %}{% for m in v.list %}"
    "{% if (m.role == 'system' and (w.p or w.r)) or (m.role == 'user' and w.r) %}"
    "{{ turn(w.s, w.p, w.r) }}{% set w.s = '' %}{% set w.p = '' %}{% set w.r = '' %}{% endif %}"
    "{% if m.role == 'system' %}{% set w.s = m.content %}"
    "{% elif m.role == 'user' %}{% set w.p = m.content %}"
    "{% elif m.role == 'assistant' %}{% set w.r = m.content %}{% endif %}{% endfor %}"
    "{{ last(w.s, w.p, w.r) }}";

static bool one_turn(Go *g, const char *name, bool cut, bool adds_response)
{
    buf_printf(g->out,
               "{%% macro %s(s, p, r) %%}{%% set v = namespace(system=s, prompt=p, response=r) %%}",
               name);
    g->cut = cut;
    bool good = translate(g);
    g->silent = false;
    if (adds_response) put(g, "{{ v.response }}");
    put(g, "{% endmacro %}");
    return good;
}

bool go_template_translate(Span text, Buf *out, char *why, size_t why_size)
{
    Go g = {.begin = text.data,
            .end = text.data + text.size,
            .out = out,
            .turns = !has(text, ".Messages"),
            .why = why,
            .why_size = why_size};
    g.p = g.begin;
    if (text.size > GO_TEMPLATE_MOST)
        return fail(&g, "%zu bytes; %d are the most", text.size, GO_TEMPLATE_MOST);
    if (!g.turns) {
        buf_text(out, conversation);
        return translate(&g);
    }
    bool adds = !has(text, ".Response");
    if (!one_turn(&g, "turn", false, adds) || !one_turn(&g, "last", true, adds)) return false;
    buf_text(out, conversation);
    buf_text(out, turn_by_turn);
    return true;
}
