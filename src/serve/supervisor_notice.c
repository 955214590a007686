/* The file that `bantam ps`, `bantam stop` and `bantam selfcheck --live` read: what runs, as JSON,
 * in the user's runtime folder, mode 0600. It is written in place and kept locked while the server
 * lives, so that nobody mistakes a file that was left behind for a server. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "serve/supervisor_parts.h"
#include "text/json_tree.h"

static void path_for(const Supervisor *s, int port, char *out, size_t size)
{
    const char *at = strstr(s->o->state_path, "%d");
    if (!at)
        snprintf(out, size, "%s", s->o->state_path);
    else
        snprintf(out, size, "%.*s%d%s", (int)(at - s->o->state_path), s->o->state_path, port,
                 at + 2);
}

void notice_open(Supervisor *s, int port)
{
    char path[1024];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (!s->o->state_path || s->state_fd >= 0) return;
    path_for(s, port, path, sizeof path);
    s->state_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->state_fd < 0 || fchmod(s->state_fd, 0600) != 0 ||
        fcntl(s->state_fd, F_SETLK, &lock) != 0)
        log_line(BT_LOG_WARN, "%s: %s; 'bantam ps' and 'bantam stop' will not see this server",
                 path, strerror(errno));
}

static const char *state_word(const Seat *seat)
{
    if (seat->state == SLOT_UNLOADING) return "unloading";
    if (!seat->ready) return "loading";
    return seat->active ? "busy" : "idle";
}

static void models(const Supervisor *s, double now, Buf *out)
{
    bool comma = false;
    for (int i = 0; i < SERVE_SLOTS; i++) {
        const Seat *seat = &s->seat[i];
        if (!seat->pid) continue;
        if (comma) buf_char(out, ',');
        comma = true;
        buf_text(out, "{\"name\":");
        json_string_write(out, span_of(s->o->catalogue->models[seat->model].name));
        buf_printf(out, ",\"state\":\"%s\",\"pid\":%d,\"bytes\":%llu,\"idle_seconds\":%.0f,",
                   state_word(seat), (int)seat->pid,
                   (unsigned long long)s->o->catalogue->models[seat->model].size,
                   seat->active ? 0 : now - seat->idle_since);
        buf_printf(out, "\"keep_alive_seconds\":%.0f}",
                   seat->keep_ms < 0 ? -1 : (double)seat->keep_ms / 1000);
    }
}

static size_t offered(const Catalogue *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) n += c->models[i].here;
    return n;
}

void notice_write(Supervisor *s, double now)
{
    Buf text = {0};
    if (s->state_fd < 0 || !s->state_stale || now < s->state_at + 0.2) return;
    s->state_stale = false;
    s->state_at = now;
    buf_printf(&text, "{\"pid\":%d,\"front_pid\":%d,\"version\":\"%s\",\"url\":", (int)getpid(),
               (int)s->front_pid, bt_version());
    json_string_write(&text, span_of(s->url));
    buf_printf(&text, ",\"draining\":%s,\"offered\":%zu,\"models\":[",
               s->draining ? "true" : "false", offered(s->o->catalogue));
    models(s, now, &text);
    buf_printf(&text, "],\"checks\":%d,\"checked\":{", s->checks);
    if (s->checked.data) buf_add(&text, s->checked.data, s->checked.size);
    buf_text(&text, "}}\n");
    if (!text.failed && lseek(s->state_fd, 0, SEEK_SET) == 0 &&
        os_write_all(s->state_fd, text.data, text.size, NULL) == BT_OK &&
        ftruncate(s->state_fd, (off_t)text.size) != 0)
        s->state_stale = true;
    buf_close(&text);
}

/* Lines of wire.h: how many ways were tried, and which were open. */
void notice_report(Supervisor *s, int seat, const char *lines)
{
    int refused = 0;
    Buf open_ways = {0};
    for (const char *line = lines, *end; *line; line = end) {
        end = strchr(line, '\n');
        end = end ? end + 1 : line + strlen(line);
        if (strncmp(line, "refused\t", 8) == 0) refused++;
        if (strncmp(line, "open\t", 5) != 0) continue;
        if (open_ways.size) buf_char(&open_ways, ',');
        json_string_write(&open_ways, (Span){line + 5, strcspn(line + 5, "\t\n")});
    }
    if (s->checked.size) buf_char(&s->checked, ',');
    json_string_write(&s->checked,
                      span_of(seat < 0 || seat >= SERVE_SLOTS
                                  ? "the front"
                                  : s->o->catalogue->models[s->seat[seat].model].name));
    buf_printf(&s->checked, ":{\"refused\":%d,\"open\":[%s]}", refused,
               open_ways.data ? open_ways.data : "");
    buf_close(&open_ways);
    s->state_stale = true;
}

void notice_close(Supervisor *s)
{
    char path[1024];
    if (s->state_fd < 0) return;
    path_for(s, s->front.port, path, sizeof path);
    unlink(path);
    close(s->state_fd);
    s->state_fd = -1;
}
