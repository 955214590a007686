/* A conversation in OpenAI's form, written while another form of it is read: what an assistant
 * thinks, says and calls comes there in pieces, and is one message here. */
#ifndef SERVE_API_TALK_H
#define SERVE_API_TALK_H

#include "serve/api_read.h"

typedef struct Talk {
    ApiRead *r;
    Buf out, text, thoughts, calls; /* of the assistant's message at hand; closed by talk_end */
    JsonOut j, of_calls;
    bool speaking; /* there is such a message */
    bool said;     /* it has a text */
    size_t n;
} Talk;

void talk_begin(Talk *t, ApiRead *r);
/* A whole message of another than the assistant. `id`: of a tool's message, else NULL-sized. */
void talk_say(Talk *t, const char *role, Span text, Span id);
void talk_text(Talk *t, Span text, const char *glue); /* pieces of the assistant's */
void talk_think(Talk *t, Span text);
/* `arguments`: a node that is a string of JSON, or JSON itself */
void talk_call(Talk *t, Span id, Span name, uint32_t arguments);
void talk_flush(Talk *t); /* the assistant's message is whole */
/* Gives the messages to the call; with `prefill` the last one, if it is the assistant's and calls
 * nothing, is taken out of them. `good` false: only frees. */
bool talk_end(Talk *t, bool good, bool prefill);

#endif
