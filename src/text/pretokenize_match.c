/* The scanners of pretokenize_match.h. Each follows the alternatives of its expression in their
 * order; where an expression would back up over a run, the place it backs up to is kept while the
 * run is read, and runs of spaces and digits are found once and remembered: no scanner reads a
 * character more than a few times. */
#include "text/pretokenize_match.h"

#include <string.h>

size_t pre_run(const PreText *x, size_t at, unsigned classes, unsigned without)
{
    while (at < x->n) {
        PreChar c = pre_char(x, at);
        if (!(c.kind & classes) || (c.kind & without)) break;
        at += c.length;
    }
    return at;
}

size_t pre_run_max(const PreText *x, size_t at, unsigned classes, size_t most)
{
    for (size_t i = 0; i < most && at < x->n; i++) {
        PreChar c = pre_char(x, at);
        if (!(c.kind & classes)) break;
        at += c.length;
    }
    return at;
}

size_t pre_contraction(const PreText *x, size_t at, int contraction)
{
    static const char *const endings[] = {"s", "t", "re", "ve", "m", "ll", "d"};
    if (contraction == PRE_CONTRACT_NONE || at >= x->n || x->p[at] != '\'') return 0;
    const char *p = x->p + at + 1;
    size_t n = x->n - at - 1;
    int fold = contraction == PRE_CONTRACT_ANY_CASE ? 0x20 : 0;
    for (size_t k = 0; k < sizeof endings / sizeof *endings; k++) {
        const char *e = endings[k];
        size_t length = strlen(e);
        if (length > n) continue;
        size_t i = 0;
        while (i < length && (p[i] | (fold && p[i] >= 'A' && p[i] <= 'Z' ? fold : 0)) == e[i]) i++;
        if (i == length) return 1 + length;
    }
    /* LATIN SMALL LETTER LONG S folds to s. */
    if (fold && n >= 2 && p[0] == '\xC5' && p[1] == '\xBF') return 3;
    return 0;
}

void pre_space_run(PreText *x, size_t at)
{
    if (at >= x->space_at && at < x->space_end) return;
    x->space_at = x->space_last = x->space_end = at;
    x->newline_end = 0;
    while (x->space_end < x->n) {
        PreChar c = pre_char(x, x->space_end);
        if (!(c.kind & UC_SPACE)) break;
        x->space_last = x->space_end;
        x->space_end += c.length;
        if (pre_is_newline(c.c)) x->newline_end = x->space_end;
    }
}

void pre_digit_run(PreText *x, size_t at)
{
    if (at >= x->digits_at && at < x->digits_end) return;
    x->digits_at = at;
    x->digits_end = pre_run(x, at, UC_DIGIT, 0);
}

size_t pre_spaces(PreText *x, size_t at, bool lines)
{
    pre_space_run(x, at);
    if (x->space_end == at) return 0;
    if (lines && x->newline_end > at) return x->newline_end - at;
    if (x->space_end == x->n || x->space_last == at) return x->space_end - at;
    return x->space_last - at;
}

size_t pre_gpt2(PreText *x, size_t at, const PreStyle *style)
{
    (void)style;
    size_t length = pre_contraction(x, at, PRE_CONTRACT_EXACT);
    if (length) return length;
    size_t from = at;
    PreChar c = pre_char(x, at);
    if (c.c == ' ' && at + 1 < x->n) {
        from = at + 1;
        c = pre_char(x, from);
    }
    if (c.kind & UC_LETTER) return pre_run(x, from, UC_LETTER, 0) - at;
    if (c.kind & UC_NUMBER) return pre_run(x, from, UC_NUMBER, 0) - at;
    if (!(c.kind & UC_SPACE)) return pre_run(x, from, ~0u, UC_SPACE | UC_LETTER | UC_NUMBER) - at;
    return pre_spaces(x, at, false);
}

