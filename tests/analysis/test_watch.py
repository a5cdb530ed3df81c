"""A page that is kept fresh: when it is written, what is tried again, when it ends; and pages of next to nothing."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

import analysis.page.page
import analysis.read.load
import analysis.read.store
from analysis import report
from analysis.page import canvas
from analysis.read.address import PassingError, ReportError
from analysis.read.records import finals_of
from analysis.read.study import Study
from analysis.stats.comparisons import Ranking
from study.schema.plan import Planned
from study.store.units import Store as Storage
from tests.analysis import synthetic_study as toy
from tests.analysis.small_study import study

pytestmark = pytest.mark.slow
TEX_BOLD = r"\textbf{\begin{tabular}[t]{@{}r@{}}0.07"


def at(status: str, seeds: int, lost: str = "") -> Study:
    """A study of two planned cells of three seeds in one state; `lost`: the status of a second cell's trial."""
    found = study({("kl", 0.1, 5): [1.0] * seeds, ("kl", 0.2, 5): [1.0] * 3})
    keep = found.finals["step_size"] == 0.1
    trials = found.trials.assign(run_id=found.trials["config_hash"], seeds="0-2")
    trials.loc[1, ["status", "complete"]] = lost, False
    plan = found.plan.model_copy(update={"planned": {"design": Planned(configurations=2, replicates=3)}})
    return dataclasses.replace(found, launch={"run_id": "r", "status": status}, finals=found.finals[keep],
                               trials=trials if lost else trials.iloc[:1], plan=plan)


def watch(looks: list[Study | ReportError], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[int, list[Any]]:
    """Exit code of `--watch 5` and how each page was written, where one look after the other finds this. No store."""
    written: list[Any] = []
    left = iter(looks)

    class Store:
        def choose(self, name: str | None) -> str:
            return name or "small"

    @contextmanager
    def opened(uri: str | None) -> Iterator[Store]:
        yield Store()

    def read(*_: Any) -> Study:
        found = next(left, None)
        if found is None:
            raise KeyboardInterrupt
        if isinstance(found, ReportError):
            raise found
        return found

    def write(found: Study, store: Any, out: Path, refresh: int | None = None, **_: Any) -> Path:
        written.append((len(found.finals), refresh))
        return out

    for module in (analysis.read.load, analysis.read.store):
        monkeypatch.setattr(module, "opened", opened)
    monkeypatch.setattr(analysis.read.load, "read", read)
    monkeypatch.setattr(analysis.page.page, "write", write)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return report.main(["--out", str(tmp_path), "--watch", "5"]), written


def test_a_page_is_written_anew_when_the_last_trial_crashes_and_the_watch_ends_with_the_launch(
        monkeypatch, tmp_path, capsys):
    looks: list[Study | ReportError] = [at("RUNNING", 3), at("RUNNING", 3), at("RUNNING", 3, "crashed"),
                                        at("FAILED", 3, "crashed"), at("FAILED", 3, "crashed")]
    code, written = watch(looks, monkeypatch, tmp_path)
    assert (code, written) == (0, [(3, 5), (3, 5), (3, None)])  # the last one loads itself no more
    assert "the page is final" in capsys.readouterr().out


def test_what_may_pass_is_said_and_tried_again_and_what_may_not_ends(monkeypatch, tmp_path, capsys):
    looks: list[Study | ReportError] = [PassingError("no plan yet"), at("RUNNING", 2), PassingError("away"),
                                        at("RUNNING", 3)]
    code, written = watch(looks, monkeypatch, tmp_path)
    said = capsys.readouterr()
    assert (code, written) == (0, [(2, 5), (3, 5)]) and "stopped watching" in said.out
    assert said.err.splitlines() == [f"report: {why}; looking again in 5 s" for why in ("no plan yet", "away")]
    assert watch([ReportError("studies need the same data")], monkeypatch, tmp_path) == (2, [])


@pytest.mark.parametrize("verdicts", [[], ["diverged", "diverged"]])
def test_finals_keep_the_primary_before_the_first_survivor(verdicts):
    records = pd.DataFrame({
        "seed": range(len(verdicts)), "stage": "final", "update": 5, "verdict": verdicts, "diverged_at": 5.0,
        "kid": None, "other": None, "block": "0-1", "config_hash": "a", "arm": "kl", "base_arm": "kl", "method": "kl",
        "phase": "design", "step_size": 0.1, "mcmc_steps": 5})
    finals = finals_of(records, "kid")
    assert len(finals) == len(verdicts) and {"kid", "phase", "diverged"} <= set(finals) and "other" not in finals
    assert finals["kid"].dtype == "float64" and finals["diverged"].dtype == bool
    assert not finals_of(records.drop(columns=["kid", "diverged_at"]), "kid")["kid"].notna().any()


@pytest.mark.filterwarnings("ignore:constrained_layout not applied")  # of a chart with one row
def test_pages_of_nothing_finished_of_the_diverged_alone_and_of_one_survivor_in_bold(
        own_uri, tmp_path, monkeypatch):
    monkeypatch.setattr(canvas, "_save_png", lambda *of: None)
    MlflowClient(tracking_uri=own_uri).create_experiment("early", artifact_location=(tmp_path / "a").as_uri())
    writer = toy.Writer(own_uri, "early", dict(zip(toy.ARMS, toy.ARMS, strict=True)), Storage(str(tmp_path), "early"))
    writer.launch()
    command = ["--study", "early", "--tracking-uri", own_uri, "--out", str(tmp_path / "r")]
    assert report.main(command) == 0
    assert "No finished replicate yet" in (tmp_path / "r" / "index.html").read_text()
    writer.show(writer.unit("design", "kl", 0.4, 20, toy.SEEDS), "finished")
    assert report.main(command) == 0
    assert "6/6" in (tmp_path / "r" / "index.html").read_text()
    writer.show(writer.unit("design", "kl", 0.1, 5, toy.SEEDS), "finished")
    monkeypatch.setattr("analysis.panels.cell_tables.not_separable_from_best", lambda *_, **__: Ranking(["kl"], []))
    assert report.main(command) == 0
    for file, mark in (("index.html", "<b>0.07"), ("tables/common_cell.tex", TEX_BOLD),
                       ("tables/common_cell.md", "**0.07")):
        assert mark in (tmp_path / "r" / file).read_text(), file
