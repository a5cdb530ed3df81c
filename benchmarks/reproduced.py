"""Whether a study that was run again says what its committed report says: of each arm the best confirmed setting.

`python -m benchmarks.reproduced docs/reports/reference-digits reports/reference-digits`
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

CELLS = "tables/confirm_cells.csv"
EQUAL = 1e-9  # relative: another kind of CPU rounds otherwise


def best_of_arms(folder: Path) -> pd.DataFrame:
    """Of each arm the confirmed configuration, with settings of its own, that lost fewest seeds, among these that with
    the best mean: its mean, interval and counts. The primary measure is the first column with an interval; smaller is
    better."""
    cells = pd.read_csv(folder / CELLS)
    primary = next(name.removesuffix("_low") for name in cells if name.endswith("_low") and name != "rate_low")
    found = cells.rename(columns={primary: "mean", f"{primary}_low": "low", f"{primary}_high": "high"})
    if "settings_of" in found:  # whose they are, where another arm's
        found = found[found["settings_of"].isna()]
    best = found.sort_values(["diverged", "mean"], kind="stable").groupby("arm").head(1)
    return best.set_index("arm")[["mean", "low", "high", "diverged", "replicates"]].sort_index()


def compared(committed: pd.DataFrame, here: pd.DataFrame) -> pd.DataFrame:
    """Both side by side, and `says`: equal | within intervals | differs. An arm that one of them lacks differs."""
    both = committed.merge(here, how="outer", left_index=True, right_index=True, suffixes=("_committed", "_here"))
    same = np.isclose(both["mean_here"], both["mean_committed"], rtol=EQUAL, atol=0) & (
        both["diverged_here"] == both["diverged_committed"])
    overlap = (both["low_here"] <= both["high_committed"]) & (both["low_committed"] <= both["high_here"])
    return both.assign(says=np.select([same, overlap], ["equal", "within intervals"], "differs"))


def main(argv: list[str] | None = None) -> int:
    """Print the comparison; 1 where an arm differs."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.reproduced", description=__doc__.partition("\n")[0])
    made.add_argument("committed", type=Path, help="the folder of the committed report")
    made.add_argument("here", type=Path, help="the folder of the report of the study that was run again")
    given = made.parse_args(argv)
    if not (given.committed / CELLS).exists():
        print(f"{given.committed}: no such report is committed, so there is nothing to compare {given.here} with")
        return 0
    found = compared(best_of_arms(given.committed), best_of_arms(given.here))
    table = Table("arm", "committed", "here", "")
    for arm, row in found.iterrows():
        table.add_row(str(arm), *(f"{row[f'mean_{who}']:.4g} [{row[f'low_{who}']:.4g}, {row[f'high_{who}']:.4g}], "
                                  f"{row[f'diverged_{who}']:.0f}/{row[f'replicates_{who}']:.0f} diverged"
                                  for who in ("committed", "here")), row["says"])
    Console(width=140).print(table)
    return int((found["says"] == "differs").any())


if __name__ == "__main__":
    raise SystemExit(main())
