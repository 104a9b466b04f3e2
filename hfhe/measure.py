"""The noise of real bootstraps, held against the model of `params`: for tests and benchmarks that own the secret key.

A `Laboratory` keeps a pool of sources under one key, runs random gates of all kinds on them, checks every bit, and
takes the gates' outputs, packed and unpacked as on a chain, as the next sources. All noise is in units of 1/2N turn.
Nothing here is constant in time, and nothing at run time depends on it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from octra.crypto.hash import H
from octra.hfhe.backend import Backend
from octra.hfhe.bootstrap import packed, unpack
from octra.hfhe.builder import Builder
from octra.hfhe.ciphertext import U16Array, U32Array, extract, linear_form
from octra.hfhe.encrypt import encrypt_packed, encrypt_zero, phases
from octra.hfhe.hypergraph import Literal, Mode
from octra.hfhe.keys import EvaluationKey, SecretKey
from octra.hfhe.params import MU, ParameterSet, Q, Variances, get, variances
from octra.hfhe.plan import UNSALTED, Plan
from octra.hfhe.planner import make_plan
from octra.hfhe.sampling import I64Array

F64Array = npt.NDArray[np.float64]

KINDS: Final = ("and", "seal", "xor", "xnor", "maj3", "alleq3", "andxor", "mux", "lut3")


class Moments:
    """Count, mean, variance and fourth moment of samples that arrive in parts."""

    __slots__ = ("_sums", "count")

    def __init__(self) -> None:
        self.count, self._sums = 0, np.zeros(4)

    def add(self, samples: F64Array) -> None:
        self.count += samples.size
        self._sums += [float((samples**power).sum()) for power in (1, 2, 3, 4)]

    @property
    def mean(self) -> float:
        return float(self._sums[0]) / self.count

    @property
    def variance(self) -> float:
        return float(self._sums[1]) / self.count - self.mean**2

    @property
    def fourth(self) -> float:
        """The fourth central moment over the squared variance: 3 for a Gaussian."""
        first, second, third, last = (float(value) / self.count for value in self._sums)
        return (last - 4 * first * third + 6 * first**2 * second - 3 * first**4) / self.variance**2

    def merged(self, other: Moments) -> Moments:
        """The moments of both sets of samples together."""
        both = Moments()
        both.count, both._sums = self.count + other.count, self._sums + other._sums
        return both


@dataclass
class Observations:
    """What one laboratory has seen so far."""

    rotation: Moments = field(default_factory=Moments)  # a bootstrap's output before packing
    switching: Moments = field(default_factory=Moments)  # key switch and modulus switch together
    packing: Moments = field(default_factory=Moments)
    deciding: Moments = field(default_factory=Moments)  # all noise at the decision, over the model's deviation for it
    salted: Moments = field(default_factory=Moments)  # product of the noises of two salted copies, over the variance
    gates: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    @property
    def bootstraps(self) -> int:
        return self.rotation.count

    def merged(self, other: Observations) -> Observations:
        """Both together."""
        return Observations(
            self.rotation.merged(other.rotation),
            self.switching.merged(other.switching),
            self.packing.merged(other.packing),
            self.deciding.merged(other.deciding),
            self.salted.merged(other.salted),
            self.gates + other.gates,
            self.wrong + other.wrong,
        )


@dataclass(frozen=True, slots=True)
class Tilted:
    """Gates pushed towards the decision line so that the model predicts `expected` wrong bits of `gates`."""

    width: int  # literals of the XOR; 1 is a plain bootstrap
    probability: float
    gates: int
    expected: float
    wrong: int

    @property
    def deviations(self) -> float:
        """How many standard deviations the count is away from the model's."""
        return (self.wrong - self.expected) / math.sqrt(self.expected * (1 - self.expected / self.gates))


def at_full_noise(params: ParameterSet) -> ParameterSet:
    """The set with the largest noise that a jointly made key may have; the same set where there is no such key."""
    return replace(
        params,
        sigma_ring=params.sigma_ring_max or params.sigma_ring,
        sigma_lwe=params.sigma_lwe_max or params.sigma_lwe,
    )


