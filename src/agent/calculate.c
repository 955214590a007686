/* A recursive descent over the grammar (see calculate.h):
 *   sum     = product { (+ | -) product }
 *   product = sign { (* | / | x | mod | of) sign }
 *   sign    = - sign | + sign | power
 *   power   = post [ ^ sign ]                        so -2 ^ 2 is -4, 2 ^ 3 ^ 2 is 2 ^ 9
 *   post    = value { % | ! }                        a % before a value means mod
 *   value   = number | ( sum ) | name ( sum {, sum} ) | pi | e
 * A percentage added to or taken from something is of that. */
#include "agent/calculate.h"

#include <math.h>
#include <string.h>

enum { MOST_BYTES = 1024, MOST_DEPTH = 64, MOST_ARGUMENTS = 16 };

typedef struct Reader {
    Span text;
    size_t at;
    int depth;
    const char *wrong; /* the first thing that went wrong */
    bool arithmetic;   /* it is the numbers' fault, not the text's */
} Reader;

typedef struct Value {
    Number n;
    bool percent; /* n is already divided by 100 */
} Value;

static Value read_sum(Reader *r);
static Value read_sign(Reader *r);

static Value wrong(Reader *r, const char *why, bool arithmetic)
{
    if (!r->wrong) {
        r->wrong = why;
        r->arithmetic = arithmetic;
    }
    return (Value){.n = number_of(0)};
}

static char peek(Reader *r)
{
    while (r->at < r->text.size && strchr(" \t", r->text.data[r->at])) {
        if (!r->text.data[r->at]) break;
        r->at++;
    }
    return r->at < r->text.size ? r->text.data[r->at] : '\0';
}

