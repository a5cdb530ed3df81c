"""The plan for a person: one table of arms, then the lines that put it in proportion."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.cpus import rounds_fast
from study.plan.budget import random_start
from study.plan.cost import budgets
from study.plan.memory import gib, most_at_once
from study.plan.space import paid_updates, search_trials
from study.schema.bound import bounds_text
from study.schema.columns import DELTA_MED, DELTA_MIN, STEP_SIZE
from study.schema.plan import LocalSpread, Plan, PlannedMemory
from study.schema.unit import PHASES
from study.show.progress import duration, span
from study.spec import StudySpec
from study.spec.model import cells_of, fixed_in

ALPHA = 0.05  # of the report's tests, after Holm
NO_LABELS = ("these images have no labels, so measures are on a ConvNet that learned to tell them apart (ssl64); "
             "evaluation.features adds those of a better network (docs/spec.md)")
HANDWRITTEN = ("digits", "mnist")  # whose images mean something else in a mirror
MIRRORED = "flip mirrors digits, of which most are none then: it is meant for faces and natural images"
ROUNDED = "precision: bf16 makes chains no faster, mostly slower, on this machine's CPU, {}"
UNKNOWN = ("no prediction", "", "", "", "", "")  # columns of an arm that the law says nothing of
GPU_AS_CORES = 200  # what one GPU does, for a guess of its hours: none was measured
MAX_ROWS = 20  # of an arm, in the table for people; plan.json has them all


def show(plan: Plan, spec: StudySpec, console: Console) -> None:
    """Print the plan for a person: one table of arms, then the lines that put it in proportion."""
    data, spread = plan.data, plan.spread
    console.print(Text(f"{plan.study} (version {plan.study_version})", style="bold"))
    local = (f"local spread s: {spread.s_min:.3g} +- {spread.se_min:.1g} in the smallest direction, "
             f"{spread.s_med:.3g} +- {spread.se_med:.1g} in the median one")
    alone = plan.extractor is not None and plan.extractor.accuracy is None and spec.evaluation.features is None
    mirrored = spec.data.get("name") in HANDWRITTEN and any(
        arm.full(values)["flip"] for arm in spec.arms.values() for values in fixed_in(spec, arm))
    for line in (plan.question, _data_line(plan), data.notes, NO_LABELS if alone else "",
                 MIRRORED if mirrored else "", _slow_rounding(spec, plan), local,
                 _coarse(spread)):
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
    for line in plan.in_codes():
        console.print(Text(line), soft_wrap=True)
    if paid := _paid(spec):
        console.print(Text(paid), soft_wrap=True)
    for phase in PHASES:
        if phase in plan.planned:
            p = plan.planned[phase]
            planned = {arm: sum(a.gradients) / 2 for arm, a in plan.estimate.arms[phase].items()}
            console.print(Text(f"{phase}: {p.configurations} configurations x {p.replicates} replicates; "
                               f"{budgets(planned)}"), soft_wrap=True)
    for line in filter(None, _of_search(plan, spec)):
        console.print(Text(line), soft_wrap=True)
    if at := plan.common_cell:
        console.print(Text(f"compared at step size {at.step_size:g} with {at.mcmc_steps} MCMC steps "
                           "(compare_at)"))
    if few := too_few_replicates(plan.comparisons(), plan.replicates("design")):
        console.print(Text(few), soft_wrap=True)
    low, high = plan.estimate.seconds
    cost = duration(high) if duration(low) == duration(high) else f"{duration(low)} to {duration(high)}"
    floor = plan.floors[plan.primary]
    console.print(Text(f"floor: real against real data, {plan.primary} = {floor.mean:.3g} +- {floor.sd:.2g} "
                       f"(sd over splits, n = {floor.n})"), soft_wrap=True)
    pruned = ", less what the search prunes" if spec.search is not None and spec.search.prune else ""
    console.print(Text(f"estimated cost: roughly {cost} on {plan.estimate.cpus} CPUs{pruned}, beside the start of Ray"))
    if isinstance(spec.resources.gpu, int | float) and spec.resources.gpu:
        each = (end * plan.estimate.cpus / GPU_AS_CORES / 3600 for end in (low, high))
        hours = " to ".join(dict.fromkeys(f"{end:.3g}" for end in each))
        console.print(Text(f"on GPUs: {hours} device-hours, if one does what {GPU_AS_CORES} such CPUs do: a guess, "
                           "nothing was measured on a GPU"), soft_wrap=True)
    if plan.memory is not None:
        console.print(Text(_memory(plan.memory, spec, plan)), soft_wrap=True)
    if not plan.spread.n:
        console.print(Text("in the plane both limits come from the density's own local standard deviation"))


def _of_search(plan: Plan, spec: StudySpec) -> list[str]:
    """How long its sampler draws at random, what its best exchange, what it is to keep; "" where there is nothing."""
    return [
        random_start(spec.search.sampler, search_trials(spec)) if spec.search is not None else "",
        f"{plan.exchanged} of the confirmed: an arm's best with what another arm's best has of the knobs that both "
        "search in one range (confirm.exchange)" if plan.exchanged else "",
        f"the search keeps {bounds_text(plan.constraints)}, on each replicate of a trial" if plan.constraints else ""]


def too_few_replicates(comparisons: int, replicates: int) -> str:
    """A sentence where no outcome could be significant, "" elsewhere.

    The smallest sign-flip p of n pairs is 2 / 2**n, and Holm's first step multiplies it by the number of comparisons.
    """
    if comparisons < 1 or replicates < 1 or comparisons * 2 / 2**replicates <= ALPHA:
        return ""
    plural = "s" if comparisons > 1 else ""
    return (f"with {replicates} replicates and {comparisons} comparison{plural} with the baseline no p value can reach "
            f"{ALPHA}; {enough_replicates(comparisons)} replicates would do (design.replicates)")


def enough_replicates(comparisons: int) -> int:
    """The fewest with which so many comparisons can be significant."""
    return math.ceil(math.log2(2 * comparisons / ALPHA))


def _coarse(spread: LocalSpread) -> str:
    """What to think of limits from few points; "" where the spread is local."""
    if not spread.coarse:
        return ""
    n, k = spread.n, spread.k
    return (f"coarse: {k} neighbours are {k / n:.0%} of {n} points, so a mode with fewer than {3 * k} is not told "
            "from its surroundings; s and the limits may be too large")


def _slow_rounding(spec: StudySpec, plan: Plan) -> str:
    """Why chains in bf16 are slower than others on this machine's CPU, where a study may run on it."""
    rounded = any(arm.full(values)["precision"] == "bf16" for arm in spec.arms.values()
                  for values in fixed_in(spec, arm))
    if not rounded or spec.resources.gpu not in (0, "auto"):
        return ""
    if not rounds_fast():
        return ROUNDED.format("which has no units for it")
    return ROUNDED.format("for data as small as these") if len(plan.data.shape) == 1 or plan.data.shape[1] <= 8 else ""


