"""Which cells stand beside each other where not every arm ran the same: by hand, on studies cut from the toy."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.figure
import pandas as pd
import pytest

from analysis.panels import horizon
from analysis.panels.curves import Curves
from analysis.panels.horizon import Horizon
from analysis.panels.profiles import profiled
from analysis.panels.samples import Samples
from analysis.panels.survival import Survival
from analysis.stats.nearest_cells import nearest, nearest_cells
from tests.analysis import synthetic_study as toy


def cut(study, keep, rename=None):
    """The study as if each arm had planned and run the cells (step size, MCMC steps) that `keep` gives it alone.
    rename: MCMC steps of one arm, as another method would count them."""
    def frame(of):
        here = [p != "design" or (s, int(m)) in keep[a] for p, a, s, m in
                zip(of["phase"], of["arm"], of["step_size"], of["mcmc_steps"], strict=True)]
        return of[here].assign(mcmc_steps=[(rename or {}).get((a, m), m) for a, m in
                                           zip(of[here]["arm"], of[here]["mcmc_steps"], strict=True)])
    cells = frame(study.cells.assign(phase="design")).drop(columns="phase")
    return replace(study, cells=cells, finals=frame(study.finals), curves=frame(study.curves))


def test_the_nearest_number_of_steps_is_by_ratio_and_of_two_the_larger():
    ran = pd.DataFrame([("kl", 0.1, 5), ("kl", 0.1, 20), ("jko", 0.1, 10), ("jko", 0.1, 40), ("jko", 0.2, 3)],
                       columns=["arm", "step_size", "mcmc_steps"])
    assert nearest(ran, 20)["mcmc_steps"].tolist() == [20, 40, 3]
    assert nearest(ran, 9)["mcmc_steps"].tolist() == [5, 10, 3]


def test_an_arm_with_another_number_of_steps_stands_beside_the_others(study):
    every = {(s, m) for s in toy.STEPS for m in toy.MCMC}
    few = {(s, 5) for s in toy.STEPS}
    other = cut(study, {"kl": every, "jko": few, "kl_smooth": every}, {("jko", 5): 6})
    groups = {group.step: group for group in nearest_cells(other)}
    assert [group.heading for group in groups.values()][:2] == ["step size 0.05, 5 MCMC steps",
                                                               "step size 0.1, 5 MCMC steps"]
    assert groups[0.1].said == {"kl": "", "jko": " (6 steps)", "kl_smooth": ""} and len(groups[0.1].cells) == 3
    assert [step for step, group in groups.items() if group.declared] == [0.1]


def test_arms_with_cells_of_their_own_stand_in_one_figure_of_the_declared(study):
    own = cut(study, {"kl": {(0.1, 5)}, "jko": {(0.4, 20)}, "kl_smooth": {(0.2, 20)}})
    [group] = nearest_cells(own)
    assert group.declared and group.name == "declared" and len(group.cells) == 3
    assert group.said == {"kl": "", "jko": " (0.4, 20)", "kl_smooth": " (0.2, 20)"}


def test_no_arm_is_left_out_of_the_curves_and_no_divergence_of_the_survival(study):
    own = cut(study, {"kl": {(0.1, 5)}, "jko": {(0.4, 20)}, "kl_smooth": {(0.2, 20)}})
    for panel, name in ((Curves(), "curves_declared"), (Survival(), "survival_declared")):
        frame = panel.frame(own)
        [figure] = panel.figures(own, frame)
        assert figure.name == name and not figure.folded and set(figure.frame["arm"]) == set(toy.ARMS)
        caption = panel.caption(own, frame)
        assert "jko" in caption and "kl_smooth" in caption  # they did not run the common number
    caption = Survival().caption(study, Survival().frame(study))
    assert "Not drawn: 19 diverged replicates of other cells (kl, jko and kl_smooth at 20 MCMC steps)" in caption


def test_the_limit_by_horizon_has_the_levels_that_its_arm_ran(study, monkeypatch):
    """The smallest of them is where a limit may lie at the edge; others' levels tell nothing of it."""
    every = {(s, m) for s in toy.STEPS for m in toy.MCMC}
    seen = []
    draw = horizon.limit_by_horizon
    monkeypatch.setattr(horizon, "limit_by_horizon", lambda own, ax, **rest: (
        seen.append((own["arm"].iloc[0], rest["levels"])), draw(own, ax, **rest)))
    for steps in (list(toy.STEPS), [0.2, 0.4]):
        ran = {(s, m) for s, m in every if s in steps}
        other = cut(study, {"kl": ran, "jko": every, "kl_smooth": every})
        for figure in Horizon().figures(other, Horizon().frame(other)):
            figure.plot(matplotlib.figure.Figure().subplots())
        assert seen[-1] == ("kl", steps)


@pytest.mark.parametrize(("keep", "words", "arms", "cells"), [
    ({"kl": {(0.1, 5), (0.2, 5)}, "jko": {(0.1, 5)}, "kl_smooth": {(0.1, 5)}}, "the 1 cell that all arms ran", 3, 1),
    ({"kl": {(0.1, 5), (0.2, 5)}, "jko": {(0.1, 5), (0.2, 5)}, "kl_smooth": {(0.1, 20)}},
     "the 2 cells that 2 of 3 arms ran; left out: kl_smooth", 2, 2),
    ({"kl": {(0.1, 5), (0.2, 5)}, "jko": {(0.1, 20)}, "kl_smooth": {(0.05, 20)}},
     "each arm's own declared cell", 3, 3)])
def test_profiles_are_over_all_over_most_or_over_each_arms_own_cells(study, keep, words, arms, cells):
    runs, said = profiled(cut(study, keep))
    assert said.startswith(words) and runs["arm"].nunique() == arms
    assert runs.groupby(["step_size", "mcmc_steps"]).ngroups == cells


def test_many_panels_are_folded_but_those_of_the_declared_cell(study, monkeypatch):
    def figures(panel):
        return panel.figures(study, panel.frame(study))

    assert not any(figure.folded for figure in figures(Curves()))
    monkeypatch.setattr("analysis.panels.groups.OPEN", 3)
    assert [figure.name for figure in figures(Curves()) if not figure.folded] == ["curves_0-1"]
    found = figures(Samples())
    first = [figure.name for figure in found if not figure.folded]
    assert "joint_0-1_5" in first and "joint_0-2_20" in first and "samples_0-1_5_0_kl" in first
    assert all("0-2_20" in figure.name for figure in found if figure.folded) and any(f.folded for f in found)
