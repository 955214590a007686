/* The index of a JSON text (see jdoc.h). One pass, an explicit stack; strings are decoded in place,
 * where they never grow: an escape is longer than what it stands for. */
#include "io/jdoc.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/os.h"

typedef struct Node {
    uint8_t type;
    uint32_t at, size; /* of its text: a string's bytes, a number's digits */
    uint32_t count;
    uint32_t next; /* the node after this value */
} Node;

struct Jdoc {
    char *text;
    Node *nodes;
    uint32_t n, capacity;
};

typedef struct Parser {
    Jdoc *d;
    const char *name;
    bt_error *err;
    uint32_t size, at;
    uint32_t stack[JDOC_MAX_DEPTH]; /* the open arrays and objects */
    int depth;
} Parser;

static bt_status bad(const Parser *p, const char *what)
{
    return bt_fail(p->err, BT_E_FORMAT, "%s: offset %u: %s; the file is damaged, fetch it again",
                   p->name, p->at, what);
}

static bt_status add_node(Parser *p, JdocType type, uint32_t at, uint32_t size)
{
    Jdoc *d = p->d;
    if (d->n == d->capacity) {
        uint32_t capacity = d->capacity ? 2 * d->capacity : 64;
        Node *nodes = mem_realloc(d->nodes, (size_t)capacity * sizeof *nodes);
        if (!nodes) return bt_fail_memory(p->err, p->name, (uint64_t)capacity * sizeof *nodes);
        d->nodes = nodes;
        d->capacity = capacity;
    }
    d->nodes[d->n] = (Node){.type = (uint8_t)type, .at = at, .size = size, .next = d->n + 1};
    d->n++;
    return BT_OK;
}

/* ---- strings ---- */

