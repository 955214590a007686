/* The tensor table of one GGUF file: names, shapes, types and places, checked so that afterwards
 * each tensor is known to be whole, aligned, inside the file and its own. */
#include <stdlib.h>

#include "base/checked.h"
#include "base/mem.h"
#include "io/gguf_index.h"
#include "tensor/dtype.h"

#define AGAIN "the file is damaged, fetch or convert it again"

typedef struct Table {
    GgufFile *file;
    bt_error *err;
    uint64_t at, entry; /* where we read; where this tensor's row starts */
    Span name;
} Table;

static bool take(Table *t, void *out, uint64_t size)
{
    if (!ck_inside(t->at, size, t->file->map.size)) return false;
    memcpy(out, t->file->map.data + t->at, size);
    t->at += size;
    return true;
}

static bt_status cut_short(Table *t)
{
    return gguf_bad(
        t->file, t->err, "tensor", t->name, t->entry,
        "the file ends inside its entry, at %llu bytes: it is cut short, fetch it again",
        (unsigned long long)t->file->map.size);
}

static bt_status read_name(Table *t, GgufTensor *tensor)
{
    uint64_t length;
    t->entry = t->at;
    t->name = (Span){0};
    if (!take(t, &length, 8)) return cut_short(t);
    if (length > GGUF_MAX_NAME_LENGTH)
        return gguf_bad(t->file, t->err, "tensor", t->name, t->entry,
                        "its name has %llu bytes (at most %u); " AGAIN, (unsigned long long)length,
                        GGUF_MAX_NAME_LENGTH);
    if (!ck_inside(t->at, length, t->file->map.size)) return cut_short(t);
    tensor->name = (Span){(const char *)t->file->map.data + t->at, length};
    const char *fault = gguf_name_fault(tensor->name, GGUF_MAX_NAME_LENGTH);
    if (fault) return gguf_bad(t->file, t->err, "tensor", t->name, t->entry, "%s; " AGAIN, fault);
    t->name = tensor->name;
    t->at += length;
    return BT_OK;
}

/* Types that existed once: the number alone would not help anyone. */
static bt_status type_refused(Table *t, uint32_t type)
{
    if (type == 4 || type == 5 || (type >= 31 && type <= 33) || (type >= 36 && type <= 38))
        return gguf_bad(t->file, t->err, "tensor", t->name, t->entry,
                        "type %u was withdrawn from GGUF; fetch a file made after 2024", type);
    return gguf_bad(t->file, t->err, "tensor", t->name, t->entry,
                    "type %u is unknown; fetch the model in another type, or a newer Bantam", type);
}

static bt_status read_shape(Table *t, GgufTensor *tensor)
{
    if (!take(t, &tensor->n_dims, 4)) return cut_short(t);
    if (tensor->n_dims < 1 || tensor->n_dims > GGUF_MAX_DIMS)
        return gguf_bad(t->file, t->err, "tensor", t->name, t->entry,
                        "%u dimensions (1 to %d are allowed); " AGAIN, tensor->n_dims,
                        GGUF_MAX_DIMS);
    uint64_t n = 1;
    for (uint32_t i = 0; i < GGUF_MAX_DIMS; i++) {
        tensor->ne[i] = 1;
        if (i >= tensor->n_dims) continue;
        if (!take(t, &tensor->ne[i], 8)) return cut_short(t);
        if (tensor->ne[i] == 0)
            return gguf_bad(t->file, t->err, "tensor", t->name, t->entry,
                            "dimension %u is 0; " AGAIN, i);
        if (!ck_mul(n, tensor->ne[i], &n) || n > INT64_MAX)
            return gguf_bad(t->file, t->err, "tensor", t->name, t->entry,
                            "more elements than 63 bits can count; " AGAIN);
    }
    if (!take(t, &tensor->type, 4) || !take(t, &tensor->offset, 8)) return cut_short(t);
    if (!dtype_known(tensor->type)) return type_refused(t, tensor->type);
    const DTypeInfo *info = dtype_info(tensor->type);
    if (tensor->ne[0] % (uint64_t)info->block)
        return gguf_bad(t->file, t->err, "tensor", t->name, t->entry,
                        "rows of %llu elements, but blocks of %s hold %d; " AGAIN,
                        (unsigned long long)tensor->ne[0], info->name, info->block);
    if (!ck_mul(n / (uint64_t)info->block, (uint64_t)info->bytes, &tensor->bytes))
        return gguf_bad(t->file, t->err, "tensor", t->name, t->entry,
                        "more bytes than 64 bits can count; " AGAIN);
    return BT_OK;
}

