/* Lengths, lists of texts, matching, and the automaton (see regex.h). */
#include "text/regex.h"

#include <string.h>

#include "base/mem.h"
#include "text/regex_term.h"
#include "text/utf8.h"

static RegexTerm mark(Regex *re, uint32_t c)
{
    RegexRange r = {c, c};
    return term_class(re, &r, 1);
}

/* `inner` between the marks. */
static RegexTerm marked(Regex *re, RegexTerm inner)
{
    return term_cat(re, mark(re, REGEX_BEGIN), term_cat(re, inner, mark(re, REGEX_END)));
}

RegexTerm regex_length(Regex *re, uint32_t least, uint32_t most)
{
    RegexRange any[] = {{1, 0xD7FF}, {0xE000, 0x10FFFF}};
    if (least > most) return REGEX_NOTHING;
    return marked(re, term_repeat(re, term_class(re, any, 2), least, most));
}

RegexTerm regex_texts(Regex *re, const Span *texts, size_t n)
{
    RegexTerm *all = mem_alloc((n + 1) * sizeof *all);
    uint32_t *chars = NULL, capacity = 0;
    if (!all) return term_fail(re, BT_E_MEMORY, "not enough memory"), REGEX_NOTHING;
    for (size_t i = 0; i < n && re->status == BT_OK; i++) {
        uint32_t n_chars = 0;
        size_t step;
        RegexTerm term = REGEX_EMPTY;
        for (size_t k = 0; k < texts[i].size; k += step) {
            if (!term_room(re, &chars, n_chars, 1, &capacity, sizeof *chars)) break;
            chars[n_chars++] = utf8_next(texts[i].data + k, texts[i].size - k, &step);
        }
        while (n_chars--) term = term_cat(re, mark(re, chars[n_chars]), term);
        all[i] = marked(re, term);
    }
    RegexTerm term = re->status == BT_OK ? term_alt(re, all, (uint32_t)n) : REGEX_NOTHING;
    mem_free(all);
    mem_free(chars);
    return term;
}

RegexTerm regex_and(Regex *re, RegexTerm a, RegexTerm b)
{
    RegexTerm both[] = {a, b};
    return term_and(re, both, 2);
}

RegexTerm regex_not(Regex *re, RegexTerm a)
{
    return term_not(re, a);
}

bool regex_matches(Regex *re, RegexTerm term, Span text)
{
    size_t n;
    if (!term_freeze(re)) return false;
    term = term_derive(re, term, term_class_of(re, REGEX_BEGIN));
    for (size_t i = 0; i < text.size && term != REGEX_NOTHING; i += n)
        term =
            term_derive(re, term, term_class_of(re, utf8_next(text.data + i, text.size - i, &n)));
    term = term_derive(re, term, term_class_of(re, REGEX_END));
    return re->status == BT_OK && re->terms[term].nullable;
}

enum { MOST_STEPS = 1 << 21 };

/* ---- the automaton --------------------------------------------------------------- */

typedef struct Maker {
    Regex *re;
    RegexAutomaton *a;
    RegexTerm *term_of; /* of a state */
    uint32_t *state_of; /* of a term, + 1 */
    uint32_t state_capacity, term_capacity;
    uint32_t next_capacity, ends_capacity;
} Maker;

static uint32_t state_of(Maker *m, RegexTerm term)
{
    Regex *re = m->re;
    if (term == REGEX_NOTHING) return REGEX_NONE;
    uint32_t old = m->state_capacity;
    if (term >= old) {
        if (!term_room(re, &m->state_of, term, 1, &m->state_capacity, sizeof *m->state_of))
            return REGEX_NONE;
        memset(m->state_of + old, 0, (m->state_capacity - old) * sizeof *m->state_of);
    }
    if (m->state_of[term]) return m->state_of[term] - 1;
    uint32_t n = m->a->n_states, classes = re->n_classes;
    if (n >= REGEX_MAX_STATES || (uint64_t)n * classes > MOST_STEPS) {
        term_fail(re, BT_E_LIMIT, "patterns and lengths together need too large an automaton");
        return REGEX_NONE;
    }
    if (!term_room(re, &m->term_of, n, 1, &m->term_capacity, sizeof *m->term_of) ||
        !term_room(re, &m->a->next, n * classes, classes, &m->next_capacity, sizeof *m->a->next) ||
        !term_room(re, &m->a->ends, n, 1, &m->ends_capacity, sizeof *m->a->ends))
        return REGEX_NONE;
    m->term_of[n] = term;
    m->state_of[term] = n + 1;
    return m->a->n_states++;
}

