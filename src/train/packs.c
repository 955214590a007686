/* Packs of documents (see batch.h). The packs of an epoch are planned when it begins, from the seed
 * and the epoch alone, so that any place in it can be found again: a conversation goes to the open
 * pack that it fills best, texts go to a pack of their own kind and are cut. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "train/batch.h"
#include "train/corpus.h"
#include "train/random.h"

enum { BINS = 32 };
#define NOTHING UINT32_MAX

/* A part of a document in a pack. */
typedef struct Piece {
    uint64_t start; /* its first row in the document */
    uint32_t doc, next;
    int32_t n; /* rows */
} Piece;

typedef struct Bin {
    uint32_t first, last; /* pieces; NOTHING: closed */
    int32_t rows;
} Bin;

struct Packs {
    Corpus *corpus; /* own, or borrowed by what was held out */
    bool borrowed;
    int32_t context;
    bool in_order;
    uint64_t seed;
    uint32_t *docs; /* (n_docs) of the corpus, in the order of the epoch */
    uint32_t n_docs;
    uint64_t tokens, counted;
    /* The plan of the epoch. */
    uint64_t epoch;
    Piece *pieces;
    uint32_t n_pieces, piece_capacity;
    uint32_t *packs; /* first piece of each */
    uint32_t n_packs, pack_capacity, at;
    Bin bins[BINS + 1]; /* the last is that of texts */
    bool failed;        /* no memory */
    bool planned;
    StepRow *rows; /* (context) */
    int32_t *target;
    float *weight;
    uint64_t *place; /* (context) of each row's target among the ids */
    int32_t n_rows;  /* of the last pack */
};

/* ---- the plan ---- */

static bool grow(void **items, uint32_t n, uint32_t *capacity, size_t size)
{
    if (n < *capacity) return true;
    uint32_t more = *capacity + *capacity / 2 + 1024;
    void *grown = more < *capacity ? NULL : mem_realloc(*items, more * size);
    if (!grown) return false;
    *items = grown;
    *capacity = more;
    return true;
}

static void close_bin(Packs *p, Bin *b)
{
    void *packs = p->packs;
    if (b->first == NOTHING) return;
    p->failed |= !grow(&packs, p->n_packs, &p->pack_capacity, sizeof *p->packs);
    p->packs = packs;
    if (!p->failed) p->packs[p->n_packs++] = b->first;
    *b = (Bin){NOTHING, NOTHING, 0};
}

static void put_piece(Packs *p, Bin *b, uint32_t doc, uint64_t start, int32_t n)
{
    void *pieces = p->pieces;
    p->failed |= !grow(&pieces, p->n_pieces, &p->piece_capacity, sizeof *p->pieces);
    p->pieces = pieces;
    if (p->failed) return;
    p->pieces[p->n_pieces] = (Piece){start, doc, NOTHING, n};
    if (b->first == NOTHING)
        b->first = p->n_pieces;
    else
        p->pieces[b->last].next = p->n_pieces;
    b->last = p->n_pieces++;
    b->rows += n;
    if (b->rows == p->context) close_bin(p, b);
}

/* The open pack that n rows fill best; else a fresh one, for which the fullest is closed. */
static Bin *bin_for(Packs *p, int32_t n)
{
    Bin *best = NULL, *fullest = p->bins, *fresh = NULL;
    const int bins = p->in_order ? 1 : BINS;
    for (int i = 0; i < bins; i++) {
        Bin *b = &p->bins[i];
        if (b->first == NOTHING) {
            if (!fresh) fresh = b;
            continue;
        }
        if (b->rows + n <= p->context && (!best || b->rows > best->rows)) best = b;
        if (b->rows > fullest->rows) fullest = b;
    }
    if (best) return best;
    if (fresh) return fresh;
    close_bin(p, fullest);
    return fullest;
}

static void place(Packs *p, uint32_t doc)
{
    const CorpusDoc *d = &p->corpus->docs[doc];
    uint64_t rows = d->n - 1;
    if (!d->text) {
        put_piece(p, bin_for(p, (int32_t)rows), doc, 0, (int32_t)rows);
        return;
    }
    Bin *b = p->in_order ? p->bins : &p->bins[BINS];
    for (uint64_t at = 0; at < rows && !p->failed;) {
        int32_t room = p->context - b->rows;
        int32_t n = rows - at < (uint64_t)room ? (int32_t)(rows - at) : room;
        put_piece(p, b, doc, at, n);
        at += (uint64_t)n;
    }
}

