"""What an answer of each API must look like, whole and streamed: read strictly, by the published
references. `said` makes of any a Said; Wrong tells what is not as it has to be."""
import json


class Wrong(Exception):
    pass


class Said:
    """What an answer says: the texts of its choices, calls (name, arguments), how it ended."""

    def __init__(self):
        self.texts, self.calls, self.ended, self.error = [""], [], "", None

    def key(self):
        return ("\x1f".join(self.texts), tuple(sorted(name for name, _ in self.calls)))


def need(truth, what):
    if not truth:
        raise Wrong(what)


def load(text, what="body"):
    try:
        return json.loads(text)
    except ValueError as error:
        raise Wrong(f"the {what} is no JSON: {error}") from error


# ---- errors ------------------------------------------------------------------


def error_text(flavour, o, status=None):
    """Of an error in the API's own shape."""
    need(isinstance(o, dict) and "error" in o, "no error object")
    e = o["error"]
    if flavour == "ollama":
        need(isinstance(e, str) and e, "ollama: error is no text")
        return e
    need(isinstance(e, dict) and isinstance(e.get("message"), str) and e["message"],
         f"{flavour}: error.message is missing")
    need(isinstance(e.get("type"), str) and e["type"], f"{flavour}: error.type is missing")
    if flavour == "anthropic":
        need(o.get("type") == "error", "anthropic: type is not error")
    elif flavour == "llama":
        need(status is None or e.get("code") == status, "llama: error.code is not the status")
    else:
        need("param" in e and "code" in e, f"{flavour}: param or code is missing")
    return e["message"]


# ---- whole -------------------------------------------------------------------

FINISH = ("stop", "length", "tool_calls")
REASONS = ("end_turn", "max_tokens", "tool_use", "stop_sequence")


def count(o, *names):
    for name in names:
        need(isinstance(o.get(name), int) and o[name] >= 0, f"{name} is no count")


def whole_openai(o):
    said = Said()
    need(o.get("object") in ("chat.completion", "text_completion"), "object")
    need(isinstance(o.get("id"), str) and o["choices"], "no id or choices")
    count(o["usage"], "prompt_tokens", "completion_tokens", "total_tokens")
    said.texts = []
    for i, c in enumerate(o["choices"]):
        need(c["index"] == i and c["finish_reason"] in FINISH, f"choice {i}: {c!r}"[:200])
        if "message" in c:
            need(c["message"]["role"] == "assistant", "role")
            said.texts.append(c["message"].get("content") or "")
            for call in c["message"].get("tool_calls") or []:
                need(call["type"] == "function" and call["id"], "a call without type or id")
                said.calls.append((call["function"]["name"], call["function"]["arguments"]))
        else:
            said.texts.append(c["text"])
        said.ended = c["finish_reason"]
    return said


def of_items(said, items):
    for item in items:
        if item["type"] == "message":
            said.texts[0] += "".join(c["text"] for c in item["content"])
        elif item["type"] == "function_call":
            said.calls.append((item["name"], item["arguments"]))
    return said


def whole_responses(o):
    need(o.get("object") == "response" and o["id"].startswith("resp_"), "object or id")
    need(o["status"] in ("completed", "incomplete"), f"status {o.get('status')}")
    count(o["usage"], "input_tokens", "output_tokens", "total_tokens")
    said = of_items(Said(), o["output"])
    said.ended = "length" if o["status"] == "incomplete" else "stop"
    return said


def whole_anthropic(o):
    said = Said()
    need(o.get("type") == "message" and o["role"] == "assistant", "type or role")
    need(o["stop_reason"] in REASONS, f"stop_reason {o.get('stop_reason')}")
    count(o["usage"], "input_tokens", "output_tokens")
    for block in o["content"]:
        if block["type"] == "text":
            said.texts[0] += block["text"]
        elif block["type"] == "tool_use":
            said.calls.append((block["name"], json.dumps(block["input"])))
    said.ended = "length" if o["stop_reason"] == "max_tokens" else "stop"
    return said


def whole_ollama(o):
    said = Said()
    need(o.get("done") is True and isinstance(o.get("model"), str), "done or model")
    count(o, "eval_count", "prompt_eval_count", "total_duration")
    add_ollama(said, o)
    said.ended = o["done_reason"]
    return said


def add_ollama(said, o):
    m = o.get("message") or {}
    said.texts[0] += m.get("content") or o.get("response") or ""
    for call in m.get("tool_calls") or []:
        f = call["function"]
        need(isinstance(f["arguments"], dict), "arguments are no object")
        said.calls.append((f["name"], json.dumps(f["arguments"])))


def whole_llama(o):
    said = Said()
    need(o.get("stop") is True and isinstance(o["content"], str), "stop or content")
    count(o, "tokens_predicted", "tokens_evaluated")
    said.texts = [o["content"]]
    said.ended = "length" if o.get("stop_type") == "limit" else "stop"
    return said


WHOLE = {"openai": whole_openai, "responses": whole_responses, "anthropic": whole_anthropic,
         "ollama": whole_ollama, "llama": whole_llama}


# ---- streams -----------------------------------------------------------------


def events(text):
    """(event or None, data) of server-sent events; the last must be complete."""
    need(text.endswith("\n\n"), "the stream ends within an event")
    for block in text[:-2].split("\n\n"):
        name, data = None, []
        for line in block.split("\n"):
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data.append(line[6:])
            else:
                need(line.startswith(":"), f"no line of an event: {line[:80]!r}")
        if data:
            yield name, "\n".join(data)


