"""Conversations: what is asked, what the assistant does or asks back, and what follows from it."""

from makes import Again, KINDS, Maker, call
from moments import NTH, ordinal
from phrases import ASK, asks as p
from sums import UNITS

# how often each is asked
WEIGHTS = [
    ("remind", 20),
    ("timer", 10),
    ("event", 22),
    ("note", 11),
    ("list", 10),
    ("find", 12),
    ("cancel", 11),
    ("change", 11),
    ("undo", 1),
    ("dates", 12),
    ("calculate", 20),
    ("convert", 12),
    ("help", 10),
    ("talk", 8),
    ("escalate", 66),
    ("reminders", 2),
]
NAMES = [name for name, weight in WEIGHTS for _ in range(int(weight * 2))]


def user(text):
    return {"role": "user", "content": text}


def says(text):
    return {"role": "assistant", "content": text}


def does(calls, outcome="ok"):
    """The call, and what came of it."""
    message = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": c} for c in calls],
    }
    return [message] + [{"role": "tool", "content": outcome} for _ in calls]


class Talks:
    def __init__(self, rng, reserved, later=False):
        self.rng = rng
        self.k = Maker(rng, reserved, later)

    def single(self, name=None):
        """(text, calls), or the answer in words in place of the calls."""
        name = name or self.k.pick(NAMES)
        while True:
            text, answer = getattr(self.k, name)()
            if text.strip(" .?!"):
                return text, answer

    def exchange(self, name=None):
        text, answer = self.single(name)
        if isinstance(answer, str):
            return [user(text), says(answer)]
        outcome = "ok"
        if (
            answer[0]["name"] in ("list", "find", "cancel", "change", "undo")
            and self.rng.random() < 0.15
        ):
            outcome = "nothing found"
        return [user(text)] + does(answer, outcome)

    # ---- what is missing is asked for ----

    def reply(self, segments, arguments):
        r = self.rng.random()
        if r < 0.2:
            segments.insert(
                0,
                [
                    self.k.pick(
                        [
                            "oh ",
                            "um ",
                            "ok, ",
                            "hm, ",
                            "let's say ",
                            "maybe ",
                            "well, ",
                            "sorry, ",
                            "make it ",
                            "I think ",
                        ]
                    ),
                    None,
                ],
            )
        elif r < 0.3:
            segments.append(
                [
                    self.k.pick([" please", " I think", " would be good", " is fine", ", thanks"]),
                    None,
                ]
            )
        return self.k.finish(segments, arguments, framed=False)

    def a_moment(self, event=False):
        said, moment = self.k.m.when(0.0 if event else 0.25, 0.25)
        return self.reply([[said, None]], moment)

    def asked(self):
        which = int(self.rng.random() * len(ASK))
        question, block = ASK[which]
        k = self.k
        name = k.timer_name()
        amount, known = k.s.quantity()

        def slots(slot):
            if slot in ("do", "of"):
                return "copy", k.do() if slot == "do" else k.of()
            if slot == "event":
                return "copy", k.event_text()
            if slot == "name":
                return "copy", name
            if slot in ("v", "f"):
                return amount[slot]
            if slot == "when" and which == 5:
                return k.m.when(0.0, 0.35)
            return k.moment_slots(slot)

        parts, _ = k.phrase(block)
        segments, arguments = k.fill(parts, slots)
        k.no_travel(segments)
        text, arguments = k.finish(segments, arguments)
        out = [user(text), says(question)]
        r = self.rng.random()
        if r < 0.35:
            return out
        if r < 0.4:
            answer, _ = self.reply(
                [
                    [
                        k.pick(
                            [
                                "never mind",
                                "forget it",
                                "nothing",
                                "nevermind",
                                "nvm",
                                "doesn't matter",
                            ]
                        ),
                        None,
                    ]
                ],
                {},
            )
            return out + [user(answer), says(k.pick(["All right.", "No problem."]))]
        return out + getattr(
            self,
            ["ask_when", "ask_what", "ask_length", "ask_note", "ask_day", "ask_event", "ask_unit"][
                which
            ],
        )(text, arguments, known)

    def ask_when(self, text, arguments, _):
        if "text" not in arguments:
            words = text.lower()
            wake = any(s in words for s in ("wake", "wak", "get me up", "woken"))
            arguments["text"] = "wake up" if wake else "alarm"
        answer, moment = self.a_moment()
        if self.rng.random() < 0.12:
            said, moment = self.k.m.every()
            answer, moment = self.reply([[said, None]], moment)
        return [user(answer)] + does([call("remind", **arguments, **moment)])

    def ask_what(self, _text, arguments, _):
        first = self.k.pick(["", "", "to ", "that I have to "])
        if first == "that I have to ":
            first = "to "
        answer, said = self.k.finish(
            [[first, None], [self.k.do(), "text"]] if first else [[self.k.do(), "text"]], {}, False
        )
        arguments = {**arguments, **said}
        if len(arguments) > 1:
            return [user(answer)] + does([call("remind", **arguments)])
        more, moment = self.a_moment()
        return [user(answer), says("When should I remind you?"), user(more)] + does(
            [call("remind", **arguments, **moment)]
        )

    def ask_length(self, _text, arguments, _):
        said, length = self.k.m.length()
        if self.rng.random() < 0.12:
            number = self.k.pick([5, 10, 15, 20, 30, 45, self.k.m.some(90)])
            said, length = self.k.m.said(number), f"{number} min"
        answer, given = self.reply([[self.k.pick(["", "", "for "]) + said, None]], {"in": length})
        return [user(answer)] + does([call("timer", **arguments, **given)])

    def ask_note(self, _text, _arguments, _):
        note = self.k.note_text()
        if self.rng.random() < 0.3:  # it sounds like an entry, and is what was asked for
            note = f"{self.k.event_text()} {self.k.m.when()[0]}"
        segments = [[note, "text"]]
        if self.rng.random() < 0.25:
            segments.insert(0, ["that ", None])
        answer, given = self.k.finish(segments, {}, False)
        return [user(answer)] + does([call("note", **given)])

    def ask_day(self, _text, arguments, _):
        r = self.rng.random()
        if r < 0.25:
            said, moment = self.k.m.range() if r < 0.15 else self.k.m.every()
            answer, moment = self.reply([[said, None]], moment)
        else:
            answer, moment = self.a_moment(True)
        return [user(answer)] + does([call("event", **arguments, **moment)])

    def ask_event(self, _text, arguments, _):
        answer, given = self.k.finish([[self.k.event_text(), "text"]], {}, False)
        arguments = {**arguments, **given}
        if len(arguments) > 1:
            return [user(answer)] + does([call("event", **arguments)])
        more, moment = self.a_moment(True)
        return [user(answer), says("When is it?"), user(more)] + does(
            [call("event", **arguments, **moment)]
        )

    def ask_unit(self, _text, _arguments, known):
        kind = next(
            kind for kind, units in UNITS.items() if known["to"] in units and known["from"] in units
        )
        said = self.k.s.name(kind, known["to"])
        answer, _ = self.reply([[self.k.pick(["", "", "to ", "into ", "in "]) + said, None]], {})
        return [user(answer)] + does([call("convert", **known)])

    # ---- what follows ----

    def follow(self):
        r, k = self.rng.random(), self.k
        name = k.pick(["remind", "event", "timer", "note", "remind", "event"])
        text, calls = self.single(name)
        out = [user(text)] + does(calls)
        kind = {"remind": "reminder"}.get(name, name)
        if len(calls) > 1:
            return out
        if r < 0.3:
            answer, _ = k.finish(k.fill(k.phrase(p.FOLLOW_CANCEL)[0], k.moment_slots)[0])
            out += [user(answer)] + does([call("cancel", kind=kind)])
            return out + self.undone() if self.rng.random() < 0.25 else out
        if r < 0.72 and kind != "note":
            block = p.CORRECT_LEN if kind == "timer" else p.CORRECT
            length = calls[0]["arguments"].get("in", "")
            if kind == "timer" and length.count(" ") == 1 and self.rng.random() < 0.5:
                return out + self.another_number(kind, length)
            old = [v for key, v in calls[0]["arguments"].items() if key in ("day", "time")]

            def slots(slot):
                if slot == "old":
                    return k.pick(old) if old else k.m.weekday()[0]
                if slot == "new":
                    return k.new_moment()
                return k.moment_slots(slot)

            segments, arguments = k.fill(k.phrase(block)[0], slots)
            answer, arguments = k.finish(segments, arguments)
            return out + [user(answer)] + does([call("change", kind=kind, **arguments)])
        if r < 0.8:
            return out + self.undone()
        return out + self.exchange(k.pick(["talk", "list", "remind", "event"]))

    def another_number(self, kind, length):
        """A timer's number alone is put right; its unit stays."""
        k = self.k
        before, unit = length.split()
        number = k.pick([1, 2, 3, 5, 8, 10, 12, 15, 20, 25, 30, 40, 45, 50, 60, 1 + k.m.some(90)])
        values = {"n": k.m.said(number), "old": k.m.said(int(before))}
        segments, _ = k.fill(k.phrase(p.CORRECT_NUMBER)[0], lambda s: values[s])
        answer, _ = k.finish(segments)
        return [user(answer)] + does([call("change", kind=kind, **{"in": f"{number} {unit}"})])

    def undone(self):
        text, calls = self.single("undo")
        return [user(text)] + does(calls)

    def numbered(self):
        """A list, then one of it by its number."""
        k = self.k
        kind = k.pick(list(KINDS))
        while True:
            text, calls = self.single(k.pick(["list", "list", "cancel"]))
            if calls[0]["arguments"].get("kind") == kind:
                break
        which = calls[0]["name"] == "cancel"
        out = [user(text)] + does(calls, "which" if which else "ok")
        number = k.m.some(6)
        nth = k.pick([NTH[number - 1], ordinal(number)])

        def slots(slot):
            return {"i": k.m.said(number), "nth": nth}[slot], {"number": number}

        answer, arguments = k.finish(*k.fill(k.phrase(p.FOLLOW_NUMBER)[0], slots))
        if not which and not answer.lower().startswith(
            ("cancel", "delete", "remove", "drop", "scrap", "take")
        ):
            answer = "delete " + answer[0].lower() + answer[1:]
        return out + [user(answer)] + does([call("cancel", kind=kind, **arguments)])

    # ---- a conversation ----

    def conversation(self):
        out = []
        n = 1
        while self.rng.random() < 0.4 and n < 5:
            n += 1
        while n:
            r = self.rng.random()
            part = (
                self.asked
                if r < 0.16
                else self.follow if r < 0.26 else self.numbered if r < 0.28 else self.exchange
            )
            try:
                out += part()
            except Again:
                continue
            n -= 1
        while out[-1]["role"] == "tool":  # nothing is learnt from it
            out.pop()
        return out
