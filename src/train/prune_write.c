/* Writing what is left of a model (see prune.h), a tensor at a time. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/kernels.h"
#include "tensor/dtype.h"
#include "train/prune_parts.h"

typedef struct CutTensor {
    const GgufTensor *from;
    const Cut *cut;
    const CutPart *part; /* NULL: copied */
    int32_t layer;
    uint32_t type; /* that is written */
} CutTensor;

static bool is_float(uint32_t type)
{
    return type == DT_F32 || type == DT_F16 || type == DT_BF16;
}

static const int32_t *kept(const Cut *c, CutUnit unit, int32_t layer, int32_t *n)
{
    *n = unit == CUT_CHANNEL ? c->keep.ff : c->keep.kv_heads;
    return unit == CUT_CHANNEL ? c->channels + (size_t)layer * (size_t)c->keep.ff
                               : c->kv + (size_t)layer * (size_t)c->keep.kv_heads;
}

/* Rows (of a vector: numbers) of the units that are kept, as they are. */
static bt_status write_rows(const CutTensor *t, int fd, bt_error *err)
{
    const GgufTensor *from = t->from;
    CutUnit unit = t->part->unit;
    int32_t n;
    const int32_t *keep = kept(t->cut, unit, t->layer, &n);
    size_t row = from->n_dims == 1 ? (size_t)dtype_row_bytes(from->type, 1)
                                   : (size_t)dtype_row_bytes(from->type, from->ne[0]);
    size_t bytes = row * (size_t)cut_unit(t->cut, unit);
    bt_status status = BT_OK;
    for (int32_t i = 0; i < n && !status; i++)
        status = os_write_all(fd, (const unsigned char *)from->data + (size_t)keep[i] * bytes,
                              bytes, err);
    return status;
}

static bt_status write_columns(const CutTensor *t, int fd, bt_error *err)
{
    const GgufTensor *from = t->from;
    CutUnit unit = t->part->unit;
    int32_t n;
    const int32_t *keep = kept(t->cut, unit, t->layer, &n);
    size_t size = (size_t)cut_unit(t->cut, unit), k = (size_t)n * size;
    size_t bytes = (size_t)dtype_row_bytes(t->type, k);
    float *row = mem_alloc((size_t)from->ne[0] * sizeof *row);
    float *less = mem_alloc(k * sizeof *less);
    unsigned char *out = mem_alloc(bytes);
    bt_status status =
        row && less && out ? BT_OK : bt_fail_memory(err, "a matrix", from->ne[0] * sizeof *row);
    for (uint64_t r = 0; r < from->ne[1] && !status; r++) {
        const unsigned char *at =
            (const unsigned char *)from->data + r * dtype_row_bytes(from->type, from->ne[0]);
        if (!dequant_row(from->type, at, row, (size_t)from->ne[0]))
            status = bt_fail(err, BT_E_UNSUPPORTED, "a matrix of type %s cannot be read",
                             dtype_name(from->type));
        for (int32_t i = 0; i < n; i++)
            memcpy(less + (size_t)i * size, row + (size_t)keep[i] * size, size * sizeof *row);
        kernels_select(0)->from_f32(t->type, less, out, k);
        if (!status) status = os_write_all(fd, out, bytes, err);
    }
    mem_free(row);
    mem_free(less);
    mem_free(out);
    return status;
}

static bt_status write_tensor(void *user, int fd, bt_error *err)
{
    const CutTensor *t = user;
    if (!t->part || t->part->axis == CUT_NONE)
        return os_write_all(fd, t->from->data, t->from->bytes, err);
    bool rows = t->part->axis == CUT_ROWS;
    return rows ? write_rows(t, fd, err) : write_columns(t, fd, err);
}

void cut_put_keys(GgufWriter *w, const Gguf *g, const Cut *c)
{
    static const char *const changed[] = {"block_count",          "feed_forward_length",
                                          "attention.head_count", "attention.head_count_kv",
                                          "attention.key_length", "attention.value_length",
                                          "rope.dimension_count"};
    CutSizes s;
    char name[160];
    int32_t rope = c->head_dim, value = c->head_dim;
    cut_sizes(g, &s, NULL);
    cut_key(g, &s, "rope.dimension_count", false, &rope, NULL);
    cut_key(g, &s, "attention.value_length", false, &value, NULL);
    const int32_t values[] = {c->keep.layers,
                              c->keep.ff,
                              c->keep.kv_heads * (c->heads / c->kv_heads),
                              c->keep.kv_heads,
                              c->head_dim,
                              value,
                              rope};
    for (size_t i = 0; i < gguf_n_keys(g); i++) {
        bool own = false;
        for (int j = 0; j < 7; j++) {
            snprintf(name, sizeof name, "%s.%s", s.arch, changed[j]);
            own |= span_is(gguf_key_name(g, i), name);
        }
        if (!own) gguf_put_copy(w, g, i);
    }
    for (int j = 0; j < 7; j++) {
        snprintf(name, sizeof name, "%s.%s", s.arch, changed[j]);
        gguf_put_u32(w, name, (uint32_t)values[j]);
    }
}

bool cut_name(const Cut *c, const GgufTensor *t, char out[256], const CutPart **part,
              int32_t *layer)
{
    size_t rest;
    int32_t at = 0;
    *layer = gguf_layer(t->name, &rest);
    *part = *layer < 0 ? NULL : cut_part(t->name, rest);
    snprintf(out, 256, "%.*s", (int)t->name.size, t->name.data);
    if (*layer < 0) return true;
    if (*layer >= c->layers || !c->keeps_layer[*layer]) return false;
    for (int32_t l = 0; l < *layer; l++) at += c->keeps_layer[l];
    snprintf(out, 256, "blk.%d.%.*s", (int)at, (int)(t->name.size - rest), t->name.data + rest);
    return true;
}

static void put_tensor(GgufWriter *w, const Cut *c, CutTensor *t, const char *name)
{
    uint64_t ne[GGUF_MAX_DIMS];
    int32_t n;
    memcpy(ne, t->from->ne, sizeof ne);
    t->type = t->from->type;
    if (t->part && t->part->axis != CUT_NONE) {
        CutUnit unit = t->part->unit;
        bool columns = t->part->axis == CUT_COLUMNS;
        kept(c, unit, t->layer, &n);
        ne[columns || t->from->n_dims == 1 ? 0 : 1] = (uint64_t)(n * cut_unit(c, unit));
        if (columns && !is_float(t->type)) t->type = DT_BF16;
    }
    gguf_put_tensor_made(w, name, t->type, t->from->n_dims, ne, write_tensor, t);
}

bt_status prune_write(const Gguf *g, const Cut *c, const char *path, bt_error *err)
{
    size_t n = gguf_n_tensors(g);
    GgufWriter *w = gguf_writer_open();
    CutTensor *tensors = mem_zalloc(n + 1, sizeof *tensors);
    char name[256];
    bt_status status = w && tensors ? BT_OK : bt_fail_memory(err, path, n * sizeof *tensors);
    if (!status) cut_put_keys(w, g, c);
    for (size_t i = 0; i < n && !status; i++) {
        CutTensor *t = &tensors[i];
        *t = (CutTensor){.from = gguf_tensor(g, i), .cut = c};
        if (cut_name(c, t->from, name, &t->part, &t->layer)) put_tensor(w, c, t, name);
    }
    if (!status) status = gguf_writer_save(w, path, err);
    gguf_writer_close(&w);
    mem_free(tensors);
    return status;
}
