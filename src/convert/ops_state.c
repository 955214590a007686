/* Orders and factors of the families with a recurrent state: gated delta nets, Falcon H1. */
#include <math.h>
#include <stdio.h>

#include "convert/plan.h"

/* ---- gated delta net ---- */

/* Rows of each key head: q, k, its values, their gates. arg 0 takes all q, all k, all values; 1 the
 * gates. */
void op_delta_qkvz(Convert *c, ConvOut *o, int arg)
{
    const ConvSize *s = &c->size;
    uint64_t groups = (uint64_t)s->ssm_groups, key = (uint64_t)s->ssm_state;
    uint64_t values = groups ? (uint64_t)s->ssm_inner / groups : 0, each = 2 * key + 2 * values;
    if (!groups || o->rows != groups * each) {
        plan_misshapen(c, o->pieces[0], "q, k, values and gates of each key head");
        return;
    }
    const uint64_t first[] = {0, key, 2 * key, 2 * key + values}, n[] = {key, key, values, values};
    uint64_t rows = arg ? groups * values : groups * (2 * key + values), r = 0;
    uint32_t *from = plan_memory(c, rows, sizeof *from);
    for (int part = arg ? 3 : 0; from && part < (arg ? 4 : 3); part++)
        for (uint64_t g = 0; g < groups; g++)
            for (uint64_t i = 0; i < n[part]; i++)
                from[r++] = (uint32_t)(g * each + first[part] + i);
    o->row_of = from;
    o->rows = o->ne[1] = rows;
}

/* Value heads stand by key head in the maker's files and in turn in GGUF: head j of key head g
 * moves from g * n + j to j * groups + g. */
void op_delta_heads(Convert *c, ConvOut *o, int arg)
{
    const ConvSize *s = &c->size;
    uint64_t groups = (uint64_t)s->ssm_groups, heads = (uint64_t)s->ssm_heads;
    uint64_t wide = arg & DELTA_WIDE ? (uint64_t)s->ssm_inner / heads : 1;
    uint64_t before = arg & DELTA_AFTER_QK ? 2 * groups * (uint64_t)s->ssm_state : 0;
    if (arg & DELTA_CONV) op_squeeze(c, o, 0);
    if (plan_failed(c)) return;
    uint64_t all = arg & DELTA_COLUMNS ? o->cols : o->rows, each = heads / groups;
    if (all != before + heads * wide) {
        plan_misshapen(c, o->pieces[0], "the value heads of config.json");
        return;
    }
    uint32_t *from = plan_memory(c, all, sizeof *from);
    for (uint64_t i = 0; from && i < before; i++) from[i] = (uint32_t)i;
    for (uint64_t h = 0; from && h < heads; h++)
        for (uint64_t i = 0; i < wide; i++)
            from[before + h * wide + i] =
                (uint32_t)(before + (h % groups * each + h / groups) * wide + i);
    *(arg & DELTA_COLUMNS ? &o->col_of : &o->row_of) = from;
    if (arg & DELTA_NEG_EXP) op_neg_exp(c, o, 0);
}

/* ---- Falcon H1 ---- */

static double element(Convert *c, const char *list, uint32_t i)
{
    double value = 1;
    jdoc_number(c->config, jdoc_at(c->config, conf_find(c, list), i), &value);
    return value;
}

static double multiplier(Convert *c, int what)
{
    double in = conf_real(c, "attention_in_multiplier", 1);
    switch (what) {
    case MULTIPLIED_EMBEDDING: return conf_real(c, "embedding_multiplier", 1);
    case MULTIPLIED_HEAD: return conf_real(c, "lm_head_multiplier", 1);
    case MULTIPLIED_Q: return in;
    case MULTIPLIED_K: return in * conf_real(c, "key_multiplier", 1);
    case MULTIPLIED_O: return conf_real(c, "attention_out_multiplier", 1);
    case MULTIPLIED_GATE: return element(c, "mlp_multipliers", 0);
    case MULTIPLIED_DOWN: return element(c, "mlp_multipliers", 1);
    case MULTIPLIED_SSM_OUT: return conf_real(c, "ssm_out_multiplier", 1);
    default: return conf_real(c, "ssm_in_multiplier", 1);
    }
}

void op_multiplied(Convert *c, ConvOut *o, int arg)
{
    const ConvSize *s = &c->size;
    double by = multiplier(c, arg);
    float *factor = plan_memory(c, o->rows, sizeof *factor);
    if (!factor) return;
    for (uint64_t r = 0; r < o->rows; r++) factor[r] = (float)by;
    if (arg == MULTIPLIED_SSM_IN) { /* z, x, B, C, dt */
        uint64_t inner = (uint64_t)s->ssm_inner;
        uint64_t state = (uint64_t)s->ssm_state * (uint64_t)s->ssm_groups, r = 0;
        const uint64_t n[] = {inner, inner, state, state, (uint64_t)s->ssm_heads};
        if (o->rows != 2 * inner + 2 * state + (uint64_t)s->ssm_heads) {
            plan_misshapen(c, o->pieces[0], "z, x, B, C and dt");
            return;
        }
        for (uint32_t part = 0; part < 5; part++) {
            double own = element(c, "ssm_multipliers", part);
            for (uint64_t i = 0; i < n[part]; i++, r++) factor[r] = (float)(by * own);
        }
    }
    o->row_factor = factor;
}
