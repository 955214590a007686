/* Walks the places where models lie (see find.h). Everything is bounded: depth, folders, entries,
 * models; a folder is entered once however many links lead to it. */
#include "io/find.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "io/find_list.h"
#include "io/gguf_index.h"

const char *find_source_text(FindSource source)
{
    static const char *const texts[] = {"bantam", "ollama", "lm-studio", "hugging-face"};
    return (unsigned)source < 4 ? texts[source] : "?";
}

/* ---- paths ---- */

static bool set_path(FindPath *path, const char *text)
{
    size_t n = text ? strlen(text) : 0;
    if (n == 0 || text[0] != '/' || n >= sizeof path->text) return false;
    memcpy(path->text, text, n + 1);
    path->size = n;
    return true;
}

bool find_push(FindPath *path, const char *name)
{
    size_t n = strlen(name);
    if (n + 1 >= sizeof path->text - path->size) return false;
    path->text[path->size] = '/';
    memcpy(path->text + path->size + 1, name, n + 1);
    path->size += n + 1;
    return true;
}

/* path = value + rest, or home + home_rest when the value is not set. */
static bool place(FindPath *path, const char *value, const char *rest, const char *home,
                  const char *home_rest)
{
    if (set_path(path, value)) return !*rest || find_push(path, rest);
    return set_path(path, home) && find_push(path, home_rest);
}

static bool own_place(const FindPlaces *p, FindPath *path)
{
    return place(path, p->xdg_data_home, "bantam/models", p->home, ".local/share/bantam/models");
}

bt_status find_own_folder(const FindPlaces *places, char **out, bt_error *err)
{
    FindPath path;
    *out = NULL;
    if (!own_place(places, &path))
        return bt_fail(err, BT_E_ARGUMENT, "neither HOME nor XDG_DATA_HOME is set; set one");
    *out = mem_strndup(path.text, path.size);
    return *out ? BT_OK : bt_fail_memory(err, "a path", path.size);
}

/* ---- walking ---- */

static bool enter(Finder *f, const struct stat *st)
{
    for (size_t i = 0; i < f->n_seen; i++)
        if (f->seen[i].device == (uint64_t)st->st_dev && f->seen[i].inode == (uint64_t)st->st_ino)
            return false;
    if (f->n_seen == FIND_MAX_FOLDERS) {
        f->out->more = true;
        return false;
    }
    f->seen[f->n_seen].device = (uint64_t)st->st_dev;
    f->seen[f->n_seen++].inode = (uint64_t)st->st_ino;
    return true;
}

