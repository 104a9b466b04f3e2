"""Counting where processor time goes."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from octra.node import sampling

BUSY = """
import sys, time
from pathlib import Path
from octra.crypto.ed25519 import SigningKey, verify
from octra.node import sampling

sampling.start_if_asked(Path(sys.argv[1]))
key = SigningKey(bytes(32))
signature = key.sign(b"m")
while sum(sampling.read(Path(sys.argv[1])).values()) < 0.3:
    for _ in range(100):
        verify(key.public, signature, b"m")
"""


def test_time_is_counted_for_the_part_in_whose_source_it_passes(tmp_path: Path) -> None:
    environment = os.environ | {sampling.VARIABLE: "1"}
    subprocess.run([sys.executable, "-c", BUSY, str(tmp_path)], env=environment, check=True, timeout=120)
    spent = sampling.read(tmp_path)
    assert spent["verify"] > 0.5 * sum(spent.values())


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/x/octra/consensus/dag/rule.py", "dag"),
        ("/x/octra/consensus/ledger/execute.py", "ledger"),
        ("/x/octra/storage/tree/merge.py", "tree"),
        ("/x/octra/storage/rocks.py", "disk"),
        ("/x/octra/node/p2p/link.py", "network"),
        ("/lib/python3.11/asyncio/sslproto.py", "network"),
        ("/lib/python3.11/asyncio/events.py", "loop"),
        ("/x/octra/crypto/hash.py", None),
    ],
)
def test_a_source_file_belongs_to_the_part_that_a_reader_expects(path: str, part: str | None) -> None:
    number = sampling.part_of(path)
    assert (None if number is None else sampling.NAMES[number]) == part


def test_threads_that_wait_are_left_out(tmp_path: Path) -> None:
    over = threading.Event()
    waiting = threading.Thread(target=over.wait)
    waiting.start()
    sampler = sampling.Sampler(tmp_path / sampling.FILE)
    before = signal.getsignal(signal.SIGPROF)
    try:
        sampler.start()
        until = time.process_time() + 0.2
        while time.process_time() < until:
            hashlib.sha256(bytes(100_000))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before or signal.SIG_DFL)
        over.set()
        waiting.join()
    spent = sampling.read(tmp_path)
    assert spent["rest"] + spent["elsewhere"] == pytest.approx(sum(spent.values()))  # and threads of libraries
    assert spent["rest"] > 0.1