static void make_states(Maker *m, RegexTerm start)
{
    Regex *re = m->re;
    uint32_t nul = term_class_of(re, 0), begin = term_class_of(re, REGEX_BEGIN);
    uint32_t end = term_class_of(re, REGEX_END);
    state_of(m, start);
    for (uint32_t s = 0; m->term_of && s < m->a->n_states && re->status == BT_OK; s++) {
        TermWays w = term_ways(re, m->term_of[s]);
        m->a->ends[s] = re->terms[term_derive(re, m->term_of[s], end)].nullable;
        uint32_t n = re->n_classes, listed = 3, to = REGEX_NONE; /* 3 are in no text */
        for (uint32_t i = 0; i < w.n; i++) {
            uint32_t c = re->ways[w.first + i].class;
            listed += c != nul && c != begin && c != end;
        }
        if (listed < n) to = state_of(m, w.other);
        for (uint32_t c = 0; c < n; c++) m->a->next[(size_t)s * n + c] = to;
        for (uint32_t i = 0; i < w.n; i++) {
            TermWay way = re->ways[w.first + i];
            bool in_text = way.class != nul && way.class != begin && way.class != end;
            to = in_text ? state_of(m, way.to) : REGEX_NONE;
            m->a->next[(size_t)s * n + way.class] = to;
        }
        m->a->next[(size_t)s * n + nul] = REGEX_NONE;
        m->a->next[(size_t)s * n + begin] = m->a->next[(size_t)s * n + end] = REGEX_NONE;
    }
}

/* Removes the ways to states from which the text cannot end: backwards from those where it can. */
static bool prune(Maker *m)
{
    RegexAutomaton *a = m->a;
    uint32_t n = a->n_states, classes = m->re->n_classes, n_work = 0;
    size_t n_edges = (size_t)n * classes;
    uint32_t *first = mem_zalloc((size_t)n + 2, sizeof *first);
    uint32_t *from = mem_alloc((n_edges + 1) * sizeof *from);
    uint32_t *work = mem_alloc(((size_t)n + 1) * sizeof *work);
    bool *live = mem_zalloc((size_t)n + 1, sizeof *live);
    bool good = first && from && work && live;
    if (good) {
        for (size_t i = 0; i < n_edges; i++)
            if (a->next[i] != REGEX_NONE) first[a->next[i] + 2]++;
        for (uint32_t s = 0; s < n; s++) first[s + 2] += first[s + 1];
        for (size_t i = 0; i < n_edges; i++)
            if (a->next[i] != REGEX_NONE) from[first[a->next[i] + 1]++] = (uint32_t)(i / classes);
        for (uint32_t s = 0; s < n; s++)
            if (a->ends[s]) live[work[n_work++] = s] = true;
        while (n_work) {
            uint32_t s = work[--n_work];
            for (uint32_t i = first[s]; i < first[s + 1]; i++)
                if (!live[from[i]]) live[work[n_work++] = from[i]] = true;
        }
        for (size_t i = 0; i < n_edges; i++)
            if (a->next[i] != REGEX_NONE && !live[a->next[i]]) a->next[i] = REGEX_NONE;
        if (n && !live[0]) a->n_states = 0;
    }
    mem_free(first);
    mem_free(from);
    mem_free(work);
    mem_free(live);
    return good;
}

static bool list_ranges(Regex *re, RegexAutomaton *a)
{
    a->ranges = mem_alloc((re->n_cuts + 1) * sizeof *a->ranges);
    a->class_of = mem_alloc((re->n_cuts + 1) * sizeof *a->class_of);
    if (!a->ranges || !a->class_of) return false;
    for (uint32_t i = 0; i < re->n_cuts; i++) {
        uint32_t low = re->cuts[i], high = i + 1 < re->n_cuts ? re->cuts[i + 1] : REGEX_LIMIT;
        if (low == 0 || low >= REGEX_BEGIN || (low >= 0xD800 && low < 0xE000)) continue;
        a->ranges[a->n_ranges] = (RegexRange){low, high - 1};
        a->class_of[a->n_ranges++] = re->class_at[i];
    }
    return true;
}

bt_status regex_automaton(Regex *re, RegexTerm term, RegexAutomaton *out, bt_error *err)
{
    Maker m = {.re = re, .a = out};
    *out = (RegexAutomaton){0};
    if (term_freeze(re)) {
        make_states(&m, term_derive(re, term, term_class_of(re, REGEX_BEGIN)));
        out->n_classes = re->n_classes;
        if (re->status == BT_OK && (!prune(&m) || !list_ranges(re, out)))
            term_fail(re, BT_E_MEMORY, "not enough memory for a regular expression");
    }
    mem_free(m.term_of);
    mem_free(m.state_of);
    if (re->status != BT_OK) regex_automaton_close(out);
    return regex_status(re, err);
}

void regex_automaton_close(RegexAutomaton *a)
{
    mem_free(a->next);
    mem_free(a->ends);
    mem_free(a->ranges);
    mem_free(a->class_of);
    *a = (RegexAutomaton){0};
}
