/* Learning from a stored teacher (see targets.h, targets_file.h). */
#include "train/targets.h"

#include <string.h>

#include "base/checked.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/os.h"
#include "train/targets_file.h"

struct Targets {
    OsMap map;
    TargetsHeader header;
    Packs *packs;
    SoftLoss loss;
    int32_t n_vocab;
    uint64_t *rank; /* (context) record of each row of the last batch */
    float *room;
    int32_t n_room;
};

static bt_status check(const Targets *t, const char *path, const bt_model *student, bt_error *err)
{
    const TargetsHeader *h = &t->header;
    uint64_t bytes;
    if (memcmp(h->magic, targets_magic, sizeof targets_magic) != 0 ||
        (h->version != TARGETS_DRAWN && h->version != TARGETS_LIKELIEST))
        return bt_fail(
            err, BT_E_FORMAT,
            "%s: no stored teacher, or of another version; bantam distill --store makes one", path);
    if (!h->samples || h->samples > TARGETS_MOST_SAMPLES ||
        (h->id_bytes != 2 && h->id_bytes != 4) || !(h->temperature > 0 && h->temperature < 1000) ||
        !ck_mul(h->n_tokens, targets_record_bytes(h), &bytes) || t->map.size < sizeof *h ||
        bytes != t->map.size - sizeof *h)
        return bt_fail(err, BT_E_FORMAT, "%s: damaged, or cut short; store it anew", path);
    if (h->n_vocab != (uint32_t)tok_size(model_tokenizer(student)) ||
        h->vocab_hash != targets_vocab_hash(student))
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
    uint64_t hash = targets_header_hash(&t->header), size = t->map.size - sizeof(TargetsHeader);
    size_t run = TARGETS_RUN * targets_record_bytes(&t->header);
    for (uint64_t at = 0; at < size; at += run)
        hash = hash_bytes(t->map.data + sizeof(TargetsHeader) + at,
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
    if (!status && loss->mix > 0 && t->header.version == TARGETS_DRAWN)
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

static uint32_t id_at(const TargetsHeader *h, const unsigned char *record, uint32_t i)
{
    uint32_t token = 0;
    memcpy(&token, record + (size_t)i * h->id_bytes, h->id_bytes);
    return token;
}

/* Drawn tokens, each once, with its share. */
static bool read_drawn(const Targets *t, const unsigned char *record, int32_t *id, float *p,
                       SoftPart *part)
{
    const TargetsHeader *h = &t->header;
    size_t n = 0;
    for (uint32_t i = 0; i < h->samples; i++) {
        uint32_t token = id_at(h, record, i);
        if (token >= (uint32_t)t->n_vocab) return false;
        if (n && id[n - 1] == (int32_t)token) {
            p[n - 1] += 1 / (float)h->samples;
            continue;
        }
        id[n] = (int32_t)token;
        p[n++] = 1 / (float)h->samples;
    }
    part->n = n;
    return true;
}

/* The likeliest, to the first without a probability; what is left is that of all others. */
static bool read_likeliest(const Targets *t, const unsigned char *record, int32_t *id, float *p,
                           SoftPart *part)
{
    const TargetsHeader *h = &t->header;
    const unsigned char *share = record + (size_t)h->samples * h->id_bytes;
    double sum = 0;
    for (part->n = 0; part->n < h->samples; part->n++) {
        uint32_t token = id_at(h, record, (uint32_t)part->n);
        float of;
        memcpy(&of, share + part->n * sizeof of, sizeof of);
        if (of == 0) break;
        if (token >= (uint32_t)t->n_vocab || !(of > 0 && of <= 1)) return false;
        id[part->n] = (int32_t)token;
        p[part->n] = of;
        sum += (double)of;
    }
    part->rest = sum < 1 ? (float)(1 - sum) : 0;
    return sum < 1.001;
}

/* False: numbers that are none (damage after the checksum was read). */
static bool read_record(const Targets *t, uint64_t rank, int32_t *id, float *p, SoftPart *part)
{
    const TargetsHeader *h = &t->header;
    const unsigned char *record = t->map.data + sizeof *h + rank * targets_record_bytes(h);
    return h->version == TARGETS_DRAWN ? read_drawn(t, record, id, p, part)
                                       : read_likeliest(t, record, id, p, part);
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
    const SoftLoss hard = {.soft = 0, .temperature = 1}; /* where the teacher said nothing */
    int64_t begin, end;
    (void)n_members;
    while (queue_take(&job->queue, &begin, &end))
        for (int64_t i = begin; i < end; i++) {
            SoftPart part = {.id = id, .p = p};
            int32_t row = r->row[i];
            if (!read_record(t, t->rank[row], id, p, &part)) {
                atomic_store(&job->broken, true);
                return;
            }
            r->each[i] = (float)soft_loss_part(part.n ? &t->loss : &hard, r->kernels,
                                               r->logits + (size_t)i * n, &part,
                                               r->batch->target[row], r->batch->weight[row], n,
                                               t->room + (size_t)member * n, r->d + (size_t)i * n);
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
