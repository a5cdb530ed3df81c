"""A study as tidy frames, read from MLflow's runs, tags and artifacts alone. Artifacts are cached by run."""

from __future__ import annotations

import difflib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pandas as pd

if TYPE_CHECKING:
    from mlflow.entities import Run

CELL = ["step_size", "mcmc_steps"]  # the two knobs that every method has and every report spans
COSTS = ["particle_gradients", "wall_seconds", "cpu_seconds"]
VALID = ("finished", "diverged")  # statuses whose replicates count; pruned is censored, the others are lost
_NOT_A_MEASURE = {"seed", "update", "diverged_at", "reason", "flags", *CELL}
_PAGE = 1000  # runs a search may return at once


class ReportError(Exception):
    """One sentence for the user; the command line prints it and ends with 2."""


@dataclass(frozen=True, eq=False)
class Study:
    """What a report needs. `arm` is the arm's name plus the factors other than step size and MCMC steps."""

    name: str
    plan: dict[str, Any]
    spec: str  # the resolved YAML, or "" where the launch left none
    launch: dict[str, str]  # version, commit, dirty, launches
    packages: dict[str, str]  # installed package -> version, at the newest launch
    arms: list[str]  # in the order of the plan: colours follow it
    cells: pd.DataFrame  # planned design cells: config_hash, arm, base_arm, step_size, mcmc_steps, knobs
    trials: pd.DataFrame  # a row a trial run: run_id, config_hash, arm, base_arm, method, phase, status, complete, ...
    finals: pd.DataFrame  # a row a finished replicate: its trial's columns, seed, diverged, diverged_at, measures
    curves: pd.DataFrame  # a row a replicate and evaluation point: its trial's columns, seed, update, measures
    sheets: dict[tuple[str, int], str]  # (config_hash, seed) -> run with its sample sheet
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


def checked_uri(uri: str) -> str:
    """`uri`, unless it names an SQLite file that is not there: opening it would create an empty store."""
    parts = urlsplit(uri)
    if parts.scheme.startswith("sqlite"):
        path = Path(uri.split(":///", 1)[-1].split("?")[0])
        if not path.exists():
            raise ReportError(f"no tracking store at {path}: run a study first, or name its store with --tracking-uri")
    return uri


