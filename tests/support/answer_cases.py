#!/usr/bin/env python3
"""Answers as chat templates write them: assistant messages with content, reasoning and tool calls,
rendered by jinja2 set up as Hugging Face does, and what must be read out of them again.

    tests/support/answer_cases.py FOLDER      one JSON object a line on stdout, of all its templates

Fields: template (its file), prompt (what stands before the answer), text (the answer), tools (JSON
text), content, reasoning, calls ([{name, arguments}]). What a template does not write is not
expected. Exits 77 where jinja2 is missing.
"""
import json
import os
import re
import sys

try:
    from jinja2 import ext
    from jinja2.sandbox import SandboxedEnvironment
except ImportError:
    sys.exit(77)

PARAMETERS = {
    name: dict(schema, description="It.") for name, schema in {
        "text": {"type": "string"}, "count": {"type": "integer"}, "share": {"type": "number"},
        "flag": {"type": "boolean"}, "list": {"type": "array", "items": {}},
        "more": {"type": "object", "additionalProperties": {"type": "string"}},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    }.items()
}
TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Weather.",
        "parameters": {"type": "object", "properties": PARAMETERS, "required": ["text"]}}},
    {"type": "function", "function": {
        "name": "now", "description": "Time.",
        "parameters": {"type": "object", "properties": {}, "required": []}}},
]
# Where the engine stops: the token is never part of an answer.
ENDS = re.compile("|".join(map(re.escape, (
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<EOS>", "<|end_of_text|>", "<|END_OF_TURN_TOKEN|>",
    "<end_of_turn>", "<turn|>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<seed:eos>", "[e~[",
    "<SPECIAL_12>", "<|return|>", "<|call|>", "<end_of_sentence>", "<sep>", "<|tool_response>",
    "<\uff5chy_eos:opensource\uff5c>", "</assistant>", "<|eot|>", "<|end_of_msg|>", "<|calls|>",
    "<|end|>\n", "<|user|>", "<|observation|>"))))

# What a generation prompt may add about thoughts; the message need not have it.
THOUGHT = re.compile(r"(<\|START_(THINKING|TEXT|RESPONSE)\|>|<\|END_THINKING\|>"
                     r"|</?think>|</?mm:think>|<\|channel>thought\n<channel\|>"
                     r"|Here are my reasoning steps:|\s)*\Z")

TEXTS = ["Sunny", "Z\u00fcrich <b>&amp;</b> \u6771\u4eac \U0001f600", "two\nlines\n\nand a tab\t.",
         "He said \"no\" \\ 'yes' {[(", "3", "true", "null", "{\"a\": 1}", "[1]", "a=b, c(d)",
         "C:\\temp\\new", "</p> <x> ]] >> ```", ""]


def messages():
    """(content, reasoning, calls): what an assistant says."""
    weather, now = "get_weather", "now"
    yield "Hello there.", "", []
    yield "Several\n\nparagraphs, **bold** < 3 > 2 & [x] {y}.", "", []
    yield "The answer.", "First I think.\nThen I know: a < b.", []
    yield "", "", [(now, {})]
    yield "", "Which tool?", [(now, {})]
    yield "Let me look.", "", [(weather, {"text": "Rome"})]
    yield "Let me look.", "A tool.", [(weather, {"text": "Rome", "count": 3}), (now, {})]
    yield "", "", [(now, {}), (weather, {"text": "Rome", "flag": False}), (now, {})]
    yield "", "", [(weather, {"text": "x", "count": -12, "share": 0.5, "flag": True,
                              "list": [1, "two", None, [True]],
                              "more": {"k": {"n": 1.5}, "s": "t"}})]
    yield "", "", [(weather, {"maybe": None, "text": "y"})]
    yield "", "", [(weather, {"unknown": "free text", "other": 7, "third": [1, 2]})]
    for text in TEXTS:
        yield "", "", [(weather, {"text": text, "count": 1})]
        yield "", "", [(weather, {"maybe": text + "."}), (weather, {"text": text})]


