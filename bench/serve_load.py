#!/usr/bin/env python3
"""How a running server holds under many clients at once: `bantam serve`, or any that speaks
OpenAI's API.

    bench/serve_load.py [--url http://127.0.0.1:9931] [--model NAME] [--streams N] [--prompt WORDS]
                        [--tokens N] [--shared WORDS] [--turns N] [--chat]
    bench/serve_load.py --steady SECONDS [--warm SECONDS] [--alone SECONDS] ...

Bursts: opens N streams in the same moment, each with a prompt of its own (WORDS words after
--shared common ones), and N = 1 in turn with it. Prints, a line for each turn: tokens a second of
all streams from the first request to the last token, and the time to the first piece (median, 95th
percentile, most); then the medians and the ratio of many to one.

Steady: N clients each ask one thing after another, a new prompt each time. After --warm seconds,
which do not count, the tokens that arrive within SECONDS are counted, and for each request that is
sent in them how long its first token takes. Then one client alone does the same, for --alone
seconds, and the ratio is printed. Tokens are counted as they arrive, by pieces.

An answer that is not whole is an error. Nothing but Python's own library is needed.
"""
import argparse
import asyncio
import json
import random
import resource
import statistics
import sys
import time
import urllib.parse

WORDS = "time river stone garden light winter music paper window bread road cloud horse".split()


class Answer:
    """When a request was sent, when each of its pieces came, and what the server counted."""

    def __init__(self):
        self.sent, self.pieces, self.usage = time.monotonic(), [], {}

    def first(self):
        return self.pieces[0] - self.sent

    def tokens(self):
        return self.usage.get("completion_tokens") or len(self.pieces)


def prompt(rng, shared, own):
    common = random.Random(7)
    return " ".join([common.choice(WORDS) for _ in range(shared)] + rng.choices(WORDS, k=own))


