/* Tasks: every fault in their file, answers judged, scores against a reference in double, and a
 * model run through all kinds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/make_model.h"
#include "support/reference.h"
#include "support/scratch.h"
#include "support/torture.h"
#include "train/evaluate.h"

static bt_error err;

/* ---- reading ---- */

static void refused(const char *line, const char *why)
{
    Tasks tasks;
    assert_int_equal(tasks_read("x", span_of(line), &tasks, &err), BT_E_FORMAT);
    if (!strstr(err.text, why)) fail_msg("'%s' is not in '%s'", why, err.text);
}

static void faults(void **state)
{
    (void)state;
    refused("", "no task");
    refused("\n{", "x:2: no JSON");
    refused("[]", "object is needed");
    refused("{\"kind\": \"guess\"}", "not guess");
    refused("{\"kind\": \"exact\"}", "messages, or a text");
    refused("{\"kind\": \"exact\", \"text\": \"a\"}", "expect");
    refused("{\"kind\": \"exact\", \"text\": \"a\", \"expect\": [1]}", "expect");
    refused("{\"kind\": \"exact\", \"messages\": [{}], \"expect\": \"b\"}", "no role");
    refused("{\"kind\": \"choice\", \"text\": \"a\", \"choices\": [\"b\"]}", "two texts");
    refused("{\"kind\": \"choice\", \"text\": \"a\", \"choices\": [\"b\", \"c\"], \"answer\": 2}",
            "from 0");
    refused("{\"kind\": \"tool_call\", \"text\": \"a\"}", "calls must be");
    refused("{\"kind\": \"tool_call\", \"text\": \"a\", \"calls\": [{\"name\": \"f\"}]}",
            "calls[0]");
    refused("{\"kind\": \"perplexity\", \"text\": \"a\", \"now\": \"soon\"}", "now must");
    refused("{\"kind\": \"perplexity\", \"text\": \"a\", \"tools\": 1}", "tools must");
    refused("{\"kind\": \"perplexity\", \"text\": \"a\"}\n7\n{}\n", "(2 lines are wrong)");
}

static void times_are_read(void **state)
{
    (void)state;
    Tasks t;
    const char *text =
        "{\"kind\": \"perplexity\", \"text\": \"a\", \"now\": \"2026-11-21T17:05\"}\n"
        "{\"kind\": \"perplexity\", \"text\": \"a\", \"now\": \"2000-02-29\", "
        "\"id\": \"b\"}\n";
    if (tasks_read("x", span_of(text), &t, &err)) fail_msg("%s", err.text);
    assert_int_equal(t.items[0].now, 1795280700); /* date -u -d 2026-11-21T17:05 +%s */
    assert_int_equal(t.items[1].now, 951825600);
    assert_string_equal(t.items[0].id, "line 1");
    assert_string_equal(t.items[1].id, "b");
    tasks_close(&t);
}

/* ---- judging ---- */

static bool calls(const char *want, const char *made, const char *by_name)
{
    json_t *a = json_loads(want, 0, NULL), *b = json_loads(made, 0, NULL);
    bool right = task_calls_right(a, b, &by_name, by_name ? 1 : 0);
    if (right) assert_true(task_names_right(a, b));
    json_decref(a);
    json_decref(b);
    return right;
}

#define F "{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": [\"x\", {\"c\": null}]}}"
#define G "{\"name\": \"g\", \"arguments\": {}}"

