/* A maker's folder (tests/data/folder, made by tests/support/make_folder.py) converted and run as
 * it is: logits and ids are those of the reference implementations, and damage is refused with the
 * tensor's, key's or file's name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "base/mem.h"
#include "io/gguf.h"
#include "support/files.h"
#include "support/run_model.h"
#include "support/scratch.h"
#include "support/torture.h"

#define MOST_IDS 256

static bt_error err;

static const char *source_path(const char *name)
{
    return files_source("tests/data/folder%s%s", *name ? "/" : "", name);
}

static char *read_file(const char *path, size_t *size)
{
    char *data = files_read(path, size);
    assert_non_null(data);
    return data;
}

/* ---- answers ---- */

static void logits_of(const char *path, double bound)
{
    bt_token ids[MOST_IDS];
    int n = 0;
    size_t size;
    char *text = read_file(source_path("answers/ids.txt"), &size), *p = text;
    for (char *end; n < MOST_IDS; p = end) {
        long id = strtol(p, &end, 10);
        if (end == p) break;
        ids[n++] = (bt_token)id;
    }
    free(text);
    double error =
        run_model_apart(path, ids, NULL, n, FEED_AT_ONCE, 0, source_path("answers/logits.f32"));
    if (!(error <= bound)) fail_msg("%s: nmse %g", path, error);
}

static void ids_of(const char *path)
{
    bt_model *model;
    size_t size;
    bt_model_options o = {.vocab_only = true, .no_cache = true};
    if (bt_model_open(path, &o, &model, &err)) fail_msg("%s", err.text);
    char *texts = read_file(source_path("answers/texts.txt"), &size);
    char *lines = read_file(source_path("answers/texts.ids"), &size), *want = lines;
    for (char *line = texts, *end; (end = strchr(line, '\n')); line = end + 1) {
        bt_token ids[MOST_IDS];
        int64_t n = bt_model_tokenize(model, line, (size_t)(end - line), 0, ids, MOST_IDS, &err);
        for (int64_t i = 0; i < n; i++) assert_int_equal(strtol(want, &want, 10), ids[i]);
        assert_int_equal(*want, '\n');
        want++;
    }
    free(texts);
    free(lines);
    bt_model_close(&model);
}

static void folder_runs_as_it_is(void **state)
{
    logits_of(source_path(""), 1e-10);
    ids_of(source_path(""));
}

static const char *converted(const char *type)
{
    const char *path = scratch_path("out.gguf");
    bt_convert_options o = {.type = type};
    if (bt_convert(source_path(""), path, &o, &err)) fail_msg("%s", err.text);
    return path;
}

static void converted_file_answers_the_same(void **state)
{
    logits_of(converted(NULL), 1e-10);
    ids_of(converted("bf16"));
    logits_of(converted("f32"), 1e-10);
    logits_of(converted("f16"), 1e-6);
    logits_of(converted("q8_0"), 1e-3); /* rows of 16 and 24 stay F16 */
    assert_int_equal(scratch_entries(), 1);
}

/* ---- keys ---- */

static void expect_text(const Gguf *g, const char *key, const char *want)
{
    Span s;
    assert_int_equal(gguf_get_span(g, key, true, &s, &err), BT_OK);
    if (!span_is(s, want)) fail_msg("%s is '%.*s'", key, (int)s.size, s.data);
}

static void expect_u32(const Gguf *g, const char *key, uint32_t want)
{
    uint32_t u = 0;
    assert_int_equal(gguf_get_u32(g, key, true, &u, &err), BT_OK);
    if (u != want) fail_msg("%s is %u", key, u);
}

static void keys_are_those_that_others_read(void **state)
{
    Gguf *g;
    bool add_bos = false;
    int32_t types[400];
    uint64_t n;
    assert_int_equal(gguf_open(converted(NULL), NULL, &g, &err), BT_OK);
    expect_text(g, "general.architecture", "llama");
    expect_u32(g, "general.file_type", 32);
    expect_u32(g, "llama.block_count", 2);
    expect_u32(g, "llama.attention.head_count_kv", 2);
    expect_u32(g, "llama.attention.key_length", 8);
    expect_u32(g, "llama.rope.dimension_count", 8);
    expect_text(g, "tokenizer.ggml.model", "gpt2");
    expect_text(g, "tokenizer.ggml.pre", "llama-bpe");
    assert_int_equal(gguf_get_bool(g, "tokenizer.ggml.add_bos_token", true, &add_bos, &err), BT_OK);
    assert_true(add_bos);
    expect_u32(g, "tokenizer.ggml.bos_token_id", 300);
    expect_u32(g, "tokenizer.ggml.eos_token_id", 301);
    expect_u32(g, "tokenizer.ggml.eot_token_id", 302);
    assert_int_equal(gguf_get_i32s(g, "tokenizer.ggml.token_type", true, types, 400, &n, &err),
                     BT_OK);
    assert_int_equal(n, 308);
    assert_int_equal(types[299], 1);
    assert_int_equal(types[300], 3);
    assert_int_equal(types[303], 4);
    assert_int_equal(types[307], 5);
    assert_true(gguf_find_key(g, "tokenizer.chat_template") >= 0);
    assert_null(gguf_find_tensor(g, "output.weight"));
    const GgufTensor *factors = gguf_find_tensor(g, "rope_freqs.weight");
    assert_non_null(factors);
    assert_int_equal(factors->ne[0], 4);
    assert_int_equal(gguf_find_tensor(g, "blk.1.attn_norm.weight")->type, 0);
    assert_int_equal(gguf_find_tensor(g, "blk.1.attn_q.weight")->type, 30);
    gguf_close(&g);
}

