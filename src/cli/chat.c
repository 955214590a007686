/* The chat of `bantam run`: lines in, answers out, the history kept in memory. The whole
 * conversation is rendered anew for each answer and the session feeds only what it has not seen.
 * What is typed is stored nowhere but where --save or /save says. */
#include "cli/chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cli/answer.h"
#include "cli/interrupt.h"
#include "cli/line_input.h"
#include "cli/run.h"

typedef struct Chat {
    Run *r;
    LineInput *input;
    Messages messages; /* [0] is the system message, if `system` */
    bool system, ended;
    uint64_t base_seed, turn;
    AnswerView view;
    Buf heard; /* what was typed, as the assistant sees it */
    int code;
} Chat;

/* Tokens of a conversation with the assistant: it speaks of what was said last, and learnt from
 * short ones. */
enum { RECENT = 384 };

/* ---- one answer ---- */

static bool show_piece(void *user, const char *piece, size_t n)
{
    const bt_answer_event event = {.index = -1, .text = piece, .length = n};
    return view_event(user, &event);
}

/* What the conversation keeps of an answer; a message ends at a NUL byte, so it holds none. */
static const char *kept_text(Buf *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->size; i++)
        if (text->data[i]) text->data[n++] = text->data[i];
    if (text->data) text->data[n] = '\0';
    return text->data ? text->data : "";
}

/* With more than `most` tokens the oldest exchanges are forgotten until `left` are left. */
static bool forget_oldest(Chat *c, Ids *ids, size_t most, size_t left)
{
    size_t first = c->system ? 1 : 0, forgotten = 0;
    if (ids->n <= most) return true;
    while (ids->n > left && c->messages.n > first + 2) {
        size_t n = 1; /* a question and all that answered it */
        while (first + n < c->messages.n && strcmp(c->messages.list[first + n].role, "user") != 0)
            n++;
        messages_drop(&c->messages, first, n);
        forgotten++;
        if (!ids_of_messages(c->r, c->messages.list, c->messages.n, ids)) return false;
    }
    if (forgotten && !c->r->assistant)
        cli_say(c->r->cli, "(the context is nearly full: the oldest %zu exchange%s forgotten)",
                forgotten, forgotten == 1 ? " is" : "s are");
    return true;
}

/* Plain continuation: what the session holds, then what was typed. */
static bool raw_ids(Chat *c, const char *text, Ids *ids)
{
    const Ids *held = &c->r->talk.held;
    Ids more = {0};
    unsigned flags = held->n == 0 && c->r->m.info.add_bos ? BT_TOKENIZE_ADD_BOS : 0;
    bool good = ids_of_text(&c->r->m, text, strlen(text), flags, &more) &&
                ids_add(ids, held->ids, held->n) && ids_add(ids, more.ids, more.n);
    ids_close(&more);
    return good;
}

static void after_answer(Chat *c, TalkEnd end)
{
    const Run *r = c->r;
    switch (end) {
    case END_CONTEXT:
        cli_say(r->cli,
                "(the context of %d tokens is full: /clear starts anew; --ctx or --context-shift "
                "at the start of the program give more)",
                bt_session_context(r->session));
        break;
    case END_STOPPED:
        cli_say(r->cli, "(stopped)");
        c->ended = interrupt_final();
        break;
    case END_CLOSED:
        c->ended = true;
        c->code = CLI_FAILED;
        break;
    case END_STOP:
    case END_LENGTH:
    case END_FAILED: break;
    }
    interrupt_take();
}

