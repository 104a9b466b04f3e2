"""How two nodes meet: hellos, then proofs, over one channel that nobody can splice.

    dialler                      acceptor
      Hello  ------------------>            checks the claims
             <------------------  Hello
      Proof  ------------------>            verifies, decides about a second link of the pair
             <------------------  Proof     the link is up

The acceptor speaks last, so a link that the dialler sees up is up on both sides. The proof signs the channel (which
stops a relay in the middle) and the side (which stops reflection of one's own proof).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from octra.crypto import ed25519
from octra.crypto.hash import H
from octra.errors import InvalidInput
from octra.node.p2p.control import Control, Proof, control_frame
from octra.node.p2p.hello import VERSION_MAX, VERSION_MIN, Hello, Role
from octra.node.p2p.transport import DownReason, WindowClass
from octra.primitives import NodeId

HELLO_SIZE_MAX = 4 * 1_024


class HandshakeRefused(InvalidInput):
    """The peer is not one we can link with; `reason` goes into our Goodbye."""

    oct_code = 3103

    def __init__(self, reason: DownReason) -> None:
        super().__init__(f"handshake refused: {reason.name.lower()}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Status:
    """How far the node has come; it colours a hello and decides nothing."""

    height: int = 0
    epoch: int = 0
    checkpoint_id: bytes = bytes(32)


@dataclass(frozen=True)
class Identity:
    """Who this node is on the network. `instance` tells two processes with one key apart."""

    key: ed25519.SigningKey
    chain_id: str
    genesis_hash: bytes
    role: Role = Role.STANDARD
    features: int = 0
    software: str = "octra"
    instance: bytes = field(default_factory=lambda: os.urandom(16))
    status: Callable[[], Status] = Status

    @property
    def node_id(self) -> NodeId:
        """The public half of the node key."""
        return NodeId(self.key.public)

    def hello(self, *, listen: tuple[str, ...], wall_ms: int, nonce: bytes) -> Hello:
        """The hello of one handshake."""
        status = self.status()
        return Hello(
            version_min=VERSION_MIN,
            version_max=VERSION_MAX,
            chain_id=self.chain_id,
            genesis_hash=self.genesis_hash,
            node_id=self.node_id,
            instance=self.instance,
            role=self.role,
            features=self.features,
            listen=listen[:8],
            height=status.height,
            epoch=status.epoch,
            checkpoint_id=status.checkpoint_id,
            wall_ms=wall_ms,
            window=WindowClass.FULL,
            nonce=nonce,
            software=self.software[:64],
        )


class Side(Enum):
    """Who opened the connection."""

    DIALLER = b"\0"
    ACCEPTOR = b"\1"

    @property
    def other(self) -> Side:
        return Side.ACCEPTOR if self is Side.DIALLER else Side.DIALLER


def transcript(side: Side, dialler_hello: bytes, acceptor_hello: bytes, channel: bytes) -> bytes:
    """What the proof of `side` signs."""
    parts = [len(hello).to_bytes(4, "big") + hello for hello in (dialler_hello, acceptor_hello)]
    return H("octra.hello", side.value, *parts, channel)


class Handshake:
    """One handshake from one side. Feed it the peer's first two control messages; each answers what to send."""

    def __init__(
        self,
        identity: Identity,
        hello: Hello,
        side: Side,
        *,
        expected: NodeId | None,
        owner: NodeId | None,
        channel: bytes,
    ) -> None:
        """`expected`: whom we dialled. `owner`: whose key the carrier has authenticated, if it does that."""
        self._identity, self._side = identity, side
        self._expected, self._owner, self._channel = expected, owner, channel
        self._own_hello = hello
        self._hello_frames: dict[Side, bytes] = {side: control_frame(hello)}
        self.peer: Hello | None = None  # its claims, not yet proven
        self.proven = False

    def opening(self) -> tuple[bytes, ...]:
        """Frames to send before anything has been received."""
        return (self._hello_frames[self._side],) if self._side is Side.DIALLER else ()

    def receive(self, frame: bytes, message: Control) -> tuple[bytes, ...]:
        """Take the peer's next message (and its exact bytes); the frames to answer. Raises `HandshakeRefused`.

        The acceptor's own proof is not among them: `own_proof` gives it once the link is wanted.
        """
        match message:
            case Hello() if self.peer is None and len(frame) <= HELLO_SIZE_MAX:
                self._check(message)
                self.peer = message
                self._hello_frames[self._side.other] = frame
                return (self.own_proof(),) if self._side is Side.DIALLER else (self._hello_frames[self._side],)
            case Proof() if self.peer is not None and not self.proven:
                signed = self._transcript(self._side.other)
                if not ed25519.verify(self.peer.node_id, message.signature, signed):
                    raise HandshakeRefused(DownReason.BAD_PROOF)
                self.proven = True
                return ()
            case _:
                raise HandshakeRefused(DownReason.PROTOCOL)

    def own_proof(self) -> bytes:
        """The frame with our proof."""
        return control_frame(Proof(self._identity.key.sign(self._transcript(self._side))))

    def _transcript(self, side: Side) -> bytes:
        return transcript(side, self._hello_frames[Side.DIALLER], self._hello_frames[Side.ACCEPTOR], self._channel)

    def _check(self, hello: Hello) -> None:
        own = self._own_hello
        if hello.version_min > own.version_max or hello.version_max < own.version_min:
            raise HandshakeRefused(DownReason.WRONG_VERSION)
        if hello.chain_id != own.chain_id or hello.genesis_hash != own.genesis_hash:
            raise HandshakeRefused(DownReason.WRONG_CHAIN)
        if hello.node_id == own.node_id:
            raise HandshakeRefused(DownReason.SELF)
        if any(known not in (None, hello.node_id) for known in (self._expected, self._owner)):
            raise HandshakeRefused(DownReason.WRONG_IDENTITY)
