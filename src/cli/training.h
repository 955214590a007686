/* What the commands that train share: the options of a run's course, lines of progress, Ctrl-C, and
 * what is told at the end. */
#ifndef CLI_TRAINING_H
#define CLI_TRAINING_H

#include "cli/model.h"

typedef struct Training {
    Cli *cli;
    CliModel box; /* of the sandbox */
    Progress progress;
    double told;
    bool line;         /* one is drawn on the terminal */
    const char **data; /* (n_data): --data, then what else stands on the line */
    size_t n_data;
    char *out_folder, *folder; /* of the file that is written; of the run, which is made */
    bt_train_options options;  /* of the course; the command adds model, out and type */
} Training;

/* Reads the rows of S_COURSE for the file `out`, which borrows from the line. `first`: how many
 * arguments are not data. CLI_GOOD, or an exit code after a message. */
int training_open(Cli *cli, const char *out, size_t first, Training *t);
/* Makes the run's folder, enters the sandbox: wish->reads and wish->other are the command's, the
 * rest is filled in. */
int training_box(Training *t, ModelWish *wish, const char *model);
/* Around the run: talk of the library, progress. */
void training_begin(Training *t);
/* CLI_GOOD, or CLI_FAILED after a message that says how to go on. */
int training_end(Training *t, bt_status status, int64_t step, const bt_error *err);
/* bt_train with t->options into the file `out` of any type that training_type knows, and what came
 * of it printed (cmd_train.c). */
int training_run(Training *t, const char *out, const char *type);
/* True, or false after a message: a type that a trained model can be written in. */
bool training_type(Cli *cli, const char *type);
/* The result, as text or JSON. */
int training_print(Training *t, const bt_train_result *result, const char *path);
void training_close(Training *t);

#endif
