"""What is said of a replicate that is above kappa 2 and has not diverged: what the records hold, and no more."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest

from analysis.panels.kappa import Kappa
from analysis.stats.kappa_reasons import kappa_reasons
from tests.analysis import small_study

KAPPAS = {"calm": [0.5, 0.6, 0.7, 0.8], "high": [0.5, 3.0, 40.0, 46.0], "late": [0.5, 1.5, 1.9, 46.0]}


def a_study(knobs, kappas, clip=0.0, value=0.1):
    """One replicate with these evaluations at updates 25, 50, 75 and 100."""
    one = small_study.study({("kl", 0.5, 5): [value]})
    curves = pd.DataFrame({"arm": "kl", "phase": "design", "step_size": 0.5, "mcmc_steps": 5, "config_hash": "kl-0.5-5",
                           "seed": 0, "update": [25, 50, 75, 100], "kappa": kappas,
                           "clip_fraction": [0.9, 0.0, clip, clip], "drift_ratio": [9.0, 9.0, 0.5, 0.7]})
    settings = json.dumps({"step_size": 0.5, "mcmc_steps": 5, **knobs})
    return replace(one, curves=curves, trials=one.trials.assign(settings=settings))


@pytest.mark.parametrize(("knobs", "kappas", "clip", "why", "said"), [
    ({}, "calm", 0.0, "", ""),
    ({}, "high", 0.0, "unknown", "what keeps it from diverging is not known (the mean drift is 0.60 of the noise)"),
    ({"drift_clip": 0.5}, "high", 0.04, "clip", "drift_clip cut 4.0 % of its drifts"),
    ({"drift_clip": 0.5}, "high", 0.0, "unknown", "is not known"),  # a bound that bound nothing is no reason
    ({"drift_clip": None}, "high", 0.04, "unknown", "is not known"),
    ({"move_clip": 0.5, "clamp": True}, "high", 0.04, "clip", "move_clip cut 4.0 % of its drifts"),
    ({"clamp": True}, "high", 0.0, "clamp", "clamp puts its pixels back after each step"),
    ({"clamp": False}, "high", 0.0, "unknown", "is not known"),
])
def test_the_reason_is_what_the_records_hold(knobs, kappas, clip, why, said):
    frame = Kappa().frame(a_study(knobs, KAPPAS[kappas], clip))
    [row] = frame.to_dict("records")
    assert row["reason"] == why and said in row["note"]
    if why:
        assert "first above 2 at update 50 of 100" in row["note"]


def test_what_the_last_evaluation_alone_saw_had_no_time():
    """Of so few evaluations that the last one is the last quarter."""
    one = a_study({}, KAPPAS["late"])
    [row] = kappa_reasons(replace(one, curves=one.curves[one.curves["update"] != 75])).to_dict("records")
    assert (row["reason"], row["first_above"], row["last"]) == ("late", 100, 100)


def test_one_that_diverged_needs_no_reason_and_the_caption_counts():
    assert kappa_reasons(a_study({}, KAPPAS["high"], value=None))["reason"].tolist() == [""]
    caption = Kappa().caption(of := a_study({}, KAPPAS["high"]), Kappa().frame(of))
    assert "1 replicate above 2 did not diverge (1: the study does not know why)." in caption
    calm = a_study({}, KAPPAS["calm"])
    assert "did not diverge" not in Kappa().caption(calm, Kappa().frame(calm))
