/* Checking and packing weights in parallel, into memory or a sidecar (see panels.h). */
#include "engine/panels.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine/sidecar.h"
#include "tensor/dtype.h"

#define WORTH_A_FILE (16u << 20) /* smaller models are packed faster than a file is opened */
#define CHECK_PANELS 256         /* panels' worth of rows of a piece that is only checked */

struct Panels {
    OsMap map; /* when mapped */
    bool mapped;
    unsigned char *memory; /* else */
    uint64_t bytes;
};

/* ---- packing ---- */

/* Pieces of work: first ranges of SIDECAR_UNIT bytes of all panels laid end to end, whatever
 * weights they hold (written at multiples of their size, a file gets large pages in the page
 * cache); then rows of the weights without panels, which are only checked. */
typedef struct Pack {
    const Gguf *gguf;
    Weight *const *weights; /* (n) the products read, and last one that is looked up, or NULL */
    size_t n;
    const Weight *looked_up;
    uint64_t *offset;     /* (n + 1) of each weight's panels; last, the total */
    int64_t *first_check; /* (n + 2) checking pieces of each weight, of looked_up, the total */
    int64_t n_ranges;
    uint64_t total;
    unsigned char *memory; /* where panels go, or NULL: to fd */
    int fd;
    unsigned char *buffers; /* (members, buffer_bytes): a panel, and a range when writing to fd */
    size_t buffer_bytes, spare; /* spare: bytes of the largest panel */
    const PanelsOptions *options;
    TeamQueue queue;
    atomic_uint_least64_t checksum;
    atomic_int_least64_t done;
    atomic_int failure; /* bt_status */
    atomic_int system_error;
    atomic_size_t bad; /* index of a weight that is not finite */
} Pack;

static void fail(Pack *pack, bt_status status)
{
    int none = BT_OK;
    atomic_compare_exchange_strong(&pack->failure, &none, (int)status);
}

/* The rows of panel p of a weight, counted over all its matrices. False when not finite. */
static bool panel_rows(const Weight *w, int64_t p, const void **from, size_t *n)
{
    int64_t per = weight_panels(w), mat = p / per, first = p % per * PANEL_ROWS;
    *n = (size_t)(w->n - first < PANEL_ROWS ? w->n - first : PANEL_ROWS);
    *from = weight_rows(w, mat, first);
    return panel_finite(w->type, *from, w->row_bytes, *n, (size_t)w->k);
}

/* The source of panels [begin, end) is not needed any more: what replaces it would else be resident
 * beside it. */
static void let_go(const Pack *pack, const Weight *w, int64_t begin, int64_t end)
{
    const GgufTensor *t = gguf_find_tensor(pack->gguf, w->name);
    int64_t per = weight_panels(w);
    if (!t || !t->data || begin >= end) return;
    const unsigned char *from = weight_rows(w, begin / per, begin % per * PANEL_ROWS);
    const unsigned char *to = weight_rows(w, end / per, end % per * PANEL_ROWS);
    os_map_drop(gguf_part(pack->gguf, t->part),
                t->offset + (uint64_t)(from - (const unsigned char *)t->data),
                (uint64_t)(to - from));
}

static void not_finite(Pack *pack, size_t weight)
{
    fail(pack, BT_E_FORMAT);
    atomic_store(&pack->bad, weight);
}

/* Packs all panels that reach into [begin, end) of the whole; `out` is where `begin` goes. */
static void pack_range(Pack *pack, uint64_t begin, uint64_t end, unsigned char *out,
                       unsigned char *spare)
{
    size_t i = 0;
    while (pack->offset[i + 1] <= begin) i++;
    for (; i < pack->n && pack->offset[i] < end; i++) {
        const Weight *w = pack->weights[i];
        uint64_t size = w->layout.bytes, base = pack->offset[i];
        if (!w->paneled) continue;
        int64_t first = begin > base ? (int64_t)((begin - base) / size) : 0, p = first;
        for (; base + (uint64_t)p * size < end && p < w->n_mats * weight_panels(w); p++) {
            uint64_t at = base + (uint64_t)p * size, from = at < begin ? begin - at : 0;
            uint64_t to = at + size > end ? end - at : size;
            bool whole = from == 0 && to == size;
            unsigned char *place = whole ? out + (at - begin) : spare;
            const void *rows;
            size_t n;
            if (!panel_rows(w, p, &rows, &n)) {
                not_finite(pack, i);
                return;
            }
            panel_pack(w->type, rows, w->row_bytes, n, (size_t)w->k, place);
            if (!whole) memcpy(out + (at + from - begin), spare + from, to - from);
        }
        let_go(pack, w, first, p);
    }
}

