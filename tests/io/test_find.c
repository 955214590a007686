/* Finding models in made-up stores, hostile ones among them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/find.h"
#include "io/find_list.h"
#include "support/scratch.h"
#include "support/torture.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static bt_error err;
static char home[256];
static FindPlaces places;

static void file(const char *name, size_t size)
{
    static const char bytes[1000];
    assert_non_null(scratch_write(name, bytes, size));
}

static void manifest(const char *name, const char *media, const char *digest)
{
    char path[512], text[512];
    snprintf(path, sizeof path, ".ollama/models/manifests/%s", name);
    int n = snprintf(text, sizeof text,
                     "{\"schemaVersion\":2,\"layers\":[{\"mediaType\":\"text/x\"},"
                     "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":5}]}",
                     media, digest);
    assert_non_null(scratch_write(path, text, (size_t)n));
}

static const char MODEL[] = "application/vnd.ollama.image.model";

static int setup(void **state)
{
    const char *folder = scratch_open();
    if (!folder) return -1;
    snprintf(home, sizeof home, "%s", folder);
    places = (FindPlaces){.home = home};
    return 0;
}

static int teardown(void **state)
{
    scratch_close();
    return 0;
}

static const FoundModel *named(const FoundModels *models, const char *name)
{
    const FoundModel *found = NULL;
    for (size_t i = 0; i < models->count; i++)
        if (strcmp(models->list[i].name, name) == 0) {
            assert_null(found);
            found = &models->list[i];
        }
    return found;
}

static void fill_stores(void)
{
    char link[512];
    file(".local/share/bantam/models/own.gguf", 10);
    file(".local/share/bantam/models/deep/er/nested.gguf", 11);
    file(".local/share/bantam/models/notes.txt", 5);
    file(".local/share/bantam/models/big-00001-of-00003.gguf", 100);
    file(".local/share/bantam/models/big-00002-of-00003.gguf", 200);
    file(".local/share/bantam/models/big-00003-of-00003.gguf", 300);
    file(".local/share/bantam/models/half-00001-of-00002.gguf", 7);
    file(".ollama/models/blobs/sha256-" HEX, 50);
    manifest("registry.ollama.ai/library/llama3.2/1b", MODEL, "sha256:" HEX);
    manifest("registry.ollama.ai/library/llama3.2/latest", MODEL, "sha256:" HEX);
    manifest("registry.ollama.ai/someone/thing/q4", MODEL, "sha256:" HEX);
    manifest("hf.co/org/repo/Q4_K_M", MODEL, "sha256:" HEX);
    file(".lmstudio/models/maker/repo/m-Q4.gguf", 20);
    file(".lmstudio/models/maker/repo/mmproj-m.gguf", 20);
    file(".cache/huggingface/hub/models--org--name/blobs/aaaa", 60);
    file(".cache/huggingface/hub/models--org--name/blobs/bbbb", 61);
    file(".cache/huggingface/hub/models--org--name/refs/main", 0);
    assert_non_null(scratch_write(".cache/huggingface/hub/models--org--name/refs/main", "bbb2", 4));
    file(".cache/huggingface/hub/models--org--name/snapshots/aaa1/x.txt", 1);
    file(".cache/huggingface/hub/models--org--name/snapshots/bbb2/x.txt", 1);
    for (int i = 0; i < 2; i++) {
        snprintf(link, sizeof link,
                 "%s/.cache/huggingface/hub/models--org--name/snapshots/%s/file.gguf", home,
                 i ? "bbb2" : "aaa1");
        assert_int_equal(symlink(i ? "../../blobs/bbbb" : "../../blobs/aaaa", link), 0);
    }
    snprintf(link, sizeof link,
             "%s/.cache/huggingface/hub/models--org--name/snapshots/bbb2/broken.gguf", home);
    assert_int_equal(symlink("../../blobs/none", link), 0);
}

static void finds_all_stores(void **state)
{
    FoundModels found;
    int64_t live = mem_live();
    fill_stores();
    assert_int_equal(find_models(&places, &found, &err), BT_OK);
    assert_int_equal(found.count, 10);
    assert_false(found.more);
    assert_int_equal(named(&found, "own")->bytes, 10);
    assert_int_equal(named(&found, "own")->source, FIND_OWN);
    assert_non_null(named(&found, "deep/er/nested"));
    const FoundModel *big = named(&found, "big");
    assert_true(big->bytes == 600 && big->n_parts == 3 && big->complete);
    assert_non_null(strstr(big->path, "big-00001-of-00003.gguf"));
    assert_false(named(&found, "half")->complete);
    const FoundModel *ollama = named(&found, "llama3.2:1b");
    assert_true(ollama->bytes == 50 && ollama->source == FIND_OLLAMA && ollama->mtime > 0);
    assert_non_null(strstr(ollama->path, "/blobs/sha256-" HEX));
    assert_non_null(named(&found, "llama3.2:latest"));
    assert_non_null(named(&found, "someone/thing:q4"));
    assert_non_null(named(&found, "hf.co/org/repo:Q4_K_M"));
    assert_int_equal(named(&found, "maker/repo/m-Q4.gguf")->source, FIND_LMSTUDIO);
    assert_int_equal(named(&found, "org/name/file.gguf")->bytes, 61); /* of refs/main */
    find_close(&found);
    assert_int_equal(mem_live(), live);
}

