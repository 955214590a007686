/* Data read as documents: every form, faults with file and line, folders in order, no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/scratch.h"
#include "support/torture.h"
#include "train/data.h"

static bt_error err;
static char seen[8192];
static DataCount count;

/* A document in one line: kind, line, text; of a conversation its messages in JSON. */
static bt_status see(void *user, const DataDoc *doc, bt_error *why)
{
    (void)user;
    size_t n = strlen(seen);
    char *json = doc->messages ? json_dumps(doc->messages, JSON_COMPACT) : NULL;
    if (doc->kind == DATA_CHAT)
        snprintf(seen + n, sizeof seen - n, "C%d+%zu%s%s ", (int)doc->line, doc->first_counted,
                 doc->tools ? "t" : "", json);
    else
        snprintf(seen + n, sizeof seen - n, "%s%d[%.*s|%.*s] ", doc->kind == DATA_PAIR ? "P" : "T",
                 (int)doc->line, (int)doc->prompt.size, doc->prompt.data, (int)doc->text.size,
                 doc->text.data);
    free(json);
    if (strstr(seen, "refuse me")) {
        seen[n] = '\0';
        return bt_fail(why, BT_E_ARGUMENT, "as you wish");
    }
    return BT_OK;
}

static bt_status read_as(const char *name, const char *text, bool lenient)
{
    DataOptions o = {.lenient = lenient};
    seen[0] = '\0';
    return data_read_bytes(name, span_of(text), &o, see, NULL, &count, &err);
}

static void gives(const char *name, const char *text, const char *want)
{
    if (read_as(name, text, false)) fail_msg("%s", err.text);
    assert_string_equal(seen, want);
}

static void refused(const char *line, const char *why)
{
    assert_int_equal(read_as("x.jsonl", line, false), BT_E_FORMAT);
    if (!strstr(err.text, why)) fail_msg("'%s' is not in '%s'", why, err.text);
    assert_memory_equal(err.text, "x.jsonl:", 8);
}

static void forms(void **state)
{
    (void)state;
    gives("x.jsonl", "{\"text\": \"a b\"}\n\n{\"text\": \"c\"}", "T1[|a b] T3[|c] ");
    gives("x.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\r\n", "P1[a|b] ");
    gives(
        "x.jsonl",
        "{\"prompt\": [{\"role\":\"user\",\"content\":\"a\"}], \"completion\": "
        "[{\"role\":\"assistant\",\"content\":\"b\"}]}",
        "C1+1[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}] ");
    gives("x.jsonl",
          "{\"instruction\": \"Add\", \"input\": \"1 2\", \"output\": \"3\", \"system\": \"S\", "
          "\"history\": [[\"q\", \"r\"]]}",
          "C1+3[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"q\"},"
          "{\"role\":\"assistant\",\"content\":\"r\"},"
          "{\"role\":\"user\",\"content\":\"Add\\n\\n1 2\"},"
          "{\"role\":\"assistant\",\"content\":\"3\"}] ");
    gives("x.jsonl",
          "{\"conversations\": [{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"function_call\","
          "\"value\":\"{\\\"name\\\":\\\"f\\\",\\\"arguments\\\":{}}\"},{\"from\":\"observation\","
          "\"value\":\"7\"},{\"from\":\"gpt\",\"value\":\"b\"}], \"tools\": \"[{}]\"}",
          "C1+0t[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":null,"
          "\"tool_calls\":[{\"name\":\"f\",\"arguments\":{}}]},{\"role\":\"tool\",\"content\":"
          "\"7\"},{\"role\":\"assistant\",\"content\":\"b\"}] ");
    gives("x.json", " [\n{\"text\": \"a]\\\"\"},\n {\"text\": \"c\"}\n]\n", "T2[|a]\"] T3[|c] ");
}

static void texts(void **state)
{
    (void)state;
    gives("x.txt",
          "\xEF\xBB\xBF"
          "a\nb\n<|endoftext|>\n\nc\n<|endoftext|>\n",
          "T1[|a\nb] T5[|c] ");
    gives("x.md", "w\xC3\xB6rld \xF0\x9F\x90\x93 \xEF\xBF\xBD",
          "T1[|w\xC3\xB6rld \xF0\x9F\x90\x93 \xEF\xBF\xBD] ");
    assert_int_equal(read_as("x.txt", "a\nb\xFF", false), BT_E_FORMAT);
    assert_string_equal(err.text, "x.txt:2: no text: the byte 0xFF is not UTF-8 (1 refused, 0 "
                                  "good); mend the data, or leave out what is refused with "
                                  "--lenient");
    assert_int_equal(read_as("x.txt", "", false), BT_E_ARGUMENT);
    assert_int_equal(read_as("x.txt", "\n\n", false), BT_E_ARGUMENT);
}