/* Turns offsets in the data section, which starts at `start`, into places in the file. */
static bt_status place(GgufFile *f, GgufTensor *tensor, uint64_t start, bt_error *err)
{
    uint64_t size = f->map.size, offset = tensor->offset, end;
    if (offset & (f->alignment - 1))
        return gguf_bad(f, err, "tensor", tensor->name, offset,
                        "its data is not aligned to %llu bytes; " AGAIN,
                        (unsigned long long)f->alignment);
    if (!ck_add(start, offset, &tensor->offset) || !ck_add(tensor->offset, tensor->bytes, &end) ||
        end > size)
        return gguf_bad(
            f, err, "tensor", tensor->name, tensor->offset,
            "its %llu bytes of data end outside the file (%llu bytes): it is cut short, "
            "fetch it again",
            (unsigned long long)tensor->bytes, (unsigned long long)size);
    tensor->data = f->map.data + tensor->offset;
    return BT_OK;
}

typedef struct Extent {
    uint64_t begin, end;
    size_t tensor;
} Extent;

static int by_begin(const void *a, const void *b)
{
    const Extent *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static bt_status check_overlap(GgufFile *f, bt_error *err)
{
    Extent *list = mem_zalloc(f->n_tensors, sizeof *list);
    if (!list) return bt_fail_memory(err, f->shown, f->n_tensors * sizeof *list);
    bool sorted = true;
    for (size_t i = 0; i < f->n_tensors; i++) {
        const GgufTensor *t = &f->tensors[i];
        list[i] = (Extent){t->offset, t->offset + t->bytes, i};
        if (i && list[i].begin < list[i - 1].begin) sorted = false;
    }
    if (!sorted) qsort(list, f->n_tensors, sizeof *list, by_begin);
    bt_status status = BT_OK;
    for (size_t i = 1; i < f->n_tensors && !status; i++) {
        if (list[i].begin >= list[i - 1].end) continue;
        const GgufTensor *a = &f->tensors[list[i - 1].tensor], *b = &f->tensors[list[i].tensor];
        status = gguf_bad(f, err, "tensor", b->name, b->offset, "overlaps tensor '%.*s'; " AGAIN,
                          (int)a->name.size, a->name.data);
    }
    mem_free(list);
    return status;
}

bt_status gguf_parse_tensors(GgufFile *f, uint64_t at, uint64_t count, bt_error *err)
{
    Table t = {.file = f, .err = err, .at = at};
    uint64_t start;
    f->tensors = mem_zalloc(count ? count : 1, sizeof *f->tensors);
    if (!f->tensors) return bt_fail_memory(err, f->shown, count * sizeof *f->tensors);
    for (f->n_tensors = 0; f->n_tensors < count; f->n_tensors++) {
        GgufTensor *tensor = &f->tensors[f->n_tensors];
        bt_status status = read_name(&t, tensor);
        if (!status) status = read_shape(&t, tensor);
        if (status) return status;
    }
    if (!ck_align(t.at, f->alignment, &start))
        return bt_fail(err, BT_E_FORMAT, "%s: the header is too long; " AGAIN, f->shown);
    for (size_t i = 0; i < f->n_tensors; i++) {
        bt_status status = place(f, &f->tensors[i], start, err);
        if (status) return status;
    }
    return check_overlap(f, err);
}
