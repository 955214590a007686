/* Patterns of calls as grammars (see answer_maker.h). A pattern's first text is what sets a call
 * off; groups at its very start and end are the section around several calls; what else may be
 * missing is left out. White space between parts is at most two characters. */
#include "text/answer_maker.h"

#include "base/mem.h"
#include "text/schema.h"

typedef struct MakerTool {
    const char *name;
    const json_t *parameters; /* NULL: none were declared */
} MakerTool;

static MakerTool tool_at(const Maker *m, size_t i)
{
    const json_t *row = json_array_get(m->tools, i), *inner = json_object_get(row, "function");
    if (json_is_object(inner)) row = inner;
    const json_t *schema = json_object_get(row, "parameters");
    if (!schema) schema = json_object_get(row, "input_schema");
    return (MakerTool){json_string_value(json_object_get(row, "name")), schema};
}

/* ---- small pieces ---- */

uint32_t maker_text(Maker *m, uint32_t from, Span s)
{
    for (size_t i = 0; i < s.size; i++) {
        unsigned c = (unsigned char)s.data[i];
        uint32_t next = builder_state(m->b);
        builder_bytes(m->b, from, c, c, next);
        if (c == '<' || c == '[' || c == ']') { /* a control token may begin here */
            uint32_t control = builder_state(m->b);
            builder_bytes(m->b, from, GRAMMAR_CONTROL, GRAMMAR_CONTROL, control);
            builder_bytes(m->b, control, c, c, next);
        }
        from = next;
    }
    return from;
}

static uint32_t text_of(Maker *m, uint32_t from, const char *s)
{
    return maker_text(m, from, span_of(s));
}

uint32_t maker_blank(Maker *m, uint32_t from)
{
    uint32_t to = builder_state(m->b);
    for (int i = 0; i < 2; i++) {
        uint32_t next = builder_state(m->b);
        builder_empty(m->b, from, to);
        builder_bytes(m->b, from, ' ', ' ', next);
        builder_bytes(m->b, from, '\n', '\n', next);
        from = next;
    }
    builder_empty(m->b, from, to);
    return to;
}

/* 1 to `most` characters of a range; exactly `most` with `all`. */
static uint32_t run(Maker *m, uint32_t from, const char *pairs, int most, bool all)
{
    uint32_t to = builder_state(m->b);
    for (int i = 0; i < most; i++) {
        uint32_t next = builder_state(m->b);
        for (const char *p = pairs; *p; p += 2)
            builder_bytes(m->b, from, (unsigned char)p[0], (unsigned char)p[1], next);
        if (!all || i == most - 1) builder_empty(m->b, next, to);
        from = next;
    }
    return to;
}

/* The stop of which most bytes stand at the end of the first n bytes of `way` and c: *which, and
 * how many. 0: none. */
static size_t matched(const Span *stops, size_t n_stops, Span way, unsigned char c, size_t *which)
{
    for (size_t k = way.size + 1; k; k--)
        for (size_t i = 0; i < n_stops; i++) {
            if (stops[i].size < k || (unsigned char)stops[i].data[k - 1] != c) continue;
            if (memcmp(stops[i].data, way.data + way.size + 1 - k, k - 1) != 0) continue;
            *which = i;
            return k;
        }
    return 0;
}

/* Where the bytes lead that follow the first of a stop (Aho and Corasick 1975). */
static void search(Maker *m, const Span *stops, size_t n, Span way, uint32_t from,
                   uint32_t (*states)[MAKER_MOST_MARK + 1])
{
    unsigned low = 0;
    for (unsigned c = 0; c <= GRAMMAR_CONTROL; c++) {
        size_t i = 0, k = 0;
        bool used = c == GRAMMAR_CONTROL;
        for (size_t s = 0; s < n && !used; s++) used = memchr(stops[s].data, (int)c, stops[s].size);
        if (!used) continue;
        if (c < GRAMMAR_CONTROL) k = matched(stops, n, way, (unsigned char)c, &i);
        if (!k && c < GRAMMAR_CONTROL) continue;
        if (low < c) builder_bytes(m->b, from, low, c - 1, states[0][0]);
        if (k) builder_bytes(m->b, from, c, c, states[i][k]);
        low = c + 1;
    }
}

