/* What the GGUF writer writes, the reader reads back; what it cannot write leaves nothing behind.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/gguf_write.h"
#include "support/scratch.h"
#include "support/torture.h"
#include "tensor/dtype.h"

static bt_error err;
static const uint64_t shape[] = {32, 3};
static float floats[96];
static unsigned char blocks[3 * 34];

static GgufWriter *filled(void)
{
    static const Span words[] = {{"one", 3}, {"t\0o", 3}, {"", 0}};
    static const int32_t ints[] = {1, -2, INT32_MIN};
    static const float reals[] = {0.5f, -1e30f};
    static const uint64_t odd[] = {5};
    GgufWriter *w = gguf_writer_open();
    if (!w) return NULL;
    gguf_put_string(w, "general.architecture", "llama");
    gguf_put_u32(w, "u32", UINT32_MAX);
    gguf_put_i32(w, "i32", -7);
    gguf_put_u64(w, "u64", UINT64_MAX);
    gguf_put_f32(w, "f32", 0.1f);
    gguf_put_bool(w, "bool", true);
    gguf_put_spans(w, "words", words, 3);
    gguf_put_i32s(w, "ints", ints, 3);
    gguf_put_f32s(w, "reals", reals, 2);
    gguf_put_i32s(w, "none", ints, 0);
    gguf_put_tensor(w, "odd", DT_F32, 1, odd, floats);
    gguf_put_tensor(w, "w", DT_F32, 2, shape, floats);
    gguf_put_tensor(w, "q", DT_Q8_0, 2, shape, blocks);
    return w;
}

static void check(const Gguf *g, uint64_t alignment)
{
    uint32_t u = 0;
    int32_t ints[3];
    float f = 0;
    bool yes = false;
    Span words[3];
    uint64_t n;
    assert_int_equal(gguf_version(g), 3);
    assert_int_equal(gguf_get_u32(g, "u32", true, &u, &err), BT_OK);
    assert_int_equal(u, UINT32_MAX);
    assert_int_equal(gguf_get_f32(g, "f32", true, &f, &err), BT_OK);
    assert_true(f == 0.1f);
    assert_int_equal(gguf_get_bool(g, "bool", true, &yes, &err), BT_OK);
    assert_true(yes);
    assert_int_equal(gguf_get_spans(g, "words", words, 3, &err), BT_OK);
    assert_memory_equal(words[1].data, "t\0o", 3);
    assert_int_equal(gguf_get_i32s(g, "ints", true, ints, 3, &n, &err), BT_OK);
    assert_int_equal(ints[2], INT32_MIN);
    assert_int_equal(gguf_array_type(g, (size_t)gguf_find_key(g, "none")), GGUF_I32);
    const GgufTensor *w = gguf_find_tensor(g, "w"), *q = gguf_find_tensor(g, "q");
    assert_memory_equal(w->data, floats, sizeof floats);
    assert_memory_equal(q->data, blocks, sizeof blocks);
    assert_int_equal(q->ne[1], 3);
    for (size_t i = 0; i < gguf_n_tensors(g); i++)
        assert_int_equal(gguf_tensor(g, i)->offset % alignment, 0);
}

static void round_trip(void **state)
{
    Gguf *g;
    GgufWriter *w = filled();
    const char *path = scratch_path("a.gguf");
    assert_int_equal(gguf_writer_save(w, path, &err), BT_OK);
    gguf_writer_close(&w);
    assert_int_equal(gguf_open(path, NULL, &g, &err), BT_OK);
    check(g, 32);

    /* A copy key by key, with another alignment, holds the same. */
    w = gguf_writer_open();
    gguf_put_u32(w, "general.alignment", 4096);
    for (size_t i = 0; i < gguf_n_keys(g); i++) gguf_put_copy(w, g, i);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)t->name.size, t->name.data);
        gguf_put_tensor(w, name, t->type, t->n_dims, t->ne, t->data);
    }
    const char *copy = scratch_path("b.gguf");
    assert_int_equal(gguf_writer_save(w, copy, &err), BT_OK);
    gguf_writer_close(&w);
    gguf_close(&g);
    assert_int_equal(gguf_open(copy, NULL, &g, &err), BT_OK);
    check(g, 4096);
    gguf_close(&g);
}

static void save_fails(GgufWriter *w, const char *expected)
{
    int before = scratch_entries();
    assert_true(gguf_writer_save(w, scratch_path("no.gguf"), &err) < 0);
    if (!strstr(err.text, expected)) print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, expected));
    assert_int_equal(scratch_entries(), before);
    gguf_writer_close(&w);
}

static void refuses_what_it_would_not_read(void **state)
{
    static const uint64_t bad[] = {33, 0, 1, 1, 1};
    GgufWriter *w = filled();
    gguf_put_u32(w, "u32", 1);
    save_fails(w, "key 'u32' was put twice");
    w = filled();
    gguf_put_tensor(w, "w", DT_F32, 1, shape, floats);
    save_fails(w, "tensor 'w' was put twice");
    w = filled();
    gguf_put_tensor(w, "x", DT_Q8_0, 1, bad, blocks);
    save_fails(w, "tensor 'x'");
    w = filled();
    gguf_put_tensor(w, "x", DT_F32, 2, bad, blocks);
    save_fails(w, "tensor 'x'");
    w = filled();
    gguf_put_tensor(w, "x", DT_F32, 5, bad, blocks);
    save_fails(w, "tensor 'x'");
    w = filled();
    gguf_put_tensor(w, "x", 99, 1, shape, blocks);
    save_fails(w, "type 99");
    w = filled();
    gguf_put_u32(w, "", 1);
    save_fails(w, "empty");
    w = filled();
    gguf_put_u32(w, "general.alignment", 24);
    save_fails(w, "alignment");
}

/* A disk that is full, played by a limit on file size: the old file stays, nothing else does. */
static void full_disk_leaves_nothing(void **state)
{
    struct rlimit old, small = {.rlim_cur = 300};
    Gguf *g;
    GgufWriter *w = filled();
    const char *path = scratch_path("kept.gguf");
    assert_int_equal(gguf_writer_save(w, path, &err), BT_OK);
    int before = scratch_entries();
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    bt_status status = gguf_writer_save(w, path, &err);
    bt_status fresh = gguf_writer_save(w, scratch_path("fresh.gguf"), &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(status, BT_E_IO);
    assert_int_equal(fresh, BT_E_IO);
    assert_int_equal(scratch_entries(), before);
    gguf_writer_close(&w);
    assert_int_equal(gguf_open(path, NULL, &g, &err), BT_OK);
    check(g, 32);
    gguf_close(&g);
}

static bt_status life(void *user, bt_error *told)
{
    const int *before = user;
    GgufWriter *w = filled();
    bt_status status =
        w ? gguf_writer_save(w, scratch_path("t.gguf"), told) : torture_bare(BT_E_MEMORY, told);
    gguf_writer_close(&w);
    if (!status) assert_int_equal(unlink(scratch_path("t.gguf")), 0);
    assert_int_equal(scratch_entries(), *before);
    return status;
}

static void survives_failed_allocations(void **state)
{
    int before = scratch_entries();
    (void)state;
    torture("a file", life, &before);
}

static int setup(void **state)
{
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) floats[i] = (float)i / 7;
    for (size_t i = 0; i < sizeof blocks; i++) blocks[i] = (unsigned char)(i * 31);
    return scratch_open() ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(refuses_what_it_would_not_read),
        cmocka_unit_test(full_disk_leaves_nothing),
        cmocka_unit_test(survives_failed_allocations),
    };
    return cmocka_run_group_tests(tests, setup, scratch_teardown);
}
