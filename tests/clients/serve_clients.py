"""The server held to its clients' own packages from PyPI: openai, anthropic, ollama, litellm, each
through chat, streams, tools, schemas, embeddings and errors. Run by serve.py; the server is at
argv[1], with a random model "made" and an embedding model "embed": what they say is nonsense, so
only what a client makes of it is checked.
"""
import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network for prices
import anthropic  # noqa: E402
import litellm  # noqa: E402
import ollama  # noqa: E402
import openai  # noqa: E402
import pydantic  # noqa: E402

sys.dont_write_bytecode = True
URL = sys.argv[1]
ASK = [{"role": "user", "content": "Say something, please"}]
PARAMETERS = {"type": "object", "properties": {"day": {"type": "string",
                                                       "enum": ["today", "tomorrow"]}},
              "required": ["day"], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "weather", "description": "the weather",
                                         "parameters": PARAMETERS}}
TOO_LONG = [{"role": "user", "content": "Q" * 9000}]
results = {"passed": 0, "failed": 0}


class Answer(pydantic.BaseModel):
    number: int
    sure: bool


def check(function):
    try:
        function()
        results["passed"] += 1
        print("ok -", function.__name__.replace("_", " "), flush=True)
    except Exception as error:  # whatever a client raises is a failure of its row
        results["failed"] += 1
        print("not ok -", function.__name__.replace("_", " "), flush=True)
        print(f"  # {type(error).__name__}: {error}"[:1500], flush=True)


def refuses(kind, call, says=""):
    try:
        call()
    except kind as error:
        assert says in str(error), str(error)
        return error
    raise AssertionError(f"no {kind.__name__}")


def day_of(arguments):
    day = (json.loads(arguments) if isinstance(arguments, str) else arguments)["day"]
    assert day in ("today", "tomorrow"), day


# ---- openai ----

oai = openai.OpenAI(base_url=URL + "/v1", api_key="none", max_retries=0, timeout=60)


def openai_lists_models():
    names = [m.id for m in oai.models.list()]
    assert "made" in names and "embed" in names, names
    assert oai.models.retrieve("made").id == "made"


def openai_chats():
    a = oai.chat.completions.create(model="made", messages=ASK, max_tokens=12, n=2, seed=1,
                                    stop=["never"], logprobs=True, top_logprobs=2)
    assert len(a.choices) == 2 and a.choices[0].message.content
    assert a.usage.total_tokens == a.usage.prompt_tokens + a.usage.completion_tokens
    assert len(a.choices[0].logprobs.content[0].top_logprobs) == 2


