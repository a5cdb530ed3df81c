"""Several studies in one report, the export, a page that is kept fresh, and a study of many replicates."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from html import unescape
from pathlib import Path
from shutil import copy

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import RunTag

from analysis import report
from analysis.page import canvas
from analysis.read import export
from analysis.read.address import ReportError
from analysis.read.load import load, read
from analysis.read.pool import pooled
from analysis.read.store import Store
from analysis.stats.cells import grid
from analysis.stats.comparisons import comparisons
from analysis.stats.limits import limits
from tests.analysis import large_study
from tests.analysis import synthetic_study as toy
from tests.stores import template

pytestmark = pytest.mark.slow
HOSTILE, ARMS = "<img src=x onerror=alert(1)>", ("kl<script>alert(1)</script>", "jko & $x_1$ %", "a|b\"'")


@pytest.fixture(scope="module")
def uri(toy_uri: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The toy and two small studies: `other`, with other names of the arms, and one whose names are code."""
    root = tmp_path_factory.mktemp("two")
    uri = f"sqlite:///{copy(toy_uri.removeprefix('sqlite:///'), root / 'mlflow.db')}"
    toy.write(uri, root / "other", "other", ("kl", "w", "k"), cells=[(0.1, 5)])
    toy.write(uri, root / "hostile", HOSTILE, ARMS, cells=[(0.1, 5), (0.2, 20)])
    return uri


def test_two_studies_are_one_with_all_arms_and_the_first_baseline(uri, tmp_path):
    store = Store(uri)
    one, two = (read(store, name, tmp_path) for name in ("toy", "other"))
    both = pooled([one, two])
    assert both.arms == ["toy: kl", "toy: jko", "toy: kl_smooth", "other: kl", "other: w", "other: k"]
    assert len(both.finals) == len(one.finals) + len(two.finals)
    assert not both.finals.duplicated(["config_hash", "seed"]).any()
    found = comparisons(both).set_index("arm")
    assert set(found["baseline"]) == {"toy: kl"} and found.loc["other: kl", "difference"] == 0
    own = comparisons(one).set_index("arm")
    assert found.loc["toy: jko", "difference"] == pytest.approx(own.loc["jko", "difference"])
    assert (limits(both)["delta_min"].notna()).all() and len(grid(both)) == 24 + 3
    assert pooled([one]) is one


def test_a_study_of_which_nothing_has_finished_leaves_the_other_s_numbers_numbers(uri, tmp_path):
    """Frames without rows know no types, and no figure can draw objects."""
    one, two = (read(Store(uri), name, tmp_path) for name in ("toy", "other"))
    bare = replace(two, **{name: getattr(two, name).iloc[:0].astype(object) for name in ("trials", "finals", "curves")})
    both = pooled([bare, one])
    assert both.curves.dtypes.equals(one.curves.dtypes) and len(both.finals) == len(one.finals)
    assert both.arms[:3] == ["other: kl", "other: w", "other: k"] and pooled([bare, bare]).finals.empty


def test_studies_of_other_data_are_refused(uri, tmp_path):
    one, other = (read(Store(uri), name, tmp_path) for name in (HOSTILE, "other"))
    other.plan.data.content_hash = "cd" * 32
    with pytest.raises(ReportError, match=r"need the same data \(<img.*: abab.*; other: cdcd"):
        pooled([one, other])


def test_one_page_of_two_studies_whose_names_stay_text(uri, tmp_path, monkeypatch):
    monkeypatch.setattr(canvas, "_save_png", lambda *of: None)
    assert report.main(["--study", "other", "--study", HOSTILE, "--tracking-uri", uri, "--out", str(tmp_path)]) == 0
    text = (tmp_path / "index.html").read_text()
    said = unescape(text)
    assert f"other + {HOSTILE}" in said and list((tmp_path / "figures").glob("samples_*.svg"))
    assert f"report.py --study other --study '{HOSTILE}' --tracking-uri {uri} --out {tmp_path}" in said
    assert text.count("python -m study.launch") == 2 and f"<dt>{HOSTILE}: hardware of the launch</dt>" in said
    assert not re.search(r"<img\b", text) and text.count("<script") == 1  # the page's own
    assert "&lt;img src=x" in text and all(f"{HOSTILE}: {arm}" in said for arm in ARMS)
    assert r": jko \& \$x\_1\$ \%" in (tmp_path / "tables" / "common_cell.tex").read_text()
    assert r": a\|b" in (tmp_path / "tables" / "common_cell.md").read_text()


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_export_has_a_row_a_replicate_with_knobs_and_measures(uri, few_panels, tmp_path, suffix):
    path = tmp_path / f"trials.{suffix}"
    out = ["--study", "toy", "--tracking-uri", uri, "--out", str(tmp_path / "r")]
    assert report.main([*out, "--export", str(path)]) == 0
    frame = pd.read_parquet(path) if suffix == "parquet" else pd.read_csv(path)
    study = read(Store(uri), "toy", tmp_path)
    assert len(frame) == len(study.finals) and {"study", "arm", "seed", "updates", "step_size"} <= set(frame)
    row = frame.query("arm == 'jko' and step_size == 0.1 and mcmc_steps == 5 and seed == 3 and phase == 'design'")
    assert row[toy.PRIMARY].tolist() == pytest.approx([toy.value("jko", 0.1, 5, 3)])
    assert not list(tmp_path.glob(".*tmp"))


