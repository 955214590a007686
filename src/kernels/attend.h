/* What kernel `attend` is given: the queries of one kv head against one run of keys.
 *
 * Runs are cut at fixed places, every ATTEND_RUN tokens of a sequence, and each is answered on its
 * own; whoever asks adds the answers up in order. So a long past can be shared among threads, and
 * the bits do not depend on how it was shared. */
#ifndef KERNELS_ATTEND_H
#define KERNELS_ATTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ATTEND_BLOCK = 64,                         /* keys that lie together */
    ATTEND_BLOCKS = 8,                         /* of a run, at most */
    ATTEND_RUN = ATTEND_BLOCK * ATTEND_BLOCKS, /* keys of a run, at most */
};

typedef struct AttendRun {
    uint32_t k_type, v_type; /* F32 BF16 F16 Q8_0 Q4_0 */
    size_t e, e_v;           /* widths of a key, of a value */
    size_t nq;
    const float *q; /* (nq, e), already multiplied by the attention scale */
    /* Block b has the rows of keys [64 b, 64 b + 64), k_stride and v_stride bytes apart. All 64
     * can be read; what no query sees may be anything, NaN too, and changes nothing. A block of
     * which nothing is seen is not read. */
    const unsigned char *k[ATTEND_BLOCKS], *v[ATTEND_BLOCKS];
    /* The run of so many keys that this thread takes next, only to be fetched ahead, from its first
     * seen block on; NULL: not known, or nothing to fetch. `fetched`: this run was given so. */
    const unsigned char *next_k[ATTEND_BLOCKS], *next_v[ATTEND_BLOCKS];
    size_t next_n;
    bool fetched;
    size_t k_stride, v_stride;
    size_t n;                     /* keys; at most ATTEND_RUN */
    const int32_t *first, *limit; /* (nq) query i sees keys [first, limit), 0 <= both <= n */
    float soft_cap;               /* of scores; 0: none */
    float *m, *l, *acc;           /* (nq), (nq), (nq, e_v): written, see kernels.h */
    float *work;                  /* attend_work_floats, 64-byte aligned */
} AttendRun;

static inline size_t attend_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* For nq queries: tiles of bf16 (x86/attend_amxbf16.c) take most. */
static inline size_t attend_work_floats(size_t nq, size_t e, size_t e_v)
{
    size_t wide = attend_up(e, 32), deep = attend_up(e_v, 32), scores = ATTEND_RUN * 32;
    size_t tiles = attend_up(nq, 32) * wide / 2 + ATTEND_RUN * (wide + deep) / 2 +
                   (32 + 1) * deep / 2 + scores + scores / 2;
    size_t floats = nq * (ATTEND_BLOCK + wide / 2) + ATTEND_RUN * (e + e_v);
    return attend_up(tiles > floats ? tiles : floats, 16);
}

#endif
