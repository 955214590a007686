/* `bantam man`: the manual page in roff (man macros), from the tables. Nothing in it is written
 * twice: commands, options, ranges, environment and configuration names are the rows'. */
#include <math.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"

/* Text with roff's own characters made plain; a line never starts with a control character. */
static void plain(const char *text, size_t n)
{
    bool start = true;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (start && (c == '.' || c == '\'')) fputs("\\&", stdout);
        start = c == '\n';
        if (c == '\\')
            fputs("\\e", stdout);
        else if (c == '-')
            fputs("\\-", stdout);
        else if (c == '\'')
            fputs("\\(aq", stdout);
        else if (c == '~')
            fputs("\\(ti", stdout);
        else
            putchar(c);
    }
}

static void text_line(const char *text)
{
    plain(text, strlen(text));
    putchar('\n');
}

static void option(const OptRow *row)
{
    fputs(".TP\n\\fB", stdout);
    if (row->letter) printf("\\-%c\\fR, \\fB", row->letter);
    fputs("\\-\\-", stdout);
    plain(row->name, strlen(row->name));
    fputs("\\fR", stdout);
    if (row->value) {
        fputs(" \\fI", stdout);
        plain(row->value, strlen(row->value));
        fputs("\\fR", stdout);
    }
    putchar('\n');
    plain(row->help, strlen(row->help));
    fputs(".\n", stdout);
    if (row->low != 0 || row->high != 0) {
        char range[80];
        snprintf(range, sizeof range, "From %.10g to %.10g.\n", row->low, row->high);
        plain(range, strlen(range));
    }
    if (row->def) {
        fputs("Default: ", stdout);
        plain(row->def, strlen(row->def));
        fputs(".\n", stdout);
    }
    if (row->env) {
        fputs("Environment: ", stdout);
        plain(row->env, strlen(row->env));
        fputs(".\n", stdout);
    }
    if (row->key) {
        fputs("Configuration: ", stdout);
        plain(row->key, strlen(row->key));
        fputs(".\n", stdout);
    }
}

/* Options that many commands share are told once, in a section of their own. */
static const struct {
    int scope;
    const char *title, *says;
} shared[] = {
    {S_SAMPLE, "SAMPLING OPTIONS", "sampling options"},
    {S_SESSION, "CONTEXT OPTIONS", "context options"},
    {S_MODEL, "MODEL OPTIONS", "model options"},
    {S_ANY, "COMMON OPTIONS", "common options"},
};
enum { N_SHARED = sizeof shared / sizeof shared[0] };

static int shared_scopes(void)
{
    int all = 0;
    for (int i = 0; i < N_SHARED; i++) all |= shared[i].scope;
    return all;
}

static void command(const Command *c)
{
    printf(".SS \"bantam %s ", c->name);
    plain(c->arguments, strlen(c->arguments));
    printf("\"\n");
    text_line(c->text);
    const char *comma = ".PP\nAlso takes the ";
    for (int i = 0; i < N_SHARED; i++) {
        if (!(c->scopes & shared[i].scope)) continue;
        printf("%s%s", comma, shared[i].says);
        comma = ", ";
    }
    printf(".\n");
    for (int i = 0; i < OPT_COUNT_; i++) {
        int both = opt_rows[i].scope & c->scopes;
        if (both && !(both & shared_scopes())) option(&opt_rows[i]);
    }
    fputs(".PP\nExamples:\n.PP\n.nf\n", stdout);
    for (const char *line = c->examples; line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        fputs("    ", stdout);
        plain(line, strcspn(line, "\n"));
        putchar('\n');
    }
    fputs(".fi\n", stdout);
}

static const char *const ending[] = {
    ".SH \"CONFIGURATION FILE\"\n",
    "Lines of the form \\fIkey = value\\fR in \\fI$XDG_CONFIG_HOME/bantam/config\\fR, else\n"
    "\\fI\\(ti/.config/bantam/config\\fR. Lines that start with # are comments. Keys before the\n"
    "first section hold for every command that knows them; a section \\fI[run]\\fR holds for\n"
    "that command alone and wins. Flags are yes or no.\n",
    ".PP\nThe command line wins over the environment, that over the configuration file, that over\n"
    "the default.\n",
    ".SH \"EXIT STATUS\"\n.TP\n0\nGood.\n.TP\n1\nFailed: one line on standard error says what\n"
    "went wrong and what to do.\n.TP\n2\nWrong usage: an option, its value or the configuration\n"
    "file.\n",
    ".SH FILES\n.TP\n\\fI\\(ti/.config/bantam/config\\fR\nSettings.\n.TP\n"
    "\\fI\\(ti/.cache/bantam\\fR\nPrepared weights; \\fBbantam cache\\fR lists and clears them.\n",
    ".SH ENVIRONMENT\nThe variables named with the options, and \\fBNO_COLOR\\fR (set: no "
    "colours).\n",
    ".SH PRIVACY\nWhat is typed is not stored unless \\fB\\-\\-save\\fR or \\fB/save\\fR asks for\n"
    "it. A model is read only after this program has given up the right to open sockets.\n",
};

int cmd_man(Cli *cli)
{
    if (cli->opts.n_args) return cli_usage(cli, "takes no arguments");
    printf(".TH BANTAM 1 \"\" \"bantam %s\" \"User Commands\"\n", bt_version());
    fputs(".SH NAME\nbantam \\- small language models on the machine you own\n"
          ".SH SYNOPSIS\n\\fBbantam\\fR \\fICOMMAND\\fR [\\fIMODEL\\fR] [\\fIOPTIONS\\fR]\n"
          ".SH DESCRIPTION\nRuns small language models from GGUF files, on this machine alone.\n"
          "\\fIMODEL\\fR is a file or a name that \\fBbantam list\\fR shows; every command that\n"
          "takes a model accepts it as the first argument or with \\fB\\-m\\fR. The product goes\n"
          "to standard output, all talk to standard error.\n",
          stdout);
    fputs(".SH COMMANDS\n", stdout);
    for (size_t i = 0; i < n_commands; i++) command(&commands[i]);
    for (int g = 0; g < N_SHARED; g++) {
        printf(".SH \"%s\"\n", shared[g].title);
        for (int i = 0; i < OPT_COUNT_; i++) {
            int first = 0; /* a row of two shared scopes is told once */
            while (first < N_SHARED && !(opt_rows[i].scope & shared[first].scope)) first++;
            if (first == g) option(&opt_rows[i]);
        }
    }
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++) fputs(ending[i], stdout);
    return CLI_GOOD;
}
