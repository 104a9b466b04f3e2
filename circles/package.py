"""A Circle as one file: a deterministic archive of manifest, module and site, with the roots that the chain records."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from octra.circles import limits, manifest
from octra.circles.assets import Asset, asset_of, media_type
from octra.circles.errors import InvalidPackage
from octra.circles.manifest import Manifest, path_problem
from octra.consensus.circles import blob_hash, file_leaf, tree_root

SITE = "site/"
PROGRAM = "program.wasm"


@dataclass(frozen=True, slots=True)
class Package:
    """A checked package: its files by path, and what follows from them."""

    files: Mapping[str, bytes]
    manifest: Manifest
    assets: tuple[Asset, ...]

    @property
    def code(self) -> bytes:
        return self.files[PROGRAM]

    @property
    def code_hash(self) -> bytes:
        """SHA-256 of the module, as existing tools show it."""
        return sha256(self.code).digest()

    @property
    def root(self) -> bytes:
        """The package root: commits to every file."""
        return tree_root(
            [file_leaf(path, media_type(path), "", blob_hash(data)) for path, data in sorted_files(self.files)]
        )

    @property
    def assets_root(self) -> bytes:
        """Commits to the site; 32 zero bytes without one."""
        return tree_root([asset.leaf for asset in self.assets])


def assemble(files: Mapping[str, bytes]) -> Package:
    """The package of these files; raises `InvalidPackage` or `InvalidManifest`."""
    for path in files:
        problem = path_problem(path)
        if problem:
            raise InvalidPackage("path_invalid", path[: limits.PACKAGE_PATH_MAX], problem)
    for required in (manifest.FILE, PROGRAM):
        if required not in files:
            raise InvalidPackage("file_missing", required)
    try:
        text = files[manifest.FILE].decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidPackage("manifest_syntax", manifest.FILE, "not UTF-8") from error
    checked = manifest.parse(text)
    code_limit = checked.limits.max_wasm_bytes
    if len(files[PROGRAM]) > code_limit:
        raise InvalidPackage("code_size", PROGRAM, f"{len(files[PROGRAM])} bytes exceed {code_limit}")
    assets = tuple(
        asset_of("/" + path.removeprefix(SITE), data) for path, data in sorted_files(files) if path.startswith(SITE)
    )
    size = sum(asset.size for asset in assets)
    if size > checked.limits.max_assets_bytes:
        raise InvalidPackage("assets_size", SITE, f"{size} bytes exceed {checked.limits.max_assets_bytes}")
    return Package(dict(sorted_files(files)), checked, assets)


def sorted_files(files: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """Files in the order of their path bytes."""
    return sorted(files.items(), key=lambda item: item[0].encode("utf-8"))


def write(package: Package) -> bytes:
    """The archive: uncompressed ustar, sorted, without owner, time or mode of the machine that made it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT, encoding="utf-8") as archive:
        for path, data in sorted_files(package.files):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.mtime = len(data), 0o644, 0
            try:
                archive.addfile(entry, io.BytesIO(data))
            except ValueError as error:  # a path that the format cannot split
                raise InvalidPackage("path_invalid", path, "too long for the archive") from error
    return out.getvalue()


def read(data: bytes) -> Package:
    """The package in an archive. Writing it again gives the same bytes, or it is refused."""
    if len(data) > limits.PACKAGE_MAX:
        raise InvalidPackage("package_size", "package", f"{len(data)} bytes exceed {limits.PACKAGE_MAX}")
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="strict") as archive:
            for entry in archive:
                content = archive.extractfile(entry) if entry.isreg() else None
                if content is None:
                    raise InvalidPackage("entry_kind", entry.name, "only plain files belong in a package")
                if entry.name in files:
                    raise InvalidPackage("duplicate", entry.name)
                files[entry.name] = content.read()
    except (tarfile.TarError, UnicodeDecodeError, OverflowError, ValueError, EOFError) as error:
        raise InvalidPackage("archive", "package", "not a readable archive") from error
    package = assemble(files)
    if write(package) != data:
        raise InvalidPackage("archive", "package", "not in the one form that packages have")
    return package
