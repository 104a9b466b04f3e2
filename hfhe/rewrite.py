"""Rewrites a circuit of small gates into the same functions with fewer bootstraps.

Gate lists made for other machines (Bristol files, synthesis tools) know only AND and XOR of two. Here a full adder's
carry is one MAJ3, a selection one MUX, and a chain of XORs one wide XOR. Two steps:

* Technology mapping: for each node, the functions of at most three earlier nodes that are one operation; it takes the
  one that leaves the cheapest circuit, counting what nothing needs any more.
* An XOR disappears into its users where all of them are XORs with room for its arguments.

Whole numbers and fixed order throughout: one circuit has one rewriting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import permutations, product
from typing import Final, NamedTuple

from octra.hfhe.builder import Builder
from octra.hfhe.hypergraph import TRUE, Graph, Literal, Node, Op

XOR_WIDTH: Final = 9  # the widest XOR of one bootstrap under set S at 2^-128
CUT_LEAVES: Final = 3
CUTS_MAX: Final = 6  # of each node; more find next to nothing
ROUNDS: Final = 2  # the second sees what the first has set free


class _Cut(NamedTuple):
    """A node as a function of `leaves`, at most three; bit `sum leaf_j << j` of `table`."""

    leaves: tuple[int, ...]
    table: int


class _Xor(NamedTuple):
    """A node as the exclusive or of `leaves`, complemented where `flip` is 1."""

    leaves: tuple[int, ...]
    flip: int


_Made = Node | _Cut | _Xor  # as it was, as a table, or as an XOR


def fewer_bootstraps(graph: Graph) -> Graph:
    """The same functions of the same inputs and outputs, made of fewer and wider operations."""
    network = _Network(graph)
    cuts = network.find_cuts()
    network.count_uses()
    for _ in range(ROUNDS):
        network.choose(cuts)
    network.merge_xors()
    return network.emit()


class _Network:
    """How each node of a graph is to be made, and how many others then use it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.first = 1 + graph.input_bits
        self.size = self.first + len(graph.nodes)
        self.made: dict[int, _Made] = {self.first + index: _as_xor(node) for index, node in enumerate(graph.nodes)}
        self.uses: list[int] = []

    def count_uses(self) -> None:
        """Uses of every node that an output needs; 0 for all others."""
        self.uses = [0] * self.size
        for literal in self.graph.output_literals:
            self.uses[literal >> 1] += 1
        for index in range(self.size - 1, self.first - 1, -1):
            if self.uses[index]:
                for leaf in _leaves(self.made[index]):
                    self.uses[leaf] += 1

    # --- mapping to operations of three -----------------------------------------------------------------------------

    def find_cuts(self) -> list[list[_Cut]]:
        """Of each node its functions of at most three earlier nodes."""
        cuts: list[list[_Cut]] = [[] for _ in range(self.first)]
        for node in self.graph.nodes:
            cuts.append(_cuts(node, cuts))
        return cuts

    def choose(self, cuts: Sequence[Sequence[_Cut]]) -> None:
        """For each node in use, from inputs to outputs, the operation that makes the whole circuit cheapest."""
        costs = _gate_costs()
        for index in range(self.first, self.size):
            for cut in cuts[index] if self.uses[index] else ():
                # What nothing uses stays so: making it again rarely pays, and may be any amount of work.
                if cut.table in costs and all(self.uses[leaf] for leaf in cut.leaves):
                    self._try(index, cut)

    def _try(self, index: int, made: _Made) -> None:
        """Make the node so, if that is cheaper. The new arguments are held before the old ones are given up."""
        old = self.made[index]
        self._hold(made)
        if _price(made) < _price(old) + self._release(old):
            self.made[index] = made
        else:
            self._hold(old)
            self._release(made)

    def _hold(self, made: _Made) -> None:
        waiting = [made]
        while waiting:
            for leaf in _leaves(waiting.pop()):
                self.uses[leaf] += 1
                if self.uses[leaf] == 1 and leaf >= self.first:
                    waiting.append(self.made[leaf])

    def _release(self, made: _Made) -> int:
        """Give up one use of each argument; returns what is saved by nodes that nothing needs any more."""
        saved, waiting = 0, [made]
        while waiting:
            for leaf in _leaves(waiting.pop()):
                self.uses[leaf] -= 1
                if not self.uses[leaf] and leaf >= self.first:
                    saved += _price(self.made[leaf])
                    waiting.append(self.made[leaf])
        return saved

    # --- merging XORs -----------------------------------------------------------------------------------------------

    def merge_xors(self) -> None:
        """From outputs to inputs, put XORs into the XORs that use them, where that makes them needless."""
        users: list[set[int]] = [set() for _ in range(self.size)]
        needed_by_others = {literal >> 1 for literal in self.graph.output_literals}
        for index in range(self.first, self.size):
            if self.uses[index]:
                for leaf in _leaves(self.made[index]):
                    users[leaf].add(index)
                if not isinstance(self.made[index], _Xor):
                    needed_by_others.update(_leaves(self.made[index]))
        for index in range(self.size - 1, self.first - 1, -1):
            inner = self.made[index]
            if not self.uses[index] or not isinstance(inner, _Xor) or index in needed_by_others:
                continue
            wider = {user: self._with(user, index, inner) for user in users[index]}
            if any(len(made.leaves) > XOR_WIDTH for made in wider.values()):
                continue
            for leaf in inner.leaves:
                users[leaf].remove(index)
                users[leaf] ^= set(wider)  # what used the leaf already has it twice now, which cancels
            self.made.update(wider)
            users[index] = set()
        self.count_uses()

    def _with(self, user: int, index: int, inner: _Xor) -> _Xor:
        outer = self.made[user]
        assert isinstance(outer, _Xor)
        return _Xor(tuple(sorted((set(outer.leaves) - {index}) ^ set(inner.leaves))), outer.flip ^ inner.flip)

    # --- the result -------------------------------------------------------------------------------------------------

    def emit(self) -> Graph:
        """The circuit. On one level MAJ3 and AND come before XOR, which can then be a sum over them."""
        levels = [0] * self.size
        for index in range(self.first, self.size):
            levels[index] = 1 + max([levels[leaf] for leaf in _leaves(self.made[index])], default=0)
        builder = Builder(self.graph.name)
        for word in self.graph.inputs:
            builder.input(word.name, word.type, word.trust)
        literals: dict[int, Literal] = {index: 2 * index for index in range(self.first)}
        needed = [index for index in range(self.first, self.size) if self.uses[index]]
        for index in sorted(needed, key=lambda i: (levels[i], isinstance(self.made[i], _Xor), i)):
            literals[index] = _emit(builder, self.made[index], literals)
        for output in self.graph.outputs:
            moved = [literals[literal >> 1] ^ literal & 1 for literal in output.literals]
            builder.output(output.name, output.type, moved, output.mode)
        return builder.build()


