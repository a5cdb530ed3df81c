"""Rows of a pairwise matrix: every two values that can stand together in a study do so in some row."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any

from models.data.datasets import DATASETS
from models.data.disk.options import KINDS, LABELLED
from study.spec.check_data import SPLITS
from study.spec.check_search import BUDGETS, SAMPLERS

Row = dict[str, Any]

PLACES = {  # what measures a data set has: its kind of place -> the data sets of that kind
    "plane": [*(name for name, info in DATASETS.items() if not info.sizes), "promised:Square"],
    "labelled": [*LABELLED, *(name for name, info in DATASETS.items() if info.sizes and info.labels)],
    "unlabelled": [*(kind for kind in KINDS if kind not in LABELLED),
                   *(name for name, info in DATASETS.items() if info.sizes and not info.labels)]}
FACTORS: Mapping[str, Sequence[Any]] = {
    "phases": ("design", "design confirm", "search", "search confirm", "design search confirm"),
    "place": tuple(PLACES), "objective": ("primary", "at end", "several"), "sampler": (*SAMPLERS, "promised:Sampler"),
    "constraints": (None, "kappa", "two"), "prune": (None, "successive_halving"),
    "diverged_value": ("reference", "number", "each"), "equal": BUDGETS,
    "levels": ("list", "zip", "zips"), "compare_at": (False, True),
    "methods": ("kl jko", "hidden ggcn", "amortized kl"), "precision": ("fp32", "bf16", "fp64"),
    "split": tuple(split for split in SPLITS if split != "train"), "ais_steps": (0, 2), "features": (False, True),
    "measures": (False, True),
    "cpu": (1, 0.5), "gpu": (0, "auto")}
TOGETHER = (  # what the search, the design and a worker look at: the factors that can depend on each other
    ("phases", "place", "objective", "sampler", "constraints", "prune", "diverged_value", "equal"),
    ("phases", "place", "levels", "compare_at"),
    ("place", "methods", "precision", "split", "ais_steps", "features", "measures"))
OF_SEARCH = ("objective", "sampler", "constraints", "prune", "diverged_value", "equal")
OF_DESIGN = ("levels", "compare_at")
FEW = ("faces",)  # data sets whose splits have no 128 images
DRAWS, SEED = 4000, 55  # of which few rows come


def can_be(row: Row) -> bool:
    """Whether the spec takes these together, as docs/spec.md says."""
    return not (
        (row.get("prune") and row.get("objective") != "primary")  # one objective, with a value during training
        or (row["features"] and row["place"] == "plane"))


def drawn(rng: random.Random) -> Row:
    """Any row, without what its phases do not have."""
    row = {name: rng.choice(values) for name, values in FACTORS.items()}
    absent = {name for phase, names in (("search", OF_SEARCH), ("design", OF_DESIGN)) for name in names
              if phase not in row["phases"]}
    return {name: value for name, value in row.items() if name not in absent}


def pairs(row: Row) -> set[Any]:
    """Its pairs of (factor, value) of what stands in TOGETHER; and each (factor, value) alone."""
    return {(one,) for one in row.items()} | {
        pair for group in TOGETHER for pair in combinations([(name, row[name]) for name in group if name in row], 2)}


@cache
def matrix() -> list[Row]:
    """The rows: greedily the one of many drawn ones that has most pairs which none before it has.

    Each has its `data` in turns; `nth`, how many rows before it have its objective at such a place, or a method; and
    whether it is `reported`.
    """
    rng = random.Random(SEED)
    pool = [row for _ in range(DRAWS) if can_be(row := drawn(rng))]
    of = [pairs(row) for row in pool]
    left, rows = set().union(*of), []
    while left:
        best = max(range(len(pool)), key=lambda i: len(of[i] & left))
        rows.append(pool[best])
        left -= of[best]
    turns: Counter[str] = Counter()
    for row in rows:
        names = [name for name in PLACES[row["place"]] if row.get("objective") is None or name not in FEW]
        kinds = {"objective": f"{row['place']} {row.get('objective')}", **{m: m for m in row["methods"].split()}}
        row |= {"data": min(names, key=turns.__getitem__), "nth": {name: turns[kind] for name, kind in kinds.items()}}
        turns.update([row["data"], *kinds.values()])
    with_report = _reported(rows)
    return [row | {"reported": k in with_report} for k, row in enumerate(rows)]


def _reported(rows: Sequence[Row]) -> set[int]:
    """Which rows have a report: until each value of a factor, and each objective in each phases has."""
    said = [{(name, value) for name, value in row.items() if name in FACTORS} | {(row["phases"], row.get("objective"))}
            for row in rows]
    left, found = set().union(*said), set()
    while left:
        best = max(range(len(rows)), key=lambda k: len(said[k] & left))
        found.add(best)
        left -= said[best]
    return found
