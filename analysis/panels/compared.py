"""T1b: the tests behind the claims, each with its effect size."""

from __future__ import annotations

import pandas as pd

from analysis.panels.panel import Panel, Table
from analysis.read.study import Study
from analysis.stats.comparisons import ALPHA, comparisons
from analysis.stats.inference import Interval, pairs_needed
from analysis.text.formatting import DASH, bounds, count, interval, number, share


class Compared(Panel):
    """Each arm against its baseline."""

    name, title = "comparisons", "Against the baseline"

    def frame(self, study: Study) -> pd.DataFrame:
        return comparisons(study).drop(columns="test", errors="ignore")

    def tables(self, study: Study, frame: pd.DataFrame) -> list[Table]:
        return [Table(self.name, compared_words(frame, study), frame)]

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        m = int(frame["family"].iloc[0])
        few = "" if frame["decidable"].all() else (
            f" With so few untied pairs some p could not have reached {ALPHA}: {pairs_needed(m)} would do.")
        return ("Paired by seed, ranks with divergence as worst; superiority: the chance that the arm is better, ties "
                "half [Wilson 95 %]; difference: arm \u2212 baseline over seeds on which both survived [95 % t "
                "interval], which describes; p: sign-flip permutation; Holm over the "
                f"{count(m, 'comparison')} that the plan declares, finished or not.{few}")


def compared_words(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """`comparisons` for a reader."""
    found = []
    for r in frame.to_dict("records"):
        chance = Interval(r["superiority"], r["superiority_low"], r["superiority_high"], r["pairs"])
        gap = Interval(r["difference"], r["low"], r["high"], r["both_survived"])
        found.append({
            "arm": r["arm"], "baseline": r["baseline"], "cell": f"{r['step_size']:.4g}, {r['mcmc_steps']:g} steps",
            "diverged": share(r["diverged"], r["replicates"]),
            "better / worse / tied": f"{r['better']} / {r['worse']} / {r['ties']} of {r['pairs']}",
            "superiority": f"{chance.estimate:.2f} {bounds(chance)}",
            f"{study.primary}, difference": f"{interval(gap)} (n = {gap.n})" if gap.n else DASH,
            "p": number(r["p"], 2), "Holm p": number(r["p_holm"], 2)
            + ("" if r["decidable"] else f" (at least {number(min(1.0, r['family'] * r['p_attainable']), 2)})")})
    return pd.DataFrame(found)
