/* What a model learns from: files and folders read as documents. A document is a text, a text whose
 * beginning is given (a prompt), or a conversation. JSON lines hold one document a line, in one of
 * the forms that docs/training.md lists, found by their keys; a JSON file may also be one array of
 * such objects; every other file is text. Nothing is kept: documents are handed on one by one.
 *
 * Refuses, naming file and line: what is no JSON, or of no known form; text that is not UTF-8. A
 * line that is refused is counted and reading goes on, so that all faults are told at once; the
 * whole then fails, unless `lenient`. */
#ifndef TRAIN_DATA_H
#define TRAIN_DATA_H

#include <jansson.h>

#include "base/span.h"
#include "base/status.h"

typedef enum DataKind {
    DATA_TEXT,
    DATA_PAIR, /* only what follows the prompt counts */
    DATA_CHAT
} DataKind;

typedef struct DataDoc {
    DataKind kind;
    Span prompt, text; /* TEXT: text; PAIR: both */
    /* CHAT: as of the OpenAI API. An assistant's message with "weight": 0 does not count, nor does
     * any before first_counted. */
    json_t *messages;
    json_t *tools;     /* array or NULL */
    json_t *variables; /* "chat_template_kwargs": more names for the template; object or NULL */
    size_t first_counted;
    const char *file; /* where it stands */
    uint64_t line;
} DataDoc;

/* Takes a document, which is gone afterwards. BT_E_FORMAT, BT_E_ARGUMENT and BT_E_UNSUPPORTED
 * refuse this one document; any other failure ends the reading. */
typedef bt_status (*DataSink)(void *user, const DataDoc *doc, bt_error *err);

typedef struct DataOptions {
    bool lenient; /* leave out what is refused */
    bt_progress_fn progress;
    void *progress_user;
} DataOptions;

typedef struct DataCount {
    uint64_t files, bytes, documents;
    uint64_t refused;
    char first_refused[512]; /* why, with file and line */
} DataCount;

/* Paths are files, or folders: all files in them, in the order of their names, however deep; names
 * that begin with a dot are left out. `count` may be NULL; it is filled also on failure. Each of
 * the first refusals is told through the log (BT_LOG_WARN). BT_E_FORMAT where something was
 * refused, BT_E_IO, BT_E_ARGUMENT (nothing there), BT_E_LIMIT, BT_E_MEMORY, BT_E_CANCELLED, and
 * what the sink gave. */
bt_status data_read(const char *const *paths, size_t n, const DataOptions *options, DataSink sink,
                    void *user, DataCount *count, bt_error *err);

/* ---- inside ---- */

/* Names of the files, one after another with a NUL behind each, in `names` (mem_free). */
bt_status data_files(const char *const *paths, size_t n, char **names, size_t *count,
                     bt_error *err);
/* The same of bytes in memory, as if a file of this name held them. */
bt_status data_read_bytes(const char *name, Span bytes, const DataOptions *options, DataSink sink,
                          void *user, DataCount *count, bt_error *err);
/* Fills kind and what belongs to it; `object` is changed (messages are made of other forms).
 * BT_E_FORMAT with what is wrong, BT_E_MEMORY. */
bt_status data_form(json_t *object, DataDoc *doc, bt_error *err);

#endif
