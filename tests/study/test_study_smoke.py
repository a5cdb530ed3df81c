"""Whole launches with Ray: interrupted, continued; a unit that fails for good; too little memory."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from study.launch import main
from study.show import command
from tests.faults.in_process import Round, restart
from tests.study.launching import done, launch, workers
from tests.study.test_launch_whole import without_ray

pytestmark = [pytest.mark.slow,
              pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]  # MLflow's own use of SQLAlchemy

SPEC = """\
study: tiny
data: moons
method: [kl, jko]
train: {updates: 120, batch_size: 16, width: 4, particles: 64, mcmc_steps: 3}
design:
  replicates: 2
  step_size: [0.05, 1.5]
search:
  replicates: 2
  trials: 2
  equal: trials
  space:
    step_size: {log: [0.02, 0.5]}
confirm: {top: 1, replicates: 2}
evaluation: {points: 6, samples: 64, long_run: 2}
"""
UNITS = 4 + 4 + 2
# For Ray's memory monitor, which then stops every worker.
LITTLE_MEMORY = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "50"}


def runs(kind: str) -> dict[str, str]:
    """Name -> status of the runs of a kind that MLflow shows."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db")  # MLflow keeps one engine for each URI, so not relative
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.kind = '{kind}'")
    return {f"{run.info.run_name} {run.info.run_id}": run.info.status for run in found}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory and an environment with much in them that is not ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "tiny.yaml").write_text(SPEC)
    for name in ("models", "elsewhere/models", "temporary" + 40 * "y"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("queue.py", "random.py", "timeit.py", "elsewhere/models/__init__.py"):
        (tmp_path / name).write_text("raise SystemExit('not ours')")
    for variable, value in (("PYTHONPATH", "elsewhere"), ("TMPDIR", "temporary" + 40 * "y"), ("OMP_NUM_THREADS", "3")):
        monkeypatch.setenv(variable, value)
    return tmp_path


def interrupt(line: str, pid: int) -> None:
    if line.startswith("[1/"):
        assert b"OMP_NUM_THREADS=1\0" in Path(f"/proc/{workers(pid)[0]}/environ").read_bytes()
    if line.startswith("[3/"):
        os.killpg(pid, signal.SIGINT)


def test_a_study_to_which_one_thing_after_the_other_happens_is_finished_in_the_end(
        folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C; a unit that always fails; then too little memory for that one."""
    bad = folder_of_the_last_design_unit(folder)
    bad.parent.mkdir(parents=True)
    bad.write_text("a file where the unit's directory belongs")
    code, lines = launch(on_line=interrupt)
    assert code == 130
    assert lines[-1] == f"interrupted; to continue: {command.python()} -m study.launch --space tiny.yaml"
    assert sum(line.startswith("stopping; ") for line in lines) == 1
    first = {path: path.stat().st_mtime_ns for path in done(folder)}
    assert 3 <= len(first) < UNITS - 1

    code, lines = launch("--max-concurrent", "1")
    assert code == 1, "\n".join(lines)
    lost = [line for line in lines if line.startswith("lost: design ")]
    assert lost and all(bad.name in line for line in lost)
    assert len(done(folder)) == UNITS - 1

    bad.unlink()
    code, lines = launch(environment=LITTLE_MEMORY)
    assert code == 1, "\n".join(lines)
    assert sum("out of memory; it runs again at the end, with a node for itself" in line for line in lines) == 1
    lost = [line for line in lines if line.startswith("lost: ") and line.endswith("out of memory")]
    assert len(lost) == 2, "it is told when it happens, and at the end"
    assert sorted(runs("trial").values()) == ["FAILED", *["FINISHED"] * (UNITS - 1)]

    without_ray(folder, monkeypatch)
    restart(monkeypatch, Round())
    assert main(["--space", "tiny.yaml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("[") for line in lines) == 1, "all others were finished"
    assert lines[-3].startswith(f"{command.mlflow()} ui   # then open http://127.0.0.1:5000/#/experiments/1/runs?")
    assert lines[-2:] == [f"{command.report()} --study tiny", f"{command.module('study.sample')} --study tiny"]
    assert len(done(folder)) == UNITS
    assert {path: path.stat().st_mtime_ns for path in first} == first  # what was finished was left alone
    journals = [json.loads(path.read_text())["entries"] for path in folder.glob("runs/tiny/search/*/*.json")]
    assert [[entry["state"] for entry in journal] for journal in journals] == [["told"] * 2] * 2
    assert list(runs("trial").values()) == ["FINISHED"] * UNITS and len(runs("replicate")) == 2 * UNITS
    assert sorted(runs("launch").values()) == ["FAILED", "FAILED", "FINISHED", "KILLED"]


def folder_of_the_last_design_unit(folder: Path) -> Path:
    from models.data.load import load as load_data
    from study.plan.identity import config_hash
    from study.plan.space import design_configurations
    from study.spec import load

    configuration = design_configurations(load("tiny.yaml", []))[-1]
    return folder / "runs/tiny" / config_hash(configuration, load_data("moons").content_hash)


def test_a_cluster_that_cannot_be_joined_is_refused(folder: Path) -> None:
    """Nor is that of another launch on this machine."""
    code, lines = launch("--address", "auto")
    assert code == 2 and lines[-1].startswith("--address auto: "), "\n".join(lines)
    assert runs("launch") == {} and done(folder) == []
