"""The units of work that a study still needs: design cells, each arm's search, the confirmation of the best."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from study.plan.identity import config_hash, phase_seeds
from study.plan.space import Configuration, confirm_configuration, design_configurations, search_trials, suggest
from study.schema.unit import Unit
from study.show.pareto import fronts
from study.spec import StudySpec
from study.store.results import Result, Results
from study.store.units import Store

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import BaseTrial

    from study.run.search import Search

REDUCTION = 3  # successive halving keeps the better third at each rung


def expected(configurations: Iterable[Configuration], seeds: Sequence[int], content_hash: str,
             results: Results) -> list[Unit]:
    """A unit for each configuration, with all seeds of its phase. From now on the results count them."""
    units = [Unit(c, tuple(seeds), config_hash(c, content_hash)) for c in configurations]
    for unit in units:
        results.expect(unit)
    return units


def left_of(units: Iterable[Unit], results: Results) -> list[Unit]:
    """What is left to train of each, in blocks of seeds."""
    return [rest for unit in units for rest in results.rests(unit)]


def design_units(spec: StudySpec, content_hash: str, results: Results) -> list[Unit]:
    """What is missing of the design, in its order."""
    if spec.design is None:
        return []
    return left_of(expected(design_configurations(spec), phase_seeds(spec, "design"), content_hash, results), results)


def confirm_units(spec: StudySpec, content_hash: str, results: Results, arms: Iterable[str]) -> list[Unit]:
    """The confirmation of the best of each of these arms: of its search where there is one, else of its design."""
    if spec.confirm is None:
        return []
    chosen = [confirm_configuration(spec, c) for arm in arms for c in best(spec, arm, results)[:spec.confirm.top]]
    return expected(chosen, phase_seeds(spec, "confirm"), content_hash, results)


def best(spec: StudySpec, arm: str, results: Results) -> list[Configuration]:
    """An arm's configurations, best first: by the objective its search was told, else by the primary measure.

    Of several objectives the Pareto set comes first, then that of the others, each by the first objective.
    Configurations of which more than half the replicates diverged come last, and push no other out of a set.
    """
    phase = "search" if spec.search is not None else "design"
    found = [r for r in results.all() if not r.pruned and
             (r.unit.configuration.arm, r.unit.configuration.phase) == (arm, phase)]
    front = {} if spec.search is None or len(spec.search.objectives) == 1 else {
        **fronts([r for r in found if _mostly_diverged(r)]), **fronts([r for r in found if not _mostly_diverged(r)])}

    def rank(r: Result) -> tuple[bool, int, float, str]:
        value = r.told[0] if r.told else r.value
        return (_mostly_diverged(r), front.get(r.unit.config_hash, 0), float("inf") if value is None else value,
                r.unit.config_hash)

    return [r.unit.configuration for r in sorted(found, key=rank)]


def _mostly_diverged(r: Result) -> bool:
    return 2 * r.diverged > r.replicates


def make_search(spec: StudySpec, version: str, content_hash: str, results: Results, store: Store,
                tagged: Collection[str] = (), read_only: bool = False) -> Search:
    """Every arm's study, replayed from its journal. tagged: hashes of what MLflow shows as this version's search.
    read_only: another launch may hold the study, so nothing is written.
    """
    import optuna

    from study.run.search import ArmSearch, Search

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    assert spec.search is not None
    search, seeds, trials = spec.search, tuple(phase_seeds(spec, "search")), search_trials(spec)
    arms = []
    for arm in spec.arms:
        def make(trial: BaseTrial, arm: str = arm) -> Unit:
            configuration = suggest(spec, arm, trial)
            return Unit(configuration, seeds, config_hash(configuration, content_hash))

        updates = int(spec.arms[arm].full(search.fixed[arm])["updates"])
        one = ArmSearch(arm, trials=trials[arm], seed=spec.seed, objectives=len(search.objectives),
                        sampler=lambda seed: make_sampler(search.sampler, seed), pruner=_pruner(search.prune, updates),
                        make=make, results=results, store=store, journal=f"search/{version}/{arm}.json")
        one.replay(results.of(tagged), read_only)
        arms.append(one)
    return Search(arms)


def sampler_arguments(name: str) -> Mapping[str, Any]:
    """What the sampler is made with, beside its seed: stated, since Optuna's defaults change between releases."""
    return {"tpe": {"n_startup_trials": 10, "n_ei_candidates": 24, "multivariate": True, "constant_liar": True},
            "random": {}, "gp": {"n_startup_trials": 10, "deterministic_objective": False},
            "nsga2": {"population_size": 20}}[name]


def make_sampler(name: str, seed: int) -> BaseSampler:
    """An Optuna sampler by the spec's word for it."""
    from optuna import samplers

    kinds = {"tpe": samplers.TPESampler, "random": samplers.RandomSampler, "gp": samplers.GPSampler,
             "nsga2": samplers.NSGAIISampler}
    return kinds[name](seed=seed, **sampler_arguments(name))


def _pruner(name: str | None, updates: int) -> BasePruner:
    """Successive halving with rungs at a ninth and a third of the updates; or none."""
    from optuna import pruners

    if name is None:
        return pruners.NopPruner()
    return pruners.SuccessiveHalvingPruner(min_resource=max(1, updates // REDUCTION**2), reduction_factor=REDUCTION,
                                           min_early_stopping_rate=0, bootstrap_count=0)
