"""Serves proofs and checkpoints to others, and gathers the votes that make a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

from octra.codec import decode, encode
from octra.errors import OctraError
from octra.node.actors.messages import Committed, EpochBegan, RootCertified, Submit
from octra.node.actors.ref import ActorCode, Context, PeerTimeout, RefusalCode, Refused
from octra.node.p2p.messages import LatestAnswer, ProofAnswer, ProofRequest, SyncMessage
from octra.node.p2p.short import Incoming
from octra.node.parts import Parts
from octra.storage.blocks import CertificateKind

SUBMIT_MS = 10_000
CERTIFICATES_LOOKED_AT = 8

Message = Committed | EpochBegan | RootCertified | Incoming


class SyncActor:
    """The side of a full node that light nodes talk to."""

    def __init__(self, parts: Parts) -> None:
        self._facts, self._stores, self._router = parts.facts, parts.stores, parts.router
        self.certified_height = 0
        self.checkpointed_height = 0

    async def start(self, context: Context) -> None:
        """What was certified before is in the store."""
        self._context, self._mempool = context, context.ref(ActorCode.MEMPOOL)
        latest = self._stores.blocks.latest_certificates(CertificateKind.CERTIFICATE)
        self.certified_height = latest[0][1] if latest else 0

    async def stop(self, deadline_ms: int) -> None:
        """Nothing to put down."""

    async def receive(self, batch: Sequence[Message]) -> None:
        """Questions of peers, and news of this node's own ledger."""
        for message in batch:
            with self._context.guard(message):
                match message:
                    case RootCertified(height):
                        self.certified_height = max(height, self.certified_height)
                    case Incoming():
                        self._incoming(message)
                    case Committed() | EpochBegan():
                        pass

    def _incoming(self, message: Incoming) -> None:
        match message.message:
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
        proven = self._stores.state.prove(request.key, request.height)
        message.reply(encode(ProofAnswer(proven.value, encode(proven.proof))))

    async def _submit(self, message: Incoming) -> None:
        """A light node's transaction goes the way of every other."""
        try:
            message.reply(await self._mempool.ask(Submit(message.body), timeout_ms=SUBMIT_MS))
        except (Refused, PeerTimeout) as error:
            message.refuse(RefusalCode.BUSY, str(error))
        except OctraError as error:
            message.refuse(RefusalCode.INVALID, f"OCT-{error.oct_code}: {error}")
