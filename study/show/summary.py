"""The last lines of a launch: counts, predicted against observed limits, the best configuration, what to type next."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from study.plan.budget import unequal
from study.plan.cost import budgets, cost
from study.plan.prediction import predicted
from study.schema.columns import MCMC_STEPS, STEP_SIZE
from study.schema.plan import Plan
from study.schema.unit import BY_WEIGHT, PHASES
from study.show import command
from study.show.monitor import Monitor
from study.show.pareto import pareto_lines
from study.show.progress import Outcome, band, duration, is_better
from study.show.redaction import redacted
from study.show.tracking.view import query
from study.store.files import DEFAULT_STORAGE
from study.store.results import Result

KAPPA_PAST = 2.0  # of kappa: the sampler is unstable there (E13), whatever has been seen in so many updates


def show_summary(monitor: Monitor, console: Console) -> None:
    """Print what the whole study has found so far, over all launches."""
    results = monitor.results.all()
    states = Counter(r.status if monitor.results.is_complete(r.unit) else "with seeds left" for r in results)
    told = [r for r in results if not r.pruned]
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none finished"
    diverged, replicates = sum(r.diverged for r in told), sum(r.replicates for r in told)
    console.print(Text(f"units of work: {counts}, {len(monitor.lost_units)} lost; "
                       f"{diverged}/{replicates} replicates diverged"), soft_wrap=True)
    for phase in PHASES:
        spent = {arm: sum(_spent(monitor, r) for r in results if r.unit.configuration.phase == phase
                          and r.unit.configuration.arm == arm) for arm in monitor.plan.arms}
        if phase in monitor.plan.planned and any(spent.values()):
            console.print(Text(f"spent on {phase}: {budgets(spent)}"), soft_wrap=True)
            if phase == "search" and (warning := unequal(spent)):
                console.print(Text(warning), soft_wrap=True)
    if long := sum(r.long_run for r in results):
        console.print(Text(f"long runs after training: {duration(long)} of {duration(sum(r.cpu for r in results))} of "
                           "CPU time"))
    if monitor.spec.keep != "none" and monitor.kept_bytes:
        console.print(Text(f"networks and particles are kept: {monitor.kept_bytes / 1e6:,.1f} MB (keep)"))
    rows = observed(results, monitor.plan)
    if rows:
        table = Table(title="Limits of the step size: predicted, and where half of the replicates diverged")
        for column in ("arm", "mcmc_steps", "delta*_min..delta*_med", "diverges from", "none up to"):
            table.add_column(column, justify="left" if column == "arm" else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    objectives = monitor.plan.objectives
    for line in pareto_lines(results, monitor.plan.signs, monitor.plan.factors):
        console.print(Text(line), soft_wrap=True)
    best = best_of(monitor)
    if best is not None:
        by = f" by {best.measure}" if objectives and objectives != [best.measure] else ""
        console.print(Text(f"best {best.phase}{by}: {best.line()}"), soft_wrap=True)


def _spent(monitor: Monitor, result: Result) -> float:
    """Particle-gradient evaluations; of a pruned unit up to its last rung."""
    if not result.pruned:
        return result.gradients
    updates = int(result.unit.configuration.knobs["updates"])
    return cost(result.unit) * max(monitor.results.rungs(result.unit), default=0) / updates


def observed(results: list[Result], plan: Plan) -> list[tuple[str, ...]]:
    """(arm, mcmc_steps, predicted, smallest step size at which at least half diverged, largest below it with none).

    Where kappa ends above 2 the chain is past its limit though nothing has diverged yet: that is said behind the last.
    Of the design. A group is an arm with all its varied knobs but step_size; all blocks of a cell count together.
    """
    groups: dict[tuple[str, str, str], dict[float, list[int]]] = {}
    limits: dict[tuple[str, str, str], str] = {}
    past: dict[tuple[str, str, str], float] = {}  # the smallest step size at which kappa ends above 2
    others = plan.further
    for r in results:
        c = r.unit.configuration
        if c.phase != "design":
            continue
        knobs = c.knobs
        own = " ".join([c.arm, *(f"{f}={knobs[f]}" for f in others if f in knobs)])
        key = c.arm, own, str(knobs[MCMC_STEPS])
        cell = groups.setdefault(key, {}).setdefault(knobs[STEP_SIZE], [0, 0])
        cell[0] += r.diverged
        cell[1] += r.replicates
        if r.kappa is not None and r.kappa > KAPPA_PAST:
            past[key] = min(knobs[STEP_SIZE], past.get(key, math.inf))
        found = predicted(plan, c)
        limits[key] = band(found) if found else "no prediction"
    rank = {arm: i for i, arm in enumerate(plan.arms)}
    cells_done = {r.unit.config_hash for r in results if r.unit.configuration.phase == "design"}
    none = "none of the grid" if len(cells_done) >= len(plan.cells) else "none so far"
    rows: list[tuple[str, ...]] = []
    for key in sorted(groups, key=lambda k: (rank[k[0]], k[1], int(k[2]))):
        cells = sorted(groups[key].items())
        first = next((s for s, (k, n) in cells if 2 * k >= n), math.inf)
        calm = [s for s, (k, _) in cells if k == 0 and s < first]
        beyond = f", kappa > 2 from {past[key]:.4g}" if calm and past.get(key, math.inf) <= max(calm) else ""
        rows.append((key[1], key[2], limits[key], none if math.isinf(first) else f"{first:.4g}",
                     f"{max(calm):.4g}{beyond}" if calm else none))
    return rows


def best_of(monitor: Monitor) -> Outcome | None:
    """The best configuration of the phase that speaks most: confirm, else design, else search."""
    for phase in BY_WEIGHT:
        best: Outcome | None = None
        for result in monitor.results.all():
            if result.unit.configuration.phase == phase:
                outcome = monitor.outcome(result)
                if is_better(outcome, best):
                    best = outcome
        if best is not None:
            return best
    return None


def next_commands(study: str, uri: str, experiment_id: str | None, given: str | None,
                  from_environment: bool, storage: str | None = None, plan: Plan | None = None) -> list[str]:
    """What shows the study: MLflow's page, the report, and samples, as they can be typed in this folder.

    experiment_id: None where MLflow did not answer. given: --tracking-uri; from_environment: that MLflow's own variable
    names the store, which `mlflow ui` does not read. The page's address is given since MLflow's first page is about
    agents; it opens the trials that claims rest on, the best first. storage: --storage, of a study that keeps
    networks. A password is left out.
    """
    option = "" if given is None else f" --tracking-uri {shlex.quote(uri)}"
    view = "" if plan is None else f"?{query(plan)}"
    runs = "" if experiment_id is None else f"#/experiments/{experiment_id}/runs{view}"
    if uri.startswith(("http://", "https://")):
        page = f"open {uri.rstrip('/')}/{runs}"
    else:
        earlier = any(Path("mlruns").glob("*/meta.yaml"))  # an earlier MLflow's runs, to which `mlflow ui` would turn
        store = "" if given is None and not from_environment and not earlier else shlex.quote(uri)
        page = (f"{command.mlflow()} ui{store and f' --backend-store-uri {store}'}   "
                f"# then open http://127.0.0.1:5000/{runs}")
    of = f" --study {shlex.quote(study)}"
    lines = [page, f"{command.report()}{of}{option}"]
    if storage is not None:
        place = "" if storage == DEFAULT_STORAGE else f" --storage {shlex.quote(storage)}"
        lines.append(f"{command.module('study.sample')}{of}{place}")
    return [redacted(line) for line in lines]
