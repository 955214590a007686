/* Gradient checks of norms, matrices, experts, rotations and attention (see walk.h). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/walk.h"
#include "support/reference_ops.h"

/* ---- norms ---- */

#define T   6
#define H   3
#define E   8
#define N   (T * H * E)
#define EPS 1e-3f

typedef struct NormKind {
    bool weight, bias, centred, each_head;
} NormKind;

/* After the input come weight and bias. */
static Norm make_norm(Back *b, NormKind kind, size_t width, size_t heads)
{
    size_t n = kind.each_head ? width * heads : width;
    Norm norm = {.eps = EPS, .centred = kind.centred, .each_head = kind.each_head};
    if (kind.weight) norm.weight = back_vector(b, n, 1, 0.3f);
    if (kind.bias) norm.bias = back_vector(b, n, 0, 0.3f);
    return norm;
}

static void norm_heads(NormKind kind, double *const *arg, const double *x, double *out)
{
    for (int i = 0; i < T * H; i++) {
        int at = kind.each_head ? i % H * E : 0;
        ref_norm(x + i * E, kind.weight ? arg[1] + at : NULL, kind.bias ? arg[2] + at : NULL, E,
                 (double)EPS, kind.centred, out + i * E);
    }
}

#define NORM(name, ...)                                                                            \
    static void name(Back *b)                                                                      \
    {                                                                                              \
        Tensor x = back_input(b, T, H, E);                                                         \
        Norm norm = make_norm(b, (NormKind){__VA_ARGS__}, E, H);                                   \
        b->out[0] = op_norm(&b->step, x, &norm);                                                   \
    }                                                                                              \
    static void name##_ref(const Back *b, double *const *arg, double *out)                         \
    {                                                                                              \
        (void)b;                                                                                   \
        norm_heads((NormKind){__VA_ARGS__}, arg, arg[0], out);                                     \
    }
NORM(rms, .weight = true)
NORM(rms_bias, .weight = true, .bias = true)
NORM(rms_plain, .weight = false)
NORM(rms_heads, .weight = true, .each_head = true)
NORM(layer, .weight = true, .bias = true, .centred = true)
NORM(layer_heads, .weight = true, .bias = true, .centred = true, .each_head = true)

/* ---- rotations ---- */

static const float inverse[] = {0.9f, 0.5f, 0.2f, 0.05f}, longer[] = {0.7f, 0.3f, 0.1f, 0.01f};
static const Rope far_rope = {.inverse = longer, .half = 4, .magnitude = 1.2f};

static void turn(Back *b, const Rope *rope, const NormKind *kind)
{
    back_rows(b, T, 2);
    RopeTable table = op_rope_table(&b->step, rope);
    Tensor x = back_input(b, T, H, E);
    Norm norm = kind ? make_norm(b, *kind, E, H) : (Norm){0};
    b->out[0] = op_norm_rope(&b->step, x, kind ? &norm : NULL, &table);
}

static void turn_ref(const Back *b, const Rope *rope, const NormKind *kind, double *const *arg,
                     double *out)
{
    if (kind)
        norm_heads(*kind, arg, arg[0], out);
    else
        memcpy(out, arg[0], N * sizeof *out);
    for (int i = 0; i < T * H; i++) {
        double angle[4];
        for (int j = 0; j < rope->half; j++)
            angle[j] = b->rows[i / H].position * (double)rope->inverse[j];
        ref_rope(out + i * E, angle, (double)rope->magnitude, rope->half, rope->first,
                 rope->adjacent);
    }
}

#define ROPE(name, in_use, kind, ...)                                                              \
    static void name(Back *b)                                                                      \
    {                                                                                              \
        turn(b, &(Rope){__VA_ARGS__}, kind);                                                       \
    }                                                                                              \
    static void name##_ref(const Back *b, double *const *arg, double *out)                         \
    {                                                                                              \
        turn_ref(b, in_use, kind, arg, out);                                                       \
    }
