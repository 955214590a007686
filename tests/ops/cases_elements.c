/* Gradient checks of ops on rows, elements and shapes (see walk.h). */
#include <math.h>
#include <string.h>

#include "ops/walk.h"
#include "support/reference_ops.h"

#define T 6
#define H 3
#define E 5
#define D (H * E)
#define N (T * D)

/* ---- rows of tables ---- */

#define VOCAB 5 /* tokens repeat, and one never comes */

static float brought[D];

static void embed(Back *b)
{
    back_rows(b, T, 2);
    b->rows[2].embedding = brought; /* its token has no part in it */
    b->out[0] = op_embed(&b->step, back_weight(b, VOCAB, D, 1), 1.5f);
}

static void embed_tokens(Back *b)
{
    back_rows(b, T, 1);
    b->out[0] = op_embed_tokens(&b->step, back_weight(b, VOCAB, D, 1), 0.5f);
}

static void embed_positions(Back *b)
{
    back_rows(b, T, 2);
    b->out[0] = op_embed_positions(&b->step, back_weight(b, VOCAB, D, 1));
}

static void rows_of_table(const double *table, const int *ids, double alpha, double *out)
{
    for (int i = 0; i < N; i++) out[i] = alpha * table[ids[i / D] * D + i % D];
}

static void embed_ref(const Back *b, double *const *arg, double *out)
{
    int ids[T];
    for (int i = 0; i < T; i++) ids[i] = b->rows[i].token;
    rows_of_table(arg[0], ids, 1.5, out);
    for (int j = 0; j < D; j++) out[2 * D + j] = (double)brought[j];
}

static void embed_tokens_ref(const Back *b, double *const *arg, double *out)
{
    int ids[T];
    for (int i = 0; i < T; i++) ids[i] = b->rows[i].token;
    rows_of_table(arg[0], ids, 0.5, out);
}

static void embed_positions_ref(const Back *b, double *const *arg, double *out)
{
    int ids[T];
    for (int i = 0; i < T; i++) ids[i] = b->rows[i].position;
    rows_of_table(arg[0], ids, 1, out);
}

static void wanted(Back *b)
{
    back_rows(b, T, 1);
    b->rows[1].want = b->rows[4].want = true;
    b->step.n_wanted = 2;
    b->out[0] = op_wanted(&b->step, back_input(b, T, H, E));
}

static void wanted_ref(const Back *b, double *const *arg, double *out)
{
    (void)b;
    memcpy(out, arg[0] + D, D * sizeof *out);
    memcpy(out + D, arg[0] + 4 * D, D * sizeof *out);
}

/* ---- two tensors ---- */

static void add(Back *b)
{
    Tensor x = back_input(b, T, H, E), y = back_input(b, T, H, E);
    b->out[0] = op_add(&b->step, op_add(&b->step, x, y), x);
}

static void add_ref(const Back *b, double *const *arg, double *out)
{
    (void)b;
    for (int i = 0; i < N; i++) out[i] = 2 * arg[0][i] + arg[1][i];
}

static void mul(Back *b)
{
    Tensor x = back_input(b, T, H, E), y = back_input(b, T, H, E);
    b->out[0] = op_mul(&b->step, x, op_mul(&b->step, x, y));
}

static void mul_ref(const Back *b, double *const *arg, double *out)
{
    (void)b;
    for (int i = 0; i < N; i++) out[i] = arg[0][i] * arg[0][i] * arg[1][i];
}

#define GATE(name, activation, ref, heads, width, at)                                              \
    static void name(Back *b)                                                                      \
    {                                                                                              \
        Tensor x = back_input(b, T, H, E), y = back_input(b, T, heads, width);                     \
        b->out[0] = op_gate(&b->step, x, y, activation);                                           \
    }                                                                                              \
    static void name##_ref(const Back *b, double *const *arg, double *out)                         \
    {                                                                                              \
        (void)b;                                                                                   \
        for (int i = 0; i < N; i++) out[i] = arg[0][i] * ref_activate(ref, arg[1][at]);            \
    }
