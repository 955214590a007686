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
            if n > 999 and rng.random() < 0.45:
                return f"{n:,}", str(n)
            if rng.random() < 0.15:
                n = self.pick([100, 200, 500, 1000, 1500, 2000, 2500, 5000, 10000, 100000, 1000000])
                said = {100: "a hundred", 1000: "a thousand", 1000000: "a million"}.get(n)
                return said or (number_words(n) if n < 100000 else f"{n:,}"), str(n)
            return str(n), str(n)
        else:
            text = f"{rng.random() * self.pick([10, 100, 1000]):.{self.pick([1, 2, 2])}f}"
            if rng.random() < 0.2:
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
        said, spelling = f"{a[0]}{gap}{self.sign(op, gap)}{gap}{b[0]}", f"{a[1]} {op} {b[1]}"
        if depth == 0 and self.rng.random() < 0.25:
            power = self.pick(["2", "3"])
            return f"({said})^{power}", f"({spelling}) ^ {power}"
        return (f"({said})", f"({spelling})") if depth else (said, spelling)

    def sign(self, op, gap):
        signs = {"*": ["*", "*", "x", "×"], "/": ["/", "/", "÷", ":"], "-": ["-", "-", "–"]}
        said = self.pick(signs.get(op, [op]))
        return "*" if said == "x" and not gap else said

    def small(self):
        """A number of everyday sums: (said, digits)."""
        r = self.rng.random()
        if r < 0.55:
            n = 1 + int(self.rng.random() * self.pick([9, 12, 20, 100]))
        elif r < 0.65:
            price = self.price()
            return price, price
        elif r < 0.85:
            n = int(self.rng.random() * 1000)
        else:
            return self.number()
        return str(n), str(n)

    def price(self):
        """What something costs: 12.50, 3.99, 8."""
        n = int(self.rng.random() * self.pick([10, 20, 100]))
        cents = self.pick(["00", "10", "20", "25", "40", "50", "75", "80", "90", "95", "99", None])
        if cents is None:
            cents = f"{int(self.rng.random() * 100):02d}"
        return f"{n}.{cents}"

    def typed_number(self):
        said, digits = self.small()
        return (said if said[0].isdigit() else digits), digits

    def chain(self):
        """Several numbers in a row, typed: 34 + 8 - 6."""
        gap = self.pick(["", " ", " "])
        ops = self.pick(["+", "+", "+-", "+-*/", "*", "*/", "-", "+*"])
        said, spelling = self.typed_number()
        if self.rng.random() < 0.15:
            said, spelling = "-" + said, "-" + spelling
        for _ in range(self.pick([1, 2, 2, 2, 3, 3, 4, 5])):
            op = self.pick(ops)
            text, digits = self.typed_number()
            if self.rng.random() < 0.22:
                inner = self.pick("+-*/")
                other = self.typed_number()
                text, digits = (
                    f"({text}{gap}{self.sign(inner, gap)}{gap}{other[0]})",
                    f"({digits} {inner} {other[1]})",
                )
            said += f"{gap}{self.sign(op, gap)}{gap}{text}"
            spelling += f" {op} {digits}"
        if self.rng.random() < 0.25:  # brackets first
            inner, op = self.pick("+-"), self.pick("*/")
            x, y = self.typed_number(), self.typed_number()
            head = f"({x[0]}{gap}{inner}{gap}{y[0]})", f"({x[1]} {inner} {y[1]})"
            return (
                f"{head[0]}{gap}{self.sign(op, gap)}{gap}{said.lstrip('-')}",
                f"{head[1]} {op} {spelling.lstrip('-')}",
            )
        return said, spelling

    def spoken_chain(self):
        """five times six plus two"""
        words = self.rng.random() < 0.4

        def one():
            text, digits = self.small()
            return (
                number_words(int(digits)) if words and digits.isdigit() else text
            ), digits

        said, spelling = one()
        if self.rng.random() < 0.2:
            said, spelling = self.pick(["minus ", "negative "]) + said, "-" + spelling
        if self.rng.random() < 0.12:
            op = self.pick("*/")
            (x, i), (y, j) = one(), one()
            return (
                self.pick(
                    [
                        f"the sum of {x} and {y} {self.pick(WORDS[op][:1])} {said}",
                        f"open bracket {x} plus {y} close bracket {WORDS[op][0]} {said}",
                        f"{x} plus {y} in brackets {WORDS[op][0]} {said}",
                    ]
                ),
                f"({i} + {j}) {op} {spelling}",
            )
        plain = [o for o in "+-*/"]
        for _ in range(self.pick([1, 2, 2, 3])):
            op = self.pick(plain)
            text, digits = one()
            word = self.pick([x for x in WORDS[op] if x.isalpha() and x != "and" or " " in x])
            said += f" {word} {text}"
            spelling += f" {op} {digits}"
        return said, spelling

    def several(self, most=5):
        """Numbers in a row: (said, digits of each)."""
        numbers = [self.small() for _ in range(2 + int(self.rng.random() * (most - 1)))]
        if self.rng.random() < 0.3:  # a bill
            prices = [self.price() for _ in numbers]
            numbers = [(price, price) for price in prices]
        elif self.rng.random() < 0.2:
            numbers = [(number_words(int(d)) if d.isdigit() else s, d) for s, d in numbers]
        digits = [d for _, d in numbers]
        said = [s for s, _ in numbers] if not any("," in s for s, _ in numbers) else digits
        if len(said) == 2:
            return f"{said[0]} {self.pick(['and', 'and', '&'])} {said[1]}", digits
        return (
            self.pick(
                [
                    ", ".join(said[:-1]) + " and " + said[-1],
                    ", ".join(said[:-1]) + ", and " + said[-1],
                    ", ".join(said),
                    " and ".join(said),
                    " ".join(said[:-1]) + " and " + said[-1] if said == digits else ", ".join(said),
                ]
            ),
            digits,
        )

    def command(self):
        """What begins with a verb: "add 3, 4 and 5"."""
        (a, x), (b, y), (c, z) = self.small(), self.small(), self.small()
        if self.rng.random() < 0.2:
            a, b = (number_words(int(n)) if n.isdigit() else n for n in (x, y))
        r = self.rng.random()
        if r < 0.34:
            said, digits = self.several()
            many = self.rng.random()
            if many < 0.7:
                verb = self.pick(
                    ["add", "add", "add up", "sum up", "sum", "total", "add together", "tot up"]
                )
                tail = self.pick(["", "", "", " together", " up"]) if verb == "add" else ""
                return f"{verb} {said}{tail}", " + ".join(digits)
            if many < 0.85:
                return f"multiply {said}", " * ".join(digits)
            return (
                self.pick(["average ", "take the average of ", "give me the mean of "]) + said,
                f"({' + '.join(digits)}) / {len(digits)}",
            )
        form, spelling = self.pick(
            [
                ("add {0} to {1}", "{1} + {0}"),
                ("add {0} to {1}", "{1} + {0}"),
                ("add {0} and {1}", "{0} + {1}"),
                ("subtract {0} from {1}", "{1} - {0}"),
                ("subtract {0} from {1}", "{1} - {0}"),
                ("deduct {0} from {1}", "{1} - {0}"),
                ("take {0} away from {1}", "{1} - {0}"),
                ("take {0} off {1}", "{1} - {0}"),
                ("multiply {0} by {1}", "{0} * {1}"),
                ("multiply {0} by {1}", "{0} * {1}"),
                ("multiply {0} with {1}", "{0} * {1}"),
                ("divide {0} by {1}", "{0} / {1}"),
                ("divide {0} by {1}", "{0} / {1}"),
                ("divide {0} into {1} parts", "{0} / {1}"),
                ("split {0} by {1}", "{0} / {1}"),
                ("split {0} between {1}", "{0} / {1}"),
                ("split {0} euros between {1} people", "{0} / {1}"),
                ("split {0} among {1} of us", "{0} / {1}"),
                ("share {0} between {1} people", "{0} / {1}"),
                ("halve {0}", "{0} / 2"),
                ("double {0}", "{0} * 2"),
                ("triple {0}", "{0} * 3"),
                ("square {0}", "{0} ^ 2"),
                ("cube {0}", "{0} ^ 3"),
                ("raise {0} to the power of {2}", "{0} ^ {2}"),
                ("take {0} percent of {1}", "{0}% of {1}"),
                ("add {0} percent to {1}", "{1} + {0}%"),
                ("add {0}% to {1}", "{1} + {0}%"),
                ("subtract {0}% from {1}", "{1} - {0}%"),
                ("take {0}% off {1}", "{1} - {0}%"),
                ("deduct {0} percent from {1}", "{1} - {0}%"),
                ("multiply {0} by {1} and add {2}", "{0} * {1} + {2}"),
                ("multiply {0} by {1} then subtract {2}", "{0} * {1} - {2}"),
                ("add {0} and {1} and multiply by {2}", "({0} + {1}) * {2}"),
                ("add {0} and {1} then divide by {2}", "({0} + {1}) / {2}"),
                ("divide {0} by {1} and add {2}", "{0} / {1} + {2}"),
                ("divide {0} by {1} minus {2}", "{0} / {1} - {2}"),
                ("subtract {0} from {1} and double it", "({1} - {0}) * 2"),
                ("take {0}, add {1} and subtract {2}", "{0} + {1} - {2}"),
                ("start with {0}, take away {1}, add {2}", "{0} - {1} + {2}"),
                ("take the square root of {0}", "sqrt({0})"),
                ("find the root of {0}", "sqrt({0})"),
            ]
        )
        return form.format(a, b, c), spelling.format(x, y, z)

    def fact(self):
        """A sum inside a question of its own, not to be put into another."""
        (a, x), (b, y) = self.small(), self.small()
        n = str(2 + int(self.rng.random() * 11))
        thing = self.pick("tickets boxes apples bags cups books beers shirts".split())
        money = self.pick(["euros", "dollars", "pounds", "bucks"])
        form, spelling = self.pick(
            [
                ("if I have {0} and take away {1}, what is left", "{0} - {1}"),
                ("I have {0} {m} and spend {1}, how much is left", "{0} - {1}"),
                ("I had {0} {m} and spent {1}, what's left", "{0} - {1}"),
                ("what remains of {0} if I take {1}", "{0} - {1}"),
                ("how much is left of {0} after {1}", "{0} - {1}"),
                ("how many times does {2} go into {0}", "{0} / {2}"),
                ("what does each of us pay if {2} of us split {0} {m}", "{0} / {2}"),
                ("how much per person if {2} people share {0} {m}", "{0} / {2}"),
                ("if {2} of us share {0}, how much is it each", "{0} / {2}"),
                ("how much is each share when {2} friends split {0}", "{0} / {2}"),
                ("{2} of us share {0} {m}, what does everyone pay", "{0} / {2}"),
                ("what's my part of {0} {m} if we are {2}", "{0} / {2}"),
                ("divide the bill of {0} by {2}", "{0} / {2}"),
                ("split the {0} {m} bill {2} ways", "{0} / {2}"),
                ("share {0} {m} equally among {2} kids", "{0} / {2}"),
                ("plus {2} percent on {0}", "{0} + {2}%"),
                ("plus {2}% on {0} {m}", "{0} + {2}%"),
                ("plus {2} percent tax on {0}", "{0} + {2}%"),
                ("minus {2} percent on {0}", "{0} - {2}%"),
                ("{0} {m} with a {2} percent tip on top", "{0} + {2}%"),
                ("what's the total of {0} with {2}% tip", "{0} + {2}%"),
                ("{0} and then {2} percent on top", "{0} + {2}%"),
                ("{0} raised by {2} percent", "{0} + {2}%"),
                ("increase {0} by {2} percent", "{0} + {2}%"),
                ("{0} reduced by {2}%", "{0} - {2}%"),
                ("reduce {0} by {2} percent", "{0} - {2}%"),
                ("lower {0} by {2}%", "{0} - {2}%"),
                ("{t} for {0} {m} reduced by {2}%", "{0} - {2}%"),
                ("{2}% discount on {t} for {0}", "{0} - {2}%"),
                ("the {t} cost {0} but are {2}% off", "{0} - {2}%"),
                ("a {0} {m} bill with {2} percent service", "{0} + {2}%"),
                ("{0} {m} for {2} {t}, how much is one", "{0} / {2}"),
                ("if one costs {0}, what do {2} cost", "{2} * {0}"),
                ("{2} times {0} {m} plus {1}", "{2} * {0} + {1}"),
                ("I pay {0} and {1}, what's the total", "{0} + {1}"),
                ("{0} for the {t} and {1} for the rest, total please", "{0} + {1}"),
                ("what change do I get from {0} for {1}", "{0} - {1}"),
                ("I give {0} {m} for something that costs {1}, how much back", "{0} - {1}"),
                ("{2} weeks at {0} a week", "{2} * {0}"),
                ("{2} hours at {0} an hour", "{2} * {0}"),
                ("how much is {0} a year per month", "{0} / 12"),
                ("{0} per day for {2} days", "{0} * {2}"),
                ("what is {0} cubed divided by {2}", "{0} ^ 3 / {2}"),
                ("how often does {2} fit in {0}", "{0} / {2}"),
                ("what do {2} {t} cost at {0} each", "{2} * {0}"),
                ("{2} {t} at {0} {m} each", "{2} * {0}"),
                ("{2} {t} for {0} each, how much is that", "{2} * {0}"),
                ("how much do {2} {t} at {0} {m} come to", "{2} * {0}"),
                ("{0} {m} divided among {2} friends", "{0} / {2}"),
                ("we are {2} people and the bill is {0}, how much each", "{0} / {2}"),
                ("a bill of {0} for {2} people, how much per person", "{0} / {2}"),
                ("the bill is {0} {m}, split it {2} ways", "{0} / {2}"),
                ("{0} {m} between the {2} of us", "{0} / {2}"),
                ("how much tip is {2} percent on {0}", "{2}% of {0}"),
                ("what's the tip for {0} at {2}%", "{2}% of {0}"),
                ("how much do I save with {2}% off {0}", "{2}% of {0}"),
                ("what do I pay for {0} {m} with {2}% off", "{0} - {2}%"),
                ("what does {0} become with {2}% vat", "{0} + {2}%"),
                ("{0} {m} including {2} percent tax", "{0} + {2}%"),
                ("what is left after {2}% off {0}", "{0} - {2}%"),
                ("what is {0} more than {1}", "{1} + {0}"),
                ("what is {0} less than {1}", "{1} - {0}"),
                ("what's {2} lots of {0}", "{2} * {0}"),
                ("how much more is {0} than {1}", "{0} - {1}"),
                ("what's the difference of {0} and {1}", "{0} - {1}"),
                ("{0} a month for {2} months", "{0} * {2}"),
                ("{0} {m} an hour for {2} hours", "{0} * {2}"),
                ("what do I get when I double {0}", "{0} * 2"),
                ("what do I get when I subtract {1} from {0}", "{0} - {1}"),
                ("what is the result when I divide {0} by {1}", "{0} / {1}"),
                ("what comes out if I multiply {0} by {1}", "{0} * {1}"),
                ("how much is it if I add {0} to {1}", "{1} + {0}"),
            ]
        )
        return form.format(a, b, n, t=thing, m=money), spelling.format(x, y, n)

    def expression(self):
        rng, r = self.rng, self.rng.random()
        (a, x), (b, y) = self.number(), self.number()
        if r < 0.2:
            op = self.pick("+-*/")
            word = self.pick(WORDS[op])
            gap = (
                ""
                if word in "+-*/:" and a[-1:].isdigit() and b[:1].isdigit() and rng.random() < 0.5
                else " "
            )
            return f"{a}{gap}{word}{gap}{b}", f"{x} {op} {y}"
        if r < 0.3:
            return self.chain()
        if r < 0.37:
            return self.spoken_chain()
        if r < 0.43:
            said, spelling = self.typed()
            return (said, spelling) if " " in spelling else (f"{said}+1", f"{spelling} + 1")
        if r < 0.57:
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
            text, digits = self.several()
            form = rng.random()
            if form < 0.35:
                return (
                    self.pick(["the sum of ", "sum of ", "the total of ", "the sum "]) + text,
                    " + ".join(digits),
                )
            if form < 0.45:
                return (
                    self.pick(["the product of ", "product of "]) + text,
                    " * ".join(digits),
                )
            if form < 0.6:
                return f" {self.pick(['plus', 'and', '+'])} ".join(digits), " + ".join(digits)
            return (
                self.pick(["the average of ", "average of ", "the mean of ", "average "]) + text,
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
                ("-{0} + {1}", "-{0} + {1}"),
                ("-{0} - {1}", "-{0} - {1}"),
                ("negative {0} minus {1}", "-{0} - {1}"),
                ("minus {0} minus {1}", "-{0} - {1}"),
                ("{0} plus minus {1}", "{0} + -{1}"),
                ("{0} euros minus {1} euros", "{0} - {1}"),
                ("{0} dollars plus {1} dollars", "{0} + {1}"),
                ("{0} minus {1} minus {2}", "{0} - {1} - {2}"),
                ("{2} lots of {0}", "{2} * {0}"),
                ("{2} dozen", "{2} * 12"),
                ("{0} squared plus {1} squared", "{0} ^ 2 + {1} ^ 2"),
                ("the square root of {0} plus {1}", "sqrt({0}) + {1}"),
                ("{0} over {1} times {2}", "{0} / {1} * {2}"),
                ("{0} plus {1} times {2}", "{0} + {1} * {2}"),
                ("{0} times {1} minus {2}", "{0} * {1} - {2}"),
                ("{0} plus {1} divided by {2}", "{0} + {1} / {2}"),
                ("minus {0} times {2}", "-{0} * {2}"),
                ("minus {0} divided by {2}", "-{0} / {2}"),
                ("negative {0} plus {1}", "-{0} + {1}"),
                ("-{0} plus {1}", "-{0} + {1}"),
                ("-{0} times {1}", "-{0} * {1}"),
                ("{0} minus -{1}", "{0} - -{1}"),
                ("{0} times minus {1}", "{0} * -{1}"),
                ("{0} squared minus {1}", "{0} ^ 2 - {1}"),
                ("{0} squared times {2}", "{0} ^ 2 * {2}"),
                ("{0} cubed plus {1}", "{0} ^ 3 + {1}"),
                ("{0} to the power of {2} minus {1}", "{0} ^ {2} - {1}"),
                ("root of {0} times {2}", "sqrt({0}) * {2}"),
                ("{2} times the square root of {0}", "{2} * sqrt({0})"),
                ("sqrt({0}) + sqrt({1})", "sqrt({0}) + sqrt({1})"),
                ("sqrt({0}+{1})", "sqrt({0} + {1})"),
                ("sqrt {0} minus {1}", "sqrt({0}) - {1}"),
                ("{0} x {1} x {2}", "{0} * {1} * {2}"),
                ("{0} x {1} - {2}", "{0} * {1} - {2}"),
                ("{0}*{1}/{2}", "{0} * {1} / {2}"),
                ("{0}/{1}*{2}", "{0} / {1} * {2}"),
                ("{0} times {1} divided by {2}", "{0} * {1} / {2}"),
                ("{0} divided by {1} divided by {2}", "{0} / {1} / {2}"),
                ("({0} + {1}) / {2}", "({0} + {1}) / {2}"),
                ("{2}({0} + {1})", "{2} * ({0} + {1})"),
                ("{0} - ({1} - {2})", "{0} - ({1} - {2})"),
                ("({0} - {1})^2", "({0} - {1}) ^ 2"),
                ("{2}*({0}-{1})^2", "{2} * ({0} - {1}) ^ 2"),
                ("({0} + {1}) squared", "({0} + {1}) ^ 2"),
                ("two thirds of {0}", "{0} * 2 / 3"),
                ("three quarters of {0}", "{0} * 3 / 4"),
                ("{2} percent of {0} plus {1}", "{2}% of {0} + {1}"),
                ("{0} plus {1} less {2}", "{0} + {1} - {2}"),
                ("{0}, {1} and {2} together", "{0} + {1} + {2}"),
                ("{0} plus {1} plus {2} all together", "{0} + {1} + {2}"),
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
