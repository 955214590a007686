/* The files of a maker's folder: which they are, opening and closing them, asking for tensors (see
 * safetensors.h). A folder with PyTorch's own files only is refused by name: unpickling them would
 * run code of theirs. */
#include "io/safetensors.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "io/safetensors_index.h"

static Safetensors *st_new(int n_files)
{
    Safetensors *st = mem_zalloc(1, sizeof *st);
    if (st) st->files = mem_zalloc((size_t)n_files, sizeof *st->files);
    if (st && !st->files) {
        mem_free(st);
        return NULL;
    }
    return st;
}

/* Opens one more file: "folder/name", or just `name` when there is no folder. */
static bt_status add_file(Safetensors *st, const char *folder, Span name, bt_error *err)
{
    StFile *f = &st->files[st->n_files];
    size_t n = folder ? strlen(folder) + 1 : 0;
    f->path = mem_alloc(n + name.size + 1);
    if (!f->path) return bt_fail_memory(err, "a path", n + name.size);
    st->n_files++;
    if (folder) {
        memcpy(f->path, folder, n - 1);
        f->path[n - 1] = '/';
    }
    memcpy(f->path + n, name.data, name.size);
    f->path[n + name.size] = '\0';
    bt_status status = os_map_open(f->path, &f->map, err);
    if (status) {
        f->map = (OsMap){.fd = -1};
        return status;
    }
    status = st_parse(st, st->n_files - 1, err);
    bt_status lost = os_map_check(&f->map, f->path, err);
    return lost ? lost : status;
}

/* ---- shards ---- */

static bool good_file_name(Span name)
{
    return !gguf_name_fault(name, 255) && !memchr(name.data, '/', name.size) &&
           name.data[0] != '.' && name.size > 12 &&
           memcmp(name.data + name.size - 12, ".safetensors", 12) == 0;
}

static int find_shard(const Safetensors *st, const char *folder, Span name)
{
    size_t n = strlen(folder) + 1;
    for (int i = 0; i < st->n_files; i++)
        if (span_is(name, st->files[i].path + n)) return i;
    return -1;
}

/* Opens each file that the index names, once, then checks that each tensor is where it says. */
static bt_status open_shards(Safetensors *st, const char *folder, const Jdoc *index,
                             const char *index_path, bt_error *err)
{
    JdocRef map = jdoc_get(index, 0, "weight_map"), k = jdoc_first(index, map);
    uint32_t n = jdoc_count(index, map);
    if (jdoc_type(index, map) != JDOC_OBJECT || n == 0)
        return bt_fail(err, BT_E_FORMAT, "%s: it holds no weight_map; fetch it again", index_path);
    for (uint32_t i = 0; i < n; i++, k = jdoc_next(index, jdoc_next(index, k))) {
        Span file = jdoc_text(index, jdoc_next(index, k));
        if (!good_file_name(file))
            return bt_fail(err, BT_E_FORMAT,
                           "%s: weight_map names '%.*s', which is no .safetensors file of this "
                           "folder",
                           index_path, (int)(file.size < 120 ? file.size : 120), file.data);
        if (find_shard(st, folder, file) >= 0) continue;
        if (st->n_files == (int)ST_MAX_SHARDS)
            return bt_fail(err, BT_E_LIMIT, "%s: more than %u files", index_path, ST_MAX_SHARDS);
        bt_status status = add_file(st, folder, file, err);
        if (status) return status;
    }
    return BT_OK;
}

static bt_status check_places(const Safetensors *st, const char *folder, const Jdoc *index,
                              const char *index_path, bt_error *err)
{
    JdocRef map = jdoc_get(index, 0, "weight_map"), k = jdoc_first(index, map);
    for (uint32_t i = 0; i < jdoc_count(index, map); i++) {
        Span name = jdoc_text(index, k), file = jdoc_text(index, jdoc_next(index, k));
        const StTensor *t = st_find(st, name);
        if (!t || t->shard != find_shard(st, folder, file))
            return bt_fail(err, BT_E_FORMAT,
                           "%s: tensor '%.*s' is not in %.*s, where weight_map says it is; fetch "
                           "both again",
                           index_path, (int)name.size, name.data, (int)file.size, file.data);
        k = jdoc_next(index, jdoc_next(index, k));
    }
    return BT_OK;
}

static bt_status index_names(Safetensors *st, bt_error *err)
{
    size_t twice = 0;
    if (!st->n_tensors)
        return bt_fail(err, BT_E_FORMAT, "%s: it holds no tensor", st->files[0].path);
    bt_status status = name_table_build(&st->table, &st->tensors[0].name, sizeof *st->tensors,
                                        st->n_tensors, &twice);
    if (status == BT_E_FORMAT) {
        const StTensor *t = &st->tensors[twice];
        return bt_fail(err, status, "%s: tensor '%.*s' stands twice; fetch the files again",
                       st->files[t->shard].path, (int)t->name.size, t->name.data);
    }
    return status ? bt_fail(err, status, "%s: no memory for its index", st->files[0].path) : BT_OK;
}

