/* The template language that chat templates are written in (Jinja), as the Hugging Face libraries
 * run it: jinja2's immutable sandbox with trim_blocks, lstrip_blocks and loop controls, a `tojson`
 * that escapes no HTML and keeps the order of keys, raise_exception and strftime_now.
 *
 * Templates come inside model files and are hostile: parsing and running use no recursion on the C
 * stack, and what a run may take (steps, memory, depth, output, time) is bounded. Each character
 * of the result remembers whether it was written by the template or came from the conversation,
 * through every operation; that is how text of a user can never become a special token. */
#ifndef TEXT_JINJA_H
#define TEXT_JINJA_H

#include <jansson.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"
#include "text/tokenizer.h"

typedef struct JinjaTemplate JinjaTemplate;

/* Parses. The source is copied. BT_E_FORMAT with "template line L, column C: ..." for what is no
 * template, BT_E_UNSUPPORTED for a statement that chat templates do not have (include, import ...),
 * BT_E_LIMIT (size, nesting), BT_E_MEMORY. */
bt_status jinja_compile(Span source, JinjaTemplate **out, bt_error *err);
void jinja_close(JinjaTemplate **t);
/* Whether the template reads a variable of this name anywhere. */
bool jinja_reads(const JinjaTemplate *t, const char *name);
/* Whether it holds exactly this string, in ASCII, as a literal. */
bool jinja_says(const JinjaTemplate *t, const char *text);

typedef struct JinjaLimits { /* 0: the default */
    uint64_t steps;          /* instructions, and long operations by their length; 20 million */
    uint64_t memory;         /* bytes of values; 512 MB */
    uint64_t output;         /* characters; 32 million */
    uint32_t depth;          /* calls of macros inside each other; 200 */
    double seconds;          /* 5 */
} JinjaLimits;

typedef struct JinjaInput {
    const json_t *context; /* an object: the template's variables */
    /* Names of top-level variables whose strings are the template's own words (bos_token ...),
     * ended by NULL. Every other string is of the conversation, except a message's role made of
     * small letters, '_', '-' and spaces only. */
    const char *const *own;
    int64_t now; /* seconds since 1970, for strftime_now (UTC) */
    JinjaLimits limits;
} JinjaInput;

/* Runs of the rendered text: the template's words (special) and the conversation's (not). */
typedef struct JinjaParts {
    TokPart *items; /* mem_free; spans point into the Buf that was rendered to */
    size_t n;
} JinjaParts;

/* Appends the rendered text to `out`; `parts` (may be NULL) is set to its runs. BT_E_ARGUMENT with
 * the template's own words when it calls raise_exception; BT_E_FORMAT with line and column for an
 * error in what it does; BT_E_LIMIT, BT_E_MEMORY. */
bt_status jinja_render(const JinjaTemplate *t, const JinjaInput *input, Buf *out, JinjaParts *parts,
                       bt_error *err);
void jinja_parts_close(JinjaParts *parts);

#endif
