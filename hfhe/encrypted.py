"""Encrypted words as values that travel: make them, run a circuit on them, decrypt the result.

words = encrypt_words(keys.public, [("u16", 40), ("u16", 2)], os.urandom(32))
result = run_circuit(executor, score.graph, {"a": words.word(0), "b": words.word(1)})
decrypt_words(secret, result.words)  # [38]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import numpy as np

from octra import codec
from octra.crypto.hash import H
from octra.errors import InvalidInput, Malformed
from octra.hfhe import wire
from octra.hfhe.backend import Backend, PreparedKey
from octra.hfhe.bootstrap import packed, unpack
from octra.hfhe.builder import merge_inputs
from octra.hfhe.ciphertext import PackedBits, U32Array
from octra.hfhe.encrypt import NoiseReport, decrypt_packed, encrypt_packed, trivial_bits
from octra.hfhe.errors import MalformedCiphertext, UnsupportedVersion, WrongKey
from octra.hfhe.execute import Completed, Executor, Job, Progress
from octra.hfhe.hypergraph import NAME, Graph, bits_of_type
from octra.hfhe.keys import PublicKey, SecretKey
from octra.hfhe.params import ParameterSet
from octra.hfhe.plan import Plan
from octra.hfhe.planner import make_plan
from octra.hfhe.words import from_bits, to_bits

VERSION: Final = 1
KIND: Final = "octra-fhe-words"
WORDS_MAX: Final = 65_536  # with BYTES_MAX: what a reader is willing to hold
BYTES_MAX: Final = 16 * 2**20


class WordsMismatch(InvalidInput):
    """The words given are not those that the circuit takes."""

    oct_code = 8002

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Frame(msgspec.Struct, frozen=True, array_like=True):
    kind: str
    version: int
    names: tuple[str, ...]
    types: tuple[str, ...]
    packed: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, eq=False)
class EncryptedWord:
    """One word among packed bits: a reference, good as an input of a circuit."""

    words: EncryptedWords
    index: int

    @property
    def type(self) -> str:
        return self.words.types[self.index]


@dataclass(frozen=True, slots=True, eq=False)
class EncryptedWords:
    """Named words whose bits lie one after the other in packed ciphertexts of one key, N bits each, the last short."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    packed: tuple[PackedBits, ...]

    @property
    def params(self) -> ParameterSet:
        return self.packed[0].params

    @property
    def key_id(self) -> bytes:
        return self.packed[0].key_id

    def word(self, index: int) -> EncryptedWord:
        """A reference to the word at `index`."""
        if not 0 <= index < len(self.types):
            raise WordsMismatch(f"there is no word {index}: only 0 to {len(self.types) - 1}")
        return EncryptedWord(self, index)

    def encode(self) -> bytes:
        """Canonical bytes: the content of a ciphertext file."""
        parts = tuple(wire.encode_packed(part) for part in self.packed)
        return codec.encode(_Frame(KIND, VERSION, self.names, self.types, parts))


def decode_words(data: bytes, gate: wire.Gate = wire.ANY_SECURE) -> EncryptedWords:
    """Checked words of a ciphertext file; raises `MalformedCiphertext`, and what `wire.decode_packed` raises."""
    if len(data) > BYTES_MAX:
        raise MalformedCiphertext("file", f"{len(data)} bytes, at most {BYTES_MAX}")
    try:
        frame = codec.decode(data, _Frame)
        total = sum(bits_of_type(kind) for kind in frame.types)
    except Malformed as error:
        raise MalformedCiphertext("file", error.reason) from error
    if frame.kind != KIND:
        raise MalformedCiphertext("file", "this is another kind of file")
    if frame.version != VERSION:
        raise UnsupportedVersion("encrypted words", VERSION, frame.version)
    if not 1 <= len(frame.types) <= WORDS_MAX or len(frame.names) != len(frame.types):
        raise MalformedCiphertext("types", f"expected 1 to {WORDS_MAX} words with one name each")
    if not all(NAME.fullmatch(name) for name in frame.names):
        raise MalformedCiphertext("names", "a name is lower-case letters, digits and _")
    parts = tuple(wire.decode_packed(part, gate) for part in frame.packed)
    if not parts or [part.count for part in parts] != _chunk_sizes(total, parts[0].params.N):
        raise MalformedCiphertext("packed", "the ciphertexts do not hold the bits that the types need")
    for part in parts:
        if part.key_id != parts[0].key_id or part.params is not parts[0].params:
            raise WrongKey(parts[0].key_id, part.key_id)
    return EncryptedWords(frame.names, frame.types, parts)


def encrypt_words(public: PublicKey, values: Sequence[tuple[str, int]], seed: bytes) -> EncryptedWords:
    """Encrypt numbers, given with their types, by anybody's public key. Never use the seed again."""
    if not 1 <= len(values) <= WORDS_MAX:
        raise WordsMismatch(f"1 to {WORDS_MAX} words, not {len(values)}")
    bits = [bit for kind, value in values for bit in to_bits(value, kind)]
    names = tuple(f"w{index}" for index in range(len(values)))
    return EncryptedWords(names, tuple(kind for kind, _ in values), encrypt_packed(public, bits, seed))


