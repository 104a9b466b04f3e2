"""How deep MessagePack from outside is nested, found without recursion.

A decoder stops at a depth that depends on the interpreter and on who calls it; validators must agree on one.
"""

from __future__ import annotations

from typing import Final

from octra.errors import Malformed

_FIXED: Final = {  # first byte -> bytes that follow
    0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4,
    0xD3: 8,
}  # fmt: skip
_SIZED: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}  # first byte -> bytes of the length
_ARRAYS: Final = {0xDC: 2, 0xDD: 4}
_MAPS: Final = {0xDE: 2, 0xDF: 4}


def check_nesting(data: bytes, depth_max: int, items_max: int, what: str) -> None:
    """Raises `Malformed` unless `data` is one value with at most `depth_max` arrays and maps inside each other.

    `items_max` bounds all values together. Extension types are refused.
    """
    at, items = 0, 0
    open_items = [1]  # values still to come at each depth
    while open_items:
        if not open_items[-1]:
            open_items.pop()
            continue
        open_items[-1] -= 1
        items += 1
        if at >= len(data) or items > items_max:
            raise Malformed(what, "it ends too early or holds too many values")
        at, inside = _step(data, at, what)
        if inside:
            if len(open_items) > depth_max:
                raise Malformed(what, f"nested deeper than {depth_max}")
            open_items.append(inside)
    if at != len(data):
        raise Malformed(what, "bytes after the end")


def _step(data: bytes, at: int, what: str) -> tuple[int, int]:
    """Where the value at `at` ends (a container: its header), and how many values it holds."""
    first = data[at]
    if first < 0x80 or first >= 0xE0:
        return at + 1, 0
    if first < 0x90:
        return at + 1, 2 * (first & 0x0F)
    if first < 0xA0:
        return at + 1, first & 0x0F
    if first < 0xC0:
        return at + 1 + (first & 0x1F), 0
    if first in _FIXED:
        return at + 1 + _FIXED[first], 0
    if first in _SIZED:
        width = _SIZED[first]
        return at + 1 + width + int.from_bytes(data[at + 1 : at + 1 + width], "big"), 0
    if first in _ARRAYS:
        width = _ARRAYS[first]
        return at + 1 + width, int.from_bytes(data[at + 1 : at + 1 + width], "big")
    if first in _MAPS:
        width = _MAPS[first]
        return at + 1 + width, 2 * int.from_bytes(data[at + 1 : at + 1 + width], "big")
    raise Malformed(what, "a type that is not used here")
