/* Regular expressions as JSON Schema's `pattern` uses them (ECMA-262), held together with lengths
 * and with what must not match, as one automaton over characters.
 *
 * An expression is a *term*; derivatives of terms (Brzozowski 1964) with respect to characters are
 * terms again, and since "and" and "not" are terms too, several patterns, a length and look-ahead
 * all become one automaton. Texts are read between two marks, so that ^ and $ are characters like
 * any other. Nothing recurses; the number of terms and of states is bounded. */
#ifndef TEXT_REGEX_H
#define TEXT_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

#define REGEX_MAX_TEXT   8192u
#define REGEX_MAX_STATES 20000u
#define REGEX_MAX_WORK   1000000u  /* regex_work at which an expression is too large */
#define REGEX_BEGIN      0x110000u /* the mark before the text */
#define REGEX_END        0x110001u /* and after */
#define REGEX_LIMIT      0x110002u
#define REGEX_NO_LIMIT   0xFFFFFFFFu
#define REGEX_NONE       0xFFFFFFFFu

typedef uint32_t RegexTerm;
enum { REGEX_NOTHING = 0, REGEX_EMPTY = 1, REGEX_ALL = 2 }; /* no text; the empty one; any */

typedef struct RegexRange {
    uint32_t low, high;
} RegexRange;

typedef struct Regex Regex; /* a family of terms */

bt_status regex_open(Regex **out, bt_error *err);
void regex_close(Regex **re);

/* Each gives a term over marked texts. The first failure sticks (regex_status): later calls give
 * REGEX_NOTHING. */
/* Texts in which the pattern is found. BT_E_ARGUMENT says where it is wrong, BT_E_UNSUPPORTED
 * names what no automaton can do (back references, look-behind ...). */
RegexTerm regex_pattern(Regex *re, Span pattern);
RegexTerm regex_length(Regex *re, uint32_t least, uint32_t most); /* in characters */
RegexTerm regex_texts(Regex *re, const Span *texts, size_t n);    /* one of these (UTF-8) */
RegexTerm regex_and(Regex *re, RegexTerm a, RegexTerm b);
RegexTerm regex_not(Regex *re, RegexTerm a);
bt_status regex_status(const Regex *re, bt_error *err);
uint64_t regex_work(const Regex *re); /* terms looked at so far: a measure of time */

/* After this no more terms are made from texts. True when the term holds `text` (UTF-8). */
bool regex_matches(Regex *re, RegexTerm term, Span text);

typedef struct RegexAutomaton {
    uint32_t n_states, n_classes; /* state 0 is the start; n_states 0: nothing matches */
    uint32_t *next;               /* (n_states, n_classes): a state or REGEX_NONE */
    bool *ends;
    RegexRange *ranges; /* of characters, in order, all but NUL and surrogates */
    uint32_t *class_of; /* of each range */
    uint32_t n_ranges;
} RegexAutomaton;

/* Only states from which the text can still end are kept. */
bt_status regex_automaton(Regex *re, RegexTerm term, RegexAutomaton *out, bt_error *err);
void regex_automaton_close(RegexAutomaton *a);

#endif
