/* BPE: byte-level as GPT-2's, and over characters with U+2581 for spaces as Gemma 4's. */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "text/tok.h"
#include "text/utf8.h"

/* ---- loading ---- */

static bool put_pair(Tokenizer *t, uint32_t left, uint32_t right, uint32_t rank)
{
    uint64_t h = tok_pair_hash(left, right);
    for (uint64_t i = 0; i < TOK_MAX_PROBES; i++) {
        TokPair *pair = &t->pairs[(h + i) & t->pair_mask];
        if (pair->rank == TOK_NONE) {
            *pair = (TokPair){left, right, rank};
            return true;
        }
        if (pair->left == left && pair->right == right) return true; /* the first one holds */
    }
    return false;
}

/* The text of a merge without its space: a symbol's own, or kept in extra_text. */
static uint32_t joined_symbol(Tokenizer *t, Span left, Span right, Buf *joined)
{
    buf_clear(joined);
    buf_add(joined, left.data, left.size);
    buf_add(joined, right.data, right.size);
    if (joined->failed) {
        t->no_memory = true;
        return TOK_NONE;
    }
    uint32_t symbol = tok_symbol(t, joined->data, joined->size);
    if (symbol != TOK_NONE) return symbol;
    /* extra_text was reserved for all merges: it does not move. */
    char *kept = t->extra_text.data + t->extra_text.size;
    memcpy(kept, joined->data, joined->size);
    t->extra_text.size += joined->size;
    return tok_intern(t, (Span){kept, joined->size});
}

static bt_status refuse(const Tokenizer *t, const TokSource *source, uint64_t i, bt_error *err)
{
    if (t->no_memory)
        return bt_fail_memory(err, "the texts of the merges", source->n_merges * sizeof(Span));
    return bt_fail(err, BT_E_LIMIT,
                   "tokenizer.ggml.merges[%llu] or one soon after it: the texts were made to "
                   "collide; convert the model again",
                   (unsigned long long)i);
}

/* Merges with an empty side, or without a space, can never apply. */
static bool parts_of(Span merge, Span *left, Span *right)
{
    const char *space = merge.size < 3 ? NULL : memchr(merge.data + 1, ' ', merge.size - 1);
    if (!space) return false;
    left->data = merge.data;
    left->size = (size_t)(space - merge.data);
    right->data = space + 1;
    right->size = merge.size - left->size - 1;
    return right->size > 0;
}

static bt_status reserve(Tokenizer *t, const TokSource *source, bt_error *err)
{
    uint64_t bytes = 0, slots = 16;
    for (uint64_t i = 0; i < source->n_merges; i++) {
        if (source->merges[i].size > TOK_MAX_LENGTH)
            return bt_fail(err, BT_E_FORMAT,
                           "tokenizer.ggml.merges[%llu]: %zu bytes long, at most %u are allowed",
                           (unsigned long long)i, source->merges[i].size, TOK_MAX_LENGTH);
        bytes += source->merges[i].size;
    }
    while (slots < source->n_merges + source->n_merges / 2) slots *= 2;
    t->pairs = mem_alloc(slots * sizeof(TokPair));
    t->result = mem_alloc((source->n_merges + 1) * sizeof(uint32_t));
    t->extra_text.data = mem_alloc(bytes + 1); /* touched only by odd vocabularies */
    if (!t->pairs || !t->result || !t->extra_text.data)
        return bt_fail_memory(err, "the merges", slots * sizeof(TokPair) + bytes);
    t->extra_text.capacity = bytes + 1;
    memset(t->pairs, 0xFF, slots * sizeof(TokPair));
    t->pair_mask = slots - 1;
    t->n_keys = (uint32_t)source->n_merges;
    return BT_OK;
}

/* For the next merges: their sides, and what they make, of which short ones are enough. */
static void warm_merges(const Tokenizer *t, const TokSource *source, uint64_t from)
{
    enum { MERGES = TOK_WARM / 3, BYTES = 32 };
    Span texts[TOK_WARM];
    char joined[MERGES][BYTES];
    size_t n = 0;
    for (uint64_t i = from; i < from + MERGES && i < source->n_merges; i++) {
        if (!parts_of(source->merges[i], &texts[n], &texts[n + 1])) continue;
        Span left = texts[n], right = texts[n + 1];
        n += 2;
        if (left.size + right.size > BYTES) continue;
        char *text = joined[i - from];
        memcpy(text, left.data, left.size);
        memcpy(text + left.size, right.data, right.size);
        texts[n++] = (Span){text, left.size + right.size};
    }
    tok_table_warm(t, texts, n);
}

/* Symbols and results of merges [from, to); brings the slots of their pairs into the cache. */
static bool resolve(Tokenizer *t, const TokSource *source, uint64_t from, uint64_t to,
                    uint32_t (*sides)[2], Buf *joined)
{
    warm_merges(t, source, from);
    for (uint64_t i = from; i < to; i++) {
        Span left, right;
        uint32_t *side = sides[i - from];
        t->result[i] = TOK_NONE;
        side[0] = TOK_NONE;
        if (!parts_of(source->merges[i], &left, &right)) continue;
        side[0] = tok_intern(t, left);
        side[1] = tok_intern(t, right);
        t->result[i] = joined_symbol(t, left, right, joined);
        if (side[0] == TOK_NONE || side[1] == TOK_NONE || t->result[i] == TOK_NONE) return false;
        __builtin_prefetch(&t->pairs[tok_pair_hash(side[0], side[1]) & t->pair_mask]);
    }
    return true;
}

