"""Serves proofs and checkpoints to others, and gathers the votes that make a checkpoint."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence

from octra.codec import decode, encode
from octra.consensus.certificate import BlockHeader
from octra.consensus.checkpoint import (
    VERSION,
    Checkpoint,
    CheckpointBody,
    assemble_checkpoint,
    good_parts,
    is_enough,
    registered_root,
    sign_checkpoint,
)
from octra.consensus.genesis import Genesis
from octra.consensus.ledger import ops
from octra.consensus.ledger.transition import clock_of
from octra.crypto.hash import H
from octra.errors import OctraError
from octra.node.actors.messages import Committed, EpochBegan, Submit
from octra.node.actors.ref import ActorCode, Context, PeerTimeout, RefusalCode, Refused
from octra.node.chain import genesis_record, registered_of, sign_node_op
from octra.node.p2p.messages import CheckpointVote, LatestAnswer, ProofRequest, SyncMessage, ValidatorVote
from octra.node.p2p.short import Incoming
from octra.node.p2p.transport import Lane
from octra.node.parts import Parts
from octra.node.rpc import proofs
from octra.node.rpc.reading import StoredView
from octra.node.validating import CoinDuties, Votes
from octra.storage.blocks import CertificateKind
from octra.storage.kv import Batch
from octra.storage.sign_log import SignKind

SUBMIT_MS = 10_000
CERTIFICATES_LOOKED_AT = 8
VOTES_MAX = 64  # bodies whose votes are kept: a few epochs, and what liars send
VOTE_AGAIN_HEIGHTS = 20
EPOCHS_VOTED_AGAIN = 2  # a vote may have been lost with a link

Message = Committed | EpochBegan | Incoming


class SyncActor:
    """The side of a full node that light nodes talk to."""

    def __init__(self, parts: Parts) -> None:
        self._facts, self._stores, self._router, self._board = parts.facts, parts.stores, parts.router, parts.board
        self._registered = registered_of(parts.facts.genesis)
        self._record = genesis_record(parts.facts.genesis)
        nodes = [validator.node for validator in self._registered]
        own = parts.facts.keys.node_id
        self._index = nodes.index(own) if own in nodes else None
        self._votes: dict[bytes, dict[int, bytes]] = {}  # body -> index in the registered set -> signature
        self._own: dict[int, CheckpointVote] = {}  # epoch -> what was sent
        seating, keys = parts.seating, parts.facts.keys
        self._coins = None if seating.holder is None else CoinDuties(seating.holder)
        self._signing = Votes(keys.node_id, keys.checkpoint) if seating.drawn else None

    async def start(self, context: Context) -> None:
        """Old checkpoints are in the store."""
        self._context, self._mempool = context, context.ref(ActorCode.MEMPOOL)
        latest = self._stores.blocks.latest_certificates(CertificateKind.CHECKPOINT)
        self._board.checkpointed = latest[0][1] if latest else 0

    async def stop(self, deadline_ms: int) -> None:
        """Nothing to put down."""

    async def receive(self, batch: Sequence[Message]) -> None:
        """Questions of peers, and news of this node's own ledger."""
        for message in batch:
            with self._context.guard(message):
                match message:
                    case EpochBegan(epoch, close_height):
                        if self._signing is None:
                            self._vote(epoch - 1, close_height)
                        else:
                            self._vote_drawn(self._signing, epoch)
                    case Incoming():
                        self._incoming(message)
                    case Committed(height=height):
                        self._validate(height)

    # --- where committees are drawn ---

    def _validate(self, height: int) -> None:
        """Say what this node owes to coins; repeat a vote that no checkpoint has followed."""
        if self._coins is None or self._signing is None:
            return
        for op in self._coins.due(self._stores.state, height):
            self._context.spawn(self._say(op))
        if height % VOTE_AGAIN_HEIGHTS == 0 and self._signing.latest is not None:
            body, signature = self._signing.latest
            self._tell_vote(body, signature)

    def _vote_drawn(self, signing: Votes, epoch: int) -> None:
        """Sign the close below the epoch that has begun, once, and tell everybody."""
        vote = signing.vote(self._stores.state, epoch)
        if vote is None:
            return
        body, signature = vote
        data = encode(body)
        self._stores.signed.reserve(
            SignKind.CHECKPOINT, body.epoch, 0, self._facts.committee.anchor, H("octra.checkpoint", data), data
        )
        self._tell_vote(body, signature)
        self._take_vote(signing, ValidatorVote(data, self._facts.keys.node_id, signature))

    def _tell_vote(self, body: CheckpointBody, signature: bytes) -> None:
        vote = ValidatorVote(encode(body), self._facts.keys.node_id, signature)
        self._router.broadcast(Lane.REQUEST, ActorCode.SYNC, SyncMessage.VALIDATOR_VOTE, encode(vote))

    def _take_vote(self, signing: Votes, vote: ValidatorVote) -> None:
        body = decode(vote.body, CheckpointBody)
        checkpoint = signing.take(self._stores.state, body, vote.node, vote.signature)
        if checkpoint is not None and body.height > self._board.checkpointed:
            self._keep(checkpoint)
            if self._facts.keys.checkpoint is not None:
                self._context.spawn(self._say(ops.Checkpoint(checkpoint)))

    async def _say(self, op: ops.Op) -> None:
        """Send a node operation; one that is lost is due again some blocks later."""
        item = sign_node_op(self._facts, clock_of(self._stores.state).epoch, op)
        with contextlib.suppress(OctraError):
            await self._mempool.ask(Submit(item), timeout_ms=SUBMIT_MS)

    # --- checkpoints ---

    def _vote(self, epoch: int, close_height: int) -> None:
        """Sign the state at the close of an epoch, once; and say again what the last epochs may have lost."""
        row = self._stores.blocks.commit(close_height)
        secret = self._facts.keys.checkpoint
        if row is None or secret is None or self._index is None:
            return
        header = decode(row.header, BlockHeader)
        body = CheckpointBody(
            version=VERSION,
            chain_id=header.chain_id,
            epoch=epoch,
            height=header.height,
            block_id=header.block_id,
            state_root=header.state_root,
            epoch_record=self._record.id,
            registered_root=registered_root(self._registered),
            registered_count=len(self._registered),
        )
        data = encode(body)
        self._stores.signed.reserve(
            SignKind.CHECKPOINT, epoch, 0, self._facts.committee.anchor, H("octra.checkpoint", data), data
        )
        self._own[epoch] = CheckpointVote(data, self._index, sign_checkpoint(secret, body))
        self._count(self._own[epoch], self._facts.keys.node_id)
        for recent in range(epoch - EPOCHS_VOTED_AGAIN, epoch + 1):
            if recent in self._own:
                self._router.broadcast(
                    Lane.REQUEST, ActorCode.SYNC, SyncMessage.CHECKPOINT_VOTE, encode(self._own[recent])
                )

    def _count(self, vote: CheckpointVote, sender: bytes) -> None:
        """Keep a validator's vote; more than two thirds of all registered ones make the checkpoint.

        Votes are checked together once they would be enough. As each comes from its validator itself, a bad one takes
        the place of nobody else's.
        """
        body = decode(vote.body, CheckpointBody)
        votes = self._votes.setdefault(vote.body, {})
        if vote.seat in votes or not 0 <= vote.seat < len(self._registered) or body.height <= self._board.checkpointed:
            return
        if sender != self._registered[vote.seat].node:
            return
        votes[vote.seat] = vote.signature
        while len(self._votes) > VOTES_MAX:
            del self._votes[next(iter(self._votes))]
        if not is_enough(len(votes), len(self._registered)) or not self._is_ours(body):
            return
        good = good_parts(body, self._registered, votes)
        if is_enough(len(good), len(self._registered)):
            self._keep(assemble_checkpoint(body, self._registered, good))
        else:
            self._votes[vote.body] = good

    def _is_ours(self, body: CheckpointBody) -> bool:
        """Only what this node has executed itself becomes its checkpoint."""
        row = self._stores.blocks.commit(body.height)
        return row is not None and decode(row.header, BlockHeader).block_id == body.block_id

    def _keep(self, checkpoint: Checkpoint) -> None:
        body = checkpoint.body
        rows = Batch()
        data = encode(checkpoint)
        self._stores.blocks.put_certificate(rows, CertificateKind.CHECKPOINT, body.epoch, body.height, data)
        self._stores.writes.submit(rows, durable=False)
        self._board.checkpointed = max(self._board.checkpointed, body.height)
        self._board.notify()
        self._context.log.info("checkpoint", epoch=body.epoch, height=body.height)

    # --- questions of others ---

    def _incoming(self, message: Incoming) -> None:
        match message.message:
            case SyncMessage.CHECKPOINT_VOTE:
                self._count(decode(message.body, CheckpointVote), message.peer)
            case SyncMessage.VALIDATOR_VOTE if self._signing is not None:
                self._take_vote(self._signing, decode(message.body, ValidatorVote))
            case SyncMessage.LATEST:
                self._latest(message)
            case SyncMessage.PROVE:
                self._prove(message)
            case SyncMessage.SUBMIT:
                self._context.spawn(self._submit(message))
            case _:
                message.refuse(RefusalCode.UNKNOWN)

    def _latest(self, message: Incoming) -> None:
        """The newest block that this node has both executed and a certificate for."""
        blocks = self._stores.blocks
        for _, height, certificate in blocks.latest_certificates(
            CertificateKind.CERTIFICATE, limit=CERTIFICATES_LOOKED_AT
        ):
            row = blocks.commit(height)
            if row is not None:
                checkpoints = blocks.latest_certificates(CertificateKind.CHECKPOINT)
                checkpoint = checkpoints[0][2] if checkpoints else b""
                message.reply(encode(LatestAnswer(row.header, certificate, checkpoint)))
                return
        message.refuse(RefusalCode.NOT_FOUND, "nothing is certified yet")

    def _prove(self, message: Incoming) -> None:
        request = decode(message.body, ProofRequest)
        with self._stores.kv.view() as rows:
            view = StoredView(rows, certified=self._board.certified, checkpointed=self._board.checkpointed)
            try:
                found = proofs.document(self, view, request.kind, request.name)
            except OctraError as error:
                message.refuse(RefusalCode.NOT_FOUND, str(error))
            else:
                message.reply(json.dumps(found).encode())

    @property
    def genesis(self) -> Genesis:
        """For proofs."""
        return self._facts.genesis

    def certificate(self, height: int) -> bytes | None:
        """For proofs: the certificate of exactly that height, if this node saw one."""
        return self._stores.blocks.certificate(CertificateKind.CERTIFICATE, 0, height)

    async def _submit(self, message: Incoming) -> None:
        """A light node's transaction goes the way of every other."""
        try:
            message.reply(await self._mempool.ask(Submit(message.body), timeout_ms=SUBMIT_MS))
        except (Refused, PeerTimeout) as error:
            message.refuse(RefusalCode.BUSY, str(error))
        except OctraError as error:
            message.refuse(RefusalCode.INVALID, f"OCT-{error.oct_code}: {error}")
