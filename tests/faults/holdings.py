"""What a study holds in its storage and in MLflow, and how two studies differ that should hold the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIMES = ("wall_seconds", "cpu_seconds", "long_run_seconds")  # the only measures that differ from run to run
EXPERIMENT = "tiny"
JOURNAL = ("unit", "params", "state", "values")  # beside it stands how the sampler came to it
TAGS = ("complete", "status", "seeds", "verdict", "flags", "verdicts", "phase", "arm")

Key = tuple[str, str]  # config_hash, seed


@dataclass(frozen=True)
class Shown:
    """One run in MLflow: its status, the tags that say what it is, its measures and curves (step -> value)."""

    status: str
    tags: Mapping[str, str]
    curves: Mapping[str, list[tuple[int, float]]]


@dataclass
class Holdings:
    """units: config_hash/seeds -> status in the manifest. records: each replicate's rows, times left out. journals:
    arm -> entries. trials, replicates: their runs in MLflow, all of them, as lists that should be of length one.
    launches: statuses."""

    units: dict[str, str] = field(default_factory=dict)
    phases: dict[str, tuple[str, str]] = field(default_factory=dict)  # unit -> phase, arm
    records: dict[Key, list[dict[str, Any]]] = field(default_factory=dict)
    journals: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    trials: dict[str, list[Shown]] = field(default_factory=dict)
    replicates: dict[Key, list[Shown]] = field(default_factory=dict)
    launches: list[str] = field(default_factory=list)


def stored(folder: Path) -> Holdings:
    """What the storage holds below the study's folder, its finished units only."""
    from study.store.records import read_records

    held = Holdings()
    for manifest in sorted(folder.glob("*/*/done.json")):
        unit = f"{manifest.parent.parent.name}/{manifest.parent.name}"
        held.units[unit] = json.loads(manifest.read_text())["status"]
        configuration = json.loads((manifest.parent / "config.json").read_text())["configuration"]
        held.phases[unit] = configuration["phase"], configuration["arm"]
        file = manifest.parent / "records.parquet"
        for row in read_records(file.read_bytes()) if file.exists() else ():
            kept = {name: value for name, value in row.items() if name not in TIMES}
            held.records.setdefault((manifest.parent.parent.name, str(row["seed"])), []).append(kept)
    for path in sorted(folder.glob("search/*/*.json")):
        entries = json.loads(path.read_text())["entries"]
        held.journals[path.stem] = [{name: entry.get(name) for name in JOURNAL} for entry in entries]
    return held


def holdings(folder: Path, uri: str, study: str = EXPERIMENT, curves: bool = True) -> Holdings:
    """What the storage and the MLflow store hold of the study. curves: whether to ask for replicates', one by one."""
    from mlflow import MlflowClient

    held = stored(folder)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None, f"no experiment {study} at {uri}"
    for run in client.search_runs([experiment.experiment_id], max_results=5000):
        tags = {name: run.data.tags.get(name, "") for name in TAGS}
        names = [name for name in run.data.metrics if name.removeprefix("spent_") not in TIMES]
        found = {name: [(0, run.data.metrics[name])] for name in names}  # an aggregate is what it is now
        if run.data.tags["kind"] == "replicate":
            found = {name: sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, name))
                     for name in names if curves}
        shown = Shown(run.info.status, tags, found)
        kind, config_hash = run.data.tags["kind"], run.data.tags.get("config_hash", "")
        if kind == "launch":
            held.launches.append(run.info.status)
        elif kind == "trial":
            held.trials.setdefault(config_hash, []).append(shown)
        else:
            held.replicates.setdefault((config_hash, run.data.tags["seed"]), []).append(shown)
    return held


def faults(held: Holdings) -> list[str]:
    """What no finished study may hold, whatever happened to it; a sentence each."""
    found = [f"launch {status}" for status in held.launches if status in ("RUNNING", "SCHEDULED")]
    for arm, journal in held.journals.items():
        found += [f"journal of {arm}: {entry['unit']} is {entry['state']}" for entry in journal
                  if entry["state"] not in ("told", "pruned", "repeated")]
    for name, runs in (*held.trials.items(), *held.replicates.items()):
        found += [f"{len(runs)} runs of {name}"] if len(runs) != 1 else []
        found += [f"run of {name} is {run.status}, complete={run.tags['complete']!r}" for run in runs
                  if (run.status, run.tags["complete"]) != ("FINISHED", "true")]
    return [*found, *_unlike("trial runs and units", held.trials, {unit.partition("/")[0] for unit in held.units}),
            *_unlike("replicate runs and records", held.replicates, held.records)]


def differences(undisturbed: Holdings, disturbed: Holdings) -> list[str]:
    """How the second study differs from the first, which it should equal; a sentence each."""
    a, b = undisturbed, disturbed
    found = faults(b)
    for what in ("units", "records", "journals", "trials", "replicates"):
        mine, other = getattr(a, what), getattr(b, what)
        found += _unlike(what, mine, other)
        found += [f"{what}: {key} differs" for key in mine.keys() & other.keys() if mine[key] != other[key]]
    return found


def counts_differ(undisturbed: Holdings, disturbed: Holdings) -> list[str]:
    """As `differences`, for a search of which the suggestions depend on which unit ended first."""
    def counts(held: Holdings) -> Counter[tuple[str, str]]:
        return Counter(held.phases.values())

    found = faults(disturbed)
    if counts(undisturbed) != counts(disturbed):
        found.append(f"units: {dict(counts(undisturbed))} and {dict(counts(disturbed))}")
    asked = [{arm: len(journal) for arm, journal in held.journals.items()} for held in (undisturbed, disturbed)]
    return found if asked[0] == asked[1] else [*found, f"journals: {asked[0]} and {asked[1]}"]


def lost(undisturbed: Holdings, disturbed: Holdings) -> int:
    """Units that the disturbed study lacks, in its storage or in MLflow."""
    wanted = Counter(undisturbed.phases.values())
    missing = sum((wanted - Counter(disturbed.phases.values())).values())
    return missing + len({unit.partition("/")[0] for unit in disturbed.units} - disturbed.trials.keys())


def doubled(undisturbed: Holdings, disturbed: Holdings) -> int:
    """Units that it has too many, and runs in MLflow beyond one each."""
    extra = sum((Counter(disturbed.phases.values()) - Counter(undisturbed.phases.values())).values())
    return extra + sum(len(runs) - 1 for runs in (*disturbed.trials.values(), *disturbed.replicates.values()))


def _unlike(what: str, one: Iterable[Any], other: Iterable[Any]) -> list[str]:
    mine, theirs = set(one), set(other)
    return ([f"{what}: {key} is missing" for key in sorted(mine - theirs, key=str)]
            + [f"{what}: {key} is too many" for key in sorted(theirs - mine, key=str)])
