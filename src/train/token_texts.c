/* Tokens by their text (see token_texts.h): hashes in order, and the text looked at again. */
#include "train/token_texts.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"

typedef struct Entry {
    uint64_t hash;
    int32_t id;
} Entry;

struct TokenTexts {
    const Tokenizer *tok;
    Entry *entries; /* (n) by hash, then by id */
    int32_t n;
};

static int by_hash(const void *a, const void *b)
{
    const Entry *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return x->id - y->id;
}

bt_status token_texts_open(const Tokenizer *tok, TokenTexts **out, bt_error *err)
{
    char text[TOKEN_TEXT];
    int32_t n = tok_size(tok);
    TokenTexts *t = *out = mem_zalloc(1, sizeof *t);
    if (t) t->entries = mem_alloc((size_t)n * sizeof *t->entries + 1);
    if (!t || !t->entries) {
        token_texts_close(out);
        return bt_fail_memory(err, "the texts of tokens", (size_t)n * sizeof *t->entries);
    }
    t->tok = tok;
    for (int32_t i = 0; i < n; i++) {
        int64_t size = tok_text(tok, i, true, false, text, sizeof text);
        if (size <= 0 || size > TOKEN_TEXT) continue;
        t->entries[t->n++] = (Entry){hash_bytes(text, (size_t)size, 7), i};
    }
    qsort(t->entries, (size_t)t->n, sizeof *t->entries, by_hash);
    return BT_OK;
}

void token_texts_close(TokenTexts **texts)
{
    TokenTexts *t = *texts;
    if (!t) return;
    mem_free(t->entries);
    mem_free(t);
    *texts = NULL;
}

int32_t token_texts_find(const TokenTexts *t, Span text)
{
    char own[TOKEN_TEXT];
    int32_t low = 0, high = t->n;
    if (!text.size || text.size > TOKEN_TEXT) return -1;
    uint64_t hash = hash_bytes(text.data, text.size, 7);
    while (low < high) {
        int32_t mid = low + (high - low) / 2;
        if (t->entries[mid].hash < hash)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < t->n && t->entries[low].hash == hash; low++) {
        int32_t id = t->entries[low].id;
        int64_t size = tok_text(t->tok, id, true, false, own, sizeof own);
        if (span_equal((Span){own, (size_t)size}, text)) return id;
    }
    return -1;
}
