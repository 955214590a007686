/* Vocabularies that are learned: the merges against a plain rendering of the definition (all pairs
 * counted anew each time), what the written file says, forgetting, no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant/fit_size.h"
#include "support/scratch.h"
#include "support/torture.h"
#include "text/pretokenize.h"
#include "text/tok.h"
#include "train/bpe.h"
#include "train/vocab_learn.h"

static bt_error err;

/* ---- the definition ---- */

enum { MOST_WORDS = 4000, MOST_MERGES = 400 };

typedef struct Plain {
    int symbol[64], n;
    long count;
} Plain;

static Plain plain[MOST_WORDS];
static int n_plain;

static int byte_rank(unsigned char byte)
{
    int rank = 0;
    for (int b = 0; b < 256; b++) rank += tok_byte_char((unsigned char)b) < tok_byte_char(byte);
    return rank;
}

static bool both(void *user, const char *word, size_t n)
{
    Plain w = {.n = (int)n, .count = 1};
    if (!words_add(user, word, n)) return false;
    if (n > 64) fail_msg("a word of %zu bytes", n);
    for (size_t i = 0; i < n; i++) w.symbol[i] = byte_rank((unsigned char)word[i]);
    for (int i = 0; i < n_plain; i++)
        if (plain[i].n == w.n && memcmp(plain[i].symbol, w.symbol, sizeof w.symbol) == 0) {
            plain[i].count++;
            return true;
        }
    assert_true(n_plain < MOST_WORDS);
    plain[n_plain++] = w;
    return true;
}

/* The pair that occurs most often; of equals the one with the smallest tokens. */
static long best_pair(int *left, int *right)
{
    static long count[256 + MOST_MERGES][256 + MOST_MERGES];
    long most = 0;
    memset(count, 0, sizeof count);
    for (int i = 0; i < n_plain; i++)
        for (int j = 0; j + 1 < plain[i].n; j++)
            count[plain[i].symbol[j]][plain[i].symbol[j + 1]] += plain[i].count;
    for (int a = 0; a < 256 + MOST_MERGES; a++)
        for (int b = 0; b < 256 + MOST_MERGES; b++)
            if (count[a][b] > most) {
                most = count[a][b];
                *left = a;
                *right = b;
            }
    return most;
}

static void merge_plain(int left, int right, int made)
{
    for (int i = 0; i < n_plain; i++) {
        Plain *w = &plain[i];
        int n = 0;
        for (int j = 0; j < w->n; j++) {
            bool here = j + 1 < w->n && w->symbol[j] == left && w->symbol[j + 1] == right;
            w->symbol[n++] = here ? made : w->symbol[j];
            j += here;
        }
        w->n = n;
    }
}

static void merges_as_by_definition(void **state)
{
    (void)state;
    Words words;
    Bpe bpe;
    n_plain = 0;
    assert_true(words_open(&words, 0));
    assert_true(pre_split(pre_find(SPAN("qwen2")), calibration_text, strlen(calibration_text), both,
                          &words));
    assert_int_equal(words.n, n_plain);
    BpeOptions o = {.n_tokens = 256 + MOST_MERGES};
    assert_int_equal(bpe_learn(&words, &o, &bpe, &err), BT_OK);
    assert_true(bpe.n_merges >= MOST_MERGES);
    for (uint32_t i = 0; i < bpe.n_merges; i++) {
        int left = -1, right = -1;
        long most = best_pair(&left, &right);
        assert_true(most >= 2);
        assert_int_equal(bpe.merges[i].left, left);
        assert_int_equal(bpe.merges[i].right, right);
        merge_plain(left, right, (int)bpe.merges[i].made);
    }
    uint64_t tokens = 0;
    for (int i = 0; i < n_plain; i++) tokens += (uint64_t)(plain[i].n * plain[i].count);
    assert_int_equal(bpe.tokens, tokens);
    bpe_close(&bpe);
    words_close(&words);
}