static void resolves_to(const char *typed, const char *tail)
{
    char *path = NULL;
    bt_status status = find_resolve(&places, typed, &path, &err);
    if (status) print_error("%s\n", err.text);
    assert_int_equal(status, BT_OK);
    size_t n = strlen(path), m = strlen(tail);
    assert_true(n >= m);
    assert_string_equal(path + n - m, tail);
    mem_free(path);
}

static void resolve_fails(const char *typed, const char *text)
{
    char *path = NULL;
    assert_int_equal(find_resolve(&places, typed, &path, &err), BT_E_ARGUMENT);
    assert_null(path);
    if (!strstr(err.text, text)) print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, text));
}

static void resolves_names(void **state)
{
    fill_stores();
    const char *plain = scratch_write("plain.gguf", "x", 1);
    resolves_to(plain, "/plain.gguf");
    resolves_to("own", "/own.gguf");
    resolves_to("own.gguf", "/own.gguf");
    resolves_to("nested", "deep/er/nested.gguf");
    resolves_to("big", "big-00001-of-00003.gguf");
    resolves_to("big-00001-of-00003.gguf", "big-00001-of-00003.gguf");
    resolves_to("llama3.2:1b", "sha256-" HEX);
    resolves_to("llama3.2", "sha256-" HEX);
    resolves_to("someone/thing", "sha256-" HEX);
    resolves_to("org/name/file.gguf", "snapshots/bbb2/file.gguf");
    resolves_to("org/name", "snapshots/bbb2/file.gguf");
    resolves_to("maker/repo", "m-Q4.gguf");
    resolves_to("OWN", "/own.gguf");
    resolve_fails("nothing", "'nothing' is no file");
    resolve_fails("", "empty");
    resolve_fails(home, "is a folder");
    file(".lmstudio/models/maker/repo/m-Q8.gguf", 21);
    resolve_fails("maker/repo", "maker/repo/m-Q4.gguf, maker/repo/m-Q8.gguf");
}

static void follows_the_environment(void **state)
{
    char data[300], ollama[300], hub[300];
    FoundModels found;
    snprintf(data, sizeof data, "%s/data", home);
    snprintf(ollama, sizeof ollama, "%s/store", home);
    snprintf(hub, sizeof hub, "%s/hf", home);
    file("data/bantam/models/a.gguf", 1);
    file("store/blobs/sha256-" HEX, 2);
    static const char text[] = "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\","
                               "\"digest\":\"sha256:" HEX "\"}]}";
    scratch_write("store/manifests/registry.ollama.ai/library/m/t", text, sizeof text - 1);
    file("hf/hub/models--gpt2/snapshots/c/b.gguf", 3);
    FindPlaces p = {.xdg_data_home = data, .ollama_system = ollama, .hf_home = hub};
    assert_int_equal(find_models(&p, &found, &err), BT_OK);
    assert_non_null(named(&found, "a"));
    assert_non_null(named(&found, "gpt2/b.gguf"));
    assert_non_null(named(&found, "m:t"));
    find_close(&found);
    p = (FindPlaces){.xdg_data_home = "relative"};
    assert_int_equal(find_models(&p, &found, &err), BT_OK);
    assert_int_equal(found.count, 0);
    find_close(&found);
}

