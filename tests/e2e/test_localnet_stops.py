"""`octra localnet` ends all its nodes with it, whether it is interrupted, told to stop, or killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from octra.node.localnet import free_ports

pytestmark = pytest.mark.process

PATIENCE_S = 600.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_no_node_outlives_the_command_that_started_it(tmp_path: Path, number: signal.Signals) -> None:
    first = free_ports(4)
    line = [sys.executable, "-m", "octra.cli", "localnet", "--home", str(tmp_path), "--parameters", "TEST"]
    line += ["--nodes", "1", "--light", "1", "--http-port", str(first), "--p2p-port", str(first + 2)]
    pipe, silence = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(line, stdout=pipe, stderr=silence, text=True, preexec_fn=interruptible) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "ready"
        assert len(processes_of(tmp_path)) >= 3, "the command and two nodes"
        process.send_signal(number)
        code = process.wait(PATIENCE_S)
    assert code == (-signal.SIGKILL if number is signal.SIGKILL else 0)
    deadline = time.monotonic() + PATIENCE_S
    while left := processes_of(tmp_path):
        assert number is signal.SIGKILL, left  # only then nobody has waited for them
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def interruptible() -> None:
    """Children of a shell's background job would ignore SIGINT, and so would theirs."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def processes_of(home: Path) -> list[str]:
    """Command lines of living processes that name a directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words, state = (path / "cmdline").read_bytes(), (path / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if os.fsencode(home) in words and state != "Z":
            found.append(words.replace(b"\0", b" ").decode())
    return found
