"""Optuna's samplers and pruners by the words that the spec has for them. Imports optuna when one is made."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.registry import find

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

REDUCTION = 3  # successive halving keeps the better third at each rung
STARTUP = 10  # trials at random before a sampler that models them chooses


def sampler_arguments(name: str) -> Mapping[str, Any]:
    """What the sampler is made with, beside its seed: stated, since Optuna's defaults change between releases."""
    if ":" in name:
        return {}
    return {"tpe": {"n_startup_trials": STARTUP, "n_ei_candidates": 24, "multivariate": True, "constant_liar": True},
            "random": {}, "gp": {"n_startup_trials": STARTUP, "deterministic_objective": False},
            "nsga2": {"population_size": 20}}[name]


def make_sampler(name: str, seed: int) -> BaseSampler:
    """An Optuna sampler by the spec's word for it, or from outside."""
    if ":" in name:
        from optuna.exceptions import ExperimentalWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of Optuna's own, such as QMCSampler: at each trial
            found: BaseSampler = find("sampler", name)(seed=seed)
        return found

    from optuna import samplers

    kinds = {"tpe": samplers.TPESampler, "random": samplers.RandomSampler, "gp": samplers.GPSampler,
             "nsga2": samplers.NSGAIISampler}
    sampler: BaseSampler = kinds[name](seed=seed, **sampler_arguments(name))
    return sampler


def make_pruner(name: str | None, updates: int) -> BasePruner:
    """Successive halving with rungs at a ninth and a third of the updates; one from outside; or none."""
    from optuna import pruners

    if name is None:
        return pruners.NopPruner()
    if ":" in name:
        found: BasePruner = find("pruner", name)()
        return found
    return pruners.SuccessiveHalvingPruner(min_resource=max(1, updates // REDUCTION**2), reduction_factor=REDUCTION,
                                           min_early_stopping_rate=0, bootstrap_count=0)
