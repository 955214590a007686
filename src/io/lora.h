/* A low-rank adapter in memory (LoRA, arXiv 2106.09685; with magnitudes DoRA, arXiv 2402.09353),
 * and the GGUF file of it. What it does to a matrix W (n, k): W + scale B A, with A (rank, k) and
 * B (n, rank); with magnitudes m (n) each row of that is then divided by its Euclidean length and
 * multiplied by m.
 *
 * The file: general.type "adapter", general.architecture of the base, adapter.type "lora",
 * adapter.lora.alpha (scale = alpha / rank; 0: 1); for a tensor NAME of the base NAME.lora_a
 * (ne = k, rank) and NAME.lora_b (ne = rank, n), experts in a third dimension; of token_embd.weight
 * the two are rows of the vocabulary (rank) and of the stream (rank). That is what other programs
 * write and read. Ours besides: NAME.lora_magnitude (ne = n), which they refuse, and
 * "bantam.base.fingerprint". Refused: other kinds of adapters, halves of pairs, shapes that
 * disagree, tensors of any other name, numbers that are NaN or infinite. */
#ifndef IO_LORA_H
#define IO_LORA_H

#include "io/gguf.h"

#define LORA_MOST_RANK  8192
#define LORA_MOST_WIDTH (1 << 24)
#define LORA_MOST_MATS  4096
#define LORA_NAME       160 /* bytes of a base tensor's name, with its NUL */
#define LORA_EMBEDDING  "token_embd.weight"

typedef struct LoraMatrix {
    char name[LORA_NAME]; /* of the base's tensor: "blk.0.attn_q.weight" */
    int64_t k, n, n_mats;
    int32_t rank;
    float scale;      /* of B A */
    float *a;         /* (n_mats, rank, k) */
    float *b;         /* (n_mats, n, rank) */
    float *magnitude; /* (n_mats, n); NULL: no DoRA */
} LoraMatrix;

typedef struct Lora {
    char *arch;           /* general.architecture of the base; NULL: not said */
    char *name;           /* of the adapter; NULL: none */
    char *base;           /* what it calls its base; NULL: nothing */
    uint64_t fingerprint; /* of the base it was trained on (lora_fingerprint); 0: not said */
    LoraMatrix *items;
    size_t n, capacity;
} Lora;

/* BT_E_FORMAT, BT_E_UNSUPPORTED and BT_E_IO name file, tensor and what to do. */
bt_status lora_read(const char *path, Lora **out, bt_error *err);
/* The same of an index that is open. */
bt_status lora_read_index(const Gguf *gguf, Lora **out, bt_error *err);
/* `type`: DT_F32, DT_F16 or DT_BF16 of A and B. One alpha serves all: where scale times rank
 * differs, B takes the rest of the factor. The file is replaced whole. */
bt_status lora_write(const Lora *lora, const char *path, uint32_t type, bt_error *err);

Lora *lora_new(void); /* NULL: no memory */
void lora_close(Lora **lora);
/* Another matrix with memory for A and B (and magnitudes), zeroed; NULL: no memory, or a name too
 * long. Valid until the next is added. */
LoraMatrix *lora_add(Lora *lora, const char *name, int64_t k, int64_t n, int64_t n_mats,
                     int32_t rank, bool magnitudes);
const LoraMatrix *lora_find(const Lora *lora, const char *name); /* NULL: none */
/* Of all numbers and names: two adapters that are the same have the same. */
uint64_t lora_hash(const Lora *lora);
/* BT_E_FORMAT when a number of `m` is NaN or infinite; `where` is the file. */
bt_status lora_check(const LoraMatrix *m, const char *where, bt_error *err);

/* What tells a base from others, whatever types its weights were quantised to: its architecture,
 * and names, widths and values of its norms, which every type of file keeps as they are. */
uint64_t lora_fingerprint(const Gguf *base);
bool lora_is_adapter(const Gguf *gguf); /* general.type says so */

#endif
