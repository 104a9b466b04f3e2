"""Damaged and hostile keys, ciphertexts, circuits and key files: a typed error or the value, never a crash or a flood.

Each example takes a valid specimen and damages it: bytes changed, cut, doubled or made up, fields of the decoded
structure replaced, words of a text shuffled. Default runs take a tenth of the examples; the long run takes over 10,000.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra import keystore
from octra.errors import OctraError
from octra.hfhe import builder, params, wire
from octra.hfhe.bristol import read_bristol, write_bristol
from octra.hfhe.builder import with_mode
from octra.hfhe.ciphertext import Bit
from octra.hfhe.encrypt import encrypt_bits, encrypt_entry, encrypt_packed, encrypt_seeded
from octra.hfhe.encrypted import decode_words, encrypt_words
from octra.hfhe.hypergraph import Mode
from octra.hfhe.keys import EvaluationKey, SecretKey
from octra.hfhe.text import OPERATIONS, parse
from octra.hfhe.tracing import circuit
from octra.hfhe.words import U8, select

ANY = wire.Gate(allow_insecure=True)
PASSPHRASE = "correct horse battery"
MEMORY_FACTOR, MEMORY_FLOOR = 40, 8 * 2**20  # bytes a reader may hold for each byte that it was given


@circuit
def score(a: U8, b: U8) -> U8:
    return select(a < b, a + b, a - b)


TEXT = "circuit score 1\nin a: u8\nin b: u8 foreign\nlet s = lt(a, b)\nlet u = add(a, b)\nlet r = select(s, u, a)\nout r: u8\n"
WORDS = ["let", "in", "out", "x", "a", "b", "s", "u8", "u64", "i1", "u99", "bit", "0x" + "f" * 22, "-1", "7", "(", ")",
         ",", "=", ":", "#", "\n", "\x00", "é", "open", "foreign", "circuit", "1", *OPERATIONS]  # fmt: skip
NUMBERS = ["0", "1", "2", "-1", "999999999", "99999999999999999999", "XOR", "AND", "INV", "EQ", "EQW", "MAND", "NOT", "\n",
           "\n\n", "x", "1.5", "٣"]  # fmt: skip


@dataclass(frozen=True)
class Format:
    """How to make a specimen, how to read one, and what reading and writing it again must give."""

    specimen: Callable[[], bytes]
    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes] | None = None
    structure: str = "msgpack"


@cache
def keys() -> tuple[SecretKey, EvaluationKey]:
    secret = SecretKey.generate(params.TEST, bytes(32))
    return secret, EvaluationKey.generate(secret, bytes(32))


def key_id() -> bytes:
    return keys()[1].key_id


def a_bit() -> Bit:
    return Bit(params.TEST, key_id(), encrypt_bits(keys()[0], [1], bytes([2]) * 32)[0])


def a_key_file() -> bytes:
    secret = keystore.Secret(1, keystore.FHE_KIND, bytes(32), scheme="S")
    header = keystore.Header("alice", keystore.FHE_KIND, "", bytes(32), "2026-01-01T00:00:00Z")
    with patch("os.urandom", bytes):  # zeros: a specimen is the same in every run
        return keystore.seal(secret, header, PASSPHRASE, keystore.Stretching(memory_kib=8, passes=1))


def open_key_file(data: bytes) -> keystore.Secret:
    keystore.read_header(data)
    with patch.multiple(keystore, MEMORY_KIB_MAX=1_024, PASSES_MAX=2):  # the real caps cost a second an example
        return keystore.open_sealed(data, PASSPHRASE)


FORMATS = {
    "secret key": Format(
        lambda: wire.encode_secret_key(keys()[0]), lambda data: wire.decode_secret_key(data, ANY), wire.encode_secret_key
    ),
    "public key": Format(
        lambda: wire.encode_public_key(keys()[1].public),
        lambda data: wire.decode_public_key(data, ANY),
        wire.encode_public_key,
    ),
    "evaluation key": Format(
        lambda: wire.encode_evaluation_key(keys()[1]),
        lambda data: wire.decode_evaluation_key(data, ANY),
        wire.encode_evaluation_key,
    ),
    "packed bits": Format(
        lambda: wire.encode_packed(encrypt_packed(keys()[1].public, [1, 0, 1], bytes([3]) * 32)[0]),
        lambda data: wire.decode_packed(data, ANY),
        wire.encode_packed,
    ),
    "seeded bits": Format(
        lambda: wire.encode_seeded(encrypt_seeded(keys()[0], key_id(), [1, 0, 1], bytes([4]) * 32)[0]),
        lambda data: wire.decode_seeded(data, ANY),
        wire.encode_seeded,
    ),
    "entry bits": Format(
        lambda: wire.encode_entry(encrypt_entry(keys()[0], key_id(), [1, 0, 1], bytes([5]) * 32)),
        lambda data: wire.decode_entry(data, ANY),
        wire.encode_entry,
    ),
    "bit": Format(lambda: wire.encode_bit(a_bit()), lambda data: wire.decode_bit(data, ANY), wire.encode_bit),
    "ciphertext file": Format(
        lambda: encrypt_words(keys()[1].public, [("u8", 7), ("i64", -1)], bytes([6]) * 32).encode(),
        lambda data: decode_words(data, ANY),
        lambda words: words.encode(),
    ),
    "graph": Format(
        lambda: with_mode(score.graph, Mode.OPEN).encode(), builder.decode, lambda graph: bytes(graph.encode())
    ),
    "key file": Format(a_key_file, open_key_file, structure="json"),
    "circuit text": Format(lambda: TEXT.encode(), lambda data: parse(data.decode("utf-8", "replace")), structure="words"),
    "Bristol file": Format(
        lambda: write_bristol(score.graph).encode(),
        lambda data: read_bristol(data.decode("utf-8", "replace")),
        structure="numbers",
    ),
}  # fmt: skip


@cache
def specimen(name: str) -> bytes:
    return FORMATS[name].specimen()


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.sampled_from([-1, 0, 1, 2, 255, 256, 2**31, 2**32]),
    st.binary(max_size=40), st.text(max_size=8), st.sampled_from(["u64", "u65", "bit", "i0", "TEST", "S"]),
)  # fmt: skip
values = st.recursive(leaves, lambda children: st.lists(children, max_size=3), max_leaves=4)
json_values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2), st.just("A" * 60_000), st.just("\ud800"),
)  # fmt: skip


def damaged_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    kind = draw(st.sampled_from(["flip", "cut", "insert", "double", "drop", "noise"]))
    first = draw(st.integers(0, max(0, len(data) - 1)))
    size = draw(st.integers(1, 64))
    match kind:
        case "flip":
            return data[:first] + bytes([data[first] ^ draw(st.integers(1, 255))]) + data[first + 1 :] if data else data
        case "cut":
            return data[:first]
        case "insert":
            return data[:first] + draw(st.binary(min_size=1, max_size=16)) + data[first:]
        case "double":
            return data[:first] + data[first : first + size] * 2 + data[first + size :]
        case "drop":
            return data[:first] + data[first + size :]
        case _:
            return draw(st.binary(max_size=200))


def replaced(draw: st.DrawFn, tree: Any, fresh: st.SearchStrategy[Any]) -> Any:
    """The tree with one of its nodes replaced, removed or doubled."""
    if not isinstance(tree, list | dict) or not tree or draw(st.integers(0, 4)) == 0:
        return draw(fresh)
    if isinstance(tree, dict):
        name = draw(st.sampled_from(sorted(tree)))
        rest = {key: value for key, value in tree.items() if key != name}
        return rest if draw(st.integers(0, 5)) == 0 else rest | {name: replaced(draw, tree[name], fresh)}
    at = draw(st.integers(0, len(tree) - 1))
    middle = draw(st.sampled_from(["inside", "inside", "inside", "drop", "double"]))
    between = {"inside": lambda: [replaced(draw, tree[at], fresh)], "drop": list, "double": lambda: [tree[at]] * 2}[
        middle
    ]()
    return tree[:at] + between + tree[at + 1 :]


def damaged_words(draw: st.DrawFn, text: str, vocabulary: list[str]) -> str:
    parts = text.replace("(", " ( ").replace(",", " , ").replace("\n", " \n ").split(" ")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(parts) - 1))
        parts[at : at + draw(st.integers(0, 2))] = draw(st.lists(st.sampled_from(vocabulary), max_size=3))
        parts = parts or [""]
    return " ".join(parts)


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """A specimen with one to three faults."""
    data, structure = specimen(name), FORMATS[name].structure
    if draw(st.booleans()):
        for _ in range(draw(st.integers(1, 3))):
            data = damaged_bytes(draw, data)
        return data
    match structure:
        case "msgpack":
            return msgspec.msgpack.encode(replaced(draw, msgspec.msgpack.decode(data), values))
        case "json":
            return json.dumps(replaced(draw, json.loads(data), json_values)).encode()
        case _:
            vocabulary = WORDS if structure == "words" else NUMBERS
            return damaged_words(draw, data.decode(), vocabulary).encode("utf-8", "replace")


def check(name: str, data: bytes) -> None:
    """Reading gives a typed error, or a value that is written as the same bytes; and holds little memory."""
    form = FORMATS[name]
    specimen(name)  # what the specimen itself needs is not counted
    tracemalloc.start()
    try:
        value = form.read(data)
    except OctraError as error:
        assert type(error) is not OctraError
        assert len(str(error)) < 1_000
    else:
        if form.write:
            assert form.write(value) == data
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak <= MEMORY_FLOOR + MEMORY_FACTOR * len(data)


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
@settings(max_examples=60)
def test_damage_is_a_typed_error(name: str, data: st.DataObject) -> None:
    check(name, data.draw(damaged(name)))


@pytest.mark.long
@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
@settings(max_examples=900)
def test_damage_is_a_typed_error_in_ten_thousand_examples(name: str, data: st.DataObject) -> None:
    check(name, data.draw(damaged(name)))


@pytest.mark.parametrize("name", FORMATS)
def test_every_truncation_is_told(name: str) -> None:
    data = specimen(name)
    for size in {*range(min(40, len(data))), *range(0, len(data), max(1, len(data) // 40)), len(data) - 1}:
        check(name, data[:size])


@pytest.mark.parametrize("name", FORMATS)
def test_the_specimens_themselves_are_read(name: str) -> None:
    value = FORMATS[name].read(specimen(name))
    if write := FORMATS[name].write:
        assert write(value) == specimen(name)


# --- Small files that claim to be large. Read in a child process whose memory the system limits. ---

MANY = b"\xdd\xff\xff\xff\xff"  # MessagePack: an array of 2^32 - 1 elements follows
LARGE = b"\xc6\xff\xff\xff\xff"  # 4 GiB of bytes follow
NESTED = b"\x91" * 100_000
PRODUCTS = "circuit c 1\nin x0: u64\nin x1: u64\n" + "".join(
    f"let x{i} = mul(x{i - 1}, x{i - 2})\n" for i in range(2, 9_000)
)
BOMBS = {
    **{name: [MANY, LARGE, NESTED, b"\x97\x01\xff" + LARGE, b"\x96\x01\x01" + MANY, b"\x95\x01\xa1a" + MANY]
       for name, form in FORMATS.items() if form.structure == "msgpack"},
    "key file": [b"[" * 60_000, b'{"a":' * 12_000, b'{"kind":"octra-fhe-key","version":1,"kdf":' + b"9" * 60_000 + b"}"],
    "circuit text": [b"circuit c 1\n" * 400_000, b"circuit c 1\nin a: u64\nlet b = xor(" + b"a," * 10**6 + b"a)",
                     b"circuit c 1\nin a: u64\nlet b = table(u64, a, 1)\nout b: u64",
                     b"circuit c 1\nin a: u64\nlet b = shl(a, 99999999999999999999999)\nout b: u64"],
    "Bristol file": [b"999999999 999999999\n1 999999999\n1 64\n", b"1 2\n999999999 999999999 64\n",
                     b"999999999 999999999\n999999999" + b" 1" * 10**6 + b"\n", b"\n" * 10**6],
}  # fmt: skip
CHILD = """
import importlib.util, pathlib, resource, sys
spec = importlib.util.spec_from_file_location("hostile", sys.argv[1])
sys.modules["hostile"] = hostile = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hostile)
held = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[2]), -1))
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[3]), -1))
hostile.read_bombs(sys.argv[4])
print("all told")
"""


def read_bombs(which: str) -> None:
    """In the child: every bomb is a typed error, or harmless."""
    bombs = {"circuit text": [PRODUCTS.encode()]} if which == "products" else BOMBS
    for name, documents in bombs.items():
        for data in documents:
            try:
                FORMATS[name].read(data)
            except OctraError as error:
                assert len(str(error)) < 1_000


def in_child(which: str, memory: int, seconds: int) -> None:
    command = [sys.executable, "-c", CHILD, __file__, str(memory), str(seconds), which]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "all told\n", done.stderr[-2_000:]


def test_small_files_that_claim_to_be_large_take_no_memory() -> None:
    in_child("claims", memory=256 * 2**20, seconds=30)


@pytest.mark.long
def test_a_text_of_ever_more_products_stops_at_the_limit_of_nodes() -> None:
    in_child("products", memory=2**30, seconds=300)
