/* See stop_text.h. */
#include "serve/stop_text.h"

#include <string.h>

#include "base/mem.h"

typedef struct StopString {
    char *text;
    uint16_t *back; /* (size + 1) longest proper end of the first i bytes that also begins it */
    uint16_t size, at;
    int index;
} StopString;

struct StopText {
    StopString list[STOP_MOST];
    size_t n;
    Buf held; /* given, but not yet out */
};

static bool prepare(StopString *s)
{
    s->back = mem_zalloc((size_t)s->size + 1, sizeof *s->back);
    if (!s->back || !s->text) return false;
    for (uint16_t i = 1, k = 0; i < s->size; i++) {
        while (k && s->text[i] != s->text[k]) k = s->back[k];
        if (s->text[i] == s->text[k]) k++;
        s->back[i + 1] = k;
    }
    return true;
}

bt_status stop_open(const Span *strings, size_t n, StopText **out, bt_error *err)
{
    *out = NULL;
    if (n > STOP_MOST)
        return bt_fail(err, BT_E_LIMIT, "%zu stop strings are given, at most %d are taken", n,
                       STOP_MOST);
    StopText *stop = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t size = strings[i].size;
        bool good = stop || (stop = mem_zalloc(1, sizeof *stop));
        if (size > STOP_MOST_BYTES) {
            stop_close(&stop);
            return bt_fail(err, BT_E_LIMIT, "stop string %zu has %zu bytes, at most %d are taken",
                           i, size, STOP_MOST_BYTES);
        }
        if (!size && good) continue;
        StopString *s = good ? &stop->list[stop->n++] : NULL;
        if (s)
            *s = (StopString){mem_strndup(strings[i].data, size), NULL, (uint16_t)size, 0, (int)i};
        if (s && prepare(s)) continue;
        stop_close(&stop);
        return bt_fail_memory(err, "stop strings", size);
    }
    if (stop && !stop->n) stop_close(&stop);
    *out = stop;
    return BT_OK;
}

void stop_close(StopText **stop)
{
    StopText *s = *stop;
    *stop = NULL;
    if (!s) return;
    for (size_t i = 0; i < s->n; i++) {
        mem_free(s->list[i].text);
        mem_free(s->list[i].back);
    }
    buf_close(&s->held);
    mem_free(s);
}

/* Moves over a byte; true when the string is whole with it. */
static bool step(StopString *s, char byte)
{
    while (s->at && s->text[s->at] != byte) s->at = s->back[s->at];
    if (s->text[s->at] == byte) s->at++;
    if (s->at < s->size) return false;
    s->at = s->back[s->size];
    return true;
}

/* The longest that is whole with this byte, or NULL; *longest is what the others hold of it. */
static const StopString *step_all(StopText *stop, char byte, size_t *longest)
{
    const StopString *met = NULL;
    *longest = 0;
    for (size_t i = 0; i < stop->n; i++) {
        StopString *s = &stop->list[i];
        if (step(s, byte) && (!met || s->size > met->size)) met = s;
        if (s->at > *longest) *longest = s->at;
    }
    return met;
}

static void restart(StopText *stop)
{
    for (size_t i = 0; i < stop->n; i++) stop->list[i].at = 0;
    buf_clear(&stop->held);
}

int stop_add(StopText *stop, const char *text, size_t length, Buf *out)
{
    size_t longest = 0;
    if (!stop) {
        buf_add(out, text, length);
        return -1;
    }
    size_t before = stop->held.size;
    buf_add(&stop->held, text, length);
    out->failed |= stop->held.failed;
    if (out->failed) return -1;
    for (size_t i = 0; i < length; i++) {
        const StopString *met = step_all(stop, text[i], &longest);
        if (!met) continue;
        buf_add(out, stop->held.data, before + i + 1 - met->size);
        restart(stop);
        return met->index;
    }
    size_t ready = stop->held.size - longest;
    if (!ready) return -1;
    buf_add(out, stop->held.data, ready);
    memmove(stop->held.data, stop->held.data + ready, longest);
    stop->held.size = longest;
    return -1;
}

void stop_flush(StopText *stop, Buf *out)
{
    if (!stop) return;
    buf_add(out, stop->held.data, stop->held.size);
    restart(stop);
}
