/* A teacher behind a server: replies of all kinds, good and hostile; what is stored of good ones,
 * record by record; stopping and going on. The server is a function here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>

#include "school.h"
#include "support/torture.h"
#include "train/replies.h"
#include "train/server_teacher.h"
#include "train/targets.h"
#include "train/targets_file.h"
#include "train/token_texts.h"

/* ---- replies ---- */

typedef bt_status (*ReadFn)(Span, Reply *, bt_error *);

static void replies_that_are_none(void **state)
{
#define CHAT(content, logprobs)                                                                    \
    "{\"choices\": [{\"message\": {\"content\": " content "}, \"logprobs\": " logprobs "}]}"
#define ONE(token) CHAT("\"a\"", "{\"content\": [" token "]}")
#define DONE(tokens, own, tops)                                                                    \
    "{\"choices\": [{\"logprobs\": {\"tokens\": " tokens ", \"token_logprobs\": " own              \
    ", \"top_logprobs\": " tops "}}]}"
    static const struct {
        ReadFn read;
        const char *json;
        bt_status status;
    } rows[] = {
        {reply_of_chat, "", BT_E_FORMAT},
        {reply_of_chat, "[", BT_E_FORMAT},
        {reply_of_chat, "[[[[", BT_E_FORMAT},
        {reply_of_chat, "{}", BT_E_FORMAT},
        {reply_of_chat, "{\"choices\": 3}", BT_E_FORMAT},
        {reply_of_chat, "{\"choices\": [{\"message\": []}]}", BT_E_FORMAT},
        {reply_of_chat, CHAT("null", "null"), BT_OK},
        {reply_of_chat, CHAT("3", "null"), BT_E_FORMAT},
        {reply_of_chat, "{\"choices\": [{\"message\": {}}]}", BT_E_FORMAT},
        {reply_of_chat, "{\"choices\": [{\"message\": {\"tool_calls\": [{}]}}]}", BT_OK},
        {reply_of_chat, CHAT("\"a\"", "null"), BT_E_UNSUPPORTED},
        {reply_of_chat, CHAT("\"a\"", "{\"content\": []}"), BT_E_UNSUPPORTED},
        {reply_of_chat, CHAT("\"\"", "{\"content\": []}"), BT_OK},
        {reply_of_chat, ONE("{\"token\": \"a\"}"), BT_E_FORMAT},
        {reply_of_chat, ONE("{\"token\": \"a\", \"logprob\": \"x\"}"), BT_E_FORMAT},
        {reply_of_chat, ONE("{\"token\": \"a\", \"logprob\": 0.5}"), BT_E_FORMAT},
        {reply_of_chat, ONE("{\"token\": 3, \"logprob\": -1}"), BT_E_FORMAT},
        {reply_of_chat, ONE("{\"token\": \"a\", \"logprob\": -1, \"bytes\": [256]}"), BT_E_FORMAT},
        {reply_of_chat, ONE("{\"token\": \"a\", \"logprob\": -1, \"bytes\": [97.5]}"), BT_E_FORMAT},
        {reply_of_chat, ONE("{\"token\": \"a\", \"logprob\": -1}"), BT_OK},
        {reply_of_chat, ONE("{\"token\": \"a\", \"logprob\": -1, \"top_logprobs\": 7}"), BT_OK},
        {reply_of_chat, ONE("{\"token\": \"a\", \"logprob\": -1, \"top_logprobs\": [7]}"),
         BT_E_FORMAT},
        {reply_of_chat,
         ONE("{\"token\": \"a\", \"logprob\": -0.1, \"top_logprobs\": [{\"token\": \"a\", "
             "\"logprob\": -0.1}, {\"token\": \"b\", \"logprob\": -0.1}]}"),
         BT_E_FORMAT},
        {reply_of_completion, "{\"choices\": []}", BT_E_FORMAT},
        {reply_of_completion, "{\"choices\": [{\"logprobs\": null}]}", BT_E_UNSUPPORTED},
        {reply_of_completion, DONE("[\"a\"]", "[null]", "null"), BT_E_UNSUPPORTED},
        {reply_of_completion, DONE("[\"a\"]", "[null]", "[null, null]"), BT_E_UNSUPPORTED},
        {reply_of_completion, DONE("[7]", "[null]", "[null]"), BT_E_FORMAT},
        {reply_of_completion, DONE("[\"a\"]", "[[]]", "[null]"), BT_E_FORMAT},
        {reply_of_completion, DONE("[\"a\"]", "[null]", "[{\"a\": true}]"), BT_E_FORMAT},
        {reply_of_completion, DONE("[\"a\"]", "[null]", "[null]"), BT_OK},
    };
    Reply r = {0};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bt_status got = rows[i].read(span_of(rows[i].json), &r, &err);
        if (got != rows[i].status) fail_msg("%s: %d, not %d", rows[i].json, got, rows[i].status);
        if (got) assert_int_equal(reply_size(&r), 0);
    }
    reply_close(&r);
}

