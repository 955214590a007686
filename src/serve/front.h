/* The front: the one process with sockets. It accepts and never connects, speaks HTTP (and TLS),
 * says who may, finds the worker a request is for, and carries bytes between the two. It reads of a
 * body no more than the name of the model. Bodies wait in its memory until they are complete,
 * because that name may come last.
 *
 * Slow and silent clients are dropped by deadlines that no byte of theirs moves: one for the
 * headers, one for the body, one for taking what was sent to them. A client that is gone is noticed
 * at once and its request cancelled. */
#ifndef SERVE_FRONT_H
#define SERVE_FRONT_H

#include "serve/control.h"

typedef struct FrontKey {
    unsigned char hash[32]; /* SHA-256 of the key */
    char label[64];
    int concurrent;            /* requests at once; 0: no limit */
    int per_minute;            /* requests */
    int64_t tokens_per_minute; /* of prompts and answers */
} FrontKey;

typedef struct FrontOptions {
    const char *host; /* an address; "localhost": 127.0.0.1 and ::1 */
    int port;
    int ports;                      /* how many from `port` on may be tried, 1: only that one */
    const char *tls_cert, *tls_key; /* PEM texts; NULL: no TLS */
    const FrontKey *keys;           /* none: no key is asked for */
    size_t n_keys;
    const char *const *origins; /* of pages that may ask (CORS); "*": any */
    size_t n_origins;
    const char *const *hosts; /* names besides addresses and localhost that Host may hold */
    size_t n_hosts;
    int most_connections;  /* 0: 16384 */
    int most_per_address;  /* 0: 512, of loopback no limit */
    uint64_t most_bodies;  /* bytes of bodies held at once; 0: 512 MiB */
    uint64_t most_answers; /* bytes of answers that wait for their clients; 0: 1 GiB */
    double header_seconds, body_seconds, write_seconds, idle_seconds, load_seconds; /* 0: usual */
    /* A worker that says nothing, or takes no step while requests run, for so long is ended and
     * started again; 0: 60 and 1800. */
    double silent_seconds, stalled_seconds;
    bool log_requests; /* a line each: who, what, how long; never what was said */
    uint64_t run;      /* how many fronts there were before */
    RingSlot *control; /* joined here */
    RingSlot *slots;   /* SERVE_SLOTS */
} FrontOptions;

/* The process, in a forked child: binds, gives up its rights, serves until it is told to drain, or
 * the parent ends. Gives the exit status: 0 drained, 2 could not listen (said through control). */
int front_main(const FrontOptions *options);

#endif
