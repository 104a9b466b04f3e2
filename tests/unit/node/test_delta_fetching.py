"""Getting deltas from seats that may lie, and choosing between executing, applying and waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from octra.codec import decode, encode
from octra.consensus import limits
from octra.consensus.effects import DeltaCertified
from octra.consensus.epoch import Committee
from octra.consensus.graph import executors, rechecks
from octra.consensus.ledger.delta import VERSION, Delta, delta_id, run_id
from octra.consensus.ledger.outcome import BlockFacts
from octra.consensus.vertex import NO_DELTA
from octra.node import deltas
from octra.node.actors.ref import PeerTimeout, RefusalCode, Refused
from octra.node.applying import CertainDelta, CertifiedRun, Chooser, ExecuteIt, Fetched, Wait, fetch_run
from octra.node.config import Execution
from octra.node.p2p.messages import DeltaPart, DeltaRequest, LedgerMessage
from octra.primitives import NodeId
from octra.storage.memory import MemoryKeyValue

SEATS = tuple(NodeId(bytes([seat + 1]) * 32) for seat in range(7))  # f = 2: three executors
COMMITTEE = Committee(b"anchor" + bytes(26), SEATS, b"", ())
BLOCK = b"b" * 32


def block_delta(height: int, size: int = 0) -> bytes:
    """The delta of a block with nothing in it but a blob."""
    facts = BlockFacts(height, 0, False, 10 * height, bytes(32), bytes(32), 0)
    blobs = ((b"d" * 32, bytes(size)),)
    return encode(Delta(VERSION, bytes(32), bytes(32), BLOCK, facts, (), (), (), (), (), (), (), blobs))


class Publishers:
    """Seats 0 to 2 executed heights 1 .. `top`; what each answers is up to the test."""

    def __init__(self, top: int, size: int = 0) -> None:
        self.data = {height: block_delta(height, size) for height in range(1, top + 1)}
        self.ids = tuple(delta_id(self.data[h]) for h in range(max(1, top - limits.DELTA_RUN + 1), top + 1))
        self.run = CertifiedRun(top, run_id(self.ids), SEATS[:3])
        self.asked: list[tuple[NodeId, int, int]] = []
        self.habits: dict[NodeId, Callable[[DeltaPart], DeltaPart | None]] = {}

    async def ask(self, peer: NodeId, request: DeltaRequest) -> bytes:
        self.asked.append((peer, request.height, request.offset))
        data = self.data[request.height]
        part = DeltaPart(self.ids, len(data), data[request.offset : request.offset + deltas.PART_BYTES])
        altered = self.habits.get(peer, lambda part: part)(part)
        if altered is None:
            raise Refused(RefusalCode.NOT_FOUND)
        return encode(altered)

    def fetch(self, first: int) -> Fetched:
        return asyncio.run(fetch_run(self.run, first, self.ask))


def altered(part: DeltaPart, **changes: Any) -> DeltaPart:
    return DeltaPart(**{"ids": part.ids, "size": part.size, "data": part.data} | changes)


LIES: dict[str, Callable[[DeltaPart], DeltaPart | None]] = {
    "refuses": lambda part: None,
    "other bytes": lambda part: altered(part, data=part.data[:-1] + b"\xff"),
    "other ids": lambda part: altered(part, ids=(bytes(32), *part.ids[1:])),
    "fewer ids": lambda part: altered(part, ids=part.ids[1:]),
    "no ids": lambda part: altered(part, ids=()),
    "nothing": lambda part: altered(part, data=b""),
    "no end": lambda part: altered(part, size=2**62),
    "too much": lambda part: altered(part, data=part.data * 2),
    "negative": lambda part: altered(part, size=-1),
}


def test_a_run_is_fetched_from_its_first_publisher_and_checked() -> None:
    seats = Publishers(20)
    fetched = seats.fetch(9)
    assert sorted(fetched.deltas) == list(range(9, 21))
    assert fetched.failed == ()
    assert {peer for peer, _, _ in seats.asked} == {SEATS[0]}
    assert {height: one.id for height, one in fetched.deltas.items()} == dict(
        zip(range(9, 21), seats.ids[4:], strict=True)
    )


def test_a_large_delta_comes_in_parts() -> None:
    seats = Publishers(1, size=3 * deltas.PART_BYTES)
    fetched = seats.fetch(1)
    assert [offset for _, _, offset in seats.asked] == [k * deltas.PART_BYTES for k in range(4)]
    assert len(fetched.deltas[1].delta.blobs[0][1]) == 3 * deltas.PART_BYTES


@pytest.mark.parametrize("lie", LIES)
def test_a_publisher_that_lies_is_passed_over_and_not_asked_again(lie: str) -> None:
    seats = Publishers(5)
    seats.habits[SEATS[0]] = LIES[lie]
    fetched = seats.fetch(2)
    assert sorted(fetched.deltas) == [2, 3, 4, 5]
    assert (fetched.failed, fetched.giver) == ((SEATS[0],), SEATS[1])
    assert [peer for peer, _, _ in seats.asked].count(SEATS[0]) == 1


@pytest.mark.parametrize("lie", LIES)
def test_f_plus_1_that_fail_give_nothing_and_the_node_goes_on(lie: str) -> None:
    seats = Publishers(5)
    seats.habits = dict.fromkeys(SEATS[:3], LIES[lie])
    fetched = seats.fetch(2)
    assert fetched.deltas == {}
    assert fetched.failed == SEATS[:3]


def test_a_peer_that_never_answers_is_one_of_those_that_fail() -> None:
    async def silence(peer: NodeId, request: DeltaRequest) -> bytes:
        raise PeerTimeout(1_000)

    fetched = asyncio.run(fetch_run(Publishers(3).run, 1, silence))
    assert fetched == Fetched(range(1, 4), {}, None, SEATS[:3])


def test_what_the_shelf_serves_is_what_the_fetcher_takes() -> None:
    seats, shelf = Publishers(20, size=2 * deltas.PART_BYTES), deltas.DeltaShelf()
    mark = deltas.read_mark(MemoryKeyValue(), 0)
    for data in seats.data.values():
        mark = deltas.mark_after(mark, 0, delta_id(data))
        shelf.keep(mark, data)

    async def ask(peer: NodeId, request: DeltaRequest) -> bytes:
        answers: list[bytes] = []
        question: Any = SimpleNamespace(
            message=LedgerMessage.FETCH_DELTA, body=encode(request), reply=answers.append, refuse=answers.append
        )
        shelf.serve([question])
        return answers[0]

    fetched = asyncio.run(fetch_run(seats.run, 16, ask))
    assert {height: one.delta for height, one in fetched.deltas.items()} == {
        height: decode(seats.data[height], Delta) for height in range(16, 21)
    }


# --- choosing ---


def chooser(seat: int | None, execution: Execution = Execution.SPLIT) -> Chooser:
    node = b"n" * 32 if seat is None else SEATS[seat]
    parts: Any = SimpleNamespace(
        seating=SimpleNamespace(committee=COMMITTEE, seat=seat),
        facts=SimpleNamespace(
            keys=SimpleNamespace(node_id=node), config=SimpleNamespace(node=SimpleNamespace(execution=execution))
        ),
    )
    return Chooser(parts)


DUTY = executors(COMMITTEE.anchor, 7, 1)
FREE = next(seat for seat in range(7) if seat not in DUTY)
RUN = DeltaCertified(4, b"r" * 32, DUTY)
ONE = CertainDelta(b"i" * 32, block_delta(2), decode(block_delta(2), Delta))


def test_seats_on_duty_execute_and_the_others_wait() -> None:
    for seat in range(7):
        assert chooser(seat).choose(1) == (ExecuteIt() if seat in DUTY else Wait())
        assert chooser(seat, Execution.ALL).choose(1) == ExecuteIt()


def test_nodes_without_a_seat_execute_every_fourth_block_and_wait_for_the_others() -> None:
    follower = chooser(None)
    choices = {height: follower.choose(height) for height in range(1, 60)}
    for height, choice in choices.items():
        assert choice == (ExecuteIt() if rechecks(COMMITTEE.anchor, b"n" * 32, height) else Wait())
    assert ExecuteIt() in choices.values()


def test_a_certain_run_is_asked_for_once_and_its_deltas_are_applied() -> None:
    free = chooser(FREE)
    free.certified(RUN)
    first = free.choose(2)
    assert isinstance(first, Wait)
    assert first.fetch is not None
    assert (first.fetch.top, first.fetch.run_id) == (4, RUN.delta_id)
    assert set(first.fetch.publishers) == {SEATS[seat] for seat in DUTY}
    assert free.choose(2) == Wait()
    free.arrived(Fetched(range(2, 5), {2: ONE}, SEATS[DUTY[0]], ()))
    assert free.choose(2) == ONE
    assert free.choose(3) == free.choose(4) == ExecuteIt()  # they did not come


def test_an_overdue_height_is_executed_and_so_is_one_that_nobody_keeps() -> None:
    free = chooser(FREE)
    free.give_up(1)
    assert free.choose(1) == ExecuteIt()
    free.done(1)
    assert free.choose(2) == Wait()
    free.certified(DeltaCertified(2 + limits.DELTAS_KEPT, b"r" * 32, DUTY))
    assert free.choose(2) == ExecuteIt()


def test_the_nearest_run_that_names_the_height_is_asked_for() -> None:
    free = chooser(FREE)
    for top in (9, 5, 40):
        free.certified(DeltaCertified(top, bytes([top]) * 32, DUTY))
    choice = free.choose(5)
    assert isinstance(choice, Wait)
    assert choice.fetch is not None
    assert choice.fetch.top == 5
    free.done(9)
    assert free.choose(10) == Wait()  # 40 names 25 and above; the core will say when it is overdue
    late = free.choose(25)
    assert isinstance(late, Wait)
    assert late.fetch is not None


def test_news_of_a_run_that_is_stored_already_holds_nobody_back() -> None:
    free = chooser(FREE)
    free.done(4)
    free.certified(RUN)
    assert free.choose(5) == Wait()
    free.certified(DeltaCertified(8, b"s" * 32, DUTY))
    choice = free.choose(5)
    assert isinstance(choice, Wait)
    assert choice.fetch is not None
    assert choice.fetch.top == 8


def test_seats_that_failed_are_asked_last_until_they_give_an_answer() -> None:
    free = chooser(FREE)

    def order(top: int) -> tuple[NodeId, ...]:
        free.certified(DeltaCertified(top, b"r" * 32, DUTY))
        choice = free.choose(top)
        assert isinstance(choice, Wait)
        assert choice.fetch is not None
        free.done(top)
        return choice.fetch.publishers

    first, second, third = order(1)
    free.arrived(Fetched(range(1, 2), {}, second, (first,)))
    assert order(2) == (second, third, first)
    free.arrived(Fetched(range(2, 3), {}, first, (second, third)))
    assert order(3) == (first, second, third)


def test_different_nodes_ask_different_seats_first() -> None:
    firsts = set()
    for seat in (seat for seat in range(7) if seat not in DUTY):
        one = chooser(seat)
        one.certified(RUN)
        choice = one.choose(4)
        assert isinstance(choice, Wait)
        assert choice.fetch is not None
        firsts.add(choice.fetch.publishers[0])
    assert len(firsts) > 1


def test_a_run_without_an_id_in_place_of_a_large_block_leaves_that_block_to_be_executed() -> None:
    seats = Publishers(3)
    ids = (seats.ids[0], NO_DELTA, seats.ids[2])
    seats.ids, seats.run = ids, CertifiedRun(3, run_id(ids), SEATS[:3])
    fetched = seats.fetch(1)
    assert sorted(fetched.deltas) == [1, 3]
    assert fetched.failed == ()
