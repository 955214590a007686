/* Converting by a table (see units.h). A row is the unit in terms of its kind's first. */
#include "agent/units.h"

#include <string.h>

typedef enum Kind {
    LENGTH,
    MASS,
    VOLUME,
    TEMPERATURE,
    SPEED,
    DATA,
    DURATION,
    AREA,
    ENERGY,
    PRESSURE,
    ANGLE
} Kind;

typedef struct Unit {
    const char *name;
    Kind kind;
    const char *factor, *per; /* value in the first unit = value * factor / per (+ zero) */
    const char *one, *many;
} Unit;

static const Unit units[] = {
    {"m", LENGTH, "1", NULL, "metre", "metres"},
    {"mm", LENGTH, "0.001", NULL, "millimetre", "millimetres"},
    {"cm", LENGTH, "0.01", NULL, "centimetre", "centimetres"},
    {"km", LENGTH, "1000", NULL, "kilometre", "kilometres"},
    {"in", LENGTH, "0.0254", NULL, "inch", "inches"},
    {"ft", LENGTH, "0.3048", NULL, "foot", "feet"},
    {"yd", LENGTH, "0.9144", NULL, "yard", "yards"},
    {"mi", LENGTH, "1609.344", NULL, "mile", "miles"},
    {"nmi", LENGTH, "1852", NULL, "nautical mile", "nautical miles"},
    {"kg", MASS, "1", NULL, "kilogram", "kilograms"},
    {"mg", MASS, "0.000001", NULL, "milligram", "milligrams"},
    {"g", MASS, "0.001", NULL, "gram", "grams"},
    {"t", MASS, "1000", NULL, "tonne", "tonnes"},
    {"oz", MASS, "0.028349523125", NULL, "ounce", "ounces"},
    {"lb", MASS, "0.45359237", NULL, "pound", "pounds"},
    {"st", MASS, "6.35029318", NULL, "stone", "stone"},
    {"l", VOLUME, "1", NULL, "litre", "litres"},
    {"ml", VOLUME, "0.001", NULL, "millilitre", "millilitres"},
    {"cl", VOLUME, "0.01", NULL, "centilitre", "centilitres"},
    {"dl", VOLUME, "0.1", NULL, "decilitre", "decilitres"},
    {"m3", VOLUME, "1000", NULL, "cubic metre", "cubic metres"},
    {"tsp", VOLUME, "0.00492892159375", NULL, "teaspoon", "teaspoons"},
    {"tbsp", VOLUME, "0.01478676478125", NULL, "tablespoon", "tablespoons"},
    {"floz", VOLUME, "0.0295735295625", NULL, "fluid ounce (US)", "fluid ounces (US)"},
    {"cup", VOLUME, "0.2365882365", NULL, "cup (US)", "cups (US)"},
    {"pt", VOLUME, "0.473176473", NULL, "pint (US)", "pints (US)"},
    {"qt", VOLUME, "0.946352946", NULL, "quart (US)", "quarts (US)"},
    {"gal", VOLUME, "3.785411784", NULL, "gallon (US)", "gallons (US)"},
    {"c", TEMPERATURE, "1", NULL, "degree Celsius", "degrees Celsius"},
    {"f", TEMPERATURE, "5", "9", "degree Fahrenheit", "degrees Fahrenheit"},
    {"k", TEMPERATURE, "1", NULL, "kelvin", "kelvin"},
    {"m/s", SPEED, "1", NULL, "metre a second", "metres a second"},
    {"km/h", SPEED, "1", "3.6", "kilometre an hour", "kilometres an hour"},
    {"mph", SPEED, "0.44704", NULL, "mile an hour", "miles an hour"},
    {"kn", SPEED, "1852", "3600", "knot", "knots"},
    {"byte", DATA, "1", NULL, "byte", "bytes"},
    {"bit", DATA, "0.125", NULL, "bit", "bits"},
    {"kb", DATA, "1000", NULL, "kilobyte", "kilobytes"},
    {"mb", DATA, "1000000", NULL, "megabyte", "megabytes"},
    {"gb", DATA, "1000000000", NULL, "gigabyte", "gigabytes"},
    {"tb", DATA, "1000000000000", NULL, "terabyte", "terabytes"},
    {"kib", DATA, "1024", NULL, "kibibyte", "kibibytes"},
    {"mib", DATA, "1048576", NULL, "mebibyte", "mebibytes"},
    {"gib", DATA, "1073741824", NULL, "gibibyte", "gibibytes"},
    {"tib", DATA, "1099511627776", NULL, "tebibyte", "tebibytes"},
    {"s", DURATION, "1", NULL, "second", "seconds"},
    {"min", DURATION, "60", NULL, "minute", "minutes"},
    {"h", DURATION, "3600", NULL, "hour", "hours"},
    {"day", DURATION, "86400", NULL, "day", "days"},
    {"week", DURATION, "604800", NULL, "week", "weeks"},
    {"month", DURATION, "2629746", NULL, "month", "months"},
    {"year", DURATION, "31556952", NULL, "year", "years"},
    {"m2", AREA, "1", NULL, "square metre", "square metres"},
    {"mm2", AREA, "0.000001", NULL, "square millimetre", "square millimetres"},
    {"cm2", AREA, "0.0001", NULL, "square centimetre", "square centimetres"},
    {"km2", AREA, "1000000", NULL, "square kilometre", "square kilometres"},
    {"ha", AREA, "10000", NULL, "hectare", "hectares"},
    {"acre", AREA, "4046.8564224", NULL, "acre", "acres"},
    {"ft2", AREA, "0.09290304", NULL, "square foot", "square feet"},
    {"mi2", AREA, "2589988.110336", NULL, "square mile", "square miles"},
    {"j", ENERGY, "1", NULL, "joule", "joules"},
    {"kj", ENERGY, "1000", NULL, "kilojoule", "kilojoules"},
    {"cal", ENERGY, "4.184", NULL, "calorie", "calories"},
    {"kcal", ENERGY, "4184", NULL, "kilocalorie", "kilocalories"},
    {"wh", ENERGY, "3600", NULL, "watt-hour", "watt-hours"},
    {"kwh", ENERGY, "3600000", NULL, "kilowatt-hour", "kilowatt-hours"},
    {"pa", PRESSURE, "1", NULL, "pascal", "pascals"},
    {"hpa", PRESSURE, "100", NULL, "hectopascal", "hectopascals"},
    {"kpa", PRESSURE, "1000", NULL, "kilopascal", "kilopascals"},
    {"bar", PRESSURE, "100000", NULL, "bar", "bar"},
    {"psi", PRESSURE, "6894.757293168", NULL, "pound a square inch", "pounds a square inch"},
    {"deg", ANGLE, "1", NULL, "degree", "degrees"},
    {"rad", ANGLE, "57.29577951308232", NULL, "radian", "radians"},
};
enum { N_UNITS = sizeof units / sizeof units[0] };

