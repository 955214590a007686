/* Names of tensors of families with experts. */
#include "convert/rules.h"

const TensorRule rules_qwen_moe[] = {
    {"layers.#.mlp.gate", "ffn_gate_inp"},
    {"layers.#.mlp.experts.*.gate_proj", "ffn_gate_exps"},
    {"layers.#.mlp.experts.*.up_proj", "ffn_up_exps"},
    {"layers.#.mlp.experts.*.down_proj", "ffn_down_exps"},
    {"layers.#.mlp.experts.gate_up_proj", "ffn_gate_exps.weight", op_rows, PART(0, 2)},
    {"layers.#.mlp.experts.gate_up_proj", "ffn_up_exps.weight", op_rows, PART(1, 2)},
    {"layers.#.mlp.experts.down_proj", "ffn_down_exps.weight"},
    {0},
};
