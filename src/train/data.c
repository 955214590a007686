/* Reading files as documents (see data.h). Files are mapped, never read whole into memory: a file
 * of JSON lines is taken line by line, an array element by element. */
#include "train/data.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "text/utf8.h"

#define MOST_LINE     (64u << 20) /* bytes of one JSON document */
#define MOST_REPORTED 10
#define SEPARATOR     "<|endoftext|>" /* between documents of a text file */

typedef struct Reading {
    const DataOptions *options;
    DataSink sink;
    void *user;
    DataCount *count;
    const char *file;
    const char *start, *end; /* of the file */
    const char *counted;     /* where `line` is */
    uint64_t line, done, total;
    bt_error *err;
} Reading;

/* ---- what is refused ---- */

static bool is_refusal(bt_status status)
{
    return status == BT_E_FORMAT || status == BT_E_ARGUMENT || status == BT_E_UNSUPPORTED;
}

/* Counts and tells a refusal; another failure is passed on. */
static bt_status judge(Reading *r, uint64_t line, bt_status status, const bt_error *why)
{
    DataCount *c = r->count;
    if (!is_refusal(status)) {
        if (status && r->err) *r->err = *why;
        return status;
    }
    if (c->refused++ == 0)
        snprintf(c->first_refused, sizeof c->first_refused, "%s:%llu: %.300s", r->file,
                 (unsigned long long)line, why->text);
    if (c->refused <= MOST_REPORTED)
        log_line(BT_LOG_WARN, "%s:%llu: %s", r->file, (unsigned long long)line, why->text);
    else if (c->refused == MOST_REPORTED + 1)
        log_line(BT_LOG_WARN, "and more; the rest is only counted");
    return BT_OK;
}

static uint64_t line_of(Reading *r, const char *at)
{
    while (r->counted < at) {
        const char *end = memchr(r->counted, '\n', (size_t)(at - r->counted));
        if (!end) break;
        r->line++;
        r->counted = end + 1;
    }
    return r->line;
}

static bt_status progress(Reading *r, const char *at)
{
    const DataOptions *o = r->options;
    if (!o->progress) return BT_OK;
    if (o->progress(o->progress_user, "reading", r->done + (uint64_t)(at - r->start), r->total))
        return BT_OK;
    return bt_fail(r->err, BT_E_CANCELLED, "cancelled");
}

static bt_status hand_on(Reading *r, DataDoc *doc, bt_error *why)
{
    doc->file = r->file;
    bt_status status = r->sink(r->user, doc, why);
    r->count->documents += status == BT_OK;
    return status;
}

/* ---- JSON ---- */

static bt_status json_document(Reading *r, Span text, const char *at)
{
    bt_error why = {0};
    json_error_t fault;
    DataDoc doc = {.line = line_of(r, at)};
    bt_status status = BT_OK;
    json_t *object = NULL;
    if (text.size > MOST_LINE)
        status = bt_fail(&why, BT_E_FORMAT, "over %u MB in one document", MOST_LINE >> 20);
    else if (!(object = json_loadb(text.data, text.size, JSON_DECODE_ANY, &fault)))
        status = json_error_code(&fault) == json_error_out_of_memory
                     ? bt_fail_memory(&why, "a line of JSON", text.size)
                     : bt_fail(&why, BT_E_FORMAT, "no JSON: byte %d: %.200s", fault.position,
                               fault.text);
    if (!status) status = data_form(object, &doc, &why);
    if (!status) status = hand_on(r, &doc, &why);
    json_decref(object);
    return judge(r, doc.line, status, &why);
}

static bool blank(Span s)
{
    for (size_t i = 0; i < s.size; i++)
        if (!strchr(" \t\r\n", s.data[i]) || !s.data[i]) return false;
    return true;
}

static bt_status json_lines(Reading *r, const char *p)
{
    bt_status status = BT_OK;
    while (p < r->end && !status) {
        const char *end = memchr(p, '\n', (size_t)(r->end - p));
        Span line = {p, (size_t)((end ? end : r->end) - p)};
        if (!blank(line)) status = json_document(r, line, p);
        p = end ? end + 1 : r->end;
        if (!status) status = progress(r, p);
    }
    return status;
}

