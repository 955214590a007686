/* Fill-in-the-middle: the control tokens between which models that were trained for it are shown
 * what stands before and after the gap. Found by the file's keys (tokenizer.ggml.fim_*_token_id,
 * in older files prefix_, suffix_ and middle_token_id), else by the names that families gave them.
 */
#ifndef SERVE_FIM_H
#define SERVE_FIM_H

#include "bantam/bantam.h"

typedef struct Fim {
    bt_token prefix, suffix, middle; /* all three, or it cannot */
    bt_token repository, file;       /* before names of repository and files; -1: none */
} Fim;

/* False: the model has no such tokens. The model may be open for its vocabulary only. */
bool fim_find(const bt_model *model, Fim *out);

#endif
