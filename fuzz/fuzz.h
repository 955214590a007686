/* The one function of a fuzzer. fuzz_NAME.c defines it; libFuzzer calls it with bytes it makes
 * up, replay.c with those of fuzz/seeds/NAME (and variants of them), in every `make test`. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Feeds the bytes to the code under test; returns 0. Whatever they are: no crash, no leak, no
 * unbounded time or memory, nothing printed. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
