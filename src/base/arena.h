/* A bump allocator over one block reserved in advance. An arena without memory counts: the same
 * code then plans (backend/plan). All allocations are 64-byte aligned. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Arena {
    unsigned char *base; /* NULL: counts only */
    size_t size;         /* capacity; ignored when counting */
    size_t used;
    size_t peak;
    bool overflowed;     /* an allocation did not fit */
} Arena;

#define ARENA_ALIGN 64u

/* Reserves `size` bytes (0: a counting arena). False when there is no memory. */
bool arena_open(Arena *arena, size_t size);
void arena_close(Arena *arena);
/* NULL when counting, or when it does not fit (then `overflowed`). Not zeroed. */
void *arena_alloc(Arena *arena, size_t size);
/* Gives back all that was taken since `mark` (a former value of used). */
static inline size_t arena_mark(const Arena *arena)
{
    return arena->used;
}
void arena_reset(Arena *arena, size_t mark);

#endif
