/* Whole models written anew: the file loads and says nearly the same, tensors hold what the writer
 * of rows gives, metadata says what happened; what must be refused is, by name, and nothing is left
 * behind. */
#include <dirent.h>
#include <math.h>
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
#include "io/gguf_write.h"
#include "kernels/kernels.h"
#include "quant/quant.h"
#include "support/compare.h"
#include "support/make_model.h"
#include "support/run_model.h"
#include "support/scratch.h"
#include "support/torture.h"
#include "tensor/dtype.h"

static bt_error err;
static const bt_token ids[] = {5, 9, 33, 70, 2, 64, 11, 90, 17, 28, 41, 3};
enum { N_IDS = sizeof ids / sizeof *ids };

static const char *model(const char *arch, const char *name, DType type)
{
    MakeModel o = {.arch = arch, .embd = 256, .ff = 256, .layers = 1, .experts = 4, .type = type};
    const char *path = scratch_path(name);
    if (make_model(&o, path, &err)) fail_msg("%s", err.text);
    return path;
}

static double apart(const char *a, const char *b)
{
    int n_a, n_b;
    float *x = run_model(a, ids, N_IDS, FEED_AT_ONCE, BT_KV_F32, 0, &n_a);
    float *y = run_model(b, ids, N_IDS, FEED_AT_ONCE, BT_KV_F32, 0, &n_b);
    if (!x || !y) fail_msg("%s or %s does not run", a, b);
    assert_int_equal(n_a, n_b);
    double error = compare_nmse(y, x, (size_t)(n_a * N_IDS));
    free(x);
    free(y);
    return error;
}

/* Each row of `file` is what quant_row makes of the source's. */
static void same_rows(const char *source, const char *file)
{
    static float x[4096];
    static unsigned char want[16384];
    Gguf *a, *b;
    assert_int_equal(gguf_open(source, NULL, &a, &err), BT_OK);
    assert_int_equal(gguf_open(file, NULL, &b, &err), BT_OK);
    assert_int_equal(gguf_n_tensors(a), gguf_n_tensors(b));
    for (size_t i = 0; i < gguf_n_tensors(a); i++) {
        const GgufTensor *s = gguf_tensor(a, i), *t = gguf_tensor(b, i);
        assert_true(span_equal(s->name, t->name));
        assert_memory_equal(s->ne, t->ne, sizeof s->ne);
        size_t from = dtype_row_bytes(s->type, s->ne[0]), to = dtype_row_bytes(t->type, t->ne[0]);
        for (uint64_t r = 0; r < s->ne[1] * s->ne[2]; r++) {
            const unsigned char *row = (const unsigned char *)s->data + r * from;
            if (s->type == t->type) {
                memcpy(want, row, from);
            } else {
                assert_true(dequant_row(s->type, row, x, s->ne[0]));
                assert_true(quant_row(t->type, x, t->ne[0], NULL, want));
            }
            assert_memory_equal(want, (const unsigned char *)t->data + r * to, to);
        }
    }
    gguf_close(&a);
    gguf_close(&b);
}

static void files_that_load_and_answer(void **state)
{
    static const struct {
        const char *arch, *type;
        double bound;
    } cases[] = {
        {"llama", "Q8_0", 0.01},     {"llama", "Q4_0", 0.5},      {"qwen3moe", "Q8_0", 0.01},
        {"llama-moe", "Q5_0", 0.05}, {"qwen2", "BF16", 1e-3},     {"llama", "F16", 1e-5},
        {"llama", "Q4_K_M", 0.05},   {"qwen3moe", "Q4_K_M", 0.1}, {"llama", "Q6_K", 5e-3},
        {"llama", "IQ4_XS", 0.1},    {"llama", "Q3_K_M", 0.3}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *from = model(cases[i].arch, "from.gguf", DT_F32), *to = scratch_path("to.gguf");
        bt_quantize_options o = {.type = cases[i].type, .n_threads = 2};
        bt_quantize_result r;
        bt_status status = bt_quantize(from, to, &o, &r, &err);
        if (status == BT_E_UNSUPPORTED) continue; /* a type whose writer is not here */
        if (status) fail_msg("%s: %s", cases[i].type, err.text);
        assert_true(r.bytes_after < r.bytes_before);
        same_rows(from, to);
        double error = apart(from, to);
        if (!(error < cases[i].bound)) fail_msg("%s: nmse %g", cases[i].type, error);
    }
}

