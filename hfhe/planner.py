"""From a circuit to its plan, within the noise budgets of a parameter set. Version 1, deterministic: it decides bytes.

Evaluators that must agree fix the planner's version, the set and its budgets, and nothing else: the order in which a
plan's steps then run is free. The rules, node by node in order:

* Only nodes that an output needs are planned, and every foreign input is bootstrapped first.
* A node is one bootstrap of an integer form over its arguments. A MUX is the sum of two ANDs, without a third. An XOR
  is a sum too where the matching MAJ3 or ANDs were computed before it and the norm allows (a full adder costs one
  bootstrap), unless it is a sealed output, which pays its own bootstrap in any case.
* A form over its budget has arguments rebased, that is bootstrapped, heaviest first, until it fits; then arguments
  that turned out to be the same source are separated by a bootstrap.
* Each sealed output bit is a source of its own, salted, so that its noise is independent of every other job's.
"""

from __future__ import annotations

from collections.abc import Sequence

from octra.hfhe.builder import Builder, rebuild
from octra.hfhe.hypergraph import Graph, Literal, Mode, Node, Op, Trust
from octra.hfhe.lookup import find_form
from octra.hfhe.noise import Form, NoiseBudgetExceeded, budget_of, combine, constant, negate, source
from octra.hfhe.params import Budgets, ParameterSet
from octra.hfhe.plan import UNSALTED, Plan, Step

ANDXOR_NORM2 = 6


def make_plan(graph: Graph, params: ParameterSet, security_bits: int = 128) -> Plan:
    """The plan of a circuit; every wrong bit costs at most 2^-`security_bits`. Raises `NoiseBudgetExceeded`."""
    budgets = params.budget(security_bits)
    steps, outputs = _Planner(_lower(graph, budgets), budgets).run()
    return Plan(graph, params.set_id, budgets, steps, outputs)


def account(plan: Plan) -> tuple[Graph, frozenset[int], frozenset[int]]:
    """The circuit as the plan runs it, its nodes that stayed sums, and those that were sums until one was too heavy."""
    planner = _Planner(_lower(plan.graph, plan.budgets), plan.budgets)
    planner.run()
    sums = frozenset(node for node, form in planner.values.items() if not form.is_source and not form.is_constant)
    return planner.graph, sums, frozenset(planner.rebased)


def _lower(graph: Graph, budgets: Budgets) -> Graph:
    """The same circuit without operations that the budgets do not allow in one bootstrap."""
    if not any(node.op is Op.LUT or node.op is Op.ANDXOR for node in graph.nodes):
        return graph

    def lower_lut(builder: Builder, table: int, literals: Sequence[Literal]) -> Literal:
        literal = builder.lut(table, literals)  # a single gate, when its new arguments allow
        node = builder.node_of(literal)
        if node is None or node.op is not Op.LUT:
            return literal if node is None else lower(builder, node, node.literals) ^ literal & 1
        if find_form(len(node.literals), node.table, budgets):
            return literal
        *rest, last = node.literals
        rows = 1 << len(rest)
        low, high = node.table & (1 << rows) - 1, node.table >> rows
        return builder.mux(last, lower_lut(builder, high, rest), lower_lut(builder, low, rest)) ^ literal & 1

    def lower(builder: Builder, node: Node, literals: Sequence[Literal]) -> Literal:
        if node.op is Op.ANDXOR and budgets.b8 < ANDXOR_NORM2:
            a, b, c = literals
            return builder.xor(builder.and_(a, b), c)
        if node.op is Op.LUT:
            return lower_lut(builder, node.table, literals)
        return builder.apply(node, literals)

    return rebuild(graph, {}, lower)


