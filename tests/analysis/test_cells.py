"""Tables and sentences of a study whose numbers are known, read back from its MLflow store."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.panels.cell_tables import every_frame, every_words, main_frame, main_words
from analysis.read import load
from analysis.read.address import ReportError
from analysis.read.load import read
from analysis.read.records import planned_seeds
from analysis.read.store import Store, opened
from analysis.stats import cells as tables
from analysis.stats.comparisons import comparisons
from analysis.stats.limits import limits
from analysis.text import findings
from analysis.text.outcomes import verdicts
from tests.analysis import synthetic_study as toy


def cell(frame, arm, step, mcmc):
    return frame[(frame["arm"] == arm) & (frame["step_size"] == step) & (frame["mcmc_steps"] == mcmc)].iloc[0]


def test_every_replicate_is_read_once(study):
    design = study.finals[study.finals["phase"] == "design"]
    assert len(design) == 21 * 6 + 4 and not design.duplicated(["config_hash", "seed"]).any()
    assert study.arms == ["kl", "jko", "kl_smooth"]
    assert study.measures == [toy.PRIMARY, "kid_clf64_64_long", "particle_gradients", "wall_seconds", "cpu_seconds"]


def test_a_cell_by_hand(study):
    alive = [toy.value("kl", 0.2, 5, s) for s in (1, 2, 4, 5)]  # seeds 0 and 3 diverged
    mean, half = np.mean(alive), 3.182446305 * np.std(alive, ddof=1) / 2  # t, 3 degrees of freedom; root of 4
    got = cell(tables.grid(study), "kl", 0.2, 5)
    assert (got["mean"], got["low"], got["high"]) == pytest.approx((mean, mean - half, mean + half), abs=1e-9)
    assert (got["n"], got["diverged"], got["replicates"]) == (4, 2, 6)
    assert (got["rate_low"], got["rate_high"]) == pytest.approx((0.0968, 0.7000), abs=1e-4)


def test_no_cell_has_a_mean_without_survivors_or_a_count_without_replicates(study):
    grid = tables.grid(study)
    assert (grid["mean"].isna() == (grid["n"] == 0)).all()
    for c in grid.itertuples():
        key = (c.arm, c.step_size, c.mcmc_steps)
        ran = 0 if key in (toy.NOT_RUN, toy.UNFINISHED) else 4 if key == toy.SHORT else 6
        assert (c.replicates, c.diverged) == (ran, len(toy.DIVERGED.get(key, ())) if ran else 0)


def test_what_is_missing_is_said_by_cell(study):
    states = tables.grid(study).set_index(["arm", "step_size", "mcmc_steps"])["state"]
    assert dict(states[states != "complete"]) == {
        toy.NOT_RUN: "not run",
        toy.UNFINISHED: "unfinished",
        toy.SHORT: "4 of 6 replicates",
    }
    text = " ".join(findings.missing(study))
    assert "3 of 24 planned design cells are missing or short" in text
    assert "kl_smooth at step size 0.4, 20 MCMC steps (not run)" in text
    assert "search has 4 of 6 planned trials" in text and "1 trial outside the design ended as crashed" in text


def test_pruned_and_crashed_trials_are_in_no_rate(study):
    assert set(study.trials["status"]) == {"finished", "pruned", "crashed"}
    assert len(tables.rates(study.finals[study.finals["phase"] == "search"])) == 3


def test_the_common_cell_is_the_plan_s_whatever_became_of_it(study):
    assert tables.common_cell(study) == (0.1, 5)  # declared
    worse = study.finals.assign(**{toy.PRIMARY: -study.finals[toy.PRIMARY]})
    other = replace(study, finals=worse)
    undeclared = study.plan.model_copy(update={"common_cell": None})
    assert tables.common_cell(other) == (0.1, 5) and tables.common_cell(replace(study, plan=undeclared)) is None
    assert not tables.best_cells(other)[["step_size", "mcmc_steps"]].equals(
        tables.best_cells(study)[["step_size", "mcmc_steps"]]
    )


def test_best_cell_takes_the_fewest_diverged_first(study):
    best = tables.best_cells(study).set_index("arm")
    # kl is better at 20 steps (0.059 < 0.070) but lost a seed there; kl_smooth has two lucky survivors at (0.2, 20)
    assert [tuple(best.loc[a, ["step_size", "mcmc_steps"]]) for a in study.arms] == [(0.1, 5), (0.2, 20), (0.2, 5)]


def test_higher_can_be_better(study):
    plan = study.plan.model_copy(update={"direction": "maximize"})
    best = tables.best_cells(replace(study, plan=plan)).set_index("arm")
    assert tuple(best.loc["kl", ["step_size", "mcmc_steps"]]) == (0.05, 5)  # 0.110, the largest where none diverged


def test_the_cost_of_the_diverged_is_in_no_mean_either(study):
    frame = tables.summaries(study.finals, ["particle_gradients"])
    got = cell(frame[frame["phase"] == "design"], "kl", 0.2, 5)
    assert (got["mean"], got["n"]) == (400 * 64 * 7, 4)  # the two that diverged stopped early, and so cheaper


def test_times_have_no_interval_since_a_block_has_one_clock(study):
    frame = tables.summaries(study.finals, ["cpu_seconds", "particle_gradients", toy.PRIMARY]).set_index("measure")
    assert frame.loc["cpu_seconds", "mean"].notna().any()
    assert frame.loc["cpu_seconds", ["low", "high"]].isna().all(axis=None)
    assert frame.loc[toy.PRIMARY, ["low", "high"]].notna().any(axis=None)


def test_limits_stand_beside_what_happened(study):
    rows = limits(study).set_index(["arm", "mcmc_steps"])
    kl = rows.loc[("kl", 20)]
    assert (kl["stable_to"], kl["diverges_from"], kl["mostly_from"]) == (0.05, 0.1, 0.2)
    # of 0.05, 0.1, 0.2, 0.4 only 0.1 lies in [0.062, 0.17]; a first divergence at 0.1 or at 0.2 would have agreed
    assert kl["outcome"] == ("as predicted (the band holds 1 of the 4 levels run, 2 of 5 possible outcomes would have "
                             "agreed)")
    jko = rows.loc[("jko", 5)]  # kappa 0.5 (step / 0.17)^2 passes 2 at the largest step, where none has diverged yet
    assert math.isinf(jko["delta_min"]) and math.isnan(jko["diverges_from"])
    assert jko["strained_from"] == 0.4 and jko["outcome"] == "undecided: none diverged, but \u03ba > 2 from 0.4"
    assert rows.loc[("jko", 20), "outcome"] == "diverged though no limit was predicted"
    assert rows.loc[("kl_smooth", 5), "outcome"] == "stable beyond the predicted limit"


def test_the_main_table_says_n_interval_and_floor(study):
    words = main_words(main_frame(study, tables.best_cells(study), [toy.PRIMARY]), [toy.PRIMARY])
    assert list(words[toy.PRIMARY][:1]) == ["0.0700 [0.0617, 0.0783] (n = 6)"]
    assert words["diverged"][0] == "0/6 [0.00, 0.39]"
    assert words.iloc[-1]["arm"] == "floor: real against real" and words.iloc[-1][toy.PRIMARY].endswith("(n = 256)")


def test_every_cell_of_the_design_stands_in_its_table(study):
    words = every_words(every_frame(study, "design", [toy.PRIMARY]), [toy.PRIMARY])
    assert len(words) == 24 and words["diverged"].str.match(r"\d/\d \[|\u2013$").all()


def test_differences_are_paired_by_seed(study):
    rows = comparisons(study).set_index("arm")
    d = np.array([toy.value("jko", 0.1, 5, s) - toy.value("kl", 0.1, 5, s) for s in toy.SEEDS])
    assert rows.loc["jko", "difference"] == pytest.approx(d.mean())
    assert rows.loc["jko", "high"] - rows.loc["jko", "low"] == pytest.approx(2 * 2.570581836 * d.std(ddof=1) / 6**0.5)
    assert rows.loc["jko", "p"] == rows.loc["jko", "p_attainable"] == 2 / 64
    assert list(rows["p_holm"]) == [4 / 64, 4 / 64]


def test_no_significance_is_claimed_that_no_result_could_reach(study):
    said = [f.text for f in findings.findings(study) if f.about == "quality"]
    assert said[0] == (
        "At step size 0.1 with 5 MCMC steps, jko (kid_clf64_256 +0.010) and kl_smooth (+0.020) rank worse than "
        "kl on 6 of 6 seeds each.")
    assert len(said) == 2 and said[1].startswith(
        "With 6 pairs and 2 comparisons no p could have reached 0.05 (7 pairs would do)")
    assert not any("ignificant" in s for s in said)


def test_one_comparison_of_six_pairs_can_be_significant(study):
    two = replace(study, arms=["kl", "jko"])  # of a plan that declares no third
    said = [f.text for f in findings.findings(two) if f.about == "quality"]
    assert said == [
        "At step size 0.1 with 5 MCMC steps, jko ranks worse than kl on 6 of 6 seeds (significant): kid_clf64_256 is "
        "higher by 0.010."]


def test_a_finding_is_short_and_leads_to_its_table(study):
    found = [f for f in findings.findings(study) if f.about != "progress"]
    assert {f.about for f in found} >= {"divergence", "quality", "law", "best cell", "confirm", "search"}
    assert [f.text for f in found if len(f.text.split()) > 25 or not f.table] == []


def test_the_divergence_sentence_names_counts_and_which_intervals_are_apart(study):
    said = next(f.text for f in findings.findings(study) if f.about == "divergence")
    assert said == (
        "At step size 0.2 with 20 MCMC steps, kl diverged on 6/6 seeds, jko on 0/6 (intervals apart), kl_smooth on 4/6 "
        "(intervals overlap)."
    )


def test_search_is_shown_as_search(study):
    said = [f for f in findings.findings(study) if "1,00" in f.text or f.about == "search"]
    assert len(said) == 1 and said[0].text.startswith(
        "Search, not a claim: best of 3 finished trials (1 pruned)"
    )


def test_a_store_that_is_not_there_is_not_created(tmp_path: Path):
    missing = tmp_path / "none.db"
    with pytest.raises(ReportError, match="no tracking store at"), opened(f"sqlite:///{missing}"):
        pass
    assert not missing.exists()


@pytest.mark.parametrize(("uri", "meant"), [("localhost:5000", "http://localhost:5000"), ("my.db", "sqlite:///my.db"),
                                            ("runs", "sqlite:///runs/mlflow.db")])
def test_a_uri_without_its_scheme_is_told_what_was_meant(uri: str, meant: str):
    with pytest.raises(ReportError, match=re.escape(f"did you mean {meant}?")), opened(uri):
        pass


def test_records_are_fetched_once(study, toy_uri, tmp_path, monkeypatch):
    """And read as they are where MLflow alone can give them."""
    store = Store(toy_uri)
    monkeypatch.setattr(store, "_folder", lambda run: None)
    assert read(store, "toy", tmp_path).finals.equals(study.finals)
    fetched: list[str] = []
    download = store.client.download_artifacts
    monkeypatch.setattr(
        store.client, "download_artifacts", lambda run, path, dst: fetched.append(path) or download(run, path, dst)
    )
    again = read(store, "toy", tmp_path)
    assert not [f for f in fetched if f.startswith("records")]
    assert again.finals.equals(study.finals)


def test_artifacts_on_this_disk_are_read_without_asking_mlflow(study, toy_uri, tmp_path, monkeypatch):
    store = Store(toy_uri)
    monkeypatch.setattr(store.client, "download_artifacts", None)
    assert read(store, "toy", tmp_path).finals.equals(study.finals)


def test_seeds_outside_the_plan_are_left_out():
    frame = pd.DataFrame({"phase": ["design", "design", "search"], "seed": [0, 9, 9], "value": [1.0, 2.0, 3.0]})
    kept = planned_seeds(frame, {"design": [0, 1], "search": [9]})
    assert kept["value"].to_list() == [1.0, 3.0]
    assert planned_seeds(frame.iloc[:0], {"design": [0]}).columns.tolist() == frame.columns.tolist()


def test_verdicts_and_flags_are_counted_and_old_records_have_none() -> None:
    finals = pd.DataFrame({"verdict": ["stable", "diverged", "oscillating", "stable"],
                           "flags": [None, None, "kappa > 1, poor quality", "kappa > 1"]})
    assert verdicts(finals) == "2 stable, 1 oscillating; kappa > 1 (2); poor quality (1)"
    assert verdicts(finals.assign(verdict="survived")) == ""
    assert verdicts(finals.drop(columns="flags").iloc[:1]) == "1 stable"


@pytest.mark.parametrize(("written", "why"), [
    (lambda plan: {k: v for k, v in plan.items() if k != "seeds"}, "seeds: Field required"),
    (lambda plan: plan | {"cells": [{**plan["cells"][0], "phase": "design"}]}, "cells.0.phase: Extra inputs are not"),
    (lambda plan: [plan], "valid dictionary")])
def test_a_plan_of_another_version_is_one_line(tmp_path, written, why):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(written(toy.plan("toy", dict(zip(toy.ARMS, toy.ARMS, strict=True))))), encoding="utf-8")
    with pytest.raises(ReportError, match="study toy: its plan was written by another version") as said:
        load._plan("toy", path)
    assert why in str(said.value) and "\n" not in str(said.value)
