"""The units of work that a study still needs: design cells, each arm's search, the confirmation of the best."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from study.plan.identity import config_hash, phase_seeds
from study.plan.samplers import make_pruner, make_sampler
from study.plan.space import (
    confirm_configuration,
    design_configurations,
    exchanged,
    most_updates,
    search_trials,
    suggest,
)
from study.run.further import Further
from study.schema.pareto import fronts
from study.schema.unit import Configuration, Unit
from study.spec import StudySpec
from study.store.results import Result, Results
from study.store.units import Store

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import BaseTrial

    from study.run.search.search import Search



def units_of(configurations: Iterable[Configuration], seeds: Sequence[int], content_hash: str) -> list[Unit]:
    """A unit for each configuration, with all seeds of its phase."""
    return [Unit(c, tuple(seeds), config_hash(c, content_hash)) for c in configurations]


def left_of(units: Iterable[Unit], results: Results, further: Further | None = None) -> list[Unit]:
    """What is left to train of each, in blocks of seeds: those that shorter trainings had, where these go on."""
    found: list[Unit] = []
    for unit in units:
        for seeds in further.blocks(unit) if further else ():
            results.begin(unit.config_hash, seeds)
        found += results.remaining_blocks(unit)
    return found


def design_units(spec: StudySpec, content_hash: str, results: Results, further: Further | None = None) -> list[Unit]:
    """What is missing of the design, in its order."""
    if spec.design is None:
        return []
    units = units_of(design_configurations(spec), phase_seeds(spec, "design"), content_hash)
    for unit in units:
        results.expect(unit)
    return left_of(units, results, further)


def confirm_units(spec: StudySpec, content_hash: str, results: Results, arms: Sequence[str]) -> list[Unit]:
    """The confirmation of these arms' best: of their search where there is one, else of their design. Only these count.
    Behind all of them, where arms exchange settings, each arm's best again with those of the others' best, but for
    those that are confirmed anyhow."""
    if spec.confirm is None:
        return []
    phase, seeds = "search" if spec.search is not None else "design", phase_seeds(spec, "confirm")
    own = {arm: units_of([confirm_configuration(spec, c) for c in best(spec, arm, results, phase)[:spec.confirm.top]],
                         seeds, content_hash) for arm in arms}
    found = [unit for units in own.values() for unit in units]
    known = {unit.config_hash for unit in found}
    for arm, units in own.items():
        settings = {u.config_hash: (arm, u.config_hash) for u in units[:spec.confirm.exchange]}
        more: list[Unit] = []
        for giver in (u for other in arms if other != arm and units for u in own[other][:spec.confirm.exchange]):
            [unit] = units_of([exchanged(spec, units[0].configuration, giver.configuration)], seeds, content_hash)
            if unit.config_hash not in known:
                known.add(unit.config_hash)
                more.append(unit)
                settings[unit.config_hash] = giver.configuration.arm, giver.config_hash
        results.choose(arm, [*units, *more], settings)
        found += more
    return found


def best(spec: StudySpec, arm: str, results: Results, phase: str) -> list[Configuration]:
    """An arm's configurations of a phase, best first: by what its search was told, else by the primary measure.

    Of several objectives the Pareto set comes first, then that of the others, each by the first objective.
    What misses a constraint of its search comes after all that keep them, the nearest first, and is in no set.
    Configurations of which more than half the replicates diverged come last, and push no other out of a set.
    """
    found = [r for r in results.all() if not r.pruned and
             (r.unit.configuration.arm, r.unit.configuration.phase) == (arm, phase)]
    front: dict[str, int] = {}
    if phase == "search" and spec.search is not None and len(spec.search.objectives) > 1:
        for lost in (True, False):
            told = [r for r in found if r.told and not r.excess and _mostly_diverged(r) is lost]
            ranks = fronts([r.told for r in told])
            front |= {r.unit.config_hash: rank for r, rank in zip(told, ranks, strict=True)}

    def rank(r: Result) -> tuple[bool, float, int, float, str]:
        value = r.told[0] if r.told else r.value
        return (_mostly_diverged(r), r.excess, front.get(r.unit.config_hash, 0),
                float("inf") if value is None else value, r.unit.config_hash)

    return [r.unit.configuration for r in sorted(found, key=rank)]


def _mostly_diverged(r: Result) -> bool:
    return 2 * r.diverged > r.replicates


def make_search(spec: StudySpec, version: str, content_hash: str, results: Results, store: Store,
                trained: Sequence[Unit] = (), read_only: bool = False) -> Search:
    """Every arm's study, replayed from its journal. trained: finished units of this version, in their order.
    read_only: another launch may hold the study, so nothing is written.
    """
    import optuna

    from study.run.search.arm import ArmSearch
    from study.run.search.guard import Guarded, GuardedPruner
    from study.run.search.search import Search

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    assert spec.search is not None
    search, seeds, trials = spec.search, tuple(phase_seeds(spec, "search")), search_trials(spec)
    arms = []

    def sampler(seed: int) -> BaseSampler:
        made = make_sampler(search.sampler, seed)
        return Guarded(made, search.sampler) if ":" in search.sampler else made

    def pruner(updates: int) -> BasePruner:
        made = make_pruner(search.prune, updates)
        return GuardedPruner(made, search.prune) if search.prune and ":" in search.prune else made

    for arm in spec.arms:
        def make(trial: BaseTrial, arm: str = arm) -> Unit:
            configuration = suggest(spec, arm, trial)
            return Unit(configuration, seeds, config_hash(configuration, content_hash))

        updates = most_updates(spec, arm)
        one = ArmSearch(arm, trials=trials[arm], seed=spec.seed, objectives=len(search.objectives),
                        sampler=sampler, pruner=pruner(updates), updates=updates, make=make, results=results,
                        store=store, journal=f"search/{version}/{arm}.json")
        one.replay(trained, read_only)
        arms.append(one)
    return Search(arms)