class _Planner:
    def __init__(self, graph: Graph, budgets: Budgets) -> None:
        self.graph, self.budgets = graph, budgets
        self.first = 1 + graph.input_bits  # the first hyperedge's node
        self.steps: list[Step] = []
        self.known: dict[Form, Form] = {}  # bootstrapped form -> its source
        self.values: dict[int, Form] = {0: constant(False)}
        self.partners: dict[tuple[int, ...], list[tuple[int, tuple[Literal, ...]]]] = {}
        self.sealed: dict[int, int] = {}  # node -> the first sealed output bit that it makes
        self.rebased: set[int] = set()
        self.inner = self._find_live()

    def run(self) -> tuple[tuple[Step, ...], tuple[Form, ...]]:
        for bit in range(self.graph.input_bits):
            self.values[1 + bit] = source(bit)
        bit = 0
        for word in self.graph.inputs:
            for _ in range(word.bits):
                if word.trust is Trust.FOREIGN and 1 + bit in self.live:
                    self.values[1 + bit] = self._bootstrap(source(bit))
                bit += 1
        for index, node in enumerate(self.graph.nodes):
            if self.first + index in self.live:
                self.values[self.first + index] = self._node(self.first + index, node)
        outputs = self._outputs()
        return _drop_unused(self.graph.input_bits, self.steps, outputs)

    # --- one node ---------------------------------------------------------------------------------------------------

    def _node(self, node_id: int, node: Node) -> Form:
        literals, salt = node.literals, self.sealed.get(node_id, UNSALTED)
        match node.op:
            case Op.AND:
                self._offer_partner(node_id, literals)
                return self._sum(node_id, literals, (1, 1), -1, salt)
            case Op.MAJ3:
                self._offer_partner(node_id, literals)
                return self._sum(node_id, literals, (1, 1, 1), 0, salt)
            case Op.ALLEQ3:
                return self._sum(node_id, literals, (1, 1, 1), -2, salt)
            case Op.ANDXOR:
                return self._sum(node_id, literals, (1, 1, 2), 1, salt)
            case Op.XOR:
                linear = None if salt != UNSALTED else self._linear_xor(node_id, literals)
                return self._xor(node_id, literals, salt) if linear is None else linear
            case Op.MUX:
                select, a, b = literals
                chosen = self._sum(node_id, (select, a), (1, 1), -1, UNSALTED)
                other = self._sum(node_id, (select ^ 1, b), (1, 1), -1, UNSALTED)
                form = combine(((1, chosen), (1, other)), 1)
                return form if salt == UNSALTED else self._bootstrap(form, salt)
            case Op.LUT:
                found = find_form(len(literals), node.table, self.budgets)
                assert found is not None, "lowering left only tables that are one form"
                return self._sum(node_id, literals, found[0], found[1], salt)
            case Op.SEAL:
                return self._bootstrap(self._value(literals[0]), salt)

    def _sum(
        self, node_id: int, literals: Sequence[Literal], weights: Sequence[int], kappa: int, salt: int,
        carried: tuple[tuple[int, Form], ...] = (),
    ) -> Form:  # fmt: skip
        """Bootstrap the weighted sum of literals, after rebasing what is too heavy."""
        while True:
            parts = [(weight, self._value(literal)) for weight, literal in zip(weights, literals, strict=True)]
            form = combine([*parts, *carried] if carried else parts, kappa)
            budget = budget_of(form, self.budgets)
            if form.norm2 <= budget:
                return self._step(form, salt)
            if not (self._rebase_heaviest(weights, literals) or self._separate(literals, carried)):
                raise NoiseBudgetExceeded(node_id, form.norm2, budget)

    def _rebase_heaviest(self, weights: Sequence[int], literals: Sequence[Literal]) -> bool:
        """Bootstrap the linear argument that adds most, for this and all later nodes; False when all are sources."""
        linear = [
            (-weight * weight * self.values[node].norm2, node)
            for weight, node in zip(weights, (literal >> 1 for literal in literals), strict=True)
            if not self.values[node].is_source and not self.values[node].is_constant
        ]
        if linear:
            node = min(linear)[1]
            self.rebased.add(node)
            self.values[node] = self._bootstrap(self.values[node])
        return bool(linear)

    def _separate(self, literals: Sequence[Literal], carried: tuple[tuple[int, Form], ...]) -> bool:
        """Give an argument that shares its source with another a source of its own; False when none does."""
        used = {index for _, form in carried for index, _ in form.terms}
        for node in (literal >> 1 for literal in literals):
            value = self.values[node]
            sources = {index for index, _ in value.terms}
            if sources & used:
                while {index for index, _ in value.terms} & used:
                    value = self._bootstrap(value)
                self.values[node] = value
                return True
            used |= sources
        return False

    def _xor(self, node_id: int, literals: tuple[Literal, ...], salt: int) -> Form:
        """An XOR in chunks from the left, each as wide as the budget allows."""
        widest = self.budgets.widest_xor
        carried: tuple[tuple[int, Form], ...] = ()
        while True:
            chunk, literals = literals[: widest - len(carried)], literals[widest - len(carried) :]
            kappa = 2 * (len(chunk) + len(carried)) - 2
            result = self._sum(node_id, chunk, (2,) * len(chunk), kappa, UNSALTED if literals else salt, carried)
            if not literals:
                return result
            carried = ((2, result),)

    # --- sums instead of bootstraps ---------------------------------------------------------------------------------

    def _offer_partner(self, node_id: int, literals: tuple[Literal, ...]) -> None:
        self.partners.setdefault(tuple([literal >> 1 for literal in literals]), []).append((node_id, literals))

    def _linear_xor(self, node_id: int, literals: tuple[Literal, ...]) -> Form | None:
        """The XOR as a sum over a MAJ3 or ANDs of the same bits that exist already, if the norm allows."""
        partners = self.partners.get(tuple([literal >> 1 for literal in literals])) if len(literals) <= 3 else None
        if partners is None:
            return None
        limit = self.budgets.b8 if node_id in self.inner else self.budgets.open
        candidates: list[Form] = []
        if len(literals) == 2:
            for position, (node, signed) in enumerate(partners):
                opposite = (signed[0] ^ 1, signed[1] ^ 1)
                other = next((later for later, names in partners[position + 1 :] if names == opposite), None)
                if other is not None:  # -and - and' - 1
                    both = combine(((-1, self.values[node]), (-1, self.values[other])), -1)
                    candidates.append(_complemented(both, signed))
                    break
        node, signed = partners[0]  # a + b (+ c) - 2 maj, and a constant where there are two
        parts = [(1, self._value(literal)) for literal in signed]
        parts.append((-2, self.values[node]))
        if not candidates and _norm2_of_strangers(parts) > limit:
            return None
        full = combine(parts, -1 if len(signed) == 2 else 0)
        candidates.append(_complemented(full, signed))
        return next((form for form in candidates if form.norm2 <= limit), None)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _find_live(self) -> set[int]:
        """Find the nodes that outputs need (`live`) and the sealed ones; returns those that other nodes read."""
        bit, roots = 0, []
        for word in self.graph.outputs:
            for literal in word.literals:
                roots.append(literal >> 1)
                if word.mode is Mode.SEALED and literal >> 1 >= self.first:
                    self.sealed.setdefault(literal >> 1, bit)
                bit += 1
        self.live, inner = set(roots), set()
        for index in range(len(self.graph.nodes) - 1, -1, -1):
            if self.first + index in self.live:
                arguments = [literal >> 1 for literal in self.graph.nodes[index].literals]
                inner.update(arguments)
                self.live.update(arguments)
        return inner

    def _value(self, literal: Literal) -> Form:
        form = self.values[literal >> 1]
        return negate(form) if literal & 1 else form

    def _bootstrap(self, form: Form, salt: int = UNSALTED) -> Form:
        """The source that a bootstrap of `form` gives. Equal forms are bootstrapped once, but for salted outputs."""
        assert form.norm2 <= budget_of(form, self.budgets)
        return self._step(form, salt)

    def _step(self, form: Form, salt: int) -> Form:
        """The same for a form that is known to fit."""
        known = self.known.get(form)
        if known is not None and salt == UNSALTED:
            return known
        fresh = source(self.graph.input_bits + len(self.steps))
        self.steps.append(Step(form.terms, form.kappa, salt))
        self.known.setdefault(form, fresh)
        return fresh

    def _outputs(self) -> list[Form]:
        outputs: list[Form] = []
        for word in self.graph.outputs:
            for literal in word.literals:
                node, bit = literal >> 1, len(outputs)
                if node != 0 and word.mode is Mode.SEALED and self.sealed.get(node) != bit:
                    # An input that only moves, or a node that is an output already: its own source, its own noise.
                    fresh = self._bootstrap(self.values[node], bit)
                    outputs.append(negate(fresh) if literal & 1 else fresh)
                else:
                    outputs.append(self._value(literal))
        return outputs