static void a_reply_there_and_back(void **state)
{
    static const char json[] =
        "{\"choices\": [{\"finish_reason\": \"length\", \"message\": {\"content\": \"\\u20ac!\"}, "
        "\"logprobs\": {\"content\": ["
        "{\"token\": \"?\", \"bytes\": [226, 130], \"logprob\": -0.5, \"top_logprobs\": ["
        "{\"token\": \"?\", \"bytes\": [226, 130], \"logprob\": -0.5}, "
        "{\"token\": \"zero\\u0000\", \"bytes\": null, \"logprob\": -9999}]},"
        "{\"token\": \"bytes:\\\\xac\", \"logprob\": -0.25, \"top_logprobs\": []},"
        "{\"token\": \"!\", \"logprob\": 0.0001}]}}]}";
    Reply r = {0}, again = {0};
    Buf line = {0};
    (void)state;
    assert_int_equal(reply_of_chat(span_of(json), &r, &err), BT_OK);
    for (int turn = 0; turn < 2; turn++) {
        assert_true(r.cut);
        assert_string_equal(r.content.data, "\xe2\x82\xac!");
        assert_int_equal(reply_size(&r), 3);
        const ReplyToken *t = reply_token(&r, 0);
        assert_true(span_is(reply_text(&r, &t->said), "\xe2\x82"));
        assert_int_equal(t->n, 2);
        assert_true(fabsf(reply_top(&r, t, 0)->p - 0.60653066f) < 1e-6f);
        assert_true(span_equal(reply_text(&r, reply_top(&r, t, 1)), SPAN("zero\0")));
        assert_true(reply_top(&r, t, 1)->p == 0);
        assert_true(span_is(reply_text(&r, &reply_token(&r, 1)->said), "\xac"));
        assert_true(reply_token(&r, 2)->said.p == 1);
        assert_int_equal(reply_line(&r, 41, &line, &err), BT_OK);
        assert_null(strchr(line.data, '\n'));
        const Span text = {line.data, line.size};
        assert_int_equal(reply_of_line(text, 40, &again, &err), BT_E_FORMAT);
        assert_int_equal(reply_of_line(text, 41, &again, &err), BT_OK);
        for (size_t cut = 0; turn && cut < text.size; cut++)
            assert_int_equal(reply_of_line((Span){line.data, cut}, 41, &r, &err), BT_E_FORMAT);
        reply_close(&r);
        r = again;
        again = (Reply){0};
    }
    reply_close(&r);
    buf_close(&line);
    char why[64];
    reply_complaint(SPAN("{\"error\": {\"message\": \" no\\u001b[2J \\n more\"}}"), why,
                    sizeof why);
    assert_string_equal(why, "no [2J more");
    reply_complaint(SPAN("<html>"), why, 5);
    assert_string_equal(why, "<htm");
}

/* ---- a server ---- */

typedef struct Fake {
    int posts, fail_at, status; /* post number fail_at gets this status; 0: the whole run stops */
    bool completions, logprobs, agrees, late;
    uint64_t asked_for;
    char said[200];
} Fake;

static json_t *top_list(const char *piece)
{
    const char next[] = {(char)(piece[0] == 127 ? 1 : piece[0] + 1), '\0'};
    return json_pack("[{s:s,s:f},{s:s,s:f},{s:s,s:f}]", "token", piece, "logprob", log(0.5),
                     "token", next, "logprob", log(0.25), "token", "nobody has this", "logprob",
                     log(0.125));
}

