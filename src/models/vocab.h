/* The vocabulary of a GGUF: reads the tokenizer.ggml.* keys and opens the tokenizer on them. A file
 * without them, or with the model "no_vocab", has a tokenizer of kind "none" and no tokens. */
#ifndef MODELS_VOCAB_H
#define MODELS_VOCAB_H

#include "io/gguf.h"
#include "text/tokenizer.h"

typedef struct Vocab {
    Tokenizer *tok;
    Span chat_template; /* tokenizer.chat_template, in the file's map; empty: none */
    Span *tokens;
} Vocab;

/* The file must stay open while the vocabulary is used: texts point into its map. Fails with
 * BT_E_FORMAT (naming file and key), BT_E_UNSUPPORTED, BT_E_LIMIT, BT_E_MEMORY. */
bt_status vocab_load(const Gguf *g, Vocab **out, bt_error *err);
void vocab_close(Vocab **vocab);

#endif
