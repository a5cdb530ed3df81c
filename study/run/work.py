"""What a launch has left to do, phase by phase, and with which options its workers run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Protocol

from study.plan.cost import cost
from study.plan.identity import config_hash
from study.plan.prediction import predicted
from study.plan.space import confirm_sizes
from study.run.further import Further
from study.run.phases import best, confirm_units, design_units, left_of, make_search
from study.run.sources import Fixed, Phases, Source
from study.schema.bound import bounds_text
from study.schema.manifest import Manifest
from study.schema.plan import Plan
from study.schema.unit import Unit
from study.spec import StudySpec
from study.store.results import Results
from study.store.units import Store

PATIENCE = 3600.0  # seconds without a word that a worker has at least: data may take long to come
PATIENT = 20.0  # times what is estimated of its unit on an idle CPU


class Losses(Protocol):
    """What a launch could not finish (`monitor.Monitor`)."""

    lost_units: list[tuple[Unit, str]]
    first_lost: list[Unit]  # those that no earlier launch had lost
    out_of_memory: list[Unit]

    def expect(self, units: Sequence[Unit]) -> None:
        """Learn that these are all that is left."""

    def take_out_of_memory(self) -> list[Unit]:
        """The units that ran out of memory and have not run alone yet; from now on they count as tried."""


class Work:
    """left: units that are not finished (of search and confirmation: as planned). cost: their gradient evaluations."""

    def __init__(self, spec: StudySpec, plan: Plan, results: Results, store: Store,
                 done: Sequence[tuple[Unit, Manifest]] = (), read_only: bool = False) -> None:
        """done: finished units of all versions."""
        self.spec, self.plan, self.results = spec, plan, results
        self._content = plan.data.content_hash
        self._waiting: list[str] = []  # arms that a lost unit keeps from their confirmation
        self._further = Further(done, self._content)
        own = sorted((m.started, i) for i, (_, m) in enumerate(done) if m.study_version == plan.study_version)
        trained = [done[i][0] for _, i in own]
        self._design = design_units(spec, self._content, results, self._further)
        self._search = (make_search(spec, plan.study_version, self._content, results, store, trained, read_only)
                        if spec.search else None)
        searching = {} if self._search is None else {arm.arm: arm.left for arm in self._search.arms}
        if self._design or any(searching.values()):  # the best are not known yet: all their confirmations are to come
            confirming = confirm_sizes(spec)
        else:
            left = left_of(confirm_units(spec, self._content, results, [*spec.arms]), results, self._further)
            confirming = Counter(unit.configuration.arm for unit in left)
        self.left = len(self._design) + sum(searching.values()) + sum(confirming.values())
        self._is_known = not any(searching.values()) and not (any(confirming.values()) and self._design)
        self.cost = sum(cost(unit) for unit in self._design) + sum(
            count * self._mean_cost(phase, arm) for phase, counts in (("search", searching), ("confirm", confirming))
            for arm, count in counts.items() if count)

    @property
    def left_in_words(self) -> str:
        """`at most 5` where the search may still suggest, or choose as the best, what is finished already."""
        return str(self.left) if self._is_known else f"at most {self.left}"

    def _mean_cost(self, phase: str, arm: str) -> float:
        planned = self.plan.estimate.arms[phase][arm]
        return sum(planned.gradients) / 2 / planned.configurations

    def _patience(self, unit: Unit) -> float:
        """Seconds between two evaluations after which a worker is taken to hang: a guess of the whole unit's, and far
        beyond any error of it."""
        estimate = self.plan.estimate
        gradients = sum(phase.gradients[1] for phase in estimate.phases.values())
        return max(PATIENCE, PATIENT * estimate.seconds[1] * estimate.cpus * cost(unit) / gradients)

    @property
    def objective(self) -> str:
        """The measure that a pruner looks at."""
        return self.spec.search.objectives[0] if self.spec.search else self.spec.primary

    def options(self, unit: Unit) -> dict[str, Any]:
        """UnitRun's options of a study and a phase: only a search has a value for diverged replicates."""
        floor, long = (max(f.high, f.sd) for f in (
            self.plan.floors[name] for name in (self.plan.primary, self.plan.primary_long)))
        found = {"objective": self.spec.primary, "floor": floor, "floor_long": long,
                 "limits": predicted(self.plan, unit.configuration), "patience": self._patience(unit),
                 "keep": self.spec.keep != "none"}
        if (shorter := self._further.of(unit)) is not None:
            found["begin_from"] = shorter.plain()
        if unit.configuration.phase == "search":
            diverged = self.plan.diverged_values[unit.configuration.arm]
            found |= {"objective": self.objective, "diverged_value": diverged[0]}
        return found

    def rounds(self, losses: Losses) -> Iterator[tuple[Source, bool]]:
        """Sources of rounds, each of fixed resources, and whether its units need a node each.

        All phases come in one round, so that workers stay. Units that ran out of memory run again at its end, and only
        then is known what the best are.
        """
        yield Phases([(lambda: Fixed(self._design), False), (lambda: self._search or Fixed([]), False),
                      (lambda: Fixed([]) if losses.out_of_memory else self._confirm(losses), True)]), False
        while again := losses.take_out_of_memory():
            yield Fixed(again, self._learn), True
            yield self._confirm(losses), False

    def _confirm(self, losses: Losses) -> Fixed:
        """An arm of which a unit was lost waits: the same command may finish it, and then others may be the best. What
        two launches have lost is not waited for."""
        lost = {unit.key for unit, _ in losses.lost_units}
        phase = "search" if self.spec.search is not None else "design"
        found = {unit.configuration.arm for unit in losses.first_lost if unit.configuration.phase == phase}
        self._waiting = [arm for arm in self.spec.arms if arm in found and self.spec.confirm]
        known = [arm for arm in self.spec.arms if arm not in found]
        units = left_of(confirm_units(self.spec, self._content, self.results, known), self.results, self._further)
        left = [unit for unit in units if unit.key not in lost]
        losses.expect(left)
        return Fixed(left)

    def _learn(self, unit: Unit, status: str) -> None:
        if self._search is not None and unit.configuration.phase == "search" and status in ("finished", "diverged"):
            self._search.settle(unit)

    def export(self, store: Store, renew: bool = True) -> None:
        """Leave the searches beside their journals as search/<version>/optuna.db; not renew: if there is none."""
        path = f"search/{self.plan.study_version}/optuna.db"
        if self._search is not None and (renew or store.read(path) is None):
            from study.run.search.export import sqlite

            studies = {f"{self.spec.study} {arm.arm}": arm.study for arm in self._search.arms}
            store.write(path, sqlite(studies, self.plan.signs))

    def forget(self, store: Store) -> None:
        """With `keep: best`, remove the networks of all but the best of each arm and phase, and their confirmations."""
        if self.spec.keep != "best":
            return
        # Not `confirm_units`: of an arm that waits for a lost unit it would change which confirmations count.
        kept = {r.unit.config_hash for r in self.results.all() if r.unit.configuration.phase == "confirm"}
        top = self.spec.confirm.top if self.spec.confirm else 1
        for phase, arm in product(("design", "search"), self.spec.arms):
            kept |= {config_hash(c, self._content) for c in best(self.spec, arm, self.results, phase)[:top]}
        counted = self.results.counted.arms.keys() - kept
        for unit, manifest in store.done_units():
            if manifest.state and unit.config_hash in counted:
                store.drop_state(unit)

    def notes(self) -> list[str]:
        """What a person should know about the searches that ran."""
        found = [f"confirm {arm}: waits for what was lost; the same command tries that once more, then confirms "
                 "the best" for arm in self._waiting]
        found += [f"{_counted(len(keys), 'unit')} began anew, though shorter trainings are kept: {reason}"
                  for reason, keys in self._further.anew.items()]
        if old := self.results.superseded:
            found.append(f"confirm: {_counted(len(old), 'configuration')} confirmed earlier "
                         f"{'does' if len(old) == 1 else 'do'} not count: these settings confirm others")
        for arm in self._search.arms if self._search else ():
            trials = [r for r in self.results.all() if r.told and r.unit.configuration.arm == arm.arm]
            if trials and all(r.excess for r in trials):
                found.append(f"search {arm.arm}: none of {_counted(len(trials), 'finished trial')} keeps the bounds, "
                             f"{bounds_text(self.plan.constraints)}; the nearest counts as best")
            found += [f"search {arm.arm}: {n} replicates that did not diverge have no {name}: it was no finite number; "
                      "the search was told the diverged value (search.diverged_value) in its place"
                      for name, n in self.results.lacking(arm.arm).items()]
            if arm.only_repeats:
                found.append(f"search {arm.arm}: ended before its {arm.trials} trials, since its sampler only repeated "
                             "earlier suggestions")
            if arm.answered:
                found.append(f"search {arm.arm}: {_counted(arm.answered, 'suggestion')} had been trained before and so "
                             "not again")
            if arm.repeats and not arm.only_repeats:
                found.append(f"search {arm.arm}: {_counted(arm.repeats, 'suggestion')} repeated earlier ones and so "
                             "did not run")
        return found


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
