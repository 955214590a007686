/* The life of requests when things go wrong, or many at once: every allocation fails in turn,
 * clients vanish at every piece of an answer, 64 stream at once from other threads. Each request
 * gets exactly one end, what is sent is whole, and nothing stays behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "desk.h"
#include "support/scratch.h"
#include "support/torture.h"

#define ASK "[{\"role\": \"user\", \"content\": \"Say something, please\"}]"

static const struct {
    const char *path, *body;
} lives[] = {
    {"/v1/chat/completions", "{\"messages\": " ASK ", \"max_tokens\": 6, \"seed\": 1, \"n\": 2, "
                             "\"stop\": [\"zz\"], \"logprobs\": true, \"top_logprobs\": 2}"},
    {"/v1/chat/completions",
     "{\"messages\": " ASK ", \"max_tokens\": 40, \"seed\": 1, \"stream\": true, \"tool_choice\": "
     "\"required\", \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", "
     "\"parameters\": {\"type\": \"object\", \"properties\": {\"a\": {\"enum\": [1, 2]}}}}}]}"},
    {"/v1/responses",
     "{\"input\": \"Hi\", \"max_output_tokens\": 4, \"seed\": 1, \"stream\": true}"},
    {"/v1/messages",
     "{\"model\": \"m\", \"messages\": " ASK ", \"max_tokens\": 4, \"stream\": true}"},
    {"/api/chat", "{\"model\": \"m\", \"messages\": " ASK ", \"options\": {\"num_predict\": 4}}"},
    {"/v1/messages",
     "{\"model\": \"m\", \"max_tokens\": 8, \"system\": \"s\", \"stop_sequences\": [\"zz\"], "
     "\"messages\": " ASK ", \"thinking\": {\"type\": \"enabled\", \"budget_tokens\": 2}, "
     "\"tools\": [{\"name\": \"f\", \"input_schema\": {\"type\": \"object\"}}]}"},
    {"/api/generate",
     "{\"model\": \"m\", \"prompt\": \"Hi\", \"stream\": false, \"format\": {\"enum\": "
     "[1, 2]}, \"options\": {\"num_predict\": 4, \"seed\": 1}}"},
    {"/completion", "{\"prompt\": [1, \"a\"], \"n_predict\": 4, \"stream\": true, \"n_probs\": 2, "
                    "\"return_tokens\": true, \"grammar\": \"root ::= [a-z]+\"}"},
    {"/apply-template", "{\"messages\": " ASK "}"},
    {"/v1/messages/count_tokens", "{\"model\": \"m\", \"messages\": " ASK "}"},
    {"/detokenize", "{\"tokens\": [65, 66]}"},
    {"/v1/completions", "{\"prompt\": [\"a\", \"b\"], \"max_tokens\": 4, \"echo\": true}"},
    {"/v1/embeddings", "{\"input\": [\"a\", \"b\"]}"},
    {"/tokenize", "{\"content\": \"abc\", \"with_pieces\": true}"},
};
enum { LIVES = sizeof lives / sizeof *lives, SOME_TRIES = 150 };

static char path_of_model[1024];

static int setup(void **state)
{
    const MakeModel small = {.layers = 1};
    if (scratch_setup(state)) return -1;
    snprintf(path_of_model, sizeof path_of_model, "%s", desk_model(&small, "small.gguf"));
    return 0;
}

/* One request on a worker of its own with the n-th allocation after opening failing. */
/* One request on a worker of its own; what opening the worker allocates does not fail. */
static bt_status one_life(void *user, bt_error *err)
{
    const int which = *(const int *)user;
    Desk desk;
    const WorkerModel options = {.one_thread = true, .n_ctx = 256, .n_running = 4};
    torture_pause();
    desk_open(&desk, path_of_model, &options);
    torture_resume();
    uint64_t id = desk_send(&desk, "POST", lives[which].path, lives[which].body);
    desk_run(&desk);
    torture_pause();
    DeskAnswer *a = desk_answer(&desk, id);
    assert_int_equal(a->ends, 1);
    assert_int_equal(a->heads, 1);
    bool good = a->status == 200;
    if (!good) assert_true(a->status >= 400);
    desk_close(&desk);
    return torture_bare(good ? BT_OK : BT_E_MEMORY, err);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (int which = 0; which < LIVES; which++) {
        bt_error err;
        assert_int_equal(one_life(&which, &err), BT_OK);
        assert_true(torture_some(lives[which].path, one_life, &which, SOME_TRIES) > 0);
    }
}

static void cancelled_at_every_piece(void **state)
{
    (void)state;
    Desk desk;
    const WorkerModel options = {.one_thread = true, .n_ctx = 512, .n_running = 4};
    desk_open(&desk, path_of_model, &options);
    static const char body[] = "{\"messages\": " ASK ", \"max_tokens\": 12, \"temperature\": 0, "
                               "\"stream\": true, \"n\": 2}";
    uint64_t id = desk_send(&desk, "POST", "/v1/chat/completions", body);
    desk_run(&desk);
    int pieces = desk_answer(&desk, id)->datas;
    assert_true(pieces > 10);
    for (int at = 1; at <= pieces; at++) {
        desk_clear(&desk);
        desk.cancel_after = at;
        id = desk_send(&desk, "POST", "/v1/chat/completions", body);
        desk_run(&desk);
        DeskAnswer *a = desk_answer(&desk, id);
        assert_int_equal(a->ends, 1);
        assert_in_range(a->datas, at, at + 5); /* that step's other tokens and ends */
    }
    desk.cancel_after = 0;
    /* before it was begun, twice, and one that nobody knows */
    id = desk_send(&desk, "POST", "/v1/chat/completions", body);
    worker_cancel(desk.worker, id);
    worker_cancel(desk.worker, id);
    worker_cancel(desk.worker, 123456789);
    desk_run(&desk);
    assert_int_equal(desk_answer(&desk, id)->ends, 1);
    Buf stats = {0};
    worker_stats(desk.worker, &stats);
    json_t *s = json_loads(stats.data, 0, NULL);
    assert_int_equal(desk_number(s, "running"), 0);
    assert_int_equal(desk_number(s, "requests_running"), 0);
    json_decref(s);
    buf_close(&stats);
    desk_close(&desk);
}