void maker_until_any(Maker *m, uint32_t from, const Span *stops, size_t n, bool control,
                     uint32_t end, uint32_t *out)
{
    uint32_t states[MAKER_MOST_STOPS][MAKER_MOST_MARK + 1] = {{0}};
    for (size_t i = 0; i < n; i++) {
        out[i] = from;
        if (stops[i].size > MAKER_MOST_MARK || n > MAKER_MOST_STOPS) m->b->too_large = true;
    }
    if (m->b->too_large || m->b->no_memory) return;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k <= stops[i].size; k++) { /* what two begin with is one way */
            size_t same = 0;
            while (same < i && (stops[same].size < k || k == stops[i].size ||
                                memcmp(stops[same].data, stops[i].data, k) != 0))
                same++;
            states[i][k] = same < i ? states[same][k] : builder_state(m->b);
            if (same < i || k == stops[i].size) continue;
            if (control)
                builder_bytes(m->b, states[i][k], GRAMMAR_CONTROL, GRAMMAR_CONTROL, states[0][0]);
            if (end) builder_empty(m->b, states[i][k], end);
        }
    builder_empty(m->b, from, states[0][0]);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < stops[i].size; k++) {
            bool own = true;
            for (size_t j = 0; j < i; j++) own = own && states[j][k] != states[i][k];
            if (own) search(m, stops, n, (Span){stops[i].data, k}, states[i][k], states);
        }
    for (size_t i = 0; i < n; i++) out[i] = states[i][stops[i].size];
}

uint32_t maker_until(Maker *m, uint32_t from, Span stop, bool control, uint32_t end)
{
    uint32_t out = from;
    if (stop.size) maker_until_any(m, from, &stop, 1, control, end, &out);
    return out;
}

/* ---- values ---- */

/* One JSON value by a schema; the definitions of `root` are its own too. */
static uint32_t value(Maker *m, uint32_t from, const json_t *schema, const json_t *root,
                      const char *tool)
{
    static const char *const shared[] = {"$defs", "definitions"};
    const size_t flags = JSON_ENCODE_ANY | JSON_COMPACT;
    uint32_t rule, to = builder_state(m->b);
    json_t *whole = json_copy((json_t *)(uintptr_t)schema);
    for (size_t i = 0; root && json_is_object(whole) && i < 2; i++) {
        json_t *defs = json_object_get(root, shared[i]);
        if (defs) json_object_set(whole, shared[i], defs);
    }
    size_t size = whole ? json_dumpb(whole, NULL, 0, flags) : 0;
    char *written = size ? mem_alloc(size) : NULL;
    if (written) json_dumpb(whole, written, size, flags);
    json_decref(whole);
    if (!written) {
        m->b->no_memory = true;
        return to;
    }
    bt_status status = schema_build(m->b, (Span){written, size}, NULL, &rule, m->err);
    mem_free(written);
    if (status) {
        char prefix[160];
        snprintf(prefix, sizeof prefix, "tool '%.100s'", tool);
        if (m->err) bt_error_prefix(m->err, prefix);
        m->status = status;
        return to;
    }
    builder_call(m->b, from, rule, to);
    return to;
}

static uint32_t object(Maker *m, uint32_t from, const MakerTool *tool)
{
    if (tool->parameters) return value(m, from, tool->parameters, NULL, tool->name);
    return maker_text(m, from, SPAN("{}"));
}

/* Texts of an enum or const of strings; false: it is none. */
static bool choices(Maker *m, uint32_t from, const json_t *schema, uint32_t to)
{
    const json_t *list = json_object_get(schema, "enum"), *one = json_object_get(schema, "const");
    size_t n = one ? 1 : json_array_size(list);
    for (size_t i = 0; i < n; i++)
        if (!json_is_string(one ? one : json_array_get(list, i))) return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = one ? one : json_array_get(list, i);
        Span s = {json_string_value(item), json_string_length(item)};
        builder_text_to(m->b, from, s, to);
    }
    return n > 0;
}

/* The text of a value, and `stop` after it. */
static uint32_t text_value(Maker *m, uint32_t from, const MakerTool *tool, const char *key,
                           const json_t *schema, Span stop)
{
    unsigned types = answer_tools_type(m->types, span_of(tool->name), span_of(key));
    uint32_t after = builder_state(m->b);
    if (!(types & TYPE_STRING))
        return maker_text(m, value(m, from, schema, tool->parameters, tool->name), stop);
    if (choices(m, from, schema, after)) return maker_text(m, after, stop);
    size_t n = m->form->mark ? strlen(m->form->mark) : 0;
    if (!n || stop.size <= n || memcmp(stop.data, m->form->mark, n) != 0)
        return maker_until(m, from, stop, false, 0);
    /* No other tag may stand in it either. */
    from = maker_until(m, from, (Span){stop.data, n}, false, 0);
    return maker_text(m, from, (Span){stop.data + n, stop.size - n});
}

static bool is_required(const MakerTool *tool, const char *key)
{
    const json_t *list = json_object_get(tool->parameters, "required");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name && strcmp(name, key) == 0) return true;
    }
    return false;
}

