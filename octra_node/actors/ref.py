"""How actors address each other: references, asks with replies, and the context an actor gets at start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from enum import IntEnum
from typing import Any, Generic, Protocol, TypeVar

import structlog

from octra.errors import OctraError, Unavailable
from octra.node.actors.mailbox import Mailbox, Told
from octra.node.clock import Clock

M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)
R = TypeVar("R")

REASON_MAX = 200  # bytes of text in a refusal


class ActorCode(IntEnum):
    """The actors of a node; the number is the first byte of a short message on the wire."""

    SUPERVISOR = 0
    PEERS = 1
    MEMPOOL = 2
    ATTESTOR = 3
    ORDERING = 4
    LEDGER = 5
    STORAGE = 6
    SYNC = 7
    DSN = 8
    KEYSHARD = 9
    EVALUATOR = 10
    CIRCLES = 11
    AGREEMENT = 12
    RPC = 13
    ANNOUNCER = 14


# Waiting for an answer is allowed only towards the right of this order, so no ring of waiting actors can form.
ASK_ORDER = (
    ActorCode.RPC,
    ActorCode.AGREEMENT,
    ActorCode.CIRCLES,
    ActorCode.EVALUATOR,
    ActorCode.KEYSHARD,
    ActorCode.MEMPOOL,
    ActorCode.ATTESTOR,
    ActorCode.ORDERING,
    ActorCode.LEDGER,
    ActorCode.SYNC,
    ActorCode.DSN,
    ActorCode.STORAGE,
)


class RefusalCode(IntEnum):
    """Why an ask got no value; travels on the wire."""

    BUSY = 1
    UNKNOWN = 2  # no such actor or message
    FORBIDDEN = 3
    NOT_FOUND = 4
    INVALID = 5
    FAILED = 6  # the asked side broke; not the asker's fault


class Refused(Unavailable):
    """The asked actor answered that it will not do it."""

    def __init__(self, code: RefusalCode, reason: str = "") -> None:
        super().__init__(f"refused: {code.name.lower()}" + (f" ({reason})" if reason else ""))
        self.code, self.reason = code, reason


class PeerTimeout(Unavailable):
    """No answer came in time; whether the other side did the work is unknown."""

    def __init__(self, timeout_ms: int) -> None:
        super().__init__(f"no answer within {timeout_ms} ms")
        self.timeout_ms = timeout_ms


class ActorGone(Unavailable):
    """The asked actor failed or stopped before it answered."""

    def __init__(self, actor: str) -> None:
        super().__init__(f"actor {actor} is gone")
        self.actor = actor


class Ask(Generic[R]):
    """Base of messages that expect an answer of type R; an instance is asked once.

    The receiving actor calls `reply`, `refuse` or `fail`, at once or later; the first call counts.
    """

    __slots__ = ("_answer",)
    _answer: asyncio.Future[R]

    def reply(self, value: R) -> None:
        """Answer with `value`."""
        if not self._answer.done():
            self._answer.set_result(value)

    def refuse(self, code: RefusalCode, reason: str = "") -> None:
        """Answer that it will not be done."""
        self.fail(Refused(code, reason))

    def fail(self, error: OctraError) -> None:
        """Answer with an error, raised where the ask waits."""
        if not self._answer.done():
            self._answer.set_exception(error)
            self._answer.exception()  # an asker that timed out need not look at it

    @property
    def abandoned(self) -> bool:
        """The asker no longer waits (timeout, cancellation), or an answer was given."""
        return self._answer.done()

    def open(self) -> asyncio.Future[R]:
        """Prepare for one answer; called by `Ref.ask`."""
        assert not hasattr(self, "_answer"), "an Ask instance is asked once"
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        object.__setattr__(self, "_answer", answer)  # subclasses are frozen dataclasses
        return answer


class Ref(Protocol[M_contra]):
    """The address of an actor; keeps working when the actor is restarted."""

    def tell(self, message: M_contra, size: int = 0) -> Told:
        """Queue without waiting. `size` is the message's bytes where they matter."""
        ...

    async def tell_all(self, messages: Sequence[M_contra]) -> None:
        """Queue all, waiting for room: the sender feels the receiver's load."""
        ...

    async def ask(self, message: Ask[R], *, timeout_ms: int) -> R:
        """The answer; raises `Refused`, `PeerTimeout`, `ActorGone` or what the actor failed with."""
        ...

    async def ask_all(self, messages: Sequence[Ask[R]], *, timeout_ms: int) -> list[R | OctraError]:
        """The answers to many, each of them, or the error that `ask` would raise."""
        ...


class Context(Protocol):
    """What the supervisor gives an actor at start."""

    @property
    def clock(self) -> Clock: ...
    @property
    def log(self) -> structlog.stdlib.BoundLogger: ...
    def ref(self, actor: ActorCode) -> Ref[Any]:  # the message type is the other actor's; the caller annotates it
        """The reference of another actor of this node."""
        ...

    def timer(self, at_ms: int, message: object) -> Callable[[], None]:
        """Deliver `message` to this actor at monotonic `at_ms`; the result cancels it, also when already queued."""
        ...

    def guard(self, message: object) -> AbstractContextManager[None]:
        """Swallow `InvalidInput` raised inside: the message is dropped, counted, and its sender blamed."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside `receive`; it ends with the actor, and its failure is the actor's failure."""
        ...


class Actor(Protocol[M_contra]):
    """Anything with these three methods is an actor; there is no base class."""

    async def start(self, context: Context) -> None:
        """Rebuild state from storage; must work after a crash."""
        ...

    async def receive(self, batch: Sequence[M_contra]) -> None:
        """Handle everything that waited, in order."""
        ...

    async def stop(self, deadline_ms: int) -> None:
        """Put down what is in hand before monotonic `deadline_ms`."""
        ...


class LocalRef(Generic[M]):
    """A reference to an actor of this process."""

    def __init__(self, name: str, mailbox: Mailbox[Any]) -> None:
        self.name, self.mailbox = name, mailbox

    def tell(self, message: M, size: int = 0) -> Told:
        return self.mailbox.offer(message, size)

    async def tell_all(self, messages: Sequence[M]) -> None:
        for message in messages:
            if await self.mailbox.put(message) is Told.GONE:
                raise ActorGone(self.name)

    async def ask(self, message: Ask[R], *, timeout_ms: int) -> R:
        (answer,) = await self.ask_all([message], timeout_ms=timeout_ms)
        if isinstance(answer, OctraError):
            raise answer
        return answer

    async def ask_all(self, messages: Sequence[Ask[R]], *, timeout_ms: int) -> list[R | OctraError]:
        answers = [message.open() for message in messages]
        for message in messages:
            match self.mailbox.offer(message):
                case Told.FULL:
                    message.refuse(RefusalCode.BUSY, f"{self.name} has a full mailbox")
                case Told.GONE:
                    message.fail(ActorGone(self.name))
        if answers:
            try:
                await asyncio.wait(answers, timeout=timeout_ms / 1_000)
            finally:
                for answer in answers:
                    answer.cancel()  # those that have not come: nobody waits for them any more
        found: list[R | OctraError] = []
        for answer in answers:
            try:
                found.append(answer.result())
            except asyncio.CancelledError:
                found.append(PeerTimeout(timeout_ms))
            except OctraError as error:
                found.append(error)
        return found