GATE(gate_silu, ACT_SILU, REF_SILU, H, E, i)
GATE(gate_gelu, ACT_GELU_TANH, REF_GELU_TANH, H, E, i)
GATE(gate_heads, ACT_SIGMOID, REF_SIGMOID, H, 1, i / E)
GATE(gate_rows, ACT_SIGMOID, REF_SIGMOID, 1, 1, i / D)

/* y of one head serves all, or each head has its own */
#define JOIN(name, heads, from)                                                                    \
    static void name(Back *b)                                                                      \
    {                                                                                              \
        Tensor x = back_input(b, T, H, E), y = back_input(b, T, heads, 2);                         \
        b->out[0] = op_join(&b->step, x, y);                                                       \
    }                                                                                              \
    static void name##_ref(const Back *b, double *const *arg, double *out)                         \
    {                                                                                              \
        (void)b;                                                                                   \
        for (int i = 0; i < T * H; i++) {                                                          \
            memcpy(out + i * (E + 2), arg[0] + i * E, E * sizeof *out);                            \
            memcpy(out + i * (E + 2) + E, arg[1] + 2 * (from), 2 * sizeof *out);                   \
        }                                                                                          \
    }
JOIN(join_each, H, i)
JOIN(join_one, 1, i / H)

/* ---- one tensor ---- */

#define ONE(name, call, value)                                                                     \
    static void name(Back *b)                                                                      \
    {                                                                                              \
        Tensor in = back_input(b, T, H, E);                                                        \
        b->out[0] = call;                                                                          \
    }                                                                                              \
    static void name##_ref(const Back *b, double *const *arg, double *out)                         \
    {                                                                                              \
        (void)b;                                                                                   \
        for (int i = 0; i < N; i++) {                                                              \
            double x = arg[0][i];                                                                  \
            out[i] = value;                                                                        \
        }                                                                                          \
    }
#define ACTIVATE(name, activation, ref)                                                            \
    ONE(name, op_activate(&b->step, in, activation), ref_activate(ref, x))

ONE(scale, op_scale(&b->step, in, -1.5f), -1.5 * x)
ONE(cap, op_cap(&b->step, in, 2), 2 * tanh(x / 2))
ONE(clip, op_clip(&b->step, in, 0.8f), fmax(-(double)0.8f, fmin(x, (double)0.8f)))
ONE(merge, op_scale(&b->step, op_merge(&b->step, in), 2), 2 * x)
ONE(split, op_scale(&b->step, op_split(&b->step, in, 5), 2), 2 * x)
ACTIVATE(silu, ACT_SILU, REF_SILU)
ACTIVATE(gelu, ACT_GELU, REF_GELU)
ACTIVATE(gelu_tanh, ACT_GELU_TANH, REF_GELU_TANH)
ACTIVATE(relu, ACT_RELU, REF_RELU)
ACTIVATE(relu2, ACT_RELU2, REF_RELU2)
ACTIVATE(sigmoid, ACT_SIGMOID, REF_SIGMOID)
ACTIVATE(tanh_, ACT_TANH, REF_TANH)
ACTIVATE(softplus, ACT_SOFTPLUS, REF_SOFTPLUS)
ACTIVATE(none, ACT_NONE, REF_NONE)

static void add_vector(Back *b)
{
    Tensor x = back_input(b, T, H, E);
    b->out[0] = op_add_vector(&b->step, x, back_vector(b, D, 0, 1));
}

static void add_vector_ref(const Back *b, double *const *arg, double *out)
{
    (void)b;
    for (int i = 0; i < N; i++) out[i] = arg[0][i] + arg[1][i % D];
}

static void mul_vector(Back *b)
{
    Tensor x = back_input(b, T, H, E);
    b->out[0] = op_mul_vector(&b->step, x, back_vector(b, D, 0, 1));
}

static void mul_vector_ref(const Back *b, double *const *arg, double *out)
{
    (void)b;
    for (int i = 0; i < N; i++) out[i] = arg[0][i] * arg[1][i % D];
}

