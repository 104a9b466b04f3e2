"""What the interfaces need of the node: the daemon implements `NodeFacade`, tests a tiny one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from octra.circles.gateway import SiteView
from octra.consensus.genesis import Genesis
from octra.consensus.ledger.params import LedgerParams
from octra.consensus.ledger.transactions import Unchecked
from octra.consensus.ports import Argument, CallOutcome
from octra.errors import OctraError
from octra.node.rpc.facts import Fate, Level, NetworkFacts, StatusFacts
from octra.node.rpc.reading import StoredView


class NodeFacade(Protocol):
    """All that the interfaces ask of the node. Reads are quick; what waits is a coroutine."""

    @property
    def genesis(self) -> Genesis: ...
    @property
    def params(self) -> LedgerParams: ...
    def status(self) -> StatusFacts: ...
    def network(self) -> NetworkFacts: ...

    def view(self) -> AbstractContextManager[StoredView]:
        """Reading at one height; raises `NotOffered` on a node that holds no state."""
        ...

    def pending(self, limit: int) -> Sequence[bytes]:
        """Items that wait for a block, newest first."""
        ...

    def pending_count(self) -> int:
        """How many wait."""
        ...

    def pending_of(self, address: bytes) -> Sequence[bytes]:
        """Items of one sender that wait for a block."""
        ...

    def pending_item(self, tx_id: bytes) -> bytes | None:
        """The waiting item of that id."""
        ...

    def fate(self, tx_id: bytes) -> Fate | None:
        """Why a transaction left the pool without a block."""
        ...

    def certificate(self, height: int) -> bytes | None:
        """Encoded certificate of a height, where this node can still assemble one."""
        ...

    async def submit(self, items: Sequence[Unchecked]) -> list[bytes | OctraError]:
        """Admit signed items to the pool: of each its id, the same for the same bytes, or why it is not taken."""
        ...

    async def wait(self, tx_id: bytes, level: Level, timeout_s: float) -> bool:
        """True once the transaction has reached the level (or its fate is known); false when the time is over."""
        ...

    async def circle_view(self, circle: bytes, method: str, arguments: tuple[Argument, ...]) -> CallOutcome:
        """Run a view of a Circle on the newest state."""
        ...

    def site_view(self) -> AbstractContextManager[SiteView]:
        """What the Circle gateway reads, at one height."""
        ...
