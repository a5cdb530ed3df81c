"""The units of work that a study still needs: design cells, each arm's search, the confirmation of the best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from study.identity import config_hash, phase_seeds
from study.results import Result, Results
from study.space import Configuration, confirm_configuration, design_configurations, suggest
from study.spec import StudySpec
from study.storage import Store, Unit

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import BaseTrial

    from study.search import Search

REDUCTION = 3  # successive halving keeps the better third at each rung


def missing_units(configurations: Iterable[Configuration], seeds: Sequence[int], content_hash: str,
                  results: Results) -> list[Unit]:
    """A unit for each configuration whose seeds are not all done, with the seeds that are left."""
    units = []
    for configuration in configurations:
        key = config_hash(configuration, content_hash)
        done = {seed for r in results.of(key) for seed in r.unit.seeds}
        left = [seed for seed in seeds if seed not in done]
        units += [Unit(configuration, block, key) for block in _blocks(left)]
    return units


def _blocks(seeds: Sequence[int]) -> list[tuple[int, ...]]:
    """Ascending seeds as runs without a gap: a block is named by its ends."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return [tuple(run) for run in runs]


def design_units(spec: StudySpec, content_hash: str, results: Results) -> list[Unit]:
    """What is missing of the design, in its order."""
    if spec.design is None:
        return []
    return missing_units(design_configurations(spec), phase_seeds(spec, "design"), content_hash, results)


def confirm_units(spec: StudySpec, content_hash: str, results: Results) -> list[Unit]:
    """What is missing of the confirmation of each arm's best: of its search where there is one, else of its design."""
    if spec.confirm is None:
        return []
    chosen = [c for arm in spec.arms for c in best(spec, arm, results)[:spec.confirm.top]]
    return missing_units(map(lambda c: confirm_configuration(spec, c), chosen), phase_seeds(spec, "confirm"),
                         content_hash, results)


def best(spec: StudySpec, arm: str, results: Results) -> list[Configuration]:
    """An arm's configurations, best first: by the first objective its search was told, else by the primary measure.

    Configurations of which more than half the replicates diverged come last.
    """
    phase = "search" if spec.search is not None else "design"
    sign = -1.0 if spec.search is not None and spec.search.directions[0] == "maximize" else 1.0

    def rank(group: list[Result]) -> tuple[bool, float, str]:
        diverged, replicates = sum(r.diverged for r in group), sum(r.replicates for r in group)
        values = [r.told[0] if r.told else r.value for r in group]
        known = [v for v in values if v is not None]
        mean = sign * sum(known) / len(known) if known else float("inf")
        return 2 * diverged > replicates, mean, group[0].unit.config_hash

    groups: dict[str, list[Result]] = {}
    for result in results.all():
        c = result.unit.configuration
        if c["arm"] == arm and c["phase"] == phase and not result.pruned:
            groups.setdefault(result.unit.config_hash, []).append(result)
    return [group[0].unit.configuration for group in sorted(groups.values(), key=rank)]


def make_search(spec: StudySpec, version: str, content_hash: str, results: Results, store: Store) -> Search:
    """Every arm's study, replayed from what is finished."""
    import optuna

    from study.search import ArmSearch, Known, Search

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    assert spec.search is not None
    search, seeds = spec.search, tuple(phase_seeds(spec, "search"))
    arms = []
    for arm in spec.arms:
        def make(trial: BaseTrial, arm: str = arm) -> Unit:
            configuration = suggest(spec, arm, trial)
            return Unit(configuration, seeds, config_hash(configuration, content_hash))

        updates = int(spec.arms[arm].full(search.fixed[arm])["updates"])
        one = ArmSearch(arm, trials=search.trials, seed=spec.seed, directions=search.directions,
                        sampler=lambda seed: make_sampler(search.sampler, seed), pruner=_pruner(search.prune, updates),
                        make=make, score=results.score, store=store, journal=f"search/{version}/{arm}.json")
        one.replay([Known(r.unit, r.status, r.rungs) for r in results.all()
                    if r.unit.configuration["phase"] == "search" and r.unit.configuration["arm"] == arm])
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
