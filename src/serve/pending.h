/* Tokens of an answer that nothing was shown of yet: their log-probabilities and ids go out with
 * the text that they become. */
#ifndef SERVE_PENDING_H
#define SERVE_PENDING_H

#include "engine/sched.h"
#include "serve/reply.h"

typedef struct Pending {
    struct PendingToken *list; /* tokens, each followed by its likeliest */
    size_t n, capacity;
    Buf bytes; /* their texts */
    bt_token *ids;
    size_t n_ids, ids_capacity;
    bool failed; /* no memory: sticks */
} Pending;

void pending_close(Pending *p);
void pending_clear(Pending *p);
void pending_id(Pending *p, bt_token id);
void pending_token(Pending *p, const bt_model *model, const SchedToken *token);
/* As the reply takes them; pending_logprobs_free it. False: no memory. */
bool pending_logprobs(const Pending *p, ApiLogprobs *out);
void pending_logprobs_free(ApiLogprobs *probs);

#endif