/* Every byte is a token (the data is ASCII). */
static json_t *completion_of(const char *text, bool late)
{
    json_t *tokens = json_array(), *own = json_array(), *tops = json_array();
    for (size_t i = 0; i <= strlen(text); i++) {
        const char piece[] = {text[i] ? text[i] : '.', '\0'};
        const char behind[] = {text[i] && text[i + 1] ? text[i + 1] : '.', '\0'};
        json_t *list = top_list(late ? behind : piece), *object = json_object();
        for (size_t j = 0; j < 3; j++) {
            const json_t *top = json_array_get(list, j);
            json_object_set(object, json_string_value(json_object_get(top, "token")),
                            json_object_get(top, "logprob"));
        }
        json_decref(list);
        json_array_append_new(tokens, json_string(piece));
        json_array_append_new(own, i ? json_real(log(0.5)) : json_null());
        json_array_append_new(tops, i ? object : json_null());
        if (!i) json_decref(object);
    }
    return json_pack("{s:[{s:{s:o,s:o,s:o}}]}", "choices", "logprobs", "tokens", tokens,
                     "token_logprobs", own, "top_logprobs", tops);
}

static json_t *chat_of(const Fake *f, size_t messages)
{
    static const char *const answers[] = {"one!", "two", "three"};
    const char *said = answers[messages % 3];
    json_t *content = json_array();
    for (const char *c = said; *c; c++) {
        const char piece[] = {*c, '\0'};
        json_array_append_new(content,
                              json_pack("{s:s,s:f,s:[i],s:o}", "token", "?", "logprob", log(0.5),
                                        "bytes", *c, "top_logprobs", top_list(piece)));
    }
    json_t *logprobs = f->logprobs ? json_pack("{s:o}", "content", content) : json_null();
    if (!f->logprobs) json_decref(content);
    return json_pack("{s:[{s:{s:s},s:s,s:o}]}", "choices", "message", "content", said,
                     "finish_reason", "stop", "logprobs", logprobs);
}

static bt_status post(void *user, const char *path, Span body, ServerAnswer *out, bt_error *error)
{
    Fake *f = user;
    if (f->fail_at && ++f->posts == f->fail_at && !f->status)
        return bt_fail(error, BT_E_CANCELLED, "stopped");
    json_t *ask = json_loadb(body.data, body.size, 0, NULL), *reply = NULL;
    assert_non_null(ask);
    assert_string_equal(json_string_value(json_object_get(ask, "model")), "big");
    out->status = 200;
    if (f->posts == f->fail_at && f->fail_at)
        out->status = f->status;
    else if (strcmp(path, "/completions") == 0 && f->completions)
        reply = completion_of(json_string_value(json_object_get(ask, "prompt")), f->late);
    else if (strcmp(path, "/chat/completions") == 0)
        reply = chat_of(f, json_array_size(json_object_get(ask, "messages")));
    else
        out->status = 404;
    char *text = reply ? json_dumps(reply, 0) : NULL;
    buf_text(&out->body, text ? text : "no");
    free(text);
    json_decref(reply);
    json_decref(ask);
    return BT_OK;
}

static bool wait_not(void *user, double seconds)
{
    (void)user;
    return seconds <= 60;
}

static bool consent(void *user, const ServerPlan *plan)
{
    Fake *f = user;
    f->asked_for = plan->requests;
    return f->agrees;
}

static void tell(void *user, const char *line)
{
    Fake *f = user;
    snprintf(f->said, sizeof f->said, "%s", line);
}

static bt_model *model;
static const char *data, *path;

static bt_status run(Fake *f, ServerMode mode, ServerResult *result)
{
    const ServerOptions o = {.name = "big",
                             .mode = mode,
                             .n_ctx = CONTEXT,
                             .post = post,
                             .wait = wait_not,
                             .consent = consent,
                             .tell = tell,
                             .user = f};
    return server_targets(model, &data, 1, path, &o, result, &err);
}

