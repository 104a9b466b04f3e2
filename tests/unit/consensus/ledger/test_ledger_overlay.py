"""The overlay is a dictionary that can undo."""

from __future__ import annotations

from operator import ne

from hypothesis import given
from hypothesis import strategies as st
from ledger_double import MemoryView

from octra.consensus.ledger.state import Overlay

KEY = st.binary(min_size=1, max_size=3).map(lambda raw: bytes(byte % 3 for byte in raw))
VALUE = st.one_of(st.none(), st.binary(max_size=2))
ACTION = st.one_of(
    st.tuples(st.just("write"), KEY, VALUE), st.tuples(st.sampled_from(["begin", "keep", "undo"]), KEY, VALUE)
)


@given(st.dictionaries(KEY, st.binary(max_size=2)), st.lists(ACTION, max_size=40), KEY, st.integers(0, 9))
def test_an_overlay_reads_like_a_dictionary_whatever_was_kept_or_undone(
    base: dict[bytes, bytes], actions: list[tuple[str, bytes, bytes | None]], prefix: bytes, limit: int
) -> None:
    overlay, model = Overlay(MemoryView(sorted(base.items()))), dict(base)
    saved: dict[bytes, bytes] | None = None
    for action, key, value in actions:
        if action == "write":
            if value is None:
                overlay.delete(key)
                model.pop(key, None)
            else:
                overlay.put(key, value)
                model[key] = value
        elif action == "begin" and saved is None:
            overlay.savepoint()
            saved = dict(model)
        elif action == "keep" and saved is not None:
            overlay.keep()
            saved = None
        elif action == "undo" and saved is not None:
            overlay.undo()
            model, saved = saved, None
    rows = sorted((key, value) for key, value in model.items() if key.startswith(prefix))
    assert list(overlay.scan(prefix, limit)) == rows[:limit]
    assert {key: overlay.get(key) for key in set(base) | set(model)} == {
        key: model.get(key) for key in set(base) | set(model)
    }
    changes = overlay.changes()
    assert changes.keys == sorted(set(changes.keys))
    assert changes.before == [base.get(key) for key in changes.keys]
    assert all(map(ne, changes.before, changes.after))
    assert changes.of(b"\x01").keys == [key for key in changes.keys if key[0] == 1]
    after = dict(base)
    for key, value in zip(changes.keys, changes.after, strict=True):
        if value is None:
            del after[key]
        else:
            after[key] = value
    assert after == model
