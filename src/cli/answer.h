/* Answers as a person or a program sees them: the text on standard output, what the model thinks
 * on standard error (dimmed where there are colours), a call as one line of JSON; or all of it kept
 * for one JSON object. */
#ifndef CLI_ANSWER_H
#define CLI_ANSWER_H

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/json.h"

typedef struct AnswerView {
    const Cli *cli;
    bool collect; /* nothing is printed */
    bool hide;    /* no reasoning is printed */
    bool carried; /* calls are carried out by the program: they are kept, not shown */
    bool thought; /* the last thing printed was reasoning */
    char last;    /* the last byte printed on standard output, 0: none */
    Buf text, reasoning;
    json_t *calls; /* [{"id", "type": "function", "function": {"name", "arguments"}}] */

    Buf id, name, arguments; /* of the call at hand */
} AnswerView;

/* Starts an answer; what the view held is forgotten. */
void view_begin(AnswerView *view, const Cli *cli, bool collect);
/* For Talk.event: false when nobody reads any more, or without memory. */
bool view_event(void *view, const bt_answer_event *event);
/* Ends it with a line break: always, or where something stands in the line. */
void view_end(AnswerView *view, bool always);
void view_close(AnswerView *view);

#endif
