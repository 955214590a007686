/* A model at tasks: each is read, answered or scored, and judged. Answers are greedy; calls are
 * held to the tools' schemas unless that is switched off. One task after the other, and what a
 * prompt has in common with the one before is not read again. */
#ifndef TRAIN_EVALUATE_H
#define TRAIN_EVALUATE_H

#include "train/tasks.h"

typedef struct EvalOptions {
    int32_t n_ctx; /* of the session; 0: what the model was trained for, as memory allows */
    bt_kv_type kv;
    int32_t max_tokens; /* of an answer; 0: 512 */
    bool free_calls;    /* calls are held to no schema */
    const char *tools;  /* JSON array: what calls are held to where a task has no tools; they are
                         * not in the prompt. NULL: none */
    const char *jinja;  /* a chat template's text in place of the model's; NULL: the model's */
    bt_think think;
    const char *const *by_name; /* functions whose calls count by their name alone */
    size_t n_by_name;
    const bt_adapter_use *adapters; /* (n_adapters) that the model runs with */
    size_t n_adapters;
    bt_progress_fn progress;
    void *progress_user;
} EvalOptions;

typedef struct TaskResult {
    bool right;
    bool names;     /* CALL: the right functions, whatever the arguments */
    bool cut;       /* the answer reached its most tokens */
    char *answer;   /* what it says, mem_free; NULL: nothing was asked */
    json_t *calls;  /* of the answer: array of {name, arguments}; or NULL */
    int32_t chosen; /* CHOICE: the likeliest as a whole, and a byte */
    int32_t chosen_by_byte;
    double nll;      /* PERPLEXITY: sum of -log p of what counts */
    uint64_t tokens; /* of it; of others, tokens of the answer */
    double seconds;
    double first_token; /* seconds until the answer's first token */
} TaskResult;

/* results: one a task; results_close them also on failure. Fails with the task's id and the file's
 * line told. */
bt_status evaluate(bt_model *model, const Tasks *tasks, const EvalOptions *options,
                   TaskResult *results, bt_error *err);
void results_close(TaskResult *results, size_t n);

#endif
