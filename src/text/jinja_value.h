/* Values of the template language, and the memory they live in. Inside text/.
 *
 * Memory is a heap that only grows and is given back as a whole; a failure of any kind leaves by
 * j_fail, which jumps to the setjmp of jinja_compile or jinja_render: nothing below needs cleaning
 * up, since everything is in the heap. Values are never changed once made (templates cannot change
 * a list or a dict), except a namespace, a loop, a cycler and a joiner. */
#ifndef TEXT_JINJA_VALUE_H
#define TEXT_JINJA_VALUE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/jinja.h"

/* ---- heap and failures ---- */

typedef struct JChunk JChunk;

typedef struct J {
    JChunk *chunks;
    char *at, *end; /* room in the newest chunk */
    uint64_t used, limit;
    jmp_buf *leave;
    bt_error *err;
    bt_status status;
    /* Where the running instruction or token stands. */
    Span source;
    uint32_t position;
    /* Of a run: */
    uint64_t steps, most_steps;
    double deadline;
    int64_t now;
} J;

void *j_alloc(J *j, size_t size);               /* not zeroed, 16-byte aligned */
void *j_array(J *j, size_t count, size_t size); /* checked product */
void j_heap_close(J *j);
/* Leaves with "template line L, column C: " and the words. */
_Noreturn void j_fail(J *j, bt_status status, const char *format, ...) BT_PRINTF(3, 4);
/* Leaves with exactly these words (BT_E_ARGUMENT). */
_Noreturn void j_raise(J *j, const char *text);
/* Counts work; leaves when the budget of steps or time is used up. */
void j_spend(J *j, uint64_t steps);

/* ---- values ---- */

typedef enum JType {
    J_UNDEF,
    J_NONE,
    J_BOOL,
    J_INT,
    J_FLOAT,
    J_STR,
    J_LIST, /* every sequence but a string, see JKind */
    J_DICT,
    J_SPACE,  /* namespace() */
    J_MACRO,  /* and a caller */
    J_METHOD, /* "x.strip" before it is called */
    J_GLOBAL, /* range, dict, ... */
    J_LOOP,
    J_CYCLER,
    J_JOINER,
    J_MISSING, /* an argument that was not given; never seen by a template */
} JType;

typedef enum JKind { JK_LIST, JK_TUPLE, JK_KEYS, JK_VALUES, JK_ITEMS, JK_RANGE, JK_ONCE } JKind;

typedef struct JValue {
    uint8_t type;
    bool safe; /* a string that was marked |safe: what is joined to it is escaped for HTML */
    union {
        bool b;
        int64_t i;
        double f;
        struct JUndef *undef; /* may be NULL */
        struct JStr *str;
        struct JList *list;
        struct JDict *dict;
        struct JSpace *space;
        struct JMacro *macro;
        struct JMethod *method;
        struct JLoop *loop;
        struct JCycler *cycler;
        int global;
    };
} JValue;

/* A character is its code point. J_SAID: it came from the conversation. Bytes that are no UTF-8 are
 * J_RAW + byte and leave as they came. */
#define J_SAID    0x80000000u
#define J_RAW     0x00200000u
#define J_CODE(c) ((c)&0x7FFFFFFFu)

/* Room behind a string that grew, so that s = s + x repeated costs what it adds. */
typedef struct JRoom {
    uint32_t *end; /* the first free place */
    uint32_t *limit;
} JRoom;

typedef struct JStr {
    const uint32_t *data;
    size_t size;
    JRoom *room; /* or NULL */
} JStr;

typedef struct JList {
    JValue *items;
    size_t n;
    JKind kind;
    bool taken;     /* JK_ONCE (what a generator gives): it was walked already */
    uint32_t depth; /* of nesting below it */
} JList;

typedef struct JDict {
    JValue *keys, *values; /* in order */
    size_t n, capacity;
    uint32_t *slots; /* index + 1; NULL while few */
    size_t mask;
    uint32_t depth;
} JDict;

typedef struct JUndef {
    const char *hint; /* the whole message, or NULL */
    const char *of;   /* type that lacks `name`, or NULL: a variable */
    JValue name;
    bool unsafe; /* an attribute that the sandbox forbids */
} JUndef;

typedef struct JSpace {
    JDict *dict;
} JSpace;

typedef struct JVar {
    uint32_t name;
    JValue value;
} JVar;

typedef struct JScope {
    struct JScope *parent; /* NULL: the template's top */
    JVar *vars;
    uint32_t n, capacity;
} JScope;

