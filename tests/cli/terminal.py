"""A program on a pseudo-terminal: type, and wait for what it shows. run_tests tells TAP."""
import codecs
import os
import pty
import re
import select
import signal
import tempfile
import time
import traceback

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    """Standard input and error are the terminal; standard output is a pipe of its own, so that
    product and talk can be told apart."""

    def __init__(self, argv, env=None, cwd=None):
        read_end, write_end = os.pipe()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.dup2(write_end, 1)
            os.closerange(3, 256)
            if cwd:
                os.chdir(cwd)
            os.execve(argv[0], argv, {**os.environ, "TERM": "xterm", **(env or {})})
        os.close(write_end)
        self.out_fd = read_end
        self.talk = ""     # all the terminal showed, escapes removed
        self.product = ""  # all of standard output
        self.mark = 0      # how much of `talk` earlier waits have consumed
        self.product_mark = 0
        self.open_fds = [self.fd, self.out_fd]
        self.decode = {fd: codecs.getincrementaldecoder("utf-8")("replace").decode
                       for fd in self.open_fds}
        self.status = None

    def pump(self, seconds):
        ready, _, _ = select.select(self.open_fds, [], [], seconds)
        for fd in ready:
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""
            if not data:
                self.open_fds.remove(fd)
            elif fd == self.fd:
                self.talk += ESCAPES.sub("", self.decode[fd](data))
            else:
                self.product += self.decode[fd](data)
        return bool(ready)

    def drain(self):
        while self.open_fds and self.pump(0.05):
            pass

    def type(self, text):
        os.write(self.fd, text.encode())

    def line(self, text):
        self.type(text + "\r")

    def wait(self, what, seconds=30):
        """Until the terminal shows `what` (after what earlier waits saw)."""
        self._until(lambda: self._found("talk", "mark", what), what, seconds)

    def prompt(self, seconds=30):
        """Until the terminal waits behind a prompt: redrawn or not, it then ends with one."""
        self._until(lambda: self.talk.endswith("> ") and not self.pump(0.05), "a prompt", seconds)
        self.mark = len(self.talk)

    def wait_product(self, what, seconds=30):
        self._until(lambda: self._found("product", "product_mark", what), what, seconds)

    def _found(self, stream, mark, what):
        at = getattr(self, stream).find(what, getattr(self, mark))
        if at < 0:
            return False
        setattr(self, mark, at + len(what))
        return True

    def _until(self, done, what, seconds):
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end or not self.open_fds:
                raise AssertionError(
                    f"waited for {what!r}; terminal: {self.talk[-600:]!r}; "
                    f"output: {self.product[-600:]!r}")
            self.pump(0.2)

    def end(self, seconds=20):
        """Waits for the program to end; its exit code (negative: a signal)."""
        limit = time.monotonic() + seconds
        while self.status is None:
            while self.open_fds and self.pump(0.05):
                pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > limit:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"does not end; terminal: {self.talk[-600:]!r}")
        return self.status


def has_terminals():
    """A bare chroot has no /dev/pts."""
    try:
        for end in os.openpty():
            os.close(end)
    except OSError:
        return False
    return True


def run_tests(tests, prepare=None):
    """Each test in an empty folder of its own, after `prepare`. What it returns, if anything, is
    why it was skipped."""
    print(f"1..{len(tests)}", flush=True)
    for number, test in enumerate(tests, 1):
        name = test.__name__.replace("_", " ")
        if not has_terminals():
            print(f"ok {number} - {name} # SKIP no pseudo-terminals here", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                if prepare:
                    prepare()
                skipped = test()
                print(f"ok {number} - {name}" + (f" # SKIP {skipped}" if skipped else ""),
                      flush=True)
            except (AssertionError, OSError, KeyError, ValueError):
                print(f"not ok {number} - {name}", flush=True)
                for line in traceback.format_exc().splitlines():
                    print(f"# {line}", flush=True)
            os.chdir("/")
