/* tokenizer.json of the `tokenizers` library: vocabulary, merges, added tokens. Byte-level BPE
 * becomes GGUF's "gpt2", BPE over characters with U+2581 for spaces "llama" (by scores that fall
 * with the rank of the merge) or, for Gemma 4, "gemma4"; WordPiece "bert"; Unigram:
 * vocab_unigram.c. */
#include <stdio.h>

#include "base/mem.h"
#include "convert/vocab.h"

#define LOW_LINE "\xE2\x96\x81" /* U+2581, what stands for a space */

bool voc_grow(Convert *c, Voc *v, uint32_t n)
{
    if (n <= v->n) return true;
    if (n > VOCAB_MOST_TOKENS) {
        plan_fail(c, BT_E_LIMIT, "a vocabulary of %u tokens; at most %u are read", n,
                  VOCAB_MOST_TOKENS);
        return false;
    }
    if (n > v->capacity) {
        uint32_t capacity = n + n / 4 + 64;
        Span *tokens = plan_memory(c, capacity, sizeof *tokens);
        int32_t *types = plan_memory(c, capacity, sizeof *types);
        float *scores = plan_memory(c, capacity, sizeof *scores);
        if (!tokens || !types || !scores) return false;
        if (v->n) {
            memcpy(tokens, v->tokens, v->n * sizeof *tokens);
            memcpy(types, v->types, v->n * sizeof *types);
            memcpy(scores, v->scores, v->n * sizeof *scores);
        }
        v->tokens = tokens, v->types = types, v->scores = scores;
        v->capacity = capacity;
    }
    for (; v->n < n; v->n++) v->types[v->n] = 0; /* named when all are there: see vocab.c */
    return true;
}

int32_t voc_find(const Voc *v, Span text)
{
    for (uint32_t i = v->n; i > 0; i--) /* special ones stand at the end, mostly */
        if (v->types[i - 1] && span_equal(v->tokens[i - 1], text)) return (int32_t)(i - 1);
    return -1;
}

/* ---- vocabulary ---- */

static bool read_id(Convert *c, JdocRef v, uint32_t *out)
{
    int64_t id;
    if (jdoc_integer(c->tokenizer, v, &id) && id >= 0 && id < VOCAB_MOST_TOKENS) {
        *out = (uint32_t)id;
        return true;
    }
    plan_fail(c, BT_E_FORMAT, "tokenizer.json: an id is no number from 0 to %u",
              VOCAB_MOST_TOKENS - 1);
    return false;
}

static bool is_byte(Span t)
{
    return t.size == 6 && memcmp(t.data, "<0x", 3) == 0 && t.data[5] == '>';
}

static void read_vocab(Convert *c, JdocRef list, bool bytes, Voc *v)
{
    const Jdoc *d = c->tokenizer;
    uint32_t n = jdoc_count(d, list), id, most = 0;
    JdocRef k = jdoc_first(d, list);
    if (jdoc_type(d, list) != JDOC_OBJECT || n == 0 || n > VOCAB_MOST_TOKENS) {
        plan_fail(c, BT_E_FORMAT, "tokenizer.json: model.vocab is no object of tokens");
        return;
    }
    for (uint32_t i = 0; i < n; i++, k = jdoc_next(d, jdoc_next(d, k))) {
        if (!read_id(c, jdoc_next(d, k), &id)) return;
        if (id > most) most = id;
    }
    if (!voc_grow(c, v, most + 1)) return;
    k = jdoc_first(d, list);
    for (uint32_t i = 0; i < n; i++, k = jdoc_next(d, jdoc_next(d, k))) {
        read_id(c, jdoc_next(d, k), &id);
        Span text = jdoc_text(d, k);
        if (v->types[id]) {
            plan_fail(c, BT_E_FORMAT, "tokenizer.json: id %u stands twice", id);
            return;
        }
        v->tokens[id] = text;
        v->types[id] = bytes && is_byte(text) ? 6 : 1;
    }
}

