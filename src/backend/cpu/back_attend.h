/* Inside training's attention: which rows see which, and the fast way (back_flash.c). */
#ifndef BACKEND_CPU_BACK_ATTEND_H
#define BACKEND_CPU_BACK_ATTEND_H

#include "backend/cpu/back.h"

static inline float *attend_head(Tensor t, int64_t row, int64_t head)
{
    return tensor_at(t, row) + (size_t)head * (size_t)t.width;
}

/* The rows of the sequence of row i: [*first, *end). */
void attend_sequence(const RowsAttention *a, int64_t i, int64_t *first, int64_t *end);
/* Rows [*from, *to) of keys that row i sees; its sequence is [first, end). */
void attend_seen(const RowsAttention *a, int64_t i, int64_t first, int64_t end, int64_t *from,
                 int64_t *to);

typedef struct AttendGrads {
    Tensor d_out, delta, d_q, d_k, d_v; /* delta: (T,H), filled here */
} AttendGrads;

/* By products of tiles. False, and nothing done, where there is no work memory or heads are too
 * wide for it: then rows go one by one. */
bool flash_forth(Cpu *c, const RowsAttention *a);
bool flash_back(Cpu *c, const RowsAttention *a, const AttendGrads *d);

#endif
