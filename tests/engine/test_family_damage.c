/* Every family's tiny model (tests/data/families), damaged: each tensor in turn is not there under
 * its name, and each allocation in turn fails. A model that lost a tensor is refused by name,
 * unless the tensor is one that files of its family may lack; nothing leaks, nothing crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "base/mem.h"
#include "io/gguf_index.h"
#include "support/scratch.h"

#define MOST_FIXTURES 128
#define MOST_LIVES    60 /* of a model; allocations beyond are sampled */

static char names[MOST_FIXTURES][64];
static char source[1024];

static size_t read_names(void)
{
    char path[1100], line[512];
    const char *root = getenv("BANTAM_SOURCE");
    snprintf(source, sizeof source, "%s/tests/data/families", root ? root : ".");
    snprintf(path, sizeof path, "%s/fixtures.tsv", source);
    size_t n = 0;
    FILE *f = fopen(path, "r");
    while (f && n < MOST_FIXTURES && fgets(line, sizeof line, f))
        if (line[0] != '#' && sscanf(line, "%63[^\t]", names[n]) == 1) n++;
    if (f) fclose(f);
    return n;
}

/* ---- tensors ---- */

/* What files may lack without being wrong: biases, a head of its own, factors and the like. */
static bool may_lack(const char *model, const char *tensor)
{
    /* its only full layer with keys of its own: without values it is a model that has none */
    if (!strcmp(model, "gemma4") && !strcmp(tensor, "blk.2.attn_v.weight")) return true;
    static const char *const may[] = {".bias",
                                      ".scale",
                                      "output.weight",
                                      "rope_freqs.weight",
                                      "layer_output_scale.weight",
                                      "token_types.weight"};
    for (size_t i = 0; i < sizeof may / sizeof *may; i++)
        if (strstr(tensor, may[i])) return true;
    return false;
}

/* The place of a tensor's name in the header. */
static unsigned char *find_name(unsigned char *data, size_t size, const char *name)
{
    uint64_t length = strlen(name);
    unsigned char want[8 + 256];
    memcpy(want, &length, sizeof length);
    memcpy(want + 8, name, length);
    for (size_t i = 0; i + 8 + length <= size; i++)
        if (!memcmp(data + i, want, 8 + length)) return data + i + 8;
    return NULL;
}

static void write_file(const char *path, const unsigned char *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    fclose(f);
}

static unsigned char *read_whole(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    unsigned char *data = malloc(*size);
    assert_int_equal(fread(data, 1, *size, f), *size);
    fclose(f);
    return data;
}

static bt_status opens(const char *path, bt_error *err)
{
    bt_model *m = NULL;
    bt_model_options o = {.n_threads = 1, .no_cache = true};
    bt_status status = bt_model_open(path, &o, &m, err);
    bt_model_close(&m);
    return status;
}

static void tensors_are_missed(void **state)
{
    const char *name = *state;
    char path[1200], damaged[1200], tensor[256];
    size_t size;
    bt_error err;
    Gguf *g = NULL;
    snprintf(path, sizeof path, "%s/%s.gguf", source, name);
    snprintf(damaged, sizeof damaged, "%s", scratch_path("lost.gguf"));
    unsigned char *data = read_whole(path, &size);
    assert_int_equal(gguf_open_memory(data, size, path, &g, &err), BT_OK);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        Span is = gguf_tensor(g, i)->name;
        snprintf(tensor, sizeof tensor, "%.*s", (int)is.size, is.data);
        unsigned char *at = find_name(data, size, tensor);
        assert_non_null(at);
        unsigned char kept = *at;
        *at = 'z';
        write_file(damaged, data, size);
        *at = kept;
        bt_status status = opens(damaged, &err);
        if (status == BT_OK && !may_lack(name, tensor))
            fail_msg("%s: %s is not missed", name, tensor);
        if (status != BT_OK && status != BT_E_FORMAT)
            fail_msg("%s without %s: status %d, %s", name, tensor, status, err.text);
        if (status != BT_OK && !strstr(err.text, "tensor '") && !strstr(err.text, "key '"))
            fail_msg("%s without %s: %s", name, tensor, err.text);
    }
    gguf_close(&g);
    free(data);
}

/* ---- memory ---- */

static bt_status live(const char *path, bt_error *err)
{
    static const bt_token ids[] = {1, 5, 9, 2, 6, 10, 3, 7, 11};
    bt_model *m = NULL;
    bt_session *s = NULL;
    bt_model_options with = {.n_threads = 1, .no_cache = true};
    bt_session_options size = {.n_ctx = 32, .n_batch = 16};
    bt_status status = bt_model_open(path, &with, &m, err);
    if (!status) status = bt_session_open(m, &size, &s, err);
    if (!status) status = bt_session_feed(s, 0, ids, 9, err);
    if (!status) status = bt_session_truncate(s, 0, 4, err);
    if (!status) status = bt_session_feed(s, 0, ids, 3, err);
    bt_session_close(&s);
    bt_model_close(&m);
    return status;
}

static void allocations_fail(void **state)
{
    const char *name = *state;
    char path[1200];
    bt_error err = {0};
    int64_t before = mem_live();
    snprintf(path, sizeof path, "%s/%s.gguf", source, name);
    uint64_t counted = mem_count();
    bt_status whole = live(path, &err);
    /* encoders take whole texts only */
    if (whole != BT_OK && whole != BT_E_ARGUMENT && whole != BT_E_UNSUPPORTED)
        fail_msg("%s: %s", name, err.text);
    uint64_t all = mem_count() - counted, stride = all / MOST_LIVES + 1;
    for (uint64_t n = 1; n <= all; n += stride) {
        mem_fail_at(n);
        bt_status status = live(path, &err);
        mem_fail_at(0);
        if (status != whole && status != BT_E_MEMORY && status != BT_E_SYSTEM)
            fail_msg("%s, allocation %u of %u: %s", name, (unsigned)n, (unsigned)all, err.text);
        if (mem_live() != before)
            fail_msg("%s, allocation %u: %d not freed", name, (unsigned)n,
                     (int)(mem_live() - before));
    }
}

int main(void)
{
    static struct CMUnitTest tests[2 * MOST_FIXTURES];
    size_t n = read_names();
    if (!n || !scratch_open()) {
        fprintf(stderr, "tests/data/families/fixtures.tsv cannot be read\n");
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        tests[i] = (struct CMUnitTest){names[i], tensors_are_missed, NULL, NULL, names[i]};
        tests[n + i] = (struct CMUnitTest){names[i], allocations_fail, NULL, NULL, names[i]};
    }
    int failed = _cmocka_run_group_tests("family-damage", tests, 2 * n, NULL, NULL);
    scratch_close();
    return failed;
}
