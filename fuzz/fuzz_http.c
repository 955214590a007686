/* Anyone who can connect may send any bytes. The first byte says how they are cut (0: not at all,
 * else pieces of so many bytes) and, if odd, that the client sends no more afterwards but listens;
 * the second, which allocation fails (0: none). The rest comes to the front's own code over a
 * socket, beside a worker and a supervisor that answer at once. Whatever it is: what comes back is
 * HTTP, errors are JSON, and when the client has gone nothing of it is left. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "fuzz.h"
#include "serve/front_parts.h"

enum { MOST_TURNS = 4000, MOST_INPUT = 64 << 10 };

static Front front;
static RingSlot control, slots[SERVE_SLOTS];
static RingPort supervisor, worker;

/* As in the front's sandbox: what libmicrohttpd would say by itself does not go out. */
__attribute__((visibility("default"))) ssize_t sendmsg(int fd, const struct msghdr *message,
                                                       int flags)
{
    (void)fd;
    (void)message;
    (void)flags;
    errno = EPERM;
    return -1;
}

static void need(bool good, const char *what)
{
    if (good) return;
    fprintf(stderr, "fuzz-http: %s\n", what);
    abort();
}

/* ---- the other processes ---- */

static void work(void)
{
    static const WireUsage usage = {.prompt = 1, .completion = 1};
    RingMessage m;
    while (ring_receive(&worker, &m) == RING_OK) {
        WireRequestView view;
        if (m.head.kind == WIRE_REQUEST) need(wire_read_request(&m, &view), "a bad REQUEST");
        if (m.head.kind != WIRE_BODY_END) continue;
        const uint64_t id = m.head.id;
        const bool stream = id & 1 << 16; /* every other one */
        wire_send_head(&worker, id, 200, stream ? "text/event-stream" : "application/json", NULL);
        wire_send_data(&worker, id, stream ? "data: 1\n\n" : "{}", stream ? 9 : 2);
        wire_send_end(&worker, id, &usage);
    }
}

static void supervise(void)
{
    static const char text[] = "no";
    RingMessage m;
    while (ring_receive(&supervisor, &m) == RING_OK) {
        ControlNumber n;
        if (m.head.kind != CONTROL_ADMIN || !control_read(&m, &n, sizeof n)) continue;
        n.b = 400;
        control_send(&supervisor, CONTROL_ANSWER, &n, sizeof n, text, 2);
    }
}

static void turn(void)
{
    front_turn(&front, 0);
    work();
    supervise();
}

static void open_all(void)
{
    static const char row[] = "{\"name\":\"a\",\"aliases\":[\"b\"],\"size\":1,\"modified\":1,"
                              "\"expires\":0,\"describe\":null,\"ready\":null}";
    static const ControlModel model = {0, 1};
    static const uint16_t order[] = {0};
    static const ControlSlot slot = {.state = SLOT_RUNNING, .generation = 1};
    static FrontOptions o = {.host = "127.0.0.1", .ports = 1, .most_bodies = 256 << 10};
    bt_error err = {0};
    signal(SIGPIPE, SIG_IGN);
    need(ring_slot_open(&control, CONTROL_BYTES, &err) == BT_OK, err.text);
    for (int i = 0; i < SERVE_SLOTS; i++)
        need(ring_slot_open(&slots[i], (size_t)256 << 10, &err) == BT_OK, err.text);
    o.control = &control;
    o.slots = slots;
    need(ring_join(&supervisor, &control, RING_WORKER, false, &err) == BT_OK, err.text);
    need(front_open(&front, &o, &err) == BT_OK, err.text);
    need(ring_join(&worker, &slots[0], RING_WORKER, false, &err) == BT_OK, err.text);
    control_send(&supervisor, CONTROL_MODEL, &model, sizeof model, row, sizeof row - 1);
    control_send(&supervisor, CONTROL_ORDER, order, sizeof order, NULL, 0);
    control_send(&supervisor, CONTROL_SLOT, &slot, sizeof slot, NULL, 0);
    wire_send_text(&worker, WIRE_READY, 0, "{}");
    for (int i = 0; i < 4; i++) turn();
    need(front.slot[0].ready, "the worker is not known");
}

/* ---- the client ---- */

static bool take(int fd, Buf *got)
{
    char part[8192];
    const ssize_t n = recv(fd, part, sizeof part, MSG_DONTWAIT);
    if (n > 0) buf_add(got, part, (size_t)n);
    return n > 0;
}

static void send_all(int fd, const uint8_t *data, size_t size, size_t piece, Buf *got)
{
    for (size_t at = 0; at < size;) {
        const size_t n = size - at < piece ? size - at : piece;
        const ssize_t sent = send(fd, data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN) return; /* it had enough */
        if (sent > 0) at += (size_t)sent;
        turn();
        take(fd, got);
    }
}

/* Each answer has a status and headers; the body of an error is JSON. */
static void check(const Buf *got)
{
    const char *at = got->data;
    if (!at) return;
    need(memchr(at, 0, got->size) == NULL, "a zero byte in an answer");
    need(strncmp(at, "HTTP/1.1 ", 9) == 0, "an answer that is no HTTP");
    need(!strstr(at, "\r\n\r\n<html"), "a page of the library's own");
    for (; (at = strstr(at, "HTTP/1.1 ")); at++) {
        const long status = strtol(at + 9, NULL, 10);
        const char *body = strstr(at, "\r\n\r\n");
        if (at > got->data && at[-1] != '\n' && at[-1] != '}' && at[-1] != 'k') continue;
        need(status == 100 || (status >= 200 && status <= 505), "a status that is none");
        if (status < 400 || !body || !body[4]) continue;
        need(body[4] == '{' || strncmp(body + 4, "HTTP/1.1 ", 9) == 0, "an error that is no JSON");
    }
}

static void ask(const uint8_t *data, size_t size, unsigned how, unsigned fails)
{
    int ends[2];
    Buf got = {0};
    need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0, "no socket");
    const struct sockaddr_storage unknown = {.ss_family = AF_UNIX};
    if (MHD_add_connection(front.daemon[0], ends[1], (const struct sockaddr *)&unknown,
                           sizeof(sa_family_t)) != MHD_YES)
        need(false, "no connection");
    const int64_t live = mem_live();
    turn();
    mem_fail_at(fails);
    send_all(ends[0], data, size, how > 1 ? how / 2 : size, &got);
    if (how & 1) shutdown(ends[0], SHUT_WR);
    for (int quiet = 0, n = 0; quiet < 3 && n < MOST_TURNS; n++, quiet++) {
        turn();
        while (take(ends[0], &got)) quiet = 0;
    }
    mem_fail_at(0);
    if (!fails) check(&got);
    buf_close(&got);
    close(ends[0]);
    for (int n = 0; n < MOST_TURNS && (front.n_clients || front.n_held); n++) turn();
    need(!front.n_clients && !front.n_held, "a connection is left");
    need(!front.n_requests && !front.requests && !front.bodies, "a request is left");
    need(mem_live() <= live + 1, "memory is left"); /* 1: the list of cancels grew */
    need(!front.slot[0].active && !front.slot[0].queue.first, "the worker is still asked");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool opened;
    if (!opened) open_all();
    opened = true;
    if (size > 2 && size < MOST_INPUT) ask(data + 2, size - 2, data[0], data[1]);
    return 0;
}
