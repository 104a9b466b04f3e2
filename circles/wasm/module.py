"""What the checker proves about a module: only `check` makes these values, and everything behind it trusts them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from octra.circles.limits import MEMORY_PAGES_MAX
from octra.circles.wasm.reader import Section
from octra.circles.wasm.table import call_cost, frame_weight

FUNCTION_KIND, TABLE_KIND, MEMORY_KIND, GLOBAL_KIND = 0, 1, 2, 3


class FuncType(NamedTuple):
    """Parameter and result types of a function."""

    parameters: tuple[int, ...]
    results: tuple[int, ...]


class Tail(IntEnum):
    """How a segment's last instruction is metered."""

    PLAIN = 0
    CALL = 1  # also call_indirect: depth
    BULK = 2  # memory.fill, copy, init: bytes
    GROW = 3  # memory.grow: pages


class Segment(NamedTuple):
    """A straight run of instructions: bytes `start` to `end`, the last instruction at `last`, and its static cost."""

    start: int
    last: int
    end: int
    cost: int
    tail: Tail


class Global(NamedTuple):
    """A global's type and whether it can be set."""

    type: int
    mutable: bool


@dataclass(frozen=True, slots=True)
class Export:
    """What an exported name stands for."""

    kind: int
    index: int


@dataclass(frozen=True, slots=True)
class Function:
    """A checked body: its local declarations (bytes `start` to `code`), frame and segments."""

    type: FuncType
    start: int
    code: int
    end: int
    local_groups: int
    local_count: int
    operands: int  # greatest operand height
    segments: tuple[Segment, ...]

    @property
    def weight(self) -> int:
        return frame_weight(len(self.type.parameters), self.local_count, self.operands)


@dataclass(frozen=True, slots=True)
class CheckedModule:
    """A module that keeps every rule of the accepted subset, with what metering and calling need to know."""

    code: bytes
    sections: dict[int, Section]
    types: tuple[FuncType, ...]
    imports: tuple[str, ...]
    function_types: tuple[FuncType, ...]  # imported ones first
    functions: tuple[Function, ...]
    memory: tuple[int, int] | None  # initial and greatest pages, the latter clamped
    globals: tuple[Global, ...]
    exports: dict[str, Export]
    start: int | None
    data_bytes: int

    @property
    def call_cost(self) -> int:
        """Gas a call takes before the first instruction."""
        return call_cost(self.memory[0] if self.memory else 0, self.data_bytes)

    def exported_function(self, name: str) -> FuncType | None:
        """The type of an exported function, or None."""
        export = self.exports.get(name)
        if export is None or export.kind != FUNCTION_KIND:
            return None
        return self.function_types[export.index]

    @property
    def pages_max(self) -> int:
        return self.memory[1] if self.memory else MEMORY_PAGES_MAX
