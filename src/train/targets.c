/* Stored teachers (see targets.h). */
#include "train/targets.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine/model.h"
#include "train/random.h"

#define VERSION      1
#define WRITE_TOKENS 4096 /* records of one write */

/* As the file begins; fields little-endian. */
typedef struct Header {
    char magic[8];
    uint32_t version, n_vocab, samples, id_bytes;
    float temperature;
    uint32_t context;
    uint64_t n_tokens;  /* records */
    uint64_t data_hash; /* packs_hash */
    uint64_t vocab_hash;
    uint64_t checksum; /* hash_bytes of what stands before, then of runs of WRITE_TOKENS records,
                        * each seeded with the one before */
} Header;

static const char magic[8] = "BTTARGET";

static uint64_t header_hash(const Header *h)
{
    return hash_bytes(h, offsetof(Header, checksum), 0);
}

/* Of all tokens' texts, in order. */
static uint64_t vocab_hash(const bt_model *m)
{
    const Tokenizer *tok = model_tokenizer(m);
    uint64_t hash = 1;
    char text[256];
    for (int32_t i = 0; i < tok_size(tok); i++) {
        int64_t n = tok_text(tok, i, true, false, text, sizeof text);
        hash = hash_bytes(text, (size_t)(n < (int64_t)sizeof text ? n : (int64_t)sizeof text),
                          hash + (uint64_t)n);
    }
    return hash;
}

/* ---- writing ---- */

typedef struct Writing {
    Teacher *teacher;
    Packs *packs;
    const TargetsOptions *o;
    Header header;
    const Kernels *kernels;
    int32_t n_vocab;
    unsigned char *records; /* (WRITE_TOKENS) */
    size_t record, waiting; /* bytes of one; how many wait */
    float *p;               /* (n_vocab) */
    int32_t *row;           /* (context) */
    int32_t chunk;
    uint64_t done;
} Writing;

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Draws from the softmax of logits / T: sorted uniform numbers, one walk. */
static void draw(Writing *w, const float *logits, unsigned char *out)
{
    double u[TARGETS_MOST_SAMPLES], sum = 0, at = 0;
    int32_t n = (int32_t)w->header.samples, token = 0, last = 0;
    for (int32_t i = 0; i < w->n_vocab; i++) w->p[i] = logits[i] / w->header.temperature;
    w->kernels->softmax(w->p, (size_t)w->n_vocab);
    for (int32_t i = 0; i < w->n_vocab; i++) {
        sum += (double)w->p[i];
        if (w->p[i] > 0) last = i;
    }
    for (int32_t i = 0; i < n; i++)
        u[i] = (double)(random_bits(w->o->seed, w->done * (uint64_t)n + (uint64_t)i) >> 11) *
               0x1p-53 * sum;
    qsort(u, (size_t)n, sizeof *u, by_size);
    at = (double)w->p[0];
    for (int32_t i = 0; i < n; i++) {
        while (token < last && (u[i] >= at || w->p[token] <= 0)) at += (double)w->p[++token];
        memcpy(out + (size_t)i * w->header.id_bytes, &token, w->header.id_bytes);
    }
}

static bt_status flush(Writing *w, int fd, bt_error *err)
{
    size_t bytes = w->waiting * w->record;
    w->header.checksum = hash_bytes(w->records, bytes, w->header.checksum);
    w->waiting = 0;
    return os_write_all(fd, w->records, bytes, err);
}

static bt_status write_batch(Writing *w, int fd, bt_error *err)
{
    Batch b;
    int32_t n = 0;
    bt_status status = packs_next(w->packs, &b, err);
    for (int32_t i = 0; i < b.n_rows && !status; i++)
        if (b.weight[i] != 0) w->row[n++] = i;
    for (int32_t at = 0; at < n && !status; at += w->chunk) {
        int32_t some = n - at < w->chunk ? n - at : w->chunk;
        TeacherLogits logits;
        status = teacher_logits(w->teacher, &b, w->row + at, some, &logits, err);
        for (int32_t i = 0; i < some && !status; i++) {
            draw(w, logits.data + (size_t)i * logits.stride, w->records + w->waiting++ * w->record);
            w->done++;
            if (w->waiting == WRITE_TOKENS) status = flush(w, fd, err);
        }
    }
    return status;
}

