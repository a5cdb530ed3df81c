"""How long the fuzz tests run: the same examples every time, or, with FUZZ=n, n times as many random ones."""

import os

from hypothesis import HealthCheck, Phase, settings

FACTOR = int(os.environ.get("FUZZ", "0"))


def budget(examples: int, shrink: bool = True) -> settings:
    """Settings of a test. shrink: whether a failing example is made small (a mutant's seed cannot be)."""
    return settings(max_examples=examples * max(1, FACTOR), derandomize=not FACTOR, database=None, deadline=None,
                    print_blob=True, suppress_health_check=list(HealthCheck),
                    phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate])
