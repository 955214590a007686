/* What comes out of the parser: a queue of events whose bytes lie in one buffer. With whole_calls,
 * events of a call that is not yet whole are kept back, and taken away if it never is. */
#include "base/hash.h"
#include "base/mem.h"
#include "text/answer_parts.h"

static AnswerItem *push(Answer *a, bt_answer_kind kind, int32_t index)
{
    if (!a->items || a->n_items == a->items_capacity) {
        size_t capacity = a->items_capacity * 2 + 16;
        AnswerItem *grown = mem_realloc(a->items, capacity * sizeof *grown);
        if (!grown) {
            a->failed = true;
            return NULL;
        }
        a->items = grown;
        a->items_capacity = capacity;
    }
    AnswerItem *item = &a->items[a->n_items++];
    *item = (AnswerItem){.kind = kind, .index = index, .at = a->bytes.size};
    if (!a->whole || !a->call.begun) a->visible = a->n_items;
    return item;
}

/* Joins what is of one kind while nobody has taken it. */
static void add(Answer *a, bt_answer_kind kind, int32_t index, const char *text, size_t n)
{
    AnswerItem *last = a->n_items > a->next ? &a->items[a->n_items - 1] : NULL;
    if (!last || last->kind != kind || last->index != index) last = push(a, kind, index);
    if (!last) return;
    buf_add(&a->bytes, text, n);
    last->size += n;
}

void event_text(Answer *a, bt_answer_kind kind, const char *text, size_t n)
{
    a->untouched &= kind != BT_ANSWER_TEXT;
    add(a, kind, -1, text, n);
}

/* Nine letters and digits, as Mistral's templates want them; others take any. */
static void make_id(const Answer *a, char id[10])
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const uint64_t what[2] = {a->seed, (uint64_t)a->n_calls};
    uint64_t h = hash_bytes(what, sizeof what, 0x6261);
    for (int i = 0; i < 9; i++, h /= 62) id[i] = letters[h % 62];
    id[9] = '\0';
}

static bool is_name(Span name)
{
    for (size_t i = 0; i < name.size; i++) {
        unsigned char c = (unsigned char)name.data[i];
        if (c <= ' ' || c == 0x7F || strchr("<>{}[]()\"'`,;", c)) return false;
    }
    return name.size > 0 && name.size <= ANSWER_MOST_NAME;
}

/* An id goes out as the model wrote it, as a C string; none, or no printable one, is made up. */
static bool is_id(Span id)
{
    for (size_t i = 0; i < id.size; i++) {
        unsigned char c = (unsigned char)id.data[i];
        if (c < ' ' || c == 0x7F) return false;
    }
    return id.size > 0;
}

bool event_call(Answer *a)
{
    static const char space[] = "functions.";
    Call *call = &a->call;
    Span name = {call->name.data, call->name.size};
    if (name.size > sizeof space - 1 && memcmp(name.data, space, sizeof space - 1) == 0) {
        name.data += sizeof space - 1;
        name.size -= sizeof space - 1;
    }
    if (!is_name(name) || (call->bare && !answer_tools_have(a->tools, name))) return false;
    char made[10];
    make_id(a, made);
    Span id = {call->id.data, call->id.size};
    if (!is_id(id)) id = (Span){made, 9};
    call->begun = true;
    call->n_arguments = 0;
    a->untouched = false;
    AnswerItem *item = push(a, BT_ANSWER_CALL, a->n_calls++);
    if (!item) return true;
    buf_add(&a->bytes, id.data, id.size);
    buf_char(&a->bytes, '\0');
    item->size = id.size + 1;
    buf_add(&a->bytes, name.data, name.size);
    buf_char(&a->bytes, '\0');
    return true;
}

void event_arguments(Answer *a, const char *text, size_t n)
{
    if (n) add(a, BT_ANSWER_ARGUMENTS, a->n_calls - 1, text, n);
}

void event_argument_text(Answer *a, const char *text)
{
    event_arguments(a, text, strlen(text));
}

void event_end(Answer *a)
{
    push(a, BT_ANSWER_CALL_END, a->n_calls - 1);
    a->call.begun = false;
    a->call.committed = true;
    a->visible = a->n_items;
    a->after_mark = true;
    a->spoken = false;
    buf_clear(&a->raw);
    buf_clear(&a->space);
}

void event_void(Answer *a)
{
    if (!a->call.begun) return;
    if (a->whole) {
        if (a->n_items > a->visible) a->bytes.size = a->items[a->visible].at;
        a->n_items = a->visible;
        a->n_calls--;
    } else {
        push(a, BT_ANSWER_CALL_VOID, a->n_calls - 1);
    }
    a->call.begun = false;
}

void events_drop(Answer *a)
{
    size_t keep = a->n_items - a->next;
    size_t from = keep ? a->items[a->next].at : a->bytes.size;
    if (keep && a->next) memmove(a->items, a->items + a->next, keep * sizeof *a->items);
    for (size_t i = 0; i < keep; i++) a->items[i].at -= from;
    if (from) memmove(a->bytes.data, a->bytes.data + from, a->bytes.size - from);
    a->bytes.size -= from;
    a->n_items = keep;
    a->visible -= a->next;
    a->next = 0;
}

bool answer_next(Answer *a, bt_answer_event *out)
{
    if (a->failed || a->next >= a->visible) return false;
    const AnswerItem *item = &a->items[a->next++];
    const char *at = a->bytes.data ? a->bytes.data + item->at : "";
    *out = (bt_answer_event){.kind = item->kind, .index = item->index};
    if (item->kind == BT_ANSWER_CALL) {
        out->id = at;
        out->name = at + item->size;
    } else {
        out->text = at;
        out->length = item->size;
    }
    return true;
}
