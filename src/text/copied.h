/* Arguments that are copied from what a person said. A tool's property may say `"x-copied": true`;
 * bound to a conversation, the keyword holds what the person said, and the schema then admits
 * spans of whole words of it and nothing else (schema_copied.c), or one of the texts of the
 * keyword `x-or` beside it. A small model miscopies rare words; so it cannot.
 *
 * Words lie between blanks. A span begins without the quotes and brackets before its first word,
 * and may leave out the marks after its last. It runs over no control character, no word that is
 * not UTF-8 or longer than COPIED_WORD_BYTES, and not from one text into the next. */
#ifndef TEXT_COPIED_H
#define TEXT_COPIED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

enum {
    COPIED_WORDS = 60,      /* the last ones of all that was said */
    COPIED_SPAN = 24,       /* words of a span */
    COPIED_CHARS = 200,     /* and its characters, where maxLength says no less */
    COPIED_WORD_BYTES = 800 /* COPIED_CHARS of the longest */
};

typedef struct CopiedWord {
    Span text;
    size_t lead; /* bytes of quotes and brackets before it; all of it: no span begins here */
    size_t core; /* bytes up to the marks after it; never 0 */
    bool joins;  /* blanks alone lie between the word before and this one */
} CopiedWord;

/* The last words of the texts, in their order; how many. */
size_t copied_words(const Span *texts, size_t n, CopiedWord words[COPIED_WORDS]);

/* Appends `tools` (JSON) with what was said (texts, the latest last; bytes of any kind) in place of
 * `true` at each `x-copied` of a schema of `"type": "string"`. *bound: something was replaced; else
 * nothing is appended and `tools` holds as it is: there is no such property, or nothing was said.
 * BT_E_ARGUMENT: no JSON; BT_E_LIMIT, BT_E_MEMORY. */
bt_status copied_bind(Span tools, const Span *said, size_t n, Buf *out, bool *bound, bt_error *err);

#endif
