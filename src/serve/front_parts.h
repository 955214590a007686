/* The front's insides, shared by front*.c and nobody else. One thread; nothing here blocks. */
#ifndef SERVE_FRONT_PARTS_H
#define SERVE_FRONT_PARTS_H

#include <jansson.h>
#include <microhttpd.h>
#include <stdarg.h>

#include "base/buf.h"
#include "serve/front.h"
#include "serve/reply.h"

#define FRONT_LISTENERS 2
#define MOST_REQUESTS   (1u << 16)        /* at once; an id's low bits are its place in the table */
#define MOST_STREAM_LAG ((size_t)4 << 20) /* bytes a client may be behind in a stream */
#define MOST_WHOLE      ((size_t)128 << 20) /* bytes of an answer that is no stream */
#define WHOLE_AT_ONCE   ((size_t)1 << 20)   /* larger ones are sent as they come */

/* Tags of watch; those of requests are larger than any 32 bits hold. */
enum { TAG_CONTROL = 1, TAG_HTTP = 16, TAG_SLOT = 64, TAG_HELD = 1024, MOST_HELD = 256 };

typedef struct Front Front;
typedef struct Request Request;

/* A connection. */
typedef struct Client {
    struct Client *next, *prev; /* of those that owe us headers, oldest first */
    int fd;
    bool owes;
    double deadline; /* for the headers of its next request */
    /* Of the request that it sends (front_bad.c). */
    char path[40];  /* its beginning, as far as it came */
    bool told, cut; /* it was answered already; before its body was there */
    int refused_as; /* the status with which libmicrohttpd, or we, gave it up */
    Buf last;       /* what to say to it then; else the usual for the status */
    uint64_t done;  /* the turn in which its last one was over */
} Client;

typedef struct Held { /* a socket whose client may still read our last words */
    int fd;
    double until;
    size_t thrown;
} Held;

typedef enum Phase {
    PHASE_BODY,   /* its body comes */
    PHASE_LOOK,   /* waits for a look at what models there are */
    PHASE_MODEL,  /* waits for its model to be loaded */
    PHASE_QUEUED, /* waits for room in the ring; part of it may be sent */
    PHASE_WORKER, /* with the worker */
    PHASE_ADMIN,  /* with the supervisor */
    PHASE_OVER,   /* all of the answer is here */
} Phase;

struct Request {
    Request *next, *prev;  /* of all */
    Request *next_in_line; /* of a model or a slot, by phase */
    Front *front;
    struct MHD_Connection *mhd;
    Client *client;
    uint64_t id;
    Phase phase;
    bool suspended, gone;
    bool queued; /* MHD has a response */
    double began, deadline;

    char method[8], path[WIRE_MAX_PATH + 1];
    ApiRoute route;
    Buf headers;  /* for the worker */
    char *origin; /* allowed, for CORS; NULL: none */
    char request_id[64];
    uint64_t principal;
    int key;      /* -1: none */
    bool counted; /* in its key's running requests */

    Buf body;
    uint64_t body_counted; /* of front->bodies */
    size_t body_sent;
    int send_stage;
    bool looked;  /* was in PHASE_LOOK */
    bool refused; /* before its body was there: status, type and out are set */
    int model, slot;

    int status;
    bool head, stream;
    char *type, *extra; /* content type; lines of headers */
    const char *allow;  /* of a 405 */
    int retry_after;
    Buf out;
    uint64_t out_counted; /* of front->answers */
    size_t out_at;        /* taken by MHD */
    uint64_t made, taken; /* bytes in all */
    uint64_t mark;        /* when `taken` passes this, the client kept up ... */
    double mark_at;       /* ... since then */
    ApiStreamAs stream_as;
};

typedef struct Line { /* first in, first out */
    Request *first, *last;
} Line;

typedef struct Model {
    json_t *row;
    ApiModel api;
    const char **aliases;
    bool here;
    int slot;   /* -1: not loaded */
    bool asked; /* LOAD was sent */
    Line waiting;
} Model;

typedef struct Slot {
    RingSlot *memory;
    RingPort port;
    bool joined, ready, again;
    SlotState state;
    uint64_t generation;
    int model;
    uint32_t active;
    Line queue; /* to be sent */
    uint64_t *cancels;
    size_t n_cancels, most_cancels;
    json_t *stats;
    double silent, stalled; /* seconds since it said something; since it got on */
    double steps;           /* it had made when it last got on */
} Slot;

typedef struct KeyUse {
    int running;
    int64_t minute; /* that the counts are of */
    int requests;
    int64_t tokens;
    uint64_t total_requests, total_tokens;
} KeyUse;

