/* What stands around calls (see answer_grammar.h): thoughts and free text, or text that is held. An
 * answer of plain text is thoughts, then the rest. One of messages (AnswerHeader) goes from headers
 * to contents and back: a call is in a header, or in the content of a message for a tool. */
#include "text/answer_grammar.h"

#include "base/mem.h"
#include "text/answer_maker.h"
#include "text/json_scan.h"

static bool ends_with(Span text, const char *what)
{
    size_t n = what ? strlen(what) : 0;
    while (text.size && json_is_space(text.data[text.size - 1])) text.size--;
    return n && text.size >= n && memcmp(text.data + text.size - n, what, n) == 0;
}

static uint32_t text_of(Maker *m, uint32_t from, const char *text)
{
    return maker_text(m, from, span_of(text));
}

static const char *pattern_of(const AnswerForm *form)
{
    return form->writes ? form->writes : form->calls[0];
}

/* ---- plain answers ---- */

/* Thoughts first, if they come; gives where the rest starts. */
static uint32_t thoughts(Maker *m, const AnswerSource *source, bool known, uint32_t start)
{
    const AnswerThink *t = &source->think;
    uint32_t begin = builder_state(m->b);
    bool opened = ends_with(source->prompt, t->open);
    if (!opened) builder_empty(m->b, start, begin);
    if (!opened && !known) return begin;
    uint32_t inside = opened ? start : text_of(m, maker_blank(m, start), t->open);
    uint32_t closed = maker_until(m, inside, span_of(t->close), true, 0);
    builder_empty(m->b, maker_blank(m, closed), begin);
    return begin;
}

/* Calls where an answer that begins like one is one. */
static void bare_calls(Maker *m, const char *pattern, uint32_t begin, bool needed, uint32_t last)
{
    builder_empty(m->b, maker_calls(m, maker_blank(m, begin), pattern, 0), last);
    if (needed) return;
    uint32_t other = builder_state(m->b), free_text = maker_blank(m, begin);
    builder_empty(m->b, free_text, last);
    for (unsigned c = 0; c < GRAMMAR_CONTROL; c++)
        if (!strchr(" \n{[", (int)c) || !c) builder_bytes(m->b, free_text, c, c, other);
    builder_free(m->b, other, (Span){0}, last);
}

/* Free text with calls in it. */
static void free_calls(Maker *m, uint32_t begin, bool needed, uint32_t last)
{
    const char *pattern = pattern_of(m->form);
    if (*pattern == '^') {
        bare_calls(m, pattern + 1, begin, needed, last);
        return;
    }
    Span first = maker_first_text(pattern);
    uint32_t said = maker_until(m, begin, first, true, needed ? 0 : last);
    uint32_t after = maker_calls(m, said, pattern, first.size);
    builder_empty(m->b, after, last);
    builder_empty(m->b, maker_until(m, after, first, true, last), said);
}

/* Markup that may stand around text: at most two pieces. */
static uint32_t drops(Maker *m, uint32_t from)
{
    uint32_t to = builder_state(m->b);
    for (int i = 0; i < 2; i++) {
        builder_empty(m->b, from, to);
        uint32_t next = builder_state(m->b);
        for (size_t k = 0; k < ANSWER_FORM_MARKS && m->form->drops[k]; k++)
            builder_empty(m->b, maker_blank(m, text_of(m, from, m->form->drops[k])), next);
        from = next;
    }
    builder_empty(m->b, from, to);
    return to;
}

/* Text of the rule `held`, or calls instead of it if there are tools. */
static void held_text(Maker *m, uint32_t begin, uint32_t held, uint32_t last)
{
    const char *pattern = pattern_of(m->form);
    uint32_t inside = drops(m, m->blank ? maker_blank(m, begin) : begin);
    uint32_t after = builder_state(m->b);
    builder_call(m->b, inside, held, after);
    builder_empty(m->b, m->form->drops[0] ? drops(m, maker_blank(m, after)) : after, last);
    if (!m->types) return;
    uint32_t call = maker_blank(m, begin), done;
    bool bare = *pattern == '^';
    Span first = maker_first_text(pattern + bare);
    done = bare ? maker_calls(m, call, pattern + 1, 0)
                : maker_calls(m, maker_text(m, call, first), pattern, first.size);
    builder_empty(m->b, done, last);
    if (!bare) builder_empty(m->b, maker_blank(m, done), call);
}

