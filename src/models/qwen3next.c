/* Qwen3-Next and Qwen 3.5: three layers of a gated delta net to one of attention, whose queries
 * bring a gate each; part of a head rotates, by halves; the norm before the feed-forward is named
 * post_attention_norm. Experts by softmax, renormalised, beside a shared one with a gate. Qwen 3.5
 * reads key heads in turns and rotates by three axes. */
#include "models/block_recurrent.h"

/* As the tensors say; the key must agree. */
static bool attends(const Loader *ld, int32_t l)
{
    return !loader_has(ld, l, "ssm_out");
}

static Decoder *load(Loader *ld, bool tiled, bool experts)
{
    DecoderOptions o = {
        .ffn_norm = "post_attention_norm",
        .qk_norm = QK_NORM_HEADS,
        .gated = true,
        .attends = attends,
        .ffn = {
            .experts = experts, .renormalise = true, .shared = experts, .shared_router = experts}};
    Decoder *m = block_decoder_load(ld, &o);
    int32_t interval = loader_int(ld, "full_attention_interval", 1, MODEL_MOST_LAYERS, 4);
    for (int32_t l = 0; m && l < m->n_layers && !loader_failed(ld); l++) {
        if (attends(ld, l) != ((l + 1) % interval == 0))
            loader_fail(ld, BT_E_FORMAT,
                        "key '%s.full_attention_interval' is %d, but layer %d has the tensors of "
                        "%s; the file is damaged, fetch or convert it again",
                        ld->arch, interval, l, attends(ld, l) ? "attention" : "a delta net");
        if (!attends(ld, l)) block_mixer(ld, m, l, block_delta, block_delta_load(ld, l, tiled));
    }
    return loader_failed(ld) ? NULL : m;
}

static const void *qwen3next_load(Loader *ld)
{
    return load(ld, false, true);
}

static const void *qwen35_load(Loader *ld)
{
    Decoder *m = load(ld, true, false);
    if (m) m->rope[0].interleaved = true;
    return m;
}

static const void *qwen35moe_load(Loader *ld)
{
    Decoder *m = load(ld, true, true);
    if (m) m->rope[0].interleaved = true;
    return m;
}

const Arch arch_qwen3next = {"qwen3next", qwen3next_load, block_decoder_forward};
const Arch arch_qwen35 = {"qwen35", qwen35_load, block_decoder_forward};
const Arch arch_qwen35moe = {"qwen35moe", qwen35moe_load, block_decoder_forward};
