/* Cuts a template into tokens as jinja2's lexer does with trim_blocks and lstrip_blocks: a newline
 * after a block or a comment goes, and so does white space before one that begins its line; '-'
 * beside a mark takes all white space on that side, '+' leaves it. Newlines of every kind are \n
 * and the last of the file goes: the compiler has seen to that before. */
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "text/jinja_code.h"
#include "text/utf8.h"

static bool blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F);
}

static bool name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool name_char(char c)
{
    return name_start(c) || digit(c);
}

static char peek(const JLexer *lex, size_t ahead)
{
    return lex->at + ahead < lex->source.size ? lex->source.data[lex->at + ahead] : '\0';
}

static bool looks(const JLexer *lex, size_t at, const char *text)
{
    size_t n = strlen(text);
    return at + n <= lex->source.size && memcmp(lex->source.data + at, text, n) == 0;
}

static size_t find(const JLexer *lex, size_t from, const char *text)
{
    for (size_t at = from; at < lex->source.size; at++)
        if (lex->source.data[at] == *text && looks(lex, at, text)) return at;
    return SIZE_MAX;
}

static _Noreturn void wrong(JLexer *lex, size_t at, const char *what)
{
    lex->j->position = (uint32_t)at;
    j_fail(lex->j, BT_E_FORMAT, "%s", what);
}

static void skip_blanks(JLexer *lex)
{
    while (blank(peek(lex, 0)) && lex->at < lex->source.size) lex->at++;
}

/* ---- between the tags ---- */

/* The text [start, end) before a tag that is `sign` marked; only a print tag is not `lstrip`. */
static Span trimmed(const JLexer *lex, size_t start, size_t end, char sign, bool lstrip)
{
    const char *text = lex->source.data + start;
    size_t n = end - start;
    if (sign == '-') {
        while (n && blank(text[n - 1])) n--;
    } else if (sign != '+' && lstrip) {
        size_t line = n;
        while (line && blank(text[line - 1]) && text[line - 1] != '\n') line--;
        if (line ? text[line - 1] == '\n' : lex->line_start) n = line;
    }
    return (Span){text, n};
}

/* After the end of a block or a comment: at `lex->at` stands its sign, if any, and then `close`. */
static void leave(JLexer *lex, const char *close, bool trim)
{
    char sign = peek(lex, 0);
    size_t n = strlen(close);
    if (sign != '-' && sign != '+') sign = 0;
    lex->at += (sign ? 1 : 0) + n;
    size_t from = lex->at;
    if (sign == '-')
        skip_blanks(lex);
    else if (sign != '+' && trim && peek(lex, 0) == '\n')
        lex->at++;
    lex->line_start = lex->at > from && lex->source.data[lex->at - 1] == '\n';
}

/* `{% raw %}` or `{% endraw %}` at `at`: the offset after its name, or 0. */
static size_t raw_tag(const JLexer *lex, size_t at, const char *name)
{
    size_t n = strlen(name);
    if (!looks(lex, at, "{%")) return 0;
    at += 2;
    if (at < lex->source.size && (lex->source.data[at] == '-' || lex->source.data[at] == '+')) at++;
    while (at < lex->source.size && blank(lex->source.data[at])) at++;
    if (!looks(lex, at, name)) return 0;
    at += n;
    while (at < lex->source.size && blank(lex->source.data[at])) at++;
    return looks(lex, at, "%}") || looks(lex, at, "-%}") || looks(lex, at, "+%}") ? at : 0;
}

/* Takes a raw part whose opening tag's name ends at `after`. */
static Span raw_text(JLexer *lex, size_t after)
{
    size_t begin = lex->at;
    lex->at = after;
    leave(lex, "%}", false);
    size_t start = lex->at, end = start, name = 0;
    for (; end < lex->source.size; end++)
        if (lex->source.data[end] == '{' && (name = raw_tag(lex, end, "endraw"))) break;
    if (!name) wrong(lex, begin, "this raw block has no {% endraw %}");
    Span text = trimmed(lex, start, end, lex->source.data[end + 2], true);
    lex->at = name;
    leave(lex, "%}", true);
    return text;
}

/* The next tag's offset from lex->at on, or the end. */
static size_t next_tag(const JLexer *lex)
{
    size_t at = lex->at;
    for (; at + 1 < lex->source.size; at++) {
        char c = lex->source.data[at + 1];
        if (lex->source.data[at] == '{' && (c == '{' || c == '%' || c == '#')) return at;
    }
    return lex->source.size;
}

