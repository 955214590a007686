/* Values of parameters that are written as text between tags: typed by the tool's schema. Where it
 * wants a string, and nothing else, the text is one, given away as it comes. Else the text waits
 * until it is whole: what reads as JSON of a type that may stand there (or as Python writes it:
 * True, None,
 * {'a': 1}) is that; the rest is a string, since a wrong type is for the tool to refuse. */
#include "text/answer_parts.h"

static bool may_be_json(char c)
{
    return c && strchr("{[-0123456789tfnTFN", c) != NULL;
}

static unsigned type_at(char c)
{
    switch (c) {
    case '{': return TYPE_OBJECT;
    case '[': return TYPE_ARRAY;
    case '"': return TYPE_STRING;
    case 't':
    case 'f': return TYPE_BOOLEAN;
    case 'n': return TYPE_NULL;
    default: return TYPE_NUMBER;
    }
}

void value_begin(Answer *a, bool wrap)
{
    Call *call = &a->call;
    CallValue *v = &call->value;
    Span type = {call->type.data, call->type.size}, key = {call->key.data, call->key.size};
    Span name = {call->name.data, call->name.size};
    unsigned named = answer_type_named(type);
    if (span_is(type, "true") || named == TYPE_STRING)
        v->types = TYPE_STRING;
    else if (span_is(type, "false") || named) /* which one, the value itself says */
        v->types = TYPE_ANY & ~(unsigned)TYPE_STRING;
    else
        v->types = answer_tools_type(a->tools, name, key);
    v->stream = v->types == TYPE_STRING;
    v->wrap = wrap;
    v->lead = v->line = false;
    buf_clear(&v->held);
    if (v->stream) event_argument_text(a, "\"");
}

static void give(Answer *a, const char *text, size_t n)
{
    buf_clear(&a->scratch);
    json_escape(&a->scratch, text, n);
    a->failed |= a->scratch.failed;
    event_arguments(a, a->scratch.data, a->scratch.size);
}

static void take(Answer *a, char c)
{
    CallValue *v = &a->call.value;
    if (v->stream) {
        give(a, &c, 1);
        return;
    }
    bool blank = true;
    for (size_t i = 0; blank && i < v->held.size; i++) blank = json_is_space(v->held.data[i]);
    buf_char(&v->held, c);
    a->failed |= v->held.failed;
    if (!blank || json_is_space(c) || !(v->types & TYPE_STRING) || may_be_json(c)) return;
    v->stream = true; /* nothing but a string begins so */
    event_argument_text(a, "\"");
    give(a, v->held.data, v->held.size);
}

void value_byte(Answer *a, char c)
{
    CallValue *v = &a->call.value;
    if (v->wrap && !v->lead) {
        v->wrap = false; /* only its first byte may be the line break */
        v->lead = c == '\n';
        if (v->lead) return;
    }
    if (v->line) take(a, '\n');
    v->line = v->lead && c == '\n'; /* the last one is not part of the value */
    if (!v->line) take(a, c);
}

static Span trim(Span s)
{
    while (s.size && json_is_space(*s.data)) s.data++, s.size--;
    while (s.size && json_is_space(s.data[s.size - 1])) s.size--;
    return s;
}

void value_convert(Answer *a, Span text, unsigned types)
{
    Span inner = trim(text);
    bool python = inner.size && (may_be_json(*inner.data) || *inner.data == '(');
    for (int i = 0; i < 2 && python && !a->failed; i++) {
        buf_clear(&a->scratch);
        bool good = i ? loose_whole(inner, NULL, &a->scratch) : json_scan_whole(inner, &a->scratch);
        if (!good || a->scratch.failed || !(types & type_at(*a->scratch.data))) continue;
        event_arguments(a, a->scratch.data, a->scratch.size);
        return;
    }
    if (!inner.size && !(types & TYPE_STRING) && types & TYPE_NULL) {
        event_argument_text(a, "null");
        return;
    }
    event_argument_text(a, "\"");
    give(a, text.data, text.size);
    event_argument_text(a, "\"");
}

void value_end(Answer *a)
{
    CallValue *v = &a->call.value;
    if (v->stream)
        event_argument_text(a, "\"");
    else
        value_convert(a, (Span){v->held.data, v->held.size}, v->types);
    buf_clear(&a->call.type);
}
