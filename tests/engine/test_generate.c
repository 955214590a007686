/* From a file to text: a trained model continues a prompt exactly as an independent engine did,
 * with float32 and with half-precision state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bantam/bantam.h"
#include "support/golden.h"

#define MOST 1024

/* Greedy continuation of `prompt` by n tokens, prompt and answer as one text. */
static char *continue_text(const char *path, const char *prompt, int n, bt_kv_type kv)
{
    static char out[16384];
    bt_error err;
    bt_model *m;
    bt_session *s;
    bt_sampler *sampler;
    bt_text *text;
    bt_token ids[MOST];
    const char *piece;
    size_t length, used = 0;
    bt_session_options so = {.n_ctx = 512, .kv = kv};
    bt_sampler_options greedy = {.greedy = true};
    assert_int_equal(bt_model_open(path, NULL, &m, &err), BT_OK);
    assert_int_equal(bt_session_open(m, &so, &s, &err), BT_OK);
    assert_int_equal(bt_sampler_open(m, &greedy, &sampler, &err), BT_OK);
    assert_int_equal(bt_text_open(m, false, &text, &err), BT_OK);
    int64_t count =
        bt_model_tokenize(m, prompt, strlen(prompt), BT_TOKENIZE_ADD_BOS, ids, MOST, &err);
    assert_in_range(count, 1, MOST);
    assert_int_equal(bt_session_feed(s, 0, ids, (size_t)count, &err), BT_OK);
    for (int i = 0; i < n; i++) {
        bt_token next = bt_sampler_pick(sampler, bt_session_logits(s, -1));
        if (bt_model_token_ends(m, next)) break;
        assert_int_equal(bt_text_next(text, next, &piece, &length), BT_OK);
        memcpy(out + used, piece, length);
        used += length;
        assert_int_equal(bt_session_feed(s, 0, &next, 1, &err), BT_OK);
    }
    out[used] = '\0';
    bt_text_close(&text);
    bt_sampler_close(&sampler);
    bt_session_close(&s);
    bt_model_close(&m);
    return out;
}

static void a_story_is_told_as_expected(void **state)
{
    (void)state;
    static const char prompt[] = "Once upon a time";
    char want[8192], model[1024];
    const char *path = golden_path("real/stories260K.greedy.txt");
    if (!path) skip();
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(want, 1, sizeof want - 1, f);
    fclose(f);
    while (n && want[n - 1] == '\n') n--; /* the tool's own */
    want[n] = '\0';
    snprintf(model, sizeof model, "%s", golden_path("real/stories260K.gguf"));
    char *got = continue_text(model, prompt, 200, BT_KV_F32);
    /* the file starts with a space, the prompt and goes on */
    assert_memory_equal(want + 1, prompt, sizeof prompt - 1);
    assert_string_equal(got, want + sizeof prompt);
    got = continue_text(model, prompt, 200, BT_KV_F16);
    assert_string_equal(got, want + sizeof prompt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_story_is_told_as_expected)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
