/* Reading JSON (RFC 8259) into one array (see json_tree.h). */
#include "text/json_tree.h"

#include <string.h>

#include "base/hash.h"
#include "base/hex.h"
#include "base/mem.h"
#include "text/json_bytes.h"
#include "text/utf8.h"

enum { MAX_NODES = 1 << 20, MAX_ALL = 1 << 23 }; /* read; and with what is added */
enum { FEW = 8 };                                /* members that are looked through one by one */

typedef struct Reader {
    JsonTree *t;
    const char *begin, *p, *end;
    char *out; /* where the next decoded byte goes */
    uint32_t depth, max_depth;
    bt_error *err;
    bt_status status;
} Reader;

static bool fail_at(Reader *r, const char *where, const char *what)
{
    size_t line = 1, column = 1;
    for (const char *p = r->begin; p < where; p++) line += *p == '\n';
    for (const char *p = where; p > r->begin && p[-1] != '\n'; p--)
        column += (p[-1] & 0xC0) != 0x80;
    r->status =
        bt_fail(r->err, BT_E_ARGUMENT, "JSON, line %zu, column %zu: %s", line, column, what);
    return false;
}

static void skip(Reader *r)
{
    if (r->p < r->end && *r->p == ' ') r->p += json_run_of_spaces(r->p, (size_t)(r->end - r->p));
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
}

static bool hex4(Reader *r, uint32_t *out)
{
    *out = 0;
    if (r->end - r->p < 4) return fail_at(r, r->p, "\\u needs four hexadecimal digits");
    for (int i = 0; i < 4; i++, r->p++) {
        int d = hex_digit(*r->p);
        if (d < 0) return fail_at(r, r->p, "\\u needs four hexadecimal digits");
        *out = *out << 4 | (uint32_t)d;
    }
    return true;
}

static bool read_escape(Reader *r)
{
    static const char means[128] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                    ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
    const char *start = r->p++;
    char c = r->p < r->end ? *r->p++ : 0;
    if (!(c & 0x80) && means[(unsigned char)c]) {
        *r->out++ = means[(unsigned char)c];
        return true;
    }
    uint32_t value, low;
    if (c != 'u') return fail_at(r, start, "unknown escape");
    if (!hex4(r, &value)) return false;
    if (value >= 0xD800 && value <= 0xDBFF && r->end - r->p >= 6 && r->p[0] == '\\' &&
        r->p[1] == 'u') {
        r->p += 2;
        if (!hex4(r, &low)) return false;
        if (low < 0xDC00 || low > 0xDFFF) return fail_at(r, start, "half of a surrogate pair");
        value = 0x10000 + ((value & 0x3FF) << 10) + (low & 0x3FF);
    }
    if (value >= 0xD800 && value <= 0xDFFF) return fail_at(r, start, "half of a surrogate pair");
    r->out += utf8_put(value, r->out);
    return true;
}

/* Copies what needs no look: ASCII that neither ends a string nor escapes. */
static void read_plain(Reader *r)
{
    size_t n = json_run_of_plain(r->p, (size_t)(r->end - r->p));
    memcpy(r->out, r->p, n);
    r->out += n;
    r->p += n;
}

/* The same of characters beyond ASCII; nothing where none begins. */
static void read_beyond(Reader *r)
{
    const char *p = r->p;
    for (size_t n; p < r->end && *p & 0x80; p += n)
        if (utf8_next(p, (size_t)(r->end - p), &n) == UTF8_BAD && n == 1) break;
    memcpy(r->out, r->p, (size_t)(p - r->p));
    r->out += p - r->p;
    r->p = p;
}

static bool read_string(Reader *r, Span *out)
{
    const char *from = r->p++;
    char *start = r->out;
    for (;;) {
        read_plain(r);
        if (r->p >= r->end) return fail_at(r, from, "this string is not closed");
        unsigned char c = (unsigned char)*r->p;
        if (c == '"') break;
        if (c < 0x20) return fail_at(r, r->p, "a control character stands in a string");
        if (c == '\\') {
            while (r->p < r->end && *r->p == '\\')
                if (!read_escape(r)) return false;
            continue;
        }
        if (c < 0x80) { /* DEL */
            *r->out++ = *r->p++;
            continue;
        }
        read_beyond(r);
        if (r->p < r->end && *r->p & 0x80) return fail_at(r, r->p, "this is no UTF-8");
    }
    r->p++;
    *out = (Span){start, (size_t)(r->out - start)};
    return true;
}

