"""What a mark says under the pointer is what the study holds of the replicate at its place."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from itertools import pairwise

import pytest
from mlflow import MlflowClient

from analysis.page import named
from analysis.page.canvas import draw
from analysis.page.named import Named
from analysis.panels.kappa import Kappa
from analysis.panels.replicates import Replicates
from analysis.panels.search import Search
from analysis.read.store import Store
from study.schema.outcomes import ending
from tests.analysis import synthetic_study as toy

MARK = re.compile(r'<use [^>]*? y="([\d.]+)"[^>]*?(?: data-run="([^"]*)")?><title>([^<]*)</title></use>')


def marks(panel, study, folder):
    """(height on the page, run, lines of its words) of the named marks in each of the panel's figures."""
    figures = panel.figures(study, panel.frame(study))
    return [[(float(y), run, unescape(text).split("\n")) for y, run, text in
             MARK.findall(draw(figure, folder, Named(study)).svg)] for figure in figures]


def test_every_replicate_is_named_once_and_higher_values_stand_higher(study, tmp_path):
    """The n-th mark has the n-th row's words: their order by value is their order by height."""
    values = []
    for found in marks(Replicates(), study, tmp_path):
        alive = [(float(lines[2].split()[1]), -y) for y, _, lines in found if "diverged" not in lines[2]]
        seen = sorted(alive)  # of values that are equal as they are said, the lower mark first
        assert all(low[1] <= high[1] for low, high in pairwise(seen)) and len(alive) > 20
        values += [(lines[0], lines[1]) for _, _, lines in found]
    ends = study.finals[study.finals["phase"] == "design"]
    assert sorted(values) == sorted((f"{r['arm']}, seed {r['seed']}", f"step size {r['step_size']:.4g}, "
                                     f"{r['mcmc_steps']:g} MCMC steps") for r in ends.to_dict("records"))


def test_a_replicate_says_how_it_ended_and_a_trial_how_many_did(study, tmp_path):
    ends = study.finals.assign(reason="masked", flags="kappa > 2")
    said = {tuple(lines[:2]): lines for found in marks(Replicates(), replace(study, finals=ends), tmp_path)
            for _, _, lines in found}
    assert said["kl, seed 2", "step size 0.1, 20 MCMC steps"][2:] == [
        "diverged; kappa > 2, at update 140", f"tags.config_hash = '{toy.config_hash('design', 'kl', 0.1, 20)}'"]
    alive = ends[(ends["config_hash"] == toy.config_hash("design", "jko", 0.2, 5)) & (ends["seed"] == 0)].iloc[0]
    assert said["jko, seed 0", "step size 0.2, 5 MCMC steps"][2:4] == [
        f"{toy.PRIMARY} {alive[toy.PRIMARY]:.4f}", ending(alive)]
    [search] = marks(Search(), study, tmp_path)
    by_arm = sorted([*lines[:-1]] for _, _, lines in search)
    assert [lines for lines in by_arm if "pruned" in lines[2]] == [
        ["kl, search", "step size 0.31, 13 MCMC steps", "pruned at update 80"]]
    assert by_arm[0][:2] == ["jko, search", "step size 0.17, 11 MCMC steps"] and "0/2 diverged" in by_arm[0][2]
    assert len(by_arm) == 4  # the crashed one has no mark


def test_a_mark_opens_its_run_where_mlflow_has_a_page(study, toy_uri, tmp_path):
    served = replace(study, launch={**study.launch, "mlflow": "http://127.0.0.1:5000"})
    [search] = marks(Search(), served, tmp_path)
    ids, client = study.trials.set_index("run_id"), MlflowClient(toy_uri)
    for _, run, lines in search:
        experiment, _, run_id = run.split("/")
        assert run == f"{experiment}/runs/{run_id}" and experiment == client.get_run(run_id).info.experiment_id
        assert f"step size {ids.loc[run_id, 'step_size']:.4g}," in lines[1] and "config_hash" not in lines[-1]
    assert all(run == "" for _, run, _ in marks(Search(), study, tmp_path)[0])  # of a file


@pytest.mark.parametrize(("uri", "page"), [
    ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"), ("https://me:secret@host/mlflow", "https://host/mlflow"),
    ("sqlite:///mlflow.db", ""), ("postgresql://me:secret@db/mlflow", "")])
def test_the_address_of_mlflows_page_has_no_password(uri, page):
    store = object.__new__(Store)
    store.uri = uri
    assert store.page == page


def test_of_too_many_marks_none_is_named(study, tmp_path, monkeypatch):
    """A figure too large is left out; later ones are named as long as the page has room."""
    panel, one = Kappa(), Named(study)
    [figure] = panel.figures(study, panel.frame(study))
    n = draw(figure, tmp_path, one).svg.count("<title>")
    assert n == 130 and one.left == named.MOST - n
    one.left = n - 1
    assert draw(figure, tmp_path, one).svg.count("<title>") == 0 and one.left == n - 1
    monkeypatch.setattr(named, "MOST_IN_FIGURE", n - 1)
    assert draw(figure, tmp_path, Named(study)).svg.count("<title>") == 0
