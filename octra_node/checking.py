"""The static check of batches that this seat is to attest: many at once, since signatures cost half if there are many.

Their attestation waits for the next own vertex anyway, which under load is seconds away. So a batch waits a moment for
others, the longer the more is in it.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from octra.consensus.batch import Batch, Items, admit_items
from octra.consensus.events import BatchChecked
from octra.consensus.ledger.transactions import first_invalid
from octra.errors import InvalidInput
from octra.node.parts import Parts

SEAT_MS: Final = 60  # for each seat above four: the longest wait, a fourth of the longest pause under load
BYTES_OF_MS: Final = 50  # of a batch, for a millisecond of waiting: a small one is checked at once
KEPT_MAX: Final = 4_096  # verdicts
READ_MAX: Final = 64  # batches: at most 16 MiB; an older one is read again


@dataclass(frozen=True, slots=True)
class CheckTick:
    """Look whether the batches that wait are to be checked."""


class Checking:
    """What waits for its check, and what was found."""

    def __init__(self, parts: Parts) -> None:
        self._blocks, self._seating, self._params = parts.stores.blocks, parts.seating, parts.facts.params
        self._waiting: set[bytes] = set()
        self._found: OrderedDict[bytes, BatchChecked] = OrderedDict()
        self._read: OrderedDict[bytes, tuple[bytes, Items]] = OrderedDict()  # anchor and items, until they are checked
        self._due_ms: int | None = None

    def came(self, id: bytes, batch: Batch, items: Items) -> None:
        """A batch of the committee was read on its arrival: its check need not read it again."""
        if id not in self._found:
            self._read[id] = batch.anchor, items
            if len(self._read) > READ_MAX:
                self._read.popitem(last=False)

    def found(self, id: bytes) -> BatchChecked | None:
        """The verdict on a batch, if it was checked not long ago."""
        return self._found.get(id)

    def add(self, id: bytes, now_ms: int) -> int | None:
        """Have a batch checked soon, if its bytes are held: when, unless some are to be checked before that."""
        data = self._blocks.batch(id)
        if data is None:
            return None
        self._waiting.add(id)
        wait_ms = min(len(data) // BYTES_OF_MS, SEAT_MS * max(0, self._seating.committee.size - 4))
        if self._due_ms is not None and self._due_ms <= now_ms + wait_ms:
            return None
        self._due_ms = now_ms + wait_ms
        return self._due_ms

    def is_due(self, now_ms: int) -> bool:
        """Is it time for `check`?"""
        return self._due_ms is not None and self._due_ms <= now_ms

    def check(self) -> list[BatchChecked]:
        """The verdicts on all that wait. A batch of a committee that is gone is left out: nobody asks any more."""
        fresh: dict[bytes, Items] = {}
        for id in sorted(self._waiting):
            with contextlib.suppress(InvalidInput):
                fresh[id] = self._items(id)
        self._waiting.clear()
        self._due_ms = None
        bad = first_invalid(list(fresh.values()), self._params.static_rules(None))
        checked = [BatchChecked(id, index) for id, index in zip(fresh, bad, strict=True)]
        self._found.update((one.id, one) for one in checked)
        while len(self._found) > KEPT_MAX:
            self._found.popitem(last=False)
        return checked

    def _items(self, id: bytes) -> Items:
        anchor, items = self._read.pop(id, (None, None))
        if items is None or anchor != self._seating.committee.anchor:
            _, items = admit_items(self._blocks.batch(id) or b"", self._seating.committee)
        return items
