"""Whose a run in MLflow is: what several versions of a study prune or train. What counts, `Results.counted` says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from study.schema.manifest import Manifest
from study.schema.unit import Unit
from study.show.tracking import Tracking
from study.store.units import Store
from tests.study.test_tracking import KID, finished_unit, planned_unit, runs, show, snapshot, store, uri

__all__ = ["store", "uri"]
pytestmark = pytest.mark.filterwarnings(  # MLflow's own use of SQLAlchemy
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")


def test_a_trial_says_by_which_versions_it_was_trained_whoever_shows_it(uri: str, store: Store) -> None:
    tracking = Tracking(uri, "jko", "v3")
    for version, seeds in (("v1", (0, 1)), ("v2", (2,))):
        store.stamp["study_version"] = version
        finished_unit(store, seeds)
    show(tracking, store, planned_unit())
    [trial] = runs(tracking, "trial")
    assert trial.data.tags["study_version"] == "v1,v2"
    assert [run.data.tags["study_version"] for run in runs(tracking, "replicate")] == ["v1", "v1", "v2"]


def pruned_unit(store: Store) -> Unit:
    """Of a search, which stopped it."""
    unit = planned_unit(phase="search")
    store.write_done(unit, Manifest(status="pruned", rungs={10: 0.5}, primary=KID))
    return unit


def test_what_two_versions_pruned_is_the_last_s(uri: str, store: Store) -> None:
    tracking = Tracking(uri, "jko", "v2")
    for version, rungs in (("v1", {10: 0.5}), ("v2", {10: 0.5, 30: 0.25})):
        store.stamp["study_version"] = version
        store.write_done(planned_unit(phase="search"), Manifest(status="pruned", rungs=rungs, primary=KID))
        show(tracking, store, planned_unit())
        [trial] = runs(tracking, "trial")
        assert [trial.data.tags[key] for key in ("study_version", "status", "last_rung")] == [
            version, "pruned", str(max(rungs))]


def test_a_trial_that_was_pruned_and_is_trained_by_a_later_version_is_as_if_never_pruned(
        uri: str, store: Store) -> None:
    """With the seeds that it had, or with more: what was pruned then lies in a folder of its own."""
    def shown(tracking: Tracking) -> list[Any]:
        return [({**tags, "last_rung": ""}, *rest[:-4], rest[-4], rest[-2])  # without when it was pruned
                for tags, *rest in snapshot(tracking)]

    for seeds in ((0, 1, 2), (0, 1, 2, 3)):
        name = f"of {len(seeds)}"
        tracking, never = Tracking(uri, name, "v2"), Tracking(uri, f"{name}, never pruned", "v2")
        show(Tracking(uri, name, "v1"), store, pruned_unit(store))
        assert Tracking(uri, name, "v2").shown()["abc123"].status == "pruned"
        unit = finished_unit(store, seeds, phase="search")
        for one in (tracking, never):
            show(one, store, unit)
        assert tracking.shown()["abc123"].status == "finished" and tracking.shown()["abc123"].seeds == unit.block
        assert shown(tracking) == shown(never)
        store.delete(f"{unit.key}/done.json")


def test_what_one_arm_pruned_and_the_same_by_another_name_trained_is_shown(uri: str, store: Store) -> None:
    """MLflow changes no parameter, and the arm's name is one."""
    show(Tracking(uri, "jko", "v1"), store, pruned_unit(store))
    unit = finished_unit(store, phase="search")
    renamed = replace(unit, configuration=replace(unit.configuration, arm="renamed"))
    store.write_done(renamed, Manifest(status="finished", primary=KID))
    show(Tracking(uri, "jko", "v2"), store, renamed)
    [trial] = runs(Tracking(uri, "jko", "v2"), "trial")
    assert (trial.data.tags["status"], trial.data.tags["arm"]) == ("finished", "renamed")
    assert trial.data.params["arm"] == "jko", "as it was made"
