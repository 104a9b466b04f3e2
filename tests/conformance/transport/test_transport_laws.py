"""What every transport keeps, whatever carries its bytes."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from octra.node.p2p.endpoint import DIALS_MAX
from octra.node.p2p.frame import LIMITS
from octra.node.p2p.transport import (
    Announced,
    DialFailed,
    DownReason,
    Lane,
    LinkDown,
    LinkUp,
    PortTaken,
    Received,
    Sent,
    WindowClass,
    cost,
)

if TYPE_CHECKING:
    from conftest import World


def short(body: bytes) -> bytes:
    return b"\x01" + body


def test_frames_arrive_in_order_on_each_lane(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        sent = {lane: [short(b"%d" % i) for i in range(300)] for lane in Lane}
        for i in range(0, 300, 3):
            for lane in Lane:
                assert one.endpoint.send(other.node_id, one.link(other), lane, sent[lane][i : i + 3]) is Sent.ACCEPTED
            await asyncio.sleep(0)
        await world.until(lambda: all(len(other.frames(lane)) == 300 for lane in Lane))
        assert {lane: other.frames(lane) for lane in Lane} == sent

    world.run(scenario)


def test_both_sides_may_speak_first_on_every_lane(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.node(1), await world.node(2)
        one.dial(other)
        await world.until(lambda: other.all(LinkUp))  # the dialler may not know of the link yet
        for lane in Lane:
            assert other.endpoint.send(one.node_id, other.link(one), lane, [short(b"early")]) is Sent.ACCEPTED
        await world.until(lambda: all(one.frames(lane) for lane in Lane))
        assert isinstance(one.events[0], LinkUp)

    world.run(scenario)


def test_a_stalled_reader_loses_nothing_and_is_never_sent_more_than_its_window(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        other.greedy = False
        lane, peer, link = Lane.DATA, other.node_id, one.link(other)
        frames = [short(i.to_bytes(4, "big") + bytes(9_995)) for i in range(2_000)]
        accepted = 0
        while one.endpoint.send(peer, link, lane, [frames[accepted]]) is Sent.ACCEPTED:
            accepted += 1
        assert LIMITS[lane].queue_max // 10_064 <= accepted < 2_000
        await asyncio.sleep(0.3)
        assert cost(other.frames(lane)) <= LIMITS[lane].window_guest
        other.endpoint.set_windows(one.node_id, other.link(one), WindowClass.FULL)
        await asyncio.sleep(0.3)
        assert cost(other.frames(lane)) <= LIMITS[lane].window_full
        other.endpoint.consumed(one.node_id, other.link(one), lane, cost(other.frames(lane)))
        other.greedy = True
        while accepted < len(frames):
            if one.endpoint.send(peer, link, lane, [frames[accepted]]) is Sent.ACCEPTED:
                accepted += 1
            else:
                assert await one.endpoint.room(peer, link, lane)
        await world.until(lambda: len(other.frames(lane)) >= len(frames))
        assert other.frames(lane) == frames

    world.run(scenario)


def test_a_slow_lane_does_not_hold_up_another(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        other.greedy = False
        while one.endpoint.send(other.node_id, one.link(other), Lane.DATA, [short(bytes(50_000))]) is Sent.ACCEPTED:
            pass
        one.endpoint.send(other.node_id, one.link(other), Lane.CONSENSUS, [short(b"vertex")])
        await world.until(lambda: other.frames(Lane.CONSENSUS))

    world.run(scenario)


def test_a_send_that_does_not_fit_leaves_no_part_behind(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        other.greedy = False
        lane, link = Lane.REQUEST, one.link(other)
        while one.endpoint.send(other.node_id, link, lane, [short(bytes(60_000))]) is Sent.ACCEPTED:
            pass
        assert one.endpoint.send(other.node_id, link, lane, [short(b"a"), short(bytes(200_000))]) is Sent.FULL
        other.endpoint.consumed(one.node_id, other.link(one), lane, cost(other.frames(lane)))
        other.greedy = True
        assert await one.endpoint.room(other.node_id, link, lane)
        one.endpoint.send(other.node_id, link, lane, [short(b"last")])
        await world.until(lambda: short(b"last") in other.frames(lane))
        assert short(b"a") not in other.frames(lane)

    world.run(scenario)


def test_the_largest_frames_pass_both_ways_at_once(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        sizes = {lane: LIMITS[lane].frame_max for lane in Lane}
        for _ in range(3):
            for lane, size in sizes.items():
                for here, there in ((one, other), (other, one)):
                    while (
                        here.endpoint.send(there.node_id, here.link(there), lane, [short(bytes(size - 1))]) is Sent.FULL
                    ):
                        await here.endpoint.room(there.node_id, here.link(there), lane)
        await world.until(lambda: all(len(node.frames(lane)) == 3 for node in (one, other) for lane in Lane))

    world.run(scenario)


def test_a_reset_ends_the_link_once_and_the_next_link_has_another_number(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        first = one.link(other)
        one.endpoint.send(other.node_id, first, Lane.BULK, [short(bytes(1_000_000))])
        await asyncio.sleep(0)
        one.break_link(other)
        await world.until(lambda: one.all(LinkDown) and other.all(LinkDown))
        assert one.endpoint.send(other.node_id, first, Lane.DATA, [short(b"x")]) is Sent.GONE
        assert not await one.endpoint.room(other.node_id, first, Lane.DATA)
        await world.join(one, other)
        await world.until(lambda: len(one.all(LinkUp)) == 2)
        assert one.link(other) != first
        assert one.endpoint.send(other.node_id, first, Lane.DATA, [short(b"x")]) is Sent.GONE
        assert one.endpoint.send(other.node_id, one.link(other), Lane.DATA, [short(b"y")]) is Sent.ACCEPTED
        await world.until(lambda: other.frames(Lane.DATA))
        assert other.frames(Lane.DATA) == [short(b"y")]
        assert (len(one.all(LinkDown)), len(other.all(LinkDown))) == (1, 1)

    world.run(scenario)


def test_waiting_for_room_ends_when_the_link_does(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        other.greedy = False
        while one.endpoint.send(other.node_id, one.link(other), Lane.DATA, [short(bytes(50_000))]) is Sent.ACCEPTED:
            pass
        waiting = asyncio.ensure_future(one.endpoint.room(other.node_id, one.link(other), Lane.DATA))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        one.break_link(other)
        assert await waiting is False

    world.run(scenario)


def test_two_nodes_that_dial_each_other_at_once_get_one_link(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.node(1), await world.node(2)
        one.dial(other)
        other.dial(one)
        await world.until(lambda: one.all(LinkUp) and other.all(LinkUp))
        await asyncio.sleep(0.5)
        assert (len(one.all(LinkUp)), len(other.all(LinkUp))) == (1, 1)
        assert not one.all(LinkDown)
        assert not other.all(LinkDown)
        one.endpoint.send(other.node_id, one.link(other), Lane.DATA, [short(b"here")])
        other.endpoint.send(one.node_id, other.link(one), Lane.DATA, [short(b"there")])
        await world.until(lambda: one.frames(Lane.DATA) and other.frames(Lane.DATA))

    world.run(scenario)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"genesis": b"h" * 32}, DownReason.WRONG_CHAIN), ({"chain": "localnet-else"}, DownReason.WRONG_CHAIN)],
    ids=["another genesis", "another chain id"],
)
def test_a_node_of_another_chain_is_refused(world: World, changes: dict[str, object], reason: DownReason) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.node(1), await world.node(2, **changes)
        one.dial(other)
        await world.until(lambda: one.all(DialFailed))
        assert one.all(DialFailed)[0].error.reason is reason
        assert not one.all(LinkUp)
        assert not other.all(LinkUp)

    world.run(scenario)


def test_a_node_that_is_not_the_expected_one_is_refused(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other, third = await world.node(1), await world.node(2), world.make(3)
        one.endpoint.dial(other.address.split("/p2p/")[0], third.node_id)
        await world.until(lambda: one.all(DialFailed))
        await asyncio.sleep(0.1)
        assert not one.all(LinkUp)
        assert not other.all(LinkUp)

    world.run(scenario)


def test_a_peer_that_admission_refuses_gets_no_link(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.node(1), await world.node(2, admit=lambda hello: DownReason.BANNED)
        one.dial(other)
        await world.until(lambda: one.all(DialFailed))
        assert one.all(DialFailed)[0].error.reason is DownReason.BANNED
        assert not other.all(LinkUp)

    world.run(scenario)


def test_a_dial_to_nobody_to_oneself_or_to_a_linked_peer_fails(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        gone = await world.node(3)
        address = gone.address
        await gone.endpoint.stop(1_000)
        one.endpoint.dial(address, gone.node_id)
        one.endpoint.dial(one.address, one.node_id)
        one.dial(other)
        one.endpoint.dial("/dns4/example/tcp/1", world.make(4).node_id)
        await world.until(lambda: len(one.all(DialFailed)) == 4)
        reasons = sorted(event.error.reason for event in one.all(DialFailed))
        assert reasons == sorted([DownReason.SELF, DownReason.DUPLICATE, DownReason.RESET, DownReason.RESET])

    world.run(scenario)


def test_many_dials_at_once_wait_for_each_other_and_all_end(world: World) -> None:
    async def scenario(world: World) -> None:
        one = await world.node(1)
        others = [await world.node(number) for number in range(2, 2 + DIALS_MAX + 2)]
        for other in others[1:]:
            one.dial(other)
        one.endpoint.dial(one.address, others[0].node_id)  # somebody else is there
        assert sum(dial.begun for dial in one.endpoint._dials.values()) == DIALS_MAX
        one.dial(others[-1])
        await world.until(lambda: one.links() == {other.node_id for other in others[1:]})
        await world.until(lambda: len(one.all(DialFailed)) == 2)
        assert not one.endpoint._dials

    world.run(scenario)


def test_a_restarted_peer_links_again_at_the_same_address(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        address = other.address
        await other.endpoint.stop(1_000)
        await world.until(lambda: one.all(LinkDown))
        one.endpoint.dial(address, other.node_id)  # nobody there: a failed dial must not spoil the next
        await world.until(lambda: one.all(DialFailed))
        again = await world.node(2, listen=address)
        assert again.address == address
        await world.join(one, again)
        one.endpoint.send(again.node_id, one.link(again), Lane.DATA, [short(b"hello again")])
        await world.until(lambda: again.frames(Lane.DATA))

    world.run(scenario)


def test_a_second_living_process_with_the_same_key_is_refused(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        twin = await world.node(2, listen=world.anywhere)
        twin.dial(one)
        await world.until(lambda: twin.all(DialFailed))
        assert twin.all(DialFailed)[0].error.reason is DownReason.DUPLICATE_IDENTITY
        assert one.links() == {other.node_id}
        assert not one.all(LinkDown)

    world.run(scenario)


def test_stopping_delivers_what_was_sent_and_says_goodbye(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        for i in range(100):
            one.endpoint.send(other.node_id, one.link(other), Lane.DATA, [short(b"%d" % i)])
        await one.endpoint.stop(2_000)
        await one.endpoint.stop(2_000)
        await world.until(lambda: other.all(LinkDown))
        assert other.frames(Lane.DATA) == [short(b"%d" % i) for i in range(100)]
        assert other.all(LinkDown)[0].reason is DownReason.STOPPING

    world.run(scenario)


def test_closing_a_link_tells_the_peer_why(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        one.endpoint.close(other.node_id, DownReason.BANNED)
        await world.until(lambda: one.all(LinkDown) and other.all(LinkDown))
        assert [event.reason for event in one.all(LinkDown) + other.all(LinkDown)] == [DownReason.BANNED] * 2

    world.run(scenario)


@pytest.mark.parametrize(
    "garbage",
    [b"\xff\xff\xff\xff\x01", bytes(4), b"\0\0\0\2\x09\0", b"\0\0\0\3\0\xc1\xc1"],
    ids=["long", "empty", "form", "control"],
)
def test_bytes_that_break_the_wire_end_the_link(world: World, garbage: bytes) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        one.endpoint._links[other.node_id].connection.write(Lane.REQUEST, garbage)
        await world.until(lambda: other.all(LinkDown))
        assert other.all(LinkDown)[0].reason is DownReason.PROTOCOL

    world.run(scenario)


def test_a_sender_that_ignores_credit_is_cut_off(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        other.greedy = False
        frame = short(bytes(99_999))
        burst = (len(frame).to_bytes(4, "big") + frame) * 8
        one.endpoint._links[other.node_id].connection.write(Lane.DATA, burst)
        await world.until(lambda: other.all(LinkDown))
        assert other.all(LinkDown)[0].reason is DownReason.PROTOCOL
        assert cost(other.frames(Lane.DATA)) <= LIMITS[Lane.DATA].window_guest

    world.run(scenario)


def test_an_announcement_reaches_every_node_once(world: World) -> None:
    async def scenario(world: World) -> None:
        nodes = [await world.node(number) for number in range(1, 6)]
        for near, far in pairwise(nodes):
            await world.join(near, far)
        await world.join(nodes[0], nodes[2])  # a ring, so it could come twice
        assert nodes[0].endpoint.announce("checkpoint", b"body") is Sent.ACCEPTED
        await world.until(lambda: all(node.all(Announced) for node in nodes[1:]))
        await asyncio.sleep(0.3)
        assert [len(node.all(Announced)) for node in nodes] == [0, 1, 1, 1, 1]
        assert nodes[4].all(Announced)[0] == Announced("checkpoint", nodes[0].node_id, b"body")

    world.run(scenario)


def test_send_many_names_those_who_did_not_take_it(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        stranger = world.make(9)
        missed = one.endpoint.send_many([other.node_id, stranger.node_id], Lane.DATA, short(b"all"))
        assert missed == {stranger.node_id}
        await world.until(lambda: other.frames(Lane.DATA))

    world.run(scenario)


def test_every_pair_of_a_mesh_is_linked(world: World) -> None:
    count = 5 if world.adapter == "libp2p" else 12

    async def scenario(world: World) -> None:
        nodes = [await world.node(number) for number in range(1, count + 1)]
        for node in nodes:
            for other in nodes:
                if node.node_id != other.node_id:
                    node.dial(other)
        await world.until(lambda: all(len(node.links()) == count - 1 for node in nodes))
        for node in nodes:
            assert not node.endpoint.send_many(sorted(node.links()), Lane.CONSENSUS, short(b"vertex"))
        await world.until(lambda: all(len(node.frames(Lane.CONSENSUS)) == count - 1 for node in nodes))

    world.run(scenario)


def test_a_port_that_is_in_use_is_reported(world: World) -> None:
    async def scenario(world: World) -> None:
        one = await world.node(1)
        second = world.make(2, listen=one.address)
        with pytest.raises(PortTaken):
            await second.endpoint.start(second.sink)

    world.run(scenario)


def test_credit_for_small_frames_never_runs_dry(world: World) -> None:
    async def scenario(world: World) -> None:
        one, other = await world.pair()
        total = 20_000  # several windows, counted with the overhead of each frame
        sent = 0
        while sent < total:
            burst = [short(b"x" * 20)] * 200
            if one.endpoint.send(other.node_id, one.link(other), Lane.CONSENSUS, burst) is Sent.ACCEPTED:
                sent += len(burst)
            else:
                await one.endpoint.room(other.node_id, one.link(other), Lane.CONSENSUS)
        await world.until(lambda: len(other.frames(Lane.CONSENSUS)) == total)
        assert all(isinstance(event, Received | LinkUp) for event in other.events)

    world.run(scenario)
