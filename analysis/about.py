"""What the report says about itself: counts, how it was measured, how to make it again."""

from __future__ import annotations

import shlex
from typing import Any

from analysis.load import VALID, Study
from analysis.tables import grid
from analysis.wording import number


def facts(study: Study) -> list[tuple[str, str]]:
    """The few counts under the title, as (name, text) pairs."""
    cells = grid(study)
    done = int((cells["state"] == "complete").sum())
    data = study.plan.get("data", {})
    shape = " \u00d7 ".join(map(str, data.get("shape", [])))
    facts = [
        ("design cells", f"{done} of {len(cells)}"),
        ("replicates", f"{len(study.finals):,}"),
        ("diverged", f"{int(study.finals['diverged'].sum()):,}"),
        ("data", f"{data.get('name', '')} {shape}"),
    ]
    return facts if len(cells) else facts[1:]


def method(study: Study) -> list[tuple[str, str]]:
    """How it was measured, as (name, text) pairs."""
    plan = study.plan
    data, spread, extractor = plan.get("data", {}), plan.get("spread") or {}, plan.get("extractor") or {}
    sizes = ", ".join(f"{k} {v:,}" for k, v in data.get("n", {}).items())
    trials = study.trials.groupby(["phase", "status"]).size().reset_index()
    dirty = (
        " (with uncommitted changes; the launch run holds git.diff)"
        if study.launch["dirty"] in ("true", "True")
        else ""
    )
    rows = [
        ("data", f"{data.get('name', '')}, {sizes}; content {str(data.get('content_hash', ''))[:12]}"),
        ("primary measure", f"{study.primary}, {'lower' if study.lower_is_better else 'higher'} is better"),
        ("extractor", f"{extractor.get('name')}, accuracy {number(extractor.get('accuracy'))}" if extractor else ""),
        (
            "local spread of the data",
            f"smallest direction {number(spread.get('s_min'))} (se {number(spread.get('se_min'), 2)}), "
            f"median {number(spread.get('s_med'))} (se {number(spread.get('se_med'), 2)})"
            if spread
            else "",
        ),
        (
            "particle gradients spent",
            number(study.finals["particle_gradients"].sum()) if "particle_gradients" in study.finals else "",
        ),
        (
            "trials",
            "; ".join(f"{phase}: {n} {status or 'unfinished'}" for phase, status, n in trials.itertuples(index=False)),
        ),
        (
            "counted",
            f"trials marked complete with status {' or '.join(VALID)}; pruned trials are censored and enter no rate",
        ),
        (
            "intervals",
            "95 %; Student t across surviving replicates; Wilson for rates; paired differences by sign flips",
        ),
        ("study version, commit", f"{study.launch['version']}, {study.launch['commit'][:12] or 'unknown'}{dirty}"),
        (
            "packages",
            ", ".join(
                f"{p} {study.packages[p]}"
                for p in ("torch", "ray", "optuna", "mlflow", "numpy", "scipy", "scikit-learn")
                if p in study.packages
            ),
        ),
        *(
            ("predicted limit of " + arm, "; ".join(map(_limit, entry.get("limits") or [])) or "the law says nothing")
            for arm, entry in plan.get("arms", {}).items()
        ),
    ]
    return [(k, v) for k, v in rows if v]


def _limit(entry: dict[str, Any]) -> str:
    """`0.033 [0.032, 0.034] smallest, 0.36 [0.34, 0.37] median direction (jko_weight=0.1)` of one entry of the plan."""

    def words(name: str) -> str:
        if entry.get(f"delta_{name}") is None:
            return "none"
        ends = [entry.get(f"delta_{name}_{end}") for end in ("low", "high")]
        bounds = f" [{', '.join(number(end, 2) for end in ends)}]" if None not in ends else ""
        return number(entry[f"delta_{name}"], 2) + bounds

    knobs = ", ".join(f"{k}={v}" for k, v in entry.items() if not k.startswith("delta_"))
    finite = entry.get("delta_min") is not None or entry.get("delta_med") is not None
    limit = f"{words('min')} smallest, {words('med')} median direction" if finite else "no finite limit"
    return limit + (f" ({knobs})" if knobs else "")


def commands(study: Study) -> list[str]:
    """Commands that continue the study and write this report again."""
    name = shlex.quote(study.name)
    space = study.plan.get("space") or {}
    given = "".join(f" --set {shlex.quote(text)}" for text in space.get("overrides", []))
    return [
        f"python -m study.launch --space {shlex.quote(space.get('file', 'SPEC.yaml'))}{given}   # the file below; "
        "continues what is missing",
        f"python analysis/report.py --study {name}",
    ]
