#!/usr/bin/env python3
"""The front and the supervisor from outside, over loopback, with make-believe workers.

    front.py FAKE-SERVE [NAME ...]          runs the cases (or those named), prints TAP
    front.py FAKE-SERVE --half-open N       opens N silent connections, prints what /health takes
    front.py FAKE-SERVE --vanish N          drops N streams in their middle, prints what it left

FAKE-SERVE is the program of fake_serve.c, whose head says what its workers understand.
"""
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import warnings

sys.dont_write_bytecode = True
from started import Started  # noqa: E402

PROGRAM = sys.argv[1]
SANITIZED = os.environ.get("ASAN_OPTIONS") is not None or os.environ.get("TSAN_OPTIONS") is not None
PATIENCE = 60 if SANITIZED else 20
HANG = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18\r\n\r\n"
        b'{"model":"a"} hang')


class Server(Started):
    patience = PATIENCE

    def __init__(self, *arguments, models=("a",), port=0, descriptors=0):
        self.folder = tempfile.mkdtemp(prefix="bantam-front-")
        command = [PROGRAM, "--port", str(port), "--state", self.folder + "/state-%d.json"]
        for model in models:
            command += ["--model", model]
        self.log = open(self.folder + "/log", "w+")
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        self.process = subprocess.Popen(command + ["--log", "1"] + list(arguments),
                                        stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        preexec_fn=limit if descriptors else None)
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            raise AssertionError("did not start: " + line + self.said())
        self.url = line.split()[1]
        self.port = int(self.url.rsplit(":", 1)[1])

    def said(self):
        with open(self.folder + "/log") as log:
            return log.read()

    def state(self):
        with open(f"{self.folder}/state-{self.port}.json") as file:
            try:
                return json.load(file)
            except ValueError:  # being written
                time.sleep(0.05)
                return self.state()

    def connect(self, timeout=PATIENCE):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method, path, body=None, headers=None):
        """Status, headers, body."""
        c = self.connect()
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, r.headers, data

    def chat(self, words="", model="a", headers=None):
        return self.ask("POST", "/v1/chat/completions",
                        '{"model":"%s"} %s' % (model, words), headers)

    def raw(self, data=b""):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        s.sendall(data)
        return s

    def stream(self, words, model="a"):
        """A socket with the request sent."""
        body = ('{"model":"%s"} stream %s' % (model, words)).encode()
        return self.raw(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                        b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def metric(self, name):
        for line in self.ask("GET", "/metrics")[2].decode().splitlines():
            if line.startswith(name + " ") or line.startswith(name + "{"):
                return float(line.rsplit(" ", 1)[1])
        return None

    def eventually(self, what, seconds=PATIENCE):
        until = time.time() + seconds
        while time.time() < until:
            value = what()
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError("did not come: " + self.said())


def read_all(s):
    data = b""
    try:
        while True:
            part = s.recv(65536)
            if not part:
                return data
            data += part
    except (ConnectionResetError, socket.timeout):
        return data


def read_until(s, mark):
    data = b""
    while mark not in data:
        part = s.recv(65536)
        if not part:
            raise AssertionError("ended after %r" % data)
        data += part
    return data


def same(a, b):
    if a != b:
        raise AssertionError("%r is not %r" % (a, b))


def true(value, what=""):
    if not value:
        raise AssertionError(str(what))


# ---- what is answered -------------------------------------------------------


def answers_and_refusals():
    with Server(models=("a", "brokenb")) as s:
        status, headers, body = s.ask("GET", "/health")
        same((status, json.loads(body)["status"]), (200, "ok"))
        same(s.chat("tokens=2")[2], b'{"n":0}\n{"n":1}\n')
        same(s.ask("GET", "/nothing")[0], 404)
        status, headers, body = s.ask("GET", "/v1/chat/completions")
        same((status, headers["Allow"]), (405, "POST, OPTIONS"))
        true(json.loads(body)["error"])
        same(s.ask("DELETE", "/health")[0], 405)
        same(s.chat(model="unknown")[0], 404)
        same(s.chat(model="a:latest")[0], 200)
        same(s.chat(model="default")[0], 200)
        same(s.ask("POST", "/v1/chat/completions", "{}")[0], 200)
        status, _, body = s.chat(model="brokenb")
        same(status, 503)
        true(b"no model" in body, body)
        same(s.ask("POST", "/v1/chat/completions", "<a/>", {"Content-Type": "text/xml"})[0], 415)
        same(s.ask("POST", "/v1/chat/completions", "x", {"Content-Encoding": "gzip"})[0], 415)
        same(s.ask("POST", "/v1/chat/completions", "{}",
                   {"Content-Type": "application/json; charset=utf-8"})[0], 200)
        status, headers, body = s.ask("HEAD", "/health")
        same((status, body), (200, b""))
        same(s.ask("GET", "/", headers={"X-Request-Id": "mine-1"})[1]["X-Request-Id"], "mine-1")
        true("\n" not in s.ask("GET", "/", headers={"X-Request-Id": "a b"})[1]["X-Request-Id"])
        ids = [m["id"] for m in json.loads(s.ask("GET", "/v1/models")[2])["data"]]
        true("a" in ids and "brokenb" in ids, ids)
        same(s.ask("GET", "/v1/models/a")[0], 200)
        same(s.ask("GET", "/v1/models/zz")[0], 404)
        same(s.ask("POST", "/api/show", '{"model":"a"}')[0], 200)
        same(s.ask("POST", "/api/show", "{}")[0], 400)
        same(s.ask("GET", "/slots")[0], 200)


def bodies():
    with Server() as s:
        # 16 MiB are a chat's bound: said before they are sent, and while they come.
        for head in (b"Content-Length: 17000000\r\n\r\n{",):
            c = s.raw(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + head)
            true(b" 413 " in read_until(c, b"}"))
            c.close()
        c = s.raw(b"POST /api/show HTTP/1.1\r\nHost: localhost\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            c.sendall(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")
        c.sendall(b"0\r\n\r\n")
        true(b" 413 " in read_until(c, b"}"))
        c.close()
        # Larger than any ring has room for at once, there and back.
        body = '{"model":"a"} echo ' + "y" * 9000000
        same(s.ask("POST", "/v1/chat/completions", body)[2], body.encode())
        body = b'{"model":"a"} echo'
        head = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body))
        c = s.raw(head)
        for byte in body:
            c.sendall(bytes([byte]))
        true(read_until(c, b"echo").endswith(body))
        # Several requests on one connection, the second sent before the first is answered.
        c.sendall(head + body + head + body)
        text = read_until(c, b"echo")
        while text.count(b"echo") < 2:
            text += read_until(c, b"echo")
        same(text.count(b" 200 OK"), 2)
        c.close()
        same(s.ask("GET", "/health")[0], 200)


