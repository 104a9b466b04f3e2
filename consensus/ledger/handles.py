"""Handles: encrypted values that have a name before they have a ciphertext."""

from __future__ import annotations

from msgspec.structs import replace

from octra.consensus.ledger import keys
from octra.consensus.ledger.errors import NotFound
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.records import WORD, Handle, HandleStatus, Private, constant_name
from octra.consensus.ledger.state import Overlay, load
from octra.consensus.ports import StateView


def resolve(view: StateView, name: bytes) -> tuple[bytes, Handle]:
    """The handle that `name` stands for, behind all aliases; raises `NotFound`."""
    handle = load(view, keys.handle(name), Handle)
    if handle is None:
        raise NotFound("handle")
    while handle.status == HandleStatus.ALIASED:
        name = handle.alias
        handle = load(view, keys.handle(name), Handle)
        assert handle is not None, "an alias names a handle"
    return name, handle


def constant(state: Overlay, value: int, kind: int = WORD) -> bytes:
    """The handle of a public constant."""
    name = constant_name(value, kind)
    if state.get(keys.handle(name)) is None:
        state.store(keys.handle(name), Handle(kind, b"", HandleStatus.CERTIFIED, constant=value))
    return name


def certify(x: Execution, name: bytes, digest: bytes) -> None:
    """The value has a ciphertext of this digest."""
    handle = x.state.require(keys.handle(name), Handle)
    assert handle.status == HandleStatus.PENDING
    x.state.store(keys.handle(name), replace(handle, status=HandleStatus.CERTIFIED, digest=digest))
    x.woken.append(name)


def alias(x: Execution, name: bytes, target: bytes) -> None:
    """The value is that of `target`, which ends every chain of aliases."""
    handle = x.state.require(keys.handle(name), Handle)
    assert handle.status == HandleStatus.PENDING
    end, _ = resolve(x.state, target)
    x.state.store(keys.handle(name), replace(handle, status=HandleStatus.ALIASED, alias=end))
    x.woken.append(name)


def freeze(x: Execution, name: bytes) -> None:
    """The value was certified twice with different digests: nobody may use or open it."""
    handle = x.state.require(keys.handle(name), Handle)
    if handle.status == HandleStatus.CERTIFIED:
        x.state.store(keys.handle(name), replace(handle, status=HandleStatus.FROZEN))


def private_of(view: StateView, address: bytes) -> Private:
    """The encrypted balance of an account: the constant 0 if it never had one."""
    return load(view, keys.private(address), Private) or Private()