static void faults(void **state)
{
    (void)state;
    refused("{\"text\": \"a\"", "x.jsonl:1: no JSON");
    refused("\n[1]", "x.jsonl:2: a JSON object is needed");
    refused("[{\"text\": \"a\"} {", "the array is cut short");
    refused("7", "a JSON object is needed");
    refused("{\"foo\": 1, \"bar\": 2}", "its keys are: foo, bar");
    refused("{}", "its keys are: none");
    refused("{\"text\": 1}", "text is no text");
    refused("{\"text\": \"\\u0000\"}", "no JSON");
    refused("{\"text\": \"\\ud800\"}", "no JSON");
    refused("{\"messages\": []}", "no array with messages");
    refused("{\"messages\": [{\"content\": \"a\"}]}", "messages[0] has no role");
    refused("{\"messages\": [{\"role\": \"user\"}]}", "messages[0] has no content");
    refused("{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": 1}]}", "tool_calls is no");
    refused("{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{}]}]}", "has no name");
    refused("{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{\"name\": \"f\"}]}]}",
            "arguments is no object");
    refused("{\"messages\": [{\"role\": \"user\", \"content\": \"\"}], \"tools\": 1}",
            "tools is no");
    refused("{\"conversations\": [{\"from\": \"martian\", \"value\": \"a\"}]}", "martian");
    refused("{\"conversations\": [{\"from\": \"gpt\"}]}", "has no value");
    refused("{\"conversations\": [{\"from\": \"function_call\", \"value\": \"x\"}]}", "no call");
    refused("{\"prompt\": \"a\", \"completion\": []}", "neither two texts");
    refused("{\"instruction\": \"a\", \"output\": 1}", "no text");
}

static void the_good_ones_are_kept(void **state)
{
    (void)state;
    const char *mixed =
        "{\"text\": \"a\"}\n{\"text\"\n{\"text\": \"refuse me\"}\n{\"text\": \"b\"}\n";
    assert_int_equal(read_as("x.jsonl", mixed, true), BT_OK);
    assert_string_equal(seen, "T1[|a] T4[|b] ");
    assert_int_equal(count.documents, 2);
    assert_int_equal(count.refused, 2);
    assert_memory_equal(count.first_refused, "x.jsonl:2: ", 11);
    assert_int_equal(read_as("x.jsonl", mixed, false), BT_E_FORMAT);
    assert_non_null(strstr(err.text, "(2 refused, 2 good)"));
    assert_int_equal(read_as("x.jsonl", "{\"text\"", true), BT_E_ARGUMENT);
}

static void folders_in_order(void **state)
{
    (void)state;
    scratch_write("f/b.txt", "b", 1);
    scratch_write("f/a/z.jsonl", "{\"text\": \"z\"}", 13);
    scratch_write("f/.hidden", "h", 1);
    scratch_write("f/c", "c", 1);
    const char *paths[] = {scratch_path("f/c"), scratch_path("f")};
    seen[0] = '\0';
    if (data_read(paths, 2, NULL, see, NULL, &count, &err)) fail_msg("%s", err.text);
    assert_string_equal(seen, "T1[|c] T1[|z] T1[|b] T1[|c] ");
    assert_int_equal(count.files, 4);
    assert_int_equal(count.bytes, 16);
    paths[0] = scratch_path("nope");
    assert_int_equal(data_read(paths, 1, NULL, see, NULL, &count, &err), BT_E_IO);
}

static bt_status life(void *user, bt_error *told)
{
    const char *path = user;
    seen[0] = '\0';
    return data_read(&path, 1, NULL, see, NULL, NULL, told);
}

static void no_memory(void **state)
{
    char path[1024];
    (void)state;
    scratch_write("g/b.txt", "b", 1);
    const char *talk = "{\"conversations\": [{\"from\":\"gpt\",\"value\":\"a\"}]}";
    scratch_write("g/z.jsonl", talk, strlen(talk));
    snprintf(path, sizeof path, "%s", scratch_path("g"));
    torture("data", life, path);
}

static bool stop(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)what;
    assert_true(done <= total);
    return --*(int *)user > 0;
}

static void cancelled(void **state)
{
    (void)state;
    int left = 2;
    DataOptions o = {.progress = stop, .progress_user = &left};
    const char *text = "{\"text\": \"a\"}\n{\"text\": \"b\"}\n{\"text\": \"c\"}\n";
    seen[0] = '\0';
    assert_int_equal(data_read_bytes("x.jsonl", span_of(text), &o, see, NULL, &count, &err),
                     BT_E_CANCELLED);
    assert_string_equal(seen, "T1[|a] T2[|b] ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(texts),
        cmocka_unit_test(faults),
        cmocka_unit_test(the_good_ones_are_kept),
        cmocka_unit_test(folders_in_order),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(cancelled),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