static void hostile_manifests_name_nothing(void **state)
{
    static const char *const digests[] = {
        "sha256:../../../../etc/passwd",
        "sha256:../../../../../../../../../../../../../../../../../../../../etc/passw",
        "sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
        "sha256:" HEX "00",
        "md5:" HEX,
        "",
        "sha256:" HEX "\\u0000",
    };
    char name[128];
    FoundModels found;
    file(".ollama/models/blobs/sha256-" HEX, 50);
    for (size_t i = 0; i < sizeof digests / sizeof *digests; i++) {
        snprintf(name, sizeof name, "registry.ollama.ai/library/evil/%zu", i);
        manifest(name, MODEL, digests[i]);
    }
    manifest("registry.ollama.ai/library/evil/other", "application/json", "sha256:" HEX);
    static const char *const texts[] = {"",
                                        "[",
                                        "{\"layers\":7}",
                                        "{\"layers\":[7,null]}",
                                        "{\"layers\":[{\"digest\":4,\"mediaType\":{}}]}",
                                        "\xff"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        snprintf(name, sizeof name, ".ollama/models/manifests/registry.ollama.ai/library/bad/%zu",
                 i);
        assert_non_null(scratch_write(name, texts[i], strlen(texts[i])));
    }
    size_t huge = FIND_MAX_MANIFEST + 1;
    char *spaces = mem_alloc(huge);
    memset(spaces, ' ', huge);
    scratch_write(".ollama/models/manifests/registry.ollama.ai/library/huge/1", spaces, huge);
    mem_free(spaces);
    /* Deep JSON, a manifest at the wrong depth, a folder where a manifest should be. */
    char deep[20000];
    memset(deep, '[', sizeof deep);
    scratch_write(".ollama/models/manifests/registry.ollama.ai/library/deep/1", deep, sizeof deep);
    manifest("registry.ollama.ai/shallow", MODEL, "sha256:" HEX);
    manifest("registry.ollama.ai/library/too/deep/down", MODEL, "sha256:" HEX);
    assert_int_equal(find_models(&places, &found, &err), BT_OK);
    assert_int_equal(found.count, 0);
    find_close(&found);
}

static void loops_and_depth_are_bounded(void **state)
{
    FoundModels found;
    char link[512], path[1024] = ".local/share/bantam/models";
    file(".local/share/bantam/models/a/m.gguf", 9);
    snprintf(link, sizeof link, "%s/.local/share/bantam/models/a/loop", home);
    assert_int_equal(symlink("..", link), 0);
    snprintf(link, sizeof link, "%s/.local/share/bantam/models/self", home);
    assert_int_equal(symlink("self", link), 0);
    snprintf(link, sizeof link, "%s/.local/share/bantam/models/again", home);
    assert_int_equal(symlink("a", link), 0);
    size_t n = strlen(path);
    for (int i = 0; i < 20; i++) n += (size_t)snprintf(path + n, sizeof path - n, "/d");
    snprintf(path + n, sizeof path - n, "/deep.gguf");
    file(path, 4);
    file(".local/share/bantam/models/.hidden/x.gguf", 4);
    file(".local/share/bantam/models/bad\nname.gguf", 4);
    assert_int_equal(find_models(&places, &found, &err), BT_OK);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.list[0].bytes, 9);
    find_close(&found);
}

static bt_status life(void *user, bt_error *told)
{
    FoundModels found;
    char *path = NULL;
    (void)user;
    bt_status status = find_models(&places, &found, told);
    find_close(&found);
    if (!status) status = find_resolve(&places, "llama3.2", &path, told);
    mem_free(path);
    return status;
}

static void survives_failed_allocations(void **state)
{
    (void)state;
    fill_stores();
    torture("finding", life, NULL);
}

static void parts_are_told_by_their_names(void **state)
{
    (void)state;
    char out[32];
    assert_int_equal(find_n_parts("a.gguf"), 1);
    assert_int_equal(find_n_parts("d/a-00002-of-00003.gguf"), 3);
    assert_int_equal(find_n_parts("a-00002-of-99999.gguf"), 1); /* above the cap */
    assert_true(find_part_path("a.gguf", 1, out, sizeof out));
    assert_string_equal(out, "a.gguf");
    assert_false(find_part_path("a.gguf", 2, out, sizeof out));
    assert_true(find_part_path("d/a-00002-of-00003.gguf", 3, out, sizeof out));
    assert_string_equal(out, "d/a-00003-of-00003.gguf");
    assert_false(find_part_path("d/a-00002-of-00003.gguf", 4, out, sizeof out));
    assert_false(find_part_path("d/a-00002-of-00003.gguf", 1, out, 8)); /* does not fit */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_all_stores, setup, teardown),
        cmocka_unit_test_setup_teardown(resolves_names, setup, teardown),
        cmocka_unit_test_setup_teardown(follows_the_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_manifests_name_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(loops_and_depth_are_bounded, setup, teardown),
        cmocka_unit_test(parts_are_told_by_their_names),
        cmocka_unit_test_setup_teardown(survives_failed_allocations, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
