/* Regions of a vocabulary, kept in a store under a lock (see token_region.h). Those that nobody
 * holds give way, the longest unused first; there are never more than STORE_MOST. */
#include "text/token_region.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"

enum { STORE_MOST = 48 };

struct RegionStore {
    pthread_mutex_t lock;
    Region list[STORE_MOST];
    uint32_t clock;
};

/* ---- making ------------------------------------------------------------------------ */

/* Several regions that are made together, as bits of a word. */
typedef struct Making {
    const TokenSet *set;
    Region *regions[REGION_TOGETHER];
    TokenExit *exits[REGION_TOGETHER]; /* room for REGION_EXITS each */
    uint32_t n_exits[REGION_TOGETHER];
    uint32_t *ids[REGION_TOGETHER]; /* of `led`: room for all plain tokens */
    uint32_t n_ids[REGION_TOGETHER];
    uint32_t holds[256]; /* the regions that have a byte */
    uint32_t all;
} Making;

static void leave(Making *m, uint32_t which, TokenExit exit)
{
    for (; which; which &= which - 1) {
        uint32_t r = (uint32_t)__builtin_ctz(which);
        if (m->n_exits[r] < REGION_EXITS) m->exits[r][m->n_exits[r]] = exit;
        m->n_exits[r]++;
    }
}

static void keep_inside(Making *m, const Trie *trie, uint32_t i, uint32_t which)
{
    uint32_t end = trie->nodes[i + 1].first;
    for (; which; which &= which - 1) {
        uint64_t *inside = m->regions[__builtin_ctz(which)]->inside;
        for (uint32_t k = trie->nodes[i].first; k < end; k++) token_set_add(inside, trie->order[k]);
    }
}

static void keep_led(Making *m, const Trie *trie, uint32_t i, uint32_t which, bool spaced)
{
    uint32_t end = trie->nodes[i + 1].first, depth = trie->nodes[i].depth;
    for (; which; which &= which - 1) {
        uint32_t r = (uint32_t)__builtin_ctz(which);
        for (uint32_t k = trie->nodes[i].first; k < end; k++)
            if (spaced)
                token_set_add(m->regions[r]->led->spaced, trie->order[k]);
            else
                m->ids[r][m->n_ids[r]++] = trie->order[k] << 5 | (depth - 1);
    }
}

/* Goes down nodes [i, end) of a trie as long as any region holds all bytes so far, but for the
 * first `lead` ones. */
static void collect(Making *m, bool rest, uint32_t i, uint32_t end, uint32_t lead)
{
    const Trie *trie = rest ? &m->set->rest : &m->set->plain;
    uint32_t in[TOKEN_SET_ALIKE + 2];
    bool spaced = lead && trie->nodes[i].byte == ' ';
    in[lead] = m->all;
    if (lead) keep_led(m, trie, i++, m->all, spaced);
    while (i < end) {
        const TrieNode *node = &trie->nodes[i];
        uint32_t before = in[node->depth - 1];
        uint32_t now = node->depth - lead <= TOKEN_SET_ALIKE ? before & m->holds[node->byte] : 0;
        leave(m, before & ~now, (TokenExit){i, node->byte, (uint8_t)node->depth, rest});
        if (!now) {
            i = node->skip;
            continue;
        }
        if (lead)
            keep_led(m, trie, i, now, spaced);
        else if (!rest)
            keep_inside(m, trie, i, now);
        in[node->depth] = now;
        i++;
    }
}

/* Sorts exits by byte, from `from` to `to`; first[c]: where those of a byte begin. */
static void sort_exits(TokenExit *to, const TokenExit *from, uint32_t n, uint32_t first[257])
{
    uint32_t next[256];
    memset(first, 0, 257 * sizeof *first);
    for (uint32_t i = 0; i < n; i++) first[from[i].byte + 1]++;
    for (int c = 0; c < 256; c++) first[c + 1] += first[c];
    memcpy(next, first, sizeof next);
    for (uint32_t i = 0; i < n; i++) to[next[from[i].byte]++] = from[i];
}

