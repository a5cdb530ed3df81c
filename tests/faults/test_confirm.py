"""What counts as confirmed: the best of the whole search, whatever was lost on the way and however the search grew."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from analysis.read.load import load
from analysis.read.study import Study
from study.run.unit_run import UnitRun
from study.store.units import Store
from tests.faults.holdings import Holdings, differences
from tests.faults.in_process import Round, restart, undisturbed
from tests.faults.tiny import held_here
from tests.study.test_launch_whole import Launch, shown

pytestmark = [pytest.mark.slow,
              pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]  # MLflow's own use of SQLAlchemy

SPEC = """\
study: tiny
data: moons
method: [kl]
train: {updates: 12, batch_size: 16, width: 4, particles: 64, mcmc_steps: 3}
search:
  replicates: 1
  sampler: random
  trials: 5
  space:
    step_size: {log: [0.02, 0.5]}
confirm: {top: 1, replicates: 2}
evaluation: {points: 2, samples: 64, long_run: 2}
"""
WAITS = "confirm kl: waits for what was lost; the same command tries that once more, then confirms the best"


class Loses(Round):
    """It loses one unit."""

    def __init__(self, config_hash: str) -> None:
        super().__init__()
        self.config_hash = config_hash

    def run_round(self, source: Any, monitor: Any, store: Store, *, options: Any, **rest: Any) -> bool:
        while (unit := source.next()) is not None:
            monitor.started(unit)
            if unit.config_hash == self.config_hash:
                source.finished(unit, "lost")
                monitor.lost(unit, "it raised twice", False)
                continue
            worker = UnitRun(unit, store, **options(unit))
            while not (report := worker.advance())["done"]:
                pass
            assert monitor.finished(unit, None)
            source.finished(unit, report["status"])
        return True


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Holdings, str, str]:
    """What an undisturbed study holds; which trial of its search is the best, and what was confirmed of it."""
    held = undisturbed(SPEC, tmp_path_factory.mktemp("calm"))
    [confirmed] = [unit.partition("/")[0] for unit, (phase, _) in held.phases.items() if phase == "confirm"]
    best = min((entry for entry in held.journals["kl"]), key=lambda entry: entry["values"])
    return held, best["unit"].partition("/")[0], confirmed


@pytest.fixture(autouse=True)
def spec(launch: Launch) -> None:
    Path("tiny.yaml").write_text(SPEC)


def phases() -> list[str]:
    """Of what is done, of each unit."""
    return sorted(phase for phase, _ in held_here().phases.values())


def report() -> Study:
    """What the report has, read from MLflow anew."""
    shutil.rmtree("cache", ignore_errors=True)
    return load("tiny", f"sqlite:///{Path.cwd()}/mlflow.db", cache="cache")


def confirmed_in(study: Study) -> set[str]:
    return set(study.finals.loc[study.finals["phase"] == "confirm", "config_hash"])


@pytest.mark.parametrize("damaged", [False, True])
def test_a_lost_unit_holds_up_the_confirmation_until_it_is_finished(
        damaged: bool, launch: Launch, calm: tuple[Holdings, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever became of the note of what was lost: it may only hold up once more."""
    undisturbed, best, _ = calm
    for _ in range(1 + damaged):
        restart(monkeypatch, Loses(best))
        code, lines, errors = launch()
        assert code == 1 and best in errors[0] and WAITS in lines and phases() == ["search"] * 4
        if damaged:
            Path("runs/tiny/lost.json").write_text("[3]")
    restart(monkeypatch, Round())
    code, lines, errors = launch()
    assert (code, errors) == (0, []) and WAITS not in lines
    assert differences(undisturbed, held_here()) == []


def test_what_is_lost_twice_is_not_waited_for_and_counts_again_when_it_is_finished(
        launch: Launch, calm: tuple[Holdings, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Then another was confirmed in its place: that stays in MLflow, and the report has the best of the whole alone."""
    _, best, confirmed = calm
    restart(monkeypatch, Loses(best))
    assert launch()[0] == 1
    code, lines, _ = launch()
    assert code == 1 and WAITS not in lines and phases() == ["confirm", *["search"] * 4]
    [stopgap] = confirmed_in(report())
    restart(monkeypatch, Round())
    old = "confirm: 1 configuration confirmed earlier does not count: these settings confirm others"
    for _ in range(2):  # the second has nothing to train
        code, lines, errors = launch()
        assert (code, errors) == (0, []) and old in lines and phases() == [*["confirm"] * 2, *["search"] * 5]
        study = report()
        assert confirmed_in(study) == {confirmed} != {stopgap}
        assert "1 confirmation of what the study no longer confirms is left out." in study.warnings
    assert {tags.config_hash for tags in shown().shown().values() if tags.phase == "confirm"} == {stopgap, confirmed}


def test_more_trials_confirm_the_best_of_all(launch: Launch, calm: tuple[Holdings, str, str],
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget grows until another trial is the best: one is planned, and one is in the report."""
    undisturbed, _, confirmed = calm
    told = [entry["values"] for entry in undisturbed.journals["kl"]]
    first = told.index(min(told))
    assert first > 0, "the first trial is the best: nothing to see"
    assert launch("--set", f"search.trials={first}")[0] == 0
    before = confirmed_in(report())
    assert launch()[0] == 0
    study = report()
    assert len(before) == 1 and confirmed_in(study) == {confirmed} != before
    assert study.plan.configurations("confirm") == 1


def test_what_was_planned_and_turns_out_to_be_finished_is_counted_no_more(
        launch: Launch, calm: tuple[Holdings, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit of the search is gone; that the best, which is confirmed, stays the best, only its result can tell."""
    undisturbed, best, _ = calm
    restart(monkeypatch, Round())
    assert launch()[0] == 0
    gone = next(path for path in Path("runs/tiny").glob("*/*") if path.is_dir() and path.parent.name != best and
                undisturbed.phases[f"{path.parent.name}/{path.name}"][0] == "search")
    shutil.rmtree(gone)
    assert "units of work: at most 2 left" in launch("--status")[1]
    code, lines, errors = launch(database="emptied.db")
    assert (code, errors) == (0, []) and "units of work: 4 finished, at most 2 left" in lines
    assert [line.partition(" ")[0] for line in lines if line.startswith("[")] == ["[1/2]"]
    [ended] = shown("emptied.db").search("tags.kind = 'launch'")
    assert (ended.data.metrics["units_done"], ended.data.metrics["units_total"]) == (1, 1)
    assert differences(undisturbed, held_here("emptied.db")) == []
