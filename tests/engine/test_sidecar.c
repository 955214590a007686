/* Sidecars: made once, mapped afterwards, remade when the model or the file changed, never in the
 * way when they cannot be written. */
#include <fcntl.h>
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

#include "base/hash.h"
#include "base/mem.h"
#include "engine/model.h"
#include "engine/sidecar.h"
#include "support/make_model.h"
#include "support/scratch.h"

static char model_path[1024], cache[1024];

/* Big enough to be worth a file: 17 MB of embedding. */
static void write_model(uint64_t seed)
{
    bt_error err;
    MakeModel spec = {.type = DT_Q8_0,
                      .embd = 128,
                      .ff = 256,
                      .head_dim = 32,
                      .vocab = 130048,
                      .tokenizer = MAKE_NO_VOCAB,
                      .tied = true,
                      .seed = seed};
    if (make_model(&spec, model_path, &err)) fail_msg("%s", err.text);
}

static int setup(void **state)
{
    (void)state;
    if (!scratch_open()) return -1;
    snprintf(model_path, sizeof model_path, "%s", scratch_path("m.gguf"));
    snprintf(cache, sizeof cache, "%s", scratch_path("cache"));
    write_model(1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_close();
    return 0;
}

typedef struct Answer {
    bt_status status;
    bool mapped;
    float logit; /* of one token, to tell models apart */
    bt_error err;
} Answer;

static Answer answer_with(const bt_model_options *options)
{
    Answer a = {0};
    bt_model *m = NULL;
    bt_session *s = NULL;
    bt_token token = 7;
    bt_session_options so = {.n_ctx = 64, .n_batch = 8};
    a.status = bt_model_open(model_path, options, &m, &a.err);
    if (!a.status) a.status = bt_session_open(m, &so, &s, &a.err);
    if (!a.status) a.status = bt_session_feed(s, 0, &token, 1, &a.err);
    if (!a.status) {
        a.mapped = panels_mapped(m->panels);
        a.logit = bt_session_logits(s, -1)[11];
    }
    bt_session_close(&s);
    bt_model_close(&m);
    return a;
}

static Answer answer(const char *folder)
{
    return answer_with(&(bt_model_options){.cache_dir = folder});
}

static char *only_sidecar(void)
{
    static char path[1200];
    Sidecar *list;
    size_t n;
    assert_int_equal(sidecar_list(cache, &list, &n, NULL), BT_OK);
    assert_int_equal(n, 1);
    snprintf(path, sizeof path, "%s", list[0].path);
    sidecar_list_free(list, n);
    return path;
}

static void flip(const char *path, off_t at)
{
    unsigned char byte;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void is_made_once_and_mapped(void **state)
{
    (void)state;
    Answer memory = answer(NULL), first = answer(cache), second = answer(cache);
    assert_int_equal(memory.status, BT_OK);
    assert_false(memory.mapped);
    assert_true(first.mapped && second.mapped);
    assert_true(memory.logit == first.logit && first.logit == second.logit);
    struct stat a, b;
    assert_int_equal(stat(only_sidecar(), &a), 0);
    assert_true(answer(cache).mapped);
    assert_int_equal(stat(only_sidecar(), &b), 0);
    assert_int_equal(a.st_ino, b.st_ino); /* not written again */
    assert_int_equal(sidecar_verify(only_sidecar(), NULL), BT_OK);
}

static void a_changed_model_gets_a_new_one(void **state)
{
    (void)state;
    float before = answer(cache).logit;
    write_model(2);
    Answer after = answer(cache), memory = answer(NULL);
    assert_true(after.mapped);
    assert_true(after.logit == memory.logit && after.logit != before);
    only_sidecar();
}

/* Writes the header again as of another version; `seed` of its hash. */
static void make_older(const char *path, uint32_t version, uint64_t seed)
{
    static SidecarHeader h;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &h, sizeof h, 0), sizeof h);
    assert_int_equal(h.version, SIDECAR_VERSION);
    h.version = version;
    h.header_hash = 0;
    h.header_hash = hash_bytes(&h, sizeof h, seed);
    assert_int_equal(pwrite(fd, &h, sizeof h, 0), sizeof h);
    close(fd);
}

