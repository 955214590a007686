/* Small random models for tests, written with our own GGUF writer: whole files that load, tokenize
 * and answer (nonsense), the same bytes for the same options on every machine. */
#ifndef TESTS_MAKE_MODEL_H
#define TESTS_MAKE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "tensor/dtype.h"

typedef enum MakeVocab {
    MAKE_BPE, /* byte-level: ids 0..255 are the bytes, then 55 merges, then 9 special tokens */
    MAKE_SPM, /* <unk> <s> </s>, 256 byte tokens, then pieces, then the same special tokens */
    MAKE_NO_VOCAB,
    MAKE_WPM /* [PAD] [UNK] [CLS] [SEP] [MASK], then letters and a few words; what bert has */
} MakeVocab;

/* First ids of the kinds of tokens above. */
enum { MAKE_BPE_MERGES = 256, MAKE_BPE_SPECIAL = 256 + 55, MAKE_SPM_BYTES = 3 };

/* Zeroed is a small float32 llama; a field left 0 takes the value in its comment. */
typedef struct MakeModel {
    const char *arch;          /* llama; also llama-moe, qwen2, qwen3, qwen3moe, bert */
    const char *name;          /* general.name: the arch */
    int embd, ff, layers;      /* 64, 160, 2; for K-quants multiples of 256 */
    int heads, kv_heads;       /* 4, 2 */
    int head_dim;              /* 16 */
    int experts, experts_used; /* 8, 2 (where the architecture has experts) */
    int ctx;                   /* 512 */
    int vocab;                 /* what the tokenizer needs, rounded up to 32; without one 128 */
    MakeVocab tokenizer;
    const char *pre;           /* tokenizer.ggml.pre: llama-bpe, qwen2 for the qwens */
    const char *chat_template; /* "chatml", "llama3", else the template's own text; NULL: none */
    int pooling;               /* pooling_type; 0: not said, for bert 1 (mean) */
    const char *query_prefix;  /* sentence_transformers.prompts.query; NULL: no such key */
    bool add_eos;              /* a whole text ends with EOS */
    bool ranks;                /* bert: pooling_type 4 and the head of a reranker */
    bool tied;                 /* no output.weight */
    bool rope_freqs;           /* rope_freqs.weight, as Llama 3 has it */
    bool bias;                 /* biases on q, k, v and the output projection (qwen2 always has
                                * those on q, k, v) */
    DType type;                /* of matrices: F32. F32, F16, BF16, Q8_0 and Q4_0 are quantised from
                                * the same numbers; the other types get random blocks of the same
                                * spread */
    DType high;                /* of embeddings, output, v and down; F32: as `type` */
    uint64_t seed;
    uint64_t embd_rows; /* rows of token_embd, to make a file that lies; 0: vocab */
} MakeModel;

bt_status make_model(const MakeModel *options, const char *path, bt_error *err);

/* The template's text for "chatml" and "llama3", else `name` itself. */
const char *make_template(const char *name);

#endif
