/* Writing safetensors (see safetensors_write.h). */
#include "io/safetensors_write.h"

#include "base/buf.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "tensor/dtype.h"

#define SAFE "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
enum { RUN = 16384 }; /* floats at a time */

typedef struct Writing {
    const StOut *tensors;
    size_t n;
    Buf head;
} Writing;

static uint64_t numbers(const StOut *t)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) n *= t->shape[i];
    return n;
}

/* The header, filled up with blanks to a multiple of 8. */
static void make_head(Writing *w)
{
    uint64_t at = 0;
    buf_text(&w->head, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < w->n; i++) {
        const StOut *t = &w->tensors[i];
        uint64_t end = at + numbers(t) * st_type_bytes(t->type);
        buf_printf(&w->head, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name,
                   st_type_name(t->type));
        for (uint32_t d = 0; d < t->n_dims; d++)
            buf_printf(&w->head, "%s%llu", d ? "," : "", (unsigned long long)t->shape[d]);
        buf_printf(&w->head, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
                   (unsigned long long)end);
        at = end;
    }
    buf_char(&w->head, '}');
    while (w->head.size % 8 && !w->head.failed) buf_char(&w->head, ' ');
}

static bt_status write_values(const StOut *t, int fd, unsigned char *room, bt_error *err)
{
    const Kernels *k = kernels_select(0);
    uint32_t type = t->type == ST_F16 ? DT_F16 : t->type == ST_BF16 ? DT_BF16 : DT_F32;
    bt_status status = BT_OK;
    for (uint64_t done = 0, n = numbers(t); done < n && !status; done += RUN) {
        size_t some = n - done < RUN ? (size_t)(n - done) : RUN;
        k->from_f32(type, t->data + done, room, some);
        status = os_write_all(fd, room, some * st_type_bytes(t->type), err);
    }
    return status;
}

static bt_status write_file(void *user, int fd, bt_error *err)
{
    Writing *w = user;
    unsigned char length[8], *room = mem_alloc(RUN * sizeof(float));
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)w->head.size >> 8 * i);
    if (!room) return bt_fail_memory(err, "a file", RUN * sizeof(float));
    bt_status status = os_write_all(fd, length, sizeof length, err);
    if (!status) status = os_write_all(fd, w->head.data, w->head.size, err);
    for (size_t i = 0; i < w->n && !status; i++)
        status = write_values(&w->tensors[i], fd, room, err);
    mem_free(room);
    return status;
}

bt_status st_write(const char *path, const StOut *tensors, size_t n, bt_error *err)
{
    Writing w = {.tensors = tensors, .n = n};
    for (size_t i = 0; i < n; i++) {
        const StOut *t = &tensors[i];
        bool float_type = t->type == ST_F32 || t->type == ST_F16 || t->type == ST_BF16;
        if (t->n_dims > ST_MAX_DIMS || !float_type || !*t->name || t->name[strspn(t->name, SAFE)] ||
            strlen(t->name) > ST_MAX_NAME)
            return bt_fail(err, BT_E_ARGUMENT, "%s: tensor '%s' cannot be written", path, t->name);
    }
    make_head(&w);
    bt_status status = w.head.failed || w.head.size > ST_MAX_HEADER
                           ? bt_fail_memory(err, "a header", w.head.size)
                           : os_replace_file(path, write_file, &w, err);
    buf_close(&w.head);
    return status;
}
