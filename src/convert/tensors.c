/* From the makers' names to GGUF's: each tensor of the folder is led by a rule to one or more
 * tensors of the result; experts that stand one by one are laid together. What no rule knows is
 * refused: a tensor left out unseen is a model that answers wrongly. */
#include <stdio.h>

#include "base/checked.h"
#include "base/mem.h"
#include "convert/plan.h"
#include "tensor/dtype.h"

/* What stands before the names of a text model, alone or inside a multimodal one. */
static const char *const prefixes[] = {"model.language_model.",
                                       "language_model.model.",
                                       "language_model.",
                                       "model.model.",
                                       "model.",
                                       "transformer.",
                                       "backbone.",
                                       "gpt_neox.",
                                       "bert.",
                                       "roberta.",
                                       NULL};

/* Parts of multimodal models that have a file of their own elsewhere, and buffers that are computed
 * again. */
static const char *const left_out[] = {
    "vision_tower.",        "vision_model.",    "visual.",          "multi_modal_projector.",
    "audio_tower.",         "embed_vision.",    "embed_audio.",     "mtp.",
    "vision_embed_tokens.", "image_newline",    "mm_projector.",    "mtp_block.",
    "mtp_emb_norm.",        "mtp_hidden_norm.", "mtp_linear_proj.", NULL};
static const char *const buffers[] = {
    ".rotary_emb.inv_freq",   ".attn.masked_bias",   ".attn.bias", ".attention.bias",
    ".attention.masked_bias", "rotary_emb.inv_freq", NULL};

typedef struct Name {
    char shape[160];       /* "layers.#.mlp.experts.*.up_proj.weight" */
    size_t stem;           /* of shape, without ".weight" or ".bias" */
    int32_t layer, expert; /* -1: none */
} Name;

static bool starts_with_any(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (strncmp(name, *list, strlen(*list)) == 0) return true;
    return false;
}

static bool ends_with(const char *name, size_t n, const char *end)
{
    size_t m = strlen(end);
    return n >= m && memcmp(name + n - m, end, m) == 0;
}

/* Numbers between dots become '#', then '*'. False: too long, or more numbers than two. */
static bool read_name(const char *name, Name *out)
{
    size_t n = 0;
    out->layer = out->expert = -1;
    for (const char *p = name; *p;) {
        size_t length = strcspn(p, "."), digits = strspn(p, "0123456789");
        if (length && digits == length && digits < 8) {
            int32_t value = 0;
            for (size_t i = 0; i < digits; i++) value = value * 10 + (p[i] - '0');
            int32_t *slot = out->layer < 0 ? &out->layer : &out->expert;
            if (*slot >= 0 || n + 2 >= sizeof out->shape) return false;
            *slot = value;
            out->shape[n++] = slot == &out->layer ? '#' : '*';
        } else {
            if (n + length + 2 >= sizeof out->shape) return false;
            memcpy(out->shape + n, p, length);
            n += length;
        }
        p += length;
        if (*p == '.') out->shape[n++] = *p++;
    }
    out->shape[n] = '\0';
    if (strncmp(out->shape, "altup_", 6) == 0 && out->layer >= 0) { /* streams, not layers */
        *strchr(out->shape, '#') = '*';
        out->expert = out->layer;
        out->layer = -1;
    }
    out->stem = ends_with(out->shape, n, ".weight") ? n - 7
                : ends_with(out->shape, n, ".bias") ? n - 5
                                                    : n;
    return true;
}

/* ---- tensors of the result ---- */

static ConvOut *new_out(Convert *c, const char *name)
{
    if (plan_failed(c)) return NULL;
    if (c->n_outs == c->outs_capacity) {
        size_t capacity = c->outs_capacity ? 2 * c->outs_capacity : 512;
        ConvOut **more = mem_realloc(c->outs, capacity * sizeof(ConvOut *));
        if (!more) {
            plan_fail(c, BT_E_MEMORY, "not enough memory for the list of tensors");
            return NULL;
        }
        c->outs = more;
        c->outs_capacity = capacity;
    }
    ConvOut *o = plan_memory(c, 1, sizeof *o);
    if (!o) return NULL;
    snprintf(o->name, sizeof o->name, "%s", name);
    o->plan = c;
    for (int i = 0; i < GGUF_MAX_DIMS; i++) o->ne[i] = 1;
    c->outs[c->n_outs++] = o;
    return o;
}

