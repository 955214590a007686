/* `bantam doctor`: what this machine offers and what is missing, each with what to do about it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <wchar.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/courier.h"
#include "cli/json.h"
#include "cli/model.h"
#include "kernels/kernels.h"

typedef struct Doctor {
    json_t *rows; /* {"what", "found", "good", "advice"} */
    Cli *cli;
} Doctor;

static void row(Doctor *d, const char *what, const char *advice, const char *format, ...)
    BT_PRINTF(4, 5);

/* One finding; `advice` NULL when all is well. */
static void row(Doctor *d, const char *what, const char *advice, const char *format, ...)
{
    char found[512];
    va_list args;
    va_start(args, format);
    vsnprintf(found, sizeof found, format, args);
    va_end(args);
    json_array_append_new(d->rows,
                          json_pack("{s:s,s:o,s:b,s:o}", "what", what, "found", json_text(found),
                                    "good", advice == NULL, "advice", json_text(advice)));
    if (opts_flag(&d->cli->opts, OPT_JSON)) return;
    printf("%-2s%-10s", advice ? "!" : "", what);
    print_wrapped(stdout, found, 12, 12, 80);
    if (!advice) return;
    printf("%12s", "");
    print_wrapped(stdout, advice, 12, 12, 80);
}

static void machine(Doctor *d)
{
    struct utsname name = {0};
    char features[128], total[32], available[32];
    uname(&name);
    row(d, "system", NULL, "%s %s, %s", name.sysname, name.release, name.machine);
    row(d, "cores", NULL, "%d this process may use", os_cores());
    uint32_t has = cpu_features();
    cpu_names(has, features);
    row(d, "cpu",
        has ? NULL
            : "plain C is slow: this CPU has none of the instructions that "
              "the faster kernels need",
        "%s", *features ? features : "no instructions that kernels are made for");
    row(d, "kernels", NULL, "%s", kernels_select(cpu_choose(0))->name);
    uint64_t free_now = os_memory_available();
    row(d, "memory",
        free_now < (1ull << 30) ? "close other programs, or take a smaller model" : NULL,
        "%s available of %s", bytes_text(free_now, available),
        bytes_text(os_memory_total(), total));
}

static void sandbox(Doctor *d)
{
    SandboxReport r = sandbox_probe();
    const char *advice = NULL;
    if (!r.seccomp)
        advice = "'bantam run' refuses to start without seccomp: use a kernel that has it, or "
                 "--no-sandbox";
    else if (!r.landlock)
        advice = "files are not fenced in; Linux 5.13 or newer with Landlock enabled (boot option "
                 "lsm=landlock,...) does that";
    char box[64];
    row(d, "sandbox", advice, "%s%s%s", sandbox_text(&r, box, sizeof box), r.note[0] ? "; " : "",
        r.note);
}

static void cache(Doctor *d)
{
    char *path = cache_folder(d->cli);
    bt_error err = {0};
    struct statvfs fs;
    char room[32];
    if (!path) {
        row(d, "cache", "set HOME or give --cache-dir: without it every start prepares the weights",
            "there is no home folder");
    } else if (os_make_dirs(path, &err) != BT_OK || access(path, W_OK) != 0) {
        row(d, "cache", "give a folder that can be written with --cache-dir", "%s: %s", path,
            err.text[0] ? err.text : strerror(errno));
    } else if (statvfs(path, &fs) != 0) {
        row(d, "cache", NULL, "%s", path);
    } else {
        uint64_t bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
        row(d, "cache",
            bytes < (2ull << 30) ? "make room: prepared weights take about a model's size" : NULL,
            "%s, %s free", path, bytes_text(bytes, room));
    }
    mem_free(path);
}

static void terminal(Doctor *d)
{
    struct winsize size = {0};
    bool tty = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    /* A locale that keeps three bytes as one character is UTF-8 for our purpose. */
    bool utf8 = MB_CUR_MAX > 1;
    if (tty) ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
    const char *kind = getenv("TERM");
#ifdef BANTAM_LIBEDIT
    const char *editing = "line editing";
#else
    const char *editing = "no line editing (built without libedit)";
#endif
    if (!tty)
        row(d, "terminal", NULL, "none: a prompt is read from -p or standard input");
    else
        row(d, "terminal",
            utf8 ? NULL : "set LANG to a UTF-8 locale, for instance C.UTF-8, to type beyond ASCII",
            "%s, %d columns, %s, %s", kind ? kind : "unknown", size.ws_col,
            utf8 ? "UTF-8" : "not UTF-8", editing);
}

/* What only some commands need. */
static void libraries(Doctor *d)
{
    const char *curl = courier_missing();
    row(d, "servers", curl, "%s",
        curl ? "distill cannot ask a teacher on a server"
             : "distill can ask a teacher on a server (libcurl)");
}

int cmd_doctor(Cli *cli)
{
    if (cli->opts.n_args) return cli_usage(cli, "takes no arguments");
    Doctor d = {.rows = json_array(), .cli = cli};
    if (!d.rows) return cli_fail("not enough memory");
    machine(&d);
    sandbox(&d);
    cache(&d);
    terminal(&d);
    libraries(&d);
    if (opts_flag(&cli->opts, OPT_JSON))
        return json_print(json_pack("{s:s,s:o}", "version", bt_version(), "checks", d.rows));
    json_decref(d.rows);
    return CLI_GOOD;
}
