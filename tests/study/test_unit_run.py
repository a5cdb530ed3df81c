"""One unit of work: what it writes, how it resumes, and that nothing outlives it."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image

import models.measures.evaluation
from models.stability.verdict import VERDICTS
from models.training import fit as training
from models.training.step import init_state, train_step
from study.run import unit_run as trial
from study.run.unit_run import UnitRun, evaluation_points
from study.schema.columns import LIMITS
from study.schema.unit import Evaluation, Unit
from study.store.aggregates import aggregates
from study.store.records import records
from study.store.sheet import sheet
from study.store.units import Store
from tests import configurations

KNOBS = {"updates": 9, "batch_size": 8, "width": 1, "step_size": 0.1, "mcmc_steps": 2, "particles": 16}
PRIMARY = "energy_distance_16"
CLOCKS = ("wall_seconds", "cpu_seconds", "long_run_seconds")


def unit(seeds: tuple[int, ...] = (0, 1), method: str = "jko", data: str = "rings", size: int | None = None,
         points: int = 3, **knobs: Any) -> Unit:
    return configurations.unit(seeds, "abc123", method=method, data={"name": data, "size": size},
                               evaluation=Evaluation(points, 16, 2, "search"), **KNOBS | knobs)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "runs"), "jko")


@pytest.fixture
def saves_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(trial, "CHECKPOINT_SHARE", 0)


def run(one: UnitRun) -> list[dict[str, Any]]:
    reports = [one.advance()]
    while not reports[-1]["done"]:
        reports.append(one.advance())
    return reports


def rows(store: Store, one: Unit, without: tuple[str, ...] = CLOCKS) -> list[dict[str, Any]]:
    manifest = store.done(one)
    assert manifest is not None
    table = pyarrow.parquet.read_table(io.BytesIO(store.read_verified(one, "records.parquet", manifest)))
    return [{k: v for k, v in row.items() if k not in without} for row in table.to_pylist()]


def test_unit_leaves_records_sheets_and_a_manifest(store: Store) -> None:
    reports = run(UnitRun(unit(), store))
    assert [(r["update"], r["status"], r["done"]) for r in reports] == [
        (3, "running", False), (6, "running", False), (9, "finished", True)]
    written = rows(store, unit(), ())
    assert [(r["seed"], r["stage"], r["update"]) for r in written] == [
        (s, "train", u) for u in (3, 6, 9) for s in (0, 1)] + [(s, "final", 9) for s in (0, 1)]
    final = [r for r in written if r["stage"] == "final"]
    assert all(r["verdict"] == "survived" and r["diverged_at"] is None and r["kl_grid"] is not None for r in final)
    assert reports[-1][PRIMARY] == pytest.approx(np.mean([r[PRIMARY] for r in final]))
    assert written[0]["wall_seconds"] < written[-1]["wall_seconds"] and written[0][f"{PRIMARY}_long"] is None
    # Two Langevin steps, a data point and a negative for f, and JKO's double backward, of 8 particles: E6.
    assert [r["particle_gradients"] for r in written[::2]] == [3 * 7 * 8, 6 * 7 * 8, 9 * 7 * 8, 9 * 7 * 8]
    manifest = store.done(unit())
    assert manifest is not None and manifest.status == "finished" and manifest.primary == PRIMARY
    assert set(manifest.files) == {"config.json", "records.parquet", "samples_0.png", "samples_1.png"}
    assert manifest.rungs == {r["update"]: r[PRIMARY] for r in reports}
    assert manifest.started < manifest.ended


def test_a_final_record_holds_the_gauge_the_predicted_limits_and_the_long_run_s_time(store: Store) -> None:
    one = unit()
    run(UnitRun(one, store, limits={"delta_min": 0.07, "delta_min_low": 0.06, "delta_med": None}))
    written = rows(store, one, ())
    last = {r["seed"]: r["kappa"] for r in written if r["stage"] == "train" and r["update"] == 9}
    for final in (r for r in written if r["stage"] == "final"):
        assert [final[name] for name in LIMITS] == [0.07, 0.06, None, None, None, None]  # None: no finite one
        assert final["kappa"] == last[final["seed"]] > 0
        assert 0 < final["long_run_seconds"] < final["cpu_seconds"]
    measured = aggregates([{**r, "block": "0-1"} for r in written if r["stage"] == "final"])
    assert measured["spent_long_run_seconds"] == sum(r["long_run_seconds"] or 0 for r in written)
    assert measured["kappa"] == pytest.approx(np.mean(list(last.values()))) and "delta_min" not in measured


def test_a_survivor_is_judged_by_its_whole_trace_and_a_resumed_one_alike(
        store: Store, tmp_path: Path, saves_always: None) -> None:
    """The gap of every update goes through checkpoints; the floor decides what quality is bad."""
    one = unit(updates=40)
    told, bad = {}, []
    for floor in (1e-6, 1e3):
        whole, parts = (Store(str(tmp_path / f"{name}{floor}"), "jko") for name in ("whole", "parts"))
        run(UnitRun(one, whole, floor=floor))
        UnitRun(one, parts, floor=floor).advance()
        run(UnitRun(one, parts, floor=floor))
        final, again = ([r for r in rows(place, one) if r["stage"] == "final"] for place in (whole, parts))
        assert final == again and all(r["verdict"] in VERDICTS[:-1] for r in final)
        told[floor] = ["poor quality" in (r["flags"] or "").split(", ") for r in final]
        curves = [[r[PRIMARY] for r in rows(whole, one) if r["stage"] == "train" and r["seed"] == seed]
                  for seed in one.seeds]
        bad = [bool(np.median(curve[-3:]) > 5e-6) for curve in curves]  # an unbiased measure may be negative
    assert told[1e-6] == bad and any(bad)
    assert told[1e3] == [False, False]


def test_the_gap_of_every_update_is_kept_for_the_verdict() -> None:
    from models.testing.tiny import IMAGES, data
    from models.testing.tiny import method as built

    on = data(IMAGES)
    method = built("kl", on, updates=5)
    state, gaps = init_state(method, on, [0, 1]), []
    for _ in range(5):
        state, info = train_step(method, on, state)
        gaps.append(info.gap)
    assert torch.equal(state.gaps, torch.stack(gaps, 1)) and state.gaps.shape == (2, 5)


def test_schema_is_the_same_for_survivors_and_diverged(store: Store) -> None:
    run(UnitRun(unit(), store))
    manifest = store.done(unit())
    assert manifest is not None
    schema = pyarrow.parquet.read_schema(io.BytesIO(store.read_verified(unit(), "records.parquet", manifest)))
    kinds = {"seed": "int64", "update": "int64", "stage": "string", "verdict": "string", "reason": "string",
             "flags": "string"}
    assert {n: str(schema.field(n).type) for n in schema.names} == {n: kinds.get(n, "double") for n in schema.names}


def test_a_unit_of_a_method_and_a_network_from_outside(store: Store, tmp_path: Path) -> None:
    one = unit(method="tests.models.test_new_method:Centred", network="tests.models.test_networks:Deep", centring=0.5)
    assert run(UnitRun(one, store))[-1]["status"] == "finished"
    other, plain = Store(str(tmp_path / "other"), "jko"), unit(method="kl", network="mlp")
    run(UnitRun(plain, other))
    assert len(rows(store, one)) == len(rows(other, plain)) and rows(store, one) != rows(other, plain)


def test_used_worker_gives_the_numbers_of_a_fresh_one(store: Store, tmp_path: Path) -> None:
    run(UnitRun(unit(), store))
    torch.manual_seed(7)
    other = Store(str(tmp_path / "other"), "jko")
    run(UnitRun(unit((5,), method="hidden", latent_dim=2), other))
    again = Store(str(tmp_path / "again"), "jko")
    run(UnitRun(unit(), again))
    assert rows(again, unit()) == rows(store, unit())


def test_unit_whose_replicates_all_diverged_stops_early(store: Store) -> None:
    one = unit(step_size=50.0, updates=300)
    [report] = run(UnitRun(one, store))
    assert report["status"] == "diverged" and report["diverged"] == 2 and report["update"] < 100
    assert PRIMARY not in report
    for row in rows(store, one):
        assert row["verdict"] == "diverged" and row["diverged_at"] == row["update"] <= report["update"]
        assert row.get(PRIMARY) is None
    assert set(store.done(one).files) == {"config.json", "records.parquet"}  # type: ignore[union-attr]
    again = Store(str(Path(store.uri) / "again"), "jko")
    [report] = run(UnitRun(one, again, diverged_value=4.0))
    assert report[PRIMARY] == 4.0


@pytest.mark.parametrize("diverged_value", [None, 4.0])
def test_diverged_replicate_counts_as_the_stated_value(
        store: Store, monkeypatch: pytest.MonkeyPatch, diverged_value: float | None) -> None:
    real = training.train_step

    def stops_seed_1(method: Any, data: Any, state: training.TrainState) -> Any:
        state, info = real(method, data, state)
        if state.update == 5:
            state.alive[1], state.diverged_at[1] = False, 5
        return state, info

    monkeypatch.setattr(training, "train_step", stops_seed_1)
    reports = run(UnitRun(unit(), store, diverged_value=diverged_value))
    assert [r["diverged"] for r in reports] == [0, 1, 1] and reports[-1]["status"] == "finished"
    written = rows(store, unit())
    assert [(r["seed"], r["update"]) for r in written if r["stage"] == "train"] == [(0, 3), (1, 3), (0, 6), (0, 9)]
    survivor, dead = written[-2:]
    assert (dead["verdict"], dead["diverged_at"], dead["update"], dead[PRIMARY]) == ("diverged", 5, 5, None)
    assert dead["particle_gradients"] == 5 * 7 * 8
    value = survivor[PRIMARY]
    assert reports[-1][PRIMARY] == pytest.approx(value if diverged_value is None else (value + 4) / 2)


def test_objective_may_be_another_measure(store: Store) -> None:
    reports = run(UnitRun(unit(), store, objective=f"{PRIMARY}_long"))
    assert [f"{PRIMARY}_long" in r for r in reports] == [False, False, True]
    assert PRIMARY not in reports[-1]


def _too_large(*_: Any) -> Any:
    return torch.empty(2**55)


def _cuda(*_: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory")


def _python(*_: Any) -> Any:
    raise MemoryError


def _workspace(*_: Any) -> Any:
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def _broken(*_: Any) -> Any:
    raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


@pytest.mark.parametrize("step", [_too_large, _cuda, _python, _workspace])
def test_out_of_memory_is_a_status_and_leaves_the_unit_undone(
        store: Store, monkeypatch: pytest.MonkeyPatch, step: Any) -> None:
    monkeypatch.setattr(training, "train_step", step)
    report = UnitRun(unit(), store).advance()
    assert report["status"] == "oom" and report["done"] and store.done(unit()) is None


def test_other_errors_propagate(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "train_step", _broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        UnitRun(unit(), store).advance()


def test_done_unit_answers_without_training(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    report = run(UnitRun(unit(), store))[-1]
    monkeypatch.setattr(training, "train_step", _broken)
    assert UnitRun(unit(), store).advance() == report


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the features that images need are learned once."""
    return str(tmp_path_factory.mktemp("cache"))


