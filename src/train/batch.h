/* What one pass of training reads: rows of documents packed one behind another. */
#ifndef TRAIN_BATCH_H
#define TRAIN_BATCH_H

#include "backend/backend.h"
#include "train/data.h"

/* Row i: a token, the document of this pack it is of (`sequence`, 0 and up, rows of one together),
 * its place in it. target[i] is the token that should follow, or -1; weight[i] what that counts,
 * 0 where it is masked. */
typedef struct Batch {
    int32_t n_rows;
    StepRow *rows;
    int32_t *target;
    float *weight;
} Batch;

/* Documents as packs of at most `context` rows, epoch after epoch, each epoch in an order of its
 * own that follows from the seed. A document's last token is no row: nothing follows it. Texts are
 * cut where a pack is full and go on in another, as a document of its own; conversations and
 * completions are never cut, but for those longer than the context, which lose their end; several
 * packs are open at a time, so that little room is left. All tokens are kept in memory (5 bytes
 * each). */
typedef struct Packs Packs;

typedef struct PacksOptions {
    int32_t context;   /* most rows of a pack, >= 2 */
    uint64_t seed;     /* of the orders, and of what is held out */
    bool lenient;      /* leave out documents that cannot be used */
    bool in_order;     /* as they stand: for evaluation */
    bool all_counts;   /* no masks: prompts and what users say are learned too */
    double held_out;   /* share of the documents kept apart, see packs_held; 0: none */
    const char *jinja; /* a chat template's text in place of the model's; NULL: the model's */
    bt_progress_fn progress;
    void *progress_user;
} PacksOptions;

/* What was read. */
typedef struct PacksCount {
    DataCount data;
    uint64_t documents, tokens, counted; /* of what is learned; tokens of all rows */
    uint64_t cut;                        /* longer than the context */
    uint64_t silent;                     /* left out: nothing in them counts */
    uint64_t packs;                      /* of the running epoch */
} PacksCount;

/* Reads and tokenizes files and folders (data_read) by the model's vocabulary and chat template.
 * Fails as data_read does; BT_E_ARGUMENT where nothing counts. */
bt_status packs_open(const bt_model *model, const char *const *paths, size_t n,
                     const PacksOptions *options, Packs **out, bt_error *err);
/* What was held out, in order; it borrows from `packs`, and is closed first. BT_E_ARGUMENT: there
 * is nothing. Where there are too few documents to choose from, the ends of long texts are held
 * out. */
bt_status packs_held(const Packs *packs, Packs **out, bt_error *err);
void packs_close(Packs **packs);

/* The next pack, epoch after epoch without end; its memory is the packs' until the next call. */
bt_status packs_next(Packs *packs, Batch *out, bt_error *err);
/* Where the next pack begins: epoch, pack, 0. packs_seek goes there, also with other Packs of the
 * same data and options. */
void packs_at(const Packs *packs, int64_t at[3]);
bt_status packs_seek(Packs *packs, const int64_t at[3], bt_error *err);
/* Counts the tokens that count, so that packs_ranks can tell of each row of the last pack which of
 * them its target is, in the order of the data: the same number in any order of packs, and whatever
 * is held out. Rows that do not count have no rank. */
bt_status packs_number(Packs *packs, bt_error *err);
void packs_ranks(const Packs *packs, uint64_t *rank); /* (context) */
int32_t packs_context(const Packs *packs);
/* "chats.jsonl:17" or "chats.jsonl:17 to chats.jsonl:4": where the last pack came from. */
void packs_name(const Packs *packs, char *out, size_t size);

PacksCount packs_count(const Packs *packs);
int64_t packs_tokens(const Packs *packs);    /* that count, in an epoch */
int64_t packs_documents(const Packs *packs); /* in an epoch */
uint64_t packs_hash(const Packs *packs);     /* of all ids and masks */

#endif
