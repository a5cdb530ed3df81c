"""`--status`: how far a study is, from its storage alone. Starts nothing, writes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from study.plan.identity import knobs_text, study_version
from study.plan.space import estimate
from study.run.found import find
from study.schema.plan import Plan
from study.schema.unit import PHASES, block_name
from study.show.pareto import pareto_lines
from study.show.progress import duration
from study.spec import StudySpec, loads
from study.spec.problems import SpecError
from study.store.kept import NoPlanError, read_plan
from study.store.lock import holder
from study.store.results import Result
from study.store.units import Begun, Store


def show_status(spec: StudySpec, store: Store, console: Console) -> None:
    """Print who runs the study, a row of counts for each phase, and the units that are in progress."""
    def say(line: str) -> None:
        console.print(Text(line), soft_wrap=True)

    try:
        plan = read_plan(store)
    except NoPlanError as problem:
        say(str(problem))
        return
    by = holder(store)
    say(f"{spec.study} (version {plan.study_version}): " + (f"run by {by}" if by else "not running"))
    if other := _how_it_differs(spec, plan):
        last = _last_spec(plan)
        say(f"the file {other} than the last launch; " + (
            "the next counts what it can use" if last is None else "these are the last launch's counts"))
        if last is None:
            return
        spec = last
    sizes = {phase: found.configurations for phase, found in estimate(spec).phases.items()}
    store.stamp = {"study_version": plan.study_version}
    found = find(spec, plan, store, read_only=True)
    results = [*found.results.all()]
    table = Table(title="Units of work")
    for name in ("phase", "planned", "finished", "all replicates diverged", "pruned", "replicates diverged"):
        table.add_column(name, justify="left" if name == "phase" else "right")
    for phase in PHASES:
        if phase in sizes:
            mine = [r for r in results if r.unit.configuration.phase == phase]
            whole = sum(found.results.is_complete(r.unit) and not r.pruned for r in mine)
            table.add_row(phase, str(sizes[phase]), str(whole), *_counts(mine))
    console.print(table)
    for line in pareto_lines(results, plan.signs, plan.factors):
        say(line)
    say(f"units of work: {found.work.left_in_words} left" + (" of the last launch's" if other else ""))
    for begun in found.begun:
        say(f"begun: {_name(begun, plan)}, {duration(max(0.0, time.time() - begun.modified))} ago")


def _how_it_differs(spec: StudySpec, plan: Plan) -> str:
    """What a file has or makes that the last launch had not, "" where its counts are this file's."""
    if set(plan.planned) != {p for p in PHASES if spec.replicates(p)} or set(plan.arms) != set(spec.arms):
        return "has other phases or arms"
    if study_version(spec.resolved(), plan.data.content_hash) != plan.study_version:
        return "makes another version of the study"
    return ""


def _last_spec(plan: Plan) -> StudySpec | None:
    """The last launch's, from the file's text that its plan keeps: a search is replayed with the space it had. None
    where that text means something else by now, or refers to files that are gone."""
    if plan.space is None:
        return None
    try:
        spec = loads(plan.space.text, overrides=plan.space.overrides, needs_data=False)
    except SpecError:
        return None
    return None if _how_it_differs(spec, plan) else spec


def _name(begun: Begun, plan: Plan) -> str:
    where = f"seeds {block_name(begun.seeds)} ({begun.config_hash})"
    if (c := begun.configuration) is None:
        return f"{where} whose config.json is damaged: checkpoint at update {begun.update}"
    own = " ".join(filter(None, [c.phase, c.arm, knobs_text(c, plan.factors), where]))
    return f"{own}: checkpoint at update {begun.update} of {c.knobs['updates']}"


def _counts(found: Sequence[Result]) -> list[str]:
    """Of what has all of its seeds, or some."""
    told = [r for r in found if not r.pruned]
    replicates = sum(r.replicates for r in told)
    diverged = sum(r.status == "diverged" for r in told)
    return [str(diverged), str(len(found) - len(told)), f"{sum(r.diverged for r in told)}/{replicates}"]

