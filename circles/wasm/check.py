"""Decides whether a module is one a Circle may be: structure, limits, subset and types, on the author's own bytes.

Checking the original matters: a module that names a global it does not have would become valid once the meter has
appended its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from octra.circles import limits
from octra.circles.errors import InvalidModule
from octra.circles.wasm.body import Surroundings, check_body
from octra.circles.wasm.module import (
    FUNCTION_KIND,
    GLOBAL_KIND,
    MEMORY_KIND,
    TABLE_KIND,
    CheckedModule,
    Export,
    Function,
    FuncType,
    Global,
)
from octra.circles.wasm.opcodes import F32, F64, I32, I64, NUMBER_TYPES, refusal_of_type
from octra.circles.wasm.reader import Reader, Section, sections

HOST_MODULE = "octra"
ABI_EXPORTS = frozenset(("octra_alloc", "octra_update", "octra_query", "octra_http_request", "octra_manifest"))

_TYPES, _IMPORTS, _FUNCTIONS, _TABLES, _MEMORIES, _GLOBALS = 1, 2, 3, 4, 5, 6
_EXPORTS, _START, _ELEMENTS, _CODE, _DATA, _DATA_COUNT = 7, 8, 9, 10, 11, 12


def check(code: bytes, imports: Mapping[str, FuncType]) -> CheckedModule:
    """The module behind `code`, proven valid; `imports` are the host functions. Raises `InvalidModule`."""
    if len(code) > limits.CODE_MAX:
        raise InvalidModule("code_size", -1, 0, f"{len(code)} bytes exceed {limits.CODE_MAX}")
    return _Checker(code, imports).run()


def check_exports(module: CheckedModule) -> None:
    """Refuses a module without the entry points that a call needs."""

    def require(name: str, kind: FuncType) -> None:
        if module.exported_function(name) != kind:
            raise InvalidModule("export_missing", -1, 0, f"{name} with the ABI's signature")

    memory = module.exports.get("memory")
    if memory is None or memory.kind != MEMORY_KIND:
        raise InvalidModule("export_missing", -1, 0, "memory")
    require("octra_alloc", FuncType((I32,), (I32,)))
    entries = [name for name in ("octra_update", "octra_query", "octra_http_request") if name in module.exports]
    if not entries:
        raise InvalidModule("export_missing", -1, 0, "octra_update, octra_query or octra_http_request")
    for name in [*entries, *(["octra_manifest"] if "octra_manifest" in module.exports else [])]:
        require(name, FuncType((I32, I32), (I32,)))
    if "_initialize" in module.exports:
        require("_initialize", FuncType((), ()))


class _Checker:
    """Goes through the sections in their order; each method reads one."""

    def __init__(self, code: bytes, imports: Mapping[str, FuncType]) -> None:
        self.code, self.host = code, imports
        self.sections: dict[int, Section] = sections(code)
        self.types: list[FuncType] = []
        self.imports: list[str] = []
        self.function_types: list[FuncType] = []
        self.has_table = False
        self.memory: tuple[int, int] | None = None
        self.globals: list[Global] = []
        self.exports: dict[str, Export] = {}
        self.start: int | None = None
        self.functions: list[Function] = []
        self.data_count: int | None = None
        self.data_bytes = 0

    def run(self) -> CheckedModule:
        readers = (
            (_TYPES, self.read_types),
            (_IMPORTS, self.read_imports),
            (_FUNCTIONS, self.read_functions),
            (_TABLES, self.read_table),
            (_MEMORIES, self.read_memory),
            (_GLOBALS, self.read_globals),
            (_EXPORTS, self.read_exports),
            (_START, self.read_start),
            (_ELEMENTS, self.read_elements),
            (_DATA_COUNT, self.read_data_count),
            (_CODE, self.read_code),
            (_DATA, self.read_data),
        )
        for number, read in readers:
            section = self.sections.get(number)
            if section is not None:
                reader = Reader(self.code, section.start, section.end)
                read(reader)
                if not reader.done:
                    raise reader.fail("section", f"bytes follow the contents of section {number}")
        if len(self.functions) != len(self.function_types) - len(self.imports):
            raise InvalidModule("section", -1, len(self.code), "functions without code")
        if self.data_count is not None and self.data_count and _DATA not in self.sections:
            raise InvalidModule("section", -1, len(self.code), "data segments are missing")
        return CheckedModule(
            code=self.code,
            sections=self.sections,
            types=tuple(self.types),
            imports=tuple(self.imports),
            function_types=tuple(self.function_types),
            functions=tuple(self.functions),
            memory=self.memory,
            globals=tuple(self.globals),
            exports=self.exports,
            start=self.start,
            data_bytes=self.data_bytes,
        )

    def read_types(self, reader: Reader) -> None:
        for _ in range(reader.count(limits.TYPES_MAX, "types")):
            offset = reader.position
            if (form := reader.byte()) != 0x60:
                rule = "gc" if form in (0x4D, 0x4E, 0x4F, 0x50, 0x5E, 0x5F) else "type"
                raise reader.fail(rule, f"type form 0x{form:02x}", offset)
            parameters = self.value_types(reader, limits.PARAMETERS_MAX, "parameters")
            self.types.append(FuncType(parameters, self.value_types(reader, limits.RESULTS_MAX, "results")))

    @staticmethod
    def value_types(reader: Reader, limit: int, rule: str) -> tuple[int, ...]:
        kinds = []
        for _ in range(reader.count(limit, rule)):
            kinds.append(_value_type(reader))
        return tuple(kinds)

    def read_imports(self, reader: Reader) -> None:
        for _ in range(reader.count(limits.IMPORTS_MAX, "imports")):
            offset = reader.position
            module = reader.name(limits.EXPORT_NAME_MAX, "import_unsupported")
            name = reader.name(limits.EXPORT_NAME_MAX, "import_unsupported")
            kind = reader.byte()
            if kind != FUNCTION_KIND:
                rule = {MEMORY_KIND: "imported_memory", 4: "exceptions"}.get(kind, "import_kind")
                raise reader.fail(rule, _printable(f"{module}.{name}"), offset)
            type_ = self.type_at(reader)
            if module != HOST_MODULE or name not in self.host:
                raise reader.fail("import_unsupported", _printable(f"{module}.{name}"), offset)
            if self.host[name] != type_:
                raise reader.fail("import_signature", name, offset)
            self.imports.append(name)
            self.function_types.append(type_)

    def type_at(self, reader: Reader) -> FuncType:
        offset = reader.position
        index = reader.u32()
        if index >= len(self.types):
            raise reader.fail("index", f"type {index}", offset)
        return self.types[index]

    def read_functions(self, reader: Reader) -> None:
        for _ in range(reader.count(limits.FUNCTIONS_MAX, "functions")):
            self.function_types.append(self.type_at(reader))

    def read_table(self, reader: Reader) -> None:
        count = reader.u32()
        if count > 1:
            raise reader.fail("tables", f"{count} tables")
        if not count:
            return
        offset = reader.position
        kind = reader.byte()
        if kind != 0x70:
            raise reader.fail("typed_references" if kind != 0x6F else "reference_values", "table", offset)
        _limits(reader, "table_entries", limits.TABLE_ENTRIES_MAX, 2**32 - 1)
        self.has_table = True

    def read_memory(self, reader: Reader) -> None:
        offset = reader.position
        count = reader.u32()
        if count > 1:
            raise reader.fail("multi_memory", f"{count} memories", offset)
        if not count:
            return
        initial, greatest = _limits(reader, "memory_pages", limits.MEMORY_PAGES_MAX, 65_536)
        self.memory = (initial, min(limits.MEMORY_PAGES_MAX if greatest is None else greatest, limits.MEMORY_PAGES_MAX))

    def read_globals(self, reader: Reader) -> None:
        for _ in range(reader.count(limits.GLOBALS_MAX, "globals")):
            kind = _value_type(reader)
            mutable = reader.byte()
            if mutable > 1:
                raise reader.fail("threads" if mutable & 2 else "section", "global flags")
            _constant(reader, kind)
            self.globals.append(Global(kind, bool(mutable)))

    def read_exports(self, reader: Reader) -> None:
        for _ in range(reader.count(limits.EXPORTS_MAX, "exports")):
            offset = reader.position
            name = reader.name(limits.EXPORT_NAME_MAX, "export_name")
            kind, index = reader.byte(), reader.u32()
            sizes = {
                FUNCTION_KIND: len(self.function_types),
                TABLE_KIND: int(self.has_table),
                MEMORY_KIND: int(self.memory is not None),
                GLOBAL_KIND: len(self.globals),
            }
            if index >= sizes.get(kind, 0):
                raise reader.fail("index", f"export of kind {kind}, index {index}", offset)
            if name in self.exports:
                raise reader.fail("export_duplicate", _printable(name), offset)
            if name.startswith("octra_") and name not in ABI_EXPORTS:
                raise reader.fail("export_reserved", _printable(name), offset)
            self.exports[name] = Export(kind, index)

    def read_start(self, reader: Reader) -> None:
        offset = reader.position
        index = reader.u32()
        if index >= len(self.function_types):
            raise reader.fail("index", f"start function {index}", offset)
        if self.function_types[index] != FuncType((), ()):
            raise reader.fail("type", "the start function takes and returns nothing", offset)
        self.start = index

    def read_elements(self, reader: Reader) -> None:
        for _ in range(reader.count(limits.ELEMENT_SEGMENTS_MAX, "element_segments")):
            offset = reader.position
            flags = reader.u32()
            if flags not in (0, 2):
                raise reader.fail("reference_values", f"element segment of form {flags}", offset)
            if (flags == 2 and reader.u32()) or not self.has_table:
                raise reader.fail("index", "element segment without its table", offset)
            _constant(reader, I32)
            if flags == 2 and reader.byte():
                raise reader.fail("reference_values", "element kind", offset)
            for _ in range(reader.count(limits.TABLE_ENTRIES_MAX, "table_entries")):
                if reader.u32() >= len(self.function_types):
                    raise reader.fail("index", "function of an element segment", offset)

    def read_data_count(self, reader: Reader) -> None:
        self.data_count = reader.count(limits.DATA_SEGMENTS_MAX, "data_segments")

    def read_code(self, reader: Reader) -> None:
        first = len(self.imports)
        kinds = self.function_types[first:]
        offset = reader.position
        if reader.u32() != len(kinds):
            raise reader.fail("section", "function and code counts differ", offset)
        around = Surroundings(
            types=self.types,
            function_types=self.function_types,
            globals=self.globals,
            has_memory=self.memory is not None,
            has_table=self.has_table,
            data_count=self.data_count,
        )
        for index, kind in enumerate(kinds, first):
            offset = reader.position
            size = reader.u32()
            start = reader.position
            if size > limits.BODY_MAX:
                raise InvalidModule("body_size", index, offset, f"{size} bytes exceed {limits.BODY_MAX}")
            reader.take(size)
            self.functions.append(check_body(Reader(self.code, start, start + size, index), kind, around))

    def read_data(self, reader: Reader) -> None:
        count = reader.count(limits.DATA_SEGMENTS_MAX, "data_segments")
        if self.data_count is not None and count != self.data_count:
            raise reader.fail("section", "data count differs")
        for _ in range(count):
            offset = reader.position
            flags = reader.u32()
            if flags > 2:
                raise reader.fail("section", f"data segment of form {flags}", offset)
            if flags == 2 and reader.u32():
                raise reader.fail("multi_memory", "data segment", offset)
            if flags != 1:
                if self.memory is None:
                    raise reader.fail("index", "data segment without a memory", offset)
                _constant(reader, I32)
            self.data_bytes += len(reader.take(reader.u32()))
        if self.data_bytes > limits.DATA_BYTES_MAX:
            raise reader.fail("data_bytes", f"{self.data_bytes} exceed {limits.DATA_BYTES_MAX}")


def _value_type(reader: Reader) -> int:
    offset = reader.position
    code = reader.byte()
    if code not in NUMBER_TYPES:
        raise reader.fail(refusal_of_type(code), f"value type 0x{code:02x}", offset)
    return code


def _limits(reader: Reader, rule: str, initial_max: int, greatest_max: int) -> tuple[int, int | None]:
    """Initial and greatest size of a table or memory; the features that hide in the flags are named."""
    offset = reader.position
    flags = reader.byte()
    if flags & ~1:
        feature = "threads" if flags & 2 else "memory64" if flags & 4 else "section"
        raise reader.fail(feature, f"limits flags 0x{flags:02x}", offset)
    initial = reader.u32()
    greatest = reader.u32() if flags else None
    if initial > initial_max:
        raise reader.fail(rule, f"{initial} exceeds {initial_max}", offset)
    if greatest is not None and not initial <= greatest <= greatest_max:
        raise reader.fail("section", "greatest size below the initial one or out of range", offset)
    return initial, greatest


def _constant(reader: Reader, kind: int) -> None:
    """A constant expression: one constant of the right type and an end."""
    offset = reader.position
    opcode = reader.byte()
    if opcode == 0x41:
        actual = I32
        reader.signed(32)
    elif opcode == 0x42:
        actual = I64
        reader.signed(64)
    elif opcode == 0x43:
        actual = F32
        reader.take(4)
    elif opcode == 0x44:
        actual = F64
        reader.take(8)
    elif opcode == 0x23:
        raise reader.fail("index", "an initialiser names a global", offset)
    else:
        raise reader.fail("constant", f"opcode 0x{opcode:02x}", offset)
    if actual != kind:
        raise reader.fail("type", "initialiser", offset)
    if reader.byte() != 0x0B:
        raise reader.fail("constant", "extended constant expressions are not accepted", offset)


def _printable(text: str) -> str:
    """Text of a stranger, short and without control characters: it ends in people's terminals."""
    return "".join(character if character.isprintable() else "?" for character in text[:64])
