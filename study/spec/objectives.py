"""The measures that a search may take as its objective: their names, with extractor and sample size, and direction."""

from __future__ import annotations

from dataclasses import dataclass

from models.data.datasets import DATASETS
from models.data.disk.options import LABELLED
from models.measures.naming import long_name

FEATURES = 64  # dimension of both extractors, clf64 and rnd64


@dataclass(frozen=True)
class Measure:
    """`family` is what a spec may write, `name` the column of records.parquet. Smaller is better for all of them."""

    family: str
    name: str
    at_end_only: bool = False  # no value while training, so nothing to prune by
    needs: int = 0  # least number of samples
    needs_density: bool = False  # a density of the data space, which `hidden` lacks


def primary(data_name: str, samples: int) -> str:
    """The measure that a study on these data is judged by: KID on images, the energy distance in the plane."""
    return measures(data_name, samples)[0].name


def measures(data_name: str, samples: int) -> tuple[Measure, ...]:
    """All measures of a data set, the primary one first. `data_name`: its name, or the kind of images on disk.

    `samples`: how many are drawn for each evaluation.
    """
    info = DATASETS.get(data_name)
    cost = (Measure("particle_gradients", "particle_gradients"), Measure("wall_seconds", "wall_seconds"))
    if info and not info.sizes:
        head = _with_long("energy_distance", f"energy_distance_{samples}")
        return (*head, Measure("kl_grid", "kl_grid", at_end_only=True, needs_density=True), *cost)
    extractor = f"{'clf' if (info.labels if info else data_name in LABELLED) else 'rnd'}{FEATURES}"
    head = _with_long(f"kid_{extractor}", f"kid_{extractor}_{samples}")
    return (*head, Measure(f"fd_{extractor}", f"fd_{extractor}_{samples}", at_end_only=True, needs=2 * FEATURES),
            *cost)


def _with_long(family: str, name: str) -> tuple[Measure, Measure]:
    return Measure(family, name), Measure(f"{family}_long", long_name(name), at_end_only=True)