class Laboratory:
    """One key of `params`, made from `seed`, and N sources under it."""

    def __init__(self, params: ParameterSet, backend: Backend, seed: bytes) -> None:
        self.params, self.backend, self.seen = params, backend, Observations()
        self.secret = SecretKey.generate(params, seed)
        self.evaluation = EvaluationKey.generate(self.secret, seed)
        self.key = backend.prepare(self.evaluation)
        self.random = np.random.default_rng(np.frombuffer(seed, np.uint32))
        self.model: Variances = variances(params)
        self._unit = 2 * params.N / Q
        self._seed, self._salts = seed, 0
        self._values: I64Array = self.random.integers(0, 2, params.N)  # the pool in the clear
        fresh = encrypt_packed(self.evaluation.public, self._values, self._fresh_seed())
        self._pool = self._repack(extract(backend.rotate(self.key, backend.switch(self.key, unpack(fresh[0])))))

    # --- random gates -----------------------------------------------------------------------------------------------

    def run(self, gates: int, *, pairs: bool = False) -> U32Array:
        """Run `gates` random gates and check them; returns all forms that were bootstrapped, [count, M + 1].

        With `pairs`, each output is bootstrapped twice with different salts, to see whether the noises correlate.
        """
        forms = [np.empty((0, self.params.M + 1), np.uint32)]
        while gates:
            block = min(gates, self.params.N)
            forms += self._block(block, pairs)
            gates -= block
        return np.concatenate(forms)

    def _block(self, gates: int, pairs: bool) -> list[U32Array]:
        choices = [_random_gate(self.params, self.random) for _ in range(gates)]
        picks = [self.random.choice(self.params.N, plan.input_bits, replace=False) for _, plan in choices]
        sources = [[self._pool[index] for index in pick] for pick in picks]
        signs = [[2 * int(self._values[index]) - 1 for index in pick] for pick in picks]
        used: list[U32Array] = []
        for level in range(max(plan.bootstraps for _, plan in choices)):
            active = [number for number, (_, plan) in enumerate(choices) if plan.bootstraps > level]
            steps = [choices[number][1].steps[level] for number in active]
            forms = np.array([_form(sources[n], step.terms, step.kappa) for n, step in zip(active, steps, strict=True)])
            exact = np.array([
                step.kappa + sum(c * signs[n][i] for i, c in step.terms) for n, step in zip(active, steps, strict=True)
            ])  # fmt: skip
            norm2 = np.array([step.form.norm2 for step in steps])
            salted = np.array([step.salt != UNSALTED for step in steps])
            fresh, noise = self._bootstrap(self._salt(forms, salted), exact, norm2)
            if pairs and salted.any():
                again, other = self._bootstrap(self._salt(forms, salted)[salted], exact[salted], norm2[salted])
                assert (again != fresh[salted]).any(axis=1).all(), "salts must change the ciphertext"
                self.seen.salted.add(noise[salted] * other / self.model.rotation)
            wrong = (phases(self.secret, fresh) > 0) != (exact % 8 < 4)
            for row, number in enumerate(active):
                sources[number].append(fresh[row])
                signs[number].append(1 if exact[row] % 8 < 4 else -1)
                self.seen.wrong[choices[number][0]] += int(wrong[row])
            used.append(forms)
        self.seen.gates.update(kind for kind, _ in choices)
        outputs = [plan.outputs[0] for _, plan in choices]
        rows = [_form(sources[n], output.terms, output.kappa) for n, output in enumerate(outputs)]
        clear = [signs[n][output.terms[0][0]] * output.terms[0][1] for n, output in enumerate(outputs)]
        self._pool[:gates] = self._repack(np.array(rows))
        self._values[:gates] = (np.array(clear) + 1) // 2
        return used

    def _bootstrap(self, forms: U32Array, exact: I64Array, norm2: I64Array) -> tuple[U32Array, F64Array]:
        """Fresh bits of forms whose exact phases are `exact` eighths, and their noise; everything is recorded."""
        exponents = self.backend.switch(self.key, forms)
        fresh = extract(self.backend.rotate(self.key, exponents))
        local = self._switch_noise(exponents, forms)
        before = self._noise(forms, exact) + local
        model = norm2 * (self.model.rotation + self.model.packing) + self.model.key_switch + self.model.modulus_switch
        noise = self._noise(fresh, np.where(exact % 8 < 4, 1, -1))
        self.seen.switching.add(local)
        self.seen.deciding.add(before / np.sqrt(model))
        self.seen.rotation.add(noise)
        return fresh, noise

    def _repack(self, bits: U32Array) -> U32Array:
        """The bits after packing and unpacking: how sources look that come out of another job."""
        moved = unpack(packed(self.key, self.backend.pack(self.key, bits), len(bits)))
        self.seen.packing.add((_centred(phases(self.secret, moved) - phases(self.secret, bits), Q)) * self._unit)
        return moved

    def _salt(self, forms: U32Array, where: npt.NDArray[np.bool_]) -> U32Array:
        salted = forms.copy()
        zeros = encrypt_zero(self.evaluation.public, [self._fresh_seed() for _ in range(int(where.sum()))])
        salted[where] = (forms[where].astype(np.int64) + zeros) % Q
        return salted

    def _fresh_seed(self) -> bytes:
        self._salts += 1
        return H("octra.laboratory", self._seed, self._salts.to_bytes(8, "little"))

    # --- tilted gates -----------------------------------------------------------------------------------------------

    def tilt(self, width: int, probability: float, gates: int) -> Tilted:
        """XORs of `width` literals (1: plain bootstraps), pushed until the model expects `probability` of them wrong.

        The expected count is the model without its margins, for sources that were packed once.
        """
        weight, kappa, margin = (1, 0, 8) if width == 1 else (2, 2 * width - 2, 4)
        local = self.model.key_switch + self.model.modulus_switch
        deviation = math.sqrt(width * weight**2 * (self.model.rotation + self.model.packing) + local)
        distance = deviation * _quantile(probability)
        push = round((2 * self.params.N / margin - distance) / self._unit)
        # Exponents are integers and 0 counts as a 1, so the decision line lies half a unit below zero.
        of_one, of_zero = (tail((distance + half) / deviation) for half in (0.5, -0.5))
        expected, wrong, left = 0.0, 0, gates
        while left:
            count = min(left, self.params.N)
            picks = np.array([self.random.choice(self.params.N, width, replace=False) for _ in range(count)])
            bits = (weight * (2 * self._values[picks] - 1).sum(axis=1) + kappa) % 8 < 4
            forms = linear_form(list(self._pool[picks].transpose(1, 0, 2)), [weight] * width, kappa)
            forms[:, -1] = (forms[:, -1].astype(np.int64) + np.where(bits, -push, push)) % Q
            fresh = self.backend.bootstrap(self.key, forms)
            wrong += int(((phases(self.secret, fresh) > 0) != bits).sum())
            ones = int(bits.sum())
            expected += ones * of_one + (count - ones) * of_zero
            left -= count
        return Tilted(width, probability, gates, expected, wrong)

    # --- what noise is ----------------------------------------------------------------------------------------------

    def _noise(self, bits: U32Array, exact: I64Array) -> F64Array:
        """Distance of the phases from `exact` eighths of a turn."""
        return _centred(phases(self.secret, bits) - exact * MU, Q) * self._unit

    def _switch_noise(self, exponents: U16Array, forms: U32Array) -> F64Array:
        """What key switch and modulus switch added to the phases of the forms."""
        wide = exponents.astype(np.int64)
        return _centred(
            wide[:, -1] - wide[:, :-1] @ self.secret.s - phases(self.secret, forms) * self._unit, 2 * self.params.N
        )


