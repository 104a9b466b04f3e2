"""`octra fhe ...` : compute on encrypted numbers, on this machine, without any network.

octra fhe keygen --out alice
octra fhe encrypt --key alice.public --type u64 40 2 --out in.ct
octra fhe run adder64 --eval alice.eval a=in.ct[0] b=in.ct[1] --out r.ct
octra fhe decrypt --key alice.secret r.ct

Only options and help stand here; the modules beside it are imported by the command that needs them, so help is quick.
"""

from __future__ import annotations

import typer

from octra.cli.output import Answer

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Compute on encrypted numbers, without any network.")

# A negative number is an argument, not an option.
_NEGATIVE_NUMBERS = {"ignore_unknown_options": True}


@app.command()
def keygen(
    out: str = typer.Option(..., help="name of the key: NAME.secret, NAME.public and NAME.eval are written"),
    set_name: str = typer.Option("S", "--set", help="S (default), F (faster, fails with 2^-64) or T (network keys)"),
) -> Answer:
    """Make a key: a secret part (sealed by a passphrase), a public one to encrypt, an evaluation key to compute."""
    from octra.cli import fhe_keys

    return fhe_keys.keygen(out, set_name)


@app.command(context_settings=_NEGATIVE_NUMBERS)
def encrypt(
    values: list[str] = typer.Argument(None, help="numbers; none or - reads them from standard input, one a line"),
    key: str = typer.Option(..., help="the public key"),
    kind: str = typer.Option("u64", "--type", help="u1..u64, i1..i64, bit, or bits for texts such as 0110"),
    out: str = typer.Option(..., help="ciphertext file to write"),
    source: str = typer.Option("", "--from", help="read the numbers from this file, one a line"),
) -> Answer:
    """Encrypt numbers by a public key. Nobody but the owner of the secret key can read them, not even you."""
    from octra.cli import fhe_values

    return fhe_values.encrypt(values or [], key=key, kind=kind, out=out, source=source)


@app.command(context_settings=_NEGATIVE_NUMBERS)
def run(
    circuit: str = typer.Argument(
        ..., help="FILE.oct, a Bristol file, FILE.py:function (runs code you trust), or an example's name"
    ),
    operands: list[str] = typer.Argument(None, help="name=FILE[index], name=FILE[word], or name=number (not secret)"),
    evaluation: str = typer.Option("", "--eval", help="the evaluation key"),
    out: str = typer.Option("", help="ciphertext file to write"),
    threads: int = typer.Option(0, min=0, max=256, help="default: all cores"),
    ray: str = typer.Option("", "--ray", help="a Ray cluster: HOST:PORT, auto, or local; needs octra-node[ray]"),
    open_: bool = typer.Option(False, "--open", help="cheaper outputs, good for nothing but decryption"),
    plan_only: bool = typer.Option(False, "--plan", help="print the cost for set S, or for --eval's; run nothing"),
    secret: str = typer.Option("", "--secret", help="also decrypt the result by this secret key"),
) -> Answer:
    """Run a circuit on encrypted numbers."""
    from octra.cli import fhe_run

    wanted = fhe_run.Wanted(circuit, tuple(operands or ()), evaluation, out, threads, ray, open_, secret)
    return fhe_run.plan(wanted) if plan_only else fhe_run.run(wanted)


@app.command()
def decrypt(
    file: str = typer.Argument(..., help="ciphertext file"),
    key: str = typer.Option(..., help="the secret key"),
) -> Answer:
    """Decrypt the numbers of a ciphertext file."""
    from octra.cli import fhe_values

    return fhe_values.decrypt(file, key)


@app.command()
def inspect(
    file: str = typer.Argument(..., help="any file of these commands, or a circuit as `run` takes it"),
    draw: str = typer.Option("", help="draw the circuit into this SVG file"),
) -> Answer:
    """What a file is: kind, set, key id, counts, bytes; of a circuit its inputs, outputs and cost under set S."""
    from octra.cli import fhe_inspect

    return fhe_inspect.inspect(file, draw)


@app.command()
def bench(
    set_name: str = typer.Option("S", "--set", help="S, F, T; STD128 and TEST too, which protect nothing"),
    batch: str = typer.Option("1,16,64", help="gates that are bootstrapped together, one row for each"),
    threads: int = typer.Option(1, min=1, max=256, help="cores that work at the same time, a batch each"),
    against: str = typer.Option("", help="openfhe: how to compare with it"),
) -> Answer:
    """Measure this machine: key, gates, packing, encryption. Milliseconds are medians of calls."""
    from octra.cli import fhe_bench

    return fhe_bench.bench(set_name, batch, threads, against)
