"""Bytes that evaluators compare: ids of circuits and plans, and a whole run of the test set, frozen.

Run this file as a program to write the vectors again: only with a new planner version or graph version.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from octra.consensus import circuits
from octra.crypto.hash import H
from octra.hfhe import params
from octra.hfhe.backend import choose
from octra.hfhe.builder import decode
from octra.hfhe.encrypt import encrypt_bits
from octra.hfhe.execute import Completed, Job, LocalExecutor
from octra.hfhe.hypergraph import Graph
from octra.hfhe.keys import EvaluationKey, SecretKey
from octra.hfhe.plan import PLANNER_VERSION, Plan
from octra.hfhe.planner import make_plan
from octra.hfhe.text import parse

ROOT = Path(__file__).resolve().parents[3]
VECTORS = ROOT / "tests" / "vectors" / "hfhe" / "circuits.json"
BUDGETS = {
    "S-128": (params.S, 128), "S-64": (params.S, 64), "F-64": (params.F, 64),
    "T-128": (params.T, 128), "T-64": (params.T, 64), "TEST-128": (params.TEST, 128),
}  # fmt: skip


def graphs() -> dict[str, Graph]:
    examples = sorted((ROOT / "hfhe" / "examples").glob("*.oct"))
    return {path.stem: parse(path.read_text("utf-8")) for path in examples}


def facts(plan: Plan) -> dict[str, object]:
    return {"plan_id": plan.plan_id.hex(), "bootstraps": plan.bootstraps, "depth": plan.depth}


def run_digest(graph: Graph) -> str:
    """Sources, outputs and packed outputs of a run with fixed seeds."""
    secret = SecretKey.generate(params.TEST, bytes(range(32)))
    evaluation = EvaluationKey.generate(secret, bytes(range(32)))
    backend = choose()
    key = backend.prepare(evaluation)
    inputs = encrypt_bits(evaluation.public, [1, 0] * (graph.input_bits // 2), b"i" * 32)
    job = Job(make_plan(graph, params.TEST), inputs, b"c" * 32, keep_steps=True)
    (result,) = LocalExecutor(backend, key, threads=1).run([job])
    assert isinstance(result, Completed)
    assert result.steps is not None
    parts = (result.steps, result.outputs, backend.pack(key, result.outputs))
    return H("octra.test", *(np.ascontiguousarray(part, "<u4").tobytes() for part in parts)).hex()


def vectors() -> dict[str, object]:
    made = graphs()
    balances = {"debit": circuits.debit, "withdraw": circuits.withdraw, "credit": circuits.credit}
    return {
        "planner_version": PLANNER_VERSION,
        "graphs": {name: {"bytes": graph.encode().hex(), "id": graph.graph_id.hex()} for name, graph in made.items()},
        "plans": {
            f"{name} {at}": facts(make_plan(graph, *budget))
            for name, graph in made.items()
            for at, budget in BUDGETS.items()
        },
        "balances": {
            f"{name} {at}": facts(make(*BUDGETS[at]).plan)
            for name, make in balances.items()
            for at in ("T-128", "T-64", "TEST-128")
        },
        "run": run_digest(made["score"]),
    }


def test_ids_of_circuits_and_plans_and_the_bytes_of_a_run_are_frozen() -> None:
    assert vectors() == json.loads(VECTORS.read_text())


def test_frozen_circuits_decode_to_themselves() -> None:
    for entry in json.loads(VECTORS.read_text())["graphs"].values():
        graph = decode(bytes.fromhex(entry["bytes"]))
        assert graph.encode().hex() == entry["bytes"]
        assert graph.graph_id.hex() == entry["id"]


if __name__ == "__main__":
    VECTORS.write_text(json.dumps(vectors(), indent=1, sort_keys=True) + "\n")
