"""What genesis fixes for the ledger: who sits where, prices, limits, and the name of the network key."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from octra.consensus.ledger.fees import Prices
from octra.consensus.ledger.transactions import StaticRules


class Seat(Struct, frozen=True, array_like=True):
    """A holder of a share of the network key; where the committee is fixed, also of a seat that orders.

    Its place in the list is its seat number, from 0.
    """

    node_id: bytes  # Ed25519: signs node operations
    bls_key: bytes
    view_key: bytes  # X25519: sealed input dealings
    operator: bytes  # the account that receives tips


class Limits(Struct, frozen=True, array_like=True):
    """Deadlines and counts of the rules, each a genesis parameter. Deadlines are leader rounds."""

    input_rounds: int = 40  # from the order of a dealing to its ciphertext; then the amount counts as 0
    job_rounds: int = 20  # to commit to an evaluation, before the work itself
    boots_per_round: int = 20  # the pace that the slowest evaluator must keep
    reveal_rounds: int = 10
    pending_own: int = 32  # jobs of one account's own operations
    pending_incoming: int = 64
    backlog_boots: int = 1 << 20  # unfinished work of the whole network
    openings_bits: int = 1 << 20  # of one era: what openings leak about the key calls for a new one then
    opening_rounds: int = 200  # a seat that is silent longer does not answer a view
    opening_attempts: int = 4  # openings of one value that could not be decoded
    circle_activation: int = 16  # heights until a deployed Circle can be called: validators compile meanwhile
    circle_assets_bytes: int = 4 << 20  # pinned in the state, since no storage network holds them yet
    blob_epochs: int = 8  # an unused blob is dropped then
    due_per_commit: int = 1_024


# Four nodes and their evaluators on one small machine, perhaps without a compiled kernel: a bootstrap may take 50 ms,
# a round as little as 60 ms. A deadline that is missed only asks one more seat; the late one may still answer.
LOCALNET_LIMITS: Final = Limits(
    input_rounds=200, job_rounds=40, boots_per_round=2, reveal_rounds=40, opening_rounds=400, circle_activation=4
)


class LedgerParams(Struct, frozen=True, array_like=True):
    """The parameters of one chain. They stand in the state, and every transition gets them as a value."""

    chain: bytes
    chain_id: str
    seats: tuple[Seat, ...]
    key_id: bytes  # of the network's FHE key
    key_set: str  # its parameter set: T, or TEST in tests
    failure_bits: int  # noise budgets for a failure probability of 2^-failure_bits
    prices: Prices
    epoch_ms: int
    legacy_signing: bool
    limits: Limits = Limits()
    rules_version: int = 1

    @property
    def faults(self) -> int:
        """f: seats that may do anything."""
        return (len(self.seats) - 1) // 3

    @property
    def quorum(self) -> int:
        """q = n - f."""
        return len(self.seats) - self.faults

    @property
    def evaluators(self) -> int:
        """k = f + 1: equal digests of so many include an honest one."""
        return self.faults + 1

    def seat_of(self, key: bytes) -> int | None:
        """The seat of a node key, or None."""
        return next((number for number, seat in enumerate(self.seats) if seat.node_id == key), None)

    def static_rules(self, epoch: int | None) -> StaticRules:
        """What `admit` checks in `epoch`; with None only what never changes (for attestation and execution)."""
        return StaticRules(self.chain, epoch, (self.prices,), len(self.seats), self.legacy_signing, self.rules_version)


ERA: Final = 0  # one network key, dealt at genesis; its seats are those of epoch 0
SEAT_EPOCH: Final = 0
