"""What a study keeps, used: `python -m study.sample` and `python -m study.measure`, and what `keep` says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from analysis import load
from models.measures.table import MeasureError
from study import measure, sample
from study.run.later import Later
from study.schema.canonical import unsealed
from study.schema.counted import FILE, Counted
from study.schema.manifest import Manifest
from study.schema.unit import Unit
from study.store.kept import Replicate, best_of, of_trial, read_plan, replicates, write_counted
from study.store.units import StorageError, Store
from tests.configurations import plan as a_plan
from tests.configurations import unit
from tests.study.test_launch_whole import Launch, launch, shown

__all__ = ["launch"]
ONE = ("--set", "method=kl", "--set", "design.step_size=0.1")  # configuration


def states() -> list[Path]:
    return sorted(Path("runs/tiny").glob("*/*/state.safetensors"))


def finals(folder: Path) -> dict[int, dict[str, Any]]:
    name = json.loads((folder / "done.json").read_text())["records"]
    rows = pyarrow.parquet.read_table(folder / name).to_pylist()
    return {row["seed"]: row for row in rows if row["stage"] == "final"}


def taken(*words: str) -> int:
    return measure.main(["--study", "tiny", "--tracking-uri", f"sqlite:///{Path.cwd()}/mlflow.db", *words])


def test_after_a_study_its_best_network_gives_samples(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = launch()
    assert code == 0 and lines[-1].endswith("study.sample --study tiny")
    assert sample.main(["--study", "tiny", "-n", "20"]) == 0
    about = json.loads(Path("samples/samples.json").read_text())
    rows = [(folder.parent, seed, row) for folder in states() for seed, row in finals(folder.parent).items()]
    primary = read_plan(Store("runs", "tiny")).primary
    means: dict[Path, list[float]] = {}
    for folder, _, row in rows:
        means.setdefault(folder, []).append(row[primary])
    best = min(means, key=lambda folder: np.mean(means[folder]))
    assert about[primary] == min(means[best]) and about["config_hash"] == best.parent.name
    assert f"seed {about['replicate']} ({about['config_hash']})" in capsys.readouterr().out
    drawn = np.load("samples/samples.npy")
    assert drawn.shape == (20, 2) and np.isfinite(drawn).all()
    with Image.open("samples/samples.png") as picture:
        assert picture.size == (256, 256)

    words = ["--study", "tiny", "--trial", about["config_hash"][:6], "--replicate", str(about["replicate"])]
    assert sample.main([*words, "-n", "20", "--out", "again"]) == 0
    np.testing.assert_array_equal(np.load("again/samples.npy"), drawn)
    assert sample.main([*words, "-n", "20", "--out", "other", "--steps", "3", "--seed", "5"]) == 0
    assert not np.array_equal(np.load("other/samples.npy"), drawn)


NOT_SAMPLED = [
    (["--study", "nowhere"], "study 'nowhere' has not been started in "),
    (["--study", "tiny/"], "STORAGE/tiny//plan.json: found the plan of the study 'tiny', expected that of 'tiny/': a "),
    (["--study", "tiny", "--arm", "kll"], "--arm: found 'kll', expected one of kl"),
    (["--study", "tiny", "--trial", "zzz"], "--trial: found 'zzz', expected the first digits of "),
    (["--study", "tiny", "--trial", "HASH", "--replicate", "9"], "--replicate: found 9, expected one of the trial's"),
    (["--study", "tiny", "--replicate", "0"], "--replicate: expected --trial beside it"),
    (["--study", "tiny", "-n", "9999"], "-n: samples: found 9999, expected at most particles = "),
    (["--study", "tiny", "--device", "cuda:7"], "--device: found 'cuda:7': "),
    (["--study", "tiny", "--out", "/proc"], "--out /proc: cannot be written: "),
    (["--study", "tiny", "--out", "tiny.yaml/x", "-n", "5"], "--out tiny.yaml/x: cannot be written: Not a directory")]
NOT_MEASURED = [
    ("mmd", "--add: found 'mmd', expected a measure with the number of samples (1 to 999999) at its end, such as "),
    ("mdd_100", "--add: found 'mdd_100', expected one of "),
    ("kid_clf64_100", "--add: found 'kid_clf64_100', expected"),
    ("mmd_0", "--add: found 'mmd_0', expected a measure with the number of samples (1 to 999999) at its end"),
    ("mmd_1", "--add: mmd_1: found 1 samples and 2000 held-out rows, expected at least 2 of each"),
    ("w2_1501", "--add: w2_1501: found 1501 samples, expected at most 1500"),
    (":x", "--add: found ':x', expected package.module:Name"),
    ("mmd_9999", "found 9999, expected at most particles = "),
    ("nowhere:x", "--modules: found 'nowhere', expected nowhere.py or a package nowhere/ in "),
    ("models.measures.table:MEASURES", "--modules: found models, expected another name: this program has it")]


def test_what_cannot_be_sampled_or_measured_is_one_sentence_and_changes_nothing(
        launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    launch(*ONE)
    config_hash = states()[0].parts[2]
    before = {path: path.read_bytes() for path in Path("runs/tiny").rglob("*") if path.is_file()}
    for words, said in NOT_SAMPLED:
        assert sample.main([config_hash if word == "HASH" else word for word in words]) == 2
        out, found = capsys.readouterr()
        assert found.startswith(said.replace("STORAGE", str(Path("runs").absolute()))) and found.count("\n") == 1, found
        assert not out or ("-n" in words and "--out" not in words), "it has begun to sample"
    for asked, said in NOT_MEASURED:
        assert taken("--add", asked) == 2
        found = capsys.readouterr().err
        assert said in found and found.count("\n") == 1, found
    after = {path: path.read_bytes() for path in Path("runs/tiny").rglob("*") if path.is_file()}
    assert {path for path in after if after[path] != before.get(path)} <= {Path("runs/tiny/.lock")}


def kept_line() -> str:
    return f"networks and particles are kept: {sum(path.stat().st_size for path in states()) / 1e6:.1f} MB (keep)"


def test_keep_says_whose_networks_stay_and_is_no_other_version(launch: Launch,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    """Networks that are gone leave their unit done, and a sentence to whoever asks for them."""
    code, lines, _ = launch("--set", "keep=none")
    assert code == 0 and states() == [] and not any("study.sample" in line for line in lines)
    assert sample.main(["--study", "tiny"]) == 2
    assert "its networks were not kept, or were removed; expected `keep: final`" in capsys.readouterr().err
    shutil.rmtree("runs")
    code, lines, _ = launch(database="new.db")
    assert code == 0 and len(states()) == 4 and kept_line() in lines
    code, lines, _ = launch("--set", "keep=best", database="new.db")
    assert code == 0 and len(states()) == 2 and not any("is not the last launch's" in line for line in lines)
    assert kept_line() in lines, "what lies there, and not what manifests say of it"
    code, lines, _ = launch("--set", "keep=best", "--set", "confirm={top: 1, replicates: 1}", database="new.db")
    assert code == 0 and len(states()) == 4, "an arm's best, and its confirmation"
    assert sample.main(["--study", "tiny"]) == 0
    said = capsys.readouterr().out
    assert any(f"({path.parts[2]})" in said for path in states())
    states()[0].write_bytes(b"rotten")
    assert taken("--add", "energy_distance_20") == 2
    said, why = capsys.readouterr()
    assert "units of work: 3 measured, 0 measured before" in said
    assert "units of work that are not measured: 1; " in why and "state.safetensors is not what done.json says" in why
    for path in states():
        path.write_bytes(b"rotten")
    assert sample.main(["--study", "tiny"]) == 2
    assert "state.safetensors is not what done.json says" in capsys.readouterr().err
    code, lines, _ = launch("--set", "keep=best", database="new.db")
    assert code == 0 and any("units of work: 4 finished, 0 left" in line for line in lines)


def test_a_measure_taken_later_is_what_it_would_have_been(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    """In the records, in MLflow and for a report; taken once; and not in the way of launch and restore."""
    assert launch(*ONE)[0] == 0
    folder = states()[0].parent
    asked = finals(folder)
    known = [name for name in asked[0] if name.startswith(("mmd_", "near_mode_"))]
    assert len(known) == 2
    name, manifest = "records.parquet", json.loads((folder / "done.json").read_text())
    table = pyarrow.parquet.read_table(folder / name).drop_columns(known)  # as if the study had not had them
    store, (one, old) = Store("runs", "tiny"), next(iter(Store("runs", "tiny").done_units()))
    store.replace_rows(one, old, table.to_pylist())
    assert not (folder / name).exists() and manifest["records"] == name and finals(folder)[0].keys().isdisjoint(known)

    assert taken("--add", *known, "energy_distance_24") == 0
    said = capsys.readouterr().out
    assert "units of work: 1 measured, 0 measured before" in said
    assert "real against real data, energy_distance_24 = " in said
    for seed, row in finals(folder).items():
        assert {key: row[key] for key in asked[seed]} == asked[seed] and np.isfinite(row["energy_distance_24"])
    payload = (folder / "done.json").read_bytes()
    assert taken("--add", *known, "energy_distance_24") == 0
    assert "units of work: 0 measured, 1 measured before" in capsys.readouterr().out
    assert (folder / "done.json").read_bytes() == payload
    [trial] = shown().search("tags.kind = 'trial'")
    assert trial.data.metrics["energy_distance_24"] == np.mean([
        row["energy_distance_24"] for row in finals(folder).values()])
    assert len(shown().search("tags.kind = 'replicate'")) == len(asked)
    frame = load("tiny", tracking_uri=f"sqlite:///{Path.cwd()}/mlflow.db").finals
    assert sorted(frame["energy_distance_24"]) == sorted(row["energy_distance_24"] for row in finals(folder).values())
    code, lines, _ = launch(*ONE)
    assert code == 0 and any("units of work: 1 finished, 0 left" in line for line in lines)
    code, lines, _ = launch("--set", "method=kl", "--dry-run")
    assert code == 0 and any(line.startswith("units of work: 0 finished, 2 left: roughly ") for line in lines)
    code, lines, _ = launch("--set", "method=kl", "--set", "design.step_size=[0.1, 0.2, 0.3]", "--dry-run")
    assert code == 0 and any(line.startswith("units of work: 1 finished, 2 left: roughly ") for line in lines)


LOADED = """
import sys
import mlflow
import numpy as np
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/tiny-kl@best")
np.savez(sys.argv[2], stands=model.predict(20), walked=model.predict(7, params={"steps": 3, "seed": 5}))
import models
print(models.__file__)
"""


@pytest.mark.slow
def test_the_best_confirmed_network_is_registered_and_loads_where_nothing_of_ours_is(
        launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its samples are those of `study.sample`; launched again it is the same version, trained further a new one."""
    words = ("--set", "confirm={top: 1, replicates: 2}")
    code, lines, _ = launch(*words)
    assert code == 0 and not any("not shown" in line for line in lines)
    client, uri = shown()._client, f"sqlite:///{Path.cwd()}/mlflow.db"
    assert {one.name for one in client.search_registered_models()} == {"tiny-kl", "tiny-jko"}
    found = client.get_model_version_by_alias("tiny-kl", "best")
    [trial] = [run for run in shown().search("tags.kind = 'trial'") if run.info.run_id == found.run_id]
    assert (trial.data.tags["phase"], trial.data.tags["arm"]) == ("confirm", "kl")
    assert len(trial.outputs.model_outputs) == 1
    assert sample.main(["--study", "tiny", "--trial", found.tags["config_hash"], "-n", "20"]) == 0
    assert f"seed {found.tags['seed']} " in capsys.readouterr().out
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-P", "-S", "-c", f"import sys\nsys.path += {site_packages()!r}\n{LOADED}",
                           uri, "loaded.npz"], env=environment, capture_output=True, text=True, check=True)
    assert "/artifacts/code/models/" in done.stdout
    with np.load("loaded.npz") as loaded:
        np.testing.assert_array_equal(loaded["stands"], np.load("samples/samples.npy"))
        assert loaded["walked"].shape == (7, 2)
    assert launch(*words)[0] == 0 and launch(*words, "--set", "train.lr_f=0.004")[0] == 0
    assert [one.version for one in client.search_model_versions("name = 'tiny-kl'")] == [2, 1]


