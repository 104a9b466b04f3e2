"""How all tests run: hypothesis never judges by the clock, and draws the same examples in every CI run."""

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "octra",
    deadline=None,  # timings never stand in tests
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    derandomize=os.environ.get("CI") == "true",
    print_blob=True,
)
settings.load_profile("octra")


@pytest.hookimpl(tryfirst=True)  # the plugin that reads the groups does so in this same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file share a worker, and with it their keys; all that start node processes share one.

    Two networks of five processes at once would only slow each other down on two cores.
    """
    for item in items:
        group = "localnet" if item.get_closest_marker("process") else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
