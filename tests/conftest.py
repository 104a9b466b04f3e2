"""How all tests run: hypothesis never judges by the clock, and draws the same examples in every CI run."""

import os

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler.loadscope import LoadScopeScheduling

settings.register_profile(
    "octra",
    deadline=None,  # timings never stand in tests
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    derandomize=os.environ.get("CI") == "true",
    print_blob=True,
)
settings.load_profile("octra")


class OneNetworkAtATime(LoadScopeScheduling):
    """Tests of one file share a worker, and with it their keys; all that start node processes share one.

    Two networks of five processes at once would only slow each other down on two cores.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "networks" if file.startswith("tests/e2e/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OneNetworkAtATime:
    """How `-n` shares out the tests."""
    return OneNetworkAtATime(config, log)
