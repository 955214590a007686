/* Small helpers of the readers: errors, members, copies (see api_read.h). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "serve/api_read.h"
#include "text/utf8.h"

static bt_status fill(ApiError *err, ApiErrorKind kind, const char *field, const char *format,
                      va_list args)
{
    bt_status status = kind == API_E_INTERNAL ? BT_E_MEMORY : BT_E_ARGUMENT;
    if (!err) return status;
    *err = (ApiError){.kind = kind};
    if (field) snprintf(err->field, sizeof err->field, "%s", field);
    vsnprintf(err->text, sizeof err->text, format, args);
    /* names that clients chose may stand in both, and may have been cut */
    err->field[utf8_whole(err->field, strlen(err->field))] = 0;
    err->text[utf8_whole(err->text, strlen(err->text))] = 0;
    return status;
}

bt_status api_fail(ApiError *err, ApiErrorKind kind, const char *field, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bt_status status = fill(err, kind, field, format, args);
    va_end(args);
    return status;
}

bool api_refuse(ApiRead *r, ApiErrorKind kind, const char *field, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(r->err, kind, field, format, args);
    va_end(args);
    return false;
}

bool api_no_memory(ApiRead *r)
{
    return api_refuse(r, API_E_INTERNAL, NULL, "not enough memory for this request");
}

void api_error_from(ApiError *err, const bt_error *from)
{
    ApiErrorKind kind = API_E_INTERNAL;
    switch (from->status) {
    case BT_E_CONTEXT: kind = API_E_CONTEXT; break;
    case BT_E_LIMIT: /* of what a schema, grammar or template may be: no use to come again */
    case BT_E_ARGUMENT: kind = API_E_INVALID; break;
    case BT_E_UNSUPPORTED: kind = API_E_UNSUPPORTED; break;
    case BT_E_CANCELLED: kind = API_E_UNAVAILABLE; break;
    default: break;
    }
    api_fail(err, kind, NULL, "%s", from->text[0] ? from->text : bt_status_text(from->status));
}

int api_error_http(ApiErrorKind kind)
{
    switch (kind) {
    case API_E_INVALID:
    case API_E_CONTEXT:
    case API_E_UNSUPPORTED: return 400;
    case API_E_KEY: return 401;
    case API_E_FORBIDDEN: return 403;
    case API_E_NOT_FOUND:
    case API_E_MODEL: return 404;
    case API_E_METHOD: return 405;
    case API_E_TOO_LARGE: return 413;
    case API_E_BUSY: return 429;
    case API_E_UNAVAILABLE: return 503;
    case API_E_TIMEOUT: return 504;
    case API_E_INTERNAL: break;
    }
    return 500;
}

ApiPath api_path(const char *format, ...)
{
    ApiPath path;
    va_list args;
    va_start(args, format);
    vsnprintf(path.text, sizeof path.text, format, args);
    va_end(args);
    return path;
}

uint32_t api_member(const ApiRead *r, uint32_t object, const char *key)
{
    uint32_t node = json_tree_get(&r->tree, object, span_of(key));
    return node && api_kind(r, node) != JSON_KIND_NULL ? node : 0;
}

bool api_member_text(ApiRead *r, uint32_t object, const char *path, const char *key, bool required,
                     Span *out)
{
    uint32_t node = api_member(r, object, key);
    ApiPath full = api_path("%s%s%s", path, *path ? "." : "", key);
    *out = (Span){NULL, 0};
    if (!node && !required) return true;
    if (!node) return api_refuse(r, API_E_INVALID, full.text, "%s is missing", full.text);
    if (api_kind(r, node) != JSON_KIND_STRING)
        return api_refuse(r, API_E_INVALID, full.text, "%s must be a string, not %s", full.text,
                          api_kind_name(api_kind(r, node)));
    *out = api_span(r, node);
    return true;
}

