/* The plan carried out: streamed into a file, or laid into memory behind an index. */
#include "base/checked.h"
#include "base/mem.h"
#include "convert/plan.h"
#include "tensor/dtype.h"

#define CHUNK_BYTES (4u << 20) /* of float32 at a time */

static uint64_t rows_of(const ConvOut *o)
{
    return o->rows * o->mats * (o->made ? 1 : o->n_pieces);
}

/* Rows worked on at a time. */
static uint64_t chunk_rows(const ConvOut *o)
{
    uint64_t rows = CHUNK_BYTES / 4 / (o->cols ? o->cols : 1), all = rows_of(o);
    return rows < 1 ? 1 : rows > all ? all : rows;
}

/* A row of the result, one of the source, and what a column index reads from. */
static uint64_t work_floats(const ConvOut *o)
{
    return o->cols + o->src_cols + o->src_rows * (o->transposed ? 1 : 0) + 16;
}

/* What has been read need not stay in memory. */
static void let_go(const ConvOut *o)
{
    const Safetensors *st = o->plan->st;
    for (uint32_t i = 0; i < o->n_pieces && !o->made; i++) {
        const StTensor *t = o->pieces[i];
        os_map_drop(st_shard(st, t->shard), t->offset, t->bytes);
    }
}

static bt_status progress(Convert *c, uint64_t bytes, bt_error *err)
{
    const ConvertOptions *o = &c->options;
    c->bytes_done += bytes;
    if (o->progress && !o->progress(o->progress_user, "converting", c->bytes_done, c->bytes_all))
        return bt_fail(err, BT_E_CANCELLED, "cancelled while converting");
    return BT_OK;
}

/* A piece of experts is let go of as soon as the next begins. */
static void let_go_passed(const ConvOut *o, uint64_t before, uint64_t after)
{
    uint64_t each = o->rows * o->mats;
    if (o->made || o->n_pieces < 2) return;
    for (uint64_t p = before / each; p < after / each; p++) {
        const StTensor *t = o->pieces[p];
        os_map_drop(st_shard(o->plan->st, t->shard), t->offset, t->bytes);
    }
}

/* Pages that the chunk [row, row + n) of a tensor in order will not need again. */
static void let_go_rows(const ConvOut *o, uint64_t row, uint64_t n)
{
    const StTensor *t = o->made ? NULL : o->pieces[0];
    uint64_t all = rows_of(o);
    if (!t || o->n_pieces != 1 || o->row_of || o->transposed || o->row0 || !all) return;
    if (o->rows != o->src_rows) return;
    uint64_t each = t->bytes / all;
    os_map_drop(st_shard(o->plan->st, t->shard), t->offset + row * each, n * each);
}

static bt_status write_out(void *user, int fd, bt_error *err)
{
    ConvOut *o = user;
    uint64_t all = rows_of(o), n = chunk_rows(o), row_bytes = out_row_bytes(o);
    float *work = mem_alloc(work_floats(o) * sizeof(float));
    unsigned char *out = mem_aligned(n * row_bytes, 64);
    bt_status status = work && out ? BT_OK : bt_fail_memory(err, o->name, n * row_bytes);
    for (uint64_t row = 0; row < all && !status; row += n) {
        uint64_t now = all - row < n ? all - row : n;
        status = out_rows(o, row, now, out, work, err);
        if (!status) status = os_write_all(fd, out, now * row_bytes, err);
        if (!status) status = progress((Convert *)(uintptr_t)o->plan, now * row_bytes, err);
        let_go_passed(o, row, row + now);
        let_go_rows(o, row, now);
    }
    let_go(o);
    mem_free(work);
    mem_free(out);
    return status;
}

static void put_outs(Convert *c)
{
    for (size_t i = 0; i < c->n_outs && !c->put; i++) {
        ConvOut *o = c->outs[i];
        gguf_put_tensor_made(c->writer, o->name, o->type, o->n_dims, o->ne, write_out, o);
    }
    c->put = true;
}

static bt_status check_shards(const Convert *c, bt_error *err)
{
    bt_status status = BT_OK;
    for (int i = 0; c->st && i < st_n_shards(c->st) && !status; i++)
        status = os_map_check(st_shard(c->st, i), st_shard_path(c->st, i), err);
    return status;
}

