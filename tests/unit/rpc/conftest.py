"""A node small enough to read: real storage in memory, real signed transactions, written without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec
import pytest
from starlette.types import ASGIApp, Message

from octra.circles.gateway import CircleFacts as SiteFacts
from octra.circles.gateway import SiteFile, SiteView
from octra.circles.manifest import parse as parse_manifest
from octra.codec import encode
from octra.consensus.batch import batch_id, make_batch
from octra.consensus.certificate import BlockHeader
from octra.consensus.genesis import Genesis, GenesisCoin, GenesisKey, GenesisValidator
from octra.consensus.ledger import keys, ops
from octra.consensus.ledger.params import LedgerParams
from octra.consensus.ledger.receipts import Receipt, Settlement
from octra.consensus.ledger.records import (
    ZERO,
    Account,
    CircleRecord,
    Circuit,
    Clock,
    EvaluatorCommit,
    EvaluatorReveal,
    Handle,
    HandleStatus,
    Job,
    JobStatus,
    Private,
    Purpose,
    Supply,
)
from octra.consensus.ledger.transactions import Unchecked, admit, build, decode_item, sign
from octra.consensus.ports import Argument, CallOutcome
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H, merkle_root
from octra.errors import OctraError
from octra.node.chain import ledger_params_of
from octra.node.rpc.errors import NotOffered
from octra.node.rpc.facts import EdgeFacts, Fate, Level, NetworkFacts, NodeFacts, StatusFacts
from octra.node.rpc.reading import StoredView
from octra.node.rpc.server import build_app
from octra.primitives import CAP_UNITS, address_of
from octra.storage.blocks import BlockStore, CertificateKind, CommitRow, TxStatus
from octra.storage.index import Executed
from octra.storage.kv import Batch, Family
from octra.storage.memory import MemoryKeyValue
from octra.storage.state import StateStore


class Answer(NamedTuple):
    """What a client gets."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Client:
    """Speaks to an application directly, without a socket."""

    def __init__(self, app: ASGIApp, host: str = "localhost:8080") -> None:
        self.app, self.host = app, host

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, body: bytes, **headers: str) -> Answer:
        return self.ask("POST", path, body, headers)

    def rpc(self, method: str, *parameters: object) -> Any:
        """The result of a method, or its error."""
        call = {"jsonrpc": "2.0", "id": 7, "method": method, "params": parameters}
        answer = self.post("/rpc", msgspec.json.encode(call))
        assert answer.status == 200
        document = answer.json
        assert document.pop("jsonrpc") == "2.0"
        assert document.pop("id") == 7
        assert len(document) == 1
        return document.get("result", document.get("error"))

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        raw_path, _, query = path.partition("?")
        named = {"host": self.host} | {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(raw_path),
            "raw_path": raw_path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items()],
            "client": ("192.0.2.1", 1),
        }
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        asyncio.run(self.app(scope, receive, send))
        found = [(name.decode().lower(), value.decode("latin-1")) for name, value in sent[0]["headers"]]
        assert len(found) == len(dict(found)), "a header stands twice"
        return Answer(sent[0]["status"], dict(found), b"".join(message.get("body", b"") for message in sent[1:]))


HOSTILE = "<script>alert('x')</script>\"&\x00 onload=1 \u202e"
ALICE, BOB, CAROL = (SigningKey(bytes([number]) * 32) for number in (1, 2, 42))
CIRCLE = b"\x00" + H("test.circle", b"counter")
MANIFEST = """
[circle]
name = "counter"
version = "1.2.0"
runtime = "wasm_v1"
[build]
lang = "wat"
entry = "counter.wat"
[methods.increment]
kind = "update"
[methods.get]
kind = "query"
"""
START_MS = 1_763_831_000_000
STATUS = {"ok": TxStatus.OK, "failed": TxStatus.FAILED, "pending": TxStatus.PENDING}


def make_genesis(validators: int = 4) -> Genesis:
    seats = [SigningKey(H("test.seat", bytes([number]))) for number in range(validators)]
    return Genesis(
        version=1,
        name="localnet",
        time_ms=START_MS,
        validators=tuple(
            GenesisValidator(seat.public, bytes(96), bytes(48), H("test.view", seat.public)) for seat in seats
        ),
        accounts=(),
        coin=GenesisCoin("dealt", bytes(96), ()),
        key=GenesisKey("dealer", "T", H("test.key"), H("test.eval")),
        epoch_ms=20_000,
        legacy_signing=True,
    )


