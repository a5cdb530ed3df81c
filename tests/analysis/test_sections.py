"""Figures of a whole study: seeds are shared, many arms are divided, what was pruned is censored."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from analysis.panels import samples
from analysis.panels.groups import CROWD, arm_groups
from analysis.panels.palette import with_methods
from analysis.panels.pareto import Pareto
from analysis.panels.survival import Survival
from analysis.read.study import CELL
from analysis.stats.cells import best_cells
from study.schema.plan import PlannedArm


def test_a_sheet_of_noise_is_not_called_stable_without_its_flags(study):
    """The caption, its accessible name and the data of the panel have all of it; a divergence has its reason."""
    gone = study.finals["diverged"]
    ends = study.finals.assign(verdict=gone.map({True: "diverged", False: "stable"}), reason=gone.map({True: "masked"}),
                               flags=gone.map({False: "poor quality, kappa > 2"}))
    judged = replace(study, finals=ends)
    found = samples.Samples().figures(judged, samples.Samples().frame(judged))
    alone = [figure for figure in found if figure.name.startswith("samples_0")]
    said = {"seed 0, stable; poor quality, kappa > 2", "seed 0, diverged; masked"}
    assert {figure.alt.partition("; ")[2].removeprefix("own ") for figure in alone} == said
    data = pd.concat([figure.frame for figure in alone])
    assert set(data["flags"].dropna()) == {"poor quality, kappa > 2"} and set(data["reason"].dropna()) == {"masked"}


def test_each_arm_stands_at_its_best_cell_with_verdict_and_flags(study):
    panel, best = samples.Samples(), best_cells(study).set_index("arm")
    frame = panel.frame(study)
    found = {figure.name: figure for figure in panel.figures(study, frame)}
    shown = found["joint_best"].frame.set_index("arm")
    assert shown[CELL].to_dict("index") == best[CELL].to_dict("index") and not found["joint_best"].folded
    assert shown["verdict"].notna().all() and len(found) == len(panel.figures(study, frame))
    alike = frame[frame["group"] == 0].assign(group=samples.BEST)
    assert len({f.name for f in panel.figures(study, pd.concat([frame[frame["group"] == 0], alike]))}) == len(
        panel.figures(study, frame[frame["group"] == 0])) + 1  # a sheet of its own is not drawn twice


def test_without_a_design_each_arm_stands_at_its_best_confirmed_settings(study):
    best = best_cells(study).set_index("arm")
    design = study.finals[study.finals["phase"] == "design"]
    confirmed = replace(study, finals=design.assign(phase="confirm"))  # of the same settings the same is best
    panel = samples.Samples()
    frame = panel.frame(confirmed)
    shown = {figure.name: figure for figure in panel.figures(confirmed, frame)}["joint_confirmed"]
    assert shown.frame.set_index("arm")[CELL].to_dict("index") == best[CELL].to_dict("index") and not shown.folded
    assert set(frame["group"]) == {samples.CONFIRMED}


def test_arms_that_no_seed_survives_in_together_show_their_own_and_how_many_are_lost(study):
    design = study.finals[study.finals["phase"] == "design"]
    odd = design["seed"] % 2 == 1
    gone = odd.where(design["arm"] == study.arms[0], ~odd)
    apart = replace(study, finals=design.assign(phase="confirm", diverged=gone, verdict=gone.map(
        {True: "diverged", False: "stable"})))
    panel = samples.Samples()
    frame = panel.frame(apart)
    assert frame["own"].all() and frame["lost"].str.fullmatch(r"\d+/\d+ diverged").all()
    [shown] = [figure for figure in panel.figures(apart, frame) if figure.name == "joint_confirmed"]
    assert set(shown.frame["arm"]) == set(study.arms)


def finals(alive):
    return pd.DataFrame([{"config_hash": arm, "arm": arm, "step_size": 0.1, "seed": seed, "diverged": seed not in some}
                         for arm, some in alive.items() for seed in range(4)])


@pytest.mark.parametrize(("alive", "common", "first"), [
    ({"a": {0, 1, 2}, "b": {1, 2, 3}}, [1, 2], {"a": 0, "b": 1}),
    ({"a": {0}, "b": {1}}, [], {"a": 0, "b": 1}),
    ({"a": {2, 3}, "b": set()}, [2, 3], {"a": 2, "b": 0}),  # b has none anywhere and does not empty the rest
    ({"a": set()}, [], {"a": 0}),
])
def test_the_common_seed_by_hand(alive, common, first):
    rows, found = samples.chosen_seeds(finals(alive), list(alive))
    assert found == common and {row["arm"]: row["seed"] for row in rows} == first
    assert {row["arm"]: row["lost"] for row in rows} == {arm: f"{4 - len(of)}/4 diverged" for arm, of in alive.items()}
    assert [row["lost"] for row in samples.chosen_seeds(finals({"a": {0, 1, 2, 3}}), ["a"])[0]] == [""]


def test_many_arms_are_divided_by_method_with_the_baseline_in_each(study):
    names = ["kl", "w0", "w1", "w2", "w3", "w4", "w5", "x0", "x1", "y", "z"]
    arms = {name: PlannedArm(method=name[0], fixed={}, limits=[]) for name in names}
    plan = study.plan.model_copy(update={"arms": arms, "baseline": "kl"})
    first = study.cells.iloc[0].to_dict()
    cells = pd.DataFrame([{**first, "arm": name, "base_arm": name, "config_hash": name} for name in names])
    many = with_methods(replace(study, plan=plan, arms=names, cells=cells))
    groups = arm_groups(many, pd.DataFrame({"arm": names}))
    assert [frame["arm"].tolist() for *_, frame in groups] == [
        ["kl", "w0", "w1", "w2", "w3", "w4", "w5"], ["kl", "x0", "x1", "y", "z"]]
    assert [(end, words) for end, words, _ in groups] == [("_0", "w"), ("_1", "k, x, y, z")]
    few = pd.DataFrame({"arm": names[:CROWD]})
    assert [(end, words, len(rows)) for end, words, rows in arm_groups(many, few)] == [("", "", CROWD)]


@pytest.mark.parametrize(("recorded", "shown"), [
    (("cpu_seconds", "wall_seconds", "gpu_seconds"), "gpu_seconds"), (("cpu_seconds", "wall_seconds"), "cpu_seconds"),
    (("wall_seconds",), "wall_seconds")])
def test_time_is_the_gpus_or_the_cpus_or_else_the_clocks(study, recorded, shown):
    ends = study.finals.drop(columns=["cpu_seconds", "wall_seconds"]).assign(**dict.fromkeys(recorded, 3.0))
    timed = replace(study, finals=ends)
    names = [figure.name for figure in Pareto().figures(timed, Pareto().frame(timed))]
    assert names == ["pareto_particle_gradients", f"pareto_{shown}"]


def test_the_searchs_survival_is_its_own_panel_with_pruned_trials(study):
    ends = study.finals.copy()
    here = (ends["phase"] == "search") & (ends["arm"] == "kl") & (ends["seed"] == 1000)
    ends.loc[here, ["diverged", "diverged_at"]] = [True, 200.0]
    lossy = replace(study, finals=ends)
    frame = Survival().frame(lossy)
    figure = Survival().figures(lossy, frame)[-1]
    assert figure.name == "survival_search" and "search" in figure.heading
    assert "2 replicates of pruned" in Survival().caption(lossy, frame)
    data = figure.frame
    assert data.loc[(data["event"] == "censored"), "update"].tolist() == [80]
    lost = data[(data["arm"] == "kl") & (data["update"] == 200)]
    assert lost["alive"].tolist() == [0.5]  # of two at risk: the two of the pruned trial had left by then
