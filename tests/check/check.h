/* The checker of kernels: compares every version of each kernel with the plain C one, under every
 * CPU mask this machine can stand in for, and times it.
 *
 * To add a kernel to `Kernels`: write a CheckRow for it in a file of its family (vector.c,
 * rows.c, attend.c, ...), name it in CHECK_ROWS below in the order of the struct. The build fails
 * while a member has no row, the run fails while a row has no test.
 *
 * A test draws inputs, calls c->ref and c->fast on them, compares, and starts over:
 *
 *     for (int round = 0; round < c->rounds; round++) {
 *         size_t n = check_size(c, 300);
 *         float *x = check_floats(c, n, 1);
 *         float *want = check_out(c, n * 4, 4), *got = check_out(c, n * 4, 4);
 *         c->ref->twice(x, n, want);
 *         c->fast->twice(x, n, got);
 *         check_equal(c, want, got, n, NULL, "n=%zu", n);
 *         check_done(c);
 *     }
 *
 * Buffers lie at odd addresses (multiples of the element), either between guard bytes, which
 * check_done inspects, or flush against a page that cannot be read or written. */
#ifndef CHECK_CHECK_H
#define CHECK_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

typedef enum CheckRule {
    CHECK_EXACT,   /* the same bits; any NaN equals any NaN */
    CHECK_ULP,     /* at most `bound` representable numbers apart */
    CHECK_EPSILON, /* |difference| <= bound * size, size given by the test (default |wanted|) */
} CheckRule;

typedef enum CheckLimit { LIMIT_MEMORY, LIMIT_F32, LIMIT_BF16, LIMIT_INT8 } CheckLimit;

typedef struct Check Check;

typedef struct CheckRow {
    const char *name; /* of the member of Kernels */
    size_t offset;    /* of the member */
    CheckRule rule;
    double bound;
    void (*test)(Check *c);
    void (*bench)(Check *c); /* calls check_time for each case; NULL: nothing to time */
} CheckRow;

/* CHECK_ROW(rmsnorm, CHECK_EPSILON, 1e-6) = {...test, bench} */
#define CHECK_ROW(member, rule_, bound_, test_, bench_)                                            \
    const CheckRow check_##member = {#member, offsetof(Kernels, member), rule_, bound_, test_,     \
                                     bench_}

/* In the order of struct Kernels. */
#define CHECK_ROWS(X)                                                                              \
    X(quantize_act)                                                                                \
    X(panel_scales)                                                                                \
    X(panel_matmul)                                                                                \
    X(panel_few)                                                                                   \
    X(matmul_rows)                                                                                 \
    X(rmsnorm)                                                                                     \
    X(layernorm)                                                                                   \
    X(cut)                                                                                         \
    X(add)                                                                                         \
    X(mul)                                                                                         \
    X(axpy)                                                                                        \
    X(scale)                                                                                       \
    X(swiglu)                                                                                      \
    X(swiglu_clamped)                                                                              \
    X(activate)                                                                                    \
    X(softmax)                                                                                     \
    X(dot)                                                                                         \
    X(rope)                                                                                        \
    X(peaks)                                                                                       \
    X(to_f32)                                                                                      \
    X(from_f32)                                                                                    \
    X(attend)                                                                                      \
    X(conv_rows)                                                                                   \
    X(scan_rows)                                                                                   \
    X(ssd_rows)                                                                                    \
    X(delta_rows)                                                                                  \
    X(gemm_group)                                                                                  \
    X(gemm_pack_a)                                                                                 \
    X(gemm_pack_x)                                                                                 \
    X(gemm)                                                                                        \
    X(softmax_times)                                                                               \
    X(divergence)                                                                                  \
    X(adamw)                                                                                       \
    X(activate_back)                                                                               \
    X(norm_back)                                                                                   \
    X(norm_columns)                                                                                \
    X(add_product)                                                                                 \
    X(weigh)                                                                                       \
    X(weigh_back)

#define CHECK_EXTERN(member) extern const CheckRow check_##member;
CHECK_ROWS(CHECK_EXTERN)
#undef CHECK_EXTERN

struct Check {
    const CheckRow *row;
    const Kernels *ref;  /* plain C */
    const Kernels *fast; /* the version looked at; in --bench runs also plain C */
    int rounds;          /* how many draws a test makes */
    /* private */
    uint64_t random;
    int used;
    bool failed;
};

/* ---- drawing inputs ---- */
uint64_t check_random(Check *c);
/* A size in [0, most]: small ones, multiples of 64 and their neighbours more often. */
size_t check_size(Check *c, size_t most);
/* Uniform in [0, n). */
size_t check_below(Check *c, size_t n);
/* n floats of magnitude up to about `magnitude`, of both signs; now and then zero, denormal, or a
 * thousand times larger. Valid until check_done. */
float *check_floats(Check *c, size_t n, float magnitude);
/* `bytes` of input to be filled by the test, at a multiple of `align` (1, 2, 4, 64). */
void *check_in(Check *c, size_t bytes, size_t align);
/* The same for output: filled with 0xff bytes (NaN) so that what is not written is seen. */
void *check_out(Check *c, size_t bytes, size_t align);

/* Whether this version multiplies bf16 by bf16, and so rounds what it is given. */
bool check_rounds_to_bf16(const Check *c);

/* ---- judging ---- */
/* n floats by the row's rule. size[n]: what CHECK_EPSILON is relative to, or NULL. The text says
 * which case it was. False (and the sub-test has failed) when they differ. */
bool check_equal(Check *c, const float *want, const float *got, size_t n, const float *size,
                 const char *format, ...) __attribute__((format(printf, 6, 7)));
/* Bytes, whatever the rule. */
bool check_bytes(Check *c, const void *want, const void *got, size_t bytes, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Any other finding. */
void check_fail(Check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Guards are whole, rounding and denormals as they were; buffers are free again. */
void check_done(Check *c);

/* ---- timing (--bench) ---- */
/* Runs fn(c, arg) for about 0.1 s, takes the best and prints GB/s (of `bytes` a call), GMAC/s (of
 * `macs`) and the share of `limit`, this machine's, one thread. */
void check_time(Check *c, const char *label, double bytes, double macs, CheckLimit limit,
                void (*fn)(Check *c, void *arg), void *arg);
/* 64-byte aligned zeroed memory that lives until the program ends its row. */
void *check_memory(Check *c, size_t bytes);
/* Frees what check_memory gave; also done after each bench. */
void check_memory_free(void);

#endif
