"""Cost of the known classical attacks on LWE, in bits: our own implementation of published cost models.

It follows the formulas that the lattice-estimator uses by default, written with that code at hand for the constants;
it shares no code with it, but is no blind check of it. Cost of lattice reduction: list-decoding sieves counted in gates (AGPS20, with the constants of MATZOV22),
progressive sieving, dimensions for free (Ducas 2018). Shape of a reduced basis: geometric series (GSA).
Attacks: primal uSVP (ADPS16, Bai-Galbraith scaling), primal BDD with a final sieve, and the dual attack with guessing
and a Fourier transform (MATZOV22). Primal attacks with guessing pay for sparse secrets, which no set here has; they
are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

SIEVE_SLOPE, SIEVE_OFFSET = 0.29613500308205365, 20.387885985467914  # fit of log2(gates) up to dimension 1024
SHORT_VECTORS_SLOPE = 0.2075  # log2 of the list of a sieve, per dimension
PROGRESSIVE = 1 / (1 - 2**-SIEVE_SLOPE)
PROGRESSIVE_LOG2 = math.log2(PROGRESSIVE)
BETA_MIN = 60  # below, the formulas do not hold; no set is near


@dataclass(frozen=True, slots=True)
class Instance:
    """LWE with as many samples as the attacker likes, or `samples`; secrets and errors by their deviations."""

    name: str
    n: int
    q: int
    secret: float
    error: float
    samples: float = math.inf


@dataclass(frozen=True, slots=True)
class Attack:
    """The cheapest choice of an attack's parameters."""

    name: str
    bits: float
    chosen: str


def log2_sum(*terms: float) -> float:
    """log2 of the sum of powers of two."""
    worst = max(terms)
    return worst + math.log2(sum(2 ** (term - worst) for term in terms))


def log_delta(beta: float) -> float:
    """Natural logarithm of the root-Hermite factor of BKZ-`beta`."""
    return math.log(beta / (2 * math.pi * math.e) * (math.pi * beta) ** (1 / beta)) / (2 * (beta - 1))


def free_dimensions(beta: float) -> float:
    """Dimensions that a sieve for one shortest vector need not enter."""
    return max(beta * math.log(4 / 3) / math.log(beta / (2 * math.pi * math.e)), 0.0)


def sieve_log2(dimension: float) -> float:
    """Gates of a progressive sieve."""
    return PROGRESSIVE_LOG2 + SIEVE_SLOPE * dimension + SIEVE_OFFSET


def reduction_log2(beta: float, d: int) -> float:
    """Gates of BKZ-`beta` in dimension `d`, and an LLL before."""
    return log2_sum(
        3 * math.log2(d), math.log2(PROGRESSIVE * max(d - beta, 1)) + sieve_log2(beta - free_dimensions(beta))
    )


def usvp(lwe: Instance) -> Attack:
    """Embed, and reduce until the error's projection is the shortest vector of the last block."""
    scale = max(lwe.error / lwe.secret, 1.0)
    most = lwe.n + lwe.samples + 1
    best = Attack("usvp", math.inf, "")
    for beta in range(BETA_MIN, 1_200):
        grow = log_delta(beta)
        longest = int(min(most, math.sqrt(lwe.n * math.log(lwe.q) / grow) + 1))
        target = 0.5 * math.log(lwe.error**2 * beta)
        for d in range(max(lwe.n + 1, beta + 1), longest + 1):
            volume = math.log(lwe.error) + lwe.n * math.log(scale) + (d - lwe.n - 1) * math.log(lwe.q)
            if target <= grow * (2 * beta - d - 1) + volume / d:
                cost = reduction_log2(beta, d)
                if cost < best.bits:
                    best = Attack("usvp", cost, f"beta {beta}, d {d}")
                break
        if best.bits < math.inf and reduction_log2(beta, lwe.n) > best.bits:
            break
    return best


