"""What a launch, or `--status`, finds in the storage: what is finished, what has begun, and so what is left."""

from __future__ import annotations

from dataclasses import dataclass

from study.run.work import Work
from study.schema.manifest import Manifest
from study.schema.plan import Plan
from study.schema.unit import Unit
from study.spec import StudySpec
from study.store.results import Results
from study.store.units import Begun, DamagedError, Store


@dataclass(frozen=True)
class Found:
    """done: finished units, of all versions of the study. begun: those that a checkpoint continues."""

    results: Results
    work: Work
    done: list[tuple[Unit, Manifest]]
    begun: list[Begun]


def find(spec: StudySpec, plan: Plan, store: Store, read_only: bool = False) -> Found:
    """Read the storage once. Damaged units lose their manifests and run again, and checkpoints that nobody will
    continue go, unless `read_only`: then another launch may hold the study."""
    results = Results(store, spec.primary, plan.signs, plan.diverged_values, plan.constraints)
    done = []
    for unit, manifest in store.done_units(tidy=not read_only):
        if not read_only and store.discard_if_damaged(unit, manifest):
            continue
        try:
            results.add_done(unit, manifest)
        except DamagedError:  # the next launch says so, and trains it again
            continue
        done.append((unit, manifest))
    begun = []
    for one in store.begun():
        if not results.has(one.config_hash, one.seeds):
            results.begin(one.config_hash, one.seeds)
            begun.append(one)
        elif not read_only:  # trained in other blocks
            store.drop_checkpoints(one)
    return Found(results, Work(spec, plan, results, store, done, read_only), done, begun)
