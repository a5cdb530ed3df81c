"""What is left of a unit: blocks of the seeds that are missing, cut where one has begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.results import Results
from study.storage import Store, Unit


@pytest.mark.parametrize("done, begun, left", [
    ("", [], ["0-4"]), ("01234", [(0, 1)], []), ("012", [], ["3-4"]), ("34", [], ["0-2"]),
    ("13", [], ["0-0", "2-2", "4-4"]),
    ("", [(0, 1)], ["0-1", "2-4"]), ("", [(1, 2)], ["0-0", "1-2", "3-4"]), ("4", [(0, 1), (0, 1, 2)], ["0-2", "3-3"]),
    ("0", [(0, 1)], ["1-4"]), ("", [(3, 4), (0, 1)], ["0-1", "2-2", "3-4"]), ("", [(3, 4, 5)], ["0-4"])])
def test_blocks_that_are_left(tmp_path: Path, done: str, begun: list[tuple[int, ...]], left: list[str]) -> None:
    results, unit = Results(Store(str(tmp_path), "s"), "kid"), Unit({"a": 1}, tuple(range(5)), "abc")
    results._final = {("abc", int(seed)): {} for seed in done} | {("other", 0): {}}
    for seeds in begun:
        results.begin(Unit({}, seeds, "abc"))
        results.begin(Unit({}, seeds, "other"))
    assert [rest.block for rest in results.rests(unit)] == left
    assert all(rest.configuration == {"a": 1} and rest.config_hash == "abc" for rest in results.rests(unit))
    whole = results.rest(unit)
    assert (whole.block if whole else None) == (f"{left[0].split('-')[0]}-{left[-1].split('-')[1]}" if left else None)
