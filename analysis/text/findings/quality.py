"""Quality against the baseline, and which arms cannot be told from the best."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from analysis.read.study import CELL, Study
from analysis.stats.comparisons import ALPHA, compared_cells, comparisons, not_separable_from_best
from analysis.stats.inference import pairs_needed
from analysis.text.findings.finding import Finding, at, named
from analysis.text.formatting import MINUS, count, number


class _Said(NamedTuple):
    """What arms have in common that share a sentence: where, against what, how many seeds, and what the test says."""

    cell: str
    base: str
    side: str  # better, worse or even
    seeds: str
    differs: bool  # the mean says otherwise than the seeds
    claim: str


def quality(study: Study) -> list[Finding]:
    """The comparisons with the baseline, of which those that say the same share a sentence; then what cannot be told
    from the best."""
    said: dict[_Said, list[tuple[str, str]]] = {}  # the arms and their differences
    tied: dict[tuple[str, bool], list[str]] = {}  # by baseline, and whether any seed survived in both
    frame = comparisons(study)
    for row in frame.to_dict("records"):
        if row["ties"] == row["pairs"]:  # every seed lost in both, or arms that are one and the same here
            tied.setdefault((row["baseline"], bool(row["test"].difference.n)), []).append(row["arm"])
            continue
        i = row["test"].difference
        other = "" if all(row[k] == row[f"{k}_baseline"] for k in CELL) else (
            f" (at {row['step_size_baseline']:g}, {row['mcmc_steps_baseline']:g} steps)")
        first, most = max(("better", row["better"]), ("worse", row["worse"]), key=lambda side: side[1])
        even, by = row["better"] == row["worse"], ""
        if i.n:
            by = f"{'lower' if i.estimate < 0 else 'higher'} by {number(abs(i.estimate), 2)}" + (
                "" if i.n == row["pairs"] else f" on {count(i.n, 'seed')}")
        mean = "better" if (i.estimate < 0) == study.lower_is_better else "worse"
        claim = "" if not row["decidable"] else " (significant)" if row["p_holm"] <= ALPHA else " (not significant)"
        same = _Said(at(pd.Series(row)), f"{row['baseline']}{other}", "even" if even else first,
                     f"on {most} of {count(row['pairs'], 'seed')}", bool(i.n) and not even and mean != first, claim)
        said.setdefault(same, []).append((row["arm"], by))
    out = [Finding("quality", _sentence(same, arms, study.primary), "comparisons") for same, arms in said.items()]
    for (base, survived), arms in tied.items():
        why = "since both gave the same results" if survived else "since none survived in both"
        out.append(Finding("quality", f"At their declared cells {named(arms)} cannot be told from {base} on any "
                                      f"seed, {why}.", "comparisons"))
    open_ = frame[~frame["decidable"] & (frame["ties"] < frame["pairs"])] if len(frame) else frame
    if len(open_):
        out.append(_undecidable(open_))
    return [*out, *_best_of_all(study)]


def _sentence(same: _Said, arms: list[tuple[str, str]], measure: str) -> str:
    """Of one arm, or of several that have all of it in common but the size of the difference."""
    ranks = "rank" if len(arms) > 1 else "ranks"
    seeds = same.seeds + " each" * (len(arms) > 1)
    what = (f"{'are' if len(arms) > 1 else 'is'} better than {same.base} {seeds}, worse on as many"
            if same.side == "even" else f"{ranks} {same.side} than {same.base} {seeds}") + same.claim
    if len(arms) == 1:
        [(arm, by)] = arms  # ranks count seeds, a mean weighs them
        mark = ";" if same.side == "even" else ", though" if same.differs else ":"
        return f"At {same.cell}, {arm} {what}{f'{mark} {measure} is {by}' if by else ''}."
    first = next((arm for arm, by in arms if by), None)
    each = [f"{arm} ({f'{measure} ' if arm == first else ''}{_signed(by) or 'none survived in both'})"
            for arm, by in arms]
    though = ", though their means say otherwise" if same.differs else ""
    return f"At {same.cell}, {named(each)} {what}{though}."


def _signed(by: str) -> str:
    """`higher by 0.1 on 1 seed` as `+0.1 on 1 seed`."""
    return by.replace("higher by ", "+").replace("lower by ", MINUS)


def _undecidable(frame: pd.DataFrame) -> Finding:
    """Said once: what the plan could have told beforehand, and ties (seeds lost in both arms) that took more."""
    family, few = int(frame["family"].iloc[0]), int((frame["pairs"] - frame["ties"]).max())
    untied = "untied " if frame["ties"].any() else ""
    return Finding("quality", f"With {count(few, f'{untied}pair')} and {count(family, 'comparison')} no p could have "
                              f"reached {ALPHA} ({pairs_needed(family, ALPHA)} pairs would do): counts and intervals "
                              "are the evidence.", "comparisons")


def _best_of_all(study: Study) -> list[Finding]:
    """Which arms the test cannot tell from the best one; the comparisons above know the baseline alone."""
    cells = compared_cells(study)
    strong, apart = not_separable_from_best(study, cells, study.primary, study.lower_is_better)
    if not strong or len(cells) < 3:
        return []
    best, *others = strong
    text = f"At their declared cells {best} ranks best, found on these seeds" + (
        f"; {named(others)} cannot be told from it" if others else "") + (
        f"; {named(apart)} {'ranks' if len(apart) == 1 else 'rank'} worse" if apart else "")
    return [Finding("quality", f"{text}.", "common_cell")]