typedef struct Counters {
    uint64_t requests, by_class[6], refused_host, refused_origin, refused_key, slow, vanished;
    uint64_t prompt, cached, completion, queued_us, prefill_us, decode_us;
    uint64_t connections, dropped_silent, worker_deaths, malformed;
} Counters;

struct Front {
    const FrontOptions *o;
    struct MHD_Daemon *daemon[FRONT_LISTENERS];
    int listener[FRONT_LISTENERS];
    int n_listeners, port, watch;
    char url[128];
    RingPort control;
    bool control_waits;
    Slot slot[SERVE_SLOTS];
    Model *model; /* CONTROL_MODELS */
    uint16_t order[CONTROL_MODELS];
    size_t n_order;
    Request **table; /* MOST_REQUESTS */
    uint32_t next_place, n_requests;
    uint64_t serial;
    Request *requests;
    Client *oldest, *newest; /* that owe headers */
    Line lookers;            /* in PHASE_LOOK */
    bool looking;
    double looked; /* when the last look began, or ended */
    int n_clients, most_clients;
    uint64_t bodies, answers; /* bytes held */
    KeyUse *use;
    Counters count;
    bool draining, drained;
    double drain_until, started, swept;
    bool more; /* something is left to do at once */
    uint64_t turn;
    int refused_as; /* in this turn, by libmicrohttpd */
    Held held[MOST_HELD];
    int n_held;
};

/* front.c */
bt_status front_open(Front *f, const FrontOptions *o, bt_error *err); /* zeroes *f first */
void front_turn(Front *f, int most_ms); /* waits so long at most, and does what is to be done */

/* front_http.c: connections and requests */
bt_status http_open(Front *f, bt_error *err);
void http_sweep(Front *f, double now);
void request_wake(Request *r);
void request_gone(Request *r);
Request *request_find(Front *f, uint64_t id);

/* front_bad.c: what is no HTTP, and last words */
void bad_log(void *user, const char *format, va_list args);
void *bad_begins(void *user, const char *uri, struct MHD_Connection *mhd);
void bad_late(Front *f, Client *c);
void bad_done(Client *c, struct MHD_Connection *mhd, Request *r, bool good, uint64_t turn);
void bad_closed(Front *f, Client *c);
/* True: the head is refused; answered. */
bool bad_head(Request *r, size_t path_size);
void held_event(Front *f, int i);
void held_sweep(Front *f, double now);

/* front_say.c: what a client is told */
enum MHD_Result say_queue(Request *r);
bool say_ready(const Request *r);
void say_head(Request *r, int status, const char *type, const char *extra);
void say_data(Request *r, const void *data, size_t size);
void say_end(Request *r);
void say_whole(Request *r, int status, const char *type, Buf *text);
/* In the API's shape, or as the last event of a stream. */
void say_error(Request *r, ApiErrorKind kind, const char *format, ...) BT_PRINTF(3, 4);
void say_busy(Request *r, int seconds, const char *format, ...) BT_PRINTF(3, 4);

/* front_access.c: who may */
bool access_host(const Front *f, const char *host);
bool access_origin(const Front *f, const char *origin, const char *host);
/* The key's place, -1: none given or none needed, -2: a wrong or missing one. */
int access_key(const Front *f, struct MHD_Connection *mhd);
/* False: a limit of the key; answered. */
bool access_limits(Request *r);
void access_used(Request *r, const WireUsage *usage);
void access_done(Request *r);

/* front_models.c: the catalogue, and what is answered from it */
int models_find(const Front *f, const char *name); /* -1: none; "" and "default": the first */
void models_control(Front *f, const RingMessage *m);
void models_close(Front *f);
/* Answers the request, or takes it on its way to a worker. */
void models_take(Request *r);
void models_metrics(Front *f, Buf *out);

/* front_look.c: models that came or went */
bool look_first(Request *r); /* true: it waits, and then comes to models_take again */
void look_done(Front *f);
void look_sweep(Front *f, double now);

/* front_slots.c: traffic with the workers */
void slots_control(Front *f, const ControlSlot *s);
void slots_receive(Front *f);
void slots_pump(Slot *s);
void slots_add(Request *r, int slot);
void slots_forget(Request *r); /* it needs no answer any more */
void slots_tell(Front *f, uint16_t kind, int64_t a, int64_t b);
void slots_drain(Front *f);
void slots_sweep(Front *f, double passed); /* ends workers that hang */
void slots_check(Front *f);

void line_add(Line *line, Request *r);
void line_take(Line *line, Request *r); /* wherever it stands */

/* front_metrics.c */
void metrics_write(Front *f, Buf *out);

#endif
