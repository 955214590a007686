/* Text, reasoning and headers of an answer (see answer.h), and the way into calls. Markup is looked
 * for byte by byte: what may still become a mark waits in `mark`, white space before it in `space`.
 */
#include "text/answer_parts.h"

#include "base/mem.h"

#define MOST_HEADER 512

/* ---- opening ---- */

static bool add_mark(Answer *a, const char *text, AnswerAct act)
{
    if (!text || a->n_marks == ANSWER_MARKS) return !text;
    a->marks[a->n_marks++] = (AnswerMark){.text = text, .n = strlen(text), .act = act};
    a->first[(unsigned char)*text] = true;
    return true;
}

static bool add_calls(Answer *a)
{
    bool room = true;
    for (size_t i = 0; i < 3 && a->form->calls[i]; i++) {
        const char *pattern = a->form->calls[i];
        CallSet set;
        if (*pattern == '^') {
            if (a->tools) a->bare = pattern + 1;
            continue;
        }
        call_choices(a->form, pattern, NULL, &set);
        for (int j = 0; j < set.n && room; j++) {
            room = a->n_marks < ANSWER_MARKS;
            if (!room) break;
            const CallChoice *c = &set.list[j];
            a->marks[a->n_marks++] = (AnswerMark){c->text, c->n, ACT_CALL, pattern, *c};
            a->first[(unsigned char)*c->text] = true;
        }
    }
    return room;
}

static bool add_marks(Answer *a)
{
    const AnswerForm *f = a->form;
    bool room = add_calls(a);
    if (f->header.close) {
        for (size_t i = 0; i < 2; i++) room &= add_mark(a, f->header.open[i], ACT_HEADER);
        for (size_t i = 0; i < 5; i++) room &= add_mark(a, f->header.ends[i], ACT_CLOSE);
        if (a->form->header.bare) return room;
    }
    room &= add_mark(a, a->think.open, ACT_OPEN) && add_mark(a, a->think.close, ACT_CLOSE);
    for (size_t i = 0; i < ANSWER_FORM_MARKS; i++) room &= add_mark(a, f->drops[i], ACT_DROP);
    return room;
}

static bool ends_with(Span text, const char *what)
{
    size_t n = what ? strlen(what) : 0;
    return n && text.size >= n && memcmp(text.data + text.size - n, what, n) == 0;
}

/* What the prompt has opened already: a thought, or a header. */
static void read_prompt(Answer *a, Span prompt)
{
    static const char role[] = "assistant";
    const AnswerHeader *h = &a->form->header;
    while (prompt.size && json_is_space(prompt.data[prompt.size - 1])) prompt.size--;
    if (ends_with(prompt, a->think.open)) {
        a->state = IN_THOUGHT;
        a->after_mark = true;
    }
    if (ends_with(prompt, a->think.close)) a->after_mark = true;
    if (h->bare && (!prompt.size || ends_with(prompt, h->open[0]))) a->state = IN_HEADER;
    if (!h->close || h->bare || !ends_with(prompt, role)) return;
    prompt.size -= sizeof role - 1;
    if (!ends_with(prompt, h->open[0])) return;
    a->state = IN_HEADER;
    buf_text(&a->header, role);
}

bt_status answer_open(const AnswerSource *source, Answer **out, bt_error *err)
{
    *out = NULL;
    Answer *a = mem_zalloc(1, sizeof *a);
    if (!a) return bt_fail_memory(err, "an answer", sizeof *a);
    a->form = source->form;
    a->think = source->think;
    a->whole = source->whole_calls;
    a->seed = source->id_seed;
    a->untouched = true;
    bt_status status = answer_tools_open(source->tools, &a->tools, err);
    if (!status && !add_marks(a))
        status = bt_fail(err, BT_E_INTERNAL, "form '%s' has too many marks", a->form->name);
    if (!status) read_prompt(a, source->prompt);
    if (!status && a->header.failed) status = bt_fail_memory(err, "an answer", 16);
    if (status)
        answer_close(&a);
    else
        *out = a;
    return status;
}

void answer_close(Answer **answer)
{
    Answer *a = *answer;
    if (!a) return;
    Buf *const all[] = {&a->space,  &a->mark,  &a->header, &a->raw,
                        &a->replay, &a->bytes, &a->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) buf_close(all[i]);
    call_close(&a->call);
    answer_tools_close(&a->tools);
    mem_free(a->items);
    mem_free(a);
    *answer = NULL;
}

void answer_ignore_calls(Answer *a)
{
    a->no_calls = true;
}

static bool occurs(const char *whole, Span part)
{
    size_t n = whole ? strlen(whole) : 0;
    for (size_t i = 0; i + part.size <= n; i++)
        if (memcmp(whole + i, part.data, part.size) == 0) return true;
    return false;
}

