/* Adapters in memory: making, finding, telling apart (see lora.h). */
#include "io/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/hash.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "tensor/dtype.h"

Lora *lora_new(void)
{
    return mem_zalloc(1, sizeof(Lora));
}

static void matrix_close(LoraMatrix *m)
{
    mem_free(m->a);
    mem_free(m->b);
    mem_free(m->magnitude);
}

void lora_close(Lora **lora)
{
    Lora *l = *lora;
    if (!l) return;
    for (size_t i = 0; i < l->n; i++) matrix_close(&l->items[i]);
    mem_free(l->items);
    mem_free(l->arch);
    mem_free(l->name);
    mem_free(l->base);
    mem_free(l);
    *lora = NULL;
}

/* x y z floats; NULL: none, or more than there can be. */
static float *floats(int64_t x, int64_t y, int64_t z)
{
    uint64_t n, m;
    if (x < 1 || y < 1 || z < 1 || !ck_mul((uint64_t)x, (uint64_t)y, &n) ||
        !ck_mul(n, (uint64_t)z, &m) || m > SIZE_MAX / sizeof(float))
        return NULL;
    return mem_zalloc((size_t)m, sizeof(float));
}

LoraMatrix *lora_add(Lora *l, const char *name, int64_t k, int64_t n, int64_t n_mats, int32_t rank,
                     bool magnitudes)
{
    if (strlen(name) >= LORA_NAME) return NULL;
    if (l->n == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 64;
        LoraMatrix *more = mem_realloc(l->items, capacity * sizeof *more);
        if (!more) return NULL;
        l->items = more;
        l->capacity = capacity;
    }
    LoraMatrix *m = &l->items[l->n];
    *m = (LoraMatrix){.k = k, .n = n, .n_mats = n_mats, .rank = rank, .scale = 1};
    snprintf(m->name, sizeof m->name, "%s", name);
    m->a = floats(n_mats, rank, k);
    m->b = floats(n_mats, n, rank);
    if (magnitudes) m->magnitude = floats(n_mats, n, 1);
    if (m->a && m->b && (m->magnitude || !magnitudes)) {
        l->n++;
        return m;
    }
    matrix_close(m);
    return NULL;
}

const LoraMatrix *lora_find(const Lora *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->items[i].name, name) == 0) return &l->items[i];
    return NULL;
}

static bool all_finite(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

bt_status lora_check(const LoraMatrix *m, const char *where, bt_error *err)
{
    if (all_finite(m->a, m->n_mats * m->rank * m->k) &&
        all_finite(m->b, m->n_mats * m->n * m->rank) && isfinite(m->scale) &&
        (!m->magnitude || all_finite(m->magnitude, m->n_mats * m->n)))
        return BT_OK;
    return bt_fail(err, BT_E_FORMAT,
                   "%s: the adapter of '%s' holds NaN or infinity; its training went wrong or the "
                   "file is damaged",
                   where, m->name);
}

uint64_t lora_hash(const Lora *l)
{
    uint64_t h = l->n;
    for (size_t i = 0; i < l->n; i++) {
        const LoraMatrix *m = &l->items[i];
        int64_t sizes[] = {m->k, m->n, m->n_mats, m->rank, m->magnitude != NULL};
        size_t mats = (size_t)m->n_mats, rank = (size_t)m->rank, n = (size_t)m->n;
        h = hash_bytes(m->name, strlen(m->name), h);
        h = hash_bytes(sizes, sizeof sizes, h);
        h = hash_bytes(&m->scale, sizeof m->scale, h);
        h = hash_bytes(m->a, mats * rank * (size_t)m->k * sizeof(float), h);
        h = hash_bytes(m->b, mats * n * rank * sizeof(float), h);
        if (m->magnitude) h = hash_bytes(m->magnitude, mats * n * sizeof(float), h);
    }
    return h;
}

/* ---- which base ---- */

bool lora_is_adapter(const Gguf *g)
{
    Span type = SPAN("");
    return gguf_get_span(g, "general.type", false, &type, NULL) == BT_OK &&
           span_is(type, "adapter");
}

static bool is_norm(const GgufTensor *t)
{
    static const char end[] = "norm.weight";
    size_t n = sizeof end - 1;
    bool plain = t->type == DT_F32 || t->type == DT_F16 || t->type == DT_BF16;
    return plain && t->n_dims == 1 && t->ne[0] <= LORA_MOST_WIDTH && t->name.size >= n &&
           memcmp(t->name.data + t->name.size - n, end, n) == 0;
}

/* 0 for what says nothing. */
static uint64_t tensor_part(const GgufTensor *t)
{
    float some[1024];
    if (!is_norm(t)) return 0;
    uint64_t h = hash_bytes(t->ne, sizeof t->ne, hash_bytes(t->name.data, t->name.size, 1));
    size_t n = (size_t)t->ne[0] < 1024 ? (size_t)t->ne[0] : 1024;
    if (!t->data || !dequant_row(t->type, t->data, some, n)) return h;
    return hash_bytes(some, n * sizeof *some, h);
}

uint64_t lora_fingerprint(const Gguf *base)
{
    Span arch = SPAN("");
    uint64_t sum = 0;
    gguf_get_span(base, "general.architecture", false, &arch, NULL);
    /* a sum: in whatever order the tensors stand */
    for (size_t i = 0; i < gguf_n_tensors(base); i++) sum += tensor_part(gguf_tensor(base, i));
    sum = hash_bytes(arch.data, arch.size, sum);
    return sum ? sum : 1;
}
