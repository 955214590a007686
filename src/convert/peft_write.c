/* A PEFT folder written (see peft.h): the rules read backwards. The matrix that a rule leads here
 * is found by name, then the rule itself says which rows and columns moved. */
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "convert/peft_parts.h"
#include "convert/rules.h"
#include "io/safetensors_write.h"

#define MOST_NAME (ST_MAX_NAME + 1)

/* One module of the result; experts of a layer are one. */
typedef struct Module {
    char path[200]; /* as PEFT's target: "model.layers.0.self_attn.q_proj" */
    char stem[200]; /* of its tensors, without PEFT's beginning */
    char leaf[64];  /* its last part; of parameters the last two */
    bool lookup, parameter;
    int64_t mats, rank, rows, cols; /* mats 0: a matrix */
    float scale;
    float *a, *b, *magnitude; /* as PEFT stores them */
} Module;

typedef struct PeftWriter {
    const char *folder;
    Convert *plan;
    const Lora *lora;
    Module *modules;
    size_t n;
    bt_error *err;
} PeftWriter;

static bt_status no_memory(const PeftWriter *w)
{
    return bt_fail_memory(w->err, w->folder, w->n * sizeof *w->modules);
}

/* ---- names ---- */

/* "blk.7.attn_q.weight" is layer 7, tail "attn_q.weight"; layer -1: none. */
static const char *tail_of(const char *name, int *layer)
{
    int used = 0;
    *layer = -1;
    if (sscanf(name, "blk.%d.%n", layer, &used) == 1 && used > 0) return name + used;
    *layer = -1;
    return name;
}

static const TensorRule *rule_to(const TensorRule *rules, const char *tail)
{
    size_t n = strlen(tail) - strlen(".weight");
    for (const TensorRule *r = rules; r && r->from; r++) {
        if (!r->to || strchr(r->from, '*')) continue;
        if (strcmp(r->to, tail) == 0) return r;
        if (strlen(r->to) == n && memcmp(r->to, tail, n) == 0) return r;
    }
    return NULL;
}

/* What the makers' models put before these names. */
static const char *prefix_of(const Convert *c, const char *from)
{
    static const struct {
        const char *archs, *prefix;
    } known[] = {{" gpt2 falcon ", "transformer."},
                 {" gptneox ", "gpt_neox."},
                 {" mamba mamba2 ", "backbone."},
                 {" bert nomic-bert modern-bert ", ""}};
    char arch[80];
    if (strcmp(from, "lm_head") == 0 || strcmp(from, "embed_out") == 0) return "";
    snprintf(arch, sizeof arch, " %s ", c->arch);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(known[i].archs, arch)) return known[i].prefix;
    return "model.";
}

static void put_layer(const char *from, int layer, char *out, size_t size)
{
    const char *hash = strchr(from, '#');
    if (hash)
        snprintf(out, size, "%.*s%d%s", (int)(hash - from), from, layer, hash + 1);
    else
        snprintf(out, size, "%s", from);
    size_t n = strlen(out);
    if (n > 7 && strcmp(out + n - 7, ".weight") == 0) out[n - 7] = '\0';
}

static bt_status no_place(PeftWriter *w, const char *name)
{
    if (w->plan->status == BT_E_MEMORY) return BT_E_MEMORY; /* said already */
    return bt_fail(w->err, BT_E_UNSUPPORTED,
                   "%s: the adapter of '%s' cannot be written as the makers of %s name theirs; "
                   "GGUF holds it",
                   w->folder, name, w->plan->arch);
}

/* ---- values ---- */

static bt_status reserve(PeftWriter *w, Module *m)
{
    size_t mats = (size_t)(m->mats ? m->mats : 1), rank = (size_t)m->rank;
    m->a = mem_zalloc(mats * rank * (size_t)m->cols, sizeof(float));
    m->b = mem_zalloc(mats * rank * (size_t)m->rows, sizeof(float));
    return m->a && m->b ? BT_OK : no_memory(w);
}

/* Puts matrix l at ranks [first, first + l->rank) of the module, rows and columns as `o` moved
 * them; rows from `row0` on. */
static void put_back(Module *m, const LoraMatrix *l, const ConvOut *o, int64_t first, bool put_a)
{
    int64_t mats = m->mats ? m->mats : 1;
    for (int64_t e = 0; e < mats; e++) {
        for (int64_t j = 0; j < l->rank && put_a; j++)
            for (int64_t i = 0; i < l->k; i++)
                m->a[(e * m->rank + first + j) * m->cols + peft_column(o, i)] =
                    l->a[(e * l->rank + j) * l->k + i];
        for (int64_t r = 0; r < l->n; r++) {
            float factor = o->row_factor ? 1 / o->row_factor[r] : 1;
            int64_t row = peft_row(o, r);
            for (int64_t j = 0; j < l->rank; j++)
                m->b[(row * m->rank + first + j) * mats + e] =
                    factor * l->b[(e * l->n + r) * l->rank + j];
            if (m->magnitude) m->magnitude[row] = factor * l->magnitude[r];
        }
    }
}

