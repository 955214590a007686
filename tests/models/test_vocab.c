/* Vocabularies of files: the ids that another engine gave for the golden texts, and files whose
 * keys do not fit together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/gguf_write.h"
#include "models/vocab.h"
#include "support/files.h"
#include "support/golden.h"
#include "support/scratch.h"
#include "support/torture.h"

static bt_error err;

/* The next line of *at as ids; *at moves past it. */
static size_t next_ids(char **at, int32_t *ids, size_t capacity)
{
    size_t n = 0;
    char *line = *at, *end = strchr(line, '\n'), *stop;
    if (end) *end = '\0';
    for (;; line = stop) {
        long id = strtol(line, &stop, 10);
        if (stop == line) break;
        assert_true(n < capacity);
        ids[n++] = (int32_t)id;
    }
    *at = end ? end + 1 : line + strlen(line);
    return n;
}

static void same_ids(const Tokenizer *tok, Span text, const int32_t *want, size_t n_want)
{
    TokPart part = {text, false};
    int32_t *got;
    size_t n_got;
    assert_int_equal(tok_encode(tok, &part, 1, false, &got, &n_got, &err), BT_OK);
    bool same = n_got == n_want && memcmp(got, want, n_got * sizeof(*got)) == 0;
    for (size_t i = 0; !same && (i < n_got || i < n_want); i++)
        print_error("%zu: got %d, want %d\n", i, i < n_got ? got[i] : -1,
                    i < n_want ? want[i] : -1);
    if (!same) fail_msg("other ids for '%.*s'", (int)text.size, text.data);
    mem_free(got);
}

/* Parts of `texts` stand between lines of the separator; `ids` has a line for each. */
static int pairs_hold(const char *vocab, const char *texts_path, const char *ids_path)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    static int32_t want[4096];
    Gguf *g;
    Vocab *v;
    if (gguf_open(vocab, NULL, &g, &err) != BT_OK) fail_msg("%s", err.text);
    if (vocab_load(g, &v, &err) != BT_OK) fail_msg("%s", err.text);
    size_t n_texts, n_ids;
    char *texts = files_read(texts_path, &n_texts), *ids = files_read(ids_path, &n_ids);
    char *text = texts, *line = ids;
    int parts = 0;
    assert_true(texts && ids);
    while (*line) {
        char *end = strstr(text, separator);
        size_t size = end ? (size_t)(end - text) : strlen(text);
        size_t n = next_ids(&line, want, 4096);
        same_ids(v->tok, (Span){text, size}, want, n);
        text += size + (end ? strlen(separator) : 0);
        parts++;
    }
    assert_int_equal(strlen(text), 0);
    free(texts);
    free(ids);
    vocab_close(&v);
    gguf_close(&g);
    return parts;
}

static void golden(const char *name)
{
    char file[128], texts[1100], ids[1100];
    snprintf(file, sizeof(file), "vocab/ggml-vocab-%s.gguf", name);
    const char *path = golden_path(file);
    if (!path) skip();
    snprintf(texts, sizeof(texts), "%s.inp", path);
    snprintf(ids, sizeof(ids), "%s.out", path);
    assert_int_equal(pairs_hold(path, texts, ids), 46);
}

#define GOLDEN(function, name)                                                                     \
    static void function(void **state)                                                             \
    {                                                                                              \
        (void)state;                                                                               \
        golden(name);                                                                              \
    }
GOLDEN(golden_llama_spm, "llama-spm")
GOLDEN(golden_phi_3, "phi-3")
GOLDEN(golden_gpt_2, "gpt-2")
GOLDEN(golden_mpt, "mpt")
GOLDEN(golden_falcon, "falcon")
GOLDEN(golden_starcoder, "starcoder")
GOLDEN(golden_refact, "refact")
GOLDEN(golden_deepseek_coder, "deepseek-coder")
GOLDEN(golden_deepseek_llm, "deepseek-llm")
GOLDEN(golden_bert_bge, "bert-bge")

/* Files with texts but no vocabulary, and vocabularies without texts. */
static void others_open(void **state)
{
    (void)state;
    static const char *const names[] = {"vocab/ggml-vocab-baichuan.gguf",
                                        "vocab/ggml-vocab-gpt-neox.gguf", "real/stories260K.gguf"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *path = golden_path(names[i]);
        Gguf *g;
        Vocab *v;
        if (!path) skip();
        assert_int_equal(gguf_open(path, NULL, &g, &err), BT_OK);
        assert_int_equal(vocab_load(g, &v, &err), BT_OK);
        assert_true(tok_size(v->tok) >= 512);
        vocab_close(&v);
        gguf_close(&g);
    }
}

/* ---- files of our own ---- */

