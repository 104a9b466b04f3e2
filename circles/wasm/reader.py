"""Reads the binary form of wasm: numbers, names and the sequence of sections, refusing every deviation."""

from __future__ import annotations

from dataclasses import dataclass

from octra.circles.errors import InvalidModule

MAGIC = b"\0asm"
CORE_VERSION, COMPONENT_LAYER = b"\1\0\0\0", b"\1\0"


@dataclass(frozen=True, slots=True)
class Section:
    """One section: its number and where its contents lie in the file."""

    number: int
    start: int
    end: int


class Reader:
    """A position in the module's bytes that never passes `end`; every fault names its offset."""

    __slots__ = ("data", "end", "function", "position")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None, function: int = -1) -> None:
        self.data, self.position, self.function = data, start, function
        self.end = len(data) if end is None else end

    def fail(self, rule: str, detail: str = "", offset: int | None = None) -> InvalidModule:
        """The error to raise for `rule` at this place."""
        return InvalidModule(rule, self.function, self.position if offset is None else offset, detail)

    @property
    def done(self) -> bool:
        return self.position >= self.end

    def byte(self) -> int:
        position = self.position
        if position >= self.end:
            raise self.fail("truncated")
        self.position = position + 1
        return self.data[position]

    def take(self, size: int) -> bytes:
        start, stop = self.position, self.position + size
        if stop > self.end:
            raise self.fail("truncated")
        self.position = stop
        return self.data[start:stop]

    def u32(self) -> int:
        """Unsigned LEB128 of at most 5 bytes. Padded forms are accepted: linkers emit them."""
        position = self.position
        if position < self.end and (value := self.data[position]) < 0x80:
            self.position = position + 1
            return value
        value = shift = 0
        while True:
            part = self.byte()
            if shift == 28 and part > 0x0F:
                raise self.fail("leb128")
            value |= (part & 0x7F) << shift
            if part < 0x80:
                return value
            shift += 7

    def signed(self, bits: int) -> int:
        """Signed LEB128 of a `bits`-bit integer, at most ceil(bits / 7) bytes, unused bits equal to the sign."""
        value = shift = 0
        while True:
            part = self.byte()
            value |= (part & 0x7F) << shift
            shift += 7
            if part < 0x80:
                break
            if shift >= bits:
                raise self.fail("leb128")
        if part & 0x40:
            value -= 1 << shift
        if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            raise self.fail("leb128")
        return value

    def count(self, limit: int, rule: str) -> int:
        """A vector's length, refused above `limit` before anything is allocated."""
        offset = self.position
        count = self.u32()
        if count > limit:
            raise self.fail(rule, f"{count} exceeds {limit}", offset)
        return count

    def name(self, limit: int, rule: str) -> str:
        """A UTF-8 name of at most `limit` bytes."""
        offset = self.position
        raw = self.take(self.count(limit, rule))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.fail("utf8", offset=offset) from error


# Order of the numbered sections; 12 (data count) stands before code, 13 (tags) belongs to exceptions.
_ORDER = {number: place for place, number in enumerate((1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11))}


def sections(code: bytes) -> dict[int, Section]:
    """The numbered sections by number, each at most once and in order; custom sections are passed over."""
    if code[:4] != MAGIC:
        raise InvalidModule("magic", -1, 0, "the file does not begin with \\0asm")
    if code[4:8] != CORE_VERSION:
        rule = "component_model" if code[6:8] == COMPONENT_LAYER else "version"
        raise InvalidModule(rule, -1, 4)
    reader = Reader(code, 8)
    found: dict[int, Section] = {}
    place = -1
    while not reader.done:
        offset = reader.position
        number, size = reader.byte(), reader.u32()
        section = Section(number, reader.position, reader.position + size)
        reader.take(size)
        if number == 0:
            Reader(code, section.start, section.end).name(size, "truncated")
            continue
        if number == 13:
            raise reader.fail("exceptions", offset=offset)
        if number not in _ORDER:
            raise reader.fail("section", f"unknown section {number}", offset)
        if _ORDER[number] <= place:
            raise reader.fail("section", f"section {number} is repeated or out of order", offset)
        place = _ORDER[number]
        found[number] = section
    return found
