/* Opening a GGUF file, or all files of a split model, and asking for what it holds. */
#include "io/gguf.h"

#include <stdio.h>

#include "base/checked.h"
#include "base/hash.h"
#include "base/mem.h"
#include "io/gguf_index.h"

static void file_close(GgufFile *f, bool borrowed)
{
    if (!borrowed) os_map_close(&f->map);
    mem_free(f->path);
    mem_free(f->keys);
    mem_free(f->tensors);
    name_table_close(&f->key_table);
    *f = (GgufFile){.map = {.fd = -1}};
}

static bt_status file_name(GgufFile *f, const char *path, bt_error *err)
{
    size_t n = strlen(path);
    f->path = mem_strdup(path);
    if (!f->path) return bt_fail_memory(err, "a path", n);
    size_t room = sizeof f->shown;
    if (n < room)
        memcpy(f->shown, path, n + 1);
    else
        snprintf(f->shown, room, "...%s", path + n - (room - 4));
    return BT_OK;
}

static bt_status file_open(GgufFile *f, const char *path, bt_error *err)
{
    *f = (GgufFile){.map = {.fd = -1}};
    bt_status status = file_name(f, path, err);
    if (status) return status;
    status = os_map_open(path, &f->map, err);
    if (status) {
        f->map = (OsMap){.fd = -1};
        return status;
    }
    status = gguf_parse(f, err);
    bt_status lost = os_map_check(&f->map, f->shown, err); /* then what was parsed is nonsense */
    return lost ? lost : status;
}

/* ---- split models: NAME-00001-of-00003.gguf ---- */

enum { SUFFIX_BYTES = 32 };

static void split_suffix(char out[SUFFIX_BYTES], int64_t no, int64_t count)
{
    snprintf(out, SUFFIX_BYTES, "-%05lld-of-%05lld.gguf", (long long)no + 1, (long long)count);
}

static bt_status split_keys(const GgufFile *f, int64_t *no, int64_t *count, bt_error *err)
{
    *no = 0, *count = 1;
    bt_status status = gguf_file_integer(f, "split.count", false, 0, GGUF_MAX_PARTS, count, err);
    if (status || *count <= 1) return status;
    return gguf_file_integer(f, "split.no", true, 0, *count - 1, no, err);
}

/* Opens part `no` (whose name is stem + suffix) into *f and checks that it says so itself. */
static bt_status split_open_part(GgufFile *f, const char *stem, size_t length, int64_t no,
                                 int64_t count, bt_error *err)
{
    char suffix[SUFFIX_BYTES];
    int64_t its_no, its_count;
    split_suffix(suffix, no, count);
    char *path = mem_alloc(length + sizeof suffix);
    if (!path) return bt_fail_memory(err, "a path", length + sizeof suffix);
    memcpy(path, stem, length);
    memcpy(path + length, suffix, strlen(suffix) + 1);
    bt_status status = file_open(f, path, err);
    mem_free(path);
    if (status == BT_E_IO && err) {
        char why[sizeof err->text];
        memcpy(why, err->text, sizeof why);
        bt_fail(err, BT_E_IO, "part %lld of %lld is missing (%s); put all parts in one folder",
                (long long)no + 1, (long long)count, why);
    }
    if (!status) status = split_keys(f, &its_no, &its_count, err);
    if (status) return status;
    if (its_no != no || its_count != count)
        return bt_fail(
            err, BT_E_FORMAT,
            "%s: calls itself part %lld of %lld; the parts are mixed up, fetch them again",
            f->shown, (long long)its_no + 1, (long long)its_count);
    return BT_OK;
}

/* parts[0] is open and is part `no` of `count`. Opens the rest, the first in place of it. */
static bt_status split_open(Gguf *g, int64_t no, int64_t count, bool first_only, bt_error *err)
{
    char suffix[SUFFIX_BYTES];
    split_suffix(suffix, no, count);
    size_t n = strlen(g->parts[0].path), m = strlen(suffix);
    if (n <= m || strcmp(g->parts[0].path + n - m, suffix) != 0)
        return bt_fail(err, BT_E_FORMAT,
                       "%s: is part %lld of %lld, but its name does not end in %s, so the others "
                       "cannot be found; rename it",
                       g->parts[0].shown, (long long)no + 1, (long long)count, suffix);
    char *stem = mem_strndup(g->parts[0].path, n - m);
    if (!stem) return bt_fail_memory(err, "a path", n);
    bt_status status = BT_OK;
    if (no != 0) {
        file_close(&g->parts[0], false);
        status = split_open_part(&g->parts[0], stem, n - m, 0, count, err);
    }
    for (int64_t i = 1; i < count && !first_only && !status; i++) {
        g->parts[i].map.fd = -1;
        g->n_parts = (int)i + 1;
        status = split_open_part(&g->parts[i], stem, n - m, i, count, err);
    }
    mem_free(stem);
    return status;
}

