"""Measures of kept networks: the numbers that an evaluation at the end of training would have found."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from models.data.disk.options import kind_of
from models.measures.table import MeasureError, own_measure
from models.registry import FindError
from study.plan.identity import config_hash
from study.plan.make import FLOOR_DRAWS
from study.schema.canonical import canonical
from study.schema.columns import DIVERGED_AT, FINAL, SEED, STAGE
from study.schema.plan import Plan
from study.schema.unit import Configuration, Unit
from study.spec.imports import learn_again
from study.spec.problems import nearest
from study.store.cache import cache_dir
from study.store.units import Store

if TYPE_CHECKING:
    import numpy as np

    from models.data.data import Data
    from models.measures.quality import Floor
    from models.measures.sample_metrics import SampleMetrics
    from models.measures.table import Measure

Row = dict[str, Any]


class Later:
    """Takes measures by name, of units as they were left.

    names: the columns that were asked for; those of measures from outside once a unit has been measured. notes: what a
    person should know of the user's code, each once.
    """

    def __init__(self, store: Store, plan: Plan, asked: Sequence[str], modules: str, device: str) -> None:
        """asked: names with their number of samples, or `package.module:name`, which has the study's number. modules:
        the folder of the user's own code. Raises MeasureError, and ImportedError."""
        self._store, self._modules, self._device = store, modules, device
        self._samples = int(plan.primary.rpartition("_")[2])
        self._sizes: dict[str, int] = {}  # name -> samples
        self._own: list[Measure] = []
        for name in asked:
            if ":" in name:
                self._own.append(_own(name, modules))
            elif number := re.fullmatch(r"\w+_([1-9]\d{0,5})", name):
                self._sizes[name] = int(number[1])
            else:
                raise MeasureError(f"--add: found {name!r}, expected a measure with the number of samples (1 to "
                                   f"999999) at its end, such as {plan.primary}, or package.module:name")
        self.notes: dict[str, None] = {}
        self._data: dict[str, Data] = {}
        self._metrics: dict[tuple[str, ...], SampleMetrics] = {}

    @property
    def names(self) -> list[str]:
        """What the class says."""
        return list(self._sizes)

    def rows(self, unit: Unit, kept: bytes, rows: Sequence[Mapping[str, Any]]) -> list[Row] | None:
        """The unit's records with the measures in them; None where all are there, [] where none is a number: of
        replicates that diverged, say. Raises MeasureError."""
        c = unit.configuration
        self.notes.update(dict.fromkeys(learn_again(c.imports, self._modules)))
        data = self._data_of(c)
        if config_hash(c, data.content_hash) != unit.config_hash:
            place = c.data.get(kind_of(c.data) or "name")
            raise MeasureError(f"{place}: found other data than the study was trained on ({data.notes or data.name}), "
                               "expected the same; a launch trains on these as a new version of the study")
        if self._own:
            metrics = self._metrics_of(c, self._samples)
            self._sizes |= dict.fromkeys((name for name in metrics.names() for m in self._own
                                          if name in metrics.named(m)), self._samples)
        final = {row[SEED]: row for row in rows if row[STAGE] == FINAL and row[DIVERGED_AT] is None}
        lacking = [name for name in self._sizes if any(row.get(name) is None for row in final.values())]
        if final and not lacking:
            return None
        found: dict[int, dict[str, float]] = {seed: {} for seed in final}
        for n in sorted({self._sizes[name] for name in lacking}):
            metrics = self._metrics_of(c, n)
            only = [name for name in lacking if self._sizes[name] == n]
            self._check(metrics, only)
            for seed, samples in self._sampled(unit, kept, n).items():
                if seed in found:
                    found[seed] |= {name: value for name, value in metrics.all(samples, only).items()
                                    if math.isfinite(value)}
        if not any(found.values()):
            return []
        return [{**row, **(found.get(row[SEED], {}) if row[STAGE] == FINAL else {})} for row in rows]

    def floors(self) -> dict[str, Floor]:
        """What each measure says of real data against real data: by the first of the study's units that was measured.
        """
        import numpy as np

        found: dict[str, Floor] = {}
        for metrics in self._metrics.values():
            only = [name for name in self._sizes if self._sizes[name] == metrics.n and name not in found]
            found |= metrics.floors(FLOOR_DRAWS, np.random.default_rng(0), only) if only else {}
        return {name: floor for name, floor in found.items() if math.isfinite(floor.mean)}

    def _sampled(self, unit: Unit, kept: bytes, n: int) -> dict[int, np.ndarray]:
        """Seed -> n samples as training sees them, (n, *shape), of those of which all are finite."""
        import numpy as np
        import torch

        from models.training.checkpoint import CheckpointError
        from models.training.fit import sample
        from models.training.kept import load

        torch.set_num_threads(1)  # as in training
        try:
            trained = load(kept, device=self._device)
            sampled = sample(trained.method, trained.state, n)
        except CheckpointError as error:
            raise MeasureError(f"{unit.key}: {error}") from error
        except ValueError as error:
            raise MeasureError(f"{unit.key}: {error}, the persistent chains that were kept") from error
        except (RuntimeError, AssertionError) as error:  # torch, of a device that is not there
            raise MeasureError(f"--device: found {self._device!r}: {str(error).partition(chr(10))[0]}") from error
        return {seed: x for seed, x in zip(trained.state.seeds, sampled, strict=True) if np.isfinite(x).all()}

    def _data_of(self, c: Configuration) -> Data:
        from models.data.load import load

        key = canonical(c.data)
        if key not in self._data:
            try:
                self._data[key] = load(c.data, cache_dir=cache_dir(self._store))
            except ValueError as error:  # moved, or broken by now
                raise MeasureError(f"the study's data cannot be read: {error}") from error
        return self._data[key]

    def _metrics_of(self, c: Configuration, n: int) -> SampleMetrics:
        from models.measures.feature_file import own_extractor
        from models.measures.sample_metrics import SampleMetrics

        e, data = c.evaluation, self._data_of(c)
        key = str(n), e.split, canonical(c.data), canonical(e.features)
        if key not in self._metrics:
            try:
                own = own_extractor(e.features, data.extent)
            except (ValueError, OSError) as error:
                raise MeasureError(f"evaluation.features cannot be used: {error}") from error
            self._metrics[key] = SampleMetrics(data, n, e.split, cache_dir(self._store), own, self._own)
        return self._metrics[key]

    @staticmethod
    def _check(metrics: SampleMetrics, names: Sequence[str]) -> None:
        known = metrics.names()
        if unknown := next((name for name in names if name not in known), ""):
            if why := metrics.refuses(unknown):
                raise MeasureError(f"--add: {unknown}: {why}")
            near = nearest(unknown, known)
            raise MeasureError(f"--add: found {unknown!r}, expected one of {', '.join(known)}"
                               + (f"; did you mean {near}?" if near else ""))


def _own(place: str, modules: str) -> Measure:
    """The user's, from this folder or installed. Raises MeasureError, and ImportedError."""
    if top := place.partition(":")[0].partition(".")[0]:
        learn_again({top: ""}, modules)
    try:
        return own_measure(place)
    except FindError as error:
        raise MeasureError(f"--add: {error}") from error
