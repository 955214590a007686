/* A JSON text as a tree in one array, for schemas. Positions and the digits of numbers are kept, so
 * that errors can point and bounds stay exact. The reader keeps no stack; depth, size and keys
 * given twice are checked. */
#ifndef TEXT_JSON_TREE_H
#define TEXT_JSON_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

typedef enum JsonKind {
    JSON_KIND_NULL,
    JSON_KIND_FALSE,
    JSON_KIND_TRUE,
    JSON_KIND_NUMBER,
    JSON_KIND_STRING,
    JSON_KIND_ARRAY,
    JSON_KIND_OBJECT,
} JsonKind;

typedef struct JsonNode {
    JsonKind kind;
    uint32_t parent;
    uint32_t child, next; /* first child, next sibling; 0: none (the root is nobody's) */
    uint32_t n;           /* children */
    uint32_t offset;      /* in the text */
    Span key;             /* in an object; decoded */
    Span text;            /* a string's bytes, decoded; a number as written */
} JsonNode;

typedef struct JsonTree {
    JsonNode *nodes; /* nodes[0] is the root; in the order of the text */
    uint32_t n;
    char *strings;
    uint32_t *table; /* of (object, key) */
    uint32_t mask, capacity;
    uint64_t seed;
} JsonTree;

/* Reads the value that `text` begins with (after blanks). *used: bytes it took; NULL: nothing but
 * blanks may follow. Strings must be UTF-8 without lone surrogates. BT_E_ARGUMENT with line and
 * column, BT_E_LIMIT, BT_E_MEMORY. */
bt_status json_tree_open(Span text, uint32_t max_depth, size_t *used, JsonTree *out, bt_error *err);
void json_tree_close(JsonTree *tree);

/* Adds a value that no text holds: the first child of `parent`, under `key` (which must not be
 * there yet, and like `text` outlives the tree) where that is an object. Gives its number; 0: not
 * enough memory (or past 2^23 values). */
uint32_t json_tree_add(JsonTree *tree, uint32_t parent, JsonKind kind, Span key, Span text);
/* The same, but nobody's child: `parent` only says where it belongs. */
uint32_t json_tree_add_apart(JsonTree *tree, uint32_t parent, JsonKind kind, Span key);

/* Member of an object, 0 if there is none. */
uint32_t json_tree_get(const JsonTree *tree, uint32_t object, Span key);
/* Appends the value as compact JSON. */
void json_tree_write(const JsonTree *tree, uint32_t node, Buf *out);
/* Appends a string with the escapes that JSON requires and no others (\u00xx in lower case). */
void json_string_write(Buf *out, Span text);
/* Appends "#/properties/a": where a node is. */
void json_tree_path(const JsonTree *tree, uint32_t node, Buf *out);

#endif
