/* What the two ways of `bantam run`, one answer and chat, share. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "base/buf.h"
#include "cli/assistant.h"
#include "cli/constraint.h"
#include "cli/model.h"
#include "cli/save.h"
#include "cli/talk.h"

typedef struct Run {
    Cli *cli;
    CliModel m;
    bt_session *session;
    Talk talk;
    Save *save;    /* NULL: nothing is stored */
    bt_chat *chat; /* NULL with --raw */
    Buf tools;     /* of --tools: a JSON array, or empty */
    Buf jinja;     /* of --template FILE, or empty */
    char *prompt;  /* bt_free: text of the last ids_of_messages, or NULL */
    bt_answer_options answer;
    bt_grammar *calls; /* of --tools, unless another constraint was asked for */
    Buf bound;         /* the assistant's tools, bound to what was said */
    Constraint constraint;
    int answer_tokens;    /* of the assistant's answers at most; 0: as asked */
    int n_others;         /* models here, where the one in the program was chosen; else -1 */
    char *folder;         /* of what the assistant keeps */
    Assistant *assistant; /* NULL: the model is none */
} Run;

/* What --template and --tools name, read before the sandbox. CLI_GOOD, or an exit code after a
 * message. */
int run_read(Run *r);
/* Opens the chat template, once the model is; says what --think cannot do. */
int run_open_chat(Run *r);

/* Prints what holds here: model, context and why, threads, sandbox. */
void run_describe(const Run *r);
/* Chats until the user ends it; gives the exit code. `input` was opened before the sandbox. */
struct LineInput;
int chat(Run *r, struct LineInput *input);
/* How a text that is measured on is cut: --special, and BOS where the model wants one. */
unsigned text_flags(const Cli *cli, const bt_model_info *info);
/* Ids of text (flags as bt_model_tokenize) or of messages; false after a message. */
bool ids_of_text(const CliModel *m, const char *text, size_t n, unsigned flags, Ids *out);
bool ids_of_messages(Run *r, const bt_message *messages, size_t n, Ids *out);
/* Tells the talk how the answer to the last ids_of_messages is taken apart (with --raw it is not),
 * and holds its calls to the tools, of the assistant to what the user said in `messages` too. False
 * after a message. */
bool run_answer(Run *r, const bt_message *messages, size_t n);
/* Ids written as "1, 2 3", appended; false after a message. */
bool ids_parse(const char *text, Ids *out);
/* All inside the vocabulary; false after a message. */
bool ids_check(const CliModel *m, const Ids *ids);

#endif
