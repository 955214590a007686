/* A size in place of a type: the file keeps to it, what was expected is what is measured, more room
 * is better answers, and what cannot be is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "support/golden.h"
#include "support/make_model.h"
#include "support/scratch.h"
#include "support/torture.h"

static bt_error err;

static const char *model(DType type)
{
    MakeModel o = {.arch = "llama", .embd = 256, .ff = 256, .layers = 1, .type = type};
    static char path[256]; /* scratch_path's own lives for three calls */
    snprintf(path, sizeof path, "%s", scratch_path("from.gguf"));
    if (make_model(&o, path, &err)) fail_msg("%s", err.text);
    return path;
}

static uint64_t bytes_of(const char *path)
{
    struct stat at;
    assert_int_equal(stat(path, &at), 0);
    return (uint64_t)at.st_size;
}

static bt_quantize_result fitted(const char *from, uint64_t size)
{
    static bt_quantize_result r;
    const char *to = scratch_path("to.gguf");
    bt_quantize_options o = {.fit = size, .n_threads = 2};
    if (bt_quantize(from, to, &o, &r, &err)) fail_msg("%s", err.text);
    assert_true(bytes_of(to) <= size);
    assert_true(bytes_of(to) > size - size / 8); /* and it uses what it may */
    assert_true(r.fitted && r.scored > 0 && r.n_parts > 3);
    return r;
}

static void more_room_is_better(void **state)
{
    (void)state;
    const char *from = model(DT_F16);
    uint64_t whole = bytes_of(from);
    bt_quantize_result small = fitted(from, whole * 4 / 10), large = fitted(from, whole * 7 / 10);
    assert_true(large.kl_mean < small.kl_mean);
    assert_true(large.kl_expected < small.kl_expected);
    bt_quantize_result all = fitted(from, whole + 1024);
    assert_true(all.kl_mean < 1e-6); /* nothing need change */
}

/* However much there is: a probe that shows nothing must not decide. */
static void plenty_changes_nothing(void **state)
{
    (void)state;
    static const DType types[] = {DT_F16, DT_BF16, DT_F32};
    for (size_t i = 0; i < 3; i++) {
        bt_quantize_options o = {.fit = (uint64_t)1 << 40, .n_threads = 2};
        const char *from = model(types[i]), *to = scratch_path("to.gguf");
        bt_quantize_result r;
        if (bt_quantize(from, to, &o, &r, &err)) fail_msg("%s", err.text);
        assert_true(r.bytes_after == r.bytes_before);
        assert_true(r.kl_mean < 1e-6);
    }
}

/* On a trained model: what was expected is what came, and no mix of that size does better. */
static void as_expected(void **state)
{
    (void)state;
    const char *from = golden_path("real/stories260K.gguf");
    if (!from) skip();
    bt_quantize_result r = fitted(from, 280 << 10);
    if (!(r.kl_mean < 3 * r.kl_expected && r.kl_expected < 3 * r.kl_mean))
        fail_msg("%g measured, %g expected", r.kl_mean, r.kl_expected);
    assert_true(r.held_out);
}

static void refused(const char *from, bt_quantize_options o, const char *says)
{
    int before = scratch_entries();
    bt_status status = bt_quantize(from, scratch_path("no.gguf"), &o, NULL, &err);
    if (status == BT_OK || !strstr(err.text, says))
        fail_msg("%d '%s' does not say '%s'", status, err.text, says);
    assert_int_equal(scratch_entries(), before);
}

static bool stop(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user;
    assert_true(done <= total);
    return strcmp(what, "measuring") != 0 || done < 5;
}

static void what_is_refused(void **state)
{
    (void)state;
    const char *from = model(DT_F16);
    refused(from, (bt_quantize_options){.fit = 1000}, "metadata alone");
    refused(from, (bt_quantize_options){.fit = 60000}, "cannot be made so small");
    refused(from, (bt_quantize_options){.fit = 1 << 20, .type = "Q4_0"}, "exclude");
    refused(from, (bt_quantize_options){.fit = 1 << 20, .pure = true}, "exclude");
    refused(from, (bt_quantize_options){.fit = 1 << 20, .text = "Hen", .text_length = 3},
            "are needed");
    refused(from, (bt_quantize_options){.fit = 1 << 20, .progress = stop}, "cancelled");
    from = model(DT_Q8_0);
    refused(from, (bt_quantize_options){.fit = 1 << 20}, "quantised already");
    MakeModel o = {.arch = "bert"};
    assert_int_equal(make_model(&o, scratch_path("bert.gguf"), &err), BT_OK);
    refused(scratch_path("bert.gguf"), (bt_quantize_options){.fit = 1 << 20}, "vectors");
}

typedef struct Life {
    const char *from, *to;
    int before; /* files */
} Life;

static bt_status life(void *user, bt_error *told)
{
    const Life *l = user;
    bt_quantize_options o = {.fit = bytes_of(l->from) / 2, .n_threads = 1};
    bt_status status = bt_quantize(l->from, l->to, &o, NULL, told);
    if (!status) assert_int_equal(unlink(l->to), 0);
    assert_int_equal(scratch_entries(), l->before);
    return status == BT_E_SYSTEM ? BT_E_MEMORY : status; /* the threads that run the model */
}

static void allocations_may_fail(void **state)
{
    (void)state;
    Life l = {model(DT_F16), scratch_path("to.gguf"), scratch_entries()};
    torture_some("a size", life, &l, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        TEST(more_room_is_better), TEST(plenty_changes_nothing), TEST(as_expected),
        TEST(what_is_refused),     TEST(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