static bt_status write_file(void *user, int fd, bt_error *err)
{
    Writing *w = user;
    const TargetsOptions *o = w->o;
    const int64_t start[3] = {0, 0, 0};
    bt_status status = packs_seek(w->packs, start, err);
    uint64_t n = packs_count(w->packs).packs;
    if (!status) status = os_write_all(fd, &w->header, sizeof w->header, err);
    for (uint64_t i = 0; i < n && !status; i++) {
        status = write_batch(w, fd, err);
        if (!status && o->progress && !o->progress(o->progress_user, "teacher", i + 1, n))
            status = bt_fail(err, BT_E_CANCELLED, "cancelled");
    }
    if (!status && w->waiting) status = flush(w, fd, err);
    if (!status && w->done != w->header.n_tokens)
        status = bt_fail(err, BT_E_INTERNAL, "the packs gave other tokens than they said");
    if (status) return status;
    if (lseek(fd, 0, SEEK_SET) != 0) return bt_fail(err, BT_E_IO, "the header cannot be written");
    return os_write_all(fd, &w->header, sizeof w->header, err);
}

bt_status targets_write(Teacher *teacher, const bt_model *model, Packs *packs, const char *path,
                        const TargetsOptions *options, bt_error *err)
{
    Writing w = {.teacher = teacher,
                 .packs = packs,
                 .o = options,
                 .kernels = kernels_select(model->features),
                 .n_vocab = teacher_vocab(teacher),
                 .chunk = teacher_chunk(teacher)};
    int32_t samples = options->samples ? options->samples : 12;
    if (samples < 1 || samples > TARGETS_MOST_SAMPLES)
        return bt_fail(err, BT_E_ARGUMENT, "1 to %d samples are stored of a token",
                       TARGETS_MOST_SAMPLES);
    w.header = (Header){.version = VERSION,
                        .n_vocab = (uint32_t)tok_size(model_tokenizer(model)),
                        .samples = (uint32_t)samples,
                        .id_bytes = w.n_vocab <= 65536 ? 2 : 4,
                        .temperature = options->temperature > 0 ? options->temperature : 1,
                        .context = (uint32_t)packs_context(packs),
                        .n_tokens = (uint64_t)packs_tokens(packs),
                        .data_hash = packs_hash(packs),
                        .vocab_hash = vocab_hash(model)};
    memcpy(w.header.magic, magic, sizeof magic);
    w.header.checksum = header_hash(&w.header);
    w.record = (size_t)samples * w.header.id_bytes;
    w.records = mem_alloc(WRITE_TOKENS * w.record);
    w.p = mem_alloc((size_t)w.n_vocab * sizeof *w.p);
    w.row = mem_alloc((size_t)packs_context(packs) * sizeof *w.row);
    bt_status status = w.records && w.p && w.row
                           ? os_replace_file(path, write_file, &w, err)
                           : bt_fail_memory(err, "a teacher", (size_t)w.n_vocab * sizeof *w.p);
    mem_free(w.records);
    mem_free(w.p);
    mem_free(w.row);
    return status;
}

/* ---- reading ---- */

struct Targets {
    OsMap map;
    Header header;
    Packs *packs;
    SoftLoss loss;
    int32_t n_vocab;
    uint64_t *rank; /* (context) record of each row of the last batch */
    float *room;
    int32_t n_room;
};

static bt_status check(const Targets *t, const char *path, const bt_model *student, bt_error *err)
{
    const Header *h = &t->header;
    uint64_t bytes;
    if (memcmp(h->magic, magic, sizeof magic) != 0 || h->version != VERSION)
        return bt_fail(err, BT_E_FORMAT, "%s: no stored teacher, or of another version", path);
    if (!h->samples || h->samples > TARGETS_MOST_SAMPLES ||
        (h->id_bytes != 2 && h->id_bytes != 4) || !(h->temperature > 0 && h->temperature < 1000) ||
        !ck_mul(h->n_tokens, (uint64_t)h->samples * h->id_bytes, &bytes) ||
        t->map.size < sizeof *h || bytes != t->map.size - sizeof *h)
        return bt_fail(err, BT_E_FORMAT, "%s: damaged, or cut short; store it anew", path);
    if (h->n_vocab != (uint32_t)tok_size(model_tokenizer(student)) ||
        h->vocab_hash != vocab_hash(student))
        return bt_fail(err, BT_E_ARGUMENT,
                       "%s: stored of a teacher with another vocabulary; a student needs the "
                       "teacher's",
                       path);
    if (h->data_hash != packs_hash(t->packs))
        return bt_fail(err, BT_E_ARGUMENT,
                       "%s: stored for other data, another --ctx or chat template; give the same "
                       "--data in the same order, or store it anew",
                       path);
    return BT_OK;
}

static bt_status check_sum(const Targets *t, const char *path, bt_error *err)
{
    uint64_t hash = header_hash(&t->header), size = t->map.size - sizeof(Header);
    size_t run = (size_t)WRITE_TOKENS * t->header.samples * t->header.id_bytes;
    for (uint64_t at = 0; at < size; at += run)
        hash = hash_bytes(t->map.data + sizeof(Header) + at,
                          (size_t)(size - at < run ? size - at : run), hash);
    if (hash == t->header.checksum) return BT_OK;
    return bt_fail(err, BT_E_FORMAT, "%s: its checksum is wrong; store it anew", path);
}

