/* Byte-pair encoding, learned: from the counts of words, the merges that a byte-level vocabulary is
 * made of. The pair of neighbours that occurs most often becomes a token, again and again (Sennrich
 * et al. 2016). Counts are kept up to date, not taken anew, and the best pair comes from a heap, so
 * the work follows what changes.
 *
 * Ties: of pairs that occur equally often the one with the smaller left token comes first, then the
 * smaller right one. Tokens 0 to 255 are the bytes in the order of the characters that GPT-2 writes
 * them as (tok_byte_char), later ones follow in the order of their merges. This is the rule of the
 * trainer in Hugging Face's tokenizers, and the merges are the same as its. */
#ifndef TRAIN_BPE_H
#define TRAIN_BPE_H

#include "base/status.h"
#include "train/words.h"

#define BPE_LARGEST (1u << 20) /* tokens */

typedef struct BpeMerge {
    uint32_t left, right, made; /* tokens; `made` may be an older one of the same bytes */
} BpeMerge;

typedef struct Bpe {
    Buf bytes;     /* of the tokens, one after another */
    uint32_t *end; /* (n_tokens) where each ends in `bytes` */
    uint32_t n_tokens, n_merges;
    BpeMerge *merges;
    uint64_t tokens; /* that the words become, each time they occur */
} Bpe;

typedef struct BpeOptions {
    uint32_t n_tokens; /* to make, the 256 bytes among them; 256 to BPE_LARGEST */
    uint64_t least;    /* a pair that occurs less often is no merge; 0: 2 */
    bt_progress_fn progress;
    void *progress_user;
} BpeOptions;

/* Fewer tokens than asked are made where no pair occurs often enough. BT_E_ARGUMENT, BT_E_MEMORY,
 * BT_E_CANCELLED. */
bt_status bpe_learn(const Words *words, const BpeOptions *options, Bpe *out, bt_error *err);
void bpe_close(Bpe *bpe);
/* Bytes of a token. */
static inline const char *bpe_token(const Bpe *b, uint32_t i, size_t *n)
{
    uint32_t start = i ? b->end[i - 1] : 0;
    *n = b->end[i] - start;
    return b->bytes.data + start;
}

#endif
