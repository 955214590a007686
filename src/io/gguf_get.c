/* Typed reads of metadata, and its form for people. A value of the wrong type is refused with the
 * key and both types; nothing is rounded, wrapped or guessed. */
#include <math.h>
#include <stdio.h>

#include "base/checked.h"
#include "io/gguf_index.h"

static bool is_integer(uint32_t type)
{
    return type <= GGUF_I32 || type == GGUF_U64 || type == GGUF_I64;
}

static bool is_float(uint32_t type)
{
    return type == GGUF_F32 || type == GGUF_F64;
}

/* One integer or bool at p; false when it is beyond int64. */
static bool load_integer(uint32_t type, const unsigned char *p, int64_t *out)
{
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
    } v;
    memcpy(&v, p, gguf_type_width(type));
    switch (type) {
    case GGUF_BOOL:
    case GGUF_U8: *out = v.u8; return true;
    case GGUF_I8: *out = (int)v.i8; return true;
    case GGUF_U16: *out = v.u16; return true;
    case GGUF_I16: *out = v.i16; return true;
    case GGUF_U32: *out = v.u32; return true;
    case GGUF_I32: *out = v.i32; return true;
    case GGUF_I64: *out = v.i64; return true;
    default: *out = (int64_t)v.u64; return v.u64 <= INT64_MAX;
    }
}

static double load_number(uint32_t type, const unsigned char *p)
{
    float f;
    double d;
    uint64_t u;
    int64_t i;
    switch (type) {
    case GGUF_F32: memcpy(&f, p, 4); return (double)f;
    case GGUF_F64: memcpy(&d, p, 8); return d;
    case GGUF_U64: memcpy(&u, p, 8); return (double)u;
    default: load_integer(type, p, &i); return (double)i;
    }
}

/* The key, or NULL with *status saying whether that is an error. */
static const GgufKey *find(const GgufFile *f, const char *key, bool required, bt_status *status,
                           bt_error *err)
{
    int64_t i = name_table_find(&f->key_table, span_of(key));
    *status = BT_OK;
    if (i < 0 && required)
        *status =
            bt_fail(err, BT_E_FORMAT, "%s: key '%s' is missing; fetch or convert the file again",
                    f->shown, key);
    return i < 0 ? NULL : &f->keys[i];
}

static bt_status wrong_type(const GgufFile *f, const GgufKey *k, const char *wanted, bt_error *err)
{
    if (k->type == GGUF_ARRAY)
        return gguf_bad(f, err, "key", k->name, k->entry, "is an array of %s, must be %s",
                        gguf_type_text(k->element), wanted);
    return gguf_bad(f, err, "key", k->name, k->entry, "is %s, must be %s", gguf_type_text(k->type),
                    wanted);
}

static bt_status out_of_range(const GgufFile *f, const GgufKey *k, uint64_t at, int64_t low,
                              int64_t high, const unsigned char *p, uint32_t type, bt_error *err)
{
    char value[32];
    uint64_t u = 0;
    int64_t i = 0;
    if (load_integer(type, p, &i)) {
        snprintf(value, sizeof value, "%lld", (long long)i);
    } else {
        memcpy(&u, p, 8);
        snprintf(value, sizeof value, "%llu", (unsigned long long)u);
    }
    return gguf_bad(f, err, "key", k->name, k->entry,
                    "value %s (element %llu) is not in %lld..%lld", value, (unsigned long long)at,
                    (long long)low, (long long)high);
}

bt_status gguf_file_integer(const GgufFile *f, const char *key, bool required, int64_t low,
                            int64_t high, int64_t *out, bt_error *err)
{
    bt_status status;
    int64_t value;
    const GgufKey *k = find(f, key, required, &status, err);
    if (!k) return status;
    if (!is_integer(k->type)) return wrong_type(f, k, "an integer", err);
    if (!load_integer(k->type, k->value, &value) || value < low || value > high)
        return out_of_range(f, k, 0, low, high, k->value, k->type, err);
    *out = value;
    return BT_OK;
}

bt_status gguf_get_u32(const Gguf *g, const char *key, bool required, uint32_t *out, bt_error *err)
{
    int64_t value = *out;
    bt_status status = gguf_file_integer(&g->parts[0], key, required, 0, UINT32_MAX, &value, err);
    if (!status) *out = (uint32_t)value;
    return status;
}

