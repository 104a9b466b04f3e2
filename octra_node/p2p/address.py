"""Names of things on the network: libp2p peer ids, places to dial, and addresses of the Octra protocol."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from octra.errors import InvalidInput
from octra.primitives import NodeId, base58_decode, base58_encode

# A libp2p peer id of an Ed25519 key: identity multihash of its protobuf form (libp2p specs, peer-ids).
_PEER_ID_PREFIX = bytes.fromhex("002408011220")
_BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]+")
_PLACE = re.compile(
    r"/(?:(ip4|ip6)/([0-9a-fA-F.:]{2,45})/tcp/(0|[1-9][0-9]{0,4})(/tls)?|memory/(0|[1-9][0-9]{0,8}))(?:/p2p/(\w{1,64}))?"
)
PLACE_LENGTH_MAX = 160
ADDRESS_LENGTH_MAX = 400


class InvalidPlace(InvalidInput):
    """The text is no peer id, place or address of ours."""

    oct_code = 3102

    def __init__(self, what: str) -> None:
        super().__init__(f"not a valid {what}")
        self.what = what


def peer_id(node_id: bytes) -> str:
    """The libp2p peer id of a NodeId: 52 characters that start with `12D3Koo`."""
    return "1" + base58_encode(int.from_bytes(_PEER_ID_PREFIX + node_id, "big"))


def parse_peer_id(text: str) -> NodeId:
    """The NodeId in a libp2p peer id; raises `InvalidPlace`."""
    if not 1 < len(text) <= 64 or text[0] != "1" or not _BASE58.fullmatch(text):
        raise InvalidPlace("peer id")
    value = base58_decode(text[1:])
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    if len(raw) != 37 or b"\0" + raw[:5] != _PEER_ID_PREFIX or peer_id(raw[5:]) != text:
        raise InvalidPlace("peer id")
    return NodeId(raw[5:])


def print_node_id(node_id: bytes) -> str:
    """A NodeId in base58, padded to 44 characters."""
    return base58_encode(int.from_bytes(node_id, "big")).rjust(44, "1")


def parse_node_id(text: str) -> NodeId:
    """The inverse of `print_node_id`; raises `InvalidPlace`."""
    if len(text) != 44 or not _BASE58.fullmatch(text):
        raise InvalidPlace("node id")
    value = base58_decode(text)
    if value >= 2**256:
        raise InvalidPlace("node id")
    return NodeId(value.to_bytes(32, "big"))


class PlaceKind(Enum):
    """Which carrier reaches a place."""

    LIBP2P = "libp2p"
    TLS = "tls"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node listens, as a multiaddr says it. `port` is the number of a memory host too."""

    kind: PlaceKind
    host: str
    port: int
    node_id: NodeId | None = None

    def __str__(self) -> str:
        suffix = f"/p2p/{peer_id(self.node_id)}" if self.node_id is not None else ""
        if self.kind is PlaceKind.MEMORY:
            return f"/memory/{self.port}{suffix}"
        family = "ip6" if ":" in self.host else "ip4"
        return f"/{family}/{self.host}/tcp/{self.port}{'/tls' if self.kind is PlaceKind.TLS else ''}{suffix}"


def parse_place(text: str) -> Place:
    """The place a multiaddr text names; raises `InvalidPlace`. Only forms this node can dial are known."""
    match = _PLACE.fullmatch(text) if len(text) <= PLACE_LENGTH_MAX else None
    if match is None:
        raise InvalidPlace("multiaddr")
    family, host, port, tls, memory, peer = match.groups()
    node_id = parse_peer_id(peer) if peer else None
    if memory is not None:
        return Place(PlaceKind.MEMORY, "", int(memory), node_id)
    try:
        ip = ipaddress.IPv4Address(host) if family == "ip4" else ipaddress.IPv6Address(host)
    except ValueError as error:
        raise InvalidPlace("multiaddr") from error
    if int(port) > 65_535:
        raise InvalidPlace("multiaddr")
    return Place(PlaceKind.TLS if tls else PlaceKind.LIBP2P, str(ip), int(port), node_id)


class AddressKind(Enum):
    """What an Octra protocol address points to."""

    NODE = "node"  # id: NodeId
    ANY = "any"  # id: a capability, such as `evaluator`
    SERVICE = "service"  # id: a name in the chain's list of services
    CIRCLE = "circle"  # id: address of the Circle
    CHAIN = "chain"  # id: `-`


_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}|-")
Word = Annotated[str, Meta(max_length=64)]


class OctraAddress(Struct, frozen=True, array_like=True):
    """`octra:<chain>/<kind>/<id>/<actor>[/<key>]`: somebody to whom a message can be addressed."""

    chain: Word
    kind: AddressKind
    id: Word
    actor: Word
    key: Word = ""

    def __str__(self) -> str:
        parts = [self.chain, self.kind.value, self.id, self.actor] + ([self.key] if self.key else [])
        return "octra:" + "/".join(parts)

    def checked(self) -> OctraAddress:
        """Itself, after the rules that types do not express; raises `InvalidPlace`."""
        words = [self.chain, self.id, self.actor] + ([self.key] if self.key else [])
        if not all(_WORD.fullmatch(word) for word in words):
            raise InvalidPlace("octra address")
        if self.kind is AddressKind.NODE:
            parse_node_id(self.id)
        if (self.kind is AddressKind.CHAIN) != (self.id == "-"):
            raise InvalidPlace("octra address")
        return self


def parse_octra_address(text: str) -> OctraAddress:
    """The address a text names; raises `InvalidPlace`."""
    if len(text) > ADDRESS_LENGTH_MAX or not text.startswith("octra:"):
        raise InvalidPlace("octra address")
    parts = text.removeprefix("octra:").split("/")
    if not 4 <= len(parts) <= 5 or "" in parts:
        raise InvalidPlace("octra address")
    try:
        kind = AddressKind(parts[1])
    except ValueError as error:
        raise InvalidPlace("octra address") from error
    return OctraAddress(parts[0], kind, *parts[2:]).checked()
