"""From one time or day to another: how it is said, and the arguments of an entry."""

from moments import DAYS, MONTHS, Moments, ORDINAL_WORDS, ordinal


class Spans(Moments):
    def hours_of_range(self):
        """Two times: (first, last, their arguments)."""
        r = self.rng.random()
        a = 1 + int(self.rng.random() * 12)
        b = (a + int(self.rng.random() * 4)) % 12 + 1
        if r < 0.45 and a > b and a != 12:  # one half of the day for both
            a, b = b, a
        x, y = self.pick(["", "", ":30", ":15", ":45"]), self.pick(["", "", ":30", ":15", ":45"])
        if r < 0.3:
            half = self.pick(["am", "pm"])
            x, y = self.pick([("", ""), ("", ""), ("", ":30"), (":30", ":30"), (x, y)])
            mark = self.pick([half, " " + half, " " + half, " " + half.upper()])
            return f"{a}{x}", f"{b}{y}{mark}", {"time": f"{a}{x}{half}", "end": f"{b}{y}{half}"}
        if r < 0.45:
            h, k = self.pick([("am", "am"), ("pm", "pm"), ("pm", "pm"), ("am", "pm")])
            gap = self.pick(["", "", " "])
            return (
                f"{a}{x}{gap}{h}",
                f"{b}{y}{gap}{k}",
                {"time": f"{a}{x}{h}", "end": f"{b}{y}{k}"},
            )
        if r < 0.68:
            h = 6 + int(self.rng.random() * 15)
            e = h + 1 + int(self.rng.random() * 3)
            m, o = self.pick([0, 0, 15, 30, 45]), self.pick([0, 0, 15, 30, 45])
            if h < 10 and self.rng.random() < 0.5:  # 9:00, in two figures only when written so
                first, spelt = f"{h}:{m:02d}", f"{h}:{m:02d}" if m else str(h)
                if e > 12:
                    first, spelt = f"{h:02d}:{m:02d}", f"{h:02d}:{m:02d}"
            else:
                first = spelt = f"{h:02d}:{m:02d}"
                spelt = self.twelve(h, m, spelt)
            last = f"{e:02d}:{o:02d}"
            return first, last, {"time": spelt, "end": self.twelve(e, o, last)}
        if r < 0.76:
            h = 13 + int(self.rng.random() * 8)
            e = h + 1 + int(self.rng.random() * 3)
            return str(h), str(e), {"time": f"{h}:00", "end": f"{e}:00"}
        if r < 0.9:
            return f"{a}{x}", f"{b}{y}", {"time": f"{a}{x}", "end": f"{b}{y}"}
        first, spelling = self.spoken()
        last, end = self.spoken()
        return first, last, {"time": spelling, "end": end}

    @staticmethod
    def twelve(h, m, text):
        """10:00 to 12:59 are no times of the 24-hour clock alone."""
        return (f"{h}:{m:02d}" if m else str(h)) if 10 <= h <= 12 else text

    def dates_of_range(self):
        """Two days: (said, arguments), with their words."""
        r = self.rng.random()
        month = int(self.rng.random() * 12)
        a, b = 1 + int(self.rng.random() * 20), 0
        b = a + 1 + int(self.rng.random() * 9)
        name = MONTHS[month]
        other, last = name, b
        if r > 0.72:
            other, last = MONTHS[(month + 1) % 12], 1 + int(self.rng.random() * 28)
        if self.rng.random() < 0.35:
            short, shorter = name[:3], other[:3]
        else:
            short, shorter = name, other
        to = self.pick([" to ", " to ", " until ", " till ", "-", " - ", " through ", " to the "])
        args = {"day": f"{a} {name[:3]}", "end": f"{last} {other[:3]}"}
        words = to if to.strip() != "-" and to != " to the " else " to "
        the = " to the " if to != " to the " else to
        x, y = self.pick(
            [
                (str(a), str(last)),
                (str(a), str(last)),
                (ordinal(a), ordinal(last)),
                (ORDINAL_WORDS[a - 1], ORDINAL_WORDS[last - 1]),
            ]
        )
        forms = [
            f"from {short} {x}{words}{shorter} {y}",
            f"{short} {x}{to if to != ' to the ' else ' to '}{shorter} {y}",
            f"from {x} {short}{words}{y} {shorter}",
            f"{x} {short}{to}{y} {shorter}",
            f"{x} {short}{words}{y} {shorter}",
            f"from the {x} of {short}{the}{y} of {shorter}",
            f"between {short} {x} and {shorter} {y}",
            f"starting {x} {short} ending {y} {shorter}",
            f"starting {short} {x} until {shorter} {y}",
        ]
        if other == name:
            forms += [
                f"from {x}{words}{y} {short}",
                f"{short} {x}{to}{y}",
                f"{x}{to}{y} {short}",
                f"from the {ordinal(a)}{the}{ordinal(last)} of {short}",
                f"from {short} {x}{words}{y}",
                f"from {short} the {ordinal(a)}{the}{ordinal(last)}",
            ]
        return self.pick(forms), args

    def range(self):
        """From and to, as an entry's arguments."""
        r = self.rng.random()
        to = self.pick([" to ", " to ", " until ", " till ", "-", " - ", " til "])
        if r < 0.52:
            first, last, args = self.hours_of_range()
            start = self.pick(["from ", "from ", "", "between "])
            if start == "between ":
                to = " and "
            if not first[-1].isdigit() and to == "-" and not first[0].isdigit():
                to = " to "
            body = f"{start}{first}{to}{last}"
            if self.rng.random() < 0.1:
                return body, args
            day, spelling = self.day() if self.rng.random() < 0.75 else self.bare_day()
            if not start and day[-1].isdigit():
                body = self.pick(["from ", ", "]) + body
            args = {"day": spelling, **args}
            form = self.rng.random()
            if form < 0.7 or not start:
                return f"{day} {body}".replace(" ,", ","), args
            return f"{body} {day}", args
        if r < 0.8:
            return self.dates_of_range()
        if to.strip() == "-":
            to = " to "
        if r < 0.86:
            a = 1 + int(self.rng.random() * 20)
            b = a + 1 + int(self.rng.random() * 8)
            return f"from the {ordinal(a)}{to}the {ordinal(b)}", {
                "day": ordinal(a),
                "end": ordinal(b),
            }
        if r < 0.89:
            said, spelling = self.numeric()
            other, end = self.numeric()
            return f"{self.pick(['from ', ''])}{said}{to}{other}", {"day": spelling, "end": end}
        i = int(self.rng.random() * 6)
        k = i + 1 + int(self.rng.random() * (6 - i))
        a, b = DAYS[i], DAYS[min(k, 6)]
        x, y = a, b
        if self.rng.random() < 0.3:
            a, x = self.pick([("tomorrow", "tomorrow"), ("today", "today"), (f"next {a}",) * 2])
        if self.rng.random() < 0.2:
            b, y = f"next {b}", f"next {b}"
        start = self.pick(["from ", "from ", "", "starting "])
        if start == "starting " or not start:
            to = self.pick([" until ", " till ", " to "])
        return f"{start}{a}{to}{b}", {"day": x, "end": y}

    def bare_day(self):
        return self.pick(
            [self.weekday, self.date, self.date, self.numeric, lambda: ("tomorrow", "tomorrow")]
        )()
