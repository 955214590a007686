/* The parser of the command line, the environment and the configuration file (see opts.h). It
 * refuses what it does not know, names what was probably meant, and never guesses: no
 * abbreviations, no value outside its row's bounds. */
#include "cli/opts.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bantam/bantam.h"
#include "base/checked.h"
#include "base/mem.h"

static bool wrong(Opts *o, const char *format, ...) BT_PRINTF(2, 3);

static bool wrong(Opts *o, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(o->error, sizeof o->error, format, args);
    va_end(args);
    return false;
}

static const char *nearest_option(const Command *command, const char *word)
{
    const char *names[OPT_COUNT_];
    for (int i = 0; i < OPT_COUNT_; i++)
        names[i] = command_has(command, (OptId)i) ? opt_rows[i].name : NULL;
    return nearest_name(word, names, OPT_COUNT_);
}

/* ---- values ---- */

static bool read_flag(const char *text, int64_t *out)
{
    static const char *const words[] = {"no", "yes", "off", "on", "false", "true", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = (int64_t)(i & 1);
            return true;
        }
    }
    return false;
}

static bool read_count(const char *text, uint64_t *out)
{
    if (!isdigit((unsigned char)*text)) return false;
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno || *end) return false;
    *out = n;
    return true;
}

/* The digits after a point, in units of 2^-shift, rounded down; the text after them. */
static const char *read_fraction(const char *text, uint64_t *above, uint64_t *below)
{
    *above = 0;
    *below = 1;
    for (; isdigit((unsigned char)*text); text++) {
        if (*below >= 1000000000) continue; /* a billionth of the unit is exact enough */
        *above = *above * 10 + (uint64_t)(*text - '0');
        *below *= 10;
    }
    return text;
}

bool opts_size(const char *text, uint64_t *out)
{
    static const char units[] = "KMGT";
    if (!isdigit((unsigned char)*text)) return false;
    char *whole_end;
    errno = 0;
    unsigned long long n = strtoull(text, &whole_end, 10);
    if (errno) return false;
    const char *end = whole_end;
    uint64_t above = 0, below = 1;
    if (*end == '.') {
        if (!isdigit((unsigned char)end[1])) return false;
        end = read_fraction(end + 1, &above, &below);
    }
    int shift = 0;
    if (*end) {
        const char *unit = strchr(units, toupper((unsigned char)*end));
        if (!unit) return false;
        shift = 10 * (int)(unit - units + 1);
        end++;
        if (!strcasecmp(end, "b") || !strcasecmp(end, "ib")) end += strlen(end);
    }
    if (*end || (shift && n >> (64 - shift)) || (!shift && below > 1)) return false;
    /* above < below <= 10^9 < 2^30: split so that nothing overflows */
    uint64_t high = shift > 30 ? shift - 30 : 0, low = (uint64_t)shift - high;
    uint64_t scaled = (above << low) / below << high;
    if (high) scaled += (((above << low) % below) << high) / below;
    return ck_add((uint64_t)n << shift, scaled, out);
}

static bool is_choice(const char *words, const char *text)
{
    size_t n = strlen(text);
    for (const char *p = words; p; p = strchr(p, '|')) {
        if (*p == '|') p++;
        if (n && strcspn(p, "|") == n && memcmp(p, text, n) == 0) return true;
    }
    return false;
}

static bool append(Opts *o, const char ***list, size_t *n, const char *text)
{
    const char **grown = mem_realloc((void *)*list, (*n + 1) * sizeof *grown);
    if (!grown) return wrong(o, "not enough memory for the arguments");
    grown[(*n)++] = text;
    *list = grown;
    return true;
}

