"""A study as tidy frames: what every table, figure and sentence is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from analysis.read.store import Pictures
from analysis.read.trials import CELL as CELL
from study.schema.columns import CPU, GRADIENTS, LONG_RUN, NOT_MEASURED, WALL
from study.schema.plan import Plan

TIMES = [WALL, CPU, "gpu_seconds"]
COSTS = [GRADIENTS, *TIMES]
EXCHANGE = ["config_hash", "arm", "giver", "settings"]
_NOT_A_MEASURE = {*NOT_MEASURED, LONG_RUN, *CELL}
_DISTANCES = ("kid_", "fd_", "energy_distance_", "kl_grid", "w2_")


def rows(frame: pd.DataFrame) -> Iterable[Any]:
    """Named tuples, one attribute per column. Typed Any: the stubs give each a union of all that columns may hold."""
    return frame.itertuples()


@dataclass(frozen=True, eq=False)
class Study:
    """What a report needs. `arm` is the arm's name plus the factors other than step size and MCMC steps."""

    name: str
    plan: Plan
    spec: str  # the resolved YAML, or "" where the launch left none
    launch: dict[str, str]  # run_id (of the newest with a plan), version, commit, dirty, launches, status, mlflow
    packages: dict[str, str]  # installed package -> version, at the newest launch
    arms: list[str]  # in the order of the plan: colours follow it
    cells: pd.DataFrame  # planned design cells: config_hash, arm, base_arm, step_size, mcmc_steps, knobs
    trials: pd.DataFrame  # one row per trial run: the columns TRIAL of analysis/read/trials.py
    finals: pd.DataFrame  # one row per finished replicate: its trial's columns, seed, block, diverged_at, measures
    curves: pd.DataFrame  # one row per replicate and evaluation point: its trial's columns, seed, update, measures
    # One row per configuration, trained yet or not, that is confirmed with another arm's settings, or whose are given:
    # giver is the arm whose they are, settings that arm's own config_hash.
    exchange: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=EXCHANGE))
    warnings: list[str] = field(default_factory=list)
    pictures: Pictures | None = None  # sheets of samples; None where no store is at hand

    @property
    def primary(self) -> str:
        return self.plan.primary

    @property
    def primary_long(self) -> str:
        """The primary measure of the long run's chains, which are fewer: its name has an n of its own."""
        return self.plan.primary_long

    @property
    def lower_is_better(self) -> bool:
        return self.plan.direction == "minimize"

    @property
    def exchanged(self) -> pd.DataFrame:
        """Of `exchange` what has another arm's settings."""
        return self.exchange[self.exchange["config_hash"] != self.exchange["settings"]]

    def described(self, names: Sequence[str]) -> dict[str, str]:
        """Of the user's measures among these: what they are, and which way is better."""
        ways = {"minimize": ", lower is better", "maximize": ", higher is better"}
        return {name: f"{m.label}{f' in {m.unit}' if m.unit else ''}{ways.get(m.direction or '', '')}"
                for name, m in self.plan.measures.items() if name in names}

    def baseline_of(self, arm: str) -> str | None:
        """The arm that `arm` is compared with: the plan's baseline, at the same further factors if it has several."""
        if self.cells.empty:  # no design: only what was confirmed is compared
            return None if arm == self.plan.baseline else self.plan.baseline
        base = self._base_arms
        own = [a for a, b in base.items() if b == self.plan.baseline]
        if arm in own or not own:
            return None
        same = [a for a in own if a.removeprefix(base[a]) == arm.removeprefix(base.get(arm, arm))]
        return own[0] if len(own) == 1 else next(iter(same), None)

    @cached_property
    def _base_arms(self) -> dict[str, str]:
        return dict(zip(self.cells["arm"], self.cells["base_arm"], strict=True))

    @property
    def family(self) -> list[str]:
        """The arms of the design that the plan compares with a baseline, whether they have run or not."""
        return [a for a in self.arms if a in self._base_arms and self.baseline_of(a) is not None]

    def replicates_of(self, config_hash: str) -> pd.DataFrame:
        """The rows of `finals` of one configuration; of thousands each is looked for many times."""
        return self._finals_of.get(config_hash, self.finals[:0])

    @cached_property
    def _finals_of(self) -> dict[str, pd.DataFrame]:
        return {str(config_hash): own for config_hash, own in self.finals.groupby("config_hash", sort=False)}

    @property
    def is_running(self) -> bool:
        """Whether the newest launch has not ended, so far as the tracking store knows."""
        return self.launch.get("status") == "RUNNING"

    @property
    def measures(self) -> list[str]:
        """Measures of finished replicates: the primary and its long run, the user's, other distances, the rest, costs
        last."""
        first = [self.primary, self.primary_long]
        numeric = self.finals.select_dtypes("number")
        names = sorted((str(c) for c in numeric if c not in _NOT_A_MEASURE and numeric[c].notna().any()),
                       key=lambda name: (name not in self.plan.measures, not name.startswith(_DISTANCES), name))
        middle = [m for m in names if m not in first and m not in COSTS]
        return [m for m in first if m in names] + middle + [m for m in COSTS if m in names]
