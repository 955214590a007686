/* A model that is the assistant (docs/assistant.md) in `bantam run`: its calls are carried out and
 * answered in words, and what is due rings while a chat is open. Where the program was built
 * without SQLite there is no assistant, and a model that needs one is refused with that sentence.
 */
#ifndef CLI_ASSISTANT_H
#define CLI_ASSISTANT_H

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/line_input.h"

typedef struct Assistant Assistant;

/* $XDG_DATA_HOME/bantam/assistant, made if it is not there: what the sandbox must grant for
 * writing. Reads the time zone too. mem_free it. NULL: there is no home, or it cannot be made (then
 * the assistant says why when it is needed). */
char *assistant_folder(void);
/* Whether the model's file says that it is one. */
bool assistant_is(const bt_model *model);
/* Opens what is kept in `folder` (NULL: there is none). Where that cannot be read, what keeps
 * nothing is answered all the same. n_models: how many the machine has, -1: not known. CLI_GOOD, or
 * an exit code after a message. */
int assistant_open(const Cli *cli, const char *folder, int n_models, Assistant **out);
/* What was typed as the model is to see it: a line of UTF-8 without control characters, appended.
 * False after a message: it is more than such a model takes in, or in another script. */
bool assistant_hears(const char *text, Buf *out);
/* Says that an answer made no sense. */
int assistant_lost(void);
/* Tokens of an answer at most: calls are short. */
#define ASSISTANT_TOKENS 256
void assistant_close(Assistant **assistant);
/* Into `out` (cleared first): the tools that its calls are held to, a JSON array, bound to what the
 * user said in the conversation (text/copied.h). False after a message. */
bool assistant_bind(const bt_message *messages, size_t n, Buf *out);

/* Carries out `calls` (as the OpenAI API has them) in order, `heard` being what the user said last;
 * each answer is appended to `answers`,
 * lines with their breaks, and outcomes[i] is what the model is to be told. False after a message:
 * what is kept could not be read or written; the outcomes from there on are "failed". */
bool assistant_answer(Assistant *a, const char *heard, const json_t *calls, Buf *answers,
                      const char **outcomes);

/* What is due is told on standard error, and with `faults` why nothing can be told. */
void assistant_due(Assistant *a, bool faults);
/* From now on it rings, with a bell, while `input` waits for a line. NULL: no longer. */
void assistant_ring(Assistant *a, LineInput *input);

#endif
