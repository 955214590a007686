/* The search for the best types under a size (see search.h). */
#include "quant/search.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/checked.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include "quant/quant.h"
#include "quant/source.h"
#include "tensor/dtype.h"

#define SAMPLED    16 /* rows of a tensor whose errors are measured */
#define SLICES     4  /* of the layers */
#define MOST_TYPES 14 /* a tensor may take */
#define PROBE_BITS 6  /* of a probe: where room is plenty, finer errors would drown in noise */

/* Types that are tried, and for which rows: whole blocks of 256, others, or any. */
static const struct {
    DType type;
    enum { WHOLE, ODD, ANY } rows;
} tried[] = {{DT_IQ2_S, WHOLE},  {DT_IQ3_XXS, WHOLE}, {DT_IQ3_S, WHOLE}, {DT_Q3_K, WHOLE},
             {DT_IQ4_XS, WHOLE}, {DT_Q4_0, ODD},      {DT_IQ4_NL, ODD},  {DT_Q4_K, WHOLE},
             {DT_Q5_0, ODD},     {DT_Q5_K, WHOLE},    {DT_Q6_K, WHOLE},  {DT_Q8_0, ANY},
             {DT_F16, ANY}};

typedef enum Part {
    PART_EMBEDDING,
    PART_OUTPUT,
    PART_QK,
    PART_V,
    PART_ATTENTION,
    PART_UP,
    PART_DOWN,
    PART_EXPERTS_UP,
    PART_EXPERTS_DOWN,
    PART_OTHER,
    PARTS
} Part;

static const char *const part_names[PARTS] = {
    "embedding",   "output", "queries and keys", "values",       "attention output",
    "gate and up", "down",   "experts up",       "experts down", "other"};

typedef struct Item {
    size_t i; /* tensor */
    Part part;
    int slice; /* of the layers; -1: none */
    const float *weights;
    uint64_t each; /* of the weights, from matrix to matrix */
    int n;         /* types that fit, by size */
    uint32_t type[MOST_TYPES];
    uint64_t bytes[MOST_TYPES];
    double error[MOST_TYPES]; /* relative */
    int probe;                /* the type of probes: an index */
    double suffers;           /* divergence for an error of 1 */
    int pick;
} Item;

typedef struct Search {
    const SearchOptions *o;
    bt_model *base;
    const Gguf *g;
    MixModel mix;
    Item *items;
    size_t n;
    Choice *choices; /* the plan so far: what was named, and what stays */
    Choice *trial;   /* of a probe */
    double part_harm[PARTS], slice_harm[SLICES];
    uint64_t fixed; /* bytes of tensors that are no items */
} Search;

/* ---- what there is to choose ---- */

static Part part_of(const GgufTensor *t, const MixModel *m)
{
    bool stack = t->ne[2] > 1;
    switch (tensor_kind(t->name, m->tied)) {
    case KIND_EMBEDDING: return PART_EMBEDDING;
    case KIND_OUTPUT: return PART_OUTPUT;
    case KIND_Q:
    case KIND_K: return PART_QK;
    case KIND_V: return PART_V;
    case KIND_ATTENTION: return PART_ATTENTION;
    case KIND_GATE:
    case KIND_UP: return stack ? PART_EXPERTS_UP : PART_UP;
    case KIND_DOWN: return stack ? PART_EXPERTS_DOWN : PART_DOWN;
    default: return PART_OTHER;
    }
}

static uint64_t padded(const Search *s, uint64_t bytes)
{
    return align_up(bytes, s->o->alignment);
}

static uint64_t bytes_as(const GgufTensor *t, uint32_t type)
{
    return dtype_row_bytes(type, t->ne[0]) * tensor_rows(t);
}

static void add_type(Search *s, Item *item, const GgufTensor *t, uint32_t type)
{
    if (item->n == MOST_TYPES || bytes_as(t, type) > t->bytes) return;
    item->type[item->n] = type;
    item->bytes[item->n++] = padded(s, bytes_as(t, type));
}

