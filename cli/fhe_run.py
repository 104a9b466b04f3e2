"""`octra fhe run`: binds encrypted words to a circuit, runs its plan here or on a cluster, packs the result."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from octra.cli import fhe_bench, fhe_circuits, fhe_keys, fhe_values, output
from octra.cli.fhe_circuits import cost, shown
from octra.cli.fhe_files import check_output, read, size_text, write_words
from octra.cli.output import Answer, CommandFailed, table
from octra.hfhe import backend, params, wire
from octra.hfhe.builder import with_mode
from octra.hfhe.encrypted import (
    EncryptedWord,
    EncryptedWords,
    Keyed,
    Packer,
    bind,
    decode_words,
    encrypt_words,
    pack_outputs,
)
from octra.hfhe.execute import Completed, Executor, Job, LocalExecutor
from octra.hfhe.hypergraph import Graph, Mode
from octra.hfhe.keys import EvaluationKey
from octra.hfhe.planner import make_plan

_REFERENCE = re.compile(r"(.+)\[(\w{1,64})\]")
_BINDING = re.compile(r"([a-z_][a-z0-9_]*)=(.+)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of `run`, as given."""

    circuit: str
    operands: tuple[str, ...]
    evaluation: str
    out: str
    threads: int
    ray: str
    open: bool
    secret: str


@dataclass(frozen=True, slots=True)
class _Engine:
    """What bootstraps and packs, how it is called, and how long it took to prepare the key."""

    executor: Executor
    packer: Packer
    key: Keyed
    name: str
    threads: int
    seconds: float


def plan(wanted: Wanted) -> Answer:
    """The cost of the circuit, and how long this machine will take; runs none of it."""
    graph = _graph(wanted)
    chosen = wire.decode_evaluation_key(read(wanted.evaluation)).params if wanted.evaluation else params.S
    made = make_plan(graph, chosen, chosen.security_bits)
    kernel, threads = backend.choose(), wanted.threads or len(os.sched_getaffinity(0))
    pace = fhe_bench.measure_pace(kernel, chosen)
    expected = pace.seconds(made.bootstraps, made.depth, threads)
    machine = {"expected_seconds": round(expected, 3), "threads": threads, "backend": kernel.name}
    facts = cost(made, chosen)
    rows = [[name.replace("_", " "), shown(value)] for name, value in facts.items()]
    rows.append(["expected", f"{expected:.2f} s on {threads} thread(s) of this machine, backend {kernel.name}"])
    _tell_if_slow(kernel)
    return Answer({"circuit": graph.name, **facts, **machine}, table(rows, [f"circuit {graph.name}", ""]))


def run(wanted: Wanted) -> Answer:
    """Run the circuit; write the result, decrypt it, or both."""
    graph = _graph(wanted)
    if not wanted.evaluation:
        raise CommandFailed(1002, "--eval names the evaluation key; or use --plan")
    if not wanted.out and not wanted.secret:
        raise CommandFailed(1002, "--out names the file for the result (or give --secret to decrypt it at once)")
    if wanted.out:
        check_output(wanted.out)
    key = wire.decode_evaluation_key(read(wanted.evaluation))
    bound, inputs, context = bind(graph, _operands(graph, key, wanted.operands), key)
    made = make_plan(bound, key.params, key.params.security_bits)
    owner = fhe_keys.open_secret(wanted.secret, key.key_id) if wanted.secret else None  # asks before the long part
    with ExitStack() as cleanup:
        engine = _cluster(key, wanted.ray, cleanup) if wanted.ray else _local(key, wanted.threads)
        output.say(f"{graph.name}: {made.bootstraps:,} bootstraps in {made.depth:,} levels, set {key.params.name}")
        started = time.monotonic()
        with output.progress("bootstraps", made.bootstraps) as bar:
            (result,) = engine.executor.run(
                [Job(made, inputs, context)], on_progress=lambda progress: bar(progress.done)
            )
        if not isinstance(result, Completed):
            raise result.error
        seconds = time.monotonic() - started
        words = pack_outputs(engine.packer, engine.key, made, result.outputs)
    facts = cost(made, key.params) | {
        "backend": engine.name,
        "threads": engine.threads,
        "seconds_prepare": round(engine.seconds, 3),
        "seconds": round(seconds, 3),
        "ms_per_bootstrap": round(1_000 * seconds / made.bootstraps, 2) if made.bootstraps else None,
    }
    each = f" ({facts['ms_per_bootstrap']} ms each)" if made.bootstraps else ""
    lines = [
        f"{made.bootstraps:,} bootstraps, {made.depth:,} levels, {seconds:.2f} s{each} on {engine.threads} thread(s), "
        f"backend {engine.name}; key prepared in {engine.seconds:.1f} s",
        f"noise budget used: {shown(facts['widest'])}; probability of a wrong bit 2^{facts['log2_failure']}",
    ]
    if wanted.out:
        lines.append(f"result in {wanted.out}, {size_text(write_words(wanted.out, words))}")
    if owner is None:
        return Answer({"file": wanted.out, **facts}, "\n".join(lines))
    numbers = fhe_values.shown(words, owner)
    data = {"file": wanted.out or None, **facts, **numbers.data}
    return Answer(data, "\n".join([*lines, numbers.text]), warnings=numbers.warnings)