def _as_xor(node: Node) -> _Made:
    if node.op is not Op.XOR:
        return node
    leaves = tuple(sorted(literal >> 1 for literal in node.literals))
    return _Xor(leaves, sum(literal & 1 for literal in node.literals) % 2)


def _leaves(made: _Made) -> Sequence[int]:
    return [literal >> 1 for literal in made.literals] if isinstance(made, Node) else made.leaves


def _emit(builder: Builder, made: _Made, literals: Mapping[int, Literal]) -> Literal:
    match made:
        case Node():
            return builder.apply(made, [literals[literal >> 1] ^ literal & 1 for literal in made.literals])
        case _Xor():
            return builder.xor(TRUE * made.flip, *(literals[leaf] for leaf in made.leaves))
        case _Cut():
            rows = (1 << (1 << len(made.leaves))) - 1
            return builder.lut(made.table & rows, [literals[leaf] for leaf in made.leaves])


# --- functions of three -----------------------------------------------------------------------------------------------


_VARIABLES: Final = (0b10101010, 0b11001100, 0b11110000)  # truth tables of the three leaves
_XOR3: Final = (0b10010110, 0b01101001)  # left to the merging of XORs, which knows more


def _cuts(node: Node, cuts: Sequence[Sequence[_Cut]]) -> list[_Cut]:
    """The node as functions of few earlier nodes, from those of its two arguments."""
    if node.op not in (Op.AND, Op.XOR) or len(node.literals) != 2:
        return []
    a, b = node.literals
    found: dict[tuple[int, ...], int] = {}
    for left, right in product(_with_itself(a >> 1, cuts), _with_itself(b >> 1, cuts)):
        joined = {*left.leaves, *right.leaves}
        if len(joined) <= CUT_LEAVES and len(found) < CUTS_MAX:
            leaves = tuple(sorted(joined))
            x = _spread(left.table, tuple(map(leaves.index, left.leaves))) ^ 255 * (a & 1)
            y = _spread(right.table, tuple(map(leaves.index, right.leaves))) ^ 255 * (b & 1)
            found.setdefault(leaves, x & y if node.op is Op.AND else x ^ y)
    return [_Cut(leaves, table) for leaves, table in found.items() if table not in _XOR3]


def _with_itself(node: int, cuts: Sequence[Sequence[_Cut]]) -> list[_Cut]:
    return [_Cut((node,), _VARIABLES[0]), *cuts[node]]


@cache
def _spread(table: int, positions: tuple[int, ...]) -> int:
    """The table with its variables moved to these positions."""
    rows = [sum((row >> position & 1) << j for j, position in enumerate(positions)) for row in range(8)]
    return sum((table >> old & 1) << row for row, old in enumerate(rows))


@cache
def _gate_costs() -> dict[int, int]:
    """Bootstraps of the tables of three variables that are one operation, XOR aside."""
    costs: dict[int, int] = {}
    for signs in product((0, 255), repeat=3):
        signed = [variable ^ sign for variable, sign in zip(_VARIABLES, signs, strict=True)]
        for x, y, z in permutations(signed):
            gates = {x: 0, x & y: 1, x & y | y & z | z & x: 1, x & y & z | 255 & ~(x | y | z): 1, x & y | ~x & z: 2}
            for table, cost in gates.items():
                costs[table] = costs[table ^ 255] = cost
    return costs


def _price(made: _Made) -> int:
    """Bootstraps under set S at 2^-128, roughly: no sums instead of bootstraps."""
    match made:
        case _Cut():
            return _gate_costs()[made.table]
        case _Xor():
            return -(-(len(made.leaves) - 1) // (XOR_WIDTH - 1))
        case Node():
            return {Op.MUX: 2, Op.ANDXOR: 2, Op.LUT: 2 * len(made.literals)}.get(made.op, 1)
