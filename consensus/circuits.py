"""The circuits of encrypted balances: take an amount from one balance, add it to another, in constant form.

A private word has 50 encrypted bits, since all money together is below 2^50. The circuits do the same work whatever
the values are: an amount that is too large moves nothing, and nobody sees that.

The noise budgets choose between formulas for the same function. With c the borrows of `spendable - amount`:

    ok      = not c_50                     the balance suffices
    T_i     = ok and A_i                   what is transferred
    S'_i    = S_i xor T_i xor (ok and c_i)

Every output bit is a bootstrap of its own, so no two bits share a noise and no later job needs this one's history.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from octra.consensus.ledger.fees import WorkTable
from octra.hfhe.builder import Builder
from octra.hfhe.hypergraph import FALSE, Graph, Literal, Trust
from octra.hfhe.params import Budgets, ParameterSet
from octra.hfhe.plan import Plan
from octra.hfhe.planner import make_plan

WIDTH: Final = 50
SUBTRACT_TABLE: Final = sum(
    ((row & 1) ^ (row >> 1 & 1) ^ (row >> 2 & row >> 3 & 1)) << row for row in range(16)
)  # a xor b xor (c and d)
FUSED_NORM2: Final = 10  # of that function as one bootstrap
ANDXOR_NORM2: Final = 6


@dataclass(frozen=True, slots=True)
class BalanceCircuit:
    """A circuit as every validator plans it. `entry_bits` of its inputs are committee input, one bootstrap each."""

    plan: Plan
    entry_bits: int

    @property
    def bootstraps(self) -> int:
        """What an evaluation costs."""
        return self.entry_bits + self.plan.bootstraps

    @property
    def plan_id(self) -> bytes:
        return self.plan.plan_id


@cache
def debit(params: ParameterSet, security_bits: int = 128) -> BalanceCircuit:
    """(spendable, amount from committee input) -> spendable, transferred, ok."""
    graph = debit_graph(WIDTH, params.budget(security_bits))
    return BalanceCircuit(make_plan(graph, params, security_bits), WIDTH)


@cache
def withdraw(params: ParameterSet, security_bits: int = 128) -> BalanceCircuit:
    """(spendable, public amount) -> spendable, ok. The amount is an input, so that the plan tells nothing of it."""
    graph = withdraw_graph(WIDTH, params.budget(security_bits))
    return BalanceCircuit(make_plan(graph, params, security_bits), 0)


@cache
def credit(params: ParameterSet, security_bits: int = 128) -> BalanceCircuit:
    """(balance, amount) -> balance: receives, collects, and encrypts a public amount."""
    return BalanceCircuit(make_plan(credit_graph(WIDTH), params, security_bits), 0)


def work_table(params: ParameterSet, security_bits: int = 128) -> WorkTable:
    """What operations pay for in advance under these parameters: the bootstraps of their plans."""
    taken, given = debit(params, security_bits).bootstraps, credit(params, security_bits).bootstraps
    return WorkTable(decrypt=withdraw(params, security_bits).bootstraps, transfer=taken + given, collect=given)


def debit_graph(width: int, budgets: Budgets) -> Graph:
    """The circuit of `debit` at any width; tests use narrow ones."""
    builder = Builder("debit")
    spendable, amount = _two_words(builder, "spendable", "amount", width)
    borrows, ok = _compare(builder, spendable, amount)
    transferred = [builder.and_(ok, bit) for bit in amount]
    left = []
    for s, t, c in zip(spendable, transferred, borrows, strict=True):
        if budgets.b8 >= FUSED_NORM2:
            left.append(builder.lut(SUBTRACT_TABLE, (s, t, ok, c)))
        else:
            left.append(builder.xor(s, t, builder.and_(ok, c)))
    builder.output("spendable", f"u{width}", left)
    builder.output("transferred", f"u{width}", transferred)
    builder.output("ok", "bit", [ok])
    return builder.build()


def withdraw_graph(width: int, budgets: Budgets) -> Graph:
    """The circuit of `withdraw` at any width."""
    builder = Builder("withdraw")
    spendable, amount = _two_words(builder, "spendable", "amount", width)
    borrows, ok = _compare(builder, spendable, amount)
    left = []
    for s, a, c in zip(spendable, amount, borrows, strict=True):
        if budgets.b8 >= ANDXOR_NORM2:  # nobody needs what was taken as a word: two bootstraps a bit instead of three
            left.append(builder.andxor(ok, a, builder.andxor(ok, c, s)))
        else:
            left.append(builder.xor(s, builder.and_(ok, a), builder.and_(ok, c)))
    builder.output("spendable", f"u{width}", left)
    builder.output("ok", "bit", [ok])
    return builder.build()


def credit_graph(width: int) -> Graph:
    """The circuit of `credit` at any width."""
    builder = Builder("credit")
    balance, amount = _two_words(builder, "balance", "amount", width)
    total, carry = [], FALSE
    for i, (r, t) in enumerate(zip(balance, amount, strict=True)):
        following = builder.maj3(r, t, carry) if i + 1 < width else FALSE
        total.append(builder.xor(r, t, carry))
        carry = following
    builder.output("balance", f"u{width}", total)
    return builder.build()


def _two_words(builder: Builder, first: str, second: str, width: int) -> tuple[tuple[Literal, ...], ...]:
    return tuple(builder.input(name, f"u{width}", Trust.CERTIFIED) for name in (first, second))


def _compare(
    builder: Builder, spendable: tuple[Literal, ...], amount: tuple[Literal, ...]
) -> tuple[list[Literal], Literal]:
    """The borrow into each bit of spendable - amount, and whether there is none at the end."""
    borrows = [FALSE]
    for s, a in zip(spendable, amount, strict=True):
        borrows.append(builder.maj3(s ^ 1, a, borrows[-1]))
    return borrows[:-1], borrows[-1] ^ 1