#define HALVES   .inverse = inverse, .half = 4, .magnitude = 1
#define ADJACENT .inverse = inverse, .half = 4, .magnitude = 1, .adjacent = true
#define PARTIAL  .inverse = inverse, .half = 2, .magnitude = 1.1f, .first = 3
#define TURNED   .inverse = inverse, .half = 2, .magnitude = 1, .first = 1
#define LONG     .inverse = inverse, .half = 4, .magnitude = 1, .longer = &far_rope, .original = 32
static const NormKind rms_kind = {.weight = true}, layer_kind = {true, true, true, true};
ROPE(halves, (&(Rope){HALVES}), NULL, HALVES)
ROPE(adjacent, (&(Rope){ADJACENT}), NULL, ADJACENT)
ROPE(partial, (&(Rope){PARTIAL}), NULL, PARTIAL)
ROPE(far, &far_rope, NULL, LONG)
ROPE(normed, (&(Rope){HALVES}), &rms_kind, HALVES)
ROPE(normed_heads, (&(Rope){ADJACENT}), &layer_kind, ADJACENT)

/* ---- matrices ---- */

#define K 16

static void linear(Back *b)
{
    Tensor x = back_input(b, T, 1, K);
    b->out[0] = op_linear(&b->step, x, back_weight(b, 37, K, 1));
}

static void linear_ref(const Back *b, double *const *arg, double *out)
{
    (void)b;
    ref_linear(arg[0], arg[1], NULL, T, 37, K, out);
}

static void linear_bias(Back *b)
{
    Tensor x = back_input(b, T, 2, K / 2);
    Weight *w = back_weight(b, 37, K, 1);
    back_bias(b, w);
    b->out[0] = op_linear(&b->step, x, w);
}

static void linear_bias_ref(const Back *b, double *const *arg, double *out)
{
    (void)b;
    ref_linear(arg[0], arg[1], arg[2], T, 37, K, out);
}

static void linear_twice(Back *b)
{
    Tensor x = back_input(b, T, 1, K);
    Weight *w = back_weight(b, 8, K, 1);
    Tensor y = op_linear(&b->step, x, w);
    b->out[0] = op_add(&b->step, y, op_linear(&b->step, op_scale(&b->step, x, 2), w));
}

static void linear_twice_ref(const Back *b, double *const *arg, double *out)
{
    (void)b;
    ref_linear(arg[0], arg[1], NULL, T, 8, K, out);
    for (int i = 0; i < T * 8; i++) out[i] *= 3;
}

/* Results that a matrix reads in part and whole, in both orders: who comes first on the way back
 * writes what others add to. */
static void linear_parts(Back *b)
{
    Tensor x = back_input(b, T, 1, K);
    Weight *all = back_weight(b, 5, K, 1), *part = back_weight(b, 5, K / 2, 1);
    Tensor y = op_scale(&b->step, x, 2), z = op_scale(&b->step, x, 3);
    Tensor first = op_linear(&b->step, op_part(&b->step, y, 4, K / 2), part);
    b->out[0] = op_add(&b->step, first, op_linear(&b->step, y, all));
    first = op_linear(&b->step, op_merge(&b->step, op_split(&b->step, z, 2)), all);
    b->out[1] = op_add(&b->step, first, op_linear(&b->step, op_part(&b->step, z, 4, K / 2), part));
}

static void linear_parts_ref(const Back *b, double *const *arg, double *out)
{
    double part[T * K / 2], y[2][T * 5];
    (void)b;
    for (int i = 0; i < T * K / 2; i++) part[i] = arg[0][i / (K / 2) * K + 4 + i % (K / 2)];
    ref_linear(arg[0], arg[1], NULL, T, 5, K, y[0]);
    ref_linear(part, arg[2], NULL, T, 5, K / 2, y[1]);
    for (int i = 0; i < T * 5; i++) {
        out[i] = 2 * (y[0][i] + y[1][i]);
        out[T * 5 + i] = 3 * (y[0][i] + y[1][i]);
    }
}

static void qkv(Back *b)
{
    Tensor x = back_input(b, T, 1, K);
    Weight *q = back_weight(b, 24, K, 1), *k = back_weight(b, 8, K, 1);
    Weight *v = back_weight(b, 6, K, 1);
    back_bias(b, v);
    Qkv p = op_qkv(&b->step, x, q, k, v, 8, 4, 6);
    b->out[0] = p.q;
    b->out[1] = p.k;
    b->out[2] = p.v;
}

