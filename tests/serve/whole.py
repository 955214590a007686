#!/usr/bin/env python3
"""`bantam serve` whole, from outside: front, supervisor and real workers over loopback.

    whole.py BUILD [NAME ...]     runs the cases (or those named), prints TAP
    whole.py BUILD --vanish N     drops N streams in their middle, prints what each process holds
"""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from started import Started  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
SANITIZED = os.environ.get("ASAN_OPTIONS") is not None or os.environ.get("TSAN_OPTIONS") is not None
PATIENCE = 120 if SANITIZED else 60
STREAMS = 64
ASK = [{"role": "user", "content": "Say something, please"}]
# Tokens that end an answer, in the vocabulary of made-up models.
ENDERS = {str(n): -100 for n in range(311, 320)}


CALL = ['{"name": "remind", ', '"arguments": {"text": "feed the cat", ', '"day": "tomorrow", ',
        '"time": "5"}}']


class Server(Started):
    patience = PATIENCE

    def __init__(self, *arguments):
        self.folder = tempfile.mkdtemp(prefix="bantam-serve-")
        self.log = open(os.path.join(self.folder, "stderr"), "w+")
        make = os.path.join(BUILD, "tests", "support", "mkmodel")
        models = [os.path.join(self.folder, name) for name in ("made.gguf", "embed.gguf")]
        subprocess.run([make, "llama", models[0], "--template", "chatml", "--ctx", "2048"],
                       check=True)
        subprocess.run([make, "bert", models[1], "--ctx", "64"], check=True)
        models.append(os.path.join(self.folder, "assist.gguf"))
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli",
                              "scripted_model.py")
        subprocess.run([sys.executable, script, models[2], "<tool_call>", *CALL, "</tool_call>"],
                       check=True)
        here = os.path.dirname(script)
        subprocess.run([sys.executable, os.path.join(here, "make_adapter.py"),
                        os.path.join(self.folder, "tone")], check=True)
        models.append(os.path.join(self.folder, "broken.gguf"))  # its end is missing
        with open(models[0], "rb") as whole, open(models[-1], "wb") as file:
            file.write(whole.read()[:-20000])
        settings = os.path.join(self.folder, "serve.json")
        with open(settings, "w", encoding="utf-8") as f:
            json.dump({"models": [{"name": "tuned", "model": models[0], "adapters": [
                {"name": "tone", "path": os.path.join(self.folder, "tone")}]}]}, f)
        names = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
        environment = dict(os.environ, **{name: self.folder for name in names})
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "bantam"), "serve", "--port", "0", "--threads", "1",
             "--serve-config", settings]
            + [word for model in models for word in ("-m", model)] + list(arguments),
            stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment)
        for line in self.process.stdout:
            found = re.search(r"http://[^\s/]+:(\d+)", line)
            if found:
                self.port = int(found.group(1))
                return
        raise AssertionError("it did not start")

    def ask(self, path, body=None, headers=()):
        """Status and body."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        c.request("GET" if body is None else "POST", path, data, dict(headers))
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, text

    def good(self, path, body=None):
        status, text = self.ask(path, body)
        assert status == 200, (status, text[:500])
        return json.loads(text)

    def open_stream(self, n):
        """A socket on which a stream has begun."""
        s = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        body = json.dumps({"model": "made", "messages": ASK, "stream": True, "max_tokens": n,
                           "logit_bias": ENDERS})
        s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                  f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        assert b"200" in s.recv(20)
        return s

    def workers(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    parent = stat.read().rsplit(")", 1)[1].split()[1]
            except OSError:  # it has gone meanwhile
                continue
            if parent == str(self.process.pid):
                found.append(int(pid))
        return found


def all_of(s):
    text = b""
    while True:
        piece = s.recv(65536)
        if not piece:
            return text.decode("utf-8", "replace")
        text += piece


def four_apis_say_the_same(server):
    a = server.good("/v1/chat/completions", {"model": "made", "messages": ASK, "max_tokens": 9,
                                             "temperature": 0})
    want = a["choices"][0]["message"]["content"]
    b = server.good("/v1/messages", {"model": "made", "messages": ASK, "max_tokens": 9,
                                     "temperature": 0})
    c = server.good("/api/chat", {"model": "made", "messages": ASK, "stream": False,
                                  "options": {"temperature": 0, "num_predict": 9}})
    prompt = server.good("/apply-template", {"model": "made", "messages": ASK})["prompt"]
    d = server.good("/completion", {"model": "made", "prompt": prompt, "n_predict": 9,
                                    "temperature": 0})
    assert want == b["content"][0]["text"] == c["message"]["content"] == d["content"]
    vectors = server.good("/v1/embeddings", {"model": "embed", "input": ["a cat", "a dog"]})
    assert len(vectors["data"]) == 2


def an_assistant_calls_and_nothing_is_done(server):
    """Its calls are the client's to carry out."""
    said = [{"role": "user", "content": "remind me to feed the cat tomorrow at 5"}]
    a = server.good("/v1/chat/completions", {"model": "assist", "messages": said})
    call = a["choices"][0]["message"]["tool_calls"][0]["function"]
    assert a["choices"][0]["finish_reason"] == "tool_calls" and call["name"] == "remind", a
    assert json.loads(call["arguments"])["text"] == "feed the cat"
    assert not [name for _, _, names in os.walk(server.folder) for name in names
                if name.endswith(".db")]


