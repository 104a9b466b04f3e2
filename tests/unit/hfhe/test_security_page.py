"""The security page: every table agrees with the parameter sets, with the model, and with recorded measurements."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from octra.hfhe import bfv
from octra.hfhe.params import SETS, F, ParameterSet, S, T, failure_log2, variances

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/security/hfhe.md").read_text()
ESTIMATES = json.loads((ROOT / "benchmarks/security/estimates.json").read_text())
TEXT = " ".join(PAGE.split())


def table(first_cell: str) -> list[list[str]]:
    """The rows of the table whose header starts so, the header first."""
    lines = PAGE.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_cell} |"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return [rows[0], *rows[2:]]


def measured(name: str) -> Any:
    """The last recorded run of a set."""
    return json.loads(max((ROOT / "benchmarks/results").glob(f"noise-{name}-*.json")).read_text())


@pytest.fixture(scope="module")
def estimator() -> ModuleType:
    path = ROOT / "benchmarks/security/estimate.py"
    spec = importlib.util.spec_from_file_location("security_estimate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["security_estimate"] = module
    spec.loader.exec_module(module)
    return module


def test_the_table_of_sets_is_the_code() -> None:
    header, *rows = table("set")
    assert header[1:] == [params.name for params in SETS]
    expected = {
        "N": [params.N for params in SETS],
        "k": [params.k for params in SETS],
        "n": [params.n for params in SETS],
        "ring key": [params.ring_secret for params in SETS],
        "LWE key": [params.lwe_secret for params in SETS],
        "sigma, ring": [params.sigma_ring / 100 for params in SETS],
        "sigma, LWE": [params.sigma_lwe / 100 for params in SETS],
        "log2 of the key-switch modulus": [params.switch_log for params in SETS],
        "offered to users": ["yes" if params.secure else "no" for params in SETS],
    }
    shown = {row[0]: row[1:] for row in rows if row[0] != "for"}
    assert shown == {name: [f"{value}" for value in values] for name, values in expected.items()}


def test_the_estimates_are_the_recorded_ones() -> None:
    rows = {row[0]: row[1:] for row in table("instance")[1:]}
    assert set(rows) == set(ESTIMATES["estimates"]) - {"Kyber512"}
    for name, shown in rows.items():
        found = ESTIMATES["estimates"][name]
        bits = [found["usvp"]["bits"], found["bdd"]["bits"], found["dual"]["bits"], found["bits"]]
        assert shown == [*map(str, bits), str(ESTIMATES["recorded_before"].get(name, "-"))]


def test_every_set_for_users_keeps_128_bits_by_the_recorded_estimates() -> None:
    for params in SETS:
        if params.secure:
            for kind in ("ring", "lwe", "entry"):
                assert ESTIMATES["estimates"][f"{params.name} {kind}"]["bits"] >= 128


@pytest.mark.parametrize("params", [S, T], ids=lambda params: params.name)
def test_the_recorded_estimates_are_those_of_todays_sets(params: ParameterSet, estimator: ModuleType) -> None:
    for instance in estimator.rows(params)[:2]:
        recorded = ESTIMATES["estimates"][instance.name]
        for attack in estimator.attacks(instance):
            assert recorded[attack.name] == {"bits": round(attack.bits, 1), "chosen": attack.chosen}


def test_the_estimator_gives_the_figures_that_others_publish(estimator: ModuleType) -> None:
    lattice = sys.modules["lattice"]
    kyber = estimator.KYBER512
    usvp = lattice.usvp(kyber)
    assert (round(usvp.bits, 1), usvp.chosen) == (143.8, "beta 406, d 998")
    assert lattice.bdd(kyber).bits == pytest.approx(140.2, abs=0.15)
    assert lattice.dual_log2(kyber, 387, 5, 0, 50) == pytest.approx(139.65604, abs=1e-5)
    assert "143.8 and, at the parameters that the lattice-estimator prints, dual 139.66" in TEXT


def test_in_steps_of_ten_the_dual_attack_costs_what_was_recorded(estimator: ModuleType) -> None:
    lattice, recorded = sys.modules["lattice"], ESTIMATES["recorded_before"]
    instances = [instance for params in (S, T) for instance in estimator.rows(params)[:2]]
    found = {instance.name: round(lattice.dual(instance, step=10).bits, 1) for instance in instances}
    assert found == {
        **{name: recorded[name] for name in found},
        "S lwe": 131.5,
        "T ring": pytest.approx(129.9, abs=0.1),
    }
    assert "it gives 131.3 for the ring of S and 129.9 and 130.3 for T, as recorded" in TEXT


def test_less_noise_and_smaller_dimensions_are_easier(estimator: ModuleType) -> None:
    lattice = sys.modules["lattice"]
    ring, lwe = estimator.rows(S)[:2]
    for harder, easier in (
        (lwe, lattice.Instance("less noise", lwe.n, lwe.q, lwe.secret, lwe.error / 2)),
        (lwe, lattice.Instance("smaller", lwe.n - 40, lwe.q, lwe.secret, lwe.error)),
        (ring, lattice.Instance("larger modulus", ring.n, 4 * ring.q, ring.secret, ring.error)),
    ):
        for attack in (lattice.usvp, lattice.bdd):
            assert attack(easier).bits < attack(harder).bits - 1


def test_failure_probabilities_are_the_models() -> None:
    expected = [
        [
            f"{params.name}, 2^-{bits}",
            str(budgets.b8),
            f"{failure_log2(params, budgets.b8):.1f}",
            str(budgets.b4),
            f"{failure_log2(params, budgets.b4, margin=4):.1f}",
        ]
        for params in (S, F, T)
        for bits, budgets in sorted(params.budgets.items(), reverse=True)
    ]
    assert table("set, target")[1:] == expected
    assert f"A two-input gate of S fails with 2^{failure_log2(S, 2):.0f}." in TEXT


def test_the_measured_figures_are_the_recorded_ones() -> None:
    s, t = measured("S"), measured("T")
    assert f"{s['gates']:,} random gates of all kinds ({s['bootstraps']:,} bootstraps)" in TEXT
    assert f"**{s['wrong']} wrong**" in TEXT
    same = s["same_bytes"]
    assert f"{same['gates']:,} of them ran on every backend" in TEXT
    assert f"({', '.join(same['backends'])})" in TEXT
    assert f"{t['gates']:,} gates, {t['wrong']} wrong" in TEXT
    parts = ("rotation", "switching", "packing", "deciding")
    for part, shown in zip(parts, table("variance of")[1:], strict=True):
        of_s, of_t = s[part], t[part]
        assert shown[1:5] == [
            f"{of_s['model']:.4g}",
            f"{of_s['variance']:.4g}",
            f"{of_s['ratio']:.3f}",
            f"{of_s['fourth']:.2f}",
        ]
        assert shown[5:] == [f"{of_t['model']:.4g}", f"{of_t['variance']:.4g}", f"{of_t['ratio']:.3f}"]
    for tilt, shown in zip(s["tilted"], table("set S, XOR of")[1:], strict=True):
        assert shown[1:] == [
            f"{tilt['probability']:g}",
            f"{tilt['gates']:,}",
            str(tilt["expected"]),
            str(tilt["wrong"]),
        ]
    pairs = s["salted_pairs"]
    assert f"over {pairs['count']:,} pairs" in TEXT
    assert f"correlation {pairs['correlation']:+.4f} +- {pairs['error']:.4f}" in TEXT
    assert ", ".join(f"{mean:+.2f}" for mean in s["means_of_keys"]["switching"]) in TEXT


@pytest.mark.parametrize(("params", "gates"), [(S, 100_000), (T, 10_000)], ids=["S", "T"])
def test_what_was_measured_bears_the_model_out(params: ParameterSet, gates: int) -> None:
    found, model = measured(params.name), variances(params)
    assert found["gates"] >= gates
    assert found["wrong"] == 0
    assert found["keys"] == 4
    assert found["same_bytes"]["equal"]
    assert found["rotation"]["model"] == pytest.approx(model.rotation, rel=1e-3)
    assert found["switching"]["model"] == pytest.approx(model.key_switch + model.modulus_switch, rel=1e-3)
    assert found["measured"]["source"] < 1.1 * model.source
    assert found["measured"]["local"] < 1.1 * model.local
    for part in ("rotation", "switching", "packing"):
        assert found[part]["ratio"] == pytest.approx(1, abs=0.05)
        assert found[part]["fourth"] == pytest.approx(3, abs=0.15)
    assert all(abs(mean) < 1 for mean in found["means_of_keys"]["switching"])
    for tilt in found["tilted"]:
        spread = math.sqrt(tilt["expected"] * (1 - tilt["probability"]))
        assert abs(tilt["wrong"] - tilt["expected"]) < 4 * spread


def test_salted_copies_were_shown_to_be_almost_uncorrelated() -> None:
    pairs = measured("S")["salted_pairs"]
    assert pairs["count"] >= 10_000
    assert abs(pairs["correlation"]) + 3 * pairs["error"] < 0.03


def test_limits_of_bfv_vectors_are_the_codes() -> None:
    expected = [[str(size), str(limits.depth), f"{limits.summands:,}"] for size, limits in bfv.LIMITS.items()]
    assert table("size")[1:] == expected
    assert f"plain modulus {bfv.PLAIN_MODULUS}" in TEXT
    assert f"past +-{bfv.VALUE_MAX}" in TEXT


def test_the_two_security_pages_name_each_other() -> None:
    assert "(../security.md)" in PAGE
    assert "(security/hfhe.md)" in (ROOT / "docs/security.md").read_text()