static void digits(Reader *r)
{
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9') r->p++;
}

static bool read_number(Reader *r, Span *out)
{
    const char *from = r->p, *at;
    if (r->p < r->end && *r->p == '-') r->p++;
    at = r->p;
    digits(r);
    bool good = r->p > at && (*at != '0' || r->p == at + 1);
    if (good && r->p < r->end && *r->p == '.') {
        at = ++r->p;
        digits(r);
        good = r->p > at;
    }
    if (good && r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
        r->p++;
        if (r->p < r->end && (*r->p == '+' || *r->p == '-')) r->p++;
        at = r->p;
        digits(r);
        good = r->p > at;
    }
    *out = (Span){from, (size_t)(r->p - from)};
    return good || fail_at(r, from, "this is no number");
}

static bool read_word(Reader *r, JsonNode *node)
{
    static const struct {
        const char *text;
        size_t n;
        JsonKind kind;
    } words[] = {
        {"null", 4, JSON_KIND_NULL}, {"true", 4, JSON_KIND_TRUE}, {"false", 5, JSON_KIND_FALSE}};
    for (size_t i = 0; i < 3; i++)
        if ((size_t)(r->end - r->p) >= words[i].n && memcmp(r->p, words[i].text, words[i].n) == 0) {
            node->kind = words[i].kind;
            r->p += words[i].n;
            return true;
        }
    return fail_at(r, r->p, r->p < r->end ? "a value must stand here" : "a value is missing");
}

/* Room for one more node. */
static bool room(JsonTree *t)
{
    if (t->n < t->capacity) return true;
    uint32_t grown = t->capacity ? t->capacity * 2 : 64;
    JsonNode *nodes = mem_realloc(t->nodes, grown * sizeof *nodes);
    if (!nodes) return false;
    t->nodes = nodes;
    t->capacity = grown;
    return true;
}

/* Reads what stands at p as a child of `parent`; *opened when it is an array or object. */
static bool read_value(Reader *r, uint32_t parent, uint32_t last, Span key, bool *opened)
{
    JsonTree *t = r->t;
    if (t->n >= MAX_NODES) {
        r->status = bt_fail(r->err, BT_E_LIMIT, "the JSON has more than %d values", MAX_NODES);
        return false;
    }
    if (!room(t)) {
        r->status = bt_fail_memory(r->err, "JSON", (uint64_t)t->n * 2 * sizeof *t->nodes);
        return false;
    }
    uint32_t id = t->n++;
    JsonNode node = {.parent = parent, .key = key, .offset = (uint32_t)(r->p - r->begin)};
    char c = r->p < r->end ? *r->p : 0;
    bool good = true;
    *opened = c == '{' || c == '[';
    if (*opened) {
        node.kind = c == '{' ? JSON_KIND_OBJECT : JSON_KIND_ARRAY;
        r->p++;
    } else if (c == '"') {
        node.kind = JSON_KIND_STRING;
        good = read_string(r, &node.text);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        node.kind = JSON_KIND_NUMBER;
        good = read_number(r, &node.text);
    } else {
        good = read_word(r, &node);
    }
    t->nodes[id] = node;
    if (id && last)
        t->nodes[last].next = id;
    else if (id)
        t->nodes[parent].child = id;
    if (id) t->nodes[parent].n++;
    return good;
}

static bool read_key(Reader *r, Span *key)
{
    skip(r);
    if (r->p >= r->end || *r->p != '"') return fail_at(r, r->p, "a key in quotes must stand here");
    if (!read_string(r, key)) return false;
    skip(r);
    if (r->p >= r->end || *r->p != ':') return fail_at(r, r->p, "a colon must stand here");
    r->p++;
    return true;
}

