/* A sequence as a file: its tokens and what every layer remembers of them, so that a long beginning
 * need not be computed again. The file belongs to one model, one KV type and one version of this
 * layout: the header says which, with a checksum over everything. A file that is cut, changed, of
 * another model or longer than the context is refused whole, and the sequence stays as it was; one
 * that was forged with a right checksum can make answers wrong, but reads nothing outside of
 * itself.
 *
 * Layout, little-endian as in memory: header, tokens (n_tokens int32), of models whose positions
 * have several axes four int32 a token, then the bytes that state_visit goes through. */
#include <errno.h>
#include <string.h>

#include "base/checked.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine/session.h"

#define SEQUENCE_MAGIC   "BANTAMQ" /* with its NUL: 8 bytes */
#define SEQUENCE_VERSION 2

typedef struct SequenceHeader {
    char magic[8];
    uint32_t version;
    uint32_t kv_type;
    uint64_t model;  /* hash of shapes and of some of the weights */
    uint64_t layers; /* hash of what each layer remembers */
    uint64_t n_tokens;
    uint64_t state_bytes; /* after the tokens */
    uint64_t checksum;    /* of tokens and state */
    uint64_t header_hash; /* of this header with header_hash 0 */
} SequenceHeader;

static uint64_t header_hash(const SequenceHeader *h)
{
    SequenceHeader copy = *h;
    copy.header_hash = 0;
    return hash_bytes(&copy, sizeof copy, SEQUENCE_VERSION);
}

/* Names, shapes, and the first bytes of every matrix: another model, or another tuning of it, is
 * told apart at the price of one page a matrix. */
static uint64_t model_hash(const bt_model *m)
{
    uint64_t h = hash_bytes(m->arch->name, strlen(m->arch->name), 0);
    for (size_t i = 0; i < m->n_matrices; i++) {
        const Weight *w = m->matrices[i];
        int64_t row[] = {w->type, w->k, w->n, w->n_mats};
        h = hash_bytes(w->name, strlen(w->name), h);
        h = hash_bytes(row, sizeof row, h);
        if (w->rows) h = hash_bytes(w->rows, w->row_bytes < 256 ? w->row_bytes : 256, h);
    }
    return h;
}

static uint64_t layers_hash(const bt_model *m)
{
    uint64_t h = 0;
    for (int32_t l = 0; l < m->hyper.n_layers; l++) {
        const LayerSpec *s = &m->layers[l];
        int32_t row[] = {(int32_t)s->kind, s->kv_heads, s->e_k,  s->e_v,      s->v_in_k,
                         s->span,          s->from,     s->conv, s->recurrent};
        h = hash_bytes(row, sizeof row, h);
    }
    return h;
}

static uint64_t fed_hash(const bt_session *s, const void *tokens, const void *axes, uint64_t n)
{
    uint64_t h = hash_bytes(tokens, (size_t)n * sizeof(bt_token), 0);
    return s->axes ? hash_bytes(axes, (size_t)n * sizeof(Axes), h) : h;
}

static SequenceHeader header_of(const bt_session *s, int32_t sequence)
{
    return (SequenceHeader){.magic = SEQUENCE_MAGIC,
                            .version = SEQUENCE_VERSION,
                            .kv_type = s->kv_type,
                            .model = model_hash(s->model) ^
                                     (s->of[sequence] ? s->of[sequence]->hash : 0),
                            .layers = layers_hash(s->model),
                            .n_tokens = (uint64_t)state_length(s->state, sequence)};
}

/* ---- save ---- */

typedef struct Writing {
    bt_session *session;
    int32_t sequence;
    SequenceHeader header;
    int fd;
    bt_status status;
    bt_error *err;
} Writing;

static bool count_run(void *arg, void *bytes, size_t n)
{
    SequenceHeader *h = arg;
    h->state_bytes += n;
    h->checksum = hash_bytes(bytes, n, h->checksum);
    return true;
}

static bool write_run(void *arg, void *bytes, size_t n)
{
    Writing *w = arg;
    w->status = os_write_all(w->fd, bytes, n, w->err);
    return w->status == BT_OK;
}

