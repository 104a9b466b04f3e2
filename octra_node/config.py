"""A node's settings: `config.toml` in its data directory, checked before anything starts."""

from __future__ import annotations

import difflib
import os
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from octra.errors import InvalidInput

CONFIG_FILE = "config.toml"


class InvalidConfig(InvalidInput):
    """A setting is unknown or has a value that is not accepted."""

    oct_code = 1002


class UnknownSetting(InvalidConfig):
    """A setting that does not exist; the message names the nearest known one."""

    oct_code = 1001


class Role(StrEnum):
    """What a node does for the network."""

    BOOTSTRAP = "bootstrap"  # full state and history, first address that others dial
    STANDARD = "standard"  # orders, executes, evaluates
    LIGHT = "light"  # holds no state: follows checkpoints and verifies proofs


class Execution(StrEnum):
    """Which blocks a node executes itself."""

    ALL = "all"
    SPLIT = "split"  # those it has the duty for; of the others it applies deltas that f + 1 seats agree on


class Join(StrEnum):
    """How a node with an empty directory comes to the state of its chain."""

    AUTO = "auto"  # by a snapshot if a peer offers one; founders replay
    SNAPSHOT = "snapshot"  # only so
    REPLAY = "replay"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class NodeSection(_Section):
    """Which part the node plays."""

    role: Role = Role.STANDARD
    execution: Execution = Execution.ALL


class P2PSection(_Section):
    """Where other nodes reach this one, and whom it dials first."""

    listen: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/9000",)
    bootstrap: tuple[str, ...] = ()  # /ip4/ADDRESS/tcp/PORT/p2p/PEER_ID


class HttpSection(_Section):
    """JSON-RPC, REST and the explorer."""

    listen: str = "127.0.0.1:8080"
    public: bool = False  # listening beyond loopback needs this, and turns the rate limits on


class FheSection(_Section):
    """Work on ciphertexts."""

    evaluator: bool = True
    workers: int = Field(default=1, ge=1, le=64)  # threads of the evaluating process
    evaluation_key: str = "evaluation.key"  # relative to the data directory


class SnapshotsSection(_Section):
    """The state at the ends of epochs, for nodes that start without replaying what was before."""

    join: Join = Join.AUTO
    checkpoint: str = ""  # id that is trusted beside the genesis, 64 hex digits
    make: bool = True
    every_epochs: int = Field(default=0, ge=0)  # 0: each for a bootstrap node, every eighth for others


class LogSection(_Section):
    """What is written about the node's life."""

    level: str = Field(default="info", pattern="^(debug|info|warning|error)$")


class Config(_Section):
    """All settings of a node."""

    node: NodeSection = NodeSection()
    p2p: P2PSection = P2PSection()
    http: HttpSection = HttpSection()
    fhe: FheSection = FheSection()
    snapshots: SnapshotsSection = SnapshotsSection()
    log: LogSection = LogSection()


def load(directory: Path) -> Config:
    """The settings of a data directory, with OCTRA_NODE__SECTION__KEY variables on top; raises `InvalidConfig`."""
    path = directory / CONFIG_FILE
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise _NoConfig(directory) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{path}: {error}") from error
    prefix = "OCTRA_NODE__"
    for variable, value in sorted(os.environ.items()):
        if variable.startswith(prefix):
            section, _, key = variable[len(prefix) :].lower().partition("__")
            document.setdefault(section, {})[key] = value
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        raise _explain(path, error) from error


def dump(config: Config) -> str:
    """The settings as TOML, one key a line."""
    lines: list[str] = []
    for section, values in config.model_dump(mode="json").items():
        lines.append(f"[{section}]")
        lines.extend(f"{key} = {_toml(value)}" for key, value in values.items())
        lines.append("")
    return "\n".join(lines)


class _NoConfig(InvalidConfig):
    oct_code = 1003

    def __init__(self, directory: Path) -> None:
        super().__init__(f"no node lives in {directory}")


def _explain(path: Path, error: ValidationError) -> InvalidConfig:
    first = error.errors(include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(where, _known_keys(), 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return UnknownSetting(f"{path}: unknown setting {where}{hint}")
    return InvalidConfig(f"{path}: {where}: {first['msg']}")


def _known_keys() -> list[str]:
    sections = {name: field.annotation for name, field in Config.model_fields.items()}
    return [f"{name}.{key}" for name, kind in sections.items() if kind and not get_args(kind)
            for key in kind.model_fields]  # fmt: skip


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case list() | tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case _:
            raise AssertionError(type(value))
