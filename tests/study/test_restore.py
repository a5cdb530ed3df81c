"""`python -m study.restore`: a storage that is lost or damaged gets back from MLflow what it had finished."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from study.restore import main
from study.show.tracking.experiment import Experiment
from tests.study.test_launch_whole import Launch, done, launch, shown

__all__ = ["launch"]
SEARCH = ("--set", "design=null", "--set",
          "search={replicates: 1, trials: 2, sampler: random, space: {step_size: {log: [0.02, 0.5]}}}")


def restore(*words: str, database: str = "mlflow.db") -> int:
    return main(["--space", "tiny.yaml", "--tracking-uri", f"sqlite:///{Path.cwd()}/{database}", *words])


def manifests() -> dict[Path, dict[str, Any]]:
    return {path: json.loads(path.read_text()) for path in done()}


def test_what_a_lost_storage_had_finished_is_there_again_and_not_trained(
        launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    """With all that its manifest said, but for the images; and nothing changes in MLflow."""
    code, first, _ = launch(*SEARCH)
    assert code == 0
    before, runs = manifests(), {run.info.run_id for run in shown().search("tags.kind != 'launch'")}
    shutil.rmtree("runs")
    assert restore(*SEARCH) == 0
    assert capsys.readouterr().out == f"{Path.cwd()}/runs/tiny: units of work: 4 restored, 0 whole before\n"
    for path, manifest in before.items():
        again = manifests()[path]
        assert again.pop("restored") and {*again.pop("files")} == {"config.json", "records.parquet"}
        own = manifest | {"sha256": again["sha256"]}
        assert again == {key: own[key] for key in own.keys() - {"restored", "files"}} and len(again["rungs"]) > 1
    code, lines, errors = launch(*SEARCH)
    assert (code, errors) == (0, []) and not any(line.startswith("[") for line in lines)
    assert "units of work: 4 finished, 0 left" in lines
    assert [line for line in lines if line.startswith("best ")] == [line for line in first if line.startswith("best ")]
    assert {run.info.run_id for run in shown().search("tags.kind != 'launch'")} == runs
    assert restore(*SEARCH) == 0
    assert capsys.readouterr().out.endswith("units of work: 0 restored, 4 whole before\n")


def test_what_a_manifest_does_not_say_is_not_certified_by_restoring_beside_it(
        launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged image goes; a whole one stays."""
    assert launch()[0] == 0
    folder = done()[0].parent
    gone, kept = sorted(folder.glob("*.png"))
    gone.write_bytes(b"noise")
    assert restore() == 0
    assert "units of work: 1 restored, 3 whole before" in capsys.readouterr().out
    assert {*manifests()[folder / "done.json"]["files"]} == {"config.json", "records.parquet", kept.name}
    assert not gone.exists()


def test_an_interrupt_is_a_sentence(launch: Launch, monkeypatch: pytest.MonkeyPatch,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(self: Experiment, *arguments: str) -> bytes:
        raise KeyboardInterrupt

    assert launch()[0] == 0
    monkeypatch.setattr(Experiment, "read_artifact", interrupt)
    assert restore() == 130 and capsys.readouterr().err == "interrupted; the same command goes on\n"


def test_a_launch_says_what_could_be_restored_and_trains_it(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch()[0] == 0
    for unit in done()[:2]:
        shutil.rmtree(unit.parent)
    code, lines, errors = launch()
    assert (code, errors) == (0, []) and sum(line.startswith("[") for line in lines) == 2
    assert [line for line in lines if "study.restore" in line] == [
        "MLflow shows results of 2 configurations that the storage lacks; they are trained again. `python -m "
        "study.restore` with the same options brings them back instead"]
    assert len(shown().search("tags.kind = 'trial'")) == 4 and len(shown().search("tags.kind = 'replicate'")) == 8
    assert not any("study.restore" in line for line in launch()[1])


def test_what_is_damaged_on_both_sides_is_said_and_left(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch()[0] == 0
    artifacts = sorted(Path("mlruns").glob("**/artifacts/records/*.parquet"))
    artifacts[0].write_bytes(artifacts[0].read_bytes()[:-9])
    artifacts[1].unlink()
    next(Path("mlruns").glob(f"{artifacts[2].parents[1].relative_to('mlruns')}/units/*.json")).write_text("{")
    [whole] = [run.data.tags["config_hash"] for run in shown().search("tags.kind = 'trial'")
               if run.info.run_id == artifacts[3].parts[-4]]
    [records] = Path("runs/tiny").glob(f"{whole}/*/records.parquet")
    good = records.read_bytes()
    records.write_bytes(good[:-9])
    assert restore() == 0
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 3 and all(line.startswith("run ") for line in lines)
    assert sum("is damaged" in line for line in lines) == 2
    assert said.out.endswith(": units of work: 1 restored, 0 whole before, 3 cannot be had from MLflow\n")
    assert records.read_bytes() == good


@pytest.mark.parametrize(("words", "database", "sentence"), [
    ((), "none.db", "no MLflow store at sqlite:///"),
    (("--set", "study=other"), "mlflow.db", "shows no study 'other'"),
    (("--set", "train.updates=x"), "mlflow.db", "train.updates: found 'x', expected ")])
def test_bad_input_is_one_sentence_and_makes_nothing(
        launch: Launch, words: tuple[str, ...], database: str, sentence: str,
        capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("--dry-run")[0] == 0
    before = {*Path().rglob("*")}
    capsys.readouterr()
    assert restore(*words, database=database) == 2
    said = capsys.readouterr()
    assert sentence in said.err and said.err.count("\n") == 1 and said.out == ""
    assert {*Path().rglob("*")} == before


def test_nothing_to_restore_is_one_sentence(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a study that was begun, and in which nothing has finished."""
    launch("--dry-run")
    shown().check_reachable()
    capsys.readouterr()
    assert restore() == 2
    said = capsys.readouterr()
    assert said.err.endswith("/mlflow.db shows nothing finished of study 'tiny'\n") and said.out == ""


def test_a_server_that_goes_away_ends_it_with_a_sentence(launch: Launch, monkeypatch: pytest.MonkeyPatch,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    from mlflow.exceptions import RestException

    def fails(self: Experiment, *arguments: str) -> bytes:
        raise RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "no artifacts today"})

    assert launch()[0] == 0
    shutil.rmtree("runs")
    monkeypatch.setattr(Experiment, "read_artifact", fails)
    assert restore() == 2
    assert "no artifacts today" in capsys.readouterr().err and done() == []


def test_artifacts_that_are_gone_are_shown_again_from_the_storage_and_said_where_both_are_gone(
        launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch()[0] == 0
    before = {path.relative_to("mlruns").parts[2:] for path in Path("mlruns").rglob("*") if path.is_file()}
    shutil.rmtree("mlruns")
    assert launch()[0::2] == (0, [])
    assert {path.relative_to("mlruns").parts[2:] for path in Path("mlruns").rglob("*") if path.is_file()} == before
    assert len(shown().search("tags.kind = 'trial'")) == 4 and len(shown().search("tags.kind = 'replicate'")) == 8
    shutil.rmtree("mlruns")
    shutil.rmtree("runs")
    assert restore() == 2
    said = capsys.readouterr()
    assert said.err.count(" in MLflow: its artifacts are gone\n") == 4
    assert said.out.endswith(": units of work: 0 restored, 0 whole before, 4 cannot be had from MLflow\n")