bool answer_knows(const Answer *a, Span special)
{
    const AnswerForm *f = a->form;
    if (!special.size) return false;
    for (int i = 0; i < a->n_marks; i++)
        if (occurs(a->marks[i].text, special)) return true;
    for (size_t i = 0; i < 3; i++)
        if (occurs(f->calls[i], special)) return true;
    if (f->header.close && (occurs(f->header.close, special) || span_is(special, "<|constrain|>")))
        return true;
    return occurs(f->parameter, special) || occurs(f->mark, special);
}

bool answer_thinking(const Answer *a)
{
    return a->state == IN_THOUGHT;
}

/* A message with a header is ended and the next one's header written; other marks stand on lines of
 * their own, as models write them. */
void answer_thought_end(const Answer *a, Buf *out)
{
    const AnswerHeader *h = &a->form->header;
    if (h->close && h->thinks) {
        buf_printf(out, "%s%s%s%s%s", h->ends[0], h->open[0], h->role ? h->role : "", h->says,
                   h->close);
    } else if (!h->close && a->think.close) {
        buf_printf(out, "\n%s\n\n", a->think.close);
    }
}

/* ---- plain bytes ---- */

void answer_replay(Answer *a, const char *text, size_t n)
{
    while (n) buf_char(&a->replay, text[--n]);
}

void answer_to_text(Answer *a)
{
    a->state = IN_TEXT;
    a->after_mark = true;
    a->spoken = false;
    buf_clear(&a->raw);
    buf_clear(&a->space);
}

static bt_answer_kind kind_now(const Answer *a)
{
    return a->state == IN_THOUGHT ? BT_ANSWER_REASONING : BT_ANSWER_TEXT;
}

static void give_space(Answer *a)
{
    if (!a->after_mark && a->space.size) event_text(a, kind_now(a), a->space.data, a->space.size);
    buf_clear(&a->space);
}

/* A byte that is no markup. */
static void plain(Answer *a, char c)
{
    if (json_is_space(c)) {
        buf_char(&a->space, c);
        return;
    }
    give_space(a);
    a->after_mark = false;
    a->spoken |= a->state == IN_TEXT;
    event_text(a, kind_now(a), &c, 1);
}

void answer_fail(Answer *a)
{
    Buf raw = a->raw;
    bool whole = raw.size > ANSWER_RESCAN || a->call.begun;
    a->raw = (Buf){0};
    event_void(a);
    a->state = IN_TEXT;
    for (size_t i = 0; i < (whole ? raw.size : 1) && i < raw.size; i++) plain(a, raw.data[i]);
    if (!whole && raw.size) answer_replay(a, raw.data + 1, raw.size - 1);
    buf_close(&raw);
}

/* ---- headers ---- */

static Span word_after(Span text, const char *what)
{
    size_t n = strlen(what);
    Span word = {NULL, 0};
    for (size_t i = 0; i + n <= text.size; i++) {
        if (memcmp(text.data + i, what, n) != 0) continue;
        word.data = text.data + i + n;
        while (i + n + word.size < text.size && !strchr(" <\n", word.data[word.size])) word.size++;
        break;
    }
    return word;
}

static bool has_space(Span text)
{
    for (size_t i = 0; i < text.size; i++)
        if (json_is_space(text.data[i])) return true;
    return false;
}

static void read_header(Answer *a)
{
    const AnswerHeader *h = &a->form->header;
    Span header = {a->header.data, a->header.size};
    Span to = h->bare ? header : word_after(header, "to=");
    Span channel = word_after(header, "<|channel|>");
    bool everyone = !to.size || span_is(to, "all") || span_is(to, "user");
    if (h->bare && (!to.size || has_space(to))) {
        answer_fail(a);
    } else if (span_is(to, "self") || (everyone && span_is(channel, "analysis"))) {
        answer_to_text(a);
        a->state = IN_THOUGHT;
    } else if (everyone || h->wraps || a->no_calls) {
        answer_to_text(a);
    } else {
        buf_clear(&a->call.name);
        buf_clear(&a->call.id);
        buf_add(&a->call.name, to.data, to.size);
        a->failed |= a->call.name.failed;
        call_start(a, "%j", NULL, false);
    }
}

static void header_byte(Answer *a, char c)
{
    Span header;
    buf_char(&a->raw, c);
    buf_char(&a->header, c);
    a->failed |= a->raw.failed || a->header.failed;
    if (a->failed) return;
    header = (Span){a->header.data, a->header.size};
    if (ends_with(header, a->form->header.close)) {
        a->header.size -= strlen(a->form->header.close);
        read_header(a);
    } else if (a->header.size > MOST_HEADER) {
        answer_fail(a);
    }
}

