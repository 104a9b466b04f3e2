"""Nodes of a network under load are killed with -9, one after another, then all at once: what was promised stays."""

from __future__ import annotations

import base64
import http.client
import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from octra.codec import decode
from octra.consensus.certificate import BlockHeader
from octra.consensus.ledger import ops
from octra.consensus.ledger.transactions import build, sign, transaction_id
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.primitives import address_of, print_address
from octra.storage.blocks import BlockStore, CertificateKind, TxStatus
from octra.storage.rocks import open_rocks

pytestmark = pytest.mark.process

SEATS = ("node0", "node1", "node2", "node3")
KEYS = [SigningKey(H("octra.test.payer", bytes([number]))) for number in range(3)]
PAUSE_S = 0.1  # of a client between two payments: a light load
STEP = 12  # payments acknowledged before a kill, and while the node is away
PATIENCE_S = 600.0


class Payer(threading.Thread):
    """Pays one unit after the other, at any node that answers, and remembers what was acknowledged, and by whom."""

    def __init__(self, ask: Callable[..., Any], nodes: dict[str, str], chain: bytes, number: int) -> None:
        super().__init__(name=f"payer{number}", daemon=True)
        self._ask, self._nodes, self._chain = ask, nodes, chain
        self._key, self._to = KEYS[number], address_of(KEYS[(number + 1) % len(KEYS)].public)
        self._turns = itertools.cycle(SEATS[number:] + SEATS[:number])
        self.acknowledged: dict[bytes, str] = {}
        self.stopping = threading.Event()

    def run(self) -> None:
        for nonce in itertools.count(1):
            body = build(
                chain=self._chain,
                sender=self._key.public,
                nonce=nonce,
                expiry_epoch=1_000,
                fee=1_000,
                op=ops.Transfer(self._to, 1),
            )
            self._pay(transaction_id(body), base64.b64encode(sign(body, self._key)).decode())
            if self.stopping.wait(PAUSE_S):
                return

    def _pay(self, tx_id: bytes, text: str) -> None:
        """Offer the same bytes until a node takes them: a killed one may have taken them without saying so."""
        while not self.stopping.is_set():
            node = next(self._turns)
            try:
                answer = self._ask(self._nodes[node], "octra_submitRaw", text, timeout_s=20)
            except (OSError, http.client.HTTPException, ValueError):
                continue  # killed before, or while it took the payment
            except Exception as refused:
                assert getattr(refused, "code", "") in ("OCT-2102", "OCT-2103", "OCT-5031", "OCT-5041"), refused
                self.stopping.wait(PAUSE_S)
                continue
            assert answer["tx_id"] == tx_id.hex()
            self.acknowledged[tx_id] = node
            return


@dataclass
class Store:
    """What a node's database holds after the node has ended."""

    blocks: dict[int, BlockHeader]
    vertices: dict[tuple[int, int], set[bytes]]
    evidence: int
    statuses: dict[bytes, TxStatus]


@dataclass
class Aftermath:
    """All that the tests below look at."""

    acknowledged: dict[bytes, str]
    before: dict[str, Any]
    after: dict[str, Any]
    heights_at_return: list[int] = field(default_factory=list)
    stores: dict[str, Store] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)


@pytest.fixture(scope="module", params=[4, pytest.param(20, marks=pytest.mark.long)], ids="{} kills".format)
def aftermath(request: pytest.FixtureRequest, found, rpc) -> Aftermath:
    """The whole story; the tests then look at what is left."""
    world = found(accounts=tuple(address_of(key.public) for key in KEYS))
    network, nodes = world.network, {place.name: place.http for place in world.network.places}
    chain = bytes.fromhex(rpc(nodes["node0"], "octra_chain")["chain"])
    ben = ciphertexts(world)
    payers = [Payer(rpc, nodes, chain, number) for number in range(len(KEYS))]
    for payer in payers:
        payer.start()
    heights = []
    try:
        for victim in itertools.islice(itertools.cycle(SEATS), request.param):
            more_payments(payers)
            network.kill(victim)
            more_payments(payers)
            other = next(name for name in SEATS if name != victim)
            network.spawn(victim)
            network.wait_ready(victim, PATIENCE_S)
            height = int(rpc(nodes[other], "octra_chain")["certified_height"])
            wait_for_height(rpc, nodes[victim], height)
            heights.append(height)
    finally:
        for payer in payers:
            payer.stopping.set()
        for payer in payers:
            payer.join()
    acknowledged = {tx_id: node for payer in payers for tx_id, node in payer.acknowledged.items()}
    settle(rpc, nodes, acknowledged)

    before = balances(world, ben)
    for name in SEATS:
        network.kill(name)
    for name in SEATS:
        network.spawn(name)
    for name in SEATS:
        network.wait_ready(name, PATIENCE_S)
    after = balances(world, ben)
    assert world.octra("send", ben, "1", wallet="ann").data["status"] == "ok", "the network goes on"
    network.stop()
    stores = {place.name: read_store(place.directory / "db", acknowledged) for place in network.places}
    logs = [(place.directory / "logs" / "node.log").read_text() for place in network.places]
    alarms = [line for log in logs for line in log.splitlines() if '"level": "error"' in line or "Traceback" in line]
    return Aftermath(acknowledged, before, after, heights, stores, alarms)


