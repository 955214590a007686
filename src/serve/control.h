/* What the supervisor and the front tell each other, over a slot (ring.h) of their own: the front
 * holds the end RING_FRONT, the supervisor RING_WORKER. The supervisor decides what is loaded; the
 * front says what is asked for, and what workers told it. No prompt and no answer passes here.
 *
 *   supervisor -> front
 *     MODEL        ControlModel, then a JSON object: the catalogue's row, new or changed
 *                  {"name","aliases":[],"size","modified","expires","system","error",
 *                   "describe":{what worker_describe says}|null,"ready":{worker_ready}|null}
 *     MODEL_GONE   ControlModel: no longer in the catalogue
 *     ORDER        uint16_t indices: the catalogue's order; the first is `default`
 *     SLOT         ControlSlot: what the slot holds from now on
 *     EXPIRES      ControlNumber {model, Unix time when it is unloaded; 0: it is not loaded}
 *     DRAIN        ControlNumber {seconds}: take nothing new, end what runs, then DRAINED
 *     CHECK        try every way out, have each worker try; REPORT for each
 *     ANSWER       ControlNumber {id, HTTP status}, then a sentence: of an ADMIN
 *     LOOKED       nothing: of a LOOK; what it found was told before
 *   front -> supervisor
 *     LISTENING    text: the URL; again after a restart
 *     REFUSED      text: it cannot listen; it ends
 *     LOAD         ControlNumber {model}: a request waits for it
 *     UNLOAD       ControlNumber {model}: as soon as nothing runs there
 *     KEEP         ControlNumber {model, milliseconds idle until unloaded; -1: for ever}
 *     ACTIVE       ControlNumber {slot, requests there}: when it became 0 or more than 0
 *     READY        ControlSlot, then the worker's JSON
 *     FAILED       ControlSlot, then the worker's sentence
 *     RELEASED     ControlSlot: the front touches a dead worker's slot no more
 *     IDLE         ControlSlot: asked to unload, nothing runs there
 *     BROKEN       ControlSlot, then "sent ..." or "did not ...": the worker is to be ended
 *     LOOK         ControlNumber {0, 0}: have models come, or gone?
 *     ADMIN        ControlNumber {id}, then "key NUL value NUL" ...; key "verb" is first
 *     DRAINED      nothing more runs
 *     REPORT       ControlNumber {slot, or -1: the front}, then lines (wire.h) */
#ifndef SERVE_CONTROL_H
#define SERVE_CONTROL_H

#include "serve/wire.h"

#define SERVE_SLOTS     16
#define CONTROL_BYTES   ((size_t)1 << 20) /* of each ring */
#define CONTROL_MODELS  1024              /* of the catalogue at most */
#define CONTROL_ANSWERS 4096

enum ControlKind {
    CONTROL_MODEL = 1,
    CONTROL_MODEL_GONE,
    CONTROL_ORDER,
    CONTROL_SLOT,
    CONTROL_EXPIRES,
    CONTROL_DRAIN,
    CONTROL_CHECK,
    CONTROL_ANSWER,
    CONTROL_LOOKED,
    CONTROL_LISTENING = 64,
    CONTROL_REFUSED,
    CONTROL_LOAD,
    CONTROL_UNLOAD,
    CONTROL_KEEP,
    CONTROL_ACTIVE,
    CONTROL_READY,
    CONTROL_FAILED,
    CONTROL_RELEASED,
    CONTROL_IDLE,
    CONTROL_BROKEN,
    CONTROL_ADMIN,
    CONTROL_DRAINED,
    CONTROL_REPORT,
    CONTROL_LOOK,
};

typedef struct ControlModel {
    uint32_t index;
    uint32_t n; /* of the catalogue, for whoever reads the first of them */
} ControlModel;

typedef enum SlotState {
    SLOT_EMPTY,
    SLOT_RUNNING,   /* a worker of `model` was started */
    SLOT_UNLOADING, /* send nothing new there; IDLE when nothing runs */
    SLOT_DEAD,      /* its worker is gone: RELEASED, and then nothing more of this generation */
} SlotState;

typedef struct ControlSlot {
    uint32_t slot;
    uint32_t state;      /* SlotState */
    uint32_t model;      /* index in the catalogue */
    uint32_t again;      /* a new worker is about to come: requests that wait go on waiting */
    uint64_t generation; /* of the slot's worker */
    char why[128];       /* SLOT_DEAD: for those whose request ran there; NUL-terminated */
} ControlSlot;

typedef struct ControlNumber {
    int64_t a, b;
} ControlNumber;

_Static_assert(sizeof(ControlSlot) == 152 && sizeof(ControlNumber) == 16, "no holes");

/* Sends `fixed` and, if not NULL, `size` more bytes. */
static inline RingResult control_send(RingPort *port, uint16_t kind, const void *fixed,
                                      size_t fixed_size, const void *more, size_t size)
{
    const RingPart parts[] = {{fixed, fixed_size}, {more, size}};
    return ring_send(port, kind, 0, parts, more ? 2 : 1);
}

/* The fixed part of a message; false when it is too short. What follows begins at
 * message->data + size and is NUL-terminated. */
static inline bool control_read(const RingMessage *message, void *fixed, size_t size)
{
    if (message->head.size < size) return false;
    memcpy(fixed, message->data, size);
    return true;
}

#endif