static void repeated_letters(void **state)
{
    (void)state;
    Words words;
    Bpe bpe;
    size_t n;
    assert_true(words_open(&words, 0));
    assert_true(words_add(&words, "aaaaaaa", 7) && words_add(&words, "aaaaaaa", 7));
    BpeOptions o = {.n_tokens = 300};
    assert_int_equal(bpe_learn(&words, &o, &bpe, &err), BT_OK);
    /* aa aa aa a; aaaa aa a or aaaa aaa: the smaller token first. */
    assert_int_equal(bpe.n_merges, 4);
    assert_memory_equal(bpe_token(&bpe, 256, &n), "aa", 2);
    assert_memory_equal(bpe_token(&bpe, 258, &n), n == 3 ? "aaa" : "aaaa", n);
    assert_int_equal(bpe.tokens, 2);
    bpe_close(&bpe);
    o.n_tokens = 255;
    assert_int_equal(bpe_learn(&words, &o, &bpe, &err), BT_E_ARGUMENT);
    words_close(&words);
}

static void the_rarest_words_are_forgotten(void **state)
{
    (void)state;
    Words words;
    char word[32];
    assert_true(words_open(&words, 4000));
    for (int i = 0; i < 20000; i++) {
        int n = snprintf(word, sizeof word, "%d", i * 7919 % 20000);
        assert_true(words_add(&words, word, (size_t)n) && words_add(&words, "often", 5));
        assert_true(words.bytes.size <= 4000);
    }
    assert_true(words.forgot >= 1);
    uint64_t most = 0;
    for (size_t i = 0; i < words.n; i++)
        if (words.items[i].size == 5 && memcmp(words_text(&words, i), "often", 5) == 0)
            most = words.items[i].count;
    assert_int_equal(most, 20000);
    assert_int_equal(words.total, 40000);
    words_close(&words);
}

static void long_words_are_cut(void **state)
{
    (void)state;
    Words words;
    Bpe bpe;
    static char spaces[100000];
    memset(spaces, ' ', sizeof spaces);
    assert_true(words_open(&words, 0));
    assert_true(words_add(&words, spaces, sizeof spaces));
    assert_int_equal(words.n, 2);
    BpeOptions o = {.n_tokens = 1000};
    assert_int_equal(bpe_learn(&words, &o, &bpe, &err), BT_OK);
    bpe_close(&bpe);
    words_close(&words);
}

/* ---- the file ---- */

