"""A study as tidy frames, made of MLflow's runs, tags and artifacts alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from analysis.read.address import PassingError, ReportError
from analysis.read.records import finals_of, planned_seeds, records_of
from analysis.read.store import Pictures, Store, opened
from analysis.read.study import EXCHANGE, Study
from analysis.read.trials import CELL, TRIAL, planned_cells, trial_row
from study.schema.counted import FILE, Counted
from study.schema.plan import Plan
from study.schema.tags import STUDY_VERSION, TrialTags


def load(name: str | None = None, tracking_uri: str | None = None, cache: Path | str = ".report_cache") -> Study:
    """A study for a notebook; default: the one launched last, in mlflow.db of this folder.

    Its frames: `finals` (one row per finished replicate, with its measures), `curves` (one row per evaluation point),
    `trials` (one row per configuration, whatever became of it), `cells` (the planned design). Raises ReportError.
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
        raise PassingError(f"study {name} has no plan in MLflow: its launch has not written it yet, or its artifacts "
                           "are gone; the same launch again writes it")
    plan = _plan(name, store.artifact(planned, "plan.json", cache))
    version = planned.data.tags.get(STUDY_VERSION, "")
    counted = _counted(store.text(planned, FILE, cache))
    cells = planned_cells(plan)
    labels = dict(zip(cells["config_hash"], cells["arm"], strict=True))

    runs = store.runs(experiment, "tags.kind = 'trial'")
    tags = {r.info.run_id: TrialTags.read(r.data.tags) for r in runs}
    mine = [r for r in runs if counted.counts(tags[r.info.run_id].config_hash, version in tags[r.info.run_id].versions)]
    trials = pd.DataFrame([trial_row(r, labels, counted.arms) for r in mine], columns=TRIAL)
    trials = trials.sort_values(["phase", "arm", *CELL, "config_hash"], ignore_index=True)
    by_id = {r.info.run_id: r for r in mine}
    # Studies may share the cache, and so may stores whose studies have the same number.
    own = hashlib.sha256(f"{store.uri} {found.experiment_id}".encode()).hexdigest()[:8]
    records, warnings = records_of(store, trials, by_id, cache, f"records-{own}-")
    records = planned_seeds(records, plan.seeds)
    earlier = sum(one.config_hash in counted.superseded for one in tags.values())
    if other := len(runs) - len(mine) - earlier:
        warnings.append(f"{other} trials of other versions of this study are left out.")
    if earlier:
        some = "confirmation" if earlier == 1 else "confirmations"
        warnings.append(f"{earlier:,} {some} of what the study no longer confirms "
                        f"{'is' if earlier == 1 else 'are'} left out.")
    commits = sorted({c for tag in trials.loc[trials["complete"], "commit"] for c in tag.split(",") if c})
    if len(commits) > 1:
        warnings.append(f"The trials come from {len(commits)} commits: {', '.join(c[:10] for c in commits)}.")
    installed = store.text(planned, "pip-freeze.txt", cache)
    return Study(
        name=name, plan=plan, warnings=warnings, cells=cells, trials=trials,
        spec=store.text(planned, "spec.yaml", cache),
        packages=dict(line.split("==", 1) for line in installed.splitlines() if "==" in line),
        launch={
            "run_id": planned.info.run_id,
            "version": version,
            "commit": planned.data.tags.get("commit", ""),
            "dirty": planned.data.tags.get("dirty", ""),
            "launches": str(len(launches)),
            "status": str(launches[0].info.status),
            "mlflow": store.page,
        },
        exchange=pd.DataFrame([(h, counted.arms.get(h, ""), *of) for h, of in counted.settings.items()],
                              columns=EXCHANGE),
        arms=list(dict.fromkeys([*cells["arm"], *plan.arms, *trials["arm"]])),
        finals=finals_of(records, plan.primary),
        curves=records[records["stage"] == "train"].drop(columns=["stage", "verdict"]).reset_index(drop=True),
        pictures=Pictures(store, tuple(experiment), planned.info.run_id, cache),
    )


def _counted(written: str) -> Counted:
    """Of a launch that has written none its version alone says what counts."""
    try:
        return Counted.read(json.loads(written or "{}"))
    except ValueError:
        return Counted()


def _plan(name: str, path: Path) -> Plan:
    try:
        return Plan.read(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as problem:
        raise ReportError(f"study {name}: its plan was written by another version ({_first(problem)}); launch it again "
                          "with this one") from problem


def _first(problem: ValueError) -> str:
    """`seeds: Field required`: what pydantic says first."""
    said = problem.errors()[0] if isinstance(problem, ValidationError) else None
    return f"{'.'.join(map(str, said['loc']))}: {said['msg']}" if said else str(problem)
