/* Bodies of calls: arguments as one object (%j, %g), and JSON calls, one or several, with the name
 * inside (%c, %a). Objects are read key by key; only the arguments are given on, as they come. A
 * name that comes after the arguments makes them wait. */
#include "text/answer_parts.h"

enum {
    B_START,
    B_LIST,   /* in an array: an object, or its end */
    B_KEY,    /* in an object: a key, or its end */
    B_STRING, /* inside a key, a name or an id, which `capture` collects */
    B_COLON,
    B_VALUE,
    B_ARGUMENTS, /* inside the object that goes out */
    B_QUOTED,    /* inside arguments written as a string */
    B_SKIP,      /* inside a value that says nothing here */
    B_AFTER,     /* in an object after a value */
    B_NEXT,      /* after a whole call */
    B_OBJECT,    /* %g: inside Gemma's object */
};

enum { KEY_OTHER, KEY_NAME, KEY_ARGUMENTS, KEY_ID, KEY_FUNCTION };

static ScanResult begin_call(Answer *a)
{
    if (!event_call(a)) return SCAN_BAD;
    event_arguments(a, a->call.held.data, a->call.held.size);
    buf_clear(&a->call.held);
    return SCAN_MORE;
}

/* ---- arguments ---- */

static ScanResult argument_byte(Answer *a, char c)
{
    Call *call = &a->call;
    buf_clear(&a->scratch);
    ScanResult result = call->state == B_OBJECT ? loose_value(&call->loose, c, &a->scratch)
                                                : json_scan(&call->json, c, &a->scratch);
    a->failed |= a->scratch.failed;
    if (call->begun)
        event_arguments(a, a->scratch.data, a->scratch.size);
    else
        buf_add(&call->held, a->scratch.data, a->scratch.size);
    return result;
}

/* Arguments that were written as a JSON string of JSON. */
static bool give_quoted(Answer *a)
{
    Call *call = &a->call;
    Buf inside = {0}, clean = {0};
    Span text = {call->capture.data, call->capture.size};
    bool good = json_unescape(text, &inside);
    bool empty = good && inside.size == 0;
    if (empty) buf_text(&clean, "{}");
    if (good && !empty) good = json_scan_whole((Span){inside.data, inside.size}, &clean);
    if (good && (clean.failed || *clean.data != '{')) good = false;
    if (good && call->begun) event_arguments(a, clean.data, clean.size);
    if (good && !call->begun) buf_add(&call->held, clean.data, clean.size);
    a->failed |= inside.failed || clean.failed;
    buf_close(&inside);
    buf_close(&clean);
    return good;
}

/* What arguments begin with; `quoted` may be a string. */
static ScanResult begin_arguments(Answer *a, char c)
{
    Call *call = &a->call;
    call->given = true; /* this object has arguments */
    call->json = (JsonScan){0};
    buf_clear(&call->capture);
    if (c == '"') {
        call->state = B_QUOTED;
        return json_scan(&call->json, c, &call->capture);
    }
    if (c == 'n') { /* null: none */
        call->given = false;
        call->state = B_SKIP;
        return json_scan(&call->json, c, NULL);
    }
    if (c != '{') return SCAN_BAD;
    call->state = B_ARGUMENTS;
    return argument_byte(a, c);
}

