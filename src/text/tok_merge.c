/* Merging: a word becomes its tokens by joining, again and again, the neighbours whose merge comes
 * first (leftmost where two are equal). Sources: Sennrich et al. 2016 for BPE, Kudo and Richardson
 * 2018 for SentencePiece's scores.
 *
 * Short words scan their few pairs. A long one (10 MB of "a" is one word) keeps a queue that has a
 * list for each rank, and takes from the lowest rank that has one. Pairs are found from left to
 * right, so appending keeps a list in order; the rare one that comes too late goes to a heap. Each
 * step of the queue is then O(1), and the word linear, in all but made-up cases, where it is
 * O(n log n). Symbols lie at their byte offsets, a bit says where one starts: 16 bytes a byte. */
#include <string.h>

#include "base/mem.h"
#include "text/tok.h"
#include "text/utf8.h"

#define SHORT 48 /* symbols a scanned word has at most */

typedef struct Node {
    uint32_t at, next;
} Node;

struct TokMerge {
    uint64_t room; /* bytes of text that the arrays below hold */
    uint32_t *symbol, *pair;
    uint64_t *starts;
    Node *nodes;
    uint32_t n_nodes, node_room, free_node;
    uint32_t *head, *tail; /* by key */
    uint64_t *level[4];    /* which lists are not empty, 64 to a bit of the next level */
    uint64_t *heap;        /* key << 32 | at */
    size_t n_heap, heap_room;
    uint64_t work;
};

void tok_put(TokIds *ids, int32_t id)
{
    if (ids->n == ids->capacity) {
        size_t capacity = ids->capacity ? ids->capacity + ids->capacity / 2 : 64;
        int32_t *data = ids->failed ? NULL : mem_realloc(ids->data, capacity * sizeof(int32_t));
        if (!data) {
            ids->failed = true;
            return;
        }
        ids->data = data;
        ids->capacity = capacity;
    }
    ids->data[ids->n++] = id;
}

uint32_t tok_pair_rank(const Tokenizer *t, uint32_t left, uint32_t right)
{
    uint64_t h = tok_pair_hash(left, right);
    for (uint64_t i = 0; i < TOK_MAX_PROBES; i++) {
        const TokPair *pair = &t->pairs[(h + i) & t->pair_mask];
        if (pair->rank == TOK_NONE) break;
        if (pair->left == left && pair->right == right) return pair->rank;
    }
    return TOK_NONE;
}

uint32_t tok_char_symbol(const Tokenizer *t, const char *p, size_t n, size_t *length)
{
    unsigned char c = (unsigned char)*p;
    *length = 1;
    if (t->kind == TOK_KIND_BPE && !t->raw) return t->byte_sym[c];
    if (c < 128) return t->ascii[c];
    utf8_next(p, n, length);
    return tok_symbol(t, p, *length);
}

/* A merge is a rank of the merge list (BPE) or the token that it makes (SPM). */
static inline uint32_t find(const Tokenizer *t, uint32_t left, uint32_t right, const char *p,
                            size_t n)
{
    if (t->kind == TOK_KIND_BPE)
        return left == TOK_NONE || right == TOK_NONE ? TOK_NONE : tok_pair_rank(t, left, right);
    if (n > t->longest) return TOK_NONE;
    uint32_t token = tok_symbol(t, p, n);
    if (token == TOK_NONE) return TOK_NONE;
    uint8_t type = t->types[token];
    return type == TOK_CONTROL || type == TOK_UNKNOWN ? TOK_NONE : token;
}

static inline uint32_t key_of(const Tokenizer *t, uint32_t merge)
{
    return t->kind == TOK_KIND_BPE ? merge : t->order[merge];
}

static inline uint32_t made_by(const Tokenizer *t, uint32_t merge)
{
    return t->kind == TOK_KIND_BPE ? t->result[merge] : merge;
}

static void put_bytes(const Tokenizer *t, const char *p, size_t n, TokIds *ids)
{
    bool unknown = false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (t->kind == TOK_KIND_BPE && !t->raw) {
            if (t->byte_sym[c] < t->n)
                tok_put(ids, (int32_t)t->byte_sym[c]);
            else
                unknown = true;
            continue;
        }
        const char *bytes = c == ' ' ? "\xE2\x96\x81" : p + i;
        for (int j = 0; j < (c == ' ' ? 3 : 1); j++) {
            int32_t id = t->byte_token[(unsigned char)bytes[j]];
            if (id >= 0)
                tok_put(ids, id);
            else
                unknown = true;
        }
    }
    if (unknown && t->unk >= 0) tok_put(ids, t->unk);
}