/* `open` is the array or object being read, `last` its last child so far (0: none). */
static bool read_all(Reader *r)
{
    JsonTree *t = r->t;
    uint32_t open = 0, last = 0;
    bool opened;
    skip(r);
    if (!read_value(r, 0, 0, (Span){0}, &opened)) return false;
    if (!opened) return true;
    for (r->depth = 1;;) {
        Span key = {0};
        bool object = t->nodes[open].kind == JSON_KIND_OBJECT;
        skip(r);
        char c = r->p < r->end ? *r->p : 0;
        if (c == (object ? '}' : ']')) {
            r->p++;
            if (--r->depth == 0) return true;
            last = open;
            open = t->nodes[open].parent;
            continue;
        }
        if (last) {
            if (c != ',')
                return fail_at(r, r->p,
                               object ? "a comma or } must stand here"
                                      : "a comma or ] must stand here");
            r->p++;
            skip(r);
        }
        if (object && !read_key(r, &key)) return false;
        skip(r);
        if (!read_value(r, open, last, key, &opened)) return false;
        last = t->n - 1;
        if (!opened) continue;
        if (++r->depth > r->max_depth) return fail_at(r, r->p - 1, "this nests too deeply");
        open = last;
        last = 0;
    }
}

static uint32_t slot_of(const JsonTree *t, uint32_t object, Span key)
{
    uint32_t at = (uint32_t)hash_bytes(key.data, key.size, t->seed + object) & t->mask;
    for (; t->table[at]; at = (at + 1) & t->mask) {
        const JsonNode *node = &t->nodes[t->table[at]];
        if (node->parent == object && span_equal(node->key, key)) break;
    }
    return at;
}

static bool index_keys(Reader *r)
{
    JsonTree *t = r->t;
    uint32_t size = 64;
    while (size < t->n * 2) size *= 2;
    t->mask = size - 1;
    t->table = mem_zalloc(size, sizeof *t->table);
    if (!t->table) {
        r->status = bt_fail_memory(r->err, "JSON", size * sizeof *t->table);
        return false;
    }
    t->seed = 0x5bd1e995u + t->n;
    uint64_t steps = 0; /* past slots that were taken; few, unless keys were chosen to collide */
    for (uint32_t i = 1; i < t->n; i++) {
        uint32_t object = t->nodes[i].parent;
        Span key = t->nodes[i].key;
        if (t->nodes[object].kind != JSON_KIND_OBJECT) continue;
        uint32_t at = slot_of(t, object, key);
        if (t->table[at])
            return fail_at(r, r->begin + t->nodes[i].offset, "this key stands here twice");
        t->table[at] = i;
        steps += (at - (uint32_t)hash_bytes(key.data, key.size, t->seed + object)) & t->mask;
        if (steps > 16ull * t->n + 100000)
            return fail_at(r, r->begin + t->nodes[i].offset, "these keys were made to collide");
    }
    return true;
}

bt_status json_tree_open(Span text, uint32_t max_depth, size_t *used, JsonTree *out, bt_error *err)
{
    Reader r = {.t = out, .begin = text.data, .p = text.data, .max_depth = max_depth, .err = err};
    *out = (JsonTree){0};
    if (text.size >= UINT32_MAX / 2)
        return bt_fail(err, BT_E_LIMIT, "the JSON has %zu bytes", text.size);
    r.end = text.data + text.size;
    out->strings = r.out = mem_alloc(text.size + 1);
    if (!out->strings) return bt_fail_memory(err, "JSON", text.size);
    bool good = read_all(&r);
    if (good && used) *used = (size_t)(r.p - r.begin);
    if (good && !used) {
        skip(&r);
        if (r.p < r.end) good = fail_at(&r, r.p, "something follows the value");
    }
    if (good) good = index_keys(&r);
    if (!good) json_tree_close(out);
    return good ? BT_OK : r.status;
}

void json_tree_close(JsonTree *tree)
{
    mem_free(tree->nodes);
    mem_free(tree->strings);
    mem_free(tree->table);
    *tree = (JsonTree){0};
}

uint32_t json_tree_get(const JsonTree *tree, uint32_t object, Span key)
{
    const JsonNode *n = &tree->nodes[object];
    if (n->kind != JSON_KIND_OBJECT) return 0;
    if (n->n > FEW) return tree->table[slot_of(tree, object, key)];
    uint32_t at = n->child; /* quicker than the table */
    while (at && !(tree->nodes[at].key.size == key.size && span_equal(tree->nodes[at].key, key)))
        at = tree->nodes[at].next;
    return at;
}

/* ---- adding ------------------------------------------------------------------ */

