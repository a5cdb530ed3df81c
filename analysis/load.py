"""A study as tidy frames, made of MLflow's runs, tags and artifacts alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from analysis.store import ReportError, Store, opened

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["CELL", "COSTS", "VALID", "ReportError", "Store", "Study", "load", "opened", "read"]

CELL = ["step_size", "mcmc_steps"]  # the two knobs that every method has and every report spans
COSTS = ["particle_gradients", "wall_seconds", "cpu_seconds"]
VALID = ("finished", "diverged")  # statuses whose replicates count; pruned is censored, the others are lost
_NOT_A_MEASURE = {"seed", "update", "diverged_at", "reason", "flags", *CELL}


@dataclass(frozen=True, eq=False)
class Study:
    """What a report needs. `arm` is the arm's name plus the factors other than step size and MCMC steps."""

    name: str
    plan: dict[str, Any]
    spec: str  # the resolved YAML, or "" where the launch left none
    launch: dict[str, str]  # run_id (of the newest with a plan), experiment, version, commit, dirty, launches
    packages: dict[str, str]  # installed package -> version, at the newest launch
    arms: list[str]  # in the order of the plan: colours follow it
    cells: pd.DataFrame  # planned design cells: config_hash, arm, base_arm, step_size, mcmc_steps, knobs
    trials: pd.DataFrame  # a row a trial run: run_id, config_hash, arm, base_arm, method, phase, status, complete, ...
    finals: pd.DataFrame  # a row a finished replicate: its trial's columns, seed, diverged, diverged_at, measures
    curves: pd.DataFrame  # a row a replicate and evaluation point: its trial's columns, seed, update, measures
    warnings: list[str] = field(default_factory=list)

    @property
    def primary(self) -> str:
        return str(self.plan["primary"])

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
    def measures(self) -> list[str]:
        """Measures of finished replicates: the primary and its long run first, costs last."""
        first = [self.primary, f"{self.primary}_long"]
        numeric = self.finals.select_dtypes("number")
        names = sorted(str(c) for c in numeric if c not in _NOT_A_MEASURE and numeric[c].notna().any())
        middle = [m for m in names if m not in first and m not in COSTS]
        return [m for m in first if m in names] + middle + [m for m in COSTS if m in names]