static inline void put_symbol(const Tokenizer *t, uint32_t symbol, const char *p, size_t n,
                              TokIds *ids)
{
    if (symbol < t->n)
        tok_put(ids, (int32_t)symbol);
    else
        put_bytes(t, p, n, ids);
}

/* ---- short words ---- */

typedef struct Unit {
    uint32_t symbol, at, merge, key;
} Unit;

static inline void pair_unit(const Tokenizer *t, const char *p, Unit *u)
{
    u->merge = find(t, u[0].symbol, u[1].symbol, p + u[0].at, u[2].at - u[0].at);
    u->key = u->merge == TOK_NONE ? TOK_NONE : key_of(t, u->merge);
}

/* n units, and one more whose `at` is the end. */
static void merge_short(const Tokenizer *t, const char *p, Unit *u, size_t n, TokIds *ids)
{
    for (size_t i = 0; i + 1 < n; i++) pair_unit(t, p, u + i);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (u[i].key < u[best].key) best = i;
        ids->work += n;
        if (u[best].key == TOK_NONE) break;
        u[best].symbol = made_by(t, u[best].merge);
        memmove(u + best + 1, u + best + 2, (n - best - 1) * sizeof(Unit));
        n--;
        if (best + 1 < n) pair_unit(t, p, u + best);
        if (best > 0) pair_unit(t, p, u + best - 1);
    }
    for (size_t i = 0; i < n; i++)
        put_symbol(t, u[i].symbol, p + u[i].at, u[i + 1].at - u[i].at, ids);
}

/* ---- long words: the queue ---- */

static void mark(TokMerge *m, uint32_t key)
{
    for (int i = 0; i < 4; i++, key >>= 6) m->level[i][key >> 6] |= 1ull << (key & 63);
}

static void unmark(TokMerge *m, uint32_t key)
{
    for (int i = 0; i < 4; i++, key >>= 6) {
        m->level[i][key >> 6] &= ~(1ull << (key & 63));
        if (m->level[i][key >> 6]) break;
    }
}

static bool lowest(const TokMerge *m, uint32_t *key)
{
    uint32_t k = 0;
    for (int i = 3; i >= 0; i--) {
        uint64_t word = m->level[i][k];
        if (!word) return false;
        k = k << 6 | (uint32_t)__builtin_ctzll(word);
    }
    *key = k;
    return true;
}

static bool heap_push(TokMerge *m, uint64_t value)
{
    if (m->n_heap == m->heap_room) {
        size_t room = m->heap_room ? m->heap_room * 2 : 1024;
        uint64_t *heap = mem_realloc(m->heap, room * sizeof(uint64_t));
        if (!heap) return false;
        m->heap = heap;
        m->heap_room = room;
    }
    size_t i = m->n_heap++;
    while (i > 0 && m->heap[(i - 1) / 4] > value) {
        m->heap[i] = m->heap[(i - 1) / 4];
        i = (i - 1) / 4;
        m->work++;
    }
    m->heap[i] = value;
    return true;
}

static uint64_t heap_pop(TokMerge *m)
{
    uint64_t top = m->heap[0], last = m->heap[--m->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = i * 4 + 1, end = child + 4 < m->n_heap ? child + 4 : m->n_heap;
        if (child >= m->n_heap) break;
        size_t least = child;
        for (size_t c = child + 1; c < end; c++)
            if (m->heap[c] < m->heap[least]) least = c;
        if (m->heap[least] >= last) break;
        m->heap[i] = m->heap[least];
        i = least;
        m->work++;
    }
    m->heap[i] = last;
    return top;
}

static bool take_node(TokMerge *m, uint32_t *node)
{
    if (m->free_node != TOK_NONE) {
        *node = m->free_node;
        m->free_node = m->nodes[*node].next;
        return true;
    }
    if (m->n_nodes == m->node_room) {
        uint64_t room = m->node_room + m->node_room / 2 + 64ull;
        if (room >= TOK_NONE) return false;
        Node *nodes = mem_realloc(m->nodes, room * sizeof(Node));
        if (!nodes) return false;
        m->nodes = nodes;
        m->node_room = (uint32_t)room;
    }
    *node = m->n_nodes++;
    return true;
}

