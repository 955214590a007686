/* The interpreter of call patterns (see answer_forms.h). It walks the pattern as bytes come,
 * keeping the texts that may come next; what fits none of them ends the attempt, and all that was
 * read since the call began, or since the last whole one, becomes text again. */
#include "text/answer_parts.h"

static const char bodies[] = "jcaybgx";

/* ---- patterns ---- */

static void add_choice(CallSet *set, const char *text, const char *back, bool enter, bool leave)
{
    if (set->n == CALL_CHOICES) return; /* a test holds all forms below it */
    size_t n = strcspn(text, "%");
    set->list[set->n++] = (CallChoice){text, n, text + n, back, false, enter, leave};
}

void call_choices(const AnswerForm *form, const char *at, const char *back, CallSet *out)
{
    bool leave = false;
    *out = (CallSet){0};
    for (;;) {
        if (!*at && back) { /* a parameter is over: another one, or what stands after them */
            add_choice(out, form->parameter, back, true, leave);
            leave = true;
            at = back;
            back = NULL;
        } else if (!*at) {
            out->open = at;
            return;
        } else if (*at != '%') {
            add_choice(out, at, back, false, leave);
            return;
        } else if (at[1] == '(') {
            add_choice(out, at + 2, back, false, leave);
            at = strstr(at, "%)") + 2;
        } else if (at[1] == ')' || at[1] == '_') {
            at += 2;
        } else if (at[1] == 'p') {
            at += 2;
            add_choice(out, form->parameter, at, true, false);
            leave = true;
        } else {
            out->open = at;
            out->open_back = back;
            return;
        }
    }
}

/* After the arguments: any text of the rest, or none. */
static void tail_choices(const char *at, CallSet *out)
{
    *out = (CallSet){.open = ""};
    while (*at) {
        if (*at == '%') {
            at += 2;
            continue;
        }
        add_choice(out, at, NULL, false, false);
        at += strcspn(at, "%");
    }
}

/* ---- steps ---- */

static void finish(Answer *a)
{
    Call *call = &a->call;
    Buf rest = call->lit; /* taken: the replay below may start another call */
    call->lit = (Buf){0};
    answer_to_text(a);
    answer_replay(a, rest.data, rest.size);
    buf_close(&rest);
}

static void go_tail(Answer *a)
{
    Call *call = &a->call;
    tail_choices(call->at, &call->set);
    call->mode = CALL_TAIL;
    buf_clear(&call->lit);
    call->blank = 0;
    if (!call->set.n) finish(a);
}

static void start_capture(Answer *a)
{
    Call *call = &a->call;
    call->what = call->at[1];
    call->at += 2;
    call->mode = CALL_CAPTURE;
    buf_clear(&call->capture);
    call_choices(a->form, call->at, call->back, &call->set);
    if (call->set.open && *call->set.open) /* up to the object that comes next */
        call->set.list[call->set.n++] =
            (CallChoice){"{", 1, call->set.open, call->back, true, false, false};
    if (call->what == 'v' || call->what == 'w') value_begin(a, call->what == 'w');
}

static void start_body(Answer *a)
{
    Call *call = &a->call;
    call->what = call->at[1];
    call->at += 2;
    call->mode = CALL_BODY;
    call->state = 0;
    call->list = call->nested = false;
    call->keyed = call->what == 'a';
    call->depth = 0;
    call->json = (JsonScan){0};
    call->loose = (LooseValue){.mark = a->form->mark};
    buf_clear(&call->held);
}

static void go(Answer *a, const char *at, const char *back)
{
    Call *call = &a->call;
    call->at = at;
    call->back = back;
    call_choices(a->form, at, back, &call->set);
    call->mode = CALL_LITERAL;
    buf_clear(&call->lit);
    call->blank = 0;
    if (call->set.n) return;
    call->at = call->set.open;
    call->back = call->set.open_back;
    if (!*call->at)
        go_tail(a);
    else if (strchr(bodies, call->at[1]))
        start_body(a);
    else
        start_capture(a);
}

/* A text of the pattern was read. False: what it ends cannot be a call. */
static bool matched(Answer *a, const CallChoice *choice)
{
    const CallChoice c = *choice; /* the set is made anew below */
    if ((c.enter || c.leave) && !a->call.begun) {
        if (!event_call(a)) return false;
        event_argument_text(a, "{");
    }
    if (c.leave) {
        event_argument_text(a, "}");
        event_end(a);
        a->call.at = c.at;
        go_tail(a);
        return true;
    }
    go(a, c.at, c.back);
    if (c.keep) {
        a->raw.size -= c.n < a->raw.size ? c.n : a->raw.size; /* read again */
        answer_replay(a, c.text, c.n);
    }
    return true;
}

void call_start(Answer *a, const char *pattern, const CallChoice *choice, bool bare)
{
    Call *call = &a->call;
    a->state = IN_CALL;
    call->bare = bare;
    call->begun = call->committed = false;
    if (choice) { /* else the name was in a header */
        buf_clear(&call->name);
        buf_clear(&call->id);
    }
    buf_clear(&call->key);
    buf_clear(&call->type);
    if (!choice)
        go(a, pattern, NULL);
    else if (!matched(a, choice))
        answer_fail(a);
}

/* ---- bytes ---- */

/* Which text of the set `lit` is; -1: none, -2: it may still become one. */
static int find_choice(const CallSet *set, const char *lit, size_t n)
{
    int wait = -1;
    for (int i = 0; i < set->n; i++) {
        const CallChoice *c = &set->list[i];
        if (c->n < n || memcmp(c->text, lit, n) != 0) continue;
        if (c->n == n) return i;
        wait = -2;
    }
    return wait;
}

