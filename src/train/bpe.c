/* Learning merges (see bpe.h). A word is a run of symbols that shrinks in place; a pair knows its
 * count and the words that it was ever in. A heap entry may be older than its pair's count: it is
 * then put back with the right one, or dropped. */
#include "train/bpe.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "text/tok.h"

#define NOTHING UINT32_MAX

typedef struct Pair {
    uint32_t left, right;
    int64_t count;
    uint32_t *where; /* words; a word may stand twice, or no longer hold the pair */
    uint32_t n, capacity;
    bool raised; /* waits in `fresh` */
} Pair;

typedef struct Ranked {
    int64_t count;
    uint32_t left, right, pair;
} Ranked;

typedef struct Learn {
    const Words *words;
    Bpe *bpe;
    uint32_t *symbols; /* of all words */
    uint32_t *length;  /* (words) symbols left */
    Pair *pairs;
    uint32_t n_pairs, pair_capacity;
    uint32_t *slots; /* pair + 1 */
    uint32_t mask;
    Ranked *heap;
    size_t n_heap, heap_capacity;
    uint32_t *fresh; /* pairs that the merge at hand made more of */
    uint32_t n_fresh, fresh_capacity;
    uint32_t *texts; /* token + 1, by its bytes */
    uint32_t text_mask;
    bool failed; /* no memory */
} Learn;

/* Room for one more of *items; false: no memory. */
static bool room(void **items, size_t n, size_t *capacity, size_t size)
{
    if (n < *capacity) return true;
    size_t more = 2 * *capacity + 8;
    void *grown = more > SIZE_MAX / size ? NULL : mem_realloc(*items, more * size);
    if (!grown) return false;
    *items = grown;
    *capacity = more;
    return true;
}

/* ---- pairs ---- */

static uint32_t pair_slot(const Learn *l, uint32_t left, uint32_t right)
{
    uint32_t at = (uint32_t)tok_pair_hash(left, right) & l->mask;
    for (; l->slots[at]; at = (at + 1) & l->mask) {
        const Pair *p = &l->pairs[l->slots[at] - 1];
        if (p->left == left && p->right == right) break;
    }
    return at;
}

static bool grow_pairs(Learn *l)
{
    uint32_t capacity = 2 * l->pair_capacity + 4096, size = 1;
    while (size < 2 * capacity) size *= 2;
    Pair *pairs = mem_realloc(l->pairs, capacity * sizeof *pairs);
    if (!pairs) return false;
    l->pairs = pairs;
    uint32_t *slots = mem_zalloc(size, sizeof *slots);
    if (!slots) return false;
    mem_free(l->slots);
    l->slots = slots;
    l->mask = size - 1;
    l->pair_capacity = capacity;
    for (uint32_t i = 0; i < l->n_pairs; i++)
        slots[pair_slot(l, pairs[i].left, pairs[i].right)] = i + 1;
    return true;
}

/* NULL: no memory. */
static Pair *pair_of(Learn *l, uint32_t left, uint32_t right)
{
    uint32_t at = l->slots ? pair_slot(l, left, right) : 0;
    if (l->slots && l->slots[at]) return &l->pairs[l->slots[at] - 1];
    if (l->n_pairs == l->pair_capacity) {
        if (l->n_pairs >= NOTHING / 8 || !grow_pairs(l)) return NULL;
        at = pair_slot(l, left, right);
    }
    l->pairs[l->n_pairs] = (Pair){.left = left, .right = right};
    l->slots[at] = ++l->n_pairs;
    return &l->pairs[l->n_pairs - 1];
}

/* `count` more (or fewer) of a pair in a word. */
static void change(Learn *l, uint32_t left, uint32_t right, int64_t count, uint32_t word)
{
    Pair *p = l->failed ? NULL : pair_of(l, left, right);
    if (!p) {
        l->failed = true;
        return;
    }
    p->count += count;
    if (count < 0) return;
    if (!p->n || p->where[p->n - 1] != word) {
        size_t capacity = p->capacity;
        void *where = p->where;
        l->failed |= !room(&where, p->n, &capacity, sizeof *p->where);
        p->where = where;
        p->capacity = (uint32_t)capacity;
        if (l->failed) return;
        p->where[p->n++] = word;
    }
    if (p->raised) return;
    size_t capacity = l->fresh_capacity;
    void *fresh = l->fresh;
    l->failed |= !room(&fresh, l->n_fresh, &capacity, sizeof *l->fresh);
    l->fresh = fresh;
    l->fresh_capacity = (uint32_t)capacity;
    if (l->failed) return;
    p->raised = true;
    l->fresh[l->n_fresh++] = (uint32_t)(p - l->pairs);
}

/* ---- the heap ---- */

