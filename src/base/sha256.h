/* SHA-256 (FIPS 180-4), for API keys: only their hashes are kept. */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stdbool.h>
#include <stddef.h>

#define SHA256_BYTES 32

void sha256(const void *data, size_t size, unsigned char out[SHA256_BYTES]);
/* Takes the same time wherever they differ. */
bool same_bytes(const void *a, const void *b, size_t size);

#endif
