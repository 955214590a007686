/* The assistant in the program (see assistant.h): where its file is, the system's clock, the bell.
 */
#include "cli/assistant.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/agent.h"
#include "agent/civil.h"
#include "agent/tools.h"
#include "base/mem.h"
#include "base/os.h"
#include "cli/interrupt.h"
#include "engine/model.h"
#include "io/gguf.h"
#include "text/copied.h"
#include "text/utf8.h"

struct Assistant {
    const Cli *cli;
    LineInput *input;
    int64_t next, looked; /* when something is due (0: nothing), when that was found out */
#ifdef BANTAM_AGENT
    Agent *agent;
#endif
};

bool assistant_is(const bt_model *model)
{
    Span name = {0};
    return model->gguf && gguf_get_span(model->gguf, AGENT_KEY, false, &name, NULL) == BT_OK &&
           span_is(name, AGENT_NAME);
}

int assistant_lost(void)
{
    return cli_fail("the assistant did not understand that; say it in other words");
}

#ifdef BANTAM_AGENT

enum {
    LOOK_AGAIN = 20,  /* seconds: another program may have stored something */
    MOST_BYTES = 1000 /* of a message */
};

static int64_t now(void)
{
    return (int64_t)time(NULL);
}

char *assistant_folder(void)
{
    bt_error err;
    char *folder = cli_user_path("XDG_DATA_HOME", ".local/share", "assistant");
    tzset();
    clock_local(0);
    if (folder && os_make_dirs(folder, &err) == BT_OK) return folder;
    mem_free(folder);
    return NULL;
}

/* Americans write the month first. */
static bool month_first(void)
{
    static const char *const names[] = {"LC_ALL", "LC_TIME", "LANG"};
    for (size_t i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) return strstr(value, "_US") != NULL;
    }
    return false;
}

int assistant_open(const Cli *cli, const char *folder, int n_models, Assistant **out)
{
    bt_error err = {0};
    const AgentOptions options = {.month_first = month_first(),
                                  .knows_models = n_models >= 0,
                                  .n_models = n_models > 0 ? (size_t)n_models : 0};
    *out = NULL;
    Assistant *a = mem_zalloc(1, sizeof *a);
    if (!a) return cli_fail("not enough memory for the assistant");
    a->cli = cli;
    if (agent_open(folder, &options, &a->agent, &err) != BT_OK) {
        mem_free(a);
        return cli_fail("%s", err.text);
    }
    *out = a;
    return CLI_GOOD;
}

void assistant_close(Assistant **pointer)
{
    Assistant *a = *pointer;
    *pointer = NULL;
    if (!a) return;
    assistant_ring(a, NULL);
    agent_close(&a->agent);
    mem_free(a);
}

bool assistant_bind(const bt_message *messages, size_t n, Buf *out)
{
    bt_error err = {0};
    size_t n_said = 0;
    bool bound = false;
    Span *said = mem_alloc((n + 1) * sizeof *said);
    buf_clear(out);
    for (size_t i = 0; i < n && said; i++)
        if (messages[i].content && strcmp(messages[i].role, "user") == 0)
            said[n_said++] = span_of(messages[i].content);
    if (!said) return cli_fail("not enough memory for the conversation") == CLI_GOOD;
    bt_status status = copied_bind(span_of(agent_tools()), said, n_said, out, &bound, &err);
    mem_free(said);
    if (!status && !bound) buf_text(out, agent_tools());
    if (!status && out->failed) status = bt_fail_memory(&err, "the tools", out->size);
    return status == BT_OK || cli_fail("%s", err.text) == CLI_GOOD;
}

bool assistant_answer(Assistant *a, const char *heard, const json_t *calls, Buf *answers,
                      const char **outcomes)
{
    bool good = true;
    agent_hear(a->agent, heard);
    size_t n = json_array_size(calls);
    for (size_t i = 0; i < n; i++) {
        const json_t *function = json_object_get(json_array_get(calls, i), "function");
        const char *name = json_string_value(json_object_get(function, "name"));
        const char *arguments = json_string_value(json_object_get(function, "arguments"));
        AgentOutcome outcome = AGENT_WRONG;
        bt_error err = {0};
        outcomes[i] = agent_outcome_text(outcome);
        if (!good) continue;
        good = agent_call(a->agent, name ? name : "", arguments ? arguments : "", now(), answers,
                          &outcome, &err) == BT_OK;
        if (!good) {
            cli_fail("%s", err.text);
            continue;
        }
        buf_char(answers, '\n');
        outcomes[i] = agent_outcome_text(outcome);
    }
    agent_hear(a->agent, NULL);
    a->looked = 0;
    return good;
}

