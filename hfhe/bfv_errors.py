"""What can go wrong with BFV vectors. Messages name positions and counts, never values."""

from __future__ import annotations

from octra.errors import InvalidInput, Unavailable


class BfvUnavailable(Unavailable):
    """TenSEAL is not installed."""

    def __init__(self) -> None:
        super().__init__("BFV vectors need TenSEAL: pip install 'octra-node[bfv]'")


class UnknownSize(InvalidInput):
    """There are keys of three sizes only."""

    def __init__(self, size: object) -> None:
        super().__init__(f"no BFV keys of size {size!r:.20}: choose 4096, 8192 or 16384")


class VectorTooLong(InvalidInput):
    """More values than the key has slots for (half of them where values are added up)."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(f"{length} values, but this key has room for {limit}")
        self.length, self.limit = length, limit


class EmptyVector(InvalidInput):
    """A vector has at least one value."""

    def __init__(self) -> None:
        super().__init__("a vector needs at least one value")


class LengthMismatch(InvalidInput):
    """Both operands must have the same length."""

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(f"operand of length {got}, expected {expected}")
        self.expected, self.got = expected, got


class ValueOutOfRange(InvalidInput):
    """A value does not fit a slot. The message names its position, never the value."""

    def __init__(self, position: int) -> None:
        super().__init__(f"value {position} is not an integer from -393216 to 393216")
        self.position = position


class BfvNoiseBudgetExceeded(InvalidInput):
    """One product more than the size of the key allows; the result would be garbage."""

    oct_code = 8001

    def __init__(self, depth: int, max_depth: int) -> None:
        super().__init__(f"product of depth {depth}, but this key allows {max_depth}: use a larger key")
        self.depth, self.max = depth, max_depth


class TooManySummands(InvalidInput):
    """The sum of too many vectors; the result would be garbage."""

    oct_code = 8001

    def __init__(self, summands: int, max_summands: int) -> None:
        super().__init__(f"a sum of {summands} vectors, but this key allows {max_summands}: use a larger key")
        self.summands, self.max = summands, max_summands


class GaloisKeysMissing(InvalidInput):
    """`sum` and `dot` need keys that are large and therefore not made by default."""

    def __init__(self) -> None:
        super().__init__("sum and dot need Galois keys: BfvKey.generate(size, galois=True)")


class SecretKeyRefused(InvalidInput):
    """The bytes hold a secret key where only a public one is wanted. Nothing but decryption takes a secret key."""

    def __init__(self) -> None:
        super().__init__("this is a secret key: pass the public part")
