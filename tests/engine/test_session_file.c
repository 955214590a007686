/* Sequences as files: what is loaded goes on to the bit; what is cut, changed, of another model or
 * too long is refused; what is forged with right checksums does no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "base/hash.h"
#include "base/mem.h"
#include "support/files.h"
#include "support/make_model.h"
#include "support/scratch.h"

#define N     100
#define VOCAB 128 /* of a made model without a tokenizer */

static bt_model *open_model(const char *arch, uint32_t seed)
{
    char path[1024];
    bt_error err;
    bt_model *m = NULL;
    MakeModel spec = {
        .arch = arch, .type = DT_F32, .tokenizer = MAKE_NO_VOCAB, .head_dim = 32, .seed = seed};
    snprintf(path, sizeof path, "%s", scratch_path("m.gguf"));
    if (make_model(&spec, path, &err)) fail_msg("%s", err.text);
    if (bt_model_open(path, NULL, &m, &err)) fail_msg("%s", err.text);
    return m;
}

static bt_session *open_session(bt_model *m, int32_t n_ctx, bt_kv_type kv)
{
    bt_error err;
    bt_session *s = NULL;
    bt_session_options o = {.n_ctx = n_ctx, .n_sequences = 2, .kv = kv};
    if (bt_session_open(m, &o, &s, &err)) fail_msg("%s", err.text);
    return s;
}

static void feed(bt_session *s, int32_t sequence, int from, int n)
{
    bt_token tokens[N];
    bt_error err;
    for (int i = 0; i < n; i++) tokens[i] = (from + i) * 7 % VOCAB;
    if (bt_session_feed(s, sequence, tokens, (size_t)n, &err)) fail_msg("%s", err.text);
}

static unsigned char *read_file(const char *path, size_t *size)
{
    char *data = files_read(path, size);
    assert_non_null(data);
    return (unsigned char *)data;
}

static char *saved(bt_session *s)
{
    static char path[1024];
    bt_error err;
    snprintf(path, sizeof path, "%s", scratch_path("sequence.state"));
    if (bt_session_save(s, 0, path, &err)) fail_msg("%s", err.text);
    return path;
}

/* What is allocated apart from what is made the first time a model is made and opened. */
static int64_t made_once(void)
{
    bt_model *m = open_model("llama", 1);
    bt_model_close(&m);
    return mem_live();
}

static void a_loaded_sequence_goes_on(void **state)
{
    (void)state;
    int64_t live = made_once();
    static const bt_kv_type types[] = {BT_KV_F32, BT_KV_BF16, BT_KV_Q8_0, BT_KV_Q4_0,
                                       BT_KV_PAIR(BT_KV_F16, BT_KV_Q4_0)};
    bt_model *m = open_model("qwen3", 1);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        bt_session *s = open_session(m, N, types[i]);
        float want[VOCAB];
        feed(s, 0, 0, 70);
        const char *path = saved(s);
        feed(s, 0, 70, 10);
        memcpy(want, bt_session_logits(s, -1), sizeof want);
        bt_session_close(&s);
        s = open_session(m, N + 64, types[i]); /* another context will do */
        feed(s, 1, 3, 20);
        assert_int_equal(bt_session_load(s, 1, path, NULL), BT_OK);
        assert_int_equal(bt_session_length(s, 1), 70);
        feed(s, 1, 70, 10);
        assert_memory_equal(want, bt_session_logits(s, -1), sizeof want);
        bt_session_close(&s);
    }
    bt_model_close(&m);
    assert_int_equal(mem_live(), live);
}

static void what_is_not_ours_is_refused(void **state)
{
    (void)state;
    int64_t live = made_once();
    bt_error err;
    bt_model *m = open_model("llama", 1), *other = NULL;
    bt_session *s = open_session(m, N, BT_KV_BF16);
    feed(s, 0, 0, 50);
    char *path = saved(s);
    bt_session *t = open_session(m, 40, BT_KV_BF16);
    assert_int_equal(bt_session_load(t, 0, path, &err), BT_E_CONTEXT);
    assert_non_null(strstr(err.text, "50 tokens"));
    bt_session_close(&t);
    t = open_session(m, N, BT_KV_F16);
    assert_int_equal(bt_session_load(t, 0, path, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "KV type"));
    bt_session_close(&t);
    char kept[1024];
    snprintf(kept, sizeof kept, "%s", path);
    other = open_model("llama", 2); /* the same shapes, other numbers */
    t = open_session(other, N, BT_KV_BF16);
    feed(t, 0, 0, 5);
    assert_int_equal(bt_session_load(t, 0, kept, &err), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "another model"));
    assert_int_equal(bt_session_length(t, 0), 5);
    assert_int_equal(bt_session_load(t, 0, "/nowhere/x", &err), BT_E_IO);
    assert_int_equal(bt_session_load(t, 2, kept, &err), BT_E_ARGUMENT);
    bt_session_close(&t);
    bt_model_close(&other);
    bt_session_close(&s);
    bt_model_close(&m);
    assert_int_equal(mem_live(), live);
}

