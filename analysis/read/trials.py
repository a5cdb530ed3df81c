"""Trial runs and planned cells as rows, from MLflow's tags and the plan alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from study.schema.columns import CELL as _CELL
from study.schema.plan import Plan
from study.schema.tags import TrialTags

if TYPE_CHECKING:
    from mlflow.entities import Run

CELL = [*_CELL]  # the two knobs that every method has and every report spans
VALID = ("finished", "diverged")  # statuses whose replicates count; pruned is censored, the others are lost
OF_RECORDS = ["config_hash", "arm", "base_arm", "method", "phase", *CELL]  # trial columns that each record carries
PRUNED = ["last_rung", "spent_particle_gradients", "spent_wall_seconds"]  # of a pruned trial alone
TRIAL = ["run_id", "experiment_id", "config_hash", "arm", "base_arm", "method", "phase", "status", "complete", "commit",
         "seeds", "content", "device", *CELL, "settings", *PRUNED]


def trial_row(run: Run, labels: Mapping[str, str], arms: Mapping[str, str]) -> dict[str, Any]:
    """One row of the frame of trials, from tags alone. labels, arms: config_hash -> label, of the design; -> arm, which
    may have another name than when it was trained.

    Of a pruned trial, which has no records, last_rung is the update of the last rung that it reported,
    spent_particle_gradients those of all its replicates up to there, spent_wall_seconds the elapsed time of its run.
    NaN of others, and where the tags do not say.
    """
    tags = TrialTags.read(run.data.tags)
    arm = arms.get(tags.config_hash, tags.arm)
    return {
        **{k: getattr(tags, k) for k in (
            "config_hash", "method", "phase", "status", "commit", "seeds", "content", "device")},
        "run_id": run.info.run_id,
        "experiment_id": run.info.experiment_id,
        "base_arm": arm,
        "complete": tags.is_complete,
        "arm": labels.get(tags.config_hash, arm),
        **{k: tags.knobs.get(k, float("nan")) for k in CELL},
        "settings": json.dumps(tags.knobs, sort_keys=True),
        **_pruned(run, tags),
    }


def _pruned(run: Run, tags: TrialTags) -> dict[str, float]:
    spent = dict.fromkeys(PRUNED, float("nan"))
    if tags.status != "pruned":
        return spent
    spent["last_rung"] = float(tags.last_rung or "nan")
    if tags.replicate_gradients and tags.knobs.get("updates"):
        share = spent["last_rung"] / tags.knobs["updates"]
        spent["spent_particle_gradients"] = float(tags.replicate_gradients) * len(sum(tags.blocks, ())) * share
    if run.info.end_time:
        spent["spent_wall_seconds"] = (run.info.end_time - run.info.start_time) / 1000
    return spent


def planned_cells(plan: Plan) -> pd.DataFrame:
    """The planned design cells. An arm's name is extended by its factors beyond step size and MCMC steps."""
    labels = plan.labels()
    rows = [{"config_hash": cell.config_hash, "arm": labels[cell.config_hash], "base_arm": cell.arm,
             **{k: cell.knobs[k] for k in CELL}, "knobs": cell.knobs} for cell in plan.cells]
    return pd.DataFrame(rows, columns=["config_hash", "arm", "base_arm", *CELL, "knobs"])
