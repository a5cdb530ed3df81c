"""Whole launches with Ray: interrupted, continued, repeated; a killed worker; a unit that fails for good."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from study.show import command
from tests.study.launching import below, done, launch, workers

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


def test_interrupted_then_continued_then_nothing_to_do(folder: Path) -> None:
    def interrupt(line: str, pid: int) -> None:
        if line.startswith("[3/"):
            os.killpg(pid, signal.SIGINT)

    def kill_a_worker(line: str, pid: int) -> None:
        if line.startswith("[1/"):
            assert not any(name in command for command in below(pid).values() for name in ("monitor.py", "ray::IDLE"))
            assert b"OMP_NUM_THREADS=1\0" in Path(f"/proc/{workers(pid)[0]}/environ").read_bytes()
            os.kill(workers(pid)[0], signal.SIGKILL)

    code, lines = launch(on_line=interrupt)
    assert code == 130
    assert lines[-1] == f"interrupted; to continue: {command.python()} -m study.launch --space tiny.yaml"
    assert sum(line.startswith("stopping; ") for line in lines) == 1
    first = {path: path.stat().st_mtime_ns for path in done(folder)}
    assert 3 <= len(first) < UNITS

    code, lines = launch(on_line=kill_a_worker)
    assert code == 0, "\n".join(lines)
    assert any("it goes on in a new worker" in line for line in lines)
    assert not any("(raylet)" in line for line in lines)
    assert lines[-3].startswith(f"{command.mlflow()} ui   # then open http://127.0.0.1:5000/#/experiments/1/runs?")
    assert lines[-2:] == [f"{command.report()} --study tiny", f"{command.module('study.sample')} --study tiny"]
    assert len(done(folder)) == UNITS
    assert {path: path.stat().st_mtime_ns for path in first} == first  # what was finished was left alone
    journals = [json.loads(path.read_text())["entries"] for path in folder.glob("runs/tiny/search/*/*.json")]
    assert [[entry["state"] for entry in journal] for journal in journals] == [["told"] * 2] * 2
    trials = runs("trial")
    assert list(trials.values()) == ["FINISHED"] * UNITS
    assert sorted(runs("launch").values()) == ["FINISHED", "KILLED"]
    assert len(runs("replicate")) == 2 * UNITS

    code, lines = launch()
    assert code == 0
    assert f"{UNITS} units of work are finished, 0 are left" in lines
    assert not any(line.startswith("[") for line in lines)
    assert runs("trial") == trials


def test_termination_stops_in_order_and_says_how_to_continue(folder: Path) -> None:
    def terminate(line: str, pid: int) -> None:
        if line.startswith("[1/"):
            os.killpg(pid, signal.SIGTERM)  # as `timeout` and schedulers do: to Ray's processes, too, were they in it

    code, lines = launch("--set", "search=null", "--set", "confirm=null", on_line=terminate)
    assert code == 130, "\n".join(lines)
    assert lines[-1] == (f"interrupted; to continue: {command.python()} -m study.launch --space tiny.yaml "
                         "--set search=null --set confirm=null")
    assert sum(line.startswith("stopping; ") for line in lines) == 1
    assert 1 <= len(done(folder)) < 4 and list(runs("launch").values()) == ["KILLED"]


def test_a_cluster_that_cannot_be_joined_is_refused(folder: Path) -> None:
    """Nor is that of another launch on this machine."""
    code, lines = launch("--address", "auto")
    assert code == 2 and lines[-1].startswith("--address auto: "), "\n".join(lines)
    assert runs("launch") == {} and done(folder) == []


def test_a_unit_that_always_fails_is_named_and_the_rest_is_done(folder: Path) -> None:
    from models.data.load import load as load_data
    from study.plan.identity import config_hash
    from study.plan.space import design_configurations
    from study.spec import load

    words = ("--set", "search=null", "--set", "confirm=null", "--set", "train.updates=20")
    spec = load("tiny.yaml", [word for word in words if word != "--set"])
    bad = config_hash(design_configurations(spec)[0], load_data("moons").content_hash)
    (folder / "runs/tiny").mkdir(parents=True)
    (folder / "runs/tiny" / bad).write_text("a file where the unit's directory belongs")

    code, lines = launch(*words)
    assert code == 1
    lost = [line for line in lines if line.startswith("lost: design ")]
    assert lost and all(bad in line for line in lost)
    assert len(done(folder)) == 3

    (folder / "runs/tiny" / bad).unlink()
    code, lines = launch(*words)
    assert code == 0 and len(done(folder)) == 4
    assert "3 units of work are finished, 1 are left" in lines


def test_workers_that_ray_stops_for_memory_run_again_alone_then_are_named(folder: Path) -> None:
    """Ray's memory monitor, told that 1 % is too much, stops every worker. With enough memory the study finishes."""
    settings = "method=kl", "design.step_size=0.05", "search.trials=1", "confirm=null"
    words = [word for one in settings for word in ("--set", one)]
    low = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "50"}
    code, lines = launch(*words, environment=low)
    assert code == 1, "\n".join(lines)
    assert sum("out of memory; it runs again at the end, with a node for itself" in line for line in lines) == 2
    lost = [line for line in lines if line.startswith("lost: ") and line.endswith("out of memory")]
    assert len(lost) == 2 * 2, "each is told when it happens, and at the end"
    assert done(folder) == [] and list(runs("trial").values()) == ["FAILED"] * 2
    code, lines = launch(*words)
    assert code == 0 and len(done(folder)) == 2 and list(runs("trial").values()) == ["FINISHED"] * 2
