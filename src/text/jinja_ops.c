/* Operators, attributes, items and slices, as Python and jinja2's sandbox have them. Whole numbers
 * have 64 bits; what does not fit is an error, where Python would go on. */
#include <math.h>
#include <string.h>

#include "text/jinja_code.h"

#define MOST_LENGTH (1u << 26) /* characters or items that one operation may make */

static _Noreturn void overflow(J *j)
{
    j_fail(j, BT_E_LIMIT, "a whole number does not fit 64 bits");
}

static _Noreturn void unsupported(J *j, const char *sign, JValue a, JValue b)
{
    j_fail(j, BT_E_FORMAT, "unsupported operand type(s) for %s: '%s' and '%s'", sign,
           j_type_name(a), j_type_name(b));
}

/* ---- arithmetic ---- */

static int64_t floor_div(J *j, int64_t a, int64_t b)
{
    if (a == INT64_MIN && b == -1) overflow(j);
    int64_t q = a / b;
    return q - ((a % b != 0) && ((a < 0) != (b < 0)));
}

static JValue power(J *j, JValue a, JValue b)
{
    if (!j_is_whole(a) || !j_is_whole(b) || j_whole(b) < 0) {
        if (j_real(a) == 0 && j_real(b) < 0)
            j_fail(j, BT_E_FORMAT, "0.0 cannot be raised to a negative power");
        return j_float(pow(j_real(a), j_real(b)));
    }
    int64_t base = j_whole(a), exponent = j_whole(b), result = 1;
    if (base == 0 || base == 1) return j_int(exponent ? base : 1);
    if (base == -1) return j_int(exponent % 2 ? -1 : 1);
    for (; exponent > 0; exponent--)
        if (__builtin_mul_overflow(result, base, &result)) overflow(j);
    return j_int(result);
}

static JValue whole(J *j, int op, int64_t a, int64_t b)
{
    int64_t result = 0;
    bool fits = true;
    if ((op == JO_FLOORDIV || op == JO_MOD) && b == 0)
        j_fail(j, BT_E_FORMAT, "integer %s by zero",
               op == JO_MOD ? "modulo" : "division or modulo");
    switch (op) {
    case JO_ADD: fits = !__builtin_add_overflow(a, b, &result); break;
    case JO_SUB: fits = !__builtin_sub_overflow(a, b, &result); break;
    case JO_MUL: fits = !__builtin_mul_overflow(a, b, &result); break;
    case JO_FLOORDIV: result = floor_div(j, a, b); break;
    case JO_MOD: result = b == -1 ? 0 : a % b; break;
    default: break;
    }
    if (!fits) overflow(j);
    if (op == JO_MOD && result != 0 && (result < 0) != (b < 0)) result += b;
    return j_int(result);
}

static JValue number(J *j, int op, JValue a, JValue b)
{
    if (op == JO_POW) return power(j, a, b);
    if (j_is_whole(a) && j_is_whole(b) && op != JO_DIV) return whole(j, op, j_whole(a), j_whole(b));
    double x = j_real(a), y = j_real(b);
    if (y == 0 && (op == JO_DIV || op == JO_FLOORDIV || op == JO_MOD))
        j_fail(j, BT_E_FORMAT, "%s",
               op == JO_DIV && j_is_whole(a) && j_is_whole(b) ? "division by zero"
               : op == JO_DIV                                 ? "float division by zero"
               : op == JO_MOD                                 ? "float modulo"
                                                              : "float floor division by zero");
    switch (op) {
    case JO_ADD: return j_float(x + y);
    case JO_SUB: return j_float(x - y);
    case JO_MUL: return j_float(x * y);
    case JO_DIV: return j_float(x / y);
    case JO_FLOORDIV: return j_float(floor(x / y));
    default: break;
    }
    double rest = fmod(x, y);
    if (rest != 0 && (rest < 0) != (y < 0)) rest += y;
    return j_float(rest);
}

static JValue repeat(J *j, JValue v, int64_t times)
{
    size_t size = v.type == J_STR ? v.str->size : v.list->n;
    if (times < 0) times = 0;
    if (size && (uint64_t)times > MOST_LENGTH / size)
        j_fail(j, BT_E_LIMIT, "a repeated value is too long");
    size_t n = size * (size_t)times;
    j_spend(j, n / 8);
    if (v.type == J_STR) {
        uint32_t *data = j_array(j, n, sizeof *data);
        for (size_t i = 0; i < n; i++) data[i] = v.str->data[i % size];
        JValue result = j_string(j_str(j, data, n));
        result.safe = v.safe;
        return result;
    }
    JList *list = j_list(j, v.list->kind, n);
    for (size_t i = 0; i < n; i++) list->items[i] = v.list->items[i % size];
    return j_list_close(j, list);
}

