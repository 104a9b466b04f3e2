"""`octra demo` tells its whole story, and leaves no process behind, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

COMMAND = [sys.executable, "-m", "octra.cli", "demo", "--parameters", "TEST"]


def start(place: Path, *words: str) -> subprocess.Popen[str]:
    """A demo in a session of its own, whose temporary files lie under `place`."""
    pipe = subprocess.PIPE
    environment = os.environ | {"TMPDIR": str(place)}
    return subprocess.Popen(
        [*COMMAND, *words],
        stdout=pipe,
        stderr=pipe,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's children ignore it
    )


def left_behind(place: Path) -> list[str]:
    """Command lines of processes that belong to a demo under `place`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(place) in line:
            found.append(line)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_stops_everything_and_removes_its_files(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path)
    assert process.stderr is not None
    deadline = time.monotonic() + 120
    while sum("octra.cli.launcher" in line for line in left_behind(tmp_path)) < 2:  # the launcher and a node
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 130
    deadline = time.monotonic() + 10  # one that was being started just then dies with its parent
    while left_behind(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_behind(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_the_demo_tells_its_whole_story(tmp_path: Path) -> None:
    process = start(tmp_path, "--json")
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, (out, err)
    steps = [step["what"] for step in json.loads(out)["data"]["steps"]]
    assert steps[0] == "network"
    assert steps[-1] == "forged proof"
    assert len(steps) == 17
    assert left_behind(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