def site_packages() -> list[str]:
    """Where packages are that pip has installed; ours is found by a file there that `-S` leaves unread."""
    return [path for path in sys.path if path.endswith("site-packages")]


@pytest.mark.parametrize(("data", "said"), [
    ({"folder": "/nowhere", "size": 8, "channels": 1, "range": [-1, 1], "splits": {"search": 9, "confirm": 9},
      "refuse_broken": 0.0}, "the study's data cannot be read: "),
    ({"name": "moons", "size": None}, "moons: found other data than the study was trained on"),
    ({"name": "mylab.gone:Set", "size": None}, "the study's data cannot be read: ")])
def test_data_that_are_gone_or_others_by_now_are_one_sentence(tmp_path: Path, data: dict[str, Any],
                                                              said: str) -> None:
    store = Store(str(tmp_path), "s")
    later = Later(store, a_plan(primary="energy_distance_9"), ["mmd_9"], ".", "cpu")
    with pytest.raises(MeasureError, match=f"^{re.escape(said)}"):
        later.rows(unit(data=data, updates=1, method="kl"), b"", [])


def test_what_is_no_study_yet_or_another_s_folder_is_said_as_it_is(launch: Launch,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    launch(*ONE)
    shutil.copytree("runs/tiny", "runs/copy")
    before = [path.read_bytes() for path in sorted(Path("runs").rglob("done.json"))]
    assert measure.main(["--study", "copy", "--add", "mmd_8"]) == 2
    assert "runs/copy/plan.json: found the plan of the study 'tiny', expected that of 'copy'" in capsys.readouterr().err
    assert [path.read_bytes() for path in sorted(Path("runs").rglob("done.json"))] == before
    Path("runs/tiny/plan.json").rename("plan.json")  # as after study.restore
    assert sample.main(["--study", "tiny"]) == 2
    assert "plan.json is missing, without which nothing can be counted; a launch makes it" in capsys.readouterr().err
    shutil.rmtree("runs")
    Path("runs/tiny").mkdir(parents=True)
    Path("plan.json").rename("runs/tiny/plan.json")
    assert taken("--add", "mmd_8") == 2
    assert capsys.readouterr().err == "nothing of the study is finished yet\n"


def test_what_has_no_number_is_not_called_measured(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    """Diverged replicates, and a measure that is nowhere finite."""
    Path("nowhere.py").write_text("from models.measures.table import Measure\nnan = Measure(family='never', "
                                  "function=lambda x, y: float('nan'), spaces=('pixels',))\n")
    launch(*ONE, "--set", "design.step_size=[0.1, 1.9]", "--set", "train.lr_f=1", "--set", "train.mcmc_steps=30")
    diverged = sum(all(row["diverged_at"] is not None for row in finals(path.parent).values()) for path in states())
    assert diverged == 1
    for asked, said in (("mmd_8", "units of work: 1 measured, 0 measured before; 1 have no number"),
                        ("mmd_8", "units of work: 0 measured, 1 measured before; 1 have no number"),
                        ("nowhere:nan", "units of work: 0 measured, 0 measured before; 2 have no number")):
        assert taken("--add", asked) == 0
        out = capsys.readouterr().out
        assert said in out and "= nan" not in out


def replicate(arm: str, phase: str, config_hash: str, seed: int, value: float | None) -> Replicate:
    c = unit((seed,), config_hash, phase=phase, arm=arm)
    return Replicate(Unit(c.configuration, (seed,), config_hash), Manifest(status="finished"), {
        "seed": seed, "verdict": "stable", "diverged_at": 7 if value is None else None, "kid": value})


def test_the_best_is_the_best_seed_of_the_best_configuration() -> None:
    """A mean over survivors; most of them diverged comes last, and what was confirmed first."""
    arm = {"method": "kl", "fixed": {}, "limits": []}
    plan = a_plan(primary="kid", arms={"kl": arm, "jko": arm})
    found = [replicate("kl", "design", "aa", 0, 0.1), replicate("kl", "design", "aa", 1, 0.9),
             replicate("kl", "design", "bb", 0, 0.3), replicate("kl", "design", "bb", 1, 0.4),
             replicate("jko", "design", "cc", 0, None), replicate("jko", "design", "cc", 1, None),
             replicate("jko", "design", "cc", 2, 0.01)]
    chosen = best_of(found, plan)
    assert (chosen.unit.config_hash, chosen.seed) == ("bb", 0)
    assert best_of(found, plan, "jko").seed == 2
    chosen = best_of(found, a_plan(primary="kid", arms={"kl": arm, "jko": arm}, direction="maximize"))
    assert (chosen.unit.config_hash, chosen.seed) == ("aa", 1)
    search = {"sampler": "tpe", "arguments": {}, "prune": None, "objectives": ["kid"], "directions": ["minimize"],
              "diverged_value": {}, "log": [], "constraints": {"gap": {"limit": 1.0, "direction": "minimize"}}}
    bounded = a_plan(primary="kid", arms={"kl": arm, "jko": arm}, search=search)
    searched = [replicate("kl", "search", name, 0, kid) for name, kid in (("ee", 0.1), ("ff", 0.4))]
    searched[0].row["gap"], searched[1].row["gap"] = 1.5, 0.9
    assert best_of(searched, bounded).unit.config_hash == "ff" and best_of(searched, plan).unit.config_hash == "ee"
    confirmed = [*found, replicate("kl", "confirm", "dd", 5, 0.5)]
    assert best_of(confirmed, plan).unit.config_hash == "dd"
    assert of_trial(found, "a", None, plan).seed == 0 and of_trial(found, "aa", 1, plan).seed == 1
    with pytest.raises(StorageError, match="expected more of it: aa, ab begin so"):
        of_trial([*found, replicate("kl", "design", "ab", 0, 0.1)], "a", None, plan)
    with pytest.raises(StorageError, match="nothing of the arm kl is finished yet"):
        best_of([], plan, "kl")


def test_replicates_are_those_of_the_last_version(launch: Launch) -> None:
    """A trial is found whichever version trained it: MLflow shows all of them."""
    launch(*ONE)
    [first] = states()
    launch(*ONE, "--set", "train.lr_f=0.004")
    store = Store("runs", "tiny")
    found = replicates(store, read_plan(store))
    assert sample.main(["--study", "tiny", "-n", "2", "--trial", first.parent.parent.name]) == 0
    assert len(states()) == 2 and len({one.unit.config_hash for one in found}) == 1
    assert {one.unit.configuration.knobs["lr_f"] for one in found} == {0.004}


def test_what_the_launch_counts_is_sampled_and_measured_whoever_trained_it(
        launch: Launch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Another arm makes another version, which confirms what it finds confirmed, and a renamed one goes by its name."""
    words: tuple[str, ...] = ("method=null", "design.step_size=0.1", "confirm={top: 1, replicates: 2}")
    words = (*(word for text in words for word in ("--set", text)), "--set")
    assert launch(*words, "arms={one: {method: kl}}")[0] == 0
    assert launch(*words, "arms={two: {method: kl}, hot: {method: kl, lr_f: 0.5}}")[0] == 0
    store = Store("runs", "tiny")
    plan = read_plan(store)
    everything = {("design", "two"), ("confirm", "two"), ("design", "hot"), ("confirm", "hot")}

    def found() -> set[tuple[str, str]]:
        return {(c.phase, c.arm) for one in replicates(store, plan) for c in [one.unit.configuration]}

    assert found() == everything
    capsys.readouterr()
    assert sample.main(["--study", "tiny", "-n", "2", "--arm", "two"]) == 0
    assert "sampling from confirm two " in capsys.readouterr().out
    assert taken("--add", "energy_distance_8") == 0 and "4 measured, 0 measured before" in capsys.readouterr().out

    counted = Counted.read(unsealed(store.read_json(FILE)))
    [old] = {h for h, arm in counted.arms.items() if arm == "two" for unit, _ in store.done_units()
             if unit.config_hash == h and unit.configuration.phase == "confirm"}
    write_counted(store, plan, Counted({h: arm for h, arm in counted.arms.items() if h != old}, (old,)))
    assert found() == everything - {("confirm", "two")}, "what is no longer to be confirmed"
    for wrong in (b"rotten", b"[]", b"{}"):
        caplog.clear()
        store.write(FILE, wrong)
        assert found() == everything - {("confirm", "two")} and "is missing or damaged" in caplog.text
    (Path("runs/tiny") / FILE).unlink()
    assert found() == everything - {("confirm", "two")}, "what the version trained, and its cells"


def test_seeds_that_a_study_has_no_more_are_not_sampled(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch(*ONE, "--set", "design.replicates=3")[0] == 0
    assert launch(*ONE, "--set", "design.replicates=1")[0] == 0
    store = Store("runs", "tiny")
    [one] = replicates(store, read_plan(store))
    assert one.seed == 0
    assert {other.seed for other in replicates(store, read_plan(store), one.unit.config_hash[:6])} == {0, 1, 2}
    capsys.readouterr()
    assert taken("--add", "energy_distance_8") == 0 and "0/1" in capsys.readouterr().out


def test_no_command_that_samples_is_named_where_no_networks_are_kept(launch: Launch) -> None:
    assert launch(*ONE, "--set", "keep=none")[0] == 0
    code, lines, _ = launch(*ONE, "--set", "keep=final")
    assert code == 0 and not any("study.sample" in line for line in lines)


def test_where_the_best_is_not_kept_the_best_that_is_kept_is_sampled_and_that_is_said(
        launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("--set", "method=kl")[0] == 0
    store = Store("runs", "tiny")
    best = best_of(replicates(store, read_plan(store)), read_plan(store)).unit
    store.drop_state(best)
    [kept] = states()
    capsys.readouterr()
    assert sample.main(["--study", "tiny", "-n", "2"]) == 0
    said, why = capsys.readouterr()
    assert f"({kept.parent.parent.name})" in said and f"({best.config_hash})" in why
    assert why.rstrip().endswith("were not kept, or were removed; the best of those that are kept is taken")
    assert sample.main(["--study", "tiny", "-n", "2", "--trial", best.config_hash]) == 2