/* ---- marks ---- */

/* What a mark does where the parser stands; false: it is nothing but text here. */
static bool active(const Answer *a, const AnswerMark *m)
{
    bool headers = a->form->header.close != NULL;
    switch (m->act) {
    case ACT_OPEN: return a->state == IN_TEXT && (a->think.anywhere || !a->spoken);
    case ACT_CLOSE: return a->state == IN_THOUGHT || headers || (!a->spoken && a->untouched);
    case ACT_DROP: return a->state == IN_TEXT;
    case ACT_HEADER: return true;
    default: return !a->no_calls && (a->state == IN_TEXT || a->form->calls_end_thoughts);
    }
}

static void act(Answer *a, const AnswerMark *m)
{
    switch (m->act) {
    case ACT_OPEN:
        answer_to_text(a);
        a->state = IN_THOUGHT;
        break;
    case ACT_CLOSE:
    case ACT_DROP: answer_to_text(a); break;
    case ACT_HEADER:
        a->state = IN_HEADER;
        buf_clear(&a->raw);
        buf_add(&a->raw, m->text, m->n);
        buf_clear(&a->header);
        if (m->text != a->form->header.open[0]) buf_add(&a->header, m->text, m->n);
        break;
    case ACT_CALL:
        if (a->state == IN_THOUGHT) answer_to_text(a);
        buf_clear(&a->raw);
        buf_add(&a->raw, m->text, m->n);
        a->failed |= a->raw.failed;
        call_start(a, m->pattern, &m->choice, false);
        break;
    }
}

static const AnswerMark *find_mark(const Answer *a, bool *wait)
{
    *wait = false;
    for (int i = 0; i < a->n_marks; i++) {
        const AnswerMark *m = &a->marks[i];
        if (m->n < a->mark.size || memcmp(m->text, a->mark.data, a->mark.size) != 0) continue;
        if (!active(a, m)) continue;
        if (m->n == a->mark.size) return m;
        *wait = true;
    }
    return NULL;
}

static void text_byte(Answer *a, char c)
{
    bool bare = a->bare && a->untouched && a->state == IN_TEXT && !a->mark.size;
    if (bare && (c == '{' || c == '[')) {
        a->untouched = false; /* once */
        buf_clear(&a->raw);
        call_start(a, a->bare, NULL, true);
        answer_replay(a, &c, 1);
        return;
    }
    if (!a->mark.size && !a->first[(unsigned char)c]) {
        plain(a, c);
        return;
    }
    buf_char(&a->mark, c);
    while (a->mark.size && !a->mark.failed) {
        bool wait;
        const AnswerMark *m = find_mark(a, &wait);
        if (m) {
            buf_clear(&a->mark);
            act(a, m);
            return;
        }
        if (wait) return;
        char first = *a->mark.data;
        memmove(a->mark.data, a->mark.data + 1, --a->mark.size);
        plain(a, first);
    }
}

/* ---- the stream ---- */

static void read_byte(Answer *a, char c)
{
    switch (a->state) {
    case IN_TEXT:
    case IN_THOUGHT: text_byte(a, c); break;
    case IN_HEADER: header_byte(a, c); break;
    case IN_CALL: call_byte(a, c); break;
    }
}

static bt_status outcome(Answer *a)
{
    a->failed |= a->space.failed || a->mark.failed || a->raw.failed || a->replay.failed ||
                 a->bytes.failed || a->scratch.failed || a->header.failed || a->call.lit.failed ||
                 a->call.capture.failed;
    return a->failed ? BT_E_MEMORY : BT_OK;
}

static void read_again(Answer *a)
{
    while (a->replay.size && outcome(a) == BT_OK) read_byte(a, a->replay.data[--a->replay.size]);
}

bt_status answer_add(Answer *a, const char *text, size_t n)
{
    events_drop(a);
    for (size_t i = 0; i < n && outcome(a) == BT_OK; i++) {
        read_byte(a, text[i]);
        read_again(a);
    }
    return outcome(a);
}

bt_status answer_end(Answer *a)
{
    events_drop(a);
    while (outcome(a) == BT_OK) {
        if (a->state == IN_CALL) {
            call_end(a);
        } else if (a->state == IN_HEADER) {
            answer_fail(a);
        } else if (a->mark.size) {
            char first = *a->mark.data; /* it will be no mark any more */
            Buf rest = a->mark;
            a->mark = (Buf){0};
            plain(a, first);
            answer_replay(a, rest.data + 1, rest.size - 1);
            buf_close(&rest);
        } else {
            break;
        }
        read_again(a);
    }
    if (a->state == IN_TEXT) give_space(a);
    buf_clear(&a->space);
    return outcome(a);
}
