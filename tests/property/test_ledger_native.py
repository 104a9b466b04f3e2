"""The compiled reading of transfers judges as `transactions` does, on right, wrong and oddly encoded bytes alike."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.codec import encode
from octra.columns import Column
from octra.consensus.batch import Items, frame
from octra.consensus.ledger import fees, native, ops
from octra.consensus.ledger import transactions as tx
from octra.consensus.ledger.points import is_usable_signer
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import merkle_root
from octra.primitives import address_of

pytestmark = pytest.mark.skipif(not native.available(), reason="the library is not built")

CHAIN, KEY, RECEIVER = bytes([3]) * 32, SigningKey(bytes(32)), bytes([7]) * 32
RULES = tx.StaticRules(CHAIN, None, (fees.Prices(),), 4)
P = 2**255 - 19

edges = st.sampled_from([0, 1, 127, 128, 255, 256, 999, 1_000, 2**16 - 1, 2**16, 2**32 - 1, 2**32, 2**60 - 1, 2**60])
numbers = edges | st.integers(0, 2**64 - 1)


@st.composite
def written(draw: st.DrawFn, values: st.SearchStrategy[int]) -> bytes:
    """A number in its shortest form, or in a longer one, which nobody may accept."""
    value = draw(values)
    if draw(st.integers(0, 9)):
        return encode(value)
    size = draw(st.sampled_from([1, 2, 4, 8]))
    if value >= 1 << 8 * size:
        return encode(value)
    return bytes([0xCC + size.bit_length() - 1]) + value.to_bytes(size, "big")


@st.composite
def items(draw: st.DrawFn) -> bytes:
    """A signed item that is nearly always almost a transfer."""
    mostly = st.integers(0, 4)

    def either(usual: bytes, *others: bytes) -> bytes:
        return usual if draw(mostly) else draw(st.sampled_from([usual, *others]))

    body = b"".join(
        [
            either(b"\x98", b"\x97", b"\x99", b"\xdc\x00\x08"),
            either(b"\x02", b"\x01", b"\xcc\x02"),
            encode(either(CHAIN, RECEIVER, CHAIN[1:])),
            encode(KEY.public),
            draw(written(st.integers(1, 300) | numbers)),
            draw(written(st.integers(0, 300) | numbers)),
            draw(written(st.integers(1_000, 70_000) | numbers)),
            encode(either(b"", b"s")),
            either(b"\x94\x01", b"\x93\x01", b"\x95\x01", b"\x94\x03", b"\x94\x10"),
            encode(either(RECEIVER, address_of(KEY.public), RECEIVER[1:])),
            draw(written(st.integers(1, 300) | numbers)),
            encode(either(b"", b"memo", bytes(100), bytes(256), bytes(257))),
            either(b"", b"\x00"),
        ]
    )
    signature = KEY.sign(tx.signed_bytes(body)) if draw(mostly) else bytes(64)
    wire = b"\x93" + encode(body) + encode(signature) + encode(either(b"", b"s"))
    if draw(mostly):
        return wire
    cut = draw(st.integers(0, len(wire)))
    return draw(st.sampled_from([wire[:cut], wire + b"\x00", wire[:cut] + b"\xff" + wire[cut + 1 :], b""]))


@given(st.lists(items(), min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_the_verdicts_are_those_of_the_reference(block: list[bytes]) -> None:
    judged = tx.admit_each(block, RULES)
    singly = [isinstance(one, tx.Transaction) for one in judged]
    assert [found is None for found in tx.first_invalid([[item] for item in block], RULES)] == singly
    plain = native.signed_transfers(frame(block), CHAIN, 1_000).plain
    assert all(
        isinstance(one, tx.Transaction | tx.BadSignature) for one, taken in zip(judged, plain, strict=True) if taken
    )
    for one, taken in zip(judged, plain, strict=True):
        if isinstance(one, tx.Transaction) and isinstance(one.op, ops.Transfer):
            assert taken or len(one.op.memo) >= 100  # no transfer that is usual takes the slow way


@given(st.sampled_from([0, 1, P - 1, P, P + 1, 2**255 - 1, 2, P - 2]) | st.integers(0, 2**255 - 1), st.booleans())
def test_keys_that_may_sign_are_the_same(y: int, sign: bool) -> None:
    check_signer((y | sign << 255).to_bytes(32, "little"))


@pytest.mark.parametrize("sign", [0, 0x80])
@pytest.mark.parametrize(
    "key",
    [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ],
)
def test_points_of_order_eight_may_not_sign(key: str, sign: int) -> None:
    raw = bytearray.fromhex(key)
    raw[31] |= sign
    assert not check_signer(bytes(raw))


def check_signer(key: bytes) -> bool:
    body = tx.build(chain=CHAIN, sender=key, nonce=1, expiry_epoch=1, fee=1_000, op=ops.Transfer(RECEIVER, 1))
    signed = native.signed_transfers(frame([encode(tx.Signed(body, bytes(64)))]), CHAIN, 1_000)
    assert signed.plain == bytes([is_usable_signer(key)])
    return signed.plain == b"\x01"


@given(st.binary(min_size=32, max_size=32), st.booleans())
def test_an_address_is_that_of_the_reference(key: bytes, portable: bool) -> None:
    assert native.address_of(key, portable=portable) == address_of(key)


@given(st.lists(st.binary(max_size=300), max_size=40))
@settings(deadline=None)
def test_the_merkle_root_is_that_of_the_reference(leaves: list[bytes]) -> None:
    assert native.merkle_root(Column.of(leaves)) == merkle_root(leaves)


@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=9))
def test_items_are_what_was_framed(parts: list[bytes]) -> None:
    framed = Items(frame(parts))
    assert list(framed) == parts == framed[:]
    assert [framed[at] for at in range(-len(parts), 0)] == parts
