/* The server's configuration file, its catalogue, durations, keys; SHA-256 by its published
 * examples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "base/status.h"
#include "serve/config.h"
#include "support/torture.h"

static char *resolve(void *user, const char *name, bt_error *err)
{
    (void)user;
    if (strcmp(name, "missing") != 0) {
        char *path = mem_strdup(name);
        if (!path) bt_fail_memory(err, name, strlen(name) + 1);
        return path;
    }
    err->status = BT_E_ARGUMENT;
    snprintf(err->text, sizeof err->text, "no model 'missing'");
    return NULL;
}

static bt_status read_text(const char *text, ServeConfig *config, Catalogue *c, bt_error *err)
{
    memset(config, 0, sizeof *config);
    memset(c, 0, sizeof *c);
    return config_read("serve.json", text, strlen(text), resolve, NULL, config, c, err);
}

static const char full[] =
    "{\"models\":[{\"name\":\"fast\",\"model\":\"/m/a.gguf\",\"aliases\":[\"gpt-4o-mini\"],"
    "\"context\":8192,\"parallel\":4,\"keep_alive\":\"10m\",\"system\":\"Be brief.\",\"think\":"
    "\"off\",\"defaults\":{\"temperature\":0,\"top_k\":5,\"max_tokens\":100},\"adapters\":[{"
    "\"name\":\"tone\",\"path\":\"/m/t.gguf\",\"scale\":0.5,\"always\":true}]},"
    "{\"name\":\"big\",\"model\":\"b\",\"keep_alive\":-1}],"
    "\"keys\":[{\"label\":\"laptop\",\"sha256\":"
    "\"ba7816bf8f01cfea414140de5dae2223B00361A396177A9CB410FF61F20015AD\",\"concurrent\":2,"
    "\"per_minute\":60,\"tokens_per_minute\":1000}],\"cors\":[\"http://a\"],\"hosts\":[\"box\"]}";

static void whole_file(void **state)
{
    (void)state;
    ServeConfig config;
    Catalogue c;
    bt_error err = {0};
    unsigned char hash[SHA256_BYTES];
    assert_int_equal(read_text(full, &config, &c, &err), BT_OK);
    assert_int_equal(c.n, 2);
    const ServeModel *m = &c.models[catalogue_find(&c, "GPT-4o-mini")];
    assert_string_equal(m->name, "fast");
    assert_string_equal(m->path, "/m/a.gguf");
    assert_int_equal(m->n_ctx, 8192);
    assert_int_equal(m->n_parallel, 4);
    assert_int_equal(m->keep_alive_ms, 600000);
    assert_int_equal(m->think, BT_THINK_OFF);
    assert_true(m->sampling.greedy);
    assert_int_equal(m->sampling.top_k, 5);
    assert_int_equal(m->max_tokens, 100);
    assert_int_equal(m->n_adapters, 1);
    assert_true(m->adapters[0].always && m->adapters[0].scale == 0.5f);
    assert_int_equal(c.models[1].keep_alive_ms, -1);
    assert_int_equal(catalogue_find(&c, "other"), -1);
    assert_int_equal(config.n_keys, 1);
    sha256("abc", 3, hash);
    assert_memory_equal(config.keys[0].hash, hash, sizeof hash);
    assert_int_equal(config.keys[0].per_minute, 60);
    assert_string_equal(config.origins[0], "http://a");
    config_close(&config);
    catalogue_close(&c);
}

/* A copy of the first model that inherits, or stays as it was. */
static bt_status inherit(void *user, bt_error *err)
{
    ServeConfig config;
    Catalogue c;
    (void)user;
    torture_pause();
    assert_int_equal(read_text(full, &config, &c, err), BT_OK);
    ServeModel *m = &c.models[catalogue_add(&c, "copy", "/m/a.gguf")], before = *m;
    torture_resume();
    bool good = catalogue_inherit(m, &c.models[0]);
    if (!good) assert_memory_equal(m, &before, sizeof before);
    config_close(&config);
    catalogue_close(&c);
    return torture_bare(good ? BT_OK : BT_E_MEMORY, err);
}

