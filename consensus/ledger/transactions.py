"""Transactions: signed bytes to checked values and back.

Three steps, each a function: `decode_item` (syntax), `admit` (every rule that depends on the bytes, the chain and the
epoch alone), and execution, which is `transition`. Only `admit` makes a `Transaction`; nothing behind it checks again.
An item of a batch is the signed wire form, followed by the sidecar if the operation deals an input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress, islice
from operator import not_
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from octra.codec import decode, encode
from octra.consensus.batch import Items, frame, joined_frame
from octra.consensus.epoch import DRAWN_RULES
from octra.consensus.ledger import fees, native, ops
from octra.consensus.ledger.errors import (
    BadSignature,
    Expired,
    FeeTooLow,
    InvalidOp,
    LegacyDisabled,
    SelfTransfer,
    TooLarge,
    Unsupported,
    WrongChain,
)
from octra.consensus.ledger.legacy import LegacyText, parse_legacy
from octra.consensus.ledger.points import is_usable_reader, is_usable_signer
from octra.consensus.ledger.registration import check_registration
from octra.consensus.ledger.sidecar import check_sidecar
from octra.crypto import ed25519
from octra.crypto.hash import H, tag16
from octra.errors import InvalidInput, Malformed
from octra.primitives import AMOUNT_MAX, Address, address_of

TAG: Final = "octra.tx.v2"
VERSION: Final = 2
_SIGNED_TAG: Final = tag16(TAG)
ITEM_BYTES_MAX: Final = 200 * 1_024  # a batch holds 256 KiB
EXPIRY_EPOCHS_MAX: Final = 1_024
NONCE_WINDOW: Final = 64
ANY_TRANSFER: Final = ops.Transfer(bytes(32), 1)  # all transfers have one price
NODE_OP_NONCE: Final = 1  # node operations are unique by task, not by nonce

Nonce = Annotated[int, Meta(ge=1, le=2**60 - 1)]


class Body(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The signed part of a transaction of version 2. Read the specification before you change a field."""

    version: int
    chain: ops.Bytes32
    sender: ops.Bytes32  # Ed25519 public key
    nonce: Nonce
    expiry_epoch: ops.Index
    fee: ops.AmountOrZero  # a ceiling, in units
    sponsor: Annotated[bytes, Meta(max_length=0)]  # sponsored fees are not enabled yet
    op: ops.Op


class Signed(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The wire form of version 2. Signatures are not part of the id, so nobody else can change an id."""

    body: bytes
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]
    sponsor_signature: Annotated[bytes, Meta(max_length=0)] = b""


class SignedLegacy(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The wire form of the JSON transactions that existing Octra wallets sign."""

    text: bytes
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]
    public_key: ops.Bytes32
    version: Annotated[int, Meta(ge=1, le=1)] = 1


@dataclass(frozen=True, slots=True)
class StaticRules:
    """What static validity depends on besides the bytes: facts of the chain and of one epoch."""

    chain: bytes
    epoch: int | None  # None: leave expiry to execution, since the seats' epochs differ by one at times
    prices: tuple[fees.Prices, ...]  # of this epoch and the last: the lower minimum counts
    seats: int
    legacy_signing: bool = False
    rules_version: int = 1

    def minimum_fee(self, op: ops.Op) -> int:
        """The smallest fee that `admit` accepts for `op`."""
        return min([fees.minimum_fee(op, prices) for prices in self.prices])


class Unchecked(Struct, frozen=True):
    """A transaction whose syntax is right and nothing else."""

    id: bytes  # of the body, or the legacy hash
    item: bytes
    signed: Signed | SignedLegacy
    content: Body | LegacyText
    sidecar: bytes


