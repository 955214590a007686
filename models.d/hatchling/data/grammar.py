"""Phrases with choices and slots: parsed once, drawn from often, and spelled out for the check."""

import functools
import re

RUN = 5  # words in a row that no phrase may share with the test set


class Choice:
    def __init__(self, options):
        self.options = options  # each a list of str, slot tuple or Choice


def parse(text):
    """A list of parts: str, ("slot", name), Choice."""
    at = 0

    def sequence(closing):
        nonlocal at
        parts = []
        while at < len(text) and not (closing and text[at] in "|)"):
            if text[at] == "(":
                at += 1
                options = [sequence(True)]
                while text[at] == "|":
                    at += 1
                    options.append(sequence(True))
                assert text[at] == ")", text
                at += 1
                parts.append(Choice(options))
            elif text[at] == "{":
                end = text.index("}", at)
                parts.append(("slot", text[at + 1 : end]))
                at = end + 1
            else:
                end = re.compile(r"[({|)]" if closing else r"[({]").search(text, at)
                end = end.start() if end else len(text)
                parts.append(text[at:end])
                at = end
        return parts

    parts = sequence(False)
    assert at == len(text), text
    return parts


@functools.lru_cache(maxsize=None)
def phrases(block):
    """The lines of a block: (parts, marks), where a mark is a word after @ at the end."""
    out = []
    for line in block.strip().splitlines():
        text, *marks = line.split(" @")
        out.append((parse(text.strip()), frozenset(m.strip() for m in marks)))
    return out


@functools.lru_cache(maxsize=None)
def parsed(text):
    return parse(text)


def draw(parts, rng, out):
    """Appends str and slots to `out`."""
    for part in parts:
        if isinstance(part, Choice):
            draw(part.options[int(rng.random() * len(part.options))], rng, out)
        else:
            out.append(part)


def spell_out(parts, most=100000):
    """All texts of a phrase, a slot as \\0."""
    texts = [""]
    for part in parts:
        if isinstance(part, Choice):
            tails = [t for option in part.options for t in spell_out(option, most)]
        elif isinstance(part, tuple):
            tails = [" \0 "]
        else:
            tails = [part]
        texts = [a + b for a in texts for b in tails]
        if len(texts) > most:
            raise ValueError(f"too many readings: {texts[0]}")
    return texts


def words_of(text):
    """Normalised words: small letters, digits and apostrophes; \\0 stays a word of its own."""
    return re.findall(r"\0|[^\W_]+(?:'[^\W_]+)*", text.lower().replace("\u2019", "'"))


def runs(text, n=RUN):
    """The runs of n words between slots."""
    for piece in " ".join(words_of(text)).split("\0"):
        words = piece.split()
        for i in range(len(words) - n + 1):
            yield tuple(words[i : i + n])


def shares(parts, reserved):
    """Whether a drawn phrase (str and slots) has a run of the test set between its slots."""
    text = "".join(part if isinstance(part, str) else " \0 " for part in parts)
    return text.count(" ") >= RUN - 1 and any(run in reserved for run in runs(text))
