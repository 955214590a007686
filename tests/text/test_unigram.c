/* Unigram vocabularies (GGUF's "t5"): the cut is the best of all that there are, by trying all of
 * them; unknown characters, spaces, a compiled normaliser made here by its definition, work linear
 * in the text, damaged maps, no memory. That ids are those of sentencepiece and tokenizers is held
 * by tests/clients/compare_unigram.py, and by the folders of tests/convert. */
#include <math.h>
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
#include "vocab_small.h"

#define MARK "\xE2\x96\x81" /* U+2581 */

static Small v;
static bt_error err;

/* <unk> </s>, letters a to c, and pieces of them that make many cuts of nearly the same score. */
static void letters(void)
{
    small_clear(&v, "t5", "default");
    v.source.scores = v.scores;
    small_token(&v, "<unk>", TOK_UNKNOWN, 0); /* found by its type */
    v.source.eos = small_token(&v, "</s>", TOK_CONTROL, 0);
    v.source.add_space_prefix = 0;
    small_token(&v, "a", TOK_NORMAL, -2.0f);
    small_token(&v, "b", TOK_NORMAL, -2.25f);
    small_token(&v, "c", TOK_NORMAL, -2.5f);
    small_token(&v, "ab", TOK_NORMAL, -3.5f);
    small_token(&v, "bc", TOK_NORMAL, -3.75f);
    small_token(&v, "abc", TOK_NORMAL, -5.125f);
    small_token(&v, "aa", TOK_NORMAL, -3.0f);
    small_token(&v, "cab", TOK_NORMAL, -4.0f);
    small_token(&v, "\xC3\xA9", TOK_NORMAL, -4.0f); /* e acute */
    small_token(&v, "z", TOK_UNUSED, -0.5f);
}

/* ---- the best cut ---- */

static double best_by_trying(const char *p, size_t n)
{
    double best = n ? -1e9 : 0;
    for (uint64_t i = 2; n && i < v.source.n_tokens; i++) {
        size_t m = v.tokens[i].size;
        if (v.types[i] != TOK_NORMAL || m > n || memcmp(v.tokens[i].data, p, m)) continue;
        best = fmax(best, (double)v.scores[i] + best_by_trying(p + m, n - m));
    }
    return best;
}

static void the_cut_is_the_best(void **state)
{
    uint32_t random = 1;
    letters();
    Tokenizer *t = small_open(&v);
    assert_string_equal(tok_kind(t), "unigram");
    for (int round = 0; round < 500; round++) {
        char text[16];
        int32_t *ids;
        size_t n = 1 + (random >> 8) % 12, count;
        for (size_t i = 0; i < n; i++) {
            random = random * 1664525u + 1013904223u;
            text[i] = (char)('a' + (random >> 16) % 3);
        }
        TokPart part = {{text, n}, false};
        assert_int_equal(tok_encode(t, &part, 1, false, &ids, &count, &err), BT_OK);
        double sum = 0;
        size_t size = 0;
        for (size_t i = 0; i < count; i++) {
            Span is = v.tokens[ids[i]];
            assert_memory_equal(text + size, is.data, is.size);
            size += is.size;
            sum += (double)v.scores[ids[i]];
        }
        mem_free(ids);
        assert_int_equal(size, n);
        assert_true(fabs(sum - best_by_trying(text, n)) < 1e-9);
    }
    tok_close(&t);
}

static void unknown_characters_become_one_token_or_bytes(void **state)
{
    letters();
    Tokenizer *t = small_open(&v);
    assert_string_equal(small_show(t, "a\xC3\xA9xyzb", false), "|a|\xC3\xA9|<unk>|b|");
    assert_string_equal(small_show(t, "x", false), "|<unk>|");
    assert_int_equal(tok_find(t, SPAN("<unk>")), 0);
    assert_string_equal(small_show(t, "", false), "|");
    assert_string_equal(small_show(t, "\xC3", false), "|<unk>|"); /* no UTF-8 */
    assert_string_equal(small_show(t, "a<unk></s>", false), "|a|<unk>|");
    assert_int_equal(tok_closing(t), v.source.eos);
    assert_false(tok_adds_bos(t));
    tok_close(&t);
    for (int b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", b);
        small_token(&v, text, TOK_BYTE, -20);
    }
    t = small_open(&v);
    assert_string_equal(small_show(t,
                                   "a\xE2\x82\xAC"
                                   "b",
                                   false),
                        "|a|\xE2|\x82|\xAC|b|");
    assert_string_equal(small_show(t, " a", false),
                        "|\xE2|\x96|\x81|a|"); /* a space that no piece holds */
    tok_close(&t);
}

