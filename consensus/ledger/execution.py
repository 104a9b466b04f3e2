"""The running commit: state, clock, money and reports, passed to every rule as one value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from octra.consensus.ledger import keys, native
from octra.consensus.ledger.committee_math import CommitteeMath
from octra.consensus.ledger.epoch_records import ValidatorRecord
from octra.consensus.ledger.errors import InsufficientBalance, LimitReached, SupplyViolated
from octra.consensus.ledger.fees import BURNED_PERMILLE
from octra.consensus.ledger.params import LedgerParams, Seat
from octra.consensus.ledger.receipts import Event, Settlement, ledger_event
from octra.consensus.ledger.records import NO_SEAT, Account, Clock, Counters, Fault, Job, Node, Pool, Supply
from octra.consensus.ledger.state import Changes, Overlay, load, read
from octra.consensus.ports import StateView
from octra.primitives import AMOUNT_MAX


@dataclass(slots=True)
class Money:
    """The supply while it moves. Every method names where money comes from and where it goes."""

    public: int
    private_pool: int
    bonded: int
    escrow: int
    pools: list[int]
    burned: int
    fixed: Supply  # parts that no rule of this version moves

    @classmethod
    def of(cls, supply: Supply) -> Money:
        """The supply as stored."""
        return cls(
            supply.public,
            supply.private_pool,
            supply.bonded,
            supply.escrow,
            list(supply.pools),
            supply.burned,
            supply,
        )

    def copy(self) -> Money:
        """The same amounts, to come back to."""
        return Money(
            self.public, self.private_pool, self.bonded, self.escrow, list(self.pools), self.burned, self.fixed
        )

    def supply(self) -> Supply:
        """The supply to store."""
        order, fhe, store, verify, keys_pool = self.pools
        return Supply(
            emission_left=self.fixed.emission_left,
            public=self.public,
            private_pool=self.private_pool,
            bonded=self.bonded,
            escrow=self.escrow,
            pools=(order, fhe, store, verify, keys_pool),
            burned=self.burned,
        )

    def spend(self, units: int, pool: Pool, *, times: int = 1) -> None:
        """Public money that left an account as a fee, or several as `times` fees: a fifth of each is burned, the rest
        pays for work."""
        burned = units * BURNED_PERMILLE // 1_000
        self.public -= units * times
        self.burned += burned * times
        self.pools[pool] += (units - burned) * times

    def spend_escrow(self, units: int, pool: Pool) -> None:
        """The same from escrow."""
        self.escrow_to_public(units)
        self.spend(units, pool)

    def public_to_escrow(self, units: int) -> None:
        """Money that an account gave for work or a verdict to come."""
        self.public -= units
        self.escrow += units

    def public_to_bond(self, units: int) -> None:
        """Money that an account puts behind a validator; negative: that it gets back."""
        self.public -= units
        self.bonded += units

    def slash(self, units: int) -> None:
        """Part of a bond is burned."""
        self.bonded -= units
        self.burned += units

    def escrow_to_public(self, units: int) -> None:
        """Money that goes back to an account."""
        self.escrow -= units
        self.public += units


@dataclass(slots=True)
class Execution:
    """One commit in the making."""

    state: Overlay
    before: StateView
    params: LedgerParams
    clock: Clock
    coin: bytes
    math: CommitteeMath
    money: Money
    authors: Sequence[Seat]  # who orders in this epoch, by seat number; the holders of key shares are `params.seats`
    events: list[Event] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    woken: list[bytes] = field(default_factory=list)  # handles that came to their end: jobs may wait for them

    _saved: tuple[Money, int, int, frozenset[bytes]] | None = None

    # --- one operation ---

    def begin(self) -> None:
        """An operation starts that may be undone."""
        self.state.savepoint()
        self._saved = self.money.copy(), len(self.events), len(self.settlements), frozenset(self.blobs)

    def keep(self) -> None:
        """The operation holds."""
        self.state.keep()
        self._saved = None

    def undo(self) -> None:
        """Take back everything since `begin`: writes, money, reports."""
        assert self._saved is not None
        self.state.undo()
        self.money, events, settlements, blobs = self._saved
        del self.events[events:], self.settlements[settlements:]
        self.blobs = {name: data for name, data in self.blobs.items() if name in blobs}
        self.woken.clear()
        self._saved = None

    # --- accounts ---

    def account(self, address: bytes) -> Account:
        """The account, empty if nobody ever paid it."""
        return self.state.load(keys.account(address), Account) or Account()

    def credit(self, address: bytes, units: int) -> None:
        """Add to a public balance; the caller moves the money."""
        account = self.account(address)
        if account.balance + units > AMOUNT_MAX:
            raise LimitReached("balance", AMOUNT_MAX)
        self.state.store(keys.account(address), Account(account.balance + units, account.nonce, account.used))

    def debit(self, address: bytes, units: int) -> None:
        """Take from a public balance; raises `InsufficientBalance`. The caller moves the money."""
        account = self.account(address)
        if account.balance < units:
            raise InsufficientBalance(units, account.balance)
        self.state.store(keys.account(address), Account(account.balance - units, account.nonce, account.used))

    def refund(self, address: bytes, units: int) -> None:
        """Give money in escrow back to an account."""
        if units:
            self.money.escrow_to_public(units)
            self.credit(address, units)

    # --- counters ---

    def counters(self) -> Counters:
        """The totals that limits look at."""
        return self.state.load(keys.COUNTERS, Counters) or Counters()

    def count(self, *, opened_bits: int = 0, backlog_boots: int = 0) -> None:
        """Add to the totals."""
        now = self.counters()
        self.state.store(keys.COUNTERS, Counters(now.opened_bits + opened_bits, now.backlog_boots + backlog_boots))

    # --- reports ---

    def emit(self, topic: str, *fields: object) -> None:
        """An event of the ledger."""
        self.events.append(ledger_event(topic, *fields))

    def settle(self, tx: bytes, status: str, code: int, refunded: int = 0) -> None:
        """The end of a pending transaction."""
        self.settlements.append(Settlement(tx, self.clock.height, status, code, refunded))

    # --- nodes ---

    def record_fault(self, fault: Fault, node_id: bytes | None = None) -> bool:
        """Keep a proven fault, one for each node and subject; was it new? Without `node_id`: of a key seat."""
        node_id = node_id or self.params.seats[fault.seat].node_id
        key = keys.fault(node_id, fault.subject)
        if self.state.get(key) is not None:
            return False
        self.state.store(key, fault)
        node = self.node(node_id)
        self.store_node(node_id, Node(node.seat, node.tips, node.skipped, node.certified, node.faults + 1))
        self.emit("fault", fault.kind, node_id, fault.subject)
        return True

    def node(self, node_id: bytes) -> Node:
        """What the chain remembers about a node."""
        return self.state.load(keys.node(node_id), Node) or Node(NO_SEAT)

    def store_node(self, node_id: bytes, node: Node) -> None:
        """Remember it."""
        self.state.store(keys.node(node_id), node)

    # --- the end ---

    def close_supply(self) -> Changes:
        """Store the supply and answer all that the commit changes.

        Raises `SupplyViolated` unless the supply is the cap and agrees with every account, escrow and bond.
        """
        supply = self.money.supply()
        if supply.difference:
            raise SupplyViolated(supply.difference)
        lowest = min(supply.public, supply.private_pool, supply.bonded, supply.escrow, *supply.pools)
        if lowest < 0:  # the turnstile: encrypted money never becomes more public money than there was
            raise SupplyViolated(lowest)
        self.state.store(keys.SUPPLY, supply)
        changes = self.state.changes()
        start = load(self.before, keys.SUPPLY, Supply)
        assert start is not None
        for prefix, held, moved in (
            (keys.account(b""), _in_accounts, supply.public - start.public),
            (keys.job(b""), _in_escrow, supply.escrow - start.escrow),
            (keys.VALIDATOR, _in_bonds, supply.bonded - start.bonded),
        ):
            changed = changes.of(prefix)
            added = held(changed.after) - held(changed.before)
            if added != moved:
                raise SupplyViolated(added - moved)
        return changes


def _in_accounts(rows: Iterable[bytes | None]) -> int:
    """What these accounts hold together: most of a block's writes."""
    if native.available():
        return native.sum_of_balances(rows)
    return sum(read(row, Account).balance for row in rows if row is not None)


def _in_escrow(rows: Iterable[bytes | None]) -> int:
    return sum(read(row, Job).held for row in rows if row is not None)


def _in_bonds(rows: Iterable[bytes | None]) -> int:
    return sum(read(row, ValidatorRecord).bond for row in rows if row is not None)
