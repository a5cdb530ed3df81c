"""What a launch has left to do, phase by phase, and with which options its workers run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from models.hparams import gradient_evaluations
from study.phases import confirm_units, design_units, make_search
from study.results import Results
from study.sources import Fixed, Phases, Source
from study.spec import StudySpec
from study.spec.knobs import METHODS
from study.storage import Store, Unit


class Work:
    """left: units that are not finished (of search and confirmation: as planned). cost: their gradient evaluations."""

    def __init__(self, spec: StudySpec, plan: Mapping[str, Any], results: Results, store: Store,
                 tagged: Collection[str] = ()) -> None:
        self.spec, self.plan, self.results = spec, plan, results
        self._content = plan["data"]["content_hash"]
        self._design = design_units(spec, self._content, results)
        self._search = (make_search(spec, plan["study_version"], self._content, results, store, tagged)
                        if spec.search else None)
        searching = {} if self._search is None else {arm.arm: arm.left for arm in self._search.arms}
        if self._design or any(searching.values()):  # the best are not known yet: all their confirmations are to come
            confirming = spec.confirm.top * len(spec.arms) if spec.confirm else 0
        else:
            confirming = len(confirm_units(spec, self._content, results))
        self.left = len(self._design) + sum(searching.values()) + confirming
        self.cost = sum(cost(unit) for unit in self._design) + sum(
            count * self._mean_cost("search", arm) for arm, count in searching.items())
        if confirming:
            self.cost += confirming * sum(self._mean_cost("confirm", arm) for arm in spec.arms) / len(spec.arms)

    def _mean_cost(self, phase: str, arm: str) -> float:
        planned = self.plan["estimate"]["arms"][phase][arm]
        return float(sum(planned["gradients"])) / 2 / planned["configurations"]

    @property
    def objective(self) -> str:
        """The measure that a pruner looks at."""
        return self.spec.search.objectives[0] if self.spec.search else self.spec.primary

    def options(self, unit: Unit) -> dict[str, Any]:
        """UnitRun's options that depend on the phase: only a search has a value for diverged replicates."""
        if unit.configuration["phase"] != "search":
            return {"objective": self.spec.primary}
        diverged = self.plan["search"]["diverged_value"][unit.configuration["arm"]]
        return {"objective": self.objective, "diverged_value": diverged[0]}

    def source(self) -> Source:
        """All phases, one after the other; the confirmation waits for what it confirms."""
        return Phases([(lambda: Fixed(self._design), False), (lambda: self._search or Fixed([]), False),
                       (lambda: Fixed(confirm_units(self.spec, self._content, self.results)), True)])

    def notes(self) -> list[str]:
        """What a person should know about the searches that ran."""
        found = []
        for arm in self._search.arms if self._search else ():
            if arm.only_repeats:
                found.append(f"search {arm.arm}: ended before its {arm.trials} trials, since its sampler only repeated "
                             "earlier suggestions")
            if arm.answered:
                found.append(f"search {arm.arm}: {arm.answered} suggestions had been trained before and were not again")
            if arm.repeats and not arm.only_repeats:
                found.append(f"search {arm.arm}: {arm.repeats} suggestions repeated earlier ones and were not run")
        return found


def cost(unit: Unit) -> float:
    """Particle-gradient evaluations of a unit's training."""
    hp = METHODS[unit.configuration["method"]](**unit.configuration["knobs"])
    return float(gradient_evaluations(hp) * hp.updates * len(unit.seeds))
