/* What the parts of the schema compiler share (see schema.h). Inside text/.
 *
 * The unit is a *set* of schemas that must all hold for one value: a schema, what its $ref and
 * allOf bring in, and what other schemas say of the same place. Each set becomes one rule, made
 * once; rules wait in a list, so that recursion in the schema is no recursion here. Where a set
 * holds anyOf, its rule chooses between the sets with one branch each. */
#ifndef TEXT_SCHEMA_PARTS_H
#define TEXT_SCHEMA_PARTS_H

#include "base/buf.h"
#include "text/grammar.h"
#include "text/json_tree.h"
#include "text/regex.h"
#include "text/schema.h"

enum {
    SCHEMA_MAX_SET = 1024,           /* schemas that hold together */
    SCHEMA_MAX_SETS = 50000,         /* rules */
    SCHEMA_MAX_ATOMS = 1 << 20,      /* schemas in all sets together */
    SCHEMA_MAX_WORK = 1200000,       /* regex_work of all patterns together: some 25 ms */
    SCHEMA_MAX_CHOICE_WORK = 700000, /* Schema.choice_work: some 30 ms */
    SCHEMA_MAX_EXTRA = 4,            /* OWN_EXTRA in one set */
};

/* Words of our own in schemas that schema_contrary adds: names that no JSON text can hold. Such a
 * member is a node whose `child` is the node it speaks of. */
#define OWN_IS                                                                                     \
    "\xFF"                                                                                         \
    "is" /* this schema holds too */
#define OWN_NOT                                                                                    \
    "\xFF"                                                                                         \
    "not" /* the contrary of this one does */
#define OWN_OTHER                                                                                  \
    "\xFF"                                                                                         \
    "other" /* a string that this const or enum does not list */
#define OWN_FAILS                                                                                  \
    "\xFF"                                                                                         \
    "fails" /* a string that this pattern or format is not found in */
#define OWN_FRACTION                                                                               \
    "\xFF"                                                                                         \
    "fraction" /* a number that is no integer, whatever its writing */
#define OWN_PLACE                                                                                  \
    "\xFF"                                                                                         \
    "place" /* the item at place `n` is there and holds this schema */
#define OWN_EXTRA                                                                                  \
    "\xFF"                                                                                         \
    "extra" /* a property that the schema does not declare, with a value of                        \
             * schema `n` (0: any) */

/* A schema in a set: node << 3 | what of it is settled. */
typedef uint32_t Atom;
#define ATOM_ANY 1u /* its anyOf: the branch stands in the set */
#define ATOM_ONE 2u
#define ATOM_JOINED                                                                                \
    4u /* what its $ref, allOf and not bring stands there, or stood and is settled */
static inline Atom atom_of(uint32_t node)
{
    return node << 3;
}
static inline uint32_t atom_node(Atom atom)
{
    return atom >> 3;
}

typedef struct AtomList {
    Atom *atoms;
    uint32_t n, capacity;
    bool never; /* `false` is among them */
} AtomList;

typedef struct SchemaSet {
    uint32_t first, n; /* in `pool` */
    uint32_t rule;
    bool never;
} SchemaSet;

enum {
    TYPE_NULL = 1 << 0,
    TYPE_BOOLEAN = 1 << 1,
    TYPE_INTEGER = 1 << 2,
    TYPE_FRACTION = 1 << 3, /* numbers that are not written as integers */
    TYPE_STRING = 1 << 4,
    TYPE_ARRAY = 1 << 5,
    TYPE_OBJECT = 1 << 6,
    TYPE_NUMBER = TYPE_INTEGER | TYPE_FRACTION,
    TYPE_ALL = (1 << 7) - 1,
};

typedef struct Schema {
    GrammarBuilder *b;
    JsonTree tree;
    uint32_t n_rules_before; /* rules of the builder before this schema: tells it from others */
    uint32_t n_read;    /* nodes that the text has; those after were added by schema_contrary */
    uint8_t *checked;   /* node: its keywords are known; 2: its references do not run in a circle */
    uint32_t *contrary; /* of a node; 0: not made yet */
    SchemaSet *sets;
    uint32_t n_sets, set_capacity;
    Atom *pool;
    uint32_t n_pool, pool_capacity;
    uint32_t *table, table_mask; /* set + 1 by atoms */
    AtomList work;               /* the set being compiled */
    Buf key;                     /* of a rule that schemas share; see builder_shared */
    uint64_t work_done;          /* derivatives so far */
    uint64_t choice_work;        /* schemas looked at while sets and choices were made */
    bt_error *err;
    bt_status status;
} Schema;

/* ---- errors: the first sticks; each gives false ---- */
bool schema_fail(Schema *s, uint32_t node, bt_status status, const char *format, ...)
    BT_PRINTF(4, 5);
bool schema_no_memory(Schema *s);

