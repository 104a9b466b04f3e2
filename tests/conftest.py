"""How all tests run: hypothesis never judges by the clock, and draws the same examples in every CI run."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "octra",
    deadline=None,  # timings never stand in tests
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    derandomize=os.environ.get("CI") == "true",
    print_blob=True,
)
settings.load_profile("octra")
