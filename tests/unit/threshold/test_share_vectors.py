"""Bytes that other nodes rely on, against the frozen file."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "vectors" / "threshold"


def test_every_frozen_value_of_key_shares_is_reproduced() -> None:
    frozen = json.loads((FOLDER / "shares.json").read_text())
    made = json.loads(json.dumps(runpy.run_path(str(FOLDER / "make.py"))["vectors"]()))
    assert made.keys() == frozen.keys()
    for name, value in frozen.items():
        assert made[name] == value, name