static void save(GgufWriter *w, const char *path, Gguf **g)
{
    gguf_put_string(w, "general.architecture", "llama");
    assert_int_equal(gguf_writer_save(w, path, &err), BT_OK);
    gguf_writer_close(&w);
    assert_int_equal(gguf_open(path, NULL, g, &err), BT_OK);
}

static const Span three[] = {{"<unk>", 5}, {"<s>", 3}, {"a", 1}};

static bt_status life(void *user, bt_error *told)
{
    Vocab *v;
    bt_status status = vocab_load(user, &v, told);
    if (status) assert_null(v);
    vocab_close(&v);
    return status;
}

static void keys_are_read(void **state)
{
    (void)state;
    Gguf *g;
    Vocab *v;
    GgufWriter *w = gguf_writer_open();
    const int32_t types[] = {2, 3, 1};
    const float scores[] = {0, 0, -1};
    gguf_put_string(w, "tokenizer.ggml.model", "llama");
    gguf_put_spans(w, "tokenizer.ggml.tokens", three, 3);
    gguf_put_i32s(w, "tokenizer.ggml.token_type", types, 3);
    gguf_put_f32s(w, "tokenizer.ggml.scores", scores, 3);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", UINT32_MAX); /* none */
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
    gguf_put_string(w, "tokenizer.chat_template", "{{ x }}");
    const char *path = scratch_path("keys.gguf");
    save(w, path, &g);
    assert_int_equal(vocab_load(g, &v, &err), BT_OK);
    assert_string_equal(tok_kind(v->tok), "spm");
    assert_int_equal(tok_size(v->tok), 3);
    assert_int_equal(tok_bos(v->tok), 1);
    assert_int_equal(tok_eos(v->tok), 2); /* the kind's usual id */
    assert_false(tok_adds_bos(v->tok));
    assert_true(span_is(v->chat_template, "{{ x }}"));
    vocab_close(&v);
    torture("a vocabulary", life, g);
    gguf_close(&g);
}

static void no_keys_is_no_vocabulary(void **state)
{
    (void)state;
    Gguf *g;
    Vocab *v;
    const char *path = scratch_path("none.gguf");
    save(gguf_writer_open(), path, &g);
    assert_int_equal(vocab_load(g, &v, &err), BT_OK);
    assert_string_equal(tok_kind(v->tok), "none");
    assert_int_equal(tok_size(v->tok), 0);
    vocab_close(&v);
    gguf_close(&g);
}

static void refused(GgufWriter *w, const char *what)
{
    Gguf *g;
    Vocab *v = (Vocab *)&g;
    const char *path = scratch_path("bad.gguf");
    save(w, path, &g);
    assert_int_equal(vocab_load(g, &v, &err), BT_E_FORMAT);
    assert_null(v);
    if (!strstr(err.text, what) || !strstr(err.text, "bad.gguf")) fail_msg("%s", err.text);
    gguf_close(&g);
}

static void keys_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    const int32_t types[] = {2, 3};
    GgufWriter *w = gguf_writer_open();
    gguf_put_string(w, "tokenizer.ggml.model", "llama");
    refused(w, "tokenizer.ggml.tokens is missing");
    w = gguf_writer_open();
    gguf_put_string(w, "tokenizer.ggml.model", "llama");
    gguf_put_i32s(w, "tokenizer.ggml.tokens", types, 2);
    refused(w, "tokenizer.ggml.tokens is not an array of strings");
    w = gguf_writer_open();
    gguf_put_string(w, "tokenizer.ggml.model", "llama");
    gguf_put_spans(w, "tokenizer.ggml.tokens", three, 3);
    gguf_put_i32s(w, "tokenizer.ggml.token_type", types, 2);
    refused(w, "token_type has 2 elements for 3 tokens");
    w = gguf_writer_open();
    gguf_put_string(w, "tokenizer.ggml.model", "llama");
    gguf_put_spans(w, "tokenizer.ggml.tokens", three, 3);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 3);
    refused(w, "bos_token_id is 3, outside the vocabulary of 3 tokens");
    w = gguf_writer_open();
    gguf_put_string(w, "tokenizer.ggml.model", "astral");
    gguf_put_spans(w, "tokenizer.ggml.tokens", three, 3);
    refused(w, "'astral'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_llama_spm),
        cmocka_unit_test(golden_phi_3),
        cmocka_unit_test(golden_gpt_2),
        cmocka_unit_test(golden_mpt),
        cmocka_unit_test(golden_falcon),
        cmocka_unit_test(golden_starcoder),
        cmocka_unit_test(golden_refact),
        cmocka_unit_test(golden_deepseek_coder),
        cmocka_unit_test(golden_deepseek_llm),
        cmocka_unit_test(golden_bert_bge),
        cmocka_unit_test(others_open),
        cmocka_unit_test(keys_are_read),
        cmocka_unit_test(no_keys_is_no_vocabulary),
        cmocka_unit_test(keys_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
