/* See go_template.h. All text becomes string literals, so that no rule of Jinja about white space
 * touches it. A template without .Messages describes one turn: as Ollama does, it is written for
 * each turn of the conversation, and for the last one up to .Response. Before either, messages of
 * one role that follow each other are joined (but for results and calls of tools), and all system
 * messages make .System. */
#include "serve/go_template.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "serve/go_parts.h"

/* ---- what goes out ---- */

static void put(Go *g, const char *text)
{
    if (!g->silent) buf_text(g->out, text);
}

/* In single quotes, so that what is JSON in it reads as it stands: the form of calls is found by
 * what a template shows of them. */
static void put_literal(Go *g, Span text)
{
    if (!text.size || g->silent) return;
    buf_text(g->out, "{{ '");
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '\n')
            buf_text(g->out, "\\n");
        else if (c == '\'' || c == '\\')
            buf_printf(g->out, "\\%c", c);
        else
            buf_char(g->out, c);
    }
    buf_text(g->out, "' }}");
}

static bool with_expression(Go *g, const char *before, const char *after)
{
    Buf out = {0};
    bool good = go_expression(g, &out, 0);
    if (good) {
        put(g, before);
        put(g, out.data ? out.data : "");
        put(g, after);
    }
    g->out->failed |= out.failed;
    buf_close(&out);
    return good;
}

/* ---- actions ---- */

static bool push(Go *g, char kind)
{
    if (g->depth == GO_MOST_DEPTH) return go_fail(g, "this nests too deeply");
    g->open[g->depth++] = kind;
    return true;
}

/* range .Messages, range $m := .Messages, range $i, $m := .Messages; .Tools and .ToolCalls alike */
static bool begin_range(Go *g)
{
    GoRange r = {.of = GO_ALL};
    const char *list, *name;
    bool named = g->token.kind == GO_FIELD && *g->token.text.data == '$' &&
                 !memchr(g->token.text.data, '.', g->token.text.size);
    if (named) {
        if (!go_variable(g, r.element)) return false;
        if (go_is(g, GO_SIGN, ",")) {
            memcpy(r.index, r.element, sizeof r.index);
            if (!go_next(g) || !go_variable(g, r.element)) return false;
        }
        if (!go_is(g, GO_SIGN, ":=")) return go_fail(g, ":= is expected");
        if (!go_next(g)) return false;
    }
    if (!go_list(g, &r.of, &list)) return false;
    for (int i = 0; i < g->n_ranges; i++)
        if (g->range[i].of == r.of || g->n_ranges == GO_MOST_RANGES)
            return go_fail(g, "a range within itself is not translated");
    name = go_element(r.of);
    if (!g->silent)
        buf_printf(g->out, "{%% for %s in %s %%}{%% set i_%s = loop.index0 %%}", name, list, name);
    g->range[g->n_ranges++] = r;
    return push(g, 'r') && go_next(g);
}

static bool end_block(Go *g)
{
    if (!g->depth) return go_fail(g, "an end stands here, and nothing is open");
    bool range = g->open[--g->depth] == 'r';
    bool silent = g->silent;
    g->silent = false; /* what was opened before the cut is closed */
    put(g, range ? "{% endfor %}" : "{% endif %}");
    g->silent = silent;
    g->n_ranges -= range;
    return go_next(g);
}

static bool begin_else(Go *g)
{
    if (!g->depth || g->open[g->depth - 1] != 'i')
        return go_fail(g, "an else stands here, and no if is open");
    if (!go_next(g)) return false;
    if (!go_is(g, GO_WORD, "if")) {
        put(g, "{% else %}");
        return true;
    }
    return go_next(g) && with_expression(g, "{% elif ", " %}");
}