/* Of an embedding A is (rank, vocabulary) and B (stream, rank). */
static void put_lookup(Module *m, const LoraMatrix *l)
{
    for (int64_t j = 0; j < l->rank; j++) {
        for (int64_t v = 0; v < l->n; v++) m->a[j * l->n + v] = l->b[v * l->rank + j];
        for (int64_t i = 0; i < l->k; i++) m->b[i * l->rank + j] = l->a[j * l->k + i];
    }
}

static void name_module(PeftWriter *w, Module *m, const TensorRule *rule, int layer)
{
    char path[160];
    put_layer(rule->from, layer, path, sizeof path);
    snprintf(m->path, sizeof m->path, "%s%s", prefix_of(w->plan, rule->from), path);
    const char *dot = strrchr(m->path, '.');
    snprintf(m->leaf, sizeof m->leaf, "%s", dot ? dot + 1 : m->path);
    snprintf(m->stem, sizeof m->stem, "%s", m->path);
}

static bt_status add_matrix(PeftWriter *w, const LoraMatrix *l, const TensorRule *rule, int layer)
{
    PeftWay ways[PEFT_MOST_WAYS];
    char lead[220];
    Module *m = &w->modules[w->n];
    *m = (Module){.rank = l->rank, .rows = l->n, .cols = l->k, .scale = l->scale};
    name_module(w, m, rule, layer);
    m->lookup = strcmp(l->name, LORA_EMBEDDING) == 0;
    if (m->lookup) {
        m->cols = l->n; /* of PEFT's A, which is not what it is elsewhere */
        m->rows = l->k;
        bt_status status = reserve(w, m);
        w->n++;
        if (!status) put_lookup(m, l);
        return status;
    }
    snprintf(lead, sizeof lead, "%s.weight", m->path);
    int n = peft_ways(w->plan, lead, 0, l->n, l->k, ways);
    if (n != 1 || ways[0].n != l->n || ways[0].k != l->k || strcmp(ways[0].out->name, l->name) != 0)
        return no_place(w, l->name);
    bt_status status = reserve(w, m);
    w->n++;
    if (!status && l->magnitude && !(m->magnitude = mem_zalloc((size_t)l->n, sizeof(float))))
        status = no_memory(w);
    if (!status) put_back(m, l, ways[0].out, 0, true);
    return status;
}

/* ---- experts ---- */

static bool same_numbers(const float *x, const float *y, int64_t n)
{
    return memcmp(x, y, (size_t)n * sizeof *x) == 0;
}

/* The next module: a parameter of `rows` rows for all experts of l. */
static bt_status begin_parameter(PeftWriter *w, const LoraMatrix *l, int64_t rows, int64_t rank,
                                 const TensorRule *rule, int layer)
{
    Module *m = &w->modules[w->n++];
    *m = (Module){.mats = l->n_mats,
                  .rank = rank,
                  .rows = rows,
                  .cols = l->k,
                  .scale = l->scale,
                  .parameter = true};
    name_module(w, m, rule, layer);
    char *dot = strrchr(m->stem, '.');
    if (dot) *dot = '\0';
    return reserve(w, m);
}

/* gate and up of all experts, in one parameter: ranks side by side, or one A where it serves both.
 */
static bt_status add_gate_up(PeftWriter *w, const LoraMatrix *gate, const LoraMatrix *up,
                             const TensorRule *rule, int layer)
{
    PeftWay ways[PEFT_MOST_WAYS];
    const LoraMatrix *any = gate ? gate : up;
    bool both = gate && up;
    if (both && (gate->k != up->k || gate->n != up->n || gate->n_mats != up->n_mats))
        return no_place(w, any->name);
    bool shared = both && gate->rank == up->rank && gate->scale == up->scale &&
                  same_numbers(gate->a, up->a, any->n_mats * any->rank * any->k);
    Module *m = &w->modules[w->n];
    bt_status status = begin_parameter(
        w, any, 2 * any->n, both && !shared ? gate->rank + up->rank : any->rank, rule, layer);
    int n = status ? 0 : peft_ways(w->plan, m->path, m->mats, m->rows, m->cols, ways);
    for (int i = 0; i < n; i++) {
        const LoraMatrix *l = gate && strcmp(ways[i].out->name, gate->name) == 0 ? gate
                              : up && strcmp(ways[i].out->name, up->name) == 0   ? up
                                                                                 : NULL;
        if (!l || l->scale != m->scale) {
            if (l) return no_place(w, l->name);
            continue;
        }
        put_back(m, l, ways[i].out, both && !shared && l == up ? gate->rank : 0, true);
    }
    return status ? status : n ? BT_OK : no_place(w, any->name);
}

