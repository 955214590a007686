/* What tests of the API layer share: a request and what is read from it in a line each; a reply
 * that is played event by event. */
#ifndef TESTS_SERVE_API_CASE_H
#define TESTS_SERVE_API_CASE_H

#include "base/buf.h"
#include "serve/reply.h"

/* Parses `body` (single quotes stand for double ones) as POST `path`. NULL: refused, see *err. */
ApiCall *case_parse(const char *path, const char *body, const ApiDefaults *defaults, ApiError *err);
/* What differs from a request that says nothing, one "name=value" a line. */
void case_dump(const ApiCall *call, Buf *out);
/* Asserts that the dump is `expected` (lines; single quotes stand for double ones). */
void case_reads(const char *path, const char *body, const char *expected);
/* Asserts that it is refused with this HTTP status, naming the field, the text holding `words`. */
void case_refuses(const char *path, const char *body, int status, const char *field,
                  const char *words);
/* A copy with double quotes for single ones; free with mem_free. */
char *case_quotes(const char *text);

/* ---- replies */

extern const ApiInfo case_info; /* model "m", unique 1, created 1700000000, slot 3 */
typedef struct CaseEvent {
    bt_answer_kind kind;
    int32_t index;
    const char *text; /* of a call: its name */
} CaseEvent;
/* Parses, plays the events for each choice, ends with `why`; appends all that is sent. */
void case_play(const char *path, const char *body, const CaseEvent *events, size_t n, ApiFinish why,
               const char *word, Buf *out);
/* The same, and asserts what was sent (single quotes as above). */
void case_sends(const char *path, const char *body, const CaseEvent *events, size_t n,
                ApiFinish why, const char *word, const char *expected);

#endif
