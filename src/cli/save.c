/* Storing a conversation (see save.h). The helper is narrow on purpose, since a process that has
 * read a hostile model may talk to it: it creates new files only, with mode 0600, never replaces
 * one that it did not make, and never touches a name that starts with a dot. */
#include "cli/save.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/sandbox.h"
#include "cli/json.h"

#define SAVE_MOST (64u << 20) /* bytes of a stored conversation */
#define OWN_MOST  64          /* files of one session */

struct Save {
    int fd; /* of --save, or -1 */
    char *path;
    int to_helper, from_helper; /* or -1 */
    pid_t helper;
};

/* ---- the text ---- */

static void as_text(Buf *out, const bt_message *messages, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s## %s\n\n%s\n", i ? "\n" : "", messages[i].role, messages[i].content);
}

static json_t *message_json(const bt_message *m)
{
    json_t *out =
        json_pack("{s:o,s:o}", "role", json_text(m->role), "content", json_text(m->content));
    json_t *calls = m->n_tool_calls ? json_array() : NULL;
    for (size_t i = 0; i < m->n_tool_calls; i++)
        json_array_append_new(calls, json_pack("{s:s,s:{s:o,s:o}}", "type", "function", "function",
                                               "name", json_text(m->tool_calls[i].name),
                                               "arguments", json_text(m->tool_calls[i].arguments)));
    if (calls) json_object_set_new(out, "tool_calls", calls);
    return out;
}

static void as_json(Buf *out, const bt_message *messages, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, message_json(&messages[i]));
    json_t *root = json_pack("{s:o}", "messages", list);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    if (text)
        buf_printf(out, "%s\n", text);
    else
        out->failed = true;
    free(text);
    json_decref(root);
}

static bool conversation(const char *path, const bt_message *messages, size_t n, Buf *out)
{
    size_t length = strlen(path);
    if (length > 5 && strcmp(path + length - 5, ".json") == 0)
        as_json(out, messages, n);
    else
        as_text(out, messages, n);
    return !out->failed && out->size <= SAVE_MOST;
}

/* All of it from the start of the file, and nothing behind it. */
static int put(int fd, const char *data, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t part = pwrite(fd, data + at, n - at, (off_t)at);
        if (part < 0 && errno == EINTR) continue;
        if (part < 0) return errno;
        at += (size_t)part;
    }
    if (ftruncate(fd, (off_t)n) != 0 && errno != EINVAL) return errno; /* EINVAL: a device */
    return fsync(fd) == 0 || errno == EINVAL || errno == EROFS ? 0 : errno;
}

/* ---- the helper ---- */

static bool read_all(int fd, void *out, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t part = read(fd, (char *)out + at, n - at);
        if (part < 0 && errno == EINTR) continue;
        if (part <= 0) return false;
        at += (size_t)part;
    }
    return true;
}

static bool write_all(int fd, const void *data, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t part = write(fd, (const char *)data + at, n - at);
        if (part < 0 && errno == EINTR) continue;
        if (part <= 0) return false;
        at += (size_t)part;
    }
    return true;
}

typedef struct Request {
    uint32_t path, data; /* bytes that follow, the path with its NUL */
} Request;

typedef struct Own {
    char *path[OWN_MOST];
    size_t n;
} Own;

static bool hidden(const char *path)
{
    for (const char *p = path; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (*p == '.' && !(p[1] == '/' || (p[1] == '.' && p[2] == '/'))) return true;
    }
    return false;
}

static int store(Own *own, char *path, const char *data, size_t n, int *error)
{
    bool mine = false;
    for (size_t i = 0; i < own->n; i++) mine |= strcmp(own->path[i], path) == 0;
    *error = 0;
    if (hidden(path)) return 1;
    if (!mine && own->n == OWN_MOST) return 2;
    int flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW | (mine ? 0 : O_CREAT | O_EXCL);
    int fd = open(path, flags, 0600);
    if (fd < 0) {
        *error = errno;
        return 3;
    }
    if (!mine) own->path[own->n++] = path;
    *error = put(fd, data, n);
    if (close(fd) != 0 && !*error) *error = errno;
    return *error ? 3 : 0;
}

