/* What every command shares: exit codes, talk on standard error, product on standard output. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "bantam/bantam.h"
#include "cli/opts.h"

enum { CLI_GOOD = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

struct Cli {
    const Command *command;
    Opts opts;
    char *config_text; /* values of opts may point into it */
    bool quiet, verbose;
    bool color; /* colours on standard error */
};

/* "bantam: ..." on standard error; each gives the exit code, so that `return cli_fail(...)` reads
 * well. An error line is never silenced. */
int cli_fail(const char *format, ...) BT_PRINTF(1, 2);
int cli_usage(const Cli *cli, const char *format, ...) BT_PRINTF(2, 3);
/* A line of talk on standard error, unless --quiet. */
void cli_say(const Cli *cli, const char *format, ...) BT_PRINTF(2, 3);

/* Flushes standard output. CLI_GOOD, or CLI_FAILED: with a message, except when the reader has
 * gone (EPIPE), which needs none. */
int cli_flush(void);

/* A file under the user's folders: $<env>/bantam/<name>, else $HOME/<fallback>/bantam/<name>.
 * mem_free it; NULL when there is no home or no memory. */
char *cli_user_path(const char *env, const char *fallback, const char *name);

/* Help on standard output; `command` NULL: the list of commands. */
void help_print(FILE *out, const Command *command);
/* Wraps `text` at `width` columns, lines after the first indented; words are never cut. */
void print_wrapped(FILE *out, const char *text, int indent, int column, int width);
/* "-c, --ctx N" into out; returns out. */
char *opt_synopsis(const OptRow *row, char *out, size_t size);

#endif
