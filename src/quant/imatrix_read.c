/* Importance matrices read (see imatrix.h). Means are copied out, so that the file may go.
 *
 * The older form, little-endian: i32 entries; of each, i32 length and bytes of the name, i32 calls,
 * i32 numbers, float32 sums (divided by calls they are means); then, since 2024, i32 chunks, i32
 * length and bytes of the text's name. */
#include "quant/imatrix.h"

#include "base/mem.h"
#include "base/os.h"
#include "tensor/dtype.h"

/* ---- the GGUF form ---- */

static bt_status bad_tensor(const GgufTensor *t, const char *path, const char *what, bt_error *err)
{
    return bt_fail(err, BT_E_FORMAT, "%s: tensor '%.*s' %s", path, (int)t->name.size, t->name.data,
                   what);
}

static bt_status read_tensor(Imatrix *m, const Gguf *g, const GgufTensor *t, const char *path,
                             bt_error *err)
{
    static const char end[] = ".in_sum2", other[] = ".counts";
    char name[GGUF_MAX_NAME_LENGTH + sizeof other];
    size_t stem = t->name.size - (sizeof end - 1);
    if (t->name.size < sizeof end || memcmp(t->name.data + stem, end, sizeof end - 1) != 0)
        return BT_OK;
    memcpy(name, t->name.data, stem);
    memcpy(name + stem, other, sizeof other);
    const GgufTensor *counts = gguf_find_tensor(g, name);
    if (!counts) return bad_tensor(t, path, "has no counts beside it", err);
    uint64_t n = t->bytes / sizeof(float), n_counts = counts->bytes / sizeof(float);
    if (t->type != DT_F32 || counts->type != DT_F32)
        return bad_tensor(t, path, "and its counts are to be F32", err);
    if (!n_counts || n % n_counts || n > IMATRIX_MOST_VALUES)
        return bad_tensor(t, path, "and its counts do not go together", err);
    ImatrixEntry *e = imatrix_add(m, (Span){t->name.data, stem}, n, n_counts);
    if (!e) return bt_fail_memory(err, path, n * sizeof(float));
    memcpy(e->mean, t->data, n * sizeof(float));
    memcpy(e->counts, counts->data, n_counts * sizeof(float));
    return imatrix_divide(e, path, err);
}

static bt_status read_gguf(Imatrix *m, const Gguf *g, const char *path, bt_error *err)
{
    Span kind = {0}, dataset[1] = {{0}};
    bt_status status = gguf_get_span(g, "general.type", false, &kind, err);
    if (!status && !span_is(kind, "imatrix"))
        return bt_fail(err, BT_E_FORMAT,
                       "%s: no importance matrix (general.type is '%.*s'); 'bantam imatrix' makes "
                       "one",
                       path, (int)kind.size, kind.data ? kind.data : "");
    if (!status) status = gguf_get_u32(g, "imatrix.chunk_count", false, &m->chunks, err);
    if (!status) status = gguf_get_u32(g, "imatrix.chunk_size", false, &m->chunk_size, err);
    int64_t key = gguf_find_key(g, "imatrix.datasets");
    if (!status && key >= 0 && gguf_key_type(g, (size_t)key) == GGUF_ARRAY &&
        gguf_array_type(g, (size_t)key) == GGUF_STRING && gguf_array_count(g, (size_t)key) == 1) {
        status = gguf_get_spans(g, "imatrix.datasets", dataset, 1, err);
        if (!status) m->dataset = mem_strndup(dataset[0].data, dataset[0].size);
    }
    for (size_t i = 0; i < gguf_n_tensors(g) && !status; i++)
        status = read_tensor(m, g, gguf_tensor(g, i), path, err);
    return status;
}

/* ---- the older form ---- */

typedef struct Reader {
    const unsigned char *data;
    size_t size, at;
    const char *path;
    bt_error *err;
    bt_status status;
} Reader;

static const unsigned char *take(Reader *r, uint64_t n)
{
    if (r->status) return NULL;
    if (n > r->size - r->at) {
        r->status = bt_fail(r->err, BT_E_FORMAT,
                            "%s: ends within an entry (offset %zu of %zu); it was cut short, or is "
                            "no importance matrix",
                            r->path, r->at, r->size);
        return NULL;
    }
    const unsigned char *p = r->data + r->at;
    r->at += n;
    return p;
}

