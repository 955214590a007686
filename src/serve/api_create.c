/* Ollama's verbs over models: show, delete, copy, create. What they ask for goes on as keys and
 * values (docs/api.md); nothing here touches a file. A Modelfile is read line by line: FROM,
 * PARAMETER, TEMPLATE, SYSTEM, ADAPTER, LICENSE, MESSAGE; texts may be quoted, or span lines
 * between triple quotes. Files come by name: they must lie where the server looks for models. */
#include <string.h>
#include <strings.h>

#include "serve/api_read.h"
#include "serve/go_template.h"

enum { MOST_PAIRS = 1024, MOST_NAME = 4096 };

typedef struct Pairs {
    ApiRead *r;
    ApiPair *rows;
    size_t n;
} Pairs;

static bool pairs_open(Pairs *p, ApiRead *r)
{
    *p = (Pairs){.r = r, .rows = api_pool_take(r->call->pool, MOST_PAIRS, sizeof(ApiPair))};
    r->call->pairs = p->rows;
    return p->rows || api_no_memory(r);
}

/* Copies both; values have no NUL. */
static bool add(Pairs *p, Span key, Span value, const char *path)
{
    if (p->n == MOST_PAIRS)
        return api_refuse(p->r, API_E_INVALID, path, "%s: more than %d settings", path, MOST_PAIRS);
    if (value.size && memchr(value.data, 0, value.size))
        return api_refuse(p->r, API_E_INVALID, path, "%s holds a NUL character", path);
    ApiPair pair = {api_pool_text(p->r->call->pool, key.data, key.size),
                    api_pool_text(p->r->call->pool, value.data, value.size)};
    if (!pair.key || !pair.value) return api_no_memory(p->r);
    p->rows[p->n++] = pair;
    p->r->call->n_pairs = p->n;
    return true;
}

static bool add_node(Pairs *p, const char *key, uint32_t node)
{
    return !node || add(p, span_of(key), api_span(p->r, node), key);
}

/* ---- Modelfile ------------------------------------------------------------------------- */

static Span trim(Span s)
{
    while (s.size && strchr(" \t\r", *s.data)) s.data++, s.size--;
    while (s.size && strchr(" \t\r", s.data[s.size - 1])) s.size--;
    return s;
}

static Span take_line(Span *rest)
{
    const char *end = rest->size ? memchr(rest->data, '\n', rest->size) : NULL;
    size_t n = end ? (size_t)(end - rest->data) : rest->size;
    Span line = {rest->data, n};
    n += end != NULL;
    rest->data += n;
    rest->size -= n;
    return line;
}

static Span take_word(Span *line)
{
    size_t n = 0;
    while (n < line->size && !strchr(" \t", line->data[n])) n++;
    Span word = {line->data, n};
    line->data += n;
    line->size -= n;
    *line = trim(*line);
    return word;
}

/* A value that begins on this line; with triple quotes it may go on over more of `rest`. */
static bool take_value(Span line, Span *rest, Span *out)
{
    static const char mark[] = "\"\"\"";
    if (line.size < 3 || memcmp(line.data, mark, 3) != 0) {
        bool quoted = line.size >= 2 && line.data[0] == '"' && line.data[line.size - 1] == '"';
        *out = quoted ? (Span){line.data + 1, line.size - 2} : line;
        return true;
    }
    const char *from = line.data + 3, *end = rest->data + rest->size;
    for (const char *at = from; end - at >= 3; at++) {
        if (memcmp(at, mark, 3) != 0) continue;
        *out = (Span){from, (size_t)(at - from)};
        Span after = {at + 3, (size_t)(end - at - 3)};
        if (after.data > rest->data) *rest = after;
        take_line(rest->data == after.data ? rest : &after);
        return true;
    }
    return false;
}

static bool word_is(Span word, const char *text)
{
    return word.size == strlen(text) && strncasecmp(word.data, text, word.size) == 0;
}

