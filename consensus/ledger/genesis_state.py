"""The state at height 0."""

from __future__ import annotations

from collections.abc import Mapping

from octra.codec import encode
from octra.consensus.ledger import keys
from octra.consensus.ledger.params import LedgerParams
from octra.consensus.ledger.records import WORD, ZERO, Account, Clock, Counters, Handle, HandleStatus, Node, Supply
from octra.crypto.hash import H
from octra.primitives import CAP_UNITS


def genesis_writes(
    params: LedgerParams, accounts: Mapping[bytes, int], time_ms: int, epoch_rows: Mapping[bytes, bytes] = {}
) -> tuple[tuple[bytes, bytes], ...]:
    """Everything that stands in the state before the first commit, sorted by key.

    What genesis gives to nobody is left for emission. `epoch_rows`: those of `epochs.genesis_rows`, if committees
    are drawn.
    """
    public = sum(accounts.values())
    rows = {
        keys.PARAMS: encode(params),
        keys.CLOCK: encode(Clock(0, 0, time_ms, 0, time_ms, H("octra.beacon", params.chain))),
        keys.COUNTERS: encode(Counters()),
        keys.SUPPLY: encode(Supply(emission_left=CAP_UNITS - public, public=public)),
        keys.handle(ZERO): encode(Handle(WORD, b"", HandleStatus.CERTIFIED, constant=0)),
    }
    rows |= {keys.account(address): encode(Account(units)) for address, units in accounts.items()}
    rows |= {keys.node(seat.node_id): encode(Node(number)) for number, seat in enumerate(params.seats)}
    return tuple(sorted({**rows, **epoch_rows}.items()))
