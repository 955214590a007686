/* Every GGUF that another engine wrote opens, and says what is known of it. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "io/gguf.h"
#include "support/golden.h"
#include "tensor/dtype.h"

static bt_error err;

/* Opens FOLDER/NAME and asks things that hold for all of these files. */
static void check_file(const char *path)
{
    Gguf *g;
    Span arch;
    char text[128];
    bt_status status = gguf_open(path, NULL, &g, &err);
    if (status) print_error("%s\n", err.text);
    assert_int_equal(status, BT_OK);
    assert_int_equal(gguf_version(g), 3);
    assert_int_equal(gguf_get_span(g, "general.architecture", true, &arch, &err), BT_OK);
    assert_true(arch.size >= 3);
    for (size_t i = 0; i < gguf_n_keys(g); i++) {
        gguf_key_print(g, i, text, sizeof text);
        assert_true(strlen(text) < sizeof text);
    }
    uint64_t data = 0;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)t->name.size, t->name.data);
        assert_ptr_equal(gguf_find_tensor(g, name), t);
        data += t->bytes;
    }
    assert_true(data < gguf_bytes(g));
    /* These files are all data but for a header; a wrong size of a type would show here. */
    if (gguf_n_tensors(g)) assert_true(data > gguf_bytes(g) / 2);
    gguf_close(&g);
}

static void folder_opens(const char *name, int least)
{
    const char *folder = golden_path(name);
    if (!folder) skip();
    char root[1024];
    snprintf(root, sizeof root, "%s", folder);
    DIR *dir = opendir(root);
    assert_non_null(dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        size_t length = strlen(e->d_name);
        if (length < 5 || strcmp(e->d_name + length - 5, ".gguf") != 0) continue;
        char path[2048];
        snprintf(path, sizeof path, "%s/%s", root, e->d_name);
        check_file(path);
        n++;
    }
    closedir(dir);
    assert_true(n >= least);
}

static void arch_files_open(void **state)
{
    folder_opens("arch", 59);
}

static void quantized_files_open(void **state)
{
    folder_opens("quantized", 17);
}

static void vocab_files_open(void **state)
{
    folder_opens("vocab", 10);
}

static void stories_is_what_it_is(void **state)
{
    const char *path = golden_path("real/stories260K.gguf");
    Gguf *g;
    Span text, tokens[512];
    uint32_t u = 0;
    float eps = 0, scores[512];
    uint64_t n;
    bool bos = false;
    if (!path) skip();
    assert_int_equal(gguf_open(path, NULL, &g, &err), BT_OK);
    assert_int_equal(gguf_n_tensors(g), 47);
    assert_int_equal(gguf_n_keys(g), 19);
    assert_int_equal(gguf_get_u32(g, "llama.feed_forward_length", true, &u, &err), BT_OK);
    assert_int_equal(u, 172);
    assert_int_equal(gguf_get_f32(g, "llama.attention.layer_norm_rms_epsilon", true, &eps, &err),
                     BT_OK);
    assert_true(eps == 1e-5f);
    assert_int_equal(gguf_get_bool(g, "tokenizer.ggml.add_bos_token", true, &bos, &err), BT_OK);
    assert_true(bos);
    assert_int_equal(gguf_get_span(g, "general.license", true, &text, &err), BT_OK);
    assert_true(span_is(text, "mit"));
    assert_int_equal(gguf_get_spans(g, "tokenizer.ggml.tokens", tokens, 512, &err), BT_OK);
    assert_true(span_is(tokens[3], "<0x00>"));
    assert_int_equal(gguf_get_f32s(g, "tokenizer.ggml.scores", true, scores, 512, &n, &err), BT_OK);
    assert_int_equal(n, 512);
    const GgufTensor *t = gguf_find_tensor(g, "blk.0.ffn_down.weight");
    assert_int_equal(t->type, DT_F32);
    assert_true(t->ne[0] == 172 && t->ne[1] == 64 && t->bytes == 172 * 64 * 4);
    gguf_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arch_files_open),
        cmocka_unit_test(quantized_files_open),
        cmocka_unit_test(vocab_files_open),
        cmocka_unit_test(stories_is_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