def _graph(wanted: Wanted) -> Graph:
    for binding in wanted.operands:
        if binding.startswith("-"):  # negative numbers are operands, so unknown options get this far
            raise CommandFailed(1002, f"no such option: {binding:.40}")
    graph = fhe_circuits.load(wanted.circuit)
    return with_mode(graph, Mode.OPEN) if wanted.open else graph


def _local(key: EvaluationKey, threads: int) -> _Engine:
    chosen = backend.choose()
    _tell_if_slow(chosen)
    output.say("preparing the key ...")
    started = time.monotonic()
    prepared = chosen.prepare(key)
    executor = LocalExecutor(chosen, prepared, threads=threads or None)
    return _Engine(executor, chosen, prepared, chosen.name, executor.threads, time.monotonic() - started)


def _cluster(key: EvaluationKey, address: str, cleanup: ExitStack) -> _Engine:
    from octra.hfhe.execute_ray import RayExecutor

    output.say("sending the key to the cluster ...")
    started = time.monotonic()
    executor = cleanup.enter_context(RayExecutor(key, address=None if address == "local" else address))
    kernels = ", ".join(sorted({worker.backend for worker in executor.workers}))
    name = f"ray, {len(executor.workers)} worker(s): {kernels}"
    return _Engine(executor, executor, key, name, executor.threads, time.monotonic() - started)


def _tell_if_slow(chosen: backend.Backend) -> None:
    reason = backend.why_slow(chosen)
    if reason:
        output.say(f"note: NumPy computes, the same bytes but several times slower. The compiled kernel: {reason}")


def _operands(graph: Graph, key: EvaluationKey, bindings: Sequence[str]) -> dict[str, EncryptedWord]:
    """The words that the bindings name. Plain numbers are encrypted by the key's public half first."""
    types = {word.name: word.type for word in graph.inputs}
    files: dict[str, EncryptedWords] = {}
    found: dict[str, EncryptedWord] = {}
    typed: list[tuple[str, int]] = []
    for binding in bindings:
        match = _BINDING.fullmatch(binding)
        if match is None or match[1] not in types or match[1] in found or match[1] in dict(typed):
            name = binding.partition("=")[0]
            wanted = ", ".join(list(types)[:8]) + (", ..." if len(types) > 8 else "")
            raise CommandFailed(1002, f"{name:.40}: give each of {wanted} once, as name=FILE[index] or name=number")
        name, text = match[1], match[2]
        if fhe_values.looks_like_number(text):
            typed.append((name, fhe_values.number(text)))
            continue
        reference = _REFERENCE.fullmatch(text)
        file, place = (reference[1], reference[2]) if reference else (text, "")
        if file not in files:
            files[file] = decode_words(read(file))
        found[name] = _word(files[file], file, place)
    if typed:
        fresh = encrypt_words(key.public, [(types[name], value) for name, value in typed], os.urandom(32))
        found.update({name: fresh.word(index) for index, (name, _) in enumerate(typed)})
    return found


def _word(words: EncryptedWords, file: str, place: str) -> EncryptedWord:
    """The word at an index or of a name; nothing is enough where there is only one."""
    if place.isascii() and place.isdigit():
        return words.word(int(place))
    if not place and len(words.types) == 1:
        return words.word(0)
    if words.names.count(place) == 1:
        return words.word(words.names.index(place))
    listed = ", ".join(words.names[:8]) + (", ..." if len(words.names) > 8 else "")
    raise CommandFailed(1002, f"{file} holds {listed}: name one, as {file}[{words.names[0]}] or {file}[0]")
