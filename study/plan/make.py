"""The plan: what a study will run, what E13 predicts for it, its floors and its cost. Made before Ray starts."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.data.data import Data
from models.measures.naming import LONG_CHAINS, long_chains, long_name
from models.measures.table import larger_is_better
from study.plan.budget import random_start
from study.plan.cost import budgets
from study.plan.identity import config_hash, phase_seeds, study_version
from study.plan.prediction import arm_limits, spread_of
from study.plan.space import design_configurations, estimate, search_trials
from study.run.phases import sampler_arguments
from study.schema.unit import PHASES
from study.show.progress import duration, span
from study.spec import StudySpec
from study.spec.model import cells_of

if TYPE_CHECKING:
    from models.measures.sample_metrics import SampleMetrics

FLOOR_DRAWS = 20
ALPHA = 0.05  # of the report's tests, after Holm
SECONDS_A_CALL = 5e-4
SECONDS_AN_EVALUATION = {False: (0.01, 0.05), True: (0.03, 0.3)}  # a replicate, in training and after: plane, images
UNKNOWN = ("no prediction", "", "", "", "", "")  # columns of an arm that the law says nothing of
MAX_ROWS = 20  # of an arm, in the table for people; plan.json has them all


def make_plan(spec: StudySpec, data: Data, cpus: int, cache_dir: Path) -> dict[str, Any]:
    """plan.json. Trains the data set's feature extractor if `cache_dir` has none yet; the rest takes seconds.

    Raises ValueError or OSError for `evaluation.features` that cannot be used.
    """
    from models.measures.feature_file import own_extractor
    from models.measures.sample_metrics import SampleMetrics

    resolved, factors = spec.resolved(), _factors(spec)
    own = own_extractor(spec.evaluation.features, data.extent)
    metrics = SampleMetrics(data, spec.evaluation.samples, spec.evaluation.split, cache_dir, own)
    local = spread_of(data, spec.seed)
    spread = {key: float(getattr(local, key)) for key in ("s_min", "s_med", "se_min", "se_med")}
    floors = metrics.floors(FLOOR_DRAWS, np.random.default_rng(spec.seed))
    few = SampleMetrics(data, long_chains(spec.evaluation.samples), spec.evaluation.split, cache_dir)
    long = long_name(spec.primary)
    floors[long] = few.floors(FLOOR_DRAWS, np.random.default_rng(spec.seed), primary_only=True)[few.primary]
    sizes = estimate(spec)
    seconds = [_seconds(spec, data, sizes, end) / cpus for end in (0, 1)]
    plan: dict[str, Any] = {
        "study": spec.study, "study_version": study_version(resolved, data.content_hash), "question": spec.question,
        "data": {"name": data.name, "shape": list(data.shape), "content_hash": data.content_hash,
                 "n": {name: len(getattr(data, name)) for name in ("train", "search", "confirm")}, "notes": data.notes},
        "primary": spec.primary, "primary_long": long, "direction": metrics.direction, "baseline": spec.baseline,
        "common_cell": common_cell(spec), "factors": factors,
        "arms": {name: {"method": arm.method, "fixed": dict(arm.knobs), "limits": arm_limits(spec, arm, spread)}
                 for name, arm in spec.arms.items()},
        "spread": {**spread, "n": local.n, "k": local.k, "coarse": local.coarse},
        "seeds": {phase: phase_seeds(spec, phase) for phase in PHASES},
        "floors": {name: floor._asdict() for name, floor in floors.items()},
        "planned": {phase: {"configurations": p["configurations"], "replicates": p["replicates"]}
                    for phase, p in sizes["phases"].items()},
        "extractor": None if metrics.extractor is None else {"name": metrics.extractor.name,
                                                               "accuracy": metrics.extractor.accuracy},
        "cells": [{"config_hash": config_hash(c, data.content_hash), "arm": c.arm, "phase": c.phase,
                   "method": c.method, "knobs": c.knobs} for c in design_configurations(spec)],
        "estimate": {**sizes, "seconds": seconds, "cpus": cpus}}
    if spec.search is not None:
        plan["search"] = {"sampler": spec.search.sampler, "arguments": dict(sampler_arguments(spec.search.sampler)),
                          "prune": spec.search.prune, "objectives": list(spec.search.objectives),
                          "directions": ["maximize" if larger_is_better(name) else "minimize"
                                         for name in spec.search.objectives],
                          "diverged_value": {arm: diverged_values(spec, arm, data, metrics) for arm in spec.arms}}
    return plan


def common_cell(spec: StudySpec) -> dict[str, Any] | None:
    """Where the report compares the arms, fixed before any result: `compare_at`, or of the baseline's design cells
    those with the most MCMC steps, and of their step sizes the middle one (of two middle ones the smaller)."""
    if spec.compare_at is not None:
        return dict(spec.compare_at)
    if spec.design is None:
        return None
    arm = spec.arms[spec.baseline]
    cells = {(hp.mcmc_steps, hp.step_size) for hp in map(arm.hparams, cells_of(spec.design.factors[spec.baseline]))}
    most = max(steps for steps, _ in cells)
    levels = sorted(size for steps, size in cells if steps == most)
    return {"step_size": levels[(len(levels) - 1) // 2], "mcmc_steps": most}


def as_yaml(resolved: Mapping[str, Any]) -> str:
    """A resolved spec as YAML, keys in their order."""
    from ruamel.yaml import YAML

    text = io.StringIO()
    YAML().dump(dict(resolved), text)
    return text.getvalue()


def diverged_values(spec: StudySpec, arm: str, data: Data, metrics: SampleMetrics) -> list[float | None]:
    """What a diverged replicate of an arm counts as, an objective each. `reference`: that of its reference's samples.

    None where the reference has no such value (costs): the replicate's own stands.
    """
    assert spec.search is not None
    sigma = float(getattr(spec.arms[arm].hparams(spec.search.fixed[arm]), "sigma", 1.0))
    rng = np.random.default_rng(spec.seed)
    samples = (sigma * rng.standard_normal((spec.evaluation.samples, *data.shape))).astype(np.float32)
    known = metrics.all(samples)
    known[long_name(metrics.primary)] = known[metrics.primary]
    if data.density is not None:
        from models.measures.quality import grid_kl

        known["kl_grid"] = grid_kl(lambda x: -np.square(x).sum(1) / (2 * sigma**2), data.density).kl
    return [known.get(name) if value == "reference" else float(value)
            for name, value in zip(spec.search.objectives, spec.search.diverged_value, strict=True)]


def _factors(spec: StudySpec) -> list[str]:
    """Knobs that any phase varies, the design's first."""
    design = [] if spec.design is None else [
        knob for factors in spec.design.factors.values() for f in factors if len(f.rows) > 1 for knob in f.knobs]
    search = [] if spec.search is None else [knob for free in spec.search.free.values() for knob in free]
    return list(dict.fromkeys(design + search))


