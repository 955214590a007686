"""Sums and quantities: how they are said, and what the call holds."""

from moments import number_words

WORDS = {
    "+": ["plus", "plus", "+", "+", "and", "added to"],
    "-": ["minus", "minus", "-", "-", "less"],
    "*": ["times", "times", "*", "x", "multiplied by", "multiplied with"],
    "/": ["divided by", "divided by", "/", "over", ":"],
}

# spelling: (as one says it after "one", after numbers, abbreviations)
UNITS = {
    "length": {
        "mm": ("millimeter", "millimeters millimetres", "mm"),
        "cm": ("centimeter", "centimeters centimetres", "cm cms"),
        "m": ("meter", "meters metres", "m"),
        "km": ("kilometer", "kilometers kilometres", "km kms k"),
        "in": ("inch", "inches", "in"),
        "ft": ("foot", "feet", "ft"),
        "yd": ("yard", "yards", "yd yds"),
        "mi": ("mile", "miles", "mi"),
        "nmi": ("nautical mile", "nautical_miles", "nmi"),
    },
    "mass": {
        "mg": ("milligram", "milligrams", "mg"),
        "g": ("gram", "grams grammes", "g gr"),
        "kg": ("kilogram", "kilograms kilos kilo", "kg kgs"),
        "t": ("tonne", "tonnes tons", "t"),
        "oz": ("ounce", "ounces", "oz"),
        "lb": ("pound", "pounds", "lb lbs"),
        "st": ("stone", "stone stones", "st"),
    },
    "volume": {
        "ml": ("milliliter", "milliliters millilitres", "ml"),
        "cl": ("centiliter", "centiliters centilitres", "cl"),
        "dl": ("deciliter", "deciliters", "dl"),
        "l": ("liter", "liters litres", "l"),
        "m3": ("cubic meter", "cubic_meters cubic_metres", "m3"),
        "tsp": ("teaspoon", "teaspoons", "tsp"),
        "tbsp": ("tablespoon", "tablespoons", "tbsp"),
        "floz": ("fluid ounce", "fluid_ounces", "fl_oz floz"),
        "cup": ("cup", "cups", "cups"),
        "pt": ("pint", "pints", "pt"),
        "qt": ("quart", "quarts", "qt"),
        "gal": ("gallon", "gallons", "gal"),
    },
    "temperature": {
        "c": ("degree celsius", "celsius degrees_celsius degrees_c centigrade", "c °c"),
        "f": ("degree fahrenheit", "fahrenheit degrees_fahrenheit degrees_f", "f °f"),
        "k": ("kelvin", "kelvin kelvins", "k"),
    },
    "speed": {
        "km/h": (
            "kilometer per hour",
            "kilometers_per_hour km_per_hour kilometers_an_hour",
            "km/h kmh kph",
        ),
        "mph": ("mile per hour", "miles_per_hour miles_an_hour", "mph"),
        "m/s": ("meter per second", "meters_per_second metres_per_second", "m/s"),
        "kn": ("knot", "knots", "kn kt"),
    },
    "data": {
        "bit": ("bit", "bits", "bit"),
        "byte": ("byte", "bytes", "byte"),
        "kb": ("kilobyte", "kilobytes", "kb"),
        "mb": ("megabyte", "megabytes megs", "mb"),
        "gb": ("gigabyte", "gigabytes gigs", "gb"),
        "tb": ("terabyte", "terabytes", "tb"),
        "kib": ("kibibyte", "kibibytes", "kib"),
        "mib": ("mebibyte", "mebibytes", "mib"),
        "gib": ("gibibyte", "gibibytes", "gib"),
    },
    "duration": {
        "s": ("second", "seconds", "s sec secs"),
        "min": ("minute", "minutes", "min mins"),
        "h": ("hour", "hours", "h hrs"),
        "day": ("day", "days", "days"),
        "week": ("week", "weeks", "weeks"),
        "month": ("month", "months", "months"),
        "year": ("year", "years", "yrs years"),
    },
    "area": {
        "m2": ("square meter", "square_meters square_metres", "m2 sqm"),
        "km2": ("square kilometer", "square_kilometers", "km2"),
        "cm2": ("square centimeter", "square_centimeters", "cm2"),
        "ha": ("hectare", "hectares", "ha"),
        "acre": ("acre", "acres", "acres"),
        "ft2": ("square foot", "square_feet", "sqft ft2"),
        "mi2": ("square mile", "square_miles", "mi2"),
    },
    "energy": {
        "kj": ("kilojoule", "kilojoules", "kj"),
        "kcal": ("kilocalorie", "kilocalories", "kcal"),
        "j": ("joule", "joules", "j"),
        "wh": ("watt hour", "watt_hours", "wh"),
        "kwh": ("kilowatt hour", "kilowatt_hours", "kwh"),
        "cal": ("calorie", "calories", "cal"),
    },
    "pressure": {
        "bar": ("bar", "bar bars", "bar"),
        "psi": ("psi", "psi", "psi"),
        "hpa": ("hectopascal", "hectopascals", "hpa"),
        "kpa": ("kilopascal", "kilopascals", "kpa"),
        "pa": ("pascal", "pascals", "pa"),
    },
    "angle": {"deg": ("degree", "degrees", "deg"), "rad": ("radian", "radians", "rad")},
}
KINDS = (
    ["length"] * 6
    + ["mass"] * 5
    + ["volume"] * 5
    + ["temperature"] * 4
    + ["speed"] * 2
    + ["data"] * 2
    + ["duration"] * 3
    + ["area"] * 2
    + ["energy", "pressure", "angle"]
)


