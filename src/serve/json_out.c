/* Writing JSON (see json_out.h). */
#include "serve/json_out.h"

#include <math.h>
#include <string.h>

#include "text/utf8.h"

static void comma(JsonOut *j)
{
    if (j->comma) buf_char(j->buf, ',');
    j->comma = true;
}

void jout_open(JsonOut *j, char bracket)
{
    comma(j);
    buf_char(j->buf, bracket);
    j->comma = false;
}

void jout_close(JsonOut *j, char bracket)
{
    buf_char(j->buf, bracket);
    j->comma = true;
}

static void escape(Buf *out, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *found = c ? strchr(from, c) : NULL;
    if (found)
        buf_printf(out, "\\%c", to[found - from]);
    else
        buf_printf(out, "\\u%04x", c);
}

/* The inside of a string, without quotes. */
static void inside(Buf *out, const char *text, size_t n)
{
    size_t from = 0; /* of the bytes that go out as they are */
    for (size_t at = 0; at < n;) {
        unsigned char c = (unsigned char)text[at];
        size_t length = 1;
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            at++;
            continue;
        }
        bool bad = c >= 0x80 && (utf8_next(text + at, n - at, &length), length == 1);
        if (c >= 0x80 && !bad) {
            at += length;
            continue;
        }
        buf_add(out, text + from, at - from);
        if (bad)
            buf_text(out, "\xEF\xBF\xBD");
        else
            escape(out, c);
        from = ++at;
    }
    if (n > from) buf_add(out, text + from, n - from);
}

void jout_text(JsonOut *j, const char *text, size_t n)
{
    comma(j);
    buf_char(j->buf, '"');
    inside(j->buf, text, n);
    buf_char(j->buf, '"');
}

void jout_key(JsonOut *j, const char *key)
{
    jout_text(j, key, strlen(key));
    buf_char(j->buf, ':');
    j->comma = false;
}

void jout_string(JsonOut *j, const char *text)
{
    if (text)
        jout_text(j, text, strlen(text));
    else
        jout_null(j);
}

void jout_integer(JsonOut *j, int64_t value)
{
    comma(j);
    buf_printf(j->buf, "%lld", (long long)value);
}

void jout_real(JsonOut *j, double value)
{
    comma(j);
    if (isfinite(value))
        buf_printf(j->buf, "%.9g", value);
    else
        buf_text(j->buf, "null");
}

void jout_bool(JsonOut *j, bool value)
{
    comma(j);
    buf_text(j->buf, value ? "true" : "false");
}

void jout_null(JsonOut *j)
{
    comma(j);
    buf_text(j->buf, "null");
}

void jout_raw(JsonOut *j, const char *json, size_t n)
{
    comma(j);
    buf_add(j->buf, json, n);
}

void jout_time(JsonOut *j, int64_t seconds, int32_t nanoseconds)
{
    /* civil date from days since 1970, by the usual counting of eras of 400 years */
    int64_t days = seconds / 86400, rest = seconds % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097, day = days - era * 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t of_year = day - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    int64_t of_month = of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    comma(j);
    buf_printf(j->buf, "\"%04d-%02d-%02dT%02d:%02d:%02d.%09dZ\"",
               (int)(year + era * 400 + (month <= 2)), (int)month, (int)of_month,
               (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60), (int)nanoseconds);
}

void jout_put(JsonOut *j, const char *key, const char *text)
{
    jout_key(j, key);
    jout_string(j, text);
}

void jout_put_text(JsonOut *j, const char *key, const char *text, size_t n)
{
    jout_key(j, key);
    jout_text(j, text, n);
}

void jout_put_int(JsonOut *j, const char *key, int64_t value)
{
    jout_key(j, key);
    jout_integer(j, value);
}

void jout_put_real(JsonOut *j, const char *key, double value)
{
    jout_key(j, key);
    jout_real(j, value);
}

void jout_put_bool(JsonOut *j, const char *key, bool value)
{
    jout_key(j, key);
    jout_bool(j, value);
}

void jout_put_null(JsonOut *j, const char *key)
{
    jout_key(j, key);
    jout_null(j);
}

void jout_put_open(JsonOut *j, const char *key, char bracket)
{
    jout_key(j, key);
    jout_open(j, bracket);
}
