/* The states of a JSON text (see json_scan.h). A level of nesting is a bit. Refuses what RFC 8259
 * refuses, but for raw control characters and \' in strings, which models write and which are
 * mended on the way. */
#include "text/json_scan.h"

#include <string.h>

#include "base/hex.h"
#include "text/utf8.h"

enum {
    S_VALUE, /* a value must come; zero, so that a zeroed scan is ready */
    S_FIRST, /* after '[': a value or ']' */
    S_KEY,   /* after '{': a key or '}' */
    S_NEXT,  /* after ',' in an object: a key */
    S_COLON,
    S_AFTER, /* after a value inside something: ',' or the end of it */
    S_STRING,
    S_ESCAPE,
    S_HEX,
    S_HIGH,   /* after the first half of a pair */
    S_HIGH_U, /* and a backslash */
    S_WORD,
    S_MINUS,
    S_ZERO,
    S_INT,
    S_DOT,
    S_FRACTION,
    S_E,
    S_E_SIGN,
    S_EXPONENT,
    S_END,
};

static void put(Buf *out, char c)
{
    if (out) buf_char(out, c);
}

static void put_unit(Buf *out, unsigned unit)
{
    if (out) buf_printf(out, "\\u%04x", unit);
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool in_object(const JsonScan *s)
{
    int level = s->depth - 1;
    return s->object[level / 64] >> level % 64 & 1;
}

static ScanResult end_value(JsonScan *s)
{
    s->state = s->depth ? S_AFTER : S_END;
    return s->depth ? SCAN_MORE : SCAN_DONE;
}

static ScanResult push(JsonScan *s, bool object)
{
    if (s->depth == JSON_SCAN_DEPTH) return SCAN_BAD;
    uint64_t bit = (uint64_t)1 << s->depth % 64, *word = &s->object[s->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    s->depth++;
    s->state = object ? S_KEY : S_FIRST;
    return SCAN_MORE;
}

static ScanResult begin_value(JsonScan *s, char c, Buf *out)
{
    put(out, c);
    if (c == '{' || c == '[') return push(s, c == '{');
    s->key = false;
    s->word = c == 't' ? "rue" : c == 'f' ? "alse" : c == 'n' ? "ull" : NULL;
    s->state = c == '"'   ? S_STRING
               : c == '-' ? S_MINUS
               : c == '0' ? S_ZERO
               : digit(c) ? S_INT
               : s->word  ? S_WORD
                          : S_END;
    return s->state == S_END ? SCAN_BAD : SCAN_MORE;
}

static ScanResult close_level(JsonScan *s, char c, Buf *out)
{
    if ((c == '}') != in_object(s)) return SCAN_BAD;
    put(out, c);
    s->depth--;
    return end_value(s);
}

/* Between the parts of a value: white space may stand here. */
static ScanResult structure(JsonScan *s, char c, Buf *out)
{
    if (json_is_space(c)) {
        if (s->depth) put(out, c);
        return SCAN_MORE;
    }
    switch (s->state) {
    case S_FIRST:
        if (c == ']') return close_level(s, c, out);
        return begin_value(s, c, out);
    case S_VALUE: return begin_value(s, c, out);
    case S_KEY:
        if (c == '}') return close_level(s, c, out);
        break;
    case S_NEXT: break;
    case S_COLON:
        if (c != ':') return SCAN_BAD;
        s->state = S_VALUE;
        put(out, c);
        return SCAN_MORE;
    case S_AFTER:
        if (c == '}' || c == ']') return close_level(s, c, out);
        if (c != ',') return SCAN_BAD;
        s->state = in_object(s) ? S_NEXT : S_VALUE;
        put(out, c);
        return SCAN_MORE;
    default: return SCAN_BAD;
    }
    if (c != '"') return SCAN_BAD;
    s->key = true;
    s->state = S_STRING;
    put(out, c);
    return SCAN_MORE;
}

static void string_byte(char c, Buf *out)
{
    if (!out) return;
    if ((unsigned char)c < 0x20)
        json_escape(out, &c, 1);
    else
        buf_char(out, c);
}

static ScanResult end_hex(JsonScan *s, Buf *out)
{
    bool low = s->unit >= 0xDC00 && s->unit < 0xE000, pair = low && s->high;
    if (s->high) put_unit(out, pair ? s->high : UTF8_BAD);
    s->high = 0;
    s->state = S_STRING;
    if (s->unit >= 0xD800 && s->unit < 0xDC00) {
        s->high = s->unit;
        s->state = S_HIGH;
    } else {
        put_unit(out, low && !pair ? UTF8_BAD : s->unit);
    }
    return SCAN_MORE;
}

/* A first half whose second does not come. */
static void lone_high(JsonScan *s, Buf *out)
{
    put_unit(out, UTF8_BAD);
    s->high = 0;
}

static ScanResult string_state(JsonScan *s, char c, Buf *out)
{
    switch (s->state) {
    case S_HIGH:
        if (c == '\\') {
            s->state = S_HIGH_U;
            return SCAN_MORE;
        }
        lone_high(s, out);
        s->state = S_STRING;
        break;
    case S_HIGH_U:
        if (c != 'u') lone_high(s, out);
        s->state = S_ESCAPE;
        break;
    case S_HEX: {
        int value = hex_digit(c);
        if (value < 0) return SCAN_BAD;
        s->unit = (uint16_t)(s->unit << 4 | value);
        return --s->digits ? SCAN_MORE : end_hex(s, out);
    }
    default: break;
    }
    if (s->state == S_ESCAPE) {
        s->state = c == 'u' ? S_HEX : S_STRING;
        s->unit = 0;
        s->digits = 4;
        if (c == 'u') return SCAN_MORE;
        if (c == '\'') return put(out, c), SCAN_MORE;
        if (!c || !strchr("\"\\/bfnrt", c)) return SCAN_BAD;
        put(out, '\\');
        put(out, c);
        return SCAN_MORE;
    }
    if (c == '\\') return s->state = S_ESCAPE, SCAN_MORE;
    if (c != '"') return string_byte(c, out), SCAN_MORE;
    put(out, c);
    if (!s->key) return end_value(s);
    s->state = S_COLON;
    return SCAN_MORE;
}

static bool number_done(int state)
{
    return state == S_ZERO || state == S_INT || state == S_FRACTION || state == S_EXPONENT;
}

/* The state after `c` in a number, or S_END when it does not belong to it. */
static int number_next(int state, char c)
{
    switch (state) {
    case S_MINUS: return c == '0' ? S_ZERO : digit(c) ? S_INT : S_END;
    case S_INT:
        if (digit(c)) return S_INT;
        /* fall through */
    case S_ZERO: return c == '.' ? S_DOT : c == 'e' || c == 'E' ? S_E : S_END;
    case S_DOT: return digit(c) ? S_FRACTION : S_END;
    case S_FRACTION: return digit(c) ? S_FRACTION : c == 'e' || c == 'E' ? S_E : S_END;
    case S_E: return c == '+' || c == '-' ? S_E_SIGN : digit(c) ? S_EXPONENT : S_END;
    default: return digit(c) ? S_EXPONENT : S_END;
    }
}

ScanResult json_scan(JsonScan *s, char c, Buf *out)
{
    if (s->state <= S_AFTER) return structure(s, c, out);
    if (s->state <= S_HIGH_U) return string_state(s, c, out);
    if (s->state == S_WORD) {
        if (c != *s->word) return SCAN_BAD;
        put(out, c);
        return *++s->word ? SCAN_MORE : end_value(s);
    }
    if (s->state == S_END) return SCAN_STOP;
    int next = number_next(s->state, c);
    if (next != S_END) {
        s->state = (uint8_t)next;
        put(out, c);
        return SCAN_MORE;
    }
    if (!number_done(s->state)) return SCAN_BAD;
    if (end_value(s) == SCAN_DONE) return SCAN_STOP;
    return structure(s, c, out);
}

bool json_scan_complete(const JsonScan *s)
{
    return s->state == S_END || (s->depth == 0 && number_done(s->state));
}

bool json_scan_whole(Span text, Buf *out)
{
    JsonScan s = {0};
    for (size_t i = 0; i < text.size; i++) {
        ScanResult r = json_scan(&s, text.data[i], out);
        if (r == SCAN_BAD || (r == SCAN_STOP && !json_is_space(text.data[i]))) return false;
    }
    return json_scan_complete(&s);
}

bool json_scan_begun(Span text, Buf *out)
{
    JsonScan s = {0};
    size_t whole = out->size;
    int depth = 0;
    bool begun = false;
    for (size_t i = 0; i < text.size; i++) {
        size_t before = out->size;
        ScanResult r = json_scan(&s, text.data[i], out);
        if (r == SCAN_BAD || r == SCAN_STOP) break;
        bool opened = s.state == S_KEY || s.state == S_FIRST;
        bool comma = text.data[i] == ',' && (s.state == S_NEXT || s.state == S_VALUE);
        begun |= opened;
        if (r != SCAN_DONE && !opened && !comma && s.state != S_AFTER) continue;
        whole = comma ? before : out->size;
        depth = s.depth;
    }
    out->size = whole;
    if (out->data) out->data[whole] = '\0';
    for (s.depth = depth; s.depth > 0; s.depth--) buf_char(out, in_object(&s) ? '}' : ']');
    return begun;
}

void json_escape(Buf *out, const char *text, size_t n)
{
    static const char names[] = "btn\0fr"; /* of the controls from 8 on */
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            buf_char(out, '\\');
            buf_char(out, (char)c);
        } else if (c >= 0x20) {
            buf_char(out, (char)c);
        } else if (c >= 8 && c <= 13 && names[c - 8]) {
            buf_char(out, '\\');
            buf_char(out, names[c - 8]);
        } else {
            buf_printf(out, "\\u%04x", c);
        }
    }
}

