"""Facts of the call: who, where, when, how much. All of them are agreed by the validators before it runs."""

from __future__ import annotations

from octra.circles.host.call import Call
from octra.circles.identity import print_account
from octra.crypto.hash import H

_RANDOM_GAS = 1_000


def epoch(call: Call) -> int:
    return call.facts.context.epoch


def height(call: Call) -> int:
    return call.facts.context.height


def time_ms(call: Call) -> int:
    """The commit's agreed time: the only clock there is."""
    return call.facts.context.time_ms


def gas_left(call: Call) -> int:
    return call.gas


def bootstraps_left(call: Call) -> int:
    """Public-state Circles have no budget for encrypted work."""
    return 0


def caller_len(call: Call) -> int:
    return len(print_account(call.facts.caller))


def caller_read(call: Call, out: int, capacity: int) -> int:
    return call.answer(print_account(call.facts.caller).encode("ascii"), out, capacity)


def self_len(call: Call) -> int:
    return len(print_account(call.facts.circle))


def self_read(call: Call, out: int, capacity: int) -> int:
    return call.answer(print_account(call.facts.circle).encode("ascii"), out, capacity)


def origin_len(call: Call) -> int:
    return len(print_account(call.facts.origin))


def origin_read(call: Call, out: int, capacity: int) -> int:
    return call.answer(print_account(call.facts.origin).encode("ascii"), out, capacity)


def value(call: Call) -> int:
    """Units sent with this call."""
    return call.facts.value


def balance(call: Call) -> int:
    """The Circle's units, this call's value included, its transfers deducted."""
    return call.overlay.balance


def tx_id(call: Call, out: int) -> int:
    return call.answer(call.facts.call_id, out, len(call.facts.call_id))


def chain_id(call: Call, out: int, capacity: int) -> int:
    return call.answer(call.facts.context.chain_id.encode("utf-8"), out, capacity)


def is_view(call: Call) -> int:
    return int(call.facts.view)


def random(call: Call, domain: int, domain_size: int, out: int) -> int:
    """32 bytes that no contract can choose, though a sender may know them beforehand: not for lotteries."""
    label = call.read(domain, domain_size, extra=_RANDOM_GAS)
    assert label is not None
    facts, counter = call.facts, call.random_counter.to_bytes(8, "big")
    call.random_counter += 1
    # The first four parts have fixed sizes, so the domain at the end needs no length.
    value = H("octra.c.random", facts.context.beacon, facts.call_id, facts.circle, counter, label)
    return call.answer(value, out, len(value))
