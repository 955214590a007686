/* Making terms and deriving them (see regex_term.h). Terms are kept in a normal form (lists sorted
 * and flat, units dropped) and each is stored once: that is what makes the derivatives of a term
 * finitely many (Brzozowski 1964; Owens, Reppy and Turon 2009). */
#include "text/regex_term.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

enum { MAX_TERMS = 1 << 17, MAX_LIST = 1 << 21, MAX_CLASSES = 4096 };
enum { MAX_WORK = REGEX_MAX_WORK };

bt_status term_fail(Regex *re, bt_status status, const char *format, ...)
{
    if (re->status != BT_OK) return re->status;
    va_list args;
    va_start(args, format);
    re->status = bt_failv(&re->why, status, format, args);
    va_end(args);
    return re->status;
}

bool term_room(Regex *re, void *array, uint32_t n, uint32_t more, uint32_t *capacity, size_t size)
{
    void *memory;
    if (re->status != BT_OK) return false;
    if (n + more <= *capacity && *capacity) return true;
    uint32_t grown = *capacity ? *capacity : 64;
    while (grown < n + more) grown *= 2;
    memcpy(&memory, array, sizeof memory);
    memory = mem_realloc(memory, grown * size);
    if (!memory) {
        term_fail(re, BT_E_MEMORY, "not enough memory for a regular expression");
        return false;
    }
    memcpy(array, &memory, sizeof memory);
    *capacity = grown;
    return true;
}

/* ---- terms, each once ---------------------------------------------------------- */

static uint64_t hash_term(const Regex *re, const Term *t)
{
    if (t->kind == TERM_ALT || t->kind == TERM_AND)
        return hash_bytes(re->list + t->a, t->b * sizeof *re->list, t->kind);
    uint64_t hash = ((uint64_t)t->a << 32 | t->b) * 0x9E3779B97F4A7C15u;
    hash = (hash ^ hash >> 29 ^ ((uint64_t)t->least << 32 | t->most)) * 0xBF58476D1CE4E5B9u;
    hash = (hash ^ hash >> 32 ^ t->kind) * 0x94D049BB133111EBu;
    return hash ^ hash >> 31;
}

static bool same_term(const Regex *re, const Term *a, const Term *b)
{
    if (a->kind != b->kind) return false;
    if (a->kind == TERM_ALT || a->kind == TERM_AND)
        return a->b == b->b &&
               memcmp(re->list + a->a, re->list + b->a, a->b * sizeof *re->list) == 0;
    return a->a == b->a && a->b == b->b && a->least == b->least && a->most == b->most;
}

static bool grow_table(Regex *re)
{
    uint32_t size = re->table_mask ? (re->table_mask + 1) * 2 : 256;
    uint32_t *table = mem_zalloc(size, sizeof *table);
    if (!table) {
        term_fail(re, BT_E_MEMORY, "not enough memory for a regular expression");
        return false;
    }
    for (uint32_t i = 0; i < re->n_terms; i++) {
        uint32_t at = (uint32_t)hash_term(re, &re->terms[i]) & (size - 1);
        while (table[at]) at = (at + 1) & (size - 1);
        table[at] = i + 1;
    }
    mem_free(re->table);
    re->table = table;
    re->table_mask = size - 1;
    return true;
}

static RegexTerm intern(Regex *re, Term term)
{
    if (re->status != BT_OK) return REGEX_NOTHING;
    if (re->n_terms * 2 >= re->table_mask && !grow_table(re)) return REGEX_NOTHING;
    uint32_t at = (uint32_t)hash_term(re, &term) & re->table_mask;
    for (; re->table[at]; at = (at + 1) & re->table_mask)
        if (same_term(re, &re->terms[re->table[at] - 1], &term)) return re->table[at] - 1;
    if (re->n_terms >= MAX_TERMS || re->n_list > MAX_LIST) {
        term_fail(re, BT_E_LIMIT, "the regular expression is too large");
        return REGEX_NOTHING;
    }
    if (!term_room(re, &re->terms, re->n_terms, 1, &re->term_capacity, sizeof *re->terms))
        return REGEX_NOTHING;
    re->terms[re->n_terms] = term;
    re->table[at] = ++re->n_terms;
    return re->n_terms - 1;
}