static bool add_line(Pairs *p, Span word, Span line, Span *rest, size_t number)
{
    static const char path[] = "modelfile";
    static const struct {
        const char *word, *key;
    } simple[] = {{"FROM", "from"},
                  {"TEMPLATE", "template"},
                  {"SYSTEM", "system"},
                  {"ADAPTER", "adapter"},
                  {"LICENSE", "license"}};
    Buf name = {0};
    Span value;
    const char *key = NULL;
    for (size_t i = 0; i < sizeof simple / sizeof *simple; i++)
        if (word_is(word, simple[i].word)) key = simple[i].key;
    bool parameter = word_is(word, "PARAMETER"), message = word_is(word, "MESSAGE");
    if (!key && !parameter && !message)
        return api_refuse(p->r, API_E_INVALID, path, "modelfile, line %zu: unknown word \"%.*s\"",
                          number, (int)(word.size < 40 ? word.size : 40), word.data);
    if (!key) {
        Span second = take_word(&line);
        buf_text(&name, parameter ? "parameter." : "message.");
        buf_add(&name, second.data, second.size);
    } else {
        buf_text(&name, key);
    }
    bool good = !name.failed || api_no_memory(p->r);
    if (good && (!take_value(line, rest, &value) || !value.size))
        good = api_refuse(p->r, API_E_INVALID, path,
                          "modelfile, line %zu: a value is missing or not closed", number);
    if (good) good = add(p, (Span){name.data, name.size}, value, path);
    buf_close(&name);
    return good;
}

static bool read_modelfile(Pairs *p, Span text)
{
    size_t number = 1;
    while (text.size) {
        const char *before = text.data;
        Span line = trim(take_line(&text));
        if (line.size && *line.data != '#') {
            Span word = take_word(&line);
            if (!add_line(p, word, line, &text, number)) return false;
        }
        for (; before < text.data; before++) number += *before == '\n';
    }
    return true;
}

/* A template goes on as it is, and in Jinja: what has Jinja's blocks is that already. */
static bool add_template(Pairs *p)
{
    ApiRead *r = p->r;
    const char *text = NULL;
    Buf jinja = {0};
    char why[256];
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->rows[i].key, "template") == 0) text = p->rows[i].value;
    if (!text || !*text) return true;
    if (strstr(text, "{%"))
        buf_text(&jinja, text);
    else if (!go_template_translate(span_of(text), &jinja, why, sizeof why) && !jinja.failed) {
        buf_close(&jinja);
        return api_refuse(r, API_E_UNSUPPORTED, "template", "%s", why);
    }
    bool good = jinja.failed ? api_no_memory(r)
                             : add(p, SPAN("jinja"), (Span){jinja.data, jinja.size}, "template");
    buf_close(&jinja);
    return good;
}

/* ---- the requests ----------------------------------------------------------------------- */

/* {"temperature": 0.7, "stop": ["a", "b"]} as parameter.NAME rows */
static bool add_parameters(Pairs *p, uint32_t object)
{
    ApiRead *r = p->r;
    API_EACH(r, object, member)
    {
        Buf key = {0}, value = {0};
        JsonOut j = {&value};
        bool good = true, list = api_kind(r, member) == JSON_KIND_ARRAY;
        uint32_t at = list ? r->tree.nodes[member].child : member;
        buf_text(&key, "parameter.");
        buf_add(&key, r->tree.nodes[member].key.data, r->tree.nodes[member].key.size);
        for (; good && at; at = list ? r->tree.nodes[at].next : 0) {
            bool text = api_kind(r, at) == JSON_KIND_STRING;
            buf_clear(&value);
            j.comma = false;
            if (!text) api_write_node(r, &j, at);
            if (key.failed || value.failed)
                good = api_no_memory(r);
            else
                good = add(p, (Span){key.data, key.size},
                           text ? api_span(r, at) : (Span){value.data, value.size}, "parameters");
        }
        buf_close(&key);
        buf_close(&value);
        if (!good) return false;
    }
    return true;
}

