"""The scanner of nested MessagePack agrees with the decoder, and needs no stack."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octra.codec import encode
from octra.consensus.ledger.nesting import check_nesting
from octra.errors import Malformed

SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.text(max_size=40), st.binary(max_size=300),
    st.floats(allow_nan=False),
)  # fmt: skip
VALUE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=4), inner, max_size=20)
)


def depth(value: object) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0) if value else 0
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0) if value else 0
    return 0


@given(VALUE)
def test_the_depth_of_a_value_is_found(value: object) -> None:
    data, deep = encode(value), depth(value)
    check_nesting(data, deep, 10_000, "value")
    if deep:
        with pytest.raises(Malformed):
            check_nesting(data, deep - 1, 10_000, "value")
    for broken in (data + b"\0", data[:-1]):
        with pytest.raises(Malformed):
            check_nesting(broken, deep, 10_000, "value")


@given(st.binary(max_size=60))
def test_what_the_scanner_accepts_is_framed_like_the_decoder_says(data: bytes) -> None:
    try:
        check_nesting(data, 8, 100, "value")
    except Malformed:
        return
    try:
        msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        assert "trailing" not in str(error)
        assert "truncated" not in str(error)


def test_the_count_of_values_is_limited() -> None:
    check_nesting(encode([1] * 99), 1, 100, "value")
    with pytest.raises(Malformed):
        check_nesting(encode([1] * 100), 1, 100, "value")


def test_a_million_nested_arrays_are_refused_without_recursion() -> None:
    with pytest.raises(Malformed, match="deeper"):
        check_nesting(b"\x91" * 1_000_000 + b"\xc0", 8, 10, "value")
