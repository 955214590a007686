/* Calls as Python writes them: [f(a=1, b='x'), g()], with or without the brackets. Arguments have
 * names; a positional one makes it no call. */
#include "text/answer_parts.h"

enum {
    P_START, /* a name, or '[' */
    P_ITEM,  /* in brackets after a comma: a name, or the end */
    P_NAME,
    P_FIRST, /* after '(': an argument, or ')' */
    P_KEY,
    P_EQUALS,
    P_VALUE,
    P_AFTER, /* after a value: ',' or ')' */
    P_NEXT,  /* after a call */
};

static bool begins_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool in_name(char c)
{
    return begins_name(c) || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '/';
}

static ScanResult begin_name(Call *call, char c, int state)
{
    if (!begins_name(c)) return SCAN_BAD;
    buf_clear(&call->capture);
    buf_char(&call->capture, c);
    call->state = (uint8_t)state;
    return SCAN_MORE;
}

static ScanResult open_call(Answer *a)
{
    static const char method[] = ".call"; /* as in brave_search.call(query="...") */
    Call *call = &a->call;
    size_t n = call->capture.size, m = sizeof method - 1;
    if (n > m && memcmp(call->capture.data + n - m, method, m) == 0) n -= m;
    buf_clear(&call->id);
    buf_clear(&call->name);
    buf_add(&call->name, call->capture.data, n);
    call->state = P_FIRST;
    if (call->name.failed || !event_call(a)) return SCAN_BAD;
    event_argument_text(a, "{");
    return SCAN_MORE;
}

static ScanResult close_call(Answer *a)
{
    event_argument_text(a, "}");
    event_end(a);
    a->call.state = P_NEXT;
    return SCAN_MORE;
}

static void give_key(Answer *a)
{
    Call *call = &a->call;
    event_argument_text(a, call->n_arguments++ ? ", \"" : "\"");
    event_arguments(a, call->capture.data, call->capture.size);
    event_argument_text(a, "\": ");
    call->loose = (LooseValue){.mark = a->form->mark};
    call->state = P_VALUE;
}

static ScanResult after_value(Answer *a, char c)
{
    Call *call = &a->call;
    if (json_is_space(c)) return SCAN_MORE;
    if (c == ')') return close_call(a);
    call->state = P_FIRST;
    return c == ',' ? SCAN_MORE : SCAN_BAD;
}

static ScanResult value_state(Answer *a, char c)
{
    Call *call = &a->call;
    buf_clear(&a->scratch);
    ScanResult result = loose_value(&call->loose, c, &a->scratch);
    a->failed |= a->scratch.failed;
    event_arguments(a, a->scratch.data, a->scratch.size);
    if (result == SCAN_MORE || result == SCAN_BAD) return result;
    call->state = P_AFTER;
    return result == SCAN_STOP ? after_value(a, c) : SCAN_MORE;
}

static ScanResult name_byte(Answer *a, char c)
{
    Call *call = &a->call;
    if (in_name(c)) {
        buf_char(&call->capture, c);
        return call->capture.size > ANSWER_MOST_NAME ? SCAN_BAD : SCAN_MORE;
    }
    if (call->state == P_NAME) return c == '(' ? open_call(a) : SCAN_BAD;
    call->state = P_EQUALS;
    return python_byte(a, c);
}

ScanResult python_byte(Answer *a, char c)
{
    Call *call = &a->call;
    if (call->state == P_VALUE) return value_state(a, c);
    if (call->state == P_NAME || call->state == P_KEY) return name_byte(a, c);
    if (json_is_space(c)) return SCAN_MORE;
    switch (call->state) {
    case P_START:
        if (c == '[' && !call->list) {
            call->list = true;
            return SCAN_MORE;
        }
        return begin_name(call, c, P_NAME);
    case P_ITEM:
        if (c == ']') return SCAN_DONE;
        return begin_name(call, c, P_NAME);
    case P_FIRST:
        if (c == ')') return close_call(a);
        return begin_name(call, c, P_KEY);
    case P_EQUALS:
        if (c != '=') return SCAN_BAD;
        give_key(a);
        return SCAN_MORE;
    case P_AFTER: return after_value(a, c);
    default: /* P_NEXT */
        if (call->list && c == ']') return SCAN_DONE;
        if (call->list && c == ',') {
            call->state = P_ITEM;
            return SCAN_MORE;
        }
        if (call->list) return SCAN_BAD;
        if (c == ';' || c == ',') return SCAN_MORE;
        return begins_name(c) ? begin_name(call, c, P_NAME) : SCAN_STOP;
    }
}

bool python_may_end(const Call *call)
{
    return call->state == P_NEXT || call->state == P_ITEM;
}
