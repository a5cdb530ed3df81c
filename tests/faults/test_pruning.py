"""A search that prunes, interrupted or killed: pruned trials stay pruned, with what they had reported, and the pruner
compares later trials with all rungs of earlier launches."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from analysis import load
from study.run import unit_run as trial
from study.schema.unit import Unit
from tests.faults.holdings import Holdings, differences, faults
from tests.faults.in_process import Round, restart, undisturbed
from tests.faults.tiny import LAUNCHER, environment, held_here
from tests.study.launching import done, processes, workers
from tests.study.launching import launch as launch_with_ray
from tests.study.test_launch_whole import Launch

pytestmark = [pytest.mark.slow,
              pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]  # MLflow's own use of SQLAlchemy

TRIALS = 7  # of each arm
UPDATES = 18
SPEC = f"""\
study: tiny
data: moons
method: [kl, jko]
train: {{updates: {UPDATES}, batch_size: 16, width: 4, particles: 64, mcmc_steps: 3}}
search:
  replicates: 1
  sampler: random
  trials: {TRIALS}
  equal: trials
  prune: successive_halving
  space:
    step_size: {{log: [0.02, 0.5]}}
evaluation: {{points: 9, samples: 64, long_run: 2}}
"""


def check(held: Holdings) -> Counter[str]:
    """Every trial is told as what its unit is, with its intermediate values; how many are what."""
    assert faults(held) == []
    [database] = Path("runs/tiny/search").glob("*/optuna.db")
    url, states = f"sqlite:///{database.absolute()}", Counter[str]()
    for name in optuna.get_all_study_names(url):
        journal = json.loads((database.parent / f"{name.split()[1]}.json").read_text())["entries"]
        trials = optuna.load_study(study_name=name, storage=url).get_trials()
        assert len(trials) == len(journal) == TRIALS
        for one, entry in zip(trials, journal, strict=True):
            states[one.state.name] += 1
            status = held.units[entry["unit"]]
            assert one.state is (TrialState.PRUNED if status == "pruned" else TrialState.COMPLETE)
            manifest = json.loads(Path("runs/tiny", entry["unit"], "done.json").read_text())
            rungs = {int(u): v for u, v in manifest["rungs"].items()}
            assert {u: v for u, v in rungs.items() if u < UPDATES} == {
                u: v for u, v in one.intermediate_values.items() if u < UPDATES}  # at the last a pruner is not asked
            assert ("completed_rung_0" in one.system_attrs) == (max(one.intermediate_values) >= 2)
    assert states.keys() == {"PRUNED", "COMPLETE"}
    assert Counter(run.tags["status"] for [run] in held.trials.values())["pruned"] == states["PRUNED"]
    assert len(held.replicates) == states["COMPLETE"]
    return states


@pytest.fixture
def study(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> Launch:
    """Launches of it in this process, a unit at a time."""
    Path("tiny.yaml").write_text(SPEC)
    monkeypatch.setattr(trial, "CHECKPOINT_SHARE", 0)
    return launch


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Holdings, Counter[str]]:
    """What an undisturbed study holds, and how many of its trials are what."""
    folder = tmp_path_factory.mktemp("calm")
    held = undisturbed(SPEC, folder)
    with contextlib.chdir(folder):
        return held, check(held)


@pytest.mark.parametrize("stops", [[(3, 4), (2, 1)], [(9, 7)]])
def test_interrupted_at_concurrency_1_equals_undisturbed(
        study: Launch, calm: tuple[Holdings, Counter[str]], monkeypatch: pytest.MonkeyPatch,
        stops: list[tuple[int, int]]) -> None:
    """Also where it prunes, since the pruner is asked in the same order with the same rungs."""
    for stop in stops:
        restart(monkeypatch, Round(stop))
        assert study()[0] == 130
    restart(monkeypatch, Round())
    assert study()[0::2] == (0, [])
    held = held_here()
    assert differences(calm[0], held) == [] and check(held) == calm[1]


def test_what_both_versions_of_a_study_prune_belongs_to_the_one_that_is_launched(
        study: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    """There and back: each has its trials in the report. What the first had stopped and the second trained is told."""
    def states() -> Counter[str]:
        """Of the version that was launched last, in its journals; in the report they are the same."""
        version = json.loads(Path("runs/tiny/plan.json").read_text())["study_version"]
        found = Counter(entry["state"] for path in Path("runs/tiny/search", version).glob("*.json")
                        for entry in json.loads(path.read_text())["entries"])
        shows = Counter(load("tiny", f"sqlite:///{Path.cwd()}/mlflow.db", "cache").trials["status"])
        assert (found["pruned"], found["told"]) == (shows["pruned"], shows["finished"]) and found.total() == 2 * TRIALS
        return found

    restart(monkeypatch, Round())
    code, lines, errors = study()
    before = states()["pruned"]
    assert (code, errors) == (0, []) and before > 0
    assert any(f"{before} pruned" in line for line in lines if line.startswith("units of work"))
    for spec, pruned, ran in ((SPEC.replace("  prune:", "  diverged_value: 3.0\n  prune:"), before, before),
                              (SPEC, before, 0), (SPEC.replace("successive_halving", "null"), 0, before), (SPEC, 0, 0)):
        Path("tiny.yaml").write_text(spec)
        once = Round()
        restart(monkeypatch, once)
        assert study()[0] == 0 and (states()["pruned"], once.done) == (pruned, ran), spec


def test_killed_with_ray_no_trial_runs_on_and_none_is_asked_twice(
        study: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relaunch trains in this process; a pruner on Ray after a relaunch is `tests/study/test_rounds.py`'s."""
    orphans: list[int] = []

    def interfere(line: str, pid: int) -> None:
        if line.startswith("[4/"):
            orphans.extend(workers(pid))
            os.kill(pid, signal.SIGKILL)

    code, lines = launch_with_ray(module=LAUNCHER, environment=environment(), on_line=interfere)
    assert code == -signal.SIGKILL, "\n".join(lines)
    end = time.monotonic() + 60
    while processes().keys() & orphans:  # they end with the driver; meanwhile they may finish what they are at
        assert time.monotonic() < end
        time.sleep(0.1)
    stamps = {path: path.stat().st_mtime_ns for path in done(tmp_path)}
    restart(monkeypatch, Round())
    code, lines, errors = study()
    assert (code, errors) == (0, []), "\n".join(lines)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    held = held_here()
    assert check(held).total() == 2 * TRIALS == len(held.units)