typedef struct JMacro {
    uint32_t function;
    JScope *scope;
} JMacro;

typedef struct JMethod {
    JValue self;
    int id;
    const char *name;
} JMethod;

typedef struct JLoop {
    struct JLoop *outer;
    JList *list;
    size_t index; /* items begun; the present one is index - 1 */
    JScope *scope;
    size_t stack, captures;
    uint32_t depth;
    bool done; /* a round came to its end */
    bool has_changed;
    JValue changed;
    JList *kept; /* while items are chosen by the loop's `if` */
    size_t n_kept;
} JLoop;

typedef struct JCycler {
    JList *list;
    size_t at;
    bool used;
    JValue separator;
} JCycler;

/* What a call was given; kw is n_kw pairs of name and value. */
typedef struct JArgs {
    JValue *pos, *kw;
    size_t n_pos, n_kw;
} JArgs;

#define J_NEST 100u /* how deep values may hold each other */

static inline JValue j_none(void)
{
    return (JValue){.type = J_NONE};
}

static inline JValue j_bool(bool b)
{
    return (JValue){.type = J_BOOL, .b = b};
}

static inline JValue j_int(int64_t i)
{
    return (JValue){.type = J_INT, .i = i};
}

static inline JValue j_float(double f)
{
    return (JValue){.type = J_FLOAT, .f = f};
}

static inline JValue j_string(JStr *s)
{
    return (JValue){.type = J_STR, .str = s};
}

static inline bool j_is_number(JValue v)
{
    return v.type == J_INT || v.type == J_BOOL || v.type == J_FLOAT;
}

static inline bool j_is_whole(JValue v)
{
    return v.type == J_INT || v.type == J_BOOL;
}

static inline int64_t j_whole(JValue v)
{
    return v.type == J_BOOL ? v.b : v.i;
}

static inline double j_real(JValue v)
{
    return v.type == J_FLOAT ? v.f : (double)j_whole(v);
}

/* ---- strings (jinja_str.c) ---- */

JStr *j_str(J *j, const uint32_t *data, size_t size); /* keeps the pointer */
JStr *j_str_copy(J *j, const uint32_t *data, size_t size);
JValue j_text(J *j, const char *utf8);
JValue j_text_n(J *j, const char *utf8, size_t n, bool said);
/* A part; shares the characters. */
JValue j_part(J *j, JValue s, size_t from, size_t to);
JValue j_join(J *j, JValue a, JValue b); /* two strings */
bool j_str_is(JValue s, const char *ascii);
bool j_str_equal(const JStr *a, const JStr *b);
int j_str_order(const JStr *a, const JStr *b);
/* First place of `what` in [from, s->size), or SIZE_MAX. Linear but for crafted input, counted. */
size_t j_str_find(J *j, const JStr *s, const JStr *what, size_t from);
size_t j_str_find_last(J *j, const JStr *s, const JStr *what, size_t to);
bool j_is_space(uint32_t c); /* as Python's str.isspace of one character */
/* UTF-8 of at most size - 1 bytes, for messages. */
const char *j_utf8(J *j, JValue s);
/* Escaped as HTML. */
JValue j_escape(J *j, JValue s);

/* A string being written. */
typedef struct JOut {
    J *j;
    uint32_t *data;
    size_t size, capacity;
} JOut;

void j_out_char(JOut *o, uint32_t c);
void j_out_str(JOut *o, const JStr *s);
void j_out_data(JOut *o, const uint32_t *data, size_t n);
void j_out_ascii(JOut *o, const char *text);
JValue j_out_take(JOut *o);

/* ---- containers and meaning (jinja_value.c) ---- */

JList *j_list(J *j, JKind kind, size_t n); /* items not filled: call j_list_close after */
JValue j_list_close(J *j, JList *list);    /* works out the nesting, leaves when too deep */
JDict *j_dict(J *j);
void j_dict_set(J *j, JDict *d, JValue key, JValue value);
const JValue *j_dict_get(J *j, const JDict *d, JValue key); /* NULL: no such key */
const JValue *j_dict_named(J *j, const JDict *d, const char *name);
bool j_hashable(JValue v);

const char *j_type_name(JValue v); /* as Python calls it: "str", "dict" */
bool j_true(JValue v);
bool j_equal(J *j, JValue a, JValue b);
/* Below 0, 0, above 0; leaves when they have no order. `op` is for the message. */
int j_order(J *j, JValue a, JValue b, const char *op);
bool j_contains(J *j, JValue where, JValue what);
/* Any iterable as a list (JK_ONCE is used up); leaves when it is none. */
JList *j_iterate(J *j, JValue v);
bool j_can_iterate(JValue v);
int64_t j_length(J *j, JValue v);
JValue j_undefined(J *j, const char *of, JValue name);
JValue j_undefined_hint(J *j, const char *hint);
_Noreturn void j_fail_undefined(J *j, JValue v);
void j_need_defined(J *j, JValue v);