/* Text up to the next tag, and that tag's opening. False: there was no text to give. */
static bool text(JLexer *lex, JToken *out)
{
    size_t start = lex->at, end = next_tag(lex);
    out->type = JT_TEXT;
    out->at = (uint32_t)start;
    if (end == lex->source.size) {
        out->name = (Span){lex->source.data + start, end - start};
        lex->at = end;
        return out->name.size > 0;
    }
    char kind = lex->source.data[end + 1],
         sign = end + 2 < lex->source.size ? lex->source.data[end + 2] : '\0';
    out->name = trimmed(lex, start, end, sign, kind != '{');
    lex->at = end;
    size_t raw = kind == '%' ? raw_tag(lex, end, "raw") : 0;
    if (out->name.size) {
        /* The tag comes next time, with nothing before it. */
        lex->line_start = false;
        return true;
    }
    if (raw) {
        out->name = raw_text(lex, raw);
        return out->name.size > 0;
    }
    lex->at += 2 + (sign == '-' || sign == '+');
    if (kind == '#') {
        size_t close = find(lex, lex->at, "#}");
        if (close == SIZE_MAX) wrong(lex, end, "this comment has no end: '#}' is missing");
        char before = close > lex->at ? lex->source.data[close - 1] : '\0';
        lex->at = close;
        if (before == '-' || before == '+') lex->at--;
        leave(lex, "#}", true);
        return false;
    }
    lex->inside = true;
    lex->block = kind == '%';
    lex->n_open = 0;
    out->type = lex->block ? JT_BLOCK : JT_PRINT;
    out->at = (uint32_t)end;
    return true;
}

/* ---- inside a tag ---- */

static uint32_t hex(JLexer *lex, size_t *at, size_t digits, size_t end)
{
    uint32_t value = 0;
    for (size_t i = 0; i < digits; i++, ++*at) {
        int n = *at < end ? hex_digit(lex->source.data[*at]) : -1;
        if (n < 0) wrong(lex, *at, "this escape needs more hexadecimal digits");
        value = value * 16 + (uint32_t)n;
    }
    if (value > 0x10FFFF) wrong(lex, *at, "there is no such character");
    return value;
}

/* One escape after its backslash at *at, as Python's string literals have them. */
static void escape(JLexer *lex, JOut *o, size_t *at, size_t end)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    char c = lex->source.data[(*at)++];
    const char *simple = c ? strchr(from, c) : NULL;
    if (simple) {
        j_out_char(o, (unsigned char)to[simple - from]);
    } else if (c == 'x' || c == 'u' || c == 'U') {
        j_out_char(o, hex(lex, at, c == 'x' ? 2 : c == 'u' ? 4 : 8, end));
    } else if (c >= '0' && c <= '7') {
        uint32_t value = (uint32_t)(c - '0');
        for (int i = 0; i < 2 && *at < end; i++, ++*at) {
            char next = lex->source.data[*at];
            if (next < '0' || next > '7') break;
            value = value * 8 + (uint32_t)(next - '0');
        }
        j_out_char(o, value);
    } else if (c != '\n') {
        j_out_char(o, '\\');
        --*at; /* the character comes next */
        size_t length;
        j_out_char(o, utf8_next(lex->source.data + *at, end - *at, &length));
        *at += length;
    }
}

static void string(JLexer *lex, JToken *out)
{
    char quote = peek(lex, 0);
    size_t start = lex->at + 1, end = start;
    while (end < lex->source.size && lex->source.data[end] != quote)
        end += lex->source.data[end] == '\\' ? 2 : 1;
    if (end >= lex->source.size) wrong(lex, lex->at, "this string has no end");
    JOut o = {.j = lex->j};
    for (size_t at = start; at < end;) {
        size_t length;
        if (lex->source.data[at] == '\\') {
            at++;
            escape(lex, &o, &at, end);
            continue;
        }
        j_out_char(&o, utf8_next(lex->source.data + at, end - at, &length));
        at += length;
    }
    out->type = JT_STRING;
    out->value = j_out_take(&o);
    lex->at = end + 1;
}

static int digit_value(char c)
{
    if (digit(c)) return c - '0';
    return name_start(c) && (unsigned char)c < 0x80 && c != '_' ? (c | 32) - 'a' + 10 : 99;
}

static void whole_number(JLexer *lex, JToken *out, int base)
{
    int64_t value = 0;
    bool any = false;
    for (;; lex->at++) {
        if (peek(lex, 0) == '_' && any && digit_value(peek(lex, 1)) < base) continue;
        int d = digit_value(peek(lex, 0));
        if (d >= base) break;
        any = true;
        if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, d, &value))
            wrong(lex, out->at, "a whole number does not fit 64 bits");
    }
    if (!any) wrong(lex, out->at, "this is no number");
    out->type = JT_INT;
    out->value = j_int(value);
}