bt_status regex_open(Regex **out, bt_error *err)
{
    Regex *re = *out = mem_zalloc(1, sizeof *re);
    if (!re) return bt_fail_memory(err, "a regular expression", sizeof *re);
    intern(re, (Term){.kind = TERM_NOTHING});
    intern(re, (Term){.kind = TERM_EMPTY, .nullable = true});
    intern(re, (Term){.kind = TERM_ALL, .nullable = true});
    if (re->status == BT_OK) return BT_OK;
    regex_close(out);
    return bt_fail_memory(err, "a regular expression", 4096);
}

void regex_close(Regex **pointer)
{
    Regex *re = *pointer;
    if (!re) return;
    mem_free(re->terms);
    mem_free(re->list);
    mem_free(re->table);
    mem_free(re->sets);
    mem_free(re->ranges);
    mem_free(re->scratch);
    mem_free(re->cuts);
    mem_free(re->class_at);
    mem_free(re->in_set);
    mem_free(re->known);
    mem_free(re->ways);
    mem_free(re->made);
    mem_free(re->lists);
    mem_free(re->parts);
    mem_free(re->work);
    mem_free(re);
    *pointer = NULL;
}

bt_status regex_status(const Regex *re, bt_error *err)
{
    return re->status == BT_OK ? BT_OK : bt_fail(err, re->status, "%s", re->why.text);
}

uint64_t regex_work(const Regex *re)
{
    return re->done;
}

static int by_low(const void *left, const void *right)
{
    const RegexRange *a = left, *b = right;
    return a->low < b->low ? -1 : a->low > b->low;
}

uint32_t ranges_tidy(RegexRange *r, uint32_t n)
{
    uint32_t kept = 0;
    if (n == 0) return 0;
    qsort(r, n, sizeof *r, by_low);
    for (uint32_t i = 1; i < n; i++) {
        if (r[i].low <= r[kept].high + 1) {
            if (r[i].high > r[kept].high) r[kept].high = r[i].high;
        } else {
            r[++kept] = r[i];
        }
    }
    return kept + 1;
}

RegexTerm term_class(Regex *re, RegexRange *ranges, uint32_t n)
{
    n = ranges_tidy(ranges, n);
    if (n == 0) return REGEX_NOTHING;
    for (uint32_t i = 0; i < re->n_sets; i++)
        if (re->sets[i].n == n &&
            memcmp(re->ranges + re->sets[i].first, ranges, n * sizeof *ranges) == 0)
            return intern(re, (Term){.kind = TERM_CLASS, .a = i});
    if (re->n_sets >= MAX_CLASSES) term_fail(re, BT_E_LIMIT, "too many character classes");
    if (!term_room(re, &re->sets, re->n_sets, 1, &re->set_capacity, sizeof *re->sets) ||
        !term_room(re, &re->ranges, re->n_ranges, n, &re->range_capacity, sizeof *re->ranges))
        return REGEX_NOTHING;
    memcpy(re->ranges + re->n_ranges, ranges, n * sizeof *ranges);
    re->sets[re->n_sets] = (TermSet){re->n_ranges, n};
    re->n_ranges += n;
    return intern(re, (Term){.kind = TERM_CLASS, .a = re->n_sets++});
}

/* Right-leaning always: (a b) c is written a (b c). */
RegexTerm term_cat(Regex *re, RegexTerm a, RegexTerm b)
{
    if (a == REGEX_NOTHING || b == REGEX_NOTHING) return REGEX_NOTHING;
    if (a == REGEX_EMPTY) return b;
    if (b == REGEX_EMPTY) return a;
    if (a == REGEX_ALL && b == REGEX_ALL) return a;
    uint32_t n = 0;
    for (; re->terms[a].kind == TERM_CAT; a = re->terms[a].b) {
        if (!term_room(re, &re->scratch, n, 2, &re->scratch_capacity, sizeof *re->scratch))
            return REGEX_NOTHING;
        re->scratch[n++] = re->terms[a].a;
    }
    for (;;) {
        bool nullable = re->terms[a].nullable && re->terms[b].nullable;
        b = intern(re, (Term){.kind = TERM_CAT, .nullable = nullable, .a = a, .b = b});
        if (n == 0) return b;
        a = re->scratch[--n];
    }
}

