/* The tries and ready-made sets of a vocabulary (see token_set.h). */
#include "text/token_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "text/token_region.h"
#include "text/utf8.h"

static int by_text(const void *left, const void *right)
{
    const TokenEntry *a = left, *b = right;
    size_t n = a->text.size < b->text.size ? a->text.size : b->text.size;
    int order = n ? memcmp(a->text.data, b->text.data, n) : 0;
    if (order) return order;
    if (a->text.size != b->text.size) return a->text.size < b->text.size ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

/* Characters of a plain text, of which the last may be begun only; 0: it is none. */
static size_t plain_length(Span text)
{
    size_t whole = utf8_whole(text.data, text.size), length = whole < text.size, n;
    text.size = whole;
    for (size_t i = 0; i < text.size; i += n, length++) {
        unsigned char c = (unsigned char)text.data[i];
        utf8_next(text.data + i, text.size - i, &n);
        if (c < 0x20 || c == '"' || c == '\\' || (n == 1 && c >= 0x80)) return 0;
    }
    return length <= TOKEN_SET_PLAIN ? length : 0;
}

static bool list_kids(Trie *trie)
{
    uint32_t n = 0;
    trie->kid = mem_alloc(((size_t)trie->n_roots * 256 + 1) * sizeof *trie->kid);
    trie->kid_byte = mem_alloc((size_t)trie->n_roots * 256 + 1);
    bool good = trie->kid && trie->kid_byte;
    for (uint32_t r = 0; r < trie->n_roots && good; r++) {
        uint32_t end = trie->nodes[trie->root[r]].skip;
        trie->first_kid[r] = n;
        for (uint32_t i = trie->root[r] + 1; i < end; i = trie->nodes[i].skip) {
            trie->kid_byte[n] = trie->nodes[i].byte;
            trie->kid[n++] = i;
        }
        trie->first_kid[r + 1] = n;
    }
    return good;
}

/* Entries are sorted. Every node is opened once, when the first text that goes through it comes;
 * `open` holds the nodes on the way to the last text. */
static bool build(Trie *trie, const TokenEntry *entries, uint32_t n)
{
    uint32_t open[TOKEN_SET_LONGEST] = {0};
    uint64_t most = 0;
    size_t depth = 0;
    for (uint32_t i = 0; i < n; i++) most += entries[i].text.size;
    trie->order = mem_alloc((n + 1) * sizeof *trie->order);
    trie->nodes = mem_alloc((most + 1) * sizeof *trie->nodes);
    if (!trie->order || !trie->nodes) return false;
    for (uint32_t i = 0; i < n; i++) {
        Span text = entries[i].text;
        size_t same = 0;
        trie->order[i] = entries[i].id;
        while (same < depth && same < text.size &&
               trie->nodes[open[same]].byte == (unsigned char)text.data[same])
            same++;
        while (depth > same) trie->nodes[open[--depth]].skip = trie->n_nodes;
        for (; depth < text.size; depth++) {
            open[depth] = trie->n_nodes;
            if (depth)
                trie->nodes[open[depth - 1]].next |= byte_kind_bit((unsigned char)text.data[depth]);
            trie->nodes[trie->n_nodes++] = (TrieNode){
                .first = i, .depth = (uint16_t)(depth + 1), .byte = (uint8_t)text.data[depth]};
        }
    }
    while (depth) trie->nodes[open[--depth]].skip = trie->n_nodes;
    trie->nodes[trie->n_nodes] = (TrieNode){.first = n};
    for (uint32_t i = 0; i < trie->n_nodes; i = trie->nodes[i].skip) {
        trie->root[trie->n_roots] = i;
        trie->root_byte[trie->n_roots++] = trie->nodes[i].byte;
    }
    TrieNode *fit = mem_realloc(trie->nodes, (trie->n_nodes + 1) * sizeof *fit);
    if (fit) trie->nodes = fit;
    return list_kids(trie);
}

static uint32_t plain_beginning(Span text)
{
    uint32_t n = 0;
    for (; n < text.size && n < TOKEN_SET_PLAIN; n++) {
        unsigned char c = (unsigned char)text.data[n];
        if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\') break;
    }
    return n;
}

bool token_after_build(TokenAfter *after, TokenEntry *entries, uint32_t n)
{
    uint64_t below[TOKEN_SET_LONGEST + 2] = {0};
    const Trie *trie = &after->trie;
    qsort(entries, n, sizeof *entries, by_text);
    if (!build(&after->trie, entries, n)) return false;
    after->before = mem_alloc(n + 1);
    after->befores = mem_zalloc(trie->n_nodes + 1, sizeof *after->befores);
    if (!after->before || !after->befores) return false;
    for (uint32_t i = 0; i < n; i++) after->before[i] = entries[i].before;
    for (uint32_t i = trie->n_nodes; i-- > 0;) {
        const TrieNode *node = &trie->nodes[i];
        after->befores[i] = below[node->depth + 1];
        below[node->depth + 1] = 0;
        for (uint32_t k = node->first; k < trie->nodes[i + 1].first; k++)
            after->befores[i] |= (uint64_t)1 << after->before[k];
        below[node->depth] |= after->befores[i];
    }
    return true;
}

/* Makes the trie of what follows the plain beginnings; `rest` is used up. */
static bool find_after(TokenSet *set, TokenEntry *rest, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t begin = plain_beginning(rest[i].text);
        rest[i].text = (Span){rest[i].text.data + begin, rest[i].text.size - begin};
        rest[i].before = (uint8_t)begin;
    }
    return token_after_build(&set->after, rest, n);
}

