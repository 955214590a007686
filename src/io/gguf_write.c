/* GGUF v3, written (see gguf_write.h). Keys are encoded as they come; tensors are remembered and
 * streamed from the caller's memory at the save, so a large model is never copied. What a reader of
 * ours would refuse (bad names, shapes that are no whole blocks, duplicates) is refused here. */
#include "io/gguf_write.h"

#include "base/buf.h"
#include "base/checked.h"
#include "base/mem.h"
#include "io/gguf_index.h"
#include "tensor/dtype.h"

typedef struct OutTensor {
    Span name; /* owned */
    uint32_t type, n_dims;
    uint64_t ne[GGUF_MAX_DIMS];
    const void *data;
    GgufTensorWrite write; /* in place of data */
    void *user;
    uint64_t bytes;
} OutTensor;

struct GgufWriter {
    Buf keys; /* encoded */
    Span *key_names;
    size_t n_keys, keys_capacity;
    OutTensor *tensors;
    size_t n_tensors, tensors_capacity;
    uint64_t alignment;
    bt_error error; /* the first failure; status BT_OK: none */
};

static void fail_memory(GgufWriter *w)
{
    if (!w->error.status) bt_fail_memory(&w->error, "a GGUF header", w->keys.size);
}

GgufWriter *gguf_writer_open(void)
{
    GgufWriter *w = mem_zalloc(1, sizeof *w);
    if (w) w->alignment = 32;
    return w;
}

void gguf_writer_close(GgufWriter **writer)
{
    GgufWriter *w = *writer;
    if (!w) return;
    for (size_t i = 0; i < w->n_keys; i++) mem_free((void *)(uintptr_t)w->key_names[i].data);
    for (size_t i = 0; i < w->n_tensors; i++) mem_free((void *)(uintptr_t)w->tensors[i].name.data);
    mem_free(w->key_names);
    mem_free(w->tensors);
    buf_close(&w->keys);
    mem_free(w);
    *writer = NULL;
}

/* Makes room for one more element of `size` bytes. */
static bool grow(GgufWriter *w, void **list, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) return true;
    size_t wanted = *capacity ? 2 * *capacity : 32;
    void *more = mem_realloc(*list, wanted * size);
    if (!more) {
        fail_memory(w);
        return false;
    }
    *list = more;
    *capacity = wanted;
    return true;
}

static bool copy_name(GgufWriter *w, const char *kind, Span name, uint64_t cap, Span *out)
{
    const char *fault = gguf_name_fault(name, cap);
    if (fault) {
        bt_fail(&w->error, BT_E_ARGUMENT, "%s '%.*s': %s", kind,
                (int)(name.size < 120 ? name.size : 120), name.data, fault);
        return false;
    }
    *out = (Span){mem_strndup(name.data, name.size), name.size};
    if (!out->data) fail_memory(w);
    return out->data != NULL;
}

static void add_u32(Buf *b, uint32_t value)
{
    buf_add(b, &value, 4);
}

static void add_u64(Buf *b, uint64_t value)
{
    buf_add(b, &value, 8);
}

static void add_string(Buf *b, Span text)
{
    add_u64(b, text.size);
    buf_add(b, text.data, text.size);
}

/* Starts a key: its name and type. False when the writer has failed already. */
static bool put_name(GgufWriter *w, Span key, uint32_t type)
{
    if (w->error.status) return false;
    void *list = w->key_names;
    bool room = grow(w, &list, w->n_keys, &w->keys_capacity, sizeof *w->key_names);
    w->key_names = list;
    if (!room) return false;
    if (!copy_name(w, "key", key, GGUF_MAX_KEY_LENGTH, &w->key_names[w->n_keys])) return false;
    w->n_keys++;
    add_string(&w->keys, key);
    add_u32(&w->keys, type);
    return true;
}

static void put_value(GgufWriter *w, const char *key, uint32_t type, const void *value)
{
    if (put_name(w, span_of(key), type)) buf_add(&w->keys, value, gguf_type_width(type));
}

