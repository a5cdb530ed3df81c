"""What MLflow shows of a configuration, as texts: tags and parameters that are functions of its units' files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from study.plan.identity import written
from study.schema.columns import FLAGS, MCMC_STEPS, STEP_SIZE, VERDICT
from study.schema.manifest import Manifest
from study.schema.plan import PlannedData
from study.schema.unit import Configuration, Unit

SYMBOLS = {STEP_SIZE: "δ", MCMC_STEPS: "T"}
UNITS = "units"  # the folder of artifacts from which `study.restore` makes units done again
Done = tuple[Unit, Manifest]


def content(done: Sequence[Done], counted: Sequence[int] = ()) -> str:
    """16 hex digits that change with what these units hold (another training of the same seeds has other times), and
    with the seeds that count."""
    found = [[unit.block, manifest.status, manifest.study_version, manifest.rungs
              if manifest.status == "pruned" else manifest.files[manifest.records].sha256] for unit, manifest in done]
    return hashlib.sha256(json.dumps([found, counted]).encode()).hexdigest()[:16]


def to_show(done: Iterable[Done]) -> list[Done]:
    """Of the units of one configuration those that MLflow shows, in the order of their seeds.

    What a search stopped counts only as long as none was trained to its end: another version may have done so.
    """
    found = sorted(done, key=lambda one: one[0].seeds)
    return [one for one in found if one[1].status != "pruned"] or found[-1:]


def verdict_tags(final: Mapping[str, Any]) -> dict[str, str]:
    """The tags that say how a replicate ended: its verdict, and its flags where it has any."""
    return {name: final[name] for name in (VERDICT, FLAGS) if final.get(name)}


def trial_name(configuration: Configuration, factors: Sequence[str], how: str = "") -> str:
    """`δ 0.25 T 20 jko · diverged 7/7`: what differs first, since MLflow cuts long names."""
    knobs = [f"{SYMBOLS.get(knob, knob)} {value}" for knob, value in written(configuration, factors).items()]
    return " · ".join(filter(None, (" ".join([*knobs, configuration.arm]), how)))


def parameters(configuration: Configuration) -> dict[str, str]:
    """The configuration as MLflow parameters: knobs by their names, the rest as `data.name`, `evaluation.points`."""
    flat: dict[str, str] = {}
    for key, value in configuration.plain().items():
        prefix = "" if key == "knobs" else f"{key}."
        flat |= {prefix + k: str(v) for k, v in value.items()} if isinstance(value, dict) else {key: str(value)}
    return flat


def dataset(data: PlannedData) -> Any:
    """What trials are trained on, as MLflow's input of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    said = {"shape": data.shape, **data.n}
    return DatasetInput(Dataset(data.name[:500], data.content_hash[:12], "local", json.dumps({"name": data.name}),
                                profile=json.dumps(said)), [InputTag("mlflow.data.context", "training")])