def load(name: str | None = None, tracking_uri: str | None = None, cache: Path | str = ".report_cache") -> Study:
    """A study for a notebook; default: the one launched last, in MLflow's default store of this directory.

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
        raise ReportError(f"study {name} has no plan yet: its launch stopped before it was written")
    plan = json.loads(store.artifact(planned, "plan.json", cache).read_text())
    version = planned.data.tags.get("study_version", "")
    cells = _cells(plan)
    labels = dict(zip(cells["config_hash"], cells["arm"], strict=True))

    runs = store.runs(experiment, "tags.kind = 'trial'")
    mine = [r for r in runs if r.data.tags.get("study_version", "") == version]
    trials = pd.DataFrame([_trial(r, labels) for r in mine], columns=_TRIAL)
    trials = trials.sort_values(["phase", "arm", *CELL, "config_hash"], ignore_index=True)
    by_id = {r.info.run_id: r for r in mine}
    records, warnings = _records(store, trials, by_id, cache)
    records = _planned_seeds(records, plan.get("seeds"))
    if len(mine) < len(runs):
        warnings.append(f"{len(runs) - len(mine)} trials of other versions of this study are left out.")
    commits = sorted({c for c in trials.loc[trials["complete"], "commit"] if c})
    if len(commits) > 1:
        warnings.append(f"The trials come from {len(commits)} commits: {', '.join(c[:10] for c in commits)}.")
    finals = records[records["stage"] == "final"].drop(columns=["stage", "update"])
    finals = finals.assign(diverged=finals["verdict"] == "diverged").dropna(axis=1, how="all")
    if "diverged_at" not in finals:
        finals["diverged_at"] = float("nan")
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
        },
        arms=list(dict.fromkeys([*cells["arm"], *plan.get("arms", {}), *trials["arm"]])),
        finals=finals.reset_index(drop=True),
        curves=records[records["stage"] == "train"].drop(columns=["stage", "verdict"]).reset_index(drop=True),
    )


def _records(store: Store, trials: pd.DataFrame, runs: dict[str, Run], cache: Path) -> tuple[pd.DataFrame, list[str]]:
    """Records of all valid, complete trials, each row with its trial's columns; a replicate is counted once.

    A trial's tag `seeds` names its files (`records/0-6.parquet`), which never change: nothing is listed or fetched
    again, and as long as no trial is added all are kept in one file.
    """
    wanted = trials[trials["complete"] & trials["status"].isin(VALID)]
    said = wanted[["run_id", "seeds", *_OF_RECORDS]].to_json(orient="values")
    whole = cache / f"records-{hashlib.sha256(said.encode()).hexdigest()[:16]}.parquet"
    if whole.exists():
        return pd.read_parquet(whole), []
    records, warnings = _together(store, wanted, runs, cache)
    if not warnings:
        for old in cache.glob("records-*.parquet"):
            old.unlink()
        records.to_parquet(whole.with_suffix(".tmp"))
        whole.with_suffix(".tmp").rename(whole)
    return records, warnings


def _together(store: Store, wanted: pd.DataFrame, runs: dict[str, Run], cache: Path) -> tuple[pd.DataFrame, list[str]]:
    """The records of the wanted trials from their files."""
    parts, warnings = [], []
    for trial in wanted.to_dict("records"):
        for block in filter(None, trial["seeds"].split(",")):
            part = _block(store, runs[trial["run_id"]], f"records/{block}.parquet", cache)
            if part is None:
                warnings.append(f"Trial {trial['config_hash']} is complete but its run holds no records of {block}.")
                continue
            parts.append(part.drop(columns=_TRIAL, errors="ignore").assign(**{k: trial[k] for k in _OF_RECORDS}))
    if not parts:
        return pd.DataFrame(columns=["seed", "stage", "update", "verdict", "diverged_at", *_OF_RECORDS]), warnings
    key = ["config_hash", "seed", "stage", "update"]
    records = pd.concat([p.dropna(axis=1, how="all") for p in parts], ignore_index=True)
    doubled = records.duplicated(key)
    if doubled.any():
        warnings.append(f"{int(doubled.sum())} records were there twice; each is counted once.")
    return records[~doubled].sort_values([*key[:2], "stage", "update"], ignore_index=True), warnings


def _block(store: Store, run: Run, name: str, cache: Path) -> pd.DataFrame | None:
    """One file of records; fetched anew where the cache holds a damaged one. None where the run has none."""
    from mlflow.exceptions import MlflowException

    for attempt in (0, 1):
        try:
            return pd.read_parquet(store.artifact(run, name, cache, fixed=not attempt))
        except pa.ArrowInvalid:
            continue
        except (OSError, MlflowException) as problem:
            if isinstance(problem, OSError) or "such" in str(problem) or "exist" in str(problem):
                return None
            raise
    return None


def _planned_seeds(records: pd.DataFrame, seeds: dict[str, list[int]] | None) -> pd.DataFrame:
    """Without seeds that this plan does not have: of more replicates before, or of another study seed."""
    if seeds is None:
        return records
    planned = {(phase, seed) for phase, some in seeds.items() for seed in some}
    keep = [pair in planned for pair in zip(records["phase"], records["seed"], strict=True)]
    return records[keep].reset_index(drop=True)


_OF_RECORDS = ["config_hash", "arm", "base_arm", "method", "phase", *CELL]  # trial columns that each record carries
_TRIAL = [
    "run_id",
    "config_hash",
    "arm",
    "base_arm",
    "method",
    "phase",
    "status",
    "complete",
    "commit",
    "seeds",
    *CELL,
    "settings",
]


def _trial(run: Run, labels: dict[str, str]) -> dict[str, Any]:
    """One row of the frame of trials, from tags alone (`labels`: config_hash -> arm, of the design)."""
    tags = run.data.tags
    knobs = json.loads(tags.get("config", "{}")).get("knobs", {})
    return {
        **{k: tags.get(k, "") for k in ("config_hash", "method", "phase", "status", "commit", "seeds")},
        "run_id": run.info.run_id,
        "base_arm": tags.get("arm", ""),
        "complete": tags.get("complete") == "true",
        "arm": labels.get(tags.get("config_hash", ""), tags.get("arm", "")),
        **{k: knobs.get(k, float("nan")) for k in CELL},
        "settings": json.dumps(knobs, sort_keys=True),
    }


def _cells(plan: dict[str, Any]) -> pd.DataFrame:
    """The planned design cells. An arm's name is extended by its factors beyond step size and MCMC steps."""
    design = [cell for cell in plan.get("cells", []) if cell.get("phase", "design") == "design"]
    extra = [f for f in plan.get("factors", []) if f not in CELL]
    levels = {
        (c["arm"], f): {str(o["knobs"].get(f)) for o in design if o["arm"] == c["arm"]} for c in design for f in extra
    }
    rows = []
    for cell in design:
        arm, knobs = cell["arm"], cell["knobs"]
        suffix = ", ".join(f"{f}={knobs[f]}" for f in extra if len(levels[arm, f]) > 1)
        rows.append(
            {
                "config_hash": cell["config_hash"],
                "arm": f"{arm} ({suffix})" if suffix else arm,
                "base_arm": arm,
                **{k: knobs[k] for k in CELL},
                "knobs": knobs,
            }
        )
    return pd.DataFrame(rows, columns=["config_hash", "arm", "base_arm", *CELL, "knobs"])


def _packages(freeze: str) -> dict[str, str]:
    pairs = (line.split("==", 1) for line in freeze.splitlines() if "==" in line)
    return {name.strip(): version.strip() for name, version in pairs}
