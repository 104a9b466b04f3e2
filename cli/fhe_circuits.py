"""Circuits of `octra fhe`: where they come from, and what they cost."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any, Final

from octra.cli import fhe_files
from octra.cli.output import CommandFailed
from octra.errors import OctraError
from octra.hfhe.bristol import looks_like_bristol, read_bristol
from octra.hfhe.hypergraph import NAME, Graph
from octra.hfhe.params import ParameterSet
from octra.hfhe.plan import Plan
from octra.hfhe.text import parse
from octra.hfhe.tracing import Circuit

EXAMPLES: Final = Path(__file__).resolve().parents[1] / "hfhe" / "examples"


def load(name: str) -> Graph:
    """The circuit of a text or Bristol file, of a traced Python function, or of an example that the program brings."""
    path, _, function = name.partition(".py:")
    if function:
        return _traced(f"{path}.py", function)
    if is_example(name):
        return parse((EXAMPLES / f"{name}.oct").read_text("utf-8"))
    if not Path(name).exists() and not {".", "/"} & set(name):
        known = ", ".join(sorted(path.stem for path in EXAMPLES.glob("*.oct")))
        raise CommandFailed(1002, f"there is no file {name}, and no such example (examples: {known})")
    if name.endswith(".py"):
        raise CommandFailed(1002, f"name the function too: {name}:FUNCTION")
    try:
        text = fhe_files.read(name).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandFailed(8002, f"{name} is not a text") from error
    if looks_like_bristol(text):
        stem = Path(name).stem.lower().replace("-", "_")
        return read_bristol(text, stem if NAME.fullmatch(stem) else "bristol")
    return parse(text)


def is_example(name: str) -> bool:
    """Whether the name is a circuit that the program brings, and no file of the user's."""
    return "/" not in name and not Path(name).exists() and (EXAMPLES / f"{name}.oct").exists()


def cost(plan: Plan, params: ParameterSet) -> dict[str, Any]:  # JSON values
    """What running the plan takes and risks."""
    return {
        "set": params.name,
        "bootstraps": plan.bootstraps,
        "levels": plan.depth,
        "widest": {name: {"norm2": norm2, "budget": budget} for name, (norm2, budget) in plan.widest.items()},
        "log2_failure": round(plan.failure_log2(params), 1) if plan.steps else None,
        "plan_id": plan.plan_id.hex(),
        "graph_id": plan.graph.graph_id.hex(),
    }


def shown(value: object) -> str:
    """A fact as a cell of a table."""
    if isinstance(value, dict):
        return ", ".join(
            f"{name}: norm^2 {part['norm2']} of {part['budget']}" if isinstance(part, dict) else f"{name} {part:,}"
            for name, part in value.items()
        ) or "-"  # fmt: skip
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _traced(path: str, function: str) -> Graph:
    import runpy

    try:
        found = runpy.run_path(path).get(function)
        if not isinstance(found, Circuit):
            raise CommandFailed(8002, f"{path} has no @circuit named {function}")
        return found.graph
    except OctraError:
        raise
    except FileNotFoundError as error:
        raise CommandFailed(1002, f"cannot read {error.filename}: no such file") from error
    except Exception as error:  # the code is the user's: whatever it raises is told with its place, in one line
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        place = f"{path}:{lines[-1]}" if lines else path
        raise CommandFailed(8002, f"{place}: {type(error).__name__}: {error}") from error
