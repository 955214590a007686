/* How unlikely a token was. */
#ifndef TRAIN_SURPRISE_H
#define TRAIN_SURPRISE_H

#include <math.h>
#include <stdint.h>

/* -log softmax(logits)[token] in float64. */
static inline double surprise(const float *logits, int32_t n, int32_t token)
{
    double most = -INFINITY, sum = 0;
    for (int32_t i = 0; i < n; i++)
        if (logits[i] > most) most = logits[i];
    for (int32_t i = 0; i < n; i++) sum += exp((double)logits[i] - most);
    return most + log(sum) - (double)logits[token];
}

#endif
