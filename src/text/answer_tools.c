/* Tool definitions, read once (see answer_tools.h). Reads names and the types that a parameter's
 * schema admits: type, enum, const, anyOf, oneOf, nullable; a schema that says nothing of these, or
 * points elsewhere, admits all. Depth is bounded; other keywords are for grammars, not for reading.
 */
#include "text/answer_tools.h"

#include <jansson.h>

#include "base/mem.h"

#define MOST_TOOLS      1024
#define MOST_PARAMETERS 1024 /* of one tool */
#define MOST_BYTES      (16u << 20)
#define MOST_DEPTH      16 /* of anyOf inside anyOf */

typedef struct Parameter {
    char *name;
    unsigned types;
} Parameter;

typedef struct Tool {
    char *name;
    Parameter *parameters;
    size_t n;
} Tool;

struct AnswerTools {
    Tool *tools;
    size_t n;
};

unsigned answer_type_named(Span name)
{
    static const struct {
        const char *name;
        unsigned types;
    } rows[] = {
        {"string", TYPE_STRING},   {"number", TYPE_NUMBER}, {"integer", TYPE_NUMBER},
        {"boolean", TYPE_BOOLEAN}, {"object", TYPE_OBJECT}, {"array", TYPE_ARRAY},
        {"null", TYPE_NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (span_is(name, rows[i].name)) return rows[i].types;
    return 0;
}

static unsigned type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING: return TYPE_STRING;
    case JSON_INTEGER:
    case JSON_REAL: return TYPE_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE: return TYPE_BOOLEAN;
    case JSON_OBJECT: return TYPE_OBJECT;
    case JSON_ARRAY: return TYPE_ARRAY;
    default: return TYPE_NULL;
    }
}

static unsigned named_types(const json_t *type)
{
    unsigned types = 0;
    if (json_is_string(type)) return answer_type_named(span_of(json_string_value(type)));
    for (size_t i = 0; i < json_array_size(type); i++) {
        const json_t *one = json_array_get(type, i);
        if (json_is_string(one)) types |= answer_type_named(span_of(json_string_value(one)));
    }
    return types;
}

/* Bits that a schema admits, 0 when it does not say. Alternatives are looked into one level a
 * call; `depth` bounds them. */
static unsigned schema_types(const json_t *schema, int depth)
{
    static const char *const choices[] = {"anyOf", "oneOf"};
    unsigned types = named_types(json_object_get(schema, "type"));
    const json_t *values = json_object_get(schema, "enum"), *one = json_object_get(schema, "const");
    if (!types && one) types = type_of(one);
    if (!types)
        for (size_t i = 0; i < json_array_size(values); i++)
            types |= type_of(json_array_get(values, i));
    if (types) return json_is_true(json_object_get(schema, "nullable")) ? types | TYPE_NULL : types;
    for (size_t c = 0; depth && c < 2; c++) {
        const json_t *list = json_object_get(schema, choices[c]);
        for (size_t i = 0; i < json_array_size(list); i++) {
            unsigned more = schema_types(json_array_get(list, i), depth - 1);
            types |= more ? more : TYPE_ANY;
        }
    }
    return types;
}

static bt_status read_tool(const json_t *row, size_t at, Tool *tool, bt_error *err)
{
    const json_t *inner = json_object_get(row, "function"), *schema, *properties, *value;
    const char *key;
    if (json_is_object(inner)) row = inner;
    const char *name = json_string_value(json_object_get(row, "name"));
    if (!name || !*name)
        return bt_fail(err, BT_E_ARGUMENT, "tool %zu of the definitions has no name", at);
    schema = json_object_get(row, "parameters");
    if (!schema) schema = json_object_get(row, "input_schema");
    properties = json_object_get(schema, "properties");
    size_t n = json_object_size(properties);
    if (n > MOST_PARAMETERS)
        return bt_fail(err, BT_E_LIMIT, "tool '%.100s' has %zu parameters; at most %d are read",
                       name, n, MOST_PARAMETERS);
    tool->name = mem_strdup(name);
    tool->parameters = mem_zalloc(n, sizeof *tool->parameters);
    if (!tool->name || !tool->parameters) return bt_fail_memory(err, "the tools", n);
    /* jansson's macro would cast the const away. */
    void *iter = json_object_iter((json_t *)(uintptr_t)properties);
    for (; iter; iter = json_object_iter_next((json_t *)(uintptr_t)properties, iter)) {
        key = json_object_iter_key(iter);
        value = json_object_iter_value(iter);
        unsigned types = schema_types(value, MOST_DEPTH);
        Parameter *p = &tool->parameters[tool->n];
        *p = (Parameter){mem_strdup(key), types ? types : TYPE_ANY};
        if (!p->name) return bt_fail_memory(err, "the tools", n);
        tool->n++;
    }
    return BT_OK;
}

bt_status answer_tools_open(const char *json, AnswerTools **out, bt_error *err)
{
    json_error_t where;
    *out = NULL;
    if (!json || !*json) return BT_OK;
    size_t size = strlen(json);
    if (size > MOST_BYTES)
        return bt_fail(err, BT_E_LIMIT, "tool definitions of %zu bytes; at most %u are read", size,
                       MOST_BYTES);
    json_t *root = json_loadb(json, size, 0, &where);
    if (!root)
        return bt_fail(err, BT_E_ARGUMENT, "the tool definitions are no JSON: line %d: %s",
                       where.line, where.text);
    AnswerTools *tools = NULL;
    bt_status status = BT_OK;
    size_t n = json_array_size(root);
    if (!json_is_array(root))
        status = bt_fail(err, BT_E_ARGUMENT, "the tool definitions are no JSON array");
    else if (n > MOST_TOOLS)
        status = bt_fail(err, BT_E_LIMIT, "%zu tools; at most %d are read", n, MOST_TOOLS);
    else if (!(tools = mem_zalloc(1, sizeof *tools)) ||
             !(tools->tools = mem_zalloc(n, sizeof *tools->tools)))
        status = bt_fail_memory(err, "the tools", n * sizeof *tools->tools);
    for (size_t i = 0; tools && status == BT_OK && i < n; i++) {
        tools->n = i + 1;
        status = read_tool(json_array_get(root, i), i, &tools->tools[i], err);
    }
    json_decref(root);
    if (status) answer_tools_close(&tools);
    *out = tools;
    return status;
}

void answer_tools_close(AnswerTools **tools)
{
    AnswerTools *t = *tools;
    if (!t) return;
    for (size_t i = 0; t->tools && i < t->n; i++) {
        for (size_t j = 0; j < t->tools[i].n; j++) mem_free(t->tools[i].parameters[j].name);
        mem_free(t->tools[i].parameters);
        mem_free(t->tools[i].name);
    }
    mem_free(t->tools);
    mem_free(t);
    *tools = NULL;
}

static const Tool *find(const AnswerTools *tools, Span name)
{
    for (size_t i = 0; tools && i < tools->n; i++)
        if (span_is(name, tools->tools[i].name)) return &tools->tools[i];
    return NULL;
}

bool answer_tools_have(const AnswerTools *tools, Span name)
{
    return find(tools, name) != NULL;
}

unsigned answer_tools_type(const AnswerTools *tools, Span name, Span parameter)
{
    const Tool *tool = find(tools, name);
    for (size_t i = 0; tool && i < tool->n; i++)
        if (span_is(parameter, tool->parameters[i].name)) return tool->parameters[i].types;
    return TYPE_ANY;
}