/* The letter of the next sign (%x) of a pattern, behind which *at then is; the text before it is
 * read on the way. 0: there is none up to `stop` (NULL: the end). */
static char next_sign(Maker *m, uint32_t *from, const char **at, const char *stop)
{
    size_t n = strcspn(*at, "%");
    if (*at == stop) return 0;
    if (n) *from = maker_text(m, *from, (Span){*at, n});
    *at += n;
    if (!**at || *at == stop) return 0;
    *at += 2;
    return (*at)[-1];
}

/* ---- parameters ---- */

static const char *type_word(unsigned types)
{
    return types & TYPE_STRING    ? "string"
           : types & TYPE_NUMBER  ? "number"
           : types & TYPE_BOOLEAN ? "boolean"
           : types & TYPE_ARRAY   ? "array"
                                  : "object";
}

/* `%k` and `%t` of a parameter's pattern, then its value and the text after. */
static uint32_t parameter(Maker *m, uint32_t from, const MakerTool *tool, const char *key,
                          const json_t *schema)
{
    const char *at = m->form->parameter;
    unsigned types = answer_tools_type(m->types, span_of(tool->name), span_of(key));
    bool string = types & TYPE_STRING;
    for (char what; (what = next_sign(m, &from, &at, NULL));) {
        if (what == '(') at = strstr(at, "%)") + 2;
        if (what == 'k') from = text_of(m, from, key);
        if (what == '_') from = maker_blank(m, from);
        if (what == 't') {
            bool words = strstr(m->form->parameter, "type=") != NULL;
            from = text_of(m, from, words ? type_word(types) : string ? "true" : "false");
        }
        if (what != 'v' && what != 'w') continue;
        char stop[MAKER_MOST_MARK];
        if (strncmp(at, "%(", 2) == 0) at = strstr(at, "%)") + 2;
        const char *name = strstr(at, "%k"); /* a closing tag may say it again */
        int until = name ? (int)(name - at) : (int)strlen(at);
        int size = snprintf(stop, sizeof stop, "%s%.*s%s%s", what == 'w' ? "\n" : "", until, at,
                            name ? key : "", name ? name + 2 : "");
        if (size >= (int)sizeof stop) m->b->too_large = true;
        if (what == 'w') from = maker_text(m, from, SPAN("\n"));
        return text_value(m, from, tool, key, schema, span_of(stop));
    }
    return from;
}

/* One argument of the notations that put them in a row: `name=`, or `name:` and Gemma's strings. */
static uint32_t argument(Maker *m, uint32_t from, const MakerTool *tool, const char *key,
                         const json_t *schema, char what)
{
    const char *mark = m->form->mark;
    from = text_of(m, from, key);
    from = maker_text(m, from, what == 'g' ? SPAN(":") : SPAN("="));
    unsigned types = answer_tools_type(m->types, span_of(tool->name), span_of(key));
    if (what == 'g' && mark && types & TYPE_STRING)
        return text_value(m, text_of(m, from, mark), tool, key, schema, span_of(mark));
    return value(m, from, schema, tool->parameters, tool->name);
}

/* All arguments in the order declared, those not required or not. */
static uint32_t arguments(Maker *m, uint32_t from, const MakerTool *tool, char what)
{
    json_t *all = json_object_get(tool->parameters, "properties");
    uint32_t none = from, some = builder_state(m->b), end = builder_state(m->b);
    const char *key;
    json_t *schema;
    json_object_foreach(all, key, schema)
    {
        uint32_t next_none = builder_state(m->b), next_some = builder_state(m->b);
        if (!is_required(tool, key)) {
            builder_empty(m->b, none, next_none);
            builder_empty(m->b, some, next_some);
        }
        uint32_t first = builder_state(m->b);
        if (what == 'p') {
            builder_empty(m->b, none, first);
            builder_empty(m->b, some, first);
            from = parameter(m, maker_blank(m, first), tool, key, schema);
        } else {
            builder_empty(m->b, none, first);
            builder_empty(m->b, maker_text(m, some, what == 'g' ? SPAN(",") : SPAN(", ")), first);
            from = argument(m, first, tool, key, schema, what);
        }
        builder_empty(m->b, from, next_some);
        none = next_none;
        some = next_some;
    }
    builder_empty(m->b, none, end);
    builder_empty(m->b, some, end);
    return what == 'p' ? maker_blank(m, end) : end;
}

/* ---- calls ---- */

static uint32_t pattern(Maker *m, uint32_t from, const char *at, const char *stop,
                        const MakerTool *tool);

