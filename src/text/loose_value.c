/* Python and Gemma literals to JSON (see loose_value.h). A push-down automaton over bytes whose
 * output passes through json_scan. Sets, numbers with j, prefixes as in r"" and names other than
 * those of true, false and nothing are refused. */
#include "text/loose_value.h"

#include <string.h>

#include "text/utf8.h"

enum {
    L_VALUE, /* a value, or the end of the level */
    L_KEY,   /* a key, or '}' */
    L_COLON,
    L_AFTER,
    L_WORD,
    L_QUOTE,  /* after one quote */
    L_QUOTES, /* after two: an empty string, or three will come */
    L_STRING,
    L_ESCAPE,
    L_HEX,
    L_MARK,   /* inside the mark that opens a string */
    L_MARKED, /* inside that string */
    L_END,
};

static ScanResult give(LooseValue *v, const char *text, size_t n, Buf *out)
{
    for (size_t i = 0; i < n; i++)
        if (json_scan(&v->json, text[i], out) == SCAN_BAD) return SCAN_BAD;
    return SCAN_MORE;
}

static ScanResult give_char(LooseValue *v, char c, Buf *out)
{
    return give(v, &c, 1, out);
}

/* One character of a string. */
static ScanResult give_inside(LooseValue *v, char c, Buf *out)
{
    if (c == '"' || c == '\\') {
        const char pair[] = {'\\', c};
        return give(v, pair, 2, out);
    }
    return give_char(v, c, out);
}

static ScanResult give_code(LooseValue *v, uint32_t c, Buf *out)
{
    char bytes[4];
    if (c < 0x80) return give_inside(v, (char)c, out);
    if (c > 0x10FFFF) c = UTF8_BAD;
    if (c >= 0xD800 && c < 0xE000) { /* json_scan joins the halves */
        static const char digits[] = "0123456789abcdef";
        const char escape[] = {
            '\\', 'u', digits[c >> 12], digits[c >> 8 & 15], digits[c >> 4 & 15], digits[c & 15]};
        return give(v, escape, sizeof escape, out);
    }
    return give(v, bytes, utf8_put(c, bytes), out);
}

static ScanResult after_value(LooseValue *v)
{
    if (v->key) {
        v->key = false;
        v->state = L_COLON;
        return SCAN_MORE;
    }
    v->state = v->depth ? L_AFTER : L_END;
    return v->depth ? SCAN_MORE : SCAN_DONE;
}

static bool is_delimiter(char c)
{
    return json_is_space(c) || (c && strchr(",:{}[]()\"'=<>;`", c));
}

/* A number as JSON writes it: no plus sign, no underscores, digits on both sides of the point. */
static bool give_number(LooseValue *v, Buf *out)
{
    char text[2 * LOOSE_WORD];
    size_t n = 0, i = 0;
    if (v->word[0] == '+') i++;
    for (; i < v->n_word; i++) {
        char c = v->word[i], before = n ? text[n - 1] : '\0';
        bool digit = before >= '0' && before <= '9';
        if (c == '_' && digit) continue;
        if (c == '.' && !digit) text[n++] = '0';
        if ((c == 'e' || c == 'E') && before == '.') text[n++] = '0';
        text[n++] = c;
    }
    if (n && text[n - 1] == '.') text[n++] = '0';
    return json_scan_whole((Span){text, n}, NULL) && give(v, text, n, out) != SCAN_BAD;
}

