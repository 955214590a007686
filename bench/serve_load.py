#!/usr/bin/env python3
"""How a running `bantam serve` holds under many clients at once.

    bench/serve_load.py [--url http://127.0.0.1:9931] [--model NAME] [--streams N] [--prompt WORDS]
                        [--tokens N] [--shared WORDS] [--turns N]

Opens N streams of /v1/completions in the same moment, each with a prompt of its own (WORDS words
after --shared common ones), and N = 1 in turn with it. Prints, a line for each turn: tokens a
second of all streams from the first request to the last token, and the time to the first piece
(median, 95th percentile, most); then the medians and the ratio of many to one. An answer that is
not whole is an error. Nothing but Python's own library is needed.
"""
import argparse
import asyncio
import json
import random
import statistics
import sys
import time
import urllib.parse

WORDS = "time river stone garden light winter music paper window bread road cloud horse".split()


def prompt(rng, shared, own):
    common = random.Random(7)
    return " ".join([common.choice(WORDS) for _ in range(shared)] + rng.choices(WORDS, k=own))


async def stream(options, text):
    """(seconds to the first piece, seconds in all, tokens) of one streamed answer."""
    where = urllib.parse.urlsplit(options.url)
    body = json.dumps(
        {
            "model": options.model,
            "prompt": text,
            "max_tokens": options.tokens,
            "stream": True,
            "temperature": 0,
            "ignore_eos": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    start = time.monotonic()
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(
        b"POST /v1/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\nConnection: close\r\n\r\n" % (where.netloc.encode(), len(body))
        + body
    )
    await writer.drain()
    first, tokens, done = None, 0, False
    async for line in reader:
        if line.startswith(b"HTTP/1.1 ") and b" 200 " not in line:
            raise RuntimeError(line.decode().strip())
        if not line.startswith(b"data: "):
            continue
        if line.startswith(b"data: [DONE]"):
            done = True
            break
        piece = json.loads(line[6:])
        if piece.get("usage"):
            tokens = piece["usage"]["completion_tokens"]
        if first is None and piece.get("choices"):
            first = time.monotonic() - start
    writer.close()
    if not done or not tokens or first is None:
        raise RuntimeError("an answer broke off")
    return first, time.monotonic() - start, tokens


async def turn(options, n, seed):
    texts = []
    for i in range(n):
        rng = random.Random(seed * 10007 + i)
        texts.append(prompt(rng, options.shared, options.prompt))
    start = time.monotonic()
    results = await asyncio.gather(*(stream(options, text) for text in texts))
    seconds = time.monotonic() - start
    firsts, whole = sorted(r[0] for r in results), sorted(r[1] for r in results)
    rate = sum(r[2] for r in results) / seconds
    print(
        f"{n:5} at once: {rate:8.1f} tokens/s, "
        f"first piece {statistics.median(firsts):.2f} s median, "
        f"{firsts[int(0.95 * (n - 1) + 0.5)]:.2f} 95 %, {firsts[-1]:.2f} most; "
        f"whole {statistics.median(whole):.2f} median, {whole[-1]:.2f} most"
    )
    return rate


def main():
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("--url", default="http://127.0.0.1:9931")
    parse.add_argument("--model", default="default")
    parse.add_argument("--streams", type=int, default=16)
    parse.add_argument("--prompt", type=int, default=64, help="words that each prompt has alone")
    parse.add_argument("--shared", type=int, default=0, help="words that all begin with")
    parse.add_argument("--tokens", type=int, default=128)
    parse.add_argument("--turns", type=int, default=3)
    options = parse.parse_args()
    asyncio.run(turn(options, 1, 0))  # loads the model
    one, many = [], []
    for i in range(options.turns):
        one.append(asyncio.run(turn(options, 1, 2 * i + 1)))
        many.append(asyncio.run(turn(options, options.streams, 2 * i + 2)))
    ratio = statistics.median(many) / statistics.median(one)
    print(f"{options.streams} streams: {ratio:.2f} times one (medians of {options.turns})")


if __name__ == "__main__":
    sys.exit(main())
