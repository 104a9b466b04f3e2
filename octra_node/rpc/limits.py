"""Every limit of the interfaces, and the two that keep strangers from wearing a node down: budgets and host names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from ipaddress import ip_address
from typing import Final

BODY_BYTES_MAX: Final = 5_065_536  # as existing nodes have it
ANSWER_BYTES_MAX: Final = 8 << 20
BATCH_ANSWER_BYTES_MAX: Final = 16 << 20
HEADER_BYTES_MAX: Final = 16 << 10
URL_BYTES_MAX: Final = 4 << 10
BATCH_CALLS_MAX: Final = 100
JSON_DEPTH_MAX: Final = 8
REQUESTS_AT_ONCE: Final = 256  # then 503 and Retry-After
REQUEST_S: Final = 30
PAGE_DEFAULT, PAGE_MAX = 25, 100

TOKENS_PER_S: Final = 100  # of one host, on a public listener
TOKENS_BURST: Final = 400
HOSTS_MAX: Final = 16_384  # budgets kept; the longest unused one goes first
PRICE_READ, PRICE_SUBMIT, PRICE_PROOF, PRICE_VIEW = 1, 2, 5, 20


class Budgets:
    """A bucket of tokens for each host, filled at a steady rate. Time comes in as a value."""

    def __init__(self, per_s: int = TOKENS_PER_S, burst: int = TOKENS_BURST) -> None:
        self._per_s, self._burst = per_s, burst
        self._left: OrderedDict[str, tuple[int, int]] = OrderedDict()  # host -> (thousandths of tokens, time)

    def spend(self, host: str, price: int, now_ms: int) -> bool:
        """Take `price` tokens from the bucket of a host; false when it does not hold so many."""
        left, then = self._left.pop(host, (self._burst * 1_000, now_ms))
        left = min(self._burst * 1_000, left + max(0, now_ms - then) * self._per_s)
        allowed = left >= price * 1_000
        self._left[host] = (left - price * 1_000 if allowed else left, now_ms)
        if len(self._left) > HOSTS_MAX:
            self._left.popitem(last=False)
        return allowed


def host_name(header: str) -> str:
    """The name in a Host header, without port and brackets, in lower case."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def is_known_host(header: str, names: Collection[str]) -> bool:
    """Whether a Host header is one of ours.

    A page that rebinds its own name to our address sends that name, so names must be known. Addresses are safe: no
    attacker's page has an address as its origin unless the user opened that very address.
    """
    name = host_name(header)
    if name == "localhost" or name in names:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
