"""The measures that a search may take as its objective: their names, with extractor and sample size, and direction."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from models.data.datasets import info_of
from models.data.disk.options import LABELLED
from models.measures import table
from models.measures.naming import long_name

FEATURES = 64  # dimension of the extractors clf64 and ssl64


@dataclass(frozen=True)
class Objective:
    """`family` is what a spec may write, `name` the column of records.parquet."""

    family: str
    name: str
    direction: str = "minimize"
    at_end_only: bool = False  # no value while training, so nothing to prune by
    needs: int = 0  # least number of samples
    needs_density: bool = False  # a density of the data space, which `hidden` lacks


def primary(data_name: str, samples: int) -> str:
    """The measure that a study on these data is judged by: KID on images, the energy distance in the plane."""
    return measures(data_name, samples)[0].name


def measures(data_name: str, samples: int, own: Iterable[table.Measure] = ()) -> tuple[Objective, ...]:
    """All objectives on a data set, the primary one first. `data_name`: its name, or the kind of images on disk.

    `samples`: how many are drawn for each evaluation. own: measures from outside.
    """
    info = info_of(data_name)
    place: table.Place = "plane" if info and not info.sizes else "images"
    extractor = f"{'clf' if (info.labels if info else data_name in LABELLED) else 'ssl'}{FEATURES}"
    first = table.primary(place)
    rest = [_objective(m, extractor, samples) for m in (*table.MEASURES, *own)
            if m.objective and place in m.places and m is not first
            and (info is None or info.density or "data's density" not in m.needs)]
    head = _objective(first, extractor, samples)
    long = Objective(f"{head.family}_long", long_name(head.name), head.direction, at_end_only=True)
    return (head, long, *rest)


def _objective(m: table.Measure, extractor: str, samples: int) -> Objective:
    space = extractor if "judge" in m.spaces else ""
    return Objective("_".join(filter(None, [m.family, space])), m.name(samples, space), m.direction or "minimize",
                     at_end_only=not m.in_training, needs=math.ceil(max(m.least, m.per_feature * FEATURES)),
                     needs_density="model's density" in m.needs)