static bt_status open_merges(Tokenizer *t, const TokSource *source, bt_error *err)
{
    enum { BATCH = TOK_WARM / 3 };
    uint32_t sides[BATCH][2];
    bt_status status = reserve(t, source, err);
    Buf joined = {0};
    for (uint64_t from = 0; status == BT_OK && from < source->n_merges; from += BATCH) {
        uint64_t to = from + BATCH < source->n_merges ? from + BATCH : source->n_merges;
        bool ok = resolve(t, source, from, to, sides, &joined);
        for (uint64_t i = from; ok && i < to; i++)
            if (sides[i - from][0] != TOK_NONE)
                ok = put_pair(t, sides[i - from][0], sides[i - from][1], (uint32_t)i);
        if (!ok) status = refuse(t, source, from, err);
    }
    buf_close(&joined);
    for (uint32_t i = 0; status == BT_OK && t->joins && i < t->n + t->n_extra; i++)
        tok_join_add(t, tok_symbol_text(t, i));
    return status;
}

static void open_alphabet(Tokenizer *t)
{
    for (unsigned b = 0; b < 256; b++) {
        char text[8];
        t->byte_sym[b] = tok_symbol(t, text, utf8_put(tok_byte_char((unsigned char)b), text));
        t->byte_token[b] = -1;
    }
    for (unsigned c = 0; c < 128; c++) {
        char byte = (char)c;
        t->ascii[c] = tok_symbol(t, &byte, 1);
    }
    t->ascii[' '] = tok_symbol(t, "\xE2\x96\x81", 3);
    for (uint32_t i = 0; i < t->n; i++) {
        int byte = tok_hex_byte(t->tokens[i]);
        if (byte >= 0) t->byte_token[byte] = (int32_t)i;
    }
}

bt_status tok_bpe_open(Tokenizer *t, const TokSource *source, bt_error *err)
{
    Span pre = t->raw ? SPAN("gemma4") : source->pre;
    t->rule = pre_find(pre);
    if (!t->rule && pre.size)
        return bt_fail(err, BT_E_UNSUPPORTED,
                       "tokenizer.ggml.pre is '%.*s', a rule of words that is not known: ids by "
                       "another would be wrong; convert the model from its maker's folder",
                       (int)(pre.size < 64 ? pre.size : 64), pre.data);
    if (!t->rule) {
        log_line(BT_LOG_WARN,
                 "tokenizer.ggml.pre is missing: splitting words by the default rule, which may "
                 "not be the one the model learned; convert the model again if its answers are "
                 "poor");
        t->rule = pre_find(SPAN("default"));
    }
    t->raw = t->rule == pre_find(SPAN("gemma4"));
    if (t->raw) {
        t->join_mask = (1u << 21) - 1;
        t->joins = mem_zalloc((t->join_mask + 1) / 64, sizeof(uint64_t));
        if (!t->joins) return bt_fail_memory(err, "the merges", (t->join_mask + 1) / 8);
    }
    bt_status status = open_merges(t, source, err);
    if (status == BT_OK) open_alphabet(t);
    return status;
}

/* ---- encoding ---- */

typedef struct BpeText {
    const Tokenizer *t;
    TokMerge **scratch;
    TokIds *ids;
} BpeText;

/* The token that a whole word is, or TOK_NONE. */
static uint32_t whole(const Tokenizer *t, const char *p, size_t n)
{
    char text[512];
    size_t size = 0;
    if (n > sizeof(text) / 2 || n > t->longest) return TOK_NONE;
    for (size_t i = 0; i < n; i++)
        size += utf8_put(tok_byte_char((unsigned char)p[i]), text + size);
    uint32_t symbol = tok_symbol(t, text, size);
    return symbol < t->n && t->types[symbol] != TOK_CONTROL ? symbol : TOK_NONE;
}

static bool word(void *user, const char *p, size_t n)
{
    BpeText *text = user;
    const Tokenizer *t = text->t;
    uint32_t symbol = TOK_NONE;
    if (t->raw) {
        if (*p == '\n') symbol = tok_symbol(t, p, n);
        if (symbol < t->n)
            tok_put(text->ids, (int32_t)symbol);
        else
            tok_merge_parts(t, p, n, text->scratch, text->ids);
        return !text->ids->failed;
    }
    if (t->rule->ignore_merges) symbol = whole(t, p, n);
    if (symbol < t->n)
        tok_put(text->ids, (int32_t)symbol);
    else
        tok_merge_word(t, p, n, text->scratch, text->ids);
    return !text->ids->failed;
}

bool tok_bpe_encode(const Tokenizer *t, const char *p, size_t n, TokMerge **scratch, TokIds *ids)
{
    BpeText text = {t, scratch, ids};
    return pre_split(t->rule, p, n, word, &text);
}