static bool take(Reader *r, char c)
{
    if (peek(r) != c) return false;
    r->at++;
    return true;
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The letters that stand here; not taken. */
static Span word(Reader *r)
{
    peek(r);
    Span s = {r->text.data + r->at, 0};
    while (r->at + s.size < r->text.size && letter(s.data[s.size])) s.size++;
    return s;
}

static bool take_word(Reader *r, const char *name)
{
    Span s = word(r);
    if (!span_is(s, name)) return false;
    r->at += s.size;
    return true;
}

static Value plain(Reader *r, Number n)
{
    if (!n.exact && !isfinite(n.about)) return wrong(r, "the result is too large", true);
    return (Value){.n = n};
}

static Value divide(Reader *r, Number a, Number b)
{
    if (number_is_zero(b)) return wrong(r, "a division by zero has no result", true);
    return plain(r, number_divide(a, b));
}

static Number whole_part(Number a)
{
    if (!a.exact) return number_about(floor(a.about));
    Number below = {.exact = true, .digits = a.digits};
    for (int i = 0; i < a.scale; i++) below.digits /= 10;
    if (number_double(number_subtract(a, below)) < 0) below.digits--;
    return below;
}

static Value modulo(Reader *r, Number a, Number b)
{
    Value q = divide(r, a, b);
    if (r->wrong) return q;
    return plain(r, number_subtract(a, number_multiply(b, whole_part(q.n))));
}

static Value power(Reader *r, Number a, Number b)
{
    long long n;
    if (number_is_zero(a) && number_double(b) < 0)
        return wrong(r, "a division by zero has no result", true);
    if (!number_is_whole(b, &n) || n > 1000 || n < -1000) {
        double result = pow(number_double(a), number_double(b));
        if (isnan(result)) return wrong(r, "that root is not a real number", true);
        return plain(r, number_about(result));
    }
    Number result = number_of(1), square = a;
    for (unsigned long long left = (unsigned long long)(n < 0 ? -n : n); left; left >>= 1) {
        if (left & 1) result = number_multiply(result, square);
        square = number_multiply(square, square);
    }
    return n < 0 ? divide(r, number_of(1), result) : plain(r, result);
}

static Value factorial(Reader *r, Number a)
{
    long long n;
    if (!number_is_whole(a, &n) || n < 0 || n > 170)
        return wrong(r, "! takes whole numbers from 0 to 170", true);
    Number result = number_of(1);
    for (long long i = 2; i <= n; i++) result = number_multiply(result, number_of(i));
    return plain(r, result);
}

static Value square_root(Reader *r, Number a)
{
    double about = number_double(a);
    if (about < 0) return wrong(r, "the root of a negative number is not a real number", true);
    double root = sqrt(about);
    long long n;
    if (number_is_whole(a, &n) && root < 3e9) {
        long long whole = (long long)llround(root);
        if (whole * whole == n) return plain(r, number_of(whole));
    }
    if (a.exact && a.scale % 2 == 0 && a.digits < ((Wide)1 << 62)) {
        long long whole = (long long)llround(sqrt((double)a.digits));
        if ((Wide)whole * whole == a.digits)
            return plain(r, (Number){.exact = true, .digits = whole, .scale = a.scale / 2});
    }
    return plain(r, number_about(root));
}

/* ---- functions ---- */

static bool less(Number a, Number b)
{
    return number_double(number_subtract(a, b)) < 0;
}

static Value call_one(Reader *r, Span name, Number a)
{
    static const struct {
        const char *name;
        double (*call)(double);
    } of_doubles[] = {{"sin", sin}, {"cos", cos},   {"tan", tan},   {"ln", log},    {"log", log10},
                      {"exp", exp}, {"cbrt", cbrt}, {"asin", asin}, {"acos", acos}, {"atan", atan}};
    if (span_is(name, "sqrt")) return square_root(r, a);
    if (span_is(name, "abs")) return plain(r, less(a, number_of(0)) ? number_negate(a) : a);
    if (span_is(name, "round")) return plain(r, number_round(a, 0));
    if (span_is(name, "floor")) return plain(r, whole_part(a));
    if (span_is(name, "ceil")) return plain(r, number_negate(whole_part(number_negate(a))));
    for (size_t i = 0; i < sizeof of_doubles / sizeof of_doubles[0]; i++) {
        if (!span_is(name, of_doubles[i].name)) continue;
        double result = of_doubles[i].call(number_double(a));
        if (isnan(result)) return wrong(r, "that function has no value there", true);
        return plain(r, number_about(result));
    }
    return wrong(r, "there is a function that is not known", false);
}

static Value call(Reader *r, Span name, const Number *a, int n)
{
    bool least = span_is(name, "min"), most = span_is(name, "max");
    long long places;
    if (least || most) {
        Number best = a[0];
        for (int i = 1; i < n; i++)
            if (least ? less(a[i], best) : less(best, a[i])) best = a[i];
        return plain(r, best);
    }
    if (n == 2 && span_is(name, "round") && number_is_whole(a[1], &places) && places >= 0 &&
        places <= 15)
        return plain(r, number_round(a[0], (int)places));
    if (n == 1) return call_one(r, name, a[0]);
    return wrong(r, "a function has too many values", false);
}

static Value read_name(Reader *r)
{
    Span name = word(r);
    Number arguments[MOST_ARGUMENTS];
    int n = 0;
    r->at += name.size;
    if (span_is(name, "pi")) return (Value){.n = number_about(acos(-1.0))};
    if (span_is(name, "e")) return (Value){.n = number_about(exp(1.0))};
    if (!take(r, '(')) return wrong(r, "there is a word that is not known", false);
    do {
        Value v = read_sum(r);
        if (n == MOST_ARGUMENTS) return wrong(r, "a function has too many values", false);
        arguments[n++] = v.n;
    } while (!r->wrong && take(r, ','));
    if (!r->wrong && !take(r, ')')) return wrong(r, "a bracket is not closed", false);
    return r->wrong ? (Value){.n = number_of(0)} : call(r, name, arguments, n);
}

/* ---- the grammar ---- */

static Value read_value(Reader *r)
{
    char c = peek(r);
    if (c == '(') {
        r->at++;
        Value v = read_sum(r);
        if (!r->wrong && !take(r, ')')) return wrong(r, "a bracket is not closed", false);
        v.percent = false;
        return v;
    }
    if (letter(c)) return read_name(r);
    Value v = {0};
    size_t used = number_read((Span){r->text.data + r->at, r->text.size - r->at}, &v.n);
    if (!used)
        return wrong(r, c ? "there is a mark that is not known" : "something is missing at its end",
                     false);
    r->at += used;
    return plain(r, v.n);
}

static bool value_follows(Reader *r)
{
    size_t at = r->at;
    char c = peek(r);
    r->at = at;
    return (c >= '0' && c <= '9') || c == '(';
}

static Value read_post(Reader *r)
{
    Value v = read_value(r);
    while (!r->wrong) {
        size_t at = r->at;
        if (take(r, '!')) {
            v = factorial(r, v.n);
        } else if (take(r, '%')) {
            if (value_follows(r)) { /* the sign for mod */
                r->at = at;
                break;
            }
            v = plain(r, number_divide(v.n, number_of(100)));
            v.percent = true;
        } else {
            break;
        }
    }
    return v;
}

static Value read_power(Reader *r)
{
    Value v = read_post(r);
    if (r->wrong || !take(r, '^')) return v;
    Value exponent = read_sign(r);
    return r->wrong ? v : power(r, v.n, exponent.n);
}

static Value read_sign(Reader *r)
{
    bool negative = false;
    Value v = {0};
    while (peek(r) == '-' || peek(r) == '+')
        if (r->text.data[r->at++] == '-') negative = !negative;
    if (++r->depth > MOST_DEPTH) return wrong(r, "it is nested too deep", false);
    v = read_power(r);
    r->depth--;
    if (negative) v.n = number_negate(v.n);
    return v;
}

static Value read_product(Reader *r)
{
    Value v = read_sign(r);
    while (!r->wrong) {
        enum { TIMES, OVER, MOD } op;
        if (take(r, '*') || take_word(r, "x") || take_word(r, "of"))
            op = TIMES;
        else if (take(r, '/'))
            op = OVER;
        else if (take(r, '%') || take_word(r, "mod"))
            op = MOD;
        else
            break;
        Value b = read_sign(r);
        if (r->wrong) break;
        v = op == TIMES  ? plain(r, number_multiply(v.n, b.n))
            : op == OVER ? divide(r, v.n, b.n)
                         : modulo(r, v.n, b.n);
    }
    return v;
}

static Value read_sum(Reader *r)
{
    Value v = read_product(r);
    while (!r->wrong) {
        bool plus = take(r, '+');
        if (!plus && !take(r, '-')) break;
        Value b = read_product(r);
        if (r->wrong) break;
        if (b.percent && !v.percent) b.n = number_multiply(v.n, b.n);
        bool percent = v.percent && b.percent;
        v = plain(r, plus ? number_add(v.n, b.n) : number_subtract(v.n, b.n));
        v.percent = percent;
    }
    return v;
}

bt_status calculate(Span expression, Number *out, bt_error *err)
{
    Reader r = {.text = expression};
    *out = number_of(0);
    if (expression.size > MOST_BYTES)
        return bt_fail(err, BT_E_ARGUMENT, "the expression is longer than %d bytes", MOST_BYTES);
    Value v = read_sum(&r);
    if (!r.wrong && (peek(&r) || r.at < r.text.size))
        wrong(&r, "something stands there that does not belong", false);
    if (r.wrong && r.arithmetic) return bt_fail(err, BT_E_ARGUMENT, "%s", r.wrong);
    if (r.wrong)
        return bt_fail(err, BT_E_ARGUMENT, "the expression cannot be read: %s, at byte %zu",
                       r.wrong, r.at + 1);
    *out = v.n;
    return BT_OK;
}
