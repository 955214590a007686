/* A second opinion: the forward of the pre-norm families in double precision, written apart from
 * the engine, straight from the papers, with no state, no batches and no fusion. Slow; for models
 * of a few hundred kilobytes. */
#ifndef TESTS_REFERENCE_H
#define TESTS_REFERENCE_H

#include <stdint.h>

/* Logits (n, vocabulary) of all positions of `tokens`, malloc'd; NULL when the file has something
 * this does not know. *n_vocab is the row length. */
double *reference_logits(const char *path, const int32_t *tokens, int n, int *n_vocab);

/* Called for every product, when set: matrix `mat` of tensor `name` reads x (k). */
extern void (*reference_watch)(const char *name, int mat, const double *x, int k);

/* Sum of squared differences over sum of squares of the reference. */
double reference_nmse(const float *got, const double *want, long count);

#endif
