/* Tasks to measure a model by, read from JSON lines (docs/training.md has the form), and answers
 * judged. */
#ifndef TRAIN_TASKS_H
#define TRAIN_TASKS_H

#include <jansson.h>

#include "base/span.h"
#include "base/status.h"

#define TASKS_MOST 1000000

typedef enum TaskKind {
    TASK_EXACT,     /* the answer is one of `expect` */
    TASK_CHOICE,    /* of `choices` the likeliest is number `answer` */
    TASK_CALL,      /* the answer's calls are `calls`: all of them, with all arguments */
    TASK_PERPLEXITY /* how likely the text, or what the assistant says, is */
} TaskKind;

typedef struct Task {
    TaskKind kind;
    const char *id, *group; /* group may be NULL */
    const json_t *messages; /* array; NULL: `text` is the prompt, or for perplexity the text */
    const json_t *tools;    /* array or NULL */
    const json_t *variables;
    Span text;
    int64_t now;           /* the date for the template, seconds since 1970; 0: the clock's */
    const json_t *expect;  /* array of strings, at least one; CALL: or NULL */
    const json_t *choices; /* array of strings, at least two */
    int32_t answer;
    const json_t *calls; /* array of {name, arguments} */
    json_t *object;      /* of the line: holds all of these */
    uint64_t line;
} Task;

typedef struct Tasks {
    Task *items;
    size_t n, capacity;
} Tasks;

/* `name` is the file's, for messages. Every fault is told through the log with its line, the first
 * also in the message. BT_E_FORMAT, BT_E_MEMORY, BT_E_LIMIT. */
bt_status tasks_read(const char *name, Span text, Tasks *out, bt_error *err);
void tasks_close(Tasks *tasks);
const char *task_kind_name(TaskKind kind);

/* Calls made (an array of {name, arguments}) against those that were to be, in any order. Numbers
 * are equal where their values are. Functions named in by_name count by their name alone. */
bool task_calls_right(const json_t *want, const json_t *made, const char *const *by_name,
                      size_t n_by_name);
/* The same names, whatever the arguments. */
bool task_names_right(const json_t *want, const json_t *made);
/* The answer, but for white space at its ends, is one of the texts. */
bool task_text_right(const json_t *expect, Span answer);

#endif
