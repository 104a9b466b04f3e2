"""`octra fhe inspect`: what a file is, by its content."""

from __future__ import annotations

from typing import Any

from octra import keystore
from octra.cli import fhe_circuits
from octra.cli.fhe_circuits import cost, shown
from octra.cli.fhe_files import read, write_drawing
from octra.cli.output import Answer, table
from octra.errors import OctraError
from octra.hfhe import params, wire
from octra.hfhe.bitstream import packed_size
from octra.hfhe.draw import BOXES_MAX, draw
from octra.hfhe.encrypted import decode_words
from octra.hfhe.hypergraph import Graph
from octra.hfhe.params import Q_BITS
from octra.hfhe.plan import Plan
from octra.hfhe.planner import make_plan

_ANY = wire.Gate(allow_insecure=True)  # looking is harmless
WORDS_SHOWN = 16


def inspect(file: str, drawing: str = "") -> Answer:
    """The facts of a key, ciphertext or circuit; of a circuit also its drawing."""
    in_file = ".py:" not in file and not fhe_circuits.is_example(file)
    data = read(file) if in_file else b""
    facts = None if drawing else describe(data)
    if facts is None:
        graph = fhe_circuits.load(file)
        plan = make_plan(graph, params.S, params.S.security_bits)
        facts = _circuit(graph, plan)
        if drawing:
            write_drawing(drawing, draw(graph, plan, collapse=len(graph.nodes) > BOXES_MAX))
            facts["drawing"] = drawing
    if in_file:
        facts["bytes"] = len(data)
    rows = [[name.replace("_", " "), shown(value)] for name, value in facts.items()]
    return Answer({"file": file, **facts}, table(rows, [file, ""]))


def describe(data: bytes) -> dict[str, Any] | None:  # JSON values
    """Facts about a key or ciphertext file, or None for anything else."""
    for reader in (_key_file, _words, _public_key, _evaluation_key):
        try:
            return reader(data)
        except OctraError:
            continue  # another kind of file
    return None


def _key_file(data: bytes) -> dict[str, Any]:
    header = keystore.read_header(data)
    return {
        "kind": f"key file ({header.kind})",
        "name": header.name,
        "key_id": header.public_key.hex(),
        "created": header.created_at,
    }


def _words(data: bytes) -> dict[str, Any]:
    words = decode_words(data, _ANY)
    listed = " ".join(
        f"{name}:{kind}" for name, kind in zip(words.names[:WORDS_SHOWN], words.types[:WORDS_SHOWN], strict=True)
    )
    bits = sum(part.count for part in words.packed)
    return {
        "kind": "ciphertext",
        "set": words.params.name,
        "key_id": words.key_id.hex(),
        "words": len(words.types),
        "types": listed + (" ..." if len(words.types) > WORDS_SHOWN else ""),
        "bits": bits,
        "ciphertexts": len(words.packed),
        "bytes_per_bit": round(len(data) / bits, 1),
    }


def _public_key(data: bytes) -> dict[str, Any]:
    public = wire.decode_public_key(data, _ANY)
    return {"kind": "public key", "set": public.params.name, "key_id": public.key_id.hex()}


def _evaluation_key(data: bytes) -> dict[str, Any]:
    key = wire.decode_evaluation_key(data, _ANY)
    return {
        "kind": "evaluation key",
        "set": key.params.name,
        "key_id": key.key_id.hex(),
        "bytes_of_parts": {
            "bootstrap": packed_size(key.bootstrap.size, Q_BITS),
            "switch": packed_size(key.switch.size, key.params.switch_log),
            "packing": 0 if key.packing is None else packed_size(key.packing.size, Q_BITS),
        },
    }


def _circuit(graph: Graph, plan: Plan) -> dict[str, Any]:
    return {
        "kind": "circuit",
        "name": graph.name,
        "inputs": " ".join(f"{word.name}:{word.type}" for word in graph.inputs),
        "outputs": " ".join(f"{word.name}:{word.type}" for word in graph.outputs),
        "operations": len(graph.nodes),
        **cost(plan, params.S),
    }
