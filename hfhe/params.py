"""The frozen parameter sets, their noise budgets, and the noise model from which the budgets follow.

No other module states a number of a set. `get` is the door for everything that comes from outside: it refuses sets
without security unless the caller says that it wants them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from octra.hfhe.errors import InsecureParameters, NoSuchBudget, UnknownParameters

Q: Final = 2**27 - 2**11 + 1  # prime; 2^11 divides Q - 1, so number-theoretic transforms exist up to N = 1024
Q_BITS: Final = 27
MU: Final = (Q - 1) // 8  # a bit is +MU (1) or -MU (0)

Sigma = int  # a standard deviation in hundredths, so that sets are exact values


@dataclass(frozen=True, slots=True)
class Gadget:
    """Signed decomposition in `digits` digits of base 2^`base_log`, after `drop` low bits were rounded away."""

    digits: int
    base_log: int
    drop: int

    @property
    def base(self) -> int:
        return 1 << self.base_log

    def weight(self, digit: int) -> int:
        """What one unit of the digit stands for."""
        return 1 << (self.drop + digit * self.base_log)


class Budgets(NamedTuple):
    """Largest norm^2 of a form over sources: margin 1/8 (`b8`), margin 1/4 (`b4`), decrypted only (`open`)."""

    b8: int
    b4: int
    open: int
    widest_xor: int


@dataclass(frozen=True, slots=True, eq=False)
class ParameterSet:
    """One frozen set. Names follow the specification: `N`, `k` ring, `n` LWE, `M` = k*N flattened ring key."""

    set_id: int
    name: str
    N: int
    k: int
    n: int
    ring_secret: Literal["ternary", "difference"]
    lwe_secret: Literal["binary", "ternary"]
    sigma_ring: Sigma
    sigma_lwe: Sigma
    switch_log: int  # log2 of the key-switch modulus
    switch_base_log: int
    switch_digits: int
    gadget: Gadget
    packing: Gadget | None
    step: Literal["pair", "ternary"]
    secure: bool
    budgets: dict[int, Budgets] = field(repr=False)
    sigma_ring_max: Sigma = 0  # noise of a jointly made key, for correctness; 0: same as `sigma_ring`
    sigma_lwe_max: Sigma = 0

    @property
    def M(self) -> int:  # noqa: N802 - the name in the specification
        """Dimension of a bit's mask: a bit in memory is M + 1 coefficients, body last."""
        return self.k * self.N

    @property
    def groups(self) -> int:
        """Steps of one blind rotation."""
        return self.n // 2 if self.step == "pair" else self.n

    @property
    def messages(self) -> int:
        """RGSW encryptions in one group."""
        return 3 if self.step == "pair" else 2

    @property
    def rows(self) -> int:
        """Rows of one RGSW encryption."""
        return (self.k + 1) * self.gadget.digits

    @property
    def switch_half(self) -> int:
        """Rows of one key-switch table: one fresh sample for each absolute value of a digit."""
        return 1 << (self.switch_base_log - 1)

    @property
    def security_bits(self) -> int:
        """-log2 of the smallest failure probability that the set has budgets for: 128 where it can promise that."""
        return max(self.budgets)

    def budget(self, security_bits: int) -> Budgets:
        """Noise budgets at failure probability 2^-`security_bits` (64 or 128)."""
        try:
            return self.budgets[security_bits]
        except KeyError:
            raise NoSuchBudget(self.name, security_bits) from None


