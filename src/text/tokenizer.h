/* Text to token ids and back, for the vocabularies that GGUF files carry. Knows nothing of files:
 * the loader (models/vocab.c) fills TokSource. Every input byte string is legal; time is linear
 * in the input for all kinds, also for one repeated character. */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

/* tokenizer.ggml.token_type values */
enum {
    TOK_NORMAL = 1,
    TOK_UNKNOWN = 2,
    TOK_CONTROL = 3,
    TOK_USER = 4,
    TOK_UNUSED = 5,
    TOK_BYTE = 6
};

/* What a file says. The array of tokens, their bytes and those of the merges are borrowed and must
 * outlive the tokenizer (they point into the map); the rest is read while it opens. */
typedef struct TokSource {
    Span model; /* tokenizer.ggml.model: "llama", "gpt2", "bert", "t5", "gemma4", "no_vocab" */
    Span pre;   /* tokenizer.ggml.pre, may be empty */
    const Span *tokens;
    uint64_t n_tokens;
    const float *scores;  /* n_tokens or NULL */
    const int32_t *types; /* n_tokens or NULL */
    const Span *merges;   /* "a b", in rank order */
    uint64_t n_merges;
    int32_t bos, eos, unk, sep, pad, cls, mask, eot, eom; /* -1: none */
    bool nfc;      /* texts are normalised (NFC) first; GGUF has no key for it, ours is
                    * tokenizer.ggml.normalizer */
    Span charsmap; /* "t5": tokenizer.ggml.precompiled_charsmap, borrowed; empty: none */
    /* -1: the file does not say (the kind's own default holds), else 0 or 1 */
    int add_bos, add_eos, add_space_prefix, remove_extra_whitespaces, clean_spaces;
} TokSource;

/* A source of which nothing but its model and cutting is said. */
static inline TokSource tok_source(Span model, Span pre)
{
    return (TokSource){.model = model,
                       .pre = pre,
                       .bos = -1,
                       .eos = -1,
                       .unk = -1,
                       .sep = -1,
                       .pad = -1,
                       .cls = -1,
                       .mask = -1,
                       .eot = -1,
                       .eom = -1,
                       .add_bos = -1,
                       .add_eos = -1,
                       .add_space_prefix = -1,
                       .remove_extra_whitespaces = -1,
                       .clean_spaces = -1};
}

typedef struct Tokenizer Tokenizer;

bt_status tok_open(const TokSource *source, Tokenizer **out, bt_error *err);
void tok_close(Tokenizer **tok);

const char *tok_kind(const Tokenizer *tok); /* "spm", "bpe", "wpm", "unigram", "none" */
int32_t tok_size(const Tokenizer *tok);
bool tok_adds_bos(const Tokenizer *tok);
int32_t tok_bos(const Tokenizer *tok), tok_eos(const Tokenizer *tok);
/* What ends a text that stands on its own beyond what tok_encode puts there: EOS where the file
 * asks for it; -1: nothing. */
int32_t tok_closing(const Tokenizer *tok);
/* Ends an answer: EOS, EOT, EOM and the ids whose text says so ("<|im_end|>", "<|eot_id|>",
 * "<end_of_turn>" ...). */
bool tok_ends(const Tokenizer *tok, int32_t id);
bool tok_is_special(const Tokenizer *tok, int32_t id); /* control or unknown: not shown as text */
int32_t tok_find(const Tokenizer *tok, Span text);     /* id of exactly this token, or -1 */

/* A run of text; special tokens inside it are recognised or not. */
typedef struct TokPart {
    Span text;
    bool special;
} TokPart;

/* Ids of the parts, as one text, appended; *out is mem_alloc'd (mem_free). add_bos puts BOS first
 * (if there is one and the first part does not begin with it), and with WordPiece SEP last. Control
 * tokens are recognised within one part that asks for it; user-defined ones in any text. */
bt_status tok_encode(const Tokenizer *tok, const TokPart *parts, size_t n_parts, bool add_bos,
                     int32_t **out, size_t *n_out, bt_error *err);
/* Bytes of one token as they stand in the text (byte tokens: their byte; U+2581: space); special
 * tokens are "" unless `special`. `first`: the text starts here (SentencePiece drops one leading
 * space). Returns the length; writes at most capacity; -1: id outside. */
int64_t tok_text(const Tokenizer *tok, int32_t id, bool special, bool first, char *out,
                 size_t capacity);

#endif
