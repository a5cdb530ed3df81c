"""The CPU time of whole studies by another checkout of this project and by this one, both at once, on a core each.

    git worktree add ../before a7c3589
    python -m benchmarks.before_after ../before search_spaces/jko.yaml search_spaces/law.yaml

`--set train.updates=1000` is given to both launches. `--write` puts the table into docs/benchmarks.md. On Linux.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from benchmarks.speed import ROOT, write
from benchmarks.whole_study import run


def seconds(checkout: Path, space: Path, core: int, options: list[str]) -> dict[str, float]:
    """Of a study by one checkout on one core."""
    folder = Path(tempfile.mkdtemp())
    return run(folder, "-m", "study.launch", "--space", str(checkout / space), "--quiet", *options,
               checkout=checkout, core=core)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.before_after", description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=Path, help="the other checkout")
    parser.add_argument("spaces", type=Path, nargs="+", help="files of studies, from the root of each checkout")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of study.launch")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    known = parser.parse_args()
    options = [word for value in known.set for word in ("--set", value)]
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        parser.error("two cores are needed")
    rows = []
    for space in known.spaces:
        print(f"{space} ...", file=sys.stderr, flush=True)
        with ThreadPoolExecutor(2) as both:
            before, after = both.map(lambda one: seconds(*one, options),
                                     zip((known.before.resolve(), ROOT), (space, space), cores, strict=True))
        rows.append({"study": space.name, "CPU s before": before["cpu"], "CPU s after": after["cpu"],
                     "before / after": before["cpu"] / after["cpu"],
                     "wall s on one core": f"{before['wall']:.0f}, {after['wall']:.0f}"})
    shown = pd.DataFrame(rows).to_markdown(index=False, floatfmt=(".0f", ".0f", ".0f", ".2f"))
    print(shown)
    if known.write:
        write("before and after", " ".join(options) or "as they are", shown)


if __name__ == "__main__":
    main()