OPENAI, ANTHROPIC, OLLAMA = "/v1/chat/completions", "/v1/messages", "/api/chat"


def no_http():
    """(status, path whose API shapes the error, bytes): one that reads strictly and says so."""
    host = "Host: localhost\r\n"
    yield 400, None, "nonsense\r\n\r\n"
    yield 400, None, "GET /\r\n\r\n"
    yield 400, None, "GET / HTTP/x.1\r\n\r\n"
    yield 400, None, "GET /a b HTTP/1.1\r\n%s\r\n" % host
    yield 505, None, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield 505, None, "GET / HTTP/0.9\r\n\r\n"
    yield 414, None, "GET /%s HTTP/1.1\r\n%s\r\n" % ("x" * 30000, host)
    yield 414, OPENAI, "GET /v1/%s HTTP/1.1\r\n%s\r\n" % ("x" * 3000, host)
    yield 405, OPENAI, "PROPFIND %s HTTP/1.1\r\nConnection: close\r\n%s\r\n" % (OPENAI, host)
    for path in OPENAI, ANTHROPIC, OLLAMA:
        def post(headers, body="", path=path, host=host):
            return "POST %s HTTP/1.1\r\n%s%s\r\n%s" % (path, host, headers, body)

        yield 400, path, post("", host="")
        yield 400, path, post("a b\r\n")
        yield 400, path, post("A b: c\r\n")
        yield 400, path, post("Content-Length : 5\r\n", "hello")
        yield 400, path, post("X: a\x01b\r\n")
        yield 400, path, post(host)
        yield 431, path, post("X: %s\r\n" % ("y" * 30000))
        yield 431, path, post("X: y\r\n" * 3000)
        for length in "x", "-1", "5x", "5, 5", "+5", "", "0x5":
            yield 400, path, post("Content-Length: %s\r\n" % length, "hello")
        yield 413, path, post("Content-Length: %d\r\n" % 10**30)
        yield 413, path, post("Content-Length: 99999999999\r\n", "{")
        yield 400, path, post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")
        chunked = "Transfer-Encoding: chunked\r\n"
        yield 400, path, post("Content-Length: 5\r\n" + chunked, "0\r\n\r\n")
        yield 501, path, post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")
        yield 501, path, post(chunked + chunked, "0\r\n\r\n")
        yield 400, path, post(chunked, "zz\r\n")
        yield 400, path, post(chunked, "-1\r\n")
        yield 400, path, post(chunked, "2\r\nhello\r\n0\r\n\r\n")
        yield 400, path, post(chunked, "4\r\n{  }\r\n;\r\n")
        yield 413, path, post(chunked, "f" * 30 + "\r\n")


