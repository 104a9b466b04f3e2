"""A seat's work on ciphertexts: checks dealings, evaluates jobs, gives shares of openings.

What is owed is read from the committed state after each block, so a restarted node goes on where the chain is. Salts
follow from the node's key: after a crash the same commitment is opened with the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from octra.codec import encode
from octra.consensus.ledger import ops, seat
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
from octra.consensus.ledger.jobs import evaluation_commitment, evaluation_digest
from octra.consensus.ledger.transition import clock_of
from octra.crypto.hash import H
from octra.errors import Corrupt, InvalidInput, Unavailable
from octra.hfhe.threshold.shares import SeatShare
from octra.node import home
from octra.node.actors.joint import JointRuns
from octra.node.actors.messages import Committed, EpochBegan, RootCertified, Submit
from octra.node.actors.ref import ActorCode, Context, RefusalCode
from octra.node.actors.workers import ProcessWorkers
from octra.node.chain import sign_node_op
from octra.node.evaluation import (
    Evaluated,
    EvaluateTask,
    KeyPlace,
    ReencodeTask,
    prepare_key,
    reencode_value,
    rows_of,
)
from octra.node.p2p.messages import EvaluatorMessage
from octra.node.p2p.short import Incoming
from octra.node.p2p.transport import Lane
from octra.node.parts import Parts
from octra.storage.kv import Batch, Family
from octra.storage.sign_log import SignKind

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
        self._workers = ProcessWorkers(1)
        self._busy: dict[bytes, int] = {}  # duty key -> height from which it may be started again
        self._results: dict[bytes, Evaluated] = {}
        self._reencoded: dict[bytes, bytes] = {}
        self._salt_secret = H("octra.seat.salts", parts.facts.keys.node.seed())
        self._secrets: seat.SeatSecrets | None = None

    async def start(self, context: Context) -> None:
        """Open the seat's share of the network key, if this node holds one."""
        self._context, self._mempool = context, context.ref(ActorCode.MEMPOOL)
        facts = self._facts
        if facts.seat is not None and (data := home.read_seat(facts.directory, facts.keys, 0)) is not None:
            self._secrets = seat.SeatSecrets(
                number=facts.seat,
                node_id=facts.keys.node_id,
                chain=facts.genesis.chain,
                view_secret=facts.keys.view_pair()[0],
                salt_secret=self._salt_secret,
                share=SeatShare.from_bytes(data, allow_insecure=facts.genesis.is_localnet),
            )
        key = facts.genesis.key
        self._key = KeyPlace(
            path=str((facts.directory / facts.config.fhe.evaluation_key).resolve()),
            digest=key.evaluation_digest,
            parameters=key.parameters,
            failure_bits=key.failure_bits,
            localnet=facts.genesis.is_localnet,
            threads=facts.config.fhe.workers,
        )
        self._runs = JointRuns(self._workers, self._key, context.spawn)
        head = self._stores.state.head
        self._height = head.height if head else 0
        if facts.seat is not None and (facts.config.fhe.evaluator or self._secrets is not None):
            context.spawn(self._prepare())
        self._look()

    async def _prepare(self) -> None:
        """Have the key ready before the first job needs it: seconds that its sender would wait for."""
        started_ms = self._context.clock.monotonic_ms()
        try:
            await self._workers.run(prepare_key, encode(self._key))
        except Unavailable:
            return  # the first job will start another process
        took_ms = self._context.clock.monotonic_ms() - started_ms
        self._context.log.info("evaluation key ready", ms=took_ms)

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
        """The operation that the duty asks for; None where this node holds no share or evaluates nothing."""
        if isinstance(duty, Evaluate | RevealEvaluation):
            return await self._evaluation(duty) if self._facts.config.fhe.evaluator else None
        if self._secrets is None:
            return None
        match duty:
            case CheckDealing():
                return seat.check_dealing(self._secrets, duty, self._blob(duty.sidecar))
            case MakeInputPart():
                return seat.make_part(self._secrets, duty, self._blob(duty.sidecar))
            case CommitOpening():
                return seat.commit_opening(self._secrets, duty, await self._opening_part(duty))
            case RevealOpening():
                return seat.reveal_opening(self._secrets, duty, await self._opening_part(duty))

    async def _submit(self, op: ops.Op) -> None:
        item = sign_node_op(self._facts, clock_of(self._stores.state).epoch, op)
        await self._mempool.ask(Submit(item), timeout_ms=SUBMIT_MS)

    # --- evaluations ---

    async def _evaluation(self, duty: Evaluate | RevealEvaluation) -> ops.Op:
        done = await self._evaluate(duty)
        digests = tuple(ciphertext_digest(output) for output in done.outputs)
        node_id, salt = self._facts.keys.node_id, seat.salt(self._salt_secret, duty.job)
        if isinstance(duty, RevealEvaluation):
            return ops.EvaluationReveal(duty.job, digests, done.trace, salt)
        # What was committed to once is never committed to otherwise, whatever this machine computes the next time.
        epoch = clock_of(self._stores.state).epoch
        self._stores.signed.reserve(SignKind.EVALUATION, epoch, 0, duty.job, evaluation_digest(digests), b"")
        return ops.EvaluationCommit(duty.job, evaluation_commitment(duty.job, node_id, digests, done.trace, salt))

    async def _evaluate(self, duty: Evaluate | RevealEvaluation) -> Evaluated:
        known = self._results.get(duty.job)
        if known is not None:
            return known
        operands = tuple([await self._operand(one) for one in duty.inputs])
        task = EvaluateTask(duty.circuit, operands, duty.job, self._facts.keys.node_id)
        started_ms = self._context.clock.monotonic_ms()
        done = await self._runs.evaluate(task)
        rows = Batch()
        for output in done.outputs:
            rows.put(Family.BLOB, ciphertext_digest(output), output)
        self._stores.kv.write(rows, durable=False)
        self._results[duty.job] = done
        _trim(self._results)
        took_ms = self._context.clock.monotonic_ms() - started_ms
        self._context.log.info("job evaluated", job=duty.job.hex()[:8], circuit=duty.circuit, ms=took_ms)
        return done

    async def _operand(self, one: JobInput) -> int | bytes:
        return one.value if isinstance(one, ConstantInput) else await self._ciphertext(one.digest)

    # --- openings ---

    async def _opening_part(self, duty: CommitOpening | RevealOpening) -> bytes:
        """This seat's shares of all values of a request: the same bytes whenever they are asked for."""
        assert self._secrets is not None
        reencoded = []
        for opening in duty.openings:
            rows = self._reencoded.get(opening.name)
            if rows is None:
                task = ReencodeTask(self._key, await self._ciphertext(opening.digest), opening.name, opening.attempt)
                rows = self._reencoded[opening.name] = await self._workers.run(reencode_value, encode(task))
                _trim(self._reencoded)
            reencoded.append(rows_of(rows, self._secrets.share.params))
        return seat.opening_part(self._secrets, duty, reencoded)

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

    def _blob(self, digest: bytes) -> bytes:
        """Sealed dealings lie in our own store since the block that ordered them."""
        data = self._stores.kv.get(Family.BLOB, digest)
        if data is None:
            raise MissingCiphertext("sealed dealing not found")
        return data


def ciphertext_digest(data: bytes) -> bytes:
    """The name of a ciphertext on the chain."""
    return H("octra.fhe.ct", data)


def _key_of(duty: Duty) -> bytes:
    """What makes two looks see the same duty."""
    attempts = tuple(opening.attempt for opening in duty.openings) if hasattr(duty, "openings") else ()
    subject = getattr(duty, "input", b"") or getattr(duty, "job", b"") or getattr(duty, "request", b"")
    return type(duty).__name__.encode() + subject + bytes(attempts)


def _trim(kept: dict[bytes, Any]) -> None:
    """Forget the oldest results; they can be computed again."""
    while len(kept) > KEEP_RESULTS:
        del kept[next(iter(kept))]
