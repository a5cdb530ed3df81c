"""The scripts of benchmarks/ that are not run here at least find what they import; the law's figure is drawn."""

from __future__ import annotations

import importlib
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from analysis.read.load import read
from analysis.read.store import Store
from benchmarks import altered, gpu, law_figure, measures_cost, methods_table, peers, reproduced, speed
from models.methods.method import build
from models.networks.choice import score_network
from models.noise import generators_for
from models.testing import tiny
from tests.analysis import synthetic_study as toy

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_a_script_imports(name):
    assert callable(importlib.import_module(f"benchmarks.{name}").main)


def test_a_report_is_compared_with_that_of_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = pd.DataFrame({
        "arm": ["kl", "kl", "jko", "ggcn"], "diverged": [1, 0, 0, 0], "replicates": 8, "rate_low": 0.0,
        "kid": [0.01, 0.05, 0.03, 0.02], "kid_low": [0.0, 0.04, 0.02, 0.01], "kid_high": [0.02, 0.06, 0.04, 0.03]})
    moved = {"one": [0, 0, 0, 0], "moved": [0, 0, 0.005, 0.03], "rounded": [0, 1e-12, 0, 0], "lower": [0, 0, 0, -0.03]}
    for name, by in moved.items():
        (tmp_path / name / "tables").mkdir(parents=True)
        shift = pd.Series(by)
        cells.assign(**{column: cells[column] + shift for column in ("kid", "kid_low", "kid_high")}).to_csv(
            tmp_path / name / reproduced.CELLS, index=False)

    def said(*names: str) -> dict[str, str]:
        return reproduced.compared(*(reproduced.best_of_arms(tmp_path / name) for name in names))["says"].to_dict()

    assert said("one", "rounded") == dict.fromkeys(("kl", "jko", "ggcn"), "equal")
    assert said("one", "moved") == {"kl": "equal", "jko": "within intervals", "ggcn": "differs"}
    assert said("one", "lower")["ggcn"] == "differs"
    assert reproduced.main([str(tmp_path / "one"), str(tmp_path / "rounded")]) == 0
    assert reproduced.main([str(tmp_path / "one"), str(tmp_path / "moved")]) == 1
    assert reproduced.main([str(tmp_path / "none"), str(tmp_path / "one")]) == 0, "there is nothing to compare with"
    assert "0.05 [0.04, 0.06], 0/8 diverged" in capsys.readouterr().out, "of kl the setting that lost none"


def test_the_page_of_the_evidence_has_the_table_that_its_reports_give(capsys: pytest.CaptureFixture[str],
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["methods_table"])
    methods_table.main()
    page = (methods_table.REPORTS / "README.md").read_text(encoding="utf-8")
    assert f"<!-- methods -->\n{capsys.readouterr().out}<!-- end -->" in page


