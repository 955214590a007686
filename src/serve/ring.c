/* Rings in shared memory: see ring.h. Counters only grow; a ring holds head - tail bytes, the byte
 * at counter c lies at c modulo the capacity. The counters of one ring are on cache lines of their
 * own, so that the two sides do not slow each other down. */
#include "serve/ring.h"

#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/mem.h"
#include "base/os.h"

#define LEAST_CAPACITY ((size_t)256 << 10)
#define MOST_CAPACITY  ((size_t)1 << 30)
#define HEADER_BYTES   4096 /* of the mapping: both RingShared, then the two rings */

struct RingShared {
    _Alignas(64) _Atomic uint64_t head; /* the writer's: bytes ever written */
    _Atomic uint32_t reader_waits;      /* set by the reader, taken by the writer, who then rings */
    _Alignas(64) _Atomic uint64_t tail; /* the reader's: bytes ever read */
    _Atomic uint32_t writer_waits;
};

_Static_assert(sizeof(RingHead) == 16, "a frame's head has no holes");
_Static_assert(2 * sizeof(RingShared) <= HEADER_BYTES, "both rings' counters fit the first page");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "counters are shared between processes");

static RingShared *shared_of(const RingSlot *slot, int which)
{
    return (RingShared *)slot->memory + which;
}

static unsigned char *data_of(const RingSlot *slot, int which)
{
    return (unsigned char *)slot->memory + HEADER_BYTES + (size_t)which * slot->capacity;
}

/* ---- slots ---- */

bt_status ring_slot_open(RingSlot *slot, size_t capacity, bt_error *err)
{
    *slot = (RingSlot){.to_front = {-1, -1}, .to_worker = {-1, -1}};
    if (capacity < LEAST_CAPACITY || capacity > MOST_CAPACITY || (capacity & (capacity - 1)))
        return bt_fail(err, BT_E_ARGUMENT, "a ring cannot have %zu bytes", capacity);
    slot->capacity = capacity;
    slot->size = HEADER_BYTES + 2 * capacity;
    slot->memory = os_shared_alloc(slot->size);
    if (!slot->memory) return bt_fail_memory(err, "the ring of a worker", slot->size);
    bt_status status = os_bell_open(slot->to_front, err);
    if (!status) status = os_bell_open(slot->to_worker, err);
    if (status) ring_slot_close(slot);
    return status;
}

void ring_slot_close(RingSlot *slot)
{
    if (!slot->memory) return;
    os_shared_free(slot->memory, slot->size);
    os_bell_close(slot->to_front);
    os_bell_close(slot->to_worker);
    slot->memory = NULL;
}

void ring_slot_leave(RingSlot *slot)
{
    ring_slot_close(slot);
}

void ring_slot_reset(RingSlot *slot)
{
    for (int i = 0; i < 2; i++) {
        RingShared *s = shared_of(slot, i);
        atomic_store(&s->head, 0);
        atomic_store(&s->tail, 0);
        atomic_store(&s->reader_waits, 0);
        atomic_store(&s->writer_waits, 0);
    }
}

/* ---- ports ---- */

/* What a ring holds, or false: its counters cannot be. */
static bool held(const RingPort *port, uint64_t head, uint64_t tail, uint64_t *out)
{
    *out = head - tail;
    return *out <= port->capacity && *out % 8 == 0;
}

bt_status ring_join(RingPort *port, const RingSlot *slot, RingEnd end, bool resume, bt_error *err)
{
    const int out = end == RING_FRONT ? 0 : 1;
    uint64_t unused;
    memset(port, 0, sizeof *port);
    port->frame = mem_alloc(RING_MAX_PAYLOAD + 8);
    if (!port->frame) return bt_fail_memory(err, "the ring of a worker", RING_MAX_PAYLOAD);
    port->out = shared_of(slot, out);
    port->in = shared_of(slot, !out);
    port->out_data = data_of(slot, out);
    port->in_data = data_of(slot, !out);
    port->capacity = slot->capacity;
    port->bell_mine = end == RING_FRONT ? slot->to_front[0] : slot->to_worker[0];
    port->bell_self = end == RING_FRONT ? slot->to_front[1] : slot->to_worker[1];
    port->bell_other = end == RING_FRONT ? slot->to_worker[1] : slot->to_front[1];
    pthread_mutex_init(&port->sending, NULL);
    if (resume) {
        port->wrote = atomic_load(&port->out->head);
        port->read = atomic_load(&port->in->tail);
    }
    if (held(port, port->wrote, atomic_load(&port->out->tail), &unused) &&
        held(port, atomic_load(&port->in->head), port->read, &unused))
        return BT_OK;
    ring_part(port);
    return bt_fail(err, BT_E_FORMAT, "the ring to a worker is damaged");
}

void ring_part(RingPort *port)
{
    if (!port->frame) return;
    mem_free(port->frame);
    pthread_mutex_destroy(&port->sending);
    memset(port, 0, sizeof *port);
}

