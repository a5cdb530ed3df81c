"""A study as tidy frames, made of MLflow's runs, tags and artifacts alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.records import finals_of, planned_seeds, records_of
from analysis.store import PassingError, ReportError, Store, opened
from analysis.trials import CELL, TRIAL, VALID, planned_cells, trial_row
from analysis.wording import count

__all__ = ["CELL", "COSTS", "LIMITS", "TIMES", "VALID", "ReportError", "Store", "Study", "load", "opened", "read"]

TIMES = ["wall_seconds", "cpu_seconds", "gpu_seconds"]
COSTS = ["particle_gradients", *TIMES]
LIMITS = ["delta_min", "delta_min_low", "delta_min_high", "delta_med", "delta_med_low", "delta_med_high"]  # the law's
_NOT_A_MEASURE = {"seed", "update", "diverged_at", "reason", "flags", "long_run_seconds", *LIMITS, *CELL}
_DISTANCES = ("kid_", "fd_", "energy_distance_", "kl_grid", "w2_")


@dataclass(frozen=True, eq=False)
class Study:
    """What a report needs. `arm` is the arm's name plus the factors other than step size and MCMC steps."""

    name: str
    plan: dict[str, Any]
    spec: str  # the resolved YAML, or "" where the launch left none
    launch: dict[str, str]  # run_id (of the newest with a plan), experiment, version, commit, dirty, launches, status
    packages: dict[str, str]  # installed package -> version, at the newest launch
    arms: list[str]  # in the order of the plan: colours follow it
    cells: pd.DataFrame  # planned design cells: config_hash, arm, base_arm, step_size, mcmc_steps, knobs
    trials: pd.DataFrame  # a row a trial run: run_id, config_hash, arm, base_arm, method, phase, status, complete, ...
    finals: pd.DataFrame  # a row a finished replicate: its trial's columns, seed, block, diverged_at, measures
    curves: pd.DataFrame  # a row a replicate and evaluation point: its trial's columns, seed, update, measures
    warnings: list[str] = field(default_factory=list)

    @property
    def primary(self) -> str:
        return str(self.plan["primary"])

    @property
    def primary_long(self) -> str:
        """The primary measure of the long run's chains, which are fewer: its name has an n of its own."""
        return str(self.plan.get("primary_long", f"{self.primary}_long"))

    @property
    def lower_is_better(self) -> bool:
        return bool(self.plan.get("direction", "minimize") == "minimize")

    def baseline_of(self, arm: str) -> str | None:
        """The arm that `arm` is compared with: the plan's baseline, at the same further factors if it has several."""
        base = dict(zip(self.cells["arm"], self.cells["base_arm"], strict=True))
        own = [a for a, b in base.items() if b == self.plan.get("baseline")]
        if arm in own or not own:
            return None
        same = [a for a in own if a.removeprefix(base[a]) == arm.removeprefix(base.get(arm, arm))]
        return own[0] if len(own) == 1 else next(iter(same), None)

    @property
    def family(self) -> list[str]:
        """The arms of the design that the plan compares with a baseline, whether they have run or not."""
        return [a for a in self.arms if a in set(self.cells["arm"]) and self.baseline_of(a) is not None]

    @property
    def is_running(self) -> bool:
        """Whether the newest launch has not ended, so far as the tracking store knows."""
        return self.launch.get("status") == "RUNNING"

    @property
    def measures(self) -> list[str]:
        """Measures of finished replicates: the primary and its long run, other distances, the rest, costs last."""
        first = [self.primary, self.primary_long]
        numeric = self.finals.select_dtypes("number")
        names = sorted((str(c) for c in numeric if c not in _NOT_A_MEASURE and numeric[c].notna().any()),
                       key=lambda name: (not name.startswith(_DISTANCES), name))
        middle = [m for m in names if m not in first and m not in COSTS]
        return [m for m in first if m in names] + middle + [m for m in COSTS if m in names]


