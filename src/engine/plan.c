/* What a session would need, computed by running the forward with the plan backend. */
#include <stdio.h>
#include <string.h>

#include "engine/session.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/os.h"
#include "tensor/dtype.h"

CpuSizes model_cpu_sizes(const bt_model *m, int32_t n_batch)
{
    CpuSizes s = {.n_batch = n_batch, .most_head = 1, .most_group = 1, .most_k = 1};
    for (size_t i = 0; i < m->n_matrices; i++)
        if (m->matrices[i]->k > s.most_k) s.most_k = m->matrices[i]->k;
    for (int32_t l = 0; l < m->hyper.n_layers; l++) {
        const LayerSpec *spec = &m->layers[l];
        int32_t group = spec->kv_heads > 0 ? m->hyper.n_heads / spec->kv_heads : 1;
        if (spec->e_k > s.most_head) s.most_head = spec->e_k;
        if (spec->e_v > s.most_head) s.most_head = spec->e_v;
        if (group > s.most_group) s.most_group = group;
    }
    return s;
}

/* The vectors of a step's texts through the model's last matrices. */
static void plan_dense(Step *s, const bt_model *m, int32_t n_vectors)
{
    arena_reset(s->arena, 0);
    Tensor x = step_tensor(s, n_vectors, 1, m->hyper.n_embd, false);
    model_dense(s, m, x);
}

size_t model_step_bytes(const bt_model *m, const SessionShape *shape, const Adapters *const *sets,
                        int32_t n_sets, bt_error *err)
{
    Arena arena;
    arena_open(&arena, 0);
    StepRow *rows = mem_zalloc((size_t)shape->n_batch, sizeof *rows);
    if (!rows) {
        bt_fail_memory(err, "the plan of a step", (uint64_t)shape->n_batch * sizeof *rows);
        return 0;
    }
    Step s = {.backend = backend_plan(),
              .arena = &arena,
              .layers = m->layers,
              .rows = rows,
              .n_rows = shape->n_batch,
              .sets = sets,
              .n_sets = n_sets,
              .n_wanted = shape->n_wanted,
              .hidden = shape->hidden,
              .err = err};
    m->arch->forward(&s, m->weights);
    if (shape->n_wanted == shape->n_batch && shape->n_wanted > 1) {
        arena_reset(&arena, 0); /* fewer must be gathered first: that can be more */
        s.n_wanted--;
        m->arch->forward(&s, m->weights);
    }
    if (shape->hidden) plan_dense(&s, m, shape->n_sequences);
    mem_free(rows);
    return step_failed(&s) ? 0 : arena.peak;
}

/* One of bt_kv_type, as the state knows it. */
static uint32_t dtype_of(unsigned kv)
{
    static const uint32_t types[] = {DT_BF16, DT_F32, DT_BF16, DT_F16, DT_Q8_0, DT_Q4_0};
    return types[kv < sizeof types / sizeof *types ? kv : 0];
}

StateSpec model_state_spec(const bt_model *m, const SessionShape *shape)
{
    unsigned keys = (unsigned)shape->kv & 15, values = (unsigned)shape->kv >> 4;
    int32_t n = m->hyper.n_layers;
    bool forgets = state_forgets(m->layers, n);
    return (StateSpec){.layers = m->layers,
                       .n_layers = n,
                       .k_type = dtype_of(keys),
                       .v_type = dtype_of(values ? values : keys),
                       .n_ctx = shape->n_ctx,
                       .n_sequences = shape->n_sequences,
                       .n_batch = shape->n_batch,
                       /* texts that become vectors are held for one step, the longest for some */
                       .n_tokens = shape->hidden ? shape->n_batch : shape->n_tokens,
                       /* each sequence's last prompt, and one to choose from */
                       .n_checkpoints = !forgets               ? 0
                                        : shape->n_checkpoints ? shape->n_checkpoints
                                                               : shape->n_sequences + 1};
}

/* Vectors are compared over many texts: float32 unless asked otherwise. */
static bt_kv_type kv_of(const bt_model *m, bool hidden, bt_kv_type kv)
{
    return kv == BT_KV_DEFAULT && (hidden || m->hyper.embeds) ? BT_KV_F32 : kv;
}

