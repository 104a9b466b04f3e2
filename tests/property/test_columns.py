"""A column is the list of its parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from octra.columns import Column, cut

PARTS = st.lists(st.binary(max_size=5), max_size=9)


@given(PARTS, PARTS, st.binary(max_size=5))
def test_a_column_reads_like_the_list_of_its_parts(first: list[bytes], second: list[bytes], last: bytes) -> None:
    column, model = Column.of(first), [*first, *second, last]
    column.extend(Column.of(second))
    column.append(last)
    assert list(column) == model
    assert len(column) == len(model)
    assert [column[index] for index in range(-len(model), len(model))] == model * 2
    assert column[1:3] == tuple(model[1:3])
    assert bytes(column.joined) == b"".join(model)
    assert column == Column(b"".join(model), map(len, model))


@given(PARTS)
def test_columns_of_other_parts_differ(parts: list[bytes]) -> None:
    assert Column.of(parts) != Column.of([*parts, b""])
    assert (Column.of([b"a", b"b"]) == Column.of([b"ab"])) is False


@given(st.integers(1, 40), st.integers(0, 9))
def test_what_is_cut_joins_again(size: int, count: int) -> None:
    joined = bytes(index % 251 for index in range(size * count))
    pieces = cut(joined, size)
    assert b"".join(pieces) == joined
    assert [len(piece) for piece in pieces] == [size] * count
