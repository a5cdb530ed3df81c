"""MLflow fed from storage: what is shown, how it is found again, and that an interrupted job leaves no trace."""

from __future__ import annotations

import json
import math
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
from scipy import stats

from models.methods.kl import KLKnobs
from study.provenance import Provenance
from study.schema.counted import Counted
from study.schema.manifest import Manifest, Status
from study.schema.plan import PlannedData
from study.schema.unit import Evaluation, Unit
from study.show.tracking import Tracking, TrackingError, experiment
from study.show.tracking.experiment import metric
from study.show.tracking.view import query, shared_view
from study.store.records import records
from study.store.units import Store
from tests.configurations import plan as a_plan
from tests.configurations import unit as unit_of
from tests.stores import template

pytestmark = pytest.mark.filterwarnings(  # MLflow's own use of SQLAlchemy
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")
PROVENANCE = Provenance("c0ffee", True, "+a\n", "numpy==2\n", "here")
PLAN: dict[str, Any] = {"study": "jko", "cells": []}
KID = "kid_clf64_256"
HERE = "host:/runs"


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)  # where MLflow puts artifacts
    return f"sqlite:///{shutil.copy(template(), tmp_path / 'mlflow.db')}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "runs"), "jko")


def planned_unit(seeds: tuple[int, ...] = (0, 1, 2), config_hash: str = "abc123", phase: str = "design",
                 step_size: float = 0.12) -> Unit:
    return unit_of(seeds, config_hash, phase=phase, method="jko", data={"name": "digits", "size": 8},
                   evaluation=Evaluation(3, 256, 10, "search"), step_size=step_size, mcmc_steps=20, beta=None)


def finished_unit(store: Store, seeds: tuple[int, ...] = (0, 1, 2), diverged: tuple[int, ...] = (),
                  config_hash: str = "abc123", phase: str = "design", step_size: float = 0.12,
                  flags: str | None = None) -> Unit:
    """Write what a worker leaves: three records a replicate; a diverged one stops after its first. flags: of the
    others, which are stable; None: nothing but divergence was judged."""
    unit = planned_unit(seeds, config_hash, phase, step_size)
    rows: list[dict[str, Any]] = []
    alive = "survived" if flags is None else "stable"
    for seed in seeds:
        dead = seed in diverged
        rows += [{"seed": seed, "stage": "train", "update": u, "gap": 0.1 * seed + u, KID: u / (seed + 1),
                  "penalty": 3.0, "wall_seconds": u / 10, "particle_gradients": 100.0 * u}
                 for u in ([10] if dead else [10, 20, 30])]
        rows += [{"seed": seed, "stage": "final", "update": 12 if dead else 30, "wall_seconds": 3.5, "cpu_seconds": 1.0,
                  "particle_gradients": 1200.0 if dead else 3000.0, "verdict": "diverged" if dead else alive,
                  "flags": None if dead else flags, "reason": "masked" if dead else None,
                  "diverged_at": 12 if dead else None} | ({} if dead else {KID: float(np.sin(seed))})]
        if not dead:
            store.write(f"{unit.key}/samples_{seed}.png", b"png of %d" % seed)
    store.write(f"{unit.key}/records.parquet", records(rows))
    status: Status = "diverged" if set(diverged) >= set(seeds) else "finished"
    store.write_done(unit, Manifest(status=status, primary=KID, started=1000.0, ended=1004.25, commit="c0ffee",
                                      rungs={10: 0.5, 30: 0.25}))
    return unit


def show(tracking: Tracking, store: Store, unit: Unit) -> None:
    """With all that the storage has of its configuration."""
    tracking.show(store, [one for one in store.done_units() if one[0].config_hash == unit.config_hash])


def runs(tracking: Tracking, kind: str) -> list[Any]:
    return sorted(tracking.search(f"tags.kind = '{kind}'"), key=lambda run: run.data.tags.get("seed", ""))


DATA = PlannedData(name="digits", shape=[1, 8, 8], content_hash="0123456789abcdef", n={"train": 1000})


