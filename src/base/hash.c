/* Four independent lanes of multiply and xor-shift over 32-byte blocks, folded at the end with the
 * finaliser of SplitMix64 (Steele, Lea, Flood 2014), so that memory bandwidth is the limit. */
#include "base/hash.h"

#include <string.h>

#define ODD 0x9E3779B97F4A7C15ull

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ x >> 27) * 0x94D049BB133111EBull;
    return x ^ x >> 31;
}

static uint64_t lane(uint64_t state, const unsigned char *p)
{
    uint64_t word;
    memcpy(&word, p, 8);
    state = (state ^ word) * ODD;
    return state ^ state >> 32;
}

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed)
{
    const unsigned char *p = data;
    uint64_t a = mix(seed + 1), b = mix(seed + 2), c = mix(seed + 3), d = mix(seed + 4);
    size_t left = size;
    for (; left >= 32; left -= 32, p += 32) {
        a = lane(a, p);
        b = lane(b, p + 8);
        c = lane(c, p + 16);
        d = lane(d, p + 24);
    }
    unsigned char tail[32] = {0};
    if (left) {
        memcpy(tail, p, left);
        a = lane(a, tail);
        b = lane(b, tail + 8);
        c = lane(c, tail + 16);
        d = lane(d, tail + 24);
    }
    return mix(mix(mix(mix(a + size) ^ b) ^ c) ^ d);
}