/* Bytes resident once loaded: panels, plus the rows that are read straight from the file. */
static uint64_t weight_bytes(const bt_model *m)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < m->n_matrices; i++) {
        const Weight *w = m->matrices[i];
        bytes += w->paneled ? weight_panel_bytes(w) : weight_file_bytes(w);
    }
    return bytes;
}

#define MOST_CONTEXT (1 << 28)

/* Layer state of all sequences, and the tokens themselves, which a session keeps. */
static uint64_t context_bytes(const bt_model *m, const StateSpec *spec)
{
    uint64_t state = state_bytes(spec), bytes;
    uint64_t tokens = (uint64_t)spec->n_ctx * (uint64_t)spec->n_sequences * session_token_bytes(m);
    return ck_add(state, tokens, &bytes) ? bytes : UINT64_MAX;
}

static unsigned long long mib(uint64_t bytes)
{
    return (unsigned long long)((bytes >> 20) + (bytes & 0xfffff ? 1 : 0));
}

/* The same context fits into `bytes` with keys and values of eight bits. */
static bool fits_in_eight_bits(const bt_model *m, StateSpec spec, uint64_t bytes)
{
    uint64_t asked = context_bytes(m, &spec);
    spec.k_type = spec.v_type = DT_Q8_0;
    if (state_check(&spec, NULL)) return false;
    uint64_t eight = context_bytes(m, &spec);
    return eight < asked && eight <= bytes;
}

/* One line: what was asked, what there is, and what would do. */
static bt_status does_not_fit(const bt_memory_plan *plan, int32_t n_ctx, int32_t fits,
                              bool fits_smaller, uint64_t least, uint64_t spare, bt_error *err)
{
    char other[64] = "";
    if (fits_smaller) snprintf(other, sizeof other, ", or %d with keys and values in q8_0", n_ctx);
    if (fits >= KV_BLOCK)
        return bt_fail(err, BT_E_MEMORY,
                       "context %d needs %llu MiB, %llu MiB are available (%llu of them spared); a "
                       "context of %d fits%s",
                       n_ctx, mib(plan->total), (unsigned long long)(plan->available >> 20),
                       mib(spare), fits, other);
    return bt_fail(err, BT_E_MEMORY,
                   "the model needs %llu MiB (weights %llu, work %llu) and %llu MiB are available: "
                   "no context fits; close programs or take a smaller model",
                   mib(least), mib(plan->weights), mib(plan->scratch),
                   (unsigned long long)(plan->available >> 20));
}

/* The longest context, in whole blocks, whose state takes no more than `bytes`. Layers that forget
 * stop growing, so this is searched for. */
static int32_t longest(const bt_model *m, StateSpec spec, uint64_t bytes)
{
    int32_t low = 0, high = MOST_CONTEXT / KV_BLOCK; /* blocks */
    while (low < high) {
        int32_t middle = low + (high - low + 1) / 2;
        spec.n_ctx = middle * KV_BLOCK;
        if (state_check(&spec, NULL) == BT_OK && context_bytes(m, &spec) <= bytes)
            low = middle;
        else
            high = middle - 1;
    }
    return low * KV_BLOCK;
}

enum { PROGRAM = 24 << 20 }; /* what no plan counts: the program itself and its vocabulary */

/* Of what the system says there is, what is left alone: a twentieth of a machine's, since other
 * programs live there too and grow; little where a limit is ours, of which what we hold already is
 * taken off. */
static uint64_t spared(uint64_t available, uint64_t granted)
{
    return granted <= available ? available / 200 : available / 20;
}

/* Of a limit for the whole process. */
static uint64_t spared_of_limit(uint64_t limit)
{
    return limit / 20 < PROGRAM ? limit / 20 : limit / 100 < PROGRAM ? PROGRAM : limit / 100;
}