def shape_of(body):
    error = json.loads(body)
    if error.get("type") == "error":
        return ANTHROPIC
    return OLLAMA if isinstance(error["error"], str) else OPENAI


def answer_of(c):
    """Status and body of the one answer that is there before the end."""
    data = read_all(c)
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.I)
    true(data.startswith(b"HTTP/1.1 ") and length and len(body) == int(length[1]), data[:300])
    return int(data[9:12]), body


def malformed():
    with Server() as s:
        s.chat()
        slowest = 0
        for status, path, text in no_http():
            begin = time.time()
            c = s.raw(text.encode("latin-1"))
            got, body = answer_of(c)
            slowest = max(slowest, time.time() - begin)
            c.close()
            true(got == status, "%d and not %d for %r" % (got, status, text[:150]))
            true(path is None or shape_of(body) == path, (text[:80], body))
        true(slowest < PATIENCE / 10, slowest)
        # A good request first, the bad one behind it, in one piece and in two.
        good = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        c = s.raw(good + b"POST /v1/messages HTTP/1.1\r\n\r\n")
        same(re.findall(rb"HTTP/1.1 (\d+)", read_all(c)), [b"200", b"400"])
        c = s.raw(good)
        read_until(c, b"}")
        c.sendall(b"bad\r\n\r\n")
        true(b" 400 " in read_all(c))
        # In two pieces, and by a client that sends no more but listens.
        text = b"POST /v1/messages HTTP/1.1\r\nContent-Length: x\r\nHost: a\r\n\r\n"
        c = s.raw(text[:40])
        time.sleep(0.05)
        c.sendall(text[40:])
        c.shutdown(socket.SHUT_WR)
        same(answer_of(c)[0], 400)
        # Its answer is not lost to one that goes on sending for a while.
        c = s.raw(b"POST /api/chat HTTP/1.1\r\nHost: x.localhost\r\n"
                  b"Content-Length: 99999999\r\n\r\n")
        for _ in range(200):
            c.sendall(b"x" * 10000)
        same(answer_of(c)[0], 413)
        # Empty lines before a request are nobody's harm; lines without end are.
        c = s.raw(b"\r\n\r\n" + good)
        true(b" 200 " in read_until(c, b"}"))
        c.close()
        same(s.ask("GET", "/health")[0], 200)
        true(s.metric("bantam_malformed_total") > 60)
        s.eventually(lambda: s.metric("bantam_connections") == 1)
        front = s.state()["front_pid"]
        before = len(os.listdir(f"/proc/{front}/fd"))
        for _ in range(300):
            c = s.raw(b"x\r\n" + b"y" * 5000)
            c.close()
        s.eventually(lambda: len(os.listdir(f"/proc/{front}/fd")) <= before)
    with Server("--header", "0.4", "--body", "0.4") as s:  # too late is said too
        for text in (b"POST /v1/messages HTTP/1.1\r\nHost: [::1]\r\n",
                     b"POST /v1/messages HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 9\r\n\r\n{"):
            status, body = answer_of(s.raw(text))
            same((status, shape_of(body)), (408, ANTHROPIC))
        same(read_all(s.raw(b"")), b"")


