/* Writing a model in training as GGUF (see params.h): keys as they came, matrices in the type
 * asked, vectors float32. */
#include "base/mem.h"
#include "io/gguf_write.h"
#include "tensor/dtype.h"
#include "train/params.h"

#define CHUNK_FLOATS (1u << 18) /* written at a time */

typedef struct SaveTensor {
    const Param *param;
    const Kernels *kernels;
    uint32_t type;
} SaveTensor;

static bt_status write_tensor(void *user, int fd, bt_error *err)
{
    const SaveTensor *s = user;
    const Param *p = s->param;
    size_t k = (size_t)p->k, rows = p->n / k, some = CHUNK_FLOATS / k, done = 0;
    size_t row = (size_t)dtype_row_bytes(s->type, p->k > 0 ? (uint64_t)p->k : 0);
    some = some < 1 ? 1 : some > rows ? rows : some;
    unsigned char *out = mem_alloc(some * row);
    if (!out) return bt_fail_memory(err, p->name, some * row);
    bt_status status = BT_OK;
    while (done < rows && !status) {
        size_t n = rows - done < some ? rows - done : some;
        for (size_t r = 0; r < n; r++)
            s->kernels->from_f32(s->type, p->value + (done + r) * k, out + r * row, k);
        status = os_write_all(fd, out, n * row, err);
        done += n;
    }
    mem_free(out);
    return status;
}

/* Small tensors that every reader takes as float32. */
static bool stays_f32(const Param *p)
{
    return p->kind == PARAM_VECTOR || p->kind == PARAM_FROZEN || p->rows < 2 ||
           strstr(p->name, "ffn_gate_inp") || strstr(p->name, "_norm.weight");
}

static uint32_t type_of(const Param *p, uint32_t type)
{
    if (stays_f32(p)) return DT_F32;
    return type == DT_Q8_0 && p->k % 32 ? DT_F16 : type;
}

static uint32_t file_type(uint32_t type)
{
    return type == DT_F32 ? 0 : type == DT_F16 ? 1 : type == DT_Q8_0 ? 7 : 32;
}

bt_status params_save(const Params *p, uint32_t type, const char *path, bt_error *err)
{
    const Gguf *from = p->model->gguf;
    if (type != DT_F32 && type != DT_F16 && type != DT_BF16 && type != DT_Q8_0)
        return bt_fail(err, BT_E_ARGUMENT, "a trained model is written as F32, F16, BF16 or Q8_0");
    GgufWriter *w = gguf_writer_open();
    SaveTensor *tensors = mem_zalloc(p->n + 1, sizeof *tensors);
    bt_status status =
        w && tensors ? BT_OK : bt_fail_memory(err, "the file's header", p->n * sizeof *tensors);
    for (size_t i = 0; !status && i < gguf_n_keys(from); i++) gguf_put_copy(w, from, i);
    if (!status) gguf_put_u32(w, "general.file_type", file_type(type));
    for (size_t i = 0; !status && i < p->n; i++) {
        const GgufTensor *t = gguf_tensor(from, i);
        tensors[i] = (SaveTensor){&p->items[i], kernels_select(p->model->features),
                                  type_of(&p->items[i], type)};
        gguf_put_tensor_made(w, p->items[i].name, tensors[i].type, t->n_dims, t->ne, write_tensor,
                             &tensors[i]);
    }
    if (!status) status = gguf_writer_save(w, path, err);
    gguf_writer_close(&w);
    mem_free(tensors);
    return status;
}
