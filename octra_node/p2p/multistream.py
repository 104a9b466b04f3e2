"""Agreeing on a protocol (multistream-select 1.0.0 of libp2p), without any input or output.

    message = varint length | text | newline

Both sides open with the header; the dialler proposes, the acceptor repeats what it takes and says `na` to the rest.
"""

from __future__ import annotations

from octra.errors import InvalidInput

HEADER = b"/multistream/1.0.0"
NOT_AVAILABLE = b"na"
TEXT_MAX = 127  # a length of one byte: all names of ours are shorter
PROPOSALS_MAX = 8


class Refusal(InvalidInput):
    """The other side does not speak this, or none of our protocols."""

    def __init__(self) -> None:
        super().__init__("no protocol in common")


def line(text: bytes) -> bytes:
    """`text` as a message."""
    return bytes([len(text) + 1]) + text + b"\n"


class Selection:
    """One choice from `protocols`, made on one stream of bytes; a side that `proposes` has one."""

    def __init__(self, protocols: tuple[bytes, ...], *, proposes: bool) -> None:
        self._protocols, self._proposes = protocols, proposes
        self._out = line(HEADER) + (line(protocols[0]) if proposes else b"")
        self._buffer = b""
        self._header_seen = False
        self._refused = 0
        self.chosen: bytes | None = None

    def take(self) -> bytes:
        """Bytes to send."""
        out, self._out = self._out, b""
        return out

    def feed(self, data: bytes) -> bytes:
        """What follows the choice, empty while there is none; raises `Refusal`."""
        self._buffer += data
        while self.chosen is None and self._buffer and len(self._buffer) > self._buffer[0]:
            end = self._buffer[0] + 1
            text, self._buffer = self._buffer[1:end], self._buffer[end:]
            if not 2 <= end <= TEXT_MAX or not text.endswith(b"\n"):
                raise Refusal
            self._line(text[:-1])
        if self.chosen is None:
            if self._buffer and self._buffer[0] >= TEXT_MAX:
                raise Refusal
            return b""
        rest, self._buffer = self._buffer, b""
        return rest

    def _line(self, text: bytes) -> None:
        if not self._header_seen:
            if text != HEADER:
                raise Refusal
            self._header_seen = True
        elif text in self._protocols:
            self.chosen = text
            self._out += b"" if self._proposes else line(text)
        elif self._proposes or self._refused >= PROPOSALS_MAX:
            raise Refusal
        else:
            self._refused += 1
            self._out += line(NOT_AVAILABLE)
