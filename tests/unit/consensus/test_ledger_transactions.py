"""Signed bytes: the published vectors, one vector a kind, and what `admit` refuses."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.codec import encode
from octra.consensus.batch import Items, frame
from octra.consensus.checkpoint import Checkpoint, CheckpointBody
from octra.consensus.coin_dealing import Ceremony, complain, deal
from octra.consensus.ledger import errors, fees, ops
from octra.consensus.ledger import transactions as tx
from octra.consensus.ledger.legacy import parse_legacy, print_legacy
from octra.consensus.ledger.registration import registration_message
from octra.consensus.ledger.sidecar import describe_dealing, input_id, pack_sidecar
from octra.crypto import bls, sharing
from octra.crypto.ed25519 import SigningKey
from octra.crypto.seal import view_key
from octra.errors import InvalidInput, Malformed
from octra.primitives import InvalidAddress, address_of, print_address

VECTORS = Path(__file__).parents[2] / "vectors" / "ledger"
SIGNING = json.loads((VECTORS / "signing.json").read_text())
A, B = SigningKey(bytes([1]) * 32), SigningKey(bytes([2]) * 32)
CHAIN = bytes([3]) * 32
RULES = tx.StaticRules(chain=CHAIN, epoch=10, prices=(fees.Prices(),), seats=4, legacy_signing=True, rules_version=2)
TO_B = address_of(B.public)

LEAVES, BOXES = [bytes([k]) * 32 for k in range(4)], [bytes([k]) * 100 for k in range(4)]
DEALING = describe_dealing(50, 3, LEAVES, BOXES)
SIDECAR = pack_sidecar(LEAVES, BOXES)
X = bytes([7]) * 32
CIRCLE = bytes([1]) + bytes([9]) * 32
READER = view_key(B.public)


def _registration() -> ops.NodeRegister:
    """Node B, registered by account A."""
    secret = bls.SecretScalar.from_seed(X)
    coin_key = sharing.point_of(sharing.scalar_from(X))
    unsigned = ops.NodeRegister(
        B.public, secret.public(), secret.prove_possession(), coin_key, READER, b"operator", bytes(64)
    )
    proof = B.sign(registration_message(CHAIN, address_of(A.public), unsigned))
    return msgspec.structs.replace(unsigned, proof=proof)


REGISTRATION = _registration()
DEALT_COIN = deal(Ceremony(X, (REGISTRATION.coin_key,) * 4), 1, X)

ONE_OF_EACH: tuple[ops.Op, ...] = (
    ops.Transfer(TO_B, 12_500_000, b"rent"),
    ops.MultiTransfer((ops.Payment(TO_B, 1), ops.Payment(X, 2**60 - 2)), b"two"),
    ops.Burn(5),
    ops.Encrypt(60_000_000),
    ops.Decrypt(1),
    ops.PrivateTransfer(TO_B, DEALING, b"note"),
    ops.Collect(),
    ops.ViewRequest((X, TO_B), READER),
    ops.CircleDeploy(X, b"manifest", TO_B, X, 7),
    ops.CircleCall(CIRCLE, "increment", encode([1, "a", None, True, b"b"]), 5, 1_000_000),
    ops.CircleUpgrade(CIRCLE, X, X, b"manifest", TO_B, X, 7),
    ops.CircleAssets(CIRCLE, (ops.Asset("/index.html", "text/html", "", X),)),
    ops.CircleBlobPut(X, 7, b"\0asm"),
    ops.EvaluationCommit(X, TO_B),
    ops.EvaluationReveal(X, (TO_B, X), X, TO_B),
    ops.DealCheck(X, b"values"),
    ops.InputPart(X, b"values"),
    ops.OpenCommit(X, TO_B),
    ops.OpenShare(X, b"share"),
    ops.OpenBlame(X, 3, X[:16], b"share"),
    REGISTRATION,
    ops.Bond(B.public, 1_000_000_000),
    ops.Ready(B.public),
    ops.Exit(B.public),
    ops.Withdraw(B.public),
    ops.CoinDeal(7, DEALT_COIN),
    ops.CoinAck(7, (complain(DEALT_COIN, 2, sharing.scalar_from(X)),)),
    ops.CoinRepair(7, 2, (), X),
    ops.Checkpoint(Checkpoint(CheckpointBody(1, "octra:test-03030303", 6, 90, X, X, X, X, 4), b"\x07", b"s" * 48)),
)


def sidecar_of(op: ops.Op) -> bytes:
    return SIDECAR if isinstance(op, ops.PrivateTransfer) else b""


def item_of(op: ops.Op, key: SigningKey = A, **changes: int | bytes) -> bytes:
    fee = 0 if op.node_op else fees.minimum_fee(op, fees.Prices())
    fields: dict[str, object] = {"chain": CHAIN, "sender": key.public, "nonce": 1, "expiry_epoch": 1_000, "fee": fee}
    body = tx.build(**{**fields, **changes}, op=op)  # type: ignore[arg-type]  # the test's fields are the right ones
    return tx.sign(body, key) + sidecar_of(op)


def test_the_published_transaction_has_the_published_bytes() -> None:
    vector = SIGNING["v2"]
    body = tx.build(
        chain=CHAIN, sender=A.public, nonce=1, expiry_epoch=1_000, fee=1_000, op=ops.Transfer(TO_B, 12_500_000, b"rent")
    )
    wire = tx.sign(body, A)
    assert body.hex() == vector["body"]
    assert tx.transaction_id(body).hex() == vector["id"]
    assert msgspec.msgpack.decode(wire)[1] == base64.b64decode(vector["signature"])
    assert len(wire) == vector["wire_size"]
    assert tx.admit(wire, RULES).id.hex() == vector["id"]


@pytest.mark.parametrize("name", ["A", "B"])
def test_the_published_keys_have_the_published_addresses(name: str) -> None:
    vector = SIGNING[name]
    key = SigningKey(bytes.fromhex(vector["seed"]))
    assert key.public.hex() == vector["key"]
    assert address_of(key.public).hex() == vector["account"]
    assert print_address(address_of(key.public)) == vector["address"]
    assert "view_key" not in vector or view_key(key.public) == base64.b64decode(vector["view_key"])


@pytest.mark.parametrize("vector", SIGNING["legacy"])
def test_the_published_legacy_transactions_have_the_published_hashes(vector: dict[str, str]) -> None:
    text = print_legacy(
        sender=SIGNING["A"]["address"],
        to=SIGNING["B"]["address"],
        amount=12_500_000,
        nonce=1,
        fee=10_000,
        timestamp=vector["timestamp"],
        message=vector["message"],
    )
    wire = tx.sign_legacy(text, A)
    assert msgspec.msgpack.decode(wire)[1] == base64.b64decode(vector["signature"])
    transaction = tx.admit(wire, RULES)
    assert transaction.id.hex() == vector["hash"]
    assert transaction.op == ops.Transfer(TO_B, 12_500_000, vector["message"].encode())
    assert transaction.timestamp_ms == int(float(vector["timestamp"]) * 1_000)
    with pytest.raises(errors.LegacyDisabled):
        tx.admit(wire, replace(RULES, legacy_signing=False))


@pytest.mark.parametrize("op", ONE_OF_EACH, ids=lambda op: op.name)
def test_every_kind_keeps_its_frozen_bytes(op: ops.Op) -> None:
    frozen = json.loads((VECTORS / "operations.json").read_text())[op.name]
    item = item_of(op)
    assert op.kind == frozen["kind"]
    assert encode(op).hex() == frozen["op"]
    assert item.hex() == frozen["item"]
    transaction = tx.admit(item, RULES)
    assert transaction.id.hex() == frozen["id"]
    assert transaction.op == op
    assert transaction.sidecar == sidecar_of(op)


def test_every_enabled_kind_has_a_vector_and_no_kind_has_two_names() -> None:
    assert {type(op) for op in ONE_OF_EACH} == set(ops.ENABLED.values())
    assert not set(ops.ENABLED) & set(ops.NOT_ENABLED)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ONE_OF_EACH), st.data())
def test_every_one_byte_change_is_refused_or_changes_the_id(op: ops.Op, data: st.DataObject) -> None:
    item = item_of(op)
    at = data.draw(st.integers(0, len(item) - 1))
    changed = bytearray(item)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        transaction = tx.admit(bytes(changed), RULES)
    except InvalidInput:
        return
    raise AssertionError(f"byte {at} may be changed: {transaction.op.name}")


@given(st.binary(max_size=400))
def test_decoding_arbitrary_bytes_only_raises_typed_errors(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        tx.admit(data, RULES)


@pytest.mark.parametrize(("kind", "name"), sorted(ops.NOT_ENABLED.items()))
def test_a_kind_of_another_stage_is_refused_by_its_name(kind: int, name: str) -> None:
    body = encode([2, CHAIN, A.public, 1, 1_000, 1_000, b"", [kind, 1]])
    with pytest.raises(errors.Unsupported, match=name):
        tx.admit(tx.sign(body, A), RULES)


def test_an_unknown_kind_is_refused() -> None:
    body = encode([2, CHAIN, A.public, 1, 1_000, 1_000, b"", [0xEE]])
    with pytest.raises(errors.Unsupported, match="0xee"):
        tx.admit(tx.sign(body, A), RULES)


def test_a_transaction_of_another_chain_is_refused() -> None:
    with pytest.raises(errors.WrongChain) as caught:
        tx.admit(item_of(ops.Burn(1), chain=bytes([4]) * 32), RULES)
    assert (caught.value.expected, caught.value.got) == (CHAIN, bytes([4]) * 32)
    assert caught.value.oct_code == 2118


@pytest.mark.parametrize(("expiry", "valid"), [(9, False), (10, True), (10 + 1_024, True), (10 + 1_025, False)])
def test_expiry_lies_between_this_epoch_and_1024_later(expiry: int, valid: bool) -> None:
    item = item_of(ops.Burn(1), expiry_epoch=expiry)
    if valid:
        assert tx.admit(item, RULES).expiry_epoch == expiry
    else:
        with pytest.raises(errors.Expired):
            tx.admit(item, RULES)


@pytest.mark.parametrize("op", [op for op in ONE_OF_EACH if not op.node_op], ids=lambda op: op.name)
def test_a_fee_one_below_the_minimum_is_refused(op: ops.Op) -> None:
    minimum = fees.minimum_fee(op, fees.Prices())
    with pytest.raises(errors.FeeTooLow) as caught:
        tx.admit(item_of(op, fee=minimum - 1), RULES)
    assert caught.value.minimum == minimum


def test_the_lower_price_of_two_epochs_counts() -> None:
    dear = replace(RULES, prices=(fees.Prices(boot_price_milli=4_000), fees.Prices()))
    assert tx.admit(item_of(ops.Encrypt(1)), dear).fee == fees.minimum_fee(ops.Encrypt(1), fees.Prices())


@pytest.mark.parametrize("op", [op for op in ONE_OF_EACH if op.node_op], ids=lambda op: op.name)
def test_a_node_operation_has_fee_zero_and_nonce_one(op: ops.Op) -> None:
    for change in ({"fee": 1}, {"nonce": 2}):
        with pytest.raises(errors.InvalidOp):
            tx.admit(item_of(op, **change), RULES)


def test_a_signature_of_another_key_is_refused() -> None:
    body = tx.build(chain=CHAIN, sender=A.public, nonce=1, expiry_epoch=20, fee=1_000, op=ops.Burn(1))
    with pytest.raises(errors.BadSignature):
        tx.admit(tx.sign(body, B), RULES)


def test_many_at_once_are_judged_as_each_alone() -> None:
    good = [item_of(op) for op in ONE_OF_EACH]
    stranger = tx.sign(tx.build(chain=CHAIN, sender=A.public, nonce=1, expiry_epoch=20, fee=1_000, op=ops.Burn(1)), B)
    bad = [b"", stranger, good[0] + b"x", item_of(ops.Burn(1), fee=0), item_of(ops.Burn(1), chain=X)]
    items = [bad[0], *good[:9], *bad[1:4], *good[9:], bad[4], stranger]
    for item, together in zip(items, tx.admit_each(items, RULES), strict=True):
        try:
            alone: tx.Transaction | InvalidInput = tx.admit(item, RULES)
        except InvalidInput as error:
            assert (type(together), str(together)) == (type(error), str(error))
        else:
            assert together == alone


@pytest.mark.parametrize("without_library", ["", "1"])
def test_each_batch_is_told_its_own_first_bad_item(without_library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTRA_NO_KERNEL", without_library)
    good = [item_of(op) for op in ONE_OF_EACH]
    body = tx.build(chain=CHAIN, sender=A.public, nonce=1, expiry_epoch=20, fee=1_000, op=ops.Transfer(TO_B, 1))
    stranger = tx.sign(body, B)
    batches = [good, [*good, stranger, b""], good[:3], [good[0], b"", stranger], [stranger]]
    for epoch in (None, 7):
        rules = replace(RULES, epoch=epoch)
        assert tx.first_invalid(batches, rules) == [None, len(good), None, 1, 0]
        assert tx.first_invalid([Items(frame(good))], rules) == [None]
        assert tx.first_invalid([], rules) == []


@pytest.mark.parametrize(
    "key",
    [
        bytes([1]) + bytes(31),  # the identity
        bytes(32),
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),  # y = p + 1
    ],
)
def test_a_key_of_small_order_or_odd_encoding_may_not_sign(key: bytes) -> None:
    # Under such a key the all-zero scalar verifies anything: ZIP-215 alone would accept it.
    body = tx.build(chain=CHAIN, sender=key, nonce=1, expiry_epoch=20, fee=1_000, op=ops.Burn(1))
    with pytest.raises(errors.BadSignature):
        tx.admit(encode(tx.Signed(body, key + bytes(32))), RULES)


def test_a_public_transfer_to_oneself_is_refused_and_a_private_one_is_not() -> None:
    me = address_of(A.public)
    for op in (ops.Transfer(me, 1), ops.MultiTransfer((ops.Payment(TO_B, 1), ops.Payment(me, 1)))):
        with pytest.raises(errors.SelfTransfer):
            tx.admit(item_of(op), RULES)
    assert tx.admit(item_of(ops.PrivateTransfer(me, DEALING)), RULES).op == ops.PrivateTransfer(me, DEALING)


def test_amounts_beyond_the_range_are_refused() -> None:
    for amount in (0, 2**60):
        with pytest.raises(Malformed):
            tx.build(chain=CHAIN, sender=A.public, nonce=1, expiry_epoch=20, fee=1_000, op=ops.Transfer(TO_B, amount))
    too_much = ops.MultiTransfer((ops.Payment(TO_B, 2**60 - 1), ops.Payment(X, 1)))
    with pytest.raises(errors.InvalidOp):
        tx.admit(item_of(too_much), RULES)


def test_an_item_of_more_than_200_kib_is_refused() -> None:
    with pytest.raises(errors.TooLarge):
        tx.admit(item_of(ops.Burn(1)) + bytes(tx.ITEM_BYTES_MAX), RULES)


def test_bytes_after_a_transaction_without_sidecar_are_refused() -> None:
    with pytest.raises(Malformed):
        tx.admit(item_of(ops.Burn(1)) + b"\0", RULES)


def test_a_sidecar_that_does_not_match_the_body_is_refused() -> None:
    wire = item_of(ops.PrivateTransfer(TO_B, DEALING))[: -len(SIDECAR)]
    other_box = pack_sidecar(LEAVES, [*BOXES[:3], bytes(100)])
    other_leaf = pack_sidecar([*LEAVES[:3], bytes(32)], BOXES)
    three = pack_sidecar(LEAVES[:3], BOXES[:3])
    for sidecar in (b"", SIDECAR + b"\0", other_box, other_leaf, three):
        with pytest.raises(Malformed):
            tx.admit(wire + sidecar, RULES)


def test_boxes_of_one_dealing_have_one_size() -> None:
    boxes = [*BOXES[:3], bytes(99)]
    op = ops.PrivateTransfer(TO_B, describe_dealing(50, 3, LEAVES, boxes))
    wire = item_of(op)[: -len(SIDECAR)]
    with pytest.raises(Malformed, match="sizes"):
        tx.admit(wire + pack_sidecar(LEAVES, boxes), RULES)


def test_an_amount_is_dealt_as_fifty_bits() -> None:
    op = ops.PrivateTransfer(TO_B, describe_dealing(64, 3, LEAVES, BOXES))
    with pytest.raises(errors.InvalidOp):
        tx.admit(item_of(op), RULES)


def test_a_view_request_names_a_handle_once_and_a_usable_reader() -> None:
    for op in (ops.ViewRequest((X, X), READER), ops.ViewRequest((X,), bytes(32))):
        with pytest.raises(errors.InvalidOp):
            tx.admit(item_of(op), RULES)


def test_input_ids_differ_in_every_field() -> None:
    fields = {"sender": A.public, "nonce": 1, "index": 0, "era": 0, "bits": 50}
    names = {input_id(**fields)}  # type: ignore[arg-type]  # one dictionary of ints and bytes
    for name, value in {"sender": B.public, "nonce": 2, "index": 1, "era": 1, "bits": 51}.items():
        names.add(input_id(**{**fields, name: value}))  # type: ignore[arg-type]  # as above
    assert len(names) == 6


LEGACY = {"sender": SIGNING["A"]["address"], "to": SIGNING["B"]["address"], "amount": 5, "nonce": 1, "fee": 1_000}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"nonce":1', b'"nonce":01'),
        (b'"nonce":1', b'"nonce": 1'),
        (b'"nonce":1', b'"nonce":0'),
        (b'"timestamp":1763831234.5', b'"timestamp":1.7e9'),
        (b'"timestamp":1763831234.5', b'"timestamp":"1763831234.5"'),
        (b'"op_type":"standard"', b'"op_type":"standard","message":""'),
        (b'"op_type":"standard"', b'"op_type":"standard","message":"a\x7f"'),
        (b'"op_type":"standard"', b'"op_type":"standard","message":"\\u0041"'),
        (b'"op_type":"standard"', b'"op_type":"standard","message":"\\/"'),
        (b'"op_type":"standard"', b'"op_type":"standard","message":"\xff"'),
        (b'"op_type":"standard"', b'"op_type":"standard","encrypted_data":"x"'),
        (b'"amount":"5"', b'"amount":"0"'),
        (b'"amount":"5"', b'"amount":"1152921504606846976"'),
        (b"}", b"}\n"),
    ],
)
def test_a_legacy_text_of_another_spelling_is_refused(old: bytes, new: bytes) -> None:
    text = print_legacy(**LEGACY, timestamp="1763831234.5")  # type: ignore[arg-type]  # as above
    assert tx.admit(tx.sign_legacy(text, A), RULES).fee == 1_000
    with pytest.raises(InvalidInput):
        tx.admit(tx.sign_legacy(text.replace(old, new), A), RULES)


def test_legacy_refusals_name_the_reason() -> None:
    def text(**changes: str) -> bytes:
        return tx.sign_legacy(print_legacy(**{**LEGACY, "timestamp": "1", **changes}), A)  # type: ignore[arg-type]

    with pytest.raises(errors.Unsupported, match="deploy_circle"):
        tx.admit(text(op_type="deploy_circle"), RULES)
    with pytest.raises(InvalidAddress):
        tx.admit(text(to="oct123"), RULES)
    with pytest.raises(Malformed, match="key"):
        tx.admit(text(sender=SIGNING["B"]["address"]), RULES)
    with pytest.raises(errors.InvalidOp):
        tx.admit(text(op_type="circle_call", to="oct" + "2" * 44, data="increment", message="[1.5]"), RULES)


def test_a_legacy_circle_call_becomes_a_call() -> None:
    text = print_legacy(
        sender=SIGNING["A"]["address"], to="oct" + "2" * 44, amount=0, nonce=1, fee=2_000, timestamp="5.25",
        op_type="circle_call", data="add", message='[1,"two",null,true]',
    )  # fmt: skip
    transaction = tx.admit(tx.sign_legacy(text, A), RULES)
    assert isinstance(transaction.op, ops.CircleCall)
    assert (transaction.op.method, transaction.op.gas_limit) == ("add", 2_000_000)
    assert msgspec.msgpack.decode(transaction.op.arguments) == [1, "two", None, True]
    assert transaction.timestamp_ms == 5_250


@given(st.text(max_size=40), st.integers(1, 2**60 - 1), st.integers(1, 2**60 - 1))
def test_the_legacy_parser_accepts_exactly_what_the_printer_makes(message: str, amount: int, nonce: int) -> None:
    fields = {**LEGACY, "amount": amount, "nonce": nonce, "message": message}
    try:
        text = print_legacy(**fields, timestamp="7")  # type: ignore[arg-type]  # as above
        parsed = parse_legacy(text, A.public)
    except (UnicodeEncodeError, InvalidInput):
        printable = all((ord(c) >= 0x20 and ord(c) != 0x7F) or c in "\b\f\n\r\t" for c in message)
        encodable = message.isprintable() or all(not 0xD800 <= ord(c) <= 0xDFFF for c in message)
        assert not (printable and encodable and len(message.encode()) <= 256)
        return
    assert (parsed.amount, parsed.nonce, parsed.message or "") == (amount, nonce, message)
    assert parsed.op == ops.Transfer(TO_B, amount, message.encode())
