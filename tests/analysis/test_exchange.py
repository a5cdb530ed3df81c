"""Arms at each other's settings: whose they are, whom they are compared with, and the matrix."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from analysis.panels.exchange import Exchange
from analysis.read.load import load
from analysis.read.pool import pooled
from analysis.read.study import CELL, EXCHANGE, Study
from analysis.stats.comparisons import comparisons, confirm_comparisons, confirmed_cells, exchange_comparisons
from analysis.text.findings.cells import missing
from analysis.text.findings.confirm import confirmed
from benchmarks import pairs
from tests.analysis.small_study import study

SETTINGS = {"kl": {"step_size": 0.1, "mcmc_steps": 5, "lr_f": 0.01},
            "jko": {"step_size": 0.2, "mcmc_steps": 3, "lr_f": 0.02, "jko_weight": 0.5},
            "hidden": {"step_size": 0.7, "mcmc_steps": 9, "lr_f": 0.03, "lr_g": 0.001}}
SHARED = {"kl": ["step_size", "mcmc_steps", "lr_f"], "jko": ["step_size", "mcmc_steps", "lr_f"],
          "hidden": ["mcmc_steps", "lr_f"]}
GOOD = {"kl": 3.0, "jko": 1.0, "hidden": 2.0}  # of the settings
SEEDS = 10


def mean(arm: str, giver: str) -> float:
    return GOOD[giver] + 5 * (arm == "hidden")


def toy(lost: Sequence[str] = ()) -> Study:
    """kl and jko are equally good at the same settings, which is their luck; hidden is worse by 5 everywhere.
    lost: config_hashes of which every replicate diverged."""
    both = {("confirm", arm, giver): SETTINGS[arm] | {k: SETTINGS[giver][k] for k in SHARED[arm] if k in SHARED[giver]}
            for arm in SETTINGS for giver in SETTINGS}
    every = {**{("search", arm, arm): SETTINGS[arm] for arm in SETTINGS}, **both}
    values = {f"{phase} {arm} {giver}": [mean(arm, giver) + 0.01 * ((7 * seed + 3 * (arm == "jko")) % 10)
                                         for seed in range(SEEDS)] for phase, arm, giver in every}
    trials = pd.DataFrame([{"config_hash": f"{phase} {arm} {giver}", "arm": arm, "base_arm": arm, "phase": phase,
                            "step_size": knobs["step_size"], "mcmc_steps": knobs["mcmc_steps"], "status": "finished",
                            "complete": True, "settings": json.dumps({**knobs, "updates": 100})}
                           for (phase, arm, giver), knobs in every.items()])
    finals = pd.DataFrame([{**{k: t[k] for k in ("config_hash", "arm", "base_arm", "phase", *CELL)}, "seed": seed,
                            "diverged": gone, "diverged_at": 9.0 if gone else None,
                            "verdict": "diverged" if gone else "survived", "kid": None if gone else value}
                           for t in trials.to_dict("records") for gone in [t["config_hash"] in lost]
                           for seed, value in enumerate(values[t["config_hash"]])])
    of = study({(arm, 0.1, 5): [1.0] for arm in SETTINGS}, phase="search",
               factors=[*CELL, "lr_f", "jko_weight", "lr_g"], planned={
                   "search": {"configurations": 3, "replicates": SEEDS},
                   "confirm": {"configurations": 9, "replicates": SEEDS, "exchanged": 6}})
    exchange = pd.DataFrame([{"config_hash": f"confirm {arm} {giver}", "arm": arm, "giver": giver,
                              "settings": f"confirm {giver} {giver}"} for arm in SETTINGS for giver in SETTINGS])
    return replace(of, trials=trials, finals=finals, exchange=exchange)


def without(of: Study, *config_hashes: str) -> Study:
    """The study before these had been trained."""
    return replace(of, trials=of.trials[~of.trials["config_hash"].isin(config_hashes)],
                   finals=of.finals[~of.finals["config_hash"].isin(config_hashes)])


def test_names_say_whose_settings() -> None:
    names = confirmed_cells(toy()).set_index("config_hash")["name"]
    assert names["confirm jko jko"] == "jko (0.2, 3 steps)" and names["confirm kl jko"] == "kl at jko's (0.2, 3 steps)"
    assert names["confirm hidden kl"] == "hidden at kl's (0.7, 5 steps)"
    alone = replace(toy(), exchange=pd.DataFrame(columns=EXCHANGE))
    assert set(confirmed_cells(alone)["of"]) == {""}


def test_what_is_not_trained_yet_makes_nothing_else_an_arms_own() -> None:
    early = without(toy(), "confirm kl kl", "confirm jko hidden")
    own = confirmed_cells(early).query("of == ''")
    assert own["config_hash"].tolist() == ["confirm jko jko", "confirm hidden hidden"]
    assert missing(early)[-2:] == ["1 of 6 confirmations with another arm's settings is not trained yet.",
                                   "The confirm has 2 of 3 planned trials."]
    tests = exchange_comparisons(early)
    assert set(tests["family"]) == {4} and sorted(tests["arm"]) == ["hidden (0.7, 9 steps)", "jko (0.2, 3 steps)"]
    frame = Exchange().frame(early)
    figure, ax = plt.subplots()
    Exchange().plot(early, frame, ax)
    assert [t.get_text().split("\n")[0] for t in ax.get_xticklabels()] == ["kl", "jko", "hidden"]
    assert len([t for t in ax.texts if t.get_text()]) == 7 and len(ax.patches) == 2
    plt.close(figure)


def test_settings_of_one_arm_are_told_apart_before_its_own_are_trained() -> None:
    of = toy()
    second = {"config_hash": "confirm jko hidden", "arm": "jko", "giver": "kl", "settings": "confirm kl 2"}
    others = of.exchange[of.exchange["config_hash"] != "confirm jko hidden"]
    of = replace(of, exchange=pd.concat([others, pd.DataFrame([second])]))
    frame = Exchange().frame(without(of, "confirm kl kl"))
    figure, ax = plt.subplots()
    Exchange().plot(of, frame, ax)
    assert [t.get_text().split("\n")[0] for t in ax.get_xticklabels()] == ["kl", "kl", "jko", "hidden"]
    plt.close(figure)


def test_of_two_studies_each_exchanges_with_its_own() -> None:
    both = pooled([replace(toy(), name=name) for name in "ab"])
    names = set(confirmed_cells(both)["name"])
    assert {"a: kl at a: jko's (0.2, 3 steps)", "b: kl (0.1, 5 steps)"} <= names and len(names) == 18
    frame = Exchange().frame(both)
    assert (frame["arm"].str[0] == frame["giver"].str[0]).all() and len(frame) == 18 and frame["own"].sum() == 6


def test_own_settings_are_compared_with_own_settings() -> None:
    """The best of seven on the seeds of the test would be no fair baseline."""
    tests = confirm_comparisons(toy())
    assert dict(zip(tests["arm"], tests["baseline"], strict=True)) == dict.fromkeys(
        ["jko (0.2, 3 steps)", "hidden (0.7, 9 steps)"], "kl (0.1, 5 steps)")
    assert set(tests["family"]) == {2} and (tests["p_holm"] < 0.05).all()


def test_at_the_same_settings_arms_are_tested_both_ways() -> None:
    tests = exchange_comparisons(toy()).set_index("arm")
    assert tests["baseline"].to_dict() == {
        "jko (0.2, 3 steps)": "kl at jko's (0.2, 3 steps)", "jko at kl's (0.1, 5 steps)": "kl (0.1, 5 steps)",
        "hidden (0.7, 9 steps)": "kl at hidden's (0.1, 9 steps)", "hidden at kl's (0.7, 5 steps)": "kl (0.1, 5 steps)"}
    assert set(tests["family"]) == {4} and (tests["pairs"] == SEEDS).all()
    assert {name: round(gap, 6) for name, gap in tests["difference"].items()} == {
        name: 5 * name.startswith("hidden") for name in tests.index}


def test_the_sentences_tell_the_method_from_the_settings() -> None:
    own, fresh, same = (finding.text for finding in confirmed(toy()))
    assert own.startswith("On fresh seeds, of 3 confirmed configurations jko (0.2, 3 steps) ranks best")
    assert fresh == ("Against kl (0.1, 5 steps), on fresh seeds: jko (0.2, 3 steps) ranks significantly better; hidden "
                     "(0.7, 9 steps) ranks significantly worse.")
    assert same == ("Against kl, with exchanged settings: hidden (0.7, 9 steps) and hidden at kl's (0.7, 5 steps) rank "
                    "significantly worse; jko (0.2, 3 steps) and jko at kl's (0.1, 5 steps) are not significantly "
                    "different.")


def test_the_matrix_has_each_arm_at_each_settings_and_frames_its_own() -> None:
    panel, of = Exchange(), toy(lost=["confirm hidden jko"])
    frame = panel.frame(of)
    assert panel.is_shown(of, frame) and len(frame) == 9
    figure, ax = plt.subplots()
    panel.plot(of, frame, ax)
    ticks = ax.get_xticklabels(), ax.get_yticklabels()
    assert [[t.get_text().split("\n")[0] for t in labels] for labels in ticks] == [[*SETTINGS]] * 2
    shown = {(round(t.get_position()[0] - 0.5), round(t.get_position()[1] - 0.5)): t.get_text() for t in ax.texts if
             t.get_text()}
    assert shown.pop((1, 2)) == "\u2013\n10/10 lost"
    assert {at: float(text) for at, text in shown.items()} == {
        (j, i): pytest.approx(mean(arm, giver) + 0.045, rel=0.01) for i, arm in enumerate(SETTINGS)
        for j, giver in enumerate(SETTINGS) if (i, j) != (2, 1)}
    assert [p.get_xy() for p in ax.patches] == [(0, 0), (1, 1), (2, 2)]
    assert "Holm over 4 comparisons" in panel.caption(of, frame)
    plt.close(figure)
    alone = replace(of, finals=of.finals[of.finals["phase"] == "search"])
    assert not panel.is_shown(alone, panel.frame(alone))


def test_pairs_of_a_design_are_tested_as_a_family_of_their_own(toy_uri: str, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    """The other way around better and worse change places, and p is that of the report but for Holm's family."""
    monkeypatch.chdir(tmp_path)
    base = ["--study", "toy", "--tracking-uri", toy_uri]
    pairs.main([*base, "kl:jko"])
    [_, _, line] = capsys.readouterr().out.splitlines()
    found = [cell.strip() for cell in line.split("|")[1:-1]]
    whole = comparisons(load("toy", toy_uri, tmp_path / "cache")).set_index("arm").loc["jko"]
    assert found[:2] == ["kl", "jko"] and found[4] == f"{whole.worse} / {whole.better} / {whole.ties} of {whole.pairs}"
    assert found[-2] == found[-1].split()[0] and float(found[-2]) == pytest.approx(whole.p, rel=0.05)
    assert whole.p < whole.p_holm
    with pytest.raises(SystemExit):
        pairs.main([*base, "kl:nobody"])
    assert "found nobody, expected ARM:OTHER, of the arms kl, jko, kl_smooth" in capsys.readouterr().err
