"""A server that a test started: ended, and its folder removed, when the test is over."""
import shutil
import signal
import subprocess


class Started:
    """Who derives from it sets `process`, `folder` and, where it has one, `log`."""

    log = None
    patience = 60  # seconds

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(self.patience)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.stdout.close()
        if self.log:
            self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
