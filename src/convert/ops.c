/* What a rule does to a tensor: which of its rows and columns, in which order, and what becomes of
 * each number. Rows are moved through an index, so one reader (values.c) serves all of them. */
#include <math.h>
#include <stdio.h>

#include "convert/plan.h"

void plan_misshapen(Convert *c, const StTensor *t, const char *expected)
{
    char found[120];
    plan_fail(c, BT_E_FORMAT,
              "tensor '%.*s' is %s; %s is expected: config.json and weights disagree",
              (int)t->name.size, t->name.data, st_shape_text(t, found, sizeof found), expected);
}

/* Makers keep the two halves of a head apart; GGUF's llama turns neighbours: (heads, 2, e/2)
 * becomes (heads, e/2, 2). */
void op_heads(Convert *c, ConvOut *o, int arg)
{
    uint64_t heads = (uint64_t)(arg ? c->size.kv_heads : c->size.heads);
    if (!heads || o->rows % (2 * heads)) {
        char expected[80];
        snprintf(expected, sizeof expected, "%llu heads of an even size",
                 (unsigned long long)heads);
        plan_misshapen(c, o->pieces[0], expected);
        return;
    }
    uint64_t e = o->rows / heads;
    uint32_t *from = plan_memory(c, o->rows, sizeof *from);
    for (uint64_t r = 0; from && r < o->rows; r++) {
        uint64_t head = r / e, i = r % e;
        from[r] = (uint32_t)(head * e + i % 2 * (e / 2) + i / 2);
    }
    o->row_of = from;
}

static float add_one(float x)
{
    return x + 1;
}

void op_add_one(Convert *c, ConvOut *o, int arg)
{
    o->value = add_one;
}

static float neg_exp(float x)
{
    return -expf(x);
}

void op_neg_exp(Convert *c, ConvOut *o, int arg)
{
    o->value = neg_exp;
    o->f32 = true;
}

void op_transpose(Convert *c, ConvOut *o, int arg)
{
    if (o->src_cols == 1) return; /* a vector */
    uint64_t rows = o->rows;
    o->transposed = true;
    o->rows = o->cols;
    o->cols = rows;
    o->ne[0] = o->cols;
    o->ne[1] = o->rows;
}

void op_rows(Convert *c, ConvOut *o, int arg)
{
    uint64_t n = (uint64_t)arg >> 4, i = (uint64_t)arg & 15;
    if (o->rows % n) {
        plan_misshapen(c, o->pieces[0], "a number of rows that splits evenly");
        return;
    }
    o->rows /= n;
    o->row0 = i * o->rows;
    o->ne[o->n_dims == 1 ? 0 : 1] = o->rows;
}

void op_squeeze(Convert *c, ConvOut *o, int arg)
{
    const StTensor *t = o->pieces[0];
    if (t->n_dims != 3 || t->shape[1] != 1) {
        plan_misshapen(c, t, "N x 1 x K");
        return;
    }
    o->cols = o->src_cols = t->shape[2];
    o->rows = o->src_rows = t->shape[0];
    o->mats = 1;
    o->n_dims = 2;
    o->ne[0] = o->cols;
    o->ne[1] = o->rows;
    o->ne[2] = 1;
    o->f32 = true;
}

void op_f32(Convert *c, ConvOut *o, int arg)
{
    o->f32 = true;
}

/* ---- parts of tensors ---- */

/* Rows [first, first + n) of each matrix. */
static void take_rows(ConvOut *o, uint64_t first, uint64_t n)
{
    o->rows = n;
    o->row0 = first;
    o->ne[o->n_dims == 1 ? 0 : 1] = n;
}

void op_positions(Convert *c, ConvOut *o, int arg)
{
    if (!c->skipped) return;
    if (o->rows <= (uint64_t)c->skipped) {
        plan_misshapen(c, o->pieces[0], "more rows than pad_token_id");
        return;
    }
    take_rows(o, (uint64_t)c->skipped, o->rows - (uint64_t)c->skipped);
}

void op_experts_below(Convert *c, ConvOut *o, int arg)
{
    uint64_t n = (uint64_t)c->size.experts;
    if (o->n_dims != 2 || !n || o->rows % n) {
        plan_misshapen(c, o->pieces[0], "2 dimensions, its rows a multiple of the experts,");
        return;
    }
    o->n_dims = 3;
    o->mats = o->ne[2] = n;
    o->rows = o->src_rows = o->ne[1] = o->rows / n;
    if (arg) op_transpose(c, o, 0);
}

/* (in, n x out) becomes part i of n, turned: (out, in). */
void op_transpose_rows(Convert *c, ConvOut *o, int arg)
{
    op_transpose(c, o, 0);
    op_rows(c, o, arg);
}

void op_either_rows(Convert *c, ConvOut *o, int arg)
{
    if (o->src_cols != (uint64_t)c->size.embd) op_transpose(c, o, 0);
    op_rows(c, o, arg);
}

void op_either_columns(Convert *c, ConvOut *o, int arg)
{
    if (o->src_rows != (uint64_t)c->size.embd) op_transpose(c, o, 0);
}

