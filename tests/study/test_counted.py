"""Which of MLflow's trials a launch counts: what it says, and what a report makes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from analysis import load
from study.schema.counted import FILE, Counted
from study.schema.unit import Unit
from study.show.tracking import Tracking
from study.store.results import Results
from study.store.units import Store
from tests.configurations import unit as unit_of
from tests.study.test_launch_whole import Launch, launch, shown
from tests.study.test_results import final

__all__ = ["launch"]


def results(tmp_path: Path) -> Results:
    return Results(Store(str(tmp_path), "study"), "kid", {}, {"a": ()})


def finish(found: Results, unit: Unit) -> None:
    found.add(unit, "finished", [final(seed, 0.5) for seed in unit.seeds], {})


def test_what_is_expected_counts_whoever_trained_it_and_as_whose_arm(tmp_path: Path) -> None:
    """A trial of two arms is the one's that trained it."""
    found = results(tmp_path)
    for config_hash, arm, now in (("kept", "a", ["a"]), ("renamed", "a", ["b"]), ("shared", "a", ["b", "a"]),
                                  ("dropped", "a", [])):
        finish(found, unit_of((0,), config_hash, arm=arm))
        for name in now:
            found.expect(unit_of((0,), config_hash, arm=name))
    assert found.counted == Counted({"kept": "a", "renamed": "b", "shared": "a"})


def test_what_another_version_pruned_counts_once_this_one_stopped_or_trained_it(tmp_path: Path) -> None:
    found = results(tmp_path)
    units = [unit_of((0,), name, phase="search", arm="a") for name in ("theirs", "both", "trained")]
    for unit in units:
        found.add(unit, "pruned", [], {3: 0.5})
        found.expect(unit)
    assert found.counted == Counted()
    found.stop(units[1])
    finish(found, units[2])
    assert set(found.counted.arms) == {"both", "trained"}
    found.expect(unit_of((0, 1), "theirs", phase="search", arm="a"))
    assert "theirs" not in found.counted.arms, "it is planned with more seeds now"


def test_a_confirmation_of_an_earlier_choice_counts_no_more_until_it_is_chosen_again(tmp_path: Path) -> None:
    found = results(tmp_path)
    old, new, cell = (unit_of((0,), name, phase=phase, arm="a") for name, phase in (
        ("old", "confirm"), ("new", "confirm"), ("cell", "design")))
    for unit in (old, new, cell):
        finish(found, unit)
    found.expect(cell)
    assert found.counted == Counted({"cell": "a"}), "the best are not known: whose they are says their version"
    found.choose("b", [])
    assert found.superseded == []
    found.choose("a", [new])
    assert found.counted == Counted({"cell": "a", "new": "a"}, ("old",))
    found.choose("a", [old])
    assert found.counted == Counted({"cell": "a", "old": "a"}, ("new",))


def test_what_a_reader_makes_of_it() -> None:
    counted = Counted.read(json.loads(json.dumps(Counted({"a": "x"}, ("b",)).plain())))
    assert [counted.counts(name, mine) for name in "abc" for mine in (True, False)] == [
        True, True, False, False, True, False]
    for damaged in ([], {}, {"arms": 3, "superseded": []}, None):
        with pytest.raises(ValueError, match="no account of what counts"):
            Counted.read(damaged)


@pytest.mark.parametrize("written", [True, False])
def test_a_renamed_arm_keeps_its_results_in_the_report(launch: Launch, written: bool) -> None:
    """MLflow keeps what they were trained as. Without the file the version alone says what counts: none of these."""
    words: tuple[str, ...] = ("--set", "method=null", "--set")
    assert launch(*words, "arms={one: {method: kl}}")[0] == 0
    code, lines, _ = launch(*words, "arms={two: {method: kl}}")
    assert code == 0 and not any(line.startswith("[") for line in lines)
    assert {run.data.tags["arm"] for run in shown().search("tags.kind = 'trial'")} == {"one"}
    for path in Path("mlruns").glob(f"**/{FILE}") if not written else ():
        path.unlink()
    study: Any = load("tiny", f"sqlite:///{Path.cwd()}/mlflow.db", "cache")
    assert len(study.finals) == (4 if written else 0)
    assert set(study.trials["base_arm"]) == ({"two"} if written else set())


def test_seeds_that_two_names_of_an_arm_trained_are_shown_together(launch: Launch,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next launch asks MLflow for nothing."""
    words: tuple[str, ...] = ("--set", "method=null", "--set")
    assert launch(*words, "arms={one: {method: kl}}")[0] == 0
    later = (*words, "arms={two: {method: kl}}", "--set", "design.replicates=3")
    assert launch(*later)[0] == 0
    asked: list[str] = []
    monkeypatch.setattr(Tracking, "runs_of", lambda self, config_hash: asked.append(config_hash))
    assert launch(*later)[0::2] == (0, []) and asked == []
    assert {tags.seeds for tags in shown().shown().values()} == {"0-1,2-2"}


def test_a_report_takes_from_its_cache_no_training_that_is_gone(launch: Launch) -> None:
    def clocks(cache: str) -> list[float]:
        study = load("tiny", f"sqlite:///{Path.cwd()}/mlflow.db", cache)
        return [float(seconds) for seconds in study.finals.sort_values(["config_hash", "seed"])["wall_seconds"]]

    assert launch()[0] == 0
    before = clocks("cache")
    shutil.rmtree("runs")
    assert launch()[0] == 0
    assert clocks("cache") == clocks("none") != before
