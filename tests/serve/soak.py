#!/usr/bin/env python3
"""`bantam serve` for an hour under mixed load, broken on purpose all the while.

    soak.py BUILD [--minutes N] [--rate N] [--seed N] [--out FOLDER]

Clients of all APIs ask small made-up models and the one that is built in, streamed or not, with
tools and schemas, well-formed and not, with a dozen keys, some of them limited; some read slowly,
stop in the middle, or vanish. Meanwhile workers are killed or stopped for seconds, the front is
killed, models are unloaded, the disk for spilled prompts fills up, and the server is told to end
and started again.

Each request must end answered properly or refused properly: the right status, the error's shape of
its own API, a stream's last event; and the same greedy request gets the same answer each time. What
a fault excuses is narrow: a request of a killed worker ends with an error in its API's shape; only
when the front itself is killed, or the server told twice to end, may a connection break off. Where
the machine itself stood still for more than a second (the soak's own clock tells), deadlines are
not held against anybody. All else is a violation: printed, and kept in FOLDER/violations.jsonl with
what was sent and what came. Memory and descriptors of each process go to FOLDER/processes.csv.
Every few minutes nobody asks for a moment: then nothing may run, and descriptors must be what they
were. Exit status 1 when anything was wrong. Needs Linux, nothing but Python's own library, and root
for the full disk.
"""
import argparse
import asyncio
import collections
import json
import os
import random
import signal
import sys
import time

sys.dont_write_bytecode = True
import soak_asks as asks  # noqa: E402
import soak_server  # noqa: E402
from soak_breaks import Breaker  # noqa: E402
from soak_shapes import Wrong, error_text, load, need, said  # noqa: E402
from soak_wire import Broken, Client, request  # noqa: E402

PATIENCE = 60  # seconds for any one request
MOST_AT_ONCE = 100
CALM_EVERY = 240
DROPPED = 35  # seconds until the front has dropped those who say nothing
FREE = [label for label in soak_server.LABELS if label not in soak_server.LIMITED]


