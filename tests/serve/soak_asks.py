"""What the soak asks: requests of all the APIs with what must come of them, and others that must be
refused. Prompts come from a small pool, so that what is drawn without chance comes again and again,
through another API, streamed or not, in other company, from another process: always the same."""
import json

from soak_shapes import Wrong, error_text, load, need

CHATS = ("made", "wide", "tooled", "hatchling")  # the last answers with tools of its own
TOPICS = ("a cat", "the river at night", "seven stones", "how bread is made", "Q 1 + 1?",
          "paper, wind & water", "grüße aus Köln", "説明して", "list three colours",
          "nul\0here")
LONG = "The garden behind the house has a wall of old stones, and moss grows on it in winter. "
REMIND = {"type": "object", "properties": {"text": {"type": "string", "maxLength": 40},
                                           "day": {"enum": ["today", "tomorrow"]}},
          "required": ["text", "day"], "additionalProperties": False}
COLOUR = {"type": "object", "properties": {"colour": {"enum": ["red", "green", "blue"]},
                                           "n": {"type": "integer", "minimum": 0, "maximum": 99},
                                           "yes": {"type": "boolean"}},
          "required": ["colour", "n", "yes"], "additionalProperties": False}


class Ask:
    """One request. `want`: statuses that are right when nothing was broken meanwhile. `same`: asks
    with equal ones get equal answers. `check(said)`: of an answer with a text; `look(body)`: of
    another. `fast`: refused before any model is asked."""

    def __init__(self, kind, flavour, path, body=None, method="POST", model=None, want=(200,),
                 same=None, check=None, look=None, headers=None, streams=False, open_to_all=False):
        self.kind, self.flavour, self.path, self.body = kind, flavour, path, body
        self.method, self.model, self.want, self.same = method, model, want, same
        self.check, self.look, self.headers = check, look, headers or {}
        self.streams, self.open_to_all = streams, open_to_all

    def shown(self):
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return f"{self.method} {self.path} {body[:600].decode('utf-8', 'replace')}"


# ---- answers with a text -------------------------------------------------------


def words(rng):
    """A short prompt, or one of some hundred words that begins as others do."""
    topic = rng.choice(TOPICS)
    return LONG * rng.choice((4, 9)) + topic if rng.random() < 0.25 else "Tell me: " + topic


def some_model(rng):
    return rng.choice(CHATS)


def chat(rng):
    """The same conversation through any of four APIs; with temperature 0 the same answer."""
    model, text, n = some_model(rng), words(rng), rng.choice((1, 7, 20, 60))
    api = rng.choice(("openai", "openai", "anthropic", "ollama", "responses"))
    streams = rng.random() < 0.6
    messages = [{"role": "user", "content": text}]
    same = ("chat", model, text, n)
    if api == "ollama":
        return Ask("chat", api, "/api/chat", {"model": model, "messages": messages,
                                              "stream": streams,
                                              "options": {"temperature": 0, "num_predict": n}},
                   model=model, same=same, streams=streams)
    body = {"model": model, "temperature": 0, "stream": streams}
    if api == "responses":
        body.update(input=text, max_output_tokens=n, store=False)
        path = "/v1/responses"
    else:
        body.update(messages=messages, max_tokens=n)
        path = "/v1/messages" if api == "anthropic" else "/v1/chat/completions"
        if api == "openai" and streams and rng.random() < 0.5:
            body["stream_options"] = {"include_usage": True}
    return Ask("chat", api, path, body, model=model, same=same, streams=streams)


def completion(rng):
    model, text, n = rng.choice(CHATS[:3]), words(rng), rng.choice((1, 9, 40))
    streams = rng.random() < 0.5
    api = rng.choice(("openai", "llama", "ollama"))
    same = ("completion", model, text, n)
    if api == "ollama":
        return Ask("completion", api, "/api/generate",
                   {"model": model, "prompt": text, "raw": True, "stream": streams,
                    "options": {"temperature": 0, "num_predict": n}},
                   model=model, same=same, streams=streams)
    path = "/completion" if api == "llama" else "/v1/completions"
    return Ask("completion", api, path,
               {"model": model, "prompt": text, "temperature": 0, "stream": streams,
                "n_predict" if api == "llama" else "max_tokens": n},
               model=model, same=same, streams=streams)


