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