static bool give_word(LooseValue *v, Buf *out)
{
    static const char *const words[][2] = {
        {"True", "true"}, {"true", "true"}, {"False", "false"}, {"false", "false"},
        {"None", "null"}, {"null", "null"}, {"nil", "null"},
    };
    Span word = {v->word, v->n_word};
    if (v->key) {
        if (give_char(v, '"', out) == SCAN_BAD) return false;
        for (size_t i = 0; i < word.size; i++)
            if (give_inside(v, word.data[i], out) == SCAN_BAD) return false;
        return give_char(v, '"', out) != SCAN_BAD;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (span_is(word, words[i][0]))
            return give(v, words[i][1], strlen(words[i][1]), out) != SCAN_BAD;
    char c = *word.data;
    return ((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.') && give_number(v, out);
}

static ScanResult begin(LooseValue *v, char c, bool key, Buf *out)
{
    if (v->comma && give_char(v, ',', out) == SCAN_BAD) return SCAN_BAD;
    v->comma = false;
    v->key = key;
    if (c == '{' || c == '[' || c == '(') {
        if (key || v->depth == LOOSE_DEPTH) return SCAN_BAD;
        v->open[v->depth++] = c;
        v->state = c == '{' ? L_KEY : L_VALUE;
        return give_char(v, c == '{' ? '{' : '[', out);
    }
    if (c == '"' || c == '\'') {
        v->quote = c;
        v->state = L_QUOTE;
        return give_char(v, '"', out);
    }
    if (v->mark && c == *v->mark) {
        v->n_mark = 1;
        v->state = L_MARK;
        return give_char(v, '"', out);
    }
    if (is_delimiter(c) || (unsigned char)c < 0x20) return SCAN_BAD;
    v->word[0] = c;
    v->n_word = 1;
    v->state = L_WORD;
    return SCAN_MORE;
}

static ScanResult end_level(LooseValue *v, char c, Buf *out)
{
    char open = v->depth ? v->open[v->depth - 1] : '\0';
    if (c != (open == '{' ? '}' : open == '[' ? ']' : ')')) return SCAN_BAD;
    v->comma = false; /* one before the end says nothing */
    v->depth--;
    if (give_char(v, c == '}' ? '}' : ']', out) == SCAN_BAD) return SCAN_BAD;
    v->key = false;
    return after_value(v);
}

static ScanResult structure(LooseValue *v, char c, Buf *out)
{
    if (json_is_space(c)) return SCAN_MORE;
    bool closes = c == '}' || c == ']' || c == ')';
    switch (v->state) {
    case L_VALUE:
        if (closes && v->depth && v->open[v->depth - 1] != '{') return end_level(v, c, out);
        return begin(v, c, false, out);
    case L_KEY:
        if (c == '}') return end_level(v, c, out);
        return begin(v, c, true, out);
    case L_COLON:
        if (c != ':') return SCAN_BAD;
        v->state = L_VALUE;
        return give_char(v, c, out);
    default:
        if (closes) return end_level(v, c, out);
        if (c != ',') return SCAN_BAD;
        v->comma = true;
        v->state = v->open[v->depth - 1] == '{' ? L_KEY : L_VALUE;
        return SCAN_MORE;
    }
}

static ScanResult end_string(LooseValue *v, Buf *out)
{
    if (give_char(v, '"', out) == SCAN_BAD) return SCAN_BAD;
    return after_value(v);
}

static ScanResult string_byte(LooseValue *v, char c, Buf *out)
{
    if (c == v->quote) {
        if (!v->triple) return end_string(v, out);
        if (++v->n_quotes < 3) return SCAN_MORE;
        v->n_quotes = 0;
        return end_string(v, out);
    }
    for (; v->n_quotes; v->n_quotes--)
        if (give_inside(v, v->quote, out) == SCAN_BAD) return SCAN_BAD;
    if (c == '\\') {
        v->state = L_ESCAPE;
        return SCAN_MORE;
    }
    return give_inside(v, c, out);
}

static ScanResult escape_byte(LooseValue *v, char c, Buf *out)
{
    static const char from[] = "abfnrtv0\\'\"/", to[] = "\a\b\f\n\r\t\v\0\\'\"/";
    const char *known = c ? strchr(from, c) : NULL;
    v->state = L_STRING;
    if (c == '\n') return SCAN_MORE; /* the line goes on */
    if (known) return give_inside(v, to[known - from], out);
    v->digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (v->digits) {
        v->unit = 0;
        v->state = L_HEX;
        return SCAN_MORE;
    }
    if (give_inside(v, '\\', out) == SCAN_BAD) return SCAN_BAD; /* as Python does */
    return string_byte(v, c, out);
}

static ScanResult hex_byte(LooseValue *v, char c, Buf *out)
{
    int lower = c | 32;
    int value = c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 87 : -1;
    if (value < 0) return SCAN_BAD;
    v->unit = v->unit << 4 | (uint32_t)value;
    if (--v->digits) return SCAN_MORE;
    v->state = L_STRING;
    return give_code(v, v->unit, out);
}

static ScanResult mark_byte(LooseValue *v, char c, Buf *out)
{
    if (v->state == L_MARK) {
        if (c != v->mark[v->n_mark]) return SCAN_BAD;
        if (v->mark[++v->n_mark]) return SCAN_MORE;
        v->n_mark = 0;
        v->state = L_MARKED;
        return SCAN_MORE;
    }
    if (c == v->mark[v->n_mark]) {
        if (v->mark[++v->n_mark]) return SCAN_MORE;
        v->n_mark = 0;
        return end_string(v, out);
    }
    for (uint8_t i = 0; i < v->n_mark; i++)
        if (give_inside(v, v->mark[i], out) == SCAN_BAD) return SCAN_BAD;
    v->n_mark = c == *v->mark; /* its first byte occurs in it once */
    return v->n_mark ? SCAN_MORE : give_inside(v, c, out);
}

static ScanResult word_byte(LooseValue *v, char c, Buf *out)
{
    if (!is_delimiter(c)) {
        if (v->n_word == LOOSE_WORD || (unsigned char)c < 0x20) return SCAN_BAD;
        v->word[v->n_word++] = c;
        return SCAN_MORE;
    }
    if (!give_word(v, out)) return SCAN_BAD;
    if (after_value(v) == SCAN_DONE) return SCAN_STOP;
    return structure(v, c, out);
}

ScanResult loose_value(LooseValue *v, char c, Buf *out)
{
    switch (v->state) {
    case L_WORD: return word_byte(v, c, out);
    case L_QUOTE:
        v->triple = false;
        v->n_quotes = 0;
        v->state = c == v->quote ? L_QUOTES : L_STRING;
        return c == v->quote ? SCAN_MORE : string_byte(v, c, out);
    case L_QUOTES:
        v->triple = c == v->quote;
        v->state = L_STRING;
        if (v->triple) return SCAN_MORE;
        if (end_string(v, out) == SCAN_DONE) return SCAN_STOP;
        return structure(v, c, out);
    case L_STRING: return string_byte(v, c, out);
    case L_ESCAPE: return escape_byte(v, c, out);
    case L_HEX: return hex_byte(v, c, out);
    case L_MARK:
    case L_MARKED: return mark_byte(v, c, out);
    case L_END: return SCAN_STOP;
    default: return structure(v, c, out);
    }
}

bool loose_end(LooseValue *v, Buf *out)
{
    if (v->depth == 0 && v->state == L_WORD) return give_word(v, out);
    if (v->depth == 0 && v->state == L_QUOTES) return end_string(v, out) == SCAN_DONE;
    return v->state == L_END;
}

bool loose_whole(Span text, const char *mark, Buf *out)
{
    LooseValue v = {.mark = mark};
    for (size_t i = 0; i < text.size; i++) {
        ScanResult r = loose_value(&v, text.data[i], out);
        if (r == SCAN_BAD) return false;
        if (r == SCAN_STOP && !json_is_space(text.data[i])) return false;
    }
    return loose_end(&v, out);
}
