/* Inside the model finder: caps, the path being walked, the list being filled. */
#ifndef IO_FIND_LIST_H
#define IO_FIND_LIST_H

#include <sys/stat.h>

#include "io/find.h"

#define FIND_MAX_MODELS   4096u
#define FIND_MAX_FOLDERS  4096u
#define FIND_MAX_ENTRIES  65536u     /* looked at in all */
#define FIND_MAX_DEPTH    8          /* folders in folders below a store */
#define FIND_MAX_MANIFEST (1u << 20) /* bytes */

typedef struct FindPath {
    char text[4096];
    size_t size;
} FindPath;

typedef struct Finder {
    FoundModels *out;
    FindPath path; /* the folder or file being looked at */
    struct {
        uint64_t device, inode;
    } seen[FIND_MAX_FOLDERS]; /* folders entered: a link back is not followed */
    size_t n_seen, n_entries;
    bt_status status; /* BT_E_MEMORY sticks */
} Finder;

/* Appends "/name"; false (path unchanged) when it is too long. The old size undoes it. */
bool find_push(FindPath *path, const char *name);
static inline void find_pop(FindPath *path, size_t size)
{
    path->size = size;
    path->text[size] = '\0';
}
/* Calls `visit` for each entry of finder->path (which then names the entry) that is a file or a
 * folder; hidden entries and odd names are passed over. A folder that was entered before, by
 * whatever link, is not entered again. */
typedef void (*FindVisit)(Finder *f, const char *name, const struct stat *st, int depth,
                          void *user);
void find_each(Finder *f, int depth, FindVisit visit, void *user);
/* Adds a copy of `name` for the file finder->path names. */
void find_add(Finder *f, const char *name, FindSource source, const struct stat *st);
/* Adds all models of an Ollama store, whose folder finder->path names. */
void find_ollama(Finder *f);

#endif
