/* The calculator and the units: results worked out by hand or by definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/calculate.h"
#include "agent/units.h"

static const char *result(const char *text)
{
    static Buf out;
    Number n;
    bt_error err = {0};
    buf_close(&out);
    if (calculate(span_of(text), &n, &err) != BT_OK) {
        buf_text(&out, err.text);
    } else {
        number_write(&out, n, 12);
    }
    return out.data;
}

static void test_results(void **state)
{
    static const char *const rows[][2] = {
        {"15% of 80", "12"},
        {"12 * 7", "84"},
        {"3.5 * 19.99", "69.965"},
        {"65 - 20%", "52"},
        {"1250 + 19%", "1487.5"},
        {"(4 + 5) * 3 / 2", "13.5"},
        {"2 ^ 16", "65536"},
        {"2 ^ 3 ^ 2", "512"},
        {"-2 ^ 2", "-4"},
        {"2 ^ -2", "0.25"},
        {"-8 + 3", "-5"},
        {"0.1 + 0.2", "0.3"},
        {"86.40 / 3", "28.8"},
        {"1 / 3", "0.333333333333"},
        {"2 / 3 * 3", "2"},
        {"sqrt(1764)", "42"},
        {"sqrt(2)", "1.41421356237"},
        {"sqrt(0.25)", "0.5"},
        {"10 mod 3", "1"},
        {"10 % 3", "1"},
        {"-7 mod 3", "2"},
        {"5!", "120"},
        {"20!", "2432902008176640000"},
        {"(4 + 8 + 12) / 3", "8"},
        {"min(3, 1, 2)", "1"},
        {"max(3, 1, 2)", "3"},
        {"round(2.345, 2)", "2.35"},
        {"round(-2.5)", "-3"},
        {"floor(-2.5)", "-3"},
        {"ceil(2.1)", "3"},
        {"abs(-3)", "3"},
        {"2 x 3", "6"},
        {"10 ^ 15 + 1", "1000000000000001"},
        {"99999999999999999999 * 99999999999999999999", "1e+40"},
        {"123456789 * 987654321", "121932631112635269"},
        {"50%", "0.5"},
        {"10% + 5%", "0.15"},
        {"200 * 10%", "20"},
        {"--5", "5"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(result(rows[i][0]), rows[i][1]) != 0)
            fail_msg("%s = %s, not %s", rows[i][0], result(rows[i][0]), rows[i][1]);
}

static void test_refusals(void **state)
{
    static const char *const rows[][2] = {
        {"1 / 0", "division by zero"},
        {"5 mod 0", "division by zero"},
        {"0 ^ -1", "division by zero"},
        {"sqrt(-1)", "real number"},
        {"(-8) ^ 0.5", "real number"},
        {"", "missing"},
        {"1 +", "missing"},
        {"(1", "not closed"},
        {"1)", "does not belong"},
        {"foo(1)", "not known"},
        {"foo", "not known"},
        {"1 2", "does not belong"},
        {"9 ^ 999", "too large"},
        {"10 ^ 400", "too large"},
        {"171!", "0 to 170"},
        {"2.5!", "0 to 170"},
        {"ln(-1)", "no value"},
        {"1 $ 2", "does not belong"},
        {"sqrt(1, 2)", "too many"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!strstr(result(rows[i][0]), rows[i][1]))
            fail_msg("%s: %s", rows[i][0], result(rows[i][0]));
}

static void test_deep_and_long(void **state)
{
    char text[1100];
    (void)state;
    memset(text, '(', 1000);
    text[1000] = '\0';
    assert_non_null(strstr(result(text), "too deep"));
    memset(text, '-', 1000);
    assert_non_null(strstr(result(text), "missing"));
    for (int i = 0; i < 1000; i += 2) memcpy(text + i, "2^", 2);
    assert_non_null(strstr(result(text), "too deep"));
    memset(text, '1', 1099);
    text[1099] = '\0';
    assert_non_null(strstr(result(text), "longer"));
    text[1000] = '\0';
    assert_non_null(strstr(result(text), "too large"));
    text[300] = '\0';
    assert_non_null(strstr(result(text), "e+299"));
}

static void converts(double value, const char *from, const char *to, const char *wanted)
{
    Number n;
    Buf text = {0}, out = {0};
    bt_error err = {0};
    buf_printf(&text, "%.15g", value);
    bool negative = value < 0;
    number_read((Span){text.data + negative, text.size - negative}, &n);
    if (negative) n = number_negate(n);
    if (units_convert(n, span_of(from), span_of(to), &n, &err) != BT_OK)
        buf_text(&out, err.text);
    else
        number_write(&out, n, 9);
    if (!strstr(out.data, wanted) || (strlen(wanted) != out.size && !strchr(wanted, ' ')))
        fail_msg("%g %s = %s %s, not %s", value, from, out.data, to, wanted);
    buf_close(&text);
    buf_close(&out);
}

static void test_units(void **state)
{
    (void)state;
    converts(1, "mi", "km", "1.609344");
    converts(26.2, "mi", "km", "42.1648128");
    converts(350, "f", "c", "176.666667");
    converts(-40, "f", "c", "-40");
    converts(100, "c", "f", "212");
    converts(0, "k", "c", "-273.15");
    converts(21, "c", "f", "69.8");
    converts(0.5, "lb", "g", "226.796185");
    converts(2, "cup", "ml", "473.176473");
    converts(3, "tbsp", "tsp", "9");
    converts(1, "week", "min", "10080");
    converts(100, "km/h", "m/s", "27.7777778");
    converts(36, "km/h", "m/s", "10");
    converts(1, "ft", "in", "12");
    converts(1, "gal", "cup", "16");
    converts(3, "gb", "mb", "3000");
    converts(1, "gib", "mib", "1024");
    converts(8, "bit", "byte", "1");
    converts(1, "acre", "m2", "4046.8564224");
    converts(1, "kwh", "kj", "3600");
    converts(180, "deg", "rad", "3.14159265");
    converts(11, "st", "lb", "154");
    converts(1, "km", "kg", "different things");
    converts(1, "parsec", "km", "'parsec' is not known");
    for (size_t i = 0; units_name(i); i++)
        for (size_t k = i + 1; units_name(k); k++)
            assert_string_not_equal(units_name(i), units_name(k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_deep_and_long),
        cmocka_unit_test(test_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