void plan_made(Convert *c, const char *name, const float *values, uint64_t n)
{
    ConvOut *o = values ? new_out(c, name) : NULL;
    if (!o) return;
    o->made = values;
    o->cols = o->mats = 1;
    o->rows = o->ne[0] = n;
    o->n_dims = 1;
    o->f32 = true;
}

void plan_made_matrix(Convert *c, const char *name, const float *values, uint64_t cols,
                      uint64_t rows)
{
    size_t before = c->n_outs;
    plan_made(c, name, values, cols * rows);
    if (c->n_outs == before) return;
    ConvOut *o = c->outs[before];
    o->ne[0] = cols;
    o->ne[1] = rows;
    o->n_dims = 2;
}

static ConvOut *find_out(Convert *c, const char *name)
{
    for (size_t i = c->n_outs; i > 0; i--) /* experts of a layer stand together */
        if (strcmp(c->outs[i - 1]->name, name) == 0) return c->outs[i - 1];
    return NULL;
}

/* The tensor as it lies: a vector, a matrix, or a stack of them. */
static bool natural_view(Convert *c, ConvOut *o, const StTensor *t)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) n *= t->shape[i];
    if (t->n_dims > 3 || n == 0) {
        plan_misshapen(c, t, "1 to 3 dimensions, none of them 0,");
        return false;
    }
    o->n_dims = t->n_dims ? t->n_dims : 1;
    o->cols = t->n_dims > 1 ? t->shape[t->n_dims - 1] : 1;
    o->rows = t->n_dims > 1 ? t->shape[t->n_dims - 2] : n;
    o->mats = t->n_dims > 2 ? t->shape[0] : 1;
    o->src_cols = o->cols;
    o->src_rows = o->rows;
    for (uint32_t i = 0; i < o->n_dims; i++) o->ne[i] = t->n_dims ? t->shape[t->n_dims - 1 - i] : 1;
    return true;
}

/* ---- scales ---- */

static const StTensor *find_beside(Convert *c, const StTensor *t, size_t cut, const char *end)
{
    char name[ST_MAX_NAME + 40];
    snprintf(name, sizeof name, "%.*s%s", (int)(t->name.size - cut), t->name.data, end);
    const StTensor *s = st_find(c->st, span_of(name));
    if (s) c->used[s - st_tensor(c->st, 0)] = true;
    return s;
}

/* "X.weight_scale_inv" and "X.weight_scale" both multiply. */
static const StTensor *f8_scale(Convert *c, const StTensor *t)
{
    static const char *const ends[] = {"_scale_inv", "_scale", NULL};
    const StTensor *s = NULL;
    for (const char *const *end = ends; *end && !s; end++) s = find_beside(c, t, 0, *end);
    if (!s) {
        plan_fail(c, BT_E_FORMAT, "tensor '%.*s' is %s and has no weight_scale beside it",
                  (int)t->name.size, t->name.data, st_type_name(t->type));
        return NULL;
    }
    uint64_t rows = t->n_dims == 2 ? t->shape[0] : 0, cols = t->n_dims == 2 ? t->shape[1] : 0;
    uint64_t high = (rows + 127) / 128, wide = (cols + 127) / 128;
    bool one = s->n_dims == 0 || (s->n_dims == 1 && s->shape[0] == 1);
    bool each = (s->n_dims == 1 && s->shape[0] == rows) ||
                (s->n_dims == 2 && s->shape[0] == rows && s->shape[1] == 1);
    bool blocks = s->n_dims == 2 && s->shape[0] == high && s->shape[1] == wide;
    bool type = s->type == ST_F32 || s->type == ST_BF16 || s->type == ST_F16;
    if (!rows || !type || !(one || each || blocks)) {
        char expected[120];
        snprintf(expected, sizeof expected, "one number, %llu, or %llu x %llu",
                 (unsigned long long)rows, (unsigned long long)high, (unsigned long long)wide);
        plan_misshapen(c, s, expected);
    }
    return s;
}