static bool push(const Tokenizer *t, TokMerge *m, uint32_t at)
{
    m->work++;
    if (m->pair[at] == TOK_NONE) return true;
    uint32_t key = key_of(t, m->pair[at]), node;
    bool empty = m->head[key] == TOK_NONE;
    if (!empty && m->nodes[m->tail[key]].at >= at)
        return m->nodes[m->tail[key]].at == at || heap_push(m, (uint64_t)key << 32 | at);
    if (!take_node(m, &node)) return false;
    m->nodes[node] = (Node){at, TOK_NONE};
    if (empty) {
        m->head[key] = node;
        mark(m, key);
    } else {
        m->nodes[m->tail[key]].next = node;
    }
    m->tail[key] = node;
    return true;
}

/* The first pair of all, which may be out of date; false: none left. */
static bool pop(TokMerge *m, uint32_t *key, uint32_t *at)
{
    m->work++;
    uint64_t value = UINT64_MAX;
    if (lowest(m, key)) value = (uint64_t)*key << 32 | m->nodes[m->head[*key]].at;
    if (m->n_heap && m->heap[0] <= value) {
        value = heap_pop(m);
    } else if (value != UINT64_MAX) {
        uint32_t node = m->head[*key];
        m->head[*key] = m->nodes[node].next;
        if (m->head[*key] == TOK_NONE) unmark(m, *key);
        m->nodes[node].next = m->free_node;
        m->free_node = node;
    } else {
        return false;
    }
    *key = (uint32_t)(value >> 32);
    *at = (uint32_t)value;
    return true;
}

/* ---- long words: the symbols ---- */

static size_t start_after(TokMerge *m, size_t at, size_t n)
{
    size_t i = ++at / 64;
    uint64_t word = m->starts[i] >> (at % 64) << (at % 64);
    while (!word) {
        m->work++;
        if (++i > n / 64) return n;
        word = m->starts[i];
    }
    return i * 64 + (size_t)__builtin_ctzll(word);
}

static bool start_before(TokMerge *m, size_t at, size_t *before)
{
    size_t i = at / 64;
    uint64_t word = m->starts[i] & ((1ull << (at % 64)) - 1);
    while (!word) {
        m->work++;
        if (i-- == 0) return false;
        word = m->starts[i];
    }
    *before = i * 64 + 63 - (size_t)__builtin_clzll(word);
    return true;
}

static inline bool is_start(const TokMerge *m, size_t at)
{
    return m->starts[at / 64] >> (at % 64) & 1;
}

/* Looks for the merge of the symbols at `at` and `next`, and queues it. */
static bool pair_at(const Tokenizer *t, TokMerge *m, const char *p, size_t n, size_t at,
                    size_t next)
{
    m->pair[at] = TOK_NONE;
    if (next >= n) return true;
    size_t end = t->kind == TOK_KIND_BPE ? next : start_after(m, next, n);
    m->pair[at] = find(t, m->symbol[at], m->symbol[next], p + at, end - at);
    return push(t, m, (uint32_t)at);
}

static TokMerge *scratch_for(const Tokenizer *t, size_t n, TokMerge **scratch)
{
    TokMerge *m = *scratch;
    if (!m) {
        m = *scratch = mem_zalloc(1, sizeof(TokMerge));
        if (!m) return NULL;
        size_t keys = t->n_keys ? t->n_keys : 1;
        m->head = mem_alloc(keys * sizeof(uint32_t));
        m->tail = mem_alloc(keys * sizeof(uint32_t));
        if (m->head)
            memset(m->head, 0xFF, keys * sizeof(uint32_t)); /* a finished word leaves it so */
        for (int i = 0, bits = 6; i < 4; i++, bits += 6)
            m->level[i] = mem_zalloc((keys >> bits) + 1, sizeof(uint64_t));
    }
    if (!m->head || !m->tail) return NULL;
    for (int i = 0; i < 4; i++)
        if (!m->level[i]) return NULL;
    if (m->room < n + 1) {
        uint64_t room = n + 1 < 4096 ? 4096 : n + 1;
        mem_free(m->symbol);
        mem_free(m->pair);
        mem_free(m->starts);
        m->room = 0;
        m->symbol = mem_alloc(room * sizeof(uint32_t));
        m->pair = mem_alloc(room * sizeof(uint32_t));
        m->starts = mem_alloc((room / 64 + 2) * sizeof(uint64_t));
        if (!m->symbol || !m->pair || !m->starts) return NULL;
        m->room = room;
    }
    m->n_nodes = 0;
    m->free_node = TOK_NONE;
    m->n_heap = 0;
    m->work = 0;
    return m;
}

