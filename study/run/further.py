"""Shorter trainings that are kept: a longer one goes on from them to the numbers of training at once, or begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from models.stability.verdict import window
from study.plan.identity import config_hash
from study.run.unit_progress import UnitProgress, pack
from study.schema.canonical import canonical
from study.schema.columns import STAGE, TRAIN
from study.schema.manifest import Manifest
from study.schema.unit import Configuration, Unit, evaluation_points
from study.spec.knobs import METHODS, with_network
from study.store.units import DamagedError, Store


class Further:
    """Finds of a unit the longest training of the same block of seeds that is a beginning of it.

    anew: reason -> keys of units that begin anew although a shorter one is kept.
    """

    def __init__(self, done: Iterable[tuple[Unit, Manifest]], content_hash: str) -> None:
        self._kept: dict[str, list[Unit]] = {}
        self.anew: dict[str, set[str]] = {}
        for unit, manifest in done:
            if manifest.state is not None and config_hash(unit.configuration, content_hash) == unit.config_hash:
                self._kept.setdefault(_identity(unit), []).append(unit)

    def of(self, unit: Unit) -> Unit | None:
        """The unit to go on from; None: there is none, or what training at once records it has not."""
        shorter = self._shorter(unit)
        reasons = {one: _difference(one.configuration, unit.configuration) or _block(one, unit) for one in shorter}
        whole = [one for one in shorter if not reasons[one]]
        if shorter and not whole:
            self.anew.setdefault(reasons[max(shorter, key=_updates)], set()).add(unit.key)
        return max(whole, key=_updates, default=None)

    def blocks(self, unit: Unit) -> list[tuple[int, ...]]:
        """Seeds of the unit that go on together, since they began together."""
        return [one.seeds for one in self._shorter(unit)
                if {*one.seeds} <= {*unit.seeds} and not _difference(one.configuration, unit.configuration)]

    def _shorter(self, unit: Unit) -> list[Unit]:
        return [one for one in self._kept.get(_identity(unit), ())
                if _updates(one) < _updates(unit) and {*one.seeds} & {*unit.seeds}]


def _identity(unit: Unit) -> str:
    """What a training and a beginning of it share."""
    found = unit.configuration.plain()
    return canonical({**found, "arm": "", "knobs": {**found["knobs"], "updates": 0},
                      "evaluation": {**found["evaluation"], "points": 0}})


def _updates(unit: Unit) -> int:
    return int(unit.configuration.knobs["updates"])


def _difference(short: Configuration, long: Configuration) -> str:
    """Why the records of a longer training are not those of a shorter one and more; "" where they are."""
    updates, all_updates = (int(c.knobs["updates"]) for c in (short, long))
    points, all_points = (evaluation_points(int(c.knobs["updates"]), c.evaluation.points) for c in (short, long))
    if [point for point in all_points if point <= updates] != points:
        same, rest = divmod(short.evaluation.points * all_updates, updates)
        return (f"their evaluations stand elsewhere than those of the {updates} updates that are kept"
                + ("" if rest else f"; evaluation.points: {same} would go on from these"))
    hp = METHODS[with_network(long.method, long.knobs.get("network"))]
    follows = [knob for knob in sorted(hp.entering("updates")) if long.knobs.get(knob) not in (None, getattr(hp, knob))]
    if follows:
        return f"{follows[0]}: {long.knobs[follows[0]]} depends on how many updates there are"
    if window(updates) != window(all_updates):
        return (f"the divergence rule compares with the last {window(all_updates)} updates, in the {updates} that are "
                f"kept with {window(updates)}")
    return ""


def _block(short: Unit, long: Unit) -> str:
    """Why seeds of a shorter training do not go on in a longer one; "" where they are its own."""
    return "" if short.block == long.block else f"the seeds {short.block} of them were trained together"


def checkpoint_from(store: Store, short: Unit, updates: int, say: Callable[[str], None]) -> bytes | None:
    """A checkpoint of the longer unit, as it would be after the kept updates; None where they are kept no more, or are
    damaged: why is said."""
    from models.training.kept import prolonged

    try:
        manifest = store.done(short)
        payload = manifest and store.read_state(short, manifest)
        if not manifest or not payload:
            say(f"the networks after {_updates(short)} updates are kept no more")
            return None
        rows = [{name: value for name, value in row.items() if value is not None}
                for row in store.rows(short, manifest) if row[STAGE] == TRAIN]
    except DamagedError as error:
        say(str(error))
        return None
    return pack(UnitProgress(manifest.started, manifest.wall_seconds, manifest.cpu_seconds, rows, dict(manifest.rungs),
                             list(filter(None, manifest.commit.split(",")))), prolonged(payload, updates))
