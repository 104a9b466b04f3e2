"""SHA-256's compression function as a circuit (FIPS 180-4, section 6.2.2).

python -m octra.hfhe.examples.sha256 > sha256.txt   # Bristol Fashion: in0 the block, in1 the chaining value
"""

from __future__ import annotations

from typing import Final

from octra.hfhe.bristol import write_bristol
from octra.hfhe.builder import Builder
from octra.hfhe.hypergraph import Graph
from octra.hfhe.words import U32, blend, majority, rotate_right, xor

ROUNDS: Final = 64


def sha_256_graph() -> Graph:
    """The circuit: inputs m0..m15, the block's words, and h0..h7, the chaining value; outputs r0..r7, the next one."""
    builder = Builder("sha_256")
    block = [U32(builder, builder.input(f"m{i}", "u32")) for i in range(16)]
    state = [U32(builder, builder.input(f"h{i}", "u32")) for i in range(8)]
    for index, word in enumerate(compress(block, state)):
        builder.output(f"r{index}", "u32", word.literals)
    return builder.build()


def compress(block: list[U32], state: list[U32]) -> list[U32]:
    """The chaining value after one block."""
    schedule = list(block)
    for t in range(16, ROUNDS):
        recent, old = _mixed(schedule[t - 2], 17, 19, 10), _mixed(schedule[t - 15], 7, 18, 3)
        schedule.append(recent + schedule[t - 7] + old + schedule[t - 16])
    a, b, c, d, e, f, g, h = state
    for constant, word in zip(_round_constants(), schedule, strict=True):
        first = h + _rotations(e, 6, 11, 25) + blend(e, f, g) + constant + word
        second = _rotations(a, 2, 13, 22) + majority(a, b, c)
        a, b, c, d, e, f, g, h = first + second, a, b, c, d + first, e, f, g
    return [old + new for old, new in zip(state, (a, b, c, d, e, f, g, h), strict=True)]


def _rotations(x: U32, *amounts: int) -> U32:
    return xor(*(rotate_right(x, amount) for amount in amounts))


def _mixed(x: U32, first: int, second: int, shift: int) -> U32:
    return xor(rotate_right(x, first), rotate_right(x, second), x >> shift)


def _round_constants() -> list[int]:
    """The first 32 fractional bits of the cube roots of the first 64 primes."""
    return [_root(prime << 96, 3) & 0xFFFFFFFF for prime in _primes(ROUNDS)]


def initial_state() -> list[int]:
    """The chaining value that a hash starts with: of the square roots of the first eight primes."""
    return [_root(prime << 64, 2) & 0xFFFFFFFF for prime in _primes(8)]


def _primes(count: int) -> list[int]:
    return [n for n in range(2, 312) if all(n % divisor for divisor in range(2, n))][:count]


def _root(value: int, degree: int) -> int:
    """The whole part of the root, by bisection."""
    low, high = 0, 1 << value.bit_length() // degree + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle)
    return low


if __name__ == "__main__":
    print(write_bristol(sha_256_graph(), inputs=(512, 256), outputs=(256,)), end="")