static int by_number(const void *left, const void *right)
{
    const uint32_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

static void sort_numbers(uint32_t *list, uint32_t n)
{
    if (n > 16) {
        qsort(list, n, sizeof *list, by_number);
        return;
    }
    for (uint32_t i = 1; i < n; i++) {
        uint32_t x = list[i], k = i;
        for (; k && list[k - 1] > x; k--) list[k] = list[k - 1];
        list[k] = x;
    }
}

/* Counts work; false when it has become too much. */
static bool term_work(Regex *re, uint32_t n)
{
    re->done += n;
    if (re->done > MAX_WORK) term_fail(re, BT_E_LIMIT, "the regular expression is too large");
    return re->status == BT_OK;
}

/* The unit changes nothing, the zero decides everything. */
static RegexTerm join(Regex *re, TermKind kind, const RegexTerm *terms, uint32_t n)
{
    RegexTerm unit = kind == TERM_ALT ? REGEX_NOTHING : REGEX_ALL;
    RegexTerm zero = kind == TERM_ALT ? REGEX_ALL : REGEX_NOTHING;
    uint32_t first = re->n_list, size = 0;
    for (uint32_t i = 0; i < n; i++) {
        Term t = re->terms[terms[i]]; /* NOLINT(*-core.uninitialized.ArraySubscript): n are given */
        bool flat = t.kind == kind;
        uint32_t more = flat ? t.b : 1;
        if (terms[i] == zero) return zero;
        if (terms[i] == unit) continue;
        if (!term_room(re, &re->list, first, size + more, &re->list_capacity, sizeof *re->list))
            return REGEX_NOTHING;
        if (flat)
            memmove(re->list + first + size, re->list + t.a, more * sizeof *re->list);
        else
            re->list[first + size] = terms[i];
        size += more;
    }
    if (size == 0) return unit;
    uint32_t *list = re->list + first, kept = 1;
    if (!term_work(re, size)) return REGEX_NOTHING;
    sort_numbers(list, size);
    for (uint32_t i = 1; i < size; i++)
        if (list[i] != list[kept - 1]) list[kept++] = list[i];
    if (kept == 1) return list[0];
    Term made = {.kind = (uint8_t)kind, .a = first, .b = kept, .nullable = kind == TERM_AND};
    for (uint32_t i = 0; i < kept; i++) {
        bool nullable = re->terms[list[i]].nullable;
        made.nullable = kind == TERM_AND ? made.nullable && nullable : made.nullable || nullable;
    }
    uint32_t before = re->n_terms;
    RegexTerm term = intern(re, made);
    if (re->n_terms > before) re->n_list += kept;
    return term;
}

RegexTerm term_alt(Regex *re, const RegexTerm *terms, uint32_t n)
{
    return join(re, TERM_ALT, terms, n);
}

RegexTerm term_and(Regex *re, const RegexTerm *terms, uint32_t n)
{
    return join(re, TERM_AND, terms, n);
}

RegexTerm term_not(Regex *re, RegexTerm a)
{
    Term t = re->terms[a];
    if (a == REGEX_NOTHING) return REGEX_ALL;
    if (a == REGEX_ALL) return REGEX_NOTHING;
    if (t.kind == TERM_NOT) return t.a;
    return intern(re, (Term){.kind = TERM_NOT, .nullable = !t.nullable, .a = a});
}

RegexTerm term_repeat(Regex *re, RegexTerm a, uint32_t least, uint32_t most)
{
    Term t = re->terms[a];
    if (most == 0 || a == REGEX_EMPTY) return REGEX_EMPTY;
    if (a == REGEX_NOTHING) return least == 0 ? REGEX_EMPTY : REGEX_NOTHING;
    if (least == 1 && most == 1) return a;
    if (t.nullable) least = 0;
    if (a == REGEX_ALL || (t.kind == TERM_REPEAT && t.least == 0 && t.most == REGEX_NO_LIMIT))
        return a;
    return intern(
        re,
        (Term){.kind = TERM_REPEAT, .nullable = least == 0, .a = a, .least = least, .most = most});
}

/* ---- classes of characters ------------------------------------------------------ */

static bool find_cuts(Regex *re)
{
    uint32_t n = 2 * re->n_ranges + 7, kept = 0;
    uint32_t *cuts = re->cuts = mem_alloc(n * sizeof *cuts);
    if (!cuts) return false;
    n = 0;
    cuts[n++] = 0;
    cuts[n++] = 1; /* NUL is no part of a text */
    cuts[n++] = 0xD800;
    cuts[n++] = 0xE000;
    cuts[n++] = REGEX_BEGIN;
    cuts[n++] = REGEX_END;
    for (uint32_t i = 0; i < re->n_ranges; i++) {
        cuts[n++] = re->ranges[i].low;
        if (re->ranges[i].high + 1 < REGEX_LIMIT) cuts[n++] = re->ranges[i].high + 1;
    }
    qsort(cuts, n, sizeof *cuts, by_number);
    for (uint32_t i = 1; i < n; i++)
        if (cuts[i] != cuts[kept]) cuts[++kept] = cuts[i];
    re->n_cuts = kept + 1;
    return true;
}

/* Pieces between cuts that lie in the same sets get the same class, found by a hash of the sets
 * (64 bits of two independent sums: classes are told apart wrongly never in practice, and a clash
 * would only join two classes of one pattern). The marks and what no text holds stay apart. */
static bool find_classes(Regex *re)
{
    uint64_t *sums = mem_zalloc(re->n_cuts, sizeof *sums);
    uint64_t *known = mem_alloc(MAX_CLASSES * sizeof *known);
    bool good = sums && known;
    re->class_at = mem_alloc(re->n_cuts * sizeof *re->class_at);
    if (!re->class_at) good = false;
    for (uint32_t s = 0; good && s < re->n_sets; s++) {
        uint64_t mark = hash_bytes(&s, sizeof s, 99);
        uint32_t i = 0;
        for (uint32_t r = re->sets[s].first; r < re->sets[s].first + re->sets[s].n; r++) {
            while (i < re->n_cuts && re->cuts[i] < re->ranges[r].low) i++;
            for (; i < re->n_cuts && re->cuts[i] <= re->ranges[r].high; i++) sums[i] += mark;
        }
    }
    for (uint32_t i = 0; good && i < re->n_cuts; i++) {
        uint32_t c = re->cuts[i], k = 0;
        if (c == REGEX_BEGIN) sums[i] = 1;
        if (c == REGEX_END) sums[i] = 2;
        if (c == 0 || (c >= 0xD800 && c < 0xE000)) sums[i] = 3;
        while (k < re->n_classes && known[k] != sums[i]) k++;
        if (k == MAX_CLASSES) {
            term_fail(re, BT_E_LIMIT, "the regular expression has too many character classes");
            good = false;
            break;
        }
        if (k == re->n_classes) known[re->n_classes++] = sums[i];
        re->class_at[i] = k;
    }
    mem_free(sums);
    mem_free(known);
    return good;
}

bool term_freeze(Regex *re)
{
    if (re->status != BT_OK) return false;
    if (re->frozen) return true;
    re->frozen = true;
    if (find_cuts(re) && find_classes(re)) {
        re->in_set = mem_zalloc((size_t)re->n_sets + 1, re->n_classes);
        for (uint32_t s = 0; re->in_set && s < re->n_sets; s++) {
            uint32_t i = 0;
            for (uint32_t r = re->sets[s].first; r < re->sets[s].first + re->sets[s].n; r++) {
                while (i < re->n_cuts && re->cuts[i] < re->ranges[r].low) i++;
                for (; i < re->n_cuts && re->cuts[i] <= re->ranges[r].high; i++)
                    re->in_set[(size_t)s * re->n_classes + re->class_at[i]] = 1;
            }
        }
    }
    if (!re->in_set) term_fail(re, BT_E_MEMORY, "not enough memory for a regular expression");
    return re->status == BT_OK;
}

uint32_t term_class_of(const Regex *re, uint32_t c)
{
    uint32_t low = 0, high = re->n_cuts;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (re->cuts[middle] <= c)
            low = middle;
        else
            high = middle;
    }
    return re->class_at[low];
}

