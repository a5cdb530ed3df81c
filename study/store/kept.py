"""What a study has trained, a replicate at a time, and which of them a person means: a trial's, or the best."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from study.schema.canonical import sealed, unsealed
from study.schema.columns import DIVERGED_AT, FLAGS, SEED, VERDICT
from study.schema.counted import FILE, Counted
from study.schema.manifest import Manifest
from study.schema.plan import Plan
from study.schema.tags import STUDY_VERSION
from study.schema.unit import Unit
from study.store.aggregates import final_rows
from study.store.units import StorageError, Store

log = logging.getLogger(__name__)


class NoPlanError(StorageError):
    """A study that no launch has begun, or whose plan is damaged."""


@dataclass(frozen=True)
class Replicate:
    """A trained one. row: its last record."""

    unit: Unit
    manifest: Manifest
    row: dict[str, Any]

    @property
    def seed(self) -> int:
        """What it was trained with."""
        return int(self.row[SEED])

    @property
    def verdict(self) -> str:
        """In words, with its flags."""
        return ", ".join(filter(None, (self.row[VERDICT], self.row.get(FLAGS))))


def read_plan(store: Store) -> Plan:
    """The last launch's. Raises NoPlanError."""
    path = f"{store.uri}/{store.study}/plan.json"
    again = "without which nothing can be counted; a launch makes it again"
    if (written := store.read("plan.json")) is None:
        if any(store.done_units()):  # restored, say
            raise NoPlanError(f"{path} is missing, {again}")
        known = sorted(path.parent.name for path in store.folder.glob("*/plan.json")) if store.local else []
        raise NoPlanError(f"study {store.study!r} has not been started in {store.uri}"
                          + (f"; {', '.join(known[:20])} {'has' if len(known) == 1 else 'have'}" if known else ""))
    try:
        plan = Plan.read(unsealed(json.loads(written)))
    except (ValueError, RecursionError) as error:
        raise NoPlanError(f"{path} is damaged, {again}") from error
    if plan.study != store.study:  # a copied folder, or one that is named by a path
        raise NoPlanError(f"{path}: found the plan of the study {plan.study!r}, expected that of {store.study!r}: a "
                          "study's folder bears its name")
    return plan


def write_counted(store: Store, plan: Plan, counted: Counted) -> None:
    """Leave beside the plan what its launch counts."""
    store.write_json(FILE, sealed({STUDY_VERSION: plan.study_version, **counted.plain()}))


def _counted(store: Store, plan: Plan) -> Counted:
    """What the last launch counts. Where it ended before it wrote that: cells of its design, and what its version of
    the study trained, which is said."""
    with suppress(ValueError, KeyError):  # none, or none that was written
        found = unsealed(store.read_json(FILE))
        if found[STUDY_VERSION] == plan.study_version:
            return Counted.read(found)
    log.warning("%s/%s/%s of the last launch is missing or damaged, and so all that this version of the study has "
                "trained counts; a launch makes it again", store.uri, store.study, FILE)
    return Counted({cell.config_hash: cell.arm for cell in plan.cells})


def trained(store: Store, plan: Plan, trial: str | None = None) -> dict[str, list[tuple[Unit, Manifest]]]:
    """config_hash -> units that finished, under the names that their arms have now: those that the last launch counts,
    as the report does; or, where a hash begins with `trial`, whichever version of the study trained it."""
    found: dict[str, list[tuple[Unit, Manifest]]] = {}
    for unit, manifest in store.done_units():
        if manifest.status != "pruned":
            found.setdefault(unit.config_hash, []).append((unit, manifest))
    counted, version = _counted(store, plan), plan.study_version
    return {key: [(_named(unit, counted.arms.get(key)), manifest) for unit, manifest in units]
            for key, units in found.items()
            if (counted.counts(key, any(manifest.study_version == version for _, manifest in units)) if trial is None
                else key.startswith(trial))}


def _named(unit: Unit, arm: str | None) -> Unit:
    return unit if arm is None else replace(unit, configuration=replace(unit.configuration, arm=arm))


def replicates(store: Store, plan: Plan, trial: str | None = None) -> list[Replicate]:
    """Of what is `trained`; without `trial` those of the seeds that the plan has. Raises StorageError for damaged
    records."""
    return [Replicate(unit, manifest, row) for units in trained(store, plan, trial).values() for unit, manifest in units
            for row in final_rows(store.rows(unit, manifest), unit.block).values()
            if trial is not None or is_planned(row[SEED], unit, plan)]


def is_planned(seed: int, unit: Unit, plan: Plan) -> bool:
    """Whether the last launch has this seed, of a replicate that is finished: fewer replicates leave some out."""
    return seed in plan.seeds.get(unit.configuration.phase, (seed,))


def of_trial(found: Iterable[Replicate], trial: str, seed: int | None, plan: Plan) -> Replicate:
    """A configuration's replicate of this seed (None: its best), by the first digits of its hash. Raises StorageError.
    """
    mine = [one for one in found if one.unit.config_hash.startswith(trial)]
    hashes = sorted({one.unit.config_hash for one in mine})
    if not hashes:
        raise StorageError(f"--trial: found {trial!r}, expected the first digits of a finished configuration's hash, "
                           "as MLflow and the report show it")
    if len(hashes) > 1:
        raise StorageError(f"--trial: found {trial!r}, expected more of it: {', '.join(hashes[:4])} begin so")
    if seed is None:
        return min(mine, key=lambda one: _rank(one, plan))
    if (chosen := next((one for one in mine if one.seed == seed), None)) is None:
        raise StorageError(f"--replicate: found {seed}, expected one of the trial's seeds: "
                           f"{', '.join(str(one.seed) for one in mine)}")
    return chosen


def best_of(found: Iterable[Replicate], plan: Plan, arm: str | None = None) -> Replicate:
    """The replicate with the best primary measure in the best configuration: of an arm, or of all. Raises StorageError.

    A configuration is judged by the mean of those of its replicates that did not diverge; one of which more than half
    did comes last. Confirmed ones come before others, which were chosen from many, and of a search those that keep its
    bounds before those that do not.
    """
    if arm is not None and arm not in plan.arms:
        raise StorageError(f"--arm: found {arm!r}, expected one of {', '.join(plan.arms)}")
    configurations: dict[str, list[Replicate]] = {}
    for one in found:
        if arm in (None, one.unit.configuration.arm):
            configurations.setdefault(one.unit.config_hash, []).append(one)

    def rank(of: list[Replicate]) -> tuple[bool, bool, float, float]:
        lived = [value for one in of if (value := _rank(one, plan)) < float("inf")]
        phase = of[0].unit.configuration.phase
        bounds = plan.constraints if phase == "search" else {}
        missed = sum(max(0.0, bound.excess(None if one.row[DIVERGED_AT] is not None else one.row.get(name)
                                           for one in of)) for name, bound in bounds.items())
        return (2 * len(lived) < len(of), phase != "confirm", missed,
                sum(lived) / len(lived) if lived else float("inf"))

    chosen = min(configurations.values(), key=rank, default=[])
    if not chosen:
        raise StorageError(f"nothing of {'the study' if arm is None else f'the arm {arm}'} is finished yet")
    return min(chosen, key=lambda one: _rank(one, plan))


def _rank(one: Replicate, plan: Plan) -> float:
    """Smaller is better; of one that diverged infinite."""
    value = None if one.row[DIVERGED_AT] is not None else one.row.get(plan.primary)
    return float("inf") if value is None else -value if plan.direction == "maximize" else float(value)