static void calls_are_judged(void **state)
{
    (void)state;
    assert_true(calls("[]", "[]", NULL));
    assert_true(calls("[" F "," G "]", "[" G "," F "]", NULL));
    assert_true(calls("[" G "," G "]", "[" G "," G "]", NULL));
    assert_false(calls("[" G "," F "]", "[" G "," G "]", NULL));
    assert_false(calls("[" F "]", "[]", NULL));
    assert_false(calls("[]", "[" F "]", NULL));
    assert_true(calls("[" F "]",
                      "[{\"name\": \"f\", \"arguments\": {\"b\": [\"x\", {\"c\": null}], \"a\": "
                      "1.0}}]",
                      NULL));
    static const char *const others[] = {
        "[{\"name\": \"f\", \"arguments\": {\"a\": \"1\", \"b\": [\"x\", {\"c\": null}]}}]",
        "[{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": [{\"c\": null}, \"x\"]}}]",
        "[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]",
        "[{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": [\"x\", {\"c\": null}], \"d\": 0}}]",
        "[{\"name\": \"f\", \"arguments\": null}]",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(calls("[" F "]", others[i], NULL));
        assert_false(calls("[" F "]", others[i], "g"));
        assert_true(calls("[" F "]", others[i], "f"));
    }
    json_t *expect = json_loads("[\"Yes.\", \" no\"]", 0, NULL);
    assert_true(task_text_right(expect, span_of("\nYes. ")));
    assert_true(task_text_right(expect, span_of("no")));
    assert_false(task_text_right(expect, span_of("yes.")));
    assert_false(task_text_right(expect, span_of("")));
    json_decref(expect);
}

/* ---- scores ---- */

static bt_model *open_model(void)
{
    MakeModel o = {.tokenizer = MAKE_BPE, .chat_template = "chatml", .seed = 3};
    bt_model_options options = {.no_cache = true, .n_threads = 1};
    bt_model *m;
    if (make_model(&o, scratch_path("m.gguf"), &err)) fail_msg("%s", err.text);
    if (bt_model_open(scratch_path("m.gguf"), &options, &m, &err)) fail_msg("%s", err.text);
    return m;
}

static double reference_nll(bt_model *m, const char *text, size_t from_byte, bool eos)
{
    bt_token ids[256];
    int n_vocab;
    double sum = 0;
    unsigned flags = BT_TOKENIZE_ADD_BOS | BT_TOKENIZE_NO_SPECIAL;
    int64_t n = bt_model_tokenize(m, text, strlen(text), flags, ids, 255, &err);
    int64_t from = bt_model_tokenize(m, text, from_byte, flags, NULL, 0, &err);
    if (eos) ids[n++] = bt_model_describe(m).eos;
    double *logits = reference_logits(scratch_path("m.gguf"), ids, (int)n, &n_vocab);
    for (int64_t i = from < 1 ? 1 : from; i < n; i++) {
        const double *row = logits + (i - 1) * n_vocab;
        double all = 0;
        for (int v = 0; v < n_vocab; v++) all += exp(row[v]);
        sum += log(all) - row[ids[i]];
    }
    free(logits);
    return sum;
}

static void scores_are_those_of_the_reference(void **state)
{
    (void)state;
    static const char *const choices[] = {" time", " q", "n apple a day", " bird"};
    const char *prompt = "Once upon a";
    const char *text =
        "{\"kind\": \"perplexity\", \"text\": \"Hello, this is the text and here is its end.\"}\n"
        "{\"kind\": \"choice\", \"prompt\": \"Once upon a\", \"answer\": 0, \"choices\": "
        "[\" time\", \" q\", \"n apple a day\", \" bird\"]}\n";
    bt_model *m = open_model();
    Tasks t;
    TaskResult r[2];
    EvalOptions o = {.kv = BT_KV_F32};
    if (tasks_read("x", span_of(text), &t, &err)) fail_msg("%s", err.text);
    if (evaluate(m, &t, &o, r, &err)) fail_msg("%s", err.text);
    double want = reference_nll(m, "Hello, this is the text and here is its end.", 0, true);
    assert_true(fabs(r[0].nll - want) < 1e-3 * want);
    int best = 0, best_by_byte = 0;
    double least = INFINITY, least_by_byte = INFINITY;
    for (int i = 0; i < 4; i++) {
        char whole[100];
        snprintf(whole, sizeof whole, "%s%s", prompt, choices[i]);
        double nll = reference_nll(m, whole, strlen(prompt), false);
        if (nll < least) least = nll, best = i;
        nll /= (double)strlen(choices[i]);
        if (nll < least_by_byte) least_by_byte = nll, best_by_byte = i;
    }
    assert_int_equal(r[1].chosen, best);
    assert_int_equal(r[1].chosen_by_byte, best_by_byte);
    assert_int_equal(r[1].right, best == 0);
    results_close(r, 2);
    tasks_close(&t);
    bt_model_close(&m);
}

/* ---- answers ---- */

static const char *const asked =
    "{\"kind\": \"exact\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], "
    "\"expect\": \"?\"}\n"
    "{\"kind\": \"tool_call\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello you\"}], "
    "\"calls\": []}\n"
    "{\"kind\": \"perplexity\", \"messages\": [{\"role\": \"user\", \"content\": \"a\"}, "
    "{\"role\": "
    "\"assistant\", \"content\": \"b\"}]}\n";

static void answers_are_the_same_again(void **state)
{
    (void)state;
    bt_model *m = open_model();
    Tasks t;
    TaskResult a[3], b[3];
    EvalOptions o = {.max_tokens = 12,
                     .tools = "[{\"type\": \"function\", \"function\": {\"name\": \"f\", "
                              "\"parameters\": {\"type\": \"object\"}}}]"};
    if (tasks_read("x", span_of(asked), &t, &err)) fail_msg("%s", err.text);
    if (evaluate(m, &t, &o, a, &err)) fail_msg("%s", err.text);
    if (evaluate(m, &t, &o, b, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(a[i].answer, b[i].answer);
        assert_true(a[i].tokens <= 12);
    }
    assert_int_equal(a[0].right, false);
    assert_int_equal(a[1].right, json_array_size(a[1].calls) == 0);
    assert_true(a[2].nll > 0 && a[2].nll == b[2].nll);
    assert_int_equal(a[2].tokens, 2);
    results_close(a, 3);
    results_close(b, 3);
    /* Too long for the context: the task is named. */
    o.n_ctx = 4;
    assert_int_equal(evaluate(m, &t, &o, a, &err), BT_E_CONTEXT);
    assert_memory_equal(err.text, "task 'line 1' (line 1): ", 24);
    results_close(a, 3);
    tasks_close(&t);
    bt_model_close(&m);
}

static bt_status life(void *user, bt_error *told)
{
    TaskResult r[3];
    EvalOptions o = {.max_tokens = 3, .n_ctx = 64};
    Tasks t;
    bt_status status = tasks_read("x", span_of(asked), &t, told);
    if (!status) {
        status = evaluate(user, &t, &o, r, told);
        results_close(r, 3);
    }
    tasks_close(&t);
    return status;
}

static void no_memory(void **state)
{
    (void)state;
    bt_model *m = open_model();
    if (life(m, &err)) fail_msg("%s", err.text); /* the weights are ready now */
    torture("tasks", life, m);
    bt_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults),           cmocka_unit_test(times_are_read),
        cmocka_unit_test(calls_are_judged), cmocka_unit_test(scores_are_those_of_the_reference),
        cmocka_unit_test(no_memory),        cmocka_unit_test(answers_are_the_same_again),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
