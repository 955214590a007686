/* Every family's tiny model (tests/data/families; Nomic's with experts is converted from its folder
 * in tests/data/folders), damaged: each tensor in turn is not there under
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
#include "io/gguf_index.h"
#include "support/families.h"
#include "support/files.h"
#include "support/scratch.h"
#include "support/torture.h"

#define SOME_LIVES 30 /* of a model; allocations beyond are sampled */

#define CONVERTED "nomic-bert-moe"

static FamilyFixture fixtures[FAMILIES_MOST];

static const char *path_of(const char *name)
{
    if (strcmp(name, CONVERTED) == 0) return scratch_path(CONVERTED ".gguf");
    return families_path(name, ".gguf");
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
                                      "token_types.weight",
                                      "cls.weight"};
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
    char damaged[1200], tensor[256];
    char path[1200];
    size_t size;
    bt_error err;
    Gguf *g = NULL;
    snprintf(path, sizeof path, "%s", path_of(name));
    snprintf(damaged, sizeof damaged, "%s", scratch_path("lost.gguf"));
    unsigned char *data = (unsigned char *)files_read(path, &size);
    assert_non_null(data);
    assert_int_equal(gguf_open_memory(data, size, path, &g, &err), BT_OK);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        Span is = gguf_tensor(g, i)->name;
        snprintf(tensor, sizeof tensor, "%.*s", (int)is.size, is.data);
        unsigned char *at = find_name(data, size, tensor);
        assert_non_null(at);
        unsigned char kept = *at;
        *at = 'z';
        assert_int_equal(files_write(damaged, data, size), 0);
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

typedef struct Whole {
    char path[1200];
    bt_status status; /* of a life with all its memory: encoders take whole texts only */
} Whole;

static bt_status life(void *user, bt_error *err)
{
    const Whole *whole = user;
    bt_status status = live(whole->path, err);
    if (status == BT_E_SYSTEM) return BT_E_MEMORY; /* no page, no thread */
    return status == whole->status ? BT_OK : status;
}

static void allocations_fail(void **state)
{
    const char *name = *state;
    Whole whole;
    bt_error err = {0};
    snprintf(whole.path, sizeof whole.path, "%s", path_of(name));
    whole.status = live(whole.path, &err);
    if (whole.status && whole.status != BT_E_ARGUMENT && whole.status != BT_E_UNSUPPORTED)
        fail_msg("%s: %s", name, err.text);
    torture_some(name, life, &whole, SOME_LIVES);
}

int main(void)
{
    static struct CMUnitTest tests[2 * FAMILIES_MOST];
    size_t n = families_read(NULL, fixtures);
    if (!n || !scratch_open()) {
        fprintf(stderr, "tests/data/families/fixtures.tsv cannot be read\n");
        return 1;
    }
    bt_error err;
    if (n == FAMILIES_MOST ||
        bt_convert(files_source("tests/data/folders/nomic-moe"), path_of(CONVERTED), NULL, &err)) {
        fprintf(stderr, "tests/data/folders/nomic-moe: %s\n", err.text);
        return 1;
    }
    snprintf(fixtures[n++].name, sizeof fixtures[0].name, CONVERTED);
    for (size_t i = 0; i < n; i++) {
        char *name = fixtures[i].name;
        tests[i] = (struct CMUnitTest){name, tensors_are_missed, NULL, NULL, name};
        tests[n + i] = (struct CMUnitTest){name, allocations_fail, NULL, NULL, name};
    }
    int failed = _cmocka_run_group_tests("family-damage", tests, 2 * n, NULL, NULL);
    scratch_close();
    return failed;
}
