"""Floors of every measure, real data against real data, as a Markdown table: `python benchmarks/floors.py`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.data.load import load
from models.measures.quality import expected_coverage
from models.measures.sample_metrics import SampleMetrics

DATA = ("digits", "faces", "patches", "gaussians8")


def table(name: str, samples: int, draws: int, seed: int, cache: str | None) -> list[str]:
    """The lines of one data set's table."""
    data = load(name)
    held_out = len(data.search) + len(data.confirm)
    n = min(samples, held_out - min(len(data.search), held_out // 2))  # what `floors` can give: names carry it
    metrics = SampleMetrics(data, n, cache_dir=cache)
    found = metrics.floors(draws, np.random.default_rng(seed))
    m = next(floor.m for floor in found.values())
    assert {floor.n for floor in found.values()} == {n}
    about = f"### {name}, {'x'.join(map(str, data.shape))}: n = {n} in the samples' place, m = {m} as the reference"
    if metrics.extractor and metrics.extractor.accuracy is not None:
        about += f"; clf64's accuracy {metrics.extractor.accuracy:.3f} on the search split"
    lines = [about, ""]
    if metrics.extractor:
        lines += [f"Coverage's exact expectation where the laws agree: {expected_coverage(n, m):.4f}.", ""]
    lines += ["| measure | mean | sd over splits | 95 % |", "|---|---:|---:|---:|"]
    return [*lines, *(f"| `{key}` | {f.mean:.4g} | {f.sd:.2g} | {f.high:.4g} |" for key, f in found.items()), ""]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=DATA)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", help="folder for the trained classifier")
    args = parser.parse_args()
    for name in args.data:
        print("\n".join(table(name, args.samples, args.draws, args.seed, args.cache)))


if __name__ == "__main__":
    main()