def _data_line(plan: Plan) -> str:
    data, extractor = plan.data, plan.extractor
    n = " / ".join(str(data.n[split]) for split in ("train", "search", "confirm"))
    line = f"data: {data.name} {'x'.join(map(str, data.shape))}, {n} train / search / confirm"
    if extractor:
        line += f"; features: {extractor.name}"
        if extractor.accuracy is not None:
            line += f", accuracy {extractor.accuracy:.3f} on the search split"
    return line


def _arm_rows(plan: Plan, spec: StudySpec, arm: str) -> list[list[str]]:
    """A row for each predicted limit of an arm, and how many of its cells lie on which side of it."""
    entries = plan.arms[arm].limits
    cells = [] if spec.design is None else list(cells_of(spec.design.factors[arm]))
    if not entries and spec.design is None and spec.search and spec.arms[arm].hparams(spec.search.fixed[arm]).balance():
        return [[arm, spec.arms[arm].method, "", "each trial's own", *UNKNOWN[1:]]]  # the search varies what enters it
    if not entries:
        return [[arm, spec.arms[arm].method, str(len(cells)), *UNKNOWN]]
    default = spec.arms[arm].hparams({}).step_size
    varied = list(entries[0].knobs)
    steps_at: dict[tuple[Any, ...], list[float]] = {}
    for cell in cells:
        steps_at.setdefault(tuple(cell.get(k) for k in varied), []).append(cell.get(STEP_SIZE, default))
    rows = []
    for entry in entries:
        low, high = (math.inf if at is None else at for at in (entry.delta_min, entry.delta_med))
        own = " ".join(f"{k}={v}" for k, v in entry.knobs.items())
        steps = steps_at.get(tuple(entry.knobs.values()), [])
        counts = [sum(s > high for s in steps), sum(low < s <= high for s in steps), sum(s <= low for s in steps)]
        bounds = [_bounds(getattr(entry, key) for key in names) for names in (DELTA_MIN, DELTA_MED)]
        practical = "none" if entry.delta_kappa1 is None else span(entry.delta_kappa1, entry.delta_kappa1)
        rows.append([f"{arm} {own}".strip(), spec.arms[arm].method, str(len(steps)), *bounds, practical,
                     *map(str, counts)])
    if rest := len(cells) - sum(int(row[2]) for row in rows):
        rows.append([f"{arm}, other knobs", spec.arms[arm].method, str(rest), *UNKNOWN])
    return rows


def _memory(most: PlannedMemory, spec: StudySpec, plan: Plan) -> str:
    at_once = most_at_once(most, spec.resources.gpu, plan.estimate.cpus)
    return (f"memory: {gib(most.bytes)} at the peak of the largest unit (arm {most.arm}, {most.replicates} "
            "replicates), up to half as much again for kernels; beside it torch and data"
            + (f"; {at_once} of them at once, as this machine holds no more" if at_once != plan.estimate.cpus else ""))


def _paid(spec: StudySpec) -> str:
    """How many updates budgets pay for; "" without one."""
    found = {arm: ends for arm in spec.arms if (ends := paid_updates(spec, arm))}
    each = (f"{arm} {low:,}" + (f" to {high:,}" if low < high else "") for arm, (low, high) in found.items())
    return f"updates that the budget pays for: {', '.join(each)}" if found else ""


def _bounds(limit: Iterable[float | None]) -> str:
    at, low, high = limit
    return "none" if at is None else f"{span(at, at)} ({span(low, high)})"
