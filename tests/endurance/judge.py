"""After the end: reads what every node has on its disk, and says what should not be so."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from endurance.payments import ACCOUNTS, AMOUNT, History, payers

from octra.codec import decode
from octra.consensus.certificate import BlockHeader, Certificate, verify_certificate
from octra.consensus.epoch import Committee
from octra.consensus.ledger import keys
from octra.consensus.ledger.receipts import Receipt
from octra.consensus.ledger.records import Account, Supply
from octra.consensus.ledger.state import load
from octra.node.founding import ACCOUNT_UNITS
from octra.primitives import address_of
from octra.storage.blocks import BlockStore, CertificateKind, TxStatus
from octra.storage.kv import Family
from octra.storage.rocks import open_rocks
from octra.storage.state import StateReader

SHOWN = 5  # of problems of one kind


@dataclass(slots=True)
class Disk:
    """What one node's database holds."""

    name: str
    blocks: list[tuple[bytes, bytes]]  # (block id, state root) of height 1, 2, ...
    certified: int
    vertices: dict[tuple[int, int, int], bytes]  # (epoch, round, author) -> id
    twins: list[tuple[int, int, int]]
    evidence: int
    fates: dict[bytes, tuple[int, TxStatus]]  # of the client's transfers: height and status
    fees: list[int]  # paid by each payer
    accounts: list[Account]
    supply: Supply


@dataclass(slots=True)
class Verdict:
    """What the disks show; sound when there is no problem."""

    problems: list[str] = field(default_factory=list)
    height: int = 0  # up to which all nodes were compared
    vertices: int = 0
    executed: int = 0
    log_lines: Counter[str] = field(default_factory=Counter)  # warnings and errors of all nodes, by event

    def blame(self, found: Iterable[str]) -> None:
        """Take in problems of one kind: all are counted, some are shown."""
        found = list(found)
        self.problems += found[:SHOWN]
        if len(found) > SHOWN:
            self.problems.append(f"... and {len(found) - SHOWN} more of that kind")


def judge(places: dict[str, Path], committee: Committee, history: History, seed: int) -> Verdict:
    """`places`: the directories of nodes that have ended, by name."""
    verdict = Verdict()
    disks = [read_disk(name, path, history, seed) for name, path in places.items()]
    verdict.blame(_forks(disks, verdict))
    verdict.blame(_double_signed(disks, verdict))
    verdict.blame(_lost(disks, history, verdict))
    verdict.blame(_balances(disks, history))
    verdict.blame(_false_certificates(places, committee, disks))
    verdict.blame(f"refused for no reason: {text}" for text in history.refused)
    for name, path in places.items():
        verdict.blame(_alarms(name, path / "logs" / "node.log", verdict.log_lines))
    return verdict


def read_disk(name: str, directory: Path, history: History, seed: int) -> Disk:
    """Read the database of a node that has ended."""
    payer = {one.id: one.sender for one in history.transfers}
    with closing(open_rocks(directory / "db")) as rows:
        store, state = BlockStore(rows), StateReader(rows)
        headers = [decode(row.header, BlockHeader) for _, row in store.commits(1, 1 << 40)]
        vertices: dict[tuple[int, int, int], bytes] = {}
        twins = []
        for id, place in rows.scan(Family.VERTEX_ID, b"", None, limit=1 << 40):
            at = int.from_bytes(place[:4], "big"), int.from_bytes(place[4:8], "big"), place[8]
            if vertices.setdefault(at, id) != id:
                twins.append(at)
        fates: dict[bytes, tuple[int, TxStatus]] = {}
        fees = [0] * ACCOUNTS
        for id in payer:
            place = store.transaction_place(id)
            receipt = None if place is None else store.receipt(place.height, place.index)
            if place is not None and receipt is not None:
                fates[id] = place.height, place.status
                fees[payer[id]] += decode(receipt, Receipt).fee_charged
        accounts = [load(state, keys.account(address_of(key.public)), Account) for key in payers(seed)]
        supply = load(state, keys.SUPPLY, Supply)
        assert supply is not None
        latest = store.latest_certificates(CertificateKind.CERTIFICATE)
        return Disk(
            name,
            [(header.block_id, header.state_root) for header in headers],
            latest[0][1] if latest else 0,
            vertices,
            twins,
            len(store.certificates(CertificateKind.EVIDENCE, limit=100)),
            fates,
            fees,
            [account or Account() for account in accounts],
            supply,
        )


