/* Where a student learns what is likely: a model at hand, or what was stored of one. Both serve as
 * the loss of a trainer (TrainLossFn): the rows of a batch come in chunks, in ascending order.
 *
 * A model at hand reads the whole batch at once (pack_reader.h), or, where its layers keep a state,
 * through a session, as far as the chunk asks; logits are made for the chunk, of rows that count
 * only. It may be of any family and any types of weights; its vocabulary must be the student's,
 * token by token. */
#ifndef TRAIN_TEACHER_H
#define TRAIN_TEACHER_H

#include "train/soft_loss.h"
#include "train/trainer.h"

typedef struct Teacher Teacher;

typedef struct TeacherOptions {
    int32_t context; /* most rows of a batch */
    SoftLoss loss;
    size_t logits_bytes; /* of a chunk; 0: 32 MiB */
    Team *team;          /* of whoever asks, which waits meanwhile; NULL: the model's own */
    bool bf16;           /* float weights as bf16, sums in float32 */
    bool by_session;     /* not at once; for tests */
} TeacherOptions;

/* BT_E_ARGUMENT where the vocabularies differ: says the first token that does, and what to do. */
bt_status teacher_check(const bt_model *teacher, const bt_model *student, bt_error *err);
/* `model` is borrowed. n_vocab: of the student's logits. */
bt_status teacher_open(bt_model *model, int32_t n_vocab, const TeacherOptions *options,
                       Teacher **out, bt_error *err);
void teacher_close(Teacher **teacher);
/* From now on this share of the teacher in the loss. */
void teacher_set_soft(Teacher *teacher, float soft);
int32_t teacher_chunk(const Teacher *teacher); /* most rows of teacher_logits */
int32_t teacher_vocab(const Teacher *teacher); /* n_vocab */
/* A TrainLossFn; user: a Teacher. Where no gradient is wanted (held-out data) it is the cross
 * entropy with the batch's targets, so that it can be compared with any other model's. */
bt_status teacher_loss(void *user, const LossRows *rows, double *loss, bt_error *err);
/* The teacher's logits (n, n_vocab) for rows row[0] < row[1] ... of the batch, which count; rows of
 * `out` lie `stride` floats apart, valid until the next call. Tokens that only the student has are
 * unlikely: -1e30. */
typedef struct TeacherLogits {
    const float *data;
    size_t stride;
} TeacherLogits;
bt_status teacher_logits(Teacher *teacher, const Batch *batch, const int32_t *row, int64_t n,
                         TeacherLogits *out, bt_error *err);

#endif
