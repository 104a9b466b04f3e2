"""One yamux session (libp2p specs, yamux) as far as a link needs it: one stream of ours; others are refused.

    header = u8 version 0 | u8 type | u16 flags | u32 stream | u32 length      (big endian)

Without any input or output: `feed` takes what arrived, `take` gives what is to be sent. The dialler opens the stream.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from octra.errors import InvalidInput
from octra.node.p2p.multistream import Refusal, Selection

HEADER = struct.Struct(">BBHII")
DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
WINDOW = 256 * 1_024  # what each side may send before it is given more
WINDOW_OWN = 1_024 * 1_024  # what we give
FRAME_MAX = 65_500  # of data with its header: one noise message
STRAY_MAX = WINDOW  # bytes on other streams, and of pings, beyond those on ours: a peer cannot keep us busy with them
OPENING_COST = 64  # in such bytes: what we answer
OPENING_MAX = 8  # streams of a peer that have not said yet what they are
OWN_STREAM = 1  # of the dialler


class YamuxViolation(InvalidInput):
    """The peer broke a rule of yamux, or uses more of it than a link needs."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"yamux rule broken: {rule}")
        self.rule = rule


@dataclass(slots=True)
class Yamux:
    """The session of one connection. `ended` once the peer has ended the stream or the session."""

    dialler: bool
    protocol: bytes
    ended: bool = False
    stream: int | None = None  # the one that carries our protocol
    _buffer: bytes = b""
    _control: list[bytes] = field(default_factory=list)
    _send_windows: dict[int, int] = field(default_factory=dict)
    _receive_window: int = WINDOW_OWN
    _consumed: int = 0
    _opening: dict[int, Selection] = field(default_factory=dict)
    _stray: int = 0

    def open(self) -> None:
        """The dialler's stream; `stream` is set once the peer has agreed to its protocol."""
        self._header(WINDOW_UPDATE, SYN, OWN_STREAM, WINDOW_OWN - WINDOW)
        self._begin(OWN_STREAM, Selection((self.protocol,), proposes=True))

    @property
    def room(self) -> int:
        """How many bytes the stream may send now."""
        return 0 if self.stream is None else self._send_windows[self.stream]

    @property
    def speaks(self) -> bool:
        """Is there something to `take`?"""
        return bool(self._control)

    def feed(self, data: bytes) -> list[bytes]:
        """Bytes of the stream that have arrived; raises `YamuxViolation`, after which it is not used again."""
        buffer = self._buffer + data if self._buffer else data
        arrived: list[bytes] = []
        start, total = 0, len(buffer)
        while total - start >= HEADER.size and not self.ended:
            version, kind, flags, stream, length = HEADER.unpack_from(buffer, start)
            body = length if kind == DATA else 0
            if version != 0 or kind > GO_AWAY or body > WINDOW:
                raise YamuxViolation("header")
            end = start + HEADER.size + body
            if end > total:
                break
            content = buffer[start + HEADER.size : end]
            if kind == DATA and not flags and stream == self.stream:
                self._received(content, arrived)  # nearly all that comes
            else:
                self._frame(kind, flags, stream, length, content, arrived)
            start = end
        self._buffer = buffer[start:]
        return arrived

    def send(self, data: bytes) -> None:
        """Put bytes on the stream, at most `room`."""
        assert self.stream is not None
        self._send_data(self.stream, data)

    def take(self) -> list[bytes]:
        """Frames to send, each at most `FRAME_MAX` bytes."""
        frames, self._control = self._control, []
        return frames

    def _frame(self, kind: int, flags: int, stream: int, length: int, body: bytes, arrived: list[bytes]) -> None:
        if kind == PING:
            self._count_stray(HEADER.size)
            if flags & SYN:
                self._header(PING, ACK, 0, length)
            return
        if kind == GO_AWAY:
            self.ended = True
            return
        if flags & SYN:
            self._opened(stream)
        if stream not in self._send_windows:
            self._count_stray(HEADER.size + len(body))
            return
        if kind == WINDOW_UPDATE:
            self._send_windows[stream] = min(self._send_windows[stream] + length, 2**32)
        elif body:
            if stream != self.stream:
                body = self._select(stream, body)
            if stream == self.stream:
                self._received(body, arrived)
        if flags & (FIN | RST):
            self.ended = self.ended or stream in (self.stream, OWN_STREAM if self.dialler else None)
            self._forget(stream)

    def _received(self, body: bytes, arrived: list[bytes]) -> None:
        assert self.stream is not None
        self._receive_window -= len(body)
        if self._receive_window < 0:
            raise YamuxViolation("more sent than the window allows")
        self._consumed += len(body)
        if self._stray:
            self._stray = max(0, self._stray - len(body))
        if self._consumed >= WINDOW // 2:  # whoever reads us bounds what it keeps by the credit of the link
            self._header(WINDOW_UPDATE, 0, self.stream, self._consumed)
            self._receive_window += self._consumed
            self._consumed = 0
        if body:
            arrived.append(body)

    def _opened(self, stream: int) -> None:
        if stream == 0 or stream % 2 == self.dialler:
            raise YamuxViolation("a stream with a number of ours")
        if stream in self._send_windows:
            raise YamuxViolation("a stream opened twice")
        self._count_stray(OPENING_COST)
        if len(self._opening) >= OPENING_MAX:
            self._header(WINDOW_UPDATE, RST, stream, 0)
            return
        self._header(WINDOW_UPDATE, ACK, stream, WINDOW_OWN - WINDOW)
        self._begin(stream, Selection((self.protocol,), proposes=False))

    def _begin(self, stream: int, selection: Selection) -> None:
        self._send_windows[stream] = WINDOW
        self._opening[stream] = selection
        self._send_data(stream, selection.take())

    def _select(self, stream: int, body: bytes) -> bytes:
        """Go on choosing the protocol of a stream; what follows the choice."""
        selection = self._opening[stream]
        try:
            rest = selection.feed(body)
        except Refusal as refusal:
            raise YamuxViolation("a stream that does not say what it is") from refusal
        self._count_stray(len(body) - len(rest))
        if answer := selection.take():
            self._send_data(stream, answer)
        if selection.chosen:
            del self._opening[stream]
            if self.stream is None:
                self.stream = stream
            else:
                self._header(WINDOW_UPDATE, RST, stream, 0)
                self._forget(stream)
        return rest

    def _send_data(self, stream: int, data: bytes) -> None:
        step = FRAME_MAX - HEADER.size
        for start in range(0, len(data), step):
            part = data[start : start + step]
            self._control.append(HEADER.pack(0, DATA, 0, stream, len(part)) + part)
        self._send_windows[stream] -= len(data)

    def _header(self, kind: int, flags: int, stream: int, length: int) -> None:
        self._control.append(HEADER.pack(0, kind, flags, stream, length))

    def _forget(self, stream: int) -> None:
        self._send_windows.pop(stream, None)
        self._opening.pop(stream, None)

    def _count_stray(self, size: int) -> None:
        self._stray += size
        if self._stray > STRAY_MAX:
            raise YamuxViolation("too much on streams that are not ours")
