"""Quality against the baseline, and which arms cannot be told from the best."""

from __future__ import annotations

import pandas as pd

from analysis.read.study import CELL, Study
from analysis.stats.comparisons import ALPHA, compared_cells, comparisons, not_separable_from_best
from analysis.stats.inference import pairs_needed
from analysis.text.findings.finding import Finding, at, named
from analysis.text.formatting import count, number


def quality(study: Study) -> list[Finding]:
    """Each comparison with the baseline, then what cannot be told from the best."""
    out: list[Finding] = []
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
        base, seeds = f"{row['baseline']}{other}", f"on {most} of {count(row['pairs'], 'seed')}"
        even = row["better"] == row["worse"]
        text = f"At {at(pd.Series(row))}, {row['arm']} " + (
            f"is better than {base} {seeds}, worse on as many" if even else f"ranks {first} than {base} {seeds}")
        if i.n:
            way = "lower" if i.estimate < 0 else "higher"
            better = "better" if (i.estimate < 0) == study.lower_is_better else "worse"
            # Ranks count seeds, a mean weighs them.
            text += (f"{';' if even else ':' if better == first else ', though'} {study.primary} is {way} by "
                     f"{number(abs(i.estimate), 2)}" + ("" if i.n == row["pairs"] else f" on {i.n}"))
        if row["decidable"]:
            text += " (significant)" if row["p_holm"] <= ALPHA else " (not significant)"
        out.append(Finding("quality", text + ".", "comparisons"))
    for (base, survived), arms in tied.items():
        why = "since both gave the same results" if survived else "since none survived in both"
        out.append(Finding("quality", f"At their declared cells {named(arms)} cannot be told from {base} on any "
                                      f"seed, {why}.", "comparisons"))
    open_ = frame[~frame["decidable"] & (frame["ties"] < frame["pairs"])] if len(frame) else frame
    if len(open_):
        out.append(_undecidable(open_))
    return [*out, *_best_of_all(study)]


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
