/* The ring between front and worker: order, wrapping, full and empty, bells, resuming; and what it
 * does when the other side writes garbage over everything the two share. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/os.h"
#include "serve/wire.h"

#define LEAST ((size_t)256 << 10)

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void fill(unsigned char *data, size_t size, uint64_t key)
{
    for (size_t i = 0; i < size; i++) data[i] = (unsigned char)(key * 31 + i * 7);
}

typedef struct Pair {
    RingSlot slot;
    RingPort front, worker;
} Pair;

static void open_pair(Pair *p)
{
    assert_int_equal(ring_slot_open(&p->slot, LEAST, NULL), BT_OK);
    assert_int_equal(ring_join(&p->front, &p->slot, RING_FRONT, false, NULL), BT_OK);
    assert_int_equal(ring_join(&p->worker, &p->slot, RING_WORKER, false, NULL), BT_OK);
}

static void close_pair(Pair *p)
{
    ring_part(&p->front);
    ring_part(&p->worker);
    ring_slot_close(&p->slot);
}

static RingResult send_one(RingPort *port, uint64_t id, size_t size)
{
    static unsigned char data[RING_MAX_PAYLOAD];
    fill(data, size, id);
    const RingPart parts[] = {{data, size / 3}, {data + size / 3, size - size / 3}};
    return ring_send(port, WIRE_DATA, id, parts, 2);
}

static void check_one(const RingMessage *m, uint64_t id)
{
    static unsigned char data[RING_MAX_PAYLOAD];
    fill(data, m->head.size, id);
    assert_int_equal(m->head.id, id);
    assert_int_equal(m->head.kind, WIRE_DATA);
    assert_memory_equal(m->data, data, m->head.size);
    assert_int_equal(m->data[m->head.size], 0);
}

/* Sizes of all kinds, many times around the ring, both directions at once. */
static void order_and_wrapping(void **state)
{
    (void)state;
    int64_t live = mem_live();
    Pair p;
    RingMessage m;
    open_pair(&p);
    for (int side = 0; side < 2; side++) {
        RingPort *from = side ? &p.worker : &p.front, *to = side ? &p.front : &p.worker;
        uint64_t sent = 0, got = 0;
        while (got < 4000) {
            size_t size = next_random() % (next_random() % 8 ? 700 : RING_MAX_PAYLOAD + 1);
            RingResult r = sent < 4000 ? send_one(from, sent, size) : RING_FULL;
            if (r == RING_OK) sent++;
            if (r == RING_FULL || next_random() % 3 == 0) {
                if (ring_receive(to, &m) == RING_OK) check_one(&m, got++);
            }
        }
        assert_int_equal(sent, got);
        assert_int_equal(ring_receive(to, &m), RING_EMPTY);
    }
    close_pair(&p);
    assert_int_equal(mem_live(), live);
}

static void full_empty_and_bells(void **state)
{
    (void)state;
    Pair p;
    RingMessage m;
    open_pair(&p);
    assert_int_equal(ring_receive(&p.worker, &m), RING_EMPTY);
    assert_false(ring_wait(&p.worker, 1));
    assert_true(ring_arm(&p.worker));
    uint64_t n = 0;
    while (send_one(&p.front, n, 1000) == RING_OK) n++;
    assert_int_equal(n, LEAST / (16 + 1000));
    assert_int_equal(ring_send_wait(&p.front, WIRE_DATA, 1, &(RingPart){"x", 2000}, 0, 3), RING_OK);
    assert_true(ring_wait(&p.worker, 0)); /* rung, or there before it slept */
    assert_false(ring_arm(&p.worker));
    /* The writer asks for room, and hears when there is some. */
    assert_true(ring_arm(&p.front));
    ring_want_room(&p.front);
    assert_int_equal(ring_receive(&p.worker, &m), RING_OK);
    check_one(&m, 0);
    ring_wait(&p.front, 1000); /* comes back by the bell; a second would show in the suite */
    assert_int_equal(send_one(&p.front, n, 500), RING_OK);
    /* Too large is refused whole. */
    const RingPart large[] = {{"", 0}, {p.slot.memory, RING_MAX_PAYLOAD + 1}};
    assert_int_equal(ring_send(&p.front, WIRE_DATA, 1, large, 2), RING_BROKEN);
    ring_wake_mine(&p.worker);
    close_pair(&p);
}