/* ---- derivatives ------------------------------------------------------------------ */

/* The i-th term whose ways are needed for those of t; REGEX_NONE past the last. */
static RegexTerm needed(const Regex *re, const Term *t, uint32_t i)
{
    switch (t->kind) {
    case TERM_CAT:
        if (i == 0) return t->a;
        return i == 1 && re->terms[t->a].nullable ? t->b : REGEX_NONE;
    case TERM_ALT:
    case TERM_AND: return i < t->b ? re->list[t->a + i] : REGEX_NONE;
    case TERM_NOT:
    case TERM_REPEAT: return i == 0 ? t->a : REGEX_NONE;
    default: return REGEX_NONE;
    }
}

static bool add_way(Regex *re, uint32_t class, RegexTerm to)
{
    if (!term_room(re, &re->made, re->n_made, 1, &re->made_capacity, sizeof *re->made))
        return false;
    re->made[re->n_made++] = (TermWay){class, to};
    return true;
}

static int by_class(const void *left, const void *right)
{
    const TermWay *a = left, *b = right;
    return a->class != b->class ? (a->class < b->class ? -1 : 1)
                                : (a->to > b->to) - (a->to < b->to);
}

static void sort_ways(TermWay *ways, uint32_t n)
{
    if (n > 24) {
        qsort(ways, n, sizeof *ways, by_class);
        return;
    }
    for (uint32_t i = 1; i < n; i++) {
        TermWay x = ways[i];
        uint32_t k = i;
        for (; k && by_class(&ways[k - 1], &x) > 0; k--) ways[k] = ways[k - 1];
        ways[k] = x;
    }
}