/* ---- what is due ---- */

static void tell(Assistant *a, bool ring, bool faults)
{
    Buf lines = {0};
    size_t n;
    bt_error err = {0};
    bool good = agent_due(a->agent, now(), &lines, &n, &err) == BT_OK;
    if (n || lines.size) {
        if (ring) fputs("\r\033[K\a", stderr); /* over the line that is being typed */
        if (lines.data) fputs(lines.data, stderr);
    }
    if (!good && faults) cli_fail("%s", err.text);
    if (ring && (n || !good)) line_redraw(a->input);
    buf_close(&lines);
    a->looked = 0;
}

void assistant_due(Assistant *a, bool faults)
{
    tell(a, false, faults);
}

/* Letters of other alphabets and none of the Latin one: the model knows English alone, and what it
 * makes of the rest may be to cancel something. */
static bool is_foreign(const char *text, size_t n)
{
    enum { AFTER_LATIN = 0x250, GENERAL_PUNCTUATION = 0x2000, SYMBOLS_END = 0x2bff };
    size_t step, others = 0;
    for (size_t i = 0; i < n; i += step) {
        uint32_t c = utf8_next(text + i, n - i, &step);
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c < AFTER_LATIN))
            return false;
        others += c >= AFTER_LATIN && (c < GENERAL_PUNCTUATION || c > SYMBOLS_END);
    }
    return others > 0;
}

/* What a call copies lies in the last words; longer messages were in no model's training. */
bool assistant_hears(const char *text, Buf *out)
{
    size_t start = out->size, words = 1;
    clean_text(out, span_of(text));
    if (!out->failed && is_foreign(out->data + start, out->size - start)) {
        cli_fail("the assistant understands English alone; larger models know more languages "
                 "(bantam run MODEL)");
        return false;
    }
    for (size_t i = start; i < out->size; i++) words += out->data[i] == ' ';
    if (words <= COPIED_WORDS && out->size - start <= MOST_BYTES) return true;
    cli_fail("that is too long for the assistant, which takes in %d words at a time; larger models "
             "read texts (bantam run MODEL)",
             COPIED_WORDS);
    return false;
}

/* Called about twice a second while nothing is typed. */
static void on_idle(void *user)
{
    Assistant *a = user;
    int64_t at = now();
    if (!a->looked || at - a->looked >= LOOK_AGAIN || at < a->looked) {
        if (agent_next_due(a->agent, at, &a->next, NULL) != BT_OK)
            a->next = 0; /* said when it rings */
        a->looked = at;
    }
    if (a->next && at >= a->next) tell(a, true, true);
}

void assistant_ring(Assistant *a, LineInput *input)
{
    a->input = input;
    interrupt_idle(input ? on_idle : NULL, a);
}

#else

static const char missing[] = "this build has no assistant: it was made without SQLite "
                              "(install its headers, then build again)";

char *assistant_folder(void)
{
    return NULL;
}

int assistant_open(const Cli *cli, const char *folder, int n_models, Assistant **out)
{
    (void)cli;
    (void)folder;
    (void)n_models;
    *out = NULL;
    return cli_fail("%s", missing);
}

void assistant_close(Assistant **assistant)
{
    *assistant = NULL;
}

bool assistant_bind(const bt_message *messages, size_t n, Buf *out)
{
    (void)messages;
    (void)n;
    (void)out;
    return cli_fail("%s", missing) == CLI_GOOD;
}

bool assistant_answer(Assistant *a, const char *heard, const json_t *calls, Buf *answers,
                      const char **outcomes)
{
    (void)a;
    (void)heard;
    (void)answers;
    for (size_t i = 0; i < json_array_size(calls); i++) outcomes[i] = "failed";
    cli_fail("%s", missing);
    return false;
}

void assistant_due(Assistant *a, bool faults)
{
    (void)a;
    (void)faults;
}

bool assistant_hears(const char *text, Buf *out)
{
    buf_text(out, text);
    return true;
}

void assistant_ring(Assistant *a, LineInput *input)
{
    (void)a;
    (void)input;
}

#endif