/* An order of its own for each epoch (Fisher and Yates), from the order of the corpus. */
static void shuffle(Packs *p)
{
    uint64_t key = random_bits(p->seed, p->epoch);
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->corpus->n_docs; i++)
        if (p->corpus->docs[i].held == p->borrowed) p->docs[n++] = i;
    for (uint32_t i = n; i > 1 && !p->in_order; i--) {
        uint32_t j = (uint32_t)(random_bits(key, i) % i), swap = p->docs[j];
        p->docs[j] = p->docs[i - 1];
        p->docs[i - 1] = swap;
    }
}

static bt_status plan(Packs *p, uint64_t epoch, bt_error *err)
{
    p->epoch = epoch;
    p->n_pieces = p->n_packs = p->at = 0;
    p->failed = false;
    for (int i = 0; i <= BINS; i++) p->bins[i] = (Bin){NOTHING, NOTHING, 0};
    shuffle(p);
    for (uint32_t i = 0; i < p->n_docs && !p->failed; i++) place(p, p->docs[i]);
    for (int i = 0; i <= BINS && !p->failed; i++) close_bin(p, &p->bins[i]);
    p->planned = !p->failed;
    if (p->planned) return BT_OK;
    return bt_fail_memory(err, "the order of the data", p->n_pieces * sizeof *p->pieces);
}

/* ---- opening ---- */

static bt_status open_on(Packs *p, bt_error *err)
{
    const Corpus *c = p->corpus;
    for (uint32_t i = 0; i < c->n_docs; i++) {
        const CorpusDoc *d = &c->docs[i];
        if (d->held != p->borrowed) continue;
        p->n_docs++;
        p->tokens += d->n - 1;
        for (uint64_t j = 1; j < d->n; j++) p->counted += c->counts[d->at + j];
    }
    size_t n = (size_t)p->context;
    p->docs = mem_alloc(p->n_docs * sizeof *p->docs);
    p->rows = mem_zalloc(n, sizeof *p->rows);
    p->target = mem_zalloc(n, sizeof *p->target);
    p->weight = mem_zalloc(n, sizeof *p->weight);
    p->place = mem_zalloc(n, sizeof *p->place);
    if (!p->docs || !p->rows || !p->target || !p->weight || !p->place)
        return bt_fail_memory(err, "the order of the data", p->n_docs * sizeof *p->docs);
    if (!p->counted)
        return bt_fail(err, BT_E_ARGUMENT, "%s",
                       p->borrowed ? "nothing was held out: the data has too few documents"
                                   : "nothing in the data counts: no assistant says anything; "
                                     "--all-counts learns all that is said");
    return plan(p, 0, err);
}

bt_status packs_open(const bt_model *model, const char *const *paths, size_t n,
                     const PacksOptions *options, Packs **out, bt_error *err)
{
    *out = NULL;
    if (options->context < 2)
        return bt_fail(err, BT_E_ARGUMENT, "a context of %d tokens is too small", options->context);
    Packs *p = mem_zalloc(1, sizeof *p);
    if (!p) return bt_fail_memory(err, "the data", sizeof *p);
    p->context = options->context;
    p->seed = options->seed;
    p->in_order = options->in_order;
    bt_status status = corpus_open(model, paths, n, options, &p->corpus, err);
    bool read = !status;
    if (read) status = open_on(p, err);
    if (read && status == BT_E_ARGUMENT && n == 1) bt_error_prefix(err, paths[0]);
    *out = p;
    if (status) packs_close(out);
    return status;
}

bt_status packs_held(const Packs *packs, Packs **out, bt_error *err)
{
    *out = NULL;
    Packs *p = mem_zalloc(1, sizeof *p);
    if (!p) return bt_fail_memory(err, "the data", sizeof *p);
    p->corpus = packs->corpus;
    p->borrowed = p->in_order = true;
    p->context = packs->context;
    p->seed = packs->seed;
    bt_status status = open_on(p, err);
    *out = p;
    if (status) packs_close(out);
    return status;
}

