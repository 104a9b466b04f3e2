"""Noise_XX_25519_ChaChaPoly_SHA256 as libp2p uses it (libp2p specs, noise), without any input or output.

    dialler                       acceptor
      e            ------------->
                   <-------------  e, ee, s, es, identity
      s, se, identity ---------->

`identity` is the Ed25519 key of a node, and its signature over the static key `s` of the channel.
"""

from __future__ import annotations

import hmac
import os
import struct
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.exceptions import CryptoError

from octra.crypto import ed25519
from octra.errors import InvalidInput
from octra.primitives import NodeId

NAME = b"Noise_XX_25519_ChaChaPoly_SHA256"
LENGTH = struct.Struct(">H")  # in front of each message on a stream
NONCE = struct.Struct("<4xQ")
MESSAGE_MAX = 65_535
TAG_SIZE = 16
PLAINTEXT_MAX = MESSAGE_MAX - TAG_SIZE
KEY_SIZE = 32
_SIGNED = b"noise-libp2p-static-key:"
_KEY_PREFIX = bytes.fromhex("08011220")  # protobuf PublicKey{Type: Ed25519, Data: 32 bytes}
_IDENTITY_KEY, _IDENTITY_SIGNATURE = 0x0A, 0x12  # protobuf tags of NoiseHandshakePayload


class NoiseRefused(InvalidInput):
    """The other side's handshake or message does not hold."""

    def __init__(self, what: str) -> None:
        super().__init__(f"noise: {what}")
        self.what = what


def message_end(stream: bytes, start: int) -> int:
    """Where the message ends whose length stands at `start`; 0 if it has not arrived whole."""
    body = start + LENGTH.size
    if len(stream) < body:
        return 0
    end: int = body + LENGTH.unpack_from(stream, start)[0]
    return end if end <= len(stream) else 0


