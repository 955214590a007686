/* From what a user typed to a model's path (see find_resolve in find.h). Ways to mean a model are
 * tried from the most exact to the loosest; the first that fits anything decides, and fits more
 * than one only with an error that lists them. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/find.h"

/* Length of a name without its .gguf. */
static size_t bare(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && strcasecmp(name + n - 5, ".gguf") == 0 ? n - 5 : n;
}

static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

static bool same(const char *a, size_t n, const char *b, size_t m)
{
    return n == m && memcmp(a, b, n) == 0;
}

static bool means_name(const FoundModel *m, const char *typed)
{
    return same(m->name, bare(m->name), typed, bare(typed));
}

static bool means_latest(const FoundModel *m, const char *typed)
{
    size_t n = strlen(typed);
    return m->source == FIND_OLLAMA && strncmp(m->name, typed, n) == 0 &&
           strcmp(m->name + n, ":latest") == 0;
}

/* The file's own name: of a split model that of its first part. */
static bool means_file(const FoundModel *m, const char *typed)
{
    const char *file = last_part(m->path), *name = last_part(m->name);
    if (m->source == FIND_OLLAMA || strchr(typed, '/')) return false;
    return same(file, bare(file), typed, bare(typed)) || same(name, bare(name), typed, bare(typed));
}

/* The repository or Ollama model, without file or tag. */
static bool means_repository(const FoundModel *m, const char *typed)
{
    size_t n = strlen(typed);
    return strncmp(m->name, typed, n) == 0 && m->name[n] == (m->source == FIND_OLLAMA ? ':' : '/');
}

static bool means_any_case(const FoundModel *m, const char *typed)
{
    return strcasecmp(m->name, typed) == 0 ||
           (bare(m->name) == bare(typed) && strncasecmp(m->name, typed, bare(typed)) == 0);
}

static void ambiguous(const FoundModels *models, bool (*means)(const FoundModel *, const char *),
                      const char *typed, bt_error *err)
{
    Buf list = {0};
    int n = 0;
    for (size_t i = 0; i < models->count; i++) {
        if (!means(&models->list[i], typed)) continue;
        if (++n <= 4) buf_printf(&list, "%s%s", n > 1 ? ", " : "", models->list[i].name);
    }
    bt_fail(err, BT_E_ARGUMENT, "'%.200s' may mean %d models (%s%s); name one of them, or its path",
            typed, n, list.failed || !list.data ? "" : list.data, n > 4 ? ", ..." : "");
    buf_close(&list);
}

/* NULL with *err set when none, or not one alone, is meant. */
static const FoundModel *pick(const FoundModels *models, const char *typed, bt_error *err)
{
    static bool (*const ways[])(const FoundModel *, const char *) = {
        means_name, means_latest, means_file, means_repository, means_any_case};
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        const FoundModel *found = NULL;
        for (size_t i = 0; i < models->count; i++) {
            const FoundModel *m = &models->list[i];
            if (!ways[w](m, typed)) continue;
            /* The same name in two stores is not a question: the earlier store is meant. */
            if (found && strcmp(found->name, m->name) != 0) {
                ambiguous(models, ways[w], typed, err);
                return NULL;
            }
            if (!found) found = m;
        }
        if (found) return found;
    }
    bt_fail(err, BT_E_ARGUMENT, "'%.200s' is no file and no model found here; see bantam list",
            typed);
    return NULL;
}

/* Holds a config.json beside the weights: a model as its makers publish it. */
static bool is_makers_folder(const char *path)
{
    char config[4096 + 16];
    struct stat st;
    if (strlen(path) > 4096) return false;
    snprintf(config, sizeof config, "%s/config.json", path);
    return stat(config, &st) == 0 && S_ISREG(st.st_mode);
}

bt_status find_resolve(const FindPlaces *places, const char *name, char **out, bt_error *err)
{
    struct stat st;
    FoundModels models;
    *out = NULL;
    if (!*name) return bt_fail(err, BT_E_ARGUMENT, "the model's name is empty; name a file");
    bool exists = stat(name, &st) == 0, folder = exists && S_ISDIR(st.st_mode);
    if (exists && (!folder || is_makers_folder(name))) {
        *out = mem_strdup(name);
        return *out ? BT_OK : bt_fail_memory(err, "a path", strlen(name));
    }
    bt_status status = find_models(places, &models, err);
    if (!status) {
        const FoundModel *m = pick(&models, name, err);
        if (!m && folder)
            status =
                bt_fail(err, BT_E_ARGUMENT, "'%.200s' is a folder; name a .gguf file in it", name);
        else if (!m)
            status = BT_E_ARGUMENT;
        else if (!(*out = mem_strdup(m->path)))
            status = bt_fail_memory(err, "a path", strlen(m->path));
    }
    find_close(&models);
    return status;
}
