"""Circuits as values: nodes are bits, hyperedges are (operation, literals, table), and one circuit has one encoding.

A literal is `2 * node + complement`, so NOT is free. Node 0 is the constant: literal 0 is false, literal 1 is true.
Input bits are the next nodes, then one node for each hyperedge. Graphs are made by `octra.hfhe.builder` only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from functools import cached_property
from typing import Final

import msgspec

from octra import codec
from octra.crypto.hash import H
from octra.errors import InvalidInput, Malformed

VERSION: Final = 1
NODES_MAX: Final = 2**20  # all five: planning stays in seconds and memory below 1 GiB whatever a stranger sends
INPUT_BITS_MAX: Final = 2**16
OUTPUT_BITS_MAX: Final = 2**16
LITERALS_MAX: Final = 64
BYTES_MAX: Final = 8 * 2**20
LUT_LITERALS_MAX: Final = 6  # a truth table then fits 64 bits

FALSE: Final = 0
TRUE: Final = 1

NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,63}")
_TYPE = re.compile(r"bit|[ui]([1-9][0-9]?)")

Literal = int


class Op(IntEnum):
    """The operations of a hyperedge; the numbers are part of the encoding."""

    AND = 1
    XOR = 2
    MAJ3 = 3
    ALLEQ3 = 4
    ANDXOR = 5
    MUX = 6
    LUT = 7
    SEAL = 8


class Trust(IntEnum):
    """Where an input's ciphertext comes from. The planner bootstraps foreign bits before anything else reads them."""

    OWN = 0
    CERTIFIED = 1
    FOREIGN = 2


class Mode(IntEnum):
    """A sealed output is a fresh source, good for everything; an open one may stay linear, only to be decrypted."""

    SEALED = 0
    OPEN = 1


class MalformedGraph(Malformed):
    """The circuit breaks a rule of its format; `reason` names the node, input or output."""

    oct_code = 8002

    def __init__(self, reason: str) -> None:
        super().__init__("circuit", reason)


class GraphTooLarge(InvalidInput):
    """The circuit is over one of the limits."""

    oct_code = 8002

    def __init__(self, what: str, got: int, limit: int) -> None:
        super().__init__(f"circuit too large: {got} {what}, at most {limit}")
        self.what, self.got, self.limit = what, got, limit


class Input(msgspec.Struct, frozen=True, array_like=True):
    """A named word of `bits` input bits, least significant first."""

    name: str
    type: str
    bits: int
    trust: Trust = Trust.OWN


class Node(msgspec.Struct, frozen=True, array_like=True):
    """A hyperedge; `table` is the truth table of a LUT (first literal is the lowest index bit), else 0."""

    op: Op
    literals: tuple[Literal, ...]
    table: int = 0


class Output(msgspec.Struct, frozen=True, array_like=True):
    """A named word of literals, least significant first."""

    name: str
    type: str
    literals: tuple[Literal, ...]
    mode: Mode = Mode.SEALED


class Graph(msgspec.Struct, frozen=True, array_like=True, dict=True):
    """A circuit in canonical form."""

    version: int
    name: str
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]

    @cached_property
    def input_bits(self) -> int:
        """Number of input bits: they are the nodes 1 .. input_bits."""
        return sum(word.bits for word in self.inputs)

    @cached_property
    def output_literals(self) -> tuple[Literal, ...]:
        """The literals of all outputs, in order."""
        return tuple(literal for word in self.outputs for literal in word.literals)

    def encode(self) -> bytes:
        """The canonical bytes."""
        return codec.encode(self)

    @cached_property
    def graph_id(self) -> bytes:
        """32 bytes that name this circuit."""
        return H("octra.fhe.graph", self.encode())

    def draw(self, *, collapse: bool = False) -> str:
        """The circuit as an SVG picture; `octra.hfhe.draw` also shows a plan. Raises `DrawingTooLarge`."""
        from octra.hfhe.draw import draw  # drawing knows graphs, so graphs import it late

        return draw(self, collapse=collapse)


def bits_of_type(name: str) -> int:
    """Width of a type name such as `u16`, `i8` or `bit`; raises `MalformedGraph`."""
    match = _TYPE.fullmatch(name)
    if match is None or int(match[1] or 1) > 64:
        raise MalformedGraph(f"no type {name!r:.20}; use bit, u1..u64 or i1..i64")
    return int(match[1] or 1)


def evaluate(graph: Graph, bits: Sequence[bool]) -> tuple[bool, ...]:
    """The output bits for these input bits, in the clear: what the encrypted run must decrypt to."""
    assert len(bits) == graph.input_bits
    values: list[int] = [0, *map(int, bits)]
    for node in graph.nodes:
        values.append(_apply(node, [values[literal >> 1] ^ literal & 1 for literal in node.literals]))
    return tuple(bool(values[literal >> 1] ^ literal & 1) for literal in graph.output_literals)


def _apply(node: Node, bits: list[int]) -> int:
    match node.op:
        case Op.AND:
            return bits[0] & bits[1]
        case Op.XOR:
            return sum(bits) % 2
        case Op.MAJ3:
            return int(sum(bits) >= 2)
        case Op.ALLEQ3:
            return int(sum(bits) in (0, 3))
        case Op.ANDXOR:
            return bits[2] ^ bits[0] & bits[1]
        case Op.MUX:
            return bits[1] if bits[0] else bits[2]
        case Op.LUT:
            return node.table >> sum(bit << j for j, bit in enumerate(bits)) & 1
        case Op.SEAL:
            return bits[0]
