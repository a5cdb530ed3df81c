"""A longer training goes on from a shorter one that is kept: to the numbers of training at once, or it begins anew."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from study.plan.identity import config_hash
from study.run.further import Further
from study.run.unit_run import UnitRun
from study.schema.manifest import File, Manifest
from study.schema.unit import Unit
from study.store.units import Store
from tests.study.test_launch_whole import Launch, launch
from tests.study.test_unit_run import rows, run, unit

__all__ = ["launch"]
KEPT = Manifest(status="finished", state=File(sha256="", bytes=1))


@pytest.mark.parametrize(("method", "more"), [
    ("kl", {"score_scale": 1e12}), ("jko", {"spectral_norm": True}), ("hidden", {}),
    ("ggcn", {"latent_steps": 2})])
def test_records_and_networks_are_those_of_training_at_once(tmp_path: Path, method: str, more: dict[str, Any]) -> None:
    """The first diverges at once."""
    long, short = (replace(unit(method=method, updates=updates, points=points, **more), config_hash=f"of{updates}")
                   for updates, points in ((12, 4), (6, 2)))
    once, parts = Store(str(tmp_path / "once"), "s"), Store(str(tmp_path / "parts"), "s")
    run(UnitRun(long, once, floor=0.1))
    run(UnitRun(short, parts, floor=0.1))
    later = UnitRun(long, parts, floor=0.1, begin_from=short.plain())
    run(later)
    assert later.take_notes() == [f"it goes on from update {1 if method == 'kl' else 6} of 12"]
    assert rows(parts, long) == rows(once, long)
    assert any(row["verdict"] == "diverged" for row in rows(once, long)) == (method == "kl")
    states = [store.read_state(long, manifest) for store in (once, parts) if (manifest := store.done(long))]
    assert states[0] == states[1] and states[0]


def test_networks_that_are_gone_begin_anew(tmp_path: Path) -> None:
    long, short = (replace(unit(updates=updates, points=points), config_hash=f"of{updates}")
                   for updates, points in ((12, 4), (6, 2)))
    store = Store(str(tmp_path), "s")
    run(UnitRun(short, store))
    (tmp_path / "s" / short.key / "state.safetensors").unlink()
    one = UnitRun(long, store, begin_from=short.plain())
    assert run(one)[0]["update"] == 3
    assert one.take_notes() == ["the networks after 6 updates are kept no more", "it starts afresh"]


def test_networks_that_are_damaged_are_named_and_the_unit_begins_anew(tmp_path: Path) -> None:
    long, short = (replace(unit(updates=updates, points=points), config_hash=f"of{updates}")
                   for updates, points in ((12, 4), (6, 2)))
    store = Store(str(tmp_path), "s")
    run(UnitRun(short, store))
    (tmp_path / "s" / short.key / "state.safetensors").write_bytes(b"rotten")
    one = UnitRun(long, store, begin_from=short.plain())
    assert run(one)[0]["update"] == 3
    said, afresh = one.take_notes()
    assert "state.safetensors is not what done.json says" in said and afresh == "it starts afresh"


def of(updates: int, points: int, **more: Any) -> Unit:
    made = unit(updates=updates, points=points, **more)
    return replace(made, config_hash=config_hash(made.configuration, "data"))


def test_the_longest_beginning_is_taken_and_what_is_none_is_said() -> None:
    kept = [of(10, 2), of(20, 4), of(20, 5), of(30, 6, method="kl"), of(25, 5, seeds=(0, 1, 2)), of(40, 8)]
    further = Further([(one, KEPT) for one in kept], "data")
    assert further.of(of(40, 8)) == of(20, 4) and further.of(of(60, 12)) == of(40, 8) and not further.anew
    assert further.of(of(15, 3, method="kl")) is None and further.of(of(5, 1)) is None and not further.anew
    assert {*further.blocks(of(60, 12, seeds=(0, 1, 2, 3)))} == {(0, 1), (0, 1, 2)}
    assert further.blocks(of(60, 12, seeds=(1, 2))) == []
    for _ in range(2):
        assert further.of(of(80, 4)) is None
    assert {reason: len(keys) for reason, keys in further.anew.items()} == {
        "their evaluations stand elsewhere than those of the 40 updates that are kept; evaluation.points: 16 would go "
        "on from these": 1}
    assert Further([(of(10, 2), Manifest(status="finished"))], "data").of(of(20, 4)) is None, "nothing is kept"
    assert Further([(of(10, 2), KEPT)], "other data").of(of(20, 4)) is None
    other = Further([(of(10, 2, seeds=(0, 1, 2)), KEPT)], "data")
    assert other.of(of(20, 4)) is None and other.of(of(20, 4, seeds=(3, 4))) is None
    assert {reason: len(keys) for reason, keys in other.anew.items()} == {
        "the seeds 0-2 of them were trained together": 1}
    decayed = Further([(of(10, 2, decay="cosine"), KEPT)], "data")
    assert decayed.of(of(20, 4, decay="cosine")) is None
    assert [*decayed.anew] == ["decay: cosine depends on how many updates there are"]
    far = Further([(of(1000, 2), KEPT)], "data")
    assert far.of(of(2000, 4)) is None
    assert [*far.anew] == ["the divergence rule compares with the last 100 updates, in the 1000 that are kept with 50"]


def test_more_updates_of_a_study_go_on_from_what_it_has(launch: Launch) -> None:
    one = ("--set", "method=kl", "--set", "design.step_size=0.1")
    assert launch(*one)[0] == 0
    code, lines, _ = launch(*one, "--set", "train.updates=8")
    assert code == 0 and any(line.startswith("1 unit began anew, though shorter") and
                             line.endswith("evaluation.points: 4 would go on from these") for line in lines)
    code, lines, _ = launch(*one, "--set", "train.updates=8", "--set", "evaluation.points=4")
    done = [manifest for _, manifest in Store("runs", "tiny").done_units()]
    assert code == 0 and len(done) == 3 and not any("began anew" in line for line in lines)
    of_one = sorted(m.wall_seconds for m in done if m.started == min(m.started for m in done))
    assert len(of_one) == 2 and of_one[0] < of_one[1], "the longer one's clock goes on, too"


def test_replicates_that_were_added_go_on_each_in_its_block(launch: Launch) -> None:
    """Seeds that a study had at first, and those that came to them."""
    one = ("--set", "method=kl", "--set", "design.step_size=0.1", "--set", "confirm={top: 1, replicates: 2}")
    assert launch(*one)[0] == 0
    more = (*one, "--set", "design.replicates=4", "--set", "confirm.replicates=3")
    assert launch(*more)[0] == 0
    further = (*more, "--set", "train.updates=8", "--set", "evaluation.points=4")
    code, lines, _ = launch(*further)
    longer = {unit.seeds: unit for unit, _ in Store("runs", "tiny").done_units()
              if unit.configuration.knobs["updates"] == 8}
    assert code == 0 and not any("began anew" in line for line in lines)
    assert sorted(longer) == [(0, 1), (2, 3), (2000, 2001), (2002,)]
    shutil.rmtree(Path("runs/tiny") / longer[2002,].config_hash)
    assert any("1 finished, 2 left" in line for line in launch(*further, "--dry-run")[1])