static bool find_tails(TokenSet *set, uint32_t n)
{
    set->tails = mem_zalloc(n + 1, sizeof *set->tails);
    for (uint32_t i = 0; set->tails && i < n; i++) {
        Span text = token_set_text(set, set->plain.order[i]);
        uint64_t *bytes = set->tails[i].bytes;
        for (size_t k = 1; k < text.size; k++) {
            unsigned char c = (unsigned char)text.data[k];
            if (c < 0x80)
                bytes[c / 64] |= (uint64_t)1 << (c % 64);
            else
                bytes[0] |= TAIL_OTHERS;
        }
        if (text.size - 1 > TOKEN_SET_ALIKE) bytes[0] |= TAIL_LONG;
    }
    return set->tails;
}

/* Splits the tokens into the two tries and fills the sets. */
static bool fill(TokenSet *set)
{
    TokenEntry *plain = mem_alloc((set->n + 1) * sizeof *plain);
    TokenEntry *rest = mem_alloc((set->n + 1) * sizeof *rest);
    uint32_t n_plain = 0, n_rest = 0;
    bool good = plain && rest;
    for (uint32_t id = 0; good && id < set->n; id++) {
        TokenEntry entry = {token_set_text(set, id), id, 0};
        if (!entry.text.size || entry.text.size > TOKEN_SET_LONGEST) continue;
        size_t length = plain_length(entry.text);
        if (!length) {
            rest[n_rest++] = entry;
            continue;
        }
        plain[n_plain++] = entry;
        token_set_add(set->up_to + (length - 1) * set->words, id);
    }
    for (size_t i = set->words; good && i < TOKEN_SET_PLAIN * set->words; i++)
        set->up_to[i] |= set->up_to[i - set->words];
    if (good) {
        qsort(plain, n_plain, sizeof *plain, by_text);
        qsort(rest, n_rest, sizeof *rest, by_text);
        good = build(&set->plain, plain, n_plain) && build(&set->rest, rest, n_rest) &&
               find_after(set, rest, n_rest) && find_tails(set, n_plain);
        for (uint32_t i = 0; i < n_rest; i++) rest[i].text = token_set_text(set, rest[i].id);
        good = good && token_set_find_strings(set, rest, n_rest) && region_store_open(set);
    }
    mem_free(plain);
    mem_free(rest);
    return good;
}

