"""The command line without Ray: help, exit codes, and a sentence for each thing that can be wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from analysis.stats.inference import enough_for_significance
from models.data.load import load as load_data
from study.launch import main
from study.schema.canonical import checksum, sealed
from study.show.plan import too_few_replicates
from study.spec import load
from study.store.lock import held
from study.store.units import Store
from tests.configurations import plan as a_plan

SPEC = """\
study: tiny
data: moons
method: [kl, jko]
train: {updates: 4, batch_size: 8, width: 2, particles: 32}
design:
  replicates: 2
  step_size: [0.05, 0.3]
evaluation: {points: 2, samples: 32, long_run: 1}
"""


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(SPEC)
    return "tiny.yaml"


def test_help_and_a_bad_spec_are_quick_and_load_nothing_heavy(space: str) -> None:
    """Ray, torch, optuna and mlflow cost seconds; a misspelt word must not."""
    Path(space).write_text(SPEC.replace("step_size", "step_sise"))
    code = ("import sys\nfrom study.launch import main\ncode = main(['--space', 'tiny.yaml'])\n"
            "print([m for m in ('ray', 'torch', 'optuna', 'mlflow', 'pyarrow', 'sklearn') if m in sys.modules])\n"
            "sys.exit(code)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == "[]\n"
    assert done.stderr == "tiny.yaml:7: design.step_sise: unknown knob; did you mean step_size?\n"


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as found:
        main(["--help"])
    text = capsys.readouterr().out
    assert found.value.code == 0
    flags = "--space --dry-run --set --tracking-uri --storage --address --max-concurrent --insecure --quiet"
    assert [flag for flag in flags.split() if flag not in text] == []


def test_every_problem_is_told_at_once(space: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(space).write_text(SPEC.replace("data: moons", "data: moon").replace("replicates: 2", "replicates: two"))
    assert main(["--space", space, "--set", "train.width=4"]) == 2
    assert [line.split(":")[1] for line in capsys.readouterr().err.splitlines()] == ["2", "6"]


@pytest.mark.parametrize(("words", "sentence"), [
    (["--address", "ray://head:10001"], "--address ray://head:10001: found a Ray Client address, expected one of a "
     "cluster node: run the launch on the cluster (ray job submit -- python -m study.launch ...) with --address "
     "auto\n"),
    (["--address", "head"], "--address head: found 'head', expected HOST:PORT, or auto\n"),
    (["--set", "resources.cpu=999"], "tiny.yaml: resources.cpu: found 999, expected at most "),
    (["--set", "resources.gpu=99"], "--set resources.gpu: found 99, expected at most "),
])
def test_what_cannot_run_here_is_refused(space: str, words: list[str], sentence: str,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--space", space, *words]) == 2
    assert capsys.readouterr().err.startswith(sentence)


def test_an_absent_tracking_server_is_one_sentence(space: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as held:  # bound and not listening: nobody answers there
        held.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{held.getsockname()[1]}"
        begun = time.monotonic()
        assert main(["--space", space, "--tracking-uri", uri]) == 2
    assert time.monotonic() - begun < 30
    assert capsys.readouterr().err == (f"no MLflow server answers at {uri} (ConnectionError); start it, or keep "
                                       "the study in a file: --tracking-uri sqlite:///mlflow.db\n")


@pytest.mark.parametrize(("uri", "sentence"), [
    ("foo://bar", "tracking URI: found 'foo://bar', expected a database such as sqlite:///mlflow.db or "),
    ("./nothere", "tracking URI: found './nothere', expected a database such as sqlite:///mlflow.db or "),
    ("", "tracking URI: found '', expected a database such as sqlite:///mlflow.db or "),
    ("sqlite:///bad.db", "MLflow at sqlite:///bad.db is damaged, or no database (file is not a database): with that "),
    ("mysql+nosuchdriver://127.0.0.1/db", "MLflow at mysql+nosuchdriver://127.0.0.1/db: "),
])
def test_a_tracking_store_that_cannot_be_used_is_one_sentence(space: str, uri: str, sentence: str,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.db").write_text("this is no database, it is a line of text")
    assert main(["--space", space, "--tracking-uri", uri]) == 2
    text = capsys.readouterr().err
    assert text.startswith(sentence) and text.count("\n") == 1


def test_a_missing_database_driver_is_one_sentence(space: str, capsys: pytest.CaptureFixture[str],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    uri = "postgresql+psycopg2://127.0.0.1:1/db"
    assert main(["--space", space, "--tracking-uri", uri]) == 2
    assert capsys.readouterr().err.startswith(f"MLflow at {uri}: import of psycopg2 halted")


def test_an_address_where_nobody_listens_is_refused_at_once(space: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as held:  # bound and not listening
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        assert main(["--space", space, "--address", address]) == 2
    assert capsys.readouterr().err == (f"--address {address}: no Ray cluster answers there "
                                       "(ConnectionRefusedError)\n")
    assert not Path("mlflow.db").exists()


def test_a_lock_that_cannot_be_made_is_one_sentence(space: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs/tiny/.lock").mkdir(parents=True)
    assert main(["--space", space]) == 2
    assert capsys.readouterr().err == (f"storage '{Path('runs').absolute()}' cannot be locked: [Errno 21] Is a "
                                       f"directory: '{Path('runs/tiny/.lock').absolute()}'\n")


def test_a_storage_that_cannot_be_written_is_one_sentence(space: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("not a folder")
    assert main(["--space", space, "--storage", "file/runs"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"storage '{Path('file/runs').absolute()}' is not writable: ")
    assert main(["--space", space, "--storage", "nosuch://place"]) == 2
    assert capsys.readouterr().err.startswith("storage 'nosuch://place' cannot be opened: ")


def test_a_dry_run_shows_the_plan_and_makes_no_store(space: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Moons have sd 0.1: KL flow has the limit s, JKO at c = 1/2 none; 0.3 lies above it and 0.05 below."""
    assert main(["--space", space, "--dry-run"]) == 0
    text = capsys.readouterr().out
    rows = {words[1]: words[3:] for line in text.splitlines() if len(words := line.split()) > 3 and words[0] == "│"}
    cells = {arm: [w for w in words if w != "│"] for arm, words in rows.items()}
    assert cells["kl"] == ["kl", "2", "0.1", "(0.1)", "0.1", "(0.1)", "0.1", "1", "0", "1"]
    assert cells["jko"] == ["jko", "2", "none", "none", "none", "0", "0", "2"]
    assert "design: 4 configurations x 2 replicates" in text and "estimated cost: roughly " in text
    assert [path.name for path in Path().iterdir()] == ["tiny.yaml"]