static int64_t take_i32(Reader *r, int64_t low, int64_t high, const char *what)
{
    size_t at = r->at;
    const unsigned char *p = take(r, 4);
    int32_t value = 0;
    if (!p) return low;
    memcpy(&value, p, 4);
    if (value >= low && value <= high) return value;
    r->status = bt_fail(r->err, BT_E_FORMAT,
                        "%s: %d %s at offset %zu; it is no importance matrix, or damaged", r->path,
                        value, what, at);
    return low;
}

static void read_entry(Reader *r, Imatrix *m)
{
    uint64_t length = (uint64_t)take_i32(r, 1, GGUF_MAX_NAME_LENGTH, "bytes of a name");
    Span name = {(const char *)take(r, length), length};
    if (r->status) return;
    if (gguf_name_fault(name, GGUF_MAX_NAME_LENGTH)) {
        r->status =
            bt_fail(r->err, BT_E_FORMAT, "%s: a name is no text; the file is damaged", r->path);
        return;
    }
    int64_t calls = take_i32(r, 0, INT32_MAX, "calls");
    uint64_t n = (uint64_t)take_i32(r, 1, (int64_t)IMATRIX_MOST_VALUES, "numbers");
    const unsigned char *sums = take(r, n * sizeof(float));
    ImatrixEntry *e = sums ? imatrix_add(m, name, n, 1) : NULL;
    if (!r->status && !e) r->status = bt_fail_memory(r->err, r->path, n * sizeof(float));
    if (!e) return;
    memcpy(e->mean, sums, n * sizeof(float)); /* unaligned in the file */
    e->counts[0] = calls > 0 ? (float)calls : 1;
    r->status = imatrix_divide(e, r->path, r->err);
}

static bt_status read_old(Imatrix *m, const void *data, size_t size, const char *path,
                          bt_error *err)
{
    Reader r = {.data = data, .size = size, .path = path, .err = err};
    int64_t n = take_i32(&r, 1, IMATRIX_MOST_ENTRIES, "entries");
    for (int64_t i = 0; i < n && !r.status; i++) read_entry(&r, m);
    if (r.status || r.size - r.at < 8) return r.status;
    m->chunks = (uint32_t)take_i32(&r, 0, INT32_MAX, "chunks");
    uint64_t length = (uint64_t)take_i32(&r, 0, 65536, "bytes of a name");
    const char *dataset = (const char *)take(&r, length);
    if (dataset) m->dataset = mem_strndup(dataset, length);
    return r.status;
}

/* ---- either ---- */

static bt_status finish(Imatrix *m, bt_status status, const char *path, Imatrix **out,
                        bt_error *err)
{
    if (!status) status = imatrix_index(m, path, err);
    if (status) imatrix_close(&m);
    *out = m;
    return status;
}

static bool is_gguf(const void *data, size_t size)
{
    return size >= 4 && memcmp(data, "GGUF", 4) == 0;
}

bt_status imatrix_open_memory(const char *path, const void *data, size_t size, Imatrix **out,
                              bt_error *err)
{
    Imatrix *m = imatrix_new();
    Gguf *g = NULL;
    *out = NULL;
    if (!m) return bt_fail_memory(err, path, sizeof *m);
    bt_status status;
    if (is_gguf(data, size)) {
        status = gguf_open_memory(data, size, path, &g, err);
        if (!status) status = read_gguf(m, g, path, err);
        gguf_close(&g);
    } else {
        status = read_old(m, data, size, path, err);
    }
    return finish(m, status, path, out, err);
}

bt_status imatrix_open(const char *path, Imatrix **out, bt_error *err)
{
    OsMap map = {0};
    *out = NULL;
    bt_status status = os_map_open(path, &map, err);
    if (status) return status;
    status = imatrix_open_memory(path, map.data, map.size, out, err);
    if (!status && (status = os_map_check(&map, path, err))) imatrix_close(out);
    os_map_close(&map);
    return status;
}