def request(options, text):
    body = {
        "model": options.model,
        "max_tokens": options.tokens,
        "stream": True,
        "temperature": 0,
        "ignore_eos": True,
        "stream_options": {"include_usage": True},
    }
    if options.chat:
        body["messages"] = [{"role": "user", "content": text}]
    else:
        body["prompt"] = text
    data = json.dumps(body).encode()
    path = "/v1/chat/completions" if options.chat else "/v1/completions"
    host = urllib.parse.urlsplit(options.url).netloc
    head = (f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n")
    return head.encode() + data


def is_piece(line):
    """Of text. Most are told by their look: reading them all as JSON would load the machine."""
    if b'"content":""' in line or b'"text":""' in line or b'"role"' in line:
        return False
    return b'"content"' in line or b'"text"' in line


async def stream(options, text, answer=None, at_piece=None):
    """One streamed answer; `at_piece` is called as each piece comes."""
    where, done = urllib.parse.urlsplit(options.url), False
    answer = answer or Answer()
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(request(options, text))
    await writer.drain()
    try:
        async for line in reader:
            if line.startswith(b"HTTP/1.1 ") and b" 200 " not in line:
                raise RuntimeError(line.decode().strip())
            if not line.startswith(b"data: "):
                continue
            if line.startswith(b"data: [DONE]"):
                done = True
                break
            if b'"usage":{' in line:
                answer.usage = json.loads(line[6:])["usage"]
            elif is_piece(line):
                answer.pieces.append(time.monotonic())
                if at_piece:
                    at_piece()
    finally:
        writer.close()
    if not done or not answer.pieces:
        raise RuntimeError("an answer broke off")
    return answer


def percentile(times, part):
    return sorted(times)[int(part * (len(times) - 1) + 0.5)]


def words(seconds):
    return (f"{statistics.median(seconds):.2f} s median, {percentile(seconds, 0.95):.2f} 95 %, "
            f"{max(seconds):.2f} most")


# ---- bursts -----------------------------------------------------------------


async def turn(options, n, seed):
    texts = []
    for i in range(n):
        rng = random.Random(seed * 10007 + i)
        texts.append(prompt(rng, options.shared, options.prompt))
    start = time.monotonic()
    answers = await asyncio.gather(*(stream(options, text) for text in texts))
    rate = sum(a.tokens() for a in answers) / (time.monotonic() - start)
    whole = [a.pieces[-1] - a.sent for a in answers]
    print(
        f"{n:5} at once: {rate:8.1f} tokens/s, first piece {words([a.first() for a in answers])}; "
        f"whole {statistics.median(whole):.2f} median, {max(whole):.2f} most",
        flush=True,
    )
    return rate


def bursts(options):
    asyncio.run(turn(options, 1, 0))  # loads the model
    one, many = [], []
    for i in range(options.turns):
        one.append(asyncio.run(turn(options, 1, 2 * i + 1)))
        many.append(asyncio.run(turn(options, options.streams, 2 * i + 2)))
    ratio = statistics.median(many) / statistics.median(one)
    print(f"{options.streams} streams: {ratio:.2f} times one (medians of {options.turns})")


# ---- steady -----------------------------------------------------------------


class Window:
    """What counts: the pieces that come, and the requests that are sent, from `begin` to `end`."""

    def __init__(self, seconds, warm):
        self.begin = time.monotonic() + warm
        self.end = self.begin + seconds
        self.pieces, self.answers = 0, []

    def piece(self):
        self.pieces += self.begin <= time.monotonic() < self.end

    def firsts(self):
        return [a.first() for a in self.answers if self.begin <= a.sent and a.pieces]

    def each(self):
        """Tokens a piece: a little more than one where a letter takes several."""
        whole = [a for a in self.answers if a.usage]
        pieces = sum(len(a.pieces) for a in whole)
        return sum(a.tokens() for a in whole) / pieces if pieces else 1


async def client(options, window, seed):
    rng = random.Random(seed)
    while time.monotonic() < window.end:
        text = prompt(rng, options.shared, options.prompt)
        window.answers.append(Answer())
        await stream(options, text, window.answers[-1], window.piece)


async def clients(options, n, seconds, seed):
    """What still runs when the window closes is given up."""
    window = Window(seconds, options.warm if n > 1 else min(options.warm, 2))
    tasks = [asyncio.create_task(client(options, window, seed + i)) for i in range(n)]
    done, running = await asyncio.wait(tasks, timeout=window.end - time.monotonic() + 0.1)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for task in done:
        task.result()  # an error is an error
    return window


def steady_line(n, seconds, window):
    rate, firsts = window.pieces * window.each() / seconds, window.firsts()
    asked = [a.usage["prompt_tokens"] for a in window.answers if a.usage]
    print(
        f"{n:5} clients: {rate:8.1f} tokens/s in {seconds:.0f} s, {len(firsts)} requests"
        + (f" of {statistics.median(asked):.0f} tokens" if asked else "")
        + (f", first token {words(firsts)}" if firsts else ""),
        flush=True,
    )
    return rate


def steady(options):
    asyncio.run(stream(options, "a"))  # loads the model
    many = steady_line(options.streams, options.steady,
                       asyncio.run(clients(options, options.streams, options.steady, 1000)))
    one = steady_line(1, options.alone,
                      asyncio.run(clients(options, 1, options.alone, 5000)))
    print(f"{options.streams} clients: {many / one:.2f} times one")


def main():
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("--url", default="http://127.0.0.1:9931")
    parse.add_argument("--model", default="default")
    parse.add_argument("--streams", type=int, default=16)
    parse.add_argument("--prompt", type=int, default=64, help="words that each prompt has alone")
    parse.add_argument("--shared", type=int, default=0, help="words that all begin with")
    parse.add_argument("--tokens", type=int, default=128)
    parse.add_argument("--turns", type=int, default=3)
    parse.add_argument("--chat", action="store_true", help="/v1/chat/completions")
    parse.add_argument("--steady", type=float, default=0, help="seconds that count")
    parse.add_argument("--warm", type=float, default=10, help="seconds before them")
    parse.add_argument("--alone", type=float, default=20, help="seconds of one client alone")
    options = parse.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.steady:
        steady(options)
    else:
        bursts(options)


if __name__ == "__main__":
    sys.exit(main())
