"""What an operation costs: a base price, plus the price of the evaluation work that it causes."""

from __future__ import annotations

from typing import Final, assert_never

from msgspec import Struct

from octra.consensus.ledger import ops

WORD_BITS: Final = 50  # of a private word; the cap of all money is below 2^50, so bits 50..63 are the constant 0
OPENING_PRICE: Final = 200  # units a bit
GAS_PER_UNIT: Final = 1_000
REGISTER_PRICE: Final = 100_000  # a row that every draw and every checkpoint reads
DEPLOY_PRICE: Final = 200_000
DEPLOY_PRICE_PER_KIB: Final = 1_000
BURNED_PERMILLE: Final = 200  # of every required fee; the rest goes to the pool of the work that it caused


class WorkTable(Struct, frozen=True, array_like=True):
    """Bootstraps that an operation may cause, worst case, for one noise budget."""

    encrypt: int = 97
    decrypt: int = 149
    transfer: int = 348
    collect: int = 99


WORK_128: Final = WorkTable()  # failure probability 2^-128: the default
WORK_64: Final = WorkTable(transfer=299)  # 2^-64: throw-away test networks


class Prices(Struct, frozen=True, array_like=True):
    """The prices of one epoch."""

    boot_price_milli: int = 2_000
    evaluators: int = 2  # k = f+1
    work: WorkTable = WORK_128

    def work_units(self, boots: int) -> int:
        """The price of `boots` bootstraps at k evaluators, rounded up."""
        return -(-boots * self.evaluators * self.boot_price_milli // 1_000)


def boots(op: ops.Op, prices: Prices) -> int:
    """Bootstraps that `op` pays for in advance; what it does not use is returned."""
    match op:
        case ops.Transfer():
            return 0  # most are, so they are asked for first
        case ops.Encrypt():
            return prices.work.encrypt
        case ops.Decrypt():
            return prices.work.decrypt
        case ops.PrivateTransfer():
            return prices.work.transfer
        case ops.Collect():
            return prices.work.collect
        case _:
            return 0


def base_fee(op: ops.Op) -> int:
    """The part of the minimum that is kept whatever happens after the operation was executed."""
    match op:
        case ops.Transfer() | ops.Burn() | ops.Collect() | ops.OpenBlame():
            return 1_000
        case ops.MultiTransfer():
            return 500 + 500 * len(op.items)
        case ops.Encrypt() | ops.PrivateTransfer():
            return 2_000
        case ops.Decrypt():
            return 2_000 + OPENING_PRICE
        case ops.ViewRequest():
            return 1_000 + OPENING_PRICE * WORD_BITS * len(op.handles)
        case ops.CircleDeploy() | ops.CircleUpgrade():
            return DEPLOY_PRICE  # and the metered code, which only execution knows
        case ops.CircleCall():
            return max(1_000, -(-op.gas_limit // GAS_PER_UNIT))
        case ops.CircleAssets():
            return 1_000
        case ops.CircleBlobPut():
            return 1_000 + 5 * -(-len(op.data) // 1_024)
        case ops.NodeRegister():
            return REGISTER_PRICE
        case ops.Bond() | ops.Ready() | ops.Exit() | ops.Withdraw():
            return 1_000
        case (
            ops.EvaluationCommit()
            | ops.EvaluationReveal()
            | ops.DealCheck()
            | ops.InputPart()
            | ops.OpenCommit()
            | ops.OpenShare()
            | ops.CoinDeal()
            | ops.CoinAck()
            | ops.CoinRepair()
            | ops.Checkpoint()
        ):
            return 0
        case _:
            assert_never(op)


def minimum_fee(op: ops.Op, prices: Prices) -> int:
    """The smallest fee ceiling with which `op` is admitted."""
    work = boots(op, prices)
    return base_fee(op) + (prices.work_units(work) if work else 0)
