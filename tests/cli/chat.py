#!/usr/bin/env python3
"""The chat of `bantam run` on a pseudo-terminal; prints TAP."""
import json
import os
import signal
import subprocess
import sys

from terminal import Terminal, run_tests

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ["BANTAM_BUILD"]
BANTAM = os.path.join(BUILD, "bantam")
MKMODEL = os.path.join(BUILD, "tests", "support", "mkmodel")
# Nothing ends an answer but its limit.
ENDLESS = [word for token in range(311, 320) for word in ("--logit-bias", f"{token}=-inf")]


def chat(*options, ends=False):
    argv = [BANTAM, "run", "m.gguf", "--seed", "1", *([] if ends else ENDLESS), *options]
    terminal = Terminal(argv, env={"HOME": os.getcwd(), "XDG_CACHE_HOME": "", "LC_ALL": "C.UTF-8"})
    terminal.prompt()
    return terminal


def answer(terminal, text):
    """Types a line; what the model said to it."""
    terminal.drain()
    start = len(terminal.product)
    terminal.line(text)
    terminal.wait(text)  # its echo: the prompt that still stands there is not the next one
    terminal.prompt()
    terminal.drain()
    return terminal.product[start:].replace("\0", "")  # which no message holds


def greets_and_ends_with_control_d():
    t = chat("-n", "4")
    assert "context 512 of 512" in t.talk and "sandbox: seccomp" in t.talk, t.talk
    assert answer(t, "Hello").endswith("\n")
    t.type("\x04")
    assert t.end() == 0
    assert "Hello" not in t.product  # what was typed is echoed on the terminal alone


def lives_in_the_sandbox():
    t = chat("-n", "1")
    with open(f"/proc/{t.pid}/status", encoding="ascii") as status:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    assert fields["Seccomp"] == "2" and fields["NoNewPrivs"] == "1", fields
    t.line("/exit")
    assert t.end() == 0


def keeps_the_prefix():
    t = chat("-n", "4", "--temp", "0")
    answer(t, "Hello")
    answer(t, "And now?")
    t.line("/info")
    t.wait("kept from before")
    kept = int(t.talk[t.talk.rindex("read (") + 6:].split()[0])
    assert kept > 10, t.talk[-300:]
    t.line("/quit")
    assert t.end() == 0


def changes_adapters():
    """What was read with other adapters is read again."""
    subprocess.run([sys.executable, os.path.join(HERE, "make_adapter.py"), "peft"], check=True)
    t = chat("-n", "8", "--temp", "0", "--adapter", "peft:0")
    plain = answer(t, "Hello")
    t.line("/adapter 1:2")
    t.wait("1  2 ")
    t.line("/clear")
    adapted = answer(t, "Hello")
    assert adapted != plain, plain
    t.line("/adapter off")
    t.wait("1  0 ")
    t.line("/clear")
    assert answer(t, "Hello") == plain
    t.line("/adapter other.gguf")
    t.wait("none of those named")
    t.line("/exit")
    assert t.end() == 0


def chooses_among_many_adapters():
    subprocess.run([sys.executable, os.path.join(HERE, "make_adapter.py"), "peft"], check=True)
    t = chat("-n", "8", "--temp", "0", *["--adapter", "peft:0"] * 70)
    plain = answer(t, "Hello")
    t.line("/adapter 70:2")
    t.wait("70  2 ")
    t.line("/clear")
    assert answer(t, "Hello") != plain
    t.line("/exit")
    assert t.end() == 0


def the_same_as_without_reuse():
    """With everything fed anew the second answer must be the same."""
    t = chat("-n", "6", "--temp", "0", "--save", "talk.json", "--type-kv", "f32")
    answer(t, "Hello")
    second = answer(t, "And now?")
    t.line("/exit")
    assert t.end() == 0
    with open("talk.json", encoding="utf-8") as file:
        messages = json.load(file)["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant"] * 2
    assert messages[3]["content"] + "\n" == second
    fresh = chat("-n", "6", "--temp", "0", "--type-kv", "f32")
    assert answer(fresh, "Hello") == messages[1]["content"] + "\n"
    fresh.line("/exit")
    assert fresh.end() == 0


def several_lines():
    t = chat("-n", "2", "--save", "lines.json")
    t.line('"""')
    t.line("one")
    t.line('two"""')
    t.prompt()
    t.line("three\\")
    t.line("four")
    t.prompt()
    t.line("/exit")
    assert t.end() == 0
    with open("lines.json", encoding="utf-8") as file:
        said = [m["content"] for m in json.load(file)["messages"] if m["role"] == "user"]
    assert said == ["one\ntwo", "three\nfour"], said


