"""Trial runs and planned cells as rows, from MLflow's tags and the plan alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd

from study.schema.plan import CELL as _CELL
from study.schema.plan import Plan
from study.schema.unit import block_seeds

if TYPE_CHECKING:
    from mlflow.entities import Run

CELL = [*_CELL]  # the two knobs that every method has and every report spans
VALID = ("finished", "diverged")  # statuses whose replicates count; pruned is censored, the others are lost
OF_RECORDS = ["config_hash", "arm", "base_arm", "method", "phase", *CELL]  # trial columns that each record carries
PRUNED = ["last_rung", "spent_particle_gradients", "spent_wall_seconds"]  # of a pruned trial alone
TRIAL = ["run_id", "config_hash", "arm", "base_arm", "method", "phase", "status", "complete", "commit", "seeds",
         "device", *CELL, "settings", *PRUNED]


def trial_row(run: Run, labels: dict[str, str]) -> dict[str, Any]:
    """One row of the frame of trials, from tags alone (`labels`: config_hash -> arm, of the design).

    Of a pruned trial, which has no records, last_rung is the update of the last rung that it reported,
    spent_particle_gradients those of all its replicates up to there, spent_wall_seconds the elapsed time of its run.
    NaN of others, and where the tags do not say.
    """
    tags = run.data.tags
    knobs = json.loads(tags.get("config", "{}")).get("knobs", {})
    return {
        **{k: tags.get(k, "") for k in ("config_hash", "method", "phase", "status", "commit", "seeds", "device")},
        "run_id": run.info.run_id,
        "base_arm": tags.get("arm", ""),
        "complete": tags.get("complete") == "true",
        "arm": labels.get(tags.get("config_hash", ""), tags.get("arm", "")),
        **{k: knobs.get(k, float("nan")) for k in CELL},
        "settings": json.dumps(knobs, sort_keys=True),
        **_pruned(run, knobs),
    }


def seeds_of(blocks: str) -> list[int]:
    """[1000, 1001] of the tag `1000-1001`, blocks with commas between them."""
    return [seed for block in blocks.split(",") if block for seed in block_seeds(block)]


def _pruned(run: Run, knobs: dict[str, Any]) -> dict[str, float]:
    tags, spent = run.data.tags, dict.fromkeys(PRUNED, float("nan"))
    if tags.get("status") != "pruned":
        return spent
    spent["last_rung"] = _last_rung(tags)
    if "replicate_gradients" in tags and knobs.get("updates"):
        share = spent["last_rung"] / knobs["updates"]
        seeds = len(seeds_of(tags.get("seeds", "")))
        spent["spent_particle_gradients"] = float(tags["replicate_gradients"]) * seeds * share
    if run.info.end_time:
        spent["spent_wall_seconds"] = (run.info.end_time - run.info.start_time) / 1000
    return spent


def _last_rung(tags: dict[str, str]) -> float:
    """NaN where the tag had no room for all rungs (`rungs_file` has them), was cut or is absent."""
    try:
        rungs = {} if "rungs_file" in tags else json.loads(tags.get("rungs", "{}"))
    except ValueError:
        rungs = {}
    return max(map(float, rungs), default=float("nan"))


def planned_cells(plan: Plan) -> pd.DataFrame:
    """The planned design cells. An arm's name is extended by its factors beyond step size and MCMC steps."""
    labels = plan.labels()
    rows = [{"config_hash": cell.config_hash, "arm": labels[cell.config_hash], "base_arm": cell.arm,
             **{k: cell.knobs[k] for k in CELL}, "knobs": cell.knobs} for cell in plan.cells]
    return pd.DataFrame(rows, columns=["config_hash", "arm", "base_arm", *CELL, "knobs"])
