/* Tests ("x is mapping"), as jinja2 has them. */
#include <string.h>

#include "text/jinja_value.h"

typedef enum Test {
    T_BOOLEAN,
    T_CALLABLE,
    T_DEFINED,
    T_UNDEFINED,
    T_DIVISIBLEBY,
    T_EQ,
    T_NE,
    T_LT,
    T_LE,
    T_GT,
    T_GE,
    T_ESCAPED,
    T_EVEN,
    T_ODD,
    T_FALSE,
    T_TRUE,
    T_FILTER,
    T_TEST,
    T_FLOAT,
    T_IN,
    T_INTEGER,
    T_ITERABLE,
    T_LOWER,
    T_UPPER,
    T_MAPPING,
    T_NONE,
    T_NUMBER,
    T_SAMEAS,
    T_SEQUENCE,
    T_STRING,
} Test;

static const struct {
    const char *name;
    Test test;
} rows[] = {
    {"boolean", T_BOOLEAN},
    {"callable", T_CALLABLE},
    {"defined", T_DEFINED},
    {"undefined", T_UNDEFINED},
    {"divisibleby", T_DIVISIBLEBY},
    {"eq", T_EQ},
    {"equalto", T_EQ},
    {"==", T_EQ},
    {"ne", T_NE},
    {"!=", T_NE},
    {"lt", T_LT},
    {"lessthan", T_LT},
    {"<", T_LT},
    {"le", T_LE},
    {"<=", T_LE},
    {"gt", T_GT},
    {"greaterthan", T_GT},
    {">", T_GT},
    {"ge", T_GE},
    {">=", T_GE},
    {"escaped", T_ESCAPED},
    {"even", T_EVEN},
    {"odd", T_ODD},
    {"false", T_FALSE},
    {"true", T_TRUE},
    {"filter", T_FILTER},
    {"test", T_TEST},
    {"float", T_FLOAT},
    {"in", T_IN},
    {"integer", T_INTEGER},
    {"iterable", T_ITERABLE},
    {"lower", T_LOWER},
    {"upper", T_UPPER},
    {"mapping", T_MAPPING},
    {"none", T_NONE},
    {"number", T_NUMBER},
    {"sameas", T_SAMEAS},
    {"sequence", T_SEQUENCE},
    {"string", T_STRING},
};

int j_test_find(Span name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (span_is(name, rows[i].name)) return (int)i;
    return -1;
}

static bool with_argument(J *j, Test test, JValue v, JValue a)
{
    switch (test) {
    case T_EQ: return j_equal(j, v, a);
    case T_NE: return !j_equal(j, v, a);
    case T_LT: return j_order(j, v, a, "<") < 0;
    case T_LE: return j_order(j, v, a, "<=") <= 0;
    case T_GT: return j_order(j, v, a, ">") > 0;
    case T_GE: return j_order(j, v, a, ">=") >= 0;
    case T_IN: return j_contains(j, a, v);
    case T_DIVISIBLEBY: return !j_true(j_mod(j, v, a));
    default: break;
    }
    /* sameas */
    if (v.type != a.type) return false;
    if (v.type == J_STR) return v.str == a.str || j_str_equal(v.str, a.str);
    if (v.type == J_LIST || v.type == J_DICT || v.type > J_STR) return v.list == a.list;
    return j_equal(j, v, a);
}

static bool sequence(JValue v)
{
    return v.type == J_UNDEF || v.type == J_STR || v.type == J_DICT ||
           (v.type == J_LIST && (v.list->kind <= JK_TUPLE || v.list->kind == JK_RANGE));
}

static bool callable(JValue v)
{
    return v.type == J_UNDEF || v.type == J_MACRO || v.type == J_METHOD || v.type == J_GLOBAL ||
           v.type == J_LOOP || v.type == J_JOINER;
}

static bool plain(J *j, Test test, JValue v)
{
    switch (test) {
    case T_BOOLEAN: return v.type == J_BOOL;
    case T_CALLABLE: return callable(v);
    case T_DEFINED: return v.type != J_UNDEF;
    case T_UNDEFINED: return v.type == J_UNDEF;
    case T_ESCAPED: return v.type == J_STR && v.safe;
    case T_EVEN: return !j_true(j_mod(j, v, j_int(2)));
    case T_ODD: return j_equal(j, j_mod(j, v, j_int(2)), j_int(1));
    case T_FALSE: return v.type == J_BOOL && !v.b;
    case T_TRUE: return v.type == J_BOOL && v.b;
    case T_FILTER: return v.type == J_STR && j_filter_find(span_of(j_utf8(j, v))) >= 0;
    case T_TEST: return v.type == J_STR && j_test_find(span_of(j_utf8(j, v))) >= 0;
    case T_FLOAT: return v.type == J_FLOAT;
    case T_INTEGER: return v.type == J_INT;
    case T_ITERABLE: return j_can_iterate(v);
    case T_LOWER: return j_all_case(j_to_str(j, v), false);
    case T_UPPER: return j_all_case(j_to_str(j, v), true);
    case T_MAPPING: return v.type == J_DICT;
    case T_NONE: return v.type == J_NONE;
    case T_NUMBER: return j_is_number(v);
    case T_SEQUENCE: return sequence(v);
    case T_STRING: return v.type == J_STR;
    default: break;
    }
    return false;
}

bool j_test(J *j, int id, JValue v, const JArgs *args)
{
    JValue a;
    Test test = rows[id].test;
    bool needs = (test >= T_DIVISIBLEBY && test <= T_GE) || test == T_IN || test == T_SAMEAS;
    j_bind(j, rows[id].name, args, needs ? "other" : "", needs, &a);
    return needs ? with_argument(j, test, v, a) : plain(j, test, v);
}