def much_at_once():
    """Bodies, and answers that nobody takes: bounded in all, others are served meanwhile."""
    with Server("--bodies", "2700000") as s:
        s.chat()
        body = b'{"model":"a"} echo ' + b"x" * 900000
        head = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body))
        half = [s.raw(head + body[:600000]) for _ in range(2)]
        time.sleep(0.2)
        chunked = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                   b"Transfer-Encoding: chunked\r\n\r\n")
        for text in head + body, chunked + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n":
            c = s.raw()
            try:
                c.sendall(text)
            except OSError:
                pass
            answer = read_until(c, b"}")
            true(b" 429 " in answer and b"Retry-After" in answer, answer)
            c.close()
        same(s.chat()[0], 200)
        half[0].sendall(body[600000:])
        same(len(read_until(half[0], b"x" * 1000)) > 0, True)
        for c in half:
            c.close()
        s.eventually(lambda: s.ask("POST", "/v1/chat/completions", body)[0] == 200)
    with Server("--answers", "4000000") as s:
        s.chat()
        greedy = [s.stream("size=60000 tokens=100000 ms=1") for _ in range(8)]
        s.eventually(lambda: s.metric("bantam_clients_slow_total") >= 8)
        same(s.chat("tokens=2")[0], 200)
        s.eventually(lambda: s.metric("bantam_worker_running") == 0)
        true(SANITIZED or s.metric("bantam_front_resident_bytes") < 40 << 20)
        for c in greedy:
            c.close()


def whose_pages_and_names():
    with Server("--origin", "http://good.example") as s:
        def host(name):
            return s.ask("GET", "/v1/models", headers={"Host": name})[0]

        good = ("localhost", "127.0.0.1:1", "[::1]:80", "192.168.3.4", "x.localhost")
        bad = ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1")
        same([host(h) for h in good], [200] * 5)
        same([host(h) for h in bad], [403] * 4)
        status, headers, _ = s.ask("GET", "/v1/models", headers={"Origin": "http://evil.example"})
        same((status, headers["Access-Control-Allow-Origin"]), (403, None))
        same(s.ask("GET", "/v1/models", headers={"Origin": "null"})[0], 403)
        status, headers, _ = s.ask("GET", "/v1/models", headers={"Origin": "http://good.example"})
        same((status, headers["Access-Control-Allow-Origin"]), (200, "http://good.example"))
        status, headers, _ = s.ask("OPTIONS", "/v1/chat/completions",
                                   headers={"Origin": "http://good.example",
                                            "Access-Control-Request-Method": "POST"})
        same((status, headers["Access-Control-Allow-Methods"]), (204, "POST, OPTIONS"))
        same(s.ask("OPTIONS", "/v1/chat/completions", headers={"Origin": "http://evil"})[0], 403)
        own = "http://127.0.0.1:%d" % s.port
        same(s.ask("GET", "/v1/models", headers={"Origin": own})[0], 200)


def keys_and_their_limits():
    key = "a-key-of-sufficient-length"
    with Server("--key", key, "--concurrent", "1", "--per-minute", "4") as s:
        bearer = {"Authorization": "Bearer " + key}
        same(s.ask("GET", "/health")[0], 200)
        same(s.ask("GET", "/v1/models")[0], 401)
        same(s.chat()[0], 401)
        same(s.chat(headers={"Authorization": "Bearer " + key + "x"})[0], 401)
        same(s.chat(headers={"Authorization": "Bearer " + "x" * 3000})[0], 401)
        same(s.chat(headers={"X-Api-Key": key})[0], 200)
        if time.time() % 60 > 50:  # a minute must not end in between
            time.sleep(61 - time.time() % 60)
        body = '{"model":"a"} stream tokens=100 ms=50'
        first = s.connect()
        first.request("POST", "/v1/chat/completions", body, bearer)
        first.getresponse().read(5)
        status, headers, _ = s.chat(headers=bearer)
        same((status, headers["Retry-After"]), (429, "1"))
        first.close()
        codes = []
        for _ in range(8):
            time.sleep(0.2)
            codes.append(s.chat(headers=bearer))
        true(200 in [c[0] for c in codes], [c[0] for c in codes])
        same(codes[-1][0], 429)
        true(1 <= int(codes[-1][1]["Retry-After"]) <= 60)
        true("a-key-of" not in s.said())


# ---- clients that are slow, or go -------------------------------------------


