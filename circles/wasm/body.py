"""Checks one function body by the validation algorithm of the wasm specification (appendix), and cuts it for metering.

Nothing is left to the engine: every operand's type is followed, so what passes here is valid everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from octra.circles.errors import InvalidModule
from octra.circles.limits import BRANCH_TARGETS_MAX, LOCALS_MAX, NESTING_MAX, OPERANDS_MAX
from octra.circles.wasm.module import Function, FuncType, Global, Segment, Tail
from octra.circles.wasm.opcodes import (
    ACCESSES,
    F32,
    F64,
    I32,
    I64,
    NUMBER_TYPES,
    NUMERIC,
    SATURATING,
    TYPE_NAMES,
    UNKNOWN,
    Signature,
    refusal,
    refusal_of_prefixed,
    refusal_of_type,
)
from octra.circles.wasm.reader import Reader
from octra.circles.wasm.table import BULK, COSTS

Types = tuple[int, ...]

_BLOCK, _LOOP, _IF, _ELSE = 0x02, 0x03, 0x04, 0x05
_EMPTY: Types = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a body may refer to."""

    types: Sequence[FuncType]
    function_types: Sequence[FuncType]
    globals: Sequence[Global]
    has_memory: bool
    has_table: bool
    data_count: int | None


class _Frame:
    """An open block: its types, the operand height below it, and whether its rest cannot be reached."""

    __slots__ = ("height", "opcode", "parameters", "results", "unreachable")

    def __init__(self, opcode: int, parameters: Types, results: Types, height: int) -> None:
        self.opcode, self.parameters, self.results, self.height = opcode, parameters, results, height
        self.unreachable = False

    @property
    def label(self) -> Types:
        return self.parameters if self.opcode == _LOOP else self.results


def check_body(reader: Reader, kind: FuncType, around: Surroundings) -> Function:
    """The checked function whose declarations begin at the reader's position; consumes it up to its end."""
    return _Body(reader, kind, around).run()