/* End of the value that starts at p: after its closing bracket, or where a comma, a bracket that
 * was not opened or the end comes. Whether it is JSON is not its affair. */
static const char *value_end(const char *p, const char *end)
{
    size_t depth = 0;
    for (bool quoted = false; p < end; p++) {
        if (quoted) {
            if (*p == '\\' && p + 1 < end)
                p++;
            else
                quoted = *p != '"';
        } else if (*p == '"') {
            quoted = true;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            if (depth == 0) return p;
            if (--depth == 0) return p + 1;
        } else if (*p == ',' && depth == 0) {
            return p;
        }
    }
    return end;
}

static const char *skip_blank(const char *p, const char *end)
{
    while (p < end && *p && strchr(" \t\r\n", *p)) p++;
    return p;
}

static bt_status broken_array(Reading *r, const char *at, const char *what)
{
    bt_error why = {0};
    bt_fail(&why, BT_E_FORMAT, "%s", what);
    return judge(r, line_of(r, at), BT_E_FORMAT, &why);
}

/* One array of documents. What follows a fault in its commas is not read. */
static bt_status json_array_of(Reading *r, const char *p)
{
    bt_status status = BT_OK;
    p = skip_blank(p + 1, r->end);
    if (p < r->end && *p == ']')
        p++;
    else
        for (;;) {
            const char *end = value_end(p, r->end);
            status = json_document(r, (Span){p, (size_t)(end - p)}, p);
            if (!status) status = progress(r, end);
            if (status) return status;
            p = skip_blank(end, r->end);
            char mark = p < r->end ? *p : '\0';
            if (mark == ']') break;
            if (mark != ',') return broken_array(r, p, "the array is cut short or broken here");
            p = skip_blank(p + 1, r->end);
        }
    if (p < r->end && *p == ']') p++;
    p = skip_blank(p, r->end);
    return p < r->end ? broken_array(r, p, "something follows the array") : BT_OK;
}

/* ---- text ---- */

static const char *not_utf8(const char *p, const char *end)
{
    while (p < end) {
        if ((unsigned char)(*p - 1) < 127) { /* ASCII, and no NUL */
            p++;
            continue;
        }
        size_t length;
        uint32_t c = utf8_next(p, (size_t)(end - p), &length);
        if ((c == UTF8_BAD && length == 1) || *p == 0) return p;
        p += length;
    }
    return NULL;
}

static bt_status text_document(Reading *r, const char *p, const char *end)
{
    bt_error why = {0};
    while (p < end && (*p == '\n' || *p == '\r')) p++;
    while (end > p && (end[-1] == '\n' || end[-1] == '\r')) end--;
    if (p == end) return BT_OK;
    DataDoc doc = {.kind = DATA_TEXT, .text = {p, (size_t)(end - p)}, .line = line_of(r, p)};
    const char *bad = not_utf8(p, end);
    bt_status status;
    if (bad) {
        uint64_t line = line_of(r, bad);
        bt_fail(&why, BT_E_FORMAT, "no text: the byte 0x%02X is not UTF-8", (unsigned char)*bad);
        return judge(r, line, BT_E_FORMAT, &why);
    }
    status = judge(r, doc.line, hand_on(r, &doc, &why), &why);
    return status ? status : progress(r, end);
}

static const char *find_separator(const char *p, const char *end)
{
    const size_t n = sizeof SEPARATOR - 1;
    while ((size_t)(end - p) >= n && (p = memchr(p, '<', (size_t)(end - p) - n + 1))) {
        if (memcmp(p, SEPARATOR, n) == 0) return p;
        p++;
    }
    return NULL;
}

static bt_status text_documents(Reading *r, const char *p)
{
    bt_status status = BT_OK;
    while (p < r->end && !status) {
        const char *end = find_separator(p, r->end);
        status = text_document(r, p, end ? end : r->end);
        p = end ? end + sizeof SEPARATOR - 1 : r->end;
    }
    return status;
}

