/* Arithmetic on sizes that came from a file: every step says whether it overflowed.
 * Nothing read from outside is added or multiplied without these. */
#ifndef BASE_CHECKED_H
#define BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each returns false, leaving *out unspecified, when the true result does not fit. */
static inline bool ck_add(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline bool ck_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool ck_sub(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_sub_overflow(a, b, out);
}

/* Rounds up to a multiple of `align`, a power of two. */
static inline bool ck_align(uint64_t a, uint64_t align, uint64_t *out)
{
    if (!ck_add(a, align - 1, out)) return false;
    *out &= ~(align - 1);
    return true;
}

/* [offset, offset + length) lies inside [0, size). */
static inline bool ck_inside(uint64_t offset, uint64_t length, uint64_t size)
{
    return offset <= size && length <= size - offset;
}

/* Rounds up a size that is known to be sane. */
static inline size_t align_up(size_t n, size_t align)
{
    return (n + align - 1) & ~(align - 1);
}

#endif