/* The classes of a set lead to the empty text, or where they are most, the others to nothing. */
static RegexTerm class_ways(Regex *re, Term t)
{
    const uint8_t *in = re->in_set + (size_t)t.a * re->n_classes;
    uint32_t n = 0;
    for (uint32_t c = 0; c < re->n_classes; c++) n += in[c];
    bool most = n > re->n_classes / 2;
    for (uint32_t c = 0; c < re->n_classes; c++)
        if (in[c] != most) add_way(re, c, most ? REGEX_NOTHING : REGEX_EMPTY);
    return most ? REGEX_EMPTY : REGEX_NOTHING;
}

/* Every way of `of`, made into another term: `negated`, or with `rest` behind. */
static RegexTerm mapped_ways(Regex *re, RegexTerm of, bool negated, RegexTerm rest)
{
    TermWays w = re->known[of];
    for (uint32_t i = 0; i < w.n && re->status == BT_OK; i++) {
        TermWay way = re->ways[w.first + i];
        add_way(re, way.class, negated ? term_not(re, way.to) : term_cat(re, way.to, rest));
    }
    return negated ? term_not(re, w.other) : term_cat(re, w.other, rest);
}

/* One way for each class that any of the lists names; what the others say of it counts too, but for
 * `unit`, which changes nothing. */
static RegexTerm joined_ways(Regex *re, TermKind kind, uint32_t n)
{
    RegexTerm unit = kind == TERM_ALT ? REGEX_NOTHING : REGEX_ALL;
    uint32_t kept = 0, end, special = 0;
    re->n_made = 0;
    if (!term_room(re, &re->parts, 0, n + 1, &re->part_capacity, sizeof *re->parts))
        return REGEX_NOTHING;
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t i = 0; i < re->lists[k].n; i++) {
            TermWay way = re->ways[re->lists[k].first + i];
            if (!add_way(re, way.class, way.to)) return REGEX_NOTHING;
        }
    for (uint32_t k = 0; k < n; k++) re->parts[k] = re->lists[k].other;
    RegexTerm other = join(re, kind, re->parts, n);
    for (uint32_t k = 0; k < n; k++)
        if (re->lists[k].other != unit) re->lists[special++] = re->lists[k];
    if (!term_work(re, re->n_made + n)) return REGEX_NOTHING;
    sort_ways(re->made, re->n_made);
    for (uint32_t i = 0; i < re->n_made && re->status == BT_OK; i = end) {
        uint32_t class = re->made[i].class, parts = 0;
        for (end = i; end < re->n_made && re->made[end].class == class; end++)
            re->parts[parts++] = re->made[end].to;
        for (uint32_t k = 0; k < special; k++) { /* a list's ways are passed as classes are */
            TermWays *w = &re->lists[k];
            if (w->n && re->ways[w->first].class == class)
                w->first++, w->n--;
            else
                re->parts[parts++] = w->other;
        }
        RegexTerm to = parts == 1 ? re->parts[0] : join(re, kind, re->parts, parts);
        re->made[kept++] = (TermWay){class, to};
    }
    re->n_made = kept;
    return other;
}

