"""The server under soak: made-up models, many keys, a small disk for what it spills; how it is
broken on purpose, and what its processes hold."""
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
DISK_MB = 2
LABELS = [f"key-{i}" for i in range(12)]
LIMITED = {"key-9": {"concurrent": 2}, "key-10": {"per_minute": 40},
           "key-11": {"tokens_per_minute": 2000}}
# A template that takes tools, in the words that many models use.
TOOLED = ("{%- if tools %}<|im_start|>system\nTools:{% for t in tools %}\n{{ t | tojson }}"
          "{% endfor %}<|im_end|>\n{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n"
          "{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>\n{{ c.function | tojson }}\n"
          "</tool_call>{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}"
          "<|im_start|>assistant\n{% endif %}")


def key_of(label):
    return f"soak-{label}-0123456789abcdef"


class Server:
    def __init__(self, build):
        self.build = os.path.abspath(build)
        self.program = os.path.join(self.build, "bantam")
        self.folder = tempfile.mkdtemp(prefix="bantam-soak-")
        self.port, self.process, self.mounted, self.full = 0, None, False, False
        self.starts = 0
        self.errors = open(os.path.join(self.folder, "stderr"), "w+")
        self._models()
        self._settings()
        self._disk()

    # ---- what it is given

    def _models(self):
        make = os.path.join(self.build, "tests", "support", "mkmodel")
        self.models = []
        for name, words in (("made", "llama"), ("wide", "qwen3moe --seed 5"),
                            ("tooled", "qwen3 --seed 9"), ("embed", "bert --ctx 64")):
            path = os.path.join(self.folder, name + ".gguf")
            arch, *more = words.split()
            if arch != "bert":
                more += ["--template", "chatml", "--ctx", "2048"]
            subprocess.run([make, arch, path] + more, check=True)
            self.models.append(path)
        broken = os.path.join(self.folder, "broken.gguf")
        with open(self.models[0], "rb") as source, open(broken, "wb") as out:
            out.write(source.read(3000))
        self.models.append(broken)

    def _settings(self):
        keys = [{"label": label, "sha256": hashlib.sha256(key_of(label).encode()).hexdigest(),
                 **LIMITED.get(label, {})} for label in LABELS]
        tooled = self.models.pop(2)
        models = [{"name": "tooled", "model": tooled, "jinja": TOOLED, "parallel": 6,
                   "keep_alive": "20s"}]
        folder = os.path.join(self.folder, "bantam")
        os.makedirs(folder)
        with open(os.path.join(folder, "serve.json"), "w") as out:
            json.dump({"models": models, "keys": keys}, out)

    def _disk(self):
        """A file system of a few megabytes for spilled prompts; without root there is none."""
        self.spill = os.path.join(self.folder, "bantam", "prompts")
        os.makedirs(self.spill)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=700", "tmpfs",
                               self.spill], stderr=subprocess.DEVNULL, check=False)
        self.mounted = done.returncode == 0

    def fill_disk(self, full):
        ballast = os.path.join(self.spill, "ballast")
        if not self.mounted:
            return False
        try:
            if full:
                with open(ballast, "ab") as out:
                    while True:
                        out.write(b"\0" * 4096)
                        out.flush()
            os.remove(ballast)
        except OSError:
            pass
        self.full = full
        return True

    # ---- its life

    def start(self):
        names = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
        environment = dict(os.environ, **{name: self.folder for name in names})
        self.process = subprocess.Popen(
            [self.program, "serve", "--port", str(self.port), "--threads", "1", "-c", "2048",
             "--parallel", "12", "--spill", "1M", "--keep-alive", "45s", "--drain", "8"]
            + [word for model in self.models for word in ("-m", model)],
            stdout=subprocess.PIPE, stderr=self.errors, text=True, env=environment)
        for line in self.process.stdout:
            found = re.search(r"http://[^\s/]+:(\d+)", line)
            if found:
                self.port = int(found.group(1))
                self.starts += 1
                return
        raise SystemExit("the server did not start: " + self.said()[-2000:])

    def said(self):
        self.errors.flush()
        with open(os.path.join(self.folder, "stderr")) as text:
            return text.read()

    def state(self):
        """What the supervisor writes of itself; {} while it is being written."""
        try:
            with open(os.path.join(self.folder, "bantam", "serve", f"{self.port}.json")) as text:
                return json.load(text)
        except (OSError, ValueError):
            return {}

    def processes(self):
        """{role: process}; roles: supervisor, front, worker NAME."""
        state = self.state()
        found = {"supervisor": self.process.pid}
        if state.get("front_pid"):
            found["front"] = state["front_pid"]
        for m in state.get("models", []):
            found["worker " + m["name"]] = m["pid"]
        return found

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.errors.close()
        if self.mounted:
            subprocess.run(["umount", self.spill], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def holds(pid):
    """(resident KiB, descriptors, seconds of processor), or None when it has gone. Without the
    rings, which are shared: they fill as traffic passes, up to their size, and then stay."""
    try:
        with open(f"/proc/{pid}/status") as text:
            said = text.read()
        parts = [re.search(part + r":\s+(\d+)", said).group(1) for part in ("RssAnon", "RssFile")]
        resident = sum(map(int, parts))
        with open(f"/proc/{pid}/stat") as text:
            used = text.read().rsplit(")", 1)[1].split()[11:13]
        return resident, len(os.listdir(f"/proc/{pid}/fd")), sum(map(int, used)) / 100
    except (OSError, AttributeError):
        return None


def stopped(pid):
    try:
        with open(f"/proc/{pid}/stat") as text:
            return text.read().rsplit(")", 1)[1].split()[0] == "T"
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit("this is a part of soak.py")