def openai_streams():
    text, usage, ends = "", None, []
    for chunk in oai.chat.completions.create(model="made", messages=ASK, max_tokens=12, stream=True,
                                             temperature=0,
                                             stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            ends += [choice.finish_reason] if choice.finish_reason else []
    whole = oai.chat.completions.create(model="made", messages=ASK, max_tokens=12, temperature=0)
    assert text == whole.choices[0].message.content
    assert usage.completion_tokens == whole.usage.completion_tokens and len(ends) == 1


def openai_calls_tools():
    a = oai.chat.completions.create(model="made", messages=ASK, tools=[TOOL], temperature=0,
                                    tool_choice="required", parallel_tool_calls=False,
                                    max_tokens=300)
    call = a.choices[0].message.tool_calls[0]
    assert a.choices[0].finish_reason == "tool_calls" and call.function.name == "weather"
    day_of(call.function.arguments)
    more = ASK + [a.choices[0].message.model_dump(exclude_none=True),
                  {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    assert oai.chat.completions.create(model="made", messages=more, tools=[TOOL],
                                       tool_choice="none", max_tokens=4).choices


def openai_streams_tools():
    name, arguments, ids = "", "", []
    for chunk in oai.chat.completions.create(model="made", messages=ASK, tools=[TOOL], stream=True,
                                             temperature=0, tool_choice="required",
                                             parallel_tool_calls=False, max_tokens=300):
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or []:
                assert call.index == 0
                ids += [call.id] if call.id else []
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    assert name == "weather" and len(ids) == 1
    day_of(arguments)


def openai_parses_schemas():
    a = oai.chat.completions.parse(model="made", messages=ASK, response_format=Answer,
                                   temperature=0, max_tokens=200)
    assert isinstance(a.choices[0].message.parsed, Answer)


def openai_answers_responses():
    a = oai.responses.create(model="made", input="Hello", max_output_tokens=8, temperature=0)
    assert a.output_text and a.usage.output_tokens <= 8
    b = oai.responses.create(model="made", input="And?", max_output_tokens=4,
                             previous_response_id=a.id)
    assert b.usage.input_tokens > a.usage.input_tokens
    assert oai.responses.retrieve(a.id).id == a.id
    oai.responses.delete(a.id)
    refuses(openai.NotFoundError, lambda: oai.responses.retrieve(a.id))
    with oai.responses.stream(model="made", input="Hello", max_output_tokens=8,
                              temperature=0) as stream:
        events = list(stream)
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created" and "response.output_text.delta" in kinds
    assert kinds[-1] == "response.incomplete"  # eight tokens are not enough for it
    assert events[-1].response.output_text == a.output_text


def openai_completes():
    a = oai.completions.create(model="made", prompt=["One", "Two"], max_tokens=5, echo=True)
    assert a.choices[0].text.startswith("One") and a.choices[1].text.startswith("Two")


def openai_embeds():
    a = oai.embeddings.create(model="embed", input=["the cat", "a dog"])
    b = oai.embeddings.create(model="embed", input=["the cat", "a dog"], encoding_format="float")
    assert len(a.data) == 2 and len(a.data[0].embedding) == len(b.data[0].embedding)
    assert all(abs(x - y) < 1e-6 for x, y in zip(a.data[1].embedding, b.data[1].embedding))


def openai_errors():
    chat = oai.chat.completions.create
    refuses(openai.NotFoundError, lambda: chat(model="nobody", messages=ASK), "nobody")
    refuses(openai.BadRequestError, lambda: chat(model="made", messages=ASK, temperature=99))
    error = refuses(openai.BadRequestError, lambda: chat(model="made", messages=TOO_LONG), "2048")
    assert error.code == "context_length_exceeded", error.code
    refuses(openai.BadRequestError, lambda: chat(model="embed", messages=ASK))


# ---- anthropic ----

ant = anthropic.Anthropic(base_url=URL, api_key="none", max_retries=0, timeout=60)
COLD = {"temperature": 0}  # newer packages have no name of their own for it
ANT_TOOL = {"name": "weather", "description": "the weather", "input_schema": PARAMETERS}


def anthropic_chats():
    a = ant.messages.create(model="made", max_tokens=12, messages=ASK, system="Be brief",
                            extra_body=COLD, stop_sequences=["never"])
    assert a.content[0].text and a.stop_reason == "max_tokens" and a.usage.output_tokens == 12
    counted = ant.messages.count_tokens(model="made", messages=ASK, system="Be brief").input_tokens
    assert counted == a.usage.input_tokens + a.usage.cache_read_input_tokens


def anthropic_streams():
    with ant.messages.stream(model="made", max_tokens=12, messages=ASK, extra_body=COLD) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    whole = ant.messages.create(model="made", max_tokens=12, messages=ASK, extra_body=COLD)
    assert text == whole.content[0].text == final.content[0].text
    assert final.usage.output_tokens == 12 and final.stop_reason == "max_tokens"


def anthropic_calls_tools():
    arguments = dict(model="made", max_tokens=300, messages=ASK, tools=[ANT_TOOL], extra_body=COLD,
                     tool_choice={"type": "any", "disable_parallel_tool_use": True})
    a = ant.messages.create(**arguments)
    call = [block for block in a.content if block.type == "tool_use"][0]
    assert a.stop_reason == "tool_use" and call.name == "weather"
    day_of(call.input)
    with ant.messages.stream(**arguments) as stream:
        final = stream.get_final_message()
    day_of([block for block in final.content if block.type == "tool_use"][0].input)
    more = ASK + [{"role": "assistant", "content": [block.model_dump() for block in a.content]},
                  {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id,
                                                "content": "rain"}]}]
    ant.messages.create(model="made", max_tokens=4, messages=more, tools=[ANT_TOOL])


def anthropic_errors():
    make = ant.messages.create
    refuses(anthropic.NotFoundError, lambda: make(model="nobody", max_tokens=4, messages=ASK))
    refuses(anthropic.BadRequestError, lambda: make(model="made", max_tokens=0, messages=ASK))
    refuses(anthropic.BadRequestError, lambda: make(model="made", max_tokens=4, messages=TOO_LONG),
            "2048")


# ---- ollama ----

oll = ollama.Client(host=URL, timeout=60)


def ollama_lists_and_shows():
    assert any(m.model.startswith("made") for m in oll.list().models)
    shown = oll.show("made")
    assert "completion" in shown.capabilities and "tools" in shown.capabilities
    assert shown.modelinfo["llama.context_length"] == 4096 and shown.details.format == "gguf"
    assert "embedding" in oll.show("embed").capabilities
    oll.generate("made", "", keep_alive="5m")
    assert any(m.model.startswith("made") for m in oll.ps().models)


def ollama_chats():
    options = {"temperature": 0, "num_predict": 12}
    a = oll.chat("made", messages=ASK, options=options)
    assert a.message.content and a.done and a.eval_count == 12 and a.total_duration > 0
    text = "".join(part.message.content or ""
                   for part in oll.chat("made", messages=ASK, options=options, stream=True))
    assert text == a.message.content
    assert oll.generate("made", "Hello", options=options).response


def ollama_calls_tools():
    a = oll.chat("made", messages=ASK, tools=[TOOL], options={"temperature": 0, "num_predict": 60})
    assert a.done
    for call in a.message.tool_calls or []:
        day_of(call.function.arguments)


def ollama_formats():
    a = oll.chat("made", messages=ASK, format=Answer.model_json_schema(),
                 options={"temperature": 0, "num_predict": 200})
    Answer.model_validate_json(a.message.content)


def ollama_embeds():
    assert len(oll.embed("embed", input=["the cat", "a dog"]).embeddings) == 2
    assert len(oll.embeddings("embed", prompt="the cat").embedding) > 10


def ollama_errors():
    error = refuses(ollama.ResponseError, lambda: oll.chat("nobody", messages=ASK), "nobody")
    assert error.status_code == 404
    error = refuses(ollama.ResponseError, lambda: oll.chat("made", messages=TOO_LONG), "2048")
    assert error.status_code == 400


# ---- litellm ----

litellm.suppress_debug_info = True
litellm.telemetry = False
LITE = {"model": "openai/made", "api_base": URL + "/v1", "api_key": "none", "messages": ASK,
        "max_retries": 0}


def litellm_chats_and_streams():
    a = litellm.completion(**LITE, max_tokens=12, temperature=0)
    text = "".join(chunk.choices[0].delta.content or ""
                   for chunk in litellm.completion(**LITE, max_tokens=12, temperature=0,
                                                   stream=True) if chunk.choices)
    assert text == a.choices[0].message.content
    ant_way = litellm.completion(model="anthropic/made", api_base=URL, api_key="none",
                                 messages=ASK, max_tokens=12, temperature=0)
    assert ant_way.choices[0].message.content == text
    oll_way = litellm.completion(model="ollama_chat/made", api_base=URL, messages=ASK,
                                 max_tokens=12, temperature=0)
    assert oll_way.choices[0].message.content == text


def litellm_calls_tools_and_schemas():
    a = litellm.completion(**LITE, tools=[TOOL], tool_choice="required", temperature=0,
                           parallel_tool_calls=False, max_tokens=300)
    day_of(a.choices[0].message.tool_calls[0].function.arguments)
    a = litellm.completion(**LITE, response_format=Answer, temperature=0, max_tokens=200)
    Answer.model_validate_json(a.choices[0].message.content)


def litellm_embeds():
    a = litellm.embedding(model="openai/embed", api_base=URL + "/v1", api_key="none",
                          input=["the cat", "a dog"])
    assert len(a.data) == 2


def litellm_errors():
    refuses(litellm.NotFoundError, lambda: litellm.completion(**{**LITE, "model": "openai/nobody"}))
    refuses(litellm.BadRequestError, lambda: litellm.completion(**{**LITE, "messages": TOO_LONG}))


PACKAGES = ("openai", "anthropic", "ollama", "litellm")
for row in [value for name, value in list(globals().items())
            if callable(value) and "_" in name and name.split("_")[0] in PACKAGES]:
    check(row)
print(f"{results['passed']} passed, {results['failed']} failed", flush=True)
os._exit(1 if results["failed"] else 0)  # litellm leaves threads behind
