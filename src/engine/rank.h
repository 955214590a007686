/* Rerankers: models that say how well a document answers a query.
 *
 * Three kinds are known. Encoders with a head (cross-encoders) read both texts as a pair. Decoders
 * with a head are asked in the words of their template (key tokenizer.chat_template.rerank, else
 * those of Qwen3-Reranker) and judged by it. Qwen3-Rerankers that were converted as plain models
 * (general.name tells them) are asked the same, and their logits of "yes" and "no" are compared.
 * Scores lie between 0 and 1: the probability that the document answers the query. */
#ifndef ENGINE_RANK_H
#define ENGINE_RANK_H

#include "bantam/bantam.h"
#include "base/span.h"

typedef enum RankKind {
    RANK_NONE,
    RANK_PAIR,    /* both texts, a head */
    RANK_ASKED,   /* a template, a head */
    RANK_ANSWERED /* a template, logits: the session is one for logits */
} RankKind;

typedef struct Rank {
    RankKind kind;
    Span question;    /* with {query} and {document} */
    bool twice;       /* a pair has two separators between its texts */
    bt_token yes, no; /* RANK_ANSWERED */
} Rank;

/* What the model is; its texts are borrowed from it. */
Rank rank_of(const bt_model *model);
/* The ids of a pair: *ids (n) are the caller's, by mem_free. Texts are texts: what looks like a
 * control token in them is none. */
bt_status rank_ids(const bt_model *model, const Rank *rank, Span query, Span document,
                   bt_token **ids, size_t *n, bt_error *err);
/* The scores of n pairs, out (n). The session was opened for embeddings, but for RANK_ANSWERED.
 * BT_E_CONTEXT for a pair longer than its context. */
bt_status rank_scores(bt_session *session, const Rank *rank, const bt_ids *pairs, size_t n,
                      float *out, bt_error *err);

#endif
