"""Keys of `octra fhe`: making the three files of a key, and opening the secret one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from octra import keystore
from octra.cli import output, wallets
from octra.cli.fhe_files import size_text, write
from octra.cli.output import Answer, CommandFailed, table
from octra.hfhe import params, wire
from octra.hfhe.errors import UnknownParameters, WrongKey
from octra.hfhe.keys import EvaluationKey, PublicKey, SecretKey
from octra.hfhe.params import ParameterSet


@dataclass(frozen=True, slots=True)
class Owner:
    """An opened secret key, with the id of its public half. Prints as `<secret>`."""

    secret: SecretKey
    key_id: bytes

    def __repr__(self) -> str:
        return "<secret>"


def keygen(name: str, set_name: str) -> Answer:
    """Write NAME.eval, NAME.public and NAME.secret; all of them or none."""
    chosen = parameter_set(set_name)
    paths = {kind: Path(f"{name}.{kind}") for kind in ("secret", "public", "eval")}
    for path in paths.values():
        if path.exists():
            raise CommandFailed(1109, f"{path} exists; nothing was written")
        if not path.absolute().parent.is_dir():
            raise CommandFailed(1002, f"cannot write {path}: no such directory")
    passphrase = wallets.new_passphrase()
    output.say(f"making a key of set {chosen.name} ...")
    started = time.monotonic()
    seed = os.urandom(32)  # from the system: the same seed would make the same key
    evaluation = EvaluationKey.generate(SecretKey.generate(chosen, seed), seed)
    seconds = time.monotonic() - started
    secret = _sealed(paths["secret"].stem, chosen, seed, evaluation.key_id, passphrase)
    writers: dict[str, Callable[[Path], object]] = {
        "secret": lambda path: keystore.write_file(path, secret),
        "public": lambda path: write(path, wire.encode_public_key(evaluation.public)),
        "eval": lambda path: write(path, wire.encode_evaluation_key(evaluation)),
    }
    try:
        for kind, path in paths.items():
            writers[kind](path)
    except (CommandFailed, OSError) as error:
        for path in paths.values():
            path.unlink(missing_ok=True)
        raise CommandFailed(1002, f"nothing was written: {error}") from error
    sizes = {kind: path.stat().st_size for kind, path in paths.items()}
    data = {
        "key_id": evaluation.key_id.hex(),
        "set": chosen.name,
        "files": {kind: str(path) for kind, path in paths.items()},
        "bytes": sizes,
        "seconds": round(seconds, 3),
    }
    uses = {"secret": "decrypts; keep it", "public": "encrypts; for everybody", "eval": "computes; for evaluators"}
    rows = [[str(path), size_text(sizes[kind]), uses[kind]] for kind, path in paths.items()]
    text = f"key {evaluation.key_id.hex()[:16]} of set {chosen.name}, made in {seconds:.1f} s\n"
    return Answer(data, text + table(rows, ["file", "size", "use"]))


def open_secret(name: str, key_id: bytes) -> Owner:
    """The secret key of a file, which must be the one of `key_id`: that is told before the passphrase is asked for."""
    path = Path(name)
    data = keystore.read_file(path)
    header = keystore.read_header(data)
    if header.kind != keystore.FHE_KIND:
        raise CommandFailed(1107, f"{name} is a key of another kind ({header.kind})")
    if header.public_key != key_id:
        raise WrongKey(header.public_key, key_id)
    try:
        stored = keystore.open_sealed(data, wallets.passphrase_for(name))
    except keystore.WrongPassphrase:
        time.sleep(1)  # slows guessing at this prompt
        raise
    secret = SecretKey.generate(params.get(stored.scheme), stored.seed)
    return Owner(secret, PublicKey.generate(secret, stored.seed).key_id)


def parameter_set(name: str, *, allow_insecure: bool = False) -> ParameterSet:
    """The set that an option names."""
    try:
        return params.get(name, allow_insecure=allow_insecure)
    except UnknownParameters as error:
        names = [known.name for known in params.SETS if known.secure or allow_insecure]
        raise CommandFailed(1002, f"no parameter set {name!r:.20}; there are {', '.join(names)}") from error


def _sealed(name: str, chosen: ParameterSet, seed: bytes, key_id: bytes, passphrase: str) -> bytes:
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    secret = keystore.Secret(1, keystore.FHE_KIND, seed, scheme=chosen.name)
    return keystore.seal(secret, keystore.Header(name, keystore.FHE_KIND, "", key_id, created), passphrase)