/* %j: the object alone. */
static ScanResult object_byte(Answer *a, char c)
{
    Call *call = &a->call;
    ScanResult result = SCAN_MORE;
    switch (call->state) {
    case B_START:
        if (json_is_space(c)) return SCAN_MORE;
        if (!event_call(a)) return SCAN_BAD;
        if (call->what == 'g') {
            call->state = B_OBJECT;
            return c == '{' ? argument_byte(a, c) : SCAN_BAD;
        }
        if (c == '<') { /* none were written */
            event_argument_text(a, "{}");
            buf_clear(&a->raw);
            buf_char(&a->raw, c);
            Buf next = a->raw;
            a->raw = (Buf){0};
            event_end(a);
            a->raw = next;
            return SCAN_STOP;
        }
        return begin_arguments(a, c);
    case B_ARGUMENTS:
    case B_OBJECT: result = argument_byte(a, c); break;
    case B_QUOTED:
        result = json_scan(&call->json, c, &call->capture);
        if (result == SCAN_DONE && !give_quoted(a)) return SCAN_BAD;
        break;
    default:
        result = json_scan(&call->json, c, NULL);
        if (result == SCAN_DONE) event_argument_text(a, "{}");
        break;
    }
    if (result == SCAN_DONE) event_end(a);
    return result;
}

/* ---- calls with the name inside ---- */

static void begin_object(Call *call)
{
    buf_clear(&call->name);
    buf_clear(&call->id);
    buf_clear(&call->held);
    call->given = call->nested = false;
    call->n_arguments = 0;
    call->state = B_KEY;
}

static ScanResult end_object(Answer *a)
{
    Call *call = &a->call;
    if (call->nested) {
        call->nested = false;
        call->state = B_AFTER;
        return SCAN_MORE;
    }
    if (!call->name.size || (call->bare && !call->given)) return SCAN_BAD;
    if (!call->begun && begin_call(a) == SCAN_BAD) return SCAN_BAD;
    if (!call->given) event_argument_text(a, "{}");
    event_end(a);
    call->state = B_NEXT;
    return SCAN_MORE;
}