/* ---- files ---- */

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static bt_status read_bytes(Reading *r, const char *name, Span bytes)
{
    const char *p = bytes.data;
    if (!bytes.size) return BT_OK;
    r->file = name;
    r->start = r->counted = p;
    r->end = p + bytes.size;
    r->line = 1;
    if (bytes.size >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) p += 3;
    if (!ends_with(name, ".jsonl") && !ends_with(name, ".ndjson") && !ends_with(name, ".json"))
        return text_documents(r, p);
    const char *first = skip_blank(p, r->end);
    return first < r->end && *first == '[' ? json_array_of(r, first) : json_lines(r, p);
}

static bt_status read_file(Reading *r, const char *path)
{
    OsMap map;
    bt_status status = os_map_open(path, &map, r->err);
    if (status) return status;
    status = read_bytes(r, path, (Span){(const char *)map.data, map.size});
    bt_status lost = os_map_check(&map, path, r->err);
    r->count->files++;
    r->count->bytes += map.size;
    r->done += map.size;
    os_map_close(&map);
    return lost ? lost : status;
}

/* All of them in bytes, for the progress; a file that cannot be opened fails here at once. */
static bt_status measure(Reading *r, const char *names, size_t n)
{
    for (size_t i = 0; i < n; i++, names += strlen(names) + 1) {
        OsMap map;
        bt_status status = os_map_open(names, &map, r->err);
        if (status) return status;
        r->total += map.size;
        os_map_close(&map);
    }
    return BT_OK;
}

/* `paths`: what was to be read, for the message. */
static bt_status verdict(const Reading *r, const char *const *paths, size_t n)
{
    const DataCount *c = r->count;
    if (c->refused && r->options->lenient)
        log_line(BT_LOG_WARN, "%llu refused and left out, %llu good",
                 (unsigned long long)c->refused, (unsigned long long)c->documents);
    if (c->refused && !r->options->lenient)
        return bt_fail(r->err, BT_E_FORMAT,
                       "%s (%llu refused, %llu good); mend the data, or leave out what is refused "
                       "with --lenient",
                       c->first_refused, (unsigned long long)c->refused,
                       (unsigned long long)c->documents);
    if (!c->documents)
        return bt_fail(r->err, BT_E_ARGUMENT, "%s%s: no document in %s%s; %s",
                       n ? paths[0] : "the data", n > 1 ? " and others" : "", n > 1 ? "them" : "it",
                       c->refused ? ": all are refused" : "",
                       c->refused ? "mend the data"
                                  : "a text is needed, or a line of JSON for each document");
    return BT_OK;
}

bt_status data_read(const char *const *paths, size_t n, const DataOptions *options, DataSink sink,
                    void *user, DataCount *count, bt_error *err)
{
    static const DataOptions none;
    DataCount own;
    Reading r = {.options = options ? options : &none,
                 .sink = sink,
                 .user = user,
                 .count = count ? count : &own,
                 .err = err};
    char *names;
    size_t n_files;
    *r.count = (DataCount){0};
    bt_status status = data_files(paths, n, &names, &n_files, err);
    if (status) return status;
    status = measure(&r, names, n_files);
    const char *name = names;
    for (size_t i = 0; i < n_files && !status; i++, name += strlen(name) + 1)
        status = read_file(&r, name);
    mem_free(names);
    return status ? status : verdict(&r, paths, n);
}

bt_status data_read_bytes(const char *name, Span bytes, const DataOptions *options, DataSink sink,
                          void *user, DataCount *count, bt_error *err)
{
    static const DataOptions none;
    *count = (DataCount){.files = 1, .bytes = bytes.size};
    Reading r = {.options = options ? options : &none,
                 .sink = sink,
                 .user = user,
                 .count = count,
                 .total = bytes.size,
                 .err = err};
    bt_status status = read_bytes(&r, name, bytes);
    return status ? status : verdict(&r, &name, 1);
}
