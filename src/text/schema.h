/* JSON Schema into an automaton that reads the JSON texts which it admits. docs/constraints.md
 * lists the keywords and where the texts admitted are fewer than the schema's (never more).
 *
 * Schemas come from anyone: the reader, the compiler and the regular expressions keep their own
 * stacks, and bytes, depth, rules, branches and automata have caps. */
#ifndef TEXT_SCHEMA_H
#define TEXT_SCHEMA_H

#include "text/grammar.h"

#define SCHEMA_MAX_TEXT  (4u << 20)
#define SCHEMA_MAX_DEPTH 256u /* of the schema's own JSON */

/* *rule reads one value. `text` must begin with the schema; *used says how many bytes it took
 * (NULL: all of `text` must be one schema). BT_E_ARGUMENT: no JSON (line and column), or a schema
 * that says nothing sensible (JSON path); BT_E_UNSUPPORTED names a keyword and its path;
 * BT_E_LIMIT; BT_E_MEMORY. */
bt_status schema_build(GrammarBuilder *b, Span text, size_t *used, uint32_t *rule, bt_error *err);

#endif