/* ---- answers of messages ---- */

typedef struct Messages {
    uint32_t header, content; /* where one stands: in a header, in the content of a message */
    uint32_t last;
    bool needed; /* there must be a call */
} Messages;

/* From content that is free to the next header, or the end. `call` (may be empty): what it cannot
 * hold; *found is the state after that. */
static void next_message(Maker *m, const Messages *at, uint32_t content, bool may_end, Span call,
                         uint32_t *found)
{
    const AnswerHeader *h = &m->form->header;
    Span stops[3] = {span_of(h->open[0])};
    uint32_t out[3];
    size_t n = 1, n_open;
    if (h->open[1]) stops[n++] = span_of(h->open[1]);
    n_open = n;
    if (call.size) stops[n++] = call;
    maker_until_any(m, content, stops, n, true, may_end ? at->last : 0, out);
    builder_empty(m->b, h->role ? text_of(m, out[0], h->role) : out[0], at->header);
    if (n_open > 1) builder_empty(m->b, out[1], at->header);
    if (call.size) *found = out[n - 1];
}

/* A message of thoughts: nothing in it is a call. */
static void thinking_message(Maker *m, const Messages *at, bool may_end)
{
    const AnswerHeader *h = &m->form->header;
    if (!h->thinks) return;
    uint32_t thought = text_of(m, text_of(m, at->header, h->thinks), h->close);
    next_message(m, at, thought, may_end, (Span){0}, NULL);
}

/* Calls from a state where the text that sets them off has been read; gives where they are over. */
static uint32_t message_calls(Maker *m, uint32_t from)
{
    const char *pattern = pattern_of(m->form);
    Span first = maker_first_text(pattern);
    uint32_t done = maker_calls(m, from, pattern, first.size);
    if (m->form->header.wraps) /* another in the same message */
        builder_empty(m->b, maker_text(m, maker_blank(m, done), first), from);
    return done;
}

/* Messages of any kind, in which tools of ours are called rightly. */
static void free_messages(Maker *m, const Messages *at)
{
    const AnswerHeader *h = &m->form->header;
    Span first = maker_first_text(pattern_of(m->form)), stops[] = {span_of(h->close), first};
    uint32_t call = builder_state(m->b), found = 0, out[2] = {0};
    thinking_message(m, at, !at->needed);
    if (h->bare) { /* the text that sets calls off has opened the header */
        builder_empty(m->b, at->header, call);
        builder_empty(m->b, text_of(m, text_of(m, at->header, h->says), h->close), at->content);
    } else {
        maker_until_any(m, at->header, stops, h->wraps ? 1 : 2, true, 0, out);
        builder_empty(m->b, out[0], at->content);
        if (!h->wraps) builder_empty(m->b, out[1], call);
    }
    next_message(m, at, at->content, !at->needed, h->wraps ? first : (Span){0}, &found);
    if (h->wraps) builder_empty(m->b, found, call);
    uint32_t done = message_calls(m, call);
    builder_empty(m->b, done, at->last);
    if (h->wraps) { /* back to free content, in which the answer may now end */
        Messages later = *at;
        later.needed = false;
        next_message(m, &later, done, true, first, &found);
        builder_empty(m->b, found, call);
    } else {
        next_message(m, at, done, true, (Span){0}, NULL);
    }
}

