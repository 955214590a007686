/* A worker in its process, as a front sees it: this test is the front's end of the rings. The
 * sandbox is the real one, so nothing of it may be entered here: each worker is a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/sandbox.h"
#include "desk.h"
#include "serve/wire.h"
#include "serve/worker_main.h"
#include "support/scratch.h"

typedef struct Front {
    RingSlot slot;
    RingPort port;
    pid_t child;
} Front;

static char model_path[1024];

static int setup(void **state)
{
    if (scratch_setup(state)) return -1;
    snprintf(model_path, sizeof model_path, "%s", desk_model(NULL, "m.gguf"));
    return 0;
}

static void start(Front *f, const char *path)
{
    bt_error err;
    const WorkerMain options = {.model = {.name = "made",
                                          .path = path,
                                          .n_threads = 1,
                                          .n_ctx = 512,
                                          .n_running = 4,
                                          .no_sandbox = !sandbox_probe().seccomp},
                                .slot = &f->slot};
    if (ring_slot_open(&f->slot, RING_BYTES, &err)) fail_msg("%s", err.text);
    fflush(NULL);
    f->child = fork();
    if (f->child == 0) _exit(worker_main(&options));
    assert_true(f->child > 0);
    assert_int_equal(ring_join(&f->port, &f->slot, RING_FRONT, false, &err), BT_OK);
}

/* Its exit status. */
static int end(Front *f)
{
    int status;
    assert_int_equal(waitpid(f->child, &status, 0), f->child);
    ring_part(&f->port);
    ring_slot_close(&f->slot);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void next(Front *f, RingMessage *m)
{
    double begin = os_seconds();
    for (;;) {
        RingResult result = ring_receive(&f->port, m);
        if (result == RING_OK && m->head.kind != WIRE_STATS) return;
        assert_true(result == RING_EMPTY || result == RING_OK);
        if (result == RING_EMPTY) ring_wait(&f->port, 100);
        if (os_seconds() - begin > 60) fail_msg("the worker says nothing");
    }
}

static void ask(Front *f, uint64_t id, const char *path, const char *body)
{
    const WireRequest fixed = {.body_size = strlen(body), .method = *body ? WIRE_POST : WIRE_GET};
    const RingPart part = {body, strlen(body)};
    assert_int_equal(wire_send_request(&f->port, id, &fixed, path, "made", ""), RING_OK);
    if (*body) assert_int_equal(ring_send(&f->port, WIRE_BODY, id, &part, 1), RING_OK);
    assert_int_equal(wire_send_text(&f->port, WIRE_BODY_END, id, NULL), RING_OK);
}

/* Reads until the request's end: its status (0: no head), all data in *out. */
static int answer(Front *f, uint64_t id, Buf *out, char headers[256])
{
    RingMessage m;
    WireAnswer head;
    const char *type, *more = "";
    int status = 0;
    for (;;) {
        next(f, &m);
        if (m.head.id != id) continue;
        if (m.head.kind == WIRE_HEAD) {
            assert_true(wire_read_head(&m, &head, &type, &more));
            assert_int_equal(status, 0);
            status = head.status;
            snprintf(headers, 256, "%s", more);
        } else if (m.head.kind == WIRE_DATA) {
            assert_true(status != 0);
            buf_add(out, m.data, m.head.size);
        } else {
            assert_int_equal(m.head.kind, WIRE_END);
            assert_int_equal(m.head.size, sizeof(WireUsage));
            return status;
        }
    }
}

static void ready(Front *f)
{
    RingMessage m;
    next(f, &m);
    if (m.head.kind != WIRE_READY) fail_msg("%s", m.data);
    json_t *said = json_loads((const char *)m.data, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(said, "n_ctx")), 512);
    assert_true(json_is_object(json_object_get(said, "capabilities")));
    json_decref(said);
}

#define ASK "{\"model\": \"made\", \"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], "

static void a_working_life(void **state)
{
    (void)state;
    Front f;
    RingMessage m;
    Buf out = {0};
    char headers[256] = "";
    start(&f, model_path);
    ready(&f);
    ask(&f, 7, "/v1/chat/completions", ASK "\"max_tokens\": 8, \"stream\": true}");
    assert_int_equal(answer(&f, 7, &out, headers), 200);
    assert_non_null(strstr(out.data, "[DONE]"));
    buf_clear(&out);
    ask(&f, 8, "/api/chat",
        ASK "\"stream\": false, \"keep_alive\": \"3s\", \"options\": "
            "{\"num_predict\": 3}}");
    assert_int_equal(answer(&f, 8, &out, headers), 200);
    assert_string_equal(headers, "x-bantam-keep-alive: 3000\n");
    buf_clear(&out);
    ask(&f, 9, "/v1/chat/completions", "{");
    assert_int_equal(answer(&f, 9, &out, headers), 400);
    buf_clear(&out);
    /* cancelled while it runs: it ends, and soon */
    ask(&f, 10, "/v1/chat/completions", ASK "\"stream\": true}");
    do next(&f, &m);
    while (m.head.kind != WIRE_DATA);
    assert_int_equal(wire_send_text(&f.port, WIRE_CANCEL, 10, NULL), RING_OK);
    do next(&f, &m);
    while (m.head.kind != WIRE_END);
    /* a new front */
    assert_int_equal(wire_send_text(&f.port, WIRE_RESET, 0, NULL), RING_OK);
    ready(&f);
    /* from inside, every way out is refused */
    assert_int_equal(wire_send_text(&f.port, WIRE_CHECK, 11, NULL), RING_OK);
    do next(&f, &m);
    while (m.head.kind != WIRE_REPORT);
    if (sandbox_probe().seccomp) {
        assert_true(m.head.size > 100);
#ifndef BANTAM_SANITIZED /* whose filter is wider */
        assert_null(strstr((const char *)m.data, "\nopen\t"));
#endif
    }
    /* what runs is finished, what comes is refused, and it goes */
    ask(&f, 12, "/v1/chat/completions", ASK "\"max_tokens\": 20, \"stream\": true}");
    assert_int_equal(wire_send_text(&f.port, WIRE_DRAIN, 0, NULL), RING_OK);
    assert_int_equal(answer(&f, 12, &out, headers), 200);
    assert_non_null(strstr(out.data, "[DONE]"));
    assert_int_equal(end(&f), 0);
    buf_close(&out);
}