static bt_status add_down(PeftWriter *w, const LoraMatrix *down, const TensorRule *rule, int layer)
{
    PeftWay ways[PEFT_MOST_WAYS];
    Module *m = &w->modules[w->n];
    bt_status status = begin_parameter(w, down, down->n, down->rank, rule, layer);
    if (status) return status;
    if (peft_ways(w->plan, m->path, m->mats, m->rows, m->cols, ways) != 1)
        return no_place(w, down->name);
    put_back(m, down, ways[0].out, 0, true);
    return BT_OK;
}

static bt_status add_experts(PeftWriter *w, const LoraMatrix *l, const char *tail, int layer)
{
    char name[LORA_NAME];
    bool down = strcmp(tail, "ffn_down_exps.weight") == 0;
    bool up = strcmp(tail, "ffn_up_exps.weight") == 0;
    const TensorRule *rule = rule_to(w->plan->tensors, tail);
    if (!rule || l->magnitude || (!down && !up && strcmp(tail, "ffn_gate_exps.weight") != 0))
        return no_place(w, l->name);
    if (down) return add_down(w, l, rule, layer);
    snprintf(name, sizeof name, "blk.%d.ffn_%s_exps.weight", layer, up ? "gate" : "up");
    const LoraMatrix *other = lora_find(w->lora, name);
    if (up && other) return BT_OK; /* written with the gate */
    return add_gate_up(w, up ? NULL : l, up ? l : other, rule, layer);
}

static bt_status add(PeftWriter *w, const LoraMatrix *l)
{
    int layer;
    const char *tail = tail_of(l->name, &layer);
    size_t n = strlen(tail);
    if (n <= 7 || strcmp(tail + n - 7, ".weight") != 0) return no_place(w, l->name);
    if (l->n_mats > 1) return add_experts(w, l, tail, layer);
    const TensorRule *rule = rule_to(w->plan->tensors, tail);
    if (!rule) rule = rule_to(rules_common, tail);
    return rule ? add_matrix(w, l, rule, layer) : no_place(w, l->name);
}

/* ---- the config ---- */

static bool named_before(const PeftWriter *w, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (w->modules[j].parameter == w->modules[i].parameter &&
            strcmp(w->modules[j].leaf, w->modules[i].leaf) == 0)
            return true;
    return false;
}

static void put_targets(const PeftWriter *w, Buf *b, const char *key, bool parameter)
{
    const char *comma = "";
    buf_printf(b, "  \"%s\": [", key);
    for (size_t i = 0; i < w->n; i++) {
        const Module *m = &w->modules[i];
        if (m->parameter != parameter || named_before(w, i)) continue;
        buf_printf(b, "%s\"%s%s\"", comma, parameter ? "experts." : "", m->leaf);
        comma = ", ";
    }
    buf_text(b, "],\n");
}

static void put_patterns(const PeftWriter *w, Buf *b, const char *key, bool rank)
{
    const Module *first = &w->modules[0];
    const char *comma = "";
    buf_printf(b, "  \"%s\": {", key);
    for (size_t i = 0; i < w->n; i++) {
        const Module *m = &w->modules[i];
        double alpha = (double)m->scale * (double)m->rank;
        if (rank ? m->rank == first->rank : alpha == (double)first->scale * (double)first->rank)
            continue;
        buf_printf(b, "%s\n    \"", comma);
        for (const char *p = m->path; *p; p++) buf_printf(b, *p == '.' ? "\\\\." : "%c", *p);
        if (rank)
            buf_printf(b, "\": %lld", (long long)m->rank);
        else
            buf_printf(b, "\": %.9g", alpha);
        comma = ",";
    }
    buf_text(b, "},\n");
}