/* ---- damage ---- */

static const char *const names[] = {"config.json",
                                    "tokenizer.json",
                                    "tokenizer_config.json",
                                    "generation_config.json",
                                    "chat_template.jinja",
                                    "model.safetensors.index.json",
                                    "model-00001-of-00002.safetensors",
                                    "model-00002-of-00002.safetensors"};

/* Replaces all of `from` by as many bytes of `to` in one file of a copy of the folder. */
static const char *copy_folder(const char *file, const char *from, const char *to)
{
    char name[100];
    bool found = !file;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t size;
        char *data = read_file(source_path(names[i]), &size);
        bool here = file && strcmp(names[i], file) == 0;
        for (size_t at = 0; here && at + strlen(from) <= size; at++)
            if (memcmp(data + at, from, strlen(from)) == 0) {
                memcpy(data + at, to, strlen(from));
                found = true;
            }
        snprintf(name, sizeof name, "copy/%s", names[i]);
        assert_non_null(scratch_write(name, data, size));
        free(data);
    }
    assert_true(found);
    return scratch_path("copy");
}

static void refused(const char *file, const char *from, const char *to, const char *say)
{
    const char *folder = copy_folder(file, from, to);
    int64_t live = mem_live();
    bt_model *model = NULL;
    bt_model_options o = {.no_cache = true};
    bt_status status = bt_convert(folder, scratch_path("out.gguf"), NULL, &err);
    if (status == BT_OK || !strstr(err.text, say))
        fail_msg("%s -> %s: '%s' does not say '%s'", from, to, status ? err.text : "", say);
    assert_null(strchr(err.text, '\n'));
    assert_int_not_equal(bt_model_open(folder, &o, &model, &err), BT_OK);
    assert_int_equal(mem_live(), live);
    assert_int_equal(scratch_entries(), 1); /* nothing was left behind */
}

static void damage_is_refused_by_name(void **state)
{
    static const char first[] = "model-00001-of-00002.safetensors";
    static const char second[] = "model-00002-of-00002.safetensors";
    refused("config.json", "\"model_type\": \"llama\"", "\"model_type\": \"llamo\"", "'llamo'");
    refused("config.json", "\"hidden_act\": \"silu\"", "\"hidden_act\": \"silo\"", "'silo'");
    refused("config.json", "\"rope_type\": \"llama3\"", "\"rope_type\": \"llama9\"", "'llama9'");
    refused("config.json", "\"hidden_size\": 16", "\"hidden_size\": 32", "expected");
    refused("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "blk.2.");
    refused("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1",
            "layers.1.input_layernorm.weight' is of a layer past the 1 of config.json");
    refused("config.json", "\"pad_token_id\": null,\n  \"pretraining_tp\": 1,",
            "\"rope_scaling\": {\"type\": \"yarn\"},           ",
            "rope_parameters and rope_scaling disagree ('llama3', 'yarn')");
    refused("config.json", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4",
            "attn_k.weight");
    refused("config.json", "\"vocab_size\": 308", "\"vocab_size\": 309", "309");
    refused("config.json", "\"hidden_size\": 16", "\"hidden_siz_\": 16", "hidden_size");
    refused("tokenizer.json", "p{N}{1,3}", "p{N}{1,4}", "pre_tokenizer");
    refused("tokenizer.json", "\"normalizer\": null", "\"normalizer\": 7   ", "normalizer");
    refused(first, "self_attn.k_proj", "self_attn.k_pro_", "k_pro");
    refused(second, "\"dtype\":\"BF16\"", "\"dtype\":\"BF17\"", "BF17");
    refused(second, "\"shape\":[16]", "\"shape\":[17]", "takes 34 bytes");
    refused("model.safetensors.index.json", "model-00002-of", "model-00003-of", "model-00003-of");
    refused("model.safetensors.index.json", "model-00002-of-00002.safetensors",
            "../../2-of-00002.safetensors    ", "which is no .safetensors");
}

static bt_status life(void *user, bt_error *told)
{
    bt_convert_options o = {.type = "f32"};
    bt_status status = bt_convert(user, scratch_path("out.gguf"), &o, told);
    if (status)
        assert_int_equal(scratch_entries(), 0);
    else
        assert_int_equal(unlink(scratch_path("out.gguf")), 0);
    return status;
}

static void no_memory_is_survived(void **state)
{
    char folder[1024];
    (void)state;
    snprintf(folder, sizeof folder, "%s", source_path(""));
    torture_some("a folder", life, folder, 16);
}

static bool stop(void *user, const char *what, uint64_t done, uint64_t total)
{
    assert_true(done <= total);
    return strcmp(what, "converting") != 0 || done < total / 2;
}

static void a_stopped_conversion_leaves_nothing(void **state)
{
    bt_convert_options o = {.progress = stop};
    assert_int_equal(bt_convert(source_path(""), scratch_path("out.gguf"), &o, &err),
                     BT_E_CANCELLED);
    assert_int_equal(scratch_entries(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folder_runs_as_it_is),
        cmocka_unit_test_setup_teardown(converted_file_answers_the_same, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(keys_are_those_that_others_read, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(damage_is_refused_by_name, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(no_memory_is_survived, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_stopped_conversion_leaves_nothing, scratch_setup,
                                        scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