/* Messages that no front would send harm nothing. */
static void a_front_taken_over(void **state)
{
    (void)state;
    Front f;
    Buf out = {0};
    char headers[256];
    const WireRequest large = {.body_size = UINT64_MAX, .method = WIRE_POST};
    const WireRequest odd = {.body_size = 4, .method = 77};
    const RingPart part = {"{}{}", 4};
    start(&f, model_path);
    ready(&f);
    wire_send_request(&f.port, 1, &large, "/v1/chat/completions", "made", "");
    assert_int_equal(answer(&f, 1, &out, headers), 503);
    wire_send_request(&f.port, 2, &odd, "/v1/chat/completions", "made", "");
    ring_send(&f.port, WIRE_BODY, 2, &part, 1);
    wire_send_text(&f.port, WIRE_BODY_END, 2, NULL);
    assert_int_equal(answer(&f, 2, &out, headers), 503);
    wire_send_request(&f.port, 3, &(WireRequest){.body_size = 3, .method = WIRE_POST}, "/x", "",
                      "");
    ring_send(&f.port, WIRE_BODY, 3, &part, 1); /* more than it said */
    ring_send(&f.port, WIRE_BODY, 99, &part, 1);
    wire_send_text(&f.port, WIRE_BODY_END, 3, NULL);
    assert_int_equal(answer(&f, 3, &out, headers), 503);
    wire_send_text(&f.port, WIRE_BODY_END, 98, NULL);
    wire_send_text(&f.port, 4242, 5, "what");
    wire_send_text(&f.port, WIRE_REQUEST, 6, "short");
    assert_int_equal(answer(&f, 6, &out, headers), 503);
    wire_send_request(&f.port, 13, &(WireRequest){.body_size = 9, .method = WIRE_POST}, "/x", "",
                      "");
    wire_send_text(&f.port, WIRE_CANCEL, 13, NULL); /* in the middle of its body */
    answer(&f, 13, &out, headers);
    buf_clear(&out);
    ask(&f, 20, "/tokenize", "{\"content\": \"a\"}");
    assert_int_equal(answer(&f, 20, &out, headers), 200);
    wire_send_text(&f.port, WIRE_DRAIN, 0, NULL);
    assert_int_equal(end(&f), 0);
    buf_close(&out);
}

static void a_model_that_cannot_be_loaded(void **state)
{
    (void)state;
    Front f;
    RingMessage m;
    start(&f, scratch_write("no.gguf", "GGUF is not all", 15));
    next(&f, &m);
    assert_int_equal(m.head.kind, WIRE_FAILED);
    /* clients are told this: the model's name, and nothing of where its file lies */
    const char *why = (const char *)m.data;
    assert_int_equal(strncmp(why, "model 'made' cannot be loaded: ", 31), 0);
    assert_true(strlen(why) > 40 && !strchr(why, '/'));
    assert_int_equal(end(&f), 1);
}

static void described(void **state)
{
    (void)state;
    for (int bad = 0; bad < 2; bad++) {
        int pipes[2], status;
        char text[65536];
        size_t n = 0;
        ssize_t some;
        const WorkerModel m = {.name = "made",
                               .path = bad ? "/nowhere/m.gguf" : model_path,
                               .no_sandbox = !sandbox_probe().seccomp};
        assert_int_equal(pipe(pipes), 0);
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) _exit(worker_describe_main(&m, pipes[1]));
        close(pipes[1]);
        while ((some = read(pipes[0], text + n, sizeof text - 1 - n)) > 0) n += (size_t)some;
        text[n] = '\0';
        close(pipes[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(WEXITSTATUS(status), bad);
        json_t *said = json_loads(text, 0, NULL);
        if (bad)
            assert_true(strncmp(text, "error: ", 7) == 0 && !strstr(text, "/nowhere"));
        else
            assert_true(json_is_object(json_object_get(said, "metadata")));
        json_decref(said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_working_life),
        cmocka_unit_test(a_front_taken_over),
        cmocka_unit_test(a_model_that_cannot_be_loaded),
        cmocka_unit_test(described),
    };
    return cmocka_run_group_tests(tests, setup, scratch_teardown);
}
