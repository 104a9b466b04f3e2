"""When compiled code counts as there: built for this machine, by this program, and not switched off."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from octra.compiled import Compiled
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
