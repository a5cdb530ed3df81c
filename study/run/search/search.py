"""The searches of all arms as one source of units: arms take turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from study.run.search.arm import ArmSearch
from study.schema.unit import Unit


class Search:
    """A `Source`: the arm that has asked the smallest share of its trials asks next, so that budgets stay equal."""

    def __init__(self, arms: Sequence[ArmSearch]) -> None:
        self.arms = list(arms)

    def next(self) -> Unit | None:
        """A unit of the arm that is furthest behind and has more."""
        for arm in sorted(self.arms, key=lambda arm: arm.asked / arm.trials):
            unit = arm.ask()
            if unit is not None:
                return unit
        return None

    @property
    def is_exhausted(self) -> bool:
        """Whether no arm will ask again."""
        return all(arm.is_exhausted for arm in self.arms)

    def should_prune(self, unit: Unit, rungs: Mapping[int, float]) -> bool:
        """Ask the pruner of the arm that asked for the unit."""
        return self._arm(unit).should_prune(unit, rungs)

    def finished(self, unit: Unit, status: str) -> None:
        """Tell the arm that asked for the unit."""
        self._arm(unit).tell(unit, status)

    def settle(self, unit: Unit) -> None:
        """Tell the arm that had asked for a unit that was lost, and that another round has finished."""
        next(arm for arm in self.arms if arm.arm == unit.configuration.arm).settle(unit)

    def _arm(self, unit: Unit) -> ArmSearch:
        return next(arm for arm in self.arms if arm.owns(unit))
