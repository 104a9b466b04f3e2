"""The known answer that a backend must give before anybody computes with it: frozen input, one digest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from octra.crypto.hash import H
from octra.hfhe.backend import Backend
from octra.hfhe.ciphertext import U16Array, U32Array
from octra.hfhe.encrypt import encrypt_bits, encrypt_entry
from octra.hfhe.errors import KernelMismatch
from octra.hfhe.keys import EvaluationKey, PublicKey, SecretKey
from octra.hfhe.params import TEST, ParameterSet, S, T
from octra.hfhe.sampling import Stream, uniform_power, uniform_ring

_SEED: Final = b"octra known answer: never a key!"
ANSWERS: Final = {
    "switch": "7d6bb95d167356ad0c1d30cd1b47c2ea7699b082bed2e50498be15968b98db2c",
    "bootstrap": "6bccf7c2e6cb013f453d88f51a1b2c80e1385a98861677ba1102d57c14634cd4",
    "entry": "735e348d24572c3ffb312d9f33f48090ea1e757d60a6e78c5f8225cc43ecd743",
    "pack": "a783ce9f934f1421e0016caad4a9ada9889f6d3c38720d6e1ee99c8143028ff1",
    "step of S": "8f233e8fab795d9b1b08b6b310c8ecf354dc8bdc6593cea94cf13db944dfe86d",
    "step of T": "69e69199d03657c16b040ecc63bf25bf8d4a6c8d94efb5790668acd1f4ddfa44",
}  # frozen with the parameter sets: a change here is a change of consensus


def check(backend: Backend) -> None:
    """Raises `KernelMismatch` naming the first step with other bytes than the frozen answer; takes some 0.1 s."""
    for step, digest in digests(backend):
        if digest.hex() != ANSWERS[step]:
            raise KernelMismatch(backend.name, step)


def digests(backend: Backend) -> Iterator[tuple[str, bytes]]:
    """Name and digest of each step's bytes."""
    secret, evaluation = _test_keys()
    key = backend.prepare(evaluation)
    bits = np.arange(37) % 3 % 2
    forms = encrypt_bits(secret, bits, _SEED)
    yield "switch", _digest(backend.switch(key, forms))
    outputs = backend.bootstrap(key, forms)
    yield "bootstrap", _digest(outputs)
    yield "entry", _digest(backend.entry(key, encrypt_entry(secret, evaluation.key_id, bits, _SEED)))
    yield "pack", _digest(backend.pack(key, outputs))
    for params in (S, T):
        short = backend.prepare(_short_key(params))
        exponents = [uniform_power(_SEED, Stream.SWITCH, params.set_id, row, 10, 5) for row in range(5)]
        yield f"step of {params.name}", _digest(backend.rotate(short, np.array(exponents), start=1))


@lru_cache(maxsize=1)
def _test_keys() -> tuple[SecretKey, EvaluationKey]:
    secret = SecretKey.generate(TEST, _SEED)
    return secret, EvaluationKey.generate(secret, _SEED)


@lru_cache(maxsize=2)
def _short_key(params: ParameterSet) -> EvaluationKey:
    """Two groups of full size filled with uniform values, which exercise every carry; no packing, a tiny switch."""
    short = replace(params, n=4, switch_digits=1, switch_base_log=1, packing=None)
    rows = [
        uniform_ring(_SEED, Stream.BOOTSTRAP, params.set_id, row, short.k, short.N)
        for row in range(short.groups * short.messages * short.rows)
    ]
    bodies = np.array(rows).reshape(short.groups, short.messages, short.rows, short.N)
    public = PublicKey(short, _SEED, np.zeros((short.k, short.N), np.uint32))
    return EvaluationKey(short, _SEED, public, bodies, np.zeros((short.M, 1, 1), np.uint16), None)


def _digest(values: U16Array | U32Array) -> bytes:
    return H("octra.fhe.known", np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