void tok_merge_close(TokMerge **scratch)
{
    TokMerge *m = *scratch;
    if (!m) return;
    mem_free(m->symbol);
    mem_free(m->pair);
    mem_free(m->starts);
    mem_free(m->nodes);
    mem_free(m->head);
    mem_free(m->tail);
    for (int i = 0; i < 4; i++) mem_free(m->level[i]);
    mem_free(m->heap);
    mem_free(m);
    *scratch = NULL;
}

static bool merge_at(const Tokenizer *t, TokMerge *m, const char *p, size_t n, size_t at)
{
    size_t gone = start_after(m, at, n), before;
    m->starts[gone / 64] &= ~(1ull << (gone % 64));
    m->symbol[at] = made_by(t, m->pair[at]);
    if (start_before(m, at, &before) && !pair_at(t, m, p, n, before, at)) return false;
    return pair_at(t, m, p, n, at, start_after(m, at, n));
}

static bool merge_long(const Tokenizer *t, const char *p, size_t n, TokMerge **scratch, TokIds *ids)
{
    TokMerge *m = scratch_for(t, n, scratch);
    if (!m) return false;
    memset(m->starts, 0, (n / 64 + 2) * sizeof(uint64_t));
    for (size_t at = 0, length; at < n; at += length) {
        m->symbol[at] = tok_char_symbol(t, p + at, n - at, &length);
        m->starts[at / 64] |= 1ull << (at % 64);
        m->work++;
    }
    for (size_t at = 0, next; at < n; at = next) {
        next = start_after(m, at, n);
        if (!pair_at(t, m, p, n, at, next)) return false;
    }
    uint32_t key, at;
    while (pop(m, &key, &at)) {
        if (!is_start(m, at) || m->pair[at] == TOK_NONE || key_of(t, m->pair[at]) != key) continue;
        if (!merge_at(t, m, p, n, at)) return false;
    }
    for (size_t i = 0, next; i < n; i = next) {
        next = start_after(m, i, n);
        put_symbol(t, m->symbol[i], p + i, next - i, ids);
    }
    ids->work += m->work;
    return true;
}

void tok_merge_word(const Tokenizer *t, const char *p, size_t n, TokMerge **scratch, TokIds *ids)
{
    Unit units[SHORT + 2];
    size_t count = 0, at = 0, length;
    while (at < n && count < SHORT) {
        units[count].at = (uint32_t)at;
        units[count++].symbol = tok_char_symbol(t, p + at, n - at, &length);
        at += length;
    }
    if (at == n) {
        units[count].at = (uint32_t)n;
        merge_short(t, p, units, count, ids);
    } else if (!merge_long(t, p, n, scratch, ids)) {
        ids->failed = true;
    }
}

/* ---- parts that cannot join ---- */

static inline uint64_t join_bit(const Tokenizer *t, uint32_t left, uint32_t right)
{
    uint64_t h = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
    return h >> 32 & t->join_mask;
}

void tok_join_add(Tokenizer *t, Span text)
{
    uint32_t left = 0;
    size_t length;
    for (size_t i = 0; i < text.size; i += length) {
        uint32_t c = utf8_next(text.data + i, text.size - i, &length);
        if (c == 0x2581) c = ' ';
        if (i > 0) {
            uint64_t bit = join_bit(t, left, c);
            t->joins[bit / 64] |= 1ull << (bit % 64);
        }
        left = c;
    }
}

void tok_merge_parts(const Tokenizer *t, const char *p, size_t n, TokMerge **scratch, TokIds *ids)
{
    size_t begin = 0, length;
    uint32_t left = 0;
    for (size_t i = 0; i < n && !ids->failed; i += length) {
        uint32_t c = utf8_next(p + i, n - i, &length);
        if (c == 0x2581) c = ' ';
        if (i > begin) {
            uint64_t bit = join_bit(t, left, c);
            if (!(t->joins[bit / 64] >> (bit % 64) & 1)) {
                tok_merge_word(t, p + begin, i - begin, scratch, ids);
                begin = i;
            }
        }
        left = c;
    }
    if (n > begin) tok_merge_word(t, p + begin, n - begin, scratch, ids);
}