static bool before(const Ranked *a, const Ranked *b)
{
    if (a->count != b->count) return a->count > b->count;
    return a->left != b->left ? a->left < b->left : a->right < b->right;
}

static void push(Learn *l, uint32_t pair)
{
    const Pair *p = &l->pairs[pair];
    void *heap = l->heap;
    if (!room(&heap, l->n_heap, &l->heap_capacity, sizeof *l->heap)) l->failed = true;
    l->heap = heap;
    if (l->failed) return;
    Ranked r = {p->count, p->left, p->right, pair};
    size_t i = l->n_heap++;
    for (; i > 0 && before(&r, &l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = r;
}

static Ranked pop(Learn *l)
{
    Ranked top = l->heap[0], last = l->heap[--l->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= l->n_heap) break;
        if (child + 1 < l->n_heap && before(&l->heap[child + 1], &l->heap[child])) child++;
        if (!before(&l->heap[child], &last)) break;
        l->heap[i] = l->heap[child];
        i = child;
    }
    if (l->n_heap) l->heap[i] = last;
    return top;
}

static void push_fresh(Learn *l)
{
    for (uint32_t i = 0; i < l->n_fresh; i++) {
        l->pairs[l->fresh[i]].raised = false;
        if (l->pairs[l->fresh[i]].count > 0) push(l, l->fresh[i]);
    }
    l->n_fresh = 0;
}

/* The pair that occurs most often, or NOTHING. */
static uint32_t best(Learn *l, int64_t least)
{
    while (l->n_heap && !l->failed) {
        Ranked top = pop(l);
        int64_t count = l->pairs[top.pair].count;
        if (top.count == count) return count >= least ? top.pair : NOTHING;
        if (count > 0) push(l, top.pair);
    }
    return NOTHING;
}

/* ---- tokens ---- */

static uint32_t text_slot(const Learn *l, const char *p, size_t n)
{
    uint32_t at = (uint32_t)hash_bytes(p, n, 0) & l->text_mask;
    for (; l->texts[at]; at = (at + 1) & l->text_mask) {
        size_t size;
        const char *known = bpe_token(l->bpe, l->texts[at] - 1, &size);
        if (size == n && memcmp(known, p, n) == 0) break;
    }
    return at;
}

/* The token of the last n bytes of bpe->bytes: a new one, or an older one of the same bytes. */
static uint32_t token_of_tail(Learn *l, size_t n)
{
    Bpe *b = l->bpe;
    uint32_t at = text_slot(l, b->bytes.data + b->bytes.size - n, n);
    if (l->texts[at]) {
        b->bytes.size -= n;
        return l->texts[at] - 1;
    }
    b->end[b->n_tokens] = (uint32_t)b->bytes.size;
    l->texts[at] = ++b->n_tokens;
    return b->n_tokens - 1;
}

/* NOTHING: no memory, or the bytes of all tokens are too many to number. */
static uint32_t joined(Learn *l, uint32_t left, uint32_t right)
{
    Bpe *b = l->bpe;
    char bytes[2 * WORDS_LONGEST];
    size_t n, m;
    const char *p = bpe_token(b, left, &n);
    memcpy(bytes, p, n);
    p = bpe_token(b, right, &m);
    memcpy(bytes + n, p, m);
    if (b->bytes.size + n + m > UINT32_MAX) return NOTHING;
    buf_add(&b->bytes, bytes, n + m);
    return b->bytes.failed ? NOTHING : token_of_tail(l, n + m);
}

/* ---- merging ---- */

static void merge_word(Learn *l, uint32_t word, const Pair *of, uint32_t made)
{
    uint32_t *s = l->symbols + l->words->items[word].at, n = l->length[word], out = 0;
    const uint32_t left = of->left, right = of->right;
    int64_t count = (int64_t)l->words->items[word].count;
    for (uint32_t i = 0; i < n; i++) {
        if (s[i] != left || i + 1 == n || s[i + 1] != right) {
            s[out++] = s[i];
            continue;
        }
        if (out > 0) {
            change(l, s[out - 1], left, -count, word);
            change(l, s[out - 1], made, count, word);
        }
        if (i + 2 < n) {
            change(l, right, s[i + 2], -count, word);
            change(l, made, s[i + 2], count, word);
        }
        s[out++] = made;
        i++;
    }
    l->length[word] = out;
}

static void merge(Learn *l, uint32_t pair, uint32_t made)
{
    /* Changing counts may move the pairs: the list is taken out first. */
    Pair now = l->pairs[pair];
    l->pairs[pair].where = NULL;
    l->pairs[pair].n = l->pairs[pair].capacity = 0;
    for (uint32_t i = 0; i < now.n && !l->failed; i++) merge_word(l, now.where[i], &now, made);
    l->pairs[pair].count = 0; /* none is left: each was replaced, or lost a half to another */
    mem_free(now.where);
    push_fresh(l);
}

/* ---- beginning and end ---- */

/* Which token each byte is; the tokens in the order of their characters. */
static bool first_tokens(Learn *l, uint32_t of_byte[256])
{
    uint32_t n = 0;
    for (uint32_t c = 0; c < 512; c++) {
        int byte = tok_char_byte(c);
        if (byte < 0) continue;
        char text = (char)byte;
        buf_add(&l->bpe->bytes, &text, 1);
        if (l->bpe->bytes.failed) return false;
        of_byte[byte] = token_of_tail(l, 1);
        n++;
    }
    return n == 256;
}

static bool count_pairs(Learn *l, const uint32_t of_byte[256])
{
    const Words *w = l->words;
    for (size_t i = 0; i < w->n && !l->failed; i++) {
        const unsigned char *text = (const unsigned char *)words_text(w, i);
        uint32_t *s = l->symbols + w->items[i].at, n = w->items[i].size;
        l->length[i] = n;
        for (uint32_t j = 0; j < n; j++) s[j] = of_byte[text[j]];
        for (uint32_t j = 0; j + 1 < n; j++)
            change(l, s[j], s[j + 1], (int64_t)w->items[i].count, (uint32_t)i);
    }
    push_fresh(l);
    return !l->failed;
}

static bt_status make_merges(Learn *l, const BpeOptions *o, bt_error *err)
{
    Bpe *b = l->bpe;
    int64_t least = o->least ? (int64_t)o->least : 2;
    size_t capacity = 0;
    while (b->n_tokens < o->n_tokens) {
        uint32_t pair = best(l, least);
        void *merges = b->merges;
        if (pair == NOTHING && !l->failed) break;
        l->failed |= !room(&merges, b->n_merges, &capacity, sizeof *b->merges);
        b->merges = merges;
        uint32_t made = l->failed ? NOTHING : joined(l, l->pairs[pair].left, l->pairs[pair].right);
        if (made == NOTHING) return bt_fail_memory(err, "a vocabulary", b->bytes.size);
        b->merges[b->n_merges++] = (BpeMerge){l->pairs[pair].left, l->pairs[pair].right, made};
        merge(l, pair, made);
        if (l->failed) return bt_fail_memory(err, "a vocabulary", b->bytes.size);
        if (o->progress && !o->progress(o->progress_user, "merging", b->n_tokens, o->n_tokens))
            return bt_fail(err, BT_E_CANCELLED, "cancelled");
    }
    for (size_t i = 0; i < l->words->n; i++) b->tokens += l->length[i] * l->words->items[i].count;
    return BT_OK;
}

static bool open_room(Learn *l, uint32_t n_tokens)
{
    const Words *w = l->words;
    uint32_t size = 1;
    while (size < 2 * n_tokens + 512) size *= 2;
    l->symbols = mem_alloc(w->bytes.size * sizeof *l->symbols);
    l->length = mem_zalloc(w->n, sizeof *l->length);
    l->texts = mem_zalloc(size, sizeof *l->texts);
    l->text_mask = size - 1;
    l->bpe->end = mem_zalloc(n_tokens, sizeof *l->bpe->end);
    return l->symbols && l->length && l->texts && l->bpe->end;
}

static void learn_close(Learn *l)
{
    for (uint32_t i = 0; i < l->n_pairs; i++) mem_free(l->pairs[i].where);
    mem_free(l->pairs);
    mem_free(l->slots);
    mem_free(l->symbols);
    mem_free(l->length);
    mem_free(l->heap);
    mem_free(l->fresh);
    mem_free(l->texts);
}

bt_status bpe_learn(const Words *words, const BpeOptions *options, Bpe *out, bt_error *err)
{
    Learn l = {.words = words, .bpe = out};
    uint32_t of_byte[256];
    *out = (Bpe){0};
    if (options->n_tokens < 256 || options->n_tokens > BPE_LARGEST)
        return bt_fail(err, BT_E_ARGUMENT,
                       "a vocabulary of %u tokens: the 256 bytes are needed, and at most %u can be",
                       options->n_tokens, BPE_LARGEST);
    bt_status status = BT_OK;
    if (!open_room(&l, options->n_tokens) || !first_tokens(&l, of_byte) ||
        !count_pairs(&l, of_byte))
        status = bt_fail_memory(err, "a vocabulary", words->bytes.size * sizeof(uint32_t));
    if (!status) status = make_merges(&l, options, err);
    learn_close(&l);
    if (status) bpe_close(out);
    return status;
}

void bpe_close(Bpe *b)
{
    buf_close(&b->bytes);
    mem_free(b->end);
    mem_free(b->merges);
    *b = (Bpe){0};
}
