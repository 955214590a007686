/* Logits of every position of a token list through the public interface, fed in one of the ways
 * that must all agree. */
#ifndef TESTS_RUN_MODEL_H
#define TESTS_RUN_MODEL_H

#include "bantam/bantam.h"

typedef enum FeedMode {
    FEED_AT_ONCE,
    FEED_ONE_BY_ONE,
    FEED_SEVENS,      /* chunks of 7 */
    FEED_INTERLEAVED, /* one by one beside three other sequences in the same steps */
    FEED_TRUNCATED,   /* wrong ids from a third on, cut off again and fed anew in chunks of 7 */
    FEED_RESTORED,    /* in chunks of 7; in the middle saved, fed on wrongly, and loaded again; the
                       * scratch folder must be open */
    FEED_MODES
} FeedMode;

/* (n, *n_vocab) floats, malloc'd; prints the reason and returns NULL on failure. cpu_mask 0: all
 * features. */
float *run_model(const char *path, const bt_token *tokens, int n, FeedMode mode, bt_kv_type kv,
                 uint64_t cpu_mask, int *n_vocab);
/* The same with positions of several axes, (n, 4). */
float *run_model_at(const char *path, const bt_token *tokens, const int32_t *axes, int n,
                    FeedMode mode, bt_kv_type kv, uint64_t cpu_mask, int *n_vocab);

/* How far (compare_nmse) the logits in float32 are from `answers`, a file of float32; prints the
 * reason and returns infinity where there are none to compare. axes NULL: plain positions. */
double run_model_apart(const char *path, const bt_token *tokens, const int32_t *axes, int n,
                       FeedMode mode, uint64_t cpu_mask, const char *answers);

#endif
