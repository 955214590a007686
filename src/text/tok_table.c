/* Text to symbol: open addressing over borrowed texts, nothing copied. The hash is not secret, so a
 * file could be made to collide; a chain longer than any honest one is refused instead of walked.
 */
#include <string.h>

#include "base/mem.h"
#include "text/tok.h"

uint64_t tok_hash(const char *p, size_t n)
{
    const uint64_t k = 0x9E3779B97F4A7C15u;
    uint64_t h = n * k, v;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&v, p, 8);
        h = (h ^ v) * k;
        h ^= h >> 32;
    }
    if (n >= 4) {
        uint32_t a, b;
        memcpy(&a, p, 4);
        memcpy(&b, p + n - 4, 4);
        h ^= (uint64_t)a << 32 | b;
    } else if (n > 0) {
        const unsigned char *s = (const unsigned char *)p;
        h ^= (uint64_t)s[0] << 16 | (uint64_t)s[n / 2] << 8 | s[n - 1];
    }
    h = (h ^ h >> 29) * 0xBF58476D1CE4E5B9u;
    return h ^ h >> 32;
}

bool tok_table_open(TokTable *table, uint64_t room)
{
    uint64_t slots = 16;
    while (slots < room + room / 2) slots *= 2;
    *table = (TokTable){mem_zalloc(slots, sizeof(TokSlot)), slots - 1, 0, room};
    return table->slots != NULL;
}

void tok_table_close(TokTable *table)
{
    mem_free(table->slots);
    *table = (TokTable){0};
}

Span tok_symbol_text(const Tokenizer *t, uint32_t symbol)
{
    if (symbol >= t->n) return t->extra[symbol - t->n];
    return t->plain ? t->plain[symbol] : t->tokens[symbol];
}

static TokSlot *look(const Tokenizer *t, Span text)
{
    uint64_t hash = tok_hash(text.data, text.size);
    uint32_t tag = (uint32_t)(hash >> 32);
    for (uint64_t i = 0; i < TOK_MAX_PROBES; i++) {
        TokSlot *slot = &t->table.slots[(hash + i) & t->table.mask];
        if (!slot->id) {
            slot->tag = tag;
            return slot;
        }
        if (slot->tag == tag && span_equal(tok_symbol_text(t, slot->id - 1), text)) return slot;
    }
    return NULL;
}

uint32_t tok_symbol(const Tokenizer *t, const char *p, size_t n)
{
    uint64_t hash = tok_hash(p, n);
    uint32_t tag = (uint32_t)(hash >> 32);
    for (uint64_t i = 0; i < TOK_MAX_PROBES; i++) {
        const TokSlot *slot = &t->table.slots[(hash + i) & t->table.mask];
        if (!slot->id) break;
        if (slot->tag != tag) continue;
        Span text = tok_symbol_text(t, slot->id - 1);
        if (text.size == n && memcmp(text.data, p, n) == 0) return slot->id - 1;
    }
    return TOK_NONE;
}

void tok_table_warm(const Tokenizer *t, const Span *texts, size_t n)
{
    uint64_t at[TOK_WARM];
    for (size_t i = 0; i < n; i++) {
        at[i] = tok_hash(texts[i].data, texts[i].size) & t->table.mask;
        __builtin_prefetch(&t->table.slots[at[i]]);
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t id = t->table.slots[at[i]].id;
        at[i] = id && id <= t->n ? id - 1 : 0;
        if (t->n) __builtin_prefetch(&t->tokens[at[i]]);
    }
    for (size_t i = 0; i < n && t->n; i++) __builtin_prefetch(t->tokens[at[i]].data);
}

bool tok_table_put(Tokenizer *t, uint32_t symbol)
{
    Span text = tok_symbol_text(t, symbol);
    if (!text.data || text.size == 0) return true;
    TokSlot *slot = t->table.used < t->table.room ? look(t, text) : NULL;
    if (!slot) return false;
    t->table.used += !slot->id;
    slot->id = symbol + 1;
    return true;
}

uint32_t tok_intern(Tokenizer *t, Span text)
{
    uint32_t symbol = tok_symbol(t, text.data, text.size);
    if (symbol != TOK_NONE) return symbol;
    if (t->n_extra == t->extra_capacity) {
        uint32_t capacity = t->extra_capacity ? t->extra_capacity * 2 : 256;
        Span *grown = mem_realloc(t->extra, capacity * sizeof(Span));
        if (!grown) {
            t->no_memory = true;
            return TOK_NONE;
        }
        t->extra = grown;
        t->extra_capacity = capacity;
    }
    t->extra[t->n_extra] = text;
    symbol = t->n + t->n_extra++;
    return tok_table_put(t, symbol) ? symbol : TOK_NONE;
}
