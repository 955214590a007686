/* Importance matrices in memory, and written (see imatrix.h). */
#include "quant/imatrix.h"

#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "io/gguf_write.h"
#include "tensor/dtype.h"

Imatrix *imatrix_new(void)
{
    return mem_zalloc(1, sizeof(Imatrix));
}

void imatrix_close(Imatrix **matrix)
{
    Imatrix *m = *matrix;
    if (!m) return;
    for (size_t i = 0; i < m->n; i++) {
        mem_free((void *)(uintptr_t)m->entries[i].name.data);
        mem_free(m->entries[i].mean);
        mem_free(m->entries[i].counts);
    }
    name_table_close(&m->names);
    mem_free(m->entries);
    mem_free(m->dataset);
    mem_free(m);
    *matrix = NULL;
}

const ImatrixEntry *imatrix_find(const Imatrix *m, Span name)
{
    int64_t i = name_table_find(&m->names, name);
    return i < 0 ? NULL : &m->entries[i];
}

const float *imatrix_weights(const ImatrixEntry *e, uint64_t k, uint64_t n_mats, uint64_t *each)
{
    *each = 0;
    if (k && e->n == k) return e->mean;
    if (!k || e->n % k || e->n / k != n_mats) return NULL;
    *each = k;
    return e->mean;
}

ImatrixEntry *imatrix_add(Imatrix *m, Span name, uint64_t n, uint64_t n_counts)
{
    if (m->n == m->capacity) {
        size_t wanted = m->capacity ? 2 * m->capacity : 64;
        ImatrixEntry *more = mem_realloc(m->entries, wanted * sizeof *more);
        if (!more) return NULL;
        m->entries = more;
        m->capacity = wanted;
    }
    ImatrixEntry *e = &m->entries[m->n++];
    *e = (ImatrixEntry){.n = n, .n_counts = n_counts};
    e->name = (Span){mem_strndup(name.data, name.size), name.size};
    e->mean = mem_zalloc(n, sizeof(float));
    e->counts = mem_zalloc(n_counts, sizeof(float));
    return e->name.data && e->mean && e->counts ? e : NULL;
}

/* A matrix that nothing met becomes all ones, and so does one that met only zeros: neither says
 * which column matters. */
bt_status imatrix_divide(ImatrixEntry *e, const char *path, bt_error *err)
{
    uint64_t each = e->n / e->n_counts;
    for (uint64_t c = 0; c < e->n_counts; c++) {
        float count = e->counts[c], most = 0, *mean = e->mean + c * each;
        bool good = isfinite(count) && count >= 0;
        for (uint64_t i = 0; i < each; i++) {
            good = good && mean[i] >= 0;
            mean[i] = count > 0 ? mean[i] / count : 0;
            good = good && isfinite(mean[i]);
            if (mean[i] > most) most = mean[i];
        }
        if (!good)
            return bt_fail(err, BT_E_FORMAT,
                           "%s: the numbers of '%.*s' are negative or none; make the file again",
                           path, (int)e->name.size, e->name.data);
        for (uint64_t i = 0; i < each && !(most > 0); i++) mean[i] = 1;
    }
    return BT_OK;
}

bt_status imatrix_index(Imatrix *m, const char *path, bt_error *err)
{
    size_t twice = 0;
    if (!m->n) return bt_fail(err, BT_E_FORMAT, "%s: an importance matrix without entries", path);
    bt_status status =
        name_table_build(&m->names, &m->entries[0].name, sizeof *m->entries, m->n, &twice);
    if (status == BT_E_FORMAT)
        return bt_fail(err, status, "%s: entry '%.*s' stands twice", path,
                       (int)m->entries[twice].name.size, m->entries[twice].name.data);
    return status ? bt_fail_memory(err, path, m->n * 8) : BT_OK;
}

/* ---- written ---- */

typedef struct Sums {
    const ImatrixEntry *e;
} Sums;

static bt_status write_sums(void *user, int fd, bt_error *err)
{
    const ImatrixEntry *e = ((const Sums *)user)->e;
    uint64_t each = e->n / e->n_counts;
    float *row = mem_alloc(each * sizeof *row);
    if (!row) return bt_fail_memory(err, "sums", each * sizeof *row);
    bt_status status = BT_OK;
    for (uint64_t c = 0; c < e->n_counts && !status; c++) {
        for (uint64_t i = 0; i < each; i++) row[i] = e->mean[c * each + i] * e->counts[c];
        status = os_write_all(fd, row, each * sizeof *row, err);
    }
    mem_free(row);
    return status;
}

static void put_entry(GgufWriter *w, const ImatrixEntry *e, Sums *sums)
{
    char name[GGUF_MAX_NAME_LENGTH + 16];
    const uint64_t sums_ne[] = {e->n / e->n_counts, e->n_counts}, counts_ne[] = {1, e->n_counts};
    sums->e = e;
    snprintf(name, sizeof name, "%.*s.in_sum2", (int)e->name.size, e->name.data);
    gguf_put_tensor_made(w, name, DT_F32, 2, sums_ne, write_sums, sums);
    snprintf(name, sizeof name, "%.*s.counts", (int)e->name.size, e->name.data);
    gguf_put_tensor(w, name, DT_F32, 2, counts_ne, e->counts);
}

bt_status imatrix_save(const Imatrix *m, const char *path, bt_error *err)
{
    GgufWriter *w = gguf_writer_open();
    Sums *sums = mem_zalloc(m->n + 1, sizeof *sums);
    bt_status status = w && sums ? BT_OK : bt_fail_memory(err, path, m->n * sizeof *sums);
    if (!status) {
        Span dataset = span_of(m->dataset ? m->dataset : "");
        gguf_put_string(w, "general.type", "imatrix");
        gguf_put_spans(w, "imatrix.datasets", &dataset, m->dataset ? 1 : 0);
        gguf_put_u32(w, "imatrix.chunk_count", m->chunks);
        gguf_put_u32(w, "imatrix.chunk_size", m->chunk_size);
        for (size_t i = 0; sums && i < m->n; i++) put_entry(w, &m->entries[i], &sums[i]);
        status = gguf_writer_save(w, path, err);
    }
    gguf_writer_close(&w);
    mem_free(sums);
    return status;
}
