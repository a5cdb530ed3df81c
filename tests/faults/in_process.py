"""Rounds in this process, in place of Ray: one unit after the other, to the end or to a stop in the middle of one."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from study.launch import main
from study.run.unit_run import UnitRun
from study.store.units import Store
from tests.faults.holdings import Holdings
from tests.faults.tiny import held_here
from tests.stores import template
from tests.study.test_launch_whole import without_ray

Options = Callable[[Any], dict[str, Any]]


class Round:
    """As rounds.run_round. stop: (units that have ended, at least; advances of the next one) before it is interrupted.

    on_advance is called between two evaluation points, with how many units are finished.
    """

    def __init__(self, stop: tuple[int, int] | None = None, on_advance: Callable[[int], None] = lambda done: None,
                 ) -> None:
        self.stop, self.on_advance, self.done, self.advances = stop, on_advance, 0, 0

    def run_round(self, source: Any, monitor: Any, store: Store, *, options: Options, **rest: Any) -> bool:
        """Whether the round came to its end."""
        while (unit := source.next()) is not None:
            monitor.started(unit)
            worker = UnitRun(unit, store, **{**options(unit), "checkpoint_seconds": 0.0})
            self.advances = 0
            while True:
                if self.stop and self.stop[0] <= self.done and self.stop[1] == self.advances:
                    source.finished(unit, "interrupted")
                    monitor.interrupted(unit)
                    return False
                report = worker.advance()
                if notes := worker.take_notes():
                    monitor.noted(unit, "; ".join(notes))
                self.advances += 1
                self.on_advance(self.done)
                rungs = {} if report["done"] else dict(json.loads(report["rungs"]))
                is_pruned = report["update"] in rungs and source.should_prune(unit, rungs)
                if report["done"] or is_pruned:
                    break
            self.done += 1
            assert monitor.finished(unit, rungs if is_pruned else None)
            source.finished(unit, "pruned" if is_pruned else report["status"])
        return True


def restart(monkeypatch: pytest.MonkeyPatch, one: Round) -> None:
    """The next launches of this process have that round."""
    monkeypatch.setitem(sys.modules, "study.run.rounds", SimpleNamespace(run_round=one.run_round))


def undisturbed(spec: str, folder: Path, *words: str) -> Holdings:
    """What the study of this spec, trained in that empty folder, holds."""
    with pytest.MonkeyPatch.context() as patch:
        without_ray(folder, patch)
        restart(patch, Round())
        Path("tiny.yaml").write_text(spec)
        shutil.copy(template(), "mlflow.db")
        assert main(["--space", "tiny.yaml", *words]) == 0
        return held_here()
