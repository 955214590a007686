/* An answer parsed and put together again, for tests: events joined to content, reasoning and
 * calls. */
#ifndef TESTS_ANSWER_READ_H
#define TESTS_ANSWER_READ_H

#include <jansson.h>

#include "base/buf.h"
#include "text/answer.h"

#define READ_CALLS 16

typedef struct ReadCall {
    Buf id, name, arguments;
    bool ended, void_;
} ReadCall;

typedef struct Read {
    Buf text, reasoning;
    Buf all; /* every event, neighbours of one kind joined: equal however the text was cut */
    ReadCall calls[READ_CALLS];
    int n;    /* calls begun */
    int last; /* kind and index of the event before, for `all` */
    bt_status status;
} Read;

/* Parses text in pieces: sizes[i % n_sizes] bytes each; n_sizes 0: all at once. */
void read_answer(const AnswerSource *source, const char *text, size_t size, const size_t *sizes,
                 size_t n_sizes, Read *out);
void read_close(Read *read);
/* {"content", "reasoning", "calls": [{"name", "arguments"}]}, arguments as the text says; NULL when
 * a call is void, not ended or its arguments are no JSON object. */
json_t *read_json(const Read *read);

#endif