static bool assign(Go *g)
{
    char name[GO_MOST_NAME], before[GO_MOST_NAME + 24];
    if (!go_variable(g, name)) return false;
    if (!go_is(g, GO_SIGN, ":=") && !go_is(g, GO_SIGN, "="))
        return go_fail(g, "the variable $%s alone says nothing that is translated", name);
    snprintf(before, sizeof before, "{%% set v.u_%s = ", name);
    if (!go_next(g) || !with_expression(g, before, " %}")) return false;
    return !g->json || go_fail(g, "a variable that holds tools is not translated");
}

static bool is_assignment(const Go *g)
{
    const char *p = g->p;
    if (g->token.kind != GO_FIELD || *g->token.text.data != '$') return false;
    while (p < g->end && isspace((unsigned char)*p)) p++;
    return p < g->end && (*p == '=' || (g->end - p > 1 && p[0] == ':' && p[1] == '='));
}

/* A value that is written. Of what prints as JSON only definitions and arguments do so alike. */
static bool print(Go *g)
{
    bool response = go_is(g, GO_FIELD, ".Response") || go_is(g, GO_FIELD, "$.Response");
    Span what = g->token.text;
    Buf out = {0};
    bool good = go_expression(g, &out, 0);
    if (good && g->json && strstr(out.data ? out.data : "", "v.list")) good = go_unknown(g, what);
    if (good && g->json && strstr(out.data ? out.data : "", "m.calls")) good = go_unknown(g, what);
    if (good && !g->silent)
        buf_printf(g->out, "{{ %s%s }}", g->json ? "j" : "", out.data ? out.data : "");
    g->out->failed |= out.failed;
    buf_close(&out);
    if (response && g->cut) g->silent = true;
    return good;
}

static bool action(Go *g)
{
    bool silent = g->silent, good;
    if (!go_next(g)) return false;
    if (go_is(g, GO_WORD, "if")) {
        if (silent) return go_fail(g, "an if behind .Response is not translated");
        good = push(g, 'i') && go_next(g) && with_expression(g, "{% if ", " %}");
    } else if (go_is(g, GO_WORD, "else")) {
        good = begin_else(g);
    } else if (go_is(g, GO_WORD, "range")) {
        good = go_next(g) && begin_range(g);
    } else if (go_is(g, GO_WORD, "end")) {
        good = end_block(g);
    } else {
        good = is_assignment(g) ? assign(g) : print(g);
    }
    return good && go_close_action(g);
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
    g->depth = g->n_ranges = 0;
    g->silent = g->trims = false;
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
        if (go_comment(g)) {
            if (!go_next(g) || !go_close_action(g)) return false;
        } else if (!action(g)) {
            return false;
        }
    }
    return g->depth == 0 || go_fail(g, "an if or range is not ended");
}

/* ---- the whole ---- */

static bool has(Span text, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= text.size; i++)
        if (memcmp(text.data + i, what, n) == 0) return true;
    return false;
}

/* j writes JSON, as it stands where it is text already (a call whose arguments are none). */
static const char conversation[] =
    "{% macro j(x) %}{{ x if x is string else x|tojson(separators=(',', ':')) }}{% endmacro %}"
    "{% set v = namespace(list=[], system='', prompt='', response='') %}"
    "{% for m in messages %}{% set c = m.content or '' %}"
    "{% set t = m.reasoning_content or '' %}{% set k = m.tool_calls or [] %}"
    "{% if m.role == 'system' %}{% set v.system = v.system ~ ('\\n\\n' if v.system else '') ~ c %}"
    "{% endif %}{% if v.list and v.list[-1].role == m.role and m.role != 'tool' and not k "
    "and not v.list[-1].calls %}"
    "{% set v.list = v.list[:-1] + [{'role': m.role, 'thinking': v.list[-1].thinking ~ t, "
    "'content': v.list[-1].content ~ '\\n\\n' ~ c, 'calls': []}] %}{% else %}"
    "{% set v.list = v.list + [{'role': m.role, 'content': c, 'thinking': t, 'calls': k}] %}"
    "{% endif %}{% endfor %}";

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
        return go_fail(&g, "%zu bytes; %d are the most", text.size, GO_TEMPLATE_MOST);
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