static void spaces_are_kept_or_squeezed(void **state)
{
    static const struct {
        int prefix, squeeze;
        const char *text, *want;
    } rows[] = {
        {1, 1, "a b", "| a| |b|"},
        {1, 1, "  a   b  ", "| a| |b|"},
        {1, 1, "   ", "|"},
        {1, 0, " a", "|  a|"},
        {1, 0, "  ", "| |  |"},
        {0, 1, " a a", "|a| a|"},
        {0, 0, "a " MARK "a", "|a|  a|"},
        {1, 1, MARK "a", "|  a|"},
        {-1, -1, "a", "| a|"},
        {1, 1, "a\tb", "| a|<unk>|b|"},
        {1, 1, "a " MARK " a", "| a| |  a|"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        letters();
        small_token(&v, MARK, TOK_NORMAL, -3);
        small_token(&v, MARK "a", TOK_NORMAL, -3);
        small_token(&v, MARK MARK, TOK_NORMAL, -3);
        small_token(&v, MARK MARK "a", TOK_NORMAL, -3);
        v.source.add_space_prefix = rows[i].prefix;
        v.source.remove_extra_whitespaces = rows[i].squeeze;
        Tokenizer *t = small_open(&v);
        assert_string_equal(small_show(t, rows[i].text, false), rows[i].want);
        tok_close(&t);
    }
}

/* ---- a compiled normaliser ---- */

#define NODES 16

/* One block of 256 units a node; the children of block k's node by byte b are at unit 256 k + b. */
typedef struct Map {
    uint32_t size, units[256 * NODES];
    char texts[256];
} Map;

static Map map;
static uint32_t n_nodes, n_texts;

static void set_unit(uint32_t at, uint32_t label, uint32_t block)
{
    map.units[at] = label | (at ^ 256 * block) << 10;
}

static void map_add(const char *from, const char *to)
{
    uint32_t block = 1, at = 0; /* the root is unit 0, its children block 1 */
    for (const char *p = from; *p; p++) {
        at = 256 * block + (unsigned char)*p;
        if (!map.units[at]) set_unit(at, (unsigned char)*p, ++n_nodes);
        block = (map.units[at] >> 10 ^ at) / 256;
    }
    map.units[at] |= 1 << 8;
    map.units[256 * block] = n_texts | 1u << 31;
    memcpy(map.texts + n_texts, to, strlen(to) + 1);
    n_texts += (uint32_t)strlen(to) + 1;
}

static Span small_map(void)
{
    memset(&map, 0, sizeof map);
    n_nodes = 1;
    n_texts = 0;
    map.size = sizeof map.units;
    set_unit(0, 0, 1);
    map_add("A", "a");
    map_add("AB", "cab");
    map_add("ABC", "b");
    map_add("\t", " ");
    map_add("\x01", "");
    map_add("\xC3\x89", "\xC3\xA9");
    return (Span){(const char *)&map, sizeof map.size + sizeof map.units + n_texts};
}

static void a_map_is_followed(void **state)
{
    letters();
    v.source.charsmap = small_map();
    v.source.remove_extra_whitespaces = 1;
    small_token(&v, MARK, TOK_NORMAL, -3);
    Tokenizer *t = small_open(&v);
    assert_string_equal(small_show(t, "A", false), "|a|");
    assert_string_equal(small_show(t, "AB", false), "|cab|");
    assert_string_equal(small_show(t, "ABC", false), "|b|"); /* the longest */
    assert_string_equal(small_show(t, "ABABC", false), "|cab|b|");
    assert_string_equal(small_show(t,
                                   "\xC3\x89"
                                   "b\t\tb\t",
                                   false),
                        "|\xC3\xA9|b| |b|");
    assert_string_equal(small_show(t,
                                   "a\x01"
                                   "b\x01",
                                   false),
                        "|ab|");
    assert_string_equal(small_show(t, "\x01", false), "|");
    tok_close(&t);
}

/* Bits of the map turned over, cut short: opened or refused, and followed without harm. */
static void damaged_maps_do_no_harm(void **state)
{
    uint32_t random = 5;
    for (int round = 0; round < 3000; round++) {
        Tokenizer *t = NULL;
        letters();
        Span good = small_map();
        char *copy = malloc(good.size);
        memcpy(copy, good.data, good.size);
        for (int i = 0; i < 1 + round % 40; i++) {
            random = random * 1664525u + 1013904223u;
            copy[(random >> 8) % good.size] ^= (char)(1 << random % 8);
        }
        v.source.charsmap = (Span){copy, round % 3 ? good.size : (random >> 4) % good.size};
        if (tok_open(&v.source, &t, &err) == BT_OK)
            small_show(t, "ABABC\x01\t\xC3\x89 xyz A", false);
        tok_close(&t);
        free(copy);
    }
}

static void bad_maps_and_pieces_are_refused(void **state)
{
    static char long_piece[TOK_MAX_PIECE + 2], text[700];
    Tokenizer *t;
    letters();
    v.source.charsmap = SPAN("\x04\x00");
    assert_int_equal(tok_open(&v.source, &t, &err), BT_E_FORMAT);
    v.source.charsmap = SPAN("\xFF\x00\x00\x00 too short");
    assert_int_equal(tok_open(&v.source, &t, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "precompiled_charsmap"));
    memset(text, 'x', sizeof text - 1); /* a replacement that would make texts grow */
    memcpy(text, "\x04\x00\x00\x00\x00\x00\x00\x00", 8);
    v.source.charsmap = (Span){text, sizeof text};
    assert_int_equal(tok_open(&v.source, &t, &err), BT_E_FORMAT);
    letters();
    memset(long_piece, 'a', TOK_MAX_PIECE + 1);
    small_token(&v, long_piece, TOK_NORMAL, -1);
    assert_int_equal(tok_open(&v.source, &t, &err), BT_E_LIMIT);
    letters();
    v.source.n_tokens = 2; /* no pieces at all: everything is unknown */
    t = small_open(&v);
    assert_string_equal(small_show(t, "abc", false), "|<unk>|");
    tok_close(&t);
    letters();
    v.scores[3] = NAN; /* a piece without a score is none */
    v.scores[4] = -INFINITY;
    t = small_open(&v);
    assert_string_equal(small_show(t, "bcb", false), "|bc|<unk>|");
    tok_close(&t);
}

/* ---- cost ---- */

static uint64_t work_for(const Tokenizer *t, size_t n)
{
    TokIds ids = {0};
    char *text = malloc(n);
    memset(text, 'a', n);
    assert_true(tok_unigram_encode(t, text, n, &ids));
    uint64_t work = ids.work;
    mem_free(ids.data);
    free(text);
    return work;
}

static void work_is_linear(void **state)
{
    static char piece[200];
    letters();
    for (int i = 3; i < 120; i++) { /* many pieces of one letter */
        memset(piece, 'a', (size_t)i);
        piece[i] = '\0';
        small_token(&v, piece, TOK_NORMAL, -(float)i);
    }
    Tokenizer *t = small_open(&v);
    uint64_t one = work_for(t, 20000), eight = work_for(t, 160000);
    assert_true(eight < 9 * one);
    tok_close(&t);
}

static bt_status life(void *user, bt_error *told)
{
    Tokenizer *t = NULL;
    int32_t *ids = NULL;
    size_t n;
    TokPart part = {SPAN("ABC abc <unk> \xC3\x89 cab"), true};
    (void)user;
    letters();
    v.source.charsmap = small_map();
    bt_status status = tok_open(&v.source, &t, told);
    if (!status) status = tok_encode(t, &part, 1, true, &ids, &n, told);
    mem_free(ids);
    tok_close(&t);
    return status;
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    torture("a unigram tokenizer", life, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cut_is_the_best),
        cmocka_unit_test(unknown_characters_become_one_token_or_bytes),
        cmocka_unit_test(spaces_are_kept_or_squeezed),
        cmocka_unit_test(a_map_is_followed),
        cmocka_unit_test(damaged_maps_do_no_harm),
        cmocka_unit_test(bad_maps_and_pieces_are_refused),
        cmocka_unit_test(work_is_linear),
        cmocka_unit_test(no_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
