/* The GGUF file of an adapter, read and written (see lora.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "io/gguf_write.h"
#include "io/lora.h"
#include "kernels/kernels.h"
#include "tensor/dtype.h"

#define AGAIN "the file is damaged, or of another kind"

static const char *const ends[] = {".lora_a", ".lora_b", ".lora_magnitude"};
enum { END_A, END_B, END_MAGNITUDE, N_ENDS };

/* ---- reading ---- */

/* Which of a pair it is; -1: neither. *base: the name before. */
static int end_of(Span name, Span *base)
{
    for (int i = 0; i < N_ENDS; i++) {
        size_t n = strlen(ends[i]);
        if (name.size <= n || memcmp(name.data + name.size - n, ends[i], n) != 0) continue;
        *base = (Span){name.data, name.size - n};
        return i;
    }
    return -1;
}

static const GgufTensor *beside(const Gguf *g, Span base, int end)
{
    char name[LORA_NAME + 24];
    snprintf(name, sizeof name, "%.*s%s", (int)base.size, base.data, ends[end]);
    return gguf_find_tensor(g, name);
}

static bool is_embedding(const char *name)
{
    return strcmp(name, LORA_EMBEDDING) == 0;
}

/* Sizes of the pair. The embedding's halves stand the other way round. */
static bt_status read_sizes(const Gguf *g, const GgufTensor *a, const GgufTensor *b, LoraMatrix *m,
                            bt_error *err)
{
    bool turned = is_embedding(m->name);
    uint64_t rank = turned ? a->ne[0] : a->ne[1];
    bool fit = a->ne[2] == b->ne[2] && a->ne[3] == 1 && b->ne[3] == 1 && b->ne[0] == rank &&
               rank >= 1 && rank <= LORA_MOST_RANK && a->ne[0] <= LORA_MOST_WIDTH &&
               a->ne[1] <= LORA_MOST_WIDTH && b->ne[1] <= LORA_MOST_WIDTH &&
               a->ne[2] <= LORA_MOST_MATS && a->ne[0] && b->ne[1] && a->ne[2] &&
               (!turned || a->ne[2] == 1);
    if (!fit)
        return bt_fail(err, BT_E_FORMAT,
                       "%s: the adapter's halves of '%s' are %llu x %llu x %llu and %llu x %llu x "
                       "%llu, which do not fit each other; " AGAIN,
                       gguf_path(g), m->name, (unsigned long long)a->ne[0],
                       (unsigned long long)a->ne[1], (unsigned long long)a->ne[2],
                       (unsigned long long)b->ne[0], (unsigned long long)b->ne[1],
                       (unsigned long long)b->ne[2]);
    m->rank = (int32_t)rank;
    m->k = (int64_t)(turned ? b->ne[1] : a->ne[0]);
    m->n = (int64_t)(turned ? a->ne[1] : b->ne[1]);
    m->n_mats = (int64_t)a->ne[2];
    return BT_OK;
}

static bt_status read_floats(const Gguf *g, const GgufTensor *t, float *out, bt_error *err)
{
    uint64_t rows = t->ne[1] * t->ne[2] * t->ne[3], bytes = dtype_row_bytes(t->type, t->ne[0]);
    for (uint64_t r = 0; r < rows; r++)
        if (!t->data || !dequant_row(t->type, (const char *)t->data + r * bytes, out + r * t->ne[0],
                                     (size_t)t->ne[0]))
            return bt_fail(err, BT_E_UNSUPPORTED,
                           "%s: tensor '%.*s' is of type %s; adapters are read in F32, F16, BF16 "
                           "and the block types",
                           gguf_path(g), (int)t->name.size, t->name.data, dtype_name(t->type));
    return BT_OK;
}

/* (rows, cols) to (cols, rows). */
static void turn(const float *from, int64_t rows, int64_t cols, float *to)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) to[c * rows + r] = from[r * cols + c];
}

