/* Numbers (see schema_parts.h). Without bounds they have at most 18 digits before the point, 17
 * after and an exponent of two, which every program reads. With bounds they are decimals, held to
 * the bounds exactly: an automaton that compares digit by digit with both. Their digits are at most
 * 15 (or what the bounds themselves have), so that no two of them are the same double. */
#include <string.h>

#include "base/mem.h"
#include "text/schema_parts.h"

enum { MOST_DIGITS = 48, FREE_INTEGER = 18, FREE_FRACTION = 17, EXACT = 15 };

/* 0.d1 d2 d3 ... x 10^point, no zero first or last; zero has no digits. */
typedef struct Decimal {
    bool negative;
    int n, point;
    unsigned char digit[MOST_DIGITS];
} Decimal;

/* A number as JSON writes it. False: more digits than are held, or an exponent past 400. */
static bool decimal_read(Span text, Decimal *out)
{
    size_t i = 0;
    int point = 0, exponent = 0, sign = 1;
    bool seen_point = false;
    *out = (Decimal){0};
    if (i < text.size && text.data[i] == '-') out->negative = true, i++;
    for (; i < text.size && text.data[i] != 'e' && text.data[i] != 'E'; i++) {
        unsigned d = (unsigned)(text.data[i] - '0');
        if (text.data[i] == '.') {
            seen_point = true;
            continue;
        }
        if (!seen_point && (out->n || d)) point++;
        if (seen_point && !out->n && !d) point--;
        if (!out->n && !d) continue;
        if (out->n == MOST_DIGITS && d) return false;
        if (out->n < MOST_DIGITS) out->digit[out->n++] = (unsigned char)d;
    }
    if (i < text.size) {
        i++;
        if (i < text.size && (text.data[i] == '+' || text.data[i] == '-'))
            sign = text.data[i++] == '-' ? -1 : 1;
        for (; i < text.size; i++) {
            exponent = exponent * 10 + (text.data[i] - '0');
            if (exponent > 400) return false;
        }
    }
    while (out->n && !out->digit[out->n - 1]) out->n--;
    out->point = point + sign * exponent;
    if (!out->n) *out = (Decimal){0};
    return out->point > -400 && out->point < 800;
}

static int compare_size(const Decimal *a, const Decimal *b)
{
    if (!a->n || !b->n) return (a->n > 0) - (b->n > 0);
    if (a->point != b->point) return a->point < b->point ? -1 : 1;
    for (int i = 0; i < MOST_DIGITS; i++) {
        int x = i < a->n ? a->digit[i] : 0, y = i < b->n ? b->digit[i] : 0;
        if (x != y) return x < y ? -1 : 1;
    }
    return 0;
}

static int compare(const Decimal *a, const Decimal *b)
{
    bool minus_a = a->negative && a->n, minus_b = b->negative && b->n;
    if (minus_a != minus_b) return minus_a ? -1 : 1;
    return minus_a ? compare_size(b, a) : compare_size(a, b);
}

int schema_number_compare(Span a, Span b)
{
    Decimal x, y;
    if (!decimal_read(a, &x) || !decimal_read(b, &y)) return 2;
    return compare(&x, &y);
}

bool schema_number_exact(Span number)
{
    Decimal at;
    return decimal_read(number, &at) && at.n <= EXACT;
}

/* ---- bounds ----------------------------------------------------------------------------- */

typedef struct Bound {
    bool there, strict; /* strict: itself excluded */
    Decimal at;
} Bound;

typedef struct Bounds {
    Bound low, high;
} Bounds;

/* Takes the bound if it is narrower than what there is. */
static bool narrow(Schema *s, uint32_t node, const char *word, bool strict, bool upper, Bound *b)
{
    Decimal at;
    uint32_t value = schema_get(s, node, word);
    if (!value || s->tree.nodes[value].kind != JSON_KIND_NUMBER) return true;
    if (!decimal_read(s->tree.nodes[value].text, &at))
        return schema_fail(s, node, BT_E_LIMIT, "'%s' has more than %d digits or a huge exponent",
                           word, MOST_DIGITS);
    int order = b->there ? compare(&at, &b->at) : 0;
    if (upper) order = -order;
    if (!b->there || order > 0 || (order == 0 && strict)) *b = (Bound){true, strict, at};
    return true;
}

/* Draft 4: exclusiveMinimum true makes `minimum` strict. */
static bool said_strict(const Schema *s, uint32_t node, const char *word)
{
    uint32_t value = schema_get(s, node, word);
    return value && s->tree.nodes[value].kind == JSON_KIND_TRUE;
}

