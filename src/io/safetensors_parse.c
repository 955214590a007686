/* The header of one safetensors file, checked as it is read (see safetensors.h). */
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/mem.h"
#include "io/safetensors_index.h"

#define AGAIN "the file is damaged, fetch it again"

static const struct {
    const char *name;
    unsigned bytes;
} types[ST_N_TYPES] = {
#define ST_TYPE_ROW(name, text, bytes) [name] = {text, bytes},
    ST_TYPES(ST_TYPE_ROW)
#undef ST_TYPE_ROW
};

const char *st_type_name(StType type)
{
    return (unsigned)type < ST_N_TYPES ? types[type].name : "?";
}

unsigned st_type_bytes(StType type)
{
    return (unsigned)type < ST_N_TYPES ? types[type].bytes : 0;
}

typedef struct Reading {
    const StFile *file;
    const Jdoc *doc;
    uint64_t begin; /* of the data in the file */
    uint64_t size;  /* of the data */
    bt_error *err;
} Reading;

static bt_status bad(const Reading *r, Span name, const char *what)
{
    return bt_fail(r->err, BT_E_FORMAT, "%s: tensor '%.*s': %s; " AGAIN, r->file->path,
                   (int)(name.size < 120 ? name.size : 120), name.data, what);
}

static bool count(const Jdoc *d, JdocRef v, uint64_t *out)
{
    int64_t value;
    if (!jdoc_integer(d, v, &value) || value < 0) return false;
    *out = (uint64_t)value;
    return true;
}

static bt_status read_shape(const Reading *r, JdocRef shape, StTensor *t, uint64_t *n)
{
    if (jdoc_type(r->doc, shape) != JDOC_ARRAY) return bad(r, t->name, "its shape is no array");
    if (jdoc_count(r->doc, shape) > ST_MAX_DIMS)
        return bad(r, t->name, "its shape has more than 8 dimensions");
    t->n_dims = jdoc_count(r->doc, shape);
    JdocRef v = jdoc_first(r->doc, shape);
    *n = 1;
    for (uint32_t i = 0; i < t->n_dims; i++, v = jdoc_next(r->doc, v)) {
        if (!count(r->doc, v, &t->shape[i]) || !ck_mul(*n, t->shape[i], n) || *n > INT64_MAX)
            return bad(r, t->name, "its shape is no shape, or too large");
    }
    return BT_OK;
}

static bt_status read_tensor(const Reading *r, JdocRef key, StTensor *t)
{
    char what[200];
    uint64_t n = 0, bytes, begin, end;
    const Jdoc *d = r->doc;
    JdocRef entry = jdoc_next(d, key), type = jdoc_get(d, entry, "dtype");
    JdocRef offsets = jdoc_get(d, entry, "data_offsets");
    t->name = jdoc_text(d, key);
    const char *fault = gguf_name_fault(t->name, ST_MAX_NAME);
    if (fault) return bad(r, t->name, fault);
    if (jdoc_type(d, entry) != JDOC_OBJECT) return bad(r, t->name, "its entry is no object");
    Span text = jdoc_text(d, type);
    int found = 0;
    while (found < ST_N_TYPES && !span_is(text, types[found].name)) found++;
    if (found == ST_N_TYPES)
        return bt_fail(r->err, BT_E_UNSUPPORTED,
                       "%s: tensor '%.*s': its dtype '%.*s' is not read (F32, F16, BF16, F8_E4M3, "
                       "F8_E5M2 and integers are)",
                       r->file->path, (int)t->name.size, t->name.data,
                       (int)(text.size < 20 ? text.size : 20), text.data);
    t->type = (StType)found;
    bt_status status = read_shape(r, jdoc_get(d, entry, "shape"), t, &n);
    if (status) return status;
    if (jdoc_count(d, offsets) != 2 || !count(d, jdoc_at(d, offsets, 0), &begin) ||
        !count(d, jdoc_at(d, offsets, 1), &end) || begin > end)
        return bad(r, t->name, "its data_offsets are no range");
    if (end > r->size) {
        snprintf(what, sizeof what, "it ends at byte %llu of %llu: the file is cut short",
                 (unsigned long long)end, (unsigned long long)r->size);
        return bad(r, t->name, what);
    }
    if (!ck_mul(n, types[found].bytes, &bytes) || bytes != end - begin) {
        char shape[120];
        snprintf(what, sizeof what, "%s of %s takes %llu bytes, its range has %llu",
                 st_shape_text(t, shape, sizeof shape), types[found].name,
                 (unsigned long long)(n * types[found].bytes), (unsigned long long)(end - begin));
        return bad(r, t->name, what);
    }
    t->bytes = bytes;
    t->offset = r->begin + begin;
    t->data = r->file->map.data + t->offset;
    return BT_OK;
}