static void damage_is_seen(void **state)
{
    (void)state;
    bt_error err;
    bt_model *m = open_model("llama", 1);
    bt_session *s = open_session(m, N, BT_KV_BF16);
    feed(s, 0, 0, 50);
    const char *path = saved(s);
    size_t size;
    unsigned char *data = read_file(path, &size);
    for (size_t cut = 0; cut < size; cut += cut < 200 ? 1 : 997) {
        assert_int_equal(files_write(path, data, cut), 0);
        bt_status status = bt_session_load(s, 1, path, &err);
        assert_int_equal(status, BT_E_FORMAT);
    }
    for (size_t at = 0; at < size; at += at < 300 ? 1 : 499) {
        data[at] ^= 4;
        assert_int_equal(files_write(path, data, size), 0);
        assert_int_not_equal(bt_session_load(s, 1, path, &err), BT_OK);
        data[at] ^= 4;
    }
    assert_int_equal(files_write(path, data, size), 0);
    assert_int_equal(bt_session_load(s, 1, path, &err), BT_OK);
    free(data);
    bt_session_close(&s);
    bt_model_close(&m);
}

/* Header fields, as the file has them: 8 of magic, version, KV type, then 64-bit numbers. */
enum { MODEL = 16, TOKENS = 32, STATE = 40, CHECKSUM = 48, HEADER_HASH = 56, HEADER = 64 };

static void forged_files_do_no_harm(void **state)
{
    (void)state;
    int64_t live = made_once();
    bt_error err;
    bt_model *m = open_model("llama", 1);
    bt_session *s = open_session(m, N, BT_KV_F32);
    feed(s, 0, 0, 50);
    const char *path = saved(s);
    size_t size;
    unsigned char *good = read_file(path, &size), *data = malloc(size + 64);
    uint32_t random = 7; /* the hash seed is the version */
    for (int round = 0; round < 300; round++) {
        memcpy(data, good, size);
        size_t have = size;
        for (int i = 0; i < 4; i++) {
            random = random * 1664525u + 1013904223u;
            size_t at = round % 3 ? TOKENS + random % 16 : HEADER + (random >> 8) % (size - HEADER);
            data[at] = (unsigned char)(random >> 24);
        }
        if (round % 5 == 0) have = size - random % 64;
        memset(data + HEADER_HASH, 0, 8);
        uint64_t hash = hash_bytes(data, HEADER, 1);
        memcpy(data + HEADER_HASH, &hash, 8);
        assert_int_equal(files_write(path, data, have), 0);
        if (bt_session_load(s, 1, path, &err) == BT_OK) feed(s, 1, 1, 3);
    }
    free(good);
    free(data);
    bt_session_close(&s);
    bt_model_close(&m);
    assert_int_equal(mem_live(), live);
}

static void sequences_share_beginnings(void **state)
{
    (void)state;
    float want[VOCAB];
    bt_model *m = open_model("qwen2", 1);
    bt_session *s = open_session(m, N, BT_KV_BF16);
    feed(s, 0, 0, 70);
    memcpy(want, bt_session_logits(s, -1), sizeof want);
    assert_int_equal(bt_session_share(s, 0, 1, 60, NULL), BT_OK);
    feed(s, 0, 5, 10);
    feed(s, 1, 60, 10);
    assert_memory_equal(want, bt_session_logits(s, -1), sizeof want);
    assert_int_equal(bt_session_share(s, 0, 1, 81, NULL), BT_E_ARGUMENT);
    assert_int_equal(bt_session_share(s, 0, 5, 1, NULL), BT_E_ARGUMENT);
    bt_session_close(&s);
    bt_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loaded_sequence_goes_on),
        cmocka_unit_test(what_is_not_ours_is_refused),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(forged_files_do_no_harm),
        cmocka_unit_test(sequences_share_beginnings),
    };
    if (!scratch_open()) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_close();
    return failed;
}
