"""The Optuna side of a search, without Ray: equal budgets, replay, and no trial that is left running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import BaseTrial, TrialState

from study.aggregates import aggregates
from study.phases import make_sampler
from study.results import Results
from study.search import PATIENCE, ArmSearch, Known, Search, trial_seed
from study.storage import Store, Unit
from study.tracking import Finished
from study.trial import records

optuna.logging.set_verbosity(optuna.logging.ERROR)
SEEDS = (1000, 1001)


def bowl(unit: Unit) -> list[float]:
    knobs = unit.configuration["knobs"]
    return [(knobs["x"] - 0.3) ** 2 + 0.1 * knobs["k"]]


def unit_of(arm: str, x: Any, k: int = 0) -> Unit:
    return Unit({"arm": arm, "phase": "search", "knobs": {"x": x, "k": k}}, SEEDS, f"{arm}-{x!r}-{k}")


def arm_search(folder: Path, arm: str = "a", trials: int = 12, pruner: Any = None, choices: int = 0) -> ArmSearch:
    def make(trial: BaseTrial) -> Unit:
        if choices:
            return unit_of(arm, trial.suggest_categorical("x", list(range(choices))))
        return unit_of(arm, x=trial.suggest_float("x", 0.01, 1, log=True), k=trial.suggest_int("k", 0, 3))

    return ArmSearch(arm, trials=trials, seed=7, directions=["minimize"], sampler=lambda s: make_sampler("tpe", s),
                     pruner=pruner or optuna.pruners.NopPruner(), make=make, score=bowl,
                     store=Store(str(folder), "study"), journal=f"search/v/{arm}.json")


def run(search: ArmSearch, stop_after: int | None = None) -> list[str]:
    """Ask and tell one at a time; the keys in order."""
    keys: list[str] = []
    while len(keys) != stop_after and (unit := search.ask()) is not None:
        keys.append(unit.key)
        search.tell(unit, "finished")
    return keys


def states(search: ArmSearch) -> list[TrialState]:
    return [t.state for t in search.study.get_trials(deepcopy=False)]


def known(*keys_of: ArmSearch) -> list[Known]:
    """What storage would hold of finished searches."""
    found = []
    for search in keys_of:
        for t in search.study.get_trials(deepcopy=False):
            if t.state in (TrialState.COMPLETE, TrialState.PRUNED):
                status = "finished" if t.state is TrialState.COMPLETE else "pruned"
                found.append(Known(unit_of(search.arm, **t.params), status, t.intermediate_values))
    return found


@pytest.mark.parametrize("stop", [1, 5, 11])
def test_disturbed_equals_undisturbed(tmp_path: Path, stop: int) -> None:
    """A launch that is stopped, with one unit in progress, and continued asks what one that was not would ask."""
    whole = run(arm_search(tmp_path / "whole"))
    first = arm_search(tmp_path / "parts")
    before = run(first, stop)
    running = first.ask()
    assert running is not None
    first.tell(running, "interrupted")
    assert TrialState.RUNNING not in states(first)
    second = arm_search(tmp_path / "parts")
    second.replay(known(first))
    assert before + run(second) == whole and len(whole) == len(set(whole)) == 12


def test_replay_does_not_repeat_the_first_suggestions(tmp_path: Path) -> None:
    """A sampler with one fixed seed would suggest its first point again after each relaunch."""
    first = arm_search(tmp_path)
    keys = run(first, 3)
    second = arm_search(tmp_path)
    second.replay(known(first))
    later = second.ask()
    assert later is not None and later.key not in keys
    assert len({trial_seed(7, arm, number) for arm in ("a", "b") for number in range(50)}) == 100


def test_results_that_the_journal_lacks_are_used(tmp_path: Path) -> None:
    """The journal may be gone; finished units of this space still count, those of another space do not."""
    first = arm_search(tmp_path / "one")
    run(first, 4)
    other = Known(unit_of("a", x=5.0, k=1), "finished")  # outside of the range
    second = arm_search(tmp_path / "two")
    second.replay([*known(first), other, Known(unit_of("b", x=0.5, k=1), "finished")])
    values = sorted(t.value for t in second.study.get_trials(deepcopy=False) if t.value is not None)
    assert values == sorted(t.value for t in first.study.get_trials(deepcopy=False) if t.value is not None)
    assert len(run(second)) == 8


def test_a_lost_unit_is_not_replaced_now_and_asked_again_next_time(tmp_path: Path) -> None:
    first = arm_search(tmp_path, trials=3)
    lost = first.ask()
    assert lost is not None
    first.tell(lost, "lost")
    assert len(run(first)) == 2 and first.is_exhausted
    second = arm_search(tmp_path, trials=3)
    second.replay(known(first))
    assert not second.is_exhausted and second.left == 1 and run(second) == [lost.key]
    assert states(second).count(TrialState.COMPLETE) == 3 and TrialState.RUNNING not in states(second)


def test_a_small_space_ends_by_itself(tmp_path: Path) -> None:
    """Three points are three units, however often the sampler comes back to them; a relaunch asks no more."""
    first = arm_search(tmp_path, trials=10, choices=3)
    assert len(run(first)) == 3
    assert first.only_repeats and first.repeats >= PATIENCE
    assert set(states(first)) == {TrialState.COMPLETE, TrialState.FAIL}
    second = arm_search(tmp_path, trials=10, choices=3)
    second.replay(known(first))
    assert second.is_exhausted and second.left == 0


def test_a_pruned_trial_is_told_pruned_and_replayed_so(tmp_path: Path) -> None:
    pruner = optuna.pruners.ThresholdPruner(upper=1.0)
    first = arm_search(tmp_path, trials=4, pruner=pruner)
    bad, good = first.ask(), first.ask()
    assert bad is not None and good is not None
    assert not first.should_prune(good, 10, 0.5) and first.should_prune(bad, 10, 2.0)
    first.tell(bad, "pruned")
    first.tell(good, "finished")
    second = arm_search(tmp_path, trials=4, pruner=pruner)
    second.replay(known(first))
    found = [(t.state, t.intermediate_values) for t in second.study.get_trials(deepcopy=False)]
    assert found == [(TrialState.PRUNED, {10: 2.0}), (TrialState.COMPLETE, {10: 0.5})]
    assert len(run(second)) == 2


def test_arms_take_turns(tmp_path: Path) -> None:
    """Budgets stay equal at any moment, also when one arm comes from an earlier launch with a lead."""
    ahead = arm_search(tmp_path, "a", trials=5)
    run(ahead, 2)
    again = arm_search(tmp_path, "a", trials=5)
    again.replay(known(ahead))
    search = Search([again, arm_search(tmp_path, "b", trials=5)])
    order = []
    while (unit := search.next()) is not None:
        order.append(unit.configuration["arm"])
        search.finished(unit, "finished")
    assert "".join(order) == "bbababab" and search.is_exhausted


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_mlflow_alone_tells_what_the_records_tell(tmp_path: Path, dead: int) -> None:
    """A storage that is gone must not change what is replayed: means over survivors give back the mean over all."""
    store = Store(str(tmp_path), "study")
    unit = Unit({"arm": "a", "phase": "search", "knobs": {"x": 0.1, "k": 1}}, SEEDS, "abc")
    rows: list[dict[str, Any]] = [
        {"seed": seed, "stage": "final", "update": 10, "verdict": "diverged" if i < dead else "survived",
         "diverged_at": 3 if i < dead else None, "particle_gradients": 100.0 * (i + 1), "wall_seconds": 2.0,
         "cpu_seconds": 1.0, **({} if i < dead else {"kid": 0.25 * (i + 1)})} for i, seed in enumerate(SEEDS)]
    store.write(f"{unit.key}/records.parquet", records(rows))
    manifest = store.write_done(unit, {"status": "finished", "primary": "kid", "direction": "minimize"})
    asked: Any = {"primary": "kid", "objectives": ["kid", "particle_gradients"], "diverged_values": [1.5, None]}
    told = Results(store, **asked).add_done(unit, manifest).told
    expected = sum([1.5, 1.5][:dead] + [0.25, 0.5][dead:]) / 2
    assert told == pytest.approx((expected, 150.0))

    metrics = aggregates([{**row, "block": unit.block} for row in rows])
    away = Results(Store(str(tmp_path / "gone"), "study"), **asked)
    away.add_shown([Finished(unit.configuration, unit.seeds, unit.config_hash, "finished", metrics, {})])
    assert away.score(unit) == pytest.approx(told)
    assert [(r.diverged, r.replicates) for r in away.all()] == [(dead, 2)]
