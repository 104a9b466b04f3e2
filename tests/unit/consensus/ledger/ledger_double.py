"""A whole chain in memory: the real rules, with plaintexts in place of ciphertexts and of threshold shares.

Digests agree because all honest seats compute the same plaintext; seats can be told to be silent or to lie. The rules
under test see only digests and opaque bytes, as with the real cryptography.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from octra.codec import decode, encode
from octra.consensus.ledger import fees, keys, ops
from octra.consensus.ledger import transactions as tx
from octra.consensus.ledger.client import amount_word
from octra.consensus.ledger.committee_math import FormedInput, InputVerdict, OpenedBits
from octra.consensus.ledger.duties import (
    CheckDealing,
    CommitOpening,
    ConstantInput,
    DealtWord,
    Duty,
    Evaluate,
    MakeInputPart,
    RevealEvaluation,
    RevealOpening,
    duties,
)
from octra.consensus.ledger.genesis_state import genesis_writes
from octra.consensus.ledger.handles import private_of, resolve
from octra.consensus.ledger.jobs import evaluation_commitment
from octra.consensus.ledger.openings import SALT_BYTES
from octra.consensus.ledger.params import LedgerParams, Limits, Seat
from octra.consensus.ledger.receipts import Receipt, Settlement
from octra.consensus.ledger.records import Account, Circuit, Handle, Job, Opening, Private, Supply
from octra.consensus.ledger.sidecar import Sidecar, describe_dealing, pack_sidecar
from octra.consensus.ledger.state import load
from octra.consensus.ledger.transition import (
    LedgerBatch,
    LedgerCommit,
    Outcome,
    SeatFault,
    apply_commit,
    clock_of,
    seal_circle_records,
)
from octra.consensus.ports import Argument, CallOutcome, CircleCall, CircleEvent, CircleView
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.crypto.seal import OVERHEAD
from octra.errors import InvalidInput
from octra.primitives import address_of

CHAIN = bytes([3]) * 32
SALT = bytes(SALT_BYTES)
START_MS = 1_700_000_000_000
COINS = 10**9  # what each test account owns at genesis


class MemoryView:
    """A `StateView` over a sorted dictionary."""

    def __init__(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        self.rows = dict(rows)
        self._sorted = sorted(self.rows)

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.rows.get(key) for key in keys]

    def scan(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        start = bisect_left(self._sorted, prefix)
        for key in self._sorted[start : start + limit]:
            if not key.startswith(prefix):
                return
            yield key, self.rows[key]

    def apply(self, writes: Iterable[tuple[bytes, bytes | None]]) -> None:
        for key, value in writes:
            if value is None:
                self.rows.pop(key, None)
            else:
                assert len(key) <= 512
                assert len(value) <= 64 << 10
                self.rows[key] = value
        self._sorted = sorted(self.rows)

    def root(self) -> bytes:
        """A digest of everything."""
        return H("test.root", encode(sorted(self.rows.items())))


class MemoryCircles:
    """A `CircleView`: keys of Circles beside the state, code out of it."""

    def __init__(self, view: MemoryView) -> None:
        self.view, self.keys = view, dict[bytes, dict[bytes, bytes]]()

    def code(self, code_hash: bytes) -> bytes | None:
        from octra.consensus.ledger.blobs import read_code

        return read_code(self.view, code_hash)

    def get(self, circle: bytes, key: bytes) -> bytes | None:
        return self.keys.get(circle, {}).get(key)

    def scan(self, circle: bytes, start: bytes, end: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        rows = sorted(self.keys.get(circle, {}).items())
        return iter([(k, v) for k, v in rows if start <= k and (not end or k < end)][:limit])

    def apply(self, writes: Mapping[bytes, Sequence[tuple[bytes, bytes | None]]]) -> dict[bytes, bytes]:
        """Write, and answer the new root of each Circle that changed."""
        roots = {}
        for circle, diff in writes.items():
            own = self.keys.setdefault(circle, {})
            for key, value in diff:
                if value is None:
                    own.pop(key, None)
                else:
                    own[key] = value
            roots[circle] = H("test.circle", encode(sorted(own.items())))
        return roots


class CounterEngine:
    """A `CircleEngine` whose only program counts: `add n`, `pay address n`, `fail`, `burn_gas`."""

    CODE = b"\0asm counter"

    def check(self, code: bytes) -> int:
        if code != self.CODE:
            raise InvalidInput("not the counter")
        return 3 * 1_024 - 5

    def execute(self, calls: Sequence[CircleCall], view: CircleView) -> Sequence[CallOutcome]:
        state: dict[bytes, int] = {}
        usage: dict[bytes, int] = {}
        outcomes = []
        for call in calls:
            assert view.code(call.code_hash) == self.CODE
            old = state.get(call.circle)
            if old is None:
                old = int.from_bytes(view.get(call.circle, b"n") or b"", "big")
            used = usage.setdefault(call.circle, call.usage)
            outcome = self._run(call, old, used)
            if outcome.status == "ok":
                state[call.circle], usage[call.circle] = old, outcome.usage
                for _, value in outcome.diff:
                    assert value is not None
                    state[call.circle] = int.from_bytes(value, "big")
            outcomes.append(outcome)
        return outcomes

    def _run(self, call: CircleCall, old: int, usage: int) -> CallOutcome:
        match call.method, call.arguments:
            case "add", (int(n),):
                new = (old + n).to_bytes(8, "big")
                return CallOutcome(
                    "ok", "", new, 50_000, ((b"n", new),), 73, (CircleEvent(b"added", new),), log=("local",)
                )
            case "pay", (bytes(to), int(units)):
                return CallOutcome("ok", "", b"", 2_000_000, usage=usage, transfers=((to, units),))
            case "fail", _:
                return CallOutcome("reverted", "1", b"no", 1_500_001)
            case _:
                return CallOutcome("out_of_gas", "", b"", call.gas_limit)

    def query(self, call: CircleCall, view: CircleView) -> CallOutcome:
        return CallOutcome("ok", "", view.get(call.circle, b"n") or b"", 1_000)


class PlainMath:
    """`CommitteeMath` on plaintexts: a row is right when 2t + 1 rows are equal to it."""

    def __init__(self, seats: int) -> None:
        self.seats, self.agree = seats, 2 * ((seats - 1) // 3) + 1

    def _majority(self, rows: Mapping[int, bytes]) -> tuple[bytes, tuple[int, ...]] | None:
        row, count = Counter(rows.values()).most_common(1)[0]
        if count < self.agree:
            return None
        return row, tuple(sorted(seat for seat, other in rows.items() if other != row))

    def judge(self, rows: Mapping[int, bytes], bits: int, input_id: bytes, coin: bytes) -> InputVerdict | None:
        decided = self._majority(rows)
        if decided is None:
            return InputVerdict(False, (), "the rows fit no polynomial") if len(rows) == self.seats else None
        row, off = decided
        if row == check_row(input_id, coin, bits=True):
            return InputVerdict(True, off)
        return InputVerdict(False, (), "the values are not bits")

    def form_input(self, parts: Mapping[int, bytes], bits: int, input_id: bytes) -> FormedInput | None:
        decided = self._majority(parts)
        if decided is None:
            return None
        row, liars = decided
        ciphertext = b"entry" + input_id + row
        return FormedInput(ciphertext, H("octra.fhe.ct", ciphertext), liars)

    def open_bits(self, parts: Mapping[int, bytes], bits: int, opening: bytes) -> OpenedBits | None:
        decided = self._majority(parts)
        if decided is None:
            return None
        row, liars = decided
        value = int.from_bytes(row, "little")
        return OpenedBits(tuple(value >> i & 1 for i in range(bits)), liars)

    def part_bytes(self, bits: int) -> int:
        return 8 * -(-bits // 64)

    def commitment(self, request: bytes, seat: int, salt: bytes, share: bytes) -> bytes:
        return H("octra.open.com", request, bytes([seat + 1]), salt, share)


def check_row(input_id: bytes, coin: bytes, *, bits: bool) -> bytes:
    """What honest seats publish about a dealing of bits, or of something else."""
    return H("test.check", input_id, coin, bytes([bits]))


@dataclass
class SeatBehaviour:
    """How a seat acts in tests."""

    silent: bool = False
    lies_in: frozenset[str] = frozenset()  # evaluation, check, part, opening, trace
    withholds_reveal: bool = False


def make_params(seats: int = 4, **changes: object) -> LedgerParams:
    """A chain of `seats` seats with short deadlines."""
    limits = Limits(
        input_rounds=12, job_rounds=6, boots_per_round=100, reveal_rounds=4, opening_rounds=20, circle_activation=2
    )
    params = LedgerParams(
        chain=CHAIN,
        chain_id="octra:test-03030303",
        seats=tuple(
            Seat(key.public, bytes(96), bytes([k + 1]) * 32, address_of(key.public))
            for k, key in enumerate(seat_keys(seats))
        ),
        key_id=bytes(32),
        key_set="TEST",
        failure_bits=128,
        prices=fees.Prices(evaluators=(seats - 1) // 3 + 1),
        epoch_ms=20_000,
        legacy_signing=True,
        limits=limits,
    )
    import msgspec

    return msgspec.structs.replace(params, **changes)


def seat_keys(seats: int) -> list[SigningKey]:
    return [SigningKey(bytes([200 + k]) * 32) for k in range(seats)]


USERS = [SigningKey(bytes([k]) * 32) for k in range(1, 7)]
ALICE, BOB, CAROL, DAVE, EVE, NOBODY = USERS


def address(key: SigningKey) -> bytes:
    return address_of(key.public)


@dataclass
class Chain:
    """The double. `step` makes a commit out of what the seats owe and of what tests submitted."""

    seats: int = 4
    params: LedgerParams = None  # type: ignore[assignment]  # set below
    behaviours: dict[int, SeatBehaviour] = field(default_factory=dict)
    plain: dict[bytes, int] = field(default_factory=dict)  # digest -> value
    outcomes: list[Outcome] = field(default_factory=list)
    queue: list[bytes] = field(default_factory=list)
    rounds_per_step: int = 1

    def __post_init__(self) -> None:
        if self.params is None:
            self.params = make_params(self.seats)
        self.seats = len(self.params.seats)
        accounts = {address(key): COINS for key in USERS[:5]}
        self.view = MemoryView(genesis_writes(self.params, accounts, START_MS))
        self.circles = MemoryCircles(self.view)
        self.engine = CounterEngine()
        self.math = PlainMath(self.seats)
        self.keys = seat_keys(self.seats)
        self.nonces: Counter[bytes] = Counter()
        self.blobs: dict[bytes, bytes] = {}

    # --- submitting ---

    def item(self, key: SigningKey, op: ops.Op, *, sidecar: bytes = b"", **changes: int | bytes) -> bytes:
        """A signed item with the sender's next nonce and the minimum fee."""
        fields: dict[str, int | bytes] = {"fee": fees.minimum_fee(op, self.params.prices), "expiry_epoch": 500}
        if op.node_op:
            fields |= {"nonce": 1, "fee": 0}
        elif "nonce" not in changes:
            self.nonces[key.public] += 1
            fields["nonce"] = self.nonces[key.public]
        fields = {"chain": CHAIN, "sender": key.public, **fields, **changes}
        return tx.sign(tx.build(op=op, **fields), key) + sidecar  # type: ignore[arg-type]  # the fields are complete

    def submit(self, key: SigningKey, op: ops.Op, *, sidecar: bytes = b"", **changes: int | bytes) -> bytes:
        """Queue a transaction for the next commit; the answer is its id."""
        item = self.item(key, op, sidecar=sidecar, **changes)
        self.queue.append(item)
        return tx.decode_item(item).id

    def run(self, key: SigningKey, op: ops.Op, **changes: int | bytes) -> Receipt:
        """Submit, make one commit, and answer the receipt."""
        name = self.submit(key, op, **changes)
        self.step()
        return self.receipt(name)

    def send_private(
        self,
        key: SigningKey,
        to: bytes,
        amount: int,
        *,
        bits: bool = True,
        spoiled: tuple[int, ...] = (),
        **changes: int | bytes,
    ) -> bytes:
        """Queue a private transfer. `bits` False: the dealt values are none; `spoiled` seats get a wrong box."""
        word = amount_word(amount).to_bytes(8, "little") + bytes([bits])
        boxes = [b"garbage.." if seat in spoiled else word for seat in range(self.seats)]
        leaves = [H("test.leaf", bytes([seat]), word) for seat in range(self.seats)]
        op = ops.PrivateTransfer(to, describe_dealing(50, 0, leaves, boxes), b"note")
        return self.submit(key, op, sidecar=pack_sidecar(leaves, boxes), **changes)

    # --- the seats ---

    def _answers(self) -> list[bytes]:
        """What every seat sends now, in seat order."""
        items = []
        for seat, key in enumerate(self.keys):
            behaviour = self.behaviours.get(seat, SeatBehaviour())
            if behaviour.silent:
                continue
            for duty in duties(self.view, seat, self.params):
                op = self._answer(seat, behaviour, duty)
                if op is not None:
                    items.append(self.item(key, op))
        return items

    def _answer(self, seat: int, behaviour: SeatBehaviour, duty: Duty) -> ops.Op | None:
        lies = behaviour.lies_in
        match duty:
            case CheckDealing(name, _, sidecar, coin):
                box = decode(self.blobs[sidecar], Sidecar).boxes[seat]
                if box == b"garbage..":
                    return ops.DealCheck(name, b"")
                row = check_row(name, coin, bits=bool(box[8]))
                return ops.DealCheck(name, b"lie" if "check" in lies else row)
            case MakeInputPart(name, _, sidecar):
                box = decode(self.blobs[sidecar], Sidecar).boxes[seat]
                return ops.InputPart(name, bytes([seat + 1]) * 8 if "part" in lies else box[:8])
            case Evaluate(job):
                digests, trace, salt = self._evaluate(seat, duty, lies)
                node = self.params.seats[seat].node_id
                return ops.EvaluationCommit(job, evaluation_commitment(job, node, digests, trace, salt))
            case RevealEvaluation(job):
                if behaviour.withholds_reveal:
                    return None
                return ops.EvaluationReveal(job, *self._evaluate(seat, duty, lies))
            case CommitOpening(request, openings):
                return ops.OpenCommit(
                    request, self.math.commitment(request, seat, SALT, self.opening_row(seat, openings, lies))
                )
            case RevealOpening(request, openings, reader):
                row = SALT + self.opening_row(seat, openings, lies)
                return ops.OpenShare(request, row + bytes(OVERHEAD) if reader else row)

    def _evaluate(
        self, seat: int, duty: Evaluate | RevealEvaluation, lies: frozenset[str]
    ) -> tuple[tuple[bytes, ...], bytes, bytes]:
        values = evaluate_plain(duty.circuit, [self._plain_input(one) for one in duty.inputs])
        if "evaluation" in lies:
            values = tuple(value + 1 + seat for value in values)
        digests = []
        for index, value in enumerate(values):
            ciphertext = encode((duty.job, index, value))
            digest = H("octra.fhe.ct", ciphertext)
            self.plain[digest] = value
            digests.append(digest)
        return tuple(digests), H("test.trace", bytes([seat])), H("test.salt", bytes([seat]))

    def _plain_input(self, one: object) -> int:
        match one:
            case ConstantInput(value):
                return value
            case DealtWord(_, digest):
                return int.from_bytes(self.blobs[digest][-8:], "little")
            case _:
                return self.plain[one.digest]  # type: ignore[attr-defined]  # PackedInput

    def opening_row(self, seat: int, openings: tuple[Opening, ...], lies: frozenset[str]) -> bytes:
        """A seat's share of an opening: here the value itself, or a lie of the seat's own."""
        rows = b""
        for opening in openings:
            value = self.plain[opening.digest]
            if "opening" in lies:
                value ^= 1 + seat
            rows += value.to_bytes(self.math.part_bytes(opening.bits), "little")
        return rows

    # --- commits ---

    def step(self, *, dt_ms: int = 500, extra: Sequence[bytes] = (), evidence: Sequence[SeatFault] = ()) -> Outcome:
        """One commit: what is queued, then what the seats owe."""
        items = [*self.queue, *extra, *self._answers()]
        self.queue.clear()
        clock = clock_of(self.view)
        commit = LedgerCommit(
            height=clock.height + 1,
            leader_round=clock.round + self.rounds_per_step,
            time_ms=clock.time_ms + dt_ms,
            coin=H("test.coin", clock.height.to_bytes(8, "big")),
            batches=(LedgerBatch(clock.height % self.seats, tuple(items)),) if items else (),
            evidence=tuple(evidence),
        )
        return self.apply(commit)

    def apply(self, commit: LedgerCommit) -> Outcome:
        """Apply a commit to the state."""
        outcome = apply_commit(self.view, self.circles, commit, self.engine, self.params, self.math)
        assert list(outcome.writes) == sorted(outcome.writes)
        self.view.apply(outcome.writes.items())
        self.view.apply(seal_circle_records(outcome, self.circles.apply(outcome.circle_writes)))
        self.blobs |= outcome.blobs
        self.outcomes.append(outcome)
        return outcome

    def settle(self, steps_max: int = 400) -> None:
        """Commit until nobody owes anything and nothing is due except what waits for an epoch."""
        for _ in range(steps_max):
            if not self.queue and next(self.view.scan(keys.DUE, 1), None) is None:
                return
            self.step()
        raise AssertionError("the chain does not come to rest")

    # --- looking ---

    def receipt(self, name: bytes) -> Receipt:
        return next(receipt for outcome in self.outcomes for receipt in outcome.receipts if receipt.tx == name)

    def settlement(self, name: bytes) -> Settlement | None:
        return next((s for outcome in self.outcomes for s in outcome.settlements if s.tx == name), None)

    def final_status(self, name: bytes) -> tuple[str, int]:
        """How a transaction ended, now or by its settlement."""
        ended = self.settlement(name)
        if ended is not None:
            return ended.status, ended.code
        receipt = self.receipt(name)
        return receipt.status, receipt.code

    def account(self, key: SigningKey) -> Account:
        return load(self.view, keys.account(address(key)), Account) or Account()

    def balance(self, key: SigningKey) -> int:
        return self.account(key).balance

    def supply(self) -> Supply:
        supply = load(self.view, keys.SUPPLY, Supply)
        assert supply is not None
        return supply

    def private(self, key: SigningKey) -> Private:
        return private_of(self.view, address(key))

    def value(self, name: bytes) -> int:
        """The plaintext of a certified handle."""
        _, handle = resolve(self.view, name)
        return handle.constant if handle.constant is not None else self.plain[handle.digest]

    def spendable(self, key: SigningKey) -> int:
        return self.value(self.private(key).spendable)

    def incoming(self, key: SigningKey) -> int:
        return self.value(self.private(key).incoming)

    def handle(self, name: bytes) -> Handle:
        handle = load(self.view, keys.handle(name), Handle)
        assert handle is not None
        return handle

    def jobs(self) -> list[Job]:
        from octra.consensus.ledger.state import read

        return [read(value, Job) for _, value in self.view.scan(b"\x04", 10_000)]

    def events(self, topic: str) -> list[list[object]]:
        return [
            decode(one.event.data, list[object])
            for outcome in self.outcomes
            for one in outcome.events
            if one.event.topic == topic.encode()
        ]

    def private_total(self) -> int:
        """All encrypted money, by the double's plaintexts."""
        return sum(self.spendable(key) + self.incoming(key) for key in USERS)


def evaluate_plain(circuit: int, inputs: Sequence[int]) -> tuple[int, ...]:
    """What the circuits compute, on integers."""
    first, second = inputs
    match Circuit(circuit):
        case Circuit.DEBIT:
            moved = second if first >= second else 0
            return first - moved, moved
        case Circuit.CREDIT:
            return (first + second,)
        case Circuit.DECRYPT:
            return (first - second, 1) if first >= second else (first, 0)


def with_limits(params: LedgerParams, **changes: int) -> LedgerParams:
    """The parameters with other limits."""
    import msgspec

    return msgspec.structs.replace(params, limits=msgspec.structs.replace(params.limits, **changes))


def arguments(*values: Argument) -> bytes:
    return encode(list(values))


__all__ = [
    "ALICE", "BOB", "CAROL", "CHAIN", "COINS", "DAVE", "EVE", "NOBODY", "START_MS", "USERS", "Chain", "CounterEngine",
    "MemoryView", "PlainMath", "SeatBehaviour", "address", "arguments", "make_params", "replace", "seat_keys",
    "with_limits",
]  # fmt: skip