static bt_status read_values(const Gguf *g, const GgufTensor *a, const GgufTensor *b,
                             const GgufTensor *magnitude, LoraMatrix *m, bt_error *err)
{
    bt_status status;
    if (is_embedding(m->name)) {
        float *half = mem_alloc((size_t)(m->k * m->rank) * sizeof *half);
        if (!half) return bt_fail_memory(err, "an adapter", (uint64_t)(m->k * m->rank) * 4);
        status = read_floats(g, a, m->b, err);
        if (!status) status = read_floats(g, b, half, err);
        if (!status) turn(half, m->k, m->rank, m->a);
        mem_free(half);
    } else {
        status = read_floats(g, a, m->a, err);
        if (!status) status = read_floats(g, b, m->b, err);
    }
    if (!status && magnitude) status = read_floats(g, magnitude, m->magnitude, err);
    return status ? status : lora_check(m, gguf_path(g), err);
}

static bt_status no_pair(const Gguf *g, Span base, const char *what, bt_error *err)
{
    return bt_fail(err, BT_E_FORMAT, "%s: tensor '%.*s%s' is missing; " AGAIN, gguf_path(g),
                   (int)base.size, base.data, what);
}

static bt_status read_pair(const Gguf *g, Span base, float alpha, Lora *l, bt_error *err)
{
    const GgufTensor *a = beside(g, base, END_A), *b = beside(g, base, END_B);
    const GgufTensor *magnitude = beside(g, base, END_MAGNITUDE);
    LoraMatrix sizes = {.rank = 0};
    if (base.size >= LORA_NAME)
        return bt_fail(err, BT_E_FORMAT, "%s: a tensor's name has %zu bytes; at most %d are read",
                       gguf_path(g), base.size, LORA_NAME - 1);
    if (!a || !b) return no_pair(g, base, ends[a ? END_B : END_A], err);
    snprintf(sizes.name, sizeof sizes.name, "%.*s", (int)base.size, base.data);
    bt_status status = read_sizes(g, a, b, &sizes, err);
    if (status) return status;
    if (magnitude &&
        (magnitude->ne[0] != (uint64_t)sizes.n || magnitude->ne[1] != (uint64_t)sizes.n_mats ||
         magnitude->ne[2] != 1 || magnitude->ne[3] != 1))
        return bt_fail(
            err, BT_E_FORMAT, "%s: '%s%s' has %llu x %llu numbers for %lld x %lld rows; " AGAIN,
            gguf_path(g), sizes.name, ends[END_MAGNITUDE], (unsigned long long)magnitude->ne[0],
            (unsigned long long)magnitude->ne[1], (long long)sizes.n, (long long)sizes.n_mats);
    LoraMatrix *m =
        lora_add(l, sizes.name, sizes.k, sizes.n, sizes.n_mats, sizes.rank, magnitude != NULL);
    if (!m) return bt_fail_memory(err, "an adapter", a->bytes + b->bytes);
    m->scale = alpha != 0 ? alpha / (float)m->rank : 1;
    return read_values(g, a, b, magnitude, m, err);
}

static bt_status read_tensors(const Gguf *g, float alpha, Lora *l, bt_error *err)
{
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        Span base = SPAN("");
        int end = end_of(t->name, &base);
        bt_status status = BT_OK;
        if (end < 0)
            return bt_fail(err, BT_E_UNSUPPORTED,
                           "%s: tensor '%.*s' is no half of a LoRA pair; whole weights in an "
                           "adapter are not read: merge it with the program that made it",
                           gguf_path(g), (int)t->name.size, t->name.data);
        if (end == END_A)
            status = read_pair(g, base, alpha, l, err);
        else if (!beside(g, base, END_A))
            status = no_pair(g, base, ends[END_A], err);
        if (status) return status;
    }
    if (l->n) return BT_OK;
    return bt_fail(err, BT_E_FORMAT, "%s: the adapter has no tensors", gguf_path(g));
}

