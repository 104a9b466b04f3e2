"""Seats that send bytes which no border may let in, besides their good vertices."""

from __future__ import annotations

from msgspec.structs import replace
from ordering.node import SimNode
from ordering.world import sign_vertex

from octra.codec import encode
from octra.consensus import limits
from octra.consensus.vertex import Vertex, VertexBody, VertexHeader, encode_vertex, seal_vertex
from octra.crypto.hash import H

OTHER_CHAIN = H("sim.anchor", b"another chain")


class Forger(SimNode):
    """Each round some seats get a frame that breaks a rule, and half of them the good vertex, too."""

    honest = False

    def broadcast(self, vertex: Vertex) -> None:
        random = self.world.random
        for peer in range(self.committee.size):
            if vertex.round > 1 and peer != self.seat and random.random() < 0.7:
                node = self.world.nodes[peer]
                self.world.send(self.seat, peer, node.receive_frame, self.forge(vertex), self.seat)
            if random.random() < 0.5:
                self.send_vertex(peer, vertex)

    def forge(self, vertex: Vertex) -> bytes:
        """The frame that is sent in place of a vertex."""
        raise NotImplementedError

    def resealed(self, header: VertexHeader, body: VertexBody) -> bytes:
        """A frame with a right signature over wrong content."""
        sealed = seal_vertex(header, body, body.coin_share, sign_vertex(self.world.keys, self.seat))
        return encode_vertex(sealed)


class TooFewParents(Forger):
    """q - 1 parents."""

    def forge(self, vertex: Vertex) -> bytes:
        parents = vertex.body.parents[: self.committee.quorum - 1]
        return self.resealed(vertex.header, replace(vertex.body, parents=parents))


class DuplicateParentAuthor(Forger):
    """Two parents of one author."""

    def forge(self, vertex: Vertex) -> bytes:
        parents = (*vertex.body.parents, vertex.body.parents[0])
        return self.resealed(vertex.header, replace(vertex.body, parents=parents))


class WrongAnchor(Forger):
    """The vertex of another committee."""

    def forge(self, vertex: Vertex) -> bytes:
        return self.resealed(replace(vertex.header, anchor=self.world.random.randbytes(32)), vertex.body)


class ReplaysOtherChain(Forger):
    """What an honest seat signed on another chain: as it is, and with the anchor of this chain written over it."""

    def forge(self, vertex: Vertex) -> bytes:
        random = self.world.random
        victim = random.choice(self.disk.round_of(vertex.round - 1) or [vertex])
        elsewhere = replace(victim.header, anchor=OTHER_CHAIN, time_ms=victim.header.time_ms + 1)
        share = victim.body.coin_share
        signed = seal_vertex(elsewhere, victim.body, share, sign_vertex(self.world.keys, victim.author))
        if random.random() < 0.5:
            return encode_vertex(signed)
        moved = replace(elsewhere, anchor=self.committee.anchor)
        return encode_vertex(seal_vertex(moved, victim.body, share, lambda _: signed.signature))


class BadSignature(Forger):
    """The name of an honest seat under a vertex of its own making."""

    def forge(self, vertex: Vertex) -> bytes:
        victim = (self.seat + 1) % self.committee.size
        return self.resealed(replace(vertex.header, author=victim), vertex.body)


class MissingCoinShare(Forger):
    """From round 5 on a vertex without its share, before that one with."""

    def forge(self, vertex: Vertex) -> bytes:
        share = b"" if vertex.body.coin_share else bytes(48)
        return self.resealed(vertex.header, replace(vertex.body, coin_share=share))


class Oversize(Forger):
    """More of everything than the limits allow."""

    def forge(self, vertex: Vertex) -> bytes:
        random, body = self.world.random, vertex.body
        if random.random() < 0.5:
            return self.resealed(vertex.header, replace(body, evidence=(bytes(limits.BODY_BYTES_MAX),)))
        many = tuple(sorted(random.randbytes(32) for _ in range(limits.ATTESTED_MAX + 1)))
        return self.resealed(vertex.header, replace(body, attested=many))


class Bombs(Forger):
    """Few bytes that promise many: huge counts and deep nesting."""

    def forge(self, vertex: Vertex) -> bytes:
        random = self.world.random
        bomb = random.choice((b"\xdd\xff\xff\xff\xff", b"\x91" * 10_000, b"\xdf\xff\xff\xff\xff\x01"))
        return random.choice((bomb, encode((vertex.header_bytes, bomb, vertex.signature))))


class LooseEncodings(Forger):
    """The same values in other bytes: longer integers, bytes behind the end, cut-off ends."""

    def forge(self, vertex: Vertex) -> bytes:
        frame, header = encode_vertex(vertex), vertex.header_bytes
        # A header is an array whose first item is the version, one byte; 0xcc 0x01 is the same number in two.
        longer = encode((header[:1] + b"\xcc" + header[1:], vertex.body_bytes, vertex.signature))
        return self.world.random.choice((longer, frame + b"\x00", frame[:-1], frame[1:]))


class Garbage(Forger):
    """Noise, and good frames with some bytes changed."""

    def forge(self, vertex: Vertex) -> bytes:
        random, frame = self.world.random, bytearray(encode_vertex(vertex))
        if random.random() < 0.3:
            return random.randbytes(random.randrange(300))
        for _ in range(random.randrange(1, 4)):
            frame[random.randrange(len(frame))] ^= random.randrange(1, 256)
        return bytes(frame)


FORGERIES: dict[str, type[Forger]] = {
    "too_few_parents": TooFewParents,
    "duplicate_parent_author": DuplicateParentAuthor,
    "wrong_anchor": WrongAnchor,
    "replay_of_other_chains": ReplaysOtherChain,
    "bad_signature": BadSignature,
    "missing_coin_share": MissingCoinShare,
    "oversize": Oversize,
    "bombs": Bombs,
    "loose_encodings": LooseEncodings,
    "garbage": Garbage,
}
