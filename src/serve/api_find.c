/* The model a body names, found without reading the rest (see api.h): the front must choose a
 * worker, and has no business with what people write. One pass over the bytes, a counter for the
 * depth, no memory. It takes what is not JSON too; api_parse judges that later, elsewhere. */
#include <string.h>

#include "serve/api.h"
#include "text/utf8.h"

typedef struct Look {
    const char *p, *end;
} Look;

static bool hex4(Look *l, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, l->p++) {
        if (l->p >= l->end) return false;
        char c = *l->p;
        uint32_t d = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                            : 16;
        if (d > 15) return false;
        *out = *out << 4 | d;
    }
    return true;
}

/* One character of a string behind a backslash; its UTF-8 to `out`. */
static size_t escape(Look *l, char out[4])
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = l->p < l->end ? *l->p++ : 0;
    const char *found = c ? strchr(from, c) : NULL;
    uint32_t value, low;
    if (found) {
        out[0] = to[found - from];
        return 1;
    }
    if (c != 'u' || !hex4(l, &value)) return 0;
    if (value >= 0xD800 && value < 0xDC00 && l->end - l->p >= 6 && l->p[0] == '\\' &&
        l->p[1] == 'u') {
        l->p += 2;
        if (!hex4(l, &low)) return 0;
        value = 0x10000 + ((value & 0x3FF) << 10) + (low & 0x3FF);
    }
    return utf8_put(value, out);
}

/* Reads a string from behind its quote to behind its end. True if it fits cap - 1 bytes, holds no
 * NUL and is closed. */
static bool string(Look *l, char *out, size_t cap)
{
    size_t n = 0;
    bool good = true;
    while (l->p < l->end && *l->p != '"') {
        char bytes[4] = {*l->p++};
        size_t k = 1;
        if (bytes[0] == '\\') k = escape(l, bytes);
        good = good && k > 0 && bytes[0] != 0 && n + k < cap;
        if (!good) continue;
        memcpy(out + n, bytes, k);
        n += k;
    }
    bool closed = l->p < l->end;
    if (closed) l->p++;
    out[good && closed ? n : 0] = 0;
    return good && closed;
}

static void blanks(Look *l)
{
    while (l->p < l->end && (*l->p == ' ' || *l->p == '\t' || *l->p == '\n' || *l->p == '\r'))
        l->p++;
}

bool api_find_model(const char *body, size_t n, char *out, size_t cap)
{
    Look l = {body, body + n};
    size_t depth = 0;
    bool found = false;
    char key[16], none[1];
    out[0] = 0;
    while (l.p < l.end) {
        char c = *l.p++;
        if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth-- <= 1) break;
        } else if (c == '"' && depth != 1) {
            string(&l, none, 1);
        } else if (c == '"') {
            bool fits = string(&l, key, sizeof key);
            blanks(&l);
            if (l.p >= l.end || *l.p != ':') continue; /* a value */
            l.p++;
            blanks(&l);
            bool model = fits && strcmp(key, "model") == 0;
            if (!(model || (fits && !found && strcmp(key, "name") == 0))) continue;
            if (l.p >= l.end || *l.p != '"') continue;
            l.p++;
            found = string(&l, out, cap) && out[0];
            if (model) return found;
        }
    }
    return found;
}
