"""The launch of tests/test_launch_whole.py, in this process, on a study with all three phases."""

from tests.test_launch_whole import launch, template

__all__ = ["launch", "template"]
