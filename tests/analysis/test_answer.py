"""The sentence and the numbers at the top of the page, on studies whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.page import about
from analysis.text.findings.answer import MOST, answer
from tests.analysis.small_study import study

GONE, AT = [None] * 10, {"common_cell": {"step_size": 0.1, "mcmc_steps": 5}}


def flat(value, n=10):
    return [value + 0.001 * seed for seed in range(n)]


def two(**arms):
    """kl, which is lost at .4, beside arms given as (value at .1, values at .4)."""
    values = {("kl", 0.1, 5): flat(2), ("kl", 0.4, 5): GONE}
    for name, (calm, far) in arms.items():
        values |= {(name, 0.1, 5): flat(calm), (name, 0.4, 5): far}
    return study(values, **AT)


def test_it_says_what_was_compared_and_what_differs():
    assert answer(two(a=(1, flat(1)), b=(1.5, flat(1)))) == (
        "At step size 0.4 with 5 MCMC steps (the widest difference) kl diverged on 10/10 seeds, a and b on 0/10; at "
        "the cell declared beforehand both rank significantly better.")
    assert answer(two(a=(3, flat(1)), b=(2, GONE))).endswith(
        "a on 0/10; at the cell declared beforehand a ranks significantly worse.")


def test_it_says_that_nothing_differs_or_that_nothing_can_be_told():
    assert answer(two(a=(2, GONE))) == (
        "No arm's share of diverged replicates can be told from kl's; at the cell declared beforehand no arm ranks "
        "significantly better or worse.")
    few = study({("kl", 0.1, 5): flat(2, 3), ("a", 0.1, 5): flat(1, 3)})
    assert answer(few).endswith("; too few seeds ran to test quality.")
    alone = study({("kl", 0.1, 5): [1.0, None, 3.0]})
    assert answer(alone) == ("1/3 replicates of the design diverged; no arm shares a cell with a baseline, so none can "
                             "be compared.")
    apart = study({("kl", 0.1, 5): flat(2), ("a", 0.1, 10): flat(1)})  # its steps are its own
    assert answer(apart) == ("0/20 replicates of the design diverged; no arm shares a cell with a baseline; at the "
                             "cell declared beforehand a ranks significantly better.")
    assert answer(replace(alone, finals=alone.finals[:0])) == "No finished replicate yet."


def test_without_a_design_it_says_what_fresh_seeds_say_or_that_there_are_none():
    found = study({("kl", 0.1, 5): flat(2), ("a", 0.2, 5): flat(1), ("b", 0.3, 5): flat(3)})
    searched = replace(found, cells=found.cells.iloc[:0], finals=found.finals.assign(phase="search"))
    assert answer(searched) == "A search chooses and proves nothing: `confirm` tests what it found on fresh seeds."
    assert answer(replace(searched, finals=found.finals.assign(phase="confirm"))) == (
        "Against kl, on fresh seeds a ranks significantly better, b worse.")


def test_overlapping_intervals_are_no_difference():
    values = {("kl", 0.1, 5): [None, None, *flat(1, 8)], ("a", 0.1, 5): flat(1)}
    assert answer(study(values)).startswith("No arm's share of diverged replicates can be told from kl's")


@pytest.mark.parametrize("arms", [1, 2, 5, 12])
def test_many_arms_are_counted_and_it_stays_short(arms):
    said = answer(two(**{f"arm {i} of long name": (1 if i % 3 else 3, flat(1)) for i in range(arms)}))
    assert len(said.split()) <= MOST and said.count(".") <= 3
    assert f"{arms} of {arms} arm" in said


def test_arms_that_differ_at_cells_of_their_own_are_counted_both_ways():
    values = {("kl", 0.1, 5): flat(2), ("kl", 0.4, 5): GONE, ("a", 0.1, 5): GONE, ("a", 0.4, 5): GONE,
              ("b", 0.1, 5): flat(1), ("b", 0.4, 5): flat(1)}
    assert answer(study(values, **AT)) == (
        "At their widest difference from kl, 1 of 2 arms diverged less and 1 more often; at the cell declared "
        "beforehand b rank significantly better, a worse.".replace("b rank", "b ranks"))


def test_the_numbers_are_of_all_replicates_the_largest_step_and_the_best_cell():
    toy = two(a=(1, [None, *flat(0.5, 9)]))
    assert about.facts(toy) == [
        ("40", "replicates trained; 11 of them diverged"),
        ("kl 10/10, a 1/10", "diverged at the largest step size, 0.4"),
        ("1.00", "kid of a at step size 0.1 with 5 MCMC steps, the best design cell (picked on these seeds)")]
    many = two(**{f"a{i}": (1, flat(1) if i else [None, *flat(1, 9)]) for i in range(6)})
    assert about.facts(many)[1] == ("a1 0/10, kl 10/10", "diverged at the largest step size, 0.4 (ends of 7 arms)")
