/* Architectures: one file each, one row in models.def. */
#ifndef MODELS_MODEL_H
#define MODELS_MODEL_H

#include "models/loader.h"

typedef struct Arch {
    const char *name; /* general.architecture */
    /* Reads keys and tensors; returns the architecture's own struct (memory of the store). The
     * loader's hyper and layers hold afterwards. NULL after a failure. */
    const void *(*load)(Loader *ld);
    /* Logits (wanted rows, vocabulary) of one step. */
    Tensor (*forward)(Step *s, const void *model);
} Arch;

/* NULL when unknown. */
const Arch *arch_find(Span name);
/* "llama, qwen2, ..." for messages. */
const char *arch_list(void);

#endif