/* One call of a body that holds the name: `how` is the letter of the body. */
static uint32_t inner_call(Maker *m, uint32_t from, const MakerTool *tool, char how)
{
    const char *form = m->form->object ? m->form->object : "{\"name\": \"%n\", \"arguments\": %j}";
    if (how == 'y') form = "%n(%y)";
    if (how == 'a') form = "{\"%n\": %j}";
    return pattern(m, from, form, NULL, tool);
}

/* %c, %a, %y, %b: calls of any tools. */
static uint32_t body(Maker *m, uint32_t from, char what)
{
    char how = what == 'b' ? 'y' : what;
    bool list = how != 'c' || m->form->list;
    uint32_t to = builder_state(m->b), begin = builder_state(m->b), end = builder_state(m->b);
    builder_empty(m->b, list ? maker_text(m, from, SPAN("[")) : from, begin);
    for (size_t i = 0; i < json_array_size(m->tools) && !m->status; i++) {
        MakerTool tool = tool_at(m, i);
        builder_empty(m->b, inner_call(m, begin, &tool, how), end);
    }
    if (list) builder_empty(m->b, maker_text(m, end, SPAN(", ")), begin);
    builder_empty(m->b, list ? maker_text(m, end, SPAN("]")) : end, to);
    return to;
}

/* Reads a pattern up to `stop` (NULL: its end). */
static uint32_t pattern(Maker *m, uint32_t from, const char *at, const char *stop,
                        const MakerTool *tool)
{
    for (char what; !m->status && (what = next_sign(m, &from, &at, stop));) {
        switch (what) {
        case '(': { /* or not */
            const char *close = strstr(at, "%)");
            uint32_t to = builder_state(m->b);
            builder_empty(m->b, from, to);
            builder_empty(m->b, pattern(m, from, at, close, tool), to);
            from = to;
            at = close + 2;
            break;
        }
        case '_': from = maker_blank(m, from); break;
        case 'f':
            from = text_of(m, maker_text(m, from, SPAN("functions.")), tool->name);
            from = run(m, maker_text(m, from, SPAN(":")), "09", 3, false);
            break;
        case 'n': from = text_of(m, from, tool->name); break;
        case 'i': from = run(m, from, "09AZaz", 9, true); break;
        case 'd': from = run(m, from, "09", 3, false); break;
        case 'p': from = arguments(m, from, tool, 'p'); break;
        case 'g':
            from =
                maker_text(m, arguments(m, maker_text(m, from, SPAN("{")), tool, 'g'), SPAN("}"));
            break;
        case 'j': from = object(m, from, tool); break;
        default:
            if (tool && what == 'y')
                from = arguments(m, from, tool, 'y');
            else
                from = maker_blank(m, body(m, maker_blank(m, from), what));
        }
    }
    return from;
}

/* Where the groups at the start of a pattern end, and those at its end begin. */
static void section(const char *whole, const char **from, const char **to)
{
    const char *at = whole;
    while (strncmp(at, "%(", 2) == 0) at = strstr(at, "%)") + 2;
    *from = at;
    *to = whole + strlen(whole);
    for (const char *p = at; (p = strstr(p, "%(")); p += 2) {
        const char *q = p;
        while (strncmp(q, "%(", 2) == 0) q = strstr(q, "%)") + 2;
        if (!*q) {
            *to = p;
            return;
        }
    }
}

/* The texts of a row of groups. */
static uint32_t groups(Maker *m, uint32_t from, const char *at, const char *end)
{
    while (at < end) {
        size_t n = strcspn(at + 2, "%");
        from = maker_blank(m, maker_text(m, from, (Span){at + 2, n}));
        at += n + 4;
    }
    return from;
}

uint32_t maker_calls(Maker *m, uint32_t from, const char *whole, size_t said)
{
    const char *begin, *end;
    section(whole, &begin, &end);
    bool several = begin > whole;
    if (several) from = maker_blank(m, groups(m, from, whole + said + 4, begin)); /* %( text %) */
    uint32_t each = builder_state(m->b), done = builder_state(m->b);
    builder_empty(m->b, from, each);
    bool any_tool = !strstr(begin, "%n") && !strstr(begin, "%f");
    size_t n = any_tool ? 1 : json_array_size(m->tools);
    for (size_t i = 0; i < n && !m->status; i++) {
        MakerTool tool = tool_at(m, i);
        const char *at = several ? begin : begin + said;
        builder_empty(m->b, pattern(m, each, at, end, any_tool ? NULL : &tool), done);
    }
    uint32_t after = maker_blank(m, done);
    if (several) builder_empty(m->b, after, each);
    return groups(m, *end ? after : done, end, end + strlen(end));
}

Span maker_first_text(const char *whole)
{
    if (strncmp(whole, "%(", 2) == 0) whole += 2;
    return (Span){whole, strcspn(whole, "%")};
}
