"""A file of the storage is cut short, or a bit of it flips: it is noticed, said, and the study comes out the same."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from study.run import unit_run as trial
from study.run.unit_progress import unpack
from study.schema.unit import Unit
from study.store.units import DIGEST_BYTES, Store
from tests.faults.holdings import Holdings, differences
from tests.faults.in_process import Round, restart
from tests.faults.tiny import SPEC, UNITS, held_here
from tests.study.test_launch_whole import Launch

pytestmark = pytest.mark.slow

QUICK = SPEC.replace("updates: 24", "updates: 12")
STOP = 6, 3  # in the second turn of the search, with three checkpoints written and two kept
KEPT: dict[str, tuple[Path, Holdings]] = {}  # studies made by the first test that needs them, copied by the others


def cut(path: Path) -> None:
    payload = path.read_bytes()
    path.write_bytes(payload[:len(payload) // 2])


def flip(path: Path) -> None:
    """The lowest bit in the middle: a digit, a letter or a pixel becomes another one."""
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 2] ^= 1
    path.write_bytes(payload)


@pytest.fixture
def study(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> Launch:
    """Launches of the study with its three phases."""
    Path("tiny.yaml").write_text(QUICK)
    monkeypatch.setattr(trial, "CHECKPOINT_SHARE", 0)
    restart(monkeypatch, Round())
    return launch


@pytest.fixture
def calm(study: Launch, tmp_path_factory: pytest.TempPathFactory) -> Holdings:
    """What an undisturbed study holds. Its storage is here; its MLflow store is not, so all is to be shown again."""
    if "whole" not in KEPT:
        assert study(database="calm.db")[0] == 0
        KEPT["whole"] = tmp_path_factory.mktemp("kept") / "runs", held_here("calm.db")
        shutil.move("runs", KEPT["whole"][0])
    shutil.copytree(KEPT["whole"][0], "runs")
    return KEPT["whole"][1]


@pytest.fixture
def interrupted(calm: Holdings, study: Launch, monkeypatch: pytest.MonkeyPatch,
                tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same study interrupted in the middle of a unit of its search: that unit's folder."""
    shutil.rmtree("runs")
    if "half" not in KEPT:
        restart(monkeypatch, Round(STOP))
        assert study(database="half.db")[0] == 130
        restart(monkeypatch, Round())
        KEPT["half"] = tmp_path_factory.mktemp("kept") / "runs", calm
        shutil.move("runs", KEPT["half"][0])
    shutil.copytree(KEPT["half"][0], "runs")
    [unit] = {path.parent for path in Path("runs/tiny").glob("*/*/checkpoint-*")}
    assert len(list(unit.glob("checkpoint-*"))) == 2
    return unit


@pytest.mark.parametrize("how", [cut, flip])
def test_finished_units_run_again_and_other_files_are_made_again(
        how: Callable[[Path], None], study: Launch, calm: Holdings, caplog: pytest.LogCaptureFixture) -> None:
    """A unit of the search whose journal is damaged, too, might be suggested no more: others are damaged."""
    units = sorted((path.parent for path in Path("runs/tiny").glob("*/*/done.json")),
                   key=lambda unit: (calm.phases[f"{unit.parent.name}/{unit.name}"] == ("search", "kl"), unit))
    damaged = [unit / name for unit, name in zip(units, (
        "done.json", "config.json", "records.parquet", next(units[3].glob("*.png")).name), strict=False)]
    others = [Path("runs/tiny/spec.json"), Path("runs/tiny/plan.json"), *Path("runs/tiny/search").glob("*/kl.json")]
    for path in damaged + others:
        how(path)
    stamps = {unit: (unit / "done.json").stat().st_mtime_ns for unit in units}

    code, lines, errors = study()
    assert code == 0, errors
    assert differences(calm, held_here()) == []
    assert sum(line.startswith("[") for line in lines) == len(damaged)
    assert {unit for unit in units if (unit / "done.json").stat().st_mtime_ns != stamps[unit]} == set(units[:4])
    said = [*caplog.messages, *errors]
    for path in [*damaged, others[0], others[2]]:  # plan.json is written at each launch, and never read
        unit = "" if path in others else path.parent.parent.name
        assert [line for line in said if path.name in line and unit in line], path


