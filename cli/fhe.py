"""`octra fhe ...` : compute on encrypted numbers, on this machine, without any network.

octra fhe keygen --out alice
octra fhe encrypt --key alice.public --type u64 40 2 --out in.ct
octra fhe run adder64 --eval alice.eval a=in.ct[0] b=in.ct[1] --out r.ct
octra fhe decrypt --key alice.secret r.ct
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from octra.cli import output
from octra.cli.output import Answer, CommandFailed, table

# The arithmetic packages are imported by the commands that compute, so that help stays instant.
if TYPE_CHECKING:
    from octra.hfhe.encrypted import EncryptedWord, EncryptedWords
    from octra.hfhe.hypergraph import Graph
    from octra.hfhe.keys import SecretKey
    from octra.hfhe.params import ParameterSet
    from octra.hfhe.plan import Plan

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Compute on encrypted numbers, without any network.")

FILE_MAX = 64 * 2**20
EXAMPLES = Path(__file__).resolve().parents[1] / "hfhe" / "examples"
_REFERENCE = re.compile(r"(.+)\[(\d{1,6})\]")
_BINDING = re.compile(r"([a-z_][a-z0-9_]*)=(.+)")


@app.command()
def keygen(
    out: str = typer.Option(..., help="name of the key: NAME.secret, NAME.public and NAME.eval are written"),
    set_name: str = typer.Option("S", "--set", help="S (default), F (faster, more failures) or T (network keys)"),
) -> Answer:
    """Make a key: the secret half (encrypted at rest), the public half to encrypt, the evaluation key to compute."""
    from octra.hfhe import wire
    from octra.hfhe.keys import EvaluationKey, SecretKey

    params = _secure_set(set_name)
    paths = {kind: Path(f"{out}.{kind}") for kind in ("secret", "public", "eval")}
    for path in paths.values():
        if path.exists():
            raise CommandFailed(1109, f"{path} exists; nothing was written")
    from octra.cli.wallets import new_passphrase

    passphrase = new_passphrase()
    started = time.monotonic()
    output.say(f"making a key of set {params.name} ...")
    seed = os.urandom(32)  # from the system: the same seed would make the same key
    evaluation = EvaluationKey.generate(SecretKey.generate(params, seed), seed)
    _store_secret(paths["secret"], params, seed, evaluation.key_id, passphrase)
    _write(paths["public"], wire.encode_public_key(evaluation.public))
    _write(paths["eval"], wire.encode_evaluation_key(evaluation))
    seconds = time.monotonic() - started
    files = {kind: str(path) for kind, path in paths.items()}
    data = {"key_id": evaluation.key_id.hex(), "set": params.name, "files": files, "seconds": round(seconds, 3)}
    rows = [[kind, str(path), _size(path.stat().st_size)] for kind, path in paths.items()]
    text = f"key {evaluation.key_id.hex()[:16]} of set {params.name}, {seconds:.1f} s\n"
    return Answer(data, text + table(rows, ["part", "file", "size"]))


@app.command()
def encrypt(
    values: list[str] = typer.Argument(None, help="numbers; none or - reads one a line from standard input"),
    key: str = typer.Option(..., help="the public key"),
    kind: str = typer.Option("u64", "--type", help="u1..u64, i1..i64 or bit"),
    out: str = typer.Option(..., help="ciphertext file to write"),
    source: str = typer.Option("", "--from", help="read the numbers from this file, one a line"),
) -> Answer:
    """Encrypt numbers by a public key."""
    from octra.hfhe import wire
    from octra.hfhe.encrypted import encrypt_words

    public = wire.decode_public_key(_read(key))
    if source:
        values = _read(source).decode("utf-8", "replace").split()
    elif not values or values == ["-"]:
        values = sys.stdin.read().split()
    words = encrypt_words(public, [(kind, _number(value)) for value in values], os.urandom(32))
    _write(Path(out), words.encode())
    size = Path(out).stat().st_size
    data = {"file": out, "type": kind, "count": len(values), "bytes": size, "key_id": public.key_id.hex()}
    return Answer(data, f"{len(values)} x {kind} in {out}, {_size(size)}")


@app.command()
def run(
    circuit: str = typer.Argument(..., help="FILE.oct, FILE.py:function (runs code you trust), or an example's name"),
    operands: list[str] = typer.Argument(None, help="name=FILE[index], or name=number: encrypted first"),
    evaluation: str = typer.Option("", "--eval", help="the evaluation key"),
    out: str = typer.Option("", help="ciphertext file to write"),
    threads: int = typer.Option(0, min=0, max=256, help="default: all cores"),
    open_: bool = typer.Option(False, "--open", help="cheaper outputs, good for nothing but decryption"),
    plan_only: bool = typer.Option(False, "--plan", help="print the cost for set S, or for --eval's; run nothing"),
    secret: str = typer.Option("", "--secret", help="also decrypt the result by this secret key"),
) -> Answer:
    """Run a circuit on encrypted numbers."""
    from octra.hfhe import params, wire
    from octra.hfhe.builder import with_mode
    from octra.hfhe.hypergraph import Mode
    from octra.hfhe.planner import make_plan

    graph = load_circuit(circuit)
    if open_:
        graph = with_mode(graph, Mode.OPEN)
    if not evaluation:
        if not plan_only:
            raise CommandFailed(1002, "--eval names the evaluation key; or use --plan")
        return _plan_answer(make_plan(graph, params.S), params.S)
    key = wire.decode_evaluation_key(_read(evaluation))
    if plan_only:
        return _plan_answer(make_plan(graph, key.params, _security_bits(key.params)), key.params)
    if not out and not secret:
        raise CommandFailed(1002, "--out names the file for the result (or give --secret to decrypt it at once)")
    opened = _load_secret(Path(secret)) if secret else None  # asks before the long part, not after it
    return _run(graph, key, operands or [], out, threads, opened)


@app.command()
def decrypt(
    file: str = typer.Argument(..., help="ciphertext file"),
    key: str = typer.Option(..., help="the secret key"),
) -> Answer:
    """Decrypt the numbers of a ciphertext file."""
    from octra.hfhe.encrypted import decode_words

    words = decode_words(_read(file))
    return _decrypted(words, *_load_secret(Path(key)))


@app.command()
def inspect(file: str = typer.Argument(..., help="any file of these commands, or a circuit")) -> Answer:
    """What a file is: kind, set, key id, counts, bytes; of a circuit the cost under set S."""
    from octra.cli.fhe_inspect import describe

    data = _read(file)
    facts = describe(data) or _describe_circuit(file)
    rows = [[name.replace("_", " "), _shown(value)] for name, value in facts.items()]
    return Answer({"file": file, "bytes": len(data), **facts}, table([*rows, ["bytes", f"{len(data):,}"]], [file, ""]))


# --- circuits ---------------------------------------------------------------------------------------------------------


def load_circuit(name: str) -> Graph:
    """The circuit of a text file, of a traced Python function, or of an example that comes with the program."""
    from octra.hfhe.text import parse
    from octra.hfhe.tracing import Circuit

    path, _, function = name.partition(".py:")
    if function:
        import runpy

        try:
            found = runpy.run_path(f"{path}.py").get(function)
        except (OSError, SyntaxError) as error:
            raise CommandFailed(8002, f"{path}.py: {error}") from error
        if not isinstance(found, Circuit):
            raise CommandFailed(8002, f"{path}.py has no @circuit named {function}")
        return found.graph
    example = EXAMPLES / f"{name}.oct"
    if not Path(name).exists() and "/" not in name and example.exists():
        return parse(example.read_text("utf-8"))
    try:
        return parse(_read(name).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise CommandFailed(8002, f"{name} is not a text") from error


def _plan_answer(plan: Plan, params: ParameterSet) -> Answer:
    facts = _cost(plan, params)
    rows = [[name.replace("_", " "), _shown(value)] for name, value in facts.items()]
    return Answer({"circuit": plan.graph.name, **facts}, table(rows, [f"circuit {plan.graph.name}", ""]))


def _cost(plan: Plan, params: ParameterSet) -> dict[str, Any]:  # JSON values
    return {
        "set": params.name,
        "bootstraps": plan.bootstraps,
        "depth": plan.depth,
        "widest": {name: {"norm2": norm2, "budget": budget} for name, (norm2, budget) in plan.widest.items()},
        "log2_failure": round(plan.failure_log2(params), 1) if plan.steps else None,
        "plan_id": plan.plan_id.hex(),
        "graph_id": plan.graph.graph_id.hex(),
    }


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{at}: norm^2 {facts['norm2']} of {facts['budget']}" for at, facts in value.items())
    return "-" if value is None else str(value)


def _describe_circuit(file: str) -> dict[str, object]:
    from octra.hfhe import params
    from octra.hfhe.planner import make_plan

    graph = load_circuit(file)
    plan = make_plan(graph, params.S)
    inputs = " ".join(f"{word.name}:{word.type}" for word in graph.inputs)
    outputs = " ".join(f"{word.name}:{word.type}" for word in graph.outputs)
    return {"kind": "circuit", "name": graph.name, "inputs": inputs, "outputs": outputs, **_cost(plan, params.S)}


# --- running ----------------------------------------------------------------------------------------------------------


def _run(
    graph: Graph, key: Any, operands: Sequence[str], out: str, threads: int, secret: tuple[SecretKey, bytes] | None
) -> Answer:  # `key` is an EvaluationKey, whose import would cost every help a second
    from octra.hfhe import backend
    from octra.hfhe.encrypted import bind, pack_outputs
    from octra.hfhe.execute import Completed, Job, LocalExecutor, Progress
    from octra.hfhe.planner import make_plan

    bound, inputs, context = bind(graph, _operands(graph, key, operands), key)
    plan = make_plan(bound, key.params, _security_bits(key.params))
    chosen = backend.choose()
    output.say(f"{graph.name}: {plan.bootstraps} bootstraps in {plan.depth} levels, set {key.params.name}")
    started = time.monotonic()
    prepared = chosen.prepare(key)
    preparing = time.monotonic() - started
    executor = LocalExecutor(chosen, prepared, threads=threads or None)
    bar = output.progress("bootstraps", plan.bootstraps)

    def show(progress: Progress) -> None:
        bar(progress.done)

    started = time.monotonic()
    (result,) = executor.run([Job(plan, inputs, context)], on_progress=show)
    if not isinstance(result, Completed):
        raise result.error
    computing = time.monotonic() - started
    words = pack_outputs(chosen, prepared, plan, result.outputs)
    facts = _cost(plan, key.params) | {
        "backend": chosen.name,
        "threads": executor.threads,
        "seconds_prepare": round(preparing, 3),
        "seconds": round(computing, 3),
        "ms_per_bootstrap": round(1_000 * computing / plan.bootstraps, 2) if plan.bootstraps else None,
    }
    if out:
        _write(Path(out), words.encode())
    lines = [
        f"{plan.bootstraps} bootstraps, {plan.depth} levels, {computing:.2f} s"
        + (f" ({facts['ms_per_bootstrap']} ms each)" if plan.bootstraps else "")
        + f" on {executor.threads} thread(s), backend {chosen.name}; key prepared in {preparing:.1f} s",
        f"noise budget used: {_shown(facts['widest']) or 'none'}; probability of a wrong bit 2^{facts['log2_failure']}",
    ]
    if out:
        lines.append(f"result in {out}, {_size(Path(out).stat().st_size)}")
    if secret is None:
        return Answer({"file": out, **facts}, "\n".join(lines))
    numbers = _decrypted(words, *secret)
    return Answer({"file": out, **facts, **numbers.data}, "\n".join([*lines, numbers.text]), warnings=numbers.warnings)


def _operands(graph: Graph, key: Any, bindings: Sequence[str]) -> dict[str, EncryptedWord]:
    """The words that the bindings name. Plain numbers are encrypted by the key's public half first."""
    from octra.hfhe.encrypted import decode_words, encrypt_words

    types = {word.name: word.type for word in graph.inputs}
    files: dict[str, EncryptedWords] = {}
    found: dict[str, EncryptedWord] = {}
    typed: list[tuple[str, int]] = []
    for binding in bindings:
        match = _BINDING.fullmatch(binding)
        if match is None or match[1] not in types or match[1] in found or match[1] in dict(typed):
            raise CommandFailed(1002, f"{binding[:60]!r}: give each of {', '.join(types)} once, as name=FILE[index]")
        name, reference = match[1], _REFERENCE.fullmatch(match[2])
        if reference is None:
            typed.append((name, _number(match[2])))
            continue
        if reference[1] not in files:
            files[reference[1]] = decode_words(_read(reference[1]))
        found[name] = files[reference[1]].word(int(reference[2]))
    if typed:
        fresh = encrypt_words(key.public, [(types[name], value) for name, value in typed], os.urandom(32))
        found.update({name: fresh.word(index) for index, (name, _) in enumerate(typed)})
    return found