/* Everything but what tells the two apart. */
static void inherited(void **state)
{
    (void)state;
    ServeConfig config;
    Catalogue c;
    bt_error err = {0};
    /* the list, its two texts, the system message */
    assert_int_equal(torture("a copy", inherit, NULL), 4);
    assert_int_equal(read_text(full, &config, &c, &err), BT_OK);
    const int at = catalogue_add(&c, "copy", "/m/a.gguf");
    ServeModel *m = &c.models[at];
    assert_true(catalogue_inherit(m, &c.models[0]));
    const ServeModel *from = &c.models[0];
    assert_string_equal(m->name, "copy");
    assert_int_equal(m->n_aliases, 0);
    assert_int_equal(m->n_ctx, 8192);
    assert_int_equal(m->keep_alive_ms, 600000);
    assert_int_equal(m->sampling.top_k, 5);
    assert_int_equal(m->max_tokens, 100);
    assert_string_equal(m->system, "Be brief.");
    assert_ptr_not_equal(m->system, from->system);
    assert_null(m->jinja);
    assert_int_equal(m->n_adapters, 1);
    assert_string_equal(m->adapters[0].path, "/m/t.gguf");
    assert_ptr_not_equal(m->adapters[0].path, from->adapters[0].path);
    config_close(&config);
    catalogue_close(&c);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"[]", "must hold an object"},
        {"{\"models\":3}", "models must be a list"},
        {"{\"modells\":[]}", "modells is not known"},
        {"{\"models\":[{\"name\":\"a\"}]}", "models[0].model"},
        {"{\"models\":[{\"name\":\"a\",\"model\":\"missing\"}]}", "no model 'missing'"},
        {"{\"models\":[{\"name\":\"a\",\"model\":\"b\",\"colour\":1}]}", "models[0].colour"},
        {"{\"models\":[{\"name\":\"a\",\"model\":\"b\"},{\"name\":\"A\",\"model\":\"b\"}]}",
         "twice"},
        {"{\"models\":[{\"name\":\"a\",\"model\":\"b\",\"context\":-1}]}", "from 0 to"},
        {"{\"models\":[{\"name\":\"a\",\"model\":\"b\",\"defaults\":{\"heat\":1}}]}", "heat"},
        {"{\"models\":[{\"name\":\"a\",\"model\":\"b\",\"keep_alive\":\"soon\"}]}", "keep_alive"},
        {"{\"keys\":[{\"sha256\":\"12\"}]}", "64 digits"},
        {"{\"keys\":[{\"label\":\"x\"}]}", "64 digits"},
        {"{\"cors\":\"x\"}", "must be a list"},
        {"{\"cors\":[1]}", "must be a text"},
        {"{\"a\":1,\"a\":2}", "duplicate"},
        {"{", "line 1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ServeConfig config;
        Catalogue c;
        bt_error err = {0};
        assert_int_not_equal(read_text(rows[i].text, &config, &c, &err), BT_OK);
        if (!strstr(err.text, rows[i].says)) fail_msg("'%s' is not in: %s", rows[i].says, err.text);
        config_close(&config);
        catalogue_close(&c);
    }
}

static bt_status life(void *user, bt_error *err)
{
    ServeConfig config;
    Catalogue c;
    (void)user;
    bt_status status = read_text(full, &config, &c, err);
    config_close(&config);
    catalogue_close(&c);
    return status == BT_E_ARGUMENT ? BT_E_MEMORY : status; /* "more than there is room for" */
}

static void no_memory(void **state)
{
    (void)state;
    torture("a configuration", life, NULL);
}

static void durations_and_keys(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {{"5", 5000},      {"250ms", 250}, {"10m", 600000}, {"2h", 7200000},
                {"1d", 86400000}, {"-1", -1},     {"0", 0},        {"1.5s", 1500}};
    static const char *const bad[] = {"", "x", "5x", "-2", "1e99", "5 m", "nan"};
    int64_t ms;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(config_duration(rows[i].text, &ms));
        assert_int_equal(ms, rows[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(config_duration(bad[i], &ms));
    char key[64], hash[65];
    ServeConfig config = {0};
    assert_true(config_new_key(key, hash));
    assert_int_equal(strlen(key), 7 + 48);
    assert_int_equal(strlen(hash), 64);
    assert_int_equal(config_add_key(&config, "short", "x", NULL), BT_E_ARGUMENT);
    assert_int_equal(config_add_key(&config, key, "x", NULL), BT_OK);
    config_close(&config);
}

static void sha256_examples(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    char hex[65];
    unsigned char out[SHA256_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sha256(rows[i].text, strlen(rows[i].text), out);
        for (int k = 0; k < SHA256_BYTES; k++) snprintf(hex + 2 * k, 3, "%02x", out[k]);
        assert_string_equal(hex, rows[i].hex);
    }
    assert_true(same_bytes("abc", "abc", 3));
    assert_false(same_bytes("abc", "abd", 3));
}

static void rows_of_the_catalogue(void **state)
{
    (void)state;
    Catalogue c = {0};
    Buf out = {0};
    assert_int_equal(catalogue_add(&c, "a\"b", "/p"), 0);
    assert_true(catalogue_alias(&c.models[0], "x"));
    catalogue_row(&c.models[0], &(CatalogueNews){.describe = "{\"k\":1}", .expires = 7}, &out);
    assert_string_equal(out.data,
                        "{\"name\":\"a\\\"b\",\"aliases\":[\"x\"],\"size\":0,\"modified\":0,"
                        "\"expires\":7,\"digest\":\"" /* of "0 0 p" and four NUL */
                        "97355416993b38b51ee8943e253a2631d5bbaf2dac760377808fd7c2416647a3"
                        "\",\"system\":null,\"license\":null,\"parameters\":null,"
                        "\"template\":null,\"messages\":null,\"error\":null,\"describe\":{\"k\":1},"
                        "\"ready\":null}");
    buf_close(&out);
    catalogue_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_file),
        cmocka_unit_test(refused),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(durations_and_keys),
        cmocka_unit_test(inherited),
        cmocka_unit_test(sha256_examples),
        cmocka_unit_test(rows_of_the_catalogue),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
