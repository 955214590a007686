/* Header and metadata of one GGUF file, checked as they are walked. Every read is bounded by the
 * file, every count by a cap and by what the file could hold, before anything is allocated; nesting
 * is bounded. Refuses version 1, big-endian files and the formats before GGUF, each by name. */
#include <stdarg.h>
#include <stdio.h>

#include "base/checked.h"
#include "base/mem.h"
#include "io/gguf_index.h"

#define AGAIN "the file is damaged, fetch or convert it again"

enum { HEADER_BYTES = 24, MIN_KEY_BYTES = 14, MIN_TENSOR_BYTES = 33 };

typedef struct Reader {
    GgufFile *file;
    bt_error *err;
    const unsigned char *data;
    uint64_t size, at;
    uint64_t walked; /* elements looked at one by one so far, see GGUF_MAX_WALK */
    Span key;        /* being read, for messages */
    uint64_t entry;  /* where it starts */
} Reader;

static const struct {
    const char *text;
    unsigned width;
} types[GGUF_N_TYPES] = {
    [GGUF_U8] = {"u8", 1},       [GGUF_I8] = {"i8", 1},     [GGUF_U16] = {"u16", 2},
    [GGUF_I16] = {"i16", 2},     [GGUF_U32] = {"u32", 4},   [GGUF_I32] = {"i32", 4},
    [GGUF_F32] = {"f32", 4},     [GGUF_BOOL] = {"bool", 1}, [GGUF_STRING] = {"string", 0},
    [GGUF_ARRAY] = {"array", 0}, [GGUF_U64] = {"u64", 8},   [GGUF_I64] = {"i64", 8},
    [GGUF_F64] = {"f64", 8},
};

const char *gguf_type_text(uint32_t type)
{
    return type < GGUF_N_TYPES ? types[type].text : "?";
}

unsigned gguf_type_width(uint32_t type)
{
    return type < GGUF_N_TYPES ? types[type].width : 0;
}

