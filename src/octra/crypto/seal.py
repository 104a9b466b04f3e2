"""Boxes that one reader can open: X25519 with an ephemeral key, then ChaCha20-Poly1305 bound to its context.

Box = ephemeral public key 32 || ciphertext and tag. The key is fresh for each box, so a zero nonce is safe.
"""

from __future__ import annotations

import os
from hashlib import blake2b

import nacl.bindings as sodium
from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as SodiumRuntimeError

from octra.errors import InvalidInput

PUBLIC_SIZE, OVERHEAD = 32, 48
_NONCE = bytes(12)


class BoxNotOpened(InvalidInput):
    """The box was not sealed to this key and context, or it was changed on the way."""

    oct_code = 4001


def generate() -> tuple[bytes, bytes]:
    """A fresh X25519 pair: (secret, public)."""
    secret = os.urandom(32)
    return secret, public_of(secret)


def public_of(secret: bytes) -> bytes:
    """The public half of an X25519 secret."""
    return sodium.crypto_scalarmult_base(secret)


def view_pair(seed: bytes) -> tuple[bytes, bytes]:
    """The X25519 pair (secret, public) that belongs to an Ed25519 seed, by the birational map."""
    public, secret = sodium.crypto_sign_seed_keypair(seed)
    return sodium.crypto_sign_ed25519_sk_to_curve25519(secret), sodium.crypto_sign_ed25519_pk_to_curve25519(public)


def view_key(ed25519_public: bytes) -> bytes:
    """The X25519 public key to which messages for this Ed25519 key are sealed; raises `BoxNotOpened` for a non-key."""
    try:
        return sodium.crypto_sign_ed25519_pk_to_curve25519(ed25519_public)
    except SodiumRuntimeError as error:
        raise BoxNotOpened("not a key that can receive sealed messages") from error


def seal(public: bytes, plaintext: bytes, context: bytes) -> bytes:
    """A box that only the secret of `public` opens, and only under the same `context`."""
    ephemeral_secret, ephemeral_public = generate()
    key = _derive(ephemeral_secret, public, ephemeral_public, public)
    return ephemeral_public + sodium.crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, context, _NONCE, key)


def open_box(secret: bytes, box: bytes, context: bytes) -> bytes:
    """The plaintext of `box`; raises `BoxNotOpened`."""
    if len(box) < OVERHEAD:
        raise BoxNotOpened("the box is too short")
    ephemeral, body = box[:PUBLIC_SIZE], box[PUBLIC_SIZE:]
    try:
        key = _derive(secret, ephemeral, ephemeral, public_of(secret))
        return sodium.crypto_aead_chacha20poly1305_ietf_decrypt(body, context, _NONCE, key)
    except (CryptoError, SodiumRuntimeError) as error:
        raise BoxNotOpened("the box does not open with this key and context") from error


def _derive(secret: bytes, peer: bytes, ephemeral: bytes, receiver: bytes) -> bytes:
    try:
        shared = sodium.crypto_scalarmult(secret, peer)
    except SodiumRuntimeError as error:  # a point of small order gives an all-zero secret
        raise BoxNotOpened("the other key is not usable") from error
    return blake2b(shared + ephemeral + receiver, digest_size=32, person=b"octra.seal").digest()
