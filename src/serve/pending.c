/* See pending.h. */
#include "serve/pending.h"

#include <string.h>

#include "base/mem.h"

typedef struct PendingToken {
    bt_token id;
    float logprob;
    size_t at, size; /* of its text, in `bytes` */
    int32_t n_top;   /* entries that follow and belong to it */
} PendingToken;

void pending_close(Pending *p)
{
    mem_free(p->list);
    mem_free(p->ids);
    buf_close(&p->bytes);
    *p = (Pending){0};
}

void pending_clear(Pending *p)
{
    p->n = p->n_ids = 0;
    buf_clear(&p->bytes);
}

void pending_id(Pending *p, bt_token id)
{
    if (p->n_ids == p->ids_capacity) {
        size_t capacity = p->ids_capacity * 2 + 8;
        bt_token *ids = mem_realloc(p->ids, capacity * sizeof *ids);
        p->failed |= !ids;
        if (!ids) return;
        p->ids = ids;
        p->ids_capacity = capacity;
    }
    p->ids[p->n_ids++] = id;
}

static void add(Pending *p, const bt_model *model, bt_token id, float logprob, int32_t n_top)
{
    char text[256];
    if (p->n == p->capacity) {
        size_t capacity = p->capacity * 2 + 8;
        PendingToken *list = mem_realloc(p->list, capacity * sizeof *list);
        p->failed |= !list;
        if (!list) return;
        p->list = list;
        p->capacity = capacity;
    }
    int64_t size = bt_model_token_text(model, id, true, text, sizeof text);
    if (size < 0) size = 0;
    if (size > (int64_t)sizeof text) size = sizeof text; /* longer ones are shown cut */
    p->list[p->n++] = (PendingToken){id, logprob, p->bytes.size, (size_t)size, n_top};
    buf_add(&p->bytes, text, (size_t)size);
    p->failed |= p->bytes.failed;
}

void pending_token(Pending *p, const bt_model *model, const SchedToken *token)
{
    add(p, model, token->id, token->logprob, token->n_top);
    for (int32_t i = 0; i < token->n_top; i++)
        add(p, model, token->top[i], token->top_logprob[i], 0);
}

bool pending_logprobs(const Pending *p, ApiLogprobs *out)
{
    *out = (ApiLogprobs){0};
    if (p->failed) return false;
    if (!p->n) return true;
    /* the tokens first, then all that were likeliest */
    ApiTokenProb *all = mem_alloc(p->n * sizeof *all);
    size_t n = 0, tops = 0;
    if (!all) return false;
    for (size_t i = 0; i < p->n; i += 1 + (size_t)p->list[i].n_top) n++;
    ApiTokenProb *top = all + n;
    for (size_t i = 0, at = 0; i < p->n; at++) {
        const PendingToken *t = &p->list[i++];
        all[at] = (ApiTokenProb){t->id,   t->logprob, p->bytes.data + t->at,
                                 t->size, top + tops, (size_t)t->n_top};
        for (int32_t k = 0; k < t->n_top; k++) {
            const PendingToken *o = &p->list[i++];
            top[tops++] =
                (ApiTokenProb){o->id, o->logprob, p->bytes.data + o->at, o->size, NULL, 0};
        }
    }
    *out = (ApiLogprobs){all, n};
    return true;
}

void pending_logprobs_free(ApiLogprobs *probs)
{
    ApiTokenProb *memory;
    memcpy(&memory, &probs->tokens, sizeof memory); /* made above, not const there */
    mem_free(memory);
    *probs = (ApiLogprobs){0};
}