@pytest.mark.parametrize(("comparisons", "replicates", "enough"), [
    (2, 7, None), (2, 6, 7), (5, 7, 8), (5, 8, None), (16, 9, 10), (16, 10, None), (0, 3, None), (3, 0, None),
])
def test_the_plan_says_how_many_replicates_a_significant_result_needs(comparisons: int, replicates: int,
                                                                      enough: int | None) -> None:
    said = too_few_replicates(comparisons, replicates)
    assert said == "" if enough is None else f"; {enough} replicates would do" in said
    if comparisons and replicates:  # the analysis draws the same line
        assert (said == "") == enough_for_significance(replicates, comparisons)


def test_a_dry_run_says_what_a_changed_file_changes(space: str, capsys: pytest.CaptureFixture[str]) -> None:
    spec, store = load(space), Store("runs", "tiny")
    written = {**spec.resolved(), "sha256": checksum(spec.resolved())}
    store.write_json("spec.json", written)
    assert main(["--space", space, "--dry-run"]) == 0 and "not the last launch's" not in capsys.readouterr().out
    assert main(["--space", space, "--dry-run", "--set", "train.updates=8", "--set", "seed=3"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "not the last launch's" in line)
    assert line.endswith(" is not the last launch's: updates of jko, kl: 4, now 8; seed: 0, now 3")
    assert store.read_json("spec.json") == written
    renamed = "arms: {kl: {method: kl}, wgcn: {method: jko}}\nbaseline: kl"
    Path(space).write_text(Path(space).read_text().replace("method: [kl, jko]", renamed))
    assert main(["--space", space, "--dry-run", "--set", "train.updates=8"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "not the last launch's" in line)
    assert line.endswith(" is not the last launch's: arm jko is gone; arm wgcn is new; updates of kl: 4, now 8")


def test_a_release_that_tells_versions_apart_otherwise_says_so(space: str, capsys: pytest.CaptureFixture[str]) -> None:
    store, content = Store("runs", "tiny"), load_data("moons").content_hash
    plan = a_plan(study_version="0", data={"name": "moons", "shape": [2], "n": {}, "content_hash": content}).plain()
    store.write_json("spec.json", sealed(load(space).resolved()))
    store.write_json("plan.json", sealed(plan))
    assert main(["--space", space, "--dry-run"]) == 0
    assert " is not the last launch's: how this release tells versions apart\n" in capsys.readouterr().out
    store.write_json("plan.json", {**plan, "sha256": "0"})
    assert main(["--space", space, "--dry-run"]) == 0 and "not the last launch's" not in capsys.readouterr().out


def test_a_second_launch_is_refused_before_the_plan(space: str, capsys: pytest.CaptureFixture[str]) -> None:
    with held(Store("runs", "tiny"), takeover=False, say=print):
        assert main(["--space", space]) == 2
    found = capsys.readouterr()
    assert found.out == "" and "is being run by process " in found.err and not Path("mlflow.db").exists()
    with held(Store("runs", "tiny"), takeover=False, say=print):
        assert main(["--space", space, "--takeover"]) == 2
    assert "--takeover is for an object store" in capsys.readouterr().err


def test_to_look_is_one_thing_at_a_time(space: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--space", space, "--status", "--dry-run"])
    assert "not allowed with" in capsys.readouterr().err
    assert main(["--space", ""]) == 2
    assert capsys.readouterr().err.startswith("found an empty name, expected a study's")


def test_an_extractor_that_cannot_be_used_is_one_sentence_with_its_place(
        space: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(space).write_text(SPEC.replace("data: moons", "data: digits").replace("long_run: 1", (
        "long_run: 1, features: {file: own.pt2, size: 8, sha256: " + 64 * "a" + "}")))
    assert main(["--space", space, "--dry-run"]) == 2
    assert capsys.readouterr().err.startswith("tiny.yaml:8: evaluation.features: [Errno 2] No such file or directory: ")
    (tmp_path / "own.pt2").write_bytes(b"no archive")
    assert main(["--space", space, "--dry-run"]) == 2
    found = capsys.readouterr().err
    assert found.startswith("tiny.yaml:8: evaluation.features: ") and "found sha256 " in found
    assert main(["--space", space, "--dry-run", "--set", "data=moons"]) == 2
    assert "evaluation.features: found an extractor of images, expected none" in capsys.readouterr().err


@pytest.mark.parametrize("words, said", [(["-m", "study.launch", "--space", "FILE"], ""),
                                         (["-m", "study.launch", "--space", "FILE", "--status"], ""),
                                         (["REPORT"], "report: ")])
def test_a_working_folder_that_is_gone_is_one_sentence(words: list[str], said: str, space: str,
                                                       tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    names = {"FILE": str(tmp_path / space), "REPORT": str(root / "analysis" / "report.py")}
    code = ("import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); "
            "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])")
    done = subprocess.run([sys.executable, "-c", code, *(names.get(word, word) for word in words)],
                          capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (f"{said}the folder that this was started in cannot be used (No such file or directory); cd "
                           "to one that is there\n")


def test_a_file_is_read_once(space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan keeps the text that was checked: a pipe has no second one, and a person may save another meanwhile."""
    monkeypatch.setattr("study.show.plan.show", lambda plan, spec, console: kept.append(plan.space.text))
    kept: list[str] = []
    fifo = tmp_path / "pipe.yaml"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_text, args=(SPEC,), daemon=True)
    writer.start()
    assert main(["--space", str(fifo), "--dry-run"]) == 0
    assert kept == [SPEC]
