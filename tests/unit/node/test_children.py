"""Nodes forked by the launcher, as their starter sees them."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

import pytest

from octra.node.children import Launcher, NodeFailed


def test_a_node_that_cannot_start_ends_with_its_exit_code_and_says_why_in_its_log(tmp_path: Path) -> None:
    launcher = Launcher.open(tmp_path, tmp_path / "launcher.log")
    try:
        log = tmp_path / "node.log"
        node = launcher.start(tmp_path / "nobody", log)
        assert node.wait(60) > 0
        assert node.poll() == node.returncode
        assert "no node lives in" in log.read_text()
        again = launcher.start(tmp_path / "nobody", log)
        assert again.pid != node.pid
        assert again.wait(60) == node.returncode
    finally:
        launcher.close()
    assert launcher.process.returncode == 0


def test_nodes_that_nobody_has_heard_of_yet_do_not_outlive_their_launcher(tmp_path: Path) -> None:
    launcher = Launcher.open(tmp_path, tmp_path / "launcher.log")
    os.mkfifo(log := tmp_path / "unread")  # a node that opens it for writing waits
    orders = [{"home": str(tmp_path / f"node{i}"), "log": str(log)} for i in range(8)]
    assert launcher.process.stdin is not None
    launcher.process.stdin.write("".join(json.dumps(order) + "\n" for order in orders).encode())
    launcher.close()
    assert launcher.nodes == {}
    for commandline in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            assert str(tmp_path).encode() not in commandline.read_bytes()


@pytest.mark.parametrize("ended", [False, True])
def test_a_launcher_that_cannot_run_is_reported_with_the_end_of_its_log(
    ended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no pigeons here >&2\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(broken))
    launcher = Launcher.open(tmp_path, tmp_path / "launcher.log")
    if ended:
        launcher.process.wait()  # before the order, which then finds no reader
    try:
        with pytest.raises(NodeFailed, match="pigeons"):
            launcher.start(tmp_path, tmp_path / "node.log")
    finally:
        launcher.close()
