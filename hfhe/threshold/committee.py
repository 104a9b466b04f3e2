"""How many seats of n may lie, be silent or collude: the numbers that every protocol of the network key uses."""

from __future__ import annotations

from typing import Final, NamedTuple

from octra.hfhe.threshold.errors import NoSuchCommittee

COMMITTEE_MAX: Final = 24  # seats of one group; seat numbers start at 1 and are the evaluation points


class Committee(NamedTuple):
    """The facts of `n` seats. With `t` = 0 a single seat can read everything: secrecy is none."""

    n: int
    t: int  # seats that learn nothing together, and that may lie in an opening; the degree of every sharing

    @property
    def agree(self) -> int:
        """Rows that must lie on one polynomial before its value counts: t + 1 of them are honest and fix it."""
        return 2 * self.t + 1

    @property
    def seats(self) -> range:
        """Seat numbers."""
        return range(1, self.n + 1)

    @property
    def liars_max(self) -> int:
        """Lying rows that are corrected and named when all seats answer."""
        return min((self.n - self.t - 1) // 2, self.n - self.agree)

    @property
    def silent_max(self) -> int:
        """Silent seats with which values still open, when nobody lies."""
        return self.n - self.agree

    @property
    def secrecy(self) -> str:
        """`threshold`, or `none` where one seat alone holds the key."""
        return "threshold" if self.t else "none"


def committee(n: int) -> Committee:
    """The committee of n seats; raises `NoSuchCommittee` outside 1..24."""
    if not 1 <= n <= COMMITTEE_MAX:
        raise NoSuchCommittee(n, COMMITTEE_MAX)
    return Committee(n, (n - 1) // 3)
