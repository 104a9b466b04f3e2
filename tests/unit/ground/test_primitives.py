"""Addresses and amounts in raw and printed form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octra.crypto.ed25519 import SigningKey
from octra.primitives import (
    InvalidAddress,
    InvalidAmount,
    address_of,
    parse_address,
    parse_amount,
    print_address,
    print_amount,
)


@pytest.mark.parametrize(
    ("seed", "address"),
    [
        (b"\x01" * 32, "oct4XmjKEd9A96KhoMX94zWJmd28dcPisbWGYWtad1dQ9v5"),
        (b"\x02" * 32, "oct89dkqqjMw9HTi1pqHbANSNwioHuMhmpTCXapTmfUr1EW"),
        (b"\x2a" + bytes(31), "oct1uNJJhSDXhVnsUYepvhdUvei8zNCZg5z3uxF4CCUzKtL"),  # 43 base58 digits, padded
    ],
)
def test_addresses_of_known_keys(seed: bytes, address: str) -> None:
    account = address_of(SigningKey(seed).public)
    assert print_address(account) == address
    assert parse_address(address) == account


@given(st.binary(min_size=32, max_size=32))
def test_parsing_is_the_inverse_of_printing(account: bytes) -> None:
    text = print_address(account)
    assert len(text) == 47
    assert parse_address(text) == account


@given(st.text(max_size=60))
def test_other_texts_are_refused_without_being_repeated(text: str) -> None:
    try:
        assert print_address(parse_address(text)) == text
    except InvalidAddress as error:
        assert error.oct_code == 1202


@pytest.mark.parametrize(
    "text",
    [
        "oct" + "z" * 44,  # spells more than 256 bits
        "oct4XmjKEd9A96KhoMX94zWJmd28dcPisbWGYWtad1dQ9v",  # a character short
        "oct0" + "1" * 43,  # 0 is no base58 digit
        "OCT4XmjKEd9A96KhoMX94zWJmd28dcPisbWGYWtad1dQ9v5",
        "oct4XmjKEd9A96KhoMX94zWJmd28dcPisbWGYWtad1dQ9v5\n",
    ],
)
def test_near_misses_are_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_address(text)


@given(st.integers(0, 10**16 - 1))
def test_amounts_survive_printing(units: int) -> None:
    assert parse_amount(print_amount(units)) == units


@pytest.mark.parametrize(("text", "units"), [("12.5", 12_500_000), ("0.000001", 1), ("0", 0), ("7", 7_000_000)])
def test_amounts_are_read_as_oct(text: str, units: int) -> None:
    assert parse_amount(text) == units


@pytest.mark.parametrize("text", ["-1", "1e3", "1.0000001", "", ".5", "01", "1,5", "1.", "0x10", "١"])
def test_other_amounts_are_refused(text: str) -> None:
    with pytest.raises(InvalidAmount):
        parse_amount(text)
