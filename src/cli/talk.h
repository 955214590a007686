/* One conversation with a model: keeps what the session holds, feeds only what is new, and lets
 * the model go on until it ends, a limit is met, or someone stops it. */
#ifndef CLI_TALK_H
#define CLI_TALK_H

#include "cli/cli.h"
#include "cli/model.h"

typedef struct Ids {
    bt_token *ids;
    size_t n, capacity;
} Ids;

bool ids_add(Ids *list, const bt_token *ids, size_t n); /* false: no memory */
void ids_close(Ids *list);

typedef enum TalkEnd {
    END_STOP,    /* the model ended its answer */
    END_LENGTH,  /* the limit of tokens */
    END_CONTEXT, /* the context is full */
    END_STOPPED, /* Ctrl-C */
    END_CLOSED,  /* nobody reads standard output any more */
    END_FAILED,  /* a message was printed */
} TalkEnd;
const char *talk_end_name(TalkEnd end); /* "stop", "length", ... */

typedef struct Talk {
    const Cli *cli;
    CliModel *m;
    bt_session *session;
    bt_sampler_options sampling;
    bt_grammar *grammar; /* what each answer is held to; NULL: nothing */
    int64_t max_tokens;  /* -1: no limit */
    bool context_shift;
    bool show_special;
    int32_t keep; /* tokens at the start that a context shift leaves alone */
    /* Given each piece of text; false ends the answer (END_CLOSED). */
    bool (*show)(void *user, const char *piece, size_t n);
    /* In place of `show`, where `answer` says how answers are taken apart. */
    const bt_answer_options *answer;
    bool (*event)(void *user, const bt_answer_event *event);
    void *user;

    Ids held; /* the tokens in the session, in order */

    /* Of the last answer: */
    uint64_t seed;
    size_t n_prompt, n_cached, n_answer;
    bool complete; /* by the grammar */
    double prompt_s, decode_s, first_token_s;
} Talk;

/* Reads `prompt` (the whole conversation) and shows the answer. */
TalkEnd talk_answer(Talk *t, const bt_token *prompt, size_t n);
void talk_close(Talk *t); /* the session and the model are the caller's */

#endif