/* A table of twice the size, with the same entries. */
static bool grow_table(JsonTree *t)
{
    uint32_t *old = t->table, size = t->mask + 1;
    uint32_t *table = mem_zalloc((size_t)size * 2, sizeof *table);
    if (!table) return false;
    t->table = table;
    t->mask = size * 2 - 1;
    for (uint32_t i = 0; i < size; i++)
        if (old[i]) table[slot_of(t, t->nodes[old[i]].parent, t->nodes[old[i]].key)] = old[i];
    mem_free(old);
    return true;
}

uint32_t json_tree_add_apart(JsonTree *t, uint32_t parent, JsonKind kind, Span key)
{
    if (t->n >= MAX_ALL || !room(t)) return 0;
    t->nodes[t->n] =
        (JsonNode){.kind = kind, .parent = parent, .key = key, .offset = t->nodes[parent].offset};
    return t->n++;
}

uint32_t json_tree_add(JsonTree *t, uint32_t parent, JsonKind kind, Span key, Span text)
{
    if (t->n * 2 > t->mask && !grow_table(t)) return 0;
    uint32_t id = json_tree_add_apart(t, parent, kind, key);
    if (!id) return 0;
    t->nodes[id].text = text;
    t->nodes[id].next = t->nodes[parent].child;
    t->nodes[parent].child = id;
    t->nodes[parent].n++;
    if (t->nodes[parent].kind == JSON_KIND_OBJECT) t->table[slot_of(t, parent, key)] = id;
    return id;
}

/* ---- writing ----------------------------------------------------------------- */

void json_string_write(Buf *out, Span text)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    buf_char(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        const char *found = c ? strchr(from, c) : NULL;
        if (found)
            buf_printf(out, "\\%c", to[found - from]);
        else if (c < 0x20)
            buf_printf(out, "\\u%04x", c);
        else
            buf_char(out, (char)c);
    }
    buf_char(out, '"');
}

static void write_start(const JsonTree *t, uint32_t node, Buf *out)
{
    const JsonNode *n = &t->nodes[node];
    switch (n->kind) {
    case JSON_KIND_NULL: buf_text(out, "null"); break;
    case JSON_KIND_FALSE: buf_text(out, "false"); break;
    case JSON_KIND_TRUE: buf_text(out, "true"); break;
    case JSON_KIND_NUMBER: buf_add(out, n->text.data, n->text.size); break;
    case JSON_KIND_STRING: json_string_write(out, n->text); break;
    case JSON_KIND_ARRAY: buf_char(out, '['); break;
    case JSON_KIND_OBJECT: buf_char(out, '{'); break;
    }
}

void json_tree_write(const JsonTree *t, uint32_t node, Buf *out)
{
    uint32_t at = node;
    for (;;) {
        write_start(t, at, out);
        bool holds = t->nodes[at].kind >= JSON_KIND_ARRAY;
        if (holds && t->nodes[at].child) {
            at = t->nodes[at].child;
        } else {
            if (holds) buf_char(out, t->nodes[at].kind == JSON_KIND_ARRAY ? ']' : '}');
            while (at != node && !t->nodes[at].next) {
                at = t->nodes[at].parent;
                buf_char(out, t->nodes[at].kind == JSON_KIND_ARRAY ? ']' : '}');
            }
            if (at == node) return;
            at = t->nodes[at].next;
            buf_char(out, ',');
        }
        if (t->nodes[t->nodes[at].parent].kind == JSON_KIND_OBJECT) {
            json_string_write(out, t->nodes[at].key);
            buf_char(out, ':');
        }
    }
}

void json_tree_path(const JsonTree *t, uint32_t node, Buf *out)
{
    enum { MOST = 24 };
    uint32_t way[MOST], n = 0;
    for (; node && n < MOST; node = t->nodes[node].parent) way[n++] = node;
    buf_text(out, node ? "#/..." : "#");
    while (n--) {
        uint32_t at = way[n];
        buf_char(out, '/');
        if (t->nodes[t->nodes[at].parent].kind == JSON_KIND_OBJECT) {
            size_t size = t->nodes[at].key.size;
            buf_add(out, t->nodes[at].key.data,
                    size < 64 ? size : utf8_whole(t->nodes[at].key.data, 64));
            continue;
        }
        uint32_t index = 0;
        for (uint32_t k = t->nodes[t->nodes[at].parent].child; k != at; k = t->nodes[k].next)
            index++;
        buf_printf(out, "%u", index);
    }
}
