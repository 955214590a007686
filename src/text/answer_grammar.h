/* Grammars of answers with tool calls, made from the same rows that read them (answer_forms.h):
 * free text and reasoning until the text with which a call begins; then the name of a declared
 * tool, and arguments by its schema. So a model that calls, calls rightly, and is else as free as
 * ever.
 *
 * Values that a form writes as text between tags are held to numbers, booleans, objects and lists
 * of their schema, and to `enum`; a string there is any text without the closing tag. */
#ifndef TEXT_ANSWER_GRAMMAR_H
#define TEXT_ANSWER_GRAMMAR_H

#include "text/answer.h"
#include "text/grammar.h"

/* *rule reads an answer of the form. `needed`: it has a call at least (after
 * reasoning, if any). BT_E_ARGUMENT: no tools, or what answer_tools_open refuses; those of
 * schema_build, with the tool's name before.
 */
bt_status answer_grammar(GrammarBuilder *b, const AnswerSource *source, bool needed, uint32_t *rule,
                         bt_error *err);
/* *rule reads an answer whose text is of the rule `held`: thoughts come first in the form's way,
 * then that (in the channel and between the marks that the form has for it), or, if tools are
 * declared, calls instead. `blank`: white space may come before it. Fails as answer_grammar
 * does. */
bt_status answer_hold(GrammarBuilder *b, const AnswerSource *source, uint32_t held, bool blank,
                      uint32_t *rule, bt_error *err);

#endif