static void mul_rows(Back *b)
{
    Tensor x = back_input(b, T, H, E);
    float *of_row = step_memory(&b->step, T * sizeof *of_row);
    for (int i = 0; i < T; i++) of_row[i] = (float)(i - 2);
    b->out[0] = op_mul_rows(&b->step, x, of_row);
}

static void mul_rows_ref(const Back *b, double *const *arg, double *out)
{
    (void)b;
    for (int i = 0; i < N; i++) out[i] = arg[0][i] * (i / D - 2);
}

/* Of several heads a copy, of one a view; each read twice, and the whole too. */
static void part(Back *b)
{
    Tensor x = back_input(b, T, H, E), p = op_part(&b->step, x, 1, 3);
    b->out[0] = op_mul(&b->step, p, p);
    b->out[1] = op_scale(&b->step, x, 3);
}

static void part_of_one(Back *b)
{
    Tensor x = back_input(b, T, 1, D), p = op_part(&b->step, x, 4, 7);
    b->out[0] = op_mul(&b->step, p, p);
    b->out[1] = op_scale(&b->step, x, 3);
}

static void parts_ref(const double *x, int heads, int width, int first, int n, double *out)
{
    for (int h = 0; h < heads; h++)
        for (int j = 0; j < n; j++) {
            double v = x[h * width + first + j];
            *out++ = v * v;
        }
    for (int i = 0; i < heads * width; i++) out[i] = 3 * x[i];
}

static void part_ref(const Back *b, double *const *arg, double *out)
{
    (void)b;
    parts_ref(arg[0], T * H, E, 1, 3, out);
}

static void part_of_one_ref(const Back *b, double *const *arg, double *out)
{
    (void)b;
    parts_ref(arg[0], T, D, 4, 7, out);
}

const BackCase back_element_cases[] = {
    {OP_embed, "rows of a table, one brought along", embed, embed_ref},
    {OP_embed_tokens, "scaled", embed_tokens, embed_tokens_ref},
    {OP_embed_positions, "two documents", embed_positions, embed_positions_ref},
    {OP_wanted, "two of six", wanted, wanted_ref},
    {OP_add, "one twice", add, add_ref},
    {OP_mul, "one twice", mul, mul_ref},
    {OP_gate, "silu", gate_silu, gate_silu_ref},
    {OP_gate, "gelu", gate_gelu, gate_gelu_ref},
    {OP_gate, "one number a head", gate_heads, gate_heads_ref},
    {OP_gate, "one number a row", gate_rows, gate_rows_ref},
    {OP_join, "head by head", join_each, join_each_ref},
    {OP_join, "one head for all", join_one, join_one_ref},
    {OP_scale, "by a negative number", scale, scale_ref},
    {OP_cap, "at 2", cap, cap_ref},
    {OP_clip, "at 0.8", clip, clip_ref},
    {OP_merge, "heads", merge, merge_ref},
    {OP_split, "into heads", split, split_ref},
    {OP_activate, "silu", silu, silu_ref},
    {OP_activate, "gelu", gelu, gelu_ref},
    {OP_activate, "gelu, tanh form", gelu_tanh, gelu_tanh_ref},
    {OP_activate, "relu", relu, relu_ref},
    {OP_activate, "relu squared", relu2, relu2_ref},
    {OP_activate, "sigmoid", sigmoid, sigmoid_ref},
    {OP_activate, "tanh", tanh_, tanh__ref},
    {OP_activate, "softplus", softplus, softplus_ref},
    {OP_activate, "none", none, none_ref},
    {OP_add_vector, "over heads", add_vector, add_vector_ref},
    {OP_mul_vector, "over heads", mul_vector, mul_vector_ref},
    {OP_mul_rows, "by position", mul_rows, mul_rows_ref},
    {OP_part, "of heads", part, part_ref},
    {OP_part, "of one head, a view", part_of_one, part_of_one_ref},
};
const size_t n_back_element_cases = sizeof back_element_cases / sizeof *back_element_cases;
