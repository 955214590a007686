/* Importance gathered: a model reads a text, and the inputs of all its matrices are looked at. */
#ifndef QUANT_COLLECT_H
#define QUANT_COLLECT_H

#include "quant/imatrix.h"

typedef struct CollectOptions {
    int32_t n_ctx; /* tokens of a window; at least 8 */
    size_t most;   /* windows at most; 0: all that the tokens fill */
    bt_progress_fn progress;
    void *progress_user;
} CollectOptions;

/* Windows of n_ctx tokens that do not overlap, each from an empty context, its first token BOS
 * where the model wants one. Of the output matrix every 16th row is looked at. BT_E_ARGUMENT: too
 * few tokens for one window. */
bt_status collect_importance(bt_model *model, const bt_token *ids, size_t n,
                             const CollectOptions *options, Imatrix **out, bt_error *err);

#endif
