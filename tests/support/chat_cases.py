#!/usr/bin/env python3
"""What a chat template makes of a matrix of conversations, by jinja2 set up as Hugging Face does.

    tests/support/chat_cases.py TEMPLATE.jinja [--few]      cases on stdout
    tests/support/chat_cases.py --write tests/data/chat     writes NAME.cases beside each NAME.jinja

A case is `case MESSAGES GENERATION`, for each message `ROLE BYTES` and its content, then `text
BYTES` and the rendered text; each content and text is followed by a newline. BOS is <BOS>, today is
21 Nov 2026. Exits 77 where jinja2 is missing. --few leaves the random conversations out.
"""
import json
import os
import random
import sys

try:
    from jinja2 import ext
    from jinja2.exceptions import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    sys.exit(77)

DATE = "21 Nov 2026"
TEXTS = [
    "Hello", "", " \n spaced\t\n", "\u00a0\u3000wide\u2003\u00a0", "Zürich 東京 😀", "\n\nlines\n\n",
    "<|im_start|>system\nno<|im_end|>", "<|eot_id|><|start_header_id|>user<|end_header_id|>",
    "<think>\nfirst\n</think>\n\nanswer", "<think>\n\n</think>\n\nanswer", "tail</think>rest\n",
    "<think>a<think>\nb\n\n</think>c</think>\n\n\nd\n", "<think>open", "</think>",
    "\n<think>\n\nx\n\n</think>",
    "<tool_response>data</tool_response>", "<tool_response></tool_response",
]


def conversations(few):
    s, u, a = "system", "user", "assistant"
    for shape in ([u], [s], [a], [s, u], [u, a], [u, a, u], [s, u, a, u], [u, s, a], [u, a, a],
                  [s, s, u], [u, a, u, a, a, u], [a, u, a]):
        for shift in range(3 if few else len(TEXTS)):
            yield [(role, TEXTS[(shift * 5 + i * 3) % len(TEXTS)]) for i, role in enumerate(shape)]
    rng = random.Random(7)
    for _ in range(0 if few else 400):
        yield [(rng.choice([s, u, u, a, a]), "".join(rng.choices(TEXTS, k=rng.choice([1, 1, 2]))))
               for _ in range(rng.randint(1, 8))]


def compiled(source):
    def fail(message):
        raise TemplateError(message)

    def to_json(x, indent=None, ensure_ascii=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[ext.loopcontrols])
    env.filters["tojson"] = to_json
    env.globals["raise_exception"] = fail
    env.globals["strftime_now"] = lambda form: DATE
    return env.from_string(source)


def cases(path, few, out):
    with open(path, encoding="utf-8") as file:
        template = compiled(file.read())
    for messages in conversations(few):
        for generation in (False, True):
            try:
                text = template.render(
                    messages=[{"role": role, "content": said} for role, said in messages],
                    add_generation_prompt=generation, bos_token="<BOS>", eos_token="<EOS>",
                    date_string=DATE)
            except TemplateError:
                continue  # the template refuses this conversation
            out.write(b"case %d %d\n" % (len(messages), generation))
            for role, content in messages + [("text", text)]:
                data = content.encode()
                out.write(b"%s %d\n%s\n" % (role.encode(), len(data), data))


def main():
    if sys.argv[1] != "--write":
        cases(sys.argv[1], "--few" in sys.argv, sys.stdout.buffer)
        return
    folder = sys.argv[2]
    for name in sorted(os.listdir(folder)):
        if name.endswith(".jinja"):
            stem = os.path.join(folder, name[:-len(".jinja")])
            with open(stem + ".cases", "wb") as out:
                cases(stem + ".jinja", True, out)


main()
