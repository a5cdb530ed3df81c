"""The Optuna side of a search, without Ray: equal budgets, replay, and no trial that is left running."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import BaseTrial, TrialState

from study.plan.samplers import make_pruner, make_sampler
from study.run.search.arm import PATIENCE, ArmSearch, trial_seed
from study.run.search.search import Search
from study.schema.bound import Bound
from study.schema.unit import Unit
from study.store.journal import read_journal
from study.store.results import Results
from study.store.units import Store
from tests.configurations import unit

optuna.logging.set_verbosity(optuna.logging.ERROR)
SEEDS = (1000, 1001)


UPDATES = 9


def unit_of(arm: str, x: Any, k: int = 0, seeds: tuple[int, ...] = SEEDS, updates: int = UPDATES) -> Unit:
    return unit(seeds, f"{arm}-{x!r}-{k}", phase="search", arm=arm, x=x, k=k, updates=updates)


class Shelf(Results):
    """Results whose every unit is worth a bowl in x and k, whatever its seeds."""

    def __init__(self, folder: Path, objectives: int = 1, constraints: Mapping[str, Bound] | None = None) -> None:
        super().__init__(Store(str(folder), "study"), "kid", dict.fromkeys(["kid", "k"][:objectives], 1),
                         dict.fromkeys("ab", [None] * objectives), constraints)

    def train(self, unit: Unit, rungs: dict[int, float] | None = None) -> None:
        self.add(unit, "finished", [self.row(unit, seed) for seed in unit.seeds], rungs or {})

    def row(self, unit: Unit, seed: int) -> dict[str, Any]:
        knobs = unit.configuration.knobs
        return {"seed": seed, "stage": "final", "verdict": "survived", "diverged_at": None, "wall_seconds": 1.0,
                "cpu_seconds": 1.0, "particle_gradients": 1.0, "kappa": 2 * knobs["x"], "k": 3.0 - knobs["k"],
                "kid": (knobs["x"] - 0.3) ** 2 + 0.1 * knobs["k"]}


def arm_search(folder: Path, shelf: Shelf | None = None, arm: str = "a", trials: int = 12, pruner: Any = None,
               choices: int = 0, seeds: tuple[int, ...] = SEEDS, version: str = "v", sampler: str = "tpe",
               objectives: int = 1) -> ArmSearch:
    def make(trial: BaseTrial) -> Unit:
        if choices:
            return unit_of(arm, trial.suggest_categorical("x", list(range(choices))), seeds=seeds)
        return unit_of(arm, trial.suggest_float("x", 0.01, 1, log=True), trial.suggest_int("k", 0, 3), seeds)

    search = ArmSearch(arm, trials=trials, seed=7, objectives=objectives, sampler=lambda s: make_sampler(sampler, s),
                       pruner=pruner or optuna.pruners.NopPruner(), updates=UPDATES, make=make,
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
        finish(search, unit, {1: 1.0, 2: 0.5})  # every worker leaves some
    return keys


def states(search: ArmSearch) -> list[TrialState]:
    return [t.state for t in search.study.get_trials(deepcopy=False)]


SMALL_STEPS = {"kappa": Bound(0.1, "minimize")}  # x <= .05, far from the bowl's middle


@pytest.mark.parametrize("constraints", [{}, SMALL_STEPS], ids=["free", "bound"])
@pytest.mark.parametrize(("sampler", "objectives", "trials", "stops"), [
    ("tpe", 1, 12, [1, 5, 11]), ("tpe", 2, 12, [11]), ("random", 1, 12, [5]), ("gp", 1, 12, [11]), ("gp", 2, 12, [11]),
    ("nsga2", 1, 45, [1, 19, 20, 44]), ("nsga2", 2, 45, [1, 19, 20, 44])])  # in generations of 20
def test_disturbed_equals_undisturbed(tmp_path: Path, sampler: str, objectives: int, trials: int, stops: list[int],
                                      constraints: dict[str, Bound]) -> None:
    """A launch that is stopped, with one unit in progress, and continued asks what one that was not would ask."""
    def search(folder: str, shelf: Shelf) -> ArmSearch:
        return arm_search(tmp_path / folder, shelf, sampler=sampler, objectives=objectives, trials=trials)

    whole = run(search("whole", Shelf(tmp_path / "whole", objectives, constraints)))
    for stop in stops:
        shelf = Shelf(tmp_path / str(stop), objectives, constraints)
        first = search(str(stop), shelf)
        before = run(first, stop)
        running = first.ask()
        assert running is not None
        first.tell(running, "interrupted")
        assert TrialState.RUNNING not in states(first)
        second = search(str(stop), shelf)
        second.replay()
        assert before + run(second) == whole and len(whole) == len(set(whole)) == trials, f"stopped after {stop}"


def test_gp_is_silent_where_no_trial_keeps_its_constraints(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """Optuna then divides 0 by 0: NumPy would say so on the terminal at each trial."""
    run(arm_search(tmp_path, Shelf(tmp_path, 1, {"kappa": Bound(1e-9, "minimize")}), sampler="gp", trials=12))
    assert [str(one.message) for one in recwarn] == []


@pytest.mark.parametrize(("sampler", "trials"), [("tpe", 30), ("gp", 20), ("nsga2", 120)])
def test_samplers_look_where_constraints_are_kept(tmp_path: Path, sampler: str, trials: int) -> None:
    """Without them they look around the bowl's middle, of which no trial keeps them; each trial says by how much."""
    inside = []
    for constraints in ({}, SMALL_STEPS):
        shelf = Shelf(tmp_path, 1, constraints)
        search = arm_search(tmp_path / str(len(constraints)), shelf, sampler=sampler, trials=trials)
        run(search)
        late = [t for t in search.study.get_trials(deepcopy=False) if t.state is TrialState.COMPLETE][trials // 2:]
        inside.append(sum(trial.params["x"] <= 0.05 for trial in late) / len(late))
        assert [t.constraints for t in late] == [
            {name: pytest.approx(min(10, (2 * t.params["x"] - bound.limit) / bound.limit))
             for name, bound in constraints.items()} for t in late]
    assert inside[1] > 1.4 * inside[0], inside


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
    first = arm_search(tmp_path, shelf, trials=3, pruner=make_pruner("successive_halving", 90))
    unit = first.ask()
    assert unit is not None
    shelf.train(unit, {10: 0.1, 30: 0.05})
    second = arm_search(tmp_path, shelf, trials=3, pruner=make_pruner("successive_halving", 90))
    second.replay()
    other = second.ask()
    assert states(second)[0] is TrialState.COMPLETE and other is not None and second.should_prune(other, {10: 0.4})


def test_a_shorter_trial_is_compared_at_equal_shares_of_its_updates(tmp_path: Path) -> None:
    """With a budget the updates depend on the MCMC steps: a third of 30 meets a third of 90."""
    shelf = Shelf(tmp_path)

    def made(k: int, seeds: tuple[int, ...] = SEEDS) -> Unit:
        return unit_of("a", 1.0, k, seeds, updates=(90, 30, 45)[k])

    def search() -> ArmSearch:
        return ArmSearch("a", trials=3, seed=7, objectives=1, sampler=lambda s: make_sampler("random", s), updates=90,
                         pruner=make_pruner("successive_halving", 90), results=shelf,
                         store=Store(str(tmp_path), "study"), make=lambda trial: made(
                             trial.suggest_categorical("k", [0, 1, 2])), journal="search/v/a.json")

    def reported(search: ArmSearch) -> dict[int, dict[int, float]]:
        return {trial.params["k"]: trial.intermediate_values for trial in search.study.get_trials()
                if trial.state is not TrialState.FAIL}  # a suggestion that came again

    first = search()
    assert {unit.configuration.knobs["k"] for _ in range(3) if (unit := first.ask())} == {0, 1, 2}
    rungs = {0: {10: 0.1, 30: 0.05}, 1: {3: 0.2, 10: 0.04}, 2: {5: 0.3}}
    assert [first.should_prune(made(k), rungs[k]) for k in (0, 1, 2)] == [False, False, True]
    for k in (0, 1):
        finish(first, made(k), rungs[k])
    prune(first, made(2), rungs[2])
    assert reported(first) == {0: rungs[0], 1: {9: 0.2, 30: 0.04}, 2: {10: 0.3}}
    again = search()
    again.replay()
    assert reported(again) == reported(first)


def test_what_an_orphan_finishes_while_it_is_asked_again_teaches_the_pruner_too(tmp_path: Path) -> None:
    """The worker of a killed driver may write done.json after the next launch has read the storage: the new worker
    finds it and has nothing to report."""
    shelf = Shelf(tmp_path)
    search = arm_search(tmp_path, shelf, trials=3, pruner=make_pruner("successive_halving", 90))
    unit = search.ask()
    assert unit is not None
    finish(search, unit, {10: 0.1, 30: 0.05})
    [trial] = search.study.get_trials(deepcopy=False)
    assert trial.intermediate_values == {10: 0.1, 30: 0.05}
    other = search.ask()
    assert other is not None and search.should_prune(other, {10: 0.4})
    again = arm_search(tmp_path, shelf, trials=3, pruner=make_pruner("successive_halving", 90))
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


def test_a_lost_journal_is_made_again_from_what_this_version_trained(tmp_path: Path) -> None:
    """Units of this space count, those of another space do not."""
    shelf = Shelf(tmp_path / "one")
    first = arm_search(tmp_path / "one", shelf)
    run(first, 4)
    tagged = [*shelf._done.values(), unit_of("a", x=5.0, k=1), unit_of("b", x=0.5, k=1)]
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
    shelf.train(Unit(replace(inside.configuration, arm="b"), SEEDS, inside.config_hash))
    again = arm_search(tmp_path, shelf, trials=2)
    again.replay([*shelf._done.values()])
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
    first = arm_search(tmp_path, shelf, trials=3, pruner=make_pruner("successive_halving", 90))
    lost = first.ask()
    assert lost is not None
    first.tell(lost, "lost")
    run(first)
    shelf.train(lost, {10: 0.1, 30: 0.05})
    first.settle(lost)
    assert first.asked == 3 and first.is_exhausted
    second = arm_search(tmp_path, shelf, trials=3, pruner=make_pruner("successive_halving", 90))
    second.replay()
    assert second.left == 0
    for search in (first, second):
        told = [t for t in search.study.get_trials(deepcopy=False) if t.state is TrialState.COMPLETE]
        assert len(told) == 3
        [late] = [t for t in told if t.params["x"] == lost.configuration.knobs["x"]]
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
    first = arm_search(tmp_path, shelf, trials=4, pruner=make_pruner("successive_halving", 90))
    for value in values:
        unit = first.ask()
        assert unit is not None
        stop = first.should_prune(unit, {10: value})
        if stop:
            prune(first, unit, {10: value})
        else:
            finish(first, unit, {10: value})
    second = arm_search(tmp_path, shelf, trials=4, pruner=make_pruner("successive_halving", 90))
    second.replay()
    before, after = ([(t.state, t.intermediate_values, t.system_attrs.get("completed_rung_0"))
                      for t in search.study.get_trials(deepcopy=False)] for search in (first, second))
    assert after == before and [rung for *_, rung in after] == values
    unit = second.ask()
    assert unit is not None and second.should_prune(unit, {10: 0.4})


def test_what_was_stopped_and_has_no_done_json_is_stopped_again(tmp_path: Path) -> None:
    """The driver died after the journal said `pruned`, and before done.json: the unit has to pass its rungs anew."""
    shelf = Shelf(tmp_path)
    first = arm_search(tmp_path, shelf, trials=2, pruner=make_pruner("successive_halving", 90))
    unit = first.ask()
    assert unit is not None and not first.should_prune(unit, {10: 0.1})
    finish(first, unit, {10: 0.1})
    unit = first.ask()
    assert unit is not None and first.should_prune(unit, {10: 0.4})
    first.tell(unit, "pruned")
    second = arm_search(tmp_path, shelf, trials=2, pruner=make_pruner("successive_halving", 90))
    second.replay()
    again = second.ask()
    assert again is not None and again.key == unit.key
    assert second.should_prune(again, {10: 0.4})


@pytest.mark.parametrize("text", ['{"entries": [], "sha256": ""}', "[]", '"told"', '[{"params": 3}]', "", "{bad"])
def test_a_damaged_journal_is_made_again_with_its_rungs(tmp_path: Path, text: str, caplog: Any) -> None:
    """Whatever was done to it. A pruner without the others' rungs would let the next one pass."""
    shelf, path = Shelf(tmp_path), tmp_path / "study/search/v/a.json"
    first = arm_search(tmp_path, shelf, trials=4, pruner=make_pruner("successive_halving", 90))
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
    second = arm_search(tmp_path, shelf, trials=4, pruner=make_pruner("successive_halving", 90))
    second.replay([*shelf._done.values()])
    assert any("v/a.json is damaged; a launch makes it again" in line for line in caplog.messages)
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
    first = arm_search(tmp_path, shelf, trials=3, pruner=make_pruner("successive_halving", 90))
    running = first.ask()
    assert running is not None and not first.should_prune(running, {10: 0.1})
    second = arm_search(tmp_path, shelf, trials=3, pruner=make_pruner("successive_halving", 90))
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
        order.append(unit.configuration.arm)
        shelf.train(unit)
        search.finished(unit, "finished")
    assert "".join(order) == "bbababab" and search.is_exhausted


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


def test_what_was_pruned_before_the_journal_could_say_so_is_pruned(tmp_path: Path) -> None:
    """The driver died between the two. What another version pruned is asked again."""
    pruner = make_pruner("successive_halving", 90)
    for mine in (True, False):
        folder = tmp_path / str(mine)
        shelf = Shelf(folder)
        first = arm_search(folder, shelf, trials=2, pruner=pruner)
        unit = first.ask()
        assert unit is not None
        shelf.add(unit, "pruned", [], {10: 0.4})
        second = arm_search(folder, shelf, trials=2, pruner=pruner)
        second.replay([unit] if mine else [])
        assert states(second) == [TrialState.PRUNED if mine else TrialState.WAITING]
        assert second.study.trials[0].intermediate_values == ({10: 0.4} if mine else {})


@pytest.mark.parametrize("name", ["MedianPruner", "HyperbandPruner"])
def test_optunas_pruners_by_their_place_stop_the_same_trials_in_a_relaunch(name: str, tmp_path: Path) -> None:
    """Each trial is worse than the one before: some are stopped."""
    shelf, place = Shelf(tmp_path), f"optuna.pruners:{name}"
    first = arm_search(tmp_path, shelf, trials=12, pruner=make_pruner(place, 90))
    stopped = []
    for k in range(10):
        unit = first.ask()
        assert unit is not None
        rungs = {update: 0.1 * (k + 1) for update in (1, 3, 9, 27, 81)}
        stopped.append(first.should_prune(unit, rungs))
        (prune if stopped[-1] else finish)(first, unit, rungs)
    assert any(stopped) and not all(stopped) and not stopped[0]
    second = arm_search(tmp_path, shelf, trials=12, pruner=make_pruner(place, 90))
    second.replay()
    assert states(second) == states(first)
    assert second.study.study_name == first.study.study_name  # by which Hyperband deals its brackets
    ahead = [search.ask() for search in (first, second)]
    assert all(ahead) and ahead[0] == ahead[1]
    asked = [search.should_prune(unit, {1: 0.55, 3: 0.55}) for search, unit in
             zip((first, second), ahead, strict=True) if unit]
    assert asked[0] == asked[1]
