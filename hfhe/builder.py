"""Makes circuits: folds constants, shares equal nodes, orders literals, so that one circuit has one encoding.

`decode` rebuilds what it reads, and refuses a graph that the builder would have written differently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import permutations
from typing import Final

import msgspec

from octra.codec import decoder_of
from octra.hfhe.hypergraph import (
    BYTES_MAX,
    FALSE,
    INPUT_BITS_MAX,
    LITERALS_MAX,
    LUT_LITERALS_MAX,
    NAME,
    NODES_MAX,
    OUTPUT_BITS_MAX,
    TRUE,
    VERSION,
    Graph,
    GraphTooLarge,
    Input,
    Literal,
    MalformedGraph,
    Mode,
    Node,
    Op,
    Output,
    Trust,
    bits_of_type,
)  # fmt: skip

ARITY: Final = {Op.AND: 2, Op.MAJ3: 3, Op.ALLEQ3: 3, Op.ANDXOR: 3, Op.MUX: 3, Op.SEAL: 1}


class Builder:
    """Collects a circuit: every method returns the literal of its result, folded and shared where possible."""

    def __init__(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise MalformedGraph(f"circuit name {name!r:.40} is not a lower-case word")
        self.name = name
        self._inputs: list[Input] = []
        self._outputs: list[Output] = []
        self._nodes: list[Node] = []
        self._ids: dict[Node, Literal] = {}
        self._input_bits = 0
        self._output_bits = 0

    @property
    def node_count(self) -> int:
        """Nodes so far: constant, inputs and hyperedges."""
        return 1 + self._input_bits + len(self._nodes)

    def node_of(self, literal: Literal) -> Node | None:
        """The hyperedge behind a literal, or None for inputs and constants."""
        index = (literal >> 1) - 1 - self._input_bits
        return self._nodes[index] if index >= 0 else None

    def input(self, name: str, type_name: str, trust: Trust = Trust.OWN) -> tuple[Literal, ...]:
        """Declare an input word. All inputs come before the first operation."""
        if self._nodes:
            raise MalformedGraph(f"input {name!r:.40} after the first operation")
        self._check_name(name, [word.name for word in self._inputs])
        bits = bits_of_type(type_name)
        if self._input_bits + bits > INPUT_BITS_MAX:
            raise GraphTooLarge("input bits", self._input_bits + bits, INPUT_BITS_MAX)
        first = 1 + self._input_bits
        self._inputs.append(Input(name, type_name, bits, trust))
        self._input_bits += bits
        return tuple(2 * (first + i) for i in range(bits))

    def output(self, name: str, type_name: str, literals: Sequence[Literal], mode: Mode = Mode.SEALED) -> None:
        """Declare an output word."""
        self._check_name(name, [word.name for word in self._outputs])
        if len(literals) != bits_of_type(type_name):
            raise MalformedGraph(f"output {name}: {len(literals)} bits for type {type_name}")
        self._check_literals(literals)
        self._output_bits += len(literals)
        if self._output_bits > OUTPUT_BITS_MAX:
            raise GraphTooLarge("output bits", self._output_bits, OUTPUT_BITS_MAX)
        self._outputs.append(Output(name, type_name, tuple(literals), mode))

    def build(self) -> Graph:
        """The finished circuit."""
        if not self._outputs:
            raise MalformedGraph("no output")
        graph = Graph(VERSION, self.name, tuple(self._inputs), tuple(self._nodes), tuple(self._outputs))
        if len(graph.encode()) > BYTES_MAX:
            raise GraphTooLarge("bytes", len(graph.encode()), BYTES_MAX)
        return graph

    # --- operations -------------------------------------------------------------------------------------------------

    def and_(self, a: Literal, b: Literal) -> Literal:
        """Both."""
        self._check_literals((a, b))
        a, b = min(a, b), max(a, b)
        if a == FALSE or a ^ 1 == b:
            return FALSE
        if a in (TRUE, b):
            return b
        return self._node(Op.AND, (a, b))

    def or_(self, a: Literal, b: Literal) -> Literal:
        """At least one."""
        return self.and_(a ^ 1, b ^ 1) ^ 1

    def xor(self, *literals: Literal) -> Literal:
        """An odd number of them."""
        if not 1 <= len(literals) <= LITERALS_MAX:
            raise GraphTooLarge("literals of an XOR", len(literals), LITERALS_MAX)
        self._check_literals(literals)
        odd: set[Literal] = set()
        flip = 0
        for literal in literals:
            flip ^= literal & 1
            odd ^= {literal & ~1}  # the pairs cancel
        nodes = sorted(odd - {FALSE})
        if not nodes:
            return flip
        if len(nodes) == 1:
            return nodes[0] ^ flip
        return self._node(Op.XOR, tuple(nodes)) ^ flip

    def maj3(self, a: Literal, b: Literal, c: Literal) -> Literal:
        """At least two of three."""
        self._check_literals((a, b, c))
        a, b, c = sorted((a, b, c))
        for x, y, z in ((a, b, c), (b, c, a)):  # sorted: equal or opposite literals are neighbours
            if x == y:
                return x
            if x ^ 1 == y:
                return z
        if a <= TRUE:
            return self.or_(b, c) if a == TRUE else self.and_(b, c)
        flip = _most_complemented(a, b, c)
        return self._node(Op.MAJ3, (a ^ flip, b ^ flip, c ^ flip)) ^ flip

    def alleq3(self, a: Literal, b: Literal, c: Literal) -> Literal:
        """All three equal."""
        self._check_literals((a, b, c))
        a, b, c = sorted((a, b, c))
        for x, y, z in ((a, b, c), (b, c, a)):
            if x == y:
                return self.xor(x, z) ^ 1
            if x ^ 1 == y:
                return FALSE
        if a <= TRUE:
            return self.and_(b ^ a ^ 1, c ^ a ^ 1)
        flip = _most_complemented(a, b, c)
        return self._node(Op.ALLEQ3, (a ^ flip, b ^ flip, c ^ flip))

    def andxor(self, a: Literal, b: Literal, c: Literal) -> Literal:
        """`c xor (a and b)`: one bootstrap where the budget allows."""
        self._check_literals((a, b, c))
        a, b = min(a, b), max(a, b)
        if a <= TRUE or a in (b, b ^ 1) or c <= TRUE:
            return self.xor(self.and_(a, b), c)
        if c | 1 in (a | 1, b | 1):  # c reads the same bit: a function of two bits
            other = b if c | 1 == a | 1 else a
            same = a if other == b else b
            return self.and_(c, other ^ 1) if c == same else self.or_(c, other)
        return self._node(Op.ANDXOR, (a, b, c & ~1)) ^ (c & 1)

    def mux(self, select: Literal, a: Literal, b: Literal) -> Literal:
        """`a` where `select` is true, else `b`."""
        self._check_literals((select, a, b))
        if select & 1:
            select, a, b = select ^ 1, b, a
        if select == FALSE or a == b:
            return b
        if a ^ 1 == b:
            return self.xor(select, b)
        if a in (TRUE, select):
            return self.or_(select, b)
        if a in (FALSE, select ^ 1):
            return self.and_(select ^ 1, b)
        if b in (FALSE, select):
            return self.and_(select, a)
        if b in (TRUE, select ^ 1):
            return self.or_(select ^ 1, a)
        flip = a & 1
        return self._node(Op.MUX, (select, a ^ flip, b ^ flip)) ^ flip

    def lut(self, table: int, literals: Sequence[Literal]) -> Literal:
        """Any function of 1..6 literals: bit `sum literal_j << j` of `table`."""
        count = len(literals)
        if not 1 <= count <= LUT_LITERALS_MAX:
            raise GraphTooLarge("literals of a LUT", count, LUT_LITERALS_MAX)
        if not 0 <= table < 1 << (1 << count):
            raise MalformedGraph(f"a table of {count} literals has {1 << count} bits")
        self._check_literals(literals)
        return self._lut(table, tuple(literals))

    def _lut(self, table: int, literals: tuple[Literal, ...]) -> Literal:
        nodes = sorted({literal & ~1 for literal in literals} - {FALSE})
        rows = range(1 << len(nodes))

        def old_row(row: int) -> int:
            value = {FALSE: 0} | {node: row >> j & 1 for j, node in enumerate(nodes)}
            return sum((value[literal & ~1] ^ literal & 1) << j for j, literal in enumerate(literals))

        column = [table >> old_row(row) & 1 for row in rows]
        used = [j for j in range(len(nodes)) if any(column[row] != column[row ^ 1 << j] for row in rows)]
        flip = column[0]
        if not used:
            return flip
        kept = tuple(nodes[j] for j in used)
        spread = [sum((row >> i & 1) << j for i, j in enumerate(used)) for row in range(1 << len(used))]
        table = sum((column[row] ^ flip) << i for i, row in enumerate(spread))
        known = self._as_gate(table, kept)
        return (self._node(Op.LUT, kept, table) if known is None else known) ^ flip

    def _as_gate(self, table: int, nodes: tuple[Literal, ...]) -> Literal | None:
        """The literal of a cheaper operation with this truth table (row 0 is false), if one of them has it."""
        count = len(nodes)
        if table == sum(1 << row for row in range(1 << count) if row.bit_count() % 2):
            return self.xor(*nodes)
        if table.bit_count() in (1, 2**count - 1) and count == 2:
            rows = table if table.bit_count() == 1 else table ^ 15
            row = rows.bit_length() - 1
            both = self.and_(nodes[0] ^ 1 ^ (row & 1), nodes[1] ^ 1 ^ (row >> 1))
            return both if rows == table else both ^ 1
        if count == 3 and table in _gates3():
            op, order, signs, flip = _gates3()[table]
            return self.apply(Node(op, ()), [nodes[j] ^ (signs >> i & 1) for i, j in enumerate(order)]) ^ flip
        return None

    def seal(self, a: Literal) -> Literal:
        """The same bit, bootstrapped: a source of its own."""
        self._check_literals((a,))
        node = self.node_of(a)
        if a <= TRUE or (node is not None and node.op is Op.SEAL):
            return a
        return self._node(Op.SEAL, (a & ~1,)) ^ (a & 1)

    def apply(self, node: Node, literals: Sequence[Literal]) -> Literal:
        """The operation of `node` on other literals."""
        match node.op:
            case Op.AND | Op.MAJ3 | Op.ALLEQ3 | Op.ANDXOR | Op.MUX | Op.SEAL:
                expected = ARITY[node.op]
                if len(literals) != expected or node.table:
                    raise MalformedGraph(f"{node.op.name} takes {expected} literals and no table")
                operations: dict[Op, Callable[..., Literal]] = {
                    Op.AND: self.and_, Op.MAJ3: self.maj3, Op.ALLEQ3: self.alleq3,
                    Op.ANDXOR: self.andxor, Op.MUX: self.mux, Op.SEAL: self.seal,
                }  # fmt: skip
                return operations[node.op](*literals)
            case Op.XOR:
                if node.table:
                    raise MalformedGraph("XOR takes no table")
                return self.xor(*literals)
            case Op.LUT:
                return self.lut(node.table, literals)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _node(self, op: Op, literals: tuple[Literal, ...], table: int = 0) -> Literal:
        node = Node(op, literals, table)
        known = self._ids.get(node)
        if known is None:
            if len(self._nodes) >= NODES_MAX:
                raise GraphTooLarge("nodes", len(self._nodes) + 1, NODES_MAX)
            known = self._ids[node] = 2 * self.node_count
            self._nodes.append(node)
        return known

    def _check_literals(self, literals: Sequence[Literal]) -> None:
        end = 2 * self.node_count
        for literal in literals:
            if not 0 <= literal < end:
                raise MalformedGraph(f"literal {literal} names no node before it")

    @staticmethod
    def _check_name(name: str, taken: Sequence[str]) -> None:
        if not NAME.fullmatch(name) or name in taken:
            raise MalformedGraph(f"name {name!r:.40} is taken or is not a lower-case word")


def decode(data: bytes) -> Graph:
    """The circuit of canonical bytes; raises `MalformedGraph` or `GraphTooLarge`."""
    if len(data) > BYTES_MAX:
        raise GraphTooLarge("bytes", len(data), BYTES_MAX)
    try:
        read = decoder_of(Graph).decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedGraph(str(error)) from error
    if read.version != VERSION:
        raise MalformedGraph(f"version {read.version}, expected {VERSION}")
    if len(read.nodes) > NODES_MAX:
        raise GraphTooLarge("nodes", len(read.nodes), NODES_MAX)
    builder = Builder(read.name)
    for word in read.inputs:
        builder.input(word.name, word.type, word.trust)
    for node in read.nodes:
        expected = 2 * builder.node_count
        if len(node.literals) > LITERALS_MAX:
            raise GraphTooLarge("literals of a node", len(node.literals), LITERALS_MAX)
        if builder.apply(node, node.literals) != expected:
            raise MalformedGraph(f"node {expected >> 1} is not in canonical form")
    for output in read.outputs:
        builder.output(output.name, output.type, output.literals, output.mode)
    graph = builder.build()
    if graph.encode() != data:
        raise MalformedGraph("encoding is not canonical")
    return graph


def merge_inputs(graph: Graph, same_as: Mapping[int, int]) -> Graph:
    """The circuit in which input bit `i` is bound to the same ciphertext as input bit `same_as[i]` (smaller).

    One ciphertext bound twice is one source: planned as two, its noise would be counted as independent.
    """
    return rebuild(graph, {1 + bit: 2 * (1 + other) for bit, other in same_as.items()})


def with_mode(graph: Graph, mode: Mode) -> Graph:
    """The circuit with all outputs sealed or all open."""
    outputs = tuple(msgspec.structs.replace(word, mode=mode) for word in graph.outputs)
    return Graph(graph.version, graph.name, graph.inputs, graph.nodes, outputs)


def rebuild(
    graph: Graph,
    replaced: Mapping[int, Literal],
    lower: Callable[[Builder, Node, Sequence[Literal]], Literal] | None = None,
) -> Graph:
    """The circuit built again with nodes replaced by literals, or with each operation lowered by `lower`."""
    builder = Builder(graph.name)
    for word in graph.inputs:
        builder.input(word.name, word.type, word.trust)
    literals: list[Literal] = [2 * index for index in range(builder.node_count)]
    for index, literal in replaced.items():
        literals[index] = literal

    def moved(literal: Literal) -> Literal:
        return literals[literal >> 1] ^ literal & 1

    for node in graph.nodes:
        arguments = [moved(literal) for literal in node.literals]
        literals.append(builder.apply(node, arguments) if lower is None else lower(builder, node, arguments))
    for output in graph.outputs:
        builder.output(output.name, output.type, [moved(literal) for literal in output.literals], output.mode)
    return builder.build()


def _most_complemented(*literals: Literal) -> int:
    """1 when most of the literals are complements: the sign is then moved out of a self-dual operation."""
    return int(sum(literal & 1 for literal in literals) * 2 > len(literals))


@cache
def _gates3() -> dict[int, tuple[Op, tuple[int, ...], int, int]]:
    """Truth tables of three bits (row 0 false) that are one gate: operation, order, complements, output complement."""
    functions: dict[Op, Callable[[int, int, int], int]] = {
        Op.MAJ3: lambda p, q, r: int(p + q + r >= 2),
        Op.ALLEQ3: lambda p, q, r: int(p == q == r),
        Op.ANDXOR: lambda p, q, r: r ^ p & q,
        Op.MUX: lambda p, q, r: q if p else r,
    }
    gates: dict[int, tuple[Op, tuple[int, ...], int, int]] = {}
    for op, function in functions.items():
        for order in permutations(range(3)):
            for signs in range(8):
                rows = ([(row >> j & 1) ^ (signs >> i & 1) for i, j in enumerate(order)] for row in range(8))
                table = sum(function(*row) << index for index, row in enumerate(rows))
                flip = table & 1
                gates.setdefault(table ^ 255 * flip, (op, order, signs, flip))
    return gates
