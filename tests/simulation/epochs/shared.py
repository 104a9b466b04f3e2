"""What all nodes of an epoch simulation would compute alike, computed once: the real rules over states by root."""

from __future__ import annotations

from epoch_double import EpochChain
from ledger_double import CounterEngine, MemoryCircles, MemoryView, PlainMath

from octra.codec import encode
from octra.consensus import coin
from octra.consensus.effects import CommitDraft
from octra.consensus.epoch import Committee, EpochRecord
from octra.consensus.events import BeaconRevealed, BeaconSharesRejected, CoinRevealed, CoinSharesRejected
from octra.consensus.evidence import Equivocation, decode_evidence, judge
from octra.consensus.ledger import epochs
from octra.consensus.ledger.outcome import LedgerBatch, LedgerCommit, SeatFault
from octra.consensus.ledger.transition import apply_commit
from octra.crypto.hash import H
from octra.errors import InvalidInput


class SharedLedger:
    """States by their roots. A node holds a root only, and gets it from nobody but this and its own blocks."""

    def __init__(self, chain: EpochChain) -> None:
        self.params = chain.params
        self._engine, self._math = CounterEngine(), PlainMath(len(chain.params.seats))
        self.genesis_root = chain.view.root()
        self.states: dict[bytes, MemoryView] = {self.genesis_root: chain.view}
        self.receipts: dict[bytes, list[tuple[bytes, str]]] = {}  # root after a block -> what it executed
        self._blocks: dict[tuple[bytes, bytes], bytes] = {}
        self._committees: dict[bytes, Committee] = {}
        self._records: dict[tuple[bytes, bytes, bytes], EpochRecord] = {}

    def execute(
        self,
        root: bytes,
        draft: CommitDraft,
        items: tuple[tuple[int, tuple[bytes, ...]], ...],
        opened: EpochRecord | None,
        committee: Committee,
    ) -> bytes:
        """The root after a block."""
        name = (root, H("sim.block", encode((draft, items, opened))))
        if name not in self._blocks:
            view = MemoryView(list(self.states[root].rows.items()))
            commit = LedgerCommit(
                height=draft.height,
                leader_round=draft.leader_round,
                time_ms=draft.time_ms,
                coin=draft.coin,
                batches=tuple(LedgerBatch(author, batch) for author, batch in items),
                evidence=tuple(_judged(draft, committee)),
                opened=opened,
            )
            outcome = apply_commit(view, MemoryCircles(view), commit, self._engine, self.params, self._math)
            view.apply(outcome.writes.items())
            after = self._blocks[name] = view.root()
            self.states[after] = view
            self.receipts[after] = [(receipt.tx, receipt.status) for receipt in outcome.receipts]
        return self._blocks[name]

    def record(self, root: bytes, block_id: bytes, beacon_signature: bytes) -> EpochRecord:
        """The record of a close."""
        name = (root, block_id, beacon_signature)
        if name not in self._records:
            view = self.states[root]
            self._records[name] = epochs.close_record(view, self.params, block_id, root, beacon_signature)
        return self._records[name]

    def committee(self, root: bytes, record: EpochRecord) -> Committee:
        """The committee that a record seats."""
        if record.id not in self._committees:
            self._committees[record.id] = epochs.committee_of(self.states[root], record)
        return self._committees[record.id]


def _judged(draft: CommitDraft, committee: Committee) -> list[SeatFault]:
    faults = []
    for proof in draft.evidence:
        try:
            evidence = decode_evidence(proof)
            seat = judge(evidence, committee)
        except InvalidInput:
            continue
        faults.append(SeatFault(seat, H("octra.evidence", proof), isinstance(evidence, Equivocation)))
    return faults


class SharedCoins:
    """Real threshold signatures. A combination of shares that are known to be good is computed once."""

    def __init__(self) -> None:
        self._good: dict[tuple[bytes, int, int], bytes] = {}  # anchor, round (0: beacon), seat
        self._combined: dict[tuple[bytes, int], bytes] = {}

    def note(self, anchor: bytes, round: int, seat: int, share: bytes) -> None:
        """An honest seat has made this share."""
        self._good[anchor, round, seat] = share

    def reveal(
        self, committee: Committee, round: int, shares: tuple[tuple[int, bytes], ...]
    ) -> CoinRevealed | CoinSharesRejected:
        """As `coin.reveal`."""
        known = self._known(committee, round, shares)
        if known is not None:
            return CoinRevealed(round, known)
        answer = coin.reveal(committee, round, shares)
        if isinstance(answer, CoinRevealed):
            self._combined[committee.anchor, round] = answer.signature
        return answer

    def reveal_beacon(
        self, committee: Committee, shares: tuple[tuple[int, bytes], ...]
    ) -> BeaconRevealed | BeaconSharesRejected:
        """As `coin.reveal_beacon`."""
        known = self._known(committee, 0, shares)
        if known is not None:
            return BeaconRevealed(known)
        answer = coin.reveal_beacon(committee, shares)
        if isinstance(answer, BeaconRevealed):
            self._combined[committee.anchor, 0] = answer.signature
        return answer

    def _known(self, committee: Committee, round: int, shares: tuple[tuple[int, bytes], ...]) -> bytes | None:
        good = sum(self._good.get((committee.anchor, round, seat)) == share for seat, share in shares)
        return self._combined.get((committee.anchor, round)) if good > committee.faults else None