/* L M* and ' ' L M* over and over, from a letter. */
static size_t phrase(const PreText *x, size_t at)
{
    for (;;) {
        size_t from = at;
        if (from < x->n && x->p[from] == ' ') from++;
        if (from == x->n || !(pre_char(x, from).kind & UC_LETTER)) return at;
        at = from + pre_char(x, from).length;
        at = pre_run(x, at, UC_MARK, 0);
    }
}

/* [^\r\n no_prefix]? word+ : where it ends, or 0. */
static size_t prefixed_word(const PreText *x, size_t at, const PreStyle *style)
{
    PreChar c = pre_char(x, at);
    size_t from = at + c.length, end;
    if (!pre_is_newline(c.c) && !(c.kind & style->no_prefix) && from < x->n) {
        if (style->phrases)
            end = pre_char(x, from).kind & UC_LETTER ? phrase(x, from) : from;
        else
            end = pre_run(x, from, style->word, 0);
        if (end > from) return end;
    }
    if (!(c.kind & style->word)) return 0;
    return style->phrases ? phrase(x, at) : pre_run(x, at, style->word, 0);
}

/* ' '?[^ S stop]+ and its tail: where it ends, or 0. */
static size_t punctuation(const PreText *x, size_t at, unsigned take, unsigned stop,
                          const PreStyle *style)
{
    size_t from = x->p[at] == ' ' ? at + 1 : at;
    size_t end = pre_run(x, from, take, stop);
    if (end == from) return 0;
    for (size_t i = 0; i < style->tail_max && end < x->n; i++) {
        if (!x->p[end] || !strchr(style->tail, x->p[end])) break;
        end++;
    }
    return end;
}

/* S{512}(?!\S)|S{256}(?!\S)| ... |S{4}(?!\S)|S{1,2}(?!\S)|S, after S*[\r\n]+. */
static size_t cascaded_spaces(PreText *x, size_t at)
{
    pre_space_run(x, at);
    if (x->space_end == at) return 0;
    if (x->newline_end > at) return x->newline_end - at;
    for (size_t size = 512; size >= 1; size /= 2) {
        size_t end = pre_run_max(x, at, UC_SPACE, size), count = 0;
        for (size_t i = at; i < end; i += pre_char(x, i).length) count++;
        bool blocked = end == x->space_end && end < x->n; /* a \S follows */
        if (count == size && (!blocked || size == 1)) return end - at;
    }
    return 0;
}

size_t pre_gpt4(PreText *x, size_t at, const PreStyle *style)
{
    size_t length = pre_contraction(x, at, style->contraction);
    if (length) return length;
    size_t end = prefixed_word(x, at, style);
    if (end) return end - at;
    if (pre_char(x, at).kind & UC_NUMBER) return pre_run_max(x, at, UC_NUMBER, style->digits) - at;
    end = punctuation(x, at, ~0u, UC_SPACE | UC_NUMBER | UC_LETTER | style->word, style);
    if (end) return end - at;
    return style->cascade ? cascaded_spaces(x, at) : pre_spaces(x, at, true);
}

/* upper* lower+, else upper+ lower*, where letters without case and marks are both. */
static size_t cased_word(const PreText *x, size_t at, const PreStyle *style)
{
    const unsigned both = UC_OTHER | UC_MARK;
    size_t end = at, last_both = 0; /* after the last character that is both */
    PreChar c = {0};
    while (end < x->n) {
        c = pre_char(x, end);
        if (!(c.kind & (UC_UPPER | both)) || (c.kind & style->without)) break;
        end += c.length;
        if (c.kind & both) last_both = end;
    }
    if (end < x->n && (c.kind & UC_LOWER) && !(c.kind & style->without))
        return pre_run(x, end, UC_LOWER | both, style->without);
    return last_both ? last_both : end;
}

