"""`octra fhe` as a person uses it, on real keys of set S in a fresh directory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from octra import keystore
from octra.cli.__main__ import main

Run = Callable[..., tuple[int, str, str]]

BOTH = "circuit both 1\nin a: u2\nin b: u2\nlet r = and(a, b)\nout r: u2\n"
CODE = """
from octra.hfhe.tracing import circuit
from octra.hfhe.words import word_type
U2 = word_type("u2")

@circuit
def both(a: U2, b: U2) -> U2:
    return a & b

@circuit
def branches(a: U2) -> U2:
    return a if a > 1 else a + 1
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with alice's key, made once."""
    directory = tmp_path_factory.mktemp("fhe")
    (directory / "passphrase").write_text("correct horse battery\n")
    (directory / "both.oct").write_text(BOTH)
    (directory / "code.py").write_text(CODE)
    before, standard = Path.cwd(), keystore.STANDARD
    os.chdir(directory)
    try:
        keystore.STANDARD = keystore.RANDOM_PASSPHRASE
        assert main(["fhe", "keygen", "--out", "alice", "--passphrase-file", "passphrase"]) == 0
        assert main(["fhe", "encrypt", "--key", "alice.public", "--type", "u2", "3", "--out", "w.ct"]) == 0
    finally:
        keystore.STANDARD = standard
        os.chdir(before)
    return directory


@pytest.fixture
def octra(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in that directory; gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(place)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the pause after a wrong passphrase

    def run(*words: str, passphrase: str = "passphrase") -> tuple[int, str, str]:
        code = main([*words, "--passphrase-file", passphrase])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_numbers_are_encrypted_computed_with_and_decrypted(octra: Run, place: Path) -> None:
    assert octra("fhe", "encrypt", "--key", "alice.public", "--type", "u2", "3", "2", "--out", "in.ct")[0] == 0
    code, out, _ = octra("fhe", "run", "both.oct", "--eval", "alice.eval", "a=in.ct[0]", "b=in.ct[1]", "--out", "r.ct")
    assert code == 0
    assert "2 bootstraps, 1 levels" in out
    assert "norm^2 2 of 5" in out
    code, out, _ = octra("fhe", "decrypt", "--key", "alice.secret", "r.ct")
    assert (code, out.splitlines()[0]) == (0, "r = 2")
    code, out, _ = octra("fhe", "decrypt", "--key", "alice.secret", "r.ct", "--json")
    data = json.loads(out)["data"]
    assert data["values"] == [{"name": "r", "type": "u2", "value": 2}]
    assert 0 < data["noise_ratio"] < 0.5
    assert (place / "alice.secret").stat().st_mode & 0o077 == 0
    assert (place / "in.ct").read_bytes()[:1] != b"3"


def test_typed_numbers_and_traced_python_run_in_one_command(octra: Run) -> None:
    words = ("fhe", "run", "code.py:both", "--eval", "alice.eval", "a=3", "b=1", "--secret", "alice.secret", "--json")
    code, out, _ = octra(*words)
    data = json.loads(out)["data"]
    assert code == 0
    assert data["values"][0]["value"] == 1
    assert data["bootstraps"] == 2
    assert data["widest"] == {"1/8": {"norm2": 2, "budget": 5}}
    assert data["log2_failure"] < -128
    assert data["seconds"] > 0


def test_costs_are_shown_without_a_key(octra: Run) -> None:
    code, out, _ = octra("fhe", "run", "adder64", "--plan", "--json")
    assert (code, json.loads(out)["data"]["bootstraps"]) == (0, 127)
    code, out, _ = octra("fhe", "run", "compare64", "--plan", "--open", "--json")
    assert (code, json.loads(out)["data"]["bootstraps"]) == (0, 191)


@pytest.mark.parametrize(
    ("file", "kind"),
    [("alice.public", "public key"), ("alice.eval", "evaluation key"), ("alice.secret", "key file (octra-fhe-key)"),
     ("w.ct", "ciphertext"), ("both.oct", "circuit")],
)  # fmt: skip
def test_inspect_tells_what_a_file_is(octra: Run, file: str, kind: str) -> None:
    code, out, _ = octra("fhe", "inspect", file, "--json")
    assert (code, json.loads(out)["data"]["kind"]) == (0, kind)


@pytest.mark.parametrize(
    ("words", "exit_code", "says"),
    [
        (["keygen", "--out", "alice"], 2, "nothing was written"),
        (["keygen", "--out", "other", "--set", "TEST"], 2, "insecure"),
        (["keygen", "--out", "other", "--set", "X"], 2, "there are S, F, T"),
        (["encrypt", "--key", "alice.public", "--type", "u8", "256", "--out", "x"], 2, "does not fit u8"),
        (["encrypt", "--key", "alice.public", "--type", "u99", "1", "--out", "x"], 2, "u1..u64"),
        (["encrypt", "--key", "alice.public", "seven", "--out", "x"], 2, "decimal"),
        (["encrypt", "--key", "alice.eval", "7", "--out", "x"], 2, "malformed key"),
        (["encrypt", "--key", "nobody.public", "7", "--out", "x"], 2, "cannot read"),
        (["run", "nothing"], 2, "no such example (examples: adder64, "),
        (["run", "both.oct", "--eval", "alice.eval", "a=1", "--out", "x"], 2, "b is not given"),
        (["run", "both.oct", "--eval", "alice.eval", "a=1", "q=1", "--out", "x"], 2, "give each of a, b once"),
        (["run", "both.oct", "--eval", "alice.eval", "a=1", "b=9", "--out", "x"], 2, "does not fit u2"),
        (["run", "both.oct", "a=1", "b=1"], 2, "--eval"),
        (["run", "both.oct", "--eval", "alice.eval", "a=1", "b=1"], 2, "--out"),
        (["run", "code.py:branches", "--plan"], 2, "select"),
        (["run", "code.py:missing", "--plan"], 2, "no @circuit named missing"),
        (["decrypt", "--key", "alice.public", "w.ct"], 6, "chmod 600"),
        (["decrypt", "--key", "nobody.secret", "both.oct"], 2, "malformed"),
        (["decrypt", "--key", "nobody.secret", "w.ct"], 6, "no key file"),
    ],
)
def test_mistakes_are_told_in_one_line(octra: Run, words: list[str], exit_code: int, says: str) -> None:
    code, out, err = octra("fhe", *words)
    assert says in err
    assert out == ""
    assert err.count("\n") <= 3
    assert code == exit_code


def test_a_wrong_passphrase_opens_nothing(octra: Run, place: Path) -> None:
    (place / "wrong").write_text("wrong horse battery\n")
    code, out, err = octra("fhe", "decrypt", "--key", "alice.secret", "w.ct", passphrase="wrong")
    assert (code, out) == (6, "")
    assert "wrong passphrase" in err


@pytest.mark.long
@pytest.mark.parametrize(("circuit", "values"), [
    ("adder64", {"sum": (2**64 - 5 + 123_456_789_012_345) % 2**64}), ("compare64", {"less": 0, "equal": 0}),
])  # fmt: skip
def test_shipped_64_bit_circuits_run_on_typed_numbers(octra: Run, circuit: str, values: dict[str, int]) -> None:
    words = ("fhe", "run", circuit, "--eval", "alice.eval", f"a={2**64 - 5}", "b=123_456_789_012_345")
    code, out, _ = octra(*words, "--secret", "alice.secret", "--json")
    got = {value["name"]: int(value["value"]) for value in json.loads(out)["data"]["values"]}
    assert (code, got) == (0, values)
