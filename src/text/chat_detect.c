/* Reads a Jinja chat template without running it, to tell whether chat.c renders the same text.
 *
 * Its tags are walked with a stack of open blocks. Branches that need what we never pass (tools,
 * tool calls, documents, reasoning_content ...) are dead and skipped. Of what can take part, every
 * string literal must be one that the known formats write or compare with, no text may stand
 * outside tags, and the operations used must be those that chat.c reproduces. Refuses the rest,
 * naming the first thing not known; so a strange template costs a clear message, never a prompt
 * that is silently wrong. Nesting, sizes and time (linear) are bounded. */
#include <stdio.h>
#include <string.h>

#include "text/chat.h"

#define MOST_TEMPLATE  (1u << 20)
#define MOST_DEPTH     32
#define MOST_MACROS    16
#define MOST_CONDITION 512

typedef struct Block {
    char end[12]; /* the tag that closes it: "endif" */
    bool dead;    /* the present branch cannot run */
    bool outer;   /* what encloses it cannot */
} Block;

typedef struct Reader {
    const char *at, *end;
    Block stack[MOST_DEPTH];
    int depth;
    Span macros[MOST_MACROS];
    int n_macros;
    Buf live; /* code of live tags with the literals left out */
    ChatFormat *format;
    bool im, header; /* saw <|im_start|>, <|start_header_id|> */
    bool think;      /* saw Qwen3's think lines */
    bt_error *err;
} Reader;

static bt_status refuse(const Reader *r, const char *what, Span detail)
{
    int size = detail.size > 60 ? 60 : (int)detail.size;
    return bt_fail(r->err, BT_E_UNSUPPORTED,
                   "the file's chat template is none of those known here (%s%s%.*s%s): choose one "
                   "with --template chatml, llama3 or plain, or use --raw",
                   what, size ? " '" : "", size, size ? detail.data : "", size ? "'" : "");
}

static bool starts(Span s, const char *with)
{
    size_t n = strlen(with);
    return s.size >= n && memcmp(s.data, with, n) == 0;
}

static bool has(Span s, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= s.size; i++)
        if (s.data[i] == *what && memcmp(s.data + i, what, n) == 0) return true;
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static Span strip(Span s)
{
    while (s.size && is_space(*s.data)) s.data++, s.size--;
    while (s.size && is_space(s.data[s.size - 1])) s.size--;
    return s;
}

/* The name at the front of *s, taken away. */
static Span take_name(Span *s)
{
    Span name = {s->data, 0};
    while (name.size < s->size && is_name(name.data[name.size])) name.size++;
    s->data += name.size;
    s->size -= name.size;
    *s = strip(*s);
    return name;
}

/* ---- conditions that cannot hold ---- */

static bool false_term(Span term)
{
    static const char *const never[] = {
        "tools",
        "tools is not none",
        "tools is iterable",
        "tools | length > 0",
        "not tools is none",
        "builtin_tools",
        "builtin_tools is defined",
        "custom_tools is defined",
        "enable_thinking is defined",
        "enable_thinking",
        "documents",
        "message.tool_calls",
        "message.tool_calls is defined",
        "message['tool_calls']",
        "'tool_calls' in message",
        "\"tool_calls\" in message",
        "message.reasoning_content is defined",
        "message.reasoning_content is string",
        "content is not string",
        "message.role == 'tool'",
        "message.role == \"tool\"",
        "message['role'] == 'tool'",
        "message[\"role\"] == \"tool\"",
        "message.role == 'ipython'",
        "message.role == \"ipython\"",
    };
    term = strip(term);
    while (term.size > 2 && *term.data == '(' && term.data[term.size - 1] == ')' &&
           !has((Span){term.data + 1, term.size - 2}, "("))
        term = strip((Span){term.data + 1, term.size - 2});
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (span_is(term, never[i])) return true;
    return false;
}

/* Takes the part of *rest before the word at parenthesis depth 0, and the word. */
static Span split(Span *rest, const char *word)
{
    size_t n = strlen(word);
    int depth = 0;
    for (size_t i = 0; i + n <= rest->size; i++) {
        char c = rest->data[i];
        depth += (c == '(' || c == '[') - (c == ')' || c == ']');
        if (depth || memcmp(rest->data + i, word, n) != 0) continue;
        Span part = {rest->data, i};
        rest->data += i + n;
        rest->size -= i + n;
        return part;
    }
    Span part = *rest;
    rest->data += rest->size;
    rest->size = 0;
    return part;
}

