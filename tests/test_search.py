"""The Optuna side of a search, without Ray: equal budgets, replay, and no trial that is left running."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import BaseTrial, TrialState

from study.phases import _pruner, best, confirm_units, design_units, make_sampler
from study.records import records
from study.results import Results
from study.search import PATIENCE, ArmSearch, Search, trial_seed
from study.search.journal import read_journal
from study.spec import StudySpec, loads
from study.storage import Store, Unit

optuna.logging.set_verbosity(optuna.logging.ERROR)
SEEDS = (1000, 1001)


def unit_of(arm: str, x: Any, k: int = 0, seeds: tuple[int, ...] = SEEDS) -> Unit:
    return Unit({"arm": arm, "phase": "search", "knobs": {"x": x, "k": k}}, seeds, f"{arm}-{x!r}-{k}")


class Shelf(Results):
    """Results whose every unit is worth a bowl in x and k, whatever its seeds."""

    def __init__(self, folder: Path, objectives: int = 1) -> None:
        super().__init__(Store(str(folder), "study"), "kid", ["kid", "k"][:objectives],
                         dict.fromkeys("ab", [None] * objectives))

    def train(self, unit: Unit, rungs: dict[int, float] | None = None) -> None:
        self.add(unit, "finished", [self.row(unit, seed) for seed in unit.seeds], rungs or {})

    def row(self, unit: Unit, seed: int) -> dict[str, Any]:
        knobs = unit.configuration["knobs"]
        return {"seed": seed, "stage": "final", "verdict": "survived", "diverged_at": None, "wall_seconds": 1.0,
                "cpu_seconds": 1.0, "particle_gradients": 1.0, "k": 3.0 - knobs["k"],
                "kid": (knobs["x"] - 0.3) ** 2 + 0.1 * knobs["k"]}


def arm_search(folder: Path, shelf: Shelf | None = None, arm: str = "a", trials: int = 12, pruner: Any = None,
               choices: int = 0, seeds: tuple[int, ...] = SEEDS, version: str = "v", sampler: str = "tpe",
               objectives: int = 1) -> ArmSearch:
    def make(trial: BaseTrial) -> Unit:
        if choices:
            return unit_of(arm, trial.suggest_categorical("x", list(range(choices))), seeds=seeds)
        return unit_of(arm, trial.suggest_float("x", 0.01, 1, log=True), trial.suggest_int("k", 0, 3), seeds)

    search = ArmSearch(arm, trials=trials, seed=7, objectives=objectives, sampler=lambda s: make_sampler(sampler, s),
                       pruner=pruner or optuna.pruners.NopPruner(), make=make,
                       results=shelf or Shelf(folder, objectives),
                       store=Store(str(folder), "study"), journal=f"search/{version}/{arm}.json")
    return search


def finish(search: ArmSearch, unit: Unit, rungs: dict[int, float] | None = None) -> None:
    """What a worker and the driver do at a unit's end."""
    shelf = search._results
    assert isinstance(shelf, Shelf)
    shelf.train(unit, rungs)
    search.tell(unit, "finished")


def prune(search: ArmSearch, unit: Unit, rungs: dict[int, float]) -> None:
    shelf = search._results
    assert isinstance(shelf, Shelf)
    search.tell(unit, "pruned")
    shelf.add(unit, "pruned", [], rungs)


def run(search: ArmSearch, stop_after: int | None = None) -> list[str]:
    """Ask and tell one at a time; the keys in order."""
    keys: list[str] = []
    while len(keys) != stop_after and (unit := search.ask()) is not None:
        keys.append(unit.key)
        finish(search, unit)
    return keys


def states(search: ArmSearch) -> list[TrialState]:
    return [t.state for t in search.study.get_trials(deepcopy=False)]


@pytest.mark.parametrize(("sampler", "objectives", "trials", "stops"), [
    ("tpe", 1, 12, [1, 5, 11]), ("tpe", 2, 12, [11]), ("random", 1, 12, [5]), ("gp", 1, 12, [11]), ("gp", 2, 12, [11]),
    ("nsga2", 1, 65, [1, 19, 20, 41, 64]), ("nsga2", 2, 65, [1, 19, 20, 41, 64])])  # in generations of 20
