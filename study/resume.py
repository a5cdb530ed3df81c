"""A launch takes up its study: what changed since the last one, and the work that is left."""

from __future__ import annotations

import sys

from rich.console import Console

from study.plan.identity import changes
from study.provenance import commit
from study.run.found import find
from study.run.work import Work
from study.schema.canonical import sealed, unsealed
from study.schema.plan import Plan
from study.show.monitor import Monitor
from study.show.progress import Progress, duration
from study.show.tracking import Tracking
from study.spec import StudySpec
from study.store.units import Store


def what_changed(spec: StudySpec, plan: Plan, store: Store) -> list[str]:
    """What makes this another version of the study than the last launch's, as sentences; none in a new study."""
    try:
        before = None if (found := store.read_json("spec.json")) is None else unsealed(found)
        changed = [] if before is None else changes(before, spec.resolved())
    except (KeyError, TypeError, ValueError, AttributeError):  # JSON, and no spec that was written
        print(f"{store.uri}/{spec.study}/spec.json is damaged; a launch makes it again", file=sys.stderr)
        before, changed = None, []
    try:
        last = Plan.read(unsealed(store.read_json("plan.json")))
    except ValueError:  # none, or no plan that was written
        last = plan
    if last.data.content_hash != plan.data.content_hash and not any(text.startswith("data.") for text in changed):
        changed.append("what the data hold")
    if before is not None and not changed and last.study_version != plan.study_version:
        changed.append("how this release tells versions apart")
    return changed


def what_is_left(spec: StudySpec, plan: Plan, store: Store) -> str:
    """Of a study that has begun: how much is finished, and what the rest costs, as a sentence; "" of a new one."""
    if store.read("spec.json") is None:
        return ""
    found, estimate = find(spec, plan, store, read_only=True), plan.estimate
    whole = sum(sum(phase.gradients) / 2 for phase in estimate.phases.values())
    low, high = (duration(seconds * found.work.cost / whole) for seconds in estimate.seconds)
    done = f"units of work: {found.results.complete()} finished, {found.work.left_in_words} left"
    return f"{done}: roughly {low if low == high else f'{low} to {high}'}" if found.work.left else done


def resume(spec: StudySpec, plan: Plan, store: Store, console: Console, *, tracking_uri: str | None,
           quiet: bool) -> tuple[Monitor, Work]:
    """Write spec and plan, read what is finished; who watches what is left to do, and shows it in MLflow.

    MLflow is not asked: the launch has no run there yet, and whatever fails here leaves none that seems to be running.
    """
    version = plan.study_version
    store.stamp = {"study_version": version, "commit": commit()}
    store.write_json("spec.json", sealed(spec.resolved()))
    store.write_json("plan.json", sealed(plan.plain()))
    found = find(spec, plan, store)
    tracking = Tracking(tracking_uri, spec.study, version, plan.factors, plan.seeds, plan.data)
    monitor = Monitor(spec, plan, store, tracking, found.results, Progress(console, quiet=quiet))
    for unit, manifest in found.done:
        monitor.show(unit, manifest)
    work = found.work
    monitor.progress.total, monitor.progress.cost = work.left, work.cost
    if complete := found.results.complete():
        console.print(f"units of work: {complete} finished, {work.left_in_words} left", markup=False)
    return monitor, work