def test_no_acknowledged_payment_is_lost(aftermath: Aftermath) -> None:
    assert len(aftermath.acknowledged) > 50
    assert set(aftermath.acknowledged.values()) == set(SEATS), "every node has acknowledged some"
    for tx_id, by in aftermath.acknowledged.items():
        others = {name: store.statuses.get(tx_id) for name, store in aftermath.stores.items() if name != by}
        assert set(others.values()) == {TxStatus.OK}, (tx_id.hex(), by, others)


def test_no_seat_has_signed_two_vertices_of_one_round(aftermath: Aftermath) -> None:
    seen: defaultdict[tuple[int, int], set[bytes]] = defaultdict(set)
    for store in aftermath.stores.values():
        for place, ids in store.vertices.items():
            seen[place] |= ids
    assert {author for author, _ in seen} == {0, 1, 2, 3}
    assert {place: ids for place, ids in seen.items() if len(ids) > 1} == {}
    assert {name: store.evidence for name, store in aftermath.stores.items()} == dict.fromkeys(SEATS, 0)


def test_killed_nodes_have_the_same_blocks_and_roots_as_all_others(aftermath: Aftermath) -> None:
    common = min(max(store.blocks) for store in aftermath.stores.values())
    assert common >= max(aftermath.heights_at_return)
    for height in range(1, common + 1):
        assert len({store.blocks[height] for store in aftermath.stores.values()}) == 1, f"height {height}"


def test_balances_and_ciphertexts_survive_a_kill_of_all_nodes(aftermath: Aftermath) -> None:
    assert aftermath.before["private ann"] == 3_000_000
    assert aftermath.before["private ben"] == 2_000_000
    assert aftermath.after == aftermath.before


def test_no_node_met_anything_that_it_did_not_expect(aftermath: Aftermath) -> None:
    assert aftermath.alarms == []


# --- the parts of the story ---


def ciphertexts(world) -> str:
    """Balances that are no public constants: Ann and Ben hold what only the seats together can open."""
    world.person("ann")
    ben: str = world.person("ben")
    world.octra("encrypt", "5", wallet="ann")
    assert world.pay("ann", ben, "2").data["status"] == "ok"
    return ben


def more_payments(payers: list[Payer]) -> None:
    """Return when every client has been acknowledged some more payments."""
    wanted = [len(payer.acknowledged) + STEP // len(payers) for payer in payers]
    deadline = time.monotonic() + PATIENCE_S
    while any(len(payer.acknowledged) < count for payer, count in zip(payers, wanted, strict=True)):
        assert all(payer.is_alive() for payer in payers)
        assert time.monotonic() < deadline, "no node acknowledges payments"
        time.sleep(0.1)


def wait_for_height(ask: Callable[..., Any], node: str, height: int) -> None:
    """A node that was away gets a while to catch up."""
    deadline = time.monotonic() + PATIENCE_S
    while int(ask(node, "octra_chain")["height"]) < height:
        assert time.monotonic() < deadline, "the node does not catch up"
        time.sleep(0.1)


def settle(ask: Callable[..., Any], nodes: dict[str, str], acknowledged: dict[bytes, str]) -> None:
    """Wait until every acknowledged payment is final at a node that did not take it."""
    deadline = time.monotonic() + PATIENCE_S
    for tx_id, by in acknowledged.items():
        other = nodes[SEATS[(SEATS.index(by) + 1) % len(SEATS)]]
        while (facts := ask(other, "octra_wait", tx_id.hex(), "certified", 25))["status"] == "pending":
            assert time.monotonic() < deadline, f"{tx_id.hex()} of {by} is not final"
        assert facts["status"] == "ok", facts
        assert facts["receipt"]


def balances(world, ben: str) -> dict[str, Any]:
    """Public money of the payers, private money of Ann and Ben."""
    found: dict[str, Any] = {"private ann": world.private("ann"), "private ben": world.private("ben")}
    for key in KEYS:
        address = print_address(address_of(key.public))
        found[address] = world.ask("octra_getAccount", address)["public_units"]
    return found


def read_store(path: Path, ids: dict[bytes, str]) -> Store:
    """Read the database of a node that has ended."""
    with closing(open_rocks(path)) as rows:
        blocks = BlockStore(rows)
        headers = {height: decode(row.header, BlockHeader) for height, row in blocks.commits(1, 1 << 40)}
        vertices: defaultdict[tuple[int, int], set[bytes]] = defaultdict(set)
        for place, _ in blocks.all_vertices(0):
            vertices[place.author, place.round].add(place.id)
        evidence = len(blocks.certificates(CertificateKind.EVIDENCE, limit=10))
        return Store(headers, dict(vertices), evidence, dict(statuses(blocks, ids)))


def statuses(blocks: BlockStore, ids: dict[bytes, str]) -> Iterator[tuple[bytes, TxStatus]]:
    """How transactions ended, for those that have a receipt."""
    for tx_id in ids:
        place = blocks.transaction_place(tx_id)
        if place is not None and blocks.receipt(place.height, place.index):
            yield tx_id, place.status