int ring_bell(const RingPort *port)
{
    return port->bell_mine;
}

void ring_bell_clear(const RingPort *port)
{
    os_bell_clear(port->bell_mine);
}

void ring_wake_mine(const RingPort *port)
{
    os_bell_ring(port->bell_self);
}

/* ---- writing ---- */

static void put(RingPort *port, uint64_t at, const void *data, size_t size)
{
    const size_t start = (size_t)at & (port->capacity - 1);
    size_t first = port->capacity - start;
    if (first > size) first = size;
    if (first) memcpy(port->out_data + start, data, first);
    if (size > first) memcpy(port->out_data, (const char *)data + first, size - first);
}

static RingResult send_locked(RingPort *port, const RingHead *head, const RingPart *parts, size_t n)
{
    const uint64_t need = sizeof *head + align_up(head->size, 8);
    uint64_t used, at = port->wrote;
    if (port->out_broken) return RING_BROKEN;
    if (!held(port, at, atomic_load_explicit(&port->out->tail, memory_order_acquire), &used)) {
        port->out_broken = true;
        return RING_BROKEN;
    }
    if (need > port->capacity - used) return RING_FULL;
    put(port, at, head, sizeof *head);
    at += sizeof *head;
    for (size_t i = 0; i < n; i++) {
        put(port, at, parts[i].data, parts[i].size);
        at += parts[i].size;
    }
    port->wrote += need;
    /* Sequentially consistent with ring_arm: either we see that it waits, or it sees the bytes. */
    atomic_store(&port->out->head, port->wrote);
    if (atomic_load(&port->out->reader_waits) && atomic_exchange(&port->out->reader_waits, 0))
        os_bell_ring(port->bell_other);
    return RING_OK;
}

RingResult ring_send(RingPort *port, uint16_t kind, uint64_t id, const RingPart *parts, size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].size > RING_MAX_PAYLOAD - size) return RING_BROKEN;
        size += parts[i].size;
    }
    RingHead head = {.size = (uint32_t)size, .kind = kind, .id = id};
    pthread_mutex_lock(&port->sending);
    RingResult result = send_locked(port, &head, parts, n);
    pthread_mutex_unlock(&port->sending);
    return result;
}

RingResult ring_send_wait(RingPort *port, uint16_t kind, uint64_t id, const RingPart *parts,
                          size_t n, int ms)
{
    /* Rare: the front empties its side at once. So no second bell, only short sleeps. */
    const double until = os_seconds() + ms / 1000.0;
    for (;;) {
        RingResult result = ring_send(port, kind, id, parts, n);
        if (result != RING_FULL || (ms >= 0 && os_seconds() >= until)) return result;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

void ring_want_room(RingPort *port)
{
    atomic_store(&port->out->writer_waits, 1);
}

/* ---- reading ---- */

static void take(const RingPort *port, uint64_t at, void *out, size_t size)
{
    const size_t start = (size_t)at & (port->capacity - 1);
    size_t first = port->capacity - start;
    if (first > size) first = size;
    if (first) memcpy(out, port->in_data + start, first);
    if (size > first) memcpy((char *)out + first, port->in_data, size - first);
}

static RingResult broken(RingPort *port)
{
    port->in_broken = true;
    return RING_BROKEN;
}

RingResult ring_receive(RingPort *port, RingMessage *out)
{
    uint64_t there;
    RingHead head;
    if (port->in_broken) return RING_BROKEN;
    if (!held(port, atomic_load_explicit(&port->in->head, memory_order_acquire), port->read,
              &there))
        return broken(port);
    if (there == 0) return RING_EMPTY;
    if (there < sizeof head) return broken(port);
    take(port, port->read, &head, sizeof head);
    /* From here on only our copy of the head counts, whatever is written over it meanwhile. */
    if (head.size > RING_MAX_PAYLOAD) return broken(port);
    const uint64_t whole = sizeof head + align_up(head.size, 8);
    if (whole > there) return broken(port);
    take(port, port->read + sizeof head, port->frame, head.size);
    port->frame[head.size] = 0;
    port->read += whole;
    atomic_store(&port->in->tail, port->read);
    if (atomic_load(&port->in->writer_waits) && atomic_exchange(&port->in->writer_waits, 0))
        os_bell_ring(port->bell_other);
    *out = (RingMessage){.head = head, .data = port->frame};
    return RING_OK;
}

bool ring_arm(RingPort *port)
{
    atomic_store(&port->in->reader_waits, 1);
    if (!port->in_broken && atomic_load(&port->in->head) == port->read) return true;
    atomic_store(&port->in->reader_waits, 0);
    return false;
}

bool ring_wait(RingPort *port, int ms)
{
    struct pollfd p = {.fd = port->bell_mine, .events = POLLIN};
    if (!ring_arm(port)) return true;
    if (poll(&p, 1, ms) > 0) ring_bell_clear(port);
    atomic_store(&port->in->reader_waits, 0);
    return port->in_broken || atomic_load(&port->in->head) != port->read;
}
