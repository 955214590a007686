/* Heap with counters and an injectable failure (see mem.h). */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_uint_least64_t n_allocated;
static atomic_int_least64_t n_live;
static atomic_uint_least64_t fail_countdown;

static int refused(void)
{
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) == 0) return 0;
    return atomic_fetch_sub(&fail_countdown, 1) == 1;
}

static void *counted(void *memory)
{
    if (!memory) return NULL;
    atomic_fetch_add_explicit(&n_allocated, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&n_live, 1, memory_order_relaxed);
    return memory;
}

void *mem_alloc(size_t size)
{
    return refused() ? NULL : counted(malloc(size ? size : 1));
}

void *mem_zalloc(size_t count, size_t size)
{
    if (refused()) return NULL;
    return counted(calloc(count ? count : 1, size ? size : 1));
}

void *mem_realloc(void *old, size_t size)
{
    if (!old) return mem_alloc(size);
    if (refused()) return NULL;
    void *fresh = realloc(old, size ? size : 1);
    if (fresh) atomic_fetch_add_explicit(&n_allocated, 1, memory_order_relaxed);
    return fresh;
}

void *mem_aligned(size_t size, size_t align)
{
    void *memory = NULL;
    if (refused()) return NULL;
    if (align < sizeof(void *)) align = sizeof(void *);
    if (posix_memalign(&memory, align, size ? size : 1)) return NULL;
    return counted(memory);
}

char *mem_strndup(const char *text, size_t length)
{
    if (length == SIZE_MAX) return NULL;
    char *copy = mem_alloc(length + 1);
    if (!copy) return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *mem_strdup(const char *text)
{
    return mem_strndup(text, strlen(text));
}

void mem_free(void *memory)
{
    if (!memory) return;
    atomic_fetch_sub_explicit(&n_live, 1, memory_order_relaxed);
    free(memory);
}

bool mem_take_outside(void)
{
    if (refused()) return false;
    atomic_fetch_add_explicit(&n_allocated, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&n_live, 1, memory_order_relaxed);
    return true;
}

void mem_give_outside(void)
{
    atomic_fetch_sub_explicit(&n_live, 1, memory_order_relaxed);
}

uint64_t mem_count(void)
{
    return atomic_load(&n_allocated);
}

int64_t mem_live(void)
{
    return atomic_load(&n_live);
}

void mem_fail_at(uint64_t countdown)
{
    atomic_store(&fail_countdown, countdown);
}
