"""BFV vectors: exact results up to every limit, and a typed refusal past it, before SEAL could answer with garbage."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra import codec
from octra.errors import Malformed
from octra.hfhe import bfv, bfv_errors
from octra.hfhe.bfv import LIMITS, PLAIN_MODULUS, VALUE_MAX, BfvKey, BfvPublicKey, BfvVector
from octra.hfhe.errors import UnsupportedVersion, WrongKey

pytest.importorskip("tenseal")
SIZES = sorted(LIMITS)
VALUES = st.lists(st.integers(-VALUE_MAX, VALUE_MAX), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def key() -> BfvKey:
    return BfvKey.generate(4096, galois=True)


@pytest.fixture(scope="module")
def other_key() -> BfvKey:
    return BfvKey.generate(4096)


def wrapped(value: int) -> int:
    """The number that a slot holds instead of `value`."""
    return (value + VALUE_MAX) % PLAIN_MODULUS - VALUE_MAX


def encrypt(key: BfvKey, values: Any) -> BfvVector:
    return BfvVector.encrypt(key.public(), values)


@settings(max_examples=20)
@given(values=VALUES, data=st.data())
def test_arithmetic_on_ciphertexts_is_arithmetic_on_values(key: BfvKey, values: list[int], data: st.DataObject) -> None:
    others = data.draw(st.lists(st.integers(-VALUE_MAX, VALUE_MAX), min_size=len(values), max_size=len(values)))
    number = data.draw(st.integers(-VALUE_MAX, VALUE_MAX))
    a, b = encrypt(key, values), encrypt(key, others)
    pairs = list(zip(values, others, strict=True))
    for operand in (b, others):
        assert (a + operand).decrypt(key) == [wrapped(x + y) for x, y in pairs]
        assert (a - operand).decrypt(key) == [wrapped(x - y) for x, y in pairs]
        assert (a * operand).decrypt(key) == [wrapped(x * y) for x, y in pairs]
        assert a.dot(operand).decrypt(key) == [wrapped(sum(x * y for x, y in pairs))]
    assert (-a).decrypt(key) == [-x for x in values]
    assert a.sum().decrypt(key) == [wrapped(sum(values))]
    assert (number + a).decrypt(key) == [wrapped(x + number) for x in values]
    assert (number - a).decrypt(key) == [wrapped(number - x) for x in values]
    assert (number * a).decrypt(key) == [wrapped(x * number) for x in values]


def test_results_that_are_zero_by_themselves_are_no_error(key: BfvKey) -> None:
    a = encrypt(key, [5, -6])
    assert (a - a).decrypt(key) == [0, 0]
    assert (a * 0).decrypt(key) == (a * [0, 0]).decrypt(key) == [0, 0]


@pytest.mark.parametrize("size", SIZES)
def test_products_are_exact_to_the_last_allowed_depth_and_then_refused(size: int) -> None:
    key, limits = BfvKey.generate(size), LIMITS[size]
    product, clear = encrypt(key, [VALUE_MAX, 3, -2]), [VALUE_MAX, 3, -2]
    for _ in range(limits.depth):
        product, clear = product * product, [wrapped(x * x) for x in clear]
    while product.summands * 2 <= limits.summands:
        product, clear = product + product, [wrapped(2 * x) for x in clear]
    assert product.decrypt(key) == clear
    assert key.noise_budget(product) > 0
    with pytest.raises(bfv_errors.TooManySummands):
        product + product
    with pytest.raises(bfv_errors.BfvNoiseBudgetExceeded) as error:
        product * 1
    assert (error.value.depth, error.value.max) == (limits.depth + 1, limits.depth)


def test_a_full_dot_product_of_the_largest_values_is_exact(key: BfvKey) -> None:
    values = [VALUE_MAX - i for i in range(2048)]
    product = encrypt(key, values).dot(encrypt(key, values))
    assert product.decrypt(key) == [wrapped(sum(x * x for x in values))]
    twice = product + product
    assert twice.decrypt(key) == [wrapped(2 * sum(x * x for x in values))]
    assert key.noise_budget(twice) > 0


def test_lengths_and_values_have_limits(key: BfvKey) -> None:
    assert encrypt(key, [1] * 4096).decrypt(key) == [1] * 4096
    with pytest.raises(bfv_errors.VectorTooLong):
        encrypt(key, [1] * 4097)
    with pytest.raises(bfv_errors.VectorTooLong):
        encrypt(key, [1] * 2049).sum()
    with pytest.raises(bfv_errors.EmptyVector):
        encrypt(key, [])
    for value in (VALUE_MAX + 1, -VALUE_MAX - 1, 1.5, "1"):
        with pytest.raises(bfv_errors.ValueOutOfRange) as error:
            encrypt(key, [0, value])
        assert error.value.position == 1
    with pytest.raises(bfv_errors.ValueOutOfRange):
        encrypt(key, [1]) * (VALUE_MAX + 1)
    with pytest.raises(bfv_errors.LengthMismatch):
        encrypt(key, [1, 2]) + encrypt(key, [1])
    with pytest.raises(bfv_errors.LengthMismatch):
        encrypt(key, [1, 2]).add([1, 2, 3])
    with pytest.raises(bfv_errors.UnknownSize):
        BfvKey.generate(2048)


def test_sums_ask_for_galois_keys_by_name(other_key: BfvKey) -> None:
    for use in (lambda vector: vector.sum(), lambda vector: vector.dot([1])):
        with pytest.raises(bfv_errors.GaloisKeysMissing, match="galois=True"):
            use(encrypt(other_key, [1]))


def test_keys_do_not_mix(key: BfvKey, other_key: BfvKey) -> None:
    ours, theirs = encrypt(key, [1]), encrypt(other_key, [1])
    for use in (ours.add, ours.sub, ours.mul, ours.dot):
        with pytest.raises(WrongKey):
            use(theirs)
    with pytest.raises(WrongKey):
        theirs.decrypt(key)
    with pytest.raises(WrongKey):
        key.noise_budget(theirs)
    with pytest.raises(WrongKey):
        BfvVector.decode(key.public(), theirs.encode())


def test_keys_and_vectors_survive_their_bytes(other_key: BfvKey) -> None:
    before = BfvKey.generate(4096).public()
    used = BfvPublicKey.decode(before.encode())
    BfvVector.encrypt(used, [1])
    assert BfvPublicKey.decode(used.encode()).key_id == before.key_id
    public = BfvPublicKey.decode(other_key.public().encode())
    owner = BfvKey.from_secret_bytes(other_key.secret_bytes())
    assert public.key_id == other_key.public().key_id == owner.public().key_id
    vector = BfvVector.decode(public, (BfvVector.encrypt(public, [7, -8]) * 2).encode(), believe_depth=True)
    assert (vector.depth, vector.summands, vector.length) == (1, 1, 2)
    assert vector.decrypt(owner) == [14, -16]


def test_a_secret_key_is_taken_by_decryption_only(other_key: BfvKey) -> None:
    with pytest.raises(bfv_errors.SecretKeyRefused):
        BfvPublicKey.decode(other_key.secret_bytes())
    with pytest.raises(bfv_errors.SecretKeyRefused):
        BfvVector.encrypt(other_key, [1])  # type: ignore[arg-type]
    with pytest.raises(bfv_errors.SecretKeyRefused):
        BfvVector.decode(other_key, encrypt(other_key, [1]).encode())  # type: ignore[arg-type]
    with pytest.raises(Malformed):
        BfvKey.from_secret_bytes(other_key.public().encode())


def test_a_secret_key_neither_prints_nor_pickles(other_key: BfvKey) -> None:
    assert repr(other_key) == "BfvKey(4096, <sealed>)"
    with pytest.raises(TypeError):
        pickle.dumps(other_key)


def test_the_noise_of_a_strangers_vector_counts_as_the_largest(other_key: BfvKey) -> None:
    vector = BfvVector.decode(other_key.public(), encrypt(other_key, [5]).encode())
    assert vector.decrypt(other_key) == [5]
    with pytest.raises(bfv_errors.BfvNoiseBudgetExceeded):
        vector * 1
    with pytest.raises(bfv_errors.TooManySummands):
        vector + vector


@settings(max_examples=100)
@given(data=st.data())
def test_one_flipped_bit_or_cut_byte_is_noticed_before_seal_reads_it(
    other_key: BfvKey, good: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(good)
    position = data.draw(st.integers(0, len(good) - 1))
    if data.draw(st.booleans()):
        damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del damaged[position:]
    try:
        vector = BfvVector.decode(other_key.public(), bytes(damaged), believe_depth=True)
    except (Malformed, UnsupportedVersion, WrongKey, bfv_errors.UnknownSize, bfv_errors.VectorTooLong):
        return
    except (bfv_errors.BfvNoiseBudgetExceeded, bfv_errors.TooManySummands):
        return
    assert position >= len(good) - 6, "only the counts behind the payload are outside the digest"
    assert vector.length == 2


@pytest.fixture(scope="module")
def good(other_key: BfvKey) -> bytes:
    return encrypt(other_key, [1, 2]).encode()


def test_false_counts_and_sizes_are_refused(other_key: BfvKey, good: bytes) -> None:
    public, frame = other_key.public(), codec.decode(good, bfv._VectorFrame)
    fields = [frame.version, frame.size, frame.key_id, frame.digest, frame.payload, 0, 1, 2]

    def decoding(**changes: int) -> None:
        names = ["version", "size", "key_id", "digest", "payload", "depth", "summands", "length"]
        changed = [changes.get(name, value) for name, value in zip(names, fields, strict=True)]
        BfvVector.decode(public, codec.encode(changed), believe_depth=True)

    decoding()
    for changes, error in (
        ({"version": 2}, UnsupportedVersion),
        ({"size": 2048}, bfv_errors.UnknownSize),
        ({"size": 8192}, Malformed),
        ({"depth": -1}, Malformed),
        ({"depth": 2}, bfv_errors.BfvNoiseBudgetExceeded),
        ({"summands": 0}, Malformed),
        ({"length": 3}, Malformed),
        ({"length": 4097}, bfv_errors.VectorTooLong),
    ):
        with pytest.raises(error):
            decoding(**changes)
    with pytest.raises(Malformed, match="at most"):
        BfvVector.decode(public, bytes(bfv.VECTOR_BYTES_MAX + 1))


def test_bytes_that_seal_cannot_read_are_malformed(other_key: BfvKey) -> None:
    public = other_key.public()
    header = [1, 4096, public.key_id, bfv._digest(b"nonsense"), b"nonsense"]
    with pytest.raises(Malformed):
        BfvVector.decode(public, codec.encode([*header, 0, 1, 2]))
    with pytest.raises(Malformed):
        BfvPublicKey.decode(codec.encode(header))


def test_tenseal_is_imported_only_where_it_is_used() -> None:
    program = "import octra.hfhe.bfv, octra.hfhe.simple, sys; assert 'tenseal' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_tenseal_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tenseal", None)
    with pytest.raises(bfv_errors.BfvUnavailable, match="octra-node\\[bfv\\]"):
        BfvKey.generate(4096)


def test_the_scoring_example_gives_the_scores(capsys: pytest.CaptureFixture[str]) -> None:
    from octra.hfhe.examples import linear_scoring

    linear_scoring.main()
    printed = capsys.readouterr().out.splitlines()
    expected = [
        sum(w * x for w, x in zip(linear_scoring.WEIGHTS, row, strict=True)) + linear_scoring.OFFSET
        for row in linear_scoring.ROWS
    ]
    assert printed == [f"{row}: {e} points" for row, e in zip(linear_scoring.ROWS, expected, strict=True)]
