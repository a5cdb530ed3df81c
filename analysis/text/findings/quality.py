"""Quality against the baseline, and which arms cannot be told from the best."""

from __future__ import annotations

import pandas as pd

from analysis.read.study import CELL, Study
from analysis.stats.comparisons import ALPHA, compared_cells, comparisons, not_separable_from_best
from analysis.stats.inference import pairs_needed
from analysis.text.findings.finding import ON_THE_SAME_SEEDS, Finding, at, magnitude, named
from analysis.text.formatting import count, number, p_value


def quality(study: Study) -> list[Finding]:
    """Each comparison with the baseline, then what cannot be told from the best."""
    out: list[Finding] = []
    tied: dict[tuple[str, bool], list[str]] = {}  # by baseline, and whether any seed survived in both
    frame = comparisons(study)
    for row in frame.to_dict("records"):
        if row["ties"] == row["pairs"]:  # every seed lost in both, or arms that are one and the same here
            tied.setdefault((row["baseline"], bool(row["test"].difference.n)), []).append(row["arm"])
            continue
        i, m = row["test"].difference, row["family"]
        other = "" if all(row[k] == row[f"{k}_baseline"] for k in CELL) else (
            f" (at step size {row['step_size_baseline']:g} with {row['mcmc_steps_baseline']:g})")
        sides = [("better", row["better"]), ("worse", row["worse"])]
        (first, most), (second, fewer) = sides if row["better"] >= row["worse"] else sides[::-1]
        seeds = count(row["pairs"], "seed")
        base = f"{row['baseline']}{other}"
        text = f"At {at(pd.Series(row))}, {row['arm']} " + (
            f"ranks {first} than {base} on {most} of {seeds}, {second} on {fewer}" if most > fewer else
            f"is no more often better than {base} than worse: {most} of {seeds} each way")
        if i.n:
            way = "lower" if i.estimate < 0 else "higher"
            better = "better" if (i.estimate < 0) == study.lower_is_better else "worse"
            where = "" if i.n == row["pairs"] else f" over the {count(i.n, 'seed')} on which both survived"
            # Ranks count seeds, a mean weighs them.
            link = "; " if most == fewer else ": " if better == first else ", though on average "
            text += f"{link}{study.primary} is {way} ({better}) by {magnitude(i)}{where}"
        if row["decidable"]:
            holm = f" after Holm over {m}" if m > 1 else ""
            text += (f". {'Significant' if row['p_holm'] <= ALPHA else 'Not significant'} at {ALPHA} "
                     f"({p_value(row['p_holm'])}{holm}).")
        else:
            text += "."
        out.append(Finding("quality", text))
    for (base, survived), arms in tied.items():
        why = "since both gave the same results" if survived else "since none survived in both"
        out.append(Finding("quality", f"At their declared cells {named(arms)} cannot be told from {base} on any "
                                      f"seed, {why}."))
    open_ = frame[~frame["decidable"] & (frame["ties"] < frame["pairs"])] if len(frame) else frame
    if len(open_):
        out.append(_undecidable(open_))
    return [*out, *_best_of_all(study)]


def _undecidable(frame: pd.DataFrame) -> Finding:
    """Said once: what the plan could have told beforehand, and ties (seeds lost in both arms) that took more."""
    family, few = int(frame["family"].iloc[0]), int((frame["pairs"] - frame["ties"]).max())
    untied = "untied " if frame["ties"].any() else ""
    least = min(1.0, float(frame["p_attainable"].min()) * family)
    return Finding("quality", f"With {count(few, f'{untied}pair')} and {count(family, 'comparison')} no p could have "
                              f"reached {ALPHA} (smallest {number(least, 2)}; {pairs_needed(family, ALPHA)} pairs "
                              "would do): the counts and intervals are the evidence.")


def _best_of_all(study: Study) -> list[Finding]:
    """Which arms the test cannot tell from the best one; the comparisons above know the baseline alone."""
    cells = compared_cells(study)
    strong, apart = not_separable_from_best(study, cells, study.primary, study.lower_is_better)
    if not strong or len(cells) < 3:
        return []
    best, *others = strong
    text = f"Of all arms at their declared cells {best} ranks best" + (
        f"; {named(others)} cannot be told from it by ranks" if others else "")
    if apart:
        text += f"; {named(apart)} {'ranks' if len(apart) == 1 else 'rank'} worse"
    return [Finding("quality", f"{text} (Holm, {ALPHA}; {ON_THE_SAME_SEEDS}).")]
