/* Any bytes as a GGUF file: refused with one line, or opened so that everything the index promises
 * is true (see io/gguf.h). A promise that does not hold aborts. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/gguf_index.h"
#include "tensor/dtype.h"

static volatile unsigned touched; /* so that reads are not left out */

static void promise(bool kept)
{
    if (!kept) abort();
}

/* A name as a C string; names hold no NUL, or the reader would have refused them. */
static const char *text_of(Span name, char *out, size_t room)
{
    promise(name.size > 0 && name.size < room);
    memcpy(out, name.data, name.size);
    out[name.size] = '\0';
    promise(strlen(out) == name.size);
    return out;
}

static void read_key(const Gguf *g, size_t i)
{
    static Span spans[4096];
    static int32_t ints[4096];
    static float floats[4096];
    char name[GGUF_MAX_KEY_LENGTH + 1], shown[80];
    uint32_t u;
    int32_t n;
    float f;
    bool b;
    Span s;
    uint64_t count;
    bt_error err;
    const char *key = text_of(gguf_key_name(g, i), name, sizeof name);
    promise(gguf_find_key(g, key) == (int64_t)i);
    promise(strlen(gguf_key_print(g, i, shown, sizeof shown)) < sizeof shown);
    gguf_get_u32(g, key, true, &u, &err);
    gguf_get_i32(g, key, true, &n, &err);
    gguf_get_f32(g, key, true, &f, &err);
    if (gguf_get_bool(g, key, true, &b, &err) == BT_OK) promise(gguf_key_type(g, i) == GGUF_BOOL);
    if (gguf_get_span(g, key, true, &s, &err) == BT_OK && s.size)
        touched += (uint8_t)s.data[0] + (uint8_t)s.data[s.size - 1];
    gguf_get_i32s(g, key, true, ints, 4096, &count, &err);
    gguf_get_f32s(g, key, true, floats, 4096, &count, &err);
    count = gguf_array_count(g, i);
    if (count > 4096 || gguf_get_spans(g, key, spans, count, &err)) return;
    for (uint64_t k = 0; k < count; k++)
        if (spans[k].size) touched += (uint8_t)spans[k].data[spans[k].size - 1];
}

static void read_tensor(const Gguf *g, size_t i, const uint8_t *data, size_t size)
{
    char name[GGUF_MAX_NAME_LENGTH + 1];
    const GgufTensor *t = gguf_tensor(g, i);
    promise(gguf_find_tensor(g, text_of(t->name, name, sizeof name)) == t);
    promise(dtype_known(t->type) && t->n_dims >= 1 && t->n_dims <= GGUF_MAX_DIMS);
    promise(t->bytes > 0 && t->bytes <= size && t->offset <= size - t->bytes);
    promise(t->data == data + t->offset && (uintptr_t)t->data % 8 == 0);
    const uint64_t *ne = t->ne;
    promise(dtype_row_bytes(t->type, ne[0]) * ne[1] * ne[2] * ne[3] == t->bytes);
    for (size_t k = 0; k < i; k++) {
        const GgufTensor *o = gguf_tensor(g, k);
        promise(o->offset + o->bytes <= t->offset || t->offset + t->bytes <= o->offset);
        if (i > 200) break; /* quadratic; the first two hundred tell */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    Gguf *g;
    bt_error err = {0};
    int64_t live = mem_live();
    uint8_t *data = mem_alloc(size); /* aligned, exact */
    if (!data) return 0;
    if (size) memcpy(data, bytes, size);
    if (gguf_open_memory(size ? data : NULL, size, "fuzz", &g, &err)) {
        promise(!g && strncmp(err.text, "fuzz: ", 6) == 0 && !strchr(err.text, '\n'));
    } else {
        for (size_t i = 0; i < gguf_n_keys(g); i++) read_key(g, i);
        for (size_t i = 0; i < gguf_n_tensors(g); i++) read_tensor(g, i, data, size);
        gguf_close(&g);
    }
    mem_free(data);
    promise(mem_live() == live);
    return 0;
}
