"""One arm's search: an Optuna study in memory, asked and told by the driver alone. No Ray here.

Each arm keeps a journal in the storage, so that a relaunch rebuilds the same study: told trials are added as they were,
interrupted ones are asked again first, and numbers stay, on which the sampler's seeds depend.
"""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.trial import BaseTrial, TrialState

from study.run.search.memory import memory, restore_memory, what_is_new
from study.schema.unit import Unit
from study.store.journal import Entry, read_journal, write_journal
from study.store.results import Results
from study.store.units import Store

PATIENCE = 20  # repeated suggestions in a row after which an arm's space counts as exhausted
FIXED = "fixed_params"  # Optuna's name for parameters that a trial is to have
STATES = {"told": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "repeated": TrialState.FAIL}


def trial_seed(study_seed: int, arm: str, number: int) -> int:
    """The sampler's seed for one suggestion, so that replaying results does not replay random numbers."""
    return int.from_bytes(hashlib.sha256(f"{study_seed}/{arm}/{number}".encode()).digest()[:4], "big")


class ArmSearch:
    """One arm's Optuna study.

    trials: the budget of distinct units. objectives: how many, all minimized. sampler: seed -> sampler. make: an Optuna
    trial -> the unit it suggests, with all its seeds. journal: a path in the store. updates: of the longest trial. The
    pruner and the journal see a shorter one as if it had as many, so that trials are compared at equal shares.
    """

    def __init__(self, arm: str, *, trials: int, seed: int, objectives: int, sampler: Callable[[int], Any],
                 pruner: optuna.pruners.BasePruner, updates: int, make: Callable[[BaseTrial], Unit],
                 results: Results, store: Store, journal: str) -> None:
        self.arm, self.trials, self.seed = arm, trials, seed
        self._sampler, self._make, self._results, self._store, self._path = sampler, make, results, store, journal
        self._pruner, self._updates = pruner, updates
        self.study = optuna.create_study(study_name=arm, directions=["minimize"] * objectives, sampler=sampler(seed),
                                         pruner=pruner)  # named, since Hyperband deals its brackets by the name
        self.repeats = 0  # suggestions of this launch that had been made before
        self.answered = 0  # suggestions of this launch that another version of the study had trained
        self._repeats_in_a_row = 0
        self._running: dict[str, tuple[optuna.Trial, Unit]] = {}  # by config_hash
        self._left_out: set[str] = set()  # lost or interrupted in this launch
        self._journal: list[Entry] = []
        self._units: list[str] = []  # keys, of each trial of the study in its order

    def replay(self, trained: Sequence[Unit] = (), read_only: bool = False) -> None:
        """Rebuild the study from the journal and what is finished; call it once, before the first ask. What is learnt
        on the way goes into the journal, unless `read_only`.

        trained: finished units of this version, in their order: where the journal was lost those that ran in this
        arm's name are added behind the others, if its space would suggest them. (Another arm's may lie in it, too.)
        What of them is pruned was so by this search, though the journal may not have come to say it.
        """
        pruned = {unit.key for unit in trained if self._results.is_pruned(unit)}
        self._journal = read_journal(self._store, self._path)
        before = copy.deepcopy(self._journal)
        seen: set[str] = set()
        for entry in self._journal:
            unit = self._make(optuna.trial.FixedTrial(entry["params"]))
            if unit.config_hash in seen:
                entry["state"] = "repeated"
            else:
                self._restore(entry, unit, entry["state"] == "pruned" or unit.key in pruned)
            self._repeats_in_a_row = self._repeats_in_a_row + 1 if entry["state"] == "repeated" else 0
            seen.add(unit.config_hash)
            self._add(entry)
        for done in trained:
            found = self._suggested(done) if done.configuration.arm == self.arm else None
            if found is not None and found[0].config_hash not in seen:
                unit, params = found
                entry = {"unit": unit.key, "params": params, "system_attrs": {}}
                self._restore(entry, unit, self._results.remaining_block(unit) is not None)
                self._journal.append(entry)
                seen.add(unit.config_hash)
                self._add(entry)
        restore_memory(self.study, self._journal, self._units)
        if self._journal != before and not read_only:  # perhaps nothing is asked again, and this is the last word
            self._write()

    def _restore(self, entry: Entry, unit: Unit, was_pruned: bool) -> None:
        """Set an entry's state to what is known of its unit: pruned, told, or asked, which waits to be asked again."""
        self._results.expect(unit)
        if was_pruned and self._results.is_pruned(unit):
            self._settle(entry, unit, "pruned", self._rungs(unit))
        elif self._results.remaining_block(unit) is None:
            self._settle(entry, unit, "told", self._rungs(unit))
        else:
            if entry.get("state") in ("pruned", "told"):  # it runs again, and passes its rungs again
                noted = self._noted(entry["rungs"], self._results.excess(unit))
                entry["system_attrs"] = {key: value for key, value in entry["system_attrs"].items() if key not in noted}
            entry["state"] = "asked"

    def _settle(self, entry: Entry, unit: Unit, state: str, rungs: Mapping[int, float]) -> None:
        """Write into a journal entry what a finished unit was worth, unless it says so already."""
        if state == "pruned":
            self._results.stop(unit)
        if entry.get("state") != state:
            entry["state"] = state
            entry["values"] = list(self._results.score(unit)) if state == "told" else []
            entry["rungs"] = {str(update): value for update, value in rungs.items()}
            entry["system_attrs"] |= self._noted(entry["rungs"], self._results.excess(unit) if state == "told" else {})

    def _add(self, entry: Entry) -> None:
        self._units.append(entry["unit"])
        if entry["state"] == "asked":  # ask() hands out waiting trials before it samples
            self.study.add_trial(optuna.trial.create_trial(  # as enqueue_trial, with what the sampler noted of it
                state=TrialState.WAITING, system_attrs={**entry["system_attrs"], FIXED: entry["params"]}))
            return
        fixed = optuna.trial.FixedTrial(entry["params"])
        self._make(fixed)
        self.study.add_trial(optuna.trial.create_trial(
            state=STATES[entry["state"]], values=entry.get("values") or None, params=entry["params"],
            distributions=fixed.distributions, system_attrs=entry["system_attrs"],
            intermediate_values={int(update): value for update, value in entry.get("rungs", {}).items()}))

    def _rungs(self, unit: Unit) -> Mapping[int, float]:
        """What its trial reported on the way: of several objectives nothing, since Optuna takes reports of one."""
        return {} if self._is_pareto else self._scaled(unit, self._results.rungs(unit))

    def _scaled(self, unit: Unit, rungs: Mapping[int, float]) -> dict[int, float]:
        own = int(unit.configuration.knobs["updates"])
        return {round(update * self._updates / own): value for update, value in rungs.items()}

    @property
    def _is_pareto(self) -> bool:
        return len(self.study.directions) > 1

    def _noted(self, rungs: Mapping[str, float], excess: Mapping[str, float]) -> dict[str, Any]:
        """What Optuna and the pruner would have noted of a trial that reported these, and misses its constraints so: it
        is done here, in a study of its own, where no other trial can stop it on the way."""
        alone = optuna.create_study(study_name=self.arm, pruner=self._pruner)
        trial = alone.ask()
        for update in sorted(map(int, rungs)):
            trial.report(rungs[str(update)], update)
            trial.should_prune()
        for name, value in excess.items():
            trial.set_constraint(name, value)
        return dict(alone.get_trials(deepcopy=False)[0].system_attrs)

    def _suggested(self, done: Unit) -> tuple[Unit, dict[str, Any]] | None:
        """The unit, with all its seeds, and the parameters that suggest it, or None where this arm never would."""
        fixed = optuna.trial.FixedTrial(dict(done.configuration.knobs))
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # how a FixedTrial says that a number is outside of its range
            try:
                unit = self._make(fixed)
            except (ValueError, UserWarning):  # it lacks a knob, has no such choice, or lies outside
                return None
        return (unit, fixed.params) if unit.config_hash == done.config_hash else None

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
            known = memory(self.study)
            # Where one point is far the best, as where no trial keeps its constraints, Optuna's gp divides 0 by 0.
            is_gp = isinstance(self.study.sampler, optuna.samplers.GPSampler)
            with np.errstate(invalid="ignore" if is_gp else None):
                trial = self.study.ask()
                unit = self._make(trial)
            if not again:
                self._units.append(unit.key)
                is_new = all(entry["unit"] != unit.key for entry in self._journal)
                self._journal.append({"unit": unit.key, "params": trial.params,
                                      "state": "asked" if is_new else "repeated", "system_attrs": self._attrs(trial),
                                      **what_is_new(known, memory(self.study), self._units)})
                self._write()
                if not is_new:
                    self.study.tell(trial, state=TrialState.FAIL)
                    self.repeats += 1
                    self._repeats_in_a_row += 1
                    continue
                self._repeats_in_a_row = 0
                self._results.expect(unit)
            self._running[unit.config_hash] = trial, unit
            rest = self._results.remaining_block(unit)
            if rest is not None:
                return rest
            self.tell(unit, "finished")
            self.answered += 1
        return None

    def _attrs(self, trial: optuna.Trial) -> dict[str, Any]:
        found = self.study.get_trials(deepcopy=False)[trial.number].system_attrs
        return {key: value for key, value in found.items() if key != FIXED}

    def should_prune(self, unit: Unit, rungs: Mapping[int, float]) -> bool:
        """Report to the pruner, and ask it. Never pruned is a unit that only adds seeds to finished ones, nor one of a
        search with several objectives.

        rungs: all that the unit has reported. Some may be new that are not the last (it goes on in a new launch, which
        has to learn what it had reported before), some not new (it goes on in another worker). What it passed, it
        passed.
        """
        trial, whole = self._running[unit.config_hash]
        stop = False
        if unit.seeds == whole.seeds and not self._is_pareto:
            known, scaled = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values, self._scaled(
                unit, rungs)
            for update in sorted(scaled.keys() - known.keys()):
                trial.report(scaled[update], update)
                stop = trial.should_prune()
        return stop

    def tell(self, unit: Unit, status: str) -> None:
        """Every asked trial ends here: COMPLETE with finite values, PRUNED, or FAIL where nothing was learnt."""
        trial, whole = self._running[unit.config_hash]
        if status in ("finished", "diverged"):  # perhaps its worker found it done, of which there was no report then
            self.should_prune(whole, self._results.rungs(whole))
        del self._running[unit.config_hash]
        if status in ("lost", "interrupted"):  # in the journal it stays `asked`: the next launch asks it again
            self.study.tell(trial, state=TrialState.FAIL)
            self._left_out.add(whole.key)
            return
        entry = next(entry for entry in self._journal if entry["unit"] == whole.key)
        self._settle(entry, whole, "pruned" if status == "pruned" else "told",
                     self.study.get_trials(deepcopy=False)[trial.number].intermediate_values)
        if entry["state"] == "told":
            for name, value in self._results.excess(whole).items():
                trial.set_constraint(name, value)  # which samplers read, and optuna.db keeps
        entry["system_attrs"] = self._attrs(trial)  # in which pruners keep their rungs
        self.study.tell(trial, entry["values"] or None, STATES[entry["state"]])
        self._write()

    def settle(self, unit: Unit) -> None:
        """Learn, after all, what a unit is worth that was lost: it has been finished in another round."""
        entry = next(entry for entry in self._journal if entry["unit"].startswith(f"{unit.config_hash}/"))
        whole = self._make(optuna.trial.FixedTrial(entry["params"]))
        self._restore(entry, whole, False)
        self._left_out.discard(whole.key)
        self._add(entry)
        self._write()

    def owns(self, unit: Unit) -> bool:
        """Whether this arm waits for that unit."""
        return self.arm == unit.configuration.arm and unit.config_hash in self._running

    def _write(self) -> None:
        write_journal(self._store, self._path, self._journal)
