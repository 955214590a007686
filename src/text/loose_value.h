/* Values as models write them in calls, turned into JSON while they arrive: Python literals
 * ('a', "b", True, None, tuples, trailing commas) and Gemma's objects ({key:<|"|>text<|"|>}), and
 * so also JSON itself. Depth and the length of words are bounded; no recursion. */
#ifndef TEXT_LOOSE_VALUE_H
#define TEXT_LOOSE_VALUE_H

#include "text/json_scan.h"

#define LOOSE_DEPTH 64
#define LOOSE_WORD  64 /* bytes of a number, a name or a bare key */

typedef struct LooseValue {
    const char *mark; /* what stands around strings besides quotes, or NULL; set by the caller */
    uint8_t state, depth, n_word, digits, n_quotes, n_mark;
    bool key;    /* the string or word at hand is a key */
    bool comma;  /* one was read and nothing after it yet */
    bool triple; /* """ or ''' */
    char quote;
    uint32_t unit;
    char open[LOOSE_DEPTH]; /* '{', '[' or '(' of each level */
    char word[LOOSE_WORD];
    JsonScan json; /* what was made of it so far: never anything but JSON leaves */
} LooseValue;      /* valid when zeroed, or with `mark` set */

ScanResult loose_value(LooseValue *v, char c, Buf *out);
/* The text ends here: finishes a word or an empty string; true when the value is whole. */
bool loose_end(LooseValue *v, Buf *out);
/* Exactly one value with white space around it. */
bool loose_whole(Span text, const char *mark, Buf *out);

#endif
