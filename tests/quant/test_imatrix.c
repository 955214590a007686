/* Importance matrices: what is gathered against an implementation written apart (in double
 * precision, row by row), what is written read back, both forms read, damage refused at every
 * length. */
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
#include "quant/collect.h"
#include "support/make_model.h"
#include "support/reference.h"
#include "support/scratch.h"
#include "support/torture.h"

static bt_error err;

/* ---- gathered ---- */

enum { CTX = 24, WINDOWS = 3, MOST_SEEN = 64, MOST_SUMS = 4096 };

static struct {
    char name[64];
    double sum[MOST_SUMS], count[64];
    int k;
} seen[MOST_SEEN];
static int n_seen, row_of_output;

static void see(const char *name, int mat, const double *x, int k)
{
    int i = 0;
    while (i < n_seen && strcmp(seen[i].name, name) != 0) i++;
    if (i == n_seen) {
        assert_true(n_seen < MOST_SEEN);
        n_seen++;
        snprintf(seen[i].name, sizeof seen[i].name, "%.60s", name);
        seen[i].k = k;
    }
    /* Of the output matrix every 16th row of a window. */
    if (strcmp(name, "output.weight") == 0 && row_of_output++ % 16 != 15) return;
    for (int j = 0; j < k; j++) seen[i].sum[mat * k + j] += x[j] * x[j];
    seen[i].count[mat]++;
}

static void as_the_reference(const char *arch, DType type)
{
    MakeModel o = {.arch = arch, .tokenizer = MAKE_NO_VOCAB, .type = type};
    const char *path = scratch_path("m.gguf");
    bt_token ids[CTX * WINDOWS + 5];
    bt_model *model;
    Imatrix *m;
    int n_vocab;
    for (int i = 0; i < CTX * WINDOWS + 5; i++) ids[i] = (i * 37 + i * i) % 128;
    if (make_model(&o, path, &err)) fail_msg("%s", err.text);
    memset(seen, 0, sizeof seen);
    n_seen = 0;
    reference_watch = see;
    for (int w = 0; w < WINDOWS; w++) {
        row_of_output = 0;
        free(reference_logits(path, ids + w * CTX, CTX, &n_vocab));
    }
    reference_watch = NULL;
    bt_model_options options = {.no_cache = true, .n_threads = 2};
    CollectOptions collect = {.n_ctx = CTX};
    if (bt_model_open(path, &options, &model, &err)) fail_msg("%s", err.text);
    if (collect_importance(model, ids, CTX * WINDOWS + 5, &collect, &m, &err))
        fail_msg("%s", err.text);
    bt_model_close(&model);
    assert_int_equal(m->chunks, WINDOWS);
    assert_int_equal(m->n, n_seen);
    double bound = type == DT_F32 ? 1e-5 : 0.1; /* quantised products differ a little */
    for (int i = 0; i < n_seen; i++) {
        const ImatrixEntry *e = imatrix_find(m, span_of(seen[i].name));
        if (!e) fail_msg("%s is missing", seen[i].name);
        double apart = 0, all = 0;
        for (uint64_t j = 0; j < e->n; j++) {
            uint64_t mat = j / (uint64_t)seen[i].k;
            if (type == DT_F32) assert_true(e->counts[mat] == (float)seen[i].count[mat]);
            if (!(seen[i].count[mat] > 0)) continue;
            double want = seen[i].sum[j] / seen[i].count[mat];
            apart += fabs((double)e->mean[j] - want);
            all += want;
        }
        if (!(apart <= bound * all)) fail_msg("%s: %g of %g", seen[i].name, apart, all);
    }
    imatrix_close(&m);
}

static void gathered_as_the_reference_does(void **state)
{
    (void)state;
    as_the_reference("llama", DT_F32);
    as_the_reference("qwen3", DT_F32);
    as_the_reference("qwen3moe", DT_F32);
    as_the_reference("llama-moe", DT_F32);
    as_the_reference("llama", DT_Q8_0);
    as_the_reference("qwen3moe", DT_Q8_0);
}

/* ---- written and read ---- */

static Imatrix *made(void)
{
    Imatrix *m = imatrix_new();
    ImatrixEntry *e = imatrix_add(m, SPAN("blk.0.attn_q.weight"), 6, 1);
    for (int i = 0; i < 6; i++) e->mean[i] = (float)(i * i);
    e->counts[0] = 2;
    assert_int_equal(imatrix_divide(e, "made", &err), BT_OK);
    e = imatrix_add(m, SPAN("blk.0.ffn_up_exps.weight"), 8, 4);
    for (int i = 0; i < 8; i++) e->mean[i] = i < 4 ? (float)(i + 1) : 0;
    e->counts[0] = 3, e->counts[1] = 1, e->counts[3] = 5; /* 2 met nothing, 3 only zeros */
    assert_int_equal(imatrix_divide(e, "made", &err), BT_OK);
    assert_int_equal(imatrix_index(m, "made", &err), BT_OK);
    m->dataset = mem_strdup("text.txt");
    m->chunks = 7;
    m->chunk_size = 512;
    return m;
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    const char *path = scratch_path("made.gguf");
    Imatrix *a = made(), *b;
    uint64_t each;
    if (imatrix_save(a, path, &err)) fail_msg("%s", err.text);
    if (imatrix_open(path, &b, &err)) fail_msg("%s", err.text);
    assert_int_equal(b->n, 2);
    assert_int_equal(b->chunks, 7);
    assert_int_equal(b->chunk_size, 512);
    assert_string_equal(b->dataset, "text.txt");
    for (size_t i = 0; i < a->n; i++) {
        const ImatrixEntry *e = imatrix_find(b, a->entries[i].name);
        assert_non_null(e);
        assert_memory_equal(e->counts, a->entries[i].counts, e->n_counts * sizeof(float));
        for (uint64_t j = 0; j < e->n; j++)
            assert_true(fabsf(e->mean[j] - a->entries[i].mean[j]) <= 1e-6f * e->mean[j]);
    }
    const ImatrixEntry *e = imatrix_find(b, SPAN("blk.0.ffn_up_exps.weight"));
    assert_true(e->mean[4] == 1 && e->mean[5] == 1); /* nothing known: all alike */
    assert_ptr_equal(imatrix_weights(e, 2, 4, &each), e->mean);
    assert_int_equal(each, 2);
    assert_ptr_equal(imatrix_weights(e, 8, 3, &each), e->mean);
    assert_int_equal(each, 0);
    assert_null(imatrix_weights(e, 2, 3, &each));
    assert_null(imatrix_weights(e, 3, 4, &each));
    assert_null(imatrix_find(b, SPAN("blk.1.attn_q.weight")));
    imatrix_close(&a);
    imatrix_close(&b);
}

