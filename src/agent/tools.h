/* Between the files that carry out tools: a call's arguments, and where its answer goes. */
#ifndef AGENT_TOOLS_H
#define AGENT_TOOLS_H

#include "agent/agent.h"
#include "agent/store.h"
#include "agent/when.h"
#include "base/span.h"

enum { LISTED_MOST = 99 };

struct Agent {
    Store *store; /* NULL: not open, see agent_store */
    char *folder;
    AgentOptions options;
    const char *heard; /* what the user said last, or NULL */
    /* What was spoken of: by number in the list shown last, and by "it". */
    struct {
        int64_t id;
        ItemKind kind;
    } listed[LISTED_MOST];
    size_t n_listed;
    int64_t last[ITEM_KINDS]; /* ids, 0: none */
};

typedef enum ArgumentId {
    ARG_TEXT,
    ARG_IN,
    ARG_DAY,
    ARG_TIME,
    ARG_EVERY,
    ARG_END,
    ARG_FOR,
    ARG_KIND,
    ARG_FROM,
    ARG_TO,
    ARG_EXPR,
    ARG_TOPIC,
    ARG_REASON,
    ARG_NUMBER,
    ARG_VALUE,
    ARGUMENTS
} ArgumentId;

typedef struct ToolCall {
    Agent *agent;
    int64_t now;
    Span said[ARGUMENTS]; /* data NULL: not given. Of numbers the digits */
    int64_t number;       /* of ARG_NUMBER */
    Buf *answer;
    AgentOutcome outcome;
} ToolCall;

/* Opens what is kept, unless it is open. */
bt_status agent_store(Agent *agent, bt_error *err);

/* One tool. BT_OK with an answer, or what agent_call says. */
typedef bt_status (*ToolFn)(ToolCall *call, bt_error *err);

bt_status tool_remind(ToolCall *call, bt_error *err);
bt_status tool_timer(ToolCall *call, bt_error *err);
bt_status tool_event(ToolCall *call, bt_error *err);
bt_status tool_note(ToolCall *call, bt_error *err);
bt_status tool_list(ToolCall *call, bt_error *err);
bt_status tool_find(ToolCall *call, bt_error *err);
bt_status tool_cancel(ToolCall *call, bt_error *err);
bt_status tool_change(ToolCall *call, bt_error *err);
bt_status tool_undo(ToolCall *call, bt_error *err);
bt_status tool_time(ToolCall *call, bt_error *err);
bt_status tool_date(ToolCall *call, bt_error *err);
bt_status tool_days(ToolCall *call, bt_error *err);
bt_status tool_calculate(ToolCall *call, bt_error *err);
bt_status tool_convert(ToolCall *call, bt_error *err);
bt_status tool_help(ToolCall *call, bt_error *err);
bt_status tool_escalate(ToolCall *call, bt_error *err);

/* Answers that the call makes no sense; gives BT_OK, so that `return tool_wrong(...)` reads well.
 */
bt_status tool_wrong(ToolCall *call, const char *format, ...) BT_PRINTF(2, 3);
/* The same for what when_resolve said. */
bt_status tool_wrong_when(ToolCall *call, WhenResult result);
bool tool_has(const ToolCall *call, ArgumentId id);
/* "Reminder", "a reminder", "reminders" */
const char *kind_name(ItemKind kind);
const char *kind_many(ItemKind kind);
bool kind_of(Span name, ItemKind *out);
/* An item in a line: "call the dentist: tomorrow (Sunday, 22 November) at 17:00". */
void item_words(Buf *out, const Item *item, int64_t now);
/* "Monday at 9:00" without the text. */
void item_when(Buf *out, const Item *item, int64_t now);
/* Text as it is kept and shown: UTF-8, control characters (which a terminal would obey) become
 * blanks, no blanks at its ends. Appended. */
void clean_text(Buf *out, Span text);
/* Lists items by number, as "the second one" will mean them. */
void show_items(ToolCall *call, const Items *items);

#endif
