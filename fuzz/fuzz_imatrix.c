/* Any bytes as an importance matrix, in either form: refused with one line, or opened so that every
 * weight is a number that errors can be multiplied by (see quant/imatrix.h). */
#include "fuzz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "quant/imatrix.h"

static void promise(bool kept)
{
    if (!kept) abort();
}

static void read_entry(const Imatrix *m, const ImatrixEntry *e)
{
    uint64_t each;
    promise(imatrix_find(m, e->name) == e && e->n > 0);
    promise(e->n_counts > 0 && e->n % e->n_counts == 0);
    promise(imatrix_weights(e, e->n, 1, &each) == e->mean && each == 0);
    for (uint64_t i = 0; i < e->n; i++) promise(isfinite(e->mean[i]) && e->mean[i] >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    Imatrix *m;
    bt_error err = {0};
    int64_t live = mem_live();
    uint8_t *data = mem_aligned(size, 8);
    if (!data) return 0;
    if (size) memcpy(data, bytes, size);
    if (imatrix_open_memory("fuzz", data, size, &m, &err)) {
        promise(!m && strncmp(err.text, "fuzz", 4) == 0 && !strchr(err.text, '\n'));
    } else {
        for (size_t i = 0; i < m->n; i++) read_entry(m, &m->entries[i]);
    }
    imatrix_close(&m);
    mem_free(data);
    promise(mem_live() == live);
    return 0;
}
