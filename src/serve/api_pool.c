/* Memory of one request: chunks that go together when the call is closed. */
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "serve/api_read.h"

enum { CHUNK = 8192, ALIGN = 16 };

typedef struct Chunk {
    struct Chunk *next;
    void *kept; /* of a buffer that was handed over; else NULL */
    size_t used, size;
} Chunk;

struct ApiPool {
    Chunk *chunks;
};

ApiPool *api_pool_open(void)
{
    return mem_zalloc(1, sizeof(ApiPool));
}

void api_pool_close(ApiPool **pool)
{
    if (!*pool) return;
    for (Chunk *c = (*pool)->chunks, *next; c; c = next) {
        next = c->next;
        mem_free(c->kept);
        mem_free(c);
    }
    mem_free(*pool);
    *pool = NULL;
}

static Chunk *chunk(ApiPool *pool, size_t size)
{
    Chunk *c = mem_zalloc(1, align_up(sizeof *c, ALIGN) + size);
    if (!c) return NULL;
    c->size = size;
    c->next = pool->chunks;
    pool->chunks = c;
    return c;
}

void *api_pool_take(ApiPool *pool, size_t count, size_t size)
{
    uint64_t bytes;
    if (!ck_mul(count, size, &bytes) || !ck_align(bytes, ALIGN, &bytes)) return NULL;
    Chunk *c = pool->chunks;
    if (!c || bytes > c->size - c->used) c = chunk(pool, bytes > CHUNK ? (size_t)bytes : CHUNK);
    if (!c) return NULL;
    char *at = (char *)c + align_up(sizeof *c, ALIGN) + c->used;
    c->used += (size_t)bytes;
    return at;
}

char *api_pool_text(ApiPool *pool, const char *text, size_t n)
{
    char *copy = api_pool_take(pool, n + 1, 1);
    if (copy && n) memcpy(copy, text, n);
    return copy;
}

char *api_pool_buf(ApiPool *pool, Buf *buf)
{
    if (!buf->data && !buf->failed) return api_pool_text(pool, "", 0);
    char *text = buf_take(buf);
    if (!text) return NULL;
    Chunk *c = chunk(pool, 0);
    if (!c) {
        mem_free(text);
        return NULL;
    }
    c->kept = text;
    return text;
}