@contextmanager
def opened(uri: str | None) -> Iterator[Store]:
    """The store at `uri`. A store that cannot be reached becomes a ReportError, whenever it stops answering."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield Store(uri)
    except (MlflowException, SQLAlchemyError, ConnectionError) as problem:
        first = next(iter(str(problem).splitlines()), type(problem).__name__)
        raise ReportError(f"cannot read the tracking store: {first[:200]}") from problem


class Store:
    """A tracking store that is only read."""

    def __init__(self, uri: str | None = None) -> None:
        import mlflow

        self.uri = checked_uri(uri or mlflow.get_tracking_uri())
        self.client = mlflow.MlflowClient(tracking_uri=self.uri)

    def names(self) -> list[str]:
        """Names of all studies, the one launched last first. A study is an experiment with a launch run."""
        experiments = {e.experiment_id: e.name for e in self.client.search_experiments()}
        launches = self._runs(list(experiments), "tags.kind = 'launch'")
        newest: dict[str, int] = {}
        for run in launches:
            name = experiments[run.info.experiment_id]
            newest[name] = max(newest.get(name, 0), run.info.start_time)
        return sorted(newest, key=lambda name: (-newest[name], name))

    def choose(self, wanted: str | None) -> str:
        """The study `wanted`, or the newest. Raises ReportError with the nearest name and the list."""
        names = self.names()
        if not names:
            raise ReportError("the tracking store holds no study yet: run `python -m study.launch --space FILE` first")
        if wanted is None or wanted in names:
            return wanted or names[0]
        near = difflib.get_close_matches(wanted, names, 1, 0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ReportError(f"no study named {wanted!r}{hint} (studies: {', '.join(sorted(names))})")

    def read(self, name: str, cache: Path) -> Study:
        """All of one study. Records and launch artifacts are kept under `cache`."""
        found = self.client.get_experiment_by_name(name)
        if found is None:
            raise ReportError(f"no study named {name!r}")
        experiment = [found.experiment_id]
        launches = self._runs(experiment, "tags.kind = 'launch'")
        launches.sort(key=lambda r: (r.info.start_time, r.info.run_id), reverse=True)
        planned = next((r for r in launches if self._has(r, "plan.json")), None)
        if planned is None:
            raise ReportError(f"study {name} has no plan yet: its launch stopped before it was written")
        plan = json.loads(self._artifact(planned, "plan.json", cache).read_text())
        version = planned.data.tags.get("study_version", "")
        cells = _cells(plan)
        labels = dict(zip(cells["config_hash"], cells["arm"], strict=True))

        runs = self._runs(experiment, "tags.kind = 'trial'")
        mine = [r for r in runs if r.data.tags.get("study_version", "") == version]
        trials = pd.DataFrame([_trial(r, labels) for r in mine], columns=_TRIAL)
        trials = trials.sort_values(["phase", "arm", *CELL, "config_hash"], ignore_index=True)
        by_id = {r.info.run_id: r for r in mine}
        records, warnings = self._records(trials, by_id, cache)
        records = _planned_seeds(records, plan.get("seeds"))
        if len(mine) < len(runs):
            warnings.append(f"{len(runs) - len(mine)} trials of other versions of this study are left out.")
        commits = sorted({c for c in trials.loc[trials["complete"], "commit"] if c})
        if len(commits) > 1:
            warnings.append(f"The trials come from {len(commits)} commits: {', '.join(c[:10] for c in commits)}.")
        replicates = self._runs(experiment, "tags.kind = 'replicate'")
        sheets = {(r.data.tags["config_hash"], int(r.data.tags["seed"])): r.info.run_id for r in replicates}
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
            sheets=sheets,
            spec=self._text(planned, "spec.yaml", cache),
            packages=_packages(self._text(planned, "pip-freeze.txt", cache)),
            launch={
                "run_id": planned.info.run_id,
                "version": version,
                "commit": planned.data.tags.get("commit", ""),
                "dirty": planned.data.tags.get("dirty", ""),
                "launches": str(len(launches)),
            },
            arms=list(dict.fromkeys([*cells["arm"], *plan.get("arms", {}), *trials["arm"]])),
            finals=finals.reset_index(drop=True),
            curves=records[records["stage"] == "train"].drop(columns=["stage", "verdict"]).reset_index(drop=True),
        )

    def sheet(self, study: Study, config_hash: str, seed: int, cache: Path, kind: str = "samples") -> Path | None:
        """A sheet (PNG) of one replicate, or None where there is none. kind: samples, or nearest (each sample above its
        nearest training image)."""
        run_id = study.sheets.get((config_hash, seed))
        if run_id is None:
            return None
        run, name = self.client.get_run(run_id), f"{kind}_{seed}.png"
        return self._artifact(run, name, cache) if self._has(run, name) else None

    def data_sheet(self, study: Study, cache: Path) -> Path | None:
        """The sheet of training data (PNG) of the study's newest planned launch, or None where there is none."""
        run, name = self.client.get_run(study.launch["run_id"]), "data_samples.png"
        return self._artifact(run, name, cache) if self._has(run, name) else None

    def _runs(self, experiments: list[str], query: str) -> list[Run]:
        def pages() -> Iterator[Run]:
            token = None
            while True:
                page = self.client.search_runs(experiments, query, max_results=_PAGE, page_token=token)
                yield from page
                token = page.token
                if not token:
                    return

        return sorted(pages(), key=lambda r: r.info.run_id) if experiments else []

    def _has(self, run: Run, name: str) -> bool:
        return any(f.path == name for f in self.client.list_artifacts(run.info.run_id))

    def _text(self, run: Run, name: str, cache: Path) -> str:
        return self._artifact(run, name, cache).read_text() if self._has(run, name) else ""

    def _artifact(self, run: Run, name: str, cache: Path, size: int | None = None) -> Path:
        """One artifact in the cache; fetched unless a file of its `size` is there (a run's records never change)."""
        target = cache / run.info.run_id / name
        if size is not None and target.exists() and target.stat().st_size == size:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            os.replace(self.client.download_artifacts(run.info.run_id, name, scratch), target)
        return target

    def _records(self, trials: pd.DataFrame, runs: dict[str, Run], cache: Path) -> tuple[pd.DataFrame, list[str]]:
        """Records of all valid, complete trials, each row with its trial's columns; a replicate is counted once."""
        parts, warnings = [], []
        for trial in trials[trials["complete"] & trials["status"].isin(VALID)].to_dict("records"):
            files = self.client.list_artifacts(trial["run_id"], "records")
            if not files:
                warnings.append(f"Trial {trial['config_hash']} is complete but its run holds no records.")
            for file in sorted(files, key=lambda f: f.path):
                part = pd.read_parquet(self._artifact(runs[trial["run_id"]], file.path, cache, file.file_size))
                parts.append(part.drop(columns=_TRIAL, errors="ignore").assign(**{k: trial[k] for k in _TRIAL}))
        if not parts:
            empty = ["seed", "stage", "update", "verdict", "diverged_at", *_TRIAL]
            return pd.DataFrame(columns=empty), warnings
        key = ["config_hash", "seed", "stage", "update"]
        records = pd.concat([p.dropna(axis=1, how="all") for p in parts], ignore_index=True)
        doubled = records.duplicated(key)
        if doubled.any():
            warnings.append(f"{int(doubled.sum())} records were there twice; each is counted once.")
        return records[~doubled].sort_values([*key[:2], "stage", "update"], ignore_index=True), warnings


def _planned_seeds(records: pd.DataFrame, seeds: dict[str, list[int]] | None) -> pd.DataFrame:
    """Without seeds that this plan does not have: of more replicates before, or of another study seed."""
    if seeds is None:
        return records
    planned = {(phase, seed) for phase, some in seeds.items() for seed in some}
    keep = [pair in planned for pair in zip(records["phase"], records["seed"], strict=True)]
    return records[keep].reset_index(drop=True)


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
