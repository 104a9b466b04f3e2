"""The child process in which Circles run: `python -m octra.circles.worker FD`. It holds nothing worth stealing.

It has one open socket, no environment, no new privileges and hard limits. It asks its parent for every byte of
state, so what a guest may see is decided outside.
"""

from __future__ import annotations

import ctypes
import resource
import socket
import sys
import threading
from collections.abc import Iterator
from typing import TypeVar

from octra.circles import limits
from octra.circles.engine import Backend
from octra.circles.errors import ExecutorUnavailable, InvalidModule
from octra.circles.runtime import Runtime
from octra.circles.selftest import self_test
from octra.circles.wire import (
    Channel,
    Check,
    Checked,
    Code,
    Done,
    Execute,
    Order,
    Outcome,
    Preparing,
    ReadCode,
    ReadKey,
    ReadRows,
    Ready,
    Refused,
    Reply,
    Rows,
    Trouble,
    Value,
)

_PR_SET_NO_NEW_PRIVS = 38

R = TypeVar("R", Code, Value, Rows)


class ParentView:
    """`CircleView` that asks the parent process."""

    def __init__(self, channel: Channel[Order | Reply]) -> None:
        self._channel = channel

    def code(self, code_hash: bytes) -> bytes | None:
        return self._ask(ReadCode(code_hash), Code).code

    def get(self, circle: bytes, key: bytes) -> bytes | None:
        return self._ask(ReadKey(circle, key), Value).value

    def scan(self, circle: bytes, start: bytes, end: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        return iter(self._ask(ReadRows(circle, start, end, limit), Rows).rows)

    def _ask(self, question: ReadCode | ReadKey | ReadRows, kind: type[R]) -> R:
        self._channel.send(question)
        answer = self._channel.receive()
        assert isinstance(answer, kind), "the parent answers what was asked"
        return answer


def confine() -> None:
    """Gives up what a guest that breaks out of the engine could use."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    for kind, bound in (
        (resource.RLIMIT_AS, limits.WORKER_ADDRESS_SPACE),
        (resource.RLIMIT_NOFILE, limits.WORKER_FILES_MAX),
        (resource.RLIMIT_FSIZE, limits.WORKER_FILE_BYTES_MAX),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            bound = min(bound, hard)
        resource.setrlimit(kind, (bound, bound))


def serve(channel: Channel[Order | Reply], backend: Backend) -> None:
    """Answers orders until the parent closes the socket."""
    runtime = Runtime(backend, preparing=lambda: channel.send(Preparing()))
    self_test(backend)
    channel.send(Ready())
    view = ParentView(channel)
    while True:
        order = channel.receive()
        try:
            match order:
                case Execute():
                    runtime.run_all(order.unpack(), view, lambda outcome: channel.send(Outcome(outcome)))
                    channel.send(Done())
                case Check():
                    channel.send(Checked(len(runtime.check(order.code).code)))
                case _:
                    raise AssertionError("an answer without a question")
        except InvalidModule as error:
            channel.send(Refused(error.rule, error.function, error.offset, error.detail))
        except ExecutorUnavailable as error:
            channel.send(Trouble(error.reason))


def main() -> None:
    backend: Backend = "pulley" if sys.argv[2:] == ["pulley"] else "cranelift"
    connection = socket.socket(fileno=int(sys.argv[1]))
    confine()
    channel: Channel[Order | Reply] = Channel(connection, Order | Reply, frame_max=2**32)

    def run() -> None:
        try:
            serve(channel, backend)
        except ExecutorUnavailable:
            return  # the parent is gone, and with it the reason to live

    # A thread, because its stack can be made larger than what the environment gives the main one.
    threading.stack_size(limits.WORKER_THREAD_STACK)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


if __name__ == "__main__":
    main()