static bt_status write_sequence(void *user, int fd, bt_error *err)
{
    Writing *w = user;
    bt_session *s = w->session;
    w->fd = fd;
    w->err = err;
    w->status = os_write_all(fd, &w->header, sizeof w->header, err);
    if (!w->status)
        w->status = os_write_all(fd, session_tokens(s, w->sequence),
                                 (size_t)w->header.n_tokens * sizeof(bt_token), err);
    if (!w->status && s->axes)
        w->status = os_write_all(fd, session_axes(s, w->sequence),
                                 (size_t)w->header.n_tokens * sizeof(Axes), err);
    if (!w->status) state_visit(s->state, w->sequence, write_run, w);
    return w->status;
}

bt_status bt_session_save(bt_session *s, int32_t sequence, const char *path, bt_error *err)
{
    bt_error_clear(err);
    bt_status status = session_check_sequence(s, sequence, err);
    if (status) return status;
    Writing w = {.session = s, .sequence = sequence, .header = header_of(s, sequence)};
    w.header.checksum =
        fed_hash(s, session_tokens(s, sequence), session_axes(s, sequence), w.header.n_tokens);
    state_visit(s->state, sequence, count_run, &w.header);
    w.header.header_hash = header_hash(&w.header);
    return os_replace_file(path, write_sequence, &w, err);
}

/* ---- load ---- */

typedef struct Reading {
    const unsigned char *at;
    uint64_t left;
} Reading;

static bool read_run(void *arg, void *bytes, size_t n)
{
    Reading *r = arg;
    if (n > r->left) return false;
    memcpy(bytes, r->at, n);
    r->at += n;
    r->left -= n;
    return true;
}

static bool count_bytes(void *arg, void *bytes, size_t n)
{
    uint64_t *sum = arg;
    (void)bytes;
    *sum += n;
    return true;
}

/* The same runs hashed as they were written: the checksum goes from run to run. */
typedef struct Checking {
    Reading reading;
    uint64_t hash;
} Checking;

static bool hash_run(void *arg, void *bytes, size_t n)
{
    Checking *c = arg;
    (void)bytes;
    if (n > c->reading.left) return false;
    c->hash = hash_bytes(c->reading.at, n, c->hash);
    c->reading.at += n;
    c->reading.left -= n;
    return true;
}

/* `sequence` -1: of any model with any adapters. */
static bt_status check_header(const bt_session *s, int32_t sequence, const char *path,
                              const OsMap *map, SequenceHeader *h, bt_error *err)
{
    uint64_t size;
    if (map->size < sizeof *h || memcmp(map->data, SEQUENCE_MAGIC, sizeof h->magic))
        return bt_fail(err, BT_E_FORMAT, "%s: not a saved sequence", path);
    memcpy(h, map->data, sizeof *h);
    if (h->version != SEQUENCE_VERSION)
        return bt_fail(err, BT_E_UNSUPPORTED, "%s: version %u; this program reads %u", path,
                       h->version, SEQUENCE_VERSION);
    if (h->header_hash != header_hash(h))
        return bt_fail(err, BT_E_FORMAT, "%s: the header is damaged; save the sequence again",
                       path);
    SequenceHeader want = sequence < 0 ? *h : header_of(s, sequence);
    if (h->model != want.model || h->layers != want.layers)
        return bt_fail(err, BT_E_ARGUMENT, "%s: saved from another model, or with other adapters",
                       path);
    if (h->kv_type != s->kv_type)
        return bt_fail(err, BT_E_ARGUMENT, "%s: saved with another KV type; open with that one",
                       path);
    if (h->n_tokens > (uint64_t)s->n_ctx)
        return bt_fail(err, BT_E_CONTEXT, "%s: %llu tokens, but the context holds %d", path,
                       (unsigned long long)h->n_tokens, s->n_ctx);
    if (!ck_add(sizeof *h + h->n_tokens * session_token_bytes(s->model), h->state_bytes, &size) ||
        size != map->size)
        return bt_fail(err, BT_E_FORMAT, "%s: %llu bytes instead of %llu; save the sequence again",
                       path, (unsigned long long)map->size, (unsigned long long)size);
    for (uint64_t i = 0; i < h->n_tokens; i++) {
        bt_token token;
        memcpy(&token, map->data + sizeof *h + i * sizeof token, sizeof token);
        if (token < 0 || token >= s->model->hyper.n_vocab)
            return bt_fail(err, BT_E_FORMAT, "%s: token %d is outside the vocabulary of %d", path,
                           token, s->model->hyper.n_vocab);
    }
    return BT_OK;
}

