/* The keywords of JSON Schema (drafts 4 to 2020-12 as zod, pydantic and OpenAPI write them): which
 * are held, which say nothing about values, and that their values are well formed. All others are
 * refused by name. */
#include <string.h>

#include "text/schema_parts.h"

enum Shape {
    SHAPE_ANY,
    SHAPE_TEXT,
    SHAPE_COUNT,
    SHAPE_NUMBER,
    SHAPE_BOUND, /* a number, or true/false as draft 4 has it */
    SHAPE_SCHEMA,
    SHAPE_SCHEMAS, /* an array of at least one */
    SHAPE_ITEMS,   /* a schema or an array of them */
    SHAPE_MAP,     /* names to schemas */
    SHAPE_NAMES,   /* an array of strings */
    SHAPE_LIST,
    SHAPE_TYPE,
    SHAPE_BOOL,
    SHAPE_FALSE, /* allowed only as false */
};

#define NAME(text) text, sizeof(text) - 1
static const struct {
    const char *name;
    size_t size;
    Word word;
    enum Shape shape;
} words[] = {
    {NAME("title"), WORD_NOTE, SHAPE_ANY},
    {NAME("description"), WORD_NOTE, SHAPE_ANY},
    {NAME("default"), WORD_NOTE, SHAPE_ANY},
    {NAME("example"), WORD_NOTE, SHAPE_ANY},
    {NAME("examples"), WORD_NOTE, SHAPE_ANY},
    {NAME("deprecated"), WORD_NOTE, SHAPE_ANY},
    {NAME("readOnly"), WORD_NOTE, SHAPE_ANY},
    {NAME("writeOnly"), WORD_NOTE, SHAPE_ANY},
    {NAME("discriminator"), WORD_NOTE, SHAPE_ANY},
    {NAME("externalDocs"), WORD_NOTE, SHAPE_ANY},
    {NAME("contentEncoding"), WORD_NOTE, SHAPE_ANY},
    {NAME("contentMediaType"), WORD_NOTE, SHAPE_ANY},
    {NAME("contentSchema"), WORD_NOTE, SHAPE_ANY},
    {NAME("$comment"), WORD_NOTE, SHAPE_ANY},
    {NAME("$schema"), WORD_NOTE, SHAPE_TEXT},
    {NAME("$id"), WORD_NOTE, SHAPE_TEXT},
    {NAME("id"), WORD_NOTE, SHAPE_ANY},
    {NAME("$vocabulary"), WORD_NOTE, SHAPE_ANY},
    {NAME("$anchor"), WORD_SHARED, SHAPE_TEXT},
    {NAME("$defs"), WORD_SHARED, SHAPE_MAP},
    {NAME("definitions"), WORD_SHARED, SHAPE_MAP},
    {NAME("type"), WORD_TYPE, SHAPE_TYPE},
    {NAME("nullable"), WORD_TYPE, SHAPE_BOOL},
    {NAME("enum"), WORD_VALUE, SHAPE_LIST},
    {NAME("const"), WORD_VALUE, SHAPE_ANY},
    {NAME("$ref"), WORD_JOIN, SHAPE_TEXT},
    {NAME("allOf"), WORD_JOIN, SHAPE_SCHEMAS},
    {NAME("anyOf"), WORD_JOIN, SHAPE_SCHEMAS},
    {NAME("oneOf"), WORD_JOIN, SHAPE_SCHEMAS},
    {NAME("not"), WORD_JOIN, SHAPE_SCHEMA},
    {NAME(OWN_IS), WORD_JOIN, SHAPE_ANY},
    {NAME(OWN_NOT), WORD_JOIN, SHAPE_ANY},
    {NAME(OWN_OTHER), WORD_STRING, SHAPE_ANY},
    {NAME(OWN_FAILS), WORD_STRING, SHAPE_ANY},
    {NAME(OWN_FRACTION), WORD_NUMBER, SHAPE_ANY},
    {NAME(OWN_PLACE), WORD_ARRAY, SHAPE_ANY},
    {NAME(OWN_EXTRA), WORD_OBJECT, SHAPE_ANY},
    {NAME("x-copied"), WORD_STRING, SHAPE_ANY}, /* our own; see copied.h */
    {NAME("minLength"), WORD_STRING, SHAPE_COUNT},
    {NAME("maxLength"), WORD_STRING, SHAPE_COUNT},
    {NAME("pattern"), WORD_STRING, SHAPE_TEXT},
    {NAME("format"), WORD_NOTE, SHAPE_TEXT}, /* of strings and numbers alike */
    {NAME("minimum"), WORD_NUMBER, SHAPE_NUMBER},
    {NAME("maximum"), WORD_NUMBER, SHAPE_NUMBER},
    {NAME("exclusiveMinimum"), WORD_NUMBER, SHAPE_BOUND},
    {NAME("exclusiveMaximum"), WORD_NUMBER, SHAPE_BOUND},
    {NAME("items"), WORD_ARRAY, SHAPE_ITEMS},
    {NAME("prefixItems"), WORD_ARRAY, SHAPE_SCHEMAS},
    {NAME("additionalItems"), WORD_ARRAY, SHAPE_SCHEMA},
    {NAME("minItems"), WORD_ARRAY, SHAPE_COUNT},
    {NAME("maxItems"), WORD_ARRAY, SHAPE_COUNT},
    {NAME("uniqueItems"), WORD_ARRAY, SHAPE_FALSE},
    {NAME("properties"), WORD_OBJECT, SHAPE_MAP},
    {NAME("required"), WORD_OBJECT, SHAPE_NAMES},
    {NAME("additionalProperties"), WORD_OBJECT, SHAPE_SCHEMA},
    {NAME("propertyNames"), WORD_OBJECT, SHAPE_SCHEMA},
};
enum { N_WORDS = sizeof words / sizeof words[0] };