class _Body:
    """The state of the algorithm: operand types, open blocks, and the segment being measured."""

    __slots__ = ("around", "frame", "frames", "kind", "locals", "offset", "reader", "stack")

    def __init__(self, reader: Reader, kind: FuncType, around: Surroundings) -> None:
        self.reader, self.kind, self.around = reader, kind, around
        self.locals: list[int] = list(kind.parameters)
        self.stack: list[int] = []
        self.frame = _Frame(_BLOCK, _EMPTY, kind.results, 0)
        self.frames = [self.frame]
        self.offset = reader.position

    def fail(self, rule: str, detail: str = "") -> InvalidModule:
        return self.reader.fail(rule, detail, self.offset)

    # Operands

    def pop(self, expected: int) -> int:
        stack = self.stack
        if len(stack) == self.frame.height:
            if self.frame.unreachable:
                return UNKNOWN
            raise self.fail("type", f"expected {TYPE_NAMES[expected]}, the stack is empty")
        actual = stack.pop()
        if actual != expected and actual != UNKNOWN and expected != UNKNOWN:
            raise self.fail("type", f"expected {TYPE_NAMES[expected]}, got {TYPE_NAMES[actual]}")
        return actual

    def pop_many(self, expected: Sequence[int]) -> None:
        stack, size = self.stack, len(expected)
        if size and len(stack) - size >= self.frame.height and stack[-size:] == list(expected):
            del stack[-size:]
            return
        for kind in reversed(expected):
            self.pop(kind)

    def apply(self, signature: Signature) -> None:
        self.pop_many(signature.operands)
        self.stack.append(signature.result)

    def cut_off(self) -> None:
        """What follows in this block cannot be reached."""
        del self.stack[self.frame.height :]
        self.frame.unreachable = True

    # Blocks

    def open(self, opcode: int) -> None:
        parameters, results = self.block_type()
        self.pop_many(parameters)
        if len(self.frames) > NESTING_MAX:
            raise self.fail("nesting", f"more than {NESTING_MAX} blocks")
        self.push_frame(opcode, parameters, results)

    def push_frame(self, opcode: int, parameters: Types, results: Types) -> None:
        self.frame = _Frame(opcode, parameters, results, len(self.stack))
        self.frames.append(self.frame)
        self.stack.extend(parameters)

    def close(self) -> _Frame:
        frame = self.frame
        self.pop_many(frame.results)
        if len(self.stack) != frame.height:
            raise self.fail("type", "values are left at the end of a block")
        self.frames.pop()
        if self.frames:
            self.frame = self.frames[-1]
        return frame

    def block_type(self) -> FuncType:
        reader = self.reader
        first = reader.data[reader.position] if not reader.done else 0
        if first == 0x40:
            reader.position += 1
            return FuncType(_EMPTY, _EMPTY)
        if first & 0xC0 == 0x40:  # any other one-byte negative number is a value type
            return FuncType(_EMPTY, (self.value_type(),))
        index = reader.signed(33)
        if not 0 <= index < len(self.around.types):
            raise self.fail("index", f"type {index}")
        return self.around.types[index]

    def value_type(self) -> int:
        code = self.reader.byte()
        if code not in NUMBER_TYPES:
            raise self.fail(refusal_of_type(code))
        return code

    def label(self) -> Types:
        depth = self.reader.u32()
        if depth >= len(self.frames):
            raise self.fail("index", f"label {depth}")
        return self.frames[-1 - depth].label

    # Instructions

    def run(self) -> Function:
        reader, around = self.reader, self.around
        start = reader.position
        groups = self.read_locals()
        code = segment_start = reader.position
        data, end, stack, costs = reader.data, reader.end, self.stack, COSTS
        segments: list[Segment] = []
        cost = highest = 0
        while self.frames:
            self.offset = offset = reader.position
            if offset >= end:
                raise self.fail("truncated", "the body ends inside a block")
            opcode = data[offset]
            reader.position = offset + 1
            cost += costs[opcode]
            tail: Tail | None = None
            signature = NUMERIC.get(opcode)
            if signature is not None:
                operands = signature.operands
                size = len(operands)
                if stack[-size:] == operands and len(stack) - size >= self.frame.height:
                    if size == 2:
                        stack.pop()
                    stack[-1] = signature.result
                else:
                    self.apply(signature)
            elif opcode == 0x20:
                stack.append(self.local())
            elif opcode == 0x41:
                reader.signed(32)
                stack.append(I32)
            elif opcode == 0x21:
                self.pop(self.local())
            elif opcode == 0x22:
                kind = self.local()
                self.pop(kind)
                stack.append(kind)
            elif opcode in ACCESSES:
                self.access(opcode)
            elif opcode == 0x23:
                stack.append(self.global_().type)
            elif opcode == 0x24:
                target = self.global_()
                if not target.mutable:
                    raise self.fail("immutable_global")
                self.pop(target.type)
            elif opcode == 0x42:
                reader.signed(64)
                stack.append(I64)
            elif opcode == 0x43:
                reader.take(4)
                stack.append(F32)
            elif opcode == 0x44:
                reader.take(8)
                stack.append(F64)
            elif opcode == 0x1A:
                self.pop(UNKNOWN)
            elif opcode in (0x1B, 0x1C):
                self.select(typed=opcode == 0x1C)
            elif opcode == 0x01:
                pass
            elif opcode == 0x3F:
                self.memory_byte()
                stack.append(I32)
            elif opcode == 0xFC:
                tail, extra = self.prefixed()
                cost += extra
            elif opcode == 0x40:
                self.memory_byte()
                self.pop(I32)
                stack.append(I32)
                tail = Tail.GROW
            elif opcode == 0x10:
                index = reader.u32()
                if index >= len(around.function_types):
                    raise self.fail("index", f"function {index}")
                self.call(around.function_types[index])
                tail = Tail.CALL
            elif opcode == 0x11:
                self.call(self.indirect_type())
                tail = Tail.CALL
            else:
                self.control(opcode)
                tail = Tail.PLAIN
            if len(stack) > highest:
                highest = len(stack)
                if highest > OPERANDS_MAX:
                    raise self.fail("operand_height", f"more than {OPERANDS_MAX} operands")
            if tail is not None:
                segments.append(Segment(segment_start, offset, reader.position, cost, tail))
                segment_start, cost = reader.position, 0
        if not reader.done:
            raise reader.fail("body", "bytes follow the end of the function")
        local_count = len(self.locals) - len(self.kind.parameters)
        return Function(self.kind, start, code, reader.end, groups, local_count, highest, tuple(segments))

    def control(self, opcode: int) -> None:
        if opcode in (_BLOCK, _LOOP):
            self.open(opcode)
        elif opcode == _IF:
            self.pop(I32)
            self.open(_IF)
        elif opcode == _ELSE:
            if self.frame.opcode != _IF:
                raise self.fail("else", "without its if")
            frame = self.close()
            self.push_frame(_ELSE, frame.parameters, frame.results)
        elif opcode == 0x0B:
            frame = self.close()
            if frame.opcode == _IF and frame.parameters != frame.results:
                raise self.fail("type", "an if without else must leave what it takes")
            self.stack.extend(frame.results)
        elif opcode == 0x0C:
            self.pop_many(self.label())
            self.cut_off()
        elif opcode == 0x0D:
            self.pop(I32)
            label = self.label()
            self.pop_many(label)
            self.stack.extend(label)
        elif opcode == 0x0E:
            self.branch_table()
        elif opcode == 0x0F:
            self.pop_many(self.kind.results)
            self.cut_off()
        elif opcode == 0x00:
            self.cut_off()
        else:
            raise self.fail(refusal(opcode), f"opcode 0x{opcode:02x}")

    def branch_table(self) -> None:
        self.pop(I32)
        count = self.reader.count(BRANCH_TARGETS_MAX, "branch_targets")
        labels = [self.label() for _ in range(count)]
        default = self.label()
        for label in dict.fromkeys(labels):  # equal labels need one look: 1,024 targets stay cheap
            if len(label) != len(default):
                raise self.fail("type", "branch targets differ in arity")
            actual = [self.pop(kind) for kind in reversed(label)]
            self.stack.extend(reversed(actual))
        self.pop_many(default)
        self.cut_off()

    def local(self) -> int:
        index = self.reader.u32()
        if index >= len(self.locals):
            raise self.fail("index", f"local {index}")
        return self.locals[index]

    def global_(self) -> Global:
        index = self.reader.u32()
        if index >= len(self.around.globals):
            raise self.fail("index", f"global {index}")
        return self.around.globals[index]

    def access(self, opcode: int) -> None:
        operands, result, natural = ACCESSES[opcode]
        self.need_memory()
        alignment = self.reader.u32()
        if alignment > natural:
            raise self.fail("alignment", f"2^{alignment} exceeds 2^{natural}")
        self.reader.u32()
        self.pop_many(operands)
        if result:
            self.stack.append(result)

    def need_memory(self) -> None:
        if not self.around.has_memory:
            raise self.fail("index", "memory 0")

    def memory_byte(self) -> None:
        self.need_memory()
        if self.reader.byte():
            raise self.fail("multi_memory")

    def select(self, *, typed: bool) -> None:
        if typed:
            if self.reader.u32() != 1:
                raise self.fail("type", "select takes one type")
            kind = self.value_type()
            self.pop_many((kind, kind, I32))
            self.stack.append(kind)
            return
        self.pop(I32)
        first = self.pop(UNKNOWN)
        second = self.pop(first)
        self.stack.append(second or first)

    def call(self, kind: FuncType) -> None:
        self.pop_many(kind.parameters)
        self.stack.extend(kind.results)

    def indirect_type(self) -> FuncType:
        index, table = self.reader.u32(), self.reader.u32()
        if index >= len(self.around.types):
            raise self.fail("index", f"type {index}")
        if table or not self.around.has_table:
            raise self.fail("index", f"table {table}")
        self.pop(I32)
        return self.around.types[index]

    def prefixed(self) -> tuple[Tail | None, int]:
        """An instruction behind 0xFC: how it ends the segment, and its cost beyond a plain one."""
        number = self.reader.u32()
        if number < len(SATURATING):
            self.apply(SATURATING[number])
            return None, 0
        if number in (8, 9):
            index = self.reader.u32()
            if self.around.data_count is None or index >= self.around.data_count:
                raise self.fail("index", f"data segment {index}")
            if number == 9:
                return None, 0
            self.memory_byte()
        elif number == 10:
            self.memory_byte()
            self.memory_byte()
        elif number == 11:
            self.memory_byte()
        else:
            raise self.fail(refusal_of_prefixed(number), f"opcode 0xfc {number}")
        self.pop_many((I32, I32, I32))
        return Tail.BULK, BULK - COSTS[0xFC]

    def read_locals(self) -> int:
        """Adds the declared locals; returns the number of groups."""
        groups = self.reader.u32()
        for _ in range(groups):
            count = self.reader.u32()
            if len(self.locals) - len(self.kind.parameters) + count > LOCALS_MAX:
                raise self.reader.fail("locals", f"more than {LOCALS_MAX}")
            self.locals.extend([self.value_type()] * count)
        return groups