def calls_that_are_cut_off(server):
    """Clients see what was written of them: Ollama's, who take calls whole, as text."""
    said = [{"role": "user", "content": "remind me to feed the cat tomorrow at 5"}]
    for n in range(1, 6):
        text = "<tool_call>" + "".join(CALL[:n - 1])
        body = {"model": "assist", "messages": said, "options": {"num_predict": n}}
        whole = server.good("/api/chat", dict(body, stream=False))
        lines = [json.loads(line) for line in server.ask("/api/chat", body)[1].splitlines()]
        assert lines[-1]["done_reason"] == whole["done_reason"] == "length", whole
        if n == 5:  # only the mark behind the call is missing
            calls = [c["function"] for line in lines for c in line["message"].get("tool_calls", [])]
            assert calls == [c["function"] for c in whole["message"]["tool_calls"]], lines
            assert calls[0]["arguments"]["day"] == "tomorrow"
        else:
            assert whole["message"]["content"] == text and "tool_calls" not in str(lines), whole
            assert "".join(line["message"]["content"] for line in lines) == text, lines
        a = server.good("/v1/chat/completions", {"model": "assist", "messages": said,
                                                 "max_tokens": n})["choices"][0]
        calls = a["message"].get("tool_calls")
        assert a["finish_reason"] == "length", a
        assert a["message"]["content"] == text if not calls else n > 1, a
        if calls:  # its name, and the arguments as far as they came
            begun = "".join(CALL[:n - 1]).split('"arguments": ')[1:]
            begun = [begun[0][:-1]] if n == 5 else begun  # the last bracket is the call's
            assert calls[0]["function"] == {"name": "remind",
                                            "arguments": begun[0] if begun else ""}, a
        assert bool(calls) == (n > 2), a


def calls_that_nobody_offered(server):
    """With tool_choice none, and without tools, it is text (the assistant has its own)."""
    said = [{"role": "user", "content": "remind me to feed the cat tomorrow at 5"}]
    a = server.good("/v1/chat/completions", {"model": "assist", "messages": said,
                                             "tool_choice": "none"})["choices"][0]
    assert a["message"]["content"] == "<tool_call>" + "".join(CALL) + "</tool_call>", a
    assert "tool_calls" not in a["message"] and a["finish_reason"] == "stop", a
    b = server.good("/v1/messages", {"model": "assist", "messages": said, "max_tokens": 40,
                                     "tool_choice": {"type": "none"}})
    assert b["content"] == [{"type": "text", "text": a["message"]["content"]}], b
    assert b["stop_reason"] == "end_turn", b


