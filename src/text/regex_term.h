/* Terms of regular expressions, each once (see regex.h). Inside text/. */
#ifndef TEXT_REGEX_TERM_H
#define TEXT_REGEX_TERM_H

#include "text/regex.h"

typedef enum TermKind {
    TERM_NOTHING,
    TERM_EMPTY,
    TERM_ALL,
    TERM_CLASS,  /* a: set */
    TERM_CAT,    /* a, then b; a is no CAT */
    TERM_ALT,    /* list[a .. a + b), ascending */
    TERM_AND,    /* likewise */
    TERM_NOT,    /* a */
    TERM_REPEAT, /* a, `least` to `most` times */
} TermKind;

typedef struct Term {
    uint8_t kind;
    bool nullable;
    uint32_t a, b, least, most;
} Term;

typedef struct TermSet { /* of characters: ranges[first .. first + n), in order and apart */
    uint32_t first, n;
} TermSet;

typedef struct RegexWork {
    uint32_t a, b;
    uint32_t kind;
} RegexWork;

struct Regex {
    Term *terms;
    uint32_t n_terms, term_capacity;
    uint32_t *list; /* children of ALT and AND */
    uint32_t n_list, list_capacity;
    uint32_t *table; /* of terms + 1 */
    uint32_t table_mask;
    TermSet *sets;
    uint32_t n_sets, set_capacity;
    RegexRange *ranges;
    uint32_t n_ranges, range_capacity;
    uint32_t *scratch; /* children being put together */
    uint32_t scratch_capacity;

    /* Classes: characters that no set tells apart. Made by term_freeze. */
    bool frozen;
    uint32_t n_classes, n_cuts;
    uint32_t *cuts;      /* where a class may change; cuts[0] = 0 */
    uint32_t *class_at;  /* class from cuts[i] on */
    uint8_t *in_set;     /* (n_sets, n_classes) */
    uint64_t *memo_keys; /* (term, class) + 1 */
    uint32_t *memo_terms;
    uint32_t n_memo, memo_mask;
    RegexWork *work;
    uint32_t n_work, work_capacity;

    bt_status status;
    bt_error why;
};

/* Grows *array (of `size`-byte items) to hold n + more; false: no memory (sticks). */
bool term_room(Regex *re, void *array, uint32_t n, uint32_t more, uint32_t *capacity, size_t size);
bt_status term_fail(Regex *re, bt_status status, const char *format, ...) BT_PRINTF(3, 4);

/* Sorts and joins ranges in place; gives how many are left. */
uint32_t ranges_tidy(RegexRange *ranges, uint32_t n);

RegexTerm term_class(Regex *re, RegexRange *ranges, uint32_t n); /* tidied in place */
RegexTerm term_cat(Regex *re, RegexTerm a, RegexTerm b);
RegexTerm term_alt(Regex *re, const RegexTerm *terms, uint32_t n);
RegexTerm term_and(Regex *re, const RegexTerm *terms, uint32_t n);
RegexTerm term_not(Regex *re, RegexTerm a);
RegexTerm term_repeat(Regex *re, RegexTerm a, uint32_t least, uint32_t most);

bool term_freeze(Regex *re);
uint32_t term_class_of(const Regex *re, uint32_t c);
/* What may follow a character of the class. */
RegexTerm term_derive(Regex *re, RegexTerm term, uint32_t class);

#endif
