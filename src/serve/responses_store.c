/* See responses_store.h. A list in order of use, oldest first; with at most some hundred entries a
 * walk costs less than a table would. */
#include "serve/responses_store.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"

typedef struct Entry {
    struct Entry *next;
    uint64_t principal;
    double deadline;
    char *id; /* id, conversation and object in one piece of memory */
    Span conversation, object;
    uint64_t bytes;
} Entry;

struct ResponsesStore {
    pthread_mutex_t lock;
    ResponsesLimits limits;
    Entry *oldest;
    size_t n;
    uint64_t bytes;
};

bt_status responses_open(const ResponsesLimits *limits, ResponsesStore **out, bt_error *err)
{
    ResponsesStore *s = *out = mem_zalloc(1, sizeof *s);
    if (!s) return bt_fail_memory(err, "the responses", sizeof *s);
    if (limits) s->limits = *limits;
    if (!s->limits.entries) s->limits.entries = 1024;
    if (!s->limits.bytes) s->limits.bytes = (uint64_t)64 << 20;
    if (!(s->limits.seconds > 0)) s->limits.seconds = 3600;
    pthread_mutex_init(&s->lock, NULL);
    return BT_OK;
}

/* Takes the entry that *link points to out of the list and frees it. */
static void drop(ResponsesStore *s, Entry **link)
{
    Entry *e = *link;
    *link = e->next;
    s->n--;
    s->bytes -= e->bytes;
    mem_free(e->id);
    mem_free(e);
}

void responses_close(ResponsesStore **store)
{
    ResponsesStore *s = *store;
    *store = NULL;
    if (!s) return;
    while (s->oldest) drop(s, &s->oldest);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

static void expire(ResponsesStore *s, double now)
{
    for (Entry **link = &s->oldest; *link;)
        if ((*link)->deadline <= now)
            drop(s, link);
        else
            link = &(*link)->next;
}

static Entry **find(ResponsesStore *s, uint64_t principal, const char *id)
{
    for (Entry **link = &s->oldest; *link; link = &(*link)->next)
        if ((*link)->principal == principal && strcmp((*link)->id, id) == 0) return link;
    return NULL;
}

static void append(ResponsesStore *s, Entry *e)
{
    Entry **last = &s->oldest;
    while (*last) last = &(*last)->next;
    e->next = NULL;
    *last = e;
}

/* Frees until `bytes` more fit, the principal's own first when it holds its share. */
static void make_room(ResponsesStore *s, uint64_t principal, uint64_t bytes)
{
    uint64_t own = 0;
    for (const Entry *e = s->oldest; e; e = e->next)
        if (e->principal == principal) own += e->bytes;
    for (Entry **link = &s->oldest; *link && own + bytes > s->limits.bytes / 4;) {
        if ((*link)->principal != principal) {
            link = &(*link)->next;
            continue;
        }
        own -= (*link)->bytes;
        drop(s, link);
    }
    while (s->oldest && (s->bytes + bytes > s->limits.bytes || s->n >= s->limits.entries))
        drop(s, &s->oldest);
}

static Entry *make(uint64_t principal, const char *id, Span conversation, Span object)
{
    size_t n = strlen(id) + 1;
    Entry *e = mem_zalloc(1, sizeof *e);
    char *memory = e ? mem_alloc(n + conversation.size + object.size) : NULL;
    if (!memory) {
        mem_free(e);
        return NULL;
    }
    memcpy(memory, id, n);
    if (conversation.size) memcpy(memory + n, conversation.data, conversation.size);
    if (object.size) memcpy(memory + n + conversation.size, object.data, object.size);
    e->principal = principal;
    e->id = memory;
    e->conversation = (Span){memory + n, conversation.size};
    e->object = (Span){memory + n + conversation.size, object.size};
    e->bytes = sizeof *e + n + conversation.size + object.size;
    return e;
}

bt_status responses_put(ResponsesStore *s, uint64_t principal, const char *id, Span conversation,
                        Span object, double now, bt_error *err)
{
    uint64_t size = (uint64_t)conversation.size + object.size;
    if (size > s->limits.bytes / 4 - s->limits.bytes / 64)
        return bt_fail(err, BT_E_LIMIT,
                       "the response has %llu bytes and is too large to be remembered",
                       (unsigned long long)size);
    Entry *e = make(principal, id, conversation, object);
    if (!e) return bt_fail_memory(err, "a response", size);
    pthread_mutex_lock(&s->lock);
    expire(s, now);
    Entry **old = find(s, principal, id);
    if (old) drop(s, old);
    make_room(s, principal, e->bytes);
    e->deadline = now + s->limits.seconds;
    append(s, e);
    s->n++;
    s->bytes += e->bytes;
    pthread_mutex_unlock(&s->lock);
    return BT_OK;
}

bool responses_get(ResponsesStore *s, uint64_t principal, const char *id, Buf *conversation,
                   Buf *object, double now)
{
    pthread_mutex_lock(&s->lock);
    expire(s, now);
    Entry **link = find(s, principal, id);
    bool good = link != NULL;
    if (link) {
        Entry *e = *link;
        *link = e->next;
        e->deadline = now + s->limits.seconds;
        append(s, e);
        if (conversation) buf_add(conversation, e->conversation.data, e->conversation.size);
        if (object) buf_add(object, e->object.data, e->object.size);
        good = !(conversation && conversation->failed) && !(object && object->failed);
    }
    pthread_mutex_unlock(&s->lock);
    return good;
}

bool responses_delete(ResponsesStore *s, uint64_t principal, const char *id, double now)
{
    pthread_mutex_lock(&s->lock);
    expire(s, now);
    Entry **link = find(s, principal, id);
    if (link) drop(s, link);
    pthread_mutex_unlock(&s->lock);
    return link != NULL;
}

size_t responses_count(ResponsesStore *s, double now)
{
    pthread_mutex_lock(&s->lock);
    expire(s, now);
    size_t n = s->n;
    pthread_mutex_unlock(&s->lock);
    return n;
}
