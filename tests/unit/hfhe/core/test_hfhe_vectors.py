"""Bytes that other nodes rely on, frozen: all of set TEST in full, sets S and T as digests.

`python tests/unit/hfhe/core/test_hfhe_vectors.py` prints the file anew; a difference is a change of consensus.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from octra.crypto.hash import H
from octra.hfhe import encrypt, wire
from octra.hfhe.bootstrap import packed, reencode
from octra.hfhe.ciphertext import Bit, linear_form
from octra.hfhe.params import SETS, TEST, S, T
from octra.hfhe.sampling import SecretStream, Stream, Use, gaussian_table, public_seed, uniform_power, uniform_ring

FILE = Path(__file__).parents[3] / "vectors" / "hfhe" / "core.json"
SEED = bytes(range(32))


def bytes_of(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def compute(all_keys: list[Any]) -> dict[str, str]:
    """Every vector by name in hexadecimal; what is longer than 1,200 bytes by its digest."""
    vectors: dict[str, str] = {}
    for name, value in _all(all_keys):
        vectors[name] = (value if len(value) <= 1_200 else H("octra.fhe.known", value)).hex()
    return vectors


def _all(all_keys: list[Any]) -> Iterator[tuple[str, bytes]]:
    yield "xof/ring", bytes_of(uniform_ring(SEED, Stream.BOOTSTRAP, 1, 7, 1, 16))
    yield "xof/power", bytes_of(uniform_power(SEED, Stream.SWITCH, 3, 7, 16, 16))
    yield "xof/secret", SecretStream(SEED, Use.ENCRYPTION, 9).take(32)
    yield "xof/public seed", public_seed(SEED, Stream.PACKING) + public_seed(SEED, Stream.SEEDED, 1)
    for sigma in sorted({s for p in SETS for s in (p.sigma_ring, p.sigma_lwe, p.sigma_ring_max, p.sigma_lwe_max) if s}):
        yield f"gaussian table {sigma}", bytes_of(gaussian_table(sigma))
    for keys in all_keys:
        yield from _of_set(keys)


def _of_set(keys: Any) -> Iterator[tuple[str, bytes]]:
    params, secret, backend, key = keys.params, keys.secret, keys.backend, keys.prepared
    name = params.name
    yield f"{name}/z", bytes_of(secret.z.astype(np.int8))
    yield f"{name}/s", bytes_of(secret.s.astype(np.int8))
    evaluation = keys.evaluation
    yield f"{name}/key id", evaluation.key_id
    yield f"{name}/public key", evaluation.public.encode()
    yield f"{name}/evaluation key", wire.encode_evaluation_key(evaluation)
    bits = [0, 1, 1]
    fresh = encrypt.encrypt_bits(secret, bits, SEED)
    yield f"{name}/fresh", bytes_of(fresh)
    form = linear_form([fresh, fresh[::-1].copy()], [1, -1], 1)
    exponents = backend.switch(key, form)
    yield f"{name}/switch", bytes_of(exponents)
    yield f"{name}/rotate", bytes_of(backend.rotate(key, exponents[:1], start=3))
    outputs = backend.bootstrap(key, form)
    yield f"{name}/bootstrap", bytes_of(outputs)
    yield f"{name}/reencode", bytes_of(reencode(backend, key, outputs, 5))
    entry = encrypt.encrypt_entry(secret, evaluation.key_id, bits, SEED)
    yield f"{name}/entry", bytes_of(backend.entry(key, entry))
    pack = packed(key, backend.pack(key, outputs), 3)
    yield f"{name}/wire/packed", wire.encode_packed(pack)
    yield f"{name}/wire/entry", wire.encode_entry(entry)
    yield f"{name}/wire/seeded", wire.encode_seeded(encrypt.encrypt_seeded(secret, evaluation.key_id, bits, SEED)[0])
    yield f"{name}/wire/public", wire.encode_packed(encrypt.encrypt_packed(evaluation.public, bits, SEED)[0])
    yield f"{name}/wire/bit", wire.encode_bit(Bit(params, evaluation.key_id, outputs[0]))
    yield f"{name}/zero", bytes_of(encrypt.encrypt_zero(evaluation.public, [SEED]))


def test_frozen_bytes_are_still_the_same(toy: Any, keys_s: Any, keys_t: Any) -> None:
    frozen: dict[str, Any] = json.loads(FILE.read_text())
    assert compute([toy, keys_s, keys_t]) == frozen


@pytest.mark.parametrize("name", ["TEST/wire/packed", "TEST/wire/entry", "TEST/wire/seeded", "TEST/wire/bit"])
def test_frozen_ciphertexts_decode(name: str) -> None:
    frame = bytes.fromhex(json.loads(FILE.read_text())[name])
    kind = name.rsplit("/", 1)[1]
    gate = wire.Gate(TEST, allow_insecure=True)
    value = getattr(wire, f"decode_{kind}")(frame, gate)
    assert getattr(wire, f"encode_{kind}")(value) == frame


if __name__ == "__main__":
    from conftest import make_keys  # beside this script

    print(json.dumps(compute([make_keys(params, SEED) for params in (TEST, S, T)]), indent=1))
