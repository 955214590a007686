/* Numbers drawn for tests: the same ones in each run (xorshift64, Marsaglia 2003). */
#ifndef TESTS_DRAW_H
#define TESTS_DRAW_H

#include <stdint.h>

static inline uint32_t draw_bits(void)
{
    static uint64_t at = 88172645463325252u;
    at ^= at << 13;
    at ^= at >> 7;
    at ^= at << 17;
    return (uint32_t)(at >> 32);
}

#endif
