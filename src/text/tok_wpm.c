/* WordPiece as BERT's uncased vocabularies use it: text is taken apart into base letters in lower
 * case, words are split at spaces, punctuation and Chinese characters, and each word is covered
 * with the longest tokens from the left. GGUF writes a word's first token with U+2581 before it,
 * and the others bare. Source: Devlin et al. 2019 and the BertNormalizer of its vocabularies. */
#include <string.h>

#include "text/tok.h"
#include "text/unicode.h"
#include "text/utf8.h"

/* The blocks that BERT calls Chinese (its list, not Unicode's). */
static bool is_chinese(uint32_t c)
{
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F) ||
           (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x2F800 && c <= 0x2FA1F);
}

/* A word is never more than this: 3 bytes of U+2581 and TOK_MAX_WORD characters. */
typedef struct Word {
    char text[3 + TOK_MAX_WORD * 4];
    size_t size, count;
} Word;

static void word_end(const Tokenizer *t, Word *w, TokIds *ids)
{
    if (!w->count) return;
    size_t kept = ids->n;
    bool known = w->count <= TOK_MAX_WORD;
    for (size_t at = 0; known && at < w->size;) {
        size_t n = w->size - at < t->longest ? w->size - at : t->longest;
        uint32_t id = TOK_NONE;
        while (n > 0 && (id = tok_symbol(t, w->text + at, n)) == TOK_NONE) n--;
        known = id != TOK_NONE;
        if (known) tok_put(ids, (int32_t)id);
        at += n;
    }
    if (!known) {
        ids->n = kept;
        if (t->unk >= 0) tok_put(ids, t->unk);
    }
    w->size = w->count = 0;
}

static void word_add(Word *w, uint32_t c)
{
    if (w->count++ == 0) {
        memcpy(w->text, "\xE2\x96\x81", 3);
        w->size = 3;
    }
    if (w->count <= TOK_MAX_WORD) w->size += utf8_put(c, w->text + w->size);
}

bool tok_wpm_encode(const Tokenizer *t, const char *p, size_t n, TokIds *ids)
{
    Word w = {.size = 0};
    size_t length;
    for (size_t i = 0; i < n && !ids->failed; i += length) {
        uint32_t c = utf8_next(p + i, n - i, &length), base[3];
        unsigned kind = unicode_class(c);
        if (kind & UC_SPACE) {
            word_end(t, &w, ids);
            continue;
        }
        if (c == 0 || c == UTF8_BAD || (kind & UC_CONTROL)) continue;
        if (is_chinese(c)) word_end(t, &w, ids);
        size_t count = unicode_base(c, base);
        for (size_t j = 0; j < count; j++) {
            kind = unicode_class(base[j]);
            bool alone = (kind & UC_PUNCT) || (base[j] < 0x7F && (kind & UC_SYMBOL));
            if (alone) word_end(t, &w, ids);
            word_add(&w, unicode_lower(base[j]));
            if (alone) word_end(t, &w, ids);
        }
        if (is_chinese(c)) word_end(t, &w, ids);
    }
    word_end(t, &w, ids);
    return !ids->failed;
}
