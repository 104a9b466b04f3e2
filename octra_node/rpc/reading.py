"""Reading a node's store at one height: blocks, transactions and the ledger's records, found by their keys."""

from __future__ import annotations

from collections.abc import Iterator

from octra.circles.identity import origin_label
from octra.circles.manifest import decode as decode_manifest
from octra.codec import decode
from octra.consensus.batch import Batch as BatchFrame
from octra.consensus.batch import items_of
from octra.consensus.certificate import BlockHeader
from octra.consensus.ledger import keys
from octra.consensus.ledger.legacy import LegacyText
from octra.consensus.ledger.receipts import Receipt, Settlement
from octra.consensus.ledger.records import (
    Account,
    CircleRecord,
    Clock,
    Handle,
    Job,
    Private,
    Request,
    SeatBytes,
    Supply,
)
from octra.consensus.ledger.state import load, read
from octra.consensus.ledger.transactions import SignedLegacy, Unchecked, decode_item
from octra.errors import InvalidInput
from octra.node.installing import Origin, origin_of
from octra.node.rpc.facts import CircleFacts, EpochFacts, Fate, HeightFacts, Level, TransactionFacts
from octra.primitives import address_of
from octra.storage.blocks import BlockReader, CertificateKind, CommitRow, TxPlace
from octra.storage.kv import Family, ReadView, u64
from octra.storage.state import Proven, StateReader
from octra.storage.tree.path import GLOBAL_TREE

RECENT_HEIGHTS_MAX = 5_000  # blocks that a search for recent transactions walks over: 50 ms


