/* Renders conversations in the three known formats (see chat.h). Contents are never looked at
 * for markup and never become it: each run of the text says which of the two it is. One pass, no
 * recursion; the result is at most the contents and a constant for each message. */
#include "text/chat.h"

#include <string.h>

#include "base/mem.h"

const char *chat_kind_name(ChatKind kind)
{
    static const char *const names[] = {"plain", "chatml", "llama3"};
    return names[kind];
}

bool chat_named(const char *name, ChatFormat *out)
{
    *out = (ChatFormat){0};
    for (int kind = CHAT_PLAIN; kind <= CHAT_LLAMA3; kind++) {
        if (strcmp(name, chat_kind_name((ChatKind)kind)) != 0) continue;
        out->kind = (ChatKind)kind;
        out->bos = out->trim = kind == CHAT_LLAMA3;
        return true;
    }
    return false;
}

void chat_parts_close(ChatParts *parts)
{
    mem_free(parts->items);
    *parts = (ChatParts){0};
}

/* ---- writing ---- */

typedef struct Writer {
    Buf *out;
    size_t start; /* of out, when we began */
    ChatParts *parts;
    bool failed;
} Writer;

/* While writing, a part's span holds only its size: the buffer may move. */
static void put(Writer *w, Span text, bool special)
{
    ChatParts *parts = w->parts;
    if (!text.size || w->failed) return;
    buf_add(w->out, text.data, text.size);
    if (parts->n && parts->items[parts->n - 1].special == special) {
        parts->items[parts->n - 1].text.size += text.size;
        return;
    }
    if (parts->n == parts->capacity) {
        size_t capacity = parts->capacity ? 2 * parts->capacity : 16;
        TokPart *items = mem_realloc(parts->items, capacity * sizeof *items);
        if (!items) {
            w->failed = true;
            return;
        }
        parts->items = items;
        parts->capacity = capacity;
    }
    parts->items[parts->n++] = (TokPart){{NULL, text.size}, special};
}

static void markup(Writer *w, const char *text)
{
    put(w, span_of(text), true);
}

static void content(Writer *w, Span text)
{
    put(w, text, false);
}

static bt_status finish(Writer *w, bt_error *err)
{
    if (w->failed || w->out->failed)
        return bt_fail_memory(err, "the rendered conversation", w->out->size);
    const char *at = w->out->data ? w->out->data + w->start : "";
    for (size_t i = 0; i < w->parts->n; i++) {
        w->parts->items[i].text.data = at;
        at += w->parts->items[i].text.size;
    }
    return BT_OK;
}

/* ---- text ---- */

static Span strip_newlines(Span s, bool left, bool right)
{
    if (!s.data) return s;
    while (left && s.size && *s.data == '\n') s.data++, s.size--;
    while (right && s.size && s.data[s.size - 1] == '\n') s.size--;
    return s;
}

/* Bytes of the white space character that p[0 .. n) begins with, 0 if none: what str.strip() of
 * Python takes away, in UTF-8. */
static size_t space_at(const char *p, size_t n)
{
    static const char *const wide[] = {
        "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81",
        "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86",
        "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8",
        "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80",
    };
    if (!n) return 0;
    unsigned char c = (unsigned char)*p;
    if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        size_t size = strlen(wide[i]);
        if (size <= n && memcmp(p, wide[i], size) == 0) return size;
    }
    return 0;
}

static Span trim(Span s)
{
    size_t n;
    while ((n = space_at(s.data, s.size))) s.data += n, s.size -= n;
    for (;;) {
        for (n = 1; n <= 3 && n <= s.size; n++)
            if (space_at(s.data + s.size - n, n) == n) break;
        if (n > 3 || n > s.size) return s;
        s.size -= n;
    }
}

/* Where `what` stands in s, first or last, or NULL. */
static const char *find(Span s, const char *what, bool last)
{
    size_t size = strlen(what);
    const char *found = NULL;
    for (size_t i = 0; i + size <= s.size && (last || !found); i++)
        if (s.data[i] == *what && memcmp(s.data + i, what, size) == 0) found = s.data + i;
    return found;
}

/* ---- formats ---- */

static bool is(const bt_message *message, const char *role)
{
    return strcmp(message->role, role) == 0;
}

static bool is_tool_response(Span s)
{
    Span open = SPAN("<tool_response>"), close = SPAN("</tool_response>");
    return s.size >= open.size && memcmp(s.data, open.data, open.size) == 0 &&
           s.size >= close.size &&
           memcmp(s.data + s.size - close.size, close.data, close.size) == 0;
}

/* The last message by which a person asks something. */
static size_t last_query(const ChatRequest *r)
{
    for (size_t i = r->n; i-- > 0;)
        if (is(&r->messages[i], "user") && !is_tool_response(span_of(r->messages[i].content)))
            return i;
    return r->n - 1;
}

