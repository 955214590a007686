/* Adapters in training (LoRA, arXiv 2106.09685; DoRA, arXiv 2402.09353): parameters whose model is
 * frozen as it lies, quantised panels and all, with low-rank matrices beside those that were named.
 * A is random, B zero: the run begins at the model itself. The optimiser, the loop and checkpoints
 * are those of any parameters. Refused: experts (a pair each would be as many as their own
 * weights), matrices that the model keeps in another order than its file. */
#ifndef TRAIN_LORA_H
#define TRAIN_LORA_H

#include "train/params.h"

typedef struct LoraOptions {
    int32_t rank;        /* 0: 16 */
    float alpha;         /* B A is multiplied by alpha / rank; 0: twice the rank */
    bool dora;           /* rows' lengths are learnt too */
    const char *targets; /* "attn_q,attn_v", "q_proj,v_proj"; NULL: all matrices of the layers */
    const char *from;    /* an adapter that goes on learning, in place of all these; NULL: none */
    bool any_base;
    uint64_t seed;
} LoraOptions;

/* The model is opened with options->model, its cache folder too; p->model is it. */
bt_status lora_params_open(const char *model, const LoraOptions *lora, const ParamsOptions *options,
                           Params **out, bt_error *err);
/* GGUF where the name ends in .gguf, else a folder for PEFT. */
bt_status lora_params_save(const Params *params, const char *path, bt_error *err);

#endif
