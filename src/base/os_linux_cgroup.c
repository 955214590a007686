/* Linux control groups: what a container, a systemd unit, or whatever those are nested in, leaves
 * us of memory and CPU time. Both versions: cgroup-v2.rst, cgroup-v1/memory.rst, sched-bwc.rst.
 * The tightest level counts. What cannot be read or understood is no limit. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os_linux.h"

/* A number, or "max". v1 says "no limit" with a number near 2^63. */
static uint64_t read_limit(int fd)
{
    char text[64];
    if (!linux_read_again(fd, text, sizeof text) || text[0] < '0' || text[0] > '9')
        return LINUX_NO_LIMIT;
    uint64_t n = strtoull(text, NULL, 10);
    return n >= (uint64_t)1 << 60 ? LINUX_NO_LIMIT : n;
}

/* One hierarchy: where it is mounted, which part of it the mount shows, where in it we are. */
typedef struct Hierarchy {
    char mount[PATH_MAX], shown[PATH_MAX], group[PATH_MAX];
    bool found;
} Hierarchy;

static char *read_whole(const char *root, const char *path)
{
    enum { MOST = 1 << 20 };
    char full[PATH_MAX];
    if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full) return NULL;
    int fd = linux_open(full);
    if (fd < 0) return NULL;
    char *text = mem_alloc(MOST + 1);
    size_t size = 0;
    for (ssize_t n = 1; text && n > 0 && size<MOST; size += n> 0 ? (size_t)n : 0)
        n = read(fd, text + size, MOST - size);
    close(fd);
    if (text) text[size] = '\0';
    return text;
}

/* A comma-separated list holds `word`. */
static bool names_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *p = list; (p = strstr(p, word)); p += length)
        if ((p == list || p[-1] == ',') && (p[length] == ',' || p[length] == '\0')) return true;
    return false;
}

