/* The heap of a template or of one run, and how both are left when something fails (see
 * jinja_value.h). Chunks double up to a megabyte; a large piece gets a chunk of its own. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "base/os.h"
#include "text/jinja_value.h"

#define FIRST_CHUNK 8192u
#define LAST_CHUNK  (1u << 20)
#define ALIGN       16u

struct JChunk {
    JChunk *next;
    size_t size;
};

static _Noreturn void no_memory(J *j, uint64_t bytes)
{
    j->status = bt_fail_memory(j->err, "a chat template", bytes);
    longjmp(*j->leave, 1);
}

void *j_alloc(J *j, size_t size)
{
    uint64_t need;
    if (!ck_add(size, ALIGN, &need)) no_memory(j, size);
    need &= ~(uint64_t)(ALIGN - 1);
    if ((uint64_t)(j->end - j->at) < need || !j->at) {
        size_t last = j->chunks ? j->chunks->size : FIRST_CHUNK / 2;
        uint64_t room = last < LAST_CHUNK ? 2 * last : LAST_CHUNK, all;
        if (room < need) room = need;
        if (!ck_add(room, sizeof(JChunk) + ALIGN, &all)) no_memory(j, need);
        if (j->limit && j->used + need > j->limit)
            j_fail(j, BT_E_LIMIT, "the template takes more than %llu MB of memory",
                   (unsigned long long)(j->limit >> 20));
        JChunk *chunk = mem_alloc((size_t)all);
        if (!chunk) no_memory(j, all);
        chunk->next = j->chunks;
        chunk->size = room > LAST_CHUNK ? LAST_CHUNK : (size_t)room;
        j->chunks = chunk;
        j->used += all;
        uintptr_t start = (uintptr_t)(chunk + 1);
        j->at = (char *)(chunk + 1) + (align_up(start, ALIGN) - start);
        j->end = j->at + room;
    }
    void *memory = j->at;
    j->at += need;
    return memory;
}

void *j_array(J *j, size_t count, size_t size)
{
    uint64_t bytes;
    if (!ck_mul(count, size, &bytes)) no_memory(j, UINT64_MAX);
    return j_alloc(j, (size_t)bytes);
}

void j_heap_close(J *j)
{
    while (j->chunks) {
        JChunk *next = j->chunks->next;
        mem_free(j->chunks);
        j->chunks = next;
    }
    j->at = j->end = NULL;
    j->used = 0;
}

/* Lines and columns count from 1; columns in characters. */
static void place(const J *j, unsigned *line, unsigned *column)
{
    *line = *column = 1;
    for (uint32_t i = 0; i < j->position && i < j->source.size; i++) {
        unsigned char c = (unsigned char)j->source.data[i];
        if (c == '\n') {
            ++*line;
            *column = 1;
        } else if ((c & 0xC0) != 0x80) {
            ++*column;
        }
    }
}

void j_fail(J *j, bt_status status, const char *format, ...)
{
    unsigned line, column;
    char where[64];
    va_list args;
    place(j, &line, &column);
    va_start(args, format);
    j->status = bt_failv(j->err, status, format, args);
    va_end(args);
    snprintf(where, sizeof where, "template line %u, column %u", line, column);
    if (j->err) bt_error_prefix(j->err, where);
    longjmp(*j->leave, 1);
}

void j_raise(J *j, const char *text)
{
    j->status = bt_fail(j->err, BT_E_ARGUMENT, "%s", text);
    longjmp(*j->leave, 1);
}

void j_spend(J *j, uint64_t steps)
{
    uint64_t before = j->steps;
    j->steps += steps;
    if (j->steps > j->most_steps || j->steps < before)
        j_fail(j, BT_E_LIMIT, "the template takes more than %llu steps",
               (unsigned long long)j->most_steps);
    if (j->steps >> 14 != before >> 14 && os_seconds() > j->deadline)
        j_fail(j, BT_E_LIMIT, "the template takes too long");
}
