/* Options and commands as tables, and the one parser that reads them. The order of precedence is
 * command line, environment, configuration file, default. Pure: files, the environment and the
 * terminal are the caller's, so that tests hold every rule. */
#ifndef CLI_OPTS_H
#define CLI_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Cli Cli;

/* ---- tables ---- */

enum {
    S_ANY = 1 << 0,
    S_MODEL = 1 << 1,
    S_SESSION = 1 << 2,
    S_SAMPLE = 1 << 3,
    S_JSON = 1 << 4,
    S_RUN = 1 << 5,
    S_TOKENIZE = 1 << 6,
    S_DETOKENIZE = 1 << 7,
    S_LOGITS = 1 << 8,
    S_PERPLEXITY = 1 << 9,
    S_BENCH = 1 << 10,
    S_CACHE = 1 << 11,
    S_SELFCHECK = 1 << 12,
    S_CONVERT = 1 << 13,
    S_EMBED = 1 << 14,
    S_QUANTIZE = 1 << 15,
    S_IMATRIX = 1 << 17,
    S_COMPARE = 1 << 18,
    S_VOCAB = 1 << 19,
    S_EVAL = 1 << 20,
    S_DISTILL = 1 << 21,
    S_PRUNE = 1 << 30,
    S_DATA = 1 << 22, /* commands that learn from data */
    S_TRAIN = 1 << 23,
    S_ADAPT = 1 << 24,
    S_COURSE = 1 << 29, /* commands that train */
    S_DUE = 1 << 28,
    S_SERVE = 1 << 25,
    S_ADAPTER = 1 << 26, /* commands that run a model with adapters */
    S_MERGE = 1 << 27,
    S_ASIDE = 1 << 16, /* a command that the first help only names */
};

typedef enum OptId {
#define OPT(id, ...) OPT_##id,
#include "cli/opts.def"
#undef OPT
    OPT_COUNT_
} OptId;

typedef enum OptType {
    TYPE_FLAG,  /* on the command line --name or --name=no; elsewhere yes or no */
    TYPE_INT,   /* int64, bounded by the row */
    TYPE_COUNT, /* 0 to 2^63 - 1, so that JSON can carry it */
    TYPE_REAL,  /* finite double, bounded by the row */
    TYPE_BYTES, /* 1024 800M 2.5G 6GB */
    TYPE_TEXT,
    TYPE_PATH,
    TYPE_CHOICE, /* one of the words of `value` */
    TYPE_LIST,   /* text, may be repeated */
} OptType;

typedef struct OptRow {
    int scope;
    const char *name;
    char letter; /* 0: none */
    OptType type;
    const char *def; /* NULL: none */
    double low, high;
    const char *env, *key; /* NULL: none */
    const char *value;     /* NULL for a flag */
    const char *help;
} OptRow;

extern const OptRow opt_rows[OPT_COUNT_];

typedef struct Command {
    const char *name;
    int scopes; /* S_ANY included */
    const char *arguments, *summary, *text, *examples;
    int (*run)(Cli *cli); /* gives the exit code */
} Command;

extern const Command commands[];
extern const size_t n_commands;

const Command *command_find(const char *name);
/* True when the first argument of this command is a model. */
bool command_takes_model(const Command *command);
bool command_has(const Command *command, OptId id);

/* ---- values ---- */

typedef enum OptSource { FROM_NOTHING, FROM_DEFAULT, FROM_CONFIG, FROM_ENV, FROM_LINE } OptSource;

typedef struct OptValue {
    OptSource source;
    const char *text; /* as given; NULL: not set */
    int64_t number;   /* INT; FLAG: 0 or 1 */
    uint64_t count;   /* COUNT, BYTES */
    double real;
    size_t n; /* LIST */
    const char **list;
} OptValue;

typedef struct Opts {
    const Command *command;
    OptValue value[OPT_COUNT_];
    const char **args; /* what was no option; the model is not among them */
    size_t n_args;
    char error[512]; /* of the last call that returned false */
} Opts;

/* Reads argv[0, argc), what follows the command's name. False: `error` says why (exit code 2).
 * Texts are borrowed from argv. */
bool opts_line(Opts *opts, const Command *command, int argc, char *const *argv);
/* Fills what the line left unset. `get` is getenv or a test's own. */
bool opts_env(Opts *opts, const char *(*get)(const char *name));
/* Reads a configuration file's text, which must outlive the values and is cut up in place. `name`
 * is the file's, for messages. Call after opts_env. */
bool opts_config(Opts *opts, const char *name, char *text);
/* Last: defaults for what nobody set. */
bool opts_defaults(Opts *opts);
void opts_close(Opts *opts);

static inline bool opts_flag(const Opts *o, OptId id)
{
    return o->value[id].number != 0;
}
static inline int64_t opts_int(const Opts *o, OptId id)
{
    return o->value[id].number;
}
static inline double opts_real(const Opts *o, OptId id)
{
    return o->value[id].real;
}
static inline const char *opts_text(const Opts *o, OptId id) /* NULL: not set */
{
    return o->value[id].text;
}

/* "2048", "800M", "2.5G", "6GB", "6GiB" in bytes: units are powers of 1024, in any case, as they
 * are wherever the program prints a size. A fraction is rounded down to whole bytes. */
bool opts_size(const char *text, uint64_t *out);

/* The candidate (of n names, NULLs skipped) that `word` most likely meant, or NULL. */
const char *nearest_name(const char *word, const char *const *names, size_t n);

#endif
