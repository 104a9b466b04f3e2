"""Value that leaves the Circle, and the older calls into the network that public-state Circles do not offer."""

from __future__ import annotations

from octra.circles import limits
from octra.circles.errors import CallFailed
from octra.circles.frame import decode_request
from octra.circles.host.call import Call
from octra.circles.state import ABSENT, BAD_ARGUMENT, LIMIT
from octra.errors import InvalidInput
from octra.primitives import AMOUNT_MAX, parse_address

_TRANSFER_GAS, _INVOKE_GAS, _ADDRESS_SIZE = 10_000, 100_000, 47


def transfer(call: Call, to: int, to_size: int, amount: int) -> int:
    """Pays units to an address: debited at once, credited at the end of the commit. -4 without the funds."""
    raw = call.read(to, to_size, extra=_TRANSFER_GAS, limit=_ADDRESS_SIZE)
    if call.facts.view:
        return ABSENT
    try:
        address = parse_address((raw or b"").decode("ascii", "replace"))
    except InvalidInput:
        return BAD_ARGUMENT
    if not 0 < amount <= AMOUNT_MAX:
        return BAD_ARGUMENT
    if amount > call.overlay.balance:
        return LIMIT
    if len(call.transfers) == limits.TRANSFERS_MAX:
        raise CallFailed("limit_exceeded", f"more than {limits.TRANSFERS_MAX} transfers")
    call.overlay.balance -= amount
    call.transfers.append((bytes(address), amount))
    return 0


def invoke_len(call: Call, request: int, size: int) -> int:
    """`host_circle_invoke_len`: every method is refused by name."""
    return _refuse(call, request, size, "method_unsupported")


def invoke(call: Call, request: int, size: int, out: int, capacity: int) -> int:
    """`host_circle_invoke`: every method is refused by name."""
    return _refuse(call, request, size, "method_unsupported")


def hfhe_invoke_len(call: Call, request: int, size: int) -> int:
    """`host_hfhe_invoke_len`: contracts on encrypted values are not offered yet."""
    return _refuse(call, request, size, "fhe_scheme_unsupported")


def hfhe_invoke(call: Call, request: int, size: int, out: int, capacity: int) -> int:
    """`host_hfhe_invoke`: contracts on encrypted values are not offered yet."""
    return _refuse(call, request, size, "fhe_scheme_unsupported")


def _refuse(call: Call, request: int, size: int, status: str) -> int:
    frame = call.read(request, size, extra=_INVOKE_GAS, limit=limits.REQUEST_MAX)
    try:
        method, _ = decode_request(frame or b"")
    except InvalidInput as error:
        raise CallFailed("method_unsupported", "the request is not a frame") from error
    raise CallFailed(status, "".join(c if c.isprintable() else "?" for c in method[: limits.METHOD_NAME_MAX]))