static bool read_unit(const char **at, const char *end, uint32_t *unit)
{
    *unit = 0;
    if (end - *at < 4) return false;
    for (int i = 0; i < 4; i++) {
        int value = hex_digit(*(*at)++);
        if (value < 0) return false;
        *unit = *unit << 4 | (uint32_t)value;
    }
    return true;
}

bool json_unescape(Span string, Buf *out)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    Buf clean = {0}; /* pairs are whole and escapes known from here on */
    bool good = string.size > 1 && *string.data == '"' && json_scan_whole(string, &clean);
    good = good && !clean.failed;
    const char *at = good ? clean.data + 1 : NULL, *end = good ? clean.data + clean.size - 1 : NULL;
    while (good && at < end) {
        char c = *at++, bytes[4];
        const char *known;
        uint32_t unit, low;
        if (c != '\\') {
            buf_char(out, c);
            continue;
        }
        c = *at++;
        if (c != 'u') {
            known = strchr(from, c);
            buf_char(out, known ? to[known - from] : c);
            continue;
        }
        good = read_unit(&at, end, &unit);
        if (good && unit >= 0xD800 && unit < 0xDC00) {
            at += 2;
            good = read_unit(&at, end, &low);
            unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        }
        if (good) buf_add(out, bytes, utf8_put(unit, bytes));
    }
    buf_close(&clean);
    return good;
}