def test_disturbed_equals_undisturbed(tmp_path: Path, sampler: str, objectives: int, trials: int,
                                      stops: list[int]) -> None:
    """A launch that is stopped, with one unit in progress, and continued asks what one that was not would ask."""
    def search(folder: str, shelf: Shelf | None = None) -> ArmSearch:
        return arm_search(tmp_path / folder, shelf, sampler=sampler, objectives=objectives, trials=trials)

    whole = run(search("whole"))
    for stop in stops:
        shelf = Shelf(tmp_path / str(stop), objectives)
        first = search(str(stop), shelf)
        before = run(first, stop)
        running = first.ask()
        assert running is not None
        first.tell(running, "interrupted")
        assert TrialState.RUNNING not in states(first)
        second = search(str(stop), shelf)
        second.replay()
        assert before + run(second) == whole and len(whole) == len(set(whole)) == trials, f"stopped after {stop}"


def test_the_parents_of_a_generation_stay_though_a_late_unit_would_have_been_one(tmp_path: Path) -> None:
    """The first unit runs on beside the others, and ends when the second generation has begun."""
    shelf = Shelf(tmp_path)
    first = arm_search(tmp_path, shelf, sampler="nsga2", trials=30)
    late = first.ask()
    assert late is not None
    run(first, 24)
    finish(first, late)
    second = arm_search(tmp_path, shelf, sampler="nsga2", trials=30)
    second.replay()
    noted = [search.study._storage.get_study_system_attrs(search.study._study_id) for search in (first, second)]
    assert noted[0] == noted[1] and [len(parents) for parents in noted[0].values()] == [20]
    assert first.ask() == second.ask()


