#!/usr/bin/env python3
"""Writes conversations with the assistant, to train a model on: JSON lines, one conversation each.

    models.d/hatchling/generate.py OUT.jsonl [--count N] [--seed N]    N conversations (200,000)
    models.d/hatchling/generate.py OUT.jsonl --later ...               with the phrases of later.txt
    models.d/hatchling/generate.py --check                             against the test set

All of it comes from the grammars and word lists in data/; nothing is fetched, and the same seed
gives the same bytes on every machine. An utterance of the test set, or one that differs from it in
case and marks alone, is never written; nor is a reading of a phrase that shares five words in a row
with one, which is decided by the program, so that nobody has to look at the test set. --check
counts these, refuses lines and word lists that have no other reading, and draws examples: calls
must fit tools.json.
"""

import argparse
import json
import os
import random
import re
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "data"))
import grammar  # noqa: E402
from phrases import asks, beyond, later  # noqa: E402
import words  # noqa: E402
from talks import Talks  # noqa: E402


def test_set():
    """The users' words of all test files."""
    for name in sorted(os.listdir(HERE)):
        if not re.fullmatch(r"(dev|final)[-0-9]*\.jsonl", name):
            continue
        with open(os.path.join(HERE, name), encoding="utf-8") as lines:
            for line in lines:
                for message in json.loads(line)["messages"]:
                    if message["role"] == "user":
                        yield message["content"]


def texts_of(value):
    """Every text in a table."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from texts_of(inner)


def templates():
    """(whether it has readings, line, its readings) of all phrases and the word lists' texts."""
    for blocks in (asks, beyond, later):
        for line in blocks.lines():
            yield True, line, grammar.spell_out(grammar.parse(line.split(" @")[0]))
    for name, value in vars(words).items():
        if not name.startswith("_"):
            for text in texts_of(value):
                yield False, text, [grammar.spell_out(grammar.parse(text))[0]]


def reserved_runs():
    return {run for text in test_set() for run in grammar.runs(text)}


def check():
    """Readings that share a run are never drawn; a line all of whose readings do, and a text of the
    word lists that does, has to go."""
    reserved = reserved_runs()
    n = left_out = lost = 0
    for choices, line, readings in templates():
        bad = sum(any(run in reserved for run in grammar.runs(r)) for r in readings)
        n += len(readings)
        left_out += bad
        if bad and (not choices or bad == len(readings)):
            lost += 1
            print(f"shares {grammar.RUN} words in a row with the test set: {line.strip()}")
    print(f"{n} readings, {left_out} of them never drawn")
    if left_out > n // 50:
        lost += 1
        print("too many of them: the phrases lean on the test set")
    return check_calls(reserved) and not lost


def check_calls(reserved):
    """Examples drawn: every call fits its schema, and copied texts stand in what was said."""
    with open(os.path.join(HERE, "tools.json"), encoding="utf-8") as handle:
        tools = {t["function"]["name"]: t["function"]["parameters"] for t in json.load(handle)}
    talks, bad, n = Talks(random.Random(7), reserved), 0, 0
    for i in range(8000):
        if i == 4000:
            asks.widen(later)
            talks = Talks(random.Random(8), reserved, later=True)
        said = ""
        for message in talks.conversation():
            if message["role"] == "user":
                said += "\n" + " ".join(message["content"].split())
            for one in message.get("tool_calls", []):
                n += 1
                wrong = misfit(tools, one["function"], said)
                if wrong:
                    bad += 1
                    print(f"{wrong}: {one['function']} after {said!r}")
    print(f"{n} calls drawn, {bad} that do not fit")
    return bad == 0


def misfit(tools, call, said):
    schema = tools.get(call["name"])
    if not schema:
        return "no tool"
    given = call["arguments"]
    if [k for k in schema["properties"] if k in given] != list(given):
        return "unknown arguments, or out of order"
    if any(k not in given for k in schema["required"]):
        return "arguments are missing"
    for key, value in given.items():
        rule = schema["properties"][key]
        if "pattern" in rule and not re.search(rule["pattern"], value):
            return f"{key} does not match"
        if "enum" in rule and value not in rule["enum"]:
            return f"{key} is none of the words"
        if key == "text" and not value:
            return "an empty text"
        copied = value not in ("all", "alarm", "wake up")
        if key == "text" and copied and value not in said:
            return "the text was not said"
    return None


def write(path, count, seed, wide):
    reserved = {tuple(grammar.words_of(text)) for text in test_set()}
    if wide:
        asks.widen(later)
    talks, tokens = Talks(random.Random(seed), reserved_runs(), wide), 0
    with open(path, "w", encoding="utf-8") as out:
        done = 0
        while done < count:
            messages = talks.conversation()
            if any(
                m["role"] == "user" and tuple(grammar.words_of(m["content"])) in reserved
                for m in messages
            ):
                continue
            line = json.dumps({"messages": messages}, ensure_ascii=False)
            out.write(line + "\n")
            tokens += len(line)
            done += 1
    print(f"{done} conversations, {tokens} bytes", file=sys.stderr)


def main():
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("output", nargs="?")
    parse.add_argument("--count", type=int, default=200000)
    parse.add_argument("--seed", type=int, default=1)
    parse.add_argument("--later", action="store_true", help="with the phrases of later.txt")
    parse.add_argument("--check", action="store_true", help="hold it against the test set")
    options = parse.parse_args()
    if options.check:
        sys.exit(not check())
    if not options.output:
        parse.error("which file shall be written?")
    write(options.output, options.count, options.seed, options.later)


if __name__ == "__main__":
    main()