S: Final = ParameterSet(
    set_id=1, name="S", N=512, k=2, n=640, ring_secret="ternary", lwe_secret="binary", sigma_ring=640, sigma_lwe=319,
    switch_log=15, switch_base_log=5, switch_digits=3, gadget=Gadget(3, 6, 9), packing=Gadget(4, 5, 7), step="pair",
    secure=True, budgets={128: Budgets(5, 36, 11, 9), 64: Budgets(17, 84, 23, 21)},
)  # fmt: skip
F: Final = ParameterSet(
    set_id=2, name="F", N=512, k=2, n=640, ring_secret="ternary", lwe_secret="binary", sigma_ring=420, sigma_lwe=319,
    switch_log=15, switch_base_log=5, switch_digits=3, gadget=Gadget(2, 8, 11), packing=Gadget(4, 5, 7), step="pair",
    secure=True, budgets={64: Budgets(3, 16, 4, 4)},
)  # fmt: skip
T: Final = ParameterSet(
    set_id=3, name="T", N=512, k=2, n=672, ring_secret="difference", lwe_secret="binary", sigma_ring=640,
    sigma_lwe=319, sigma_ring_max=910, sigma_lwe_max=475,
    switch_log=16, switch_base_log=4, switch_digits=4, gadget=Gadget(4, 5, 7), packing=Gadget(4, 5, 7), step="pair",
    secure=True, budgets={128: Budgets(8, 52, 15, 13), 64: Budgets(24, 112, 31, 28)},
)  # fmt: skip
STD128: Final = ParameterSet(
    set_id=4, name="STD128", N=1024, k=1, n=556, ring_secret="ternary", lwe_secret="ternary", sigma_ring=319,
    sigma_lwe=319, switch_log=15, switch_base_log=5, switch_digits=3, gadget=Gadget(3, 7, 6), packing=None,
    step="ternary", secure=False, budgets={128: Budgets(2, 8, 2, 2)},
)  # fmt: skip
TEST: Final = ParameterSet(
    set_id=255, name="TEST", N=64, k=1, n=16, ring_secret="ternary", lwe_secret="binary", sigma_ring=319,
    sigma_lwe=319, switch_log=15, switch_base_log=5, switch_digits=3, gadget=Gadget(3, 6, 9), packing=Gadget(4, 5, 7),
    step="pair", secure=False, budgets=S.budgets,
)  # fmt: skip

SETS: Final = (S, F, T, STD128, TEST)


def get(name_or_id: str | int, *, allow_insecure: bool = False) -> ParameterSet:
    """The set of this name or number; `InsecureParameters` for STD128 and TEST unless `allow_insecure`."""
    for params in SETS:
        if name_or_id in (params.name, params.set_id):
            if not params.secure and not allow_insecure:
                raise InsecureParameters(params.name)
            return params
    raise UnknownParameters(name_or_id)


# --- The noise model. It explains the budgets, a test checks them against it, and it decides nothing at run time. ---


class Variances(NamedTuple):
    """Variances of one bootstrap in units of (Q / 2N)^2, at the largest noise the set allows."""

    rotation: float
    key_switch: float
    modulus_switch: float
    packing: float

    @property
    def source(self) -> float:
        """Of a source: rotation (with 5 % for what the model leaves out) and one packing."""
        return 1.05 * self.rotation + self.packing

    @property
    def local(self) -> float:
        """Added once per bootstrap, whatever its form."""
        return 1.02 * (self.key_switch + self.modulus_switch)


def variances(params: ParameterSet) -> Variances:
    """The model's variances for `params`."""
    gadget, ring_size = params.gadget, params.M
    ring_sigma = (params.sigma_ring_max or params.sigma_ring) / 100
    lwe_sigma = (params.sigma_lwe_max or params.sigma_lwe) / 100
    secret_weight = {"ternary": 2 / 3, "difference": 1 / 2}[params.ring_secret] * ring_size
    unit = (2 * params.N / 2**Q_BITS) ** 2

    product = params.rows * params.N * (gadget.base**2 / 12) * ring_sigma**2
    rounding = (4**gadget.drop / 12) * (1 + secret_weight)
    if params.step == "pair":  # three products of norm^2 2; a pair of bits is not (0, 0) with probability 3/4
        rotation = params.groups * (3 * 2 * product + 0.75 * 2 * rounding)
    else:
        rotation = params.groups * (2 * 2 * product + (2 / 3) * 2 * rounding)

    samples = ring_size * params.switch_digits * lwe_sigma**2 * (1 - 0.5**params.switch_base_log)
    key_switch = (samples + (1 + secret_weight) / 12) / 4**params.switch_log * (2 * params.N) ** 2
    weight = params.n / 4 if params.step == "pair" else params.n * 2 / 3  # with and without mean compensation
    packing = 0.0
    if params.packing is not None:
        packing = ring_size * params.packing.digits * params.N * (params.packing.base**2 / 12) * ring_sigma**2
    return Variances(rotation * unit, key_switch, (1 + weight) / 12, packing * unit)


def tail_log2(z: float) -> float:
    """log2 of Pr(|X| > z) for a standard Gaussian."""
    tail = math.erfc(z / math.sqrt(2))
    if tail > 1e-300:
        return math.log2(tail)
    return (-z * z / 2 - math.log(z * math.sqrt(math.pi / 2))) / math.log(2)


def failure_log2(params: ParameterSet, norm2: int, *, margin: Literal[8, 4] = 8) -> float:
    """log2 of the probability that a bootstrap of a form of `norm2` at margin 1/`margin` gives the wrong bit."""
    model = variances(params)
    return tail_log2(2 * params.N / margin / math.sqrt(norm2 * model.source + model.local))
