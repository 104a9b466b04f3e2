"""What a node and its worker processes say to each other: length-prefixed MessagePack over a socket pair."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from octra.circles.errors import ExecutorUnavailable
from octra.circles.limits import WORKER_FRAME_MAX
from octra.consensus.ports import CallContext, CallOutcome, CircleCall

Row = tuple[bytes, bytes]


class Execute(Struct, frozen=True, tag=True):
    """Run these calls in order; each is answered by an `Outcome`, then one `Done`."""

    calls: tuple[dict[str, Any], ...]  # fields of `CircleCall`: a typed decoder cannot tell text from bytes arguments

    @classmethod
    def of(cls, calls: Iterable[CircleCall]) -> Execute:
        return cls(tuple(msgspec.structs.asdict(call) for call in calls))

    def unpack(self) -> list[CircleCall]:
        """The calls; the sender is the parent process, which made them from checked values."""
        return [
            CircleCall(
                **fields | {"arguments": tuple(fields["arguments"]), "context": CallContext(**fields["context"])}
            )
            for fields in self.calls
        ]


class Check(Struct, frozen=True, tag=True):
    """Is this a module that a Circle may be? Answered by `Checked` or `Refused`."""

    code: bytes


class Code(Struct, frozen=True, tag=True):
    """Answer to `ReadCode`."""

    code: bytes | None


class Value(Struct, frozen=True, tag=True):
    """Answer to `ReadKey`."""

    value: bytes | None


class Rows(Struct, frozen=True, tag=True):
    """Answer to `ReadRows`."""

    rows: tuple[Row, ...]


class Ready(Struct, frozen=True, tag=True):
    """The worker's self-test passed."""


class Preparing(Struct, frozen=True, tag=True):
    """A module is about to be compiled: the next report may take a while."""


class ReadCode(Struct, frozen=True, tag=True):
    """The worker needs a module."""

    code_hash: bytes


class ReadKey(Struct, frozen=True, tag=True):
    """The worker needs a committed value."""

    circle: bytes
    key: bytes


class ReadRows(Struct, frozen=True, tag=True):
    """The worker needs committed rows in byte order."""

    circle: bytes
    start: bytes
    end: bytes
    limit: int


class Outcome(Struct, frozen=True, tag=True):
    """The next call's outcome."""

    outcome: CallOutcome


class Done(Struct, frozen=True, tag=True):
    """All calls of an `Execute` are answered."""


class Checked(Struct, frozen=True, tag=True):
    """The module is fine; size of its metered form."""

    size: int


class Refused(Struct, frozen=True, tag=True):
    """The module breaks a rule."""

    rule: str
    function: int
    offset: int
    detail: str


class Trouble(Struct, frozen=True, tag=True):
    """The worker cannot answer; the fault is the node's."""

    reason: str


Order = Execute | Check
Reply = Code | Value | Rows
Report = Ready | Preparing | ReadCode | ReadKey | ReadRows | Outcome | Done | Checked | Refused | Trouble

T = TypeVar("T")
_RECEIVE_SIZE = 256 * 1024


class Channel(Generic[T]):
    """Sends any message and receives messages of the union T. A broken or silent peer is `ExecutorUnavailable`."""

    def __init__(self, connection: socket.socket, kind: object, frame_max: int = WORKER_FRAME_MAX) -> None:
        self._connection = connection
        self._frame_max = frame_max
        self._waiting = bytearray()
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind, strict=True)

    def fileno(self) -> int:
        return self._connection.fileno()

    @property
    def has_waiting(self) -> bool:
        """Has a frame, or a part of one, been read from the socket already?"""
        return bool(self._waiting)

    def be_patient(self, seconds: float) -> None:
        """How long a send or receive may take from now on."""
        self._connection.settimeout(seconds)

    def send(self, message: Struct) -> None:
        frame = self._encoder.encode(message)
        try:
            self._connection.sendall(struct.pack(">I", len(frame)) + frame)
        except OSError as error:
            raise ExecutorUnavailable("a worker process is gone") from error

    def receive(self) -> T:
        size = int.from_bytes(self._take(4), "big")
        if size > self._frame_max:
            raise ExecutorUnavailable("a worker process sent too much")
        try:
            return self._decoder.decode(self._take(size))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ExecutorUnavailable("a worker process sent nonsense") from error

    def close(self) -> None:
        self._connection.close()

    def _take(self, size: int) -> bytes:
        """The next bytes of the stream. One system call mostly brings a whole frame: both sides take turns."""
        while len(self._waiting) < size:
            try:
                part = self._connection.recv(_RECEIVE_SIZE)
            except OSError as error:  # also the timeout of a worker that stopped in the middle of a frame
                raise ExecutorUnavailable("a worker process stopped answering") from error
            if not part:
                raise ExecutorUnavailable("a worker process ended")
            self._waiting += part
        taken = bytes(self._waiting[:size])
        del self._waiting[:size]
        return taken
