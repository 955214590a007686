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

/* What follows a character of a class. */
typedef struct TermWay {
    uint32_t class;
    RegexTerm to;
} TermWay;

/* What may follow a term's first character: ways[first .. first + n), by class; `other` for the
 * classes that are not listed. */
typedef struct TermWays {
    uint32_t first, n;
    RegexTerm other;
    bool known;
} TermWays;

typedef struct RegexWork {
    RegexTerm term;
    uint32_t next; /* which of the terms it is made of comes next */
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
    uint32_t *cuts;     /* where a class may change; cuts[0] = 0 */
    uint32_t *class_at; /* class from cuts[i] on */
    uint8_t *in_set;    /* (n_sets, n_classes) */

    TermWays *known; /* of a term */
    uint32_t known_capacity;
    TermWay *ways;
    uint32_t n_ways, way_capacity;
    TermWay *made; /* of the term being derived */
    uint32_t n_made, made_capacity;
    TermWays *lists; /* ways being joined */
    uint32_t list_room;
    RegexTerm *parts; /* of one class */
    uint32_t part_capacity;
    RegexWork *work;
    uint32_t n_work, work_capacity;
    uint64_t done; /* regex_work */

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
/* What may follow each class of characters; `ways` may move with the next call. Known is false
 * after a failure. */
TermWays term_ways(Regex *re, RegexTerm term);
/* What may follow a character of the class. */
RegexTerm term_derive(Regex *re, RegexTerm term, uint32_t class);

#endif
