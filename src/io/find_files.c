/* The files that a model is made of, for a sandbox that grants those and no others (see find.h). */
#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "io/find.h"

/* A maker's folder: itself, and each file a model is made of, which may be a link out of it. */
static void add_folder(const char *folder, Buf *out)
{
    static const char *const ends[] = {".json", ".safetensors", ".model", ".jinja"};
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
            if (n > strlen(ends[i]) && strcmp(e->d_name + n - strlen(ends[i]), ends[i]) == 0) {
                buf_printf(out, "%s/%s", folder, e->d_name);
                buf_char(out, '\0');
            }
    }
    if (dir) closedir(dir);
    buf_add(out, folder, strlen(folder) + 1);
}

void find_model_files(const char *model, Buf *out)
{
    char path[PATH_MAX];
    struct stat st;
    int n = find_n_parts(model);
    bool folder = stat(model, &st) == 0 && S_ISDIR(st.st_mode);
    if (folder) add_folder(model, out);
    for (int part = 1; part <= n && !folder; part++)
        if (find_part_path(model, part, path, sizeof path)) buf_add(out, path, strlen(path) + 1);
}