def decrypt_words(secret: SecretKey, words: EncryptedWords, key_id: bytes) -> tuple[tuple[int, ...], NoiseReport]:
    """The numbers, and how clean the worst bit was. `key_id` names the secret key's public half."""
    if words.key_id != key_id:
        raise WrongKey(key_id, words.key_id)
    parts = [decrypt_packed(secret, part) for part in words.packed]
    bits = iter([bool(bit) for values, _ in parts for bit in values])
    numbers = tuple(from_bits([next(bits) for _ in range(bits_of_type(kind))], kind) for kind in words.types)
    return numbers, NoiseReport(max(report.max_ratio for _, report in parts))


class Keyed(Protocol):
    """An evaluation key, prepared or not: `bind` only needs to know which one it is."""

    @property
    def params(self) -> ParameterSet: ...

    @property
    def public(self) -> PublicKey: ...


class Packer(Protocol):
    """Whatever packs bits under a key: a backend, or a cluster."""

    def pack(self, key: PreparedKey, bits: U32Array) -> U32Array: ...


@dataclass(frozen=True, slots=True, eq=False)
class CircuitRun:
    """What a run gives: the encrypted outputs and the plan that made them."""

    words: EncryptedWords
    plan: Plan


def bind(graph: Graph, operands: Mapping[str, EncryptedWord | int], key: Keyed) -> tuple[Graph, U32Array, bytes]:
    """Input bits and context of a run, and the circuit in which inputs bound to one ciphertext are one input.

    A plain number becomes a trivial ciphertext: public, but of the same form.
    """
    _check_names(graph, operands)
    rows, named = [np.empty((0, key.params.M + 1), np.uint32)], []
    sources: list[tuple[bytes, int] | None] = []  # of each input bit: which ciphertext, which of its bits
    files: dict[int, tuple[bytes, U32Array]] = {}
    for word in graph.inputs:
        operand = operands[word.name]
        if isinstance(operand, int):
            bits = to_bits(operand, word.type)
            rows.append(trivial_bits(key.params, bits))
            named.append(codec.encode(bits))
            sources.extend([None] * word.bits)
            continue
        if operand.type != word.type:
            raise WordsMismatch(f"input {word.name} is {word.type}, the word given is {operand.type}")
        if operand.words.key_id != key.public.key_id:
            raise WrongKey(key.public.key_id, operand.words.key_id)
        if id(operand.words) not in files:
            files[id(operand.words)] = _unpacked(operand.words)
        digest, unpacked = files[id(operand.words)]
        first = sum(bits_of_type(kind) for kind in operand.words.types[: operand.index])
        rows.append(unpacked[first : first + word.bits])
        named.append(digest + first.to_bytes(4, "little"))
        sources.extend((digest, first + i) for i in range(word.bits))
    context = H("octra.fhe.run", graph.graph_id, *named)
    same_as = _repeated(sources)
    return merge_inputs(graph, same_as) if same_as else graph, np.concatenate(rows), context


def _check_names(graph: Graph, operands: Mapping[str, object]) -> None:
    names = [word.name for word in graph.inputs]
    faults = [f"{name} is not given" for name in names if name not in operands]
    faults += [f"{name} is not an input" for name in sorted(set(operands) - set(names))]
    if faults:
        raise WordsMismatch(f"circuit {graph.name}: {', '.join(faults)}")


def _unpacked(words: EncryptedWords) -> tuple[bytes, U32Array]:
    """The digest that names the words, and all their bits."""
    return H("octra.fhe.ct", words.encode()), np.concatenate([unpack(part) for part in words.packed])


def _repeated(sources: Sequence[tuple[bytes, int] | None]) -> dict[int, int]:
    """For each input bit that is the same ciphertext as an earlier one: that one."""
    first: dict[tuple[bytes, int], int] = {}
    found = {bit: first.setdefault(source, bit) for bit, source in enumerate(sources) if source is not None}
    return {bit: earlier for bit, earlier in found.items() if earlier != bit}


def run_circuit(
    executor: Executor, backend: Backend, key: PreparedKey, graph: Graph,
    operands: Mapping[str, EncryptedWord | int], *, security_bits: int | None = None,
    on_progress: Callable[[Progress], None] | None = None, cancelled: Callable[[], bool] | None = None,
) -> CircuitRun:  # fmt: skip
    """Plan the circuit for the key's parameter set, run it, and pack its outputs in order.

    A bit fails with a probability of 2^-`security_bits`, by default the smallest that the set can promise.
    `on_progress` is told after every block; when `cancelled` says so between two, `Cancelled` is raised.
    """
    bound, inputs, context = bind(graph, operands, key)
    plan = make_plan(bound, key.params, security_bits or key.params.security_bits)
    (result,) = executor.run([Job(plan, inputs, context)], on_progress=on_progress, cancelled=cancelled)
    if not isinstance(result, Completed):
        raise result.error
    return CircuitRun(pack_outputs(backend, key, plan, result.outputs), plan)


def pack_outputs(packer: Packer, key: Keyed, plan: Plan, outputs: U32Array) -> EncryptedWords:
    """The output words of one job, packed together in order."""
    parts, position = [], 0
    for size in _chunk_sizes(len(outputs), key.params.N):
        chunk = outputs[position : position + size]
        parts.append(packed(key, packer.pack(key, chunk), size))
        position += size
    words = plan.graph.outputs
    return EncryptedWords(tuple(word.name for word in words), tuple(word.type for word in words), tuple(parts))


def _chunk_sizes(bits: int, size: int) -> list[int]:
    return [min(size, bits - first) for first in range(0, bits, size)]