def test_a_knob_with_the_name_of_a_measure_keeps_both(uri, tmp_path):
    study = read(Store(uri), "toy", tmp_path)
    named = study.trials["settings"].map(lambda s: json.dumps({**json.loads(s), "cpu_seconds": 7, "mixed": [1]}))
    object.__setattr__(study, "trials", study.trials.assign(settings=named))
    frame = export.table(study)
    assert set(frame["knob_cpu_seconds"]) == {7} and set(frame["cpu_seconds"]) == {4.0}
    assert export.write(study, tmp_path / "x.parquet") == len(frame)


def test_an_export_that_cannot_be_is_one_sentence(uri, tmp_path, capsys):
    common = ["--study", "toy", "--tracking-uri", uri, "--out", str(tmp_path / "r")]
    for path, said in ((tmp_path / "x.xlsx", "expected a name that ends in .parquet or .csv"),
                       (tmp_path / "no" / "x.csv", "No such file or directory|non-existent directory")):
        assert report.main([*common, "--export", str(path)]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1 and any(part in line for part in said.split("|"))


def test_watching_writes_again_only_when_there_is_more_and_ends_when_all_is_there(
        own_uri, few_panels, tmp_path, monkeypatch, capsys):
    """The study's missing work comes in at the second look; nothing new at the third."""
    looks: list[float] = []
    client = MlflowClient(tracking_uri=own_uri)
    [experiment] = client.search_experiments(filter_string="name = 'toy'")
    unfinished = [r for r in client.search_runs([experiment.experiment_id], "tags.kind = 'trial'", max_results=500)
                  if "complete" not in r.data.tags and r.data.tags["phase"] == "design"]

    [launch] = client.search_runs([experiment.experiment_id], "tags.kind = 'launch'")
    client.update_run(launch.info.run_id, status="RUNNING")

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            for run in unfinished:
                client.log_batch(run.info.run_id, tags=[RunTag("complete", "true")])
        if len(looks) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    out = tmp_path / "r"
    assert report.main(["--tracking-uri", own_uri, "--out", str(out), "--watch", "5"]) == 0
    said = capsys.readouterr().out
    assert said.count("written:") == 2 and "stopped watching; the last page" in said and looks == [5.0] * 4
    assert '<meta http-equiv="refresh" content="5">' in (out / "index.html").read_text()
    assert report.main(["--tracking-uri", own_uri, "--out", str(out)]) == 0
    assert "http-equiv" not in (out / "index.html").read_text()


def test_watch_wants_seconds(capsys):
    with pytest.raises(SystemExit) as end:
        report.main(["--watch", "0"])
    assert end.value.code == 2 and "expected a number of seconds >= 1" in capsys.readouterr().err


def test_studies_that_share_a_cache_keep_each_other_s_records(uri, tmp_path):
    store = Store(uri)
    for _ in (1, 2):
        for name in ("other", HOSTILE):
            read(store, name, tmp_path)
    assert len(list(tmp_path.glob("records-*.parquet"))) == 2


def test_commits_mixed_within_a_trial_are_told(own_uri, study, tmp_path):
    assert not any("commits" in line for line in study.warnings)
    client = MlflowClient(tracking_uri=own_uri)
    [experiment] = client.search_experiments(filter_string="name = 'toy'")
    for run in client.search_runs([experiment.experiment_id], "tags.kind = 'trial'", max_results=500):
        client.set_tag(run.info.run_id, "commit", f"{'a' * 40},{'b' * 40}")  # of two blocks of seeds
    [line] = [text for text in read(Store(own_uri), "toy", tmp_path).warnings if "commits" in text]
    assert line == "The trials come from 2 commits: aaaaaaaaaa, bbbbbbbbbb."


def test_a_notebook_loads_the_newest_study_in_a_line(uri, tmp_path):
    study = load(tracking_uri=uri, cache=tmp_path / "cache")
    assert study.name in ("toy", "other", HOSTILE) and {"seed", toy.PRIMARY} <= set(study.finals)


def test_a_damaged_file_in_the_cache_is_fetched_again(uri, tmp_path):
    whole = read(Store(uri), "other", tmp_path).finals
    for file in tmp_path.rglob("*.parquet"):
        if file.parent == tmp_path:
            file.unlink()
        else:
            file.write_bytes(b"PAR1" + file.read_bytes()[8:-8])
    assert read(Store(uri), "other", tmp_path).finals.equals(whole)


@pytest.mark.slow
def test_frames_of_many_replicates_are_read_in_linear_time(tmp_path):
    """1,600 replicates of 50 records take at most 3 times as long as 800, and little at all once they are cached."""
    took = {}
    for trials in (100, 200):
        uri = f"sqlite:///{copy(template(), tmp_path / f'{trials}.db')}"
        assert large_study.write(uri, tmp_path / str(trials), trials) == 8 * trials
        read(Store(uri), "large", _folder(tmp_path / f"c{trials}"))
        rounds = []
        for _ in range(3):  # tenths of a second: one of them may hold a garbage collection
            begun = time.process_time()
            study = read(Store(uri), "large", tmp_path / f"c{trials}")
            cells = grid(study)
            rounds.append(time.process_time() - begun)
        took[trials] = min(rounds)
        assert len(study.finals) == 8 * trials and len(study.curves) == 400 * trials
        assert np.isfinite(cells["rate"]).all()
    assert took[200] < 3 * took[100] + 0.5 and took[200] < 10


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