/* Undoes mountinfo's \040 for a space, in place. */
static void unescape(char *text)
{
    char *to = text;
    for (char *from = text; *from; to++) {
        bool octal = from[0] == '\\';
        for (int i = 1; i <= 3 && octal; i++) octal = from[i] >= '0' && from[i] <= '7';
        if (octal) {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* /proc/self/mountinfo: "36 35 98:0 /shown /mount options - type source super-options". */
static void find_mount(char *mountinfo, const char *controller, Hierarchy *out)
{
    char *rest = NULL;
    for (char *line = strtok_r(mountinfo, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *tail = strstr(line, " - ");
        char shown[PATH_MAX], mount[PATH_MAX], type[32], super[1024];
        if (!tail) continue;
        *tail = '\0';
        if (sscanf(line, "%*s %*s %*s %4095s %4095s", shown, mount) != 2) continue;
        if (sscanf(tail + 3, "%31s %*s %1023s", type, super) != 2) continue;
        bool wanted = controller[0] ? !strcmp(type, "cgroup") && names_word(super, controller)
                                    : !strcmp(type, "cgroup2");
        if (!wanted) continue;
        unescape(shown);
        unescape(mount);
        snprintf(out->shown, sizeof out->shown, "%s", shown);
        snprintf(out->mount, sizeof out->mount, "%s", mount);
        out->found = true;
        return;
    }
}

/* /proc/self/cgroup: "4:memory:/a/b"; version 2 is "0::/a/b". */
static void find_group(char *cgroup, const char *controller, Hierarchy *out)
{
    char *rest = NULL;
    for (char *line = strtok_r(cgroup, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path) continue;
        *path++ = '\0';
        names++;
        if (controller[0] ? !names_word(names, controller) : names[0] != '\0') continue;
        snprintf(out->group, sizeof out->group, "%s", path);
        return;
    }
}

static bool find_hierarchy(const char *root, const char *controller, Hierarchy *out)
{
    memset(out, 0, sizeof *out);
    char *mountinfo = read_whole(root, "/proc/self/mountinfo");
    char *cgroup = read_whole(root, "/proc/self/cgroup");
    if (mountinfo && cgroup) {
        find_mount(mountinfo, controller, out);
        find_group(cgroup, controller, out);
    }
    mem_free(mountinfo);
    mem_free(cgroup);
    return out->found && out->group[0] == '/';
}

static int open_in(const char *folder, const char *name)
{
    char path[2 * PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return -1;
    return linux_open(path);
}

static void add_memory_level(const char *folder, bool v2, Cgroups *out)
{
    if (out->n_levels == CGROUP_LEVELS) return;
    int limit = open_in(folder, v2 ? "memory.max" : "memory.limit_in_bytes");
    int high = v2 ? open_in(folder, "memory.high") : -1;
    if (read_limit(limit) == LINUX_NO_LIMIT && read_limit(high) == LINUX_NO_LIMIT) {
        if (limit >= 0) close(limit);
        if (high >= 0) close(high);
        return;
    }
    int i = out->n_levels++;
    out->level[i].v2 = v2;
    out->level[i].limit = limit;
    out->level[i].high = high;
    out->level[i].usage = open_in(folder, v2 ? "memory.current" : "memory.usage_in_bytes");
    out->level[i].stat = open_in(folder, "memory.stat");
}

static void add_cpu_level(const char *folder, bool v2, Cgroups *out)
{
    char text[64] = "";
    double quota = 0, period = 0;
    int fd = open_in(folder, v2 ? "cpu.max" : "cpu.cfs_quota_us");
    bool read = linux_read_again(fd, text, sizeof text);
    if (fd >= 0) close(fd);
    if (!read || text[0] < '0' || text[0] > '9') return; /* "max", -1 */
    char *end;
    quota = strtod(text, &end);
    if (v2) {
        period = strtod(end, NULL);
    } else if ((fd = open_in(folder, "cpu.cfs_period_us")) >= 0) {
        if (linux_read_again(fd, text, sizeof text)) period = strtod(text, NULL);
        close(fd);
    }
    if (quota <= 0 || period <= 0) return;
    if (out->cpus == 0 || quota / period < out->cpus) out->cpus = quota / period;
}

/* Calls add for our group's folder and each above it, up to what the mount shows. */
static void walk_up(const char *root, const Hierarchy *h, bool v2,
                    void (*add)(const char *, bool, Cgroups *), Cgroups *out)
{
    char folder[3 * PATH_MAX];
    const char *group = h->group;
    size_t shown = strlen(h->shown);
    /* In a container the path may be the host's; the mount then shows only our part of it. */
    if (shown > 1 && strncmp(group, h->shown, shown) == 0 &&
        (group[shown] == '/' || group[shown] == '\0'))
        group += shown;
    else if (shown > 1 || strstr(group, "/.."))
        group = "";
    if (!strcmp(group, "/")) group = "";
    int top = snprintf(folder, sizeof folder, "%s%s", root, h->mount);
    snprintf(folder + top, sizeof folder - (size_t)top, "%s", group);
    for (int i = 0; i < 4 * CGROUP_LEVELS; i++) {
        add(folder, v2, out);
        char *slash = strrchr(folder, '/');
        if (!slash || slash < folder + top) break;
        *slash = '\0';
    }
}

void cgroups_open(const char *root, Cgroups *out)
{
    static const struct {
        const char *controller;
        bool v2, memory, cpu;
    } kinds[] = {
        {"", true, true, true}, {"memory", false, true, false}, {"cpu", false, false, true}};
    memset(out, 0, sizeof *out);
    Hierarchy *h = mem_alloc(sizeof *h);
    for (size_t i = 0; h && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!find_hierarchy(root, kinds[i].controller, h)) continue;
        if (kinds[i].memory) walk_up(root, h, kinds[i].v2, add_memory_level, out);
        if (kinds[i].cpu) walk_up(root, h, kinds[i].v2, add_cpu_level, out);
    }
    mem_free(h);
}

void cgroups_close(Cgroups *groups)
{
    for (int i = 0; i < groups->n_levels; i++) {
        const int fds[] = {groups->level[i].limit, groups->level[i].high, groups->level[i].usage,
                           groups->level[i].stat};
        for (size_t f = 0; f < 4; f++)
            if (fds[f] >= 0) close(fds[f]);
    }
    groups->n_levels = 0;
}

static uint64_t level_limit(const Cgroups *groups, int i)
{
    uint64_t limit = read_limit(groups->level[i].limit), high = read_limit(groups->level[i].high);
    return limit < high ? limit : high;
}

uint64_t cgroups_limit(const Cgroups *groups)
{
    uint64_t least = LINUX_NO_LIMIT;
    for (int i = 0; i < groups->n_levels; i++) {
        uint64_t limit = level_limit(groups, i);
        if (limit < least) least = limit;
    }
    return least;
}

uint64_t cgroups_left(const Cgroups *groups)
{
    uint64_t least = LINUX_NO_LIMIT;
    char stat[8192];
    for (int i = 0; i < groups->n_levels; i++) {
        uint64_t limit = level_limit(groups, i), usage = read_limit(groups->level[i].usage);
        if (limit == LINUX_NO_LIMIT || usage == LINUX_NO_LIMIT) continue;
        uint64_t active = 0, inactive = 0;
        if (linux_read_again(groups->level[i].stat, stat, sizeof stat)) {
            const bool v2 = groups->level[i].v2;
            linux_number(stat, v2 ? "active_file " : "total_active_file ", &active);
            linux_number(stat, v2 ? "inactive_file " : "total_inactive_file ", &inactive);
        }
        uint64_t cache = active + inactive;
        uint64_t held = usage > cache ? usage - cache : 0;
        uint64_t left = limit > held ? limit - held : 0;
        if (left < least) least = left;
    }
    return least;
}
