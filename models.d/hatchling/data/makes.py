"""Examples: a phrase drawn, its slots filled, spoilt as people type, and the call that is meant."""

import json
import os
import re

import words as w
from grammar import draw, parsed, phrases, shares
from moments import DAYS, NTH, ordinal
from phrases import LISTS, TALK, TIMER_NAMES, asks as p, beyond
from sums import Sums
from texts import Texts

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "..", "tools.json"), encoding="utf-8") as handle:
    ORDER = {
        t["function"]["name"]: list(t["function"]["parameters"]["properties"])
        for t in json.load(handle)
    }
KINDS = {
    "reminder": ("reminder", "reminders"),
    "timer": ("timer", "timers"),
    "event": ("appointment", "appointments"),
    "note": ("note", "notes"),
}
ORDERS = """write fix debug explain translate make create plan book play show draw solve find call
send tell recommend suggest order buy turn open read describe summarise generate give review
refactor test check correct improve teach build program compose draft compute prove sing search
text email post print organise calculate rewrite shorten reserve set put close take""".split()
ASKED = ["can you", "can you", "could you", "would you", "will you", "please", "can you please"]
ASKED += ["could you please", "I want you to", "I need you to", "I'd like you to"]
OCCASIONS = """birthday wedding holiday exam trip party flight move interview anniversary vacation
match concert deadline term operation retirement graduation visit""".split()
SNIPPETS = """^ $ [a-z] \\d + * ( ) { } [ ] ; = == / <div> </p> x y i 0 1 for if def print
select from where && | \" # -> .py $x""".split() + [" ", " "]
PASTED = """Dear customer, your {noun} will arrive {when}.|Hi {n}, are we still on {when}?|
Dear {n}, thank you for your message. The {noun} is {adj}.|
Hello {n}, I'll be {adj} {when}. Best, {n}|
Your appointment at the {o} is confirmed. Reply STOP to opt out.|Your order {num} has been shipped.|
Dear parents, the {noun} closes {when}.|Your invoice {num} is overdue. Pay now at {w}.com|
From: {n} To: {n} Subject: {event} {when}|RE: {event} - please find the {noun} attached|
[{clock}] {n}: see you later!|{n}: are you coming? {n}: yes, {when}|Kind regards, {n}|
Hi {n}, could you send me the {noun} {when}? Thanks, {n}|The store opens {when}. T&Cs apply.|
{n} wrote: the {noun} is {adj} and the {noun} {verb}s|We are closed {on}.|
Train {num} to {c} is delayed.|
BREAKING: {noun} found in {country}|Chapter {num}. The {adj} {noun}.|
Tickets {num} each, doors {clock}""".replace(
    "\n", ""
).split(
    "|"
)
OWN = """reminder timer alarm note calendar appointment meeting event date time number sum day
calculator dentist birthday wedding tomorrow breakfast notebook clock hour minute mile""".split()
KEYS = "qwertyuiop asdfghjkl zxcvbnm"
ABBREVIATED = {
    "please": ["pls", "plz", "plss"],
    "you": ["u"],
    "tomorrow": ["tmrw", "tomorow", "tommorow", "tmr", "tomorrw", "2moro"],
    "minutes": ["mins", "minuts"],
    "are": ["r"],
    "reminder": ["remainder", "remider", "rminder"],
    "calendar": ["calender", "callendar"],
    "what's": ["whats", "wats"],
    "tonight": ["tonite"],
    "remind": ["rmind", "remnd", "reming"],
    "timer": ["tiemr", "timr", "tmer"],
    "and": ["&", "n"],
    "wednesday": ["wensday", "wednsday"],
    "appointment": ["appointement", "appt"],
    "because": ["cuz"],
    "i'm": ["im"],
    "don't": ["dont"],
    "can't": ["cant"],
    "that's": ["thats"],
    "to": ["2"],
    "with": ["w/"],
    "delete": ["delte"],
    "cancel": ["cancle", "cancell"],
    "today": ["2day"],
}


def call(name, **arguments):
    order = ORDER[name]
    return {"name": name, "arguments": {k: arguments[k] for k in order if k in arguments}}


class Again(Exception):
    """No reading of this phrase may be used: draw another."""


