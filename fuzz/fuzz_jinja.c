/* A file's chat template is a hostile program: whatever it is, it compiles and runs within bounds
 * or fails with a message, and the parts of what it renders are the whole. The first byte chooses
 * the conversation. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "text/jinja.h"

static const char *const contexts[] = {
    "{\"messages\": [{\"role\": \"user\", \"content\": \"<|x|>\"}]}",
    "{\"messages\": [{\"role\": \"system\", \"content\": \" a \"}, {\"role\": \"user\", "
    "\"content\": "
    "[{\"type\": \"text\", \"text\": \"b\"}]}, {\"role\": \"assistant\", \"content\": null, "
    "\"tool_calls\": [{\"id\": \"abcdefghi\", \"function\": {\"name\": \"f\", \"arguments\": "
    "{\"x\": [1, 2.5, true, null, \"\\u00e9\"]}}}]}, {\"role\": \"tool\", \"content\": \"c\"}], "
    "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": "
    "{\"type\": "
    "\"object\", \"properties\": {\"x\": {\"type\": \"array\"}}}}}], \"bos_token\": \"<s>\", "
    "\"add_generation_prompt\": true, \"l\": [3, 1, 2], \"s\": \"H\\u00e4llo\", \"a\": 7, \"d\": "
    "{\"x\": 1, \"y\": {\"z\": []}}, \"n\": null}",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const own[] = {"bos_token", NULL};
    JinjaTemplate *t;
    JinjaParts parts = {0};
    Buf out = {0};
    bt_error err;
    if (!size) return 0;
    json_t *context = json_loads(contexts[data[0] % 2], 0, NULL);
    if (!context) abort();
    const JinjaInput input = {
        .context = context,
        .own = own,
        .now = 1795251907,
        .limits = {.steps = 50000, .memory = 16u << 20, .output = 100000, .seconds = 1}};
    if (jinja_compile((Span){(const char *)data + 1, size - 1}, &t, &err) == BT_OK) {
        size_t sum = 0;
        if (jinja_render(t, &input, &out, &parts, &err) == BT_OK) {
            for (size_t i = 0; i < parts.n; i++) sum += parts.items[i].text.size;
            if (sum != out.size) abort();
        }
        jinja_close(&t);
    }
    jinja_parts_close(&parts);
    buf_close(&out);
    json_decref(context);
    return 0;
}