static void qkv_ref(const Back *b, double *const *arg, double *out)
{
    (void)b;
    ref_linear(arg[0], arg[1], NULL, T, 24, K, out);
    ref_linear(arg[0], arg[2], NULL, T, 8, K, out + T * 24);
    ref_linear(arg[0], arg[3], arg[4], T, 6, K, out + T * 32);
}

#define F 20

static void gated_of(Back *b, bool gate, Activation activation)
{
    Tensor x = back_input(b, T, 1, K);
    Weight *up = back_weight(b, F, K, 1), *down = back_weight(b, K, F, 1);
    Weight *g = gate ? back_weight(b, F, K, 1) : NULL;
    b->out[0] = op_gated(&b->step, x, g, up, down, activation);
}

static void gated_of_ref(double *const *arg, bool gate, RefActivation activation, double *out)
{
    double g[T * F], u[T * F];
    ref_linear(arg[0], arg[1], NULL, T, F, K, u);
    if (gate) ref_linear(arg[0], arg[3], NULL, T, F, K, g);
    for (int i = 0; i < T * F; i++)
        u[i] = gate ? ref_activate(activation, g[i]) * u[i] : ref_activate(activation, u[i]);
    ref_linear(u, arg[2], NULL, T, K, F, out);
}

#define GATED(name, gate, activation, ref)                                                         \
    static void name(Back *b)                                                                      \
    {                                                                                              \
        gated_of(b, gate, activation);                                                             \
    }                                                                                              \
    static void name##_ref(const Back *b, double *const *arg, double *out)                         \
    {                                                                                              \
        (void)b;                                                                                   \
        gated_of_ref(arg, gate, ref, out);                                                         \
    }
GATED(gated_silu, true, ACT_SILU, REF_SILU)
GATED(gated_gelu, true, ACT_GELU_TANH, REF_GELU_TANH)
GATED(ungated, false, ACT_RELU2, REF_RELU2)

/* ---- experts ---- */

#define EXPERTS 6

static const float choice_bias[EXPERTS] = {0.2f, -0.1f, 0, 0.3f, -0.2f, 0.1f};

static void experts_of(Back *b, const MoeOptions *o, bool gate)
{
    Tensor x = back_input(b, T, 1, K);
    Weight *router = back_weight(b, EXPERTS, K, 1), *up = back_weight(b, F, K, EXPERTS);
    Weight *down = back_weight(b, K, F, EXPERTS), *g = gate ? back_weight(b, F, K, EXPERTS) : NULL;
    b->out[0] = op_moe(&b->step, x, x, router, g, up, down, o);
}

static void experts_of_ref(double *const *arg, RefExperts o, bool gate, double *out)
{
    double bias[EXPERTS];
    for (int i = 0; i < EXPERTS; i++) bias[i] = (double)choice_bias[i];
    o.rows = T, o.width = K, o.hidden = F, o.experts = EXPERTS;
    if (o.choice_bias) o.choice_bias = bias;
    ref_experts(&o, arg[0], arg[1], gate ? arg[4] : NULL, arg[2], arg[3], out);
}

static const double some_bias[1];
#define MOE(name, gate, options, ref)                                                              \
    static void name(Back *b)                                                                      \
    {                                                                                              \
        experts_of(b, &(MoeOptions)options, gate);                                                 \
    }                                                                                              \
    static void name##_ref(const Back *b, double *const *arg, double *out)                         \
    {                                                                                              \
        (void)b;                                                                                   \
        experts_of_ref(arg, (RefExperts)ref, gate, out);                                           \
    }
#define SET(...)                                                                                   \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
MOE(moe_softmax, true, SET(.n_experts = EXPERTS, .n_used = 2), SET(.used = 2))
MOE(moe_renormalised, true,
    SET(.n_experts = EXPERTS, .n_used = 2, .renormalise = true, .scale = 1.5f),
    SET(.used = 2, .renormalise = true, .scale = 1.5))