/* The assistant's calls are carried out, answered, and kept with what came of them. */
static bool carry_out(Chat *c)
{
    Run *r = c->r;
    size_t n = json_array_size(c->view.calls), before = c->messages.n;
    const char **outcomes = mem_zalloc(n + 1, sizeof *outcomes);
    Buf answers = {0};
    bool kept = outcomes && messages_add_calls(&c->messages, "", c->view.calls);
    if (kept) {
        assistant_answer(r->assistant, c->heard.data, c->view.calls, &answers, outcomes);
        for (size_t i = 0; i < n && kept; i++)
            kept = messages_add(&c->messages, "tool", outcomes[i]);
        if (answers.data) fwrite(answers.data, 1, answers.size, stdout);
        kept = kept && !answers.failed;
    }
    if (!kept) {
        messages_drop(&c->messages, before, c->messages.n - before);
        cli_fail("not enough memory for the conversation");
    }
    buf_close(&answers);
    mem_free(outcomes);
    return kept;
}

/* The assistant's words are shown once they are whole. END_FAILED: they are not. */
static TalkEnd say(Chat *c, TalkEnd end)
{
    if (end != END_STOP && end != END_LENGTH && end != END_CONTEXT) return end;
    if (end == END_STOP && c->view.text.size) {
        printf("%s\n", kept_text(&c->view.text));
        return end;
    }
    assistant_lost();
    return END_FAILED;
}

/* Answers the last message, which is the user's. False: the message is to be forgotten. */
static bool answer(Chat *c)
{
    Run *r = c->r;
    Ids ids = {0};
    view_begin(&c->view, r->cli, r->assistant != NULL);
    c->view.carried = r->assistant != NULL;
    const char *last = c->messages.list[c->messages.n - 1].content;
    bool raw = opts_flag(&r->cli->opts, OPT_RAW), kept = false;
    if (raw ? !raw_ids(c, last, &ids) : !ids_of_messages(r, c->messages.list, c->messages.n, &ids))
        goto done;
    size_t most = (size_t)bt_session_context(r->session) * 3 / 4;
    if (r->assistant && !forget_oldest(c, &ids, most < RECENT ? most : RECENT, RECENT / 2))
        goto done;
    if (!raw && r->talk.context_shift && !forget_oldest(c, &ids, most, most)) goto done;
    interrupt_take();
    r->talk.sampling.seed = c->base_seed + c->turn++;
    if (!run_answer(r, c->messages.list, c->messages.n)) goto done;
    TalkEnd end = talk_answer(&r->talk, ids.ids, ids.n);
    bool calls = r->assistant && end == END_STOP && json_array_size(c->view.calls);
    if (end != END_FAILED && end != END_CLOSED) view_end(&c->view, !calls);
    if (calls) kept = carry_out(c);
    if (r->assistant && !calls && end != END_FAILED) end = say(c, end);
    fflush(stdout);
    if (!calls && end != END_FAILED &&
        (c->view.text.size || end == END_STOP || end == END_LENGTH)) {
        kept = messages_add(&c->messages, "assistant", kept_text(&c->view.text));
        if (!kept) cli_fail("not enough memory for the conversation");
    }
    after_answer(c, end);
    if (kept && !save_update(r->save, c->messages.list, c->messages.n)) c->code = CLI_FAILED;
done:
    ids_close(&ids);
    return kept;
}

static void ask(Chat *c, const char *text)
{
    if (c->r->assistant) {
        buf_clear(&c->heard);
        if (!assistant_hears(text, &c->heard)) return;
        if (!c->heard.size && !c->heard.failed) return;
        text = c->heard.failed ? "" : c->heard.data;
    }
    if (!*text || !messages_add(&c->messages, "user", text)) {
        cli_fail("not enough memory for the conversation");
        return;
    }
    if (!answer(c)) messages_drop(&c->messages, c->messages.n - 1, 1);
}

/* ---- commands ---- */

static void do_help(Chat *c, const char *rest);

static void do_clear(Chat *c, const char *rest)
{
    (void)rest;
    size_t first = c->system ? 1 : 0;
    messages_drop(&c->messages, first, c->messages.n - first);
    /* The session forgets it too: what stays, the system message, is read again. */
    bt_session_truncate(c->r->session, 0, 0, NULL);
    c->r->talk.held.n = 0;
    cli_say(c->r->cli, "(cleared)");
}

