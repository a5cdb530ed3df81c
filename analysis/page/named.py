"""What the page says of a mark under the pointer: its configuration, its result, and where its run is in MLflow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from analysis.read.study import CELL, Study
from analysis.stats.inference import t_interval
from analysis.text.formatting import interval, number, share
from analysis.text.outcomes import verdicts
from study.schema.columns import TEXT
from study.schema.outcomes import ending

MOST_IN_FIGURE, MOST = 1000, 4000  # marks that are named: a name takes 200 bytes of the page


@dataclass(frozen=True)
class Mark:
    """text: some lines. run: of MLflow's page, what stands behind `#/experiments/`; "" where it cannot be opened."""

    text: str
    run: str


class Named:
    """Names the marks of a study's figures, as long as they are not too many for one page."""

    def __init__(self, study: Study) -> None:
        self.study, self.left = study, MOST

    def of(self, figure: dict[str, pd.DataFrame]) -> dict[str, list[Mark]]:
        """A mark each for the rows of `named_marks`; of a figure with too many none."""
        n = sum(map(len, figure.values()))
        if n > min(self.left, MOST_IN_FIGURE):
            return {}
        self.left -= n
        return {gid: [self._mark(row) for row in rows.to_dict("records")] for gid, rows in figure.items()}

    def _mark(self, row: dict[Any, Any]) -> Mark:
        key, seed = str(row["config_hash"]), row.get("seed")
        trial, own = self._trials[key], self._finals.get(key)
        head = f"{trial['arm']}, {trial['phase'] if seed is None else f'seed {seed:g}'}"
        lines = [head, self._knobs(trial), *(self._trial(trial, own) if seed is None else self._replicate(key, seed))]
        if (note := row.get("note")) and isinstance(note, str):
            lines.append(note)
        can_open = bool(self.study.launch.get("mlflow") and trial.get("run_id"))
        if not can_open:  # what finds it in MLflow's list of runs
            lines.append(f"tags.config_hash = '{key.split('/')[-1]}'")
        run = f"{trial['experiment_id']}/runs/{trial['run_id']}" if can_open else ""
        return Mark("\n".join(filter(None, lines)), run)

    def _knobs(self, trial: dict[Any, Any]) -> str:
        """`step size 0.25, 20 MCMC steps, jko weight 0.4`: those that any phase varies."""
        settings = json.loads(trial["settings"])
        more = [f"{name.replace('_', ' ')} {_short(settings[name])}" for name in self.study.plan.further
                if settings.get(name) is not None]
        return ", ".join([f"step size {trial[CELL[0]]:.4g}", f"{trial[CELL[1]]:g} MCMC steps", *more])

    def _trial(self, trial: dict[Any, Any], own: pd.DataFrame | None) -> list[str]:
        """Its mean over survivors, how many diverged, and how they ended."""
        if own is None:
            rung = trial["last_rung"]
            return [trial["status"] + (f" at update {rung:g}" if trial["status"] == "pruned" and rung == rung else "")]
        alive = own.loc[~own["diverged"], self.study.primary].dropna()
        mean = f"{self.study.primary} {interval(t_interval(alive.to_numpy(float)))} (n = {len(alive)}), "
        return [(mean if len(alive) else "") + f"{share(int(own['diverged'].sum()), len(own))} diverged", verdicts(own)]

    def _replicate(self, config_hash: str, seed: float) -> list[str]:
        """Its value, and how it ended."""
        found = self._replicates.get((config_hash, seed))
        if found is None:
            return []
        final: dict[str, Any] = {str(k): "" if k in TEXT and not isinstance(v, str) else v for k, v in found.items()}
        if final["diverged"]:
            return [f"{ending(final)}, at update {final['diverged_at']:g}"]
        return [f"{self.study.primary} {number(final[self.study.primary])}", ending(final)]

    @cached_property
    def _trials(self) -> dict[str, dict[Any, Any]]:
        return {str(t["config_hash"]): t for t in self.study.trials.to_dict("records")}

    @cached_property
    def _replicates(self) -> dict[tuple[str, float], dict[Any, Any]]:
        return {(str(final["config_hash"]), final["seed"]): final for final in self.study.finals.to_dict("records")}

    @cached_property
    def _finals(self) -> dict[str, pd.DataFrame]:
        return {str(key): own for key, own in self.study.finals.groupby("config_hash")}


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
