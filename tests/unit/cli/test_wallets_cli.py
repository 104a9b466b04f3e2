"""The command line frame and the wallet commands, run as a person would."""

import json
from pathlib import Path

import pytest

from octra.cli.__main__ import main
from octra.cli.derive import DEFAULT_SCHEME, InvalidMnemonic, derive, entropy_of
from octra.crypto.ed25519 import SigningKey
from octra.primitives import address_of, print_address

ABOUT = "abandon " * 11 + "about"
KNOWN = {
    ("octra2", 0): "octCRus1yKzZbQoABuUhWQzcps8KhdqqQWxPzGciLgY698h",
    ("octra2", 1): "oct9XyMp2ZxUuAErz5L2MVRQJqwxfhZ4MVUKAg8QHPo39CN",
    ("octra1", 0): "octGxPMoNnmNCykCNiiNS4C7hTyacoUzJfYNQtYqTTR7UwP",
    ("walletgen", 0): "oct18tx8GhDtT7asbpwQgAuWfKDL7KDWZebdmNmPXqWeLMj",
    ("slip10", 0): "oct7dsajsytsETW16MjhkHW7m1wjadSs5w3mxZmTdVc2Snm",
}


@pytest.fixture
def octra(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Run a command in an empty home; gives (exit code, stdout, stderr)."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery\n")
    monkeypatch.setenv("OCTRA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("octra.keystore.STANDARD", __import__("octra.keystore").keystore.RANDOM_PASSPHRASE)

    def run(*words: str) -> tuple[int, str, str]:
        code = main([*words, "--passphrase-file", str(passphrase)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.mark.parametrize(("scheme", "index"), KNOWN)
def test_each_scheme_gives_the_address_that_other_wallets_show(scheme: str, index: int) -> None:
    key = SigningKey(derive(ABOUT, scheme, index))
    assert print_address(address_of(key.public)) == KNOWN[scheme, index]


@pytest.mark.parametrize("words", ["abandon " * 12, "abandon about", "hello world " * 6, ""])
def test_words_with_a_wrong_checksum_are_refused(words: str) -> None:
    with pytest.raises(InvalidMnemonic):
        entropy_of(words)


def test_a_new_wallet_shows_its_words_once_and_is_listed(octra) -> None:
    code, out, _ = octra("wallet", "new", "--name", "alice")
    assert code == 0
    words = next(line.strip() for line in out.splitlines() if len(line.split()) == 12)
    address = next(line.split()[-1] for line in out.splitlines() if line.startswith("address"))
    assert print_address(address_of(SigningKey(derive(words, DEFAULT_SCHEME)).public)) == address
    assert octra("wallet", "list")[1].splitlines()[1].split()[:2] == ["alice", address]


def test_an_existing_wallet_is_never_overwritten(octra) -> None:
    assert octra("wallet", "new")[0] == 0
    code, _, err = octra("wallet", "new")
    assert (code, "OCT-1109" in err) == (2, True)


def test_json_output_never_holds_the_words(octra) -> None:
    code, out, _ = octra("wallet", "new", "--json")
    envelope = json.loads(out)
    assert code == 0
    assert envelope["ok"] is True
    assert set(envelope["data"]) == {"name", "address", "public_key", "check_words"}


@pytest.mark.parametrize(("scheme", "index"), KNOWN)
def test_import_finds_the_derivation_that_gives_a_known_address(octra, tmp_path: Path, scheme: str, index: int) -> None:
    file = tmp_path / "words"
    file.write_text(ABOUT)
    code, out, _ = octra("wallet", "import", str(file), "--address", KNOWN[scheme, index], "--json")
    assert code == 0
    assert json.loads(out)["data"]["address"] == KNOWN[scheme, index]


def test_an_existing_wallet_file_is_imported_and_must_match_its_address(octra, tmp_path: Path) -> None:
    file = tmp_path / "wallet.json"
    file.write_text(json.dumps({"priv": "AQ" + "EB" * 20 + "E=", "addr": KNOWN["octra2", 0]}))
    assert octra("wallet", "import", str(file))[0] == 2
    file.write_text(
        json.dumps(
            {
                "priv": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
                "addr": "oct4XmjKEd9A96KhoMX94zWJmd28dcPisbWGYWtad1dQ9v5",
            }
        )
    )
    assert octra("wallet", "import", str(file))[0] == 0


@pytest.mark.parametrize("text", ["no key at all", "{", "{}", "ff" * 31, "\x00"])
def test_what_is_no_key_is_refused_without_being_repeated(octra, tmp_path: Path, text: str) -> None:
    file = tmp_path / "odd"
    file.write_text(text)
    code, out, err = octra("wallet", "import", str(file))
    assert code == 2
    assert "OCT-12" in err
    assert text not in out or not text.strip("\x00{}")


def test_secrets_are_not_exported_without_a_terminal(octra) -> None:
    octra("wallet", "new")
    assert octra("wallet", "export")[0] == 2
    assert octra("wallet", "export", "--json")[0] == 2


def test_a_missing_wallet_is_one_clear_line(octra) -> None:
    code, _, err = octra("wallet", "show", "nobody")
    assert code == 6
    assert len(err.strip().splitlines()) == 2


def test_unknown_commands_suggest_the_nearest(octra) -> None:
    code, _, err = octra("wallte")
    assert code == 2
    assert "did you mean wallet" in err


def test_errors_are_one_json_object_too(octra) -> None:
    code, out, _ = octra("wallet", "show", "nobody", "--json")
    envelope = json.loads(out)
    assert code == 6
    assert envelope["error"]["code"] == "OCT-1107"
    assert envelope["error"]["hint"]


def test_a_bad_option_is_an_envelope_too(octra) -> None:
    code, out, _ = octra("wallet", "new", "--wrods", "12", "--json")
    assert code == 2
    assert json.loads(out)["error"]["code"] == "OCT-1002"


@pytest.mark.parametrize("code", ["2104", "OCT-2104", "oct-2104"])
def test_explain_tells_what_to_do(octra, code: str) -> None:
    exit_code, out, _ = octra("explain", code)
    assert exit_code == 0
    assert "Insufficient balance" in out


def test_root_help_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    probe = (
        "import sys; from octra.cli.__main__ import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert "wallet" in done.stdout
    for heavy in ("typer", "rich", "numpy", "pydantic", "msgspec", "wasmtime", "starlette", "libp2p", "rocksdict"):
        assert f"'{heavy}'" not in done.stderr
