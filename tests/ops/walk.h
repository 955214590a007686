/* Gradient checks of single ops: a case makes inputs and parameters of random numbers and calls the
 * op under a tape; the gradients that the tape gives are held against central differences, in
 * double, of a reference of the op that knows nothing of the engine (support/reference_ops.h). */
#ifndef TESTS_OPS_WALK_H
#define TESTS_OPS_WALK_H

#include "ops/ops.h"
#include "ops/tape.h"

#define BACK_MOST_ARGS 12
#define BACK_MOST_ROWS 24
#define BACK_BEFORE    3.0f

typedef struct Arg {
    float *first, *grad; /* (n): what it was before the op, and what the tape gave */
    float before;        /* what was in grad, everywhere */
    size_t n;
} Arg;

typedef struct Back {
    Step step;
    Tape tape;
    Arena arena;
    bt_error err;
    StepRow rows[BACK_MOST_ROWS];
    LayerSpec layer;
    uint64_t seed;
    Arg arg[BACK_MOST_ARGS]; /* in the order in which the case made them */
    int n_args;
    TapeParam params[BACK_MOST_ARGS];
    void *memory[4 * BACK_MOST_ARGS];
    int n_memory;
    Weight weight[BACK_MOST_ARGS];
    int n_weights;
    Tensor out[3]; /* the op's results; those without data are none */
} Back;

typedef struct BackCase {
    Op op;
    const char *what;
    void (*forth)(Back *b);
    /* The results one after the other, from the args' numbers. */
    void (*reference)(const Back *b, double *const *arg, double *out);
} BackCase;

/* A step under a tape that records, over inputs from `seed`. */
void back_begin(Back *b, Backend *backend, uint64_t seed);
void back_end(Back *b);

/* For cases. Numbers are about normal, of this spread around `mean`. */
Tensor back_input(Back *b, int64_t rows, int32_t heads, int32_t width);
Weight *back_weight(Back *b, int64_t n, int64_t k, int64_t n_mats); /* an arg, trained */
void back_bias(Back *b, Weight *w);                                 /* likewise */
float *back_vector(Back *b, size_t n, float mean, float spread);    /* likewise */
/* `documents` of equal length, rows of each at positions from 0 on; no row is wanted. */
void back_rows(Back *b, int32_t n, int32_t documents);

/* cases_*.c */
extern const BackCase back_element_cases[], back_layer_cases[];
extern const size_t n_back_element_cases, n_back_layer_cases;

#endif