class Transaction(Struct, frozen=True):
    """A statically valid transaction. Only `admit` makes one."""

    id: bytes
    item: bytes
    sidecar: bytes
    sender_key: bytes
    sender: Address
    nonce: int
    fee: int
    op: ops.Op
    expiry_epoch: int | None  # None: legacy
    timestamp_ms: int | None  # None: version 2

    @property
    def legacy(self) -> bool:
        """Was it signed in the legacy form?"""
        return self.expiry_epoch is None


def build(*, chain: bytes, sender: bytes, nonce: int, expiry_epoch: int, fee: int, op: ops.Op) -> bytes:
    """Body bytes ready to sign; raises `Malformed` where a field breaks its rule."""
    body = encode(Body(VERSION, chain, sender, nonce, expiry_epoch, fee, b"", op))
    decode_body(body)
    return body


def transaction_id(body: bytes) -> bytes:
    """The id of body bytes."""
    return H(TAG, body)


def signed_bytes(body: bytes) -> bytes:
    """What the Ed25519 signature covers."""
    return _SIGNED_TAG + body


def sign(body: bytes, key: ed25519.SigningKey) -> bytes:
    """The wire form of a body, signed by `key`."""
    return encode(Signed(body, key.sign(signed_bytes(body))))


def sign_legacy(text: bytes, key: ed25519.SigningKey) -> bytes:
    """The wire form of a legacy text, signed by `key`."""
    return encode(SignedLegacy(text, key.sign(text), key.public))


def decode_body(data: bytes) -> Body:
    """The body of canonical bytes; raises `Malformed` or `Unsupported` with the operation's name."""
    try:
        return decode(data, Body, "transaction")
    except Malformed:
        _refuse_unknown_kind(data)
        raise


def decode_item(item: bytes) -> Unchecked:
    """Syntax of one item of a batch; raises `TooLarge`, `Malformed` or `Unsupported`."""
    if len(item) > ITEM_BYTES_MAX:
        raise TooLarge("transaction", len(item), ITEM_BYTES_MAX)
    signed = _short_signed(item)
    if signed is not None:
        return Unchecked(transaction_id(signed.body), item, signed, decode_body(signed.body), b"")
    wire_size = _wire_size(item)
    wire, sidecar = item[:wire_size], item[wire_size:]
    if wire[0] == 0x94:
        legacy = decode(wire, SignedLegacy, "legacy transaction")
        text = parse_legacy(legacy.text, legacy.public_key)
        return Unchecked(text.hash(legacy.signature), item, legacy, text, sidecar)
    signed = decode(wire, Signed, "transaction")
    return Unchecked(transaction_id(signed.body), item, signed, decode_body(signed.body), sidecar)


def admit(item: bytes | Unchecked, rules: StaticRules) -> Transaction:
    """The checked transaction; raises the first rule that is broken, cheap ones before the signature."""
    unchecked = decode_item(item) if isinstance(item, bytes) else item
    transaction, message, signature = _with_message(unchecked, rules)
    check_op(transaction, rules)
    if not is_usable_signer(transaction.sender_key):
        raise BadSignature("the key is not one that may sign")
    if not ed25519.verify(transaction.sender_key, signature, message):
        raise BadSignature
    return transaction


def admit_each(items: Iterable[bytes | Unchecked], rules: StaticRules) -> list[Transaction | InvalidInput]:
    """For each item the checked transaction or the rule that it breaks; all signatures are verified together."""
    found: list[Transaction | InvalidInput] = []
    signed: list[tuple[bytes, bytes, bytes]] = []
    places: list[int] = []
    for place, item in enumerate(items):
        try:
            unchecked = decode_item(item) if isinstance(item, bytes) else item
            transaction, message, signature = _with_message(unchecked, rules)
            check_op(transaction, rules)
            if not is_usable_signer(transaction.sender_key):
                raise BadSignature("the key is not one that may sign")
        except InvalidInput as error:
            found.append(error)
            continue
        found.append(transaction)
        signed.append((transaction.sender_key, signature, message))
        places.append(place)
    for place, good in zip(places, ed25519.verify_many(signed), strict=True):
        if not good:
            found[place] = BadSignature()
    return found


