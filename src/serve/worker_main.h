/* A worker's process: the core of worker.h between two rings, inside the sandbox. It holds no
 * socket and opens the model only after it has given up its rights. */
#ifndef SERVE_WORKER_MAIN_H
#define SERVE_WORKER_MAIN_H

#include "serve/ring.h"
#include "serve/worker.h"

typedef struct WorkerMain {
    WorkerModel model;
    const RingSlot *slot;
} WorkerMain;

/* In the child that was forked for it, while that has one thread; returns its exit status: 0 after
 * a DRAIN, 1 when the model cannot be loaded (FAILED was sent), 2 when the ring broke. */
int worker_main(const WorkerMain *options);
/* Likewise: reads the model's metadata and writes worker_describe's JSON to fd_out, or "error: "
 * and a sentence. 0 or 1. */
int worker_describe_main(const WorkerModel *model, int fd_out);

#endif