def test_what_another_version_pruned_is_trained_to_its_end_from_its_checkpoint(
        study: Launch, begun: list[tuple[Unit, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest that says `pruned` makes its checkpoints leftovers only for the version that stopped the unit."""
    one_arm = SPEC.replace("[kl, jko]", "[kl]")
    Path("tiny.yaml").write_text(one_arm)
    restart(monkeypatch, Round())
    assert study()[0] == 0
    pruned = {unit for unit, status in held_here().units.items() if status == "pruned"}
    Path("tiny.yaml").write_text(one_arm.replace("  prune: successive_halving\n", ""))
    restart(monkeypatch, Round((0, 5)))
    assert study()[0] == 130
    [unit] = {f"{path.parent.parent.name}/{path.parent.name}" for path in Path("runs/tiny").glob("*/*/checkpoint-*")}
    assert unit in pruned
    [line] = [line for line in study("--status")[1] if line.startswith("begun: ")]
    assert unit.partition("/")[0] in line and "checkpoint at update 10 of 18" in line
    del begun[:]
    restart(monkeypatch, Round())
    assert study()[0] == 0
    assert {one.key: update for one, update in begun} == {key: 10 if key == unit else 0 for key in pruned}
    assert set(held_here().units.values()) == {"finished"} and not list(Path("runs/tiny").glob("*/*/checkpoint-*"))
