/* Splits text into the words that byte-level BPE merges within. Each vocabulary was trained with a
 * rule of its own, written by its makers as one or more regular expressions; here each is a
 * hand-made scanner that reads a character a bounded number of times, so the split is linear in
 * the text whatever the text is. docs/tokenizers.md lists the rules. */
#ifndef TEXT_PRETOKENIZE_H
#define TEXT_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

#define PRE_PASSES 6

/* The text of one pass, with what was found out about the run of spaces or digits it is in. */
typedef struct PreText {
    const char *p;
    size_t n;
    size_t space_at, space_last, space_end; /* a run of \s; its last character starts at _last */
    size_t newline_end;                     /* after the run's last \r or \n; 0: none */
    size_t digits_at, digits_end;           /* a run of \p{Nd} */
} PreText;

typedef struct PreStyle PreStyle;

/* Length of the match that starts at `at` (< x->n), or 0. */
typedef size_t (*PreMatch)(PreText *x, size_t at, const PreStyle *style);

typedef struct PrePass {
    PreMatch match; /* NULL: no more passes */
    const PreStyle *style;
} PrePass;

/* A rule: each pass splits the pieces of the one before into matches and what lies between. */
typedef struct PreRule {
    const char *names;  /* values of tokenizer.ggml.pre, each between two spaces */
    bool ignore_merges; /* a word that is a token is taken whole */
    bool add_bos;       /* unless the file says otherwise */
    PrePass pass[PRE_PASSES];
} PreRule;

/* The rule of a name, or NULL if it is not known. */
const PreRule *pre_find(Span name);

/* Called for each word in order; false stops the split. */
typedef bool (*PreSink)(void *user, const char *word, size_t n);
/* False if the sink said so. */
bool pre_split(const PreRule *rule, const char *text, size_t n, PreSink sink, void *user);

#endif