size_t pre_cased(PreText *x, size_t at, const PreStyle *style)
{
    PreChar c = pre_char(x, at);
    size_t end = at;
    if (style->without && (c.kind & style->without)) return pre_run(x, at, style->without, 0) - at;
    if (!pre_is_newline(c.c) && !(c.kind & (UC_LETTER | UC_NUMBER))) {
        end = cased_word(x, at + c.length, style);
        if (end == at + c.length) end = at; /* a prefix alone is no match */
    }
    if (end == at) end = cased_word(x, at, style);
    if (end > at) {
        if (end < x->n) end += pre_contraction(x, end, style->contraction);
        return end - at;
    }
    if (c.kind & UC_NUMBER) return pre_run_max(x, at, UC_NUMBER, style->digits) - at;
    end = punctuation(x, at, ~0u, UC_SPACE | UC_NUMBER | UC_LETTER, style);
    return end ? end - at : pre_spaces(x, at, true);
}

static bool ascii_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool ascii_punct(char c)
{
    return c > ' ' && c < 127 && !ascii_letter(c) && !(c >= '0' && c <= '9');
}

size_t pre_deepseek3(PreText *x, size_t at, const PreStyle *style)
{
    if (ascii_punct(x->p[at])) {
        size_t end = at + 1;
        while (end < x->n && ascii_letter(x->p[end])) end++;
        if (end > at + 1) return end - at;
    }
    size_t end = prefixed_word(x, at, style);
    if (!end) end = punctuation(x, at, UC_PUNCT | UC_SYMBOL, 0, style);
    return end ? end - at : pre_spaces(x, at, true);
}

static bool in_set(const PreStyle *style, PreChar c)
{
    bool in = c.kind & style->word;
    for (size_t i = 0; i < style->n_ranges && !in; i++)
        in = c.c >= style->ranges[i][0] && c.c <= style->ranges[i][1];
    return in != style->outside;
}

size_t pre_set(PreText *x, size_t at, const PreStyle *style)
{
    size_t from = at;
    PreChar c = pre_char(x, at);
    if (style->literal_space ? c.c == ' ' : style->space && (c.kind & UC_SPACE)) from += c.length;
    size_t end = from;
    for (size_t i = 0; end < x->n && (!style->max || i < style->max); i++) {
        c = pre_char(x, end);
        if (!in_set(style, c)) break;
        end += c.length;
    }
    if (end > from) return end - at;
    /* The space itself may be of the set. */
    return from > at && in_set(style, pre_char(x, at)) ? from - at : 0;
}

size_t pre_trailing(PreText *x, size_t at, const PreStyle *style)
{
    (void)style;
    pre_space_run(x, at);
    return x->space_end == x->n ? x->space_end - at : 0;
}

size_t pre_ascii3(PreText *x, size_t at, const PreStyle *style)
{
    (void)style;
    if (x->n - at < 3) return 0;
    for (size_t i = at; i < at + 3; i++)
        if (x->p[i] < '0' || x->p[i] > '9') return 0;
    return 3;
}

size_t pre_thousands(PreText *x, size_t at, const PreStyle *style)
{
    bool inside = at >= x->digits_at && at < x->digits_end;
    pre_digit_run(x, at);
    if (x->digits_end == at) return 0;
    if (x->digits_end < x->n && in_set(style, pre_char(x, x->digits_end))) return 0;
    /* The first piece takes what three does not divide; after it every piece is of three. */
    size_t first = 3;
    if (!inside) {
        size_t count = 0;
        for (size_t i = at; i < x->digits_end; i += pre_char(x, i).length) count++;
        if (count % 3) first = count % 3;
    }
    return pre_run_max(x, at, UC_DIGIT, first) - at;
}

size_t pre_indent(PreText *x, size_t at, const PreStyle *style)
{
    (void)style;
    if (x->p[at] == '\t' || x->p[at] == '\n') return 1;
    size_t n = 0;
    while (n < 4 && at + n < x->n && x->p[at + n] == ' ') n++;
    return n == 4 ? 4 : n >= 2 ? 2 : 0;
}

size_t pre_not_newline(PreText *x, size_t at, const PreStyle *style)
{
    (void)style;
    const char *p = x->p + at, *end = x->p + x->n, *q;
    if (*p != '\n') {
        q = memchr(p, '\n', (size_t)(end - p));
        return (size_t)((q ? q : end) - p);
    }
    for (q = p; q < end && *q == '\n'; q++) {
    }
    return (size_t)(q - p);
}