/* ---- merges ---- */

/* One side; a space inside is written as byte-level BPE would. */
static void add_side(Buf *b, Span side)
{
    for (size_t i = 0; i < side.size; i++) {
        if (side.data[i] == ' ')
            buf_text(b, "\xC4\xA0"); /* U+0120 */
        else
            buf_char(b, side.data[i]);
    }
}

/* Texts of all merges, in memory of the plan. */
static void read_merges(Convert *c, JdocRef list, Voc *v)
{
    const Jdoc *d = c->tokenizer;
    uint32_t n = jdoc_count(d, list);
    JdocRef m = jdoc_first(d, list);
    Buf text = {0};
    if (n > VOCAB_MOST_MERGES) plan_fail(c, BT_E_LIMIT, "tokenizer.json: %u merges", n);
    v->merges = plan_memory(c, n, sizeof *v->merges);
    for (uint32_t i = 0; i < n && v->merges && !plan_failed(c); i++, m = jdoc_next(d, m)) {
        JdocRef left = jdoc_at(d, m, 0), right = jdoc_at(d, m, 1);
        size_t before = text.size;
        if (jdoc_type(d, m) == JDOC_STRING) {
            v->merges[i] = jdoc_text(d, m);
            continue;
        }
        if (jdoc_count(d, m) != 2 || jdoc_type(d, left) != JDOC_STRING ||
            jdoc_type(d, right) != JDOC_STRING) {
            plan_fail(c, BT_E_FORMAT, "tokenizer.json: merge %u is no pair of texts", i);
            break;
        }
        add_side(&text, jdoc_text(d, left));
        buf_char(&text, ' ');
        add_side(&text, jdoc_text(d, right));
        v->merges[i] = (Span){NULL, text.size - before}; /* placed below, when it moves no more */
    }
    char *kept = text.failed ? NULL : plan_memory(c, text.size + 1, 1);
    if (text.failed) plan_fail(c, BT_E_MEMORY, "not enough memory for the merges");
    if (kept && text.size) memcpy(kept, text.data, text.size);
    for (uint32_t i = 0; kept && v->merges && i < n; i++)
        if (!v->merges[i].data) {
            v->merges[i].data = kept;
            kept += v->merges[i].size;
        }
    buf_close(&text);
    v->n_merges = plan_failed(c) ? 0 : n;
}

/* ---- BPE by scores ---- */

typedef struct Finder {
    uint32_t *slots; /* id + 1 */
    uint32_t mask;
} Finder;

static uint32_t hash_of(const char *a, size_t n, const char *b, size_t m)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)a[i]) * 16777619u;
    for (size_t i = 0; i < m; i++) h = (h ^ (unsigned char)b[i]) * 16777619u;
    return h ^ h >> 15;
}

static bool is_joined(Span t, Span a, Span b)
{
    return t.size == a.size + b.size && memcmp(t.data, a.data, a.size) == 0 &&
           memcmp(t.data + a.size, b.data, b.size) == 0;
}

/* The token that two sides make; NULL slot chains end after 4,096, which no honest file needs. */
static int64_t find_joined(const Voc *v, const Finder *f, Span a, Span b)
{
    uint32_t h = hash_of(a.data, a.size, b.data, b.size);
    for (uint32_t i = 0; i < 4096; i++) {
        uint32_t slot = f->slots[(h + i) & f->mask];
        if (!slot) return -1;
        if (is_joined(v->tokens[slot - 1], a, b)) return slot - 1;
    }
    return -1;
}

static void sides_of(Span merge, Span *a, Span *b)
{
    const char *space = merge.size > 2 ? memchr(merge.data + 1, ' ', merge.size - 1) : NULL;
    *a = (Span){merge.data, space ? (size_t)(space - merge.data) : merge.size};
    *b = space ? (Span){space + 1, merge.size - a->size - 1} : (Span){"", 0};
}