/* Names of a base are free text. */
static void put_json_text(Buf *b, const char *text)
{
    buf_char(b, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        buf_printf(b, *p < 0x20 || *p == '"' || *p == '\\' ? "\\u%04x" : "%c", *p);
    buf_char(b, '"');
}

static void make_config(const PeftWriter *w, Buf *b)
{
    bool dora = false, turned = strcmp(w->plan->arch, "gpt2") == 0;
    for (size_t i = 0; i < w->n; i++) dora = dora || w->modules[i].magnitude;
    buf_text(b, "{\n  \"peft_type\": \"LORA\",\n  \"task_type\": \"CAUSAL_LM\",\n"
                "  \"base_model_name_or_path\": ");
    put_json_text(b, w->lora->base ? w->lora->base : "");
    buf_printf(b, ",\n  \"r\": %lld,\n  \"lora_alpha\": %.9g,\n", (long long)w->modules[0].rank,
               (double)w->modules[0].scale * (double)w->modules[0].rank);
    put_patterns(w, b, "rank_pattern", true);
    put_patterns(w, b, "alpha_pattern", false);
    put_targets(w, b, "target_modules", false);
    bool any = false;
    for (size_t i = 0; i < w->n; i++) any = any || w->modules[i].parameter;
    if (any) put_targets(w, b, "target_parameters", true);
    buf_printf(b,
               "  \"use_dora\": %s,\n  \"use_rslora\": false,\n  \"fan_in_fan_out\": %s,\n"
               "  \"bias\": \"none\",\n  \"lora_dropout\": 0.0,\n  \"init_lora_weights\": true,\n"
               "  \"inference_mode\": true\n}\n",
               dora ? "true" : "false", turned ? "true" : "false");
}

static bt_status write_text(void *user, int fd, bt_error *err)
{
    const Buf *b = user;
    return os_write_all(fd, b->data, b->size, err);
}

/* ---- the files ---- */

/* PEFT wraps the parameters of one module around each other: the one named first lies inside. */
static const char *wrapped(const PeftWriter *w, const Module *m)
{
    for (const Module *o = m + 1; o < w->modules + w->n && m->parameter; o++)
        if (o->parameter && strcmp(o->stem, m->stem) == 0) return ".base_layer";
    return "";
}

static bt_status write_tensors(PeftWriter *w, const char *path)
{
    StOut *outs = mem_zalloc(3 * w->n, sizeof *outs);
    char(*names)[300] = mem_zalloc(3 * w->n, sizeof *names);
    size_t n = 0;
    bt_status status = outs && names ? BT_OK : no_memory(w);
    for (size_t i = 0; i < w->n && !status; i++) {
        const Module *m = &w->modules[i];
        uint64_t rank = (uint64_t)(m->rank * (m->mats ? m->mats : 1));
        const char *ends[] = {m->lookup ? "lora_embedding_A" : "lora_A.weight",
                              m->lookup ? "lora_embedding_B" : "lora_B.weight",
                              "lora_magnitude_vector"};
        const float *data[] = {m->a, m->b, m->magnitude};
        const uint64_t shapes[3][2] = {
            {rank, (uint64_t)m->cols}, {(uint64_t)m->rows, rank}, {(uint64_t)m->rows, 0}};
        for (int k = 0; k < 3; k++) {
            if (!data[k]) continue;
            snprintf(names[n], sizeof names[n], "base_model.model.%s%s.%s", m->stem, wrapped(w, m),
                     ends[k]);
            outs[n] = (StOut){.name = names[n], .type = ST_F32, .data = data[k]};
            outs[n].n_dims = k == 2 ? 1 : 2;
            memcpy(outs[n].shape, shapes[k], sizeof shapes[k]);
            n++;
        }
    }
    if (!status) status = st_write(path, outs, n, w->err);
    mem_free(outs);
    mem_free(names);
    return status;
}

static bt_status write_files(PeftWriter *w)
{
    char path[4096];
    Buf config = {0};
    make_config(w, &config);
    bt_status status = config.failed ? no_memory(w) : os_make_dirs(w->folder, w->err);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", w->folder);
    if (!status) status = write_tensors(w, path);
    snprintf(path, sizeof path, "%s/adapter_config.json", w->folder);
    if (!status) status = os_replace_file(path, write_text, &config, w->err);
    buf_close(&config);
    return status;
}

/* PEFT wraps the experts' parameters in the order of its list: those of gate and up first. */
bt_status peft_write(const Lora *lora, const Gguf *base, const char *folder, bt_error *err)
{
    bt_error own;
    PeftWriter w = {.folder = folder, .lora = lora, .err = err ? err : &own};
    if (!lora->n) return bt_fail(err, BT_E_ARGUMENT, "%s: the adapter has no tensors", folder);
    bt_status status = peft_plan_open(folder, base, &w.plan, w.err);
    if (status) return status;
    w.modules = mem_zalloc(lora->n + 1, sizeof *w.modules);
    if (!w.modules) status = no_memory(&w);
    for (int down = 0; down < 2; down++)
        for (size_t i = 0; i < lora->n && !status; i++) {
            bool last = strstr(lora->items[i].name, "ffn_down_exps") != NULL;
            if (last == (down != 0)) status = add(&w, &lora->items[i]);
        }
    if (!status) status = write_files(&w);
    for (size_t i = 0; i < w.n && w.modules; i++) {
        mem_free(w.modules[i].a);
        mem_free(w.modules[i].b);
        mem_free(w.modules[i].magnitude);
    }
    mem_free(w.modules);
    convert_close(&w.plan);
    return status;
}
