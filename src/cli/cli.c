/* Messages, flushing and user folders (see cli.h). */
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/os.h"

int cli_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bantam: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return CLI_FAILED;
}

int cli_usage(const Cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "bantam %s: ", cli->command->name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return CLI_USAGE;
}

void cli_say(const Cli *cli, const char *format, ...)
{
    if (cli->quiet) return;
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

static bool reader_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return errno == EPIPE || (poll(&out, 1, 0) > 0 && (out.revents & POLLERR));
}

int cli_flush(void)
{
    static bool told; /* one message, however often it is tried */
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return CLI_GOOD;
    int error = errno;
    if (!told && !reader_gone())
        cli_fail("standard output: %s", error ? os_why(error) : "a write failed");
    told = true;
    return CLI_FAILED;
}

char *cli_user_path(const char *env, const char *fallback, const char *name)
{
    const char *base = getenv(env), *home = getenv("HOME");
    Buf path = {0};
    if (base && base[0] == '/')
        buf_printf(&path, "%s/bantam", base);
    else if (home && home[0] == '/')
        buf_printf(&path, "%s/%s/bantam", home, fallback);
    else
        return NULL;
    if (name) buf_printf(&path, "/%s", name);
    return buf_take(&path);
}