static int begin(void **state)
{
    if (scratch_setup(state)) return -1;
    model = open_model(model_file("v.gguf", 1, 16));
    data = scratch_write("d.jsonl", school_data, sizeof school_data - 1);
    path = strdup(scratch_path("t.targets"));
    data = strdup(data);
    return 0;
}

static int end(void **state)
{
    bt_model_close(&model);
    free((void *)(uintptr_t)path);
    free((void *)(uintptr_t)data);
    return scratch_teardown(state);
}

static void remove_all(void)
{
    static const char *const ends[] = {"", ".replies", ".jsonl"};
    char name[1024];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        remove(name);
    }
}

/* The record of a token that is one byte holds it and the byte behind; of others it is empty. */
static void check_records(const char *of, uint64_t least)
{
    const PacksOptions o = {.context = CONTEXT, .in_order = true};
    const SoftLoss reverse = {0.5f, 1, 1};
    const Tokenizer *tok = model_tokenizer(model);
    const TargetsHeader *h;
    TokenTexts *texts;
    Targets *t;
    Packs *p;
    OsMap map;
    uint64_t full = 0;
    assert_int_equal(packs_open(model, &of, 1, &o, &p, &err), BT_OK);
    if (targets_open(path, model, p, &reverse, &t, &err)) fail_msg("%s", err.text);
    assert_int_equal(token_texts_open(tok, &texts, &err), BT_OK);
    assert_int_equal(os_map_open(path, &map, &err), BT_OK);
    h = (const void *)map.data;
    assert_int_equal(h->version, TARGETS_LIKELIEST);
    const unsigned char *record = map.data + sizeof *h;
    for (uint64_t i = 0; i < packs_count(p).packs; i++) {
        Batch b;
        assert_int_equal(packs_next(p, &b, &err), BT_OK);
        for (int32_t r = 0; r < b.n_rows; r++) {
            char text[64];
            uint16_t id[2];
            float share[3];
            if (b.weight[r] == 0) continue;
            int64_t n = tok_text(tok, b.target[r], true, false, text, sizeof text);
            memcpy(id, record, sizeof id);
            memcpy(share, record + (size_t)h->samples * 2, sizeof share);
            record += targets_record_bytes(h);
            if (share[0] == 0) {
                /* Of what a text begins with no server tells. */
                assert_true(n != 1 || b.rows[r].position == 0);
                continue;
            }
            const char next[] = {(char)(text[0] + 1)};
            assert_int_equal(n, 1);
            assert_int_equal(id[0], b.target[r]);
            assert_int_equal(id[1], token_texts_find(texts, (Span){next, 1}));
            assert_true(fabsf(share[0] - 0.5f) < 1e-6f && fabsf(share[1] - 0.25f) < 1e-6f);
            assert_true(share[2] == 0);
            full++;
        }
    }
    assert_true(full >= least);
    assert_ptr_equal(record, map.data + map.size);
    os_map_close(&map);
    token_texts_close(&texts);
    targets_close(&t);
    packs_close(&p);
}

static void what_it_reads_is_stored(void **state)
{
    Fake f = {.completions = true, .logprobs = true, .agrees = true};
    ServerResult r;
    (void)state;
    remove_all();
    if (run(&f, SERVER_EITHER, &r)) fail_msg("%s", err.text);
    assert_int_equal(r.mode, SERVER_READS);
    assert_int_equal(f.asked_for, 5);
    assert_int_equal(r.asked, 6); /* one to find out what it offers */
    assert_int_equal(r.answered, 5);
    check_records(data, r.compared);
    assert_true(r.compared > 10 && r.compared < r.counted);
    /* Nothing is asked again. */
    f.agrees = false;
    if (run(&f, SERVER_EITHER, &r)) fail_msg("%s", err.text);
    assert_int_equal(r.asked, 0);
    assert_int_equal(run(&f, SERVER_WRITES, &r), BT_E_ARGUMENT);
    assert_non_null(strstr(err.text, "another request"));
}

