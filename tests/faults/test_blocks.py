"""Replicates are added and taken away while blocks of seeds are damaged or half trained: only what is missing is
trained, what has begun goes on, and the outcome is that of a study which had them all from the beginning."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.run import unit_run as trial
from study.schema.unit import Unit
from tests.faults.holdings import faults
from tests.faults.in_process import Round, restart
from tests.faults.tiny import held_here
from tests.study.test_launch_whole import Launch

pytestmark = pytest.mark.slow

SPEC = """\
study: tiny
data: moons
method: [kl]
train: {updates: 12, batch_size: 16, width: 4, particles: 64, mcmc_steps: 3}
design:
  replicates: 2
  step_size: [0.05]
evaluation: {points: 6, samples: 64, long_run: 2}
"""
MORE = "--set", "design.replicates=3"


@pytest.fixture
def study(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> Launch:
    Path("tiny.yaml").write_text(SPEC)
    monkeypatch.setattr(trial, "CHECKPOINT_SHARE", 0)
    restart(monkeypatch, Round())
    return launch


def blocks(begun: list[tuple[Unit, int]]) -> list[tuple[str, int]]:
    return [(unit.block, update) for unit, update in begun]


def test_of_a_damaged_block_before_others_only_its_seeds_run_again(
        study: Launch, begun: list[tuple[Unit, int]], caplog: pytest.LogCaptureFixture) -> None:
    assert study()[0] == 0 and study(*MORE)[0] == 0
    [records] = Path("runs/tiny").glob("*/0-1/records.parquet")
    records.write_bytes(records.read_bytes()[:-3])
    del begun[:]
    assert study(*MORE, database="new.db")[0::2] == (0, [])
    assert blocks(begun) == [("0-1", 0)]
    caplog.clear()
    assert study(*MORE, database="new.db")[0::2] == (0, []) and not caplog.messages
    assert blocks(begun) == [("0-1", 0)]
    held = held_here("new.db")
    assert faults(held) == [] and [key[1] for key in held.records] == ["0", "1", "2"]


def test_what_had_begun_goes_on_though_replicates_were_added(
        study: Launch, begun: list[tuple[Unit, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    restart(monkeypatch, Round((0, 4)))
    assert study()[0] == 130
    assert any("begun: design kl seeds 0-1" in line for line in study("--status", *MORE)[1])
    restart(monkeypatch, Round())
    del begun[:]
    assert study(*MORE)[0::2] == (0, [])
    assert blocks(begun) == [("0-1", 8), ("2-2", 0)]
    held = held_here()
    assert faults(held) == [] and [key[1] for key in held.records] == ["0", "1", "2"]


def test_a_block_that_other_blocks_made_needless_is_forgotten(
        study: Launch, begun: list[tuple[Unit, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun with three replicates, finished with two and one: nobody will continue the three."""
    restart(monkeypatch, Round((0, 4)))
    assert study(*MORE)[0] == 130
    restart(monkeypatch, Round())
    assert study()[0] == 0 and study(*MORE)[0] == 0
    assert blocks(begun) == [("0-2", 0), ("0-1", 0), ("2-2", 0)] and list(Path("runs/tiny").glob("*/0-2/checkpoint-*"))
    lines = study("--status", *MORE)[1]
    assert "units of work: 0 left" in lines and not any(line.startswith("begun") for line in lines)
    assert study(*MORE)[0] == 0 and not list(Path("runs/tiny").glob("*/*/checkpoint-*"))