def clients_that_go():
    with Server() as s:
        s.chat()
        for words in ("stream tokens=100000 ms=20", "hang"):
            before = s.metric("bantam_worker_cancelled") or 0
            c = s.stream(words) if "stream" in words else s.raw(HANG)
            if "stream" in words:
                read_until(c, b'"n":1}')
            else:
                time.sleep(0.3)
            c.close()
            s.eventually(lambda: (s.metric("bantam_worker_cancelled") or 0) > before)
        s.eventually(lambda: s.metric("bantam_worker_running") == 0)
        same(s.metric("bantam_requests"), 1)  # the one that asks


def slow_clients():
    with Server("--header", "0.8", "--body", "1.2", "--write", "1") as s:
        begin = time.time()
        silent = s.raw()
        trickle = s.raw(b"GET /health HTTP/1.1\r\n")
        late = s.raw(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                     b"Content-Length: 1000\r\n\r\n{")
        stop = threading.Event()

        def feed():
            try:
                while not stop.is_set():
                    trickle.sendall(b"X")
                    late.sendall(b" ")
                    time.sleep(0.1)
            except OSError:
                pass

        feeder = threading.Thread(target=feed)
        feeder.start()
        for c, most in ((silent, 2), (trickle, 2), (late, 3)):
            read_all(c)
            true(time.time() - begin < most * 5, time.time() - begin)
        stop.set()
        feeder.join()
        # One that asks for much and takes nothing; others are served meanwhile.
        greedy = s.stream("size=60000 tokens=100000 ms=1")
        quick = time.time()
        same(s.chat("tokens=2")[0], 200)
        true(time.time() - quick < 10)
        s.eventually(lambda: s.metric("bantam_clients_slow_total") >= 2)
        s.eventually(lambda: s.metric("bantam_worker_running") == 0)
        for c in (silent, trickle, late, greedy):
            c.close()


def many_silent(n=1500):
    with Server("--connections", str(n + 400)) as s:
        s.chat()
        worst, memory = half_open(s, n)
        true(worst < 2, worst)
        if not SANITIZED:
            true(memory < 400 << 20, memory)
        # More than there is room for: the oldest silent ones go, a request comes through.
        crowd = [s.raw() for _ in range(n + 500)]
        same(s.ask("GET", "/health")[0], 200)
        for c in crowd:
            c.close()


