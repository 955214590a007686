/* Bump allocator (see arena.h). */
#include "base/arena.h"

#include "base/checked.h"
#include "base/mem.h"

bool arena_open(Arena *arena, size_t size)
{
    *arena = (Arena){.size = size};
    if (!size) return true;
    arena->base = mem_aligned(size, 4096);
    return arena->base != NULL;
}

void arena_close(Arena *arena)
{
    mem_free(arena->base);
    *arena = (Arena){0};
}

void *arena_alloc(Arena *arena, size_t size)
{
    uint64_t padded, end;
    if (!ck_align(size, ARENA_ALIGN, &padded) || !ck_add(arena->used, padded, &end) ||
        (arena->base && end > arena->size)) {
        arena->overflowed = true;
        return NULL;
    }
    void *memory = arena->base ? arena->base + arena->used : NULL;
    arena->used = (size_t)end;
    if (arena->used > arena->peak) arena->peak = arena->used;
    return memory;
}

void arena_reset(Arena *arena, size_t mark)
{
    arena->used = mark;
    arena->overflowed = false;
}
