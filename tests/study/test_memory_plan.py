"""What the plan says of memory, and studies that a machine cannot hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.data.data import Space
from models.networks.mlp import MLPScore
from models.testing import tiny
from study.launch import main
from study.plan import memory
from study.plan.memory import gib, largest, machine_bytes, memory_problem, most_at_once
from study.schema.plan import PlannedMemory
from study.spec import loads

WIDE = "study: s\ndata: {name: patches, size: 32}\nmethod: [kl, jko]\ntrain: {width: 64}\n"
GRID = "design: {replicates: 4, step_size: [0.1, 0.2]}\n"


def planned(text: str, data: Space | None = None) -> PlannedMemory | None:
    return largest(loads(text, "s.yaml"), data or tiny.data((1, 32, 32)))


def test_the_largest_unit_is_found() -> None:
    one = planned(WIDE + GRID)
    assert one and (one.arm, one.replicates) == ("jko", 4)
    more = planned(WIDE + GRID.replace("0.2]", "0.2], kl: {batch_size: [8, 128]}, jko: {batch_size: 16}"))
    assert more and more.arm == "kl" and more.bytes > 2 * one.bytes * 0.3
    less = planned(WIDE.replace("64}", "64, micro_batch: 4}") + GRID)
    assert less and less.bytes < one.bytes / 4
    searched = planned(WIDE + "search: {replicates: 4, trials: 2, space: {batch_size: {choice: [8, 64]}}}")
    assert searched == one
    for knob, values in (("jko_weight", ("0.5", "0")), ("precision", ("fp64", "fp32")), ("particles", ("9999", "64"))):
        either, other = (planned(WIDE + GRID.replace("0.2]", f"0.2], jko: {{{knob}: [{', '.join(order)}]}}"))
                         for order in (values, values[::-1]))
        assert either == other and either.bytes >= one.bytes, knob
    assert planned(WIDE.replace("64}", "1}") + GRID) is None is planned(WIDE + GRID, tiny.data((2,)))


class Looking(MLPScore):
    """A network that cannot run without values."""

    def forward(self, x: Tensor) -> Tensor:
        assert torch.isfinite(x).all()
        return super().forward(x)


class Buffered(MLPScore):
    """One whose constant is a buffer."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.register_buffer("level", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.level


def test_of_a_network_from_outside_that_needs_values_nothing_is_known() -> None:
    for name, known in (("Looking", False), ("Buffered", True)):
        network = f"network: tests.study.test_memory_plan:{name}}}"
        assert (planned(WIDE.replace("width: 64}", network) + GRID) is not None) == known


def test_a_machine_that_cannot_hold_a_unit_is_told_before_the_first_trial(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """By a container's limit, here; which units need 1 GiB nobody has to find out from a killed worker."""
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "LIMITS", (limit,))
    limit.write_text("max\n")
    assert machine_bytes() > 2**30  # the machine's own
    limit.write_text(f"{2**28}\n")
    assert machine_bytes() == 2**28
    monkeypatch.chdir(tmp_path)
    larger = "64, batch_size: 512, particles: 512}"  # as much memory, and features that learn in a moment
    small = WIDE.replace("size: 32", "size: 8").replace("64}", larger)
    Path("s.yaml").write_text(small + GRID)
    assert main(["--space", "s.yaml", "--dry-run"]) == 0
    out, _ = capsys.readouterr()
    assert "memory: " in out and "; 1 of them at once, as this machine holds no more" in out
    assert "cannot run here: arm jko with 4 replicates needs " in out
    assert "this machine has 0.25 GiB; a smaller width, micro_batch" in out
    assert main(["--space", "s.yaml"]) == 2
    out, found = capsys.readouterr()
    assert "memory: " in out and "arm jko with 4 replicates needs " in found and "starting Ray" not in out
    limit.write_text(f"{4 * 2**30}\n")
    unit = PlannedMemory(arm="kl", replicates=1, bytes=2**30)
    assert [most_at_once(unit, 0, asked) for asked in (None, 1, 2, 9)] == [2, 1, 2, 2]
    huge = unit.model_copy(update={"bytes": 2**40})
    assert most_at_once(unit, "auto", None) == 2 and most_at_once(huge, 0, None) == 1
    assert most_at_once(unit, 0.5, 9) == 9 and most_at_once(None, 0, None) is None  # GPUs; small units
    assert memory_problem(PlannedMemory(arm="kl", replicates=1, bytes=2**40), 0.5) is None  # of a GPU elsewhere
    assert memory_problem(None, 0) is memory_problem(PlannedMemory(arm="kl", replicates=1, bytes=2**20), "auto") is None
    assert [gib(x * 2**30) for x in (0.25, 1.5, 23.4, 139)] == ["0.25 GiB", "1.5 GiB", "23 GiB", "139 GiB"]
