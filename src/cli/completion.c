/* `bantam completion`: scripts for bash, zsh and fish, printed from the tables. A script holds
 * words only and runs nothing of ours, so that pressing Tab never starts a program. */
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"

static void each_choice(const char *words, void (*print)(const char *word, int n))
{
    for (const char *p = words; *p;) {
        int n = (int)strcspn(p, "|");
        print(p, n);
        p += n + (p[n] == '|');
    }
}

static void print_spaced(const char *word, int n)
{
    printf("%.*s ", n, word);
}

/* Words a command takes as its first argument ("bash|zsh|fish"), or NULL. */
static const char *argument_words(const Command *c)
{
    return strchr(c->arguments, '|') && !strpbrk(c->arguments, "[ A") ? c->arguments : NULL;
}

static bool is_path(const OptRow *row)
{
    return row->type == TYPE_PATH || (row->value && strcmp(row->value, "FILE") == 0) ||
           (row->value && strcmp(row->value, "DIR") == 0);
}

/* ---- bash ---- */

static void bash_values(const Command *c)
{
    for (int i = 0; i < OPT_COUNT_; i++) {
        const OptRow *row = &opt_rows[i];
        if (!command_has(c, (OptId)i) || row->type == TYPE_FLAG) continue;
        printf("        %s:--%s", c->name, row->name);
        if (row->letter) printf("|%s:-%c", c->name, row->letter);
        if (row->type == TYPE_CHOICE) {
            printf(") COMPREPLY=($(compgen -W '");
            each_choice(row->value, print_spaced);
            printf("' -- \"$cur\")); return ;;\n");
        } else if (is_path(row)) {
            printf(") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n");
        } else {
            printf(") return ;;\n");
        }
    }
}

static void bash_script(void)
{
    printf("# bash completion for bantam, printed by 'bantam completion bash'\n"
           "_bantam()\n{\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
           "    local command=${COMP_WORDS[1]}\n"
           "    COMPREPLY=()\n"
           "    if ((COMP_CWORD == 1)); then\n"
           "        COMPREPLY=($(compgen -W '");
    for (size_t i = 0; i < n_commands; i++) printf("%s ", commands[i].name);
    printf("--help --version' -- \"$cur\"))\n"
           "        return\n"
           "    fi\n"
           "    case $command:$prev in\n");
    for (size_t i = 0; i < n_commands; i++) bash_values(&commands[i]);
    printf("    esac\n"
           "    local words=\n"
           "    case $command in\n");
    for (size_t i = 0; i < n_commands; i++) {
        const Command *c = &commands[i];
        const char *words = argument_words(c);
        printf("        %s) words='", c->name);
        for (int k = 0; k < OPT_COUNT_; k++)
            if (command_has(c, (OptId)k)) printf("--%s ", opt_rows[k].name);
        printf("'\n");
        if (words || strcmp(c->name, "help") == 0) {
            printf("           [[ $cur == -* ]] || words='");
            if (words) each_choice(words, print_spaced);
            for (size_t k = 0; !words && k < n_commands; k++) printf("%s ", commands[k].name);
            printf("'\n");
        }
        printf("           ;;\n");
    }
    printf("    esac\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
           "    [[ $cur == -* ]] || COMPREPLY+=($(compgen -f -- \"$cur\"))\n"
           "}\n"
           "complete -o filenames -F _bantam bantam\n");
}

/* ---- zsh ---- */

/* Text inside single quotes and, for _arguments, inside brackets. */
static void zsh_quoted(const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            printf("'\\''");
        else if (strchr("[]:\\", *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void zsh_option(const OptRow *row)
{
    const char *many = row->type == TYPE_LIST ? "*" : "";
    for (int pass = row->letter ? 0 : 1; pass < 2; pass++) {
        printf("                '%s", many);
        if (pass == 0)
            printf("-%c[", row->letter);
        else
            printf("--%s%s[", row->name, row->type == TYPE_FLAG ? "" : "=");
        zsh_quoted(row->help);
        printf("]");
        if (row->type == TYPE_CHOICE) {
            printf(":value:(");
            each_choice(row->value, print_spaced);
            printf(")");
        } else if (row->type != TYPE_FLAG) {
            printf(":%s:%s", row->value, is_path(row) ? "_files" : "");
        }
        printf("' \\\n");
    }
}

static void zsh_script(void)
{
    printf("#compdef bantam\n"
           "# zsh completion for bantam, printed by 'bantam completion zsh'\n"
           "_bantam()\n{\n"
           "    local -a commands=(\n");
    for (size_t i = 0; i < n_commands; i++) {
        printf("        '%s:", commands[i].name);
        zsh_quoted(commands[i].summary);
        printf("'\n");
    }
    printf("    )\n"
           "    if ((CURRENT == 2)); then\n"
           "        _describe command commands\n"
           "        return\n"
           "    fi\n"
           "    local command=$words[2]\n"
           "    shift words; ((CURRENT--))\n"
           "    case $command in\n");
    for (size_t i = 0; i < n_commands; i++) {
        const Command *c = &commands[i];
        const char *words = argument_words(c);
        printf("        %s)\n            _arguments \\\n", c->name);
        for (int k = 0; k < OPT_COUNT_; k++)
            if (command_has(c, (OptId)k)) zsh_option(&opt_rows[k]);
        printf("                '*:argument:");
        if (words) {
            printf("(");
            each_choice(words, print_spaced);
            printf(")");
        } else if (strcmp(c->name, "help") == 0) {
            printf("(${(o)commands%%%%:*})");
        } else {
            printf("_files");
        }
        printf("' ;;\n");
    }
    printf("    esac\n}\n_bantam \"$@\"\n");
}

/* ---- fish ---- */

static void fish_quoted(const char *text)
{
    putchar('\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\') putchar('\\');
        putchar(*text);
    }
    putchar('\'');
}

static void fish_option(const Command *c, const OptRow *row)
{
    printf("complete -c bantam -n '__fish_seen_subcommand_from %s' -l %s", c->name, row->name);
    if (row->letter) printf(" -s %c", row->letter);
    if (row->type == TYPE_CHOICE) {
        printf(" -x -a '");
        each_choice(row->value, print_spaced);
        printf("'");
    } else if (row->type != TYPE_FLAG) {
        printf(is_path(row) ? " -r" : " -x");
    }
    printf(" -d ");
    fish_quoted(row->help);
    putchar('\n');
}

static void fish_script(void)
{
    printf("# fish completion for bantam, printed by 'bantam completion fish'\n");
    for (size_t i = 0; i < n_commands; i++) {
        const Command *c = &commands[i];
        const char *words = argument_words(c);
        printf("complete -c bantam -n __fish_use_subcommand -f -a %s -d ", c->name);
        fish_quoted(c->summary);
        putchar('\n');
        if (words) {
            printf("complete -c bantam -n '__fish_seen_subcommand_from %s' -f -a '", c->name);
            each_choice(words, print_spaced);
            printf("'\n");
        }
        for (int k = 0; k < OPT_COUNT_; k++)
            if (command_has(c, (OptId)k)) fish_option(c, &opt_rows[k]);
    }
}

int cmd_completion(Cli *cli)
{
    const Opts *o = &cli->opts;
    const char *shell = o->n_args == 1 ? o->args[0] : "";
    if (strcmp(shell, "bash") == 0)
        bash_script();
    else if (strcmp(shell, "zsh") == 0)
        zsh_script();
    else if (strcmp(shell, "fish") == 0)
        fish_script();
    else
        return cli_usage(cli, "name one shell: bash, zsh or fish");
    return CLI_GOOD;
}