def test_images_are_judged_by_their_extractor(store: Store, cache: str) -> None:
    one = unit(method="kl", data="patches", size=8)
    report = run(UnitRun(one, store, cache_dir=cache))[-1]
    assert report["kid_ssl64_16"] == pytest.approx(np.mean([r["kid_ssl64_16"] for r in rows(store, one)[-2:]]))
    page = Image.open(io.BytesIO(store.read(f"{one.key}/samples_0.png") or b""))
    assert page.mode == "RGB" and page.size == (8 * 36 + 4, 2 * 36 + 4)


def test_saturated_samples_that_are_bad_have_collapsed(store: Store, tmp_path: Path, cache: str,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    one = unit(method="kl", data="patches", size=8)
    told = {}
    for excess in (0.4, 0.6):
        monkeypatch.setattr(models.measures.evaluation, "saturation_excess", lambda *_, excess=excess: excess)
        place = Store(str(tmp_path / str(excess)), "jko")
        run(UnitRun(one, place, cache_dir=cache, floor=1e-9))
        told[excess] = {row["verdict"] for row in rows(place, one)[-2:]}
    assert told[0.6] == {"collapsed"} and "collapsed" not in told[0.4]


@pytest.mark.parametrize(("updates", "points", "expected"), [
    (10, 3, [3, 7, 10]), (600, 20, list(range(30, 601, 30))), (2, 5, [1, 2]), (1, 1, [1])])
def test_evaluation_points_are_spread_over_the_updates(updates: int, points: int, expected: list[int]) -> None:
    assert evaluation_points(updates, points) == expected


def test_records_keep_null_and_refuse_what_is_not_finite() -> None:
    table = pyarrow.parquet.read_table(io.BytesIO(records([
        {"seed": 0, "stage": "train", "update": 1, "gap": 1}, {"seed": 0, "stage": "final", "update": 2}])))
    assert table.to_pylist()[1]["gap"] is None and str(table.schema.field("gap").type) == "double"
    for bad in (float("nan"), float("inf")):
        with pytest.raises(AssertionError, match="gap"):
            records([{"seed": 0, "stage": "train", "update": 1, "gap": bad}])


def test_sheet_shows_images_in_rows_and_points_right_way_up() -> None:
    images = np.full((9, 1, 16, 16), -1.0, np.float32)
    images[0, 0, 0, 0], images[8, 0, -1, -1] = 1.0, 5.0
    page = np.asarray(Image.open(io.BytesIO(sheet(images))))
    assert page.shape == (2 * 36 + 4, 8 * 36 + 4)
    assert (page[4:6, 4:6] == 255).all() and (page[6:36, 6:36] == 0).all() and (page[70:72, 34:36] == 255).all()
    assert (page[40:72, 40:72] == 255).all(), "no tenth image"
    plane = np.asarray(Image.open(io.BytesIO(sheet(np.array([[2.0, 1.0], [9.0, -9.0]]), (-2.0, 2.0)))))
    dark = np.argwhere(plane == 0)
    assert sorted({tuple(d) for d in dark // 16}) == [(3, 15), (4, 15), (15, 15)] and len(dark) == 18


def test_module_starts_without_torch_and_ray() -> None:
    code = ("import sys, study.run.unit_run; "
            "print(sorted({'torch', 'ray', 'mlflow', 'optuna', 'pyarrow'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_clip_that_hides_divergence_is_named(store: Store, tmp_path: Path) -> None:
    """The negative control: particles stay in place, while the sampler of the density they stand for is unstable."""
    knobs = {"drift_clip": 1.0, "step_size": 0.8, "updates": 150, "mcmc_steps": 5, "batch_size": 32, "width": 4,
             "lr_f": 0.02, "particles": 32}
    one = unit(method="kl", points=15, **knobs)
    report = run(UnitRun(one, store))[-1]
    final = rows(store, one)[-2:]
    assert [row["reason"] for row in final] == ["masked", "masked"] and report["diverged"] == 2
    assert {row["verdict"] for row in final} == {"diverged"} and report["status"] == "diverged"
    free = unit(method="kl", points=15, **{**knobs, "drift_clip": None, "step_size": 0.1})
    elsewhere = Store(str(tmp_path / "free"), "jko")
    run(UnitRun(free, elsewhere))
    assert [row["reason"] for row in rows(elsewhere, free)[-2:]] == [None, None]


def test_the_spec_s_own_extractor_and_importance_sampling_reach_the_final_records(store: Store, tmp_path: Path) -> None:
    class Means(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x.mean(3).flatten(1), x.mean(2).flatten(1)], 1)

    path = tmp_path / "means.pt2"
    rows_free = ({0: torch.export.Dim("n")},)
    torch.export.save(torch.export.export(Means().eval(), (torch.zeros(2, 1, 8, 8),), dynamic_shapes=rows_free), path)
    one = unit(seeds=(0,), method="kl", data="digits", updates=2, points=1)
    own = {"file": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": 8, "channels": 1,
           "mean": [0.5], "sd": [0.5]}
    def judged(by: dict[str, Any], seed: int) -> Unit:
        evaluation = replace(one.configuration.evaluation, ais_steps=20, features=by)
        return Unit(replace(one.configuration, evaluation=evaluation), (seed,), one.config_hash)

    run(UnitRun(judged(own, 0), store))
    final = next(row for row in rows(store, one) if row["stage"] == "final")
    assert np.isfinite(final["kid_means_16"]) and final["recall_means_16"] >= 0
    names = [name for name in final if name.startswith("nll_")]
    assert names and all(np.isfinite(final[name]) for name in names), sorted(final)
    with pytest.raises(ValueError, match="found sha256"):
        run(UnitRun(judged({**own, "sha256": 64 * "0"}, 1), store))


def test_a_workers_memory_stays_with_it():
    """What a step of a chain frees is there for the next one: no page is fetched anew."""
    code = """
import resource, sys
from study.run.safeguards import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
import torch
torch.set_num_threads(1)
x, w = torch.ones(64, 3, 32, 32), torch.ones(32, 3, 3, 3)
fetched = [0]
for _ in range(10):
    torch.nn.functional.silu(torch.nn.functional.conv2d(x, w, padding=1)).sum()
    fetched.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(fetched[-1] - fetched[5])
"""
    kept, fetched = (int(subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True, check=True,
                                        cwd=Path(__file__).resolve().parents[2]).stdout) for how in ("kept", "fetched"))
    assert kept < 100 < fetched
