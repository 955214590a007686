/* Strings of the template language: arrays of code points, so that lengths, indexes and slices are
 * Python's, each with the mark of where it came from (see jinja_value.h). */
#include <string.h>

#include "base/checked.h"
#include "text/jinja_value.h"
#include "text/unicode.h"
#include "text/utf8.h"

JStr *j_str(J *j, const uint32_t *data, size_t size)
{
    JStr *s = j_alloc(j, sizeof *s);
    *s = (JStr){data, size, NULL};
    return s;
}

JStr *j_str_copy(J *j, const uint32_t *data, size_t size)
{
    uint32_t *copy = j_array(j, size, sizeof *copy);
    if (size) memcpy(copy, data, size * sizeof *copy);
    return j_str(j, copy, size);
}

JValue j_text_n(J *j, const char *utf8, size_t n, bool said)
{
    uint32_t *data = j_array(j, n, sizeof *data), mark = said ? J_SAID : 0;
    size_t size = 0;
    for (size_t at = 0, length; at < n; at += length) {
        uint32_t c = (unsigned char)utf8[at];
        length = 1;
        if (c >= 0x80) {
            c = utf8_next(utf8 + at, n - at, &length);
            if (c == UTF8_BAD && length == 1) c = J_RAW + (unsigned char)utf8[at];
        }
        data[size++] = c | mark;
    }
    return j_string(j_str(j, data, size));
}

JValue j_text(J *j, const char *utf8)
{
    return j_text_n(j, utf8, strlen(utf8), false);
}

JValue j_part(J *j, JValue s, size_t from, size_t to)
{
    if (to < from) to = from;
    JValue part = j_string(j_str(j, s.str->data + from, to - from));
    part.safe = s.safe;
    return part;
}

JValue j_join(J *j, JValue a, JValue b)
{
    const JStr *x = a.str, *y = b.str;
    JRoom *room = x->room;
    uint64_t size;
    if (!ck_add(x->size, y->size, &size)) j_fail(j, BT_E_LIMIT, "a string is too long");
    j_spend(j, y->size / 16);
    if (!y->size) return a;
    if (!room || room->end != x->data + x->size || (size_t)(room->limit - room->end) < y->size) {
        size_t capacity = size < 64 ? (size_t)size : 2 * (size_t)size;
        j_spend(j, x->size / 16);
        uint32_t *data = j_array(j, capacity, sizeof *data);
        room = j_alloc(j, sizeof *room);
        if (x->size) memcpy(data, x->data, x->size * sizeof *data);
        *room = (JRoom){data + x->size, data + capacity};
    }
    uint32_t *data = room->end - x->size;
    memcpy(room->end, y->data, y->size * sizeof *data);
    room->end += y->size;
    JStr *s = j_str(j, data, (size_t)size);
    s->room = room;
    return j_string(s);
}

bool j_str_is(JValue s, const char *ascii)
{
    size_t n = strlen(ascii);
    if (s.type != J_STR || s.str->size != n) return false;
    for (size_t i = 0; i < n; i++)
        if (J_CODE(s.str->data[i]) != (unsigned char)ascii[i]) return false;
    return true;
}

static bool same(const uint32_t *a, const uint32_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (J_CODE(a[i]) != J_CODE(b[i])) return false;
    return true;
}

bool j_str_equal(const JStr *a, const JStr *b)
{
    return a->size == b->size && same(a->data, b->data, a->size);
}

int j_str_order(const JStr *a, const JStr *b)
{
    size_t n = a->size < b->size ? a->size : b->size;
    for (size_t i = 0; i < n; i++) {
        uint32_t x = J_CODE(a->data[i]), y = J_CODE(b->data[i]);
        if (x != y) return x < y ? -1 : 1;
    }
    return a->size == b->size ? 0 : a->size < b->size ? -1 : 1;
}

/* What a look at one place costs at most is counted first: repeated first letters are no way out
 * of the budget. */
