"""The package: one form only, roots that commit to everything, and strict reading."""

from __future__ import annotations

import io
import tarfile
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octra.circles import package
from octra.circles.assets import media_type
from octra.circles.errors import InvalidManifest, InvalidPackage
from octra.circles.testing import contract
from octra.consensus.circles import blob_hash, file_leaf, tree_root
from octra.crypto.hash import EMPTY_ROOT

MANIFEST = b"""
[circle]
name = "ballot"
version = "1.2.0"
runtime = "wasm_v1"
[build]
lang = "wat"
entry = "src/ballot.wat"
[limits]
max_assets_bytes = 1000
[methods.tally]
kind = "query"
"""
FILES = {
    "circle.toml": MANIFEST,
    "program.wasm": contract(),
    "site/index.html": b"<!doctype html>",
    "site/css/a.css": b"a{}",
    "README.md": b"# ballot",
}


def archive_of(files: dict[str, bytes], **entry_fields: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            entry.mode = 0o644
            for name, value in entry_fields.items():
                setattr(entry, name, value)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def test_writing_and_reading_give_the_same_package_and_bytes() -> None:
    packed = package.assemble(FILES)
    data = package.write(packed)
    assert package.read(data) == packed
    assert package.write(package.read(data)) == data


def test_the_order_in_which_files_are_given_changes_nothing() -> None:
    assert package.write(package.assemble(FILES)) == package.write(package.assemble(dict(reversed(FILES.items()))))


@given(st.sampled_from(sorted(FILES)), st.binary(min_size=1, max_size=5))
def test_the_root_commits_to_every_byte_of_every_file(path: str, tail: bytes) -> None:
    if path in ("circle.toml", "program.wasm"):
        tail = b"\n#" + tail.hex().encode() if path == "circle.toml" else tail
    changed = package.assemble(FILES | {path: FILES[path] + tail})
    assert changed.root != package.assemble(FILES).root


def test_roots_and_hashes_are_those_of_the_rule() -> None:
    packed = package.assemble(FILES)
    assert packed.code_hash == sha256(FILES["program.wasm"]).digest()
    assert [asset.path for asset in packed.assets] == ["/css/a.css", "/index.html"]
    leaves = [
        file_leaf("/css/a.css", "text/css; charset=utf-8", "", blob_hash(b"a{}")),
        file_leaf("/index.html", "text/html; charset=utf-8", "", blob_hash(b"<!doctype html>")),
    ]
    assert packed.assets_root == tree_root(leaves)
    without_site = {path: data for path, data in FILES.items() if not path.startswith("site/")}
    assert package.assemble(without_site).assets_root == EMPTY_ROOT


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "archive"),
        (b"no archive at all" * 100, "archive"),
        (package.write(package.assemble(FILES))[:-512], "archive"),
        (package.write(package.assemble(FILES)) + bytes(10_240), "archive"),
        (archive_of(dict(sorted(FILES.items())), mtime=1), "archive"),
        (archive_of(dict(sorted(FILES.items())), mode=0o755), "archive"),
        (archive_of(dict(sorted(FILES.items())), uname="root"), "archive"),
        (archive_of(dict(sorted(FILES.items(), reverse=True))), "archive"),
        (archive_of(FILES, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "entry_kind"),
        (archive_of({"../evil": b""} | FILES), "path_invalid"),
        (archive_of({"circle.toml": MANIFEST}), "file_missing"),
    ],
)
def test_archives_in_any_other_form_are_refused(data: bytes, rule: str) -> None:
    with pytest.raises(InvalidPackage) as refusal:
        package.read(data)
    assert refusal.value.rule == rule


def test_a_path_twice_is_refused() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("README.md"))
    with pytest.raises(InvalidPackage) as refusal:
        package.read(out.getvalue())
    assert refusal.value.rule == "duplicate"


def test_the_manifest_inside_is_checked() -> None:
    with pytest.raises(InvalidManifest):
        package.assemble(FILES | {"circle.toml": b"[circle]"})
    with pytest.raises(InvalidPackage, match="UTF-8"):
        package.assemble(FILES | {"circle.toml": b"\xff"})


def test_a_site_beyond_the_manifests_limit_is_refused() -> None:
    with pytest.raises(InvalidPackage) as refusal:
        package.assemble(FILES | {"site/big.bin": bytes(1_000)})
    assert refusal.value.rule == "assets_size"


@given(st.binary(max_size=2_000))
def test_damaged_archives_never_crash_the_reader(noise: bytes) -> None:
    whole = package.write(package.assemble(FILES))
    place = len(noise) * 7 % len(whole)
    with pytest.raises((InvalidPackage, InvalidManifest)):
        package.read(whole[:place] + noise + b"\x01" + whole[place:])


@pytest.mark.parametrize(
    ("path", "media"),
    [
        ("/a.HTML", "text/html; charset=utf-8"),
        ("/a.b/c", "application/octet-stream"),
        ("/x.exe", "application/octet-stream"),
        ("/.html", "text/html; charset=utf-8"),
    ],
)
def test_media_types_come_from_the_list_only(path: str, media: str) -> None:
    assert media_type(path) == media
