/* Batches that the student writes itself (Agarwal et al., arXiv 2306.13649): it answers the prompts
 * of the data as it is now, and learns from the teacher where it went. What it writes is drawn from
 * its own distribution; only that counts. The rest of the batches is the data's own. Which batches
 * are the student's, and what is drawn, follows from the seed and the place in the data, so that a
 * run that was interrupted goes on as it would have.
 *
 * A prompt is what stands before the first token of a document that counts; documents that count
 * from their beginning (texts) are gone on with from their first tokens. */
#ifndef TRAIN_ON_POLICY_H
#define TRAIN_ON_POLICY_H

#include "train/trainer.h"

typedef struct OnPolicy OnPolicy;

typedef struct OnPolicyOptions {
    int32_t context;
    float share;       /* of the batches that the student writes, 0 to 1 */
    float temperature; /* of drawing; 0: 1 */
    uint64_t seed;
} OnPolicyOptions;

/* Both are borrowed; the student is asked as it is at each call. */
bt_status on_policy_open(const Params *student, Packs *packs, const OnPolicyOptions *options,
                         OnPolicy **out, bt_error *err);
void on_policy_close(OnPolicy **policy);
/* The next batch: of the packs, or the student's answers to the prompts in it. */
bt_status on_policy_next(OnPolicy *policy, Batch *out, bt_error *err);
/* Whether the last batch was the student's: then the cross entropy with its targets, which it wrote
 * itself, has no meaning. */
bool on_policy_was_own(const OnPolicy *policy);

#endif