static bool read_bounds(Schema *s, const AtomList *set, Bounds *out)
{
    *out = (Bounds){0};
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t node = atom_node(set->atoms[i]);
        if (!narrow(s, node, "minimum", said_strict(s, node, "exclusiveMinimum"), false,
                    &out->low) ||
            !narrow(s, node, "maximum", said_strict(s, node, "exclusiveMaximum"), true,
                    &out->high) ||
            !narrow(s, node, "exclusiveMinimum", true, false, &out->low) ||
            !narrow(s, node, "exclusiveMaximum", true, true, &out->high))
            return false;
    }
    return true;
}

static bool within(const Bounds *b, const Decimal *at)
{
    int low = b->low.there ? compare(at, &b->low.at) : 1;
    int high = b->high.there ? compare(at, &b->high.at) : -1;
    return (low > 0 || (low == 0 && !b->low.strict)) &&
           (high < 0 || (high == 0 && !b->high.strict));
}

bool schema_number_fits(Schema *s, const AtomList *set, Span number, bool *integer)
{
    Decimal at;
    Bounds bounds;
    *integer = false;
    if (!read_bounds(s, set, &bounds)) return false;
    if (!decimal_read(number, &at)) return !bounds.low.there && !bounds.high.there;
    *integer = at.n <= at.point || !at.n;
    return within(&bounds, &at);
}

bool schema_no_number(Schema *s, const AtomList *set)
{
    Decimal number;
    Bounds b;
    uint32_t node;
    bool alone;
    if (!read_bounds(s, set, &b)) return false;
    int order = b.low.there && b.high.there ? compare(&b.low.at, &b.high.at) : -1;
    if (order > 0 || (order == 0 && (b.low.strict || b.high.strict))) return true;
    if (!schema_values_of(s, set, &node)) return false;
    for (uint32_t at = schema_first_value(s, node, &alone); at;
         at = alone ? 0 : s->tree.nodes[at].next)
        if (s->tree.nodes[at].kind == JSON_KIND_NUMBER &&
            (!decimal_read(s->tree.nodes[at].text, &number) || within(&b, &number)))
            return false;
    return true;
}

/* ---- the automaton of magnitudes ----------------------------------------------------------- */

/* A bound as digits before and after the point. */
typedef struct Digits {
    bool there, strict;
    int whole, part; /* how many before (at least 1) and after */
    const Decimal *at;
} Digits;

static int digit_of(const Digits *d, int place) /* 0: first before the point */
{
    int i = place - (d->whole - d->at->point);
    return i >= 0 && i < d->at->n ? d->at->digit[i] : 0;
}

/* Where the number stands: digits before the point (0 with `zero`: a lone 0), the point, digits
 * after; and how what was read compares with each bound, taken over as many digits. */
typedef struct Place {
    int whole;     /* digits read before the point */
    bool zero;     /* it is a lone 0 */
    int part;      /* -1: no point; else digits after it */
    int low, high; /* -1, 0, 1 */
    bool broken;   /* a digit after the point is not 0: no integer */
} Place;

typedef struct Magnitude {
    GrammarBuilder *b;
    Digits low, high;
    int most_whole, most_part, most_all;
    bool fraction, broken_needed;
    uint32_t *states; /* of a place, 0: not made */
    uint32_t from, to;
} Magnitude;

static size_t place_index(const Magnitude *m, Place p)
{
    size_t at = (size_t)(p.zero ? 0 : p.whole);
    at = at * (size_t)(m->most_part + 2) + (size_t)(p.part + 1);
    at = (at * 3 + (size_t)(p.low + 1)) * 3 + (size_t)(p.high + 1);
    return at * 2 + p.broken;
}

static Place place_of(const Magnitude *m, size_t index)
{
    Place p = {.broken = index % 2};
    index /= 2;
    p.high = (int)(index % 3) - 1;
    p.low = (int)(index / 3 % 3) - 1;
    index /= 9;
    p.part = (int)(index % (size_t)(m->most_part + 2)) - 1;
    p.whole = (int)(index / (size_t)(m->most_part + 2));
    p.zero = p.whole == 0;
    if (p.zero) p.whole = 1;
    return p;
}

/* How the number compares once its digits before the point are all read. */
static int settled(const Digits *d, int whole, int order)
{
    if (!d->there) return 0;
    return whole != d->whole ? (whole < d->whole ? -1 : 1) : order;
}

static int advance(const Digits *d, int order, int place, int digit)
{
    if (!d->there || order) return order;
    int other = digit_of(d, place);
    return digit < other ? -1 : digit > other;
}

