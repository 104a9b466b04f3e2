"""What a call leaves behind besides state: its response, events, log lines and reason to abort."""

from __future__ import annotations

from octra.circles import limits
from octra.circles.errors import CallFailed
from octra.circles.host.call import Call
from octra.circles.state import ABSENT, BAD_ARGUMENT
from octra.consensus.ports import CircleEvent

_EVENT_GAS, _EVENT_BYTE_GAS = 500, 8


def response_reset(call: Call) -> int:
    call.response.clear()
    call.finished = False
    return 0


def response_write(call: Call, start: int, size: int) -> int:
    """Appends to the response; passing its limit ends the call."""
    start, size = call.check_range(start, size)
    call.charge(size)
    if call.finished:
        return BAD_ARGUMENT
    if len(call.response) + size > limits.RESPONSE_MAX:
        raise CallFailed("limit_exceeded", f"the response exceeds {limits.RESPONSE_MAX} bytes")
    call.response += call.guest.read(start, size)
    return size


def response_finish(call: Call, status: int) -> int:
    """Closes the response. What decides success is the export's return value, so `status` is not kept."""
    call.finished = True
    return 0


def emit_event(call: Call, topic: int, topic_size: int, data: int, data_size: int) -> int:
    """Adds an event to the receipt; -1 in a view. Passing a cap ends the call."""
    name = call.read(topic, topic_size, extra=_EVENT_GAS, per_byte=_EVENT_BYTE_GAS, limit=limits.TOPIC_MAX)
    content = call.read(data, data_size, per_byte=_EVENT_BYTE_GAS, limit=limits.EVENT_DATA_MAX)
    if call.facts.view:
        return ABSENT
    if name is None or content is None or len(call.events) == limits.EVENTS_MAX:
        raise CallFailed("limit_exceeded", "events")
    call.event_bytes += len(name) + len(content)
    if call.event_bytes > limits.EVENT_BYTES_MAX:
        raise CallFailed("limit_exceeded", f"events exceed {limits.EVENT_BYTES_MAX} bytes")
    call.events.append(CircleEvent(name, content))
    return 0


def abort(call: Call, start: int, size: int) -> int:
    """Ends the call with the guest's own words."""
    raise CallFailed("aborted", call.text(start, size, limits.ABORT_REASON_MAX))


def log(call: Call, start: int, size: int) -> int:
    """A line for the developer: charged on every node, kept only where the call was made."""
    call.add_log(call.text(start, size, limits.LOG_MAX), size & 0xFFFFFFFF)
    return 0
