/* A growing byte buffer. A failed growth sticks (`failed`), so a writer checks once at the end. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "bantam/bantam.h"

typedef struct Buf {
    char *data; /* NUL-terminated whenever not NULL */
    size_t size, capacity;
    bool failed;
} Buf;

void buf_add(Buf *buf, const void *data, size_t size);
void buf_text(Buf *buf, const char *text);
void buf_char(Buf *buf, char c);
void buf_printf(Buf *buf, const char *format, ...) BT_PRINTF(2, 3);
void buf_clear(Buf *buf); /* size 0, memory kept, failure forgotten */
/* Hands over the memory (free with mem_free), NULL if it failed; the buffer is empty then. */
char *buf_take(Buf *buf);
void buf_close(Buf *buf);

#endif