/* Panels of an older layout would be read as numbers all the same. */
static void one_of_an_older_layout_is_made_anew(void **state)
{
    (void)state;
    float want = answer(cache).logit;
    for (uint32_t version = SIDECAR_VERSION - 1; version; version--)
        for (int now = 0; now < 2; now++) { /* as it was written then, and with a hash of today */
            char path[1200];
            struct stat a, b;
            snprintf(path, sizeof path, "%s", only_sidecar());
            make_older(path, version, now ? SIDECAR_VERSION : version);
            assert_int_equal(stat(path, &a), 0);
            Answer made = answer(cache);
            assert_true(made.mapped && made.logit == want);
            assert_int_equal(stat(only_sidecar(), &b), 0);
            assert_true(a.st_ino != b.st_ino);
            assert_int_equal(sidecar_verify(only_sidecar(), NULL), BT_OK);
        }
}

static void damage_is_found(void **state)
{
    (void)state;
    bt_error err;
    float want = answer(cache).logit;
    char path[1200];
    snprintf(path, sizeof path, "%s", only_sidecar());
    flip(path, 40); /* header: remade at start */
    assert_int_equal(sidecar_verify(path, &err), BT_E_FORMAT);
    assert_true(answer(cache).logit == want);
    assert_int_equal(sidecar_verify(path, &err), BT_OK);
    assert_int_equal(truncate(path, 1 << 20), 0); /* cut short: remade at start */
    assert_true(answer(cache).logit == want);
    assert_int_equal(sidecar_verify(path, &err), BT_OK);
    flip(path, SIDECAR_HEADER_BYTES + (5 << 20)); /* a panel: the checksum tells */
    assert_int_equal(sidecar_verify(path, &err), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "checksum"));
    assert_int_equal(unlink(path), 0);
}

static void where_none_can_be_written_memory_serves(void **state)
{
    (void)state;
    float want = answer(NULL).logit;
    Answer a = answer("/proc/no/such/folder");
    assert_int_equal(a.status, BT_OK);
    assert_false(a.mapped);
    assert_true(a.logit == want);
}

/* A block scale of the embedding becomes infinite (Q8_0: half-precision scale, then 32 codes). */
static void weights_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    Gguf *g;
    static const unsigned char infinity[] = {0x00, 0x7c};
    assert_int_equal(gguf_open(model_path, NULL, &g, NULL), BT_OK);
    uint64_t offset = gguf_find_tensor(g, "token_embd.weight")->offset;
    gguf_close(&g);
    int fd = open(model_path, O_RDWR);
    assert_int_equal(pwrite(fd, infinity, 2, (off_t)(offset + 34 * 1000)), 2);
    close(fd);
    const char *folders[] = {cache, NULL};
    for (int i = 0; i < 2; i++) {
        Answer a = answer(folders[i]);
        assert_int_equal(a.status, BT_E_FORMAT);
        assert_non_null(strstr(a.err.text, "tensor 'token_embd.weight' at offset"));
        assert_non_null(strstr(a.err.text, "NaN or infinity"));
    }
    write_model(2);
}

static bool cancel_at_once(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user, (void)what, (void)done, (void)total;
    return false;
}

static void cancelling_leaves_nothing(void **state)
{
    (void)state;
    Answer a = answer_with(&(bt_model_options){.cache_dir = cache, .progress = cancel_at_once});
    assert_int_equal(a.status, BT_E_CANCELLED);
    Sidecar *list;
    size_t n;
    assert_int_equal(sidecar_list(cache, &list, &n, NULL), BT_OK);
    sidecar_list_free(list, n);
    assert_int_equal(n, 0);
}

static void the_folder_is_kept_within_its_limit(void **state)
{
    (void)state;
    uint64_t removed;
    assert_true(answer(cache).mapped);
    assert_int_equal(sidecar_trim(cache, 1ull << 40, &removed, NULL), BT_OK);
    assert_int_equal(removed, 0);
    assert_int_equal(sidecar_trim(cache, 1 << 20, &removed, NULL), BT_OK);
    assert_true(removed > 16 << 20);
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_made_once_and_mapped),
        cmocka_unit_test(a_changed_model_gets_a_new_one),
        cmocka_unit_test(one_of_an_older_layout_is_made_anew),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(where_none_can_be_written_memory_serves),
        cmocka_unit_test(weights_that_are_not_finite_are_refused),
        cmocka_unit_test(cancelling_leaves_nothing),
        cmocka_unit_test(the_folder_is_kept_within_its_limit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