def _norm2_of_strangers(parts: Sequence[tuple[int, Form]]) -> int:
    """The norm^2 of a sum of different sources, without making it; 0 where anything would merge."""
    if any(len(form.terms) != 1 or abs(form.terms[0][1]) != 1 for _, form in parts):
        return 0
    if len({form.terms[0][0] for _, form in parts}) < len(parts):
        return 0
    return sum([weight * weight for weight, _ in parts])


def _complemented(form: Form, signed: Sequence[Literal]) -> Form:
    """An odd number of complements among an XOR's literals negates it."""
    return negate(form) if sum(literal & 1 for literal in signed) % 2 else form


def _drop_unused(
    inputs: int, steps: Sequence[Step], outputs: Sequence[Form]
) -> tuple[tuple[Step, ...], tuple[Form, ...]]:
    """The steps that outputs need, numbered again."""
    needed = {index for form in outputs for index, _ in form.terms}
    for position in range(len(steps) - 1, -1, -1):
        if inputs + position in needed:
            needed.update([index for index, _ in steps[position].terms])
    if all(inputs + position in needed for position in range(len(steps))):
        return tuple(steps), tuple(outputs)
    numbers = {index: index for index in range(inputs)}
    kept: list[Step] = []

    def moved(terms: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        return tuple((numbers[index], coefficient) for index, coefficient in terms)

    for position, step in enumerate(steps):
        if inputs + position in needed:
            numbers[inputs + position] = inputs + len(kept)
            kept.append(Step(moved(step.terms), step.kappa, step.salt))
    return tuple(kept), tuple(Form(moved(form.terms), form.kappa) for form in outputs)