/* Moves what was made to `ways`, without what `other` says too. */
static TermWays keep_made(Regex *re, RegexTerm other)
{
    TermWays w = {.first = re->n_ways, .other = other, .known = true};
    if (!term_room(re, &re->ways, re->n_ways, re->n_made, &re->way_capacity, sizeof *re->ways))
        return (TermWays){0};
    for (uint32_t i = 0; i < re->n_made; i++)
        if (re->made[i].to != other) re->ways[re->n_ways++] = re->made[i];
    w.n = re->n_ways - w.first;
    re->n_made = 0;
    return w;
}

/* All that is needed is known. */
static TermWays combine(Regex *re, RegexTerm term)
{
    Term t = re->terms[term];
    RegexTerm other = REGEX_NOTHING;
    re->n_made = 0;
    switch (t.kind) {
    case TERM_ALL: other = REGEX_ALL; break;
    case TERM_CLASS: other = class_ways(re, t); break;
    case TERM_NOT: other = mapped_ways(re, t.a, true, REGEX_EMPTY); break;
    case TERM_REPEAT: {
        uint32_t least = t.least ? t.least - 1 : 0;
        uint32_t most = t.most == REGEX_NO_LIMIT ? t.most : t.most - 1;
        other = mapped_ways(re, t.a, false, term_repeat(re, t.a, least, most));
        break;
    }
    case TERM_CAT:
        other = mapped_ways(re, t.a, false, t.b);
        if (!re->terms[t.a].nullable) break;
        if (!term_room(re, &re->lists, 0, 2, &re->list_room, sizeof *re->lists)) break;
        re->lists[0] = keep_made(re, other);
        re->lists[1] = re->known[t.b];
        other = joined_ways(re, TERM_ALT, 2);
        break;
    case TERM_ALT:
    case TERM_AND:
        if (!term_room(re, &re->lists, 0, t.b, &re->list_room, sizeof *re->lists)) break;
        for (uint32_t i = 0; i < t.b; i++) re->lists[i] = re->known[re->list[t.a + i]];
        other = joined_ways(re, t.kind, t.b);
        break;
    default: break;
    }
    if (!term_work(re, 1 + re->n_made)) return (TermWays){0};
    return keep_made(re, other);
}

static bool is_known(Regex *re, RegexTerm term)
{
    uint32_t old = re->known_capacity;
    if (term >= old) {
        if (!term_room(re, &re->known, term, 1, &re->known_capacity, sizeof *re->known))
            return false;
        memset(re->known + old, 0, (re->known_capacity - old) * sizeof *re->known);
    }
    return re->known[term].known;
}

static bool push(Regex *re, RegexTerm term)
{
    if (!term_room(re, &re->work, re->n_work, 1, &re->work_capacity, sizeof *re->work))
        return false;
    re->work[re->n_work++] = (RegexWork){.term = term};
    return true;
}

TermWays term_ways(Regex *re, RegexTerm term)
{
    const TermWays none = {0};
    if (!term_freeze(re)) return none;
    if (is_known(re, term)) return re->known[term];
    re->n_work = 0;
    if (!push(re, term)) return none;
    while (re->n_work && re->status == BT_OK) {
        RegexWork *w = &re->work[re->n_work - 1];
        RegexTerm of = w->term, next = needed(re, &re->terms[of], w->next);
        if (next != REGEX_NONE) {
            w->next++;
            if (!is_known(re, next) && !push(re, next)) return none;
            continue;
        }
        TermWays ways = combine(re, of);
        if (re->status == BT_OK && !is_known(re, of)) re->known[of] = ways;
        re->n_work--;
    }
    return re->status == BT_OK ? re->known[term] : none;
}

RegexTerm term_derive(Regex *re, RegexTerm term, uint32_t class)
{
    TermWays w = term_ways(re, term);
    uint32_t low = 0, high = w.n;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (re->ways[w.first + middle].class < class)
            low = middle + 1;
        else
            high = middle;
    }
    bool listed = low < w.n && re->ways[w.first + low].class == class;
    return listed ? re->ways[w.first + low].to : w.other;
}
