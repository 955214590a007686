/* A file or a folder to read weights from (see source.h). */
#include "quant/source.h"

#include <sys/stat.h>

#include "engine/folder.h"
#include "tensor/dtype.h"

bt_status source_open(const char *path, Source *out, bt_error *err)
{
    *out = (Source){0};
    if (!convert_is_folder(path)) return gguf_open(path, NULL, &out->index, err);
    bt_status status = folder_plan(path, NULL, &out->plan, err);
    if (!status) status = convert_view(out->plan, &out->index, err);
    if (status) source_close(out);
    return status;
}

void source_close(Source *s)
{
    gguf_close(&s->index); /* it borrows from the plan */
    convert_close(&s->plan);
}

const void *source_rows(const Source *s, size_t i, uint64_t row, uint64_t n, void *room,
                        bt_error *err)
{
    const GgufTensor *t = gguf_tensor(s->index, i);
    uint64_t row_bytes = dtype_row_bytes(t->type, t->ne[0]);
    if (t->data) return (const unsigned char *)t->data + row * row_bytes;
    return convert_rows(s->plan, i, row, n, room, err) ? NULL : room;
}

void source_let_go(const Source *s, size_t i, uint64_t row, uint64_t n)
{
    const GgufTensor *t = gguf_tensor(s->index, i);
    uint64_t row_bytes = dtype_row_bytes(t->type, t->ne[0]);
    if (s->plan && row + n == tensor_rows(t)) convert_let_go(s->plan, i);
    if (!s->plan)
        os_map_drop(gguf_part(s->index, t->part), t->offset + row * row_bytes, n * row_bytes);
}

bt_status source_check(const Source *s, bt_error *err)
{
    bt_status status = BT_OK;
    for (int i = 0; !s->plan && i < gguf_n_parts(s->index) && !status; i++)
        status = os_map_check(gguf_part(s->index, i), gguf_path(s->index), err);
    return status;
}

bool source_is(const Source *s, const char *path)
{
    struct stat at;
    if (stat(path, &at) != 0) return false;
    for (int i = 0; !s->plan && i < gguf_n_parts(s->index); i++) {
        const OsMap *map = gguf_part(s->index, i);
        if (map->device == (uint64_t)at.st_dev && map->inode == (uint64_t)at.st_ino) return true;
    }
    return false;
}
