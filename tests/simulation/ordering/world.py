"""Virtual time and an unreliable network. Everything is drawn from the scenario's seed, so a run repeats exactly."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from random import Random
from typing import Any, Protocol

from clock import Clock
from ordering.network import CALM_MS, DELAYS
from ordering.scenario import Crash, Cut, Scenario

from octra.consensus import coin
from octra.consensus.epoch import Committee
from octra.consensus.errors import BadSignature
from octra.consensus.events import CoinRevealed, CoinSharesRejected
from octra.consensus.vertex import SIGN_TAG, Vertex, check_vertex, decode_vertex, encode_vertex
from octra.crypto import bls, ed25519
from octra.crypto.hash import H
from octra.primitives import NodeId


class Keys(Protocol):
    """Signatures and coin: real ones, or hashes where a run is about ordering only."""

    committee: Committee

    def sign(self, seat: int, message: bytes) -> bytes: ...
    def verify(self, seat: int, message: bytes, signature: bytes) -> bool: ...
    def share(self, seat: int, round: int) -> bytes: ...
    def signature(self, round: int) -> bytes: ...
    def reveal(self, round: int, shares: tuple[tuple[int, bytes], ...]) -> CoinRevealed | CoinSharesRejected: ...


class HashKeys:
    """Stand-ins with the laws of the real ones: f + 1 right shares give the one value of a round, bad ones are found."""

    def __init__(self, seed: int, size: int) -> None:
        self._seed = seed.to_bytes(8, "little")
        seats = tuple(NodeId(H("sim.node", self._seed, bytes([seat]))) for seat in range(size))
        self.committee = Committee(H("sim.anchor", self._seed), seats, b"", ())

    def sign(self, seat: int, message: bytes) -> bytes:
        return 2 * H("sim.signature", self._seed, bytes([seat]), message)

    def verify(self, seat: int, message: bytes, signature: bytes) -> bool:
        """Is it that seat's signature?"""
        return signature == self.sign(seat, message)

    def share(self, seat: int, round: int) -> bytes:
        return H("sim.share", self._seed, bytes([seat]), round.to_bytes(4, "little")) + bytes(16)

    def signature(self, round: int) -> bytes:
        """What the shares of a round combine to. An adversary of this simulation may know it in advance."""
        return H("sim.coin", self._seed, round.to_bytes(4, "little")) + bytes(16)

    def reveal(self, round: int, shares: tuple[tuple[int, bytes], ...]) -> CoinRevealed | CoinSharesRejected:
        bad = tuple(seat for seat, share in shares if share != self.share(seat, round))
        if len(shares) - len(bad) > self.committee.faults:
            return CoinRevealed(round, self.signature(round), bad)
        return CoinSharesRejected(round, bad)


class RealKeys:
    """Ed25519 and threshold BLS, dealt from the seed."""

    def __init__(self, seed: int, size: int) -> None:
        def secret(what: bytes, index: int) -> bytes:
            return H("sim.secret", what, seed.to_bytes(8, "little"), index.to_bytes(4, "little"))

        self._signers = [ed25519.SigningKey(secret(b"node", seat)) for seat in range(size)]
        faults = (size - 1) // 3
        group = self._group = bls.SecretScalar.from_seed(secret(b"group", 0))
        coefficients = [
            int.from_bytes(bls.SecretScalar.from_seed(secret(b"poly", i)).to_bytes(), "big") for i in range(faults)
        ]
        self._shares = bls.deal(int.from_bytes(group.to_bytes(), "big"), faults, size, coefficients)
        self.committee = Committee(
            H("sim.anchor", seed.to_bytes(8, "little")),
            tuple(NodeId(signer.public) for signer in self._signers),
            group.public(),
            tuple(share.public() for share in self._shares),
        )
        self._reveal = lru_cache(maxsize=None)(lambda round, shares: coin.reveal(self.committee, round, shares))

    def sign(self, seat: int, message: bytes) -> bytes:
        return self._signers[seat].sign(message)

    def verify(self, seat: int, message: bytes, signature: bytes) -> bool:
        """Is it that seat's signature?"""
        return ed25519.verify(self.committee.seats[seat], signature, message)

    def signature(self, round: int) -> bytes:
        """What the shares of a round combine to: the dealer knows it in advance."""
        return self._group.sign(coin.coin_message(self.committee.anchor, round))

    def share(self, seat: int, round: int) -> bytes:
        return coin.make_share(self._shares[seat], self.committee.anchor, round)

    def reveal(self, round: int, shares: tuple[tuple[int, bytes], ...]) -> CoinRevealed | CoinSharesRejected:
        return self._reveal(round, shares)