def makes_an_answer_again():
    t = chat("-n", "12", "--temp", "1.5")
    first = answer(t, "Tell me")
    again = answer(t, "/regen")
    assert first != again
    t.line("/save twice.json")
    t.wait("(saved in twice.json)")
    t.line("/exit")
    assert t.end() == 0
    with open("twice.json", encoding="utf-8") as file:
        messages = json.load(file)["messages"]
    assert len(messages) == 2 and messages[1]["content"] + "\n" == again


def saves_only_new_files_when_asked():
    with open("old.txt", "w", encoding="ascii") as file:
        file.write("old")
    t = chat("-n", "2")
    answer(t, "a secret word")
    t.line("/save old.txt")
    t.wait("never replaced")
    t.line("/save .profile")
    t.wait("start with a dot")
    t.line("/save no/folder/here")
    t.wait("No such file")
    t.line("/save")
    t.wait("needs a file")
    t.line("/save new.txt")
    t.wait("(saved in new.txt)")
    t.line("/save new.txt")
    t.wait("(saved in new.txt)")
    t.line("/exit")
    assert t.end() == 0
    with open("old.txt", encoding="ascii") as file:
        assert file.read() == "old"
    with open("new.txt", encoding="utf-8") as file:
        assert "a secret word" in file.read()
    for folder, _, names in os.walk("."):
        for name in names:
            if name in ("new.txt", "m.gguf"):
                continue
            with open(os.path.join(folder, name), "rb") as file:
                assert b"a secret word" not in file.read(), name


def control_c_stops_the_answer_not_the_program():
    t = chat("--context-shift")  # would go on for ever
    t.line("Hello")
    while not t.product:
        t.pump(0.2)
    t.type("\x03")
    t.wait("(stopped)")
    t.prompt()
    t.line("/info")
    t.wait("messages   2")
    t.prompt()
    t.type("half a line")
    t.type("\x03")
    t.wait("Ctrl-C again ends")
    t.prompt()
    t.type("\x03")
    assert t.end() == 0


def a_signal_to_end_ends_it():
    t = chat("--context-shift")
    t.line("Hello")
    while not t.product:
        t.pump(0.2)
    os.kill(t.pid, signal.SIGTERM)
    assert t.end() == 0


def clear_system_and_unknown_commands():
    t = chat("-n", "2")
    answer(t, "Hello")
    t.line("/clear")
    t.wait("(cleared)")
    t.line("/info")
    t.wait("context    0 of")
    t.line("/system Be brief.")
    t.wait("(from now on)")
    t.line("/system")
    t.wait("Be brief.")
    t.line("/regen")
    t.wait("no answer yet")
    t.line("/hlep")
    t.wait("did you mean /help?")
    t.line("/help")
    t.wait("Ctrl-C")
    t.prompt()
    answer(t, "Hello")
    t.line("/info")
    t.wait("messages   3")
    t.line("/exit")
    assert t.end() == 0


def a_full_context_says_what_to_do():
    t = chat("-n", "16", "--ctx", "96")
    for _ in range(12):
        answer(t, "Tell me more about it")
        if "tokens and the context holds 96" in t.talk or "context of 96 tokens is full" in t.talk:
            break
    else:
        raise AssertionError(t.talk[-400:])
    assert "--ctx" in t.talk and "--context-shift" in t.talk
    t.line("/clear")
    t.prompt()
    assert answer(t, "Hello") != ""
    t.line("/exit")
    assert t.end() == 0


def forgets_the_oldest_when_allowed():
    t = chat("-n", "12", "--ctx", "128", "--context-shift")
    for _ in range(8):
        assert answer(t, "Tell me more about it") != ""
    assert "forgotten" in t.talk
    t.line("/exit")
    assert t.end() == 0


def arrow_up_brings_a_line_back():
    if subprocess.run(["sh", "-c", f"ldd {BANTAM} | grep -q libedit"], check=False).returncode:
        return "built without libedit"
    t = chat("-n", "1", "--save", "up.json")
    answer(t, "wörds")
    t.type("\x1b[A")
    answer(t, "!")
    t.line("/exit")
    assert t.end() == 0
    with open("up.json", encoding="utf-8") as file:
        said = [m["content"] for m in json.load(file)["messages"] if m["role"] == "user"]
    assert said == ["wörds", "wörds!"], said
    return None


TESTS = [greets_and_ends_with_control_d, lives_in_the_sandbox, keeps_the_prefix, changes_adapters,
         chooses_among_many_adapters,
         the_same_as_without_reuse, several_lines, makes_an_answer_again,
         saves_only_new_files_when_asked, control_c_stops_the_answer_not_the_program,
         a_signal_to_end_ends_it, clear_system_and_unknown_commands,
         a_full_context_says_what_to_do, forgets_the_oldest_when_allowed,
         arrow_up_brings_a_line_back]


def make_model():
    subprocess.run([MKMODEL, "llama", "m.gguf", "--template", "chatml"], check=True)


if __name__ == "__main__":
    run_tests([t for t in TESTS if len(sys.argv) < 2 or t.__name__ in sys.argv[1:]], make_model)