/* ---- as text (jinja_print.c) ---- */

JValue j_to_str(J *j, JValue v); /* Python's str() */
void j_print(JOut *o, JValue v, bool repr);
typedef struct JJson {
    bool ascii, sort;
    bool pretty;
    JValue indent;            /* a string, with `pretty` */
    const JStr *item, *colon; /* separators; NULL: the usual */
} JJson;
JValue j_to_json(J *j, JValue v, const JJson *how);
size_t j_float_text(double f, char out[32]); /* as Python's repr */

/* ---- operations (jinja_ops.c) ---- */

JValue j_binary(J *j, int op, JValue a, JValue b);
JValue j_add(J *j, JValue a, JValue b);
JValue j_mod(J *j, JValue a, JValue b);
JValue j_negate(J *j, JValue v, bool minus);
JValue j_attr(J *j, JValue v, JValue name);
JValue j_item(J *j, JValue v, JValue key);
JValue j_slice(J *j, JValue v, JValue from, JValue to, JValue step);
JValue j_get_path(J *j, JValue v, JValue path); /* "a.b" of filters; a number: an index */

/* ---- what templates call ---- */

/* Fills out[n] from positional and named arguments; those not given are J_MISSING. `names` is
 * "a b c"; the first `required` must be there. */
void j_bind(J *j, const char *what, const JArgs *args, const char *names, int required,
            JValue *out);
/* The method of this name on v, as a value, or J_MISSING (jinja_methods.c). */
JValue j_method(J *j, JValue v, JValue name);
JValue j_call_method(J *j, const JMethod *m, const JArgs *args);
int j_str_method_find(JValue name); /* -1: strings have none of this name */
JValue j_str_method(J *j, const JMethod *m, const JArgs *args);
typedef enum JCase {
    J_CASE_UPPER,
    J_CASE_LOWER,
    J_CASE_TITLE,
    J_CASE_CAPITAL,
    J_CASE_SWAP,
    J_CASE_FOLD
} JCase;
JValue j_change_case(J *j, JValue s, JCase how);
bool j_all_case(JValue s, bool upper); /* str.isupper, str.islower */
JValue j_strip(J *j, JValue s, JValue chars, bool left, bool right);
JValue j_split_lines(J *j, JValue s, bool keep);
JValue j_replace(J *j, JValue s, JValue from, JValue to, int64_t most); /* most -1: all */
/* Filled up to `width` on the left, the right or both. */
JValue j_pad(J *j, JValue s, int64_t width, size_t left, size_t right, uint32_t fill);
JValue j_format(J *j, JValue form, const JArgs *args); /* str.format (jinja_format.c) */
JValue j_percent(J *j, JValue form, JValue values);    /* form % values */
int j_filter_find(Span name);                          /* -1: none (jinja_filters.c) */
JValue j_filter(J *j, int id, JValue v, const JArgs *args);
JValue j_filter_sort(J *j, JValue v, const JArgs *args); /* jinja_choose.c */
JValue j_filter_dictsort(J *j, JValue v, const JArgs *args);
JValue j_filter_unique(J *j, JValue v, const JArgs *args);
JValue j_filter_groupby(J *j, JValue v, const JArgs *args);
JValue j_filter_min(J *j, JValue v, const JArgs *args);
JValue j_filter_max(J *j, JValue v, const JArgs *args);
JValue j_filter_sum(J *j, JValue v, const JArgs *args);
JValue j_filter_map(J *j, JValue v, const JArgs *args);
JValue j_filter_select(J *j, JValue v, const JArgs *args);
JValue j_filter_reject(J *j, JValue v, const JArgs *args);
JValue j_filter_selectattr(J *j, JValue v, const JArgs *args);
JValue j_filter_rejectattr(J *j, JValue v, const JArgs *args);
int j_test_find(Span name); /* jinja_tests.c */
bool j_test(J *j, int id, JValue v, const JArgs *args);
int j_global_find(Span name); /* jinja_globals.c */
JValue j_call_global(J *j, int id, const JArgs *args);
JValue j_loop_attr(J *j, JValue loop, JValue name);
JValue j_from_json(J *j, const json_t *root, bool said);

#endif
