"""How the soak breaks the server: each fault comes by chance with its own mean interval, is noted
with its time (what it excuses: soak.py), and ends when the server answers again."""
import asyncio
import os
import signal

import soak_asks as asks
import soak_server
from soak_shapes import Wrong, error_text, load, need
from soak_wire import Broken, Client, request

GRACE = 3  # seconds after a kill in which requests may still notice it
MEAN = {"kill_worker": 15, "stop_worker": 70, "unload": 20, "disk": 45, "storm": 40, "crowd": 120,
        "names": 40, "responses": 15, "kill_front": 300, "end": 500}


class Breaker:
    def __init__(self, soak):
        self.soak, self.rng, self.server = soak, soak.rng, soak.server
        self.due = {name: self.rng.expovariate(1 / mean) for name, mean in MEAN.items()}
        self.n_ends = 0

    async def until(self, end):
        soak, tasks = self.soak, []
        while soak.now() < end:
            await asyncio.sleep(0.25)
            for name, at in self.due.items():
                if soak.now() < at:
                    continue
                self.due[name] = soak.now() + self.rng.expovariate(1 / MEAN[name])
                work = getattr(self, name)()
                if name in ("kill_front", "end"):
                    await self.quietly(work)
                else:
                    tasks.append(asyncio.create_task(self.quietly(work)))
            tasks = [t for t in tasks if not t.done()]
        await asyncio.gather(*tasks)

    async def quietly(self, work):
        """Its own requests are judged as others are, but a fault may meet a fault."""
        begin = self.soak.now()
        try:
            await work
        except (Broken, asyncio.TimeoutError, Wrong, KeyError) as error:
            if not self.soak.excused(begin - GRACE, ("front", "end", "end now", "worker",
                                                     "standstill")):
                self.soak.violation(f"{work.__name__}: {error!r}")

    # ---- asking

    async def ask(self, method, path, body=None, patience=30):
        client = await Client.open(self.server.port)
        try:
            key = {"Authorization": "Bearer " + soak_server.key_of("key-1")}
            await client.send(request(method, path, body, key))
            status, headers = await asyncio.wait_for(client.head(), patience)
            data = await asyncio.wait_for(client.body(headers), patience)
            return status, data
        finally:
            client.close()

    async def good(self, method, path, body=None):
        status, data = await self.ask(method, path, body)
        need(status == 200, f"{path}: {status} {data[:300]!r}")
        return load(data)

    async def until_healthy(self, seconds=20):
        end = self.soak.now() + seconds
        while self.soak.now() < end:
            try:
                if (await self.ask("GET", "/health"))[0] == 200:
                    return
            except (Broken, asyncio.TimeoutError):
                pass
            await asyncio.sleep(0.02)
        if not self.soak.excused(end - seconds, ("standstill",)):
            self.soak.violation(f"no /health for {seconds} s")

    async def until_answers(self, model):
        """Time until the model answers once more."""
        begin = self.soak.now()
        while self.soak.now() < begin + 20:
            status, _ = await self.ask("POST", "/tokenize", {"model": model, "content": "x"})
            if status == 200:
                return self.soak.now() - begin
            await asyncio.sleep(0.05)
        if not self.soak.excused(begin, ("standstill", "front", "end")):
            self.soak.violation(f"{model} did not come back within 20 s")
        return 20

    def some_worker(self):
        models = [m for m in self.server.state().get("models", []) if m.get("pid")]
        return self.rng.choice(models) if models else None

    # ---- workers

    async def kill_worker(self):
        m = self.some_worker()
        if not m:
            return
        row = self.soak.fault("worker", m["name"])
        try:
            os.kill(m["pid"], signal.SIGKILL)
        except OSError:  # it went by itself
            pass
        try:
            if m["name"] in asks.CHATS:  # not one that is about to be removed
                self.soak.back["a worker was killed"].append(await self.until_answers(m["name"]))
        finally:
            row[1] = max(row[0] + GRACE, self.soak.now() + 0.5)

    async def stop_worker(self):
        """It stands still for seconds, and others answer meanwhile."""
        m = self.some_worker()
        if not m:
            return
        row = self.soak.fault("pause", m["name"], 4)
        try:
            os.kill(m["pid"], signal.SIGSTOP)
            await asyncio.sleep(4)
        except OSError:
            return
        finally:
            row[1] = self.soak.now()
            try:
                os.kill(m["pid"], signal.SIGCONT)
            except OSError:
                pass

    async def unload(self):
        name = self.rng.choice(asks.CHATS)
        self.soak.fault("unload", name, 1)
        o = await self.good("POST", "/api/generate", {"model": name, "keep_alive": 0})
        need(o["done"] is True, "unload: not done")

    # ---- the disk

    async def disk(self):
        full = not self.server.full
        if self.server.fill_disk(full):
            self.soak.fault("disk full" if full else "disk free", None, 0)

    # ---- clients, many at once

    async def storm(self):
        """Forty streams that all vanish in the same moment."""
        label = self.rng.choice(["key-2", "key-3"])
        self.soak.fault("storm", None, 1)

        async def open_one():
            client = await Client.open(self.server.port)
            ask = asks.endless(self.rng)
            await client.send(self.soak.bytes_of(ask, label))
            _, headers = await client.head()
            async for _ in client.pieces(headers):
                break
            return client

        opened = await asyncio.gather(*(open_one() for _ in range(40)), return_exceptions=True)
        for client in opened:
            if isinstance(client, Client):
                client.vanish()
        for error in opened:
            if isinstance(error, Exception):
                raise error

    async def crowd(self):
        """Two hundred connections that say nothing."""
        self.soak.fault("crowd", None, 1)
        opened = await asyncio.gather(*(Client.open(self.server.port) for _ in range(200)))
        begin = self.soak.now()
        try:
            await asyncio.wait_for(asyncio.gather(*(c.cut() for c in opened)), 20)
            took = self.soak.now() - begin
            need(took > 8, f"silent clients were cut off after {took:.1f} s")
        finally:
            for client in opened:
                client.close()

    # ---- what is remembered

    async def names(self):
        """A model of another name is made, asked and removed."""
        name = f"mine-{self.rng.randrange(1000)}"
        await self.good("POST", "/api/create", {"model": name, "from": "made",
                                                "system": "Be brief."})
        await self.good("POST", "/api/chat", {"model": name, "stream": False, "messages":
                                              [{"role": "user", "content": "a cat"}],
                                              "options": {"num_predict": 5}})
        await self.good("DELETE", "/api/delete", {"model": name})
        status, data = await self.ask("POST", "/api/chat", {"model": name, "messages": []})
        need(status == 404, f"a removed model: {status}")
        error_text("ollama", load(data))

    async def responses(self):
        """A conversation that the server remembers, looked at and forgotten."""
        body = {"model": "made", "input": "a cat", "max_output_tokens": 6}
        first = await self.good("POST", "/v1/responses", body)
        second = await self.good("POST", "/v1/responses",
                                 {**body, "previous_response_id": first["id"]})
        need(second["usage"]["input_tokens"] > first["usage"]["input_tokens"],
             "what went before was forgotten")
        path = "/v1/responses/" + second["id"]
        need((await self.good("GET", path))["id"] == second["id"], "another response")
        await self.good("DELETE", path)
        status, data = await self.ask("GET", path)
        need(status == 404, f"a deleted response: {status}")
        error_text("responses", load(data))

    # ---- the whole server

    async def kill_front(self):
        state = self.server.state()
        if not state.get("front_pid"):
            return
        row = self.soak.fault("front")
        os.kill(state["front_pid"], signal.SIGKILL)
        await asyncio.sleep(0.01)
        await self.until_healthy()
        self.soak.back["the front was killed"].append(self.soak.now() - row[0])
        row[1] = self.soak.now() + 0.5

    async def end(self):
        """Told to end, once or twice; started again."""
        self.n_ends += 1
        twice = self.n_ends % 3 == 0
        process, row = self.server.process, self.soak.fault("end")
        process.send_signal(signal.SIGTERM)
        if twice:
            await asyncio.sleep(0.5)
            now = self.soak.fault("end now")
            process.send_signal(signal.SIGTERM)
        begin = self.soak.now()
        while process.poll() is None:
            await asyncio.sleep(0.02)
            if self.soak.now() > begin + 30 and not self.soak.excused(begin, ("standstill",)):
                self.soak.violation("it did not end within 30 s of SIGTERM")
                process.kill()
        if process.returncode != 0:
            self.soak.violation(f"it ended with status {process.returncode}")
        self.soak.back["SIGTERM twice" if twice else "SIGTERM"].append(self.soak.now() - row[0])
        await asyncio.get_running_loop().run_in_executor(None, self.server.start)
        await self.until_healthy()
        row[1] = self.soak.now() + 0.5
        if twice:
            now[1] = row[1]
