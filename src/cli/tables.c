/* The tables of opts.def and commands.def made into arrays, and the name that a mistyped word most
 * likely meant (see opts.h). */
#include <string.h>

#include "cli/commands.h"
#include "cli/opts.h"

const OptRow opt_rows[OPT_COUNT_] = {
#define OPT(id, scope, name, letter, type, def, low, high, env, key, value, help)                  \
    [OPT_##id] = {scope, name, letter, TYPE_##type, def, low, high, env, key, value, help},
#include "cli/opts.def"
#undef OPT
};

const Command commands[] = {
#define COMMAND(name, scopes, arguments, summary, text, examples)                                  \
    {#name, (scopes) | S_ANY, arguments, summary, text, examples, cmd_##name},
#include "cli/commands.def"
#undef COMMAND
};
const size_t n_commands = sizeof commands / sizeof commands[0];

const Command *command_find(const char *name)
{
    for (size_t i = 0; i < n_commands; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    return NULL;
}

bool command_takes_model(const Command *command)
{
    const char *a = command->arguments;
    return strncmp(a, "MODEL", 5) == 0 || strncmp(a, "[MODEL", 6) == 0;
}

bool command_has(const Command *command, OptId id)
{
    return (opt_rows[id].scope & command->scopes) != 0;
}

/* Edits (insert, delete, replace, swap neighbours) that turn a into b; long words are far. */
static size_t distance(const char *a, const char *b)
{
    enum { MOST = 40 };
    size_t d[MOST + 1][MOST + 1], n = strlen(a), m = strlen(b);
    if (n > MOST || m > MOST) return MOST;
    for (size_t i = 0; i <= n; i++) {
        for (size_t j = 0; j <= m; j++) {
            if (!i || !j) {
                d[i][j] = i + j;
                continue;
            }
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

const char *nearest_name(const char *word, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t length = strlen(word), least = length < 3 ? 2 : length / 3 + 2;
    for (size_t i = 0; i < n; i++) {
        if (!names[i]) continue;
        size_t d = distance(word, names[i]);
        /* A word cut short, or one that runs on, is nearer than its letters say. */
        size_t shorter = strlen(names[i]) < length ? strlen(names[i]) : length;
        if (shorter >= 3 && strncmp(word, names[i], shorter) == 0 && d > 1) d = 1;
        if (d < least) {
            least = d;
            best = names[i];
        }
    }
    return best;
}
