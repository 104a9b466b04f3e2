"""One value has one encoding."""

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octra.codec import decode, encode
from octra.errors import Malformed


class Point(msgspec.Struct, frozen=True, array_like=True):
    x: int
    label: bytes
    rest: tuple[int, ...] = ()


points = st.builds(
    Point, st.integers(-(2**63), 2**64 - 1), st.binary(max_size=300), st.tuples(st.integers(0, 9), st.integers(0, 9))
)


@given(points)
def test_decoding_what_was_encoded_gives_the_value_back(point: Point) -> None:
    assert decode(encode(point), Point) == point


@given(points, st.data())
def test_any_changed_byte_is_refused_or_decodes_to_exactly_those_bytes(point: Point, data: st.DataObject) -> None:
    raw = bytearray(encode(point))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert encode(decode(bytes(raw), Point)) == bytes(raw)
    except Malformed:
        pass


@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_but_malformed(raw: bytes) -> None:
    try:
        assert encode(decode(raw, Point)) == raw
    except Malformed as error:
        assert error.what == "Point"


@pytest.mark.parametrize(
    "raw",
    [
        bytes.fromhex("93cd0001c4016190"),  # 1 written in two bytes
        bytes.fromhex("9301c40161909090"),  # bytes behind the end
        bytes.fromhex("93d90131c4016190"),  # text instead of a number
        bytes.fromhex("9401c4016190c0"),  # a field too many
        b"",
        b"\x93" * 4_000,  # deep nesting
    ],
)
def test_other_spellings_of_a_value_are_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode(raw, Point)


def test_the_error_names_the_field_but_never_the_value() -> None:
    with pytest.raises(Malformed) as caught:
        decode(encode([1, "very-secret-text", []]), Point)
    assert "secret" not in str(caught.value)


THREADS_MEET = """
import sys, threading
from octra.codec import decode, encode
from octra.consensus.ledger import ops
from octra.consensus.ledger.transactions import build

sys.setswitchinterval(1e-6)
together, failed = threading.Barrier(4), []

def work():
    together.wait()
    try:
        build(chain=bytes(32), sender=bytes(32), nonce=1, expiry_epoch=9, fee=1000, op=ops.Transfer(bytes(32), 1))
    except BaseException as error:
        failed.append(error)

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failed, failed
"""


def test_threads_may_meet_at_the_first_use_of_a_type() -> None:
    """The library alone crashes the process here, nearly every time."""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", THREADS_MEET], capture_output=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
