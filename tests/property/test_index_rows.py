"""The compiled index of transactions has the rows of the reference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octra.storage import index
from octra.storage.index import Executed, rows_of

pytestmark = pytest.mark.skipif(not index.available(), reason="the library is not built")

NAMES = st.binary(min_size=1, max_size=2).map(lambda end: bytes(32 - len(end)) + end) | st.binary(
    min_size=32, max_size=32
)
transactions = st.lists(
    st.tuples(NAMES, st.integers(0, 2**32 - 1), st.integers(0, 2), st.lists(NAMES, max_size=3, unique=True)),
    max_size=12,
    unique_by=(lambda one: one[0], lambda one: one[1]),
)


@given(st.integers(0, 2**64 - 1), transactions)
def test_the_rows_are_those_of_the_reference(height: int, block: list[tuple[bytes, int, int, list[bytes]]]) -> None:
    ids, indices, statuses, accounts = ([one[column] for one in block] for column in range(4))
    joined, counts = b"".join(map(b"".join, accounts)), list(map(len, accounts))
    executed = Executed(ids, indices, statuses, ids, joined, counts)
    compiled = rows_of(height, executed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCTRA_NO_KERNEL", "1")
        plain = rows_of(height, executed)
    assert list(map(list, compiled)) == list(map(list, plain))
    assert list(compiled.ids) == sorted(ids)
    assert list(compiled.histories) == sorted(compiled.histories)