class Cipher:
    """One direction of a channel: messages are encrypted, and decrypted, in their order."""

    __slots__ = ("_aead", "_count")

    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_SIZE
        self._aead, self._count = ChaCha20Poly1305(key), 0

    def encrypt(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        """The next message: `plaintext` and a tag of 16 bytes."""
        return self._aead.encrypt(self._nonce(), plaintext, associated)

    def decrypt(self, message: bytes, associated: bytes = b"") -> bytes:
        """The plaintext of the next message; raises `NoiseRefused`."""
        try:
            return self._aead.decrypt(self._nonce(), message, associated)
        except InvalidTag as error:
            raise NoiseRefused("a message that its sender did not write") from error

    def _nonce(self) -> bytes:
        nonce = NONCE.pack(self._count)
        self._count += 1
        return nonce


class NoiseHandshake:
    """One side of one handshake; the dialler calls `first`, `take_second`, `third`, the acceptor the other three."""

    def __init__(self, key: ed25519.SigningKey, *, dialler: bool) -> None:
        self._key, self._dialler = key, dialler
        self._static, self._ephemeral = os.urandom(KEY_SIZE), os.urandom(KEY_SIZE)
        self._their_ephemeral = self._their_static = b""
        self._hash = self._chain = NAME  # exactly the size of a hash: it is its own
        self._cipher: Cipher | None = None
        self._mix_hash(b"")  # no prologue
        self.peer: NodeId | None = None

    def first(self) -> bytes:
        """What the dialler opens with."""
        return self._own_ephemeral() + self._encrypt(b"")

    def take_first(self, message: bytes) -> None:
        """The acceptor reads `first`; raises `NoiseRefused`."""
        self._decrypt(self._take_ephemeral(message))

    def second(self) -> bytes:
        """The acceptor's answer."""
        ephemeral = self._own_ephemeral()
        self._mix_key(self._ephemeral, self._their_ephemeral)
        static = self._encrypt(crypto_scalarmult_base(self._static))
        self._mix_key(self._static, self._their_ephemeral)
        return ephemeral + static + self._encrypt(self._identity())

    def take_second(self, message: bytes) -> None:
        """The dialler reads `second`, and knows the `peer`; raises `NoiseRefused`."""
        rest = self._take_ephemeral(message)
        self._mix_key(self._ephemeral, self._their_ephemeral)
        rest = self._take_static(rest)
        self._mix_key(self._ephemeral, self._their_static)
        self._take_identity(self._decrypt(rest))

    def third(self) -> bytes:
        """The dialler's last message."""
        static = self._encrypt(crypto_scalarmult_base(self._static))
        self._mix_key(self._static, self._their_ephemeral)
        return static + self._encrypt(self._identity())

    def take_third(self, message: bytes) -> None:
        """The acceptor reads `third`, and knows the `peer`; raises `NoiseRefused`."""
        rest = self._take_static(message)
        self._mix_key(self._ephemeral, self._their_static)
        self._take_identity(self._decrypt(rest))

    def ciphers(self) -> tuple[Cipher, Cipher]:
        """For what we send, and for what we receive; after the last message."""
        to_acceptor, to_dialler = (Cipher(key) for key in _derive(self._chain, b""))
        return (to_acceptor, to_dialler) if self._dialler else (to_dialler, to_acceptor)

    def _own_ephemeral(self) -> bytes:
        public = bytes(crypto_scalarmult_base(self._ephemeral))
        self._mix_hash(public)
        return public

    def _take_ephemeral(self, message: bytes) -> bytes:
        if len(message) < KEY_SIZE:
            raise NoiseRefused("a message too short")
        self._their_ephemeral = message[:KEY_SIZE]
        self._mix_hash(self._their_ephemeral)
        return message[KEY_SIZE:]

    def _take_static(self, message: bytes) -> bytes:
        self._their_static = self._decrypt(message[: KEY_SIZE + TAG_SIZE])
        if len(self._their_static) != KEY_SIZE:
            raise NoiseRefused("a message too short")
        return message[KEY_SIZE + TAG_SIZE :]

    def _identity(self) -> bytes:
        public = _KEY_PREFIX + self._key.public
        signature = self._key.sign(_SIGNED + crypto_scalarmult_base(self._static))
        return bytes([_IDENTITY_KEY, len(public)]) + public + bytes([_IDENTITY_SIGNATURE, len(signature)]) + signature

    def _take_identity(self, payload: bytes) -> None:
        fields = _fields(payload)
        key, signature = fields.get(_IDENTITY_KEY, b""), fields.get(_IDENTITY_SIGNATURE, b"")
        if len(key) != len(_KEY_PREFIX) + KEY_SIZE or not key.startswith(_KEY_PREFIX) or len(signature) != 64:
            raise NoiseRefused("not an Ed25519 identity")
        peer = NodeId(key[len(_KEY_PREFIX) :])
        if not ed25519.verify(peer, signature, _SIGNED + self._their_static):
            raise NoiseRefused("the identity did not sign the channel")
        self.peer = peer

    def _mix_hash(self, data: bytes) -> None:
        self._hash = sha256(self._hash + data).digest()

    def _mix_key(self, own: bytes, theirs: bytes) -> None:
        try:
            shared = crypto_scalarmult(own, theirs)
        except (CryptoError, ValueError) as error:  # a point of small order
            raise NoiseRefused("a key without a secret") from error
        self._chain, key = _derive(self._chain, shared)
        self._cipher = Cipher(key)

    def _encrypt(self, plaintext: bytes) -> bytes:
        message = plaintext if self._cipher is None else self._cipher.encrypt(plaintext, self._hash)
        self._mix_hash(message)
        return message

    def _decrypt(self, message: bytes) -> bytes:
        plaintext = message if self._cipher is None else self._cipher.decrypt(message, self._hash)
        self._mix_hash(message)
        return plaintext


def _derive(chain: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """HKDF of Noise with two outputs."""
    root = hmac.digest(chain, secret, "sha256")
    first = hmac.digest(root, b"\1", "sha256")
    return first, hmac.digest(root, first + b"\2", "sha256")


def _fields(payload: bytes) -> dict[int, bytes]:
    """The length-delimited fields of a protobuf message, by tag byte; raises `NoiseRefused`."""
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(payload):
        tag = payload[at]
        size = shift = 0
        at += 1
        while at < len(payload) and shift <= 14:
            byte = payload[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if tag & 0x87 != 2 or at + size > len(payload):
            raise NoiseRefused("an identity that cannot be read")
        fields[tag] = payload[at : at + size]
        at += size
    return fields
