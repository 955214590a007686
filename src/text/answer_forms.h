/* How model families write reasoning and tool calls: one row a form, read by one parser (answer.h).
 *
 * A call is a pattern: text as it stands, and
 *   %n name, %i id, %f "functions.NAME:NUMBER" (id and name), %d anything: each up to the text
 * after %k parameter, %t its type (string, number ..., or true/false: is it a string), likewise %v
 * value of the parameter, up to the text after; %w the same with a line break at both ends %p any
 * number of parameters, each by the pattern `parameter` %x parameters as nested tags up to
 * </invoke>, each with the form's `mark` before it %j arguments as a JSON object %c one or more
 * JSON objects {"name", "arguments"}, or an array of them; %a with {NAME: ARGUMENTS} %y calls in
 * Python: [f(a=1), g()];  %b what %c or %y takes %g an object in Gemma's notation, strings between
 * the form's `mark`
 *   %_ white space (allowed before any text anyhow);  %( ... %) may be missing
 *   ^  at the start: only where an answer begins, and only names of tools that were declared
 * What follows the arguments is taken where it is there and not missed where it is not. */
#ifndef TEXT_ANSWER_FORMS_H
#define TEXT_ANSWER_FORMS_H

#include <stdbool.h>

#include "base/span.h"

/* Text around reasoning. */
typedef struct AnswerThink {
    const char *open, *close;
    bool anywhere; /* special tokens: may open after text too */
} AnswerThink;

/* Messages with headers, OpenAI's harmony and its kin: `open` ... `close` content `end`. The header
 * names a channel or a recipient; recipients that are neither everyone nor oneself are tools. */
typedef struct AnswerHeader {
    const char *open[2], *close;
    const char *ends[5]; /* end the content */
    const char *role;    /* written after open[0]; NULL: nothing */
    const char *thinks;  /* the header of thoughts, as written; NULL: there are none */
    const char *says;    /* that of text for the user */
    bool bare;           /* the header is the recipient's name */
    bool wraps;          /* content for tools holds calls by the form's pattern, else arguments */
} AnswerHeader;

#define ANSWER_FORM_MARKS 6

typedef struct AnswerForm {
    const char *name;
    const char *told[3]; /* a template that has all of these (up to NULL) writes this form */
    const char *calls[3];
    const char *parameter;
    const char *mark;
    AnswerThink think;                    /* open NULL: the template's, else <think> */
    AnswerHeader header;                  /* close NULL: none */
    const char *drops[ANSWER_FORM_MARKS]; /* markup around text, not shown */
    bool calls_end_thoughts;              /* a call inside reasoning is a call */

    /* For grammars (answer_grammar.h), which write what is read otherwise too: */
    const char *writes; /* the pattern written; NULL: calls[0] */
    const char *object; /* an object of %c; NULL: {"name": "%n", "arguments": %j} */
    bool list;          /* they stand in an array */
} AnswerForm;

/* The form and the marks of reasoning that a template (may be empty) shows; never NULL. */
const AnswerForm *answer_form_of(Span jinja);
AnswerThink answer_think_of(const AnswerForm *form, Span jinja);
/* True when the template shows these marks. */
bool answer_think_shown(AnswerThink think, Span jinja);
/* The form of this name, or NULL. */
const AnswerForm *answer_form_named(const char *name);
/* The i-th form, or NULL past the last. */
const AnswerForm *answer_form_at(size_t i);

#endif
