"""The launch of tests/study/test_launch_whole.py, in this process, and from where each of its workers starts."""

from __future__ import annotations

from typing import Any

import pytest

from study.schema.unit import Unit
from study.store.units import Store
from tests.study.test_launch_whole import launch

__all__ = ["launch"]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Unit, int]]:
    """The unit of each worker, and the update of the checkpoint that it goes on from (0: it starts afresh)."""
    found: list[tuple[Unit, int]] = []
    latest = Store.latest_checkpoint

    def spy(self: Store, unit: Unit, *say: Any) -> tuple[int, bytes] | None:
        checkpoint = latest(self, unit, *say)
        found.append((unit, checkpoint[0] if checkpoint else 0))
        return checkpoint

    monkeypatch.setattr(Store, "latest_checkpoint", spy)
    return found
