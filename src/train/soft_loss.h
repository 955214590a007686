/* Losses of distillation: a student's logits against what a teacher finds likely. One row at a
 * time, plain functions of numbers, so that each is checked by differences in double.
 *
 *     loss = (1 - soft) CE(target) + soft T^2 D(teacher, student at temperature T)
 *
 * T^2 keeps the gradient's size (Hinton et al., arXiv 1503.02531). D by `mix` (Agarwal et al.,
 * arXiv 2306.13649): 0 is the forward divergence KL(teacher || student), 1 the reverse one, between
 * them the generalised Jensen-Shannon divergence mix KL(teacher || M) + (1 - mix) KL(student || M),
 * M = mix teacher + (1 - mix) student whose formula vanishes at both ends. */
#ifndef TRAIN_SOFT_LOSS_H
#define TRAIN_SOFT_LOSS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

typedef struct SoftLoss {
    float soft;        /* share of the teacher, 0 to 1 */
    float temperature; /* > 0 */
    float mix;         /* 0 forward, 1 reverse */
} SoftLoss;

/* A distribution known in part: probabilities of some tokens, and what is left of the mass for all
 * others together. Samples of a teacher have rest 0; its likeliest tokens have some. */
typedef struct SoftPart {
    const int32_t *id; /* (n), each once where there is a rest */
    const float *p;    /* (n) */
    size_t n;
    float rest; /* 0: all mass is in p */
} SoftPart;

/* Loss of a row times weight; d (n) becomes its gradient by x (NULL: not wanted). x and `teacher`
 * (n) are logits; target < 0: no cross entropy with it. room: n floats. What the teacher or the
 * student gives less than exp(-100) counts as that much. */
double soft_loss_row(const SoftLoss *loss, const Kernels *kernels, const float *x,
                     const float *teacher, int32_t target, float weight, size_t n, float *room,
                     float *d);
/* The same against part of a distribution, which was taken at the loss's temperature, as one of its
 * tokens and one outcome for all others: how the student shares out `rest` is its affair. mix 0 is
 * the forward divergence but for the teacher's entropy; others need a rest, or all of the mass: of
 * a token that was not drawn nobody knows how unlikely it is. The gradient is added to d. */
double soft_loss_part(const SoftLoss *loss, const Kernels *kernels, const float *x,
                      const SoftPart *part, int32_t target, float weight, size_t n, float *room,
                      float *d);
/* Tokens that two vocabularies do not share are compared by size alone: the sum of |s - t| over the
 * n_sorted largest of the student's (those with matched[i] 0) and of the teacher's (`sorted`,
 * falling, zeros behind), times soft and T^2. Adds to d as above; room: n floats; n_sorted at most
 * 64. */
double soft_loss_sorted(const SoftLoss *loss, const Kernels *kernels, const float *x,
                        const unsigned char *matched, const float *sorted, size_t n_sorted,
                        float weight, size_t n, float *room, float *d);

#endif