/* "X_blocks" (n, rows, k/32, 16) of bytes, "X_scales" (n, rows, k/32). */
static const StTensor *mxfp4_view(Convert *c, ConvOut *o, const StTensor *t)
{
    const StTensor *s = find_beside(c, t, 6, "scales");
    bool good = s && t->n_dims == 4 && t->shape[3] == 16 && s->n_dims == 3 && s->type == ST_U8 &&
                t->type == ST_U8 && t->bytes;
    for (int i = 0; good && i < 3; i++) good = s->shape[i] == t->shape[i];
    if (!good) {
        plan_misshapen(c, t, "U8 N x M x K x 16 with scales N x M x K beside it");
        return NULL;
    }
    o->mxfp4 = true;
    o->n_dims = 3;
    o->mats = o->ne[2] = t->shape[0];
    o->rows = o->src_rows = o->ne[1] = t->shape[1];
    o->cols = o->src_cols = o->ne[0] = t->shape[2] * 32;
    return s;
}

/* ---- pieces ---- */

static bool is_float(const StTensor *t)
{
    return t->type == ST_F32 || t->type == ST_F16 || t->type == ST_BF16 || t->type == ST_F64;
}

static bool same_shape(const StTensor *a, const StTensor *b)
{
    return a->n_dims == b->n_dims && a->type == b->type &&
           memcmp(a->shape, b->shape, sizeof a->shape) == 0;
}

/* How many pieces a '*' stands for. */
static int32_t stack_of(Convert *c, const TensorRule *rule)
{
    switch (rule->op ? STACK_EXPERTS : rule->arg) {
    case STACK_HEADS: return c->size.heads;
    case STACK_KV_HEADS: return c->size.kv_heads;
    case STACK_STREAMS: return conf_int(c, "altup_num_inputs", 1) - 1;
    default: return c->size.experts;
    }
}

static void first_piece(Convert *c, ConvOut *o, const TensorRule *rule, const StTensor *t,
                        bool expert)
{
    bool mx = t->type == ST_U8 && ends_with(t->name.data, t->name.size, "_blocks");
    bool f8 = t->type == ST_F8_E4M3 || t->type == ST_F8_E5M2;
    o->n_pieces = expert ? (uint32_t)stack_of(c, rule) : 1;
    o->pieces = plan_memory(c, o->n_pieces, sizeof *o->pieces);
    if (mx || f8) o->scales = plan_memory(c, o->n_pieces, sizeof *o->scales);
    if (plan_failed(c)) return;
    o->pieces[0] = t; /* ops look at it; put where it belongs afterwards */
    if (mx)
        o->scales[0] = mxfp4_view(c, o, t);
    else if (!natural_view(c, o, t))
        return;
    if (!mx && !f8 && !is_float(t))
        plan_fail(c, BT_E_UNSUPPORTED, "tensor '%.*s' is of type %s, which holds no weights here",
                  (int)t->name.size, t->name.data, st_type_name(t->type));
    if (!plan_failed(c) && rule->op) rule->op(c, o, rule->arg);
    o->pieces[0] = NULL;
    if (expert && o->n_dims < 3) o->ne[o->n_dims++] = o->n_pieces;
}

static void add_piece(Convert *c, const char *name, const TensorRule *rule, const StTensor *t,
                      int32_t expert)
{
    ConvOut *o = expert >= 0 ? find_out(c, name) : NULL;
    int32_t at = expert < 0 ? 0 : expert;
    if (expert >= 0 && expert >= stack_of(c, rule)) {
        plan_fail(c, BT_E_FORMAT, "tensor '%.*s': config.json says that there are %d",
                  (int)t->name.size, t->name.data, stack_of(c, rule));
        return;
    }
    if (!o) {
        o = new_out(c, name);
        if (o) first_piece(c, o, rule, t, expert >= 0);
    } else {
        const StTensor *other = NULL;
        for (uint32_t i = 0; i < o->n_pieces && !other; i++) other = o->pieces[i];
        if (other && !same_shape(other, t)) {
            char expected[120];
            plan_misshapen(c, t, st_shape_text(other, expected, sizeof expected));
        }
    }
    if (!o || plan_failed(c)) return;
    o->pieces[at] = t;
    if (o->scales) o->scales[at] = o->mxfp4 ? find_beside(c, t, 6, "scales") : f8_scale(c, t);
}

/* ---- rules ---- */