def test_measures_see_what_is_done_to_images(monkeypatch: pytest.MonkeyPatch,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(altered, "DRAWS", 2)
    monkeypatch.setattr(altered, "SAMPLES", 128)
    monkeypatch.setattr("sys.argv", ["altered", "digits"])
    altered.main()
    table = capsys.readouterr().out
    for wrong in ("rings", "nope", "{name: patches", "{folder: /nope, size: 8, channels: 1}", "mylab:X", "5"):
        monkeypatch.setattr("sys.argv", ["altered", wrong])
        with pytest.raises(SystemExit, match="2"):
            altered.main()
        assert capsys.readouterr().err.splitlines()[-1].startswith("python -m benchmarks.altered: error: data: ")
    lines = [line.split("|")[1:-1] for line in table.splitlines()]
    where = [name.strip() for name in lines[0]].index("kid_clf64_128")
    kid = {line[0].strip(): float(line[where].split("±")[0]) for line in lines[2:]}
    assert max(kid["as they are"], kid["held-out images"]) < 0.03 < kid["noise of sd 0.5"]
    assert kid["noise of sd 0.5"] < kid["blurred"] < kid["flat"]


def test_the_cost_of_measuring_is_that_of_functions_that_are_called() -> None:
    found = measures_cost.cost("gaussians8", "kl", 14)
    assert all(found.values())
    assert sum(found[part] for part in measures_cost.RULE) < found["an update"]
    assert found["the last evaluation"] > sum(found[part] for part in found if part.startswith("the last evaluation:"))
    table = measures_cost.table(pd.DataFrame({"kl": found}))
    assert f"{1e3 * found['an update']:.1f} ms " in table and table.count(" %") == len(measures_cost.RULE)


def test_parity_sees_what_a_device_does_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    here, on = torch.device("cpu"), tiny.data(tiny.IMAGES)
    methods = [tiny.method(name, on) for name in ("kl", "ggcn")]
    assert [gpu.distance(method, here) for method in methods] == [0, 0]
    draw = gpu.HostNoise.normal
    monkeypatch.setattr(gpu.HostNoise, "normal", lambda noise, *shape: draw(noise, *shape) + 1e-3)
    assert all(gpu.distance(method, here) > 1e-6 for method in methods)


def test_the_tables_of_a_gpu_count_replicates_and_what_an_update_asks(monkeypatch: pytest.MonkeyPatch,
                                                                       capsys: pytest.CaptureFixture[str]) -> None:
    """On a CPU, with a clock by which every update takes half a second."""
    monkeypatch.setattr(gpu, "timed", lambda update, device, seconds: (0.5, 3))
    monkeypatch.setattr("sys.argv", ["gpu", "--device", "cpu", "--small"])
    gpu.main()
    products, updates, bundles, parity = capsys.readouterr().out.strip().split("\n\n")
    assert all(word in products for word in ("fp32", "TF32", "bf16"))
    rows = [[word.strip() for word in line.split("|")[1:-1]] for line in updates.splitlines()]
    column = {name: [row[k] for row in rows[2:]] for k, name in enumerate(rows[0])}
    assert set(column["method"]) == {"kl", "jko"} and set(column["waits"]) == {""}, "a CPU is not waited for"
    assert [float(x) for x in column["replicate-updates/s"]] == [2 * int(r) for r in column["R"]]
    assert column["R"][:4] == ["1", "1", "1", "8"] and 500 < int(column["operators"][0]) < int(column["operators"][3])
    assert [float(x) for x in bundles.splitlines()[2].split("|")[2:6]] == [1, 2, 4, 2]
    assert parity.count(" 0 |") == 2 * 5


@pytest.mark.parametrize("shape", [(2,), (1, 8, 8), (3, 28, 28)])
def test_peers_train_our_network_and_each_trains(shape):
    f = score_network(shape, build("kl", tiny.data(shape), width=4).hp, generators_for([0], "weights"),
                      dtype=torch.float32, fuse="grouped")
    plain = peers.network(shape, 4)
    with torch.no_grad():
        for theirs, mine in zip(plain.parameters(), f.parameters(), strict=True):
            theirs.copy_(mine[0].reshape(theirs.shape))
    x = torch.from_numpy(tiny.data(shape).train)
    torch.testing.assert_close(plain(x), f(x[None])[0], rtol=1e-4, atol=1e-5)
    assert {*peers.peers()} == {"torchebm", "ebmkit", "plain loop"}
    for make in peers.peers().values():
        net = peers.network(shape, 4)
        before = [p.detach().clone() for p in net.parameters()]
        make(net, x, 8, 2, 0.1)()
        assert any(not torch.equal(p, b) for p, b in zip(net.parameters(), before, strict=True))


def test_a_ratio_that_falls_by_a_fifth_is_named_and_a_missed_goal_is_shown(tmp_path):
    row = speed.Row("MLP", "ours, R = 1", ms=5.0, ratio=1.5, goal=2.0, floor=4.0, n=3)
    known = tmp_path / "speed.csv"
    assert speed.fallen([row], known) == []
    for ratio, lost in ((1.8, False), (1.9, True)):
        pd.DataFrame([asdict(replace(row, ratio=ratio))]).to_csv(known, index=False)
        assert [*map(bool, speed.fallen([row], known))] == [True] * lost
    assert "2, missed" in speed.table([row]) and "missed" not in speed.table([replace(row, ratio=1.996)])


def test_the_laws_figure_has_a_panel_an_arm_with_and_without_a_divergence(tmp_path, tmp_path_factory):
    study = read(Store(toy.shared(tmp_path_factory)), "toy", tmp_path)
    calm = study.finals["arm"] == "kl_smooth"
    study = replace(study, finals=study.finals.assign(diverged=study.finals["diverged"] & ~calm,
                                                      diverged_at=study.finals["diverged_at"].mask(calm)))
    frame = law_figure.draw(study, tmp_path / "law")
    assert set(frame["arm"]) == set(study.arms) and set(frame["mcmc_steps"]) == {20}
    assert not frame.loc[frame["arm"] == "kl_smooth", "diverged"].any() and frame["diverged"].any()
    pd.testing.assert_frame_equal(frame, pd.read_csv(tmp_path / "law.csv"))
    assert (tmp_path / "law.svg").stat().st_size > 10_000