static TokenSet *new_set(uint32_t n)
{
    TokenSet *set = mem_zalloc(1, sizeof *set);
    if (!set) return NULL;
    set->n = n;
    set->words = (n + 63) / 64 + (n == 0);
    set->at = mem_zalloc(n + 1, sizeof *set->at);
    set->up_to = mem_zalloc(TOKEN_SET_PLAIN * set->words, sizeof *set->up_to);
    set->ends = mem_zalloc(set->words, sizeof *set->ends);
    if (!set->at || !set->up_to || !set->ends) token_set_close(&set);
    return set;
}

static bt_status finish(TokenSet *set, Buf *bytes, TokenSet **out, bt_error *err)
{
    buf_char(bytes, '\0'); /* there is always one */
    uint64_t size = bytes->size;
    set->bytes = buf_take(bytes);
    if (!set->bytes || size > UINT32_MAX || !fill(set)) {
        token_set_close(&set);
        return bt_fail_memory(err, "the vocabulary of a grammar", size * 16);
    }
    *out = set;
    return BT_OK;
}

/* Byte 0xFF marks control tokens and is part of no UTF-8: a text token that has it (byte-level
 * vocabularies have one for each byte) would pass for the mark, and is never allowed. */
static void add_token(Buf *bytes, Span text, bool control)
{
    if (text.size && memchr(text.data, 0xFF, text.size)) return;
    if (control) buf_char(bytes, (char)0xFF);
    buf_add(bytes, text.data, text.size);
}

bt_status token_set_of(const Span *texts, const bool *control, const bool *ends, uint32_t n,
                       TokenSet **out, bt_error *err)
{
    Buf bytes = {0};
    TokenSet *set = new_set(n);
    *out = NULL;
    if (!set) return bt_fail_memory(err, "the vocabulary of a grammar", (uint64_t)n * 8);
    for (uint32_t id = 0; id < n; id++) {
        add_token(&bytes, texts[id], control && control[id]);
        set->at[id + 1] = (uint32_t)bytes.size;
        if (ends && ends[id]) token_set_add(set->ends, id);
    }
    return finish(set, &bytes, out, err);
}

bt_status token_set_open(const Tokenizer *tok, TokenSet **out, bt_error *err)
{
    Buf bytes = {0};
    char text[TOKEN_SET_LONGEST];
    uint32_t n = (uint32_t)tok_size(tok);
    TokenSet *set = new_set(n);
    *out = NULL;
    if (!set) return bt_fail_memory(err, "the vocabulary of a grammar", (uint64_t)n * 8);
    for (uint32_t id = 0; id < n; id++) {
        bool control = tok_is_special(tok, (int32_t)id);
        int64_t size = tok_text(tok, (int32_t)id, control, false, text, sizeof text);
        if (size > 0 && size < (int64_t)sizeof text)
            add_token(&bytes, (Span){text, (size_t)size}, control);
        set->at[id + 1] = (uint32_t)bytes.size;
        if (tok_ends(tok, (int32_t)id)) token_set_add(set->ends, id);
    }
    return finish(set, &bytes, out, err);
}

static void close_trie(Trie *trie)
{
    mem_free(trie->nodes);
    mem_free(trie->order);
    mem_free(trie->kid);
    mem_free(trie->kid_byte);
}

static void close_after(TokenAfter *after)
{
    close_trie(&after->trie);
    mem_free(after->before);
    mem_free(after->befores);
}

void token_set_close(TokenSet **pointer)
{
    TokenSet *set = *pointer;
    if (!set) return;
    region_store_close(set);
    close_after(&set->after);
    close_after(&set->close);
    mem_free(set->inner);
    mem_free(set->odd);
    mem_free(set->at);
    mem_free(set->bytes);
    close_trie(&set->rest);
    close_trie(&set->plain);
    mem_free(set->tails);
    mem_free(set->up_to);
    mem_free(set->ends);
    mem_free(set);
    *pointer = NULL;
}