static bt_status copy_text(const Gguf *g, const char *key, char **out, bt_error *err)
{
    Span text = SPAN("");
    bt_status status = gguf_get_span(g, key, false, &text, err);
    if (status || !text.size) return status;
    *out = mem_strndup(text.data, text.size);
    return *out ? BT_OK : bt_fail_memory(err, key, text.size);
}

static bt_status check_kind(const Gguf *g, float *alpha, bt_error *err)
{
    Span type = SPAN("");
    if (!lora_is_adapter(g))
        return bt_fail(err, BT_E_ARGUMENT,
                       "%s: is no adapter (key 'general.type' does not say so); a model is named "
                       "with -m",
                       gguf_path(g));
    bt_status status = gguf_get_span(g, "adapter.type", true, &type, err);
    if (status) return status;
    if (!span_is(type, "lora"))
        return bt_fail(err, BT_E_UNSUPPORTED, "%s: an adapter of type '%.*s'; only 'lora' is read",
                       gguf_path(g), (int)(type.size < 40 ? type.size : 40), type.data);
    if (gguf_find_key(g, "adapter.alora.invocation_tokens") >= 0)
        return bt_fail(err, BT_E_UNSUPPORTED,
                       "%s: an adapter that begins at an invocation (aLoRA) is not known",
                       gguf_path(g));
    return gguf_get_f32(g, "adapter.lora.alpha", false, alpha, err);
}

bt_status lora_read_index(const Gguf *g, Lora **out, bt_error *err)
{
    float alpha = 0;
    Span print = SPAN("");
    *out = NULL;
    bt_status status = check_kind(g, &alpha, err);
    if (status) return status;
    Lora *l = lora_new();
    if (!l) return bt_fail_memory(err, "an adapter", sizeof *l);
    status = copy_text(g, "general.architecture", &l->arch, err);
    if (!status) status = copy_text(g, "general.name", &l->name, err);
    if (!status) status = copy_text(g, "general.base_model.0.name", &l->base, err);
    if (!status) status = gguf_get_span(g, "bantam.base.fingerprint", false, &print, err);
    if (!status) status = read_tensors(g, alpha, l, err);
    char text[24];
    snprintf(text, sizeof text, "%.*s", (int)(print.size < 20 ? print.size : 0),
             print.data ? print.data : "");
    l->fingerprint = strtoull(text, NULL, 16);
    if (status) lora_close(&l);
    *out = l;
    return status;
}

bt_status lora_read(const char *path, Lora **out, bt_error *err)
{
    Gguf *g;
    *out = NULL;
    bt_status status = gguf_open(path, NULL, &g, err);
    if (status) return status;
    status = lora_read_index(g, out, err);
    for (int i = 0; i < gguf_n_parts(g); i++) {
        bt_status lost = os_map_check(gguf_part(g, i), path, err);
        if (lost && !status) {
            lora_close(out);
            status = lost;
        }
    }
    gguf_close(&g);
    return status;
}

/* ---- writing ---- */

typedef struct Half {
    const LoraMatrix *m;
    uint32_t type;
    float factor; /* of B */
    bool second;  /* B, else A; of the embedding as the file has them */
} Half;

/* One number of a half, rows of `width`. */
static float half_value(const Half *h, int64_t row, int64_t i)
{
    const LoraMatrix *m = h->m;
    if (is_embedding(m->name)) /* rows of the vocabulary take the factor */
        return h->second ? m->a[i * m->k + row] : m->b[row * m->rank + i] * h->factor;
    return h->second ? m->b[row * m->rank + i] * h->factor : m->a[row * m->k + i];
}

static void half_shape(const Half *h, uint64_t ne[GGUF_MAX_DIMS])
{
    const LoraMatrix *m = h->m;
    bool turned = is_embedding(m->name);
    ne[0] = (uint64_t)(h->second || turned ? m->rank : m->k);
    ne[1] = (uint64_t)(h->second ? (turned ? m->k : m->n) : turned ? m->n : m->rank);
    ne[2] = (uint64_t)m->n_mats;
    ne[3] = 1;
}

