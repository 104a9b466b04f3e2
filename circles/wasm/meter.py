"""Writes gas and depth into a checked module, so that limits are the same on every engine and every machine.

Two globals are appended: gas left (exported `octra_gas`) and depth (`octra_depth`). Each straight segment pays its
whole cost before its first instruction; gas below zero is `unreachable`. Around a call the caller's weight is added
to the depth, since its frame stays on the engine's stack meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

from octra.circles.errors import InvalidModule
from octra.circles.limits import DEPTH_MAX, METERED_CODE_MAX
from octra.circles.wasm.module import FUNCTION_KIND, GLOBAL_KIND, CheckedModule, Function, Segment, Tail
from octra.circles.wasm.opcodes import I32
from octra.circles.wasm.reader import Section
from octra.circles.wasm.table import BULK_SHIFT, FRAME_GAS_SHIFT, PAGE_GAS

GAS_EXPORT, DEPTH_EXPORT, START_EXPORT = "octra_gas", "octra_depth", "octra_start"
DEPTH_NO_MEMORY = -(2**31)  # in the depth global: the host had no memory for a grow that the module may do

_GET_LOCAL, _TEE_LOCAL, _GET_GLOBAL, _SET_GLOBAL = b"\x20", b"\x22", b"\x23", b"\x24"
_I32_CONST, _I64_CONST, _I64_ZERO = b"\x41", b"\x42", b"\x42\x00"
_I32_ADD, _I32_SUB, _I32_GT_S, _I32_EQ = b"\x6a", b"\x6b", b"\x4a", b"\x46"
_I64_ADD, _I64_SUB, _I64_MUL, _I64_SHR_U, _I64_LT_S, _I64_LE_U = b"\x7c", b"\x7d", b"\x7e", b"\x88", b"\x53", b"\x58"
_EXTEND_U, _MEMORY_SIZE = b"\xad", b"\x3f\x00"
_TRAP_IF = b"\x04\x40\x00\x0b"  # if; unreachable; end
_IF, _END, _UNREACHABLE = b"\x04\x40", b"\x0b", b"\x00"


@dataclass(frozen=True, slots=True)
class MeteredModule:
    """What engines compile: the checked module with meters, its start function turned into an export."""

    checked: CheckedModule
    code: bytes

    @property
    def call_cost(self) -> int:
        return self.checked.call_cost


def meter(checked: CheckedModule) -> MeteredModule:
    """The metered form of a checked module; refused only when it grows past the limit."""
    code = _Meter(checked).write()
    if len(code) > METERED_CODE_MAX:
        raise InvalidModule("metered_size", -1, 0, f"{len(code)} bytes exceed {METERED_CODE_MAX}")
    return MeteredModule(checked, code)


def unsigned(value: int) -> bytes:
    """Shortest unsigned LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value: int) -> bytes:
    """Shortest signed LEB128."""
    out = bytearray()
    while not -64 <= value < 64:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


