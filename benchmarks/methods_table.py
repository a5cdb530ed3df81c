"""The methods beside each other on every data set of the reference studies, as docs/reports/README.md shows them:
`python -m benchmarks.methods_table` prints the table, from the committed reports alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.reproduced import best_of_arms
from study.spec import load

ROOT = Path(__file__).resolve().parents[1]
REPORTS, SPEC = ROOT / "docs" / "reports", ROOT / "search_spaces" / "reference.yaml"
PREFIX = "reference-"


def table(folders: Sequence[Path]) -> str:
    """As Markdown: one row per arm, one column per study. A cell has the mean of the primary measure over survivors
    with its 95 % interval, at the arm's best confirmed setting, and how many seeds diverged."""
    columns = {folder.name.removeprefix(PREFIX): best_of_arms(folder).apply(_cell, axis=1) for folder in folders}
    return pd.DataFrame(columns).reindex(list(load(SPEC).arms)).fillna("").rename_axis("").to_markdown()


def _cell(best: pd.Series) -> str:
    lost = f"{best['diverged']:.0f}/{best['replicates']:.0f} lost"
    if pd.isna(best["mean"]):
        return lost
    of_one = pd.isna(best["low"])
    return _short(best["mean"]) + ("" if of_one else f" [{_short(best['low'])}, {_short(best['high'])}]") + f", {lost}"


def _short(value: float) -> str:
    """.0123, -.0012: four digits behind the point, none before it but of what is 1 or larger."""
    text = f"{abs(value):.4f}" if abs(value) < 1 else f"{abs(value):.3g}"
    return ("-" if value < 0 else "") + text.removeprefix("0")


def main() -> None:
    about = __doc__.partition(":")[0]
    argparse.ArgumentParser(prog="python -m benchmarks.methods_table", description=about).parse_args()
    arms = set(load(SPEC).arms)
    print(table([folder for folder in sorted(REPORTS.glob(f"{PREFIX}*")) if arms <= set(best_of_arms(folder).index)]))


if __name__ == "__main__":
    main()
