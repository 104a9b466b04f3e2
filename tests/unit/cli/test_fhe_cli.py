"""`octra fhe` as a person uses it, on real keys of set S in a fresh directory."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from octra import keystore
from octra.cli.__main__ import main
from octra.hfhe import backend, params
from octra.hfhe.encrypted import encrypt_words
from octra.hfhe.keys import PublicKey, SecretKey

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

@circuit
def broken(a: U2) -> U2:
    return a + 1 // 0
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
        (["run", "both.oct", "--eval", "alice.eval", "a=w.ct[5]", "b=1", "--out", "x"], 2, "no word 5"),
        (["run", "both.oct", "--eval", "alice.public", "a=1", "b=1", "--out", "x"], 2, "OCT-8009"),
        (["run", "both.oct", "--eval", "alice.eval", "a=1", "b=1", "--out", "no/x"], 2, "no such directory"),
        (["run", "code.py:broken", "--plan"], 2, "code.py:16: ZeroDivisionError"),
        (["run", "code.py", "--plan"], 2, "name the function"),
        (["run", "both.oct", "--wrong"], 2, "no such option: --wrong"),
        (["encrypt", "--key", "alice.public", "--typ", "u8", "1", "--out", "x"], 2, "no such option: --typ"),
        (["encrypt", "--key", "alice.public", "--type", "bits", "012", "--out", "x"], 2, "0 and 1"),
        (["bench", "--batch", "1,x"], 2, "--batch"),
        (["bench", "--against", "openfhe"], 3, "./run bench hfhe"),
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


def test_a_plan_tells_the_expected_seconds_and_runs_nothing(octra: Run, place: Path) -> None:
    before = sorted(place.iterdir())
    code, out, _ = octra("fhe", "run", "both.oct", "--plan", "--threads", "1", "--json")
    data = json.loads(out)["data"]
    assert code == 0
    assert data["levels"] == 1
    assert 0 < data["expected_seconds"] < 60
    assert sorted(place.iterdir()) == before


def test_negative_numbers_and_texts_of_bits_are_encrypted(octra: Run) -> None:
    assert octra("fhe", "encrypt", "--key", "alice.public", "--type", "i8", "-5", "0x7f", "--out", "n.ct")[0] == 0
    _, out, _ = octra("fhe", "decrypt", "--key", "alice.secret", "n.ct", "--json")
    assert [value["value"] for value in json.loads(out)["data"]["values"]] == [-5, 127]
    assert octra("fhe", "encrypt", "--key", "alice.public", "--type", "bits", "0110", "--out", "b.ct")[0] == 0
    _, out, _ = octra("fhe", "decrypt", "--key", "alice.secret", "b.ct", "--json")
    assert [value["value"] for value in json.loads(out)["data"]["values"]] == [0, 1, 1, 0]


def test_numbers_come_from_a_file_or_from_standard_input(
    octra: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "numbers.txt").write_text("1\n2\n3\n")
    code, out, _ = octra("fhe", "encrypt", "--key", "alice.public", "--from", "numbers.txt", "--out", "f.ct", "--json")
    assert (code, json.loads(out)["data"]["count"]) == (0, 3)
    monkeypatch.setattr("sys.stdin", io.StringIO("4\n5\n"))
    code, out, _ = octra("fhe", "encrypt", "--key", "alice.public", "--out", "f.ct", "--json")
    assert (code, json.loads(out)["data"]["count"]) == (0, 2)


def test_a_result_is_the_next_input_by_its_name(octra: Run) -> None:
    words = ("fhe", "run", "both.oct", "--eval", "alice.eval")
    assert octra(*words, "a=3", "b=2", "--out", "first.ct")[0] == 0
    code, out, _ = octra(*words, "a=first.ct[r]", "b=first.ct", "--secret", "alice.secret", "--json")
    assert (code, json.loads(out)["data"]["values"][0]["value"]) == (0, 2)


def test_bristol_circuits_run(octra: Run, place: Path) -> None:
    (place / "full-adder.txt").write_text(
        "5 8\n3 1 1 1\n1 2\n\n2 1 0 1 3 XOR\n2 1 3 2 6 XOR\n2 1 0 1 4 AND\n2 1 3 2 5 AND\n2 1 4 5 7 XOR\n"
    )
    code, out, _ = octra("fhe", "inspect", "full-adder.txt", "--json")
    assert json.loads(out)["data"]["inputs"] == "in0:bit in1:bit in2:bit"
    words = ("fhe", "run", "full-adder.txt", "--eval", "alice.eval", "in0=1", "in1=1", "in2=0")
    code, out, _ = octra(*words, "--secret", "alice.secret", "--json")
    assert (code, json.loads(out)["data"]["values"]) == (0, [{"name": "out0", "type": "u2", "value": 2}])


def test_a_circuit_is_drawn(octra: Run, place: Path) -> None:
    code, _, _ = octra("fhe", "inspect", "both.oct", "--draw", "both.svg")
    assert (code, (place / "both.svg").read_text()[:4]) == (0, "<svg")
    code, _, err = octra("fhe", "inspect", "both.oct", "--draw", "both.oct")
    assert code == 2
    assert "ends in .svg" in err


def test_sizes_on_the_wire_and_at_rest(octra: Run, place: Path) -> None:
    _, out, _ = octra("fhe", "inspect", "alice.eval", "--json")
    parts = json.loads(out)["data"]["bytes_of_parts"]
    assert parts["bootstrap"] <= 16_000_000  # the seeded bootstrapping key
    assert sum(parts.values()) <= (place / "alice.eval").stat().st_size <= 24_000_000
    (place / "many.txt").write_text("7\n" * 64)
    assert (
        octra("fhe", "encrypt", "--key", "alice.public", "--type", "u64", "--from", "many.txt", "--out", "many.ct")[0]
        == 0
    )
    assert (place / "many.ct").stat().st_size <= 12 * 64 * 64
    _, out, _ = octra("fhe", "inspect", "many.ct", "--json")
    assert json.loads(out)["data"]["bytes_per_bit"] <= 12


def test_without_the_kernel_the_same_bytes_come_with_a_note(
    octra: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    octra("fhe", "encrypt", "--key", "alice.public", "--type", "u2", "3", "1", "--out", "in.ct")
    words = ("fhe", "run", "both.oct", "--eval", "alice.eval", "a=in.ct[0]", "b=in.ct[1]", "--out")
    assert octra(*words, "fast.ct")[0] == 0
    monkeypatch.setenv("OCTRA_NO_KERNEL", "1")
    backend._checked.cache_clear()
    try:
        code, out, err = octra(*words, "slow.ct")
        assert code == 0
        assert "backend numpy" in out
        assert "note: NumPy computes" in err
        assert "switched off by OCTRA_NO_KERNEL" in err
    finally:
        backend._checked.cache_clear()
    assert (place / "slow.ct").read_bytes() == (place / "fast.ct").read_bytes()


def test_bench_measures_every_batch_that_was_asked_for(octra: Run) -> None:
    code, out, _ = octra("fhe", "bench", "--set", "TEST", "--batch", "1,4", "--threads", "2", "--json")
    data = json.loads(out)["data"]
    assert (code, [row["batch"] for row in data["gates"]]) == (0, [1, 4])
    assert all(row["gates_per_second"] > 0 for row in data["gates"])
    assert {"seconds_keygen", "ms_encrypt", "ms_decrypt", "ms_pack"} <= data.keys()


def test_a_key_is_never_overwritten_by_a_ciphertext(octra: Run, place: Path) -> None:
    before = (place / "alice.eval").read_bytes()
    code, _, err = octra("fhe", "encrypt", "--key", "alice.public", "1", "--out", "alice.eval")
    assert (code, (place / "alice.eval").read_bytes()) == (2, before)
    assert "no ciphertext; nothing was written" in err


def test_a_key_of_another_id_is_told_before_the_passphrase_is_asked_for(octra: Run, place: Path) -> None:
    other = SecretKey.generate(params.S, bytes(32))
    words = encrypt_words(PublicKey.generate(other, bytes(32)), [("u8", 1)], bytes([1]) * 32)
    (place / "other.ct").write_bytes(words.encode())
    code, _, err = octra("fhe", "decrypt", "--key", "alice.secret", "other.ct", passphrase="no such file")
    assert code == 2
    assert "OCT-8010" in err


@pytest.mark.long
def test_a_ray_cluster_runs_a_circuit(octra: Run) -> None:
    pytest.importorskip("ray")
    words = ("fhe", "run", "both.oct", "--eval", "alice.eval", "a=3", "b=2", "--secret", "alice.secret")
    code, out, _ = octra(*words, "--ray", "local", "--json")
    data = json.loads(out)["data"]
    assert (code, data["values"][0]["value"]) == (0, 2)
    assert data["backend"].startswith("ray, 1 worker")