static int by_offset(const void *left, const void *right)
{
    const StTensor *a = left, *b = right;
    if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1;
    size_t n = a->name.size < b->name.size ? a->name.size : b->name.size;
    int order = memcmp(a->name.data, b->name.data, n);
    return order ? order : (a->name.size > b->name.size) - (a->name.size < b->name.size);
}

/* No holes and no overlap, as the specification asks: laid end to end they are the data. */
static bt_status check_order(const Reading *r, const StTensor *t, size_t n)
{
    uint64_t at = r->begin;
    for (size_t i = 0; i < n; i++) {
        if (t[i].offset < at) return bad(r, t[i].name, "it shares bytes with another tensor");
        if (t[i].offset > at) return bad(r, t[i].name, "bytes before it belong to no tensor");
        at += t[i].bytes;
    }
    if (at != r->begin + r->size)
        return bt_fail(r->err, BT_E_FORMAT, "%s: %llu bytes after the last tensor; " AGAIN,
                       r->file->path, (unsigned long long)(r->begin + r->size - at));
    return BT_OK;
}

static bt_status check_metadata(const Reading *r, JdocRef v)
{
    const Jdoc *d = r->doc;
    bool good = jdoc_type(d, v) == JDOC_OBJECT;
    JdocRef k = jdoc_first(d, v);
    for (uint32_t i = 0; good && i < jdoc_count(d, v); i++) {
        JdocRef value = jdoc_next(d, k);
        good = jdoc_type(d, value) == JDOC_STRING;
        k = jdoc_next(d, value);
    }
    if (good) return BT_OK;
    return bt_fail(r->err, BT_E_FORMAT, "%s: __metadata__ holds more than strings; " AGAIN,
                   r->file->path);
}

static bt_status read_entries(Safetensors *st, int shard, const Reading *r)
{
    const Jdoc *d = r->doc;
    uint32_t n_keys = jdoc_count(d, 0);
    size_t before = st->n_tensors;
    if (jdoc_type(d, 0) != JDOC_OBJECT)
        return bt_fail(r->err, BT_E_FORMAT, "%s: its header is no object; " AGAIN, r->file->path);
    if (n_keys > ST_MAX_TENSORS - before)
        return bt_fail(r->err, BT_E_LIMIT, "%s: more than %u tensors", r->file->path,
                       ST_MAX_TENSORS);
    StTensor *all = mem_realloc(st->tensors, (before + n_keys + 1) * sizeof *all);
    if (!all) return bt_fail_memory(r->err, r->file->path, (before + n_keys) * sizeof *all);
    st->tensors = all;
    JdocRef k = jdoc_first(d, 0);
    for (uint32_t i = 0; i < n_keys; i++, k = jdoc_next(d, jdoc_next(d, k))) {
        bt_status status;
        if (jdoc_is(d, k, "__metadata__")) {
            status = check_metadata(r, jdoc_next(d, k));
        } else {
            all[st->n_tensors] = (StTensor){.shard = shard};
            status = read_tensor(r, k, &all[st->n_tensors++]);
        }
        if (status) return status;
    }
    size_t n = st->n_tensors - before;
    if (n) qsort(all + before, n, sizeof *all, by_offset);
    return check_order(r, all + before, n);
}

bt_status st_parse(Safetensors *st, int shard, bt_error *err)
{
    StFile *f = &st->files[shard];
    const OsMap *map = &f->map;
    uint64_t length = 0;
    if (map->size >= 8) memcpy(&length, map->data, 8);
    if (map->size < 10 || map->data[8] != '{') {
        bool lfs = map->size > 24 && memcmp(map->data, "version https://git-lfs", 23) == 0;
        return bt_fail(err, BT_E_FORMAT, "%s: %s", f->path,
                       lfs ? "a Git LFS pointer, not the weights themselves: run git lfs pull"
                           : "not a safetensors file (no header at byte 8); fetch it again");
    }
    if (length > ST_MAX_HEADER || length > map->size - 8)
        return bt_fail(err, BT_E_FORMAT,
                       "%s: offset 0: a header of %llu bytes in a file of %llu (at most %u): it is "
                       "cut short or damaged, fetch it again",
                       f->path, (unsigned long long)length, (unsigned long long)map->size,
                       ST_MAX_HEADER);
    bt_status status = jdoc_open(map->data + 8, length, f->path, &f->header, err);
    if (status) return status;
    Reading r = {f, f->header, 8 + length, map->size - 8 - length, err};
    return read_entries(st, shard, &r);
}

char *st_shape_text(const StTensor *t, char *out, size_t size)
{
    size_t at = 0;
    if (size) out[0] = '\0';
    for (uint32_t i = 0; i < t->n_dims && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%llu", i ? " x " : "",
                               (unsigned long long)t->shape[i]);
    if (t->n_dims == 0 && size > 1) snprintf(out, size, "1");
    return out;
}
