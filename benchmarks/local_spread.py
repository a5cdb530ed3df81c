"""How far the local spread is off where it is known, by the number of points, of neighbours and of modes; and what it
says of the built-in images: `python -m benchmarks.local_spread` writes benchmarks/results/local_spread.csv."""

from __future__ import annotations

import argparse
import csv
import itertools
import statistics
from pathlib import Path

import numpy as np

from models.data.load import load
from models.stability.local_sd import local_spread

RESULTS = Path(__file__).resolve().parent / "results" / "local_spread.csv"
DIM = 32
TRUTH = np.geomspace(0.03, 0.5, DIM)  # local standard deviations, a direction each: the span of digits
APART = 3.0  # sd of the modes' centres in each direction
POINTS, NEIGHBOURS, MODES = (60, 120, 250, 500, 1000), (5, 10, 20), (1, 4, 10)
COLUMNS = ("data", "n", "modes", "k", "repeats", "s_min", "s_min_sd", "s_med", "s_med_sd", "global_med")


def mixture(n: int, modes: int, rng: np.random.Generator) -> np.ndarray:
    """n points of equally likely Gaussian modes with standard deviations TRUTH, (n, DIM)."""
    centres = APART * rng.standard_normal((modes, DIM))
    return centres[rng.integers(modes, size=n)] + TRUTH * rng.standard_normal((n, DIM))


def known(n: int, modes: int, k: int, repeats: int) -> dict[str, object]:
    """Estimates divided by the truth: mean and sd over data sets."""
    found = []
    for seed in range(repeats):
        rng = np.random.default_rng([seed, n, modes])
        x = mixture(n, modes, rng)
        spread = local_spread(x, rng, k, draws=2)
        found.append((spread.s_min / TRUTH[0], spread.s_med / np.median(TRUTH), np.median(x.std(0)) / np.median(TRUTH)))
    low, middle, whole = zip(*found, strict=True)
    return _row("mixture", n, modes, k, repeats, low, middle, whole)


def images(name: str, k: int, repeats: int) -> dict[str, object]:
    """Estimates in data units; the repeats differ in the estimator's own chance."""
    x = load(name).train.reshape(len(load(name).train), -1)
    found = [local_spread(x, np.random.default_rng(seed), k, draws=2) for seed in range(repeats)]
    whole = [float(np.median(x.std(0)))]
    return _row(name, len(x), "", k, repeats, [s.s_min for s in found], [s.s_med for s in found], whole)


def _row(*values: object) -> dict[str, object]:
    data, n, modes, k, repeats, low, middle, whole = values
    numbers = [f(v) for v in (low, middle) for f in (statistics.fmean, statistics.stdev)]  # type: ignore[arg-type]
    numbers.append(statistics.fmean(whole))  # type: ignore[arg-type]
    return dict(zip(COLUMNS, (data, n, modes, k, repeats, *(f"{v:.4g}" for v in numbers)), strict=True))


def main() -> None:
    """Write the table, mixtures first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows = [known(n, modes, k, args.repeats) for n, modes, k in itertools.product(POINTS, MODES, NEIGHBOURS)
            if n >= 2 * k + 4]
    rows += [images(name, k, args.repeats) for name in ("faces", "digits", "patches") for k in NEIGHBOURS]
    with open(args.out, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(args.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