def snapshot(tracking: Tracking) -> list[Any]:
    """Everything that MLflow holds of the experiment, without the ids that it makes up."""
    found = []
    for run in [*runs(tracking, "trial"), *runs(tracking, "replicate")]:
        identity = run.info.run_id
        tags = {k: v for k, v in run.data.tags.items() if k not in ("mlflow.parentRunId", "study")}
        curves = run.data.metrics if run.data.tags["kind"] == "replicate" else ()  # an aggregate is what it is now
        history = {key: [(m.step, m.timestamp, m.value) for m in tracking._client.get_metric_history(identity, key)]
                   for key in curves}
        paths = [*tracking.artifacts(identity, ""), *tracking.artifacts(identity, "records")]
        artifacts = {path: tracking.read_artifact(identity, path) for path in paths if "." in path}
        inputs = [(one.dataset.to_dictionary(), [tag.value for tag in one.tags]) for one in run.inputs.dataset_inputs]
        found.append((tags, history, run.data.metrics, run.data.params, artifacts, run.info.status, inputs,
                      run.info.start_time, run.info.end_time, run.info.run_name))
    return found


def test_trial_shows_means_with_t_intervals_over_survivors(uri: str, store: Store) -> None:
    tracking = Tracking(uri, "jko", "v1", ("step_size", "mcmc_steps"))
    show(tracking, store, finished_unit(store, (0, 1, 2, 3), diverged=(2,)))
    [trial] = runs(tracking, "trial")
    values = np.sin([0, 1, 3])
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    measured = trial.data.metrics
    assert [measured[KID + end] for end in ("", "_low", "_high")] == pytest.approx([values.mean(), low, high])
    assert (measured["replicates"], measured["diverged"]) == (4, 1)
    assert (measured["wall_seconds"], measured["cpu_seconds"], measured["particle_gradients"]) == (3.5, 1, 3000)
    spent = [measured[f"spent_{cost}"] for cost in ("wall_seconds", "cpu_seconds", "particle_gradients")]
    assert spent == [3.5, 4, 3 * 3000 + 1200] and "particle_gradients_low" not in measured
    assert trial.info.run_name == "δ 0.12 T 20 jko · diverged 1/4" and trial.info.status == "FINISHED"
    assert trial.data.params["step_size"] == "0.12" and trial.data.params["data.name"] == "digits"
    tags = trial.data.tags
    expected = {"kind": "trial", "study": "jko", "study_version": "v1", "config_hash": "abc123", "method": "jko",
                "arm": "jko", "phase": "design", "status": "finished", "seeds": "0-3", "complete": "true",
                "commit": "c0ffee"}
    assert {key: tags[key] for key in expected} == expected and "rungs" not in tags
    assert tracking.artifacts(trial.info.run_id, "records") == ["records/0-3.parquet"]


def test_replicates_are_nested_with_curves_at_recorded_times(uri: str, store: Store) -> None:
    tracking = Tracking(uri, "jko", "v1")
    show(tracking, store, finished_unit(store, (4, 5), diverged=(5,)))
    [trial], (lived, dead) = runs(tracking, "trial"), runs(tracking, "replicate")
    for run in (lived, dead):
        assert run.data.tags["mlflow.parentRunId"] == trial.info.run_id and len(run.data.metrics) <= 8
    history = tracking._client.get_metric_history(lived.info.run_id, KID)
    assert [(m.step, m.timestamp, m.value) for m in history] == [(10, 1001000, 2), (20, 1002000, 4), (30, 1003000, 6)]
    assert (lived.info.start_time, lived.info.end_time) == (1000000, 1003500)
    assert (lived.data.tags["verdict"], dead.data.tags["verdict"]) == ("survived", "diverged")
    assert "penalty" not in lived.data.metrics, "not one of the curves"
    assert tracking.read_artifact(lived.info.run_id, "samples_4.png") == b"png of 4"
    assert tracking.artifacts(dead.info.run_id, "") == []


def test_a_verdict_stands_with_its_flags_in_mlflow(uri: str, store: Store) -> None:
    """A sheet of noise must not be under `stable` alone; the trial counts both."""
    tracking = Tracking(uri, "jko", "v1")
    show(tracking, store, finished_unit(store, (4, 5, 6), diverged=(5,), flags="poor quality, kappa > 2"))
    [trial], (lived, dead, _) = runs(tracking, "trial"), runs(tracking, "replicate")
    assert (lived.data.tags["verdict"], lived.data.tags["flags"]) == ("stable", "poor quality, kappa > 2")
    assert "flags" not in dead.data.tags
    assert "Seed 4: stable; poor quality, kappa > 2." in lived.data.tags["mlflow.note.content"]
    assert "Seed 5: diverged; masked." in dead.data.tags["mlflow.note.content"]
    assert trial.data.tags["verdicts"] == "2 stable; kappa > 2 (2); poor quality (2)"
    assert trial.data.tags["verdicts"] in trial.data.tags["mlflow.note.content"]


