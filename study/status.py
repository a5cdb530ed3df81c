"""`--status`: how far a study is, from its storage alone. Starts nothing, writes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from study.identity import knobs_text, study_version
from study.lock import holder
from study.progress import duration
from study.results import Result, Results
from study.spec import PHASES, StudySpec
from study.storage import DamagedError, Store
from study.work import Work


def show_status(spec: StudySpec, store: Store, console: Console) -> None:
    """Print who runs the study, a row of counts for each phase, and the units that are in progress."""
    plan = store.read_json("plan.json")
    if not isinstance(plan, dict) or not plan.keys() >= {"study_version", "data", "planned", "arms", "floors"}:
        console.print(Text(f"study {spec.study} has not been started in {store.uri}"), soft_wrap=True)
        return
    by = holder(store)
    console.print(Text(f"{spec.study} (version {plan['study_version']}): " + (f"run by {by}" if by else "not running")))
    if set(plan["planned"]) != {p for p in PHASES if spec.replicates(p)} or set(plan["arms"]) != set(spec.arms):
        console.print(Text("the file has other phases or arms than the last launch; the next counts what it can use"),
                      soft_wrap=True)
        return
    if study_version(spec.resolved(), plan["data"]["content_hash"]) != plan["study_version"]:
        console.print(Text("the file makes another version of the study than the last launch; these are its counts"))
    try:
        _show_units(spec, plan, store, console)
    except (KeyError, TypeError, ValueError):  # journals of a search that the file no longer describes, a damaged plan
        console.print(Text("what the last launch left does not fit the file: its search has other knobs or objectives, "
                           "or plan.json is damaged; the next launch counts what it can use"), soft_wrap=True)


def _show_units(spec: StudySpec, plan: dict[str, Any], store: Store, console: Console) -> None:
    results, work = read(spec, plan, store)
    table = Table(title="Units of work")
    for name in ("phase", "planned", "finished", "all replicates diverged", "pruned", "replicates diverged"):
        table.add_column(name, justify="left" if name == "phase" else "right")
    for phase in PHASES:
        if phase in plan["planned"]:
            found = [r for r in results.all() if r.unit.configuration["phase"] == phase]
            table.add_row(phase, *_counts(found, plan["planned"][phase]["configurations"]))
    console.print(table)
    console.print(Text(f"{work.left} units are left"))
    for unit, update, modified in store.checkpointed():
        updates = unit.configuration["knobs"]["updates"]
        c = unit.configuration
        name = " ".join([c["phase"], c["arm"], knobs_text(c["knobs"], plan.get("factors", ()))]).strip()
        console.print(Text(f"begun: {name} seeds {unit.block} ({unit.config_hash}): checkpoint at update {update} of "
                           f"{updates}, {duration(max(0.0, time.time() - modified))} ago"),
                      soft_wrap=True)


def read(spec: StudySpec, plan: dict[str, Any], store: Store) -> tuple[Results, Work]:
    """What the storage holds of a study, and what is left of it."""
    search = plan.get("search", {})
    results = Results(store, spec.primary, search.get("objectives", ()), search.get("diverged_value"))
    tagged = set()
    for unit, manifest in store.done_units():
        try:
            results.add_done(unit, manifest)
        except DamagedError:  # the next launch says so, and trains it again
            continue
        if manifest.get("study_version") == plan["study_version"]:
            tagged.add(unit.config_hash)
    return results, Work(spec, plan, results, store, tagged, read_only=True)


def _counts(found: Sequence[Result], planned: int) -> list[str]:
    told = [r for r in found if not r.pruned]
    replicates = sum(r.replicates for r in told)
    diverged = sum(r.status == "diverged" for r in told)
    return [str(planned), str(len(told)), str(diverged), str(len(found) - len(told)),
            f"{sum(r.diverged for r in told)}/{replicates}"]

