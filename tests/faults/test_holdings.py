"""The comparison itself: whatever is lost, doubled, left open or different is told."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from tests.faults.holdings import Holdings, Shown, counts_differ, differences, doubled, lost


def shown(complete: str = "true", status: str = "FINISHED", value: float = 1.0) -> Shown:
    return Shown(status, {"complete": complete}, {"gap": [(1, value)]})


def whole() -> Holdings:
    return Holdings(units={"a/0-0": "finished", "b/0-0": "diverged"},
                    phases={"a/0-0": ("search", "kl"), "b/0-0": ("search", "kl")},
                    records={("a", "0"): [{"update": 1, "gap": 1.0}], ("b", "0"): [{"update": 1, "gap": 2.0}]},
                    journals={"kl": [{"unit": "a/0-0", "state": "told", "values": [1.0]},
                                     {"unit": "b/0-0", "state": "told", "values": [2.0]}]},
                    trials={"a": [shown()], "b": [shown()]}, replicates={("a", "0"): [shown()], ("b", "0"): [shown()]},
                    launches=["KILLED", "FINISHED"])


def test_equal_studies_do_not_differ() -> None:
    assert differences(whole(), whole()) == counts_differ(whole(), whole()) == []
    assert (lost(whole(), whole()), doubled(whole(), whole())) == (0, 0)


@pytest.mark.parametrize(("change", "counts"), [
    (lambda h: (h.units.pop("b/0-0"), h.phases.pop("b/0-0")), (1, 0)),
    (lambda h: h.trials.pop("b"), (1, 0)),
    (lambda h: (h.units.update({"c/0-0": "finished"}), h.phases.update({"c/0-0": ("search", "kl")})), (1, 1)),
    (lambda h: h.trials["a"].append(shown()), (0, 1)),
    (lambda h: h.replicates[("a", "0")].append(shown()), (0, 1)),
    (lambda h: h.replicates.pop(("a", "0")), (0, 0)),
    (lambda h: h.launches.append("RUNNING"), (0, 0)),
    (lambda h: h.trials.update(a=[shown(status="RUNNING")]), (0, 0)),
    (lambda h: h.trials.update(a=[shown(complete="")]), (0, 0)),
    (lambda h: h.journals["kl"][1].update(state="asked"), (0, 0))])
def test_what_no_finished_study_may_hold(change: Callable[[Holdings], object], counts: tuple[int, int]) -> None:
    """Told in either comparison."""
    held = copy.deepcopy(whole())
    change(held)
    assert differences(whole(), held) != [] and counts_differ(whole(), held) != []
    assert (lost(whole(), held), doubled(whole(), held)) == counts


@pytest.mark.parametrize("change", [
    lambda h: h.records[("a", "0")][0].update(gap=1.0000001),
    lambda h: h.units.update({"a/0-0": "diverged"}),
    lambda h: h.trials.update(a=[shown(value=2.0)]),
    lambda h: h.replicates.update({("a", "0"): [shown(value=2.0)]}),
    lambda h: h.journals["kl"][0].update(values=[3.0])])
def test_another_number_is_a_difference(change: Callable[[Holdings], object]) -> None:
    held = copy.deepcopy(whole())
    change(held)
    assert len(differences(whole(), held)) == 1
