"""A sampler or pruner from outside: where it fails, the launch stops with a sentence; suggestions lie in the space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from study.cluster import RunError


class Guarded(BaseSampler):
    """The sampler of this name, call for call."""

    def __init__(self, sampler: BaseSampler, name: str) -> None:
        self._sampler, self._name = sampler, name

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._sampler, method)(*arguments)
        except Exception as error:  # whatever code from outside does
            raise RunError(f"search.sampler {self._name}: {type(error).__name__}: {error}") from error

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        found: dict[str, BaseDistribution] = self._call("infer_relative_search_space", study, trial)
        return found

    def sample_relative(self, study: Study, trial: FrozenTrial,
                        search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Optuna itself looks whether these lie in the space."""
        found: dict[str, Any] = self._call("sample_relative", study, trial, search_space)
        return found

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str,
                           param_distribution: BaseDistribution) -> Any:
        value = self._call("sample_independent", study, trial, param_name, param_distribution)
        try:
            inside = param_distribution._contains(param_distribution.to_internal_repr(value))
        except (TypeError, ValueError):
            inside = False
        if not inside:
            raise RunError(f"search.sampler {self._name}: found {value!r} for {param_name}, expected one of "
                           f"{param_distribution}")
        return value

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._call("before_trial", study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._call("after_trial", study, trial, state, values)


class GuardedPruner(BasePruner):
    """The pruner of this name."""

    def __init__(self, pruner: BasePruner, name: str) -> None:
        self._pruner, self._name = pruner, name

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        try:
            return bool(self._pruner.prune(study, trial))
        except Exception as error:  # whatever code from outside does
            raise RunError(f"search.prune {self._name}: {type(error).__name__}: {error}") from error
