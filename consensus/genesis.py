"""The first fact of a chain: who validates, who owns what, which keys and parameters. Its hash names the chain."""

from __future__ import annotations

from functools import cached_property

from msgspec import Struct

from octra.codec import decode, encode
from octra.consensus.epoch import DRAWN_RULES, EpochRules
from octra.crypto import bls, sharing
from octra.crypto.hash import H
from octra.errors import InvalidInput
from octra.primitives import CAP_UNITS

VALIDATORS_MAX = 24
LOCALNET = "localnet"
NO_KEY = "none"


class InvalidGenesis(InvalidInput):
    """The genesis contradicts itself; `reason` says where."""

    oct_code = 1002

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid genesis: {reason}")
        self.reason = reason


class GenesisValidator(Struct, frozen=True, array_like=True):
    """A founding validator. Its place in the list is its seat."""

    node_id: bytes  # Ed25519 public key
    bls_key: bytes  # G2, 96 bytes: checkpoints
    bls_proof: bytes  # possession of the BLS secret
    view_key: bytes  # X25519: sealed input dealings


class GenesisAccount(Struct, frozen=True, array_like=True):
    """A public balance at height 0."""

    address: bytes
    units: int


class GenesisCoin(Struct, frozen=True, array_like=True):
    """The threshold coin. `dealt` means that one party made it and knows every leader in advance."""

    origin: str  # "dealt"
    group_key: bytes
    share_keys: tuple[bytes, ...]


class GenesisKey(Struct, frozen=True, array_like=True):
    """The network's FHE key."""

    origin: str  # "dealer": no secrecy against the one who made it; "none": there is no key, and nothing private
    parameters: str  # name of the set: T, or TEST in tests
    key_id: bytes
    evaluation_digest: bytes  # H("octra.fhe.eval", bytes of the evaluation key)
    failure_bits: int = 128  # noise budgets for a failure probability of 2^-failure_bits

    @property
    def exists(self) -> bool:
        """Can anything be encrypted on this chain?"""
        return self.origin != NO_KEY


class Genesis(Struct, frozen=True, array_like=True, dict=True):
    """Everything that the nodes of one chain agree on before the first block."""

    version: int
    name: str  # "localnet", "devnet", ...: for people; the hash is what counts
    time_ms: int
    validators: tuple[GenesisValidator, ...]
    accounts: tuple[GenesisAccount, ...]
    coin: GenesisCoin
    key: GenesisKey
    epoch_ms: int
    legacy_signing: bool
    rules_version: int = 1

    @property
    def drawn(self) -> bool:
        """Are committees drawn for each epoch from all registered validators? Else the founders sit for ever."""
        return False

    @cached_property
    def chain(self) -> bytes:
        """The genesis hash: what signatures are bound to."""
        return H("octra.genesis", encode(self))

    @property
    def chain_id(self) -> str:
        """The chain's name for people, such as `octra:localnet-5b33b241`."""
        return f"octra:{self.name}-{self.chain[:4].hex()}"

    @property
    def is_localnet(self) -> bool:
        """Is this a throw-away network, where test-only parameters are allowed?"""
        return self.name == LOCALNET


class DrawnGenesis(Genesis, frozen=True, array_like=True, dict=True):
    """A chain whose committees change: version 2, and rules version 2.

    The coin of the founders is dealt; every later one is made by the seats that will hold it.
    """

    epochs: EpochRules = EpochRules()
    coin_keys: tuple[bytes, ...] = ()  # G1, of each founder: its shares of later coins are sealed to it

    @property
    def drawn(self) -> bool:
        """Yes."""
        return True


def check(genesis: Genesis) -> Genesis:
    """The genesis itself when it is consistent; raises `InvalidGenesis`."""
    count = len(genesis.validators)
    if genesis.version != (2 if genesis.drawn else 1):
        raise InvalidGenesis("unknown version")
    if genesis.drawn != (genesis.rules_version >= DRAWN_RULES):
        raise InvalidGenesis("drawn committees need their rules, and nothing else does")
    if not genesis.name.isidentifier() or not genesis.name.islower():
        raise InvalidGenesis("the name is lower-case letters, digits and _")
    if not 1 <= count <= VALIDATORS_MAX:
        raise InvalidGenesis(f"1 to {VALIDATORS_MAX} validators")
    if len({validator.node_id for validator in genesis.validators}) != count:
        raise InvalidGenesis("two validators share a key")
    if len(genesis.coin.share_keys) != count:
        raise InvalidGenesis("one coin share key a validator")
    if len({account.address for account in genesis.accounts}) != len(genesis.accounts):
        raise InvalidGenesis("an account stands twice")
    if any(account.units <= 0 or len(account.address) != 32 for account in genesis.accounts):
        raise InvalidGenesis("an account has a positive balance and 32 bytes of address")
    if sum(account.units for account in genesis.accounts) > CAP_UNITS:
        raise InvalidGenesis("the accounts hold more than the cap")
    if genesis.epoch_ms < 1_000:
        raise InvalidGenesis("an epoch has at least a second")
    test_only = genesis.key.parameters == "TEST" or genesis.key.failure_bits != 128
    if not genesis.is_localnet and (test_only or genesis.coin.origin == "dealt" or genesis.key.origin == "dealer"):
        raise InvalidGenesis("dealt keys and test parameters are for localnet only")
    if isinstance(genesis, DrawnGenesis) and (
        len(genesis.coin_keys) != count or not all(sharing.is_point(key) for key in genesis.coin_keys)
    ):
        raise InvalidGenesis("one coin key a validator")
    if genesis.key.exists != any(genesis.key.key_id):
        raise InvalidGenesis("the network key has an id unless there is none")
    for validator in genesis.validators:
        if not bls.verify_possession(validator.bls_key, validator.bls_proof):
            raise InvalidGenesis("a validator does not prove possession of its BLS key")
    return genesis


def load(data: bytes) -> Genesis:
    """The checked genesis of canonical bytes; raises `Malformed` or `InvalidGenesis`."""
    drawn = data[1:2] == b"\x02"  # the version, behind the head of an array of fewer than 16
    return check(decode(data, DrawnGenesis if drawn else Genesis, "genesis"))
