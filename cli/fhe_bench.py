"""`octra fhe bench`: what this machine computes in a second; and the pace that `run --plan` multiplies."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np

from octra.cli import fhe_keys, output
from octra.cli.fhe_files import size_text
from octra.cli.output import Answer, CommandFailed, table
from octra.hfhe import backend, wire
from octra.hfhe.backend import Backend, PreparedKey
from octra.hfhe.bootstrap import packed
from octra.hfhe.ciphertext import U32Array
from octra.hfhe.encrypt import decrypt_packed, encrypt_bits, encrypt_packed
from octra.hfhe.execute import BLOCK_MAX
from octra.hfhe.keys import EvaluationKey, PublicKey, SecretKey
from octra.hfhe.params import MU, ParameterSet, Q

_T = TypeVar("_T")
ROW_SECONDS: Final = 2.0  # spent on each row of the table, three calls at least
BATCH_MAX: Final = 1_024
_SAMPLE_N: Final = 32  # LWE dimension of the small key that a pace is measured with


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of one bootstrap on one core: alone, and as one of a full block."""

    alone: float
    in_block: float

    def seconds(self, bootstraps: int, levels: int, threads: int) -> float:
        """Of a circuit: its work shared by the threads, but no less than its longest chain."""
        return max(bootstraps * self.in_block / threads, levels * self.alone)


def measure_pace(chosen: Backend, params: ParameterSet) -> Pace:
    """Measured in half a second, with a meaningless key of few LWE coefficients: a bootstrap costs as many steps."""
    small = replace(params, n=_SAMPLE_N, packing=None)
    public = PublicKey(small, bytes(32), np.zeros((small.k, small.N), np.uint32))
    bootstrap = np.zeros((small.groups, small.messages, small.rows, small.N), np.uint32)
    switch = np.zeros((small.M, small.switch_digits, small.switch_half), np.uint16)
    prepared = chosen.prepare(EvaluationKey(small, bytes(32), public, bootstrap, switch, None))
    forms = _any_forms(params, BLOCK_MAX)
    scale = params.n / _SAMPLE_N
    alone = _best(lambda: chosen.bootstrap(prepared, forms[:1]), 5)
    return Pace(alone * scale, _best(lambda: chosen.bootstrap(prepared, forms), 2) * scale / BLOCK_MAX)


def bench(set_name: str, batch: str, threads: int, against: str) -> Answer:
    """Keys, gates in batches, packing, encryption and decryption under one set, on this machine."""
    if against:
        raise CommandFailed(*_comparison(against))
    params = fhe_keys.parameter_set(set_name, allow_insecure=True)
    batches = _batches(batch)
    chosen = backend.choose()
    slow = backend.why_slow(chosen)
    if slow:
        output.say(f"note: NumPy computes, the same bytes but several times slower. The compiled kernel: {slow}")
    output.say(f"set {params.name}, backend {chosen.name}, {threads} thread(s)")
    seed = os.urandom(32)
    secret = SecretKey.generate(params, seed)
    key, generating = _timed(lambda: EvaluationKey.generate(secret, seed))
    prepared, preparing = _timed(lambda: chosen.prepare(key))
    facts: dict[str, Any] = {  # JSON values
        "set": params.name,
        "backend": chosen.name,
        "threads": threads,
        "seconds_keygen": round(generating, 3),
        "seconds_prepare": round(preparing, 3),
        "bytes_evaluation_key": len(wire.encode_evaluation_key(key)),
        "gates": [_gates(chosen, prepared, count, threads) for count in batches],
    }
    rows = [["key generation", f"{generating:.2f} s, {size_text(facts['bytes_evaluation_key'])} to send"]]
    rows += [["key expansion", f"{preparing:.2f} s"]]
    rows += [
        [f"gates, batch {row['batch']}", f"{row['ms_per_gate']:.2f} ms each (best {row['ms_per_gate_best']:.2f}), "
         f"{row['gates_per_second']:,.0f} a second"]
        for row in facts["gates"]
    ]  # fmt: skip
    for name, (count, seconds) in _packed_times(chosen, prepared, secret, key).items():
        facts[f"ms_{name}"] = round(1_000 * seconds, 3)
        rows.append([f"{name} {count} bits", f"{1_000 * seconds:.1f} ms"])
    return Answer(facts, table(rows, [f"set {params.name}", chosen.name]))


def _gates(chosen: Backend, prepared: PreparedKey, batch: int, threads: int) -> dict[str, Any]:
    """One row: each thread bootstraps batches of its own, as fast as it can."""
    forms = _any_forms(prepared.params, batch)
    times: list[float] = []
    with ThreadPoolExecutor(threads) as pool, output.progress(f"batch {batch}", 100) as bar:
        started = time.monotonic()
        while len(times) < 3 or time.monotonic() - started < ROW_SECONDS:
            begun = time.perf_counter()
            list(pool.map(lambda _: chosen.bootstrap(prepared, forms), range(threads)))
            times.append(time.perf_counter() - begun)
            bar(min(99, round(100 * (time.monotonic() - started) / ROW_SECONDS)))
    median, gates = statistics.median(times), batch * threads
    return {
        "batch": batch,
        "ms_per_gate": round(1_000 * median / gates, 3),
        "ms_per_gate_best": round(1_000 * min(times) / gates, 3),
        "gates_per_second": round(gates / median, 1),
        "calls": len(times),
    }


def _packed_times(
    chosen: Backend, prepared: PreparedKey, secret: SecretKey, key: EvaluationKey
) -> dict[str, tuple[int, float]]:
    """Bits and seconds of one full ciphertext: encryption, decryption, packing."""
    params = prepared.params
    bits = np.arange(params.N) % 2
    (fresh,) = encrypt_packed(key.public, bits, os.urandom(32))
    found = {
        "encrypt": (params.N, _best(lambda: encrypt_packed(key.public, bits, os.urandom(32)), 3)),
        "decrypt": (params.N, _best(lambda: decrypt_packed(secret, fresh), 3)),
    }
    if params.packing is not None:
        inputs = encrypt_bits(secret, bits, os.urandom(32))
        found["pack"] = (params.N, _best(lambda: packed(prepared, chosen.pack(prepared, inputs), params.N), 3))
    return found


def _any_forms(params: ParameterSet, count: int) -> U32Array:
    """Forms to time with: a bootstrap takes as long for any of them, right or wrong."""
    forms = np.random.default_rng(1).integers(0, Q, (count, params.M + 1), dtype=np.uint32)
    forms[:, -1] = MU
    return forms


def _batches(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and 1 <= int(part[:6]) <= BATCH_MAX for part in parts):
        raise CommandFailed(1002, f"--batch is a list such as 1,16,64; at most {BATCH_MAX} each")
    return [int(part) for part in parts]


def _comparison(against: str) -> tuple[int, str]:
    """Why the comparison does not run here, as code and message."""
    if against != "openfhe":
        return 1002, "--against knows openfhe only"
    return 1003, "OpenFHE needs a Python of its own, which a checkout of this project sets up: ./run bench hfhe"


def _timed(function: Callable[[], _T]) -> tuple[_T, float]:
    started = time.perf_counter()
    return function(), time.perf_counter() - started


def _best(function: Callable[[], object], repeats: int) -> float:
    return min(_timed(function)[1] for _ in range(repeats))
