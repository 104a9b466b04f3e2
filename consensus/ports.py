"""What the rules need of the packages beside and above them, as the smallest Protocols that serve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec import Struct

Argument = None | bool | int | str | bytes


class StateView(Protocol):
    """What a transition may read of the global state: raw keys in raw byte order, nothing else."""

    def get(self, key: bytes) -> bytes | None: ...
    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]: ...
    def scan(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]: ...


class CircleView(Protocol):
    """What a Circle call may read: metered source code by hash, and the Circle's own keys."""

    def code(self, code_hash: bytes) -> bytes | None: ...
    def get(self, circle: bytes, key: bytes) -> bytes | None: ...
    def scan(self, circle: bytes, start: bytes, end: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]: ...


class CallContext(Struct, frozen=True):
    """Facts that are the same for all calls of one commit."""

    chain_id: str
    height: int
    epoch: int
    time_ms: int  # agreed commit time
    beacon: bytes  # 32 bytes, randomness known before this commit


class CircleCall(Struct, frozen=True):
    """One call of a Circle's method. `circle` is the 33-byte id, addresses are 32 raw bytes."""

    call_id: bytes
    circle: bytes
    code_hash: bytes
    method: str
    arguments: tuple[Argument, ...]
    caller: bytes
    origin: bytes
    value: int
    balance: int  # of the Circle, before `value` is credited
    usage: int  # stable bytes before the call
    max_stable_bytes: int
    gas_limit: int
    context: CallContext
    view: bool = False  # a view writes nothing and calls octra_query


class CircleEvent(Struct, frozen=True, array_like=True):
    """An event in a receipt: topic and data as the Circle gave them."""

    topic: bytes
    data: bytes


class CallOutcome(Struct, frozen=True):
    """Everything that validators compare about a call. `log` is local and never compared."""

    status: str  # "ok" or one of the failure words of the Circles page, section 6
    detail: str
    response: bytes
    gas_used: int
    diff: tuple[tuple[bytes, bytes | None], ...] = ()  # sorted by key; empty unless status is "ok"
    usage: int = 0  # stable bytes after the call
    events: tuple[CircleEvent, ...] = ()
    transfers: tuple[tuple[bytes, int], ...] = ()
    log: tuple[str, ...] = ()


class CircleEngine(Protocol):
    """The wasm side of Circles. Deterministic but for `Unavailable`, which is the node's own trouble."""

    def check(self, code: bytes) -> int:
        """Size of the metered code in bytes; raises `InvalidInput` with the rule that the module breaks."""
        ...

    def execute(self, calls: Sequence[CircleCall], view: CircleView) -> Sequence[CallOutcome]:
        """Outcomes in order; a later call of the same Circle sees the writes of earlier ones."""
        ...

    def query(self, call: CircleCall, view: CircleView) -> CallOutcome:
        """A call that writes nothing."""
        ...