class StoredView:
    """A node's store as of one height. `certified` and `checkpointed` are the highest heights of those levels."""

    def __init__(self, rows: ReadView, *, certified: int, checkpointed: int, state: StateReader | None = None) -> None:
        self._rows = rows
        self.state = StateReader(rows) if state is None else state
        self.blocks = BlockReader(rows)
        self.certified, self.checkpointed = certified, checkpointed

    # --- where the chain is ---

    @property
    def height(self) -> int:
        """The newest stored height; 0 is the genesis."""
        head = self.state.head
        return 0 if head is None else head.height

    @property
    def origin(self) -> Origin | None:
        """Where the blocks of this node begin; None: at genesis."""
        return origin_of(self._rows)

    @property
    def state_root(self) -> bytes:
        """Root of the state at that height."""
        head = self.state.head
        return bytes(32) if head is None else head.state_root

    @property
    def clock(self) -> Clock | None:
        """Agreed time, round and epoch; `None` before the genesis is stored."""
        return load(self.state, keys.CLOCK, Clock)

    @property
    def epoch_now(self) -> int:
        """The epoch of the newest height."""
        clock = self.clock
        return 0 if clock is None else clock.epoch

    def level_of(self, height: int) -> Level:
        """How final a stored height is."""
        if height <= self.checkpointed:
            return Level.CHECKPOINTED
        return Level.CERTIFIED if height <= self.certified else Level.ORDERED

    # --- blocks ---

    def block(self, height: int) -> HeightFacts | None:
        """The block of a height; the genesis has none."""
        row = self.blocks.commit(height)
        return None if row is None else self._block(row)

    def latest_blocks(self, limit: int, before: int | None = None) -> list[HeightFacts]:
        """The newest blocks first."""
        return [self._block(row) for _, row in self.blocks.latest_commits(limit, before=before)]

    def epoch(self, number: int) -> EpochFacts | None:
        """An epoch that has at least one block, found by bisection of the heights: epochs never go back."""
        first, end = self._first_of_epoch(number), self._first_of_epoch(number + 1)
        if first is None:
            return None
        last = self.height if end is None else end - 1
        opening, closing = self.block(first), self.block(last)
        assert opening is not None
        assert closing is not None
        if opening.epoch != number:
            return None
        count = sum(self._block(row).transactions for _, row in self.blocks.commits(first, last))
        signed = self.blocks.certificates(CertificateKind.CHECKPOINT, first_epoch=number, limit=1)
        checkpoint = signed[0][2] if signed and signed[0][0] == number else None
        return EpochFacts(number, first, last, opening.time_ms, closing.time_ms, count, end is not None, checkpoint)

    def transactions_in(self, height: int) -> list[TransactionFacts]:
        """The executed transactions of a height, in order, without the seats' own operations."""
        commit = self.blocks.commit(height)
        if commit is None:
            return []
        items = {unchecked.id: unchecked for unchecked in self._items(commit)}
        found = []
        for _, data in self.blocks.receipts(height):
            receipt = decode(data, Receipt)
            unchecked = items.get(receipt.tx)
            if unchecked is not None and not unchecked.content.op.node_op:
                found.append(self._executed(unchecked, receipt))
        return found

    def receipts(self, height: int) -> list[Receipt]:
        """The receipts of everything that a height executed, in order: their ids are under its transaction root."""
        return [decode(data, Receipt) for _, data in self.blocks.receipts(height)]

    def settlements(self, height: int) -> list[Settlement]:
        """The settlements of a height: with its receipts they are under its receipts root."""
        data = self._rows.get(Family.SETTLEMENT, u64(height))
        return [] if data is None else decode(data, list[Settlement])

    # --- transactions ---

    def transaction(self, tx_id: bytes) -> TransactionFacts | None:
        """An executed transaction."""
        place = self.blocks.transaction_place(tx_id)
        if place is None:
            return None
        data, commit = self.blocks.receipt(place.height, place.index), self.blocks.commit(place.height)
        if data is None or commit is None:
            return None
        unchecked = self._item_at(place)
        if unchecked is None or unchecked.id != tx_id:
            unchecked = next((item for item in self._items(commit) if item.id == tx_id), None)
        return None if unchecked is None else self._executed(unchecked, decode(data, Receipt))

    def recent_transactions(
        self, limit: int, before: int | None = None, heights_max: int = RECENT_HEIGHTS_MAX
    ) -> tuple[list[TransactionFacts], int | None]:
        """Whole heights, newest first, until `limit` transactions are found or so many heights were looked at.

        With it the height to go on below, or `None` at the beginning of the chain.
        """
        found: list[TransactionFacts] = []
        height = None
        for height, commit in self.blocks.latest_commits(heights_max, before=before):
            if _header(commit).tx_count:
                found += reversed(self.transactions_in(height))
            if len(found) >= limit:
                break
        return found, height if height is not None and height > 1 else None

    def transactions_of(
        self, address: bytes, limit: int, before: tuple[int, int] | None = None
    ) -> list[tuple[int, int, TransactionFacts]]:
        """(height, index, transaction) of an account, newest height first."""
        rows = self.blocks.account_transactions(address, limit, before=before)
        found = ((height, index, self.transaction(tx_id)) for height, index, tx_id in rows)
        return [(height, index, facts) for height, index, facts in found if facts is not None]

    # --- state ---

    def account(self, address: bytes) -> Account | None:
        """A public balance with its nonces."""
        return load(self.state, keys.account(address), Account)

    def private(self, address: bytes) -> Private | None:
        """The handles of an encrypted balance."""
        return load(self.state, keys.private(address), Private)

    def handle(self, name: bytes) -> Handle | None:
        """An encrypted value."""
        return load(self.state, keys.handle(name), Handle)

    def job(self, name: bytes) -> Job | None:
        """An evaluation job."""
        return load(self.state, keys.job(name), Job)

    def request(self, name: bytes) -> Request | None:
        """A request to open values."""
        return load(self.state, keys.request(name), Request)

    def shares(self, name: bytes) -> list[tuple[int, bytes]]:
        """(seat, share) of an opening: in clear when it is public, else sealed to the reader."""
        prefix = keys.request(name)
        rows = (value for key, value in self.state.scan(prefix, 256) if len(key) > len(prefix))
        return [(share.seat, share.data) for share in (read(value, SeatBytes) for value in rows)]

    def supply(self) -> Supply | None:
        """Where all money is."""
        return load(self.state, keys.SUPPLY, Supply)

    def blob(self, digest: bytes) -> bytes | None:
        """A ciphertext or sealed dealing that the state names."""
        return self._rows.get(Family.BLOB, digest)

    def circle(self, circle: bytes) -> CircleFacts | None:
        """The public part of a Circle."""
        record = load(self.state, keys.circle(circle), CircleRecord)
        if record is None:
            return None
        balance = self.account(circle)
        title, version, limit, methods = _manifest(self.state.get(keys.circle_manifest(circle)))
        return CircleFacts(
            record=record,
            title=title,
            version=version,
            balance=0 if balance is None else balance.balance,
            max_stable_bytes=limit,
            methods=methods,
            callable=self.height >= record.active_from,
            label=origin_label(circle),
        )

    def circles(self, limit: int, after: bytes = b"") -> list[CircleFacts]:
        """Circles by id. Jumps from record to record, past the manifests and files between them."""
        lower, upper = GLOBAL_TREE + keys.circle(after), GLOBAL_TREE + b"\x0c"
        if after:
            lower += b"\xff"
        found: list[CircleFacts] = []
        while len(found) < limit:
            row = next(self._rows.scan(Family.STATE, lower, upper, limit=1), None)
            if row is None:
                break
            circle = row[0][33:66]
            lower = GLOBAL_TREE + keys.circle(circle) + b"\xff"
            if (facts := self.circle(circle)) is not None:
                found.append(facts)
        return found

    def prove(self, key: bytes, height: int) -> Proven:
        """A state value with its proof at a retained height."""
        return self.state.prove(key, height)

    # --- inside ---

    def _block(self, row: CommitRow) -> HeightFacts:
        header = _header(row)
        return HeightFacts(
            height=header.height,
            block_id=header.block_id,
            epoch=header.epoch,
            time_ms=header.time_ms,
            leader=header.leader,
            parent=header.parent,
            state_root=header.state_root,
            tx_root=header.tx_root,
            receipts_root=header.receipts_root,
            transactions=header.tx_count,
            level=self.level_of(header.height),
        )

    def _first_of_epoch(self, number: int) -> int | None:
        """The first height whose epoch is at least `number`."""
        low, high = self._oldest(), self.height + 1
        while low < high:
            middle = (low + high) // 2
            block = self.block(middle)
            if block is not None and block.epoch >= number:
                high = middle
            else:
                low = middle + 1
        return low if low <= self.height and self.block(low) else None

    def _oldest(self) -> int:
        return next((height for height, _ in self.blocks.commits(0, self.height)), 1)

    def _item_at(self, place: TxPlace) -> Unchecked | None:
        """The transaction at a place, right unless the block skipped one before it."""
        found = self.blocks.transaction_batch(place)
        data = None if found is None else self.blocks.batch(found[0])
        if found is None or data is None:
            return None
        try:
            return decode_item(items_of(decode(data, BatchFrame))[found[1]])
        except (InvalidInput, IndexError):
            return None

    def _items(self, commit: CommitRow) -> Iterator[Unchecked]:
        """Every transaction of a commit's batches whose bytes are still held."""
        for batch_id, _ in commit.batches:
            data = self.blocks.batch(batch_id)
            if data is None:
                continue
            for item in items_of(decode(data, BatchFrame)):
                try:
                    yield decode_item(item)
                except InvalidInput:
                    break  # a batch with a malformed transaction is void

    def _executed(self, unchecked: Unchecked, receipt: Receipt) -> TransactionFacts:
        block = self.block(receipt.height)
        data = self._rows.get(Family.SETTLEMENT, receipt.tx)
        settlement = None if data is None else decode(data, Settlement)
        return transaction_facts(
            unchecked,
            level=self.level_of(receipt.height if settlement is None else settlement.height),
            height=receipt.height,
            epoch=None if block is None else block.epoch,
            time_ms=None if block is None else block.time_ms,
            receipt=receipt,
            settlement=settlement,
        )


