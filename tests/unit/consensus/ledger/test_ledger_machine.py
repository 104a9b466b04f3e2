"""Laws over random histories: the real rules against a naive ledger of plain dictionaries, and under chaos."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ledger_double import ALICE, BOB, CAROL, COINS, DAVE, Chain, SeatBehaviour, address, make_params

from octra.consensus.ledger import fees, keys, ops
from octra.consensus.ledger.records import Account, Counters, HandleStatus, JobStatus, Private
from octra.consensus.ledger.state import load
from octra.crypto.ed25519 import SigningKey
from octra.primitives import CAP_UNITS

PLAYERS = (ALICE, BOB, CAROL, DAVE)
START = COINS


@dataclass
class NaiveLedger:
    """What should happen, without handles, jobs, overlays or escrow: dictionaries of integers."""

    public: Counter[bytes] = field(default_factory=Counter)
    spendable: Counter[bytes] = field(default_factory=Counter)
    incoming: Counter[bytes] = field(default_factory=Counter)
    burned: int = 0

    def run(self, sender: bytes, op: ops.Op, amount: int = 0) -> None:
        """One operation. `amount` is the hidden one of a private transfer."""
        fee = fees.base_fee(op)
        self.public[sender] -= fee
        self.burned += fee // 5
        match op:
            case ops.Transfer():
                self._pay(sender, [(op.to, op.amount)])
            case ops.MultiTransfer():
                self._pay(sender, [(item.to, item.amount) for item in op.items])
            case ops.Burn() if self.public[sender] >= op.amount:
                self.public[sender] -= op.amount
                self.burned += op.amount
            case ops.Encrypt() if self.public[sender] >= op.amount:
                self.public[sender] -= op.amount
                self.spendable[sender] += op.amount
            case ops.PrivateTransfer() if self.spendable[sender] >= amount:
                self.spendable[sender] -= amount
                self.incoming[op.to] += amount
            case ops.Collect():
                self.spendable[sender] += self.incoming.pop(sender, 0)
            case ops.Decrypt() if self.spendable[sender] >= op.amount:
                self.spendable[sender] -= op.amount
                self.public[sender] += op.amount

    def _pay(self, sender: bytes, payments: list[tuple[bytes, int]]) -> None:
        total = sum(amount for _, amount in payments)
        if self.public[sender] >= total:
            self.public[sender] -= total
            for to, amount in payments:
                self.public[to] += amount


player = st.sampled_from(PLAYERS)
small = st.integers(0, 40)


class Histories(RuleBasedStateMachine):
    """Rules common to both machines."""

    chain: Chain

    def _private(self, key: SigningKey, to: SigningKey, amount: int, bits: bool = True) -> None:
        raise NotImplementedError

    def _submit(self, key: SigningKey, op: ops.Op) -> None:
        raise NotImplementedError

    @rule(key=player, to=player, amount=st.integers(1, START))
    def transfer(self, key: SigningKey, to: SigningKey, amount: int) -> None:
        if key is not to:
            self._submit(key, ops.Transfer(address(to), amount))

    @rule(key=player, amounts=st.lists(st.integers(1, 500), min_size=2, max_size=4))
    def multi_transfer(self, key: SigningKey, amounts: list[int]) -> None:
        others = [address(other) for other in PLAYERS if other is not key]
        items = tuple(ops.Payment(others[i % 3], amount) for i, amount in enumerate(amounts))
        self._submit(key, ops.MultiTransfer(items))

    @rule(key=player, amount=st.integers(1, 1_000))
    def burn(self, key: SigningKey, amount: int) -> None:
        self._submit(key, ops.Burn(amount))

    @rule(key=player, amount=st.integers(1, 30))
    def encrypt(self, key: SigningKey, amount: int) -> None:
        self._submit(key, ops.Encrypt(amount))

    @rule(key=player)
    def collect(self, key: SigningKey) -> None:
        self._submit(key, ops.Collect())

    @rule(key=player, amount=st.integers(1, 40))
    def decrypt(self, key: SigningKey, amount: int) -> None:
        self._submit(key, ops.Decrypt(amount))

    @rule(key=player, to=player, amount=small)
    def send_private(self, key: SigningKey, to: SigningKey, amount: int) -> None:
        self._private(key, to, amount)

    @rule()
    def step(self) -> None:
        self.chain.step()

    @invariant()
    def money_is_neither_made_nor_lost(self) -> None:
        supply = self.chain.supply()
        assert supply.total == CAP_UNITS
        accounts = [load(self.chain.view, key, Account) for key, _ in self.chain.view.scan(b"\x01", 1_000)]
        assert sum(account.balance for account in accounts if account) == supply.public
        jobs = self.chain.jobs()
        assert sum(job.held for job in jobs) == supply.escrow
        assert min(supply.private_pool, supply.escrow, supply.public, *supply.pools) >= 0

    @invariant()
    def counts_agree_with_the_lists(self) -> None:
        open_jobs = [
            job
            for job in self.chain.jobs()
            if job.status in (JobStatus.WAITING, JobStatus.READY, JobStatus.OPEN, JobStatus.RETRY)
        ]
        pending = Counter(job.account for job in open_jobs)
        for key in PLAYERS:
            private = load(self.chain.view, keys.private(address(key)), Private) or Private()
            assert private.pending_own + private.pending_incoming == pending[address(key)]
        counters = load(self.chain.view, keys.COUNTERS, Counters)
        assert counters is not None
        assert counters.backlog_boots == sum(job.boots for job in open_jobs)


class AgainstNaiveLedger(Histories):
    """With at most f seats faulty, the end of every history is that of plain dictionaries."""

    @initialize(
        faulty=st.integers(0, 3),
        lies=st.frozensets(st.sampled_from(["evaluation", "check", "part", "opening"])),
        silent=st.booleans(),
    )
    def start(self, faulty: int, lies: frozenset[str], silent: bool) -> None:
        self.chain = Chain(behaviours={faulty: SeatBehaviour(silent=silent, lies_in=lies)})
        self.naive = NaiveLedger()
        for key in PLAYERS:
            self.naive.public[address(key)] = START

    def _submit(self, key: SigningKey, op: ops.Op) -> None:
        # Decrypted money arrives later than in the naive ledger: come to rest, so that both agree on what is covered.
        self.chain.settle()
        self.chain.run(key, op)
        self.naive.run(address(key), op)

    def _private(self, key: SigningKey, to: SigningKey, amount: int, bits: bool = True) -> None:
        name = self.chain.send_private(key, address(to), amount)
        self.chain.step()
        assert self.chain.receipt(name).status in ("ok", "pending")
        op = ops.PrivateTransfer(address(to), ops.InputDealing(50, 0, (bytes(32),), bytes(32)))
        self.naive.run(address(key), op, amount)

    def teardown(self) -> None:
        if not hasattr(self, "chain"):
            return
        self.chain.settle()
        supply = self.chain.supply()
        paid_for_work = Counter[bytes]()
        for payer, units in work_paid(self.chain):
            paid_for_work[payer] += units
        for key in PLAYERS:
            who = address(key)
            assert self.chain.balance(key) == self.naive.public[who] - paid_for_work[who]
            assert self.chain.spendable(key) == self.naive.spendable[who]
            assert self.chain.incoming(key) == self.naive.incoming[who]
        assert supply.private_pool == sum(self.naive.spendable.values()) + sum(self.naive.incoming.values())
        assert supply.escrow == 0


def work_paid(chain: Chain) -> list[tuple[bytes, int]]:
    """Who paid how much for evaluations that were certified."""
    return [
        (job.payer, chain.params.prices.work_units(job.boots))
        for job in chain.jobs()
        if job.status == JobStatus.CERTIFIED
    ]


class UnderChaos(Histories):
    """Seats come, go and lie at will; dealings are bad. No money is lost, and all comes to rest when they are back."""

    @initialize(seats=st.sampled_from([1, 4, 7]))
    def start(self, seats: int) -> None:
        self.chain = Chain(params=make_params(seats))

    def _submit(self, key: SigningKey, op: ops.Op) -> None:
        self.chain.submit(key, op)
        self.chain.step()

    def _private(self, key: SigningKey, to: SigningKey, amount: int, bits: bool = True) -> None:
        self.chain.send_private(key, address(to), amount, bits=bits)
        self.chain.step()

    @rule(key=player, to=player)
    def send_what_is_no_bits(self, key: SigningKey, to: SigningKey) -> None:
        self._private(key, to, 1, bits=False)

    @rule(seat=st.integers(0, 6), silent=st.booleans(), withholds=st.booleans())
    def a_seat_goes(self, seat: int, silent: bool, withholds: bool) -> None:
        self.chain.behaviours[seat % self.chain.seats] = SeatBehaviour(silent=silent, withholds_reveal=withholds)

    @rule(seat=st.integers(0, 6), lies=st.frozensets(st.sampled_from(["evaluation", "check", "part", "opening"])))
    def a_seat_lies(self, seat: int, lies: frozenset[str]) -> None:
        seat %= self.chain.seats
        others = [b for s, b in self.chain.behaviours.items() if s != seat and b.lies_in]
        if not others and self.chain.seats > 1:  # at most f lie at once, as the whole network assumes
            self.chain.behaviours[seat] = SeatBehaviour(lies_in=lies)

    @rule()
    def everybody_is_back(self) -> None:
        self.chain.behaviours.clear()

    @rule(rounds=st.integers(1, 30))
    def time_passes(self, rounds: int) -> None:
        for _ in range(rounds):
            self.chain.step(dt_ms=2_000)

    def teardown(self) -> None:
        if not hasattr(self, "chain"):
            return
        self.chain.behaviours.clear()
        for _ in range(4):
            self.chain.step(dt_ms=20_000)
            self.chain.settle()
        assert self.chain.supply().escrow == 0
        assert self.chain.private_total() == self.chain.supply().private_pool
        assert not list(self.chain.view.scan(keys.RETRY, 9))
        for job in self.chain.jobs():
            assert job.status in (JobStatus.CERTIFIED, JobStatus.FAILED, JobStatus.SIMPLIFIED)
            for name in job.outputs:
                assert self.chain.handle(name).status in (HandleStatus.CERTIFIED, HandleStatus.ALIASED)


TestAgainstNaiveLedger = AgainstNaiveLedger.TestCase
TestAgainstNaiveLedger.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
TestUnderChaos = UnderChaos.TestCase
TestUnderChaos.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