def stream_openai(text):
    said, ids, ended, calls, used = Said(), set(), {}, {}, False
    texts = {0: ""}
    all_events = list(events(text))
    need(all_events and all_events[-1][1] == "[DONE]", "no [DONE] at the end")
    for _, data in all_events[:-1]:
        o = load(data, "event")
        if "error" in o:
            said.error = error_text("openai", o)
            continue
        need(not said.error, "an event after an error")
        ids.add(o["id"])
        used = used or bool(o.get("usage"))
        for c in o["choices"]:
            i = c["index"]
            need(i not in ended, "a piece after finish_reason")
            delta = c.get("delta", {})
            texts[i] = texts.get(i, "") + (delta.get("content") or c.get("text") or "")
            for call in delta.get("tool_calls") or []:
                at = (i, call["index"])
                if at not in calls:
                    need(call.get("id") and call.get("type") == "function" and
                         call["function"].get("name"), "a call begins without id, type or name")
                    calls[at] = [call["function"]["name"], ""]
                calls[at][1] += call["function"].get("arguments") or ""
            if c.get("finish_reason"):
                need(c["finish_reason"] in FINISH, "finish_reason")
                ended[i] = c["finish_reason"]
    if not said.error:
        need(len(ids) == 1, f"{len(ids)} ids")
        need(set(ended) == set(texts), "not every choice has a finish_reason")
        said.ended = ended[max(ended)]
    said.texts = [texts[i] for i in sorted(texts)]
    said.calls = [tuple(calls[at]) for at in sorted(calls)]
    return said


def stream_responses(text):
    said, last = Said(), -1
    for name, data in events(text):
        o = load(data, "event")
        need(said.ended == "" and not said.error, "an event after the last")
        need(name == o["type"], "event and type differ")
        if name == "error":
            need(o["message"], "an error that says nothing")
            said.error = o["message"]
            continue
        need(o["sequence_number"] == last + 1, "sequence_number")
        last += 1
        need(last > 0 or name == "response.created", "response.created is not first")
        if name == "response.failed":
            said.error = o["response"]["error"]["message"]
        elif name in ("response.completed", "response.incomplete"):
            said = whole_responses(o["response"])
    need(said.ended or said.error, "no last event")
    return said


def stream_anthropic(text):
    said, open_block, over, begun = Said(), None, False, False
    for name, data in events(text):
        o = load(data, "event")
        need(name == o["type"], "event and type differ")
        need(not over, "an event after the last")
        if name == "error":
            said.error = error_text("anthropic", o)
            over = True
        elif name == "message_start":
            need(not begun and o["message"]["role"] == "assistant", "message_start")
            begun = True
        elif name == "content_block_start":
            need(begun and open_block is None, "a block within a block")
            open_block = o["content_block"]
            if open_block["type"] == "tool_use":
                said.calls.append([open_block["name"], ""])
        elif name == "content_block_delta":
            need(open_block is not None, "a delta outside of a block")
            d = o["delta"]
            if d["type"] == "text_delta":
                said.texts[0] += d["text"]
            elif d["type"] == "input_json_delta":
                said.calls[-1][1] += d["partial_json"]
        elif name == "content_block_stop":
            need(open_block is not None, "content_block_stop")
            open_block = None
        elif name == "message_delta":
            reason = o["delta"]["stop_reason"]
            need(reason in REASONS, f"stop_reason {reason}")
            said.ended = "length" if reason == "max_tokens" else "stop"
        elif name == "message_stop":
            need(open_block is None and said.ended, "message_stop too early")
            over = True
        else:
            need(name == "ping", f"event {name}")
    need(over, "no message_stop")
    said.calls = [tuple(call) for call in said.calls]
    return said


def stream_ollama(text):
    said = Said()
    need(text.endswith("\n"), "the stream ends within a line")
    for line in text.splitlines():
        o = load(line, "line")
        need(not said.ended and not said.error, "a line after the last")
        if "error" in o:
            said.error = error_text("ollama", o)
            continue
        add_ollama(said, o)
        if o["done"]:
            count(o, "eval_count", "prompt_eval_count", "total_duration")
            said.ended = o["done_reason"]
    need(said.ended or said.error, "no last line")
    return said


def stream_llama(text):
    said = Said()
    for _, data in events(text):
        o = load(data, "event")
        need(not said.ended and not said.error, "an event after the last")
        if "error" in o:
            said.error = error_text("llama", o)
            continue
        said.texts[0] += o["content"]
        if o["stop"]:
            said.ended = "length" if o.get("stop_type") == "limit" else "stop"
    need(said.ended or said.error, "no last event")
    return said


STREAM = {"openai": stream_openai, "responses": stream_responses, "anthropic": stream_anthropic,
          "ollama": stream_ollama, "llama": stream_llama}
STREAM_TYPE = {"ollama": "application/x-ndjson"}


def said(flavour, headers, body):
    """What an answer with status 200 says; streamed or whole, as its headers tell."""
    try:
        text = body.decode()
        kind = headers.get("content-type", "").split(";")[0]
        if kind == STREAM_TYPE.get(flavour, "text/event-stream"):
            return STREAM[flavour](text)
        need(kind == "application/json", f"content type {kind!r}")
        return WHOLE[flavour](load(text))
    except (KeyError, IndexError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise Wrong(f"{type(error).__name__}: {error}") from error
