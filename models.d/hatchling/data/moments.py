"""Times, days, lengths and repetitions: how they are said, and the one spelling of it."""

ONES = (
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen""".split()
)
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
SHORT_DAYS = ["mon", "tue", "tues", "wed", "thu", "thurs", "fri", "sat", "sun"]
MONTHS = """january february march april may june july august september october november
december""".split()
FEASTS = [
    "christmas",
    "christmas eve",
    "new year",
    "new year's eve",
    "easter",
    "halloween",
    "valentine's day",
]
FEAST_SAID = {
    "christmas": ["christmas", "christmas day", "xmas"],
    "new year": ["new year", "new year's day", "new years day", "new years"],
    "new year's eve": ["new year's eve", "new years eve", "nye"],
    "christmas eve": ["christmas eve", "xmas eve"],
    "easter": ["easter", "easter sunday"],
    "halloween": ["halloween"],
    "valentine's day": ["valentine's day", "valentines day", "valentines"],
}
NTH = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
]


def number_words(n):
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + ("-" + ONES[n % 10] if n % 10 else "")
    if n < 1000:
        rest = n % 100
        return ONES[n // 100] + " hundred" + (" and " + number_words(rest) if rest else "")
    rest = n % 1000
    return number_words(n // 1000) + " thousand" + (" " + number_words(rest) if rest else "")


def ordinal(n):
    return f"{n}" + ("th" if 10 < n % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th"))


ORDINAL_WORDS = NTH + """eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth
eighteenth nineteenth twentieth twenty-first twenty-second twenty-third twenty-fourth twenty-fifth
twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first""".split()


class Moments:
    def __init__(self, rng):
        self.rng = rng

    def pick(self, values):
        return values[int(self.rng.random() * len(values))]

    def some(self, n):
        """A number up to n, small ones more often."""
        return 1 + int(self.rng.random() ** 1.6 * n)

    def said(self, n):
        """A number in digits, or in words."""
        text = number_words(n)
        if n > 20 and self.rng.random() < 0.5:
            text = text.replace("-", " ")
        return text if self.rng.random() < 0.3 else str(n)

    # ---- the time of day ----

    def hour(self):
        h = 1 + int(self.rng.random() * 12)
        return h, (self.said(h))

    def minute(self):
        r = self.rng.random()
        if r < 0.5:
            return self.pick([15, 30, 45])
        return (
            self.pick([5, 10, 20, 25, 35, 40, 50, 55]) if r < 0.85 else int(self.rng.random() * 60)
        )

    def spoken(self):
        """A time of the 12-hour clock without its half: (said, spelling)."""
        rng, r = self.rng, self.rng.random()
        h, said = self.hour()
        if r < 0.42:
            return said + (
                self.pick([" o'clock", " oclock", " o clock"]) if rng.random() < 0.2 else ""
            ), str(h)
        if r < 0.58:
            m = self.minute()
            if m == 0:
                return f"{h}:00", str(h)
            return f"{h}{self.pick([':', ':', ':', ':', '.', '.', ' '])}{m:02d}", f"{h}:{m:02d}"
        if r < 0.68:
            word = self.pick(["half past", "half past", "half", "half-past"])
            return f"{word} {said}", f"{h}:30"
        if r < 0.78:
            quarter = self.pick(["quarter", "a quarter"])
            if rng.random() < 0.5:
                return f"{quarter} {self.pick(['past', 'past', 'after'])} {said}", f"{h}:15"
            return f"{quarter} {self.pick(['to', 'to', 'before'])} {said}", f"{(h - 2) % 12 + 1}:45"
        if r < 0.9:
            m = self.pick([5, 10, 20, 25])
            word = self.said(m) + (" minutes" if rng.random() < 0.15 else "")
            if rng.random() < 0.5:
                return f"{word} {self.pick(['past', 'past', 'after'])} {said}", f"{h}:{m:02d}"
            return (
                f"{word} {self.pick(['to', 'to', 'before'])} {said}",
                f"{(h - 2) % 12 + 1}:{60 - m}",
            )
        m = self.pick([5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55])
        words = number_words(m) if m > 9 else "oh " + number_words(m)
        if rng.random() < 0.3:
            return f"{number_words(h)}-{words.replace(' ', '-')}", f"{h}:{m:02d}"
        return f"{number_words(h)} {words.replace('-', self.pick('- '))}", f"{h}:{m:02d}"

    def half(self):
        """With its half: "5pm", "5 in the morning"."""
        said, spelling = self.spoken()
        hour = int(spelling.split(":")[0])
        half = "am" if self.rng.random() < 0.42 else "pm"
        digits = all(c in "0123456789:." for c in said)
        r = self.rng.random()
        if digits and r < 0.75:
            mark = self.pick(
                [
                    half,
                    half,
                    " " + half,
                    " " + half,
                    half.upper(),
                    " " + half.upper(),
                    " a.m." if half == "am" else " p.m.",
                ]
            )
            return said + mark, spelling + half
        if r < 0.2:
            return f"{said} {half}", spelling + half
        part = (
            "in the morning"
            if half == "am"
            else (
                "in the afternoon"
                if hour in (12, 1, 2, 3, 4) or (hour == 5 and r < 0.6)
                else (
                    self.pick(["in the evening", "in the evening", "at night"])
                    if hour in (8, 9)
                    else "at night" if hour in (10, 11) else "in the evening"
                )
            )
        )
        return f"{said} {part}", spelling + half

    def full(self):
        """Of the 24-hour clock."""
        r = self.rng.random()
        h = 13 + int(self.rng.random() * 11) if r < 0.75 else int(self.rng.random() * 10)
        m = 0 if self.rng.random() < 0.4 else self.minute()
        spelling = f"{h:02d}:{m:02d}"
        r = self.rng.random()
        if h >= 13 and m == 0 and r < 0.35:
            return self.pick([str(h), f"{h}h", f"{h} h", f"{h} o'clock"]), spelling
        if r < 0.75:
            return spelling, spelling
        if r < 0.85:
            return f"{h:02d}.{m:02d}", spelling
        if r < 0.93:
            return f"{h:02d}{m:02d}", spelling
        return (f"{h}h{m:02d}" if h >= 13 else spelling), spelling

    def clock(self):
        r = self.rng.random()
        if r < 0.45:
            return self.spoken()
        if r < 0.75:
            return self.half()
        if r < 0.94:
            return self.full()
        return self.pick(
            [
                ("noon", "noon"),
                ("midday", "noon"),
                ("12 noon", "noon"),
                ("midnight", "midnight"),
                ("lunchtime", "noon"),
            ]
        )

    # ---- days ----

    def date(self):
        month = int(self.rng.random() * 12)
        day = 1 + int(self.rng.random() * (29 if month == 1 else 30))
        name = MONTHS[month]
        spelling = f"{day} {name[:3]}"
        if self.rng.random() < 0.25:
            name = name[:3] if name != "september" else self.pick(["sep", "sept"])
        year = ""
        if self.rng.random() < 0.14:
            year = self.pick(["2026", "2027", "2028", "2030", "2031"])
            spelling += " " + year
        nth = self.pick([ordinal(day), ordinal(day), ORDINAL_WORDS[day - 1]])
        said = self.pick(
            [
                f"{name} {day}",
                f"{name} {day}",
                f"{day} {name}",
                f"{day} {name}",
                f"{name} {nth}",
                f"{name} {ordinal(day)}",
                f"{name} the {nth}",
                f"the {nth} of {name}",
                f"{nth} of {name}",
                f"{nth} {name}",
                f"{day}. {name}",
            ]
        )
        if year:
            said += self.pick([" ", ", "]) + year
        return said, spelling

    def numeric(self):
        day, month = 1 + int(self.rng.random() * 28), 1 + int(self.rng.random() * 12)
        r = self.rng.random()
        if r < 0.35:
            spelling = f"{self.pick([2026, 2027, 2028])}-{month:02d}-{day:02d}"
            return spelling, spelling
        a, b = (day, month) if self.rng.random() < 0.5 else (month, day)
        mark = self.pick(["/", "/", "."])
        if mark == ".":
            a, b = day, month
        spelling = f"{a}{mark}{b}"
        if self.rng.random() < 0.2:
            spelling += mark + self.pick(["2026", "2027"])
            return spelling, spelling
        return spelling + ("." if mark == "." and self.rng.random() < 0.5 else ""), spelling

    def weekday(self):
        day = self.pick(DAYS)
        if self.rng.random() < 0.12:
            short = [s for s in SHORT_DAYS if day.startswith(s)]
            return self.pick(short), day
        return day, day

    def feast(self, ahead=False):
        name = self.pick(FEASTS)
        said = self.pick(FEAST_SAID[name])
        r = self.rng.random()
        if ahead or r > 0.15:
            return said, name
        if r < 0.07:
            return said + " next year", name + " next year"
        year = self.pick(["2027", "2028", "2030"])
        return f"{said} {year}", f"{name} {year}"

    def ahead(self):
        """in three days"""
        r = self.rng.random()
        if r < 0.1:
            return self.pick(
                [
                    ("in a fortnight", "in 2 weeks"),
                    ("a fortnight from now", "in 2 weeks"),
                    ("in a couple of days", "in 2 days"),
                    ("in a couple of weeks", "in 2 weeks"),
                    ("in a couple of months", "in 2 months"),
                    ("in half a year", "in 6 months"),
                    ("this time next week", "in 1 week"),
                    ("one week from today", "in 1 week"),
                    ("in a week's time", "in 1 week"),
                    ("in two weeks' time", "in 2 weeks"),
                    ("in three days' time", "in 3 days"),
                    ("in a month's time", "in 1 month"),
                ]
            )
        n = self.some(12) if r < 0.65 else self.pick([10, 14, 20, 21, 28, 30, 40, 45, 50, 60, 80])
        unit = self.pick(["day", "day", "day", "week", "week", "month", "year"])
        if r > 0.8:
            n, unit = self.pick([self.some(400), self.some(120), 90, 100, 120, 180, 200]), "day"
        spelling = f"in {n} {unit}" + ("s" if n > 1 else "")
        if n == 1:
            return (
                self.pick(
                    [
                        f"in a {unit}",
                        f"in one {unit}",
                        f"in 1 {unit}",
                        f"a {unit} from now",
                        f"a {unit} from today",
                    ]
                ),
                spelling,
            )
        return (
            self.pick(
                [
                    f"in {self.said(n)} {unit}s",
                    f"in {self.said(n)} {unit}s",
                    f"{self.said(n)} {unit}s from now",
                    f"{self.said(n)} {unit}s from today",
                    f"in {self.said(n)} {unit}s from now",
                ]
            ),
            spelling,
        )

    def day(self):
        """A day with its small word: (said, spelling)."""
        r = self.rng.random()
        if r < 0.22:
            return (
                (
                    self.pick(["sometime tomorrow", "some time tomorrow", "for tomorrow"])
                    if r < 0.01
                    else "tomorrow"
                ),
                "tomorrow",
            )
        if r < 0.27:
            return self.pick(["today", "today", "today", "later today"]), "today"
        if r < 0.31:
            return (
                self.pick(["the day after tomorrow", "day after tomorrow", "overmorrow"]),
                "in 2 days",
            )
        if r < 0.52:
            said, day = self.weekday()
            return (
                self.pick(["on ", "on ", "on ", "this ", "this coming ", "", "on this "]) + said,
                day,
            )
        if r < 0.6:
            said, day = self.weekday()
            form = self.pick(
                [
                    "next {0}",
                    "next {0}",
                    "on next {0}",
                    "{0} next week",
                    "on {0} next week",
                    "next week {0}",
                    "next week on {0}",
                ]
            )
            return form.format(said), "next " + day
        if r < 0.66:
            return self.ahead()
        if r < 0.79:
            said, spelling = self.date()
            return (
                self.pick(
                    ["on ", "on ", "", "for "] if not said[0].isdigit() else ["on ", "on the ", ""]
                ).replace("for ", "on ")
                + said,
                spelling,
            )
        if r < 0.83:
            said, spelling = self.numeric()
            return self.pick(["on ", "on ", ""]) + said, spelling
        if r < 0.9:
            day = 1 + int(self.rng.random() * 31)
            nth = self.pick([ordinal(day), ordinal(day), ORDINAL_WORDS[day - 1]])
            return self.pick(
                [f"on the {nth}", f"the {nth}", f"on the {nth} of this month"]
            ), ordinal(day)
        if r < 0.94:
            return self.pick(
                [
                    ("this weekend", "weekend"),
                    ("on the weekend", "weekend"),
                    ("at the weekend", "weekend"),
                    ("next weekend", "next weekend"),
                ]
            )
        if r < 0.975:
            return self.pick(
                [
                    ("next week", "next week"),
                    ("next month", "next month"),
                    ("next year", "next year"),
                    ("sometime next week", "next week"),
                ]
            )
        said, name = self.feast(True)
        return self.pick(["on ", "at ", "on "]) + said, name

    def plain_day(self):
        """A day as a noun: "tomorrow", "friday", "the 3rd of may"."""
        r = self.rng.random()
        if r < 0.35:
            said, spelling = self.date()
            return ("the " + said if said[0].isdigit() and " of " in said else said), spelling
        if r < 0.5:
            return self.numeric()
        if r < 0.68:
            return self.feast()
        if r < 0.78:
            said, day = self.weekday()
            return self.pick([(said, day), ("next " + said, "next " + day)])
        if r < 0.88:
            return self.pick(
                [
                    ("tomorrow", "tomorrow"),
                    ("the day after tomorrow", "in 2 days"),
                    ("yesterday", "yesterday"),
                    ("today", "today"),
                ]
            )
        day = 1 + int(self.rng.random() * 31)
        return "the " + ordinal(day), ordinal(day)

    def past(self):
        r = self.rng.random()
        if r < 0.3:
            said, day = self.weekday()
            return "last " + said, "last " + day
        if r < 0.4:
            return "yesterday", "yesterday"
        if r < 0.5:
            return self.date()
        if r < 0.55:
            return self.pick(
                [
                    ("a fortnight ago", "2 weeks ago"),
                    ("the day before yesterday", "2 days ago"),
                    ("half a year ago", "6 months ago"),
                    ("a couple of days ago", "2 days ago"),
                    ("a couple of weeks ago", "2 weeks ago"),
                ]
            )
        n = self.some(self.pick([12, 20, 100, 365]))
        unit = self.pick(["day", "week", "month", "year"])
        if n == 1:
            return self.pick([f"a {unit} ago", f"one {unit} ago"]), f"1 {unit} ago"
        return f"{self.said(n)} {unit}s ago", f"{n} {unit}s ago"

    # ---- lengths ----

    def length(self, longest=600):
        """(said, spelling) of hours, minutes, seconds."""
        rng, r = self.rng, self.rng.random()
        mins = self.pick(["minutes", "minutes", "minutes", "min", "mins", "minute", "m"])
        hours = self.pick(["hours", "hours", "hours", "hrs", "h"])
        secs = self.pick(["seconds", "seconds", "secs", "sec", "s"])
        if rng.random() < 0.07:
            return self.odd_length()
        if r < 0.5:
            n = (
                self.pick([5, 10, 15, 20, 25, 30, 40, 45, 50, 60, 90])
                if rng.random() < 0.55
                else self.some(99)
            )
            if n == 1:
                return self.pick(["1 minute", "one minute", "a minute", "1 min"]), "1 min"
            said = self.said(n)
            if mins == "m":
                return f"{n}m", f"{n} min"
            if mins == "minute" and self.rng.random() < 0.5:
                mins = "minutes"
            glue = "" if said.isdigit() and mins in ("min", "mins") and rng.random() < 0.4 else " "
            return said + glue + mins, f"{n} min"
        if r < 0.57:
            return (
                self.pick(
                    ["half an hour", "half an hour", "a half hour", "half a hour", "30 minutes"]
                ),
                "30 min",
            )
        if r < 0.62:
            return self.pick(
                [
                    ("a quarter of an hour", "15 min"),
                    ("quarter of an hour", "15 min"),
                    ("three quarters of an hour", "45 min"),
                    ("a quarter hour", "15 min"),
                ]
            )
        if r < 0.68:
            return self.pick(["an hour", "1 hour", "one hour", "1h", "1 hr"]), "1 h"
        if r < 0.76:
            n = 2 + int(rng.random() * 11)
            return (f"{n}h" if hours == "h" else f"{self.said(n)} {hours}"), f"{n} h"
        if r < 0.84:
            n = self.some(5)
            if n == 1:
                return (
                    self.pick(
                        [
                            "an hour and a half",
                            "one and a half hours",
                            "1.5 hours",
                            "1 1/2 hours",
                            "1 and a half hours",
                            "one hour and a half",
                        ]
                    ),
                    "1 h 30 min",
                )
            return (
                self.pick(
                    [
                        f"{self.said(n)} and a half hours",
                        f"{n}.5 hours",
                        f"{self.said(n)} and a half hours",
                    ]
                ),
                f"{n} h 30 min",
            )
        if r < 0.91:
            n, m = self.some(4), self.pick([5, 10, 15, 20, 25, 30, 40, 45, 50])
            hour = "hour" if n == 1 else "hours"
            if m == 15 and rng.random() < 0.3 and n == 1:
                return "an hour and a quarter", "1 h 15 min"
            return (
                self.pick(
                    [
                        f"{n} {hour} {m} minutes",
                        f"{n} {hour} and {m} minutes",
                        f"{n}h {m}m",
                        f"{n}h{m:02d}",
                        f"{n} {hour} {m}",
                        f"{n} h {m} min",
                        f"{n}h{m}min",
                        f"{number_words(n)} {hour} and {number_words(m)} minutes",
                    ]
                ),
                f"{n} h {m} min",
            )
        if r < 0.96:
            n = self.pick([5, 10, 15, 20, 30, 40, 45, 60, 75, 90, 100, 120])
            return (f"{n}s" if secs == "s" else f"{self.said(n)} {secs}"), f"{n} s"
        n = self.some(9)
        m = self.pick([10, 15, 20, 30, 40, 45])
        if m == 30 and rng.random() < 0.6:
            word = "a minute and a half" if n == 1 else f"{self.said(n)} and a half minutes"
            return word, f"{n} min 30 s"
        unit = "minute" if n == 1 else "minutes"
        return (
            self.pick(
                [
                    f"{n} {unit} {m} seconds",
                    f"{n} {unit} and {m} seconds",
                    f"{n}m{m}s",
                    f"{n} min {m} s",
                    f"{n}min{m}",
                ]
            ),
            f"{n} min {m} s",
        )

    def odd_length(self):
        n, m = 2 + self.some(8), self.pick([5, 10, 12, 15, 20, 25, 35, 40])
        word = self.pick([str(n), number_words(n)])
        return self.pick(
            [
                ("half a minute", "30 s"),
                ("a minute", "1 min"),
                ("1/2 an hour", "30 min"),
                ("3/4 of an hour", "45 min"),
                ("1/4 hour", "15 min"),
                ("three quarters of an hour", "45 min"),
                ("one minute thirty", "1 min 30 s"),
                ("a couple of minutes", "2 min"),
                ("a couple of hours", "2 h"),
                ("a minute and a half", "1 min 30 s"),
                (f"an hour and {m} minutes", f"1 h {m} min"),
                (f"an hour and {number_words(m)}", f"1 h {m} min"),
                (f"one hour {number_words(m)}", f"1 h {m} min"),
                (f"an hour {m}", f"1 h {m} min"),
                (f"{word} and a quarter hours", f"{n} h 15 min"),
                (f"{word} and three quarter hours", f"{n} h 45 min"),
                (f"{word} and a half minutes", f"{n} min 30 s"),
                (f"{word} and a half minutes", f"{n} min 30 s"),
                (f"{n} 1/2 minutes", f"{n} min 30 s"),
                (f"{n}.5 minutes", f"{n} min 30 s"),
                (f"{n}.5 hours", f"{n} h 30 min"),
                (f"{word} hours and a half", f"{n} h 30 min"),
                (f"{n}:{m:02d} hours", f"{n} h {m} min"),
                (f"{n}:{m:02d} minutes", f"{n} min {m} s"),
                (f"{word} hours {number_words(m)} minutes", f"{n} h {m} min"),
                (f"{word} minutes {number_words(m)}", f"{n} min {m} s"),
                (f"{word} minutes and {number_words(m)} seconds", f"{n} min {m} s"),
            ]
        )

    def adjective_length(self):
        """As in "a two hour meeting"."""
        r = self.rng.random()
        glue = self.pick([" ", " ", "-"])
        if r < 0.5:
            n = self.pick([5, 10, 15, 20, 25, 30, 40, 45, 50, 60, 90, self.some(99)])
            unit = self.pick(["minute", "minute", "min", "minutes", "mins"])
            return f"{self.said(n)}{glue}{unit}", f"{n} min"
        if r < 0.75:
            n = self.pick([1, 2, 2, 3, 3, 4, 5, 6, 8, 10, 12, 24])
            unit = self.pick(["hour", "hour", "hour", "hours", "h", "hr"])
            return f"{self.said(n)}{glue}{unit}", f"{n} h"
        if r < 0.85:
            n = self.pick([10, 15, 20, 30, 30, 40, 45, 60, 90])
            return f"{self.said(n)}{glue}{self.pick(['second', 'second', 'sec'])}", f"{n} s"
        if r < 0.91:
            return self.pick(["half hour", "half-hour", "half an hour", "half hour long"]), "30 min"
        n = self.some(4)
        return (
            self.pick(
                [
                    f"{self.said(n)} and a half hour",
                    f"{n}.5 hour",
                    f"{number_words(n)}-and-a-half-hour",
                    f"{n} 1/2 hour",
                ]
            ),
            f"{n} h 30 min",
        )

    def long_length(self):
        """Days and weeks too, for entries."""
        if self.rng.random() < 0.6:
            return self.length()
        n, unit = self.some(6), self.pick(["day", "day", "week"])
        if n == 1:
            return self.pick([f"a {unit}", f"one {unit}"]), f"1 {unit}"
        return f"{self.said(n)} {unit}s", f"{n} {unit}s"

    # ---- moments ----

    def at(self):
        said, spelling = self.clock()
        if self.rng.random() < 0.03:
            said += self.pick([" sharp", " exactly", " on the dot"])
        word = self.pick(["at ", "at ", "at ", "at ", "around ", "by ", "@", "for ", ""])
        return (word if word != "for " else "at ") + said, spelling

    def day_and_time(self):
        rng, r = self.rng, self.rng.random()
        if r < 0.1:
            said, day = self.weekday() if rng.random() < 0.6 else ("tomorrow", "tomorrow")
            time, spelling = self.spoken()
            part, half = self.pick(
                [("morning", "am"), ("evening", "pm"), ("afternoon", "pm"), ("night", "pm")]
            )
            return self.pick(
                [
                    f"{said} {part} at {time}",
                    f"at {time} {said} {part}",
                    f"{said} {part} {time}",
                    f"at {time} on {said} {part}" if day != "tomorrow" else f"{time} {said} {part}",
                ]
            ), {"day": day, "time": spelling + half}
        if r < 0.18:
            time, spelling = self.spoken()
            return self.pick(
                [
                    f"tonight at {time}",
                    f"at {time} tonight",
                    f"{time} tonight",
                    f"this evening at {time}",
                    f"at {time} this evening",
                ]
            ), {"day": "today", "time": spelling + "pm"}
        if r < 0.22:
            time, spelling = self.spoken()
            part, half = self.pick([("afternoon", "pm"), ("morning", "am")])
            return self.pick(
                [f"this {part} at {time}", f"at {time} this {part}", f"{time} this {part}"]
            ), {"day": "today", "time": spelling + half}
        day, day_spelling = self.day()
        time, spelling = self.at()
        both = {"day": day_spelling, "time": spelling}
        form = self.rng.random()
        if form < 0.55:
            return f"{day} {time}", both
        if form < 0.65:
            return f"{day}, {time}", both
        if not time.startswith(("at", "around", "by", "@")):
            return f"{day} {time}", both
        return f"{time} {day}", both

    def day_and_part(self):
        part = self.pick(["morning", "morning", "afternoon", "evening", "evening", "night"])
        r = self.rng.random()
        if r < 0.3:
            return f"tomorrow {part}", {"day": "tomorrow", "time": part}
        if r < 0.6:
            said, day = self.weekday()
            return self.pick(["on ", "", "this "]) + f"{said} {part}", {"day": day, "time": part}
        if r < 0.8:
            said, time = self.pick(
                [
                    ("tonight", "evening"),
                    ("this evening", "evening"),
                    ("this afternoon", "afternoon"),
                    ("later tonight", "evening"),
                    ("this morning", "morning"),
                    ("later this evening", "evening"),
                    ("sometime this afternoon", "afternoon"),
                ]
            )
            return said, {"day": "today", "time": time}
        if r < 0.9:
            return (
                self.pick(["in the ", "in the "]) + self.pick(["morning", "afternoon", "evening"]),
                None,
            )
        day, spelling = self.day()
        return f"{day} in the {part if part != 'night' else 'evening'}", {
            "day": spelling,
            "time": part if part != "night" else "evening",
        }

    def date_on(self):
        """A date with its small word, as "on the 3rd of may"."""
        r = self.rng.random()
        if r < 0.7:
            said, spelling = self.date()
        elif r < 0.85:
            said, spelling = self.numeric()
        else:
            day = 1 + int(self.rng.random() * 31)
            return "on the " + ordinal(day), ordinal(day)
        return ("on the " if said[0].isdigit() and " of " in said else "on ") + said, spelling

    def when(self, lengths=0.22, days=0.15):
        """(said, arguments): "tomorrow at 5", "in 20 minutes" ..."""
        r = self.rng.random()
        if r < lengths:
            said, spelling = self.length()
            if self.rng.random() < 0.15:
                return f"{said} from now", {"in": spelling}
            return self.pick(["in ", "in ", "in ", "after "]) + said, {"in": spelling}
        r = (r - lengths) / (1 - lengths)
        if r < 0.26:
            said, spelling = self.at()
            return said, {"time": spelling}
        if r < 0.26 + days:
            said, spelling = self.day()
            return said, {"day": spelling}
        if r < 0.86:
            return self.day_and_time()
        said, arguments = self.day_and_part()
        return said, arguments or {"time": said.split()[-1]}

    def bare(self):
        """Without small words: "friday 5pm"."""
        time, spelling = self.clock()
        r = self.rng.random()
        if r < 0.08:
            said, day = self.weekday() if r < 0.05 else ("tomorrow", "tomorrow")
            part = self.pick(["morning", "afternoon", "evening"])
            return f"{said} {part}", {"day": day, "time": part}
        if r < 0.35:
            return time, {"time": spelling}
        day, day_spelling = self.pick(
            [
                self.weekday,
                self.weekday,
                self.date,
                self.numeric,
                lambda: ("tomorrow", "tomorrow"),
                lambda: ("today", "today"),
            ]
        )()
        if r < 0.5:
            return day, {"day": day_spelling}
        return self.pick([f"{day} {time}", f"{day}, {time}"]), {
            "day": day_spelling,
            "time": spelling,
        }

    def every(self):
        """(said, arguments)."""
        r = self.rng.random()
        time = {}
        tail = ""
        if self.rng.random() < 0.6:
            said, spelling = self.at()
            if not said.startswith(("at", "@", "around", "by")):
                said = "at " + said
            tail, time = " " + said, {"time": spelling}
        if r < 0.25:
            said, day = self.weekday()
            if self.rng.random() < 0.25 and said == day:
                part = self.pick(["morning", "evening", "afternoon", "night"])
                if not time:
                    return f"every {day} {part}", {"time": part, "every": day}
            return self.pick(
                [f"every {said}", f"every {said}", f"each {said}", f"on {day}s", f"{day}s"]
            ) + tail, {**time, "every": day}
        if r < 0.45:
            if self.rng.random() < 0.35:
                part = self.pick(["morning", "evening", "night", "afternoon"])
                if not time:
                    return f"every {part}", {"time": part, "every": "day"}
                said, spelling = self.spoken()
                half = "am" if part == "morning" else "pm"
                return f"every {part} at {said}", {"time": spelling + half, "every": "day"}
            return self.pick(
                ["every day", "each day", "daily", "everyday", "every single day"]
            ) + tail, {**time, "every": "day"}
        if r < 0.55:
            return self.pick(
                [
                    "every weekday",
                    "each weekday",
                    "on weekdays",
                    "every working day",
                    "every workday",
                    "monday to friday",
                ]
            ) + tail, {**time, "every": "weekday"}
        if r < 0.59:
            return self.pick(["every weekend", "on weekends", "each weekend"]) + tail, {
                **time,
                "every": "weekend",
            }
        if r < 0.67:
            return self.pick(["every week", "weekly", "each week", "once a week"]) + tail, {
                **time,
                "every": "week",
            }
        if r < 0.77:
            day = 1 + int(self.rng.random() * 31)
            nth = self.pick([ordinal(day), ORDINAL_WORDS[day - 1]])
            if self.rng.random() < 0.3:
                return self.pick(["every month", "monthly", "once a month"]) + tail, {
                    **time,
                    "every": "month",
                }
            return self.pick(
                [
                    f"on the {nth} of every month",
                    f"every month on the {nth}",
                    f"every {nth} of the month",
                    f"the {nth} of every month",
                    f"every month the {nth}",
                    f"the {nth} of each month",
                    f"monthly on the {nth}",
                ]
            ) + tail, {"day": ordinal(day), **time, "every": "month"}
        if r < 0.84:
            said, spelling = self.date()
            while spelling.count(" ") > 1:
                said, spelling = self.date()
            return self.pick(
                [
                    f"every year on {said}",
                    f"on {said} every year",
                    f"each year on {said}",
                    f"yearly on {said}",
                    f"{said} every year",
                ]
            ), {"day": spelling, "every": "year"}
        if r < 0.9:
            return self.pick(["every hour", "hourly", "once an hour", "each hour"]), {
                "every": "hour"
            }
        if r < 0.94:
            return self.pick(
                [
                    ("every other day", {"every": "2 days"}),
                    ("every second day", {"every": "2 days"}),
                    ("every other week", {"every": "2 weeks"}),
                    ("every second week", {"every": "2 weeks"}),
                    ("every fortnight", {"every": "2 weeks"}),
                ]
            )
        n = 2 + int(self.rng.random() * 8)
        unit, spelling = self.pick(
            [
                ("hours", "h"),
                ("hours", "h"),
                ("days", "days"),
                ("weeks", "weeks"),
                ("months", "months"),
            ]
        )
        if self.rng.random() < 0.2:
            m = self.pick([15, 20, 30, 45])
            return f"every {self.said(m)} minutes", {"every": f"{m} min"}
        return f"every {self.said(n)} {unit}", {"every": f"{n} {spelling}"}
