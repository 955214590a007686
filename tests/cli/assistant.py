#!/usr/bin/env python3
"""The assistant in a chat on a pseudo-terminal: what it says, and that it rings; prints TAP."""
import json
import os
import sqlite3
import subprocess
import sys
import time

from chat import BANTAM
from terminal import Terminal, run_tests

SCRIPTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scripted_model.py")


def opened(*options):
    terminal = Terminal([BANTAM, "run", *options],
                        env={"HOME": os.getcwd(), "XDG_CACHE_HOME": "", "XDG_DATA_HOME": "",
                             "XDG_CONFIG_HOME": "", "BANTAM_MODEL": "", "TZ": "UTC0",
                             "LC_ALL": "C.UTF-8"})
    terminal.prompt()
    return terminal


def chat(name, arguments, *options):
    call = '{"name": "%s", "arguments": %s}' % (name, arguments)
    subprocess.run([sys.executable, SCRIPTED, "m.gguf", "<tool_call>", call, "</tool_call>"],
                   check=True)
    return opened("m.gguf", *options)


def built_in():
    listed = subprocess.run([BANTAM, "list", "--json"], check=True, stdout=subprocess.PIPE)
    return any(m["source"] == "built in" for m in json.loads(listed.stdout)["models"])


def carries_out_and_remembers_calls():
    t = chat("note", '{"text": "the key is under the fern"}', "--save", "talk.json")
    t.line("note that the key is under the fern")
    t.wait_product("Noted: the key is under the fern\n")
    t.prompt()
    t.line("again")
    t.wait_product("Noted: ")
    t.prompt()
    t.line("/regen")
    t.wait("say \"undo\" to take it back")
    t.line("/system a pirate")
    t.wait("takes no system message")
    t.line("/exit")
    assert t.end() == 0
    with open("talk.json", encoding="utf-8") as saved:
        text = saved.read()
    assert text.count('"tool_calls"') == 2 and text.count('"ok"') == 2, text


def rings_while_a_chat_is_open():
    t = chat("timer", '{"in": "2 s", "text": "tea"}')
    t.line("tea timer, 2 seconds")
    t.wait_product("Timer 'tea': 2 seconds")
    t.prompt()
    t.type("half a li")
    t.wait("\aTimer: tea (time is up)")
    t.wait("> half a li")  # what was being typed is shown again
    t.line("ne")
    t.wait_product("Timer 'tea'")
    t.prompt()
    t.line("/exit")
    assert t.end() == 0


def tells_at_the_start_what_is_due():
    t = chat("remind", '{"text": "oven", "in": "1 s"}')
    t.line("oven in a second")
    t.wait_product("I will remind you today")
    t.wait("Reminder: oven")
    t.line("/exit")
    assert t.end() == 0
    t = chat("remind", '{"text": "roast", "in": "1 s"}')
    assert "oven" not in t.talk
    t.line("roast")
    t.wait_product("I will remind you today")
    t.line("/exit")
    assert t.end() == 0
    subprocess.run(["sleep", "1.5"], check=True)
    t = chat("undo", "{}")
    assert "Reminder: roast" in t.talk, t.talk
    t.line("/exit")
    assert t.end() == 0


def tells_of_calendar_entries_when_they_begin():
    chat("undo", "{}").line("/exit")  # makes the file
    folder = ".local/share/bantam/assistant"
    with sqlite3.connect(os.path.join(folder, "assistant.db")) as db:
        at = int(time.time()) + 2
        db.execute("INSERT INTO items (kind, state, text, at, until, first, whole_day, every, "
                   "made) VALUES (2, 0, 'lunch', ?, 0, ?, 0, '', 1)", (at, at))
    t = opened("m.gguf")
    t.type("so")
    t.wait("\aCalendar: lunch (today at ")
    t.wait("> so")
    t.line("")
    t.line("/exit")
    assert t.end() == 0


def the_one_in_the_program():
    """Without a model's name; a conversation may go on for as long as it likes."""
    if not built_in():
        return "no model in this program"
    t = opened()
    assert "hatchling, the small assistant" in t.talk and "what can you do" in t.talk, t.talk
    for line, answer in (("remind me to call the dentist tomorrow at 5", " at 17:00: call"),
                         ("undo", "call the dentist"), ("what is 15% of 80", "15% of 80 = 12")):
        t.line(line)
        t.wait_product(answer)
        t.prompt()
    t.line("牛奶")
    t.wait("understands English alone")
    t.line("")
    for number in range(60):
        t.line(f"what is {number} + 1")
        t.wait_product("\n")
        t.prompt()
    assert "context" not in t.talk, t.talk
    t.line("what is 15% of 80")
    t.wait_product("15% of 80 = 12")
    t.prompt()
    t.line("/exit")
    assert t.end() == 0
    return None


TESTS = [carries_out_and_remembers_calls, rings_while_a_chat_is_open,
         tells_at_the_start_what_is_due, tells_of_calendar_entries_when_they_begin,
         the_one_in_the_program]


if __name__ == "__main__":
    run_tests(TESTS)