/* ~/ is the home folder, as in a shell. */
static void expand(const char *path, Buf *out)
{
    const char *home = getenv("HOME");
    if (path[0] == '~' && path[1] == '/' && home)
        buf_printf(out, "%s%s", home, path + 1);
    else
        buf_text(out, path);
}

static void do_save(Chat *c, const char *rest)
{
    char why[256];
    Buf path = {0};
    if (!*rest) {
        cli_fail("/save needs a file: /save talk.txt, or talk.json");
        return;
    }
    expand(rest, &path);
    if (path.failed || !save_as(c->r->save, path.data, c->messages.list, c->messages.n, why))
        cli_fail("/save %s: %s", rest, path.failed ? "not enough memory" : why);
    else
        cli_say(c->r->cli, "(saved in %s)", path.data);
    buf_close(&path);
}

static void do_regen(Chat *c, const char *rest)
{
    (void)rest;
    size_t n = c->messages.n;
    if (opts_flag(&c->r->cli->opts, OPT_RAW)) {
        cli_fail("/regen needs a chat, not --raw");
        return;
    }
    if (n && strcmp(c->messages.list[n - 1].role, "tool") == 0) {
        cli_fail("what was carried out is not made again; say \"undo\" to take it back");
        return;
    }
    if (n < 2 || strcmp(c->messages.list[n - 1].role, "assistant") != 0) {
        cli_fail("there is no answer yet to make again");
        return;
    }
    messages_drop(&c->messages, n - 1, 1);
    if (!answer(c)) messages_drop(&c->messages, c->messages.n - 1, 1);
}

static void do_info(Chat *c, const char *rest)
{
    (void)rest;
    const Run *r = c->r;
    const Talk *t = &r->talk;
    char box[64] = "off";
    if (r->m.boxed) sandbox_text(&r->m.box, box, sizeof box);
    fprintf(stderr, "model      %s\n", r->m.path);
    fprintf(stderr, "context    %zu of %d tokens used\n", t->held.n,
            bt_session_context(r->session));
    fprintf(stderr, "messages   %zu\n", c->messages.n);
    fprintf(stderr, "sandbox    %s\n", box);
    fprintf(stderr, "threads    %d\n", r->m.n_threads);
    if (!t->n_prompt) return;
    size_t read = t->n_prompt - t->n_cached;
    fprintf(stderr, "last       %zu tokens read (%zu kept from before) in %.2f s\n", read,
            t->n_cached, t->prompt_s);
    if (t->n_answer > 1 && t->decode_s > 0)
        fprintf(stderr, "           %zu tokens written, %.1f a second, seed %llu\n", t->n_answer,
                (double)(t->n_answer - 1) / t->decode_s, (unsigned long long)t->seed);
}

static void list_adapters(const CliAdapters *a)
{
    for (size_t i = 0; i < a->n; i++)
        fprintf(stderr, "%zu  %-6g %s\n", i + 1, (double)a->uses[i].scale, a->paths[i]);
    if (!a->n) fprintf(stderr, "(no adapters: --adapter names them at the start)\n");
}

/* "2", "2:0.5" or the path it was named with. */
static bool choose_adapter(CliAdapters *a, const char *word)
{
    char *name = NULL, *end;
    float scale;
    bool good = adapter_split(word, &name, &scale) && name;
    size_t i = a->n;
    if (good) {
        unsigned long number = strtoul(name, &end, 10);
        for (i = 0; i < a->n && strcmp(a->paths[i], name) != 0; i++) continue;
        if (i == a->n && *name && !*end && number >= 1 && number <= a->n) i = number - 1;
    }
    if (i < a->n) a->uses[i].scale = scale;
    mem_free(name);
    return i < a->n;
}

