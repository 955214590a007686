/* What the makers of answers' grammars share: answer_maker.c turns a pattern of calls into a
 * grammar, answer_grammar.c what stands around calls: thoughts, headers, free or constrained text.
 * Inside text/. Every function that gives a state adds what it names after `from` and gives the
 * state behind it; failures stick in the builder or in `status`. */
#ifndef TEXT_ANSWER_MAKER_H
#define TEXT_ANSWER_MAKER_H

#include <jansson.h>

#include "text/answer_grammar.h"
#include "text/answer_tools.h"

typedef struct Maker {
    GrammarBuilder *b;
    const AnswerForm *form;
    AnswerTools *types; /* NULL: no tools */
    json_t *tools;
    bool blank; /* white space may stand before text that is held */
    bt_error *err;
    bt_status status;
} Maker;

#define MAKER_MOST_MARK  256
#define MAKER_MOST_STOPS 3

/* Text as it stands; where a control token of such a text may begin, it may be one. */
uint32_t maker_text(Maker *m, uint32_t from, Span text);
/* At most two characters of white space. */
uint32_t maker_blank(Maker *m, uint32_t from);
/* Anything, control tokens too if `control`, up to and with `stop`. `end` (0: none): where a text
 * goes on that ends before. */
uint32_t maker_until(Maker *m, uint32_t from, Span stop, bool control, uint32_t end);
/* The same with n stops, none of which holds another: what comes first counts. out[i]: the state
 * after it. */
void maker_until_any(Maker *m, uint32_t from, const Span *stops, size_t n, bool control,
                     uint32_t end, uint32_t *out);
/* Calls by a pattern of which the first `said` bytes of text have been read. */
uint32_t maker_calls(Maker *m, uint32_t from, const char *pattern, size_t said);
/* The text of a pattern that sets a call off. */
Span maker_first_text(const char *pattern);

#endif
