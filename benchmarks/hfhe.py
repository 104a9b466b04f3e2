"""Encrypted gates against OpenFHE's, and what our words, transfers, threads and keys cost.

    ./run bench hfhe [--rounds 8] [--core 1] [--peer-only] [--no-words] [--no-record] [--json]

OpenFHE (its wheel, set STD128, methods GINX and LMKCDEY) and ours alternate round by round on one pinned core with one
thread, in processor time; every ratio is of two figures of one run. Our gates are whole bootstraps of ciphertexts under real keys, and a
batch is as many of them in one call; OpenFHE's interface takes one gate at a time. `benchmarks/results/README.md`
tells how to read the figures. Exit code 3: no CPython 3.10 for the peer.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from octra.consensus import circuits
from octra.consensus.evaluate import Evaluation, Evaluator, credit_work, debit_work, evaluate
from octra.hfhe import params, wire, words
from octra.hfhe.backend import Backend, PreparedKey, choose
from octra.hfhe.builder import Builder, with_mode
from octra.hfhe.ciphertext import U32Array
from octra.hfhe.encrypt import decrypt_bits, decrypt_packed, encrypt_bits, encrypt_entry, encrypt_packed
from octra.hfhe.execute import Completed, Job, LocalExecutor
from octra.hfhe.hypergraph import Graph, Mode
from octra.hfhe.hypergraph import evaluate as evaluate_bits
from octra.hfhe.keys import EvaluationKey, SecretKey
from octra.hfhe.params import MU, ParameterSet, Q
from octra.hfhe.planner import make_plan
from octra.hfhe.words import from_bits

PEER = "openfhe==1.5.1.0.22.4"  # this build's extension is for CPython 3.10, whatever its tag says
HERE = Path(__file__).resolve().parent
PEER_FOLDER = HERE.parent / "build" / "openfhe-peer"
METHODS = ("GINX", "LMKCDEY")
PEER_GATES = 3  # in each round: some 0.4 s
BATCHES = (1, 16, 64)
BALANCE = [1, 0] * (circuits.WIDTH // 2)
AMOUNT = [1] + [0] * (circuits.WIDTH - 1)
BALANCE_TYPE = f"u{circuits.WIDTH}"
SEED = b"benchmark: keys with no secrets."
_T = TypeVar("_T")

# Bars: name, (figures -> value), limit, and whether it is a floor or a ceiling. A goal stands behind the limit.
BARS: tuple[tuple[str, str, float, float], ...] = (
    ("our STD128 to its GINX, batch 64", ">=", 12, 12),
    ("S to its GINX, batch 64", ">=", 25, 40),
    ("T to its GINX, batch 64", ">=", 17, 17),
    ("64-bit add, open, S, seconds", "<=", 0.30, 0.20),
    ("64-bit add, sealed, S, seconds", "<=", 0.60, 0.40),
    ("private transfer, T, core-seconds", "<=", 2.5, 1.5),
    ("two threads to one, batch 64", ">=", 1.8, 1.9),
)


class PeerMissing(Exception):
    """There is no interpreter that the peer's wheel runs under."""