static void set_alignment(GgufWriter *w, uint64_t value)
{
    if (w->error.status) return;
    if (value < GGUF_MIN_ALIGNMENT || value > GGUF_MAX_ALIGNMENT || (value & (value - 1)))
        bt_fail(&w->error, BT_E_ARGUMENT, "key 'general.alignment': %llu is no alignment",
                (unsigned long long)value);
    w->alignment = value;
}

void gguf_put_u32(GgufWriter *w, const char *key, uint32_t value)
{
    put_value(w, key, GGUF_U32, &value);
    if (strcmp(key, "general.alignment") == 0) set_alignment(w, value);
}

void gguf_put_i32(GgufWriter *w, const char *key, int32_t value)
{
    put_value(w, key, GGUF_I32, &value);
}

void gguf_put_u64(GgufWriter *w, const char *key, uint64_t value)
{
    put_value(w, key, GGUF_U64, &value);
}

void gguf_put_f32(GgufWriter *w, const char *key, float value)
{
    put_value(w, key, GGUF_F32, &value);
}

void gguf_put_bool(GgufWriter *w, const char *key, bool value)
{
    uint8_t byte = value;
    put_value(w, key, GGUF_BOOL, &byte);
}

void gguf_put_string(GgufWriter *w, const char *key, const char *value)
{
    if (put_name(w, span_of(key), GGUF_STRING)) add_string(&w->keys, span_of(value));
}

void gguf_put_span(GgufWriter *w, const char *key, Span value)
{
    if (put_name(w, span_of(key), GGUF_STRING)) add_string(&w->keys, value);
}

static bool put_array(GgufWriter *w, const char *key, uint32_t element, uint64_t count)
{
    if (!put_name(w, span_of(key), GGUF_ARRAY)) return false;
    add_u32(&w->keys, element);
    add_u64(&w->keys, count);
    return true;
}

void gguf_put_spans(GgufWriter *w, const char *key, const Span *values, uint64_t count)
{
    if (!put_array(w, key, GGUF_STRING, count)) return;
    for (uint64_t i = 0; i < count; i++) add_string(&w->keys, values[i]);
}

void gguf_put_bytes(GgufWriter *w, const char *key, Span value)
{
    if (put_array(w, key, GGUF_U8, value.size)) buf_add(&w->keys, value.data, value.size);
}

void gguf_put_i32s(GgufWriter *w, const char *key, const int32_t *values, uint64_t count)
{
    if (put_array(w, key, GGUF_I32, count)) buf_add(&w->keys, values, count * sizeof *values);
}

void gguf_put_bools(GgufWriter *w, const char *key, const bool *values, uint64_t count)
{
    if (!put_array(w, key, GGUF_BOOL, count)) return;
    for (uint64_t i = 0; i < count; i++) buf_char(&w->keys, values[i] ? 1 : 0);
}

void gguf_put_f32s(GgufWriter *w, const char *key, const float *values, uint64_t count)
{
    if (put_array(w, key, GGUF_F32, count)) buf_add(&w->keys, values, count * sizeof *values);
}

void gguf_put_copy(GgufWriter *w, const Gguf *from, size_t i)
{
    if (i >= from->parts[0].n_keys) return;
    const GgufKey *k = &from->parts[0].keys[i];
    if (k->name.size > 6 && memcmp(k->name.data, "split.", 6) == 0) return;
    if (!put_name(w, k->name, k->type)) return;
    if (k->type == GGUF_ARRAY) {
        add_u32(&w->keys, k->element);
        add_u64(&w->keys, k->count);
    }
    buf_add(&w->keys, k->value, k->bytes);
    if (span_is(k->name, "general.alignment")) set_alignment(w, from->parts[0].alignment);
}