static int find(Span key)
{
    for (int i = 0; i < N_WORDS; i++)
        if (words[i].size == key.size && memcmp(words[i].name, key.data, key.size) == 0) return i;
    return -1;
}

Word schema_word(Span key)
{
    int i = find(key);
    if (i >= 0) return words[i].word;
    return key.size > 2 && memcmp(key.data, "x-", 2) == 0 ? WORD_NOTE : WORD_UNKNOWN;
}

static bool is_schema(const JsonNode *n)
{
    return n->kind == JSON_KIND_OBJECT || n->kind == JSON_KIND_TRUE || n->kind == JSON_KIND_FALSE;
}

static bool is_count(const JsonNode *n)
{
    if (n->kind != JSON_KIND_NUMBER || !n->text.size || n->text.size > 9) return false;
    for (size_t i = 0; i < n->text.size; i++)
        if (n->text.data[i] < '0' || n->text.data[i] > '9') return false;
    return true;
}

static unsigned type_named(Span name)
{
    static const struct {
        const char *name;
        unsigned type;
    } types[] = {{"null", TYPE_NULL},     {"boolean", TYPE_BOOLEAN}, {"integer", TYPE_INTEGER},
                 {"number", TYPE_NUMBER}, {"string", TYPE_STRING},   {"array", TYPE_ARRAY},
                 {"object", TYPE_OBJECT}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (span_is(name, types[i].name)) return types[i].type;
    return 0;
}

/* All children are of the kind that the shape asks for. */
static bool children(const Schema *s, const JsonNode *n, enum Shape shape)
{
    for (uint32_t c = n->child; c; c = s->tree.nodes[c].next) {
        const JsonNode *child = &s->tree.nodes[c];
        bool text = child->kind == JSON_KIND_STRING;
        if (shape == SHAPE_TYPE    ? !text || !type_named(child->text)
            : shape == SHAPE_NAMES ? !text
                                   : !is_schema(child))
            return false;
    }
    return true;
}

static const char *misshapen(const Schema *s, const JsonNode *n, enum Shape shape)
{
    bool array = n->kind == JSON_KIND_ARRAY, object = n->kind == JSON_KIND_OBJECT;
    bool boolean = n->kind == JSON_KIND_TRUE || n->kind == JSON_KIND_FALSE;
    switch (shape) {
    case SHAPE_ANY: return NULL;
    case SHAPE_TEXT: return n->kind == JSON_KIND_STRING ? NULL : "a string";
    case SHAPE_COUNT: return is_count(n) ? NULL : "an integer from 0 to 999999999";
    case SHAPE_NUMBER: return n->kind == JSON_KIND_NUMBER ? NULL : "a number";
    case SHAPE_BOUND: return n->kind == JSON_KIND_NUMBER || boolean ? NULL : "a number";
    case SHAPE_SCHEMA: return is_schema(n) ? NULL : "a schema";
    case SHAPE_SCHEMAS:
        return array && n->n && children(s, n, shape) ? NULL : "an array of schemas";
    case SHAPE_ITEMS:
        return is_schema(n) || (array && children(s, n, shape)) ? NULL
                                                                : "a schema or an array of them";
    case SHAPE_MAP: return object && children(s, n, shape) ? NULL : "an object of schemas";
    case SHAPE_NAMES: return array && children(s, n, shape) ? NULL : "an array of strings";
    case SHAPE_LIST: return array && n->n ? NULL : "an array of values";
    case SHAPE_TYPE:
        if (n->kind == JSON_KIND_STRING && type_named(n->text)) return NULL;
        return array && n->n && children(s, n, shape) ? NULL : "a type's name or an array of them";
    case SHAPE_BOOL: return boolean ? NULL : "true or false";
    case SHAPE_FALSE: return NULL;
    }
    return NULL;
}

bool schema_check(Schema *s, uint32_t node)
{
    const JsonNode *n = &s->tree.nodes[node];
    if (s->checked[node]) return true;
    if (!is_schema(n))
        return schema_fail(s, node, BT_E_ARGUMENT, "a schema is an object, true or false");
    s->checked[node] = 1;
    if (n->kind != JSON_KIND_OBJECT) return true;
    for (uint32_t c = n->child; c; c = s->tree.nodes[c].next) {
        const JsonNode *value = &s->tree.nodes[c];
        int size = value->key.size > 64 ? 64 : (int)value->key.size, i = find(value->key);
        if (i < 0 && schema_word(value->key) == WORD_NOTE) continue;
        if (i < 0)
            return schema_fail(s, node, BT_E_UNSUPPORTED, "the keyword '%.*s' is not supported",
                               size, value->key.data);
        if (words[i].shape == SHAPE_FALSE && value->kind != JSON_KIND_FALSE)
            return schema_fail(s, node, BT_E_UNSUPPORTED,
                               "the keyword '%.*s' is supported only as false", size,
                               value->key.data);
        const char *must = misshapen(s, value, words[i].shape);
        if (must)
            return schema_fail(s, node, BT_E_ARGUMENT, "'%.*s' must be %s", size, value->key.data,
                               must);
    }
    return true;
}

bool schema_count(const Schema *s, uint32_t node, const char *word, uint32_t *out)
{
    uint32_t at = schema_get(s, node, word);
    if (!at) return false;
    Span text = s->tree.nodes[at].text;
    *out = text.size ? 0 : s->tree.nodes[at].n; /* schema_contrary writes no digits */
    for (size_t i = 0; i < text.size; i++) *out = *out * 10 + (uint32_t)(text.data[i] - '0');
    return true;
}

uint32_t schema_own(const Schema *s, uint32_t node, uint32_t from, const char *word)
{
    if (!schema_is_own(s, node)) return 0;
    for (from = from ? from : s->tree.nodes[node].child; from; from = s->tree.nodes[from].next)
        if (span_is(s->tree.nodes[from].key, word)) return from;
    return 0;
}

unsigned schema_types(const Schema *s, uint32_t node)
{
    uint32_t at = schema_get(s, node, "type"), nullable = schema_get(s, node, "nullable");
    unsigned types = 0;
    if (!at) return TYPE_ALL;
    if (schema_own(s, node, 0, OWN_FRACTION)) return TYPE_FRACTION;
    const JsonNode *n = &s->tree.nodes[at];
    if (n->kind == JSON_KIND_STRING) types = type_named(n->text);
    for (uint32_t c = n->child; c; c = s->tree.nodes[c].next)
        types |= type_named(s->tree.nodes[c].text);
    if (nullable && s->tree.nodes[nullable].kind == JSON_KIND_TRUE) types |= TYPE_NULL;
    return types;
}
