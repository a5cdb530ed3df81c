"""Arms of a design against each other, as the report tests each against its baseline:
`python -m benchmarks.pairs --study exchange-mnist14 ggcn.kl:kl ggcn.jko:jko`. The given pairs are Holm's family.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from analysis.panels.compared import compared_words
from analysis.read.load import load
from analysis.stats.comparisons import comparisons


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairs", description=__doc__.partition(":")[0])
    parser.add_argument("--study", metavar="NAME", required=True)
    parser.add_argument("--tracking-uri", metavar="URI", help="as of analysis/report.py")
    parser.add_argument("pairs", metavar="ARM:OTHER", nargs="+")
    options = parser.parse_args(words)
    study = load(options.study, options.tracking_uri, Path("reports") / options.study / "cache")
    pairs = {arm: other for arm, _, other in (pair.partition(":") for pair in options.pairs)}
    if unknown := sorted({*pairs, *pairs.values()} - {*study.arms}):
        parser.error(f"found {', '.join(unknown)}, expected ARM:OTHER, of the arms {', '.join(study.arms)}")
    print(compared_words(comparisons(study, pairs), study).to_markdown(index=False))


if __name__ == "__main__":
    main()