class _Meter:
    """Byte strings that depend on the module's global indices, and the rewriting of each section."""

    def __init__(self, checked: CheckedModule) -> None:
        self.checked = checked
        gas, depth = unsigned(len(checked.globals)), unsigned(len(checked.globals) + 1)
        self.get_gas, self.set_gas = _GET_GLOBAL + gas, _SET_GLOBAL + gas
        self.get_depth, self.set_depth = _GET_GLOBAL + depth, _SET_GLOBAL + depth
        self.check_gas = self.get_gas + _I64_ZERO + _I64_LT_S + _TRAP_IF
        self.check_depth = self.get_depth + _I32_CONST + signed(DEPTH_MAX) + _I32_GT_S + _TRAP_IF
        self.charges: dict[int, bytes] = {}

    def write(self) -> bytes:
        rewritten = {5: self.memory, 6: self.globals, 7: self.exports, 10: self.bodies}
        out = bytearray(self.checked.code[:8])
        for number in (1, 2, 3, 4, 5, 6, 7, 9, 12, 10, 11):  # without the start section
            section = self.checked.sections.get(number)
            write = rewritten.get(number)
            if write is not None and (section is not None or number in (6, 7)):
                content = write()
            elif section is not None:
                content = self.checked.code[section.start : section.end]
            else:
                continue
            out += bytes((number,)) + unsigned(len(content)) + content
        return bytes(out)

    def memory(self) -> bytes:
        if self.checked.memory is None:
            return b"\x00"
        initial, greatest = self.checked.memory
        return b"\x01\x01" + unsigned(initial) + unsigned(greatest)

    def globals(self) -> bytes:
        count, old = self.entries(self.checked.sections.get(6))
        return unsigned(count + 2) + old + b"\x7e\x01\x42\x00\x0b" + b"\x7f\x01\x41\x00\x0b"

    def exports(self) -> bytes:
        count, old = self.entries(self.checked.sections.get(7))
        added = [(GAS_EXPORT, GLOBAL_KIND, len(self.checked.globals))]
        added.append((DEPTH_EXPORT, GLOBAL_KIND, len(self.checked.globals) + 1))
        if self.checked.start is not None:
            added.append((START_EXPORT, FUNCTION_KIND, self.checked.start))
        new = b"".join(
            unsigned(len(name)) + name.encode() + bytes((kind,)) + unsigned(index) for name, kind, index in added
        )
        return unsigned(count + len(added)) + old + new

    def entries(self, section: Section | None) -> tuple[int, bytes]:
        """Count and raw entries of a vector section."""
        if section is None:
            return 0, b""
        position, count, shift = section.start, 0, 0
        while True:
            part = self.checked.code[position]
            position += 1
            count |= (part & 0x7F) << shift
            shift += 7
            if part < 0x80:
                return count, self.checked.code[position : section.end]

    def bodies(self) -> bytes:
        out = bytearray(unsigned(len(self.checked.functions)))
        for function in self.checked.functions:
            body = self.body(function)
            out += unsigned(len(body)) + body
        return bytes(out)

    def body(self, function: Function) -> bytes:
        code = self.checked.code
        out = bytearray(self.local_declarations(function))
        scratch = len(function.type.parameters) + function.local_count
        entry = function.weight >> FRAME_GAS_SHIFT
        for segment in function.segments:
            out += self.charge(segment.cost + entry)
            entry = 0
            if segment.tail is Tail.PLAIN:
                out += code[segment.start : segment.end]
            else:
                out += code[segment.start : segment.last]
                out += self.tail(segment, code[segment.last : segment.end], function.weight, scratch)
        return bytes(out)

    def local_declarations(self, function: Function) -> bytes:
        """The declared locals, and two more where a size must be kept while it is charged."""
        declared = self.checked.code[function.start : function.code]
        if all(segment.tail in (Tail.PLAIN, Tail.CALL) for segment in function.segments):
            return declared
        position = 0
        while declared[position] >= 0x80:
            position += 1
        return unsigned(function.local_groups + 1) + declared[position + 1 :] + b"\x02" + bytes((I32,))

    def tail(self, segment: Segment, instruction: bytes, weight: int, scratch: int) -> bytes:
        if segment.tail is Tail.CALL:
            step = self.get_depth + _I32_CONST + signed(weight)
            return step + _I32_ADD + self.set_depth + self.check_depth + instruction + step + _I32_SUB + self.set_depth
        size = unsigned(scratch)
        if segment.tail is Tail.BULK:
            dynamic = _I64_CONST + signed(BULK_SHIFT) + _I64_SHR_U
            return self.charge_size(size, dynamic) + instruction
        result = unsigned(scratch + 1)
        in_bounds = _MEMORY_SIZE + _EXTEND_U + _GET_LOCAL + size + _EXTEND_U + _I64_ADD
        in_bounds += _I64_CONST + signed(self.checked.pages_max) + _I64_LE_U
        no_memory = _I32_CONST + signed(DEPTH_NO_MEMORY) + self.set_depth + _UNREACHABLE
        failed = _TEE_LOCAL + result + _I32_CONST + signed(-1) + _I32_EQ
        return (
            self.charge_size(size, _I64_CONST + signed(PAGE_GAS) + _I64_MUL)
            + instruction
            + failed
            + _IF
            + in_bounds
            + _IF
            + no_memory
            + _END
            + _END
            + _GET_LOCAL
            + result
        )

    def charge(self, cost: int) -> bytes:
        found = self.charges.get(cost)
        if found is None:
            subtract = self.get_gas + _I64_CONST + signed(cost) + _I64_SUB + self.set_gas
            found = self.charges[cost] = subtract + self.check_gas
        return found

    def charge_size(self, size: bytes, scale: bytes) -> bytes:
        """Keeps the size on top of the stack in a local and charges `scale` of it, read as unsigned."""
        amount = _GET_LOCAL + size + _EXTEND_U + scale
        return _TEE_LOCAL + size + self.get_gas + amount + _I64_SUB + self.set_gas + self.check_gas
