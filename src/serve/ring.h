/* A slot: the two byte rings between the front and one worker, in memory both have mapped, and a
 * bell for each side. One process writes a ring, one reads it. Messages are framed and whole.
 *
 * Neither side trusts the other: each keeps its own index in its own memory and looks at nothing of
 * the other's but one counter, which must lie within the ring; a frame is copied out before it is
 * looked at, and a size that does not fit ends the port (RING_BROKEN) for good. So a side that has
 * been taken over can send wrong messages, late ones or none, and that is all.
 *
 * The memory and the bells are made before any fork, by whoever forks, and outlive both sides. */
#ifndef SERVE_RING_H
#define SERVE_RING_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define RING_BYTES       ((size_t)4 << 20) /* usual size of each ring: a power of two */
#define RING_MAX_PAYLOAD ((size_t)128 << 10)

typedef struct RingHead {
    uint32_t size; /* of the payload, without the padding to 8 */
    uint16_t kind; /* wire.h */
    uint16_t flags;
    uint64_t id; /* of the request, 0: of none */
} RingHead;

typedef struct RingPart {
    const void *data;
    size_t size;
} RingPart;

typedef struct RingMessage {
    RingHead head;
    const unsigned char *data; /* head.size bytes and a NUL; valid until the next receive */
} RingMessage;

typedef enum RingResult { RING_OK, RING_FULL, RING_EMPTY, RING_BROKEN } RingResult;

typedef enum RingEnd { RING_FRONT, RING_WORKER } RingEnd;

typedef struct RingSlot {
    void *memory;
    size_t size;     /* of the whole mapping */
    size_t capacity; /* of each ring */
    int to_front[2]; /* bells: [0] is waited on, [1] is rung; often one descriptor */
    int to_worker[2];
} RingSlot;

typedef struct RingShared RingShared;

/* One process's end: writes one ring, reads the other. Sending is for any thread of the process,
 * receiving and waiting for one. */
typedef struct RingPort {
    RingShared *out, *in;
    unsigned char *out_data, *in_data;
    size_t capacity;
    uint64_t wrote, read;                 /* ours; never read back from shared memory */
    int bell_mine, bell_self, bell_other; /* waited on; rings it; rings the other side's */
    unsigned char *frame;                 /* where a message is copied to */
    bool out_broken, in_broken;
    pthread_mutex_t sending;
} RingPort;

/* `capacity`: of each ring, a power of two of at least 256 KiB. */
bt_status ring_slot_open(RingSlot *slot, size_t capacity, bt_error *err);
void ring_slot_close(RingSlot *slot); /* a zeroed one may be closed */
/* Forgets what both rings hold. Only while neither side is joined, or both know of it. */
void ring_slot_reset(RingSlot *slot);
/* In a process that has no business with this slot: gives up the memory and the bells. */
void ring_slot_leave(RingSlot *slot);

/* Joins one end. `resume`: a successor goes on where the last one of this end stopped; otherwise
 * the rings must be fresh. BT_E_FORMAT when the counters in shared memory cannot be. */
bt_status ring_join(RingPort *port, const RingSlot *slot, RingEnd end, bool resume, bt_error *err);
void ring_part(RingPort *port);

/* Puts one message made of `n` parts, all of it or nothing. RING_FULL: no room now (the other side
 * will ring once it has read, see ring_want_room). RING_BROKEN also when the parts are larger than
 * RING_MAX_PAYLOAD, which is the caller's mistake. */
RingResult ring_send(RingPort *port, uint16_t kind, uint64_t id, const RingPart *parts, size_t n);
/* Waits for room, at most `ms` (-1: for ever); RING_FULL after that. */
RingResult ring_send_wait(RingPort *port, uint16_t kind, uint64_t id, const RingPart *parts,
                          size_t n, int ms);
/* Takes the next message. */
RingResult ring_receive(RingPort *port, RingMessage *out);

/* Before sleeping on ring_bell: true when there is nothing to read now and the other side will
 * ring; false when there is something after all. */
bool ring_arm(RingPort *port);
/* The other side rings the next time it has read something. */
void ring_want_room(RingPort *port);
/* Sleeps until there is something to read, at most `ms` (-1: for ever). True: there is. False may
 * come earlier: a bell can be late, of something that was read already, or of ring_wake_mine. */
bool ring_wait(RingPort *port, int ms);
int ring_bell(const RingPort *port);        /* poll it for reading */
void ring_bell_clear(const RingPort *port); /* after it was heard, before ring_receive */
void ring_wake_mine(const RingPort *port);  /* another thread of this process ends a ring_wait */

#endif