static bool here(J *j, const JStr *s, const JStr *what, size_t at)
{
    if (J_CODE(s->data[at]) != J_CODE(what->data[0])) return false;
    size_t n = 1;
    while (n < what->size && J_CODE(s->data[at + n]) == J_CODE(what->data[n])) n++;
    j_spend(j, n / 16);
    return n == what->size;
}

size_t j_str_find(J *j, const JStr *s, const JStr *what, size_t from)
{
    if (what->size > s->size || from > s->size - what->size) return SIZE_MAX;
    if (!what->size) return from;
    for (size_t at = from; at <= s->size - what->size; at++) {
        if (!here(j, s, what, at)) continue;
        j_spend(j, (at - from) / 32);
        return at;
    }
    j_spend(j, (s->size - from) / 32);
    return SIZE_MAX;
}

/* The last place that ends at or before `to`. */
size_t j_str_find_last(J *j, const JStr *s, const JStr *what, size_t to)
{
    if (what->size > to) return SIZE_MAX;
    if (!what->size) return to;
    for (size_t at = to - what->size + 1; at-- > 0;) {
        if (!here(j, s, what, at)) continue;
        j_spend(j, (to - at) / 32);
        return at;
    }
    j_spend(j, to / 32);
    return SIZE_MAX;
}

bool j_is_space(uint32_t c)
{
    c = J_CODE(c);
    if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F);
    return c < J_RAW && (unicode_class(c) & UC_SPACE);
}

const char *j_utf8(J *j, JValue s)
{
    size_t size = s.str->size < 1000 ? s.str->size : 1000, n = 0;
    char *out = j_alloc(j, 4 * size + 1);
    for (size_t i = 0; i < size; i++) {
        uint32_t c = J_CODE(s.str->data[i]);
        n += utf8_put(c < J_RAW ? c : UTF8_BAD, out + n);
    }
    out[n] = '\0';
    return out;
}

JValue j_escape(J *j, JValue s)
{
    JOut out = {.j = j};
    if (s.safe) return s;
    for (size_t i = 0; i < s.str->size; i++) {
        uint32_t c = s.str->data[i], mark = c & J_SAID;
        const char *text = J_CODE(c) == '&'    ? "&amp;"
                           : J_CODE(c) == '<'  ? "&lt;"
                           : J_CODE(c) == '>'  ? "&gt;"
                           : J_CODE(c) == '"'  ? "&#34;"
                           : J_CODE(c) == '\'' ? "&#39;"
                                               : NULL;
        if (!text) j_out_char(&out, c);
        for (; text && *text; text++) j_out_char(&out, (unsigned char)*text | mark);
    }
    JValue escaped = j_out_take(&out);
    escaped.safe = true;
    return escaped;
}

/* ---- writing ---- */

static void room_for(JOut *o, size_t n)
{
    if (o->capacity - o->size >= n) return;
    uint64_t need;
    if (!ck_add(o->size, n, &need)) j_fail(o->j, BT_E_LIMIT, "a string is too long");
    size_t capacity = o->capacity ? 2 * o->capacity : 32;
    if (capacity < need) capacity = (size_t)need;
    uint32_t *data = j_array(o->j, capacity, sizeof *data);
    if (o->size) memcpy(data, o->data, o->size * sizeof *data);
    j_spend(o->j, o->size / 16);
    o->data = data;
    o->capacity = capacity;
}

void j_out_char(JOut *o, uint32_t c)
{
    room_for(o, 1);
    o->data[o->size++] = c;
}

void j_out_data(JOut *o, const uint32_t *data, size_t n)
{
    room_for(o, n);
    if (n) memcpy(o->data + o->size, data, n * sizeof *data);
    o->size += n;
}

void j_out_str(JOut *o, const JStr *s)
{
    j_out_data(o, s->data, s->size);
}

void j_out_ascii(JOut *o, const char *text)
{
    for (; *text; text++) j_out_char(o, (unsigned char)*text);
}

JValue j_out_take(JOut *o)
{
    static const uint32_t none[1];
    j_spend(o->j, o->size / 16);
    return j_string(j_str(o->j, o->data ? o->data : none, o->size));
}
