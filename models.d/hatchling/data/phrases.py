"""The phrases of phrases.txt and beyond.txt, by section: a name gives its lines as a block, a name
with kinds ('# LIST/note') a dict of blocks. Those of later.txt join them where they are wanted."""

import os

HERE = os.path.dirname(os.path.abspath(__file__))


def sections(name):
    """{section: its lines}; what stands before the first is the file's own comment."""
    out, lines = {}, []
    with open(os.path.join(HERE, name), encoding="utf-8") as handle:
        for line in handle.read().splitlines():
            if line.startswith("# "):
                lines = out.setdefault(line[2:], [])
            elif line:
                lines.append(line)
    return out


class Blocks:
    """Sections as members."""

    def __init__(self, name):
        self.sections = sections(name)
        for key, lines in self.sections.items():
            name, _, kind = key.partition("/")
            if kind:
                self.__dict__.setdefault(name, {})[kind] = self.block(lines)
            else:
                self.__dict__[name] = self.block(lines)

    @staticmethod
    def block(lines):
        """The phrases; answers (after =>) are apart."""
        return "\n".join(line for line in lines if not line.startswith("=> "))

    def answers(self, section):
        """What is said to it."""
        return [line[3:] for line in self.sections[section] if line.startswith("=> ")]

    def lines(self):
        """All phrases."""
        for lines in self.sections.values():
            yield from (line for line in lines if not line.startswith("=> "))

    def widen(self, more):
        """Adds another file's phrases."""
        for key, lines in more.sections.items():
            name, _, kind = key.partition("/")
            home, place = self.__dict__, name
            if kind:
                home, place = home.setdefault(name, {}), kind
            before = [home[place]] if place in home else []
            home[place] = "\n".join(before + [self.block(lines)])


asks = Blocks("phrases.txt")
later = Blocks("later.txt")
beyond = Blocks("beyond.txt")
TIMER_NAMES = [name.replace("_", " ") for name in asks.TIMER_NAMES.splitlines()]
TALK = [(block, beyond.answers(f"TALK/{i}")) for i, block in beyond.TALK.items()]
ASK = [(beyond.answers(f"ASK/{i}")[0], block) for i, block in beyond.ASK.items()]
LISTS = {slot: block.splitlines() for slot, block in beyond.LISTS.items()}
