/* What tool definitions say that matters for reading calls: which names there are, and which types
 * a parameter may have, so that "3" in <parameter=days>3</parameter> becomes a number where the
 * tool wants one and a string where it wants that. */
#ifndef TEXT_ANSWER_TOOLS_H
#define TEXT_ANSWER_TOOLS_H

#include "base/span.h"
#include "base/status.h"

enum { /* types of JSON values, as bits */
       TYPE_STRING = 1,
       TYPE_NUMBER = 2, /* integers too */
       TYPE_BOOLEAN = 4,
       TYPE_OBJECT = 8,
       TYPE_ARRAY = 16,
       TYPE_NULL = 32,
       TYPE_ANY = 63,
};

typedef struct AnswerTools AnswerTools;

/* `json`: an array of {"type": "function", "function": {"name", "parameters": JSON Schema}}, or of
 * the inner objects alone ("input_schema" is taken for parameters too). NULL or "": no tools known,
 * *out is NULL. BT_E_ARGUMENT, BT_E_LIMIT, BT_E_MEMORY. */
bt_status answer_tools_open(const char *json, AnswerTools **out, bt_error *err);
void answer_tools_close(AnswerTools **tools);

/* Both take NULL for no tools known. */
bool answer_tools_have(const AnswerTools *tools, Span name);
/* TYPE_ANY when nothing is known of it. */
unsigned answer_tools_type(const AnswerTools *tools, Span name, Span parameter);
/* Bits of a type by its JSON Schema name; 0: no such type. */
unsigned answer_type_named(Span name);

#endif
