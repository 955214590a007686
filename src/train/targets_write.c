/* Storing what a teacher says (see targets.h, targets_file.h). */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/os.h"
#include "train/random.h"
#include "train/targets.h"
#include "train/targets_file.h"

const char targets_magic[8] = "BTTARGET";

uint64_t targets_header_hash(const TargetsHeader *h)
{
    return hash_bytes(h, offsetof(TargetsHeader, checksum), 0);
}

uint64_t targets_vocab_hash(const bt_model *m)
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

size_t targets_record_bytes(const TargetsHeader *h)
{
    size_t of_token = h->id_bytes + (h->version == TARGETS_LIKELIEST ? sizeof(float) : 0);
    return h->samples * of_token;
}

/* ---- records ---- */

bt_status targets_sink_open(TargetsSink *s, const bt_model *model, bt_error *err)
{
    TargetsHeader *h = &s->header;
    h->n_vocab = (uint32_t)tok_size(model_tokenizer(model));
    h->id_bytes = bt_model_describe(model).n_vocab <= 65536 ? 2 : 4;
    h->vocab_hash = targets_vocab_hash(model);
    memcpy(h->magic, targets_magic, sizeof targets_magic);
    h->checksum = targets_header_hash(h);
    s->records = mem_alloc(TARGETS_RUN * targets_record_bytes(h));
    return s->records ? BT_OK
                      : bt_fail_memory(err, "a teacher", TARGETS_RUN * targets_record_bytes(h));
}

void targets_sink_close(TargetsSink *s)
{
    mem_free(s->records);
    s->records = NULL;
}

bt_status targets_sink_begin(TargetsSink *s, int fd, bt_error *err)
{
    s->fd = fd;
    return os_write_all(fd, &s->header, sizeof s->header, err);
}

static bt_status flush(TargetsSink *s, bt_error *err)
{
    size_t bytes = s->waiting * targets_record_bytes(&s->header);
    if (!bytes) return BT_OK;
    s->header.checksum = hash_bytes(s->records, bytes, s->header.checksum);
    s->waiting = 0;
    return os_write_all(s->fd, s->records, bytes, err);
}

unsigned char *targets_sink_room(TargetsSink *s)
{
    return s->records + s->waiting * targets_record_bytes(&s->header);
}

bt_status targets_sink_put(TargetsSink *s, bt_error *err)
{
    s->done++;
    return ++s->waiting == TARGETS_RUN ? flush(s, err) : BT_OK;
}

bt_status targets_sink_end(TargetsSink *s, bt_error *err)
{
    bt_status status = flush(s, err);
    if (!status && s->done != s->header.n_tokens)
        status = bt_fail(err, BT_E_INTERNAL, "the packs gave other tokens than they said");
    if (status) return status;
    if (lseek(s->fd, 0, SEEK_SET) != 0)
        return bt_fail(err, BT_E_IO, "the header cannot be written");
    return os_write_all(s->fd, &s->header, sizeof s->header, err);
}

/* ---- a teacher at hand ---- */

typedef struct Writing {
    Teacher *teacher;
    Packs *packs;
    const TargetsOptions *o;
    TargetsSink sink;
    const Kernels *kernels;
    int32_t n_vocab;
    float *p;     /* (n_vocab) */
    int32_t *row; /* (context) */
    int32_t chunk;
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
    int32_t n = (int32_t)w->sink.header.samples, token = 0, last = 0;
    for (int32_t i = 0; i < w->n_vocab; i++) w->p[i] = logits[i] / w->sink.header.temperature;
    w->kernels->softmax(w->p, (size_t)w->n_vocab);
    for (int32_t i = 0; i < w->n_vocab; i++) {
        sum += (double)w->p[i];
        if (w->p[i] > 0) last = i;
    }
    for (int32_t i = 0; i < n; i++)
        u[i] = (double)(random_bits(w->o->seed, w->sink.done * (uint64_t)n + (uint64_t)i) >> 11) *
               0x1p-53 * sum;
    qsort(u, (size_t)n, sizeof *u, by_size);
    at = (double)w->p[0];
    for (int32_t i = 0; i < n; i++) {
        while (token < last && (u[i] >= at || w->p[token] <= 0)) at += (double)w->p[++token];
        memcpy(out + (size_t)i * w->sink.header.id_bytes, &token, w->sink.header.id_bytes);
    }
}

static bt_status write_batch(Writing *w, bt_error *err)
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
            draw(w, logits.data + (size_t)i * logits.stride, targets_sink_room(&w->sink));
            status = targets_sink_put(&w->sink, err);
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
    if (!status) status = targets_sink_begin(&w->sink, fd, err);
    for (uint64_t i = 0; i < n && !status; i++) {
        status = write_batch(w, err);
        if (!status && o->progress && !o->progress(o->progress_user, "teacher", i + 1, n))
            status = bt_fail(err, BT_E_CANCELLED, "cancelled");
    }
    return status ? status : targets_sink_end(&w->sink, err);
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
    w.sink.header =
        (TargetsHeader){.version = TARGETS_DRAWN,
                        .samples = (uint32_t)samples,
                        .temperature = options->temperature > 0 ? options->temperature : 1,
                        .context = (uint32_t)packs_context(packs),
                        .n_tokens = (uint64_t)packs_tokens(packs),
                        .data_hash = packs_hash(packs)};
    bt_status status = targets_sink_open(&w.sink, model, err);
    w.p = mem_alloc((size_t)w.n_vocab * sizeof *w.p);
    w.row = mem_alloc((size_t)packs_context(packs) * sizeof *w.row);
    if (!status && (!w.p || !w.row))
        status = bt_fail_memory(err, "a teacher", (size_t)w.n_vocab * sizeof *w.p);
    if (!status) status = os_replace_file(path, write_file, &w, err);
    targets_sink_close(&w.sink);
    mem_free(w.p);
    mem_free(w.row);
    return status;
}
