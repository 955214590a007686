/* Optimisers: from gradients, summed over a step's tokens, to new masters.
 *   AdamW  Loshchilov and Hutter, arXiv 1711.05101, with bias correction
 *   Muon   for matrices: momentum, made orthogonal by five Newton-Schulz iterations (Jordan et al.
 *          2024), scaled by 0.2 sqrt(larger side) so that AdamW's rates and decay serve it (Liu et
 *          al., arXiv 2502.16982); embeddings, heads and vectors stay with AdamW
 * Gradients are scaled, then clipped by their global norm. Everything is summed in an order that
 * does not depend on the number of threads: the same bits on one as on many. */
#ifndef TRAIN_OPTIM_H
#define TRAIN_OPTIM_H

#include "backend/backend.h"
#include "train/params.h"

typedef enum OptimKind { OPTIM_ADAMW, OPTIM_MUON } OptimKind;

typedef struct OptimOptions {
    OptimKind kind;
    double beta1, beta2, eps;
    double decay;    /* of matrices and embeddings, times the rate */
    double momentum; /* Muon */
    double clip;     /* largest norm of the gradient; 0: any */
} OptimOptions;

OptimOptions optim_defaults(void); /* 0.9, 0.95, 1e-8, 0.1, 0.95, 1 */

typedef struct OptimPiece { /* a run of one tensor */
    size_t at, n;
    bool decays, muon;
} OptimPiece;

typedef struct Optim {
    Params *params;
    OptimOptions options;
    float *first, *second; /* moments, as the masters lie */
    OptimPiece *pieces;
    double *sums; /* (n_pieces) */
    size_t n_pieces, bytes;
    float *work; /* Muon: two of the largest matrix, two of its smaller side squared */
    size_t work_bytes;
} Optim;

bt_status optim_open(Params *params, const OptimOptions *options, Optim **out, bt_error *err);
void optim_close(Optim **optim);

/* The norm of the gradients times `scale`; NaN or infinite where one is. */
double optim_norm(Optim *optim, double scale);
/* One step, the `step`-th (from 1), on gradients times `scale` (which clipping is part of). */
void optim_step(Optim *optim, Backend *backend, int64_t step, double rate, double scale);
/* What clipping multiplies by, for a gradient of this norm. */
double optim_clip(const Optim *optim, double norm);

#endif
