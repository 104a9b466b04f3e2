"""What the actors of one node share: facts that never change, and the stores that each uses as its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from octra.consensus.ports import CircleEngine
from octra.consensus.threshold_math import ThresholdMath
from octra.node.board import Board
from octra.node.deltas import DeltaShelf
from octra.node.facts import Facts
from octra.node.installing import Origin
from octra.node.p2p.router import Router
from octra.node.seating import Seating
from octra.storage.blocks import BlockStore
from octra.storage.kv import KeyValue
from octra.storage.sign_log import SignLog
from octra.storage.state import StateStore
from octra.storage.write_queue import WriteQueue

__all__ = ["Facts", "Parts", "Stores"]


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything on disk. `writes` is the one way in; reads go to the stores themselves."""

    kv: KeyValue
    writes: WriteQueue
    state: StateStore
    blocks: BlockStore
    signed: SignLog
    origin: Origin | None = None  # where the history begins; None: at genesis


@dataclass(frozen=True, slots=True)
class Parts:
    """Handed to every actor by the daemon, which is the one place that builds them."""

    facts: Facts
    stores: Stores
    router: Router
    engine: CircleEngine
    math: ThresholdMath
    board: Board
    seating: Seating
    deltas: DeltaShelf = field(default_factory=DeltaShelf)
