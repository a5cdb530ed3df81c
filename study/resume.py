"""What a launch finds: what changed since the last one, and the work that is finished already."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console

from study.plan.identity import changes
from study.run.work import Work
from study.schema.canonical import sealed, unsealed
from study.schema.manifest import Manifest
from study.schema.plan import Plan
from study.schema.unit import Unit
from study.show.monitor import Monitor
from study.show.progress import Progress
from study.show.tracking import Finished, Tracking, TrackingError
from study.show.tracking.tags import hashes_of
from study.spec import StudySpec
from study.store.provenance import commit
from study.store.results import Results
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


def resume(spec: StudySpec, plan: Plan, store: Store, console: Console, *, tracking_uri: str | None,
           quiet: bool, ask_mlflow: bool) -> tuple[Monitor, Work]:
    """Write spec and plan, read what is finished, show what MLflow does not show yet; what is left to do.

    The launch has no run in MLflow yet: whatever fails here leaves none that seems to be running. ask_mlflow: False
    where it is known to be away; then all that is done waits to be shown, and what is shown already is found out then.
    """
    version = plan.study_version
    store.stamp = {"study_version": version, "commit": commit()}
    resolved = spec.resolved()
    store.write_json("spec.json", sealed(resolved))
    store.write_json("plan.json", sealed(plan.plain()))
    tracking = Tracking(tracking_uri, spec.study, version, plan.factors, plan.seeds)
    results = Results(store, spec.primary, plan.objectives, plan.diverged_values)
    monitor = Monitor(spec, plan, store, tracking, results, Progress(console, quiet=quiet))
    shown: dict[Any, Finished] = {}
    answered = ask_mlflow
    if ask_mlflow:
        try:
            shown = tracking.finished()
        except TrackingError as error:  # it answered when the launch began
            if not error.away:
                raise
            answered = False
            console.print(f"{error}; training goes on, and what is missing there is added later", markup=False,
                          soft_wrap=True)
    monitor.is_asked = answered
    tagged = hashes_of(shown.values(), version)
    for unit, manifest in store.done_units(tidy=True):
        if store.discard_if_damaged(unit, manifest):
            continue
        results.add_done(unit, manifest)
        if not answered and manifest.study_version == version:  # a lost journal is rebuilt without MLflow, too
            tagged.add(unit.config_hash)
        known = shown.pop((unit.config_hash, unit.seeds), None)
        pruned = manifest.status == "pruned"
        if known is None or (known.status == "pruned") != pruned or (
                pruned and known.version != (manifest.study_version or known.version)):
            monitor.show(unit, manifest)
    restored, problem = _restore(shown.values(), tracking, store, results)
    if restored:
        console.print(f"{restored} units had no whole files in the storage; MLflow has their records, which are now "
                      "there again", markup=False, soft_wrap=True)
    if problem:
        console.print(f"{problem}; units that have no whole files in the storage are trained again", markup=False,
                      soft_wrap=True)
    for begun in store.begun():
        if results.has(begun.config_hash, begun.seeds):  # trained in other blocks: nobody continues it
            store.drop_checkpoints(begun)
        else:
            results.begin(begun.config_hash, begun.seeds)
    work = Work(spec, plan, results, store, tagged)
    monitor.choose(work.chosen)
    monitor.progress.total, monitor.progress.cost = work.left, work.cost
    if complete := results.complete():
        console.print(f"{complete} units of work are finished, {work.left_in_words} are left", markup=False)
    return monitor, work


def _restore(shown: Iterable[Finished], tracking: Tracking, store: Store,
             results: Results) -> tuple[int, TrackingError | None]:
    """Write units whose storage is gone, or damaged, there again from MLflow: how many, and why not the others.

    What MLflow does not give now is as if it were not shown: a server that is away for its artifacts alone must not
    hold up training. It is not asked for more: each request may take as long as a server may stay silent.
    """
    restored = 0
    refused: TrackingError | None = None
    for found in shown:
        try:
            payload = tracking.records(found)
            if not payload and found.status != "pruned":
                continue
            rungs = tracking.rungs(found)
        except TrackingError as error:
            if error.away:
                return restored, error
            refused = error
            continue
        unit = Unit(found.configuration, found.seeds, found.config_hash)
        results.add_done(unit, store.restore(unit, payload, Manifest(
            status=found.status, primary=results.primary, study_version=found.version, commit=found.commit,
            rungs=rungs)))
        restored += 1
    return restored, refused
