/* Documents tokenized and kept (see corpus.h), and which of them are held out. */
#include "train/corpus.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "engine/model.h"
#include "train/labels.h"
#include "train/random.h"

enum { FEW = 20 }; /* documents; of fewer none is held out whole */

typedef struct Gather {
    Corpus *corpus;
    const PacksOptions *options;
    Labels *labels;
    const char *file; /* whose name was put last */
    uint32_t name;
    uint64_t number;
} Gather;

/* ---- documents ---- */

static bool room(Corpus *c, size_t n)
{
    if (c->n + n > c->capacity) {
        uint64_t capacity = c->capacity + c->capacity / 2 + n + 65536;
        bt_token *ids = mem_realloc(c->ids, capacity * sizeof *ids);
        if (!ids) return false;
        c->ids = ids;
        unsigned char *counts = mem_realloc(c->counts, capacity);
        if (!counts) return false;
        c->counts = counts;
        c->capacity = capacity;
    }
    if (c->n_docs == c->doc_capacity) {
        uint32_t capacity = c->doc_capacity + c->doc_capacity / 2 + 1024;
        CorpusDoc *docs =
            capacity < c->doc_capacity ? NULL : mem_realloc(c->docs, capacity * sizeof *docs);
        if (!docs) return false;
        c->docs = docs;
        c->doc_capacity = capacity;
    }
    return true;
}

/* The name is put once a file. */
static bool name_file(Gather *g, const char *file)
{
    Buf *names = &g->corpus->names;
    if (g->file && strcmp(names->data + g->name, file) == 0) return true;
    g->name = (uint32_t)names->size;
    buf_add(names, file, strlen(file) + 1);
    g->file = file;
    return !names->failed;
}

static bt_status keep(void *user, const DataDoc *doc, const bt_token *ids,
                      const unsigned char *counts, size_t n, bt_error *err)
{
    Gather *g = user;
    Corpus *c = g->corpus;
    bool text = doc->kind == DATA_TEXT;
    size_t most = (size_t)g->options->context + 1;
    if (!text && n > most) {
        n = most;
        c->count.cut++;
    }
    while (n > 1 && !counts[n - 1]) n--; /* nothing is learned behind it */
    if (n < 2) {
        c->count.silent++;
        return BT_OK;
    }
    if (!room(c, n) || !name_file(g, doc->file))
        return bt_fail_memory(err, "the tokens of the data", (c->n + n) * 5);
    memcpy(c->ids + c->n, ids, n * sizeof *ids);
    memcpy(c->counts + c->n, counts, n);
    c->counts[c->n] = 0; /* nothing stands before it */
    c->docs[c->n_docs++] =
        (CorpusDoc){.at = c->n, .n = n, .line = doc->line, .file = g->name, .text = text};
    c->hash = hash_bytes(ids, n * sizeof *ids, c->hash + n);
    c->hash = hash_bytes(c->counts + c->n, n, c->hash);
    c->n += n;
    return BT_OK;
}

static bt_status take(void *user, const DataDoc *doc, bt_error *err)
{
    Gather *g = user;
    return labels_document(g->labels, doc, g->number++, keep, g, err);
}

/* ---- what is held out ---- */

/* The end of a text becomes a document of its own, held out. */
static bool hold_end(Corpus *c, uint32_t doc, uint64_t n)
{
    if (!room(c, 0)) return false;
    CorpusDoc *d = &c->docs[doc], end = *d;
    d->n -= n;
    end.at += d->n;
    end.n = n;
    end.held = true;
    c->docs[c->n_docs++] = end;
    return true;
}

/* Of enough documents some are chosen by the seed; else the ends of texts that are long. */
static bool hold_out(Corpus *c, const PacksOptions *o)
{
    uint32_t n = c->n_docs;
    if (!(o->held_out > 0)) return true;
    if (n < FEW) {
        uint64_t least = 4 * (uint64_t)o->context;
        for (uint32_t i = 0; i < n; i++) {
            uint64_t part = (uint64_t)((double)c->docs[i].n * o->held_out);
            if (!c->docs[i].text || c->docs[i].n < least) continue;
            if (part < 2) part = 2;
            if (!hold_end(c, i, part)) return false;
        }
        return true;
    }
    uint64_t key = random_bits(o->seed, UINT64_MAX - 1), wanted = (uint64_t)(n * o->held_out);
    if (wanted < 1) wanted = 1;
    for (uint64_t left = n; left > 0; left--) { /* each of those left has the same chance */
        bool chosen = random_bits(key, left) % left < wanted;
        c->docs[n - left].held = chosen;
        wanted -= chosen;
    }
    return true;
}

/* ---- opening ---- */

bt_status corpus_open(const bt_model *model, const char *const *paths, size_t n,
                      const PacksOptions *options, Corpus **out, bt_error *err)
{
    Corpus *c = *out = mem_zalloc(1, sizeof **out);
    if (!c) return bt_fail_memory(err, "the data", sizeof **out);
    Gather g = {.corpus = c, .options = options};
    const LabelsSource source = {model_tokenizer(model),
                                 options->jinja ? options->jinja
                                                : bt_model_describe(model).chat_template,
                                 options->all_counts};
    const DataOptions data = {options->lenient, options->progress, options->progress_user};
    bt_status status = BT_OK;
    if (!(options->held_out >= 0 && options->held_out <= 0.5))
        status = bt_fail(err, BT_E_ARGUMENT, "at most half of the data can be held out");
    if (!status && tok_size(source.tok) == 0)
        status = bt_fail(err, BT_E_ARGUMENT, "%s has no vocabulary", bt_model_describe(model).path);
    if (!status) status = labels_open(&source, &g.labels, err);
    if (!status) status = data_read(paths, n, &data, take, &g, &c->count.data, err);
    if (!status && !hold_out(c, options))
        status = bt_fail_memory(err, "the data", c->n_docs * sizeof *c->docs);
    labels_close(&g.labels);
    if (status) corpus_close(out);
    return status;
}

bool corpus_number(Corpus *c)
{
    uint64_t count = 0;
    if (c->ranks) return true;
    c->ranks = mem_alloc((c->n / CORPUS_RUN + 1) * sizeof *c->ranks);
    for (uint64_t i = 0; c->ranks && i < c->n; i++) {
        if (i % CORPUS_RUN == 0) c->ranks[i / CORPUS_RUN] = count;
        count += c->counts[i];
    }
    return c->ranks != NULL;
}

uint64_t corpus_rank(const Corpus *c, uint64_t id)
{
    uint64_t rank = c->ranks[id / CORPUS_RUN];
    for (uint64_t i = id / CORPUS_RUN * CORPUS_RUN; i < id; i++) rank += c->counts[i];
    return rank;
}

void corpus_close(Corpus **corpus)
{
    Corpus *c = *corpus;
    if (!c) return;
    mem_free(c->ids);
    mem_free(c->counts);
    mem_free(c->ranks);
    mem_free(c->docs);
    buf_close(&c->names);
    mem_free(c);
    *corpus = NULL;
}
