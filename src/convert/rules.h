/* The tables of rules and the functions that families.def names. */
#ifndef CONVERT_RULES_H
#define CONVERT_RULES_H

#include "convert/plan.h"

/* rules_dense.c */
extern const TensorRule rules_llama[], rules_phi2[], rules_fused[], rules_gemma[], rules_gemma2[],
    rules_gemma4[], rules_after[], rules_starcoder2[], rules_stablelm[], rules_gpt2[],
    rules_gptneox[], rules_falcon[], rules_internlm2[], rules_nemotron[], rules_hunyuan[],
    rules_seed_oss[];

/* rules_moe.c */
extern const TensorRule rules_qwen_moe[], rules_qwen3vl_moe[], rules_deepseek[], rules_deepseek2[],
    rules_glm4moe[], rules_bailing[], rules_ernie_moe[], rules_block_moe[], rules_granite[],
    rules_granite_hybrid[], rules_granite_hybrid_dense[], rules_falcon_h1[], rules_mamba2[],
    rules_mamba[], rules_jamba[], rules_llama4[], rules_gpt_oss[], rules_lfm2[], rules_qwen3next[],
    rules_qwen35[];

/* rules_encoder.c */
extern const TensorRule rules_bert[], rules_nomic[], rules_nomic_moe[], rules_modern[],
    rules_bert_rank[], rules_roberta_rank[], rules_modern_rank[], rules_score[];

/* What no table says; called after the common keys, before RoPE and tensors. setup.c: */
void setup_gptneox(Convert *c);
void setup_phimoe(Convert *c);
void setup_gemma(Convert *c);
void setup_llama4(Convert *c);
void setup_mistral(Convert *c);
void setup_deepseek(Convert *c);
void setup_deepseek2(Convert *c);
void setup_granite_hybrid(Convert *c);
void setup_falcon(Convert *c);
void setup_gpt2(Convert *c);
void setup_mamba(Convert *c);
void setup_mamba2(Convert *c);
void setup_jamba(Convert *c);
void setup_lfm2(Convert *c);
void setup_ernie_moe(Convert *c);
void setup_olmo(Convert *c);
void setup_sections(Convert *c);
void setup_qwen_vl(Convert *c);
void setup_sigmoid(Convert *c);
void setup_gpt_oss(Convert *c);
void setup_falcon_h1(Convert *c);
void setup_delta(Convert *c);
void setup_smollm3(Convert *c);

/* setup_gemma.c */
void setup_gemma3n(Convert *c);
void setup_gemma4(Convert *c);

/* setup_window.c */
bool layer_is(Convert *c, int32_t layer, const char *kind); /* layer_types of config.json */
void setup_window(Convert *c);
void setup_window_all(Convert *c);
void setup_qwen(Convert *c);
void setup_qwen2_moe(Convert *c);
void setup_qwen3_moe(Convert *c);

/* setup_encoder.c */
void setup_encoder(Convert *c);
void setup_modern(Convert *c);
void setup_roberta(Convert *c);
void setup_nomic(Convert *c);

/* setup.c: keys of some families */
extern const KeyRule keys_moe[], keys_granite[], keys_scaled_logits[], keys_gemma[],
    keys_parallel[];

#endif
