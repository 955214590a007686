/* What it does to a model when some of its weights have other types: a variant of it is made in
 * memory, reads the same text, and its answers are held against the model's own. */
#ifndef QUANT_PROBE_H
#define QUANT_PROBE_H

#include "base/team.h"
#include "engine/model.h"
#include "quant/choose.h"
#include "quant/divergence.h"

/* The answers of a model to some windows of a text. */
typedef struct Answers {
    const bt_token *ids;
    int32_t n_ctx, n_vocab;
    size_t windows, n;
    float *logits; /* (n, n_vocab) */
} Answers;

/* Called after each window; false cancels. */
typedef struct ProbeTurn {
    bool (*done)(void *user);
    void *user;
} ProbeTurn;

/* Reads windows [first, first + windows) of n_ctx tokens and keeps the answers. */
bt_status answers_open(bt_model *model, const bt_token *ids, int32_t n_ctx, size_t windows,
                       const ProbeTurn *turn, Answers *out, bt_error *err);
void answers_close(Answers *a);
/* How far another model's answers are from these. */
bt_status answers_compare(const Answers *a, bt_model *other, const ProbeTurn *turn, Divergence *out,
                          bt_error *err);

/* The model of `base` with tensors of other types, as the choices (one a tensor) say. What does not
 * change lies in the base's maps: it must live longer. */
bt_status variant_open(const bt_model *base, const Choice *choices, Team *team, bt_model **out,
                       bt_error *err);

#endif
