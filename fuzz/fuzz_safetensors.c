/* Any bytes as a safetensors file: refused with one line, or opened so that everything the index
 * promises is true (see io/safetensors.h). A promise that does not hold aborts. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/safetensors.h"

static volatile unsigned touched; /* so that reads are not left out */

static void promise(bool kept)
{
    if (!kept) abort();
}

static void read_tensor(const Safetensors *st, size_t i, const uint8_t *data, size_t size)
{
    char shape[200];
    const StTensor *t = st_tensor(st, i);
    uint64_t n = 1;
    promise(t->n_dims <= ST_MAX_DIMS && t->name.size > 0 && t->name.size <= ST_MAX_NAME);
    promise(st_find(st, t->name) == t);
    for (uint32_t d = 0; d < t->n_dims; d++) n *= t->shape[d];
    promise(n * st_type_bytes(t->type) == t->bytes);
    promise(t->offset <= size && t->bytes <= size - t->offset && t->data == data + t->offset);
    promise(strlen(st_shape_text(t, shape, sizeof shape)) < sizeof shape);
    if (i > 0) { /* in the order of the data, without holes */
        const StTensor *before = st_tensor(st, i - 1);
        promise(before->offset + before->bytes == t->offset);
    }
    if (t->bytes)
        touched += ((const uint8_t *)t->data)[0] + ((const uint8_t *)t->data)[t->bytes - 1];
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    Safetensors *st;
    bt_error err = {0};
    int64_t live = mem_live();
    uint8_t *data = mem_alloc(size); /* exact */
    if (!data) return 0;
    if (size) memcpy(data, bytes, size);
    if (st_open_memory(data, size, "fuzz", &st, &err)) {
        promise(!st && strncmp(err.text, "fuzz: ", 6) == 0 && !strchr(err.text, '\n'));
    } else {
        promise(st_n_tensors(st) > 0);
        for (size_t i = 0; i < st_n_tensors(st); i++) read_tensor(st, i, data, size);
        st_close(&st);
    }
    mem_free(data);
    promise(mem_live() == live);
    return 0;
}
