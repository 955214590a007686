/* Tokens of Go's template language (text/template): what stands in an action. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "serve/go_parts.h"

bool go_fail(Go *g, const char *format, ...)
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

bool go_unknown(Go *g, Span what)
{
    return go_fail(
        g,
        "%.*s is not translated; leave TEMPLATE out, and the model's own is used, or give one "
        "in Jinja",
        (int)(what.size < 60 ? what.size : 60), what.data);
}

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
    if (g->p >= g->end) return go_fail(g, "a string is not closed");
    g->token = (GoToken){GO_STRING, {from, (size_t)(g->p - from)}, mark == '`'};
    g->p++;
    return true;
}

bool go_next(Go *g)
{
    while (g->p < g->end && isspace((unsigned char)*g->p)) g->p++;
    const char *from = g->p;
    size_t left = (size_t)(g->end - g->p);
    g->token = (GoToken){.kind = GO_END};
    if (!left) return go_fail(g, "an action is not closed");
    if (left >= 2 && memcmp(from, "}}", 2) == 0) return true;
    if (left >= 3 && memcmp(from, "-}}", 3) == 0) return true;
    GoKind kind = GO_SIGN;
    bool minus = *from == '-' && left > 1 && isdigit((unsigned char)from[1]);
    if (*from == '"' || *from == '`') return quoted(g);
    if (*from == '(' || *from == ')') {
        kind = *g->p++ == '(' ? GO_OPEN : GO_CLOSE;
    } else if (*from == '.' || *from == '$') {
        kind = GO_FIELD;
        for (g->p++; g->p < g->end && (is_name(*g->p) || *g->p == '.'); g->p++) continue;
    } else if (minus || isdigit((unsigned char)*from)) {
        kind = GO_NUMBER;
        for (g->p++; g->p < g->end && isdigit((unsigned char)*g->p); g->p++) continue;
    } else if (is_name(*from)) {
        kind = GO_WORD;
        while (g->p < g->end && is_name(*g->p)) g->p++;
    } else {
        g->p += left >= 2 && memcmp(from, ":=", 2) == 0 ? 2 : 1;
    }
    g->token = (GoToken){kind, {from, (size_t)(g->p - from)}, false};
    return true;
}

bool go_is(const Go *g, GoKind kind, const char *text)
{
    return g->token.kind == kind && span_is(g->token.text, text);
}

bool go_close_action(Go *g)
{
    if (g->token.kind != GO_END) return go_unknown(g, g->token.text);
    g->trims = *g->p == '-';
    g->p += g->trims ? 3 : 2;
    return true;
}

bool go_comment(Go *g)
{
    const char *p = g->p;
    while (p < g->end && isspace((unsigned char)*p)) p++;
    if (g->end - p < 2 || memcmp(p, "/*", 2) != 0) return false;
    for (p += 2; g->end - p >= 2 && memcmp(p, "*/", 2) != 0; p++) continue;
    g->p = g->end - p >= 2 ? p + 2 : g->end;
    return true;
}

bool go_variable(Go *g, char *name)
{
    Span t = g->token.text;
    if (g->token.kind != GO_FIELD || t.size < 2 || t.size > GO_MOST_NAME - 1 || *t.data != '$' ||
        memchr(t.data, '.', t.size))
        return go_unknown(g, t);
    snprintf(name, GO_MOST_NAME, "%.*s", (int)t.size - 1, t.data + 1);
    return go_next(g);
}
