/* The assistant's tools, carried out (docs/assistant.md): a call in, an answer in plain words out.
 * The words are the program's own, made of what the tool found. Calls come from a model and are not
 * trusted: what does not fit the tool's schema is answered, and changes nothing. Ringing too, and
 * the calendar as iCalendar (RFC 5545). The clock is the caller's: `now` is seconds of UTC. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

typedef struct Agent Agent;

/* Value of the GGUF key bantam.assistant of models that call these tools. */
#define AGENT_KEY  "bantam.assistant"
#define AGENT_NAME "hatchling-tools"

/* The tools' definitions: a JSON array, models.d/hatchling/tools.json. */
const char *agent_tools(void);

typedef struct AgentOptions {
    bool month_first;  /* 3/4 is the 4th of March */
    bool knows_models; /* so that who needs a larger model is told of them: */
    size_t n_models;   /* how many are on this machine */
} AgentOptions;

/* What is kept lies in `folder`, which exists (NULL: there is none). Where it cannot be opened (see
 * store.h) the agent is opened all the same, since sums and dates need nothing: calls that keep or
 * look for something try again, and fail with what is wrong. Fails without memory alone. */
bt_status agent_open(const char *folder, const AgentOptions *options, Agent **out, bt_error *err);
void agent_close(Agent **agent);

/* What the user said last, cleaned (clean_text): a note that ends where the longest span that can
 * be copied does goes on to the end of this. Borrowed until the next; NULL: nothing. */
void agent_hear(Agent *agent, const char *text);

/* What the model is told of a call, as the content of the tool's message. */
typedef enum AgentOutcome {
    AGENT_DONE,    /* "ok" */
    AGENT_NOTHING, /* "nothing found" */
    AGENT_WHICH,   /* "which": several fit, the user was asked */
    AGENT_WRONG,   /* "failed": the arguments make no sense */
} AgentOutcome;
const char *agent_outcome_text(AgentOutcome outcome);

/* Carries out the call `name` with `arguments` (a JSON object) and appends the answer, lines
 * without the last line break. BT_OK also where the call made no sense; else the answer is in err
 * (what is kept could not be read or written, no memory), and nothing was changed. */
bt_status agent_call(Agent *agent, const char *name, const char *arguments, int64_t now,
                     Buf *answer, AgentOutcome *outcome, bt_error *err);

/* Reminders and timers that are due by now, and calendar entries that have begun and are not over:
 * a line each is appended, and they are not due again (a repetition at its next time). *n: how
 * many.
 */
bt_status agent_due(Agent *agent, int64_t now, Buf *lines, size_t *n, bt_error *err);
/* When the next one is due, of calendar entries those of the next two days; 0: none. */
bt_status agent_next_due(Agent *agent, int64_t now, int64_t *at, bt_error *err);
/* Calendar entries and reminders, as a VCALENDAR. */
bt_status agent_calendar(Agent *agent, int64_t now, Buf *out, bt_error *err);

#endif