/* Bytes of a tensor of this type and shape; false when there is none such. */
static bool tensor_bytes(const OutTensor *t, uint64_t *out)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->n_dims; i++)
        if (t->ne[i] == 0 || !ck_mul(n, t->ne[i], &n) || n > INT64_MAX) return false;
    const DTypeInfo *info = dtype_info(t->type);
    if (!info->name || t->ne[0] % (uint64_t)info->block) return false;
    return ck_mul(n / (uint64_t)info->block, (uint64_t)info->bytes, out);
}

static void put_tensor(GgufWriter *w, const char *name, OutTensor t, const uint64_t *ne)
{
    uint32_t type = t.type, n_dims = t.n_dims;
    if (w->error.status) return;
    if (n_dims >= 1 && n_dims <= GGUF_MAX_DIMS) memcpy(t.ne, ne, n_dims * sizeof *ne);
    if (n_dims < 1 || n_dims > GGUF_MAX_DIMS || !tensor_bytes(&t, &t.bytes)) {
        bt_fail(&w->error, BT_E_ARGUMENT, "tensor '%s': no such shape of type %u (%s)", name, type,
                dtype_name(type));
        return;
    }
    void *list = w->tensors;
    bool room = grow(w, &list, w->n_tensors, &w->tensors_capacity, sizeof *w->tensors);
    w->tensors = list;
    if (!room || !copy_name(w, "tensor", span_of(name), GGUF_MAX_NAME_LENGTH, &t.name)) return;
    w->tensors[w->n_tensors++] = t;
}

void gguf_put_tensor(GgufWriter *w, const char *name, uint32_t type, uint32_t n_dims,
                     const uint64_t *ne, const void *data)
{
    put_tensor(w, name, (OutTensor){.type = type, .n_dims = n_dims, .data = data}, ne);
}

void gguf_put_tensor_made(GgufWriter *w, const char *name, uint32_t type, uint32_t n_dims,
                          const uint64_t *ne, GgufTensorWrite write, void *user)
{
    put_tensor(w, name, (OutTensor){.type = type, .n_dims = n_dims, .write = write, .user = user},
               ne);
}

/* ---- saving ---- */

static bt_status check_names(const char *kind, const Span *names, size_t stride, size_t count,
                             uint64_t cap, bt_error *err)
{
    NameTable table;
    size_t twice = 0;
    if (count == 0) return BT_OK;
    if (count > cap)
        return bt_fail(err, BT_E_LIMIT, "%zu %ss, a GGUF may hold %llu", count, kind,
                       (unsigned long long)cap);
    bt_status status = name_table_build(&table, names, stride, count, &twice);
    name_table_close(&table);
    if (status == BT_E_FORMAT) {
        Span name;
        memcpy(&name, (const char *)names + twice * stride, sizeof name);
        return bt_fail(err, BT_E_ARGUMENT, "%s '%.*s' was put twice", kind, (int)name.size,
                       name.data);
    }
    return status ? bt_fail(err, status, "no memory to check the %ss", kind) : BT_OK;
}

static void add_padding(Buf *b, uint64_t alignment)
{
    while (!b->failed && (b->size & (alignment - 1))) buf_char(b, '\0');
}

static bt_status build_header(GgufWriter *w, Buf *head, const OutTensor *tensors, size_t n,
                              bt_error *err)
{
    uint64_t offset = 0;
    buf_text(head, "GGUF");
    add_u32(head, 3);
    add_u64(head, n);
    add_u64(head, w->n_keys);
    buf_add(head, w->keys.data, w->keys.size);
    for (size_t i = 0; i < n; i++) {
        const OutTensor *t = &tensors[i];
        add_string(head, t->name);
        add_u32(head, t->n_dims);
        buf_add(head, t->ne, t->n_dims * sizeof *t->ne);
        add_u32(head, t->type);
        add_u64(head, offset);
        if (!ck_add(offset, t->bytes, &offset) || !ck_align(offset, w->alignment, &offset))
            return bt_fail(err, BT_E_LIMIT, "the tensors are larger than 64 bits can count");
    }
    add_padding(head, w->alignment);
    return head->failed || w->keys.failed ? bt_fail_memory(err, "a GGUF header", w->keys.size)
                                          : BT_OK;
}