/* SentencePiece merges the pair whose result scores best; merges name the same by rank. A token no
 * merge makes must never be made: it scores lowest. */
static void score_by_merges(Convert *c, Voc *v)
{
    Finder f = {.mask = 15};
    while (f.mask < 2 * v->n) f.mask = 2 * f.mask + 1;
    f.slots = mem_zalloc((size_t)f.mask + 1, sizeof *f.slots);
    if (!f.slots) {
        plan_fail(c, BT_E_MEMORY, "not enough memory for the vocabulary");
        return;
    }
    for (uint32_t id = 0; id < v->n; id++) {
        Span t = v->tokens[id];
        uint32_t h = hash_of(t.data, t.size, "", 0);
        v->scores[id] = -1e6f - (float)v->n_merges;
        for (uint32_t i = 0; i < 4096 && t.size; i++)
            if (!f.slots[(h + i) & f.mask]) {
                f.slots[(h + i) & f.mask] = id + 1;
                break;
            }
    }
    for (uint32_t i = v->n_merges; i > 0; i--) { /* the first merge that makes a token holds */
        Span a, b;
        sides_of(v->merges[i - 1], &a, &b);
        int64_t id = find_joined(v, &f, a, b);
        if (id >= 0) v->scores[id] = -(float)(i - 1);
    }
    mem_free(f.slots);
    v->n_merges = 0;
}

/* ---- normaliser ---- */

/* Replace " " by U+2581, and whether one is put first. */
static bool spaces_normalizer(const Convert *c, JdocRef n, Voc *v)
{
    const Jdoc *d = c->tokenizer;
    JdocRef type = jdoc_get(d, n, "type");
    if (jdoc_is(d, type, "Prepend") && jdoc_is(d, jdoc_get(d, n, "prepend"), LOW_LINE)) {
        v->space_prefix = 1;
        return true;
    }
    return jdoc_is(d, type, "Replace") && jdoc_is(d, jdoc_get(d, n, "content"), LOW_LINE) &&
           jdoc_is(d, jdoc_get(d, jdoc_get(d, n, "pattern"), "String"), " ");
}

static bool byte_normalizer(const Convert *c, JdocRef n, Voc *v)
{
    if (!jdoc_is(c->tokenizer, jdoc_get(c->tokenizer, n, "type"), "NFC")) return false;
    v->nfc = true;
    return true;
}

static void unknown_normalizer(Convert *c, JdocRef n)
{
    Span type = jdoc_text(c->tokenizer, jdoc_get(c->tokenizer, n, "type"));
    plan_fail(c, BT_E_UNSUPPORTED, "tokenizer.json: the normalizer '%.*s' is not known here",
              (int)(type.size < 40 ? type.size : 40), type.data);
}

void voc_normalizer(Convert *c, Voc *v, bool (*known)(const Convert *c, JdocRef n, Voc *v))
{
    const Jdoc *d = c->tokenizer;
    JdocRef n = jdoc_get(d, 0, "normalizer"), list = jdoc_get(d, n, "normalizers");
    bool several = jdoc_is(d, jdoc_get(d, n, "type"), "Sequence");
    if (jdoc_type(d, n) <= JDOC_NULL) return;
    JdocRef e = several ? jdoc_first(d, list) : n;
    for (uint32_t i = 0; i < (several ? jdoc_count(d, list) : 1); i++, e = jdoc_next(d, e))
        if (!known(c, e, v)) {
            unknown_normalizer(c, e);
            return;
        }
}

/* ---- kinds ---- */

static void metaspace(const Convert *c, Voc *v)
{
    const Jdoc *d = c->tokenizer;
    JdocRef pre = jdoc_get(d, 0, "pre_tokenizer"), scheme = jdoc_get(d, pre, "prepend_scheme");
    if (!jdoc_is(d, jdoc_get(d, pre, "type"), "Metaspace")) return;
    bool never = jdoc_is(d, scheme, "never") ||
                 jdoc_type(d, jdoc_get(d, pre, "add_prefix_space")) == JDOC_FALSE;
    v->space_prefix = !never;
}

