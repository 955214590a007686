/* Showing answers (see answer.h). Calls come whole (bt_answer_options.whole_calls), so nothing that
 * was printed is ever taken back. */
#include "cli/answer.h"

#include <stdlib.h>
#include <string.h>

#define DIM   "\033[2m"
#define PLAIN "\033[0m"

void view_begin(AnswerView *v, const Cli *cli, bool collect)
{
    const char *think = opts_text(&cli->opts, OPT_THINK);
    v->cli = cli;
    v->collect = collect;
    v->hide = cli->quiet || (think && strcmp(think, "hide") == 0);
    v->thought = false;
    v->last = '\0';
    buf_clear(&v->text);
    buf_clear(&v->reasoning);
    json_decref(v->calls);
    v->calls = json_array();
}

static bool print(AnswerView *v, const char *text, size_t n)
{
    if (!n) return true;
    v->last = text[n - 1];
    fwrite(text, 1, n, stdout);
    return cli_flush() == CLI_GOOD;
}

/* Reasoning is over: what follows begins on a line of its own. */
static void end_thought(AnswerView *v)
{
    if (v->thought) fputs("\n\n", stderr);
    v->thought = false;
}

static void print_thought(AnswerView *v, const char *text, size_t n)
{
    if (v->collect || v->hide) return;
    if (!v->thought && v->last && v->last != '\n') print(v, "\n", 1);
    v->thought = true;
    if (v->cli->color) fputs(DIM, stderr);
    fwrite(text, 1, n, stderr);
    if (v->cli->color) fputs(PLAIN, stderr);
}

static bool print_text(AnswerView *v, const char *text, size_t n)
{
    if (v->collect) return !v->text.failed;
    end_thought(v);
    return print(v, text, n);
}

static json_t *call_object(const AnswerView *v)
{
    return json_pack("{s:o,s:s,s:{s:o,s:o}}", "id", json_bytes(v->id.data, v->id.size), "type",
                     "function", "function", "name", json_bytes(v->name.data, v->name.size),
                     "arguments", json_bytes(v->arguments.data, v->arguments.size));
}

/* A call is whole: one line {"name": ..., "arguments": ...}, which is also what a chat remembers.
 */
static bool end_call(AnswerView *v)
{
    json_t *call = call_object(v);
    if (!call || json_array_append_new(v->calls, call) != 0) return false;
    if (v->collect || v->carried) return true;
    json_t *name = json_bytes(v->name.data, v->name.size);
    char *quoted = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
    Buf line = {0};
    if (v->last && v->last != '\n') buf_char(&line, '\n');
    buf_printf(&line, "{\"name\": %s, \"arguments\": ", quoted ? quoted : "null");
    buf_add(&line, v->arguments.data, v->arguments.size);
    buf_text(&line, "}\n");
    bool good = quoted && !line.failed;
    if (good) buf_add(&v->text, line.data, line.size);
    if (good) good = print_text(v, line.data, line.size);
    free(quoted);
    json_decref(name);
    buf_close(&line);
    return good;
}

bool view_event(void *user, const bt_answer_event *e)
{
    AnswerView *v = user;
    switch (e->kind) {
    case BT_ANSWER_TEXT:
        buf_add(&v->text, e->text, e->length);
        return print_text(v, e->text, e->length);
    case BT_ANSWER_REASONING:
        buf_add(&v->reasoning, e->text, e->length);
        print_thought(v, e->text, e->length);
        return !v->reasoning.failed;
    case BT_ANSWER_CALL:
        buf_clear(&v->id);
        buf_clear(&v->name);
        buf_clear(&v->arguments);
        buf_text(&v->id, e->id);
        buf_text(&v->name, e->name);
        return !v->id.failed && !v->name.failed;
    case BT_ANSWER_ARGUMENTS:
        buf_add(&v->arguments, e->text, e->length);
        return !v->arguments.failed;
    case BT_ANSWER_CALL_END: return end_call(v);
    case BT_ANSWER_CALL_VOID: break;
    }
    return true;
}

void view_end(AnswerView *v, bool always)
{
    if (v->collect) return;
    end_thought(v);
    if (!always && (!v->last || v->last == '\n')) return;
    putchar('\n');
    v->last = '\n';
}

void view_close(AnswerView *v)
{
    json_decref(v->calls);
    buf_close(&v->text);
    buf_close(&v->reasoning);
    buf_close(&v->id);
    buf_close(&v->name);
    buf_close(&v->arguments);
}
