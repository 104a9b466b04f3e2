"""AES-128 on encrypted key and block, from FIPS 197's vector: seconds and bootstraps.

python benchmarks/aes.py [--set S] [--threads N] [--json]

The circuit comes from the Bristol file that our generator writes, so this also times reading and merging its gates.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

from octra.hfhe import params
from octra.hfhe.backend import choose
from octra.hfhe.bristol import read_bristol, write_bristol
from octra.hfhe.encrypted import decrypt_words, encrypt_words, run_circuit
from octra.hfhe.examples.aes import aes_128_graph
from octra.hfhe.execute import LocalExecutor
from octra.hfhe.keys import EvaluationKey, SecretKey

KEY, BLOCK = "000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff"  # FIPS 197, appendix C.1
RESULT = "69c4e0d86a7b0430d8cdb78070b4c55a"


def halves(text: str) -> list[int]:
    data = bytes.fromhex(text)
    return [int.from_bytes(data[i : i + 8], "little") for i in (0, 8)]


def measure(set_name: str, threads: int) -> dict[str, object]:
    """One block, encrypted, evaluated and decrypted; raises `SystemExit` if it is wrong."""
    set_ = params.get(set_name, allow_insecure=True)
    started = time.perf_counter()
    graph = read_bristol(write_bristol(aes_128_graph(), inputs=(128, 128), outputs=(128,)), "aes_128")
    read = time.perf_counter() - started
    seed = os.urandom(32)
    secret = SecretKey.generate(set_, seed)
    evaluation = EvaluationKey.generate(secret, seed)
    backend = choose()
    key = backend.prepare(evaluation)
    words = encrypt_words(evaluation.public, [("u64", half) for half in halves(KEY) + halves(BLOCK)], os.urandom(32))
    operands = {word.name: words.word(index) for index, word in enumerate(graph.inputs)}
    started = time.perf_counter()
    run = run_circuit(LocalExecutor(backend, key, threads=threads), backend, key, graph, operands)
    seconds = time.perf_counter() - started
    numbers, report = decrypt_words(secret, run.words, evaluation.key_id)
    got = b"".join(half.to_bytes(8, "little") for half in numbers).hex()
    if got != RESULT:
        raise SystemExit(f"wrong: {got}, expected {RESULT}")
    return {
        "circuit": "aes-128", "set": set_.name, "backend": backend.name, "threads": threads,
        "bootstraps": run.plan.bootstraps, "levels": run.plan.depth, "read_seconds": round(read, 2),
        "seconds": round(seconds, 2), "ms_per_bootstrap": round(1_000 * seconds / run.plan.bootstraps, 3),
        "noise_ratio": round(report.max_ratio, 4), "result": got,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", default="S", help="parameter set; S is the default")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    facts = measure(options.set, options.threads)
    if options.json:
        json.dump(facts, sys.stdout, indent=1)
        print()
        return
    for name, value in facts.items():
        print(
            f"{name.replace('_', ' '):18} {value:,}"
            if isinstance(value, int)
            else f"{name.replace('_', ' '):18} {value}"
        )


if __name__ == "__main__":
    main()