/* Every second row (column, of stacked biases): gate and up stand side by side. */
void op_alternate(Convert *c, ConvOut *o, int arg)
{
    bool bias = o->n_dims == 2; /* (experts, 2 f) */
    if (o->n_dims == 3 && !o->mxfp4) op_transpose(c, o, 0);
    uint64_t n = (bias ? o->cols : o->rows) / 2;
    uint32_t *from = plan_memory(c, n, sizeof *from);
    for (uint64_t i = 0; from && i < n; i++) from[i] = (uint32_t)(2 * i + (uint64_t)arg);
    if (bias) {
        o->col_of = from;
        o->cols = o->ne[0] = n;
        o->f32 = true;
    } else {
        o->row_of = from;
        o->rows = o->ne[1] = n;
    }
}

/* Stacked biases stay (experts, n), as float32; matrices are turned unless they are blocks. */
void op_experts_turned(Convert *c, ConvOut *o, int arg)
{
    if (o->n_dims == 2) o->f32 = true;
    if (o->n_dims == 3 && !o->mxfp4) op_transpose(c, o, 0);
}

/* Groups of (q ... q k v) become all q, all k, all v. arg 0: a group for each KV head. */
void op_group_qkv(Convert *c, ConvOut *o, int arg)
{
    uint64_t groups = (uint64_t)c->size.kv_heads, heads = (uint64_t)c->size.heads;
    uint64_t each = groups ? heads / groups + 2 : 0;
    if (!groups || heads % groups || o->rows % (groups * each)) {
        plan_misshapen(c, o->pieces[0], "rows of q, k and v for each KV head");
        return;
    }
    uint64_t e = o->rows / (groups * each), r = 0;
    uint32_t *from = plan_memory(c, o->rows, sizeof *from);
    for (uint64_t part = 0; from && part < 3; part++) {
        uint64_t first = part == 0 ? 0 : each - 3 + part, n = part == 0 ? each - 2 : 1;
        for (uint64_t g = 0; g < groups; g++)
            for (uint64_t i = 0; i < n * e; i++) from[r++] = (uint32_t)((g * each + first) * e + i);
    }
    o->row_of = from;
}

/* One of q, k and v (arg 0, 1, 2) out of such groups, q and k with neighbours that turn. */
void op_ungroup_qkv(Convert *c, ConvOut *o, int arg)
{
    op_group_qkv(c, o, 0);
    uint64_t heads = (uint64_t)c->size.heads, kv = (uint64_t)c->size.kv_heads;
    if (plan_failed(c)) return;
    uint64_t e = o->rows / (heads + 2 * kv), n = (arg == 0 ? heads : kv) * e;
    uint64_t first = arg == 0 ? 0 : (heads + (arg == 2 ? kv : 0)) * e;
    uint32_t *from = plan_memory(c, n, sizeof *from);
    for (uint64_t r = 0; from && r < n; r++) {
        uint64_t i = r % e, turned = arg == 2 ? i : i % 2 * (e / 2) + i / 2;
        from[r] = o->row_of[first + r - i + turned];
    }
    take_rows(o, 0, n);
    o->row_of = from;
}

/* Of MLA's kv_b, (heads, key + value, rank): arg 0 the keys' part turned, 1 the values'. */
void op_kv_b(Convert *c, ConvOut *o, int arg)
{
    uint64_t key = (uint64_t)conf_int(c, "qk_nope_head_dim", CONF_REQUIRED);
    uint64_t value = (uint64_t)conf_int(c, "v_head_dim", CONF_REQUIRED);
    uint64_t heads = (uint64_t)c->size.heads;
    if (plan_failed(c)) return;
    if (!heads || o->n_dims != 2 || o->rows != heads * (key + value)) {
        plan_misshapen(c, o->pieces[0], "heads of qk_nope_head_dim and v_head_dim rows");
        return;
    }
    uint64_t rank = o->cols;
    o->mats = heads;
    o->src_rows = key + value;
    o->n_dims = 3;
    o->ne[2] = heads;
    if (arg == 1) {
        take_rows(o, key, value);
        return;
    }
    uint32_t *from = plan_memory(c, key, sizeof *from);
    for (uint64_t i = 0; from && i < key; i++) from[i] = (uint32_t)i;
    o->transposed = true;
    o->col_of = from;
    o->cols = o->ne[0] = key;
    take_rows(o, 0, rank);
}

/* ---- shapes ---- */

void op_vector(Convert *c, ConvOut *o, int arg)
{
    o->ne[0] = o->rows * o->cols * o->mats;
    for (int i = 1; i < GGUF_MAX_DIMS; i++) o->ne[i] = 1;
    o->n_dims = 1;
    o->f32 = true;
}

/* n numbers as n rows of one. */
void op_column(Convert *c, ConvOut *o, int arg)
{
    o->ne[1] = o->rows;
    o->ne[0] = 1;
    o->n_dims = 2;
    o->f32 = true;
    if (arg) o->value = neg_exp;
}

/* A norm of Mamba 2, a row a group. */
void op_groups(Convert *c, ConvOut *o, int arg)
{
    uint64_t groups = (uint64_t)(c->size.ssm_groups ? c->size.ssm_groups : 1);
    if (o->rows % groups) {
        plan_misshapen(c, o->pieces[0], "a number that the groups divide");
        return;
    }
    o->ne[0] = o->rows / groups;
    o->ne[1] = groups;
    o->n_dims = 2;
    o->f32 = true;
}