/* ---- keywords (schema_words.c) ---- */
typedef enum Word {
    WORD_NOTE,   /* says nothing about values */
    WORD_SHARED, /* holds schemas or names for $ref */
    WORD_TYPE,
    WORD_VALUE,  /* enum, const */
    WORD_JOIN,   /* $ref, allOf, anyOf, oneOf */
    WORD_STRING, /* keywords of one type */
    WORD_NUMBER,
    WORD_ARRAY,
    WORD_OBJECT,
    WORD_UNKNOWN,
} Word;
Word schema_word(Span key);
/* Checks that every keyword of the schema is known and well formed. */
bool schema_check(Schema *s, uint32_t node);
static inline uint32_t schema_get(const Schema *s, uint32_t node, const char *word)
{
    return json_tree_get(&s->tree, node, span_of(word));
}
/* A keyword's count; false: it is not there. `schema_check` has seen that it is one. */
bool schema_count(const Schema *s, uint32_t node, const char *word, uint32_t *out);
/* A node that schema_contrary added. */
static inline bool schema_is_own(const Schema *s, uint32_t node)
{
    return node >= s->n_read;
}
/* The first member OWN_... of an added node at or after member `from` (0: the first), 0 if none. */
uint32_t schema_own(const Schema *s, uint32_t node, uint32_t from, const char *word);
/* TYPE_ bits that `type` allows. */
unsigned schema_types(const Schema *s, uint32_t node);

/* ---- sets (schema_set.c) ---- */
bool atoms_add(Schema *s, AtomList *list, Atom atom);
void atoms_close(AtomList *list);
/* The schema a $ref at `node` names; false after a failure. */
bool schema_target(Schema *s, uint32_t node, uint32_t ref, uint32_t *out);
/* Checks the schema and all that speak of the same value, and that they do not run in a circle. */
bool schema_part_check(Schema *s, uint32_t node);
/* Counts work; false when it has become too much. */
bool schema_choice_work(Schema *s, uint32_t n);
/* Adds what $ref and allOf bring, drops schemas that say nothing, sorts. */
bool schema_expand(Schema *s, AtomList *list);
/* The rule of a set; the list is expanded in place. 0 after a failure. */
uint32_t schema_rule(Schema *s, AtomList *list);

/* ---- finite values (schema.c) ---- */
/* The node of `const`, or the first of `enum`, of a schema; *alone: there is only that one. */
uint32_t schema_first_value(const Schema *s, uint32_t node, bool *alone);
/* The first schema of the set that lists its values; false: none does. */
bool schema_values_of(const Schema *s, const AtomList *set, uint32_t *node);
/* Equal, or not known to differ. */
bool schema_may_equal(Schema *s, uint32_t a, uint32_t b, bool *certain);

/* ---- contraries (schema_contrary.c) ---- */
/* A schema (added to the tree) of values that fail the schema for certain, perhaps not of all. 0
 * after a failure: BT_E_UNSUPPORTED names a keyword of which that cannot be told. */
uint32_t schema_contrary(Schema *s, uint32_t node);

/* ---- what a set becomes; each builds from `from` to `to` ---- */
void schema_choice(Schema *s, const AtomList *set, uint32_t at, bool one, uint32_t from,
                   uint32_t to);
/* Whether objects of the set may have properties that no schema of the text declares. */
bool schema_is_open(const Schema *s, const AtomList *set);
/* A set without choices. */
void schema_plain(Schema *s, const AtomList *set, uint32_t from, uint32_t to);
void schema_values(Schema *s, const AtomList *set, uint32_t values_of, uint32_t from, uint32_t to);
unsigned schema_set_types(const Schema *s, const AtomList *set);
void schema_object(Schema *s, const AtomList *set, uint32_t from, uint32_t to);
void schema_array(Schema *s, const AtomList *set, uint32_t from, uint32_t to);
void schema_string(Schema *s, const AtomList *set, uint32_t from, uint32_t to);
void schema_number(Schema *s, const AtomList *set, unsigned types, uint32_t from, uint32_t to);

/* Optional white space between tokens; what is built between pieces. */
uint32_t schema_blank(Schema *s);
/* Any JSON string, quotes included. */
uint32_t schema_any_string(Schema *s);

/* Closes the family; false when the patterns of the schema have together become too much. */
bool schema_regex_close(Schema *s, Regex **re);
bool schema_room(Schema *s, void *array, uint32_t need, uint32_t *capacity, size_t size);

/* What patterns, formats and lengths of the set say, as a term; *plain: nothing but lengths (in
 * *least and *most). */
RegexTerm schema_string_term(Schema *s, Regex *re, const AtomList *set, bool *plain,
                             uint32_t *least, uint32_t *most);
/* The list of x-copied that the set holds, 0: none; and the strings it admits (schema_copied.c). */
uint32_t schema_copied_of(const Schema *s, const AtomList *set);
void schema_copied(Schema *s, const AtomList *set, uint32_t copied, uint32_t from, uint32_t to);
/* Writes the automaton as the inside of a JSON string. */
void schema_automaton(Schema *s, const RegexAutomaton *a, uint32_t from, uint32_t to);
/* The pattern of a format; NULL: unknown. *note: the format says nothing about the text. */
const char *schema_format(Span name, bool *note);
/* A pattern found in every text that any program takes for this format; NULL: not known. */
const char *schema_format_shape(Span name);

/* True when a number, as written, is within the bounds of the set; *integer: it has no fraction
 * (false where it is too long to tell). */
bool schema_number_fits(Schema *s, const AtomList *set, Span number, bool *integer);
/* -1, 0 or 1; 2: not comparable (too many digits). */
int schema_number_compare(Span a, Span b);
/* The bounds of the set leave nothing between them, or none of the numbers that it lists. */
bool schema_no_number(Schema *s, const AtomList *set);
/* No other number of as many digits is the same double. */
bool schema_number_exact(Span number);

#endif