void find_each(Finder *f, int depth, FindVisit visit, void *user)
{
    struct stat st;
    if (depth > FIND_MAX_DEPTH || f->status) return;
    if (stat(f->path.text, &st) || !S_ISDIR(st.st_mode) || !enter(f, &st)) return;
    DIR *dir = opendir(f->path.text);
    if (!dir) return;
    size_t here = f->path.size;
    for (struct dirent *e; !f->status && (e = readdir(dir));) {
        if (e->d_name[0] == '.') continue;
        if (f->n_entries++ >= FIND_MAX_ENTRIES) {
            f->out->more = true;
            break;
        }
        Span name = {e->d_name, strlen(e->d_name)};
        if (gguf_name_fault(name, 255) || !find_push(&f->path, e->d_name)) continue;
        if (stat(f->path.text, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
            visit(f, e->d_name, &st, depth, user);
        find_pop(&f->path, here);
    }
    closedir(dir);
}

void find_add(Finder *f, const char *name, FindSource source, const struct stat *st)
{
    FoundModels *out = f->out;
    if (f->status) return;
    if (out->count == FIND_MAX_MODELS) {
        out->more = true;
        return;
    }
    if (out->count == out->capacity) {
        size_t wanted = out->capacity ? 2 * out->capacity : 16;
        FoundModel *list = mem_realloc(out->list, wanted * sizeof *list);
        if (!list) {
            f->status = BT_E_MEMORY;
            return;
        }
        out->list = list;
        out->capacity = wanted;
    }
    FoundModel *m = &out->list[out->count];
    *m = (FoundModel){.name = mem_strdup(name),
                      .path = mem_strndup(f->path.text, f->path.size),
                      .source = source,
                      .bytes = (uint64_t)st->st_size,
                      .mtime = (int64_t)st->st_mtime,
                      .n_parts = 1,
                      .complete = true,
                      .device = (uint64_t)st->st_dev,
                      .inode = (uint64_t)st->st_ino};
    if (m->name && m->path) {
        out->count++;
        return;
    }
    mem_free(m->name);
    mem_free(m->path);
    f->status = BT_E_MEMORY;
}

/* ---- files named *.gguf ---- */

static bool ends_gguf(const char *name, size_t size)
{
    return size > 5 && strcasecmp(name + size - 5, ".gguf") == 0;
}

/* Splits "NAME-00002-of-00005.gguf": length of NAME, part (from 1) and count; false for others. */
static bool split_part(const char *name, size_t size, size_t *stem, int *part, int *count)
{
    enum { TAIL = sizeof "-00001-of-00002.gguf" - 1 };
    if (size <= TAIL) return false;
    const char *t = name + size - TAIL;
    if (t[0] != '-' || memcmp(t + 6, "-of-", 4) != 0) return false;
    *part = *count = 0;
    for (int i = 0; i < 5; i++) {
        if (t[1 + i] < '0' || t[1 + i] > '9' || t[10 + i] < '0' || t[10 + i] > '9') return false;
        *part = 10 * *part + (t[1 + i] - '0');
        *count = 10 * *count + (t[10 + i] - '0');
    }
    *stem = size - TAIL;
    return *part >= 1 && *part <= *count && *count <= FIND_MAX_PARTS;
}

int find_n_parts(const char *path)
{
    size_t stem;
    int part, count;
    return split_part(path, strlen(path), &stem, &part, &count) ? count : 1;
}

bool find_part_path(const char *path, int part, char *out, size_t size)
{
    size_t stem;
    int its, count, n;
    if (split_part(path, strlen(path), &stem, &its, &count))
        n = part < 1 || part > count
                ? -1
                : snprintf(out, size, "%.*s-%05d-of-%05d.gguf", (int)stem, path, part, count);
    else
        n = part == 1 ? snprintf(out, size, "%s", path) : -1;
    return n >= 0 && (size_t)n < size;
}

/* The model just added is the first of `count` parts: looks for the others beside it. */
static void add_parts(FoundModel *m, int count)
{
    char path[4096];
    m->n_parts = count;
    for (int part = 2; part <= count; part++) {
        struct stat st;
        if (find_part_path(m->path, part, path, sizeof path) && stat(path, &st) == 0 &&
            S_ISREG(st.st_mode))
            m->bytes += (uint64_t)st.st_size;
        else
            m->complete = false;
    }
}

typedef struct FilesWalk {
    FindSource source;
    size_t root;        /* names are relative to the first `root` bytes of the path */
    const char *prefix; /* put before the name, "" for none */
    bool stems;         /* names without .gguf */
} FilesWalk;

static bool known_already(const Finder *f, const struct stat *st)
{
    for (size_t i = 0; i < f->out->count; i++)
        if (f->out->list[i].source != FIND_OLLAMA &&
            f->out->list[i].inode == (uint64_t)st->st_ino &&
            f->out->list[i].device == (uint64_t)st->st_dev)
            return true;
    return false;
}

static void visit_file(Finder *f, const char *name, const struct stat *st, int depth, void *user)
{
    const FilesWalk *walk = user;
    char shown[4096 + 512];
    size_t stem = 0, size = strlen(name);
    int part = 1, count = 1;
    if (S_ISDIR(st->st_mode)) {
        find_each(f, depth + 1, visit_file, user);
        return;
    }
    if (!ends_gguf(name, size) || strncasecmp(name, "mmproj", 6) == 0) return;
    bool split = split_part(name, size, &stem, &part, &count);
    if (part != 1 || known_already(f, st)) return;
    const char *relative = f->path.text + walk->root + 1;
    size_t length = strlen(relative);
    if (split)
        length -= size - stem;
    else if (walk->stems)
        length -= 5;
    snprintf(shown, sizeof shown, "%s%.*s%s", walk->prefix, (int)length, relative,
             split && !walk->stems ? ".gguf" : "");
    size_t before = f->out->count;
    find_add(f, shown, walk->source, st);
    if (split && f->out->count > before) add_parts(&f->out->list[before], count);
}

static void find_files(Finder *f, FindSource source, bool stems)
{
    FilesWalk walk = {source, f->path.size, "", stems};
    find_each(f, 1, visit_file, &walk);
}

/* ---- Hugging Face: models--ORG--REPO/snapshots/REVISION/... ---- */

/* The revision that refs/main names, "" when there is none. finder->path is the repository. */
static void main_revision(Finder *f, char out[80])
{
    size_t here = f->path.size;
    out[0] = '\0';
    if (find_push(&f->path, "refs/main")) {
        OsMap map;
        if (os_map_open(f->path.text, &map, NULL) == BT_OK) {
            size_t n = map.size < 79 ? (size_t)map.size : 79;
            if (n) memcpy(out, map.data, n);
            out[n] = '\0';
            out[strspn(out, "0123456789abcdef")] = '\0';
            os_map_close(&map);
        }
    }
    find_pop(&f->path, here);
}

static void visit_revision(Finder *f, const char *name, const struct stat *st, int depth,
                           void *user)
{
    FilesWalk *walk = user;
    if (!S_ISDIR(st->st_mode)) return;
    walk->root = f->path.size;
    find_each(f, depth + 1, visit_file, walk);
}

static void visit_repository(Finder *f, const char *name, const struct stat *st, int depth,
                             void *user)
{
    char revision[80], prefix[300];
    size_t here = f->path.size, n = 0;
    if (!S_ISDIR(st->st_mode) || strncmp(name, "models--", 8) != 0) return;
    for (const char *p = name + 8; *p && n + 2 < sizeof prefix; p++) {
        bool slash = p[0] == '-' && p[1] == '-';
        prefix[n++] = slash ? '/' : *p;
        p += slash;
    }
    prefix[n++] = '/';
    prefix[n] = '\0';
    FilesWalk walk = {FIND_HUGGINGFACE, 0, prefix, false};
    main_revision(f, revision);
    if (!find_push(&f->path, "snapshots")) return;
    size_t snapshots = f->path.size, first = f->out->count;
    if (revision[0] && find_push(&f->path, revision)) { /* first, so that it wins */
        walk.root = f->path.size;
        find_each(f, depth + 2, visit_file, &walk);
        find_pop(&f->path, snapshots);
    }
    find_each(f, depth + 1, visit_revision, &walk);
    find_pop(&f->path, here);
    /* An older revision of a file that is in a newer one is no model of its own. */
    for (size_t i = first; i < f->out->count; i++)
        for (size_t k = f->out->count - 1; k > i; k--)
            if (strcmp(f->out->list[i].name, f->out->list[k].name) == 0) {
                mem_free(f->out->list[k].name);
                mem_free(f->out->list[k].path);
                f->out->list[k] = f->out->list[--f->out->count];
            }
}

/* ---- all ---- */

static int by_source_and_name(const void *a, const void *b)
{
    const FoundModel *x = a, *y = b;
    if (x->source != y->source) return x->source < y->source ? -1 : 1;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->path, y->path);
}

bt_status find_models(const FindPlaces *p, FoundModels *out, bt_error *err)
{
    *out = (FoundModels){0};
    Finder *f = mem_zalloc(1, sizeof *f);
    if (!f) return bt_fail_memory(err, "the list of models", sizeof *f);
    f->out = out;
    if (own_place(p, &f->path)) find_files(f, FIND_OWN, true);
    if (place(&f->path, p->ollama_models, "", p->home, ".ollama/models")) find_ollama(f);
    if (set_path(&f->path, p->ollama_system)) find_ollama(f);
    if (set_path(&f->path, p->home)) {
        size_t home = f->path.size;
        if (find_push(&f->path, ".lmstudio/models")) find_files(f, FIND_LMSTUDIO, false);
        find_pop(&f->path, home);
        if (find_push(&f->path, ".cache/lm-studio/models")) find_files(f, FIND_LMSTUDIO, false);
    }
    if (set_path(&f->path, p->hf_hub_cache) || place(&f->path, p->hf_home, "hub", NULL, "") ||
        place(&f->path, p->xdg_cache_home, "huggingface/hub", p->home, ".cache/huggingface/hub"))
        find_each(f, 1, visit_repository, NULL);
    bt_status status = f->status;
    mem_free(f);
    if (out->count) qsort(out->list, out->count, sizeof *out->list, by_source_and_name);
    return status ? bt_fail_memory(err, "the list of models", out->count * sizeof *out->list)
                  : BT_OK;
}

void find_close(FoundModels *models)
{
    for (size_t i = 0; i < models->count; i++) {
        mem_free(models->list[i].name);
        mem_free(models->list[i].path);
    }
    mem_free(models->list);
    *models = (FoundModels){0};
}
