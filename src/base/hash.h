/* A fast 64-bit hash for checksums of our own files and for tables; not for secrets. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Same bytes and seed, same value, on every machine. */
uint64_t hash_bytes(const void *data, size_t size, uint64_t seed);

#endif
