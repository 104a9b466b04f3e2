"""What a node is: facts that never change while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from octra.consensus.epoch import Committee
from octra.consensus.genesis import Genesis
from octra.consensus.ledger.params import LedgerParams
from octra.node.config import Config
from octra.node.home import NodeKeys
from octra.node.trouble import Trouble


@dataclass(frozen=True, slots=True)
class Facts:
    """What a node is."""

    directory: Path
    config: Config
    genesis: Genesis
    committee: Committee  # of the founders
    params: LedgerParams
    keys: NodeKeys
    seat: int | None  # its share of the network key, and its seat where the committee is fixed; None: has none
    trouble: Trouble | None = None  # on purpose, on local networks under test