/* ---- all parts together ---- */

static bt_status merge_tensors(Gguf *g, bt_error *err)
{
    GgufFile *first = &g->parts[0];
    g->tensors = first->tensors;
    g->n_tensors = first->n_tensors;
    if (g->n_parts == 1) return BT_OK;
    uint64_t total = 0;
    for (int p = 0; p < g->n_parts; p++) total += g->parts[p].n_tensors;
    int64_t expected = (int64_t)total;
    bt_status status =
        gguf_file_integer(first, "split.tensors.count", false, 0, INT32_MAX, &expected, err);
    if (status) return status;
    if (total > GGUF_MAX_TENSORS || (uint64_t)expected != total)
        return bt_fail(err, BT_E_FORMAT,
                       "%s: key 'split.tensors.count': says %lld tensors, the parts hold %llu (at "
                       "most %u); fetch all parts again",
                       first->shown, (long long)expected, (unsigned long long)total,
                       GGUF_MAX_TENSORS);
    g->tensors = mem_zalloc(total ? total : 1, sizeof *g->tensors);
    if (!g->tensors) return bt_fail_memory(err, first->shown, total * sizeof *g->tensors);
    g->n_tensors = 0;
    for (int p = 0; p < g->n_parts; p++)
        for (size_t i = 0; i < g->parts[p].n_tensors; i++) {
            g->tensors[g->n_tensors] = g->parts[p].tensors[i];
            g->tensors[g->n_tensors++].part = p;
        }
    return BT_OK;
}

static bt_status index_tensors(Gguf *g, bt_error *err)
{
    size_t twice;
    bt_status status = merge_tensors(g, err);
    if (status) return status;
    status = name_table_build(&g->tensor_table, &g->tensors[0].name, sizeof *g->tensors,
                              g->n_tensors, &twice);
    if (status == BT_E_FORMAT) {
        const GgufTensor *t = &g->tensors[twice];
        return gguf_bad(&g->parts[t->part], err, "tensor", t->name, t->offset,
                        "stands twice; the file is damaged, fetch or convert it again");
    }
    if (status) return bt_fail(err, status, "%s: no memory for its index", g->parts[0].shown);
    return BT_OK;
}

static Gguf *gguf_new(int n_parts)
{
    Gguf *g = mem_zalloc(1, sizeof *g);
    if (!g) return NULL;
    g->parts = mem_zalloc((size_t)n_parts, sizeof *g->parts);
    if (!g->parts) {
        mem_free(g);
        return NULL;
    }
    g->n_parts = 1;
    g->parts[0].map.fd = -1;
    return g;
}

/* ---- a file in the program ---- */

static struct {
    const char *name; /* NULL: none */
    const void *data;
    uint64_t size;
} builtin;

void gguf_builtin(const char *name, const void *data, uint64_t size)
{
    builtin.name = name;
    builtin.data = data;
    builtin.size = size;
}

bool gguf_is_builtin(const Gguf *g)
{
    return g->builtin;
}

static void forget_tensors(Gguf *g)
{
    for (size_t i = 0; i < g->n_tensors; i++) g->tensors[i].data = NULL;
}

static bt_status open_builtin(bool no_tensors, Gguf **out, bt_error *err)
{
    bt_status status = gguf_open_memory(builtin.data, builtin.size, builtin.name, out, err);
    if (status) return status;
    (*out)->builtin = true;
    if (no_tensors) forget_tensors(*out);
    return BT_OK;
}

bt_status gguf_open(const char *path, const GgufOptions *options, Gguf **out, bt_error *err)
{
    bool no_tensors = options && options->no_tensors;
    int64_t no = 0, count = 1;
    *out = NULL;
    if (builtin.name && strcmp(path, builtin.name) == 0) return open_builtin(no_tensors, out, err);
    Gguf *g = gguf_new(GGUF_MAX_PARTS);
    if (!g) return bt_fail_memory(err, path, sizeof *g + GGUF_MAX_PARTS * sizeof *g->parts);
    bt_status status = file_open(&g->parts[0], path, err);
    if (!status) status = split_keys(&g->parts[0], &no, &count, err);
    if (!status && count > 1) status = split_open(g, no, count, no_tensors, err);
    if (!status) status = index_tensors(g, err);
    if (status) {
        gguf_close(&g);
        return status;
    }
    if (no_tensors) forget_tensors(g);
    *out = g;
    return BT_OK;
}

