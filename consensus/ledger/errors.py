"""Why a transaction is refused, skipped or failed; each with the number of its row in `octra.catalogue`."""

from __future__ import annotations

from octra.errors import Corrupt, InvalidInput


class InvalidTransaction(InvalidInput):
    """Root of the rules that a transaction can break."""

    oct_code = 2105


class TooLarge(InvalidTransaction):
    """The bytes are longer than the limit for their kind."""

    oct_code = 2114

    def __init__(self, what: str, size: int, size_max: int) -> None:
        super().__init__(f"{what} has {size} bytes, at most {size_max} allowed")
        self.what, self.size, self.size_max = what, size, size_max


class Unsupported(InvalidTransaction):
    """The operation exists in no enabled rule; `name` is its name where the specification has one."""

    oct_code = 2116

    def __init__(self, name: str) -> None:
        super().__init__(f"operation {name} is not enabled on this chain")
        self.name = name


class InvalidOp(InvalidTransaction):
    """A field of the operation is outside its rule."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid operation: {reason}")
        self.reason = reason


class WrongChain(InvalidTransaction):
    """The transaction is bound to another chain."""

    oct_code = 2118

    def __init__(self, expected: bytes, got: bytes) -> None:
        super().__init__(f"signed for chain {got[:4].hex()}, this is {expected[:4].hex()}")
        self.expected, self.got = expected, got


class BadSignature(InvalidTransaction):
    """The signature does not verify, or the key is not one that may sign."""

    oct_code = 2101

    def __init__(self, reason: str = "signature does not match the key and the content") -> None:
        super().__init__(reason)


class LegacyDisabled(InvalidTransaction):
    """This chain takes only chain-bound transactions."""

    oct_code = 2123

    def __init__(self) -> None:
        super().__init__("this chain does not accept the legacy form")


class FeeTooLow(InvalidTransaction):
    """The fee ceiling is below the minimum of the operation."""

    oct_code = 2113

    def __init__(self, minimum: int, got: int) -> None:
        super().__init__(f"fee {got}, minimum {minimum}")
        self.minimum, self.got = minimum, got


class Expired(InvalidTransaction):
    """The last epoch (or the timestamp window) of the transaction has passed, or lies too far ahead."""

    oct_code = 2119

    def __init__(self, reason: str) -> None:
        super().__init__(f"expired: {reason}")
        self.reason = reason


class NonceUsed(InvalidTransaction):
    """A transaction with this nonce was executed."""

    oct_code = 2102

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(f"nonce {got} was used, the next free one is {expected}")
        self.expected, self.got = expected, got


class NonceTooFar(InvalidTransaction):
    """The nonce lies beyond the account's window."""

    oct_code = 2103

    def __init__(self, last: int, got: int) -> None:
        super().__init__(f"nonce {got} is too far ahead, at most {last}")
        self.last, self.got = last, got


class NoSuchAccount(InvalidTransaction):
    """No transaction has ever touched this account."""

    oct_code = 2100

    def __init__(self) -> None:
        super().__init__("the sender has no account")


class InsufficientBalance(InvalidTransaction):
    """Amount and fee exceed the public balance."""

    oct_code = 2104

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(f"{needed} units needed, {available} available")
        self.needed, self.available = needed, available


class InsufficientPrivate(InvalidTransaction):
    """A decryption asked for more than the encrypted balance, or than the whole private pool, holds."""

    oct_code = 2104

    def __init__(self) -> None:
        super().__init__("the encrypted balance does not cover the amount")


class SelfTransfer(InvalidTransaction):
    """A public transfer needs two different accounts."""

    oct_code = 2108

    def __init__(self) -> None:
        super().__init__("sender and receiver are the same account")


class NotFound(InvalidTransaction):
    """The object that the operation names does not exist."""

    oct_code = 4041

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} not found")
        self.what = what


class InvalidTarget(InvalidTransaction):
    """The operation cannot act on this target."""

    oct_code = 2115

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid target: {reason}")
        self.reason = reason


class StaleSeats(InvalidTarget):
    """The input was dealt to the seats of another epoch."""


class LimitReached(InvalidTransaction):
    """A named limit stops the operation for now."""

    oct_code = 2121

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"limit reached: {what}, at most {limit}")
        self.what, self.limit = what, limit


class NotOwner(InvalidTransaction):
    """Only the owner of an encrypted value may have it opened, and only the owner of a Circle may change it."""

    oct_code = 4031

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} belongs to another account")
        self.what = what


class NotCertified(InvalidTransaction):
    """The value has no evaluation certificate yet: only certified values are opened."""

    oct_code = 8003

    def __init__(self) -> None:
        super().__init__("the value has no certificate yet")


class OriginUnproven(InvalidTransaction):
    """The value is not one that the chain computed, or its certificate was contradicted: it is never opened."""

    oct_code = 8004

    def __init__(self, reason: str) -> None:
        super().__init__(f"not opened: {reason}")
        self.reason = reason


class InvalidInputDealing(InvalidTransaction):
    """The dealt values are not bits, or the dealing contradicts itself."""

    oct_code = 2105

    def __init__(self, reason: str) -> None:
        super().__init__(f"input dealing refused: {reason}")
        self.reason = reason


class EvaluationFailed(InvalidTransaction):
    """The evaluators did not agree even at full width; the fallback of the operation applies."""

    oct_code = 8008

    def __init__(self) -> None:
        super().__init__("the evaluators did not agree on a result")


class CircleFailed(InvalidTransaction):
    """A Circle's code or the gate before it refused the call; `status` is the word of the Circles specification."""

    oct_code = 6004

    def __init__(self, status: str, detail: str) -> None:
        super().__init__(f"{status}: {detail}" if detail else status)
        self.status, self.detail = status, detail


class ModuleRefused(InvalidTransaction):
    """The code of a Circle breaks a rule of the chain."""

    oct_code = 6002

    def __init__(self, reason: str) -> None:
        super().__init__(f"module refused: {reason}")
        self.reason = reason


class DuplicateTransaction(InvalidTransaction):
    """The pool has this very transaction."""

    oct_code = 2106

    def __init__(self) -> None:
        super().__init__("the transaction is known")


class PoolFull(InvalidTransaction):
    """More transactions wait than a node keeps, and this one pays too little to replace another."""

    oct_code = 2107

    def __init__(self, what: str = "more transactions wait than this node keeps") -> None:
        super().__init__(f"pool full: {what}")
        self.what = what


class NotAssigned(InvalidTransaction):
    """A node operation answers no task that its seat has now; it is dropped."""

    oct_code = 2115

    def __init__(self, reason: str) -> None:
        super().__init__(f"no such task for this seat: {reason}")
        self.reason = reason


class SupplyViolated(Corrupt):
    """The sum of all money is not the cap: stop before anything is stored."""

    oct_code = 2111

    def __init__(self, difference: int) -> None:
        super().__init__(f"the supply is off by {difference} units")
        self.difference = difference
