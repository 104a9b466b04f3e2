"""What can go wrong with parameters, keys and ciphertexts; whose fault it is stands in the base class."""

from __future__ import annotations

from octra.errors import Corrupt, InvalidInput, Unavailable


class InsecureParameters(InvalidInput):
    """The set offers no security for users; only tests, benchmarks and local networks may ask for it by a switch."""

    oct_code = 8006

    def __init__(self, name: str) -> None:
        super().__init__(f"parameter set {name} is insecure: it is refused unless insecure sets are allowed")
        self.name = name


class UnknownParameters(InvalidInput):
    """No parameter set has this name or number."""

    def __init__(self, name_or_id: object) -> None:
        super().__init__(f"no such parameter set: {name_or_id!r:.40}")


class NoSuchBudget(InvalidInput):
    """The set has no noise budget at this failure probability."""

    def __init__(self, name: str, security_bits: int) -> None:
        super().__init__(f"set {name} has no noise budget for a failure probability of 2^-{security_bits}")
        self.name, self.security_bits = name, security_bits


class UnsupportedVersion(InvalidInput):
    """The object is of a version that this software does not read."""

    oct_code = 8011

    def __init__(self, what: str, expected: int, got: int) -> None:
        super().__init__(f"{what}: version {got}, expected {expected}")
        self.what, self.expected, self.got = what, expected, got


class WrongParameters(InvalidInput):
    """The object belongs to another parameter set."""

    oct_code = 8010

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(f"parameter set {got}, expected {expected}")
        self.expected, self.got = expected, got


class WrongKey(InvalidInput):
    """The object belongs to another key; both are named by the first bytes of their key ids."""

    oct_code = 8010

    def __init__(self, expected: bytes, got: bytes) -> None:
        super().__init__(f"key {got[:8].hex()}, expected {expected[:8].hex()}")
        self.expected, self.got = expected, got


class MalformedCiphertext(InvalidInput):
    """A ciphertext breaks the wire format at a field (and position, where it has one); values are never shown."""

    oct_code = 8009

    def __init__(self, field: str, reason: str, position: int | None = None) -> None:
        at = "" if position is None else f" at {position}"
        super().__init__(f"malformed ciphertext, {field}{at}: {reason}")
        self.field, self.reason, self.position = field, reason, position


class MalformedKey(InvalidInput):
    """A key breaks the wire format at a field (and position, where it has one); values are never shown."""

    oct_code = 8009

    def __init__(self, field: str, reason: str, position: int | None = None) -> None:
        at = "" if position is None else f" at {position}"
        super().__init__(f"malformed key, {field}{at}: {reason}")
        self.field, self.reason, self.position = field, reason, position


class RoundingGuardTripped(Corrupt):
    """A floating-point product was too far from an integer: this machine's arithmetic cannot be trusted."""

    def __init__(self, distance: float) -> None:
        super().__init__(f"rounding guard tripped: distance {distance:.3g} from an integer, at most 0.25 allowed")
        self.distance = distance


class KernelMismatch(Corrupt):
    """A backend gave other bytes than the frozen answer."""

    def __init__(self, backend: str, step: str) -> None:
        super().__init__(f"backend {backend} gives wrong bytes in {step}")
        self.backend, self.step = backend, step


class BackendUnavailable(Unavailable):
    """The backend asked for cannot run on this machine or was not built."""

    oct_code = 8012

    def __init__(self, backend: str, reason: str) -> None:
        super().__init__(f"backend {backend} is unavailable: {reason}")
        self.backend, self.reason = backend, reason


class WidthMismatch(InvalidInput):
    """Two words of different types meet; extend or slice one of them."""

    oct_code = 8002

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"{left} meets {right}: extend or slice one of them")
        self.left, self.right = left, right


class ValueOutOfRange(InvalidInput):
    """The number does not fit the type. The number itself is not repeated: it may be a secret."""

    oct_code = 8002

    def __init__(self, type_name: str) -> None:
        super().__init__(f"number does not fit {type_name}")
        self.type_name = type_name


class EncryptedBranch(InvalidInput):
    """The program branches on an encrypted value."""

    oct_code = 8002

    def __init__(self) -> None:
        super().__init__("an encrypted value cannot decide a branch: use select(condition, a, b)")


class NotACircuit(InvalidInput):
    """The function cannot be traced: an argument or the result is no word type."""

    oct_code = 8002

    def __init__(self, reason: str) -> None:
        super().__init__(f"not a circuit: {reason}")
        self.reason = reason
