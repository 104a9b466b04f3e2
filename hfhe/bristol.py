"""Bristol circuit files, the field's exchange format: read both dialects into a circuit, write any circuit as one.

Old "Bristol Format" files begin with `gates wires` and `in1 in2 out`; "Bristol Fashion" files with `gates wires`, the
number of input values and their widths, the number of output values and their widths. Inputs are the first wires,
outputs the last, and every other wire is defined once, before its use, by XOR, AND, MAND, INV, NOT, EQ or EQW.

    graph = read_bristol(Path("adder64.txt").read_text())  # inputs in0, in1; output out0

A value wider than 64 bits becomes words of 64 bits, lowest first: `in0_0`, `in0_1`, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Final, NoReturn

from octra.errors import InvalidInput
from octra.hfhe.builder import Builder
from octra.hfhe.hypergraph import (
    FALSE,
    INPUT_BITS_MAX,
    NODES_MAX,
    OUTPUT_BITS_MAX,
    TRUE,
    Graph,
    Literal,
    Mode,
    Node,
    Op,
)  # fmt: skipfrom octra.hfhe.rewrite import fewer_bootstraps
from octra.hfhe.rewrite import fewer_bootstraps

TEXT_MAX: Final = 16 * 2**20  # twice the largest published circuit
GATES_MAX: Final = NODES_MAX
WIRES_MAX: Final = 2 * NODES_MAX
WORD_BITS: Final = 64

_NUMBER = re.compile(r"[0-9]{1,9}")
_HEADER = re.compile(r"\s*[0-9]+[ \t]+[0-9]+[ \t]*\r?\n")


class MalformedBristol(InvalidInput):
    """The text is no Bristol circuit, or one over the limits; `line` starts at 1."""

    oct_code = 8002

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line, self.reason = line, reason


def looks_like_bristol(text: str) -> bool:
    """Does the text begin as these files do, with a line of two numbers? Tells nothing about the rest."""
    return _HEADER.match(text) is not None


def read_bristol(text: str, name: str = "bristol", *, rewrite: bool = True) -> Graph:
    """The circuit of a file in either dialect, with sealed outputs; raises `MalformedBristol`.

    Gates are merged into wider ones by `octra.hfhe.rewrite`; without `rewrite` they stay as the file has them.
    """
    if len(text) > TEXT_MAX:
        raise MalformedBristol(1, f"{len(text)} characters, at most {TEXT_MAX}")
    reader = _Reader(text, name)
    try:
        graph = reader.read()
    except MalformedBristol:
        raise
    except InvalidInput as error:  # a limit of circuits
        raise MalformedBristol(reader.line, str(error)) from error
    return fewer_bootstraps(graph) if rewrite else graph


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self.line = 1
        self.lines = self._statements(text)
        self.builder = Builder(name)
        self.wires: dict[int, Literal] = {}  # only what is defined: a header's numbers reserve no memory
        self.wire_count = 0

    def read(self) -> Graph:
        gate_count, self.wire_count = self._header()
        numbers = self._numbers(self._next("the widths of inputs and outputs"))
        line, gate = self.line, next(self.lines, None)
        if gate is not None and not gate[-1].isalpha():  # Bristol Fashion: a line for each direction
            inputs, outputs = (
                self._widths(numbers, "inputs", line),
                self._widths(self._numbers(gate), "outputs", self.line),
            )
            line, gate = self.line, next(self.lines, None)
        elif len(numbers) == 3:
            inputs, outputs = numbers[:2], numbers[2:]
        else:
            raise MalformedBristol(line, "expected: the bits of two inputs and of the output")
        self._check_widths(inputs, outputs, line)
        self._declare(inputs)
        gates = 0
        while gate is not None:
            gates += 1
            if gates > gate_count:
                self._fail(f"more gates than the {gate_count} announced")
            self._gate(gate)
            gate = next(self.lines, None)
        if gates != gate_count:
            self._fail(f"{gates} gates, {gate_count} announced")
        self._outputs(outputs)
        return self.builder.build()

    # --- the head -----------------------------------------------------------------------------------------------------

    def _header(self) -> tuple[int, int]:
        numbers = self._numbers(self._next("a circuit"))
        if len(numbers) != 2:
            self._fail("expected: the number of gates and the number of wires")
        gates, wires = numbers
        if gates > GATES_MAX or wires > WIRES_MAX:
            self._fail(f"{gates} gates and {wires} wires, at most {GATES_MAX} and {WIRES_MAX}")
        return gates, wires

    def _widths(self, numbers: Sequence[int], what: str, line: int) -> Sequence[int]:
        count, *widths = numbers
        if count != len(widths):
            raise MalformedBristol(line, f"{count} {what} announced, {len(widths)} widths given")
        return widths

    def _check_widths(self, inputs: Sequence[int], outputs: Sequence[int], line: int) -> None:
        for widths, limit, what in ((inputs, INPUT_BITS_MAX, "input"), (outputs, OUTPUT_BITS_MAX, "output")):
            bits, wires = sum(widths), self.wire_count
            if not 1 <= bits <= min(limit, wires):
                raise MalformedBristol(
                    line, f"{bits} {what} bits; there are {wires} wires, and at most {limit} allowed"
                )

    def _declare(self, widths: Sequence[int]) -> None:
        for index, width in enumerate(widths):
            for word, bits in _words(f"in{index}", width):
                for literal in self.builder.input(word, _type(bits)):
                    self.wires[len(self.wires)] = literal

    def _outputs(self, widths: Sequence[int]) -> None:
        wire = self.wire_count - sum(widths)
        for index, width in enumerate(widths):
            for word, bits in _words(f"out{index}", width):
                literals = [self._wire(wire + i) for i in range(bits)]
                self.builder.output(word, _type(bits), literals, Mode.SEALED)
                wire += bits

    # --- gates --------------------------------------------------------------------------------------------------------

    def _gate(self, tokens: Sequence[str]) -> None:
        *numbers, operation = tokens
        if len(numbers) < 2:
            self._fail("expected: number of inputs, number of outputs, wires, operation")
        inputs, outputs, *wires = self._numbers(numbers)
        if len(wires) != inputs + outputs:
            self._fail(f"{inputs} inputs and {outputs} outputs announced, {len(wires)} wires given")
        arguments, results = wires[:inputs], wires[inputs:]
        builder = self.builder
        match operation, inputs, outputs:
            case "XOR", 2, 1:
                literals = [builder.xor(self._wire(arguments[0]), self._wire(arguments[1]))]
            case "AND", 2, 1:
                literals = [builder.and_(self._wire(arguments[0]), self._wire(arguments[1]))]
            case "INV" | "NOT", 1, 1:
                literals = [self._wire(arguments[0]) ^ 1]
            case "EQW", 1, 1:
                literals = [self._wire(arguments[0])]
            case "EQ", 1, 1 if arguments[0] <= 1:
                literals = [TRUE if arguments[0] else FALSE]
            case "MAND", _, _ if inputs == 2 * outputs and outputs:
                pairs = zip(arguments[:outputs], arguments[outputs:], strict=True)
                literals = [builder.and_(self._wire(a), self._wire(b)) for a, b in pairs]
            case _:
                self._fail(f"no gate {operation:.20} of {inputs} inputs and {outputs} outputs")
        for wire, literal in zip(results, literals, strict=True):
            if wire >= self.wire_count or wire in self.wires:
                self._fail(f"wire {wire} is defined twice or beyond the {self.wire_count} announced")
            self.wires[wire] = literal

    def _wire(self, wire: int) -> Literal:
        if wire not in self.wires:
            self._fail(f"wire {wire} is not defined")
        return self.wires[wire]

    # --- text ---------------------------------------------------------------------------------------------------------

    def _statements(self, text: str) -> Iterator[list[str]]:
        """The tokens of each line that is not blank, one line at a time."""
        start, line = 0, 0
        while start < len(text):
            end = text.find("\n", start)
            end = len(text) if end < 0 else end
            line += 1
            tokens = text[start:end].split()
            start = end + 1
            if tokens:
                self.line = line
                yield tokens

    def _next(self, what: str) -> list[str]:
        tokens = next(self.lines, None)
        if tokens is None:
            self._fail(f"the text ends where {what} should be")
        return tokens

    def _numbers(self, tokens: Sequence[str]) -> list[int]:
        for token in tokens:
            if not _NUMBER.fullmatch(token):
                self._fail(f"{token!r:.40} is no wire or count")
        return [int(token) for token in tokens]

    def _fail(self, reason: str) -> NoReturn:
        raise MalformedBristol(self.line, reason)


def _words(name: str, width: int) -> list[tuple[str, int]]:
    """Names and widths of the words that hold a value."""
    if width <= WORD_BITS:
        return [(name, width)] if width else []
    starts = range(0, width, WORD_BITS)
    return [(f"{name}_{index}", min(WORD_BITS, width - start)) for index, start in enumerate(starts)]


def _type(bits: int) -> str:
    return "bit" if bits == 1 else f"u{bits}"


# --- Writing ----------------------------------------------------------------------------------------------------------


def write_bristol(graph: Graph, inputs: Sequence[int] = (), outputs: Sequence[int] = ()) -> str:
    """The circuit in Bristol Fashion: XOR, AND and INV, with EQW and EQ for outputs that are copies or constants.

    `inputs` and `outputs` give the widths of the values, where they are others than the circuit's words.
    """
    inputs = inputs or [word.bits for word in graph.inputs]
    outputs = outputs or [len(word.literals) for word in graph.outputs]
    assert sum(inputs) == graph.input_bits
    assert sum(outputs) == len(graph.output_literals)
    writer = _Writer(graph.input_bits)
    for index, node in enumerate(graph.nodes):
        writer.wires[2 * (1 + graph.input_bits + index)] = writer.node(node)
    copied = [writer.wire(literal) if literal > TRUE else literal for literal in graph.output_literals]
    for literal, wire in zip(graph.output_literals, copied, strict=True):
        writer.gate("EQ" if literal <= TRUE else "EQW", wire)
    head = [
        f"{len(writer.gates)} {writer.wire_count}",
        *(f"{len(w)} {' '.join(map(str, w))}" for w in (inputs, outputs)),
    ]
    return "\n".join([*head, "", *writer.gates, ""])


class _Writer:
    """Gates so far. A literal's wire is made when it is first needed, complements by INV."""

    def __init__(self, input_bits: int) -> None:
        self.wire_count = input_bits
        self.gates: list[str] = []
        self.wires: dict[Literal, int] = {2 * (1 + bit): bit for bit in range(input_bits)}

    def gate(self, operation: str, *arguments: int) -> int:
        wire, self.wire_count = self.wire_count, self.wire_count + 1
        self.gates.append(f"{len(arguments)} 1 {' '.join(map(str, arguments))} {wire} {operation}")
        return wire

    def wire(self, literal: Literal) -> int:
        if literal not in self.wires:
            self.wires[literal] = (
                self.gate("INV", self.wires[literal ^ 1]) if literal > TRUE else self.gate("EQ", literal)
            )
        return self.wires[literal]

    def node(self, node: Node) -> int:
        if node.op is Op.LUT:
            return self.table(node.table, [self.wire(literal) for literal in node.literals])
        first, *others = (self.wire(literal) for literal in node.literals)
        match node.op:
            case Op.AND:
                return self.gate("AND", first, others[0])
            case Op.XOR:
                return reduce(lambda total, other: self.gate("XOR", total, other), others, first)
            case Op.MAJ3:
                return self.chosen(self.gate("XOR", first, others[0]), others[1], first)
            case Op.ALLEQ3:
                differ = [self.gate("INV", self.gate("XOR", first, other)) for other in others]
                return self.gate("AND", *differ)
            case Op.ANDXOR:
                return self.gate("XOR", self.gate("AND", first, others[0]), others[1])
            case Op.MUX:
                return self.chosen(first, *others)
            case Op.SEAL:
                return first  # nothing to seal where nothing is encrypted

    def chosen(self, select: int, a: int, b: int) -> int:
        """`a` where `select` is true, else `b`: one AND."""
        return self.gate("XOR", self.gate("AND", self.gate("XOR", a, b), select), b)

    def table(self, table: int, wires: Sequence[int]) -> int:
        if not wires:
            return self.wire(TRUE if table else FALSE)
        *rest, last = wires
        rows = 1 << len(rest)
        low, high = table & (1 << rows) - 1, table >> rows
        return (
            self.table(low, rest) if low == high else self.chosen(last, self.table(high, rest), self.table(low, rest))
        )