/* "blk.7." and the rule's name and, where the maker's has one, the suffix. */
static void result_name(const TensorRule *rule, const Name *n, bool whole, char out[96])
{
    char layer[24] = "";
    const char *suffix = whole ? "" : n->shape + n->stem;
    if (n->layer >= 0) snprintf(layer, sizeof layer, "blk.%d.", (int)n->layer);
    snprintf(out, 96, "%s%s%s", layer, rule->to, suffix);
}

static bool fits(const TensorRule *rule, const Name *n, bool *whole)
{
    size_t length = strlen(rule->from);
    *whole = strcmp(rule->from, n->shape) == 0;
    return *whole ||
           (length == n->stem && n->shape[n->stem] && memcmp(rule->from, n->shape, length) == 0);
}

/* Follows all rules of a table that fit; false: none does. */
static bool follow(Convert *c, const TensorRule *rules, const Name *n, const StTensor *t)
{
    bool any = false, whole;
    char name[96];
    for (const TensorRule *r = rules; r && r->from && !plan_failed(c); r++) {
        if (!fits(r, n, &whole)) continue;
        any = true;
        if (!r->to) continue;
        result_name(r, n, whole, name);
        add_piece(c, name, r, t, n->expert);
    }
    return any;
}

static const char *without_prefix(const char *name)
{
    for (const char *const *p = prefixes; *p; p++)
        if (strncmp(name, *p, strlen(*p)) == 0) return name + strlen(*p);
    return name;
}

bool plan_lead(Convert *c, const StTensor *t, int32_t *expert)
{
    char full[ST_MAX_NAME + 1];
    Name n;
    memcpy(full, t->name.data, t->name.size);
    full[t->name.size] = '\0';
    c->n_outs = 0;
    if (!read_name(without_prefix(full), &n)) return false;
    *expert = n.expert;
    return follow(c, c->tensors, &n, t) || follow(c, rules_common, &n, t);
}

static bool is_scale(Convert *c, const char *name, size_t n)
{
    return ends_with(name, n, ".weight_scale_inv") || ends_with(name, n, ".weight_scale") ||
           ends_with(name, n, "_scales") || ends_with(name, n, ".input_scale") ||
           ends_with(name, n, ".activation_scale");
}

/* Layers that guess tokens further ahead stand after the others: as many as config.json says. */
static void plan_later_layer(Convert *c, int32_t layer, const char *full)
{
    int32_t guess = conf_int(c, "num_nextn_predict_layers|num_mtp_modules", 0);
    if (plan_failed(c)) return;
    if (layer - c->size.layers >= guess)
        plan_fail(c, BT_E_FORMAT, "tensor '%s' is of a layer past the %d of config.json", full,
                  c->size.layers);
    else if (!strstr(c->notes.data ? c->notes.data : "", "past the last"))
        plan_note(c, "layers past the last of %d are left out (%s ...)", c->size.layers, full);
}

static void plan_tensor(Convert *c, const StTensor *t)
{
    char full[ST_MAX_NAME + 1];
    Name n;
    memcpy(full, t->name.data, t->name.size);
    full[t->name.size] = '\0';
    const char *name = without_prefix(full);
    bool *used = &c->used[t - st_tensor(c->st, 0)];
    for (const char *const *b = buffers; *b; b++)
        if (ends_with(full, t->name.size, *b)) return;
    if (starts_with_any(name, left_out) || starts_with_any(full, left_out)) {
        *used = true;
        if (!strstr(c->notes.data ? c->notes.data : "", "other than text"))
            plan_note(c, "parts other than text are left out (%.*s ...)", (int)t->name.size,
                      t->name.data);
        return;
    }
    if (is_scale(c, name, strlen(name))) return; /* taken with its weight */
    if (!read_name(name, &n)) {
        plan_fail(c, BT_E_UNSUPPORTED, "tensor '%s' is not known in %s", full, c->family->arch);
        return;
    }
    if (n.layer >= c->size.layers) {
        plan_later_layer(c, n.layer, full);
        return;
    }
    if (!follow(c, c->tensors, &n, t) && !follow(c, rules_common, &n, t) && !plan_failed(c))
        plan_fail(c, BT_E_UNSUPPORTED, "tensor '%s' is not known in the architecture %s", full,
                  c->family->arch);
}

/* ---- all ---- */