static const Unit *find(Span name)
{
    for (size_t i = 0; i < N_UNITS; i++)
        if (span_is(name, units[i].name)) return &units[i];
    return NULL;
}

const char *units_name(size_t i)
{
    return i < N_UNITS ? units[i].name : NULL;
}

static Number decimal(const char *text)
{
    Number n = number_of(1);
    if (text) number_read(span_of(text), &n);
    return n;
}

/* Where the scale's zero lies, in its own units: 0 C = 32 F = 273.15 K. */
static Number zero_of(const Unit *u)
{
    if (u->kind != TEMPERATURE) return number_of(0);
    return u->name[0] == 'f' ? number_of(32) : u->name[0] == 'k' ? decimal("273.15") : number_of(0);
}

/* Multiplies before it divides, and all at once, so that exact results stay exact. */
bt_status units_convert(Number value, Span from, Span to, Number *out, bt_error *err)
{
    const Unit *a = find(from), *b = find(to);
    *out = value;
    if (!a || !b)
        return bt_fail(err, BT_E_ARGUMENT, "the unit '%.*s' is not known",
                       (int)((a ? to : from).size < 40 ? (a ? to : from).size : 40),
                       (a ? to : from).data);
    if (a->kind != b->kind)
        return bt_fail(err, BT_E_ARGUMENT,
                       "%s cannot be converted to %s: they measure different "
                       "things",
                       a->many, b->many);
    if (a == b) return BT_OK;
    Number top = number_subtract(value, zero_of(a));
    top = number_multiply(top, number_multiply(decimal(a->factor), decimal(b->per)));
    Number bottom = number_multiply(decimal(a->per), decimal(b->factor));
    *out = number_add(number_divide(top, bottom), zero_of(b));
    return BT_OK;
}

void units_words(Buf *out, Span unit, bool one)
{
    const Unit *u = find(unit);
    if (u)
        buf_text(out, one ? u->one : u->many);
    else
        buf_add(out, unit.data, unit.size);
}