class Maker(Texts):
    def __init__(self, rng, reserved, later=False):
        super().__init__(rng)
        self.reserved = reserved  # runs of words of the test set
        self.later = later  # with the further ways to ask of later.txt
        self.s = Sums(rng)

    # ---- filling ----

    def fill(self, parts, slots):
        """[text, key] for each part of a phrase; `slots` gives (said, arguments) or a copy."""
        drawn, out, arguments = [], [], {}
        draw(parts, self.rng, drawn)
        for _ in range(20):
            if not shares(drawn, self.reserved):
                break
            drawn = []
            draw(parts, self.rng, drawn)
        else:
            raise Again
        for part in drawn:
            if isinstance(part, str):
                out.append([part, None])
                continue
            name = part[1]
            value = slots(name)
            if isinstance(value, tuple) and value[0] == "copy":
                out.append([value[1], value[2] if len(value) > 2 else "text"])
            elif isinstance(value, tuple):
                out.append([value[0], False])
                arguments.update(value[1])
            else:
                out.append([value, False])
        self.articles(out)
        return out, arguments

    @staticmethod
    def articles(segments):
        """No "my" before "my sister's birthday", and "an interview"."""
        for before, (text, key) in zip(segments, segments[1:]):
            words = before[0].split(" ")
            if not key or before[1] is not None or len(words) < 2 or words[-1]:
                continue
            article = words[-2].lower()
            if article not in ("a", "an", "the", "my", "our", "that"):
                continue
            if text.startswith(("the ", "my ", "a ", "our ", "some ", "all ", "those ", "two ")):
                before[0] = " ".join(words[:-2] + [""])
            elif article in ("a", "an"):
                words[-2] = words[-2][0] + ("n" if text[:1].lower() in tuple("aeiou") else "")
                before[0] = " ".join(words)

    def phrase(self, block):
        return self.pick(phrases(block))

    def moment_slots(self, name):
        m = self.m
        if name == "when":
            return m.when()
        if name == "bare":
            return m.bare()
        if name == "every":
            return m.every()
        if name == "range":
            return m.range()
        if name == "every_day":
            day = self.pick(DAYS)
            return f"every {day}", {"every": day}
        if name == "hours":
            first, last, times = m.hours_of_range()
            start, to = self.pick([("from ", " to "), ("", " till "), ("", " to "), ("", "-")])
            return start + first + to + last, times
        if name == "mondays":
            day = self.pick(DAYS)
            return day + "s", {"every": day}
        if name == "food":
            return self.pick(w.FOODS + TIMER_NAMES)
        if name == "occasion":
            return self.pick([self.event_text, lambda: self.pick(OCCASIONS)])()
        if name in ("yearly", "weekly", "daily"):
            unit = {"yearly": "year", "weekly": "week", "daily": "day"}[name]
            said = [f"every {unit}", f"each {unit}", f"every single {unit}", name, f"once a {unit}"]
            return self.pick(said[:2] + said), {"every": unit}
        if name == "alen":
            said, spelling = m.adjective_length()
            return said, {"in": spelling}
        if name == "date":
            said, spelling = m.date_on()
            return said, {"day": spelling}
        if name in ("clock", "on", "day", "past"):
            said, spelling = {"clock": m.clock, "on": m.day, "day": m.plain_day, "past": m.past}[
                name
            ]()
            return said, {"time" if name == "clock" else "day": spelling}
        if name == "len":
            said, spelling = m.length()
            return said, {"in": spelling}
        return None

    # ---- how people type ----

    def typo(self, word):
        i = 1 + int(self.rng.random() * (len(word) - 2))
        r = self.rng.random()
        if r < 0.3:
            return word[:i] + word[i + 1 :]
        if r < 0.55:
            return word[:i] + word[i + 1] + word[i] + word[i + 2 :] if i + 1 < len(word) else word
        if r < 0.75:
            return word[:i] + word[i] + word[i:]
        at = KEYS.find(word[i])
        near = KEYS[at + 1] if 0 <= at < len(KEYS) - 1 else "e"
        return word[:i] + (near if near != " " else "e") + word[i + 1 :]

    def spoil(self, segments):
        """Typing: case, marks, abbreviations, slips. The copied parts are changed in place."""
        rng = self.rng
        lower = rng.random() < 0.5
        shout = not lower and rng.random() < 0.02
        abbreviate = rng.random() < 0.18
        soon = rng.random() < 0.12  # a day abbreviated, the rest not
        slips = 0 if rng.random() < 0.84 else 1 + (rng.random() < 0.3)
        before = ""
        for segment in segments:
            text, key = segment
            number, before = before[-1:].isdigit(), text
            if abbreviate and not key:
                text = " ".join(
                    (
                        self.pick(ABBREVIATED[x.lower()])
                        if x.lower() in ABBREVIATED
                        and rng.random() < 0.5
                        and (x not in ("to", "and") or key is None and not number)
                        else x
                    )
                    for x in text.split(" ")
                )
            if soon and key is False:
                for day in ("tomorrow", "today", "tonight"):
                    if day in text:
                        text = text.replace(day, self.pick(ABBREVIATED[day]), 1)
            if lower:
                text = text.lower()
            elif shout:
                text = text.upper()
            segment[0] = text
        for _ in range(slips):
            segment = self.pick(segments)
            parts = segment[0].split(" ")
            at = int(rng.random() * len(parts))
            if len(parts[at]) > 4 and parts[at].isalpha() and parts[at].isascii():
                parts[at] = self.typo(parts[at])
                segment[0] = " ".join(parts)
        if not lower and not shout and not segments[0][1] and segments[0][0]:
            first = segments[0][0]
            segments[0][0] = first[0].upper() + first[1:]
        return lower

    def frame(self, segments):
        """Small words around it, as in speech."""
        rng, r = self.rng, self.rng.random()
        if self.later and rng.random() < 0.07:
            said = self.fill(self.phrase(p.CONTEXT)[0], lambda _: self.person())[0]
            segments.insert(0, ["".join(part[0] for part in said) + " ", None])
        if r < 0.05:
            segments.insert(
                0,
                [
                    self.pick(
                        [
                            "um ",
                            "please ",
                            "please ",
                            "uh ",
                            "so ",
                            "well ",
                            "ok so ",
                            "hey, ",
                            "hi, ",
                            "like ",
                            "yo ",
                            "bantam, ",
                            "hey bantam ",
                            "alright, ",
                            "right, ",
                            "oh, ",
                            "so um ",
                            "and ",
                            "so yeah ",
                            "maybe ",
                            "umm ",
                            "yeah ",
                        ]
                    ),
                    None,
                ],
            )
        elif r < 0.08:
            segments.append(
                [
                    self.pick(
                        [
                            " please",
                            ", please",
                            " thanks",
                            ", thank you",
                            " thx",
                            " ok?",
                            " if you can",
                            " will you",
                            " would you",
                            " for me",
                        ]
                    ),
                    None,
                ]
            )
        elif r < 0.12:
            at = int(rng.random() * (len(segments) + 1))
            if 0 < at < len(segments):
                segments.insert(at, [self.pick([" um ", " uh ", " like ", " er "]), None])
        if rng.random() < 0.4:
            last = segments[-1]
            if not last[1] and last[0][-1:] not in ".?!":
                last[0] = last[0].rstrip() + self.pick([".", ".", "!", "?", "..", " "])
            elif last[1]:
                segments.append([self.pick([".", ".", "!", ""]), None])

    def finish(self, segments, arguments=None, framed=True):
        """The user's text; copied parts become arguments as they now stand."""
        if framed:
            self.frame(segments)
        self.spoil(segments)
        arguments = dict(arguments or {})
        for text, key in segments:
            if key and key not in arguments:
                arguments[key] = " ".join(text.split()).strip(" .,!?")
        text = " ".join("".join(s[0] for s in segments).split())
        for mark in ",.?:;!":
            text = text.replace(" " + mark, mark) if mark != "." else text
        return text, arguments

    # ---- what is asked ----

    def remind(self):
        r = self.rng.random()
        if r < 0.07:
            return self.alarm()
        block = p.EVERY if r < 0.24 else p.REMIND
        parts, _ = self.phrase(block)
        segments, arguments = self.fill(parts, self.remind_slots)
        text, arguments = self.finish(segments, arguments)
        return text, [call("remind", **arguments)]

    def remind_slots(self, name):
        if name == "do":
            return "copy", self.do()
        if name == "of":
            return "copy", self.of()
        if name == "clause":
            return "copy", self.clause()
        return self.moment_slots(name)

    def alarm(self):
        wake = self.rng.random() < 0.45
        parts, _ = self.phrase(p.WAKE if wake else p.ALARM)
        segments, arguments = self.fill(parts, self.moment_slots)
        text, arguments = self.finish(segments, arguments)
        return text, [call("remind", text="wake up" if wake else "alarm", **arguments)]

    def reminders(self):
        """Two at once."""
        first, second = self.do(), self.do()
        (a, x), (b, y) = self.m.when(0.1), self.m.when(0.1)
        if self.later and self.rng.random() < 0.6:  # when, what, when, what
            start = self.pick([f"{a} remind me to ", f"remind me {a} to ", f"{a}: "])
            again = self.pick(["", "", "remind me "]) if not start.endswith(": ") else ""
            link = " and " if not start.endswith(": ") else self.pick(["; ", " and "])
            to = "to " if not start.endswith(": ") else ": "
            tail = self.pick([f"{link}{again}{b} {to}", f"{link}{b} {again}{to}"])
            tail = tail.replace(" : ", ": ")
            segments = [[start, None], [first, "a"], [tail, None], [second, "b"]]
            if start.endswith(": "):
                ends = [" - remind me", ", remind me", ", reminders please"]
                segments.append([self.pick(ends), None])
            text, arguments = self.finish(segments)
            return text, [
                call("remind", text=arguments["a"], **x),
                call("remind", text=arguments["b"], **y),
            ]
        if self.rng.random() < 0.3:  # the same thing twice
            if self.rng.random() < 0.6:
                (a, x), (b, y) = self.m.clock(), self.m.clock()
                a, b, x, y = f"at {a}", f"at {b}", {"time": x}, {"time": y}
            link = self.pick([" and ", " and ", " and again ", " and then again "])
            segments = [["remind me to ", None], [first, "a"], [f" {a}{link}{b}", None]]
            text, arguments = self.finish(segments)
            return text, [call("remind", text=arguments["a"], **moment) for moment in (x, y)]
        segments = [
            ["remind me to ", None],
            [first, "a"],
            [f" {a} and ", None],
            [self.pick(["to ", "to ", "", "remind me to "]), None],
            [second, "b"],
            [f" {b}", None],
        ]
        text, arguments = self.finish(segments)
        return text, [
            call("remind", text=arguments["a"], **x),
            call("remind", text=arguments["b"], **y),
        ]

    def timer(self):
        r = self.rng.random()
        if r < 0.06:
            return self.timers()
        named = r < 0.4
        parts, marks = self.phrase(p.TIMER_NAMED if named else p.TIMER)
        name = self.timer_name()
        segments, arguments = self.fill(
            parts, lambda s: ("copy", name) if s == "name" else self.moment_slots(s)
        )
        text, arguments = self.finish(segments, arguments)
        if "remind" in marks:
            return text, (
                [call("remind", text="wake up", **arguments)]
                if "wake" in text.lower()
                else [call("timer", **arguments)]
            )
        return text, [call("timer", **arguments)]

    def timer_name(self):
        return self.pick(TIMER_NAMES) if self.rng.random() < 0.85 else self.unusual()

    def timers(self):
        a, b = self.m.length(), self.m.length()
        x, y = self.timer_name(), self.timer_name()
        form = self.pick(
            [
                "start two timers, {l1} for {n1} and {l2} for {n2}",
                "set {l1} for {n1} and {l2} for {n2}",
                "two timers: {l1} for {n1}, {l2} for {n2}",
                "start a {n1} timer for {l1} and a {n2} timer for {l2}",
                "{n1} timer {l1} and {n2} timer {l2}",
                "timers: {n1} {l1}, {n2} {l2}",
                "set timers of {l1} and {l2} for {n1} and {n2}",
            ]
        )
        values = {"l1": (a[0], None), "l2": (b[0], None), "n1": (x, "a"), "n2": (y, "b")}
        segments = [
            [values[part[1]][0], values[part[1]][1]] if isinstance(part, tuple) else [part, None]
            for part in parsed(form)
        ]
        text, arguments = self.finish(segments)
        return text, [
            call("timer", **{"in": a[1], "text": arguments["a"]}),
            call("timer", **{"in": b[1], "text": arguments["b"]}),
        ]

    def event(self):
        r = self.rng.random()
        block = (
            p.EVENT
            if r < 0.66
            else p.EVENT_RANGE if r < 0.8 else p.EVENT_LENGTH if r < 0.88 else p.EVENT_EVERY
        )
        parts, _ = self.phrase(block)

        def slots(name):
            if name == "event":
                return "copy", self.event_text()
            if name == "when":
                return self.m.when(0.0, 0.25)
            if name == "len":
                said, spelling = self.m.long_length()
                return said, {"for": spelling}
            if name == "alen":
                said, spelling = self.m.adjective_length()
                return said, {"for": spelling}
            return self.moment_slots(name)

        segments, arguments = self.fill(parts, slots)
        self.no_travel(segments)
        text, arguments = self.finish(segments, arguments)
        return text, [call("event", **arguments)]

    @staticmethod
    def no_travel(segments):
        """Journeys are planned and tickets bought elsewhere."""
        verbs = ("book", "plan", "arrange", "organise", "get me", "reserve")
        named = ("train", "flight", "trip", "holiday", "vacation", "weekend in", "city", "ski trip")
        if any(v in segments[0][0].lower() for v in verbs) and any(
            key and text.lower().startswith(named) for text, key in segments
        ):
            raise Again

    def note(self):
        parts, _ = self.phrase(p.NOTE)
        note = self.note_text()
        segments, arguments = self.fill(parts, lambda s: ("copy", note))
        text, arguments = self.finish(segments, arguments, framed=self.rng.random() < 0.4)
        return text, [call("note", **arguments)]

    def list(self):
        by_day = self.rng.random() < 0.45
        blocks = p.LIST_DAY if by_day else p.LIST
        kind = self.pick(list(blocks))
        parts, _ = self.phrase(blocks[kind])

        def slots(name):
            if name == "name":
                return self.timer_name()
            if name == "my_day":
                said, spelling = self.pick(
                    [("my " + d, d) for d in DAYS]
                    + [
                        ("my day", "today"),
                        ("today", "today"),
                        ("tomorrow", "tomorrow"),
                        ("my week", "this week"),
                        ("next week", "next week"),
                        ("my weekend", "weekend"),
                        ("this week", "this week"),
                    ]
                )
                return said, {"day": spelling}
            if name == "poss":
                near = ["today", "tomorrow", "this week", "next week", "yesterday"]
                said = self.pick(DAYS + near)
                return said + "'s", {"day": said}
            if name == "past_day":
                said, spelling = self.m.past()
                return said, {"day": spelling}
            if self.rng.random() < 0.3:
                said, spelling = self.pick(
                    [
                        ("today", "today"),
                        ("tomorrow", "tomorrow"),
                        ("this week", "this week"),
                        ("next week", "next week"),
                        ("this month", "this month"),
                        ("next month", "next month"),
                        ("this weekend", "weekend"),
                        ("at the weekend", "weekend"),
                        ("tonight", "today"),
                        ("yesterday", "yesterday"),
                    ]
                )
                return said, {"day": spelling}
            return self.moment_slots(name)

        segments, arguments = self.fill(parts, slots)
        text, arguments = self.finish(segments, arguments)
        return text, [call("list", kind=kind, **arguments)]

    def query(self, kind):
        """Words by which something is looked for."""
        r = self.rng.random()
        if kind == "reminder" and r < 0.45:
            return self.do()
        if r < 0.2:
            return self.unusual()
        if r < 0.3:
            return self.person()
        if kind == "note" and r < 0.6:
            return self.pick(w.NOTE_TOPICS)
        if kind == "event" and r < 0.5:
            return self.entry()
        if r < 0.7:
            thing = self.text(
                self.pick(
                    ["{v}", "{v} {t}", "{v} {v}", "{v} {v}", "{w} {v}", "{n}'s {v}", "{j} {v}"]
                    + ["{v}s", "{v} {v} {v}", "{v} of the {v}", "{v} {r}"]
                )
            )
        else:
            thing = self.thing()
        for word in ("the ", "my ", "a ", "our ", "some ", "all ", "those ", "the "):
            thing = thing[len(word) :] if thing.startswith(word) else thing
        return thing if r < 0.9 else self.pick(w.GROCERIES)

    def entry(self):
        """An entry by its words: the word "appointment" is not one of them."""
        text = self.event_text()
        for word in ("appointment with ", "appointment at the ", "the ", "my "):
            text = text[len(word) :] if text.startswith(word) else text
        if text.endswith(" appointment"):
            text = text[: -len(" appointment")].removesuffix("'s")
        return text

    def query_slots(self, kind):
        def slots(name):
            if name == "word":
                return "copy", self.query(kind)
            if name == "event":
                return "copy", self.entry()
            if name == "person":
                return "copy", self.person()
            if name == "office":
                return "copy", self.text(self.pick(["{o}", "{o}", "{v}", "{w}", "{u}", "{n}"]))
            if name == "journey":
                journeys = ["flight", "train", "ferry", "plane", "bus", "coach", "boat"]
                return "copy", self.pick(journeys)
            if name == "name":
                return "copy", self.timer_name()
            if name == "on_s":
                said, day = self.pick(
                    [(d + "'s", d) for d in DAYS]
                    + [("today's", "today"), ("tomorrow's", "tomorrow")]
                )
                return said, {"day": day}
            return self.moment_slots(name)

        return slots

    def find(self):
        kind = self.pick(["note", "note", "event", "event", "reminder", "all"])
        alarm = kind == "reminder" and self.rng.random() < 0.12
        parts, _ = self.phrase(p.FIND_ALARM if alarm else p.FIND[kind])
        segments, arguments = self.fill(parts, self.query_slots(kind))
        if alarm:
            arguments["text"] = "alarm"
        text, arguments = self.finish(segments, arguments)
        return text, [call("find", kind=kind, **arguments)]

    def cancel(self):
        r = self.rng.random()
        kind = self.pick(list(p.CANCEL))
        if r < 0.5:
            parts, _ = self.phrase(p.CANCEL[kind])
            segments, arguments = self.fill(parts, self.query_slots(kind))
        elif r < 0.65:
            kind = "event"
            parts, _ = self.phrase(p.CANCEL_DAY)
            segments, arguments = self.fill(parts, self.query_slots(kind))
        elif r < 0.68:
            kind = self.pick(["event", "event", "reminder", "timer"])
            several = kind != "timer" and self.rng.random() < 0.5
            one = self.pick({"event": ["appointment", "event"]}.get(kind, [kind]))
            parts, _ = self.phrase(
                (p.CANCEL_ALL_WHEN if several else p.CANCEL_WHEN)
                if kind != "timer"
                else p.CANCEL_LAST
            )

            def when_slots(name):
                if name in ("kind", "kinds"):
                    return one + ("s" if name == "kinds" else ""), {}
                return self.moment_slots(name)

            segments, arguments = self.fill(parts, when_slots)
            if several:
                arguments["text"] = "all"
        elif r < 0.75:
            parts, _ = self.phrase(p.CANCEL_ALARM)
            segments, arguments = self.fill(parts, self.moment_slots)
            text, arguments = self.finish(segments, arguments)
            return text, [call("cancel", kind="reminder", text="alarm", **arguments)]
        else:
            one, many = KINDS[kind]
            if kind == "event" and self.rng.random() < 0.5:
                one, many = self.pick(
                    [("event", "events"), ("meeting", "meetings"), ("entry", "entries")]
                )
            block = p.CANCEL_ALL if r < 0.84 else p.CANCEL_LAST if r < 0.92 else p.CANCEL_NUMBER
            if self.later and kind == "event" and r < 0.84 and self.rng.random() < 0.5:
                block = p.CANCEL_ALL_CALENDAR
            number = self.m.some(9)
            nth = self.pick([NTH[number - 1], ordinal(number)])

            def slots(name):
                if name in ("i", "nth"):
                    return (self.m.said(number) if name == "i" else nth), {"number": number}
                return {"kind": one, "kinds": many}[name]

            parts, _ = self.phrase(block)
            segments, arguments = self.fill(parts, slots)
            if r < 0.84:
                arguments["text"] = "all"
        text, arguments = self.finish(segments, arguments)
        return text, [call("cancel", kind=kind, **arguments)]

    def new_moment(self):
        """Where something is moved to: day, time or both."""
        r = self.rng.random()
        if r < 0.35:
            said, spelling = self.m.clock()
            return said, {"time": spelling}
        if r < 0.65:
            while True:
                said, spelling = self.m.day()
                if not said.startswith("in "):
                    break
            for word in ("on ", "at ", "this coming "):
                said = said[len(word) :] if said.startswith(word) else said
            return said, {"day": spelling}
        said, day = self.pick([self.m.weekday, lambda: ("tomorrow", "tomorrow"), self.m.date])()
        clock, time = self.m.clock()
        return f"{said} {self.pick(['at ', 'at ', ''])}{clock}", {"day": day, "time": time}

    def to_slots(self, kind):
        inner = self.query_slots(kind)

        def slots(name):
            if name in ("to", "until"):
                said, arguments = self.new_moment()
                word = self.pick(
                    ["to ", "to ", "to ", "until ", "on to "]
                    if name == "to"
                    else ["to ", "until ", "till "]
                )
                return word + said, arguments
            if name == "new":
                return self.new_moment()
            if name == "at":
                said, time = self.m.clock()
                if self.rng.random() < 0.6:
                    return "at " + said, {"time": time}
                said, day = self.pick([self.m.weekday, self.m.date_on, self.m.plain_day])()
                on = "on " if day in DAYS and not said.startswith("on ") else ""
                return on + said, {"day": day}
            if name in ("old", "old_s"):
                said, day = (
                    self.m.weekday() if self.rng.random() < 0.7 else ("tomorrow", "tomorrow")
                )
                if name == "old" and self.rng.random() < 0.25:
                    said, day = self.m.clock()
                return said + ("'s" if name == "old_s" else ""), {"from": day}
            return inner(name)

        return slots

    def change(self):
        r = self.rng.random()
        if r < 0.18:
            parts, _ = self.phrase(p.SNOOZE)
            segments, arguments = self.fill(parts, self.moment_slots)
            text, arguments = self.finish(segments, arguments)
            return text, [call("change", kind="reminder", **arguments)]
        kind = "event" if r < 0.75 else "reminder"
        block = p.CHANGE_FROM if r < 0.42 else p.CHANGE[kind]
        if r > 0.9:
            kind, block = self.pick(
                [
                    ("timer", p.CHANGE_TIMER),
                    ("reminder", p.CHANGE_ALARM),
                    ("reminder", p.CHANGE_NUMBER),
                    ("event", p.CHANGE_NUMBER),
                ]
            )
        number = self.m.some(9)
        inner = self.to_slots(kind)

        def slots(name):
            if name == "kind":
                return kind if kind == "reminder" else self.pick(["appointment", "event"]), {}
            if name in ("i", "nth"):
                nth = self.pick([NTH[number - 1], ordinal(number)])
                return (self.m.said(number) if name == "i" else nth), {"number": number}
            return inner(name)

        parts, _ = self.phrase(block)
        segments, arguments = self.fill(parts, slots)
        if block is p.CHANGE_ALARM:
            arguments["text"] = "alarm"
        text, arguments = self.finish(segments, arguments)
        return text, [call("change", kind=kind, **arguments)]

    def undo(self):
        parts, _ = self.phrase(p.UNDO)
        text, _ = self.finish(self.fill(parts, self.moment_slots)[0])
        return text, [call("undo")]

    def dates(self):
        r = self.rng.random()
        block = (
            p.TIME
            if r < 0.17
            else (
                p.DATE_TODAY
                if r < 0.32
                else (
                    p.DATE_OF
                    if r < 0.54
                    else p.DATE_FAR if r < 0.74 else p.DATE_TIME if r < 0.8 else p.DAYS
                )
            )
        )
        parts, _ = self.phrase(block)

        def slots(name):
            if name == "day_of":
                said, spelling = self.pick([self.m.day, self.m.day, self.m.ahead, self.m.past])()
                return said, {"day": spelling}
            if name == "feast":
                said, spelling = self.m.feast()
                return said, {"day": spelling}
            if name == "feast_year":
                said, spelling = self.m.feast(ahead=True)
                year = 2024 + self.m.some(12)
                return f"{said}{self.pick([' ', ' ', ' in '])}{year}", {"day": f"{spelling} {year}"}
            if name in ("feast1", "feast2"):
                said, spelling = self.m.feast()
                return said, {"from" if name == "feast1" else "to": spelling}
            if name in ("from", "to"):
                said, spelling = self.pick(
                    [self.m.date] * 4 + [self.m.numeric, self.m.plain_day]
                )()
                return said, {name: spelling}
            if name == "day" and self.rng.random() < 0.2:
                said, spelling = self.m.date_on()
                occasion = self.pick(OCCASIONS) if self.rng.random() < 0.6 else self.event_text()
                if occasion.startswith(("my ", "the ")):
                    return f"{occasion} {said}", {"day": spelling}
                return f"{self.pick(['my', 'the', 'our'])} {occasion} {said}", {"day": spelling}
            return self.moment_slots(name)

        segments, arguments = self.fill(parts, slots)
        text, arguments = self.finish(segments, arguments)
        if block is p.TIME:
            return text, [call("time")]
        if block is p.DATE_TODAY:
            arguments = {"day": "today"}
        return text, [call("days" if block is p.DAYS else "date", **arguments)]

    def calculate(self):
        r = self.rng.random()
        said, spelling = (
            self.s.command() if r < 0.24 else self.s.fact() if r < 0.32 else self.s.expression()
        )
        parts, marks = self.phrase(p.CALC_DO if r < 0.32 else p.CALC)
        segments, _ = self.fill(parts, lambda s: said)
        if "no_add" in marks and segments[0][0].startswith("add up") and "+" not in spelling:
            segments[0][0] = "calculate "
        text, _ = self.finish(segments)
        if spelling.endswith("!") and not text.endswith(("!", "?", "factorial")):
            text = text.rstrip(".")
        return text, [call("calculate", expr=spelling)]

    def convert(self):
        said, arguments = self.s.quantity()
        one = self.rng.random() < 0.16
        if one:
            arguments["value"] = 1
        parts, _ = self.phrase(p.CONVERT_ONE if one else p.CONVERT)
        segments, _ = self.fill(parts, lambda s: said[s])
        for i in range(len(segments) - 1):  # 5km, 75kg
            if (
                segments[i][0] == said["v"]
                and segments[i + 1][0] == " "
                and said["v"][-1:].isdigit()
                and len(said["f"]) < 4
                and self.rng.random() < 0.5
            ):
                segments[i + 1][0] = ""
        text, _ = self.finish(segments)
        return text, [call("convert", **arguments)]

    def help(self):
        topic = self.pick(list(p.HELP))
        parts, _ = self.phrase(p.HELP[topic])
        text, _ = self.finish(self.fill(parts, self.moment_slots)[0])
        return text, [call("help", topic=topic)]

    def beyond_slots(self, name):
        if name in LISTS:  # a word of a list may have slots, but no choices: code has brackets
            word = self.pick(LISTS[name])
            return re.sub(r"\{(\w+)\}", lambda slot: self.beyond_slots(slot[1]), word)
        if name == "num":
            return self.s.number(False)[0]
        if name == "own":
            return self.pick(OWN)
        if name == "mo_":
            return self.pick(w.MONTHS)
        if name in ("when", "bare", "clock", "on"):  # times in what is not for the tools
            return self.moment_slots(name)[0]
        if name == "pasted":  # a message that says when, from somebody to somebody
            form = self.pick(PASTED)
            return re.sub(r"\{(\w+)\}", lambda slot: self.beyond_slots(slot[1]), form)
        if name == "few":
            return self.m.said(2 + self.m.some(12))
        if name == "snippet":
            n = 3 + self.m.some(9)
            return "".join(self.pick(SNIPPETS) for _ in range(n)).strip()
        if name == "year":
            return str(1100 + int(self.rng.random() * 920))
        if name == "k_":
            return self.pick(
                [
                    "boss",
                    "mother",
                    "teacher",
                    "landlord",
                    "girlfriend",
                    "colleague",
                    "neighbour",
                    "team",
                    "grandfather",
                    "sister",
                    "wife",
                    "husband",
                    "son",
                    "customer",
                ]
            )
        if name in ("noun", "nouns"):
            return self.pick(w.NOUNS) + ("s" if name == "nouns" else "")
        if name == "verb":
            return self.pick(w.VERBS)
        if name == "adj":
            return self.pick(w.ADJECTIVES)
        if name == "do":
            return self.do()
        if name == "clause":
            return self.clause()
        if name == "event":
            return self.event_text()
        if name in ("c", "o", "k", "g"):
            return self.pick(self.LISTS[name])
        return self.person() if name == "n" else self.unusual()

    def escalate(self):
        reason = self.pick(
            [
                "knowledge",
                "knowledge",
                "live",
                "live",
                "writing",
                "translation",
                "code",
                "math",
                "advice",
                "action",
                "action",
                "action",
                "other",
                "other",
            ]
        )
        parts, _ = self.phrase(beyond.ESCALATE[reason])
        segments, _ = self.fill(parts, self.beyond_slots)
        first = segments[0][0].split(" ")[0]
        if first in ORDERS and segments[0][1] is None and self.rng.random() < 0.25:
            segments.insert(0, [self.pick(ASKED) + " ", None])
        text, _ = self.finish(segments)
        return text, [call("escalate", reason=reason)]

    def talk(self):
        block, answers = self.pick(TALK)
        parts, _ = self.phrase(block)
        text, _ = self.finish(self.fill(parts, self.moment_slots)[0])
        return text, self.pick(answers)