static void begin(Making *m, const TokenSet *set, uint32_t r, Region *region,
                  const uint64_t bytes[2], TokenExit *exits)
{
    m->set = set;
    m->regions[r] = region;
    m->exits[r] = exits;
    m->all |= 1u << r;
    memcpy(region->bytes, bytes, sizeof region->bytes);
    region->useless = false;
    for (unsigned c = 0; c < 0x80; c++)
        if (bytes[c / 64] >> (c % 64) & 1) m->holds[c] |= 1u << r;
    memset(region->inside, 0, set->words * sizeof *region->inside);
}

bool region_room(Region *region, const TokenSet *set)
{
    region->inside = mem_zalloc(set->words, sizeof *region->inside);
    region->exits = mem_zalloc(REGION_EXITS, sizeof *region->exits);
    return region->inside && region->exits;
}

void region_free(Region *region)
{
    RegionLed *led = region->led;
    mem_free(region->inside);
    mem_free(region->exits);
    if (led) {
        mem_free(led->spaced);
        mem_free(led->ids);
        mem_free(led->exits);
        mem_free(led);
    }
    *region = (Region){0};
}

void region_make(Region *region, const TokenSet *set, const uint64_t bytes[2], TokenExit *spare)
{
    Making m = {0};
    begin(&m, set, 0, region, bytes, spare);
    collect(&m, false, 0, set->plain.n_nodes, 0);
    collect(&m, true, 0, set->rest.n_nodes, 0);
    region->useless = m.n_exits[0] > REGION_EXITS;
    if (!region->useless) sort_exits(region->exits, spare, m.n_exits[0], region->first);
}

/* ---- the store ---------------------------------------------------------------------- */

bool region_store_open(TokenSet *set)
{
    set->regions = mem_zalloc(1, sizeof *set->regions);
    if (set->regions) pthread_mutex_init(&set->regions->lock, NULL);
    return set->regions;
}

void region_store_close(TokenSet *set)
{
    if (!set->regions) return;
    for (int i = 0; i < STORE_MOST; i++) region_free(&set->regions->list[i]);
    pthread_mutex_destroy(&set->regions->lock);
    mem_free(set->regions);
    set->regions = NULL;
}

static Region *find(RegionStore *s, const uint64_t bytes[2])
{
    for (int i = 0; i < STORE_MOST; i++) {
        Region *r = &s->list[i];
        if (!r->inside || memcmp(r->bytes, bytes, sizeof r->bytes) != 0) continue;
        r->used = ++s->clock;
        r->holds++;
        return r;
    }
    return NULL;
}

/* A place in the store with room for what is inside; NULL: all are held, or (*good false) there is
 * no memory. */
static Region *take(RegionStore *s, const TokenSet *set, bool *good)
{
    Region *at = NULL;
    for (int i = 0; i < STORE_MOST; i++)
        if (!s->list[i].holds && (!at || s->list[i].used < at->used)) at = &s->list[i];
    if (!at) return NULL;
    region_free(at);
    at->inside = mem_alloc(set->words * sizeof *at->inside);
    at->led = mem_zalloc(1, sizeof *at->led);
    if (at->led) at->led->spaced = mem_zalloc(set->words, sizeof *at->led->spaced);
    if (!at->inside || !at->led || !at->led->spaced) {
        region_free(at);
        *good = false;
        return NULL;
    }
    at->used = ++s->clock;
    at->holds = 1;
    return at;
}

/* Gives the exits that were collected their own memory. False: there is none. */
static bool keep_exits(Making *m)
{
    for (uint32_t r = 0; r < REGION_TOGETHER && m->all >> r; r++) {
        Region *region = m->regions[r];
        region->useless = m->n_exits[r] > REGION_EXITS;
        uint32_t n = region->useless ? 0 : m->n_exits[r];
        region->exits = mem_alloc((n + 1) * sizeof *region->exits);
        if (!region->exits) return false;
        sort_exits(region->exits, m->exits[r], n, region->first);
        m->n_exits[r] = 0;
    }
    return true;
}

