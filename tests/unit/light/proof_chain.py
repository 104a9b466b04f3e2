"""A chain of a few blocks: the real ledger over the real state tree in memory, with real certificates and checkpoints.

`document` asks as a client does; `of_new_committee` leads by links to a committee that genesis does not know.
"""

from __future__ import annotations

import importlib.util
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ledger_double import CounterEngine, PlainMath
from msgspec.structs import replace

from octra.codec import decode, encode
from octra.consensus.batch import batch_id, make_batch
from octra.consensus.certificate import BlockHeader, Certificate, assemble
from octra.consensus.checkpoint import (
    Checkpoint,
    CheckpointBody,
    Validator,
    assemble_checkpoint,
    registered_root,
    sign_checkpoint,
)
from octra.consensus.epoch import Committee, EpochRecord
from octra.consensus.genesis import Genesis, GenesisAccount, GenesisCoin, GenesisKey, GenesisValidator, check
from octra.consensus.ledger import ops
from octra.consensus.ledger.genesis_state import genesis_writes
from octra.consensus.ledger.receipts import Settlement, receipts_root
from octra.consensus.ledger.transactions import build, decode_item, sign
from octra.consensus.ledger.transition import LedgerBatch, LedgerCommit, apply_commit
from octra.consensus.light import Link, Trusted
from octra.consensus.vertex import Execution, VertexBody, VertexHeader, seal_vertex
from octra.crypto import bls
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.node.chain import committee_of, genesis_record, ledger_params_of, registered_of
from octra.node.circle_view import StateCircles
from octra.node.rpc import proofs
from octra.node.rpc.reading import StoredView
from octra.primitives import NodeId, address_of, print_address
from octra.storage.blocks import BlockStore, CertificateKind, CommitRow, TxStatus
from octra.storage.index import Executed
from octra.storage.kv import Batch, Family, u64
from octra.storage.memory import MemoryKeyValue
from octra.storage.state import StateStore

START_MS = 1_700_000_000_000
ALICE, BOB = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
BOBS = address_of(BOB.public)
NOBODY = print_address(b"\x07" * 32)


class Node:
    """The secrets of one validator."""

    def __init__(self, number: int) -> None:
        self.key = SigningKey(H("test.proof.node", bytes([number])))
        self.bls = bls.SecretScalar.from_seed(H("test.proof.bls", bytes([number])))

    @property
    def validator(self) -> Validator:
        return Validator(self.key.public, self.bls.public())


NODES = [Node(number) for number in range(7)]
FOUNDERS, LATER = NODES[:4], NODES[2:]


def make_genesis() -> Genesis:
    share = bls.SecretScalar(5).public()
    return check(
        Genesis(
            version=1,
            name="localnet",
            time_ms=START_MS,
            validators=tuple(
                GenesisValidator(node.key.public, node.bls.public(), node.bls.prove_possession(), bytes(32))
                for node in FOUNDERS
            ),
            accounts=(GenesisAccount(address_of(ALICE.public), 10**9),),
            coin=GenesisCoin("dealt", share, (share,) * 4),
            key=GenesisKey("none", "TEST", bytes(32), bytes(32)),
            epoch_ms=20_000,
            legacy_signing=False,
        )
    )


def certify(header: BlockHeader, nodes: Sequence[Node], committee: Committee) -> Certificate:
    """A quorum's certificate; `nodes` in the order of the seats."""
    signed = []
    for seat in range(committee.quorum):
        claim = (header.height, header.block_id, header.state_root)
        vertex = seal_vertex(
            VertexHeader(1, committee.anchor, seat, 9, bytes(32), *claim, 0),
            VertexBody((), (), (), (), Execution(0, bytes(32))),
            bytes(48),
            nodes[seat].key.sign,
        )
        signed.append((vertex.header, vertex.signed_header))
    return assemble(committee, signed)


def by_id(nodes: Sequence[Node]) -> list[Node]:
    return sorted(nodes, key=lambda node: node.key.public)