class Soak:
    def __init__(self, options):
        self.options = options
        self.rng = random.Random(options.seed)
        self.server = soak_server.Server(options.build)
        self.faults = []  # [begin, end or None, kind, model or None]
        self.outcomes = collections.Counter()
        self.violations = collections.Counter()
        self.answers = {}
        self.first_pieces, self.health, self.back = [], [], collections.defaultdict(list)
        self.running, self.paused, self.over = set(), False, False
        self.calm_seen = {}  # process: [(resident KiB, descriptors)]
        self.cpu = {}
        os.makedirs(options.out, exist_ok=True)
        self.log = open(os.path.join(options.out, "violations.jsonl"), "w")
        self.csv = open(os.path.join(options.out, "processes.csv"), "w")
        self.csv.write("seconds,role,process,resident_kib,descriptors,calm\n")
        self.began = time.monotonic()

    def now(self):
        return time.monotonic() - self.began

    # ---- what is kept of it

    def violation(self, what, ask=None, got=b""):
        self.violations[what[:100]] += 1
        row = {"at": round(self.now(), 2), "what": what, "kind": ask.kind if ask else None,
               "sent": ask.shown() if ask else None, "got": got[-3000:].decode("utf-8", "replace"),
               "faults": [f for f in self.faults[-6:]]}
        self.log.write(json.dumps(row) + "\n")
        self.log.flush()
        if self.violations[what[:100]] <= 3:
            print(f"# {self.now():7.1f} VIOLATION {what} [{row['sent'] and row['sent'][:160]}]",
                  flush=True)

    def fault(self, kind, model=None, seconds=None):
        row = [self.now(), None if seconds is None else self.now() + seconds, kind, model]
        self.faults.append(row)
        return row

    def excused(self, begin, kinds, model=None):
        """Whether one of the faults was on at any time since `begin`."""
        for row in reversed(self.faults[-200:]):
            if row[2] in kinds and (row[1] is None or row[1] >= begin) and \
                    (row[3] is None or model is None or row[3] == model):
                return True
        return False

    # ---- one request

    def headers_for(self, ask, label):
        headers = dict(ask.headers)
        if "Authorization" not in headers:
            if ask.flavour == "anthropic":
                headers["x-api-key"] = soak_server.key_of(label)
            else:
                headers["Authorization"] = "Bearer " + soak_server.key_of(label)
        return headers

    def bytes_of(self, ask, label, close=True):
        return request(ask.method, ask.path, ask.body, self.headers_for(ask, label), close)

    def judge(self, ask, label, begin, status, headers, body):
        """The outcome's name; Wrong when it is none that may be."""
        if status in ask.want:
            if status == 200 and ask.look is None:
                answer = said(ask.flavour, headers, body)
                if answer.error is not None:
                    need(self.excused(begin, ("worker", "end"), ask.model),
                         f"a stream ended with: {answer.error[:200]}")
                    return "broken off by a fault, with an error event"
                if ask.check:
                    ask.check(answer)
                # A call that is cut off comes as text, or half of it in a stream.
                if ask.model != "hatchling" or answer.ended != "length":
                    self.same(ask, answer.key())
                return "answered"
            value = ask.look(body) if ask.look else None
            if status == 200:
                self.same(ask, value)
                return "answered"
            error_text(ask.flavour, load(body), status)
            return f"refused as it must be ({status})"
        text = error_text(ask.flavour, load(body), status)
        if status == 429:
            need(label in soak_server.LIMITED and "retry-after" in headers,
                 f"429 without a limit or Retry-After: {text[:200]}")
            return "refused by its key's limit (429)"
        if status == 503:
            need(self.excused(begin, ("worker", "end", "front"), ask.model),
                 f"503 with nothing broken: {text[:200]}")
            return "refused by a fault (503)"
        raise Wrong(f"status {status}, not {ask.want}: {text[:200]}")

    def same(self, ask, value):
        if ask.same is None or value is None:
            return
        before = self.answers.setdefault(ask.same, value)
        if before != value:
            raise Wrong(f"another answer to the same request: {value!r:.300}, "
                        f"before {before!r:.300}")

    def judged(self, ask, label, begin, status, headers, body):
        try:
            outcome = self.judge(ask, label, begin, status, headers, body)
        except (Wrong, KeyError, IndexError, TypeError) as error:
            outcome = "VIOLATION"
            self.violation(f"{type(error).__name__}: {error}", ask, b"%d " % status + body)
        self.outcomes[ask.kind.split(":")[0], outcome] += 1

    def broke_off(self, ask, begin, error):
        """A connection that the server ended."""
        where = error.args[0]
        kinds = ["front", "end now", "standstill"]
        if where in ("no connection", "before an answer", "while sending"):
            kinds.append("end")
        if self.excused(begin, kinds):
            self.outcomes[ask.kind.split(":")[0], "broken off with the front, or its end"] += 1
        else:
            self.outcomes[ask.kind.split(":")[0], "VIOLATION"] += 1
            self.violation(f"the connection broke off {where}", ask)

    async def take(self, client, ask, label, begin):
        """Reads one answer and judges it."""
        status, headers = await client.head()
        pieces, first = [], None
        async for piece in client.pieces(headers):
            first = first or self.now()
            pieces.append(piece)
        if status == 200 and ask.streams and first:
            self.first_pieces.append(first - begin)
        self.judged(ask, label, begin, status, headers, b"".join(pieces))

    async def plain(self, ask, label):
        begin = self.now()
        client = await Client.open(self.server.port)
        try:
            await client.send(self.bytes_of(ask, label))
            await self.take(client, ask, label, begin)
        finally:
            client.close()

    async def again_and_again(self, ask, label):
        """Several on one connection, one after another."""
        client = await Client.open(self.server.port)
        try:
            for i in range(self.rng.randint(2, 5)):
                ask = asks.some(self.rng) if i else ask
                while "too long" in ask.kind or ask.method == "PUT":
                    ask = asks.some(self.rng)
                begin = self.now()
                await client.send(self.bytes_of(ask, label, close=False))
                await self.take(client, ask, label, begin)
                if ask.want[0] >= 400:
                    break  # it may be closed then
        finally:
            client.close()

    async def dribbled(self, ask, label):
        begin = self.now()
        client = await Client.open(self.server.port)
        data = self.bytes_of(ask, label)
        try:
            step = len(data) // 12 + 1
            for i in range(0, len(data), step):
                await client.send(data[i:i + step])
                await asyncio.sleep(0.2)
            await self.take(client, ask, label, begin)
        finally:
            client.close()

    async def slow_reader(self, ask, label):
        begin = self.now()
        client = await Client.open(self.server.port, narrow=True)
        try:
            await client.send(self.bytes_of(ask, label))
            status, headers = await client.head()
            pieces = []
            async for piece in client.pieces(headers):
                pieces.append(piece)
                if len(pieces) < 20:
                    await asyncio.sleep(0.15)
            self.judged(ask, label, begin, status, headers, b"".join(pieces))
        finally:
            client.close()

    async def vanishing(self, _, label):
        """Gone before the answer, in its middle, or while it sends."""
        ask = asks.endless(self.rng)
        client = await Client.open(self.server.port)
        data = self.bytes_of(ask, label)
        try:
            place = self.rng.random()
            await client.send(data[:len(data) // 2] if place < 0.15 else data)
            if place < 0.4:
                await asyncio.sleep(self.rng.random() * 0.1)
            else:
                status, headers = await client.head()
                n = self.rng.randrange(1, 40)
                async for _ in client.pieces(headers):
                    n -= 1
                    if n == 0 or status != 200:
                        break
            self.outcomes["vanishing", "gone"] += 1
        finally:
            client.vanish() if self.rng.random() < 0.5 else client.close()

    async def stuck(self, _, label):
        """Asks for much and takes nothing."""
        ask = asks.endless(self.rng)
        ask.body.update(logprobs=True, top_logprobs=20, max_tokens=1900)
        client = await Client.open(self.server.port, narrow=True)
        try:
            await client.send(self.bytes_of(ask, label))
            await client.head()
            end = self.now() + 42
            while self.now() < end and not self.paused:
                await asyncio.sleep(0.5)
            self.outcomes["stuck", "gone"] += 1
        finally:
            client.vanish()

    async def half_open(self, ask, label):
        """Never finishes its headers (10 s), or its body (60 s): cut off by the server."""
        client = await Client.open(self.server.port)
        data = self.bytes_of(ask, label)
        headers = self.rng.random() < 0.8
        whole = data.index(b"\r\n\r\n") + 4
        begin = self.now()
        try:
            await client.send(data[:whole // 2] if headers else data[:whole] + data[whole:][:9])
            most = 10 if headers else 60
            try:
                await asyncio.wait_for(client.cut(), most + 8)
                took = self.now() - begin
                if took < most - 2 and not self.excused(begin, ("front", "end", "end now",
                                                               "standstill")) and headers:
                    self.violation(f"a silent client was cut off after {took:.1f} s", ask)
                self.outcomes["half-open", "cut off"] += 1
            except asyncio.TimeoutError:
                what = f"a silent client was not cut off after {most} s"
                self.late("half-open", begin, what, ask)
        finally:
            client.close()

    async def nonsense(self, ask, _):
        client = await Client.open(self.server.port)
        rng = self.rng
        try:
            await client.send(rng.choice((b"\0" * 50 + b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
                                          b"GET /" + b"x" * 30000 + b" HTTP/1.1\r\n\r\n",
                                          b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
                                          bytes(rng.randrange(256) for _ in range(300)))))
            got = await asyncio.wait_for(client.cut(), 20)
            if b" 200 " in got[:20]:
                self.violation("nonsense was answered", ask, got)
            self.outcomes["nonsense", "cut off"] += 1
        finally:
            client.close()

    async def one(self):
        rng = self.rng
        ask = asks.some(rng)
        label = rng.choice(FREE) if rng.random() < 0.8 else rng.choice(list(soak_server.LIMITED))
        manner = rng.choices((self.plain, self.again_and_again, self.dribbled, self.slow_reader,
                              self.vanishing, self.stuck, self.half_open, self.nonsense),
                             (70, 8, 2, 3, 10, 0.4, 2, 2))[0]
        begin = self.now()
        try:
            most = 90 if manner == self.half_open else PATIENCE
            await asyncio.wait_for(manner(ask, label), most)
        except Broken as error:
            if manner in (self.nonsense, self.half_open, self.vanishing, self.stuck):
                if error.args[0] == "no connection":
                    self.broke_off(ask, begin, error)
            else:
                self.broke_off(ask, begin, error)
        except asyncio.TimeoutError:
            self.late(ask.kind.split(":")[0], begin,
                      f"no end within {PATIENCE} s ({manner.__name__})", ask)

    def late(self, kind, begin, what, ask):
        if self.excused(begin, ("standstill",)):
            self.outcomes[kind, "late, where the machine stood still"] += 1
        else:
            self.outcomes[kind, "VIOLATION"] += 1
            self.violation(what, ask)

    # ---- all of them

    def start(self, work):
        task = asyncio.get_running_loop().create_task(work)
        self.running.add(task)
        task.add_done_callback(self.ended)
        return task

    def ended(self, task):
        self.running.discard(task)
        if not task.cancelled() and task.exception():
            self.violation(f"the soak itself: {task.exception()!r}")

    async def ask_on(self):
        while not self.over:
            await asyncio.sleep(self.rng.expovariate(self.options.rate))
            if self.paused or len(self.running) >= MOST_AT_ONCE:
                continue
            self.start(self.one())

    async def get(self, path, patience=10):
        """Status and body of a plain GET with a key."""
        client = await Client.open(self.server.port)
        try:
            key = {"Authorization": "Bearer " + soak_server.key_of("key-0")}
            await client.send(request("GET", path, headers=key))
            status, headers = await asyncio.wait_for(client.head(), patience)
            return status, await asyncio.wait_for(client.body(headers), patience)
        finally:
            client.close()

    async def watch_health(self):
        while not self.over:
            begin = self.now()
            try:
                status, _ = await self.get("/health")
                took = self.now() - begin
                self.health.append(took)
                if status != 200 and not self.excused(begin, ("end",)):
                    self.violation(f"/health says {status}")
                if took > 3 and not self.excused(begin, ("front", "end", "standstill")):
                    self.violation(f"/health took {took:.1f} s")
            except (Broken, asyncio.TimeoutError) as error:
                if not self.excused(begin - 1, ("front", "end", "end now", "standstill")):
                    self.violation(f"/health: {error!r}")
            await asyncio.sleep(2)

    async def watch_clock(self):
        """Notes when this process, or one of the server's, was stopped by others."""
        while not self.over:
            begin = self.now()
            await asyncio.sleep(0.3)
            stopped = any(soak_server.stopped(pid) and not
                          self.excused(begin, ("pause",), role.replace("worker ", ""))
                          for role, pid in self.server.processes().items())
            if self.now() > begin + 1.3 or stopped:
                row = self.fault("standstill", seconds=3)
                row[0] = begin

    def sample(self, calm=False):
        for role, pid in self.server.processes().items():
            held = soak_server.holds(pid)
            if not held:
                continue
            self.csv.write(f"{self.now():.1f},{role},{pid},{held[0]},{held[1]},{int(calm)}\n")
            self.cpu[pid] = held[2]
            if calm:
                self.calm_seen.setdefault((role, pid), []).append(held[:2])
        self.csv.flush()

    async def sample_on(self):
        while not self.over:
            self.sample()
            await asyncio.sleep(5)

    def grown(self):
        """Whether the front holds more descriptors than at the first calm moment."""
        pid = self.server.processes().get("front")
        held, seen = soak_server.holds(pid) if pid else None, self.calm_seen.get(("front", pid))
        return bool(held and seen and held[1] > seen[0][1] + 3)

    async def calm(self):
        """Nobody asks; then nothing runs, and what is held is what was held."""
        self.paused = True
        end = self.now() + PATIENCE + 35
        while len(self.running) > 0 and self.now() < end:
            await asyncio.sleep(0.2)
        try:
            await self.nothing_runs()
        except (Broken, asyncio.TimeoutError, Wrong, KeyError) as error:
            self.violation(f"in a calm moment: {error!r}")
        end = self.now() + DROPPED
        while self.grown() and self.now() < end:
            await asyncio.sleep(0.5)
        self.sample(calm=True)
        for (role, pid), seen in self.calm_seen.items():
            if len(seen) > 1 and seen[-1][1] > seen[0][1] + 3 and role != "supervisor":
                self.violation(f"{role} holds {seen[-1][1]} descriptors, at first {seen[0][1]}")
        self.paused = False

    async def nothing_runs(self):
        models = [m["name"] for m in self.server.state().get("models", [])]
        end = self.now() + 15
        for name in models:
            while True:
                status, body = await self.get(f"/slots?model={name}")
                need(status == 200, f"/slots: {status}")
                busy = [slot for slot in load(body) if slot["is_processing"]]
                if not busy:
                    break
                if self.now() > end:
                    raise Wrong(f"{name} still works: {busy!r:.300}")
                await asyncio.sleep(0.2)

    async def tell(self):
        while not self.over:
            await asyncio.sleep(60)
            done = sum(self.outcomes.values())
            print(f"# {self.now() / 60:6.1f} min: {done} requests, {len(self.running)} at once, "
                  f"{sum(self.violations.values())} violations; faults "
                  f"{dict(collections.Counter(f[2] for f in self.faults))}", flush=True)

    async def whole(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, asyncio.current_task().cancel)
        self.server.start()
        breaker = Breaker(self)
        loops = [asyncio.create_task(work) for work in (
            self.ask_on(), self.watch_health(), self.watch_clock(), self.sample_on(), self.tell())]
        end = self.options.minutes * 60
        while self.now() < end:
            until = min(end, self.now() + CALM_EVERY)
            await breaker.until(until)
            await self.calm()
        self.over = True
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    def report(self):
        print(f"\n{self.now() / 60:.1f} minutes, {sum(self.outcomes.values())} requests, "
              f"{len(self.answers)} distinct repeatable ones")
        rows = collections.defaultdict(collections.Counter)
        for (kind, outcome), n in self.outcomes.items():
            rows[outcome][kind] += n
        for outcome, kinds in sorted(rows.items(), key=lambda r: -sum(r[1].values())):
            print(f"  {sum(kinds.values()):7} {outcome}: "
                  + ", ".join(f"{k} {n}" for k, n in kinds.most_common()))
        print("faults:", dict(collections.Counter(f[2] for f in self.faults)))
        for kind, times in self.back.items():
            print(f"back after {kind}: {middle(times):.2f} s median, {max(times):.2f} s most")
        for what, times in (("/health", self.health), ("first piece", self.first_pieces)):
            if times:
                times = sorted(times)
                print(f"{what}: {1000 * middle(times):.1f} ms median, "
                      f"{1000 * times[int(0.95 * (len(times) - 1))]:.0f} ms 95 %, "
                      f"{1000 * times[-1]:.0f} ms most")
        print(f"processor: {sum(self.cpu.values()):.0f} s of all its processes")
        print("in calm moments (resident KiB, descriptors):")
        for (role, pid), seen in self.calm_seen.items():
            if len(seen) > 1:
                print(f"  {role} {pid}: " + " ".join(f"{r}/{d}" for r, d in seen))
        print(f"{sum(self.violations.values())} violations")
        for what, n in self.violations.most_common(20):
            print(f"  {n:5} {what}")

    def of_its_words(self):
        """What the server wrote to standard error: workers may end by our signal alone."""
        for line in self.server.said().splitlines():
            ours = "signal 9" in line or "broken" in line or "started again" in line \
                or line.startswith("ending:")
            if not ours and line.strip():
                self.violation("standard error: " + line[:300])


def middle(times):
    return sorted(times)[len(times) // 2]


def main():
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("build")
    parse.add_argument("--minutes", type=float, default=10)
    parse.add_argument("--rate", type=float, default=12, help="requests a second")
    parse.add_argument("--seed", type=int, default=1)
    parse.add_argument("--out", default="soak-out")
    soak = Soak(parse.parse_args())
    try:
        asyncio.run(soak.whole())
        soak.of_its_words()
    except asyncio.CancelledError:
        print("interrupted")
    finally:
        soak.server.end()
        soak.report()
    return 1 if soak.violations else 0


if __name__ == "__main__":
    sys.exit(main())
