"""Whose a run in MLflow is: what several versions of a study count, prune or train, and arms that are renamed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from study.schema.manifest import Manifest
from study.schema.unit import Unit
from study.show.tracking import Tracking
from study.store.units import Store
from tests.study.test_tracking import KID, finished_unit, log_unit, planned_unit, runs, snapshot, store, uri

__all__ = ["store", "uri"]
pytestmark = pytest.mark.filterwarnings(  # MLflow's own use of SQLAlchemy
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")


def test_version_that_plans_an_earlier_trial_adopts_it(uri: str, store: Store) -> None:
    old, new = Tracking(uri, "jko", "v1"), Tracking(uri, "jko", "v2")
    for config_hash in ("kept", "dropped"):
        log_unit(old, store, finished_unit(store, (0,), config_hash=config_hash))
    new.adopt({"kept": ["jko"], "planned": ["jko"]})
    versions = {run.data.tags["config_hash"]: run.data.tags["study_version"] for run in runs(new, "trial")}
    assert versions == {"kept": "v2", "dropped": "v1"}


def test_an_arm_that_was_renamed_has_its_new_name(uri: str, store: Store) -> None:
    """Where the trial belongs to two arms, the one that trained it keeps it."""
    old, new = Tracking(uri, "jko", "v1"), Tracking(uri, "jko", "v2")
    for config_hash in ("renamed", "shared"):
        log_unit(old, store, finished_unit(store, (0,), config_hash=config_hash))
    new.adopt({"renamed": ["jko+", "both"], "shared": ["other", "jko"]})
    for kind in ("trial", "replicate"):
        assert {run.data.tags["config_hash"]: run.data.tags["arm"] for run in runs(new, kind)} == {
            "renamed": "jko+", "shared": "jko"}


def test_an_empty_store_is_shown_each_unit_as_its_version_s(uri: str, store: Store) -> None:
    """Of what an earlier version trained this one adopts what it counts, and the rest is none of its."""
    tracking, unit = Tracking(uri, "jko", "v2"), finished_unit(store, (0, 1))
    store.stamp["study_version"] = "v1"
    store.write_done(unit, Manifest(status="finished", primary=KID))
    log_unit(tracking, store, unit)

    def versions() -> list[str]:
        return [run.data.tags["study_version"] for kind in ("trial", "replicate") for run in runs(tracking, kind)]

    assert versions() == ["v1"] * 3
    tail = finished_unit(store, (2,))
    store.write_done(tail, Manifest(status="finished", primary=KID))
    log_unit(tracking, store, tail)
    assert versions() == ["v1"] * 4
    tracking.adopt({unit.config_hash: ["jko"]})
    assert versions() == ["v2"] * 4
    store.stamp["study_version"] = "v1"
    older = finished_unit(store, (3,))
    store.write_done(older, Manifest(status="finished", primary=KID))
    log_unit(tracking, store, older)
    assert versions() == [*["v2"] * 4, "v1"], "the trial counts; whether this seed does is for `adopt` to say"


def test_a_confirmation_of_an_earlier_choice_keeps_its_results_and_not_its_version(uri: str, store: Store) -> None:
    """Until it is chosen again."""
    tracking = Tracking(uri, "jko", "v1")
    for config_hash, phase in (("old", "confirm"), ("new", "confirm"), ("cell", "design")):
        log_unit(tracking, store, finished_unit(store, (0,), config_hash=config_hash, phase=phase))

    def versions() -> dict[str, str]:
        of = [run.data.tags for run in (*runs(tracking, "trial"), *runs(tracking, "replicate"))]
        assert all(tags["complete"] == "true" for tags in of) and len(of) == 6
        return {tags["config_hash"]: tags["study_version"] for tags in of}

    before = versions()
    tracking.choose({})
    tracking.choose({"another arm": {"x"}})
    assert versions() == before == dict.fromkeys(("old", "new", "cell"), "v1")
    arm = runs(tracking, "trial")[0].data.tags["arm"]
    tracking.choose({arm: {"new"}})
    assert versions() == {**before, "old": "v1-superseded"}
    tracking.adopt({"old": ["jko"], "cell": ["jko"]})
    tracking.choose({arm: {"old"}})
    assert versions() == {**before, "new": "v1-superseded"}


def pruned_unit(store: Store) -> Unit:
    """Of a search, which stopped it."""
    unit = planned_unit(phase="search")
    store.write_done(unit, Manifest(status="pruned", rungs={10: 0.5}, primary=KID))
    return unit


def test_what_an_earlier_version_pruned_is_not_adopted(uri: str, store: Store) -> None:
    old, new = Tracking(uri, "jko", "v1"), Tracking(uri, "jko", "v2")
    log_unit(old, store, pruned_unit(store))
    log_unit(old, store, finished_unit(store, (0,), config_hash="x", phase="search"))
    new.adopt({"abc123": ["jko"], "x": ["jko"]})
    assert {run.data.tags["status"]: run.data.tags["study_version"] for run in runs(new, "trial")} == {
        "pruned": "v1", "finished": "v2"}


def test_what_two_versions_pruned_belongs_to_the_last(uri: str, store: Store) -> None:
    """It vanished from the second one. What the first pruned and nobody else is not shown as another's."""
    old, new = Tracking(uri, "jko", "v1"), Tracking(uri, "jko", "v2")
    store.stamp["study_version"] = "v1"
    unit = pruned_unit(store)
    log_unit(old, store, unit)
    log_unit(new, store, unit)
    assert [run.data.tags["study_version"] for run in runs(new, "trial")] == ["v1"]
    store.stamp["study_version"] = "v2"
    store.write_done(unit, Manifest(status="pruned", rungs={10: 0.5, 30: 0.25}, primary=KID))
    log_unit(new, store, unit)
    [trial] = runs(new, "trial")
    assert (trial.data.tags["study_version"], trial.data.tags["status"]) == ("v2", "pruned")
    assert json.loads(trial.data.tags["rungs"]) == {"10": 0.5, "30": 0.25}
    old.adopt({unit.config_hash: ["jko"]}, stopped={unit.config_hash})  # the file is the first version's again
    assert [run.data.tags["study_version"] for run in runs(new, "trial")] == ["v1"]


def test_a_trial_that_was_pruned_and_is_trained_by_a_later_version_is_as_if_never_pruned(
        uri: str, store: Store) -> None:
    def shown(tracking: Tracking) -> list[Any]:
        found = snapshot(tracking)
        return [(tags, *rest[:-4], rest[-4], rest[-2]) for tags, *rest in found]  # without when it was pruned

    tracking, never = Tracking(uri, "jko", "v2"), Tracking(uri, "never pruned", "v2")
    log_unit(Tracking(uri, "jko", "v1"), store, pruned_unit(store))
    assert tracking.finished()["abc123", (0, 1, 2)].status == "pruned"
    unit = finished_unit(store, phase="search")
    for one in (tracking, never):
        log_unit(one, store, unit)
    assert tracking.finished()["abc123", (0, 1, 2)].status == "finished"
    assert shown(tracking) == shown(never)