static void what_it_writes_is_data(void **state)
{
    Fake f = {.logprobs = true, .agrees = true};
    ServerResult r;
    char written[1024];
    (void)state;
    remove_all();
    if (run(&f, SERVER_EITHER, &r)) fail_msg("%s", err.text);
    assert_int_equal(r.mode, SERVER_WRITES);
    assert_int_equal(r.answered, 1); /* one conversation */
    snprintf(written, sizeof written, "%s.jsonl", path);
    OsMap map;
    assert_int_equal(os_map_open(written, &map, &err), BT_OK);
    const char want[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"one\"},{\"role\":"
                        "\"assistant\",\"content\":\"two\"}]}\n";
    assert_int_equal(map.size, sizeof want - 1);
    assert_memory_equal(map.data, want, sizeof want - 1);
    os_map_close(&map);
    check_records(written, 1);
}

static void who_does_not_tell_is_refused(void **state)
{
    Fake f = {.agrees = true};
    ServerResult r;
    (void)state;
    remove_all();
    assert_int_equal(run(&f, SERVER_EITHER, &r), BT_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "log-probabilities"));
    f.logprobs = true;
    assert_int_equal(run(&f, SERVER_READS, &r), BT_E_UNSUPPORTED);
    /* Likely tokens one place late are none: such a server may write. */
    Fake late = {.completions = true, .agrees = true, .late = true, .logprobs = true};
    assert_int_equal(run(&late, SERVER_READS, &r), BT_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "one place late"));
    assert_int_equal(run(&late, SERVER_EITHER, &r), BT_OK);
    assert_int_equal(r.mode, SERVER_WRITES);
    remove_all();
    f.agrees = false;
    assert_int_equal(run(&f, SERVER_EITHER, &r), BT_E_CANCELLED);
}

/* Stopped before any request, refused at any, the journal cut at any byte of its end: what is
 * stored in the end is the same. */
static void it_goes_on_where_it_stopped(void **state)
{
    Fake good = {.completions = true, .logprobs = true, .agrees = true};
    char journal[1024];
    ServerResult r;
    OsMap want, got;
    (void)state;
    remove_all();
    snprintf(journal, sizeof journal, "%s.replies", path);
    assert_int_equal(run(&good, SERVER_EITHER, &r), BT_OK);
    char *copy = strdup(scratch_path("want"));
    assert_int_equal(rename(path, copy), 0);
    assert_int_equal(os_map_open(copy, &want, &err), BT_OK);
    for (int i = 2; i < 15; i++) {
        Fake f = good;
        f.fail_at = i / 2;
        f.status = i % 2 ? 402 : 0;
        remove_all();
        bt_status status = run(&f, SERVER_EITHER, &r);
        if (i / 2 > 6)
            assert_int_equal(status, BT_OK);
        else
            assert_true(status == BT_E_CANCELLED || status == BT_E_SYSTEM ||
                        (f.status && i / 2 == 1)); /* the first only asks what it offers */
        if (i / 2 > 1 && i / 2 < 6) {
            FILE *add = fopen(journal, "a");
            fputs("{\"n\":2", add);
            fclose(add);
        }
        f.fail_at = 0;
        if (run(&f, SERVER_EITHER, &r)) fail_msg("%s", err.text);
        assert_int_equal(os_map_open(path, &got, &err), BT_OK);
        if (r.mode == SERVER_READS) {
            assert_int_equal(got.size, want.size);
            assert_memory_equal(got.data, want.data, want.size);
        }
        os_map_close(&got);
    }
    os_map_close(&want);
    free(copy);
}

static bt_status life(void *user, bt_error *told)
{
    ServerResult r;
    remove_all();
    bt_error_clear(&err);
    bt_status status = run(user, SERVER_READS, &r);
    *told = err;
    /* told in another's words */
    return status == BT_E_SYSTEM || status == BT_E_IO ? BT_E_MEMORY : status;
}

static void without_memory(void **state)
{
    Fake f = {.completions = true, .logprobs = true, .agrees = true};
    (void)state;
    torture("a teacher", life, &f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_that_are_none),
        cmocka_unit_test(a_reply_there_and_back),
        cmocka_unit_test(what_it_reads_is_stored),
        cmocka_unit_test(what_it_writes_is_data),
        cmocka_unit_test(who_does_not_tell_is_refused),
        cmocka_unit_test(it_goes_on_where_it_stopped),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
