/* Opening the model a command was given: the name found, the options read, the rights given up,
 * and only then the file read. */
#ifndef CLI_MODEL_H
#define CLI_MODEL_H

#include "base/sandbox.h"
#include "cli/adapters.h"
#include "cli/cli.h"
#include "cli/progress.h"

typedef struct CliModel {
    bt_model *model;
    bt_model_info info;
    char *path;
    char *cache_dir; /* NULL: no cache */
    int n_threads;
    char unusable[1024]; /* with or_vocab: why it cannot run, or "" */
    bool boxed;          /* the sandbox was entered */
    SandboxReport box;
    double load_s; /* until the session was there */
    Progress progress;
    CliAdapters adapters; /* sessions are given them */
} CliModel;

typedef struct ModelWish {
    bool vocab_only;       /* no weights */
    bool or_vocab;         /* no weights if they are not there or not understood: see `unusable` */
    const char *writes[2]; /* folders the command writes to; NULL: none */
    const char *reads[2];  /* files it reads besides the model; NULL: none */
    const char *other;     /* another model it reads; NULL: none */
    const char *const *data; /* n_data files and folders it learns from; NULL: none */
    size_t n_data;
    enum {
        BOX_WISHED, /* go on where a system has no sandbox */
        BOX_NEEDED, /* refuse to */
        BOX_REFUSED /* --no-sandbox was given */
    } box;
} ModelWish;

/* CLI_GOOD, or an exit code after a message. Enters the sandbox: what else the command reads or
 * opens must be open by then. */
int model_open(Cli *cli, const ModelWish *wish, CliModel *out);
void model_close(CliModel *m);
/* wish->other, once the first model is open: with its options, in its sandbox. */
int model_open_other(Cli *cli, const char *path, const CliModel *first, CliModel *out);
/* The sandbox by itself: the files of `model` (NULL: none) may be read, m->cache_dir and the
 * wish's folders written. */
int sandbox_as_run(Cli *cli, const ModelWish *wish, const char *model, CliModel *m);

/* Options of the session from the command's own; n_ctx and kv as given, 0 where not. */
bt_session_options session_options(const Cli *cli);
/* The same, of smaller steps where memory is short and nobody named --batch. */
bt_session_options session_options_lean(const Cli *cli);
/* The folder of sidecars, from --cache-dir or the user's own; mem_free it. NULL: none. */
char *cache_folder(const Cli *cli);
/* A session: this is where weights are prepared. On failure the message names the model. */
int session_open(CliModel *m, const bt_session_options *options, bt_session **out);

/* Prints what a call about this model said and gives CLI_FAILED. */
int model_fail(const CliModel *m, const bt_error *err);
/* The file of a model by its path or name; mem_free it. NULL after a message. */
char *model_named(const char *name);
/* The file of the model that was named (a path, or a name that `bantam list` shows); else for `run`
 * that in the program (hatchling.h), for others the only one there is. *path is mem_alloc'd. */
int model_find(Cli *cli, char **path);

/* "4.2 GB" style, powers of 1024, into out; returns out. */
char *bytes_text(uint64_t bytes, char out[32]);
/* The folder of a path ("." for a bare name); mem_free it. */
char *folder_of(const char *path);
/* CLI_GOOD where what folder_of gave is a folder, else a message and an exit code. To be asked
 * before the sandbox, inside which a folder that is missing looks like one that is forbidden. */
int folder_needed(const char *folder);
/* "seccomp, Landlock 7" or "none"; returns out. */
char *sandbox_text(const SandboxReport *report, char *out, size_t size);

#endif
