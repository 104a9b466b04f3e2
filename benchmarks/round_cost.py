"""What an idle round costs one seat of a committee: the ordering actor with real keys and stores, and a network of lists.

Frames of the other seats go in as they come from the links; out come their decoding and checks, the DAG, the coin, the
own vertex, and what is written to disk. Links, event loop and execution are not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "simulation"))

import structlog
from ordering.world import RealKeys

from octra.codec import decode, encode
from octra.consensus import limits
from octra.consensus.coin import share_round
from octra.consensus.epoch import OrderingParams
from octra.consensus.events import Executed
from octra.consensus.vertex import (
    VERSION,
    Execution,
    ParentLink,
    Vertex,
    VertexBody,
    VertexHeader,
    decode_vertex,
    encode_vertex,
    seal_vertex,
)
from octra.crypto.hash import H
from octra.node.actors.messages import Execute
from octra.node.actors.ordering import OrderingActor, Tick
from octra.node.actors.ref import ActorCode, Told
from octra.node.board import Board
from octra.node.p2p.messages import OrderingMessage, VertexList
from octra.node.p2p.short import Incoming
from octra.node.p2p.transport import Lane
from octra.storage.blocks import BlockStore
from octra.storage.rocks import open_rocks
from octra.storage.sign_log import SignLog
from octra.storage.write_queue import WriteQueue

OWN = 3
ROUND_MS, ARRIVAL_MS = 1_100, 10
_NOTHING = Execution(0, bytes(32))


@dataclass
class Surroundings:
    """All that an ordering actor talks to."""

    now_ms: int = 1_000_000
    sent: list[bytes] = field(default_factory=list)
    events: list[Executed] = field(default_factory=list)
    timers: dict[tuple[int, int], Any] = field(default_factory=dict)
    timers_made: int = 0
    height: int = 0
    clock: Any = None
    log: Any = field(default_factory=structlog.get_logger)

    def __post_init__(self) -> None:
        self.clock = SimpleNamespace(monotonic_ms=lambda: self.now_ms, wall_ms=lambda: self.now_ms)

    def ref(self, actor: ActorCode) -> Surroundings:
        return self

    def timer(self, at_ms: int, message: object) -> Callable[[], None]:
        self.timers_made += 1
        key = at_ms, self.timers_made
        self.timers[key] = message
        return lambda: self.timers.pop(key, None) and None

    @contextlib.contextmanager
    def guard(self, message: object) -> Iterator[None]:
        yield

    def spawn(self, work: Any) -> None:
        work.close()

    def tell(self, *message: object) -> Told:
        return Told.ACCEPTED

    async def tell_all(self, messages: list[object]) -> None:
        for message in messages:
            if isinstance(message, Execute):
                self.height = message.draft.height
                self.events.append(Executed(self.height, *claim(self.height)[1:]))

    def broadcast(self, lane: Lane, actor: ActorCode, message: int, body: bytes) -> None:
        self.sent.append(body)


def claim(height: int) -> tuple[int, bytes, bytes]:
    """Height, block id and state root of a chain without blocks."""
    name = height.to_bytes(8, "big")
    return height, H("bench.block", name), H("bench.root", name)


async def run(size: int, rounds: int, at_once: int, profile: cProfile.Profile | None) -> float:
    """Median milliseconds of processor time per round."""
    keys, random, around = RealKeys(1, size), Random(1), Surroundings()
    committee = keys.committee
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kv = stack.enter_context(contextlib.closing(open_rocks(folder / "db")))
        writes = stack.enter_context(contextlib.closing(WriteQueue(kv)))
        signed = stack.enter_context(contextlib.closing(SignLog(folder / "journal")))
        stores = SimpleNamespace(
            kv=kv, writes=writes, blocks=BlockStore(kv), signed=signed, state=SimpleNamespace(head=None)
        )
        seating = SimpleNamespace(
            committee=committee, params=OrderingParams(audit_secret=bytes(32)), coin=keys._shares[OWN], author=OWN, drawn=False,
            epoch=0, check_anchor=lambda anchor: True,
        )  # fmt: skip
        own = SimpleNamespace(sign=lambda message: keys.sign(OWN, message))
        parts: Any = SimpleNamespace(
            facts=SimpleNamespace(keys=SimpleNamespace(node=own)),
            stores=stores,
            router=around,
            seating=seating,
            board=Board(),
        )
        actor = OrderingActor(parts)
        await actor.start(around)  # type: ignore[arg-type]
        await actor.receive([Tick()])
        below: list[Vertex] = []
        spent: list[float] = []
        for round in range(1, rounds + 1):
            own_vertices = [decode_vertex(frame) for body in around.sent for frame in decode(body, VertexList).frames]
            around.sent.clear()
            layer = [
                other_vertex(keys, round, seat, below, around.height, around.now_ms, random)
                for seat in range(size)
                if seat != OWN
            ]
            random.shuffle(layer)
            messages: list[Any] = [
                Incoming(
                    committee.seats[v.author], Lane.CONSENSUS, OrderingMessage.VERTICES, 0, frames([v]), lambda *_: None
                )
                for v in layer
            ]
            start_ms = around.now_ms
            for number, message in enumerate(messages):
                around.timer(start_ms + number // at_once * at_once * ARRIVAL_MS, message)
            measured = round > rounds // 4
            began = time.process_time()
            if profile and measured:
                profile.enable()
            while due := sorted(key for key in around.timers if key[0] < start_ms + ROUND_MS):
                around.now_ms = max(around.now_ms, due[0][0])
                await actor.receive([around.timers.pop(key) for key in due if key[0] <= around.now_ms])
                while around.events:
                    told, around.events = around.events, []
                    await actor.receive(told)
            around.now_ms = start_ms + ROUND_MS
            if profile and measured:
                profile.disable()
            if measured:
                spent.append(time.process_time() - began)
            below = layer + [v for v in own_vertices if v.round == round]
            assert len(below) == size, (round, len(below))
        await actor.stop(0)
        return statistics.median(spent) * 1_000


def frames(vertices: list[Vertex]) -> bytes:
    return encode(VertexList(tuple(map(encode_vertex, vertices))))


def other_vertex(
    keys: RealKeys, round: int, seat: int, below: list[Vertex], height: int, now_ms: int, random: Random
) -> Vertex:
    """A vertex of another seat: it links to all but one or two of the round below."""
    left_out = random.sample([v.author for v in below if v.author != seat], min(len(below) // 8, random.randrange(3)))
    parents = [v for v in below if v.author not in left_out]
    random.shuffle(parents)
    parents.sort(key=lambda v: v.author != seat)
    header = VertexHeader(VERSION, keys.committee.anchor, seat, round, bytes(32), *claim(height), now_ms)
    links = tuple(ParentLink(v.author, v.id) for v in parents)
    share = keys.share(seat, share_round(round)) if round > limits.DECIDE_DEPTH else b""
    return seal_vertex(header, VertexBody(links, (), (), (), _NOTHING), share, lambda m: keys.sign(seat, m))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seats", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=1, help="messages that the actor finds in its mailbox")
    parser.add_argument("--profile", action="store_true")
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    profile = cProfile.Profile(time.process_time_ns, 1e-9) if chosen.profile else None
    spent_ms = asyncio.run(run(chosen.seats, chosen.rounds, chosen.at_once, profile))
    print(f"n = {chosen.seats}, {chosen.at_once} at once: {spent_ms:.2f} ms per round")
    if profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    main()
