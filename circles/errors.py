"""Errors of Circles: the author's fault, the call's own failure, or the node's trouble."""

from __future__ import annotations

from collections.abc import Sequence

from octra.errors import InvalidInput, Unavailable


class InvalidModule(InvalidInput):
    """The wasm module breaks `rule`, in `function` (its index, or -1), at byte `offset` of the file."""

    oct_code = 6002

    def __init__(self, rule: str, function: int, offset: int, detail: str = "") -> None:
        where = f"function {function}, byte {offset}" if function >= 0 else f"byte {offset}"
        super().__init__(f"module refused: {rule} ({where})" + (f": {detail}" if detail else ""))
        self.rule, self.function, self.offset, self.detail = rule, function, offset, detail


class InvalidManifest(InvalidInput):
    """The manifest has mistakes; `problems` lists all of them as (code, place, explanation)."""

    oct_code = 6003

    def __init__(self, file: str, problems: Sequence[tuple[str, str, str]]) -> None:
        super().__init__(
            "\n".join(f"{file}: {place}: {text}" if place else f"{file}: {text}" for _, place, text in problems)
        )
        self.file, self.problems = file, tuple(problems)


class InvalidPackage(InvalidInput):
    """A package or a project breaks `rule` at `path`."""

    oct_code = 6003

    def __init__(self, rule: str, path: str, detail: str = "") -> None:
        super().__init__(f"{path}: {rule}" + (f": {detail}" if detail else ""))
        self.rule, self.path, self.detail = rule, path, detail


class InvalidFrame(InvalidInput):
    """A request or response frame does not decode."""

    oct_code = 6002

    def __init__(self, reason: str) -> None:
        super().__init__(f"frame refused: {reason}")
        self.reason = reason


class CallFailed(InvalidInput):
    """The call ends here with `status`, a word of the receipt; nothing that it wrote stays."""

    oct_code = 6004

    def __init__(self, status: str, detail: str = "") -> None:
        super().__init__(f"{status}: {detail}" if detail else status)
        self.status, self.detail = status, detail


class BuildFailed(InvalidInput):
    """A compiler refused the project's source; `output` is what it said."""

    oct_code = 6002

    def __init__(self, command: str, output: str) -> None:
        super().__init__(f"{command} failed:\n{output}")
        self.command, self.output = command, output


class ToolchainMissing(Unavailable):
    """This machine cannot compile `language`; `remedy` is the exact line that changes that."""

    oct_code = 6003

    def __init__(self, language: str, missing: str, remedy: str) -> None:
        super().__init__(f"cannot compile {language} here: {missing}\ninstall it:  {remedy}")
        self.language, self.missing, self.remedy = language, missing, remedy


class ExecutorUnavailable(Unavailable):
    """The node could not execute the call (a crash, a stall, no memory): no result, and never a verdict on it."""

    oct_code = 5031

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot execute Circles now: {reason}")
        self.reason = reason


class EngineDisagrees(ExecutorUnavailable):
    """The engine refuses a module that the rules accept: a fault of this node, never of the module."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the engine refuses a module that the rules accept ({reason})")