def _seconds(spec: StudySpec, data: Data, sizes: dict[str, Any], end: int) -> float:
    """CPU seconds of all units on one core in single precision, low (end 0) or high (1): a rough guess.

    A part for each particle-gradient evaluation that grows with the net, one for each call of the net, which serves a
    batch of all replicates, and one for each evaluation. All were fitted by eye to a few timings.
    """
    hps = [arm.hparams({}) for arm in spec.arms.values()]
    width, batch = (float(np.mean([getattr(hp, knob) for hp in hps])) for knob in ("width", "batch_size"))
    each = 1.5e-7 * width if len(data.shape) == 1 else 1.7e-8 * math.prod(data.shape[1:]) * width**1.25
    point, last = SECONDS_AN_EVALUATION[len(data.shape) > 1]
    return sum(p["gradients"][end] * (each + SECONDS_A_CALL / (batch * p["replicates"]))
               + p["measuring"][end] * (each + SECONDS_A_CALL / (LONG_CHAINS * p["replicates"]))
               + p["runs"] * (spec.evaluation.points * point + last) for p in sizes["phases"].values())


def show(plan: dict[str, Any], spec: StudySpec, console: Console) -> None:
    """Print the plan for a person: one table of arms, then the lines that put it in proportion."""
    data, spread = plan["data"], plan["spread"]
    console.print(Text(f"{plan['study']} (version {plan['study_version']})", style="bold"))
    local = (f"local spread s: {spread['s_min']:.3g} +- {spread['se_min']:.1g} in the smallest direction, "
             f"{spread['s_med']:.3g} +- {spread['se_med']:.1g} in the median one")
    for line in (plan["question"], _data_line(plan), data["notes"], local, _coarse(spread)):
        if line:
            console.print(Text(line), soft_wrap=True)
    table = Table(title="Predicted limits of the step size (law E13): the smallest direction's, and the median one's, "
                        "where kappa* passes 1, too")
    for name in ("arm", "method", "cells", "delta*_min", "delta*_med", "kappa* = 1 at", "above both", "between",
                 "below"):
        table.add_column(name, justify="left" if name in ("arm", "method") else "right")
    for arm in spec.arms:
        rows = _arm_rows(plan, spec, arm)
        for row in rows[:MAX_ROWS]:
            table.add_row(*row)
        if len(rows) > MAX_ROWS:
            table.add_row(arm, spec.arms[arm].method, "", f"and {len(rows) - MAX_ROWS} more")
    console.print(table)
    for phase in PHASES:
        if phase in plan["planned"]:
            p = plan["planned"][phase]
            planned = {arm: sum(a["gradients"]) / 2 for arm, a in plan["estimate"]["arms"][phase].items()}
            console.print(Text(f"{phase}: {p['configurations']} configurations x {p['replicates']} replicates; "
                               f"{budgets(planned)}"), soft_wrap=True)
    if spec.search is not None and (early := random_start(spec.search.sampler, search_trials(spec))):
        console.print(Text(early), soft_wrap=True)
    if at := plan["common_cell"]:
        console.print(Text(f"compared at step size {at['step_size']:g} with {at['mcmc_steps']} MCMC steps "
                           "(compare_at)"))
    if few := too_few_replicates(comparisons(plan), plan["planned"].get("design", {}).get("replicates", 0)):
        console.print(Text(few), soft_wrap=True)
    low, high = plan["estimate"]["seconds"]
    cost = duration(high) if duration(low) == duration(high) else f"{duration(low)} to {duration(high)}"
    floor = plan["floors"][plan["primary"]]
    console.print(Text(f"floor: real against real data, {plan['primary']} = {floor['mean']:.3g} +- {floor['sd']:.2g} "
                       f"(sd over splits, n = {floor['n']})"), soft_wrap=True)
    console.print(Text(f"estimated cost: roughly {cost} on {plan['estimate']['cpus']} CPUs, beside the start of Ray"))
    if data["shape"] == [2]:
        console.print(Text("in the plane both limits come from the density's own local standard deviation"))


