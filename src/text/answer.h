/* A model's answer taken apart as it comes: text, reasoning, tool calls. What bt_answer of bantam.h
 * is made of, on text alone (engine/answer_model.c adds the tokens).
 *
 * One byte after the other is decided upon, so the events are the same however the text is cut;
 * only how they are divided into pieces differs. What cannot be told yet waits. A call that turns
 * out to be none comes back as text, byte for byte. White space next to markup is dropped. Time is
 * linear but for what begins like a call and is none, where at most ANSWER_RESCAN bytes are read
 * again. */
#ifndef TEXT_ANSWER_H
#define TEXT_ANSWER_H

#include "base/buf.h"
#include "base/status.h"
#include "text/answer_forms.h"

#define ANSWER_RESCAN    1024       /* bytes of a broken call in which markup is looked for again */
#define ANSWER_MOST_CALL (1u << 20) /* bytes of one call; more is text */
#define ANSWER_MOST_NAME 256        /* bytes of a name, id or parameter's name */

typedef struct Answer Answer;

typedef struct AnswerSource {
    const AnswerForm *form;
    AnswerThink think;
    bool thinks;       /* the template shows these marks */
    const char *tools; /* JSON array of tool definitions, or NULL: none were declared */
    Span prompt;       /* the text that the model answers, or at least its end */
    bool whole_calls;  /* no event of a call before all of it is read */
    uint64_t id_seed;
} AnswerSource;

bt_status answer_open(const AnswerSource *source, Answer **out, bt_error *err);
void answer_close(Answer **answer);

/* From now on what looks like a call is text, as it stands. */
void answer_ignore_calls(Answer *a);
/* Adds text (well-formed UTF-8: see utf8_stream.h) and drops the events of the call before.
 * BT_E_MEMORY: the answer is lost. */
bt_status answer_add(Answer *a, const char *text, size_t n);
/* The answer is over: what waited is decided. */
bt_status answer_end(Answer *a);
/* Takes the next event; its strings stand until the next answer_add. False: none is left. */
bool answer_next(Answer *a, bt_answer_event *out);

/* See bt_answer_thinking and bt_answer_thought_end; the second adds nothing where there is none. */
bool answer_thinking(const Answer *a);
void answer_thought_end(const Answer *a, Buf *out);

/* The text of a special token is (part of) markup that the parser must see; others say nothing. */
bool answer_knows(const Answer *a, Span special);

#endif
