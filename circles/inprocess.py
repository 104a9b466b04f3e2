"""`CircleEngine` without a process boundary: for tests, tools and `octra circle build`. Nodes use `ExecutorPool`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from octra.circles.engine import Backend
from octra.circles.runtime import Runtime
from octra.circles.state import CircleState
from octra.consensus.ports import CallOutcome, CircleCall, CircleView


class WasmEngine:
    """Checks and runs Circles in this very process."""

    def __init__(self, backend: Backend = "cranelift") -> None:
        self._runtime = Runtime(backend)

    def check(self, code: bytes) -> int:
        """Size of the metered code; raises `InvalidModule`."""
        return len(self._runtime.check(code).code)

    def execute(self, calls: Sequence[CircleCall], view: CircleView) -> Sequence[CallOutcome]:
        """Outcomes in the order of the calls."""
        outcomes: list[CallOutcome] = []
        self._runtime.run_all(calls, view, outcomes.append)
        return outcomes

    def query(self, call: CircleCall, view: CircleView) -> CallOutcome:
        """A view's outcome; nothing is written, whatever the flag in `call` says."""
        view_call = msgspec.structs.replace(call, view=True)
        return self._runtime.run(view_call, CircleState(view, call.circle, call.usage, call.balance))