static void check_experts(Convert *c)
{
    for (size_t i = 0; i < c->n_outs && !plan_failed(c); i++) {
        const ConvOut *o = c->outs[i];
        for (uint32_t e = 0; e < o->n_pieces && !o->made; e++)
            if (!o->pieces[e]) {
                plan_fail(c, BT_E_FORMAT, "expert %u of tensor '%s' is missing", e, o->name);
                return;
            }
    }
}

/* Whether the whole's config or its text model's says so. */
static bool says_tied(const Convert *c, JdocType value)
{
    JdocRef outer = jdoc_get(c->config, 0, "tie_word_embeddings");
    JdocRef inner = jdoc_get(c->config, c->text, "tie_word_embeddings");
    return jdoc_type(c->config, outer) == value || jdoc_type(c->config, inner) == value;
}

/* Tied weights stand once; a head beside a tied embedding is a copy. Where the two configs of a
 * multimodal model disagree, a head that is there is one. */
static void check_head(Convert *c)
{
    bool tied = says_tied(c, JDOC_TRUE), apart = says_tied(c, JDOC_FALSE);
    const ConvOut *head = find_out(c, "output.weight"), *table = find_out(c, "token_embd.weight");
    if (plan_failed(c)) return;
    if (!table) {
        plan_fail(c, BT_E_FORMAT,
                  "tensor 'embed_tokens.weight' is missing; the folder is incomplete");
        return;
    }
    JdocRef classes = jdoc_get(c->config, 0, "architectures");
    Span kind = jdoc_text(c->config, jdoc_at(c->config, classes, 0));
    bool bare = kind.size > 5 && memcmp(kind.data + kind.size - 5, "Model", 5) == 0;
    if (apart && !tied && !head && !bare && !c->labels)
        plan_fail(c, BT_E_FORMAT,
                  "tensor 'lm_head.weight' is missing, and config.json says that it is not tied");
    if (tied && !apart && head)
        for (size_t i = 0; i < c->n_outs; i++)
            if (c->outs[i] == head) {
                memmove(&c->outs[i], &c->outs[i + 1], (--c->n_outs - i) * sizeof *c->outs);
                break;
            }
    if (c->size.vocab && table->rows != (uint64_t)c->size.vocab)
        plan_fail(c, BT_E_FORMAT,
                  "tensor 'embed_tokens.weight' has %llu rows; config.json says vocab_size %d",
                  (unsigned long long)table->rows, c->size.vocab);
}

/* Small tensors that every reader takes as float32. */
static bool wants_f32(const ConvOut *o)
{
    static const char *const parts[] = {"ffn_gate_inp",       "ssm_conv1d",  "shortconv.conv",
                                        "position_embd",      "token_types", "altup_correct_coef",
                                        "altup_predict_coef", NULL};
    size_t n = strlen(o->name);
    if (o->f32 || o->n_dims == 1) return true;
    if (ends_with(o->name, n, "_norm.weight") || !ends_with(o->name, n, ".weight")) return true;
    for (const char *const *p = parts; *p; p++)
        if (strstr(o->name, *p)) return true;
    return false;
}

static uint32_t choose_type(const Convert *c, const ConvOut *o)
{
    if (o->mxfp4) return DT_MXFP4;
    if (wants_f32(o)) return DT_F32;
    switch (c->options.type) {
    case CONVERT_F32: return DT_F32;
    case CONVERT_F16: return DT_F16;
    case CONVERT_BF16: return DT_BF16;
    case CONVERT_Q8_0: return o->cols % 32 ? DT_F16 : DT_Q8_0;
    case CONVERT_AUTO: break;
    }
    StType type = o->pieces[0]->type;
    return type == ST_F16 ? DT_F16 : type == ST_F32 || type == ST_F64 ? DT_F32 : DT_BF16;
}

void plan_tensors(Convert *c)
{
    size_t n = c->st ? st_n_tensors(c->st) : 0;
    c->used = plan_memory(c, n + 1, sizeof *c->used);
    for (size_t i = 0; i < n && !plan_failed(c); i++) plan_tensor(c, st_tensor(c->st, i));
    check_experts(c);
    if (c->st) check_head(c);
    for (size_t i = 0; i < c->n_outs && !plan_failed(c); i++) {
        ConvOut *o = c->outs[i];
        o->type = choose_type(c, o);
        c->bytes_all += out_bytes(o);
    }
}
