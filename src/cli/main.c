/* bantam: finds the command, reads its options from the line, the environment and the
 * configuration file, and runs it. Exit codes: 0 good, 1 failed, 2 wrong usage. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/hatchling.h"

#define CONFIG_MOST (1u << 20) /* bytes of a configuration file */

static const char *env_get(const char *name)
{
    return getenv(name);
}

static int print_version(void)
{
    printf("bantam %s\n", bt_version());
    return cli_flush();
}

/* The whole file, NUL-terminated; *out stays NULL when there is none and it need not be. */
static bool read_config(const char *path, bool required, char **out)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        if (!required && (errno == ENOENT || errno == ENOTDIR || errno == EACCES)) return true;
        cli_fail("%s: %s; give another with --config", path, strerror(errno));
        return false;
    }
    Buf text = {0};
    char part[4096];
    size_t n;
    while ((n = fread(part, 1, sizeof part, file)) > 0 && text.size <= CONFIG_MOST)
        buf_add(&text, part, n);
    bool bad =
        ferror(file) || text.size > CONFIG_MOST || (text.data && strlen(text.data) != text.size);
    fclose(file);
    if (bad) {
        cli_fail("%s: no configuration file (folder, binary or over %u bytes)", path, CONFIG_MOST);
        buf_close(&text);
        return false;
    }
    *out = buf_take(&text);
    return *out != NULL;
}

/* Everything but the command line; CLI_GOOD or an exit code. */
static int read_settings(Cli *cli)
{
    Opts *o = &cli->opts;
    if (!opts_env(o, env_get)) return cli_usage(cli, "%s", o->error);
    const char *given = opts_text(o, OPT_CONFIG);
    char *path = given ? mem_strdup(given) : cli_user_path("XDG_CONFIG_HOME", ".config", "config");
    if (path && !read_config(path, given != NULL, &cli->config_text)) {
        mem_free(path);
        return CLI_USAGE;
    }
    bool good = !cli->config_text || opts_config(o, path, cli->config_text);
    mem_free(path);
    if (!good || !opts_defaults(o)) return cli_usage(cli, "%s", o->error);
    cli->quiet = opts_flag(o, OPT_QUIET);
    cli->verbose = opts_flag(o, OPT_VERBOSE);
    const char *color = opts_text(o, OPT_COLOR), *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    cli->color =
        strcmp(color, "always") == 0 || (strcmp(color, "auto") == 0 && !(no_color && *no_color) &&
                                         isatty(2) && term && strcmp(term, "dumb") != 0);
    return CLI_GOOD;
}

static int unknown_command(const char *word)
{
    const char *names[64];
    size_t n = 0;
    for (; n < n_commands && n < 64; n++) names[n] = commands[n].name;
    const char *near = nearest_name(word, names, n);
    if (access(word, F_OK) == 0 && command_find("run"))
        fprintf(stderr, "bantam: '%s' is no command; did you mean 'bantam run %s'?\n", word, word);
    else if (near)
        fprintf(stderr, "bantam: '%s' is no command; did you mean '%s'?\n", word, near);
    else
        fprintf(stderr, "bantam: '%s' is no command; 'bantam help' lists them\n", word);
    return CLI_USAGE;
}

static int run_command(Cli *cli, int argc, char **argv)
{
    Opts *o = &cli->opts;
    bool good = opts_line(o, cli->command, argc, argv);
    if (opts_flag(o, OPT_HELP)) {
        help_print(stdout, cli->command);
        return cli_flush();
    }
    if (opts_flag(o, OPT_VERSION)) return print_version();
    if (!good) return cli_usage(cli, "%s", o->error);
    int code = read_settings(cli);
    if (code != CLI_GOOD) return code;
    code = cli->command->run(cli);
    int flushed = cli_flush();
    return code != CLI_GOOD ? code : flushed;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a reader that has gone is a failed write, not a death */
    signal(SIGXFSZ, SIG_IGN); /* so is a file that is not allowed to grow */
    setlocale(LC_CTYPE, "");
    hatchling_open();
    if (argc < 2) {
        help_print(stderr, NULL);
        return CLI_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) return print_version();
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        help_print(stdout, NULL);
        return cli_flush();
    }
    Cli cli = {.command = command_find(word)};
    if (!cli.command) return unknown_command(word);
    int code = run_command(&cli, argc - 2, argv + 2);
    opts_close(&cli.opts);
    mem_free(cli.config_text);
    return code;
}