static void literal_byte(Answer *a, char c)
{
    Call *call = &a->call;
    buf_char(&call->lit, c);
    if (call->lit.failed) return;
    if (call->blank + 1 == call->lit.size && json_is_space(c)) {
        call->blank++;
        return;
    }
    int found = find_choice(&call->set, call->lit.data + call->blank, call->lit.size - call->blank);
    if (found == -2) return;
    if (found >= 0 && call->mode == CALL_TAIL) {
        call->at = call->set.list[found].at;
        go_tail(a);
    } else if (found >= 0) {
        if (!matched(a, &call->set.list[found])) answer_fail(a);
    } else if (call->mode == CALL_TAIL) {
        finish(a);
    } else if (call->set.open && *call->set.open) {
        Buf rest = call->lit;
        call->lit = (Buf){0};
        call->at = call->set.open;
        call->back = call->set.open_back;
        if (strchr(bodies, call->at[1]))
            start_body(a);
        else
            start_capture(a);
        a->raw.size -= rest.size < a->raw.size ? rest.size : a->raw.size;
        answer_replay(a, rest.data, rest.size);
        buf_close(&rest);
    } else {
        answer_fail(a);
    }
}

static void set_text(Buf *out, const Buf *from)
{
    size_t begin = 0, end = from->size;
    while (begin < end && json_is_space(from->data[begin])) begin++;
    while (end > begin && json_is_space(from->data[end - 1])) end--;
    buf_clear(out);
    if (end > begin) buf_add(out, from->data + begin, end - begin);
}

/* "functions.NAME:7" is an id; NAME stands inside. */
static void name_of_id(Call *call)
{
    size_t end = call->id.size, digits = end;
    while (digits && call->id.data[digits - 1] >= '0' && call->id.data[digits - 1] <= '9') digits--;
    if (digits && digits < end && call->id.data[digits - 1] == ':') end = digits - 1;
    buf_clear(&call->name);
    buf_add(&call->name, call->id.data, end);
}

static bool captured(Answer *a)
{
    Call *call = &a->call;
    switch (call->what) {
    case 'n': set_text(&call->name, &call->capture); break;
    case 'i': set_text(&call->id, &call->capture); break;
    case 'f':
        set_text(&call->id, &call->capture);
        if (call->id.size) name_of_id(call);
        break;
    case 't': set_text(&call->type, &call->capture); break;
    case 'k':
        set_text(&call->key, &call->capture);
        if (!call->key.size) return false;
        event_argument_text(a, call->n_arguments++ ? ", \"" : "\"");
        buf_clear(&a->scratch);
        json_escape(&a->scratch, call->key.data, call->key.size);
        event_arguments(a, a->scratch.data, a->scratch.size);
        event_argument_text(a, "\": ");
        break;
    case 'v':
    case 'w': value_end(a); break;
    default: break;
    }
    a->failed |= call->name.failed || call->id.failed || call->type.failed || call->key.failed ||
                 a->scratch.failed;
    return true;
}

static void capture_byte(Answer *a, char c)
{
    Call *call = &a->call;
    bool value = call->what == 'v' || call->what == 'w';
    buf_char(&call->lit, c);
    while (call->lit.size && !call->lit.failed) {
        int found = find_choice(&call->set, call->lit.data, call->lit.size);
        if (found == -2) return;
        if (found >= 0) {
            if (!captured(a) || !matched(a, &call->set.list[found])) answer_fail(a);
            return;
        }
        if (value)
            value_byte(a, *call->lit.data);
        else
            buf_char(&call->capture, *call->lit.data);
        if (!value && call->capture.size > ANSWER_MOST_NAME) {
            answer_fail(a);
            return;
        }
        memmove(call->lit.data, call->lit.data + 1, --call->lit.size);
    }
}

void call_byte(Answer *a, char c)
{
    Call *call = &a->call;
    ScanResult result;
    if (call->mode != CALL_TAIL) {
        buf_char(&a->raw, c);
        if (a->raw.size > ANSWER_MOST_CALL) {
            answer_fail(a);
            return;
        }
    }
    switch (call->mode) {
    case CALL_LITERAL:
    case CALL_TAIL: literal_byte(a, c); break;
    case CALL_CAPTURE: capture_byte(a, c); break;
    case CALL_BODY:
        result = body_byte(a, c);
        if (result == SCAN_BAD) answer_fail(a);
        if (result != SCAN_DONE && result != SCAN_STOP) break;
        if (result == SCAN_STOP) { /* what was read since the last whole call is not of the body */
            Buf rest = a->raw;
            a->raw = (Buf){0};
            go_tail(a);
            answer_replay(a, rest.data, rest.size);
            buf_close(&rest);
        } else {
            go_tail(a);
        }
        break;
    }
    a->failed |= a->raw.failed || call->lit.failed || call->capture.failed || call->held.failed;
}

void call_end(Answer *a)
{
    Call *call = &a->call;
    if (call->mode == CALL_TAIL)
        finish(a);
    else if (call->mode == CALL_BODY && call->committed && body_may_end(call))
        answer_to_text(a);
    else
        answer_fail(a);
}

void call_close(Call *call)
{
    Buf *const all[] = {&call->lit, &call->capture, &call->name, &call->id,
                        &call->key, &call->type,    &call->held, &call->value.held};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) buf_close(all[i]);
}