def compiled(source):
    def fail(message):
        raise ValueError(message)

    def to_json(x, indent=None, ensure_ascii=False, separators=None, sort_keys=False):
        if hasattr(x, "__next__"):
            x = list(x)
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    source = re.sub(r"{%(-?) *generation *(-?)%}", r"{%\1 if true \2%}", source)
    source = re.sub(r"{%(-?) *endgeneration *(-?)%}", r"{%\1 endif \2%}", source)
    env = SandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[ext.loopcontrols])
    env.filters["tojson"] = to_json
    env.globals["raise_exception"] = fail
    env.globals["strftime_now"] = lambda form: "21 Nov 2026"
    return env.from_string(source)


def assistant(content, reasoning, calls, as_text, thinks):
    message = {"role": "assistant", "content": content}
    for field in thinks if reasoning else ():
        message[field] = reasoning
    if calls:
        message["tool_calls"] = [
            {"id": "call%05d" % i, "type": "function", "function": {
                "name": name, "arguments": json.dumps(arguments) if as_text else arguments}}
            for i, (name, arguments) in enumerate(calls)]
    return message


def attempt(template, message, **more):
    talk = [{"role": "user", "content": "QUESTION"}] + ([message] if message else [])
    return template.render(messages=talk, tools=TOOLS, add_generation_prompt=message is None,
                           bos_token="<BOS>", eos_token="<EOS>", functions=json.dumps(TOOLS),
                           datetime="today", think_render_option="all", **more)


def whole_thought(prompt, text):
    """False where the prompt opens a thought that the text never closes."""
    for mark in ("think", "mm:think"):
        opened = prompt.rstrip().endswith("<%s>" % mark) or "<%s>" % mark in text
        if opened and "</%s>" % mark not in text:
            return False
    return not prompt.rstrip().endswith("steps:") or "[BEGIN FINAL RESPONSE]" in text


def render(template, spoken):
    """The prompt, and the answer after it; None where the template refuses."""
    for as_text in (False, True):
        for thinks in (("reasoning_content", "reasoning", "thinking"), ("reasoning_content",)):
            for thinking in (True, False):
                switches = {"enable_thinking": thinking, "thinking": thinking,
                            "reasoning": thinking}
                try:
                    prompt = attempt(template, None, **switches)
                    full = attempt(template, assistant(*spoken, as_text, thinks), **switches)
                except Exception:  # templates fail in many ways on what they do not want
                    continue
                for start in (prompt, THOUGHT.sub("", prompt), prompt.rstrip()):
                    text = ENDS.split(full[len(start):])[0].strip()
                    if full.startswith(start) and whole_thought(start, text):
                        return (prompt if "[BEGIN FINAL" in text else start), text
    return None


def cases(path):
    with open(path, encoding="utf-8") as file:
        template = compiled(file.read())
    for spoken in messages():
        done = render(template, spoken)
        if not done:
            continue
        prompt, text = done
        if "<|tool_call_start|>[" in text and ("\\" in text or text.count("'") % 2):
            continue  # this template does not quote what it puts between quotes
        content, reasoning, calls = spoken
        first_line = reasoning.split("\n")[0]
        if content not in text:
            content = ""
        if first_line not in text:
            reasoning = ""
        if content and content in prompt:
            continue
        written = [call for call in calls if call[0] in text]
        if calls and len(written) < len(calls):
            written = written[:1]
        if "<|channel|>analysis<|message|>" + content + "<|end|>" in text and calls and content:
            content, reasoning = "", content  # harmony calls what is said beside a call analysis
        if re.search(r"commentary json|<\|function_call\|>|function call<\|role_sep\|>", text):
            written = calls[:1]  # these take one call a message
        if "]<]minimax[>[" in text:  # writes no null
            written = [(n, {k: v for k, v in a.items() if v is not None}) for n, a in written]
        print(json.dumps({"template": path, "prompt": prompt, "text": text,
                          "tools": json.dumps(TOOLS), "content": content, "reasoning": reasoning,
                          "calls": [{"name": n, "arguments": a} for n, a in written]}))


for name in sorted(os.listdir(sys.argv[1])):
    if name.endswith(".jinja"):
        cases(os.path.join(sys.argv[1], name))