static void start_item(Search *s, Item *item, size_t i, double bits)
{
    const GgufTensor *t = gguf_tensor(s->g, i);
    const Choice *c = &s->choices[i];
    int32_t layer = tensor_layer(t->name);
    bool odd = t->ne[0] % 256 != 0;
    *item = (Item){.i = i, .part = part_of(t, &s->mix), .slice = -1};
    if (layer >= 0 && layer < s->mix.n_layers)
        item->slice = (int)((int64_t)layer * SLICES / s->mix.n_layers);
    if (c->importance)
        item->weights = imatrix_weights(c->importance, t->ne[0], t->ne[2] * t->ne[3], &item->each);
    for (size_t k = 0; k < sizeof tried / sizeof *tried; k++) {
        const DTypeInfo *info = dtype_info(tried[k].type);
        double each = 8.0 * info->bytes / info->block;
        if (tried[k].rows == (odd ? WHOLE : ODD) || tried[k].type == t->type) continue;
        if (t->ne[0] % (uint64_t)info->block || !quant_supported(tried[k].type)) continue;
        if (each < bits - 2 && each < 4) continue; /* far below what is asked */
        if (each < 4 && !item->weights && item->part != PART_EMBEDDING) continue;
        add_type(s, item, t, tried[k].type);
    }
    add_type(s, item, t, t->type);    /* as it is */
    for (int a = 1; a < item->n; a++) /* by size */
        for (int b = a; b > 0 && item->bytes[b] < item->bytes[b - 1]; b--) {
            uint64_t bytes = item->bytes[b];
            uint32_t type = item->type[b];
            item->bytes[b] = item->bytes[b - 1], item->type[b] = item->type[b - 1];
            item->bytes[b - 1] = bytes, item->type[b - 1] = type;
        }
}

/* The items, and what all else takes. */
static bt_status start(Search *s, bt_error *err)
{
    const ChooseOptions *o = s->o->choose;
    size_t n = gguf_n_tensors(s->g);
    uint64_t weights = 0;
    s->items = mem_zalloc(n + 1, sizeof *s->items);
    s->trial = mem_zalloc(n + 1, sizeof *s->trial);
    if (!s->items || !s->trial) return bt_fail_memory(err, "a search", n * sizeof *s->items);
    for (size_t i = 0; i < n; i++) {
        const GgufTensor *t = gguf_tensor(s->g, i);
        weights += t->ne[0] * tensor_rows(t);
    }
    double bits = 8 * (double)s->o->limit / (double)(weights ? weights : 1);
    for (size_t i = 0; i < n; i++) {
        const GgufTensor *t = gguf_tensor(s->g, i);
        Choice *c = &s->choices[i];
        bool output = tensor_kind(t->name, s->mix.tied) == KIND_OUTPUT;
        bool open = tensor_mutable(t) && !c->named && !(o->keep_output && output);
        if (!c->named) c->type = t->type;
        if (open) start_item(s, &s->items[s->n], i, bits);
        if (open && s->items[s->n].n > 1)
            s->n++;
        else
            s->fixed += padded(s, bytes_as(t, c->type));
    }
    return s->n ? BT_OK : bt_fail(err, BT_E_ARGUMENT, "no tensor is left to choose a type for");
}

/* ---- errors of rows that are written and read back ---- */

typedef struct ErrorJob {
    Search *s;
    unsigned char *room; /* for each member: two rows of floats and one of blocks */
    size_t row;          /* floats of the longest */
    TeamQueue queue;
    atomic_bool bad;
} ErrorJob;

static void measure_item(ErrorJob *job, Item *item, unsigned char *room)
{
    const GgufTensor *t = gguf_tensor(job->s->g, item->i);
    uint64_t k = t->ne[0], rows = tensor_rows(t), n = rows < SAMPLED ? rows : SAMPLED;
    float *x = (float *)(void *)room, *y = x + job->row;
    void *blocks = y + job->row;
    double sum = 0, apart[MOST_TYPES] = {0};
    for (uint64_t r = 0; r < n; r++) {
        uint64_t row = rows / n * r + rows / n / 2;
        const float *w = item->weights ? item->weights + row / t->ne[1] * item->each : NULL;
        const char *from = (const char *)t->data + row * dtype_row_bytes(t->type, k);
        if (!dequant_row(t->type, from, x, k)) atomic_store(&job->bad, true);
        for (uint64_t j = 0; j < k; j++) sum += (double)((w ? w[j] : 1) * x[j] * x[j]);
        for (int a = 0; a < item->n; a++) {
            if (item->type[a] == t->type) continue;
            if (!quant_row(item->type[a], x, k, w, blocks)) atomic_store(&job->bad, true);
            dequant_row(item->type[a], blocks, y, k);
            for (uint64_t j = 0; j < k; j++)
                apart[a] += (double)((w ? w[j] : 1) * (x[j] - y[j]) * (x[j] - y[j]));
        }
    }
    for (int a = 0; a < item->n; a++) item->error[a] = sum > 0 ? apart[a] / sum : 0;
}

static void measure_some(void *arg, int member, int n_members)
{
    ErrorJob *job = arg;
    int64_t begin, end;
    (void)n_members;
    while (queue_take(&job->queue, &begin, &end))
        for (int64_t i = begin; i < end; i++)
            measure_item(job, &job->s->items[i],
                         job->room + (size_t)member * 3 * job->row * sizeof(float));
}