def first_invalid(batches: Sequence[Sequence[bytes]], rules: StaticRules) -> list[int | None]:
    """Of each batch the index of the first item that is not valid, which voids the batch; None if all are.

    All signatures are verified together: the more, the less each of them costs.
    """
    valid = _valid(batches, rules)
    found = []
    for batch in batches:
        verdicts = list(islice(valid, len(batch)))
        found.append(verdicts.index(False) if False in verdicts else None)
    return found


def _valid(batches: Sequence[Sequence[bytes]], rules: StaticRules) -> Iterator[bool]:
    """Is it valid, of each item of these batches?"""
    if rules.epoch is not None or not native.available():
        return (not isinstance(one, InvalidInput) for one in admit_each(chain.from_iterable(batches), rules))
    read = [batch for batch in batches if isinstance(batch, Items)]
    framed = joined_frame(read) if len(read) == len(batches) else frame(list(chain.from_iterable(batches)))
    signed = native.signed_transfers(framed, rules.chain, rules.minimum_fee(ANY_TRANSFER))
    transfers = iter(ed25519.verify_joined(signed.keys, signed.signatures, signed.messages, signed.offsets))
    other = compress(chain.from_iterable(batches), map(not_, signed.plain)) if 0 in signed.plain else ()
    others = admit_each(other, rules)
    judged = iter([not isinstance(one, InvalidInput) for one in others])
    return (next(transfers if plain else judged) for plain in signed.plain)


def admit_attested(item: bytes, rules: StaticRules) -> Transaction:
    """The transaction of an item whose signature f + 1 seats have verified; every other static rule holds again."""
    transaction, _, _ = _with_message(decode_item(item), rules)
    check_op(transaction, rules)
    return transaction


def check_expiry(expiry_epoch: int, epoch: int) -> None:
    """Raises `Expired` when a transaction may not run in `epoch`."""
    if expiry_epoch < epoch:
        raise Expired(f"last epoch {expiry_epoch}, now {epoch}")
    if expiry_epoch > epoch + EXPIRY_EPOCHS_MAX:
        raise Expired(f"expiry {expiry_epoch} is more than {EXPIRY_EPOCHS_MAX} epochs ahead")


def check_op(transaction: Transaction, rules: StaticRules) -> None:
    """The static rules of fee, sidecar and operation fields."""
    op = transaction.op
    if rules.rules_version < DRAWN_RULES and op.kind in ops.DRAWN_KINDS:
        raise Unsupported(op.name)
    if op.node_op:
        if transaction.fee or transaction.nonce != NODE_OP_NONCE:
            raise InvalidOp("a node operation has fee 0 and nonce 1")
    elif transaction.fee < (minimum := rules.minimum_fee(op)):
        raise FeeTooLow(minimum, transaction.fee)
    match op:
        case ops.Transfer():
            if op.to == transaction.sender:
                raise SelfTransfer
        case ops.MultiTransfer():
            if any(item.to == transaction.sender for item in op.items):
                raise SelfTransfer
            if sum(item.amount for item in op.items) > AMOUNT_MAX:
                raise InvalidOp("the sum is out of range")
        case ops.PrivateTransfer() if op.input.bits != fees.WORD_BITS:
            raise InvalidOp(f"an amount is dealt as {fees.WORD_BITS} bits")
        case ops.ViewRequest():
            if len(set(op.handles)) != len(op.handles):
                raise InvalidOp("a handle stands twice")
            if not is_usable_reader(op.reader):
                raise InvalidOp("the reader key cannot receive sealed messages")
        case ops.NodeRegister():
            check_registration(op, transaction.sender, rules.chain)
        case ops.CircleAssets():
            paths = [file.path for file in op.files]
            if any(len(path.encode()) > ops.PATH_BYTES_MAX for path in paths):
                raise InvalidOp(f"a path has at most {ops.PATH_BYTES_MAX} bytes")
            if paths != sorted(set(paths), key=lambda path: path.encode()):
                raise InvalidOp("files are sorted by path, each once")
    if isinstance(op, ops.PrivateTransfer):
        check_sidecar(op.input, transaction.sidecar, rules.seats)
    elif transaction.sidecar:
        raise Malformed("transaction", "bytes after the end")