/* A successor of either side goes on; messages neither vanish nor come twice. */
static void resuming(void **state)
{
    (void)state;
    Pair p;
    RingMessage m;
    open_pair(&p);
    for (uint64_t i = 0; i < 500; i++) {
        assert_int_equal(send_one(&p.front, i, 300), RING_OK);
        assert_int_equal(ring_receive(&p.worker, &m), RING_OK);
        check_one(&m, i);
    }
    assert_int_equal(send_one(&p.front, 500, 300), RING_OK);
    ring_part(&p.front);
    assert_int_equal(ring_join(&p.front, &p.slot, RING_FRONT, false, NULL), BT_E_FORMAT);
    assert_int_equal(ring_join(&p.front, &p.slot, RING_FRONT, true, NULL), BT_OK);
    assert_int_equal(send_one(&p.front, 501, 300), RING_OK);
    for (uint64_t i = 500; i < 502; i++) {
        assert_int_equal(ring_receive(&p.worker, &m), RING_OK);
        check_one(&m, i);
    }
    /* Or both begin anew. */
    ring_part(&p.front);
    ring_part(&p.worker);
    ring_slot_reset(&p.slot);
    assert_int_equal(ring_join(&p.front, &p.slot, RING_FRONT, false, NULL), BT_OK);
    assert_int_equal(ring_join(&p.worker, &p.slot, RING_WORKER, false, NULL), BT_OK);
    assert_int_equal(ring_receive(&p.worker, &m), RING_EMPTY);
    close_pair(&p);
}

/* Another process on the other end, both waiting for each other again and again. */
static void two_processes(void **state)
{
    (void)state;
    enum { ROUNDS = 3000, LONG_MS = 120000 }; /* a busy machine may stop either for long */
    const double until = os_seconds() + LONG_MS / 1000.0;
    RingSlot slot;
    RingPort port;
    RingMessage m;
    assert_int_equal(ring_slot_open(&slot, LEAST, NULL), BT_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (ring_join(&port, &slot, RING_WORKER, false, NULL)) _exit(2);
        for (uint64_t got = 0; got < ROUNDS;) {
            RingResult r = ring_receive(&port, &m);
            if (r == RING_EMPTY && !ring_wait(&port, LONG_MS) && os_seconds() > until) _exit(3);
            if (r == RING_BROKEN) _exit(4);
            if (r != RING_OK) continue;
            const RingPart part = {m.data, m.head.size};
            if (m.head.id != got++) _exit(5);
            if (ring_send_wait(&port, m.head.kind, m.head.id, &part, 1, LONG_MS)) _exit(6);
        }
        _exit(0);
    }
    assert_int_equal(ring_join(&port, &slot, RING_FRONT, false, NULL), BT_OK);
    for (uint64_t sent = 0, got = 0; got < ROUNDS;) {
        if (sent < ROUNDS && send_one(&port, sent, (size_t)(sent * 37 % 9000)) == RING_OK) sent++;
        RingResult r = ring_receive(&port, &m);
        if (r == RING_OK) check_one(&m, got++);
        assert_int_not_equal(r, RING_BROKEN);
        if (r == RING_EMPTY) assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
        if (r == RING_EMPTY && sent == ROUNDS && !ring_wait(&port, LONG_MS))
            assert_true(os_seconds() < until); /* a late bell ends it early */
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    ring_part(&port);
    ring_slot_close(&slot);
}

/* The other side is in an enemy's hands: anything may be anywhere in the shared memory at any time.
 * What is received is well-formed or nothing; sanitizers see that nothing is read outside. */
static void garbage(void **state)
{
    (void)state;
    uint64_t broke = 0, fine = 0;
    volatile unsigned sink = 0; /* all of it is read */
    for (int round = 0; round < 300; round++) {
        Pair p;
        RingMessage m;
        open_pair(&p);
        uint64_t *words = p.slot.memory;
        for (int step = 0; step < 40; step++) {
            for (int i = 0; i < 3; i++) send_one(&p.front, next_random(), next_random() % 5000);
            uint64_t value = next_random() >> (next_random() % 64);
            /* The counters of both rings, or what lies just behind the reader. */
            size_t at =
                next_random() % 2 ? next_random() % 32 : (4096 + (size_t)p.worker.read % LEAST) / 8;
            if (next_random() % 2) value &= ~(uint64_t)7;
            if (next_random() % 4 == 0) words[at] = value;
            if (next_random() % 9 == 0) words[(4096 + (size_t)p.worker.read % LEAST) / 8] = value;
            RingResult r = ring_receive(&p.worker, &m);
            if (r == RING_OK) {
                assert_true(m.head.size <= RING_MAX_PAYLOAD);
                for (size_t i = 0; i <= m.head.size; i++) sink += m.data[i];
                fine++;
            }
            if (r == RING_BROKEN) {
                assert_int_equal(ring_receive(&p.worker, &m), RING_BROKEN);
                broke++;
                break;
            }
        }
        close_pair(&p);
    }
    assert_true(broke > 100 && fine > 1000);
}

typedef struct Sender {
    RingPort *port;
    uint64_t id;
} Sender;

static void *send_many(void *user)
{
    Sender *s = user;
    for (uint32_t i = 0; i < 2000; i++) {
        const RingPart part = {&i, sizeof i};
        if (ring_send_wait(s->port, WIRE_DATA, s->id, &part, 1, 10000) != RING_OK) return s;
    }
    return NULL;
}

/* Two threads of a worker send; each one's messages stay in their order, none is torn. */
static void two_threads_send(void **state)
{
    (void)state;
    Pair p;
    RingMessage m;
    pthread_t thread[2];
    uint32_t next[2] = {0};
    open_pair(&p);
    Sender senders[2] = {{&p.worker, 0}, {&p.worker, 1}};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, send_many, &senders[i]), 0);
    while (next[0] + next[1] < 4000) {
        uint32_t value;
        RingResult r = ring_receive(&p.front, &m);
        if (r == RING_EMPTY) ring_wait(&p.front, 10000);
        if (r != RING_OK) continue;
        assert_true(m.head.id < 2 && m.head.size == sizeof value);
        memcpy(&value, m.data, sizeof value);
        assert_int_equal(value, next[m.head.id]++);
    }
    for (int i = 0; i < 2; i++) {
        void *failed;
        assert_int_equal(pthread_join(thread[i], &failed), 0);
        assert_null(failed);
    }
    close_pair(&p);
}