def test_what_a_worker_finished_after_the_driver_had_died_teaches_the_pruner_too(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    first = arm_search(tmp_path, shelf, trials=3, pruner=_pruner("successive_halving", 90))
    unit = first.ask()
    assert unit is not None
    shelf.train(unit, {10: 0.1, 30: 0.05})
    second = arm_search(tmp_path, shelf, trials=3, pruner=_pruner("successive_halving", 90))
    second.replay()
    other = second.ask()
    assert states(second)[0] is TrialState.COMPLETE and other is not None and second.should_prune(other, {10: 0.4})


def test_what_an_orphan_finishes_while_it_is_asked_again_teaches_the_pruner_too(tmp_path: Path) -> None:
    """The worker of a killed driver may write done.json after the next launch has read the storage: the new worker
    finds it and has nothing to report."""
    shelf = Shelf(tmp_path)
    search = arm_search(tmp_path, shelf, trials=3, pruner=_pruner("successive_halving", 90))
    unit = search.ask()
    assert unit is not None
    finish(search, unit, {10: 0.1, 30: 0.05})
    [trial] = search.study.get_trials(deepcopy=False)
    assert trial.intermediate_values == {10: 0.1, 30: 0.05}
    other = search.ask()
    assert other is not None and search.should_prune(other, {10: 0.4})
    again = arm_search(tmp_path, shelf, trials=3, pruner=_pruner("successive_halving", 90))
    again.replay()
    [before, after] = [one.study.get_trials(deepcopy=False)[0] for one in (search, again)]
    assert before.intermediate_values == after.intermediate_values and before.system_attrs == after.system_attrs


def test_replay_does_not_repeat_the_first_suggestions(tmp_path: Path) -> None:
    """A sampler with one fixed seed would suggest its first point again after each relaunch."""
    shelf = Shelf(tmp_path)
    keys = run(arm_search(tmp_path, shelf), 3)
    second = arm_search(tmp_path, shelf)
    second.replay()
    later = second.ask()
    assert later is not None and later.key not in keys
    assert len({trial_seed(7, arm, number) for arm in ("a", "b") for number in range(50)}) == 100


def test_a_lost_journal_is_made_again_from_what_mlflow_shows_as_this_version(tmp_path: Path) -> None:
    """Units of this space count, those of another space do not."""
    shelf = Shelf(tmp_path / "one")
    first = arm_search(tmp_path / "one", shelf)
    run(first, 4)
    tagged = [*shelf.of(shelf.counted), unit_of("a", x=5.0, k=1), unit_of("b", x=0.5, k=1)]
    second = arm_search(tmp_path / "two", shelf)
    second.replay(tagged)
    values = sorted(t.value for t in second.study.get_trials(deepcopy=False) if t.value is not None)
    assert values == sorted(t.value for t in first.study.get_trials(deepcopy=False) if t.value is not None)
    assert len(run(second)) == 8


def test_a_finished_search_takes_no_trial_of_an_arm_whose_space_lies_in_its_own(tmp_path: Path) -> None:
    """It did, whenever it was launched again, and exceeded its budget."""
    shelf = Shelf(tmp_path)
    run(arm_search(tmp_path, shelf, trials=2))
    inside = unit_of("a", x=0.5, k=1)
    shelf.train(Unit({**inside.configuration, "arm": "b"}, SEEDS, inside.config_hash))
    again = arm_search(tmp_path, shelf, trials=2)
    again.replay(shelf.of({*shelf.counted, inside.config_hash}))
    assert states(again) == 2 * [TrialState.COMPLETE]


def test_a_new_version_counts_its_own_trials_and_trains_none_twice(tmp_path: Path) -> None:
    """The other version's trials were asked by another sampler: they are no part of this search, but known."""
    shelf = Shelf(tmp_path)
    old = run(arm_search(tmp_path, shelf, choices=3, trials=2, version="old"))
    new = arm_search(tmp_path, shelf, choices=3, trials=3, version="new")
    new.replay()
    assert new.left == 3 and states(new) == []
    trained = run(new)
    assert len(trained) == 1 and not set(trained) & set(old)
    assert states(new).count(TrialState.COMPLETE) == 3 and new.answered == 2


def test_more_replicates_train_only_the_new_seeds(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    run(arm_search(tmp_path, shelf, choices=2, trials=2, version="two"))
    more = arm_search(tmp_path, shelf, choices=2, trials=2, version="three", seeds=(*SEEDS, 1002),
                      pruner=optuna.pruners.ThresholdPruner(upper=0.0))
    more.replay()
    tails = [more.ask(), more.ask()]
    assert [tail.seeds for tail in tails if tail] == [(1002,), (1002,)]
    for tail in tails:
        assert tail is not None and not more.should_prune(tail, {10: 9.0}), "its first replicates are finished"
        finish(more, tail)
    assert [r.replicates for r in shelf.all()] == [3, 3] and more.is_exhausted


def test_what_another_version_pruned_is_trained_to_its_end(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    old = arm_search(tmp_path, shelf, choices=1, trials=1, version="old")
    unit = old.ask()
    assert unit is not None
    prune(old, unit, {10: 2.0})
    shelf = Shelf(tmp_path)  # of the next launch
    assert shelf.add(unit, "pruned", [], {10: 2.0}).pruned
    again = arm_search(tmp_path, shelf, choices=1, trials=1, version="old")
    again.replay()
    assert states(again) == [TrialState.PRUNED] and again.is_exhausted
    assert shelf.complete() == 1 and [result.status for result in shelf.all()] == ["pruned"]
    shelf = Shelf(tmp_path)
    shelf.add(unit, "pruned", [], {10: 2.0})
    new = arm_search(tmp_path, shelf, choices=1, trials=1, version="new")
    new.replay()
    shelf.expect(unit)  # it has been asked
    assert shelf.complete() == 0 and shelf.all() == []
    assert run(new) == [unit.key] and states(new) == [TrialState.COMPLETE] and shelf.complete() == 1


def test_a_lost_unit_is_not_replaced_now_and_asked_again_next_time(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    first = arm_search(tmp_path, shelf, trials=3)
    lost = first.ask()
    assert lost is not None
    first.tell(lost, "lost")
    assert len(run(first)) == 2 and first.is_exhausted
    second = arm_search(tmp_path, shelf, trials=3)
    second.replay()
    assert not second.is_exhausted and second.left == 1 and run(second) == [lost.key]
    assert states(second).count(TrialState.COMPLETE) == 3 and TrialState.RUNNING not in states(second)


def test_a_lost_unit_that_another_round_finishes_is_told_after_all(tmp_path: Path) -> None:
    """In this launch and the next: its value, its rungs, and no budget beside its own."""
    shelf = Shelf(tmp_path)
    first = arm_search(tmp_path, shelf, trials=3, pruner=_pruner("successive_halving", 90))
    lost = first.ask()
    assert lost is not None
    first.tell(lost, "lost")
    run(first)
    shelf.train(lost, {10: 0.1, 30: 0.05})
    first.settle(lost)
    assert first.asked == 3 and first.is_exhausted
    second = arm_search(tmp_path, shelf, trials=3, pruner=_pruner("successive_halving", 90))
    second.replay()
    assert second.left == 0
    for search in (first, second):
        told = [t for t in search.study.get_trials(deepcopy=False) if t.state is TrialState.COMPLETE]
        assert len(told) == 3
        [late] = [t for t in told if t.params["x"] == lost.configuration["knobs"]["x"]]
        assert late.values == list(shelf.score(lost)) and late.intermediate_values == {10: 0.1, 30: 0.05}
        assert late.system_attrs["completed_rung_1"] == 0.05


def test_a_small_space_ends_by_itself(tmp_path: Path) -> None:
    """Three points are three units, however often the sampler comes back to them; a relaunch asks no more."""
    shelf = Shelf(tmp_path)
    first = arm_search(tmp_path, shelf, trials=10, choices=3)
    assert len(run(first)) == 3
    assert first.only_repeats and first.repeats >= PATIENCE
    assert set(states(first)) == {TrialState.COMPLETE, TrialState.FAIL}
    second = arm_search(tmp_path, shelf, trials=10, choices=3)
    second.replay()
    assert second.is_exhausted and second.left == 0


def test_a_relaunch_keeps_the_pruners_rungs(tmp_path: Path) -> None:
    """Successive halving compares with what earlier trials reported at a rung: a pruner that forgets lets all pass."""
    shelf, values = Shelf(tmp_path), [0.1, 0.2, 0.3]
    first = arm_search(tmp_path, shelf, trials=4, pruner=_pruner("successive_halving", 90))
    for value in values:
        unit = first.ask()
        assert unit is not None
        stop = first.should_prune(unit, {10: value})
        if stop:
            prune(first, unit, {10: value})
        else:
            finish(first, unit, {10: value})
    second = arm_search(tmp_path, shelf, trials=4, pruner=_pruner("successive_halving", 90))
    second.replay()
    before, after = ([(t.state, t.intermediate_values, t.system_attrs.get("completed_rung_0"))
                      for t in search.study.get_trials(deepcopy=False)] for search in (first, second))
    assert after == before and [rung for *_, rung in after] == values
    unit = second.ask()
    assert unit is not None and second.should_prune(unit, {10: 0.4})


def test_what_was_stopped_and_has_no_done_json_is_stopped_again(tmp_path: Path) -> None:
    """The driver died after the journal said `pruned`, and before done.json: the unit has to pass its rungs anew."""
    shelf = Shelf(tmp_path)
    first = arm_search(tmp_path, shelf, trials=2, pruner=_pruner("successive_halving", 90))
    unit = first.ask()
    assert unit is not None and not first.should_prune(unit, {10: 0.1})
    finish(first, unit, {10: 0.1})
    unit = first.ask()
    assert unit is not None and first.should_prune(unit, {10: 0.4})
    first.tell(unit, "pruned")
    second = arm_search(tmp_path, shelf, trials=2, pruner=_pruner("successive_halving", 90))
    second.replay()
    again = second.ask()
    assert again is not None and again.key == unit.key
    assert second.should_prune(again, {10: 0.4})


@pytest.mark.parametrize("text", ['{"entries": [], "sha256": ""}', "[]", '"told"', '[{"params": 3}]', "", "{bad"])
def test_a_damaged_journal_is_made_again_with_its_rungs(tmp_path: Path, text: str, caplog: Any) -> None:
    """Whatever was done to it. A pruner without the others' rungs would let the next one pass."""
    shelf, path = Shelf(tmp_path), tmp_path / "study/search/v/a.json"
    first = arm_search(tmp_path, shelf, trials=4, pruner=_pruner("successive_halving", 90))
    for value in (0.1, 0.2, 0.3):
        unit = first.ask()
        assert unit is not None
        rungs = {10: value}
        if first.should_prune(unit, rungs):
            prune(first, unit, rungs)
        else:
            rungs = {10: value, 30: value / 2}
            assert not first.should_prune(unit, rungs)
            finish(first, unit, rungs)
    path.write_text(text)
    second = arm_search(tmp_path, shelf, trials=4, pruner=_pruner("successive_halving", 90))
    second.replay(shelf.of(shelf.counted))
    assert any("v/a.json is damaged and made again" in line for line in caplog.messages)
    before, after = (sorted((t.params["x"], t.state, t.intermediate_values, t.system_attrs.get("completed_rung_0"),
                             t.system_attrs.get("completed_rung_1")) for t in search.study.get_trials(deepcopy=False))
                     for search in (first, second))
    assert after == before and [rung for *_, rung in before].count(0.05) == 1
    unit = second.ask()
    assert unit is not None and second.should_prune(unit, {10: 0.4})


def test_a_flipped_number_in_a_journal_is_seen(tmp_path: Path) -> None:
    shelf, path = Shelf(tmp_path), tmp_path / "study/search/v/a.json"
    run(arm_search(tmp_path, shelf), 3)
    assert len(read_journal(Store(str(tmp_path), "study"), "search/v/a.json")) == 3
    text = path.read_text()
    path.write_text(text.replace('"k": ', '"k": 1', 1))
    assert read_journal(Store(str(tmp_path), "study"), "search/v/a.json") == []


def test_a_unit_that_goes_on_tells_the_pruner_what_it_had_reported(tmp_path: Path) -> None:
    """The launch that it began in has died; its worker's checkpoint knows. Later trials are compared with all of it."""
    shelf = Shelf(tmp_path)
    first = arm_search(tmp_path, shelf, trials=3, pruner=_pruner("successive_halving", 90))
    running = first.ask()
    assert running is not None and not first.should_prune(running, {10: 0.1})
    second = arm_search(tmp_path, shelf, trials=3, pruner=_pruner("successive_halving", 90))
    second.replay()
    again = second.ask()
    assert again == running and not second.should_prune(running, {10: 0.1, 20: 0.2, 30: 0.3})
    [trial] = second.study.get_trials(deepcopy=False)
    assert trial.intermediate_values == {10: 0.1, 20: 0.2, 30: 0.3}
    assert [trial.system_attrs[f"completed_rung_{k}"] for k in (0, 1)] == [0.1, 0.3]
    finish(second, running, {10: 0.1, 20: 0.2, 30: 0.3})
    other = second.ask()
    assert other is not None and second.should_prune(other, {10: 0.15})


def test_arms_take_turns(tmp_path: Path) -> None:
    """Budgets stay equal at any moment, also when one arm comes from an earlier launch with a lead."""
    shelf = Shelf(tmp_path)
    run(arm_search(tmp_path, shelf, "a", trials=5), 2)
    again = arm_search(tmp_path, shelf, "a", trials=5)
    again.replay()
    search = Search([again, arm_search(tmp_path, shelf, "b", trials=5)])
    order = []
    while (unit := search.next()) is not None:
        order.append(unit.configuration["arm"])
        shelf.train(unit)
        search.finished(unit, "finished")
    assert "".join(order) == "bbababab" and search.is_exhausted


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_a_search_is_told_the_mean_over_all_replicates(tmp_path: Path, dead: int) -> None:
    store = Store(str(tmp_path), "study")
    unit = unit_of("a", 0.1, 1)
    rows: list[dict[str, Any]] = [
        {"seed": seed, "stage": "final", "update": 10, "verdict": "diverged" if i < dead else "survived",
         "diverged_at": 3 if i < dead else None, "particle_gradients": 100.0 * (i + 1), "wall_seconds": 2.0,
         "cpu_seconds": 1.0, **({} if i < dead else {"kid": 0.25 * (i + 1)})} for i, seed in enumerate(SEEDS)]
    store.write(f"{unit.key}/records.parquet", records(rows))
    manifest = store.write_done(unit, {"status": "finished", "primary": "kid", "direction": "minimize"})
    results = Results(store, "kid", ["kid", "particle_gradients"], {"a": [1.5, None]})
    result = results.add_done(unit, manifest)
    assert (result.diverged, result.replicates, result.told) == (dead, 2, ()) and results.all() == []
    results.expect(unit)
    [counted] = results.all()
    expected = sum([1.5, 1.5][:dead] + [0.25, 0.5][dead:]) / 2
    assert counted.told == pytest.approx((expected, 150.0)) == results.score(unit)
    assert replace(counted, told=()) == result


# Which results count.

SPEC = """
study: s
data: gaussians8
method: [kl, jko]
train: {updates: 10}
design: {replicates: 2, step_size: [0.05, 0.3]}
confirm: {top: 1, replicates: 2}
"""


def trained(spec: StudySpec, shelf: Results) -> list[Unit]:
    units = [*design_units(spec, "data", shelf)]
    for unit in units:
        shelf.add(unit, "finished", [{
            "seed": seed, "stage": "final", "verdict": "survived", "diverged_at": None, "wall_seconds": 1.0,
            "cpu_seconds": 1.0, "particle_gradients": 1.0, "kid": unit.configuration["knobs"]["step_size"]}
            for seed in unit.seeds], {})
    return units


@pytest.mark.parametrize("change", [["train.updates=12"], ["method=kl"], ["seed=3"], ["design.step_size=[0.05]"],
                                    ["method=null", "arms={plain: {method: kl}}"], ["design.replicates=1"]])
def test_only_the_current_design_counts(tmp_path: Path, change: list[str]) -> None:
    """After another version, a removed level, a renamed arm, fewer replicates: as if they had never been."""
    both, alone = (Results(Store(str(tmp_path), "study"), "kid") for _ in range(2))
    trained(loads(SPEC), both)
    new = loads(SPEC, overrides=change)
    now = Results(Store(str(tmp_path), "study"), "kid")
    for unit in both.of(both.counted):
        now.add(unit, "finished", [both._final[unit.config_hash, seed] for seed in unit.seeds], {})
    trained(new, now)
    trained(new, alone)
    key = lambda r: r.unit.config_hash  # noqa: E731
    assert [(r.unit, r.unit.configuration, r.replicates) for r in sorted(now.all(), key=key)] == [
        (r.unit, r.unit.configuration, r.replicates) for r in sorted(alone.all(), key=key)]
    for arm in new.arms:
        assert best(new, arm, now) == best(new, arm, alone)
    assert {u.configuration["knobs"]["updates"] for u in confirm_units(new, "data", now, new.arms)} == {
        new.arms[next(iter(new.arms))].hparams({}).updates}


def final(seed: int, kid: float, diverged: bool = False) -> dict[str, Any]:
    return {"seed": seed, "stage": "final", "verdict": "diverged" if diverged else "survived",
            "diverged_at": 9 if diverged else None, "wall_seconds": 1.0, "cpu_seconds": 1.0, "particle_gradients": 1.0,
            "kid": kid}


def test_a_unit_of_an_older_search_may_have_an_arm_or_an_objective_that_there_is_no_more(tmp_path: Path) -> None:
    """`--set search=null` after a search, an arm removed, another objective: it is kept, and worth nothing here."""
    for objectives, diverged in (([], {}), (["kid"], {"b": [1.5]}), (["kid_long"], {"a": [None]})):
        results = Results(Store(str(tmp_path), "study"), "kid", objectives, diverged)
        result = results.add(unit_of("a", 0.1), "finished", [final(1000, 0.25), final(1001, 0.01)], {})
        assert result.told == () and result.value == pytest.approx(0.13) and results.all() == []


def test_what_is_left_of_a_unit_are_its_missing_seeds(tmp_path: Path) -> None:
    """More replicates, or a damaged block before a whole one: what is whole is not trained again."""
    unit = Unit(unit_of("a", 0.1).configuration, (0, 1, 2, 3, 4), "abc")
    for have, left in (((), (0, 1, 2, 3, 4)), ((0, 1), (2, 3, 4)), ((2, 3, 4), (0, 1)), ((0, 3, 4), (1, 2)),
                       ((0, 1, 2, 3, 4), None)):
        results = Results(Store(str(tmp_path), "study"), "kid")
        results.add(unit, "finished", [final(seed, 0.5) for seed in have], {}) if have else None
        rest = results.rest(unit)
        assert (rest and rest.seeds) == left


def test_a_masked_replicate_counts_as_diverged_though_its_samples_look_fine(tmp_path: Path) -> None:
    results = Results(Store(str(tmp_path), "study"), "kid", ["kid"], {"a": [1.5]})
    results.expect(unit_of("a", 0.1))
    result = results.add(unit_of("a", 0.1), "finished", [final(1000, 0.25), final(1001, 0.01, diverged=True)], {})
    assert result.told == ((0.25 + 1.5) / 2,) and (result.value, result.diverged) == (0.25, 1)


def test_the_best_are_no_survivors_of_divergence_and_none_that_was_pruned(tmp_path: Path) -> None:
    spec = loads(SPEC.replace("replicates: 2, step_size: [0.05, 0.3]", "replicates: 3, step_size: [0.05, 0.1, 0.3]"))
    results = Results(Store(str(tmp_path), "study"), "kid")
    units = [unit for unit in design_units(spec, "data", results) if unit.configuration["arm"] == "kl"]
    by_step = {unit.configuration["knobs"]["step_size"]: unit for unit in units}
    results.add(by_step[0.05], "finished", [final(seed, 0.5) for seed in range(3)], {})
    results.add(by_step[0.3], "finished", [final(seed, 0.1, diverged=seed > 0) for seed in range(3)], {})
    results.add(by_step[0.1], "pruned", [], {})
    assert [c["knobs"]["step_size"] for c in best(spec, "kl", results)] == [0.05, 0.3]


def test_of_several_objectives_the_pareto_set_is_confirmed_first(tmp_path: Path) -> None:
    """By the first objective alone its neighbours would be, which something beats in both."""
    spec = loads("study: s\ndata: digits\nmethod: kl\nconfirm: {top: 3}\nsearch: {trials: 9, replicates: 2, "
                 "objective: [primary, particle_gradients], space: {step_size: {log: [0.01, 0.9]}}}\n")
    assert spec.search is not None
    results = Results(Store(str(tmp_path), "study"), spec.primary, spec.search.objectives, {"kl": [None, None]})
    told = [(0.1, 9.0, 0), (0.15, 9.5, 0), (0.2, 9.1, 0), (0.3, 4.0, 0), (0.01, 1.0, 2), (0.4, 5.0, 0)]
    for number, (value, cost, diverged) in enumerate(told):
        unit = Unit({"arm": "kl", "phase": "search", "n": number}, SEEDS, str(number))
        results.expect(unit)
        results.add(unit, "finished", [{**final(seed, 0.0, diverged=i < diverged), spec.primary: value,
                                        "particle_gradients": cost} for i, seed in enumerate(SEEDS)], {})
    assert [c["n"] for c in best(spec, "kl", results)] == [0, 3, 1, 2, 5, 4]


def test_the_last_units_end_reaches_the_journal_though_nothing_is_asked_again(tmp_path: Path) -> None:
    """The driver died after a worker had left the search's last unit, and before it was told."""
    search = arm_search(tmp_path, trials=2)
    search.replay()
    run(search, stop_after=1)
    unit = search.ask()
    assert unit is not None
    shelf = search._results
    assert isinstance(shelf, Shelf)
    shelf.train(unit)
    arm_search(tmp_path, shelf, trials=2).replay(read_only=True)
    journal = read_journal(Store(str(tmp_path), "study"), "search/v/a.json")
    assert [entry["state"] for entry in journal] == ["told", "asked"], "who only looks writes nothing"
    again = arm_search(tmp_path, shelf, trials=2)
    again.replay()
    assert again.is_exhausted and again.left == 0
    assert [entry["state"] for entry in read_journal(Store(str(tmp_path), "study"), "search/v/a.json")] == 2 * ["told"]