def transaction_facts(
    unchecked: Unchecked,
    *,
    level: Level = Level.PENDING,
    height: int | None = None,
    epoch: int | None = None,
    time_ms: int | None = None,
    receipt: Receipt | None = None,
    settlement: Settlement | None = None,
    fate: Fate | None = None,
) -> TransactionFacts:
    """The facts of a transaction's bytes, with what is known about its way."""
    content, signed = unchecked.content, unchecked.signed
    sender_key = signed.public_key if isinstance(signed, SignedLegacy) else content.sender  # type: ignore[union-attr]
    return TransactionFacts(
        id=unchecked.id,
        item=unchecked.item,
        op=content.op,
        sender=address_of(sender_key),
        sender_key=sender_key,
        signature=signed.signature,
        nonce=content.nonce,
        fee=content.fee,
        expiry_epoch=None if isinstance(content, LegacyText) else content.expiry_epoch,
        timestamp=content.timestamp if isinstance(content, LegacyText) else None,
        level=level,
        height=height,
        epoch=epoch,
        time_ms=time_ms,
        receipt=receipt,
        settlement=settlement,
        fate=fate,
    )


def _header(row: CommitRow) -> BlockHeader:
    return decode(row.header, BlockHeader)


def _manifest(data: bytes | None) -> tuple[str, str, int, dict[str, str]]:
    """Title, version, state limit and methods; a legacy Circle may have no manifest that this node reads."""
    if data is None:
        return "", "", 0, {}
    try:
        manifest = decode_manifest(data)
    except InvalidInput:
        return "", "", 0, {}
    methods = {name: str(entry.kind) for name, entry in sorted(manifest.methods.items())}
    return manifest.circle.name, manifest.circle.version, manifest.limits.max_stable_bytes, methods
