/* How often each word occurs in a text: what a vocabulary is learned from. Words are kept once,
 * with a count; their bytes are bounded: when they grow past the bound, the rarest are forgotten
 * (those seen once, then twice ...), which hardly touches what is learned. The same words in the
 * same order give the same counts on every machine. */
#ifndef TRAIN_WORDS_H
#define TRAIN_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define WORDS_LONGEST 1024        /* bytes; a longer word counts as several */
#define WORDS_BYTES   (64u << 20) /* of different words, unless said otherwise */

typedef struct Word {
    uint32_t at, size; /* in `bytes` */
    uint64_t count;
} Word;

typedef struct Words {
    Buf bytes;
    Word *items; /* in the order of their first occurrence */
    size_t n, capacity;
    uint32_t *slots; /* item + 1; 0: free */
    size_t mask;
    uint64_t seed;   /* of the hash; order does not depend on it */
    uint64_t total;  /* words, each time it occurred */
    uint64_t forgot; /* counts up to this were forgotten; 0: none */
    size_t most_bytes;
    bool failed; /* no memory */
} Words;

/* most_bytes 0: WORDS_BYTES. False: no memory. */
bool words_open(Words *w, size_t most_bytes);
/* Counts a word; false: no memory. */
bool words_add(Words *w, const char *word, size_t n);
void words_close(Words *w);

static inline const char *words_text(const Words *w, size_t i)
{
    return w->bytes.data + w->items[i].at;
}

#endif