/* ---- the older form, and damage ---- */

static size_t old_form(unsigned char *out)
{
    size_t at = 0;
    const float sums[2][3] = {{4, 8, 12}, {0, 1, 2}};
    const char *names[] = {"blk.0.attn_q.weight", "blk.0.attn_k.weight"};
    int32_t n = 2, calls = 4, three = 3, chunks = 9, length = 4;
#define PUT(value) (memcpy(out + at, &(value), sizeof(value)), at += sizeof(value))
    PUT(n);
    for (int i = 0; i < 2; i++) {
        int32_t size = (int32_t)strlen(names[i]);
        PUT(size);
        memcpy(out + at, names[i], (size_t)size);
        at += (size_t)size;
        PUT(calls);
        PUT(three);
        PUT(sums[i]);
    }
    PUT(chunks);
    PUT(length);
    memcpy(out + at, "wiki", 4);
    return at + 4;
}

static void the_older_form(void **state)
{
    (void)state;
    static _Alignas(8) unsigned char data[256];
    size_t size = old_form(data);
    Imatrix *m;
    if (imatrix_open_memory("old", data, size, &m, &err)) fail_msg("%s", err.text);
    assert_int_equal(m->n, 2);
    assert_int_equal(m->chunks, 9);
    assert_string_equal(m->dataset, "wiki");
    const ImatrixEntry *e = imatrix_find(m, SPAN("blk.0.attn_q.weight"));
    assert_non_null(e);
    assert_true(e->mean[0] == 1 && e->mean[1] == 2 && e->mean[2] == 3);
    imatrix_close(&m);
    /* Without its tail it is older still; any other length is damage. */
    for (size_t n = 0; n < size; n++) {
        bt_status status = imatrix_open_memory("old", data, n, &m, &err);
        if (n >= size - 12 && n < size - 4) {
            assert_int_equal(status, BT_OK);
            imatrix_close(&m);
        } else {
            if (status != BT_E_FORMAT) fail_msg("%zu of %zu: %d", n, size, status);
            assert_true(strstr(err.text, "old") && *err.text);
        }
    }
}

static void bad_old(size_t at, int32_t value, const char *says)
{
    static _Alignas(8) unsigned char data[256];
    Imatrix *m;
    size_t size = old_form(data);
    memcpy(data + at, &value, 4);
    if (imatrix_open_memory("old", data, size, &m, &err) == BT_OK) fail_msg("taken: %s", says);
    if (!strstr(err.text, says)) fail_msg("'%s' does not say '%s'", err.text, says);
}

static void damage(void **state)
{
    (void)state;
    union {
        float f;
        int32_t i;
    } bad = {.f = -1}, none = {.f = NAN};
    bad_old(0, -1, "entries");
    bad_old(0, 1 << 30, "entries");
    bad_old(4, 0, "bytes of a name");
    bad_old(4, 1 << 20, "bytes of a name");
    bad_old(8, 1, "no text");
    bad_old(4 + 4 + 19 + 4, 1 << 29, "numbers");
    bad_old(4 + 4 + 19 + 8, bad.i, "negative");
    bad_old(4 + 4 + 19 + 8, none.i, "negative or none");

    /* A whole GGUF of another kind, and one cut at every length. */
    MakeModel o = {.arch = "llama"};
    Imatrix *m = made(), *again;
    assert_int_equal(make_model(&o, scratch_path("m.gguf"), &err), BT_OK);
    assert_int_equal(imatrix_open(scratch_path("m.gguf"), &again, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "no importance matrix"));
    const char *path = scratch_path("made.gguf");
    assert_int_equal(imatrix_save(m, path, &err), BT_OK);
    imatrix_close(&m);
    static _Alignas(8) unsigned char data[8192];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t size = fread(data, 1, sizeof data, f);
    fclose(f);
    for (size_t n = 0; n + 32 < size; n++) {
        if (imatrix_open_memory("made", data, n, &again, &err) == BT_OK)
            fail_msg("%zu of %zu bytes were taken", n, size);
        assert_null(again);
    }
}

typedef struct Life {
    const unsigned char *data;
    size_t size;
} Life;

static bt_status life(void *user, bt_error *told)
{
    const Life *l = user;
    Imatrix *m;
    bt_status status = imatrix_open_memory("old", l->data, l->size, &m, told);
    imatrix_close(&m);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static _Alignas(8) unsigned char data[256];
    torture("an importance matrix", life, &(Life){data, old_form(data)});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        TEST(gathered_as_the_reference_does),
        TEST(what_is_written_is_read_back),
        TEST(the_older_form),
        TEST(damage),
        TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