static void explain(int code, int error, char why[256])
{
    memset(why, 0, 256);
    if (code == 1)
        snprintf(why, 256, "names that start with a dot are not written; take another");
    else if (code == 2)
        snprintf(why, 256, "too many files were saved already");
    else if (code == 3)
        snprintf(why, 256, "%s%s", os_why(error),
                 error == EEXIST ? "; files are never replaced, take another name" : "");
    else
        snprintf(why, 256, "ok");
}

/* Never returns. Ends when the chat does. */
static void serve(int in, int out)
{
    Own own = {0};
    Request request;
    const SandboxGrant anywhere = {"/", true};
    SandboxReport report;
    SandboxOptions options = {.grants = &anywhere, .n_grants = 1};
#ifdef BANTAM_SANITIZED
    options.wide = true;
#endif
    signal(SIGINT, SIG_IGN);
    sandbox_enter(&options, &report, NULL); /* no network here either */
    while (read_all(in, &request, sizeof request)) {
        if (request.path > PATH_MAX || request.data > SAVE_MOST) break;
        char *path = mem_alloc(request.path + 1u), *data = mem_alloc(request.data);
        if (!path || !data) break;
        if (!read_all(in, path, request.path) || !read_all(in, data, request.data)) break;
        path[request.path] = '\0';
        char why[256];
        int error, code = store(&own, path, data, request.data, &error);
        explain(code, error, why);
        mem_free(data);
        if (!write_all(out, why, sizeof why)) break;
    }
    _exit(0);
}

static bool start_helper(Save *s)
{
    int to[2], from[2];
    if (pipe(to) != 0) return false;
    if (pipe(from) != 0) {
        close(to[0]);
        close(to[1]);
        return false;
    }
    s->helper = fork();
    if (s->helper == 0) {
        close(to[1]);
        close(from[0]);
        if (s->fd >= 0) close(s->fd);
        serve(to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    s->to_helper = to[1];
    s->from_helper = from[0];
    return s->helper > 0;
}

/* ---- the front ---- */

Save *save_open(const char *path, bool later)
{
    Save *s = mem_zalloc(1, sizeof *s);
    if (!s) {
        cli_fail("not enough memory to open %s", path ? path : "the store");
        return NULL;
    }
    s->fd = s->to_helper = s->from_helper = -1;
    if (path) {
        s->path = mem_strdup(path);
        s->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (!s->path || s->fd < 0) {
            cli_fail("--save %s: %s", path, os_why(errno));
            save_close(&s);
            return NULL;
        }
    }
    if (later && !start_helper(s)) {
        cli_fail("the helper for /save cannot be started: %s", strerror(errno));
        save_close(&s);
    }
    return s;
}

bool save_update(Save *s, const bt_message *messages, size_t n)
{
    if (!s || s->fd < 0) return true;
    Buf text = {0};
    int error = ENOMEM;
    if (conversation(s->path, messages, n, &text)) error = put(s->fd, text.data, text.size);
    buf_close(&text);
    if (error) cli_fail("--save %s: %s", s->path, os_why(error));
    return error == 0;
}

bool save_as(Save *s, const char *path, const bt_message *messages, size_t n, char why[256])
{
    Buf text = {0};
    bool good = false;
    size_t length = strlen(path);
    snprintf(why, 256, "the conversation or the name is too long");
    if (length && length < PATH_MAX && conversation(path, messages, n, &text)) {
        Request request = {(uint32_t)length, (uint32_t)text.size};
        if (write_all(s->to_helper, &request, sizeof request) &&
            write_all(s->to_helper, path, length) &&
            write_all(s->to_helper, text.data, text.size) && read_all(s->from_helper, why, 256)) {
            why[255] = '\0';
            good = strcmp(why, "ok") == 0;
        } else {
            snprintf(why, 256, "the helper that saves files has ended");
        }
    }
    buf_close(&text);
    return good;
}

void save_close(Save **save)
{
    Save *s = *save;
    *save = NULL;
    if (!s) return;
    if (s->fd >= 0) close(s->fd);
    if (s->to_helper >= 0) close(s->to_helper);
    if (s->from_helper >= 0) close(s->from_helper);
    mem_free(s->path);
    mem_free(s);
}