bt_status gguf_get_i32(const Gguf *g, const char *key, bool required, int32_t *out, bt_error *err)
{
    int64_t value = *out;
    bt_status status =
        gguf_file_integer(&g->parts[0], key, required, INT32_MIN, INT32_MAX, &value, err);
    if (!status) *out = (int32_t)value;
    return status;
}

bt_status gguf_get_f32(const Gguf *g, const char *key, bool required, float *out, bt_error *err)
{
    bt_status status;
    const GgufFile *f = &g->parts[0];
    const GgufKey *k = find(f, key, required, &status, err);
    if (!k) return status;
    if (!is_float(k->type) && !is_integer(k->type)) return wrong_type(f, k, "a number", err);
    float value = (float)load_number(k->type, k->value);
    if (!isfinite(value))
        return gguf_bad(f, err, "key", k->name, k->entry,
                        "is not a finite 32-bit number; fetch or convert the file again");
    *out = value;
    return BT_OK;
}

bt_status gguf_get_bool(const Gguf *g, const char *key, bool required, bool *out, bt_error *err)
{
    bt_status status;
    const GgufKey *k = find(&g->parts[0], key, required, &status, err);
    if (!k) return status;
    if (k->type != GGUF_BOOL) return wrong_type(&g->parts[0], k, "a bool", err);
    *out = k->value[0] != 0;
    return BT_OK;
}

/* The string at *p; steps over it. It was validated, but the file may have been written to since:
 * a length that no longer fits gives "". */
static Span next_string(const unsigned char **p, const GgufKey *k)
{
    uint64_t at = (uint64_t)(*p - k->value), n;
    if (!ck_inside(at, 8, k->bytes)) return (Span){"", 0};
    memcpy(&n, *p, 8);
    if (!ck_inside(at + 8, n, k->bytes)) return (Span){"", 0};
    Span s = {(const char *)*p + 8, (size_t)n};
    *p += 8 + n;
    return s;
}

bt_status gguf_get_span(const Gguf *g, const char *key, bool required, Span *out, bt_error *err)
{
    bt_status status;
    const GgufKey *k = find(&g->parts[0], key, required, &status, err);
    if (!k) return status;
    if (k->type != GGUF_STRING) return wrong_type(&g->parts[0], k, "a string", err);
    const unsigned char *p = k->value;
    *out = next_string(&p, k);
    return BT_OK;
}

static bt_status too_many(const GgufFile *f, const GgufKey *k, uint64_t capacity, bt_error *err)
{
    return gguf_bad(f, err, "key", k->name, k->entry, "has %llu elements, at most %llu fit here",
                    (unsigned long long)k->count, (unsigned long long)capacity);
}

bt_status gguf_get_i32s(const Gguf *g, const char *key, bool required, int32_t *out,
                        uint64_t capacity, uint64_t *count, bt_error *err)
{
    bt_status status;
    const GgufFile *f = &g->parts[0];
    const GgufKey *k = find(f, key, required, &status, err);
    *count = 0;
    if (!k) return status;
    uint32_t type = k->type == GGUF_ARRAY ? k->element : k->type;
    if (!is_integer(type) && type != GGUF_BOOL) return wrong_type(f, k, "integers", err);
    if (k->count > capacity) return too_many(f, k, capacity, err);
    unsigned width = gguf_type_width(type);
    for (uint64_t i = 0; i < k->count; i++) {
        int64_t value;
        const unsigned char *p = k->value + i * width;
        if (!load_integer(type, p, &value) || value < INT32_MIN || value > INT32_MAX)
            return out_of_range(f, k, i, INT32_MIN, INT32_MAX, p, type, err);
        out[i] = (int32_t)value;
    }
    *count = k->count;
    return BT_OK;
}

bt_status gguf_get_f32s(const Gguf *g, const char *key, bool required, float *out,
                        uint64_t capacity, uint64_t *count, bt_error *err)
{
    bt_status status;
    const GgufFile *f = &g->parts[0];
    const GgufKey *k = find(f, key, required, &status, err);
    *count = 0;
    if (!k) return status;
    uint32_t type = k->type == GGUF_ARRAY ? k->element : k->type;
    if (!is_integer(type) && !is_float(type) && type != GGUF_BOOL)
        return wrong_type(f, k, "numbers", err);
    if (k->count > capacity) return too_many(f, k, capacity, err);
    unsigned width = gguf_type_width(type);
    for (uint64_t i = 0; i < k->count; i++) {
        out[i] = (float)load_number(type, k->value + i * width);
        if (isnan(out[i]))
            return gguf_bad(f, err, "key", k->name, k->entry,
                            "element %llu is not a number; fetch or convert the file again",
                            (unsigned long long)i);
    }
    *count = k->count;
    return BT_OK;
}