MOE(moe_sigmoid, true,
    SET(.n_experts = EXPERTS, .n_used = 3, .scores = MOE_SIGMOID, .renormalise = true,
        .bias = choice_bias, .activation = ACT_GELU_TANH),
    SET(.used = 3, .scores = 1, .renormalise = true, .choice_bias = some_bias,
        .activation = REF_GELU_TANH))
MOE(moe_used, false,
    SET(.n_experts = EXPERTS, .n_used = 2, .scores = MOE_SOFTMAX_USED, .activation = ACT_RELU2),
    SET(.used = 2, .scores = 2, .activation = REF_RELU2))
MOE(moe_inputs, true,
    SET(.n_experts = EXPERTS, .n_used = 1, .scores = MOE_SIGMOID, .weigh_input = true),
    SET(.used = 1, .scores = 1, .weigh_input = true))

/* ---- attention ---- */

#define A_T  18
#define A_H  4
#define A_KV 2
#define A_E  6
#define A_V  5
#define SPAN 4

static const Back *seen_rows; /* whose rows `sees` asks about */

static bool same(int i, int j)
{
    return seen_rows->rows[i].sequence == seen_rows->rows[j].sequence;
}

static bool sees_past(int i, int j)
{
    return same(i, j) && j <= i;
}

static bool sees_window(int i, int j)
{
    return same(i, j) && j <= i && j > i - SPAN;
}

static bool sees_chunk(int i, int j)
{
    return same(i, j) && j <= i &&
           seen_rows->rows[i].position / SPAN == seen_rows->rows[j].position / SPAN;
}

static bool sees_around(int i, int j)
{
    return same(i, j) && abs(i - j) <= SPAN / 2;
}

static void attend_of(Back *b, int32_t documents, const AttendOptions *options, bool sinks)
{
    AttendOptions o = *options;
    o.scale = 0.4f;
    o.span = SPAN;
    b->layer = (LayerSpec){.kv_heads = A_KV, .e_k = A_E, .e_v = A_V};
    back_rows(b, A_T, documents);
    Tensor q = back_input(b, A_T, A_H, A_E), k = back_input(b, A_T, A_KV, A_E);
    Tensor v = back_input(b, A_T, A_KV, A_V);
    if (sinks) o.sinks = back_vector(b, A_H, 0, 1);
    b->out[0] = op_attend(&b->step, q, op_remember(&b->step, 0, k, v), &o);
}

/* Keys normed and turned on their way to the state. */
static void turned(Back *b)
{
    AttendOptions o = {.scale = 0.4f};
    b->layer = (LayerSpec){.kv_heads = A_KV, .e_k = A_E, .e_v = A_V};
    back_rows(b, A_T, 2);
    RopeTable table = op_rope_table(&b->step, &(Rope){TURNED});
    Tensor q = back_input(b, A_T, A_H, A_E), k = back_input(b, A_T, A_KV, A_E);
    Tensor v = back_input(b, A_T, A_KV, A_V);
    Norm norm = make_norm(b, rms_kind, A_E, A_KV);
    b->out[0] = op_attend(&b->step, q, op_rope_remember(&b->step, 0, k, v, &norm, &table), &o);
}

static void attend_of_ref(const Back *b, double *const *arg, double cap, bool (*sees)(int, int),
                          bool sinks, double *out)
{
    seen_rows = b;
    RefAttention a = {A_T, A_H, A_KV, A_E, A_V, (double)0.4f, cap, sinks ? arg[3] : NULL, sees};
    ref_attend(&a, arg[0], arg[1], arg[2], out);
}

static void turned_ref(const Back *b, double *const *arg, double *out)
{
    double k[A_T * A_KV * A_E];
    for (int i = 0; i < A_T * A_KV; i++) {
        double *head = k + i * A_E, angle[2];
        ref_norm(arg[1] + i * A_E, arg[3], NULL, A_E, (double)EPS, false, head);
        for (int j = 0; j < 2; j++) angle[j] = b->rows[i / A_KV].position * (double)inverse[j];
        ref_rope(head, angle, 1, 2, 1, false);
    }
    seen_rows = b;
    RefAttention a = {A_T, A_H, A_KV, A_E, A_V, (double)0.4f, 0, NULL, sees_past};
    ref_attend(&a, arg[0], k, arg[2], out);
}