def comparisons(plan: Mapping[str, Any]) -> int:
    """How many the report will make with the baseline: one for each arm of the design, and for each setting of its
    factors beyond step size and MCMC steps; where the baseline has such settings too, for those that it shares.
    """
    cells = [cell for cell in plan["cells"] if cell["phase"] == "design"]
    extra = [factor for factor in plan["factors"] if factor not in ("step_size", "mcmc_steps")]
    settings: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    for arm in {cell["arm"] for cell in cells}:
        knobs = [cell["knobs"] for cell in cells if cell["arm"] == arm]
        varied = [f for f in extra if len({str(k.get(f)) for k in knobs}) > 1]
        settings[arm] = {tuple((f, str(k.get(f))) for f in varied) for k in knobs}
    base = settings.pop(plan["baseline"], set())
    return sum(len(own) if len(base) == 1 else len(own & base) for own in settings.values())


def too_few_replicates(comparisons: int, replicates: int) -> str:
    """A sentence where no outcome could be significant, "" elsewhere.

    The smallest sign-flip p of n pairs is 2 / 2**n, and Holm's first step multiplies it by the number of comparisons.
    """
    if comparisons < 1 or replicates < 1 or comparisons * 2 / 2**replicates <= ALPHA:
        return ""
    enough = math.ceil(math.log2(2 * comparisons / ALPHA))
    plural = "s" if comparisons > 1 else ""
    return (f"with {replicates} replicates and {comparisons} comparison{plural} with the baseline no p value can reach "
            f"{ALPHA}; {enough} replicates would do (design.replicates)")


def _coarse(spread: Mapping[str, Any]) -> str:
    """What to think of limits from few points; "" where the spread is local."""
    if not spread["coarse"]:
        return ""
    n, k = spread["n"], spread["k"]
    return (f"coarse: {k} neighbours are {k / n:.0%} of {n} points, so a mode with fewer than {2 * k} is not told "
            "from its surroundings; s and the limits may be too large")


def _data_line(plan: dict[str, Any]) -> str:
    data, extractor = plan["data"], plan["extractor"]
    n = " / ".join(str(data["n"][split]) for split in ("train", "search", "confirm"))
    line = f"data: {data['name']} {'x'.join(map(str, data['shape']))}, {n} train / search / confirm"
    if extractor:
        line += f"; features: {extractor['name']}"
        if extractor["accuracy"] is not None:
            line += f", accuracy {extractor['accuracy']:.3f} on the search split"
    return line


def _arm_rows(plan: dict[str, Any], spec: StudySpec, arm: str) -> list[list[str]]:
    """A row for each predicted limit of an arm, and how many of its cells lie on which side of it."""
    entries = plan["arms"][arm]["limits"]
    cells = [] if spec.design is None else list(cells_of(spec.design.factors[arm]))
    if not entries:
        return [[arm, spec.arms[arm].method, str(len(cells)), *UNKNOWN]]
    default = spec.arms[arm].hparams({}).step_size
    varied = [k for k in entries[0] if not k.startswith("delta_")]
    steps_at: dict[tuple[Any, ...], list[float]] = {}
    for cell in cells:
        steps_at.setdefault(tuple(cell.get(k) for k in varied), []).append(cell.get("step_size", default))
    rows = []
    for entry in entries:
        low, high = (math.inf if entry[key] is None else entry[key] for key in ("delta_min", "delta_med"))
        own = " ".join(f"{k}={entry[k]}" for k in varied)
        steps = steps_at.get(tuple(entry[k] for k in varied), [])
        counts = [sum(s > high for s in steps), sum(low < s <= high for s in steps), sum(s <= low for s in steps)]
        bounds = [f"{span(entry[k], entry[k])} ({span(entry[k + '_low'], entry[k + '_high'])})"
                  if entry[k] is not None else "none" for k in ("delta_min", "delta_med")]
        practical = "none" if entry["delta_kappa1"] is None else span(entry["delta_kappa1"], entry["delta_kappa1"])
        rows.append([f"{arm} {own}".strip(), spec.arms[arm].method, str(len(steps)), *bounds, practical,
                     *map(str, counts)])
    if rest := len(cells) - sum(int(row[2]) for row in rows):
        rows.append([f"{arm}, other knobs", spec.arms[arm].method, str(rest), *UNKNOWN])
    return rows
