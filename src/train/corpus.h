/* All documents of the data as ids and marks, one after another in memory. Inside train/. */
#ifndef TRAIN_CORPUS_H
#define TRAIN_CORPUS_H

#include "base/buf.h"
#include "train/batch.h"

#define CORPUS_RUN 256

typedef struct CorpusDoc {
    uint64_t at, n; /* ids; n >= 2 */
    uint64_t line;
    uint32_t file; /* where its name stands in `names` */
    bool text;     /* may be cut */
    bool held;     /* held out */
} CorpusDoc;

typedef struct Corpus {
    bt_token *ids;
    unsigned char *counts; /* 1: to be learned; 0 where a document begins */
    uint64_t n, capacity;
    CorpusDoc *docs;
    uint32_t n_docs, doc_capacity;
    uint64_t *ranks; /* of ids 0, CORPUS_RUN, ...: how many count before; NULL: not counted yet */
    Buf names;       /* of files, a NUL behind each */
    uint64_t hash;
    PacksCount count; /* data, cut, silent */
} Corpus;

bt_status corpus_open(const bt_model *model, const char *const *paths, size_t n,
                      const PacksOptions *options, Corpus **out, bt_error *err);
void corpus_close(Corpus **corpus);

/* Fills `ranks`. False: no memory. */
bool corpus_number(Corpus *corpus);
/* How many ids before this one count. */
uint64_t corpus_rank(const Corpus *corpus, uint64_t id);

static inline const char *corpus_name(const Corpus *c, const CorpusDoc *doc)
{
    return c->names.data + doc->file;
}

#endif
