"""Keys and values. Writing is refused in a view; keys that begin with a zero byte belong to the system."""

from __future__ import annotations

from octra.circles import limits
from octra.circles.host.call import Call
from octra.circles.state import ABSENT, BAD_ARGUMENT, DENIED, LIMIT, TOO_SMALL

# A key that the worker has not seen costs a round trip to the node: 75 us. A scan fetches its first row alone, and
# then ever more at a time, so its rows share their trips.
_READ_GAS = _DELETE_GAS = _SCAN_GAS = 6_000
_PUT_GAS, _PUT_BYTE_GAS = 6_000, 30  # the old value is read, and every node keeps the new one
_NEXT_GAS = 2_000


def _key(call: Call, start: int, size: int, extra: int, per_byte: int = 1) -> bytes | int:
    """The key, or the code to return for a bad one."""
    key = call.read(start, size, extra=extra, per_byte=per_byte, limit=limits.KEY_MAX)
    if not key:
        return BAD_ARGUMENT
    return DENIED if key[0] == 0 else key


def _value(call: Call, key: int, key_size: int) -> bytes | int:
    """The value, charged by its length whether or not the guest takes it; or the code to return."""
    name = _key(call, key, key_size, _READ_GAS)
    if isinstance(name, int):
        return name
    value = call.overlay.get(name)
    if value is None:
        return ABSENT
    call.charge(len(value))
    return value


def get_len(call: Call, key: int, key_size: int) -> int:
    """Length of the value, or -1."""
    value = _value(call, key, key_size)
    return value if isinstance(value, int) else len(value)


def get(call: Call, key: int, key_size: int, out: int, capacity: int) -> int:
    """Writes the whole value: its length, -1 when absent, -2 when it does not fit."""
    value = _value(call, key, key_size)
    return value if isinstance(value, int) else call.place(value, out, capacity)


def read(call: Call, key: int, key_size: int, out: int, capacity: int) -> int:
    """Fills the buffer with as much as fits and returns the value's full length, or -1."""
    value = _value(call, key, key_size)
    if isinstance(value, int):
        return value
    part = value[: capacity & 0xFFFFFFFF]
    return TOO_SMALL if call.place(part, out, len(part)) < 0 else len(value)


def put(call: Call, key: int, key_size: int, value: int, value_size: int) -> int:
    """Stores the value: 0, -3 for a reserved key, -4 beyond a limit, -1 in a view."""
    name = _key(call, key, key_size, _PUT_GAS, _PUT_BYTE_GAS)
    if isinstance(name, int):
        return name
    content = call.read(value, value_size, per_byte=_PUT_BYTE_GAS, limit=limits.INLINE_VALUE_MAX)
    if call.facts.view:
        return ABSENT
    return LIMIT if content is None else call.overlay.put(name, content)


def delete(call: Call, key: int, key_size: int) -> int:
    """Removes the key: 0, -1 when it is absent or in a view, -3 for a reserved key."""
    name = _key(call, key, key_size, _DELETE_GAS)
    if isinstance(name, int):
        return name
    return ABSENT if call.facts.view else call.overlay.delete(name)


def scan(call: Call, start: int, start_size: int, end: int, end_size: int, flags: int) -> int:
    """Opens an iterator over start <= key < end; an empty end means no bound. No flag is defined yet."""
    first = call.read(start, start_size, extra=_SCAN_GAS, limit=limits.KEY_MAX)
    last = call.read(end, end_size, limit=limits.KEY_MAX)
    if flags or first is None or last is None:
        return BAD_ARGUMENT
    if len(call.iterators) == limits.ITERATORS_MAX:
        return LIMIT
    # Reserved keys are below 0x01, so they never show; no key reaches past KEY_MAX bytes of 0xff.
    call.iterators.append(call.overlay.scan(max(first, b"\x01"), last or b"\xff" * (limits.KEY_MAX + 1)))
    return len(call.iterators) - 1


def next_row(call: Call, iterator: int, out: int, capacity: int) -> int:
    """Writes `u16 key length, key, u32 value length, value`; -1 at the end. A row that does not fit stays next."""
    call.charge(_NEXT_GAS)
    if not 0 <= iterator < len(call.iterators):
        return BAD_ARGUMENT
    row = call.waiting_rows.get(iterator) or next(call.iterators[iterator], None)
    if row is None:
        return ABSENT
    key, value = row
    data = len(key).to_bytes(2, "big") + key + len(value).to_bytes(4, "big") + value
    call.charge(len(data))
    written = call.place(data, out, capacity)
    if written < 0:
        call.waiting_rows[iterator] = row
    else:
        call.waiting_rows.pop(iterator, None)
    return written


def usage(call: Call) -> int:
    """Stable bytes in use, this call's writes included."""
    return call.overlay.usage