def tail(z: float) -> float:
    """Pr(X > z) for a standard Gaussian."""
    return math.erfc(z / math.sqrt(2)) / 2


def _quantile(probability: float) -> float:
    low, high = 0.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle) > probability else (low, middle)
    return low


def _centred(values: I64Array | F64Array, modulus: int) -> F64Array:
    moved: F64Array = (values.astype(np.float64) + modulus / 2) % modulus - modulus / 2
    return moved


def _form(sources: Sequence[U32Array], terms: Sequence[tuple[int, int]], kappa: int) -> U32Array:
    return linear_form([sources[index] for index, _ in terms], [c for _, c in terms], kappa)


# --- Which gates there are: whatever the planner makes of each operation. ---


def _random_gate(params: ParameterSet, random: np.random.Generator) -> tuple[str, Plan]:
    kind = KINDS[int(random.integers(len(KINDS)))]
    widest = params.budgets[max(params.budgets)].widest_xor
    choice = {
        "and": lambda: int(random.integers(8)),
        "xor": lambda: int(random.integers(2, widest + 1)),
        "xnor": lambda: int(random.integers(2, widest + 1)),
        "lut3": lambda: int(random.integers(256)),
    }.get(kind, lambda: int(random.integers(8)))()
    plan = _plan(params.set_id, kind, choice)
    return (kind, plan) if plan.bootstraps else _random_gate(params, random)


@lru_cache(maxsize=512)
def _plan(set_id: int, kind: str, choice: int) -> Plan:
    """One sealed gate; the bits of `choice` complement its literals, or are its width or table."""
    params = get(set_id, allow_insecure=True)
    builder = Builder("gate")
    widths = {"and": 2, "seal": 1, "xor": choice, "xnor": choice}
    names = [builder.input(f"x{i}", "bit")[0] for i in range(widths.get(kind, 3))]
    signed: list[Literal] = [name ^ (choice >> i & 1) for i, name in enumerate(names)]
    match kind:
        case "and":
            output = builder.and_(*signed) ^ (choice >> 2 & 1)
        case "seal":
            output = builder.seal(signed[0])
        case "xor" | "xnor":
            output = builder.xor(*names) ^ (kind == "xnor")
        case "maj3":
            output = builder.maj3(*signed)
        case "alleq3":
            output = builder.alleq3(*signed)
        case "andxor":
            output = builder.andxor(*signed)
        case "mux":
            output = builder.mux(*signed)
        case _:
            output = builder.lut(choice, names)
    builder.output("out", "bit", [output], Mode.SEALED)
    return make_plan(builder.build(), params, max(params.budgets))