/* {"name.gguf": "sha256:..."}: of adapters the names; of files one, which is the model */
static bool add_files(Pairs *p, uint32_t object, const char *key)
{
    API_EACH(p->r, object, member)
    if (!add(p, span_of(key), p->r->tree.nodes[member].key, key)) return false;
    return true;
}

static bool add_license(Pairs *p, uint32_t node)
{
    ApiRead *r = p->r;
    if (!node) return true;
    if (api_kind(r, node) == JSON_KIND_STRING) return add_node(p, "license", node);
    if (api_kind(r, node) != JSON_KIND_ARRAY)
        return api_refuse(r, API_E_INVALID, "license", "license must be a string or an array");
    API_EACH(r, node, each)
    {
        if (api_kind(r, each) != JSON_KIND_STRING)
            return api_refuse(r, API_E_INVALID, "license", "license must hold strings");
        if (!add_node(p, "license", each)) return false;
    }
    return true;
}

static bool add_messages(Pairs *p, uint32_t node)
{
    ApiRead *r = p->r;
    size_t i = 0;
    if (!node) return true;
    API_EACH(r, node, each)
    {
        ApiPath path = api_path("messages[%zu]", i++);
        Span role, content;
        Buf key = {0};
        if (api_kind(r, each) != JSON_KIND_OBJECT)
            return api_refuse(r, API_E_INVALID, path.text, "%s must be an object", path.text);
        if (!api_member_text(r, each, path.text, "role", true, &role) ||
            !api_member_text(r, each, path.text, "content", true, &content))
            return false;
        buf_text(&key, "message.");
        buf_add(&key, role.data, role.size);
        bool good =
            key.failed ? api_no_memory(r) : add(p, (Span){key.data, key.size}, content, path.text);
        buf_close(&key);
        if (!good) return false;
    }
    return true;
}

static bool has_from(const Pairs *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->rows[i].key, "from") == 0) return true;
    return false;
}

bool api_read_create(ApiRead *r)
{
    const ApiRaw *raw = &r->raw;
    Pairs p;
    r->call->stream = raw->stream == 0 ? API_STREAM_NOT : API_STREAM_NDJSON;
    if (!pairs_open(&p, r)) return false;
    if (raw->path)
        return api_refuse(r, API_E_UNSUPPORTED, "path",
                          "path is not supported; send the Modelfile's text as \"modelfile\"");
    if (!add(&p, SPAN("model"), span_of(r->call->model), "model")) return false;
    if (raw->modelfile && !read_modelfile(&p, api_span(r, raw->modelfile))) return false;
    if (!add_node(&p, "from", raw->from)) return false;
    if (raw->files && !add_files(&p, raw->files, "from")) return false;
    if (raw->to_adapters && !add_files(&p, raw->to_adapters, "adapter")) return false;
    if (!add_node(&p, "template", raw->template_text) || !add_node(&p, "system", raw->system) ||
        !add_node(&p, "quantize", raw->quantize) || !add_license(&p, raw->license) ||
        !add_messages(&p, raw->messages))
        return false;
    if (raw->parameters && !add_parameters(&p, raw->parameters)) return false;
    if (!add_template(&p)) return false;
    return has_from(&p) || api_refuse(r, API_E_INVALID, "from",
                                      "from is missing: the name of a model or of a local file");
}

bool api_read_copy(ApiRead *r)
{
    Pairs p;
    if (!pairs_open(&p, r) || !add_node(&p, "source", r->raw.source) ||
        !add_node(&p, "destination", r->raw.destination))
        return false;
    for (size_t i = 0; i < p.n; i++)
        if (!*p.rows[i].value)
            return api_refuse(r, API_E_INVALID, p.rows[i].key, "%s must not be empty",
                              p.rows[i].key);
    return true;
}

bool api_read_show(ApiRead *r)
{
    Pairs p;
    return pairs_open(&p, r) && add(&p, SPAN("model"), span_of(r->call->model), "model");
}