class Interrupted(Exception):
    """Stands for a kill, or a server that goes away."""


class Faulty:
    """An MLflow client that fails at its n-th call, after the call took effect; of log_batch all but the tags did.

    To fail before the call is to fail after the one before it.
    """

    def __init__(self, client: Any, at: int) -> None:
        self.client, self.left = client, at

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left < 0 and name == "log_batch":
                args = args[:3]
            result = getattr(self.client, name)(*args, **kwargs)
            if self.left < 0:
                raise Interrupted
            return result
        return call


@pytest.mark.parametrize("stride", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_a_job_interrupted_at_any_call_then_repeated_equals_an_undisturbed_one(
        uri: str, store: Store, stride: int) -> None:
    units = [finished_unit(store, (0,)), finished_unit(store, (1,), diverged=(1,))]
    whole = Tracking(uri, "whole", "v1", data=DATA)
    show(whole, store, units[0])
    expected = snapshot(whole)
    assert len(expected) == 3
    [(said, context)], *none = [inputs for _, _, _, _, _, _, inputs, *_ in expected]
    assert (said["name"], said["digest"], context) == ("digits", "0123456789ab", ["training"]) and none == [[], []]
    assert expected[0][0]["mlflow.source.name"] == "study.launch" and expected[0][0]["mlflow.user"]
    for at in range(0, 1000, stride):
        broken = Tracking(uri, f"broken at {at}", "v1", data=DATA)
        broken._client = Faulty(broken._client, at)
        try:
            show(broken, store, units[0])
        except Interrupted:
            again = Tracking(uri, f"broken at {at}", "v1", data=DATA)
            show(again, store, units[0])
            assert snapshot(again) == expected, f"call {at}"
        else:
            break
    assert at > 15, "the jobs were interrupted at each of their calls"


def test_more_seeds_join_the_trial(uri: str, store: Store) -> None:
    tracking = Tracking(uri, "jko", "v1")
    show(tracking, store, finished_unit(store, (0, 1)))
    show(tracking, store, finished_unit(store, (2, 3, 4), diverged=(2,)))
    [trial] = runs(tracking, "trial")
    assert trial.data.tags["seeds"] == "0-1,2-4" and trial.data.tags["status"] == "finished"
    assert (trial.data.metrics["replicates"], trial.data.metrics["diverged"]) == (5, 1)
    assert trial.data.metrics[KID] == pytest.approx(np.sin([0, 1, 3, 4]).mean()), "lower than before, and the latest"
    assert (trial.data.metrics["wall_seconds"], trial.data.metrics["spent_wall_seconds"]) == (3.5, 7)
    assert tracking.shown()["abc123"].blocks == [(0, 1), (2, 3, 4)] and len(runs(tracking, "replicate")) == 5


def test_what_the_storage_has_no_more_stays_and_is_not_counted(uri: str, store: Store, tmp_path: Path) -> None:
    tracking = Tracking(uri, "jko", "v1")
    show(tracking, store, finished_unit(store, (0, 1)))
    shutil.rmtree(tmp_path / "runs")
    show(tracking, store, finished_unit(store, (2,)))
    [trial] = runs(tracking, "trial")
    assert trial.data.tags["seeds"] == "2-2" and trial.data.metrics["replicates"] == 1, "fewer, and the latest"
    kept = {f"{folder}/{name}" for folder, name in (
        ("records", "0-1.parquet"), ("records", "2-2.parquet"), ("units", "0-1.json"), ("units", "2-2.json"))}
    assert {path for folder in ("records", "units") for path in tracking.artifacts(trial.info.run_id, folder)} == kept
    assert len(runs(tracking, "replicate")) == 3


def test_seeds_that_were_trained_again_are_shown_once_as_they_are_now(uri: str, store: Store) -> None:
    """Their curves cannot be taken back; a run of the same content is left alone."""
    tracking = Tracking(uri, "jko", "v1")
    show(tracking, store, finished_unit(store, (0, 1)))
    show(tracking, store, finished_unit(store, (2,)))
    before = {run.data.tags["seed"]: run.info.run_id for run in runs(tracking, "replicate")}
    show(Tracking(uri, "jko", "v1"), store, finished_unit(store, (0, 1), diverged=(1,)))
    after = {run.data.tags["seed"]: run.info.run_id for run in runs(tracking, "replicate")}
    assert {seed for seed in after if after[seed] != before[seed]} == {"0", "1"} and len(after) == 3
    [trial] = runs(tracking, "trial")
    assert (trial.data.metrics["replicates"], trial.data.metrics["diverged"]) == (3, 1)
    [dead] = [run for run in runs(tracking, "replicate") if run.data.tags["verdict"] == "diverged"]
    assert [m.step for m in tracking._client.get_metric_history(dead.info.run_id, KID)] == [10]


def test_what_is_up_to_date_costs_no_request(uri: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relaunch asks once for all trials, however many they are."""
    units = [finished_unit(store, (0,), config_hash=f"hash{i}", step_size=i / 10) for i in range(1, 4)]
    for unit in units:
        show(Tracking(uri, "jko", "v1"), store, unit)
    again, asked = Tracking(uri, "jko", "v2"), []
    monkeypatch.setattr(again, "search", lambda condition: asked.append(condition) or Tracking.search(again, condition))
    for unit in units:
        show(again, store, unit)
    assert asked == ["tags.kind = 'trial' and tags.complete = 'true'"]


def test_seed_in_two_blocks_counts_once(uri: str, store: Store) -> None:
    tracking = Tracking(uri, "jko", "v1")
    for seeds in ((0, 1), (0, 1, 2)):
        show(tracking, store, finished_unit(store, seeds))
    [trial] = runs(tracking, "trial")
    assert trial.data.metrics["replicates"] == 3 and len(runs(tracking, "replicate")) == 3


def test_what_is_shown_is_read_on_every_page_and_of_every_version(
        uri: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "PAGE", 2)
    units = [finished_unit(store, config_hash=f"hash{i}", phase="search", step_size=i / 10) for i in range(1, 7)]
    tracking = Tracking(uri, "jko", "v1")
    for unit in units[:5]:
        show(tracking, store, unit)
    shown = Tracking(uri, "jko", "v2").shown()
    assert [*shown] != [] and {*shown} == {unit.config_hash for unit in units[:5]}
    assert shown["hash3"].knobs == units[2].configuration.knobs and shown["hash3"].versions == ["v1"]


def searched_unit(store: Store, rungs: dict[int, float], commit: str = "c0ffee", seeds: tuple[int, ...] = (0, 1, 2),
                  ) -> Unit:
    """A finished unit of a search."""
    unit = finished_unit(store, seeds, phase="search")
    manifest = store.done(unit)
    assert manifest is not None
    store.write_done(unit, manifest.model_copy(update={"rungs": rungs, "commit": commit}))
    return unit


def test_a_trial_names_the_commits_of_all_its_blocks_and_a_replicate_its_own(uri: str, store: Store) -> None:
    tracking = Tracking(uri, "jko", "v1")
    for seeds, commit in (((0,), "b" * 40), ((1,), "a" * 40), ((2,), "b" * 40)):
        show(tracking, store, searched_unit(store, {}, commit, seeds))
    [trial] = runs(tracking, "trial")
    assert trial.data.tags["commit"] == ",".join(["a" * 40, "b" * 40])
    assert [run.data.tags["commit"][0] for run in runs(tracking, "replicate")] == ["b", "a", "b"]


def test_all_diverged_has_counts_and_no_measure(uri: str, store: Store) -> None:
    tracking = Tracking(uri, "jko", "v1")
    show(tracking, store, finished_unit(store, (0, 1), diverged=(0, 1)))
    [trial] = runs(tracking, "trial")
    assert trial.data.tags["status"] == "diverged" and trial.data.metrics["diverged"] == 2
    assert KID not in trial.data.metrics
    assert all(map(math.isfinite, trial.data.metrics.values()))


def test_pruned_unit_is_finished_and_has_no_replicates(uri: str, store: Store) -> None:
    unit = unit_of((1000, 1001), "fff", phase="search")
    store.write_done(unit, Manifest(status="pruned", rungs={10: 2.5}))
    tracking = Tracking(uri, "jko", "v1")
    show(tracking, store, unit)
    [trial] = runs(tracking, "trial")
    assert (trial.data.tags["status"], trial.data.tags["last_rung"]) == ("pruned", "10")
    assert runs(tracking, "replicate") == []
    each = KLKnobs().gradients_until(1) * KLKnobs().updates
    assert trial.data.tags["replicate_gradients"] == str(each)  # what one replicate would have cost to its end


def test_lost_unit_is_shown_and_not_finished_until_it_is(uri: str, store: Store) -> None:
    tracking = Tracking(uri, "jko", "v1")
    unit = finished_unit(store)
    tracking.mark(unit, "crashed", "ValueError: no")
    [trial] = runs(tracking, "trial")
    assert (trial.data.tags["status"], trial.info.status) == ("crashed", "FAILED")
    assert Tracking(uri, "jko", "v1").shown() == {}
    assert "crashed. ValueError: no" in trial.data.tags["mlflow.note.content"]
    show(tracking, store, unit)
    tracking.mark(unit, "interrupted")
    [trial] = runs(tracking, "trial")
    assert (trial.data.tags["status"], trial.info.status) == ("finished", "FINISHED")
    assert "crashed" not in trial.data.tags["mlflow.note.content"]


def test_metrics_of_a_trial_are_over_the_seeds_of_the_plan(uri: str, store: Store) -> None:
    """Its seeds moved from 0-3 to 3-5: three are trained, one counts on, three are left out."""
    show(Tracking(uri, "jko", "v1", seeds={"design": range(4)}), store, finished_unit(store, (0, 1, 2, 3)))
    show(Tracking(uri, "jko", "v1", seeds={"design": range(3, 6)}), store,
             finished_unit(store, (4, 5), diverged=(4,)))
    [trial] = runs(Tracking(uri, "jko", "v1"), "trial")
    assert (trial.data.metrics["replicates"], trial.data.metrics["diverged"]) == (3, 1)
    assert trial.data.metrics[KID] == pytest.approx(np.sin([3, 5]).mean())
    assert trial.data.tags["seeds"] == "0-3,4-5"
    fewer = Tracking(uri, "jko", "v1", seeds={"design": range(2)})
    show(fewer, store, planned_unit())
    assert runs(fewer, "trial")[0].data.metrics["replicates"] == 2, "though no unit has changed"


def test_the_printed_link_opens_a_view_that_the_launch_leaves(uri: str) -> None:
    plan = a_plan(planned={phase: {"configurations": 1, "replicates": 1} for phase in ("design", "confirm")})
    tracking = Tracking(uri, "jko", "v1")
    tracking.start_launch("", PLAN, PROVENANCE, HERE, view=shared_view(plan))
    [key] = parse_qs(query(plan))["viewStateShareKey"]
    view = json.loads(tracking._ask("get_experiment", tracking.experiment_id).tags[f"mlflow.sharedViewState.{key}"])
    assert view["searchFilter"] == "tags.kind = 'trial' and tags.phase = 'confirm'"
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`kid`", True)
    assert {"metrics.`kid`", "metrics.`diverged`", "tags.`arm`", *(f"params.`{knob}`" for knob in plan.factors)} < {
        *view["selectedColumns"]}
    shown = [name for name in ("kid", "kid_low", "diverged", "kappa") if re.search(view["chartsSearchFilter"], name)]
    assert shown == ["kid", "diverged", "kappa"]


def test_launch_run_holds_the_inputs_and_a_dead_one_is_closed(uri: str) -> None:
    Tracking(uri, "jko", "v1").start_launch("study: jko\n", PLAN, PROVENANCE, HERE)
    tracking = Tracking(uri, "jko", "v1")
    tracking.start_launch("study: jko\n", PLAN, PROVENANCE, HERE)
    tracking.update_launch({"units_done": 0, "units_total": 2})
    tracking.end_launch("finished", {"units_done": 2})
    dead, ended = sorted(runs(tracking, "launch"), key=lambda run: run.info.status, reverse=True)
    assert (dead.info.status, ended.info.status) == ("KILLED", "FINISHED")
    assert ended.data.metrics == {"units_done": 2, "units_total": 2}
    assert ended.data.tags["dirty"] == "true" and ended.data.tags["commit"] == "c0ffee"
    names = {"spec.yaml", "plan.json", "pip-freeze.txt", "git.diff"}
    assert set(tracking.artifacts(ended.info.run_id, "")) == names
    assert tracking.read_artifact(ended.info.run_id, "spec.yaml") == b"study: jko\n"


def test_the_machine_s_load_is_logged_where_mlflow_s_variable_asks_for_it(
        uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    tracking = Tracking(uri, "jko", "v1")
    tracking.start_launch("", PLAN, PROVENANCE, HERE)
    time.sleep(0.5)
    tracking.end_launch("finished", {"units_done": 2})
    [launch] = runs(tracking, "launch")
    assert launch.info.status == "FINISHED" and launch.data.metrics["units_done"] == 2
    assert 0 < launch.data.metrics["system/system_memory_usage_percentage"] < 100
    assert "SystemMetricsMonitor" not in [thread.name for thread in threading.enumerate()]


def test_what_counts_is_told_to_the_run_that_is_kept(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two runs that were made of one launch the other may have had it."""
    tracking, counted = Tracking(uri, "jko", "v1"), Counted({"a": "x"})
    with monkeypatch.context() as patch:
        patch.setattr(Tracking, "log", lambda *words: (_ for _ in ()).throw(OSError("no answer")))
        with pytest.raises(TrackingError):
            tracking.start_launch("", PLAN, PROVENANCE, HERE, counted=counted)
    [first] = runs(tracking, "launch")
    tracking._client.delete_run(first.info.run_id)
    tracking.start_launch("", PLAN, PROVENANCE, HERE, counted=counted)
    [kept] = runs(tracking, "launch")
    assert json.loads(tracking.read_artifact(kept.info.run_id, "counted.json"))["arms"] == {"a": "x"}


def test_launch_of_another_storage_may_live_and_is_left_alone(uri: str, caplog: pytest.LogCaptureFixture) -> None:
    """Only the study's lock says that the others have died, and a lock holds for one storage."""
    for storage in (HERE, "s3://elsewhere", HERE):
        Tracking(uri, "jko", "v1").start_launch("", PLAN, PROVENANCE, storage)
    found = runs(Tracking(uri, "jko", "v1"), "launch")
    assert sorted((run.data.tags["storage"], run.info.status) for run in found) == [
        (HERE, "KILLED"), (HERE, "RUNNING"), ("s3://elsewhere", "RUNNING")]
    first, second = caplog.messages
    assert f"another storage, {HERE}, has a launch" in first and "another storage, s3://elsewhere, has" in second


def test_launch_of_the_same_storage_by_another_name_has_died(uri: str, caplog: pytest.LogCaptureFixture) -> None:
    Tracking(uri, "jko", "v1").start_launch("", PLAN, PROVENANCE, "host:/a")
    Tracking(uri, "jko", "v1").start_launch("", PLAN, PROVENANCE, "file:///a", None, ["host:/a", "file:///a"])
    found = runs(Tracking(uri, "jko", "v1"), "launch")
    assert sorted((run.data.tags["storage"], run.info.status) for run in found) == [
        ("file:///a", "RUNNING"), ("host:/a", "KILLED")]
    assert not caplog.messages


def test_replicates_of_a_trial_that_was_deleted_by_hand_join_the_new_one(uri: str, store: Store) -> None:
    tracking, unit = Tracking(uri, "jko", "v1"), finished_unit(store, (0, 1))
    show(tracking, store, unit)
    tracking._client.delete_run(runs(tracking, "trial")[0].info.run_id)
    show(Tracking(uri, "jko", "v1"), store, unit)
    [trial] = runs(tracking, "trial")
    assert [run.data.tags["mlflow.parentRunId"] for run in runs(tracking, "replicate")] == [trial.info.run_id] * 2


def test_reading_an_artifact_draws_no_bar(uri: str, store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    tracking = Tracking(uri, "jko", "v1")
    show(tracking, store, finished_unit(store))
    capfd.readouterr()
    assert tracking.read_artifact(runs(tracking, "trial")[0].info.run_id, "records/0-2.parquet")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_what_is_not_finite_never_reaches_mlflow(value: float) -> None:
    with pytest.raises(AssertionError, match="kappa"):
        metric("kappa", value, 0, 0)
