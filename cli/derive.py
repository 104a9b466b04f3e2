"""From a mnemonic to Ed25519 seeds, in each of the ways that Octra wallets have used."""

from __future__ import annotations

import hmac
from hashlib import sha512

from mnemonic import Mnemonic

from octra.crypto.ed25519 import SigningKey
from octra.errors import InvalidInput

DEFAULT_SCHEME = "octra2"
SCHEMES = ("octra2", "octra1", "walletgen", "slip10")
INDICES_TRIED = range(5)  # at import, with each scheme
_HARDENED = 0x80000000
_words = Mnemonic("english")


class InvalidMnemonic(InvalidInput):
    """Not 12 or 24 words of the English BIP-39 list with a right checksum."""

    oct_code = 1205

    def __init__(self) -> None:
        super().__init__("not a mnemonic of 12 or 24 English words with a right checksum")


def mnemonic_of(entropy: bytes) -> str:
    """The words of 16 or 32 random bytes."""
    return str(_words.to_mnemonic(entropy))


def entropy_of(words: str) -> bytes:
    """The bytes that the words spell; raises `InvalidMnemonic`."""
    text = " ".join(words.lower().split())
    if len(text.split()) not in (12, 24) or not _words.check(text):
        raise InvalidMnemonic
    return bytes(_words.to_entropy(text))


def derive(words: str, scheme: str = DEFAULT_SCHEME, index: int = 0, passphrase: str = "") -> bytes:
    """The 32-byte Ed25519 seed of account `index`; raises `InvalidMnemonic`."""
    entropy_of(words)
    root = Mnemonic.to_seed(" ".join(words.lower().split()), passphrase)
    match scheme:
        case "octra2":
            return _octra(root, index)
        case "octra1":
            return root[:32] if index == 0 else _octra(root, index)
        case "walletgen":
            return _walk(b"Octra seed", root, [345, 0, 0, 0, 0, 0, 0], index)
        case "slip10":
            return _walk(b"ed25519 seed", root, [44, 345, 0, index], None)
        case _:
            raise AssertionError(scheme)


def _octra(root: bytes, index: int) -> bytes:
    message = root if index == 0 else root + index.to_bytes(4, "little")
    return hmac.digest(b"Octra seed", message, sha512)[:32]


def _walk(label: bytes, root: bytes, hardened: list[int], last: int | None) -> bytes:
    """BIP-32 style steps: SLIP-0010 for hardened ones; the last may be taken from the public key."""
    node = hmac.digest(label, root, sha512)
    for step in hardened:
        node = hmac.digest(node[32:], b"\0" + node[:32] + (step | _HARDENED).to_bytes(4, "big"), sha512)
    if last is not None:
        node = hmac.digest(node[32:], SigningKey(node[:32]).public + last.to_bytes(4, "big"), sha512)
    return node[:32]
