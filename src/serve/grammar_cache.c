/* See grammar_cache.h. */
#include "serve/grammar_cache.h"

#include <pthread.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine/grammar.h"

/* Marks at a prompt's end that decide how an answer begins are shorter (text/answer_forms.c). */
enum { TAIL = 96 };

typedef struct Entry {
    struct Entry *next;
    uint64_t hash;
    char *key;
    size_t size;
    bt_grammar *grammar;
} Entry;

struct GrammarCache {
    pthread_mutex_t lock;
    bt_model *model;
    size_t most, most_bytes, n, bytes;
    uint64_t seed;
    Entry *newest;
};

bt_status grammar_cache_open(bt_model *model, size_t entries, size_t bytes, GrammarCache **out,
                             bt_error *err)
{
    GrammarCache *c = *out = mem_zalloc(1, sizeof *c);
    if (!c) return bt_fail_memory(err, "the grammars", sizeof *c);
    c->model = model;
    c->most = entries ? entries : 16;
    c->most_bytes = bytes ? bytes : (size_t)8 << 20;
    os_random(&c->seed, sizeof c->seed);
    pthread_mutex_init(&c->lock, NULL);
    return BT_OK;
}

static void drop(GrammarCache *c, Entry **link)
{
    Entry *e = *link;
    *link = e->next;
    c->n--;
    c->bytes -= e->size;
    bt_grammar_close(&e->grammar);
    mem_free(e->key);
    mem_free(e);
}

void grammar_cache_close(GrammarCache **cache)
{
    GrammarCache *c = *cache;
    *cache = NULL;
    if (!c) return;
    while (c->newest) drop(c, &c->newest);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

static const char *tail_of(const char *prompt)
{
    size_t n = prompt ? strlen(prompt) : 0;
    return n > TAIL ? prompt + n - TAIL : prompt;
}

static void add(Buf *key, Span text)
{
    buf_add(key, &text.size, sizeof text.size);
    buf_add(key, text.data, text.size);
}

static void make_key(const HoldWish *w, Buf *key)
{
    const bt_answer_options *a = w->kind == HOLD_TEXT ? NULL : w->answer;
    unsigned char head[2] = {(unsigned char)w->kind, (unsigned char)w->language};
    buf_add(key, head, sizeof head);
    buf_add(key, &w->principal, sizeof w->principal);
    add(key, w->text);
    add(key, span_of(a ? tail_of(a->prompt) : NULL));
    add(key, span_of(a ? a->tools : NULL));
    add(key, span_of(a ? a->format : NULL));
}

/* Found: at the front of the list, and a hold for the caller. */
static bt_grammar *look(GrammarCache *c, uint64_t hash, const Buf *key)
{
    bt_grammar *found = NULL;
    pthread_mutex_lock(&c->lock);
    for (Entry **link = &c->newest; *link; link = &(*link)->next) {
        Entry *e = *link;
        if (e->hash != hash || e->size != key->size || memcmp(e->key, key->data, e->size) != 0)
            continue;
        *link = e->next;
        e->next = c->newest;
        c->newest = e;
        found = grammar_share(e->grammar);
        break;
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

/* Takes the key over. Where there is no memory, or another thread was first, nothing is kept. */
static void keep(GrammarCache *c, uint64_t hash, Buf *key, bt_grammar *grammar)
{
    size_t size = key->size;
    Entry *e = size <= c->most_bytes / 4 ? mem_zalloc(1, sizeof *e) : NULL;
    if (!e) return;
    *e = (Entry){NULL, hash, buf_take(key), size, grammar_share(grammar)};
    pthread_mutex_lock(&c->lock);
    e->next = c->newest;
    c->newest = e;
    c->n++;
    c->bytes += size;
    while (c->n > c->most || c->bytes > c->most_bytes) {
        Entry **last = &c->newest;
        while ((*last)->next) last = &(*last)->next;
        drop(c, last);
    }
    pthread_mutex_unlock(&c->lock);
}

static bt_status compile(GrammarCache *c, const HoldWish *w, bt_grammar **out, bt_error *err)
{
    bt_answer_options answer = w->answer ? *w->answer : (bt_answer_options){0};
    answer.prompt = tail_of(answer.prompt);
    switch (w->kind) {
    case HOLD_TEXT:
        return bt_grammar_open(c->model, w->language, w->text.data, w->text.size, NULL, out, err);
    case HOLD_SAYS:
        return bt_answer_constrain(c->model, &answer, w->language, w->text.data, w->text.size, out,
                                   err);
    case HOLD_CALLS:
    case HOLD_MUST_CALL: break;
    }
    return bt_answer_grammar(c->model, &answer, w->kind == HOLD_MUST_CALL, out, err);
}

bt_status grammar_cache_get(GrammarCache *c, const HoldWish *w, bt_grammar **out, bt_error *err)
{
    Buf key = {0};
    make_key(w, &key);
    if (key.failed) {
        buf_close(&key);
        *out = NULL;
        return bt_fail_memory(err, "a grammar", w->text.size);
    }
    uint64_t hash = hash_bytes(key.data, key.size, c->seed);
    bt_status status = BT_OK;
    *out = look(c, hash, &key);
    if (!*out) {
        status = compile(c, w, out, err);
        if (!status) keep(c, hash, &key, *out);
    }
    buf_close(&key);
    return status;
}

size_t grammar_cache_count(GrammarCache *c)
{
    pthread_mutex_lock(&c->lock);
    size_t n = c->n;
    pthread_mutex_unlock(&c->lock);
    return n;
}
