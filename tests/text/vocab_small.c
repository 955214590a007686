/* Small vocabularies for tests (see vocab_small.h). */
#include "vocab_small.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "text/tok.h"
#include "text/utf8.h"

static Span keep(Small *v, const char *text)
{
    size_t n = strlen(text);
    char *at = v->text + v->used;
    memcpy(at, text, n);
    v->used += n;
    return (Span){at, n};
}

Tokenizer *small_open(const Small *v)
{
    Tokenizer *t;
    bt_error err = {0};
    if (tok_open(&v->source, &t, &err)) fail_msg("%s", err.text);
    return t;
}

const char *small_shown(const Tokenizer *t, const TokPart *parts, size_t n, bool bos)
{
    static char out[4096];
    int32_t *ids;
    size_t count, used = 0;
    bt_error err = {0};
    assert_int_equal(tok_encode(t, parts, n, bos, &ids, &count, &err), BT_OK);
    out[used++] = '|';
    for (size_t i = 0; i < count; i++) {
        used += (size_t)tok_text(t, ids[i], true, false, out + used, sizeof(out) - used - 2);
        out[used++] = '|';
    }
    out[used] = '\0';
    mem_free(ids);
    return out;
}

const char *small_show(const Tokenizer *t, const char *text, bool special)
{
    TokPart part = {span_of(text), special};
    return small_shown(t, &part, 1, false);
}

void small_clear(Small *v, const char *model, const char *pre)
{
    memset(v, 0, sizeof(*v));
    v->source = tok_source(span_of(model), span_of(pre));
    v->source.tokens = v->tokens;
    v->source.merges = v->merges;
    v->source.types = v->types;
}

int32_t small_token(Small *v, const char *text, int32_t type, float score)
{
    uint64_t i = v->source.n_tokens++;
    v->tokens[i] = keep(v, text);
    v->types[i] = type;
    v->scores[i] = score;
    return (int32_t)i;
}

void small_merge(Small *v, const char *merge)
{
    v->merges[v->source.n_merges++] = keep(v, merge);
}

void small_bytes(Small *v, const char *pre)
{
    static const char *const merges[] = {"a a", "aa aa", "b a",   "t h",    "th e", "\xC4\xA0 the",
                                         "l l", "e ll",  "h ell", "hell o", NULL};
    small_clear(v, "gpt2", pre);
    for (unsigned b = 0; b < 256; b++) {
        char text[8];
        text[utf8_put(tok_byte_char((unsigned char)b), text)] = '\0';
        small_token(v, text, TOK_NORMAL, 0);
    }
    for (const char *const *m = merges; *m; m++) {
        char text[32];
        const char *space = strchr(*m, ' ');
        snprintf(text, sizeof(text), "%.*s%s", (int)(space - *m), *m, space + 1);
        small_token(v, text, TOK_NORMAL, 0);
        small_merge(v, *m);
    }
    small_token(v, "<|end|>", TOK_CONTROL, 0);
    small_token(v, "<u>", TOK_USER, 0);
}

void small_spm(Small *v)
{
    static const char *const pieces[] = {"\xE2\x96\x81",
                                         "a",
                                         "b",
                                         "h",
                                         "e",
                                         "l",
                                         "o",
                                         "\xC3\xA9",
                                         "aa",
                                         "ab",
                                         "he",
                                         "ll",
                                         "hell",
                                         "hello",
                                         "\xE2\x96\x81hello",
                                         "\xE2\x96\x81\xE2\x96\x81",
                                         "aaaa",
                                         NULL};
    small_clear(v, "llama", "");
    v->source.scores = v->scores;
    small_token(v, "<unk>", TOK_UNKNOWN, 0);
    small_token(v, "<s>", TOK_CONTROL, 0);
    small_token(v, "</s>", TOK_CONTROL, 0);
    for (int b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof(text), "<0x%02X>", (unsigned)b);
        small_token(v, text, TOK_BYTE, 0);
    }
    for (const char *const *p = pieces; *p; p++)
        small_token(v, *p, TOK_NORMAL, (float)-(p - pieces));
}

void small_wpm(Small *v)
{
    static const char *const words[] = {"\xE2\x96\x81hello",
                                        "\xE2\x96\x81"
                                        "caf",
                                        "e",
                                        "\xE2\x96\x81!",
                                        "\xE2\x96\x81\xE4\xBD\xA0",
                                        "\xE2\x96\x81w",
                                        "o",
                                        "rld",
                                        NULL};
    small_clear(v, "bert", "");
    small_token(v, "[PAD]", TOK_CONTROL, 0);
    v->source.unk = small_token(v, "[UNK]", TOK_CONTROL, 0);
    v->source.cls = small_token(v, "[CLS]", TOK_CONTROL, 0);
    v->source.sep = small_token(v, "[SEP]", TOK_CONTROL, 0);
    for (const char *const *w = words; *w; w++) small_token(v, *w, TOK_NORMAL, 0);
}