def sign_body(body: CheckpointBody, signers: Sequence[Node], number: int) -> Checkpoint:
    """The checkpoint that the first `number` of a registered set signed, also when they are too few."""
    parts = {index: sign_checkpoint(by_id(signers)[index].bls, body) for index in range(number)}
    enough = assemble_checkpoint(body, [node.validator for node in signers[:1]], {0: parts[0]})
    bits = sum(1 << index for index in parts).to_bytes((len(signers) + 7) // 8, "little")
    return replace(enough, signers=bits, aggregate=bls.aggregate(list(parts.values())))


class ProofChain:
    """What `octra_proof` needs of a node, and a way to grow."""

    def __init__(self) -> None:
        self.genesis = make_genesis()
        self.params, self.committee = ledger_params_of(self.genesis), committee_of(self.genesis)
        self.trusted = Trusted(self.genesis.chain_id, self.committee, registered_of(self.genesis))
        self.rows = MemoryKeyValue()
        self.state, self.blocks = StateStore(self.rows), BlockStore(self.rows)
        accounts = {account.address: account.units for account in self.genesis.accounts}
        self.state.commit(0, genesis_writes(self.params, accounts, START_MS), {}, lambda roots: (), Batch())
        self.headers: list[BlockHeader] = []
        self.ids: list[bytes] = []
        self.nonce = 0

    def grown(self) -> ProofChain:
        self.block(5, certified=True)
        self.block(3)
        self.block(1, certified=True)
        return self

    def block(self, count: int, *, certified: bool = False, settlements: tuple[Settlement, ...] = ()) -> BlockHeader:
        """Execute and store the next block, with `count` transfers of Alice's; the last one fails."""
        height, items = len(self.headers) + 1, [self._transfer(last=number == count - 1) for number in range(count)]
        commit = LedgerCommit(height, 5 * height, START_MS + height, H("coin"), (LedgerBatch(0, tuple(items)),), ())
        outcome = apply_commit(
            self.state, StateCircles(self.state), commit, CounterEngine(), self.params, PlainMath(4)
        )  # fmt: skip
        facts = outcome.facts
        header = BlockHeader(
            1, self.genesis.chain_id, height, facts.epoch, bytes(32), commit.time_ms, bytes(32),
            facts.transactions_root, receipts_root(outcome.receipts, settlements), bytes(32), commit.coin, bytes(32),
            facts.transaction_count,
        )  # fmt: skip

        def rows(root: bytes) -> Batch:
            nonlocal header
            header, batch = replace(header, state_root=root), Batch()
            data = make_batch(bytes(32), 0, height, items)
            self.blocks.put_batch(batch, 0, batch_id(data), data)
            self.blocks.put_commit(batch, height, CommitRow(encode(header), (), ((batch_id(data), count),)))
            receipts = outcome.receipts
            statuses = [TxStatus.OK] * len(receipts)
            executed = Executed(
                receipts.ids, range(len(receipts)), statuses, receipts.encoded, b"", [0] * len(receipts)
            )
            self.blocks.put_transactions(batch, height, executed)
            if settlements:
                batch.put(Family.SETTLEMENT, u64(height), encode(settlements))
            if certified:
                certificate = encode(certify(header, FOUNDERS, self.committee))
                self.blocks.put_certificate(batch, CertificateKind.CERTIFICATE, 0, height, certificate)
            return batch

        self.state.commit(height, outcome.writes, {}, lambda roots: (), rows)
        self.headers.append(header)
        self.ids += [decode_item(item).id for item in items]
        return header

    def _transfer(self, *, last: bool) -> bytes:
        self.nonce += 1
        body = build(
            chain=self.genesis.chain, sender=ALICE.public, nonce=self.nonce, expiry_epoch=9, fee=2_000,
            op=ops.Transfer(BOBS, 10**12 if last else 7, b""),
        )  # fmt: skip
        return sign(body, ALICE)

    # --- as a node ---

    def certificate(self, height: int) -> bytes | None:
        return self.blocks.certificate(CertificateKind.CERTIFICATE, 0, height)

    def document(self, kind: str, name: str, height: int | None = None) -> dict[str, Any]:
        with self.rows.view() as rows:
            return proofs.document(self, StoredView(rows, certified=0, checkpointed=0), kind, name, height)

    # --- checkpoints and later committees ---

    def body(self, **changes: Any) -> CheckpointBody:
        """Of the second block, naming the later validators and their committee."""
        header, registered = self.headers[1], [node.validator for node in by_id(LATER)]
        body = CheckpointBody(
            1, self.genesis.chain_id, 0, header.height, header.block_id, header.state_root, self.record.id,
            registered_root(registered), len(registered),
        )  # fmt: skip
        return replace(body, **changes)

    @property
    def record(self) -> EpochRecord:
        first = genesis_record(self.genesis)
        return replace(first, epoch=1, previous=first.id, seats_next=tuple(node.key.public for node in LATER))

    @property
    def later_committee(self) -> Committee:
        return Committee(self.record.id, tuple(NodeId(node.key.public) for node in LATER), b"", ())

    def link(self, signers: int = 3, nodes: Sequence[Node] = LATER, **changes: Any) -> Link:
        """From the founders to the later ones."""
        checkpoint = sign_body(self.body(**changes), FOUNDERS, signers)
        return Link(checkpoint, tuple(node.validator for node in by_id(nodes)), self.record)

    def of_new_committee(self, document: dict[str, Any], link: Link | None = None) -> dict[str, Any]:
        """The same proof, with the newest block certified by the later committee."""
        certificate = certify(self.headers[-1], LATER, self.later_committee)
        return document | {"links": [b64(link or self.link())], "certificate": b64(certificate)}

    def by_checkpoint(self, document: dict[str, Any], signers: int = 3) -> dict[str, Any]:
        """The proof of something at height 2, with a checkpoint of that height."""
        return document | {"certificate": None, "checkpoint": b64(sign_body(self.body(), FOUNDERS, signers))}

    def genesis_file(self) -> dict[str, str]:
        data = encode(self.genesis)
        return {"schema": "octra.genesis/v1", "chain": self.genesis.chain.hex(), "bytes": b64encode(data).decode()}


def b64(value: object) -> str:
    return b64encode(value if isinstance(value, bytes) else encode(value)).decode()


def opened(text: str, kind: type[Any]) -> Any:
    from base64 import b64decode

    return decode(b64decode(text), kind)


def script() -> ModuleType:
    """The stand-alone verifier."""
    path = Path(__file__).parents[3] / "docs" / "verify_proof.py"
    spec = importlib.util.spec_from_file_location("verify_proof", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