static const char data[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"call the dentist, call the bank\"},"
    "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"function\": {\"name\": "
    "\"call\", \"arguments\": {\"who\": \"the dentist\"}}}]}]}\n"
    "{\"text\": \"the dentist <tool_call> the <|im_end|> dentist\"}\n";

static VocabOptions options(void)
{
    static const char *const markers[] = {"<tool_call>", "</tool_call>"};
    return (VocabOptions){.size = 300, .markers = markers, .n_markers = 2, .name = "small"};
}

static void the_file_tokenizes(void **state)
{
    (void)state;
    const char *in = scratch_write("a.jsonl", data, strlen(data)), *out = scratch_path("v.gguf");
    VocabOptions o = options();
    VocabResult r;
    bt_model *model;
    bt_token ids[64];
    char piece[64];
    if (vocab_learn(&in, 1, &o, out, &r, &err)) fail_msg("%s", err.text);
    const int end = (int)r.n_tokens - 5; /* <|endoftext|> */
    assert_int_equal(r.n_tokens, 256 + r.n_merges + 5);
    assert_true(r.n_merges > 10);
    assert_int_equal(r.data.documents, 2);
    bt_model_options vocab = {.vocab_only = true};
    if (bt_model_open(out, &vocab, &model, &err)) fail_msg("%s", err.text);
    assert_int_equal(bt_model_describe(model).n_vocab, r.n_tokens);
    assert_int_equal(bt_model_describe(model).eos, end);
    const char *text = "the dentist<tool_call><|im_end|>";
    int64_t n = bt_model_tokenize(model, text, strlen(text), 0, ids, 64, &err);
    assert_int_equal(n, 4);
    assert_int_equal(bt_model_token_text(model, ids[1], false, piece, sizeof piece), 8);
    assert_memory_equal(piece, " dentist", 8);
    assert_int_equal(ids[2], end + 3);
    assert_int_equal(ids[3], end + 2);
    assert_true(bt_model_token_ends(model, end + 2));
    /* Where control tokens are not meant, the markup is spelled out. */
    assert_true(
        bt_model_tokenize(model, text, strlen(text), BT_TOKENIZE_NO_SPECIAL, ids, 64, &err) > 4);
    bt_model_close(&model);
}

static const char calls[] =
    "[{\"role\":\"system\",\"content\":\"Be kind.\"},{\"role\":\"user\",\"content\":\"Hi\"},"
    "{\"role\":\"assistant\",\"content\":\"Yes?\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
    "\"arguments\":{\"a\":1}}},{\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},"
    "{\"role\":\"tool\",\"content\":\"7\"}]";

static void its_template_writes_calls(void **state)
{
    (void)state;
    const char *in = scratch_write("a.jsonl", data, strlen(data)), *out = scratch_path("v.gguf");
    VocabOptions o = options();
    bt_model *model;
    bt_chat *chat;
    char *text;
    if (vocab_learn(&in, 1, &o, out, NULL, &err)) fail_msg("%s", err.text);
    bt_model_options vocab = {.vocab_only = true};
    assert_int_equal(bt_model_open(out, &vocab, &model, &err), BT_OK);
    assert_int_equal(bt_chat_open(model, NULL, &chat, &err), BT_OK);
    assert_string_equal(bt_chat_name(chat), "jinja");
    assert_true(bt_chat_takes_tools(chat));
    bt_chat_request request = {.messages = calls, .generation = true};
    if (bt_chat_apply(chat, &request, NULL, NULL, &text, &err)) fail_msg("%s", err.text);
    assert_string_equal(
        text, "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
              "<|im_start|>assistant\nYes?\n<tool_call>\n{\"name\": \"f\", \"arguments\": "
              "{\"a\": 1}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n"
              "</tool_call><|im_end|>\n<|im_start|>tool\n<tool_response>\n7\n</tool_response>"
              "<|im_end|>\n<|im_start|>assistant\n");
    bt_free(text);
    request.tools = "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]";
    if (bt_chat_apply(chat, &request, NULL, NULL, &text, &err)) fail_msg("%s", err.text);
    assert_non_null(strstr(text, "Be kind.\n\nFunctions"));
    assert_non_null(strstr(text, "\n{\"type\": \"function\", \"function\": {\"name\": \"f\"}}\n"));
    bt_free(text);
    bt_chat_close(&chat);
    bt_model_close(&model);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const char *const twice[] = {"<a>", "<a>"}, *const byte[] = {"a"};
    const char *in = scratch_write("a.jsonl", data, strlen(data)), *out = scratch_path("w.gguf");
    VocabOptions o = options();
    o.size = 260;
    assert_int_equal(vocab_learn(&in, 1, &o, out, NULL, &err), BT_E_ARGUMENT);
    o = options();
    o.pre = "no such rule";
    assert_int_equal(vocab_learn(&in, 1, &o, out, NULL, &err), BT_E_ARGUMENT);
    o = options();
    o.special = twice;
    o.n_special = 2;
    assert_int_equal(vocab_learn(&in, 1, &o, out, NULL, &err), BT_E_ARGUMENT);
    o.special = byte;
    o.n_special = 1;
    assert_int_equal(vocab_learn(&in, 1, &o, out, NULL, &err), BT_E_ARGUMENT);
    o = options();
    o.chat_template = SPAN("{% if %}");
    assert_int_equal(vocab_learn(&in, 1, &o, out, NULL, &err), BT_E_UNSUPPORTED);
    FILE *made = fopen(out, "rb");
    assert_null(made);
}

static bt_status life(void *user, bt_error *told)
{
    const char *in = user;
    VocabOptions o = options();
    return vocab_learn(&in, 1, &o, scratch_path("v.gguf"), NULL, told);
}

static void no_memory(void **state)
{
    char in[1024];
    (void)state;
    snprintf(in, sizeof in, "%s", scratch_write("a.jsonl", data, strlen(data)));
    torture("a vocabulary", life, in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_as_by_definition),
        cmocka_unit_test(repeated_letters),
        cmocka_unit_test(the_rarest_words_are_forgotten),
        cmocka_unit_test(long_words_are_cut),
        cmocka_unit_test(the_file_tokenizes),
        cmocka_unit_test(its_template_writes_calls),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
