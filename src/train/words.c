/* Counting words (see words.h): an open table over one buffer of bytes. The hash is seeded anew in
 * each process, so that no text can be made to collide. */
#include "train/words.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/os.h"

enum { FIRST_SLOTS = 1 << 12 };

bool words_open(Words *w, size_t most_bytes)
{
    *w = (Words){.most_bytes = most_bytes ? most_bytes : WORDS_BYTES};
    if (!os_random(&w->seed, sizeof w->seed)) w->seed = 0x9E3779B97F4A7C15u;
    w->slots = mem_zalloc(FIRST_SLOTS, sizeof *w->slots);
    w->mask = FIRST_SLOTS - 1;
    return w->slots != NULL;
}

void words_close(Words *w)
{
    buf_close(&w->bytes);
    mem_free(w->items);
    mem_free(w->slots);
    *w = (Words){0};
}

static size_t slot_of(const Words *w, const char *word, size_t n)
{
    size_t at = (size_t)hash_bytes(word, n, w->seed) & w->mask;
    for (; w->slots[at]; at = (at + 1) & w->mask) {
        const Word *known = &w->items[w->slots[at] - 1];
        if (known->size == n && memcmp(w->bytes.data + known->at, word, n) == 0) break;
    }
    return at;
}

static bool grow_slots(Words *w)
{
    size_t size = 2 * (w->mask + 1);
    uint32_t *slots = mem_zalloc(size, sizeof *slots);
    if (!slots) return false;
    mem_free(w->slots);
    w->slots = slots;
    w->mask = size - 1;
    for (size_t i = 0; i < w->n; i++)
        slots[slot_of(w, words_text(w, i), w->items[i].size)] = (uint32_t)i + 1;
    return true;
}

/* Keeps the words that occurred oftener than the bound, which rises until half the room is free. */
static void forget(Words *w)
{
    size_t bytes;
    do {
        w->forgot++;
        bytes = 0;
        for (size_t i = 0; i < w->n; i++)
            if (w->items[i].count > w->forgot) bytes += w->items[i].size;
    } while (bytes > w->most_bytes / 2);
    size_t n = 0, at = 0;
    for (size_t i = 0; i < w->n; i++) {
        Word word = w->items[i];
        if (word.count <= w->forgot) continue;
        memmove(w->bytes.data + at, w->bytes.data + word.at, word.size);
        w->items[n++] = (Word){(uint32_t)at, word.size, word.count};
        at += word.size;
    }
    w->n = n;
    w->bytes.size = at;
    memset(w->slots, 0, (w->mask + 1) * sizeof *w->slots);
    for (size_t i = 0; i < n; i++)
        w->slots[slot_of(w, words_text(w, i), w->items[i].size)] = (uint32_t)i + 1;
}

static bool put(Words *w, const char *word, size_t n)
{
    if (w->bytes.size + n > w->most_bytes) forget(w);
    if (w->n == w->capacity) {
        size_t capacity = 2 * w->capacity + 1024;
        Word *items = mem_realloc(w->items, capacity * sizeof *items);
        if (!items) return false;
        w->items = items;
        w->capacity = capacity;
    }
    if (4 * (w->n + 1) > 3 * (w->mask + 1) && !grow_slots(w)) return false;
    size_t at = w->bytes.size;
    buf_add(&w->bytes, word, n);
    if (w->bytes.failed) return false;
    w->items[w->n++] = (Word){(uint32_t)at, (uint32_t)n, 1};
    w->slots[slot_of(w, w->bytes.data + at, n)] = (uint32_t)w->n;
    return true;
}

bool words_add(Words *w, const char *word, size_t n)
{
    while (n > 0 && !w->failed) {
        size_t part = n < WORDS_LONGEST ? n : WORDS_LONGEST;
        uint32_t known = w->slots[slot_of(w, word, part)];
        w->total++;
        if (known)
            w->items[known - 1].count++;
        else
            w->failed = !put(w, word, part);
        word += part;
        n -= part;
    }
    return !w->failed;
}