/* The number ends here and is within both bounds. */
static bool may_end(const Magnitude *m, Place p)
{
    if (p.part == 0 || (m->broken_needed && !p.broken)) return false;
    int low = p.part < 0 ? settled(&m->low, p.whole, p.low) : p.low;
    int high = p.part < 0 ? settled(&m->high, p.whole, p.high) : p.high;
    int parts = p.part < 0 ? 0 : p.part;
    if (m->low.there && low == 0 && parts < m->low.part) low = -1; /* digits of it are left */
    if (m->high.there && high == 0 && parts < m->high.part) high = -1;
    return (!m->low.there || low > 0 || (low == 0 && !m->low.strict)) &&
           (!m->high.there || high < 0 || (high == 0 && !m->high.strict));
}

static uint32_t state_at(Magnitude *m, Place p)
{
    uint32_t *state = &m->states[place_index(m, p)];
    if (!*state) *state = builder_state(m->b);
    return *state;
}

/* Adds the edges that leave a place. */
static void leave(Magnitude *m, Place p, uint32_t from)
{
    if (may_end(m, p)) builder_empty(m->b, from, m->to);
    if (p.part < 0 && m->fraction) {
        Place next = p;
        next.part = 0;
        next.low = settled(&m->low, p.whole, p.low);
        next.high = settled(&m->high, p.whole, p.high);
        builder_bytes(m->b, from, '.', '.', state_at(m, next));
    }
    bool whole = p.part < 0 && !p.zero && p.whole < m->most_whole;
    bool part = p.part >= 0 && p.part < m->most_part && p.whole + p.part < m->most_all;
    if (!whole && !part) return;
    for (int digit = 0; digit < 10; digit++) {
        Place next = p;
        if (whole) {
            next.low = p.whole < m->low.whole ? advance(&m->low, p.low, p.whole, digit) : p.low;
            next.high =
                p.whole < m->high.whole ? advance(&m->high, p.high, p.whole, digit) : p.high;
            next.whole++;
        } else {
            next.low = advance(&m->low, p.low, m->low.whole + p.part, digit);
            next.high = advance(&m->high, p.high, m->high.whole + p.part, digit);
            next.part++;
            next.broken = m->broken_needed && (p.broken || digit);
        }
        unsigned byte = (unsigned)('0' + digit);
        builder_bytes(m->b, from, byte, byte, state_at(m, next));
    }
}