/* The same of what has a first byte before: `led` becomes NULL where there is too much. */
static bool keep_all_led(Making *m, uint32_t (*ids)[257], uint32_t (*exits)[257])
{
    uint32_t first[257];
    for (uint32_t r = 0; r < REGION_TOGETHER && m->all >> r; r++) {
        RegionLed *led = m->regions[r]->led;
        uint32_t n = m->n_exits[r] > REGION_EXITS ? 0 : m->n_exits[r];
        led->ids = mem_alloc((m->n_ids[r] + 1) * sizeof *led->ids);
        led->exits = mem_alloc((n + 1) * sizeof *led->exits);
        if (!led->ids || !led->exits) return false;
        memcpy(led->ids, m->ids[r], m->n_ids[r] * sizeof *led->ids);
        memcpy(led->first_id, ids[r], sizeof led->first_id);
        memcpy(led->first_exit, exits[r], sizeof led->first_exit);
        for (uint32_t c = 0; c < 256 && n; c++) {
            uint32_t at = exits[r][c], size = exits[r][c + 1] - at;
            if (size) sort_exits(led->exits + at, m->exits[r] + at, size, first);
        }
        if (m->n_exits[r] <= REGION_EXITS) continue;
        mem_free(led->spaced);
        mem_free(led->ids);
        mem_free(led->exits);
        mem_free(led);
        m->regions[r]->led = NULL;
    }
    return true;
}

static bool collect_led(Making *m)
{
    const Trie *trie = &m->set->plain;
    uint32_t(*ids)[257] = mem_zalloc(REGION_TOGETHER, sizeof *ids);
    uint32_t(*exits)[257] = mem_zalloc(REGION_TOGETHER, sizeof *exits);
    bool good = ids && exits;
    for (uint32_t i = 0, c = 0; good && c < 256; c++) { /* roots are sorted */
        uint32_t root = i < trie->n_roots ? trie->root[i] : 0;
        if (i < trie->n_roots && trie->root_byte[i] == c) {
            collect(m, false, root, trie->nodes[root].skip, 1);
            i++;
        }
        for (uint32_t r = 0; r < REGION_TOGETHER; r++) {
            ids[r][c + 1] = m->n_ids[r];
            exits[r][c + 1] = m->n_exits[r];
        }
    }
    good = good && keep_all_led(m, ids, exits);
    mem_free(ids);
    mem_free(exits);
    return good;
}

/* Makes the regions of which `out` is NULL, as far as there is room in the store. False: no memory.
 */
static bool make_new(RegionStore *s, const TokenSet *set, const uint64_t (*bytes)[2], uint32_t n,
                     const Region **out)
{
    Making m = {0};
    uint32_t n_new = 0, r = 0, n_plain = set->plain.nodes[set->plain.n_nodes].first;
    for (uint32_t i = 0; i < n; i++) n_new += !out[i];
    if (!n_new) return true;
    TokenExit *exits = mem_alloc((size_t)n_new * REGION_EXITS * sizeof *exits);
    uint32_t *ids = mem_alloc(((size_t)n_new * n_plain + 1) * sizeof *ids);
    bool good = exits && ids;
    for (uint32_t i = 0; i < n && good; i++) {
        Region *region = out[i] ? NULL : take(s, set, &good);
        if (!region) continue;
        begin(&m, set, r, region, bytes[i], exits + (size_t)r * REGION_EXITS);
        m.ids[r] = ids + (size_t)r * n_plain;
        out[i] = region;
        r++;
    }
    if (good && r) {
        collect(&m, false, 0, set->plain.n_nodes, 0);
        collect(&m, true, 0, set->rest.n_nodes, 0);
        good = keep_exits(&m) && collect_led(&m);
    }
    for (uint32_t k = 0; k < r && !good && m.regions[k]; k++) {
        for (uint32_t i = 0; i < n; i++)
            if (out[i] == m.regions[k]) out[i] = NULL;
        region_free(m.regions[k]);
    }
    mem_free(exits);
    mem_free(ids);
    return good;
}

bool regions_borrow(const TokenSet *set, const uint64_t (*bytes)[2], uint32_t n, const Region **out)
{
    RegionStore *s = set->regions;
    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; i < n; i++) out[i] = find(s, bytes[i]);
    bool good = make_new(s, set, bytes, n, out);
    pthread_mutex_unlock(&s->lock);
    return good;
}

const Region *region_borrow(const TokenSet *set, const uint64_t bytes[2])
{
    pthread_mutex_lock(&set->regions->lock);
    const Region *region = find(set->regions, bytes);
    pthread_mutex_unlock(&set->regions->lock);
    return region;
}

void region_return(const TokenSet *set, const Region *region)
{
    if (!region) return;
    RegionStore *s = set->regions;
    pthread_mutex_lock(&s->lock);
    s->list[region - s->list].holds--;
    pthread_mutex_unlock(&s->lock);
}
