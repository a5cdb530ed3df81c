"""`--status` in this process: what it counts from the storage alone, of a changed file, of damaged plans."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import pytest

from study.schema.canonical import sealed
from tests.study.test_launch_whole import SEARCH, Launch, done, launch

__all__ = ["launch"]
KEPT: dict[str, Path] = {}  # storages made by the first test that needs them, copied by the others


@pytest.fixture
def searched(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Launch:
    """After a launch with a search, made once."""
    if "searched" not in KEPT:
        assert launch("--set", SEARCH, "--set", "search.equal=trials", "--set", "design=null")[0] == 0
        KEPT["searched"] = tmp_path_factory.mktemp("kept") / "runs"
        shutil.move("runs", KEPT["searched"])
    shutil.copytree(KEPT["searched"], "runs")
    return functools.partial(launch, "--set", "design=null")


def test_status_counts_from_the_storage_alone(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    code, lines, errors = launch("--status")
    assert (code, errors) == (0, []) and lines == [f"study 'tiny' has not been started in {Path('runs').absolute()}"]
    assert not Path("runs").exists(), "a question leaves nothing behind"
    launch()
    done()[0].unlink()
    before = sorted(Path("runs").rglob("*"))
    monkeypatch.setattr("study.show.tracking.Tracking.__init__", lambda *a: pytest.fail("MLflow was asked"))
    code, lines, errors = launch("--status")
    assert (code, errors) == (0, []) and lines[0].endswith(": not running")
    assert sorted(Path("runs").rglob("*")) == before
    [row] = [line.split("│")[1:-1] for line in lines if line.startswith("│ design")]
    assert [cell.strip() for cell in row] == ["design", "4", "3", "0", "0", "0/6"]
    assert "units of work: 1 left" in lines
    code, lines, _ = launch("--status", "--set", "design.step_size=0.05")  # of what another file has extended
    [row] = [line.split("│")[1:-1] for line in lines if line.startswith("│ design")]
    assert [cell.strip() for cell in row][:3] in (["design", "2", "2"], ["design", "2", "1"])
    code, lines, _ = launch("--status", "--set", "design.replicates=3")
    [row] = [line.split("│")[1:-1] for line in lines if line.startswith("│ design")]
    assert [cell.strip() for cell in row] == ["design", "4", "0", "0", "0", "0/6"], "each has a seed left"
    assert "units of work: 4 left" in lines
    code, lines, _ = launch("--status", "--set", "train.width=3")
    assert "units of work: 1 left of the last launch's" in lines
    counts = "than the last launch; these are the last launch's counts"
    assert f"the file makes another version of the study {counts}" in lines
    for more in ("search={trials: 1, space: {step_size: {log: [0.1, 0.2]}}}", "confirm={top: 1}"):
        code, lines, errors = launch("--status", "--set", more)
        assert (code, errors) == (0, [])
        assert f"the file has other phases or arms {counts}" in lines
    plan = json.loads(Path("runs/tiny/plan.json").read_text())
    for damaged in ({}, {**plan, "planned": {"design": {}}}, {**plan, "floors": None, "planned": {"design": 3}}, None):
        Path("runs/tiny/plan.json").write_text(json.dumps(damaged) if damaged is not None else '{"study')
        code, lines, errors = launch("--status")
        assert (code, errors) == (0, []) and lines[0].endswith("; a launch makes it again") and len(lines) == 1


@pytest.mark.parametrize("change", ["search.space.step_size={log: [0.4, 0.5]}", "search.space.mcmc_steps={int: [2, 4]}",
                                    "search.objective=[primary, particle_gradients]", "search.objective=kl_grid"])
def test_status_replays_a_search_as_the_last_launch_had_it(searched: Launch, change: str) -> None:
    """The file's own search may have other knobs, ranges or objectives than what was asked and told."""
    code, lines, errors = searched("--status", "--set", SEARCH, "--set", change)
    assert (code, errors) == (0, []) and "units of work: 0 left of the last launch's" in lines
    [row] = [line.split("│")[1:-1] for line in lines if line.startswith("│ search")]
    assert [cell.strip() for cell in row][:3] == ["search", "4", "4"]
    plan = json.loads(Path("runs/tiny/plan.json").read_text())
    del plan["sha256"]
    plan["space"]["text"] = "data: gone"  # what it says means nothing now
    Path("runs/tiny/plan.json").write_text(json.dumps(sealed(plan)))
    code, lines, errors = searched("--status", "--set", SEARCH, "--set", change)
    assert (code, errors, lines[-1]) == (0, [], "the file makes another version of the study than the last launch; the "
                                                "next counts what it can use")
