/* The plain pre-norm decoder that several families are: embedding; layers of norm, attention, norm,
 * feed-forward, each added to the stream; norm; head. A family that is this with its own settings
 * is a short file; one that differs writes its own forward with the other blocks. */
#ifndef MODELS_BLOCK_PRENORM_H
#define MODELS_BLOCK_PRENORM_H

#include "models/model.h"

typedef struct PrenormOptions {
    bool adjacent;    /* RoPE rotates pairs (2i, 2i+1), else (i, i + half) */
    bool head_norms;  /* per-head norm of q and k before RoPE */
    bool experts;     /* every layer is a mixture of experts */
    bool renormalise; /* weights of the chosen experts are scaled to sum 1 */
} PrenormOptions;

const void *block_prenorm_load(Loader *ld, const PrenormOptions *options);
Tensor block_prenorm_forward(Step *s, const void *model);

#endif
