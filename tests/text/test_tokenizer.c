/* Tokenizers over small vocabularies: merging against a plain rendering of its definition, special
 * tokens, every byte there and back, work linear in the text, hostile vocabularies, no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "support/torture.h"
#include "text/tok.h"
#include "text/utf8.h"
#include "vocab_small.h"

static Small v;

static void merges_in_order_of_rank(void **state)
{
    (void)state;
    small_bytes(&v, "gpt-2");
    Tokenizer *t = small_open(&v);
    assert_string_equal(tok_kind(t), "bpe");
    assert_string_equal(small_show(t, "hello the hell", false), "|hello| the| |hell|");
    assert_string_equal(small_show(t, "aaaaaaa", false), "|aaaa|aa|a|");
    assert_string_equal(small_show(t, "baab", false), "|b|aa|b|");
    assert_string_equal(small_show(t, "", false), "|");
    tok_close(&t);
}

static void special_tokens_are_found_where_allowed(void **state)
{
    (void)state;
    small_bytes(&v, "gpt-2");
    Tokenizer *t = small_open(&v);
    assert_string_equal(small_show(t, "the<|end|>the", true), "|the|<|end|>|the|");
    assert_string_equal(small_show(t, "<|end|>", false), "|<|||e|n|d|||>|");
    assert_string_equal(small_show(t, "a<u>a", false), "|a|<u>|a|");
    int32_t end = tok_find(t, SPAN("<|end|>"));
    assert_true(tok_ends(t, end));
    assert_true(tok_is_special(t, end));
    assert_int_equal(tok_text(t, end, false, false, NULL, 0), 0);
    assert_int_equal(tok_text(t, end, true, false, NULL, 0), 7);
    /* Parts are one text, but a control token never begins in one and ends in another. */
    TokPart word[] = {{SPAN("th"), true}, {SPAN("e"), false}};
    assert_string_equal(small_shown(t, word, 2, false), "|the|");
    TokPart split[] = {{SPAN("<|en"), true}, {SPAN("d|>"), false}, {SPAN("<|end|>"), true}};
    assert_string_equal(small_shown(t, split, 3, false), "|<|||e|n|d|||>|<|end|>|");
    TokPart user[] = {{SPAN("<"), false}, {SPAN("u>"), false}};
    assert_string_equal(small_shown(t, user, 2, false), "|<u>|");
    tok_close(&t);
}

static void sentencepiece_prefixes_and_falls_back(void **state)
{
    (void)state;
    small_spm(&v);
    Tokenizer *t = small_open(&v);
    assert_string_equal(tok_kind(t), "spm");
    assert_true(tok_adds_bos(t));
    assert_int_equal(tok_bos(t), 1);
    assert_int_equal(tok_eos(t), 2);
    assert_true(tok_ends(t, 2));
    assert_string_equal(small_show(t, "hello", false), "| hello|");
    assert_string_equal(small_show(t, "</s>hello", true), "|</s>| hello|");
    assert_string_equal(small_show(t, "h\xC3\xA9z", false), "| |h|\xC3\xA9|z|");
    /* A control token's text never comes out of merging. */
    assert_string_equal(small_show(t, "<s>", false), "| |<|s|>|");
    TokPart part = {SPAN("a"), false};
    assert_string_equal(small_shown(t, &part, 1, true), "|<s>| |a|");
    TokPart again = {SPAN("<s>a"), true};
    assert_string_equal(small_shown(t, &again, 1, true), "|<s>| |a|");
    char out[8];
    int32_t hello = tok_find(t, SPAN("\xE2\x96\x81hello"));
    assert_true(hello >= 0);
    assert_int_equal(tok_text(t, hello, false, true, out, sizeof(out)), 5);
    assert_int_equal(tok_text(t, hello, false, false, out, sizeof(out)), 6);
    assert_int_equal(tok_text(t, tok_size(t), false, false, out, sizeof(out)), -1);
    tok_close(&t);
}

static void wordpiece_takes_the_longest(void **state)
{
    (void)state;
    small_wpm(&v);
    Tokenizer *t = small_open(&v);
    assert_string_equal(small_show(t, "Hello WORLD! zzz", false), "| hello| w|o|rld| !|[UNK]|");
    assert_string_equal(small_show(t, "caf\xC3\xA9", false), "| caf|e|");
    assert_string_equal(small_show(t, "cafe\xCC\x81", false), "| caf|e|");
    assert_string_equal(small_show(t, "hello\xE4\xBD\xA0hello", false),
                        "| hello| \xE4\xBD\xA0| hello|");
    TokPart part = {SPAN("hello"), false};
    assert_string_equal(small_shown(t, &part, 1, true), "|[CLS]| hello|[SEP]|");
    char word[130];
    memset(word, 'o', sizeof(word));
    word[129] = '\0';
    assert_string_equal(small_show(t, word, false), "|[UNK]|");
    tok_close(&t);
}

