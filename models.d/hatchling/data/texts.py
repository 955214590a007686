"""What is copied into calls: names, things, what one has to do, entries, notes; listed ones, and
ones put together from parts, so that no list bounds what is learnt to be copied."""

import words as w
from grammar import parsed
from moments import DAYS
from spans import Spans


class Texts:
    def __init__(self, rng):
        self.rng = rng
        self.m = Spans(rng)

    def pick(self, values):
        return values[int(self.rng.random() * len(values))]

    def unusual(self):
        """A word nobody lists: everyday ones, and made up ones, so that copying is learnt."""
        r = self.rng.random()
        if r < 0.3:
            return self.pick(w.EVERYDAY)
        if r < 0.58:
            return self.pick(w.NOUNS)
        word = "".join(self.pick(w.SYLLABLES) for _ in range(2 + (self.rng.random() < 0.4)))
        word += self.pick(w.ENDINGS)
        return word.capitalize() if r > 0.88 else word

    def plain(self):
        """A noun of the dictionary, at times two."""
        r = self.rng.random()
        if r < 0.7:
            return self.pick(w.NOUNS)
        if r < 0.85:
            return self.pick(w.EVERYDAY)
        return self.pick(w.EVENT_MODS if r < 0.93 else w.NOUNS) + " " + self.pick(w.NOUNS)

    def person(self):
        r = self.rng.random()
        if r < 0.52:
            return self.pick(w.NAMES)
        if r < 0.64:
            return self.pick(w.TITLES) + " " + self.pick(w.SURNAMES)
        if r < 0.72:
            return self.pick(w.NAMES) + " " + self.pick(w.SURNAMES)
        return self.unusual().capitalize() if r < 0.88 else self.pick(w.KIN)

    def code(self):
        r = self.rng.random()
        digits = "".join(self.pick("0123456789") for _ in range(self.pick([2, 3, 4, 4, 5, 6])))
        if r < 0.42:
            return digits
        if r < 0.58:
            return self.unusual() + digits[:2]
        if r < 0.64:
            return digits + self.pick("ABCDEFGHKLMNPRSTUVWXYZ")
        if r < 0.7:
            return f"{digits[:2]}-{digits[1:]}"
        if r < 0.76:
            return f"{self.pick(['0', '+4', '01'])}{digits} {digits[:2]} {digits[-2:]}"
        if r < 0.81:
            return f"{self.unusual()} {digits[:3]}{self.pick(['', ' xl', ' b', ' mini'])}"
        if r < 0.88:
            return "".join(self.pick("ABCDEFGHKLMNPRSTUVWXYZ") for _ in range(2)) + digits
        return (
            f"{digits[:2]}.{digits[2:3] or 5}" if r < 0.94 else f"{digits[:3]} {digits[::-1][:3]}"
        )

    LISTS = {
        "o": w.OFFICES,
        "k": w.KIN,
        "g": w.GROCERIES,
        "d": w.THINGS,
        "a": w.ANIMALS,
        "f": w.FOODS,
        "m": w.MUSIC,
        "l": w.SUBJECTS,
        "s": w.SHOWS,
        "c": w.CITIES,
        "t": w.NOTE_TOPICS,
        "p": w.PLACES,
        "q": w.PARKED,
        "x": w.OBJECTS,
        "mo": w.MONTHS,
        "u": w.SURNAMES,
    }

    def text(self, template):
        """A text of the word lists, whole."""
        out = []
        for part in parsed(template):
            if not isinstance(part, tuple):
                out.append(part)
                continue
            slot = part[1]
            if slot == "n":
                out.append(self.person())
            elif slot == "w":
                out.append(self.unusual())
            elif slot == "r":
                out.append(self.code())
            elif slot == "i":
                out.append(self.m.said(self.m.some(self.pick([12, 40, 200]))))
            elif slot == "v":
                out.append(self.plain())
            elif slot == "y":
                out.append(self.pick(w.VERBS))
            elif slot == "j":
                out.append(self.pick(w.ADJECTIVES))
            elif slot == "dy":
                out.append(self.pick(DAYS))
            elif slot == "a_p":
                out.append(self.pick(w.NOTE_PREPOSITIONS))
            elif slot == "x2":
                out.append(self.unusual())
            else:
                value = self.pick(self.LISTS[slot])
                out.append(self.text(value) if "{" in value else value)
        return "".join(out)

    def thing(self):
        """Something one has, needs or gives."""
        if self.rng.random() < 0.45:
            return self.text(self.pick(w.THINGS))
        adjective = self.pick(w.ADJECTIVES) + " " if self.rng.random() < 0.3 else ""
        noun = self.plain() if self.rng.random() < 0.85 else self.unusual()
        return " ".join(
            f"{self.text(self.pick(w.DETERMINERS))} {adjective}{noun}".split()
        ) + self.pick(["", "", "", "s"])

    def do(self):
        r = self.rng.random()
        if r < 0.6:
            text = self.text(self.pick(w.VERB_PHRASES))
        elif r < 0.94:
            text = self.pick(w.OPEN_VERBS) + " " + self.thing()
        else:
            text = self.pick(w.VERBS)
        r = self.rng.random()
        if r < 0.05:
            text += " and " + self.text(self.pick(w.VERB_PHRASES))
        elif r < 0.24:
            text += " " + self.text(self.pick(w.DO_TAILS))
        return text

    def of(self):
        r = self.rng.random()
        if r < 0.4:
            return self.thing()
        if r < 0.65:
            name = self.event_text()
            if name.startswith(("the ", "my ")):
                return name
            return self.pick(["the ", "my ", "the ", "", "our "]) + name
        if r < 0.75:
            return self.clause()
        if r < 0.79:
            return self.text(self.pick(["{v}s", "{v}", "{g}", "{j} {v}", "{w}"])) + (
                " " + self.pick(w.PARTICLES)
            )
        if r < 0.85:
            return ", ".join(self.text("{g}") for _ in range(2 + int(self.rng.random() * 2)))
        return self.text(
            self.pick(["{w}", "the {w}", "{g}", "{n}'s {w}", "my {w}", "{v}", "{v} {v}", "{j} {v}"])
        )

    def event_text(self):
        """What an entry of the calendar is called."""
        r = self.rng.random()
        if r < 0.42:
            return self.text(self.pick(w.EVENTS))
        if r < 0.74:
            first = self.pick(w.EVENT_MODS) if r < 0.66 else self.plain()
            text = f"{first} {self.pick(w.EVENT_HEADS)}"
        elif r < 0.84:
            text = self.pick([self.plain, self.unusual, lambda: self.pick(w.EVENT_HEADS)])()
        elif r < 0.91:
            return self.text(self.pick(w.ACTIVITIES))
        elif r < 0.96:
            return self.text(self.pick(w.HAPPENINGS))
        else:
            text = self.text(self.pick(["{n}'s {v}", "{k}'s birthday", "{n}'s "])).rstrip()
            if text.endswith("'s"):
                text += f" {self.pick(w.EVENT_MODS)} {self.pick(w.EVENT_HEADS)}"
        if self.rng.random() < 0.3:
            text += " " + self.text(self.pick(w.EVENT_TAILS))
        return text

    def note_text(self):
        note = self.text(self.pick(w.NOTES if self.rng.random() < 0.5 else w.OPEN_NOTES))
        r = self.rng.random()
        if r < 0.08:
            note += self.pick([" and ", ", "]) + self.text(self.pick(w.NOTES))
        elif r < 0.16:
            note += " " + self.text(self.pick(w.DO_TAILS))
        elif r < 0.24:
            note = self.do()
        return note

    def clause(self):
        return self.text(
            self.pick(
                [
                    "{n} is coming",
                    "{n} comes at {i}",
                    "the {w} is ready",
                    "I promised {n} {d}",
                    "{k} is waiting",
                    "the {o} closes early",
                    "{n}'s flight lands",
                    "the {f} is done",
                    "{n} needs {d}",
                    "the {w} ends",
                    "{n} is on holiday",
                    "the shop closes soon",
                    "I have to leave early",
                    "{n} called",
                    "{k} has a birthday",
                    "it is {n}'s birthday",
                    "the guests arrive",
                    "the {s} starts",
                    "school is out",
                    "rent is due",
                    "{d} must go back",
                    "the {v} of the {v} ends",
                    "the {v} on the {v} runs out",
                    "the {j} {v} is due",
                    "{n}'s {v} expires",
                    "my {v} is up for renewal",
                    "the {v} needs {d}",
                    "the {v} and the {v} are {j}",
                    "we are out of {g}",
                    "there is no {g} left",
                    "I should {w}",
                    "I will be late",
                ]
            )
        )