static bt_status measure_errors(Search *s, bt_error *err)
{
    ErrorJob job = {.s = s};
    for (size_t i = 0; i < s->n; i++) {
        uint64_t k = gguf_tensor(s->g, s->items[i].i)->ne[0];
        if (k > job.row) job.row = k;
    }
    job.row = align_up(job.row, 16);
    size_t bytes = (size_t)team_size(s->o->team) * 3 * job.row * sizeof(float);
    job.room = mem_aligned(bytes, 64);
    if (!job.room) return bt_fail_memory(err, "rows", bytes);
    atomic_init(&job.bad, false);
    queue_start(&job.queue, (int64_t)s->n, 1);
    team_run(s->o->team, measure_some, &job);
    mem_free(job.room);
    if (!atomic_load(&job.bad)) return BT_OK;
    return bt_fail(err, BT_E_FORMAT, "%s holds weights that are no numbers; fetch it again",
                   gguf_path(s->g));
}

/* ---- how the answers suffer ---- */

/* The item's type for probes: the largest that is a good bit below the bits asked for, and errs. */
static void choose_probe(const Search *s, Item *item, double bits)
{
    const GgufTensor *t = gguf_tensor(s->g, item->i);
    double weights = (double)(t->ne[0] * tensor_rows(t));
    double most = bits - 0.7 < PROBE_BITS ? bits - 0.7 : PROBE_BITS;
    for (int a = 0; a < item->n; a++)
        if (a == 0 || 8 * (double)item->bytes[a] / weights <= most) item->probe = a;
}

static bt_status probe(Search *s, int part, int slice, double *harm, bt_error *err)
{
    Divergence d;
    bt_model *variant = NULL;
    bool any = false;
    *harm = 0;
    for (size_t i = 0; i < gguf_n_tensors(s->g); i++)
        s->trial[i] = (Choice){.type = gguf_tensor(s->g, i)->type};
    for (size_t i = 0; i < s->n; i++) {
        const Item *item = &s->items[i];
        if (part >= 0 ? (int)item->part != part : item->slice != slice) continue;
        s->trial[item->i].type = item->type[item->probe];
        s->trial[item->i].importance = s->choices[item->i].importance;
        any = true;
    }
    if (!any) { /* keeps the count of turns */
        const ProbeTurn *turn = s->o->turn;
        for (size_t w = 0; w < s->o->answers->windows; w++)
            if (turn->done && !turn->done(turn->user))
                return bt_fail(err, BT_E_CANCELLED, "cancelled while measuring");
        return BT_OK;
    }
    bt_status status = variant_open(s->base, s->trial, s->o->team, &variant, err);
    if (!status) status = answers_compare(s->o->answers, variant, s->o->turn, &d, err);
    bt_model_close(&variant);
    if (status) return status;
    *harm = divergence_mean(&d);
    if (!(*harm < 100)) *harm = 100;
    divergence_close(&d);
    return BT_OK;
}

static bt_status measure_harm(Search *s, bt_error *err)
{
    bt_status status = BT_OK;
    double weights = 0, error[PARTS] = {0}, expected[SLICES] = {0};
    for (size_t i = 0; i < gguf_n_tensors(s->g); i++) {
        const GgufTensor *t = gguf_tensor(s->g, i);
        weights += (double)(t->ne[0] * tensor_rows(t));
    }
    for (size_t i = 0; i < s->n; i++)
        choose_probe(s, &s->items[i], 8 * (double)s->o->limit / weights);
    for (int p = 0; p < PARTS && !status; p++) status = probe(s, p, -1, &s->part_harm[p], err);
    for (int l = 0; l < SLICES && !status; l++) status = probe(s, -1, l, &s->slice_harm[l], err);
    /* A part's divergence over the sum of its errors; then each slice as it departs from that. */
    for (size_t i = 0; i < s->n; i++)
        error[s->items[i].part] += s->items[i].error[s->items[i].probe];
    for (size_t i = 0; i < s->n; i++) {
        Item *item = &s->items[i];
        double of = error[item->part];
        item->suffers = of > 0 ? s->part_harm[item->part] / of : 0;
        if (item->slice >= 0) expected[item->slice] += item->suffers * item->error[item->probe];
    }
    for (size_t i = 0; i < s->n; i++) {
        Item *item = &s->items[i];
        int l = item->slice;
        if (l < 0 || !(expected[l] > 0)) continue;
        double ratio = s->slice_harm[l] / expected[l];
        item->suffers *= ratio < 0.1 ? 0.1 : ratio > 10 ? 10 : ratio;
    }
    /* What this text did not show is no licence to spoil: room that is left goes there too. */
    double mean = 0;
    for (size_t i = 0; i < s->n; i++) mean += s->items[i].suffers / (double)s->n;
    double least = mean > 0 ? mean / 1000 : 1e-9;
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i].suffers < least) s->items[i].suffers = least;
    return status;
}