def sixty_four_streams_at_once(server):
    ends = []

    def one():
        text = all_of(server.open_stream(30))
        ends.append("[DONE]" in text)

    threads = [threading.Thread(target=one) for _ in range(STREAMS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(PATIENCE)
    assert len(ends) == STREAMS and all(ends), ends


def idle(server):
    end = time.time() + PATIENCE
    while time.time() < end:
        if not any(s["is_processing"] for s in server.good("/slots?model=made")):
            return True
        time.sleep(0.05)
    return False


def clients_that_vanish(server):
    for _ in range(60):
        s = server.open_stream(1500)
        s.recv(200)
        s.close()
    assert idle(server)
    four_apis_say_the_same(server)


class Skip(Exception):
    pass


def is_worker(pid):
    """It holds no socket."""
    try:
        return not any(os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
                       for fd in os.listdir(f"/proc/{pid}/fd"))
    except PermissionError as error:  # they do not let others of the user look into them
        raise Skip("needs root to tell the processes apart") from error


def a_worker_that_is_killed(server):
    workers = [pid for pid in server.workers() if is_worker(pid)]
    assert workers
    s = server.open_stream(1900)
    s.recv(100)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    text = all_of(s)
    assert "error" in text, text[-300:]
    four_apis_say_the_same(server)


def bodies_that_mean_harm(server):
    hostile = [b"[" * 10_000_000, b'{"model": "made", "messages": ' + b"[" * 5_000_000,
               b'{"model": "made", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
               b'{"model": "made", "prompt": "x", "grammar": "root ::= ' + b"(" * 50_000 + b'"}',
               b'{"model": "made", "messages": [{"role": "user", "content": "'
               + b"Q" * 3_000_000 + b'"}]}']
    for body in hostile:
        status, text = server.ask("/v1/chat/completions", body)
        assert 400 <= status < 500, (status, text[:300])
        assert "error" in json.loads(text)
    odd = [{"role": "user", "content": "a\0b"}]  # a character as any other
    for model in ("made", "assist"):
        server.good("/v1/chat/completions", {"model": model, "messages": odd, "max_tokens": 5})
    four_apis_say_the_same(server)


def make(server, modelfile, name="mine", **more):
    """A model by a Modelfile; its name."""
    answer = server.good("/api/create", {"model": name, "modelfile": modelfile, "stream": False,
                                         **more})
    assert answer["status"] == "success", answer
    return name


def refused(server, words, modelfile, **more):
    status, text = server.ask("/api/create", {"model": "none", "modelfile": modelfile,
                                              "stream": False, **more})
    assert status == 400 and words in json.loads(text)["error"], (status, text)


def prompt_of(server, model, messages):
    return server.good("/apply-template", {"model": model, "messages": messages})["prompt"]


def said(server, model, **more):
    a = server.good("/v1/chat/completions", {"model": model, "messages": ASK, **more})
    return a["choices"][0]["message"]["content"]


def a_file_that_is_no_model(server):
    """Clients are told why, by the model's name; where it lies is in the log alone."""
    path = os.path.join(server.folder, "broken.gguf")
    for ask in ("/v1/chat/completions", "/api/chat", "/v1/messages"):
        status, text = server.ask(ask, {"model": "broken", "messages": ASK, "max_tokens": 4})
        assert status == 503 and "model 'broken' cannot be loaded: tensor" in text, (status, text)
        assert server.folder not in text, text
    assert server.folder not in server.ask("/v1/models")[1] + server.ask("/api/tags")[1]
    with open(server.log.name) as log:
        assert f"its file is {path}" in log.read()


def models_with_a_system_and_messages(server):
    name = make(server, 'FROM made\nSYSTEM """Be kind\nto "cats"."""\nMESSAGE user is Paris far\n'
                        "MESSAGE assistant no\nLICENSE as you like\n")
    before = [{"role": "system", "content": 'Be kind\nto "cats".'},
              {"role": "user", "content": "is Paris far"}, {"role": "assistant", "content": "no"}]
    assert prompt_of(server, name, ASK) == prompt_of(server, "made", before + ASK)
    own = [{"role": "system", "content": "Mine."}]
    assert prompt_of(server, name, own + ASK) == prompt_of(server, "made", own + before[1:] + ASK)
    count = server.good("/v1/messages/count_tokens", {"model": name, "messages": ASK})
    assert count == server.good("/v1/messages/count_tokens",
                                {"model": "made", "system": before[0]["content"],
                                 "messages": before[1:] + ASK})
    shown = server.good("/api/show", {"model": name})
    assert shown["license"] == "as you like" and shown["system"] == before[0]["content"]
    assert shown["messages"] == before[1:], shown["messages"]
    # the same as JSON, over the old one
    make(server, "FROM made", system=before[0]["content"], messages=before[1:])
    assert prompt_of(server, name, ASK) == prompt_of(server, "made", before + ASK)
    refused(server, "MESSAGE takes", "FROM made\nMESSAGE wizard hi")


def models_with_parameters(server):
    text = said(server, "made", temperature=0, max_tokens=40, logit_bias=ENDERS)
    at = next(i for i in range(3, len(text) - 2)
              if text[i:i + 2].isascii() and text[i:i + 2].isprintable()
              and '"' not in text[i:i + 2] and text[i:i + 2].strip() == text[i:i + 2])
    stop = text[at:at + 2]
    name = make(server, f'FROM made\nPARAMETER temperature 0\nPARAMETER num_predict 40\n'
                        f'PARAMETER stop "never said"\nPARAMETER stop "{stop}"\n'
                        "PARAMETER num_thread 3\n")
    want = text[:text.index(stop)]
    assert said(server, name, logit_bias=ENDERS) == want
    # a request's own replace them
    assert said(server, name, logit_bias=ENDERS, stop=["never"], max_tokens=40) == text
    assert stop in server.good("/api/show", {"model": name})["parameters"]
    refused(server, "temperature must be", "FROM made\nPARAMETER temperature hot")
    refused(server, "cannot be set", "FROM made\nPARAMETER wings 2")


def models_with_templates(server):
    jinja = "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}[me]"
    name = make(server, f'FROM made\nTEMPLATE """{jinja}"""')
    assert prompt_of(server, name, ASK) == "[user] Say something, please [me]"
    go = ("{{ if .System }}<sys>{{ .System }}</sys>\n{{ end }}{{ if .Prompt }}Q: {{ .Prompt }}\n"
          "{{ end }}A: {{ .Response }}\n")
    make(server, f'FROM made\nTEMPLATE """{go}"""\nSYSTEM short')
    talk = ASK + [{"role": "assistant", "content": "ho"}, {"role": "user", "content": "more"}]
    assert (prompt_of(server, name, talk)
            == "<sys>short</sys>\nQ: Say something, please\nA: ho\nQ: more\nA: ")
    assert server.good("/api/show", {"model": name})["template"] == go
    assert len(said(server, name, max_tokens=3, temperature=0)) >= 0
    refused(server, ".Tools is not translated; leave TEMPLATE out",
            "FROM made\nTEMPLATE {{ if .Tools }}x{{ end }}")


def models_with_adapters(server):
    plain = said(server, "tuned", temperature=0, max_tokens=24, logit_bias=ENDERS)
    tone = said(server, "tuned", temperature=0, max_tokens=24, logit_bias=ENDERS, adapters=["tone"])
    assert plain != tone
    name = make(server, "FROM tuned\nADAPTER ./tone")
    assert said(server, name, temperature=0, max_tokens=24, logit_bias=ENDERS) == tone
    refused(server, "configuration", "FROM made\nADAPTER ./tone")
    refused(server, "bantam quantize", "FROM made", quantize="q4_K_M")
    status, text = server.ask("/api/create", {"model": "none", "modelfile": "FROM /etc/passwd",
                                              "stream": False})
    assert status == 404 and "/etc/passwd" in json.loads(text)["error"], (status, text)


def models_that_nobody_has(server):
    shapes = {"/v1/chat/completions": lambda e: e["error"]["code"] == "model_not_found",
              "/v1/responses": lambda e: e["error"]["code"] == "model_not_found",
              "/v1/embeddings": lambda e: e["error"]["code"] == "model_not_found",
              "/v1/messages": lambda e: e["type"] == "error"
              and e["error"]["type"] == "not_found_error",
              "/api/chat": lambda e: "nobody" in e["error"],
              "/api/show": lambda e: "nobody" in e["error"],
              "/completion": lambda e: e["error"]["type"] == "not_found_error"}
    for path, good in shapes.items():
        body = {"model": "nobody", "messages": ASK, "input": "x", "prompt": "x", "max_tokens": 4}
        status, text = server.ask(path, body)
        assert status == 404 and good(json.loads(text)), (path, status, text)
    for path in ("/v1/models/nobody", "/v1/messages?x=y"):  # of Anthropic's clients
        status, text = server.ask(path, headers={"anthropic-version": "2023-06-01"})
        assert json.loads(text)["type"] == "error", text


def what_editors_list(server):
    """Ollama's own program shows the beginnings of digests; llama.cpp's clients count slots."""
    def digests():
        rows = server.good("/api/tags")["models"] + server.good("/api/ps")["models"]
        assert all(re.fullmatch("[0-9a-f]{64}", m["digest"]) for m in rows), rows
        return {m["name"]: m["digest"] for m in rows}

    server.good("/api/copy", {"source": "made", "destination": "twin"})
    make(server, "FROM made\nSYSTEM Other.", name="other")
    found = digests()
    assert found["twin"] == found["made"] != found["other"] != found["embed"]
    assert found == digests()
    said(server, "made", max_tokens=1)
    assert server.good("/props?model=made")["total_slots"] == len(server.good("/slots?model=made"))


def what_was_made_and_removed_is_forgotten(server):
    """What is remembered for the next start is what is there, however much came and went."""
    def verbs():
        with open(os.path.join(server.folder, "bantam", "serve-models.json")) as file:
            return [dict(pairs) for pairs in json.load(file)]

    def remove(name):
        c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        c.request("DELETE", "/api/delete", json.dumps({"model": name}))
        assert c.getresponse().status == 200
        c.close()

    for i in range(12):
        server.good("/api/create", {"model": f"brief-{i % 3}", "from": "made", "system": "Hm."})
        if i % 2:
            remove(f"brief-{i % 3}")
    assert len(verbs()) <= 3, verbs()
    server.good("/api/create", {"model": "first", "from": "made", "system": "Be brief."})
    server.good("/api/copy", {"source": "first", "destination": "second"})
    remove("first")  # the second was made of it
    assert [v["verb"] for v in verbs()[-3:]] == ["create", "copy", "delete"], verbs()
    remove("second")
    assert not [v for v in verbs() if "first" in v.values() or "second" in v.values()], verbs()


def ends_what_runs(server):
    s = server.open_stream(60)
    server.process.send_signal(signal.SIGTERM)
    assert "[DONE]" in all_of(s)
    assert server.process.wait(PATIENCE) == 0


def no_sanitizer_spoke(server):
    """What one of them finds in a process that ends for it may be seen nowhere else."""
    with open(server.log.name) as log:
        said = log.read()
    assert "Sanitizer" not in said and "runtime error" not in said, said[:2000]


CASES = [four_apis_say_the_same, an_assistant_calls_and_nothing_is_done, calls_that_are_cut_off,
         calls_that_nobody_offered,
         sixty_four_streams_at_once, clients_that_vanish, a_worker_that_is_killed,
         bodies_that_mean_harm, what_was_made_and_removed_is_forgotten,
         models_with_a_system_and_messages, models_with_parameters, models_with_templates,
         models_with_adapters, models_that_nobody_has, what_editors_list, a_file_that_is_no_model,
         ends_what_runs, no_sanitizer_spoke]


def held(server):
    """What each process holds: (name, process, MiB, descriptors)."""
    rows = []
    for pid in [server.process.pid] + sorted(server.workers()):
        with open(f"/proc/{pid}/status") as status:
            resident = int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024
        name = "supervisor" if pid == server.process.pid else \
            "worker" if is_worker(pid) else "front"
        rows.append((name, pid, round(resident, 1), len(os.listdir(f"/proc/{pid}/fd"))))
    return rows


def vanish(server, n):
    def some(count):
        for _ in range(count):
            s = server.open_stream(1500)
            s.recv(200)
            s.close()

    for part in (n // 10, n):
        threads = [threading.Thread(target=some, args=(part // 8,)) for _ in range(8)]
        begin = time.time()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert idle(server)
        print(f"{part // 8 * 8} dropped in {time.time() - begin:.0f} s:", flush=True)
        for row in held(server):
            print("  %s %d: %.1f MiB, %d descriptors" % row, flush=True)


def main():
    if sys.argv[2:3] == ["--vanish"]:
        with Server("-c", "2048") as server:
            vanish(server, int(sys.argv[3]))
        return
    cases = [c for c in CASES if not sys.argv[2:] or c.__name__ in sys.argv[2:]]
    print(f"1..{len(cases)}", flush=True)
    failed = 0
    with Server("-c", "2048") as server:
        for i, case in enumerate(cases, 1):
            name = case.__name__.replace("_", " ")
            try:
                case(server)
                print(f"ok {i} - {name}", flush=True)
            except Skip as why:
                print(f"ok {i} - {name} # SKIP {why}", flush=True)
            except Exception as error:  # all that goes wrong is a failure of its case
                failed = 1
                print(f"not ok {i} - {name}\n# {type(error).__name__}: {str(error)[:600]}",
                      flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