static Digits digits_of(const Bound *bound, bool there)
{
    Digits d = {.there = there, .strict = bound->strict, .at = &bound->at};
    if (!there) return d;
    d.whole = bound->at.point > 0 ? bound->at.point : 1;
    d.part = bound->at.n - bound->at.point;
    if (d.part < 0 || !bound->at.n) d.part = 0;
    return d;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

/* Magnitudes between the bounds, both of which are zero or more. */
static void magnitudes(Schema *s, const Bound *low, const Bound *high, bool whole_only,
                       bool broken_needed, uint32_t from, uint32_t to)
{
    Magnitude m = {.b = s->b, .fraction = !whole_only, .broken_needed = broken_needed, .to = to};
    m.low = digits_of(low, low->there);
    m.high = digits_of(high, high->there);
    m.most_whole = m.high.there ? m.high.whole : larger(FREE_INTEGER, m.low.whole + 1);
    m.most_part = whole_only ? 0 : larger(EXACT, larger(m.low.part, m.high.part) + 1);
    m.most_all = larger(EXACT + 1, m.most_part + 1);
    if (broken_needed) m.most_part = EXACT, m.most_all = EXACT + 1; /* none rounds to an integer */
    if (m.most_whole > MOST_DIGITS) m.most_whole = MOST_DIGITS;
    if (m.most_part > MOST_DIGITS) m.most_part = MOST_DIGITS;
    size_t n = (size_t)(m.most_whole + 1) * (size_t)(m.most_part + 2) * 18;
    m.states = mem_zalloc(n, sizeof *m.states);
    bool *done = mem_zalloc(n, sizeof *done);
    if (!m.states || !done) {
        schema_no_memory(s);
    } else {
        for (int digit = 0; digit < 10; digit++) {
            Place p = {.whole = 1, .zero = digit == 0, .part = -1};
            p.low = advance(&m.low, 0, 0, digit);
            p.high = advance(&m.high, 0, 0, digit);
            unsigned byte = (unsigned)('0' + digit);
            builder_bytes(m.b, from, byte, byte, state_at(&m, p));
        }
        for (bool more = true; more && !m.b->no_memory && !m.b->too_large;) {
            more = false;
            for (size_t i = 0; i < n; i++)
                if (m.states[i] && !done[i]) {
                    more = done[i] = true;
                    leave(&m, place_of(&m, i), m.states[i]);
                }
        }
    }
    mem_free(m.states);
    mem_free(done);
}

/* ---- numbers without bounds --------------------------------------------------------------------
 */

/* At most n more digits. */
static void some_digits(GrammarBuilder *b, uint32_t from, int n, uint32_t to)
{
    for (int i = 0; i < n; i++) {
        uint32_t next = builder_state(b);
        builder_empty(b, from, to);
        builder_bytes(b, from, '0', '9', next);
        from = next;
    }
    builder_empty(b, from, to);
}

static void free_integer(GrammarBuilder *b, uint32_t from, bool minus_zero, uint32_t to)
{
    uint32_t minus = builder_state(b), first = builder_state(b);
    builder_bytes(b, from, '-', '-', minus);
    builder_bytes(b, from, '1', '9', first);
    builder_bytes(b, minus, '1', '9', first);
    builder_bytes(b, from, '0', '0', to);
    if (minus_zero) builder_bytes(b, minus, '0', '0', to);
    some_digits(b, first, FREE_INTEGER - 1, to);
}

static void free_number(GrammarBuilder *b, uint32_t from, uint32_t to)
{
    uint32_t whole = builder_state(b), point = builder_state(b), digit = builder_state(b);
    uint32_t part = builder_state(b), e = builder_state(b), sign = builder_state(b);
    uint32_t exponent = builder_state(b);
    free_integer(b, from, true, whole);
    builder_empty(b, whole, part);
    builder_bytes(b, whole, '.', '.', point);
    builder_bytes(b, point, '0', '9', digit);
    some_digits(b, digit, FREE_FRACTION - 1, part);
    builder_empty(b, part, to);
    builder_bytes(b, part, 'e', 'e', e);
    builder_bytes(b, part, 'E', 'E', e);
    builder_empty(b, e, sign);
    builder_bytes(b, e, '+', '+', sign);
    builder_bytes(b, e, '-', '-', sign);
    builder_bytes(b, sign, '0', '9', exponent);
    builder_empty(b, exponent, to);
    builder_bytes(b, exponent, '0', '9', to);
}

static void call_free(Schema *s, bool integer, uint32_t from, uint32_t to)
{
    GrammarBuilder *b = s->b;
    bool fresh;
    uint32_t rule = builder_shared(b, integer ? SPAN("integer") : SPAN("number"), &fresh);
    if (fresh) {
        BuilderRule r = b->rules[rule];
        uint32_t inner = builder_state(b);
        builder_empty(b, inner, r.end);
        if (integer)
            free_integer(b, r.start, false, inner);
        else
            free_number(b, r.start, inner);
    }
    builder_call(b, from, rule, to);
}

/* ---- both signs -------------------------------------------------------------------------------
 */

void schema_number(Schema *s, const AtomList *set, unsigned types, uint32_t from, uint32_t to)
{
    Bounds bounds;
    bool whole_only = !(types & TYPE_FRACTION), broken_needed = !(types & TYPE_INTEGER);
    if (!read_bounds(s, set, &bounds)) return;
    Bound *low = &bounds.low, *high = &bounds.high;
    /* Past what is ever written a bound says nothing, or leaves nothing. */
    if (high->there && !high->at.negative && high->at.point > MOST_DIGITS - 2) high->there = false;
    if (low->there && low->at.negative && low->at.point > MOST_DIGITS - 2) low->there = false;
    if (!low->there && !high->there && !broken_needed) {
        call_free(s, whole_only, from, to);
        return;
    }
    if ((low->there && low->at.point > MOST_DIGITS - 2) ||
        (high->there && high->at.point > MOST_DIGITS - 2))
        return;
    const Bound zero = {.there = true}, above_zero = {.there = true, .strict = true};
    if (!(high->there && (high->at.negative || (!high->at.n && high->strict)))) {
        bool bounded = low->there && !low->at.negative;
        magnitudes(s, bounded ? low : &zero, high, whole_only, broken_needed, from, to);
    }
    if (low->there && (!low->at.negative || !low->at.n)) return;
    /* Below zero: the magnitude is between -high and -low. */
    uint32_t minus = builder_state(s->b);
    builder_bytes(s->b, from, '-', '-', minus);
    bool bounded = high->there && high->at.negative;
    magnitudes(s, bounded ? high : &above_zero, low, whole_only, broken_needed, minus, to);
}
