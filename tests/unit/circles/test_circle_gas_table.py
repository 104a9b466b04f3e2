"""The gas table: genesis names its hash, so it changes only on purpose, and the specification lists all of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from octra.circles.host.table import HOST_FUNCTIONS, gas_table_hash
from octra.circles.wasm import table
from octra.circles.wasm.opcodes import I64

ROOT = Path(__file__).parents[3]


def test_the_gas_table_has_its_frozen_hash() -> None:
    frozen = json.loads((ROOT / "tests" / "vectors" / "circles" / "gas.json").read_text("utf-8"))
    assert gas_table_hash().hex() == frozen["table_1"]


def test_the_specification_lists_every_host_function_with_its_signature() -> None:
    page = (ROOT / "docs" / "spec" / "circles.md").read_text("utf-8")
    listed = dict(re.findall(r"^\| `(host_\w+)\(([^)]*)\)", page, re.MULTILINE))
    assert set(listed) == set(HOST_FUNCTIONS)
    for name, parameters in listed.items():
        words = [word.strip() for word in parameters.split(",") if word.strip()]
        kinds = [I64 if word.endswith(": i64") else 0x7F for word in words]
        assert tuple(kinds) == HOST_FUNCTIONS[name].signature.parameters, name


def test_costs_follow_the_classes_of_instructions() -> None:
    assert table.COSTS[0x20] == 1  # local.get
    assert table.COSTS[0x28] == table.COSTS[0x3E] == 2  # first load, last store
    assert table.COSTS[0x6D] == table.COSTS[0x82] == table.COSTS[0x95] == table.COSTS[0x9F] == 8
    assert (table.COSTS[0x10], table.COSTS[0x11]) == (12, 20)
    assert table.call_cost(17, 800) == 20_000 + 17 * 4_000 + 100
