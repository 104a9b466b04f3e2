"""A call's view of its Circle's keys: bounds, usage and diffs, compared with a plain dictionary."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from octra.circles import limits
from octra.circles.state import ABSENT, LIMIT, OK, CircleState, Overlay, entry_size
from octra.circles.testing import CIRCLE, MIB, Shelf

KEYS = st.sampled_from([bytes((letter,)) * size for letter in b"abc" for size in (1, 2, 9)])
ACTIONS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.binary(max_size=40)),
    st.tuples(st.just("delete"), KEYS, st.just(b"")),
    st.tuples(st.just("commit"), st.just(b""), st.just(b"")),
    st.tuples(st.just("drop"), st.just(b""), st.just(b"")),
)


def usage_of(rows: dict[bytes, bytes]) -> int:
    return sum(entry_size(key, value) for key, value in rows.items())


@settings(max_examples=150, deadline=None)
@given(
    before=st.dictionaries(KEYS, st.binary(max_size=30), max_size=5),
    actions=st.lists(ACTIONS, max_size=40),
    room=st.integers(0, 300),
)
def test_usage_rows_and_diff_are_those_of_a_dictionary(
    before: dict[bytes, bytes], actions: list[tuple[str, bytes, bytes]], room: int
) -> None:
    shelf = Shelf(rows={(CIRCLE, key): value for key, value in before.items()})
    bound = usage_of(before) + room
    state = CircleState(shelf, CIRCLE, usage_of(before), 0)
    kept, model, overlay = dict(before), dict(before), Overlay(state, bound, 0)
    for action, key, value in actions:
        match action:
            case "put":
                grown = usage_of(model | {key: value})
                assert overlay.put(key, value) == (OK if grown <= bound else LIMIT)
                if grown <= bound:
                    model[key] = value
            case "delete":
                assert overlay.delete(key) == (OK if key in model else ABSENT)
                model.pop(key, None)
            case "commit":
                changes = {k: model.get(k) for k in kept.keys() | model.keys() if kept.get(k) != model.get(k)}
                assert overlay.diff() == tuple(sorted(changes.items()))
                state.commit(overlay)
                kept, overlay = dict(model), Overlay(state, bound, 0)
            case "drop":
                model, overlay = dict(kept), Overlay(state, bound, 0)
        assert overlay.usage == usage_of(model) <= bound
        assert list(overlay.scan(b"", b"\xff")) == sorted(model.items())
        assert all(overlay.get(k) == model.get(k) for k in kept)
    assert {(CIRCLE, k): v for k, v in before.items()} == shelf.rows, "the committed state is never written"


def test_usage_equals_a_recount_after_100_000_operations() -> None:
    dice = random.Random(11)
    state = CircleState(Shelf(), CIRCLE, 0, 0)
    model: dict[bytes, bytes] = {}
    for _ in range(100):
        overlay = Overlay(state, 256 * 1024, 0)
        for _ in range(1_000):
            key = b"%d" % dice.randrange(3_000)
            if dice.random() < 0.4:
                if overlay.delete(key) == OK:
                    del model[key]
            else:
                value = bytes(dice.randrange(200))
                if overlay.put(key, value) == OK:
                    model[key] = value
        state.commit(overlay)
    assert state.usage == usage_of(model)
    assert 200 * 1024 < state.usage <= 256 * 1024


def test_fill_to_the_last_byte_delete_and_refill() -> None:
    state = CircleState(Shelf(), CIRCLE, 0, 0)
    big = limits.INLINE_VALUE_MAX
    number = 0
    while state.usage + entry_size(b"%08d" % number, bytes(big)) <= 32 * MIB:
        overlay = Overlay(state, 32 * MIB, 0)
        for _ in range(10):
            key = b"%08d" % number
            if overlay.put(key, bytes(big)) == OK:
                number += 1
        state.commit(overlay)
    rest = 32 * MIB - state.usage
    assert entry_size(b"rest", b"") < rest < big
    overlay = Overlay(state, 32 * MIB, 0)
    exact = bytes(rest - entry_size(b"rest", b""))
    assert overlay.put(b"rest", exact + b"x") == LIMIT
    assert overlay.put(b"rest", exact) == OK
    assert overlay.usage == 32 * MIB == 33_554_432
    assert overlay.put(b"one more", b"") == LIMIT
    assert overlay.put(b"rest", exact + b"x") == LIMIT
    assert overlay.delete(b"00000000") == OK
    assert overlay.put(b"00000000", bytes(big)) == OK
    assert overlay.usage == 32 * MIB


def test_at_most_4096_keys_change_in_a_call() -> None:
    overlay = Overlay(CircleState(Shelf(), CIRCLE, 0, 0), 32 * MIB, 0)
    for number in range(limits.CHANGED_KEYS_MAX):
        assert overlay.put(b"%d" % number, b"") == OK
    assert overlay.put(b"one more", b"") == LIMIT
    assert overlay.put(b"7", b"again") == OK, "a key that has changed already may change again"


def test_a_circle_above_its_limit_may_still_shrink() -> None:
    shelf = Shelf(rows={(CIRCLE, b"old"): bytes(100)})
    overlay = Overlay(CircleState(shelf, CIRCLE, 167, 0), 50, 0)
    assert overlay.put(b"old", bytes(99)) == LIMIT
    assert overlay.delete(b"old") == OK
    assert overlay.diff() == ((b"old", None),)