static JValue add(J *j, JValue a, JValue b)
{
    if (a.type == J_STR && b.type == J_STR) {
        bool safe = a.safe || b.safe;
        if (safe) {
            a = j_escape(j, a);
            b = j_escape(j, b);
        }
        JValue result = j_join(j, a, b);
        result.safe = safe;
        return result;
    }
    bool lists = a.type == J_LIST && b.type == J_LIST;
    if (lists && a.list->kind == b.list->kind && a.list->kind <= JK_TUPLE) {
        JList *list = j_list(j, a.list->kind, a.list->n + b.list->n);
        if (a.list->n) memcpy(list->items, a.list->items, a.list->n * sizeof *list->items);
        if (b.list->n)
            memcpy(list->items + a.list->n, b.list->items, b.list->n * sizeof *list->items);
        return j_list_close(j, list);
    }
    if (a.type == J_STR || (a.type == J_LIST && a.list->kind <= JK_TUPLE)) {
        const char *of = a.type == J_STR ? "str" : j_type_name(a);
        j_fail(j, BT_E_FORMAT, "can only concatenate %s (not \"%s\") to %s", of, j_type_name(b),
               of);
    }
    unsupported(j, "+", a, b);
}

static bool repeats(JValue v)
{
    return v.type == J_STR || (v.type == J_LIST && v.list->kind <= JK_TUPLE);
}

JValue j_binary(J *j, int op, JValue a, JValue b)
{
    static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};
    /* "%" of a string formats even what is undefined. */
    j_need_defined(j, a);
    if (!(op == JO_MOD && a.type == J_STR)) j_need_defined(j, b);
    if (j_is_number(a) && j_is_number(b)) return number(j, op, a, b);
    if (op == JO_ADD) return add(j, a, b);
    if (op == JO_MUL && repeats(a) && j_is_whole(b)) return repeat(j, a, j_whole(b));
    if (op == JO_MUL && repeats(b) && j_is_whole(a)) return repeat(j, b, j_whole(a));
    if (op == JO_MUL && (repeats(a) || repeats(b)))
        j_fail(j, BT_E_FORMAT, "can't multiply sequence by non-int of type '%s'",
               j_type_name(repeats(a) ? b : a));
    if (op == JO_MOD && a.type == J_STR) return j_percent(j, a, b);
    unsupported(j, signs[op - JO_ADD], a, b);
}

JValue j_add(J *j, JValue a, JValue b)
{
    return j_binary(j, JO_ADD, a, b);
}

JValue j_mod(J *j, JValue a, JValue b)
{
    return j_binary(j, JO_MOD, a, b);
}

JValue j_negate(J *j, JValue v, bool minus)
{
    j_need_defined(j, v);
    if (!j_is_number(v))
        j_fail(j, BT_E_FORMAT, "bad operand type for unary %c: '%s'", minus ? '-' : '+',
               j_type_name(v));
    if (v.type == J_FLOAT) return j_float(minus ? -v.f : v.f);
    int64_t i = j_whole(v);
    if (minus && i == INT64_MIN) overflow(j);
    return j_int(minus ? -i : i);
}

/* ---- attributes and items ---- */

/* A class of Python's own goes by its name, another by its module too. */
static const char *owner(JValue v)
{
    switch ((JType)v.type) {
    case J_SPACE: return "jinja2.utils.Namespace";
    case J_MACRO: return "jinja2.runtime.Macro";
    case J_LOOP: return "jinja2.runtime.LoopContext";
    case J_CYCLER: return "jinja2.utils.Cycler";
    case J_JOINER: return "jinja2.utils.Joiner";
    default: break;
    }
    return v.type == J_STR && v.safe ? "markupsafe.Markup" : j_type_name(v);
}

/* v[key] of Python; false where that would be a TypeError or a LookupError. */
static bool subscript(J *j, JValue v, JValue key, JValue *out)
{
    if (v.type == J_DICT) {
        const JValue *found = j_hashable(key) ? j_dict_get(j, v.dict, key) : NULL;
        if (found) *out = *found;
        return found != NULL;
    }
    if (v.type == J_SPACE) return false;
    bool list = v.type == J_LIST && (v.list->kind <= JK_TUPLE || v.list->kind == JK_RANGE);
    if ((!list && v.type != J_STR) || !j_is_whole(key)) return false;
    int64_t n = list ? (int64_t)v.list->n : (int64_t)v.str->size, i = j_whole(key);
    if (i < 0) i += n;
    if (i < 0 || i >= n) return false;
    *out = list ? v.list->items[i] : j_part(j, v, (size_t)i, (size_t)i + 1);
    return true;
}