def _forks(disks: Sequence[Disk], verdict: Verdict) -> Iterable[str]:
    """Equal block ids and state roots at every height that two nodes hold."""
    verdict.height = min(len(disk.blocks) for disk in disks)
    longest = max(disks, key=lambda disk: len(disk.blocks))
    for disk in disks:
        for height, (own, other) in enumerate(zip(disk.blocks, longest.blocks, strict=False), start=1):
            if own != other:
                yield f"fork: {disk.name} and {longest.name} differ at height {height}"
                break


def _double_signed(disks: Sequence[Disk], verdict: Verdict) -> Iterable[str]:
    """No author has two vertices of one round anywhere, and nobody has evidence of it."""
    seen: dict[tuple[int, int, int], bytes] = {}
    for disk in disks:
        for at in disk.twins:
            yield f"two vertices of (epoch, round, author) {at} at {disk.name}"
        for at, id in disk.vertices.items():
            if seen.setdefault(at, id) != id:
                yield f"two vertices of (epoch, round, author) {at}, one at {disk.name}"
        if disk.evidence:
            yield f"{disk.name} holds {disk.evidence} pieces of evidence"
    verdict.vertices = len(seen)


def _lost(disks: Sequence[Disk], history: History, verdict: Verdict) -> Iterable[str]:
    """Every acknowledged transfer is executed, well, at one height that all nodes name, below a certificate."""
    certified = max(disk.certified for disk in disks)
    for one in history.acknowledged:
        fates = {disk.fates.get(one.id) for disk in disks}
        executed = fates - {None}
        if not executed:
            yield f"lost: {one.id.hex()} of account {one.sender}, nonce {one.nonce}, taken by {one.acknowledged_by}"
        elif len(fates) > 1:
            yield f"not the same everywhere: {one.id.hex()}: {fates}"
        else:
            verdict.executed += 1
            ((height, status),) = executed
            if status is not TxStatus.OK:
                yield f"acknowledged and failed: {one.id.hex()}"
            if height > certified:
                yield f"not certified: {one.id.hex()} at height {height}, certified up to {certified}"
    for one in history.transfers:
        if one.acknowledged_by is None:
            yield f"never taken by any node: {one.id.hex()}: {one.said[-3:]}"


def _balances(disks: Sequence[Disk], history: History) -> Iterable[str]:
    """Nonces, balances and supply are those that the executed transfers give."""
    for disk in disks:
        if disk.supply.difference:
            yield f"supply of {disk.name} is off by {disk.supply.difference}"
        nonces, units = [0] * ACCOUNTS, [ACCOUNT_UNITS - fee for fee in disk.fees]
        used: defaultdict[int, set[int]] = defaultdict(set)
        for one in history.transfers:
            if one.id in disk.fates:
                used[one.sender].add(one.nonce)
                units[one.sender] -= AMOUNT
                units[(one.sender + 1) % ACCOUNTS] += AMOUNT
        for sender, done in used.items():
            nonces[sender] = next(n for n in range(len(done) + 1) if n + 1 not in done)
        for number, account in enumerate(disk.accounts):
            if (account.nonce, account.balance) != (nonces[number], units[number]):
                yield f"account {number} at {disk.name}: {account}, expected {nonces[number]}, {units[number]}"


def _false_certificates(places: dict[str, Path], committee: Committee, disks: Sequence[Disk]) -> Iterable[str]:
    """Each node's newest certificates hold, and name the block that its store has."""
    for disk in disks:
        with closing(open_rocks(places[disk.name] / "db")) as rows:
            newest = BlockStore(rows).latest_certificates(CertificateKind.CERTIFICATE, 3)
        for _, height, data in newest:
            claim = verify_certificate(decode(data, Certificate), committee)
            if height <= len(disk.blocks) and (claim.block_id, claim.state_root) != disk.blocks[height - 1]:
                yield f"{disk.name} has another block at height {height} than its certificate"


def _alarms(name: str, log: Path, lines: Counter[str]) -> Iterable[str]:
    """Errors and tracebacks in a node's log; warnings are counted."""
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("Traceback"):
            lines["traceback"] += 1
            yield f"{name}: a traceback in its log"
        elif '"level": "error"' in line:
            lines[f"error: {json.loads(line)['event']}"] += 1
            yield f"{name}: {line[:300]}"
        elif '"level": "warning"' in line:
            lines[f"warning: {json.loads(line)['event']}"] += 1
