"""Frozen bytes: what other nodes and the disk rely on. Run this file as a script to write the vectors anew."""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3] / "simulation"))

from ordering.dags import blocks_of, insert_all, make_vertex
from ordering.world import RealKeys

from octra.codec import encode
from octra.consensus import coin
from octra.consensus.batch import batch_id, make_batch
from octra.consensus.certificate import BlockHeader, assemble
from octra.consensus.checkpoint import CheckpointBody, Validator, checkpoint_message, registered_root
from octra.consensus.effects import CommitDraft
from octra.consensus.epoch import EpochRecord
from octra.consensus.events import CoinRevealed
from octra.consensus.evidence import encode_evidence, equivocation
from octra.consensus.graph import attestors
from octra.consensus.vertex import (
    BatchRef,
    Execution,
    ParentLink,
    Vertex,
    VertexBody,
    VertexHeader,
    WeakLink,
    encode_vertex,
    seal_vertex,
)
from octra.crypto.hash import H

PATH = Path(__file__).parents[3] / "vectors" / "consensus" / "ordering.json"


def _h(number: int) -> bytes:
    return H("octra.vectors", number.to_bytes(4, "little"))


def _vertex(keys: RealKeys, seat: int, time_ms: int) -> Vertex:
    header = VertexHeader(1, keys.committee.anchor, seat, 40, bytes(32), 7, _h(1), _h(2), time_ms)
    body = VertexBody(
        parents=tuple(ParentLink(author, _h(10 + author)) for author in (seat, *[a for a in range(4) if a != seat])),
        weak=(WeakLink(12, 3, _h(20)),),
        batches=(BatchRef(_h(30), 3, 500),),
        attested=tuple(sorted((_h(40), _h(41)))),
        execution=Execution(0, _h(50)),
        evidence=(b"evidence",),
    )
    return seal_vertex(header, body, keys.share(seat, 36), lambda message: keys.sign(seat, message))


def make_vectors() -> dict[str, str | list[str]]:
    """Every frozen value, by name."""
    keys = RealKeys(1, 4)
    vertices = [_vertex(keys, seat, 1_700_000_000_000) for seat in range(3)]
    record = EpochRecord(
        1,
        "octra-vectors",
        2,
        _h(1),
        9,
        _h(2),
        _h(3),
        4,
        _h(5),
        b"s" * 48,
        (_h(6),),
        b"k" * 96,
        *((_h(7), (_h(8),), _h(9), _h(10), _h(11))),
    )
    header = BlockHeader(1, "octra-vectors", 9, 2, _h(1), 1_700_000_000_001, *[_h(i) for i in range(2, 8)], 12)
    body = CheckpointBody(1, "octra-vectors", 2, 9, _h(1), _h(2), _h(3), _h(4), 4)
    revealed = coin.reveal(keys.committee, 36, [(seat, keys.share(seat, 36)) for seat in range(2)])
    assert isinstance(revealed, CoinRevealed)
    value = coin.coin_value(revealed.signature)
    batch = make_batch(keys.committee.anchor, 2, 7, [b"first", b"second"])
    blocks = _blocks()
    return {
        "vertex": encode_vertex(vertices[0]).hex(),
        "vertex_id": vertices[0].id.hex(),
        "batch": batch.hex(),
        "batch_id": batch_id(batch).hex(),
        "certificate": encode(assemble(keys.committee, [(v.header, v.signed_header) for v in vertices])).hex(),
        "equivocation": encode_evidence(equivocation(vertices[0], _vertex(keys, 0, 5))).hex(),
        "epoch_record": encode(record).hex(),
        "epoch_record_id": record.id.hex(),
        "block_id": header.block_id.hex(),
        "checkpoint_message": checkpoint_message(body).hex(),
        "registered_root": registered_root([Validator(_h(1), b"k" * 96)]).hex(),
        "coin_message": coin.coin_message(keys.committee.anchor, 36).hex(),
        "coin_signature": revealed.signature.hex(),
        "coin_value": value.hex(),
        "leaders_of_24": " ".join(map(str, coin.leaders(value, 24, 24))),
        "attestors_of_24": " ".join(map(str, attestors(value, 24, 5))),
        "blocks": [H("sim.draft", encode(draft)).hex() for draft in blocks],
        "ordering_id": blocks[15].ordering_id.hex(),
    }


def _blocks() -> list[CommitDraft]:
    """The blocks of a DAG with missing links, twins and a batch on its way."""
    layers: list[list[Vertex]] = []
    for round in range(1, 21):
        layer = []
        for author in range(4):
            below = [
                vertex for vertex in (layers[-1] if layers else []) if vertex.header.author != (round * 7 + author) % 9
            ]
            one_each = list({vertex.author: vertex for vertex in below}.values())
            batches = [BatchRef(_h(1), 1, 2)] if (round, author) == (7, 2) else []
            layer.append(make_vertex(round, author, one_each, batches=batches, time_ms=round * 100 + author))
        if round in (4, 9):
            layer.append(make_vertex(round, 3, layers[-1][:3], twin=1, attested=[_h(1)]))
        layers.append(layer)
    leaders = {round: (round % 4, (round + 1) % 4) for round in range(1, 17)}
    return blocks_of(insert_all(4, [vertex for layer in layers for vertex in layer]), leaders)


def test_all_bytes_are_what_they_were() -> None:
    frozen = json.loads(PATH.read_text())
    made = make_vectors()
    assert len(made["blocks"]) > 16
    assert made == frozen


if __name__ == "__main__":
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text(json.dumps(make_vectors(), indent=1) + "\n")
