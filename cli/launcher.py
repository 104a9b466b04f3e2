"""Starts the nodes of a local network by forking one process that has imported everything: many in the time of one.

    stdin     {"home": DIRECTORY, "log": FILE}    a line for each node to start
    stdout    {"started": PID}                    the answer
              {"ended": PID, "code": CODE}        whenever a node ends; as `subprocess` has it, -9 is SIGKILL

Used by `octra.node.localnet`, which waits for the nodes and stops them. When stdin ends, this process stops the nodes
that still run, and ends after the last of them; should it be killed, the kernel tells them to stop. It runs no thread
and opens nothing before it forks, so a node inherits memory only.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import selectors
import signal
import sys
import time

from octra.cli.app import run
from octra.errors import Corrupt, InvalidInput, Unavailable
from octra.hfhe.backend import choose

PRELOADED = ("octra.cli.node", "octra.node.daemon", "octra.node.light")
NAME_SIZE = 15  # of a process, as the kernel keeps it
END_WAIT_S = 15.0  # for nodes that were told to stop, before they are killed


def main(arguments: list[str]) -> int:
    """`arguments`: the network's directory, for who reads a list of processes."""
    for name in PRELOADED:
        importlib.import_module(name)
    with contextlib.suppress(InvalidInput, Unavailable, Corrupt):  # a node says it better
        choose()  # the kernel of encrypted gates passes its self-test once for all nodes
    gc.collect()
    gc.freeze()  # the collector would write to every object, and so copy every page that nodes share
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the nodes too; they end first
    nodes = _Nodes()
    while nodes.serve():
        pass
    nodes.end()
    return 0


class _Nodes:
    """The running children, each watched by a descriptor that becomes readable when it ends."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        self._unread = b""

    def serve(self) -> bool:
        """Wait for something and answer it; False when stdin has ended."""
        for key, _ in self._selector.select():
            if key.data is not None:
                self._ended(key.fd, key.data)
                continue
            read = os.read(key.fd, 65_536)
            if not read:
                return False
            *lines, self._unread = (self._unread + read).split(b"\n")
            for line in lines:
                self._start(**json.loads(line))
        return True

    def end(self) -> None:
        """Stop every node that still runs, and wait for the last."""
        self._selector.unregister(sys.stdin.fileno())
        running = {key.data: key.fd for key in self._selector.get_map().values()}
        for pid in running:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + END_WAIT_S
        for pid, descriptor in running.items():
            if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _start(self, *, home: str, log: str) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._selector.close()
            sys.exit(_node(parent, home, log))
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
        _tell({"started": pid})

    def _ended(self, descriptor: int, pid: int) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        _tell({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _node(parent: int, home: str, log: str) -> int:
    """What a forked child does: become the node of `home`."""
    end_with_parent()
    if os.getppid() != parent:  # it ended before we asked to be told
        return 1
    signal.signal(signal.SIGINT, signal.default_int_handler)
    name_process(f"octra {os.path.basename(home)}")
    silence, written = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor, target in ((silence, 0), (written, 1), (written, 2)):
        os.dup2(descriptor, target)
    return run(["node", "start", "--home", home])


def end_with_parent() -> None:
    """Have the kernel send SIGTERM when the process that started this one ends."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def name_process(name: str) -> None:
    """What `ps` and `top` show as the command."""
    set_name = 15
    ctypes.CDLL(None).prctl(set_name, name.encode()[:NAME_SIZE])


def _tell(news: dict[str, int]) -> None:
    print(json.dumps(news), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