bool api_copy(ApiRead *r, uint32_t node, const char *path, size_t most, const char **out)
{
    if (api_kind(r, node) != JSON_KIND_STRING)
        return api_refuse(r, API_E_INVALID, path, "%s must be a string, not %s", path,
                          api_kind_name(api_kind(r, node)));
    Span s = api_span(r, node);
    if (s.size > most)
        return api_refuse(r, API_E_INVALID, path, "%s has %zu bytes; %zu is the most", path, s.size,
                          most);
    if (s.size && memchr(s.data, 0, s.size))
        return api_refuse(r, API_E_INVALID, path, "%s holds a NUL character", path);
    *out = api_pool_text(r->call->pool, s.data, s.size);
    return *out || api_no_memory(r);
}

bool api_copy_text(ApiRead *r, uint32_t node, ApiText *out)
{
    Span s = api_span(r, node);
    *out = (ApiText){api_pool_text(r->call->pool, s.data, s.size), s.size};
    return out->text || api_no_memory(r);
}

bool api_keep(ApiRead *r, Buf *buf, const char **out)
{
    *out = api_pool_buf(r->call->pool, buf);
    buf_close(buf);
    return *out || api_no_memory(r);
}

bool api_keep_prefill(ApiRead *r, Buf *text)
{
    if (!text->size || !memchr(text->data, 0, text->size))
        return api_keep(r, text, &r->call->prefill);
    buf_close(text);
    return api_refuse(r, API_E_INVALID, "messages",
                      "messages: the last one, from which the answer is to go on, holds a NUL "
                      "character");
}

bool api_json(ApiRead *r, uint32_t node, const char **out)
{
    Buf text = {0};
    JsonOut j = {&text};
    api_write_node(r, &j, node);
    return api_keep(r, &text, out);
}

static void write_start(const JsonNode *n, JsonOut *j)
{
    switch (n->kind) {
    case JSON_KIND_NULL: jout_null(j); break;
    case JSON_KIND_FALSE:
    case JSON_KIND_TRUE: jout_bool(j, n->kind == JSON_KIND_TRUE); break;
    case JSON_KIND_NUMBER: jout_raw(j, n->text.data, n->text.size); break;
    case JSON_KIND_STRING: jout_text(j, n->text.data, n->text.size); break;
    case JSON_KIND_ARRAY: jout_open(j, '['); break;
    case JSON_KIND_OBJECT: jout_open(j, '{'); break;
    }
}

/* Like json_tree_write, but fast for long strings. */
void api_write_node(ApiRead *r, JsonOut *j, uint32_t node)
{
    const JsonNode *nodes = r->tree.nodes;
    for (uint32_t at = node;;) {
        write_start(&nodes[at], j);
        if (nodes[at].kind >= JSON_KIND_ARRAY && nodes[at].child) {
            at = nodes[at].child;
        } else {
            if (nodes[at].kind >= JSON_KIND_ARRAY)
                jout_close(j, nodes[at].kind == JSON_KIND_ARRAY ? ']' : '}');
            while (at != node && !nodes[at].next) {
                at = nodes[at].parent;
                jout_close(j, nodes[at].kind == JSON_KIND_ARRAY ? ']' : '}');
            }
            if (at == node) return;
            at = nodes[at].next;
        }
        if (nodes[nodes[at].parent].kind != JSON_KIND_OBJECT) continue;
        jout_text(j, nodes[at].key.data, nodes[at].key.size);
        buf_char(j->buf, ':');
        j->comma = false;
    }
}

bool api_token(ApiRead *r, uint32_t node, const char *path, bt_token *out)
{
    double value = -1;
    bool number = api_kind(r, node) == JSON_KIND_NUMBER && api_number(api_span(r, node), &value);
    if (!number || value < 0 || value > INT32_MAX || value != (double)(bt_token)value)
        return api_refuse(r, API_E_INVALID, path, "%s must be a token's id, not %s", path,
                          number ? "this number" : api_kind_name(api_kind(r, node)));
    if (r->defaults.n_vocab && value >= r->defaults.n_vocab)
        return api_refuse(r, API_E_INVALID, path, "%s is %.0f; the vocabulary has %d tokens", path,
                          value, r->defaults.n_vocab);
    *out = (bt_token)value;
    return true;
}