class Peer:
    """OpenFHE in a child process, pinned to the core that we measure on."""

    def __init__(self, core: int) -> None:
        command = [str(peer_python()), str(HERE / "openfhe_peer.py"), str(core)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.facts: dict[str, Any] = self._read()

    def gates(self, method: str, count: int) -> list[float]:
        """Seconds of each of `count` gates."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{method} {count}\n")
        self._process.stdin.flush()
        return self._read()  # type: ignore[no-any-return]  # our own child's line

    def close(self) -> None:
        """Ends the child."""
        self._process.communicate()

    def _read(self) -> Any:  # JSON
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the peer stopped with code {self._process.wait()}")
        return json.loads(line)


def peer_python() -> Path:
    """The interpreter with the peer, made at first use. Raises `PeerMissing`."""
    python = PEER_FOLDER / "bin" / "python"
    if not python.exists():
        found = find_python310()
        if found is None:
            raise PeerMissing
        say(f"installing {PEER} into {PEER_FOLDER.relative_to(HERE.parent)}")
        subprocess.run([found, "-m", "venv", str(PEER_FOLDER)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", PEER], check=True)
    return python


def find_python310() -> str | None:
    """A CPython 3.10 of the search path, or one that pyenv keeps."""
    candidates = [shutil.which("python3.10")]
    if pyenv := shutil.which("pyenv"):
        listed = subprocess.run([pyenv, "versions", "--bare"], capture_output=True, text=True).stdout.split()
        for version in (version for version in listed if version.startswith("3.10.")):
            prefix = subprocess.run([pyenv, "prefix", version], capture_output=True, text=True).stdout.strip()
            candidates.append(str(Path(prefix, "bin", "python3.10")))
    for candidate in filter(None, candidates):
        probe = [candidate, "-c", "import sys, venv; print(sys.implementation.name, sys.version_info[:2])"]
        answer = subprocess.run(probe, capture_output=True, text=True)  # pyenv's shims fail for versions not selected
        if answer.stdout.strip() == "cpython (3, 10)":
            return candidate
    return None


class Ours:
    """Real keys of one set, prepared for the fastest backend."""

    def __init__(self, chosen: Backend, chosen_set: ParameterSet) -> None:
        self.backend, self.params = chosen, chosen_set
        self.secret, _ = timed(lambda: SecretKey.generate(chosen_set, SEED))
        self.evaluation, self.seconds_keygen = timed(lambda: EvaluationKey.generate(self.secret, SEED))
        self.prepared, self.seconds_expand = timed(lambda: chosen.prepare(self.evaluation))
        ones = encrypt_bits(self.secret, np.ones(2 * max(BATCHES)), SEED).astype(np.int64)
        ones[:, -1] -= MU // 2  # AND is the sign of a + b - MU
        self.forms = ((ones[0::2] + ones[1::2]) % Q).astype(np.uint32)

    def gate(self, batch: int) -> float:
        """Seconds of one gate as one of a batch; all results must be right."""
        results, seconds = timed(lambda: self.backend.bootstrap(self.prepared, self.forms[:batch]))
        assert decrypt_bits(self.secret, results)[0].all()
        return seconds / batch

    def sizes(self) -> dict[str, int]:
        """Bytes of keys and ciphertexts, in memory and as sent."""
        public = self.evaluation.public
        seeded = sum(part.nbytes for part in arrays_of(self.evaluation))
        packed = encrypt_packed(public, np.ones(min(512, self.params.N)), SEED)[0]
        return {
            "prepared_key_in_memory": sum(part.nbytes for part in arrays_of(self.prepared)),
            "seeded_key_in_memory": seeded,
            "evaluation_key_sent": len(wire.encode_evaluation_key(self.evaluation)),
            "public_key_sent": len(wire.encode_public_key(public)),
            "bit_in_memory": self.forms[0].nbytes,
            f"packed_{packed.count}_bits_sent": len(wire.encode_packed(packed)),
        }


def main() -> int:
    """Measures, prints, records; 3 if the peer cannot run here."""
    parser = argparse.ArgumentParser(prog="run bench hfhe", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8, help="alternations of the peer and us")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core to measure on")
    parser.add_argument("--peer-only", action="store_true", help="only the comparison with OpenFHE")
    parser.add_argument("--no-record", action="store_true", help="write no file into benchmarks/results")
    parser.add_argument("--json", action="store_true", help="print the record")
    arguments = parser.parse_args()
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {arguments.core})
        peer = Peer(arguments.core)
    except PeerMissing:
        print("peer missing: OpenFHE's wheel needs CPython 3.10 (on PATH as python3.10, or kept by pyenv)")
        return 3
    chosen = choose()
    say(f"making keys of STD128, S and T for {chosen.name}")
    ours = {one.name: Ours(chosen, one) for one in (params.STD128, params.S, params.T)}
    record: dict[str, Any] = {"machine": machine(), "backend": chosen.name, "peer": peer.facts}
    record["gates"] = compare(peer, ours, arguments.rounds)
    peer.close()
    record["keys"] = {
        name: {"seconds_keygen": one.seconds_keygen, "seconds_expand": one.seconds_expand, "bytes": one.sizes()}
        for name, one in ours.items()
    }
    if not arguments.peer_only:
        record["words"] = word_figures(ours["S"])
        record["transfer"] = transfer_figures(ours["T"])
        os.sched_setaffinity(0, cores)
        record["threads"] = thread_figures(ours["S"], len(cores))
    record["bars"] = judge(record)
    if arguments.json:
        print(json.dumps(record, indent=1))
    else:
        show(record)
    if not arguments.no_record:
        path = HERE / "results" / f"hfhe-{record['machine']['date'][:10]}.json"
        path.write_text(json.dumps(record, indent=1) + "\n")
        say(f"recorded in {path.relative_to(HERE.parent)}")
    return 0


def compare(peer: Peer, ours: dict[str, Ours], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of one gate, least and median, for the peer and for us at each batch, taken in turn."""
    samples: dict[str, list[float]] = {}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for method in METHODS:
            samples.setdefault(f"OpenFHE STD128 {method}", []).extend(peer.gates(method, PEER_GATES))
        for name, one in ours.items():
            for batch in BATCHES:
                repeats = 4 if batch == 1 else 1
                samples.setdefault(f"{name} batch {batch}", []).extend(one.gate(batch) for _ in range(repeats))
    return {name: spread(values, 1e3, "ms") for name, values in samples.items()}


def word_figures(ours: Ours) -> dict[str, dict[str, float]]:
    """Seconds of one core for 64-bit words: one alone, and one of many that run together."""
    figures = {}
    for name, graph, together in word_circuits():
        executor = LocalExecutor(ours.backend, ours.prepared, threads=1)
        plan = make_plan(graph, ours.params)
        bits = np.arange(together * plan.input_bits) % 7 % 2
        inputs = encrypt_bits(ours.evaluation.public, bits, SEED).reshape(together, plan.input_bits, -1)
        jobs = [Job(plan, np.ascontiguousarray(one), number.to_bytes(32, "big")) for number, one in enumerate(inputs)]
        alone, seconds = timed(lambda: executor.run(jobs[:1]))  # noqa: B023 - called at once
        check_word(ours, graph, bits[: plan.input_bits], alone[0])
        figures[name] = {"bootstraps": plan.bootstraps, "alone_s": seconds, "together": together, "each_s": seconds}
        if together > 1:
            figures[name]["each_s"] = timed(lambda: executor.run(jobs))[1] / together  # noqa: B023
        say(f"{name}: {figures[name]['each_s']:.3f} s each")
    return figures


def word_circuits() -> list[tuple[str, Graph, int]]:
    """64-bit circuits, and how many of each run together."""
    operations: dict[str, tuple[Callable[..., words.Word], tuple[str, ...], int]] = {
        "add": (words.add, ("u64", "u64"), 24),
        "lt": (words.lt, ("u64", "u64"), 24),
        "eq": (words.eq, ("u64", "u64"), 4),
        "select": (words.select, ("bit", "u64", "u64"), 4),
        "mul": (words.mul, ("u64", "u64"), 1),
    }
    made = []
    for name, (operation, types, together) in operations.items():
        builder = Builder(name)
        operands = [words.word_type(kind)(builder, builder.input(f"x{i}", kind)) for i, kind in enumerate(types)]
        result = operation(*operands)
        builder.output("r", result.type_name, result.literals)
        graph = builder.build()
        if name == "add":
            made.append(("add, open", with_mode(graph, Mode.OPEN), together))
        made.append((f"{name}, sealed", graph, together))
    return made


def check_word(ours: Ours, graph: Graph, bits: Any, result: object) -> None:
    """The encrypted result must be the clear one."""
    assert isinstance(result, Completed)
    found = decrypt_bits(ours.secret, result.outputs)[0]
    assert found.tolist() == [int(bit) for bit in evaluate_bits(graph, [bool(bit) for bit in bits])]


def transfer_figures(ours: Ours, together: int = 8) -> dict[str, float]:
    """Core-seconds of a private transfer as a validator evaluates it: entry, debit, credit; alone and among others."""
    executor = LocalExecutor(ours.backend, ours.prepared, threads=1)
    evaluator = Evaluator(ours.backend, ours.prepared, executor)
    seeds = [bytes([number]) * 32 for number in range(2 * together)]
    balances = [encrypt_packed(ours.evaluation.public, BALANCE, seed)[0] for seed in seeds]
    amounts = [encrypt_entry(ours.secret, ours.evaluation.key_id, AMOUNT, seed) for seed in seeds[:together]]

    def transfer(count: int) -> Sequence[Evaluation]:
        payers, payees = balances[:count], balances[together : together + count]
        debits = [debit_work(evaluator, *taken) for taken in zip(payers, amounts, seeds, strict=False)]
        moved = [debit.outputs["transferred"] for debit in evaluate(evaluator, debits)]
        credits = [credit_work(evaluator, *given) for given in zip(payees, moved, seeds[together:], strict=False)]
        return evaluate(evaluator, credits)

    credited, alone = timed(lambda: transfer(1))
    found = decrypt_packed(ours.secret, credited[0].outputs["balance"])[0]
    assert from_bits([bit == 1 for bit in found], BALANCE_TYPE) == sum(
        from_bits([bit == 1 for bit in word], BALANCE_TYPE) for word in (BALANCE, AMOUNT)
    )
    each = timed(lambda: transfer(together))[1] / together
    bootstraps = circuits.debit(ours.params).bootstraps + circuits.credit(ours.params).bootstraps
    return {"bootstraps": bootstraps, "alone_s": alone, "each_s": each, "together": together}


def thread_figures(ours: Ours, cores: int) -> dict[str, float]:
    """Gates a second through the executor with one and with two threads, blocks of 64, in turn."""
    if cores < 2:
        return {}
    builder = Builder("gates")
    left, right = builder.input("a", "u64"), builder.input("b", "u64")
    literals = [builder.and_(a, b) for a in left for b in right[:8]]
    for word in range(8):
        builder.output(f"r{word}", "u64", literals[64 * word : 64 * word + 64])
    plan = make_plan(builder.build(), ours.params)
    inputs = encrypt_bits(ours.evaluation.public, [1] * 128, SEED)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(4):
        for threads, found in rates.items():
            executor = LocalExecutor(ours.backend, ours.prepared, threads=threads)
            started = time.perf_counter()
            executor.run([Job(plan, inputs, bytes(32))])
            found.append(plan.bootstraps / (time.perf_counter() - started))
    return {"gates": plan.bootstraps, "one": statistics.median(rates[1]), "two": statistics.median(rates[2]),
            "ratio": max(rates[2]) / max(rates[1])}  # fmt: skip


def judge(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Each bar with its value; medians against medians."""
    gates, values = record["gates"], {}
    ginx = gates["OpenFHE STD128 GINX"]["median_ms"]
    for label, name in (("our STD128", "STD128"), ("S", "S"), ("T", "T")):
        values[f"{label} to its GINX, batch 64"] = ginx / gates[f"{name} batch 64"]["median_ms"]
    if "words" in record:
        values["64-bit add, open, S, seconds"] = record["words"]["add, open"]["each_s"]
        values["64-bit add, sealed, S, seconds"] = record["words"]["add, sealed"]["each_s"]
        values["private transfer, T, core-seconds"] = record["transfer"]["each_s"]
        values["two threads to one, batch 64"] = record["threads"].get("ratio")
    bars = []
    for name, relation, limit, goal in BARS:
        if (value := values.get(name)) is not None:
            met, reached = ((value >= x) if relation == ">=" else (value <= x) for x in (limit, goal))
            bars.append({"bar": name, "value": round(value, 3), "relation": relation, "limit": limit, "met": met,
                         "goal": goal, "goal_met": reached})  # fmt: skip
    return bars


def show(record: dict[str, Any]) -> None:
    """The record as tables."""
    peer, gates = record["peer"], record["gates"]
    print(f"{record['machine']['cpu']}, {record['backend']}; OpenFHE wheel {peer['openfhe']}; one core, ms a gate")
    print(f"{'':28}{'least':>9}{'median':>9}{'x GINX':>9}{'x LMKCDEY':>11}   (ratios of medians)")
    for name, found in gates.items():
        ratios = [gates[f"OpenFHE STD128 {method}"]["median_ms"] / found["median_ms"] for method in METHODS]
        print(f"{name:28}{found['least_ms']:9.2f}{found['median_ms']:9.2f}{ratios[0]:9.1f}{ratios[1]:11.1f}")
    for name, found in record.get("words", {}).items():
        print(f"64-bit {name:15} {found['bootstraps']:6,} bootstraps: {found['alone_s']:7.3f} s alone, "
              f"{found['each_s']:7.3f} s as one of {found['together']}")  # fmt: skip
    if "transfer" in record:
        found = record["transfer"]
        print(f"private transfer under T, {found['bootstraps']} bootstraps: {found['alone_s']:.2f} s alone, "
              f"{found['each_s']:.2f} s as one of {found['together']}")  # fmt: skip
    for name, found in record["keys"].items():
        sizes = found["bytes"]
        print(f"key of {name:7} made in {found['seconds_keygen']:.2f} s, expanded in {found['seconds_expand']:.2f} s; "
              f"{sizes['evaluation_key_sent'] / 1e6:.2f} MB sent, {sizes['prepared_key_in_memory'] / 1e6:.0f} MB ready")  # fmt: skip
    for bar in record["bars"]:
        state = "goal met" if bar["goal_met"] else "met" if bar["met"] else "NOT MET"
        print(
            f"{bar['bar']:38} {bar['value']:7.2f}  {bar['relation']} {bar['limit']:g} (goal {bar['goal']:g}): {state}"
        )


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in fields.items()}
    wanted = ("sse2", "avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl")
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": facts.get("model name", platform.processor()),
        "cpu_family_model_stepping": [facts.get(name) for name in ("cpu family", "model", "stepping")],
        "flags": [flag for flag in wanted if flag in facts.get("flags", "").split()],
        "cores": os.cpu_count(),
        "load_average_before": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def spread(values: list[float], scale: float, unit: str) -> dict[str, float]:
    """Least and median."""
    found = {"least": min(values), "median": statistics.median(values)}
    return {f"{name}_{unit}": round(value * scale, 4) for name, value in found.items()} | {"samples": len(values)}


def arrays_of(key: PreparedKey | EvaluationKey) -> list[U32Array]:
    """The arrays of a key."""
    parts = [getattr(key, part.name) for part in dataclasses.fields(key)]  # type: ignore[arg-type]  # both are dataclasses
    return [part for part in parts if isinstance(part, np.ndarray)]


def timed(function: Callable[[], _T]) -> tuple[_T, float]:
    """The result, and the seconds of processor time it took: other programs on the machine cost little of that."""
    started = time.process_time()
    return function(), time.process_time() - started


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