static void read_bpe(Convert *c, JdocRef model, Voc *v)
{
    const Jdoc *d = c->tokenizer;
    JdocRef decoder = jdoc_get(d, 0, "decoder");
    bool whole = jdoc_type(d, jdoc_get(d, model, "ignore_merges")) == JDOC_TRUE;
    bool level =
        voc_has_pre(c, "ByteLevel") || jdoc_is(d, jdoc_get(d, decoder, "type"), "ByteLevel");
    read_vocab(c, jdoc_get(d, model, "vocab"), !level, v);
    read_merges(c, jdoc_get(d, model, "merges"), v);
    if (plan_failed(c)) return;
    if (level) {
        v->model = "gpt2";
        voc_normalizer(c, v, byte_normalizer);
        v->pre = voc_pre(c, whole);
        return;
    }
    v->space_prefix = 0;
    metaspace(c, v);
    voc_normalizer(c, v, spaces_normalizer);
    if (jdoc_type(d, jdoc_get(d, model, "byte_fallback")) != JDOC_TRUE)
        plan_fail(c, BT_E_UNSUPPORTED,
                  "tokenizer.json: BPE neither over bytes nor with a fallback to them");
    if (strcmp(c->family->arch, "gemma4") == 0) {
        v->model = v->pre = "gemma4";
        return;
    }
    v->model = "llama";
    v->pre = "default";
    score_by_merges(c, v);
}

/* "##x" goes on a word; GGUF marks the beginnings instead. */
static void read_wordpiece(Convert *c, JdocRef model, Voc *v)
{
    const Jdoc *d = c->tokenizer;
    JdocRef normal = jdoc_get(d, 0, "normalizer");
    if (!jdoc_is(d, jdoc_get(d, normal, "type"), "BertNormalizer") ||
        jdoc_type(d, jdoc_get(d, normal, "lowercase")) != JDOC_TRUE ||
        !jdoc_is(d, jdoc_get(d, model, "continuing_subword_prefix"), "##")) {
        unknown_normalizer(c, normal);
        return;
    }
    read_vocab(c, jdoc_get(d, model, "vocab"), false, v);
    for (uint32_t id = 0; id < v->n && !plan_failed(c); id++) {
        Span t = v->tokens[id];
        if (t.size >= 2 && memcmp(t.data, "##", 2) == 0) {
            v->tokens[id] = (Span){t.data + 2, t.size - 2};
        } else if (!(t.size && t.data[0] == '[' && t.data[t.size - 1] == ']')) {
            char *text = plan_memory(c, t.size + 3, 1);
            if (!text) return;
            memcpy(text, LOW_LINE, 3);
            if (t.size) memcpy(text + 3, t.data, t.size);
            v->tokens[id] = (Span){text, t.size + 3};
        }
    }
    v->model = "bert";
    v->pre = "default";
}

void voc_read_json(Convert *c, Voc *v)
{
    const Jdoc *d = c->tokenizer;
    JdocRef model = jdoc_get(d, 0, "model"), type = jdoc_get(d, model, "type");
    Span name = jdoc_text(d, type);
    if (jdoc_is(d, type, "BPE") ||
        (jdoc_type(d, type) == JDOC_NONE && jdoc_type(d, jdoc_get(d, model, "merges")) > JDOC_NULL))
        read_bpe(c, model, v);
    else if (jdoc_is(d, type, "WordPiece"))
        read_wordpiece(c, model, v);
    else if (jdoc_is(d, type, "Unigram") || jdoc_type(d, jdoc_get(d, model, "vocab")) == JDOC_ARRAY)
        voc_read_unigram(c, model, v);
    else
        plan_fail(
            c, BT_E_UNSUPPORTED,
            "tokenizer.json: a model of type '%.*s' is not read (BPE, WordPiece and Unigram are)",
            (int)(name.size < 40 ? name.size : 40), name.data);
}