bt_status targets_open(const char *path, const bt_model *student, Packs *packs,
                       const SoftLoss *loss, Targets **out, bt_error *err)
{
    Targets *t = *out = mem_zalloc(1, sizeof *t);
    if (!t) return bt_fail_memory(err, path, sizeof *t);
    t->packs = packs;
    t->loss = *loss;
    t->n_vocab = bt_model_describe(student).n_vocab;
    bt_status status = os_map_open(path, &t->map, err);
    if (!status && t->map.size >= sizeof t->header)
        memcpy(&t->header, t->map.data, sizeof t->header);
    if (!status) status = check(t, path, student, err);
    if (!status) status = check_sum(t, path, err);
    if (!status) status = packs_number(packs, err);
    if (!status && loss->mix > 0)
        status = bt_fail(err, BT_E_ARGUMENT,
                         "%s: a reverse or mixed divergence asks how unlikely the tokens are that "
                         "the teacher did not draw, and samples do not say: --mix 0, or the "
                         "teacher itself",
                         path);
    if (!status) {
        t->loss.temperature = t->header.temperature;
        t->n_room = student->n_threads;
        t->rank = mem_alloc((size_t)packs_context(packs) * sizeof *t->rank);
        t->room = mem_alloc((size_t)t->n_room * (size_t)t->n_vocab * sizeof(float));
        if (!t->rank || !t->room) status = bt_fail_memory(err, path, (size_t)t->n_vocab * 8);
    }
    if (status) targets_close(out);
    return status;
}

void targets_close(Targets **targets)
{
    Targets *t = *targets;
    if (!t) return;
    os_map_close(&t->map);
    mem_free(t->rank);
    mem_free(t->room);
    mem_free(t);
    *targets = NULL;
}

/* The record as tokens, each once, with its share. False: an id that is none (damage after the
 * checksum was read). */
static bool read_record(const Targets *t, uint64_t rank, int32_t *id, float *p, size_t *n)
{
    const Header *h = &t->header;
    const unsigned char *record =
        t->map.data + sizeof *h + rank * ((uint64_t)h->samples * h->id_bytes);
    *n = 0;
    for (uint32_t i = 0; i < h->samples; i++) {
        uint32_t token = 0;
        memcpy(&token, record + (size_t)i * h->id_bytes, h->id_bytes);
        if (token >= (uint32_t)t->n_vocab) return false;
        if (*n && id[*n - 1] == (int32_t)token) {
            p[*n - 1] += 1 / (float)h->samples;
            continue;
        }
        id[*n] = (int32_t)token;
        p[(*n)++] = 1 / (float)h->samples;
    }
    return true;
}

typedef struct TargetsJob {
    Targets *targets;
    const LossRows *rows;
    atomic_bool broken;
    TeamQueue queue;
} TargetsJob;

static void targets_member(void *arg, int member, int n_members)
{
    TargetsJob *job = arg;
    const LossRows *r = job->rows;
    const Targets *t = job->targets;
    size_t n = (size_t)r->n_vocab;
    float p[TARGETS_MOST_SAMPLES];
    int32_t id[TARGETS_MOST_SAMPLES];
    int64_t begin, end;
    (void)n_members;
    while (queue_take(&job->queue, &begin, &end))
        for (int64_t i = begin; i < end; i++) {
            SoftPart part = {.id = id, .p = p};
            int32_t row = r->row[i];
            if (!read_record(t, t->rank[row], id, p, &part.n)) {
                atomic_store(&job->broken, true);
                return;
            }
            r->each[i] = (float)soft_loss_part(
                &t->loss, r->kernels, r->logits + (size_t)i * n, &part, r->batch->target[row],
                r->batch->weight[row], n, t->room + (size_t)member * n, r->d + (size_t)i * n);
        }
}

bt_status targets_loss(void *user, const LossRows *rows, double *loss, bt_error *err)
{
    Targets *t = user;
    TargetsJob job = {.targets = t, .rows = rows};
    if (!rows->d) return loss_next_token(NULL, rows, loss, err);
    if (team_size(rows->team) > t->n_room)
        return bt_fail(err, BT_E_INTERNAL, "more threads than there is room for");
    packs_ranks(t->packs, t->rank);
    queue_start(&job.queue, rows->n, 2);
    team_run(rows->team, targets_member, &job);
    if (atomic_load(&job.broken) || os_map_lost(&t->map))
        return bt_fail(err, BT_E_FORMAT, "the stored teacher was damaged while in use");
    for (int64_t i = 0; i < rows->n; i++) *loss += (double)rows->each[i];
    return BT_OK;
}
