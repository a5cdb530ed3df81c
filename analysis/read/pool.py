"""Several studies as one, so that every table and figure compares their arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.read.address import ReportError
from analysis.read.study import Study
from study.schema.plan import Planned, PlannedSearch
from study.schema.unit import PHASES

FRAMES = ("cells", "trials", "finals", "curves", "exchange")


def pooled(studies: Sequence[Study]) -> Study:
    """The union of studies of the same data and primary measure. An arm becomes `study: arm`; the first study's
    baseline is the baseline, and its floors, spread and launch stand for all.

    Raises ReportError where data, primary measure or its direction differ: then no comparison would mean anything.
    """
    if len(studies) == 1:
        return studies[0]
    for name, of in (("data", lambda s: s.plan.data.content_hash),
                     ("primary measure", lambda s: f"{s.primary} ({s.plan.direction})")):
        found = {s.name: of(s) for s in studies}
        if len(set(found.values())) > 1:
            said = "; ".join(f"{study}: {str(value)[:24]}" for study, value in found.items())
            raise ReportError(f"studies in one report need the same {name} ({said})")
    named = [_renamed(study) for study in studies]
    first = named[0]
    plan = first.plan.model_copy(update={
        "question": " / ".join(s.plan.question or s.name for s in named),
        "cells": [cell for s in named for cell in s.plan.cells],
        "arms": {k: v for s in named for k, v in s.plan.arms.items()}, "planned": _planned(named),
        "measures": {k: v for s in named for k, v in s.plan.measures.items()},
        "search": _searched([s.plan.search for s in named if s.plan.search is not None])})
    together: dict[str, Any] = {frame: _together([getattr(s, frame) for s in named]) for frame in FRAMES}
    known = [s.pictures for s in named if s.pictures is not None]  # sheets of all, and the first one's training data
    return replace(
        first, name=" + ".join(s.name for s in named), plan=plan, **together,
        spec="\n".join(f"# {s.name}\n{s.spec}" for s in named), arms=[a for s in named for a in s.arms],
        launch={**first.launch,
                "status": "RUNNING" if any(s.is_running for s in named) else first.launch.get("status", "")},
        pictures=replace(known[0], experiments=sum((p.experiments for p in known), ())) if known else None,
        warnings=[f"{s.name}: {line}" for s in named for line in s.warnings])


def _together(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows of all; what has none, of a study of which nothing has finished, would make numbers objects."""
    return pd.concat([f for f in frames if len(f)] or frames[:1], ignore_index=True)


def _renamed(study: Study) -> Study:
    """Every arm, and every configuration (two studies may share one), carries the study's name."""
    def frame(of: pd.DataFrame) -> pd.DataFrame:
        new = {c: f"{study.name}: " + of[c].astype(str) for c in ("arm", "base_arm", "giver") if c in of}
        hashes = ["config_hash", "settings"] if "giver" in of else ["config_hash"]  # elsewhere settings are knobs
        new |= {c: f"{study.name}/" + of[c].astype(str) for c in hashes}
        return of.assign(**new) if len(of) else of

    def named(arm: str) -> str:
        return f"{study.name}: {arm}"

    search = study.plan.search and study.plan.search.model_copy(update={
        "diverged_value": {named(a): v for a, v in study.plan.search.diverged_value.items()}})
    plan = study.plan.model_copy(update={
        "search": search, "baseline": named(study.plan.baseline),
        "arms": {named(a): v for a, v in study.plan.arms.items()},
        "cells": [cell.model_copy(update={"arm": named(cell.arm), "config_hash": f"{study.name}/{cell.config_hash}"})
                  for cell in study.plan.cells]})
    frames: dict[str, Any] = {name: frame(getattr(study, name)) for name in FRAMES}
    return replace(study, plan=plan, arms=[named(a) for a in study.arms], **frames)


def _searched(searches: Sequence[PlannedSearch]) -> PlannedSearch | None:
    """One search of all arms; None where studies searched for different things, which nothing compares."""
    if len({(*s.objectives, *s.directions, *s.constraints.items()) for s in searches}) != 1:
        return None
    return searches[0].model_copy(update={
        "log": sorted({knob for s in searches for knob in s.log}),
        "diverged_value": {arm: values for s in searches for arm, values in s.diverged_value.items()}})


def _planned(studies: Sequence[Study]) -> dict[str, Planned]:
    """Configurations add up; where replicates differ the fewest are said, so that no cell seems short."""
    out: dict[str, Planned] = {}
    for phase in PHASES:
        given = [s.plan.planned[phase] for s in studies if phase in s.plan.planned]
        if given:
            out[phase] = Planned(configurations=sum(p.configurations for p in given),
                                 exchanged=sum(p.exchanged for p in given),
                                 replicates=min(p.replicates for p in given))
    return out