def _decrypted(words: EncryptedWords, secret: SecretKey, key_id: bytes) -> Answer:
    from octra.hfhe.encrypted import decrypt_words

    numbers, report = decrypt_words(secret, words, key_id)
    values = [
        {"name": name, "type": kind, "value": value if abs(value) < 2**53 else str(value)}
        for name, kind, value in zip(words.names, words.types, numbers, strict=True)
    ]
    text = "\n".join(f"{name} = {number}" for name, number in zip(words.names, numbers, strict=True))
    warnings = ["a bit is damaged or overspent its noise budget: do not rely on the result"] if report.damaged else []
    ratio = round(report.max_ratio, 4)
    return Answer({"values": values, "noise_ratio": ratio}, f"{text}\nnoise ratio {ratio}", warnings=warnings)


# --- files ------------------------------------------------------------------------------------------------------------


def _store_secret(path: Path, params: ParameterSet, seed: bytes, key_id: bytes, passphrase: str) -> None:
    from octra import keystore

    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    secret = keystore.Secret(1, keystore.FHE_KIND, seed, scheme=params.name)
    header = keystore.Header(path.stem, keystore.FHE_KIND, "", key_id, created)
    keystore.write_file(path, keystore.seal(secret, header, passphrase))


def _load_secret(path: Path) -> tuple[SecretKey, bytes]:
    """The secret key of a file, and its key id."""
    from octra import keystore
    from octra.cli.wallets import passphrase_for
    from octra.hfhe import params
    from octra.hfhe.keys import PublicKey, SecretKey

    data = keystore.read_file(path)
    if keystore.read_header(data).kind != keystore.FHE_KIND:
        raise CommandFailed(1107, f"{path} is a key of another kind")
    try:
        stored = keystore.open_sealed(data, passphrase_for(str(path)))
    except keystore.WrongPassphrase:
        time.sleep(1)  # slows guessing at this prompt
        raise
    secret = SecretKey.generate(params.get(stored.scheme), stored.seed)
    return secret, PublicKey.generate(secret, stored.seed).key_id


def _secure_set(name: str) -> ParameterSet:
    from octra.hfhe import params
    from octra.hfhe.errors import InsecureParameters, UnknownParameters

    try:
        return params.get(name)
    except InsecureParameters as error:
        raise CommandFailed(8006, str(error)) from error
    except UnknownParameters as error:
        raise CommandFailed(1002, "--set is S, F or T") from error


def _security_bits(params: ParameterSet) -> int:
    return max(params.budgets)  # 128 where the set can promise it


def _number(text: str) -> int:
    try:
        return int(text.replace("_", ""), 0)
    except ValueError as error:
        raise CommandFailed(1002, "a number is decimal, or hexadecimal with 0x") from error


def _read(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            data = file.read(FILE_MAX + 1)
    except OSError as error:
        known = ", ".join(sorted(path.stem for path in EXAMPLES.glob("*.oct")))
        hint = f" (examples: {known})" if "." not in name else ""
        raise CommandFailed(1002, f"cannot read {name}: {error.strerror}{hint}") from error
    if len(data) > FILE_MAX:
        raise CommandFailed(1002, f"{name} is larger than any file of these commands")
    return data


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise CommandFailed(1002, f"cannot write {path}: {error.strerror}") from error


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1_000_000 else f"{count:,} bytes"
