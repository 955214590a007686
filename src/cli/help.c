/* --help of the program and of each command, from the tables; 80 columns. */
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"

#define WIDTH      80
#define OPT_COLUMN 30 /* where the help of an option starts */

void print_wrapped(FILE *out, const char *text, int indent, int column, int width)
{
    while (*text) {
        size_t gap = strspn(text, " "), n = strcspn(text + gap, " \n");
        bool first = column <= indent;
        if (!first && column + (int)gap + (int)n > width) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        if (!first) column += fprintf(out, "%*s", (int)gap, "");
        fwrite(text + gap, 1, n, out);
        column += (int)n;
        text += gap + n;
        if (*text == '\n') {
            fprintf(out, "\n%*s", *++text ? indent : 0, "");
            column = indent;
        }
    }
    fputc('\n', out);
}

char *opt_synopsis(const OptRow *row, char *out, size_t size)
{
    char letter[6] = "    ";
    const char *value = row->value;
    if (row->letter) snprintf(letter, sizeof letter, "-%c, ", row->letter);
    snprintf(out, size, "%s--%s%s%s", letter, row->name, value ? " " : "", value ? value : "");
    return out;
}

static void print_option(FILE *out, const OptRow *row)
{
    char line[96], help[256];
    int column = fprintf(out, "  %s", opt_synopsis(row, line, sizeof line));
    if (column >= OPT_COLUMN - 1) {
        fputc('\n', out);
        column = 0;
    }
    fprintf(out, "%*s", OPT_COLUMN - column, "");
    int n = snprintf(help, sizeof help, "%s", row->help);
    if (row->def && !strstr(row->help, "default"))
        snprintf(help + n, sizeof help - (size_t)n, " (%s)", row->def);
    print_wrapped(out, help, OPT_COLUMN, OPT_COLUMN, WIDTH);
}

static const struct {
    const char *title;
    int scopes;
} groups[] = {
    {"Options", ~(S_ANY | S_MODEL | S_SESSION | S_SAMPLE)},
    {"Sampling", S_SAMPLE},
    {"Context", S_SESSION},
    {"Model and machine", S_MODEL},
    {"Everywhere", S_ANY},
};

static void print_options(FILE *out, const Command *command)
{
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
        bool titled = false;
        for (int i = 0; i < OPT_COUNT_; i++) {
            const OptRow *row = &opt_rows[i];
            int shared = row->scope & command->scopes;
            if (!shared) continue;
            size_t mine = 0; /* the first group that shares a scope with the row */
            while (!(shared & groups[mine].scopes)) mine++;
            if (mine != g) continue;
            if (!titled) fprintf(out, "\n%s:\n", groups[g].title);
            titled = true;
            print_option(out, row);
        }
    }
}

static void print_command(FILE *out, const Command *c)
{
    fprintf(out, "Usage: bantam %s%s%s [OPTIONS]\n\n", c->name, *c->arguments ? " " : "",
            c->arguments);
    print_wrapped(out, c->text, 0, 0, WIDTH);
    print_options(out, c);
    fputs("\nExamples:\n", out);
    for (const char *line = c->examples; line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        fprintf(out, "  %.*s\n", (int)strcspn(line, "\n"), line);
    }
}

void help_print(FILE *out, const Command *command)
{
    if (command) {
        print_command(out, command);
        return;
    }
    fprintf(out,
            "bantam %s: small language models on the machine you own\n\n"
            "Usage: bantam COMMAND [MODEL] [OPTIONS]\n\n",
            bt_version());
    for (size_t i = 0; i < n_commands; i++)
        if (!(commands[i].scopes & S_ASIDE))
            fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "  %-12s", "also");
    const char *between = " ";
    int column = 14;
    for (size_t i = 0; i < n_commands; i++) {
        if (!(commands[i].scopes & S_ASIDE)) continue;
        if (column + (int)strlen(commands[i].name) + 3 > WIDTH) {
            fprintf(out, ",\n%*s", 14, "");
            column = 14;
            between = " ";
        }
        column += fprintf(out, "%s%s", between, commands[i].name);
        between = ", ";
    }
    fputs("\n\nMODEL is a GGUF file or a name that 'bantam list' shows. 'bantam COMMAND --help'\n"
          "shows a command's options. Exit codes: 0 good, 1 failed, 2 wrong usage.\n",
          out);
}

int cmd_help(Cli *cli)
{
    const Opts *o = &cli->opts;
    if (o->n_args > 1) return cli_usage(cli, "one command at a time");
    const Command *command = o->n_args ? command_find(o->args[0]) : NULL;
    if (o->n_args && !command)
        return cli_usage(cli, "'%s' is no command; 'bantam help' lists them", o->args[0]);
    help_print(stdout, command);
    return CLI_GOOD;
}