def _with_message(unchecked: Unchecked, rules: StaticRules) -> tuple[Transaction, bytes, bytes]:
    """The transaction with the message and signature that remain to be verified."""
    signed, content = unchecked.signed, unchecked.content
    if isinstance(content, LegacyText):
        assert isinstance(signed, SignedLegacy)
        if not rules.legacy_signing:
            raise LegacyDisabled
        transaction = Transaction(
            id=unchecked.id,
            item=unchecked.item,
            sidecar=unchecked.sidecar,
            sender_key=signed.public_key,
            sender=address_of(signed.public_key),
            nonce=content.nonce,
            fee=content.fee,
            op=content.op,
            expiry_epoch=None,
            timestamp_ms=content.timestamp_ms,
        )
        return transaction, signed.text, signed.signature
    assert isinstance(signed, Signed)
    if content.version != VERSION:
        raise Malformed("transaction", f"version {content.version}, expected {VERSION}")
    if content.chain != rules.chain:
        raise WrongChain(rules.chain, content.chain)
    if rules.epoch is not None:
        check_expiry(content.expiry_epoch, rules.epoch)
    transaction = Transaction(
        id=unchecked.id,
        item=unchecked.item,
        sidecar=unchecked.sidecar,
        sender_key=content.sender,
        sender=address_of(content.sender),
        nonce=content.nonce,
        fee=content.fee,
        op=content.op,
        expiry_epoch=content.expiry_epoch,
        timestamp_ms=None,
    )
    return transaction, signed_bytes(signed.body), signed.signature


def _refuse_unknown_kind(data: bytes) -> None:
    """Raises `Unsupported` when the body is well formed but for a kind that is not enabled."""
    try:
        fields = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return
    if not (isinstance(fields, list) and len(fields) == 8 and isinstance(fields[7], list) and fields[7]):
        return
    kind = fields[7][0]
    if isinstance(kind, int) and not isinstance(kind, bool) and kind not in ops.ENABLED:
        raise Unsupported(ops.NOT_ENABLED.get(kind, f"0x{kind:02x}" if 0 <= kind < 256 else "of unknown kind"))


def _short_signed(item: bytes) -> Signed | None:
    """Most items: version 2, a body below 256 bytes, no sponsor, no sidecar. None for any other, right or wrong."""
    if item[:2] != b"\x93\xc4" or len(item) < 3:
        return None
    end = 3 + item[2]
    if item[end : end + 2] != b"\xc4\x40" or item[end + 66 :] != b"\xc4\x00":
        return None
    return Signed(item[3:end], item[end + 2 : end + 66])


def _wire_size(item: bytes) -> int:
    """Bytes of the signed wire form at the start of `item`: an array of three or four short fields."""
    if not item or item[0] not in (0x93, 0x94):
        raise Malformed("transaction", "not a signed transaction")
    at = 1
    for _ in range(3):
        header = item[at : at + 5]
        match header[:1]:
            case b"\xc4" if len(header) >= 2:
                at += 2 + header[1]
            case b"\xc5" if len(header) >= 3:
                at += 3 + int.from_bytes(header[1:3], "big")
            case b"\xc6" if len(header) >= 5:
                at += 5 + int.from_bytes(header[1:5], "big")
            case _:
                raise Malformed("transaction", "not a signed transaction")
    at += item[0] == 0x94  # the version of the legacy form, one byte
    if at > len(item):
        raise Malformed("transaction", "the bytes end too early")
    return at
