# SPDX-License-Identifier: Apache-2.0
"""A long-running program on a host: it is started, awaited and stopped, and writes a log."""
import os
import signal
import subprocess

from hosts import Failed, wait_for


class Daemon:
    """`ready` is a function that returns True when the program serves; start() waits for that."""

    def __init__(self, host, name, command, directory, ready, seconds=60, env=None):
        self.host, self.name, self.command = host, name, command
        self.path = os.path.join(directory, f"{name}.log")
        self.ready, self.seconds, self.env = ready, seconds, env
        self.process = None

    def launch(self):
        """Starts it, without waiting until it serves."""
        if self.running():
            raise Failed(f"{self.name} runs already")
        with open(self.path, "a") as log:
            self.process = self.host.start(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                           env=self.env)
        return self

    def wait_ready(self):
        def there():
            if not self.running():
                raise Failed(f"{self.host.name}: {self.name} ended with {self.process.returncode}\n{self.tail()}")
            return self.ready()
        try:
            wait_for(there, f"{self.name} serves", self.seconds)
        except Failed as e:
            raise Failed(f"{e}\n{self.tail()}" if "not within" in str(e) else str(e)) from None
        return self

    def start(self):
        return self.launch().wait_ready()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def _end(self, what, seconds):
        if self.running():
            self.process.send_signal(what)
        code = self.process.wait(timeout=seconds) if self.process else None
        if self.process in self.host.started:
            self.host.started.remove(self.process)
        return code

    def stop(self, seconds=30):
        return self._end(signal.SIGTERM, seconds)

    def kill(self):
        return self._end(signal.SIGKILL, 10)

    def pause(self):
        """The program hangs, with its connections open, until resume()."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def restart(self):
        self.stop()
        return self.start()

    def log(self):
        with open(self.path, errors="replace") as f:
            return f.read()

    def tail(self, lines=30):
        return "\n".join(self.log().splitlines()[-lines:])