def drawn(rng):
    """Several choices, drawn from a seed, with log-probabilities."""
    model, text, seed = some_model(rng), words(rng), rng.randrange(5)
    streams = rng.random() < 0.5
    n = rng.choice((1, 3))

    def check(said):
        need(len(said.texts) == n, f"{len(said.texts)} choices, not {n}")

    return Ask("drawn", "openai", "/v1/chat/completions",
               {"model": model, "messages": [{"role": "user", "content": text}], "n": n,
                "max_tokens": 12, "seed": seed, "temperature": 0.9, "top_k": 30, "stream": streams,
                "logprobs": True, "top_logprobs": 4, "stop": ["zz"]},
               model=model, same=("drawn", model, text, n, seed), check=check, streams=streams)


def colour_is_held(said):
    if said.ended == "length":
        return
    o = load(said.texts[0], "answer")
    need(set(o) == {"colour", "n", "yes"} and o["colour"] in COLOUR["properties"]["colour"]["enum"]
         and isinstance(o["n"], int) and 0 <= o["n"] <= 99 and isinstance(o["yes"], bool),
         f"the schema is not held: {said.texts[0][:200]!r}")


def schema(rng):
    model, text, streams = rng.choice(CHATS[:3]), words(rng), rng.random() < 0.5
    api = rng.choice(("openai", "responses", "anthropic", "ollama"))
    messages = [{"role": "user", "content": text}]
    form = {"type": "json_schema", "name": "colour", "schema": COLOUR, "strict": True}
    body = {"model": model, "temperature": 0, "stream": streams}
    path = {"openai": "/v1/chat/completions", "responses": "/v1/responses",
            "anthropic": "/v1/messages", "ollama": "/api/chat"}[api]
    if api == "openai":
        body.update(messages=messages, max_tokens=150,
                    response_format={"type": "json_schema", "json_schema": form})
    elif api == "responses":
        body.update(input=text, max_output_tokens=150, text={"format": form}, store=False)
    elif api == "anthropic":
        body.update(messages=messages, max_tokens=150,
                    output_format={"type": "json_schema", "schema": COLOUR})
    else:
        body = {"model": model, "messages": messages, "stream": streams, "format": COLOUR,
                "options": {"temperature": 0, "num_predict": 150}}
    return Ask("schema", api, path, body, model=model, same=("schema", model, text),
               check=colour_is_held, streams=streams)


def call_is_held(said):
    if said.ended == "length":
        return
    need(said.calls and said.calls[0][0] == "remind", f"no call: {said.key()!r}"[:200])
    o = load(said.calls[0][1], "arguments")
    need({"text", "day"} == set(o) and o["day"] in ("today", "tomorrow"), f"arguments {o!r}")


def tools(rng):
    """A call that must come, held to its schema."""
    text, streams = words(rng), rng.random() < 0.5
    api = rng.choice(("openai", "anthropic", "responses"))
    body = {"model": "tooled", "temperature": 0, "stream": streams}
    if api == "anthropic":
        path = "/v1/messages"
        body.update(messages=[{"role": "user", "content": text}], max_tokens=200,
                    tools=[{"name": "remind", "input_schema": REMIND}],
                    tool_choice={"type": "any"})
    elif api == "responses":
        path = "/v1/responses"
        body.update(input=text, max_output_tokens=200, tool_choice="required", store=False,
                    tools=[{"type": "function", "name": "remind", "parameters": REMIND}])
    else:
        path = "/v1/chat/completions"
        body.update(messages=[{"role": "user", "content": text}], max_tokens=200,
                    tools=[{"type": "function", "function": {"name": "remind",
                                                             "parameters": REMIND}}],
                    tool_choice="required")
    return Ask("tools", api, path, body, model="tooled", same=("tools", text),
               check=call_is_held, streams=streams)


# ---- others ---------------------------------------------------------------------


def embed(rng):
    text = [rng.choice(TOPICS[:6]) for _ in range(rng.choice((1, 3)))]
    old = rng.random() < 0.4

    def look(body):
        o = load(body)
        rows = o["embeddings"] if old else [row["embedding"] for row in o["data"]]
        need(len(rows) == len(text) and all(len(r) == len(rows[0]) > 8 for r in rows), "vectors")
        return tuple(round(x, 5) for x in rows[-1][:8])

    path, flavour = ("/api/embed", "ollama") if old else ("/v1/embeddings", "openai")
    return Ask("embed", flavour, path, {"model": "embed", "input": text}, model="embed",
               same=("embed", text[-1], old), look=look)