/* Files that were not named at the start cannot be read any more: the sandbox is closed. */
static void do_adapter(Chat *c, const char *rest)
{
    CliAdapters *a = &c->r->m.adapters;
    bt_error err = {0};
    if (!*rest || !a->n) {
        list_adapters(a);
        return;
    }
    float *before = mem_alloc(a->n * sizeof *before);
    if (!before) {
        cli_fail("/adapter: not enough memory for %zu adapters", a->n);
        return;
    }
    for (size_t i = 0; i < a->n; i++) {
        before[i] = a->uses[i].scale;
        a->uses[i].scale = 0;
    }
    bool good = true;
    for (const char *p = rest; good && *p && strcmp(rest, "off") != 0;) {
        char word[1024];
        size_t n = strcspn(p, " \t");
        snprintf(word, sizeof word, "%.*s", (int)(n < 1000 ? n : 1000), p);
        good = choose_adapter(a, word);
        if (!good)
            cli_fail("/adapter %s: is none of those named at the start with --adapter; /adapter "
                     "lists them",
                     word);
        p += n + strspn(p + n, " \t");
    }
    if (good && adapters_attach(a, c->r->session, &err) == BT_OK) {
        /* what was read with others is read again */
        c->r->talk.held.n = (size_t)bt_session_length(c->r->session, 0);
        list_adapters(a);
    } else {
        if (good) cli_fail("/adapter: %s", err.text);
        for (size_t i = 0; i < a->n; i++) a->uses[i].scale = before[i];
    }
    mem_free(before);
}

static void do_system(Chat *c, const char *rest)
{
    if (c->r->assistant) {
        cli_fail("the assistant takes no system message; larger models do (bantam run MODEL)");
        return;
    }
    if (!*rest) {
        fprintf(stderr, "%s\n", c->system ? c->messages.list[0].content : "(no system message)");
        return;
    }
    Messages next = {0};
    bool good = messages_add(&next, "system", rest);
    for (size_t i = c->system ? 1 : 0; good && i < c->messages.n; i++)
        good = messages_add(&next, c->messages.list[i].role, c->messages.list[i].content);
    if (!good) {
        messages_close(&next);
        cli_fail("not enough memory for the conversation");
        return;
    }
    messages_close(&c->messages);
    c->messages = next;
    c->system = true;
    cli_say(c->r->cli, "(from now on)");
}

static void do_exit(Chat *c, const char *rest)
{
    (void)rest;
    c->ended = true;
}

static const struct {
    const char *name, *argument, *help;
    void (*run)(Chat *c, const char *rest);
} chat_commands[] = {
    {"/help", "", "this list", do_help},
    {"/clear", "", "forget the conversation (the system message stays)", do_clear},
    {"/save", " FILE", "store the conversation in a new file (.json or text)", do_save},
    {"/regen", "", "make the last answer again", do_regen},
    {"/adapter", " N:SCALE", "run with these adapters only, or off; without, list them",
     do_adapter},
    {"/info", "", "model, context used, speed", do_info},
    {"/system", " TEXT", "the role the model plays; without TEXT, show it", do_system},
    {"/exit", "", "end; so does Ctrl-D", do_exit},
    {"/quit", "", "the same", do_exit},
};
enum { N_CHAT_COMMANDS = sizeof chat_commands / sizeof chat_commands[0] };

static void do_help(Chat *c, const char *rest)
{
    (void)c;
    (void)rest;
    for (size_t i = 0; i < N_CHAT_COMMANDS; i++) {
        int n = fprintf(stderr, "%s%s", chat_commands[i].name, chat_commands[i].argument);
        fprintf(stderr, "%*s%s\n", 18 - n, "", chat_commands[i].help);
    }
    fputs("\"\"\"               opens and closes a text of several lines; so does a \\ at a line's "
          "end\n"
          "Ctrl-C            stops the answer; at the prompt clears the line, twice ends\n",
          stderr);
}