void packs_close(Packs **packs)
{
    Packs *p = *packs;
    if (!p) return;
    if (!p->borrowed) corpus_close(&p->corpus);
    mem_free(p->docs);
    mem_free(p->pieces);
    mem_free(p->packs);
    mem_free(p->rows);
    mem_free(p->target);
    mem_free(p->weight);
    mem_free(p->place);
    mem_free(p);
    *packs = NULL;
}

/* ---- packs ---- */

static int32_t fill(Packs *p, const Piece *piece, int32_t sequence, int32_t row)
{
    const Corpus *c = p->corpus;
    uint64_t at = c->docs[piece->doc].at + piece->start;
    for (int32_t i = 0; i < piece->n; i++, row++, at++) {
        p->rows[row] = (StepRow){.token = c->ids[at], .sequence = sequence, .position = i};
        for (int a = 0; a < ROPE_AXES; a++) p->rows[row].axis[a] = i;
        p->target[row] = c->ids[at + 1];
        p->weight[row] = c->counts[at + 1];
        p->place[row] = at + 1;
    }
    return row;
}

bt_status packs_next(Packs *p, Batch *out, bt_error *err)
{
    *out = (Batch){0};
    if (!p->planned || p->at == p->n_packs) {
        bt_status status = plan(p, p->epoch + 1, err);
        if (status) return status;
    }
    int32_t row = 0, sequence = 0;
    for (uint32_t i = p->packs[p->at++]; i != NOTHING; i = p->pieces[i].next)
        row = fill(p, &p->pieces[i], sequence++, row);
    p->n_rows = row;
    *out = (Batch){row, p->rows, p->target, p->weight};
    return BT_OK;
}

bt_status packs_number(Packs *p, bt_error *err)
{
    if (corpus_number(p->corpus)) return BT_OK;
    return bt_fail_memory(err, "the order of the data", p->corpus->n / CORPUS_RUN * 8);
}

void packs_ranks(const Packs *p, uint64_t *rank)
{
    for (int32_t i = 0; i < p->n_rows; i++) rank[i] = corpus_rank(p->corpus, p->place[i]);
}

int32_t packs_context(const Packs *p)
{
    return p->context;
}

void packs_at(const Packs *p, int64_t at[3])
{
    bool over = p->at == p->n_packs;
    at[0] = (int64_t)p->epoch + over;
    at[1] = over ? 0 : (int64_t)p->at;
    at[2] = 0;
}

bt_status packs_seek(Packs *p, const int64_t at[3], bt_error *err)
{
    bt_status status = BT_OK;
    if (at[0] < 0 || at[1] < 0 || at[2] != 0)
        return bt_fail(err, BT_E_ARGUMENT, "there is no such place in the data");
    if (!p->planned || (uint64_t)at[0] != p->epoch) status = plan(p, (uint64_t)at[0], err);
    if (status) return status;
    if (at[1] >= (int64_t)p->n_packs)
        return bt_fail(err, BT_E_ARGUMENT, "the data has %u packs, and pack %lld is asked for",
                       p->n_packs, (long long)at[1]);
    p->at = (uint32_t)at[1];
    return BT_OK;
}

void packs_name(const Packs *p, char *out, size_t size)
{
    if (size) *out = '\0';
    if (!p->planned || !p->at || !size) return;
    uint32_t first = p->packs[p->at - 1], last = first;
    while (p->pieces[last].next != NOTHING) last = p->pieces[last].next;
    const CorpusDoc *a = &p->corpus->docs[p->pieces[first].doc];
    const CorpusDoc *b = &p->corpus->docs[p->pieces[last].doc];
    int n = snprintf(out, size, "%s:%llu", corpus_name(p->corpus, a), (unsigned long long)a->line);
    if (a != b && n > 0 && (size_t)n < size)
        snprintf(out + n, size - (size_t)n, " to %s:%llu", corpus_name(p->corpus, b),
                 (unsigned long long)b->line);
}

PacksCount packs_count(const Packs *p)
{
    PacksCount count = p->corpus->count;
    count.documents = p->n_docs;
    count.tokens = p->tokens;
    count.counted = p->counted;
    count.packs = p->n_packs;
    return count;
}

int64_t packs_tokens(const Packs *p)
{
    return (int64_t)p->counted;
}

int64_t packs_documents(const Packs *p)
{
    return p->n_docs;
}

uint64_t packs_hash(const Packs *p)
{
    return p->corpus->hash;
}
