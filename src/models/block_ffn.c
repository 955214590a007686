/* Feed-forward and mixture of experts (see block_ffn.h). T tokens; D model, F ffn, N experts. */
#include "models/block_ffn.h"

Activation block_gelu(Loader *ld)
{
    Span name = loader_text(ld, "hidden_activation");
    if (span_is(name, "gelu")) return ACT_GELU;
    if (name.size && !span_is(name, "gelu_pytorch_tanh"))
        loader_fail(ld, BT_E_UNSUPPORTED,
                    "key '%s.hidden_activation' is '%.*s'; gelu and gelu_pytorch_tanh are known",
                    ld->arch, (int)(name.size < 40 ? name.size : 40), name.data);
    return ACT_GELU_TANH;
}

static void dense(Loader *ld, int32_t layer, const FfnOptions *o, Ffn *ffn)
{
    int64_t d = ld->hyper.n_embd, f = ld->hyper.ff_of[layer];
    if (f < 1) loader_fail(ld, BT_E_FORMAT, "key '%s.feed_forward_length' is missing", ld->arch);
    if (o->fused && !loader_has(ld, layer, "ffn_gate")) { /* gate, then up, in one */
        ffn->gate = loader_part(ld, layer, "ffn_up", d, 2 * f, 0, f, 1);
        ffn->up = loader_part(ld, layer, "ffn_up", d, 2 * f, f, f, 1);
    } else {
        if (!o->ungated) ffn->gate = loader_matrix(ld, layer, "ffn_gate", d, f, REQUIRED);
        ffn->up = loader_matrix(ld, layer, "ffn_up", d, f, REQUIRED);
    }
    ffn->down = loader_matrix(ld, layer, "ffn_down", f, d, REQUIRED);
}

/* Keys that say how experts are chosen. */
static void routing_keys(Loader *ld, MoeOptions *moe)
{
    const Hyper *h = &ld->hyper;
    static const MoeScores known[] = {MOE_SOFTMAX, MOE_SIGMOID, MOE_SOFTMAX_USED};
    int32_t scores = loader_int(ld, "expert_gating_func", 0, 3, 0); /* 0: not said */
    if (scores > 0) moe->scores = known[scores - 1];
    moe->renormalise = loader_bool(ld, "expert_weights_norm", moe->renormalise);
    moe->scale = loader_float(ld, "expert_weights_scale", 0);
    moe->n_groups = loader_int(ld, "expert_group_count", 0, 256, 0);
    moe->groups_used = loader_int(ld, "expert_group_used_count", 0, 256, 0);
    if (moe->n_groups < 2) moe->groups_used = 0;
    if (moe->groups_used > 0 &&
        (h->n_experts % moe->n_groups || moe->groups_used > moe->n_groups ||
         h->n_experts / moe->n_groups * moe->groups_used < h->n_experts_used))
        loader_fail(ld, BT_E_FORMAT,
                    "key '%s.expert_group_count': %d experts in %d groups of which %d are used "
                    "cannot give %d",
                    ld->arch, h->n_experts, moe->n_groups, moe->groups_used, h->n_experts_used);
}

static MoeOptions routing(Loader *ld, int32_t layer, const FfnOptions *o)
{
    const Hyper *h = &ld->hyper;
    MoeOptions moe = {.n_experts = h->n_experts,
                      .n_used = h->n_experts_used,
                      .scores = o->scores,
                      .renormalise = o->renormalise,
                      .nearness = o->nearness,
                      .weigh_input = o->weigh_input,
                      .activation = o->activation};
    if (o->routing_keys) routing_keys(ld, &moe);
    moe.bias = loader_floats(ld, layer, "exp_probs_b.bias", h->n_experts, 1, OPTIONAL);
    return moe;
}

static void shared(Loader *ld, int32_t layer, const FfnOptions *o, Ffn *ffn)
{
    int64_t d = ld->hyper.n_embd;
    bool counted = o->routing_keys && loader_int(ld, "expert_shared_count", 0, 4096, 0) > 0;
    bool any = loader_has(ld, layer, "ffn_gate_shexp") || loader_has(ld, layer, "ffn_up_shexp") ||
               loader_has(ld, layer, "ffn_down_shexp");
    if (!o->shared && !counted && !any) return;
    int64_t ne[3] = {0}; /* keys name its width in several ways */
    loader_shape(ld, layer, "ffn_up_shexp", ne);
    int64_t f = ne[1];
    if (f > MODEL_MOST_WIDTH)
        loader_fail(ld, BT_E_FORMAT,
                    "tensor 'blk.%d.ffn_up_shexp.weight' has %lld rows; at most "
                    "%d are read",
                    layer, (long long)f, MODEL_MOST_WIDTH);
    if (!o->ungated) ffn->shared_gate = loader_matrix(ld, layer, "ffn_gate_shexp", d, f, REQUIRED);
    ffn->shared_up = loader_matrix(ld, layer, "ffn_up_shexp", d, f, REQUIRED);
    ffn->shared_down = loader_matrix(ld, layer, "ffn_down_shexp", f, d, REQUIRED);
    if (o->shared_router || loader_has(ld, layer, "ffn_gate_inp_shexp"))
        ffn->shared_router = loader_matrix(ld, layer, "ffn_gate_inp_shexp", d, 1, REQUIRED);
}

static void experts(Loader *ld, int32_t layer, const FfnOptions *o, Ffn *ffn)
{
    const Hyper *h = &ld->hyper;
    int64_t d = h->n_embd, f = h->n_ff_expert, n = h->n_experts;
    if (f < 1)
        loader_fail(ld, BT_E_FORMAT, "key '%s.expert_feed_forward_length' is missing", ld->arch);
    if (n < 1) loader_fail(ld, BT_E_FORMAT, "key '%s.expert_count' is missing or 0", ld->arch);
    ffn->router = loader_matrix(ld, layer, "ffn_gate_inp", d, n, REQUIRED);
    if (loader_has(ld, layer, "ffn_gate_up_exps")) {
        ffn->gate = loader_part(ld, layer, "ffn_gate_up_exps", d, 2 * f, 0, f, n);
        ffn->up = loader_part(ld, layer, "ffn_gate_up_exps", d, 2 * f, f, f, n);
    } else {
        if (!o->ungated) ffn->gate = loader_matrices(ld, layer, "ffn_gate_exps", d, f, n, REQUIRED);
        ffn->up = loader_matrices(ld, layer, "ffn_up_exps", d, f, n, REQUIRED);
    }
    ffn->down = loader_matrices(ld, layer, "ffn_down_exps", f, d, n, REQUIRED);
    ffn->moe = routing(ld, layer, o);
    shared(ld, layer, o, ffn);
}

Ffn block_ffn_load(Loader *ld, int32_t layer, const FfnOptions *options)
{
    Ffn ffn = {.activation = options->activation};
    if (loader_failed(ld)) return ffn;
    if (options->experts)
        experts(ld, layer, options, &ffn);
    else
        dense(ld, layer, options, &ffn);
    return ffn;
}

Tensor block_ffn(Step *s, const Ffn *f, Tensor x)
{
    if (!f->router) return op_gated(s, x, f->gate, f->up, f->down, f->activation);
    Tensor y = op_moe(s, x, x, f->router, f->gate, f->up, f->down, &f->moe); /* (T,D) */
    if (!f->shared_up) return y;
    Tensor all = op_gated(s, x, f->shared_gate, f->shared_up, f->shared_down, f->activation);
    if (f->shared_router) all = op_gate(s, all, op_linear(s, x, f->shared_router), ACT_SIGMOID);
    return op_add(s, y, all);
}
