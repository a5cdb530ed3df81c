"""Sentences of the report on studies whose truth is known: what they claim, and what they may not leave out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.page import about
from analysis.panels.cell_tables import every_frame, main_frame, main_words
from analysis.panels.confirmed import Confirmed
from analysis.panels.limits import limit_words
from analysis.read.study import CELL, Study
from analysis.stats import cells as tables
from analysis.stats import limits
from analysis.stats.comparisons import confirm_comparisons, confirmed_cells
from analysis.stats.inference import wilson
from analysis.stats.outcomes import reasons
from analysis.text.findings import findings, rule
from analysis.text.findings.cells import best
from analysis.text.findings.confirm import confirmed
from analysis.text.findings.divergence import chance_apart, divergence
from analysis.text.findings.law import law
from analysis.text.findings.quality import quality
from analysis.text.findings.verdicts import verdicts
from tests.analysis.small_study import study

Values = dict[tuple[str, float, int], Any]


def flat(value: float, n: int = 10) -> list[float | None]:
    return [value + 0.001 * seed for seed in range(n)]


def ended(of: Study, how: Callable[[pd.Series], tuple[str, str, str | None]]) -> Study:
    """The study with (verdict, flags, reason) of each replicate; what diverged stays so."""
    rows = [how(row) for _, row in of.finals.iterrows()]
    told = of.finals.assign(verdict=[v for v, *_ in rows], flags=[f or None for _, f, _ in rows],
                            reason=[r for *_, r in rows])
    return dataclasses.replace(of, finals=told)


def texts(found: list[Any]) -> str:
    return " | ".join(f.text for f in found)


def fresh(values: Values, configurations: int = 0, **plan: Any) -> Study:
    planned = {"confirm": {"configurations": configurations or len(values), "replicates": 10}}
    return study(values, phase="confirm", planned=planned, **plan)


def test_confirm_names_all_that_cannot_be_told_from_the_best_and_tests_against_the_baseline():
    """`b` has the better mean and wins half of its seeds against `a`; `d` loses all against the baseline."""
    a = flat(1)
    b = [v - 0.002 if seed % 2 else v + 0.001 for seed, v in enumerate(flat(1)) if v is not None]
    toy = fresh({("kl", 0.1, 5): flat(2), ("a", 0.2, 5): a, ("b", 0.2, 5): b, ("c", 0.1, 5): flat(2),
                 ("d", 0.1, 5): [None] * 10}, configurations=6, floors={"kid": {"mean": 0.0005, "sd": 0.015, "n": 256}})
    first, second = confirmed(toy)
    assert "of 5 confirmed configurations" in first.text and ", floor 0.001 ± 0.015)" in first.text
    assert ("b ranks best" in first.text and "a cannot be told" in first.text) or (
        "a ranks best" in first.text and "b cannot be told" in first.text)
    assert "; kl, c and d rank worse." in first.text
    p = 5 * 2 / 2**10  # family: 6 planned without the baseline's
    assert confirm_comparisons(toy).set_index("arm")["p_holm"].to_dict() == pytest.approx(
        {"a": p, "b": p, "c": 1.0, "d": p})
    assert second.text == ("Against kl, on fresh seeds: a and b rank significantly better; d ranks significantly "
                           "worse; c is not significantly different.")
    bold = every_frame(toy, "confirm", ["kid"], ["a-0.2-5", "b-0.2-5"])
    assert bold.set_index("arm")["bold"].to_dict() == {"kl": False, "a": True, "b": True, "c": False, "d": False}


def test_the_table_of_the_confirm_phase_has_bold_and_its_tests():
    toy = fresh({("kl", 0.1, 5): flat(2), ("a", 0.2, 5): flat(1), ("b", 0.2, 5): flat(1)})
    panel = Confirmed()
    frame = panel.frame(toy)
    first, second = panel.tables(toy, frame)
    caption = panel.caption(toy, frame)
    assert (first.name, second.name) == ("confirm_cells", "confirm_comparisons") and "Bold" in caption
    assert first.words is not None and [first.words.loc[i, "arm"] for i, _ in first.words.attrs["bold"]] == ["a", "b"]
    assert second.numbers["arm"].tolist() == ["a", "b"] and "Holm over the 2 comparisons" in caption


def test_the_settings_of_what_was_confirmed_stand_beside_it():
    values: Values = {("kl", 0.1, 5): flat(2), ("a", 0.2, 5): flat(1)}
    arms = {"kl": {"fixed": {"lr_f": 0.00123456, "jko_weight": 0.5}}, "a": {"fixed": {"lr_f": 0.002}}}
    search = {"sampler": "tpe", "arguments": {}, "prune": None, "objectives": ["kid"], "directions": ["minimize"],
              "diverged_value": {}, "log": [], "idle": {"kl": ["jko_weight"]}}
    toy = fresh(values, arms=arms, search=search, factors=[*CELL, "lr_f", "jko_weight"])
    last = Confirmed().tables(toy, Confirmed().frame(toy))[-1]
    assert last.name == "confirm_settings" and last.words is not None
    assert last.words[["arm", "lr_f"]].to_numpy().tolist() == [["a", "0.002"], ["kl", "0.001235"]]
    assert "jko_weight" not in last.words, "no arm has it with an effect"
    assert last.numbers["lr_f"].tolist() == [0.002, 0.00123456]
    few = fresh(values)
    assert [table.name for table in Confirmed().tables(few, Confirmed().frame(few))] == [
        "confirm_cells", "confirm_comparisons"]


def test_confirm_of_few_seeds_claims_nothing():
    toy = fresh({("kl", 0.1, 5): flat(2, 3), ("a", 0.2, 5): flat(1, 3)})
    first, second = confirmed(toy)
    assert "a has the fewest diverged and then the best mean" in first.text
    assert "too few seeds for a test" in first.text
    assert second.text == ("Against kl, on fresh seeds, no p of so few untied pairs could have reached 0.05 among 1 "
                           "comparison.")
    lost = fresh({("kl", 0.1, 5): [None] * 3, ("a", 0.2, 5): [None] * 3})
    assert texts(confirmed(lost)) == "Every confirmed configuration diverged on every fresh seed."


def test_several_confirmed_configurations_of_an_arm_have_names_and_the_baselines_best_stands():
    toy = fresh({("kl", 0.1, 5): flat(3), ("kl", 0.2, 5): flat(2), ("a", 0.1, 5): flat(2.5), ("a", 0.2, 5): flat(1)})
    assert confirmed_cells(toy)["name"].tolist() == ["kl (0.1, 5 steps)", "kl (0.2, 5 steps)", "a (0.1, 5 steps)",
                                                     "a (0.2, 5 steps)"]
    tests = confirm_comparisons(toy)
    assert tests["baseline"].unique().tolist() == ["kl (0.2, 5 steps)"] and tests["family"].tolist() == [2, 2]
    assert tests["better"].tolist() == [0, 10]


def test_verdicts_are_counted_where_arms_are_compared():
    toy = ended(study({("kl", 0.1, 5): flat(1), ("a", 0.1, 5): flat(1), ("b", 0.1, 5): flat(1)}),
                lambda r: ("oscillating" if r["arm"] == "a" and r["seed"] < 9 else "stable",
                           "poor quality" if r["arm"] == "b" and r["seed"] < 4 else "biased gap", None))
    assert texts(verdicts(toy)) == (
        "At their declared cells, stable are kl and b on 10/10 each; a on 1/10 (9 oscillating). | At their declared "
        "cells, flags of survivors: biased gap kl and a 10/10 each, b 6/10; poor quality b 4/10.")
    same = ended(toy, lambda r: ("stable", "", None))
    assert verdicts(same) == [] and verdicts(study({("kl", 0.1, 5): flat(1), ("a", 0.1, 5): flat(2)})) == []


def test_verdicts_stand_at_the_cell_of_the_largest_difference_too_and_in_confirm():
    values: Values = {("kl", 0.1, 5): flat(1), ("kl", 0.4, 5): [None] * 10, ("a", 0.1, 5): flat(1),
                      ("a", 0.4, 5): flat(1)}
    toy = ended(study(values, common_cell={"step_size": 0.1, "mcmc_steps": 5}), lambda r: (
        "diverged" if r["diverged"] else "oscillating" if r["step_size"] == 0.4 else "stable", "", None))
    assert texts(verdicts(toy)) == (
        "At step size 0.4 with 5 MCMC steps, stable are kl on 0/10 (10 diverged); a on 0/10 (10 oscillating).")
    late = ended(fresh({("kl", 0.1, 5): flat(1), ("a", 0.1, 5): flat(1)}),
                 lambda r: ("vanished" if r["arm"] == "a" else "stable", "", None))
    assert "On fresh seeds, stable are" in texts(verdicts(late)) and "(10 vanished)" in texts(verdicts(late))


def test_cells_of_an_arm_s_own_stand_beside_the_baseline_s_nearest():
    """kl+step diverges exactly as kl: at its declared cell on none, which alone would read as a success."""
    values: Values = {("kl", 0.1, t): flat(1) for t in (5, 20)} | {("kl", 0.4, t): [None] * 10 for t in (5, 20)}
    values |= {("step", 0.1, t): flat(1) for t in (6, 21)} | {("step", 0.4, t): [None] * 10 for t in (6, 21)}
    assert texts(divergence(study(values))) == (
        "step shares no cell with kl; beside the nearest in MCMC steps 20/40 replicates diverged, of kl 20/40, equally "
        "often in every cell.")
    values |= {("stride", *cell): found for (arm, *cell), found in values.items() if arm == "step"}
    assert texts(divergence(study(values))).startswith("step and stride each share no cell with kl; beside the nearest")
    values = {key: found for key, found in values.items() if key[0] != "stride"}
    values["step", 0.4, 21] = flat(1)
    assert texts(divergence(study(values))).endswith(
        "10/40 replicates diverged, of kl 20/40, most apart at 0.4, 21 steps (0/10, 10/10).")
    far = ended(study({("kl", 0.1, 5): flat(1), ("fast", 0.3, 2): [None] * 4, ("slow", 0.01, 40): flat(1, 4)}), masked)
    assert texts(divergence(far)) == (
        "Sharing no step size with kl, at their declared cells diverged fast (0.3, 2 steps) on 4/4 (masked 3, not "
        "finite 1) and slow (0.01, 40 steps) on 0/4.")


def test_unequal_numbers_of_updates_are_said_where_seeds_are_lost():
    values: Values = {("kl", 0.1, 5): [None, *flat(1, 7)], ("a", 0.1, 5): flat(1, 8), ("b", 0.1, 5): flat(1, 8)}

    def said(values: Values, updates: int) -> list[str]:
        arms = {arm: {"fixed": {"updates": n}} for arm, n in {"kl": 1562, "a": updates, "b": 1562}.items()}
        return [f.text for f in divergence(study(values, arms=arms)) if "updates" in f.text]

    assert said(values, 915) == [
        "Seeds are lost in updates, of which the declared cells make: kl and b 1,562; a 915."]
    assert said(values, 1500) == [] and said(values | {("kl", 0.1, 5): flat(1, 8)}, 915) == []


def test_arms_of_which_the_same_is_so_share_a_sentence():
    values: Values = {("kl", 0.1, 5): flat(1, 4), ("a", 0.1, 5): flat(2, 4), ("b", 0.1, 5): flat(3, 4),
                      ("c", 0.1, 5): flat(0.5, 4), ("far", 0.1, 20): flat(2, 4), ("gone", 0.1, 5): [None] * 4,
                      ("split", 0.1, 5): [0.5, 0.5, 2, 3], ("even", 0.1, 5): [0.5, 0.9, 1.1, 1.5],
                      ("fine", 0.1, 5): [0.9, 0.9, 0.9, 5], ("good", 0.1, 5): [0.9, 0.9, 0.9, 9]}
    cell = "At step size 0.1 with 5 MCMC steps,"
    assert [f.text for f in quality(study(values))][:-1] == [
        f"{cell} a (kid +1.0), b (+2.0) and gone (none survived in both) rank worse than kl on 4 of 4 seeds "
        "each.",
        f"{cell} c ranks better than kl on 4 of 4 seeds: kid is lower by 0.50.",
        "At step size 0.1 with 20 MCMC steps, far ranks worse than kl (at 0.1, 5 steps) on 4 of 4 seeds: kid is higher "
        "by 1.0.",
        f"{cell} split (kid +0.50) and even (\N{MINUS SIGN}0.0015) are better than kl on 2 of 4 seeds each, "
        "worse on as many.",
        f"{cell} fine (kid +0.92) and good (+1.9) rank better than kl on 3 of 4 seeds each, though their means "
        "say otherwise."]


def test_all_arms_are_named():
    values: Values = {("kl", 0.1, 5): [None] * 8} | {(f"a{i}", 0.1, 5): flat(1, 8) for i in range(9)}
    said = texts(findings(study(values)))
    assert " more" not in said.split("ranks")[0] and all(f"a{i}" in said.split(" on 0/8")[0] for i in range(9))


def test_intervals_of_equal_arms_come_apart_as_often_as_the_rule_says():
    """Simulated over 20,000 studies of 7 replicates in 8 cells, at the worst of three rates; standard error .0016."""
    toy = study({(arm, 0.05 * d, t): flat(1, 7) for arm in ("kl", "a") for d in (1, 2, 3, 4) for t in (5, 20)})
    said, cells = chance_apart(toy)
    each = [wilson(k, 7) for k in range(8)]
    rng, seen = np.random.default_rng(0), []
    for rate in (0.3, 0.4, 0.5):
        a, b = rng.binomial(7, rate, (2, 20_000, 8))
        apart = np.array([[x.high < y.low or y.high < x.low for y in each] for x in each])
        seen.append(apart[a, b].any(1).mean())
    assert cells == 8 and said == pytest.approx(max(seen), abs=0.006)
    assert f"in 8 shared cells, is said to be apart in up to {100 * said:.1f} % of studies" in rule(toy)


def test_the_agreeing_outcomes_are_those_that_the_verdict_calls_as_predicted():
    levels = [0.03, 0.06, 0.12, 0.25, 0.5]
    for low, high in ((0.033, 0.36), (0.06, 0.06), (0.6, 0.9), (0.01, 0.02), (np.inf, np.inf), (0.1, np.inf)):
        rows = [{"delta_min": low, "delta_med": high, "strained_from": np.nan, "diverges_from": first,
                 "stable_to": quiet}
                for first, quiet in zip([*levels, np.nan], [np.nan, *levels], strict=True)]
        called = sum(limits._outcome(row).startswith("as predicted") for row in rows)
        assert limits._agreeing(levels, low, high) == called


def masked(r: pd.Series) -> tuple[str, str, str | None]:
    """Diverged replicates are masked but for seed 0; survivors of `a` at .4 are of poor quality."""
    if r["diverged"]:
        return "diverged", "", "masked" if r["seed"] else "not finite"
    return "stable", "poor quality, kappa > 1" if r["arm"] == "a" and r["step_size"] == 0.4 else "", None


def test_reasons_and_poor_survivors_stand_beside_the_counts():
    arms = {"kl": {"limits": [{"delta_min": 0.05, "delta_med": 0.3}]}, "a": {"limits": [{"delta_min": None,
                                                                                        "delta_med": None}]}}
    toy = ended(study({("kl", 0.1, 5): flat(1), ("kl", 0.4, 5): [None] * 10, ("a", 0.1, 5): flat(1),
                       ("a", 0.4, 5): [None, None, *flat(1e5, 8)]}, arms=arms,
                      common_cell={"step_size": 0.1, "mcmc_steps": 5}), masked)
    assert reasons(toy.finals[toy.finals["arm"] == "kl"]) == "masked 9, not finite 1"
    words = main_words(main_frame(toy, tables.grid(toy), ["kid"]), ["kid"])
    assert words["diverged"].tolist() == ["0/10 [0.00, 0.28]", "10/10 (masked 9, not finite 1) [0.72, 1.00]",
                                          "0/10 [0.00, 0.28]", "2/10 (masked 1, not finite 1) [0.06, 0.51]"]
    assert words["kid"].tolist()[3].endswith("(n = 8, 8 poor)") and "poor" not in words["kid"].tolist()[2]
    assert texts(divergence(toy)) == (
        "At step size 0.4 with 5 MCMC steps, kl diverged on 10/10 seeds (masked 9, not finite 1), a on 2/10 (masked 1, "
        "not finite 1) (intervals apart).")
    said = texts(law(toy))
    assert "none diverged up to 0.1, first at 0.4. As predicted (as 2/3 outcomes would)." in said
    assert "none diverged up to 0.1, first at 0.4 (8/8 poor). Diverged" in said  # at 0.1 those of a are good
    words = limit_words(limits.limits(toy))
    assert words["none up to"].tolist() == ["0.1 (0/10)"] * 2
    assert words["first at"].tolist() == ["0.4 (10/10, masked 9, not finite 1)",
                                          "0.4 (2/10, masked 1, not finite 1; 8 of 8 survivors of poor quality)"]


def test_an_arm_of_one_step_size_is_named_where_the_law_missed_it():
    limit = {"delta_min": 0.2, "delta_med": 0.3}
    arms = {name: {"method": "kl", "fixed": {}, "limits": [limit]} for name in ("kl", "early", "late")}
    toy = study({("kl", 0.1, 5): flat(1), ("kl", 0.4, 5): [None] * 10, ("early", 0.1, 5): [None] * 10,
                 ("late", 0.4, 5): flat(1)}, arms=arms, common_cell={"step_size": 0.1, "mcmc_steps": 5})
    said = texts(law(toy))
    assert ("early, 5 MCMC steps: predicted limit 0.20\u20130.30; within 100 updates first at 0.1. Diverged below the "
            "predicted limit.") in said and "late" not in said


def test_the_best_cells_are_one_sentence_that_names_three_and_the_floor_once():
    toy = study({(f"a{i}", d, 5): flat(1 + i) for i in range(5) for d in (0.1, 0.2)},
                floors={"kid": {"mean": 0.00054, "sd": 0.0146, "n": 256}})
    (said,) = best(toy)
    assert said.text == ("Best design cells of 3 of 5 arms by kid (floor 0.001 \u00b1 0.015): a0 1.00, a1 2.00, a2 "
                         "3.00; picked on these seeds.")
    alone = ended(study({("a", 0.1, 5): flat(1), ("b", 0.2, 5): [None, *flat(2, 9)]}), masked)
    assert texts(best(alone)) == "Single design cells by kid: a 1.00, b 2.00 (1/10 diverged)."
    bad = ended(alone, lambda r: ("diverged", "", None) if r["diverged"] else ("stable", "poor quality", None))
    assert texts(best(bad)) == "Single design cells by kid: a 1.00 (10/10 poor), b 2.00 (1/10 diverged, 9/9 poor)."


def test_four_against_four_is_no_ranking():
    b = [v + (0.1 if seed % 2 else -0.1) for seed, v in enumerate(flat(1, 8)) if v is not None]
    said = texts(quality(study({("a", 0.1, 5): flat(1, 8), ("b", 0.1, 5): b})))
    assert said.startswith("At step size 0.1 with 5 MCMC steps, b is better than a on 4 of 8 seeds, worse on as many "
                           "(not significant); kid is ")
    assert "ranks" not in said.split(". ")[0]


def test_gradients_spent_count_the_pruned_or_say_at_least():
    toy = study({("kl", 0.1, 5): flat(1, 3)})
    cut = toy.trials.iloc[[0, 0]].assign(config_hash=["x", "y"], status="pruned",
                                         spent_particle_gradients=[40.0, np.nan])
    more = dataclasses.replace(toy, trials=pd.concat([toy.trials, cut], ignore_index=True))
    assert about._spent(toy) == "150"
    assert about._spent(more) == "190 (at least; 1 pruned or lost trial without a record)"
