"""When compiled code counts as there: built for this machine, by this program, and not switched off."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import pytest

from octra.compiled import Compiled, Room
from octra.native_build import TREE


def declare(library: ctypes.CDLL) -> None:
    library.octra_trees_new.restype = ctypes.c_void_p


def declare_another(library: ctypes.CDLL) -> None:
    declare(library)
    library.octra_trees_of_another_program.restype = None


@pytest.mark.skipif(not TREE.output.exists(), reason="the library is not built: python -m octra.native_build")
def test_a_library_is_there_if_it_has_all_functions_and_is_not_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCTRA_NO_KERNEL", raising=False)
    part = Compiled(TREE.output, declare)
    assert part.available()
    assert part.library.octra_trees_new.restype is ctypes.c_void_p
    assert not Compiled(TREE.output, declare_another).available()
    monkeypatch.setenv("OCTRA_NO_KERNEL", "1")
    assert not part.available()


def test_no_library_and_one_of_another_machine_count_as_none(tmp_path: Path) -> None:
    assert not Compiled(tmp_path / "tree.so", declare).available()
    (tmp_path / "tree.so").write_bytes(b"no library")
    assert not Compiled(tmp_path / "tree.so", declare).available()


def test_a_room_is_zeroed_and_shows_what_compiled_code_has_written() -> None:
    copy = ctypes.CDLL(None).memcpy
    copy.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    room = Room(8)
    assert room.first(8) == bytes(8)
    copy(room, b"\1\0\2", 3)
    assert (room.first(0), room.first(3), room.first(8)) == (b"", b"\1\0\2", b"\1\0\2" + bytes(5))
    assert Room(0).first(0) == b""


def test_rooms_of_many_lengths_leave_nothing_for_the_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        for length in range(10_000, 10_100):
            Room(length)
        assert gc.collect() == 0
    finally:
        gc.enable()