@pytest.mark.parametrize("how", [cut, flip])
def test_checkpoint_of_a_unit_falls_back_to_the_one_before(
        how: Callable[[Path], None], study: Launch, calm: Holdings, interrupted: Path,
        caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    before, last = sorted(interrupted.glob("checkpoint-*"))
    how(last)
    taken = []
    found = Store.latest_checkpoint

    def spy(self: Store, unit: Unit, *say: Any) -> tuple[int, bytes] | None:
        checkpoint = found(self, unit, *say)
        taken.append(checkpoint and checkpoint[0])
        return checkpoint

    monkeypatch.setattr(Store, "latest_checkpoint", spy)
    code, lines, errors = study()
    assert (code, errors) == (0, [])
    update = int(before.name.removeprefix("checkpoint-"))
    assert [update for update in taken if update is not None] == [update]
    [said] = [line for line in lines if last.name in line]
    assert said.endswith(f"): {last.name} is damaged; it goes on from update {update} of 12")
    assert differences(calm, held_here()) == []


def test_unit_without_a_whole_checkpoint_starts_afresh(study: Launch, calm: Holdings, interrupted: Path,
                                                       caplog: pytest.LogCaptureFixture) -> None:
    for path in interrupted.glob("checkpoint-*"):
        path.write_bytes(b"")
    flip(interrupted / "config.json")  # written again at such a start
    code, lines, errors = study()
    [said] = [line for line in lines if "starts afresh" in line]
    assert (code, errors) == (0, []) and said.count("is damaged; ") == 2 and said.endswith("; it starts afresh")
    assert differences(calm, held_here()) == []


def test_checkpoint_of_another_release_is_told_and_its_unit_starts_afresh(
        study: Launch, calm: Holdings, interrupted: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A header with a field that there is no more: raised in the worker, it would lose the unit at every launch."""
    for path in interrupted.glob("checkpoint-*"):
        progress, state = unpack(path.read_bytes()[DIGEST_BYTES:])
        header = json.dumps({**asdict(progress), "later": 1}).encode()
        payload = len(header).to_bytes(8, "little") + header + state
        path.write_bytes(hashlib.sha256(payload).digest() + payload)
    code, lines, errors = study()
    [said] = [line for line in lines if "starts afresh" in line]
    assert (code, errors) == (0, []) and "it starts afresh: its checkpoint is of another release" in said
    assert differences(calm, held_here()) == []


@pytest.mark.parametrize("how", [cut, flip])
def test_journals_of_an_interrupted_search(how: Callable[[Path], None], study: Launch, calm: Holdings,
                                           interrupted: Path, caplog: pytest.LogCaptureFixture) -> None:
    journals = list(Path("runs/tiny/search").glob("*/*.json"))
    for path in journals:
        how(path)
    code, lines, errors = study()
    assert (code, errors) == (0, [])
    assert [sum(path.name in line for line in caplog.messages) for path in journals] == [1, 1]
    assert sum(line.startswith("[") for line in lines) == UNITS - STOP[0]
    assert differences(calm, held_here()) == []


def test_each_bit_of_a_manifest_is_noticed(calm: Holdings, caplog: pytest.LogCaptureFixture) -> None:
    """One that went unnoticed would change what a search is told, when a unit ran, or how long it took."""
    caplog.set_level("CRITICAL")
    store = Store("runs", "tiny")
    path = min(Path("runs/tiny").glob("*/*/done.json"))
    config = json.loads((path.parent / "config.json").read_text())
    unit = Unit.read(config)
    payload, manifest = path.read_bytes(), store.done(unit)
    assert manifest is not None
    unnoticed = []
    for position in range(len(payload)):
        path.write_bytes(payload[:position] + bytes([payload[position] ^ 1 << position % 8]) + payload[position + 1:])
        found = store.done(unit)
        if found is not None:
            unnoticed += [found] if found != manifest else []
    assert unnoticed == []


def test_no_bit_makes_the_status_fail(study: Launch, interrupted: Path) -> None:
    """Every 37th byte of what nothing else guards: of the plan, and of the configuration of a unit that has begun."""
    for path in (interrupted / "config.json", Path("runs/tiny/plan.json")):
        payload = path.read_bytes()
        for position in range(0, len(payload), max(37, len(payload) // 40)):
            flipped = bytes([payload[position] ^ 1 << position % 8])
            path.write_bytes(payload[:position] + flipped + payload[position + 1:])
            code, lines, errors = study("--status")
            assert (code, errors) == (0, []) and lines, (path.name, position)
        path.write_bytes(payload)
