"""Keys made once: a TEST key for most tests, and one key each of the sets that users meet."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from octra.hfhe import params
from octra.hfhe.backend import PreparedKey
from octra.hfhe.backend_numpy import NumpyBackend
from octra.hfhe.keys import EvaluationKey, SecretKey
from octra.hfhe.params import ParameterSet

SEED = bytes(range(32))  # the seed of the frozen vectors, so that they need no keys of their own


@dataclass(frozen=True)
class Keys:
    """A secret key, what evaluators get of it, and that prepared for the NumPy backend."""

    params: ParameterSet
    secret: SecretKey
    evaluation: EvaluationKey
    backend: NumpyBackend
    prepared: PreparedKey


def make_keys(chosen: ParameterSet, seed: bytes) -> Keys:
    secret = SecretKey.generate(chosen, seed)
    evaluation = EvaluationKey.generate(secret, seed)
    backend = NumpyBackend()
    return Keys(chosen, secret, evaluation, backend, backend.prepare(evaluation))


@pytest.fixture(scope="session")
def toy() -> Keys:
    return make_keys(params.TEST, SEED)


@pytest.fixture(scope="session")
def keys_s() -> Keys:
    return make_keys(params.S, SEED)


@pytest.fixture(scope="session")
def keys_t() -> Keys:
    return make_keys(params.T, SEED)
