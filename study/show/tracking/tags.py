"""What a trial run's tags say, from which alone a relaunch reads what is finished; cut or edited ones are no error."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_args

from study.schema.manifest import Status
from study.schema.unit import Configuration, Unit

if TYPE_CHECKING:
    from mlflow.entities import Run

LONGEST = 5000  # characters of a tag; MLflow cuts one at 8,000
RUNGS_FILE = "rungs.json"  # of a run whose tag has no room for all of them

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finished:
    """A unit of work that MLflow shows as complete."""

    configuration: Configuration
    seeds: tuple[int, ...]
    config_hash: str
    status: Status
    rungs: dict[int, float]  # update -> what was reported there; of search trials
    version: str  # study_version
    run_id: str  # of the trial run
    commit: str = ""  # of its results, several with commas
    rungs_file: str = ""  # the artifact that has all rungs, where the tag has not


def finished_units(run: Run) -> list[Finished]:
    """The units that a complete trial run shows; none, and a warning, where its tags are not what was written."""
    tags = run.data.tags
    try:
        configuration, status = Configuration.read(json.loads(tags["config"])), cast(Status, tags["status"])
        if status not in get_args(Status):
            raise ValueError(status)
        return [Finished(configuration, seeds, tags["config_hash"], status, read_rungs(tags.get("rungs", "{}")),
                         tags["study_version"], run.info.run_id, tags.get("commit", ""), tags.get("rungs_file", ""))
                for seeds in blocks(run)]
    except (KeyError, ValueError, AttributeError):
        log.warning("the tags of run %s in MLflow are damaged; what it shows counts only where the storage has it",
                    run.info.run_id)
        return []


def blocks(trial: Run | None) -> list[tuple[int, ...]]:
    """The blocks of seeds that a trial run shows in full: its tag `seeds`, `0-5` or `0-5,6-9`."""
    tag = trial.data.tags.get("seeds", "") if trial else ""
    ends = [tuple(map(int, block.split("-"))) for block in tag.split(",") if block]
    return [tuple(range(first, last + 1)) for first, last in ends]


def rungs_tag(rungs: Mapping[int, float]) -> str:
    """The rungs as JSON, from the first update on (there a pruner looks) as many as a tag has room for."""
    kept: dict[int, float] = {}
    room = LONGEST
    for update, value in sorted(rungs.items()):
        room -= len(json.dumps({update: value}))
        if room < 0:
            break
        kept[update] = value
    return json.dumps(kept)


def read_rungs(tag: str) -> dict[int, float]:
    """What `rungs_tag` wrote; of a tag that MLflow has cut what is whole."""
    try:
        found = json.loads(tag)
    except ValueError:
        whole = tag.rpartition(",")[0]
        found = json.loads(whole + "}") if whole else {}
    return {int(update): float(value) for update, value in found.items()}


def joined(commits: Iterable[str]) -> str:
    """One tag for the commits of several results, each once; those that are joined already may be among them."""
    return ",".join(sorted({commit for several in commits for commit in several.split(",") if commit}))


def identity(unit: Unit) -> dict[str, str]:
    """The tags by which a unit's runs are found again."""
    c = unit.configuration
    return {"config_hash": unit.config_hash, "method": c.method, "arm": c.arm, "phase": c.phase}


def verdict_tags(final: Mapping[str, Any]) -> dict[str, str]:
    """The tags that say how a replicate ended: its verdict, and its flags where it has any."""
    return {name: final[name] for name in ("verdict", "flags") if final.get(name)}


def parameters(configuration: Configuration) -> dict[str, str]:
    """The configuration as MLflow parameters: knobs by their names, the rest as `data.name`, `evaluation.points`."""
    flat: dict[str, str] = {}
    for key, value in configuration.plain().items():
        prefix = "" if key == "knobs" else f"{key}."
        flat |= {prefix + k: str(v) for k, v in value.items()} if isinstance(value, dict) else {key: str(value)}
    return flat


def hashes_of(found: Iterable[Finished], version: str) -> set[str]:
    """The configurations that are shown as a version's."""
    return {one.config_hash for one in found if one.version == version}
