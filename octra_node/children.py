"""Node processes as their starter sees them: `octra.cli.launcher` forks them, and tells here when one has ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from octra.errors import Unavailable

START_WAIT_S = 120.0  # for the imports of a first start on a busy machine
END_WAIT_S = 25.0  # the launcher gives its nodes 15 s to stop


class NodeFailed(Unavailable):
    """A node process ended, or did not become ready; the message ends with the last line of its log."""

    oct_code = 5001


@dataclass(slots=True)
class NodeProcess:
    """One node's process; the methods mean what those of `subprocess.Popen` mean."""

    pid: int
    _launcher: Launcher
    returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        self._launcher.hear(0)
        return self.returncode

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end; raises `subprocess.TimeoutExpired`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while self.returncode is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(f"node {self.pid}", timeout_s or 0)
            self._launcher.hear(left)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Signal it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self.send_signal(signal.SIGKILL)


@dataclass(slots=True)
class Launcher:
    """The process that forks nodes. It ends with this one, and its nodes with it."""

    process: subprocess.Popen[bytes]
    log: Path
    nodes: dict[int, NodeProcess] = field(default_factory=dict)
    _unread: bytes = b""
    _last_started: int | None = None

    @classmethod
    def open(cls, directory: Path, log: Path) -> Launcher:
        """Start it; it imports the node while the caller goes on."""
        command = [sys.executable, "-m", "octra.cli.launcher", str(directory)]
        with log.open("ab") as errors:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        return cls(process, log)

    def start(self, home: Path, log: Path) -> NodeProcess:
        """Fork the node of `home`; what it prints goes to `log`. Raises `NodeFailed`."""
        order = json.dumps({"home": str(home), "log": str(log)}) + "\n"
        self._last_started = None
        with contextlib.suppress(BrokenPipeError):  # it has ended, which the next lines tell
            _pipe(self.process.stdin).write(order.encode())
            _pipe(self.process.stdin).flush()
        deadline = time.monotonic() + START_WAIT_S
        while self._last_started is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise NodeFailed(f"no node could be started: {last_line(self.log)}")
            self.hear(0.5)
        return self.nodes[self._last_started]

    def hear(self, timeout_s: float | None) -> None:
        """Take in what the launcher tells, waiting at most `timeout_s` for something."""
        source = _pipe(self.process.stdout).fileno()
        if not select.select([source], [], [], timeout_s)[0]:
            return
        read = os.read(source, 65_536)
        *lines, self._unread = (self._unread + read).split(b"\n")
        for line in lines:
            news = json.loads(line)
            if (pid := news.get("started")) is not None:
                self.nodes[pid] = NodeProcess(pid, self)
                self._last_started = pid
            else:
                self.nodes.pop(news["ended"]).returncode = news["code"]
        if not read:  # it has ended, and so its nodes were told to
            for node in self.nodes.values():
                node.returncode = -signal.SIGTERM
            self.nodes.clear()

    def close(self) -> None:
        """End it, after the nodes that still run: none outlives this call."""
        with contextlib.suppress(BrokenPipeError):  # it has ended already; what was not sent is for nobody
            _pipe(self.process.stdin).close()
        try:
            self.process.wait(END_WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        _pipe(self.process.stdout).close()


def last_line(log: Path) -> str:
    """The end of a log, for messages."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1][:300] if lines else "its log is empty"


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
