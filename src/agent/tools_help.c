/* Tools that explain: help about Bantam, and escalate, which says that a larger model is needed
 * (see tools.h). */
#include "agent/tools.h"

typedef struct Text {
    const char *name, *text;
} Text;

static const Text topics[] = {
    {"abilities",
     "I keep reminders, timers, calendar entries and notes; I tell dates and times, do sums and "
     "convert units. Try:\n"
     "  remind me to water the plants tomorrow at 8\n"
     "  set a timer for 12 minutes\n"
     "  lunch with Kim on Friday at 1, put it in my calendar\n"
     "  what is 18% of 240\n"
     "All of it stays on this machine."},
    {"about",
     "I am the small model that comes with Bantam, a program that runs language models on your own "
     "machine. I know a few everyday tasks; for others Bantam runs larger models."},
    {"models",
     "Any model in a GGUF file runs: download one (Qwen 3, Gemma 3, Llama 3.2 ... of 1 to 8 "
     "billion "
     "weights; Q4_K_M is a good size), then: bantam run FILE.gguf. 'bantam list' shows those that "
     "are here already, 'bantam info FILE.gguf' the memory one takes."},
    {"privacy",
     "Nothing you type leaves this machine: the process that holds it gave up the right to open "
     "network sockets before it read the model. 'bantam selfcheck --egress' tries every way out. I "
     "need no internet."},
    {"data",
     "What you ask me to keep is in one file, assistant/assistant.db in Bantam's data folder "
     "(~/.local/share/bantam, unless XDG_DATA_HOME names another), readable by you alone. The "
     "conversation itself is stored nowhere unless you use /save."},
    {"reminders", "Reminders show when you open a chat and, while one is open, at their minute "
                  "with a bell. When "
                  "none is open, let cron print them: * * * * * bantam due. 'Every Monday at 9' "
                  "repeats; \"snooze "
                  "10 minutes\" puts one off."},
    {"timers",
     "Timers ring while a chat is open; 'bantam due' prints those that ended meanwhile. Ask "
     "\"how long is left\", or cancel one by its name."},
    {"calendar",
     "Say what and when: \"dentist on Friday at 10\". I tell of an entry when it begins, as of "
     "reminders. 'bantam due --ics > calendar.ics' writes "
     "entries and reminders for other calendars to import."},
    {"notes", "Say \"note: ...\" and it is kept; \"find my note about ...\" searches all words."},
    {"math", "I compute + - * / ^, brackets, percentages and roots exactly where decimals allow, "
             "and convert "
             "lengths, masses, volumes, temperatures, speeds, areas, times, energy, pressure and "
             "data sizes."},
    {"quit", "/exit or Ctrl-D ends the chat; /help lists what else can be typed."},
};

static const Text reasons[] = {
    {"knowledge", "That asks for knowledge that I do not have."},
    {"live", "That needs current information, which would have to come from the internet."},
    {"writing", "Writing texts is beyond me."},
    {"translation", "I cannot translate."},
    {"code", "I cannot write or explain code."},
    {"math", "That is more mathematics than arithmetic."},
    {"advice", "That needs judgement that I do not have."},
    {"action", "I can do nothing outside of Bantam: no messages, calls, music or devices."},
    {"other", "That is beyond what I can do."},
};

static const char *text_of(const Text *list, size_t n, Span name)
{
    for (size_t i = 0; i < n; i++)
        if (span_is(name, list[i].name)) return list[i].text;
    return NULL;
}
#define TEXT_OF(list, name) text_of(list, sizeof(list) / sizeof((list)[0]), name)

bt_status tool_help(ToolCall *call, bt_error *err)
{
    (void)err;
    const char *text = TEXT_OF(topics, call->said[ARG_TOPIC]);
    buf_text(call->answer, text ? text : topics[0].text);
    return BT_OK;
}

/* How to get a larger model, or which are here. */
static void larger(Buf *out, const AgentOptions *o)
{
    if (o->knows_models && o->n_models)
        buf_printf(out,
                   "'bantam list' shows %zu that %s on this machine; start one with 'bantam run "
                   "NAME'.",
                   o->n_models, o->n_models == 1 ? "is" : "are");
    else
        buf_printf(out,
                   "To get one: download a GGUF file, for example Qwen 3 or Gemma 3 of 1 to 8 "
                   "billion weights, and start it with 'bantam run FILE.gguf'%s.",
                   o->knows_models ? "" : "; 'bantam list' shows those that are here already");
}

bt_status tool_escalate(ToolCall *call, bt_error *err)
{
    (void)err;
    Span reason = call->said[ARG_REASON];
    const char *text = TEXT_OF(reasons, reason);
    buf_text(call->answer, text ? text : "That is beyond what I can do.");
    if (span_is(reason, "live") || span_is(reason, "action"))
        buf_text(call->answer, " A larger model on this machine could talk about it, but reaches "
                               "nothing outside either.\n");
    else
        buf_text(call->answer, " It needs a larger model.\n");
    larger(call->answer, &call->agent->options);
    return BT_OK;
}