static void command(Chat *c, const char *line)
{
    const char *names[N_CHAT_COMMANDS];
    size_t length = strcspn(line, " \t");
    for (size_t i = 0; i < N_CHAT_COMMANDS; i++) {
        names[i] = chat_commands[i].name;
        if (strlen(names[i]) != length || memcmp(names[i], line, length) != 0) continue;
        chat_commands[i].run(c, line + length + strspn(line + length, " \t"));
        return;
    }
    char word[32];
    snprintf(word, sizeof word, "%.*s", (int)(length < 31 ? length : 31), line);
    const char *near = nearest_name(word, names, N_CHAT_COMMANDS);
    if (near)
        cli_fail("%s is no command of the chat; did you mean %s?", word, near);
    else
        cli_fail("%s is no command of the chat; /help lists them", word);
}

/* ---- lines ---- */

/* Reads one message, which may take several lines. LINE_TEXT leaves it in `out`. */
static LineResult read_message(Chat *c, Buf *out)
{
    static const char quotes[] = "\"\"\"";
    const char *line, *prompt = "> ";
    bool quoted = false;
    buf_clear(out);
    buf_add(out, "", 0);
    for (;;) {
        LineResult result = line_read(c->input, prompt, &line);
        if (result != LINE_TEXT) return result == LINE_END && out->size ? LINE_TEXT : result;
        line_remember(c->input, line);
        size_t n = strlen(line);
        bool more = false;
        if (!quoted && out->size == 0 && strncmp(line, quotes, 3) == 0) {
            line += 3;
            n -= 3;
            quoted = true;
        }
        if (quoted) {
            const char *close = strstr(line, quotes);
            if (close) n = (size_t)(close - line);
            more = !close;
        } else if (n && line[n - 1] == '\\') {
            n--;
            more = true;
        }
        /* The line break after opening quotes and before closing ones is not part of the text. */
        bool opening = quoted && more && n == 0 && out->size == 0 && prompt[0] == '>';
        buf_add(out, line, n);
        if (more && !opening) buf_char(out, '\n');
        if (!more) break;
        prompt = ". ";
    }
    if (quoted && out->size && out->data[out->size - 1] == '\n') out->data[--out->size] = '\0';
    return out->failed ? LINE_END : LINE_TEXT;
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\n")] == '\0';
}

int chat(Run *r, LineInput *input)
{
    Chat c = {.r = r, .input = input, .base_seed = r->talk.sampling.seed, .code = CLI_GOOD};
    const char *system = opts_text(&r->cli->opts, OPT_SYSTEM);
    Buf text = {0};
    bool pressed = false; /* Ctrl-C was the last thing that happened */
    r->talk.show = show_piece;
    r->talk.event = view_event;
    r->talk.user = &c.view;
    if (system && messages_add(&c.messages, "system", system)) c.system = true;
    cli_say(r->cli, r->assistant ? "Try \"remind me to water the plants at 8\" or \"what can you "
                                   "do\"; /help lists more, Ctrl-D ends"
                                 : "/help lists what else you can type; Ctrl-D ends");
    if (r->assistant) assistant_ring(r->assistant, input);
    while (!c.ended) {
        LineResult result = read_message(&c, &text);
        if (result == LINE_END) {
            fputc('\n', stderr);
            break;
        }
        if (result == LINE_INTERRUPTED) {
            bool final = interrupt_final();
            interrupt_take();
            fputc('\n', stderr);
            if (pressed || final) break;
            pressed = true;
            cli_say(r->cli, "(Ctrl-C again ends; so does Ctrl-D)");
            continue;
        }
        pressed = false;
        if (is_blank(text.data)) continue;
        if (text.data[0] == '/' && !strchr(text.data, '\n'))
            command(&c, text.data);
        else
            ask(&c, text.data);
    }
    if (r->assistant) assistant_ring(r->assistant, NULL);
    messages_close(&c.messages);
    view_close(&c.view);
    buf_close(&c.heard);
    buf_close(&text);
    return c.code;
}