def rank(rng):
    def look(body):
        results = load(body)["results"]
        need(len(results) == 3 and results[0]["relevance_score"] >= results[2]["relevance_score"],
             "not in order")
        return tuple(r["index"] for r in results)

    text = rng.choice(TOPICS[:6])
    return Ask("rank", "openai", "/v1/rerank",
               {"model": "embed", "query": text, "documents": ["a dog", "stones", "the sea"]},
               model="embed", same=("rank", text), look=look)


def simple(rng):
    text = rng.choice(TOPICS[:-1])  # a rendered prompt is told up to a NUL
    messages = [{"role": "user", "content": text}]

    def tokens(body):
        ids = load(body)["tokens"]
        need(ids and all(isinstance(i, int) for i in ids), "no tokens")
        return tuple(ids)

    def counted(body):
        return need(load(body)["input_tokens"] > 0, "input_tokens")

    def prompt(body):
        need(text in load(body)["prompt"], "the prompt lacks the text")

    return rng.choice((
        Ask("simple", "llama", "/tokenize", {"model": "made", "content": text}, model="made",
            look=tokens, same=("tokens", text)),
        Ask("simple", "llama", "/apply-template", {"model": "made", "messages": messages},
            model="made", look=prompt),
        Ask("simple", "anthropic", "/v1/messages/count_tokens",
            {"model": "made", "messages": messages}, model="made", look=counted)))


def catalogue(rng):
    def has(key):
        return lambda body: need(key in load(body), f"no {key}")

    return rng.choice((
        Ask("catalogue", "openai", "/v1/models", method="GET", look=has("data")),
        Ask("catalogue", "openai", "/v1/models/made", method="GET", look=has("id")),
        Ask("catalogue", "ollama", "/api/tags", method="GET", look=has("models")),
        Ask("catalogue", "ollama", "/api/ps", method="GET", look=has("models")),
        Ask("catalogue", "ollama", "/api/version", method="GET", look=has("version")),
        Ask("catalogue", "ollama", "/api/show", {"model": "made"}, look=has("capabilities")),
        Ask("catalogue", "llama", "/props", method="GET", look=has("total_slots")),
        Ask("catalogue", "llama", "/metrics", method="GET",
            look=lambda body: need(b"bantam_requests" in body, "no counters"))))


# ---- what is refused --------------------------------------------------------------


def say(**more):
    return {"model": "made", "messages": [{"role": "user", "content": "a cat"}], **more}


def image():
    return {"role": "user", "content": [{"type": "image_url", "image_url":
                                         {"url": "data:image/png;base64,AAAA"}}]}


