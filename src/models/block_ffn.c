/* Gated feed-forward and mixture of experts (see block_ffn.h). */
#include "models/block_ffn.h"

Ffn block_ffn_load(Loader *ld, int32_t layer, bool experts, bool renormalise)
{
    const Hyper *h = &ld->hyper;
    int64_t d = h->n_embd, f = experts ? h->n_ff_expert : h->n_ff;
    Ffn ffn = {0};
    if (!loader_failed(ld) && f < 1)
        loader_fail(ld, BT_E_FORMAT, "key '%s.%s' is missing", ld->arch,
                    experts ? "expert_feed_forward_length" : "feed_forward_length");
    if (!loader_failed(ld) && experts && h->n_experts < 1)
        loader_fail(ld, BT_E_FORMAT, "key '%s.expert_count' is missing or 0", ld->arch);
    if (!experts) {
        ffn.gate = loader_matrix(ld, layer, "ffn_gate", d, f, REQUIRED);
        ffn.up = loader_matrix(ld, layer, "ffn_up", d, f, REQUIRED);
        ffn.down = loader_matrix(ld, layer, "ffn_down", f, d, REQUIRED);
        return ffn;
    }
    int64_t n = h->n_experts;
    ffn.router = loader_matrix(ld, layer, "ffn_gate_inp", d, n, REQUIRED);
    ffn.gate = loader_matrices(ld, layer, "ffn_gate_exps", d, f, n, REQUIRED);
    ffn.up = loader_matrices(ld, layer, "ffn_up_exps", d, f, n, REQUIRED);
    ffn.down = loader_matrices(ld, layer, "ffn_down_exps", f, d, n, REQUIRED);
    ffn.moe = (MoeOptions){h->n_experts, h->n_experts_used, renormalise};
    return ffn;
}

Tensor block_ffn(Step *s, const Ffn *f, Tensor x)
{
    if (f->router) return op_moe(s, x, f->router, f->gate, f->up, f->down, &f->moe);
    return op_swiglu(s, x, f->gate, f->up, f->down);
}
