/* Arguments as nested tags, each after the form's mark (MiniMax-M3):
 *   M<city>text M</city> M<list> M<item>1 M</item> M</list>
 * A tag with text is a value, typed by the schema; with tags inside, an object, or an array if the
 * first of them is <item>. An empty one is an empty object or array where the schema wants that. */
#include "text/answer_parts.h"

enum { T_TEXT, T_MARK, T_TAG };
enum { LEVEL_VALUE, LEVEL_OBJECT, LEVEL_ARRAY }; /* what a level has shown itself to be */

/* Of the tag that was just closed. */
static unsigned level_types(const Answer *a)
{
    const Call *call = &a->call;
    Span name = {call->name.data, call->name.size}, key = {call->key.data, call->key.size};
    return call->depth == 0 ? answer_tools_type(a->tools, name, key) : TYPE_ANY;
}

static void give_key(Answer *a, Span key)
{
    event_argument_text(a, "\"");
    buf_clear(&a->scratch);
    json_escape(&a->scratch, key.data, key.size);
    a->failed |= a->scratch.failed;
    event_arguments(a, a->scratch.data, a->scratch.size);
    event_argument_text(a, "\": ");
}

static bool blank(const Buf *text)
{
    for (size_t i = 0; i < text->size; i++)
        if (!json_is_space(text->data[i])) return false;
    return true;
}

static ScanResult open_tag(Answer *a, Span name)
{
    Call *call = &a->call;
    bool item = span_is(name, "item");
    if (!name.size || !blank(&call->value.held) || call->depth == LOOSE_DEPTH) return SCAN_BAD;
    buf_clear(&call->value.held);
    if (call->depth) {
        uint8_t *level = &call->levels[call->depth - 1];
        if (*level == LEVEL_VALUE) {
            *level = item ? LEVEL_ARRAY : LEVEL_OBJECT;
            event_argument_text(a, item ? "[" : "{");
        } else {
            event_argument_text(a, ", ");
        }
        if (*level == LEVEL_OBJECT) give_key(a, name);
        if (*level == LEVEL_ARRAY && !item) return SCAN_BAD;
    } else {
        if (call->n_arguments++) event_argument_text(a, ", ");
        give_key(a, name);
        buf_clear(&call->key);
        buf_add(&call->key, name.data, name.size);
    }
    call->levels[call->depth++] = LEVEL_VALUE;
    return SCAN_MORE;
}

static void end_value(Answer *a)
{
    Call *call = &a->call;
    unsigned types = level_types(a);
    Span text = {call->value.held.data, call->value.held.size};
    if (!text.size && !(types & TYPE_STRING) && types & (TYPE_OBJECT | TYPE_ARRAY))
        event_argument_text(a, types & TYPE_OBJECT ? "{}" : "[]");
    else if (!text.size && types == TYPE_ANY)
        event_argument_text(a, "null");
    else
        value_convert(a, text, types);
}

/* The name of a closing tag is not looked at: levels say what closes. */
static ScanResult close_tag(Answer *a, Span name)
{
    Call *call = &a->call;
    if (!call->depth) {
        if (!span_is(name, "invoke") || !blank(&call->value.held)) return SCAN_BAD;
        event_argument_text(a, "}");
        event_end(a);
        return SCAN_DONE;
    }
    uint8_t level = call->levels[--call->depth];
    if (level == LEVEL_VALUE)
        end_value(a);
    else if (!blank(&call->value.held))
        return SCAN_BAD;
    else
        event_argument_text(a, level == LEVEL_ARRAY ? "]" : "}");
    buf_clear(&call->value.held);
    return SCAN_MORE;
}

static ScanResult tag_byte(Answer *a, char c)
{
    Call *call = &a->call;
    if (c != '>') {
        buf_char(&call->capture, c);
        a->failed |= call->capture.failed;
        return call->capture.size > ANSWER_MOST_NAME ? SCAN_BAD : SCAN_MORE;
    }
    Span tag = {call->capture.data, call->capture.size};
    call->state = T_TEXT;
    if (tag.size < 2 || *tag.data != '<') return SCAN_BAD;
    bool closes = tag.data[1] == '/';
    tag.data += 1 + closes;
    tag.size -= (size_t)1 + closes;
    return closes ? close_tag(a, tag) : open_tag(a, tag);
}

ScanResult tags_byte(Answer *a, char c)
{
    Call *call = &a->call;
    const char *mark = a->form->mark;
    if (!call->begun) {
        if (!event_call(a)) return SCAN_BAD;
        event_argument_text(a, "{");
        buf_clear(&call->value.held);
        call->loose.n_mark = 0;
    }
    if (call->state == T_TAG) return tag_byte(a, c);
    uint8_t *n = &call->loose.n_mark; /* bytes of the mark that were read */
    if (c == mark[*n]) {
        if (mark[++*n]) return SCAN_MORE;
        *n = 0;
        buf_clear(&call->capture);
        call->state = T_TAG;
        return SCAN_MORE;
    }
    while (*n && c != mark[*n]) { /* what was no mark is text; its end may begin one */
        uint8_t k = *n;
        do k--;
        while (k && memcmp(mark, mark + *n - k, k) != 0);
        buf_add(&call->value.held, mark, (size_t)(*n - k));
        *n = k;
    }
    if (c == mark[*n])
        ++*n;
    else
        buf_char(&call->value.held, c);
    a->failed |= call->value.held.failed;
    return SCAN_MORE;
}