static void number(JLexer *lex, JToken *out, bool after_dot)
{
    char kind = (char)(peek(lex, 1) | 32);
    int base = peek(lex, 0) != '0' ? 10 : kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    if (base != 10) {
        lex->at += 2;
        whole_number(lex, out, base);
        return;
    }
    size_t n = 0;
    while (digit(peek(lex, n)) || (n && peek(lex, n) == '_' && digit(peek(lex, n + 1)))) n++;
    bool dot = !after_dot && peek(lex, n) == '.' && digit(peek(lex, n + 1));
    if (dot)
        for (n++; digit(peek(lex, n)) || (peek(lex, n) == '_' && digit(peek(lex, n + 1)));) n++;
    size_t sign = peek(lex, n + 1) == '+' || peek(lex, n + 1) == '-' ? 1 : 0;
    bool e = !after_dot && (peek(lex, n) | 32) == 'e' && digit(peek(lex, n + 1 + sign));
    if (e)
        for (n += 1 + sign;
             digit(peek(lex, n)) || (peek(lex, n) == '_' && digit(peek(lex, n + 1)));)
            n++;
    if (!dot && !e) {
        whole_number(lex, out, 10);
        return;
    }
    char digits[512];
    size_t used = 0;
    if (n >= sizeof digits) wrong(lex, lex->at, "this number is too long");
    for (size_t i = 0; i < n; i++)
        if (peek(lex, i) != '_') digits[used++] = peek(lex, i);
    digits[used] = '\0';
    out->type = JT_FLOAT;
    out->value = j_float(strtod(digits, NULL));
    lex->at += n;
}

static void operators(JLexer *lex, JToken *out)
{
    static const char two[][3] = {"//", "**", "==", "!=", ">=", "<="};
    char c = peek(lex, 0);
    out->type = JT_OP;
    for (size_t i = 0; i < sizeof two / sizeof *two; i++) {
        if (c != two[i][0] || peek(lex, 1) != two[i][1]) continue;
        out->op = JOP2(two[i][0], two[i][1]);
        lex->at += 2;
        return;
    }
    if (!c || !strchr("+-/*%~[](){}<>=.:|,;", c)) wrong(lex, lex->at, "unexpected character");
    if (strchr("([{", c)) {
        if (lex->n_open == JINJA_MOST_NEST)
            j_fail(lex->j, BT_E_LIMIT, "brackets are nested more than %u deep", JINJA_MOST_NEST);
        lex->open[lex->n_open++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (strchr(")]}", c)) {
        if (!lex->n_open || lex->open[lex->n_open - 1] != c)
            wrong(lex, lex->at, "this bracket closes none that is open");
        lex->n_open--;
    }
    out->op = (unsigned char)c;
    lex->at++;
}

static bool tag_end(JLexer *lex, JToken *out)
{
    const char *close = lex->block ? "%}" : "}}";
    size_t sign = peek(lex, 0) == '-' || (lex->block && peek(lex, 0) == '+') ? 1 : 0;
    if (lex->n_open || !looks(lex, lex->at + sign, close)) return false;
    leave(lex, close, lex->block);
    lex->inside = false;
    out->type = lex->block ? JT_BLOCK_END : JT_PRINT_END;
    return true;
}

void j_lex(JLexer *lex, JToken *out)
{
    *out = (JToken){.type = JT_END, .at = (uint32_t)lex->at};
    while (!lex->inside) {
        if (lex->at == lex->source.size) return;
        if (text(lex, out)) return;
        *out = (JToken){.type = JT_END, .at = (uint32_t)lex->at};
    }
    bool after_dot = lex->at && lex->source.data[lex->at - 1] == '.';
    skip_blanks(lex);
    out->at = (uint32_t)lex->at;
    lex->j->position = out->at;
    if (lex->at == lex->source.size) wrong(lex, lex->at, "the template ends inside a tag");
    char c = peek(lex, 0);
    if (tag_end(lex, out)) return;
    if (digit(c)) {
        number(lex, out, after_dot);
    } else if (name_start(c)) {
        size_t n = 0;
        while (name_char(peek(lex, n)) && lex->at + n < lex->source.size) n++;
        out->type = JT_NAME;
        out->name = (Span){lex->source.data + lex->at, n};
        lex->at += n;
    } else if (c == '\'' || c == '"') {
        string(lex, out);
    } else {
        operators(lex, out);
    }
}