bt_status convert_write(Convert *c, const char *path, bt_error *err)
{
    put_outs(c);
    c->bytes_done = 0;
    bt_status status = gguf_writer_save(c->writer, path, err);
    bt_status lost = status == BT_OK ? BT_OK : check_shards(c, NULL);
    return lost ? check_shards(c, err) : status;
}

/* ---- an index in memory ---- */

static bt_status make(Convert *c, ConvOut *o, GgufPlace *place, bt_error *err)
{
    const void *plain = o->made ? NULL : out_plain(o);
    if (plain) {
        const StTensor *t = o->pieces[0];
        place->data = plain;
        place->map = t->shard;
        place->offset = t->offset + (uint64_t)((const char *)plain - (const char *)t->data);
        return progress(c, out_bytes(o), err);
    }
    uint64_t all = rows_of(o), n = chunk_rows(o), row_bytes = out_row_bytes(o);
    c->err = err;
    unsigned char *out = plan_memory(c, all, row_bytes); /* 16-byte aligned, as all heap memory */
    float *work = mem_alloc(work_floats(o) * sizeof(float));
    c->err = NULL;
    bt_status status = out && work ? BT_OK : bt_fail_memory(err, o->name, all * row_bytes);
    for (uint64_t row = 0; row < all && !status; row += n) {
        uint64_t now = all - row < n ? all - row : n;
        status = out_rows(o, row, now, out + row * row_bytes, work, err);
        if (!status) status = progress(c, now * row_bytes, err);
    }
    let_go(o);
    mem_free(work);
    place->data = out;
    return status;
}

static void release(void *user)
{
    Convert *c = user;
    convert_close(&c);
}

bt_status convert_index(Convert **convert, bool no_data, Gguf **out, bt_error *err)
{
    Convert *c = *convert;
    int n_maps = c->st ? st_n_shards(c->st) : 0;
    GgufPlace *places = mem_zalloc(c->n_outs + 1, sizeof *places);
    const OsMap **maps = mem_zalloc((size_t)n_maps + 1, sizeof *maps);
    bt_status status = places && maps ? BT_OK : bt_fail_memory(err, "an index", c->n_outs);
    *out = NULL;
    *convert = NULL;
    for (size_t i = 0; places && i < c->n_outs && !status; i++) {
        places[i].map = -1;
        if (!no_data) status = make(c, c->outs[i], &places[i], err);
    }
    for (int i = 0; maps && i < n_maps && !status; i++) maps[i] = st_shard(c->st, i);
    if (!status) status = check_shards(c, err);
    if (status) {
        convert_close(&c);
    } else {
        put_outs(c);
        GgufIndexOf of = {c->folder, places, maps, n_maps, release, c};
        status = gguf_writer_index(c->writer, &of, out, err);
    }
    mem_free(places);
    mem_free(maps);
    return status;
}

bt_status convert_view(Convert *c, Gguf **out, bt_error *err)
{
    GgufPlace *places = mem_zalloc(c->n_outs + 1, sizeof *places);
    *out = NULL;
    if (!places) return bt_fail_memory(err, "an index", c->n_outs * sizeof *places);
    for (size_t i = 0; i < c->n_outs; i++) places[i] = (GgufPlace){c->outs[i]->made, -1, 0};
    put_outs(c);
    GgufIndexOf of = {.path = c->folder, .places = places};
    bt_status status = gguf_writer_index(c->writer, &of, out, err);
    mem_free(places);
    return status;
}

bt_status convert_rows(const Convert *c, size_t i, uint64_t row, uint64_t n, void *dst,
                       bt_error *err)
{
    const ConvOut *o = c->outs[i];
    float *work = mem_alloc(work_floats(o) * sizeof(float));
    if (!work) return bt_fail_memory(err, o->name, work_floats(o) * sizeof(float));
    uint64_t rows_each = o->cols ? o->ne[0] / o->cols : 1; /* a vector is a column in the plan */
    row *= rows_each;
    n *= rows_each;
    bt_status status = out_rows(o, row, n, dst, work, err);
    let_go_passed(o, row, row + n);
    let_go_rows(o, row, n);
    mem_free(work);
    return status;
}

void convert_let_go(const Convert *c, size_t i)
{
    let_go(c->outs[i]);
}
