/* A worker's core at work without processes: requests are asked, the model is stepped until their
 * answers are there, and what came is looked at. */
#ifndef TESTS_DESK_H
#define TESTS_DESK_H

#include <jansson.h>
#include <pthread.h>

#include "serve/worker.h"
#include "support/make_model.h"

#define DESK_MOST 256

typedef struct DeskAnswer {
    uint64_t id;
    int status, heads, datas, ends;
    char type[64], headers[256];
    Buf body;
    WorkerUsage usage;
} DeskAnswer;

typedef struct Desk {
    pthread_mutex_t lock;
    Worker *worker;
    uint64_t next; /* id */
    DeskAnswer list[DESK_MOST];
    size_t n;
    int cancel_after; /* pieces of an answer, then it is cancelled; 0: never */
    uint64_t to_cancel;
    uint64_t principal; /* of the requests to come */
} Desk;

/* A made model with a chat template that takes tools; fails the test. */
const char *desk_model(const MakeModel *spec, const char *name);
extern const char desk_template[];
void desk_open(Desk *desk, const char *path, const WorkerModel *options);
void desk_close(Desk *desk);
/* All answers are forgotten; ids go on. */
void desk_clear(Desk *desk);
/* Hands a request in; what came of it by desk_answer after desk_run. */
uint64_t desk_send(Desk *desk, const char *method, const char *path, const char *body);
/* Steps until nothing runs. */
void desk_run(Desk *desk);
DeskAnswer *desk_answer(Desk *desk, uint64_t id);
/* Both at once, with POST; the answer has had its one end. */
DeskAnswer *desk_ask(Desk *desk, const char *path, const char *body);
/* Its body as JSON (json_decref it); fails the test. */
json_t *desk_json(const DeskAnswer *answer);
/* The same of a request that must succeed. */
json_t *desk_good(Desk *desk, const char *path, const char *body);
/* The events of a stream as an array: data of server-sent events ("[DONE]" left out), or lines. */
json_t *desk_events(const DeskAnswer *answer);
/* Follows a path of keys and numbers: "choices.0.message.content"; NULL where it ends. */
json_t *desk_at(const json_t *root, const char *path);
/* A string there; fails the test when there is none. */
const char *desk_text(const json_t *root, const char *path);
/* What a stream's events say at `path`, joined. */
void desk_joined(const json_t *events, const char *path, Buf *out);
long long desk_number(const json_t *root, const char *path);

#endif