static void requests_on_the_wire(void **state)
{
    (void)state;
    Pair p;
    RingMessage m;
    WireRequestView view;
    WireAnswer answer;
    const char *type, *headers;
    open_pair(&p);
    WireRequest fixed = {.principal = 7, .body_size = 9, .method = WIRE_POST};
    assert_int_equal(wire_send_request(&p.front, 3, &fixed, "/v1/x", "m", "accept: */*\n"),
                     RING_OK);
    assert_int_equal(ring_receive(&p.worker, &m), RING_OK);
    assert_true(wire_read_request(&m, &view));
    assert_string_equal(view.path, "/v1/x");
    assert_string_equal(view.model, "m");
    assert_string_equal(view.headers, "accept: */*\n");
    assert_int_equal(view.fixed.principal, 7);
    assert_int_equal(wire_send_head(&p.worker, 3, 200, "text/plain", NULL), RING_OK);
    assert_int_equal(ring_receive(&p.front, &m), RING_OK);
    assert_true(wire_read_head(&m, &answer, &type, &headers));
    assert_string_equal(type, "text/plain");
    assert_string_equal(headers, "");
    /* Every cut and every damaged byte of the payload is refused, or harmless. */
    assert_int_equal(wire_send_request(&p.front, 3, &fixed, "/v1/x", "m", "a: b\n"), RING_OK);
    assert_int_equal(ring_receive(&p.worker, &m), RING_OK);
    for (uint32_t size = 0; size < m.head.size; size++) {
        RingMessage cut = m;
        unsigned char *copy = malloc(size + 1);
        memcpy(copy, m.data, size);
        copy[size] = 0;
        cut.data = copy;
        cut.head.size = size;
        assert_false(wire_read_request(&cut, &view));
        free(copy);
    }
    for (int i = 0; i < 20000; i++) {
        unsigned char copy[128];
        RingMessage bad = m;
        memcpy(copy, m.data, m.head.size + 1);
        copy[next_random() % m.head.size] = (unsigned char)next_random();
        bad.data = copy;
        bad.head.kind = i & 1 ? WIRE_REQUEST : WIRE_HEAD;
        if (i & 1 ? wire_read_request(&bad, &view) : wire_read_head(&bad, &answer, &type, &headers))
            assert_true(strlen(i & 1 ? view.headers : headers) < 128);
    }
    close_pair(&p);
}

static void no_memory(void **state)
{
    (void)state;
    int64_t live = mem_live();
    RingSlot slot;
    RingPort port;
    bt_error err;
    mem_fail_at(1);
    assert_int_equal(ring_slot_open(&slot, LEAST, &err), BT_E_MEMORY);
    assert_int_equal(ring_slot_open(&slot, LEAST + 8, &err), BT_E_ARGUMENT);
    assert_int_equal(ring_slot_open(&slot, LEAST, &err), BT_OK);
    mem_fail_at(1);
    assert_int_equal(ring_join(&port, &slot, RING_FRONT, false, &err), BT_E_MEMORY);
    mem_fail_at(0);
    ring_part(&port);
    ring_slot_close(&slot);
    assert_int_equal(mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_and_wrapping),
        cmocka_unit_test(full_empty_and_bells),
        cmocka_unit_test(resuming),
        cmocka_unit_test(two_processes),
        cmocka_unit_test(two_threads_send),
        cmocka_unit_test(garbage),
        cmocka_unit_test(requests_on_the_wire),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
