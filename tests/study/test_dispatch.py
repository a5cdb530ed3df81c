"""A round without Ray: what becomes of units whose workers die, move, prune or run out of memory, in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.cluster import RunError
from study.run.dispatch import (
    DIED,
    MOVED,
    MOVES,
    RETRIES,
    UNFOUND,
    Dispatch,
    End,
    Failed,
    Finished,
    Moved,
    OutOfMemory,
)
from study.run.sources import Fixed
from study.schema.unit import Unit
from study.store.units import StorageError
from tests.configurations import unit

KILLED, GONE, RAISED = Failed(DIED), Moved(), Failed("ValueError: no")
ENDS: list[End] = [Finished("finished"), Finished("diverged"), Finished("pruned", {3: 0.5}), KILLED, GONE, RAISED,
                   Moved("node aa: old"), OutOfMemory()]


class Watcher:
    """Notes what it is told, without the unit."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.ends: Counter[tuple[str, str]] = Counter()  # unit's key and event
        self.is_there: Callable[[], bool] = lambda: True  # what is finished

    def __getattr__(self, name: str) -> Any:
        def note(unit: Unit, *rest: Any) -> bool:
            if is_there := name != "finished" or self.is_there():
                self.told.append((name, *rest))
                self.ends[unit.key, name] += 1
            return is_there

        return note


def play(ends: list[End], **options: Any) -> list[tuple[Any, ...]]:
    """One unit whose workers end so, one after the other, as long as it gets another."""
    watcher, told = Watcher(), list[str]()
    dispatch = Dispatch(Fixed([unit()], lambda unit, status: told.append(status)), watcher, **options)
    for number, how in enumerate(ends):
        if dispatch.assign(str(number)) is None:
            break
        dispatch.ended(str(number), how)
    assert told == ["lost"] * sum(what == "lost" for what, *_ in watcher.told) and dispatch.is_over == bool(told)
    return watcher.told


@pytest.mark.parametrize("ends, died", [
    ([KILLED, KILLED], "2 workers"), ([GONE] * 5, "5 nodes"), ([KILLED, *[GONE] * 4, KILLED], "2 workers")])
def test_what_two_workers_or_five_nodes_died_under_runs_again_alone(ends: list[End], died: str) -> None:
    """The kernel, or a pod's limit, kills for memory without a word that Ray hears."""
    *before, last = play([*ends, RAISED])
    assert {what for what, *_ in before} <= {"retried"}
    assert last == ("lost", f"{died} died under it, perhaps for want of memory", True)
    assert len(before) == len(ends) - 1


def test_alone_the_usual_counts_hold() -> None:
    """There a spot machine's end is no fault of the unit, and a worker's second one is."""
    told = play([GONE] * 99, alone=True)
    assert told == [("retried", MOVED)] * MOVES + [("lost", MOVED, False)]
    told = play([KILLED] * 99, alone=True)
    assert told == [("retried", DIED)] * RETRIES + [("lost", DIED, False)]


def test_what_raises_twice_is_lost_and_what_has_no_memory_at_once() -> None:
    assert play([RAISED] * 9) == [("retried", "ValueError: no"), ("lost", "ValueError: no", False)]
    assert play([OutOfMemory()]) == [("lost", "out of memory", True)]


@pytest.mark.parametrize("found", [[False, True], [False, False]])
def test_what_is_finished_and_nowhere_found_fails_alone(found: list[bool]) -> None:
    """Its worker wrote elsewhere, or the driver's disk does not show it yet: it is tried once more, and the round goes
    on, though a search would find nothing to be told."""
    watcher, told, answers = Watcher(), list[str](), list(found)
    source = Fixed([unit(), unit((1,))], lambda unit, status: told.append(status))
    watcher.is_there = lambda: not answers or answers.pop(0)
    dispatch = Dispatch(source, watcher)
    for name in "012":
        assert dispatch.assign(name) is not None
        dispatch.ended(name, Finished("finished"))
    assert dispatch.is_over
    assert told == [*(["finished"] if found[1] else ["lost"]), "finished"]
    assert watcher.told == [("retried", UNFOUND), ("finished", None) if found[1] else ("lost", UNFOUND, False),
                            ("finished", None)]


def test_what_cannot_be_read_is_lost_and_the_round_goes_on() -> None:
    def away() -> bool:
        raise StorageError("the bucket is away")

    watcher, told = Watcher(), list[str]()
    watcher.is_there = away
    dispatch = Dispatch(Fixed([unit(), unit((1,))], lambda unit, status: told.append(status)), watcher)
    dispatch.assign("0")
    dispatch.ended("0", Finished("finished"))
    assert (told, watcher.told) == (["lost"], [("lost", "the bucket is away", False)])
    assert dispatch.assign("1") is not None


@pytest.mark.parametrize("error", [StorageError, RunError])
def test_a_journal_or_sampler_that_fails_when_a_trial_is_told_ends_the_round(error: type[Exception]) -> None:
    """Raised where Tune says that a trial has ended, it would come out as Tune's own error, with a traceback."""
    class Full(Fixed):
        def finished(self, unit: Unit, status: str) -> None:
            raise error("storage 'runs' is not writable: No space left on device")

    dispatch = Dispatch(Full([unit(), unit((1,))]), Watcher())
    dispatch.assign("first")
    dispatch.ended("first", Finished("finished"))
    with pytest.raises(error, match="No space left"):
        dispatch.assign("second")


@settings(max_examples=300, deadline=None)
@given(units=st.integers(1, 5), most=st.integers(1, 6), alone=st.booleans(), moves=st.lists(
    st.tuples(st.booleans(), st.integers(0, 3), st.sampled_from(ENDS)), max_size=60))
def test_every_unit_ends_exactly_once(units: int, most: int, alone: bool, moves: list[tuple[bool, int, End]]) -> None:
    """Whatever happens in whatever order: a unit that was assigned is done, lost or interrupted, once; source and
    watcher agree; nothing is lost while it may be retried, no unit runs twice at once, and no more begin than may."""
    told: Counter[tuple[str, str]] = Counter()
    watcher, begun = Watcher(), set[str]()
    source = Fixed([unit((seed,)) for seed in range(units)],
                   lambda unit, status: told.update([(unit.key, status)]))
    dispatch = Dispatch(source, watcher, alone=alone, most=most)
    for number, (assigns, which, how) in enumerate(moves):
        if assigns:
            if (one := dispatch.assign(str(number))) is not None:
                begun.add(one.key)
            assert len({unit.key for unit in dispatch.running.values()}) == len(dispatch.running)
        elif dispatch.running:
            dispatch.ended(list(dispatch.running)[which % len(dispatch.running)], how)
    was_over = dispatch.is_over
    dispatch.interrupt()
    assert len(begun) <= min(most, units) and not dispatch.running
    assert was_over <= (len(begun) == min(most, units))
    for key in begun:
        ends = {name: watcher.ends[key, name] for name in ("finished", "lost", "interrupted")}
        assert sum(ends.values()) == 1 == sum(n for (unit, _), n in told.items() if unit == key)
        assert ends["interrupted"] == told[key, "interrupted"] and ends["lost"] == told[key, "lost"]
        assert watcher.ends[key, "retried"] <= RETRIES + MOVES
        assert not (was_over and ends["interrupted"])