static bt_status write_half(void *user, int fd, bt_error *err)
{
    const Half *h = user;
    const Kernels *kernels = kernels_select(0);
    uint64_t ne[GGUF_MAX_DIMS];
    half_shape(h, ne);
    size_t bytes = (size_t)dtype_row_bytes(h->type, ne[0]);
    float *row = mem_alloc((size_t)ne[0] * sizeof *row);
    void *out = mem_alloc(bytes);
    bt_status status = row && out ? BT_OK : bt_fail_memory(err, "an adapter", ne[0] * 8);
    for (uint64_t r = 0; r < ne[1] * ne[2] && !status; r++) {
        for (uint64_t i = 0; i < ne[0]; i++) row[i] = half_value(h, (int64_t)r, (int64_t)i);
        kernels->from_f32(h->type, row, out, (size_t)ne[0]);
        status = os_write_all(fd, out, bytes, err);
    }
    mem_free(row);
    mem_free(out);
    return status;
}

static void put_text(GgufWriter *w, const char *key, const char *text)
{
    if (text) gguf_put_string(w, key, text);
}

static void put_keys(GgufWriter *w, const Lora *l, float alpha)
{
    char print[24];
    gguf_put_string(w, "general.type", "adapter");
    put_text(w, "general.architecture", l->arch);
    put_text(w, "general.name", l->name);
    if (l->base) {
        gguf_put_u32(w, "general.base_model.count", 1);
        gguf_put_string(w, "general.base_model.0.name", l->base);
    }
    gguf_put_string(w, "adapter.type", "lora");
    gguf_put_f32(w, "adapter.lora.alpha", alpha);
    snprintf(print, sizeof print, "%016llx", (unsigned long long)l->fingerprint);
    if (l->fingerprint) gguf_put_string(w, "bantam.base.fingerprint", print);
}

static void put_half(GgufWriter *w, const Half *h)
{
    char name[LORA_NAME + 24];
    uint64_t ne[GGUF_MAX_DIMS];
    half_shape(h, ne);
    snprintf(name, sizeof name, "%s%s", h->m->name, ends[h->second ? END_B : END_A]);
    gguf_put_tensor_made(w, name, h->type, h->m->n_mats > 1 ? 3 : 2, ne, write_half,
                         (void *)(uintptr_t)h);
}

bt_status lora_write(const Lora *l, const char *path, uint32_t type, bt_error *err)
{
    GgufWriter *w = gguf_writer_open();
    Half *halves = mem_zalloc(2 * l->n + 1, sizeof *halves);
    bt_status status = w && halves ? BT_OK : bt_fail_memory(err, path, l->n * sizeof *halves);
    /* 0 in the file would mean a scale of 1 */
    float alpha = l->n ? l->items[0].scale * (float)l->items[0].rank : 1;
    if (alpha == 0) alpha = 1;
    if (!status) put_keys(w, l, alpha);
    for (size_t i = 0; i < l->n && !status; i++) {
        const LoraMatrix *m = &l->items[i];
        float own = alpha / (float)m->rank;
        char name[LORA_NAME + 24];
        for (int second = 0; second < 2; second++) {
            Half *h = &halves[2 * i + (size_t)second];
            *h = (Half){m, type, own == m->scale ? 1 : m->scale / own, second};
            put_half(w, h);
        }
        if (!m->magnitude) continue;
        uint64_t ne[GGUF_MAX_DIMS] = {(uint64_t)m->n, (uint64_t)m->n_mats, 1, 1};
        snprintf(name, sizeof name, "%s%s", m->name, ends[END_MAGNITUDE]);
        gguf_put_tensor(w, name, DT_F32, m->n_mats > 1 ? 2 : 1, ne, m->magnitude);
    }
    if (!status) status = gguf_writer_save(w, path, err);
    gguf_writer_close(&w);
    mem_free(halves);
    return status;
}
