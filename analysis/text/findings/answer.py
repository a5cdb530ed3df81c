"""The one sentence at the top: where divergence differs most, and what the tests say of quality."""

from __future__ import annotations

import pandas as pd

from analysis.read.study import Study
from analysis.stats.comparisons import ALPHA, comparisons, confirm_comparisons
from analysis.stats.inference import enough_for_significance, wilson
from analysis.text.findings.divergence import are_apart, widest
from analysis.text.findings.finding import at, named
from analysis.text.formatting import count, share

MOST = 30  # words; where arms' names would make them more, arms are counted


def answer(study: Study) -> str:
    """Arms against the baseline in at most MOST words, by the rules of the findings: intervals that are apart at the
    cell of the largest difference, then Holm's tests of quality, on fresh seeds where there are some."""
    if study.finals.empty:
        return "No finished replicate yet."
    cells = widest(study)
    if study.cells.empty:
        if not len(confirm_comparisons(study)):
            return "A search chooses and proves nothing: `confirm` tests what it found on fresh seeds."
        return f"Against {study.plan.baseline}, {_quality(study, cells, True)}."
    if not cells:
        design = study.finals[study.finals["phase"] == "design"]
        lost = (f"{share(int(design['diverged'].sum()), len(design))} replicates of the design diverged; no arm shares "
                "a cell with a baseline")
        paired = len(comparisons(study)) or len(confirm_comparisons(study))
        return f"{lost}; {_quality(study, cells, True)}." if paired else f"{lost}, so none can be compared."
    long, short = (f"{_stability(cells, names)}; {_quality(study, cells, names)}." for names in (True, False))
    said = long if len(long.split()) <= MOST else short
    return said[0].upper() + said[1:] if said.startswith(("at ", "no ")) else said


def _apart(cells: list[pd.Series]) -> list[pd.Series]:
    return [c for c in cells if are_apart(*(wilson(int(c[f"diverged{of}"]), int(c[f"replicates{of}"]))
                                            for of in ("", "_base")))]


def _stability(cells: list[pd.Series], names: bool) -> str:
    """At the one cell of the largest difference who diverged how often; by count where these are several."""
    apart = _apart(cells)
    base = list(dict.fromkeys(c["base"] for c in cells))
    against = base[0] if len(base) == 1 else "its baseline"
    if not apart:
        return f"no arm's share of diverged replicates can be told from {against}'s"
    if names and len({(c["base"], c["step_size"], c["mcmc_steps"]) for c in apart}) == 1:
        groups: dict[str, list[str]] = {}
        for c in apart:
            groups.setdefault(share(c["diverged"], c["replicates"]), []).append(c["arm"])
        rest = ", ".join(f"{named(arms)} on {said}" for said, arms in groups.items())
        c = apart[0]
        return (f"at {at(c)} (the widest difference) {against} diverged on "
                f"{share(c['diverged_base'], c['replicates_base'])} seeds, {rest}")
    less = sum(c["rate"] < c["rate_base"] for c in apart)
    more = f" and {len(apart) - less} more" if less < len(apart) else ""
    return (f"at their widest difference from {against}, {less} of {count(len(cells), 'arm')} diverged less{more} often"
            )


def _quality(study: Study, cells: list[pd.Series], names: bool) -> str:
    """Who ranks significantly better or worse than the baseline."""
    fresh = confirm_comparisons(study)
    tests, where = (fresh, "on fresh seeds") if len(fresh) else (
        comparisons(study), "at the cell declared beforehand")
    if not any(enough_for_significance(int(row["pairs"]), int(row["family"]), ALPHA) for _, row in tests.iterrows()):
        return "too few seeds ran to test quality"
    clear = tests[tests["decidable"] & (tests["p_holm"] <= ALPHA)]
    better = clear["better"] > clear["worse"]
    said: list[str] = []
    for some, word in ((clear.loc[better, "arm"].tolist(), "better"), (clear.loc[~better, "arm"].tolist(), "worse")):
        same = sorted(some) == sorted(c["arm"] for c in _apart(cells)) and len(some) > 1
        who = ("both" if len(some) == 2 else "all") if same else named(some)
        if some:
            verb = "" if said else f"rank{'s' if len(some) == 1 else ''} significantly "
            said.append(f"{who if names else len(some)} {verb}{word}")
    return f"{where} {', '.join(said) or 'no arm ranks significantly better or worse'}"
