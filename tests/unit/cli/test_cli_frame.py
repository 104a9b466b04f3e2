"""What all commands share: quick help, previews, arguments of methods, and checks of this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from octra.circles.identity import print_circle
from octra.cli import arguments
from octra.cli.commands import COMMANDS
from octra.cli.output import CommandFailed
from octra.cli.preview import Preview
from octra.consensus.circles import circle_id
from octra.primitives import parse_address

BOB = "oct89dkqqjMw9HTi1pqHbANSNwioHuMhmpTCXapTmfUr1EW"


def test_no_help_imports_anything_heavy() -> None:
    """One process asks for the help of every command in turn and stops at the first that drags something in."""
    probe = """
import io, contextlib, sys
from octra.cli.__main__ import main
for name in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()):
        assert main([name, "--help"]) == 0, name
    for heavy in ("numpy", "wasmtime", "starlette", "libp2p", "rocksdict", "trio"):
        assert heavy not in sys.modules, f"octra {name} --help imports {heavy}"
"""
    done = subprocess.run([sys.executable, "-c", probe, *COMMANDS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_preview_shows_all_that_is_signed_but_its_json_leaves_the_amount_out() -> None:
    shown = Preview("private transfer", bytes(32), BOB, 12_500_000, 8000, 3, 135, "octra:localnet-03030303", "little")
    for word in (
        "12.5 OCT",
        BOB,
        "veteran-pipe-unhappy-genuine",
        "0.008 OCT",
        "135",
        "octra:localnet-03030303",
        "little",
    ):
        assert word in shown.text()
    assert "12500000" not in str(shown.data())


@pytest.mark.parametrize(
    ("word", "kind", "value"),
    [
        ("7", "int", 7), ("-7", "any", -7), ("7", "string", "7"), ("true", "bool", True), ("null", "any", None),
        ("hex:00ff", "any", b"\x00\xff"), ("00ff", "bytes", b"\x00\xff"), ("seven", "any", "seven"), ("٧", "any", "٧"),
    ],
)  # fmt: skip
def test_words_become_arguments_of_the_declared_type(word: str, kind: str, value: object) -> None:
    parsed = arguments.parse(word, kind)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("word", "kind"), [("x", "int"), ("2", "bool"), ("0x", "bytes"), (str(2**63), "int"), ("true", "null")]
)
def test_words_of_another_type_are_usage_errors(word: str, kind: str) -> None:
    with pytest.raises(CommandFailed) as failure:
        arguments.parse(word, kind)
    assert failure.value.oct_code == 1002


def test_a_method_takes_exactly_as_many_arguments_as_it_declares() -> None:
    assert arguments.parse_all(["1", "x"], ["int", "string"]) == [1, "x"]
    with pytest.raises(CommandFailed, match="2 arguments"):
        arguments.parse_all(["1"], ["int", "string"])


def test_doctor_names_a_fix_for_each_line_that_is_not_fine(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octra.cli.doctor.DISK_MIN", 1 << 60)
    done = cli("doctor", "--json", "--node", "http://127.0.0.1:1")
    checks = {check["name"]: check for check in done.envelope["data"]["checks"]}
    assert done.code == 1
    assert (checks["disk"]["ok"], checks["python"]["ok"]) == (False, True)
    assert all(check["fix"] for check in checks.values() if not check["ok"])


def test_doctor_is_content_without_a_node(cli) -> None:
    done = cli("doctor", "--node", "http://127.0.0.1:1")
    assert done.code == 0
    assert "none answers" in done.out


def test_doctor_finds_key_files_that_others_can_read(cli, wallet: str, tmp_path: Path) -> None:
    (tmp_path / "home" / "wallets" / "default.json").chmod(0o644)
    done = cli("doctor", "--node", "http://127.0.0.1:1")
    assert done.code == 1
    assert "chmod 600" in done.out


def test_a_project_is_made_built_and_priced_from_the_shell(cli, node, wallet: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("circle", "new", "visits", "--lang", "wat").code == 0
    assert cli("circle", "new", "visits").code == 2
    built = cli("circle", "build", "visits", "--json").envelope["data"]
    assert "inc" in built["methods"]
    node.answers["octra_state"] = {"value": None, "height": 1}
    priced = cli("circle", "deploy", "visits", "--dry-run", "--json", "--node", node.url).envelope["data"]
    assert node.submitted == []
    parts = 5  # the program and four files of the site, each below one part
    owner, root = parse_address(wallet), bytes.fromhex(built["package_root"])
    assert priced["circle_id"] == print_circle(circle_id(owner, 1 + parts, root))
    assert int(priced["cost_units"]) > 200_000


def test_blobs_that_the_chain_holds_are_not_sent_again(cli, node, wallet: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    cli("circle", "new", "visits", "--lang", "wat")
    costs = []
    for value in (None, "AA=="):
        node.answers["octra_state"] = {"value": value, "height": 1}
        done = cli("circle", "deploy", "visits", "--dry-run", "--json", "--node", node.url)
        costs.append(int(done.envelope["data"]["cost_units"]))
    assert costs[0] - costs[1] >= 5 * 1_000


def test_a_manifest_mistake_is_exit_3_and_named(cli, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    cli("circle", "new", "visits", "--lang", "wat")
    file = tmp_path / "visits" / "circle.toml"
    file.write_text(file.read_text().replace('kind = "update"', 'kind = "updat"'))
    done = cli("circle", "build", "visits")
    assert done.code == 3
    assert "methods.inc.kind" in done.err


def test_keys_says_plainly_that_a_dealt_key_hides_nothing(cli, node) -> None:
    done = cli("keys", "--node", node.url)
    assert done.code == 0
    assert "hides nothing" in done.out
    assert "nothing is secret" in done.err


def test_a_circle_view_prints_the_value_alone(cli, node) -> None:
    from octra.circles import manifest

    text = '[circle]\nname="a"\nversion="1.0.0"\nruntime="wasm_v1"\n[build]\nlang="wat"\nentry="a.wat"\n'
    raw = manifest.parse(text + '[methods.get]\nkind="query"\n').canonical()
    node.answers["octra_state"] = {"value": __import__("base64").b64encode(raw).decode()}
    node.answers["circle_view"] = {"status": "ok", "value": 3, "detail": "", "gas": 44310, "height": 9}
    done = cli("circle", "view", print_circle(bytes(33)), "get", "--node", node.url)
    assert (done.code, done.out) == (0, "3\n")
    unknown = cli("circle", "view", print_circle(bytes(33)), "nope", "--node", node.url)
    assert unknown.code == 5
    assert "it has: get" in unknown.err