/* Every alternative has a term that is never true. */
static bool never_true(Span condition)
{
    if (condition.size > MOST_CONDITION) return false;
    while (condition.size) {
        Span terms = split(&condition, " or ");
        bool never = false;
        while (terms.size) never |= false_term(split(&terms, " and "));
        if (!never) return false;
    }
    return true;
}

/* ---- literals ---- */

/* Undoes the escapes of a string literal into out; false if it does not fit. */
static bool unescape(Span s, char *out, size_t capacity)
{
    size_t n = 0;
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        if (c == '\\' && i + 1 < s.size) {
            char e = s.data[++i];
            if (e == 'n' || e == 't' || e == 'r')
                c = e == 'n' ? '\n' : e == 't' ? '\t' : '\r';
            else if (e == '\\' || e == '\'' || e == '"')
                c = e;
            else
                return false;
        }
        if (!c || n + 1 >= capacity) return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

static bool one_of(const char *text, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(text, list[i]) == 0) return true;
    return false;
}

/* What a default system message says, if the literal is one. */
static bool take_system(Reader *r, const char *text)
{
    static const char open[] = "<|im_start|>system\n", close[] = "<|im_end|>\n";
    size_t n = strlen(text), o = sizeof open - 1, c = sizeof close - 1;
    if (n <= o + c || memcmp(text, open, o) != 0 || strcmp(text + n - c, close) != 0) return false;
    n -= o + c;
    if (n >= sizeof r->format->system || r->format->system[0]) return false;
    memcpy(r->format->system, text + o, n);
    r->format->system[n] = '\0';
    return !strstr(r->format->system, "<|im_");
}

static bool take_date(Reader *r, const char *text)
{
    size_t n = strlen(text);
    if (n < 10 || n > 12 || strcmp(text + n - 5, " 2024") != 0) return false;
    memcpy(r->format->date, text, n + 1);
    return true;
}

