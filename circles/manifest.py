"""`circle.toml`: a Circle's name, methods and who may call them. All mistakes are told at once."""

from __future__ import annotations

import tomllib
import unicodedata
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from octra.circles import limits as chain
from octra.circles.errors import InvalidManifest
from octra.crypto.hash import H

FILE = "circle.toml"
_LATER = frozenset(("fhe", "cluster", "env"))


def _not_reserved(name: str) -> str:
    if name.startswith("octra"):
        raise PydanticCustomError("reserved", "names that begin with octra belong to the system")
    return name


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Version = Annotated[str, Field(pattern=r"^(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})$")]
MethodName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,63}$"), AfterValidator(_not_reserved)]
ValueType = Literal["null", "bool", "int", "string", "bytes", "any"]
Caller = Annotated[str, Field(pattern=r"^(any|owner|self|circle:oct[1-9A-HJ-NP-Za-km-z]{44})$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class CircleSection(_Section):
    """Name, version and kind of the Circle."""

    name: Name
    version: Version
    runtime: Literal["wasm_v1"]
    abi: Literal[1] = 1
    profile: Literal["standard"] = "standard"
    privacy: Literal["public"] = "public"
    browser: Literal["gateway_allowed", "gateway_denied"] = "gateway_allowed"
    resources: Literal["public_resources"] = "public_resources"


class BuildSection(_Section):
    """How `octra circle build` makes the module."""

    lang: Literal["rust", "cpp", "wat"]
    entry: str
    artifact: str = "program.wasm"

    @model_validator(mode="after")
    def _paths(self) -> BuildSection:
        for field, path in (("entry", self.entry), ("artifact", self.artifact)):
            problem = path_problem(path)
            if problem:
                raise PydanticCustomError("path_invalid", "{field}: {problem}", {"field": field, "problem": problem})
        return self


class LimitsSection(_Section):
    """Own limits of the Circle, never above the chain's."""

    max_stable_bytes: Annotated[int, Field(ge=0, le=chain.STABLE_BYTES_MAX)] = chain.STABLE_BYTES_MAX
    max_assets_bytes: Annotated[int, Field(ge=0, le=chain.ASSETS_BYTES_MAX)] = chain.ASSETS_BYTES_MAX
    max_inline_value: Annotated[int, Field(ge=1, le=chain.INLINE_VALUE_MAX)] = chain.INLINE_VALUE_MAX
    max_wasm_bytes: Annotated[int, Field(ge=1, le=chain.CODE_MAX)] = chain.CODE_MAX
    memory_pages: Annotated[int, Field(ge=1, le=chain.MEMORY_PAGES_MAX)] = chain.MEMORY_PAGES_MAX

    @model_validator(mode="after")
    def _inline_fits(self) -> LimitsSection:
        if self.max_inline_value > max(self.max_stable_bytes, 1):
            raise PydanticCustomError("cross_field", "max_inline_value exceeds max_stable_bytes")
        return self


class ArgumentEntry(_Section):
    """One argument of a method."""

    name: MethodName
    type: ValueType


class MethodEntry(_Section):
    """A method: an update writes, a query only reads."""

    kind: Literal["update", "query"]
    args: list[ArgumentEntry] = []
    ret: ValueType = "any"
    allow: list[Caller] = ["any"]
    payable: bool = False

    @model_validator(mode="after")
    def _query_takes_no_value(self) -> MethodEntry:
        if self.payable and self.kind == "query":
            raise PydanticCustomError("cross_field", "a query cannot be payable")
        return self


class HttpSection(_Section):
    """How the Circle's own site is served."""

    fallback: str = "/index.html"
    csp: Literal["strict", "wasm"] = "strict"


class UpgradeSection(_Section):
    """Who may replace the code."""

    mode: Literal["immutable", "owner"] = "owner"


class Manifest(_Section):
    """A whole checked manifest."""

    circle: CircleSection
    build: BuildSection
    limits: LimitsSection = LimitsSection()
    methods: Annotated[dict[MethodName, MethodEntry], Field(min_length=1, max_length=chain.METHODS_MAX)]
    http: HttpSection = HttpSection()
    upgrade: UpgradeSection = UpgradeSection()

    def canonical(self) -> bytes:
        """The bytes that the chain keeps: MessagePack with sorted keys, defaults written out."""
        return msgspec.msgpack.encode(self.model_dump(), order="deterministic")

    def hash(self) -> bytes:
        """What a Circle's record names."""
        return H("octra.c.manifest", self.canonical())


def load(path: Path) -> Manifest:
    """The manifest in a file; raises `InvalidManifest` with every mistake in it."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise InvalidManifest(path.name, [("manifest_missing", "", f"not found in {path.parent}")]) from error
    except UnicodeDecodeError as error:
        raise InvalidManifest(path.name, [("manifest_syntax", "", "the file is not UTF-8")]) from error
    return parse(text, path.name)


def parse(text: str, file: str = FILE) -> Manifest:
    """The manifest written in TOML."""
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidManifest(file, [("manifest_syntax", "", str(error))]) from error
    return _validate(fields, file)


def decode(canonical: bytes) -> Manifest:
    """The manifest behind canonical bytes, as a Circle's record holds them."""
    try:
        fields = msgspec.msgpack.decode(canonical)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidManifest("manifest", [("manifest_syntax", "", str(error))]) from error
    manifest = _validate(fields, "manifest")
    if manifest.canonical() != canonical:
        raise InvalidManifest("manifest", [("manifest_syntax", "", "the encoding is not canonical")])
    return manifest


def path_problem(path: str) -> str | None:
    """What is wrong with a relative path inside a package, or None."""
    if not path or len(path.encode("utf-8", "surrogatepass")) > chain.PACKAGE_PATH_MAX:
        return f"a path has 1 to {chain.PACKAGE_PATH_MAX} bytes"
    if unicodedata.normalize("NFC", path) != path:
        return "a path is written in Unicode's composed form"
    if any(ord(character) < 0x20 or character in "\\\x7f" for character in path) or not path.isprintable():
        return "a path has no control characters or backslashes"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "a path is relative, without empty, '.' or '..' parts"
    return None


def _validate(fields: object, file: str) -> Manifest:
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        raise InvalidManifest(file, [_problem(detail) for detail in error.errors()]) from None


def _problem(detail: ErrorDetails) -> tuple[str, str, str]:
    place = ".".join(str(part) for part in detail["loc"] if part != "[key]")
    kind, context = detail["type"], detail.get("ctx", {})
    got = f", got {_shown(detail['input'])}"
    match kind:
        case "extra_forbidden" if place in _LATER:
            return "field_unknown", place, "this release does not offer it yet"
        case "extra_forbidden":
            return "field_unknown", place, "unknown key"
        case "missing":
            return "field_type", place, "is required"
        case "literal_error" if place == "circle.runtime":
            return "runtime_unsupported", place, "expected wasm_v1" + got
        case "literal_error":
            return "field_range", place, f"expected {str(context['expected']).replace(chr(39), '')}{got}"
        case "path_invalid" | "cross_field":
            return kind, place, detail["msg"]
        case "string_pattern_mismatch":
            return "field_range", place, f"does not match {context['pattern']}{got}"
        case _ if kind.endswith("_type"):
            return "field_type", place, detail["msg"].removeprefix("Input should be ") + got
        case _:
            return "field_range", place, detail["msg"].removeprefix("Input should be ") + got


def _shown(value: Any) -> str:
    """A wrong value as its author wrote it, shortened; a manifest holds no secrets."""
    text = f'"{value}"' if isinstance(value, str) else "a table" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