typedef struct SaveCall {
    const GgufWriter *writer;
    const Buf *head;
} SaveCall;

static bt_status write_file(void *user, int fd, bt_error *err)
{
    const SaveCall *call = user;
    const GgufWriter *w = call->writer;
    static const unsigned char zeros[GGUF_MAX_ALIGNMENT];
    bt_status status = os_write_all(fd, call->head->data, call->head->size, err);
    for (size_t i = 0; i < w->n_tensors && !status; i++) {
        const OutTensor *t = &w->tensors[i];
        status = t->write ? t->write(t->user, fd, err) : os_write_all(fd, t->data, t->bytes, err);
        uint64_t padding = -t->bytes & (w->alignment - 1);
        if (!status && padding) status = os_write_all(fd, zeros, padding, err);
    }
    return status;
}

/* What went wrong while keys and tensors were put, and whether any stands twice. */
static bt_status check_writer(GgufWriter *w, bt_error *err)
{
    if (!w->error.status && w->keys.failed) fail_memory(w);
    if (w->error.status) return bt_fail(err, w->error.status, "%s", w->error.text);
    bt_status status =
        check_names("key", w->key_names, sizeof *w->key_names, w->n_keys, GGUF_MAX_KEYS, err);
    if (!status)
        status = check_names("tensor", w->n_tensors ? &w->tensors[0].name : NULL,
                             sizeof *w->tensors, w->n_tensors, GGUF_MAX_TENSORS, err);
    return status;
}

bt_status gguf_writer_header(GgufWriter *w, uint64_t *bytes, bt_error *err)
{
    Buf head = {0};
    bt_status status = check_writer(w, err);
    if (!status) status = build_header(w, &head, w->tensors, w->n_tensors, err);
    *bytes = head.size;
    buf_close(&head);
    return status;
}

bt_status gguf_writer_save(GgufWriter *w, const char *path, bt_error *err)
{
    Buf head = {0};
    bt_status status = check_writer(w, err);
    if (!status) status = build_header(w, &head, w->tensors, w->n_tensors, err);
    if (status)
        bt_error_prefix(err, path);
    else
        status = os_replace_file(path, write_file, &(SaveCall){w, &head}, err);
    buf_close(&head);
    return status;
}

/* ---- an index without a file ---- */

static void index_tensor(const OutTensor *t, const GgufPlace *place, GgufTensor *out)
{
    *out = (GgufTensor){.name = t->name,
                        .type = t->type,
                        .n_dims = t->n_dims,
                        .data = place->data,
                        .bytes = t->bytes,
                        .offset = place->offset,
                        .part = place->map + 1};
    for (uint32_t i = 0; i < GGUF_MAX_DIMS; i++) out->ne[i] = i < t->n_dims ? t->ne[i] : 1;
}

bt_status gguf_writer_index(GgufWriter *w, const GgufIndexOf *of, Gguf **out, bt_error *err)
{
    Buf head = {0};
    Gguf *g = NULL;
    GgufTensor *tensors = NULL;
    bt_status status = check_writer(w, err);
    if (!status) status = build_header(w, &head, NULL, 0, err);
    if (!status && !(tensors = mem_zalloc(w->n_tensors + 1, sizeof *tensors)))
        status = bt_fail_memory(err, "an index", w->n_tensors * sizeof *tensors);
    for (size_t i = 0; tensors && i < w->n_tensors && !status; i++)
        index_tensor(&w->tensors[i], &of->places[i], &tensors[i]);
    if (!status) status = gguf_assemble(&head, of, &tensors, w->n_tensors, &g, err);
    if (status) bt_error_prefix(err, of->path);
    if (status && of->release) of->release(of->user);
    buf_close(&head);
    mem_free(tensors);
    *out = g;
    return status;
}
