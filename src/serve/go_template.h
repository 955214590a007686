/* Ollama's chat templates are written in Go's template language (text/template of its standard
 * library). What most of them use is translated to Jinja, so that it means the same here: text,
 * fields of the conversation (.System .Prompt .Response .Tools, .Messages with .Role .Content
 * .Thinking .ToolCalls), of tools and calls (.Function ...), if, range over these lists, variables,
 * comparisons. What cannot be meant exactly is refused by name. */
#ifndef SERVE_GO_TEMPLATE_H
#define SERVE_GO_TEMPLATE_H

#include "base/buf.h"
#include "base/span.h"

#define GO_TEMPLATE_MOST 65536 /* bytes */

/* Appends the template in Jinja. False: `why` (a sentence) says what is not translated, and where.
 */
bool go_template_translate(Span text, Buf *out, char *why, size_t why_size);

#endif
