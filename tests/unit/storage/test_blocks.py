"""Finding vertices, batches, commits, transactions and certificates again."""

from __future__ import annotations

import pytest

from octra.storage import blocks as blocks_module
from octra.storage.blocks import BlockStore, CertificateKind, CommitRow, TxPlace, TxStatus, VertexPlace
from octra.storage.index import Executed
from octra.storage.kv import Batch, Family, KeyValue


def identifier(number: int) -> bytes:
    return number.to_bytes(32, "big")


def filled(store: KeyValue, *, rounds: int = 20, size: int = 100) -> tuple[BlockStore, list[VertexPlace]]:
    blocks, batch = BlockStore(store), Batch()
    places = [
        VertexPlace(epoch, round_, author, identifier(epoch * 10_000 + round_ * 10 + author))
        for epoch in (0, 1, 2**32 - 1)
        for round_ in range(1, rounds + 1)
        for author in range(4)
    ]
    for place in places:
        blocks.put_vertex(batch, place, place.id[:4] * (size // 4))
    store.write(batch, durable=False)
    return blocks, places


def test_a_vertex_is_found_by_id_and_by_place(store: KeyValue) -> None:
    blocks, places = filled(store)
    for place in places[::7]:
        assert blocks.vertex(place.id) == place.id[:4] * 25
        assert blocks.vertex_place(place.id) == place
    assert blocks.vertex(b"\xff" * 32) is None


def test_twins_keep_rows_of_their_own(store: KeyValue) -> None:
    blocks, batch = BlockStore(store), Batch()
    for twin in (1, 2):
        blocks.put_vertex(batch, VertexPlace(0, 5, 3, identifier(twin)), b"twin %d" % twin)
    store.write(batch, durable=False)
    assert [data for _, data in blocks.vertices(0, 5, 5).vertices] == [b"twin 1", b"twin 2"]


def test_range_sync_pages_give_every_vertex_once_in_order_within_their_limits(store: KeyValue) -> None:
    blocks, places = filled(store)
    for vertices_max, bytes_max in ((7, 1 << 20), (512, 550), (512, 1)):
        seen: list[VertexPlace] = []
        start = None
        while True:
            answer = blocks.vertices(1, 3, 12, start=start, vertices_max=vertices_max, bytes_max=bytes_max)
            assert 1 <= len(answer.vertices) <= vertices_max
            assert len(answer.vertices) == 1 or sum(len(data) for _, data in answer.vertices) <= bytes_max
            seen += [place for place, _ in answer.vertices]
            if answer.next is None:
                break
            start = answer.next
        assert seen == [place for place in places if place.epoch == 1 and 3 <= place.round <= 12]
    assert blocks.vertices(5, 0, 2**32 - 1).vertices == ()
    assert len(list(blocks.all_vertices(2**32 - 1, 19))) == 8


def test_an_epoch_is_dropped_in_steps_and_others_stay(store: KeyValue) -> None:
    blocks, places = filled(store)
    batch = Batch()
    for number in range(10):
        blocks.put_batch(batch, number % 2, identifier(number), b"bytes %d" % number)
    store.write(batch, durable=False)
    steps = 1
    while not blocks.drop_epoch(0, ids_max=30):
        steps += 1
    assert steps == 3
    for place in places:
        assert (blocks.vertex(place.id) is None) == (place.epoch == 0)
    assert [blocks.batch(identifier(n)) is None for n in range(4)] == [True, False, True, False]
    assert not blocks.has_batch(identifier(0))
    assert len(list(blocks.batches(1))) == 5
    assert len(list(store.scan(Family.VERTEX_ID, b"", None, limit=1_000))) == 160


@pytest.mark.parametrize(("bound", "most"), [("RECENT_BATCH_BYTES", 25), ("RECENT_BATCHES", 2)])
def test_a_batch_is_readable_before_its_rows_are_written_and_memory_is_bounded(
    store: KeyValue, bound: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks_module, bound, most)
    blocks, rows = BlockStore(store), Batch()
    for number in range(3):
        blocks.put_batch(rows, 0, identifier(number), bytes([number]) * 10)
        blocks.put_batch(rows, 0, identifier(number), bytes([number]) * 10)
    assert [blocks.has_batch(identifier(number)) for number in range(3)] == [False, True, True]
    assert blocks.batch(identifier(2)) == b"\x02" * 10
    store.write(rows, durable=False)
    assert [blocks.batch(identifier(number)) for number in range(3)] == [bytes([n]) * 10 for n in range(3)]


def test_a_transaction_is_found_by_id_by_account_and_in_its_batch(store: KeyValue) -> None:
    blocks, batch = BlockStore(store), Batch()
    alice, bob = b"\xa1" * 32, b"\xb0" * 32
    batches = ((identifier(1), 2), (identifier(2), 0), (identifier(3), 3))
    for height in range(5):
        blocks.put_commit(batch, height, CommitRow(b"header %d" % height, (identifier(9),), batches))
        executed = Executed(
            ids=[identifier(height * 10 + index) for index in range(5)],
            indices=range(5),
            statuses=[TxStatus.PENDING if index == 3 else TxStatus.OK for index in range(5)],
            receipts=[b"receipt %d" % index for index in range(5)],
            accounts=alice + 5 * bob,
            counts=(2, 1, 1, 1, 1),
        )
        blocks.put_transactions(batch, height, executed)
    blocks.put_transactions(batch, 5, Executed((), (), (), ()))
    blocks.put_place(batch, identifier(33), TxPlace(3, 3, TxStatus.FAILED))
    store.write(batch, durable=True)

    place = blocks.transaction_place(identifier(33))
    assert place == TxPlace(3, 3, TxStatus.FAILED)
    assert blocks.transaction_batch(place) == (identifier(3), 1)
    assert blocks.transaction_batch(TxPlace(3, 5, TxStatus.OK)) is None
    assert blocks.transaction_batch(TxPlace(9, 0, TxStatus.OK)) is None
    assert blocks.receipt(3, 3) == b"receipt 3"
    assert blocks.receipt(3, 5) is blocks.receipt(5, 0) is None
    assert blocks.receipts(5) == []
    assert blocks.transaction_place(identifier(23)) == TxPlace(2, 3, TxStatus.PENDING)
    assert blocks.receipts(2) == [(index, b"receipt %d" % index) for index in range(5)]
    assert blocks.transaction_place(identifier(99)) is None

    assert [height for height, _, _ in blocks.account_transactions(alice, 10)] == [4, 3, 2, 1, 0]
    first = blocks.account_transactions(bob, 7)
    rest = blocks.account_transactions(bob, 100, before=first[-1][:2])
    assert [row[2] for row in first + rest] == [identifier(h * 10 + i) for h in (4, 3, 2, 1, 0) for i in range(5)]
    assert blocks.account_transactions(bob, 5, before=(3, 4)) == [(2, i, identifier(20 + i)) for i in range(5)]

    assert [height for height, _ in blocks.latest_commits(2)] == [4, 3]
    assert [height for height, _ in blocks.latest_commits(9, before=2)] == [1, 0]
    assert [row.header for _, row in blocks.commits(1, 2)] == [b"header 1", b"header 2"]
    assert blocks.commit(7) is None


def test_certificates_are_kept_by_kind(store: KeyValue) -> None:
    blocks, batch = BlockStore(store), Batch()
    for epoch in range(4):
        blocks.put_certificate(batch, CertificateKind.CHECKPOINT, epoch, epoch * 10, b"checkpoint %d" % epoch)
        blocks.put_certificate(batch, CertificateKind.EPOCH_RECORD, epoch, 0, b"record %d" % epoch)
    store.write(batch, durable=True)
    assert blocks.certificate(CertificateKind.CHECKPOINT, 2, 20) == b"checkpoint 2"
    assert blocks.latest_certificates(CertificateKind.CHECKPOINT) == [(3, 30, b"checkpoint 3")]
    assert blocks.latest_certificates(CertificateKind.EVIDENCE) == []
    found = blocks.certificates(CertificateKind.EPOCH_RECORD, first_epoch=2, limit=9)
    assert found == [(2, 0, b"record 2"), (3, 0, b"record 3")]