/* The one .safetensors file of a folder without an index; model.safetensors wins. */
static bt_status open_single(Safetensors *st, const char *folder, bt_error *err)
{
    char found[256] = "";
    bool pickled = false;
    int n = 0;
    DIR *dir = opendir(folder);
    if (!dir) return bt_fail(err, BT_E_IO, "%s: the folder cannot be read", folder);
    for (struct dirent *e; (e = readdir(dir));) {
        Span name = span_of(e->d_name);
        pickled = pickled || strncmp(e->d_name, "pytorch_model", 13) == 0;
        if (!good_file_name(name)) continue;
        bool usual = span_is(name, "model.safetensors");
        if (usual) n = 0;
        if (!span_is(span_of(found), "model.safetensors")) {
            memcpy(found, e->d_name, name.size + 1);
            n++;
        }
    }
    closedir(dir);
    if (n == 1) return add_file(st, folder, span_of(found), err);
    if (n > 1)
        return bt_fail(
            err, BT_E_FORMAT,
            "%s: %d .safetensors files and no model.safetensors.index.json; fetch it too", folder,
            n);
    return bt_fail(err, BT_E_FORMAT, "%s: no .safetensors file; %s", folder,
                   pickled ? "PyTorch's pickled files are not read, fetch the safetensors form"
                           : "name a folder with a model's weights");
}

static bt_status open_folder(Safetensors *st, const char *folder, bt_error *err)
{
    static const char name[] = "/model.safetensors.index.json";
    struct stat at;
    Jdoc *index = NULL;
    size_t n = strlen(folder);
    char *path = mem_alloc(n + sizeof name);
    if (!path) return bt_fail_memory(err, "a path", n);
    memcpy(path, folder, n);
    memcpy(path + n, name, sizeof name);
    bool sharded = stat(path, &at) == 0;
    bt_status status = BT_OK;
    if (sharded) {
        status = jdoc_open_file(path, &index, err);
        if (!status) status = open_shards(st, folder, index, path, err);
    } else {
        status = open_single(st, folder, err);
    }
    if (!status) status = index_names(st, err);
    if (!status && sharded) status = check_places(st, folder, index, path, err);
    jdoc_close(&index);
    mem_free(path);
    return status;
}

bt_status st_open(const char *path, Safetensors **out, bt_error *err)
{
    struct stat at;
    *out = NULL;
    Safetensors *st = st_new(ST_MAX_SHARDS);
    if (!st) return bt_fail_memory(err, path, ST_MAX_SHARDS * sizeof *st->files);
    bool folder = stat(path, &at) == 0 && S_ISDIR(at.st_mode);
    bt_status status = folder ? open_folder(st, path, err) : add_file(st, NULL, span_of(path), err);
    if (!status && !folder) status = index_names(st, err);
    if (status) st_close(&st);
    *out = st;
    return status;
}

bt_status st_open_memory(const void *data, uint64_t size, const char *name, Safetensors **out,
                         bt_error *err)
{
    *out = NULL;
    Safetensors *st = st_new(1);
    if (!st) return bt_fail_memory(err, name, sizeof *st);
    st->borrowed = true;
    st->n_files = 1;
    st->files[0] =
        (StFile){.map = {.data = data, .size = size, .fd = -1}, .path = mem_strdup(name)};
    bt_status status = st->files[0].path ? st_parse(st, 0, err) : bt_fail_memory(err, name, size);
    if (!status) status = index_names(st, err);
    if (status) st_close(&st);
    *out = st;
    return status;
}

void st_close(Safetensors **safetensors)
{
    Safetensors *st = *safetensors;
    if (!st) return;
    for (int i = 0; i < st->n_files; i++) {
        if (!st->borrowed) os_map_close(&st->files[i].map);
        jdoc_close(&st->files[i].header);
        mem_free(st->files[i].path);
    }
    name_table_close(&st->table);
    mem_free(st->files);
    mem_free(st->tensors);
    mem_free(st);
    *safetensors = NULL;
}

/* ---- asking ---- */

size_t st_n_tensors(const Safetensors *st)
{
    return st->n_tensors;
}

const StTensor *st_tensor(const Safetensors *st, size_t i)
{
    return i < st->n_tensors ? &st->tensors[i] : NULL;
}

const StTensor *st_find(const Safetensors *st, Span name)
{
    int64_t i = name_table_find(&st->table, name);
    return i < 0 ? NULL : &st->tensors[i];
}

int st_n_shards(const Safetensors *st)
{
    return st->n_files;
}

const OsMap *st_shard(const Safetensors *st, int shard)
{
    return shard >= 0 && shard < st->n_files ? &st->files[shard].map : NULL;
}

const char *st_shard_path(const Safetensors *st, int shard)
{
    return shard >= 0 && shard < st->n_files ? st->files[shard].path : "?";
}