static int key_kind(const Call *call)
{
    static const struct {
        const char *key;
        int kind;
    } keys[] = {
        {"\"name\"", KEY_NAME},
        {"\"tool_name\"", KEY_NAME},
        {"\"arguments\"", KEY_ARGUMENTS},
        {"\"parameters\"", KEY_ARGUMENTS},
        {"\"id\"", KEY_ID},
        {"\"tool_call_id\"", KEY_ID},
        {"\"function\"", KEY_FUNCTION},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (span_is((Span){call->capture.data, call->capture.size}, keys[i].key))
            return keys[i].kind;
    return KEY_OTHER;
}

/* A key, a name or an id was read. */
static ScanResult end_string(Answer *a)
{
    Call *call = &a->call;
    Span text = {call->capture.data, call->capture.size};
    if (call->kind) { /* a name or an id */
        Buf *to = call->kind == KEY_ID ? &call->id : &call->name;
        buf_clear(to);
        if (!json_unescape(text, to) || to->size > ANSWER_MOST_NAME) return SCAN_BAD;
        call->state = B_AFTER;
        bool waits = to == &call->name && call->given && !call->begun;
        return waits ? begin_call(a) : SCAN_MORE;
    }
    call->state = B_COLON;
    call->kind = (uint8_t)key_kind(call);
    if (call->keyed) { /* {NAME: ARGUMENTS} */
        if (call->name.size || !json_unescape(text, &call->name)) return SCAN_BAD;
        call->kind = KEY_ARGUMENTS;
    }
    if (call->bare && !call->name.size && call->kind == KEY_OTHER && !span_is(text, "\"type\""))
        return SCAN_BAD; /* JSON, but no call */
    return SCAN_MORE;
}

static ScanResult begin_value(Answer *a, char c)
{
    Call *call = &a->call;
    int kind = call->kind;
    call->json = (JsonScan){0};
    if (kind == KEY_FUNCTION && c == '{' && !call->nested) {
        call->nested = true;
        call->state = B_KEY;
        return SCAN_MORE;
    }
    if (kind == KEY_ARGUMENTS) {
        if (call->given) return SCAN_BAD;
        if (call->name.size && !call->begun && begin_call(a) == SCAN_BAD) return SCAN_BAD;
        return begin_arguments(a, c);
    }
    bool name = kind == KEY_NAME || kind == KEY_FUNCTION;
    if (name && (c != '"' || call->begun)) return SCAN_BAD;
    if (name || (kind == KEY_ID && c == '"' && !call->begun)) {
        if (name) call->kind = KEY_NAME;
        buf_clear(&call->capture);
        call->state = B_STRING;
        return json_scan(&call->json, c, &call->capture);
    }
    call->state = B_SKIP;
    return json_scan(&call->json, c, NULL);
}

/* Inside a value; a number shows its end by the byte after. */
static ScanResult inside(Answer *a, char c)
{
    Call *call = &a->call;
    ScanResult result;
    switch (call->state) {
    case B_ARGUMENTS: result = argument_byte(a, c); break;
    case B_SKIP: result = json_scan(&call->json, c, NULL); break;
    default:
        result = json_scan(&call->json, c, &call->capture);
        if (call->state == B_STRING && call->capture.size > 8 * ANSWER_MOST_NAME) return SCAN_BAD;
        break;
    }
    if (result == SCAN_MORE || result == SCAN_BAD) return result;
    if (call->state == B_STRING) return end_string(a);
    if (call->state == B_QUOTED && !give_quoted(a)) return SCAN_BAD;
    call->state = B_AFTER;
    return result == SCAN_STOP ? body_byte(a, c) : SCAN_MORE;
}

static ScanResult calls_byte(Answer *a, char c)
{
    Call *call = &a->call;
    if (call->state == B_ARGUMENTS || call->state == B_SKIP || call->state == B_STRING ||
        call->state == B_QUOTED)
        return inside(a, c);
    if (json_is_space(c)) return SCAN_MORE;
    switch (call->state) {
    case B_START:
        if (c == '[' && !call->list) {
            call->list = true;
            call->state = B_LIST;
            return SCAN_MORE;
        }
        /* fall through */
    case B_LIST:
        if (c == ']' && call->list && call->committed) return SCAN_DONE;
        if (c != '{') return SCAN_BAD;
        begin_object(call);
        return SCAN_MORE;
    case B_KEY:
        if (c == '}') return end_object(a);
        if (c != '"') return SCAN_BAD;
        call->kind = 0;
        call->json = (JsonScan){0};
        buf_clear(&call->capture);
        call->state = B_STRING;
        return json_scan(&call->json, c, &call->capture);
    case B_COLON: call->state = B_VALUE; return c == ':' ? SCAN_MORE : SCAN_BAD;
    case B_VALUE: return begin_value(a, c);
    case B_AFTER:
        if (c == '}') return end_object(a);
        call->state = B_KEY;
        return c == ',' ? SCAN_MORE : SCAN_BAD;
    default: /* B_NEXT */
        if (call->list && c == ']') return SCAN_DONE;
        if (c == ',' && call->list) {
            call->state = B_LIST;
            return SCAN_MORE;
        }
        if (call->list) return SCAN_BAD;
        if (c == ';' || c == ',') return SCAN_MORE;
        if (c != '{') return SCAN_STOP;
        begin_object(call);
        return SCAN_MORE;
    }
}

ScanResult body_byte(Answer *a, char c)
{
    Call *call = &a->call;
    switch (call->what) {
    case 'j':
    case 'g': return object_byte(a, c);
    case 'y': return python_byte(a, c);
    case 'x': return tags_byte(a, c);
    case 'b':
        /* JSON or Python: the first byte that is neither white space nor '[' tells. */
        if (json_is_space(c)) return SCAN_MORE;
        if (c == '[' && !call->list) {
            call->list = true;
            return SCAN_MORE;
        }
        call->what = c == '{' ? 'c' : 'y';
        return body_byte(a, c);
    default: return calls_byte(a, c);
    }
}

bool body_may_end(const Call *call)
{
    if (call->what == 'y') return python_may_end(call);
    return (call->what == 'c' || call->what == 'a') &&
           (call->state == B_NEXT || call->state == B_LIST);
}
