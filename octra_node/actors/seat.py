"""A seat's work on ciphertexts: checks dealings, evaluates jobs, gives shares of openings.

What is owed is read from the committed state after each block, so a restarted node goes on where the chain is. Salts
follow from the node's key: after a crash the same commitment is opened with the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from octra.codec import decode, encode
from octra.consensus.ledger import ops
from octra.consensus.ledger.duties import (
    CheckDealing,
    CommitOpening,
    ConstantInput,
    Duty,
    Evaluate,
    JobInput,
    MakeInputPart,
    RevealEvaluation,
    RevealOpening,
    duties,
)
from octra.consensus.ledger.records import Opening
from octra.consensus.ledger.sidecar import Sidecar, box_context, share_context
from octra.consensus.ledger.transactions import NODE_OP_NONCE, build, sign
from octra.consensus.ledger.transition import clock_of
from octra.consensus.ledger.work import evaluation_commitment, evaluation_digest
from octra.crypto import seal
from octra.crypto.hash import H
from octra.errors import Corrupt, InvalidInput, Unavailable
from octra.hfhe.threshold import inputs, partial
from octra.hfhe.threshold.shares import SeatShare
from octra.node import home
from octra.node.actors.messages import Committed, EpochBegan, RootCertified, Submit
from octra.node.actors.ref import ActorCode, Context, RefusalCode
from octra.node.actors.workers import ProcessWorkers
from octra.node.evaluation import (
    Evaluated,
    EvaluateTask,
    KeyPlace,
    ReencodeTask,
    evaluate_job,
    reencode_value,
    rows_of,
)
from octra.node.p2p.messages import EvaluatorMessage
from octra.node.p2p.short import Incoming
from octra.node.p2p.transport import Lane
from octra.node.parts import Parts
from octra.storage.kv import Batch, Family
from octra.storage.sign_log import SignKind

OP_EXPIRY_EPOCHS = 64
ANSWER_AGAIN_HEIGHTS = 100  # an answer not ordered by then was lost with its batch
RETRY_HEIGHTS = 20  # a duty whose ciphertext was not to be had is tried again
FETCH_MS, SUBMIT_MS = 3_000, 10_000
FETCH_ROUNDS, FETCH_PAUSE_S = 5, 0.5
KEEP_RESULTS = 64


class MissingCiphertext(Unavailable):
    """No peer gave the bytes of a certified ciphertext yet."""


class DigestMismatch(Corrupt):
    """Bytes in our own store do not have the digest under which they lie."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """A duty was answered (or could not be, and may be tried again) as of a height."""

    duty: Duty
    retry_at: int


Message = Committed | EpochBegan | RootCertified | Incoming | _Answer


class SeatActor:
    """Does the duties of this node's seat, and serves ciphertext bytes to other nodes."""

    def __init__(self, parts: Parts) -> None:
        self._facts, self._stores, self._router = parts.facts, parts.stores, parts.router
        self._math = parts.math
        self._workers = ProcessWorkers(1)
        self._busy: dict[bytes, int] = {}  # duty key -> height from which it may be started again
        self._results: dict[bytes, Evaluated] = {}
        self._parts: dict[bytes, bytes] = {}
        self._share: SeatShare | None = None

    async def start(self, context: Context) -> None:
        """Open the seat's share of the network key, if this node holds one."""
        self._context, self._mempool = context, context.ref(ActorCode.MEMPOOL)
        facts = self._facts
        if facts.seat is not None and (data := home.read_seat(facts.directory, facts.keys, 0)) is not None:
            self._share = SeatShare.from_bytes(data, allow_insecure=facts.genesis.is_localnet)
        key = facts.genesis.key
        self._key = KeyPlace(
            path=str((facts.directory / facts.config.fhe.evaluation_key).resolve()),
            digest=key.evaluation_digest,
            parameters=key.parameters,
            failure_bits=key.failure_bits,
            localnet=facts.genesis.is_localnet,
            threads=facts.config.fhe.workers,
        )
        head = self._stores.state.head
        self._height = head.height if head else 0
        self._look()

    async def stop(self, deadline_ms: int) -> None:
        """End the evaluating process; what it computed for nothing is computed again."""
        await self._workers.stop()

    async def receive(self, batch: Sequence[Message]) -> None:
        """New blocks bring new duties; peers ask for bytes."""
        looked = False
        for message in batch:
            with self._context.guard(message):
                match message:
                    case Committed(height=height):
                        self._height, looked = height, True
                    case _Answer(duty, retry_at):
                        self._busy[_key_of(duty)] = retry_at
                    case Incoming():
                        self._serve(message)
                    case EpochBegan() | RootCertified():
                        pass
        if looked:
            self._look()

    # --- duties ---

    def _look(self) -> None:
        """Start what is owed and not already in hand."""
        if self._facts.seat is None:
            return
        owed = duties(self._stores.state, self._facts.seat, self._facts.params)
        keys = {_key_of(duty) for duty in owed}
        self._busy = {key: again for key, again in self._busy.items() if key in keys}
        for duty in owed:
            if self._height >= self._busy.get(_key_of(duty), 0):
                self._busy[_key_of(duty)] = 1 << 62
                self._context.spawn(self._do(duty))

    async def _do(self, duty: Duty) -> None:
        """Answer one duty; what the world does not allow now is tried again some blocks later."""
        again = self._height + ANSWER_AGAIN_HEIGHTS
        try:
            op = await self._answer(duty)
            if op is not None:
                await self._submit(op)
        except Unavailable as error:
            self._context.log.info("duty postponed", duty=type(duty).__name__, reason=type(error).__name__)
            again = self._height + RETRY_HEIGHTS
        except InvalidInput as error:
            # Somebody's bytes forbid it (a box not sealed to us): the chain goes on without this answer.
            self._context.log.warning("duty not possible", duty=type(duty).__name__, reason=type(error).__name__)
        self._context.ref(ActorCode.KEYSHARD).tell(_Answer(duty, again))

    async def _answer(self, duty: Duty) -> ops.Op | None:
        match duty:
            case CheckDealing():
                return self._check_dealing(duty)
            case MakeInputPart():
                return self._input_part(duty)
            case Evaluate():
                if not self._facts.config.fhe.evaluator:
                    return None
                return await self._commit_evaluation(duty)
            case RevealEvaluation():
                return await self._reveal_evaluation(duty)
            case CommitOpening():
                return await self._commit_opening(duty)
            case RevealOpening():
                return await self._reveal_opening(duty)

    async def _submit(self, op: ops.Op) -> None:
        facts = self._facts
        body = build(
            chain=facts.genesis.chain,
            sender=facts.keys.node.public,
            nonce=NODE_OP_NONCE,
            expiry_epoch=clock_of(self._stores.state).epoch + OP_EXPIRY_EPOCHS,
            fee=0,
            op=op,
        )
        await self._mempool.ask(Submit(sign(body, facts.keys.node)), timeout_ms=SUBMIT_MS)

    # --- dealt inputs ---

    def _check_dealing(self, duty: CheckDealing) -> ops.Op | None:
        """Masked check values of the own body; none when the box is not ours or not what its leaf says."""
        if self._share is None:
            return None
        body = self._open_body(duty.input, duty.bits, duty.sidecar)
        values = b"" if body is None else inputs.check_row(body, duty.bits, duty.input, duty.coin)
        return ops.DealCheck(duty.input, values)

    def _input_part(self, duty: MakeInputPart) -> ops.Op | None:
        body = self._open_body(duty.input, duty.bits, duty.sidecar)
        if self._share is None or body is None:
            return None
        return ops.InputPart(duty.input, inputs.input_part(self._share, body, duty.bits, duty.input))

    def _open_body(self, input_id: bytes, bits: int, sidecar_root: bytes) -> bytes | None:
        seat = self._facts.seat
        assert seat is not None
        data = self._stores.kv.get(Family.BLOB, sidecar_root)
        if data is None:
            return None
        sidecar = decode(data, Sidecar, "sidecar")
        context = box_context(self._facts.genesis.chain, input_id, seat)
        try:
            body = seal.open_box(self._facts.keys.view_pair()[0], sidecar.boxes[seat], context)
        except seal.BoxNotOpened:
            return None
        fits = len(body) == inputs.body_size(bits) and inputs.leaf(input_id, seat + 1, body) == sidecar.leaves[seat]
        return body if fits else None

    # --- evaluations ---

    async def _commit_evaluation(self, duty: Evaluate) -> ops.Op:
        done = await self._evaluate(duty)
        digests = tuple(ciphertext_digest(output) for output in done.outputs)
        epoch = clock_of(self._stores.state).epoch
        self._stores.signed.reserve(SignKind.EVALUATION, epoch, 0, duty.job, evaluation_digest(digests), b"")
        salt = self._salt(duty.job)
        commitment = evaluation_commitment(duty.job, self._facts.keys.node_id, digests, done.trace, salt)
        return ops.EvaluationCommit(duty.job, commitment)

    async def _reveal_evaluation(self, duty: RevealEvaluation) -> ops.Op:
        done = await self._evaluate(duty)
        digests = tuple(ciphertext_digest(output) for output in done.outputs)
        return ops.EvaluationReveal(duty.job, digests, done.trace, self._salt(duty.job))

    async def _evaluate(self, duty: Evaluate | RevealEvaluation) -> Evaluated:
        known = self._results.get(duty.job)
        if known is not None:
            return known
        operands = tuple([await self._operand(one) for one in duty.inputs])
        task = EvaluateTask(self._key, duty.circuit, operands, duty.job, self._facts.keys.node_id)
        started_ms = self._context.clock.monotonic_ms()
        done = decode(await self._workers.run(evaluate_job, encode(task)), Evaluated)
        rows = Batch()
        for output in done.outputs:
            rows.put(Family.BLOB, ciphertext_digest(output), output)
        self._stores.kv.write(rows, durable=False)
        self._results[duty.job] = done
        while len(self._results) > KEEP_RESULTS:
            del self._results[next(iter(self._results))]
        took_ms = self._context.clock.monotonic_ms() - started_ms
        self._context.log.info("job evaluated", job=duty.job.hex()[:8], circuit=duty.circuit, ms=took_ms)
        return done

    async def _operand(self, one: JobInput) -> int | bytes:
        return one.value if isinstance(one, ConstantInput) else await self._ciphertext(one.digest)

    # --- openings ---

    async def _commit_opening(self, duty: CommitOpening) -> ops.Op | None:
        part = await self._opening_part(duty.request, duty.openings)
        if part is None:
            return None
        assert self._facts.seat is not None
        salt = self._salt(duty.request)[: partial.SALT_SIZE]
        return ops.OpenCommit(duty.request, self._math.commitment(duty.request, self._facts.seat, salt, part))

    async def _reveal_opening(self, duty: RevealOpening) -> ops.Op | None:
        part = await self._opening_part(duty.request, duty.openings)
        if part is None:
            return None
        assert self._facts.seat is not None
        share = self._salt(duty.request)[: partial.SALT_SIZE] + part
        if duty.reader:
            context = share_context(self._facts.genesis.chain, duty.request, self._facts.seat)
            share = seal.seal(duty.reader, share, context)
        return ops.OpenShare(duty.request, share)

    async def _opening_part(self, request: bytes, openings: Sequence[Opening]) -> bytes | None:
        """This seat's shares of all values, one after the other. The same bytes whenever they are asked for."""
        if self._share is None:
            return None
        found = []
        for opening in openings:
            part = self._parts.get(opening.name)
            if part is None:
                task = ReencodeTask(self._key, await self._ciphertext(opening.digest), opening.name, opening.attempt)
                rows = rows_of(await self._workers.run(reencode_value, encode(task)), self._share.params)
                part = self._parts[opening.name] = partial.part(self._share, rows, opening.noise_index)
                while len(self._parts) > KEEP_RESULTS:
                    del self._parts[next(iter(self._parts))]
            found.append(part)
        return b"".join(found)

    # --- ciphertext bytes ---

    async def _ciphertext(self, digest: bytes) -> bytes:
        """Bytes of a ciphertext by its digest, from our store or from whoever computed it."""
        for _ in range(FETCH_ROUNDS):
            data = self._stores.kv.get(Family.BLOB, digest)
            if data is not None:
                if ciphertext_digest(data) != digest:
                    raise DigestMismatch(digest.hex())
                return data
            for peer in self._facts.committee.seats:
                if peer == self._facts.keys.node_id:
                    continue
                try:
                    data = await self._router.ask(
                        peer, ActorCode.EVALUATOR, EvaluatorMessage.FETCH_CIPHERTEXT, digest, timeout_ms=FETCH_MS
                    )
                except Unavailable:
                    continue
                if ciphertext_digest(data) == digest:
                    rows = Batch()
                    rows.put(Family.BLOB, digest, data)
                    self._stores.kv.write(rows, durable=False)
                    return data
            await asyncio.sleep(FETCH_PAUSE_S)
        raise MissingCiphertext("ciphertext not found at any peer")

    def _serve(self, message: Incoming) -> None:
        if message.message != EvaluatorMessage.FETCH_CIPHERTEXT or message.lane is not Lane.REQUEST:
            message.refuse(RefusalCode.UNKNOWN)
            return
        data = self._stores.kv.get(Family.BLOB, message.body)
        if data is None:
            message.refuse(RefusalCode.NOT_FOUND)
        else:
            message.reply(data)

    def _salt(self, subject: bytes) -> bytes:
        """32 secret bytes for one commitment, the same after a restart."""
        return H("octra.seat.salt", self._facts.keys.node.seed(), subject)


def ciphertext_digest(data: bytes) -> bytes:
    """The name of a ciphertext on the chain."""
    return H("octra.fhe.ct", data)


def _key_of(duty: Duty) -> bytes:
    """What makes two looks see the same duty."""
    attempts = tuple(opening.attempt for opening in duty.openings) if hasattr(duty, "openings") else ()
    subject = getattr(duty, "input", b"") or getattr(duty, "job", b"") or getattr(duty, "request", b"")
    return type(duty).__name__.encode() + subject + bytes(attempts)