static bool write_at(int fd, const unsigned char *data, size_t size, uint64_t offset)
{
    while (size) {
        ssize_t n = pwrite(fd, data, size, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        data += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return true;
}

static void make_range(Pack *pack, int member, int64_t piece)
{
    unsigned char *buffer = pack->buffers + (size_t)member * pack->buffer_bytes;
    uint64_t begin = (uint64_t)piece * SIDECAR_UNIT, end = begin + SIDECAR_UNIT;
    if (end > pack->total) end = pack->total;
    if (pack->memory) {
        pack_range(pack, begin, end, pack->memory + begin, buffer);
        return;
    }
    pack_range(pack, begin, end, buffer, buffer + SIDECAR_UNIT);
    if (atomic_load(&pack->failure) != BT_OK) return;
    atomic_fetch_add(&pack->checksum, sidecar_hash(buffer, end - begin, begin));
    if (write_at(pack->fd, buffer, end - begin, SIDECAR_HEADER_BYTES + begin)) return;
    atomic_store(&pack->system_error, errno ? errno : EIO);
    fail(pack, BT_E_IO);
}

static void check_rows(Pack *pack, int64_t piece)
{
    size_t i = 0, n;
    const void *rows;
    while (piece >= pack->first_check[i + 1]) i++;
    const Weight *w = i < pack->n ? pack->weights[i] : pack->looked_up;
    int64_t begin = (piece - pack->first_check[i]) * CHECK_PANELS;
    int64_t all = w->n_mats * weight_panels(w);
    for (int64_t p = begin; p < begin + CHECK_PANELS && p < all; p++)
        if (!panel_rows(w, p, &rows, &n)) {
            not_finite(pack, i);
            return;
        }
    if (w == pack->looked_up)
        let_go(pack, w, begin, begin + CHECK_PANELS < all ? begin + CHECK_PANELS : all);
}

static void pack_piece(Pack *pack, int member, int64_t piece)
{
    if (piece < pack->n_ranges)
        make_range(pack, member, piece);
    else
        check_rows(pack, piece - pack->n_ranges);
    atomic_fetch_add(&pack->done, 1);
}

static void pack_member(void *arg, int member, int n_members)
{
    Pack *pack = arg;
    int64_t begin, end;
    (void)n_members;
    while (queue_take(&pack->queue, &begin, &end))
        for (int64_t p = begin; p < end && atomic_load(&pack->failure) == BT_OK; p++) {
            pack_piece(pack, member, p);
            const PanelsOptions *o = pack->options;
            if (member == 0 && o->progress &&
                !o->progress(o->progress_user, "preparing weights",
                             (uint64_t)atomic_load(&pack->done), (uint64_t)pack->queue.total))
                fail(pack, BT_E_CANCELLED);
        }
}

static bt_status pack_failed(const Pack *pack, bt_error *err)
{
    bt_status status = (bt_status)atomic_load(&pack->failure);
    size_t i = atomic_load(&pack->bad);
    if (status == BT_E_FORMAT) {
        const Weight *w = i < pack->n ? pack->weights[i] : pack->looked_up;
        const GgufTensor *t = gguf_find_tensor(pack->gguf, w->name);
        return bt_fail(err, status,
                       "%s: tensor '%s' at offset %llu holds NaN or infinity; the file is damaged, "
                       "fetch it again",
                       gguf_path(pack->gguf), w->name, (unsigned long long)(t ? t->offset : 0));
    }
    if (status == BT_E_IO)
        return bt_fail(err, status, "writing prepared weights: %s",
                       strerror(atomic_load(&pack->system_error)));
    return bt_fail(err, status, "cancelled while preparing weights");
}

/* Runs over all pieces. */
static bt_status pack_all(Pack *pack, Team *team, bt_error *err)
{
    pack->buffer_bytes = align_up(pack->spare, 4096) + (pack->memory ? 0 : SIDECAR_UNIT);
    pack->buffers = mem_aligned((size_t)team_size(team) * pack->buffer_bytes, 4096);
    if (!pack->buffers) return bt_fail_memory(err, "preparing weights", pack->buffer_bytes);
    queue_start(&pack->queue, pack->n_ranges + pack->first_check[pack->n + 1], 1);
    team_run(team, pack_member, pack);
    mem_free(pack->buffers);
    pack->buffers = NULL;
    if (atomic_load(&pack->failure) != BT_OK) return pack_failed(pack, err);
    return BT_OK;
}

/* ---- the sidecar around it ---- */

typedef struct SidecarWrite {
    Pack *pack;
    Team *team;
    SidecarHeader header;
} SidecarWrite;

static uint64_t fingerprint(const Pack *pack)
{
    uint64_t h = SIDECAR_VERSION;
    for (size_t i = 0; i < pack->n; i++) {
        const Weight *w = pack->weights[i];
        const GgufTensor *t = gguf_find_tensor(pack->gguf, w->name);
        int64_t row[] = {w->type,        w->k,       w->n,
                         w->n_mats,      w->paneled, t ? (int64_t)t->offset : 0,
                         t ? t->part : 0};
        h = hash_bytes(w->name, strlen(w->name), h);
        h = hash_bytes(row, sizeof row, h);
    }
    return h;
}

static void identify(const Pack *pack, SidecarHeader *header)
{
    memset(header, 0, sizeof *header);
    memcpy(header->magic, SIDECAR_MAGIC, sizeof header->magic);
    header->version = SIDECAR_VERSION;
    header->fingerprint = fingerprint(pack);
    header->data_bytes = pack->total;
    for (int i = 0; i < gguf_n_parts(pack->gguf); i++) {
        const OsMap *map = gguf_part(pack->gguf, i);
        int64_t row[] = {(int64_t)map->size, map->mtime_ns};
        header->source_state = hash_bytes(row, sizeof row, header->source_state);
    }
    if (!realpath(gguf_path(pack->gguf), header->source)) header->source[0] = '\0';
}

static bt_status write_sidecar(void *user, int fd, bt_error *err)
{
    SidecarWrite *w = user;
    Pack *pack = w->pack;
    pack->fd = fd;
    bt_status status = pack_all(pack, w->team, err);
    if (status) return status;
    for (int i = 0; i < gguf_n_parts(pack->gguf); i++) /* zeros of a lost map must not be kept */
        if (os_map_lost(gguf_part(pack->gguf, i)))
            return bt_fail(err, BT_E_IO, "the model file shrank meanwhile");
    w->header.checksum = atomic_load(&pack->checksum);
    w->header.header_hash = sidecar_header_hash(&w->header);
    if (!write_at(fd, (const unsigned char *)&w->header, sizeof w->header, 0))
        return bt_fail(err, BT_E_IO, "writing prepared weights: %s", os_why(errno));
    return BT_OK;
}

static void place_panels(Pack *pack, const unsigned char *base)
{
    for (size_t i = 0; i < pack->n; i++)
        if (pack->weights[i]->paneled) pack->weights[i]->panels = base + pack->offset[i];
}

static bool map_sidecar(Panels *p, Pack *pack, const char *path, const SidecarHeader *want)
{
    bt_error ignored;
    if (os_map_open(path, &p->map, &ignored)) return false;
    os_map_huge(&p->map);
    if (!sidecar_matches(&p->map, want)) {
        os_map_close(&p->map);
        return false;
    }
    p->mapped = true;
    place_panels(pack, p->map.data + SIDECAR_HEADER_BYTES);
    return true;
}

static bool through_sidecar(Panels *p, Pack *pack, Team *team, bt_status *status, bt_error *err)
{
    char path[PATH_MAX];
    SidecarWrite w = {.pack = pack, .team = team};
    const char *dir = pack->options->cache_dir;
    *status = BT_OK;
    if (!dir || pack->total < WORTH_A_FILE) return false;
    identify(pack, &w.header);
    if (!sidecar_path(dir, gguf_path(pack->gguf), path, sizeof path)) return false;
    if (map_sidecar(p, pack, path, &w.header)) {
        sidecar_touch(path);
        return true;
    }
    bt_error why;
    if (os_make_dirs(dir, &why)) return false;
    uint64_t removed;
    sidecar_trim(dir, SIDECAR_LIMIT > pack->total ? SIDECAR_LIMIT - pack->total : 0, &removed,
                 &why);
    bt_status written = os_replace_file(path, write_sidecar, &w, &why);
    if (written == BT_E_FORMAT || written == BT_E_CANCELLED) {
        *status = written;
        if (err) *err = why;
        return true;
    }
    if (written == BT_OK && map_sidecar(p, pack, path, &w.header)) return true;
    log_line(BT_LOG_WARN, "%s: no sidecar is kept, running from memory: %s", path,
             written ? why.text : "it cannot be read back");
    atomic_store(&pack->failure, BT_OK);
    atomic_store(&pack->done, 0);
    return false;
}

static bt_status in_memory(Panels *p, Pack *pack, Team *team, bt_error *err)
{
    if (pack->total) {
        p->memory = os_pages_alloc(pack->total);
        if (!p->memory) return bt_fail_memory(err, "the prepared weights", pack->total);
    }
    pack->memory = p->memory;
    bt_status status = pack_all(pack, team, err);
    if (!status) place_panels(pack, p->memory);
    return status;
}

static int64_t checks_of(const Weight *w)
{
    return (w->n_mats * weight_panels(w) + CHECK_PANELS - 1) / CHECK_PANELS;
}

static void lay_out(Pack *pack)
{
    for (size_t i = 0; i < pack->n; i++) {
        const Weight *w = pack->weights[i];
        pack->first_check[i + 1] = pack->first_check[i] + (w->paneled ? 0 : checks_of(w));
        pack->total += weight_panel_bytes(w);
        pack->offset[i + 1] = pack->total;
        if (w->paneled && w->layout.bytes > pack->spare) pack->spare = w->layout.bytes;
    }
    int64_t last = pack->looked_up ? checks_of(pack->looked_up) : 0;
    pack->first_check[pack->n + 1] = pack->first_check[pack->n] + last;
    pack->n_ranges = (int64_t)((pack->total + SIDECAR_UNIT - 1) / SIDECAR_UNIT);
}

bt_status panels_open(const Gguf *gguf, Weight *const *weights, size_t n, const Weight *looked_up,
                      Team *team, const PanelsOptions *options, Panels **out, bt_error *err)
{
    Pack pack = {.gguf = gguf,
                 .weights = weights,
                 .n = n,
                 .looked_up = looked_up,
                 .fd = -1,
                 .options = options};
    bt_status status = BT_OK;
    Panels *p = mem_zalloc(1, sizeof *p);
    pack.first_check = mem_zalloc(n + 2, sizeof *pack.first_check);
    pack.offset = mem_zalloc(n + 1, sizeof *pack.offset);
    *out = NULL;
    if (!p || !pack.first_check || !pack.offset) {
        status = bt_fail_memory(err, "the list of weights", n * 16);
        goto done;
    }
    lay_out(&pack);
    p->bytes = pack.total;
    if (!through_sidecar(p, &pack, team, &status, err)) status = in_memory(p, &pack, team, err);
done:
    mem_free(pack.first_check);
    mem_free(pack.offset);
    if (status) panels_close(&p);
    *out = p;
    return status;
}

void panels_close(Panels **panels)
{
    Panels *p = *panels;
    if (!p) return;
    if (p->mapped) os_map_close(&p->map);
    if (p->memory) os_pages_free(p->memory, p->bytes);
    mem_free(p);
    *panels = NULL;
}

bool panels_mapped(const Panels *panels)
{
    return panels->mapped;
}

const OsMap *panels_map(const Panels *panels)
{
    return panels->mapped ? &panels->map : NULL;
}

uint64_t panels_bytes(const Panels *panels)
{
    return panels->bytes;
}