class World(Clock):
    """The clock, the links and the trace of one run."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.keys: Keys = (RealKeys if scenario.real_crypto else HashKeys)(scenario.seed, scenario.size)
        self.random = Random(f"world {scenario.size} {scenario.seed}")
        super().__init__(now_ms=0, check_ms=100)
        self.deliveries = 0
        self.trace = blake2b(digest_size=16)
        self._delay = DELAYS[scenario.delay]
        size = scenario.size
        self.faults = self.keys.committee.faults
        self.shown: dict[int, set[int]] = {}  # round -> authors of whom a vertex was sent: their coin shares are known
        self.distance = [[self.random.randrange(10, 120) for _ in range(size)] for _ in range(size)]
        self.deltas: dict[bytes, dict[int, bytes]] = {}  # run of deltas -> height -> state root that it leads to
        self.nodes: list[Any] = []  # SimNode; set by `run_scenario`
        self._admitted: set[tuple[bytes, bytes]] = set()
        self._down: set[tuple[int, int]] = set()  # links that carry nothing now
        for cut in scenario.cuts:
            self.at(cut.start_ms, self._find_down)
            self.at(cut.end_ms, self._reconnect, cut)
        for crash in scenario.crashes:
            self.at(crash.at_ms, self._crash, crash)

    def note(self, *facts: int | bytes) -> None:
        """Add facts to the trace: equal traces mean equal runs."""
        for fact in facts:
            self.trace.update(fact if isinstance(fact, bytes) else fact.to_bytes(8, "little"))

    def admit(self, vertex: Vertex) -> None:
        """The border: rules and signature. Asked by all nodes, answered once; raises `InvalidVertex`."""
        name = (vertex.id, vertex.signature)
        if name not in self._admitted:
            check_vertex(decode_vertex(encode_vertex(vertex)), self.keys.committee)
            if not self.keys.verify(vertex.author, SIGN_TAG + vertex.header_bytes, vertex.signature):
                raise BadSignature(vertex.author)
            self._admitted.add(name)

    def send(self, source: int, target: int, action: Callable[..., None], *arguments: Any) -> None:
        """One message; `action` runs at the target unless the network or a crash swallows it."""
        random, scenario = self.random, self.scenario
        if source == target or (source, target) in self._down:
            return
        vertex = arguments[0] if arguments and isinstance(arguments[0], Vertex) else None
        if vertex is not None and vertex.author == source:
            self.shown.setdefault(vertex.round, set()).add(source)
        stormy = self.now_ms < scenario.heal_ms
        copies = 1
        if stormy and scenario.loss and random.random() < scenario.loss:
            copies = 0
        elif stormy and scenario.duplicates and random.random() < scenario.duplicates:
            copies = 2
        life = self.nodes[target].life
        for _ in range(copies):
            delay = self._delay(self, source, target, vertex) if stormy else random.randrange(*CALM_MS)
            self.at(delay, self._deliver, source, target, life, action, arguments)

    def _deliver(
        self, source: int, target: int, life: int, action: Callable[..., None], arguments: tuple[Any, ...]
    ) -> None:
        node = self.nodes[target]
        if node.running and node.life == life and (source, target) not in self._down:
            self.deliveries += 1
            self.note(self.now_ms, source, target)
            action(*arguments)

    def _find_down(self) -> None:
        self._down = {
            link
            for cut in self.scenario.cuts
            if cut.start_ms <= self.now_ms < cut.end_ms
            for a in cut.left
            for b in cut.right
            for link in (((a, b),) if cut.one_way else ((a, b), (b, a)))
        }

    def _reconnect(self, cut: Cut) -> None:
        self._find_down()
        for left in sorted(cut.left):
            for right in sorted(cut.right):
                if (left, right) not in self._down:
                    self.nodes[left].connected(right)
                if (right, left) not in self._down:
                    self.nodes[right].connected(left)

    def _crash(self, crash: Crash) -> None:
        node = self.nodes[crash.seat]
        if node.running:
            self.note(self.now_ms, crash.seat, b"crash")
            node.crash(power=crash.power)
            self.at(crash.back_ms - crash.at_ms, self.restart, crash.seat)

    def restart(self, seat: int) -> None:
        """The process comes back, and with it its links."""
        self.nodes[seat].start()
        for other in range(self.scenario.size):
            if other != seat and self.nodes[other].running:
                self.nodes[other].connected(seat)
                self.nodes[seat].connected(other)


def sign_vertex(keys: Keys, seat: int) -> Callable[[bytes], bytes]:
    """The signer that `seal_vertex` wants."""

    def sign(message: bytes) -> bytes:
        assert message.startswith(SIGN_TAG)
        return keys.sign(seat, message)

    return sign