class Sums:
    def __init__(self, rng):
        self.rng = rng

    def pick(self, values):
        return values[int(self.rng.random() * len(values))]

    def number(self, large=True):
        """(said, digits)."""
        rng, r = self.rng, self.rng.random()
        if r < 0.45:
            n = int(rng.random() * 100) + (rng.random() < 0.9)
        elif r < 0.75:
            n = int(rng.random() * 1000)
        elif r < 0.84 and large:
            n = int(rng.random() * 20000)
            if n > 999 and rng.random() < 0.3:
                return f"{n:,}", str(n)
            return str(n), str(n)
        else:
            text = f"{rng.random() * self.pick([10, 100, 1000]):.{self.pick([1, 2, 2])}f}"
            if rng.random() < 0.1:
                return text.replace(".", ","), text
            return text, text
        return (number_words(n) if rng.random() < 0.25 else str(n)), str(n)

    def typed(self, depth=0):
        """An expression as typed: brackets, blanks or none."""
        if depth > 1 or self.rng.random() < 0.35 + 0.3 * depth:
            digits = self.number()[1]
            return digits, digits
        a, b = self.typed(depth + 1), self.typed(depth + 1)
        op = self.pick("+-*/")
        gap = self.pick(["", "", " "])
        sign = {"*": self.pick(["*", "*", "x", "×"]), "/": self.pick(["/", "/", "÷"])}.get(op, op)
        if sign == "x" and not gap:
            sign = "*"
        said, spelling = f"{a[0]}{gap}{sign}{gap}{b[0]}", f"{a[1]} {op} {b[1]}"
        if depth == 0 and self.rng.random() < 0.25:
            power = self.pick(["2", "3"])
            return f"({said})^{power}", f"({spelling}) ^ {power}"
        return (f"({said})", f"({spelling})") if depth else (said, spelling)

    def expression(self):
        rng, r = self.rng, self.rng.random()
        (a, x), (b, y) = self.number(), self.number()
        if r < 0.34:
            op = self.pick("+-*/")
            word = self.pick(WORDS[op])
            gap = (
                ""
                if word in "+-*/:" and a[-1:].isdigit() and b[:1].isdigit() and rng.random() < 0.5
                else " "
            )
            return f"{a}{gap}{word}{gap}{b}", f"{x} {op} {y}"
        if r < 0.44:
            said, spelling = self.typed()
            return (said, spelling) if " " in spelling else (f"{said}+1", f"{spelling} + 1")
        if r < 0.6:
            p = str(
                self.pick(
                    [
                        5,
                        7,
                        8,
                        10,
                        12,
                        15,
                        18,
                        19,
                        20,
                        22,
                        25,
                        30,
                        33,
                        40,
                        50,
                        60,
                        75,
                        int(rng.random() * 100),
                    ]
                )
            )
            said = number_words(int(p)) if rng.random() < 0.2 else p
            sign = (
                self.pick(["%", "%", " %", " percent", " per cent", " pct"])
                if said == p
                else " percent"
            )
            kind = rng.random()
            money = (
                self.pick(["", "", "", " euros", " dollars", " pounds", "€", "$"])
                if b[-1:].isdigit()
                else ""
            )
            if kind < 0.5:
                return f"{said}{sign} of {b}{money}", f"{p}% of {y}"
            if kind < 0.62:
                return (
                    self.pick(
                        [
                            f"{said}{sign} off {b}{money}",
                            f"{b}{money} minus {said}{sign}",
                            f"{b}{money} with {said}{sign} off",
                            f"{said}{sign} discount on {b}{money}",
                            f"{b}{money} less {said}{sign}",
                            f"{b} - {said}{sign}",
                        ]
                    ),
                    f"{y} - {p}%",
                )
            if kind < 0.75:
                return (
                    self.pick(
                        [
                            f"{b}{money} plus {said}{sign}",
                            f"{b} + {said}{sign}",
                            f"{b}{money} plus {said}{sign} tax",
                            f"{b}{money} with {said}{sign} added",
                            f"{said}{sign} on top of {b}{money}",
                            f"{said}{sign} vat on top of {b}",
                        ]
                    ),
                    f"{y} + {p}%",
                )
            return (
                self.pick(
                    [
                        f"a {said}{sign} tip on {b}{money}",
                        f"a tip of {said}{sign} on {b}{money}",
                        f"{said}{sign} tip for {b}{money}",
                        f"{said}{sign} tax on {b}{money}",
                        f"{said}{sign} interest on {b}{money}",
                        f"{said}{sign} commission on {b}",
                    ]
                ),
                f"{p}% of {y}",
            )
        if r < 0.68:
            form = self.pick(
                [
                    "the square root of {0}",
                    "square root of {0}",
                    "root of {0}",
                    "sqrt {0}",
                    "sqrt({0})",
                    "√{0}",
                    "the root of {0}",
                ]
            )
            if not a[:1].isdigit() and form == "√{0}":
                form = "root of {0}"
            return form.format(a), f"sqrt({x})"
        if r < 0.77:
            form, spelling = self.pick(
                [
                    ("{0} squared", "{0} ^ 2"),
                    ("{0} cubed", "{0} ^ 3"),
                    ("{0}^2", "{0} ^ 2"),
                    ("{0} to the power of {2}", "{0} ^ {2}"),
                    ("{0} to the {2}th", "{0} ^ {2}"),
                    ("{0}^{2}", "{0} ^ {2}"),
                    ("{0} to the {2}th power", "{0} ^ {2}"),
                    ("the square of {0}", "{0} ^ 2"),
                    ("the cube of {0}", "{0} ^ 3"),
                ]
            )
            n = str(4 + int(rng.random() * 6))
            return form.format(a, b, n), spelling.format(x, y, n)
        if r < 0.85:
            form, spelling = self.pick(
                [
                    ("half of {0}", "/ 2"),
                    ("a half of {0}", "/ 2"),
                    ("a third of {0}", "/ 3"),
                    ("one third of {0}", "/ 3"),
                    ("a quarter of {0}", "/ 4"),
                    ("a fifth of {0}", "/ 5"),
                    ("double {0}", "* 2"),
                    ("twice {0}", "* 2"),
                    ("triple {0}", "* 3"),
                    ("three times {0}", "* 3"),
                    ("a tenth of {0}", "/ 10"),
                    ("a dozen times {0}", None),
                ]
            )
            return form.format(a), f"{x} {spelling}" if spelling else f"12 * {x}"
        if r < 0.92:
            numbers = [self.number() for _ in range(2 + int(rng.random() * 4))]
            said = [n[0] for n in numbers]
            digits = [n[1] for n in numbers]
            comma = [s for s in said if "," in s]
            if comma:
                said = digits
            text = ", ".join(said[:-1]) + " and " + said[-1]
            if rng.random() < 0.7:
                return (
                    self.pick(["the sum of ", "sum of ", "the total of ", ""]) + text
                    if rng.random() < 0.7
                    else " plus ".join(said)
                ), " + ".join(digits)
            return (
                self.pick(["the average of ", "average of ", "the mean of "]) + text,
                f"({' + '.join(digits)}) / {len(digits)}",
            )
        form, spelling = self.pick(
            [
                ("{0} split by {2}", "{0} / {2}"),
                ("{0} split between {2} people", "{0} / {2}"),
                ("{0} shared by {2}", "{0} / {2}"),
                ("{0} among {2} people", "{0} / {2}"),
                ("{2} people share {0}", "{0} / {2}"),
                ("{0} mod {2}", "{0} mod {2}"),
                ("{0} modulo {2}", "{0} mod {2}"),
                ("the remainder of {0} divided by {2}", "{0} mod {2}"),
                ("{2} factorial", "{2}!"),
                ("{2}!", "{2}!"),
                ("{1} subtracted from {0}", "{0} - {1}"),
                ("{0} take away {1}", "{0} - {1}"),
                ("the difference between {0} and {1}", "{0} - {1}"),
                ("the product of {0} and {1}", "{0} * {1}"),
                ("{2} boxes of {0}", "{2} * {0}"),
                ("take {1} from {0}", "{0} - {1}"),
                ("{1} taken from {0}", "{0} - {1}"),
                ("{2} tickets at {0} each", "{2} * {0}"),
                ("minus {0} plus {1}", "-{0} + {1}"),
                ("{0} plus {1} times {2}", "{0} + {1} * {2}"),
                ("{0} times {1} minus {2}", "{0} * {1} - {2}"),
                ("{0} plus {1} divided by {2}", "{0} + {1} / {2}"),
                ("minus {0} times {2}", "-{0} * {2}"),
            ]
        )
        n = str(2 + int(rng.random() * 10))
        return form.format(a, b, n), spelling.format(x, y, n)

    # ---- quantities ----

    def amount(self, unit):
        """A value as one says it, and the number."""
        rng, r = self.rng, self.rng.random()
        if r < 0.06:
            return self.pick(
                [
                    ("half a", 0.5),
                    ("half an", 0.5),
                    ("a quarter", 0.25),
                    ("one and a half", 1.5),
                    ("two and a half", 2.5),
                ]
            )
        if r < 0.45:
            n = 1 + int(rng.random() * 100)
        elif r < 0.7:
            n = self.pick(
                [
                    10,
                    20,
                    50,
                    100,
                    120,
                    150,
                    180,
                    200,
                    250,
                    300,
                    350,
                    400,
                    500,
                    750,
                    1000,
                    1500,
                    2000,
                ]
            )
        elif r < 0.78:
            n = int(rng.random() * 5000)
        else:
            n = round(rng.random() * self.pick([10, 100]), self.pick([1, 1, 2]))
            said = str(n)
            return (said.replace(".", ",") if rng.random() < 0.08 else said), n
        if unit in ("c", "f") and rng.random() < 0.12:
            return self.pick(["-", "minus "]) + str(n), -n
        return (number_words(n) if n <= 100 and rng.random() < 0.2 else str(n)), n

    def name(self, kind, unit, one=False, short=True):
        single, many, brief = UNITS[kind][unit]
        if one:
            return single
        r = self.rng.random()
        said = self.pick(brief.split()) if short and r < 0.35 else self.pick(many.split())
        return said.replace("_", " ")

    def quantity(self):
        """value, from, to and how each is said."""
        kind = self.pick(KINDS)
        units = list(UNITS[kind])
        a = self.pick(units)
        b = self.pick([u for u in units if u != a])
        said, value = self.amount(a)
        if said.startswith(("half a", "a quarter")):
            first = UNITS[kind][a][0]
            said = (
                "a quarter of a"
                if said == "a quarter"
                else "half an" if first[0] in "aeiou" or first == "hour" else "half a"
            )
        one = value in (1, 0.5, 0.25)
        source = self.name(
            kind, a, one and self.rng.random() < 0.8, not said.startswith(("half", "a quarter"))
        )
        if said.startswith(("half", "a quarter")):
            source = UNITS[kind][a][0]
        target = self.name(kind, b)
        value = int(value) if value == int(value) else value
        return {"v": said, "f": source, "t": target, "f1": UNITS[kind][a][0]}, {
            "value": value,
            "from": a,
            "to": b,
        }
