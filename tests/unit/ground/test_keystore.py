"""Key files: what opens them, what is refused, and what never shows."""

import base64
import json
import stat
from pathlib import Path

import pytest
from argon2.low_level import Type, hash_secret_raw
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.pwhash import argon2id

from octra import keystore
from octra.errors import OctraError

PASSPHRASE = "correct horse battery staple"
SECRET = keystore.Secret(1, keystore.WALLET_KIND, bytes(range(32)), b"e" * 16, "octra2", 3, "")
HEADER = keystore.Header("purse", keystore.WALLET_KIND, "octADDRESS", b"public", "2026-01-01T00:00:00Z")
SEALED = keystore.seal(SECRET, HEADER, PASSPHRASE, keystore.RANDOM_PASSPHRASE)


def test_the_passphrase_opens_what_was_sealed() -> None:
    assert keystore.open_sealed(SEALED, PASSPHRASE) == SECRET
    assert keystore.read_header(SEALED) == HEADER


def test_equal_letters_in_another_unicode_form_are_the_same_passphrase() -> None:
    sealed = keystore.seal(SECRET, HEADER, "caf\u00e9 au lait", keystore.RANDOM_PASSPHRASE)
    assert keystore.open_sealed(sealed, "cafe\u0301 au lait") == SECRET


def test_another_passphrase_does_not() -> None:
    with pytest.raises(keystore.WrongPassphrase):
        keystore.open_sealed(SEALED, PASSPHRASE + "!")


@pytest.mark.parametrize("field", ["name", "address", "public_key", "created_at", "id"])
def test_no_public_field_can_be_swapped(field: str) -> None:
    document = json.loads(SEALED)
    document[field] = base64.b64encode(b"other").decode()
    with pytest.raises(keystore.WrongPassphrase):
        keystore.open_sealed(json.dumps(document).encode(), PASSPHRASE)


@pytest.mark.parametrize(
    ("field", "value"),
    [("memory_kib", 2**21), ("passes", 11), ("lanes", 5), ("memory_kib", 0), ("passes", -1)],
)
def test_a_file_that_would_exhaust_the_machine_is_refused_before_any_work(field: str, value: int) -> None:
    document = json.loads(SEALED)
    document["kdf"][field] = value
    with pytest.raises(keystore.KdfOverLimit):
        keystore.open_sealed(json.dumps(document).encode(), PASSPHRASE)


def test_an_unknown_version_is_never_guessed() -> None:
    document = json.loads(SEALED) | {"version": 2}
    with pytest.raises(keystore.KeystoreVersion):
        keystore.open_sealed(json.dumps(document).encode(), PASSPHRASE)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_gives_a_typed_error(data: st.DataObject) -> None:
    raw = bytearray(SEALED)
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for damaged in (bytes(raw), SEALED[:cut]):
        try:
            opened = keystore.open_sealed(damaged, PASSPHRASE)
        except OctraError:
            continue
        assert opened == SECRET  # the change touched white space only


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{}", b"\xff\xfe", b"x" * 70_000, b'{"kind":"octra-keystore","version":1}', b'{"kind":[]}',
     SEALED.replace(b'"passes": 1', b'"passes": Infinity')],
)  # fmt: skip
def test_files_of_another_kind_are_told_apart(raw: bytes) -> None:
    with pytest.raises(keystore.KeyFileDamaged):
        keystore.open_sealed(raw, PASSPHRASE)


def test_the_file_shows_neither_seed_nor_passphrase_nor_the_size_of_its_content() -> None:
    bare = keystore.seal(
        keystore.Secret(1, "octra-keystore", bytes(32)), HEADER, PASSPHRASE, keystore.RANDOM_PASSPHRASE
    )
    assert len(json.loads(bare)["ciphertext"]) == len(json.loads(SEALED)["ciphertext"])
    for form in (SECRET.seed.hex(), base64.b64encode(SECRET.seed).decode(), PASSPHRASE):
        assert form.encode() not in SEALED


def test_a_secret_prints_as_secret() -> None:
    assert repr(SECRET) == str(SECRET) == "<secret>"


def test_our_argon2_and_libsodium_agree() -> None:
    salt = bytes(range(16))
    ours = hash_secret_raw(b"passphrase", salt, 3, 8192, 1, 32, Type.ID, 19)
    assert ours == argon2id.kdf(32, b"passphrase", salt, opslimit=3, memlimit=8192 * 1024)


def test_a_key_file_is_private_and_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "purse.json"
    keystore.write_file(path, b"old")
    keystore.write_file(path, SEALED)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert keystore.read_file(path) == SEALED
    assert [entry.name for entry in path.parent.iterdir()] == ["purse.json"]


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "purse.json"
    path.write_bytes(SEALED)
    path.chmod(0o644)
    with pytest.raises(keystore.KeyFileMode, match="chmod 600"):
        keystore.read_file(path)


def test_a_missing_key_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(keystore.KeyFileMissing, match="nowhere"):
        keystore.read_file(tmp_path / "nowhere.json")


@pytest.mark.parametrize("passphrase", ["short", "", "11 characte"])
def test_short_passphrases_are_refused(passphrase: str) -> None:
    with pytest.raises(keystore.WeakPassphrase):
        keystore.check_passphrase(passphrase)


@pytest.mark.parametrize("passphrase", ["twelve chars", "a b c d e"])
def test_twelve_characters_or_five_words_pass(passphrase: str) -> None:
    keystore.check_passphrase(passphrase)
