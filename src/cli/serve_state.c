/* Finding running servers by the files they keep locked. See serve_state.h. */
#include "cli/serve_state.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/os.h"
#include "cli/cli.h"

char *serve_state_folder(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char *folder = runtime && *runtime == '/' && access(runtime, W_OK) == 0
                       ? cli_user_path("XDG_RUNTIME_DIR", "", "serve")
                       : cli_user_path("XDG_STATE_HOME", ".local/state", "serve");
    if (folder && os_make_dirs(folder, NULL) == BT_OK) return folder;
    mem_free(folder);
    return NULL;
}

/* The process that holds the file's lock, 0: none. */
static pid_t holder(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return 0;
    return lock.l_pid;
}

/* Written in place while we read: what is no JSON is read once more. */
static json_t *read_json(int fd)
{
    for (int tries = 0; tries < 20; tries++) {
        Buf text = {0};
        char part[4096];
        ssize_t n;
        lseek(fd, 0, SEEK_SET);
        while ((n = read(fd, part, sizeof part)) > 0 && text.size < (1u << 20))
            buf_add(&text, part, (size_t)n);
        json_t *says = json_loadb(text.data ? text.data : "", text.size, 0, NULL);
        buf_close(&text);
        if (json_is_object(says)) return says;
        json_decref(says);
        usleep(20000);
    }
    return json_object();
}

static bool look(ServeState *state)
{
    int fd = open(state->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return false;
    state->pid = holder(fd);
    if (state->pid) {
        json_decref(state->says);
        state->says = read_json(fd);
    }
    close(fd);
    return state->pid != 0;
}

bool serve_state_again(ServeState *state)
{
    return look(state);
}

void serve_states_find(ServeStates *out)
{
    char *folder = serve_state_folder();
    DIR *dir = folder ? opendir(folder) : NULL;
    *out = (ServeStates){0};
    for (struct dirent *e; dir && (e = readdir(dir)) && out->n < 64;) {
        char *end;
        Buf path = {0};
        const long port = strtol(e->d_name, &end, 10);
        if (end == e->d_name || strcmp(end, ".json") != 0 || port < 1 || port > 65535) continue;
        buf_printf(&path, "%s/%s", folder, e->d_name);
        ServeState state = {.path = buf_take(&path), .port = (int)port};
        if (state.path && look(&state)) {
            out->list[out->n++] = state;
            continue;
        }
        if (state.path) unlink(state.path);
        mem_free(state.path);
    }
    if (dir) closedir(dir);
    mem_free(folder);
}

void serve_states_close(ServeStates *states)
{
    for (size_t i = 0; i < states->n; i++) {
        mem_free(states->list[i].path);
        json_decref(states->list[i].says);
    }
    states->n = 0;
}

int serve_states_one(const ServeStates *states, int port, const ServeState **out)
{
    *out = NULL;
    for (size_t i = 0; i < states->n; i++)
        if (!port || states->list[i].port == port) {
            if (*out) return cli_fail("%zu servers run; name the port of one", states->n);
            *out = &states->list[i];
        }
    if (*out) return CLI_GOOD;
    return port ? cli_fail("no server of yours runs at port %d", port)
                : cli_fail("no server of yours runs; 'bantam serve' starts one");
}