OPENAI = "/v1/chat/completions"
# name, API, path, body, statuses, headers
BAD = (
    ("not json", "openai", OPENAI, b"{'model': 1}", (400,), None),
    ("cut json", "openai", OPENAI, b'{"model":"made","messages":[{"role":"user"', (400,), None),
    ("two values", "openai", OPENAI, b'{"model":"made","messages":[]} {}', (400,), None),
    ("empty", "openai", OPENAI, b"", (400,), None),
    ("a list", "openai", OPENAI, b"[]", (400,), None),
    ("utf-8", "openai", OPENAI, b'{"model":"made","messages":[{"role":"user","content":"\xff"}]}',
     (400,), None),
    ("surrogate", "openai", OPENAI,
     b'{"model":"made","messages":[{"role":"user","content":"\\ud800"}]}', (400,), None),
    ("key twice", "openai", OPENAI, b'{"model":"made","model":"made","messages":[]}', (400,), None),
    ("deep", "openai", OPENAI, b'{"model":"made","messages":' + b"[" * 200000, (400,), None),
    ("no messages", "openai", OPENAI, {"model": "made"}, (400,), None),
    ("wrong type", "openai", OPENAI, say(temperature="hot"), (400,), None),
    ("range", "openai", OPENAI, say(temperature=3), (400,), None),
    ("huge number", "openai", OPENAI, say(max_tokens=10 ** 30), (400,), None),
    ("n", "openai", OPENAI, say(n=1000), (400,), None),
    ("role", "openai", OPENAI, {"model": "made", "messages": [{"role": "king", "content": "x"}]},
     (400,), None),
    ("image", "openai", OPENAI, {"model": "made", "messages": [image()]}, (400,), None),
    ("unknown model", "openai", OPENAI, say(model="nobody"), (404,), None),
    ("unknown model", "anthropic", "/v1/messages", say(model="nobody", max_tokens=5), (404,), None),
    ("unknown model", "ollama", "/api/chat", say(model="nobody"), (404,), None),
    ("unknown model", "llama", "/completion", {"model": "nobody", "prompt": "x"}, (404,), None),
    ("broken model", "openai", OPENAI, say(model="broken"), (503,), None),
    ("long prompt", "openai", OPENAI,
     {"model": "made", "messages": [{"role": "user", "content": "stone " * 4000}]}, (400,), None),
    ("long prompt", "llama", "/completion", {"model": "made", "prompt": "stone " * 4000}, (400,),
     None),
    ("embeds only", "openai", OPENAI, say(model="embed"), (400,), None),
    ("no tools", "openai", OPENAI, say(tools=[{"type": "function", "function": {"name": "f"}}]),
     (400,), None),
    ("bad schema", "openai", OPENAI,
     say(response_format={"type": "json_schema", "json_schema":
                          {"name": "x", "schema": {"type": "string", "pattern": "(" * 50}}}),
     (400,), None),
    ("deep schema", "openai", OPENAI,
     b'{"model":"made","messages":[{"role":"user","content":"x"}],"response_format":{"type":'
     b'"json_schema","json_schema":{"name":"x","schema":' + b'{"not":' * 20000 + b"{}"
     + b"}" * 20000 + b"}}}", (400,), None),
    ("bad grammar", "openai", OPENAI, say(grammar="root ::= " + "(" * 50000), (400,), None),
    ("no max_tokens", "anthropic", "/v1/messages", say(), (400,), None),
    ("no model", "ollama", "/api/chat", {"messages": []}, (400,), None),
    ("pull", "ollama", "/api/pull", {"model": "x"}, (400,), None),
    ("infill", "llama", "/infill", {"model": "made", "input_prefix": "a", "input_suffix": "b"},
     (400,), None),
    ("response", "responses", "/v1/responses",
     {"model": "made", "input": "x", "previous_response_id": "resp_00aa"}, (400, 404), None),
    ("background", "responses", "/v1/responses", {"model": "made", "input": "x",
                                                  "background": True}, (400,), None),
    ("type", "openai", OPENAI, b"<a/>", (415,), {"Content-Type": "text/xml"}),
    ("coding", "openai", OPENAI, b"xxxx", (415,), {"Content-Encoding": "gzip"}),
    ("key", "openai", OPENAI, say(), (401,), {"Authorization": "Bearer nonsense"}),
    ("key", "anthropic", "/v1/messages", say(), (401,), {"Authorization": None}),
    ("host", "openai", OPENAI, say(), (403,), {"Host": "evil.example"}),
    ("origin", "openai", OPENAI, say(), (403,), {"Origin": "http://evil.example"}),
    ("path", "openai", "/v1/nothing", {}, (404,), None),
    ("path", "ollama", "/api/nothing", {}, (404,), None),
    ("too long", "openai", OPENAI, b"{}", (413,), {"Content-Length": str(17 << 20)}),
)


def bad(rng):
    name, flavour, path, body, want, headers = rng.choice(BAD)

    def look(text):
        need(error_text(flavour, load(text), want[0]), "no reason")

    return Ask("bad: " + name, flavour, path, body, want=want, look=look, headers=headers,
               model="made" if want == (400,) else None)


def wrong_method(rng):
    path, flavour = rng.choice(((OPENAI, "openai"), ("/api/chat", "ollama"),
                                ("/completion", "llama")))
    return Ask("bad: method", flavour, path, method="PUT" if rng.random() < 0.5 else "GET",
               want=(405,))


MIX = ((chat, 30), (completion, 12), (drawn, 6), (schema, 6), (tools, 6), (embed, 6), (rank, 2),
       (simple, 4), (catalogue, 6), (bad, 18), (wrong_method, 1))


def some(rng):
    make = rng.choices([m for m, _ in MIX], [w for _, w in MIX])[0]
    return make(rng)


def endless(rng):
    """A stream that goes on for long, for clients that do not stay."""
    model = rng.choice(CHATS[:3])
    enders = {str(n): -100 for n in range(311, 320)}  # tokens that end answers of made-up models
    return Ask("endless", "openai", OPENAI,
               {"model": model, "messages": [{"role": "user", "content": words(rng)}],
                "stream": True, "max_tokens": 1200, "logit_bias": enders, "temperature": 0.8},
               model=model, streams=True)


__all__ = ["Ask", "Wrong", "endless", "some", "CHATS", "OPENAI", "words", "say"]