def few_descriptors():
    with Server(descriptors=700) as s:
        s.chat()
        crowd = [s.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\n") for _ in range(900)]
        begin = time.time()
        for _ in range(5):
            same(s.ask("GET", "/health")[0], 200)
        same(s.chat("tokens=2")[0], 200)
        true(time.time() - begin < 5, time.time() - begin)  # no waiting for deadlines
        for c in crowd:
            c.close()


def half_open(s, n):
    crowd = [s.raw(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x") for _ in range(n)]
    s.eventually(lambda: s.metric("bantam_connections") > n)
    took = []
    for _ in range(50):
        begin = time.time()
        same(s.ask("GET", "/health")[0], 200)
        took.append(time.time() - begin)
    worst = max(took)
    if len(sys.argv) > 3:
        print("median %.2f ms" % (1000 * sorted(took)[25]))
    memory = s.metric("bantam_front_resident_bytes")
    for c in crowd:
        c.close()
    s.eventually(lambda: s.metric("bantam_connections") < 10)
    return worst, memory


def vanish(s, n):
    def once():
        c = s.stream("tokens=100000 ms=5")
        c.recv(64)
        c.close()

    def held(pid):
        return len(os.listdir(f"/proc/{pid}/fd"))

    front = s.state()["front_pid"]
    for _ in range(n // 10):
        once()
    s.eventually(lambda: s.metric("bantam_worker_running") == 0)
    before = (s.metric("bantam_front_resident_bytes") / 2**20, held(front))
    for _ in range(n):
        once()
    s.eventually(lambda: s.metric("bantam_worker_running") == 0)
    return before, (s.metric("bantam_front_resident_bytes") / 2**20, held(front))


def vanished_leave_nothing():
    with Server() as s:
        s.chat()
        before, after = vanish(s, 300)
        true(after[0] < before[0] + (50 if SANITIZED else 1), (before, after))
        true(after[1] <= before[1] + 1, (before, after))


def streams_side_by_side(n=100):
    with Server() as s:
        s.chat()
        crowd = [s.stream("tokens=20 ms=20") for _ in range(n)]
        ends = [read_until(c, b"[DONE]") for c in crowd]
        for text in ends:
            same(re.findall(rb'"n":(\d+)', text), [str(i).encode() for i in range(20)])
        true(s.metric("bantam_worker_most_at_once") > n / 2)


# ---- processes that end -----------------------------------------------------


def worker_dies():
    with Server() as s:
        s.chat()
        pid = s.eventually(lambda: s.state()["models"])[0]["pid"]
        c = s.stream("tokens=100000 ms=20")
        read_until(c, b'"n":1}')
        silent = s.raw(HANG)
        time.sleep(0.3)
        os.kill(pid, signal.SIGKILL)
        begin = time.time()
        text = read_until(c, b"0\r\n\r\n")
        true(b"error" in text and b"signal 9" in text, text)
        true(b" 503 " in read_until(silent, b"}"))
        same(s.chat("tokens=1")[0], 200)
        true(time.time() - begin < 10, time.time() - begin)
        true(s.eventually(lambda: [m for m in s.state()["models"] if m["pid"] != pid]))
        # A request that kills it, and one that makes it talk nonsense.
        same(s.chat("crash")[0], 503)
        same(s.chat("tokens=1")[0], 200)
        same(s.chat("garbage")[0], 503)
        same(s.chat("tokens=1")[0], 200)


def worker_hangs():
    with Server("--silent", "3") as s:
        s.chat()
        pid = s.eventually(lambda: s.state()["models"])[0]["pid"]
        c, silent = s.stream("tokens=100000 ms=20"), s.raw(HANG)
        read_until(c, b'"n":1}')
        os.kill(pid, signal.SIGSTOP)
        begin = time.time()
        text = read_until(c, b"0\r\n\r\n")
        true(b"error" in text and b"hangs" in text, text[-300:])
        true(b" 503 " in read_until(silent, b"}"))
        true(2 < time.time() - begin < 20, time.time() - begin)
        same(s.chat()[0], 200)
        s.eventually(lambda: "did not answer within 3 seconds" in s.said())
        # All stopped for a while, as by Ctrl-Z: nobody is to blame.
        def settled():
            time.sleep(0.5)  # what ps reads is written five times a second at most
            return s.state()["models"] and s.state()

        state = s.eventually(settled)
        everyone = [s.process.pid, state["front_pid"], state["models"][0]["pid"]]
        for pid in everyone:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(4.5)
        for pid in everyone:
            os.kill(pid, signal.SIGCONT)
        time.sleep(1)
        same(s.state()["models"][0]["pid"], everyone[2])
        same(s.chat()[0], 200)
    with Server("--stalled", "1") as s:  # says that it is there, does nothing
        same(s.chat("ms=500 tokens=5")[0], 200)
        same(s.chat("hang")[0], 503)
        s.eventually(lambda: "did not get on" in s.said())
        same(s.chat()[0], 200)


def front_dies():
    with Server() as s:
        s.chat()
        before = s.eventually(lambda: s.state()["models"] and s.state())
        c = s.stream("tokens=100000 ms=20")
        read_until(c, b'"n":1}')
        os.kill(before["front_pid"], signal.SIGKILL)
        read_all(c)
        same(s.process.stdout.readline().split(), ["again", s.url])
        same(s.chat("tokens=1")[0], 200)
        after = s.eventually(lambda: s.state() if s.state()["front_pid"] != before["front_pid"]
                             else None)
        same(after["models"][0]["pid"], before["models"][0]["pid"])
        s.eventually(lambda: s.metric("bantam_worker_running") == 0)  # the old stream was given up


def ends_politely():
    with Server() as s:
        s.chat()
        short, long = s.stream("tokens=10 ms=50"), s.stream("tokens=100000 ms=20")
        read_until(short, b'"n":1}')
        read_until(long, b'"n":1}')
        begin = time.time()
        s.process.send_signal(signal.SIGTERM)
        s.eventually(lambda: s.ask("GET", "/health")[0] == 503)
        same(s.chat()[0], 503)
        true(b"[DONE]" in read_until(short, b"0\r\n\r\n"))
        text = read_until(long, b"0\r\n\r\n")
        true(b"shutting down" in text, text[-300:])
        same(s.process.wait(PATIENCE), 0)
        true(time.time() - begin < 20, time.time() - begin)
        same(os.path.exists(f"{s.folder}/state-{s.port}.json"), False)


def ends_at_once():
    with Server() as s:
        c = s.stream("tokens=100000 ms=20")
        read_until(c, b'"n":1}')
        begin = time.time()
        s.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        s.process.send_signal(signal.SIGTERM)
        same(s.process.wait(PATIENCE), 0)
        true(time.time() - begin < 10)


def parent_vanishes():
    with Server() as s:
        s.chat()
        state = s.eventually(lambda: s.state()["models"] and s.state())
        s.process.kill()
        s.process.wait()

        def gone(pid):
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
            except OSError:
                return True

        s.eventually(lambda: gone(state["front_pid"]) and gone(state["models"][0]["pid"]))


# ---- models come and go ------------------------------------------------------


def files_come_and_go():
    folder = tempfile.mkdtemp()

    def put(name, text=""):
        with open(folder + "/" + name, "w") as file:
            file.write(text)

    def names():
        return [m["id"] for m in json.loads(s.ask("GET", "/v1/models")[2])["data"]]

    with Server("--folder", folder) as s:
        same(s.chat(model="new")[0], 404)
        put("new")
        same(s.eventually(lambda: s.chat(model="new")[0] == 200), True)
        same(names(), ["a", "new"])
        begin = time.time()
        same([s.chat(model="none")[0] for _ in range(20)], [404] * 20)
        true(time.time() - begin < 10, time.time() - begin)
        put("other")
        s.eventually(lambda: names() == ["a", "new", "other"])
        c = s.stream("tokens=100 ms=20", model="new")
        read_until(c, b'"n":1}')
        os.remove(folder + "/new")
        s.eventually(lambda: names() == ["a", "other"])
        s.eventually(lambda: s.state()["offered"] == 2)
        same(s.chat(model="new")[0], 404)
        true(b"[DONE]" in read_until(c, b"0\r\n\r\n"))  # what runs there ends as it should
        same(s.chat()[0], 200)
        for i in range(1100):  # more than there is room for
            put("many%d" % i)
        s.eventually(lambda: len(names()) > 1000)
        true(len(names()) <= 1024)
        same(s.chat()[0], 200)
        same(s.ask("POST", "/api/copy", '{"source":"a","destination":"b"}')[0], 500)
    shutil.rmtree(folder)


def idle_models_go():
    with Server("--keep", "400") as s:
        same(s.chat()[0], 200)
        s.eventually(lambda: s.state()["models"] == [])
        same(s.chat()[0], 200)
        c = s.stream("tokens=60 ms=20")  # longer than it may be idle
        true(b"[DONE]" in read_until(c, b"0\r\n\r\n"))


def asked_while_it_goes():
    """A request that comes while the model is being unloaded waits for it to be loaded again."""
    with Server("--keep", "1") as s:
        for i in range(25):
            same(s.chat("tokens=1")[0], 200)
            time.sleep(0.001 * (30 + 7 * i % 40))


def more_models_than_seats():
    names = tuple("m%d" % i for i in range(20))
    with Server(models=names) as s:
        for name in names + names[:3]:
            same(s.chat(model=name)[0], 200)
        true(len(s.state()["models"]) <= 16)
        results = []
        threads = [threading.Thread(target=lambda n=n: results.append(s.chat("ms=20", model=n)[0]))
                   for n in names]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        same(results, [200] * len(names))


def slow_to_load():
    with Server(models=("slowa",)) as s:
        results = []
        threads = [threading.Thread(target=lambda: results.append(s.chat(model="slowa")[0]))
                   for _ in range(8)]
        for t in threads:
            t.start()
        same(s.ask("GET", "/health")[0], 200)
        for t in threads:
            t.join()
        same(results, [200] * 8)


# ---- from inside ------------------------------------------------------------


def way_out(found):
    """What got through; the wider filter of sanitizers still opens and connects no socket."""
    return [w for w in found["open"]
            if not SANITIZED or "connect" in w or w.endswith("socket") or ", IPv" in w]


def no_way_out():
    with Server() as s:
        s.chat()
        s.eventually(lambda: s.state()["models"])
        s.process.send_signal(signal.SIGUSR1)
        checked = s.eventually(lambda: len(s.state()["checked"]) == 2 and s.state()["checked"])
        for who, found in checked.items():
            same((who, way_out(found)), (who, []))
            true(SANITIZED or found["refused"] > 40, found)
        # The front's own sockets are all it has: none of them can be turned elsewhere.
        front = s.state()["front_pid"]
        with open(f"/proc/{front}/status") as status:
            fields = dict(line.split(":\t", 1) for line in status if ":\t" in line)
        same((fields["Seccomp"].strip(), fields["NoNewPrivs"].strip()), ("2", "1"))


def tls():
    if not shutil.which("openssl"):
        return "skip: no openssl"
    folder = tempfile.mkdtemp()
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                           "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                           "-keyout", folder + "/key", "-out", folder + "/cert"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if made.returncode:
        return "skip: openssl makes no certificate"
    with Server("--cert", folder + "/cert", "--cert-key", folder + "/key") as s:
        true(s.url.startswith("https://"))
        context = ssl.create_default_context(cafile=folder + "/cert")
        c = http.client.HTTPSConnection("127.0.0.1", s.port, timeout=PATIENCE, context=context)
        c.request("POST", "/v1/chat/completions", '{"model":"a"} stream tokens=5 ms=10')
        r = c.getresponse()
        same((r.status, r.read().count(b"data:")), (200, 6))
        body = '{"model":"a"} echo ' + "z" * 3000000
        c.request("POST", "/v1/chat/completions", body)
        same(c.getresponse().read(), body.encode())
        c.close()
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        try:
            old.wrap_socket(s.raw())
            raise AssertionError("TLS 1.0 or 1.1")
        except (ssl.SSLError, OSError):
            pass
        plain = s.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        true(b"200" not in read_all(plain))
        s.process.send_signal(signal.SIGUSR1)
        checked = s.eventually(lambda: len(s.state()["checked"]) == 2 and s.state()["checked"])
        same([way_out(found) for found in checked.values()], [[], []])
    shutil.rmtree(folder)
    return None


def port_taken():
    with Server() as s:
        process = subprocess.run([PROGRAM, "--model", "a", "--port", str(s.port)],
                                 capture_output=True, text=True, timeout=PATIENCE, check=False)
        same(process.returncode, 1)
        true("Address already in use" in process.stderr, process.stderr)


CASES = [answers_and_refusals, bodies, malformed, much_at_once, whose_pages_and_names,
         keys_and_their_limits, clients_that_go, slow_clients, vanished_leave_nothing, many_silent,
         few_descriptors, streams_side_by_side, worker_dies, worker_hangs, front_dies,
         ends_politely, ends_at_once, parent_vanishes, idle_models_go, asked_while_it_goes,
         files_come_and_go, more_models_than_seats, slow_to_load, no_way_out, tls, port_taken]


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if sys.argv[2:3] == ["--half-open"]:
        n = int(sys.argv[3])
        with Server("--connections", str(2 * n), "--header", "600") as s:
            s.chat()
            worst, memory = half_open(s, n)
            print(f"{n} half-open: /health at most {worst * 1000:.1f} ms, "
                  f"front {memory / 2**20:.0f} MiB")
        return 0
    if sys.argv[2:3] == ["--vanish"]:
        with Server() as s:
            s.chat()
            before, after = vanish(s, int(sys.argv[3]))
            print("MiB and descriptors of the front: %.1f %d before, %.1f %d after"
                  % (before + after))
        return 0
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    cases = [c for c in CASES if not sys.argv[2:] or c.__name__ in sys.argv[2:]]
    print("1..%d" % len(cases), flush=True)
    bad = 0
    for i, case in enumerate(cases, 1):
        begin = time.time()
        try:
            note = case()
            print("ok %d - %s%s" % (i, case.__name__, " # SKIP " + note[6:] if note else ""))
        except Exception as error:  # pylint: disable=broad-except
            bad += 1
            print("not ok %d - %s" % (i, case.__name__))
            print("# %s: %s" % (type(error).__name__, str(error).replace("\n", "\n# ")))
        print("# %.2f s" % (time.time() - begin), flush=True)
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