#define ATTEND(name, documents, how, cap, sinks, sees)                                             \
    static void name(Back *b)                                                                      \
    {                                                                                              \
        attend_of(b, documents, &(AttendOptions){.see = how, .soft_cap = cap}, sinks);             \
    }                                                                                              \
    static void name##_ref(const Back *b, double *const *arg, double *out)                         \
    {                                                                                              \
        attend_of_ref(b, arg, cap, sees, sinks, out);                                              \
    }
ATTEND(past, 1, ATTEND_PAST, 0, false, sees_past)
ATTEND(documents, 3, ATTEND_PAST, 0, false, sees_past)
ATTEND(window, 2, ATTEND_WINDOW, 0, false, sees_window)
ATTEND(chunk, 2, ATTEND_CHUNK, 0, false, sees_chunk)
ATTEND(capped, 2, ATTEND_PAST, 1, false, sees_past)
ATTEND(with_sinks, 2, ATTEND_WINDOW, 0, true, sees_window)
ATTEND(both, 3, ATTEND_BOTH, 0, false, same)
ATTEND(around, 2, ATTEND_AROUND, 0, false, sees_around)

const BackCase back_layer_cases[] = {
    {OP_norm, "root mean square", rms, rms_ref},
    {OP_norm, "root mean square and bias", rms_bias, rms_bias_ref},
    {OP_norm, "without weights", rms_plain, rms_plain_ref},
    {OP_norm, "weights of each head", rms_heads, rms_heads_ref},
    {OP_norm, "centred", layer, layer_ref},
    {OP_norm, "centred, weights of each head", layer_heads, layer_heads_ref},
    {OP_norm_rope, "halves", halves, halves_ref},
    {OP_norm_rope, "adjacent pairs", adjacent, adjacent_ref},
    {OP_norm_rope, "part of a head, scaled", partial, partial_ref},
    {OP_norm_rope, "LongRoPE", far, far_ref},
    {OP_norm_rope, "normed halves", normed, normed_ref},
    {OP_norm_rope, "normed adjacent pairs", normed_heads, normed_heads_ref},
    {OP_linear, "plain", linear, linear_ref},
    {OP_linear, "with a bias", linear_bias, linear_bias_ref},
    {OP_linear, "one matrix twice", linear_twice, linear_twice_ref},
    {OP_linear, "of a part and of all", linear_parts, linear_parts_ref},
    {OP_qkv, "three widths", qkv, qkv_ref},
    {OP_gated, "silu", gated_silu, gated_silu_ref},
    {OP_gated, "gelu", gated_gelu, gated_gelu_ref},
    {OP_gated, "without a gate", ungated, ungated_ref},
    {OP_moe, "softmax", moe_softmax, moe_softmax_ref},
    {OP_moe, "softmax, renormalised and scaled", moe_renormalised, moe_renormalised_ref},
    {OP_moe, "sigmoid, renormalised, with a choice bias", moe_sigmoid, moe_sigmoid_ref},
    {OP_moe, "softmax of the chosen, no gate", moe_used, moe_used_ref},
    {OP_moe, "weighed inputs", moe_inputs, moe_inputs_ref},
    {OP_remember, "all the past", past, past_ref},
    {OP_rope_remember, "keys normed and turned", turned, turned_ref},
    {OP_attend, "three documents", documents, documents_ref},
    {OP_attend, "a window", window, window_ref},
    {OP_attend, "chunks", chunk, chunk_ref},
    {OP_attend, "capped scores", capped, capped_ref},
    {OP_attend, "a window and sinks", with_sinks, with_sinks_ref},
    {OP_attend, "both ways", both, both_ref},
    {OP_attend, "around", around, around_ref},
};
const size_t n_back_layer_cases = sizeof back_layer_cases / sizeof *back_layer_cases;
