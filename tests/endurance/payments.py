"""The client: signed transfers at a fixed rate, to nodes in turn, and the history of what each node said.

A transfer is *acknowledged* once a node has answered `octra_submitRaw` with its id: it then lies in a batch on that node's
disk (docs/decisions/acknowledged.md), and must end in a block. Without an answer, or refused for the moment, the same
bytes are offered to another node: a killed one may have taken them without saying so. An account's transfers may execute
in any order, up to 64 of them, so they do not wait for each other.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from endurance.rpc import NoAnswer, Refused, call

from octra.consensus.ledger import ops
from octra.consensus.ledger.transactions import build, sign, transaction_id
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.primitives import address_of

ACCOUNTS = 96
AMOUNT, FEE = 1, 1_000
EXPIRY_EPOCH = 1_000
AGAIN_S = 0.5
# The node is behind (nonce), busy, or not ready: another one, or later, will take it.
FOR_NOW = frozenset({"OCT-2102", "OCT-2103", "OCT-4291", "OCT-5031", "OCT-5041", "OCT-9002"})
FINAL_EVERY = 16  # of these transfers one is watched until a quorum has certified it
FINAL_WAIT_S = 25


def payers(seed: int) -> list[SigningKey]:
    """The accounts that pay each other; genesis gives them money."""
    return [SigningKey(H("octra.test.payer", seed.to_bytes(8, "big"), bytes([n]))) for n in range(ACCOUNTS)]


@dataclass(slots=True)
class Transfer:
    """One transfer, and its life as the client saw it."""

    id: bytes
    text: str
    sender: int
    nonce: int
    made_s: float
    said: list[tuple[float, str, str]] = field(default_factory=list)  # when, which node, what
    acknowledged_by: str | None = None


@dataclass(slots=True)
class History:
    """Everything that was offered."""

    transfers: list[Transfer] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # answers that no fault explains
    final_s: list[float] = field(default_factory=list)  # from first offer to certified at a node that did not take it
    late_s: float = 0.0  # how far behind its rate the client was at worst

    @property
    def acknowledged(self) -> list[Transfer]:
        """Those that a node has promised to keep."""
        return [one for one in self.transfers if one.acknowledged_by is not None]

    def write(self, path: Path) -> None:
        """A line of JSON for each transfer."""
        with path.open("w") as file:
            for one in self.transfers:
                said = [{"s": round(at, 3), "node": node, "said": what} for at, node, what in one.said]
                row = {"id": one.id.hex(), "sender": one.sender, "nonce": one.nonce, "said": said}
                file.write(json.dumps(row | {"acknowledged_by": one.acknowledged_by}) + "\n")


class Payments:
    """Offers transfers in an open loop: however slow the answers are, the next one is made on time."""

    def __init__(self, nodes: dict[str, str], chain: bytes, seed: int, rate: float) -> None:
        """`nodes`: name -> host:port; `rate`: transfers a second."""
        self.history = History()
        self._nodes, self._chain, self._rate = nodes, chain, rate
        self._keys = payers(seed)
        self._rng = random.Random(f"payments {seed}")
        self._nonces = [0] * ACCOUNTS
        self._started = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def nonces(self) -> Sequence[int]:
        """How many transfers each account has made."""
        return self._nonces

    async def run(self, seconds: float, patience_s: float) -> None:
        """Make transfers for so long, then wait until each is acknowledged."""
        for number in range(int(seconds * self._rate)):
            behind_s = time.monotonic() - self._started - number / self._rate
            self.history.late_s = max(self.history.late_s, behind_s)
            await asyncio.sleep(max(0.0, -behind_s))
            task = asyncio.create_task(self._deliver(self._make()))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)
        for task in self._tasks:
            task.cancel()

    def _make(self) -> Transfer:
        sender = self._rng.randrange(ACCOUNTS)
        self._nonces[sender] += 1
        body = build(
            chain=self._chain,
            sender=self._keys[sender].public,
            nonce=self._nonces[sender],
            expiry_epoch=EXPIRY_EPOCH,
            fee=FEE,
            op=ops.Transfer(address_of(self._keys[(sender + 1) % ACCOUNTS].public), AMOUNT),
        )
        text = base64.b64encode(sign(body, self._keys[sender])).decode()
        made_s = time.monotonic() - self._started
        one = Transfer(transaction_id(body), text, sender, self._nonces[sender], made_s)
        self.history.transfers.append(one)
        return one

    async def _deliver(self, one: Transfer) -> None:
        """Offer it to one node after the other until one takes it; time some of them until they are final."""
        watched = len(self.history.transfers) % FINAL_EVERY == 0
        while one.acknowledged_by is None:
            name = self._rng.choice(tuple(self._nodes))
            try:
                answer = await call(self._nodes[name], "octra_submitRaw", one.text)
            except NoAnswer:
                self._note(one, name, "no answer")
            except Refused as refusal:
                self._note(one, name, refusal.code)
                if refusal.code not in FOR_NOW:
                    self.history.refused.append(f"{name}: {refusal}")
            else:
                self._note(one, name, "accepted")
                assert answer["tx_id"] == one.id.hex(), answer
                one.acknowledged_by = name
                break
            await asyncio.sleep(AGAIN_S)
        if watched:
            await self._await_final(one)

    async def _await_final(self, one: Transfer) -> None:
        others = [name for name in self._nodes if name != one.acknowledged_by]
        found = {"status": "unknown"}
        while found["status"] != "ok":
            node = self._nodes[self._rng.choice(others)]
            try:
                found = await call(
                    node, "octra_wait", one.id.hex(), "certified", FINAL_WAIT_S, timeout_s=FINAL_WAIT_S + 5
                )
            except (NoAnswer, Refused):
                await asyncio.sleep(AGAIN_S)
        self.history.final_s.append(time.monotonic() - self._started - one.made_s)

    def _note(self, one: Transfer, name: str, what: str) -> None:
        one.said.append((time.monotonic() - self._started, name, what))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.history.refused.append(f"the client failed: {task.exception()!r}")
