"""Sentences written from the numbers. Which ones are written is a stated rule, so none is picked for its result."""

from __future__ import annotations

from analysis.comparisons import ALPHA
from analysis.findings.cells import best, confirmed, missing, searched
from analysis.findings.divergence import divergence
from analysis.findings.finding import Finding
from analysis.findings.law import law
from analysis.findings.quality import quality
from analysis.load import Study

__all__ = ["RULE", "Finding", "findings", "missing"]

RULE = (
    "Each arm gets one sentence on divergence: the design cell where its count differs most from the baseline's (of "
    "equals the smallest step); one on quality at its declared cell, which the plan chose before any result; and "
    "one on the predicted limit at the largest number of MCMC steps. Quality is compared by ranks, paired by seed, "
    "with divergence as the worst rank (sign-flip permutation test); the difference of means is over seeds that "
    "survived in both arms and describes. Significant: Holm's p, over the comparisons that the plan declares, is at "
    f"most {ALPHA}."
)


def findings(study: Study) -> list[Finding]:
    """All sentences of the report, the most important first. Claims rest on the design and confirm phases alone."""
    parts = [*divergence(study), *quality(study), *law(study), *best(study), *confirmed(study), *searched(study)]
    return [*parts, *(Finding("progress", text) for text in missing(study))]
