"""The launch of tests/test_launch_whole.py, in this process, on a study with all three phases."""

import os

import pytest

from tests.test_launch_whole import launch, template

__all__ = ["launch", "template"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those with real Ray wait until each was seen to pass on an idle machine: FAULTS=1 runs them."""
    if not os.environ.get("FAULTS"):
        for item in items:
            if "tests/faults" in item.path.as_posix() and item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="FAULTS=1 runs the faults with real Ray"))