/* What runs when the worker closes gets its end all the same. */
static void closed_in_the_middle(void **state)
{
    (void)state;
    Desk desk;
    const WorkerModel options = {.one_thread = true, .n_ctx = 512, .n_running = 2};
    int64_t live = mem_live();
    bt_error err;
    bool idle;
    desk_open(&desk, path_of_model, &options);
    for (int i = 0; i < 6; i++)
        desk_send(&desk, "POST", "/v1/chat/completions",
                  i % 2 ? "{\"messages\": " ASK ", \"stream\": true}" : "{\"messages\": " ASK "}");
    desk_send(&desk, "POST", "/v1/embeddings", "{\"input\": [\"a\"]}");
    for (int i = 0; i < 4; i++) assert_int_equal(worker_step(desk.worker, &idle, &err), BT_OK);
    worker_close(&desk.worker);
    for (size_t i = 0; i < desk.n; i++) assert_int_equal(desk.list[i].ends, 1);
    DeskAnswer *stream = &desk.list[1]; /* ends as streams do */
    assert_non_null(strstr(stream->body.data, "[DONE]"));
    desk_close(&desk);
    assert_int_equal(mem_live(), live);
}

/* ---- many at once ---- */

static atomic_bool over;

static void *step(void *arg)
{
    Desk *desk = arg;
    bt_error err;
    bool idle;
    while (!atomic_load(&over)) {
        if (worker_step(desk->worker, &idle, &err) != BT_OK) break;
        if (idle) worker_wait(desk->worker, 20);
    }
    return NULL;
}

static void sixty_four_streams(void **state)
{
    (void)state;
    enum { STREAMS = 64 };
    Desk desk;
    pthread_t thread;
    uint64_t ids[STREAMS];
    char body[256], *large;
    const WorkerModel options = {.n_ctx = 512, .n_running = 16, .n_threads = 2};
    desk_open(&desk, path_of_model, &options);
    atomic_store(&over, false);
    assert_int_equal(pthread_create(&thread, NULL, step, &desk), 0);
    for (int i = 0; i < STREAMS; i++) {
        snprintf(body, sizeof body,
                 "{\"messages\": [{\"role\": \"user\", \"content\": \"Number %d\"}], "
                 "\"max_tokens\": 16, \"temperature\": 0, \"stream\": true}",
                 i % 4);
        ids[i] = desk_send(&desk, "POST", "/v1/chat/completions", body);
        if (i % 16 == 5) worker_cancel(desk.worker, ids[i]);
    }
    large = mem_zalloc(1, 200001); /* read on its own thread, and too long */
    memset(large, ' ', 200000);
    memcpy(large, "{\"input\": \"", 11);
    memset(large + 11, 'x', 180000);
    memcpy(large + 180011, "\"}", 2);
    uint64_t too_long = desk_send(&desk, "POST", "/v1/embeddings", large);
    for (int i = 0; i < 6000 && worker_running(desk.worker); i++) {
        const struct timespec moment = {0, 10000000};
        nanosleep(&moment, NULL);
        Buf stats = {0};
        worker_stats(desk.worker, &stats);
        buf_close(&stats);
    }
    assert_int_equal(worker_running(desk.worker), 0);
    atomic_store(&over, true);
    worker_wake(desk.worker);
    pthread_join(thread, NULL);
    assert_int_equal(desk_answer(&desk, too_long)->status, 400);
    for (int i = 0; i < STREAMS; i++) {
        DeskAnswer *a = desk_answer(&desk, ids[i]);
        assert_int_equal(a->ends, 1);
        if (i % 16 == 5) continue;
        assert_non_null(strstr(a->body.data, "[DONE]"));
        if (i < 4) continue;
        Buf one = {0}, other = {0};
        const DeskAnswer *both[] = {desk_answer(&desk, ids[i % 4]), a};
        for (int k = 0; k < 2; k++) {
            json_t *events = desk_events(both[k]), *event;
            size_t at;
            json_array_foreach(events, at, event)
            {
                const char *text = json_string_value(desk_at(event, "choices.0.delta.content"));
                if (text) buf_text(k ? &other : &one, text);
            }
            json_decref(events);
        }
        assert_string_equal(one.data ? one.data : "", other.data ? other.data : "");
        buf_close(&one);
        buf_close(&other);
    }
    mem_free(large);
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(cancelled_at_every_piece),
        cmocka_unit_test(closed_in_the_middle),
        cmocka_unit_test(sixty_four_streams),
    };
    return cmocka_run_group_tests(tests, setup, scratch_teardown);
}