static bt_status plan_shape(const bt_model *m, SessionShape *shape, uint64_t limit,
                            bt_memory_plan *out, bt_error *err)
{
    SessionShape block = *shape;
    block.n_ctx = KV_BLOCK;
    StateSpec spec = model_state_spec(m, &block);
    bt_status status = state_check(&spec, err);
    if (status) return status;
    CpuSizes sizes = model_cpu_sizes(m, shape->n_batch);
    size_t step = model_step_bytes(m, shape, NULL, 0, err);
    if (!step) return err ? err->status : BT_E_INTERNAL;
    const Panels *panels = m->panels;
    uint64_t loaded = panels && !panels_mapped(panels) ? panels_bytes(panels) : 0;
    out->weights = weight_bytes(m);
    out->scratch = step + cpu_work_bytes(&sizes, m->n_threads);
    if (shape->hidden) out->scratch += model_pool_bytes(m, shape->n_sequences);
    out->available = os_memory_available();
    uint64_t spare = spared(out->available, os_memory_granted());
    /* Where the system does not say, nothing is refused on a guess. */
    out->available = out->available ? out->available + loaded : UINT64_MAX;
    if (limit && limit < out->available) {
        out->available = limit;
        spare = spared_of_limit(limit);
    }
    uint64_t fixed = out->weights + out->scratch, least = fixed + context_bytes(m, &spec);
    uint64_t usable = out->available - spare;
    int32_t fits = usable > fixed ? longest(m, spec, usable - fixed) : 0;
    if (shape->n_ctx == 0) shape->n_ctx = fits < m->hyper.n_ctx_train ? fits : m->hyper.n_ctx_train;
    spec.n_ctx = shape->n_ctx > 0 ? shape->n_ctx : KV_BLOCK;
    out->state = context_bytes(m, &spec);
    if (!ck_add(fixed, out->state, &out->total)) out->total = UINT64_MAX;
    if (out->total <= usable) return BT_OK;
    bool smaller = usable > fixed && fits_in_eight_bits(m, spec, usable - fixed);
    return does_not_fit(out, spec.n_ctx, fits, smaller, least, spare, err);
}

/* The context of an encoder sets the rows of its step, so what fits is found by trying. */
static bt_status plan_encoder(const bt_model *m, SessionShape *shape, uint64_t limit,
                              bt_memory_plan *out, bt_error *err)
{
    SessionShape asked = *shape;
    int32_t n_ctx = asked.n_ctx ? asked.n_ctx : m->hyper.n_ctx_train;
    if (!asked.n_ctx && n_ctx > MODEL_MOST_ROWS) n_ctx = MODEL_MOST_ROWS;
    if (n_ctx > MODEL_MOST_ROWS)
        return bt_fail(err, BT_E_ARGUMENT, "context %d: an encoder reads at most %d tokens at once",
                       n_ctx, MODEL_MOST_ROWS);
    for (;; n_ctx /= 2) {
        *shape = asked;
        shape->n_ctx = n_ctx;
        if (shape->n_batch < n_ctx) shape->n_batch = n_ctx;
        if (asked.n_wanted < 1) shape->n_wanted = shape->n_batch;
        bt_status status = plan_shape(m, shape, limit, out, err);
        if (status != BT_E_MEMORY || asked.n_ctx || n_ctx < 2 * KV_BLOCK) return status;
    }
}

bt_status model_plan(const bt_model *m, SessionShape *shape, uint64_t limit, bt_memory_plan *out,
                     bt_error *err)
{
    if (!m->arch)
        return bt_fail(err, BT_E_ARGUMENT, "the model was opened for its vocabulary only");
    if (m->hyper.embeds) shape->hidden = true;
    shape->kv = kv_of(m, shape->hidden, shape->kv);
    if (shape->n_sequences < 1) shape->n_sequences = 1;
    bool may_shrink = shape->n_batch < 1 && !shape->hidden;
    if (shape->n_batch < 1) shape->n_batch = MODEL_BATCH;
    if (shape->n_ctx < 0 || shape->n_ctx > MOST_CONTEXT || shape->n_sequences > 65536 ||
        shape->n_batch > MODEL_MOST_ROWS)
        return bt_fail(err, BT_E_ARGUMENT, "context %d, %d sequences, %d rows a step: out of range",
                       shape->n_ctx, shape->n_sequences, shape->n_batch);
    if (!m->hyper.causal) return plan_encoder(m, shape, limit, out, err);
    if (shape->n_wanted < 1) shape->n_wanted = shape->hidden ? shape->n_batch : 1;
    SessionShape asked = *shape;
    for (int32_t n = shape->n_batch;; n /= 2) { /* smaller steps rather than none */
        *shape = asked;
        shape->n_batch = n;
        if (shape->n_wanted > n) shape->n_wanted = n;
        bt_status status = plan_shape(m, shape, limit, out, err);
        if (status != BT_E_MEMORY || !may_shrink || n / 2 < MODEL_LEAST) return status;
    }
}

