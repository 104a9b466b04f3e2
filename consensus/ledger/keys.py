"""Layout of the global state: one namespace byte, then the object's name."""

from __future__ import annotations

from typing import Final

PARAMS: Final = b"\x00params"
CLOCK: Final = b"\x00clock"
COUNTERS: Final = b"\x00counters"
SUPPLY: Final = b"\x06"
ROUND_NEVER: Final = 2**63 - 1

DUE: Final = b"\x05"
RETRY: Final = b"\x16"
BLOB_EXPIRY: Final = b"\x19"
STAGED: Final = b"\x1a"


EPOCH_RULES: Final = b"\x00epoch_rules"  # this row and the next ones: only where committees are drawn
EPOCH: Final = b"\x08"
CANDIDATES: Final = b"\x08c"
VALIDATOR: Final = b"\x1b"


def account(address: bytes) -> bytes:
    """Public balance and nonces of an account (32 bytes), or the balance of a Circle (33 bytes)."""
    return b"\x01" + address


def private(address: bytes) -> bytes:
    """Encrypted balance of an account."""
    return b"\x02" + address


def handle(name: bytes) -> bytes:
    """An encrypted value."""
    return b"\x03" + name


def job(name: bytes) -> bytes:
    """An evaluation job."""
    return b"\x04" + name


def due(round: int, name: bytes) -> bytes:
    """Something to look at once the leader round is at least `round`; also the list of all unfinished things."""
    return DUE + round.to_bytes(8, "big") + name


def node(node_id: bytes) -> bytes:
    """What the chain remembers about a node."""
    return b"\x07" + node_id


def epoch_record(epoch: int) -> bytes:
    """The record that opened an epoch."""
    return b"\x08r" + epoch.to_bytes(4, "big")


def registered(epoch: int) -> bytes:
    """The registered validators as of the record that opened an epoch."""
    return b"\x08v" + epoch.to_bytes(4, "big")


def coin_progress(epoch: int) -> bytes:
    """How far the dealing of an epoch's coin is."""
    return b"\x08k" + epoch.to_bytes(4, "big")


def coin_dealing(epoch: int, dealer: int) -> bytes:
    """One seat's dealing for an epoch's coin."""
    return b"\x08d" + epoch.to_bytes(4, "big") + bytes([dealer])


def validator(node_id: bytes) -> bytes:
    """A registered validator."""
    return VALIDATOR + node_id


def circle(circle_id: bytes) -> bytes:
    """A Circle's record."""
    return b"\x0b" + circle_id


def circle_manifest(circle_id: bytes) -> bytes:
    """A Circle's manifest."""
    return b"\x0b" + circle_id + b"m"


def circle_asset(circle_id: bytes, path: str) -> bytes:
    """One file of a Circle's site, by path."""
    return b"\x0b" + circle_id + b"a" + path.encode()


def request(name: bytes) -> bytes:
    """A request to open values."""
    return b"\x0e" + name


def share(name: bytes, seat: int) -> bytes:
    """A seat's share for a request."""
    return b"\x0e" + name + bytes([seat])


def dealt_input(name: bytes) -> bytes:
    """A dealt input on its way to a ciphertext."""
    return b"\x0f" + name


def commit_record(height: int) -> bytes:
    """Roots of a recent commit; the slot is used again after 65,536 heights."""
    return b"\x10" + (height % 65_536).to_bytes(2, "big")


def blob(name: bytes) -> bytes:
    """What is known of a complete blob."""
    return b"\x12" + name


def blob_pieces(name: bytes) -> bytes:
    """Prefix of the pieces of a blob."""
    return b"\x12" + name + b"p"


def staged(sender: bytes, name: bytes) -> bytes:
    """A blob that its sender is putting. By sender, so that nobody can spoil another's upload."""
    return STAGED + sender + name


def staged_part(sender: bytes, name: bytes, part: int) -> bytes:
    """Prefix of the pieces of a staged part."""
    return staged(sender, name) + bytes([part])


def code(code_hash: bytes) -> bytes:
    """The blob that holds the code of this SHA-256."""
    return b"\x13" + code_hash


def opening(digest: bytes) -> bytes:
    """Whether and how the bits of a ciphertext were opened."""
    return b"\x14" + digest


def waiting(handle_name: bytes, job_name: bytes = b"") -> bytes:
    """A job that waits for a handle."""
    return b"\x17" + handle_name + job_name


def retry(job_name: bytes) -> bytes:
    """A job that is tried again each epoch."""
    return RETRY + job_name


def fault(node_id: bytes, subject: bytes) -> bytes:
    """A proven fault of a node in one job, input or opening."""
    return b"\x18" + node_id + subject


def blob_expiry(epoch: int, key: bytes) -> bytes:
    """A blob or staged blob (by its key) to drop after `epoch`, unless something uses it."""
    return BLOB_EXPIRY + epoch.to_bytes(8, "big") + key
