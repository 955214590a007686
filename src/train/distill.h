/* What makes a training run a distillation: the loss, from a teacher at hand or a stored one, and
 * batches that the student writes itself (see bt_distill_options). */
#ifndef TRAIN_DISTILL_H
#define TRAIN_DISTILL_H

#include "train/on_policy.h"
#include "train/run.h"
#include "train/targets.h"
#include "train/text_teacher.h"

typedef struct Distill Distill;

/* The hooks are those of one run, whose options have `distill`; that is read until it ends.
 * BT_E_ARGUMENT for options out of range or not together; the rest shows when the run begins. */
bt_status distill_open(const bt_train_options *options, Distill **out, TrainHooks *hooks,
                       bt_error *err);
void distill_close(Distill **distill);

#endif
