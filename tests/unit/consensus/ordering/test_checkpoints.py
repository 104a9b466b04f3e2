"""Checkpoints: strictly more than two thirds of the registered set, one pairing check."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from octra.consensus.checkpoint import (
    Checkpoint,
    CheckpointBody,
    Validator,
    assemble_checkpoint,
    good_parts,
    is_enough,
    registered_root,
    sign_checkpoint,
    signer_indices,
    verify_checkpoint,
    verify_part,
)
from octra.consensus.errors import InvalidCheckpoint
from octra.crypto import bls


@cache
def registered(count: int) -> tuple[tuple[Validator, ...], tuple[bls.SecretScalar, ...]]:
    """A registered set, sorted by node id, and its keys."""
    secrets = tuple(bls.SecretScalar.from_seed(bytes([index]) * 32) for index in range(count))
    return tuple(Validator(bytes([index]) * 32, secret.public()) for index, secret in enumerate(secrets)), secrets


def make_body(count: int = 6) -> CheckpointBody:
    validators, _ = registered(count)
    return CheckpointBody(
        1, "octra-test", 3, 77, b"b" * 32, b"s" * 32, b"e" * 32, registered_root(validators), len(validators)
    )


def make_checkpoint(signers: range, count: int = 6, body: CheckpointBody | None = None) -> Checkpoint:
    body = body or make_body(count)
    validators, secrets = registered(count)
    return assemble_checkpoint(body, validators, {i: sign_checkpoint(secrets[i], body) for i in signers})


@pytest.mark.parametrize(("count", "least"), [(1, 1), (2, 2), (3, 3), (4, 3), (6, 5), (9, 7)])
def test_more_than_two_thirds_suffice_and_exactly_two_thirds_do_not(count: int, least: int) -> None:
    validators, _ = registered(count)
    assert verify_checkpoint(make_checkpoint(range(least), count), validators) == make_body(count)
    with pytest.raises(InvalidCheckpoint):
        make_checkpoint(range(least - 1), count)


@given(st.integers(1, 128))
def test_two_quorums_of_a_checkpoint_share_more_than_a_third(count: int) -> None:
    least = next(signers for signers in range(count + 1) if is_enough(signers, count))
    assert 3 * (2 * least - count) > count


def test_a_bitmap_that_claims_more_signers_is_refused() -> None:
    validators, _ = registered(6)
    good = make_checkpoint(range(5))
    for signers in (b"\x3f", b"\x0f", b"\x5f", b"\x1f\x00", b""):
        with pytest.raises(InvalidCheckpoint):
            verify_checkpoint(replace(good, signers=signers), validators)


def test_any_other_body_or_set_is_refused() -> None:
    validators, _ = registered(6)
    good = make_checkpoint(range(5))
    for change in ({"state_root": bytes(32)}, {"height": 78}, {"chain_id": "octra-main"}, {"version": 2}):
        with pytest.raises(InvalidCheckpoint):
            verify_checkpoint(replace(good, body=replace(good.body, **change)), validators)
    others = tuple(replace(validator, bls_key=validators[0].bls_key) for validator in validators)
    with pytest.raises(InvalidCheckpoint):
        verify_checkpoint(good, others)
    with pytest.raises(InvalidCheckpoint):
        verify_checkpoint(replace(good, aggregate=bytes(48)), validators)


def test_a_part_is_checked_alone() -> None:
    validators, secrets = registered(6)
    body = make_body()
    part = sign_checkpoint(secrets[2], body)
    assert verify_part(validators[2], body, part)
    assert not verify_part(validators[3], body, part)
    assert not verify_part(validators[2], replace(body, epoch=4), part)


def test_bad_parts_among_good_ones_are_found() -> None:
    validators, secrets = registered(6)
    body = make_body()
    parts = {index: sign_checkpoint(secrets[index], body) for index in range(5)}
    assert good_parts(body, validators, parts) == parts
    spoiled = {**parts, 1: parts[2], 3: bytes(48)}
    assert good_parts(body, validators, spoiled) == {index: parts[index] for index in (0, 2, 4)}
    assert good_parts(body, validators, {1: parts[2]}) == {}


@given(st.sets(st.integers(0, 20)))
def test_the_bitmap_names_exactly_the_signers(signers: set[int]) -> None:
    bits = bytearray(3)
    for index in signers:
        bits[index // 8] |= 1 << index % 8
    assert signer_indices(bytes(bits), 21) == sorted(signers)
