/* The one door to the heap. Every allocation of the library passes here, so that tests can
 * count them (none per decoded token), find leaks, and make any one of them fail. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NULL when there is no memory (or a test says so). Size 0 gives a valid pointer. */
void *mem_alloc(size_t size);
void *mem_zalloc(size_t count, size_t size);  /* checks count * size */
void *mem_realloc(void *old, size_t size);    /* old stays valid on failure */
void *mem_aligned(size_t size, size_t align); /* align: power of two, >= 8; free with mem_free */
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t length); /* adds the NUL */
void mem_free(void *memory);

/* Memory taken from the system another way (pages): asks first, false when a test says that it
 * fails, and is counted as one allocation until given back. */
bool mem_take_outside(void);
void mem_give_outside(void);

/* For tests. */
uint64_t mem_count(void);             /* allocations so far */
int64_t mem_live(void);               /* allocations not yet freed */
void mem_fail_at(uint64_t countdown); /* the countdown-th allocation from now fails; 0: never */

#endif
