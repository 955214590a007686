/* The scanners that the rules of pretokenize.c are made of, and what they share. Inside text/. */
#ifndef TEXT_PRETOKENIZE_MATCH_H
#define TEXT_PRETOKENIZE_MATCH_H

#include <stdint.h>

#include "text/pretokenize.h"
#include "text/unicode.h"
#include "text/utf8.h"

enum { PRE_CONTRACT_NONE, PRE_CONTRACT_EXACT, PRE_CONTRACT_ANY_CASE };

/* What the scanners may be told; each reads what concerns it. */
struct PreStyle {
    unsigned word;      /* classes that make a word */
    unsigned no_prefix; /* classes that may not stand before a word and join it */
    unsigned without;   /* classes taken out of a word */
    size_t digits;      /* how many numbers one piece holds at most */
    int contraction;
    const char *tail; /* what may follow punctuation and joins it, such as "\r\n" */
    size_t tail_max;
    bool phrases; /* words joined by single spaces are one piece */
    bool cascade; /* spaces in pieces of 512, 256 ... */
    bool space;   /* one \s (literal_space: one ' ') may stand before a run and joins it */
    bool literal_space;
    size_t max;                  /* characters in a run; 0: any number */
    const uint32_t (*ranges)[2]; /* characters of a run, besides those of `word` */
    size_t n_ranges;
    bool outside; /* the run is made of what is in neither `word` nor `ranges` */
};

/* One character at `at`, its class and length. A byte that is not UTF-8 is a character of its own,
 * of the class of U+FFFD. */
typedef struct PreChar {
    uint32_t c;
    unsigned kind;
    size_t length;
} PreChar;

static inline PreChar pre_char(const PreText *x, size_t at)
{
    PreChar r;
    r.c = utf8_next(x->p + at, x->n - at, &r.length);
    r.kind = unicode_class(r.c);
    return r;
}

static inline bool pre_is_newline(uint32_t c)
{
    return c == '\n' || c == '\r';
}

/* Where the run of characters with one of `classes`, but none of `without`, ends. */
size_t pre_run(const PreText *x, size_t at, unsigned classes, unsigned without);
/* As pre_run, of at most `most` characters. */
size_t pre_run_max(const PreText *x, size_t at, unsigned classes, size_t most);
/* 's 't 're 've 'm 'll 'd at `at`: its length or 0. */
size_t pre_contraction(const PreText *x, size_t at, int contraction);
/* \s+(?!\S)|\s+, and before it \s*[\r\n]+ where `lines`. 0: no space at `at`. */
size_t pre_spaces(PreText *x, size_t at, bool lines);
/* Finds the run of \s, or of \p{Nd}, that holds `at`, once. */
void pre_space_run(PreText *x, size_t at);
void pre_digit_run(PreText *x, size_t at);

/* The scanners. In the expressions below L is \p{L} and so on, S is \s. */
size_t pre_gpt2(PreText *x, size_t at, const PreStyle *style);  /* GPT-2's expression */
size_t pre_gpt4(PreText *x, size_t at, const PreStyle *style);  /* cl100k and its children */
size_t pre_cased(PreText *x, size_t at, const PreStyle *style); /* o200k: words by case */
size_t pre_deepseek3(PreText *x, size_t at, const PreStyle *style);
size_t pre_set(PreText *x, size_t at, const PreStyle *style);      /* a run of a set */
size_t pre_trailing(PreText *x, size_t at, const PreStyle *style); /* S+$ */
size_t pre_ascii3(PreText *x, size_t at, const PreStyle *style);   /* [0-9][0-9][0-9] */
/* Digits in threes counted from the right; only if nothing of `word` and `ranges` follows. */
size_t pre_thousands(PreText *x, size_t at, const PreStyle *style);
size_t pre_indent(PreText *x, size_t at, const PreStyle *style);      /* [\t\n]|4 spaces|2 spaces */
size_t pre_not_newline(PreText *x, size_t at, const PreStyle *style); /* [^\n]+|\n+ */

#endif
