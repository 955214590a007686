/* Growing byte buffer (see buf.h). */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"

static bool grow(Buf *buf, size_t more)
{
    uint64_t need;
    if (buf->failed || !ck_add(buf->size, more, &need) || !ck_add(need, 1, &need)) goto failed;
    if (buf->data && need <= buf->capacity) return true;
    uint64_t capacity = buf->capacity ? buf->capacity : 64;
    while (capacity < need)
        if (!ck_mul(capacity, 2, &capacity)) goto failed;
    char *data = mem_realloc(buf->data, capacity);
    if (!data) goto failed;
    buf->data = data;
    buf->capacity = capacity;
    return true;
failed:
    buf->failed = true;
    return false;
}

void buf_add(Buf *buf, const void *data, size_t size)
{
    if (!grow(buf, size)) return;
    if (size) memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    buf->data[buf->size] = '\0';
}

void buf_text(Buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_char(Buf *buf, char c)
{
    buf_add(buf, &c, 1);
}

void buf_printf(Buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    if (n < 0) {
        buf->failed = true;
    } else if (grow(buf, (size_t)n)) {
        vsnprintf(buf->data + buf->size, (size_t)n + 1, format, again);
        buf->size += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

void buf_clear(Buf *buf)
{
    buf->size = 0;
    buf->failed = false;
    if (buf->data) buf->data[0] = '\0';
}

char *buf_take(Buf *buf)
{
    if (!buf->failed && !buf->data) buf_add(buf, "", 0);
    char *data = buf->failed ? NULL : buf->data;
    if (buf->failed) mem_free(buf->data);
    *buf = (Buf){0};
    return data;
}

void buf_close(Buf *buf)
{
    mem_free(buf->data);
    *buf = (Buf){0};
}