static void gemma4_keeps_lines_and_writes_bytes(void **state)
{
    (void)state;
    small_clear(&v, "gemma4", "");
    small_token(&v, "<unk>", TOK_UNKNOWN, 0);
    v.source.bos = small_token(&v, "<bos>", TOK_CONTROL, 0);
    static const char *const texts[] = {"\xE2\x96\x81",
                                        "a",
                                        "b",
                                        "\n",
                                        "\n\n",
                                        "ab",
                                        "\xE2\x96\x81"
                                        "ab",
                                        "<0xC3>",
                                        "<0xA9>",
                                        NULL};
    for (const char *const *s = texts; *s; s++) small_token(&v, *s, TOK_NORMAL, 0);
    small_merge(&v, "a b");
    small_merge(&v, "\xE2\x96\x81 ab");
    small_merge(&v, "\n \n");
    Tokenizer *t = small_open(&v);
    assert_true(tok_adds_bos(t));
    assert_string_equal(small_show(t, "ab ab\n\n\xC3\xA9", false), "|ab| ab|\n\n|<0xC3>|<0xA9>|");
    tok_close(&t);
}

static void texts_come_back(const Tokenizer *t, const char *text, size_t n)
{
    TokPart part = {{text, n}, false};
    int32_t *ids;
    size_t count, used = 0;
    assert_int_equal(tok_encode(t, &part, 1, false, &ids, &count, NULL), BT_OK);
    char *out = malloc(n + 64);
    for (size_t i = 0; i < count; i++) {
        int64_t length = tok_text(t, ids[i], true, i == 0, out + used, n + 64 - used);
        assert_true(length >= 0 && used + (size_t)length <= n);
        used += (size_t)length;
    }
    assert_int_equal(used, n);
    assert_memory_equal(out, text, n);
    free(out);
    mem_free(ids);
}