bt_status bt_model_plan(const bt_model *model, int32_t *n_ctx, int32_t n_sequences, int32_t n_batch,
                        bt_kv_type kv, bt_memory_plan *out, bt_error *err)
{
    SessionShape shape = {.n_ctx = *n_ctx,
                          .n_sequences = n_sequences,
                          .n_batch = n_batch,
                          .n_wanted = model->hyper.embeds ? 0 : n_sequences,
                          .kv = kv};
    bt_status status = model_plan(model, &shape, 0, out, err);
    *n_ctx = shape.n_ctx;
    return status;
}

uint64_t bt_model_bytes_per_token(const bt_model *m, int32_t depth, bt_kv_type kv)
{
    SessionShape one = {.n_ctx = 1, .n_sequences = 1, .n_batch = 1, .kv = kv_of(m, false, kv)};
    if (!m->arch || depth < 0) return 0;
    StateSpec spec = model_state_spec(m, &one);
    uint64_t bytes = m->embedding->row_bytes + state_read_bytes(&spec, depth);
    for (size_t i = 0; i < m->n_matrices; i++) {
        const Weight *w = m->matrices[i];
        uint64_t all = weight_file_bytes(w);
        bytes +=
            w->n_mats > 1 ? all / (uint64_t)w->n_mats * (uint64_t)m->hyper.n_experts_used : all;
    }
    return bytes;
}

static const char *kind_of(const LayerSpec *l)
{
    if (l->kind == STATE_KV_SHARED) return "shared";
    if (l->kind == STATE_KV_WINDOW) return "window";
    if (l->kind == STATE_KV_CHUNK) return "chunk";
    return l->v_in_k ? "compressed" : "all";
}

static void add_to(bt_state_info *list, int32_t *n, int32_t capacity, bt_state_info one)
{
    int32_t i = 0;
    while (i < *n && (strcmp(list[i].kind, one.kind) || list[i].span != one.span)) i++;
    if (i == *n && *n == capacity) return;
    if (i == *n) list[(*n)++] = (bt_state_info){.kind = one.kind, .span = one.span};
    list[i].n_layers++;
    list[i].token_bytes += one.token_bytes;
    list[i].fixed_bytes += one.fixed_bytes;
}

int32_t bt_model_state(const bt_model *m, bt_kv_type kv, bt_state_info *out, int32_t capacity)
{
    SessionShape one = {.n_ctx = 1, .n_sequences = 1, .n_batch = 1, .kv = kv_of(m, false, kv)};
    int32_t n = 0;
    if (!m->arch) return 0;
    StateSpec spec = model_state_spec(m, &one);
    for (int32_t l = 0; l < spec.n_layers; l++) {
        const LayerSpec *layer = &spec.layers[l];
        uint64_t token = state_layer_token_bytes(&spec, layer);
        uint64_t fixed = state_layer_fixed_bytes(layer);
        bool spans = layer->kind == STATE_KV_WINDOW || layer->kind == STATE_KV_CHUNK;
        if (token || layer->kind == STATE_KV_SHARED)
            add_to(out, &n, capacity,
                   (bt_state_info){.kind = kind_of(layer),
                                   .span = spans ? layer->span : 0,
                                   .token_bytes = token});
        if (fixed)
            add_to(out, &n, capacity, (bt_state_info){.kind = "recurrent", .fixed_bytes = fixed});
    }
    return n;
}