static void metadata(void **state)
{
    (void)state;
    const char *from = model("llama", "from.gguf", DT_BF16), *to = scratch_path("to.gguf");
    Gguf *a, *b;
    uint32_t number = 0, version = 0;
    assert_int_equal(bt_quantize(from, to, &(bt_quantize_options){.type = "q8_0"}, NULL, &err),
                     BT_OK);
    assert_int_equal(gguf_open(from, NULL, &a, &err), BT_OK);
    assert_int_equal(gguf_open(to, NULL, &b, &err), BT_OK);
    assert_int_equal(gguf_get_u32(b, "general.file_type", true, &number, &err), BT_OK);
    assert_int_equal(gguf_get_u32(b, "general.quantization_version", true, &version, &err), BT_OK);
    assert_int_equal(number, 7);
    assert_int_equal(version, 2);
    for (size_t i = 0; i < gguf_n_keys(a); i++) {
        char name[256], x[256], y[256];
        Span key = gguf_key_name(a, i);
        snprintf(name, sizeof name, "%.*s", (int)key.size, key.data);
        int64_t j = gguf_find_key(b, name);
        assert_true(j >= 0);
        if (strncmp(name, "general.file_type", 17) == 0) continue;
        assert_string_equal(gguf_key_print(a, i, x, sizeof x),
                            gguf_key_print(b, (size_t)j, y, sizeof y));
    }
    gguf_close(&a);
    gguf_close(&b);
}

/* ---- what is refused ---- */

static void refused(const char *from, const char *to, bt_quantize_options o, const char *says)
{
    int before = scratch_entries();
    err.text[0] = '\0';
    bt_status status = bt_quantize(from, to, &o, NULL, &err);
    if (status == BT_OK || !strstr(err.text, says))
        fail_msg("%d '%s' does not say '%s'", status, err.text, says);
    assert_int_equal(scratch_entries(), before);
}

static void what_is_refused(void **state)
{
    (void)state;
    char from[256], small[256], to[256];
    snprintf(from, sizeof from, "%s", model("llama", "from.gguf", DT_F32));
    snprintf(small, sizeof small, "%s", scratch_path("small.gguf"));
    bt_quantize_options q8 = {.type = "Q8_0"}, q4 = {.type = "Q4_0"}, o;
    assert_int_equal(bt_quantize(from, small, &q8, NULL, &err), BT_OK);
    snprintf(to, sizeof to, "%s", scratch_path("to.gguf"));

    refused(from, from, q8, "name another file");
    refused(small, to, q4, "quantised already");
    refused(from, to, (bt_quantize_options){.type = "Q4_K_N"}, "no type");
    refused(from, to, (bt_quantize_options){0}, "must be named");
    refused(NULL, to, q8, "must be named");
    refused(scratch_path("missing.gguf"), to, q8, "No such file");
    refused(from, scratch_path("no/such/folder.gguf"), q8, "No such file");
    refused(from, scratch_path(""), q8, "folder");
    if (quant_supported(DT_Q2_K))
        refused(from, to, (bt_quantize_options){.type = "IQ2_XXS"}, "bantam imatrix");
    scratch_write("letter.txt", "Dear", 4);
    refused(from, scratch_path("letter.txt"), q8, "no GGUF");
    refused(scratch_path("letter.txt"), to, q8, "");
    o = q8;
    o.imatrix = scratch_path("missing.dat");
    refused(from, to, o, "missing.dat");

    /* On request only; a type that is there already is kept to the bit. */
    o = q4;
    o.requantize = o.pure = true;
    assert_int_equal(bt_quantize(small, to, &o, NULL, &err), BT_OK);
    assert_int_equal(bt_quantize(small, to, &q8, NULL, &err), BT_OK); /* over a GGUF file */
    same_rows(small, to);
}