def bdd(lwe: Instance) -> Attack:
    """Reduce less, then find the error by one sieve in a larger last block."""
    scale = max(lwe.error / lwe.secret, 1.0)
    gammas = [(k / 2) * math.log(math.pi) - math.lgamma(k / 2 + 1) for k in range(2_500)]

    def best_of(beta: int) -> Attack:
        grow = log_delta(beta)
        # The best dimension for vectors as long as the scaled secret.
        d = int(min(lwe.n + lwe.samples, math.ceil(math.sqrt(lwe.n * math.log(lwe.q / scale) / grow))))
        volume = (d - lwe.n) * math.log(lwe.q) + lwe.n * math.log(scale)
        low, high = 2, d  # the smallest last block in which the error is shorter than any lattice vector
        while low < high:
            eta = (low + high) // 2
            rest = eta / d * volume - (d - eta) * eta * grow
            size = eta + 1
            shortest = (rest + math.log(lwe.error) - gammas[size]) / size
            if shortest >= 0.5 * math.log(lwe.error**2 * size):
                high = eta
            else:
                low = eta + 1
        return Attack(
            "bdd", log2_sum(reduction_log2(beta, d), reduction_log2(low, low)), f"beta {beta}, eta {low}, d {d}"
        )

    return min((best_of(beta) for beta in range(BETA_MIN, 1_000)), key=lambda attack: attack.bits)


def dual_log2(lwe: Instance, beta: int, p: int, guessed: int, transformed: int) -> float:
    """The dual attack: guess some secrets, transform modulo `p` over others, distinguish with short dual vectors."""
    deviation = math.pi * lwe.secret
    entropy = (0.5 + math.log(math.sqrt(2 * math.pi) * lwe.secret) - math.log(math.tanh(deviation**2))) / math.log(2)
    left = lwe.n - guessed - transformed
    rows = int(min(lwe.n, lwe.samples))
    d = left + rows
    length = (  # natural logarithm, of a dual vector times the secret and the error
        rows / d * math.log(lwe.error)
        + left / d * math.log(lwe.secret * lwe.q)
        + 0.5 * math.log(4 / 3 * beta / (2 * math.pi * math.e))
        + (d - beta) * log_delta(beta)
    )
    advantage = (
        4 * math.exp(min(2 * (length + math.log(math.pi / lwe.q)), 20.0)) + transformed / 3 * (deviation / p) ** 2
    )
    hypotheses = guessed * entropy + transformed * math.log(p) + math.log(2)
    vectors = advantage / math.log(2) + math.log2(hypotheses)
    # Two steps of about equal cost: reduce, then sieve a larger block once for as many vectors as it gives.
    calls = math.log2(max(d - beta, 1) * PROGRESSIVE)
    dimension = min(d, math.floor(beta - math.floor(free_dimensions(beta)) + calls / SIEVE_SLOPE))
    repeats = max(vectors - SHORT_VECTORS_SLOPE * dimension, 0.0)
    if repeats < 40:
        repeats = math.log2(math.ceil(2**repeats))
    sampling = repeats + log2_sum(reduction_log2(beta, d), sieve_log2(dimension))
    # A guess costs 2^entropy, and a little more for secrets that are not Gaussian; then a table and its transform.
    spread = math.exp(8 * deviation**2 * math.exp(-2 * deviation**2) * math.tanh(deviation**2))
    guesses = guessed * (math.log2(2 * spread / math.sqrt(math.e)) + entropy) - math.log2(
        1 - math.exp(-0.5 / lwe.secret**2)
    )
    table = math.log2(4 * 5 * 32) + vectors
    transform = math.log2(32**2 * transformed) + (transformed + 1) * math.log2(p) if transformed else 0.0
    return log2_sum(sampling, guesses + log2_sum(transform, table))


def dual(lwe: Instance, step: int = 5) -> Attack:
    """The dual attack at its best, over a full grid of guessed and transformed secrets in steps of `step`."""
    domain = range(BETA_MIN, min(lwe.n, 1_200))

    def best(p: int, guessed: int, transformed: int) -> tuple[float, int, int, int, int]:
        bits, beta = least(lambda beta: dual_log2(lwe, beta, p, guessed, transformed), domain)
        return bits, beta, p, guessed, transformed

    bits, beta, p, guessed, transformed = min(
        best(p, guessed, transformed)
        for p in range(2, 9)
        for guessed in range(0, 61, step)
        for transformed in range(0 if p == 2 else step, 121, step)
    )
    return Attack("dual", bits, f"beta {beta}, p {p}, guessed {guessed}, transformed {transformed}")


def least(function: Callable[[int], float], domain: range) -> tuple[float, int]:
    """The least value of a function that falls, then rises, and where."""
    low, high = domain.start, domain.stop - 1
    while high - low > 4:
        middle = (low + high) // 2
        if function(middle) <= function(middle + 1):
            high = middle + 1
        else:
            low = middle + 1
    return min((function(point), point) for point in range(low, high + 1))


def attacks(lwe: Instance) -> tuple[Attack, ...]:
    """All attacks at their best."""
    return usvp(lwe), bdd(lwe), dual(lwe)