/* An assistant message as Qwen3's template writes it: thoughts only after the last query. */
static void thoughtful(Writer *w, Span said, bool after_query, bool last)
{
    Span thoughts = {"", 0}, answer = said;
    const char *first_end = find(said, "</think>", false);
    if (first_end) {
        const char *end = said.data + said.size, *last_end = find(said, "</think>", true) + 8;
        answer = strip_newlines((Span){last_end, (size_t)(end - last_end)}, true, false);
        thoughts = (Span){said.data, (size_t)(first_end - said.data)};
        thoughts = strip_newlines(thoughts, false, true);
        const char *begin = find(thoughts, "<think>", true);
        if (begin) {
            thoughts.size -= (size_t)(begin + 7 - thoughts.data);
            thoughts.data = begin + 7;
        }
        thoughts = strip_newlines(thoughts, true, false);
    }
    if (after_query && (last || thoughts.size)) {
        markup(w, "<think>\n");
        content(w, strip_newlines(thoughts, true, true));
        markup(w, "\n</think>\n\n");
        answer = strip_newlines(answer, true, false);
    }
    content(w, answer);
}

static void render_chatml(Writer *w, const ChatFormat *f, const ChatRequest *r)
{
    size_t query = f->drop_thoughts ? last_query(r) : 0;
    if (f->system[0] && !is(&r->messages[0], "system")) {
        markup(w, "<|im_start|>system\n");
        markup(w, f->system);
        markup(w, "<|im_end|>\n");
    }
    for (size_t i = 0; i < r->n; i++) {
        const bt_message *m = &r->messages[i];
        Span said = span_of(m->content);
        bool last = i + 1 == r->n;
        if (f->skip_empty_system && i == 0 && is(m, "system") && !said.size) continue;
        markup(w, "<|im_start|>");
        markup(w, m->role);
        markup(w, "\n");
        if (f->drop_thoughts && is(m, "assistant"))
            thoughtful(w, said, i > query, last);
        else
            content(w, said);
        if (!(last && f->open_end && !r->generation)) markup(w, "<|im_end|>\n");
    }
    if (r->generation) markup(w, "<|im_start|>assistant\n");
}

static void llama3_header(Writer *w, const char *role)
{
    markup(w, "<|start_header_id|>");
    markup(w, role);
    markup(w, "<|end_header_id|>\n\n");
}

static void render_llama3(Writer *w, const ChatFormat *f, const ChatRequest *r)
{
    size_t i = 0;
    if (f->dates) { /* there is a system message in any case */
        llama3_header(w, "system");
        markup(w, "Cutting Knowledge Date: December 2023\nToday Date: ");
        if (r->date.size)
            put(w, r->date, true);
        else
            markup(w, f->date);
        markup(w, "\n\n");
        if (is(&r->messages[0], "system")) content(w, trim(span_of(r->messages[i++].content)));
        markup(w, "<|eot_id|>");
    }
    for (; i < r->n; i++) {
        Span said = span_of(r->messages[i].content);
        llama3_header(w, r->messages[i].role);
        content(w, f->trim ? trim(said) : said);
        markup(w, "<|eot_id|>");
    }
    if (r->generation) llama3_header(w, "assistant");
}

static void render_plain(Writer *w, const ChatRequest *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const bt_message *m = &r->messages[i];
        if (is(m, "user")) markup(w, "User: ");
        if (is(m, "assistant")) markup(w, "Assistant: ");
        content(w, span_of(m->content));
        markup(w, is(m, "system") ? "\n\n" : "\n");
    }
    if (r->generation) markup(w, "Assistant:");
}

bt_status chat_render(const ChatFormat *format, const ChatRequest *r, Buf *out, ChatParts *parts,
                      bt_error *err)
{
    Writer w = {out, out->size, parts, false};
    parts->n = 0;
    if (!r->n) return bt_fail(err, BT_E_ARGUMENT, "a conversation needs at least one message");
    for (size_t i = 0; i < r->n; i++) {
        const bt_message *m = &r->messages[i];
        if (!m->role || !m->content)
            return bt_fail(err, BT_E_ARGUMENT, "message %zu has no role or no content", i);
        if (!is(m, "system") && !is(m, "user") && !is(m, "assistant"))
            return bt_fail(err, BT_E_ARGUMENT,
                           "message %zu has the role '%.40s': it must be system, user or assistant",
                           i, m->role);
    }
    if (format->bos) put(&w, r->bos, true);
    switch (format->kind) {
    case CHAT_CHATML: render_chatml(&w, format, r); break;
    case CHAT_LLAMA3: render_llama3(&w, format, r); break;
    case CHAT_PLAIN: render_plain(&w, r); break;
    }
    return finish(&w, err);
}
