"""A tiny server of the OpenAI API for tests, on loopback alone. Its model cuts text into words and
single marks, and finds the word that follows likely, two others less so.

    teacher_server.py PORT_FILE LOG

Ways to be asked, as the first part of the path: good; chats (no completions); silent (no
log-probabilities); flaky (429, then 500, then a broken answer, then good); broken; huge; slow;
gone (closes); calls (functions, never words); moved (redirects); locked (wants the key "sesame");
stops (refuses after the fourth).
"""
import json
import os
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

seen = {}


def pieces(text):
    return re.findall(r" ?\w+|\s|[^\w\s]", text)


def likely(piece):
    return [(piece, -0.105), (" other", -3.0), ("\u00e9", -9999.0), (".", -4.6)]


def completion(ask):
    tokens = pieces(ask["prompt"]) if ask.get("echo") else []
    tokens += [" and"][: ask["max_tokens"]]
    tops = [dict(likely(t)[: ask["logprobs"]]) for t in tokens]
    return {"choices": [{"text": "".join(tokens), "logprobs": {
        "tokens": tokens, "token_logprobs": [None] + [-0.105] * (len(tokens) - 1),
        "top_logprobs": [None] + tops[1:]}}]}


def entry(piece, logprob):
    return {"token": piece, "logprob": logprob, "bytes": list(piece.encode())}


def chat(ask, told=True, call="5"):
    said = "I call " + str(len(ask["messages"]))
    if ask["messages"][-1]["content"] == "long":
        said = "no end"
    if ask["messages"][-1]["content"].endswith(call):
        return {"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": [
            {"type": "function", "function": {"name": "dial", "arguments": "{}"}}]},
            "finish_reason": "tool_calls", "logprobs": {"content": []}}]}
    content = [dict(entry(p, -0.105), top_logprobs=[entry(*t) for t in likely(p)])
               for p in pieces(said)]
    why = "length" if said == "no end" else "stop"
    return {"choices": [{"message": {"role": "assistant", "content": said}, "finish_reason": why,
                         "logprobs": {"content": content} if told else None}]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        ask = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        _, way, _, path = self.path.split("/", 3)
        n = seen[way] = seen.get(way, 0) + 1
        with open(sys.argv[2], "a") as log:
            log.write(json.dumps({"way": way, "path": path, "ask": ask,
                                  "key": self.headers["Authorization"]}) + "\n")
        if way == "flaky" and n in (1, 3):
            return self.answer(429, {"error": {"message": "busy\u0007 now"}}, Retry_After="0")
        if way == "flaky" and n == 4:
            return self.answer(500, b"<html>no</html>")
        if way == "flaky" and n == 5:
            return self.answer(200, b'{"choices": [')
        if way == "broken":
            return self.answer(200, b'{"choices": [{"logprobs": {"tokens": [1], '
                                    b'"top_logprobs": [null]}}]}')
        if way == "huge":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(80):
                    self.wfile.write(b" " * (1 << 20))
            except OSError:
                pass
            self.close_connection = True
            return None
        if way == "slow":
            time.sleep(1.5)
        if way == "gone":
            self.close_connection = True
            return None
        if way == "moved":
            return self.answer(302, b"", Location="http://example.org/")
        if way == "locked" and self.headers["Authorization"] != "Bearer sesame":
            return self.answer(401, {"error": {"message": "who is there?"}})
        if way == "stops" and n > 4:
            return self.answer(402, {"error": {"message": "no more credit"}})
        if path == "completions" and way not in ("chats", "silent", "calls"):
            return self.answer(200, completion(ask))
        if path == "chat/completions":
            return self.answer(200, chat(ask, way != "silent", "" if way == "calls" else "5"))
        return self.answer(404, {"error": {"message": "no such path"}})


class Server(ThreadingHTTPServer):
    def handle_error(self, *_):  # who hangs up is part of the test
        pass


server = Server(("127.0.0.1", 0), Handler)
with open(sys.argv[1] + ".new", "w") as f:
    f.write(str(server.server_port))
os.replace(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