class TinyNode:
    """Implements `NodeFacade` over rows that the tests write through `block`."""

    def __init__(self, validators: int = 4, *, light: bool = False) -> None:
        self.genesis = make_genesis(validators)
        self.params: LedgerParams = ledger_params_of(self.genesis)
        self.rows = MemoryKeyValue()
        self.state, self.blocks = StateStore(self.rows), BlockStore(self.rows)
        self.certified = self.checkpointed = 0
        self.light = light
        self.pool: dict[bytes, bytes] = {}
        self.fates: dict[bytes, Fate] = {}
        self.waited: list[tuple[bytes, Level, float]] = []
        self.height, self.parent = 0, bytes(32)
        self.views: list[tuple[str, tuple[Argument, ...]]] = []

    # --- what tests write ---

    def block(
        self,
        items: Sequence[bytes] = (),
        *,
        outcomes: Mapping[int, tuple[str, int, str]] | None = None,
        jobs: tuple[bytes, ...] = (),
        state: Mapping[bytes, bytes] | None = None,
        epoch: int | None = None,
    ) -> int:
        """Store the next height with these transactions; `outcomes` gives (status, code, detail) by index."""
        height = 0 if self.state.head is None else self.height + 1
        epoch = height // 10 if epoch is None else epoch
        clock = Clock(height, 5 * height, START_MS + 700 * height, epoch, START_MS, bytes(32))
        writes: list[tuple[bytes, bytes | None]] = [(keys.CLOCK, encode(clock)), *(state or {}).items()]

        def rows(root: bytes) -> Batch:
            batch = Batch()
            if height:
                certificate = b"certificate of %d" % (height - 1)
                self.blocks.put_certificate(batch, CertificateKind.CERTIFICATE, epoch, height - 1, certificate)
                self._put(batch, height, epoch, root, items, outcomes or {}, jobs)
            return batch

        self.state.commit(height, writes, {}, lambda roots: [], rows, epoch=epoch)
        self.height = height
        self.certified = max(0, height - 1)
        return height

    def _put(
        self,
        batch: Batch,
        height: int,
        epoch: int,
        root: bytes,
        items: Sequence[bytes],
        outcomes: Mapping[int, tuple[str, int, str]],
        jobs: tuple[bytes, ...],
    ) -> None:
        receipts = []
        for index, item in enumerate(items):
            status, code, detail = outcomes.get(index, ("ok", 0, ""))
            receipts.append(Receipt(decode_item(item).id, height, index, status, code, detail, 1_000, jobs=jobs))
        batches = ()
        if items:
            data = make_batch(bytes(32), 0, height, items)
            batches = ((batch_id(data), len(items)),)
            self.blocks.put_batch(batch, epoch, batch_id(data), data)
        header = BlockHeader(
            version=1,
            chain_id=self.genesis.chain_id,
            height=height,
            epoch=epoch,
            leader=H("test.leader", bytes([height % 256])),
            time_ms=START_MS + 700 * height,
            parent=self.parent,
            tx_root=merkle_root([receipt.tx for receipt in receipts]),
            receipts_root=bytes(32),
            state_root=root,
            coin=bytes(32),
            ordering_id=bytes(32),
            tx_count=len(receipts),
        )
        self.parent = header.block_id
        self.blocks.put_commit(batch, height, CommitRow(encode(header), (), batches))
        concerned = []
        for item in items:
            unchecked = decode_item(item)
            sender = address_of(unchecked.content.sender)  # type: ignore[union-attr]
            concerned.append(sorted({sender, getattr(unchecked.content.op, "to", sender)}))
        executed = Executed(
            ids=[receipt.tx for receipt in receipts],
            indices=[receipt.index for receipt in receipts],
            statuses=[STATUS[receipt.status] for receipt in receipts],
            receipts=[encode(receipt) for receipt in receipts],
            accounts=b"".join(chain.from_iterable(concerned)),
            counts=[len(accounts) for accounts in concerned],
        )
        self.blocks.put_transactions(batch, height, executed)

    def settle(self, tx_id: bytes, status: str = "ok") -> None:
        batch = Batch()
        batch.put(Family.SETTLEMENT, tx_id, encode(Settlement(tx_id, self.height, status, 0, 0)))
        self.rows.write(batch, durable=False)

    def signed(self, key: SigningKey, nonce: int, op: ops.Op, *, fee: int = 2_000, chain: bytes = b"") -> bytes:
        body = build(
            chain=chain or self.genesis.chain, sender=key.public, nonce=nonce, expiry_epoch=100, fee=fee, op=op
        )
        return sign(body, key)

    # --- NodeFacade ---

    def status(self) -> StatusFacts:
        return StatusFacts(
            node_id="12D3KooWTinyNodeOfTheTests",
            role="light" if self.light else "standard",
            state="synced",
            version="0.1.0",
            kernel="numpy",
            peers=3,
            round=5 * self.height,
            lag=0,
            ready=True,
            finality_p50_ms=640,
            transactions_per_s=3.2,
        )

    def network(self) -> NetworkFacts:
        ids = [validator.node_id for validator in self.genesis.validators]
        nodes = [
            NodeFacts(
                node_id,
                f"12D3KooW{node_id.hex()[:12]}",
                "standard" if seat else "bootstrap",
                "linked",
                seat,
                self.height,
            )
            for seat, node_id in enumerate(ids)
        ]
        nodes.append(NodeFacts(b"\x77" * 32, "12D3KooWLightNodeAbc", "light", "linked", version=HOSTILE))
        nodes[1] = NodeFacts(ids[1], nodes[1].name, "standard", "synced", 1, self.height, "0.1.0", own=True)
        edges = [EdgeFacts(a, b, 3) for number, a in enumerate(ids) for b in ids[number + 1 :]]
        return NetworkFacts(tuple(nodes), (*edges, EdgeFacts(ids[0], b"\x77" * 32)))

    def view(self) -> AbstractContextManager[StoredView]:
        if self.light:
            raise NotOffered("state (this is a light node)")
        return self._view()

    @contextmanager
    def _view(self) -> Iterator[StoredView]:
        with self.rows.view() as rows:
            yield StoredView(rows, certified=self.certified, checkpointed=self.checkpointed)

    def pending(self, limit: int) -> Sequence[bytes]:
        return list(self.pool.values())[::-1][:limit]

    def pending_count(self) -> int:
        return len(self.pool)

    def pending_of(self, address: bytes) -> Sequence[bytes]:
        return [item for item in self.pool.values() if admit(item, self.params.static_rules(None)).sender == address]

    def pending_item(self, tx_id: bytes) -> bytes | None:
        return self.pool.get(tx_id)

    def fate(self, tx_id: bytes) -> Fate | None:
        return self.fates.get(tx_id)

    def certificate(self, height: int) -> bytes | None:
        return b"certificate of %d" % height

    async def submit(self, items: Sequence[Unchecked]) -> list[bytes | OctraError]:
        return [self._submit(one.item) for one in items]

    def _submit(self, item: bytes) -> bytes | OctraError:
        try:
            transaction = admit(item, self.params.static_rules(0))
        except OctraError as error:
            return error
        self.pool[transaction.id] = item
        return transaction.id

    async def wait(self, tx_id: bytes, level: Level, timeout_s: float) -> bool:
        self.waited.append((tx_id, level, timeout_s))
        return tx_id not in self.pool

    async def circle_view(self, circle: bytes, method: str, arguments: tuple[Argument, ...]) -> CallOutcome:
        self.views.append((method, arguments))
        return CallOutcome("ok", "", b"OCWS1\x03\x00\x00\x00\x0242", 1_234)

    def site_view(self) -> AbstractContextManager[SiteView]:
        return self._site()

    @contextmanager
    def _site(self) -> Iterator[SiteView]:
        yield _Site()


