/* SentencePiece BPE ("llama"): merges are those that make a token, the best score first; what is no
 * token is written as bytes. Texts are kept and looked up with ' ' for U+2581, so that a text needs
 * no rewriting that makes it longer. */
#include <string.h>

#include "base/mem.h"
#include "text/tok.h"

#define MARK "\xE2\x96\x81" /* U+2581 */

/* ---- loading ---- */

/* t->plain: borrowed where a token has no U+2581, else rewritten. A token with a space of its own
 * is nothing that merging can make. */
static bool open_plain(Tokenizer *t)
{
    size_t size = 0;
    for (uint32_t i = 0; i < t->n; i++)
        if (memchr(t->tokens[i].data, '\xE2', t->tokens[i].size)) size += t->tokens[i].size;
    t->plain = mem_alloc(t->n * sizeof(Span));
    char *out = t->plain_text = mem_alloc(size);
    if (!t->plain || !out) return false;
    for (uint32_t i = 0; i < t->n; i++) {
        Span token = t->tokens[i];
        t->plain[i] = token;
        if (memchr(token.data, ' ', token.size)) {
            t->plain[i] = (Span){0};
        } else if (memchr(token.data, '\xE2', token.size)) {
            t->plain[i].data = out;
            for (size_t j = 0; j < token.size;) {
                bool mark = token.size - j >= 3 && memcmp(token.data + j, MARK, 3) == 0;
                *out++ = mark ? ' ' : token.data[j];
                j += mark ? 3 : 1;
            }
            t->plain[i].size = (size_t)(out - t->plain[i].data);
        }
    }
    return true;
}

/* A score as a number that sorts like it, best first; what is no number comes last. */
static uint32_t score_key(float score)
{
    uint32_t bits;
    if (score != score) return 0xFFFFFFFF;
    score += 0.0f; /* -0 equals 0 */
    memcpy(&bits, &score, 4);
    return bits >> 31 ? bits : ~bits & 0x7FFFFFFF;
}

/* Ranks of the scores in t->order, equal ones alike: radix sort, two passes of 16 bits. */
static bool open_order(Tokenizer *t, const float *scores)
{
    t->order = mem_zalloc(t->n, sizeof(uint32_t));
    t->n_keys = 1;
    if (!t->order || !scores) return t->order != NULL;
    uint32_t *a = mem_alloc(t->n * sizeof(uint32_t)), *b = mem_alloc(t->n * sizeof(uint32_t));
    uint32_t *count = mem_alloc(65537 * sizeof(uint32_t));
    bool ok = a && b && count;
    for (uint32_t i = 0; ok && i < t->n; i++) a[i] = i;
    for (int pass = 0; ok && pass < 2; pass++) {
        memset(count, 0, 65537 * sizeof(uint32_t));
        for (uint32_t i = 0; i < t->n; i++)
            count[(score_key(scores[i]) >> (pass * 16) & 0xFFFF) + 1]++;
        for (uint32_t i = 0; i < 65536; i++) count[i + 1] += count[i];
        for (uint32_t i = 0; i < t->n; i++)
            b[count[score_key(scores[a[i]]) >> (pass * 16) & 0xFFFF]++] = a[i];
        uint32_t *swap = a;
        a = b;
        b = swap;
    }
    for (uint32_t i = 0, rank = 0; ok && i < t->n; i++) {
        if (i > 0 && score_key(scores[a[i]]) != score_key(scores[a[i - 1]])) rank++;
        t->order[a[i]] = rank;
        t->n_keys = rank + 1;
    }
    mem_free(a);
    mem_free(b);
    mem_free(count);
    return ok;
}

static void open_alphabet(Tokenizer *t)
{
    for (unsigned c = 0; c < 256; c++) {
        char byte = (char)c;
        uint32_t symbol = tok_symbol(t, &byte, 1);
        if (c < 128) t->ascii[c] = symbol;
        t->byte_token[c] = symbol < t->n ? (int32_t)symbol : -1;
    }
    for (uint32_t i = 0; i < t->n; i++) {
        int byte = tok_hex_byte(t->tokens[i]);
        if (byte >= 0) t->byte_token[byte] = (int32_t)i;
    }
}

bt_status tok_spm_open(Tokenizer *t, const TokSource *source, bt_error *err)
{
    t->join_mask = (1u << 21) - 1;
    t->joins = mem_zalloc((t->join_mask + 1) / 64, sizeof(uint64_t));
    if (!t->joins || !open_order(t, source->scores))
        return bt_fail_memory(err, "the vocabulary", t->n * sizeof(uint32_t));
    for (uint32_t i = 0; i < t->n; i++) {
        if (t->types[i] == TOK_CONTROL || t->types[i] == TOK_UNKNOWN) continue;
        if (t->plain[i].data) tok_join_add(t, t->plain[i]);
    }
    open_alphabet(t);
    return BT_OK;
}

bool tok_spm_plain(Tokenizer *t)
{
    return open_plain(t);
}

/* ---- encoding ---- */

bool tok_spm_encode(const Tokenizer *t, const char *p, size_t n, bool first, TokMerge **scratch,
                    TokIds *ids)
{
    bool prefix = first && t->space_prefix, marks = false;
    for (const char *at = p, *end = p + n; !marks && at < end; at++) {
        at = memchr(at, '\xE2', (size_t)(end - at));
        if (!at) break;
        marks = end - at >= 3 && memcmp(at, MARK, 3) == 0;
    }
    char *copy = NULL;
    if (prefix || marks) {
        char *out = copy = mem_alloc(n + 1);
        if (!copy) return false;
        if (prefix) *out++ = ' ';
        for (size_t i = 0; i < n;) {
            bool mark = marks && n - i >= 3 && memcmp(p + i, MARK, 3) == 0;
            *out++ = mark ? ' ' : p[i];
            i += mark ? 3 : 1;
        }
        p = copy;
        n = (size_t)(out - copy);
    }
    tok_merge_parts(t, p, n, scratch, ids);
    mem_free(copy);
    return !ids->failed;
}