/* getattr(v, name) of Python, as the sandbox allows it; J_MISSING: there is none. */
static JValue attribute(J *j, JValue v, JValue name)
{
    if (v.type == J_SPACE) {
        const JValue *found = j_dict_get(j, v.space->dict, name);
        return found ? *found : (JValue){.type = J_MISSING};
    }
    if (v.type == J_LOOP) return j_loop_attr(j, v, name);
    return j_method(j, v, name);
}

JValue j_attr(J *j, JValue v, JValue name)
{
    JValue out;
    if (v.type == J_UNDEF) {
        if (name.str->size > 4 && name.str->data[0] == '_' && name.str->data[1] == '_')
            return j_undefined(j, "Undefined", name);
        j_fail_undefined(j, v);
    }
    out = attribute(j, v, name);
    if (out.type != J_MISSING) return out;
    if (subscript(j, v, name, &out)) return out;
    return j_undefined(j, owner(v), name);
}

JValue j_item(J *j, JValue v, JValue key)
{
    JValue out;
    j_need_defined(j, v);
    if (subscript(j, v, key, &out)) return out;
    if (key.type == J_STR) {
        out = attribute(j, v, key);
        if (out.type != J_MISSING) return out;
    }
    return j_undefined(j, owner(v), key);
}

/* ---- slices ---- */

static int64_t bound(J *j, JValue v, int64_t n, int64_t low, int64_t high, int64_t missing)
{
    if (v.type == J_NONE) return missing;
    if (!j_is_whole(v))
        j_fail(j, BT_E_FORMAT,
               "slice indices must be integers or None or have an __index__ method");
    int64_t i = j_whole(v);
    if (i < 0) i = i < -n ? low : i + n;
    return i < low ? low : i > high ? high : i;
}

JValue j_slice(J *j, JValue v, JValue from, JValue to, JValue step)
{
    j_need_defined(j, v);
    bool list = v.type == J_LIST && (v.list->kind <= JK_TUPLE || v.list->kind == JK_RANGE);
    if (v.type == J_DICT) j_fail(j, BT_E_FORMAT, "unhashable type: 'slice'");
    if (!list && v.type != J_STR)
        j_fail(j, BT_E_FORMAT, "'%s' object is not subscriptable", j_type_name(v));
    int64_t n = list ? (int64_t)v.list->n : (int64_t)v.str->size, by = 1;
    if (step.type != J_NONE && !j_is_whole(step)) bound(j, step, n, 0, n, 0); /* leaves */
    if (step.type != J_NONE) by = j_whole(step);
    if (by < -INT64_MAX) by = -INT64_MAX;
    if (by == 0) j_fail(j, BT_E_FORMAT, "slice step cannot be zero");
    bool up = by > 0;
    int64_t start = bound(j, from, n, up ? 0 : -1, up ? n : n - 1, up ? 0 : n - 1);
    int64_t stop = bound(j, to, n, up ? 0 : -1, up ? n : n - 1, up ? n : -1);
    uint64_t size = 0, stride = up ? (uint64_t)by : (uint64_t)-by;
    if (up ? stop > start : start > stop)
        size = ((uint64_t)(up ? stop - start : start - stop) - 1) / stride + 1;
    if (!list && by == 1) return j_part(j, v, (size_t)start, (size_t)(start + (int64_t)size));
    j_spend(j, size / 8);
    if (!list) {
        uint32_t *data = j_array(j, (size_t)size, sizeof *data);
        for (size_t i = 0; i < size; i++) data[i] = v.str->data[start + (int64_t)i * by];
        JValue cut = j_string(j_str(j, data, (size_t)size));
        cut.safe = v.safe;
        return cut;
    }
    JList *cut = j_list(j, v.list->kind, (size_t)size);
    for (size_t i = 0; i < size; i++) cut->items[i] = v.list->items[start + (int64_t)i * by];
    return j_list_close(j, cut);
}

JValue j_get_path(J *j, JValue v, JValue path)
{
    if (path.type != J_STR) return j_item(j, v, path);
    size_t from = 0, n = path.str->size;
    for (size_t at = 0; at <= n; at++) {
        if (at < n && J_CODE(path.str->data[at]) != '.') continue;
        JValue name = j_part(j, path, from, at);
        int64_t index = 0;
        bool digits = at > from && at - from < 10;
        for (size_t i = from; i < at; i++) {
            digits &= J_CODE(path.str->data[i]) - '0' < 10;
            if (digits) index = 10 * index + (int64_t)J_CODE(path.str->data[i]) - '0';
        }
        v = j_item(j, v, digits ? j_int(index) : name);
        from = at + 1;
    }
    return v;
}
