"""Sentences written from the numbers. Which ones are written is a stated rule, so none is picked for its result."""

from __future__ import annotations

from analysis.read.study import Study
from analysis.stats.comparisons import ALPHA
from analysis.text.findings.answer import answer
from analysis.text.findings.cells import best, missing, searched
from analysis.text.findings.confirm import confirmed
from analysis.text.findings.divergence import apart_rule, divergence
from analysis.text.findings.finding import Finding
from analysis.text.findings.law import law
from analysis.text.findings.quality import quality
from analysis.text.findings.verdicts import verdicts

__all__ = ["Finding", "answer", "findings", "missing", "rule"]


def rule(study: Study) -> str:
    """Which sentences are written, and what their words are worth in this study."""
    return (
        "Each arm gets one sentence on divergence: the design cell where its count differs most from the baseline's "
        f"(of equals the smallest step size, then the most MCMC steps).{apart_rule(study)} "
        "Where seeds are lost and arms make unequal numbers of updates, these are said. "
        "Intervals and p values stand in the tables to which the sentences lead. Verdicts stand where arms are "
        "compared: at the declared cells, at those cells of largest difference, and in the confirm phase; they are "
        "counted, not tested. Each arm gets one sentence on quality at its declared cell, which the plan chose before "
        "any result; and one on the predicted limit at the largest number of MCMC steps. Quality is compared by ranks, "
        "paired by seed, with divergence as the worst rank (sign-flip permutation test); the difference of means is "
        "over seeds that survived in both arms and describes. Significant: Holm's p, over the comparisons that the "
        f"plan declares in the phase, is at most {ALPHA}. What ranks best is found on the seeds on which it is tested. "
        "The answer at the top says whose intervals are apart, then these tests; many arms are counted there."
    )


def findings(study: Study) -> list[Finding]:
    """All sentences of the report, the most important first. Claims rest on the design and confirm phases alone."""
    parts = [*divergence(study), *verdicts(study), *quality(study), *law(study), *best(study), *confirmed(study),
             *searched(study)]
    return [*parts, *(Finding("progress", text) for text in missing(study))]