static uint32_t dice(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Bytes, half of them from a few that merge; not all of it is UTF-8. */
static void scribble(char *text, size_t n, uint32_t *seed)
{
    static const char few[] = "aabthelo \n'";
    for (size_t i = 0; i < n; i++)
        text[i] = dice(seed) % 2 ? few[dice(seed) % 11] : (char)(dice(seed) % 256);
}

static void every_byte_comes_back(void **state)
{
    (void)state;
    static const char *const pres[] = {
        "default",   "llama-bpe", "smaug-bpe",    "jais-2",         "minicpm5",
        "qwen2",     "qwen35",    "seed-coder",   "exaone-moe",     "gpt-2",
        "starcoder", "falcon",    "deepseek-llm", "deepseek-coder", "deepseek-v3",
        "youtu",     "afmoe",     "gpt-4o",       "tiny_aya",       "tekken",
        "kimi-k2",   "bloom",     "viking",       "superbpe",       "chameleon",
        ""};
    char text[700];
    for (size_t p = 0; p < sizeof(pres) / sizeof(pres[0]); p++) {
        small_bytes(&v, pres[p]);
        Tokenizer *t = small_open(&v);
        for (int b = 0; b < 256; b++) {
            text[0] = (char)b;
            texts_come_back(t, text, 1);
        }
        uint32_t seed = 7;
        for (int round = 0; round < 60; round++) {
            size_t n = 1 + dice(&seed) % sizeof(text);
            scribble(text, n, &seed);
            texts_come_back(t, text, n);
        }
        tok_close(&t);
    }
    small_spm(&v);
    Tokenizer *t = small_open(&v);
    uint32_t seed = 9;
    for (int round = 0; round < 200; round++) {
        size_t n = 1 + dice(&seed) % sizeof(text);
        scribble(text, n, &seed);
        texts_come_back(t, text, n);
    }
    tok_close(&t);
}

/* ---- the queue of long words against the definition ---- */

/* Joins the first best pair until there is none, looking at everything each time. */
static size_t merge_plainly(const Tokenizer *t, const char *text, size_t n, int32_t *ids)
{
    uint32_t sym[512];
    size_t count = 0;
    for (size_t i = 0; i < n; i++) sym[count++] = t->byte_sym[(unsigned char)text[i]];
    for (;;) {
        uint32_t best = TOK_NONE;
        size_t where = 0;
        for (size_t i = 0; i + 1 < count; i++) {
            uint32_t rank = tok_pair_rank(t, sym[i], sym[i + 1]);
            if (rank < best) {
                best = rank;
                where = i;
            }
        }
        if (best == TOK_NONE) break;
        sym[where] = t->result[best];
        memmove(sym + where + 1, sym + where + 2, (count - where - 2) * sizeof(sym[0]));
        count--;
    }
    for (size_t i = 0; i < count; i++) ids[i] = (int32_t)sym[i];
    return count;
}

/* Merges in an order no training gives: later merges feed earlier ones. */
static void odd_merges(uint32_t *seed)
{
    small_bytes(&v, "gpt-2");
    v.source.n_merges = 0;
    char pieces[80][24];
    size_t n = 0;
    for (; n < 3; n++) snprintf(pieces[n], sizeof(pieces[n]), "%c", (int)('a' + n));
    for (int i = 0; i < 70; i++) {
        char merge[64], joined[64];
        const char *l = pieces[dice(seed) % n], *r = pieces[dice(seed) % n];
        snprintf(joined, sizeof(joined), "%s%s", l, r);
        snprintf(merge, sizeof(merge), "%s %s", l, r);
        if (strlen(joined) > 20) continue;
        bool known = false;
        for (size_t k = 0; k < n; k++) known = known || strcmp(pieces[k], joined) == 0;
        if (!known) {
            snprintf(pieces[n++], sizeof(pieces[0]), "%s", joined);
            small_token(&v, joined, TOK_NORMAL, 0);
        }
        small_merge(&v, merge);
    }
    for (size_t i = 0; i < v.source.n_merges; i++) { /* shuffle */
        size_t j = dice(seed) % v.source.n_merges;
        Span swap = v.merges[i];
        v.merges[i] = v.merges[j];
        v.merges[j] = swap;
    }
}

static void long_words_merge_as_defined(void **state)
{
    (void)state;
    uint32_t seed = 3;
    for (int round = 0; round < 300; round++) {
        odd_merges(&seed);
        Tokenizer *t = small_open(&v);
        for (int k = 0; k < 10; k++) {
            char text[400];
            int32_t want[400];
            size_t n = 1 + dice(&seed) % sizeof(text), letters = 1 + dice(&seed) % 3;
            for (size_t i = 0; i < n; i++) text[i] = (char)('a' + dice(&seed) % letters);
            size_t count = merge_plainly(t, text, n, want);
            TokMerge *scratch = NULL;
            TokIds ids = {0};
            tok_merge_word(t, text, n, &scratch, &ids);
            assert_false(ids.failed);
            assert_int_equal(ids.n, count);
            assert_memory_equal(ids.data, want, count * sizeof(int32_t));
            tok_merge_close(&scratch);
            mem_free(ids.data);
        }
        tok_close(&t);
    }
}

static uint64_t work_for(const Tokenizer *t, const char *pattern, size_t n)
{
    size_t length = strlen(pattern);
    char *text = malloc(n + length);
    for (size_t i = 0; i < n; i += length) memcpy(text + i, pattern, length);
    TokMerge *scratch = NULL;
    TokIds ids = {0};
    bool ok = t->kind == TOK_KIND_BPE ? tok_bpe_encode(t, text, n, &scratch, &ids)
                                      : tok_spm_encode(t, text, n, true, &scratch, &ids);
    assert_true(ok);
    uint64_t work = ids.work;
    tok_merge_close(&scratch);
    mem_free(ids.data);
    free(text);
    return work;
}

static void work_is_linear(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "a",          " ", "\n", "ab",   "ba", "aab", "\xF0\x9F\x9A\x80",
        "hello the ", "1", "'",  "\xFF", "A",  NULL};
    for (int kind = 0; kind < 2; kind++) {
        if (kind)
            small_spm(&v);
        else
            small_bytes(&v, "llama-bpe");
        Tokenizer *t = small_open(&v);
        for (const char *const *p = patterns; *p; p++) {
            uint64_t one = work_for(t, *p, 20000), eight = work_for(t, *p, 160000);
            if (eight > one * 9 + 1000)
                fail_msg("'%s': %llu steps for 20 kB, %llu for 160 kB", *p, (unsigned long long)one,
                         (unsigned long long)eight);
            assert_true(eight <= 160000 * 40ull);
        }
        tok_close(&t);
    }
}

