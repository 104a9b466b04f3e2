"""One private payment with the real cryptography of the set TEST: dealt bits, evaluation, openings, a lying seat."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import pytest
from ledger_double import ALICE, BOB, CHAIN, Chain, SeatBehaviour, address, make_params
from msgspec.structs import replace

from octra.consensus import evaluate
from octra.consensus.ledger import client, keys, ops, seat
from octra.consensus.ledger.duties import (
    CheckDealing,
    CommitOpening,
    ConstantInput,
    DealtWord,
    Duty,
    Evaluate,
    JobInput,
    MakeInputPart,
    RevealEvaluation,
    RevealOpening,
)
from octra.consensus.ledger.jobs import evaluation_commitment
from octra.consensus.ledger.records import Circuit, Fault, FaultKind, Opening, Request, SeatBytes, request_name
from octra.consensus.ledger.state import load, read
from octra.consensus.threshold_math import ThresholdMath
from octra.crypto.hash import H
from octra.crypto.seal import public_of
from octra.hfhe import wire
from octra.hfhe.backend import choose
from octra.hfhe.bootstrap import reencode, unpack
from octra.hfhe.ciphertext import U32Array
from octra.hfhe.execute import LocalExecutor
from octra.hfhe.params import TEST
from octra.hfhe.threshold import dealer, partial
from octra.hfhe.threshold.dealer import DealtKey
from octra.hfhe.threshold.errors import NotEnough

GATE = wire.Gate(params=TEST, allow_insecure=True)
VIEW_SECRETS = [bytes([k + 1]) * 32 for k in range(4)]
READER_SECRET = bytes([77]) * 32


@cache
def network() -> tuple[DealtKey, evaluate.Evaluator]:
    """The dealt key of four seats, and what evaluates under it."""
    key = dealer.deal(TEST, bytes([5]) * 32, 4)
    backend = choose()
    prepared = backend.prepare(key.evaluation)
    return key, evaluate.Evaluator(backend, prepared, LocalExecutor(backend, prepared, threads=1))


@dataclass
class RealChain(Chain):
    """The chain double with nothing doubled but the network: seats hold shares, ciphertexts are ciphertexts."""

    ciphertexts: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        key, _ = network()
        params = make_params()
        seats = tuple(
            replace(one, view_key=public_of(secret)) for one, secret in zip(params.seats, VIEW_SECRETS, strict=True)
        )
        self.params = replace(params, seats=seats, key_id=key.key_id)
        super().__post_init__()
        self.math = ThresholdMath(TEST, key.key_id, 4)  # type: ignore[assignment]  # the real one
        self.secrets = [
            seat.SeatSecrets(k, self.params.seats[k].node_id, CHAIN, VIEW_SECRETS[k], bytes([k]) * 32, key.seats[k])
            for k in range(4)
        ]

    def send_real(self, amount: int) -> bytes:
        """Alice pays Bob."""
        nonce = self.nonces[ALICE.public] + 1
        dealing, sidecar = client.deal_amount(
            amount,
            chain=CHAIN,
            sender_key=ALICE.public,
            nonce=nonce,
            view_keys=[one.view_key for one in self.params.seats],
            seed=H("test.seed", bytes([nonce])),
        )
        return self.submit(ALICE, ops.PrivateTransfer(address(BOB), dealing), sidecar=sidecar)

    def _answer(self, number: int, behaviour: SeatBehaviour, duty: Duty) -> ops.Op | None:
        secrets, lies = self.secrets[number], behaviour.lies_in
        match duty:
            case CheckDealing(sidecar=name):
                return seat.check_dealing(secrets, duty, self.blobs[name])
            case MakeInputPart(sidecar=name):
                op = seat.make_part(secrets, duty, self.blobs[name])
                return replace(op, values=_spoiled(op.values)) if "part" in lies else op
            case Evaluate(job) | RevealEvaluation(job):
                digests, trace = self._compute(number, duty)
                if "evaluation" in lies:
                    digests = (H("octra.fhe.ct", b"a lie"), *digests[1:])
                salt = seat.salt(secrets.salt_secret, job)
                if isinstance(duty, RevealEvaluation):
                    return ops.EvaluationReveal(job, digests, trace, salt)
                return ops.EvaluationCommit(job, evaluation_commitment(job, secrets.node_id, digests, trace, salt))
            case CommitOpening() | RevealOpening():
                part = seat.opening_part(secrets, duty, [self._reencode(one) for one in duty.openings])
                part = _spoiled(part) if "opening" in lies else part
                if isinstance(duty, RevealOpening):
                    return seat.reveal_opening(secrets, duty, part)
                return seat.commit_opening(secrets, duty, part)

    def _compute(self, number: int, duty: Evaluate | RevealEvaluation) -> tuple[tuple[bytes, ...], bytes]:
        key = duty.job + bytes([number])
        if key not in self._done:
            _, evaluator = network()
            first, second = (self._operand(one) for one in duty.inputs)
            match Circuit(duty.circuit):
                case Circuit.DEBIT:
                    done = evaluate.evaluate_debit(evaluator, first, second, duty.job)  # type: ignore[arg-type]
                    names = ("spendable", "transferred")
                case Circuit.CREDIT:
                    done, names = evaluate.evaluate_credit(evaluator, first, second, duty.job), ("balance",)  # type: ignore[arg-type, assignment]
                case Circuit.DECRYPT:
                    done = evaluate.evaluate_withdraw(evaluator, first, second, duty.job)  # type: ignore[arg-type]
                    names = ("spendable", "ok")
            outputs = [wire.encode_packed(done.outputs[name]) for name in names]
            digests = tuple(H("octra.fhe.ct", output) for output in outputs)
            self.ciphertexts |= dict(zip(digests, outputs, strict=True))
            self._done[key] = digests, done.trace(self.secrets[number].node_id, duty.job)
        return self._done[key]

    @property
    def _done(self) -> dict[bytes, tuple[tuple[bytes, ...], bytes]]:
        return self.__dict__.setdefault("computed", {})

    def _operand(self, one: JobInput) -> object:
        match one:
            case ConstantInput(value):
                return value
            case DealtWord(_, digest):
                return wire.decode_entry(self.blobs[digest], GATE)
            case _:
                return wire.decode_packed(self.ciphertexts[one.digest], GATE)

    def _reencode(self, opening: Opening) -> U32Array:
        _, evaluator = network()
        bits = unpack(wire.decode_packed(self.ciphertexts[opening.digest], GATE))
        start = partial.start_group(opening.name, opening.attempt, TEST)
        return reencode(evaluator.backend, evaluator.key, bits, start)

    def view_value(self, key: object, handle: bytes) -> client.Opened:
        """What the owner reads with the shares that the seats sealed to him."""
        receipt = self.run(key, ops.ViewRequest((handle,), public_of(READER_SECRET)))  # type: ignore[arg-type]
        self.settle()
        request = load(self.view, keys.request(request_name(receipt.tx)), Request)
        assert request is not None
        boxes = {
            row.seat: row.data
            for key_, value in self.view.scan(keys.request(request.name), 99)
            if len(key_) == 34
            for row in [read(value, SeatBytes)]
        }
        return client.open_view(request, boxes, chain=CHAIN, reader_secret=READER_SECRET, seats=4)


def _spoiled(row: bytes) -> bytes:
    return bytes([row[0] ^ 1]) + row[1:]


@pytest.mark.parametrize("liar", [None, 0, 3])
def test_a_private_payment_is_evaluated_opened_by_its_receiver_and_decrypted(liar: int | None) -> None:
    chain = RealChain()
    if liar is not None:
        chain.behaviours = {liar: SeatBehaviour(lies_in=frozenset({"part", "evaluation", "opening"}))}
    chain.run(ALICE, ops.Encrypt(60_000_000))
    paid = chain.send_real(12_500_000)
    chain.settle()
    assert chain.final_status(paid) == ("ok", 0)
    assert chain.view_value(BOB, chain.private(BOB).incoming).values == (12_500_000,)
    opened = chain.view_value(ALICE, chain.private(ALICE).spendable)
    assert opened == client.Opened((47_500_000,), () if liar is None else (liar,))

    before = chain.balance(ALICE)
    receipt = chain.run(ALICE, ops.Decrypt(47_500_000))
    chain.settle()
    assert chain.final_status(receipt.tx) == ("ok", 0)
    assert chain.balance(ALICE) == before + 47_500_000 - receipt.fee_charged
    faults = [read(value, Fault) for _, value in chain.view.scan(b"\x18", 99)]
    assert {fault.seat for fault in faults} <= {liar}
    if liar is not None:
        assert {FaultKind.WRONG_INPUT_PART, FaultKind.WRONG_OPENING_SHARE} <= {fault.kind for fault in faults}


def test_an_amount_beyond_the_balance_or_beyond_every_balance_moves_nothing() -> None:
    chain = RealChain()
    chain.run(ALICE, ops.Encrypt(1_000))
    for amount in (1_001, 2**63):
        chain.send_real(amount)
    chain.settle()
    assert chain.view_value(BOB, chain.private(BOB).incoming).values == (0,)
    assert chain.view_value(ALICE, chain.private(ALICE).spendable).values == (1_000,)
    assert chain.supply().private_pool == 1_000


def test_values_other_than_bits_are_refused_by_the_real_check() -> None:
    from octra.consensus.ledger.params import ERA, SEAT_EPOCH
    from octra.consensus.ledger.sidecar import box_context, describe_dealing, input_id, pack_sidecar
    from octra.crypto.seal import seal
    from octra.hfhe.threshold import inputs

    chain = RealChain()
    chain.run(ALICE, ops.Encrypt(1_000))
    name = input_id(sender=ALICE.public, nonce=2, index=0, era=ERA, bits=50)
    dealt = inputs.deal_bits([2, *[0] * 49], 4, name, bytes([9]) * 32)
    boxes = [
        seal(one.view_key, body, box_context(CHAIN, name, number))
        for number, (one, body) in enumerate(zip(chain.params.seats, dealt.bodies, strict=True))
    ]
    op = ops.PrivateTransfer(address(BOB), describe_dealing(50, SEAT_EPOCH, dealt.leaves, boxes))
    tx = chain.submit(ALICE, op, sidecar=pack_sidecar(dealt.leaves, boxes))
    chain.settle()
    assert chain.final_status(tx) == ("failed", 2105)
    assert chain.events("input_failed")[0][1] == "the values are not bits"
    assert chain.handle(chain.private(ALICE).spendable).alias, "the balance is the one before"


def test_a_wallet_deals_to_the_seats_of_now_and_nobody_else_opens_its_boxes() -> None:
    chain = RealChain()
    chain.run(ALICE, ops.Encrypt(1_000))
    chain.secrets[1] = chain.secrets[2]  # seat 1 tries with another seat's key
    tx = chain.send_real(5)
    chain.settle()
    assert chain.final_status(tx) == ("ok", 0)
    (record,) = [value for _, value in chain.view.scan(b"\x0f", 9)]
    assert read(record, __import__("octra.consensus.ledger.records", fromlist=["DealtInput"]).DealtInput).off == (1,)


def test_too_few_shares_say_so() -> None:
    request = Request(bytes(32), bytes(32), bytes(32), bytes(32), ())
    with pytest.raises(NotEnough):
        client.open_view(request, {}, chain=CHAIN, reader_secret=READER_SECRET, seats=4)


@pytest.mark.parametrize(
    ("amount", "word"), [(0, 0), (2**50 - 1, 2**50 - 1), (2**50, 2**50 - 1), (2**63, 2**50 - 1), (10**15, 10**15)]
)
def test_an_amount_too_large_for_its_word_becomes_one_that_no_balance_covers(amount: int, word: int) -> None:
    assert client.amount_word(amount) == word
    assert client.AMOUNT_ABOVE_ALL > 10**15


def test_secrets_of_a_seat_neither_print_nor_pickle() -> None:
    import pickle

    secrets = RealChain().secrets[0]
    assert repr(secrets) == "<sealed>"
    with pytest.raises(TypeError):
        pickle.dumps(secrets)