bt_status gguf_bad(const GgufFile *file, bt_error *err, const char *kind, Span name,
                   uint64_t offset, const char *format, ...)
{
    char what[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    int n = name.size < 120 ? (int)name.size : 120;
    if (name.size)
        return bt_fail(err, BT_E_FORMAT, "%s: %s '%.*s' at offset %llu: %s", file->shown, kind, n,
                       name.data, (unsigned long long)offset, what);
    return bt_fail(err, BT_E_FORMAT, "%s: %s at offset %llu: %s", file->shown, kind,
                   (unsigned long long)offset, what);
}

static bt_status cut_short(Reader *r)
{
    return gguf_bad(r->file, r->err, "key", r->key, r->entry,
                    "the file ends inside it, at %llu bytes: it is cut short, fetch it again",
                    (unsigned long long)r->size);
}

static bool take(Reader *r, void *out, uint64_t size)
{
    if (!ck_inside(r->at, size, r->size)) return false;
    memcpy(out, r->data + r->at, size);
    r->at += size;
    return true;
}

static bt_status skip_string(Reader *r)
{
    uint64_t length;
    if (!take(r, &length, 8)) return cut_short(r);
    if (length > GGUF_MAX_STRING)
        return gguf_bad(r->file, r->err, "key", r->key, r->entry,
                        "a string of %llu bytes (at most %u); " AGAIN, (unsigned long long)length,
                        GGUF_MAX_STRING);
    if (!ck_inside(r->at, length, r->size)) return cut_short(r);
    r->at += length;
    return BT_OK;
}

static bt_status check_bools(Reader *r, const unsigned char *value, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (value[i] > 1)
            return gguf_bad(r->file, r->err, "key", r->key, r->entry,
                            "a bool of value %u (must be 0 or 1); " AGAIN, value[i]);
    return BT_OK;
}

static bt_status type_unknown(Reader *r, uint32_t type)
{
    return gguf_bad(r->file, r->err, "key", r->key, r->entry,
                    "value type %u is unknown (0 to %u are); " AGAIN, type, GGUF_N_TYPES - 1);
}

/* Counts elements that are looked at one by one against the budget of the whole file. */
static bt_status walk(Reader *r, uint64_t count)
{
    if (count > GGUF_MAX_WALK - r->walked)
        return gguf_bad(r->file, r->err, "key", r->key, r->entry,
                        "an array of %llu elements; a file may hold %u strings, bools and arrays "
                        "in all",
                        (unsigned long long)count, GGUF_MAX_WALK);
    r->walked += count;
    return BT_OK;
}

/* Reads an array's element type and count, then passes over its elements. Recursion ends at
 * GGUF_MAX_DEPTH. */
static bt_status skip_array(Reader *r, int depth, uint32_t *element, uint64_t *count,
                            uint64_t *first)
{
    uint64_t bytes;
    if (depth > GGUF_MAX_DEPTH)
        return gguf_bad(r->file, r->err, "key", r->key, r->entry,
                        "arrays nested deeper than %d; " AGAIN, GGUF_MAX_DEPTH);
    if (!take(r, element, 4) || !take(r, count, 8)) return cut_short(r);
    if (*element >= GGUF_N_TYPES) return type_unknown(r, *element);
    *first = r->at;
    uint64_t least = *element == GGUF_STRING ? 8 : *element == GGUF_ARRAY ? 12 : 0;
    uint64_t width = least ? least : gguf_type_width(*element);
    if (!ck_mul(*count, width, &bytes) || !ck_inside(r->at, bytes, r->size))
        return gguf_bad(
            r->file, r->err, "key", r->key, r->entry,
            "an array of %llu %s does not fit in the file (%llu bytes): it is cut short "
            "or damaged, fetch it again",
            (unsigned long long)*count, gguf_type_text(*element), (unsigned long long)r->size);
    bt_status status = BT_OK;
    if (least || *element == GGUF_BOOL) status = walk(r, *count);
    if (status) return status;
    if (!least) {
        if (*element == GGUF_BOOL) status = check_bools(r, r->data + r->at, *count);
        r->at += bytes;
        return status;
    }
    for (uint64_t i = 0; i < *count && !status; i++) {
        uint32_t inner;
        uint64_t n, at;
        status =
            *element == GGUF_STRING ? skip_string(r) : skip_array(r, depth + 1, &inner, &n, &at);
    }
    return status;
}

static bt_status read_value(Reader *r, GgufKey *key)
{
    bt_status status = BT_OK;
    uint64_t start = r->at;
    key->count = 1;
    if (key->type >= GGUF_N_TYPES) return type_unknown(r, key->type);
    if (key->type == GGUF_STRING) {
        status = skip_string(r);
    } else if (key->type == GGUF_ARRAY) {
        status = skip_array(r, 1, &key->element, &key->count, &start);
    } else {
        unsigned width = gguf_type_width(key->type);
        if (!ck_inside(r->at, width, r->size)) return cut_short(r);
        if (key->type == GGUF_BOOL) status = check_bools(r, r->data + r->at, 1);
        r->at += width;
    }
    key->value = r->data + start;
    key->bytes = r->at - start;
    return status;
}

static bt_status read_key(Reader *r, GgufKey *key)
{
    uint64_t length;
    r->entry = key->entry = r->at;
    r->key = (Span){0};
    if (!take(r, &length, 8)) return cut_short(r);
    if (length > GGUF_MAX_KEY_LENGTH)
        return gguf_bad(r->file, r->err, "key", r->key, r->entry,
                        "its name has %llu bytes (at most %u); " AGAIN, (unsigned long long)length,
                        GGUF_MAX_KEY_LENGTH);
    if (!ck_inside(r->at, length, r->size)) return cut_short(r);
    key->name = (Span){(const char *)r->data + r->at, length};
    const char *fault = gguf_name_fault(key->name, GGUF_MAX_KEY_LENGTH);
    if (fault) return gguf_bad(r->file, r->err, "key", r->key, r->entry, "%s; " AGAIN, fault);
    r->key = key->name;
    r->at += length;
    if (!take(r, &key->type, 4)) return cut_short(r);
    return read_value(r, key);
}

static bt_status read_keys(Reader *r, uint64_t count)
{
    GgufFile *f = r->file;
    f->keys = mem_zalloc(count ? count : 1, sizeof *f->keys);
    if (!f->keys) return bt_fail_memory(r->err, f->shown, count * sizeof *f->keys);
    for (f->n_keys = 0; f->n_keys < count; f->n_keys++) {
        bt_status status = read_key(r, &f->keys[f->n_keys]);
        if (status) return status;
    }
    size_t twice;
    bt_status status =
        name_table_build(&f->key_table, &f->keys[0].name, sizeof *f->keys, f->n_keys, &twice);
    if (status == BT_E_FORMAT)
        return gguf_bad(f, r->err, "key", f->keys[twice].name, f->keys[twice].entry,
                        "stands twice; " AGAIN);
    if (status) return bt_fail(r->err, status, "%s: no memory for its index", f->shown);
    int64_t alignment = 32;
    status = gguf_file_integer(f, "general.alignment", false, GGUF_MIN_ALIGNMENT,
                               GGUF_MAX_ALIGNMENT, &alignment, r->err);
    if (status) return status;
    if (alignment & (alignment - 1))
        return bt_fail(r->err, BT_E_FORMAT,
                       "%s: key 'general.alignment': %lld is no power of two; " AGAIN, f->shown,
                       (long long)alignment);
    f->alignment = (uint64_t)alignment;
    return BT_OK;
}

/* What a file without the GGUF magic is, so that the message can say it. */
static const char *other_kind(const unsigned char *p, uint64_t size)
{
    static const struct {
        const char *start, *kind;
    } known[] = {
        {"version https://git-lfs", "a Git LFS pointer, not the model itself: run git lfs pull"},
        {"lmgg", "a GGML file from before GGUF: convert it or fetch a GGUF"},
        {"fmgg", "a GGML file from before GGUF: convert it or fetch a GGUF"},
        {"tjgg", "a GGML file from before GGUF: convert it or fetch a GGUF"},
        {"FUGG", "a GGUF of a big-endian machine: convert it to little-endian"},
        {"PK\003\004", "a zip archive (a PyTorch checkpoint?): convert it to GGUF"},
        {"<!", "a web page, not a model: the download went wrong"},
        {"<html", "a web page, not a model: the download went wrong"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(known[i].start);
        if (size >= n && memcmp(p, known[i].start, n) == 0) return known[i].kind;
    }
    if (size > 9 && p[8] == '{' && memcmp(p + 4, "\0\0\0\0", 4) == 0)
        return "a safetensors file: convert it to GGUF";
    return "not a GGUF file (it does not start with GGUF): name a .gguf file";
}

static bt_status read_header(Reader *r, uint64_t *n_tensors, uint64_t *n_keys)
{
    GgufFile *f = r->file;
    if (r->size == 0)
        return bt_fail(r->err, BT_E_FORMAT, "%s: the file is empty; fetch it again", f->shown);
    if (r->size < 4 || memcmp(r->data, "GGUF", 4) != 0)
        return bt_fail(r->err, BT_E_FORMAT, "%s: offset 0: %s", f->shown,
                       other_kind(r->data, r->size));
    r->at = 4;
    if (!take(r, &f->version, 4) || !take(r, n_tensors, 8) || !take(r, n_keys, 8))
        return bt_fail(
            r->err, BT_E_FORMAT,
            "%s: the header needs %d bytes, the file has %llu: it is cut short, fetch it "
            "again",
            f->shown, HEADER_BYTES, (unsigned long long)r->size);
    if ((f->version & 0xffff) == 0 && f->version != 0)
        return bt_fail(r->err, BT_E_UNSUPPORTED,
                       "%s: offset 4: a big-endian GGUF; convert it to little-endian", f->shown);
    if (f->version == 1)
        return bt_fail(r->err, BT_E_UNSUPPORTED,
                       "%s: offset 4: GGUF version 1 (2023) is not read; convert it or fetch a "
                       "newer file",
                       f->shown);
    if (f->version != 2 && f->version != 3)
        return bt_fail(r->err, BT_E_UNSUPPORTED,
                       "%s: offset 4: GGUF version %u is not known (2 and 3 are)", f->shown,
                       f->version);
    if (*n_keys > GGUF_MAX_KEYS || *n_tensors > GGUF_MAX_TENSORS)
        return bt_fail(r->err, BT_E_FORMAT,
                       "%s: offset 8: %llu tensors and %llu keys (at most %u and %u); " AGAIN,
                       f->shown, (unsigned long long)*n_tensors, (unsigned long long)*n_keys,
                       GGUF_MAX_TENSORS, GGUF_MAX_KEYS);
    if (*n_keys * MIN_KEY_BYTES + *n_tensors * MIN_TENSOR_BYTES > r->size - HEADER_BYTES)
        return bt_fail(r->err, BT_E_FORMAT,
                       "%s: offset 8: %llu tensors and %llu keys do not fit in a file of %llu "
                       "bytes: it is cut short or damaged, fetch it again",
                       f->shown, (unsigned long long)*n_tensors, (unsigned long long)*n_keys,
                       (unsigned long long)r->size);
    return BT_OK;
}

bt_status gguf_parse(GgufFile *file, bt_error *err)
{
    Reader r = {.file = file, .err = err, .data = file->map.data, .size = file->map.size};
    uint64_t n_tensors = 0, n_keys = 0;
    bt_status status = read_header(&r, &n_tensors, &n_keys);
    if (status) return status;
    status = read_keys(&r, n_keys);
    if (status) return status;
    return gguf_parse_tensors(file, r.at, n_tensors, err);
}