bt_status gguf_open_memory(const void *data, uint64_t size, const char *name, Gguf **out,
                           bt_error *err)
{
    int64_t no, count;
    *out = NULL;
    Gguf *g = gguf_new(1);
    if (!g) return bt_fail_memory(err, name, sizeof *g);
    g->borrowed = true;
    GgufFile *f = &g->parts[0];
    bt_status status = file_name(f, name, err);
    f->map = (OsMap){.data = data, .size = size, .fd = -1};
    if (!status) status = gguf_parse(f, err);
    if (!status) status = split_keys(f, &no, &count, err);
    if (!status && count > 1)
        status = bt_fail(err, BT_E_UNSUPPORTED, "%s: a part of a split model", f->shown);
    if (!status) status = index_tensors(g, err);
    if (status)
        gguf_close(&g);
    else
        *out = g;
    return status;
}

bt_status gguf_assemble(Buf *head, const GgufIndexOf *of, GgufTensor **tensors, size_t n_tensors,
                        Gguf **out, bt_error *err)
{
    size_t size = head->size;
    Gguf *g = gguf_new(1 + of->n_maps);
    if (!g) return bt_fail_memory(err, "an index", sizeof *g);
    g->borrowed = true;
    g->head = buf_take(head); /* from the heap: aligned */
    GgufFile *f = &g->parts[0];
    bt_status status = g->head ? file_name(f, of->path, err) : bt_fail_memory(err, "keys", size);
    f->map = (OsMap){.data = (const unsigned char *)g->head, .size = size, .fd = -1};
    /* Sidecars know their source by sizes and times: keys count too. */
    if (!status) f->map.mtime_ns = (int64_t)hash_bytes(g->head, size, 0);
    if (!status) status = gguf_parse(f, err);
    if (!status) {
        mem_free(f->tensors);
        f->tensors = *tensors;
        f->n_tensors = n_tensors;
        *tensors = NULL;
        status = index_tensors(g, err);
    }
    if (status) {
        gguf_close(&g);
        return status;
    }
    for (int i = 0; i < of->n_maps; i++) g->parts[1 + i].map = *of->maps[i];
    g->n_parts = 1 + of->n_maps;
    g->release = of->release;
    g->user = of->user;
    *out = g;
    return BT_OK;
}

void gguf_close(Gguf **gguf)
{
    Gguf *g = *gguf;
    if (!g) return;
    if (g->tensors != g->parts[0].tensors) mem_free(g->tensors);
    name_table_close(&g->tensor_table);
    for (int p = 0; p < g->n_parts; p++) file_close(&g->parts[p], g->borrowed);
    mem_free(g->parts);
    mem_free(g->head);
    if (g->release) g->release(g->user);
    mem_free(g);
    *gguf = NULL;
}

/* ---- asking ---- */

const char *gguf_path(const Gguf *g)
{
    return g->parts[0].path;
}

int gguf_n_parts(const Gguf *g)
{
    return g->n_parts;
}

const OsMap *gguf_part(const Gguf *g, int part)
{
    return part >= 0 && part < g->n_parts ? &g->parts[part].map : NULL;
}

uint64_t gguf_bytes(const Gguf *g)
{
    uint64_t total = 0;
    for (int p = 0; p < g->n_parts; p++) total += g->parts[p].map.size;
    return total;
}

uint32_t gguf_version(const Gguf *g)
{
    return g->parts[0].version;
}

size_t gguf_n_tensors(const Gguf *g)
{
    return g->n_tensors;
}

const GgufTensor *gguf_tensor(const Gguf *g, size_t i)
{
    return i < g->n_tensors ? &g->tensors[i] : NULL;
}

const GgufTensor *gguf_find_tensor(const Gguf *g, const char *name)
{
    int64_t i = name_table_find(&g->tensor_table, span_of(name));
    return i < 0 ? NULL : &g->tensors[i];
}

size_t gguf_n_keys(const Gguf *g)
{
    return g->parts[0].n_keys;
}

Span gguf_key_name(const Gguf *g, size_t i)
{
    return i < g->parts[0].n_keys ? g->parts[0].keys[i].name : (Span){0};
}

int64_t gguf_find_key(const Gguf *g, const char *key)
{
    return name_table_find(&g->parts[0].key_table, span_of(key));
}

GgufType gguf_key_type(const Gguf *g, size_t i)
{
    return i < g->parts[0].n_keys ? (GgufType)g->parts[0].keys[i].type : GGUF_U8;
}

GgufType gguf_array_type(const Gguf *g, size_t i)
{
    return i < g->parts[0].n_keys ? (GgufType)g->parts[0].keys[i].element : GGUF_U8;
}

uint64_t gguf_array_count(const Gguf *g, size_t i)
{
    return i < g->parts[0].n_keys ? g->parts[0].keys[i].count : 0;
}