/* ---- bad vocabularies ---- */

static void refused(const char *part)
{
    Tokenizer *t = NULL;
    bt_error err = {0};
    assert_int_not_equal(tok_open(&v.source, &t, &err), BT_OK);
    assert_null(t);
    if (!strstr(err.text, part)) fail_msg("'%s' does not say '%s'", err.text, part);
}

static void bad_vocabularies_are_refused(void **state)
{
    (void)state;
    small_bytes(&v, "gpt-2");
    v.source.bos = 100000;
    refused("tokenizer.ggml.bos_token_id is 100000");
    v.source.bos = -7;
    refused("bos_token_id is -7");
    small_bytes(&v, "gpt-2");
    v.source.model = SPAN("rwkv");
    refused("'rwkv'");
    v.source.model = (Span){0};
    refused("tokenizer.ggml.model is ''");
    small_bytes(&v, "gpt-2");
    v.source.n_tokens = UINT64_MAX;
    refused("at most");
    small_bytes(&v, "qwen99");
    refused("tokenizer.ggml.pre is 'qwen99'");
}

static void odd_vocabularies_work(void **state)
{
    (void)state;
    small_bytes(&v, "gpt-2");
    small_token(&v, "", TOK_NORMAL, 0);
    small_token(&v, "", TOK_CONTROL, 0);
    small_token(&v, "the", TOK_NORMAL, 0); /* twice: the later one holds */
    static const char *const merges[] = {"",    " ",    "  ",    "nospace", "x ",        " x",
                                         "q r", "qr s", "zz yy", "a a",     "\xFF \xFE", NULL};
    for (const char *const *m = merges; *m; m++) small_merge(&v, *m);
    v.types[3] = 77;
    v.types[4] = -1;
    Tokenizer *t = small_open(&v);
    assert_string_equal(small_show(t, "qrs the", false), "|q|r|s| the|");
    assert_int_equal(tok_find(t, SPAN("the")), tok_size(t) - 1);
    tok_close(&t);
    small_clear(&v, "no_vocab", "");
    t = small_open(&v);
    assert_string_equal(tok_kind(t), "none");
    int32_t *ids;
    size_t n;
    TokPart part = {SPAN("x"), true};
    assert_int_equal(tok_encode(t, &part, 1, true, &ids, &n, NULL), BT_E_UNSUPPORTED);
    assert_int_equal(tok_text(t, 0, true, true, NULL, 0), -1);
    tok_close(&t);
    static const char *const models[] = {"llama", "gpt2", "gemma4", "bert", NULL};
    for (const char *const *m = models; *m; m++) { /* nothing at all */
        small_clear(&v, *m, "");
        t = small_open(&v);
        assert_string_equal(small_show(t, "hello <s> 1", true), "|");
        tok_close(&t);
    }
}

/* Every allocation failing in turn: an error, nothing leaked. */
/* Every allocation failing in turn: an error, nothing leaked. */
static bt_status life(void *user, bt_error *err)
{
    Tokenizer *t = NULL;
    int32_t *ids = NULL;
    size_t n;
    char text[600];
    (void)user;
    memset(text, 'a', sizeof(text));
    memcpy(text + 300, " hello the <|end|> \xC3\xA9 <s>", 25);
    TokPart parts[] = {{{text, 320}, true}, {{text + 320, 280}, false}};
    bt_status status = tok_open(&v.source, &t, err);
    if (!status) status = tok_encode(t, parts, 2, true, &ids, &n, err);
    mem_free(ids);
    tok_close(&t);
    return status;
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    small_spm(&v);
    torture("spm", life, NULL);
    small_wpm(&v);
    torture("wpm", life, NULL);
    small_bytes(&v, "llama-bpe");
    torture("bpe", life, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_in_order_of_rank),
        cmocka_unit_test(special_tokens_are_found_where_allowed),
        cmocka_unit_test(sentencepiece_prefixes_and_falls_back),
        cmocka_unit_test(wordpiece_takes_the_longest),
        cmocka_unit_test(gemma4_keeps_lines_and_writes_bytes),
        cmocka_unit_test(every_byte_comes_back),
        cmocka_unit_test(long_words_merge_as_defined),
        cmocka_unit_test(work_is_linear),
        cmocka_unit_test(bad_vocabularies_are_refused),
        cmocka_unit_test(odd_vocabularies_work),
        cmocka_unit_test(no_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
