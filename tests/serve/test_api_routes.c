/* Endpoints, and the model that a body names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "serve/api.h"

static void expect(const char *method, const char *path, const char *name, const char *tail)
{
    ApiRoute route;
    assert_true(api_routes(method, path, &route));
    assert_string_equal(route.name, name);
    if (!tail) {
        assert_null(route.tail);
        return;
    }
    assert_int_equal(route.tail_size, strlen(tail));
    assert_memory_equal(route.tail, tail, route.tail_size);
}

static void paths_are_known(void **state)
{
    (void)state;
    expect("POST", "/v1/chat/completions", "chat.completions", NULL);
    expect("POST", "/v1/chat/completions/", "chat.completions", NULL);
    expect("GET", "/v1/models/hf.co/some/model:Q4_K_M", "models.one", "hf.co/some/model:Q4_K_M");
    expect("GET", "/v1/responses/resp_1/input_items", "responses.items", "resp_1");
    expect("GET", "/v1/responses/resp_1", "responses.get", "resp_1");
    expect("DELETE", "/v1/responses/resp_1", "responses.delete", "resp_1");
    expect("HEAD", "/", "root", NULL);
    expect("HEAD", "/api/version", "version", NULL);
    expect("HEAD", "/api/blobs/sha256:00", "blobs", "sha256:00");
    expect("POST", "/v1/messages/count_tokens", "count_tokens", NULL);
}

static void others_are_told_why(void **state)
{
    (void)state;
    ApiRoute route;
    assert_false(api_routes("GET", "/v1/chat/completions", &route));
    assert_string_equal(route.name, "method");
    assert_int_equal(route.flavour, API_OPENAI);
    assert_false(api_routes("GET", "/completion", &route));
    assert_string_equal(route.name, "method");
    assert_int_equal(route.flavour, API_LLAMA); /* in the shape of whom it belongs to */
    assert_false(api_routes("POST", "/api/nothing", &route));
    assert_string_equal(route.name, "unknown");
    assert_int_equal(route.flavour, API_OLLAMA);
    assert_false(api_routes("PUT", "/v1/messages", &route));
    assert_int_equal(route.flavour, API_ANTHROPIC);
    assert_false(api_routes("GET", "/v1/models/", &route) && route.kind == API_MODEL);
    assert_false(api_routes("GET", "", &route));
    assert_false(api_routes("GET", "//", &route) && route.kind != API_ROOT);
}

static void names(const char *body, const char *model)
{
    char out[API_MAX_NAME];
    assert_int_equal(api_find_model(body, strlen(body), out, sizeof out), model != NULL);
    assert_string_equal(out, model ? model : "");
}

static void model_is_found(void **state)
{
    (void)state;
    names("{\"model\":\"a\"}", "a");
    names("  {\"messages\":[{\"model\":\"no\"},\"model\"], \"model\" : \"b:1\" , \"x\":1}", "b:1");
    names("{\"name\":\"n\"}", "n");
    names("{\"name\":\"n\",\"model\":\"m\"}", "m");
    names("{\"x\":\"model\",\"y\":\"\\\"model\\\":\\\"no\\\"\"}", NULL);
    names("{\"mod\\u0065l\":\"a\\u00e9\\ud83d\\ude00\\n\"}", "a\xc3\xa9\xf0\x9f\x98\x80\n");
    names("{\"model\":3}", NULL);
    names("{\"model\":null,\"x\":\"y\"}", NULL);
    names("{\"model\":\"\"}", NULL);
    names("{\"model\":\"a\\u0000b\"}", NULL);
    names("{\"model\":\"open", NULL);
    names("{\"model\":\"a\\", NULL);
    names("{\"model\"", NULL);
    names("", NULL);
    names("[\"model\"]", NULL);
    names("}{\"model\":\"a\"}", NULL);
    names("{} {\"model\":\"a\"}", NULL);
}

static void long_names_do_not_fit(void **state)
{
    (void)state;
    char out[4];
    const char fits[] = "{\"model\":\"abc\"}", not [] = "{\"model\":\"abcd\"}";
    assert_true(api_find_model(fits, sizeof fits - 1, out, sizeof out));
    assert_false(api_find_model(not, sizeof not -1, out, sizeof out));
    assert_string_equal(out, "");
}

static void nesting_is_harmless(void **state)
{
    (void)state;
    enum { DEEP = 5 << 20 };
    static const char head[] = "{\"a\":", tail[] = ",\"model\":\"deep\"}";
    char out[16];
    char *body = mem_alloc(sizeof head + sizeof tail + 2 * DEEP), *p = body;
    memcpy(p, head, sizeof head - 1);
    p += sizeof head - 1;
    memset(p, '[', DEEP);
    memset(p + DEEP, ']', DEEP);
    p += 2 * DEEP;
    memcpy(p, tail, sizeof tail - 1);
    p += sizeof tail - 1;
    assert_true(api_find_model(body, (size_t)(p - body), out, sizeof out));
    assert_string_equal(out, "deep");
    assert_false(api_find_model(body, DEEP, out, sizeof out));
    mem_free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_known),     cmocka_unit_test(others_are_told_why),
        cmocka_unit_test(model_is_found),      cmocka_unit_test(long_names_do_not_fit),
        cmocka_unit_test(nesting_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