def load(name: str | None = None, tracking_uri: str | None = None, cache: Path | str = ".report_cache") -> Study:
    """A study for a notebook; default: the one launched last, in mlflow.db of this folder.

    Its frames: `finals` (a row a finished replicate, with its measures), `curves` (a row an evaluation point), `trials`
    (a row a configuration, whatever became of it), `cells` (the planned design). Raises ReportError.
    """
    Path(cache).mkdir(parents=True, exist_ok=True)
    with opened(tracking_uri) as store:
        return read(store, store.choose(name), Path(cache))


def read(store: Store, name: str, cache: Path) -> Study:
    """All of one study. Records and launch artifacts are kept under `cache`."""
    found = store.client.get_experiment_by_name(name)
    if found is None:
        raise ReportError(f"no study named {name!r}")
    experiment = [found.experiment_id]
    launches = store.runs(experiment, "tags.kind = 'launch'")
    launches.sort(key=lambda r: (r.info.start_time, r.info.run_id), reverse=True)
    planned = next((r for r in launches if store.has(r, "plan.json")), None)
    if planned is None:
        raise PassingError(f"study {name} has no plan yet: its launch has not written it, or stopped before")
    plan = json.loads(store.artifact(planned, "plan.json", cache).read_text(encoding="utf-8"))
    version = planned.data.tags.get("study_version", "")
    cells = planned_cells(plan)
    labels = dict(zip(cells["config_hash"], cells["arm"], strict=True))

    runs = store.runs(experiment, "tags.kind = 'trial'")
    mine = [r for r in runs if r.data.tags.get("study_version", "") == version]
    trials = pd.DataFrame([trial_row(r, labels) for r in mine], columns=TRIAL)
    trials = trials.sort_values(["phase", "arm", *CELL, "config_hash"], ignore_index=True)
    by_id = {r.info.run_id: r for r in mine}
    # Studies may share the cache, and so may stores whose studies have the same number.
    own = hashlib.sha256(f"{store.uri} {found.experiment_id}".encode()).hexdigest()[:8]
    records, warnings = records_of(store, trials, by_id, cache, f"records-{own}-")
    records = planned_seeds(records, plan.get("seeds"))
    earlier = sum(r.data.tags.get("study_version") == f"{version}-superseded" for r in runs)
    if other := len(runs) - len(mine) - earlier:
        warnings.append(f"{other} trials of other versions of this study are left out.")
    if earlier:
        warnings.append(f"{count(earlier, 'confirmation')} of what is no longer among the best of the whole search "
                        f"{'is' if earlier == 1 else 'are'} left out.")
    commits = sorted({c for tag in trials.loc[trials["complete"], "commit"] for c in tag.split(",") if c})
    if len(commits) > 1:
        warnings.append(f"The trials come from {len(commits)} commits: {', '.join(c[:10] for c in commits)}.")
    return Study(
        name=name,
        plan=plan,
        warnings=warnings,
        cells=cells,
        trials=trials,
        spec=store.text(planned, "spec.yaml", cache),
        packages=_packages(store.text(planned, "pip-freeze.txt", cache)),
        launch={
            "run_id": planned.info.run_id,
            "experiment": found.experiment_id,
            "version": version,
            "commit": planned.data.tags.get("commit", ""),
            "dirty": planned.data.tags.get("dirty", ""),
            "launches": str(len(launches)),
            "status": str(launches[0].info.status),
        },
        arms=list(dict.fromkeys([*cells["arm"], *plan.get("arms", {}), *trials["arm"]])),
        finals=finals_of(records, plan["primary"]),
        curves=records[records["stage"] == "train"].drop(columns=["stage", "verdict"]).reset_index(drop=True),
    )


def _packages(freeze: str) -> dict[str, str]:
    pairs = (line.split("==", 1) for line in freeze.splitlines() if "==" in line)
    return {name.strip(): version.strip() for name, version in pairs}
