/* A smaller model cut out of a larger one, to be taught again by it (Muralidharan et al., arXiv
 * 2407.14679): layers, channels of the FFN and attention heads that matter least are left out. What
 * is kept stays as it is: no weight changes. Channels and heads are ranked by the activations that
 * meet the matrix which reads them, times the norm of its column; layers by how much worse the
 * model predicts without each.
 *
 * For the families whose blocks are made of separate matrices (llama, qwen2, qwen3); query heads go
 * with the key and value head that they share. Refused: other families, models with windows or
 * sizes of their own for each layer. */
#ifndef TRAIN_PRUNE_H
#define TRAIN_PRUNE_H

#include "engine/model.h"

typedef struct PruneWish {
    int32_t layers, ff, kv_heads; /* what is kept; 0: all */
} PruneWish;

/* Mean squares of what meets each of the n columns of a matrix, or NULL: not known. */
typedef const float *(*PruneImportance)(void *user, const char *tensor, uint64_t *n);

typedef struct Cut {
    int32_t layers, ff, heads, kv_heads, head_dim; /* as they were */
    PruneWish keep;                                /* all set */
    bool *keeps_layer;                             /* (layers) */
    int32_t *channels;                             /* (layers, keep.ff) ascending */
    int32_t *kv;                                   /* (layers, keep.kv_heads) ascending */
} Cut;

/* What is to go. `layer_loss` (layers): the loss without each; NULL where no layer goes.
 * BT_E_UNSUPPORTED, BT_E_ARGUMENT: more is kept than there is. */
bt_status prune_plan(const Gguf *model, const PruneWish *wish, PruneImportance importance,
                     void *user, const double *layer_loss, Cut *out, bt_error *err);
void prune_close(Cut *cut);
/* Writes what is left; matrices whose columns are cut and whose type has blocks become BF16. */
bt_status prune_write(const Gguf *model, const Cut *cut, const char *path, bt_error *err);

/* The mean of -log p over windows of n_ctx tokens when each layer in turn is left out. */
bt_status prune_layer_losses(const bt_model *model, const bt_token *ids, size_t n, int32_t n_ctx,
                             double *loss, bt_progress_fn progress, void *user, bt_error *err);

#endif
