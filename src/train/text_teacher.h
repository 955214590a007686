/* A teacher with another vocabulary. The text of each document is read by the teacher in its own
 * tokens; where both cut the text alike, so that the next token is the same piece of it for both,
 * their distributions are compared: tokens of identical text directly, all others by their sizes
 * alone, the largest with the largest (Boizard et al., arXiv 2402.12030). Elsewhere the student
 * learns from the data alone. Control tokens of the student become the teacher's where it has the
 * same ones; the teacher reads the student's chat template. */
#ifndef TRAIN_TEXT_TEACHER_H
#define TRAIN_TEXT_TEACHER_H

#include "train/soft_loss.h"
#include "train/trainer.h"

typedef struct TextTeacher TextTeacher;

/* Both models are borrowed. Divergences other than the forward one are of the outcomes that are
 * known: the teacher's likeliest shared tokens, and all others as one. BT_E_ARGUMENT where the two
 * have hardly a token in common. */
bt_status text_teacher_open(bt_model *teacher, const bt_model *student, int32_t context,
                            const SoftLoss *loss, TextTeacher **out, bt_error *err);
void text_teacher_close(TextTeacher **teacher);
/* A TrainLossFn; user: TextTeacher. Without a gradient, the cross entropy with the targets. */
bt_status text_teacher_loss(void *user, const LossRows *rows, double *loss, bt_error *err);
/* Whether the batches from now on were written by the student: then rows that are not compared
 * teach nothing. */
void text_teacher_judge(TextTeacher *teacher, bool own);
/* Of all rows so far that counted, how many were compared. */
double text_teacher_share(const TextTeacher *teacher);

#endif