/* The state is made, checked against the file run by run, and only then filled. */
static bt_status fill(bt_session *s, int32_t sequence, const char *path, const OsMap *map,
                      const SequenceHeader *h, bt_error *err)
{
    const unsigned char *tokens = map->data + sizeof *h;
    const unsigned char *axes = tokens + (size_t)h->n_tokens * sizeof(bt_token);
    const unsigned char *state = tokens + (size_t)h->n_tokens * session_token_bytes(s->model);
    uint64_t bytes = 0;
    if (!state_make(s->state, sequence, (int32_t)h->n_tokens))
        return bt_fail(err, BT_E_INTERNAL, "no room for %llu tokens",
                       (unsigned long long)h->n_tokens);
    state_visit(s->state, sequence, count_bytes, &bytes);
    Checking c = {{state, h->state_bytes}, fed_hash(s, tokens, axes, h->n_tokens)};
    if (bytes == h->state_bytes) state_visit(s->state, sequence, hash_run, &c);
    if (bytes != h->state_bytes || c.hash != h->checksum)
        return bt_fail(err, BT_E_FORMAT, "%s: the state is damaged; save the sequence again", path);
    Reading r = {state, h->state_bytes};
    state_visit(s->state, sequence, read_run, &r);
    memcpy(session_tokens(s, sequence), tokens, (size_t)h->n_tokens * sizeof(bt_token));
    if (s->axes) memcpy(session_axes(s, sequence), axes, (size_t)h->n_tokens * sizeof(Axes));
    return os_map_check(map, path, err);
}

bt_status bt_session_load(bt_session *s, int32_t sequence, const char *path, bt_error *err)
{
    OsMap map;
    SequenceHeader h = {0};
    bt_error_clear(err);
    bt_status status = session_check_sequence(s, sequence, err);
    if (!status) status = os_map_open(path, &map, err);
    if (status) return status;
    status = check_header(s, sequence, path, &map, &h, err);
    if (!status) {
        status = fill(s, sequence, path, &map, &h, err);
        if (status)
            state_truncate(s->state, sequence, 0);
        else
            state_checkpoint(s->state, sequence);
    }
    os_map_close(&map);
    return status;
}

/* ---- for those who keep many ---- */

uint64_t session_file_kind(const bt_session *s)
{
    uint64_t row[] = {SEQUENCE_VERSION, model_hash(s->model), layers_hash(s->model), s->kv_type};
    return hash_bytes(row, sizeof row, 0);
}

uint64_t session_file_bytes(bt_session *s, int32_t sequence)
{
    uint64_t bytes = sizeof(SequenceHeader) +
                     (uint64_t)state_length(s->state, sequence) * session_token_bytes(s->model);
    state_visit(s->state, sequence, count_bytes, &bytes);
    return bytes;
}

bt_status session_file_tokens(const bt_session *s, const char *path, bt_token **tokens, int32_t *n,
                              uint64_t *bytes, bt_error *err)
{
    OsMap map;
    SequenceHeader h = {0};
    *tokens = NULL;
    bt_status status = os_map_open(path, &map, err);
    if (status) return status;
    status = check_header(s, -1, path, &map, &h, err);
    size_t size = (size_t)h.n_tokens * sizeof **tokens;
    if (!status) {
        *n = (int32_t)h.n_tokens;
        *bytes = map.size;
        *tokens = mem_alloc(size);
        if (!*tokens) status = bt_fail_memory(err, path, size);
    }
    if (!status) memcpy(*tokens, map.data + sizeof h, size);
    if (!status) status = os_map_check(&map, path, err);
    if (status) {
        mem_free(*tokens);
        *tokens = NULL;
    }
    os_map_close(&map);
    return status;
}