static bt_status take_literal(Reader *r, Span literal)
{
    static const char *const words[] = {
        "",          "\n",   "\n\n", "role",   "content",    "system",
        "assistant", "user", "tool", "string", "tool_calls", "ipython",
    };
    static const char *const chatml[] = {
        "<|im_start|>",       "<|im_end|>",
        "<|im_end|>\n",       "<|im_start|>system\n",
        "<|im_start|>user\n", "<|im_start|>assistant\n",
        "<|im_start|>user",   "<|im_start|>assistant",
    };
    static const char *const llama3[] = {
        "<|start_header_id|>",
        "<|end_header_id|>\n\n",
        "<|end_header_id|>",
        "<|eot_id|>",
        "<|start_header_id|>system<|end_header_id|>\n\n",
        "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    };
    static const char *const dates[] = {
        "Cutting Knowledge Date: December 2023\n",
        "Today Date: ",
        "%d %b %Y",
    };
    static const char *const thoughts[] = {
        "<think>",        "</think>",        "\n<think>\n",
        "\n</think>\n\n", "<tool_response>", "</tool_response>",
    };
    char text[2048];
    bool known = false;
    if (!unescape(literal, text, sizeof text)) return refuse(r, "it says", literal);
#define ONE_OF(list) one_of(text, list, sizeof list / sizeof *list)
    if (ONE_OF(words)) {
        known = true;
    } else if (ONE_OF(chatml) || take_system(r, text)) {
        known = r->im = true;
    } else if (ONE_OF(llama3)) {
        known = r->header = true;
    } else if (ONE_OF(dates) || take_date(r, text)) {
        known = r->format->dates = true;
        if (*text == '%') r->format->clock = true;
    } else if (ONE_OF(thoughts)) {
        known = r->think = true;
    }
#undef ONE_OF
    return known ? BT_OK : refuse(r, "it says", literal);
}

/* ---- tags ---- */

static bool dead(const Reader *r)
{
    return r->depth && (r->stack[r->depth - 1].dead || r->stack[r->depth - 1].outer);
}

/* A live tag's code goes to `live` with its literals left out, which are looked at one by one. */
static bt_status take_code(Reader *r, Span code)
{
    bool raises = has(code, "raise_exception");
    for (size_t i = 0; i < code.size; i++) {
        char quote = code.data[i];
        if (quote != '\'' && quote != '"') {
            buf_char(&r->live, quote);
            continue;
        }
        size_t start = ++i;
        while (i < code.size && code.data[i] != quote) i += code.data[i] == '\\' ? 2 : 1;
        if (i >= code.size) return refuse(r, "a string does not end", (Span){0});
        buf_text(&r->live, "''");
        if (raises) continue;
        bt_status status = take_literal(r, (Span){code.data + start, i - start});
        if (status) return status;
    }
    buf_char(&r->live, '\n');
    return BT_OK;
}

static bt_status open_block(Reader *r, const char *end, bool is_dead)
{
    if (r->depth == MOST_DEPTH) return refuse(r, "blocks are nested too deep", (Span){0});
    Block *block = &r->stack[r->depth];
    block->outer = dead(r);
    block->dead = is_dead;
    snprintf(block->end, sizeof block->end, "%s", end);
    r->depth++;
    return BT_OK;
}

static bt_status take_macro(Reader *r, Span rest)
{
    if (r->n_macros == MOST_MACROS) return refuse(r, "it has too many macros", (Span){0});
    r->macros[r->n_macros++] = take_name(&rest);
    return open_block(r, "endmacro", true);
}

/* A template may not give itself what we take for never given; "none" and an empty list are. */
static bool gives_itself(Span rest)
{
    static const char *const never[] = {"tools", "builtin_tools", "custom_tools", "enable_thinking",
                                        "documents"};
    Span name = take_name(&rest);
    if (!rest.size || *rest.data != '=') return false;
    Span value = strip((Span){rest.data + 1, rest.size - 1});
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (span_is(name, never[i]))
            return !span_is(value, "none") && !span_is(value, "[]") && !span_is(value, "false");
    return false;
}

static bt_status take_block(Reader *r, Span code)
{
    Span rest = strip(code), word = take_name(&rest);
    if (span_is(word, "if")) {
        bt_status status = dead(r) ? BT_OK : take_code(r, code);
        if (!status && never_true(rest)) {
            /* Its comparisons were looked at too, which only can refuse more. */
            return open_block(r, "endif", true);
        }
        return status ? status : open_block(r, "endif", false);
    }
    if (span_is(word, "for")) {
        bool never = has(rest, " in tools") || has(rest, " in message.tool_calls");
        return open_block(r, "endfor", never);
    }
    if (span_is(word, "macro")) return take_macro(r, rest);
    if (span_is(word, "elif") || span_is(word, "else")) {
        if (!r->depth) return refuse(r, "a branch without its block", code);
        r->stack[r->depth - 1].dead = span_is(word, "elif") && never_true(rest);
        return dead(r) ? BT_OK : take_code(r, code);
    }
    if (starts(word, "end")) {
        if (!r->depth || !span_is(word, r->stack[r->depth - 1].end))
            return refuse(r, "a block is not closed", code);
        r->depth--;
        return BT_OK;
    }
    if (span_is(word, "generation")) return open_block(r, "endgeneration", false);
    if (!span_is(word, "set")) return dead(r) ? BT_OK : refuse(r, "it uses the tag", word);
    if (!has(rest, "=")) return open_block(r, "endset", false);
    if (!dead(r) && gives_itself(rest)) return refuse(r, "it sets", rest);
    return dead(r) ? BT_OK : take_code(r, code);
}

/* Text outside tags, after the rules trim_blocks and lstrip_blocks and the dashes of the tags. */
static bt_status take_outside(Reader *r, Span text, bool after_block, bool cut_left, bool cut_right,
                              bool before_block)
{
    if (cut_left)
        while (text.size && is_space(*text.data)) text.data++, text.size--;
    else if (after_block && text.size && *text.data == '\n')
        text.data++, text.size--;
    if (cut_right) {
        while (text.size && is_space(text.data[text.size - 1])) text.size--;
    } else if (before_block) {
        size_t n = text.size;
        while (n && (text.data[n - 1] == ' ' || text.data[n - 1] == '\t')) n--;
        if (!n || text.data[n - 1] == '\n') text.size = n;
    }
    if (!text.size || dead(r)) return BT_OK;
    return refuse(r, "text outside tags", text);
}

/* Where the tag that begins at p ends: at its closing delimiter outside strings; NULL: nowhere. */
static const char *tag_end(const char *p, const char *end, char close)
{
    char quote = 0;
    for (; p + 1 < end; p++) {
        if (quote) {
            if (*p == '\\')
                p++;
            else if (*p == quote)
                quote = 0;
        } else if (close != '#' && (*p == '\'' || *p == '"')) {
            quote = *p;
        } else if (*p == close && p[1] == '}') {
            return p;
        }
    }
    return NULL;
}

static bt_status read_tags(Reader *r)
{
    bool after_block = false, cut_left = false;
    while (r->at < r->end) {
        const char *open = r->at;
        while (open + 1 < r->end &&
               !(*open == '{' && (open[1] == '{' || open[1] == '%' || open[1] == '#')))
            open++;
        bool tag = open + 1 < r->end;
        const char *stop = tag ? open : r->end;
        if (!tag && stop > r->at && stop[-1] == '\n') stop--; /* Jinja drops the last one */
        bool block = tag && open[1] != '{', cut = tag && open + 2 < r->end && open[2] == '-';
        bt_status status = take_outside(r, (Span){r->at, (size_t)(stop - r->at)}, after_block,
                                        cut_left, cut, block);
        if (status || !tag) return status;
        char close = open[1] == '{' ? '}' : open[1];
        const char *code = open + 2 + cut, *end = tag_end(code, r->end, close);
        if (!end) return refuse(r, "a tag does not end", (Span){open, (size_t)(r->end - open)});
        Span inside = {code, (size_t)(end - code)};
        cut_left = inside.size && end[-1] == '-';
        inside.size -= cut_left;
        after_block = block;
        r->at = end + 2;
        if (close == '%')
            status = take_block(r, inside);
        else if (close == '}' && !dead(r))
            status = take_code(r, inside);
        if (status) return status;
    }
    return BT_OK;
}

/* ---- the verdict ---- */

/* Operations on live values: only those that chat.c does as well. */
static bt_status check_operations(Reader *r)
{
    static const char *const odd[] = {
        ".replace(", ".upper(",   ".lower(",   ".title(", "| upper",   "| lower",  "| join",
        ".strip()",  ".lstrip()", ".rstrip()", "|join",   "strftime(", "| indent", "|default"};
    static const char *const thinking[] = {"last_query_index", "loop.last or ",
                                           ".split('')[-1].lstrip('')",
                                           ".rstrip('').split('')[-1].lstrip('')"};
    Span live = {r->live.data, r->live.size};
    ChatFormat *f = r->format;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        if (has(live, odd[i])) return refuse(r, "it uses", span_of(odd[i]));
    for (int i = 0; i < r->n_macros; i++) {
        char call[64];
        snprintf(call, sizeof call, "%.*s(", (int)(r->macros[i].size > 60 ? 60 : r->macros[i].size),
                 r->macros[i].data);
        if (has(live, call)) return refuse(r, "it uses the macro", r->macros[i]);
    }
    f->trim = has(live, "| trim") || has(live, "|trim");
    f->bos = has(live, "bos_token");
    f->open_end = has(live, "loop.last and add_generation_prompt");
    f->skip_empty_system = has(live, "if ns.system_prompt") || has(live, "if system_message\n");
    if (has(live, "split(") || has(live, "strip(") || r->think) {
        for (size_t i = 0; i < sizeof thinking / sizeof *thinking; i++)
            if (!has(live, thinking[i]))
                return refuse(r, "it treats thoughts in its own way", (Span){0});
        f->drop_thoughts = true;
    } else if (has(live, "loop.last") && !f->open_end) {
        return refuse(r, "it treats the last message in its own way", (Span){0});
    }
    if (!has(live, "add_generation_prompt"))
        return refuse(r, "it has no generation prompt", (Span){0});
    return BT_OK;
}

static bt_status decide(Reader *r)
{
    ChatFormat *f = r->format;
    if (r->depth) return refuse(r, "a block is not closed", (Span){0});
    if (r->live.failed) return bt_fail_memory(r->err, "a chat template", r->live.size);
    if (r->im == r->header) return refuse(r, "neither ChatML nor Llama 3", (Span){0});
    bt_status status = check_operations(r);
    if (status) return status;
    f->kind = r->im ? CHAT_CHATML : CHAT_LLAMA3;
    if (r->im && (f->trim || f->dates)) return refuse(r, "it trims or dates contents", (Span){0});
    if (r->header && (f->drop_thoughts || f->open_end))
        return refuse(r, "it treats thoughts in its own way", (Span){0});
    if (f->dates && (!f->trim || !f->date[0])) return refuse(r, "it has no date", (Span){0});
    return BT_OK;
}

bt_status chat_detect(Span jinja, ChatFormat *out, bt_error *err)
{
    *out = (ChatFormat){0};
    Reader r = {.at = jinja.data, .end = jinja.data + jinja.size, .format = out, .err = err};
    if (!jinja.size || jinja.size > MOST_TEMPLATE) return refuse(&r, "its size", (Span){0});
    bt_status status = read_tags(&r);
    if (!status) status = decide(&r);
    buf_close(&r.live);
    return status;
}
