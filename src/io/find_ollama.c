/* Ollama's store: manifests/HOST/NAMESPACE/MODEL/TAG is a JSON file (an OCI image manifest) whose
 * layer of type application/vnd.ollama.image.model names the GGUF in blobs/ by its digest. Only a
 * digest of the form sha256:64 hex digits becomes a path; manifests above a megabyte, or that are
 * no such JSON, are passed over. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "io/find_list.h"

enum { HOST = 1, NAMESPACE, MODEL, TAG };

typedef struct Store {
    size_t root;          /* length of the store's path */
    char names[TAG][256]; /* host, namespace, model of the folder we are in */
} Store;

static bool digest_hex(const char *digest, size_t size, char hex[65])
{
    if (size != 71 || memcmp(digest, "sha256:", 7) != 0) return false;
    memcpy(hex, digest + 7, 64);
    hex[64] = '\0';
    return strspn(hex, "0123456789abcdef") == 64;
}

/* The hex digits of the model layer's digest; false when the JSON holds none. */
static bool model_digest(const json_t *manifest, char hex[65])
{
    const json_t *layers = json_object_get(manifest, "layers");
    for (size_t i = 0; i < json_array_size(layers); i++) {
        const json_t *layer = json_array_get(layers, i);
        const json_t *digest = json_object_get(layer, "digest");
        const char *type = json_string_value(json_object_get(layer, "mediaType"));
        if (type && digest && strcmp(type, "application/vnd.ollama.image.model") == 0)
            return json_is_string(digest) &&
                   digest_hex(json_string_value(digest), json_string_length(digest), hex);
    }
    return false;
}

static bool read_manifest(const char *path, char hex[65])
{
    OsMap map;
    bool found = false;
    if (os_map_open(path, &map, NULL)) return false;
    if (map.size > 0 && map.size <= FIND_MAX_MANIFEST) {
        json_t *json = json_loadb((const char *)map.data, map.size, JSON_REJECT_DUPLICATES, NULL);
        found = model_digest(json, hex);
        json_decref(json);
    }
    os_map_close(&map);
    return found;
}

/* As Ollama shows it: the host and namespace that it assumes are left out. */
static void shown_name(const Store *s, const char *tag, char *out, size_t size)
{
    bool usual_host = strcmp(s->names[HOST], "registry.ollama.ai") == 0;
    bool usual_space = usual_host && strcmp(s->names[NAMESPACE], "library") == 0;
    snprintf(out, size, "%s%s%s%s%s:%s", usual_host ? "" : s->names[HOST], usual_host ? "" : "/",
             usual_space ? "" : s->names[NAMESPACE], usual_space ? "" : "/", s->names[MODEL], tag);
}

static void add_manifest(Finder *f, const Store *s, const char *tag)
{
    char hex[65], blob[96], name[1200];
    struct stat st;
    FindPath manifest = f->path;
    if (!read_manifest(f->path.text, hex)) return;
    find_pop(&f->path, s->root);
    snprintf(blob, sizeof blob, "blobs/sha256-%s", hex);
    if (find_push(&f->path, blob) && stat(f->path.text, &st) == 0 && S_ISREG(st.st_mode)) {
        shown_name(s, tag, name, sizeof name);
        find_add(f, name, FIND_OLLAMA, &st);
    }
    f->path = manifest;
}

static void visit(Finder *f, const char *name, const struct stat *st, int depth, void *user)
{
    Store *s = user;
    if (depth < TAG && S_ISDIR(st->st_mode)) {
        snprintf(s->names[depth], sizeof s->names[depth], "%s", name);
        find_each(f, depth + 1, visit, s);
    } else if (depth == TAG && S_ISREG(st->st_mode)) {
        add_manifest(f, s, name);
    }
}

void find_ollama(Finder *f)
{
    Store s = {.root = f->path.size};
    if (find_push(&f->path, "manifests")) find_each(f, HOST, visit, &s);
}