/* ---- the knapsack ---- */

static double harm_of(const Item *item, int a)
{
    return item->suffers * item->error[a];
}

/* Of the types above the item's, the one with most gain a byte; -1: none gains. */
static int best_step(const Item *item, double *gain)
{
    int best = -1;
    for (int a = item->pick + 1; a < item->n; a++) {
        uint64_t more = item->bytes[a] - item->bytes[item->pick];
        double less = harm_of(item, item->pick) - harm_of(item, a);
        double each = less / (double)(more ? more : 1);
        if (less <= 0 || (best >= 0 && each <= *gain)) continue;
        best = a;
        *gain = each;
    }
    return best;
}

static bt_status pack(Search *s, double *harm, bt_error *err)
{
    uint64_t used = s->fixed;
    for (size_t i = 0; i < s->n; i++) used += s->items[i].bytes[0];
    if (used > s->o->limit)
        return bt_fail(
            err, BT_E_LIMIT,
            "%s cannot be made so small: in the smallest types its tensors take %.1f MB, "
            "and %.1f are left for them",
            gguf_path(s->g), (double)used / 0x1p20, (double)s->o->limit / 0x1p20);
    for (;;) {
        Item *next = NULL;
        int to = -1;
        double most = 0;
        for (size_t i = 0; i < s->n; i++) {
            Item *item = &s->items[i];
            double gain = 0;
            int a = best_step(item, &gain);
            while (a > item->pick && used + item->bytes[a] - item->bytes[item->pick] > s->o->limit)
                a--; /* the step does not fit: a smaller one may */
            if (a <= item->pick || harm_of(item, a) >= harm_of(item, item->pick)) continue;
            gain = (harm_of(item, item->pick) - harm_of(item, a)) /
                   (double)(item->bytes[a] - item->bytes[item->pick] + 1);
            if (next && gain <= most) continue;
            next = item;
            to = a;
            most = gain;
        }
        if (!next) break;
        used += next->bytes[to] - next->bytes[next->pick];
        next->pick = to;
    }
    *harm = 0;
    for (size_t i = 0; i < s->n; i++) {
        Item *item = &s->items[i];
        *harm += harm_of(item, item->pick);
        s->choices[item->i].type = item->type[item->pick];
        s->choices[item->i].odd = false;
    }
    return BT_OK;
}

/* ---- what was found ---- */

static void describe(const Search *s, bt_quantize_part *parts, int32_t *n)
{
    *n = 0;
    for (int p = 0; p < PARTS; p++) {
        bt_quantize_part *out = &parts[*n];
        int32_t count[DTYPE_LIMIT] = {0};
        *out = (bt_quantize_part){.name = part_names[p], .probe_kl = s->part_harm[p]};
        for (size_t i = 0; i < s->n; i++) {
            const Item *item = &s->items[i];
            if ((int)item->part != p) continue;
            out->n_tensors++;
            out->bytes += item->bytes[item->pick];
            out->kl += harm_of(item, item->pick);
            out->probe_type = dtype_name(item->type[item->probe]);
            count[item->type[item->pick]]++;
        }
        size_t at = 0;
        for (uint32_t t = 0; t < DTYPE_LIMIT; t++)
            if (count[t] && at < sizeof out->types)
                at += (size_t)snprintf(out->types + at, sizeof out->types - at, "%s%s %d",
                                       at ? ", " : "", dtype_name(t), (int)count[t]);
        *n += out->n_tensors > 0;
    }
}

size_t search_probes(const bt_model *base)
{
    (void)base;
    return PARTS + SLICES;
}

bt_status search_types(bt_model *base, const SearchOptions *o, Choice *choices, double *harm,
                       bt_quantize_part *parts, int32_t *n_parts, bt_error *err)
{
    Search s = {.o = o, .base = base, .g = base->gguf, .choices = choices};
    bt_status status = mix_model(s.g, true, &s.mix, err);
    if (!status) status = start(&s, err);
    if (!status) status = measure_errors(&s, err);
    if (!status) status = measure_harm(&s, err);
    if (!status) status = pack(&s, harm, err);
    if (!status) describe(&s, parts, n_parts);
    mem_free(s.items);
    mem_free(s.trial);
    return status;
}
