/* Tokenizers: the first bytes choose kind and pre-tokenizer, the next make a vocabulary (tokens,
 * scores, types, merges, some of them borrowed from what came before; a compiled normaliser), the
 * rest is text. Whatever
 * it is must tokenize, and every id be of the vocabulary; byte-level ids must give the text back
 * when all 256 bytes are tokens. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/tok.h"
#include "text/utf8.h"

enum { MOST = 400 };

typedef struct Input {
    const uint8_t *p;
    size_t n;
} Input;

static unsigned take(Input *in)
{
    if (!in->n) return 0;
    in->n--;
    return *in->p++;
}

static Span take_span(Input *in)
{
    size_t n = take(in) % 24;
    if (n > in->n) n = in->n;
    Span s = {(const char *)in->p, n};
    in->p += n;
    in->n -= n;
    return s;
}

static const char *const models[] = {"llama", "gpt2", "gpt2", "gemma4", "bert", "no_vocab", "t5"};
static const char *const pres[] = {
    "default",      "llama-bpe",      "smaug-bpe",   "jais-2", "minicpm5",  "qwen2",
    "qwen35",       "seed-coder",     "exaone-moe",  "gpt-2",  "starcoder", "falcon",
    "deepseek-llm", "deepseek-coder", "deepseek-v3", "youtu",  "afmoe",     "gpt-4o",
    "tiny_aya",     "tekken",         "kimi-k2",     "bloom",  "viking",    "superbpe",
    "chameleon",    "gemma4",         "jina-v2-de",  "?",      ""};

static Span tokens[MOST + 256], merges[MOST];
static float scores[MOST + 256];
static int32_t types[MOST + 256];
static char alphabet[256][4], joined[MOST][64];

static uint64_t add_alphabet(bool plain, uint64_t n)
{
    for (unsigned b = 0; b < 256; b++) {
        size_t size = plain ? (alphabet[b][0] = (char)b, 1)
                            : utf8_put(tok_byte_char((unsigned char)b), alphabet[b]);
        tokens[n] = (Span){alphabet[b], size};
        types[n] = TOK_NORMAL;
        scores[n++] = -(float)b;
    }
    return n;
}

/* A merge of two tokens, and the token it makes. */
static uint64_t add_merge(Input *in, TokSource *s, uint64_t n, uint64_t i)
{
    Span a = tokens[(take(in) | take(in) << 8) % n], b = tokens[take(in) % n];
    if (a.size + b.size + 1 > sizeof(joined[0])) return n;
    memcpy(joined[i], a.data, a.size);
    joined[i][a.size] = ' ';
    memcpy(joined[i] + a.size + 1, b.data, b.size);
    merges[s->n_merges++] = (Span){joined[i], a.size + b.size + 1};
    return n;
}

static void make(Input *in, TokSource *s)
{
    unsigned kind = take(in), pre = take(in), n_tokens = take(in) % 100, n_merges = take(in) % 100;
    uint64_t n = 0;
    memset(s, 0, sizeof(*s));
    s->model = span_of(models[kind % (sizeof(models) / sizeof(models[0]))]);
    s->pre = span_of(pres[pre % (sizeof(pres) / sizeof(pres[0]))]);
    if (kind & 0x80) n = add_alphabet(kind & 0x40, n);
    for (unsigned i = 0; i < n_tokens; i++) {
        types[n] = (int32_t)(take(in) % 8);
        scores[n] = (float)((int)take(in) - 128) / (float)(take(in) % 3);
        tokens[n++] = take_span(in);
    }
    for (unsigned i = 0; i < n_merges && n; i++) {
        if (take(in) & 1)
            merges[s->n_merges++] = take_span(in);
        else
            n = add_merge(in, s, n, i);
    }
    s->tokens = tokens;
    s->n_tokens = n;
    s->merges = merges;
    s->scores = kind & 0x20 ? scores : NULL;
    s->types = kind & 0x10 ? types : NULL;
    int32_t *const ids[] = {&s->bos, &s->eos,  &s->unk, &s->sep, &s->pad,
                            &s->cls, &s->mask, &s->eot, &s->eom};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) *ids[i] = (int32_t)take(in) - 1;
    for (size_t i = 0; (kind & 8) && i < sizeof(ids) / sizeof(ids[0]); i++) *ids[i] = -1;
    s->add_bos = (int)(take(in) % 3) - 1;
    s->add_space_prefix = (int)(take(in) % 3) - 1;
    if (!span_is(s->model, "t5")) return;
    s->remove_extra_whitespaces = (int)(take(in) % 3) - 1;
    size_t size = take(in);
    size |= (size_t)take(in) << 8;
    if (size > in->n) size = in->n;
    s->charsmap = (Span){(const char *)in->p, size};
    in->p += size;
    in->n -= size;
}

static void check(const Tokenizer *t, const TokPart *parts, size_t n_parts, bool whole)
{
    int32_t *ids;
    size_t n, at = 0;
    char text[4096];
    if (tok_encode(t, parts, n_parts, false, &ids, &n, NULL) != BT_OK) return;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= tok_size(t)) abort();
        int64_t size = tok_text(t, ids[i], true, i == 0, text, sizeof(text));
        if (size < 0 || size > (int64_t)sizeof(text)) abort();
        (void)tok_ends(t, ids[i]);
        if (!whole) continue;
        if (at + (size_t)size > parts->text.size) abort();
        if (memcmp(text, parts->text.data + at, (size_t)size) != 0) abort();
        at += (size_t)size;
    }
    if (whole && at != parts->text.size) abort();
    mem_free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = {data, size};
    TokSource source;
    Tokenizer *t;
    make(&in, &source);
    unsigned repeat = take(&in) % 32, cut = take(&in);
    if (tok_open(&source, &t, NULL) != BT_OK) return 0;
    size_t n = in.n * (repeat + 1);
    char *text = malloc(n ? n : 1);
    if (!text) abort();
    for (unsigned i = 0; in.n && i <= repeat; i++) memcpy(text + i * in.n, in.p, in.n);
    /* Without types every token is text; all bytes are tokens; the alphabet was not taken over. */
    bool whole = data && size && span_is(source.model, "gpt2") && source.pre.size &&
                 !span_is(source.pre, "gemma4") && (data[0] & 0xD0) == 0x80 && size > 2 &&
                 data[2] % 100 == 0;
    TokPart one = {{text, n}, false};
    check(t, &one, 1, whole);
    size_t half = n ? cut % (n + 1) : 0;
    TokPart two[] = {{{text, half}, true}, {{text + half, n - half}, cut & 1}};
    check(t, two, 2, false);
    for (int32_t id = 0; id < tok_size(t); id++)
        if (tok_find(t, source.tokens[id]) >= tok_size(t)) abort();
    tok_close(&t);
    free(text);
    return 0;
}