bt_status gguf_get_spans(const Gguf *g, const char *key, Span *out, uint64_t count, bt_error *err)
{
    bt_status status;
    const GgufFile *f = &g->parts[0];
    const GgufKey *k = find(f, key, true, &status, err);
    if (!k) return status;
    if (k->type != GGUF_ARRAY || k->element != GGUF_STRING)
        return wrong_type(f, k, "an array of strings", err);
    if (k->count != count)
        return gguf_bad(f, err, "key", k->name, k->entry, "has %llu elements, %llu are wanted",
                        (unsigned long long)k->count, (unsigned long long)count);
    const unsigned char *p = k->value;
    for (uint64_t i = 0; i < count; i++) out[i] = next_string(&p, k);
    return BT_OK;
}

bt_status gguf_get_bytes(const Gguf *g, const char *key, bool required, Span *out, bt_error *err)
{
    bt_status status;
    const GgufFile *f = &g->parts[0];
    const GgufKey *k = find(f, key, required, &status, err);
    if (!k) return status;
    if (k->type != GGUF_ARRAY || (k->element != GGUF_U8 && k->element != GGUF_I8))
        return wrong_type(f, k, "an array of bytes", err);
    *out = (Span){(const char *)k->value, k->count};
    return BT_OK;
}

/* ---- for people ---- */

typedef struct Printer {
    char *out;
    size_t size, at; /* at < size always; what does not fit is dropped */
} Printer;

static void print_bytes(Printer *w, const char *text, size_t n)
{
    for (size_t i = 0; i < n && w->at + 1 < w->size; i++) {
        unsigned char c = (unsigned char)text[i];
        w->out[w->at++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    w->out[w->at] = '\0';
}

static void print_text(Printer *w, const char *text)
{
    print_bytes(w, text, strlen(text));
}

static void print_value(Printer *w, const GgufKey *k, const unsigned char **p, bool quoted)
{
    char number[40];
    uint32_t type = k->type == GGUF_ARRAY ? k->element : k->type;
    if (type == GGUF_STRING) {
        Span s = next_string(p, k);
        if (quoted) print_text(w, "\"");
        print_bytes(w, s.data, s.size);
        if (quoted) print_text(w, "\"");
        return;
    }
    int64_t i;
    uint64_t u;
    if (type == GGUF_BOOL) {
        snprintf(number, sizeof number, "%s", **p ? "true" : "false");
    } else if (is_float(type)) {
        snprintf(number, sizeof number, "%.9g", load_number(type, *p));
    } else if (load_integer(type, *p, &i)) {
        snprintf(number, sizeof number, "%lld", (long long)i);
    } else {
        memcpy(&u, *p, 8);
        snprintf(number, sizeof number, "%llu", (unsigned long long)u);
    }
    *p += gguf_type_width(type);
    print_text(w, number);
}

/* Cuts a character that did not fit whole, and says with "..." that something is missing. */
static void print_end(Printer *w)
{
    if (w->at + 1 < w->size || w->size < 5) return;
    size_t at = w->size - 4;
    while (at > 0 && ((unsigned char)w->out[at] & 0xc0) == 0x80) at--;
    memcpy(w->out + at, "...", 4);
}

char *gguf_key_print(const Gguf *g, size_t i, char *out, size_t size)
{
    enum { SHOWN = 8 };
    Printer w = {out, size, 0};
    if (size == 0) return out;
    out[0] = '\0';
    if (i >= g->parts[0].n_keys) return out;
    const GgufKey *k = &g->parts[0].keys[i];
    const unsigned char *p = k->value;
    if (k->type != GGUF_ARRAY) {
        print_value(&w, k, &p, false);
    } else if (k->element == GGUF_ARRAY) {
        char text[48];
        snprintf(text, sizeof text, "[%llu arrays]", (unsigned long long)k->count);
        print_text(&w, text);
    } else {
        char more[48];
        print_text(&w, "[");
        for (uint64_t n = 0; n < k->count && n < SHOWN; n++) {
            if (n) print_text(&w, ", ");
            print_value(&w, k, &p, true);
        }
        snprintf(more, sizeof more, ", ... %llu in all]", (unsigned long long)k->count);
        print_text(&w, k->count > SHOWN ? more : "]");
    }
    print_end(&w);
    return out;
}
