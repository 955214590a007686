/* A vocabulary of our own: byte-level BPE learned from data, written as a GGUF file that has a
 * tokenizer and a chat template and no weights. `bantam tokenize` reads it, `bantam train` starts
 * from it. Tokens stand in this order: the 256 bytes, what was merged, special tokens, markers.
 *
 * Words are cut as a known tokenizer does (text/pretokenize.h), conversations rendered by the chat
 * template first, so that what is counted is what a model will read. */
#ifndef TRAIN_VOCAB_LEARN_H
#define TRAIN_VOCAB_LEARN_H

#include "base/span.h"
#include "train/data.h"

#define VOCAB_MOST_OWN 256 /* special tokens and markers */

typedef struct VocabOptions {
    uint32_t size;      /* tokens in all; fewer come out of a text that has no more to merge */
    uint64_t least;     /* a pair that occurs less often is no merge; 0: 2 */
    const char *pre;    /* a value of tokenizer.ggml.pre; NULL: "qwen2" */
    Span chat_template; /* Jinja; empty: ours, ChatML with tool calls as Hermes has them */
    const char *name;   /* general.name; NULL: none */
    /* bantam.assistant: the fixed tools that models with this vocabulary call (docs/assistant.md);
     * NULL: none */
    const char *assistant;
    /* Control tokens: the template may write them, a text of people never becomes one. NULL:
     * <|endoftext|>, <|im_start|>, <|im_end|>. */
    const char *const *special;
    size_t n_special;
    /* Tokens that are shown as text and found in any text, as <tool_call>. */
    const char *const *markers;
    size_t n_markers;
    size_t most_bytes; /* see words_open */
    DataOptions data;  /* its progress serves for all */
} VocabOptions;

typedef struct VocabResult {
    DataCount data;
    uint32_t n_tokens, n_merges, n_own; /* own: special and markers */
    uint64_t words, different, forgot;  /* forgot: words seen so often or less were forgotten */
    uint64_t bytes, tokens;             /* of all words together: before, and as tokens */
} VocabResult;

/* Learns from files and folders and writes `out`, which is replaced whole at the end. `result` is
 * filled as far as it went. Fails as data_read does; BT_E_ARGUMENT for options out of range. */
bt_status vocab_learn(const char *const *paths, size_t n, const VocabOptions *options,
                      const char *out, VocabResult *result, bt_error *err);

extern const char vocab_template[]; /* ours */

#endif
