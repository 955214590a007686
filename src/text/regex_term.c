/* Making terms and deriving them (see regex_term.h). Terms are kept in a normal form (lists sorted
 * and flat, units dropped) and each is stored once: that is what makes the derivatives of a term
 * finitely many (Brzozowski 1964; Owens, Reppy and Turon 2009). */
#include "text/regex_term.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

enum { MAX_TERMS = 1 << 17, MAX_LIST = 1 << 21, MAX_CLASSES = 4096, MAX_MEMO = 1 << 20 };

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
    uint32_t key[] = {t->kind, t->a, t->b, t->least, t->most};
    if (t->kind == TERM_ALT || t->kind == TERM_AND)
        return hash_bytes(re->list + t->a, t->b * sizeof *re->list, t->kind);
    return hash_bytes(key, sizeof key, 11);
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
    mem_free(re->memo_keys);
    mem_free(re->memo_terms);
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
    return re->n_memo + re->n_list;
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

/* `unit` changes nothing, `zero` decides everything. */
static RegexTerm join(Regex *re, TermKind kind, const RegexTerm *terms, uint32_t n, RegexTerm unit,
                      RegexTerm zero)
{
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
    qsort(list, size, sizeof *list, by_number);
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
    return join(re, TERM_ALT, terms, n, REGEX_NOTHING, REGEX_ALL);
}

RegexTerm term_and(Regex *re, const RegexTerm *terms, uint32_t n)
{
    return join(re, TERM_AND, terms, n, REGEX_ALL, REGEX_NOTHING);
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

static uint32_t memo_slot(const Regex *re, uint64_t key)
{
    uint32_t at = (uint32_t)((key * 0x9E3779B97F4A7C15u) >> 32) & re->memo_mask;
    while (re->memo_keys[at] && re->memo_keys[at] != key) at = (at + 1) & re->memo_mask;
    return at;
}

static bool grow_memo(Regex *re)
{
    if (re->n_memo * 2 < re->memo_mask) return true;
    if (re->memo_mask >= MAX_MEMO)
        return term_fail(re, BT_E_LIMIT, "the regular expression is too large"), false;
    uint32_t old = re->memo_mask ? re->memo_mask + 1 : 0, size = old ? old * 2 : 1024;
    uint64_t *old_keys = re->memo_keys, *keys = mem_zalloc(size, sizeof *keys);
    uint32_t *old_terms = re->memo_terms, *terms = mem_zalloc(size, sizeof *terms);
    if (!keys || !terms) {
        mem_free(keys);
        mem_free(terms);
        return term_fail(re, BT_E_MEMORY, "not enough memory for a regular expression"), false;
    }
    re->memo_keys = keys;
    re->memo_terms = terms;
    re->memo_mask = size - 1;
    for (uint32_t i = 0; i < old; i++) {
        if (!old_keys[i]) continue;
        uint32_t at = memo_slot(re, old_keys[i]);
        keys[at] = old_keys[i];
        terms[at] = old_terms[i];
    }
    mem_free(old_keys);
    mem_free(old_terms);
    return true;
}

static bool remember(Regex *re, uint64_t key, RegexTerm value)
{
    if (!grow_memo(re)) return false;
    uint32_t at = memo_slot(re, key);
    if (!re->memo_keys[at]) re->n_memo++;
    re->memo_keys[at] = key;
    re->memo_terms[at] = value;
    return true;
}

static bool recall(const Regex *re, uint64_t key, RegexTerm *out)
{
    if (!re->memo_mask) return false;
    uint32_t at = memo_slot(re, key);
    *out = re->memo_terms[at];
    return re->memo_keys[at] != 0;
}

static bool push(Regex *re, RegexTerm term)
{
    if (!term_room(re, &re->work, re->n_work, 1, &re->work_capacity, sizeof *re->work))
        return false;
    re->work[re->n_work++] = (RegexWork){.a = term};
    return true;
}

/* The i-th term whose derivative is needed for that of t; REGEX_NONE past the last. */
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

static RegexTerm of_list(Regex *re, Term t, uint32_t class)
{
    uint32_t *derived = mem_alloc(t.b * sizeof *derived);
    RegexTerm result = REGEX_NOTHING;
    if (!derived) return term_fail(re, BT_E_MEMORY, "not enough memory"), REGEX_NOTHING;
    for (uint32_t i = 0; i < t.b; i++)
        recall(re, ((uint64_t)re->list[t.a + i] << 13 | class) + 1, &derived[i]);
    result = t.kind == TERM_ALT ? term_alt(re, derived, t.b) : term_and(re, derived, t.b);
    mem_free(derived);
    return result;
}

/* All that is needed is known. */
static RegexTerm combine(Regex *re, RegexTerm term, uint32_t class)
{
    Term t = re->terms[term];
    RegexTerm a = REGEX_NOTHING, pair[2];
    if (t.kind == TERM_CAT || t.kind == TERM_NOT || t.kind == TERM_REPEAT)
        recall(re, ((uint64_t)t.a << 13 | class) + 1, &a);
    switch (t.kind) {
    case TERM_ALL: return REGEX_ALL;
    case TERM_CLASS:
        return re->in_set[(size_t)t.a * re->n_classes + class] ? REGEX_EMPTY : REGEX_NOTHING;
    case TERM_CAT:
        pair[0] = term_cat(re, a, t.b);
        if (!re->terms[t.a].nullable) return pair[0];
        recall(re, ((uint64_t)t.b << 13 | class) + 1, &pair[1]);
        return term_alt(re, pair, 2);
    case TERM_ALT:
    case TERM_AND: return of_list(re, t, class);
    case TERM_NOT: return term_not(re, a);
    case TERM_REPEAT: {
        uint32_t least = t.least ? t.least - 1 : 0;
        uint32_t most = t.most == REGEX_NO_LIMIT ? t.most : t.most - 1;
        return term_cat(re, a, term_repeat(re, t.a, least, most));
    }
    default: return REGEX_NOTHING;
    }
}

RegexTerm term_derive(Regex *re, RegexTerm term, uint32_t class)
{
    RegexTerm known = REGEX_NOTHING;
    if (!term_freeze(re)) return REGEX_NOTHING;
    if (recall(re, ((uint64_t)term << 13 | class) + 1, &known)) return known;
    re->n_work = 0;
    if (!push(re, term)) return REGEX_NOTHING;
    while (re->n_work && re->status == BT_OK) {
        RegexWork *w = &re->work[re->n_work - 1];
        RegexTerm of = w->a, next = needed(re, &re->terms[of], w->b);
        if (next != REGEX_NONE) {
            w->b++;
            if (!recall(re, ((uint64_t)next << 13 | class) + 1, &known) && !push(re, next))
                return REGEX_NOTHING;
            continue;
        }
        known = combine(re, of, class);
        if (!remember(re, ((uint64_t)of << 13 | class) + 1, known)) return REGEX_NOTHING;
        re->n_work--;
    }
    return re->status == BT_OK ? known : REGEX_NOTHING;
}
