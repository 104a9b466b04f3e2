"""Every engine gives the verdicts of the plain-integer reference, one by one and by the batch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random

import ed25519_reference as curve
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra import native_build
from octra.crypto import ed25519, ed25519_native
from octra.crypto.ed25519 import ORDER, SigningKey
from octra.crypto.ed25519_native import NativeEngine, NativeUnavailable
from octra.crypto.ed25519_sodium import SodiumEngine

Item = tuple[bytes, bytes, bytes]
FROZEN = json.loads((Path(curve.__file__).with_name("ed25519.json")).read_text())
CASES: list[Item] = [(bytes.fromhex(key), bytes.fromhex(sig), bytes.fromhex(text)) for _, key, sig, text, _ in FROZEN]
VERDICTS: list[bool] = [valid for *_, valid in FROZEN]
VARIANTS = ed25519_native.available()
SODIUM = SodiumEngine()

needs_library = pytest.mark.skipif(not VARIANTS, reason="library not built: python -m octra.native_build")


@pytest.fixture(scope="module", params=VARIANTS)
def native(request: pytest.FixtureRequest) -> NativeEngine:
    return NativeEngine(request.param)


def honest(count: int, message_size: int = 40, keys: int = 7) -> list[Item]:
    signers = [SigningKey(i.to_bytes(32, "little")) for i in range(keys)]
    messages = [bytes([i % 256, i // 256]) * (message_size // 2) for i in range(count)]
    return [(signers[i % keys].public, signers[i % keys].sign(text), text) for i, text in enumerate(messages)]


def spoil(item: Item) -> Item:
    return item[0], item[1], item[2] + b"!"


def shift_scalar(item: Item, by: int) -> Item:
    key, signature, message = item
    s = (int.from_bytes(signature[32:], "little") + by) % ORDER
    return key, signature[:32] + s.to_bytes(32, "little"), message


def test_libsodium_gives_every_frozen_verdict() -> None:
    assert SODIUM.verify_many(CASES) == VERDICTS


@needs_library
def test_each_frozen_verdict_is_given_alone(native: NativeEngine) -> None:
    assert [native.verify(*case) for case in CASES] == VERDICTS


@needs_library
@pytest.mark.parametrize("start", range(4))
def test_all_frozen_cases_in_one_batch_get_their_verdicts(native: NativeEngine, start: int) -> None:
    order = Random(start).sample(range(len(CASES)), len(CASES))
    assert native.verify_many([CASES[i] for i in order]) == [VERDICTS[i] for i in order]


@needs_library
@pytest.mark.parametrize("size", [2, 7, 33, 300])
def test_a_frozen_case_hidden_among_honest_signatures_keeps_its_verdict(native: NativeEngine, size: int) -> None:
    crowd = honest(size)
    for case in range(0, len(CASES), 1 + size // 3):
        at = case % size
        hidden = [*crowd[:at], CASES[case], *crowd[at + 1 :]]
        assert native.verify_many(hidden) == [VERDICTS[case] if i == at else True for i in range(size)]


@needs_library
@settings(max_examples=60)
@given(size=st.integers(1, 140), bad=st.sets(st.integers(0, 139)), data=st.data())
def test_halving_names_exactly_the_bad_signatures(size: int, bad: set[int], data: st.DataObject) -> None:
    engine = NativeEngine(data.draw(st.sampled_from(VARIANTS)), cached_keys=8)
    items = [spoil(item) if i in bad else item for i, item in enumerate(honest(size))]
    seed = data.draw(st.binary(min_size=32, max_size=32))
    assert engine.verify_many(items, seed) == [i not in bad for i in range(size)]


@needs_library
@pytest.mark.parametrize("other", range(1, 12))
def test_errors_that_would_cancel_out_are_found_under_any_seed(native: NativeEngine, other: int) -> None:
    items = honest(12)
    items[0], items[other] = shift_scalar(items[0], 1), shift_scalar(items[other], -1)
    for seed in range(3):
        verdicts = native.verify_many(items, bytes([seed]) * 32)
        assert verdicts == [i not in (0, other) for i in range(12)]


@needs_library
def test_more_signatures_than_one_sum_takes_are_checked(native: NativeEngine) -> None:
    items = honest(4_100, keys=600)
    bad = {0, 4_095, 4_096, 4_099}
    for i in bad:
        items[i] = spoil(items[i])
    assert native.verify_many(items) == [i not in bad for i in range(len(items))]


@needs_library
def test_long_and_empty_messages_share_a_batch(native: NativeEngine) -> None:
    key = SigningKey(b"\x09" * 32)
    messages = [bytes([i]) * size for i, size in enumerate([0, 65_536, 1, 300, 65_536, 0, 111])]
    items = [(key.public, key.sign(text), text) for text in messages]
    assert native.verify_many(items) == [True] * len(items)
    items[4] = (key.public, items[4][1], messages[4][:-1] + b"\x00")
    assert native.verify_many(items) == [True, True, True, True, False, True, True]


@needs_library
def test_verdicts_do_not_depend_on_what_the_cache_holds(native: NativeEngine) -> None:
    small = NativeEngine(native.name.removeprefix("native-"), cached_keys=1)
    items = [spoil(item) if i % 5 == 0 else item for i, item in enumerate(honest(120, keys=60))]
    expected = [i % 5 != 0 for i in range(120)]
    for _ in range(3):  # cold, then with keys in any order of recency
        assert small.verify_many(items) == expected
        assert [small.verify(*item) for item in reversed(items)] == expected[::-1]
    no_point = (2).to_bytes(32, "little")
    for _ in range(2):
        assert not small.verify(no_point, items[0][1], b"")
        assert small.verify(bytes(32), bytes(64), b"")  # y = 0, whose bytes are those of an empty line


@needs_library
def test_threads_may_share_an_engine(native: NativeEngine) -> None:
    shared = NativeEngine(native.name.removeprefix("native-"), cached_keys=16)
    items = [spoil(item) if i % 11 == 3 else item for i, item in enumerate(honest(200, keys=50))]
    expected = [i % 11 != 3 for i in range(200)]
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda i: shared.verify_many(items[i : i + 50]), [0, 50, 100, 150] * 10))
    assert [verdict for part in parts for verdict in part] == expected * 10


def points_of_odd_shapes() -> Iterator[bytes]:
    """Points whose encodings have long runs of zeros or ones, where a lost carry would show."""
    for start in range(0, 255, 17):
        for width in (1, 25, 51, 120):
            ones = ((1 << width) - 1 << start) % 2**255
            for y in (ones, 2**255 - 1 - ones):
                raw = (y | (start & 1) << 255).to_bytes(32, "little")
                if curve.decompress(raw) is not None:
                    yield raw


SCALARS = [0, 1, 2, 8, ORDER - 1, ORDER - 2, 2**252, 2**252 - 1, 2**128, 2**128 - 1, (2**252 - 1) // 3, 2**200 - 2**100]


@needs_library
def test_multiples_of_odd_points_by_odd_scalars_are_exact(native: NativeEngine) -> None:
    points = list(points_of_odd_shapes())
    for i, raw in enumerate(points):
        scalar = SCALARS[i % len(SCALARS)]
        expected = curve.compress(curve.multiply(scalar, curve.decompress(raw)))
        assert native.sum_of_multiples([raw], [scalar]) == expected


@needs_library
@pytest.mark.parametrize("count", [2, 3, 5, 64, 255, 256, 300])
def test_sums_of_few_and_of_many_terms_are_exact(native: NativeEngine, count: int) -> None:
    random, points = Random(count), list(points_of_odd_shapes())
    raws = [random.choice(points) for _ in range(count)]
    scalars = [random.choice([*SCALARS, random.randrange(ORDER)]) for _ in range(count)]
    # Equal points are one term of the reference: their scalars add up, also around the torsion that they may hold.
    weights = {raw: sum(s for r, s in zip(raws, scalars, strict=True) if r == raw) % (8 * ORDER) for raw in set(raws)}
    expected = curve.total([(weight, curve.decompress(raw)) for raw, weight in weights.items()])
    assert native.sum_of_multiples(raws, scalars) == curve.compress(expected)


@needs_library
def test_sums_refuse_what_is_no_point_or_no_scalar(native: NativeEngine) -> None:
    base = bytes.fromhex("58" + "66" * 31)
    assert native.sum_of_multiples([base], [1]) == base
    assert native.sum_of_multiples([(2).to_bytes(32, "little")], [1]) is None
    assert native.sum_of_multiples([base], [ORDER]) is None


def mutated(random: Random, pool: list[Item]) -> Item:
    """A case with one thing changed, or two cases mixed; a few stay as they are."""
    (key, signature, message), other = random.choice(pool), random.choice(pool)
    match random.randrange(9):
        case 0:
            return key, signature, message
        case 1:
            return other[0], signature, message
        case 2:
            return key, other[1][:32] + signature[32:], message
        case 3:
            return key, signature[:32] + other[1][32:], message
        case 4:
            s = int.from_bytes(signature[32:], "little") + random.choice([1, 8, ORDER, -1]) * random.randrange(1, 4)
            return key, signature[:32] + (s % 2**256).to_bytes(32, "little"), message
        case 5:
            return key[:31] + bytes([key[31] ^ 0x80]), signature, message
        case 6:
            return key, signature[:31] + bytes([signature[31] ^ 0x80]) + signature[32:], message
        case 7:
            return random.randbytes(32), random.randbytes(63) + b"\x00", message
        case _:
            whole = bytearray(key + signature + message)
            whole[random.randrange(len(whole))] ^= 1 << random.randrange(8)
            return bytes(whole[:32]), bytes(whole[32:96]), bytes(whole[96:])


def check_mutations(count: int, seed: int) -> None:
    random, pool = Random(seed), [*CASES, *honest(200, keys=20)]
    engines = [NativeEngine(variant, cached_keys=64) for variant in VARIANTS]
    done = 0
    while done < count:
        items = [mutated(random, pool) for _ in range(min(random.choice([1, 3, 20, 200]), count - done))]
        expected = SODIUM.verify_many(items)
        for engine in engines:
            assert engine.verify_many(items) == expected
        assert curve.verify(*items[0]) == expected[0]
        done += len(items)


@needs_library
def test_two_thousand_mutations_get_equal_verdicts() -> None:
    check_mutations(2_000, 1)


@needs_library
@pytest.mark.long
def test_a_hundred_thousand_mutations_get_equal_verdicts() -> None:
    check_mutations(100_000, 2)


def test_what_has_a_wrong_size_is_refused_among_others() -> None:
    (key, signature, message), other = honest(2)
    items = [(key, signature, message), (key[:31], signature, message), (key, signature + b"\x00", message), other]
    assert ed25519.verify_many(items) == [True, False, False, True]
    assert ed25519.verify_many([]) == []
    assert ed25519.verify_many([(b"", b"", b"")]) == [False]


def test_without_the_library_libsodium_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTRA_NO_KERNEL", "1")
    assert ed25519_native.available() == ()
    with pytest.raises(NativeUnavailable):
        NativeEngine("portable")
    with chosen_again():
        assert ed25519.engine() == "libsodium"
        assert ed25519.verify_many([*honest(2), spoil(honest(1)[0])]) == [True, True, False]
        assert ed25519.verify(*honest(1)[0])


@needs_library
def test_alone_a_signature_is_checked_by_what_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ed25519_native, "VARIANTS", ("portable",))
    with chosen_again():
        assert ed25519.engine() == "native-portable"
        assert isinstance(ed25519._engine_of_one(), SodiumEngine)
        assert ed25519.verify(*honest(1)[0])
        assert not ed25519.verify(*spoil(honest(1)[0]))


@contextmanager
def chosen_again() -> Iterator[None]:
    """Engines are chosen anew inside, and once more behind it."""
    for choice in (ed25519._engine, ed25519._engine_of_one):
        choice.cache_clear()
    try:
        yield
    finally:
        for choice in (ed25519._engine, ed25519._engine_of_one):
            choice.cache_clear()


@needs_library
def test_the_fastest_variant_is_in_use() -> None:
    assert ed25519.engine() == f"native-{VARIANTS[0]}"
    with pytest.raises(NativeUnavailable):
        NativeEngine("abacus")


def test_the_build_puts_the_library_where_it_is_looked_for() -> None:
    assert native_build.ED25519.output.resolve() == ed25519_native.LIBRARY.resolve()