/* Sets a value; `where` is what the message calls the option ("--temp", "BANTAM_TEMP"). */
static bool set(Opts *o, OptId id, OptSource source, const char *where, const char *text)
{
    const OptRow *row = &opt_rows[id];
    OptValue *v = &o->value[id];
    bool bounded = row->low != 0 || row->high != 0;
    char *end;

    switch (row->type) {
    case TYPE_FLAG:
        if (!read_flag(text, &v->number))
            return wrong(o, "%s: '%s' is neither yes nor no", where, text);
        break;
    case TYPE_INT:
        errno = 0;
        v->number = strtoll(text, &end, 10);
        if (end == text || *end) return wrong(o, "%s: '%s' is no whole number", where, text);
        if (errno || (bounded && ((double)v->number < row->low || (double)v->number > row->high)))
            return wrong(o, "%s: %s is outside %.0f to %.0f", where, text, row->low, row->high);
        break;
    case TYPE_REAL:
        v->real = strtod(text, &end);
        if (end == text || *end || !isfinite(v->real))
            return wrong(o, "%s: '%s' is no number", where, text);
        if (bounded && (v->real < row->low || v->real > row->high))
            return wrong(o, "%s: %s is outside %g to %g", where, text, row->low, row->high);
        break;
    case TYPE_COUNT:
        if (!read_count(text, &v->count) || v->count > INT64_MAX)
            return wrong(o, "%s: '%s' is no whole number from 0 to 2^63 - 1", where, text);
        break;
    case TYPE_BYTES:
        if (!opts_size(text, &v->count))
            return wrong(o, "%s: '%s' is no size; write it as 800M, 2.5G or 6GB", where, text);
        break;
    case TYPE_CHOICE:
        if (!is_choice(row->value, text))
            return wrong(o, "%s: '%s' is none of %s", where, text, row->value);
        break;
    case TYPE_TEXT: break;
    case TYPE_PATH:
        if (!*text) return wrong(o, "%s: needs a name, not an empty text", where);
        break;
    case TYPE_LIST:
        if (!append(o, &v->list, &v->n, text)) return false;
        break;
    }
    v->text = text;
    v->source = source;
    return true;
}

/* ---- command line ---- */

static bool find_option(const Command *command, const char *name, size_t length, OptId *out)
{
    for (int i = 0; i < OPT_COUNT_; i++) {
        const char *n = opt_rows[i].name;
        if (command_has(command, (OptId)i) && strlen(n) == length && memcmp(n, name, length) == 0) {
            *out = (OptId)i;
            return true;
        }
    }
    return false;
}

/* "--name", "--name=value", "--name value". */
static bool long_option(Opts *o, int argc, char *const *argv, int *i)
{
    const char *word = argv[*i] + 2, *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    char name[64], where[68];
    OptId id;
    snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), word);
    if (!find_option(o->command, word, length, &id)) {
        const char *near = nearest_option(o->command, name);
        if (near) return wrong(o, "unknown option --%s; did you mean --%s?", name, near);
        return wrong(o, "unknown option --%s; 'bantam %s --help' lists them", name,
                     o->command->name);
    }
    snprintf(where, sizeof where, "--%s", name);
    const char *text = equals ? equals + 1 : NULL;
    if (opt_rows[id].type == TYPE_FLAG) {
        if (!text) text = "yes";
    } else if (!text) {
        if (*i + 1 >= argc) return wrong(o, "%s needs a value: %s", where, opt_rows[id].value);
        text = argv[++*i];
    }
    return set(o, id, FROM_LINE, where, text);
}

/* "-x", "-xy" (flags), "-x value", "-xvalue". */
static bool short_options(Opts *o, int argc, char *const *argv, int *i)
{
    for (const char *p = argv[*i] + 1; *p; p++) {
        int id = 0;
        char where[3] = {'-', *p, 0};
        while (id < OPT_COUNT_ &&
               (opt_rows[id].letter != *p || !command_has(o->command, (OptId)id)))
            id++;
        if (id == OPT_COUNT_)
            return wrong(o, "unknown option %.8s; 'bantam %s --help' lists them",
                         (unsigned char)*p < 0x80 ? where : argv[*i], o->command->name);
        if (opt_rows[id].type == TYPE_FLAG) {
            if (!set(o, (OptId)id, FROM_LINE, where, "yes")) return false;
            continue;
        }
        const char *text = p + 1;
        if (!*text) {
            if (*i + 1 >= argc) return wrong(o, "%s needs a value: %s", where, opt_rows[id].value);
            text = argv[++*i];
        }
        return set(o, (OptId)id, FROM_LINE, where, text);
    }
    return true;
}

