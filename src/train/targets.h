/* What a teacher found likely, stored: for each token of the data that counts, some tokens drawn
 * from the teacher's distribution in its place. Drawn tokens pull a student as the whole
 * distribution would, on average; keeping only the likeliest would not (docs/training.md). The file
 * belongs to the data, tokenized, that it was made from. Layout: docs/formats.md.
 *
 * Refused: a file of other data or another vocabulary, one that is cut short or damaged. */
#ifndef TRAIN_TARGETS_H
#define TRAIN_TARGETS_H

#include "train/teacher.h"

#define TARGETS_MOST_SAMPLES 255

typedef struct TargetsOptions {
    int32_t samples;   /* of each token; 0: 12 */
    float temperature; /* of the teacher's distribution; 0: 1 */
    uint64_t seed;
    bt_progress_fn progress;
    void *progress_user;
} TargetsOptions;

/* The teacher reads all of `packs` (of its own vocabulary, in order, with nothing held out, of at
 * most the teacher's context) and `path` is written, whole at the end. */
bt_status targets_write(Teacher *teacher, const bt_model *model, Packs *packs, const char *path,
                        const TargetsOptions *options, bt_error *err);

typedef struct Targets Targets;

/* Maps the file for packs of the same data. `loss`: its mix must be 0 (forward); its temperature is
 * taken from the file. BT_E_FORMAT, BT_E_ARGUMENT. */
bt_status targets_open(const char *path, const bt_model *student, Packs *packs,
                       const SoftLoss *loss, Targets **out, bt_error *err);
void targets_close(Targets **targets);
/* A TrainLossFn for the last batch of the packs; user: Targets. Without a gradient it is the cross
 * entropy with the batch's targets. */
bt_status targets_loss(void *user, const LossRows *rows, double *loss, bt_error *err);

#endif