static void weights_that_are_no_numbers(void **state)
{
    (void)state;
    static float x[2][64];
    GgufWriter *w = gguf_writer_open();
    const uint64_t ne[] = {64, 2};
    x[1][63] = NAN;
    gguf_put_string(w, "general.architecture", "llama");
    gguf_put_tensor(w, "blk.0.attn_q.weight", DT_F32, 2, ne, x);
    assert_int_equal(gguf_writer_save(w, scratch_path("nan.gguf"), &err), BT_OK);
    gguf_writer_close(&w);
    refused(scratch_path("nan.gguf"), scratch_path("to.gguf"),
            (bt_quantize_options){.type = "Q8_0"}, "'blk.0.attn_q.weight', row 1");
}

static bool stop_soon(void *user, const char *what, uint64_t done, uint64_t total)
{
    int *calls = user;
    assert_string_equal(what, "quantising");
    assert_true(done <= total);
    return ++*calls < 5;
}

static void cancelling_leaves_nothing(void **state)
{
    (void)state;
    int calls = 0;
    const char *from = model("llama", "from.gguf", DT_F32), *to = scratch_path("to.gguf");
    int before = scratch_entries();
    bt_quantize_options o = {.type = "Q8_0", .progress = stop_soon, .progress_user = &calls};
    assert_int_equal(bt_quantize(from, to, &o, NULL, &err), BT_E_CANCELLED);
    assert_int_equal(scratch_entries(), before);
    assert_int_equal(calls, 5);
}

typedef struct Life {
    const char *from, *to;
    int before; /* files */
} Life;

static bt_status life(void *user, bt_error *told)
{
    const Life *l = user;
    const char *named = "ffn_up=q4_0";
    bt_quantize_options o = {
        .type = "Q8_0", .n_threads = 1, .tensor_types = &named, .n_tensor_types = 1};
    bt_status status = bt_quantize(l->from, l->to, &o, NULL, told);
    if (!status) assert_int_equal(unlink(l->to), 0);
    assert_int_equal(scratch_entries(), l->before);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    Life l = {model("llama", "from.gguf", DT_F32), scratch_path("to.gguf"), scratch_entries()};
    torture("quantising", life, &l);
}

/* ---- all families ---- */

static void every_family_loads_quantised(void **state)
{
    (void)state;
    char folder[512], path[1024];
    const char *source = getenv("BANTAM_SOURCE"), *to = scratch_path("to.gguf");
    snprintf(folder, sizeof folder, "%s/tests/data/families", source ? source : ".");
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        size_t length = strlen(e->d_name);
        if (length < 6 || strcmp(e->d_name + length - 5, ".gguf") != 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        bt_quantize_options o = {.type = "Q8_0", .n_threads = 1};
        bt_model_options open = {.no_cache = true, .n_threads = 1};
        bt_model *m = NULL;
        bt_session *s = NULL;
        if (bt_quantize(path, to, &o, NULL, &err)) fail_msg("%s: %s", e->d_name, err.text);
        if (bt_model_open(to, &open, &m, &err)) fail_msg("%s: %s", e->d_name, err.text);
        bt_session_options session = {.n_ctx = 64, .embeddings = bt_model_embedding(m).embeds};
        if (bt_session_open(m, &session, &s, &err)) fail_msg("%s: %s", e->d_name, err.text);
        bt_session_close(&s);
        bt_model_close(&m);
        n++;
    }
    closedir(dir);
    assert_true(n > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        TEST(files_that_load_and_answer),
        TEST(metadata),
        TEST(what_is_refused),
        TEST(weights_that_are_no_numbers),
        TEST(cancelling_leaves_nothing),
        TEST(every_allocation_may_fail),
        TEST(every_family_loads_quantised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
