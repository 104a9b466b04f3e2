"""What the rules need of threshold cryptography, as the smallest Protocol that serves. Seats count from 0 here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class InputVerdict:
    """Are the dealt values bits? `off` are the seats whose check row does not fit: no proof against them."""

    accepted: bool
    off: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FormedInput:
    """The ciphertext of a dealt input, its digest, and the seats whose part was wrong."""

    ciphertext: bytes
    digest: bytes
    liars: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OpenedBits:
    """Bits of a public opening, and the seats whose share was wrong."""

    bits: tuple[int, ...]
    liars: tuple[int, ...]


class CommitteeMath(Protocol):
    """Pure functions of ordered bytes. None means: the rows so far decide nothing, more must arrive."""

    def judge(self, rows: Mapping[int, bytes], bits: int, input_id: bytes, coin: bytes) -> InputVerdict | None: ...
    def form_input(self, parts: Mapping[int, bytes], bits: int, input_id: bytes) -> FormedInput | None: ...
    def open_bits(self, parts: Mapping[int, bytes], bits: int, opening: bytes) -> OpenedBits | None: ...
    def part_bytes(self, bits: int) -> int:
        """Size of one seat's part or share of `bits` bits."""
        ...

    def commitment(self, request: bytes, seat: int, salt: bytes, share: bytes) -> bytes:
        """What a seat orders before it shows `share`."""
        ...