class _Site:
    def facts(self, circle: bytes) -> SiteFacts | None:
        if circle != CIRCLE:
            return None
        return SiteFacts("counter", "1.2.0", bytes(32), 3, bytes(32), 10, 1_000, {"get": "query"})

    def file(self, circle: bytes, path: str) -> SiteFile | None:
        return SiteFile("text/html", bytes(32), b"<h1>my circle</h1>") if path == "/index.html" else None

    def query(self, circle: bytes, method: str, arguments: tuple[Argument, ...]) -> CallOutcome:
        return CallOutcome("ok", "", b"OCWS1\x03\x00\x00\x00\x0242", 1_234)


def populate(node: TinyNode) -> dict[str, bytes]:
    """A short history with one of everything; the ids of its transactions by name."""
    alice, bob = address_of(ALICE.public), address_of(BOB.public)
    job_name, spendable = H("test.job"), H("test.handle")
    private_op = ops.PrivateTransfer(bob, ops.InputDealing(50, 0, (bytes(32),), bytes(32)), b"sealed note")
    reveals = tuple(EvaluatorReveal(seat, (H("test.digest"),), bytes(32), b"") for seat in (2, 0))
    items = {
        "transfer": node.signed(ALICE, 1, ops.Transfer(bob, 12_500_000, b"rent")),
        "hostile": node.signed(ALICE, 2, ops.Transfer(bob, 1, HOSTILE.encode())),
        "failed": node.signed(BOB, 1, ops.Transfer(alice, 999, b"")),
        "private": node.signed(ALICE, 3, private_op, fee=10_000),
        "call": node.signed(ALICE, 4, ops.CircleCall(CIRCLE, "increment", b"\x90", 5, 1_000_000)),
        "multi": node.signed(ALICE, 5, ops.MultiTransfer((ops.Payment(bob, 7), ops.Payment(b"\x05" * 32, 8)))),
        "waiting": node.signed(ALICE, 7, ops.Transfer(bob, 3, b"soon")),
    }
    ids = {name: decode_item(item).id for name, item in items.items()}
    manifest = parse_manifest(MANIFEST).canonical()
    job = Job(
        job_name, Circuit.DEBIT, Purpose.TRANSFER, (ZERO, spendable), (spendable,), 249, alice, alice, 1_500, 0,
        ids["private"], b"", JobStatus.CERTIFIED, order=(2, 0, 1, 3), width=2,
        commits=tuple(EvaluatorCommit(seat, bytes(32)) for seat in (2, 0)), reveals=reveals,
    )  # fmt: skip
    record = CircleRecord(
        CIRCLE, alice, 1, H("test.code"), H("test.manifest"), bytes(32), bytes(32), bytes(32), 12_044, 2_048, 0, 3
    )
    state = {
        keys.account(alice): encode(Account(9_987_500_000, 5)),
        keys.account(bob): encode(Account(12_500_008, 1, 0b10)),
        keys.account(CIRCLE): encode(Account(5)),
        keys.private(alice): encode(Private(spendable, ZERO, 1, 0)),
        keys.handle(ZERO): encode(Handle(64, b"", HandleStatus.CERTIFIED, constant=0)),
        keys.handle(spendable): encode(
            Handle(64, job_name, HandleStatus.CERTIFIED, H("test.digest"), readers=(alice,))
        ),
        keys.job(job_name): encode(job),
        keys.SUPPLY: encode(Supply(CAP_UNITS - 10**10, 10**10)),
        keys.circle(CIRCLE): encode(record),
        keys.circle_manifest(CIRCLE): manifest,
        keys.circle_asset(CIRCLE, "/index.html"): b"asset",
        keys.circle(b"\x01" + CIRCLE[1:]): encode(CircleRecord(b"\x01" + CIRCLE[1:], *record_fields(record))),
    }
    node.block(state=state)
    node.block([items["transfer"], items["hostile"]])
    node.block([items["failed"]], outcomes={0: ("failed", 2104, "999 units needed, 3 available")})
    node.block([items["private"]], outcomes={0: ("pending", 0, "")}, jobs=(job_name,))
    node.block([items["call"], items["multi"]])
    for _ in range(20):
        node.block()
    node.settle(ids["private"])
    node.checkpointed = 20
    node.pool[ids["waiting"]] = items["waiting"]
    return ids


def record_fields(record: CircleRecord) -> list[object]:
    return [getattr(record, name) for name in record.__struct_fields__[1:]]


@pytest.fixture
def node() -> TinyNode:
    """A node with nothing but its genesis state."""
    return TinyNode()


@pytest.fixture
def ids(node: TinyNode) -> dict[str, bytes]:
    """Fills the node with a short history; ids of transactions by name."""
    return populate(node)


@pytest.fixture
def client(node: TinyNode, ids: dict[str, bytes]) -> Client:
    """A browser or program in front of the filled node."""
    return Client(build_app(node))