static int hex4(const char *p)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static uint32_t put_utf8(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    uint32_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (uint32_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

/* The escape at p->at (after the backslash), decoded to `out`. 0: refused. */
static uint32_t escape(Parser *p, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *text = p->d->text;
    if (p->at >= p->size) return 0;
    const char *known = text[p->at] ? strchr(from, text[p->at]) : NULL;
    if (known) {
        p->at++;
        *out = to[known - from];
        return 1;
    }
    if (text[p->at] != 'u' || p->size - p->at < 5) return 0;
    int c = hex4(text + p->at + 1);
    if (c < 0 || (c >= 0xDC00 && c < 0xE000)) return 0;
    p->at += 5;
    if (c < 0xD800 || c >= 0xE000) return put_utf8((uint32_t)c, out);
    if (p->size - p->at < 6 || text[p->at] != '\\' || text[p->at + 1] != 'u') return 0;
    int low = hex4(text + p->at + 2);
    if (low < 0xDC00 || low >= 0xE000) return 0;
    p->at += 6;
    return put_utf8(0x10000u + ((uint32_t)(c - 0xD800) << 10) + (uint32_t)(low - 0xDC00), out);
}

/* Bytes of the character at s[0..n), 0 when it is no UTF-8 (RFC 3629). */
static uint32_t utf8_length(const unsigned char *s, uint32_t n)
{
    uint32_t want = s[0] < 0x80             ? 1
                    : (s[0] & 0xe0) == 0xc0 ? 2
                    : (s[0] & 0xf0) == 0xe0 ? 3
                    : (s[0] & 0xf8) == 0xf0 ? 4
                                            : 0;
    if (!want || want > n) return 0;
    for (uint32_t i = 1; i < want; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if (want == 2 && s[0] < 0xc2) return 0;
    if (want == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))) return 0;
    if (want == 4 &&
        ((s[0] == 0xf0 && s[1] < 0x90) || s[0] > 0xf4 || (s[0] == 0xf4 && s[1] > 0x8f)))
        return 0;
    return want;
}

/* At the opening quote. */
static bt_status read_string(Parser *p)
{
    char *text = p->d->text;
    uint32_t start = ++p->at, out = start;
    for (;;) {
        if (p->at >= p->size) return bad(p, "a string does not end");
        unsigned char c = (unsigned char)text[p->at];
        if (c == '"') break;
        if (c < 0x20) return bad(p, "a control character in a string");
        if (c == '\\') {
            p->at++;
            uint32_t n = escape(p, text + out);
            if (!n) return bad(p, "an escape that is none, or half a surrogate pair");
            out += n;
            continue;
        }
        uint32_t n = utf8_length((const unsigned char *)text + p->at, p->size - p->at);
        if (!n) return bad(p, "no valid UTF-8");
        if (out != p->at) memmove(text + out, text + p->at, n);
        out += n;
        p->at += n;
    }
    p->at++;
    return add_node(p, JDOC_STRING, start, out - start);
}

/* ---- numbers and words ---- */

static bool word(Parser *p, const char *text)
{
    uint32_t n = (uint32_t)strlen(text);
    if (p->size - p->at < n || memcmp(p->d->text + p->at, text, n) != 0) return false;
    p->at += n;
    return true;
}

static uint32_t digits(const Parser *p, uint32_t at)
{
    while (at < p->size && p->d->text[at] >= '0' && p->d->text[at] <= '9') at++;
    return at;
}

static bt_status read_number(Parser *p)
{
    const char *text = p->d->text;
    uint32_t start = p->at, at = start;
    if (word(p, "NaN") || word(p, "Infinity") || word(p, "-Infinity"))
        return add_node(p, JDOC_NUMBER, start, p->at - start);
    if (at < p->size && text[at] == '-') at++;
    uint32_t end = digits(p, at);
    if (end == at) return bad(p, "neither a value nor the end of one");
    if (text[at] == '0' && end > at + 1) return bad(p, "a number with a leading zero");
    at = end;
    if (at < p->size && text[at] == '.') {
        end = digits(p, at + 1);
        if (end == at + 1) return bad(p, "a number that ends with a point");
        at = end;
    }
    if (at < p->size && (text[at] == 'e' || text[at] == 'E')) {
        uint32_t from = at + 1;
        if (from < p->size && (text[from] == '+' || text[from] == '-')) from++;
        end = digits(p, from);
        if (end == from) return bad(p, "a number without its exponent");
        at = end;
    }
    if (at - start > 60) return bad(p, "a number of more than 60 digits");
    p->at = at;
    return add_node(p, JDOC_NUMBER, start, at - start);
}

static bt_status read_scalar(Parser *p)
{
    uint32_t start = p->at;
    if (p->d->text[start] == '"') return read_string(p);
    if (word(p, "null")) return add_node(p, JDOC_NULL, start, 0);
    if (word(p, "false")) return add_node(p, JDOC_FALSE, start, 0);
    if (word(p, "true")) return add_node(p, JDOC_TRUE, start, 0);
    return read_number(p);
}

/* ---- structure ---- */

static char skip_blank(Parser *p)
{
    const char *text = p->d->text;
    while (p->at < p->size && (text[p->at] == ' ' || text[p->at] == '\n' || text[p->at] == '\r' ||
                               text[p->at] == '\t'))
        p->at++;
    return p->at < p->size ? text[p->at] : '\0';
}

static bt_status open_group(Parser *p, JdocType type)
{
    if (p->depth == JDOC_MAX_DEPTH) return bad(p, "values nested deeper than 64");
    p->stack[p->depth++] = p->d->n;
    return add_node(p, type, p->at++, 0);
}

static void close_group(Parser *p)
{
    Jdoc *d = p->d;
    d->nodes[p->stack[--p->depth]].next = d->n;
    p->at++;
}

static bt_status read_key(Parser *p)
{
    if (skip_blank(p) != '"') return bad(p, "a key in quotes is missing");
    bt_status status = read_string(p);
    if (status) return status;
    if (skip_blank(p) != ':') return bad(p, "the colon after a key is missing");
    p->at++;
    return BT_OK;
}

/* After a value: closes what ends here. *more: another value follows in the innermost group. */
static bt_status after_value(Parser *p, bool *more)
{
    *more = false;
    while (p->depth) {
        Node *group = &p->d->nodes[p->stack[p->depth - 1]];
        char c = skip_blank(p);
        if (c == ',') {
            p->at++;
            *more = true;
            return BT_OK;
        }
        if (c != (group->type == JDOC_OBJECT ? '}' : ']'))
            return bad(p, "neither a comma nor the end of an array or object");
        close_group(p);
    }
    return BT_OK;
}

static bt_status parse(Parser *p)
{
    bool more = true;
    while (more) {
        bool object = p->depth && p->d->nodes[p->stack[p->depth - 1]].type == JDOC_OBJECT;
        bt_status status = BT_OK;
        if (p->depth) p->d->nodes[p->stack[p->depth - 1]].count++;
        if (object) status = read_key(p);
        if (status) return status;
        char c = skip_blank(p);
        if (p->at >= p->size) return bad(p, "the text ends where a value is expected");
        if (c == '{' || c == '[') {
            status = open_group(p, c == '{' ? JDOC_OBJECT : JDOC_ARRAY);
            if (status) return status;
            if (skip_blank(p) != (c == '{' ? '}' : ']')) continue;
            close_group(p);
        } else {
            status = read_scalar(p);
        }
        if (!status) status = after_value(p, &more);
        if (status) return status;
    }
    skip_blank(p);
    return p->at == p->size ? BT_OK : bad(p, "something follows the end");
}

bt_status jdoc_open(const void *text, uint64_t size, const char *name, Jdoc **out, bt_error *err)
{
    *out = NULL;
    if (size > JDOC_MAX_TEXT)
        return bt_fail(err, BT_E_LIMIT, "%s: %llu bytes of JSON, at most %u are read", name,
                       (unsigned long long)size, JDOC_MAX_TEXT);
    Jdoc *d = mem_zalloc(1, sizeof *d);
    if (d) d->text = mem_alloc(size + 1);
    if (!d || !d->text) {
        mem_free(d);
        return bt_fail_memory(err, name, size);
    }
    if (size) memcpy(d->text, text, size);
    d->text[size] = '\0';
    Parser p = {.d = d, .name = name, .err = err, .size = (uint32_t)size};
    if (size >= 3 && memcmp(d->text, "\xEF\xBB\xBF", 3) == 0) p.at = 3; /* a byte order mark */
    bt_status status = parse(&p);
    if (status) jdoc_close(&d);
    *out = d;
    return status;
}

bt_status jdoc_open_file(const char *path, Jdoc **out, bt_error *err)
{
    OsMap map;
    *out = NULL;
    bt_status status = os_map_open(path, &map, err);
    if (status) return status;
    status = jdoc_open(map.data, map.size, path, out, err);
    bt_status lost = os_map_check(&map, path, err);
    if (lost) jdoc_close(out);
    os_map_close(&map);
    return lost ? lost : status;
}

void jdoc_close(Jdoc **doc)
{
    Jdoc *d = *doc;
    if (!d) return;
    mem_free(d->text);
    mem_free(d->nodes);
    mem_free(d);
    *doc = NULL;
}

/* ---- asking ---- */

JdocType jdoc_type(const Jdoc *d, JdocRef v)
{
    return v < d->n ? (JdocType)d->nodes[v].type : JDOC_NONE;
}

uint32_t jdoc_count(const Jdoc *d, JdocRef v)
{
    return v < d->n ? d->nodes[v].count : 0;
}

JdocRef jdoc_first(const Jdoc *d, JdocRef v)
{
    return jdoc_count(d, v) ? v + 1 : JDOC_NO;
}

JdocRef jdoc_next(const Jdoc *d, JdocRef v)
{
    return v < d->n && d->nodes[v].next < d->n ? d->nodes[v].next : JDOC_NO;
}

JdocRef jdoc_get(const Jdoc *d, JdocRef object, const char *key)
{
    JdocRef found = JDOC_NO, k = jdoc_first(d, object);
    if (jdoc_type(d, object) != JDOC_OBJECT) return JDOC_NO;
    for (uint32_t i = 0; i < d->nodes[object].count; i++) {
        JdocRef value = jdoc_next(d, k);
        if (jdoc_is(d, k, key)) found = value;
        k = jdoc_next(d, value);
    }
    return found;
}

JdocRef jdoc_at(const Jdoc *d, JdocRef array, uint32_t i)
{
    if (jdoc_type(d, array) != JDOC_ARRAY || i >= jdoc_count(d, array)) return JDOC_NO;
    JdocRef v = jdoc_first(d, array);
    while (i--) v = jdoc_next(d, v);
    return v;
}

Span jdoc_text(const Jdoc *d, JdocRef v)
{
    if (jdoc_type(d, v) != JDOC_STRING) return SPAN("");
    return (Span){d->text + d->nodes[v].at, d->nodes[v].size};
}

bool jdoc_is(const Jdoc *d, JdocRef v, const char *text)
{
    return jdoc_type(d, v) == JDOC_STRING && span_is(jdoc_text(d, v), text);
}

bool jdoc_number(const Jdoc *d, JdocRef v, double *out)
{
    char digits_of[64];
    if (jdoc_type(d, v) != JDOC_NUMBER) return false;
    memcpy(digits_of, d->text + d->nodes[v].at, d->nodes[v].size);
    digits_of[d->nodes[v].size] = '\0';
    *out = strtod(digits_of, NULL);
    return true;
}

bool jdoc_integer(const Jdoc *d, JdocRef v, int64_t *out)
{
    if (jdoc_type(d, v) != JDOC_NUMBER) return false;
    const char *p = d->text + d->nodes[v].at, *end = p + d->nodes[v].size;
    bool minus = *p == '-';
    int64_t value = 0;
    for (p += minus; p < end; p++) {
        if (*p < '0' || *p > '9') return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, *p - '0', &value)) /* below zero there is room for all */
            return false;
    }
    if (!minus && value == INT64_MIN) return false;
    *out = minus ? value : -value;
    return true;
}