/* Thoughts, and then one message of the rule `held`, or calls instead of it if there are tools. */
static void held_message(Maker *m, const Messages *at, uint32_t held)
{
    const AnswerHeader *h = &m->form->header;
    uint32_t said = text_of(m, text_of(m, at->header, h->says), h->close);
    uint32_t after = builder_state(m->b), call, out[2] = {0};
    thinking_message(m, at, false);
    builder_empty(m->b, said, at->content);
    builder_call(m->b, m->blank ? maker_blank(m, at->content) : at->content, held, after);
    builder_empty(m->b, after, at->last);
    for (size_t i = 0; i < 5 && h->ends[i]; i++)
        builder_empty(m->b, text_of(m, after, h->ends[i]), at->last);
    if (!m->types) return;
    Span first = maker_first_text(pattern_of(m->form)), stops[] = {span_of(h->close), first};
    if (h->bare) {
        call = at->header;
    } else {
        maker_until_any(m, at->header, stops, h->wraps ? 1 : 2, true, 0, out);
        call = h->wraps ? maker_text(m, maker_blank(m, out[0]), first) : out[1];
    }
    builder_empty(m->b, message_calls(m, call), at->last);
}

/* Where the prompt has left the answer. */
static void begin_messages(Maker *m, const Messages *at, Span prompt, bool held, uint32_t start)
{
    const AnswerHeader *h = &m->form->header;
    char opened[MAKER_MOST_MARK];
    snprintf(opened, sizeof opened, "%s%s", h->open[0], h->role ? h->role : "");
    if (h->bare ? !prompt.size || ends_with(prompt, opened) : ends_with(prompt, opened)) {
        builder_empty(m->b, start, at->header);
    } else if (!held || ends_with(prompt, h->close)) {
        builder_empty(m->b, start, at->content);
    } else {
        builder_empty(m->b, start, at->header);
        builder_empty(m->b, text_of(m, start, opened), at->header);
    }
}

/* ---- whole answers ---- */

/* held 0: free text. */
static uint32_t build(Maker *m, const AnswerSource *source, bool needed, uint32_t held)
{
    const AnswerForm *form = m->form;
    uint32_t rule = builder_rule(m->b, (Span){0});
    if (m->b->no_memory || m->b->too_large) return 0;
    uint32_t start = m->b->rules[rule].start, last = builder_state(m->b);
    builder_empty(m->b, last, m->b->rules[rule].end);
    if (form->header.close) {
        Messages at = {builder_state(m->b), builder_state(m->b), last, needed};
        begin_messages(m, &at, source->prompt, held != 0, start);
        if (held)
            held_message(m, &at, held);
        else
            free_messages(m, &at);
    } else if (held) {
        bool closed = ends_with(source->prompt, source->think.close);
        held_text(m, thoughts(m, source, source->thinks && !closed, start), held, last);
    } else {
        free_calls(m, thoughts(m, source, true, start), needed, last);
    }
    return rule;
}

static bt_status with_tools(Maker *m, const char *tools)
{
    bt_status status = answer_tools_open(tools, &m->types, m->err);
    if (status) return status;
    m->tools = json_loads(tools, 0, NULL);
    if (!m->tools) return bt_fail_memory(m->err, "the tools", strlen(tools));
    if (!json_array_size(m->tools))
        return bt_fail(m->err, BT_E_ARGUMENT, "no tools are declared: there is no call to hold");
    return BT_OK;
}

static bt_status finish(Maker *m, bt_status status)
{
    json_decref(m->tools);
    answer_tools_close(&m->types);
    return status ? status : m->status;
}

bt_status answer_grammar(GrammarBuilder *b, const AnswerSource *source, bool needed, uint32_t *rule,
                         bt_error *err)
{
    Maker m = {.b = b, .form = source->form, .err = err};
    bt_status status = with_tools(&m, source->tools && *source->tools ? source->tools : "[]");
    if (!status) *rule = build(&m, source, needed, 0);
    return finish(&m, status);
}

bt_status answer_hold(GrammarBuilder *b, const AnswerSource *source, uint32_t held, bool blank,
                      uint32_t *rule, bt_error *err)
{
    Maker m = {.b = b, .form = source->form, .blank = blank, .err = err};
    bt_status status = BT_OK;
    /* `held` is wrapped, since its number may be 0. */
    uint32_t outer = builder_rule(b, (Span){0});
    if (!b->no_memory && !b->too_large)
        builder_call(b, b->rules[outer].start, held, b->rules[outer].end);
    if (source->tools && *source->tools) status = with_tools(&m, source->tools);
    if (!status) *rule = build(&m, source, false, outer);
    return finish(&m, status);
}