bool opts_line(Opts *o, const Command *command, int argc, char *const *argv)
{
    *o = (Opts){.command = command};
    bool only_args = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!only_args && strcmp(word, "--") == 0) {
            only_args = true;
        } else if (!only_args && word[0] == '-' && word[1] == '-') {
            if (!long_option(o, argc, argv, &i)) return false;
        } else if (!only_args && word[0] == '-' && word[1]) {
            if (!short_options(o, argc, argv, &i)) return false;
        } else if (!append(o, &o->args, &o->n_args, word)) {
            return false;
        }
    }
    if (command_takes_model(command) && o->value[OPT_MODEL].source == FROM_NOTHING && o->n_args) {
        if (!set(o, OPT_MODEL, FROM_LINE, "MODEL", o->args[0])) return false;
        memmove((void *)o->args, (void *)(o->args + 1), --o->n_args * sizeof *o->args);
    }
    return true;
}

/* ---- environment, configuration, defaults ---- */

bool opts_env(Opts *o, const char *(*get)(const char *name))
{
    for (int i = 0; i < OPT_COUNT_; i++) {
        const OptRow *row = &opt_rows[i];
        if (!row->env || o->value[i].source != FROM_NOTHING || !command_has(o->command, (OptId)i))
            continue;
        const char *text = get(row->env);
        if (!text || !*text) continue; /* set but empty: as if unset */
        if (!set(o, (OptId)i, FROM_ENV, row->env, text)) return false;
    }
    return true;
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text)) text++;
    size_t n = strlen(text);
    while (n && isspace((unsigned char)text[n - 1])) text[--n] = '\0';
    return text;
}

static bool config_key(Opts *o, const char *where, bool mine, char *key, char *value)
{
    const char *names[OPT_COUNT_];
    bool known = false;
    size_t n = strlen(value);
    if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
        value[n - 1] = '\0';
        value++;
    }
    for (int i = 0; i < OPT_COUNT_; i++) {
        names[i] = opt_rows[i].key;
        if (!names[i] || strcmp(names[i], key) != 0) continue;
        known = true;
        OptValue *v = &o->value[i];
        bool unset = v->source == FROM_NOTHING || v->source == FROM_CONFIG;
        if (!mine || !unset || !command_has(o->command, (OptId)i)) continue;
        char name[400];
        snprintf(name, sizeof name, "%s: %s", where, key);
        if (!set(o, (OptId)i, FROM_CONFIG, name, value)) return false;
    }
    if (known) return true;
    const char *near = nearest_name(key, names, OPT_COUNT_);
    if (near) return wrong(o, "%s: unknown key '%.60s'; did you mean '%s'?", where, key, near);
    return wrong(o, "%s: unknown key '%.60s'", where, key);
}

/* A later line wins over an earlier one, so a section, which comes after the lines for every
 * command, overrides them. Lists collect. */
bool opts_config(Opts *o, const char *name, char *text)
{
    bool mine = true; /* lines before the first section are for every command */
    int line_number = 0;
    char where[320];
    for (char *next, *line = text; line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = '\0';
        snprintf(where, sizeof where, "%.250s:%d", name, ++line_number);
        line = trim(line);
        if (!*line || *line == '#') continue;
        if (*line == '[') {
            size_t n = strlen(line);
            if (line[n - 1] != ']') return wrong(o, "%s: a section needs its ']'", where);
            line[n - 1] = '\0';
            line = trim(line + 1);
            if (!command_find(line))
                return wrong(o, "%s: section [%.60s] is no command", where, line);
            mine = strcmp(line, o->command->name) == 0;
            continue;
        }
        char *equals = strchr(line, '=');
        if (!equals) return wrong(o, "%s: expected 'key = value'", where);
        *equals = '\0';
        if (!config_key(o, where, mine, trim(line), trim(equals + 1))) return false;
    }
    return true;
}

bool opts_defaults(Opts *o)
{
    for (int i = 0; i < OPT_COUNT_; i++) {
        const OptRow *row = &opt_rows[i];
        if (!row->def || o->value[i].source != FROM_NOTHING) continue;
        if (!set(o, (OptId)i, FROM_DEFAULT, row->name, row->def)) return false;
    }
    return true;
}

void opts_close(Opts *o)
{
    for (int i = 0; i < OPT_COUNT_; i++) {
        mem_free((void *)o->value[i].list);
        o->value[i].list = NULL;
        o->value[i].n = 0;
    }
    mem_free((void *)o->args);
    o->args = NULL;
    o->n_args = 0;
}
