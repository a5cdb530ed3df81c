"""Searching: one in-memory Optuna study an arm, asked and told by the driver alone; arms take turns. No Ray here.

Each arm keeps a journal in the storage (what was asked, in order, and what was told), so that a relaunch rebuilds the
same study: told trials are added as they were, interrupted ones are asked again first, and numbers stay, on which the
sampler's seeds depend.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import BaseTrial, TrialState

from study.storage import Store, Unit

PATIENCE = 20  # repeated suggestions in a row after which an arm's space counts as exhausted
STATES = {"told": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "repeated": TrialState.FAIL}


@dataclass(frozen=True)
class Known:
    """A finished unit of an earlier launch. rungs: update -> objective reported there."""

    unit: Unit
    status: str
    rungs: Mapping[int, float] = field(default_factory=dict)


def trial_seed(study_seed: int, arm: str, number: int) -> int:
    """The sampler's seed for one suggestion, so that replaying results does not replay random numbers."""
    return int.from_bytes(hashlib.sha256(f"{study_seed}/{arm}/{number}".encode()).digest()[:4], "big")


class ArmSearch:
    """One arm's Optuna study.

    trials: the budget of distinct units. sampler: seed -> sampler. make: an Optuna trial -> the unit it suggests.
    score: the finite values, one an objective, of a finished unit. journal: a path in the store.
    """

    def __init__(self, arm: str, *, trials: int, seed: int, directions: Sequence[Any], sampler: Callable[[int], Any],
                 pruner: optuna.pruners.BasePruner, make: Callable[[BaseTrial], Unit],
                 score: Callable[[Unit], Sequence[float]], store: Store, journal: str) -> None:
        self.arm, self.trials, self.seed = arm, trials, seed
        self._sampler, self._make, self._score, self._store, self._path = sampler, make, score, store, journal
        self.study = optuna.create_study(directions=list(directions), sampler=sampler(seed), pruner=pruner)
        self.repeats = 0  # suggestions of this launch that had been made before
        self._repeats_in_a_row = 0
        self._running: dict[str, optuna.Trial] = {}
        self._left_out: set[str] = set()  # lost or interrupted in this launch
        self._journal: list[dict[str, Any]] = []

    def replay(self, known: Sequence[Known]) -> None:
        """Rebuild the study from the journal and what is finished; call it once, before the first ask.

        A finished unit that the journal lacks (the journal was lost, or the unit comes from MLflow) is added behind
        the others, if this arm's space would suggest it.
        """
        self._journal = self._store.read_json(self._path) or []
        done = {k.unit.key: k for k in known}
        seen: set[str] = set()
        for entry in self._journal:
            key = entry["unit"]
            if key in seen:
                entry["state"] = "repeated"
            elif key in done:
                self._settle(entry, done[key])
            else:
                entry["state"] = "asked"
            self._repeats_in_a_row = self._repeats_in_a_row + 1 if entry["state"] == "repeated" else 0
            seen.add(key)
            self._add(entry)
        for key in sorted(done.keys() - seen):
            params = self._params(done[key].unit)
            if params is not None:
                entry = {"unit": key, "params": params, "system_attrs": {}}
                self._settle(entry, done[key])
                self._journal.append(entry)
                self._add(entry)

    def _settle(self, entry: dict[str, Any], known: Known) -> None:
        """Write into a journal entry what a finished unit was worth, unless it says so already."""
        pruned = known.status == "pruned"
        if entry.get("state") != ("pruned" if pruned else "told"):
            entry["state"] = "pruned" if pruned else "told"
            entry["values"] = [] if pruned else list(self._score(known.unit))
            entry["rungs"] = {str(update): value for update, value in known.rungs.items()}

    def _add(self, entry: dict[str, Any]) -> None:
        if entry["state"] == "asked":  # ask() hands out waiting trials before it samples
            self.study.enqueue_trial(entry["params"])
            return
        fixed = optuna.trial.FixedTrial(entry["params"])
        self._make(fixed)
        self.study.add_trial(optuna.trial.create_trial(
            state=STATES[entry["state"]], values=entry.get("values") or None, params=entry["params"],
            distributions=fixed.distributions, system_attrs=entry["system_attrs"],
            intermediate_values={int(update): value for update, value in entry.get("rungs", {}).items()}))

    def _params(self, unit: Unit) -> dict[str, Any] | None:
        """The parameters that would suggest this very unit, or None where this arm never would."""
        fixed = optuna.trial.FixedTrial(unit.configuration["knobs"])
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # how a FixedTrial says that a number is outside of its range
            try:
                return fixed.params if self._make(fixed).key == unit.key else None
            except (ValueError, UserWarning):  # it lacks a knob, has no such choice, or lies outside
                return None

    # Ask and tell.

    @property
    def asked(self) -> int:
        """Distinct units asked so far in all launches, and those that wait to be asked again."""
        return sum(t.state is not TrialState.FAIL for t in self.study.get_trials(deepcopy=False)) + len(self._left_out)

    @property
    def is_exhausted(self) -> bool:
        """Whether the budget is used up, or the sampler only repeats itself."""
        return not self._waiting and (self.asked >= self.trials or self.only_repeats)

    @property
    def only_repeats(self) -> bool:
        """Whether the space seems to hold nothing new."""
        return self._repeats_in_a_row >= PATIENCE

    @property
    def left(self) -> int:
        """Units of the budget that are not finished."""
        told = sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in self.study.get_trials(deepcopy=False))
        return 0 if self.is_exhausted else max(0, self.trials - told)

    @property
    def _waiting(self) -> bool:
        return any(t.state is TrialState.WAITING for t in self.study.get_trials(deepcopy=False))

    def ask(self) -> Unit | None:
        """The next unit to run, or None (`is_exhausted`)."""
        while not self.is_exhausted:
            again = self._waiting
            trials = self.study.get_trials(deepcopy=False)
            self.study.sampler = self._sampler(trial_seed(self.seed, self.arm, len(trials)))
            trial = self.study.ask()
            unit = self._make(trial)
            if again:
                self._running[unit.key] = trial
                return unit
            is_new = all(entry["unit"] != unit.key for entry in self._journal)
            self._journal.append({
                "unit": unit.key, "params": trial.params, "state": "asked" if is_new else "repeated",
                "system_attrs": dict(self.study.get_trials(deepcopy=False)[trial.number].system_attrs)})
            self._write()
            if is_new:
                self._repeats_in_a_row = 0
                self._running[unit.key] = trial
                return unit
            self.study.tell(trial, state=TrialState.FAIL)
            self.repeats += 1
            self._repeats_in_a_row += 1
        return None

    def should_prune(self, unit: Unit, update: int, value: float) -> bool:
        """Report to the pruner, and ask it."""
        trial = self._running[unit.key]
        if update not in self.study.get_trials(deepcopy=False)[trial.number].intermediate_values:
            trial.report(value, update)  # a unit that goes on in a new worker may report an update again
        return trial.should_prune()

    def tell(self, unit: Unit, status: str) -> None:
        """Every asked trial ends here: COMPLETE with finite values, PRUNED, or FAIL where nothing was learnt."""
        trial = self._running.pop(unit.key)
        if status in ("lost", "interrupted"):  # in the journal it stays `asked`: the next launch asks it again
            self.study.tell(trial, state=TrialState.FAIL)
            self._left_out.add(unit.key)
            return
        rungs = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        entry = next(entry for entry in self._journal if entry["unit"] == unit.key)
        self._settle(entry, Known(unit, status, rungs))
        self.study.tell(trial, entry["values"] or None, STATES[entry["state"]])
        self._write()

    def owns(self, unit: Unit) -> bool:
        """Whether this arm waits for that unit."""
        return unit.key in self._running

    def _write(self) -> None:
        self._store.write_json(self._path, self._journal)


class Search:
    """A `Source`: the arm that has asked least asks next, so that budgets stay equal."""

    def __init__(self, arms: Sequence[ArmSearch]) -> None:
        self.arms = list(arms)

    def next(self) -> Unit | None:
        """A unit of the arm that is furthest behind and has more."""
        for arm in sorted(self.arms, key=lambda arm: arm.asked):
            unit = arm.ask()
            if unit is not None:
                return unit
        return None

    @property
    def is_exhausted(self) -> bool:
        """Whether no arm will ask again."""
        return all(arm.is_exhausted for arm in self.arms)

    def should_prune(self, unit: Unit, update: int, value: float) -> bool:
        """Ask the pruner of the arm that asked for the unit."""
        return self._arm(unit).should_prune(unit, update, value)

    def finished(self, unit: Unit, status: str) -> None:
        """Tell the arm that asked for the unit."""
        self._arm(unit).tell(unit, status)

    def _arm(self, unit: Unit) -> ArmSearch:
        return next(arm for arm in self.arms if arm.owns(unit))
